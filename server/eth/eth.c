/* eth.c - Ethernet II: who a frame is for, what it carries */
#include "server/eth/eth.h"

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

/* Checks one frame and moves it to its network header. TAKEN: dropped, or given to ARP. */
static enum eth_class eth_classify(struct worker *w, struct interface *ifc, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);

    if (hs_unlikely(pkt_pullup(p, ETH_HDR_LEN + 1) < 0)) {
        eth_drop(w, p, ETH_DROP_SHORT);
        return ETH_CLASS_TAKEN;
    }
    const struct eth_hdr *h = (const struct eth_hdr *)pkt_data(p);
    m->ifc = ifc;
    m->l2_len = ETH_HDR_LEN;
    m->l3_len = m->l4_len = m->gso_size = 0;
    m->flags &= PKT_L4_CSUM_GOOD | PKT_CLONED;
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
    uint16_t type = be16_get(h->type);
    const uint8_t *net = pkt_pull(p, ETH_HDR_LEN);
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
    struct interface *ifc = interface_of_port(w->stack, port);
    struct pkt *ip[WORKER_BURST];
    unsigned n_ip = 0;

    if (capture_is_on(w))
        capture_rx(w, port, pkts, n);
    for (unsigned i = 0; i < n; i++) {
        if (i + 1 < n)
            __builtin_prefetch(pkt_data(pkts[i + 1]));
        if (hs_unlikely(!ifc)) {
            eth_drop(w, pkts[i], ETH_DROP_NO_INTERFACE);
            continue;
        }
        if (eth_classify(w, ifc, pkts[i]) == ETH_CLASS_IP)
            ip[n_ip++] = pkts[i];
        if (n_ip == WORKER_BURST) {
            ip_worker_input(w, ifc, ip, n_ip);
            n_ip = 0;
        }
    }
    if (n_ip)
        ip_worker_input(w, ifc, ip, n_ip);
}

void eth_output(struct worker *w, struct interface *ifc, struct pkt *p, const uint8_t dst[6], uint16_t type)
{
    struct eth_hdr *h = (struct eth_hdr *)pkt_push(p, ETH_HDR_LEN);
    struct pkt_meta *m = pkt_meta(p);

    if (hs_unlikely(!h)) {
        eth_drop(w, p, ETH_DROP_TX_NO_HEADROOM);
        return;
    }
    memcpy(h->dst, dst, ETH_ALEN);
    memcpy(h->src, ifc->mac, ETH_ALEN);
    h->type = be16_of(type);
    m->l2_len = ETH_HDR_LEN;
    m->ifc = ifc;
    if ((m->flags & PKT_L4_CSUM_NEEDED) && !(w->stack->port[ifc->port]->offloads & PORT_TX_CSUM))
        pkt_finish_csum(p);
    worker_tx(w, ifc->port, p);
}
