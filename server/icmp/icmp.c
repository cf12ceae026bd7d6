/* icmp.c - ICMP and ICMPv6 input: checksum, echo, and who gets the rest */
#include "server/icmp/icmp_internal.h"

#include <netinet/in.h>

#include "server/autoconf/autoconf.h"
#include "server/mcast/mcast.h"
#include "server/neigh/neigh.h"

void icmp_set_checksum(struct pkt *p)
{
    struct icmp_hdr *h = (struct icmp_hdr *)pkt_data(p);

    h->csum = 0;
    h->csum = pkt_meta(p)->ip_proto == IPPROTO_ICMPV6 ? pkt_l4_checksum(p) : (uint16_t)~pkt_raw_sum(p, 0);
}

/* RFC 1122 s3.2.2.6, RFC 4443 s4.2: the data comes back as it is, whatever its size. Takes p. */
static void echo_reply(struct worker *w, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);
    bool v4 = m->ip_proto == IPPROTO_ICMP;

    /* RFC 1122 s3.2.2.6 lets a host ignore echo to broadcast: no amplifier. */
    if ((m->flags & PKT_BCAST) && v4) {
        icmp_drop(w, p, ICMP_DROP_ECHO_BROADCAST);
        return;
    }
    struct interface *ifc = m->ifc;
    struct ip_tx tx = { .src = m->dst, .dst = m->src, .fib = ifc ? ifc->fib : 0, .ip_proto = m->ip_proto, .tos = m->tos };
    if (m->flags & PKT_BCAST) { /* RFC 4443 s4.2: ff02::1 is answered from our own address */
        const struct ip_addr *own = interface_select_source(ifc, &m->src, &m->src);
        if (!own) {
            icmp_drop(w, p, ICMP_DROP_ECHO_BROADCAST);
            return;
        }
        tx.src = *own;
    }
    struct icmp_hdr *h = (struct icmp_hdr *)pkt_data(p);
    h->type = v4 ? ICMP4_ECHO_REPLY : ICMP6_T_ECHO_REPLY;
    m->src = tx.src;
    m->dst = tx.dst;
    m->flags = 0;
    m->l2_len = m->l3_len = 0;
    icmp_set_checksum(p);
    w->ip->count.icmp_echo++;
    ip_output(w, p, &tx);
}

/* What another worker's connections must hear too. The headers are still in front of a packet of one piece. */
static void clone_to_others(struct worker *w, struct pkt *p)
{
    struct pkt_meta *m = pkt_meta(p);
    uint16_t back = (uint16_t)(m->l2_len + m->l3_len);

    if (w->stack->n_workers == 1 || (m->flags & (PKT_CLONED | PKT_LOCAL)) || !pkt_push(p, back))
        return;
    worker_clone_to_all(w, m->ifc->port, p);
    pkt_pull(p, back);
}

static void icmp4_input(struct worker *w, struct pkt *p, const struct icmp_hdr *h)
{
    switch (h->type) {
    case ICMP4_ECHO:
        if (pkt_meta(p)->flags & PKT_CLONED)
            break;
        echo_reply(w, p);
        return;
    case ICMP4_UNREACH:
    case ICMP4_TIME:
    case ICMP4_PARAM:
        clone_to_others(w, p);
        icmp_error_input(w, p);
        break;
    case ICMP4_QUENCH:     /* RFC 6633: ignored */
    case ICMP4_ECHO_REPLY: /* nobody here asks */
    default:
        icmp_drop(w, p, ICMP_DROP_TYPE);
        return;
    }
    pkt_free(p);
}

static void icmp6_input(struct worker *w, struct pkt *p, const struct icmp_hdr *h)
{
    switch (h->type) {
    case ICMP6_T_ECHO:
        if ((pkt_meta(p)->flags & PKT_CLONED) || ip_addr_is_any(&pkt_meta(p)->src))
            break;
        echo_reply(w, p);
        return;
    case ICMP6_T_UNREACH:
    case ICMP6_T_TOO_BIG:
    case ICMP6_T_TIME:
    case ICMP6_T_PARAM:
        clone_to_others(w, p);
        icmp_error_input(w, p);
        break;
    case ICMP6_T_NS:
    case ICMP6_T_NA:
        clone_to_others(w, p);
        nd_input(w, p);
        return;
    case ICMP6_T_MLD_QUERY:
    case ICMP6_T_MLD_REPORT:
    case ICMP6_T_MLD_DONE:
    case ICMP6_T_MLD2_REPORT:
        mld_input(w, p);
        return;
    case ICMP6_T_RA:
        autoconf_ra_input(w, p);
        return;
    case ICMP6_T_REDIRECT:
        autoconf_redirect_input(w, p);
        return;
    case ICMP6_T_RS: /* RFC 4861 s6.2.6: hosts ignore it */
    default:
        icmp_drop(w, p, ICMP_DROP_TYPE);
        return;
    }
    pkt_free(p);
}

void icmp_input(struct worker *w, struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);
    bool v4 = m->ip_proto == IPPROTO_ICMP;

    w->ip->count.icmp_in++;
    if (pkt_pullup(p, sizeof(struct icmp_hdr)) < 0) {
        icmp_drop(w, p, ICMP_DROP_SHORT);
        return;
    }
    if (!(m->flags & PKT_LOCAL) && (v4 ? pkt_raw_sum(p, 0) != 0xffff : pkt_l4_checksum(p) != 0)) {
        icmp_drop(w, p, ICMP_DROP_CHECKSUM);
        return;
    }
    const struct icmp_hdr *h = (const struct icmp_hdr *)pkt_data(p);
    if (capture_is_on(w))
        capture_stop_at(w, p, v4 ? "icmp" : "icmpv6", "type %u code %u", h->type, h->code);
    if (v4)
        icmp4_input(w, p, h);
    else
        icmp6_input(w, p, h);
}
