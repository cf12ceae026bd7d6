/* route_info.c - more specific routes that routers tell of (RFC 4191 s2.3, s3.1, host type C) */
#include "server/autoconf/autoconf_internal.h"

enum { OPT_PREFIX_AT = 8, PREFERENCE_RESERVED = 2 };

static bool is_same_prefix(const struct ip_prefix *a, const struct ip_prefix *b) { return a->len == b->len && ip_addr_eq(&a->ip, &b->ip); }

/* RFC 4191 s3.1, s3.3: one whose router answers before one whose does not, then the higher preference. */
static int rank(const struct autoconf_route *r) { return (r->is_silent ? 0 : 4) + r->preference; }

static bool drop(struct autoconf_ifc *ai, struct autoconf_route *r)
{
    if (!r->is_in)
        return false;
    route_del(ai->ifc->stack->routes, ai->ifc->fib, &r->prefix, ROUTE_STATIC);
    r->is_in = false;
    return true;
}

/* Of the routers that tell of the prefix the best one, the present one among equals. A configured route is left alone. */
static bool choose(struct autoconf_ifc *ai, const struct ip_prefix *prefix)
{
    struct autoconf_route *best = NULL, *present = NULL;

    for (unsigned i = 0; i < AUTOCONF_ROUTES; i++) {
        struct autoconf_route *r = &ai->route[i];
        if (!r->until.us || !is_same_prefix(&r->prefix, prefix))
            continue;
        if (r->is_in)
            present = r;
        if (!best || rank(r) > rank(best) || (rank(r) == rank(best) && r->is_in))
            best = r;
    }
    if (best == present)
        return false;
    bool changed = present && drop(ai, present);
    best->is_in = route_add(ai->ifc->stack, ai->ifc->fib, &best->prefix, &best->router, ai->ifc) == 0;
    return changed || best->is_in;
}

static bool end(struct autoconf_ifc *ai, struct autoconf_route *r)
{
    struct ip_prefix prefix = r->prefix;
    bool changed = drop(ai, r);

    r->until.us = 0;
    return choose(ai, &prefix) || changed;
}

/* The place of what the router has told of the prefix before, or a free one. */
static struct autoconf_route *place_for(struct autoconf_ifc *ai, const struct ip_prefix *prefix, const struct ip_addr *router)
{
    struct autoconf_route *free_one = NULL;

    for (unsigned i = 0; i < AUTOCONF_ROUTES; i++) {
        struct autoconf_route *r = &ai->route[i];
        if (r->until.us && is_same_prefix(&r->prefix, prefix) && ip_addr_eq(&r->router, router))
            return r;
        if (!r->until.us && !free_one)
            free_one = r;
    }
    return free_one;
}

bool route_info_read(const uint8_t *o, struct ip_prefix *prefix, int8_t *preference)
{
    static const int8_t of[4] = { 0, 1, 0, -1 };
    unsigned units = o[1], bits = (o[3] >> 3) & 3u;

    *prefix = (struct ip_prefix){ .len = o[2] };
    *preference = of[bits];
    /* s2.3: as many bytes as the prefix needs may be there, or more; the reserved preference is not to be believed. */
    if (units > 3 || prefix->len > 128 || prefix->len > (units - 1) * 64 || bits == PREFERENCE_RESERVED)
        return false;
    memcpy(prefix->ip.b, o + OPT_PREFIX_AT, (units - 1) * 8u);
    for (unsigned i = prefix->len; i < 128; i++)
        prefix->ip.b[i / 8] &= (uint8_t)~(0x80u >> (i % 8));
    return prefix->len == 0 || !(ip_addr_is_multicast(&prefix->ip) || ip_addr_is_link_local(&prefix->ip) || ip_addr_is_v4(&prefix->ip) ||
                                 ip_addr_is_loopback(&prefix->ip));
}

bool route_info_heard(struct autoconf_ifc *ai, const struct ip_addr *router, const struct ip_prefix *prefix, int8_t preference, uint64_t until_us,
                      uint64_t now_us)
{
    struct autoconf_route *r = place_for(ai, prefix, router);

    if (!r)
        return false;
    if (until_us <= now_us)
        return r->until.us && end(ai, r);
    bool was_in = r->until.us && r->is_in;
    *r = (struct autoconf_route){ .prefix = *prefix, .router = *router, .preference = preference, .is_in = was_in, .until = { until_us } };
    return choose(ai, prefix);
}

bool route_info_tick(struct autoconf_ifc *ai, uint64_t now_us)
{
    bool changed = false;

    for (unsigned i = 0; i < AUTOCONF_ROUTES; i++)
        if (ai->route[i].until.us && ai->route[i].until.us <= now_us)
            changed |= end(ai, &ai->route[i]);
    return changed;
}

bool route_info_failed(struct autoconf_ifc *ai, const struct ip_addr *router)
{
    bool changed = false;

    for (unsigned i = 0; i < AUTOCONF_ROUTES; i++) {
        struct autoconf_route *r = &ai->route[i];
        if (!r->until.us || !ip_addr_eq(&r->router, router))
            continue;
        r->is_silent = true;
        changed |= choose(ai, &r->prefix);
    }
    return changed;
}
