/* ip_output.c - IPv4 and IPv6 output: route, source, header, fragments, loopback to ourselves */
#include <errno.h>
#include <netinet/in.h>
#include <rte_ip.h>

#include "common/siphash.h"
#include "server/icmp/icmp.h"
#include "server/eth/eth.h"
#include "server/ip/ip_internal.h"
#include "server/mcast/mcast.h"
#include "server/neigh/neigh.h"

enum { LOCAL_MTU = 65000 }; /* of packets to ourselves: fits a big packet with its headers */

struct ip_way {                  /* where a packet goes */
    struct interface *ifc;       /* NULL: to ourselves */
    const struct ip_addr *nh;    /* the neighbour */
};

static int drop_out(struct worker *w, struct pkt *p, enum ip_drop why, int err)
{
    ip_drop(w, p, why);
    return err;
}

/* RFC 7739 s5.3, as Linux does: a counter per destination bucket, start and bucket unpredictable. */
static uint16_t ip4_next_id(struct worker *w, const struct ip_tx *tx)
{
    struct { be32 src, dst; uint32_t proto; } key = { tx->src.w[3], tx->dst.w[3], tx->ip_proto };

    return w->ip->ip4_id[siphash24(w->secret, &key, sizeof(key)) % IP_ID_BUCKETS]++;
}

bool ip_push_header(struct worker *w, struct pkt *p, const struct ip_tx *tx, unsigned payload_len)
{
    struct pkt_meta *m = pkt_meta(p);
    uint8_t ttl = tx->ttl ? tx->ttl : IP_DEFAULT_TTL;

    if (ip_addr_is_v4(&tx->dst)) {
        struct ip4_hdr *h = (struct ip4_hdr *)pkt_push(p, IP4_HDR_LEN);
        if (!h)
            return false;
        /* RFC 6864 s4.1: an atomic datagram's identification means nothing; zero tells nobody how busy we are. */
        *h = (struct ip4_hdr){ .ver_ihl = 0x45, .tos = tx->tos, .total_len = be16_of((uint16_t)(IP4_HDR_LEN + payload_len)),
                               .id = be16_of(tx->dont_fragment ? 0 : ip4_next_id(w, tx)),
                               .frag = be16_of(tx->dont_fragment ? IP4_DF : 0), .ttl = ttl, .proto = tx->ip_proto,
                               .src = tx->src.w[3], .dst = tx->dst.w[3] };
        h->csum = (be16){ (uint16_t)~rte_raw_cksum(h, IP4_HDR_LEN) };
        m->l3_len = IP4_HDR_LEN;
    } else {
        struct ip6_hdr_wire *h = (struct ip6_hdr_wire *)pkt_push(p, IP6_HDR_LEN);
        if (!h)
            return false;
        h->ver_tc_flow = be32_of(0x60000000u | (uint32_t)tx->tos << 20);
        h->payload_len = be16_of((uint16_t)payload_len);
        h->next = tx->ip_proto;
        h->hop_limit = ttl;
        memcpy(h->src, tx->src.b, 16);
        memcpy(h->dst, tx->dst.b, 16);
        m->l3_len = IP6_HDR_LEN;
    }
    return true;
}

/* ---------------------------------------------------------------- where to */

/* Destinations that say nothing about the interface: link-local, multicast, broadcast. The source address does. */
static struct interface *interface_of_source(const struct stack *s, uint16_t fib, const struct ip_addr *src)
{
    struct interface_addr *a = ip_addr_is_any(src) ? NULL : interfaces_find_addr(s, fib, src);

    return a ? a->ifc : NULL;
}

static bool is_scoped(const struct ip_addr *dst)
{
    return ip_addr_is_multicast(dst) || ip_addr_is_broadcast(dst) || (!ip_addr_is_v4(dst) && ip_addr_is_link_local(dst));
}

/* RFC 2992: what belongs together goes one way. Ports are where all transports have them. */
static uint32_t flow_of(struct worker *w, const struct ip_tx *tx, struct pkt *p)
{
    struct { struct ip_addr src, dst; uint32_t proto, ports; } key = { .src = tx->src, .dst = tx->dst, .proto = tx->ip_proto };

    if ((tx->ip_proto == IPPROTO_TCP || tx->ip_proto == IPPROTO_UDP || tx->ip_proto == IPPROTO_SCTP) && pkt_first_len(p) >= 4)
        memcpy(&key.ports, pkt_data(p), 4);
    return (uint32_t)siphash24(w->secret, &key, sizeof(key));
}

/* An address of ours is reached from everywhere, but by who is bound to another interface than the one that has it: Linux looks for it
 * on the link of that one. */
static bool is_ours_for(struct worker *w, uint16_t fib, uint8_t dev, const struct ip_addr *dst)
{
    const struct interface_addr *a;

    if (hs_likely(!dev))
        return ip_is_local_addr(w, fib, dst);
    if (dev == INTERFACE_DEV_LO)
        return false;
    a = interface_find_addr(interface_of_dev(w->stack, dev), dst);
    return a && interface_addr_state_get(a) == INTERFACE_ADDR_PREFERRED;
}

/* Two interfaces may have the same prefix: the table has it once. */
static bool is_on_link(const struct interface *ifc, const struct ip_addr *dst, const struct route *r)
{
    for (unsigned i = 0; i < ifc->n_addrs; i++) {
        const struct interface_addr *a = &ifc->addr[i];
        struct ip_prefix p = { a->ip, a->len };
        if (interface_addr_state_get(a) == INTERFACE_ADDR_PREFERRED && (!r || a->len > r->prefix.len) && ip_prefix_contains(&p, dst))
            return true;
    }
    return false;
}

static int way_by_device(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint8_t dev, struct ip_way *way, const struct route **route)
{
    const struct route *r;

    way->ifc = interface_of_dev(w->stack, dev);
    if (!way->ifc) /* loopback: there is nobody else */
        return -ENETUNREACH;
    if (is_scoped(dst))
        return 0;
    r = route_lookup_by(w->stack->routes, fib, dst, way->ifc);
    if (is_on_link(way->ifc, dst, r))
        return 0;
    if (!r)
        return ip_addr_is_v4(dst) ? 0 : -ENETUNREACH; /* IPv4: as Linux, which trusts the program more than the table */
    if (r->has_gateway)
        way->nh = &r->gateway;
    *route = r;
    return 0;
}

static int way_lookup(struct worker *w, uint16_t fib, uint8_t dev, const struct ip_addr *src, const struct ip_addr *dst, struct ip_way *way,
                      const struct route **route)
{
    const struct stack *s = w->stack;
    const struct route *r;

    *route = NULL;
    way->nh = dst;
    way->ifc = NULL;
    if (is_ours_for(w, fib, dev, dst))
        return 0;
    if (ip_addr_is_loopback(dst) || ip_addr_is_any(dst))
        return -ENETUNREACH; /* the kernel's own loopback; programs meet there by cut-through, not over IP */
    if (hs_unlikely(dev))
        return way_by_device(w, fib, dst, dev, way, route);
    if (is_scoped(dst)) {
        way->ifc = interface_of_source(s, fib, src);
        if (way->ifc)
            return 0;
    }
    r = route_lookup(s->routes, fib, dst);
    if (!r) {
        if (!is_scoped(dst))
            return -ENETUNREACH;
        for (unsigned i = 0; i < s->interfaces->n && !way->ifc; i++)
            way->ifc = s->interfaces->ifc[i]->fib == fib ? s->interfaces->ifc[i] : NULL;
        return way->ifc ? 0 : -ENETUNREACH;
    }
    way->ifc = r->ifc;
    if (r->has_gateway)
        way->nh = &r->gateway;
    *route = r;
    return 0;
}

int ip_path_lookup(struct worker *w, uint16_t fib, const struct ip_addr *dst, struct ip_path *out)
{
    return ip_path_lookup_by(w, fib, 0, dst, out);
}

int ip_path_lookup_by(struct worker *w, uint16_t fib, uint8_t dev, const struct ip_addr *dst, struct ip_path *out)
{
    struct ip_addr any = ip_addr_any(ip_addr_is_v4(dst));
    const struct route *r;
    struct ip_way way;
    int ret = way_lookup(w, fib, dev, &any, dst, &way, &r);

    if (ret < 0)
        return ret;
    if (!way.ifc) {
        *out = (struct ip_path){ .mtu = LOCAL_MTU, .link_mtu = LOCAL_MTU, .offloads = PORT_TX_CSUM | PORT_TX_TSO | PORT_RX_CSUM, .tso_max = LOCAL_MTU,
                                 .src = *dst, .is_local = true };
        return 0;
    }
    const struct ip_addr *src = interface_select_source(way.ifc, dst, way.nh);
    if (!src)
        return -EADDRNOTAVAIL;
    const struct port *port = w->stack->port[way.ifc->port];
    *out = (struct ip_path){ .mtu = way.ifc->mtu, .offloads = port_offloads(port), .tso_max = port->tso_max, .src = *src, .ifc = way.ifc };
    if (r && !r->next && !dev && !is_scoped(dst))
        out->way = (struct ip_route_cache){ .generation = route_generation(w->stack->routes), .next_hop = r };
    for (r = r && !dev ? r->next : NULL; r; r = r->next) { /* of several hops: what goes by each of them */
        port = w->stack->port[r->ifc->port];
        out->mtu = (uint16_t)hs_min_u32(out->mtu, r->ifc->mtu);
        out->offloads &= port_offloads(port);
        out->tso_max = hs_min_u32(out->tso_max, port->tso_max);
    }
    out->link_mtu = out->mtu;
    out->mtu = pmtu_limit(w, fib, dst, out->mtu);
    return 0;
}

/* Of several hops the one for this packet's flow. */
static const struct route *choose_hop(struct worker *w, const struct route *r, const struct ip_tx *tx, struct pkt *p, struct ip_way *way)
{
    const struct route *ask;

    r = route_choose(r, flow_of(w, tx, p), w->now_us, &ask);
    if (ask && ask->has_gateway)
        neigh_solicit(w, ask->ifc, &ask->gateway);
    way->ifc = r->ifc;
    way->nh = r->has_gateway ? &r->gateway : &tx->dst;
    return r;
}

/* ---------------------------------------------------------------- sending */

/* p at the IP header; n: the neighbour that way leads to, NULL = not known. Returns it, or NULL: not one. */
static struct neigh *emit(struct worker *w, const struct ip_way *way, struct neigh *n, struct pkt *p)
{
    static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

    w->ip->count.ip_out++;
    if (hs_likely(n)) /* of one destination, and never of many */
        return neigh_output(w, way->ifc, way->nh, n, p);
    uint16_t type = ip_addr_is_v4(&pkt_meta(p)->dst) ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6;
    if (hs_unlikely(ip_addr_is_multicast(way->nh))) {
        const uint8_t *b = way->nh->b;
        const uint8_t mac4[6] = { 0x01, 0x00, 0x5e, b[13] & 0x7f, b[14], b[15] }; /* RFC 1112 s6.4 */
        const uint8_t mac6[6] = { 0x33, 0x33, b[12], b[13], b[14], b[15] };       /* RFC 2464 s7 */
        eth_output(w, way->ifc, p, type == ETH_TYPE_IPV4 ? mac4 : mac6, type);
        return NULL;
    }
    if (hs_unlikely(type == ETH_TYPE_IPV4 && interface_is_broadcast(way->ifc, way->nh))) {
        eth_output(w, way->ifc, p, broadcast, type);
        return NULL;
    }
    return neigh_output(w, way->ifc, way->nh, NULL, p);
}

/* Cuts p (at the L4 header) into fragments of at most mtu bytes (RFC 791 s3.2, RFC 8200 s4.5). Takes p. */
static int fragment(struct worker *w, const struct ip_way *way, struct pkt *p, const struct ip_tx *tx, uint16_t mtu)
{
    bool v4 = ip_addr_is_v4(&tx->dst);
    unsigned overhead = v4 ? IP4_HDR_LEN : IP6_HDR_LEN + 8;
    uint32_t len = pkt_len(p), piece = (mtu - overhead) & ~7u;
    uint16_t id4 = v4 ? ip4_next_id(w, tx) : 0;
    be32 id6 = be32_of(v4 ? 0 : w->ip->ip6_frag_id++);

    pkt_meta(p)->l2_len = pkt_meta(p)->l3_len = 0;
    pkt_finish_csum(p);
    for (uint32_t off = 0; off < len; off += piece) {
        uint32_t n = hs_min_u32(piece, len - off);
        bool more = off + n < len;
        struct pkt *f = pkt_alloc(w->pools, n);
        if (!f)
            return drop_out(w, p, IP_DROP_NO_BUFFER, -ENOBUFS);
        pkt_copy_out(p, off, pkt_append(f, (uint16_t)n), n);
        struct pkt_meta *fm = pkt_meta(f);
        *fm = (struct pkt_meta){ .src = tx->src, .dst = tx->dst, .ip_proto = tx->ip_proto, .ifc = way->ifc };
        struct ip_tx ftx = *tx;
        if (!v4) {
            uint8_t *h = pkt_push(f, 8);
            be16 offlg = be16_of((uint16_t)(off | more));
            h[0] = tx->ip_proto;
            h[1] = 0;
            memcpy(h + 2, &offlg, 2);
            memcpy(h + 4, &id6, 4);
            ftx.ip_proto = IPPROTO_FRAGMENT;
        }
        if (!ip_push_header(w, f, &ftx, v4 ? n : n + 8)) {
            pkt_free(f);
            return drop_out(w, p, IP_DROP_TX_NO_HEADROOM, -ENOBUFS);
        }
        if (v4) {
            struct ip4_hdr *h = (struct ip4_hdr *)pkt_data(f);
            h->id = be16_of(id4);
            h->frag = be16_of((uint16_t)(off / 8 | (more ? IP4_MF : 0)));
            h->csum = (be16){ 0 };
            h->csum = (be16){ (uint16_t)~rte_raw_cksum(h, IP4_HDR_LEN) };
        }
        emit(w, way, NULL, f);
    }
    w->ip->count.fragmented++;
    pkt_free(p);
    return 0;
}

/* The receiving connection may live on another worker: there the packet comes in with an IP header. */
static bool to_other_worker(struct worker *w, struct pkt *p, const struct ip_tx *tx)
{
    struct pkt_meta *m = pkt_meta(p);
    struct ip_endpoint src = { .ip = tx->src }, dst = { .ip = tx->dst };

    if (pkt_first_len(p) < 4)
        return false;
    memcpy(&src.port, pkt_data(p), 2);
    memcpy(&dst.port, pkt_data(p) + 2, 2);
    if (!m->ifc || pkt_len(p) > 65535u - IP6_HDR_LEN || worker_rss_owner(w->stack, tx->ip_proto, &src, &dst) == w->index ||
        !ip_push_header(w, p, tx, pkt_len(p)))
        return false;
    if (worker_steer(w, m->ifc, p, tx->ip_proto, &src, &dst)) {
        w->ip->count.ip_local++;
        return true;
    }
    pkt_pull(p, m->l3_len);
    m->l3_len = 0;
    return false;
}

bool ip_pass_on(struct worker *w, unsigned to, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);
    struct ip_tx tx = { .src = m->src, .dst = m->dst, .ip_proto = m->ip_proto, .tos = m->tos, .ttl = m->ttl, .dont_fragment = true };

    /* A plain header, whatever it had: none, one with extensions, one of a fragment. */
    if (!m->ifc || pkt_len(p) > 65535u - IP6_HDR_LEN || !ip_push_header(w, p, &tx, pkt_len(p)))
        return false;
    worker_pass_on(w, to, m->ifc, p);
    return true;
}

/* at: the address that it goes to; NULL: none of an interface. */
static int to_ourselves(struct worker *w, struct pkt *p, const struct ip_tx *tx, const struct interface_addr *at)
{
    struct ip_worker *ip = w->ip;
    struct pkt_meta *m = pkt_meta(p);

    m->src = tx->src;
    m->dst = tx->dst;
    m->ip_proto = tx->ip_proto;
    if (ip->local_tail - ip->local_head == IP_LOCAL_QUEUE)
        return drop_out(w, p, IP_DROP_LOCAL_QUEUE, -ENOBUFS);
    if (hs_unlikely(pkt_own(w->pools, p) < 0)) /* it waits */
        return drop_out(w, p, IP_DROP_NO_BUFFER, -ENOBUFS);
    m->flags = PKT_LOCAL | PKT_L4_CSUM_GOOD; /* never left the machine */
    m->l2_len = m->l3_len = 0;
    m->ttl = tx->ttl ? tx->ttl : IP_DEFAULT_TTL;
    m->tos = tx->tos;
    m->l4_total = pkt_len(p);
    if (capture_is_on(w))
        capture_stop_ip(w, p, "ip output to ourselves");
    m->ifc = at ? at->ifc : NULL; /* as if it came in where the address is */
    if (w->stack->n_workers > 1 && to_other_worker(w, p, tx))
        return 0;
    ip->local[ip->local_tail++ % IP_LOCAL_QUEUE] = p;
    ip->count.ip_local++;
    return 0;
}

/* A copy of what goes to a group or a broadcast address comes in again by the interface that it leaves by, if somebody here may want it. */
static void loop_back(struct worker *w, struct pkt *p, const struct ip_tx *tx, struct interface *ifc)
{
    struct ip_worker *ip = w->ip;
    uint32_t len = pkt_len(p);

    if (!(ip_addr_is_multicast(&tx->dst) ? mcast_accepts(ifc, &tx->dst, &tx->src) : interface_is_broadcast(ifc, &tx->dst)))
        return;
    struct pkt *copy = len <= PKT_BIG_DATA ? pkt_alloc(w->pools, len) : NULL;
    if (!copy || ip->local_tail - ip->local_head == IP_LOCAL_QUEUE) {
        if (copy)
            pkt_free(copy);
        ip->count.ip[copy ? IP_DROP_LOCAL_QUEUE : IP_DROP_NO_BUFFER]++;
        return;
    }
    pkt_copy_out(p, 0, pkt_append(copy, (uint16_t)len), len);
    *pkt_meta(copy) = (struct pkt_meta){ .src = tx->src, .dst = tx->dst, .ifc = ifc, .ip_proto = tx->ip_proto, .tos = tx->tos,
                                         .ttl = tx->ttl ? tx->ttl : IP_DEFAULT_TTL, .l4_total = len,
                                         .flags = PKT_LOCAL | PKT_L4_CSUM_GOOD | PKT_BCAST };
    ip->local[ip->local_tail++ % IP_LOCAL_QUEUE] = copy;
    ip->count.ip_local++;
}

static int output_way(struct worker *w, struct pkt *p, const struct ip_tx *tx, const struct ip_way *way)
{
    struct pkt_meta *m = pkt_meta(p);
    uint32_t len = pkt_len(p);
    unsigned hdr = ip_addr_is_v4(&tx->dst) ? IP4_HDR_LEN : IP6_HDR_LEN;
    struct neigh *n = NULL;
    uint8_t told = hdr == IP6_HDR_LEN ? __atomic_load_n(&way->ifc->hop_limit, __ATOMIC_RELAXED) : 0;
    struct ip_tx limited;

    if (hs_unlikely(told && !tx->ttl)) { /* RFC 4861 s6.3.4: CurHopLimit */
        limited = *tx;
        limited.ttl = told;
        tx = &limited;
    }
    m->src = tx->src;
    m->dst = tx->dst;
    m->ip_proto = tx->ip_proto;
    m->ifc = way->ifc;
    m->l2_len = 0;
    if (capture_is_on(w))
        capture_stop_ip(w, p, "ip output");
    struct ip_tx with_df;
    uint16_t mtu = way->ifc->mtu;
    bool df = tx->dont_fragment || tx->pmtu >= IP_PMTU_DO;
    if (!tx->dont_fragment && tx->pmtu != IP_PMTU_PROBE && (tx->pmtu != IP_PMTU_DONT || hdr == IP6_HDR_LEN))
        mtu = pmtu_limit(w, tx->fib, &tx->dst, mtu);
    if (hs_unlikely(len + hdr > mtu && !(m->flags & PKT_GSO))) {
        /* IPv4's total length counts the header, IPv6's payload length does not. */
        if (df || len > 65535u - (hdr == IP4_HDR_LEN ? IP4_HDR_LEN : 0))
            return drop_out(w, p, IP_DROP_TX_TOO_BIG, -EMSGSIZE);
        return fragment(w, way, p, tx, mtu);
    }
    if (tx->pmtu != IP_PMTU_DONT && !tx->dont_fragment) {
        with_df = *tx;
        with_df.dont_fragment = true;
        tx = &with_df;
    }
    if (hs_unlikely(len > 65535u - hdr))
        return drop_out(w, p, IP_DROP_TX_TOO_BIG, -EMSGSIZE);
    if (hs_unlikely(!ip_push_header(w, p, tx, len)))
        return drop_out(w, p, IP_DROP_TX_NO_HEADROOM, -ENOBUFS);
    if (tx->cache && neigh_is_valid(tx->cache->neigh, tx->cache->neigh_gen))
        n = tx->cache->neigh;
    n = emit(w, way, n, p);
    if (tx->cache) {
        tx->cache->neigh = n;
        tx->cache->neigh_gen = n ? n->gen : 0;
    }
    return 0;
}

void ip_confirm_way(struct worker *w, struct ip_route_cache *c)
{
    c->confirmed = ip_confirm_time(w);
    if (neigh_is_valid(c->neigh, c->neigh_gen))
        neigh_confirm(w, c->neigh);
}

int ip_output_on(struct worker *w, struct interface *ifc, const struct ip_addr *nh, struct pkt *p, const struct ip_tx *tx)
{
    struct ip_way way = { .ifc = ifc, .nh = nh };

    return output_way(w, p, tx, &way);
}

bool ip_cache_is_local(struct worker *w, const struct ip_route_cache *c)
{
    return c->is_local && c->generation == route_generation(w->stack->routes) &&
           interface_addr_state_get(c->next_hop) == INTERFACE_ADDR_PREFERRED;
}

int ip_output(struct worker *w, struct pkt *p, const struct ip_tx *tx)
{
    struct ip_way way;
    const struct route *r = NULL;
    struct ip_route_cache *c = tx->cache;
    uint32_t gen = route_generation(w->stack->routes);

    if (capture_is_on(w))
        capture_out(w, p);
    if (c && c->generation == gen && c->is_local && interface_addr_state_get(c->next_hop) == INTERFACE_ADDR_PREFERRED)
        return to_ourselves(w, p, tx, c->next_hop);
    if (hs_likely(c && c->generation == gen && c->next_hop && !c->is_local)) {
        r = c->next_hop;
        way.ifc = r->ifc;
        way.nh = r->has_gateway ? &r->gateway : &tx->dst;
        return output_way(w, p, tx, &way);
    }
    if (hs_unlikely(tx->inside))
        return to_ourselves(w, p, tx, NULL);
    int ret = way_lookup(w, tx->fib, tx->dev, &tx->src, &tx->dst, &way, &r);
    if (ret < 0)
        return drop_out(w, p, IP_DROP_TX_NO_ROUTE, ret);
    if (hs_unlikely(r && r->next && !tx->dev))
        r = choose_hop(w, r, tx, p, &way);
    struct ip_tx full = *tx;
    if (hs_unlikely(ip_addr_is_any(&tx->src))) {
        const struct ip_addr *src = way.ifc ? interface_select_source(way.ifc, &tx->dst, way.nh) : &tx->dst;
        if (!src)
            return drop_out(w, p, IP_DROP_TX_SOURCE, -EADDRNOTAVAIL);
        full.src = *src;
    }
    if (!way.ifc) {
        const struct interface_addr *at = interfaces_find_addr(w->stack, tx->fib, &tx->dst);

        if (c && at && !ip_addr_is_any(&tx->src))
            *c = (struct ip_route_cache){ .generation = gen, .next_hop = at, .is_local = true };
        return to_ourselves(w, p, &full, at);
    }
    if (hs_unlikely(tx->loop))
        loop_back(w, p, &full, way.ifc);
    if (hs_unlikely(tx->stays)) {
        pkt_free(p);
        return 0;
    }
    if (c && !tx->loop && (r || c->next_hop || c->generation != gen)) /* the short way above loops nothing back */
        *c = (struct ip_route_cache){ .generation = gen, .next_hop = r };
    return output_way(w, p, &full, &way);
}
