/* sctp_auth_vec.c - what both sides say of authentication when an association begins (RFC 4895 s3, s6.1): RANDOM, CHUNKS, HMAC-ALGO */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

uint32_t sctp_hmac_len(uint16_t id) { return id == SCTP_HMAC_SHA1 ? 20 : id == SCTP_HMAC_SHA256 ? 32 : 0; }

static uint8_t *vec_put(struct sctp_auth_vec *v, unsigned type, unsigned len)
{
    uint8_t *b = v->b + v->len;

    sctp_put16(b, type);
    sctp_put16(b + 2, SCTP_PARAM_HDR + len);
    v->len = (uint16_t)(v->len + SCTP_PARAM_HDR + len);
    return b + SCTP_PARAM_HDR;
}

/* What we say of ourselves in this association. RFC 5061 s4.1: changes of addresses are always authenticated. */
void sctp_auth_vec_make(struct worker *w, const struct sctp_cfg *cfg, struct sctp_auth_vec *v)
{
    const struct sctp_auth_cfg *g = &cfg->auth;
    uint8_t *b, types[SCTP_AUTH_CHUNKS_MAX + 2];
    unsigned n = g->n_chunks;

    memset(v, 0, sizeof(*v));
    b = vec_put(v, SCTP_P_RANDOM, SCTP_AUTH_RANDOM);
    for (unsigned i = 0; i < SCTP_AUTH_RANDOM; i += 8) {
        uint64_t r = worker_random(w);
        memcpy(b + i, &r, 8);
    }
    memcpy(types, g->chunks, n);
    if ((cfg->features & SCTP_F_ASCONF) && !memchr(g->chunks, SCTP_CT_ASCONF, g->n_chunks))
        types[n++] = SCTP_CT_ASCONF;
    if ((cfg->features & SCTP_F_ASCONF) && !memchr(g->chunks, SCTP_CT_ASCONF_ACK, g->n_chunks))
        types[n++] = SCTP_CT_ASCONF_ACK;
    if (n) /* s6.1: may be left out when it is empty */
        memcpy(vec_put(v, SCTP_P_CHUNKS, n), types, n);
    b = vec_put(v, SCTP_P_HMACS, 2u * g->n_hmacs);
    for (unsigned i = 0; i < g->n_hmacs; i++)
        sctp_put16(b + 2 * i, g->hmacs[i]);
}

/* As parameters of an INIT or INIT ACK, each padded; returns how many bytes. */
uint32_t sctp_auth_vec_put(const struct sctp_auth_vec *v, uint8_t *to)
{
    uint32_t n = 0;

    for (uint32_t off = 0; off < v->len;) {
        uint32_t len = sctp_get16(v->b + off + 2);
        memcpy(to + n, v->b + off, len);
        memset(to + n + len, 0, sctp_pad(len) - len);
        n += sctp_pad(len);
        off += len;
    }
    return n;
}

/* The peer's parameters, from its INIT; false: it does not do AUTH, or not as s3 demands. */
bool sctp_auth_vec_take(const uint8_t *random, const uint8_t *chunks, const uint8_t *hmacs, struct sctp_auth_vec *v)
{
    const uint8_t *all[] = { random, chunks, hmacs };
    bool has_sha1 = false;

    memset(v, 0, sizeof(*v));
    if (!random || !hmacs)
        return false;
    for (unsigned off = 4; off + 2u <= sctp_get16(hmacs + 2); off += 2)
        has_sha1 |= sctp_get16(hmacs + off) == SCTP_HMAC_SHA1; /* s3.3 */
    for (unsigned i = 0; i < HS_ARRAY_LEN(all); i++) {
        unsigned len = all[i] ? sctp_get16(all[i] + 2) : 0;
        if (v->len + len > sizeof(v->b))
            return false;
        if (len)
            memcpy(v->b + v->len, all[i], len);
        v->len = (uint16_t)(v->len + len);
    }
    return has_sha1;
}

static const uint8_t *vec_param(const struct sctp_auth_vec *v, unsigned type, unsigned *len)
{
    for (uint32_t off = 0; off < v->len; off += sctp_get16(v->b + off + 2)) {
        if (sctp_get16(v->b + off) == type) {
            *len = sctp_get16(v->b + off + 2) - SCTP_PARAM_HDR;
            return v->b + off + SCTP_PARAM_HDR;
        }
    }
    *len = 0;
    return NULL;
}

unsigned sctp_auth_list(const struct sctp_auth_vec *v, uint8_t *out, unsigned max)
{
    unsigned n;
    const uint8_t *b = vec_param(v, SCTP_P_CHUNKS, &n);

    n = hs_min_u32(n, max);
    if (n)
        memcpy(out, b, n);
    return n;
}

/* s3.2: some types are never authenticated, whatever a list says. */
bool sctp_auth_lists(const struct sctp_auth_vec *v, uint8_t type)
{
    unsigned n;
    const uint8_t *b = vec_param(v, SCTP_P_CHUNKS, &n);

    if (type == SCTP_CT_INIT || type == SCTP_CT_INIT_ACK || type == SCTP_CT_SHUTDOWN_COMPLETE || type == SCTP_CT_AUTH)
        return false;
    return n && memchr(b, type, n);
}

static void bits_of(const struct sctp_auth_vec *v, uint8_t bits[32])
{
    memset(bits, 0, 32);
    for (unsigned type = 0; type < 256; type++)
        if (sctp_auth_lists(v, (uint8_t)type))
            bits[type / 8] |= (uint8_t)(1u << (type % 8));
}

/* s3.3, s6.1: the first of the peer's that we do. */
uint16_t sctp_auth_hmac_of(const struct sctp_auth_vec *peers)
{
    unsigned n;
    const uint8_t *b = vec_param(peers, SCTP_P_HMACS, &n);

    for (unsigned i = 0; i + 2 <= n; i += 2)
        if (sctp_hmac_len(sctp_get16(b + i)))
            return sctp_get16(b + i);
    return SCTP_HMAC_SHA1;
}

/* What we demand is demanded from now on, of a peer that does not do AUTH, too. */
int sctp_auth_begin(struct sctp_assoc *a, const struct sctp_auth_vec *mine)
{
    if (!a->auth)
        a->auth = calloc(1, sizeof(*a->auth));
    if (!a->auth)
        return -ENOMEM;
    a->auth->mine = *mine;
    bits_of(mine, a->auth->want);
    return 0;
}

/* The peer does it, too: what it demands, and how. */
void sctp_auth_agreed(struct sctp_assoc *a, const struct sctp_auth_vec *peers)
{
    struct sctp_auth *u = a->auth;

    u->peers = *peers;
    bits_of(peers, u->peer_wants);
    u->hmac = sctp_auth_hmac_of(peers);
    u->peer_key = 0;
    u->room = 0;
    for (unsigned type = 0; type < 256 && !u->room; type++)
        if (type != SCTP_CT_ASCONF && type != SCTP_CT_ASCONF_ACK && u->peer_wants[type / 8] >> (type % 8) & 1)
            u->room = (uint8_t)sctp_auth_overhead(a);
}

/* s6.1: as numbers, the shorter one with zeros in front; of equal ones the shorter is first. */
int sctp_auth_vec_cmp(const struct sctp_auth_vec *a, const struct sctp_auth_vec *b)
{
    const struct sctp_auth_vec *longer = a->len >= b->len ? a : b, *other = longer == a ? b : a;
    unsigned extra = longer->len - other->len;

    for (unsigned i = 0; i < longer->len; i++) {
        int x = longer->b[i], y = i < extra ? 0 : other->b[i - extra];
        if (x != y)
            return (x > y) == (longer == a) ? 1 : -1;
    }
    return a->len < b->len ? -1 : a->len > b->len;
}
