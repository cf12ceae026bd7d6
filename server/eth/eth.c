/* eth.c - Ethernet II and 802.1Q: who a frame is for, what it carries. Tags stand in the frame, or beside it where the port handles them. */
#include "server/eth/eth.h"

#include <netinet/in.h>
#include "server/capture/capture.h"
#include "server/ip/ip_internal.h"
#include "server/neigh/neigh.h"

static void eth_drop(struct worker *w, struct pkt *p, enum eth_drop why)
{
    w->ip->count.eth[why]++;
    if (capture_is_on(w))
        capture_drop(w, p, "eth", eth_drop_texts[why]);
    pkt_free(p);
}

enum eth_class { ETH_CLASS_TAKEN, ETH_CLASS_IP };

/* The interface of a tag's VLAN. VLAN 0 is none, the tag tells a priority only (IEEE 802.1Q s6.9.1). NULL: the frame was dropped. */
static struct interface *eth_of_vlan(struct worker *w, unsigned port, struct pkt *p, uint16_t tci)
{
    const struct interfaces *all = w->stack->interfaces;
    uint16_t vlan = tci & 0xfff;
    struct interface *ifc = vlan == 0 ? all->by_port[port] : all->by_vlan[port] && vlan <= VLAN_ID_MAX ? all->by_vlan[port][vlan] : NULL;

    if (!ifc)
        eth_drop(w, p, vlan == 0 ? ETH_DROP_NO_INTERFACE : ETH_DROP_VLAN);
    return ifc;
}

/* A frame with its tag in it: the interface, and what it carries. NULL: the frame was dropped. */
static struct interface *eth_untag(struct worker *w, unsigned port, struct pkt *p, uint16_t *type)
{
    if (pkt_pullup(p, ETH_HDR_LEN + ETH_TAG_LEN + 1) < 0) {
        eth_drop(w, p, ETH_DROP_SHORT);
        return NULL;
    }
    const struct eth_tag *tag = (const struct eth_tag *)(pkt_data(p) + ETH_HDR_LEN);
    *type = be16_get(tag->type);
    return eth_of_vlan(w, port, p, be16_get(tag->tci));
}

/* Checks one frame and moves it to its network header. TAKEN: dropped, or given to ARP. */
static enum eth_class eth_classify(struct worker *w, unsigned port, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);

    if (hs_unlikely(pkt_pullup(p, ETH_HDR_LEN + 1) < 0)) {
        eth_drop(w, p, ETH_DROP_SHORT);
        return ETH_CLASS_TAKEN;
    }
    struct interface *ifc = interface_of_port(w->stack, port);
    uint16_t type = be16_get(((const struct eth_hdr *)pkt_data(p))->type);
    m->l2_len = ETH_HDR_LEN;
    if (hs_unlikely(m->flags & PKT_VLAN)) { /* one more in the frame is a second tag: none of ours */
        ifc = eth_of_vlan(w, port, p, pkt_vlan_tci(p));
        if (!ifc)
            return ETH_CLASS_TAKEN;
    } else if (hs_unlikely(type == ETH_TYPE_VLAN)) {
        ifc = eth_untag(w, port, p, &type);
        if (!ifc)
            return ETH_CLASS_TAKEN;
        m->l2_len = ETH_HDR_LEN + ETH_TAG_LEN;
    } else if (hs_unlikely(!ifc)) {
        eth_drop(w, p, ETH_DROP_NO_INTERFACE);
        return ETH_CLASS_TAKEN;
    }
    const struct eth_hdr *h = (const struct eth_hdr *)pkt_data(p);
    m->ifc = ifc;
    m->l3_len = m->l4_len = m->gso_size = 0;
    m->flags &= PKT_L4_CSUM_GOOD | PKT_CLONED | PKT_VLAN;
    if (eth_is_multicast(h->dst)) {
        m->flags |= PKT_BCAST;
    } else if (memcmp(h->dst, ifc->mac, ETH_ALEN) != 0) {
        eth_drop(w, p, ETH_DROP_NOT_OURS);
        return ETH_CLASS_TAKEN;
    }
    /* Our own frame come back (a loop, or a port that shows what it sends), or a source that no station can have. */
    if (hs_unlikely(eth_is_multicast(h->src) || memcmp(h->src, ifc->mac, ETH_ALEN) == 0)) {
        eth_drop(w, p, ETH_DROP_OWN_SOURCE);
        return ETH_CLASS_TAKEN;
    }
    const uint8_t *net = pkt_pull(p, m->l2_len);
    switch (type) {
    case ETH_TYPE_IPV4:
    case ETH_TYPE_IPV6:
        if (hs_likely(net[0] >> 4 == (type == ETH_TYPE_IPV4 ? 4 : 6)))
            return ETH_CLASS_IP;
        ip_drop(w, p, IP_DROP_VERSION);
        return ETH_CLASS_TAKEN;
    case ETH_TYPE_ARP:
        arp_input(w, ifc, p);
        return ETH_CLASS_TAKEN;
    default:
        eth_drop(w, p, ETH_DROP_ETHERTYPE);
        return ETH_CLASS_TAKEN;
    }
}

void eth_input(struct worker *w, unsigned port, struct pkt **pkts, unsigned n)
{
    struct interface *ifc = NULL; /* of what is in ip[] */
    struct pkt *ip[WORKER_BURST];
    unsigned n_ip = 0;

    if (capture_is_on(w))
        capture_rx(w, port, pkts, n);
    for (unsigned i = 0; i < n; i++) {
        if (i + 1 < n)
            __builtin_prefetch(pkt_data(pkts[i + 1]));
        if (eth_classify(w, port, pkts[i]) != ETH_CLASS_IP)
            continue;
        struct interface *of = pkt_meta(pkts[i])->ifc;
        if (n_ip == WORKER_BURST || (n_ip && of != ifc)) {
            ip_worker_input(w, ifc, ip, n_ip);
            n_ip = 0;
        }
        ifc = of;
        ip[n_ip++] = pkts[i];
    }
    if (n_ip)
        ip_worker_input(w, ifc, ip, n_ip);
}

void eth_output(struct worker *w, struct interface *ifc, struct pkt *p, const uint8_t dst[6], uint16_t type)
{
    uint32_t offloads = port_offloads(w->stack->port[ifc->port]);
    bool is_tagged = hs_unlikely(ifc->vlan) && !(offloads & PORT_TX_VLAN); /* here, else by the port */
    uint16_t len = is_tagged ? ETH_HDR_LEN + ETH_TAG_LEN : ETH_HDR_LEN;
    struct eth_hdr *h = (struct eth_hdr *)pkt_push(p, len);
    struct pkt_meta *m = pkt_meta(p);

    if (hs_unlikely(!h)) {
        eth_drop(w, p, ETH_DROP_TX_NO_HEADROOM);
        return;
    }
    memcpy(h->dst, dst, ETH_ALEN);
    memcpy(h->src, ifc->mac, ETH_ALEN);
    h->type = be16_of(type);
    m->flags &= (uint16_t)~PKT_VLAN;
    if (hs_unlikely(ifc->vlan) && !is_tagged) {
        m->flags |= PKT_VLAN;
        pkt_vlan_tci_set(p, ifc->vlan);
    } else if (is_tagged) {
        struct eth_tag *tag = (struct eth_tag *)(h + 1);
        tag->tci = be16_of(ifc->vlan);
        tag->type = be16_of(type);
        h->type = be16_of(ETH_TYPE_VLAN);
    }
    m->l2_len = len;
    m->ifc = ifc;
    if ((m->flags & PKT_L4_CSUM_NEEDED) && !(offloads & (m->ip_proto == IPPROTO_SCTP ? PORT_TX_SCTP_CSUM : PORT_TX_CSUM)))
        pkt_finish_csum(p);
    worker_tx(w, ifc->port, p);
}
