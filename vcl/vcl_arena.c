/* vcl_arena.c - the client's ring memory: a buddy allocator, its books in private memory only */
#include <stdlib.h>
#include <sys/mman.h>
#include "vcl/vcl_internal.h"

enum { BLK_FREE = 0x40, BLK_USED = 0x80, BLK_ORDER = 0x1f,
       SMALL_ORDER = 12 - SVM_RING_MIN_LOG2, SMALL_SHARE = 8 };

static void list_push(struct vcl_arena *a, uint8_t order, uint32_t blk)
{
    uint32_t head = a->free_head[order];

    a->state[blk] = BLK_FREE | order;
    a->next[blk] = head;
    a->prev[blk] = 0;
    if (head)
        a->prev[head - 1] = blk + 1;
    a->free_head[order] = blk + 1;
}

static void list_remove(struct vcl_arena *a, uint8_t order, uint32_t blk)
{
    if (a->prev[blk])
        a->next[a->prev[blk] - 1] = a->next[blk];
    else
        a->free_head[order] = a->next[blk];
    if (a->next[blk])
        a->prev[a->next[blk] - 1] = a->prev[blk];
    a->state[blk] = 0;
}

/* The books are mapped, not filled: pages of a part that is never used cost nothing. */
int vcl_arena_init(struct vcl_arena *a, uint64_t base_off, uint64_t size)
{
    size_t n = size >> SVM_RING_MIN_LOG2, bytes = n * (1 + 2 * sizeof(uint32_t));
    uint8_t *books;

    memset(a, 0, sizeof(*a));
    pthread_mutex_init(&a->lock, NULL);
    a->base_off = base_off;
    a->size = (uint64_t)n << SVM_RING_MIN_LOG2;
    a->n_blocks = (uint32_t)n;
    if (n == 0)
        return 0;
    books = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (books == MAP_FAILED)
        return -ENOMEM;
    a->next = (uint32_t *)(void *)books;
    a->prev = a->next + n;
    a->state = (uint8_t *)(a->prev + n);
    for (uint32_t blk = 0; blk < n;) { /* largest aligned blocks that cover the area */
        uint8_t order = 0;

        while (order < SVM_RING_MAX_LOG2 - SVM_RING_MIN_LOG2 && !(blk & ((2u << order) - 1)) && blk + (2ull << order) <= n)
            order++;
        list_push(a, order, blk);
        if (order > a->max_order)
            a->max_order = order;
        blk += 1u << order;
    }
    return 0;
}

void vcl_arena_fini(struct vcl_arena *a)
{
    if (a->next)
        munmap(a->next, (size_t)a->n_blocks * (1 + 2 * sizeof(uint32_t)));
    a->next = NULL;
    a->n_blocks = 0;
}

/* FIFOs that have grown and are not read leave others what lets them go on. */
void vcl_arena_keep_small(struct vcl_arena *a) { a->n_small = a->n_blocks / SMALL_SHARE; }

int vcl_arena_alloc(struct vcl_arena *a, uint8_t log2, uint64_t *offset)
{
    uint8_t want = log2 < SVM_RING_MIN_LOG2 ? 0 : log2 - SVM_RING_MIN_LOG2, order;
    uint32_t blk;
    int rc = -ENOMEM;

    pthread_mutex_lock(&a->lock);
    if (hs_unlikely(want > SMALL_ORDER && a->n_used + (1u << want) > a->n_blocks - a->n_small)) {
        pthread_mutex_unlock(&a->lock);
        return rc;
    }
    for (order = want; order <= a->max_order && !a->free_head[order]; order++)
        ;
    if (a->n_blocks && order <= a->max_order) {
        blk = a->free_head[order] - 1;
        list_remove(a, order, blk);
        while (order > want) {
            order--;
            list_push(a, order, blk + (1u << order));
        }
        a->state[blk] = BLK_USED | order;
        a->n_used += 1u << order;
        *offset = a->base_off + ((uint64_t)blk << SVM_RING_MIN_LOG2);
        rc = 0;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

void vcl_arena_free(struct vcl_arena *a, uint8_t log2, uint64_t offset)
{
    uint8_t order = log2 - SVM_RING_MIN_LOG2;
    uint32_t blk;

    pthread_mutex_lock(&a->lock);
    blk = (uint32_t)((offset - a->base_off) >> SVM_RING_MIN_LOG2);
    if (blk < a->n_blocks && a->state[blk] == (BLK_USED | order)) {
        a->n_used -= 1u << order;
        while (order < a->max_order) { /* join with the buddy as long as that is free and as large */
            uint32_t buddy = blk ^ (1u << order);

            if (buddy + (1ull << order) > a->n_blocks || a->state[buddy] != (BLK_FREE | order))
                break;
            list_remove(a, order, buddy);
            a->state[blk] = 0;
            blk &= ~(1u << order);
            order++;
        }
        list_push(a, order, blk);
    }
    pthread_mutex_unlock(&a->lock);
}
