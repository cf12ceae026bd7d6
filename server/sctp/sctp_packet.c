/* sctp_packet.c - packets out: chunks put together, checksum, UDP encapsulation (RFC 6951), to IP */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <netinet/in.h>

enum { ECT0 = 2 };

int sctp_out_begin(struct worker *w, struct sctp_out *o, uint32_t max)
{
    o->w = w;
    o->p = pkt_alloc(w->pools, max);
    if (!o->p) {
        sctp_count(w, SCTP_N_tx_no_buffer);
        return -ENOBUFS;
    }
    o->base = pkt_append(o->p, SCTP_COMMON_LEN);
    o->len = SCTP_COMMON_LEN;
    o->max = max;
    o->is_ect = false;
    o->a = NULL;
    o->auth = NULL;
    return 0;
}

int sctp_out_begin_for(struct sctp_out *o, struct worker *w, struct sctp_assoc *a, uint32_t max)
{
    int rc = sctp_out_begin(w, o, max + sctp_auth_overhead(a));

    o->max = max;
    o->a = a;
    o->key = a->cfg.auth.active;
    return rc;
}

void sctp_out_drop(struct sctp_out *o)
{
    pkt_free(o->p);
    o->p = NULL;
}

uint8_t *sctp_out_chunk(struct sctp_out *o, uint8_t type, uint8_t flags, uint32_t len)
{
    uint32_t whole = sctp_pad(len), auth = sctp_auth_before(o, type);
    uint8_t *b;

    if (o->len + whole > o->max)
        return NULL;
    b = pkt_append(o->p, (uint16_t)(auth + whole));
    if (!b)
        return NULL;
    if (auth)
        sctp_auth_put(o, b);
    b += auth;
    o->max += auth;
    o->len += auth + whole;
    b[0] = type;
    b[1] = flags;
    sctp_put16(b + 2, len);
    memset(b + len, 0, whole - len); /* s3.2: padding is zero */
    return b;
}

static void push_udp(struct pkt *p, uint16_t from, uint16_t port)
{
    uint32_t len = pkt_len(p) + SCTP_UDP_LEN;
    uint8_t *h = pkt_push(p, SCTP_UDP_LEN);
    uint16_t sum;

    sctp_put16(h, from);
    sctp_put16(h + 2, port);
    sctp_put16(h + 4, len);
    sum = pkt_pseudo_sum(pkt_meta(p), len); /* RFC 6951 s5.3: the checksum is on */
    memcpy(h + 6, &sum, 2);
    pkt_meta(p)->flags |= PKT_L4_CSUM_NEEDED;
    pkt_meta(p)->l4_len = SCTP_UDP_LEN;
}

static void finish(struct sctp_out *o, be16 sport, be16 dport, uint32_t tag, struct ip_tx *tx, uint16_t udp_port)
{
    struct worker *w = o->w;
    struct pkt_meta *m = pkt_meta(o->p);

    memcpy(o->base, &sport, 2);
    memcpy(o->base + 2, &dport, 2);
    sctp_put32(o->base + 4, tag);
    if (o->auth)
        sctp_auth_sign(o);
    sctp_put32(o->base + 8, 0);
    m->flags = PKT_L4_CSUM_NEEDED;
    m->src = tx->src;
    m->dst = tx->dst;
    m->ip_proto = tx->ip_proto = IPPROTO_SCTP;
    tx->inside = ip_addr_is_loopback(&tx->dst);
    tx->pmtu = IP_PMTU_WANT; /* DF, but what was cut before the path shrank goes in IP fragments */
    if (udp_port && sctp_worker_of(w)->cfg.udp_port) {
        m->l2_len = m->l3_len = 0;
        pkt_finish_csum(o->p);
        m->ip_proto = tx->ip_proto = IPPROTO_UDP;
        push_udp(o->p, sctp_worker_of(w)->cfg.udp_port, udp_port);
    }
    sctp_count(w, SCTP_N_tx_packets);
    if (ip_output(w, o->p, tx) < 0)
        sctp_count(w, SCTP_N_tx_unreachable);
    o->p = NULL;
}

/* Where packets of the association come from: the address it was begun with or bound to, of the destination's kind; else as the route says. */
static struct ip_addr choose_src(const struct sctp_path *p)
{
    bool v4 = ip_addr_is_v4(&p->ip);

    if (!ip_addr_is_any(&p->src))
        return p->src;
    return ip_addr_any(v4);
}

void sctp_out_send(struct sctp_out *o, struct sctp_assoc *a, struct sctp_path *p)
{
    struct ip_tx tx = { .src = choose_src(p), .dst = p->ip, .fib = a->base.fib, .tos = p->dscp | (o->is_ect ? ECT0 : 0), .ttl = a->cfg.ttl,
                        .cache = p->udp_port ? NULL : &p->cache };

    if (ip_addr_is_any(&tx.src)) { /* the cache is for what has a source; it is found once */
        struct ip_path path;
        if (sctp_route(o->w, a->base.fib, &p->ip, &path) == 0 &&
            sctp_cfg_has_lcl(o->w, &a->cfg, &a->base.lcl.ip, a->base.fib, &path.src))
            p->src = path.src;
        else if (ip_addr_is_v4(&a->lcl_ip) == ip_addr_is_v4(&p->ip))
            p->src = a->lcl_ip;
        else
            for (unsigned i = 0; i < a->cfg.n_lcl; i++)
                if (ip_addr_is_v4(&a->cfg.lcl[i]) == ip_addr_is_v4(&p->ip) && !ip_addr_is_loopback(&a->cfg.lcl[i]))
                    p->src = a->cfg.lcl[i];
        tx.src = p->src;
    }
    a->n_tx_packets++;
    finish(o, a->base.lcl.port, a->base.rmt.port, a->peer_tag, &tx, p->udp_port);
}

void sctp_out_reply(struct sctp_out *o, const struct sctp_in *in, uint32_t tag)
{
    struct ip_tx tx = { .src = in->lcl.ip, .dst = in->rmt.ip, .fib = in->fib };

    finish(o, in->lcl.port, in->rmt.port, tag, &tx, in->udp_port);
}

/* s6.4: to where it came from; s5.4: not to an address that is not confirmed, but for what may go there (and RFC 5061 s5.2). */
static struct sctp_path *reply_path(struct sctp_assoc *a, const struct sctp_in *in, uint8_t type)
{
    if (in->path->state == SCTP_PATH_UNCONFIRMED && type != SCTP_CT_HEARTBEAT_ACK && type != SCTP_CT_ASCONF_ACK)
        return sctp_path_for_data(a);
    return in->path;
}

void sctp_reply(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, uint8_t type, const void *body, uint32_t len)
{
    struct sctp_path *p = reply_path(a, in, type);
    uint32_t max = hs_max_u32(sctp_path_payload(p), SCTP_CHUNK_HDR + sctp_pad(len));
    uint8_t *b = NULL;

    if (!in->reply.p) {
        if (sctp_out_begin_for(&in->reply, w, a, SCTP_COMMON_LEN + max) != 0)
            return;
        in->reply_to = p->ip;
    }
    if (ip_addr_eq(&in->reply_to, &p->ip))
        b = sctp_out_chunk(&in->reply, type, 0, SCTP_CHUNK_HDR + len);
    if (!b) {
        sctp_count(w, SCTP_N_drop_answers);
        return;
    }
    if (len)
        memcpy(b + SCTP_CHUNK_HDR, body, len);
    a->n_tx_ctl++;
}

void sctp_reply_flush(struct worker *w, struct sctp_assoc *a, struct sctp_in *in)
{
    struct sctp_path *p = a && in->reply.p ? sctp_path_of(a, &in->reply_to) : NULL;

    if (!in->reply.p)
        return;
    if (!p || in->reply.len == SCTP_COMMON_LEN || sctp_has_chunk(in, SCTP_CT_ABORT)) { /* s9.1: never to a packet with an ABORT */
        sctp_out_drop(&in->reply);
    } else {
        sctp_shutdown_ack_with(w, a, &in->reply, p); /* s12.5: one packet of answers */
        sctp_out_send(&in->reply, a, p);
    }
    in->reply.p = NULL;
}

/* A chunk alone in a packet: control chunks that need not wait. */
int sctp_send_chunk(struct worker *w, struct sctp_assoc *a, struct sctp_path *p, uint8_t type, uint8_t flags, const void *body, uint32_t len)
{
    struct sctp_out o;
    uint8_t *b;

    if (sctp_out_begin_for(&o, w, a, SCTP_COMMON_LEN + SCTP_CHUNK_HDR + sctp_pad(len)) != 0)
        return -ENOBUFS;
    b = sctp_out_chunk(&o, type, flags, SCTP_CHUNK_HDR + len);
    if (!b) {
        sctp_out_drop(&o);
        return -ENOBUFS;
    }
    if (len)
        memcpy(b + SCTP_CHUNK_HDR, body, len);
    a->n_tx_ctl++;
    sctp_out_send(&o, a, p);
    return 0;
}
