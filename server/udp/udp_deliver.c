/* udp_deliver.c - datagrams and errors about them into the receive FIFO, as records of svm_proto.h */
#include "server/udp/udp_internal.h"

#include <errno.h>
#include <time.h> /* for the next */
#include <linux/errqueue.h>

#include "common/clock.h"
#include "server/capture/capture.h"
#include "server/ip/interface.h"
#include "svm/svm_dgram.h"

enum {
    RX_MAX_PIECES = 8,
    /* A FIFO links one further ring until the first is read to its end, and a burst does not wait for that: it holds as much as
     * Linux's rmem_default. */
    RX_RING_FLOOR = 256 << 10,
};

static const char *const udp_texts[] = {
#define COUNT(name, text) text,
#include "server/udp/udp_drops.def"
#undef COUNT
};

void udp_drop(struct worker *w, struct pkt *p, enum udp_count why)
{
    udp_count(w, why);
    if (capture_is_on(w))
        capture_drop(w, p, "udp", udp_texts[why]);
}

/* socket(7) SO_TIMESTAMP: the time of day; the worker's own clock only counts. */
static void put_stamp(struct svm_dgram_rec *r)
{
    int64_t ns = (int64_t)clock_wall_ns();

    svm_dgram_put(r, SVM_TLV_STAMP, &ns, sizeof(ns));
}

/* ip(7) IP_PKTINFO. To a group or to all: what is answered comes from the interface's address. */
static void put_device(struct svm_dgram_rec *r, struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);
    struct svm_dgram_device d = { .index = m->ifc ? m->ifc->ifindex : SVM_DEVICE_LO };
    const struct ip_addr *own = m->ifc && m->flags & PKT_BCAST ? interface_select_source(m->ifc, &m->src, &m->src) : NULL;

    if (own && ip_addr_is_v4(own))
        d.own = ip_addr_get_v4(own);
    svm_dgram_put(r, SVM_TLV_DEVICE, &d, sizeof(d));
}

/* Linux knows it of IPv6 datagrams that came before somebody asked, too. */
static int32_t ifindex6(struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);

    return ip_addr_is_v4(&m->dst) ? 0 : m->ifc ? m->ifc->ifindex : SVM_DEVICE_LO;
}

/* What the program has asked to be told of it. */
static void put_told(const struct udp_conn *c, struct svm_dgram_rec *r, struct pkt *p)
{
    if (c->rx_tell & SVM_RX_STAMP)
        put_stamp(r);
    if (c->rx_tell & SVM_RX_DEVICE)
        put_device(r, p);
    if (c->rx_tell & SVM_RX_DROPS && c->rx_full) {
        uint32_t drops = (uint32_t)c->rx_full;
        svm_dgram_put(r, SVM_TLV_DROPS, &drops, sizeof(drops));
    }
}

static void record_init(struct svm_dgram_rec *r, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint32_t len,
                        uint8_t ttl, uint8_t tos)
{
    r->h = (struct svm_dgram_hdr){ .data_len = len, .hdr_len = sizeof(r->h), .version = 1, .lcl_ip = lcl->ip, .rmt_ip = rmt->ip,
                                   .lcl_port = lcl->port, .rmt_port = rmt->port };
    svm_dgram_put(r, SVM_TLV_TTL, &ttl, sizeof(ttl));
    if (tos) /* absent means zero */
        svm_dgram_put(r, SVM_TLV_TOS, &tos, sizeof(tos));
}

/* iov: room for two more than the n pieces of data. */
static int record_put(struct worker *w, struct session *s, const struct svm_dgram_rec *r, struct iovec *iov, int n)
{
    static const uint8_t zeros[8];
    uint32_t len = r->h.data_len;

    iov[0] = (struct iovec){ (void *)(uintptr_t)r, r->h.hdr_len };
    n++;
    if (len % 8)
        iov[n++] = (struct iovec){ (void *)(uintptr_t)zeros, 8 - len % 8 };
    if (hs_likely(s->has_fifos))
        svm_fifo_prod_set_floor(&s->fifos->rx, RX_RING_FLOOR);
    return session_rx_enqueue_record(w, s, iov, n);
}

void udp_deliver(struct worker *w, struct session *s, struct pkt *p, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    struct svm_dgram_rec r;
    struct iovec iov[RX_MAX_PIECES + 2];
    uint32_t len = pkt_len(p) - UDP_HDR_LEN;
    struct udp_conn *c = s->conn ? udp_of_base(s->conn) : NULL;

    record_init(&r, lcl, rmt, len, pkt_meta(p)->ttl, pkt_meta(p)->tos);
    r.h.ifindex = ifindex6(p);
    if (hs_unlikely(c && c->rx_tell))
        put_told(c, &r, p);
    int n = pkt_iov(p, UDP_HDR_LEN, iov + 1, RX_MAX_PIECES);
    if (n < 0) {
        uint8_t *flat = udp_worker_of(w)->scratch;
        pkt_copy_out(p, UDP_HDR_LEN, flat, len);
        iov[1] = (struct iovec){ flat, len };
        n = 1;
    }
    if (record_put(w, s, &r, iov, n) < 0) {
        udp_drop(w, p, UDP_C_drop_full);
        if (c)
            c->rx_full++;
        return;
    }
    udp_count(w, UDP_C_received);
    if (capture_is_on(w))
        capture_stop_at(w, p, "udp", "delivered to the socket at port %u", be16_get(lcl->port));
    if (c)
        c->rx_datagrams++;
}

/* ---- several in one (udp(7) UDP_GRO) ---- */

static bool is_like(const struct udp_gro *g, struct pkt *p, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint32_t len)
{
    const struct pkt_meta *a = pkt_meta(g->pkt[0]), *b = pkt_meta(p);

    return len && len <= g->size && g->bytes % g->size == 0 && g->n < UDP_GRO_MAX && g->bytes + len <= SVM_GSO_BYTES &&
           a->ttl == b->ttl && a->tos == b->tos && a->ifc == b->ifc && g->rmt.port.raw == rmt->port.raw && ip_addr_eq(&g->rmt.ip, &rmt->ip) &&
           g->lcl.port.raw == lcl->port.raw && ip_addr_eq(&g->lcl.ip, &lcl->ip);
}

void udp_gro_flush(struct worker *w, struct udp_gro *g)
{
    struct svm_dgram_rec r;
    struct iovec iov[UDP_GRO_MAX + 2];
    struct session *s = g->s;

    if (!s)
        return;
    g->s = NULL;
    if (g->n == 1) {
        udp_deliver(w, s, g->pkt[0], &g->lcl, &g->rmt);
        pkt_free(g->pkt[0]);
        return;
    }
    struct udp_conn *c = s->conn ? udp_of_base(s->conn) : NULL;
    uint16_t size = (uint16_t)g->size;
    record_init(&r, &g->lcl, &g->rmt, g->bytes, pkt_meta(g->pkt[0])->ttl, pkt_meta(g->pkt[0])->tos);
    svm_dgram_put(&r, SVM_TLV_GSO_SIZE, &size, sizeof(size));
    r.h.ifindex = ifindex6(g->pkt[0]);
    if (c && c->rx_tell)
        put_told(c, &r, g->pkt[0]);
    for (unsigned i = 0; i < g->n; i++)
        iov[1 + i] = (struct iovec){ pkt_data(g->pkt[i]) + UDP_HDR_LEN, pkt_len(g->pkt[i]) - UDP_HDR_LEN };
    bool is_full = record_put(w, s, &r, iov, (int)g->n) < 0;
    for (unsigned i = 0; i < g->n; i++) {
        if (is_full)
            udp_drop(w, g->pkt[i], UDP_C_drop_full);
        else
            udp_count(w, UDP_C_received);
        pkt_free(g->pkt[i]);
    }
    if (c)
        *(is_full ? &c->rx_full : &c->rx_datagrams) += g->n;
}

void udp_gro_add(struct worker *w, struct udp_gro *g, struct session *s, struct pkt *p, const struct ip_endpoint *lcl,
                 const struct ip_endpoint *rmt)
{
    uint32_t len = pkt_len(p) - UDP_HDR_LEN;
    bool is_whole = pkt_first_len(p) == pkt_len(p) && len;

    if (g->s && !(is_whole && is_like(g, p, lcl, rmt, len)))
        udp_gro_flush(w, g);
    if (!is_whole) { /* in pieces, or of no bytes */
        udp_deliver(w, s, p, lcl, rmt);
        pkt_free(p);
        return;
    }
    if (!g->s) {
        g->s = s;
        g->lcl = *lcl;
        g->rmt = *rmt;
        g->size = len;
        g->n = 0;
        g->bytes = 0;
    }
    g->pkt[g->n++] = p;
    g->bytes += len;
}

/* ip(7) IP_RECVERR: what the program's recvmsg(MSG_ERRQUEUE) shows. A full FIFO loses the record, as a full receive buffer does on
 * Linux; the error itself is told in any case. */
void udp_deliver_error(struct worker *w, struct udp_conn *c, const struct transport_error *e)
{
    struct svm_dgram_error te = { .error = -e->err, .origin = e->origin, .type = e->type, .code = e->code, .info = e->info,
                                  .offender = e->offender };
    struct session *s = c->base.session;
    struct svm_dgram_rec r;
    struct iovec iov[3];
    uint32_t len = e->l4_len > UDP_HDR_LEN ? e->l4_len - UDP_HDR_LEN : 0;

    record_init(&r, &e->lcl, &e->rmt, len, e->ttl, e->tos);
    r.h.flags = SVM_DGRAM_ERROR;
    svm_dgram_put(&r, SVM_TLV_ERROR, &te, sizeof(te));
    if (c->rx_tell & SVM_RX_STAMP)
        put_stamp(&r);
    iov[1] = (struct iovec){ (void *)(uintptr_t)(e->l4 + UDP_HDR_LEN), len };
    bool is_full = record_put(w, s, &r, iov, 1) < 0;
    if (is_full)
        udp_count(w, UDP_C_drop_error_full);
    session_soft_error(w, s, is_full || e->origin == SO_EE_ORIGIN_LOCAL ? e->err : 0);
}
