/* route.c - routes in a binary trie per interface table and family */
#include "server/route/route.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

struct trie_node {
    uint32_t child[2];   /* 0 = none: node 0 is never a child */
    uint32_t route;      /* index + 1; 0 = none ends here */
};

struct route_table {
    uint32_t generation;
    struct trie_node *node;
    uint32_t n_nodes, cap_nodes;
    struct route **route;            /* each its own allocation: addresses stay, caches point to them */
    uint32_t n_routes, cap_routes;   /* n_routes: with the n_free places that are NULL */
    uint32_t n_free;
    uint32_t n_multi, n_dead;        /* n_dead: hops, atomic */
    struct route *multi[ROUTE_MAX_MULTI]; /* the routes of several hops */
    uint32_t root[ROUTE_MAX_FIBS][2]; /* [fib][is v4]; 0 = empty */
};

int route_table_create(struct route_table **out)
{
    struct route_table *t = calloc(1, sizeof(*t));

    if (!t)
        return -ENOMEM;
    t->generation = 1; /* a zeroed cache is stale */
    t->n_nodes = 1;
    *out = t;
    return 0;
}

static void free_chain(struct route *r)
{
    while (r) {
        struct route *next = r->next;
        free(r);
        r = next;
    }
}

void route_table_destroy(struct route_table *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->n_routes; i++)
        free_chain(t->route[i]);
    free(t->route);
    free(t->node);
    free(t);
}

uint32_t route_generation(const struct route_table *t) { return __atomic_load_n(&t->generation, __ATOMIC_RELAXED); }

static unsigned addr_bit(const struct ip_addr *a, unsigned i) { return (a->b[i / 8] >> (7 - i % 8)) & 1u; }

static uint32_t node_new(struct route_table *t)
{
    if (t->n_nodes >= t->cap_nodes) {
        uint32_t cap = t->cap_nodes ? 2 * t->cap_nodes : 256;
        struct trie_node *grown = realloc(t->node, cap * sizeof(*grown));
        if (!grown)
            return 0;
        t->node = grown;
        t->cap_nodes = cap;
    }
    t->node[t->n_nodes] = (struct trie_node){ .route = 0 };
    return t->n_nodes++;
}

/* Where the route of a prefix is noted, making the way to it; NULL: no memory. Valid until the next node is made. */
static uint32_t *trie_slot(struct route_table *t, uint16_t fib, const struct ip_prefix *p)
{
    bool v4 = ip_addr_is_v4(&p->ip);
    unsigned first = v4 ? 96 : 0;
    uint32_t at = t->root[fib][v4];

    if (at == 0) {
        at = node_new(t);
        if (at == 0)
            return NULL;
        t->root[fib][v4] = at;
    }
    for (unsigned i = first; i < first + p->len; i++) {
        unsigned b = addr_bit(&p->ip, i);
        uint32_t next = t->node[at].child[b];
        if (next == 0) {
            next = node_new(t);
            if (next == 0)
                return NULL;
            t->node[at].child[b] = next;
        }
        at = next;
    }
    return &t->node[at].route;
}

static const struct route *hop_by(const struct route *r, const struct interface *ifc)
{
    while (r && r->ifc != ifc)
        r = r->next;
    return r;
}

const struct route *route_lookup_by(const struct route_table *t, uint16_t fib, const struct ip_addr *dst, const struct interface *ifc)
{
    const struct route *best = NULL, *r;
    bool v4 = ip_addr_is_v4(dst);

    if (fib >= ROUTE_MAX_FIBS)
        return NULL;
    uint32_t at = t->root[fib][v4];
    for (unsigned i = v4 ? 96 : 0; at != 0; i++) {
        if (t->node[at].route && (r = hop_by(t->route[t->node[at].route - 1], ifc)))
            best = r;
        if (i == 128)
            break;
        at = t->node[at].child[addr_bit(dst, i)];
    }
    return best;
}

const struct route *route_lookup(const struct route_table *t, uint16_t fib, const struct ip_addr *dst)
{
    bool v4 = ip_addr_is_v4(dst);
    uint32_t best = 0;

    if (fib >= ROUTE_MAX_FIBS)
        return NULL;
    uint32_t at = t->root[fib][v4];
    for (unsigned i = v4 ? 96 : 0; at != 0; i++) {
        if (t->node[at].route)
            best = t->node[at].route;
        if (i == 128)
            break;
        at = t->node[at].child[addr_bit(dst, i)];
    }
    return best ? t->route[best - 1] : NULL;
}

static void mask_host_bits(struct ip_prefix *p)
{
    unsigned bits = ip_addr_is_v4(&p->ip) ? 96u + p->len : p->len;

    for (unsigned i = bits; i < 128; i++)
        p->ip.b[i / 8] &= (uint8_t)~(0x80u >> (i % 8));
}

static int route_insert(struct route_table *t, const struct route *r)
{
    uint32_t at = 0;

    while (at < t->n_routes && t->n_free && t->route[at]) /* a place of one that was removed */
        at++;
    if (!t->n_free)
        at = t->n_routes;
    if (at == ROUTE_MAX)
        return -ENOSPC;
    if (at == t->cap_routes) {
        uint32_t cap = t->cap_routes ? 2 * t->cap_routes : 64;
        struct route **grown = realloc(t->route, cap * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        t->route = grown;
        t->cap_routes = cap;
    }
    struct route *own = malloc(sizeof(*own));
    if (!own)
        return -ENOMEM;
    *own = *r;
    mask_host_bits(&own->prefix);
    uint32_t *slot = trie_slot(t, r->fib, &own->prefix);
    if (!slot) {
        free(own);
        return -ENOMEM;
    }
    if (*slot) {
        free(own);
        return -EEXIST;
    }
    if (at < t->n_routes)
        t->n_free--;
    else
        t->n_routes++;
    t->route[at] = own;
    *slot = at + 1;
    route_changed(t);
    return 0;
}

static void forget_multi(struct route_table *t, const struct route *first)
{
    for (uint32_t i = 0; i < t->n_multi; i++) {
        if (t->multi[i] != first)
            continue;
        for (const struct route *h = first; h; h = h->next)
            t->n_dead -= h->is_dead;
        t->multi[i] = t->multi[--t->n_multi];
    }
}

int route_del(struct route_table *t, uint16_t fib, const struct ip_prefix *prefix, enum route_kind kind)
{
    struct ip_prefix p = *prefix;

    if (fib >= ROUTE_MAX_FIBS || p.len > (ip_addr_is_v4(&p.ip) ? 32 : 128))
        return -EINVAL;
    mask_host_bits(&p);
    uint32_t *slot = trie_slot(t, fib, &p); /* may make nodes on the way: they stay for the next one */
    if (!slot)
        return -ENOMEM;
    if (!*slot || t->route[*slot - 1]->kind != kind)
        return -ENOENT;
    forget_multi(t, t->route[*slot - 1]);
    free_chain(t->route[*slot - 1]);
    t->route[*slot - 1] = NULL;
    *slot = 0;
    t->n_free++;
    route_changed(t);
    return 0;
}

void route_changed(struct route_table *t) { __atomic_fetch_add(&t->generation, 1, __ATOMIC_RELAXED); }

/* A gateway is on the link of an interface of the same table. */
static struct interface *interface_of_gateway(const struct stack *s, uint16_t fib, const struct ip_addr *via)
{
    const struct route *r = route_lookup(s->routes, fib, via);

    return r && r->kind == ROUTE_CONNECTED ? r->ifc : NULL;
}

/* What a route may say; finds the interface of a gateway. */
static int check_route(struct stack *s, struct route *r, const struct ip_addr *via)
{
    if (r->fib >= ROUTE_MAX_FIBS || (!via && !r->ifc) || (r->prefix.len != 0 && ip_addr_is_multicast(&r->prefix.ip)))
        return -EINVAL;
    if (r->prefix.len > (ip_addr_is_v4(&r->prefix.ip) ? 32 : 128))
        return -EINVAL;
    if (r->ifc && r->ifc->fib != r->fib)
        return -EINVAL;
    if (!via)
        return 0;
    if (ip_addr_is_v4(via) != ip_addr_is_v4(&r->prefix.ip) || ip_addr_is_any(via) || ip_addr_is_multicast(via) ||
        ip_addr_is_broadcast(via) || interfaces_find_addr(s, r->fib, via))
        return -EINVAL;
    if (!r->ifc)
        r->ifc = interface_of_gateway(s, r->fib, via);
    if (!r->ifc)
        return -ENETUNREACH;
    r->has_gateway = true;
    r->gateway = *via;
    return 0;
}

int route_add_of_kind(struct stack *s, uint16_t fib, const struct ip_prefix *prefix, const struct ip_addr *via, struct interface *ifc,
                      enum route_kind kind)
{
    struct route r = { .prefix = *prefix, .fib = fib, .kind = (uint8_t)kind, .ifc = ifc };
    int rc = check_route(s, &r, via);

    return rc == 0 ? route_insert(s->routes, &r) : rc;
}

int route_add(struct stack *s, uint16_t fib, const struct ip_prefix *prefix, const struct ip_addr *via, struct interface *ifc)
{
    return route_add_of_kind(s, fib, prefix, via, ifc, ROUTE_STATIC);
}

int route_add_hop(struct stack *s, uint16_t fib, const struct ip_prefix *prefix, const struct ip_addr *via, struct interface *ifc)
{
    struct route r = { .prefix = *prefix, .fib = fib, .kind = ROUTE_STATIC, .ifc = ifc };
    struct route_table *t = s->routes;
    int rc = check_route(s, &r, via);

    if (rc != 0)
        return rc;
    mask_host_bits(&r.prefix);
    const uint32_t *slot = trie_slot(t, fib, &r.prefix);
    if (!slot)
        return -ENOMEM;
    struct route *first = *slot ? t->route[*slot - 1] : NULL, *last = first;
    if (!first || first->kind != ROUTE_STATIC)
        return -ENOENT;
    unsigned n = 0;
    for (struct route *h = first; h; h = h->next, n++) {
        if (h->ifc == r.ifc && h->has_gateway == r.has_gateway && (!h->has_gateway || ip_addr_eq(&h->gateway, &r.gateway)))
            return -EEXIST;
        last = h;
    }
    if (n == ROUTE_MAX_HOPS || (n == 1 && t->n_multi == ROUTE_MAX_MULTI))
        return -ENOSPC;
    last->next = malloc(sizeof(r));
    if (!last->next)
        return -ENOMEM;
    *last->next = r;
    if (n == 1)
        t->multi[t->n_multi++] = first;
    route_changed(t);
    return 0;
}

/* ---------------------------------------------------------------- several hops */

static bool is_dead(const struct route *h) { return __atomic_load_n(&h->is_dead, __ATOMIC_RELAXED); }

const struct route *route_choose(const struct route *r, uint32_t flow, uint64_t now_us, const struct route **ask)
{
    unsigned n = 0, n_alive = 0;

    *ask = NULL;
    for (const struct route *h = r; h; h = h->next, n++) {
        n_alive += !is_dead(h);
        uint64_t retry = __atomic_load_n(&h->retry_us, __ATOMIC_RELAXED);
        if (is_dead(h) && !*ask && retry <= now_us &&
            __atomic_compare_exchange_n((uint64_t *)&h->retry_us, &retry, now_us + ROUTE_RETRY_US, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            *ask = h; /* one worker asks */
    }
    /* With none alive all are as good as each other. The high bits, so that the low ones are left to hash tables. */
    unsigned pick = (unsigned)(((uint64_t)flow * (n_alive ? n_alive : n)) >> 32);
    for (const struct route *h = r; h; h = h->next) {
        if (n_alive && is_dead(h))
            continue;
        if (pick-- == 0)
            return h;
    }
    return r; /* one died meanwhile */
}

static void set_dead(struct route_table *t, const struct interface *ifc, const struct ip_addr *ip, bool dead, uint64_t retry_us)
{
    for (uint32_t i = 0; i < t->n_multi; i++) {
        for (struct route *h = t->multi[i]; h; h = h->next) {
            if (h->ifc != ifc || !h->has_gateway || !ip_addr_eq(&h->gateway, ip))
                continue;
            if (dead)
                __atomic_store_n(&h->retry_us, retry_us, __ATOMIC_RELAXED);
            if (__atomic_exchange_n(&h->is_dead, dead, __ATOMIC_RELAXED) == dead)
                continue;
            __atomic_fetch_add(&t->n_dead, dead ? 1 : UINT32_MAX, __ATOMIC_RELAXED);
            route_changed(t); /* connections choose again */
        }
    }
}

void route_gateway_failed(struct route_table *t, const struct interface *ifc, const struct ip_addr *ip, uint64_t now_us)
{
    if (t->n_multi)
        set_dead(t, ifc, ip, true, now_us + ROUTE_RETRY_US);
}

void route_gateway_works(struct route_table *t, const struct interface *ifc, const struct ip_addr *ip)
{
    if (__atomic_load_n(&t->n_dead, __ATOMIC_RELAXED))
        set_dead(t, ifc, ip, false, 0);
}

int route_add_connected(struct interface *ifc, const struct ip_prefix *prefix)
{
    struct route r = { .prefix = *prefix, .fib = ifc->fib, .kind = ROUTE_CONNECTED, .ifc = ifc };

    return route_insert(ifc->stack->routes, &r);
}

void route_show(struct stack *s, json_t *array)
{
    static const char *const kinds[] = { [ROUTE_CONNECTED] = "connected", [ROUTE_STATIC] = "static", [ROUTE_DHCP] = "dhcp",
                                         [ROUTE_LINUX] = "linux",
                                         [ROUTE_REDIRECT] = "redirect" };
    const struct route_table *t = s->routes;
    char addr[IP_ADDR_TEXT_MAX], text[IP_ADDR_TEXT_MAX + 5];

    for (uint32_t i = 0; i < t->n_routes; i++) {
        for (const struct route *r = t->route[i]; r; r = r->next) {
            snprintf(text, sizeof(text), "%s/%u", ip_addr_format(&r->prefix.ip, addr), r->prefix.len);
            json_t *row = json_pack("{s:s, s:i, s:s, s:s}", "prefix", text, "table", r->fib, "kind", kinds[r->kind], "interface",
                                    r->ifc->name);
            if (row && r->has_gateway)
                json_object_set_new(row, "via", json_string(ip_addr_format(&r->gateway, addr)));
            if (row && is_dead(r))
                json_object_set_new(row, "dead", json_true());
            json_array_append_new(array, row);
        }
    }
}
