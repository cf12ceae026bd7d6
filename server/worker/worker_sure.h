/* worker_sure.h - calls of one worker to another that must not get lost: kept by the caller while the other's ring is full
 * Owner:  the caller makes the struct, alone or first in what fn needs; it is fn's when fn runs.
 * Thread: the calling worker.
 * Order:  fn of a later call runs after that of an earlier one, on each worker.
 * Errors: none; who causes calls for others bounds them by worker_sure_is_kept(). */
#ifndef HOSTSTACK_SERVER_WORKER_SURE_H
#define HOSTSTACK_SERVER_WORKER_SURE_H

#include "server/worker/worker.h"

struct worker_sure {
    struct worker_sure *next;
    struct worker *to;
    void (*fn)(struct worker *w, void *arg);
};
/* As worker_call(to, fn, c), at the latest when the ring of `to` has room: w sleeps until then, if it has nothing else to do. */
void worker_call_surely(struct worker *w, struct worker *to, void (*fn)(struct worker *w, void *arg), struct worker_sure *c);
uint64_t worker_sure_mark(const struct worker *w);                /* how many calls it has had to keep, ever */
bool worker_sure_is_kept(const struct worker *w, uint64_t mark);  /* some of those are kept still */

#endif
