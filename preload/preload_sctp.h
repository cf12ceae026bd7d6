/* preload_sctp.h - what preload_sctp.c does for the calls on sockets and messages
 * Thread: any; the caller holds a reference of f.
 * Errors: >= 0 or -errno; placeholder as libc (-1 and errno). */
#ifndef HOSTSTACK_PRELOAD_PRELOAD_SCTP_H
#define HOSTSTACK_PRELOAD_PRELOAD_SCTP_H

#include <fcntl.h>
#include "preload/preload_io.h"
#include "vcl/vcl_sctp.h"

/* The arguments of socket() ask for an SCTP socket. */
bool preload_sctp_is(int domain, int type, int proto);
/* A descriptor to hold the number; in place of kernel_fd if the kernel has given one. -1: the kernel's shall serve it (errno set if it
 * gave none). */
int preload_sctp_placeholder(int kernel_fd, int type);
/* getsockopt() of SCTP_SOCKOPT_PEELOFF and SCTP_SOCKOPT_PEELOFF_FLAGS makes a descriptor. True: it was one of them, *r is the answer. */
bool preload_sctp_peeloff(struct fd_file *f, int level, int name, void *val, socklen_t *len, int *r);
ssize_t preload_sctp_recvmsg(struct fd_file *f, struct msghdr *msg, int flags);
ssize_t preload_sctp_sendmsg(struct fd_file *f, const struct msghdr *msg, int flags);

#endif
