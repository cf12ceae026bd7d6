/* timer_wheel.h - hierarchical timer wheel, one per worker, intrusive nodes
 * Owner:  the worker; a node belongs to the object it is embedded in and must be stopped before that is freed.
 * Thread: owning worker only.
 * Time:   microseconds of the worker's clock; resolution TIMER_TICK_US; fires late by at most one tick, never early.
 * Errors: none. */
#ifndef HOSTSTACK_SERVER_TIMER_WHEEL_H
#define HOSTSTACK_SERVER_TIMER_WHEEL_H

#include "common/types.h"

enum { TIMER_TICK_US = 128, TIMER_LEVELS = 5, TIMER_SLOTS = 64 };

struct worker;
struct timer_node {
    struct timer_node *next, **pprev; /* NULL pprev = not running */
    uint64_t expires_us;
    void (*fire)(struct worker *w, struct timer_node *t);
};
struct timer_wheel {
    uint64_t now_tick;
    uint32_t n_running;
    uint64_t occupied[TIMER_LEVELS];  /* bit per slot */
    struct timer_node *slot[TIMER_LEVELS][TIMER_SLOTS];
};

void timer_wheel_init(struct timer_wheel *tw, uint64_t now_us);
void timer_start(struct timer_wheel *tw, struct timer_node *t, uint64_t expires_us); /* also restarts */
void timer_stop(struct timer_node *t, struct timer_wheel *tw);
static inline bool timer_is_running(const struct timer_node *t) { return t->pprev != NULL; }
unsigned timer_wheel_run(struct timer_wheel *tw, struct worker *w, uint64_t now_us);   /* fires what is due, returns how many */
uint64_t timer_wheel_next_us(const struct timer_wheel *tw);  /* earliest time at which run may fire something; UINT64_MAX = never */

#endif
