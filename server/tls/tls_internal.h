/* tls_internal.h - what the files of tls/ share
 *
 * A connection has up to three parts, each of which may go first:
 *
 *   program's session -- base.session -- tls_conn -- lower -- TCP session (its program is tls_app, FIFOs are tls_conn's)
 *                                           |
 *                                         engine
 *
 *   client: LOWER -> (WAIT) -> HANDSHAKE -> OPEN -> CLOSING -> LINGER -> (freed)
 *   server: NEW   -> (WAIT) -> HANDSHAKE -> OFFER -> OPEN …     any -> LINGER or DEAD, on an error
 *
 * DTLS has a UDP session in the place of the TCP one: dtls.h.
 *
 * Nothing is done inside notices of the session below: they put the connection on the worker's ready list, tls_turn() does the work.
 *
 * Owner:  connections: the worker's table; freed when program's session and lower one are gone and it is on no list.
 * Thread: the worker. struct tls_stack: its store under its lock.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_TLS_INTERNAL_H
#define HOSTSTACK_SERVER_TLS_INTERNAL_H

#include <pthread.h>
#include "common/log.h"
#include "server/session/session.h"
#include "server/tls/tls.h"
#include "server/tls/tls_engine.h"
#include "server/tls/tls_pool.h"
#include "server/worker/worker.h"
#include "svm/svm_ring_alloc.h"

enum tls_tuning {
    TLS_TURN_BYTES = 256 * 1024,       /* of records, opened and made in one turn of a worker */
    TLS_HANDSHAKE_COST = 64 * 1024,    /* a step of a handshake counts as so many bytes ... */
    TLS_HANDSHAKE_GIVE = 4 * 1024,     /* ... or, where a thread does it, so many */
    TLS_HANDSHAKES_US = 1000,          /* of a worker's own time: after so long no other step begins in this turn */
    TLS_PIECE = 64 * 1024,             /* opened for one connection before the next one's turn */
    TLS_GATHER = 4096,                 /* a shorter piece before the end of a ring goes into one record with what follows */
    TLS_PROMISE_LOW = 32 * 1024,       /* of the 64 KiB that a peer may send during its handshake: then its window is looked at again */
    TLS_OVERHEAD = 512,                /* of a record, generously */
    TLS_LINGER_US = 2000000,           /* for the peer's close_notify and FIN after ours */
    TLS_IDLE_US = 1000000,             /* without bytes: the memory of FIFOs is given back */
    TLS_TRIM_STEP = 1 << 20,           /* of idle connections: given back to the kernel at a time, so that it takes a worker little */
    TLS_TRIM_GONE = 16 << 20,          /* of connections that went: the next ones may want it */
    TLS_OFFER_US = 10000,              /* the accept queue is full: how soon to look again */
    TLS_RING_AREA_MB = 1024,           /* address space for records of a worker; a page is used when bytes are in it */
};

enum tls_state {
    TLS_S_NEW, TLS_S_LOWER, TLS_S_WAIT /* tls_wait.c */,
    TLS_S_HANDSHAKE, TLS_S_OFFER, TLS_S_OPEN, TLS_S_CLOSING, TLS_S_LINGER, TLS_S_DEAD, TLS_S_DOOR /* dtls.h */,
};

struct tls_lines {                     /* of the FIFOs between the lower session and us: private memory, both ends are the server's */
    struct svm_fifo_prod_line rx_prod, tx_prod;
    struct svm_fifo_cons_line rx_cons, tx_cons;
};

struct tls_conn {
    struct transport_conn base;        /* the program's side */
    struct tls_lines lines;
    struct svm_fifo_cons in;           /* records of the peer */
    struct svm_fifo_prod out;          /* records for it */
    struct session *lower;             /* NULL: not there yet, or closed */
    struct tls_app *app;               /* as whom the lower session is held */
    struct tls_job *job;               /* handshake by a thread: what goes in and comes out; NULL: none */
    struct tls_session *engine;        /* NULL before the handshake begins */
    struct tls_profile *profile;
    struct tls_listener *listener;     /* server, until it is accepted; then NULL */
    struct tls_conn *l_next, **l_pprev;/* of that listener */
    struct tls_conn *ready_next;
    struct timer_node timer;
    struct worker *w;
    uint32_t index;                    /* in the table; the lower session's slot */
    uint32_t retry_len;                /* bytes offered to the engine that it could not write: to be offered again */
    int lower_error;                   /* the lower session ended so; what had come before is still read */
    int linger_s;
    uint8_t state;                     /* enum tls_state */
    bool is_server, on_ready, has_fifos, lower_up;
    bool rx_blocked, rx_closed;        /* the program's FIFO is full; the peer's close_notify has come */
    bool tx_shut, notify_sent;
    bool is_shaking;                   /* counted among the handshakes */
    uint32_t shake_bytes;              /* of memory, counted among theirs; 0: none */
    struct tls_conn *wait_next, **wait_pprev; /* for such memory; NULL: it does not wait */
    bool was_active;                   /* since the timer was started that gives back memory */
    bool waits_direct;                 /* for room in the FIFO of the other end on this host */
    struct session *direct;            /* between reserve() and commit(): it is there, not in `out` */
    bool is_fin_sent;                  /* nothing may be written below any more */
    bool is_key_old;                   /* and it has been said */
    bool is_in_place;                  /* the engine works on the FIFOs themselves */
    bool is_dtls;
    uint64_t deadline_us;              /* DTLS: of the handshake */
    uint64_t last_us;                  /* DTLS: when the last message came or went */
};

struct tls_listener {
    struct tls_listener *next;
    const struct listener *l;          /* the program's; const here, its owner is the session layer */
    struct listener *accept_to;
    struct session *lower;             /* home worker only */
    struct tls_conn *door;             /* DTLS, in place of it; each worker has one */
    bool is_dtls;
    struct tls_app *app;
    struct tls_profile *profile;
    uint32_t generation;               /* of the store when profile was made, and ... */
    uint32_t layer_cfg;                /* ... of what the listener had chosen */
    uint32_t key;                      /* upper listener's index: the lower one's ctx, on every worker */
    struct tls_conn *conns;            /* in their handshake, or waiting for room in the accept queue */
    uint32_t n_conns;
};

struct tls_app {                       /* whom lower sessions belong to, one for each namespace */
    struct app_worker aw;              /* first */
    struct tls_app *next;
};

#define TLS_COUNTER(name, text) uint64_t name;
struct tls_counters {
#include "server/tls/tls_counters.def"
};
#undef TLS_COUNTER

struct tls_queue {                     /* by ready_next */
    struct tls_conn *first, **last;
};

struct tls_shakes {                    /* tls_wait.c: those that programs have begun, or those of who connects to us */
    uint64_t bytes;                    /* that they may take */
    struct tls_conn *first, **last;    /* who waits until others are done */
};

struct tls_worker {
    struct worker *w;
    struct tls_conn **conns;           /* by index; [0] unused */
    uint32_t n_conns, n_slots, n_doors;
    uint32_t *free_slots, n_free;
    struct tls_queue ready, shaking;   /* the second: those in their handshake, so that nobody who is through it waits for them */
    struct tls_listener *listeners;
    struct tls_app *apps;
    struct tls_conn *connecting;       /* tls_connect() makes the lower session for it */
    struct svm_ring_alloc rings;
    int rings_fd;
    uint64_t rings_level;              /* bytes used since they were trimmed, at most */
    struct svm_region_table regions;
    uint8_t *gather;                   /* TLS_RECORD_MAX bytes */
    uint32_t greeting_len;             /* DTLS: of the datagram in it that a door gives to its engine; 0 = none */
    uint32_t datagrams_left;           /* DTLS: that the engine may take in one call: what it drops costs time, too */
    struct dtls_frags *frags;          /* NULL until a ClientHello comes in pieces */
    uint32_t n_handshakes;
    struct tls_shakes shakes[2];       /* by is_server */
    struct tls_done done;              /* handshakes that threads have brought on */
    uint32_t budget, tx_budget, shake_budget; /* bytes left of this turn: of what is opened; of what is sent; of handshakes */
    struct tls_counters count;
    struct hs_log_limit log_limit;
};

struct tls_object;
struct tls_stack {
    const struct tls_engine *engine;
    void *engine_object;               /* what it was loaded from; NULL: built in */
    void *instance;
    struct tls_config cfg;
    struct tls_pool *pool;             /* NULL: handshakes are the worker's own */
    pthread_mutex_t lock;              /* objects; taken by workers at listen, connect, and at an accept after a change */
    struct tls_object *objects;
    uint32_t next_id;
    atomic_uint generation;            /* changes with the objects */
};

static inline struct tls_conn *tls_of(struct transport_conn *c) { return hs_container_of(c, struct tls_conn, base); }
static inline struct tls_worker *tls_worker_of(struct worker *w) { return worker_transport_state(w, SVM_PROTO_TLS); }

/* tls_store.c. profile counted for the caller; -ENOKEY: a server without a certificate, -ENOENT: no such configuration. */
int tls_store_profile(struct stack *s, uint32_t app_id, uint32_t id, bool is_server, struct tls_profile **out);
struct tls_profile *tls_profile_get(struct tls_profile *p);
void tls_profile_put(struct stack *s, struct tls_profile *p);
uint32_t tls_store_generation(struct stack *s);

/* tls_conn.c */
struct tls_conn *tls_conn_new(struct worker *w);
void tls_queue_init(struct tls_queue *q);
void tls_conn_ready(struct tls_conn *c);
void tls_conn_fail(struct tls_conn *c, int error, const char *why);
void tls_conn_finish_lower(struct tls_conn *c);        /* all is said: FIN, then wait a little for the peer's */
void tls_conn_abort_lower(struct tls_conn *c);
void tls_conn_free_if_done(struct tls_conn *c);
void tls_conn_check_key(struct tls_conn *c);           /* of what was sent before */
unsigned tls_turn(struct worker *w);

/* tls_wait.c */
void tls_wait_init(struct tls_worker *tw);
bool tls_wait_has_room(struct tls_worker *tw, bool is_server, uint32_t bytes);
uint32_t tls_wait_bytes(const struct tls_stack *ts, const struct tls_conn *c); /* that its handshake may take */
bool tls_wait_enter(struct tls_conn *c);               /* false: it waits, its turn comes when there is room */
void tls_wait_leave(struct tls_conn *c);               /* its handshake is over, or it waits no longer */

/* tls.c */
void tls_worker_clear(struct worker *w);
void tls_shutdown_wr(struct worker *w, struct transport_conn *b);
void tls_reset(struct worker *w, struct transport_conn *b);
int tls_attr_set(struct worker *w, struct transport_conn *b, uint8_t attr, const void *val, uint32_t len);
int tls_attr_get(struct worker *w, struct transport_conn *b, uint8_t attr, void *val, uint32_t *len);

/* tls_lower.c */
extern const struct app_ops tls_app_ops;
struct tls_app *tls_app_get(struct worker *w, uint32_t ns, uint16_t fib);
int tls_lower_read(void *arg, void *buf, size_t len);  /* struct tls_io */
int tls_lower_write(void *arg, const void *buf, size_t len);
extern const struct tls_io_in_place tls_lower_place;
bool tls_lower_want_room(struct tls_conn *c, uint32_t bytes); /* true: there is room already; else the connection gets its turn when there is */
bool tls_lower_flush(struct tls_conn *c);              /* what a thread has written goes below; true: all of it */
void tls_lower_tell(struct tls_conn *c);               /* events due to the lower session after we took or put bytes */
void tls_lower_widen(struct tls_conn *c);              /* the window that the peer has: after a step of the handshake, and when it is done */
bool tls_lower_arm(struct tls_conn *c);                /* true: something came meanwhile */
bool tls_lower_arm_beyond(struct tls_conn *c, uint32_t seen); /* the same, where so many bytes are left: more came, or the end */
void tls_lower_idle(struct tls_conn *c);               /* gives memory back if nothing has happened since it was called last */

/* tls_io.c */
void tls_io_receive(struct tls_conn *c);
enum transport_tx_verdict tls_tx(struct worker *w, struct transport_conn *b, unsigned budget);
void tls_rx_space(struct worker *w, struct transport_conn *b);

/* tls_listen.c */
int tls_listen(struct worker *w, struct listener *l);
void tls_unlisten(struct worker *w, struct listener *l);
struct tls_listener *tls_listener_find(struct worker *w, uint32_t key);
int tls_listener_profile(struct worker *w, struct tls_listener *tl, struct tls_profile **out);  /* counted */
struct tls_conn *tls_listener_door(struct worker *w, const struct listener *l); /* NULL: none */
void tls_listener_join(struct tls_listener *tl, struct tls_conn *c);
void tls_listener_leave(struct tls_conn *c);

/* tls_show.c */
void tls_show(struct worker *w, const struct transport_conn *b, struct json_t *obj);
void tls_show_stats(struct worker *w, struct json_t *obj);

#endif
