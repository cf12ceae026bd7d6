/* svm_test.h - two halves over plain memory with a real ring allocator, for the tests of svm/
 * Owner:  the test.
 * Thread: as the halves say. */
#ifndef HOSTSTACK_SVM_TEST_H
#define HOSTSTACK_SVM_TEST_H

#include <stdlib.h>
#include <string.h>
#include "svm/svm_fifo.h"
#include "svm/svm_ring_alloc.h"

struct pair {
    struct svm_fifo_prod_line *pl;
    struct svm_fifo_cons_line *cl;
    uint8_t *mem;                 /* exactly the area: ASan sees any byte outside */
    struct svm_region_table regions;
    struct svm_ring_alloc alloc;
    struct svm_fifo_prod p;
    struct svm_fifo_cons c;
};

static inline void pair_open(struct pair *t, uint32_t max_size, uint64_t area, uint32_t first_pos)
{
    memset(t, 0, sizeof(*t));
    t->pl = aligned_alloc(64, sizeof(*t->pl));
    t->cl = aligned_alloc(64, sizeof(*t->cl));
    memset(t->pl, 0, sizeof(*t->pl));
    memset(t->cl, 0, sizeof(*t->cl));
    t->pl->tail = t->cl->head = first_pos;
    t->mem = aligned_alloc(64, area);
    memset(t->mem, 0xee, area);
    t->regions.r[0].base = t->mem;
    t->regions.r[0].size = area;
    t->regions.n = 1;
    svm_ring_alloc_init(&t->alloc);
    svm_ring_alloc_add(&t->alloc, 0, 0, area, -1, false);
    svm_fifo_prod_init(&t->p, t->pl, t->cl, &t->regions, &svm_ring_alloc_ops, &t->alloc, max_size);
    svm_fifo_cons_init(&t->c, t->cl, t->pl, &t->regions, max_size);
}

static inline void pair_close(struct pair *t)
{
    svm_fifo_prod_fini(&t->p);
    svm_ring_alloc_fini(&t->alloc);
    free(t->mem);
    free(t->pl);
    free(t->cl);
}

/* A byte stream that differs at every shift, so that a misplaced byte shows. */
static inline uint8_t stream_byte(uint64_t pos)
{
    return (uint8_t)((pos * 0x9e3779b97f4a7c15ull) >> 40);
}

static inline uint32_t rnd(uint64_t *seed) /* xorshift64* */
{
    *seed ^= *seed >> 12;
    *seed ^= *seed << 25;
    *seed ^= *seed >> 27;
    return (uint32_t)((*seed * 0x2545f4914f6cdd1dull) >> 32);
}

#endif
