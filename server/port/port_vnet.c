/* port_vnet.c - struct virtio_net_hdr on frames from and to the kernel: checksums, super-frames, UDP super-frames cut apart */
#include "server/port/port_vnet.h"

#include <netinet/in.h>
#include <rte_ip.h>

#include "common/siphash.h"

bool vnet_slot_prepare(struct vnet_queue *q, unsigned slot, struct pkt_pools *pools)
{
    struct vnet_slot *s = &q->slot[slot];

    if (!s->small)
        s->small = pkt_alloc(pools, PKT_SMALL_DATA);
    if (!s->big)
        s->big = pkt_alloc(pools, PKT_BIG_DATA);
    if (hs_unlikely(!s->small || !s->big)) {
        q->stats.rx_nombuf++;
        return false;
    }
    s->iov[0] = (struct iovec){ &s->hdr, sizeof(s->hdr) };
    s->iov[1] = (struct iovec){ pkt_data(s->small), PKT_SMALL_DATA };
    s->iov[2] = (struct iovec){ pkt_data(s->big), PKT_BIG_DATA };
    return true;
}

unsigned vnet_take_pending(struct vnet_queue *q, struct pkt **pkts, unsigned n)
{
    unsigned got = 0;

    while (got < n && q->n_pending) {
        pkts[got++] = q->pending[q->pending_head];
        q->pending_head = (q->pending_head + 1) % VNET_PENDING;
        q->n_pending--;
    }
    return got;
}

static void push_pending(struct vnet_queue *q, struct pkt *p)
{
    if (q->n_pending == VNET_PENDING) {
        q->stats.rx_errors++;
        pkt_free(p);
        return;
    }
    q->pending[(q->pending_head + q->n_pending++) % VNET_PENDING] = p;
}

enum { LINK_LEN = 14, TAG_LEN = 4, TAG_AT = 12 };

/* Bytes before the IP header of a frame of IPv4 (*v6 false) or IPv6, which may have an 802.1Q tag; 0: something else. */
static unsigned ip_offset(const uint8_t *f, uint32_t len, bool *v6)
{
    unsigned at = len >= LINK_LEN + TAG_LEN && f[TAG_AT] == 0x81 && f[TAG_AT + 1] == 0x00 ? LINK_LEN + TAG_LEN : LINK_LEN;

    if (len < at)
        return 0;
    *v6 = f[at - 2] == 0x86 && f[at - 1] == 0xdd;
    return *v6 || (f[at - 2] == 0x08 && f[at - 1] == 0x00) ? at : 0;
}

/* Where UDP begins in a frame of plain IPv4 or IPv6 headers; 0: something else. */
static unsigned udp_offset(const uint8_t *f, uint32_t len, unsigned *ip_at, bool *v6)
{
    unsigned at = ip_offset(f, len, v6);

    *ip_at = at;
    if (at == 0 || len < at + (*v6 ? 40u : 20u) + 8)
        return 0;
    if (*v6)
        return f[at + 6] == IPPROTO_UDP ? at + 40 : 0;
    unsigned udp_at = at + (f[at] & 15u) * 4;
    return f[at + 9] == IPPROTO_UDP && udp_at >= at + 20 && udp_at + 8 <= len ? udp_at : 0;
}

struct udp_cut {                 /* a UDP super-frame, and where its headers are */
    struct pkt *whole;
    unsigned ip_at, udp_at;
    bool v6;
};

/* One datagram of a UDP super-frame: headers of the whole with its own lengths. The checksum field means nothing: the
 * kernel left it to whoever cuts, and nothing is between the kernel and us. */
static struct pkt *udp_segment(const struct udp_cut *c, struct pkt_pools *pools, uint32_t off, uint32_t len, unsigned index)
{
    unsigned hdr = c->udp_at + 8;
    struct pkt *p = pkt_alloc(pools, hdr + len);

    if (!p)
        return NULL;
    uint8_t *f = pkt_append(p, (uint16_t)(hdr + len)), *ip = f + c->ip_at;
    memcpy(f, pkt_data(c->whole), hdr);
    pkt_copy_out(c->whole, hdr + off, f + hdr, len);
    be16 udp_len = be16_of((uint16_t)(8 + len));
    memcpy(f + c->udp_at + 4, &udp_len, 2);
    if (c->v6) {
        memcpy(ip + 4, &udp_len, 2);
    } else {
        be16 total = be16_of((uint16_t)(c->udp_at - c->ip_at + 8 + len)), id;
        memcpy(&id, ip + 4, 2);
        id = be16_of((uint16_t)(be16_get(id) + index));
        memcpy(ip + 2, &total, 2);
        memcpy(ip + 4, &id, 2);
        memset(ip + 10, 0, 2);
        uint16_t sum = (uint16_t)~rte_raw_cksum(ip, c->udp_at - c->ip_at);
        memcpy(ip + 10, &sum, 2);
    }
    pkt_meta(p)->flags = PKT_L4_CSUM_GOOD;
    return p;
}

static void cut_udp(struct vnet_queue *q, struct pkt *whole, uint16_t gso_size, struct pkt_pools *pools)
{
    struct udp_cut c = { .whole = whole };
    uint32_t len = pkt_len(whole);

    c.udp_at = udp_offset(pkt_data(whole), pkt_first_len(whole), &c.ip_at, &c.v6);
    if (c.udp_at == 0 || gso_size == 0 || (len - c.udp_at - 8) / gso_size > VNET_MAX_UDP_SEGS) {
        q->stats.rx_errors++;
        pkt_free(whole);
        return;
    }
    len -= c.udp_at + 8;
    unsigned index = 0;
    for (uint32_t off = 0; off < len; off += gso_size, index++) {
        struct pkt *p = udp_segment(&c, pools, off, hs_min_u32(gso_size, len - off), index);
        if (p)
            push_pending(q, p);
        else
            q->stats.rx_nombuf++;
    }
    pkt_free(whole);
}

void vnet_insert_tag(struct pkt *p, uint16_t tpid, uint16_t tci)
{
    uint8_t *f = pkt_push(p, TAG_LEN); /* into the headroom, which the packet still has */
    const uint8_t tag[TAG_LEN] = { (uint8_t)(tpid >> 8), (uint8_t)tpid, (uint8_t)(tci >> 8), (uint8_t)tci };

    if (!f)
        return;
    memmove(f, f + TAG_LEN, TAG_AT);
    memcpy(f + TAG_AT, tag, TAG_LEN);
}

unsigned vnet_slot_take(struct vnet_queue *q, unsigned slot, uint32_t len, struct pkt_pools *pools, struct pkt **pkts, unsigned n)
{
    struct vnet_slot *s = &q->slot[slot];
    struct pkt *p = s->small;

    if (hs_unlikely(len < 14 || len > PKT_SMALL_DATA + PKT_BIG_DATA)) {
        q->stats.rx_errors++;
        return 0;
    }
    s->small = NULL;
    pkt_append(p, (uint16_t)hs_min_u32(len, PKT_SMALL_DATA));
    if (len > PKT_SMALL_DATA) {
        pkt_append(s->big, (uint16_t)(len - PKT_SMALL_DATA));
        pkt_chain(p, s->big);
        s->big = NULL;
    }
    q->stats.rx_packets++;
    q->stats.rx_bytes += len;
    if (hs_unlikely(s->tpid))
        vnet_insert_tag(p, s->tpid, s->tci);
    uint8_t gso = s->hdr.gso_type & (uint8_t)~VIRTIO_NET_HDR_GSO_ECN;
    if (hs_unlikely(gso == VIRTIO_NET_HDR_GSO_UDP_L4)) {
        cut_udp(q, p, s->hdr.gso_size, pools);
        return n ? vnet_take_pending(q, pkts, 1) : 0;
    }
    /* A checksum left open (NEEDS_CSUM) never crossed a wire; a verified one is as good. */
    struct pkt_meta *m = pkt_meta(p);
    m->flags = (s->hdr.flags & (VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID)) ? PKT_L4_CSUM_GOOD : 0;
    if (n == 0) {
        push_pending(q, p);
        return 0;
    }
    pkts[0] = p;
    return 1;
}

int vnet_tx_iov(struct pkt *p, struct virtio_net_hdr *h, struct iovec iov[1 + VNET_MAX_PIECES])
{
    const struct pkt_meta *m = pkt_meta(p);
    int n = 1;

    memset(h, 0, sizeof(*h));
    if (m->flags & PKT_L4_CSUM_NEEDED) {
        h->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        h->csum_start = (uint16_t)(m->l2_len + m->l3_len);
        h->csum_offset = m->ip_proto == IPPROTO_UDP ? 6 : 16;
    }
    if (m->flags & PKT_GSO) {
        h->gso_type = ip_addr_is_v4(&m->dst) ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
        h->gso_size = m->gso_size;
        h->hdr_len = (uint16_t)(m->l2_len + m->l3_len + m->l4_len);
    }
    iov[0] = (struct iovec){ h, sizeof(*h) };
    for (struct rte_mbuf *s = pkt_mbuf(p); s; s = s->next) {
        if (n == 1 + VNET_MAX_PIECES)
            return 0;
        iov[n++] = (struct iovec){ rte_pktmbuf_mtod(s, void *), s->data_len };
    }
    return n;
}

void vnet_queue_fini(struct vnet_queue *q)
{
    struct pkt *p;

    for (unsigned i = 0; i < VNET_SLOTS; i++) {
        if (q->slot[i].small)
            pkt_free(q->slot[i].small);
        if (q->slot[i].big)
            pkt_free(q->slot[i].big);
    }
    while (vnet_take_pending(q, &p, 1))
        pkt_free(p);
}

void vnet_add_stats(const struct vnet_queue *q, struct port_stats *out)
{
    const struct port_stats *s = &q->stats;

    /* One writer (rx) or atomic (tx): read as they are, for display. */
    out->rx_packets += __atomic_load_n(&s->rx_packets, __ATOMIC_RELAXED);
    out->rx_bytes += __atomic_load_n(&s->rx_bytes, __ATOMIC_RELAXED);
    out->tx_packets += __atomic_load_n(&s->tx_packets, __ATOMIC_RELAXED);
    out->tx_bytes += __atomic_load_n(&s->tx_bytes, __ATOMIC_RELAXED);
    out->rx_errors += __atomic_load_n(&s->rx_errors, __ATOMIC_RELAXED);
    out->rx_nombuf += __atomic_load_n(&s->rx_nombuf, __ATOMIC_RELAXED);
    out->tx_drops += __atomic_load_n(&s->tx_drops, __ATOMIC_RELAXED);
}

void vnet_make_mac(const char *text, const uint8_t seed[6], uint8_t mac[6])
{
    uint8_t key[16] = { 'h', 'o', 's', 't', 's', 't', 'a', 'c', 'k' };

    memcpy(key + 10, seed, 6);
    uint64_t h = siphash24(key, text, strlen(text));
    memcpy(mac, &h, 6);
    mac[0] = (uint8_t)((mac[0] | 2) & ~1); /* locally administered, one station */
}
