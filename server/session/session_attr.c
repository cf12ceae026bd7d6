/* session_attr.c - attributes of sessions: kept until there is a connection, passed on from listeners, else the transport's */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "svm/svm_sctp.h"
#include "svm/svm_tcp_key.h"

static_assert((int)SVM_ATTR_MIN_TTL < (int)SESSION_MAX_ATTRS, "attributes fit the array and the bit mask");

static bool is_settable(uint8_t attr)
{
    return (attr >= SVM_ATTR_NODELAY && attr <= SVM_ATTR_CORK && attr != SVM_ATTR_TCP_INFO) || attr == SVM_ATTR_DEFER_ACCEPT ||
           attr == SVM_ATTR_MTU_DISCOVER || attr == SVM_ATTR_MAX_PACING || (attr >= SVM_ATTR_MCAST_TTL && attr <= SVM_ATTR_MCAST_ALL) ||
           attr == SVM_ATTR_RX_TELL || attr == SVM_ATTR_GRO || attr == SVM_ATTR_RECVERR ||
           (attr >= SVM_ATTR_FASTOPEN && attr <= SVM_ATTR_NO_CHECK6_RX) || attr == SVM_ATTR_SYN_COUNT || attr == SVM_ATTR_MIN_TTL;
}

/* No number, and nothing that is kept for later: the connection has it or refuses it. */
static bool is_transports_own(uint8_t attr)
{
    return attr >= SVM_ATTR_MCAST_JOIN && attr <= SVM_ATTR_MCAST_FILTER;
}

/* -errno for a value that no transport would take. */
static int check_value(uint8_t attr, int32_t v)
{
    switch (attr) {
    case SVM_ATTR_KEEPIDLE:
    case SVM_ATTR_KEEPINTVL:
        return v >= 1 && v <= 32767 ? 0 : -EINVAL;
    case SVM_ATTR_KEEPCNT:
        return v >= 1 && v <= 127 ? 0 : -EINVAL;
    case SVM_ATTR_SYN_COUNT:
        return v >= 1 && v <= 127 ? 0 : -EINVAL;
    case SVM_ATTR_MIN_TTL:
        return v >= 0 && v <= 0xffff ? 0 : -EINVAL;
    case SVM_ATTR_MSS:
        return v == 0 || (v >= 88 && v <= 32767) ? 0 : -EINVAL;
    case SVM_ATTR_USER_TIMEOUT:
    case SVM_ATTR_DEFER_ACCEPT:
    case SVM_ATTR_FASTOPEN:
        return v >= 0 ? 0 : -EINVAL;
    case SVM_ATTR_MTU_DISCOVER:
        return v >= 0 && v <= 3 ? 0 : -EINVAL;
    case SVM_ATTR_TTL:
        return v == -1 || (v >= 1 && v <= 255) ? 0 : -EINVAL;
    default:
        return 0;
    }
}

static int check(uint8_t attr, const void *val, uint32_t len)
{
    int32_t v;

    if (!is_settable(attr))
        return -ENOPROTOOPT;
    if (attr == SVM_ATTR_FASTOPEN_KEY)
        return len == SVM_FASTOPEN_KEY || len == 2 * SVM_FASTOPEN_KEY ? 0 : -EINVAL;
    if (attr == SVM_ATTR_CONGESTION)
        return 0;
    if (len != sizeof(v))
        return -EINVAL;
    memcpy(&v, val, sizeof(v));
    return check_value(attr, v);
}

static int attrs_put(struct session_attrs *a, uint8_t attr, const void *val, uint32_t len)
{
    int32_t v;

    if (attr == SVM_ATTR_CONGESTION) {
        if (len == 0 || len > sizeof(a->congestion))
            return -EINVAL;
        memset(a->congestion, 0, sizeof(a->congestion));
        memcpy(a->congestion, val, len);
        a->congestion[sizeof(a->congestion) - 1] = '\0';
    } else if (attr == SVM_ATTR_FASTOPEN_KEY) {
        memcpy(a->fastopen_key, val, len);
        a->n_fastopen_keys = (uint8_t)(len / SVM_FASTOPEN_KEY);
    } else {
        memcpy(&v, val, sizeof(v));
        a->value[attr] = v;
    }
    a->is_set |= UINT64_C(1) << attr;
    return 0;
}

static int attrs_keep(struct session *s, uint8_t attr, const void *val, uint32_t len)
{
    struct session_rare *r = session_rare_get(s);

    if (r && !r->attrs)
        r->attrs = calloc(1, sizeof(*r->attrs));
    return r && r->attrs ? attrs_put(r->attrs, attr, val, len) : -ENOMEM;
}

int session_attr_early(struct session_attrs **early, uint8_t attr, const void *val, uint32_t len)
{
    int err = check(attr, val, len);

    if (err != 0)
        return err;
    if (!*early)
        *early = calloc(1, sizeof(**early));
    return *early ? attrs_put(*early, attr, val, len) : -ENOMEM;
}

void session_attrs_forget(struct session_attrs *early)
{
    if (early)
        early->is_set = 0;
}

/* FIFO sizes take effect where the FIFO is: a receive FIFO is the server's, a transmit FIFO grows in the program. Whoever takes nothing but
 * whole records has room for them: else he would wait for the rest of one, and the peer for him. */
static int fifo_limit(struct session *s, uint8_t attr, int32_t v)
{
    uint32_t size = hs_max_u32(4096, attr == SVM_ATTR_RX_FIFO && s->app ? s->app->ops->rx_min : 0);

    if (v < 0)
        return -EINVAL;
    while (size < (uint32_t)v && size < (1u << SVM_RING_MAX_LOG2))
        size <<= 1;
    if (attr == SVM_ATTR_RX_FIFO && s->has_fifos && size <= s->fifos->rx.max_size) {
        int64_t unread = svm_fifo_prod_unread(&s->fifos->rx);
        if (unread >= 0 && unread + 4096 < (int64_t)size && s->fifos->rx.n_ooo == 0 && s->fifos->rx.cur_log2 <= (uint8_t)__builtin_ctz(size))
            s->fifos->rx.max_size = size;
    }
    return 0;
}

/* The number of its keys: what is accepted later has them, too, and on every worker. */
static int keys_changed(struct worker *w, struct session *s, const void *val, uint32_t len)
{
    if (s->proto != SVM_PROTO_TCP)
        return -ENOPROTOOPT;
    if (len != sizeof(s->layer_cfg))
        return -EINVAL;
    memcpy(&s->layer_cfg, val, sizeof(s->layer_cfg));
    if (s->listener) {
        s->listener->layer_cfg = s->layer_cfg;
        return s->state == SESSION_LISTENING ? listener_replicate(w, s) : 0;
    }
    return s->conn ? s->ops->attr_set(w, s->conn, SVM_ATTR_TCP_KEYS, val, len) : 0;
}

int session_attr_set(struct worker *w, struct session *s, uint8_t attr, const void *val, uint32_t len)
{
    int32_t v;
    int err;

    if (is_transports_own(attr))
        return s->conn && s->ops->attr_set ? s->ops->attr_set(w, s->conn, attr, val, len) : -ENOPROTOOPT;
    if (attr == SVM_ATTR_SCTP)
        return session_option_set_part(w, s, val, len);
    if (attr == SVM_ATTR_DEVICE)
        return session_device_set(w, s, val, len);
    if (attr == SVM_ATTR_TCP_KEYS)
        return keys_changed(w, s, val, len);
    if (attr > SVM_ATTR_TCP_KEYS && attr <= SVM_ATTR_TCP_AO_KEY)
        return s->conn && s->ops->attr_set ? s->ops->attr_set(w, s->conn, attr, val, len) : -ENOENT;
    err = check(attr, val, len);
    if (err != 0)
        return err;
    if (attr == SVM_ATTR_RX_FIFO || attr == SVM_ATTR_TX_FIFO) {
        memcpy(&v, val, sizeof(v));
        err = fifo_limit(s, attr, v);
        if (err != 0 || s->conn || s->has_fifos || attr == SVM_ATTR_TX_FIFO)
            return err; /* else there will be one: the first window, and its scale, are to fit it */
    }
    if (s->conn && attr != SVM_ATTR_FASTOPEN_KEY) {
        err = s->ops->attr_set ? s->ops->attr_set(w, s->conn, attr, val, len) : -ENOPROTOOPT;
        if (err != 0)
            return err;
    }
    err = attrs_keep(s, attr, val, len);
    if (err == 0 && s->listener) {
        s->listener->attrs = *s->rare->attrs;
        if (s->state == SESSION_LISTENING)
            err = listener_replicate(w, s);
    }
    return err;
}

int session_attr_get(struct worker *w, struct session *s, uint8_t attr, void *val, uint32_t *len)
{
    const struct session_attrs *a = session_attrs(s);
    int32_t v;

    if (attr == SVM_ATTR_SCTP)
        return session_option_get_part(w, s, val, len);
    if (attr == SVM_ATTR_DEVICE)
        return session_device_get(w, s, val, len);
    if (attr == SVM_ATTR_WAITING) {
        v = s->listener ? (int32_t)hs_min_u32(s->listener->n_waiting, INT32_MAX) : 0;
        memcpy(val, &v, sizeof(v));
        *len = sizeof(v);
        return 0;
    }
    if (attr == SVM_ATTR_RX_FIFO || attr == SVM_ATTR_TX_FIFO) {
        if (*len < sizeof(v))
            return -EINVAL;
        v = !s->has_fifos ? 0 : (int32_t)(attr == SVM_ATTR_RX_FIFO ? s->fifos->rx.max_size : s->fifos->tx.max_size);
        memcpy(val, &v, sizeof(v));
        *len = sizeof(v);
        return 0;
    }
    if (s->conn && s->ops->attr_get)
        return s->ops->attr_get(w, s->conn, attr, val, len);
    if (!is_settable(attr) || !a || !(a->is_set & (UINT64_C(1) << attr)))
        return -ENOPROTOOPT;
    if (attr == SVM_ATTR_FASTOPEN_KEY)
        return -ENOPROTOOPT; /* the program knows it */
    if (attr == SVM_ATTR_CONGESTION) {
        *len = (uint32_t)strnlen(a->congestion, sizeof(a->congestion)) + 1;
        memcpy(val, a->congestion, *len);
        return 0;
    }
    memcpy(val, &a->value[attr], sizeof(v));
    *len = sizeof(v);
    return 0;
}

static void attrs_apply(struct worker *w, const struct session *s, struct transport_conn *c)
{
    const struct session_attrs *a = session_attrs(s);

    if (!a || !s->ops->attr_set)
        return;
    for (uint8_t attr = 1; attr < SESSION_MAX_ATTRS; attr++) {
        if (!(a->is_set & (UINT64_C(1) << attr)))
            continue;
        if (attr == SVM_ATTR_FASTOPEN_KEY)
            continue; /* of listeners */
        /* Values were checked when they were set; an option that this transport lacks was refused then, too. */
        if (attr == SVM_ATTR_CONGESTION)
            (void)s->ops->attr_set(w, c, attr, a->congestion, (uint32_t)strlen(a->congestion) + 1);
        else
            (void)s->ops->attr_set(w, c, attr, &a->value[attr], sizeof(int32_t));
    }
}

void session_attrs_apply(struct worker *w, struct session *s)
{
    if (s->conn)
        attrs_apply(w, s, s->conn);
}

void session_connect_attrs(struct worker *w, struct session *s, struct transport_conn *c) { attrs_apply(w, s, c); }

/* What the first packet offers, the FIFO must have: a window, and its scale. */
void session_attrs_begin(struct session *s)
{
    const struct session_attrs *a = session_attrs(s);

    if (a && a->is_set & UINT64_C(1) << SVM_ATTR_RX_FIFO)
        (void)fifo_limit(s, SVM_ATTR_RX_FIFO, a->value[SVM_ATTR_RX_FIFO]);
}
