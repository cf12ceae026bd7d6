/* arp.c - ARP for IPv4 over Ethernet (RFC 826), conflict detection and announcements (RFC 5227) */
#include "server/eth/eth.h"
#include "server/neigh/neigh_internal.h"

enum { ARP_REQUEST = 1, ARP_REPLY = 2, DEFEND_INTERVAL_US = 10000000 };

struct arp {
    be16 htype, ptype;
    uint8_t hlen, plen;
    be16 op;
    uint8_t sha[6];
    uint8_t spa[4];
    uint8_t tha[6];
    uint8_t tpa[4];
} __attribute__((packed));
static_assert(sizeof(struct arp) == 28, "arp");

static struct ip_addr addr_of(const uint8_t v4[4])
{
    be32 raw;

    memcpy(&raw, v4, 4);
    return ip_addr_v4(raw);
}

static void arp_send(struct worker *w, struct interface *ifc, uint16_t op, const struct ip_addr *spa, const uint8_t *tha,
                     const struct ip_addr *tpa, const uint8_t dst[6])
{
    struct pkt *p = pkt_alloc(w->pools, sizeof(struct arp));

    if (!p) {
        w->ip->count.neigh[NEIGH_DROP_NO_BUFFER]++;
        return;
    }
    struct arp *a = (struct arp *)pkt_append(p, sizeof(*a));
    *a = (struct arp){ .htype = be16_of(1), .ptype = be16_of(ETH_TYPE_IPV4), .hlen = 6, .plen = 4, .op = be16_of(op) };
    memcpy(a->sha, ifc->mac, 6);
    memcpy(a->spa, spa->b + 12, 4);
    if (tha)
        memcpy(a->tha, tha, 6);
    memcpy(a->tpa, tpa->b + 12, 4);
    eth_output(w, ifc, p, dst, ETH_TYPE_ARP);
}

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

void arp_request(struct worker *w, struct interface *ifc, const struct ip_addr *target, const uint8_t *unicast_mac)
{
    const struct ip_addr *src = interface_select_source(ifc, target, target);

    if (src) /* without an address of ours nothing could be answered to us */
        arp_send(w, ifc, ARP_REQUEST, src, NULL, target, unicast_mac ? unicast_mac : broadcast);
}

void arp_probe(struct worker *w, struct interface_addr *a)
{
    struct ip_addr none = ip_addr_any(true);

    arp_send(w, a->ifc, ARP_REQUEST, &none, NULL, &a->ip, broadcast);
}

void arp_announce(struct worker *w, struct interface_addr *a)
{
    arp_send(w, a->ifc, ARP_REQUEST, &a->ip, NULL, &a->ip, broadcast);
}

/* Somebody else uses our address. RFC 5227 s2.4 (b): defend it, at most once in DEFEND_INTERVAL, and keep it: a server's address is
 * configured, not chosen. Worker 0 defends; the others only count what they see. */
static void arp_conflict(struct worker *w, struct interface_addr *a)
{
    if (interface_addr_state_get(a) == INTERFACE_ADDR_TENTATIVE) { /* s2.1.1 */
        neigh_addr_is_duplicate(w, a);
        return;
    }
    if (interface_addr_state_get(a) == INTERFACE_ADDR_DUPLICATE)
        return; /* known */
    w->ip->count.neigh[NEIGH_DROP_CONFLICT]++;
    if (w->index != 0 || (a->defended_us && w->now_us - a->defended_us < DEFEND_INTERVAL_US))
        return;
    a->defended_us = w->now_us;
    arp_announce(w, a);
}

static bool arp_is_valid(const struct arp *a)
{
    return be16_get(a->htype) == 1 && be16_get(a->ptype) == ETH_TYPE_IPV4 && a->hlen == 6 && a->plen == 4 &&
           (be16_get(a->op) == ARP_REQUEST || be16_get(a->op) == ARP_REPLY);
}

void arp_input(struct worker *w, struct interface *ifc, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);

    if (pkt_pullup(p, sizeof(struct arp)) < 0 || !arp_is_valid((const struct arp *)pkt_data(p))) {
        neigh_drop(w, p, NEIGH_DROP_ARP_MALFORMED);
        return;
    }
    struct arp a;
    memcpy(&a, pkt_data(p), sizeof(a));
    struct ip_addr spa = addr_of(a.spa), tpa = addr_of(a.tpa);
    bool cloned = (m->flags & PKT_CLONED) != 0;

    /* A station's hardware address is no group; its protocol address no broadcast, multicast or loopback. 0 is a probe. */
    if (eth_is_multicast(a.sha) || (!ip_addr_is_any(&spa) && (spa.b[12] == 0 || spa.b[12] == 127 || spa.b[12] >= 224 ||
                                                              interface_is_broadcast(ifc, &spa)))) {
        neigh_drop(w, p, NEIGH_DROP_ARP_SENDER);
        return;
    }
    if (capture_is_on(w))
        capture_stop_at(w, p, "arp", "%s", be16_get(a.op) == ARP_REQUEST ? "request" : "reply");
    if (!cloned && w->stack->n_workers > 1 && pkt_push(p, m->l2_len)) {
        worker_clone_to_all(w, ifc->port, p);
        pkt_pull(p, m->l2_len);
    }
    struct interface_addr *own = interface_find_addr(ifc, &spa);
    if (own) {
        arp_conflict(w, own);
        pkt_free(p);
        return;
    }
    struct interface_addr *target = interface_find_addr(ifc, &tpa);
    if (target && interface_addr_state_get(target) == INTERFACE_ADDR_TENTATIVE && ip_addr_is_any(&spa)) {
        neigh_addr_is_duplicate(w, target); /* s2.1.1: somebody probes for it at the same time */
        pkt_free(p);
        return;
    }
    bool for_us = target && interface_addr_state_get(target) == INTERFACE_ADDR_PREFERRED;
    /* RFC 826: an answer to our question; or merge what is known; or learn a station that wants us. */
    if (!ip_addr_is_any(&spa)) {
        struct neigh *n = neigh_lookup(w, ifc, &spa);
        if (n && for_us && be16_get(a.op) == ARP_REPLY && n->state != NEIGH_FREE)
            neigh_answered(w, n, a.sha);
        else
            neigh_heard(w, ifc, &spa, a.sha, for_us ? NEIGH_LEARN_CREATE : NEIGH_LEARN_UPDATE);
    }
    if (for_us && be16_get(a.op) == ARP_REQUEST && !cloned)
        arp_send(w, ifc, ARP_REPLY, &tpa, a.sha, &spa, a.sha);
    else if (!for_us)
        w->ip->count.neigh[NEIGH_DROP_ARP_NOT_FOR_US]++;
    pkt_free(p);
}
