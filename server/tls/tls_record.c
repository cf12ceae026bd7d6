/* tls_record.c - one record sealed or opened, from pieces to pieces */
#include "server/tls/tls_record.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <string.h>
#include "common/types.h"

/* ---- pieces ---- */

struct cursor {
    const struct iovec *v;
    int n;
    size_t at;                   /* in v[0] */
};

static void skip(struct cursor *c, uint32_t len)
{
    while (len && c->n) {
        size_t part = hs_min_u64(len, c->v->iov_len - c->at);
        c->at += part;
        len -= (uint32_t)part;
        while (c->n && c->at == c->v->iov_len) {
            c->v++;
            c->n--;
            c->at = 0;
        }
    }
}

static struct cursor cursor_at(const struct iovec *v, int n, uint32_t at)
{
    struct cursor c = { v, n, 0 };

    while (c.n && c.v->iov_len == 0) {
        c.v++;
        c.n--;
    }
    skip(&c, at);
    return c;
}

static uint8_t *here(const struct cursor *c) { return (uint8_t *)c->v->iov_base + c->at; }
static uint32_t run(const struct cursor *c, uint32_t len) { return c->n ? (uint32_t)hs_min_u64(len, c->v->iov_len - c->at) : 0; }

void tls_iov_put(const struct iovec *to, int n_to, uint32_t at, const void *data, uint32_t len)
{
    struct cursor c = cursor_at(to, n_to, at);
    uint32_t done = 0;

    for (uint32_t part; (part = run(&c, len - done)) > 0; done += part) {
        memcpy(here(&c), (const uint8_t *)data + done, part);
        skip(&c, part);
    }
}

void tls_iov_get(const struct iovec *from, int n_from, uint32_t at, void *data, uint32_t len)
{
    struct cursor c = cursor_at(from, n_from, at);
    uint32_t done = 0;

    for (uint32_t part; (part = run(&c, len - done)) > 0; done += part) {
        memcpy((uint8_t *)data + done, here(&c), part);
        skip(&c, part);
    }
}

static void wipe(const struct iovec *to, int n_to, uint32_t len)
{
    struct cursor c = cursor_at(to, n_to, 0);

    for (uint32_t part; (part = run(&c, len)) > 0; len -= part) {
        OPENSSL_cleanse(here(&c), part);
        skip(&c, part);
    }
}

/* ---- keys ---- */

/* HKDF-Expand-Label with no context, at most one block of the hash (RFC 8446 s7.1). */
static bool expand(const struct tls_record_suite *c, const uint8_t *secret, const char *label, uint8_t *out, uint32_t len)
{
    uint8_t info[32], block[EVP_MAX_MD_SIZE];
    size_t n = strlen(label);
    unsigned block_len = sizeof(block);
    bool ok;

    info[0] = 0;
    info[1] = (uint8_t)len;
    info[2] = (uint8_t)(6 + n);
    memcpy(info + 3, "tls13 ", 6);
    memcpy(info + 9, label, n);
    info[9 + n] = 0;
    info[10 + n] = 1;
    ok = HMAC(c->md, secret, EVP_MD_get_size(c->md), info, 11 + n, block, &block_len) && block_len >= len;
    if (ok)
        memcpy(out, block, len);
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}

bool tls_record_keys_set(struct tls_record_keys *k, const struct tls_record_suite *c, bool is_sealing, const uint8_t *key, const uint8_t *iv)
{
    k->seq = 0;
    memcpy(k->iv, iv, TLS_REC_IV);
    return tls_aead_key_set(&k->aead, c->aeads, c->alg, is_sealing, key);
}

bool tls_record_keys_of_secret(struct tls_record_keys *k, const struct tls_record_suite *c, bool is_sealing)
{
    uint8_t key[32], iv[TLS_REC_IV];
    bool ok = expand(c, k->secret, "key", key, tls_aead_key_len(c->alg)) && expand(c, k->secret, "iv", iv, TLS_REC_IV) &&
              tls_record_keys_set(k, c, is_sealing, key, iv);

    OPENSSL_cleanse(key, sizeof(key));
    return ok;
}

bool tls_record_keys_update(struct tls_record_keys *k, const struct tls_record_suite *c, bool is_sealing)
{
    uint8_t next[TLS_REC_SECRET_MAX];
    uint32_t len = (uint32_t)EVP_MD_get_size(c->md);
    bool ok = expand(c, k->secret, "traffic upd", next, len);

    memcpy(k->secret, next, ok ? len : 0);
    OPENSSL_cleanse(next, sizeof(next));
    return ok && tls_record_keys_of_secret(k, c, is_sealing);
}

void tls_record_keys_clear(struct tls_record_keys *k)
{
    tls_aead_key_clear(&k->aead);
    OPENSSL_cleanse(k, sizeof(*k));
}

/* ---- records ---- */

static void put64(uint8_t *b, uint64_t v)
{
    for (unsigned i = 0; i < 8; i++)
        b[i] = (uint8_t)(v >> (56 - 8 * i));
}

/* RFC 8446 s5.3, RFC 7905 s2: the number added to the fixed part; RFC 5288 s3: behind it, and in the record. */
static void nonce_of(const struct tls_record_keys *k, const struct tls_record_suite *c, const uint8_t explicit[8], uint8_t nonce[TLS_REC_IV])
{
    uint8_t seq[8];

    memcpy(nonce, k->iv, TLS_REC_IV);
    if (c->has_explicit) {
        memcpy(nonce + 4, explicit, 8);
        return;
    }
    put64(seq, k->seq);
    for (unsigned i = 0; i < 8; i++)
        nonce[4 + i] ^= seq[i];
}

/* What is authenticated besides the text: RFC 8446 s5.2, RFC 5246 s6.2.3.3. */
static bool begin(struct tls_record_keys *k, const struct tls_record_suite *c, const uint8_t header[TLS_REC_HEADER], uint32_t text_len,
                  const uint8_t *explicit)
{
    uint8_t nonce[TLS_REC_IV], aad[13];

    nonce_of(k, c, explicit, nonce);
    if (c->is_1_3)
        return k->aead.ops->begin(&k->aead, nonce, header, TLS_REC_HEADER);
    put64(aad, k->seq);
    memcpy(aad + 8, header, 3);
    aad[11] = (uint8_t)(text_len >> 8);
    aad[12] = (uint8_t)text_len;
    return k->aead.ops->begin(&k->aead, nonce, aad, sizeof(aad));
}

static bool convert(struct tls_record_keys *k, struct cursor *from, struct cursor *to, uint32_t len)
{
    while (len) {
        uint32_t part = run(to, run(from, len));
        if (part == 0 || !k->aead.ops->update(&k->aead, here(to), here(from), part))
            return false;
        skip(from, part);
        skip(to, part);
        len -= part;
    }
    return true;
}

bool tls_record_seal(struct tls_record_keys *k, const struct tls_record_suite *c, uint8_t type, const struct iovec *from, int n_from, uint32_t len,
                     const struct iovec *to, int n_to)
{
    uint32_t before = tls_record_before(c), after = tls_record_after(c), body = before - TLS_REC_HEADER + len + after;
    uint8_t head[TLS_REC_HEADER + 8] = { c->is_1_3 ? TLS_CT_DATA : type, 3, 3, (uint8_t)(body >> 8), (uint8_t)body }, tag[TLS_REC_TAG];
    struct iovec one = { &type, 1 };
    struct cursor src = cursor_at(from, n_from, 0), dst = cursor_at(to, n_to, before), last = cursor_at(&one, 1, 0);

    put64(head + TLS_REC_HEADER, k->seq);
    if (!begin(k, c, head, len, head + TLS_REC_HEADER) || !convert(k, &src, &dst, len) || (c->is_1_3 && !convert(k, &last, &dst, 1)) ||
        !k->aead.ops->seal(&k->aead, tag))
        return false;
    tls_iov_put(to, n_to, 0, head, before);
    tls_iov_put(to, n_to, before + len + after - TLS_REC_TAG, tag, TLS_REC_TAG);
    k->seq++;
    return true;
}

bool tls_record_open(struct tls_record_keys *k, const struct tls_record_suite *c, uint8_t *type, const struct iovec *record, int n_record,
                     uint32_t len, const struct iovec *to, int n_to)
{
    uint32_t before = tls_record_before(c), after = tls_record_after(c), text = len + TLS_REC_HEADER - before - after;
    uint8_t head[TLS_REC_HEADER + 8], tag[TLS_REC_TAG];
    struct iovec one = { type, 1 };
    struct cursor src = cursor_at(record, n_record, before), dst = cursor_at(to, n_to, 0), last = cursor_at(&one, 1, 0);

    tls_iov_get(record, n_record, 0, head, before);
    tls_iov_get(record, n_record, TLS_REC_HEADER + len - TLS_REC_TAG, tag, TLS_REC_TAG);
    if (begin(k, c, head, text, head + TLS_REC_HEADER) && convert(k, &src, &dst, text) && (!c->is_1_3 || convert(k, &src, &last, 1)) &&
        k->aead.ops->open(&k->aead, tag))
        return true;
    wipe(to, n_to, text); /* nobody is to see what nobody has vouched for */
    return false;
}
