/* preload_io.h - moving bytes of a socket that the stack has a part in: shared by preload_io.c, preload_msg.c, preload_file.c
 * Thread: any; the caller holds a reference of f.
 * Errors: >= 0 or -errno. */
#ifndef HOSTSTACK_PRELOAD_PRELOAD_IO_H
#define HOSTSTACK_PRELOAD_PRELOAD_IO_H

#include <limits.h>
#include "preload/preload.h"

/* recvmsg() and sendmsg() in full: addresses, ancillary data, both sides. */
ssize_t preload_recvmsg(int fd, struct fd_file *f, struct msghdr *msg, int flags);
ssize_t preload_sendmsg_kernel(int fd, struct fd_file *f, const struct msghdr *msg, int flags); /* the kernel's side alone */
ssize_t preload_sendmsg(int fd, struct fd_file *f, const struct msghdr *msg, int flags);
/* The stack's side alone, with restarts after signals; send raises SIGPIPE where POSIX says so. */
ssize_t preload_recv_stack(struct fd_file *f, const struct iovec *iov, int n, int flags, struct vcl_msg_info *info);
ssize_t preload_send_stack(struct fd_file *f, const struct iovec *iov, int n, int flags, const struct vcl_msg_info *info);
/* The same of a vector that was not looked at, as sendmsg() has it: EINVAL and EFAULT for lengths that Linux does not take. */
ssize_t preload_recv_vector(struct fd_file *f, const struct iovec *iov, int n, int flags, struct vcl_msg_info *info);
ssize_t preload_send_vector(struct fd_file *f, const struct iovec *iov, int n, int flags, const struct vcl_msg_info *info);
enum { CALL_BYTES_MAX = INT_MAX & ~4095 };  /* read(2): what one call moves at most */
/* read() and write() as the program calls them, for other files: there the exported names lead to libc (--wrap). */
ssize_t preload_read(int fd, void *buf, size_t len);
ssize_t preload_write(int fd, const void *buf, size_t len);
/* Bytes without addresses, whichever side. */
ssize_t preload_recv(int fd, struct fd_file *f, const struct iovec *iov, int n, int flags);
ssize_t preload_send(int fd, struct fd_file *f, const struct iovec *iov, int n, int flags);

/* A piece of ancillary data behind what is there already; MSG_CTRUNC when it does not fit. */
void preload_put_cmsg(struct msghdr *msg, size_t *used, int level, int type, const void *data, size_t len);

#endif
