/* port_sim.c - ports of the simulated network: what happens to a frame on its way (loss, delay, copies), and rx queues */
#include "server/port/port_sim_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/siphash.h"
#include "server/port/port_vnet.h"

enum { SIM_FRAME_MAX = PKT_BIG_DATA, SIM_QUEUE_DEFAULT = 1000, ETHER_HDR = 14, TAG_LEN = 4 };

static bool chance(struct sim_net *n, uint32_t ppm)
{
    return ppm != 0 && sim_net_random(n) % 1000000u < ppm;
}

static struct sim_frame *frame_new(struct sim_link *l, const uint8_t *data, uint32_t len, const struct pkt_meta *m)
{
    struct sim_frame *f = malloc(sizeof(*f) + len);

    if (!f)
        abort(); /* a simulation that loses frames for want of memory would not replay */
    memset(f, 0, sizeof(*f));
    f->link = l;
    f->len = len;
    if (m) {
        f->flags = m->flags & (PKT_L4_CSUM_NEEDED | PKT_GSO);
        f->gso_size = m->gso_size;
    }
    memcpy(f->data, data, len);
    return f;
}

/* Software spreading over rx queues, as a card would by RSS: addresses and ports, symmetric. */
static unsigned frame_queue(const struct sim_end *e, const struct sim_frame *f)
{
    uint8_t key[16] = { 1 };
    uint64_t h = 0;

    if (e->n_queues == 1 || f->len < ETHER_HDR + 40)
        return 0;
    const uint8_t *ip = f->data + ETHER_HDR;
    if (f->data[12] == 0x08 && f->data[13] == 0x00) {
        unsigned l4 = (ip[0] & 15) * 4u;
        h = siphash24(key, ip + 12, 4) ^ siphash24(key, ip + 16, 4);
        bool fragment = ((ip[6] & 0x3f) | ip[7]) != 0;
        if (!fragment && l4 + 4 <= f->len - ETHER_HDR)
            h ^= siphash24(key, ip + l4, 2) ^ siphash24(key, ip + l4 + 2, 2);
    } else if (f->data[12] == 0x86 && f->data[13] == 0xdd) {
        h = siphash24(key, ip + 8, 16) ^ siphash24(key, ip + 24, 16);
        if ((ip[6] == 6 || ip[6] == 17) && f->len >= ETHER_HDR + 44)
            h ^= siphash24(key, ip + 40, 2) ^ siphash24(key, ip + 42, 2);
    }
    return (unsigned)(h % e->n_queues);
}

void sim_end_deliver(struct sim_end *e, struct sim_frame *f)
{
    struct sim_rxq *q = &e->rxq[frame_queue(e, f)];

    f->next = NULL;
    *q->tail = f;
    q->tail = &f->next;
    e->stats.delivered++;
}

/* A wire's CRC would catch a bit error outside of what Internet checksums protect: such a frame is lost instead. */
static bool corrupt(struct sim_net *n, struct sim_frame *f)
{
    bool is_ip = f->len > ETHER_HDR + 20 && ((f->data[12] == 0x08 && f->data[13] == 0) || (f->data[12] == 0x86 && f->data[13] == 0xdd));

    if (!is_ip || (f->flags & PKT_L4_CSUM_NEEDED))
        return false;
    uint32_t bit = (uint32_t)(sim_net_random(n) % ((f->len - ETHER_HDR) * 8u));
    f->data[ETHER_HDR + bit / 8] ^= (uint8_t)(1u << (bit % 8));
    return true;
}

static void mark_ce(struct sim_frame *f)
{
    uint8_t *ip = f->data + ETHER_HDR, ecn;
    uint32_t sum = 0;

    if (f->len < ETHER_HDR + 20)
        return;
    if (f->data[12] == 0x86 && f->data[13] == 0xdd) {
        ecn = (ip[1] >> 4) & 3;
        if (ecn == 1 || ecn == 2)
            ip[1] |= 0x30;
        return;
    }
    ecn = ip[1] & 3;
    if (f->data[12] != 0x08 || f->data[13] != 0 || (ecn != 1 && ecn != 2) || (ip[0] & 15) * 4u + ETHER_HDR > f->len)
        return;
    ip[1] |= 3;
    ip[10] = ip[11] = 0;
    for (unsigned i = 0; i < (ip[0] & 15) * 4u; i += 2)
        sum += (uint32_t)ip[i] << 8 | ip[i + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    ip[10] = (uint8_t)(sum >> 8);
    ip[11] = (uint8_t)sum;
}

/* When the last bit has left the sending port; false: the port's queue is full. */
static bool serialize(struct sim_end *from, uint32_t len, uint64_t now, uint64_t *out)
{
    const struct sim_params *p = &from->params;

    *out = now;
    if (p->bits_per_s == 0)
        return true;
    uint64_t frame_ns = (uint64_t)len * 8u * 1000000000u / p->bits_per_s;
    uint64_t now_ns = now * 1000;
    uint64_t max = p->queue_frames ? p->queue_frames : SIM_QUEUE_DEFAULT;
    while (from->n_wire && from->wire_out_ns[from->wire_head] <= now_ns) {
        from->wire_head = (from->wire_head + 1) % SIM_WIRE_MAX;
        from->n_wire--;
    }
    if (from->n_wire >= max || from->n_wire >= SIM_WIRE_MAX)
        return false;
    uint64_t start = from->wire_free_ns > now_ns ? from->wire_free_ns : now_ns;
    from->wire_free_ns = start + frame_ns;
    from->wire_out_ns[(from->wire_head + from->n_wire) % SIM_WIRE_MAX] = from->wire_free_ns;
    from->n_wire++;
    *out = (from->wire_free_ns + 999) / 1000;
    return true;
}

static void send_to(struct sim_end *from, unsigned to, const uint8_t *data, uint32_t len, const struct pkt_meta *m, uint64_t out_us)
{
    struct sim_net *n = from->link->net;
    const struct sim_params *p = &from->params;
    unsigned copies = chance(n, p->dup_ppm) ? 2 : 1;

    from->stats.duplicated += copies - 1;
    for (unsigned i = 0; i < copies; i++) {
        struct sim_frame *f = frame_new(from->link, data, len, m);
        f->to = to;
        f->due_us = out_us + p->delay_us + (p->jitter_us ? sim_net_random(n) % (p->jitter_us + 1ull) : 0);
        if (chance(n, p->reorder_ppm)) {
            f->due_us += p->reorder_us;
            from->stats.reordered++;
        }
        if (p->ce_ppm && chance(n, p->ce_ppm))
            mark_ce(f);
        if (chance(n, p->corrupt_ppm)) {
            from->stats.corrupted++;
            if (!corrupt(n, f)) {
                free(f);
                continue;
            }
        }
        sim_net_schedule(n, f);
    }
}

void sim_end_send(struct sim_end *from, const uint8_t *data, uint32_t len, const struct pkt_meta *m)
{
    struct sim_link *l = from->link;
    struct sim_net *n = l->net;
    uint64_t now = n->now_us, out_us;

    from->stats.sent++;
    if (l->tap && !l->tap(l->tap_arg, l, from->index, data, len, now))
        return;
    if (from->burst_left == 0 && chance(n, from->params.burst_ppm))
        from->burst_left = from->params.burst_len;
    if (from->burst_left) {
        from->burst_left--;
        from->stats.lost++;
        return;
    }
    if (!l->up || chance(n, from->params.loss_ppm)) {
        from->stats.lost++;
        return;
    }
    if (!serialize(from, len, now, &out_us)) {
        from->stats.queue_drops++;
        return;
    }
    /* A switch that knows every station: unicast to its owner, else to everybody. */
    bool flood = true;
    if (!(data[0] & 1)) {
        for (unsigned i = 0; i < l->n_ends; i++) {
            if (l->end[i] != from && l->end[i]->port && memcmp(l->end[i]->port->mac, data, 6) == 0) {
                send_to(from, i, data, len, m, out_us);
                flood = false;
                break;
            }
        }
    }
    for (unsigned i = 0; flood && i < l->n_ends; i++) {
        if (l->end[i] != from)
            send_to(from, i, data, len, m, out_us);
    }
}

/* ---------------------------------------------------------------- port operations */

static bool is_tagged(struct pkt *p)
{
    const uint8_t *f = pkt_data(p);

    return pkt_first_len(p) >= ETHER_HDR + TAG_LEN && f[12] == 0x81 && f[13] == 0x00;
}

static void take_tag(struct pkt *p)
{
    uint8_t *f = pkt_data(p);

    if (!is_tagged(p))
        return;
    pkt_vlan_tci_set(p, (uint16_t)(f[14] << 8 | f[15]));
    pkt_meta(p)->flags |= PKT_VLAN;
    memmove(f + TAG_LEN, f, 12);
    pkt_pull(p, TAG_LEN);
}

static void put_tag(struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);

    if (!(m->flags & PKT_VLAN))
        return;
    m->flags &= (uint16_t)~PKT_VLAN;
    vnet_insert_tag(p, 0x8100, pkt_vlan_tci(p));
    m->l2_len += TAG_LEN;
}

static unsigned sim_rx_burst(struct port *p, unsigned queue, struct pkt **pkts, unsigned n)
{
    struct sim_end *e = p->priv;
    struct sim_rxq *q = &e->rxq[queue];
    unsigned got = 0;

    while (got < n && q->head) {
        struct sim_frame *f = q->head;
        q->head = f->next;
        if (!q->head)
            q->tail = &q->head;
        struct pkt *pkt = pkt_alloc(p->pools, f->len);
        if (pkt) {
            struct pkt_meta *m = pkt_meta(pkt);
            memcpy(pkt_append(pkt, (uint16_t)f->len), f->data, f->len);
            /* As with virtio: a checksum left to the receiver's side never crossed a wire. */
            m->flags = (f->flags & PKT_L4_CSUM_NEEDED) ? PKT_L4_CSUM_GOOD : 0;
            m->gso_size = f->gso_size;
            if (e->params.vlan)
                take_tag(pkt);
            pkts[got++] = pkt;
            e->port_stats.rx_packets++;
            e->port_stats.rx_bytes += f->len;
        } else {
            e->stats.no_buffer++;
            e->port_stats.rx_nombuf++;
        }
        free(f);
    }
    return got;
}

static unsigned sim_tx_burst(struct port *p, unsigned queue HS_UNUSED, struct pkt **pkts, unsigned n)
{
    struct sim_end *e = p->priv;

    for (unsigned i = 0; i < n; i++) {
        struct pkt_meta *m = pkt_meta(pkts[i]);
        if (e->params.vlan)
            put_tag(pkts[i]);
        uint32_t len = pkt_len(pkts[i]), max = (uint32_t)p->mtu + ETHER_HDR + (is_tagged(pkts[i]) ? TAG_LEN : 0);
        if (!e->params.offload || e->params.corrupt_ppm)
            pkt_finish_csum(pkts[i]);
        if (len > SIM_FRAME_MAX || len < ETHER_HDR || (!(m->flags & PKT_GSO) && len > max)) {
            e->port_stats.tx_drops++;
        } else {
            pkt_copy_out(pkts[i], 0, e->link->net->scratch, len);
            e->port_stats.tx_packets++;
            e->port_stats.tx_bytes += len;
            sim_end_send(e, e->link->net->scratch, len, m);
        }
        pkt_free(pkts[i]);
    }
    return n;
}

static int sim_rx_wait_fd(struct port *p HS_UNUSED, unsigned queue HS_UNUSED) { return -1; }
static void sim_stats(struct port *p, struct port_stats *out) { *out = ((struct sim_end *)p->priv)->port_stats; }
static int sim_link_is_up(struct port *p) { return ((struct sim_end *)p->priv)->link->up; }

static void sim_close(struct port *p)
{
    struct sim_end *e = p->priv;

    for (unsigned q = 0; q < e->n_queues; q++) {
        while (e->rxq[q].head) {
            struct sim_frame *f = e->rxq[q].head;
            e->rxq[q].head = f->next;
            free(f);
        }
        e->rxq[q].tail = &e->rxq[q].head;
    }
    e->port = NULL; /* what is still in flight to this end is lost */
}

static const struct port_ops sim_ops = {
    .kind = "sim",
    .rx_burst = sim_rx_burst,
    .tx_burst = sim_tx_burst,
    .rx_wait_fd = sim_rx_wait_fd,
    .stats = sim_stats,
    .link_up = sim_link_is_up,
    .close = sim_close,
};

struct port *sim_port_new(struct sim_end *e, struct pkt_pools *pools)
{
    struct port *p = calloc(1, sizeof(*p));

    if (!p)
        return NULL;
    p->ops = &sim_ops;
    snprintf(p->name, sizeof(p->name), "sim%u.%u", e->link->index, e->index);
    const uint8_t mac[6] = { 0x02, 'h', 's', (uint8_t)e->link->index, 0, (uint8_t)e->index };
    memcpy(p->mac, mac, 6);
    p->mtu = e->params.mtu ? e->params.mtu : 1500;
    p->n_rx_queues = e->n_queues;
    p->n_tx_queues = e->n_queues;
    p->offloads = PORT_MT_TX;
    if (e->params.offload) {
        p->offloads |= PORT_TX_CSUM | PORT_TX_TSO | PORT_RX_CSUM | PORT_TX_ATTACHED;
        p->tso_max = SIM_FRAME_MAX - ETHER_HDR;
    }
    if (e->params.vlan)
        p->offloads |= PORT_RX_VLAN | PORT_TX_VLAN;
    p->pools = pools;
    p->priv = e;
    e->port = p;
    return p;
}
