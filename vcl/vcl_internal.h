/* vcl_internal.h - what the files of vcl/ share with each other and with nobody else
 *
 *   vcl_process (one) -> vcl_worker (the process's, one more per registered thread) -> vcl_socket, vcl_pair, vcl_bank
 *
 * Locks, taken in this order:
 *   vcl_worker.lock   queues of the worker, socket table, socket states, accept queues, subscriptions of its sockets
 *   vcl_set.lock      ready list and subscriptions of one set
 *   vcl_socket.tx_lock, then .rx_lock   the two FIFO halves with what belongs to each; both for what says "socket lock"
 *   vcl_arena.lock        leaf
 * The attach socket is used under vcl_worker.lock.
 * The data path of a stream takes the lock of its direction alone, so that a thread that writes and one that reads do not meet; only when an
 * event is due does it take vcl_worker.lock, after letting go. Who reads never takes tx_lock behind rx_lock; who writes may take rx_lock, too.
 * Memory: segments are SHARED; the private halves in svm_fifo_prod/cons hold the checked copies.
 */
#ifndef HOSTSTACK_VCL_VCL_INTERNAL_H
#define HOSTSTACK_VCL_VCL_INTERNAL_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include "svm/svm_fifo.h"
#include "svm/svm_msgq.h"
#include "svm/svm_tcp_key.h"
#include "svm/svm_urgent.h"
#include "vcl/vcl.h"
#include "vcl/vcl_errqueue.h"
#include "vcl/vcl_lock.h"

#define VCL_HIDDEN __attribute__((visibility("hidden")))

enum vcl_limits {
    VCL_NO_CTX = 0xffffffff,
    VCL_RECORD_MAX = 65536,          /* data bytes of one datagram */
    VCL_MESSAGE_MAX = 16384,         /* of one DTLS record */
    VCL_WHO_CACHE = 64,
    VCL_DEVICE_NAME = 16,            /* IFNAMSIZ */
    VCL_MET = 8,
    VCL_MET_NS = 1000000000,
    VCL_MAX_SET_WORKERS = 16,
    VCL_DEFAULT_FIFO = 4 << 20,
    VCL_TX_FLOOR = 64 << 10,         /* room that a writer has in any case, however little the other side reads */
    VCL_LOCAL_FIFO_MAX = SVM_PAIR_FIFO_MAX,     /* cut-through; both sides check by it */
    VCL_LATE_MAX = 32,               /* messages for which the server is not woken, at a time */
    VCL_ATTR_ANSWER_MAX = 40,
    VCL_RETRY_NS = 1000000,          /* look again at a full queue after this */
    VCL_REATTACH_NS = 200000000,     /* look for a restarted server after this */
};
#define VCL_ANSWER_NS 10000000000ll      /* the server answers within this, or not at all */

/* ---- memory of this client: a buddy allocator over the ring area of a segment ---- */
struct vcl_arena {
    pthread_mutex_t lock;
    uint64_t base_off, size;         /* of the area in its segment; size in whole minimum blocks */
    uint32_t n_blocks;
    uint8_t max_order;
    uint8_t *state;                  /* per minimum block: 0 = inside of another, else VCL_BLK_FREE/USED | order */
    uint32_t *next, *prev;           /* free lists, by block number + 1 */
    uint32_t free_head[SVM_RING_MAX_LOG2 - SVM_RING_MIN_LOG2 + 1];
    uint32_t n_used, n_small;        /* n_small: of n_blocks, for small rings alone */
};
int vcl_arena_init(struct vcl_arena *a, uint64_t base_off, uint64_t size);
void vcl_arena_fini(struct vcl_arena *a);
void vcl_arena_keep_small(struct vcl_arena *a); /* a part of it is for rings of up to 4 KB alone */
int vcl_arena_alloc(struct vcl_arena *a, uint8_t log2, uint64_t *offset); /* 0, -ENOMEM */
void vcl_arena_free(struct vcl_arena *a, uint8_t log2, uint64_t offset);

/* Write end of somebody's doorbell pipe. */
struct vcl_bell {
    int fd;
    int reader;                      /* of the same pipe, never read: without it the bell of a dead peer would raise SIGPIPE; -1 = none */
    bool plain;                      /* in a sandbox: no other call than write(), and SIGPIPE if its reader has died */
};
int vcl_bell_take(struct vcl_bell *b, int fd);  /* a copy of fd; 0 or -errno */
void vcl_bell_ring(const struct vcl_bell *b);
void vcl_bell_drop(struct vcl_bell *b);

struct vcl_bank {
    uint32_t seg_id;
    uint8_t *s_base, *c_base;
    uint64_t s_size, c_size;
    uint64_t s_slots_off, c_slots_off;
    uint32_t n_slots;
    struct vcl_arena arena;
};

/* The banks of one attachment. Not mapped in the child of a fork. */
struct vcl_life {
    struct svm_region_table srv_regions, cli_regions;
    struct vcl_bank *banks[SVM_MAX_BANKS];
    uint32_t n_banks;
};

/* What two cut-through client workers share. */
struct vcl_pair {
    uint32_t index;                  /* in the worker's table */
    uint8_t *base;
    uint64_t size, slots_off;
    uint32_t seg_id, n_slots, side, peer_client_id;
    const struct svm_presence_page *peer_page;
    struct vcl_bell peer_bell;
    uint32_t last_rung, full_at;     /* full_at: the flush that found its queue full */
    struct svm_msgq_prod out;
    struct svm_msgq_cons in;
    struct svm_region_table regions;
    struct vcl_arena arena;
    struct vcl_socket **by_slot;     /* n_slots */
    struct vcl_socket **by_slot_self;/* n_slots: side 1 when this worker is at both ends */
    atomic_bool gone;                /* SVM_ATT_SEGMENT_GONE came: unmap when no socket is left */
    bool failed;                     /* the peer broke the contract, or it could not be mapped (base is NULL) */
    uint8_t *kept;                   /* n_slots; kinds of messages that found its queue full and are pending; NULL = never any */
    uint32_t n_kept;
    uint32_t n_sockets;
};

/* Loopback addresses at which a connect has met a listener of the stack: the next one need not ask first. */
struct vcl_met {
    struct ip_endpoint rmt;
    int64_t until_ns;                /* 0 = unused */
};

struct vcl_pending {                 /* a message that found its queue full */
    int pair;                        /* index in pairs, or -1: server worker `to` */
    uint32_t to;
    struct svm_msg msg;
};

struct vcl_who_entry {
    struct ip_addr ip;
    uint32_t generation;
    uint32_t answer;
    bool used;
};

/* Whether to look for a while before sleeping (vcl_spin.c). Any thread of the worker, without a lock. */
struct vcl_spin {
    atomic_uint said;                /* bytes written since the last wait; a connection made, taken or closed counts as one */
    atomic_int against;              /* > 0: answers were slow to come */
    atomic_llong off_until_ns;
    atomic_flag taken;               /* a thread looks; the others sleep */
    atomic_uint vain;                /* calls of a program that polls, until the next turn for others */
    atomic_llong vain_at_ns;         /* the last one */
    atomic_llong off_ns;             /* how long the last off was */
};

/* A connection that may be accepted (SVM_MSG_ACCEPT), on its listener's queue; until it is taken the server may give it to others. */
struct vcl_offer {
    struct vcl_socket *listener;     /* NULL = free */
    struct vcl_offer *prev, *next;
    uint32_t id, server_worker;
    struct svm_msg m;
};

struct vcl_worker {
    pthread_mutex_t lock;
    struct vcl_worker *next;         /* of the process */
    uint32_t index;
    bool taken;                      /* a thread has registered for it; process lock */
    atomic_bool attached;
    atomic_uint epoch;               /* changes at every attach and fork: what belongs to an older one is dead or inherited */
    int att_fd, bell_fd;
    int event_epfd, event_fd;        /* vcl_event_fd(): bell_fd and event_fd in an epoll descriptor; -1 until asked for */
    bool sandboxed;                  /* vcl_fork_claim_all(): poll() may name as many descriptors as can be open, and that is few */
    atomic_bool eager;               /* somebody waits in the kernel without telling: stay announced, arm at once */
    uint64_t fork_token;             /* to attach with, as a fork child */
    int lifeline_fd;
    uint64_t child_token;            /* between fork_prepare and fork_child/parent */
    int child_lifeline;
    uint32_t client_id, app_id, hello_flags;
    uint64_t app_cookie;
    uint32_t rx_fifo_size, tx_fifo_size;
    const struct svm_server_page *srv;
    struct svm_presence_page *page;
    uint32_t n_server_workers;
    struct vcl_bell server_bell[SVM_MAX_SERVER_WORKERS];
    uint32_t server_rung[SVM_MAX_SERVER_WORKERS];
    struct svm_msgq_prod out[SVM_MAX_SERVER_WORKERS];
    struct svm_msgq_cons in[SVM_MAX_SERVER_WORKERS];
    struct vcl_life *life;           /* memory of this attachment */
    bool zero_copy;                  /* pieces of FIFOs were handed out: old memory stays mapped */
    struct vcl_pair **pairs;         /* growable, under the lock */
    uint32_t n_pairs, pairs_size;    /* n_pairs: up to the last one in use; NULL = free */
    uint32_t flushes;                /* of pending messages */
    /* sockets with a number; growable, free numbers chained */
    struct vcl_socket **table;
    uint32_t table_size, table_free;
    uint32_t *table_next;
    struct vcl_pending *pending;
    uint32_t n_pending, pending_size;
    uint32_t server_kept[SVM_MAX_SERVER_WORKERS]; /* of them */
    uint32_t n_sleepers;
    struct vcl_sleeper *sleepers;    /* for vcl_interrupt() */
    int spare_fds[16];               /* eventfds of waiters, kept */
    unsigned n_spare_fds;
    struct vcl_who_entry who[VCL_WHO_CACHE];
    struct vcl_met met[VCL_MET];
    uint64_t last_attach_ns, ask_again_ns;
    int ask_again_error;             /* what is said before ask_again_ns */
    int64_t no_memory_until_ns, claim_at_ns, claim_pause_ns;
    atomic_uint n_wanted;            /* sockets that are elsewhere and waited for */
    atomic_llong lie_said_ns;        /* when a peer's lie was logged last */
    struct vcl_spin spin;
    atomic_uint poll_turn;           /* polls that sockets alone answered */
    bool lost;                       /* hang-up seen; handled at the end of the drain */
    struct vcl_set *sets;            /* sets that have this worker's doorbell */
    struct vcl_socket *stopping;     /* listeners, see vcl_accept_stop() */
    struct vcl_offer *offers;        /* SVM_OFFERS, by number; NULL = never had any */
    uint32_t n_accepting;            /* threads that sleep until a connection comes */
};

/* ---- process ---- */
struct vcl_tls_table {
    pthread_mutex_t lock;            /* taken after a worker's lock, never without it */
    struct vcl_tls_object *objects;  /* number n is at n - 1 */
    uint32_t n;
};
struct vcl_process {
    pthread_mutex_t lock;
    bool inited;
    int init_error;
    bool down_said;
    int refused_said;                /* the error of the attach that was refused last */
    bool unmapped_said;
    bool no_space;                   /* what the server offered could not be mapped at the last attempt */
    struct vcl_config cfg;
    struct vcl_worker *workers;      /* [0] is the process's own, made first */
    uint32_t n_workers;
    uint32_t app_id;
    uint64_t app_cookie;
    bool has_app;
    atomic_uint n_assocs;            /* SCTP associations ever, for their ids */
    int fd_base;
    atomic_ulong fd_map[16];         /* internal descriptors from fd_base on */
    struct vcl_set *all_sets;
    bool (*is_interrupted)(void);    /* vcl_on_interrupt(); NULL: waits end by signals and time alone */
    struct vcl_tls_table tls;
};
struct vcl_process *vcl_process(void);
struct vcl_worker *vcl_worker_current(void);   /* of this thread, else the process's; NULL = no memory */
int vcl_worker_register_thread(void);          /* a worker of its own for this thread */
int vcl_worker_unregister_thread(void);
uint32_t vcl_worker_index(void);
int vcl_worker_index_set(uint32_t index);
void vcl_log(int level, const char *fmt, ...) HS_PRINTF(2, 3);

int vcl_fd_dup(int fd);                        /* a copy that is ours, fd stays the caller's */

/* ---- sockets ---- */
enum vcl_state {
    VCL_NEW, VCL_BOUND, VCL_LISTENING, VCL_CONNECTING, VCL_CONNECTED, VCL_DEAD /* reset or failed; error told once */,
    VCL_ZOMBIE /* closed by the program, waits for SVM_MSG_CLOSED */,
};
enum vcl_op { VCL_OP_NONE, VCL_OP_BIND, VCL_OP_LISTEN, VCL_OP_CONNECT, VCL_OP_ATTR, VCL_OP_CLOSE, VCL_OP_CLAIM };

struct vcl_opts {                    /* as set by the program; what the server must know is sent when there is a session */
    int32_t rcvbuf, sndbuf, rcvlowat;
    int32_t keepidle, keepintvl, keepcnt;
    int64_t rcv_timeout_ns, snd_timeout_ns;  /* 0 = none */
    struct linger linger;
    bool reuseaddr, reuseport, v6only, nodelay, keepalive, cork, quickack, oobinline;
    uint64_t changed;                /* bit SVM_ATTR_*: to be sent */
};

/* Those that few connections have otherwise than by default. */
struct vcl_rare_opts {
    int32_t mss, user_timeout_ms, tos, ttl, linger2, priority, defer_accept, fastopen;
    bool fastopen_connect, fastopen_no_cookie;
    uint8_t n_fastopen_keys;
    uint8_t fastopen_key[2 * SVM_FASTOPEN_KEY];
    int32_t gso;                     /* UDP_SEGMENT */
    int32_t tclass, hops, mtu_discover, mcast_ttl, mcast_hops;
    int32_t busy_poll, incoming_cpu, notsent_lowat, thin; /* hints */
    char congestion[16];
    uint64_t max_pacing;             /* bytes a second, UINT64_MAX = no limit */
    int32_t inq, syn_count, min_ttl, min_hops;
    int32_t zerocopy;                /* SO_ZEROCOPY: sends with MSG_ZEROCOPY are told of when done */
    uint32_t stamping;               /* SO_TIMESTAMPING */
    bool stamp, stamp_ns, stamp_new; /* SO_TIMESTAMP and its kin, as the kernel keeps them */
    bool broadcast, pktinfo, pktinfo6, mcast_loop, mcast_loop6, mcast_all, mcast_all6;
    bool recvttl, recvtos, recvhops, recvtclass, recverr, recverr6, gro, rxq_ovfl, no_check, no_check6_tx, no_check6_rx;
    bool recvorig, recvorig6, dontfrag, select_err;
    bool debug, prefer_busy_poll, late_port; /* hints */
    bool freebind, transparent;      /* of both levels */
    bool has_seen_empty;             /* with SO_PEEK_OFF: empty datagrams up to this position of rx have been looked at; rx_lock */
    uint32_t seen_empty;
    int32_t peek_off;                /* SO_PEEK_OFF; rx_lock */
    int32_t device;                  /* index of the interface that it is bound to, 0 = none */
    int32_t unicast_if, unicast_if6; /* IP_UNICAST_IF, IPV6_UNICAST_IF: likewise */
    int32_t peer_if;                 /* of these, what they were when the socket was connected */
    char device_name[VCL_DEVICE_NAME];
};

struct vcl_sctp;

/* Cut-through: unread bytes of a former peer (vcl_rest.c). */
struct vcl_rest {
    struct svm_fifo_prod_line line;  /* of the half that shows the bytes to who only looks */
    struct svm_fifo_cons_line cons;
    struct svm_fifo_cons next;       /* the FIFO that comes when it has been read */
    struct svm_region_table regions;
    struct svm_rest *page;           /* SHARED once `size` is not 0: head and bytes may change at any time, len is copied */
    uint32_t len;
    uint32_t id;                     /* the server's number; 0 = private */
    size_t size;                     /* mapped; 0 = from malloc() */
};

struct vcl_ways {                    /* what the server has said of where datagrams go */
    struct { struct ip_addr dst; int32_t mtu; int64_t until_ns; } size; /* vcl_dgram_size.c */
    uint32_t generation, n, next;    /* vcl_dgram_way.c: net_generation; of `to` in use; the next to be replaced */
    struct vcl_way { struct ip_prefix prefix; int32_t device; } to[4];
};

/* Written under the locks, and looked at without one on the short ways, where the look decides only whether to go the long one. Loads of atomic
 * types are not merged into what follows: 2 % of a read's instructions. So they are plain where one byte or word is read at once anyway. */
#ifdef __SANITIZE_THREAD__
typedef atomic_bool vcl_flag;
typedef atomic_uint vcl_word;
#else
typedef bool vcl_flag;
typedef uint32_t vcl_word;
#endif

/* What few sockets need is allocated when they do: programs hold very many of these. */
struct vcl_socket {
    atomic_uint refs;
    uint8_t proto;
    bool is_v6;
    atomic_bool nonblock;
    atomic_uchar state;              /* enum vcl_state; written under worker lock, FIFOs are ready before CONNECTED */
    vcl_flag has_fifos, local;       /* local: cut-through */
    struct vcl_worker *w;
    vcl_word epoch;                  /* of the worker when its session was made */
    bool is_dgram;
    bool is_records;                 /* a connection that carries messages: records as of datagrams, states as of a stream (DTLS) */
    vcl_flag peeks_on;               /* SO_PEEK_OFF is set (vcl_peek.c); written under rx_lock */
    /* Fixed while has_fifos: read under either lock, or the worker's. Of the FIFO behind `rest`, if there is one: ours, and the other side's. */
    const struct svm_fifo_cons_line *rx_line;
    const struct svm_fifo_prod_line *rx_peer;
    struct vcl_lock tx_lock, rx_lock;
    struct svm_fifo_prod tx;
    struct svm_fifo_cons rx;
    vcl_flag shared;                 /* another process may hold it, and take it: no FIN at close */
    bool fork_leftover;              /* was on the parent's accept queue at fork: nobody here knows it */
    vcl_flag unclaimed;              /* another process has its FIFOs, or nobody: see vcl_claim.c */
    bool rd_closed_told;             /* in the FIFO: closed here */
    atomic_bool claim_wanted;        /* somebody waits for it here */
    vcl_flag rest_read, rest_unshare;/* the server is to be told that it has been read; `shared` was set for that alone */
    vcl_flag rd_shut, wr_shut;
    vcl_flag connect_untold;         /* connect() said EINPROGRESS, no call has told of success yet; op_lock */
    bool died_connected;             /* DEAD after it was CONNECTED: later reads see the end, not an error */
    atomic_bool waits_for_data;      /* CONNECTING: the SYN goes out with the first bytes that are written (RFC 7413) */
    atomic_bool peer_gone;
    bool moved_seen;                 /* words that the peer can write have said that the socket is elsewhere: so it is, or the peer lies */
    atomic_bool reset_told;          /* the program has been given the error of a reset */
    uint8_t side;                    /* in a PAIR slot */
    struct {                         /* urgent data of the peer (vcl_urgent.c); rx_lock */
        bool taken;                  /* by MSG_OOB */
        uint64_t seen;               /* the mark that was looked at last ... */
        uint64_t past;               /* ... or that has been read over; the same as in the FIFO = nothing to heed */
    } urg;
    struct vcl_rest *rest, *rest_due;/* cut-through: rx reads what the former peer wrote; then comes rest->next. due: fetched, not installed */
    uint32_t rest_told;              /* number of the one to be told of; see rest_read */
    struct vcl_pair *pair;
    bool unmapped;                   /* with unclaimed: in the slot below, of a segment that cannot be mapped here */
    uint32_t slot, slot_seg;
    uint8_t server_worker;           /* whose queue it came through */
    uint8_t claim_no;                /* of the last claim of the FIFOs that are mapped, and since others may hold it; never 0; worker lock */
    bool claim_waited;               /* a call has waited for another program's answer; op_lock */
    vcl_flag peer_due;               /* cut-through, claimed: the other end's program may have bytes to write again, see vcl_claim_look_again() */
    uint32_t ctx;
    struct svm_handle handle;
    atomic_uint evt_seq;             /* of the last event "data" dispatched */
    atomic_int error;                /* pending, negative errno */
    struct vcl_errqueue *_Atomic errq; /* vcl_errqueue.h; NULL: never an error */
    atomic_uint n_errors;            /* in it */
    uint32_t errors_seen;            /* datagrams: up to this position of rx, error records are in the queue */
    struct vcl_ways *ways;           /* under lock; NULL = never asked; vcl_ways() makes them */
    void *user;
    struct ip_endpoint lcl, rmt;
    int backlog;
    bool has_lcl, has_rmt, relisten;
    /* one request to the server at a time */
    atomic_uchar op;
    pthread_mutex_t op_lock;
    uint8_t *attr_bytes;             /* VCL_ATTR_ANSWER_MAX; NULL = never asked; the answer's until op_lock is let go */
    int op_error;
    uint8_t attr_question, attr_len; /* number of the question whose answer is waited for; 0 is what nobody waits for */
    /* listener */
    atomic_uchar armed;              /* value of SVM_MSG_ARM told last */
    uint8_t arm_wanted;              /* and asked for last */
    struct vcl_offer *acc_head, *acc_tail; /* connections that nobody has accepted yet */
    struct vcl_socket *stop_next;    /* is_stopping */
    atomic_uint n_acc;               /* offers, if withdrawn since or not */
    bool relisten_sent;              /* the server that came back has been asked */
    bool is_stopping;                /* on the worker's list of listeners that nobody waits for any more */
    uint8_t early_told;              /* options that went ahead of CONNECT: what failed and is tried again needs them once more */
    bool tls_own;                    /* `tls` is a configuration, counted for this socket */
    uint32_t tls;                    /* number of its pair or configuration in vcl_tls.c, 0 = none */
    uint32_t n_in_subs;
    atomic_uint n_waiters;
    struct vcl_sub *subs;
    struct vcl_waiter *waiters;
    struct vcl_opts opt;
    const struct vcl_rare_opts *_Atomic rare_opt; /* never NULL; its own after vcl_options_rare(), else everybody's defaults */
    struct vcl_option_share *share;  /* vcl_option_share.c; NULL = no other process of a fork has had it */
    struct vcl_tcp_keys *tcp_keys;   /* vcl_tcp_keys.c; NULL = never had any */
    struct vcl_cork *cork;           /* vcl_cork.c, under lock; NULL = no datagram is held back */
    struct vcl_mcast *mcast;         /* vcl_mcast.c; op_lock is not needed: setsockopt's */
    struct vcl_sctp *sctp;           /* SVM_PROTO_SCTP (vcl_sctp_internal.h); else NULL */
};
static_assert(sizeof(struct vcl_socket) <= 664, "a program with very many connections has one for each");

/* Both directions: what is not said to be of one needs them, and so does whoever changes which FIFOs there are (has_fifos). */
static inline void vcl_socket_lock(struct vcl_socket *s)
{
    vcl_lock_take(&s->tx_lock);
    vcl_lock_take(&s->rx_lock);
}
static inline void vcl_socket_unlock(struct vcl_socket *s)
{
    vcl_lock_give(&s->rx_lock);
    vcl_lock_give(&s->tx_lock);
}
static inline uint8_t vcl_state(const struct vcl_socket *s) { return atomic_load_explicit(&s->state, memory_order_acquire); }
/* Owner: vcl_socket.c. The one place where a state changes; worker lock held. */
void vcl_socket_set_state(struct vcl_socket *s, uint8_t state);
int vcl_socket_adopt(struct vcl_socket *s);     /* attach; 0 or -errno */
int vcl_socket_enter(struct vcl_socket *s);     /* attach, and claim what another process has */
int vcl_socket_enter_within(struct vcl_socket *s, int64_t timeout_ns); /* -EINPROGRESS: it takes longer */
int vcl_socket_enter_soon(struct vcl_socket *s);/* for reading and writing: -EAGAIN when it is not to be had at once */
struct vcl_socket *vcl_socket_alloc(struct vcl_worker *w, uint8_t proto, bool is_v6);
void vcl_socket_free(struct vcl_socket *s);
int vcl_socket_number(struct vcl_socket *s);    /* gives it a ctx; worker lock held; 0 or -ENOMEM */
void vcl_socket_unnumber(struct vcl_socket *s);
void vcl_socket_set_handle(struct vcl_socket *s, struct svm_handle h);
struct vcl_socket *vcl_socket_by_handle(struct vcl_worker *w, struct svm_handle h); /* one reference more; NULL: none, or it is being closed */
struct vcl_socket *vcl_socket_by_msg(struct vcl_worker *w, const struct svm_msg *m);
int vcl_socket_remap_pair(struct vcl_socket *s, const struct svm_msg *m);      /* socket lock held, as for the next two */
int vcl_socket_write_again(struct vcl_socket *s, const struct svm_fifo_prod *old, uint32_t head);
void vcl_socket_leave_slot(struct vcl_socket *s, struct vcl_pair *p, uint32_t slot);
/* ---- little address space (vcl_space.c) ---- */
void vcl_space_ask(struct svm_att_hello *h);              /* for less, where there is little */
void vcl_space_unmapped(struct vcl_socket *s, const struct svm_msg_slot *slot);   /* both socket locks held */
void vcl_space_claim(struct vcl_socket *s);               /* worker lock held */

/* From u.conn.slot; worker lock held. VCL_UNMAPPED: this process has no address space for them. The socket is elsewhere, and when the
 * server knows it (s->handle, in its state) vcl_space_claim() asks for it. */
enum { VCL_UNMAPPED = 1 };
int vcl_socket_map_fifos(struct vcl_socket *s, const struct svm_msg *m);
void vcl_socket_fifos_drop(struct vcl_socket *s);
void vcl_socket_fifos_end(struct vcl_socket *s);   /* the first half of that, socket lock held; the other without it */
void vcl_socket_fifos_leave(struct vcl_socket *s);
void vcl_socket_fail(struct vcl_socket *s, int error); /* DEAD with error, waiters woken; worker lock held */
void vcl_socket_lost(struct vcl_socket *s);     /* the server has gone */
uint32_t vcl_socket_bind_flags(const struct vcl_socket *s);
struct svm_msg vcl_socket_msg(const struct vcl_socket *s, uint8_t type);
int vcl_socket_post(struct vcl_socket *s, const struct svm_msg *m); /* to its server worker; worker lock held */
int vcl_socket_request(struct vcl_socket *s, uint8_t op, const struct svm_msg *m); /* post and wait; no lock held */
int vcl_socket_request_within(struct vcl_socket *s, uint8_t op, const struct svm_msg *m, int64_t timeout_ns); /* -ETIMEDOUT: answered later */
int vcl_socket_await(struct vcl_socket *s, uint8_t op, int64_t timeout_ns); /* of a request that is posted already */
void vcl_socket_event_due(struct vcl_socket *s, bool data, bool space); /* tells the other side; no lock held */
int vcl_socket_take_error(struct vcl_socket *s);  /* see there for the locks */
int vcl_socket_fetch_error(struct vcl_socket *s); /* the same, no lock of the socket held */
int vcl_socket_broken(struct vcl_socket *s);    /* the peer broke the contract: what a call comes to, -errno or 1 = the end; no lock held */
bool vcl_stream_is_over(struct vcl_socket *s);
void vcl_socket_tell_closed(struct vcl_socket *s);  /* cut-through: FIN or RST in the FIFO, and an event; worker lock held */
struct svm_handle vcl_handle_none(void);
bool vcl_handle_is_none(struct svm_handle h);

int vcl_bind_implicit(struct vcl_socket *s);    /* UDP before its first send; -errno */
/* SO_RCVLOWAT as poll() sees it. Who waits reads nothing, and what comes meanwhile is bounded by a window that may be as small as 64 KiB:
 * more than the half of that, where windows open by steps, may never be there. Linux reports so when the window is closed. */
enum { VCL_RCVLOWAT_MAX = 32 << 10 };
static inline int32_t vcl_rcvlowat(const struct vcl_socket *s) { return s->opt.rcvlowat < VCL_RCVLOWAT_MAX ? s->opt.rcvlowat : VCL_RCVLOWAT_MAX; }
void vcl_options_push(struct vcl_socket *s);    /* sends what was set before there was a session; worker lock held */
void vcl_options_push_early(struct vcl_socket *s); /* the same, for the one that the next message, a CONNECT, asks for */
/* Bytes of the answer that were copied, or -errno; _request: 0, for who wants none; _ask: 0, -EPROTO when they are fewer. */
int vcl_attr_exchange(struct vcl_socket *s, uint8_t type, uint8_t attr, const void *val, uint32_t len, void *answer, uint32_t answer_len);
int vcl_attr_request(struct vcl_socket *s, uint8_t type, uint8_t attr, const void *val, uint32_t len);
int vcl_attr_ask(struct vcl_socket *s, uint8_t attr, const void *question, uint32_t question_len, void *answer, uint32_t answer_len);
int vcl_msg_opt_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len); /* 1: none of these */
int vcl_msg_opt_get(struct vcl_socket *s, int level, int name, void *val, socklen_t *len);       /* 1: none of these */
int32_t vcl_rx_stamp_told(const struct vcl_socket *s);
int32_t vcl_rx_told(const struct vcl_socket *s);          /* datagrams: enum svm_rx_tell */
void vcl_stamps_want(struct vcl_socket *s);               /* a stream's new FIFO, or option: whether times are wanted; socket lock held */
int64_t vcl_stream_stamp(struct vcl_socket *s, uint32_t offset); /* when the bytes came that end `offset` behind head; 0: nobody asks */
int32_t vcl_stream_inq(struct vcl_socket *s);             /* tcp(7) TCP_INQ; no lock held */
void vcl_options_send_int(struct vcl_socket *s, uint8_t attr, int32_t v);
int vcl_device_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len); /* 1: not one of an interface's */
int vcl_device_get(struct vcl_socket *s, int level, int name, void *val, socklen_t *len);       /* likewise */
int vcl_mcast_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len); /* 1: not an option of groups */
int vcl_mcast_get(struct vcl_socket *s, int level, int name, void *val, socklen_t *len); /* likewise */
void vcl_mcast_free(struct vcl_socket *s);
struct in_addr vcl_mcast_out(const struct vcl_socket *s);
void vcl_mcast_push(struct vcl_socket *s);      /* worker lock held */
bool vcl_mcast_is_served(const struct ip_addr *group, const struct ip_addr *ifc); /* by an interface of the stack; group NULL: any */
int vcl_tcp_info(struct vcl_socket *s, void *val, socklen_t *len);
void vcl_options_init(struct vcl_socket *s);
void vcl_options_free(struct vcl_socket *s);
struct vcl_rare_opts *vcl_options_rare(struct vcl_socket *s); /* to set one of them; NULL: no memory */
void vcl_options_limit_tx(struct vcl_socket *s);  /* socket lock held */
int vcl_options_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len); /* in this process: vcl_setsockopt()'s */
/* vcl_option_share.c: what another process of a fork has set. Before a call acts by the options: _look() under any lock but for values that need
 * one, _follow() with none. */
void vcl_options_share(struct vcl_worker *w);             /* about to fork; worker lock held */
void vcl_options_in_child(struct vcl_socket *s);
void vcl_options_unshare(struct vcl_socket *s);
void vcl_options_look_shared(struct vcl_socket *s);
void vcl_options_follow_shared(struct vcl_socket *s);
int vcl_options_set_shared(struct vcl_socket *s, int level, int name, const void *val, socklen_t len);
void vcl_options_say_shared(struct vcl_socket *s, uint8_t how); /* enum vcl_option_how: it has another value now */
static inline void vcl_options_look(struct vcl_socket *s)
{
    if (hs_unlikely(s->share != NULL))
        vcl_options_look_shared(s);
}
static inline void vcl_options_follow(struct vcl_socket *s)
{
    if (hs_unlikely(s->share != NULL))
        vcl_options_follow_shared(s);
}
enum vcl_arm { VCL_ARM_OFF = 0, VCL_ARM_ON = 1, VCL_ARM_WEAK = 2 };
void vcl_accept_arm(struct vcl_socket *l, uint8_t arm);   /* worker lock held */
void vcl_socket_relisten(struct vcl_socket *s);           /* worker lock held */
void vcl_accept_return_all(struct vcl_socket *l);         /* worker lock held */
void vcl_accept_rest(struct vcl_socket *l); /* others will accept from it: what nobody here waits for is given back; worker lock held */
void vcl_accept_stop(struct vcl_socket *l);               /* nobody waits for it any more; worker lock held */
void vcl_accept_settle(struct vcl_worker *w);             /* before the next look at the queues; worker lock held */
void vcl_accept_unstop(struct vcl_socket *l);             /* it closes; worker lock held */
void vcl_accept_queue(struct vcl_socket *l, const struct svm_msg *m, uint32_t server_worker);
int vcl_listener_error(struct vcl_socket *l);
void vcl_forget_attempt(struct vcl_socket *s);            /* worker lock held */
void vcl_unlisten(struct vcl_socket *s);
/* vcl_buffer.c; name: SO_RCVBUF or SO_SNDBUF, SO_RCVBUFFORCE or SO_SNDBUFFORCE. 0, -EPERM. No lock held. */
int vcl_buffer_set(struct vcl_socket *s, int name, int v);
int vcl_buffer_force(struct vcl_socket *s, int name, int v);
int vcl_path_mtu(struct vcl_socket *s, bool is_v6); /* vcl_path_mtu.c: or -ENOTCONN, -ENOPROTOOPT (not known) */
bool vcl_kernel_permits(int level, int name, int v); /* this option of a socket to this process */
int vcl_options_inherit(struct vcl_socket *s, const struct vcl_socket *from); /* 0 or -ENOMEM */
void vcl_accept_return(struct vcl_worker *w, const struct svm_msg *m, uint32_t server_worker);
void vcl_accept_withdrawn(struct vcl_worker *w, uint32_t id);
void vcl_accept_forget(struct vcl_socket *l);             /* the server has gone, or a fork's child: the offers are nobody's, or the parent's */
void vcl_accept_waits(struct vcl_worker *w, int delta);   /* a thread sleeps until a connection comes, or does no longer; worker lock held */
struct vcl_dgram_tlvs {              /* what the server tells of a record beside its bytes */
    uint8_t tos, ttl;
    uint16_t gso_size;               /* 0 = one datagram */
    bool has_ttl, has_error;
    int64_t stamp_ns;                /* 0 = not told */
    struct svm_dgram_device device;  /* index 0 = not told */
    uint32_t drops;
    struct svm_dgram_error error;
};
/* Of the record at `at` of the receive FIFO, where avail bytes are. 0, -EPROTO. Socket lock held, as for the next. */
int vcl_dgram_peek_header(struct vcl_socket *s, uint32_t at, uint32_t avail, struct svm_dgram_hdr *h);
void vcl_dgram_read_tlvs(struct vcl_socket *s, uint32_t at, const struct svm_dgram_hdr *h, struct vcl_dgram_tlvs *out);
static inline uint32_t vcl_dgram_record_size(const struct svm_dgram_hdr *h) { return h->hdr_len + ((h->data_len + 7u) & ~7u); }
/* Would Linux's sendto() refuse a datagram of that size, or one of the pieces of gso bytes? 0, -EMSGSIZE (queued with IP_RECVERR), -EINVAL:
 * too many, or pieces without checksum. No lock held. */
int vcl_dgram_check_size(struct vcl_socket *s, const struct vcl_msg_info *info, size_t len, uint32_t gso);
void vcl_dgram_forget_size(struct vcl_socket *s);         /* an error has come */
struct vcl_ways *vcl_ways(struct vcl_socket *s);          /* NULL: no memory; socket lock held */
/* vcl_dgram_way.c, for info->peer. find_way: no lock held; 0, -ENETUNREACH, -ENODEV (no such interface) and others of Linux's sendto(). */
int32_t vcl_dgram_device(const struct vcl_socket *s, const struct vcl_msg_info *info); /* index of the interface to leave by; 0 = any */
bool vcl_dgram_way_is_known(const struct vcl_socket *s, const struct vcl_msg_info *info); /* socket lock held */
int vcl_dgram_find_way(struct vcl_socket *s, const struct vcl_msg_info *info);
ssize_t vcl_dgram_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info);
ssize_t vcl_dgram_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info);
ssize_t vcl_dgram_send_now(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info);
/* vcl_cork.c */
ssize_t vcl_cork_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info);
int vcl_cork_push(struct vcl_socket *s, int flags); /* sends what is held back; 0 or -errno */
void vcl_cork_drop(struct vcl_socket *s);
/* vcl_dgram.c, socket lock held: one record, or -EAGAIN */
int64_t vcl_record_take(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info);
int vcl_record_put(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t len, const struct vcl_msg_info *info);
ssize_t vcl_record_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info);
ssize_t vcl_record_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags);
/* vcl_peek.c: MSG_PEEK of streams, SO_PEEK_OFF. rx_lock held but where said otherwise. */
static inline size_t vcl_iov_len(const struct iovec *iov, int n_iov)
{
    size_t len = 0;

    for (int i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    return len;
}
int vcl_peek_set(struct vcl_socket *s, int32_t offset);   /* SO_PEEK_OFF; less than 0 = none. 0 or -ENOBUFS; no lock held */
void vcl_peek_moved(struct vcl_socket *s, int64_t n, int flags); /* peeks_on: n bytes have been read, or with MSG_PEEK looked at */
/* peeks_on: the datagram where the offset is, of `avail` bytes of rx: its place, and how much of it is before the offset; or -errno. */
int64_t vcl_peek_record(struct vcl_socket *s, uint32_t avail, struct svm_dgram_hdr *h, uint32_t *at, uint32_t *skip);
int64_t vcl_peek_iov(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, uint32_t from); /* into the pieces behind `skip` */
ssize_t vcl_stream_peek(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags); /* no lock held, as for the next */
bool vcl_ready_beyond(struct vcl_socket *s);              /* for vcl_wait_socket(): there is more than this thread has looked at */
/* vcl_stream.c. 0 = go on, 1 = end of stream, or -errno. */
int vcl_stream_recv_state(struct vcl_socket *s);
int vcl_stream_empty_means(struct vcl_socket *s, bool take); /* rx_lock held */
int vcl_stream_send_state(struct vcl_socket *s, bool take);
ssize_t vcl_stream_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags);
ssize_t vcl_stream_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags);
uint32_t vcl_tx_low_water(const struct vcl_socket *s); /* free bytes from which on a sleeping writer is woken; tx_lock held */
bool vcl_arm_read(struct vcl_socket *s);        /* "tell me of new bytes"; true: there are some already */
bool vcl_arm_write(struct vcl_socket *s);       /* "tell me of room"; true: there is some already */

/* vcl_urgent.c: urgent data of streams, rx_lock held where not said otherwise */
static inline bool vcl_urgent_ahead(const struct vcl_socket *s) { return hs_unlikely(svm_urgent_get(&s->rx) != s->urg.past); }
/* With vcl_urgent_ahead(): */
int64_t vcl_urgent_put(struct vcl_socket *s, const struct iovec *iov, size_t skip, size_t want); /* tx_lock held */
int64_t vcl_urgent_take(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, int flags, bool *stop);
int64_t vcl_urgent_look(struct vcl_socket *s, const struct iovec *iov, int n_iov, uint32_t off, int flags, bool *stop); /* MSG_PEEK, from off on */
uint32_t vcl_urgent_whole(struct vcl_socket *s, uint32_t max);                /* how many of `max` bytes come before the mark */
uint32_t vcl_urgent_poll(struct vcl_socket *s, int64_t avail);                /* EPOLLIN, EPOLLPRI */
int64_t vcl_urgent_readable(struct vcl_socket *s, int64_t avail);             /* bytes up to the mark */
ssize_t vcl_urgent_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info); /* MSG_OOB; no lock */
void vcl_urgent_on_event(struct vcl_socket *s);                               /* SVM_MSG_URGENT; worker lock held, not the socket's */
void vcl_urgent_tell(struct vcl_socket *s);                                   /* cut-through: the peer is told if it is due; no lock held */

int vcl_out_of_memory(struct vcl_socket *s);
void vcl_want_room(struct vcl_socket *s);
void vcl_socket_rearm(struct vcl_socket *s);
int vcl_idle_turn(struct vcl_socket *s);

/* ---- waiting ---- */
struct vcl_waiter {                  /* a thread asleep for a socket (on its stack), worker lock */
    struct vcl_waiter *next, *prev;  /* of the socket */
    pthread_t thread;
    int fd;                          /* eventfd to wake it by, or -1: the only thread */
    bool woken;
    bool reads;                      /* blocked in a call that reads a stream */
};
struct vcl_sleeper {                 /* a thread asleep in a call that vcl_interrupt() may end (on its stack), worker lock */
    struct vcl_sleeper *next, *prev;
    pthread_t thread;
    int fd;                          /* eventfd to wake it by, or -1 */
    struct vcl_set *set;             /* it sleeps in: woken by the set's; else NULL */
    bool woken;
};
int64_t vcl_now_ns(void);
struct vcl_deadline { int64_t at_ns; bool forever; };
struct vcl_deadline vcl_deadline_of(const struct timespec *timeout);
struct vcl_deadline vcl_deadline_ns(int64_t timeout_ns);  /* 0 = for ever */
bool vcl_deadline_left(const struct vcl_deadline *d, struct timespec *left); /* false: it has passed */

/* Waits until ready(s) or deadline or signal. 0, -EAGAIN (deadline), -EINTR, -ECANCELED (vcl_interrupt(); only when ready is one of
 * vcl_ready_read, _write, _connect: what the server is asked is waited for in any case). No lock held. ready() is called without locks and arms
 * what has to be armed; it must be true when the socket has failed. */
int vcl_wait_socket(struct vcl_socket *s, bool (*ready)(struct vcl_socket *s), const struct vcl_deadline *d);

/* A call that tries until it has a message, or room for one. After each attempt that found nothing: 0 = try again;
 * else what the call returns (-EAGAIN: the program does not wait, or its time is over; -EINTR). No lock held. */
struct vcl_tries { struct vcl_deadline d; bool wait, has_deadline; };
struct vcl_tries vcl_tries_begin(const struct vcl_socket *s, int flags);
int vcl_again_read(struct vcl_socket *s, struct vcl_tries *t);
int vcl_again_write(struct vcl_socket *s, struct vcl_tries *t);
void vcl_waiter_link(struct vcl_socket *s, struct vcl_waiter *wt);    /* worker lock held */
void vcl_waiter_unlink(struct vcl_socket *s, struct vcl_waiter *wt);
void vcl_waiter_wake_all(struct vcl_socket *s);
/* vcl_interrupt.c; worker lock held. After linking, with no lock: vcl_is_interrupted(), and only then to sleep. */
void vcl_sleeper_link(struct vcl_worker *w, struct vcl_sleeper *sl, int fd, struct vcl_set *set);
void vcl_sleeper_unlink(struct vcl_worker *w, struct vcl_sleeper *sl);
bool vcl_is_interrupted(void);
bool vcl_threads_share(void);        /* other threads may drain the queues */
int64_t vcl_sleep_cap_ns(const struct vcl_worker *w); /* longest sleep now; -1 = any */
bool vcl_ready_read(struct vcl_socket *s);
bool vcl_ready_connect(struct vcl_socket *s);
int vcl_wait_connected(struct vcl_socket *s);   /* 0, the error of the attempt, or -EINPROGRESS: SO_SNDTIMEO ran out */
bool vcl_ready_write(struct vcl_socket *s);

struct vcl_spin_wait { int64_t begin_ns; };  /* of one wait */
void vcl_spin_init(struct vcl_spin *sp);
/* Looks for a while, if that pays. True: over. Else the caller sleeps, and says when it woke, if for what it waited for. */
bool vcl_spin(struct vcl_spin *sp, struct vcl_spin_wait *wait, bool (*is_over)(void *arg), void *arg);
void vcl_spin_slept(struct vcl_spin *sp, const struct vcl_spin_wait *wait);
void vcl_spin_vain(struct vcl_spin *sp);     /* a call has found nothing, and the program does not wait */
static inline void vcl_spin_said(struct vcl_spin *sp, size_t n)
{
    uint32_t said = atomic_load_explicit(&sp->said, memory_order_relaxed);

    atomic_store_explicit(&sp->said, said + (uint32_t)hs_min_u64(n, 1u << 30), memory_order_relaxed);
}

/* ---- worker: queues ---- */
void vcl_worker_init(struct vcl_worker *w);
void vcl_worker_drain(struct vcl_worker *w);              /* takes and dispatches what is in the queues; worker lock held */
bool vcl_worker_has_work(struct vcl_worker *w);           /* any queue not empty; cheap; no lock needed */
void vcl_worker_turn(struct vcl_worker *w);               /* lock, drain, unlock, if there is work */
void vcl_worker_try_turn(struct vcl_worker *w);           /* the same, unless somebody has the lock */
void vcl_worker_sleep_begin(struct vcl_worker *w);        /* worker lock held */
void vcl_worker_sleep_end(struct vcl_worker *w);          /* worker lock held; re-announces for other sleepers */
void vcl_worker_bell_drain(struct vcl_worker *w);
bool vcl_worker_must_retry(const struct vcl_worker *w);   /* full queues or no server: do not sleep for long */
int vcl_worker_post(struct vcl_worker *w, uint32_t server_worker, const struct svm_msg *m);
/* What the server need not be woken for, as long as no more than at_most messages wait for it. */
int vcl_worker_post_late(struct vcl_worker *w, uint32_t server_worker, const struct svm_msg *m, uint32_t at_most);
int vcl_worker_post_pair(struct vcl_worker *w, struct vcl_pair *p, const struct svm_msg *m);
void vcl_worker_dispatch(struct vcl_worker *w, struct svm_msg *m, uint32_t server_worker);
void vcl_worker_dispatch_pair(struct vcl_pair *p, struct svm_msg *m);
void vcl_worker_self_event(struct vcl_socket *s, const struct svm_msg *m); /* both ends are in this worker */
int vcl_worker_spare_fd(struct vcl_worker *w);
void vcl_worker_put_fd(struct vcl_worker *w, int fd);

/* ---- attach ---- */
int vcl_worker_attach(struct vcl_worker *w);
void vcl_worker_retry_attach(struct vcl_worker *w);       /* worker lock held */
void vcl_worker_reattached(struct vcl_worker *w);         /* listeners come back; worker lock held */
void vcl_worker_event_fd_join(struct vcl_worker *w);      /* puts the doorbell into the event descriptor */
void vcl_worker_server_lost(struct vcl_worker *w);        /* worker lock held */
void vcl_worker_att_input(struct vcl_worker *w);          /* reads what came on the attach socket; worker lock held */
int vcl_worker_more_memory(struct vcl_worker *w, uint32_t slots);
struct vcl_pair *vcl_worker_pair(struct vcl_worker *w, uint32_t seg_id);   /* waits for it if need be; its base may be NULL; worker lock held */
struct vcl_bank *vcl_worker_bank(struct vcl_worker *w, uint32_t seg_id, uint16_t *index);
void vcl_worker_reap_pairs(struct vcl_worker *w);         /* unmaps those that are gone; worker lock held */
int vcl_worker_who(struct vcl_worker *w, const struct ip_addr *ip, uint32_t *answer);
int vcl_worker_device(struct vcl_worker *w, struct svm_att_device *d); /* SVM_ATT_DEVICE, and the answer */
int vcl_worker_address(struct vcl_worker *w, uint32_t number, struct svm_att_address *a); /* -ENOENT: there are no more */
void vcl_worker_met(struct vcl_worker *w, const struct ip_endpoint *rmt, bool is_there); /* worker lock held */
int vcl_worker_fork_token(struct vcl_worker *w, uint64_t *token, int *lifeline);
void vcl_worker_forget_server(struct vcl_worker *w, bool in_child);
extern const struct svm_ring_ops vcl_bank_ring_ops, vcl_pair_ring_ops;

/* ---- keys for TCP's peers (vcl_tcp_keys.c) ---- */
int vcl_tcp_ao_set(struct vcl_socket *s, int name, const void *val, socklen_t len);  /* vcl_tcp_ao.c */
int vcl_tcp_ao_get(struct vcl_socket *s, int name, void *val, socklen_t *len);
int vcl_tcp_key_set(struct vcl_socket *s, const struct svm_tcp_key *k);              /* adds, replaces or removes; no lock held */
const struct svm_tcp_key *vcl_tcp_key_at(const struct vcl_socket *s, unsigned i);    /* NULL = behind the last */
bool vcl_tcp_ao_is_on(const struct vcl_socket *s);
int vcl_tcp_md5_set(struct vcl_socket *s, int name, const void *val, socklen_t len);
void vcl_tcp_keys_free(struct vcl_socket *s);
int vcl_tcp_keys_number(struct vcl_socket *s, uint32_t *number);   /* the server's, 0 = it has none; worker lock held, as for the next two */
void vcl_tcp_keys_untold(struct vcl_socket *s);
bool vcl_tcp_keys_are_told(const struct vcl_socket *s, uint32_t *number);
void vcl_tcp_keys_inherit(struct vcl_socket *s, const struct vcl_socket *l);
int vcl_worker_tcp_key(struct vcl_worker *w, const struct svm_tcp_key *k, uint32_t *number); /* vcl_attach.c */
/* ---- TLS (vcl_tls.c) ---- */
static inline bool vcl_is_tls(const struct vcl_socket *s) { return s->proto == SVM_PROTO_TLS || s->proto == SVM_PROTO_DTLS; }
int vcl_tls_number(struct vcl_worker *w, uint32_t id, uint32_t *number);  /* the server's number of it; worker lock held */
void vcl_socket_set_tls(struct vcl_socket *s, uint32_t id, bool own);
int vcl_worker_tls_put(struct vcl_worker *w, const char *bytes, uint32_t cert_len, uint32_t key_len, uint32_t replace, uint32_t *number);
int vcl_worker_tls_config(struct vcl_worker *w, const struct svm_tls_config *cfg, uint32_t *number);
int vcl_worker_tls_del(struct vcl_worker *w, uint32_t number);            /* all three: worker lock held, attached */

/* ---- segments ---- */
int vcl_segment_add_bank(struct vcl_life *life, uint32_t seg_id, uint32_t index, int s_fd, int c_fd);
int vcl_segment_map_pair(const struct svm_att_segment *m, const int fds[3], struct vcl_pair **out);
/* What stands for a segment that could not be mapped: what names it fails at once, nobody waits for it to come. */
struct vcl_pair *vcl_segment_failed_pair(const struct svm_att_segment *m);
void vcl_segment_failed_bank(struct vcl_life *life, uint32_t seg_id, uint32_t index);
int vcl_segment_map(int fd, bool writable, uint64_t min_size, uint8_t **base, uint64_t *size);
void vcl_segment_pair_free(struct vcl_pair *p);
void vcl_segment_life_free(struct vcl_life *life);
void vcl_segment_forget(struct vcl_worker *w); /* in a fork's child: the books; the memory is not mapped there */

/* ---- sessions of several processes: vcl_claim.c ---- */
/* After a step in the FIFOs, behind a full fence: another process may use the socket by now, see vcl_claim_settle_*(). One of the locks held. */
static inline bool vcl_claim_may_be(const struct vcl_socket *s)
{
    return s->shared || __atomic_load_n(&s->rx_line->settle, __ATOMIC_ACQUIRE) != SVM_SETTLE_NONE;
}
bool vcl_claim_is_elsewhere(const struct vcl_socket *s);  /* rx_lock held */
bool vcl_claim_is_here(struct vcl_socket *s);             /* not elsewhere, and the call that asks is what it was given for; rx_lock held */
int vcl_claim(struct vcl_socket *s, int64_t timeout_ns);  /* 0, -EINPROGRESS when it takes longer, or another -errno */
int vcl_claim_soon(struct vcl_socket *s);                 /* 0; -EAGAIN: it takes longer, or the server keeps too much for it already */
int vcl_claim_idly(struct vcl_socket *s);                 /* for who asks for the end alone: likewise, but every now and then only */
enum { VCL_CLAIM_GOES = 100 };                            /* so often, a call lets it be that another process has taken the socket again */
bool vcl_claim_look_again(struct vcl_socket *s);          /* who must not wait and has found nothing: true, it may be there now. No lock held */
void vcl_claim_begin(struct vcl_socket *s);               /* other FIFOs from now on; worker lock, and the socket's or nobody uses them */
void vcl_claim_shared_anew(struct vcl_socket *s);         /* another process may hold it from now on; worker lock */
void vcl_claim_lied(struct vcl_socket *s);                /* its peer has broken the contract: the FIFOs are dead. Socket lock held */
void vcl_claim_rx_failed(struct vcl_socket *s);           /* what is received is: what is sent is as well, then. No lock held */
void vcl_claim_want(struct vcl_socket *s);                /* when somebody here waits for it; socket lock may be held */
void vcl_claim_again(struct vcl_worker *w);               /* for those that wait; worker lock held */
int64_t vcl_claim_cap_ns(const struct vcl_worker *w);     /* until then */
void vcl_claim_unmapped(struct vcl_socket *s, const struct svm_msg_slot *slot);   /* the slot cannot be used here; worker lock held */
int vcl_claim_on_claimed(struct vcl_socket *s, const struct svm_msg *m); /* 0, or what the asker is told: -EINPROGRESS: another one follows */
int vcl_claim_look(struct vcl_socket *s);                 /* bound: may have become a listener */
void vcl_claim_on_taken(struct vcl_socket *s);
int vcl_claim_peer_moved(struct vcl_socket *s, const struct svm_msg *m, struct svm_msg_slot *old_slot);
/* vcl_rest.c: what a former cut-through peer wrote. rx_lock held, but where the worker lock is said. */
/* The half that tells how it ends. */
/* Another process may hold it from now on; no news about a rest that was read undoes that. */
static inline void vcl_socket_set_shared(struct vcl_socket *s)
{
    s->shared = true;
    s->rest_unshare = false;
}
static inline struct svm_fifo_cons *vcl_rx_last(struct vcl_socket *s) { return hs_likely(!s->rest) ? &s->rx : &s->rest->next; }
int64_t vcl_stream_avail(struct vcl_socket *s);           /* readable bytes, behind the rest as well; rx_lock held */
int vcl_rest_keep(struct vcl_socket *s, struct svm_fifo_cons *from);   /* all unread bytes of `from` come before those of rx */
void vcl_rest_turn(struct vcl_socket *s);                 /* rx shows what is left of it, or the FIFO behind it */
int64_t vcl_rest_take(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, int flags); /* 0: nothing left, rx comes */
void vcl_rest_install(struct vcl_socket *s);              /* what vcl_rest_fetch() brought; rx is mapped */
struct vcl_rest *vcl_rest_detach(struct vcl_socket *s);
void vcl_rest_drop(struct vcl_socket *s);                 /* lock or nobody else knows the socket */
int vcl_rest_share(struct vcl_socket *s);                 /* other holders may read it from now on; worker lock, no socket lock */
int vcl_rest_fetch(struct vcl_socket *s);                 /* worker lock */
void vcl_rest_tell(struct vcl_socket *s);                 /* the server need not keep it any more; no lock */
void vcl_rest_in_child(struct vcl_socket *s);
int vcl_worker_rest_put(struct vcl_worker *w, struct svm_handle h, int fd, uint32_t *id);   /* worker lock */
int vcl_worker_rest_get(struct vcl_worker *w, struct svm_handle h, int *fd, uint32_t *id);  /* fd -1: there is none any more */
/* After writing or reading n bytes, with vcl_claim_may_be(): how many of them counted. Socket lock held. */
uint32_t vcl_claim_settle_tx(struct vcl_socket *s, uint32_t n);
uint32_t vcl_claim_settle_rx(struct vcl_socket *s, uint32_t n, bool is_peek);
/* The same with rx_lock alone. *failed: vcl_claim_rx_failed() when it has been let go. */
uint32_t vcl_claim_settle_rx_alone(struct vcl_socket *s, uint32_t n, bool is_peek, bool *failed);

/* ---- sets ---- */
struct vcl_sub {
    struct vcl_sub *s_next;          /* of the socket, worker lock */
    struct vcl_sub *set_next, *set_prev; /* of the set, set lock */
    struct vcl_sub *rdy_next, *rdy_prev; /* ready list, set lock */
    struct vcl_set *set;
    struct vcl_socket *s;
    int key;
    uint32_t events;
    uint64_t data;
    uint32_t edges;                  /* edge-triggered: what has happened since it was last reported */
    bool on_ready, disabled, rearm;
    bool inherited;                  /* the parent's, and not looked at yet in this child */
};
struct vcl_set {
    atomic_uint refs;
    struct vcl_lock lock;
    int epfd;
    int wake_fd;                     /* eventfd in epfd: wakes threads in epoll_wait there; -1 until needed */
    uint32_t n_waiting;              /* threads in epoll_wait */
    uint32_t n_interrupts;           /* of them woken by vcl_interrupt() and not awake yet */
    struct vcl_sub *subs;
    struct vcl_sub *_Atomic rdy_head;/* looked at without the lock, too: is there anything? */
    struct vcl_sub *rdy_tail;
    struct vcl_worker *workers[VCL_MAX_SET_WORKERS];
    uint32_t worker_epoch[VCL_MAX_SET_WORKERS];
    atomic_uint n_workers;           /* those before it are fixed */
    atomic_uint turn;                /* a hint, as is kernel_busy: which thread's word counts does not matter */
    atomic_bool kernel_busy;
    bool wake_pending, nested;
    bool has_listener;               /* it has had one: who waits, waits for connections; set lock */
    bool news;                       /* vcl_set_new_for_news(); epfd is its own */
    bool inherited;                  /* of a fork's parent: vcl_set_in_child() is due */
    pid_t owner;                     /* process whose doorbells are in epfd */
    struct vcl_set *next, *all_next;
};
void vcl_set_notify(struct vcl_socket *s, uint32_t events);  /* worker lock held: subscriptions and waiters of s */
void vcl_set_forget(struct vcl_socket *s);                   /* worker lock held */
void vcl_set_after_fork(void);
void vcl_set_in_child(struct vcl_set *set);                  /* a fork's child waits in a set of its parent's: begins to use what is in it */
void vcl_set_clear_wake(struct vcl_set *set);                /* set lock held */
void vcl_set_join_all(struct vcl_set *set);                  /* set lock held */
static inline bool vcl_set_is_twin(const struct epoll_event *ev) { return (ev->data.u64 & ~(uint64_t)UINT32_MAX) == VCL_SET_TWIN_DATA; }
bool vcl_set_take_twin(struct vcl_set *set, struct epoll_event *ev); /* false: the stack has told it already, or it has gone */
int vcl_set_collect(struct vcl_set *set, struct epoll_event *events, int max);

#endif
