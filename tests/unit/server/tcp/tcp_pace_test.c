/* tcp_pace_test.c - sending at a rate: each rule of tcp_pace.c by itself (over a path: tcp_path) */
#include "tests/unit/server/tcp/tcp_unit.h"

enum { MSS = 1000, CREDIT_US = 4 * TIMER_TICK_US };

static struct tcp_unit U;

static struct tcp_conn *begin(void)
{
    tcp_unit_init(&U);
    tcp_timer_init(&U.c);
    U.c.gso_max = 40 * MSS;
    U.c.snd_time_ms = tcp_now_ms(&U.w);
    return &U.c;
}
static void end(void)
{
    tcp_timer_stop_all(&U.w, &U.c);
    cr_assert_eq(U.w.timers.n_running, 0);
}
static uint32_t now(void) { return (uint32_t)U.w.now_us; }

/* The program's limit holds for what a model says, below it and above it, and where there is no model. */
Test(tcp_pace, limit_of_the_program)
{
    struct tcp_conn *c = begin();

    c->pace_max = 1000;
    tcp_pace_set(&U.w, c, 500 * TCP_PACE_UNIT);
    cr_assert_eq(c->pace_rate, 500);
    tcp_pace_set(&U.w, c, 2000 * TCP_PACE_UNIT);
    cr_assert_eq(c->pace_rate, 1000);
    tcp_pace_set(&U.w, c, 0);
    cr_assert_eq(c->pace_rate, 1000);
    tcp_pace_limit(&U.w, c, 0);
    cr_assert_eq(c->pace_rate, 0, "no model, no limit");
    end();
}

/* What a model makes of a slow path is a rate, be it the least there is: 0 would be none at all. */
Test(tcp_pace, least_and_largest)
{
    struct tcp_conn *c = begin();

    tcp_pace_set(&U.w, c, TCP_PACE_UNIT - 1);
    cr_assert_eq(c->pace_rate, 1);
    tcp_pace_set(&U.w, c, UINT64_MAX);
    cr_assert_eq(c->pace_rate, UINT32_MAX);
    tcp_pace_set(&U.w, c, 0);
    cr_assert_eq(c->pace_rate, 0);
    end();
}

/* A connection that has had no rate for an hour begins at once. */
Test(tcp_pace, begins_at_once)
{
    struct tcp_conn *c = begin();

    c->pace_next_us = now() + 1000000;
    tcp_pace_set(&U.w, c, 1000000);
    cr_assert_not(tcp_pace_must_wait(&U.w, c));
    c->pace_next_us = now() + 1000; /* and with a rate already, another one changes nothing of when */
    tcp_pace_set(&U.w, c, 2000000);
    cr_assert(tcp_pace_must_wait(&U.w, c));
    end();
}

/* A millisecond's worth in whole segments; two where that is less, one where that would stand for long, no more than one packet takes. */
Test(tcp_pace, burst)
{
    static const struct { uint64_t bytes_per_s; uint32_t want; } rows[] = {
        { 1024 * 10, MSS },             { 1024 * (MSS / 8 - 16), MSS }, { 1024 * (MSS / 8 + 16), 2 * MSS }, { 1024 * 1500, 2 * MSS },
        { 1024 * 3016, 3 * MSS },       { 1024 * 3984, 3 * MSS },       { 1024 * 39984, 39 * MSS },         { 1024ull * 80000, 40 * MSS },
    };
    struct tcp_conn *c = begin();

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        tcp_pace_set(&U.w, c, rows[i].bytes_per_s);
        cr_assert_eq(tcp_pace_burst(c), rows[i].want, "row %u: %u", i, tcp_pace_burst(c));
    }
    end();
}

/* 1,000 bytes with their headers at a megabyte a second are 1,040 us, after which the timer asks again. */
Test(tcp_pace, waits_for_its_time)
{
    struct tcp_conn *c = begin();

    tcp_pace_set(&U.w, c, 1000000);
    cr_assert_not(tcp_pace_must_wait(&U.w, c));
    tcp_pace_sent(&U.w, c, MSS);
    cr_assert_eq(c->pace_next_us, now() + MSS + 40);
    cr_assert(tcp_pace_must_wait(&U.w, c));
    cr_assert(c->lflags & TCP_LF_PACE_WAIT);
    cr_assert(timer_is_running(&c->t_rexmt));
    cr_assert_eq(c->t_rexmt.expires_us, U.w.now_us + MSS + 40);
    U.w.now_us += MSS + 39;
    cr_assert(tcp_pace_must_wait(&U.w, c));
    U.w.now_us += 1;
    cr_assert_not(tcp_pace_must_wait(&U.w, c));
    end();
}

/* A timer that was late costs no rate: so much is made up for. Who has had nothing to send has saved up nothing more. */
Test(tcp_pace, credit)
{
    struct tcp_conn *c = begin();

    tcp_pace_set(&U.w, c, 1000000);
    tcp_pace_sent(&U.w, c, MSS);
    U.w.now_us += MSS + 40 + CREDIT_US;
    tcp_pace_sent(&U.w, c, MSS);
    cr_assert_eq(c->pace_next_us, now() - CREDIT_US + MSS + 40, "all of the delay is made up for");
    U.w.now_us += 1000000;
    tcp_pace_sent(&U.w, c, MSS);
    cr_assert_eq(c->pace_next_us, now() - CREDIT_US + MSS + 40, "no more than the credit");
    end();
}

/* The clock's low half comes round in 72 minutes: what stands there then is no time to come. */
Test(tcp_pace, forgets_after_long_idleness)
{
    struct tcp_conn *c = begin();

    tcp_pace_set(&U.w, c, 1000000);
    c->pace_next_us = now() + 1000000;
    c->snd_time_ms = tcp_now_ms(&U.w) - (1u << 20);
    cr_assert(tcp_pace_must_wait(&U.w, c));
    c->snd_time_ms--;
    cr_assert_not(tcp_pace_must_wait(&U.w, c));
    cr_assert_eq(c->pace_next_us, now());
    c->pace_next_us = now() + (1u << 30) + 1; /* nor is so far a future one that was ever set */
    tcp_pace_sent(&U.w, c, MSS);
    cr_assert_eq(c->pace_next_us, now() - CREDIT_US + MSS + 40);
    end();
}

/* However slow the rate, the next packet's time stays comparable. */
Test(tcp_pace, one_step)
{
    struct tcp_conn *c = begin();

    tcp_pace_set(&U.w, c, TCP_PACE_UNIT);
    tcp_pace_sent(&U.w, c, 40 * MSS); /* 2,502 s */
    cr_assert_eq(c->pace_next_us, now() + (1u << 30));
    end();
}
