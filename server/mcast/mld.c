/* mld.c - MLD on the wire: version 2 reports (RFC 3810), version 1 (RFC 2710) when a router speaks it */
#include <netinet/in.h>

#include "server/icmp/icmp_internal.h"
#include "server/mcast/mcast_internal.h"

enum { MLD_QUERY_LEN = 24, MLD_V2_SOURCES = 26 /* their number */, MLD_V2_QUERY_LEN = 28, HOP_BY_HOP_LEN = 8 };

static const struct ip_addr all_routers = { .b = { 0xff, 0x02, [15] = 2 } };
static const struct ip_addr all_v2_routers = { .b = { 0xff, 0x02, [15] = 0x16 } };

/* Hop limit 1, from the link-local address (s5.2.13), Router Alert in a hop-by-hop header (RFC 2711). */
static void send_message(struct worker *w, struct interface *ifc, const uint8_t *msg, unsigned len, const struct ip_addr *dst)
{
    static const uint8_t hop_by_hop[HOP_BY_HOP_LEN] = { IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0 };
    struct pkt *p = pkt_alloc(w->pools, len);
    const struct ip_addr *own = interface_select_source(ifc, &all_routers, &all_routers);
    struct ip_tx tx = { .src = own && ip_addr_is_link_local(own) ? *own : ip_addr_any(false), .dst = *dst, .fib = ifc->fib,
                        .ip_proto = IPPROTO_HOPOPTS, .ttl = 1 };

    if (!p) {
        w->ip->count.ip[IP_DROP_NO_BUFFER]++;
        return;
    }
    memcpy(pkt_append(p, (uint16_t)len), msg, len);
    struct pkt_meta *m = pkt_meta(p);
    m->src = tx.src;
    m->dst = tx.dst;
    m->ip_proto = IPPROTO_ICMPV6;
    icmp_set_checksum(p);
    uint8_t *options = pkt_push(p, HOP_BY_HOP_LEN);
    if (!options) {
        ip_drop(w, p, IP_DROP_TX_NO_HEADROOM);
        return;
    }
    memcpy(options, hop_by_hop, HOP_BY_HOP_LEN);
    ip_output_on(w, ifc, dst, p, &tx);
}

unsigned mld_room(const struct interface *ifc) { return ifc->mtu - IP6_HDR_LEN - HOP_BY_HOP_LEN; }

void mld_send(struct worker *w, struct interface *ifc, uint8_t *msg, unsigned len)
{
    msg[0] = ICMP6_T_MLD2_REPORT;
    send_message(w, ifc, msg, len, &all_v2_routers);
}

void mld_send_old(struct worker *w, struct interface *ifc, const struct ip_addr *group, bool is_leave)
{
    uint8_t msg[MLD_QUERY_LEN] = { is_leave ? ICMP6_T_MLD_DONE : ICMP6_T_MLD_REPORT };

    memcpy(msg + MCAST_HDR_LEN, group->b, sizeof(group->b));
    send_message(w, ifc, msg, sizeof(msg), is_leave ? &all_routers : group);
}

/* Of a query (s5.1). false: malformed. */
static bool read_query(struct pkt *p, uint32_t len, struct mcast_query *q)
{
    const struct pkt_meta *m = pkt_meta(p);
    be16 code, n = be16_of(0);

    /* s5.1.14, s6.2: from a link-local address with hop limit 1; the length tells the version. */
    if (len < MLD_QUERY_LEN || (len > MLD_QUERY_LEN && len < MLD_V2_QUERY_LEN) || m->ttl != 1 || !ip_addr_is_link_local(&m->src))
        return false;
    pkt_copy_out(p, 4, &code, sizeof(code));
    pkt_copy_out(p, MCAST_HDR_LEN, q->group.b, sizeof(q->group.b));
    q->max_us = (len == MLD_QUERY_LEN ? be16_get(code) : mcast_float_code(be16_get(code), 12)) * 1000ull;
    if (len > MLD_QUERY_LEN)
        pkt_copy_out(p, MLD_V2_SOURCES, &n, sizeof(n));
    q->n = be16_get(n);
    if (q->n && MLD_V2_QUERY_LEN + q->n * sizeof(q->group.b) > len)
        return false;
    for (unsigned i = 0; i < q->n && i < MCAST_SOURCES; i++)
        pkt_copy_out(p, MLD_V2_QUERY_LEN + i * (uint32_t)sizeof(q->group.b), q->source[i].b, sizeof(q->group.b));
    return ip_addr_is_any(&q->group) ? q->n == 0 : ip_addr_is_multicast(&q->group);
}

void mld_input(struct worker *w, struct pkt *p)
{
    struct interface *ifc = pkt_meta(p)->ifc;
    uint32_t len = pkt_len(p);
    struct mcast_query q;
    uint8_t type = 0;

    pkt_copy_out(p, 0, &type, hs_min_u32(len, 1));
    if (type != ICMP6_T_MLD_QUERY) { /* reports of others are no news for a host that is no router */
        pkt_free(p);
        return;
    }
    if (!read_query(p, len, &q)) {
        icmp_drop(w, p, ICMP_DROP_GROUP_MESSAGE);
        return;
    }
    if (w->index != 0 && ip_pass_on(w, 0, p))
        return;
    if (w->index == 0 && ifc) {
        if (len == MLD_QUERY_LEN)
            mcast_old_querier(w, ifc, false, 1);
        mcast_asked(w, ifc, false, &q);
    }
    pkt_free(p);
}
