/* tcp_output.c - building and sending single segments: SYN, ACK, data, probes, RST (RFC 9293 s3.1, s3.5) */
#include <errno.h>
#include <openssl/crypto.h>
#include "server/capture/capture.h"
#include "server/tcp/tcp_auth.h"
#include "server/tcp/tcp_sent.h"

enum { TCP_ATTACH_MIN = 16384 };

struct tcp_out {       /* one segment to be built in front of the payload of p */
    struct pkt *p;
    uint32_t seq, ack, len;
    uint16_t wnd;      /* as on the wire */
    uint16_t urgent;   /* the pointer, with TCP_URG */
    uint8_t flags;
    uint8_t opt_len;
    uint8_t opt[TCP_OPT_MAX];
    struct tcp_auth *auth;     /* signs it, as what its connection sends; NULL = nobody */
    struct tcp_conn *auth_conn; /* NULL = of none that is remembered */
    uint32_t from, to;         /* its own place and its peer's, 0 = unknown (tcp_conn.place) */
};

static struct pkt *out_alloc(struct worker *w, uint32_t len)
{
    struct pkt *p = pkt_alloc(w->pools, len ? len : 1);

    if (!p)
        tcp_count(w, TCP_C_tx_no_packet);
    return p;
}

/* Puts the header in front, fills in what IP and the port need, and gives the packet away. */
static int out_send(struct worker *w, struct tcp_out *o, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                    const struct ip_tx *tx, uint16_t gso_size)
{
    uint16_t hdr_len = (uint16_t)(sizeof(struct tcp_hdr) + o->opt_len);
    struct tcp_hdr *h = (struct tcp_hdr *)(void *)pkt_push(o->p, hdr_len);
    struct pkt_meta *m = pkt_meta(o->p);
    int rc;

    h->src_port = lcl->port;
    h->dst_port = rmt->port;
    h->seq = be32_of(o->seq);
    h->ack = be32_of(o->flags & TCP_ACK ? o->ack : 0);
    h->data_off = (uint8_t)(hdr_len << 2);
    h->flags = o->flags;
    h->window = be16_of(o->wnd);
    h->urgent = be16_of(o->urgent);
    memcpy(h + 1, o->opt, o->opt_len);
    m->src = lcl->ip;
    m->dst = rmt->ip;
    m->ip_proto = tx->ip_proto;
    m->l4_len = hdr_len;
    m->l4_total = hdr_len + o->len;
    m->flags |= PKT_L4_CSUM_NEEDED;
    m->from = o->from;
    m->to = o->to;
    m->gso_size = gso_size;
    if (gso_size)
        m->flags |= PKT_GSO;
    if (hs_unlikely(o->auth) && !tcp_auth_sign(w, o->auth, o->auth_conn, o->p, &m->src, &m->dst)) {
        tcp_count(w, TCP_C_tx_failed);
        pkt_free(o->p);
        return -EOPNOTSUPP;
    }
    if (!tx->cache || !ip_cache_is_local(w, tx->cache) || capture_is_on(w))
        h->checksum.raw = pkt_pseudo_sum(m, m->l4_total);
    else
        h->checksum.raw = 0; /* nobody looks at that of what never leaves this stack */
    tcp_count(w, TCP_C_segments_out);
    rc = ip_output(w, o->p, tx);
    if (rc != 0)
        tcp_count(w, TCP_C_tx_failed);
    return rc;
}

static void conn_ip_tx(struct tcp_conn *c, struct ip_tx *tx)
{
    *tx = (struct ip_tx){
        .src = c->base.lcl.ip, .dst = c->base.rmt.ip, .fib = c->base.fib, .dev = c->base.dev, .ip_proto = 6, .tos = c->tos, .ttl = c->ttl,
        .dont_fragment = true, .cache = &c->route,
    };
}

/* Any segment of a connection that carries an ACK pays what is owed. */
static void ack_paid(struct tcp_conn *c)
{
    c->flags &= ~(TCP_F_ACK_DELAYED | TCP_F_ACK_NOW);
    c->last_ack_sent = c->rcv_nxt;
}

/* TCP_QUICKACK lasts until the program answers: its answers carry the ACKs from then on, as on Linux. What it sends first, or in its own
 * time, is none. */
static void quickack_ends(struct worker *w, struct tcp_conn *c)
{
    if (c->rcv_nxt != c->irs + 1 && (uint64_t)(tcp_now_ms(w) - c->data_time_ms) * 1000 < tcp_worker_of(w)->cfg.delack_us)
        c->flags &= ~TCP_F_QUICKACK;
}

static void put_auth(struct tcp_out *o, struct tcp_auth *auth, struct tcp_conn *c)
{
    o->auth = auth;
    o->auth_conn = c;
    o->opt_len = (uint8_t)tcp_auth_put(auth, o->opt, o->opt_len);
}

static int conn_send(struct worker *w, struct tcp_conn *c, struct tcp_out *o, uint16_t gso_size)
{
    struct ip_tx tx;
    uint32_t n;

    conn_ip_tx(c, &tx);
    if (c->lflags & (TCP_LF_ECN | TCP_LF_AUTH)) {
        if ((c->lflags & TCP_LF_ECN) && !(o->flags & (TCP_SYN | TCP_RST)))
            tx.tos |= tcp_ecn_tos(c, o->len && o->seq == c->snd_nxt, &o->flags);
        if (c->lflags & TCP_LF_AUTH)
            put_auth(o, tcp_auth_of_conn(w, c), c);
    }
    if (o->flags & TCP_ACK)
        ack_paid(c);
    if (hs_unlikely(c->flags & (TCP_F_SND_URG | TCP_F_QUICKACK))) {
        if ((c->flags & TCP_F_QUICKACK) && o->len)
            quickack_ends(w, c);
        if ((c->flags & TCP_F_SND_URG) && !(o->flags & (TCP_SYN | TCP_RST))) {
            o->urgent = tcp_urg_pointer(w, c, o->seq);
            o->flags |= o->urgent ? TCP_URG : 0;
        }
    }
    o->from = c->place;
    o->to = c->peer;
    n = tcp_segments_of(o->len, gso_size);
    c->segs_out += n;
    if (o->len)
        c->data_segs_out += n;
    return out_send(w, o, &c->base.lcl, &c->base.rmt, &tx, gso_size);
}

static uint16_t wire_window(struct worker *w, struct tcp_conn *c)
{
    return (uint16_t)(tcp_rcv_window(w, c) >> c->rcv_wscale);
}

/* SYN or SYN,ACK; its window is never scaled (RFC 7323 s2.2). */
int tcp_send_syn(struct worker *w, struct tcp_conn *c)
{
    bool answer = c->state == TCP_S_SYN_RCVD;
    struct tcp_out o = { .seq = c->iss, .ack = c->rcv_nxt, .flags = answer ? TCP_SYN | TCP_ACK : TCP_SYN };

    o.flags |= tcp_ecn_syn_flags(w, c);
    o.opt_len = (uint8_t)tcp_options_build_syn(c, &tcp_worker_of(w)->cfg, tcp_now_ms(w), o.opt);
    if (hs_unlikely(c->flags & TCP_F_GIVE_COOKIE) && TCP_OPT_MAX - o.opt_len >= TCP_OPT_FASTOPEN_LEN)
        o.opt_len = (uint8_t)(o.opt_len + tcp_fastopen_put(w, c, o.opt + o.opt_len));
    if (!answer && hs_unlikely(c->open.step))
        o.len = tcp_fastopen_syn(w, c, o.opt, &o.opt_len);
    o.p = out_alloc(w, o.len);
    if (!o.p)
        return -ENOBUFS;
    if (o.len)
        session_tx_copy(w, c->base.session, 0, pkt_append(o.p, (uint16_t)o.len), o.len);
    o.wnd = (uint16_t)hs_min_u32(tcp_rcv_window(w, c), UINT16_MAX);
    return conn_send(w, c, &o, 0);
}

static int send_empty(struct worker *w, struct tcp_conn *c, uint32_t seq)
{
    struct tcp_out o = { .seq = seq, .ack = c->rcv_nxt, .flags = TCP_ACK };

    o.p = out_alloc(w, 0);
    if (!o.p) { /* still owed: the delay timer tries again */
        c->flags |= TCP_F_ACK_DELAYED;
        tcp_delack_start(w, c);
        return -ENOBUFS;
    }
    o.opt_len = (uint8_t)tcp_options_build(c, tcp_ts_now(w, c), true, o.opt);
    o.wnd = wire_window(w, c);
    return conn_send(w, c, &o, 0);
}

/* SEQ = SND.NXT (RFC 9293 s3.10.7.4), a FIN that waits for its acknowledgement being below it like data. But a peer that has
 * shrunk its window below what is in flight would find that unacceptable and never look at the ACK; when it waits for just
 * this ACK (its program does not read before it can write), nothing would ever move again. So: the end of its window.
 * Less than one unit of its scale is no shrinking, but how windows are told (RFC 7323 s2.4): the peer has all that was sent up to the edge,
 * and what begins below is old to it. Two of us who both fill each other's window would drop each other's ACKs for ever. */
static uint32_t ack_seq(const struct tcp_conn *c)
{
    uint32_t window_end = c->snd_una + c->snd_wnd;

    return seq_lt(window_end, c->snd_nxt) && c->snd_nxt - window_end >= 1u << c->snd_wscale ? window_end : c->snd_nxt;
}

int tcp_send_ack(struct worker *w, struct tcp_conn *c)
{
    uint32_t seq = ack_seq(c);

    if (hs_unlikely(seq != c->snd_nxt) && c->sent) /* it may set TS.Recent: what is sent again may not look older */
        c->sent->rtx_ts_min = tcp_ts_now(w, c);
    return send_empty(w, c, seq);
}

/* Keep-alive (RFC 9293 s3.8.4): SEG.SEQ = SND.NXT - 1 makes any peer answer with an ACK. */
int tcp_send_probe(struct worker *w, struct tcp_conn *c) { return send_empty(w, c, c->snd_una - 1); }

/* Where the payload lies, if the port reads it there; 0: it is copied. A few bytes are as soon copied as attached. What a program changes
 * while it is sent must make a wrong checksum and nothing else: a signature is of bytes that stay, and a capture is of what was sent. */
static int attached(struct worker *w, const struct tcp_conn *c, uint32_t seq, uint32_t len, struct iovec iov[4])
{
    if (len < TCP_ATTACH_MIN || !c->takes_attached || (c->lflags & TCP_LF_AUTH) || capture_is_on(w))
        return 0;
    return session_tx_attach_iov(w, c->base.session, seq - c->data_una, len, iov);
}

/* A packet with len bytes of the FIFO from sequence number seq on. NULL: none left. */
static struct pkt *data_alloc(struct worker *w, struct tcp_conn *c, uint32_t seq, uint32_t len)
{
    struct iovec iov[4];
    int n = attached(w, c, seq, len, iov);
    struct pkt *p = out_alloc(w, n ? 0 : len);

    if (!p)
        return NULL;
    if (n && hs_unlikely(pkt_attach(w->pools, p, iov, n) < 0)) {
        tcp_count(w, TCP_C_tx_no_packet);
        pkt_free(p);
        return NULL;
    }
    if (len && !n)
        session_tx_copy(w, c->base.session, seq - c->data_una, pkt_append(p, (uint16_t)len), len);
    return p;
}

/* len bytes from the FIFO at sequence number seq, as one segment or as a super-frame of mss-sized ones. */
int tcp_send_data(struct worker *w, struct tcp_conn *c, uint32_t seq, uint32_t len, bool fin)
{
    struct tcp_out o = { .seq = seq, .ack = c->rcv_nxt, .len = len, .flags = TCP_ACK };

    o.p = data_alloc(w, c, seq, len);
    if (!o.p)
        return -ENOBUFS;
    if (len && seq_geq(seq + len, c->snd_nxt) && session_tx_avail(w, c->base.session) == seq + len - c->data_una)
        o.flags |= TCP_PSH; /* the last of what the program has written (MUST-61) */
    if (fin)
        o.flags |= TCP_FIN;
    o.opt_len = (uint8_t)tcp_options_build(c, seq_lt(seq, c->snd_nxt) && c->sent ? tcp_rtx_ts(w, c) : tcp_ts_now(w, c), false, o.opt);
    o.wnd = wire_window(w, c);
    c->snd_time_ms = tcp_now_ms(w);
    return conn_send(w, c, &o, len > c->mss ? c->mss : 0);
}

void tcp_send_rst(struct worker *w, struct tcp_conn *c)
{
    struct tcp_out o = { .seq = c->snd_nxt, .ack = c->rcv_nxt, .flags = TCP_RST };

    if (c->state == TCP_S_SYN_SENT || c->state == TCP_S_CLOSED || c->state == TCP_S_FREE || c->state == TCP_S_TIME_WAIT)
        return; /* the peer holds nothing that an RST would end (RFC 9293 s3.10.5) */
    o.flags |= TCP_ACK;
    o.p = out_alloc(w, 0);
    if (!o.p)
        return;
    tcp_count(w, TCP_C_resets_out);
    conn_send(w, c, &o, 0);
}

/* RFC 9293 s3.10.7.1: the answer to a segment for which there is no connection. */
void tcp_send_rst_to(struct worker *w, const struct tcp_seg *seg)
{
    struct tcp_out o = { .flags = TCP_RST };
    struct ip_tx tx = { .src = seg->dst.ip, .dst = seg->src.ip, .fib = seg->fib, .ip_proto = 6, .dont_fragment = true };
    struct tcp_conn *c = NULL;
    struct tcp_auth auth;
    int is_signed;

    if (seg->flags & TCP_RST)
        return;
    is_signed = hs_unlikely(seg->o.sig) ? tcp_auth_of_answer(w, seg, &c, &auth) : 0;
    if (is_signed < 0)
        return;
    if (is_signed)
        put_auth(&o, &auth, c);
    if (seg->flags & TCP_ACK) {
        o.seq = seg->ack;
    } else {
        o.flags |= TCP_ACK;
        o.ack = seg->seq + seg->len + !!(seg->flags & TCP_SYN) + !!(seg->flags & TCP_FIN);
    }
    o.p = out_alloc(w, 0);
    if (o.p) {
        tcp_count(w, TCP_C_resets_out);
        out_send(w, &o, &seg->dst, &seg->src, &tx, 0);
    }
    if (is_signed)
        OPENSSL_cleanse(&auth, sizeof(auth));
}

/* SYN,ACK to a SYN for which nothing is remembered. */
void tcp_send_syn_ack_to(struct worker *w, const struct tcp_seg *seg, const struct tcp_conn *c, uint32_t iss, uint16_t wnd,
                         const uint8_t *opt, unsigned opt_len)
{
    struct tcp_auth *auth = tcp_auth_of_conn(w, c);
    struct tcp_out o = { .seq = iss, .ack = seg->seq + 1, .wnd = wnd, .flags = TCP_SYN | TCP_ACK, .opt_len = (uint8_t)opt_len };
    struct ip_tx tx = { .src = seg->dst.ip, .dst = seg->src.ip, .fib = seg->fib, .dev = c->base.dev, .ip_proto = 6, .tos = c->tos, .ttl = c->ttl,
                        .dont_fragment = true };

    o.p = out_alloc(w, 0);
    if (!o.p)
        return;
    memcpy(o.opt, opt, opt_len);
    if (auth)
        put_auth(&o, auth, NULL);
    out_send(w, &o, &seg->dst, &seg->src, &tx, 0);
}

/* ---- answers that a stranger can cause are limited (RFC 5961 s7) ---- */

enum { TCP_OOW_ACK_MS = 500, TCP_CHALLENGES_A_SECOND = 1000 };

/* Two sides that disagree would answer each other for ever. */
bool tcp_oow_ack_allowed(struct worker *w, struct tcp_conn *c)
{
    uint32_t now = tcp_now_ms(w);

    if (now - c->last_oow_ack_ms < TCP_OOW_ACK_MS)
        return false;
    c->last_oow_ack_ms = now;
    return true;
}

/* The worker's budget is random, so that counting the answers tells nothing about other connections. */
void tcp_send_challenge_ack(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    uint32_t second = (uint32_t)(w->now_us / 1000000);

    if (second != tw->challenge_second) {
        tw->challenge_second = second;
        tw->challenge_left = TCP_CHALLENGES_A_SECOND / 2 + (uint32_t)(worker_random(w) % TCP_CHALLENGES_A_SECOND);
    }
    if (!tcp_oow_ack_allowed(w, c) || tw->challenge_left == 0) {
        tcp_count(w, TCP_C_challenge_limited);
        return;
    }
    tw->challenge_left--;
    tcp_count(w, TCP_C_challenge_acks);
    tcp_send_ack(w, c);
}
