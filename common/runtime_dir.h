/* runtime_dir.h - where the sockets of a server are when nobody says otherwise
 * Owner:  plain function.
 * Thread: any (reads the environment).
 * Errors: 0 or -ENAMETOOLONG. */
#ifndef HOSTSTACK_COMMON_RUNTIME_DIR_H
#define HOSTSTACK_COMMON_RUNTIME_DIR_H

#include "common/types.h"

enum { RUNTIME_DIR_MAX = 90 }; /* room for "/app.sock" in a sockaddr_un */
#define RUNTIME_DIR_ROOT "/run/hoststack"

/* /run/hoststack for root, else $XDG_RUNTIME_DIR/hoststack, else /tmp/hoststack-UID. */
int runtime_dir_default(char out[RUNTIME_DIR_MAX]);

#endif
