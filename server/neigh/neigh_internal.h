/* neigh_internal.h - the table behind neigh.h
 * Owner, thread: as neigh.h. */
#ifndef HOSTSTACK_SERVER_NEIGH_INTERNAL_H
#define HOSTSTACK_SERVER_NEIGH_INTERNAL_H

#include "server/ip/ip_internal.h"
#include "server/neigh/neigh.h"

enum { NEIGH_SLAB = 64 };

struct neigh_table {
    struct neigh *bucket[NEIGH_BUCKETS];
    struct neigh *slab[NEIGH_MAX / NEIGH_SLAB]; /* entries never move: caches point to them */
    struct neigh *free;
    uint32_t n_made, n_incomplete;
    uint32_t n_waiting;          /* packets in all queues */
    uint32_t hand;               /* where the collector looks next */
    uint32_t next_gen;
};

static inline void neigh_drop(struct worker *w, struct pkt *p, enum neigh_drop why)
{
    w->ip->count.neigh[why]++;
    if (capture_is_on(w))
        capture_drop(w, p, "neighbor", neigh_drop_texts[why]);
    pkt_free(p);
}

/* The same of a packet that leaves no more: it is at its IP header, and may have waited for long. */
static inline void neigh_drop_unsent(struct worker *w, struct pkt *p, enum neigh_drop why)
{
    w->ip->count.neigh[why]++;
    if (capture_is_on(w))
        capture_drop_held(w, p, pkt_meta(p)->ifc->port, 0, false, "neighbor", neigh_drop_texts[why]);
    pkt_free(p);
}

#endif
