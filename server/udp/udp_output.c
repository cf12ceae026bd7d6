/* udp_output.c - records of the transmit FIFO to datagrams */
#include "server/udp/udp_internal.h"

#include <errno.h>
#include <time.h> /* for the next */
#include <linux/errqueue.h>
#include <netinet/in.h>

#include "server/ip/interface.h"

enum { TX_HDR_MAX = 256 }; /* of a record's header with its TLVs */

struct tx_record {               /* private copy of what the program wrote, checked */
    struct svm_dgram_hdr h;
    uint32_t total;              /* bytes in the FIFO, with padding */
    uint16_t gso_size;           /* 0 = one datagram */
    uint8_t tos, ttl;
    bool ttl_is_own;             /* it came with the datagram */
    int32_t ifindex;             /* 0 = where its route leads */
};

/* The TLVs of a record, in private memory. false: malformed. */
static bool parse_tlvs(const uint8_t *b, unsigned len, struct tx_record *r)
{
    while (len >= sizeof(struct svm_dgram_tlv)) {
        struct svm_dgram_tlv t;
        memcpy(&t, b, sizeof(t));
        unsigned whole = ((unsigned)sizeof(t) + t.len + 7) & ~7u;
        if (t.type == 0)
            return true; /* padding */
        if (whole > len)
            return false;
        const uint8_t *v = b + sizeof(t);
        if (t.type == SVM_TLV_TOS && t.len == 1)
            r->tos = v[0];
        else if (t.type == SVM_TLV_TTL && t.len == 1)
            r->ttl = v[0], r->ttl_is_own = true;
        else if (t.type == SVM_TLV_GSO_SIZE && t.len == 2)
            memcpy(&r->gso_size, v, 2);
        else if (t.type == SVM_TLV_DEVICE && t.len == sizeof(struct svm_dgram_device))
            memcpy(&r->ifindex, v + offsetof(struct svm_dgram_device, index), sizeof(r->ifindex));
        b += whole;
        len -= whole;
    }
    return true;
}

/* The next record, copied once and checked against what is there (the program may write anything). 1, 0 = none, -EPROTO. */
static int read_record(struct worker *w, const struct udp_conn *c, struct tx_record *r)
{
    struct session *s = c->base.session;
    uint32_t avail = session_tx_avail(w, s);
    uint8_t tlvs[TX_HDR_MAX];

    if (avail == 0)
        return 0;
    if (avail < sizeof(r->h))
        return -EPROTO;
    *r = (struct tx_record){ .tos = c->tos, .ttl = c->ttl };
    session_tx_copy(w, s, 0, &r->h, sizeof(r->h));
    unsigned hdr_len = r->h.hdr_len;
    if (r->h.version != 1 || hdr_len < sizeof(r->h) || hdr_len > sizeof(r->h) + sizeof(tlvs) || hdr_len % 8 != 0 ||
        r->h.data_len > avail || ((hdr_len + r->h.data_len + 7) & ~7u) > avail)
        return -EPROTO;
    r->total = (hdr_len + r->h.data_len + 7) & ~7u;
    if (hdr_len > sizeof(r->h)) {
        session_tx_copy(w, s, sizeof(r->h), tlvs, hdr_len - (unsigned)sizeof(r->h));
        if (!parse_tlvs(tlvs, hdr_len - (unsigned)sizeof(r->h), r))
            return -EPROTO;
    }
    return 1;
}

/* An interface that the program has named for one datagram is a wish only for IPv6, on Linux: who is not bound to it, and says from where it
 * sends, gets the ordinary route where there is none by that one. *dev: what it leaves by then. */
int udp_path(struct worker *w, const struct udp_conn *c, uint8_t *dev, const struct ip_addr *src, const struct ip_addr *dst, struct ip_path *path)
{
    int ret = ip_path_lookup_by(w, c->base.fib, *dev, dst, path);

    if (hs_likely(ret != -ENETUNREACH || *dev == c->base.dev || c->base.dev || ip_addr_is_v4(dst) || ip_addr_is_any(src)))
        return ret;
    *dev = 0;
    return ip_path_lookup_by(w, c->base.fib, 0, dst, path);
}

/* The interface that the program has named for this one (ip(7) IP_PKTINFO, IP_UNICAST_IF). 0 or -ENODEV. */
static int resolve_device(struct worker *w, const struct udp_conn *c, const struct tx_record *r, struct ip_tx *tx)
{
    int dev = r->ifindex ? interface_dev_of_index(w->stack, c->base.fib, r->ifindex) : c->base.dev;

    if (dev < 0)
        return dev;
    if (dev != tx->dev)
        tx->cache = NULL;
    tx->dev = (uint8_t)dev;
    return 0;
}

/* Without checksum: RFC 768, RFC 6936. */
static bool is_bare(const struct tx_record *r, const struct ip_tx *tx)
{
    return hs_unlikely(r->h.flags & (SVM_DGRAM_NO_CHECK4 | SVM_DGRAM_NO_CHECK6)) &&
           r->h.flags & (ip_addr_is_v4(&tx->dst) ? SVM_DGRAM_NO_CHECK4 : SVM_DGRAM_NO_CHECK6);
}

/* Where from and where to; once: the way, where the connection has none of its own. 0, or the error that Linux's sendto() gives. */
static int resolve(struct worker *w, struct udp_conn *c, struct tx_record *r, struct ip_tx *tx, struct ip_route_cache *once, enum udp_count *why)
{
    struct svm_dgram_hdr *h = &r->h;
    struct ip_path path;

    if (ip_addr_is_any(&h->rmt_ip) && be16_get(h->rmt_port) == 0) {
        *why = UDP_C_tx_no_peer;
        if (!udp_is_connected(c))
            return -EDESTADDRREQ;
        h->rmt_ip = c->base.rmt.ip;
        h->rmt_port = c->base.rmt.port;
        tx->cache = &c->cache;
    }
    *why = UDP_C_tx_bad_address;
    if (be16_get(h->rmt_port) == 0 || ip_addr_is_any(&h->rmt_ip))
        return -EINVAL;
    int ret = resolve_device(w, c, r, tx);
    if (ret < 0)
        return ret;
    bool v4 = ip_addr_is_v4(&h->rmt_ip);
    tx->dst = h->rmt_ip;
    tx->src = ip_addr_any(v4);
    if (!ip_addr_is_any(&h->lcl_ip))
        tx->src = h->lcl_ip;
    else if (!ip_addr_is_any(&c->base.lcl.ip) && !ip_addr_is_multicast(&c->base.lcl.ip) && !ip_addr_is_broadcast(&c->base.lcl.ip))
        tx->src = c->base.lcl.ip;
    if (hs_unlikely(c->is_free) && ip_addr_eq(&tx->src, &c->base.lcl.ip) && !ip_is_local_addr(w, c->base.fib, &tx->src)) {
        *why = UDP_C_tx_unreachable;
        return -ENETUNREACH;
    }
    if (ip_addr_is_v4(&tx->src) != v4)
        return -EINVAL;
    if (ip_addr_is_multicast(&tx->dst)) {
        tx->ttl = r->ttl_is_own ? r->ttl : c->mcast_ttl;
        tx->loop = c->mcast_loop;
        tx->stays = tx->ttl == 0;
        if (c->mcast && c->mcast->out && !r->ifindex && ip_addr_is_any(&h->lcl_ip) && ip_addr_is_v4(&c->mcast->out_addr) == v4)
            tx->src = c->mcast->out_addr;
        tx->cache = NULL;
    }
    /* The program may name any source: only an address of ours is one (connected sockets were given theirs). */
    if (!ip_addr_is_any(&h->lcl_ip) && !ip_addr_eq(&h->lcl_ip, &c->base.lcl.ip) && !ip_is_local_addr(w, c->base.fib, &h->lcl_ip))
        return -EADDRNOTAVAIL;
    if (!tx->cache || ip_addr_is_any(&tx->src)) {
        ret = udp_path(w, c, &tx->dev, &tx->src, &tx->dst, &path);
        *why = UDP_C_tx_unreachable;
        if (ret < 0)
            return ret;
        if (ip_addr_is_any(&tx->src))
            tx->src = path.src;
        *why = UDP_C_tx_broadcast;
        if (!c->broadcast && path.ifc && interface_is_broadcast(path.ifc, &tx->dst))
            return -EACCES;
        tx->loop |= path.ifc && interface_is_broadcast(path.ifc, &tx->dst);
        if (!tx->loop)
            *once = path.way;
    }
    struct ip_endpoint lcl = { tx->src, c->base.lcl.port }, rmt = { tx->dst, h->rmt_port };
    *why = UDP_C_tx_denied;
    if (!tx->cache && !session_may_send(w, c->base.session, &lcl, &rmt)) /* a connected socket was asked for at connect */
        return -ECONNREFUSED;
    if (!tx->cache)
        tx->cache = once;
    *why = UDP_C_tx_too_big;
    if (h->data_len > (v4 ? UDP_MAX_V4 : UDP_MAX_V6))
        return -EMSGSIZE;
    *why = UDP_C_tx_bad_address;
    if (r->gso_size && (h->data_len > (uint32_t)r->gso_size * SVM_GSO_SEGMENTS || is_bare(r, tx)))
        return -EINVAL;
    return 0;
}

/* One datagram of len bytes at `off` of the record's data. Pieces: a datagram may be larger than the largest packet. */
static struct pkt *build(struct worker *w, struct udp_conn *c, const struct tx_record *r, const struct ip_tx *tx, uint32_t off, uint32_t len)
{
    uint32_t first = hs_min_u32(len, PKT_BIG_DATA - UDP_HDR_LEN);
    struct pkt *p = pkt_alloc(w->pools, first + UDP_HDR_LEN), *rest = NULL;

    if (!p)
        return NULL;
    if (len > first) {
        rest = pkt_alloc(w->pools, len - first);
        if (!rest) {
            pkt_free(p);
            return NULL;
        }
        session_tx_copy(w, c->base.session, r->h.hdr_len + off + first, pkt_append(rest, (uint16_t)(len - first)), len - first);
    }
    struct udp_hdr *h = (struct udp_hdr *)pkt_append(p, (uint16_t)(UDP_HDR_LEN + first));
    struct pkt_meta *m = pkt_meta(p);
    m->src = tx->src;
    m->dst = tx->dst;
    m->ip_proto = IPPROTO_UDP;
    m->flags = PKT_L4_CSUM_NEEDED;
    m->l4_len = UDP_HDR_LEN;
    *h = (struct udp_hdr){ .src = c->base.lcl.port, .dst = r->h.rmt_port, .len = be16_of((uint16_t)(UDP_HDR_LEN + len)),
                           .csum = pkt_pseudo_sum(m, UDP_HDR_LEN + len) };
    if (hs_unlikely(is_bare(r, tx))) {
        m->flags = 0;
        h->csum = 0;
    }
    session_tx_copy(w, c->base.session, r->h.hdr_len + off, h + 1, first);
    if (rest)
        pkt_chain(p, rest);
    return p;
}

/* 0 or the error for the program. */
static int send_record(struct worker *w, struct udp_conn *c, struct tx_record *r)
{
    /* To IP none is the default one. Where a limit of 0 was said, 1 gets as far: to the hosts of the link (RFC 8200 s3). */
    uint8_t ttl = r->ttl_is_own && r->ttl == 0 ? 1 : r->ttl;
    struct ip_tx tx = { .fib = c->base.fib, .dev = c->base.dev, .ip_proto = IPPROTO_UDP, .tos = r->tos, .ttl = ttl, .pmtu = c->pmtu };
    enum udp_count why = UDP_C_tx_bad_address;
    struct ip_route_cache once = { 0 };
    int ret = resolve(w, c, r, &tx, &once, &why);

    if (ret < 0) {
        udp_count(w, why);
        return ret;
    }
    if (r->gso_size) /* its datagrams never go in fragments (udp(7)) */
        tx.pmtu = IP_PMTU_DO;
    uint32_t off = 0;
    do { /* a datagram of no bytes is a datagram */
        uint32_t len = r->h.data_len - off;
        if (r->gso_size && len > r->gso_size)
            len = r->gso_size;
        struct pkt *p = build(w, c, r, &tx, off, len);
        ret = p ? ip_output(w, p, &tx) : -ENOBUFS;
        if (ret == -ENOBUFS) { /* as a full queue on Linux without IP_RECVERR: lost, nobody is told */
            udp_count(w, UDP_C_tx_no_buffer);
            return 0;
        }
        if (ret < 0) {
            udp_count(w, ret == -EMSGSIZE ? UDP_C_tx_too_big : UDP_C_tx_unreachable);
            return ret;
        }
        udp_count(w, UDP_C_sent);
        c->tx_datagrams++;
        off += len;
    } while (off < r->h.data_len);
    if (hs_unlikely(r->h.flags & SVM_DGRAM_CONFIRM)) /* RFC 4861 s7.3.1: the program's word is a confirmation, too */
        ip_confirm_way(w, tx.cache);
    return 0;
}

/* ip(7) IP_RECVERR: a datagram that its path does not take. */
static void tell_too_big(struct worker *w, struct udp_conn *c, const struct tx_record *r)
{
    struct ip_path path;

    if (ip_path_lookup_by(w, c->base.fib, c->base.dev, &r->h.rmt_ip, &path) < 0)
        return;
    struct transport_error e = { .lcl = c->base.lcl, .rmt = { r->h.rmt_ip, ip_addr_is_v4(&r->h.rmt_ip) ? c->base.rmt.port : r->h.rmt_port },
                                 .err = -EMSGSIZE,
                                 .origin = SO_EE_ORIGIN_LOCAL, .info = path.mtu, .offender = ip_addr_any(ip_addr_is_v4(&r->h.rmt_ip)) };
    udp_deliver_error(w, c, &e);
}

enum transport_tx_verdict udp_tx(struct worker *w, struct transport_conn *b, unsigned budget_bytes)
{
    struct udp_conn *c = udp_of_base(b);
    unsigned used = 0;

    while (used < budget_bytes) {
        struct tx_record r;
        int ret = read_record(w, c, &r);
        if (ret == 0)
            return TRANSPORT_TX_DONE;
        if (ret < 0) {
            struct app_worker *a = b->session->app;
            udp_count(w, UDP_C_violations);
            /* Nothing behind it can be read. The program's side drops the client; without one the bytes go. */
            session_tx_drop(w, b->session, session_tx_avail(w, b->session));
            if (a && !c->closing)
                a->ops->violation(w, a, "malformed datagram record");
            return TRANSPORT_TX_DONE;
        }
        ret = send_record(w, c, &r);
        if (!b->session) /* the error path of a local datagram may have ended the session */
            return TRANSPORT_TX_DONE;
        session_tx_drop(w, b->session, r.total);
        used += r.total;
        if (ret == -EMSGSIZE && !c->closing && c->recverr & (ip_addr_is_v4(&r.h.rmt_ip) ? SVM_RECVERR_V4 : SVM_RECVERR_V6))
            tell_too_big(w, c, &r);
        else if (ret < 0 && !c->closing)
            session_soft_error(w, b->session, ret);
    }
    return TRANSPORT_TX_MORE;
}
