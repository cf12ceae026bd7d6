/* mcast.h - multicast groups: which an interface is in, from whom, and the reports to routers (IGMPv3, MLDv2)
 *
 *   (free) -- first socket joins --> MEMBER: two reports of the change, then answers to queries
 *   MEMBER -- last socket leaves --> LEAVING: two reports of the change --> (free)
 *
 * Each socket has a filter for its group; the interface has what they come to together (RFC 3376 s3.2, RFC 3810 s4.2).
 *
 * Owner:  struct interface; mcast_ifc_create() when it is added, mcast_ifc_destroy() with it.
 * Thread: changes: any worker, under the interface's lock. mcast_accepts(): any worker, without lock where nobody filters. Reports: worker 0.
 * Errors: 0 or -errno, as setsockopt gives them. */
#ifndef HOSTSTACK_SERVER_MCAST_H
#define HOSTSTACK_SERVER_MCAST_H

#include "server/worker/worker.h"

enum mcast_limits {
    MCAST_GROUPS = 64,           /* of an interface */
    MCAST_SOURCES = 64,          /* named in the filters of a group on an interface; a socket may name as many (Linux: mld_max_msf) */
    MCAST_ROBUSTNESS = 2,        /* RFC 3376 s8.1, RFC 3810 s9.1 */
};

struct interface;
struct json_t;

struct mcast_filter {
    bool is_include;             /* only these sources, else all but these */
    uint8_t n;
    struct ip_addr source[MCAST_SOURCES];
};

int mcast_ifc_create(struct interface *ifc);   /* -ENOMEM */
void mcast_ifc_destroy(struct interface *ifc);

/* A socket that wanted `from` of the group there wants `to` from now on; NULL: nothing. -EINVAL (no group), -ENOBUFS (too many groups
 * or sources, or a busy worker): nothing has changed then. To want less never fails. */
int mcast_change(struct interface *ifc, const struct ip_addr *group, const struct mcast_filter *from, const struct mcast_filter *to);
extern const struct mcast_filter mcast_everybody;
static inline bool mcast_filter_passes(const struct mcast_filter *f, const struct ip_addr *source)
{
    for (unsigned i = 0; i < f->n; i++)
        if (ip_addr_eq(&f->source[i], source))
            return f->is_include;
    return !f->is_include;
}
/* Does any socket want what `source` sends to the group? NULL: what anybody does. */
bool mcast_accepts(const struct interface *ifc, const struct ip_addr *group, const struct ip_addr *source);
/* The interface that a group is joined on when the program names none: the route's, else the table's first. NULL = none. */
struct interface *mcast_default_ifc(struct stack *s, uint16_t fib, const struct ip_addr *group);

/* p at the IGMP header. Takes it. */
void igmp_input(struct worker *w, struct pkt *p);
/* p at the ICMPv6 header of a query, report or done message, checksum verified. Takes it. */
void mld_input(struct worker *w, struct pkt *p);
/* Any thread while the worker is held, or worker 0: an address was added, its solicited-node group is told of. */
void mcast_address_added(struct interface *ifc);
/* The groups joined, each as text: GROUP, and where somebody filters "include" or "exclude" with the sources. */
void mcast_show(const struct interface *ifc, struct json_t *array);

#endif
