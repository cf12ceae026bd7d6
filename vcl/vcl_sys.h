/* vcl_sys.h - the kernel's calls past the names that preload/ interposes: inside of that library read() would be our own
 * Owner:  nobody, header only.
 * Thread: any.
 * Errors: -1 and errno, as the calls themselves. */
#ifndef HOSTSTACK_VCL_VCL_SYS_H
#define HOSTSTACK_VCL_VCL_SYS_H

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define VCL_KERNEL_SIGSET 8 /* bytes of a signal set as the kernel has it */

static inline ssize_t sys_read(int fd, void *buf, size_t n) { return syscall(SYS_read, fd, buf, n); }
static inline ssize_t sys_write(int fd, const void *buf, size_t n) { return syscall(SYS_write, fd, buf, n); }
#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x100 /* Linux 6.18: a broken pipe is an error without its signal */
#endif
static inline ssize_t sys_write_no_signal(int fd, const void *buf, size_t n)
{
    struct iovec iov = { (void *)(uintptr_t)buf, n };

    return syscall(SYS_pwritev2, fd, &iov, 1ul, -1l, -1l, RWF_NOSIGNAL);
}
static inline int sys_open(const char *path, int flags) { return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0); }
static inline int sys_close(int fd) { return (int)syscall(SYS_close, fd); }
static inline int sys_dup_above(int fd, int base) { return (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, base); }
static inline int sys_set_nonblock(int fd)
{
    long flags = syscall(SYS_fcntl, fd, F_GETFL, 0);

    return flags < 0 ? -1 : (int)syscall(SYS_fcntl, fd, F_SETFL, flags | O_NONBLOCK);
}
static inline int sys_socket(int domain, int type, int proto) { return (int)syscall(SYS_socket, domain, type, proto); }
static inline int sys_socketpair(int domain, int type, int proto, int sv[2])
{
    return (int)syscall(SYS_socketpair, domain, type, proto, sv);
}
static inline int sys_connect(int fd, const struct sockaddr *sa, socklen_t len) { return (int)syscall(SYS_connect, fd, sa, len); }
static inline ssize_t sys_recvmsg(int fd, struct msghdr *m, int flags) { return syscall(SYS_recvmsg, fd, m, flags); }
static inline ssize_t sys_sendmsg(int fd, const struct msghdr *m, int flags) { return syscall(SYS_sendmsg, fd, m, flags); }
static inline int sys_eventfd(unsigned n, int flags) { return (int)syscall(SYS_eventfd2, n, flags); }
static inline int sys_epoll_create(void) { return (int)syscall(SYS_epoll_create1, EPOLL_CLOEXEC); }
static inline int sys_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    return (int)syscall(SYS_epoll_ctl, epfd, op, fd, ev);
}
/* timeout is not changed (the kernel's own call writes what is left). */
static inline int sys_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    struct timespec left = timeout ? *timeout : (struct timespec){ 0, 0 };

    return (int)syscall(SYS_ppoll, fds, n, timeout ? &left : NULL, mask, (size_t)VCL_KERNEL_SIGSET);
}
/* For kernels before 5.11: milliseconds, rounded up so that a wait never ends early. */
static inline int sys_epoll_ms(const struct timespec *timeout)
{
    if (!timeout)
        return -1;
    return timeout->tv_sec > 2000000 ? 2000000000 : (int)(timeout->tv_sec * 1000 + (timeout->tv_nsec + 999999) / 1000000);
}
static inline int sys_epoll_pwait(int epfd, struct epoll_event *ev, int max, const struct timespec *timeout, const sigset_t *mask)
{
#ifdef SYS_epoll_pwait2
    int n = (int)syscall(SYS_epoll_pwait2, epfd, ev, max, timeout, mask, (size_t)VCL_KERNEL_SIGSET);
    if (n >= 0 || errno != ENOSYS)
        return n;
#endif
    return (int)syscall(SYS_epoll_pwait, epfd, ev, max, sys_epoll_ms(timeout), mask, (size_t)VCL_KERNEL_SIGSET);
}

#endif
