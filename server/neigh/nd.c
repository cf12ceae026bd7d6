/* nd.c - IPv6 neighbour discovery: solicitations and advertisements (RFC 4861), duplicate address detection (RFC 4862) */
#include <netinet/in.h>

#include "server/eth/eth.h"
#include "server/icmp/icmp_internal.h"
#include "server/neigh/neigh_internal.h"

enum { ND_OPT_SOURCE_LL = 1, ND_OPT_TARGET_LL = 2, ND_OPT_NONCE = 14 };
enum { NA_ROUTER = 0x80, NA_SOLICITED = 0x40, NA_OVERRIDE = 0x20 };

struct nd_msg {
    struct icmp_hdr icmp;        /* rest: flags of an advertisement in the first byte */
    uint8_t target[16];
} __attribute__((packed));
static_assert(sizeof(struct nd_msg) == 24, "nd_msg");
struct nd_ll_opt { uint8_t type, len, mac[6]; };

/* ---------------------------------------------------------------- out */

static struct ip_addr solicited_node(const struct ip_addr *a)
{
    struct ip_addr g = { .b = { 0xff, 0x02, [11] = 0x01, [12] = 0xff } }; /* RFC 4291 s2.7.1 */

    memcpy(g.b + 13, a->b + 13, 3);
    return g;
}

/* ll_opt 0: none. dst_mac NULL: by the table, or the group's. */
static void nd_send(struct worker *w, struct interface *ifc, uint8_t type, uint8_t flags, const struct ip_addr *target, uint8_t ll_opt,
                    const struct ip_addr *src, const struct ip_addr *dst, const uint8_t *dst_mac)
{
    struct pkt *p = pkt_alloc(w->pools, sizeof(struct nd_msg) + sizeof(struct nd_ll_opt));

    if (!p) {
        w->ip->count.neigh[NEIGH_DROP_NO_BUFFER]++;
        return;
    }
    struct nd_msg *m = (struct nd_msg *)pkt_append(p, sizeof(*m));
    *m = (struct nd_msg){ .icmp = { .type = type, .rest = be32_of((uint32_t)flags << 24) } };
    memcpy(m->target, target->b, 16);
    if (ll_opt) {
        struct nd_ll_opt *o = (struct nd_ll_opt *)pkt_append(p, sizeof(*o));
        o->type = ll_opt;
        o->len = 1;
        memcpy(o->mac, ifc->mac, 6);
    }
    struct pkt_meta *meta = pkt_meta(p);
    struct ip_tx tx = { .src = *src, .dst = *dst, .fib = ifc->fib, .ip_proto = IPPROTO_ICMPV6, .ttl = 255 };
    meta->src = *src;
    meta->dst = *dst;
    meta->ip_proto = IPPROTO_ICMPV6;
    icmp_set_checksum(p);
    if (!dst_mac) {
        ip_output_on(w, ifc, dst, p, &tx);
        return;
    }
    if (!ip_push_header(w, p, &tx, pkt_len(p))) {
        neigh_drop(w, p, NEIGH_DROP_NO_BUFFER);
        return;
    }
    eth_output(w, ifc, p, dst_mac, ETH_TYPE_IPV6);
}

void nd_solicit(struct worker *w, struct interface *ifc, const struct ip_addr *target, const uint8_t *unicast_mac)
{
    const struct ip_addr *src = interface_select_source(ifc, target, target);
    struct ip_addr group = solicited_node(target);

    if (!src)
        return;
    nd_send(w, ifc, ICMP6_T_NS, 0, target, ND_OPT_SOURCE_LL, src, unicast_mac ? target : &group, unicast_mac);
}

void nd_dad_probe(struct worker *w, struct interface_addr *a)
{
    struct ip_addr any = ip_addr_any(false), group = solicited_node(&a->ip);

    nd_send(w, a->ifc, ICMP6_T_NS, 0, &a->ip, 0, &any, &group, NULL);
}

static const struct ip_addr all_nodes = { .b = { 0xff, 0x02, [15] = 1 } };

void nd_advertise_unsolicited(struct worker *w, struct interface_addr *a)
{
    nd_send(w, a->ifc, ICMP6_T_NA, NA_OVERRIDE, &a->ip, ND_OPT_TARGET_LL, &a->ip, &all_nodes, NULL);
}

/* ---------------------------------------------------------------- in */

/* Finds a link-layer address option. false: the options are malformed (s7.1: a length of zero, or beyond the end). */
static bool nd_options(const uint8_t *o, uint32_t len, uint8_t want, const uint8_t **mac)
{
    *mac = NULL;
    while (len) {
        if (len < 8 || o[1] == 0 || o[1] * 8u > len)
            return false;
        if (o[0] == want && o[1] == 1)
            *mac = o + 2;
        len -= o[1] * 8u;
        o += o[1] * 8u;
    }
    return true;
}

static void ns_input(struct worker *w, const struct pkt_meta *m, const struct ip_addr *target, const uint8_t *mac)
{
    struct interface *ifc = m->ifc;
    struct interface_addr *a = interface_find_addr(ifc, target);
    bool dad = ip_addr_is_any(&m->src);
    uint8_t state = a ? interface_addr_state_get(a) : INTERFACE_ADDR_DUPLICATE;

    if (state == INTERFACE_ADDR_DUPLICATE) {
        w->ip->count.neigh[NEIGH_DROP_ND_TARGET]++;
        return;
    }
    if (state == INTERFACE_ADDR_TENTATIVE) { /* s5.4.3: a resolution of it is ignored, a probe of another is a conflict */
        if (dad)
            neigh_addr_is_duplicate(w, a);
        return;
    }
    if (!dad && mac)
        neigh_heard(w, ifc, &m->src, mac, NEIGH_LEARN_CREATE);
    if (m->flags & PKT_CLONED)
        return;
    /* s7.2.4: to a probe, all nodes hear that it is taken. */
    if (dad)
        nd_send(w, ifc, ICMP6_T_NA, NA_OVERRIDE, target, ND_OPT_TARGET_LL, target, &all_nodes, NULL);
    else
        nd_send(w, ifc, ICMP6_T_NA, NA_SOLICITED | NA_OVERRIDE, target, ND_OPT_TARGET_LL, target, &m->src, NULL);
}

/* RFC 4861 s7.2.5 and appendix C. */
static void na_input(struct worker *w, const struct pkt_meta *m, const struct ip_addr *target, uint8_t flags, const uint8_t *mac)
{
    struct interface *ifc = m->ifc;
    struct interface_addr *own = interface_find_addr(ifc, target);

    if (own) {
        if (interface_addr_state_get(own) == INTERFACE_ADDR_TENTATIVE)
            neigh_addr_is_duplicate(w, own);
        else
            w->ip->count.neigh[NEIGH_DROP_CONFLICT]++;
        return;
    }
    struct neigh *n = neigh_lookup(w, ifc, target);
    if (!n)
        return; /* nobody asked */
    if (n->state == NEIGH_INCOMPLETE) {
        if (!mac)
            return;
        n->is_router = (flags & NA_ROUTER) != 0;
        if (flags & NA_SOLICITED)
            neigh_answered(w, n, mac);
        else
            neigh_heard(w, ifc, target, mac, NEIGH_LEARN_UPDATE);
        return;
    }
    bool differs = mac && memcmp(mac, n->mac, 6) != 0;
    if (differs && !(flags & NA_OVERRIDE)) {
        if (n->state == NEIGH_REACHABLE)
            neigh_stale(w, n);
        return;
    }
    n->is_router = (flags & NA_ROUTER) != 0;
    if (flags & NA_SOLICITED) {
        uint8_t keep[6];
        memcpy(keep, mac ? mac : n->mac, 6);
        neigh_answered(w, n, keep);
    } else if (differs) {
        neigh_heard(w, ifc, target, mac, NEIGH_LEARN_UPDATE);
    }
}

void nd_input(struct worker *w, struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);
    uint8_t buf[512];
    struct nd_msg msg;
    struct ip_addr target;
    const uint8_t *mac;
    uint32_t len = pkt_len(p);

    /* s7.1.1, s7.1.2: hop limit 255 proves that no router passed it on; code 0; at least a target that is no group. */
    if (m->ttl != 255 || len < sizeof(msg) || len > sizeof(buf) || (m->flags & PKT_LOCAL))
        goto malformed;
    pkt_copy_out(p, 0, buf, len);
    memcpy(&msg, buf, sizeof(msg));
    memcpy(target.b, msg.target, 16);
    bool ns = msg.icmp.type == ICMP6_T_NS;
    if (capture_is_on(w))
        capture_stop_at(w, p, "nd", "%s", ns ? "solicitation" : "advertisement");
    if (msg.icmp.code != 0 || ip_addr_is_multicast(&target) || ip_addr_is_v4(&target) ||
        !nd_options(buf + sizeof(msg), len - (uint32_t)sizeof(msg), ns ? ND_OPT_SOURCE_LL : ND_OPT_TARGET_LL, &mac))
        goto malformed;
    if (mac && eth_is_multicast(mac))
        goto malformed;
    if (ns) {
        /* s7.1.1: from the unspecified address only to the solicited-node group and without a link-layer address. */
        struct ip_addr group = solicited_node(&target);
        if (ip_addr_is_any(&m->src) && (mac || !ip_addr_eq(&m->dst, &group)))
            goto malformed;
        ns_input(w, m, &target, mac);
    } else {
        uint8_t flags = (uint8_t)(be32_get(msg.icmp.rest) >> 24);
        /* s7.1.2: an advertisement to a group cannot answer our question. */
        if (((flags & NA_SOLICITED) && ip_addr_is_multicast(&m->dst)) || ip_addr_is_any(&m->src))
            goto malformed;
        na_input(w, m, &target, flags, mac);
    }
    pkt_free(p);
    return;

malformed:
    neigh_drop(w, p, NEIGH_DROP_ND_MALFORMED);
}
