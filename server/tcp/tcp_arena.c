/* tcp_arena.c - places of one size in slabs (tcp_arena.h) */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "common/map_aligned.h"
#include "server/tcp/tcp_arena.h"

enum { SLAB_SIZE = 1 << 16 }; /* and its alignment: a place leads to its slab */

struct tcp_slab {
    struct tcp_slab *next, *prev; /* with room */
    void *free;                   /* given back, linked through their first bytes */
    uint32_t index, n_taken;
    uint32_t n_touched;           /* places behind have never been used: the kernel need not have memory for them */
} HS_ALIGNED_LINE;

static uint32_t slab_places(const struct tcp_arena *a) { return (SLAB_SIZE - (uint32_t)sizeof(struct tcp_slab)) / a->size; }
static void *slab_place(const struct tcp_arena *a, struct tcp_slab *s, uint32_t i) { return (uint8_t *)(s + 1) + (size_t)i * a->size; }
static struct tcp_slab *slab_of(void *place) { return (struct tcp_slab *)((uintptr_t)place & ~(uintptr_t)(SLAB_SIZE - 1)); }

void tcp_arena_init(struct tcp_arena *a, uint32_t size) { *a = (struct tcp_arena){ .size = size }; }

static void room_add(struct tcp_arena *a, struct tcp_slab *s)
{
    s->prev = NULL;
    s->next = a->with_room;
    if (s->next)
        s->next->prev = s;
    a->with_room = s;
}

static void room_del(struct tcp_arena *a, struct tcp_slab *s)
{
    if (s->prev)
        s->prev->next = s->next;
    else
        a->with_room = s->next;
    if (s->next)
        s->next->prev = s->prev;
}

/* The number of a slab that was given back, or a new one. */
static int number_find(struct tcp_arena *a, uint32_t *out)
{
    struct tcp_slab **v;

    for (*out = 0; *out < a->n_slabs && a->slabs[*out];)
        (*out)++;
    if (*out < a->n_slabs)
        return 0;
    v = realloc(a->slabs, (a->n_slabs + 16) * sizeof(struct tcp_slab *));
    if (!v)
        return -1;
    for (unsigned i = 0; i < 16; i++)
        v[a->n_slabs + i] = NULL;
    a->slabs = v;
    a->n_slabs += 16;
    return 0;
}

static struct tcp_slab *slab_new(struct tcp_arena *a)
{
    struct tcp_slab *s;
    uint32_t index;

    if (number_find(a, &index) != 0)
        return NULL;
    s = hs_map_aligned(SLAB_SIZE);
    if (!s)
        return NULL;
    s->index = index;
    a->slabs[index] = s;
    a->n_empty++;
    room_add(a, s);
    return s;
}

void *tcp_arena_take(struct tcp_arena *a)
{
    struct tcp_slab *s = a->with_room ? a->with_room : slab_new(a);
    void *place;

    if (!s)
        return NULL;
    place = s->free;
    if (place) {
        memcpy(&s->free, place, sizeof(s->free));
        memset(place, 0, a->size);
    } else {
        place = slab_place(a, s, s->n_touched++);
    }
    a->n_empty -= s->n_taken == 0;
    if (++s->n_taken == slab_places(a))
        room_del(a, s);
    a->n_taken++;
    return place;
}

enum { NAME_PLACE_BITS = 10 };
static_assert(SLAB_SIZE / HS_CACHE_LINE <= 1 << NAME_PLACE_BITS, "no place is smaller than a line");

uint32_t tcp_arena_name(const struct tcp_arena *a, void *place)
{
    struct tcp_slab *s = slab_of(place);
    uint32_t i = (uint32_t)((uint8_t *)place - (uint8_t *)(s + 1)) / a->size;

    return (s->index << NAME_PLACE_BITS | i) + 1;
}

void *tcp_arena_named(const struct tcp_arena *a, uint32_t name)
{
    uint32_t slab = (name - 1) >> NAME_PLACE_BITS, i = (name - 1) & ((1u << NAME_PLACE_BITS) - 1);
    struct tcp_slab *s = name && slab < a->n_slabs ? a->slabs[slab] : NULL;

    return s && i < s->n_touched ? slab_place(a, s, i) : NULL;
}

void tcp_arena_give(struct tcp_arena *a, void *place)
{
    struct tcp_slab *s = slab_of(place);

    if (s->n_taken-- == slab_places(a))
        room_add(a, s);
    memcpy(place, &s->free, sizeof(s->free));
    s->free = place;
    a->n_taken--;
    a->n_empty += s->n_taken == 0;
}

/* One stays: what comes and goes alone costs no system calls. */
void tcp_arena_trim(struct tcp_arena *a)
{
    for (struct tcp_slab *s = a->with_room, *next; s && a->n_empty > 1; s = next) {
        next = s->next;
        if (s->n_taken)
            continue;
        room_del(a, s);
        a->slabs[s->index] = NULL;
        a->n_empty--;
        munmap(s, SLAB_SIZE);
    }
}

void *tcp_arena_next(const struct tcp_arena *a, uint32_t *i)
{
    uint32_t n = slab_places(a);

    for (; *i / n < a->n_slabs; *i = (*i / n + 1) * n) {
        struct tcp_slab *s = a->slabs[*i / n];

        if (s && *i % n < s->n_touched)
            return slab_place(a, s, *i % n);
    }
    return NULL;
}

void tcp_arena_fini(struct tcp_arena *a)
{
    for (uint32_t i = 0; i < a->n_slabs; i++) {
        if (a->slabs[i])
            munmap(a->slabs[i], SLAB_SIZE);
    }
    free(a->slabs);
    tcp_arena_init(a, a->size);
}
