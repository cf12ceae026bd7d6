/* session_run.h - the session layer's stages of a worker's turn
 * Owner:  the worker.
 * Thread: the worker; create and destroy: control thread.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_SESSION_RUN_H
#define HOSTSTACK_SERVER_SESSION_RUN_H

#include "server/worker/worker.h"

int session_stack_create(struct stack *s);       /* before the first session_worker_create() */
void session_stack_destroy(struct stack *s);
int session_worker_create(struct worker *w);     /* also every registered transport's worker_init */
void session_worker_destroy(struct worker *w);
/* After a stage of input: events that have become due go to the programs; returns how many. */
unsigned session_events_flush(struct worker *w);
/* Sessions with bytes to send, each with a budget, round and round; returns how many were served. */
unsigned session_tx_run(struct worker *w);
/* What transports do of themselves; returns how much was done. */
unsigned session_transports_turn(struct worker *w);
/* What a burst of messages is about comes into the cache, all of it before the first is looked at (session_ahead.c). */
struct svm_msg;
void session_ahead_of(struct worker *w, const struct svm_msg *m, unsigned n);
bool session_has_work(const struct worker *w);   /* something is on those lists */
void session_abort_all(struct worker *w);        /* resets what is left; the worker does not run any more */
uint32_t session_count(const struct worker *w);
uint32_t session_listener_count(const struct worker *w);

struct json_t;
/* One object per session of this worker: looks at up to max slots beginning at `from` (0 at first), so that a worker with a million
 * sessions is not held up. Returns the slot to go on from, or UINT32_MAX at the end. */
uint32_t session_show(struct worker *w, uint32_t from, unsigned max, bool verbose, struct json_t *array);

#endif
