/* siphash.h - SipHash-2-4, a keyed hash that peers cannot steer (Aumasson and Bernstein, 2012)
 * Owner:  plain functions, no state.
 * Thread: any.
 * Memory: reads `len` bytes at `data`, any alignment.
 * Errors: none. */
#ifndef HOSTSTACK_COMMON_SIPHASH_H
#define HOSTSTACK_COMMON_SIPHASH_H

#include "common/types.h"

uint64_t siphash24(const uint8_t key[16], const void *data, size_t len);

#endif
