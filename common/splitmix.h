/* splitmix.h - numbers that follow from a seed: SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014)
 * For tests and simulations, and to spread a small seed over the state of a larger generator. A peer can predict it.
 * Owner:  the caller: 64 bits of state, every value a good one.
 * Errors: none. */
#ifndef HOSTSTACK_COMMON_SPLITMIX_H
#define HOSTSTACK_COMMON_SPLITMIX_H

#include <stdint.h>

static inline uint64_t hs_splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

#endif
