/* tls_aead.c - which library does which AEAD; and OpenSSL's */
#include "server/tls/tls_aead.h"

#include <openssl/crypto.h>
#include <string.h>

/* ---- OpenSSL ---- */

static const EVP_CIPHER *cipher_of(enum tls_aead_alg alg)
{
    return alg == TLS_AES_128_GCM ? EVP_aes_128_gcm() : alg == TLS_AES_256_GCM ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
}

static bool evp_key_set(struct tls_aead_key *k, const uint8_t *key)
{
    if (!k->evp && !(k->evp = EVP_CIPHER_CTX_new()))
        return false;
    return EVP_CipherInit_ex(k->evp, cipher_of(k->alg), NULL, key, NULL, k->is_sealing) == 1 &&
           EVP_CIPHER_CTX_get_iv_length(k->evp) == TLS_AEAD_NONCE;
}

static bool evp_begin(struct tls_aead_key *k, const uint8_t nonce[TLS_AEAD_NONCE], const uint8_t *aad, size_t aad_len)
{
    int n;

    return EVP_CipherInit_ex(k->evp, NULL, NULL, NULL, nonce, -1) == 1 && EVP_CipherUpdate(k->evp, NULL, &n, aad, (int)aad_len) == 1;
}

static bool evp_update(struct tls_aead_key *k, uint8_t *to, const uint8_t *from, size_t len)
{
    int n;

    return EVP_CipherUpdate(k->evp, to, &n, from, (int)len) == 1;
}

static bool evp_seal(struct tls_aead_key *k, uint8_t tag[TLS_AEAD_TAG])
{
    uint8_t none[TLS_AEAD_TAG];
    int n;

    return EVP_CipherFinal_ex(k->evp, none, &n) == 1 && EVP_CIPHER_CTX_ctrl(k->evp, EVP_CTRL_AEAD_GET_TAG, TLS_AEAD_TAG, tag) == 1;
}

static bool evp_open(struct tls_aead_key *k, const uint8_t tag[TLS_AEAD_TAG])
{
    uint8_t copy[TLS_AEAD_TAG], none[TLS_AEAD_TAG];
    int n;

    memcpy(copy, tag, sizeof(copy)); /* OpenSSL asks for one that it might write to */
    return EVP_CIPHER_CTX_ctrl(k->evp, EVP_CTRL_AEAD_SET_TAG, TLS_AEAD_TAG, copy) == 1 && EVP_CipherFinal_ex(k->evp, none, &n) == 1;
}

static const struct tls_aead_ops evp_ops = { "OpenSSL", evp_key_set, evp_begin, evp_update, evp_seal, evp_open };

/* ---- which ---- */

/* ChaCha20-Poly1305 is OpenSSL's always: ipsec-mb is no faster with it. */
void tls_aeads_choose(struct tls_aeads *a, bool only_openssl)
{
    a->mb = only_openssl ? NULL : tls_aead_mb_new();
    for (unsigned i = 0; i < TLS_N_AEADS; i++)
        a->ops[i] = a->mb && i != TLS_CHACHA20_POLY1305 ? tls_aead_mb_ops(a->mb) : &evp_ops;
}

void tls_aeads_release(struct tls_aeads *a)
{
    tls_aead_mb_free(a->mb);
    a->mb = NULL;
}

const char *tls_aeads_name(const struct tls_aeads *a, enum tls_aead_alg alg) { return a->ops[alg]->name; }

uint32_t tls_aead_key_len(enum tls_aead_alg alg) { return alg == TLS_AES_128_GCM ? 16 : 32; }

bool tls_aead_key_set(struct tls_aead_key *k, const struct tls_aeads *a, enum tls_aead_alg alg, bool is_sealing, const uint8_t *key)
{
    k->ops = a->ops[alg];
    k->mb = a->mb;
    k->alg = alg;
    k->is_sealing = is_sealing;
    return k->ops->key_set(k, key);
}

void tls_aead_key_clear(struct tls_aead_key *k)
{
    EVP_CIPHER_CTX_free(k->evp);
    OPENSSL_cleanse(k, sizeof(*k));
}
