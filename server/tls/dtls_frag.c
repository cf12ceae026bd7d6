/* dtls_frag.c - ClientHellos that come in pieces, at a door (RFC 6347 s4.2.3)
 *
 * A first piece that reaches as far as its cookie is answered as it is: nothing need be kept of it (s4.2.1). One that ends before is kept with
 * those that follow, in a few places of each worker: whoever comes when all are taken gets the oldest. So clients of paths on which not even
 * a cookie goes in one piece are served, but memory of nobody who has not shown that he receives at his address is more than these. */
#include "server/tls/dtls.h"

#include <stdlib.h>
#include <string.h>

enum {
    RECORD_HDR = 13, MESSAGE_HDR = 12, HANDSHAKE = 22, CLIENT_HELLO = 1, SID_AT = 2 + 32, /* s4.2.1: version, random; then session id and cookie */
    HELLO_MAX = 2048, PLACES = 16,
};

struct place {
    struct ip_endpoint lcl, rmt;
    uint64_t used;              /* 0: free; else the larger, the later */
    uint32_t have;              /* bytes from the beginning */
    uint32_t len;               /* of the message */
    uint16_t number;            /* of the message */
    uint8_t body[HELLO_MAX];
};
struct dtls_frags {
    uint64_t clock;
    struct place place[PLACES];
};
struct piece {
    const uint8_t *record, *body;
    uint32_t record_len;        /* with its header */
    uint32_t len, at, n;        /* of the message; where this piece is in it; bytes of this piece */
    uint16_t number;
};

static uint32_t be(const uint8_t *b, unsigned n)
{
    uint32_t v = 0;

    while (n--)
        v = v << 8 | *b++;
    return v;
}

/* The record at d, as a piece of a ClientHello in the clear. */
static bool piece_of(const uint8_t *d, uint32_t len, struct piece *p)
{
    if (len < RECORD_HDR || be(d + 11, 2) > len - RECORD_HDR)
        return false;
    *p = (struct piece){ .record = d, .record_len = RECORD_HDR + be(d + 11, 2) };
    d += RECORD_HDR;
    if (p->record_len < RECORD_HDR + MESSAGE_HDR || p->record[0] != HANDSHAKE || be(p->record + 3, 2) != 0 || d[0] != CLIENT_HELLO)
        return false;
    p->len = be(d + 1, 3);
    p->number = (uint16_t)be(d + 4, 2);
    p->at = be(d + 6, 3);
    p->n = be(d + 9, 3);
    p->body = d + MESSAGE_HDR;
    return p->n <= p->record_len - RECORD_HDR - MESSAGE_HDR && p->at <= p->len && p->n <= p->len - p->at;
}

static bool has_cookie(const struct piece *p)
{
    uint32_t at = SID_AT;

    for (unsigned i = 0; i < 2; i++) { /* session id, cookie: a length octet and as many bytes */
        if (at >= p->n)
            return false;
        at += 1u + p->body[at];
    }
    return at <= p->n;
}

static bool is_same(const struct ip_endpoint *a, const struct ip_endpoint *b) { return a->port.raw == b->port.raw && ip_addr_eq(&a->ip, &b->ip); }

static struct place *place_of(struct dtls_frags *f, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, bool make)
{
    struct place *oldest = &f->place[0];

    for (unsigned i = 0; i < PLACES; i++) {
        struct place *p = &f->place[i];
        if (p->used && is_same(&p->lcl, lcl) && is_same(&p->rmt, rmt))
            return p;
        if (p->used < oldest->used)
            oldest = p;
    }
    return make ? oldest : NULL;
}

/* Pieces count in order only: who sends them sends them all again when there is no answer. True: the message is whole. */
static bool keep(struct dtls_frags *f, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, const struct piece *p, struct place **out)
{
    struct place *at = p->len <= HELLO_MAX ? place_of(f, lcl, rmt, p->at == 0) : NULL;

    if (!at)
        return false;
    if (p->at == 0) {
        at->lcl = *lcl;
        at->rmt = *rmt;
        at->len = p->len;
        at->number = p->number;
        at->have = 0;
    }
    if (at->len != p->len || at->number != p->number || p->at > at->have)
        return false;
    at->used = ++f->clock;
    memcpy(at->body + p->at, p->body, p->n);
    at->have = hs_max_u32(at->have, p->at + p->n);
    *out = at;
    return at->have == at->len;
}

/* One record of the whole, with the number of the last one. */
static uint32_t compose(uint8_t *d, const struct piece *last, struct place *at)
{
    uint32_t len = MESSAGE_HDR + at->len;

    memmove(d, last->record, RECORD_HDR + MESSAGE_HDR);
    d[11] = (uint8_t)(len >> 8);
    d[12] = (uint8_t)len;
    memset(d + RECORD_HDR + 6, 0, 3);
    memcpy(d + RECORD_HDR + 9, d + RECORD_HDR + 1, 3);
    memcpy(d + RECORD_HDR + MESSAGE_HDR, at->body, at->len);
    at->used = 0;
    return RECORD_HDR + len;
}

uint32_t dtls_frag_take(struct tls_worker *tw, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint8_t *d, uint32_t len)
{
    uint32_t left = len;
    struct place *at;
    struct piece p;

    if (!piece_of(d, len, &p))
        return 0;
    if (p.at == 0 && (p.n == p.len || has_cookie(&p)))
        return len;
    if (!tw->frags && !(tw->frags = calloc(1, sizeof(*tw->frags))))
        return 0;
    do {
        if (keep(tw->frags, lcl, rmt, &p, &at))
            return compose(d, &p, at);
        left -= p.record_len;
    } while (piece_of(p.record + p.record_len, left, &p));
    return 0;
}
