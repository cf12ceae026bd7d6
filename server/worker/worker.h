/* worker.h - one run-to-completion worker: its ports' queues, sessions, timers and client queues, nothing shared
 *
 *   worker_step(w, now): rx burst -> eth -> ip -> transport input -> events to programs
 *                        -> drain client queues -> session tx (budgeted, fair) -> timers -> tx burst
 *
 * Owner:  struct stack owns its workers.
 * Thread: the worker's own; commands from other threads come through worker_call().
 * Time:   now_us comes in with each step, so that tests run the whole stack under a virtual clock.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_WORKER_H
#define HOSTSTACK_SERVER_WORKER_H

#include "common/ip_addr.h"
#include "server/pkt/pkt.h"
#include "server/port/port.h"
#include "server/worker/timer_wheel.h"

enum worker_limits { WORKER_BURST = 32, WORKER_MAX = 16, STACK_MAX_PORTS = 16 };

struct session_worker;  /* session/session_internal.h: pools, lookup, listeners, lists */
struct ip_worker;       /* ip/: neighbours, counters, reassembly of this worker */
struct app_port;        /* app/: this worker's client queues */
struct stack;

struct worker {
    struct stack *stack;
    unsigned index;
    uint64_t now_us;
    struct timer_wheel timers;
    struct pkt_pools *pools;
    struct session_worker *session;
    struct ip_worker *ip;
    struct app_port *app;
    struct capture_worker *capture; /* capture/capture.h; NULL = nobody looks at packets */
    void *transport_state[16];      /* by enum svm_proto */
    uint64_t rng[2];                /* seeded by the stack: tests give a seed, the server getrandom() */
    uint8_t secret[16];             /* key for ISNs, ports, lookup hash */
    struct worker_private *priv;    /* worker/: tx buffers, handover rings, command ring, sleep state, cycle counters */
};

/* All that one host stack consists of; several may live in one process (tests). */
struct transport_ops;
struct udp_encap {                  /* the local UDP port whose datagrams carry packets of another transport, for worker 0; port 0 = none */
    be16 port;
    const struct transport_ops *ops;
};

struct stack {
    unsigned n_workers;
    struct worker *worker[WORKER_MAX];
    unsigned n_ports;
    struct port *port[STACK_MAX_PORTS];
    struct pkt_pools pools;
    struct interfaces *interfaces;  /* ip/interface.h: addresses per port, read-only while workers run */
    struct route_table *routes;     /* route/route.h */
    struct app_server *apps;        /* app/: clients, namespaces, segments; NULL in most tests */
    struct stack_config *config;    /* config/config.h */
    struct tls_stack *tls;          /* tls/: certificates and keys of programs, under a lock of its own; NULL = no TLS */
    struct udp_encap udp_encap;     /* RFC 6951; fixed before workers start */
    struct tcp_keys *tcp_keys;      /* tcp/: keys of programs for their peers, under a lock of their own; NULL = none are taken */
    struct session_stack *session;  /* session/: endpoints in use by all workers, under its own lock (control path only) */
    struct autoconf *autoconf;      /* autoconf/: control thread's; NULL = no interface takes router advertisements */
    struct linux_sync *linux_sync;  /* linux_sync/: control thread's; NULL = nothing is mirrored from the kernel */
    struct dhcp *dhcp;              /* dhcp/: control thread's; NULL = no interface has its address from there */
    struct capture *capture;        /* capture/: control thread's; NULL until somebody looks at packets */
    struct stack_private *priv;     /* worker/ */
    struct hs_log *log;             /* common/log.h; NULL in most tests: nothing is written */
};

struct stack_options {
    unsigned n_workers;
    uint64_t seed;                  /* 0 = from getrandom() */
    unsigned n_small_pkts, n_big_pkts;
    const char *pool_name;
};
int stack_create(const struct stack_options *opt, struct stack **out);  /* EAL must be up; registers no port */
int stack_add_port(struct stack *s, struct port *p);                    /* gives the port to the stack */
void stack_destroy(struct stack *s);

unsigned worker_step(struct worker *w, uint64_t now_us);   /* one turn; returns how much was done (0 = idle turn) */
uint64_t worker_next_event_us(const struct worker *w);     /* when the next timer is due; UINT64_MAX = none */
/* Queue a packet at its Ethernet header for port `port`; sent at the end of the turn, or when the buffer is full. Takes it. */
void worker_tx(struct worker *w, unsigned port, struct pkt *p);
/* What is attached to queued packets is about to go: they are sent now, and those that a port does not take get a copy. */
void worker_tx_settle(struct worker *w);
/* A copy of p (at the Ethernet header, from port `port`) comes to every other worker's eth_input() with PKT_CLONED. Keeps p; a copy
 * that finds no room is lost, as a frame may be. */
void worker_clone_to_all(struct worker *w, unsigned port, struct pkt *p);
/* Runs fn on worker w: at once when called on it, else through its command ring; a thread that
 * wants an answer has fn call it back (app/app_server.c does). Wakes a sleeping worker. Never waits. -EAGAIN: ring full, try again later. */
int worker_call(struct worker *w, void (*fn)(struct worker *w, void *arg), void *arg);
/* Of a worker whose thread has stopped: does what it had been asked for, so that what that carries is freed. */
void worker_finish_calls(struct worker *w);
/* Holds all workers between two turns, and lets them go on: for the control thread, which changes what they read without locks.
 * -EAGAIN: a worker's command ring is full, nobody is held. */
int stack_pause(struct stack *s);
void stack_resume(struct stack *s);
uint64_t worker_random(struct worker *w);
/* Software RSS: the worker that owns packets from src to dst (as they arrive here). */
unsigned worker_rss_owner(const struct stack *s, uint8_t ip_proto, const struct ip_endpoint *src, const struct ip_endpoint *dst);
/* TCP's packets from src to dst come to w, whatever the hash says, until the second call; the first one only if that is needed. 0, -ENOMEM. */
int worker_pin_add(struct worker *w, const struct ip_endpoint *src, const struct ip_endpoint *dst);
void worker_pin_del(struct worker *w, const struct ip_endpoint *src, const struct ip_endpoint *dst);
/* Datagrams to a local port come to the workers that have sockets there, before the hash decides. The best kind of socket goes first,
 * as on Linux; a worker that finds none for the datagram's addresses passes it on to the next candidate. */
enum worker_udp_kind { WORKER_UDP_CONNECTED, WORKER_UDP_ADDRESS, WORKER_UDP_WILDCARD, WORKER_UDP_KINDS };
enum { WORKER_UDP_CANDIDATES = WORKER_UDP_KINDS * WORKER_MAX };
void worker_rss_udp_claim(struct stack *s, be16 port, unsigned worker, enum worker_udp_kind kind, bool on);
struct worker_udp_candidate { uint8_t worker, kind; };
/* In the order to ask them, of equal ones another first for another peer; returns how many. */
unsigned worker_rss_udp_candidates(const struct stack *s, const struct ip_endpoint *src, const struct ip_endpoint *dst,
                                   struct worker_udp_candidate out[WORKER_UDP_CANDIDATES]);
/* p, at its IP header, goes on at another worker. Takes it. */
void worker_pass_on(struct worker *w, unsigned to, struct interface *ifc, struct pkt *p);
/* A packet at its IP header whose tuple is known only now (reassembled): true = handed over to its owner, p is given away. */
bool worker_steer(struct worker *w, struct interface *ifc, struct pkt *p, uint8_t ip_proto, const struct ip_endpoint *src,
                  const struct ip_endpoint *dst);
static inline void *worker_transport_state(struct worker *w, uint8_t proto) { return w->transport_state[proto]; }

#endif
