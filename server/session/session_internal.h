/* session_internal.h - what the files of session/ and local/ share
 * Owner:  struct session_worker: the worker. struct session_stack: the stack.
 * Thread: session_worker: the worker. session_stack: any worker, under its lock, for bind and close only.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_SESSION_INTERNAL_H
#define HOSTSTACK_SERVER_SESSION_INTERNAL_H

#include <pthread.h>
#include "server/session/session.h"
#include "server/session/session_rules.h"
#include "server/session/session_run.h"
#include "server/worker/worker.h"
#include "server/worker/worker_sure.h"

enum session_limits {
    SESSION_CHUNK = 256,             /* sessions an arena chunk */
    SESSION_MAX_CHUNKS = 1 << 14,    /* 4 Mi sessions a worker */
    SESSION_TX_BUDGET = 128 * 1024,  /* bytes a session may send in one turn */
    SESSION_TX_TURN = 256,           /* sessions served in one turn */
    SESSION_PORT_BUCKETS = 1024,     /* listeners and reserved endpoints, by port */
    SESSION_HASHED = 64,
    SESSION_KEY_WORDS = 5,           /* addresses, ports and table of a connection */
    SESSION_EPHEMERAL_LO = 32768, SESSION_EPHEMERAL_HI = 60999, /* as Linux */
    SESSION_MAX_ATTRS = 63,
    RX_STREAM_LOG2 = 16,             /* what every receive FIFO may have: 64 KiB */
    SESSION_SPARE_FIFOS = 256,       /* kept for the next sessions: where they come and go fast, as many as come and go at once */
};

struct session_attrs {               /* set before there was a connection; a listener's pass on to what it accepts */
    int32_t value[SESSION_MAX_ATTRS];
    uint64_t is_set;                 /* bit per SVM_ATTR_ */
    char congestion[16];
    uint8_t n_fastopen_keys;         /* of TCP_FASTOPEN_KEY */
    uint8_t fastopen_key[2 * SVM_FASTOPEN_KEY];
};

/* Who accepts from a listener on this worker. */
struct acceptor {
    struct acceptor *next;
    struct app_worker *a;
    uint32_t ctx;                    /* its number of the listener */
    enum session_arm arm;
    uint32_t n_offered;              /* accepted sessions it has not named yet */
    uint64_t offered_us;             /* when the first of them came, or it named one */
};

struct listener {
    struct listener *next;           /* of its port bucket */
    struct session *session;         /* its own; NULL: a copy on another worker than its session's (session_replica.c) */
    struct listener *replica_next;   /* copies of this worker */
    struct replica_ends *ends;       /* its own, with several workers: the calls that end the copies */
    struct worker *w;
    uint32_t ctx;
    struct ip_endpoint lcl;
    struct svm_handle handle;
    uint8_t proto, flags;
    uint8_t dev;                     /* see struct session */
    uint16_t fib;
    uint32_t ns;
    uint32_t backlog, n_half_open, n_waiting;  /* waiting: established or half joined, nobody has taken them */
    struct acceptor *acceptors, *next_acceptor;
    const struct acceptor *passed_over;        /* is not offered what it has been and did not take */
    struct timer_node tend_timer;              /* looks after what has been offered and is not taken */
    bool is_full;                              /* some of the queue are there because who accepts can be offered no more */
    struct session *queue, **queue_tail;       /* nobody accepts yet */
    struct session *wait, **wait_tail;         /* cut-through connects that find the backlog full, oldest first */
    struct timer_node wait_timer;              /* when the oldest gives up */
    struct relay_conn *relay_first, *relay_last; /* connects through the server that do (local_relay.c) */
    struct timer_node queue_timer;             /* when cut-through connects in the queue go on without somebody who accepts */
    struct session_attrs attrs;
    uint32_t app_id;                 /* of its program */
    uint32_t layer_cfg;              /* see struct session */
    bool is_dead, is_waking;
    bool is_internal;                /* its program is the server's own: see struct app_ops */
    bool is_free;                    /* its address may be on no interface: then it serves nobody */
};

/* A local endpoint in use, of all workers: who may bind the same port. */
struct session_endpoint {
    struct session_endpoint *next;
    struct ip_endpoint lcl;
    uint8_t proto, flags;
    uint8_t dev;
    uint16_t fib;
    uint32_t ns;
    bool is_listening;
    bool is_free;                    /* see struct listener */
};
struct session_stack {
    pthread_mutex_t lock;
    struct session_endpoint *bucket[SESSION_PORT_BUCKETS];
    struct session_rule *rules;      /* made before workers run */
    unsigned n_rules;
};

struct session_worker {
    struct session **chunk;          /* arena: addresses are stable */
    uint32_t n_chunks, n_used;
    struct session *free;            /* through queue_next */
    struct transport_conn **table;   /* lookup, power of two buckets */
    uint32_t table_mask, n_conns;
    struct session_hashed {
        uint64_t key[SESSION_KEY_WORDS]; /* all zero: nobody's */
        uint32_t hash;
    } hashed[SESSION_HASHED];        /* which were asked for last */
    struct listener *listener[SESSION_PORT_BUCKETS];
    uint32_t n_listeners;
    struct listener *replicas;
    unsigned (*turns[SVM_PROTO_MAX])(struct worker *w); /* of the transports that have work of their own */
    unsigned n_turns;
    bool is_tx_run;                  /* transport_ops.tx is called by session_tx_run() */
    bool has_attached;               /* it has attached bytes of its session's FIFO to packets */
    struct session *evt_head, **evt_tail;
    struct session *tx_head, **tx_tail;
    uint32_t n_tx;                   /* on that list */
    struct session_fifos *spare[SESSION_SPARE_FIFOS];
    unsigned n_spare;
    struct session_limbo *limbo;     /* FIFO memory of sessions that nobody has taken yet; made at first need */
    uint16_t port_table[1024];       /* RFC 6056 s3.3.4: increments of algorithm 4 */
    uint64_t source_key[SESSION_KEY_WORDS], source_hash; /* and the hash of the destination that was asked for last; all zero: none */
    struct {                         /* session_settle(): home's, but for n_left */
        struct worker *w;
        struct session_settled *now, *later, **later_tail; /* later: asked for while the others are */
        unsigned n_left;             /* atomic: others that have not come to it */
        struct session_settle_call {
            struct worker_sure sure; /* first */
            struct session_worker *home;
        } call[WORKER_MAX];
        struct worker_sure over;     /* of the last of them to home */
    } settle;
};

/* session_pool.c */
struct session *session_alloc(struct worker *w, uint8_t proto);
void session_free(struct worker *w, struct session *s);           /* no holder, no connection, no FIFOs */
int session_hold_add(struct session *s, struct app_worker *a);
bool session_hold_remove(struct session *s, struct app_worker *a); /* false: a holds it not */
void session_hold_over(struct worker *w, struct session *s, struct session_hold *h, bool is_told); /* this one of a's, which is closed */
void session_rest_passes(struct session *s, struct app_worker *to);    /* SVM_ATT_REST: counted for another holder, or nobody */
unsigned session_open_holds(const struct session *s);              /* those that have not let go */
uint32_t session_count(const struct worker *w);

/* session_share.c: what streams from near peers may hold */
void session_share_enter(struct session *s);                      /* counted from now on, if its peer is near and a program has its FIFOs */
void session_share_leave(struct session *s);                      /* before its FIFOs change hands or go */

/* session_memory.c: FIFOs */
int session_fifos_make(struct worker *w, struct session *s, struct app_worker *a); /* a NULL: server-private */
void session_fifos_drop(struct worker *w, struct session *s);
/* Into the memory of `to` (NULL: the server's own), with all bytes received and written. The former memory is free afterwards, but
 * for keep_old: then its slot is, until session_old_free(). */
int session_fifos_move(struct worker *w, struct session *s, struct app_worker *to, bool keep_old);
int session_tx_keep(struct session *s, struct svm_fifo_cons *old); /* all that was written there and not acknowledged comes before what is in `tx` */
bool session_rest_is_full(struct session *s); /* what is kept for former users, with what the present one has written, is too much */
/* a NULL: of all programs; slot NULL: all of them. */
void session_old_free(struct worker *w, struct session *s, const struct app_worker *a, const struct svm_msg_slot *slot);
/* The halves of an idle session as they would be, for a look; NULL: it has no FIFOs. */
struct session_fifos *session_fifos_look(struct worker *w, struct session *s, struct session_fifos *room);
void session_limbo_destroy(struct session_limbo *l);
void session_fifos_put(struct worker *w, struct session *s);       /* the halves themselves, when the session is freed */

/* session_endpoint.c */
int session_endpoint_reserve(struct worker *w, const struct session_bind_args *args, uint32_t ns, uint16_t fib, uint8_t dev,
                             struct session_endpoint **out);      /* chooses the port when it is 0 */
int session_endpoint_listen(struct worker *w, struct session_endpoint *e);  /* -EADDRINUSE: somebody listens there */
void session_endpoint_dev(struct worker *w, struct session_endpoint *e, uint8_t dev);
bool session_endpoint_is_taken(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, uint16_t fib);

/* session_listener.c */
int listener_create(struct worker *w, struct session *s, uint32_t backlog);
void listener_destroy(struct worker *w, struct listener *l);
struct listener *listener_of_session(struct worker *w, struct svm_handle h);
struct app_worker *listener_pick(struct listener *l);             /* NULL: nobody accepts */
bool listener_would_pick(struct listener *l, const struct app_worker *a); /* a accepts, and no more weakly than all others */
void listener_unarm(struct worker *w, struct listener *l, struct app_worker *a, bool died);
void listener_enqueue(struct listener *l, struct session *s);
void listener_unqueue(struct listener *l, struct session *s);     /* and still counted */
void listener_taken(struct worker *w, struct session *s);         /* s is offered no more: accepted, or gone */
void listener_leave(struct listener *l);                           /* one fewer in the backlog */
void listener_offered(struct listener *l, const struct app_worker *a, int delta);
void listener_offer(struct worker *w, struct listener *l, struct session *s);
/* Cut-through: *out = who listens at rmt for the namespace, after its rules; NULL: nobody on this host. -ECONNREFUSED: they say no. */
int listener_find_local(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint32_t ns,
                        struct listener **out);

struct listener *listener_insert(struct worker *w, const struct listener *like); /* NULL: no memory */
void listener_arm(struct worker *w, struct listener *l, struct app_worker *a, uint32_t ctx, enum session_arm arm);

/* session_replica.c: every worker has a copy of each listener. Home worker only. */
int listener_replicate(struct worker *w, struct session *s);       /* 0, or -EINPROGRESS: ops->listening() tells */
void listener_replicate_arm(struct worker *w, const struct listener *l, const struct app_worker *a, uint32_t ctx, enum session_arm arm);
void listener_replicate_end(struct worker *w, struct listener *l);
void listener_replicas_end(struct worker *w);                      /* copies that are left; no worker runs any more */
void session_settle_init(struct worker *w);
void session_settle_fini(struct worker *w);

/* session_claim.c */
void session_leave(struct worker *w, struct session *s, struct app_worker *a); /* a, one of several holders, uses it no more */
void session_set_user(struct worker *w, struct session *s, struct app_worker *a);
/* It is told again when the claim has come to something: until then it need not wait. */
void session_claim_later(struct worker *w, struct session *s, struct session_hold *h);
void session_claims_retry(struct worker *w, struct session *s); /* those who had to wait: one of them, or they wait on */
/* What claim_flags() says has changed since its user claimed it, and what says so may be in the FIFOs of a former one. */
void session_claim_news(struct worker *w, struct session *s);
void session_claim_done(struct worker *w, struct session *s, uint8_t flags, int error); /* tells its user */

/* session_device.c: SO_BINDTODEVICE */
int session_device_set(struct worker *w, struct session *s, const void *val, uint32_t len);
int session_device_get(struct worker *w, const struct session *s, void *val, uint32_t *len);
int session_device_of(struct worker *w, uint8_t proto, uint16_t fib, int32_t index, uint8_t *dev); /* -ENODEV */
/* By which a program of this host is reached at this address; 0: not at all. */
uint8_t session_device_to(struct worker *w, uint16_t fib, const struct ip_addr *ip);

/* session_attr.c */
void session_attrs_apply(struct worker *w, struct session *s);    /* what was set before the connection was there */
void session_attrs_begin(struct session *s);                      /* of that what FIFOs are to be like, before ops->connect() */

/* session_option.c: options larger than a message, in parts (SVM_ATTR_SCTP) */
int session_option_set_part(struct worker *w, struct session *s, const void *val, uint32_t len);
int session_option_get_part(struct worker *w, struct session *s, void *val, uint32_t *len);  /* val: the request, then the answer */

/* session_close.c */
void session_unlist(struct worker *w, struct session *s);         /* from event and transmit lists */
void session_finish(struct worker *w, struct session *s);         /* FIFOs, endpoint, holder told, freed */
void session_app_fail(struct worker *w, struct session *s, const char *what); /* its program broke the FIFO contract */

#endif
