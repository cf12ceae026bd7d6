/* tcp_pace.c - sending at a rate: what a model of the path says, or the program's limit (SO_MAX_PACING_RATE)
 *
 * A packet moves pace_next_us on by the time it takes at the rate; before that time nothing is sent, and the timer of retransmission,
 * which may fire early, brings the connection on. Time that a late timer has cost is made up for, but no more than a few ticks of it. */
#include "server/tcp/tcp_cc.h"

enum {
    PACE_CREDIT_US = 4 * TIMER_TICK_US,
    PACE_STEP_MAX_US = 1u << 30,        /* keeps the clock's low half comparable */
    PACE_FORGET_MS = 1u << 20,          /* so long idle, the time stands for nothing any more */
};

/* SO_MAX_PACING_RATE holds whatever the congestion control wants. */
void tcp_pace_set(struct worker *w, struct tcp_conn *c, uint64_t bytes_per_s)
{
    uint64_t rate = hs_min_u64(bytes_per_s / TCP_PACE_UNIT, UINT32_MAX);

    if (bytes_per_s && rate == 0)
        rate = 1;
    if (c->pace_max && (!rate || rate > c->pace_max))
        rate = c->pace_max;
    if (!c->pace_rate)
        c->pace_next_us = (uint32_t)w->now_us; /* what stands there is from another time, half of which look like the future */
    c->pace_rate = (uint32_t)rate;
}

void tcp_pace_limit(struct worker *w, struct tcp_conn *c, uint32_t units)
{
    c->pace_max = units;
    tcp_pace_set(w, c, c->cc->model ? (uint64_t)c->pace_rate * TCP_PACE_UNIT : 0); /* a model sets its own again with the next ACK */
}

/* About a millisecond's worth, in whole segments: one or two where the rate is low. */
uint32_t tcp_pace_burst(const struct tcp_conn *c)
{
    uint64_t bytes = (uint64_t)c->pace_rate * TCP_PACE_UNIT / 1024;

    if (bytes < 2u * c->mss)
        return bytes < c->mss / 8 ? c->mss : 2u * c->mss;
    return bytes >= c->gso_max ? c->gso_max : (uint32_t)bytes / c->mss * c->mss;
}

bool tcp_pace_must_wait(struct worker *w, struct tcp_conn *c)
{
    int32_t early_us = (int32_t)(c->pace_next_us - (uint32_t)w->now_us);

    if (early_us <= 0)
        return false;
    if (tcp_now_ms(w) - c->snd_time_ms > PACE_FORGET_MS) {
        c->pace_next_us = (uint32_t)w->now_us;
        return false;
    }
    c->lflags |= TCP_LF_PACE_WAIT;
    tcp_timer_wake_at(w, c, w->now_us + (uint32_t)early_us);
    return true;
}

void tcp_pace_sent(struct worker *w, struct tcp_conn *c, uint32_t len)
{
    uint64_t us = (uint64_t)(len + c->opt_len + 40) * 1000000 / ((uint64_t)c->pace_rate * TCP_PACE_UNIT);
    uint32_t now = (uint32_t)w->now_us;

    if ((int32_t)(now - c->pace_next_us) > PACE_CREDIT_US || (int32_t)(c->pace_next_us - now) > (int32_t)PACE_STEP_MAX_US)
        c->pace_next_us = now - PACE_CREDIT_US;
    c->pace_next_us += (uint32_t)hs_min_u64(us, PACE_STEP_MAX_US);
}
