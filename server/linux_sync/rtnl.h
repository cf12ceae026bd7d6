/* rtnl.h - what the kernel has at an interface, by rtnetlink(7)
 * Owner:  the caller; rtnl_state is freed by rtnl_state_free().
 * Thread: control thread.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_LINUX_SYNC_RTNL_H
#define HOSTSTACK_SERVER_LINUX_SYNC_RTNL_H

#include "common/ip_addr.h"

enum rtnl_limits { RTNL_MAX_ADDRS = 32, RTNL_MAX_ROUTES = 4096, RTNL_MAX_NEIGHS = 1024 };

struct rtnl_addr { struct ip_prefix prefix; bool is_deprecated, is_temporary; };
struct rtnl_route {
    struct ip_prefix prefix;
    struct ip_addr via;
    bool has_via;
    uint32_t metric;
};
struct rtnl_neigh { struct ip_addr ip; uint8_t mac[6]; };

struct rtnl_state {
    unsigned n_addrs, n_routes, n_neighs;
    struct rtnl_addr *addr;      /* in use, not link-local */
    struct rtnl_route *route;    /* of the main table by this interface, not those that come with addresses; one a prefix, the best metric */
    struct rtnl_neigh *neigh;    /* permanent ones */
    bool is_cut;                 /* the kernel has more than is taken */
};

int rtnl_listen(void);           /* a descriptor, readable when something has changed */
/* Takes what is there to be read. True: it may be about one of the interfaces. */
bool rtnl_drain(int fd, const unsigned *ifindex, unsigned n);
/* ifindex 0 (no such interface): nothing. -EAGAIN: the kernel changed meanwhile, once more. */
int rtnl_read(unsigned ifindex, struct rtnl_state *out);
void rtnl_state_free(struct rtnl_state *s);

#endif
