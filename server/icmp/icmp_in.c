/* icmp_in.c - ICMP errors about packets that we sent: whose packet, and what Linux would tell the program */
#include <errno.h>
#include <time.h> /* for the next */
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "server/icmp/icmp_internal.h"
#include "server/session/transport.h"

struct icmp_meaning { int err; bool hard; };

/* Code of Destination Unreachable, as Linux maps it. RFC 1122 s4.2.3.9 says which are hard. */
static const struct icmp_meaning unreach4[] = {
    [0] = { -ENETUNREACH, false }, [1] = { -EHOSTUNREACH, false }, [2] = { -ENOPROTOOPT, true }, [3] = { -ECONNREFUSED, true },
    [4] = { -EMSGSIZE, false }, [5] = { -EOPNOTSUPP, false }, [6] = { -ENETUNREACH, true }, [7] = { -EHOSTDOWN, true },
    [8] = { -ENONET, true }, [9] = { -ENETUNREACH, true }, [10] = { -EHOSTUNREACH, true }, [11] = { -ENETUNREACH, false },
    [12] = { -EHOSTUNREACH, false }, [13] = { -EHOSTUNREACH, true }, [14] = { -EHOSTUNREACH, true }, [15] = { -EHOSTUNREACH, true },
};
static const struct icmp_meaning unreach6[] = {
    [0] = { -ENETUNREACH, false }, [1] = { -EACCES, true }, [2] = { -EHOSTUNREACH, false }, [3] = { -EHOSTUNREACH, false },
    [4] = { -ECONNREFUSED, true }, [5] = { -EACCES, true }, [6] = { -EACCES, true },
};

/* RFC 1191 s7.1: routers that do not tell the MTU: the next plateau below what they refused. */
static uint32_t plateau_below(uint32_t total_len)
{
    static const uint16_t plateau[] = { 32000, 17914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68 };

    for (unsigned i = 0; i < HS_ARRAY_LEN(plateau); i++) {
        if (plateau[i] < total_len)
            return plateau[i];
    }
    return IP4_MIN_MTU;
}

struct quote {                   /* the packet that an error is about: src is we */
    struct ip_addr src, dst;
    uint8_t ip_proto;
    const uint8_t *l4;
    unsigned l4_len;
    uint32_t total_len;
    uint16_t fib;                /* interface table that the packet belonged to */
    uint8_t dev;                 /* and its interface */
};

static bool quote_parse4(const uint8_t *d, unsigned len, struct quote *q)
{
    const struct ip4_hdr *h = (const struct ip4_hdr *)d;

    if (len < IP4_HDR_LEN || h->ver_ihl >> 4 != 4)
        return false;
    unsigned hl = (h->ver_ihl & 15u) * 4;
    /* A later fragment quotes no L4 header. */
    if (hl < IP4_HDR_LEN || len < hl + 8 || (be16_get(h->frag) & IP4_OFF_MASK))
        return false;
    *q = (struct quote){ .src = ip_addr_v4(h->src), .dst = ip_addr_v4(h->dst), .ip_proto = h->proto, .l4 = d + hl, .l4_len = len - hl,
                         .total_len = be16_get(h->total_len) };
    return true;
}

static bool quote_parse6(const uint8_t *d, unsigned len, struct quote *q)
{
    const struct ip6_hdr_wire *h = (const struct ip6_hdr_wire *)d;
    unsigned at = IP6_HDR_LEN;

    if (len < IP6_HDR_LEN || d[0] >> 4 != 6)
        return false;
    memcpy(q->src.b, h->src, 16);
    memcpy(q->dst.b, h->dst, 16);
    uint8_t next = h->next;
    if (next == IPPROTO_FRAGMENT) { /* the only extension header that we send */
        if (len < at + 8 || (d[at + 2] | (d[at + 3] & 0xf8)))
            return false;
        next = d[at];
        at += 8;
    }
    if (len < at + 8)
        return false;
    q->ip_proto = next;
    q->l4 = d + at;
    q->l4_len = len - at;
    q->total_len = IP6_HDR_LEN + (uint32_t)be16_get(h->payload_len);
    return true;
}

static bool meaning4(const struct icmp_hdr *h, const struct quote *q, struct icmp_meaning *out, uint32_t *mtu)
{
    *mtu = 0;
    switch (h->type) {
    case ICMP4_UNREACH:
        if (h->code >= HS_ARRAY_LEN(unreach4))
            return false;
        *out = unreach4[h->code];
        if (h->code == 4) {
            *mtu = be32_get(h->rest) & 0xffff;
            if (*mtu == 0)
                *mtu = plateau_below(q->total_len);
            if (*mtu < IP4_MIN_MTU) /* RFC 1191 s3: nothing smaller exists */
                return false;
        }
        return true;
    case ICMP4_TIME:
        *out = (struct icmp_meaning){ -EHOSTUNREACH, false };
        return true;
    default:
        /* RFC 1122 s4.2.3.9 counts it soft; Linux reports EPROTO at once. TCP keeps to the RFC (MUST-56). */
        *out = (struct icmp_meaning){ -EPROTO, false };
        return true;
    }
}

static bool meaning6(const struct icmp_hdr *h, struct icmp_meaning *out, uint32_t *mtu)
{
    *mtu = 0;
    switch (h->type) {
    case ICMP6_T_UNREACH:
        if (h->code >= HS_ARRAY_LEN(unreach6))
            return false;
        *out = unreach6[h->code];
        return true;
    case ICMP6_T_TOO_BIG:
        *out = (struct icmp_meaning){ -EMSGSIZE, false };
        *mtu = be32_get(h->rest);
        return *mtu >= IP6_MIN_MTU; /* RFC 8201 s4: a smaller one is ignored */
    case ICMP6_T_TIME:
        *out = (struct icmp_meaning){ -EHOSTUNREACH, false };
        return true;
    default:
        *out = (struct icmp_meaning){ -EPROTO, false };
        return true;
    }
}

static const struct transport_ops *transport_of(uint8_t ip_proto)
{
    for (unsigned i = 0; i < SVM_PROTO_MAX; i++) {
        const struct transport_ops *ops = transport_get((uint8_t)i);
        if (ops && ops->ip_proto == ip_proto && ops->ip_proto != 0)
            return ops;
    }
    return NULL;
}

/* e: filled but for what the quoted packet says. */
static void tell_transport(struct worker *w, const struct quote *q, struct transport_error *e)
{
    const struct transport_ops *ops = transport_of(q->ip_proto);

    if (!ops || !ops->icmp_error)
        return;
    e->lcl.ip = q->src;
    e->rmt.ip = q->dst;
    memcpy(&e->lcl.port, q->l4, 2);
    memcpy(&e->rmt.port, q->l4 + 2, 2);
    e->fib = q->fib;
    e->dev = q->dev;
    e->l4 = q->l4;
    e->l4_len = q->l4_len;
    ops->icmp_error(w, e);
}

/* What Linux tells as ee_info: the MTU, or where the parameter problem is. */
static uint32_t info_of(const struct icmp_hdr *h, bool v4, uint32_t mtu)
{
    if (!v4)
        return be32_get(h->rest);
    return h->type == ICMP4_PARAM ? be32_get(h->rest) >> 24 : h->type == ICMP4_UNREACH && h->code == 4 ? mtu : 0;
}

void icmp_error_input(struct worker *w, struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);
    bool v4 = m->ip_proto == IPPROTO_ICMP;
    uint8_t buf[IP6_MIN_MTU];
    struct icmp_hdr h;
    struct quote q;
    struct icmp_meaning what;
    uint32_t mtu;

    unsigned len = hs_min_u32(pkt_len(p), sizeof(buf));
    pkt_copy_out(p, 0, buf, len);
    memcpy(&h, buf, sizeof(h));
    const uint8_t *quoted = buf + sizeof(h);
    len -= (unsigned)sizeof(h);
    if (!(v4 ? quote_parse4(quoted, len, &q) : quote_parse6(quoted, len, &q)) ||
        !(v4 ? meaning4(&h, &q, &what, &mtu) : meaning6(&h, &what, &mtu)) ||
        (!ip_addr_eq(&q.src, &m->dst) && !(m->flags & PKT_LOCAL))) {
        w->ip->count.icmp[ICMP_DROP_QUOTE]++;
        return;
    }
    q.fib = (uint16_t)interface_from(m);
    q.dev = (uint8_t)(interface_from(m) >> 16);
    struct transport_error e = {
        .err = what.err, .hard = what.hard, .mtu = mtu, .origin = v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6, .type = h.type,
        .code = h.code, .ttl = m->ttl, .tos = m->tos, .info = info_of(&h, v4, mtu), .offender = m->src,
    };
    tell_transport(w, &q, &e);
}

/* Linux sends itself the ICMP message that another host would have sent. */
static void as_message(bool v4, int err, struct transport_error *e)
{
    e->origin = v4 ? SO_EE_ORIGIN_ICMP : SO_EE_ORIGIN_ICMP6;
    e->type = v4 ? ICMP4_UNREACH : ICMP6_T_UNREACH;
    e->ttl = 64;
    if (err == -ECONNREFUSED) {
        e->code = v4 ? 3 : 4;
    } else if (err == -EHOSTUNREACH) {
        e->code = v4 ? 1 : 3;
    } else if (err == -ENOPROTOOPT) {
        e->type = v4 ? ICMP4_UNREACH : ICMP6_T_PARAM;
        e->code = v4 ? 2 : 1;
    }
}

struct report {                  /* on its way to another worker */
    struct quote q;
    struct transport_error e;
    uint8_t l4[];
};

static void report_here(struct worker *w, void *arg)
{
    struct report *r = arg;

    tell_transport(w, &r->q, &r->e);
    free(r);
}

/* The socket that sent a packet to ourselves may be another worker's. A report that finds no memory or room is lost, as a message may be. */
static void report_to_others(struct worker *w, const struct quote *q, const struct transport_error *e)
{
    for (unsigned i = 0; i < w->stack->n_workers; i++) {
        struct report *r = i != w->index ? malloc(sizeof(*r) + q->l4_len) : NULL;
        if (!r)
            continue;
        r->q = *q;
        r->e = *e;
        memcpy(r->l4, q->l4, q->l4_len);
        r->q.l4 = r->l4;
        if (worker_call(w->stack->worker[i], report_here, r) != 0)
            free(r);
    }
}

void icmp_report_local(struct worker *w, struct pkt *p, int err, bool hard, uint32_t mtu)
{
    const struct pkt_meta *m = pkt_meta(p);
    uint8_t l4[IP6_MIN_MTU];

    if (pkt_len(p) < m->l3_len + 8u)
        return;
    unsigned len = hs_min_u32(pkt_len(p) - m->l3_len, sizeof(l4));
    pkt_copy_out(p, m->l3_len, l4, len);
    struct quote q = { .src = m->src, .dst = m->dst, .ip_proto = m->ip_proto, .l4 = l4, .l4_len = len,
                       .fib = (uint16_t)interface_from(m), .dev = (uint8_t)(interface_from(m) >> 16) };
    struct transport_error e = { .err = err, .hard = hard, .mtu = mtu, .info = mtu, .offender = m->src };
    as_message(ip_addr_is_v4(&m->src), err, &e);
    if (m->flags & PKT_LOCAL)
        report_to_others(w, &q, &e);
    tell_transport(w, &q, &e);
}
