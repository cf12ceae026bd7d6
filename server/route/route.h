/* route.h - static and connected routes: longest prefix match per interface table, IPv4 and IPv6 in one way
 *
 * A binary trie per table and family in process memory: rte_fib and rte_lpm6 would take tens of MiB of EAL memory per table, and
 * DESIGN.md keeps EAL memory for mbufs. A lookup is rare: connections keep its result (struct ip_route_cache).
 *
 * A route may have several next hops: a chain of struct route, whose first one is found. Flows are spread over those that are not known
 * to be dead: a gateway that did not answer when it was asked is dead until it does.
 *
 * Owner:  struct stack; freed by ip_stack_destroy().
 * Thread: changed by the control thread, before workers run or while they are held (stack_pause()); dead and retry_us: any worker, atomic.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_ROUTE_H
#define HOSTSTACK_SERVER_ROUTE_H

#include "server/ip/interface.h"

enum route_limits { ROUTE_MAX_FIBS = 64, ROUTE_MAX = 1u << 20, ROUTE_MAX_HOPS = 8, ROUTE_MAX_MULTI = 256 };
enum { ROUTE_RETRY_US = 10000000 }; /* a dead gateway is asked again so often, when there are flows to spread */
enum route_kind { ROUTE_CONNECTED, ROUTE_STATIC, ROUTE_DHCP, ROUTE_LINUX, ROUTE_REDIRECT };

struct route {
    struct ip_prefix prefix;     /* host bits zero */
    uint16_t fib;
    uint8_t kind;                /* enum route_kind */
    bool has_gateway;
    struct ip_addr gateway;
    struct interface *ifc;
    bool is_dead;                /* of several hops: it did not answer; atomic, as the next one */
    uint64_t retry_us;
    struct route *next;          /* the next hop of the same prefix; NULL = the last */
};

/* via NULL: destinations are on the link of ifc. ifc NULL: the interface whose connected prefix holds via.
 * -EEXIST, -EINVAL (families differ, multicast prefix, neither via nor ifc, table out of range), -ENETUNREACH (via on no
 * interface), -ENOSPC, -ENOMEM. */
int route_add(struct stack *s, uint16_t fib, const struct ip_prefix *prefix, const struct ip_addr *via, struct interface *ifc);
/* The same, and of which kind it is: whoever made it removes it. */
int route_add_of_kind(struct stack *s, uint16_t fib, const struct ip_prefix *prefix, const struct ip_addr *via, struct interface *ifc,
                      enum route_kind kind);
/* One more hop of a static route that is there. -ENOENT (no such route), -EEXIST (has that hop), -ENOSPC (ROUTE_MAX_HOPS, or ROUTE_MAX_MULTI
 * routes of several), and those of route_add(). */
int route_add_hop(struct stack *s, uint16_t fib, const struct ip_prefix *prefix, const struct ip_addr *via, struct interface *ifc);
/* Of the hops of r the one for a flow. *ask: a dead one that is to be asked again, else NULL. */
const struct route *route_choose(const struct route *r, uint32_t flow, uint64_t now_us, const struct route **ask);
/* A neighbour did not answer, or has answered: hops by it are dead, or not. Any worker. */
void route_gateway_failed(struct route_table *t, const struct interface *ifc, const struct ip_addr *ip, uint64_t now_us);
void route_gateway_works(struct route_table *t, const struct interface *ifc, const struct ip_addr *ip);
int route_add_connected(struct interface *ifc, const struct ip_prefix *prefix); /* keeps the first of equal ones: -EEXIST */
int route_del(struct route_table *t, uint16_t fib, const struct ip_prefix *prefix, enum route_kind kind); /* -ENOENT */
void route_changed(struct route_table *t);  /* what connections keep of earlier lookups is void */
const struct route *route_lookup(const struct route_table *t, uint16_t fib, const struct ip_addr *dst); /* NULL = none */
/* The same of those that leave by ifc, and the hop that does. */
const struct route *route_lookup_by(const struct route_table *t, uint16_t fib, const struct ip_addr *dst, const struct interface *ifc);
uint32_t route_generation(const struct route_table *t);

int route_table_create(struct route_table **out);
void route_table_destroy(struct route_table *t);
void route_show(struct stack *s, struct json_t *array);

#endif
