/* tls_record.h - records of TLS 1.2 (RFC 5246 s6.2.3.3) and 1.3 (RFC 8446 s5) with an AEAD, from pieces of memory to pieces of memory
 *
 * Each octet is read once and written once: no buffer of a record lies between a FIFO and the next one.
 *
 * Owner:  struct tls_session.
 * Thread: the connection's.
 * Memory: process-private; what is sealed or opened may be SHARED: plain text is read or written once.
 * Errors: bool, or octets; a record that cannot be opened has left zeros in `to`. */
#ifndef HOSTSTACK_SERVER_TLS_RECORD_H
#define HOSTSTACK_SERVER_TLS_RECORD_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>
#include "server/tls/tls_aead.h"

enum tls_record_limits {
    TLS_REC_HEADER = 5, TLS_REC_TAG = TLS_AEAD_TAG, TLS_REC_IV = TLS_AEAD_NONCE, TLS_REC_SECRET_MAX = 48, TLS_REC_PLAIN_MAX = 16384,
    TLS_REC_MORE_MAX = TLS_REC_HEADER + 8 + 1 + TLS_REC_TAG, /* that a record is longer than its text */
};
enum tls_content { TLS_CT_CCS = 20, TLS_CT_ALERT = 21, TLS_CT_HANDSHAKE = 22, TLS_CT_DATA = 23 };

struct tls_record_suite {
    const struct tls_aeads *aeads;
    const EVP_MD *md;
    uint8_t alg;                 /* enum tls_aead_alg */
    bool is_1_3;
    bool has_explicit;           /* nonce of 8 octets in front of each record (RFC 5288) */
};
struct tls_record_keys {         /* of a direction */
    struct tls_aead_key aead;
    uint64_t seq;
    uint8_t iv[TLS_REC_IV];
    uint8_t secret[TLS_REC_SECRET_MAX]; /* TLS 1.3: what the next keys come from */
};

/* Octets that a record has before and after its text. */
static inline uint32_t tls_record_before(const struct tls_record_suite *c) { return TLS_REC_HEADER + (c->has_explicit ? 8u : 0); }
static inline uint32_t tls_record_after(const struct tls_record_suite *c) { return TLS_REC_TAG + (c->is_1_3 ? 1u : 0); }

/* false: no memory */
bool tls_record_keys_set(struct tls_record_keys *k, const struct tls_record_suite *c, bool is_sealing, const uint8_t *key, const uint8_t *iv);
bool tls_record_keys_of_secret(struct tls_record_keys *k, const struct tls_record_suite *c, bool is_sealing); /* RFC 8446 s7.3 */
bool tls_record_keys_update(struct tls_record_keys *k, const struct tls_record_suite *c, bool is_sealing);    /* s7.2 */
void tls_record_keys_clear(struct tls_record_keys *k);

/* `to` has room for tls_record_before() + len + tls_record_after() octets, all of which are written. */
bool tls_record_seal(struct tls_record_keys *k, const struct tls_record_suite *c, uint8_t type, const struct iovec *from, int n_from, uint32_t len,
                     const struct iovec *to, int n_to);
/* record: its header and len octets; to: room for len less what is not text. type: in: of the header; out: of the text, 0 = TLS 1.3, none within. */
bool tls_record_open(struct tls_record_keys *k, const struct tls_record_suite *c, uint8_t *type, const struct iovec *record, int n_record,
                     uint32_t len, const struct iovec *to, int n_to);

void tls_iov_put(const struct iovec *to, int n_to, uint32_t at, const void *data, uint32_t len);
void tls_iov_get(const struct iovec *from, int n_from, uint32_t at, void *data, uint32_t len);
static inline uint32_t tls_iov_len(const struct iovec *v, int n)
{
    size_t sum = 0;

    for (int i = 0; i < n; i++)
        sum += v[i].iov_len;
    return sum > UINT32_MAX ? UINT32_MAX : (uint32_t)sum;
}

#endif
