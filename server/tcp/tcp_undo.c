/* tcp_undo.c - when it turns out that nothing was lost, the reduction of the window is taken back: F-RTO (RFC 5682), Eifel
 * (RFC 3522 by timestamps, RFC 4015), and D-SACK of everything that was sent again (RFC 2883, RFC 3708) */
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_sent.h"
#include "server/tcp/tcp_trace.h"

void tcp_undo_begin(struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;

    s->has_undo = true;
    s->has_rtx_ts = s->has_rtx = false;
    s->undo_una = c->snd_una;
    s->undo_rtx = 0;
    s->prior_cwnd = c->cwnd;
    s->prior_ssthresh = c->ssthresh;
}

/* Called before its run is noted as sent again. */
void tcp_undo_resent(struct tcp_conn *c, uint32_t start, uint32_t len)
{
    struct tcp_sent *s = c->sent;

    if (!s->has_undo)
        return;
    s->undo_rtx += len;
    if (s->has_rtx)
        return;
    s->has_rtx = true;
    /* Only where the ACK waits for just this, and for the first copy of it: what an earlier recovery has sent again, and what lies behind
     * other holes, is acknowledged with timestamps from before as well. */
    s->has_rtx_ts = start == c->snd_una && !(s->r[s->first].flags & TCP_RUN_RTX);
    s->rtx_ts = s->rtx_ts_min; /* that of the segment just sent */
}

static void undo(struct worker *w, struct tcp_conn *c, enum tcp_counter why)
{
    struct tcp_sent *s = c->sent;

    tcp_count(w, why);
    c->cwnd = hs_max_u32(c->cwnd, s->prior_cwnd);
    c->ssthresh = hs_max_u32(c->ssthresh, s->prior_ssthresh);
    s->has_undo = false;
    s->frto = TCP_FRTO_OFF;
    tcp_sent_unmark_lost(c);
    s->rack_rtt_us = 0; /* perhaps the copy was taken for what arrived: what is sent from now on tells */
    s->reno_sacked = 0;
    c->dup_acks = 0;
    c->ca_state = s->sacked ? TCP_CA_DISORDER : TCP_CA_OPEN;
    c->flags &= ~TCP_F_RTX_FORCE;
    c->backoff = 0;
    if (c->cc->undo)
        c->cc->undo(w, c);
    tcp_trace(w, c, TCP_TRACE_UNDO, c->cwnd);
}

/* RFC 3522 s3.2: the first ACK after the retransmission that acknowledges something echoes the timestamp of what made the
 * peer send it; from before the retransmission means that the original did. */
static bool eifel(const struct tcp_conn *c, const struct tcp_seg *seg, const struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;
    bool spurious;

    if (!s->has_rtx_ts || !n->acked)
        return false;
    spurious = (c->flags & TCP_F_TS) && seg->o.has_ts && seg->o.tsecr && seq_lt(seg->o.tsecr, s->rtx_ts);
    s->has_rtx_ts = false; /* later ones say nothing */
    return spurious;
}

/* RFC 5682 s2.1 and, with SACK, s3.1. True: the timeout was needless. */
static bool frto(struct worker *w, struct tcp_conn *c, const struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;
    bool room;

    if (s->frto == TCP_FRTO_OFF || c->ca_state != TCP_CA_LOSS)
        return false;
    if ((c->flags & TCP_F_SACK) && n->original) /* step 3b with SACK: sent before the timeout, once, and it arrived */
        return true;
    if (s->frto == TCP_FRTO_SECOND) { /* step 3: the answer to the new data */
        bool spurious = n->acked && !n->rtx_delivered && !(c->flags & TCP_F_SACK);

        if (n->acked || n->is_duplicate || n->sacked) {
            s->frto = TCP_FRTO_OFF;
            c->cwnd = 3u * c->mss; /* step 3a: slow start goes on from here */
        }
        return spurious;
    }
    if (!n->acked) { /* step 2a: duplicate, the loss was real */
        if (n->is_duplicate || n->sacked)
            s->frto = TCP_FRTO_OFF;
        return false;
    }
    /* Step 2b: two segments of new data in place of retransmissions, if there is any and the window lets it through. */
    room = c->base.session && session_tx_avail(w, c->base.session) > c->snd_nxt - c->data_una &&
           c->snd_wnd > c->snd_nxt - c->snd_una;
    s->frto = room && seq_lt(c->snd_una, c->recover) ? TCP_FRTO_SECOND : TCP_FRTO_OFF;
    return false;
}

bool tcp_undo_ack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, const struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;

    if (n->dsack && s->has_undo && seq_geq(n->dsack_start, s->undo_una)) {
        uint32_t len = n->dsack_end - n->dsack_start;

        if (s->has_rtx && s->undo_rtx && s->undo_rtx <= len) {
            undo(w, c, TCP_C_undo_dsack);
            return true;
        }
        s->undo_rtx -= hs_min_u32(len, s->undo_rtx);
    }
    if (!s->has_undo || c->ca_state < TCP_CA_RECOVERY)
        return false;
    if (eifel(c, seg, n)) {
        undo(w, c, TCP_C_undo_eifel);
        return true;
    }
    if (frto(w, c, n)) {
        undo(w, c, TCP_C_undo_frto);
        return true;
    }
    return false;
}
