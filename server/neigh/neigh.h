/* neigh.h - neighbours: address resolution and reachability, one state table for ARP (RFC 826) and ND (RFC 4861)
 *
 *   (none) -- packet to send --> INCOMPLETE -- answer --> REACHABLE -- 30 s --> STALE -- packet to send --> DELAY -- 5 s --> PROBE
 *   INCOMPLETE -- 3 requests unanswered --> (none), waiting packets fail with EHOSTUNREACH
 *   PROBE -- 3 unicast requests unanswered --> (none);  any -- answer, or progress of TCP by way of it --> REACHABLE;
 *   STALE -- 10 min unused --> (none)
 *   any -- by hand --> PERMANENT -- by hand --> (none)
 *
 * Owner:  one table per worker; entries are reused, a generation in each tells a stale pointer (struct ip_route_cache).
 * Thread: the worker. What one worker learns from an answer, the others learn from its copy (worker_clone_to_all).
 * Errors: waiting packets are dropped with a counter and an ICMP-like report to their transport. */
#ifndef HOSTSTACK_SERVER_NEIGH_H
#define HOSTSTACK_SERVER_NEIGH_H

#include "server/ip/interface.h"

enum neigh_limits {
    NEIGH_MAX = 4096,            /* entries of a worker's table */
    NEIGH_MAX_INCOMPLETE = 512,  /* so that a scan cannot push out what is known */
    NEIGH_BUCKETS = 2048,
    NEIGH_QUEUE = 100,           /* packets waiting for one neighbour (RFC 4861 s7.2.2: the oldest goes first); about Linux's 200 KiB */
    NEIGH_QUEUE_TOTAL = 1024,    /* waiting in one worker: a scan may not empty the packet pool */
};
/* RFC 4861 s10. */
enum neigh_times_us {
    NEIGH_RETRANS_US = 1000000,
    NEIGH_DELAY_FIRST_US = 5000000,
    NEIGH_REACHABLE_US = 30000000,
    NEIGH_GC_US = 600000000,
};
enum { NEIGH_MAX_PROBES = 3 };

/* RetransTimer of the interface: of IPv6, as its routers have told. */
static inline uint64_t neigh_retrans_us(const struct interface *ifc, bool is_v4)
{
    uint32_t told = is_v4 ? 0 : __atomic_load_n(&ifc->retrans_ms, __ATOMIC_RELAXED);

    return told ? told * UINT64_C(1000) : NEIGH_RETRANS_US;
}

enum neigh_state { NEIGH_FREE, NEIGH_INCOMPLETE, NEIGH_REACHABLE, NEIGH_STALE, NEIGH_DELAY, NEIGH_PROBE, NEIGH_PERMANENT,
                   NEIGH_STATES };

struct neigh {
    struct ip_addr ip;
    struct interface *ifc;
    uint32_t gen;                /* changes when the entry is given to another address */
    uint8_t state;
    uint8_t mac[6];
    bool is_router, used;        /* used: a packet went out since the last look of the collector */
    uint8_t probes;              /* sent in this state */
    uint8_t n_queued;
    uint64_t reachable_us;       /* how long a confirmation holds */
    uint64_t confirmed_us;       /* the last one, by an answer or by a transport */
    struct neigh *next;          /* of its bucket, or of the free list */
    struct timer_node timer;
    struct pkt *queue[NEIGH_QUEUE];
    struct worker *w;
};

int neigh_create(struct worker *w);
void neigh_destroy(struct worker *w);

/* Sends p (at the IP header) to the neighbour ip on ifc, resolving it first if need be. n: what an earlier call returned, if still
 * valid (neigh_is_valid), or NULL. Takes p. Returns the entry, or NULL (dropped, counted). */
struct neigh *neigh_output(struct worker *w, struct interface *ifc, const struct ip_addr *ip, struct neigh *n, struct pkt *p);
static inline bool neigh_is_valid(const struct neigh *n, uint32_t gen) { return n && n->gen == gen; }

/* ARP message, p at its header. Takes p; copies it to the other workers where they should learn from it. */
void arp_input(struct worker *w, struct interface *ifc, struct pkt *p);
/* ICMPv6 types 133..137, checksum verified, p at the ICMPv6 header, meta.ttl the hop limit. Takes p. */
void nd_input(struct worker *w, struct pkt *p);
/* Starts probing and announcing an address of ours: worker 0 does it when it first runs. */
void neigh_announce_start(struct interface_addr *a);

/* What the codecs tell the table. */
struct neigh *neigh_lookup(struct worker *w, const struct interface *ifc, const struct ip_addr *ip);
enum neigh_learn { NEIGH_LEARN_UPDATE, NEIGH_LEARN_CREATE };
/* An unsolicited word that ip is at mac (ARP request, NS, unsolicited NA): STALE. */
void neigh_heard(struct worker *w, struct interface *ifc, const struct ip_addr *ip, const uint8_t mac[6], enum neigh_learn how);
/* An answer to our request. */
void neigh_answered(struct worker *w, struct neigh *n, const uint8_t mac[6]);
/* A transport hears from behind n, in answer to what it sent (RFC 4861 s7.3.1): cheap, for each such packet. */
void neigh_confirm(struct worker *w, struct neigh *n);
void neigh_stale(struct worker *w, struct neigh *n);
void neigh_send_queue(struct worker *w, struct neigh *n);
/* One request for n: multicast or broadcast, or unicast to its known address. */
void arp_request(struct worker *w, struct interface *ifc, const struct ip_addr *target, const uint8_t *unicast_mac);
void nd_solicit(struct worker *w, struct interface *ifc, const struct ip_addr *target, const uint8_t *unicast_mac);
/* Probe and announcement of our own address (timer of the address, worker 0). */
void arp_probe(struct worker *w, struct interface_addr *a);
void arp_announce(struct worker *w, struct interface_addr *a);
/* Another node uses, or tries, our tentative address: it stays out of use. */
void neigh_addr_is_duplicate(struct worker *w, struct interface_addr *a);
void nd_dad_probe(struct worker *w, struct interface_addr *a);
void nd_advertise_unsolicited(struct worker *w, struct interface_addr *a);

/* By hand, on any thread while the worker is held. */
int neigh_set_permanent(struct worker *w, struct interface *ifc, const struct ip_addr *ip, const uint8_t mac[6]); /* -ENOSPC, -EINVAL */
int neigh_forget(struct worker *w, struct interface *ifc, const struct ip_addr *ip); /* -ENOENT */

/* Asks for a neighbour that nothing is waiting for. */
void neigh_solicit(struct worker *w, struct interface *ifc, const struct ip_addr *ip);
bool neigh_has_waiting(const struct worker *w); /* packets, for the answer of a neighbour */
void neigh_show(struct worker *w, struct json_t *array); /* on worker w (worker_call): appends its entries */

#endif
