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
    pkt_free(p);
}

#endif
