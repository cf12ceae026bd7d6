/* session_io.c - bytes between transports and FIFOs, events when they are due, and who sends next */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "svm/svm_urgent.h"

/* A session has no FIFOs before it is connected, as cut-through, and when memory was short: there is no room then, and nothing to send. */

static inline bool has_fifos(struct worker *w, struct session *s)
{
    return hs_likely(s->has_fifos) || (s->is_asleep && session_wake(w, s));
}

/* ---- receive ---- */

static void evt_list_add(struct worker *w, struct session *s)
{
    struct session_worker *sw = w->session;

    if (s->on_evt_list)
        return;
    s->rx_news = s->tx_news = false;
    s->on_evt_list = true;
    s->evt_next = NULL;
    *sw->evt_tail = s;
    sw->evt_tail = &s->evt_next;
}

static void rx_news(struct worker *w, struct session *s)
{
    evt_list_add(w, s);
    s->rx_news = true;
}

int64_t session_rx_enqueue(struct worker *w, struct session *s, uint32_t offset, const void *data, uint32_t len)
{
    int64_t n;

    if (hs_unlikely(s->rd_closed))
        return offset ? -ENOBUFS : (int64_t)len; /* SHUT_RD: Linux takes and forgets */
    if (!has_fifos(w, s))
        return -ENOBUFS;
    n = svm_fifo_enqueue_at(&s->fifos->rx, offset, data, len);
    if (hs_likely(n > 0))
        rx_news(w, s);
    else if (hs_unlikely(n == -EPROTO))
        session_app_fail(w, s, "the head of a receive FIFO is out of bounds");
    return n == -EPROTO || n == -ENOMEM ? -ENOBUFS : n;
}

int session_rx_enqueue_record(struct worker *w, struct session *s, const struct iovec *iov, int n_iov)
{
    int err = has_fifos(w, s) ? svm_fifo_enqueue_record(&s->fifos->rx, iov, n_iov) : -ENOBUFS;

    if (err == 0)
        rx_news(w, s);
    else if (err == -EPROTO)
        session_app_fail(w, s, "the head of a receive FIFO is out of bounds");
    return err == 0 ? 0 : -ENOBUFS;
}

int session_rx_reserve(struct worker *w, struct session *s, uint32_t want, struct iovec iov[2])
{
    int n = has_fifos(w, s) ? svm_fifo_reserve(&s->fifos->rx, want, iov) : 0;

    if (hs_unlikely(n == -EPROTO))
        session_app_fail(w, s, "the head of a receive FIFO is out of bounds");
    return n > 0 ? n : 0;
}

struct session *session_tx_direct(struct worker *w, struct session *s)
{
    return s->conn && s->ops->tx_direct ? s->ops->tx_direct(w, s->conn) : NULL;
}

void session_tx_direct_want(struct worker *w, struct session *s, uint32_t bytes)
{
    if (s->conn && s->ops->tx_direct_want)
        s->ops->tx_direct_want(w, s->conn, bytes);
}

void session_rx_commit(struct worker *w, struct session *s, uint32_t len)
{
    if (has_fifos(w, s) && svm_fifo_commit(&s->fifos->rx, len) == 0 && len)
        rx_news(w, s);
}

static uint32_t free_share(const struct session *s) /* of one with rx_shares */
{
    const struct svm_fifo_prod *f = &s->fifos->rx;
    uint32_t limit = hs_min_u32(f->max_size, s->mem->near_share), unread = f->tail - f->head_seen;

    return limit > unread ? limit - unread : 0;
}

/* What may be advertised of `space` free bytes. A peer may fill all of it while the program reads nothing, and a FIFO can link only one
 * further ring until then: that ring must hold whatever was advertised (svm_fifo_prod_set_floor()). So that a short exchange does not
 * cost a large ring, the window is modest until the stream has shown that it fills 64 KiB, or comes fast; then from a peer that is
 * near it is a share of what all such streams may have. */
static uint32_t rx_promise(struct session *s, uint32_t space)
{
    struct svm_fifo_prod *f = &s->fifos->rx;
    uint32_t promised = seq_gt(s->rx_edge, f->tail) ? s->rx_edge - f->tail : 0;

    if (space > 1u << RX_STREAM_LOG2) {
        if (s->rx_modest || (f->cur_log2 < RX_STREAM_LOG2 && !s->rx_streams))
            space = hs_max_u32(promised, 1u << RX_STREAM_LOG2);
        else if (s->rx_near && !s->rx_shares)
            session_share_enter(s);
    }
    if (hs_unlikely(s->rx_shares))
        space = hs_min_u32(space, hs_max_u32(promised, free_share(s)));
    if (space > promised)
        s->rx_edge = f->tail + space;
    svm_fifo_prod_set_floor(f, hs_max_u32(space, promised));
    return space;
}

uint32_t session_rx_space(struct worker *w, struct session *s)
{
    int64_t n = has_fifos(w, s) ? svm_fifo_prod_space(&s->fifos->rx) : -ENOMEM;

    if (hs_unlikely(n < 0)) {
        if (n == -EPROTO)
            session_app_fail(w, s, "the head of a receive FIFO is out of bounds");
        return 0;
    }
    return s->rd_closed ? s->fifos->rx.max_size : (uint32_t)n;
}

bool session_rx_is_steady(const struct session *s, uint32_t wnd, uint32_t step)
{
    const struct svm_fifo_prod *f;
    uint32_t top;

    if (!s->has_fifos || s->rd_closed || s->rx_streams)
        return false;
    f = &s->fifos->rx;
    if (f->failed || f->no_mem || f->old_log2 || f->cur_log2 >= RX_STREAM_LOG2 || f->tail - f->head_seen > f->max_size / 2)
        return false;
    top = seq_gt(s->rx_edge, f->tail) ? s->rx_edge - f->tail : 0; /* rx_promise() */
    return wnd + step > hs_max_u32(top, 1u << RX_STREAM_LOG2);
}

void session_rx_is_stream(struct session *s)
{
    s->rx_streams = true;
}

void session_rx_is_near(struct session *s, bool on)
{
    s->rx_near = on;
    if (!on)
        session_share_leave(s);
}

void session_rx_modest(struct session *s, bool on)
{
    s->rx_modest = on;
}

uint32_t session_rx_window(struct worker *w, struct session *s)
{
    uint32_t space = session_rx_space(w, s);

    return s->rd_closed || !has_fifos(w, s) || s->fifos->rx.failed ? space : rx_promise(s, space);
}

uint32_t session_rx_room(struct worker *w, struct session *s)
{
    uint32_t space = session_rx_space(w, s);

    return hs_likely(!s->rx_shares) || s->rd_closed ? space : hs_min_u32(space, free_share(s));
}

uint32_t session_rx_unread(struct worker *w, struct session *s)
{
    int64_t n = has_fifos(w, s) ? svm_fifo_prod_unread(&s->fifos->rx) : 0;

    if (n < 0)
        session_app_fail(w, s, "the head of a receive FIFO is out of bounds");
    return n > 0 ? (uint32_t)n : 0;
}

bool session_tx_is_short(struct worker *w, struct session *s)
{
    const struct svm_fifo_cons *f = &s->fifos->tx;

    if (!has_fifos(w, s))
        return false;
    return f->tail_seen - f->head >= f->max_size || __atomic_load_n(&f->peer->space_want, __ATOMIC_RELAXED) != f->space_acked;
}

uint32_t session_rx_max(const struct session *s)
{
    return s->has_fifos ? s->fifos->rx.max_size : 0;
}

int session_rx_ooo(struct session *s, struct session_ooo *out, int max)
{
    const struct svm_fifo_prod *f = &s->fifos->rx;
    int n = 0, newest;

    if (!s->has_fifos)
        return 0;
    newest = f->ooo_newest;
    /* Most recently changed first, then those that were so before it (RFC 2018 s4): segments come in order, so they are below it; when
     * there are none, what is above. */
    for (int i = newest; i >= 0 && f->n_ooo && n < max; i--)
        out[n++] = (struct session_ooo){ f->ooo[i].start - f->tail, f->ooo[i].end - f->tail };
    for (int i = newest + 1; i < f->n_ooo && n < max; i++)
        out[n++] = (struct session_ooo){ f->ooo[i].start - f->tail, f->ooo[i].end - f->tail };
    return n;
}

void session_rx_want_space(struct worker *w, struct session *s, uint32_t bytes)
{
    if (s->rx_shares) /* the consumer knows nothing of shares */
        bytes += s->fifos->rx.max_size - session_rx_limit(s);
    if (has_fifos(w, s) && svm_fifo_prod_want_space(&s->fifos->rx, bytes) && s->conn && !s->fifos->rx.failed && s->ops->rx_space)
        session_tx_schedule(w, s); /* there is room already: the window update goes out in the transmit stage */
}

static void urgent_tell(struct worker *w, struct session *s)
{
    if (s->app && s->app->ops->urgent)
        s->app->ops->urgent(w, s->app, s);
}

void session_rx_urgent(struct worker *w, struct session *s, uint32_t offset, bool is_pending)
{
    if (s->rd_closed || !has_fifos(w, s) || (is_pending && !seq_gt(s->fifos->rx.tail + offset, svm_urgent_pos(svm_urgent_own(&s->fifos->rx)))))
        return;
    svm_urgent_set(&s->fifos->rx, offset);
    urgent_tell(w, s);
}

bool session_rx_urgent_came(struct worker *w, struct session *s)
{
    if (has_fifos(w, s) && !s->rd_closed) {
        if (!seq_lt(svm_urgent_pos(svm_urgent_own(&s->fifos->rx)), s->fifos->rx.tail))
            return false;
        urgent_tell(w, s);
    }
    return true;
}

void session_rx_fin(struct worker *w, struct session *s)
{
    s->rx_fin = true;
    if (!has_fifos(w, s))
        return;
    svm_fifo_prod_set_fin(&s->fifos->rx);
    rx_news(w, s);
}

static inline void tell_news(struct worker *w, struct session *s)
{
    if (!s->app || !has_fifos(w, s))
        return;
    if (s->tx_news && svm_fifo_cons_space_is(&s->fifos->tx))
        s->app->ops->space(w, s->app, s);
    if (s->rx_news && svm_fifo_prod_event_is(&s->fifos->rx))
        s->app->ops->data(w, s->app, s);
}

static __attribute__((noinline)) unsigned events_flush(struct worker *w, struct session_worker *sw)
{
    unsigned n = 0;

    /* Full fence, for all of them: tails, flags and heads before what the programs say. Pairs with those in svm_fifo_cons_arm() and
     * svm_fifo_prod_want_space(). What the programs' side is told calls nothing that moves those (app_ops.h). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    while (sw->evt_head) {
        struct session *s = sw->evt_head;
        sw->evt_head = s->evt_next;
        if (!sw->evt_head)
            sw->evt_tail = &sw->evt_head;
        s->on_evt_list = false;
        n++;
        tell_news(w, s);
    }
    return n;
}

unsigned session_events_flush(struct worker *w)
{
    struct session_worker *sw = w->session;

    return sw->evt_head ? events_flush(w, sw) : 0;
}

void session_rx_space_kick(struct worker *w, struct session *s)
{
    if (s->conn && s->ops->rx_space && s->state != SESSION_CLOSING)
        s->ops->rx_space(w, s->conn);
    /* A program that has read all of a burst gives the burst's memory back. */
    if (has_fifos(w, s))
        svm_fifo_prod_give_back(&s->fifos->rx);
}

/* ---- transmit ---- */

void session_tx_schedule(struct worker *w, struct session *s)
{
    struct session_worker *sw = w->session;

    if (s->on_tx_list)
        return;
    s->on_tx_list = true;
    sw->n_tx++;
    s->tx_next = NULL;
    *sw->tx_tail = s;
    sw->tx_tail = &s->tx_next;
}

void session_tx_kick(struct worker *w, struct session *s)
{
    if (!has_fifos(w, s))
        return;
    /* The value in the message is the program's word; what counts for arming is what the FIFO says now. */
    svm_fifo_cons_event_taken(&s->fifos->tx, __atomic_load_n(&s->fifos->tx.peer->evt_seq, __ATOMIC_RELAXED));
    svm_fifo_cons_prefetch(&s->fifos->tx);
    session_tx_schedule(w, s);
}

static uint32_t rest_len(const struct session *s)
{
    const struct session_rest *r = session_tx_rest(s);

    return hs_unlikely(r) ? r->len - r->off : 0;
}

uint32_t session_tx_avail(struct worker *w, struct session *s)
{
    int64_t n;

    if (!has_fifos(w, s))
        return 0;
    n = svm_fifo_cons_avail(&s->fifos->tx);
    if (hs_unlikely(n < 0)) {
        session_app_fail(w, s, "the tail of a transmit FIFO is out of bounds");
        return rest_len(s);
    }
    return rest_len(s) + (uint32_t)n;
}

uint32_t session_tx_seen(const struct session *s)
{
    return rest_len(s) + (s->has_fifos ? s->fifos->tx.tail_seen - s->fifos->tx.head : 0);
}

int session_tx_peek_iov(struct worker *w, struct session *s, uint32_t offset, uint32_t len, struct iovec iov[4])
{
    uint32_t rest = rest_len(s);
    int n;

    if (hs_unlikely(offset < rest)) {
        struct session_rest *r = s->rare->tx_rest;
        iov[0] = (struct iovec){ r->bytes + r->off + offset, hs_min_u32(len, rest - offset) };
        return 1;
    }
    n = has_fifos(w, s) ? svm_fifo_peek_iov(&s->fifos->tx, offset - rest, len, iov) : 0;
    if (hs_unlikely(n < 0)) {
        session_app_fail(w, s, "a ring of a transmit FIFO is outside of its memory");
        return 0;
    }
    return n;
}

int session_tx_attach_iov(struct worker *w, struct session *s, uint32_t offset, uint32_t len, struct iovec iov[4])
{
    struct session_worker *sw = w->session;
    uint64_t sum = 0;
    int n;

    if (!sw->is_tx_run || hs_unlikely(rest_len(s)))
        return 0;
    n = session_tx_peek_iov(w, s, offset, len, iov);
    for (int i = 0; i < n; i++)
        sum += iov[i].iov_len;
    if (hs_unlikely(sum != len))
        return 0;
    sw->has_attached = true;
    return n;
}

/* Bytes that a misbehaving program has made unreadable are sent as zeros until it is dropped: the peer's stream keeps its length. */
void session_tx_copy(struct worker *w, struct session *s, uint32_t offset, void *dst, uint32_t len)
{
    struct iovec iov[4];
    uint32_t rest = rest_len(s);
    uint8_t *to = dst;
    int n;

    if (hs_unlikely(offset < rest)) {
        const struct session_rest *r = s->rare->tx_rest;
        uint32_t part = hs_min_u32(len, rest - offset);
        memcpy(to, r->bytes + r->off + offset, part);
        if (part == len)
            return;
        dst = to += part;
        offset += part;
        len -= part;
    }
    n = session_tx_peek_iov(w, s, offset, len, iov);
    for (int i = 0; i < n; i++) {
        memcpy(to, iov[i].iov_base, iov[i].iov_len);
        to += iov[i].iov_len;
    }
    if (hs_unlikely(to != (uint8_t *)dst + len))
        memset(to, 0, (size_t)((uint8_t *)dst + len - to));
}

void session_tx_drop(struct worker *w, struct session *s, uint32_t len)
{
    if (!has_fifos(w, s))
        return;
    if (hs_unlikely(session_tx_rest(s))) {
        struct session_rest *r = s->rare->tx_rest;
        uint32_t part = hs_min_u32(len, r->len - r->off);
        r->off += part;
        len -= part;
        if (r->off == r->len) {
            free(r);
            s->rare->tx_rest = NULL;
        }
    }
    if (hs_unlikely(svm_fifo_drop(&s->fifos->tx, len) != 0)) {
        session_app_fail(w, s, "the tail of a transmit FIFO has moved back");
        return;
    }
    if (s->app && s->state != SESSION_CLOSING) { /* whether it waits for room is looked at with the events */
        evt_list_add(w, s);
        s->tx_news = true;
    }
}

uint32_t session_layer_cfg(const struct session *s)
{
    return s->layer_cfg;
}

bool session_tx_urgent(const struct session *s, uint32_t *end)
{
    uint64_t word = s->has_fifos ? svm_urgent_get(&s->fifos->tx) : 0;

    if (hs_likely(word == 0) || svm_urgent_pos(word) - s->fifos->tx.head >= s->fifos->tx.tail_seen - s->fifos->tx.head)
        return false;
    *end = rest_len(s) + svm_urgent_pos(word) - s->fifos->tx.head + 1;
    return true;
}

uint16_t session_fib(const struct session *s)
{
    return s->fib;
}

struct ip_addr session_bound_addr(const struct session *s)
{
    return s->endpoint ? s->endpoint->lcl.ip : s->lcl.ip;
}

bool session_tx_is_fin(const struct session *s)
{
    return s->tx_fin_told || s->state == SESSION_CLOSING;
}

/* All that there is has been looked at: ask for an event. True: more has come meanwhile. */
static bool tx_arm(struct session *s)
{
    uint32_t seen = s->fifos->tx.tail_seen;

    /* It writes no more, or its next bytes make an event, or one that has been made is on its way. */
    if (s->state == SESSION_CLOSING || svm_fifo_cons_is_armed(&s->fifos->tx))
        return false;
    (void)svm_fifo_cons_arm(&s->fifos->tx);
    return s->fifos->tx.tail_seen != seen;
}

static enum transport_tx_verdict tx_call(struct worker *w, struct session *s)
{
    struct session_worker *sw = w->session;
    enum transport_tx_verdict v;

    sw->is_tx_run = true;
    v = s->ops->tx(w, s->conn, SESSION_TX_BUDGET);
    sw->is_tx_run = false;
    if (sw->has_attached) {
        sw->has_attached = false;
        worker_tx_settle(w);
    }
    return v;
}

/* Once for each that is on the list now; who wants more goes to its end. A call may end other sessions, which leave the list then. */
unsigned session_tx_run(struct worker *w)
{
    struct session_worker *sw = w->session;
    unsigned n = 0, max = hs_min_u32(sw->n_tx, SESSION_TX_TURN);

    while (n < max && sw->tx_head) {
        struct session *s = sw->tx_head;

        sw->tx_head = s->tx_next;
        if (!sw->tx_head)
            sw->tx_tail = &sw->tx_head;
        sw->n_tx--;
        s->on_tx_list = false;
        n++;
        if (s->conn && has_fifos(w, s)) {
            struct svm_handle h = s->handle;
            enum transport_tx_verdict v = tx_call(w, s);
            if (session_from_handle(w, h) == s && has_fifos(w, s) && (v == TRANSPORT_TX_MORE || tx_arm(s)))
                session_tx_schedule(w, s);
        }
    }
    return n;
}

unsigned session_transports_turn(struct worker *w)
{
    const struct session_worker *sw = w->session;
    unsigned n = 0;

    for (unsigned i = 0; i < sw->n_turns; i++)
        n += sw->turns[i](w);
    return n;
}

bool session_has_work(const struct worker *w)
{
    return w->session->tx_head || w->session->evt_head;
}
