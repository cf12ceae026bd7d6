/* ip.h - IPv4 and IPv6 between Ethernet and the transports, one path for both
 *
 *   in:  eth_input -> ip_input -> (icmp_input | ops->input of the transport registered for the protocol)
 *   out: ip_output -> route -> neighbour -> eth_output -> worker_tx
 *
 * Owner:  ip_worker per worker.
 * Thread: the worker.
 * Errors: verdict, one counter per dropped packet (ip_drops.def). */
#ifndef HOSTSTACK_SERVER_IP_H
#define HOSTSTACK_SERVER_IP_H

#include "server/worker/worker.h"

/* Made by stack_create(), in this order: ip_stack_create (interfaces and routes), then ip_worker_create for each worker; the other
 * way round in stack_destroy(). Interfaces, addresses (ip/interface.h) and routes (route/route.h) are added before workers run. */
int ip_stack_create(struct stack *s);
void ip_stack_destroy(struct stack *s);
int ip_worker_create(struct worker *w);   /* sets w->ip; the worker's timers and random numbers must be ready */
void ip_worker_destroy(struct worker *w); /* the worker's timers are gone or never run again */

/* What to do about paths that take less than the interface does (values of IP_MTU_DISCOVER). */
enum ip_pmtu {
    IP_PMTU_DONT,              /* fragments may be made on the way (IPv4) */
    IP_PMTU_WANT,              /* DF when it fits the known path, else fragments are made here */
    IP_PMTU_DO,                /* DF; larger than the known path: -EMSGSIZE */
    IP_PMTU_PROBE,             /* DF; larger than the interface: -EMSGSIZE */
};
struct ip_tx {                 /* how to send one packet */
    struct ip_addr src, dst;
    uint16_t fib;
    uint8_t ip_proto;
    uint8_t tos;
    uint8_t ttl;               /* 0 = default 64 */
    uint8_t pmtu;              /* enum ip_pmtu; not looked at with dont_fragment */
    bool dont_fragment;        /* TCP, which keeps a path MTU of its own: DF, and no larger than the interface */
    bool stays;                /* TTL 0: it does not leave this host */
    bool inside;               /* to a loopback address: another connection of this stack is meant, none of the kernel's */
    bool loop;                 /* to a group or a broadcast address: sockets of this host get it, too */
    uint8_t dev;               /* by this one only: see interface_dev(); 0 = any */
    struct ip_route_cache *cache; /* may be NULL; owned by the connection, zero at first */
};
struct ip_route_cache {        /* valid while generation matches the route table's */
    uint32_t generation;
    bool is_local;             /* to ourselves: next_hop is the struct interface_addr */
    const void *next_hop;      /* struct route; NULL = none is remembered */
    struct neigh *neigh;       /* valid while neigh_gen matches; of the worker that uses the cache */
    uint32_t neigh_gen;
    uint32_t confirmed;        /* ip_confirm_time() of the last confirmation */
};

/* The way that c remembers leads to ourselves still. */
bool ip_cache_is_local(struct worker *w, const struct ip_route_cache *c);

void ip_worker_input(struct worker *w, struct interface *ifc, struct pkt **pkts, unsigned n); /* at the IP header */
/* p: at the L4 header, meta.flags PKT_L4_CSUM_NEEDED / PKT_GSO, gso_size, l4_len set by the transport (checksum field holds
 * pkt_pseudo_sum()). Takes p always. 0, or -ENETUNREACH, -EMSGSIZE (larger than MTU and dont_fragment and not GSO), -ENOBUFS. A
 * destination that is one of our own addresses loops back into ip_worker_input in the same turn. */
int ip_output(struct worker *w, struct pkt *p, const struct ip_tx *tx);
/* The way that c remembers works: an answer to what went by it has come (RFC 4861 s7.3.1, RFC 1122 s2.3.2.1). Told about once a
 * second: a confirmation holds 15 s at least. */
static inline uint32_t ip_confirm_time(const struct worker *w) { return (uint32_t)(w->now_us >> 20); }
void ip_confirm_way(struct worker *w, struct ip_route_cache *c);
static inline void ip_confirm(struct worker *w, struct ip_route_cache *c)
{
    if (hs_unlikely(c->confirmed != ip_confirm_time(w)))
        ip_confirm_way(w, c);
}
/* Delivers what ip_output() looped back, until nothing is left or `budget` packets were delivered; returns how many. Called by
 * worker_step() after every stage that sends (input, session tx, timers), so that a local round trip takes one turn. */
unsigned ip_worker_drain_local(struct worker *w, unsigned budget);
/* p, at its L4 header as a transport got it, goes through ip_worker_input() of another worker. false: it cannot, p is still the caller's. */
bool ip_pass_on(struct worker *w, unsigned to, struct pkt *p);
/* Route to dst: MTU in IP bytes (link_mtu: whatever pmtu.h knows), offloads (enum port_offloads, tso_max) of the port. -ENETUNREACH.
 * way: what every packet to dst goes by now, whatever its flow, source and ports; next_hop NULL = that depends. */
struct ip_path {
    uint16_t mtu, link_mtu;
    uint32_t offloads, tso_max;
    struct ip_addr src;
    struct interface *ifc;
    bool is_local;
    struct ip_route_cache way;
};
int ip_path_lookup(struct worker *w, uint16_t fib, const struct ip_addr *dst, struct ip_path *out);
/* The same of who may leave by `dev` only (interface_dev()). IPv4 without a route: dst is taken to be on its link, as Linux does. */
int ip_path_lookup_by(struct worker *w, uint16_t fib, uint8_t dev, const struct ip_addr *dst, struct ip_path *out);
bool ip_is_local_addr(struct worker *w, uint16_t fib, const struct ip_addr *a);  /* an address of one of our interfaces, not tentative */

#endif
