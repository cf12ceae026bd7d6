/* tcp_sack.c - the SACK option of an ACK: which blocks make sense, and which reports a duplicate (RFC 2018, RFC 2883) */
#include "server/tcp/tcp_sent.h"

/* RFC 2883 s4: the first block reports a duplicate if it lies below the ACK or inside of the second. */
static bool is_dsack(const struct tcp_seg *seg)
{
    const struct tcp_sack_range *b = seg->o.sack;

    if (seq_lt(b[0].start, seg->ack))
        return true;
    return seg->o.n_sack > 1 && seq_geq(b[0].start, b[1].start) && seq_leq(b[0].end, b[1].end);
}

void tcp_sack_update(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, struct tcp_ack_news *n)
{
    unsigned i = 0;

    if (is_dsack(seg)) {
        const struct tcp_sack_range *b = seg->o.sack;

        i = 1;
        /* Of what was sent, and not longer ago than any window: else it is old, or made up. */
        if (seq_lt(b->start, b->end) && seq_leq(b->end, c->snd_nxt) && seq_geq(b->start, c->snd_una - c->snd_max_wnd)) {
            tcp_count(w, TCP_C_spurious_dsack);
            c->n.dsack_dups += b->end - b->start > c->mss ? (b->end - b->start) / c->mss : 1;
            n->dsack = true;
            n->dsack_start = b->start;
            n->dsack_end = b->end;
        }
    }
    for (; c->sent && i < seg->o.n_sack; i++) {
        const struct tcp_sack_range *b = &seg->o.sack[i];

        /* Only what was sent and is not acknowledged: anything else is old or forged. */
        if (seq_lt(b->start, b->end) && seq_gt(b->start, seg->ack) && seq_gt(b->start, c->snd_una) && seq_leq(b->end, c->snd_nxt))
            tcp_sent_sack(w, c, seg, b->start, b->end, n);
    }
}
