/* app_internal.h - what the files of app/ share: the server, a client worker, its end on each worker, pairs
 *
 * A client worker (struct app_client) lives on two sides:
 *   control thread  socket, descriptors, segments, place in the list
 *   each worker     struct app_port_client: queues, notices, and the app_worker that the session layer knows
 * It is made by the control thread, published to each worker by worker_call(), and freed by the control thread when every worker
 * has said that none of its sessions is left (app_client_worker_done).
 *
 *   NEW (connected, no HELLO yet) -- HELLO --> ATTACHED
 *   ATTACHED -- hang-up, DETACH or violation --> LEAVING -- last session gone on all workers --> freed
 *   FORKED (a child that has not attached yet, only holds) -- HELLO with its token --> ATTACHED
 *   FORKED -- lifeline hangs up --> LEAVING
 *
 * Owner:  struct app_server.
 * Thread: named at each field group.
 * Memory: process-private, but what the svm_ types point to. */
#ifndef HOSTSTACK_SERVER_APP_INTERNAL_H
#define HOSTSTACK_SERVER_APP_INTERNAL_H

#include <pthread.h>
#include "common/log.h"
#include "server/app/app_port.h"
#include "server/app/app_server.h"
#include "server/session/session.h"
#include "svm/svm_msgq.h"
#include "svm/svm_ring_alloc.h"
#include "svm/svm_segment.h"
#include "svm/svm_tcp_key.h"

enum app_limits {
    APP_BURST = 32,             /* messages taken from one queue in a turn */
    APP_PENDING_STOP = 4096,    /* notices waiting for room from which on the client's requests are left in its queue */
    APP_OUT_MAX = 4096,         /* attach messages waiting for room in a client's socket */
    APP_BANK_SLOTS = 65536,     /* address space, as all sizes below: memory only when used */
    APP_SLOT_CHUNK = 64,        /* slots whose memory is reserved at a time */
    APP_SLOTS_A_MB = 1024,      /* of the ring area of a client's banks: less for one that has little room */
    APP_PAIR_BUCKETS = 256, APP_PAIR_SLOTS = 65536,
    APP_PAIR_ARENA_MB = 256,    /* a side */
    APP_PAIR_FIRST_MB = 128,    /* the same of the first segment of two clients; the next ones are for thousands of connections */
    APP_PAIR_SLOTS_A_MB = 32,   /* of those that are smaller: 4 KB for each in what is kept for small rings (vcl_arena.c) */
    APP_UNMAPPED_US = 10000000, /* after a client could not map a segment, until it is given another one */
    APP_PAIR_QUEUE_LOG2 = 12,
    APP_NAPS = 3,               /* after cut-through connections come or go */
    APP_LATE_MAX = 64,          /* notices of their end from which on a sleeping client is woken all the same */
    APP_QUIET_US = 1000000,     /* a program that does not sleep and has said nothing for so long does something else */
    APP_RING_LATER_US = 50,     /* how long a program waits to be woken while its requests are worked on */
    APP_SPARES = 64,            /* slots, and rings of each of ... */
    APP_SPARE_ORDERS = 6,       /* ... the smallest sizes, that stay with the worker while its program has others */
    APP_SPARE_BYTES = 32 << 10, /* no more of one size */
    APP_SETTLING_MAX = 256,     /* answers of one client that wait for the other workers; more than a program has threads that ask */
};

/* What an epoll event is about. */
enum app_src_kind { APP_SRC_LISTEN, APP_SRC_EVENT, APP_SRC_SOCK, APP_SRC_LIFELINE, APP_SRC_PIDFD };
struct app_src {
    enum app_src_kind kind;
    struct app_client *client;
};

enum app_client_state { APP_CLIENT_NEW, APP_CLIENT_FORKED, APP_CLIENT_ATTACHED, APP_CLIENT_LEAVING };

/* A request of a worker to the control thread; embedded in what it is about. */
enum app_event_type { APP_EVENT_DONE, APP_EVENT_FAILED, APP_EVENT_DETACH, APP_EVENT_BANK, APP_EVENT_PAIR, APP_EVENT_PAIR_GONE, APP_EVENT_HELD,
                      APP_EVENT_IDENTIFIED, APP_EVENT_REST };
struct app_event {
    struct app_event *next;
    enum app_event_type type;
};

/* Given back by one session, for the next: no lock is taken, and they are in this core's cache. */
struct app_spares {
    uint8_t n_slots, n_rings[APP_SPARE_ORDERS];
    struct svm_msg_slot slot[APP_SPARES];
    struct app_spare_ring { uint32_t offset64; uint16_t region; } ring[APP_SPARE_ORDERS][APP_SPARES];
};

struct app_port_client {        /* worker's */
    struct app_worker aw;       /* first: what the session layer passes back */
    struct app_client *client;
    struct worker *w;
    struct app_port_client *next, *prev;   /* on the port's list */
    struct app_port_client *dirty_next;    /* on the port's list of those to flush */
    struct svm_msgq_cons in;
    struct svm_msgq_prod out;
    struct svm_msg *pending;    /* ring of notices that found no room */
    uint32_t pending_head, n_pending, pending_size;
    uint32_t last_rung;
    uint64_t heard_us;          /* when it last said something, or was woken; 0 = before it forked, or never */
    uint32_t n_late;            /* notices posted that it need not be woken for; it has not been since */
    bool must_ring;             /* others were */
    uint64_t ring_due_us;       /* it waits for that, until then at most; 0 = it does not */
    int bell_rd;                /* read end of its doorbell pipe to this worker; -1 = none */
    bool has_queues, on_list, is_dirty, is_leaving, is_failed, done_told;
    const char *fail_text;
    uint64_t calls_mark;        /* worker_sure_mark(): its requests wait until what its last ones have to tell other workers is on its way */
    uint32_t n_settling;        /* answers that wait for the other workers */
    uint32_t n_offered, offer_count; /* words of P in use; offers ever made */
    uint64_t offered[SVM_OFFERS / 64]; /* which, of this worker's share */
    struct session_attrs *early; /* what it has set for the session that it will ask for as early_ctx; NULL = nothing ever */
    uint32_t early_ctx;
    struct app_event done_event, fail_event;
    uint64_t no_pairs_until_us; /* it could not map a PAIR segment: its connections go through the server */
    uint64_t ring_bytes;        /* of its sessions; atomic: read by the control thread */
    struct app_spares spares;
};

struct app_bank {
    struct svm_segment s, c;    /* server's mappings */
    uint64_t slots_off;
    uint32_t seg_id;
    uint32_t n_slots;
    uint64_t s_ring_off, s_ring_size;
    bool is_mapped;             /* the client has said that it is: until then it is in use for what the client writes alone */
    /* Index + 1 in slot_next, 0 = none; by server worker: that a slot is free and that it is used again are told through the same
     * queue, so that the program hears it in this order. */
    uint32_t free_head[SVM_MAX_SERVER_WORKERS];
    uint32_t high;              /* slots below it were given out before */
    uint32_t *slot_next;
};

struct app_out {                /* an attach message on its way */
    struct app_out *next;
    size_t len;
    int n_fds;
    int fds[SVM_ATT_MAX_FDS];
    uint8_t bytes[];
};

struct app_client {
    struct app_server *as;
    struct app_client *next, *prev;
    uint32_t client_id, app_id;
    uint64_t app_cookie;
    pid_t pid;
    uid_t uid;
    char name[SVM_APP_NAME_MAX];
    char peer[32];              /* "pid 123 uid 0", for the log */
    uint32_t ns;
    uint32_t scope;
    uint32_t rx_fifo_size, tx_fifo_size;
    uint32_t room_mb;           /* ring area that it is content with, where that is less than the server's default; at least APP_PAIR_FIRST_MB: all */

    /* control thread */
    enum app_client_state state;
    int sock;                   /* -1 = hung up */
    int lifeline;               /* of a fork child; -1 = none */
    int pidfd;                  /* -1 = none */
    uint64_t fork_token;
    uint32_t parent_id;         /* of a fork child: who waits for the answer */
    unsigned n_unheld;          /* atomic: workers that have not noted its holds yet */
    struct app_event held_event;
    uint64_t export_cookie;     /* a pledge (app_export.c): SO_COOKIE of the descriptor; 0 = none */
    struct svm_handle export_handle;
    int export_pid;             /* of the process that is its lifeline; -1: a socket pair */
    uint32_t export_state_len;
    uint8_t export_state[SVM_ATT_STATE_MAX];
    int bell_wr;                /* its doorbell: the server's own write end */
    struct svm_segment p;
    struct app_out *out_head, **out_tail;
    uint32_t n_out;
    struct app_tls_put *tls_put; /* a certificate and key on their way in; NULL = none */
    struct app_src sock_src, lifeline_src, pidfd_src;
    uint32_t n_workers_done;    /* workers on which nothing of it is left */
    struct app_event bank_event;
    bool bank_requested;        /* atomic: a worker has asked for another bank */

    /* under `lock`: any worker (only contended with several workers) and the control thread */
    pthread_spinlock_t lock;
    struct app_bank bank[SVM_MAX_BANKS];
    uint32_t n_banks;
    struct svm_ring_alloc rings;
    uint32_t n_slots_used;
    struct svm_region_table rx_regions, tx_regions; /* S and C of the banks; entries are complete before n counts them */

    struct app_port_client per[];  /* by worker index */
};

/* A PAIR segment: of two client workers on one server worker. */
struct app_pair_wait {
    struct app_pair_wait *next;
    void (*done)(struct worker *w, void *arg, struct app_pair *pair, int slot);
    void *arg;
};
struct app_pair {
    struct app_pair *next, *prev;          /* on the port's list (worker) */
    struct app_pair *hash_next;            /* same bucket of the port */
    struct worker *w;
    struct app_server *as;
    struct app_client *side[2];            /* worker: NULL when that client has gone */
    uint32_t client_id[2];
    uint32_t seg_id;
    struct svm_segment seg;                /* made by the control thread before `is_ready` */
    uint64_t slots_off;
    uint32_t n_slots, arena_mb;
    int error;                             /* making it failed */
    bool is_ready, is_requested;           /* worker */
    bool unmapped[2];                      /* worker: that side cannot map it, so that no further connection comes to it */
    struct app_pair_wait *waits;           /* worker */
    uint32_t n_waits;
    uint32_t free_head, high, n_used;
    uint32_t *slot_next;
    struct app_event event;
};

struct app_port {                          /* w->app */
    struct worker *w;
    struct app_server *as;
    int epfd;                              /* doorbell pipes */
    struct app_port_client *clients, *dirty;
    struct app_pair *pairs, *pair_hash[APP_PAIR_BUCKETS];
    unsigned n_naps;                       /* sleeps to come that shall be short */
    bool has_late;                         /* some client has n_late */
};

struct app_call {                          /* a worker_call() that must not get lost: retried by the control thread */
    struct app_call *next;
    struct worker *w;
    void (*fn)(struct worker *w, void *arg);
    void *arg;
};

struct app_server {
    struct stack *stack;
    struct app_server_options opt;
    struct app_namespace_options *ns;      /* copy; index i is namespace i + 1 */
    char *socket_path;
    int listen_fd, epfd, event_fd;
    struct app_client *clients;
    uint32_t n_clients;
    struct app_src listen_src, event_src;
    uint32_t next_client_id, next_app_id, next_seg_id; /* next_seg_id: atomic */
    uint64_t clients_ever, violations;
    uint32_t n_pairs;
    struct svm_segment srv;                /* svm_server_page */
    pthread_mutex_t event_lock;
    struct app_event *events, **events_tail;
    struct app_call *calls, **calls_tail;
    struct hs_log_limit log_limit;
    uint64_t now_us;
};

/* app_server.c: control thread */
/* As worker_call(), but tried again until the worker's ring has room. -ENOMEM. */
int app_server_call(struct app_server *as, struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg);
int app_server_watch(struct app_server *as, int fd, struct app_src *src, uint32_t events);
uint32_t app_server_seg_id(struct app_server *as);

/* app_event.c: worker -> control */
void app_event_post(struct app_server *as, struct app_event *e);
struct app_event *app_event_take_all(struct app_server *as);

/* app_client.c: control thread */
struct app_client *app_client_new(struct app_server *as, int sock);
struct app_client *app_client_by_id(struct app_server *as, uint32_t client_id);  /* not LEAVING; NULL */
int app_client_attach(struct app_client *c, const struct svm_att_hello *h);      /* segments, WELCOME, published to the workers */
int app_client_add_bank(struct app_client *c);
void app_client_bank_mapped(struct app_client *c, uint32_t seg_id);
void app_client_leave(struct app_client *c, const char *why); /* hang up; workers let go, the last one done frees it */
void app_client_worker_done(struct app_client *c);
void app_client_free(struct app_client *c);
void app_client_send(struct app_client *c, const void *msg, size_t len, int *fds, int n_fds); /* takes the fds */
void app_client_flush(struct app_client *c);
unsigned app_client_fds(const struct app_client *c);

/* app_attach.c: control thread */
void app_attach_accept(struct app_server *as);
void app_attach_input(struct app_client *c, uint32_t events);

/* app_tcp_key.c: control thread. Answers by itself. */
void app_tcp_key(struct app_client *c, const struct svm_att_tcp_key *m);
void app_tcp_key_client_free(struct app_client *c);
/* app_tls.c: control thread. Answers by themselves. */
void app_tls_pair(struct app_client *c, const struct svm_att_tls *m);
void app_tls_config(struct app_client *c, const struct svm_att_tls_config *m);
void app_tls_del(struct app_client *c, uint64_t id);
void app_tls_client_free(struct app_client *c);

/* app_fork.c: control thread */
/* 0: the answer follows when all workers know of it (app_fork_held()); takes the lifeline. */
int app_fork_note(struct app_client *parent, int lifeline);
void app_fork_held(struct app_client *child);
bool app_fork_is_lifeline(const struct app_client *c, int fd, bool may_be_pidfd);
int app_fork_pid_of(int fd); /* -1: no pidfd */
struct app_client *app_fork_child(struct app_client *parent, int lifeline); /* FORKED, not known to the workers; NULL: lifeline is closed */
void app_fork_held_on(struct app_client *child);            /* worker: one of them has noted its holds */

/* app_export.c: control thread */
int app_export(struct app_client *c, const struct svm_att_export *m, int *fds, int n_fds); /* 0: app_fork_held() answers */
int app_identify(struct app_client *c, uint32_t ctx, int fd);                              /* 0: app_identified() answers */
void app_identified(struct app_event *e);
int app_rest(struct app_client *c, const struct svm_att_export *m, int *fd);                /* fd NULL: asked for. 0: app_rest_done() answers */
void app_rest_done(struct app_event *e);
void app_fork_lifeline(struct app_client *c, uint32_t events);       /* it hangs up, or says HELLO */

/* app_memory.c: worker */
int app_memory_fifos_alloc(struct worker *w, struct app_worker *a, struct app_fifos *out);
void app_memory_fifos_at(struct worker *w, struct app_worker *a, const struct svm_msg_slot *slot, struct app_fifos *out);
void app_memory_fifos_free(struct worker *w, struct app_worker *a, const struct svm_msg_slot *slot);
int app_memory_bank_init(struct app_bank *b, uint32_t n_slots);

/* app_port.c, app_notify.c, app_dispatch.c: worker */
extern const struct app_ops app_client_ops;
void app_port_add(struct worker *w, void *port_client);
void app_port_leave(struct worker *w, void *port_client);
void app_port_drain(struct app_port_client *pc);      /* takes all that it has sent until now */
void app_port_mark(struct app_port_client *pc);       /* look at it at the end of the turn */
void app_notify_post(struct app_port_client *pc, const struct svm_msg *m);
void app_notify_flush(struct app_port_client *pc);
void app_notify_ring_late(struct app_port_client *pc); /* wakes it for what it was not woken for when it was told */
void app_notify_accepted(struct app_port_client *pc, struct session *s);
void app_notify_offer_over(struct app_port_client *pc, uint32_t id); /* it is named, or withdrawn; of no offer: nothing */
void app_dispatch(struct app_port_client *pc, const struct svm_msg *m);
void app_port_fail(struct app_port_client *pc, const char *what);   /* contract broken */

/* app_pair.c */
void app_pair_make(struct app_server *as, struct app_pair *p);       /* control thread */
void app_pair_free(struct app_server *as, struct app_pair *p);       /* control thread */
void app_pair_free_all(struct worker *w);       /* at the end: no client is left that knows them */
void app_pair_client_gone(struct worker *w, struct app_client *c);   /* worker */

#endif
