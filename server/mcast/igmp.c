/* igmp.c - IGMP on the wire: version 3 reports (RFC 3376), versions 2 (RFC 2236) and 1 (RFC 1112) when a router speaks them */
#include <netinet/in.h>
#include <rte_ip.h>

#include "server/eth/eth.h"
#include "server/mcast/mcast_internal.h"

enum igmp_type { IGMP_QUERY = 0x11, IGMP_REPORT_V1 = 0x12, IGMP_REPORT_V2 = 0x16, IGMP_LEAVE = 0x17, IGMP_REPORT_V3 = 0x22 };
enum { IGMP_HDR_LEN = 8, IGMP_V3_QUERY_LEN = 12, IGMP_RECORD_LEN = 8, IGMP_TOS = 0xc0 /* s4: internetwork control */ };
enum { ALL_ROUTERS = 0xe0000002u, ALL_V3_ROUTERS = 0xe0000016u };

struct igmp_hdr {
    uint8_t type, code;
    uint16_t csum;       /* as on the wire */
    be32 rest;           /* a group, or in a version 3 report the number of records */
} __attribute__((packed));

/* One message with the Router Alert option (RFC 2113) and TTL 1; dst in the 224.0.0.0/4 range. */
static void send_message(struct worker *w, struct interface *ifc, const uint8_t *msg, unsigned len, uint32_t dst)
{
    static const uint8_t router_alert[4] = { 0x94, 4, 0, 0 };
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

static void finish(uint8_t *msg, unsigned len)
{
    struct igmp_hdr *h = (struct igmp_hdr *)msg;

    h->csum = 0;
    h->csum = (uint16_t)~rte_raw_cksum(msg, len);
}

/* s7.3.1: what an older router understands: one message a group; a leave is told in version 2 only. */
static void send_old(struct worker *w, struct interface *ifc, const struct mcast_record *r, uint8_t version)
{
    struct igmp_hdr h = { .type = version == 1 ? IGMP_REPORT_V1 : IGMP_REPORT_V2, .rest = r->group.w[3] };
    uint32_t dst = be32_get(r->group.w[3]);

    if (r->type == MCAST_TO_INCLUDE) {
        if (version == 1)
            return;
        h.type = IGMP_LEAVE;
        dst = ALL_ROUTERS;
    }
    finish((uint8_t *)&h, sizeof(h));
    send_message(w, ifc, (const uint8_t *)&h, sizeof(h), dst);
}

void igmp_send(struct worker *w, struct interface *ifc, const struct mcast_record *r, unsigned n, uint8_t version)
{
    uint8_t msg[IGMP_HDR_LEN + MCAST_MAX_RECORDS * IGMP_RECORD_LEN];
    unsigned room = (ifc->mtu - IP4_HDR_LEN - 4u - IGMP_HDR_LEN) / IGMP_RECORD_LEN;

    if (version) {
        for (unsigned i = 0; i < n; i++)
            send_old(w, ifc, &r[i], version);
        return;
    }
    while (n > 0) {
        unsigned some = hs_min_u32(n, room), len = IGMP_HDR_LEN + some * IGMP_RECORD_LEN;
        memset(msg, 0, len);
        *(struct igmp_hdr *)msg = (struct igmp_hdr){ .type = IGMP_REPORT_V3, .rest = be32_of(some) };
        for (unsigned i = 0; i < some; i++) {
            uint8_t *record = msg + IGMP_HDR_LEN + i * IGMP_RECORD_LEN;
            record[0] = r[i].type;
            memcpy(record + 4, r[i].group.b + 12, 4);
        }
        finish(msg, len);
        send_message(w, ifc, msg, len, ALL_V3_ROUTERS);
        r += some;
        n -= some;
    }
}

static void query_input(struct worker *w, struct interface *ifc, const struct igmp_hdr *h, uint32_t len)
{
    struct ip_addr group = be32_get(h->rest) ? ip_addr_v4(h->rest) : ip_addr_any(true);
    uint64_t tenths = h->code;

    /* s7.1: the version is told by length and code. */
    if (len == IGMP_HDR_LEN) {
        mcast_old_querier(w, ifc, true, h->code ? 2 : 1);
        if (!h->code)
            tenths = 100;
    } else {
        tenths = mcast_float_code(h->code, 4);
    }
    mcast_asked(w, ifc, &group, true, tenths * 100000);
}

void igmp_input(struct worker *w, struct pkt *p)
{
    struct interface *ifc = pkt_meta(p)->ifc;
    uint32_t len = pkt_len(p);
    struct igmp_hdr h;

    if (len < IGMP_HDR_LEN || pkt_raw_sum(p, 0) != 0xffff || pkt_pullup(p, IGMP_HDR_LEN) < 0) {
        ip_drop(w, p, IP_DROP_GROUP_MESSAGE);
        return;
    }
    memcpy(&h, pkt_data(p), sizeof(h));
    bool is_query = h.type == IGMP_QUERY;
    struct ip_addr group = ip_addr_v4(h.rest);
    if (is_query && ((len > IGMP_HDR_LEN && len < IGMP_V3_QUERY_LEN) ||
                     (be32_get(h.rest) && !ip_addr_is_multicast(&group)))) {
        ip_drop(w, p, IP_DROP_GROUP_MESSAGE);
        return;
    }
    if (is_query && w->index != 0 && ip_pass_on(w, 0, p))
        return;
    /* Reports of others are no news for a host that is no router. */
    if (is_query && ifc && w->index == 0)
        query_input(w, ifc, &h, len);
    pkt_free(p);
}
