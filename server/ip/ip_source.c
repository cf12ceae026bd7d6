/* ip_source.c - the source address for a destination (RFC 6724 s5; IPv4: RFC 1122 s3.3.4.3) */
#include "server/ip/interface.h"

enum addr_scope { SCOPE_LINK = 2, SCOPE_SITE = 5, SCOPE_GLOBAL = 14 }; /* RFC 6724 s3.1, of multicast addresses RFC 4291 s2.7 */

static enum addr_scope scope_of(const struct ip_addr *a)
{
    if (ip_addr_is_multicast(a))
        return (enum addr_scope)(a->b[1] & 15);
    if (ip_addr_is_link_local(a))
        return SCOPE_LINK;
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0xc0 ? SCOPE_SITE : SCOPE_GLOBAL;
}

/* RFC 6724 s2.1, the default table; the longest prefix first. */
static uint8_t label_of(const struct ip_addr *a)
{
    static const struct { uint8_t prefix[16], len, label; } table[] = {
        { { [15] = 1 }, 128, 0 },
        { { [10] = 0xff, [11] = 0xff }, 96, 4 },
        { { 0 }, 96, 3 },
        { { 0x20, 0x01 }, 32, 5 },
        { { 0x20, 0x02 }, 16, 2 },
        { { 0x3f, 0xfe }, 16, 12 },
        { { 0xfe, 0xc0 }, 10, 11 },
        { { 0xfc }, 7, 13 },
    };

    for (unsigned i = 0; i < HS_ARRAY_LEN(table); i++) {
        unsigned whole = table[i].len / 8, rest = table[i].len % 8;
        if (memcmp(a->b, table[i].prefix, whole) == 0 && (rest == 0 || (a->b[whole] ^ table[i].prefix[whole]) >> (8 - rest) == 0))
            return table[i].label;
    }
    return 1;
}

static unsigned common_bits(const struct ip_addr *a, const struct ip_addr *b)
{
    unsigned n = 0;

    for (; n < 128 && ((a->b[n / 8] ^ b->b[n / 8]) & (0x80u >> (n % 8))) == 0; n++)
        ;
    return n;
}

static bool is_told(const struct interface_addr *a) { return !ip_addr_is_any(&a->told_by[0]); }

static bool is_told_by(const struct interface_addr *a, const struct ip_addr *router)
{
    for (unsigned i = 0; i < INTERFACE_TOLD_BY; i++)
        if (!ip_addr_is_any(router) && ip_addr_eq(&a->told_by[i], router))
            return true;
    return false;
}

/* Of two usable sources, is a better than b for dst? */
static bool source_is_better(const struct interface_addr *a, const struct interface_addr *b, const struct ip_addr *dst,
                             const struct ip_addr *next_hop)
{
    if (ip_addr_is_v4(dst)) {
        struct ip_prefix pa = { a->ip, a->len }, pb = { b->ip, b->len };
        return ip_prefix_contains(&pa, next_hop) && !ip_prefix_contains(&pb, next_hop);
    }
    if (ip_addr_eq(&a->ip, dst) != ip_addr_eq(&b->ip, dst)) /* rule 1: the same address */
        return ip_addr_eq(&a->ip, dst);
    enum addr_scope sa = scope_of(&a->ip), sb = scope_of(&b->ip), sd = scope_of(dst);
    if (sa != sb) /* rule 2: the smallest scope that is large enough */
        return sa < sb ? sa >= sd : sb < sd;
    if ((a->flags ^ b->flags) & INTERFACE_ADDR_DEPRECATED) /* rule 3 */
        return !(a->flags & INTERFACE_ADDR_DEPRECATED);
    bool ta = is_told_by(a, next_hop), tb = is_told_by(b, next_hop);
    if (ta != tb && is_told(a) && is_told(b)) /* rule 5.5: advertised by the next hop, not by another one */
        return ta;
    uint8_t label = label_of(dst);
    bool la = label_of(&a->ip) == label, lb = label_of(&b->ip) == label;
    if (la != lb) /* rule 6: the same label */
        return la;
    if ((a->flags ^ b->flags) & INTERFACE_ADDR_TEMPORARY) /* rule 7 */
        return a->flags & INTERFACE_ADDR_TEMPORARY;
    unsigned ca = common_bits(&a->ip, dst), cb = common_bits(&b->ip, dst); /* rule 8: the longest matching prefix */
    return (ca > a->len ? a->len : ca) > (cb > b->len ? b->len : cb);
}

const struct ip_addr *interface_select_source(const struct interface *ifc, const struct ip_addr *dst,
                                              const struct ip_addr *next_hop)
{
    const struct interface_addr *best = NULL;

    for (unsigned i = 0; i < ifc->n_addrs; i++) {
        const struct interface_addr *a = &ifc->addr[i];
        if (ip_addr_is_v4(&a->ip) != ip_addr_is_v4(dst) || interface_addr_state_get(a) != INTERFACE_ADDR_PREFERRED)
            continue;
        if (!best || source_is_better(a, best, dst, next_hop))
            best = a;
    }
    return best ? &best->ip : NULL;
}
