/* mcast.h - multicast groups: which an interface is in, and the reports to routers (IGMPv3, MLDv2)
 *
 *   (free) -- first socket joins --> MEMBER: two reports of the change, then answers to queries
 *   MEMBER -- last socket leaves --> LEAVING: two reports of the change --> (free)
 *
 * Every group is joined for all sources (EXCLUDE of none): there are no source filters.
 *
 * Owner:  struct interface; mcast_ifc_create() when it is added, mcast_ifc_destroy() with it.
 * Thread: join and leave: any worker, under the interface's lock. mcast_is_member(): any worker, without lock. Reports: worker 0.
 * Errors: 0 or -errno, as setsockopt gives them. */
#ifndef HOSTSTACK_SERVER_MCAST_H
#define HOSTSTACK_SERVER_MCAST_H

#include "server/worker/worker.h"

enum mcast_limits {
    MCAST_GROUPS = 64,           /* of an interface */
    MCAST_ROBUSTNESS = 2,        /* RFC 3376 s8.1, RFC 3810 s9.1 */
};

struct interface;
struct json_t;

int mcast_ifc_create(struct interface *ifc);   /* -ENOMEM */
void mcast_ifc_destroy(struct interface *ifc);

/* One more, or one less, socket wants the group there. -EINVAL (no group), -ENOBUFS (too many groups, or a busy worker). */
int mcast_join(struct worker *w, struct interface *ifc, const struct ip_addr *group);
void mcast_leave(struct worker *w, struct interface *ifc, const struct ip_addr *group);
bool mcast_is_member(const struct interface *ifc, const struct ip_addr *group);
/* The interface that a group is joined on when the program names none: the route's, else the table's first. NULL = none. */
struct interface *mcast_default_ifc(struct stack *s, uint16_t fib, const struct ip_addr *group);

/* p at the IGMP header. Takes it. */
void igmp_input(struct worker *w, struct pkt *p);
/* p at the ICMPv6 header of a query, report or done message, checksum verified. Takes it. */
void mld_input(struct worker *w, struct pkt *p);
/* Any thread while the worker is held, or worker 0: an address was added, its solicited-node group is told of. */
void mcast_address_added(struct interface *ifc);
void mcast_show(const struct interface *ifc, struct json_t *array); /* names of the groups joined */

#endif
