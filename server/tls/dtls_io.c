/* dtls_io.c - datagrams for the engine, and messages of the program: one record each (RFC 6347 s4.1) */
#include "server/tls/dtls.h"

#include <errno.h>
#include <string.h>

enum { HDR_MAX = 256, RX_RING_FLOOR = 128 << 10, GREET_COST = 2048, GREET_PIECE = 64, READ_PIECE = 32 };
enum { HANDSHAKE_RECORD = 22, CLIENT_HELLO = 1, VERSION_HIGH = 0xfe, RANDOM_AT = 13 + 12 + 2 };

static uint32_t padded(uint32_t n) { return (n + 7) & ~7u; }

/* ---- below ---- */

/* The next datagram, as far as it fits: a longer one is no record. Bytes of it, 0 = none there, -1 = the session below has ended. */
static int next_datagram(struct tls_conn *c, struct svm_dgram_hdr *h, void *buf, size_t len)
{
    uint32_t n;

    if (!c->has_fifos || c->lower_error || !c->lower)
        return -1;
    while (svm_fifo_cons_avail(&c->in) > 0) {
        if (svm_fifo_peek(&c->in, 0, h, sizeof(*h)) != (int64_t)sizeof(*h))
            return -1;
        n = (uint32_t)hs_min_u64(len, h->data_len);
        if ((n && svm_fifo_peek(&c->in, h->hdr_len, buf, n) != (int64_t)n) || svm_fifo_drop(&c->in, h->hdr_len + padded(h->data_len)) != 0)
            return -1;
        if (n)
            return (int)n;
    }
    return 0;
}

int dtls_lower_next(struct tls_conn *c, void *buf, size_t len)
{
    struct svm_dgram_hdr h;

    return next_datagram(c, &h, buf, len);
}

/* One that came while a thread had the engine, or before the handshake was over: the thread's copy. -1 as below. */
static int read_job(struct tls_conn *c, void *buf, size_t len)
{
    const uint8_t *data;
    uint32_t n;

    if (tls_job_left(&c->job->in) == 0)
        return c->job->in_end ? -1 : 0;
    data = tls_job_next(&c->job->in, &n);
    n = (uint32_t)hs_min_u64(len, n);
    memcpy(buf, data, n);
    return (int)n;
}

int dtls_lower_read(void *arg, void *buf, size_t len)
{
    struct tls_conn *c = arg;
    struct tls_worker *tw;
    uint32_t n;

    if (c->job && (c->job->at_thread || tls_job_left(&c->job->in) > 0)) {
        int got = read_job(c, buf, len);
        if (!c->job->at_thread)
            tls_job_drop(c);
        return got;
    }
    tw = tls_worker_of(c->w);
    if (c->state == TLS_S_OPEN || c->state == TLS_S_CLOSING) {
        if (tw->datagrams_left == 0)
            return 0;
        tw->datagrams_left--;
    }
    if (c->state != TLS_S_DOOR)
        return dtls_lower_next(c, buf, len);
    n = tw->greeting_len;
    tw->greeting_len = 0; /* once; what else is there is of others */
    n = hs_min_u32(n, (uint32_t)hs_min_u64(len, UINT32_MAX));
    memcpy(buf, tw->gather, n);
    return (int)n;
}

/* A full FIFO loses it, as a full queue would. */
int dtls_lower_write(void *arg, const void *buf, size_t len)
{
    static const uint8_t zeros[8];
    struct tls_conn *c = arg;
    struct svm_dgram_hdr h = { .data_len = (uint32_t)len, .hdr_len = sizeof(h), .version = 1 };
    struct iovec iov[3] = {
        { &h, sizeof(h) }, { (void *)(uintptr_t)buf, len }, { (void *)(uintptr_t)zeros, padded(h.data_len) - h.data_len },
    };

    if (c->job && c->job->at_thread) /* this runs there: job and engine are all it may touch */
        return tls_job_put(&c->job->out, buf, len) ? (int)len : -1;
    if (!c->has_fifos || !c->lower || len > TLS_RECORD_MAX + TLS_OVERHEAD)
        return -1;
    h.lcl_ip = h.rmt_ip = ip_addr_any(ip_addr_is_v4(&c->lower->rmt.ip));
    if (c->state == TLS_S_DOOR) {
        h.lcl_ip = c->base.lcl.ip;
        h.rmt_ip = c->base.rmt.ip;
        h.rmt_port = c->base.rmt.port;
    }
    if (svm_fifo_enqueue_record(&c->out, iov, 3) != 0)
        tls_worker_of(c->w)->count.dtls_tx_full++;
    return (int)len;
}

unsigned dtls_lower_mtu(void *arg)
{
    struct tls_conn *c = arg;
    bool v4 = ip_addr_is_v4(&c->base.rmt.ip);
    int32_t mtu = 0;
    uint32_t len = sizeof(mtu);

    if (c->job && c->job->at_thread)
        return c->job->mtu;
    if (!c->lower || session_attr_get(c->w, c->lower, SVM_ATTR_MTU, &mtu, &len) != 0 || mtu < 576)
        mtu = v4 ? 576 : 1280;
    return (unsigned)mtu - (v4 ? 28 : 48);
}

uint64_t dtls_lower_now_us(void *arg)
{
    const struct tls_conn *c = arg;

    return c->job && c->job->at_thread ? c->job->now_us : c->w->now_us;
}

/* ---- at the door ---- */

static bool may_be_hello(const uint8_t *b, int n) { return n > 13 && b[0] == HANDSHAKE_RECORD && b[1] == VERSION_HIGH; }

/* It came before the connection of its client had a session of its own: pieces of a ClientHello behind the one with the cookie do. */
static bool is_of_another(struct tls_conn *door, struct svm_dgram_hdr *h, uint8_t *data)
{
    static const uint8_t zeros[8];
    struct transport_conn *udp = session_lookup(door->w, SVM_PROTO_UDP, &door->base.lcl, &door->base.rmt, door->lower->fib);
    struct iovec iov[3] = { { h, sizeof(*h) }, { data, h->data_len }, { (void *)(uintptr_t)zeros, padded(h->data_len) - h->data_len } };

    if (!udp || !udp->session || !udp->session->app || udp->session->app->ops != &tls_app_ops)
        return udp != NULL;
    tls_worker_of(door->w)->count.dtls_late++;
    h->hdr_len = sizeof(*h);
    if (h->data_len <= TLS_RECORD_MAX)
        (void)session_rx_enqueue_record(door->w, udp->session, iov, 3);
    return true;
}

void dtls_door_receive(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);

    for (unsigned i = 0; i < GREET_PIECE && tw->budget; i++) {
        struct svm_dgram_hdr h;
        int n = next_datagram(c, &h, tw->gather, TLS_RECORD_MAX);

        if (n < 0)
            return;
        if (n == 0) {
            tls_lower_tell(c);
            if (!tls_lower_arm(c))
                return;
            break;
        }
        tw->budget -= hs_min_u32(tw->budget, GREET_COST);
        if (!may_be_hello(tw->gather, n) || ip_addr_is_multicast(&h.lcl_ip) || ip_addr_is_broadcast(&h.lcl_ip)) {
            tw->count.dtls_strays++;
            continue;
        }
        c->base.lcl = (struct ip_endpoint){ h.lcl_ip, h.lcl_port };
        c->base.rmt = (struct ip_endpoint){ h.rmt_ip, h.rmt_port };
        if (is_of_another(c, &h, tw->gather))
            continue;
        tw->greeting_len = dtls_frag_take(tw, &c->base.lcl, &c->base.rmt, tw->gather, (uint32_t)n);
        if (tw->greeting_len == 0)
            continue;
        if (dtls_greet(c, &c->base.lcl, &c->base.rmt))
            dtls_welcome(c, &c->base.lcl, &c->base.rmt);
    }
    tls_lower_tell(c);
    tls_conn_ready(c);
}

/* ---- to the program ---- */

static bool deliver(struct tls_conn *c, const uint8_t *data, uint32_t len)
{
    static const uint8_t zeros[8];
    struct session *s = c->base.session;
    struct svm_dgram_hdr h = { .data_len = len, .hdr_len = sizeof(h), .version = 1, .lcl_ip = c->base.lcl.ip, .rmt_ip = c->base.rmt.ip,
                               .lcl_port = c->base.lcl.port, .rmt_port = c->base.rmt.port };
    struct iovec iov[3] = {
        { &h, sizeof(h) }, { (void *)(uintptr_t)data, len }, { (void *)(uintptr_t)zeros, padded(len) - len },
    };

    if (hs_likely(s->has_fifos))
        svm_fifo_prod_set_floor(&s->fifos->rx, RX_RING_FLOOR);
    return session_rx_enqueue_record(c->w, s, iov, 3) == 0;
}

/* A message waits below until the program has room for any that may come. */
static bool has_room(struct tls_conn *c)
{
    struct session *s = c->base.session;
    uint32_t want = hs_min_u32(TLS_RECORD_MAX + sizeof(struct svm_dgram_hdr), session_rx_max(s) / 2);

    if (s->rd_closed || c->state == TLS_S_CLOSING || session_rx_space(c->w, s) >= want)
        return true;
    c->rx_blocked = true;
    session_rx_want_space(c->w, s, want);
    return false;
}

static void failed(struct tls_conn *c)
{
    const struct tls_engine *e = c->w->stack->tls->engine;

    tls_worker_of(c->w)->count.bad_records++;
    tls_conn_fail(c, c->lower_error ? c->lower_error : e->error_code(c->engine), c->lower_error ? NULL : e->error(c->engine));
}

static void forget_all(struct tls_conn *c)
{
    int64_t n = c->has_fifos ? svm_fifo_cons_avail(&c->in) : 0;

    if (n > 0)
        (void)svm_fifo_drop(&c->in, (uint32_t)n); /* after close_notify nothing counts */
    (void)tls_lower_arm(c);
    tls_lower_tell(c);
}

/* One message. False: no more now. */
static bool receive_one(struct tls_conn *c, uint32_t *used)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    struct session *s = c->base.session;
    size_t n = 0;

    tw->datagrams_left = READ_PIECE;
    switch (c->w->stack->tls->engine->read(c->engine, tw->gather, TLS_RECORD_MAX, &n)) {
    case TLS_DONE:
        *used += (uint32_t)n + TLS_OVERHEAD;
        c->last_us = c->w->now_us;
        if (!s->rd_closed && c->state != TLS_S_CLOSING && !deliver(c, tw->gather, (uint32_t)n))
            tw->count.dtls_rx_full++;
        return true;
    case TLS_CLOSED:
        c->rx_closed = true;
        session_rx_fin(c->w, s);
        tls_conn_ready(c);
        return false;
    case TLS_FAILED:
        failed(c);
        return false;
    default:
        if (tw->datagrams_left > 0)
            return tls_lower_arm(c);
        *used += READ_PIECE * GREET_COST; /* so many that were nothing: others first */
        return true;
    }
}

/* A ClientHello in the clear, where the client should have said something else. */
static bool begins_anew(struct tls_conn *c)
{
    struct svm_dgram_hdr h;
    uint8_t b[14];

    if (!c->is_server || !c->has_fifos || svm_fifo_cons_avail(&c->in) <= 0 || svm_fifo_peek(&c->in, 0, &h, sizeof(h)) != (int64_t)sizeof(h) ||
        h.data_len < sizeof(b) || svm_fifo_peek(&c->in, h.hdr_len, b, sizeof(b)) != (int64_t)sizeof(b))
        return false;
    return may_be_hello(b, sizeof(b)) && b[3] == 0 && b[4] == 0 && b[13] == CLIENT_HELLO;
}

static bool greet_anew(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    struct svm_dgram_hdr h;
    int n = next_datagram(c, &h, tw->gather, TLS_RECORD_MAX);
    bool is_over;

    tw->budget -= hs_min_u32(tw->budget, GREET_COST);
    tw->greeting_len = n > 0 ? dtls_frag_take(tw, &c->base.lcl, &c->base.rmt, tw->gather, (uint32_t)n) : 0;
    if (tw->greeting_len < RANDOM_AT + TLS_RANDOM || c->w->stack->tls->engine->has_random(c->engine, tw->gather + RANDOM_AT)) {
        tw->greeting_len = 0; /* the one that c began with, late or doubled on its way, or sent by who has seen it: its cookie is good still */
        return false;
    }
    is_over = dtls_greet_anew(c);
    tw->greeting_len = 0;
    return is_over;
}

void dtls_receive(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    uint32_t budget = hs_min_u32(TLS_PIECE, tw->budget), used = 0;
    bool more = true;

    if (!c->base.session || c->rx_closed) {
        forget_all(c);
        return;
    }
    c->rx_blocked = false;
    while (more && used < budget && has_room(c)) {
        while (begins_anew(c))
            if (greet_anew(c))
                return;
        more = receive_one(c, &used);
    }
    if (more && !c->rx_blocked)
        tls_conn_ready(c);
    tw->budget -= hs_min_u32(tw->budget, used);
    tls_lower_tell(c);
}

/* ---- from the program ---- */

/* The message that is next, copied once and checked against what is there. 1, 0 = none, -EPROTO. */
static int next_message(struct tls_conn *c, struct svm_dgram_hdr *h)
{
    struct session *s = c->base.session;
    uint32_t avail = session_tx_avail(c->w, s);

    if (avail == 0)
        return 0;
    if (avail < sizeof(*h))
        return -EPROTO;
    session_tx_copy(c->w, s, 0, h, sizeof(*h));
    if (h->version != 1 || h->hdr_len < sizeof(*h) || h->hdr_len > sizeof(*h) + HDR_MAX || h->hdr_len % 8 || h->data_len > avail ||
        h->hdr_len + padded(h->data_len) > avail)
        return -EPROTO;
    return 1;
}

/* 0, or the error for the program; -EIO: the connection has ended. */
static int send_one(struct tls_conn *c, const struct svm_dgram_hdr *h)
{
    const struct tls_engine *e = c->w->stack->tls->engine;
    uint8_t *gather = tls_worker_of(c->w)->gather;
    size_t n = 0;

    if (h->data_len > TLS_RECORD_MAX)
        return -EMSGSIZE;
    if (h->data_len == 0)
        return 0; /* a record of nothing says nothing */
    session_tx_copy(c->w, c->base.session, h->hdr_len, gather, h->data_len);
    if (e->write(c->engine, gather, h->data_len, &n) == TLS_FAILED) {
        tls_conn_fail(c, e->error_code(c->engine), e->error(c->engine));
        return -EIO;
    }
    return 0;
}

static void end(struct tls_conn *c)
{
    struct session *s = c->base.session;

    if (!c->notify_sent) {
        (void)c->w->stack->tls->engine->close_notify(c->engine);
        c->notify_sent = true;
        tls_lower_tell(c);
    }
    if (c->state != TLS_S_CLOSING)
        return;
    c->base.session = NULL;
    tls_conn_finish_lower(c);
    session_closed(c->w, s);
}

enum transport_tx_verdict dtls_tx(struct worker *w, struct transport_conn *b, unsigned budget)
{
    struct tls_conn *c = tls_of(b);
    struct tls_worker *tw = tls_worker_of(w);
    struct session *s = b->session;
    struct svm_dgram_hdr h;
    int rc;

    if (c->rx_blocked)
        tls_conn_ready(c); /* session_rx_want_space() asks by this call, too */
    if ((c->state != TLS_S_OPEN && c->state != TLS_S_CLOSING) || !c->lower || c->lower_error || (c->notify_sent && c->state == TLS_S_OPEN))
        return TRANSPORT_TX_DONE;
    tls_conn_check_key(c);
    while ((rc = next_message(c, &h)) > 0) {
        uint32_t cost = h.data_len + TLS_OVERHEAD;

        if (budget == 0 || tw->tx_budget == 0) {
            tls_lower_tell(c);
            return TRANSPORT_TX_MORE;
        }
        if (svm_fifo_prod_space(&c->out) < TLS_RECORD_MAX + TLS_OVERHEAD && !svm_fifo_prod_want_space(&c->out, 2 * TLS_RECORD_MAX)) {
            tls_lower_tell(c);
            return TRANSPORT_TX_DONE;
        }
        rc = send_one(c, &h);
        if (rc == -EIO)
            return TRANSPORT_TX_DONE;
        session_tx_drop(w, s, h.hdr_len + padded(h.data_len));
        if (rc < 0)
            session_soft_error(w, s, rc);
        c->last_us = w->now_us;
        budget -= hs_min_u32(budget, cost);
        tw->tx_budget -= hs_min_u32(tw->tx_budget, cost);
    }
    tls_lower_tell(c);
    if (rc < 0) { /* nothing behind it can be read */
        session_tx_drop(w, s, session_tx_avail(w, s));
        if (s->app)
            s->app->ops->violation(w, s->app, "malformed message record");
        return TRANSPORT_TX_DONE;
    }
    if (session_tx_is_fin(s))
        end(c);
    return TRANSPORT_TX_DONE;
}
