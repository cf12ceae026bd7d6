/* vcl_options.c - setsockopt and getsockopt: what acts on this side is kept here, what acts in the stack is sent there */
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include "vcl/vcl_internal.h"

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif
#ifndef IPV6_FREEBIND
#define IPV6_FREEBIND 78
#endif

/* How an integer option is stored and whom it concerns. */
enum opt_kind { OPT_BOOL, OPT_INT };
struct opt_row {
    int level, name;
    uint8_t kind;
    uint8_t attr;       /* enum svm_attr the server keeps, 0 = this side only */
    uint8_t proto;      /* SVM_PROTO_NONE = any */
    uint16_t at;        /* in struct vcl_opts */
    int32_t lo, hi;     /* accepted values of OPT_INT */
};
#define AT(field) (uint16_t)offsetof(struct vcl_opts, field)

static const struct opt_row rows[] = {
    { SOL_SOCKET, SO_REUSEADDR, OPT_BOOL, 0, SVM_PROTO_NONE, AT(reuseaddr), 0, 0 },
    { SOL_SOCKET, SO_REUSEPORT, OPT_BOOL, 0, SVM_PROTO_NONE, AT(reuseport), 0, 0 },
    { SOL_SOCKET, SO_BROADCAST, OPT_BOOL, SVM_ATTR_BROADCAST, SVM_PROTO_NONE, AT(broadcast), 0, 0 },
    { SOL_SOCKET, SO_KEEPALIVE, OPT_BOOL, SVM_ATTR_KEEPALIVE, SVM_PROTO_NONE, AT(keepalive), 0, 0 },
    { SOL_SOCKET, SO_OOBINLINE, OPT_BOOL, 0, SVM_PROTO_NONE, AT(oobinline), 0, 0 },
    { SOL_SOCKET, SO_RCVLOWAT, OPT_INT, 0, SVM_PROTO_NONE, AT(rcvlowat), 1, 1 },
    { SOL_SOCKET, SO_PRIORITY, OPT_INT, 0, SVM_PROTO_NONE, AT(priority), 0, 6 },
    { IPPROTO_TCP, TCP_NODELAY, OPT_BOOL, SVM_ATTR_NODELAY, SVM_PROTO_TCP, AT(nodelay), 0, 0 },
    { IPPROTO_TCP, TCP_CORK, OPT_BOOL, SVM_ATTR_CORK, SVM_PROTO_TCP, AT(cork), 0, 0 },
    { IPPROTO_TCP, TCP_QUICKACK, OPT_BOOL, SVM_ATTR_QUICKACK, SVM_PROTO_TCP, AT(quickack), 0, 0 },
    { IPPROTO_TCP, TCP_KEEPIDLE, OPT_INT, SVM_ATTR_KEEPIDLE, SVM_PROTO_TCP, AT(keepidle), 1, 32767 },
    { IPPROTO_TCP, TCP_KEEPINTVL, OPT_INT, SVM_ATTR_KEEPINTVL, SVM_PROTO_TCP, AT(keepintvl), 1, 32767 },
    { IPPROTO_TCP, TCP_KEEPCNT, OPT_INT, SVM_ATTR_KEEPCNT, SVM_PROTO_TCP, AT(keepcnt), 1, 127 },
    { IPPROTO_TCP, TCP_MAXSEG, OPT_INT, SVM_ATTR_MSS, SVM_PROTO_TCP, AT(mss), 88, 65495 },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, OPT_INT, SVM_ATTR_USER_TIMEOUT, SVM_PROTO_TCP, AT(user_timeout_ms), 0, INT32_MAX },
    { IPPROTO_TCP, TCP_LINGER2, OPT_INT, SVM_ATTR_LINGER2, SVM_PROTO_TCP, AT(linger2), -1, 120 },
    { IPPROTO_TCP, TCP_DEFER_ACCEPT, OPT_INT, SVM_ATTR_DEFER_ACCEPT, SVM_PROTO_TCP, AT(defer_accept), 0, INT32_MAX },
    { IPPROTO_IP, IP_TOS, OPT_INT, SVM_ATTR_DSCP, SVM_PROTO_NONE, AT(tos), 0, 255 },
    { IPPROTO_IP, IP_TTL, OPT_INT, SVM_ATTR_TTL, SVM_PROTO_NONE, AT(ttl), 1, 255 },
    { IPPROTO_IP, IP_MTU_DISCOVER, OPT_INT, SVM_ATTR_MTU_DISCOVER, SVM_PROTO_UDP, AT(mtu_discover), IP_PMTUDISC_DONT, IP_PMTUDISC_PROBE },
    { IPPROTO_IPV6, IPV6_MTU_DISCOVER, OPT_INT, SVM_ATTR_MTU_DISCOVER, SVM_PROTO_UDP, AT(mtu_discover), IPV6_PMTUDISC_DONT,
      IPV6_PMTUDISC_PROBE },
    { IPPROTO_IP, IP_PKTINFO, OPT_BOOL, 0, SVM_PROTO_UDP, AT(pktinfo), 0, 0 },
    { IPPROTO_IPV6, IPV6_V6ONLY, OPT_BOOL, 0, SVM_PROTO_NONE, AT(v6only), 0, 0 },
    { IPPROTO_IPV6, IPV6_RECVPKTINFO, OPT_BOOL, 0, SVM_PROTO_UDP, AT(pktinfo6), 0, 0 },
    { IPPROTO_IPV6, IPV6_TCLASS, OPT_INT, SVM_ATTR_DSCP, SVM_PROTO_NONE, AT(tos), 0, 255 },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, OPT_INT, SVM_ATTR_TTL, SVM_PROTO_NONE, AT(ttl), 1, 255 },
};

void vcl_options_init(struct vcl_opts *o)
{
    o->rcvlowat = 1;
    o->keepidle = 7200;
    o->keepintvl = 75;
    o->keepcnt = 9;
    o->ttl = 64;
    o->linger2 = 60;
    o->mtu_discover = IP_PMTUDISC_WANT;
    o->quickack = true;
    strcpy(o->congestion, "cubic");
}

void vcl_options_inherit(struct vcl_opts *o, const struct vcl_opts *from)
{
    *o = *from;
    o->changed = 0; /* the server has them from the listener */
}

static const struct opt_row *row_of(const struct vcl_socket *s, int level, int name)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        if (rows[i].level == level && rows[i].name == name) {
            if (rows[i].proto != SVM_PROTO_NONE && rows[i].proto != s->proto)
                return NULL;
            return level == IPPROTO_IPV6 && !s->is_v6 ? NULL : &rows[i];
        }
    return NULL;
}

static int32_t row_get(const struct vcl_socket *s, const struct opt_row *r)
{
    const uint8_t *at = (const uint8_t *)&s->opt + r->at;
    int32_t v;

    if (r->kind == OPT_BOOL)
        return *(const bool *)at;
    memcpy(&v, at, sizeof(v));
    return v;
}

/* Without waiting: the value was checked here, so the answer tells nothing. Worker lock held. */
static void post_int(struct vcl_socket *s, uint8_t attr, int32_t v)
{
    struct svm_msg m = vcl_socket_msg(s, SVM_MSG_ATTR_SET);

    m.attr = attr;
    m.u.attr_val.len = sizeof(v);
    memcpy(m.u.attr_val.bytes, &v, sizeof(v));
    vcl_socket_post(s, &m);
}

static void send_int(struct vcl_socket *s, uint8_t attr, int32_t v)
{
    if (!vcl_handle_is_none(s->handle) && !s->local && vcl_socket_enter(s))
        return;
    pthread_mutex_lock(&s->w->lock);
    if (s->local || vcl_handle_is_none(s->handle))
        s->opt.changed |= 1u << attr; /* sent with the session; a cut-through one has no packets that it could concern */
    else
        post_int(s, attr, v);
    pthread_mutex_unlock(&s->w->lock);
}

/* What was set before there was a session. Worker lock held. */
void vcl_options_push(struct vcl_socket *s)
{
    uint32_t changed = s->opt.changed;

    if (!changed || s->local || vcl_handle_is_none(s->handle))
        return;
    s->opt.changed = 0;
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        if (rows[i].attr && changed & 1u << rows[i].attr) {
            post_int(s, rows[i].attr, row_get(s, &rows[i]));
            changed &= ~(1u << rows[i].attr);
        }
    if (changed & 1u << SVM_ATTR_RX_FIFO)
        post_int(s, SVM_ATTR_RX_FIFO, s->opt.rcvbuf);
}

/* Question to the server, and its answer in s->attr_bytes. */
int vcl_attr_request(struct vcl_socket *s, uint8_t type, uint8_t attr, const void *val, uint32_t len)
{
    struct svm_msg m;
    int rc = vcl_socket_enter(s);

    if (rc)
        return rc;
    pthread_mutex_lock(&s->op_lock);
    m = vcl_socket_msg(s, type);
    m.attr = attr;
    m.u.attr_val.len = len;
    if (len)
        memcpy(m.u.attr_val.bytes, val, len);
    s->attr_wanted = attr;
    rc = vcl_socket_request(s, VCL_OP_ATTR, &m);
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

static int take_timeval(const void *val, socklen_t len, int64_t *ns)
{
    struct timeval tv;

    if (len < sizeof(tv))
        return -EINVAL;
    memcpy(&tv, val, sizeof(tv));
    if (tv.tv_usec < 0 || tv.tv_usec >= 1000000)
        return -EDOM;
    if (tv.tv_sec < 0) /* as Linux: at once */
        *ns = 1;
    else
        *ns = tv.tv_sec > INT64_MAX / 2000000000 ? 0 : tv.tv_sec * 1000000000ll + tv.tv_usec * 1000ll;
    return 0;
}

static int set_socket_level(struct vcl_socket *s, int name, const void *val, socklen_t len, int v)
{
    uint32_t max;

    switch (name) {
    case SO_RCVTIMEO:
        return take_timeval(val, len, &s->opt.rcv_timeout_ns);
    case SO_SNDTIMEO:
        return take_timeval(val, len, &s->opt.snd_timeout_ns);
    case SO_LINGER:
        if (len < sizeof(struct linger))
            return -EINVAL;
        memcpy(&s->opt.linger, val, sizeof(struct linger));
        return 0;
    case SO_RCVBUF:
    case SO_SNDBUF:
        if (v < 0)
            return -EINVAL;
        /* Linux doubles the value for its books and never refuses; the bound here is what the server has granted. */
        max = name == SO_RCVBUF ? vcl_config()->rx_fifo_size : vcl_config()->tx_fifo_size;
        v = (int)hs_max_u32(4096, hs_min_u32((uint32_t)v < max / 2 ? 2 * (uint32_t)v : max, max));
        if (name == SO_RCVBUF) {
            s->opt.rcvbuf = v;
            send_int(s, SVM_ATTR_RX_FIFO, v);
        } else {
            s->opt.sndbuf = v;
        }
        return 0;
    case SO_DEBUG:
    case SO_DONTROUTE:
        return v ? -EACCES : 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int set_other(struct vcl_socket *s, int level, int name, const void *val, socklen_t len, int v)
{
    if (level == SOL_SOCKET)
        return set_socket_level(s, name, val, len, v);
    if (level == IPPROTO_TCP && name == TCP_CONGESTION && s->proto == SVM_PROTO_TCP) {
        char cc[16] = { 0 };
        int rc;

        if (len < 1)
            return -EINVAL;
        memcpy(cc, val, hs_min_u32(len, sizeof(cc) - 1));
        if (!s->local && !vcl_handle_is_none(s->handle)) {
            rc = vcl_attr_request(s, SVM_MSG_ATTR_SET, SVM_ATTR_CONGESTION, cc, sizeof(cc));
            if (rc)
                return rc;
        } else if (strcmp(cc, "cubic") && strcmp(cc, "reno")) {
            return -ENOENT;
        }
        strcpy(s->opt.congestion, cc);
        return 0;
    }
    if (level == IPPROTO_IP && name == IP_MTU_DISCOVER)
        return v == IP_PMTUDISC_DO || v == IP_PMTUDISC_WANT ? 0 : -EINVAL;
    if ((level == IPPROTO_IP && name == IP_BIND_ADDRESS_NO_PORT) || (level == IPPROTO_IP && name == IP_RECVERR && !v))
        return 0; /* the port of an unbound socket is chosen at connect in any case */
    return -ENOPROTOOPT;
}

/* Linux counts it in SYN,ACKs that would have been sent by then: 1, 3, 7, 15, 31, 63 seconds, then 64 or 120 more each. */
static int32_t defer_accept_s(int32_t v)
{
    int32_t period = 1, step = 1;

    if (v <= 0)
        return 0;
    for (unsigned n = 1; period < v && n < 255; n++) {
        step = step * 2 > 120 ? 120 : step * 2;
        period += step;
    }
    return period;
}

int vcl_setsockopt(struct vcl_socket *s, int level, int name, const void *val, socklen_t len)
{
    const struct opt_row *r = row_of(s, level, name);
    uint8_t *at;
    int32_t v = 0;

    if (!val && len)
        return -EFAULT;
    if (len >= sizeof(v))
        memcpy(&v, val, sizeof(v));
    else if (len >= 1 && level != SOL_SOCKET)
        v = *(const uint8_t *)val;
    else if (r)
        return -EINVAL;
    if (!r)
        return set_other(s, level, name, val, len, v);
    at = (uint8_t *)&s->opt + r->at;
    if (r->kind == OPT_BOOL) {
        if (name == IPV6_V6ONLY && level == IPPROTO_IPV6 && s->has_lcl)
            return -EINVAL;
        *(bool *)at = v != 0;
        v = v != 0;
    } else {
        if (name == SO_RCVLOWAT && level == SOL_SOCKET) /* one byte wakes, whatever is asked for: refuse what we do not keep */
            return v <= 1 ? 0 : -EINVAL;
        if (v == -1 && (r->attr == SVM_ATTR_TTL || r->attr == SVM_ATTR_DSCP))
            v = r->attr == SVM_ATTR_TTL ? 64 : 0;
        if (r->attr == SVM_ATTR_DEFER_ACCEPT)
            v = defer_accept_s(v);
        if (v < r->lo || v > r->hi)
            return -EINVAL;
        memcpy(at, &v, sizeof(v));
    }
    if (r->attr)
        send_int(s, r->attr, v);
    return 0;
}

/* ---- get ---- */
static int put(void *val, socklen_t *len, const void *from, size_t n)
{
    if (*len > n)
        *len = (socklen_t)n;
    memcpy(val, from, *len);
    return 0;
}
static int put_int(void *val, socklen_t *len, int v) { return put(val, len, &v, sizeof(v)); }

static int put_timeval(void *val, socklen_t *len, int64_t ns)
{
    struct timeval tv = { .tv_sec = ns / 1000000000, .tv_usec = ns % 1000000000 / 1000 };

    return put(val, len, &tv, sizeof(tv));
}

/* IP_MTU, IPV6_MTU: of the path to the peer. */
static int get_mtu(struct vcl_socket *s, void *val, socklen_t *len)
{
    int32_t v;
    int rc;

    if (vcl_handle_is_none(s->handle) || s->local)
        return -ENOTCONN;
    rc = vcl_attr_request(s, SVM_MSG_ATTR_GET, SVM_ATTR_MTU, NULL, 0);
    if (rc)
        return rc;
    if (s->attr_len < sizeof(v))
        return -ENOPROTOOPT;
    memcpy(&v, s->attr_bytes, sizeof(v));
    return put_int(val, len, v);
}

static int get_socket_level(struct vcl_socket *s, int name, void *val, socklen_t *len)
{
    switch (name) {
    case SO_ERROR:
        return put_int(val, len, vcl_take_error(s));
    case SO_TYPE:
        return put_int(val, len, s->is_dgram ? SOCK_DGRAM : SOCK_STREAM);
    case SO_PROTOCOL:
        return put_int(val, len, s->is_dgram ? IPPROTO_UDP : IPPROTO_TCP);
    case SO_DOMAIN:
        return put_int(val, len, s->is_v6 ? AF_INET6 : AF_INET);
    case SO_ACCEPTCONN:
        return put_int(val, len, vcl_is_listener(s));
    case SO_RCVTIMEO:
        return put_timeval(val, len, s->opt.rcv_timeout_ns);
    case SO_SNDTIMEO:
        return put_timeval(val, len, s->opt.snd_timeout_ns);
    case SO_LINGER:
        return put(val, len, &s->opt.linger, sizeof(s->opt.linger));
    case SO_RCVBUF:
        return put_int(val, len, s->opt.rcvbuf ? s->opt.rcvbuf : (int)vcl_config()->rx_fifo_size);
    case SO_SNDBUF:
        return put_int(val, len, s->opt.sndbuf ? s->opt.sndbuf : (int)vcl_config()->tx_fifo_size);
    case SO_DEBUG:
    case SO_DONTROUTE:
        return put_int(val, len, 0);
    default:
        return -ENOPROTOOPT;
    }
}

int vcl_getsockopt(struct vcl_socket *s, int level, int name, void *val, socklen_t *len)
{
    const struct opt_row *r = row_of(s, level, name);
    int32_t v;

    if (!val || !len)
        return -EFAULT;
    if ((int)*len < 0)
        return -EINVAL;
    if (level == IPPROTO_TCP && name == TCP_MAXSEG && s->proto == SVM_PROTO_TCP && vcl_state(s) == VCL_CONNECTED) {
        if (s->local)
            return put_int(val, len, 65483);
        if (vcl_attr_request(s, SVM_MSG_ATTR_GET, SVM_ATTR_MSS, NULL, 0) == 0 && s->attr_len >= sizeof(v)) {
            memcpy(&v, s->attr_bytes, sizeof(v));
            return put_int(val, len, v);
        }
    }
    if (r && r->attr == SVM_ATTR_MSS)
        return put_int(val, len, s->opt.mss ? s->opt.mss : 536);
    if (r)
        return put_int(val, len, row_get(s, r));
    if (level == SOL_SOCKET)
        return get_socket_level(s, name, val, len);
    if (level == IPPROTO_TCP && s->proto == SVM_PROTO_TCP) {
        if (name == TCP_INFO)
            return vcl_tcp_info(s, val, len);
        if (name == TCP_CONGESTION)
            return put(val, len, s->opt.congestion, sizeof(s->opt.congestion));
    }
    if (s->proto == SVM_PROTO_UDP && ((level == IPPROTO_IP && name == IP_MTU) || (level == IPPROTO_IPV6 && name == IPV6_MTU)))
        return get_mtu(s, val, len);
    if (level == IPPROTO_IP && name == IP_MTU_DISCOVER)
        return put_int(val, len, IP_PMTUDISC_WANT);
    return -ENOPROTOOPT;
}
