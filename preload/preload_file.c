/* preload_file.c - sendfile: from a file straight into the socket's FIFO; splice: between a pipe and the FIFO
 *
 * With a datagram socket either is one datagram, of all that was asked for and is there. */
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include "preload/preload_io.h"

enum { SENDFILE_PIECE = 1 << 20, SENDFILE_MAX = 0x7ffff000 }; /* sendfile(2): at most this many bytes a call */

static ssize_t preload_file_read(int in, const struct iovec *iov, int n, const off64_t *offset)
{
    return preload_kernel(offset ? preadv64(in, iov, n, *offset) : LIBC_UNCANCELLED(readv)(in, iov, n));
}

/* Bytes [from, to) of the pieces came too late there: another process has the socket. They are out of the file already. */
static ssize_t send_rest(struct fd_file *f, const struct iovec *iov, int n, size_t from, size_t to)
{
    size_t at = 0;
    for (int i = 0; i < n; i++) {
        size_t begin = from > at ? from - at : 0, end = to - at < iov[i].iov_len ? to - at : iov[i].iov_len;
        struct iovec piece = { .iov_base = (char *)iov[i].iov_base + begin, .iov_len = end > begin ? end - begin : 0 };
        at += iov[i].iov_len;
        while (piece.iov_len) {
            ssize_t r = vcl_send(f->sock.vcl, &piece, 1, 0, NULL);
            if (r == -EAGAIN) {
                struct vcl_pollfd p = { .socket = f->sock.vcl, .fd = -1, .events = POLLOUT };
                r = vcl_poll_wait(&p, 1, NULL, NULL);
                if (r >= 0 || r == -EINTR)
                    continue;
            }
            if (r < 0 && r != -EINTR)
                return r;
            piece.iov_base = (char *)piece.iov_base + (r > 0 ? r : 0);
            piece.iov_len -= (size_t)(r > 0 ? r : 0);
        }
    }
    return (ssize_t)to;
}
static ssize_t preload_send_rest(struct fd_file *f, const struct iovec *iov, int n, size_t from, size_t to)
{
    vcl_held.patient++;
    ssize_t r = send_rest(f, iov, n, from, to);
    vcl_held.patient--;
    return r;
}

/* ---- datagrams ---- */

enum { DGRAM_MAX4 = 65507, DGRAM_MAX6 = 65527 }; /* what the length field of UDP (RFC 768) leaves behind the headers */

/* Before anything is taken out of the file or pipe: could it be sent? 0 or -errno. */
static int dgram_refused(struct fd_file *f, size_t len)
{
    if (len > (f->sock.is_v6 ? DGRAM_MAX6 : DGRAM_MAX4))
        return -EMSGSIZE;
    if (!vcl_is_connected(f->sock.vcl))
        return -EDESTADDRREQ;
    return -vcl_take_error(f->sock.vcl);
}

/* A file's next bytes; at its end none are sent. */
static ssize_t dgram_sendfile(int fd, struct fd_file *f, int in, off64_t at, size_t len)
{
    size_t room = len < DGRAM_MAX6 + 1 ? len : DGRAM_MAX6 + 1;
    char *buf = malloc(room ? room : 1);
    if (!buf)
        return -ENOMEM;
    ssize_t r = preload_kernel(pread64(in, buf, room, at)), refused = r > 0 ? dgram_refused(f, (size_t)r) : 0;
    if (refused)
        r = refused;
    else if (r > 0)
        r = preload_send(fd, f, &(struct iovec){ buf, (size_t)r }, 1, 0);
    free(buf);
    return r;
}

/* The pipe holds so much. */
static ssize_t dgram_splice_out(int fd, struct fd_file *f, int pipe, size_t len, unsigned flags)
{
    ssize_t r = dgram_refused(f, len);
    char *buf = r < 0 ? NULL : malloc(len);
    if (!buf)
        return r < 0 ? r : -ENOMEM;
    struct iovec iov = { buf, len };
    PRELOAD_UNCANCELLED; /* what is read is out of the pipe */
    r = preload_kernel(LIBC_UNCANCELLED(read)(pipe, buf, len));
    if (r > 0) {
        iov.iov_len = (size_t)r;
        r = preload_send(fd, f, &iov, 1, flags & SPLICE_F_MORE ? MSG_MORE : 0);
        if (r == -EAGAIN)
            r = preload_send_rest(f, &iov, 1, 0, iov.iov_len);
    }
    free(buf);
    return r;
}

/* What does not fit is lost, as in any read of a datagram. */
static ssize_t dgram_splice_in(int fd, struct fd_file *f, int pipe, size_t want)
{
    char *buf = malloc(want);
    if (!buf)
        return -ENOMEM;
    ssize_t r = preload_recv(fd, f, &(struct iovec){ buf, want }, 1, 0);
    if (r > 0)
        r = preload_kernel(LIBC_UNCANCELLED(write)(pipe, buf, (size_t)r));
    free(buf);
    return r;
}

/* ---- streams ---- */

/* 0: at its end; -errno: it cannot be read from there, as a pipe cannot (ESPIPE); 1: it can. */
static int preload_file_look(int in, const off64_t *offset)
{
    char c;
    return (int)preload_kernel(syscall(SYS_pread64, in, &c, 1ul, offset ? *offset : lseek(in, 0, SEEK_CUR)));
}

/* One piece: room in the FIFO, filled by the kernel directly. 0 = end of the file, which Linux finds before it looks at the socket, as it does
 * that it cannot be read at the offset. */
static ssize_t preload_sendfile_piece(struct fd_file *f, int in, const off64_t *offset, uint32_t want)
{
    struct iovec iov[2];
    int n;
    do
        n = vcl_send_reserve(f->sock.vcl, iov, want, 0);
    while (n == -EINTR && (n = (int)preload_interrupted(f, SO_SNDTIMEO)) == 0);
    int there = hs_unlikely(n == -EPIPE || n == -EAGAIN) ? preload_file_look(in, offset) : 1;
    if (there == 0 || (there < 0 && offset))
        return there;
    if (n == -EPIPE)
        raise(SIGPIPE);
    if (n < 0)
        return n;
    PRELOAD_UNCANCELLED; /* what is read is out of the file */
    ssize_t r = preload_file_read(in, iov, n, offset);
    int done = vcl_send_commit(f->sock.vcl, r > 0 ? (uint32_t)r : 0);
    if (hs_likely(done < 0 || done == r || r < 0))
        return done < 0 ? done : r;
    return preload_send_rest(f, iov, n, (size_t)done, (size_t)r);
}

/* What cannot be read at all is no file to send before it is one without offsets. */
static int preload_no_source(int in, int error)
{
    int mode = libc_real()->fcntl(in, F_GETFL);
    return mode >= 0 && (mode & O_ACCMODE) == O_WRONLY ? -EBADF : error;
}

static ssize_t preload_sendfile(int fd, struct fd_file *f, int in, off64_t *offset, size_t len)
{
    size_t total = 0;
    off64_t now = 0;
    if (len > SSIZE_MAX)
        return -EINVAL;
    if (!offset && (now = lseek(in, 0, SEEK_CUR)) < 0) /* the source must be one that can be sought, which a pipe or a kernel's socket cannot */
        return errno == ESPIPE ? preload_no_source(in, -EINVAL) : -errno;
    if (len > SENDFILE_MAX)
        len = SENDFILE_MAX;
    if (f->sock.proto == SVM_PROTO_UDP) {
        ssize_t n = dgram_sendfile(fd, f, in, offset ? *offset : now, len);
        if (n > 0 && offset)
            *offset += n;
        else if (n > 0)
            lseek(in, now + n, SEEK_SET);
        return n;
    }
    off64_t at = offset ? *offset : 0;
    ssize_t r = 0;
    while (total < len) {
        uint32_t want = len - total < SENDFILE_PIECE ? (uint32_t)(len - total) : SENDFILE_PIECE;
        r = preload_sendfile_piece(f, in, offset ? &at : NULL, want);
        if (r <= 0)
            break;
        total += (size_t)r;
        at += r;
    }
    if (offset)
        *offset = at; /* the byte after the last one sent */
    if (hs_unlikely(r == -ESPIPE))
        r = preload_no_source(in, -ESPIPE);
    return total ? (ssize_t)total : r;
}

/* ---- splice: bytes of ours are in no kernel buffer that could be moved, so they are copied between FIFO and pipe ---- */

enum { SPLICE_MAX = 1 << 20, SPLICE_ALL = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | SPLICE_F_MORE | SPLICE_F_GIFT };

/* splice(2): between a pipe and the socket; waits until the pipe has bytes, or room. 0 or -errno. */
static int preload_pipe_wait(struct fd_file *f, int pipe, short events, unsigned flags)
{
    struct pollfd p = { .fd = pipe, .events = events };
    struct timespec none = { 0, 0 };
    int mode = libc_real()->fcntl(pipe, F_GETFL);
    long r;
    if (mode < 0 || (mode & O_ACCMODE) == (events == POLLIN ? O_WRONLY : O_RDONLY)) /* its other end */
        return -EBADF;
    bool blocks = !(flags & SPLICE_F_NONBLOCK) && !(mode & O_NONBLOCK);
    PRELOAD_KERNEL_SLEEP(r, preload_cancel_drop, f, SYS_ppoll, &p, 1, blocks ? NULL : &none, NULL, 0, 0);
    if (r > 0 && events == POLLOUT && p.revents & POLLERR) { /* nobody reads it any more */
        raise(SIGPIPE);
        return -EPIPE;
    }
    return r == -EINTR && vcl_held.came ? PRELOAD_RESTART : r < 0 ? (int)r : r == 0 ? -EAGAIN : 0;
}

/* What a pipe takes without blocking: all of it when it is empty, else one page at a time (pipe(7), PIPE_BUF). */
static size_t preload_pipe_room(int pipe)
{
    int held = 1, size = libc_real()->fcntl(pipe, F_GETPIPE_SZ);
    if (size > 0 && libc_real()->ioctl(pipe, FIONREAD, &held) == 0 && held == 0)
        return (size_t)size;
    return PIPE_BUF;
}

static int preload_splice_segments(struct fd_file *f, struct iovec iov[4], uint32_t want, int flags)
{
    int n;
    do
        n = vcl_recv_segments(f->sock.vcl, iov, 4, want, flags);
    while (n == -EINTR && (n = (int)preload_interrupted(f, SO_RCVTIMEO)) == 0);
    return n;
}

/* Of a socket that another process may take, only what a read has returned is ours for sure. The pipe has room for it. */
static ssize_t preload_splice_copy(struct fd_file *f, int pipe, size_t want)
{
    char buf[1 << 14];
    size_t len = want < sizeof(buf) ? want : sizeof(buf);
    struct iovec iov = { .iov_base = buf, .iov_len = len };
    ssize_t n = preload_recv_stack(f, &iov, 1, 0, NULL);
    return n <= 0 ? n : preload_kernel(LIBC_UNCANCELLED(write)(pipe, buf, (size_t)n));
}

static ssize_t preload_splice_in(int fd, struct fd_file *f, int pipe, size_t len, unsigned flags)
{
    struct iovec iov[4];
    ssize_t r = preload_pipe_wait(f, pipe, POLLOUT, flags);
    if (r < 0)
        return r;
    size_t room = preload_pipe_room(pipe), want = len < room ? len : room, total = 0;
    if (f->sock.proto == SVM_PROTO_UDP)
        return dgram_splice_in(fd, f, pipe, want);
    ssize_t most = hs_unlikely(f->sock.proto != SVM_PROTO_TCP) ? (ssize_t)want : vcl_splice_length(f->sock.vcl, want);
    if (most <= 0) /* at an urgent mark, which Linux does not pass */
        return most;
    want = (size_t)most;
    if (vcl_socket_is_shared(f->sock.vcl))
        return preload_splice_copy(f, pipe, want);
    do { /* what is there may be in two places */
        int n = preload_splice_segments(f, iov, (uint32_t)(want - total), total ? MSG_DONTWAIT : 0);
        if (n == -ENOTCONN && f->sock.is_read_shut && !f->sock.is_listener) /* shut before it was connected */
            n = 0;
        if (n <= 0)
            return total ? (ssize_t)total : n;
        PRELOAD_UNCANCELLED;
        r = preload_kernel(LIBC_UNCANCELLED(writev)(pipe, iov, n));
        if (r > 0 && (n = vcl_recv_release(f->sock.vcl, (uint32_t)r)) < 0)
            r = n;
        if (r <= 0)
            return total ? (ssize_t)total : r;
        total += (size_t)r;
    } while (total < want && vcl_readable_bytes(f->sock.vcl) > 0); /* else the next call is told how it ended */
    return (ssize_t)total;
}

static ssize_t preload_splice_out(int fd, struct fd_file *f, int pipe, size_t len, unsigned flags)
{
    int held = 0;
    ssize_t r = preload_pipe_wait(f, pipe, POLLIN, flags);
    if (r < 0)
        return r;
    if (libc_real()->ioctl(pipe, FIONREAD, &held) < 0 || held <= 0)
        return 0; /* no writer any more */
    if (len > (size_t)held)
        len = (size_t)held;
    return f->sock.proto == SVM_PROTO_UDP ? dgram_splice_out(fd, f, pipe, len, flags) : preload_sendfile_piece(f, pipe, NULL, (uint32_t)len);
}

static bool preload_is_pipe(int fd) { return libc_real()->fcntl(fd, F_GETPIPE_SZ) > 0; }

struct splice_ends {
    int fd, pipe;
    bool is_source, has_pipe_offset, has_offset;
};

static ssize_t preload_splice(struct fd_file *f, const struct splice_ends *e, size_t len, unsigned flags)
{
    bool is_piped = preload_is_pipe(e->pipe);
    if (len == 0)
        return 0;
    if (is_piped && e->has_pipe_offset)
        return -ESPIPE;
    if (!is_piped || flags & ~SPLICE_ALL || e->has_offset)
        return -EINVAL;
    if (len > SPLICE_MAX)
        len = SPLICE_MAX;
    return e->is_source ? preload_splice_in(e->fd, f, e->pipe, len, flags) : preload_splice_out(e->fd, f, e->pipe, len, flags);
}

HS_EXPORT ssize_t hs_splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned flags)
{
    ssize_t r;
    do {
        struct fd_file *f = preload_get_stack(in);
        bool is_source = f != NULL;
        if (!f)
            f = preload_get_stack(out);
        if (hs_likely(!f))
            return libc_real()->splice(in, in_off, out, out_off, len, flags);
        preload_cancel_point(f);
        struct splice_ends e = { in, out, true, out_off, in_off };
        if (!is_source)
            e = (struct splice_ends){ out, in, false, in_off, out_off };
        r = preload_splice(f, &e, len, flags);
        preload_put(f);
    } while (preload_again(r));
    return preload_result(r);
}

/* ---- sendfile ---- */

/* From a socket of ours: Linux moves bytes into a pipe only. */
static ssize_t preload_sendfile_from(int fd, struct fd_file *f, int out, const off64_t *offset, size_t len)
{
    if (offset)
        return -ESPIPE;
    if (!preload_is_pipe(out) || len > SSIZE_MAX)
        return -EINVAL;
    return len == 0 ? 0 : preload_splice_in(fd, f, out, len < SPLICE_MAX ? len : SPLICE_MAX, 0);
}

HS_EXPORT ssize_t hs_sendfile64(int out, int in, off64_t *offset, size_t len)
{
    ssize_t r;
    do {
        struct fd_file *from = preload_get_stack(in), *f = hs_unlikely(from) ? from : preload_get_stack(out);
        int state = -1;
        if (hs_likely(!f))
            return libc_real()->sendfile64(out, in, offset, len);
        /* As libc's it is no cancellation point, and ends only who may be ended anywhere. */
        if (hs_unlikely(preload_cancel.is_async))
            preload_cancel_point(f);
        else
            state = preload_cancel_off();
        r = hs_unlikely(from) ? preload_sendfile_from(in, f, out, offset, len) : preload_sendfile(out, f, in, offset, len);
        if (state >= 0)
            preload_cancel_restore(&state);
        preload_put(f);
    } while (preload_again(r));
    return preload_result(r);
}
static_assert(sizeof(off_t) == sizeof(off64_t), "sendfile and sendfile64 are one on 64-bit hosts");
HS_EXPORT ssize_t hs_sendfile(int out, int in, off_t *offset, size_t len) { return hs_sendfile64(out, in, offset, len); }
