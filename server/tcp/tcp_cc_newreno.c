/* tcp_cc_newreno.c - slow start and congestion avoidance of RFC 5681 (recovery itself, RFC 6582, is in tcp_ack.c) */
#include "server/tcp/tcp_cc.h"

static void newreno_init(struct worker *w, struct tcp_conn *c)
{
    (void)w;
    c->cwnd_acked = 0;
}

static void newreno_acked(struct worker *w, struct tcp_conn *c, uint32_t acked, uint32_t rtt_us)
{
    (void)w;
    if (c->ssthresh == UINT32_MAX)
        acked = tcp_hystart_acked(c, (struct tcp_hystart *)(void *)c->cc_priv, acked, rtt_us);
    if (c->cwnd < c->ssthresh)
        tcp_cc_slow_start(c, &acked);
    if (acked == 0)
        return;
    /* RFC 5681 s3.1: one segment for each window of acknowledged bytes, counted, not divided (RFC 3465 s2.1). */
    c->cwnd_acked += acked;
    if (c->cwnd_acked >= c->cwnd) {
        c->cwnd_acked -= c->cwnd;
        c->cwnd += c->mss;
    }
}

static uint32_t newreno_loss(struct worker *w, struct tcp_conn *c, uint32_t flight)
{
    (void)w;
    c->cwnd_acked = 0;
    return hs_max_u32(flight / 2, 2u * c->mss); /* equation 4 */
}

static void newreno_rto(struct worker *w, struct tcp_conn *c)
{
    (void)w;
    c->cwnd_acked = 0;
}

const struct tcp_cc_ops tcp_cc_newreno = {
    .name = "newreno",
    .init = newreno_init,
    .acked = newreno_acked,
    .loss = newreno_loss,
    .rto = newreno_rto,
};
