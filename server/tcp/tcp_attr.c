/* tcp_attr.c - options of a connection (SVM_ATTR_*) */
#include <errno.h>
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_idle.h"
#include "svm/svm_tcp_key.h"

static void set_flag(struct tcp_conn *c, uint32_t flag, bool on)
{
    if (on)
        c->flags |= flag;
    else
        c->flags &= ~flag;
}

static int set_mss(struct worker *w, struct tcp_conn *c, int32_t v)
{
    if (v != 0 && (v < 88 || v > 32767)) /* the range Linux takes */
        return -EINVAL;
    c->user_mss = (uint16_t)v;
    if (c->state != TCP_S_CLOSED && c->state != TCP_S_FREE) /* before the SYN the path comes with what is offered */
        tcp_conn_path_update(w, c);
    return 0;
}

/* Another congestion control takes over with the windows as they are. */
static int set_congestion(struct worker *w, struct tcp_conn *c, const void *val, uint32_t len)
{
    const struct tcp_cc_ops *ops;
    char name[16];

    if (len == 0 || len > sizeof(name) - 1)
        return -ENOENT;
    memcpy(name, val, len);
    name[len] = '\0';
    ops = tcp_cc_find(name);
    if (!ops)
        return -ENOENT; /* as Linux */
    if (ops == c->cc)
        return 0;
    c->cc = ops;
    /* Before, the union holds other things; init comes with ESTABLISHED. */
    if (c->state != TCP_S_SYN_RCVD && c->state != TCP_S_SYN_SENT && c->state != TCP_S_FREE) {
        memset(c->cc_priv, 0, sizeof(c->cc_priv));
        tcp_pace_set(w, c, 0); /* one with a model sets its own */
        ops->init(w, c);
    }
    return 0;
}

/* RFC 5482 s3.1: USER_TIMEOUT = min(U_LIMIT, max(ADV_UTO, REMOTE_UTO, L_LIMIT)). A program that has chosen its own keeps it
 * (CHANGEABLE is false then). The limits keep a peer from having a connection dropped at once, or held for ever. */
void tcp_user_timeout_input(struct worker *w, struct tcp_conn *c, uint32_t peer_s)
{
    enum { L_LIMIT_S = 100, U_LIMIT_S = 3600 };

    if (!tcp_worker_of(w)->cfg.user_timeout_option || (c->flags & TCP_F_USER_TIMEOUT_SET))
        return;
    c->user_timeout_ms = 1000 * (peer_s < L_LIMIT_S ? L_LIMIT_S : peer_s > U_LIMIT_S ? U_LIMIT_S : peer_s);
}

static int set_int(struct worker *w, struct tcp_conn *c, uint8_t attr, int32_t v)
{
    switch (attr) {
    case SVM_ATTR_NODELAY:
        set_flag(c, TCP_F_NODELAY, v != 0);
        tcp_tx_request(w, c);
        return 0;
    case SVM_ATTR_CORK:
        set_flag(c, TCP_F_CORK, v != 0);
        tcp_tx_request(w, c);
        return 0;
    case SVM_ATTR_QUICKACK:
        set_flag(c, TCP_F_QUICKACK, v != 0);
        if (!v)
            c->quick_acks = 0; /* those of the start are not wanted either */
        if (v && (c->flags & TCP_F_ACK_DELAYED))
            tcp_send_ack(w, c);
        return 0;
    case SVM_ATTR_KEEPALIVE:
        set_flag(c, TCP_F_KEEPALIVE, v != 0);
        tcp_keepalive_update(w, c);
        return 0;
    case SVM_ATTR_KEEPIDLE:
    case SVM_ATTR_KEEPINTVL:
        if (v < 1 || v > TCP_KEEP_MAX_S)
            return -EINVAL;
        *(attr == SVM_ATTR_KEEPIDLE ? &c->keepidle_s : &c->keepintvl_s) = (uint16_t)v;
        if (c->flags & TCP_F_KEEPALIVE)
            tcp_keepalive_update(w, c);
        return 0;
    case SVM_ATTR_KEEPCNT:
        if (v < 1 || v > TCP_KEEPCNT_MAX)
            return -EINVAL;
        c->keepcnt = (uint8_t)v;
        return 0;
    case SVM_ATTR_MSS:
        return set_mss(w, c, v);
    case SVM_ATTR_USER_TIMEOUT:
        if (v < 0)
            return -EINVAL;
        c->user_timeout_ms = (uint32_t)v;
        set_flag(c, TCP_F_USER_TIMEOUT_SET, v != 0);
        if (v && tcp_worker_of(w)->cfg.user_timeout_option && c->state == TCP_S_ESTABLISHED) {
            c->flags |= TCP_F_TELL_USER_TIMEOUT;
            tcp_send_ack(w, c);
        }
        return 0;
    case SVM_ATTR_LINGER2:
        c->linger2_s = (int16_t)(v > 60 ? 60 : v < 0 ? -1 : v); /* Linux caps it at its own default */
        return 0;
    case SVM_ATTR_DEFER_ACCEPT:
    case SVM_ATTR_FASTOPEN:
    case SVM_ATTR_FASTOPEN_NO_COOKIE:
        return v < 0 ? -EINVAL : 0; /* means something to listeners only, and they keep it */
    case SVM_ATTR_SYN_COUNT:
        if (c->state == TCP_S_FREE || c->state == TCP_S_CLOSED || c->state == TCP_S_SYN_SENT) /* else its SYNs are past */
            c->open.retries = (uint8_t)v;
        return 0;
    case SVM_ATTR_MIN_TTL:
        c->min_ttl = (uint8_t)(ip_addr_is_v4(&c->base.rmt.ip) ? v : v >> 8);
        c->lflags = (uint8_t)((c->lflags & ~TCP_LF_MIN_TTL) | (c->min_ttl ? TCP_LF_MIN_TTL : 0));
        return 0;
    case SVM_ATTR_DSCP:
        if (v < 0 || v > 255)
            return -EINVAL;
        c->tos = (uint8_t)(v & ~3); /* the ECN bits are TCP's */
        return 0;
    case SVM_ATTR_MAX_PACING:
        tcp_pace_limit(w, c, (uint32_t)v);
        return 0;
    case SVM_ATTR_TTL:
        if (v < -1 || v > 255)
            return -EINVAL;
        c->ttl = (uint8_t)(v == -1 ? 0 : v); /* 0 = the default of IP */
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

int tcp_attr_set(struct worker *w, struct transport_conn *b, uint8_t attr, const void *val, uint32_t len)
{
    struct tcp_conn *c = tcp_idle_wake(w, b);
    int32_t v;

    if (!c)
        return -ENOMEM;
    if (attr >= SVM_ATTR_TCP_KEYS && attr <= SVM_ATTR_TCP_AO_KEY)
        return tcp_auth_attr_set(w, c, attr, val, len);
    if (attr == SVM_ATTR_CONGESTION)
        return set_congestion(w, c, val, (uint32_t)strnlen(val, len));
    if (len < sizeof(v))
        return -EINVAL;
    memcpy(&v, val, sizeof(v));
    return set_int(w, c, attr, v);
}

/* Its next packet asks for the way anew. */
int tcp_set_device(struct worker *w, struct transport_conn *b, uint8_t dev)
{
    struct tcp_conn *c = tcp_idle_wake(w, b);

    if (!c)
        return -ENOMEM;
    c->base.dev = dev & 127;
    c->route = (struct ip_route_cache){ 0 };
    (void)tcp_conn_path_update(w, c);
    return 0;
}

/* What a program set on the listener holds for what it accepts, as on Linux. */
void tcp_attr_inherit(struct worker *w, struct tcp_conn *c, const struct listener *l)
{
    static const uint8_t attrs[] = {
        SVM_ATTR_NODELAY, SVM_ATTR_KEEPIDLE, SVM_ATTR_KEEPINTVL, SVM_ATTR_KEEPCNT, SVM_ATTR_KEEPALIVE, SVM_ATTR_USER_TIMEOUT,
        SVM_ATTR_DSCP, SVM_ATTR_TTL, SVM_ATTR_LINGER2, SVM_ATTR_CORK,
        SVM_ATTR_MAX_PACING, SVM_ATTR_MIN_TTL,
    };
    const char *cc = listener_congestion(l);
    int32_t v;

    if (!listener_has_attrs(l))
        return;
    if (cc && tcp_cc_find(cc))
        c->cc = tcp_cc_find(cc); /* begins with ESTABLISHED */
    for (unsigned i = 0; i < HS_ARRAY_LEN(attrs); i++) {
        if (listener_attr(l, attrs[i], &v) == 0)
            set_int(w, c, attrs[i], v);
    }
    if (listener_attr(l, SVM_ATTR_MSS, &v) == 0 && v >= 88 && v <= 32767)
        c->user_mss = (uint16_t)v;
}

static int get_int(struct worker *w, const struct tcp_conn *c, uint8_t attr, int32_t *v)
{
    switch (attr) {
    case SVM_ATTR_NODELAY: *v = !!(c->flags & TCP_F_NODELAY); return 0;
    case SVM_ATTR_CORK: *v = !!(c->flags & TCP_F_CORK); return 0;
    case SVM_ATTR_QUICKACK: *v = !!(c->flags & TCP_F_QUICKACK); return 0;
    case SVM_ATTR_KEEPALIVE: *v = !!(c->flags & TCP_F_KEEPALIVE); return 0;
    case SVM_ATTR_KEEPIDLE: *v = c->keepidle_s; return 0;
    case SVM_ATTR_KEEPINTVL: *v = c->keepintvl_s; return 0;
    case SVM_ATTR_KEEPCNT: *v = c->keepcnt; return 0;
    case SVM_ATTR_MSS: *v = c->mss + c->opt_len; return 0;
    case SVM_ATTR_USER_TIMEOUT: *v = (int32_t)c->user_timeout_ms; return 0;
    case SVM_ATTR_LINGER2: *v = c->linger2_s; return 0;
    case SVM_ATTR_DSCP: *v = c->tos; return 0;
    case SVM_ATTR_MAX_PACING: *v = (int32_t)c->pace_max; return 0;
    case SVM_ATTR_TTL: *v = c->ttl; return 0;
    case SVM_ATTR_TX_QUEUED:
        *v = c->base.session ? (int32_t)session_tx_avail(w, c->base.session) : 0;
        return 0;
    default: return -ENOPROTOOPT;
    }
}

static int put_out(const void *src, uint32_t n, void *val, uint32_t *len)
{
    if (*len < n)
        return -EINVAL;
    memcpy(val, src, n);
    *len = n;
    return 0;
}

int tcp_attr_get(struct worker *w, struct transport_conn *b, uint8_t attr, void *val, uint32_t *len)
{
    struct tcp_conn room;
    const struct tcp_conn *c = tcp_idle_look(w, b, &room);
    int32_t v;
    int rc;

    if (attr == SVM_ATTR_TCP_INFO || attr == SVM_ATTR_TCP_INFO2 || attr == SVM_ATTR_TCP_INFO3 ||
        (attr >= SVM_ATTR_TCP_INFO4 && attr <= SVM_ATTR_TCP_INFO6))
        return tcp_info_get(w, c, attr, val, len);
    if (attr >= SVM_ATTR_TCP_KEYS && attr <= SVM_ATTR_TCP_AO_KEY)
        return tcp_auth_attr_get(w, c, attr, val, len);
    if (attr == SVM_ATTR_CONGESTION)
        return put_out(c->cc->name, (uint32_t)strlen(c->cc->name) + 1, val, len);
    rc = get_int(w, c, attr, &v);
    return rc ? rc : put_out(&v, sizeof(v), val, len);
}
