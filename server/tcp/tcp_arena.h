/* tcp_arena.h - places of one size for connections, in slabs that go back to the kernel when nothing is in them any more
 * Owner:  one per worker and size (struct tcp_worker).
 * Thread: owning worker only.
 * Memory: process-private; addresses are stable while a place is taken.
 * Errors: NULL when there is no memory. */
#ifndef HOSTSTACK_SERVER_TCP_ARENA_H
#define HOSTSTACK_SERVER_TCP_ARENA_H

#include "common/types.h"

struct tcp_slab;
struct tcp_arena {
    struct tcp_slab **slabs;    /* NULL where one was given back */
    struct tcp_slab *with_room; /* those that have a free place */
    uint32_t n_slabs, size;     /* size: of a place, a multiple of 8; whole cache lines are aligned to lines */
    uint32_t n_taken;
    uint32_t n_empty;           /* slabs in which nothing is */
};

void tcp_arena_init(struct tcp_arena *a, uint32_t size);
void *tcp_arena_take(struct tcp_arena *a);          /* zeroed */
void tcp_arena_give(struct tcp_arena *a, void *place); /* its first 8 bytes are written, the others stay until it is taken again */
void tcp_arena_trim(struct tcp_arena *a);           /* gives empty slabs back; not while somebody looks at a place given back just now */
/* A name of a taken place, never 0, and the place of that name, which may be free by now: NULL or memory of one. */
uint32_t tcp_arena_name(const struct tcp_arena *a, void *place);
void *tcp_arena_named(const struct tcp_arena *a, uint32_t name);
/* The first place from number *i on that was ever taken since its slab is there; *i = its number. NULL: there is none. */
void *tcp_arena_next(const struct tcp_arena *a, uint32_t *i);
void tcp_arena_fini(struct tcp_arena *a);

#endif
