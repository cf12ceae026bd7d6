/* worker_private.h - what the files of worker/ share
 * Owner:  struct worker, struct stack.
 * Thread: the worker, but for the rings (any producer) and the fields marked atomic.
 * Memory: process-private; packets in the rings are EAL memory. */
#ifndef HOSTSTACK_SERVER_WORKER_PRIVATE_H
#define HOSTSTACK_SERVER_WORKER_PRIVATE_H

#include <pthread.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include "server/worker/worker_thread.h"

enum worker_private_limits {
    WORKER_TX_BUF = 64,           /* packets waiting for a port's tx queue */
    WORKER_TX_STUCK_US = 20000,   /* a port that takes nothing for so long loses what waits; a guest may wait some slices for its core */
    WORKER_TX_RETRY_US = 100,     /* it is asked again so often */
    WORKER_RING = 4096,           /* packets handed over, commands */
    WORKER_RX_ROUNDS = 4,         /* bursts taken from one queue in a turn */
    WORKER_RX_QUIET = 8,          /* a PORT_RX_CALL that was asked so often in vain is asked only ... */
    WORKER_RX_LATER_US = 50,      /* ... so long after the last time, while there is other work */
};

struct worker_handover {          /* a packet for another worker */
    struct pkt *p;
    uint32_t port;
    uint32_t kind;                /* enum worker_handover_kind */
};
enum worker_handover_kind { HANDOVER_ETH, HANDOVER_IP, HANDOVER_TX };
static_assert(sizeof(struct worker_handover) == 16, "ring element");

struct worker_command {
    void (*fn)(struct worker *w, void *arg);
    void *arg;
};
static_assert(sizeof(struct worker_command) == 16, "ring element");

struct worker_tx_buf {
    unsigned n;
    bool has_attached;            /* some of them are PKT_ATTACHED */
    uint64_t stuck_since_us;      /* 0 = the port took what it was given */
    struct pkt *p[WORKER_TX_BUF];
};

struct worker_rx {
    unsigned n_empty;             /* how often it was asked in vain, since its last packet */
    uint64_t asked_us;
};

struct worker_private {
    struct worker_tx_buf tx[STACK_MAX_PORTS];
    struct rte_ring *handover;    /* worker_handover, many producers */
    struct rte_ring *commands;    /* worker_command, many producers */
    struct worker_sure *kept, **kept_tail; /* calls to workers whose ring was full (worker_sure.h); the tail is valid when there are any */
    uint64_t n_kept, n_sent;      /* of those: ever, and how many of them are in the rings by now */
    uint32_t awaited;             /* atomic, bits: workers that keep calls for this one */
    struct worker_counters counters;
    uint64_t active_us;           /* last turn that did something */
    bool had_work;                /* that was the turn before this one */
    struct worker_rx rx[STACK_MAX_PORTS];

    /* thread */
    pthread_t thread;
    uintptr_t self;               /* atomic: its pthread_self(), 0 = no thread */
    bool has_thread;              /* control thread's */
    bool stop;                    /* atomic */
    bool is_sleeping;             /* atomic: worker_wake() must write event_fd */
    int event_fd, epfd;
    bool must_poll;               /* some port has no wait descriptor */
    struct worker_thread_options opt;
    uint64_t no_spin_until_us;
    uint64_t no_spin_us;          /* how long that was */
    uint64_t moved_us;            /* to another core */
    uint64_t kept_us;             /* how long others had the core that was given away last; 0 = there was work since */
    int spin_against;             /* > 0: work was slow to come */
    uint64_t idle_since_us;       /* 0 = the last turn found work */
    uint64_t slept_us;            /* before the last turn; 0 = not */
};

struct stack_private {
    uint8_t rss_key[16];          /* Toeplitz key, of 12 bytes of input */
    unsigned n_threads;           /* atomic: running worker threads */
    unsigned n_held;              /* atomic: workers in a pause */
    uint32_t pause_turn;          /* atomic: the pause that ends by counting on; written by the control thread */
    uint32_t (*udp_claims)[WORKER_UDP_KINDS][WORKER_MAX]; /* [port][kind][worker]: sessions; NULL with one worker. atomic */
    struct worker_pins *pins;     /* worker_pin.c; NULL with one worker */
};

static inline void worker_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED); /* one writer; readers only want a recent value */
}

bool worker_is_here(const struct worker *w);     /* the caller may touch w: it is its thread, or no thread runs */
int worker_pins_create(struct worker_pins **out); /* 0, -ENOMEM */
void worker_pins_free(struct worker_pins *ps);
/* With several workers. True: packets from src to dst are for that one. */
bool worker_pin_of(const struct stack *s, const struct ip_endpoint *src, const struct ip_endpoint *dst, unsigned *worker);
unsigned worker_rss_of_frame(const struct stack *s, struct pkt *p);
bool worker_hand_over(struct worker *from, struct worker *to, struct pkt *p, unsigned port, enum worker_handover_kind kind);
bool worker_tx_is_pending(const struct worker *w);
unsigned worker_run_commands(struct worker *w);
unsigned worker_sure_run(struct worker *w);      /* a stage of a turn: what is kept goes into rings that have room */
void worker_sure_room(struct worker *w);         /* its ring has room again */

#endif
