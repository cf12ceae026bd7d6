/* vcl_spin.c - waiting awake for an answer that comes soon
 *
 * Going to sleep and being woken costs 2 to 40 us, by machine; so who has just asked or answered something, and was answered quickly
 * before, looks for a while before it sleeps. It gives its core away at every look (sched_yield), so that a peer on the same core goes
 * on at once; and when somebody else keeps the core for long, it stops doing so for some time. Streams sleep: a reader that says
 * nothing, or a writer of much, is best woken for much. */
#include <sched.h>
#include "vcl/vcl_internal.h"

enum {
    SPIN_NS = 50000,         /* look for so long */
    SHORT_NS = 100000,       /* a sleep that was not longer would have been worth it */
    TAKEN_NS = 200000,       /* between two looks, and still nothing is there: others compute on this core for themselves ... */
    KEPT_NS = 2000000,       /* ... as those do who had it for so long: the kernel's slice is 3 ms; who worked for us is back sooner ... */
    OFF_MIN_NS = 20000000,   /* ... no looking for so long, and when that happens again, for twice as long, up to ... */
    OFF_MAX_NS = 320000000,  /* ... this */
    FREE_NS = 100000000,     /* looking went well for so long */
    MUCH_BYTES = 65536,      /* said since the last wait: it is a stream */
    VAIN_ALONE = 24,         /* calls of a program that polls, between two turns for others, when nobody took the last one, ... */
    VAIN_SHARED = 3,         /* ... and when somebody did */
    SWITCH_NS = 600,         /* a turn that took longer was taken */
    POLLS_NS = 10000,        /* who makes so many calls in this time does nothing else */
    LOOKS = 8,               /* between two turns for others */
    SCORE_MAX = 8,           /* in favour of looking: so many quick answers more than slow ones */
};

static inline void relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void vcl_spin_init(struct vcl_spin *sp)
{
    atomic_init(&sp->said, 0);
    atomic_init(&sp->against, 0);
    atomic_init(&sp->off_until_ns, 0);
    atomic_flag_clear(&sp->taken);
    atomic_init(&sp->vain, 0);
    atomic_init(&sp->vain_at_ns, 0);
    atomic_init(&sp->off_ns, OFF_MIN_NS);
}

static void learn(struct vcl_spin *sp, bool was_quick)
{
    int against = atomic_load_explicit(&sp->against, memory_order_relaxed) + (was_quick ? -1 : 2);

    against = against < -SCORE_MAX ? -SCORE_MAX : against > SCORE_MAX ? SCORE_MAX : against;
    atomic_store_explicit(&sp->against, against, memory_order_relaxed);
}

static void go_off(struct vcl_spin *sp, int64_t now)
{
    int64_t off = atomic_load_explicit(&sp->off_ns, memory_order_relaxed);

    if (now - atomic_load_explicit(&sp->off_until_ns, memory_order_relaxed) > FREE_NS)
        off = OFF_MIN_NS;
    else if (off < OFF_MAX_NS)
        off *= 2;
    atomic_store_explicit(&sp->off_ns, off, memory_order_relaxed);
    atomic_store_explicit(&sp->off_until_ns, now + off, memory_order_relaxed);
}

/* A program that polls: a server or a peer on this core shall go on now, not when the kernel's time slice is over. Where somebody did,
 * it is let in more often. */
void vcl_spin_vain(struct vcl_spin *sp)
{
    uint32_t n = atomic_load_explicit(&sp->vain, memory_order_relaxed);
    int64_t now, last, back;

    if (hs_likely(n > 0)) {
        atomic_store_explicit(&sp->vain, n - 1, memory_order_relaxed);
        return;
    }
    now = vcl_now_ns();
    last = atomic_load_explicit(&sp->vain_at_ns, memory_order_relaxed);
    back = now;
    n = VAIN_ALONE;
    if (now - last < POLLS_NS && now > atomic_load_explicit(&sp->off_until_ns, memory_order_relaxed)) {
        sched_yield();
        back = vcl_now_ns();
        if (back - now > KEPT_NS)
            go_off(sp, back);
        else if (back - now > SWITCH_NS)
            n = VAIN_SHARED;
    }
    atomic_store_explicit(&sp->vain, n, memory_order_relaxed);
    atomic_store_explicit(&sp->vain_at_ns, back, memory_order_relaxed);
}

static bool look_for(struct vcl_spin *sp, int64_t start, bool (*is_over)(void *arg), void *arg)
{
    int64_t last = start, now;

    for (;;) {
        for (int i = 0; i < LOOKS; i++) {
            if (is_over(arg))
                return true;
            relax();
        }
        sched_yield();
        now = vcl_now_ns();
        if (now - last > TAKEN_NS) {
            bool over = is_over(arg);

            if (!over || now - last > KEPT_NS)
                go_off(sp, now);
            return over;
        }
        if (now - start > SPIN_NS)
            return false;
        last = now;
    }
}

bool vcl_spin(struct vcl_spin *sp, struct vcl_spin_wait *wait, bool (*is_over)(void *arg), void *arg)
{
    uint32_t said = atomic_exchange_explicit(&sp->said, 0, memory_order_relaxed);
    bool over;

    *wait = (struct vcl_spin_wait){ .begin_ns = 0 };
    if (said == 0 || said > MUCH_BYTES)
        return false;
    wait->begin_ns = vcl_now_ns();
    if (atomic_load_explicit(&sp->against, memory_order_relaxed) > 0 ||
        wait->begin_ns < atomic_load_explicit(&sp->off_until_ns, memory_order_relaxed) ||
        atomic_flag_test_and_set_explicit(&sp->taken, memory_order_relaxed))
        return false;
    over = look_for(sp, wait->begin_ns, is_over, arg);
    atomic_flag_clear_explicit(&sp->taken, memory_order_relaxed);
    learn(sp, over);
    wait->begin_ns = 0;
    return over;
}

void vcl_spin_slept(struct vcl_spin *sp, const struct vcl_spin_wait *wait)
{
    if (wait->begin_ns)
        learn(sp, vcl_now_ns() - wait->begin_ns < SHORT_NS);
}
