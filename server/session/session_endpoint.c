/* session_endpoint.c - local endpoints in use by all workers: who may bind the same address and port, and source ports
 *
 * Under the stack's lock: bind, listen and close. Connections do not reserve anything: their 4-tuples belong to one worker; a port that no
 * endpoint can have costs them no lock. */
#include "server/session/session_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "common/siphash.h"
#include "server/ip/ip.h"

static unsigned bucket_of(be16 port)
{
    return be16_get(port) % SESSION_PORT_BUCKETS;
}

/* May the two be told apart by the address of a packet, or do they overlap? */
static bool addresses_overlap(const struct ip_endpoint *a, uint8_t a_flags, const struct ip_endpoint *b, uint8_t b_flags)
{
    bool a_any = ip_addr_is_any(&a->ip), b_any = ip_addr_is_any(&b->ip);
    bool a4 = ip_addr_is_v4(&a->ip), b4 = ip_addr_is_v4(&b->ip);

    if (!a_any && !b_any)
        return ip_addr_eq(&a->ip, &b->ip);
    /* A wildcard covers its own family; :: covers IPv4 too unless IPV6_V6ONLY (RFC 3493 s5.3). */
    if (a4 == b4)
        return true;
    if (a_any && !a4 && !(a_flags & SVM_BIND_V6ONLY))
        return true;
    return b_any && !b4 && !(b_flags & SVM_BIND_V6ONLY);
}

/* connect() looks for a port that nobody has reserved, and reserves none itself: while another worker reserves one, "no" is as true as it
 * was a moment before. So whether a bucket holds any endpoint is read without the lock. What it holds is looked at under it only, for it
 * may be freed. Whoever has heard of a bind finds it: the link was stored before the answer that led to the question. */
static void link_set(struct session_endpoint **link, struct session_endpoint *e) { __atomic_store_n(link, e, __ATOMIC_RELAXED); }

static bool bucket_is_empty(const struct session_stack *ss, unsigned b) { return !__atomic_load_n(&ss->bucket[b], __ATOMIC_RELAXED); }

/* Bound to different interfaces: no packet is for both. */
static bool devices_meet(uint8_t a, uint8_t b) { return !a || !b || a == b; }

static bool may_share(const struct session_endpoint *e, const struct session_bind_args *args)
{
    if (e->flags & args->flags & SVM_BIND_REUSEPORT)
        return true;
    /* socket(7): SO_REUSEADDR on both, and for TCP no listener among them. */
    return (e->flags & args->flags & SVM_BIND_REUSEADDR) && !(e->proto != SVM_PROTO_UDP && e->is_listening);
}

static bool is_free(struct worker *w, const struct session_bind_args *args, const struct ip_endpoint *lcl, uint32_t ns, uint16_t fib,
                    uint8_t dev)
{
    const struct session_stack *ss = w->stack->session;

    if (args->proto == SVM_PROTO_UDP && lcl->port.raw == w->stack->udp_encap.port.raw)
        return false; /* the stack's own, at all addresses */
    for (const struct session_endpoint *e = ss->bucket[bucket_of(lcl->port)]; e; e = e->next) {
        if (e->proto == args->proto && e->lcl.port.raw == lcl->port.raw && e->ns == ns && e->fib == fib && devices_meet(e->dev, dev) &&
            addresses_overlap(&e->lcl, e->flags, lcl, args->flags) && !may_share(e, args))
            return false;
    }
    return true;
}

int session_endpoint_reserve(struct worker *w, const struct session_bind_args *args, uint32_t ns, uint16_t fib, uint8_t dev,
                             struct session_endpoint **out)
{
    enum { RANGE = SESSION_EPHEMERAL_HI - SESSION_EPHEMERAL_LO + 1 };
    struct session_stack *ss = w->stack->session;
    struct session_endpoint *e = calloc(1, sizeof(*e));
    struct ip_endpoint lcl = args->lcl;
    int err = -EADDRINUSE;

    if (!e)
        return -ENOMEM;
    pthread_mutex_lock(&ss->lock);
    if (lcl.port.raw) {
        if (is_free(w, args, &lcl, ns, fib, dev))
            err = 0;
    } else { /* RFC 6056 s3.3.1: a random start, then the next free one */
        uint32_t start = (uint32_t)(worker_random(w) % RANGE);
        for (uint32_t i = 0; i < RANGE && err != 0; i++) {
            lcl.port = be16_of((uint16_t)(SESSION_EPHEMERAL_LO + (start + i) % RANGE));
            if (is_free(w, args, &lcl, ns, fib, dev))
                err = 0;
        }
    }
    if (err == 0) {
        unsigned b = bucket_of(lcl.port);
        *e = (struct session_endpoint){ .next = ss->bucket[b], .lcl = lcl, .proto = args->proto, .flags = args->flags,
                                        .dev = dev, .fib = fib, .ns = ns, .is_free = args->is_free };
        link_set(&ss->bucket[b], e);
    }
    pthread_mutex_unlock(&ss->lock);
    if (err != 0)
        free(e);
    else
        *out = e;
    return err;
}

int session_endpoint_listen(struct worker *w, struct session_endpoint *e)
{
    struct session_stack *ss = w->stack->session;
    int err = 0;

    pthread_mutex_lock(&ss->lock);
    for (const struct session_endpoint *o = ss->bucket[bucket_of(e->lcl.port)]; o; o = o->next) {
        if (o != e && o->is_listening && o->proto == e->proto && o->lcl.port.raw == e->lcl.port.raw && o->ns == e->ns &&
            o->fib == e->fib && devices_meet(o->dev, e->dev) && addresses_overlap(&o->lcl, o->flags, &e->lcl, e->flags) &&
            !(o->flags & e->flags & SVM_BIND_REUSEPORT))
            err = -EADDRINUSE;
    }
    if (err == 0)
        e->is_listening = true;
    pthread_mutex_unlock(&ss->lock);
    return err;
}

int session_endpoint_also(struct worker *w, const struct session *s, const struct ip_addr *ip, struct session_endpoint **out)
{
    struct session_bind_args args = { .proto = s->proto, .flags = s->flags, .lcl = { *ip, s->lcl.port } };
    int err;

    *out = NULL;
    err = session_endpoint_reserve(w, &args, s->endpoint->ns, s->fib, s->dev, out);
    if (err == 0 && s->endpoint->is_listening)
        err = session_endpoint_listen(w, *out);
    if (err != 0 && *out) {
        session_endpoint_release(w, *out);
        *out = NULL;
    }
    return err;
}

void session_endpoint_release(struct worker *w, struct session_endpoint *e)
{
    struct session_stack *ss = w->stack->session;

    if (!e)
        return;
    pthread_mutex_lock(&ss->lock);
    for (struct session_endpoint **p = &ss->bucket[bucket_of(e->lcl.port)]; *p; p = &(*p)->next) {
        if (*p == e) {
            link_set(p, e->next);
            break;
        }
    }
    pthread_mutex_unlock(&ss->lock);
    free(e);
}

void session_endpoint_dev(struct worker *w, struct session_endpoint *e, uint8_t dev)
{
    struct session_stack *ss = w->stack->session;

    pthread_mutex_lock(&ss->lock);
    e->dev = dev;
    pthread_mutex_unlock(&ss->lock);
}

bool session_endpoint_is_taken(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, uint16_t fib)
{
    struct session_stack *ss = w->stack->session;
    unsigned b = bucket_of(lcl->port);
    bool taken = proto == SVM_PROTO_UDP && lcl->port.raw == w->stack->udp_encap.port.raw;

    if (taken || bucket_is_empty(ss, b))
        return taken;
    pthread_mutex_lock(&ss->lock);
    for (const struct session_endpoint *e = ss->bucket[b]; e && !taken; e = e->next)
        taken = e->proto == proto && e->lcl.port.raw == lcl->port.raw && e->fib == fib &&
                addresses_overlap(&e->lcl, e->flags, lcl, 0);
    pthread_mutex_unlock(&ss->lock);
    return taken;
}

static bool tuple_is_free(struct worker *w, const struct transport_ops *ops, const struct ip_endpoint *lcl,
                          const struct ip_endpoint *rmt, uint32_t from)
{
    struct transport_conn *c = session_lookup(w, ops->proto, lcl, rmt, from);

    return !c || (ops->is_replaceable && ops->is_replaceable(w, c));
}

/* The ports that will be asked for next: their place in the table, and what is there, come into the cache meanwhile. */
static void ports_ahead(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t fib)
{
    struct ip_endpoint one = *lcl, two = *lcl;

    one.port = be16_of((uint16_t)(be16_get(lcl->port) + 1));
    two.port = be16_of((uint16_t)(be16_get(lcl->port) + 2));
    session_lookup_next(w, session_lookup_soon(w, proto, &one, rmt, fib));
    (void)session_lookup_soon(w, proto, &two, rmt, fib);
}

/* Most connections of a host go to few destinations: the hash of the last one is kept. */
static uint64_t source_hash(struct worker *w, uint8_t proto, const struct ip_addr *lcl, const struct ip_endpoint *rmt)
{
    struct session_worker *sw = w->session;
    uint64_t key[SESSION_KEY_WORDS] = { [4] = (uint64_t)proto << 32 | rmt->port.raw };

    memcpy(&key[0], lcl, sizeof(*lcl));
    memcpy(&key[2], &rmt->ip, sizeof(rmt->ip));
    if (memcmp(key, sw->source_key, sizeof(key)) != 0) {
        sw->source_hash = siphash24_words(w->secret, key, SESSION_KEY_WORDS);
        memcpy(sw->source_key, key, sizeof(key));
    }
    return sw->source_hash;
}

/* RFC 6056 s3.3.4, algorithm 4: a keyed hash of the other three parts of the tuple gives where to begin, and one of several
 * counters how far, so that the ports for one destination follow each other and tell nothing of those for another. */
int session_choose_source(struct worker *w, uint8_t proto, const struct ip_endpoint *rmt, uint32_t from, struct ip_endpoint *lcl)
{
    enum { RANGE = SESSION_EPHEMERAL_HI - SESSION_EPHEMERAL_LO + 1 };
    struct session_worker *sw = w->session;
    const struct transport_ops *ops = transport_get(proto);
    uint16_t fib = (uint16_t)from;
    uint64_t h;
    uint16_t *next;
    uint32_t first;

    if (ip_addr_is_any(&lcl->ip)) {
        struct ip_path path;
        int err = ip_path_lookup_by(w, fib, (uint8_t)(from >> 16), &rmt->ip, &path);
        if (err != 0)
            return err;
        lcl->ip = path.src;
    }
    if (lcl->port.raw)
        return tuple_is_free(w, ops, lcl, rmt, from) ? 0 : -EADDRNOTAVAIL; /* as Linux */
    h = source_hash(w, proto, &lcl->ip, rmt);
    next = &sw->port_table[(h >> 32) % HS_ARRAY_LEN(sw->port_table)];
    first = (uint32_t)((h + *next) % RANGE);
    for (uint32_t i = 0; i < RANGE; i++) {
        lcl->port = be16_of((uint16_t)(SESSION_EPHEMERAL_LO + (first + i) % RANGE));
        if (w->stack->n_workers > 1 && worker_rss_owner(w->stack, ops->ip_proto, rmt, lcl) != w->index)
            continue;
        if (tuple_is_free(w, ops, lcl, rmt, from) && !session_endpoint_is_taken(w, proto, lcl, fib)) {
            *next = (uint16_t)((*next + i + 1) % RANGE);
            ports_ahead(w, proto, lcl, rmt, fib);
            return 0;
        }
    }
    lcl->port = (be16){ 0 };
    return -EADDRNOTAVAIL;
}
