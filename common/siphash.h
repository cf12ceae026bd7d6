/* siphash.h - SipHash-2-4 and 1-3, a keyed hash that peers cannot steer (Aumasson and Bernstein, 2012)
 * Owner:  plain functions, no state.
 * Thread: any.
 * Memory: reads `len` bytes at `data`, any alignment.
 * Errors: none. */
#ifndef HOSTSTACK_COMMON_SIPHASH_H
#define HOSTSTACK_COMMON_SIPHASH_H

#include "common/types.h"

uint64_t siphash24(const uint8_t key[16], const void *data, size_t len);

uint64_t siphash24_words(const uint8_t key[16], const uint64_t *words, size_t n); /* the same of n * 8 bytes */

/* SipHash-1-3 of whole words: for the place in a hash table, where a peer sees no hash and wins nothing but a longer chain by each
 * collision that it guesses. What leaves the host (sequence numbers, cookies, ports) takes SipHash-2-4. */
uint64_t siphash13_words(const uint8_t key[16], const uint64_t *words, size_t n);

#endif
