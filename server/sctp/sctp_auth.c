/* sctp_auth.c - AUTH chunks (RFC 4895 s6.2, s6.3): the HMAC over all that follows in the packet, made and checked
 *
 * A key of the association is made of the program's key and of both sides' RANDOM, CHUNKS and HMAC-ALGO parameters, as they were sent. */
#include "server/sctp/sctp_internal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

enum { HMAC_MAX = 32 };

static bool bit(const uint8_t bits[32], uint8_t type) { return bits[type / 8] >> (type % 8) & 1; }

bool sctp_auth_is_wanted(const struct sctp_assoc *a, uint8_t type) { return a->auth && bit(a->auth->want, type); }
uint32_t sctp_auth_overhead(const struct sctp_assoc *a) { return a->auth ? SCTP_AUTH_HDR + sctp_hmac_len(a->auth->hmac) : 0; }

/* RFC 9260 s3.2 lets a malformed packet end an association; one that hears authenticated ABORTs only is not ended by a forged one (s6.3). */
bool sctp_auth_may_end(const struct sctp_assoc *a, const struct sctp_in *in)
{
    return !sctp_auth_is_wanted(a, SCTP_CT_ABORT) || in->auth == SCTP_AUTH_GOOD;
}

/* ---- the HMAC ---- */

struct signer {
    const struct sctp_key *key;
    const struct sctp_auth_vec *mine, *peers;
    uint16_t hmac;
};

static void hmac_of(const struct signer *s, const uint8_t *data, uint32_t len, uint8_t out[HMAC_MAX])
{
    bool swapped = sctp_auth_vec_cmp(s->mine, s->peers) > 0;
    const struct sctp_auth_vec *small = swapped ? s->peers : s->mine, *large = swapped ? s->mine : s->peers;
    uint8_t key[SCTP_KEY_MAX + 2 * SCTP_AUTH_VEC];
    unsigned n = s->key->len, got = HMAC_MAX;

    memcpy(key, s->key->b, n);
    memcpy(key + n, small->b, small->len);
    n += small->len;
    memcpy(key + n, large->b, large->len);
    n += large->len;
    memset(out, 0, HMAC_MAX);
    HMAC(s->hmac == SCTP_HMAC_SHA256 ? EVP_sha256() : EVP_sha1(), key, (int)n, data, len, out, &got);
    OPENSSL_cleanse(key, sizeof(key));
}

/* ---- out ---- */

/* The key that a message is to be signed with: its own, while that may be used; else the active one. */
uint16_t sctp_auth_key_of(const struct sctp_assoc *a, const struct sctp_msg *m)
{
    return m && m->has_auth_key && sctp_key_to_send(&a->cfg.auth, m->auth_key) ? m->auth_key : a->cfg.auth.active;
}

uint32_t sctp_auth_before(const struct sctp_out *o, uint8_t type)
{
    const struct sctp_assoc *a = o->a;

    return a && !o->auth && sctp_has(a, SCTP_F_AUTH) && bit(a->auth->peer_wants, type) ? sctp_auth_overhead(a) : 0;
}

void sctp_auth_put(struct sctp_out *o, uint8_t *b)
{
    o->auth = b;
    b[0] = SCTP_CT_AUTH;
    b[1] = 0;
    sctp_put16(b + 2, sctp_auth_overhead(o->a));
    sctp_put16(b + 4, o->key);
    sctp_put16(b + 6, o->a->auth->hmac);
    memset(b + SCTP_AUTH_HDR, 0, sctp_hmac_len(o->a->auth->hmac));
}

/* All chunks are there (s6.2). */
void sctp_auth_sign(struct sctp_out *o)
{
    const struct sctp_auth *u = o->a->auth;
    struct signer s = { sctp_key_find(&o->a->cfg.auth, o->key), &u->mine, &u->peers, u->hmac };
    uint8_t out[HMAC_MAX];

    if (!s.key) /* never: the key in use is not deleted */
        return;
    hmac_of(&s, o->auth, o->len - (uint32_t)(o->auth - o->base), out);
    memcpy(o->auth + SCTP_AUTH_HDR, out, sctp_hmac_len(u->hmac));
}

/* ---- in (s6.3) ---- */

static bool is_offered(const struct sctp_auth_cfg *g, uint16_t id)
{
    for (unsigned i = 0; i < g->n_hmacs; i++)
        if (g->hmacs[i] == id)
            return true;
    return false;
}

static bool is_right(struct worker *w, const struct sctp_in *in, const struct sctp_chunk *c, const struct signer *s)
{
    uint32_t n = sctp_hmac_len(s->hmac), len = (uint32_t)(in->b + in->len - c->b);
    uint8_t *copy = sctp_worker_of(w)->auth, out[HMAC_MAX];

    if (!s->key || c->len != SCTP_AUTH_HDR + n || len > sizeof(sctp_worker_of(w)->auth))
        return false;
    memcpy(copy, c->b, len);
    memset(copy + SCTP_AUTH_HDR, 0, n);
    hmac_of(s, copy, len, out);
    return CRYPTO_memcmp(out, c->b + SCTP_AUTH_HDR, n) == 0;
}

/* The chunk behind c, if it is whole. */
static bool chunk_behind(const struct sctp_in *in, const struct sctp_chunk *c, struct sctp_chunk *next)
{
    const uint8_t *b = c->b + sctp_pad(c->len);

    if (b + SCTP_CHUNK_HDR > in->b + in->len)
        return false;
    *next = (struct sctp_chunk){ .type = b[0], .flags = b[1], .len = sctp_get16(b + 2), .b = b };
    return next->len >= SCTP_CHUNK_HDR && next->len <= in->b + in->len - b;
}

/* The RANDOMs of an association that is not there yet are in its cookie, which is ours if anything is to be believed. */
static bool by_cookie(struct worker *w, const struct sctp_cfg *cfg, const struct sctp_in *in, const struct sctp_chunk *c,
                      const struct sctp_chunk *echo)
{
    uint16_t id = sctp_get16(c->b + 6);
    struct sctp_cookie ck;

    if (echo->type != SCTP_CT_COOKIE_ECHO || !sctp_cookie_take(echo, &ck) || !is_offered(&cfg->auth, id))
        return false;
    if (!sctp_cookie_is_ours(w, &ck) || !(cfg->features & ck.peer.features & SCTP_F_AUTH))
        return false;
    struct signer s = { sctp_key_find(&cfg->auth, sctp_get16(c->b + 4)), &ck.auth, &ck.peer.auth, id };
    return is_right(w, in, c, &s);
}

static enum sctp_auth_verdict by_assoc(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    uint16_t id = sctp_get16(c->b + 6);

    if (!is_offered(&a->cfg.auth, id)) { /* s4.1 */
        uint8_t info[2];
        sctp_put16(info, id);
        sctp_error_send(w, a, in, SCTP_C_HMAC, info, sizeof(info));
        return SCTP_AUTH_BAD;
    }
    struct signer s = { sctp_key_find(&a->cfg.auth, sctp_get16(c->b + 4)), &a->auth->mine, &a->auth->peers, id };
    return is_right(w, in, c, &s) ? SCTP_AUTH_GOOD : SCTP_AUTH_BAD;
}

/* What follows in the packet is authenticated, or nobody looks at it. */
void sctp_auth_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    uint16_t key = sctp_get16(c->b + 4);
    struct sctp_chunk echo;

    if (in->auth != SCTP_AUTH_NONE) /* one a packet: the HMAC covers it all */
        in->auth = SCTP_AUTH_BAD;
    else if (sctp_has(a, SCTP_F_AUTH) && a->state >= SCTP_S_ESTABLISHED)
        in->auth = by_assoc(w, a, in, c);
    else if (chunk_behind(in, c, &echo) && echo.type == SCTP_CT_COOKIE_ECHO)
        in->auth = by_cookie(w, &a->cfg, in, c, &echo) ? SCTP_AUTH_GOOD : SCTP_AUTH_BAD;
    else
        in->auth = sctp_has(a, SCTP_F_AUTH) ? by_assoc(w, a, in, c) : SCTP_AUTH_BAD;
    if (in->auth == SCTP_AUTH_BAD) {
        sctp_count(w, SCTP_N_drop_auth);
        return;
    }
    sctp_count(w, SCTP_N_rx_auth);
    if (key != a->auth->peer_key && sctp_has(a, SCTP_F_AUTH)) { /* RFC 6458 s6.1.8 */
        sctp_notify_auth(w, a, SCTP_AUTH_NEW_KEY, key, a->auth->peer_key);
        a->auth->peer_key = key;
    }
}

/* No association is there: a cookie may be authenticated by what it says; anything else is looked at as if AUTH were not there. */
bool sctp_auth_stranger(struct worker *w, struct sctp_in *in, struct sctp_chunk *c)
{
    struct listener *l = session_lookup_listener(w, SVM_PROTO_SCTP, &in->lcl, &in->rmt, in->fib);
    struct session *s = l ? listener_session(l) : NULL;
    struct sctp_ep *ep = s ? sctp_ep_get(w, s) : NULL;
    struct sctp_chunk behind;

    if (c->len < SCTP_AUTH_HDR || !chunk_behind(in, c, &behind))
        return false;
    if (behind.type == SCTP_CT_COOKIE_ECHO && ep) {
        if (!by_cookie(w, &ep->cfg, in, c, &behind)) {
            sctp_count(w, SCTP_N_drop_auth);
            return false;
        }
        in->auth = SCTP_AUTH_GOOD;
    }
    in->n_chunks = 1;
    *c = behind;
    return true;
}
