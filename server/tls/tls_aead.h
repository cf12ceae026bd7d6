/* tls_aead.h - AEADs for records (RFC 5116), in pieces: AES-GCM by Intel's ipsec-mb where the CPU has what it takes, all else by OpenSSL
 *
 *   tls_aead_key_set() once, then for each record: begin(), update() for each piece, and seal() or open()
 *
 * ipsec-mb makes use of VAES and AVX-512, which OpenSSL 3.0 does not; without AES-NI and PCLMULQDQ, or where configure has not found it, it is
 * not used. What update() gives of a record to open is not to be believed until open() has said so.
 *
 * Owner:  struct tls_aead_key: struct tls_record_keys; holds no pointer into itself, is to be cleared, and lies in locked memory
 *         (tls_keymem.h) as far as ipsec-mb is concerned; OpenSSL's contexts are OpenSSL's.
 * Thread: struct tls_aeads: immutable once made. A key: one thread at a time.
 * Errors: bool. Tags are compared in constant time. */
#ifndef HOSTSTACK_SERVER_TLS_AEAD_H
#define HOSTSTACK_SERVER_TLS_AEAD_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum tls_aead_alg { TLS_AES_128_GCM, TLS_AES_256_GCM, TLS_CHACHA20_POLY1305, TLS_N_AEADS };
enum tls_aead_sizes { TLS_AEAD_TAG = 16, TLS_AEAD_NONCE = 12, TLS_AEAD_KEY_ROOM = 1024, TLS_AEAD_STATE_ROOM = 128 };

struct tls_aead_mb;              /* the functions of ipsec-mb that this CPU is best served by */
struct tls_aead_ops;
struct tls_aeads {               /* which library does what */
    const struct tls_aead_ops *ops[TLS_N_AEADS];
    struct tls_aead_mb *mb;      /* NULL: it does nothing here */
};
struct tls_aead_key {            /* of a direction */
    _Alignas(64) uint8_t expanded[TLS_AEAD_KEY_ROOM];  /* ipsec-mb's */
    _Alignas(64) uint8_t state[TLS_AEAD_STATE_ROOM];   /* and of the record that is being made */
    EVP_CIPHER_CTX *evp;         /* OpenSSL's; NULL: none */
    const struct tls_aead_ops *ops; /* NULL: no key yet */
    const struct tls_aead_mb *mb;
    uint8_t alg;
    bool is_sealing;
};
struct tls_aead_ops {
    const char *name;
    bool (*key_set)(struct tls_aead_key *k, const uint8_t *key);
    bool (*begin)(struct tls_aead_key *k, const uint8_t nonce[TLS_AEAD_NONCE], const uint8_t *aad, size_t aad_len);
    bool (*update)(struct tls_aead_key *k, uint8_t *to, const uint8_t *from, size_t len);
    bool (*seal)(struct tls_aead_key *k, uint8_t tag[TLS_AEAD_TAG]);
    bool (*open)(struct tls_aead_key *k, const uint8_t tag[TLS_AEAD_TAG]); /* false: not what was sealed */
};

void tls_aeads_choose(struct tls_aeads *a, bool only_openssl);
void tls_aeads_release(struct tls_aeads *a);                   /* no key is in use any more */
const char *tls_aeads_name(const struct tls_aeads *a, enum tls_aead_alg alg);

/* k: zero, or a key before. false: no memory. */
bool tls_aead_key_set(struct tls_aead_key *k, const struct tls_aeads *a, enum tls_aead_alg alg, bool is_sealing, const uint8_t *key);
void tls_aead_key_clear(struct tls_aead_key *k);
uint32_t tls_aead_key_len(enum tls_aead_alg alg);

/* tls_aead_mb.c: NULL: not built in, or not for this CPU. */
struct tls_aead_mb *tls_aead_mb_new(void);
void tls_aead_mb_free(struct tls_aead_mb *mb);
const struct tls_aead_ops *tls_aead_mb_ops(const struct tls_aead_mb *mb);

#endif
