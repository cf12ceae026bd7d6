/* tcp_hystart.c - HyStart++: the first slow start ends when round trips get longer, before it overflows a queue (RFC 9406) */
#include "server/tcp/tcp_cc.h"

enum { /* s4.3 */
    HYSTART_MIN_THRESH_US = 4000,
    HYSTART_MAX_THRESH_US = 16000,
    HYSTART_THRESH_DIVISOR = 8,
    HYSTART_SAMPLES = 8,
    HYSTART_CSS_DIVISOR = 4,
    HYSTART_CSS_ROUNDS = 5,
};

static void round_begin(struct tcp_conn *c, struct tcp_hystart *h)
{
    h->is_active = true;
    h->round_end = c->snd_nxt;
    h->last_min_us = h->cur_min_us;
    h->cur_min_us = 0;
    h->n_samples = 0;
}

static bool got_longer(const struct tcp_hystart *h)
{
    uint32_t eta = h->last_min_us / HYSTART_THRESH_DIVISOR;

    if (h->n_samples < HYSTART_SAMPLES || !h->last_min_us)
        return false;
    eta = hs_max_u32(HYSTART_MIN_THRESH_US, hs_min_u32(eta, HYSTART_MAX_THRESH_US));
    return h->cur_min_us >= h->last_min_us + eta;
}

/* s4.2. Returns how much of `acked` the window may grow by. The end of slow start is ssthresh set to cwnd. */
uint32_t tcp_hystart_acked(struct tcp_conn *c, struct tcp_hystart *h, uint32_t acked, uint32_t rtt_us)
{
    if (!h->is_active || seq_gt(c->snd_una, h->round_end)) {
        round_begin(c, h);
        if (h->is_css && ++h->css_rounds >= HYSTART_CSS_ROUNDS) {
            c->ssthresh = c->cwnd;
            return acked;
        }
    }
    if (rtt_us) {
        h->cur_min_us = h->cur_min_us ? hs_min_u32(h->cur_min_us, rtt_us) : rtt_us;
        if (h->n_samples < UINT8_MAX)
            h->n_samples++;
    }
    if (!h->is_css) {
        if (!got_longer(h))
            return acked;
        h->is_css = true; /* conservative slow start: is it a queue, or was it chance? */
        h->css_rounds = 0;
        h->css_base_us = h->cur_min_us;
    } else if (h->n_samples >= HYSTART_SAMPLES && h->cur_min_us < h->css_base_us) {
        h->is_css = false; /* it was chance */
        return acked;
    }
    return acked / HYSTART_CSS_DIVISOR;
}
