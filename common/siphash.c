/* siphash.c - SipHash as the paper defines it: 2 rounds a word and 4 at the end, or 1 and 3; little-endian words */
#include "common/siphash.h"

#include <string.h>

struct sip_state {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl64(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static inline void sip_round(struct sip_state *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotl64(s->v1, 13) ^ s->v0;
    s->v3 = rotl64(s->v3, 16) ^ s->v2;
    s->v0 = rotl64(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotl64(s->v1, 17) ^ s->v2;
    s->v3 = rotl64(s->v3, 21) ^ s->v0;
    s->v2 = rotl64(s->v2, 32);
}

static inline void sip_absorb(struct sip_state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    sip_round(s);
    s->v0 ^= word;
}

/* types.h asserts a little-endian host, so a plain load is the paper's word. */
static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* "somepseudorandomlygeneratedbytes", the constants of the paper */
static inline struct sip_state sip_begin(const uint8_t key[16])
{
    uint64_t k0 = load64(key), k1 = load64(key + 8);

    return (struct sip_state){
        .v0 = k0 ^ 0x736f6d6570736575ull,
        .v1 = k1 ^ 0x646f72616e646f6dull,
        .v2 = k0 ^ 0x6c7967656e657261ull,
        .v3 = k1 ^ 0x7465646279746573ull,
    };
}

uint64_t siphash24(const uint8_t key[16], const void *data, size_t len)
{
    const uint8_t *p = data;
    struct sip_state s = sip_begin(key);
    size_t words = len / 8;

    for (size_t i = 0; i < words; i++)
        sip_absorb(&s, load64(p + 8 * i));
    uint64_t last = (uint64_t)len << 56;
    for (size_t i = 8 * words; i < len; i++)
        last |= (uint64_t)p[i] << (8 * (i % 8));
    sip_absorb(&s, last);
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

uint64_t siphash24_words(const uint8_t key[16], const uint64_t *words, size_t n)
{
    struct sip_state s = sip_begin(key);

    for (size_t i = 0; i < n; i++)
        sip_absorb(&s, words[i]);
    sip_absorb(&s, (uint64_t)(n * 8) << 56);
    s.v2 ^= 0xff;
    for (int i = 0; i < 4; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static inline void sip_absorb1(struct sip_state *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

uint64_t siphash13_words(const uint8_t key[16], const uint64_t *words, size_t n)
{
    struct sip_state s = sip_begin(key);

    for (size_t i = 0; i < n; i++)
        sip_absorb1(&s, words[i]);
    sip_absorb1(&s, (uint64_t)(n * 8) << 56);
    s.v2 ^= 0xff;
    for (int i = 0; i < 3; i++)
        sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
