/* local_relay.c - two ends on this host of which one is the server's own: the worker carries the bytes from FIFO to FIFO
 *
 * The server's own ends (TLS) share no memory with a program, so they cannot be joined cut-through. Each end has a relay_conn in place of a
 * TCP connection; what TCP would do to the other end over a network (FIN, RST, waiting for room in the backlog) is done here. */
#include <errno.h>
#include <stdlib.h>
#include "server/local/local.h"
#include "svm/svm_sctp.h"

enum { SYN_LIFE_US = 127000000 }; /* a full backlog: as long as Linux tries on with its tcp_syn_retries of 6 */

struct relay_conn {
    struct transport_conn base;
    struct relay_conn *peer;        /* NULL: has gone, or is not there yet */
    struct listener *line;          /* in its line for room in the backlog; NULL: in none */
    struct relay_conn *line_next, *line_prev;
    struct timer_node timer;        /* when it gives that up */
    struct worker *w;
    bool fin_sent, fin_got, closed; /* closed: its program has; what it wrote still goes on */
    bool blocked;                   /* bytes of this end wait for room at the other one */
    bool wants_direct;              /* so does the program, with bytes that it will put there itself */
};

static struct relay_conn *of(struct transport_conn *c) { return hs_container_of(c, struct relay_conn, base); }

static struct relay_conn *conn_new(struct worker *w, const struct session *s)
{
    struct relay_conn *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->w = w;
    c->base.proto = s->proto;
    c->base.fib = s->fib;
    c->base.lcl = s->lcl;
    c->base.rmt = s->rmt;
    return c;
}

static void line_leave(struct worker *w, struct relay_conn *c)
{
    struct listener *l = c->line;

    if (!l)
        return;
    *(c->line_prev ? &c->line_prev->line_next : &l->relay_first) = c->line_next;
    *(c->line_next ? &c->line_next->line_prev : &l->relay_last) = c->line_prev;
    c->line = NULL;
    timer_stop(&c->timer, &w->timers);
}

static void conn_free(struct worker *w, struct relay_conn *c)
{
    line_leave(w, c);
    if (c->peer)
        c->peer->peer = NULL;
    free(c);
}

/* Ends c for its program with an error. */
static void fail(struct worker *w, struct relay_conn *c, int error)
{
    struct session *s = c->base.session;

    if (s)
        session_reset(w, s, error); /* detaches */
    conn_free(w, c);
}

/* The program has closed and nothing is left to do. */
static void done(struct worker *w, struct relay_conn *c)
{
    struct session *s = c->base.session;

    if (c->peer && c->peer->base.session && c->peer->blocked) /* what it still wants to say finds nobody */
        session_tx_schedule(w, c->peer->base.session);
    session_closed(w, s); /* detaches */
    conn_free(w, c);
}

/* SCTP, record by record: a reader finds whole ones. -EPROTO: not what the program's library writes. */
static int pump_records(struct worker *w, struct relay_conn *c, unsigned budget)
{
    struct session *s = c->base.session, *to = c->peer->base.session;
    uint32_t avail, moved = 0;

    c->blocked = false;
    while ((avail = session_tx_avail(w, s)) > 0 && moved < budget) {
        struct svm_dgram_hdr h;
        struct iovec iov[4];
        uint32_t len;

        if (avail < sizeof(h))
            return -EPROTO;
        session_tx_copy(w, s, 0, &h, sizeof(h));
        len = h.hdr_len + ((h.data_len + 7u) & ~7u);
        if (h.hdr_len < sizeof(h) || h.data_len > SVM_SCTP_RECORD_MAX || len > avail || (!to->rd_closed && len > session_rx_max(to)))
            return -EPROTO;
        if (!to->rd_closed && (session_rx_space(w, to) < len ||
                               session_rx_enqueue_record(w, to, iov, session_tx_peek_iov(w, s, 0, len, iov)) != 0)) {
            c->blocked = true;
            session_rx_want_space(w, to, len);
            return 0;
        }
        session_tx_drop(w, s, len);
        moved += len;
    }
    return avail > 0;
}

/* Bytes of c to the other end's receive FIFO. 1: the budget is used up. */
static int pump(struct worker *w, struct relay_conn *c, unsigned budget)
{
    struct session *s = c->base.session, *to = c->peer->base.session;
    uint32_t n = hs_min_u32(session_tx_avail(w, s), budget);

    c->blocked = false;
    while (n > 0) {
        struct iovec iov[4];
        uint32_t room = hs_min_u32(n, session_rx_space(w, to)), moved = 0;
        int pieces = room ? session_tx_peek_iov(w, s, 0, room, iov) : 0;

        for (int i = 0; i < pieces; i++) {
            int64_t got = session_rx_enqueue(w, to, 0, iov[i].iov_base, (uint32_t)iov[i].iov_len);
            if (got <= 0)
                break;
            moved += (uint32_t)iov[i].iov_len;
        }
        if (moved == 0) {
            c->blocked = true;
            session_rx_want_space(w, to, hs_min_u32(n, session_rx_max(to) / 4));
            return 0;
        }
        session_tx_drop(w, s, moved);
        n -= moved;
    }
    return session_tx_avail(w, s) > 0;
}

void local_relay_push(struct worker *w, struct session *s)
{
    struct relay_conn *c = of(s->conn);

    if (c->peer && c->peer->base.session && !c->peer->closed && !session_is_carried(s))
        (void)pump(w, c, UINT32_MAX);
}

static enum transport_tx_verdict relay_tx(struct worker *w, struct transport_conn *b, unsigned budget)
{
    struct relay_conn *c = of(b), *p = c->peer;
    struct session *s = b->session;
    bool records = session_is_carried(s);
    int more;

    if (s->state == SESSION_CONNECTING)
        return TRANSPORT_TX_DONE;
    if (!p) { /* RFC 9293 s3.10.7.1: what comes for a connection that is no more is answered with a reset */
        if (session_tx_avail(w, s) > 0)
            fail(w, c, -ECONNRESET);
        else if (c->closed)
            done(w, c);
        return TRANSPORT_TX_DONE;
    }
    if (p->closed && session_tx_avail(w, s) > 0) {
        fail(w, p, -ECONNRESET);
        fail(w, c, -ECONNRESET);
        return TRANSPORT_TX_DONE;
    }
    if (p->blocked && p->base.session) /* room was made here: session_rx_want_space() asks by this call, too */
        session_tx_schedule(w, p->base.session);
    if (c->wants_direct) {
        c->wants_direct = false;
        if (s->app)
            s->app->ops->space(w, s->app, s);
    }
    more = records ? pump_records(w, c, budget) : pump(w, c, budget);
    if (more > 0)
        return TRANSPORT_TX_MORE;
    if (records && (more < 0 || svm_fifo_cons_rst(&s->fifos->tx))) { /* an ABORT is nothing but that */
        fail(w, p, -ECONNRESET);
        fail(w, c, -ECONNABORTED);
        return TRANSPORT_TX_DONE;
    }
    if (records && svm_fifo_cons_is_fin(&s->fifos->tx)) /* an answer to the peer's SHUTDOWN is told there alone */
        s->tx_fin_told = true;
    if (session_tx_avail(w, s) > 0 || !session_tx_is_fin(s))
        return TRANSPORT_TX_DONE;
    if (!c->fin_sent) {
        c->fin_sent = true;
        p->fin_got = true;
        session_rx_fin(w, p->base.session);
    }
    if (c->closed)
        done(w, c);
    return TRANSPORT_TX_DONE;
}

static void relay_rx_space(struct worker *w, struct transport_conn *b)
{
    struct relay_conn *p = of(b)->peer;

    if (p && p->blocked && p->base.session)
        session_tx_schedule(w, p->base.session);
}

/* The server's own programs need no copy here: what they make, they make where it is read. */
static struct session *relay_tx_direct(struct worker *w, struct transport_conn *b)
{
    struct relay_conn *c = of(b), *p = c->peer;
    struct session *s = b->session, *to = p ? p->base.session : NULL;

    if (!to || to->rd_closed || c->closed || p->closed || c->fin_sent || s->state == SESSION_CONNECTING || session_tx_avail(w, s) > 0)
        return NULL;
    return to;
}

static void relay_tx_direct_want(struct worker *w, struct transport_conn *b, uint32_t bytes)
{
    struct relay_conn *c = of(b);

    if (!c->peer || !c->peer->base.session)
        return;
    c->blocked = c->wants_direct = true;
    session_rx_want_space(w, c->peer->base.session, bytes);
}

static void relay_shutdown_wr(struct worker *w, struct transport_conn *b)
{
    session_tx_schedule(w, b->session);
}

static void relay_reset(struct worker *w, struct transport_conn *b)
{
    struct relay_conn *c = of(b), *p = c->peer;

    local_relay_push(w, b->session);
    fail(w, c, -ECONNABORTED);
    if (p)
        fail(w, p, -ECONNRESET);
}

static void relay_close(struct worker *w, struct transport_conn *b, int linger_s)
{
    struct relay_conn *c = of(b);

    (void)linger_s;
    /* Bytes that nobody will read: the peer must know (RFC 9293 SHLD-3). Of records the library says so, notifications do not count. */
    if (!session_is_carried(b->session) && session_rx_unread(w, b->session) > 0) {
        relay_reset(w, b);
        return;
    }
    c->closed = true;
    session_tx_schedule(w, b->session);
}

static int relay_attr_set(struct worker *w, struct transport_conn *c, uint8_t attr, const void *val, uint32_t len)
{
    (void)w, (void)c, (void)attr, (void)val, (void)len;
    return 0; /* there are no packets that it could concern */
}

static int relay_attr_get(struct worker *w, struct transport_conn *c, uint8_t attr, void *val, uint32_t *len)
{
    int32_t n;

    if (attr != SVM_ATTR_TX_QUEUED)
        return -ENOPROTOOPT;
    if (*len < sizeof(n))
        return -EINVAL;
    n = (int32_t)session_tx_avail(w, c->session);
    memcpy(val, &n, sizeof(n));
    *len = sizeof(n);
    return 0;
}

const struct transport_ops local_relay_ops = {
    .name = "tcp",
    .proto = SVM_PROTO_TCP,
    .shutdown_wr = relay_shutdown_wr,
    .close = relay_close,
    .reset = relay_reset,
    .tx = relay_tx,
    .rx_space = relay_rx_space,
    .tx_direct = relay_tx_direct,
    .tx_direct_want = relay_tx_direct_want,
    .attr_set = relay_attr_set,
    .attr_get = relay_attr_get,
};

/* 0: joined. -EAGAIN: the backlog is full. */
static int join(struct worker *w, struct listener *l, struct relay_conn *c)
{
    struct session *s = c->base.session;
    struct relay_conn *p;
    int err;

    if (listener_accept_full(l))
        return -EAGAIN;
    p = conn_new(w, s);
    if (!p)
        return -ENOMEM;
    p->base.lcl = s->rmt;
    p->base.rmt = s->lcl;
    err = session_accept(w, l, &p->base);
    if (err != 0) {
        conn_free(w, p);
        return err;
    }
    p->base.session->ops = &local_relay_ops;
    p->peer = c;
    c->peer = p;
    session_connected(w, s, 0);
    return 0;
}

static void give_up(struct worker *w, struct timer_node *t)
{
    fail(w, hs_container_of(t, struct relay_conn, timer), -ETIMEDOUT);
}

static void line_enter(struct worker *w, struct listener *l, struct relay_conn *c)
{
    c->line = l;
    c->line_prev = l->relay_last;
    *(l->relay_last ? &l->relay_last->line_next : &l->relay_first) = c;
    l->relay_last = c;
    c->timer.fire = give_up;
    timer_start(&w->timers, &c->timer, w->now_us + SYN_LIFE_US);
}

void local_relay_go_on(struct listener *l)
{
    while (l->relay_first && !listener_accept_full(l)) {
        struct relay_conn *c = l->relay_first;
        int err;

        line_leave(l->w, c);
        err = join(l->w, l, c);
        if (err != 0)
            fail(l->w, c, err);
    }
}

void local_relay_end(struct worker *w, struct listener *l)
{
    while (l->relay_first)
        fail(w, l->relay_first, -ECONNREFUSED);
}

int local_relay_connect(struct worker *w, struct listener *l, struct session *s)
{
    struct relay_conn *c = conn_new(w, s);
    int err = c ? session_fifos_make(w, s, s->app) : -ENOMEM;

    if (err != 0) {
        free(c);
        return err;
    }
    c->base.session = s;
    s->conn = &c->base;
    s->ops = &local_relay_ops;
    err = l->relay_first ? -EAGAIN : join(w, l, c);
    if (err == -EAGAIN) {
        line_enter(w, l, c);
        return 0;
    }
    if (err != 0) {
        s->conn = NULL;
        s->ops = transport_get(s->proto);
        conn_free(w, c);
        session_fifos_drop(w, s);
    }
    return err;
}

int local_relay_between(struct worker *w, struct session *p, struct session *s)
{
    struct relay_conn *c = conn_new(w, p), *d = conn_new(w, s);

    if (!c || !d) {
        free(c);
        free(d);
        return -ENOMEM;
    }
    c->peer = d;
    d->peer = c;
    c->base.session = p;
    d->base.session = s;
    p->conn = &c->base;
    s->conn = &d->base;
    p->ops = s->ops = &local_relay_ops;
    return 0;
}

void local_relay_undo(struct worker *w, struct session *p, struct session *s)
{
    struct session *ends[2] = { p, s };

    for (int i = 0; i < 2; i++) {
        conn_free(w, of(ends[i]->conn));
        ends[i]->conn = NULL;
        ends[i]->ops = transport_get(ends[i]->proto);
    }
}
