/* timer_wheel_test.c - the wheel against a model: a plain list of expiry times */
#include <criterion/criterion.h>
#include <stdlib.h>
#include "server/worker/timer_wheel.h"

enum { N = 200 };

struct model_timer {
    struct timer_node node;
    bool running;
    uint64_t expires_us;
};
static struct model_timer timers[N]; /* criterion runs each test in a process of its own */
static struct timer_wheel wheel;
static uint64_t now, n_fired, rng_state = 88172645463325252ull;

static uint64_t rnd(void)
{
    rng_state ^= rng_state << 13;
    rng_state ^= rng_state >> 7;
    rng_state ^= rng_state << 17;
    return rng_state;
}

/* Spans from within a tick to beyond the whole wheel (2^30 ticks). */
static uint64_t span(void)
{
    return rnd() % (1ull << (1 + rnd() % 39));
}

static void model_start(struct model_timer *t)
{
    t->expires_us = now + span();
    t->running = true;
    timer_start(&wheel, &t->node, t->expires_us);
}

static void fire(struct worker *w, struct timer_node *node)
{
    struct model_timer *t = hs_container_of(node, struct model_timer, node);

    (void)w;
    cr_assert(t->running, "fired although stopped");
    cr_assert(!timer_is_running(node));
    cr_assert_leq(t->expires_us, now, "fired early");
    t->running = false;
    n_fired++;
    if (rnd() % 4 == 0)
        model_start(t);
    struct model_timer *other = &timers[rnd() % N];
    if (rnd() % 8 == 0 && other->running) {
        timer_stop(&other->node, &wheel);
        other->running = false;
    }
}

static uint64_t model_earliest(void)
{
    uint64_t best = UINT64_MAX;

    for (int i = 0; i < N; i++)
        if (timers[i].running && timers[i].expires_us < best)
            best = timers[i].expires_us;
    return best;
}

static unsigned model_running(void)
{
    unsigned n = 0;

    for (int i = 0; i < N; i++)
        n += timers[i].running;
    return n;
}

static void check_nothing_is_late(void)
{
    for (int i = 0; i < N; i++)
        cr_assert(!timers[i].running || timers[i].expires_us + 2 * TIMER_TICK_US > now, "late: due %lu now %lu",
                  timers[i].expires_us, now);
    cr_assert_eq(wheel.n_running, model_running());
}

Test(timer_wheel, agrees_with_model)
{
    now = 1000000007;
    timer_wheel_init(&wheel, now);
    for (int i = 0; i < N; i++)
        timers[i].node.fire = fire;
    for (int step = 0; step < 200000; step++) {
        struct model_timer *t = &timers[rnd() % N];
        if (rnd() % 3 == 0) {
            timer_stop(&t->node, &wheel);
            t->running = false;
        } else if (rnd() % 3 == 0) {
            model_start(t);
        }
        now += rnd() % 4 ? rnd() % 1000 : span();
        timer_wheel_run(&wheel, NULL, now);
        check_nothing_is_late();
    }
    cr_assert_gt(n_fired, 10000);
}

/* Sleeping until timer_wheel_next_us() never oversleeps a timer, and always gets on. */
Test(timer_wheel, next_is_neither_late_nor_stuck)
{
    timer_wheel_init(&wheel, 0);
    cr_assert_eq(timer_wheel_next_us(&wheel), UINT64_MAX);
    for (int i = 0; i < N; i++) {
        timers[i].node.fire = fire;
        model_start(&timers[i]);
    }
    for (int step = 0; wheel.n_running > 0 && step < 100000; step++) {
        uint64_t next = timer_wheel_next_us(&wheel), earliest = model_earliest();
        cr_assert_gt(next, now);
        cr_assert_lt(next, (earliest > now ? earliest : now) + 2 * TIMER_TICK_US, "sleeps past the first timer");
        now = next;
        timer_wheel_run(&wheel, NULL, now);
        check_nothing_is_late();
    }
    cr_assert_eq(model_running(), 0);
}

Test(timer_wheel, stop_within_same_slot)
{
    timer_wheel_init(&wheel, 0);
    for (int i = 0; i < 3; i++) {
        timers[i] = (struct model_timer){ .node.fire = fire, .running = true, .expires_us = 5000 };
        timer_start(&wheel, &timers[i].node, 5000);
    }
    timer_stop(&timers[1].node, &wheel);
    timer_stop(&timers[1].node, &wheel); /* twice is fine */
    timers[1].running = false;
    cr_assert_eq(wheel.n_running, 2);
    timer_stop(&timers[0].node, &wheel);
    timer_stop(&timers[2].node, &wheel);
    cr_assert_eq(timer_wheel_next_us(&wheel), UINT64_MAX);
    now = 10000;
    cr_assert_eq(timer_wheel_run(&wheel, NULL, now), 0);
}
