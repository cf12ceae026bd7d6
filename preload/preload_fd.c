/* preload_fd.c - close, dup, fcntl, ioctl: descriptors are the kernel's, the table follows them
 *
 * O_NONBLOCK and FD_CLOEXEC have one truth, the kernel's flags of the descriptor; vcl is told. One exception: the kernel's side of a
 * listener that both serve is always non-blocking (preload_listener_unblock()). */
#include <asm/ioctls.h>
#include <linux/close_range.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdarg.h>
#include "preload/preload.h"

static bool preload_is_own_fd(int fd)
{
    return atomic_load_explicit(&preload.is_initialised, memory_order_acquire) && vcl_is_internal_fd(fd);
}

/* ---- close ---- */

int preload_close(int fd)
{
    /* The entry goes first: once the kernel has the number back, another thread may be given it. */
    if (preload_is_foreign())
        return (int)preload_kernel(libc_real()->close(fd));
    PRELOAD_GUARD;
    preload_epoll_leaves(fd);
    pthread_mutex_lock(&preload.numbers_lock); /* see preload_number_replace() */
    struct fd_file *f = fd_table_take(&preload.fds, fd);
    int r = (int)preload_kernel(LIBC_UNCANCELLED(close)(fd));
    pthread_mutex_unlock(&preload.numbers_lock);
    if (f)
        preload_drop(f);
    return r;
}

HS_EXPORT int hs_close(int fd)
{
    if (hs_unlikely(fd_table_has(&preload.fds, fd))) {
        preload_cancel_point(NULL);
        return (int)preload_result(preload_close(fd));
    }
    /* Programs that close all they see (daemons) must not take the library's own: to them it is not open. Nor may a child of vfork, as
     * Python's subprocess: by them it tells the server what its image is to have. They end with the exec. */
    if (hs_unlikely(preload_is_own_fd(fd)))
        return (int)preload_result(-EBADF);
    return libc_real()->close(fd);
}
HS_EXPORT int hs___close(int fd) { return hs_close(fd); }
int preload_plain_close(int fd) { return hs_close(fd); }

static int preload_close_gap(unsigned first, unsigned last, int flags)
{
    if (first > last)
        return 0;
    for (int fd = fd_table_next(&preload.fds, first); fd >= 0 && (unsigned)fd <= last;
         fd = fd_table_next(&preload.fds, (unsigned)fd + 1))
        preload_close(fd);
    return (int)preload_kernel(libc_real()->close_range(first, last, flags));
}

/* In pieces, around the library's own descriptors. */
static int preload_close_range(unsigned first, unsigned last, int flags)
{
    int r = 0;
    for (int own = vcl_internal_fd_next(first); own >= 0 && (unsigned)own <= last && r == 0;
         own = vcl_internal_fd_next(first)) {
        r = (unsigned)own > first ? preload_close_gap(first, (unsigned)own - 1, flags) : 0;
        if ((unsigned)own == last)
            return r;
        first = (unsigned)own + 1;
    }
    return r < 0 ? r : preload_close_gap(first, last, flags);
}

HS_EXPORT int hs_close_range(unsigned first, unsigned last, int flags)
{
    /* Flags that Linux does not know close nothing. */
    if (!atomic_load_explicit(&preload.is_initialised, memory_order_acquire) || (flags & ~CLOSE_RANGE_UNSHARE) || first > last)
        return libc_real()->close_range(first, last, flags);
    return (int)preload_result(preload_close_range(first, last, flags));
}

int preload_plain_close_range(unsigned first, unsigned last, int flags) { return hs_close_range(first, last, flags); }

HS_EXPORT void hs_closefrom(int first)
{
    if (!atomic_load_explicit(&preload.is_initialised, memory_order_acquire))
        libc_real()->closefrom(first);
    else
        preload_close_range(first < 0 ? 0 : (unsigned)first, ~0u, 0);
}

/* ---- dup ---- */

typedef int (*fcntl_fn)(int fd, int cmd, ...);

/* `to` is a fresh copy of fd (or -1): lets it lead to the same file, or to none. */
static int preload_dup_done(int fd, int to)
{
    if (to < 0)
        return to;
    struct fd_file *f = preload_get(fd);
    if (f && f->kind == FD_SOCKET && preload_serve(f) == FD_KERNEL) {
        preload_put(f);
        f = NULL;
    }
    if (f && f->kind == FD_SOCKET)
        f->sock.has_dups = true;
    if (f) {
        if (fd_table_install(&preload.fds, to, f) < 0) /* takes over the reference */
            preload_drop(f);
        else if (f->kind == FD_SOCKET && hs_unlikely(to <= STDERR_FILENO))
            preload_stdio_take(to);
        preload_gave();
    } else if ((f = fd_table_take(&preload.fds, to)) != NULL) { /* what dup2 has closed */
        preload_drop(f);
    }
    return to;
}

static bool preload_dup_concerns(int fd, int to)
{
    return (fd_table_has(&preload.fds, fd) || (to >= 0 && fd_table_has(&preload.fds, to))) && !preload_is_foreign();
}

/* To a number of the kernel's choice. */
static int preload_dup_new(fcntl_fn real, int fd, int cmd, void *least)
{
    PRELOAD_GUARD;
    if (hs_likely(!fd_table_has(&preload.fds, fd) && !preload_exec_has_moved()))
        return real(fd, cmd, least);
    bool is_foreign = preload_is_foreign();
    if (is_foreign)
        preload_exec_copies(fd);
    int to = real(fd, cmd, least);
    if (!is_foreign)
        return preload_dup_done(fd, to);
    if (to >= 0)
        preload_exec_moves(fd, to);
    return to;
}

HS_EXPORT int hs_dup(int fd)
{
    if (hs_likely(!fd_table_has(&preload.fds, fd) && !preload_exec_has_moved()))
        return libc_real()->dup(fd);
    return preload_dup_new(libc_real()->fcntl, fd, F_DUPFD, NULL);
}

/* Onto `to`, which is closed by it. */
static bool preload_dup_over_concerns(int fd, int to)
{
    bool is_any = fd != to && to >= 0 && (fd_table_has(&preload.fds, fd) || fd_table_has(&preload.fds, to) || preload_exec_has_moved());
    if (is_any && preload_is_foreign())
        preload_exec_moves(fd, to);
    bool concerns = fd != to && preload_dup_concerns(fd, to);
    if (concerns && fd_table_has(&preload.fds, to))
        preload_epoll_leaves(to);
    return concerns;
}

/* dup2 onto a number that the library uses itself cannot be given to the program: EBUSY, as dup2(2) has it for numbers in the making. */
static bool preload_dup_refused(int to)
{
    return preload_is_own_fd(to) && !preload_is_foreign();
}

HS_EXPORT int hs_dup2(int fd, int to)
{
    if (hs_unlikely(preload_dup_refused(to)))
        return (int)preload_result(-EBUSY);
    PRELOAD_GUARD;
    bool concerns = preload_dup_over_concerns(fd, to);
    int r = libc_real()->dup2(fd, to);
    return concerns ? preload_dup_done(fd, r) : r;
}
HS_EXPORT int hs___dup2(int fd, int to) { return hs_dup2(fd, to); }

HS_EXPORT int hs_dup3(int fd, int to, int flags)
{
    if (hs_unlikely(preload_dup_refused(to)))
        return (int)preload_result(-EBUSY);
    PRELOAD_GUARD;
    bool concerns = preload_dup_over_concerns(fd, to);
    int r = libc_real()->dup3(fd, to, flags);
    return concerns ? preload_dup_done(fd, r) : r;
}
int preload_plain_dup3(int fd, int to, int flags) { return hs_dup3(fd, to, flags); }

/* ---- fcntl ---- */

static int preload_set_flags(int fd, struct fd_file *f, fcntl_fn real, void *arg)
{
    int flags = (int)(intptr_t)arg;
    bool forced = preload_is_forced(fd, f);
    if (hs_likely(f->sock.is_copy)) {
        int now = real(fd, F_GETFL);
        /* What else there is in flags that F_SETFL changes: O_APPEND, O_ASYNC, O_DIRECT, O_NOATIME. */
        if (now >= 0 && ((now ^ flags) & (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME)) == 0 && preload_number_nonblock(fd, f, flags & O_NONBLOCK)) {
            vcl_socket_set_nonblock(f->sock.vcl, flags & O_NONBLOCK);
            return 0;
        }
        now = preload_number_own(fd, f);
        if (now < 0)
            return now;
    }
    int r = (int)preload_kernel(real(fd, F_SETFL, forced ? (void *)(intptr_t)(flags | O_NONBLOCK) : arg));
    if (r < 0)
        return r;
    vcl_socket_set_nonblock(f->sock.vcl, flags & O_NONBLOCK);
    if (hs_likely(!(flags & O_ASYNC) == !f->sock.async.on))
        return r;
    r = preload_async_changed(fd, f);
    if (r < 0)
        real(fd, F_SETFL, (void *)(intptr_t)((flags & ~O_ASYNC) | (forced ? O_NONBLOCK : 0)));
    return r;
}

static int preload_fcntl_socket(int fd, struct fd_file *f, fcntl_fn real, int cmd, void *arg)
{
    if (cmd == F_SETFL)
        return preload_set_flags(fd, f, real, arg);
    int r = cmd == F_SETOWN || cmd == F_SETOWN_EX || cmd == F_SETSIG ? preload_number_own(fd, f) : 0;
    if (r < 0)
        return r;
    r = (int)preload_kernel(real(fd, cmd, arg));
    if (cmd == F_GETFL && r >= 0 && preload_believes_blocking(fd, f))
        r &= ~O_NONBLOCK;
    else if (cmd == F_GETFL && r >= 0 && f->sock.is_copy) /* another process of a fork may have changed it, which has an idle socket of its own */
        r = (r & ~O_NONBLOCK) | (vcl_socket_is_nonblock(f->sock.vcl) ? O_NONBLOCK : 0);
    if ((cmd == F_SETOWN || cmd == F_SETOWN_EX || cmd == F_SETSIG) && r == 0)
        r = preload_async_changed(fd, f);
    return r;
}

static int preload_fcntl(fcntl_fn real, int fd, int cmd, void *arg)
{
    if (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)
        return preload_dup_new(real, fd, cmd, arg);
    struct fd_file *f = preload_get(fd);
    if (hs_likely(!f))
        return real(fd, cmd, arg);
    int r;
    if (cmd == F_GETOWN) { /* a group is a negative number, and no error */
        r = real(fd, cmd, arg);
        preload_put(f);
        return r;
    }
    if (f->kind == FD_SOCKET) {
        r = preload_fcntl_socket(fd, f, real, cmd, arg);
    } else {
        r = (int)preload_kernel(real(fd, cmd, arg));
    }
    preload_put(f);
    return (int)preload_result(r);
}

/* One body for three names that differ only in the type of struct flock, which passes through. */
#define PRELOAD_FCNTL(name)                                  \
    HS_EXPORT int hs_##name(int fd, int cmd, ...)            \
    {                                                        \
        va_list ap;                                          \
        va_start(ap, cmd);                                   \
        void *arg = va_arg(ap, void *);                      \
        va_end(ap);                                          \
        return preload_fcntl(libc_real()->name, fd, cmd, arg); \
    }
PRELOAD_FCNTL(fcntl)
PRELOAD_FCNTL(fcntl64)

/* Old name; libc has it only for programs linked long ago. */
HS_EXPORT int hs___fcntl(int fd, int cmd, ...)
{
    va_list ap;
    va_start(ap, cmd);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    return preload_fcntl(libc_real()->fcntl64, fd, cmd, arg);
}

/* ---- ioctl ---- */

static int preload_ioctl_nonblock(int fd, struct fd_file *f, void *arg)
{
    if (!arg)
        return -EFAULT;
    bool on = *(int *)arg != 0;
    if (!preload_is_forced(fd, f) && !preload_number_nonblock(fd, f, on)) {
        int r = (int)preload_kernel(libc_real()->ioctl(fd, FIONBIO, arg));
        if (r < 0)
            return r;
    }
    vcl_socket_set_nonblock(f->sock.vcl, on);
    return 0;
}

static int preload_ioctl_count(int64_t n, void *arg)
{
    if (n < 0)
        return (int)n;
    if (!arg)
        return -EFAULT;
    *(int *)arg = n > INT32_MAX ? INT32_MAX : (int)n;
    return 0;
}

/* What of the queue has not been sent yet; cut-through, and of TLS, nobody sends anything. */
static int preload_ioctl_unsent(struct fd_file *f, void *arg)
{
    struct tcp_info info = { 0 };
    socklen_t len = sizeof(info);
    if (f->sock.is_listener)
        return -EINVAL;
    int r = vcl_getsockopt(f->sock.vcl, IPPROTO_TCP, TCP_INFO, &info, &len);
    return preload_ioctl_count(r < 0 ? 0 : info.tcpi_notsent_bytes, arg);
}

static int preload_ioctl_fionread(int fd, struct fd_file *f, void *arg)
{
    if (f->sock.is_listener)
        return -EINVAL; /* tcp(7): not on a listener */
    int64_t n = vcl_readable_bytes(f->sock.vcl);
    if (n == 0 && preload_is_both(f) && f->sock.proto == SVM_PROTO_UDP)
        return (int)preload_kernel(libc_real()->ioctl(fd, FIONREAD, arg));
    return preload_ioctl_count(n, arg);
}

/* FIOASYNC, FIOSETOWN, SIOCSPGRP: as F_SETFL and F_SETOWN above. */
static int preload_ioctl_async(int fd, struct fd_file *f, unsigned long request, void *arg)
{
    int r = preload_number_own(fd, f);
    if (r < 0)
        return r;
    r = (int)preload_kernel(libc_real()->ioctl(fd, request, arg));
    if (r == 0 && (r = preload_async_changed(fd, f)) < 0 && request == FIOASYNC)
        libc_real()->ioctl(fd, request, &(int){ 0 });
    return r;
}

/* netdevice(7). What is the internet families' alone the kernel does not say of a descriptor that is none of them (preload_exec.c). */
static int preload_ioctl_kernel(int fd, struct fd_file *f, unsigned long request, void *arg)
{
    /* What a family or protocol has of its own is not asked of the descriptor behind the number: AF_UNIX has some, too. */
    bool is_private = request >= SIOCPROTOPRIVATE && request <= SIOCPROTOPRIVATE + 15;
    bool is_nets = request == SIOCGSTAMP_NEW || request == SIOCGSTAMPNS_NEW || is_private || (request >= SIOCADDRT && request < SIOCPROTOPRIVATE);
    int r = is_private ? -ENOTTY : (int)preload_kernel(libc_real()->ioctl(fd, request, arg));
    if (r != -ENOTTY || !is_nets)
        return r;
    PRELOAD_UNCANCELLED;
    int own = socket(f->sock.is_v6 ? AF_INET6 : AF_INET, (f->sock.proto == SVM_PROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
    if (own < 0)
        return r;
    r = (int)preload_kernel(libc_real()->ioctl(own, request, arg));
    LIBC_UNCANCELLED(close)(own);
    return r;
}

static int preload_ioctl(int fd, struct fd_file *f, unsigned long request, void *arg)
{
    if (request == FIONBIO)
        return preload_ioctl_nonblock(fd, f, arg);
    if (request == FIOASYNC || request == FIOSETOWN || request == SIOCSPGRP)
        return preload_ioctl_async(fd, f, request, arg);
    if (preload_serve(f) < FD_STACK)
        return (int)preload_kernel(libc_real()->ioctl(fd, request, arg));
    switch (request) {
    case FIONREAD: /* = SIOCINQ */
        return preload_ioctl_fionread(fd, f, arg);
    case SIOCOUTQ:
        return f->sock.is_listener ? -EINVAL : preload_ioctl_count(vcl_queued_bytes(f->sock.vcl), arg);
    case SIOCOUTQNSD:
        if (f->sock.proto == SVM_PROTO_UDP)
            return preload_ioctl_kernel(fd, f, request, arg);
        return preload_ioctl_unsent(f, arg);
    case SIOCATMARK:
        if (f->sock.proto != SVM_PROTO_TCP)
            return (int)preload_kernel(libc_real()->ioctl(fd, request, arg));
        return preload_ioctl_count(vcl_at_mark(f->sock.vcl), arg);
    case SIOCGSTAMP_OLD:
    case SIOCGSTAMPNS_OLD:
        return -ENOENT; /* no packet with a time stamp has come */
    default:            /* interfaces, close-on-exec: the kernel answers for the descriptor behind the number */
        return preload_ioctl_kernel(fd, f, request, arg);
    }
}

HS_EXPORT int hs_ioctl(int fd, unsigned long request, ...)
{
    va_list ap;
    va_start(ap, request);
    void *arg = va_arg(ap, void *);
    va_end(ap);
    struct fd_file *f = preload_get(fd);
    if (hs_likely(!f))
        return libc_real()->ioctl(fd, request, arg);
    int r = f->kind == FD_SOCKET ? preload_ioctl(fd, f, request, arg)
                                 : (int)preload_kernel(libc_real()->ioctl(fd, request, arg));
    preload_put(f);
    return (int)preload_result(r);
}

HS_EXPORT int hs_sockatmark(int fd) /* libc's asks the kernel by an internal name */
{
    int is;
    return hs_ioctl(fd, SIOCATMARK, &is) < 0 ? -1 : is;
}
