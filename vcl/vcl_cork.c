/* vcl_cork.c - several sends that are one datagram: MSG_MORE, and udp(7) UDP_CORK
 * Linux's rules: the first one says where it goes; an error drops what is held back; the end of the socket does, too. */
#include <stdlib.h>
#include "vcl/vcl_internal.h"

enum { CORK_MAX = 65507 };

struct vcl_cork {
    struct vcl_msg_info info;            /* of the first send */
    int flags;
    size_t len;
    uint8_t b[CORK_MAX];
};

static struct vcl_cork *take(struct vcl_socket *s)
{
    vcl_socket_lock(s);
    struct vcl_cork *c = s->cork;
    s->cork = NULL;
    vcl_socket_unlock(s);
    return c;
}

void vcl_cork_drop(struct vcl_socket *s) { free(take(s)); }

int vcl_cork_push(struct vcl_socket *s, int flags)
{
    struct vcl_cork *c = take(s);

    if (!c)
        return 0;
    struct iovec iov = { c->b, c->len };
    ssize_t rc = vcl_dgram_send_now(s, &iov, 1, (flags & ~MSG_MORE) | c->flags, &c->info);
    free(c);
    return rc < 0 ? (int)rc : 0;
}

static int check_first(const struct vcl_socket *s, const struct vcl_msg_info *info)
{
    if (!(info && info->has_peer) && !s->has_rmt)
        return -EDESTADDRREQ;
    if (s->wr_shut)
        return -EPIPE;
    return info && info->has_peer && ip_addr_is_broadcast(&info->peer.ip) && !s->rare_opt->broadcast ? -EACCES : 0;
}

static int append_locked(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t len, int flags, const struct vcl_msg_info *info)
{
    struct vcl_cork *c = s->cork;
    int rc = c ? 0 : check_first(s, info);

    if (rc)
        return rc;
    if (!c) {
        if (!(c = malloc(sizeof(*c))))
            return -ENOBUFS;
        c->info = info ? *info : (struct vcl_msg_info){ .has_peer = false };
        c->flags = flags & MSG_CONFIRM;
        c->len = 0;
        s->cork = c;
    }
    if (len > CORK_MAX - c->len) {
        free(c);
        s->cork = NULL;
        return -EMSGSIZE;
    }
    for (int i = 0; i < n_iov; i++) {
        if (iov[i].iov_len)
            memcpy(c->b + c->len, iov[i].iov_base, iov[i].iov_len);
        c->len += iov[i].iov_len;
    }
    return 0;
}

ssize_t vcl_cork_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info)
{
    size_t len = 0;

    for (int i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    vcl_socket_lock(s);
    int rc = append_locked(s, iov, n_iov, len, flags, info);
    vcl_socket_unlock(s);
    if (!rc && !(flags & MSG_MORE) && !s->opt.cork)
        rc = vcl_cork_push(s, flags);
    return rc ? rc : (ssize_t)len;
}
