/* preload_msg.h - control messages and the error queue: preload_cmsg.c for preload_msg.c
 * Owner:  nothing is kept here.
 * Thread: any; the file's reference is held by the caller.
 * Errors: as said. */
#ifndef HOSTSTACK_PRELOAD_PRELOAD_MSG_H
#define HOSTSTACK_PRELOAD_PRELOAD_MSG_H

#include "preload/preload_sctp.h"

/* What the options of the socket ask for about a datagram; *used grows. */
void preload_put_info(struct fd_file *f, struct msghdr *msg, size_t *used, const struct vcl_msg_info *info);
/* Of its time alone, as `wants` (enum vcl_wants) says. */
void preload_put_stamps(struct msghdr *msg, size_t *used, uint32_t wants, int64_t ns);
/* recvmsg(MSG_ERRQUEUE) of the stack's side. Bytes of what the error is about; -EAGAIN: none. */
ssize_t preload_recv_error(struct fd_file *f, struct msghdr *msg);

#endif
