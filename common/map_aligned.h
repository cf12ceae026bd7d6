/* map_aligned.h - private pages whose address is a multiple of their size, so that what lies in them finds their beginning
 * Owner:  the caller: munmap(p, size).
 * Errors: NULL: no memory. */
#ifndef HOSTSTACK_COMMON_MAP_ALIGNED_H
#define HOSTSTACK_COMMON_MAP_ALIGNED_H

#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

/* size: a power of two, of a page or more. Twice as much as is needed holds an aligned piece; what is before and behind goes back. */
static inline void *hs_map_aligned(size_t size)
{
    uint8_t *p = (uint8_t *)mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t before;

    if (p == MAP_FAILED)
        return NULL;
    before = -(uintptr_t)p & (size - 1);
    if (before)
        munmap(p, before);
    munmap(p + before + size, size - before);
    return p + before;
}

#endif
