/* tcp_rack.c - RACK-TLP: loss by time, and probes of the tail (RFC 8985). Needs SACK. */
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_sent.h"

enum {
    RACK_DUP_THRESH = 3,
    RACK_REO_PERSIST = 16,       /* s6.2 step 4: recoveries for which a raised reordering window stays */
    RACK_REO_MULT_MAX = 64,
    TLP_MAX_ACK_DELAY_US = 200000, /* WCDelAckT of s7.2 */
    TLP_SLACK_US = 2000,         /* a peer that is scheduled late on a short path has lost nothing */
    TLP_NO_RTT_US = 1000000,
};

/* s6.2 step 4. */
static uint32_t reo_wnd_us(const struct tcp_conn *c)
{
    uint64_t us;

    if (!(c->lflags & TCP_LF_REORDERING) &&
        (c->ca_state >= TCP_CA_RECOVERY || c->sent->sacked >= RACK_DUP_THRESH * (uint32_t)c->mss))
        return 0;
    us = (1 + (uint64_t)c->reo_mult) * c->min_rtt_us / 4;
    return us < c->srtt_us ? (uint32_t)us : c->srtt_us;
}

/* A retransmission that fills the first hole sets TS.Recent of the peer. What was sent shortly before and is overtaken on the way is then
 * dropped there, as older than that (PAWS, RFC 7323 s5.3 R1): on a path that reorders a real loss, and a window reduced, in each recovery
 * anew. So retransmissions carry the time of the reordering window before. Still half of a round trip later than what may have set
 * TS.Recent: all below the hole was sent a round trip before. */
uint32_t tcp_rtx_lag_ms(const struct tcp_conn *c)
{
    return c->sent && (c->lflags & TCP_LF_REORDERING) ? hs_min_u32(reo_wnd_us(c), c->min_rtt_us / 2) / 1000 : 0;
}

uint32_t tcp_rtx_ts(struct worker *w, struct tcp_conn *c)
{
    uint32_t ts = tcp_ts_now(w, c) - tcp_rtx_lag_ms(c);
    struct tcp_sent *s = c->sent;

    if (s->rtx_ts_min && seq_lt(ts, s->rtx_ts_min)) /* the lag has grown */
        ts = s->rtx_ts_min;
    s->rtx_ts_min = ts;
    return ts;
}

void tcp_rack_dsack(struct worker *w, struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;

    (void)w;
    c->n.reord_seen++; /* as Linux */
    c->lflags |= TCP_LF_REORDERING; /* the original was not lost, it came late */
    c->reo_persist = RACK_REO_PERSIST;
    if (s->has_dsack_round && seq_lt(c->snd_una, s->dsack_round))
        return; /* once a round trip */
    s->has_dsack_round = true;
    s->dsack_round = c->snd_nxt;
    if (c->reo_mult < RACK_REO_MULT_MAX)
        c->reo_mult++;
}

void tcp_rack_recovered(struct tcp_conn *c)
{
    if (c->reo_persist && --c->reo_persist == 0)
        c->reo_mult = 0;
}

/* s6.2 step 5: lost is what was sent before something that has arrived, and longer ago than a round trip and the reordering
 * window. *wait_us: when what is suspected now will be lost. */
uint32_t tcp_rack_detect(struct worker *w, struct tcp_conn *c, uint32_t *wait_us)
{
    struct tcp_sent *s = c->sent;
    uint32_t reo = reo_wnd_us(c), lost = 0, wait = 0;

    *wait_us = 0;
    if (s->rack_rtt_us == 0)
        return 0;
    for (struct tcp_run *r = s->r + s->first, *end = r + s->n; r < end; r++) {
        uint32_t run_end = tcp_run_end(c, r);
        int64_t left;

        if (r->flags & (TCP_RUN_SACKED | TCP_RUN_LOST))
            continue;
        if (!seq_gt(s->rack_us, r->sent_us) && !(s->rack_us == r->sent_us && seq_gt(s->rack_end, run_end)))
            continue;
        left = (int64_t)s->rack_rtt_us + reo - (int64_t)((uint32_t)w->now_us - r->sent_us);
        if (left <= 0) {
            tcp_sent_mark_lost(c, r);
            lost += run_end - r->start;
        } else if (left > wait) {
            wait = (uint32_t)left;
        }
    }
    *wait_us = wait;
    return lost;
}

void tcp_rack_fire(struct worker *w, struct tcp_conn *c)
{
    struct tcp_ack_news n = { .flight = c->snd_nxt - c->snd_una, .una = c->snd_una };
    struct tcp_seg none = { .ack = c->snd_una };

    if (c->sent)
        tcp_recovery_ack(w, c, &none, &n);
    tcp_tx_request(w, c);
}

/* ---- tail loss probes (s7) ---- */

/* s7.2: while all goes well, and not when SACK blocks or a probe will bring the news anyway. */
bool tcp_tlp_wanted(const struct tcp_conn *c)
{
    return (c->flags & TCP_F_SACK) && c->ca_state == TCP_CA_OPEN && c->sent && !c->sent->has_tlp && !c->sent->sacked &&
           !c->sent->lost && c->retransmits == 0;
}

uint32_t tcp_tlp_timeout_us(const struct tcp_conn *c)
{
    uint32_t us = c->srtt_us ? 2 * c->srtt_us : TLP_NO_RTT_US;

    if (c->snd_nxt - c->snd_una <= c->mss)
        us += TLP_MAX_ACK_DELAY_US;
    else
        us += TLP_SLACK_US;
    return us;
}

/* s7.3: new data if there is some, even if cwnd has no room; else the last segment once more. Then the RTO. */
void tcp_tlp_fire(struct worker *w, struct tcp_conn *c)
{
    uint32_t end = c->snd_nxt, start, len;
    struct tcp_sent *s = c->sent;
    bool fin;

    if (!s || !tcp_tlp_wanted(c)) {
        tcp_rexmt_rearm(w, c);
        return;
    }
    s->has_tlp = true;
    s->tlp_is_rtx = false;
    if (!tcp_send_probe_data(w, c)) {
        fin = (c->flags & TCP_F_FIN_SENT) && end == c->fin_seq + 1;
        start = end - c->snd_una > (uint32_t)c->mss + fin ? end - c->mss - fin : c->snd_una;
        len = end - start - fin;
        if (tcp_send_data(w, c, start, len, fin) == 0) {
            tcp_count(w, TCP_C_retransmits);
            tcp_count_again(c, len);
            s->tlp_is_rtx = true;
            tcp_sent_resent(w, c, start, len + fin);
            c->flags &= ~TCP_F_RTT_TIMING; /* Karn */
        } else {
            s->has_tlp = false;
        }
    }
    if (s->has_tlp) {
        tcp_count(w, TCP_C_tlp_probes);
        s->tlp_end = c->snd_nxt;
    }
    tcp_rexmt_start(w, c, TCP_REXMT_RTO, tcp_backoff_us(c, &tcp_worker_of(w)->cfg));
}

/* s7.4: did the probe repair a loss? Then the loss is to be answered like any other. */
void tcp_tlp_ack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, const struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;

    if (!s->has_tlp || seq_lt(seg->ack, s->tlp_end))
        return;
    if (!s->tlp_is_rtx || n->dsack) { /* it was new data, or the original has arrived as well */
        s->has_tlp = false;
    } else if (seq_gt(seg->ack, s->tlp_end)) {
        s->has_tlp = false;
        if (c->ca_state < TCP_CA_CWR) {
            tcp_count(w, TCP_C_tlp_repairs);
            tcp_cwr_enter(w, c);
        }
    } else if (n->acked == 0 && n->is_duplicate && seg->o.n_sack == 0) {
        s->has_tlp = false; /* both copies have arrived */
    }
}
