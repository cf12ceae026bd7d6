/* tcp_ack.c - the ACK field: round-trip time, what is lost, how cwnd moves
 * (RFC 9293 s3.10.7.4 fifth, RFC 6298, RFC 5681, RFC 6582, RFC 6675) */
#include "server/tcp/tcp_cc.h"

enum {
    TCP_RTT_GRANULARITY_US = 1000, /* G of RFC 6298 */
    TCP_FAST_RETRANSMIT_DUPS = 3,
    TCP_CWND_MAX = 1 << 30,        /* half the sequence space is the limit of RFC 7323 s2.3 */
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
            uint64_t us = w->now_us - c->rtt_start_us;

            c->flags &= ~TCP_F_RTT_TIMING;
            tcp_rtt_sample(c, us > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)us, cfg);
        }
    } else if ((c->flags & TCP_F_TS) && seg->o.has_ts && seg->o.tsecr) {
        /* RTTM (RFC 7323 s4.1): used where our own clock cannot tell which copy was acknowledged. */
        uint32_t ms = tcp_now_ms(w) + c->ts_offset - seg->o.tsecr;

        if (ms < 600000)
            tcp_rtt_sample(c, (ms ? ms : 1) * 1000, cfg);
    }
}

/* ---- what is in the network ---- */

uint32_t tcp_pipe(const struct tcp_conn *c)
{
    uint32_t flight = c->snd_nxt - c->snd_una, gone, again;

    if (!c->sack && !c->reno_sacked && !seq_gt(c->lost_high, c->snd_una))
        return flight;
    gone = (c->sack ? c->sack->bytes : c->reno_sacked) + tcp_unsacked_below(c, c->lost_high);
    again = tcp_unsacked_below(c, seq_lt(c->high_rxt, c->lost_high) ? c->high_rxt : c->lost_high);
    return flight + again > gone ? flight + again - gone : 0;
}

/* ---- loss ---- */

/* Fast retransmit and recovery: RFC 5681 s3.2, RFC 6582 s3.2 step 2, RFC 6675 s5 step 4. */
void tcp_recovery_enter(struct worker *w, struct tcp_conn *c)
{
    uint32_t lost = tcp_sack_lost_high(c), head = c->snd_una + c->mss;

    if (seq_gt(head, c->snd_nxt))
        head = c->snd_nxt;
    tcp_count(w, TCP_C_fast_recoveries);
    c->ca_state = TCP_CA_RECOVERY;
    c->recover = c->snd_nxt;
    c->ssthresh = c->cc->loss(w, c, c->snd_nxt - c->snd_una);
    c->cwnd = c->ssthresh;
    c->lost_high = seq_gt(lost, head) ? lost : head;
    c->high_rxt = c->snd_una;
    c->flags |= TCP_F_RTX_FORCE;
    c->flags &= ~TCP_F_RTT_TIMING;
}

/* Retransmission timeout: RFC 5681 s3.1 equation 4, RFC 6298 s5. Everything sent counts as lost; the scoreboard is thrown
 * away, because the peer may have reneged (RFC 2018 s8). */
void tcp_loss_enter(struct worker *w, struct tcp_conn *c)
{
    uint32_t flight = c->snd_nxt - c->snd_una;

    if (c->sack)
        tcp_count(w, TCP_C_sack_reneged);
    if (c->ca_state != TCP_CA_LOSS) /* ssthresh once for a window that is lost (RFC 5681 s3.1) */
        c->ssthresh = c->cc->loss(w, c, c->ca_state == TCP_CA_RECOVERY ? hs_min_u32(flight, c->cwnd) : flight);
    c->cc->rto(w, c);
    tcp_sack_clear(w, c);
    c->reno_sacked = 0;
    c->dup_acks = 0;
    c->ca_state = TCP_CA_LOSS;
    c->cwnd = c->mss; /* loss window */
    c->recover = c->lost_high = c->snd_nxt;
    c->high_rxt = c->snd_una;
    c->flags &= ~TCP_F_RTT_TIMING;
    c->flags |= TCP_F_RTX_FORCE;
}

static void recovery_exit(struct tcp_conn *c)
{
    uint32_t pipe = tcp_pipe(c);

    /* RFC 6582 s3.2 step 3 (1): no burst of a whole window. */
    if (c->ca_state == TCP_CA_RECOVERY)
        c->cwnd = hs_min_u32(c->ssthresh, hs_max_u32(pipe, c->mss) + c->mss);
    c->ca_state = TCP_CA_OPEN;
    c->dup_acks = 0;
    c->reno_sacked = 0;
    c->lost_high = c->high_rxt = c->snd_una;
    c->flags &= ~TCP_F_RTX_FORCE;
}

/* Without SACK each duplicate ACK stands for one segment; new data acknowledged takes back what it covers. */
static void reno_sacked_acked(struct tcp_conn *c, uint32_t acked)
{
    uint32_t over = acked > c->mss ? acked - c->mss : 0;

    c->reno_sacked = c->reno_sacked > over ? c->reno_sacked - over : 0;
}

static void partial_ack(struct tcp_conn *c, uint32_t acked)
{
    uint32_t head = c->snd_una + c->mss;

    if (c->flags & TCP_F_SACK) {
        /* The segment after the hole that was filled is missing too; RFC 6582's reading, as peers' scoreboards may be short. */
        if (c->sack && seq_gt(head, c->sack->r[0].start))
            head = c->sack->r[0].start;
        if (c->sack && seq_gt(head, c->lost_high))
            c->lost_high = head;
        return;
    }
    reno_sacked_acked(c, acked);
    if (seq_gt(head, c->snd_nxt))
        head = c->snd_nxt;
    c->lost_high = head; /* RFC 6582 s3.2 step 3 (2): the first unacknowledged segment, at once */
    c->high_rxt = c->snd_una;
    c->flags |= TCP_F_RTX_FORCE;
}

/* How cwnd and the state of recovery move on an ACK of `acked` new bytes. flight: before the ACK. */
static void congestion_acked(struct worker *w, struct tcp_conn *c, uint32_t acked, uint32_t flight)
{
    if (c->ca_state >= TCP_CA_RECOVERY && seq_geq(c->snd_una, c->recover))
        recovery_exit(c);
    if (c->ca_state == TCP_CA_RECOVERY) {
        partial_ack(c, acked);
        return;
    }
    if (c->ca_state != TCP_CA_LOSS) {
        reno_sacked_acked(c, acked);
        c->dup_acks = 0;
        if (c->ca_state == TCP_CA_DISORDER && !c->sack)
            c->ca_state = TCP_CA_OPEN;
        if (!c->sack)
            c->reno_sacked = 0;
        if (seq_gt(c->snd_una, c->recover))
            c->recover = c->snd_una - 1; /* keeps the distance within half the sequence space */
    }
    /* RFC 7661 s4: a window that was not used says nothing about the path. */
    if ((c->flags & TCP_F_CWND_LIMITED) || c->ca_state == TCP_CA_LOSS || (c->cwnd < c->ssthresh && flight >= c->cwnd / 2)) {
        if (c->cwnd < TCP_CWND_MAX)
            c->cc->acked(w, c, acked);
    }
}

static void acked_new(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    uint32_t flight = c->snd_nxt - c->snd_una, acked = seg->ack - c->snd_una, data_end = seg->ack;

    if ((c->flags & TCP_F_FIN_SENT) && seq_gt(data_end, c->fin_seq))
        data_end = c->fin_seq; /* the FIN is no byte of the FIFO */
    if (c->base.session && data_end != c->data_una)
        session_tx_drop(w, c->base.session, data_end - c->data_una);
    c->data_una = data_end;
    c->acked_wraps += seg->ack < c->snd_una;
    c->snd_una = seg->ack;
    c->flags &= ~TCP_F_PROBE_OUT;
    if (seq_lt(c->snd_sml, c->snd_una))
        c->snd_sml = c->snd_una;
    if (seq_lt(c->lost_high, c->snd_una))
        c->lost_high = c->snd_una;
    if (seq_lt(c->high_rxt, c->snd_una))
        c->high_rxt = c->snd_una;
    c->retransmits = 0;
    c->rexmt_first_us = 0;
    c->soft_error = 0;
    rtt_measure(w, c, seg);
    tcp_sack_advance(w, c);
    congestion_acked(w, c, acked, flight);
    if (c->snd_una == c->snd_nxt)
        tcp_rexmt_stop(c);
    else
        tcp_rexmt_start(w, c, TCP_REXMT_RTO, tcp_backoff_us(c, &tcp_worker_of(w)->cfg)); /* RFC 6298 s5.3 */
}

/* RFC 5681 s2: outstanding data, no text, no SYN or FIN, same window, ack == snd_una. With SACK: news in the blocks counts. */
static bool is_duplicate(const struct tcp_conn *c, const struct tcp_seg *seg, bool same_wnd, bool new_sack)
{
    if (seg->ack != c->snd_una || c->snd_nxt == c->snd_una || c->snd_wnd == 0 || seg->had_data || (seg->flags & (TCP_SYN | TCP_FIN)))
        return false;
    return new_sack || (same_wnd && !(c->flags & TCP_F_SACK));
}

static void loss_detect(struct worker *w, struct tcp_conn *c, bool dup)
{
    uint32_t lost;

    if (dup && c->dup_acks < UINT8_MAX)
        c->dup_acks++;
    if (dup && !(c->flags & TCP_F_SACK) && c->ca_state != TCP_CA_LOSS) {
        uint32_t max = c->snd_nxt - c->snd_una;

        max = max > c->mss ? max - c->mss : 0;
        c->reno_sacked = hs_min_u32(c->reno_sacked + c->mss, max);
    }
    lost = tcp_sack_lost_high(c);
    switch (c->ca_state) {
    case TCP_CA_OPEN:
    case TCP_CA_DISORDER:
        if (seq_gt(lost, c->snd_una) ||
            (c->dup_acks >= TCP_FAST_RETRANSMIT_DUPS && ((c->flags & TCP_F_SACK) || seq_gt(c->snd_una, c->recover))))
            tcp_recovery_enter(w, c);
        else if (c->sack || c->dup_acks)
            c->ca_state = TCP_CA_DISORDER;
        break;
    default:
        if (seq_gt(lost, c->lost_high))
            c->lost_high = lost;
        break;
    }
}

/* What was in flight while the window was closed was refused: it goes out again at once, and cwnd stays. */
static void window_opened(struct worker *w, struct tcp_conn *c)
{
    if (c->flags & TCP_F_PROBE_OUT) { /* one byte or the FIN: sent together with what follows */
        c->snd_nxt = c->lost_high = c->high_rxt = c->snd_una;
        c->flags &= ~(TCP_F_PROBE_OUT | TCP_F_FIN_SENT);
        tcp_rexmt_stop(c);
        c->backoff = 0;
        return;
    }
    c->lost_high = c->snd_nxt;
    c->high_rxt = c->snd_una;
    c->backoff = 0;
    c->flags |= TCP_F_RTX_FORCE;
    c->flags &= ~TCP_F_RTT_TIMING;
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

/* RFC 9293 s3.10.7.4, fifth, for states from ESTABLISHED on. */
enum tcp_ack_verdict tcp_ack_process(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    bool same_wnd, new_sack = false, dup;

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
    if ((c->flags & TCP_F_SACK) && seg->o.n_sack)
        new_sack = tcp_sack_update(w, c, seg);
    dup = is_duplicate(c, seg, same_wnd, new_sack);
    if (seq_gt(seg->ack, c->snd_una))
        acked_new(w, c, seg);
    if (dup || new_sack || c->sack)
        loss_detect(w, c, dup);
    if (c->base.session)
        tcp_tx_request(w, c);
    return TCP_ACK_OK;
}
