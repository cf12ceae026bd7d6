/* daemon.h - the server put together from its configuration, and the control thread's loop
 *
 *   daemon_start() -> daemon_run() until a signal -> daemon_stop()
 *
 * Owner:  main().
 * Thread: main thread, which becomes the control thread.
 * Errors: 0 or -errno, said in the log. */
#ifndef HOSTSTACK_SERVER_DAEMON_H
#define HOSTSTACK_SERVER_DAEMON_H

#include "common/log.h"
#include "server/config/config.h"
#include "server/ctl/runtime_lock.h"

struct ctl_server;

struct daemon {
    struct stack_config *config;
    struct hs_log log;
    struct runtime_lock lock;
    struct stack *stack;
    struct ctl_server *ctl;
    bool is_eal_up;
    unsigned n_workers_started;
    int signal_fd, timer_fd, epoll_fd;
    uint64_t watchdog_us;       /* 0 = systemd asks for none */
    unsigned pings_out;         /* workers that have not answered the last ping (atomic) */
};

void daemon_init(struct daemon *d, struct stack_config *cfg);
int daemon_start(struct daemon *d);
int daemon_run(struct daemon *d);     /* 0 after SIGTERM or SIGINT */
void daemon_stop(struct daemon *d);   /* also after a failed start */

#endif
