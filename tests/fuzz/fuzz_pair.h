/* fuzz_pair.h - a certificate and its key for fuzz targets
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

#endif
