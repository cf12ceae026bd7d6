/* tcp_close.c - the program ends a connection: shutdown, close, reset (RFC 9293 s3.6, s3.10.4, s3.10.5) */
#include <errno.h>
#include "server/tcp/tcp_idle.h"

/* One whose end needs no memory, or finds none: by an RST. */
static void abort_idle(struct worker *w, struct transport_conn *b, bool is_closed, int error)
{
    struct session *s = b->session;

    b->session = NULL;
    tcp_idle_abort(w, tcp_idle_of(tcp_of_base(b)));
    if (is_closed)
        session_closed(w, s);
    else
        session_reset(w, s, error);
}

/* FIN after what is in the FIFO. */
void tcp_shutdown_wr(struct worker *w, struct transport_conn *b)
{
    struct tcp_conn *c = tcp_idle_wake(w, b);

    if (!c) {
        abort_idle(w, b, false, -ENOBUFS);
        return;
    }
    c->flags |= TCP_F_FIN_QUEUED;
    switch (c->state) {
    case TCP_S_ESTABLISHED:
        tcp_set_state(w, c, TCP_S_FIN_WAIT_1);
        break;
    case TCP_S_CLOSE_WAIT:
        tcp_set_state(w, c, TCP_S_LAST_ACK);
        break;
    default: /* SYN-SENT, SYN-RCVD: once established. The others have sent it */
        return;
    }
    tcp_tx_request(w, c);
}

static bool has_unread(struct worker *w, struct tcp_conn *c)
{
    struct session *s = c->base.session;
    struct session_ooo o;

    if (!s || c->state == TCP_S_TIME_WAIT || c->state == TCP_S_CLOSED || c->state == TCP_S_SYN_SENT)
        return false;
    return session_rx_unread(w, s) > 0 || session_rx_ooo(s, &o, 1) > 0;
}

void tcp_close(struct worker *w, struct transport_conn *b, int linger_s)
{
    struct tcp_conn *c = tcp_idle_wake(w, b);
    struct tcp_worker *tw = tcp_worker_of(w);

    if (!c) {
        abort_idle(w, b, true, 0);
        return;
    }
    c->flags |= TCP_F_CLOSED;
    if (c->state != TCP_S_TIME_WAIT && ++tw->n_orphans > tw->cfg.max_orphans && c->state != TCP_S_CLOSED) {
        /* Nobody waits for them, and each holds memory until its peer has acknowledged: the number is bounded. */
        tcp_count(w, TCP_C_orphans_reset);
        tcp_conn_abort(w, c, -ECONNABORTED, true);
        return;
    }
    if (linger_s == 0 || has_unread(w, c) || c->state == TCP_S_SYN_SENT) {
        /* ABORT (s3.10.5), SO_LINGER with 0; bytes that nobody will read: the peer must know (SHLD-3) */
        tcp_conn_abort(w, c, -ECONNABORTED, true);
        return;
    }
    switch (c->state) {
    case TCP_S_CLOSED:
        tcp_conn_done(w, c);
        return;
    case TCP_S_TIME_WAIT:
        tcp_conn_release_session(w, c);
        return;
    case TCP_S_FIN_WAIT_2: /* no reader any more: a peer that never finishes must not hold it for ever */
        tcp_conn_release_session(w, c);
        tcp_misc_start(w, c, c->linger2_s > 0 ? (uint64_t)c->linger2_s * 1000000 : tcp_worker_of(w)->cfg.fin_wait2_us);
        return;
    default:
        tcp_shutdown_wr(w, &c->base);
        return;
    }
}

/* ABORT by the session layer: it takes the session back by session_reset(), which frees it if nobody holds it. */
void tcp_reset(struct worker *w, struct transport_conn *b)
{
    struct tcp_conn *c = tcp_of_base(b);
    struct session *s = b->session;

    if (c->state == TCP_S_IDLE) {
        abort_idle(w, b, false, -ECONNABORTED);
        return;
    }
    tcp_send_rst(w, c);
    b->session = NULL;
    if (s)
        session_reset(w, s, -ECONNABORTED);
    tcp_conn_free(w, c);
}
