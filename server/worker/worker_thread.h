/* worker_thread.h - threads around worker_step(): polling, sleeping, cycle counters
 *
 *   busy -> (idle turns) -> announce sleep -> look at all sources once more -> epoll_wait -> busy
 *
 * Owner:  the worker.
 * Thread: start and stop: control thread. Counters: any thread may read.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_WORKER_THREAD_H
#define HOSTSTACK_SERVER_WORKER_THREAD_H

#include "server/worker/worker.h"

enum worker_poll_mode { WORKER_POLL_ADAPTIVE, WORKER_POLL_BUSY, WORKER_POLL_INTERRUPT };

struct worker_thread_options {
    enum worker_poll_mode poll_mode;
    int core;                  /* CPU to run on, -1 = any */
};
int worker_start(struct worker *w, const struct worker_thread_options *opt);
void worker_stop(struct worker *w);            /* waits until its turn is over and the thread has gone */
bool worker_is_running(const struct worker *w);
void worker_wake(struct worker *w);            /* any thread; worker_call() does it by itself */

enum worker_stage { WORKER_STAGE_RX, WORKER_STAGE_TRANSPORT, WORKER_STAGE_SESSION, WORKER_STAGE_TX, WORKER_STAGE_EMPTY,
                    WORKER_N_STAGES };
struct worker_counters {       /* written by the worker only; cycles of the time stamp counter */
    uint64_t cycles[WORKER_N_STAGES];
    uint64_t turns, busy_turns, sleeps, rx_packets, tx_packets, tx_drops, handed_over, handover_drops, commands;
} HS_ALIGNED_LINE;
void worker_get_counters(const struct worker *w, struct worker_counters *out);
uint64_t worker_cycles_hz(void);               /* of worker_counters.cycles */
/* Processor time of the thread, system calls included, time of others on the same core not; control thread only. Cycles go on
 * while others have the core: where it is shared, they say how this time divides, not how long it was. */
uint64_t worker_cpu_us(const struct worker *w);
const char *worker_stage_name(enum worker_stage stage);

#endif
