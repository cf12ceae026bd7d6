/* privileges.h - gives up what the server no longer needs once its ports are open
 * Owner:  plain functions.
 * Thread: main thread before workers start (they inherit what it keeps).
 * Errors: 0 or -errno with one sentence in err. */
#ifndef HOSTSTACK_SERVER_PRIVILEGES_H
#define HOSTSTACK_SERVER_PRIVILEGES_H

#include <sys/types.h>
#include "common/types.h"

/* Looks the names up; empty names leave -1. */
int privileges_find_user(const char *user, uid_t *uid, gid_t *gid, char *err, size_t err_len);
int privileges_find_group(const char *group, gid_t *gid, char *err, size_t err_len);
/* Becomes uid/gid if uid != -1 (with the supplementary groups of `user`, and socket_gid unless that is -1, because only a member
 * may give its sockets to a group), drops every capability, also for exec. */
int privileges_drop(const char *user, uid_t uid, gid_t gid, gid_t socket_gid, char *err, size_t err_len);
/* As many descriptors as allowed: each client takes several. Returns the limit. */
unsigned long privileges_raise_descriptors(void);

#endif
