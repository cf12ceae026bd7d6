/* ctl_server.h - cli.sock: requests of hoststackctl, answered by the control thread
 *
 * One line of JSON each way: {"command":["show","session"]} -> {"result":…} or {"error":"…"}.
 * What workers know is gathered by worker_call(), a bounded piece at a time; a worker's data is never touched from here.
 *
 * Owner:  the daemon (or a test); made before workers start, destroyed after they stopped.
 * Thread: control thread.
 * Memory: process-private. Clients are limited in number, in request size and in what they leave unread.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_CTL_SERVER_H
#define HOSTSTACK_SERVER_CTL_SERVER_H

#include <sys/types.h>
#include "server/worker/worker.h"

struct ctl_server;

int ctl_server_create(struct stack *s, const char *socket_path, gid_t socket_gid, struct ctl_server **out);
int ctl_server_fd(const struct ctl_server *cs);   /* readable when ctl_server_poll() has something to do */
void ctl_server_poll(struct ctl_server *cs);      /* never blocks */
void ctl_server_destroy(struct ctl_server *cs);

#endif
