/* tcp_prr.c - proportional rate reduction: the window comes down to ssthresh over one round trip (RFC 6937, RFC 9937) */
#include "server/tcp/tcp_sent.h"

void tcp_prr_begin(struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;

    s->prr_delivered = s->prr_out = 0;
    s->prr_flight = c->snd_nxt - c->snd_una;
}

void tcp_prr_ack(struct tcp_conn *c, const struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;
    uint32_t pipe = tcp_pipe(c), send;

    s->prr_delivered += n->delivered;
    if (pipe > c->ssthresh) { /* proportional: by what has left, scaled */
        uint64_t target = ((uint64_t)s->prr_delivered * c->ssthresh + s->prr_flight - 1) / hs_max_u32(s->prr_flight, 1);

        send = target > s->prr_out ? (uint32_t)(target - s->prr_out) : 0;
    } else { /* below ssthresh: back up to it, packet conserving, and a segment more for each ACK that shows progress */
        uint32_t limit = s->prr_delivered > s->prr_out ? s->prr_delivered - s->prr_out : 0;

        limit = hs_max_u32(limit, n->delivered);
        if (n->acked && !n->lost) /* SafeACK of RFC 9937 s6.2 */
            limit += c->mss;
        send = hs_min_u32(c->ssthresh - pipe, limit);
    }
    if (s->prr_out == 0) /* the fast retransmit itself always goes (RFC 9937 s6.2) */
        send = hs_max_u32(send, c->mss);
    c->cwnd = hs_max_u32(pipe + send, c->mss);
}
