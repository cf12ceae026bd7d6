/* tcp_ack.c - the ACK field: what is acknowledged, round-trip time, the peer's window (RFC 9293 s3.10.7.4 fifth, RFC 6298) */
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_sent.h"

enum {
    TCP_RTT_GRANULARITY_US = 1000,  /* G of RFC 6298 */
    TCP_MIN_RTT_AGE_MS = 300000,    /* min_rtt is of so long at most: paths change */
};

/* ---- RTT and RTO (RFC 6298 s2) ---- */

uint32_t tcp_rto_of(const struct tcp_conn *c, const struct tcp_config *cfg)
{
    uint64_t var = 4ull * c->rttvar_us, rto;

    if (var < TCP_RTT_GRANULARITY_US)
        var = TCP_RTT_GRANULARITY_US;
    /* The floor goes under the variance, as in Linux: a delayed ACK of the peer must not look like a loss. */
    if (var < cfg->rto_min_us)
        var = cfg->rto_min_us;
    rto = c->srtt_us + var;
    return rto > cfg->rto_max_us ? cfg->rto_max_us : (uint32_t)rto;
}

void tcp_rtt_sample(struct tcp_conn *c, uint32_t rtt_us, const struct tcp_config *cfg)
{
    if (rtt_us == 0)
        rtt_us = 1;
    if (c->srtt_us == 0) { /* (2.2) */
        c->srtt_us = rtt_us;
        c->rttvar_us = rtt_us / 2;
    } else { /* (2.3) */
        int32_t err = (int32_t)(rtt_us - c->srtt_us);
        uint32_t dev = err < 0 ? (uint32_t)-err : (uint32_t)err;

        c->rttvar_us += (uint32_t)(((int64_t)dev - c->rttvar_us) / 4);
        c->srtt_us = (uint32_t)((int64_t)c->srtt_us + err / 8);
        if (c->srtt_us == 0)
            c->srtt_us = 1;
    }
    c->rto_us = tcp_rto_of(c, cfg);
    c->backoff = 0; /* a sample that is not ambiguous ends the backoff (Karn) */
}

static void rtt_measure(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    const struct tcp_config *cfg = &tcp_worker_of(w)->cfg;

    if (c->flags & TCP_F_RTT_TIMING) {
        if (seq_geq(seg->ack, c->rtt_seq)) {
            c->flags &= ~TCP_F_RTT_TIMING;
            tcp_rtt_sample(c, hs_min_u32((uint32_t)w->now_us - c->rtt_start_us, UINT32_MAX / 2), cfg);
        }
    } else if ((c->flags & TCP_F_TS) && seg->o.has_ts && seg->o.tsecr) {
        /* RTTM (RFC 7323 s4.1): used where our own clock cannot tell which copy was acknowledged. */
        uint32_t ms = tcp_now_ms(w) + c->ts_offset - seg->o.tsecr;

        if (ms < 600000)
            tcp_rtt_sample(c, (ms ? ms : 1) * 1000, cfg);
    }
}

void tcp_min_rtt_update(const struct worker *w, struct tcp_conn *c, uint32_t rtt_us)
{
    if (c->min_rtt_us && rtt_us > c->min_rtt_us && tcp_now_ms(w) - c->min_rtt_ms < TCP_MIN_RTT_AGE_MS)
        return;
    c->min_rtt_us = rtt_us ? rtt_us : 1;
    c->min_rtt_ms = tcp_now_ms(w);
}

void tcp_rtt_of_handshake(struct worker *w, struct tcp_conn *c)
{
    uint32_t rtt_us = hs_min_u32((uint32_t)w->now_us - c->rtt_start_us, UINT32_MAX / 2);

    if ((c->flags & TCP_F_RTT_TIMING) && !(c->flags & TCP_F_SYN_RTX)) {
        tcp_rtt_sample(c, rtt_us, &tcp_worker_of(w)->cfg);
        tcp_min_rtt_update(w, c, rtt_us);
    }
    c->flags &= ~TCP_F_RTT_TIMING;
}

static void acked_new(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, struct tcp_ack_news *n)
{
    uint32_t data_end = seg->ack;

    if ((c->flags & TCP_F_FIN_SENT) && seq_gt(data_end, c->fin_seq))
        data_end = c->fin_seq; /* the FIN is no byte of the FIFO */
    if (c->base.session && data_end != c->data_una)
        session_tx_drop(w, c->base.session, data_end - c->data_una);
    n->acked = seg->ack - c->snd_una;
    if (c->sent)
        tcp_sent_ack(w, c, seg, n);
    c->data_una = data_end;
    c->acked_wraps += seg->ack < c->snd_una;
    c->snd_una = seg->ack;
    c->flags &= ~TCP_F_PROBE_OUT;
    if (seq_lt(c->snd_sml, c->snd_una))
        c->snd_sml = c->snd_una;
    c->retransmits = 0;
    if (hs_unlikely(c->has_trouble)) {
        c->has_trouble = false;
        c->rexmt_first_us = 0;
        c->soft_error = 0;
    }
    ip_confirm(w, &c->route);
    rtt_measure(w, c, seg);
    if (c->ca_state < TCP_CA_CWR && seq_gt(c->snd_una, c->recover))
        c->recover = c->snd_una - 1; /* keeps the distance within half the sequence space */
}

/* RFC 5681 s2: outstanding data, no text, no SYN or FIN, same window, ack == snd_una. With SACK: news in the blocks counts. */
static bool is_duplicate(const struct tcp_conn *c, const struct tcp_seg *seg, bool same_wnd, bool new_sack)
{
    if (seg->ack != c->snd_una || c->snd_nxt == c->snd_una || c->snd_wnd == 0 || seg->had_data || (seg->flags & (TCP_SYN | TCP_FIN)))
        return false;
    return new_sack || same_wnd;
}

/* Nothing out of the ordinary, neither before nor with this ACK: it only moves the window on. */
static bool is_plain(const struct tcp_conn *c, const struct tcp_ack_news *n)
{
    const struct tcp_sent *s = c->sent;

    return c->ca_state == TCP_CA_OPEN && !n->is_duplicate && !n->dsack && !s->sacked && !s->lost && !s->has_tlp &&
           !s->mtu_probe;
}

/* What was in flight while the window was closed was refused: it goes out again at once, and cwnd stays. */
static void window_opened(struct worker *w, struct tcp_conn *c)
{
    if (c->flags & TCP_F_PROBE_OUT) { /* one byte or the FIN: sent together with what follows */
        tcp_sent_clear(w, c);
        if (!(c->flags & TCP_F_FIN_SENT))
            tcp_count_again(c, 1);
        c->snd_nxt = c->snd_una;
        c->flags &= ~(TCP_F_PROBE_OUT | TCP_F_FIN_SENT);
        c->has_sent_all = false;
        tcp_rexmt_stop(c);
        c->backoff = 0;
        return;
    }
    tcp_sent_mark_all_lost(c);
    c->backoff = 0;
    c->flags |= TCP_F_RTX_FORCE;
    tcp_rexmt_start(w, c, TCP_REXMT_RTO, c->rto_us);
}

static void window_update(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    uint32_t wnd = (uint32_t)seg->wnd << c->snd_wscale;

    if (!seq_lt(c->snd_wl1, seg->seq) && !(c->snd_wl1 == seg->seq && seq_leq(c->snd_wl2, seg->ack)))
        return;
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    if (wnd == c->snd_wnd)
        return;
    if (wnd > 0 && c->snd_wnd == 0 && c->snd_una == seg->ack && c->snd_nxt != c->snd_una)
        window_opened(w, c);
    c->snd_wnd = wnd;
    if (wnd > c->snd_max_wnd)
        c->snd_max_wnd = wnd;
    if (wnd > 0 && c->rexmt_mode == TCP_REXMT_PERSIST) {
        tcp_rexmt_stop(c);
        c->backoff = 0;
    }
}

/* What it means for what is in flight, and for the window. */
static void ack_effects(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, struct tcp_ack_news *n)
{
    if (hs_unlikely((seg->flags & TCP_ECE) && (c->lflags & TCP_LF_ECN)))
        tcp_ecn_echoed(w, c);
    if (n->delivered) {
        c->delivered += n->delivered;
        c->sent->delivered_us = (uint32_t)w->now_us;
        tcp_rate_sample(w, c, n);
        if (hs_unlikely((seg->flags & TCP_ECE) && (c->lflags & TCP_LF_ECN)))
            tcp_count_delivered_ce(c, n->delivered);
    }
    if (hs_unlikely(n->reordered))
        c->n.reord_seen++;
    if (n->rtt_us)
        tcp_min_rtt_update(w, c, n->rtt_us);
    if (is_plain(c, n)) {
        tcp_cwnd_grow(w, c, n);
        if (n->acked && c->snd_una != c->snd_nxt)
            tcp_rexmt_rearm(w, c); /* RFC 6298 s5.3 */
    } else {
        tcp_recovery_ack(w, c, seg, n);
    }
    if (hs_unlikely(c->cc->model))
        c->cc->ack(w, c, n);
    if (c->snd_una == c->snd_nxt) { /* nothing is in flight, so nothing is known to be lost */
        tcp_sent_clear(w, c);
        tcp_rexmt_stop(c);
        c->ca_state = TCP_CA_OPEN;
        c->dup_acks = 0;
        c->flags &= ~TCP_F_RTX_FORCE;
    }
}

/* RFC 9293 s3.10.7.4, fifth, for states from ESTABLISHED on. */
enum tcp_ack_verdict tcp_ack_process(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    struct tcp_ack_news n = { .flight = c->snd_nxt - c->snd_una, .una = c->snd_una };
    bool same_wnd;

    if (seq_gt(seg->ack, c->snd_nxt)) { /* acknowledges what was never sent: ACK, drop */
        tcp_count(w, TCP_C_bad_ack);
        if (tcp_oow_ack_allowed(w, c))
            tcp_send_ack(w, c);
        return TCP_ACK_DROP;
    }
    if (seq_lt(seg->ack, c->snd_una - c->snd_max_wnd)) { /* RFC 5961 s5.2 */
        tcp_count(w, TCP_C_bad_ack);
        tcp_send_challenge_ack(w, c);
        return TCP_ACK_DROP;
    }
    if (seq_lt(seg->ack, c->snd_una))
        return TCP_ACK_OK; /* old: its text may still be new */
    same_wnd = (uint32_t)seg->wnd << c->snd_wscale == c->snd_wnd;
    window_update(w, c, seg);
    if (c->snd_wnd == 0 && seg->ack == c->snd_una && !(c->flags & TCP_F_CLOSED))
        c->retransmits = 0; /* probes are answered: the connection stays (MUST-37), unless nobody waits for it any more */
    if (seg->o.n_sack && (c->flags & TCP_F_SACK))
        tcp_sack_update(w, c, seg, &n);
    n.is_duplicate = is_duplicate(c, seg, same_wnd, n.sacked != 0);
    if (seq_gt(seg->ack, c->snd_una))
        acked_new(w, c, seg, &n);
    if (c->sent)
        ack_effects(w, c, seg, &n);
    if (c->base.session && !(c->has_sent_all && c->snd_una == c->snd_nxt))
        tcp_tx_request(w, c);
    else
        tcp_busy_set(w, c, TCP_BUSY_NOT);
    return TCP_ACK_OK;
}
