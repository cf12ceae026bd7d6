/* icmp_out.c - ICMP and ICMPv6 errors that we send: when not to, how much to quote, how often */
#include <errno.h>
#include <netinet/in.h>

#include "server/icmp/icmp_internal.h"

enum icmp_out_limits {
    ERROR_RATE = 1000,         /* a second (RFC 1812 s4.3.2.8, RFC 4443 s2.4 f; as Linux: icmp_msgs_per_sec) */
    ERROR_BURST = 50,
    QUOTE4_MAX = 576 - IP4_HDR_LEN - 8,        /* RFC 1812 s4.3.2.3 */
    QUOTE6_MAX = IP6_MIN_MTU - IP6_HDR_LEN - 8, /* RFC 4443 s3 */
};

static bool rate_allows(struct worker *w)
{
    struct ip_rate *r = &w->ip->error_rate;
    uint64_t passed = w->now_us - r->last_us;
    uint64_t milli = r->tokens_milli + passed * ERROR_RATE / 1000;

    r->last_us = w->now_us;
    r->tokens_milli = (uint32_t)(milli > ERROR_BURST * 1000u ? ERROR_BURST * 1000u : milli);
    if (r->tokens_milli < 1000) {
        w->ip->count.icmp[ICMP_DROP_ERROR_LIMIT]++;
        return false;
    }
    r->tokens_milli -= 1000;
    return true;
}

/* RFC 1122 s3.2.2 and RFC 4443 s2.4 e: what no error may answer. */
static bool may_answer(const struct pkt_meta *m, struct pkt *p, bool even_multicast)
{
    if ((m->flags & PKT_CLONED) || ip_addr_is_any(&m->src) || ip_addr_is_multicast(&m->src))
        return false;
    if ((m->flags & PKT_BCAST) && !even_multicast)
        return false;
    if (pkt_first_len(p) == 0)
        return true;
    uint8_t type = pkt_data(p)[0];
    if (m->ip_proto == IPPROTO_ICMP)
        return type == ICMP4_ECHO || type == ICMP4_ECHO_REPLY;
    if (m->ip_proto == IPPROTO_ICMPV6)
        return type >= 128 && type != ICMP6_T_REDIRECT;
    return true;
}

static void error_send(struct worker *w, struct pkt *p, uint8_t type, uint8_t code, uint32_t rest, bool even_multicast)
{
    const struct pkt_meta *m = pkt_meta(p);
    bool v4 = ip_addr_is_v4(&m->src);

    if (!may_answer(m, p, even_multicast) || !rate_allows(w))
        return;
    struct ip_tx tx = { .src = m->dst, .dst = m->src, .fib = m->ifc->fib, .ip_proto = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6,
                        .tos = v4 ? 0xc0 : 0 }; /* RFC 1812 s4.3.2.5: internetwork control */
    if (m->flags & PKT_BCAST) {
        const struct ip_addr *own = interface_select_source(m->ifc, &m->src, &m->src);
        if (!own)
            return;
        tx.src = *own;
    }
    uint32_t quote = hs_min_u32(m->l3_len + pkt_len(p), v4 ? QUOTE4_MAX : QUOTE6_MAX);
    struct pkt *e = pkt_alloc(w->pools, (uint32_t)sizeof(struct icmp_hdr) + quote);
    if (!e) {
        w->ip->count.icmp[ICMP_DROP_NO_BUFFER]++;
        return;
    }
    struct icmp_hdr *h = (struct icmp_hdr *)pkt_append(e, (uint16_t)(sizeof(*h) + quote));
    *h = (struct icmp_hdr){ .type = type, .code = code, .rest = be32_of(rest) };
    uint32_t head = hs_min_u32(quote, m->l3_len);
    memcpy(h + 1, ip_header_of(p), head);
    pkt_copy_out(p, 0, (uint8_t *)(h + 1) + head, quote - head);
    struct pkt_meta *em = pkt_meta(e);
    em->src = tx.src;
    em->dst = tx.dst;
    em->ip_proto = tx.ip_proto;
    em->ifc = m->ifc;
    icmp_set_checksum(e);
    w->ip->count.icmp_errors_sent++;
    ip_output(w, e, &tx);
}

/* A packet from ourselves has no header to quote: its sender is told directly. Seen from the sender, src is local. */
static bool tell_local_sender(struct worker *w, struct pkt *p, int err)
{
    struct pkt_meta *m = pkt_meta(p);

    if (!(m->flags & PKT_LOCAL))
        return false;
    m->l3_len = 0;
    if (!(m->flags & PKT_BCAST))
        icmp_report_local(w, p, err, true, 0);
    return true;
}

void icmp_unreachable_send(struct worker *w, struct pkt *p, enum icmp_unreach what)
{
    bool v4 = ip_addr_is_v4(&pkt_meta(p)->src);

    if (tell_local_sender(w, p, what == ICMP_UNREACH_PORT ? -ECONNREFUSED : -ENOPROTOOPT))
        return;
    if (v4)
        error_send(w, p, ICMP4_UNREACH, what == ICMP_UNREACH_PORT ? 3 : 2, 0, false);
    else if (what == ICMP_UNREACH_PORT)
        error_send(w, p, ICMP6_T_UNREACH, 4, 0, false);
    else /* RFC 8200 s4: unrecognized next header; the pointer is where it stands: the fixed header unless there were extensions */
        error_send(w, p, ICMP6_T_PARAM, 1, pkt_meta(p)->l3_len > IP6_HDR_LEN ? IP6_HDR_LEN : 6, false);
}

void icmp6_param_problem_send(struct worker *w, struct pkt *p, uint8_t code, uint32_t pointer)
{
    /* RFC 4443 s2.4 e.3: code 2 may answer a multicast. */
    error_send(w, p, ICMP6_T_PARAM, code, pointer, code == 2);
}

void icmp_reass_timeout_send(struct worker *w, struct pkt *p)
{
    bool v4 = ip_addr_is_v4(&pkt_meta(p)->src);

    error_send(w, p, v4 ? ICMP4_TIME : ICMP6_T_TIME, 1, 0, false);
}
