/* igmp.c - IGMP on the wire: version 3 reports (RFC 3376), versions 2 (RFC 2236) and 1 (RFC 1112) when a router speaks them */
#include <netinet/in.h>
#include <rte_ip.h>

#include "server/eth/eth.h"
#include "server/mcast/mcast_internal.h"

enum igmp_type { IGMP_QUERY = 0x11, IGMP_REPORT_V1 = 0x12, IGMP_REPORT_V2 = 0x16, IGMP_LEAVE = 0x17, IGMP_REPORT_V3 = 0x22 };
enum { IGMP_HDR_LEN = MCAST_HDR_LEN, IGMP_V3_QUERY_LEN = 12, IGMP_V3_SOURCES = 10 /* their number */ };
enum { IP_OPTION_LEN = 4, IGMP_TOS = 0xc0 /* s4: internetwork control */ };
enum { ALL_ROUTERS = 0xe0000002u, ALL_V3_ROUTERS = 0xe0000016u };

struct igmp_hdr {
    uint8_t type, code;
    uint16_t csum;       /* as on the wire */
    be32 rest;           /* a group, or in a version 3 report the number of records */
} __attribute__((packed));

/* One message with the Router Alert option (RFC 2113) and TTL 1; dst in the 224.0.0.0/4 range. */
static void send_message(struct worker *w, struct interface *ifc, const uint8_t *msg, unsigned len, uint32_t dst)
{
    static const uint8_t router_alert[IP_OPTION_LEN] = { 0x94, 4, 0, 0 };
    struct pkt *p = pkt_alloc(w->pools, len);
    struct ip_addr to = ip_addr_v4(be32_of(dst));
    const struct ip_addr *own = interface_select_source(ifc, &to, &to);

    if (!p) {
        w->ip->count.ip[IP_DROP_NO_BUFFER]++;
        return;
    }
    memcpy(pkt_append(p, (uint16_t)len), msg, len);
    uint8_t *options = pkt_push(p, sizeof(router_alert));
    struct ip4_hdr *h = options ? (struct ip4_hdr *)pkt_push(p, IP4_HDR_LEN) : NULL;
    if (!h) {
        ip_drop(w, p, IP_DROP_TX_NO_HEADROOM);
        return;
    }
    memcpy(options, router_alert, sizeof(router_alert));
    unsigned hdr_len = IP4_HDR_LEN + sizeof(router_alert);
    /* s4.2.13: from 0.0.0.0 when there is no address yet. */
    *h = (struct ip4_hdr){ .ver_ihl = 0x46, .tos = IGMP_TOS, .total_len = be16_of((uint16_t)(hdr_len + len)), .frag = be16_of(IP4_DF),
                           .ttl = 1, .proto = IPPROTO_IGMP, .src = own ? own->w[3] : be32_of(0), .dst = to.w[3] };
    h->csum = (be16){ (uint16_t)~rte_raw_cksum(h, hdr_len) };
    const uint8_t mac[6] = { 0x01, 0x00, 0x5e, to.b[13] & 0x7f, to.b[14], to.b[15] };
    struct pkt_meta *m = pkt_meta(p);
    m->src = own ? *own : ip_addr_any(true);
    m->dst = to;
    m->ip_proto = IPPROTO_IGMP;
    m->l3_len = (uint16_t)hdr_len;
    eth_output(w, ifc, p, mac, ETH_TYPE_IPV4);
}

unsigned igmp_room(const struct interface *ifc) { return ifc->mtu - IP4_HDR_LEN - IP_OPTION_LEN; }

void igmp_send(struct worker *w, struct interface *ifc, uint8_t *msg, unsigned len)
{
    struct igmp_hdr *h = (struct igmp_hdr *)msg;

    h->type = IGMP_REPORT_V3;
    h->csum = 0;
    h->csum = (uint16_t)~rte_raw_cksum(msg, len);
    send_message(w, ifc, msg, len, ALL_V3_ROUTERS);
}

void igmp_send_old(struct worker *w, struct interface *ifc, const struct ip_addr *group, bool is_leave, uint8_t version)
{
    struct igmp_hdr h = { .type = version == 1 ? IGMP_REPORT_V1 : is_leave ? IGMP_LEAVE : IGMP_REPORT_V2, .rest = group->w[3] };

    if (is_leave && version == 1) /* it has no such message */
        return;
    h.csum = (uint16_t)~rte_raw_cksum(&h, sizeof(h));
    send_message(w, ifc, (const uint8_t *)&h, sizeof(h), is_leave ? ALL_ROUTERS : be32_get(group->w[3]));
}

/* s4.1: p is a query of that length; 0, or less when its number of sources is not that of what it has. */
static int read_sources(struct pkt *p, uint32_t len, struct mcast_query *q)
{
    be16 n;
    be32 a;

    pkt_copy_out(p, IGMP_V3_SOURCES, &n, sizeof(n));
    q->n = be16_get(n);
    if (IGMP_V3_QUERY_LEN + q->n * sizeof(a) > len)
        return -1;
    for (unsigned i = 0; i < q->n && i < MCAST_SOURCES; i++) {
        pkt_copy_out(p, IGMP_V3_QUERY_LEN + i * (uint32_t)sizeof(a), &a, sizeof(a));
        q->source[i] = ip_addr_v4(a);
    }
    return 0;
}

/* Of a query. false: malformed. */
static bool read_query(struct pkt *p, uint32_t len, struct igmp_hdr *h, struct mcast_query *q)
{
    if (len < IGMP_HDR_LEN || pkt_raw_sum(p, 0) != 0xffff)
        return false;
    pkt_copy_out(p, 0, h, sizeof(*h));
    if (h->type != IGMP_QUERY)
        return true;
    q->group = be32_get(h->rest) ? ip_addr_v4(h->rest) : ip_addr_any(true);
    q->n = 0;
    /* s7.1: the version is told by length and code. */
    if (len == IGMP_HDR_LEN)
        q->max_us = (h->code ? h->code : 100u) * 100000ull;
    else if (len < IGMP_V3_QUERY_LEN || read_sources(p, len, q) != 0)
        return false;
    else
        q->max_us = mcast_float_code(h->code, 4) * 100000ull;
    return ip_addr_is_any(&q->group) ? q->n == 0 : ip_addr_is_multicast(&q->group);
}

void igmp_input(struct worker *w, struct pkt *p)
{
    struct interface *ifc = pkt_meta(p)->ifc;
    uint32_t len = pkt_len(p);
    struct mcast_query q;
    struct igmp_hdr h;

    if (!read_query(p, len, &h, &q)) {
        ip_drop(w, p, IP_DROP_GROUP_MESSAGE);
        return;
    }
    bool is_query = h.type == IGMP_QUERY;
    if (is_query && w->index != 0 && ip_pass_on(w, 0, p))
        return;
    /* Reports of others are no news for a host that is no router. */
    if (is_query && ifc && w->index == 0) {
        if (len == IGMP_HDR_LEN)
            mcast_old_querier(w, ifc, true, h.code ? 2 : 1);
        mcast_asked(w, ifc, true, &q);
    }
    pkt_free(p);
}
