/* tls_pool.h - threads that do the handshakes' cryptography, so that a flood of them does not hold up a worker's open connections
 *
 *   worker: tls_pool_give(conn)  -> a thread: the engine's handshake(), on bytes that the worker has copied for it
 *           tls_turn(), tls_pool_take() <- done list of the worker, which is woken
 *
 * While a connection is with a thread the worker does not touch its engine, and the thread touches nothing but engine and job.
 *
 * Owner:  the pool: struct tls_stack. A job: its connection, from its first step until its last bytes are taken.
 * Thread: start and stop: the control thread; others: the connection's worker.
 * Memory: process-private; a job's bytes are bounded by TLS_JOB_IN_MAX and, those that go out, TLS_JOB_MAX.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_TLS_POOL_H
#define HOSTSTACK_SERVER_TLS_POOL_H

#include <pthread.h>
#include "server/tls/tls_engine.h"

enum { TLS_JOB_MAX = 256 * 1024, TLS_JOB_IN_MAX = 64 * 1024 /* what comes; the rest waits for the next step */ };

struct tls_conn;
struct tls_worker;
struct tls_stack;

struct tls_job_bytes {
    uint8_t *data;
    uint32_t at, len, cap;     /* data[at..len) is still to be taken */
};
struct tls_job {
    struct tls_job *next;
    struct tls_conn *c;
    struct tls_worker *tw;
    struct tls_job_bytes in, out; /* DTLS: datagrams, the length of each in front */
    enum tls_status status;
    bool at_thread;            /* worker only */
    bool has_status;           /* worker only: comes into effect when `out` is on its way */
    bool in_end;               /* the stream below has ended, after what is in `in` */
    unsigned mtu;              /* DTLS: of the path, as it was when the worker gave the job; and its clock */
    uint64_t now_us;
};
struct tls_done {              /* of a worker */
    pthread_mutex_t lock;
    struct tls_job *first;
    bool is_told;              /* the worker has been woken for what is there */
};
struct tls_pool;

int tls_pool_start(struct tls_stack *ts, unsigned n_threads, struct tls_pool **out);
void tls_pool_stop(struct tls_pool *p);                  /* what waits is not begun; NULL is fine */
bool tls_pool_give(struct tls_conn *c);                  /* false: no memory */
unsigned tls_pool_take(struct tls_worker *tw);           /* what threads have done since; returns how much */
void tls_job_free(struct tls_job *j);
void tls_job_drop(struct tls_conn *c);                   /* the handshake is over: the job goes with its last bytes */
/* Bytes moved, as struct tls_io says. */
int tls_job_read(struct tls_job *j, void *buf, size_t len);
int tls_job_write(struct tls_job *j, const void *buf, size_t len);
const uint8_t *tls_job_next(struct tls_job_bytes *from, uint32_t *len);      /* the datagram that is first in what is not empty, taken */
bool tls_job_put(struct tls_job_bytes *to, const void *buf, size_t len);     /* a datagram; false: TLS_JOB_MAX is reached, or no memory */
static inline bool tls_job_is_busy(const struct tls_job *j) { return j && (j->at_thread || j->has_status); } /* its engine is not the worker's */
static inline uint32_t tls_job_left(const struct tls_job_bytes *b) { return b->len - b->at; }

#endif
