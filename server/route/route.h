/* route.h - static and connected routes: longest prefix match per interface table, IPv4 and IPv6 in one way
 *
 * A binary trie per table and family in process memory: rte_fib and rte_lpm6 would take tens of MiB of EAL memory per table, and
 * DESIGN.md keeps EAL memory for mbufs. A lookup is rare: connections keep its result (struct ip_route_cache).
 *
 * Owner:  struct stack; freed by ip_stack_destroy().
 * Thread: changed by the control thread, before workers run or while they are held (stack_pause()).
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_ROUTE_H
#define HOSTSTACK_SERVER_ROUTE_H

#include "server/ip/interface.h"

enum route_limits { ROUTE_MAX_FIBS = 64, ROUTE_MAX = 1u << 20 };
enum route_kind { ROUTE_CONNECTED, ROUTE_STATIC, ROUTE_DHCP };

struct route {
    struct ip_prefix prefix;     /* host bits zero */
    uint16_t fib;
    uint8_t kind;                /* enum route_kind */
    bool has_gateway;
    struct ip_addr gateway;
    struct interface *ifc;
};

/* via NULL: destinations are on the link of ifc. ifc NULL: the interface whose connected prefix holds via.
 * -EEXIST, -EINVAL (families differ, multicast prefix, neither via nor ifc, table out of range), -ENETUNREACH (via on no
 * interface), -ENOSPC, -ENOMEM. */
int route_add(struct stack *s, uint16_t fib, const struct ip_prefix *prefix, const struct ip_addr *via, struct interface *ifc);
/* The same, and of which kind it is: whoever made it removes it. */
int route_add_of_kind(struct stack *s, uint16_t fib, const struct ip_prefix *prefix, const struct ip_addr *via, struct interface *ifc,
                      enum route_kind kind);
int route_add_connected(struct interface *ifc, const struct ip_prefix *prefix); /* keeps the first of equal ones: -EEXIST */
int route_del(struct route_table *t, uint16_t fib, const struct ip_prefix *prefix, enum route_kind kind); /* -ENOENT */
void route_changed(struct route_table *t);  /* what connections keep of earlier lookups is void */
const struct route *route_lookup(const struct route_table *t, uint16_t fib, const struct ip_addr *dst); /* NULL = none */
uint32_t route_generation(const struct route_table *t);

int route_table_create(struct route_table **out);
void route_table_destroy(struct route_table *t);
void route_show(struct stack *s, struct json_t *array);

#endif
