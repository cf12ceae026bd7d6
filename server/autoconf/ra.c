/* ra.c - router advertisements: routers, prefixes, addresses and their lifetimes (RFC 4861 s6.3.4, RFC 4862 s5.5); solicitations */
#include <netinet/in.h>

#include "common/log.h"
#include "common/siphash.h"
#include "server/autoconf/autoconf_internal.h"
#include "server/icmp/icmp_internal.h"

enum ra_option { OPT_SOURCE_LL = 1, OPT_PREFIX = 3, OPT_MTU = 5, OPT_ROUTE = 24 };
enum { PREFIX_ON_LINK = 0x80, PREFIX_AUTONOMOUS = 0x40, PREFIX_OPTION_LEN = 32 };
#define TWO_HOURS_US (7200ull * 1000000)

static uint32_t get32(const uint8_t *b) { return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]; }
static uint64_t until(uint64_t now_us, uint32_t seconds)
{
    return seconds == UINT32_MAX ? UINT64_MAX : now_us + (uint64_t)seconds * 1000000;
}

static bool log_change(const struct autoconf_ifc *ai, const char *what, const struct ip_addr *ip)
{
    char text[IP_ADDR_TEXT_MAX];

    if (ai->ifc->stack->log)
        hs_log(ai->ifc->stack->log, HS_LOG_INFO, "interface %s: %s %s", ai->ifc->name, what, ip_addr_format(ip, text));
    return true;
}

/* ---------------------------------------------------------------- routers */

/* RFC 4861 s6.3.6 with RFC 4191 s3.1: one that answers before one that does not, then the higher preference. */
static int rank(const struct autoconf_router *r) { return (r->is_silent ? 0 : 4) + r->preference; }

/* The default route goes by the best router; of equal ones by the present one. A configured route is left alone. */
static bool choose_router(struct autoconf_ifc *ai, uint64_t now_us)
{
    struct stack *s = ai->ifc->stack;
    struct ip_prefix all = { .ip = ip_addr_any(false) };
    const struct autoconf_router *first = NULL;

    for (unsigned i = 0; i < AUTOCONF_ROUTERS; i++) {
        struct autoconf_router *r = &ai->router[i];
        if (r->until.us <= now_us)
            r->until.us = 0;
        else if (!first || rank(r) > rank(first) || (rank(r) == rank(first) && ip_addr_eq(&r->ip, &ai->gateway)))
            first = r;
    }
    const struct ip_addr *best = first ? &first->ip : NULL;
    if (best ? ip_addr_eq(best, &ai->gateway) : ip_addr_is_any(&ai->gateway))
        return false;
    if (!ip_addr_is_any(&ai->gateway)) {
        const struct route *r = route_lookup(s->routes, ai->ifc->fib, &all.ip);
        if (r && r->prefix.len == 0 && r->has_gateway && ip_addr_eq(&r->gateway, &ai->gateway)) /* not one put in by hand since */
            route_del(s->routes, ai->ifc->fib, &all, ROUTE_STATIC);
        log_change(ai, "no more a router:", &ai->gateway);
    }
    ai->gateway = ip_addr_any(false);
    if (best && route_add(s, ai->ifc->fib, &all, best, ai->ifc) == 0) {
        ai->gateway = *best;
        log_change(ai, "router", best);
    }
    return true;
}

/* RFC 4191 s2.2: the reserved value counts as medium. */
static int8_t preference_of(uint8_t flags)
{
    static const int8_t of[4] = { 0, 1, 0, -1 };

    return of[(flags >> 3) & 3];
}

static void heard_router(struct autoconf_ifc *ai, const struct ip_addr *ip, uint32_t lifetime_s, int8_t preference, uint64_t now_us)
{
    struct autoconf_router *r = NULL;

    for (unsigned i = 0; i < AUTOCONF_ROUTERS; i++)
        if (ai->router[i].until.us && ip_addr_eq(&ai->router[i].ip, ip))
            r = &ai->router[i];
    for (unsigned i = 0; !r && lifetime_s && i < AUTOCONF_ROUTERS; i++)
        if (!ai->router[i].until.us)
            r = &ai->router[i];
    for (unsigned i = 0; !r && lifetime_s && i < AUTOCONF_ROUTERS; i++) /* no room: instead of a worse one */
        if (rank(&ai->router[i]) < 4 + preference)
            r = &ai->router[i];
    if (r)
        *r = (struct autoconf_router){ { lifetime_s ? now_us + (uint64_t)lifetime_s * 1000000 : 0 }, *ip, preference, false };
}

bool ra_knows(const struct autoconf_ifc *ai, const struct ip_addr *ip)
{
    for (unsigned i = 0; i < AUTOCONF_ROUTERS; i++)
        if (ai->router[i].until.us && ip_addr_eq(&ai->router[i].ip, ip))
            return true;
    for (unsigned i = 0; i < AUTOCONF_REDIRECTS; i++)
        if (ai->redirect[i].until.us && (ip_addr_eq(&ai->redirect[i].via, ip) || ip_addr_eq(&ai->redirect[i].dst, ip)))
            return true;
    for (unsigned i = 0; i < AUTOCONF_ROUTES; i++)
        if (ai->route[i].until.us && ip_addr_eq(&ai->route[i].router, ip))
            return true;
    return false;
}

bool ra_failed(struct autoconf_ifc *ai, const struct ip_addr *ip, uint64_t now_us)
{
    for (unsigned i = 0; i < AUTOCONF_ROUTERS; i++)
        if (ai->router[i].until.us && ip_addr_eq(&ai->router[i].ip, ip))
            ai->router[i].is_silent = true;
    return choose_router(ai, now_us);
}

/* ---------------------------------------------------------------- prefixes */

/* RFC 7217 s5: stable for a prefix and an interface, and tells nothing of the hardware. */
static struct ip_addr make_address(const struct autoconf *a, const struct autoconf_ifc *ai, const struct autoconf_prefix *p)
{
    struct { uint8_t prefix[8], mac[6], dad, pad; } in = { .dad = p->dad_counter };
    struct ip_addr ip = p->prefix.ip;

    memcpy(in.prefix, ip.b, 8);
    memcpy(in.mac, ai->ifc->mac, 6);
    uint64_t id = siphash24(a->secret, &in, sizeof(in));
    memcpy(ip.b + 8, &id, 8);
    return ip;
}

static bool add_address(struct autoconf *a, struct autoconf_ifc *ai, struct autoconf_prefix *p)
{
    p->address = (struct ip_prefix){ make_address(a, ai, p), p->on_link ? 64 : 128 };
    if (interface_add_address(ai->ifc, &p->address, ai->addr_flags) != 0)
        return false;
    p->has_address = true;
    return log_change(ai, "address", &p->address.ip);
}

static void drop_address(struct autoconf_ifc *ai, struct autoconf_prefix *p)
{
    if (p->has_address)
        interface_del_address(ai->ifc, &p->address);
    p->has_address = false;
}

static void drop_prefix(struct autoconf_ifc *ai, struct autoconf_prefix *p)
{
    drop_address(ai, p);
    if (p->has_route)
        route_del(ai->ifc->stack->routes, ai->ifc->fib, &p->prefix, ROUTE_STATIC);
    log_change(ai, "no more valid: prefix", &p->prefix.ip);
    *p = (struct autoconf_prefix){ .is_used = false };
}

static struct autoconf_prefix *find_prefix(struct autoconf_ifc *ai, const struct ip_prefix *prefix, bool may_make)
{
    struct autoconf_prefix *free_one = NULL;

    for (unsigned i = 0; i < AUTOCONF_PREFIXES; i++) {
        struct autoconf_prefix *p = &ai->prefix[i];
        if (p->is_used && p->prefix.len == prefix->len && ip_addr_eq(&p->prefix.ip, &prefix->ip))
            return p;
        if (!p->is_used && !free_one)
            free_one = p;
    }
    if (!may_make || !free_one)
        return NULL;
    *free_one = (struct autoconf_prefix){ .is_used = true, .prefix = *prefix };
    return free_one;
}

/* RFC 4862 s5.5.3 e: an advertisement that nobody has signed may not take an address away in less than two hours. */
static uint64_t new_valid(const struct autoconf_prefix *p, bool is_new, uint32_t valid_s, uint64_t now_us)
{
    uint64_t wanted = until(now_us, valid_s), left = p->valid_until_us - now_us;

    if (is_new || valid_s > 7200 || wanted > p->valid_until_us)
        return wanted;
    return left <= TWO_HOURS_US ? p->valid_until_us : now_us + TWO_HOURS_US;
}

/* For RFC 6724 rule 5.5: the newest one takes the place of the oldest. */
static void note_router(struct autoconf_ifc *ai, const struct autoconf_prefix *p, const struct ip_addr *router)
{
    struct interface_addr *at = p->has_address ? interface_find_addr(ai->ifc, &p->address.ip) : NULL;

    for (unsigned i = 0; at && i < INTERFACE_TOLD_BY; i++)
        if (ip_addr_eq(&at->told_by[i], router))
            return;
    if (at) {
        memmove(&at->told_by[1], &at->told_by[0], (INTERFACE_TOLD_BY - 1) * sizeof(at->told_by[0]));
        at->told_by[0] = *router;
    }
}

static bool heard_prefix(struct autoconf *a, struct autoconf_ifc *ai, const struct ip_addr *router, const uint8_t *o, uint64_t now_us)
{
    struct ip_prefix prefix = { .len = o[2] };
    bool on_link = o[3] & PREFIX_ON_LINK, autonomous = (o[3] & PREFIX_AUTONOMOUS) && prefix.len == 64;
    uint32_t valid_s = get32(o + 4), preferred_s = get32(o + 8);
    bool changed = false;

    memcpy(prefix.ip.b, o + 16, 16);
    for (unsigned i = prefix.len; i < 128; i++)
        prefix.ip.b[i / 8] &= (uint8_t)~(0x80u >> (i % 8));
    if (prefix.len > 128 || ip_addr_is_link_local(&prefix.ip) || ip_addr_is_multicast(&prefix.ip) || ip_addr_is_v4(&prefix.ip) ||
        preferred_s > valid_s || !(on_link || autonomous))
        return false;
    struct autoconf_prefix *p = find_prefix(ai, &prefix, valid_s != 0);
    if (!p)
        return false;
    bool is_new = !p->has_address && !p->has_route;
    if (is_new)
        p->on_link = on_link;
    /* The rule of two hours is of addresses: an on-link prefix without one goes when it is told to. */
    p->valid_until_us = p->has_address ? new_valid(p, false, valid_s, now_us) : until(now_us, valid_s);
    p->preferred_until_us = until(now_us, preferred_s);
    if (autonomous && !p->has_address && valid_s)
        changed |= add_address(a, ai, p);
    note_router(ai, p, router);
    if (on_link && !p->has_route && !(p->has_address && p->on_link) && valid_s)
        changed |= p->has_route = route_add(ai->ifc->stack, ai->ifc->fib, &p->prefix, NULL, ai->ifc) == 0;
    return changed;
}

/* RFC 4191 s3.1: a route to everything is about the router itself, in place of what the header says. */
static bool heard_route(struct autoconf_ifc *ai, const struct ip_addr *router, const uint8_t *o, uint64_t now_us)
{
    struct ip_prefix prefix;
    int8_t preference;

    if (!route_info_read(o, &prefix, &preference))
        return false;
    if (prefix.len)
        return route_info_heard(ai, router, &prefix, preference, until(now_us, get32(o + 4)), now_us);
    heard_router(ai, router, get32(o + 4), preference, now_us);
    return false; /* the caller chooses among them */
}

/* RFC 4861 s6.3.4: 0 says nothing. Times are bounded, so that a bad router makes hosts neither probe without a pause nor never. */
static void heard_times(struct interface *ifc, const uint8_t *b)
{
    enum { RETRANS_MIN_MS = 10, REACHABLE_MIN_MS = 100, MAX_MS = 3600000 };
    uint32_t reachable_ms = get32(b + 8), retrans_ms = get32(b + 12);

    if (b[4])
        __atomic_store_n(&ifc->hop_limit, b[4], __ATOMIC_RELAXED);
    if (reachable_ms && reachable_ms <= MAX_MS)
        __atomic_store_n(&ifc->reachable_ms, hs_max_u32(reachable_ms, REACHABLE_MIN_MS), __ATOMIC_RELAXED);
    if (retrans_ms && retrans_ms <= MAX_MS)
        __atomic_store_n(&ifc->retrans_ms, hs_max_u32(retrans_ms, RETRANS_MIN_MS), __ATOMIC_RELAXED);
}

bool ra_apply(struct autoconf *a, struct autoconf_ifc *ai, const struct ip_mailbox_msg *m, uint64_t now_us)
{
    bool changed = false;

    heard_times(ai->ifc, m->b);
    ai->rs_left = 0; /* RFC 4861 s6.3.7: nobody need be asked any more */
    heard_router(ai, &m->src, (uint32_t)(m->b[6] << 8 | m->b[7]), preference_of(m->b[5]), now_us);
    for (uint32_t at = 16; at < m->len; at += m->b[at + 1] * 8u) { /* lengths were checked when it came */
        const uint8_t *o = m->b + at;
        if (o[0] == OPT_PREFIX && o[1] * 8u == PREFIX_OPTION_LEN)
            changed |= heard_prefix(a, ai, &m->src, o, now_us);
        if (o[0] == OPT_ROUTE)
            changed |= heard_route(ai, &m->src, o, now_us);
        if (o[0] == OPT_MTU && o[1] == 1 && get32(o + 4) >= IP6_MIN_MTU && get32(o + 4) < ai->ifc->mtu) {
            ai->ifc->mtu = (uint16_t)get32(o + 4); /* s6.3.4: never above the link's own */
            route_changed(ai->ifc->stack->routes);
        }
    }
    return choose_router(ai, now_us) || changed;
}

static bool is_to_be_replaced(const struct autoconf_prefix *p, const struct interface_addr *at)
{
    return interface_addr_state_get(at) == INTERFACE_ADDR_DUPLICATE && p->dad_counter < AUTOCONF_ID_RETRIES;
}

static bool is_old(const struct autoconf_prefix *p, uint64_t now_us) { return p->preferred_until_us <= now_us; }

bool ra_is_due(const struct autoconf_ifc *ai, uint64_t now_us)
{
    for (unsigned i = 0; i < AUTOCONF_PREFIXES; i++) {
        const struct autoconf_prefix *p = &ai->prefix[i];
        if (!p->is_used)
            continue;
        const struct interface_addr *at = p->has_address ? interface_find_addr(ai->ifc, &p->address.ip) : NULL;
        if (p->valid_until_us <= now_us || (at && (is_to_be_replaced(p, at) || is_old(p, now_us) != !!(at->flags & INTERFACE_ADDR_DEPRECATED))))
            return true;
    }
    return false;
}

bool ra_tick(struct autoconf *a, struct autoconf_ifc *ai, uint64_t now_us)
{
    bool changed = choose_router(ai, now_us);

    for (unsigned i = 0; i < AUTOCONF_PREFIXES; i++) {
        struct autoconf_prefix *p = &ai->prefix[i];
        if (!p->is_used)
            continue;
        if (p->valid_until_us <= now_us) {
            drop_prefix(ai, p);
            changed = true;
            continue;
        }
        struct interface_addr *at = p->has_address ? interface_find_addr(ai->ifc, &p->address.ip) : NULL;
        if (at && is_to_be_replaced(p, at)) {
            drop_address(ai, p);
            p->dad_counter++;
            changed |= add_address(a, ai, p);
        } else if (at && is_old(p, now_us) != !!(at->flags & INTERFACE_ADDR_DEPRECATED)) { /* RFC 4862 s5.5.4, or preferred again */
            at->flags ^= INTERFACE_ADDR_DEPRECATED;
            route_changed(ai->ifc->stack->routes);
            changed = true;
        }
    }
    return changed;
}

/* ---------------------------------------------------------------- solicitations */

struct rs_msg { struct icmp_hdr icmp; uint8_t option, len, mac[6]; };
static_assert(sizeof(struct rs_msg) == 16, "rs_msg");

/* On worker 0. */
static void send_solicitation(struct worker *w, void *arg)
{
    static const struct ip_addr all_routers = { .b = { 0xff, 0x02, [15] = 2 } };
    struct interface *ifc = arg;
    const struct ip_addr *own = interface_select_source(ifc, &all_routers, &all_routers);
    struct pkt *p = own ? pkt_alloc(w->pools, sizeof(struct rs_msg)) : NULL;
    struct ip_tx tx = { .dst = all_routers, .fib = ifc->fib, .ip_proto = IPPROTO_ICMPV6, .ttl = 255 };

    if (!p)
        return; /* no address yet, or no packet: the next one */
    tx.src = *own;
    struct rs_msg *m = (struct rs_msg *)pkt_append(p, sizeof(*m));
    *m = (struct rs_msg){ .icmp = { .type = ICMP6_T_RS }, .option = OPT_SOURCE_LL, .len = 1 };
    memcpy(m->mac, ifc->mac, 6);
    pkt_meta(p)->src = tx.src;
    pkt_meta(p)->dst = tx.dst;
    pkt_meta(p)->ip_proto = IPPROTO_ICMPV6;
    icmp_set_checksum(p);
    ip_output_on(w, ifc, &all_routers, p, &tx);
}

static bool has_link_local(const struct interface *ifc)
{
    for (unsigned i = 0; i < ifc->n_addrs; i++)
        if (ip_addr_is_link_local(&ifc->addr[i].ip) && !ip_addr_is_v4(&ifc->addr[i].ip) &&
            interface_addr_state_get(&ifc->addr[i]) == INTERFACE_ADDR_PREFERRED)
            return true;
    return false;
}

void ra_solicit(struct autoconf_ifc *ai, uint64_t now_us)
{
    if (!ai->rs_left || now_us < ai->rs_at_us || !has_link_local(ai->ifc))
        return;
    if (worker_call(ai->ifc->stack->worker[0], send_solicitation, ai->ifc) == 0) {
        ai->rs_left--;
        ai->rs_at_us = now_us + AUTOCONF_RS_US;
    }
}
