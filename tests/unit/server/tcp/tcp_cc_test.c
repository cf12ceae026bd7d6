/* tcp_cc_test.c - RTO arithmetic, initial window, NewReno and CUBIC growth and reduction */
#include "tests/unit/server/tcp/tcp_unit.h"
#include "server/tcp/tcp_sent.h"

Test(tcp_rtt, first_sample_and_smoothing)
{
    struct tcp_unit u;
    const struct tcp_config *cfg = &u.tw.cfg;

    tcp_unit_init(&u);
    u.tw.cfg.rto_min_us = 1000;
    tcp_rtt_sample(&u.c, 100000, cfg); /* RFC 6298 (2.2): SRTT = R, RTTVAR = R/2, RTO = R + 4 * R/2 */
    cr_assert_eq(u.c.srtt_us, 100000);
    cr_assert_eq(u.c.rttvar_us, 50000);
    cr_assert_eq(u.c.rto_us, 300000);
    tcp_rtt_sample(&u.c, 200000, cfg); /* (2.3): RTTVAR = 3/4 * 50 + 1/4 * 100, SRTT = 7/8 * 100 + 1/8 * 200 */
    cr_assert_eq(u.c.srtt_us, 112500);
    cr_assert_eq(u.c.rttvar_us, 62500);
    cr_assert_eq(u.c.rto_us, 362500);
    for (int i = 0; i < 200; i++)
        tcp_rtt_sample(&u.c, 20, cfg);
    cr_assert_lt(u.c.srtt_us, 40);
    cr_assert_geq(u.c.rto_us, 1000, "never below the clock's granularity");
}

/* The smallest is of five minutes at most: on a path that has got longer, one of long ago would hold for lost what is only on its way. */
Test(tcp_rtt, smallest_is_forgotten)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    tcp_min_rtt_update(&u.w, &u.c, 20000);
    tcp_min_rtt_update(&u.w, &u.c, 50000);
    cr_assert_eq(u.c.min_rtt_us, 20000);
    u.w.now_us += 299000000;
    tcp_min_rtt_update(&u.w, &u.c, 50000);
    cr_assert_eq(u.c.min_rtt_us, 20000);
    u.w.now_us += 2000000;
    tcp_min_rtt_update(&u.w, &u.c, 50000);
    cr_assert_eq(u.c.min_rtt_us, 50000);
    tcp_min_rtt_update(&u.w, &u.c, 10000);
    cr_assert_eq(u.c.min_rtt_us, 10000);
}

Test(tcp_rtt, floor_cap_and_backoff)
{
    struct tcp_unit u;
    const struct tcp_config *cfg = &u.tw.cfg;

    tcp_unit_init(&u);
    tcp_rtt_sample(&u.c, 50, cfg);
    cr_assert(u.c.rto_us >= 200000 && u.c.rto_us < 201000);
    u.c.backoff = 3;
    cr_assert_eq(tcp_backoff_us(&u.c, cfg), u.c.rto_us * 8);
    u.c.backoff = 16;
    cr_assert_eq(tcp_backoff_us(&u.c, cfg), 60000000);
    tcp_rtt_sample(&u.c, 50, cfg);
    cr_assert_eq(u.c.backoff, 0, "a good sample ends the backoff");
    tcp_rtt_sample(&u.c, UINT32_MAX / 2, cfg);
    cr_assert_eq(u.c.rto_us, 60000000);
}

Test(tcp_cc, initial_window)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.mss = 1448;
    cr_assert_eq(tcp_cc_initial_window(&u.c, &u.tw.cfg), 14480);
    u.c.mss = 536;
    cr_assert_eq(tcp_cc_initial_window(&u.c, &u.tw.cfg), 5360);
    u.c.mss = 8948;
    cr_assert_eq(tcp_cc_initial_window(&u.c, &u.tw.cfg), 17896, "two segments when they are large");
    u.c.flags = TCP_F_SYN_RTX;
    cr_assert_eq(tcp_cc_initial_window(&u.c, &u.tw.cfg), 8948, "one after a lost SYN");
}

Test(tcp_cc, newreno_slow_start_then_one_segment_a_window)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.cwnd = 10000;
    u.c.ssthresh = 20000;
    for (int i = 0; i < 10; i++)
        u.c.cc->acked(&u.w, &u.c, 1000, 0);
    cr_assert_eq(u.c.cwnd, 20000, "doubled in one round trip");
    for (int i = 0; i < 20; i++)
        u.c.cc->acked(&u.w, &u.c, 1000, 0);
    cr_assert_eq(u.c.cwnd, 21000);
    for (int i = 0; i < 21; i++)
        u.c.cc->acked(&u.w, &u.c, 1000, 0);
    cr_assert_eq(u.c.cwnd, 22000);
    cr_assert_eq(u.c.cc->loss(&u.w, &u.c, 22000), 11000);
    cr_assert_eq(u.c.cc->loss(&u.w, &u.c, 1500), 2000, "never below two segments");
}

/* One second of acknowledgements of a full window each 10 ms. */
static void cubic_run(struct tcp_unit *u, unsigned ms)
{
    for (unsigned t = 0; t < ms; t += 10) {
        uint32_t left = u->c.cwnd;

        u->w.now_us += 10000;
        for (; left >= 2000; left -= 2000)
            u->c.cc->acked(&u->w, &u->c, 2000, 0);
    }
}

Test(tcp_cc, cubic_curve)
{
    struct tcp_unit u;
    uint32_t before, at_plateau;

    tcp_unit_init(&u);
    u.c.cc = &tcp_cc_cubic;
    u.c.cc->init(&u.w, &u.c);
    u.c.srtt_us = 10000;
    u.c.cwnd = 1000000; /* 1000 segments */
    u.c.ssthresh = u.c.cc->loss(&u.w, &u.c, u.c.cwnd);
    cr_assert_eq(u.c.ssthresh, 700000, "beta 0.7");
    u.c.cwnd = u.c.ssthresh;
    /* K = cbrt(300 / 0.4) = 9.09 s: concave, back at W_max there, convex after it. The Reno-friendly window grows by 9/17
     * segment each 10 ms = 53 segments a second and is behind all the way (700 + 480 at 9.09 s is above: it wins). */
    u.c.srtt_us = 100000; /* slower Reno: 5.3 segments a second */
    before = u.c.cwnd;
    for (unsigned t = 0; t < 1000; t += 100) {
        uint32_t left = u.c.cwnd;

        u.w.now_us += 100000;
        for (; left >= 2000; left -= 2000)
            u.c.cc->acked(&u.w, &u.c, 2000, 0);
    }
    /* W(1.1 s) = 1000 + 0.4 * (1.1 - 9.09)^3 = 796 segments */
    cr_assert(u.c.cwnd > 770000 && u.c.cwnd < 815000, "%u after 1 s from %u", u.c.cwnd, before);
    for (unsigned t = 1000; t < 9000; t += 100) {
        uint32_t left = u.c.cwnd;

        u.w.now_us += 100000;
        for (; left >= 2000; left -= 2000)
            u.c.cc->acked(&u.w, &u.c, 2000, 0);
    }
    at_plateau = u.c.cwnd;
    cr_assert(at_plateau > 980000 && at_plateau < 1010000, "%u at K", at_plateau);
    cubic_run(&u, 5000);
    cr_assert_gt(u.c.cwnd, 1040000, "convex: probes beyond W_max");
}

static uint32_t w_max(const struct tcp_unit *u) { return (uint32_t)u->c.cc_priv[0]; }

/* RFC 9438 s4.6, s4.7. */
Test(tcp_cc, cubic_fast_convergence_and_floor)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.cc = &tcp_cc_cubic;
    u.c.cc->init(&u.w, &u.c);
    u.c.ssthresh = 100000;
    u.c.cwnd = 100000;
    cr_assert_eq(u.c.cc->loss(&u.w, &u.c, 100000), 70000);
    u.c.cwnd = 70000;
    cr_assert_eq(u.c.cc->loss(&u.w, &u.c, 70000), 49000);
    cr_assert_eq(w_max(&u), 59500, "below the former W_max: others need room");
    u.c.cwnd = 65000;
    cr_assert_eq(u.c.cc->loss(&u.w, &u.c, 65000), 45500);
    cr_assert_eq(w_max(&u), 65000, "above it, though below the former window");
    u.c.cwnd = 64000;
    u.c.cc->loss(&u.w, &u.c, 64000);
    cr_assert_eq(w_max(&u), 54400);
    u.c.cc->undo(&u.w, &u.c);
    cr_assert_eq(w_max(&u), 65000);
    cr_assert_eq(u.c.cc->loss(&u.w, &u.c, 0), 2000);
}

/* A window of 70000 bytes in congestion avoidance, below a W_max of 100000. */
static void cubic_below_w_max(struct tcp_unit *u)
{
    tcp_unit_init(u);
    u->c.cc = &tcp_cc_cubic;
    u->c.cc->init(&u->w, &u->c);
    u->c.srtt_us = 1000;
    u->c.cwnd = u->c.ssthresh = 100000;
    u->c.cwnd = u->c.ssthresh = u->c.cc->loss(&u->w, &u->c, 100000);
    u->c.cc->acked(&u->w, &u->c, 1, 0); /* the curve begins */
}

/* s4.3: as Reno with this beta below W_max, and as Reno above: alpha 9/17, then 1. */
Test(tcp_cc, cubic_is_reno_in_a_short_time)
{
    struct tcp_unit u;
    uint32_t before;

    cubic_below_w_max(&u);
    for (unsigned i = 0; i < 10; i++)
        u.c.cc->acked(&u.w, &u.c, u.c.cwnd, 0);
    cr_assert_eq(u.c.cwnd, 70000 + 10 * (1000 * 9 / 17), "%u", u.c.cwnd);
    while (u.c.cwnd < 100000)
        u.c.cc->acked(&u.w, &u.c, u.c.cwnd, 0);
    before = u.c.cwnd;
    for (unsigned i = 0; i < 10; i++)
        u.c.cc->acked(&u.w, &u.c, u.c.cwnd, 0);
    cr_assert_eq(u.c.cwnd, before + 10000);
}

/* s4.2: half more in a round trip at most, where the curve is far ahead. s5.8, s4.8: a pause and a timeout are no time of growth. */
Test(tcp_cc, cubic_time_that_passes)
{
    struct tcp_unit u;

    for (unsigned i = 0; i < 3; i++) {
        cubic_below_w_max(&u);
        if (i == 1)
            u.c.cc->restart(&u.w, &u.c, 200000);
        else if (i == 2)
            u.c.cc->rto(&u.w, &u.c);
        u.w.now_us += 200000000;
        u.c.cc->acked(&u.w, &u.c, u.c.cwnd, 0);
        if (i == 0)
            cr_assert_eq(u.c.cwnd, 105000, "%u", u.c.cwnd);
        else
            cr_assert_leq(u.c.cwnd, 71000, "%u: %u", i, u.c.cwnd);
    }
}

/* RFC 9438 s4.8: after a time-out the curve begins anew. s4.9.1: a reduction that was needless is taken back, with what it had noted. */
Test(tcp_cc, cubic_timeout_and_undo)
{
    struct tcp_unit u;
    uint64_t first[6], before[6];

    tcp_unit_init(&u);
    u.c.cc = &tcp_cc_cubic;
    u.c.cc->init(&u.w, &u.c);
    u.c.srtt_us = 100000;
    u.c.cwnd = 1000000;
    u.c.cwnd = u.c.ssthresh = u.c.cc->loss(&u.w, &u.c, u.c.cwnd);
    memcpy(first, u.c.cc_priv, sizeof(first));
    cubic_run(&u, 500);
    cr_assert_gt(u.c.cwnd, 700000);
    memcpy(before, u.c.cc_priv, sizeof(before));
    cr_assert_neq(memcmp(first, before, sizeof(first)), 0, "a curve has begun");
    (void)u.c.cc->loss(&u.w, &u.c, u.c.cwnd);
    u.c.cc->rto(&u.w, &u.c);
    u.c.cwnd = 1000;
    u.c.ssthresh = 500000;
    u.c.cc->acked(&u.w, &u.c, 1000, 0);
    cr_assert_eq(u.c.cwnd, 2000, "slow start");
    u.c.cc->undo(&u.w, &u.c);
    u.c.cwnd = u.c.ssthresh = 700000;
    u.w.now_us += 1000000;
    for (unsigned t = 0; t < 9000; t += 100) { /* on the way to the same W_max as before, 1000 segments, not to less */
        uint32_t left = u.c.cwnd;

        u.w.now_us += 100000;
        for (; left >= 2000; left -= 2000)
            u.c.cc->acked(&u.w, &u.c, 2000, 0);
    }
    cr_assert(u.c.cwnd > 980000 && u.c.cwnd < 1010000, "%u", u.c.cwnd);
}

/* A reduction in the first slow start that was needless costs HyStart++ no rounds: a queue shows against the shortest round trip. */
Test(tcp_cc, hystart_goes_on_after_an_undo)
{
    struct tcp_unit u;
    uint32_t cwnd;

    tcp_unit_init(&u);
    u.c.cc = &tcp_cc_cubic;
    u.c.cc->init(&u.w, &u.c);
    u.c.min_rtt_us = u.c.srtt_us = 100000;
    u.c.cwnd = 100000;
    u.c.snd_nxt = 100000;
    u.c.cc->acked(&u.w, &u.c, 1000, 100000);
    (void)u.c.cc->loss(&u.w, &u.c, u.c.cwnd);
    u.c.cc->undo(&u.w, &u.c);
    for (unsigned i = 0; i < 8; i++)
        u.c.cc->acked(&u.w, &u.c, 1000, 113000);
    cwnd = u.c.cwnd;
    u.c.cc->acked(&u.w, &u.c, 4000, 113000);
    cr_assert_eq(u.c.cwnd, cwnd + 1000, "conservative slow start");
}

Test(tcp_cc, cubic_is_never_slower_than_reno_on_short_paths)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.cc = &tcp_cc_cubic;
    u.c.cc->init(&u.w, &u.c);
    u.c.srtt_us = 1000;
    u.c.cwnd = 20000;
    u.c.ssthresh = u.c.cc->loss(&u.w, &u.c, u.c.cwnd);
    u.c.cwnd = u.c.ssthresh;
    /* 1 ms round trips: Reno-friendly growth of 9/17 segment each, for 40 of them: more than 14 + 15 segments */
    for (int i = 0; i < 40; i++) {
        uint32_t left = u.c.cwnd;

        u.w.now_us += 1000;
        for (; left >= 1000; left -= 1000)
            u.c.cc->acked(&u.w, &u.c, 1000, 0);
    }
    cr_assert_gt(u.c.cwnd, 28000, "%u", u.c.cwnd);
}

/* draft-cheng-iccrg-delivery-rate-estimation s2.2: the slower of sending and acknowledging. ACKs that were held back and come in a lump are
 * faster than the path; so is what left in a burst. */
Test(tcp_cc, rate_by_the_slower_of_both)
{
    struct tcp_unit u;
    struct tcp_ack_news n = { .has_rate = true };

    tcp_unit_init(&u);
    u.c.delivered = 100000;
    n.rate_first_us = 5000;
    n.rate_sent_us = n.rate_first_us + 50000;
    n.rate_delivered_us = (uint32_t)u.w.now_us - 10000; /* acknowledged in 10 ms what took 50 ms to send */
    cr_assert_eq(tcp_rate_of(&u.w, &u.c, &n, 1000), 2000000 / TCP_PACE_UNIT);
    n.rate_sent_us = n.rate_first_us + 10000;
    n.rate_delivered_us = (uint32_t)u.w.now_us - 50000; /* and the other way round */
    cr_assert_eq(tcp_rate_of(&u.w, &u.c, &n, 1000), 2000000 / TCP_PACE_UNIT);
}

Test(tcp_cc, names)
{
    cr_assert_eq(tcp_cc_find("newreno"), &tcp_cc_newreno);
    cr_assert_eq(tcp_cc_find("reno"), &tcp_cc_newreno);
    cr_assert_eq(tcp_cc_find("cubic"), &tcp_cc_cubic);
    cr_assert_eq(tcp_cc_find("bbr"), &tcp_cc_bbr);
    cr_assert_null(tcp_cc_find("vegas"));
}

Test(tcp_cc, restart_after_idle)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.cwnd = 500000;
    u.c.rto_us = 200000;
    u.c.snd_time_ms = tcp_now_ms(&u.w) - 150;
    tcp_cc_after_idle(&u.w, &u.c);
    cr_assert_eq(u.c.cwnd, 500000);
    u.c.snd_time_ms = tcp_now_ms(&u.w) - 250;
    tcp_cc_after_idle(&u.w, &u.c);
    cr_assert_eq(u.c.cwnd, 10000);
}

/* RFC 7661 s4.3, s4.4 */
Test(tcp_cc, window_used_in_part_halves_after_five_minutes)
{
    struct tcp_ack_news part = { .acked = 1000, .flight = 40000 }, more = { .acked = 1000, .flight = 50000 };
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.cwnd = 100000;
    u.c.ssthresh = 50000;
    for (unsigned s = 0; s < 299; s++) {
        tcp_cwnd_grow(&u.w, &u.c, &part);
        u.w.now_us += 1000000;
    }
    cr_assert_eq(u.c.cwnd, 100000, "it does not grow");
    tcp_cwnd_grow(&u.w, &u.c, &more); /* half of it was used: anew */
    for (unsigned s = 0; s <= 299; s++) {
        u.w.now_us += 1000000;
        tcp_cwnd_grow(&u.w, &u.c, &part);
    }
    cr_assert_eq(u.c.cwnd, 100000);
    u.w.now_us += 1000000;
    tcp_cwnd_grow(&u.w, &u.c, &part);
    cr_assert_eq(u.c.cwnd, 50000);
    cr_assert_eq(u.c.ssthresh, 75000);
    u.c.flags |= TCP_F_CWND_LIMITED; /* all of it is used */
    tcp_cwnd_grow(&u.w, &u.c, &more);
    u.c.flags &= ~TCP_F_CWND_LIMITED;
    u.w.now_us += 400000000;
    part.flight = 1000;
    tcp_cwnd_grow(&u.w, &u.c, &part);
    cr_assert_geq(u.c.cwnd, 50000);
    u.c.cwnd = 15000;
    for (unsigned s = 0; s < 1000; s++) {
        u.w.now_us += 1000000;
        tcp_cwnd_grow(&u.w, &u.c, &part);
    }
    cr_assert_eq(u.c.cwnd, 10000, "no further than the initial window");
}

/* RFC 7661 s4.4.1: the window of 100 segments was not what was lost. */
Test(tcp_cc, loss_while_used_in_part)
{
    struct tcp_sent sent;
    struct tcp_unit u;

    tcp_unit_init(&u);
    memset(&sent, 0, sizeof(sent));
    u.c.sent = &sent;
    u.c.cwnd = 100000;
    u.c.snd_nxt = u.c.snd_una + 20000;
    tcp_recovery_enter(&u.w, &u.c);
    cr_assert_eq(u.c.ssthresh, 10000);
}
