/* tcp_cc_bbr.c - BBR version 1: a model of the path, the rate at which it delivers and its shortest round trip, decides rate and window
 * (draft-cardwell-iccrg-bbr-congestion-control-00; delivery rates: draft-cheng-iccrg-delivery-rate-estimation-00)
 *
 *   STARTUP --the rate has stopped growing--> DRAIN --in flight = BDP--> PROBE_BW <--> PROBE_RTT, every 10 s without a new minimum
 *
 * Rates are in units of TCP_PACE_UNIT bytes a second, gains in 1/256. */
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_sent.h"

enum {
    GAIN_ONE = 256,
    HIGH_GAIN = 739,               /* 2/ln 2: doubles the rate each round (s4.1.1) */
    DRAIN_GAIN = 88,               /* its inverse */
    CWND_GAIN = 2 * GAIN_ONE,      /* room for delayed and merged ACKs */
    BW_ROUNDS = 10,                /* BtlBwFilterLen */
    MIN_RTT_MS = 10000,            /* RTpropFilterLen */
    PROBE_RTT_MS = 200,
    MIN_PIPE_SEGS = 4,
    FULL_BW_ROUNDS = 3,            /* s4.3.2.2: three rounds without growth by a quarter */
    CYCLE_PHASES = 8,
    PACING_MARGIN_PERCENT = 1,     /* a little below the estimate, so that no queue stands */
    MIN_RTT_UNKNOWN_US = 1000,
};

static const uint16_t cycle_gain[CYCLE_PHASES] = { /* s4.3.4.2 */
    GAIN_ONE * 5 / 4, GAIN_ONE * 3 / 4, GAIN_ONE, GAIN_ONE, GAIN_ONE, GAIN_ONE, GAIN_ONE, GAIN_ONE,
};

enum bbr_mode { BBR_STARTUP, BBR_DRAIN, BBR_PROBE_BW, BBR_PROBE_RTT };

struct bbr {
    uint32_t bw[3];            /* largest rates of the last rounds, best first ... */
    uint16_t bw_round[3];      /* ... and when they were seen */
    uint16_t round;
    uint32_t min_rtt_us;       /* 0 = none yet */
    uint32_t min_rtt_ms;       /* when it was measured */
    uint32_t round_end;        /* tcp_conn.delivered at which this round ends */
    uint32_t prior_cwnd;       /* before recovery or PROBE_RTT */
    uint32_t full_bw;
    uint32_t stamp;            /* PROBE_BW: us, begin of this phase. PROBE_RTT: ms, its end; 0 = not so far */
    uint8_t mode : 2, phase : 3, full_bw_count : 2, is_full : 1;
    uint8_t round_start : 1, conserve : 1, was_recovering : 1, probe_rtt_round : 1, idle_restart : 1;
};
static_assert(sizeof(struct bbr) <= sizeof(((struct tcp_conn *)0)->cc_priv), "fits the connection");

static struct bbr *bbr_of(struct tcp_conn *c) { return (struct bbr *)(void *)c->cc_priv; }

/* ---- the model ---- */

/* The largest of the last BW_ROUNDS rounds, from three samples: the best, the best since that, the best since that one. */
static void bw_update(struct bbr *b, uint32_t rate)
{
    if (rate >= b->bw[0] || (uint16_t)(b->round - b->bw_round[2]) > BW_ROUNDS) {
        for (int i = 0; i < 3; i++) {
            b->bw[i] = rate;
            b->bw_round[i] = b->round;
        }
        return;
    }
    if (rate >= b->bw[1]) {
        b->bw[1] = b->bw[2] = rate;
        b->bw_round[1] = b->bw_round[2] = b->round;
    } else if (rate >= b->bw[2]) {
        b->bw[2] = rate;
        b->bw_round[2] = b->round;
    }
    if ((uint16_t)(b->round - b->bw_round[0]) > BW_ROUNDS) { /* the best is too old */
        b->bw[0] = b->bw[1];
        b->bw_round[0] = b->bw_round[1];
        b->bw[1] = b->bw[2];
        b->bw_round[1] = b->bw_round[2];
        b->bw[2] = rate;
        b->bw_round[2] = b->round;
    } else if (b->bw_round[1] == b->bw_round[0] && (uint16_t)(b->round - b->bw_round[1]) > BW_ROUNDS / 4) {
        b->bw[1] = b->bw[2] = rate;
        b->bw_round[1] = b->bw_round[2] = b->round;
    } else if (b->bw_round[2] == b->bw_round[1] && (uint16_t)(b->round - b->bw_round[2]) > BW_ROUNDS / 2) {
        b->bw[2] = rate;
        b->bw_round[2] = b->round;
    }
}

static void round_and_rate(struct worker *w, struct tcp_conn *c, struct bbr *b, const struct tcp_ack_news *n)
{
    uint32_t rate;

    b->round_start = false;
    if (!n->has_rate)
        return;
    if (seq_geq(n->rate_delivered, b->round_end)) { /* what was sent in the round before is delivered (s4.1.1.3) */
        b->round_end = c->delivered;
        b->round++;
        b->round_start = true;
        b->conserve = false;
    }
    rate = tcp_rate_of(w, c, n, b->min_rtt_us);
    if (rate && (!n->rate_app_limited || rate >= b->bw[0])) /* what the program held back is only a lower bound */
        bw_update(b, rate);
}

static uint64_t bdp(const struct tcp_conn *c, const struct bbr *b, uint32_t gain)
{
    uint64_t bytes;

    if (!b->min_rtt_us || !b->bw[0])
        return (uint64_t)c->mss * 10 * gain / GAIN_ONE;
    bytes = (uint64_t)b->bw[0] * TCP_PACE_UNIT / 8 * b->min_rtt_us / (1000000 / 8);
    return bytes * gain / GAIN_ONE;
}

/* What is to be in flight, with what packets of several segments need on the way (s4.2.3.2). */
static uint32_t target(const struct tcp_conn *c, const struct bbr *b, uint32_t gain)
{
    uint64_t bytes = bdp(c, b, gain) + 3 * (uint64_t)tcp_pace_burst(c);

    if (b->mode == BBR_PROBE_BW && b->phase == 0)
        bytes += 2u * c->mss;
    return (uint32_t)hs_min_u64(bytes, 1 << 30);
}

/* ---- states ---- */

static void probe_bw_enter(struct worker *w, struct bbr *b)
{
    b->mode = BBR_PROBE_BW;
    b->phase = (uint8_t)((2 + worker_random(w) % (CYCLE_PHASES - 1)) % CYCLE_PHASES); /* any but the one that drains (s4.3.4.3) */
    b->stamp = (uint32_t)w->now_us;
}

static uint32_t pacing_gain(const struct bbr *b)
{
    switch (b->mode) {
    case BBR_STARTUP: return HIGH_GAIN;
    case BBR_DRAIN: return DRAIN_GAIN;
    case BBR_PROBE_BW: return cycle_gain[b->phase];
    default: return GAIN_ONE;
    }
}

/* s4.3.4.3: a phase lasts a round trip; probing goes on until it has filled its share, draining ends when the queue is gone. */
static void cycle(struct worker *w, struct tcp_conn *c, struct bbr *b, const struct tcp_ack_news *n)
{
    uint32_t inflight = tcp_pipe(c) + n->delivered, gain = cycle_gain[b->phase];
    bool over;

    if (b->mode != BBR_PROBE_BW)
        return;
    over = (uint32_t)w->now_us - b->stamp > b->min_rtt_us;
    if (gain > GAIN_ONE)
        over = over && (n->lost || inflight >= target(c, b, gain));
    else if (gain < GAIN_ONE)
        over = over || inflight <= target(c, b, GAIN_ONE);
    if (over) {
        b->phase = (b->phase + 1) % CYCLE_PHASES;
        b->stamp = (uint32_t)w->now_us;
    }
}

static void full_pipe(struct bbr *b, const struct tcp_ack_news *n)
{
    if (b->is_full || !b->round_start || n->rate_app_limited)
        return;
    if (b->bw[0] >= b->full_bw + b->full_bw / 4) {
        b->full_bw = b->bw[0];
        b->full_bw_count = 0;
        return;
    }
    b->is_full = ++b->full_bw_count >= FULL_BW_ROUNDS;
}

static void drain(struct worker *w, struct tcp_conn *c, struct bbr *b)
{
    if (b->mode == BBR_STARTUP && b->is_full) {
        b->mode = BBR_DRAIN;
        c->ssthresh = target(c, b, GAIN_ONE);
    }
    if (b->mode == BBR_DRAIN && tcp_pipe(c) <= target(c, b, GAIN_ONE))
        probe_bw_enter(w, b);
}

/* s4.3.5: ten seconds without a new minimum, so for 200 ms and a round trip next to nothing is sent, to see the path without a queue. */
static void min_rtt(struct worker *w, struct tcp_conn *c, struct bbr *b, const struct tcp_ack_news *n)
{
    uint32_t now = tcp_now_ms(w), floor = MIN_PIPE_SEGS * (uint32_t)c->mss;
    bool expired = b->min_rtt_us && now - b->min_rtt_ms > MIN_RTT_MS;

    if (n->rtt_us && (!b->min_rtt_us || n->rtt_us < b->min_rtt_us || expired)) {
        b->min_rtt_us = n->rtt_us;
        b->min_rtt_ms = now;
    }
    if (expired && !b->idle_restart && b->mode != BBR_PROBE_RTT) {
        if (c->ca_state < TCP_CA_RECOVERY)
            b->prior_cwnd = c->cwnd;
        b->mode = BBR_PROBE_RTT;
        b->stamp = 0;
    }
    if (b->mode == BBR_PROBE_RTT) {
        if (!b->stamp && tcp_pipe(c) <= floor) {
            b->stamp = (now + PROBE_RTT_MS) | 1;
            b->probe_rtt_round = false;
            b->round_end = c->delivered;
        } else if (b->stamp) {
            b->probe_rtt_round |= b->round_start;
            if (b->probe_rtt_round && (int32_t)(now - b->stamp) > 0) {
                b->min_rtt_ms = now;
                c->cwnd = hs_max_u32(c->cwnd, b->prior_cwnd);
                if (b->is_full)
                    probe_bw_enter(w, b);
                else
                    b->mode = BBR_STARTUP;
            }
        }
    }
    if (n->delivered)
        b->idle_restart = false;
}

/* ---- what follows from it ---- */

static void set_rate(struct worker *w, struct tcp_conn *c, struct bbr *b)
{
    uint64_t rate;

    if (!b->bw[0])
        return;
    rate = (uint64_t)b->bw[0] * pacing_gain(b) / GAIN_ONE * (100 - PACING_MARGIN_PERCENT) / 100;
    if (b->is_full || rate > c->pace_rate)
        tcp_pace_set(w, c, rate * TCP_PACE_UNIT);
}

static void first_rate(struct worker *w, struct tcp_conn *c)
{
    uint64_t rtt_us = c->srtt_us ? c->srtt_us : MIN_RTT_UNKNOWN_US;

    tcp_pace_set(w, c, (uint64_t)c->cwnd * HIGH_GAIN / GAIN_ONE * 1000000 / rtt_us);
}

/* s4.2.3.4: after a loss one round of as much as is delivered, then the model again; what was before recovery comes back with its end.
 * True: the window is set. */
static bool recover_or_restore(struct tcp_conn *c, struct bbr *b, const struct tcp_ack_news *n)
{
    bool recovering = c->ca_state >= TCP_CA_RECOVERY;

    if (n->lost)
        c->cwnd = hs_max_u32(c->cwnd > n->lost ? c->cwnd - n->lost : 0, c->mss);
    if (recovering && !b->was_recovering) {
        b->conserve = true;
        b->round_end = c->delivered;
        c->cwnd = hs_max_u32(tcp_pipe(c) + n->delivered, c->mss);
    } else if (!recovering && b->was_recovering) {
        c->cwnd = hs_max_u32(c->cwnd, b->prior_cwnd);
        b->conserve = false;
    }
    b->was_recovering = recovering;
    if (!b->conserve)
        return false;
    c->cwnd = hs_max_u32(c->cwnd, tcp_pipe(c) + n->delivered);
    return true;
}

static void set_cwnd(struct worker *w, struct tcp_conn *c, struct bbr *b, const struct tcp_ack_news *n)
{
    uint32_t want, floor = MIN_PIPE_SEGS * (uint32_t)c->mss;

    if (n->delivered && !recover_or_restore(c, b, n)) {
        want = target(c, b, b->mode == BBR_STARTUP || b->mode == BBR_DRAIN ? HIGH_GAIN : b->mode == BBR_PROBE_RTT ? GAIN_ONE : CWND_GAIN);
        if (b->is_full)
            c->cwnd = hs_min_u32(c->cwnd + n->delivered, want);
        else if (c->cwnd < want || c->delivered < 2 * tcp_cc_initial_window(c, &tcp_worker_of(w)->cfg))
            c->cwnd += n->delivered;
        c->cwnd = hs_max_u32(c->cwnd, floor);
    }
    if (b->mode == BBR_PROBE_RTT)
        c->cwnd = hs_min_u32(c->cwnd, floor);
}

/* ---- called by what all congestion controls share ---- */

static void bbr_init(struct worker *w, struct tcp_conn *c)
{
    struct bbr *b = bbr_of(c);

    memset(b, 0, sizeof(*b));
    b->min_rtt_us = c->min_rtt_us;
    b->min_rtt_ms = tcp_now_ms(w);
    b->round_end = c->delivered;
    c->ssthresh = UINT32_MAX;
    first_rate(w, c);
}

static void bbr_acked(struct worker *w, struct tcp_conn *c, uint32_t acked, uint32_t rtt_us)
{
    (void)w, (void)c, (void)acked, (void)rtt_us; /* bbr_ack() sees all of it */
}

static void bbr_ack(struct worker *w, struct tcp_conn *c, const struct tcp_ack_news *n)
{
    struct bbr *b = bbr_of(c);

    if (!c->srtt_us || !b->bw[0])
        first_rate(w, c);
    round_and_rate(w, c, b, n);
    cycle(w, c, b, n);
    full_pipe(b, n);
    drain(w, c, b);
    min_rtt(w, c, b, n);
    set_rate(w, c, b);
    set_cwnd(w, c, b, n);
}

/* A loss is no sign of congestion: the model stays; the window is kept for the end of recovery. */
static uint32_t bbr_loss(struct worker *w, struct tcp_conn *c, uint32_t flight)
{
    struct bbr *b = bbr_of(c);

    (void)w;
    (void)flight;
    b->prior_cwnd = b->was_recovering || b->mode == BBR_PROBE_RTT ? hs_max_u32(b->prior_cwnd, c->cwnd) : c->cwnd;
    return c->ssthresh;
}

static void bbr_rto(struct worker *w, struct tcp_conn *c)
{
    struct bbr *b = bbr_of(c);

    (void)w;
    b->full_bw = 0;
    b->full_bw_count = 0;
    b->was_recovering = true;
    b->conserve = false;
}

static void bbr_undo(struct worker *w, struct tcp_conn *c)
{
    struct bbr *b = bbr_of(c);

    (void)w;
    b->full_bw = 0; /* slow growth may have been caused by what was none */
    b->full_bw_count = 0;
}

/* s4.3.4.4: a program that was silent begins with what the path took last, not with a burst. */
static void bbr_restart(struct worker *w, struct tcp_conn *c, uint32_t idle_ms)
{
    struct bbr *b = bbr_of(c);

    (void)idle_ms;
    b->idle_restart = true;
    if (b->mode == BBR_PROBE_BW && b->bw[0])
        tcp_pace_set(w, c, (uint64_t)b->bw[0] * TCP_PACE_UNIT);
}

/* The model: the rate, and the round trip with a bit for a path that has been filled. */
enum { KEPT_FULL = 1u << 31 };

static void bbr_keep(const struct tcp_conn *c, uint32_t out[2])
{
    const struct bbr *b = (const struct bbr *)(const void *)c->cc_priv;

    out[0] = b->bw[0];
    out[1] = hs_min_u32(b->min_rtt_us, KEPT_FULL - 1u) | (b->is_full ? (uint32_t)KEPT_FULL : 0);
}

static void bbr_wake(struct worker *w, struct tcp_conn *c, const uint32_t kept[2])
{
    struct bbr *b = bbr_of(c);

    for (int i = 0; i < 3; i++)
        b->bw[i] = kept[0];
    b->min_rtt_us = kept[1] & ~(uint32_t)KEPT_FULL;
    b->min_rtt_ms = c->snd_time_ms;
    b->round_end = c->delivered;
    b->prior_cwnd = c->cwnd;
    b->is_full = !!(kept[1] & KEPT_FULL);
    if (b->is_full)
        probe_bw_enter(w, b);
    if (b->bw[0])
        tcp_pace_set(w, c, (uint64_t)b->bw[0] * TCP_PACE_UNIT);
    else
        first_rate(w, c);
}

const struct tcp_cc_ops tcp_cc_bbr = {
    .name = "bbr",
    .model = true,
    .init = bbr_init,
    .acked = bbr_acked,
    .ack = bbr_ack,
    .loss = bbr_loss,
    .rto = bbr_rto,
    .undo = bbr_undo,
    .keep = bbr_keep,
    .wake = bbr_wake,
    .restart = bbr_restart,
};
