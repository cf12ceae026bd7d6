/* ip6_ext.c - IPv6 extension headers on input (RFC 8200 s4) */
#include <netinet/in.h>
#include <netinet/ip6.h>

#include "server/icmp/icmp.h"
#include "server/ip/ip_internal.h"

enum { EXT_MAX_HEADERS = 8 }; /* RFC 8504 s5.3: a host may limit how far it walks */

static int ext_drop(struct worker *w, struct pkt *p)
{
    ip_drop(w, p, IP_DROP_EXT_HEADER);
    return 1;
}

/* Answer with Parameter Problem: `at` is where in p's present data the trouble is. */
static int ext_refuse(struct worker *w, struct pkt *p, uint8_t code, unsigned at)
{
    icmp6_param_problem_send(w, p, code, (uint32_t)pkt_meta(p)->l3_len + at);
    return ext_drop(w, p);
}

static void ext_advance(struct pkt *p, unsigned len)
{
    pkt_pull(p, (uint16_t)len);
    pkt_meta(p)->l3_len = (uint16_t)(pkt_meta(p)->l3_len + len);
}

/* RFC 8200 s4.2: options of a hop-by-hop or destination header; the two high bits of an unknown one say what to do. 0 or 1 (taken). */
static int ext_options(struct worker *w, struct pkt *p, unsigned len)
{
    const uint8_t *o = pkt_data(p);
    unsigned i = 2;

    while (i < len) {
        if (o[i] == IP6OPT_PAD1) {
            i++;
            continue;
        }
        if (i + 2 > len || i + 2u + o[i + 1] > len)
            return ext_drop(w, p);
        if (o[i] != IP6OPT_PADN && o[i] != IP6OPT_ROUTER_ALERT) {
            switch (o[i] >> 6) {
            case 0:
                break;
            case 1:
                return ext_drop(w, p);
            case 3:
                if (pkt_meta(p)->flags & PKT_BCAST)
                    return ext_drop(w, p);
                return ext_refuse(w, p, 2, i);
            default:
                return ext_refuse(w, p, 2, i);
            }
        }
        i += 2u + o[i + 1];
    }
    return 0;
}

static int ext_fragment(struct worker *w, struct pkt **pp, uint8_t *next)
{
    struct pkt *p = *pp;
    struct ip6_frag f;

    memcpy(&f, pkt_data(p), sizeof(f));
    uint32_t offset = be16_get((be16){ f.ip6f_offlg }) & 0xfff8u;
    bool more = (f.ip6f_offlg & IP6F_MORE_FRAG) != 0;
    uint32_t len = pkt_len(p) - (uint32_t)sizeof(f);
    if (more && len % 8 != 0) {
        icmp6_param_problem_send(w, p, 0, 4); /* RFC 8200 s4.5: pointing at the payload length */
        ip_drop(w, p, IP_DROP_FRAG_MALFORMED);
        return 1;
    }
    if (offset + len > 65535) {
        icmp6_param_problem_send(w, p, 0, pkt_meta(p)->l3_len + 2u);
        ip_drop(w, p, IP_DROP_FRAG_MALFORMED);
        return 1;
    }
    ext_advance(p, sizeof(f));
    pkt_meta(p)->ip_proto = f.ip6f_nxt;
    pkt_meta(p)->l4_total = len;
    if (offset == 0 && !more) { /* RFC 6946: an atomic fragment is a whole datagram */
        *next = f.ip6f_nxt;
        return 0;
    }
    p = reass_input(w, p, be32_get((be32){ f.ip6f_ident }), offset, more);
    if (!p || ip_steer_reassembled(w, p))
        return 1;
    *pp = p;
    *next = pkt_meta(p)->ip_proto;
    return 0;
}

int ip6_ext_walk(struct worker *w, struct pkt **pp, uint8_t next)
{
    bool fragmented = false;

    for (unsigned i = 0;; i++) {
        struct pkt *p = *pp;
        bool is_ext = next == IPPROTO_HOPOPTS || next == IPPROTO_DSTOPTS || next == IPPROTO_ROUTING || next == IPPROTO_FRAGMENT;
        if (!is_ext) {
            pkt_meta(p)->ip_proto = next;
            return 0;
        }
        if (i == EXT_MAX_HEADERS || pkt_pullup(p, 8) < 0)
            return ext_drop(w, p);
        if (next == IPPROTO_FRAGMENT) {
            if (fragmented) /* a fragment of fragments hides what it carries */
                return ext_drop(w, p);
            fragmented = true;
            if (ext_fragment(w, pp, &next) != 0)
                return 1;
            continue;
        }
        unsigned len = (pkt_data(p)[1] + 1u) * 8;
        if (pkt_pullup(p, len) < 0)
            return ext_drop(w, p);
        uint8_t kind = next;
        next = pkt_data(p)[0];
        if (kind == IPPROTO_ROUTING) {
            /* s4.4: with segments left, a type we do not serve is refused; RFC 5095 forbids type 0 altogether. */
            if (pkt_data(p)[3] != 0)
                return ext_refuse(w, p, 0, 2);
        } else {
            /* s4.1: hop-by-hop only right behind the IPv6 header, else it counts as unknown. */
            if (kind == IPPROTO_HOPOPTS && i != 0)
                return ext_refuse(w, p, 1, 0);
            if (ext_options(w, p, len) != 0)
                return 1;
        }
        ext_advance(p, len);
    }
}
