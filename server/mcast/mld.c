/* mld.c - MLD on the wire: version 2 reports (RFC 3810), version 1 (RFC 2710) when a router speaks it */
#include <netinet/in.h>

#include "server/icmp/icmp_internal.h"
#include "server/mcast/mcast_internal.h"

enum { MLD_HDR_LEN = 8, MLD_QUERY_LEN = 24, MLD_V2_QUERY_LEN = 28, MLD_RECORD_LEN = 20, HOP_BY_HOP_LEN = 8 };

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

void mld_send(struct worker *w, struct interface *ifc, const struct mcast_record *r, unsigned n, uint8_t version)
{
    uint8_t msg[MLD_HDR_LEN + MCAST_MAX_RECORDS * MLD_RECORD_LEN];
    unsigned room = (ifc->mtu - IP6_HDR_LEN - HOP_BY_HOP_LEN - MLD_HDR_LEN) / MLD_RECORD_LEN;

    for (unsigned i = 0; version && i < n; i++) { /* s8.2.1: one message a group */
        bool is_leave = r[i].type == MCAST_TO_INCLUDE;
        memset(msg, 0, MLD_QUERY_LEN);
        msg[0] = is_leave ? ICMP6_T_MLD_DONE : ICMP6_T_MLD_REPORT;
        memcpy(msg + 8, r[i].group.b, 16);
        send_message(w, ifc, msg, MLD_QUERY_LEN, is_leave ? &all_routers : &r[i].group);
    }
    while (!version && n > 0) {
        unsigned some = hs_min_u32(n, room), len = MLD_HDR_LEN + some * MLD_RECORD_LEN;
        memset(msg, 0, len);
        msg[0] = ICMP6_T_MLD2_REPORT;
        msg[6] = (uint8_t)(some >> 8);
        msg[7] = (uint8_t)some;
        for (unsigned i = 0; i < some; i++) {
            uint8_t *record = msg + MLD_HDR_LEN + i * MLD_RECORD_LEN;
            record[0] = r[i].type;
            memcpy(record + 4, r[i].group.b, 16);
        }
        send_message(w, ifc, msg, len, &all_v2_routers);
        r += some;
        n -= some;
    }
}

void mld_input(struct worker *w, struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);
    uint32_t len = pkt_len(p);
    uint8_t q[MLD_QUERY_LEN];
    struct ip_addr group;

    pkt_copy_out(p, 0, q, hs_min_u32(len, sizeof(q)));
    if (q[0] != ICMP6_T_MLD_QUERY) { /* reports of others are no news for a host that is no router */
        pkt_free(p);
        return;
    }
    /* s5.1.14, s6.2: from a link-local address with hop limit 1; the length tells the version. */
    if (len < MLD_QUERY_LEN || (len > MLD_QUERY_LEN && len < MLD_V2_QUERY_LEN) || m->ttl != 1 || !ip_addr_is_link_local(&m->src))
        goto malformed;
    memcpy(group.b, q + 8, 16);
    if (!ip_addr_is_any(&group) && !ip_addr_is_multicast(&group))
        goto malformed;
    if (w->index != 0 && ip_pass_on(w, 0, p))
        return;
    if (w->index == 0 && m->ifc) {
        uint32_t code = (uint32_t)(q[4] << 8 | q[5]);
        if (len == MLD_QUERY_LEN)
            mcast_old_querier(w, m->ifc, false, 1);
        else
            code = mcast_float_code(code, 12);
        mcast_asked(w, m->ifc, &group, false, (uint64_t)code * 1000);
    }
    pkt_free(p);
    return;
malformed:
    icmp_drop(w, p, ICMP_DROP_GROUP_MESSAGE);
}
