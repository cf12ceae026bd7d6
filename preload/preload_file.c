/* preload_file.c - sendfile: from a file straight into the socket's FIFO; splice, which sockets of ours refuse */
#include "preload/preload_io.h"

enum { SENDFILE_PIECE = 1 << 20, SENDFILE_MAX = 0x7ffff000 }; /* sendfile(2): at most this many bytes a call */

static ssize_t preload_file_read(int in, const struct iovec *iov, int n, const off64_t *offset)
{
    return preload_kernel(offset ? preadv64(in, iov, n, *offset) : libc_real()->readv(in, iov, n));
}

/* One piece: room in the FIFO, filled by the kernel directly. 0 = end of the file. */
static ssize_t preload_sendfile_piece(struct fd_file *f, int in, const off64_t *offset, uint32_t want)
{
    struct iovec iov[2];
    int n;
    do
        n = vcl_send_reserve(f->sock.vcl, iov, want, 0);
    while (n == -EINTR && preload_must_restart(f, SO_SNDTIMEO));
    if (n == -EPIPE)
        raise(SIGPIPE);
    if (n < 0)
        return n;
    ssize_t r = preload_file_read(in, iov, n, offset);
    int done = vcl_send_commit(f->sock.vcl, r > 0 ? (uint32_t)r : 0);
    return done < 0 ? done : r;
}

static ssize_t preload_sendfile(struct fd_file *f, int in, off64_t *offset, size_t len)
{
    size_t total = 0;
    if (f->sock.proto == SVM_PROTO_UDP)
        return -EINVAL;
    if (len > SENDFILE_MAX)
        len = SENDFILE_MAX;
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
    return total ? (ssize_t)total : r;
}

HS_EXPORT ssize_t hs_sendfile64(int out, int in, off64_t *offset, size_t len)
{
    struct fd_file *f = preload_get_stack(in);
    if (hs_unlikely(f)) { /* sendfile(2): the source must be mappable */
        preload_put(f);
        return preload_result(-EINVAL);
    }
    f = preload_get_stack(out);
    if (hs_likely(!f))
        return libc_real()->sendfile64(out, in, offset, len);
    ssize_t r = preload_sendfile(f, in, offset, len);
    preload_put(f);
    return preload_result(r);
}
static_assert(sizeof(off_t) == sizeof(off64_t), "sendfile and sendfile64 are one on 64-bit hosts");
HS_EXPORT ssize_t hs_sendfile(int out, int in, off_t *offset, size_t len) { return hs_sendfile64(out, in, offset, len); }

/* Bytes of ours are in no kernel buffer that could be moved. Callers know EINVAL from files that cannot do it and copy instead. */
HS_EXPORT ssize_t hs_splice(int in, off64_t *in_off, int out, off64_t *out_off, size_t len, unsigned flags)
{
    struct fd_file *f = preload_get_stack(in);
    if (!f)
        f = preload_get_stack(out);
    if (hs_likely(!f))
        return libc_real()->splice(in, in_off, out, out_off, len, flags);
    preload_put(f);
    return preload_result(-EINVAL);
}
