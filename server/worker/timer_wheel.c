/* timer_wheel.c - hierarchical timer wheel: 5 levels of 64 slots, 128 us a tick, about 38 hours before a timer cascades twice */
#include "server/worker/timer_wheel.h"

enum { SLOT_BITS = 6, SLOT_MASK = TIMER_SLOTS - 1 };
static_assert(1 << SLOT_BITS == TIMER_SLOTS, "slot bits");

/* Never early: the first tick that begins at or after the time. */
static uint64_t tick_of(uint64_t us)
{
    return us / TIMER_TICK_US + (us % TIMER_TICK_US != 0);
}

void timer_wheel_init(struct timer_wheel *tw, uint64_t now_us)
{
    *tw = (struct timer_wheel){ .now_tick = now_us / TIMER_TICK_US };
}

static void link_node(struct timer_node **head, struct timer_node *t)
{
    t->next = *head;
    t->pprev = head;
    if (t->next)
        t->next->pprev = &t->next;
    *head = t;
}

/* A level-l slot holds timers whose tick differs from now_tick first in digit l (base 64). A timer that is due lies in the slot
 * of the tick that comes next, so that it fires at the next run and not within the one that started it. */
static void place(struct timer_wheel *tw, struct timer_node *t)
{
    uint64_t tick = tick_of(t->expires_us);
    uint64_t span = 1ull << (SLOT_BITS * TIMER_LEVELS);

    if (tick <= tw->now_tick)
        tick = tw->now_tick + 1;
    if (tick - tw->now_tick >= span - (span >> SLOT_BITS)) /* beyond the wheel: the farthest slot, placed anew from there */
        tick = tw->now_tick + span - (span >> SLOT_BITS) - 1;
    unsigned level = 0;
    uint64_t diff = tick ^ tw->now_tick;
    if (diff >> (SLOT_BITS * TIMER_LEVELS))
        level = TIMER_LEVELS - 1;
    else
        level = (unsigned)(63 - __builtin_clzll(diff)) / SLOT_BITS;
    unsigned slot = (unsigned)(tick >> (SLOT_BITS * level)) & SLOT_MASK;
    link_node(&tw->slot[level][slot], t);
    tw->occupied[level] |= 1ull << slot;
}

void timer_start(struct timer_wheel *tw, struct timer_node *t, uint64_t expires_us)
{
    if (t->pprev)
        timer_stop(t, tw);
    t->expires_us = expires_us;
    place(tw, t);
    tw->n_running++;
}

void timer_stop(struct timer_node *t, struct timer_wheel *tw)
{
    if (!t->pprev)
        return;
    *t->pprev = t->next;
    if (t->next) {
        t->next->pprev = t->pprev;
    } else if (t->pprev >= &tw->slot[0][0] && t->pprev < &tw->slot[0][0] + TIMER_LEVELS * TIMER_SLOTS && !*t->pprev) {
        size_t i = (size_t)(t->pprev - &tw->slot[0][0]); /* the slot is empty now */
        tw->occupied[i / TIMER_SLOTS] &= ~(1ull << (i % TIMER_SLOTS));
    }
    t->next = NULL;
    t->pprev = NULL;
    tw->n_running--;
}

/* Takes all timers of a slot onto a list of the caller's. */
static struct timer_node *take_slot(struct timer_wheel *tw, unsigned level, unsigned slot, struct timer_node **list)
{
    struct timer_node *t = tw->slot[level][slot];

    tw->slot[level][slot] = NULL;
    tw->occupied[level] &= ~(1ull << slot);
    *list = t;
    if (t)
        t->pprev = list;
    return t;
}

/* Moves the timers of a higher level's slot down: their digit of that level equals now's from here on. */
static void cascade(struct timer_wheel *tw, unsigned level)
{
    struct timer_node *list;

    take_slot(tw, level, (unsigned)(tw->now_tick >> (SLOT_BITS * level)) & SLOT_MASK, &list);
    while (list) {
        struct timer_node *t = list;
        list = t->next;
        if (list)
            list->pprev = &list;
        if (tick_of(t->expires_us) <= tw->now_tick) { /* due at this very tick: the level 0 slot that is run next */
            unsigned slot = (unsigned)tw->now_tick & SLOT_MASK;
            link_node(&tw->slot[0][slot], t);
            tw->occupied[0] |= 1ull << slot;
        } else {
            place(tw, t);
        }
    }
}

/* The next tick after `from` at which a slot must be looked at: a level 0 slot to fire, or a higher slot to cascade. */
static uint64_t next_tick(const struct timer_wheel *tw)
{
    uint64_t best = UINT64_MAX, now = tw->now_tick;

    for (unsigned level = 0; level < TIMER_LEVELS; level++) {
        if (!tw->occupied[level])
            continue;
        unsigned shift = SLOT_BITS * level;
        uint64_t digit = now >> shift;
        unsigned cur = (unsigned)digit & SLOT_MASK;
        unsigned rot = (cur + 1) & SLOT_MASK;
        uint64_t map = rot ? tw->occupied[level] >> rot | tw->occupied[level] << (64 - rot) : tw->occupied[level];
        uint64_t tick = (digit + 1 + (unsigned)__builtin_ctzll(map)) << shift;
        if (tick < best)
            best = tick;
    }
    return best;
}

unsigned timer_wheel_run(struct timer_wheel *tw, struct worker *w, uint64_t now_us)
{
    uint64_t target = now_us / TIMER_TICK_US;
    unsigned fired = 0;

    while (tw->now_tick < target) {
        uint64_t tick = tw->n_running ? next_tick(tw) : UINT64_MAX;
        if (tick > target) {
            tw->now_tick = target;
            break;
        }
        tw->now_tick = tick;
        for (unsigned level = TIMER_LEVELS - 1; level > 0; level--)
            if ((tick & ((1ull << (SLOT_BITS * level)) - 1)) == 0)
                cascade(tw, level);
        struct timer_node *list;
        take_slot(tw, 0, (unsigned)tick & SLOT_MASK, &list);
        while (list) { /* fire() may stop or start any timer, also those still on the list */
            struct timer_node *t = list;
            timer_stop(t, tw);
            fired++;
            t->fire(w, t);
        }
    }
    return fired;
}

uint64_t timer_wheel_next_us(const struct timer_wheel *tw)
{
    if (!tw->n_running)
        return UINT64_MAX;
    return next_tick(tw) * TIMER_TICK_US;
}
