/* ip_input.c - IPv4 (RFC 791, RFC 1122 s3.2) and IPv6 (RFC 8200) input: checks, local delivery, dispatch to transports */
#include <netinet/in.h>
#include <rte_ip.h>

#include "server/dhcp/dhcp.h"
#include "server/icmp/icmp.h"
#include "server/ip/ip_internal.h"
#include "server/mcast/mcast.h"
#include "server/session/transport.h"

/* Is dst one of our unicast addresses, on this interface's table? A link-local one must be the interface's own. */
static bool dst_is_ours(struct interface *ifc, const struct ip_addr *dst)
{
    const struct interface_addr *a = interface_find_addr(ifc, dst);

    if (!a && !ip_addr_is_link_local(dst) && ifc->stack->interfaces->n > 1)
        a = interfaces_find_addr(ifc->stack, ifc->fib, dst);
    return a && interface_addr_state_get(a) == INTERFACE_ADDR_PREFERRED;
}

bool ip_is_local_addr(struct worker *w, uint16_t fib, const struct ip_addr *ip)
{
    const struct interface_addr *a = interfaces_find_addr(w->stack, fib, ip);

    return a && interface_addr_state_get(a) == INTERFACE_ADDR_PREFERRED;
}

/* With several workers: fragments came here by their addresses alone; the datagram belongs to the worker of its ports. It goes there
 * with a header as if it had never been cut. */
bool ip_steer_reassembled(struct worker *w, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);
    struct ip_endpoint src = { .ip = m->src }, dst = { .ip = m->dst };
    bool v4 = ip_addr_is_v4(&m->src);

    if (w->stack->n_workers == 1 || pkt_pullup(p, 4) < 0)
        return false;
    memcpy(&src.port, pkt_data(p), 2);
    memcpy(&dst.port, pkt_data(p) + 2, 2);
    uint8_t *old = ip_header_of(p);
    uint16_t l3 = v4 ? m->l3_len : IP6_HDR_LEN;
    uint8_t *hdr = pkt_push(p, l3); /* the headers are still in front: there is room */
    if (!hdr)
        return false;
    memmove(hdr, old, l3); /* IPv6: the fixed header moves up to the payload, over the extension headers */
    if (v4) {
        struct ip4_hdr *h = (struct ip4_hdr *)hdr;
        h->total_len = be16_of((uint16_t)(l3 + m->l4_total));
        h->frag = be16_of(0);
        h->csum = be16_of(0);
        h->csum = (be16){ (uint16_t)~rte_raw_cksum(h, l3) };
    } else {
        struct ip6_hdr_wire *h = (struct ip6_hdr_wire *)hdr;
        h->payload_len = be16_of((uint16_t)m->l4_total);
        h->next = m->ip_proto;
    }
    if (worker_steer(w, m->ifc, p, m->ip_proto, &src, &dst))
        return true;
    pkt_pull(p, l3);
    m->l3_len = l3;
    return false;
}

/* ---------------------------------------------------------------- IPv4 */

/* RFC 1122 s3.2.1.3: sources that cannot be. */
static bool ip4_source_is_martian(const struct interface *ifc, const struct ip_addr *src)
{
    uint8_t first = src->b[12];

    return first == 0 || first == 127 || first >= 224 || interface_is_broadcast(ifc, src);
}

/* Step through the options. RFC 1122 s3.2.1.8, RFC 7126: unknown ones are ignored, source routes refused. */
static enum ip_drop ip4_check_options(const uint8_t *opt, unsigned len)
{
    unsigned i = 0;

    while (i < len) {
        uint8_t type = opt[i];
        if (type == 0)
            break;
        if (type == 1) {
            i++;
            continue;
        }
        if (i + 1 >= len || opt[i + 1] < 2 || opt[i + 1] > len - i)
            return IP_DROP_OPTIONS;
        if (type == 131 || type == 137)
            return IP_DROP_SOURCE_ROUTE;
        i += opt[i + 1];
    }
    return IP_DROP_MAX;
}

/* Checks the header, fills meta and moves p to the L4 header. IP_DROP_MAX = good. */
static enum ip_drop ip4_check(struct worker *w, struct interface *ifc, struct pkt *p, uint16_t *frag, uint16_t *id)
{
    struct pkt_meta *m = pkt_meta(p);

    if (pkt_pullup(p, IP4_HDR_LEN) < 0)
        return IP_DROP_SHORT;
    unsigned hdr_len = (pkt_data(p)[0] & 15u) * 4;
    if (hdr_len < IP4_HDR_LEN || pkt_pullup(p, hdr_len) < 0)
        return IP_DROP_HEADER_LENGTH;
    const struct ip4_hdr *h = (const struct ip4_hdr *)pkt_data(p);
    uint16_t total = be16_get(h->total_len);
    if (total < hdr_len || total > pkt_len(p))
        return IP_DROP_TOTAL_LENGTH;
    if (rte_raw_cksum(h, hdr_len) != 0xffff)
        return IP_DROP_CHECKSUM;
    m->src = ip_addr_v4(h->src);
    m->dst = ip_addr_v4(h->dst);
    /* Our own address as source: a loop, or somebody who pretends; but one worker's packet to ourselves may come to another. */
    if (ip4_source_is_martian(ifc, &m->src) || (!(m->flags & PKT_LOCAL) && ip_is_local_addr(w, ifc->fib, &m->src)))
        return IP_DROP_SOURCE;
    if (hdr_len > IP4_HDR_LEN) {
        enum ip_drop bad = ip4_check_options((const uint8_t *)(h + 1), hdr_len - IP4_HDR_LEN);
        if (bad != IP_DROP_MAX)
            return bad;
    }
    /* Queries of routers are heard, whomever a group's members want to hear. */
    const struct ip_addr *group_src = h->proto == IPPROTO_IGMP ? NULL : &m->src;
    if (dst_is_ours(ifc, &m->dst)) {
        if (m->flags & PKT_BCAST) /* RFC 1122 s3.3.6: a link broadcast for one host's address */
            return IP_DROP_NOT_LOCAL;
    } else if (interface_is_broadcast(ifc, &m->dst) || be32_get(h->dst) == INADDR_ALLHOSTS_GROUP ||
               (ip_addr_is_multicast(&m->dst) && mcast_accepts(ifc, &m->dst, group_src))) {
        m->flags |= PKT_BCAST;
    } else {
        return IP_DROP_NOT_LOCAL;
    }
    m->ip_proto = h->proto;
    m->ttl = h->ttl;
    m->tos = h->tos;
    m->l3_len = (uint16_t)hdr_len;
    m->l4_total = (uint32_t)total - hdr_len;
    *frag = be16_get(h->frag);
    *id = be16_get(h->id);
    pkt_trim(p, total); /* link padding */
    pkt_pull(p, (uint16_t)hdr_len);
    return IP_DROP_MAX;
}

/* NULL: taken. */
static struct pkt *ip4_input(struct worker *w, struct interface *ifc, struct pkt *p)
{
    uint16_t frag, id;
    enum ip_drop bad = ip4_check(w, ifc, p, &frag, &id);

    if (hs_unlikely(bad != IP_DROP_MAX)) {
        ip_drop(w, p, bad);
        return NULL;
    }
    if (hs_unlikely(frag & (IP4_MF | IP4_OFF_MASK))) {
        p = reass_input(w, p, id, (frag & IP4_OFF_MASK) * 8u, (frag & IP4_MF) != 0);
        if (p && ip_steer_reassembled(w, p))
            p = NULL;
    }
    return p;
}

/* ---------------------------------------------------------------- IPv6 */

/* Groups we are in: all nodes (interface- and link-local) and the solicited-node group of each of our addresses, tentative ones
 * included (RFC 4862 s5.4.2). */
static bool ip6_group_is_ours(const struct interface *ifc, const struct ip_addr *dst, const struct ip_addr *src)
{
    static const uint8_t solicited[13] = { 0xff, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff };
    static const uint8_t all_nodes_tail[14] = { [13] = 1 };

    if ((dst->b[1] == 1 || dst->b[1] == 2) && memcmp(dst->b + 2, all_nodes_tail, 14) == 0)
        return true;
    if (mcast_accepts(ifc, dst, src))
        return true;
    if (memcmp(dst->b, solicited, sizeof(solicited)) != 0)
        return false;
    for (unsigned i = 0; i < ifc->n_addrs; i++) {
        if (!ip_addr_is_v4(&ifc->addr[i].ip) && memcmp(ifc->addr[i].ip.b + 13, dst->b + 13, 3) == 0)
            return true;
    }
    return false;
}

/* IPv4-mapped and -compatible addresses never appear on the wire (RFC 4942 s2.2): we use the mapped form inside for IPv4. */
static bool ip6_is_mapped(const struct ip_addr *a) { return ip_addr_is_v4(a); }

static enum ip_drop ip6_check(struct worker *w, struct interface *ifc, struct pkt *p, uint8_t *next)
{
    struct pkt_meta *m = pkt_meta(p);

    if (pkt_pullup(p, IP6_HDR_LEN) < 0)
        return IP_DROP_SHORT;
    const struct ip6_hdr_wire *h = (const struct ip6_hdr_wire *)pkt_data(p);
    uint32_t total = IP6_HDR_LEN + (uint32_t)be16_get(h->payload_len);
    if (total > pkt_len(p))
        return IP_DROP_TOTAL_LENGTH;
    memcpy(m->src.b, h->src, 16);
    memcpy(m->dst.b, h->dst, 16);
    bool unspecified = ip_addr_is_any(&m->src);
    if (ip_addr_is_multicast(&m->src) || ip_addr_is_loopback(&m->src) || ip6_is_mapped(&m->src) || ip6_is_mapped(&m->dst) ||
        (!unspecified && !(m->flags & PKT_LOCAL) && ip_is_local_addr(w, ifc->fib, &m->src)))
        return IP_DROP_SOURCE;
    bool may_be_query = h->next == IPPROTO_HOPOPTS || h->next == IPPROTO_ICMPV6; /* as in ip4_check() */
    const struct ip_addr *group_src = may_be_query ? NULL : &m->src;
    if (dst_is_ours(ifc, &m->dst)) {
        if ((m->flags & PKT_BCAST) || unspecified)
            return IP_DROP_NOT_LOCAL;
    } else if (ip_addr_is_multicast(&m->dst) && ip6_group_is_ours(ifc, &m->dst, group_src)) {
        m->flags |= PKT_BCAST;
    } else {
        return IP_DROP_NOT_LOCAL;
    }
    m->ttl = h->hop_limit;
    m->tos = (uint8_t)(be32_get(h->ver_tc_flow) >> 20);
    m->l3_len = IP6_HDR_LEN;
    *next = h->next;
    pkt_trim(p, total);
    pkt_pull(p, IP6_HDR_LEN);
    return IP_DROP_MAX;
}

static struct pkt *ip6_input(struct worker *w, struct interface *ifc, struct pkt *p)
{
    uint8_t next;
    enum ip_drop bad = ip6_check(w, ifc, p, &next);

    if (hs_unlikely(bad != IP_DROP_MAX)) {
        ip_drop(w, p, bad);
        return NULL;
    }
    if (hs_likely(next == IPPROTO_TCP || next == IPPROTO_UDP || next == IPPROTO_ICMPV6))
        pkt_meta(p)->ip_proto = next;
    else if (ip6_ext_walk(w, &p, next) != 0)
        return NULL;
    /* Only DAD speaks from the unspecified address. */
    if (hs_unlikely(ip_addr_is_any(&pkt_meta(p)->src) && pkt_meta(p)->ip_proto != IPPROTO_ICMPV6)) {
        ip_drop(w, p, IP_DROP_SOURCE);
        return NULL;
    }
    pkt_meta(p)->l4_total = pkt_len(p);
    return p;
}

/* ---------------------------------------------------------------- dispatch */

static const struct transport_ops *ops_of(struct worker *w, uint8_t ip_proto)
{
    struct ip_worker *ip = w->ip;

    if (hs_unlikely(!ip->by_ip_proto_ready)) { /* transports register before workers start */
        for (unsigned i = 0; i < SVM_PROTO_MAX; i++) {
            const struct transport_ops *ops = transport_get((uint8_t)i);
            if (ops && ops->ip_proto)
                ip->by_ip_proto[ops->ip_proto] = ops;
        }
        ip->by_ip_proto_ready = true;
    }
    return ip->by_ip_proto[ip_proto];
}

/* A packet for nobody's protocol: ICMP goes to its own layer, the rest is answered (RFC 1122 s3.2.2.1, RFC 4443 s3.4). */
static void deliver_other(struct worker *w, struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);

    if (m->ip_proto == (ip_addr_is_v4(&m->dst) ? IPPROTO_ICMP : IPPROTO_ICMPV6)) {
        icmp_input(w, p);
        return;
    }
    if (m->ip_proto == IPPROTO_IGMP && ip_addr_is_v4(&m->dst)) {
        igmp_input(w, p);
        return;
    }
    if (m->ip_proto != IPPROTO_NONE)
        icmp_unreachable_send(w, p, ICMP_UNREACH_PROTOCOL);
    ip_drop(w, p, IP_DROP_PROTOCOL);
}

void ip_deliver(struct worker *w, struct pkt **pkts, unsigned n)
{
    unsigned i = 0;

    if (capture_is_on(w)) {
        for (unsigned k = 0; k < n; k++)
            capture_stop_ip(w, pkts[k], "ip");
    }
    while (i < n) {
        const struct transport_ops *ops = ops_of(w, pkt_meta(pkts[i])->ip_proto);
        if (!ops) {
            deliver_other(w, pkts[i++]);
            continue;
        }
        unsigned run = 1; /* neighbours in the batch that go to the same transport go together */
        while (i + run < n && pkt_meta(pkts[i + run])->ip_proto == ops->ip_proto)
            run++;
        ops->input(w, pkts + i, run);
        i += run;
    }
}

/* A datagram to a group or a broadcast address: sockets of every worker want it. */
static bool is_for_all_sockets(struct worker *w, struct pkt *p)
{
    const struct transport_ops *ops = ops_of(w, pkt_meta(p)->ip_proto);

    return ops && ops->is_datagram && (pkt_meta(p)->flags & PKT_BCAST);
}

void ip_worker_input(struct worker *w, struct interface *ifc, struct pkt **pkts, unsigned n)
{
    unsigned good = 0;

    w->ip->count.ip_in += n;
    for (unsigned i = 0; i < n; i++) {
        struct pkt *p = pkts[i];
        p = (pkt_data(p)[0] >> 4) == 4 ? ip4_input(w, ifc, p) : ip6_input(w, ifc, p);
        if (hs_unlikely(!p))
            continue;
        /* A copy for learning: only what icmp_input() takes from it matters here. */
        if (hs_unlikely(pkt_meta(p)->flags & PKT_CLONED) && !is_for_all_sockets(w, p) && ops_of(w, pkt_meta(p)->ip_proto)) {
            pkt_free(p);
            continue;
        }
        if (hs_unlikely(ifc->has_dhcp) && ip_addr_is_v4(&pkt_meta(p)->dst) && dhcp_input(w, p))
            continue;
        pkts[good++] = p;
    }
    if (good)
        ip_deliver(w, pkts, good);
}

static unsigned __attribute__((noinline)) drain_local(struct worker *w, struct ip_worker *ip, unsigned budget)
{
    unsigned done = 0;

    while (ip->local_head != ip->local_tail && done < budget) {
        struct pkt *batch[WORKER_BURST];
        unsigned n = 0;
        while (n < WORKER_BURST && ip->local_head != ip->local_tail)
            batch[n++] = ip->local[ip->local_head++ % IP_LOCAL_QUEUE];
        ip_deliver(w, batch, n);
        done += n;
    }
    return done;
}

/* Three times a turn, most of them for nothing. */
unsigned ip_worker_drain_local(struct worker *w, unsigned budget)
{
    struct ip_worker *ip = w->ip;

    return hs_likely(ip->local_head == ip->local_tail) ? 0 : drain_local(w, ip, budget);
}
