/* tcp_timer.c - the three timers of a connection: retransmit or persist, delayed ACK, and keep-alive or waiting states
 * (RFC 6298 s5, RFC 9293 s3.8) */
#include <errno.h>
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_sent.h"
#include "server/tcp/tcp_trace.h"

enum { TCP_ORPHAN_RETRIES = 8, TCP_R1 = 3 };

uint32_t tcp_backoff_us(const struct tcp_conn *c, const struct tcp_config *cfg)
{
    uint64_t us = (uint64_t)c->rto_us << (c->backoff > 16 ? 16 : c->backoff);

    return us > cfg->rto_max_us ? cfg->rto_max_us : (uint32_t)us; /* RFC 6298 s5.5 */
}

/* An earlier expiry stays in the wheel and finds out that it is not due yet. */
void tcp_rexmt_start(struct worker *w, struct tcp_conn *c, enum tcp_rexmt_mode mode, uint32_t after_us)
{
    c->rexmt_mode = (uint8_t)mode;
    c->rexmt_deadline_us = w->now_us + after_us;
    if (!timer_is_running(&c->t_rexmt) || c->t_rexmt.expires_us > c->rexmt_deadline_us)
        timer_start(&w->timers, &c->t_rexmt, c->rexmt_deadline_us);
}

/* The node serves two purposes: whoever is not due yet when it fires starts it again. */
void tcp_timer_wake_at(struct worker *w, struct tcp_conn *c, uint64_t at_us)
{
    if (!timer_is_running(&c->t_rexmt) || c->t_rexmt.expires_us > at_us)
        timer_start(&w->timers, &c->t_rexmt, at_us);
}

void tcp_rexmt_stop(struct tcp_conn *c) { c->rexmt_mode = TCP_REXMT_NONE; }

/* One timer for all: while things go well the probe comes before the RTO (RFC 8985 s7.2, s8). */
void tcp_rexmt_rearm(struct worker *w, struct tcp_conn *c)
{
    uint32_t rto_us = tcp_backoff_us(c, &tcp_worker_of(w)->cfg);

    if (tcp_tlp_wanted(c)) {
        uint32_t pto_us = tcp_tlp_timeout_us(c);

        if (pto_us < rto_us) {
            tcp_rexmt_start(w, c, TCP_REXMT_TLP, pto_us);
            return;
        }
    }
    tcp_rexmt_start(w, c, TCP_REXMT_RTO, rto_us);
}

void tcp_delack_start(struct worker *w, struct tcp_conn *c)
{
    if (!timer_is_running(&c->t_delack)) /* one left over from an ACK that was sent otherwise fires earlier: allowed */
        timer_start(&w->timers, &c->t_delack, w->now_us + tcp_worker_of(w)->cfg.delack_us);
}

void tcp_misc_start(struct worker *w, struct tcp_conn *c, uint64_t after_us)
{
    timer_start(&w->timers, &c->t_misc, w->now_us + after_us);
}

void tcp_timer_stop_all(struct worker *w, struct tcp_conn *c)
{
    if (timer_is_running(&c->t_rexmt))
        timer_stop(&c->t_rexmt, &w->timers);
    if (timer_is_running(&c->t_delack))
        timer_stop(&c->t_delack, &w->timers);
    if (timer_is_running(&c->t_misc))
        timer_stop(&c->t_misc, &w->timers);
    c->rexmt_mode = TCP_REXMT_NONE;
    c->lflags &= (uint8_t)~TCP_LF_PACE_WAIT;
}

void tcp_keepalive_update(struct worker *w, struct tcp_conn *c)
{
    bool waits = c->state == TCP_S_TIME_WAIT || (c->state == TCP_S_FIN_WAIT_2 && (c->flags & TCP_F_CLOSED));

    if (waits || c->state == TCP_S_FREE || c->state == TCP_S_SYN_SENT || c->state == TCP_S_SYN_RCVD || c->state == TCP_S_CLOSED)
        return; /* the timer serves another purpose, or there is nothing to keep alive yet */
    if (c->flags & TCP_F_KEEPALIVE)
        tcp_misc_start(w, c, (uint64_t)c->keepidle_s * 1000000);
    else if (timer_is_running(&c->t_misc))
        timer_stop(&c->t_misc, &w->timers);
}

/* ---- retransmission ---- */

/* R2 (RFC 9293 s3.8.3), or the program's own limit (RFC 5482). */
static bool given_up(const struct tcp_conn *c, const struct worker *w, uint32_t max_retries)
{
    if (c->user_timeout_ms && c->rexmt_first_us)
        return w->now_us - c->rexmt_first_us >= (uint64_t)c->user_timeout_ms * 1000;
    return c->retransmits > max_retries;
}

static void count_timeout(struct worker *w, struct tcp_conn *c)
{
    if (!c->rexmt_first_us)
        c->rexmt_first_us = w->now_us - c->rto_us; /* about when it was sent */
    c->has_trouble = true;
    if (c->retransmits < UINT8_MAX)
        c->retransmits++;
    if (c->backoff < 16)
        c->backoff++;
}

static int timeout_error(const struct tcp_conn *c) { return c->soft_error ? c->soft_error : -ETIMEDOUT; }

static void rexmt_syn(struct worker *w, struct tcp_conn *c)
{
    const struct tcp_config *cfg = &tcp_worker_of(w)->cfg;

    count_timeout(w, c);
    if (given_up(c, w, c->state != TCP_S_SYN_SENT ? cfg->synack_retries : c->open.retries ? c->open.retries : cfg->syn_retries)) {
        tcp_count(w, TCP_C_syn_timeouts);
        tcp_conn_abort(w, c, timeout_error(c), false);
        return;
    }
    c->flags |= TCP_F_SYN_RTX;
    c->flags &= ~TCP_F_RTT_TIMING;
    tcp_fastopen_timeout(c);
    tcp_count(w, TCP_C_retransmits);
    tcp_send_syn(w, c);
    tcp_rexmt_start(w, c, TCP_REXMT_RTO, tcp_backoff_us(c, cfg));
}

static uint32_t data_retries(const struct tcp_conn *c, const struct tcp_config *cfg)
{
    return c->flags & TCP_F_CLOSED ? hs_min_u32(TCP_ORPHAN_RETRIES, cfg->data_retries) : cfg->data_retries;
}

static void rexmt_data(struct worker *w, struct tcp_conn *c)
{
    const struct tcp_config *cfg = &tcp_worker_of(w)->cfg;

    tcp_count(w, TCP_C_rto);
    count_timeout(w, c);
    tcp_trace(w, c, c->snd_wnd ? TCP_TRACE_RTO : TCP_TRACE_PROBE, c->retransmits);
    if (given_up(c, w, data_retries(c, cfg))) {
        tcp_count(w, TCP_C_timeouts);
        tcp_conn_abort(w, c, timeout_error(c), true);
        return;
    }
    if (c->retransmits >= TCP_R1) /* R1: the route may be dead, or its MTU smaller */
        tcp_conn_path_update(w, c);
    tcp_rexmt_start(w, c, TCP_REXMT_RTO, tcp_backoff_us(c, cfg));
    if (c->snd_wnd == 0) { /* the window was shrunk under data in flight: this is a probe, no sign of congestion */
        bool fin = (c->flags & TCP_F_FIN_SENT) && c->snd_una == c->fin_seq;

        tcp_count(w, TCP_C_window_probes);
        tcp_count_again(c, fin ? 0 : 1);
        tcp_sent_refused(w, c);
        tcp_send_data(w, c, c->snd_una, fin ? 0 : 1, fin);
        return;
    }
    if (c->retransmits >= TCP_R1)
        tcp_pmtu_timeout(w, c);
    tcp_pmtu_probe_timeout(w, c);
    tcp_loss_enter(w, c);
    tcp_tx_request(w, c);
}

/* Zero-window probe (RFC 9293 s3.8.6.1): one byte beyond the window, or the FIN. */
static void persist(struct worker *w, struct tcp_conn *c)
{
    const struct tcp_config *cfg = &tcp_worker_of(w)->cfg;
    uint32_t sent, avail;
    bool fin;

    count_timeout(w, c);
    if (given_up(c, w, data_retries(c, cfg))) {
        tcp_count(w, TCP_C_timeouts);
        tcp_conn_abort(w, c, timeout_error(c), true);
        return;
    }
    sent = c->snd_una - c->data_una;
    avail = c->base.session ? session_tx_avail(w, c->base.session) : 0;
    fin = avail <= sent;
    if (fin && !(c->flags & TCP_F_FIN_QUEUED)) {
        tcp_rexmt_stop(c);
        return;
    }
    tcp_count(w, TCP_C_window_probes);
    tcp_trace(w, c, TCP_TRACE_PROBE, c->retransmits);
    tcp_rexmt_start(w, c, TCP_REXMT_PERSIST, tcp_backoff_us(c, cfg));
    if (fin) {
        c->fin_seq = c->snd_una;
        c->flags |= TCP_F_FIN_SENT;
    }
    if (c->snd_nxt == c->snd_una) {
        if (tcp_sent_reserve(w, c) != 0)
            return; /* the next one, perhaps */
        tcp_sent_add(w, c);
        c->snd_nxt++;
        c->flags |= TCP_F_PROBE_OUT;
    } else {
        tcp_count_again(c, fin ? 0 : 1);
        tcp_sent_refused(w, c);
    }
    tcp_send_data(w, c, c->snd_una, fin ? 0 : 1, fin);
}

static void rexmt_fire(struct worker *w, struct timer_node *t)
{
    struct tcp_conn *c = hs_container_of(t, struct tcp_conn, t_rexmt);

    if (c->lflags & TCP_LF_PACE_WAIT) {
        c->lflags &= (uint8_t)~TCP_LF_PACE_WAIT;
        tcp_tx_request(w, c);
    }
    if (c->rexmt_mode == TCP_REXMT_NONE)
        return;
    if (w->now_us < c->rexmt_deadline_us) {
        timer_start(&w->timers, t, c->rexmt_deadline_us);
        return;
    }
    switch (c->rexmt_mode) {
    case TCP_REXMT_RTO:
        if (c->state == TCP_S_SYN_SENT || c->state == TCP_S_SYN_RCVD)
            rexmt_syn(w, c);
        else
            rexmt_data(w, c);
        break;
    case TCP_REXMT_PERSIST:
        persist(w, c);
        break;
    case TCP_REXMT_TLP:
        tcp_tlp_fire(w, c);
        break;
    case TCP_REXMT_REO:
        tcp_rack_fire(w, c);
        break;
    default: /* CORK, or a try after a lack of buffers */
        tcp_rexmt_stop(c);
        c->flags |= TCP_F_PUSH_PARTIAL;
        tcp_tx_request(w, c);
        break;
    }
}

static void delack_fire(struct worker *w, struct timer_node *t)
{
    struct tcp_conn *c = hs_container_of(t, struct tcp_conn, t_delack);

    if (!(c->flags & TCP_F_ACK_DELAYED))
        return;
    tcp_count(w, TCP_C_delayed_acks);
    tcp_send_ack(w, c);
}

/* Keep-alive (RFC 9293 s3.8.4): only when nothing is on its way and nothing came in for keepidle (MUST-26). */
void tcp_keepalive(struct worker *w, struct tcp_conn *c)
{
    uint64_t idle_us = (uint64_t)(tcp_now_ms(w) - c->rcv_time_ms) * 1000, limit_us = (uint64_t)c->keepidle_s * 1000000;

    if (!(c->flags & TCP_F_KEEPALIVE))
        return;
    if (c->snd_una != c->snd_nxt || (c->base.session && session_tx_avail(w, c->base.session) > c->snd_nxt - c->data_una)) {
        tcp_misc_start(w, c, limit_us); /* retransmission watches over the peer meanwhile */
        return;
    }
    if (idle_us < limit_us) {
        tcp_misc_start(w, c, limit_us - idle_us);
        return;
    }
    if (c->user_timeout_ms ? idle_us >= (uint64_t)c->user_timeout_ms * 1000 && c->keep_probes > 0 : c->keep_probes >= c->keepcnt) {
        tcp_count(w, TCP_C_timeouts);
        tcp_conn_abort(w, c, timeout_error(c), true);
        return;
    }
    c->keep_probes++;
    tcp_count(w, TCP_C_keepalive_probes);
    tcp_send_probe(w, c);
    tcp_misc_start(w, c, (uint64_t)c->keepintvl_s * 1000000);
}

static void misc_fire(struct worker *w, struct timer_node *t)
{
    struct tcp_conn *c = hs_container_of(t, struct tcp_conn, t_misc);

    if (c->state == TCP_S_TIME_WAIT)
        tcp_conn_done(w, c);
    else if (c->state == TCP_S_FIN_WAIT_2 && (c->flags & TCP_F_CLOSED))
        tcp_conn_done(w, c); /* nobody reads, and the peer does not finish */
    else
        tcp_keepalive(w, c);
}

void tcp_timer_init(struct tcp_conn *c)
{
    c->t_rexmt.fire = rexmt_fire;
    c->t_delack.fire = delack_fire;
    c->t_misc.fire = misc_fire;
}
