/* tls_aead_mb.c - AES-GCM by Intel's ipsec-mb: its direct calls, which take a record in pieces of any length */
#include "config.h"
#include "server/tls/tls_aead.h"

#ifdef HAVE_IPSEC_MB

#include <intel-ipsec-mb.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include "common/types.h"

struct calls {                   /* for a length of keys */
    aes_gcm_pre_t pre;
    aes_gcm_init_t init;
    aes_gcm_enc_dec_update_t update[2];     /* opening, sealing */
    aes_gcm_enc_dec_finalize_t finalize[2];
};
struct tls_aead_mb {
    struct calls calls[2];       /* by enum tls_aead_alg */
    struct tls_aead_ops ops;     /* with the name of what was chosen */
};

static_assert(sizeof(struct gcm_key_data) <= TLS_AEAD_KEY_ROOM, "expanded keys have room");
static_assert(sizeof(struct gcm_context_data) <= TLS_AEAD_STATE_ROOM, "so has the state of a record");
static_assert(TLS_AES_128_GCM == 0 && TLS_AES_256_GCM == 1, "index of calls");

static const struct calls *calls_of(const struct tls_aead_key *k) { return &k->mb->calls[k->alg]; }
static const struct gcm_key_data *key_of(const struct tls_aead_key *k) { return (const struct gcm_key_data *)(const void *)k->expanded; }
static struct gcm_context_data *state_of(struct tls_aead_key *k) { return (struct gcm_context_data *)(void *)k->state; }

static bool mb_key_set(struct tls_aead_key *k, const uint8_t *key)
{
    calls_of(k)->pre(key, (struct gcm_key_data *)(void *)k->expanded);
    return true;
}

static bool mb_begin(struct tls_aead_key *k, const uint8_t nonce[TLS_AEAD_NONCE], const uint8_t *aad, size_t aad_len)
{
    calls_of(k)->init(key_of(k), state_of(k), nonce, aad, aad_len);
    return true;
}

static bool mb_update(struct tls_aead_key *k, uint8_t *to, const uint8_t *from, size_t len)
{
    calls_of(k)->update[k->is_sealing](key_of(k), state_of(k), to, from, len);
    return true;
}

static bool mb_seal(struct tls_aead_key *k, uint8_t tag[TLS_AEAD_TAG])
{
    calls_of(k)->finalize[1](key_of(k), state_of(k), tag, TLS_AEAD_TAG);
    return true;
}

static bool mb_open(struct tls_aead_key *k, const uint8_t tag[TLS_AEAD_TAG])
{
    uint8_t ours[TLS_AEAD_TAG];
    bool ok;

    calls_of(k)->finalize[0](key_of(k), state_of(k), ours, TLS_AEAD_TAG);
    ok = CRYPTO_memcmp(ours, tag, TLS_AEAD_TAG) == 0;
    OPENSSL_cleanse(ours, sizeof(ours)); /* the tag that a forged record should have had */
    return ok;
}

/* The library asks the CPU, not whether the kernel keeps the registers: the compiler's library does. */
static bool is_for_this_cpu(const IMB_MGR *m)
{
    uint64_t must = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SSE4_2 | IMB_FEATURE_CMOV | IMB_FEATURE_SAFE_DATA;

    return (m->features & must) == must && (!(m->features & IMB_FEATURE_AVX) || __builtin_cpu_supports("avx")) &&
           (!(m->features & IMB_FEATURE_AVX512F) || __builtin_cpu_supports("avx512f"));
}

static const char *name_of(const IMB_MGR *m)
{
    if ((m->features & IMB_CPUFLAGS_AVX512_T2) == IMB_CPUFLAGS_AVX512_T2)
        return "ipsec-mb, VAES and AVX-512";
    return m->features & IMB_FEATURE_AVX ? "ipsec-mb, AVX" : "ipsec-mb, SSE";
}

struct tls_aead_mb *tls_aead_mb_new(void)
{
    IMB_MGR *m = alloc_mb_mgr(0);
    struct tls_aead_mb *mb = NULL;

    if (m && is_for_this_cpu(m)) {
        init_mb_mgr_auto(m, NULL);
        if (imb_get_errno(m) == 0 && m->features & IMB_FEATURE_SELF_TEST_PASS)
            mb = calloc(1, sizeof(*mb));
    }
    if (mb) {
        mb->calls[TLS_AES_128_GCM] = (struct calls){ m->gcm128_pre, m->gcm128_init, { m->gcm128_dec_update, m->gcm128_enc_update },
                                                     { m->gcm128_dec_finalize, m->gcm128_enc_finalize } };
        mb->calls[TLS_AES_256_GCM] = (struct calls){ m->gcm256_pre, m->gcm256_init, { m->gcm256_dec_update, m->gcm256_enc_update },
                                                     { m->gcm256_dec_finalize, m->gcm256_enc_finalize } };
        mb->ops = (struct tls_aead_ops){ name_of(m), mb_key_set, mb_begin, mb_update, mb_seal, mb_open };
    }
    free_mb_mgr(m); /* the functions are the library's, not the manager's */
    return mb;
}

void tls_aead_mb_free(struct tls_aead_mb *mb) { free(mb); }
const struct tls_aead_ops *tls_aead_mb_ops(const struct tls_aead_mb *mb) { return &mb->ops; }

#else

struct tls_aead_mb *tls_aead_mb_new(void) { return NULL; }
void tls_aead_mb_free(struct tls_aead_mb *mb) { (void)mb; }
const struct tls_aead_ops *tls_aead_mb_ops(const struct tls_aead_mb *mb)
{
    (void)mb;
    return NULL;
}

#endif
