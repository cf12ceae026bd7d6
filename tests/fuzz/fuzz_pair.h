/* fuzz_pair.h - a certificate and its key for fuzz targets, and numbers from a seed
 * Owner:  the caller.
 * Errors: false. */
#ifndef HOSTSTACK_TESTS_FUZZ_PAIR_H
#define HOSTSTACK_TESTS_FUZZ_PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FUZZ_PEM_MAX = 8192 };

struct fuzz_pair {
    char cert[FUZZ_PEM_MAX], key[FUZZ_PEM_MAX]; /* PEM */
    size_t cert_len, key_len;
};
bool fuzz_make_pair(struct fuzz_pair *p);

static inline uint64_t fuzz_rnd(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15ull); /* splitmix64 */

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

#endif
