/* svm_ring_alloc.c - buddy system on private bitmaps for the rings of FIFOs */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "svm/svm_ring_alloc.h"

enum {
    MIN = SVM_RING_MIN_LOG2,
    N_ORDERS = SVM_RING_MAX_LOG2 - SVM_RING_MIN_LOG2 + 1,
    MAX_LEVELS = 5,       /* 64^5 blocks of 128 bytes */
    CHUNK_LOG2 = 16,      /* grain of reserving and trimming */
    SPARE_ORDERS = 6,     /* small rings come and go with each connection: a few of ... */
    SPARES = 8,           /* ... each size are kept as they are, neither joined nor split again */
};

/* A set of small integers with the lowest member found in one step a level: level 0 has a bit per member, each further level a bit per
 * non-zero word of the one below. */
struct bitset {
    uint64_t *level[MAX_LEVELS];
    uint32_t n_levels;
    uint32_t n_bits;
};

struct svm_ring_area {
    uint64_t offset, size, used;
    struct bitset free[N_ORDERS];
    uint64_t *backed;     /* a bit per chunk: may have pages */
    uint32_t orders;      /* bit o: free[o] is not empty */
    uint32_t spare[SPARE_ORDERS][SPARES]; /* blocks in no set, not in use; they have pages */
    uint8_t n_spare[SPARE_ORDERS];
    uint16_t region;
    int fd;
    bool reserve, cannot_trim;
};

/* ---------------------------------------------------------------- bitset */

static int bitset_init(struct bitset *b, uint64_t n_bits)
{
    size_t words[MAX_LEVELS], total = 0;
    uint64_t *mem;
    uint64_t n = n_bits;

    memset(b, 0, sizeof(*b));
    if (!n_bits)
        return 0;
    do {
        n = (n + 63) / 64;
        words[b->n_levels++] = (size_t)n;
        total += (size_t)n;
    } while (n > 1 && b->n_levels < MAX_LEVELS);
    mem = calloc(total, sizeof(*mem)); /* untouched parts of a large set cost nothing */
    if (!mem || n > 1) {
        free(mem);
        b->n_levels = 0;
        return mem ? -EINVAL : -ENOMEM;
    }
    for (uint32_t i = 0; i < b->n_levels; i++) {
        b->level[i] = mem;
        mem += words[i];
    }
    b->n_bits = (uint32_t)n_bits;
    return 0;
}

static bool bitset_has(const struct bitset *b, uint32_t i)
{
    return i < b->n_bits && (b->level[0][i / 64] >> (i % 64) & 1);
}

static void bitset_add(struct bitset *b, uint32_t i)
{
    for (uint32_t l = 0; l < b->n_levels; l++, i /= 64) {
        bool was = b->level[l][i / 64] != 0;

        b->level[l][i / 64] |= 1ull << (i % 64);
        if (was)
            return;
    }
}

static void bitset_del(struct bitset *b, uint32_t i)
{
    for (uint32_t l = 0; l < b->n_levels; l++, i /= 64) {
        b->level[l][i / 64] &= ~(1ull << (i % 64));
        if (b->level[l][i / 64])
            return;
    }
}

static bool bitset_is_empty(const struct bitset *b)
{
    return !b->n_levels || !b->level[b->n_levels - 1][0];
}

/* Not empty. */
static uint32_t bitset_lowest(const struct bitset *b)
{
    uint32_t i = 0;

    for (uint32_t l = b->n_levels; l-- > 0;)
        i = i * 64 + (uint32_t)__builtin_ctzll(b->level[l][i]);
    return i;
}

/* ---------------------------------------------------------------- areas */

static void put_free(struct svm_ring_area *r, uint32_t order, uint32_t block)
{
    bitset_add(&r->free[order], block);
    r->orders |= 1u << order;
}

static void take_free(struct svm_ring_area *r, uint32_t order, uint32_t block)
{
    bitset_del(&r->free[order], block);
    if (bitset_is_empty(&r->free[order]))
        r->orders &= ~(1u << order);
}

static void area_free(struct svm_ring_area *r)
{
    for (int o = 0; o < N_ORDERS; o++)
        free(r->free[o].level[0]);
    free(r->backed);
    free(r);
}

void svm_ring_alloc_init(struct svm_ring_alloc *a)
{
    memset(a, 0, sizeof(*a));
    pthread_mutex_init(&a->lock, NULL);
}

void svm_ring_alloc_fini(struct svm_ring_alloc *a)
{
    for (uint32_t i = 0; i < a->n_areas; i++)
        area_free(a->areas[i]);
    a->n_areas = 0;
    a->used_bytes = a->total_bytes = 0;
    pthread_mutex_destroy(&a->lock);
}

int svm_ring_alloc_add(struct svm_ring_alloc *a, uint16_t region, uint64_t offset, uint64_t size, int fd, bool reserve)
{
    struct svm_ring_area *r;
    uint64_t at = 0;
    int rc = -ENOMEM;

    size &= ~((1ull << MIN) - 1);
    if (offset % HS_CACHE_LINE || !size || size >> (32 + MIN) || (reserve && fd < 0))
        return -EINVAL;
    if (a->n_areas == SVM_MAX_BANKS)
        return -ENOSPC;
    r = calloc(1, sizeof(*r));
    if (!r)
        return -ENOMEM;
    *r = (struct svm_ring_area){ .offset = offset, .size = size, .region = region, .fd = fd, .reserve = reserve };
    r->backed = calloc((size_t)(size >> (CHUNK_LOG2 + 6)) + 1, sizeof(uint64_t));
    if (!r->backed)
        goto undo_area;
    for (int o = 0; o < N_ORDERS; o++) {
        rc = bitset_init(&r->free[o], size >> (o + MIN));
        if (rc < 0)
            goto undo_area;
    }
    while (at < size) { /* the largest aligned blocks, from low to high */
        uint32_t order = N_ORDERS - 1;

        while (at & ((1ull << (order + MIN)) - 1) || (1ull << (order + MIN)) > size - at)
            order--;
        put_free(r, order, (uint32_t)(at >> (order + MIN)));
        at += 1ull << (order + MIN);
    }
    a->areas[a->n_areas++] = r;
    a->total_bytes += size;
    return 0;
undo_area:
    area_free(r);
    return rc;
}

int svm_ring_alloc_remove(struct svm_ring_alloc *a, uint16_t region, uint64_t offset)
{
    for (uint32_t i = 0; i < a->n_areas; i++) {
        struct svm_ring_area *r = a->areas[i];

        if (r->region != region || r->offset != offset)
            continue;
        if (r->used)
            return -EBUSY;
        a->total_bytes -= r->size;
        a->n_areas--;
        memmove(&a->areas[i], &a->areas[i + 1], (a->n_areas - i) * sizeof(a->areas[0]));
        area_free(r);
        return 0;
    }
    return -ENOENT;
}

static bool chunk_is_backed(const struct svm_ring_area *r, uint64_t c) { return r->backed[c / 64] >> (c % 64) & 1; }

/* Chunks that [at, at + len) touches get pages now. 0 or -ENOMEM. */
static int back(struct svm_ring_area *r, uint64_t at, uint64_t len)
{
    uint64_t c = at >> CHUNK_LOG2, past = ((at + len - 1) >> CHUNK_LOG2) + 1;

    while (c < past) {
        uint64_t from, from_byte, end_byte;

        if (chunk_is_backed(r, c)) {
            c++;
            continue;
        }
        from = c;
        while (c < past && !chunk_is_backed(r, c))
            c++;
        if (r->reserve) {
            from_byte = from << CHUNK_LOG2;
            end_byte = c << CHUNK_LOG2 < r->size ? c << CHUNK_LOG2 : r->size;
            while (fallocate(r->fd, 0, (off_t)(r->offset + from_byte), (off_t)(end_byte - from_byte)) < 0) {
                if (errno != EINTR)
                    return -ENOMEM;
            }
        }
        for (uint64_t i = from; i < c; i++)
            r->backed[i / 64] |= 1ull << (i % 64);
    }
    return 0;
}

static void give(struct svm_ring_area *r, uint32_t order, uint32_t block)
{
    while (order + 1 < N_ORDERS && bitset_has(&r->free[order], block ^ 1)) {
        take_free(r, order, block ^ 1);
        block >>= 1;
        order++;
    }
    put_free(r, order, block);
}

static void give_spares(struct svm_ring_area *r)
{
    for (uint32_t o = 0; o < SPARE_ORDERS; o++) {
        while (r->n_spare[o])
            give(r, o, r->spare[o][--r->n_spare[o]]);
    }
}

static void area_free_block(struct svm_ring_area *r, uint32_t order, uint32_t block)
{
    if (order < SPARE_ORDERS && r->n_spare[order] < SPARES)
        r->spare[order][r->n_spare[order]++] = block;
    else
        give(r, order, block);
}

static int area_alloc(struct svm_ring_area *r, uint32_t want, uint64_t *at)
{
    uint32_t fits = r->orders & ~((1u << want) - 1), order, block;

    if (want < SPARE_ORDERS && r->n_spare[want]) {
        *at = (uint64_t)r->spare[want][--r->n_spare[want]] << (want + MIN);
        return 0;
    }
    if (hs_unlikely(!fits)) {
        give_spares(r);
        fits = r->orders & ~((1u << want) - 1);
        if (!fits)
            return -ENOMEM;
    }
    order = (uint32_t)__builtin_ctz(fits);
    block = bitset_lowest(&r->free[order]);
    take_free(r, order, block);
    while (order > want) { /* keep the lower half, free the upper one */
        order--;
        block <<= 1;
        put_free(r, order, block + 1);
    }
    *at = (uint64_t)block << (want + MIN);
    if (back(r, *at, 1ull << (want + MIN)) < 0) {
        give(r, want, block);
        return -ENOMEM;
    }
    return 0;
}

static int ring_alloc(void *ctx, uint8_t log2, uint16_t *region, uint64_t *offset)
{
    struct svm_ring_alloc *a = ctx;
    uint64_t at;

    if (log2 < SVM_RING_MIN_LOG2 || log2 > SVM_RING_MAX_LOG2)
        return -ENOMEM;
    for (uint32_t i = 0; i < a->n_areas; i++) {
        struct svm_ring_area *r = a->areas[i];

        if (area_alloc(r, log2 - MIN, &at) == 0) {
            r->used += 1ull << log2;
            a->used_bytes += 1ull << log2;
            *region = r->region;
            *offset = r->offset + at;
            return 0;
        }
    }
    return -ENOMEM;
}

static void ring_free(void *ctx, uint8_t log2, uint16_t region, uint64_t offset)
{
    struct svm_ring_alloc *a = ctx;

    for (uint32_t i = 0; i < a->n_areas; i++) {
        struct svm_ring_area *r = a->areas[i];

        if (r->region != region || offset < r->offset || offset - r->offset >= r->size)
            continue;
        area_free_block(r, log2 - MIN, (uint32_t)((offset - r->offset) >> log2));
        r->used -= 1ull << log2;
        a->used_bytes -= 1ull << log2;
        return;
    }
    assert(!"ring of no area");
}

static int ring_alloc_locked(void *ctx, uint8_t log2, uint16_t *region, uint64_t *offset)
{
    struct svm_ring_alloc *a = ctx;
    int rc;

    pthread_mutex_lock(&a->lock);
    rc = ring_alloc(a, log2, region, offset);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

static void ring_free_locked(void *ctx, uint8_t log2, uint16_t region, uint64_t offset)
{
    struct svm_ring_alloc *a = ctx;

    pthread_mutex_lock(&a->lock);
    ring_free(a, log2, region, offset);
    pthread_mutex_unlock(&a->lock);
}

const struct svm_ring_ops svm_ring_alloc_ops = { ring_alloc, ring_free };
const struct svm_ring_ops svm_ring_alloc_ops_locked = { ring_alloc_locked, ring_free_locked };

/* ---------------------------------------------------------------- trim */

/* Punches the backed runs out of one free block. */
static uint64_t trim_block(struct svm_ring_area *r, uint64_t at, uint64_t len)
{
    uint64_t c = at >> CHUNK_LOG2, past = (at + len) >> CHUNK_LOG2, done = 0;

    while (c < past && !r->cannot_trim) {
        uint64_t from = c;

        if (!chunk_is_backed(r, c)) {
            c++;
            continue;
        }
        while (c < past && chunk_is_backed(r, c))
            c++;
        if (fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(r->offset + (from << CHUNK_LOG2)),
                      (off_t)((c - from) << CHUNK_LOG2)) < 0) {
            r->cannot_trim = errno == EPERM;
            return done;
        }
        for (uint64_t i = from; i < c; i++)
            r->backed[i / 64] &= ~(1ull << (i % 64));
        done += (c - from) << CHUNK_LOG2;
    }
    return done;
}

static uint64_t trim_area(struct svm_ring_area *r)
{
    uint64_t done = 0;

    if (r->fd < 0)
        return 0;
    give_spares(r);
    for (uint32_t o = CHUNK_LOG2 - MIN; o < N_ORDERS; o++) {
        for (uint64_t w = 0; w < ((uint64_t)r->free[o].n_bits + 63) / 64; w++) {
            for (uint64_t bits = r->free[o].level[0][w]; bits && !r->cannot_trim; bits &= bits - 1)
                done += trim_block(r, (w * 64 + (uint64_t)__builtin_ctzll(bits)) << (o + MIN), 1ull << (o + MIN));
        }
    }
    return done;
}

uint64_t svm_ring_alloc_trim(struct svm_ring_alloc *a)
{
    uint64_t done = 0;

    pthread_mutex_lock(&a->lock);
    for (uint32_t i = 0; i < a->n_areas; i++)
        done += trim_area(a->areas[i]);
    pthread_mutex_unlock(&a->lock);
    return done;
}
