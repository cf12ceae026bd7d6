/* pmtu.h - path MTUs that ICMP has told of, or probes of TCP have found, by destination (RFC 1191, RFC 8201 s5.2): a small cache that forgets
 * Owner:  struct ip_worker.
 * Thread: the worker; ICMP errors come to all workers, each keeps what concerns its own sockets.
 * Errors: none; a full set forgets its oldest entry. */
#ifndef HOSTSTACK_SERVER_PMTU_H
#define HOSTSTACK_SERVER_PMTU_H

#include "common/ip_addr.h"

struct worker;

enum pmtu_limits {
    PMTU_SETS = 256,
    PMTU_WAYS = 4,
    PMTU_MIN_V4 = 552,           /* as Linux: what claims less is not believed, so that nobody makes us send crumbs */
    PMTU_MIN_V6 = 1280,
};
enum { PMTU_LIFETIME_US = 600000000 }; /* RFC 8201 s4: not tried larger before 10 minutes have passed */

struct pmtu_entry {
    struct ip_addr dst;
    uint64_t until_us;           /* 0 = free */
    uint16_t fib, mtu;
};
struct pmtu_table {
    bool is_used;                /* false: nothing was ever learnt, lookups cost nothing */
    struct pmtu_entry e[PMTU_SETS][PMTU_WAYS];
};

/* The caller has checked that the message is about a packet of ours. Smaller only; the same once more holds longer. */
void pmtu_learn(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint32_t mtu);
/* A packet of that size has arrived there: what is known is no less. */
void pmtu_arrived(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint16_t mtu);
/* mtu, or what is known of the path if that is less. */
uint16_t pmtu_limit(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint16_t mtu);

#endif
