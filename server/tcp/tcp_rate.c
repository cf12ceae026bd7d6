/* tcp_rate.c - how fast the path delivers, measured over what the last ACK reports
 * (draft-cheng-iccrg-delivery-rate-estimation-00: s2 the rate, s3.4 what the program held back) */
#include "server/tcp/tcp_sent.h"

/* The slower of how fast it was sent and how fast it was acknowledged (s2.2.2). */
uint32_t tcp_rate_of(const struct worker *w, const struct tcp_conn *c, const struct tcp_ack_news *n, uint32_t min_rtt_us)
{
    uint32_t sent = n->rate_sent_us - n->rate_first_us, acked = (uint32_t)w->now_us - n->rate_delivered_us;
    uint32_t us = hs_max_u32(sent, acked);
    uint64_t rate;

    if (us == 0 || us < min_rtt_us)
        return 0; /* ACKs that were merged on their way */
    rate = (uint64_t)(c->delivered - n->rate_delivered) * 1000000 / us / TCP_PACE_UNIT;
    return (uint32_t)hs_min_u64(rate, UINT32_MAX);
}

/* For TCP_INFO, as Linux: what the program held back counts only where it is more than what was measured before. */
void tcp_rate_sample(const struct worker *w, struct tcp_conn *c, const struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;
    uint32_t rate;

    if (s->is_app_limited && seq_gt(c->delivered, s->app_limited))
        s->is_app_limited = false;
    if (!n->has_rate)
        return;
    rate = tcp_rate_of(w, c, n, c->min_rtt_us);
    if (rate && (!n->rate_app_limited || rate >= c->rate)) {
        c->rate = rate;
        c->rate_app_limited = n->rate_app_limited;
    }
}
