/* udp_input.c - datagrams from the network: checked, and whose they are (RFC 768, RFC 1122 s4.1.3, RFC 6936) */
#include "server/udp/udp_internal.h"

#include "server/icmp/icmp.h"
#include "server/ip/interface.h"

/* Checks the header; p ends where the datagram ends. UDP_C_MAX = good. */
static enum udp_count udp_check(struct pkt *p, struct udp_hdr *h)
{
    const struct pkt_meta *m = pkt_meta(p);

    if (pkt_pullup(p, UDP_HDR_LEN) < 0)
        return UDP_C_drop_short;
    memcpy(h, pkt_data(p), sizeof(*h));
    uint16_t len = be16_get(h->len);
    if (len < UDP_HDR_LEN || len > pkt_len(p) || be16_get(h->dst) == 0)
        return UDP_C_drop_short;
    pkt_trim(p, len); /* IP may carry more than UDP says */
    if (h->csum != 0 && !(m->flags & PKT_L4_CSUM_GOOD) && pkt_l4_checksum(p) != 0)
        return UDP_C_drop_checksum;
    return UDP_C_MAX;
}

/* RFC 8200 s8.1: IPv6 forbids what RFC 768 allows, but for sockets that ask for it (RFC 6936 s4). */
static bool is_without_checksum6(struct pkt *p, const struct udp_hdr *h) { return h->csum == 0 && !ip_addr_is_v4(&pkt_meta(p)->dst); }
static bool takes_without_checksum6(const struct session *s) { return s && s->conn && udp_of_base(s->conn)->no_check6_rx; }

/* Connected sockets first, then the best bound one. */
static struct session *find_session(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint32_t from)
{
    struct transport_conn *b = session_lookup(w, SVM_PROTO_UDP, lcl, rmt, from);

    if (b)
        return b->session;
    struct listener *l = session_lookup_listener(w, SVM_PROTO_UDP, lcl, rmt, from);
    struct session *s = l ? listener_session(l) : NULL;
    /* A bound socket that was connected since hears only its peer, who was looked up above. */
    if (s && s->conn && udp_is_connected(udp_of_base(s->conn)))
        return NULL;
    return s;
}

/* Several workers: the datagram is for the best socket of all of them. True: this worker has it, *s. False: p was given to the next
 * candidate, or *s is NULL and p still ours: nobody has a socket for it. Claims change while it travels; then it may miss one. */
static bool find_on_workers(struct worker *w, struct pkt *p, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                            struct session **s)
{
    struct worker_udp_candidate candidate[WORKER_UDP_CANDIDATES];
    struct pkt_meta *m = pkt_meta(p);
    unsigned n = worker_rss_udp_candidates(w->stack, rmt, lcl, candidate);

    *s = find_session(w, lcl, rmt, interface_from(m));
    for (; m->udp_asked < n; m->udp_asked++) {
        const struct worker_udp_candidate *c = &candidate[m->udp_asked];
        if (c->worker == w->index) {
            if (*s && (!(*s)->conn || udp_kind(udp_of_base((*s)->conn)) == c->kind))
                return true;
        } else if (ip_pass_on(w, c->worker, p)) {
            return false;
        }
    }
    return true;
}

/* RFC 6951: a packet of another transport is inside. That one's worker is worker 0. */
static void input_encapsulated(struct worker *w, struct pkt *p, be16 rmt_port)
{
    const struct transport_ops *ops = w->stack->udp_encap.ops;

    if (w->index != 0) {
        if (!ip_pass_on(w, 0, p))
            pkt_free(p);
        return;
    }
    udp_count(w, UDP_C_encapsulated);
    pkt_pull(p, UDP_HDR_LEN);
    ops->input_in_udp(w, p, rmt_port);
}

static void drop(struct worker *w, struct pkt *p, enum udp_count why)
{
    udp_drop(w, p, why);
    pkt_free(p);
}

void udp_input(struct worker *w, struct pkt **pkts, unsigned n)
{
    struct udp_gro gro;

    gro.s = NULL;
    for (unsigned i = 0; i < n; i++) {
        struct pkt *p = pkts[i];
        struct pkt_meta *m = pkt_meta(p);
        struct udp_hdr h;
        enum udp_count bad = udp_check(p, &h);

        if (i + 1 < n)
            __builtin_prefetch(pkt_data(pkts[i + 1]));
        if (bad != UDP_C_MAX) {
            drop(w, p, bad);
            continue;
        }
        bool is_bare = is_without_checksum6(p, &h);
        if (hs_unlikely(h.dst.raw == w->stack->udp_encap.port.raw)) { /* never 0: looked at by udp_check() */
            if (is_bare) /* no socket that could have asked for it */
                drop(w, p, UDP_C_drop_no_checksum);
            else
                input_encapsulated(w, p, h.src);
            continue;
        }
        struct ip_endpoint lcl = { m->dst, h.dst }, rmt = { m->src, h.src };
        struct session *s = NULL;
        if (hs_unlikely(m->flags & PKT_BCAST)) { /* RFC 1122 s4.1.3.5: to all that want it; nobody is told when none does */
            if (udp_mcast_deliver(w, p, &lcl, &rmt, is_bare) == 0 && !(m->flags & PKT_CLONED))
                udp_drop(w, p, is_bare ? UDP_C_drop_no_checksum : UDP_C_drop_no_port);
            pkt_free(p);
            continue;
        }
        if (hs_likely(w->stack->n_workers == 1))
            s = find_session(w, &lcl, &rmt, interface_from(m));
        else if (!find_on_workers(w, p, &lcl, &rmt, &s))
            continue;
        if (hs_unlikely(is_bare && !takes_without_checksum6(s))) { /* never ICMP: the port may be what was damaged */
            drop(w, p, UDP_C_drop_no_checksum);
            continue;
        }
        if (hs_unlikely(gro.s || (s && udp_wants_gro(s)))) {
            if (!s || s != gro.s)
                udp_gro_flush(w, &gro);
            if (s && udp_wants_gro(s)) {
                udp_gro_add(w, &gro, s, p, &lcl, &rmt);
                continue;
            }
        }
        if (s) {
            udp_deliver(w, s, p, &lcl, &rmt);
        } else {
            udp_drop(w, p, UDP_C_drop_no_port);
            icmp_unreachable_send(w, p, ICMP_UNREACH_PORT); /* RFC 1122 s4.1.3.1; nothing for broadcasts */
        }
        pkt_free(p);
    }
    udp_gro_flush(w, &gro);
}
