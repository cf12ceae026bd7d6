/* tls_io.c - bytes of an open connection: records are opened into the program's FIFO, and made of what is in its other one */
#include <errno.h>
#include "server/tls/tls_internal.h"

/* ---- to the program ---- */

static void truncated_or_bad(struct tls_conn *c)
{
    const struct tls_engine *e = c->w->stack->tls->engine;
    struct tls_worker *tw = tls_worker_of(c->w);
    int error = c->lower_error ? c->lower_error : e->error_code(c->engine);

    if (error == -ECONNRESET)
        tw->count.truncated++;
    else
        tw->count.bad_records++;
    tls_conn_fail(c, error, c->lower_error ? NULL : e->error(c->engine));
}

/* RFC 8446 s6.1: nothing follows; the program reads the end of the stream. */
static void peer_closed(struct tls_conn *c)
{
    c->rx_closed = true;
    if (c->base.session)
        session_rx_fin(c->w, c->base.session);
}

static uint32_t left_of_job(const struct tls_conn *c) { return c->job ? tls_job_left(&c->job->in) : 0; }

/* The engine works on the FIFOs themselves. It may not while some of the stream is elsewhere. */
static bool in_place(struct tls_conn *c)
{
    if (hs_unlikely(!c->is_in_place) && !c->retry_len && left_of_job(c) == 0 && c->w->stack->tls->engine->in_place(c->engine)) {
        c->is_in_place = true;
        tls_worker_of(c->w)->count.in_place++;
    }
    return c->is_in_place;
}

static enum tls_status read_into(struct tls_conn *c, const struct iovec *iov, int n_iov, size_t *n)
{
    const struct tls_engine *e = c->w->stack->tls->engine;

    return in_place(c) ? e->readv(c->engine, iov, n_iov, n) : e->read(c->engine, iov[0].iov_base, iov[0].iov_len, n);
}

/* Records are opened where the program reads. As much room is asked for as can come of what is there. */
static enum tls_status open_some(struct tls_conn *c, uint32_t want, uint32_t *got)
{
    struct session *s = c->base.session;
    struct iovec iov[2];
    size_t n = 0;
    enum tls_status st;
    int pieces;

    *got = 0;
    if (s->rd_closed || c->state == TLS_S_CLOSING) { /* SHUT_RD, or nobody is there: taken and forgotten */
        iov[0] = (struct iovec){ tls_worker_of(c->w)->gather, TLS_RECORD_MAX };
        st = read_into(c, iov, 1, &n);
        *got = (uint32_t)n;
        return st;
    }
    pieces = session_rx_reserve(c->w, s, want, iov);
    if (pieces == 0) {
        c->rx_blocked = true;
        session_rx_want_space(c->w, s, hs_min_u32(TLS_RECORD_MAX, session_rx_max(s) / 4));
        return TLS_WANT_WRITE;
    }
    st = read_into(c, iov, pieces, &n);
    if (st == TLS_DONE)
        session_rx_commit(c->w, s, (uint32_t)n);
    *got = (uint32_t)n;
    return st;
}

static uint32_t waiting(struct tls_conn *c)
{
    int64_t n = c->has_fifos ? svm_fifo_cons_avail(&c->in) : 0;

    return n > 0 ? (uint32_t)n : 0;
}

void tls_io_receive(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    uint32_t budget = hs_min_u32(TLS_PIECE, tw->budget), used = 0;

    if (!c->base.session || c->rx_closed) {
        if (waiting(c))
            svm_fifo_drop(&c->in, waiting(c)); /* after close_notify nothing counts */
        (void)tls_lower_arm(c);
        tls_lower_tell(c);
        if (c->lower_error && c->base.session)
            tls_conn_fail(c, c->lower_error, NULL);
        return;
    }
    c->rx_blocked = false;
    for (;;) {
        uint32_t n, want;

        if (used >= budget) {
            tls_conn_ready(c);
            break;
        }
        want = hs_max_u32(1, hs_min_u32(TLS_RECORD_MAX, waiting(c) + left_of_job(c) + c->w->stack->tls->engine->pending(c->engine)));
        switch (open_some(c, want, &n)) {
        case TLS_DONE:
            used += n + TLS_OVERHEAD;
            continue;
        case TLS_WANT_READ:
            if (tls_lower_arm_beyond(c, waiting(c)))
                continue;
            break;
        case TLS_WANT_WRITE: /* no room: tls_rx_space() goes on; or the engine wants to answer (key update) and cannot now */
            if (c->rx_blocked && c->lower_error) {
                tls_conn_fail(c, c->lower_error, NULL); /* also who does not read shall know */
                return;
            }
            if (!c->rx_blocked && tls_lower_want_room(c, TLS_RECORD_MAX))
                tls_conn_ready(c);
            break;
        case TLS_CLOSED:
            peer_closed(c);
            tls_conn_ready(c);
            break;
        case TLS_FAILED:
            truncated_or_bad(c);
            return;
        }
        break;
    }
    tw->budget -= hs_min_u32(tw->budget, used);
    tls_lower_tell(c);
}

void tls_rx_space(struct worker *w, struct transport_conn *b)
{
    (void)w;
    if (tls_of(b)->rx_blocked)
        tls_conn_ready(tls_of(b));
}

/* ---- from the program ---- */

/* For an engine that copies. Bytes of the next record: where they are, or gathered where a ring ends soon. */
static const void *next_piece(struct tls_conn *c, uint32_t avail, uint32_t *len)
{
    struct session *s = c->base.session;
    uint8_t *gather = tls_worker_of(c->w)->gather;
    struct iovec iov[4];
    int n;

    if (c->retry_len) {
        *len = c->retry_len;
        session_tx_copy(c->w, s, 0, gather, *len);
        return gather;
    }
    *len = hs_min_u32(avail, TLS_RECORD_MAX);
    n = session_tx_peek_iov(c->w, s, 0, *len, iov);
    if (n < 1)
        return NULL;
    if (n == 1 || iov[0].iov_len >= TLS_GATHER) {
        *len = (uint32_t)iov[0].iov_len;
        return iov[0].iov_base;
    }
    session_tx_copy(c->w, s, 0, gather, *len);
    return gather;
}

/* All that the program has written is on its way: what follows is the end. */
static void tx_end(struct tls_conn *c)
{
    struct tls_stack *ts = c->w->stack->tls;
    struct session *s = c->base.session;

    if (!c->notify_sent) {
        enum tls_status st = ts->engine->close_notify(c->engine);
        if (st == TLS_WANT_WRITE) {
            tls_lower_tell(c);
            if (tls_lower_want_room(c, TLS_OVERHEAD))
                session_tx_schedule(c->w, s);
            return;
        }
        c->notify_sent = true;
        tls_lower_tell(c);
    }
    if (c->state != TLS_S_CLOSING) { /* half-close: the peer may go on (RFC 8446 s6.1) */
        c->is_fin_sent = true;
        if (c->lower)
            session_shutdown(c->w, c->lower, 1 /* SHUT_WR */);
        return;
    }
    if (c->linger_s <= 0) {
        c->base.session = NULL;
        tls_conn_finish_lower(c);
        session_closed(c->w, s);
    } else {
        tls_conn_finish_lower(c);
    }
}

enum transport_tx_verdict tls_tx(struct worker *w, struct transport_conn *b, unsigned budget)
{
    struct tls_conn *c = tls_of(b);
    struct tls_worker *tw = tls_worker_of(w);
    struct tls_stack *ts = w->stack->tls;
    struct session *s = b->session;
    uint32_t avail;

    if (c->rx_blocked)
        tls_conn_ready(c); /* session_rx_want_space() asks by this call, too */
    if ((c->state != TLS_S_OPEN && c->state != TLS_S_CLOSING) || !c->lower || c->lower_error)
        return TRANSPORT_TX_DONE;
    if (c->notify_sent && c->state == TLS_S_OPEN)
        return TRANSPORT_TX_DONE;
    if (tw->tx_budget == 0)
        return TRANSPORT_TX_MORE;
    tls_conn_check_key(c);
    budget = hs_min_u32(budget, tw->tx_budget);
    while ((avail = session_tx_avail(w, s)) > 0) {
        uint32_t len;
        size_t n = 0;
        const void *from;
        struct iovec iov[4];
        enum tls_status st;

        if (budget == 0) {
            tls_lower_tell(c);
            return TRANSPORT_TX_MORE;
        }
        if (svm_fifo_prod_space(&c->out) < hs_min_u32(avail, TLS_RECORD_MAX) + TLS_OVERHEAD &&
            !tls_lower_want_room(c, 2 * TLS_RECORD_MAX)) {
            tls_lower_tell(c);
            return TRANSPORT_TX_DONE;
        }
        if (in_place(c)) {
            int pieces = session_tx_peek_iov(w, s, 0, hs_min_u32(avail, TLS_RECORD_MAX), iov);
            if (pieces < 1)
                return TRANSPORT_TX_DONE;
            st = ts->engine->writev(c->engine, iov, pieces, &n);
        } else {
            from = next_piece(c, avail, &len);
            if (!from)
                return TRANSPORT_TX_DONE;
            st = ts->engine->write(c->engine, from, len, &n);
            c->retry_len = st == TLS_WANT_WRITE || st == TLS_WANT_READ ? len : 0;
        }
        if (st == TLS_DONE) {
            session_tx_drop(w, s, (uint32_t)n);
            budget -= hs_min_u32(budget, (uint32_t)n + TLS_OVERHEAD);
            tw->tx_budget -= hs_min_u32(tw->tx_budget, (uint32_t)n + TLS_OVERHEAD);
            continue;
        }
        if (st == TLS_FAILED) {
            tls_conn_fail(c, ts->engine->error_code(c->engine), ts->engine->error(c->engine));
            return TRANSPORT_TX_DONE;
        }
        if (!tls_lower_want_room(c, TLS_RECORD_MAX)) {
            tls_lower_tell(c);
            return TRANSPORT_TX_DONE;
        }
        tls_lower_tell(c); /* memory for a ring was missing, or room has come meanwhile */
        return TRANSPORT_TX_MORE;
    }
    tls_lower_tell(c);
    if (session_tx_is_fin(s))
        tx_end(c);
    return TRANSPORT_TX_DONE;
}
