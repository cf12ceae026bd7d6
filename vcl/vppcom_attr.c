/* vppcom_attr.c - vppcom_session_attr(): one row an operation that is a socket option, the others by hand */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include "vcl/vcl_internal.h"
#include "vcl/vppcom_internal.h"

struct attr_row {
    uint16_t op;
    uint8_t is_set;
    int level, name;
};
#define ROW(op, level, name) { VPPCOM_ATTR_GET_##op, 0, level, name }, { VPPCOM_ATTR_SET_##op, 1, level, name }

static const struct attr_row rows[] = {
    ROW(TX_FIFO_LEN, SOL_SOCKET, SO_SNDBUF),
    ROW(RX_FIFO_LEN, SOL_SOCKET, SO_RCVBUF),
    ROW(REUSEADDR, SOL_SOCKET, SO_REUSEADDR),
    ROW(REUSEPORT, SOL_SOCKET, SO_REUSEPORT),
    ROW(BROADCAST, SOL_SOCKET, SO_BROADCAST),
    ROW(V6ONLY, IPPROTO_IPV6, IPV6_V6ONLY),
    ROW(KEEPALIVE, SOL_SOCKET, SO_KEEPALIVE),
    ROW(TCP_NODELAY, IPPROTO_TCP, TCP_NODELAY),
    ROW(TCP_KEEPIDLE, IPPROTO_TCP, TCP_KEEPIDLE),
    ROW(TCP_KEEPINTVL, IPPROTO_TCP, TCP_KEEPINTVL),
    ROW(TCP_USER_MSS, IPPROTO_TCP, TCP_MAXSEG),
    ROW(IP_PKTINFO, IPPROTO_IP, IP_PKTINFO),
};

static int as_option(struct vcl_socket *s, const struct attr_row *r, void *buffer, uint32_t *buflen)
{
    socklen_t len;
    int rc;

    if (!buffer || !buflen || *buflen < sizeof(int))
        return VPPCOM_EINVAL;
    if (r->op == VPPCOM_ATTR_SET_TX_FIFO_LEN || r->op == VPPCOM_ATTR_SET_RX_FIFO_LEN) {
        uint32_t half; /* the option doubles what it is given, the attribute means bytes */

        memcpy(&half, buffer, sizeof(half));
        half /= 2;
        return vcl_setsockopt(s, r->level, r->name, &half, sizeof(half));
    }
    if (r->level == IPPROTO_IPV6 && !s->is_v6 && vcl_state(s) == VCL_NEW) {
        int v = s->opt.v6only; /* the family is not known yet */

        if (r->is_set) {
            memcpy(&v, buffer, sizeof(v));
            s->opt.v6only = v != 0;
        } else {
            memcpy(buffer, &v, sizeof(v));
        }
        return 0;
    }
    if (r->is_set)
        return vcl_setsockopt(s, r->level, r->name, buffer, *buflen);
    len = *buflen;
    rc = vcl_getsockopt(s, r->level, r->name, buffer, &len);
    if (!rc)
        *buflen = len;
    return rc;
}

/* A name in place of a number. */
static int device(struct vcl_socket *s, bool is_set, void *buffer, uint32_t *buflen)
{
    socklen_t len = buflen ? *buflen : 0;
    int rc;

    if (!buflen || (!buffer && len))
        return VPPCOM_EINVAL;
    if (is_set)
        return vcl_setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, buffer, len);
    rc = vcl_getsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, buffer, &len);
    if (!rc)
        *buflen = len;
    return rc;
}

static int put(void *buffer, uint32_t *buflen, const void *from, uint32_t n)
{
    if (!buffer || !buflen || *buflen < n)
        return VPPCOM_EINVAL;
    memcpy(buffer, from, n);
    *buflen = n;
    return VPPCOM_OK;
}

static int put_int(void *buffer, uint32_t *buflen, int v) { return put(buffer, buflen, &v, sizeof(v)); }

static int take(void *to, uint32_t n, const void *buffer, const uint32_t *buflen)
{
    if (!buffer || !buflen || *buflen < n)
        return VPPCOM_EINVAL;
    memcpy(to, buffer, n);
    return VPPCOM_OK;
}

static int put_endpoint(struct vcl_socket *s, bool peer, void *buffer, const uint32_t *buflen)
{
    struct ip_endpoint e;
    int rc;

    if (!buffer || !buflen || *buflen < sizeof(vppcom_endpt_t))
        return VPPCOM_EINVAL;
    rc = peer ? vcl_peer_endpoint(s, &e) : vcl_local_endpoint(s, &e);
    if (!rc) {
        vppcom_ep_put(&e, buffer);
        ((vppcom_endpt_t *)buffer)->is_cut_thru = s->local;
    }
    return rc;
}

static int set_flags(struct vcl_socket *s, const void *buffer, const uint32_t *buflen)
{
    uint32_t flags;
    int rc = take(&flags, sizeof(flags), buffer, buflen);

    if (!rc)
        vcl_socket_set_nonblock(s, flags & O_NONBLOCK);
    return rc;
}

static int set_dscp(struct vcl_socket *s, const void *buffer, const uint32_t *buflen)
{
    uint8_t dscp;
    int rc = take(&dscp, 1, buffer, buflen), tos;

    if (rc)
        return rc;
    if (dscp > 63)
        return VPPCOM_EINVAL;
    tos = dscp << 2;
    return vcl_setsockopt(s, IPPROTO_IP, IP_TOS, &tos, sizeof(tos));
}

static int attr_get(struct vppcom_entry *e, uint32_t op, void *buffer, uint32_t *buflen)
{
    struct vcl_socket *s = e->s;
    uint32_t v;

    switch (op) {
    case VPPCOM_ATTR_GET_NREAD:
        return (int)vcl_readable_bytes(s);
    case VPPCOM_ATTR_GET_NWRITE:
        return (int)vcl_writable_bytes(s);
    case VPPCOM_ATTR_GET_FLAGS:
        return put_int(buffer, buflen, O_RDWR | (vcl_socket_is_nonblock(s) ? O_NONBLOCK : 0));
    case VPPCOM_ATTR_GET_LCL_ADDR:
    case VPPCOM_ATTR_GET_PEER_ADDR:
        return put_endpoint(s, op == VPPCOM_ATTR_GET_PEER_ADDR, buffer, buflen);
    case VPPCOM_ATTR_GET_PROTOCOL:
        return put_int(buffer, buflen, s->proto);
    case VPPCOM_ATTR_GET_LISTEN:
        return put_int(buffer, buflen, vcl_is_listener(s));
    case VPPCOM_ATTR_GET_ERROR:
        return put_int(buffer, buflen, vcl_take_error(s));
    case VPPCOM_ATTR_GET_VRF:
        return put_int(buffer, buflen, 0);
    case VPPCOM_ATTR_GET_DOMAIN:
        return put_int(buffer, buflen, s->is_v6 ? AF_INET6 : AF_INET);
    case VPPCOM_ATTR_GET_NWRITEQ:
        v = (uint32_t)vcl_queued_bytes(s);
        return put(buffer, buflen, &v, sizeof(v));
    case VPPCOM_ATTR_GET_UNUSED:
        return put_int(buffer, buflen, e->unused);
    case VPPCOM_ATTR_GET_COOKIE:
        return put(buffer, buflen, &e->cookie, sizeof(e->cookie));
    case VPPCOM_ATTR_GET_BINDTODEVICE:
        return device(s, false, buffer, buflen);
    case VPPCOM_ATTR_GET_ORIGINAL_DST:
    case VPPCOM_ATTR_GET_EXT_ENDPT:
    case VPPCOM_ATTR_GET_STREAM_FLAGS:
    case VPPCOM_ATTR_GET_APP_PROTO_ERR_CODE:
        return VPPCOM_ENOTSUP;
    default:
        return VPPCOM_EINVAL;
    }
}

static int set_ext_cfg(struct vcl_socket *s, const void *buffer, const uint32_t *buflen)
{
    struct svm_tls_config cfg = { 0 };
    vppcom_endpt_ext_cfg_t c;
    int rc = take(&c, sizeof(c), buffer, buflen);
    size_t at = 0;

    if (rc)
        return rc;
    if (c.type != VPPCOM_ENDPT_EXT_CFG_CRYPTO || c.len != sizeof(c) || c.crypto.verify > VPPCOM_TLS_VERIFY_REQUIRED ||
        c.crypto.n_ckpairs > HS_ARRAY_LEN(c.crypto.ckpairs) || !memchr(c.crypto.hostname, 0, sizeof(c.crypto.hostname)) ||
        !memchr(c.crypto.alpn, 0, sizeof(c.crypto.alpn)))
        return VPPCOM_EINVAL;
    memcpy(cfg.hostname, c.crypto.hostname, sizeof(cfg.hostname));
    cfg.verify = c.crypto.verify;
    cfg.n_pairs = c.crypto.n_ckpairs;
    for (unsigned i = 0; i < cfg.n_pairs; i++)
        cfg.pair[i] = c.crypto.ckpairs[i];
    /* "h2,http/1.1" as RFC 7301 s3.1 wants it */
    while (c.crypto.alpn[at]) {
        size_t n = strcspn(c.crypto.alpn + at, ",");

        if (n == 0 || cfg.alpn_len + n + 1 > sizeof(cfg.alpn))
            return VPPCOM_EINVAL;
        cfg.alpn[cfg.alpn_len++] = (uint8_t)n;
        memcpy(cfg.alpn + cfg.alpn_len, c.crypto.alpn + at, n);
        cfg.alpn_len = (uint16_t)(cfg.alpn_len + n);
        at += n + (c.crypto.alpn[at + n] == ',');
    }
    return vcl_tls_configure(s, &cfg);
}

static int attr_set(struct vppcom_entry *e, uint32_t session, uint32_t op, void *buffer, uint32_t *buflen)
{
    uint32_t vrf, ckpair;
    int rc;

    switch (op) {
    case VPPCOM_ATTR_SET_FLAGS:
        return set_flags(e->s, buffer, buflen);
    case VPPCOM_ATTR_SET_LCL_ADDR:
        if (!buffer || !buflen || *buflen < sizeof(vppcom_endpt_t))
            return VPPCOM_EINVAL;
        return vppcom_session_bind(session, buffer);
    case VPPCOM_ATTR_SET_CONNECTED:
        return e->s->is_dgram ? VPPCOM_OK : VPPCOM_EINVAL;
    case VPPCOM_ATTR_SET_VRF:
        rc = take(&vrf, sizeof(vrf), buffer, buflen);
        return rc ? rc : vrf ? VPPCOM_ENOTSUP : VPPCOM_OK;
    case VPPCOM_ATTR_SET_DSCP:
        return set_dscp(e->s, buffer, buflen);
    case VPPCOM_ATTR_SET_BINDTODEVICE:
        return device(e->s, true, buffer, buflen);
    case VPPCOM_ATTR_SET_UNUSED:
        e->unused = true;
        return VPPCOM_OK;
    case VPPCOM_ATTR_SET_COOKIE:
        return take(&e->cookie, sizeof(e->cookie), buffer, buflen);
    case VPPCOM_ATTR_SET_CKPAIR:
        rc = take(&ckpair, sizeof(ckpair), buffer, buflen);
        return rc ? rc : vcl_tls_use(e->s, ckpair);
    case VPPCOM_ATTR_SET_ENDPT_EXT_CFG:
        return set_ext_cfg(e->s, buffer, buflen);
    case VPPCOM_ATTR_SET_STREAM_FLAGS:
    case VPPCOM_ATTR_SET_APP_PROTO_ERR_CODE:
        return VPPCOM_ENOTSUP;
    default:
        return attr_get(e, op, buffer, buflen);
    }
}

int vppcom_session_attr(uint32_t session, uint32_t op, void *buffer, uint32_t *buflen)
{
    struct vppcom_entry *e = vppcom_entry_get(session);

    if (!e || !e->s)
        return VPPCOM_EBADFD;
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        if (rows[i].op == op)
            return as_option(e->s, &rows[i], buffer, buflen);
    return attr_set(e, session, op, buffer, buflen);
}
