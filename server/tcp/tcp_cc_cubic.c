/* tcp_cc_cubic.c - CUBIC (RFC 9438), in fixed point: windows in bytes, time in units of 1/1024 s */
#include "server/tcp/tcp_cc.h"

struct cubic {
    uint32_t w_max;        /* bytes, before the last reduction, or less for the sake of others (s4.7) */
    uint32_t origin;       /* W_cubic at t = K */
    uint32_t k;            /* 1/1024 s */
    uint32_t epoch_ms;     /* start of this congestion avoidance; with has_epoch */
    uint32_t w_est;        /* Reno-friendly window (s4.3) */
    uint32_t est_acked;
    uint32_t next_calc_ms; /* target is good until then: the cubic function is not computed for every ACK */
    uint32_t target;
    bool has_epoch;
    uint32_t undo_w_max;   /* before the last reduction */
};
static_assert(sizeof(struct cubic) <= sizeof(((struct tcp_conn *)0)->cc_priv), "fits the connection");

static struct cubic *cubic_of(struct tcp_conn *c) { return (struct cubic *)(void *)c->cc_priv; }

/* In the first slow start there is no curve yet: the same memory holds HyStart++'s rounds. */
static bool in_first_slow_start(const struct tcp_conn *c) { return c->ssthresh == UINT32_MAX; }
static void forget(struct tcp_conn *c) { memset(c->cc_priv, 0, sizeof(c->cc_priv)); }

/* Cube root, rounded down, by bits: called once a loss. */
static uint32_t cbrt_u64(uint64_t x)
{
    uint64_t r = 0;

    for (int s = 63; s >= 0; s -= 3) {
        uint64_t b;

        r <<= 1;
        b = 3 * r * (r + 1) + 1;
        if ((x >> s) >= b) {
            x -= b << s;
            r++;
        }
    }
    return (uint32_t)r;
}

static void cubic_init(struct worker *w, struct tcp_conn *c)
{
    (void)w;
    memset(cubic_of(c), 0, sizeof(struct cubic));
    c->cwnd_acked = 0;
}

/* s4.2: K = cbrt((W_max - cwnd_epoch) / C), C = 0.4 segments/s^3. In 1/1024 s: K^3 = segs / 0.4 * 2^30. */
static void epoch_start(struct cubic *q, struct tcp_conn *c, uint32_t now_ms)
{
    q->has_epoch = true;
    q->epoch_ms = now_ms;
    q->w_est = c->cwnd;
    q->est_acked = 0;
    q->next_calc_ms = now_ms;
    if (c->cwnd < q->w_max) {
        uint64_t gap = q->w_max - c->cwnd;

        q->k = cbrt_u64(((gap * 5 / 2) << 30) / c->mss);
        q->origin = q->w_max;
    } else {
        q->k = 0;
        q->origin = c->cwnd;
    }
}

/* W_cubic(t) = C * (t - K)^3 * mss + W_max, t one RTT ahead (s4.2), held between cwnd and 1.5 cwnd. */
static uint32_t cubic_target(const struct cubic *q, const struct tcp_conn *c, uint32_t now_ms)
{
    uint64_t t = ((uint64_t)(now_ms - q->epoch_ms) << 10) / 1000 + (((uint64_t)c->srtt_us << 10) / 1000000);
    uint64_t d = t > q->k ? t - q->k : q->k - t, delta;
    uint64_t want, cap = c->cwnd + (uint64_t)c->cwnd / 2;

    if (d > 1u << 20)
        d = 1u << 20; /* 1024 s: beyond any window, and the product below still fits */
    delta = ((d * d >> 10) * d >> 20) * 2 / 5 * c->mss; /* d^3 / 2^30 * 0.4 segments */
    if (d < 1u << 14) /* close to K the shifts above would lose it all */
        delta = d * d * d * 2 / 5 * c->mss >> 30;
    want = t > q->k ? q->origin + delta : q->origin > delta ? q->origin - delta : 0;
    if (want < c->cwnd)
        want = c->cwnd;
    return (uint32_t)(want > cap ? cap : want);
}

static void cubic_acked(struct worker *w, struct tcp_conn *c, uint32_t acked, uint32_t rtt_us)
{
    struct cubic *q = cubic_of(c);
    uint32_t now_ms = tcp_now_ms(w), step;

    if (in_first_slow_start(c)) {
        acked = tcp_hystart_acked(c, (struct tcp_hystart *)(void *)c->cc_priv, acked, rtt_us);
        if (!in_first_slow_start(c))
            forget(c);
    }
    if (c->cwnd < c->ssthresh)
        tcp_cc_slow_start(c, &acked);
    if (acked == 0)
        return;
    if (!q->has_epoch)
        epoch_start(q, c, now_ms);
    if ((int32_t)(now_ms - q->next_calc_ms) >= 0) {
        q->target = cubic_target(q, c, now_ms);
        q->next_calc_ms = now_ms + 1 + c->srtt_us / 8192;
    }
    /* s4.3: W_est grows by alpha = 3 * (1 - beta) / (1 + beta) = 9/17 segment a window, by 1 once past W_max. */
    q->est_acked += acked;
    if (q->est_acked >= q->w_est) {
        q->est_acked -= q->w_est;
        q->w_est += q->w_est < q->w_max ? c->mss * 9u / 17u : c->mss;
    }
    if (q->w_est > c->cwnd && q->w_est > q->target) {
        c->cwnd = q->w_est;
        return;
    }
    /* s4.4, s4.5: (target - cwnd) / cwnd segments for each segment acknowledged, counted in whole segments. */
    step = q->target > c->cwnd ? q->target - c->cwnd : 0;
    c->cwnd_acked += acked;
    if ((uint64_t)c->cwnd_acked * step >= (uint64_t)c->cwnd * c->mss) { /* the division only when cwnd does grow */
        uint64_t grow = (uint64_t)c->cwnd_acked * step / c->cwnd;

        c->cwnd_acked = 0;
        c->cwnd += grow < step ? (uint32_t)grow : step;
    } else if (c->cwnd_acked > c->cwnd) {
        c->cwnd_acked = c->cwnd;
    }
}

static uint32_t cubic_loss(struct worker *w, struct tcp_conn *c, uint32_t flight)
{
    struct cubic *q = cubic_of(c);
    uint64_t seven_tenths = (uint64_t)flight * 7 / 10; /* beta, s4.6 */

    (void)w;
    if (in_first_slow_start(c))
        forget(c);
    q->has_epoch = false;
    q->undo_w_max = q->w_max;
    q->w_max = c->cwnd < q->w_max ? (uint32_t)((uint64_t)c->cwnd * 17 / 20) : c->cwnd; /* (1 + beta) / 2, s4.7 */
    c->cwnd_acked = 0;
    return hs_max_u32((uint32_t)seven_tenths, 2u * c->mss);
}

static void cubic_rto(struct worker *w, struct tcp_conn *c)
{
    (void)w;
    cubic_of(c)->has_epoch = false; /* s4.8 */
    c->cwnd_acked = 0;
}

/* s4.9.1: as if it had not been. */
static void cubic_undo(struct worker *w, struct tcp_conn *c)
{
    struct cubic *q = cubic_of(c);

    (void)w;
    if (in_first_slow_start(c)) { /* again; a queue shows against the shortest round trip from now on, not after two more rounds */
        forget(c);
        ((struct tcp_hystart *)(void *)c->cc_priv)->cur_min_us = c->min_rtt_us;
        return;
    }
    q->w_max = q->undo_w_max;
    q->has_epoch = false;
}

/* s5.8: time without sending is no time of growth. */
static void cubic_restart(struct worker *w, struct tcp_conn *c, uint32_t idle_ms)
{
    (void)w;
    (void)idle_ms;
    if (in_first_slow_start(c))
        forget(c);
    cubic_of(c)->has_epoch = false;
}

/* What cubic_restart() leaves. */
static void cubic_keep(const struct tcp_conn *c, uint32_t out[2])
{
    const struct cubic *q = (const struct cubic *)(const void *)c->cc_priv;

    if (in_first_slow_start(c))
        return;
    out[0] = q->w_max;
}

static void cubic_wake(struct worker *w, struct tcp_conn *c, const uint32_t kept[2])
{
    struct cubic *q = cubic_of(c);

    (void)w;
    if (in_first_slow_start(c))
        return;
    q->w_max = kept[0];
}

const struct tcp_cc_ops tcp_cc_cubic = {
    .name = "cubic",
    .init = cubic_init,
    .acked = cubic_acked,
    .loss = cubic_loss,
    .rto = cubic_rto,
    .undo = cubic_undo,
    .keep = cubic_keep,
    .wake = cubic_wake,
    .restart = cubic_restart,
};
