/* redirect.c - a router tells of a better first hop (RFC 4861 s8): a host route, for some minutes */
#include "server/autoconf/autoconf_internal.h"

enum { TARGET_AT = 8, DESTINATION_AT = 24 };

static struct ip_prefix host(const struct ip_addr *dst) { return (struct ip_prefix){ *dst, 128 }; }

static void drop(struct autoconf_ifc *ai, struct autoconf_redirect *d)
{
    struct ip_prefix p = host(&d->dst);

    route_del(ai->ifc->stack->routes, ai->ifc->fib, &p, ROUTE_REDIRECT);
    d->until.us = 0;
}

/* The place of an earlier one for dst, a free one, or that of the oldest. */
static struct autoconf_redirect *place_for(struct autoconf_ifc *ai, const struct ip_addr *dst)
{
    struct autoconf_redirect *best = &ai->redirect[0];

    for (unsigned i = 0; i < AUTOCONF_REDIRECTS; i++) {
        struct autoconf_redirect *d = &ai->redirect[i];
        if (d->until.us && ip_addr_eq(&d->dst, dst))
            return d;
        if (d->until.us < best->until.us)
            best = d;
    }
    return best;
}

/* s8.1, what needs the tables: it comes from the present first hop of that destination. */
static bool is_from_first_hop(const struct autoconf_ifc *ai, const struct ip_addr *src, const struct ip_addr *dst)
{
    const struct route *r = route_lookup(ai->ifc->stack->routes, ai->ifc->fib, dst);

    for (; r; r = r->next)
        if (r->ifc == ai->ifc && r->has_gateway && ip_addr_eq(&r->gateway, src))
            return true;
    return false;
}

bool redirect_apply(struct autoconf_ifc *ai, const struct ip_mailbox_msg *m, uint64_t now_us)
{
    struct stack *s = ai->ifc->stack;
    struct ip_addr target, dst;

    memcpy(target.b, m->b + TARGET_AT, 16); /* lengths were checked when it came */
    memcpy(dst.b, m->b + DESTINATION_AT, 16);
    bool on_link = ip_addr_eq(&target, &dst);
    if (!is_from_first_hop(ai, &m->src, &dst) || interfaces_find_addr(s, ai->ifc->fib, &target) ||
        interfaces_find_addr(s, ai->ifc->fib, &dst))
        return false;
    struct autoconf_redirect *d = place_for(ai, &dst);
    struct ip_prefix p = host(&dst);
    if (d->until.us)
        drop(ai, d);
    if (route_add_of_kind(s, ai->ifc->fib, &p, on_link ? NULL : &target, ai->ifc, ROUTE_REDIRECT) != 0)
        return true; /* the earlier one has gone */
    *d = (struct autoconf_redirect){ .dst = dst, .via = on_link ? ip_addr_any(false) : target, .until = { now_us + AUTOCONF_REDIRECT_US } };
    return true;
}

bool redirect_tick(struct autoconf_ifc *ai, uint64_t now_us)
{
    bool changed = false;

    for (unsigned i = 0; i < AUTOCONF_REDIRECTS; i++) {
        struct autoconf_redirect *d = &ai->redirect[i];
        if (!d->until.us || d->until.us > now_us)
            continue;
        drop(ai, d);
        changed = true;
    }
    return changed;
}

bool redirect_failed(struct autoconf_ifc *ai, const struct ip_addr *ip)
{
    bool changed = false;

    for (unsigned i = 0; i < AUTOCONF_REDIRECTS; i++) {
        struct autoconf_redirect *d = &ai->redirect[i];
        if (!d->until.us || !ip_addr_eq(ip_addr_is_any(&d->via) ? &d->dst : &d->via, ip))
            continue;
        drop(ai, d);
        changed = true;
    }
    return changed;
}
