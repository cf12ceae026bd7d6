/* session_lookup.c - connections of this worker by 6-tuple: a hash table keyed with the worker's secret, chained, grows by doubling */
#include "server/session/session_internal.h"

#include <stdlib.h>
#include <string.h>
#include "common/siphash.h"

static uint32_t tuple_hash(const struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                           uint16_t fib)
{
    uint64_t key[SESSION_KEY_WORDS] = { (uint64_t)lcl->port.raw << 48 | (uint64_t)rmt->port.raw << 32 | (uint64_t)fib << 16 | proto };
    size_t n = 1;

    if (ip_addr_is_v4(&lcl->ip)) {
        key[n++] = (uint64_t)lcl->ip.w[3].raw << 32 | rmt->ip.w[3].raw;
    } else {
        memcpy(&key[1], &lcl->ip, sizeof(lcl->ip));
        memcpy(&key[3], &rmt->ip, sizeof(rmt->ip));
        n = 5;
    }
    /* One connection is often asked for several times: soon, is it free, is it there, put it in. */
    struct session_hashed *memo = &w->session->hashed[(be16_get(lcl->port) ^ be16_get(rmt->port)) % SESSION_HASHED];
    if (memcmp(key, memo->key, sizeof(key)) != 0) {
        /* Keyed, so that nobody outside can make chains long. */
        memo->hash = (uint32_t)siphash13_words(w->secret, key, n);
        memcpy(memo->key, key, sizeof(key));
    }
    return memo->hash;
}

uint32_t session_lookup_soon(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t fib)
{
    uint32_t hash = tuple_hash(w, proto, lcl, rmt, fib);

    __builtin_prefetch(&w->session->table[hash & w->session->table_mask]);
    return hash;
}

void session_lookup_fetch(struct worker *w, uint32_t hash) { __builtin_prefetch(&w->session->table[hash & w->session->table_mask]); }

void session_lookup_next(struct worker *w, uint32_t hash)
{
    __builtin_prefetch(w->session->table[hash & w->session->table_mask]);
}

static void table_grow(struct session_worker *sw)
{
    uint32_t size = (sw->table_mask + 1) * 2;
    struct transport_conn **t = calloc(size, sizeof(*t));

    if (!t) /* longer chains, nothing else */
        return;
    for (uint32_t i = 0; i <= sw->table_mask; i++) {
        for (struct transport_conn *c = sw->table[i], *next; c; c = next) {
            next = c->lookup_next;
            c->lookup_next = t[c->hash & (size - 1)];
            t[c->hash & (size - 1)] = c;
        }
    }
    free(sw->table);
    sw->table = t;
    sw->table_mask = size - 1;
}

void session_lookup_add(struct worker *w, struct transport_conn *c)
{
    struct session_worker *sw = w->session;

    assert(!c->in_lookup);
    if (sw->n_conns > sw->table_mask / 2) /* most places hold one or none: who asks for a new port waits for no chain */
        table_grow(sw);
    if (!c->hash)
        c->hash = tuple_hash(w, c->proto, &c->lcl, &c->rmt, c->fib);
    c->lookup_next = sw->table[c->hash & sw->table_mask];
    sw->table[c->hash & sw->table_mask] = c;
    c->in_lookup = true;
    sw->n_conns++;
}

void session_lookup_del(struct worker *w, struct transport_conn *c)
{
    struct session_worker *sw = w->session;

    if (!c->in_lookup)
        return;
    for (struct transport_conn **p = &sw->table[c->hash & sw->table_mask]; *p; p = &(*p)->lookup_next) {
        if (*p == c) {
            *p = c->lookup_next;
            break;
        }
    }
    if (c->proto == SVM_PROTO_TCP)
        worker_pin_del(w, &c->rmt, &c->lcl);
    c->in_lookup = false;
    c->hash = 0; /* it may come back with other addresses */
    sw->n_conns--;
}

void session_conn_moved(struct worker *w, const struct transport_conn *from, struct transport_conn *to)
{
    struct session_worker *sw = w->session;
    struct transport_conn **p = &sw->table[from->hash & sw->table_mask];

    assert(from->in_lookup && (!to->session || to->session->conn == from));
    while (*p != from)
        p = &(*p)->lookup_next;
    *p = to;
    if (to->session)
        to->session->conn = to;
}

struct transport_conn *session_lookup(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl,
                                      const struct ip_endpoint *rmt, uint32_t from)
{
    return session_lookup_hashed(w, tuple_hash(w, proto, lcl, rmt, (uint16_t)from), proto, lcl, rmt, from);
}

/* A connection's protocol, device and table, compared at once: in the table and bound to no device, it is the same for all packets. */
struct session_place {
    uint8_t proto;
    bool in_lookup : 1;
    uint8_t dev : 7;
    uint16_t fib;
};
enum { PLACE = offsetof(struct transport_conn, proto) };
static_assert(offsetof(struct transport_conn, fib) - PLACE == offsetof(struct session_place, fib) &&
              offsetof(struct transport_conn, hash) - PLACE == sizeof(struct session_place), "one word of both");

static bool is_place(const struct transport_conn *c, const struct session_place *p)
{
    return memcmp((const char *)c + PLACE, p, sizeof(*p)) == 0;
}

static __attribute__((noinline)) bool is_bound_place(const struct transport_conn *c, uint8_t proto, uint32_t from)
{
    return c->dev && c->proto == proto && c->fib == (uint16_t)from && (from >> 16 == 0 || from >> 16 == c->dev);
}

struct transport_conn *session_lookup_hashed(struct worker *w, uint32_t hash, uint8_t proto, const struct ip_endpoint *lcl,
                                             const struct ip_endpoint *rmt, uint32_t from)
{
    const struct session_place place = { .proto = proto, .in_lookup = true, .fib = (uint16_t)from };
    struct session_worker *sw = w->session;

    for (struct transport_conn *c = sw->table[hash & sw->table_mask]; c; c = c->lookup_next) {
        if (c->hash == hash && c->lcl.port.raw == lcl->port.raw && c->rmt.port.raw == rmt->port.raw && ip_addr_eq(&c->lcl.ip, &lcl->ip) &&
            ip_addr_eq(&c->rmt.ip, &rmt->ip) && (hs_likely(is_place(c, &place)) || is_bound_place(c, proto, from)))
            return c;
    }
    return NULL;
}
