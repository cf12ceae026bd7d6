/* preload_io.c - read, write, recv, send and their vector and checked forms, preadv2, pwritev2 */
#include "preload/preload_io.h"

ssize_t preload_recv_stack(struct fd_file *f, const struct iovec *iov, int n, int flags, struct vcl_msg_info *info)
{
    ssize_t r;
    do
        r = vcl_recv(f->sock.vcl, iov, n, flags, info);
    while (hs_unlikely(r == -EINTR) && (r = preload_interrupted(f, SO_RCVTIMEO)) == 0);
    if (hs_unlikely(r == -ENOTCONN) && f->sock.is_read_shut && f->sock.proto != SVM_PROTO_SCTP && !(flags & MSG_OOB))
        return 0; /* shut before it was connected */
    return r;
}

ssize_t preload_send_stack(struct fd_file *f, const struct iovec *iov, int n, int flags, const struct vcl_msg_info *info)
{
    ssize_t r;
    do
        r = vcl_send(f->sock.vcl, iov, n, flags, info);
    while (hs_unlikely(r == -EINTR) && (r = preload_interrupted(f, SO_SNDTIMEO)) == 0);
    /* POSIX send(): SIGPIPE to the calling thread, streams only. */
    if (hs_unlikely(r == -EPIPE) && !(flags & MSG_NOSIGNAL) && f->sock.proto != SVM_PROTO_UDP)
        raise(SIGPIPE);
    return r;
}

/* ---- lengths, as Linux takes them ---- */

static const uint64_t above_programs = UINT64_C(1) << 56; /* addresses that no program has on any machine */

static bool is_nowhere(const void *at, size_t len)
{
    uintptr_t end;
    return __builtin_add_overflow((uintptr_t)at, len, &end) || end > above_programs;
}

/* Of one buffer: read() and write() want all of it to be somewhere, recv() and send() as much as they move. */
static __attribute__((noinline, cold)) bool call_length(const void *buf, size_t *len, bool is_whole)
{
    if (is_whole && is_nowhere(buf, *len))
        return false;
    *len = CALL_BYTES_MAX;
    return true;
}

/* The bytes of a vector. readv(2): a length of more than SSIZE_MAX is EINVAL; of several pieces each must be where a program can have one. */
static ssize_t vector_length(const struct iovec *iov, int n)
{
    size_t len = 0;
    bool is_far = false;
    for (int i = 0; i < n; i++) {
        if (iov[i].iov_len > SSIZE_MAX)
            return -EINVAL;
        is_far = is_far || (n > 1 && hs_unlikely(is_nowhere(iov[i].iov_base, iov[i].iov_len)));
        len = hs_min_u64(len + iov[i].iov_len, SSIZE_MAX);
    }
    return is_far ? -EFAULT : (ssize_t)len;
}

/* More than one call moves: the rest is left out. */
static __attribute__((noinline, cold)) ssize_t move_long(struct fd_file *f, const struct iovec *iov, int n, int flags, bool is_read,
                                                         struct vcl_msg_info *info)
{
    struct iovec some[IOV_MAX];
    size_t left = CALL_BYTES_MAX;
    int k = 0;
    for (; k < n && left; k++) {
        some[k] = (struct iovec){ iov[k].iov_base, hs_min_u64(iov[k].iov_len, left) };
        left -= some[k].iov_len;
    }
    return is_read ? preload_recv_stack(f, some, k, flags, info) : preload_send_stack(f, some, k, flags, NULL);
}

/* A datagram is never so long: what the kernel leaves out of one makes no difference. */
static bool is_long(const struct fd_file *f, ssize_t len) { return hs_unlikely(len > CALL_BYTES_MAX) && f->sock.proto != SVM_PROTO_UDP; }

ssize_t preload_recv_vector(struct fd_file *f, const struct iovec *iov, int n, int flags, struct vcl_msg_info *info)
{
    ssize_t len = vector_length(iov, n);
    if (hs_unlikely(len < 0))
        return len;
    return is_long(f, len) ? move_long(f, iov, n, flags, true, info) : preload_recv_stack(f, iov, n, flags, info);
}

ssize_t preload_send_vector(struct fd_file *f, const struct iovec *iov, int n, int flags, const struct vcl_msg_info *info)
{
    ssize_t len = vector_length(iov, n);
    if (hs_unlikely(len < 0))
        return len;
    return is_long(f, len) ? move_long(f, iov, n, flags, false, NULL) : preload_send_stack(f, iov, n, flags, info);
}

static inline __attribute__((always_inline)) ssize_t recv_any(int fd, struct fd_file *f, const struct iovec *iov, int n, int flags)
{
    if (hs_likely(preload_serve(f) == FD_STACK && !(flags & MSG_ERRQUEUE)))
        return preload_recv_stack(f, iov, n, flags, NULL);
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
    return preload_recvmsg(fd, f, &msg, flags);
}

static inline __attribute__((always_inline)) ssize_t send_any(int fd, struct fd_file *f, const struct iovec *iov, int n, int flags)
{
    if (hs_likely(preload_serve(f) == FD_STACK))
        return preload_send_stack(f, iov, n, flags, NULL);
    struct msghdr msg = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n };
    return preload_sendmsg(fd, f, &msg, flags);
}

ssize_t preload_recv(int fd, struct fd_file *f, const struct iovec *iov, int n, int flags) { return recv_any(fd, f, iov, n, flags); }
ssize_t preload_send(int fd, struct fd_file *f, const struct iovec *iov, int n, int flags) { return send_any(fd, f, iov, n, flags); }

/* One try; puts f. */
static inline __attribute__((always_inline)) ssize_t recv_buffer(int fd, struct fd_file *f, const struct iovec *iov, int flags)
{
    preload_cancel_point(f);
    ssize_t r = recv_any(fd, f, iov, 1, flags);
    preload_put(f);
    return r;
}
static inline __attribute__((always_inline)) ssize_t send_buffer(int fd, struct fd_file *f, const struct iovec *iov, int flags)
{
    preload_cancel_point(f);
    ssize_t r = send_any(fd, f, iov, 1, flags);
    preload_put(f);
    return r;
}

/* After handlers, from the number on. Apart: those that no signal interrupts shall not pay. */
static __attribute__((noinline, cold)) ssize_t recv_again(int fd, const struct iovec *iov, int flags, bool is_read)
{
    ssize_t r = PRELOAD_RESTART;
    while (preload_again(r)) {
        struct fd_file *f = preload_get_receiver(fd);
        if (!f)
            return is_read ? libc_real()->read(fd, iov->iov_base, iov->iov_len) : libc_real()->recv(fd, iov->iov_base, iov->iov_len, flags);
        r = recv_buffer(fd, f, iov, flags);
    }
    return preload_result(r);
}
static __attribute__((noinline, cold)) ssize_t send_again(int fd, const struct iovec *iov, int flags, bool is_write)
{
    ssize_t r = PRELOAD_RESTART;
    while (preload_again(r)) {
        struct fd_file *f = preload_get_stack(fd);
        if (!f)
            return is_write ? libc_real()->write(fd, iov->iov_base, iov->iov_len) : libc_real()->send(fd, iov->iov_base, iov->iov_len, flags);
        r = send_buffer(fd, f, iov, flags);
    }
    return preload_result(r);
}

/* The number's file stands at slot. Apart, too: calls on the kernel's descriptors save no registers. */
static __attribute__((noinline)) ssize_t recv_known(int fd, void *buf, size_t len, int flags, bool is_read, struct fd_file *_Atomic *slot)
{
    if (hs_unlikely(len > CALL_BYTES_MAX) && !call_length(buf, &len, is_read))
        return preload_result(-EFAULT);
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    struct fd_file *f = preload_get_receiver_at(slot);
    if (hs_unlikely(!f))
        return is_read ? libc_real()->read(fd, buf, len) : libc_real()->recv(fd, buf, len, flags);
    ssize_t r = recv_buffer(fd, f, &iov, flags);
    return hs_unlikely(r == PRELOAD_RESTART) ? recv_again(fd, &iov, flags, is_read) : preload_result(r);
}
static __attribute__((noinline)) ssize_t send_known(int fd, const void *buf, size_t len, int flags, bool is_write,
                                                    struct fd_file *_Atomic *slot)
{
    if (hs_unlikely(len > CALL_BYTES_MAX) && !call_length(buf, &len, is_write))
        return preload_result(-EFAULT);
    struct iovec iov = { .iov_base = (void *)buf, .iov_len = len };
    struct fd_file *f = preload_get_stack_at(slot);
    if (hs_unlikely(!f))
        return is_write ? libc_real()->write(fd, buf, len) : libc_real()->send(fd, buf, len, flags);
    ssize_t r = send_buffer(fd, f, &iov, flags);
    return hs_unlikely(r == PRELOAD_RESTART) ? send_again(fd, &iov, flags, is_write) : preload_result(r);
}

static __attribute__((noinline, cold)) bool preload_is_receiver(int fd)
{
    struct fd_file *f = preload_get_receiver(fd);
    if (f)
        preload_put(f);
    return f != NULL;
}

ssize_t preload_read(int fd, void *buf, size_t len)
{
    struct fd_file *_Atomic *slot = fd_table_slot(&preload.fds, fd);
    if (hs_likely(!slot))
        return libc_real()->read(fd, buf, len);
    if (hs_unlikely(len == 0) && preload_is_receiver(fd)) /* read(2): zero bytes of a stream are zero bytes, not a wait */
        return 0;
    return recv_known(fd, buf, len, 0, true, slot);
}
HS_EXPORT ssize_t hs_read(int fd, void *buf, size_t len) { return preload_read(fd, buf, len); }
HS_EXPORT ssize_t hs___read(int fd, void *buf, size_t len) { return preload_read(fd, buf, len); }

HS_EXPORT ssize_t hs___read_chk(int fd, void *buf, size_t len, size_t size)
{
    return len > size ? libc_real()->__read_chk(fd, buf, len, size) : preload_read(fd, buf, len);
}

ssize_t preload_write(int fd, const void *buf, size_t len)
{
    struct fd_file *_Atomic *slot = fd_table_slot(&preload.fds, fd);
    return hs_likely(!slot) ? libc_real()->write(fd, buf, len) : send_known(fd, buf, len, 0, true, slot);
}
HS_EXPORT ssize_t hs_write(int fd, const void *buf, size_t len) { return preload_write(fd, buf, len); }
HS_EXPORT ssize_t hs___write(int fd, const void *buf, size_t len) { return preload_write(fd, buf, len); }

/* eventfd_read(3) and eventfd_write() of libc are a read and a write of eight bytes, of any descriptor, by ways of its own. */
HS_EXPORT int hs_eventfd_read(int fd, uint64_t *value)
{
    if (hs_likely(!fd_table_has(&preload.fds, fd)))
        return libc_real()->eventfd_read(fd, value);
    return preload_read(fd, value, sizeof(*value)) == sizeof(*value) ? 0 : -1;
}
HS_EXPORT int hs_eventfd_write(int fd, uint64_t value)
{
    if (hs_likely(!fd_table_has(&preload.fds, fd)))
        return libc_real()->eventfd_write(fd, value);
    return preload_write(fd, &value, sizeof(value)) == sizeof(value) ? 0 : -1;
}

/* preadv2(2), at -1: readv() and writev() with flags; at any other place a socket is ESPIPE, which the kernel says. -EOPNOTSUPP: a flag that
 * Linux refuses for sockets, or does not know. */
static int preload_rwf_flags(int rwf, int *flags)
{
    enum { NOSIGNAL = 0x100 /* RWF_NOSIGNAL, Linux 6.18 */ };
    if (rwf & ~(RWF_HIPRI | RWF_DSYNC | RWF_SYNC | RWF_NOWAIT | RWF_APPEND | NOSIGNAL))
        return -EOPNOTSUPP;
    *flags = (rwf & RWF_NOWAIT ? MSG_DONTWAIT : 0) | (rwf & NOSIGNAL ? MSG_NOSIGNAL : 0);
    return 0;
}

/* A vector of no bytes is nothing at all, not even an empty datagram. Puts f. */
static ssize_t move_vector(int fd, struct fd_file *f, const struct iovec *iov, int n, int rwf, bool is_read)
{
    int flags;
    preload_cancel_point(f);
    ssize_t r = n < 0 || n > IOV_MAX ? -EINVAL : vector_length(iov, n);
    if (r > 0) {
        int bad = preload_rwf_flags(rwf, &flags);
        if (bad)
            r = bad;
        else if (is_long(f, r) && preload_serve(f) == FD_STACK)
            r = move_long(f, iov, n, flags, is_read, NULL);
        else
            r = is_read ? preload_recv(fd, f, iov, n, flags) : preload_send(fd, f, iov, n, flags);
    }
    preload_put(f);
    return r;
}

HS_EXPORT ssize_t hs_readv(int fd, const struct iovec *iov, int n)
{
    ssize_t r;
    do {
        struct fd_file *f = preload_get_receiver(fd);
        if (hs_likely(!f))
            return libc_real()->readv(fd, iov, n);
        r = move_vector(fd, f, iov, n, 0, true);
    } while (preload_again(r));
    return preload_result(r);
}

HS_EXPORT ssize_t hs_writev(int fd, const struct iovec *iov, int n)
{
    ssize_t r;
    do {
        struct fd_file *f = preload_get_stack(fd);
        if (hs_likely(!f))
            return libc_real()->writev(fd, iov, n);
        r = move_vector(fd, f, iov, n, 0, false);
    } while (preload_again(r));
    return preload_result(r);
}

HS_EXPORT ssize_t hs_preadv2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    ssize_t r;
    do {
        struct fd_file *f = at == -1 ? preload_get_receiver(fd) : NULL;
        if (hs_likely(!f))
            return libc_real()->preadv2(fd, iov, n, at, flags);
        r = move_vector(fd, f, iov, n, flags, true);
    } while (preload_again(r));
    return preload_result(r);
}
HS_EXPORT ssize_t hs_preadv64v2(int fd, const struct iovec *iov, int n, off64_t at, int flags) { return hs_preadv2(fd, iov, n, at, flags); }

HS_EXPORT ssize_t hs_pwritev2(int fd, const struct iovec *iov, int n, off_t at, int flags)
{
    ssize_t r;
    do {
        struct fd_file *f = at == -1 ? preload_get_stack(fd) : NULL;
        if (hs_likely(!f))
            return libc_real()->pwritev2(fd, iov, n, at, flags);
        r = move_vector(fd, f, iov, n, flags, false);
    } while (preload_again(r));
    return preload_result(r);
}
HS_EXPORT ssize_t hs_pwritev64v2(int fd, const struct iovec *iov, int n, off64_t at, int flags) { return hs_pwritev2(fd, iov, n, at, flags); }

HS_EXPORT ssize_t hs_recv(int fd, void *buf, size_t len, int flags)
{
    struct fd_file *_Atomic *slot = fd_table_slot(&preload.fds, fd);
    return hs_likely(!slot) ? libc_real()->recv(fd, buf, len, flags) : recv_known(fd, buf, len, flags, false, slot);
}
HS_EXPORT ssize_t hs___recv(int fd, void *buf, size_t len, int flags) { return hs_recv(fd, buf, len, flags); }

HS_EXPORT ssize_t hs___recv_chk(int fd, void *buf, size_t len, size_t size, int flags)
{
    return len > size ? libc_real()->__recv_chk(fd, buf, len, size, flags) : hs_recv(fd, buf, len, flags);
}

HS_EXPORT ssize_t hs_send(int fd, const void *buf, size_t len, int flags)
{
    struct fd_file *_Atomic *slot = fd_table_slot(&preload.fds, fd);
    return hs_likely(!slot) ? libc_real()->send(fd, buf, len, flags) : send_known(fd, buf, len, flags, false, slot);
}
HS_EXPORT ssize_t hs___send(int fd, const void *buf, size_t len, int flags) { return hs_send(fd, buf, len, flags); }
