/* svm_ring_alloc.h - memory for FIFO rings: blocks of 2^7 to 2^28 bytes out of the ring areas of segments
 * Owner:  whoever owns the areas: the server for S, a client for C and for its PAIR arena. Several areas (banks) per allocator,
 *         and several allocators may share a bank by giving each its own part.
 * Thread: one at a time (svm_ring_alloc_ops), or any through a private mutex (svm_ring_alloc_ops_locked).
 * Memory: all book-keeping is process-private; the areas themselves are never read or written here.
 * Errors: 0 or -errno; -ENOMEM: no free block, or the kernel has no memory for it.
 *
 * A buddy system on bitmaps with summaries: the lowest free block of the smallest order that fits is taken, so that memory touched
 * before is touched again and the rest stays unallocated. Both ways cost at most one step an order. */
#ifndef HOSTSTACK_SVM_RING_ALLOC_H
#define HOSTSTACK_SVM_RING_ALLOC_H

#include <pthread.h>
#include "svm/svm_fifo.h"

struct svm_ring_area;
struct svm_ring_alloc {
    struct svm_ring_area *areas[SVM_MAX_BANKS];
    uint32_t n_areas;
    uint64_t used_bytes, total_bytes;
    pthread_mutex_t lock; /* svm_ring_alloc_ops_locked only */
};

void svm_ring_alloc_init(struct svm_ring_alloc *a);
void svm_ring_alloc_fini(struct svm_ring_alloc *a);
/* [offset, offset + size) of the segment of `region`, offset a multiple of 64. fd: the segment's, kept open by the caller while the
 * area is here. reserve: a block's pages are allocated (fallocate) when it is handed out first, so that writing cannot fault. */
int svm_ring_alloc_add(struct svm_ring_alloc *a, uint16_t region, uint64_t offset, uint64_t size, int fd, bool reserve);
/* Takes an area away again (a segment goes): -EBUSY while a block of it is in use, -ENOENT. */
int svm_ring_alloc_remove(struct svm_ring_alloc *a, uint16_t region, uint64_t offset);
/* Returns free ranges of 64 KiB and more to the kernel; the number of bytes returned. Segments with F_SEAL_FUTURE_WRITE cannot have
 * holes punched; their areas are skipped and remain as large as their peak. A system call per range: not for the data path. */
uint64_t svm_ring_alloc_trim(struct svm_ring_alloc *a);

/* struct svm_ring_ops: ctx is the struct svm_ring_alloc. */
extern const struct svm_ring_ops svm_ring_alloc_ops, svm_ring_alloc_ops_locked;

#endif
