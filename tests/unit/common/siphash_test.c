/* siphash_test.c - the published test vector, OpenSSL as second opinion, alignment and length edges */
#include "common/siphash.h"

#include <criterion/criterion.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

static uint64_t openssl_siphash(const uint8_t key[16], const void *data, size_t len, unsigned c_rounds, unsigned d_rounds)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(mac);
    unsigned int size = 8;
    OSSL_PARAM params[] = { OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_SIZE, &size),
                            OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_C_ROUNDS, &c_rounds),
                            OSSL_PARAM_construct_uint(OSSL_MAC_PARAM_D_ROUNDS, &d_rounds), OSSL_PARAM_construct_end() };
    uint64_t out = 0;
    size_t out_len = 0;

    cr_assert(EVP_MAC_init(ctx, key, 16, params));
    cr_assert(EVP_MAC_update(ctx, data, len));
    cr_assert(EVP_MAC_final(ctx, (unsigned char *)&out, &out_len, sizeof(out)));
    cr_assert_eq(out_len, sizeof(out));
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return out;
}

/* Appendix A of the paper: key 00..0f, message 00..0e. */
Test(siphash, paper_vector)
{
    uint8_t key[16], msg[15];

    for (unsigned i = 0; i < 16; i++)
        key[i] = (uint8_t)i;
    for (unsigned i = 0; i < 15; i++)
        msg[i] = (uint8_t)i;
    cr_assert_eq(siphash24(key, msg, sizeof(msg)), 0xa129ca6149be45e5ull);
}

Test(siphash, agrees_with_openssl_at_every_length_and_alignment)
{
    uint8_t key[16], buf[160];

    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(17 * i + 3);
    for (unsigned i = 0; i < sizeof(buf); i++)
        buf[i] = (uint8_t)(29 * i + 7);
    for (unsigned off = 0; off < 8; off++)
        for (size_t len = 0; len <= 128; len++)
            cr_assert_eq(siphash24(key, buf + off, len), openssl_siphash(key, buf + off, len, 2, 4), "off %u len %zu", off, len);
}

Test(siphash, words_agree_with_openssl_and_with_bytes)
{
    uint64_t words[16];
    uint8_t key[16];

    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (uint8_t)(17 * i + 3);
    for (unsigned i = 0; i < 16; i++)
        words[i] = i * 0x9e3779b97f4a7c15ull + 7;
    for (size_t n = 0; n <= 16; n++) {
        cr_assert_eq(siphash13_words(key, words, n), openssl_siphash(key, words, n * 8, 1, 3), "%zu words", n);
        cr_assert_eq(siphash24_words(key, words, n), siphash24(key, words, n * 8), "%zu words", n);
    }
}

Test(siphash, key_matters)
{
    uint8_t a[16] = { 0 }, b[16] = { 0 };

    b[15] = 1;
    cr_assert_neq(siphash24(a, "x", 1), siphash24(b, "x", 1));
}
