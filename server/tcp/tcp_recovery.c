/* tcp_recovery.c - the states of recovery: disorder, reduction, fast recovery, loss; what each ACK does in them
 * (RFC 5681 s3, RFC 6582, RFC 6675 s5, RFC 8985 s6.2) */
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_sent.h"
#include "server/tcp/tcp_trace.h"

enum {
    TCP_FAST_RETRANSMIT_DUPS = 3,
    TCP_CWND_MAX = 1 << 30,        /* half the sequence space is the limit of RFC 7323 s2.3 */
    TCP_NOT_VALID_MS = 300000,     /* NVP of RFC 7661 s4.1 */
    TCP_ABC_LIMIT_SEGS = 8,        /* L of RFC 3465 s2.2, as RFC 9406 s4.2 has it for senders that do not pace */
};

/* ---- growth ---- */

/* How far one ACK may take the window: L segments, or two of our own packets, because super-frames are acknowledged many
 * segments at once; a single segment after a timeout (RFC 3465 s2.3). */
static uint32_t abc_limit(const struct tcp_conn *c)
{
    if (c->ca_state == TCP_CA_LOSS)
        return c->mss;
    return hs_max_u32(TCP_ABC_LIMIT_SEGS * (uint32_t)c->mss, 2 * c->gso_max);
}

/* RFC 7661 s4.4: a window that is used in part does not grow. Unused by half for five minutes, it says nothing about the path any more,
 * and halves. (What an ACK finds in flight stands for pipeACK; a model of the path forgets by itself.) */
static void window_not_used(struct worker *w, struct tcp_conn *c, const struct tcp_ack_news *n)
{
    uint32_t now = tcp_now_ms(w), iw = tcp_cc_initial_window(c, &tcp_worker_of(w)->cfg), before = c->cwnd;

    if (n->flight >= c->cwnd / 2 || c->cc->model) {
        c->lflags &= (uint8_t)~TCP_LF_NOT_VALID;
    } else if (!(c->lflags & TCP_LF_NOT_VALID)) {
        c->lflags |= TCP_LF_NOT_VALID;
        c->not_valid_ms = now;
    } else if (now - c->not_valid_ms >= TCP_NOT_VALID_MS && c->cwnd > iw) {
        c->ssthresh = hs_max_u32(c->ssthresh, c->cwnd - c->cwnd / 4);
        c->cwnd = hs_max_u32(c->cwnd / 2, iw);
        c->not_valid_ms = now;
        tcp_trace(w, c, TCP_TRACE_CWND, before);
    }
}

void tcp_cwnd_grow(struct worker *w, struct tcp_conn *c, const struct tcp_ack_news *n)
{
    /* Where the path reorders, an ACK that covers much at once is no burst: what it covers was delivered before, piece by piece, and SACK
     * blocks have told so. By snd_una alone the limit below would swallow most of it. */
    bool reorders = (c->lflags & TCP_LF_REORDERING) && c->ca_state <= TCP_CA_DISORDER;
    uint32_t acked = reorders ? n->delivered : n->acked, before = c->cwnd;

    if (acked == 0 || c->cwnd >= TCP_CWND_MAX)
        return;
    if (!(c->flags & TCP_F_CWND_LIMITED) && c->ca_state != TCP_CA_LOSS && !(c->cwnd < c->ssthresh && n->flight >= c->cwnd / 2)) {
        window_not_used(w, c, n);
        return;
    }
    c->lflags &= (uint8_t)~TCP_LF_NOT_VALID;
    if (c->cwnd < c->ssthresh)
        acked = hs_min_u32(acked, abc_limit(c));
    c->cc->acked(w, c, acked, n->rtt_us);
    if (c->cwnd > before)
        tcp_trace_growth(w, c, before);
}

/* ---- entering ---- */

/* FlightSize of RFC 5681 s3.1 and RFC 9438 s4.6, without what was sent in place of segments known to have left: that is in flight only
 * because no ACK could say so, and counting it would make ssthresh larger than the window that was too large. */
static uint32_t flight_size(const struct tcp_conn *c) { return hs_min_u32(c->snd_nxt - c->snd_una, c->cwnd); }

static void reduce(struct worker *w, struct tcp_conn *c)
{
    c->recover = c->snd_nxt;
    c->ssthresh = c->cc->loss(w, c, flight_size(c));
    tcp_prr_begin(c);
    c->flags &= ~TCP_F_RTT_TIMING;
}

/* RFC 5681 s3.2, RFC 6582 s3.2 step 2, RFC 6675 s5 step 4; cwnd comes down by PRR. */
void tcp_recovery_enter(struct worker *w, struct tcp_conn *c)
{
    tcp_count(w, TCP_C_fast_recoveries);
    if (c->ca_state != TCP_CA_CWR) { /* in CWR the window has been reduced already, for the same congestion */
        tcp_undo_begin(c);
        reduce(w, c);
    } else {
        c->sent->has_undo = false;
    }
    c->ca_state = TCP_CA_RECOVERY;
    tcp_trace(w, c, TCP_TRACE_RECOVERY, c->snd_una);
}

void tcp_cwr_enter(struct worker *w, struct tcp_conn *c)
{
    if (c->ca_state >= TCP_CA_CWR)
        return;
    c->sent->has_undo = false;
    reduce(w, c);
    c->ca_state = TCP_CA_CWR;
    tcp_trace(w, c, TCP_TRACE_CWND, c->cwnd);
}

/* RFC 5681 s3.1 equation 4, RFC 6298 s5. All that the peer has not reported counts as lost; that report is kept, unless the
 * peer has thrown away what it once held (RFC 2018 s8): then it does not say the first byte, though it has SACKed it. */
void tcp_loss_enter(struct worker *w, struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;

    if (c->ca_state != TCP_CA_LOSS) { /* ssthresh once for a window that is lost (RFC 5681 s3.1) */
        s->frto = c->ca_state < TCP_CA_RECOVERY ? TCP_FRTO_FIRST : TCP_FRTO_OFF;
        if (c->ca_state < TCP_CA_RECOVERY)
            tcp_undo_begin(c);
        c->ssthresh = c->cc->loss(w, c, flight_size(c));
    } else {
        s->frto = TCP_FRTO_OFF; /* RFC 5682 s2.1 step 1: not for a second timeout of the same data */
    }
    c->cc->rto(w, c);
    if (s->r[s->first].flags & TCP_RUN_SACKED) {
        tcp_count(w, TCP_C_sack_reneged);
        tcp_sent_forget_sacks(c);
    }
    tcp_sent_mark_all_lost(c);
    s->has_tlp = false;
    c->dup_acks = 0;
    c->ca_state = TCP_CA_LOSS;
    c->cwnd = c->mss; /* loss window */
    c->recover = c->snd_nxt;
    c->flags |= TCP_F_RTX_FORCE;
}

/* ---- leaving ---- */

static void recovery_exit(struct worker *w, struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;

    if (c->ca_state >= TCP_CA_RECOVERY)
        tcp_rack_recovered(c);
    if (c->ca_state != TCP_CA_LOSS && !c->cc->model)
        c->cwnd = hs_max_u32(c->ssthresh, c->mss); /* RFC 6937: the end of the reduction */
    c->ca_state = s->sacked ? TCP_CA_DISORDER : TCP_CA_OPEN;
    c->dup_acks = 0;
    s->reno_sacked = 0;
    s->frto = TCP_FRTO_OFF;
    c->flags &= ~TCP_F_RTX_FORCE;
    tcp_trace(w, c, TCP_TRACE_RECOVERED, c->cwnd);
    if (s->lost && (c->flags & TCP_F_SACK)) /* of what was sent after the reduction: congestion once more */
        tcp_recovery_enter(w, c);
    else if (s->lost)
        tcp_sent_unmark_lost(c);
}

/* ---- without SACK: duplicate ACKs (RFC 5681 s3.2, RFC 6582) ---- */

/* Each duplicate ACK stands for one segment that has left; new data acknowledged takes back what it covers. */
static void reno_count(struct tcp_conn *c, struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;

    if (n->is_duplicate && c->ca_state != TCP_CA_LOSS) {
        uint32_t max = c->snd_nxt - c->snd_una - s->lost;

        max = max > c->mss ? max - c->mss : 0;
        n->delivered += c->mss;
        s->reno_sacked = hs_min_u32(s->reno_sacked + c->mss, max);
    } else if (n->acked) {
        uint32_t over = n->acked > c->mss ? n->acked - c->mss : 0;

        over = hs_min_u32(over, s->reno_sacked);
        s->reno_sacked = c->ca_state == TCP_CA_RECOVERY ? s->reno_sacked - over : 0;
        n->delivered -= hs_min_u32(over, n->delivered);
    }
}

static uint32_t reno_detect(struct tcp_conn *c, const struct tcp_ack_news *n)
{
    uint32_t before = c->sent->lost;

    if (c->ca_state == TCP_CA_RECOVERY ? n->acked != 0 : /* RFC 6582 s3.2 step 3: a partial ACK, the next segment at once */
        c->dup_acks >= TCP_FAST_RETRANSMIT_DUPS && c->ca_state < TCP_CA_RECOVERY && seq_gt(c->snd_una, c->recover)) {
        tcp_sent_mark_head_lost(c);
        c->flags |= TCP_F_RTX_FORCE;
    }
    return c->sent->lost - before;
}

/* ---- an ACK ---- */

static void to_open_or_disorder(struct tcp_conn *c, const struct tcp_ack_news *n)
{
    if (c->sent->sacked || (c->dup_acks && !n->acked))
        c->ca_state = TCP_CA_DISORDER;
    else if (c->ca_state == TCP_CA_DISORDER)
        c->ca_state = TCP_CA_OPEN;
}

/* Called when there may be more to an ACK than that it moves snd_una. The caller has counted what was delivered. */
void tcp_recovery_ack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, struct tcp_ack_news *n)
{
    uint32_t wait_us = 0;

    tcp_tlp_ack(w, c, seg, n);
    if (n->dsack)
        tcp_rack_dsack(w, c);
    if (!(c->flags & TCP_F_SACK))
        reno_count(c, n);
    tcp_undo_ack(w, c, seg, n);
    if (c->ca_state >= TCP_CA_CWR && seq_geq(c->snd_una, c->recover))
        recovery_exit(w, c);
    if (n->is_duplicate && c->dup_acks < UINT8_MAX)
        c->dup_acks++;
    n->lost = c->flags & TCP_F_SACK ? tcp_rack_detect(w, c, &wait_us) : reno_detect(c, n);
    if (hs_unlikely(c->sent->mtu_probe))
        tcp_pmtu_ack(w, c, n);
    if (n->acked && c->ca_state < TCP_CA_RECOVERY)
        c->dup_acks = 0;
    if (n->lost && c->ca_state < TCP_CA_RECOVERY)
        tcp_recovery_enter(w, c);
    else if (c->ca_state < TCP_CA_CWR)
        to_open_or_disorder(c, n);
    if ((c->ca_state == TCP_CA_CWR || c->ca_state == TCP_CA_RECOVERY) && !c->cc->model)
        tcp_prr_ack(c, n);
    else
        tcp_cwnd_grow(w, c, n);
    if (wait_us)
        tcp_rexmt_start(w, c, TCP_REXMT_REO, wait_us);
    else if (n->acked || n->lost || c->rexmt_mode == TCP_REXMT_REO || (c->rexmt_mode == TCP_REXMT_TLP && !tcp_tlp_wanted(c)))
        tcp_rexmt_rearm(w, c);
}
