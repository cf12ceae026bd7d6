/* svm_fifo_internal.h - what the parts of the FIFO share: access to ring descriptors, copying, interval list
 * Owner:  svm_fifo_*.c only.
 * Thread: the thread of the half.
 * Memory: SHARED lines are accessed by atomics only, word by word.
 * Errors: see svm_fifo.h. */
#ifndef HOSTSTACK_SVM_FIFO_INTERNAL_H
#define HOSTSTACK_SVM_FIFO_INTERNAL_H

#include <errno.h>
#include <string.h>
#include "svm/svm_fifo.h"

/* The last four bytes of a descriptor as one word, so that it is read and written whole. */
static inline uint32_t svm_ring_word(uint16_t region, uint8_t log2) { return region | (uint32_t)log2 << 16; }
static inline uint16_t svm_ring_word_region(uint32_t w) { return (uint16_t)w; }
static inline uint8_t svm_ring_word_log2(uint32_t w) { return (uint8_t)(w >> 16); }
static_assert(offsetof(struct svm_ring_desc, region) == 8 && offsetof(struct svm_ring_desc, log2) == 10, "ring word");

/* Smallest l with 2^l >= n, at least SVM_RING_MIN_LOG2. */
static inline uint8_t svm_ring_log2_for(uint32_t n)
{
    if (n <= 1u << SVM_RING_MIN_LOG2)
        return SVM_RING_MIN_LOG2;
    return (uint8_t)(32 - __builtin_clz(n - 1));
}

/* Copies into a ring; len <= mask + 1. */
static inline void svm_ring_write(uint8_t *data, uint32_t mask, uint32_t pos, const void *src, uint32_t len)
{
    uint32_t at = pos & mask, first = hs_min_u32(len, mask + 1 - at);

    memcpy(data + at, src, first);
    if (hs_unlikely(first < len))
        memcpy(data, (const uint8_t *)src + first, len - first);
}

/* svm_fifo_ooo.c */
/* Whether [start, end) can be noted: 0 or -ENOBUFS; allocates the list. Nothing is changed otherwise. */
int svm_fifo_ooo_prepare(struct svm_fifo_prod *f, uint32_t start, uint32_t end);
/* Notes [start, end) after svm_fifo_ooo_prepare said 0. */
void svm_fifo_ooo_add(struct svm_fifo_prod *f, uint32_t start, uint32_t end);
/* Given a new tail: removes what it covers, returns the tail moved over what has become contiguous. */
uint32_t svm_fifo_ooo_absorb(struct svm_fifo_prod *f, uint32_t tail);
/* Copies all noted bytes to a new ring. */
void svm_fifo_ooo_move(struct svm_fifo_prod *f, uint8_t *data, uint32_t mask);

#endif
