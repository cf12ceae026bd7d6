/* worker_rss.c - software RSS: which worker owns a packet (Toeplitz hash over the tuple) */
#include <netinet/in.h>
#include <rte_thash.h>
#include <rte_mbuf.h>
#include "server/worker/worker_private.h"

enum { TYPE_IPV4 = 0x0800, TYPE_IPV6 = 0x86dd, TYPE_VLAN = 0x8100, ETH_LEN = 14, TAG_LEN = 4, IPV4_LEN = 20, IPV6_LEN = 40, MAX_EXT = 8 };

/* An IPv6 address counts as the exclusive or of its words: spread is what matters here, the session lookup has a keyed hash. */
static uint32_t fold(const struct ip_addr *a)
{
    if (ip_addr_is_v4(a))
        return a->w[3].raw;
    return a->w[0].raw ^ a->w[1].raw ^ a->w[2].raw ^ a->w[3].raw;
}

static uint32_t tuple_hash(const struct stack *s, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
    uint32_t tuple[3] = { fold(&src->ip), fold(&dst->ip), (uint32_t)be16_get(src->port) << 16 | be16_get(dst->port) };

    return rte_softrss(tuple, 3, s->priv->rss_key);
}

/* The claimants of a kind, beginning at one that the hash picks. */
static unsigned add_claimants(const struct stack *s, uint16_t port, enum worker_udp_kind kind, uint32_t hash,
                              struct worker_udp_candidate *out)
{
    uint8_t found[WORKER_MAX];
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_workers; i++)
        if (__atomic_load_n(&s->priv->udp_claims[port][kind][i], __ATOMIC_RELAXED))
            found[n++] = (uint8_t)i;
    for (unsigned i = 0; i < n; i++)
        out[i] = (struct worker_udp_candidate){ found[(hash + i) % n], (uint8_t)kind };
    return n;
}

unsigned worker_rss_udp_candidates(const struct stack *s, const struct ip_endpoint *src, const struct ip_endpoint *dst,
                                   struct worker_udp_candidate out[WORKER_UDP_CANDIDATES])
{
    uint32_t hash = tuple_hash(s, src, dst) % 0x10000; /* no overflow by the rotation */
    unsigned n = 0;

    for (unsigned kind = 0; kind < WORKER_UDP_KINDS; kind++)
        n += add_claimants(s, be16_get(dst->port), (enum worker_udp_kind)kind, hash, out + n);
    return n;
}

unsigned worker_rss_owner(const struct stack *s, uint8_t ip_proto, const struct ip_endpoint *src, const struct ip_endpoint *dst)
{
    struct worker_udp_candidate candidate[WORKER_UDP_CANDIDATES];
    unsigned pinned;

    if (s->n_workers == 1 || ip_proto == IPPROTO_SCTP) /* an association's packets come from several addresses */
        return 0;
    if (ip_proto == IPPROTO_UDP && worker_rss_udp_candidates(s, src, dst, candidate) > 0)
        return candidate[0].worker;
    if (ip_proto == IPPROTO_TCP && worker_pin_of(s, src, dst, &pinned))
        return pinned;
    return (unsigned)(((uint64_t)tuple_hash(s, src, dst) * s->n_workers) >> 32);
}

void worker_rss_udp_claim(struct stack *s, be16 port, unsigned worker, enum worker_udp_kind kind, bool on)
{
    if (s->n_workers > 1)
        __atomic_fetch_add(&s->priv->udp_claims[be16_get(port)][kind][worker], on ? 1 : UINT32_MAX, __ATOMIC_RELAXED);
}

void worker_pass_on(struct worker *w, unsigned to, struct interface *ifc, struct pkt *p)
{
    pkt_meta(p)->ifc = ifc;
    if (!worker_hand_over(w, w->stack->worker[to], p, 0, HANDOVER_IP))
        pkt_free(p);
}

struct view {                     /* bytes of the first piece not looked at yet */
    const uint8_t *b;
    uint32_t len;
};

static bool skip(struct view *v, uint32_t n)
{
    if (v->len < n)
        return false;
    v->b += n;
    v->len -= n;
    return true;
}

/* At an IP header: its tuple, and the view at what follows. False: no transport header that could be hashed (a fragment, an
 * extension header that hides it, too short). */
static bool read_ip(struct view *v, bool v6, struct ip_endpoint *src, struct ip_endpoint *dst, uint8_t *proto)
{
    if (!v6) {
        if (v->len < IPV4_LEN || v->b[0] >> 4 != 4 || (v->b[0] & 15) < 5)
            return false;
        if (((v->b[6] & 0x3f) | v->b[7]) != 0) /* more fragments, or an offset */
            return false;
        be32 a;
        memcpy(&a, v->b + 12, 4);
        src->ip = ip_addr_v4(a);
        memcpy(&a, v->b + 16, 4);
        dst->ip = ip_addr_v4(a);
        *proto = v->b[9];
        return skip(v, (v->b[0] & 15u) * 4u);
    }
    if (v->len < IPV6_LEN || v->b[0] >> 4 != 6)
        return false;
    memcpy(src->ip.b, v->b + 8, 16);
    memcpy(dst->ip.b, v->b + 24, 16);
    uint8_t next = v->b[6];
    if (!skip(v, IPV6_LEN))
        return false;
    for (int i = 0; i < MAX_EXT && (next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS); i++) {
        if (v->len < 8)
            return false;
        next = v->b[0];
        if (!skip(v, (v->b[1] + 1u) * 8u))
            return false;
    }
    *proto = next;
    return next != IPPROTO_FRAGMENT;
}

static bool read_ports(const struct view *v, uint8_t proto, struct ip_endpoint *src, struct ip_endpoint *dst)
{
    if ((proto != IPPROTO_TCP && proto != IPPROTO_UDP) || v->len < 4)
        return false;
    memcpy(&src->port, v->b, 2);
    memcpy(&dst->port, v->b + 2, 2);
    return true;
}

/* ICMP errors (RFC 792; RFC 4443 s2.1: types below 128) quote the packet that they are about. */
static bool is_icmp_error(const struct view *v, uint8_t proto)
{
    if (v->len < 8)
        return false;
    if (proto == IPPROTO_ICMPV6)
        return v->b[0] < 128;
    return proto == IPPROTO_ICMP && (v->b[0] == 3 || v->b[0] == 4 || v->b[0] == 11 || v->b[0] == 12);
}

/* p at its Ethernet header. What has no tuple goes to worker 0. */
unsigned worker_rss_of_frame(const struct stack *s, struct pkt *p)
{
    struct view v = { pkt_data(p), pkt_first_len(p) };
    struct ip_endpoint src, dst;
    uint8_t proto;

    if (v.len < ETH_LEN)
        return 0;
    unsigned type = (unsigned)v.b[12] << 8 | v.b[13];
    skip(&v, ETH_LEN);
    if (type == TYPE_VLAN) {
        if (v.len < TAG_LEN)
            return 0;
        type = (unsigned)v.b[2] << 8 | v.b[3];
        skip(&v, TAG_LEN);
    }
    if (type != TYPE_IPV4 && type != TYPE_IPV6)
        return 0;
    bool v6 = type == TYPE_IPV6;
    if (!read_ip(&v, v6, &src, &dst, &proto))
        return 0;
    if (read_ports(&v, proto, &src, &dst))
        return worker_rss_owner(s, proto, &src, &dst);
    if (!is_icmp_error(&v, proto))
        return 0;
    skip(&v, 8);
    /* The quoted packet is one of ours: its answers would have come with the tuple turned round. */
    if (!read_ip(&v, v6, &src, &dst, &proto) || !read_ports(&v, proto, &src, &dst))
        return 0;
    return worker_rss_owner(s, proto, &dst, &src);
}

bool worker_steer(struct worker *w, struct interface *ifc, struct pkt *p, uint8_t ip_proto, const struct ip_endpoint *src,
                  const struct ip_endpoint *dst)
{
    unsigned owner = worker_rss_owner(w->stack, ip_proto, src, dst);

    if (owner == w->index)
        return false;
    worker_pass_on(w, owner, ifc, p);
    return true;
}
