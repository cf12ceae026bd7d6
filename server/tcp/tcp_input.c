/* tcp_input.c - a segment arrives: checks, lookup, and the numbered steps of RFC 9293 s3.10.7 */
#include <errno.h>
#include "server/capture/capture.h"
#include "server/ip/interface.h"
#include "server/tcp/tcp_idle.h"
#include "server/tcp/tcp_wait.h"

enum { TCP_TS_RECENT_MAX_AGE = (24ll * 24 * 3600 * 1000000) >> TCP_COARSE_SHIFT }; /* RFC 7323 s5.5: 24 days */

/* ---- reading the header ---- */

static bool seg_drop(struct worker *w, enum tcp_counter why)
{
    tcp_count(w, why);
    return false;
}

static bool addresses_ok(const struct pkt_meta *m)
{
    return !ip_addr_is_multicast(&m->src) && !ip_addr_is_broadcast(&m->src) && !ip_addr_is_any(&m->src);
}

static bool seg_parse(struct worker *w, struct pkt *p, struct tcp_seg *seg)
{
    struct pkt_meta *m = pkt_meta(p);
    bool is_ours = m->flags & PKT_LOCAL; /* connect() and bind() have looked at its addresses */
    const struct tcp_hdr *h;
    unsigned hdr_len;

    if (pkt_len(p) < sizeof(*h) || pkt_pullup(p, sizeof(*h)) != 0)
        return seg_drop(w, TCP_C_runt);
    h = (const struct tcp_hdr *)(const void *)pkt_data(p);
    hdr_len = tcp_hdr_len(h);
    if (hdr_len < sizeof(*h) || hdr_len > pkt_len(p) || pkt_pullup(p, hdr_len) != 0)
        return seg_drop(w, TCP_C_runt);
    if ((m->flags & PKT_BCAST) || (!is_ours && (ip_addr_is_multicast(&m->dst) || ip_addr_is_broadcast(&m->dst))))
        return seg_drop(w, TCP_C_bcast); /* MUST-57 */
    if (!(m->flags & PKT_L4_CSUM_GOOD) && pkt_l4_checksum(p) != 0)
        return seg_drop(w, TCP_C_bad_checksum); /* MUST-3 */
    h = (const struct tcp_hdr *)(const void *)pkt_data(p);
    if ((!is_ours && !addresses_ok(m)) || h->src_port.raw == 0 || h->dst_port.raw == 0)
        return seg_drop(w, TCP_C_bad_source); /* MUST-63 */
    if (tcp_options_parse((const uint8_t *)(h + 1), hdr_len - (unsigned)sizeof(*h), &seg->o) != 0)
        return seg_drop(w, TCP_C_bad_options);
    seg->p = p;
    seg->src = (struct ip_endpoint){ m->src, h->src_port };
    seg->dst = (struct ip_endpoint){ m->dst, h->dst_port };
    seg->fib = m->ifc ? m->ifc->fib : 0;
    seg->seq = be32_get(h->seq);
    seg->ack = be32_get(h->ack);
    seg->wnd = be16_get(h->window);
    seg->flags = h->flags;
    seg->off = hdr_len;
    seg->len = pkt_len(p) - hdr_len;
    seg->had_data = seg->len != 0;
    return true;
}

/* Established: what is there to send already? The first bytes that come later make an event, as each FIFO is armed at first. */
static void tx_begin(struct worker *w, struct tcp_conn *c)
{
    struct session *s = c->base.session;

    if (s && ((c->flags & (TCP_F_FIN_QUEUED | TCP_F_WANT_SPACE)) || session_tx_avail(w, s)))
        tcp_tx_request(w, c);
    else
        c->has_sent_all = true;
}

/* ---- SYN-SENT (s3.10.7.3) ---- */

static void syn_sent_accepted(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    c->irs = seg->seq;
    c->rcv_nxt = seg->seq + 1;
    c->rcv_adv += c->rcv_nxt; /* the promise of our SYN counted from 0, now it has a base */
    c->last_ack_sent = c->rcv_nxt;
    tcp_apply_syn_options(w, c, seg);
    if (hs_unlikely(c->open.step))
        tcp_fastopen_answered(w, c, seg);
    memset(&c->open, 0, sizeof(c->open)); /* its place is the congestion control's from now on */
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    c->snd_wnd = c->snd_max_wnd = seg->wnd; /* not scaled in a SYN */
}

static void input_syn_sent(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    bool ack_ok = false;

    if (seg->flags & TCP_ACK) { /* first */
        if (seq_leq(seg->ack, c->iss) || seq_gt(seg->ack, c->snd_nxt)) {
            tcp_count(w, TCP_C_bad_ack);
            tcp_send_rst_to(w, seg);
            return;
        }
        ack_ok = true;
    }
    if (seg->flags & TCP_RST) { /* second: only with an acceptable ACK (RFC 5961 s3.2 leaves it so) */
        if (ack_ok) {
            tcp_count(w, TCP_C_resets_in);
            tcp_conn_abort(w, c, -ECONNREFUSED, false);
        } else {
            tcp_count(w, TCP_C_rst_out_of_window);
        }
        return;
    }
    if (!(seg->flags & TCP_SYN)) { /* fifth */
        tcp_count(w, TCP_C_syn_sent_bad);
        return;
    }
    syn_sent_accepted(w, c, seg); /* fourth */
    if (!ack_ok) { /* simultaneous open (MUST-10) */
        tcp_set_state(w, c, TCP_S_SYN_RCVD);
        tcp_send_syn(w, c);
        tcp_rexmt_start(w, c, TCP_REXMT_RTO, tcp_backoff_us(c, &tcp_worker_of(w)->cfg));
        return;
    }
    tcp_rtt_of_handshake(w, c);
    c->snd_una = c->data_una = seg->ack;
    tcp_conn_established(w, c);
    tcp_count(w, TCP_C_active_opens);
    session_connected(w, c->base.session, 0);
    if (c->flags & TCP_F_FIN_QUEUED)
        tcp_set_state(w, c, TCP_S_FIN_WAIT_1);
    if (seg->len || (seg->flags & TCP_FIN)) { /* text in the SYN,ACK: sixth to eighth step */
        seg->seq++;
        seg->flags &= (uint8_t)~TCP_SYN;
        if (tcp_rcv_trim(w, c, seg))
            tcp_rcv_text(w, c, seg);
    }
    tcp_rcv_ack_now(w, c);
    tx_begin(w, c);
}

/* ---- synchronized states (s3.10.7.4) ---- */

/* PAWS (RFC 7323 s5.3 R1). RSTs are exempt. False: dropped.
 * TS.Recent is that of a retransmission when one has filled a hole, and what was sent shortly before it, and overtaken on the way, is older.
 * Dropped, it would be a loss that the sender takes for congestion, and mends by the next such retransmission. PAWS is about sequence
 * numbers that have gone round since: not what is as new as c->ts_floor (tcp_rcv.c). */
static bool paws_ok(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    if (!(c->flags & TCP_F_TS) || (seg->flags & TCP_RST))
        return true;
    if (!seg->o.has_ts) { /* s3.2: SHOULD silently drop */
        tcp_count(w, TCP_C_no_timestamp);
        return false;
    }
    if (!(c->flags & TCP_F_TS_RECENT) || !seq_lt(seg->o.tsval, c->ts_recent))
        return true;
    if (tcp_now_coarse(w) - c->ts_recent_at > TCP_TS_RECENT_MAX_AGE) {
        c->flags &= ~TCP_F_TS_RECENT;
        return true;
    }
    if ((seg->len || (seg->flags & TCP_FIN)) && !seq_lt(seg->o.tsval, c->ts_floor))
        return true;
    tcp_count(w, TCP_C_paws);
    if (seg->len)
        tcp_rcv_ack_now(w, c);
    else if (tcp_oow_ack_allowed(w, c))
        tcp_send_ack(w, c);
    return false;
}

/* RFC 7323 s4.3 (2): only from the segment that Last.ACK.sent lies in, and not from one that was overtaken. */
static void ts_recent_update(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    if (!(c->flags & TCP_F_TS) || !seg->o.has_ts || seq_gt(seg->seq, c->last_ack_sent))
        return;
    if (hs_unlikely(seq_lt(seg->o.tsval, c->ts_recent) && (c->flags & TCP_F_TS_RECENT)))
        return;
    if (hs_unlikely(!(c->flags & TCP_F_TS_RECENT)))
        c->ts_floor = seg->o.tsval;
    c->ts_recent = seg->o.tsval;
    c->ts_recent_at = tcp_now_coarse(w);
    c->flags |= TCP_F_TS_RECENT;
}

/* First: the sequence number. True: go on. */
static bool step1_sequence(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    if (tcp_rcv_trim(w, c, seg))
        return true;
    if (seg->flags & TCP_RST) {
        tcp_count(w, TCP_C_rst_out_of_window);
        return false;
    }
    tcp_count(w, TCP_C_out_of_window);
    if (c->state == TCP_S_SYN_RCVD && (seg->flags & TCP_SYN) && seg->seq == c->irs) { /* our SYN,ACK was lost */
        if (tcp_oow_ack_allowed(w, c))
            tcp_send_syn(w, c);
        return false;
    }
    if (seg->flags & TCP_SYN) /* RFC 5961 s4: whatever its sequence number */
        tcp_send_challenge_ack(w, c);
    else if (seg->had_data || (seg->flags & TCP_FIN))
        tcp_rcv_ack_now(w, c);
    else if (tcp_oow_ack_allowed(w, c))
        tcp_send_ack(w, c);
    return false;
}

/* Second: RST, by RFC 5961 s3.2 exactly at RCV.NXT. The connection may be gone afterwards. */
static void step2_reset(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    int error = -ECONNRESET;

    if (seg->seq != c->rcv_nxt) {
        tcp_count(w, TCP_C_rst_challenged);
        tcp_send_challenge_ack(w, c);
        return;
    }
    tcp_count(w, TCP_C_resets_in);
    if (c->state == TCP_S_SYN_RCVD && !(c->flags & TCP_F_FASTOPEN))
        error = -ECONNREFUSED;
    else if (c->state == TCP_S_SYN_RCVD)
        tcp_fastopen_reset(w);
    else if (c->state == TCP_S_CLOSE_WAIT)
        error = -EPIPE; /* as Linux: the peer's bytes were all delivered */
    tcp_conn_abort(w, c, error, false);
}

/* TCP_DEFER_ACCEPT: the handshake is not over for the program until bytes come, or its time is up. The SYN,ACK is then sent once
 * more, so that the peer answers even when it has nothing to say. */
static bool is_deferred(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    uint64_t age_us = (uint64_t)(tcp_now_ms(w) - c->snd_time_ms) * 1000, defer_us; /* since its SYN */
    int32_t defer_s;

    if (seg->had_data || (seg->flags & TCP_FIN) || listener_attr(c->half.listener, SVM_ATTR_DEFER_ACCEPT, &defer_s) != 0)
        return false;
    defer_us = (uint64_t)defer_s * 1000000;
    if (age_us >= defer_us)
        return false;
    tcp_count(w, TCP_C_accept_deferred);
    if (c->rexmt_mode == TCP_REXMT_RTO) /* not for a cookie's: that one is forgotten again */
        tcp_rexmt_start(w, c, TCP_REXMT_RTO, (uint32_t)hs_min_u64(defer_us - age_us, 1u << 31));
    return true;
}

/* Fifth in SYN-RCVD: the ACK of our SYN,ACK. False: the segment is done with, the connection perhaps too. */
static bool step5_syn_rcvd(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    if (seq_leq(seg->ack, c->iss) || seq_gt(seg->ack, c->snd_nxt)) {
        if (tcp_half_open_cookie(w, c, seg))
            return false;
        tcp_count(w, TCP_C_bad_ack);
        tcp_send_rst_to(w, seg);
        return false;
    }
    if (hs_unlikely(c->flags & TCP_F_FASTOPEN)) {
        tcp_fastopen_done(w, c, seg);
        return true;
    }
    if (c->flags & TCP_F_PASSIVE) {
        if (is_deferred(w, c, seg))
            return false;
        int rc = session_accept(w, c->half.listener, &c->base);

        if (rc == -ECONNREFUSED) {
            tcp_count(w, TCP_C_no_socket);
            tcp_conn_abort(w, c, rc, true);
            return false;
        }
        if (rc != 0) { /* the peer's retransmission or ours brings it here again */
            tcp_count(w, TCP_C_accept_full);
            return false;
        }
        tcp_half_open_del(w, c);
        c->rcv_adv = c->rcv_nxt + hs_min_u32(c->rcv_adv - c->rcv_nxt, session_rx_window(w, c->base.session));
        tcp_count(w, TCP_C_passive_opens);
    }
    tcp_rtt_of_handshake(w, c);
    c->snd_una = c->data_una = c->iss + 1;
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    c->snd_wnd = (uint32_t)seg->wnd << c->snd_wscale;
    c->snd_max_wnd = hs_max_u32(c->snd_max_wnd, c->snd_wnd);
    tcp_conn_established(w, c);
    if (c->base.session)
        tcp_rcv_window(w, c); /* from now on by the FIFO */
    if (!(c->flags & TCP_F_PASSIVE)) {
        tcp_count(w, TCP_C_active_opens);
        if (!(c->flags & TCP_F_CLOSED))
            session_connected(w, c->base.session, 0);
    }
    if (c->flags & TCP_F_FIN_QUEUED)
        tcp_set_state(w, c, TCP_S_FIN_WAIT_1);
    tx_begin(w, c);
    return true;
}

/* Fifth, once our FIN is acknowledged. False: the connection is gone. */
static bool step5_fin_acked(struct worker *w, struct tcp_conn *c)
{
    if (!(c->flags & TCP_F_FIN_SENT) || c->snd_una != c->fin_seq + 1)
        return true;
    switch (c->state) {
    case TCP_S_FIN_WAIT_1:
        tcp_set_state(w, c, TCP_S_FIN_WAIT_2);
        tcp_conn_release_session(w, c);
        if (c->flags & TCP_F_CLOSED)
            tcp_misc_start(w, c, c->linger2_s > 0 ? (uint64_t)c->linger2_s * 1000000 : tcp_worker_of(w)->cfg.fin_wait2_us);
        return true;
    case TCP_S_CLOSING:
        tcp_timewait_enter(w, c);
        return true;
    case TCP_S_LAST_ACK:
        tcp_conn_done(w, c);
        return false;
    default:
        return true;
    }
}

/* Data for a program that has closed: it is lost, and the peer must know (RFC 9293 s3.6 SHLD-3, RFC 2525 s2.17). */
static bool data_after_close(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    if (!(c->flags & TCP_F_CLOSED) || !seg->len || !tcp_can_receive(c))
        return false;
    tcp_count(w, TCP_C_after_close);
    c->rcv_nxt = seg->seq + seg->len;
    tcp_conn_abort(w, c, -ECONNRESET, true);
    return true;
}

void tcp_input_synchronized(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    bool had_fin;

    if (!paws_ok(w, c, seg))
        return;
    if (c->state == TCP_S_SYN_RCVD && (seg->flags & TCP_SYN) && (seg->flags & TCP_ACK) && seg->seq == c->irs &&
        !(c->flags & TCP_F_PASSIVE)) { /* simultaneous open: the peer's SYN,ACK repeats its SYN (s3.5 figure 7) */
        seg->seq++;
        seg->flags &= (uint8_t)~TCP_SYN;
        tcp_rcv_ack_now(w, c);
    }
    if (!step1_sequence(w, c, seg))
        return;
    if (seg->flags & TCP_RST) {
        step2_reset(w, c, seg);
        return;
    }
    if (seg->flags & TCP_SYN) { /* fourth, by RFC 5961 s4.2 */
        tcp_count(w, TCP_C_syn_challenged);
        tcp_send_challenge_ack(w, c);
        return;
    }
    if (!(seg->flags & TCP_ACK)) {
        tcp_count(w, TCP_C_no_ack_flag);
        return;
    }
    ts_recent_update(w, c, seg);
    if (hs_unlikely(seg->o.has_uto))
        tcp_user_timeout_input(w, c, seg->o.uto_s);
    c->rcv_time_ms = tcp_now_ms(w);
    c->keep_probes = 0;
    if (c->lflags & TCP_LF_ECN)
        tcp_ecn_received(w, c, seg);
    if (c->state == TCP_S_SYN_RCVD && !step5_syn_rcvd(w, c, seg))
        return;
    had_fin = seg->flags & TCP_FIN;
    if (tcp_ack_process(w, c, seg) == TCP_ACK_DROP || !step5_fin_acked(w, c))
        return;
    if (!seg->had_data && !had_fin) {
        if (hs_unlikely(seg->flags & TCP_URG)) /* sixth, of text that is to come */
            tcp_urg_input(w, c, seg);
        tcp_count(w, TCP_C_pure_acks_in);
        return;
    }
    if (data_after_close(w, c, seg))
        return;
    if (hs_unlikely(seg->flags & TCP_URG)) /* sixth */
        tcp_urg_input(w, c, seg);
    /* Seventh and eighth: */
    tcp_rcv_text(w, c, seg);
}

/* ---- demultiplexing ---- */

static void count_in(const struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    const struct pkt_meta *m = pkt_meta(seg->p);
    uint32_t n = tcp_segments_of(seg->len, m->flags & PKT_GSO ? m->gso_size : 0);

    c->segs_in += n;
    if (seg->len) {
        c->data_segs_in += n;
        c->data_time_ms = tcp_now_ms(w);
    }
}

static bool is_of(const struct tcp_conn *c, const struct tcp_seg *seg)
{
    return c->base.in_lookup && !c->base.dev && c->base.lcl.port.raw == seg->dst.port.raw && c->base.rmt.port.raw == seg->src.port.raw &&
           c->base.fib == seg->fib && ip_addr_eq(&c->base.lcl.ip, &seg->dst.ip) && ip_addr_eq(&c->base.rmt.ip, &seg->src.ip);
}

/* Both ends are of this worker: each tells the other where it is, so that the table is asked once. What is in that place now must be in
 * the table with the addresses and ports of the segment: then it is what the table would give. */
static struct transport_conn *seg_conn(struct worker *w, const struct tcp_seg *seg)
{
    const struct pkt_meta *m = pkt_meta(seg->p);
    struct transport_conn *b;

    if (seg->there && seg->there->state != TCP_S_FREE && is_of(seg->there, seg)) {
        seg->there->peer = m->from;
        return &seg->there->base;
    }
    if (seg->hash)
        b = session_lookup_hashed(w, seg->hash, SVM_PROTO_TCP, &seg->dst, &seg->src, seg->fib);
    else
        b = session_lookup(w, SVM_PROTO_TCP, &seg->dst, &seg->src, seg->fib);
    if (b && hs_unlikely(b->dev) && session_from(b->fib, b->dev) != tcp_seg_from(seg))
        b = session_lookup(w, SVM_PROTO_TCP, &seg->dst, &seg->src, tcp_seg_from(seg));
    if (b && m->flags & PKT_LOCAL && tcp_of_base(b)->state < TCP_S_IDLE)
        tcp_of_base(b)->peer = m->from;
    return b;
}

/* RFC 5082 s3, and who has signed it. */
static bool is_trusted(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    if (c->lflags & TCP_LF_MIN_TTL && pkt_meta(seg->p)->ttl < c->min_ttl) {
        tcp_count(w, TCP_C_low_ttl);
        return false;
    }
    return !(seg->o.sig || c->lflags & TCP_LF_AUTH) || tcp_auth_input(w, c, seg);
}

static void seg_demux(struct worker *w, struct tcp_seg *seg)
{
    struct transport_conn *b = seg_conn(w, seg);
    uint32_t iss_floor = 0;
    struct listener *l;

    if (b && tcp_of_base(b)->state == TCP_S_WAITING) {
        if (tcp_wait_input(w, tcp_wait_of(tcp_of_base(b)), seg, &iss_floor, &l))
            return;
    } else if (b) {
        struct tcp_conn *c = tcp_idle_wake(w, b);

        if (hs_unlikely(!c)) /* the peer sends it again */
            return;
        count_in(w, c, seg);
        if (hs_unlikely(seg->o.sig || (c->lflags & (TCP_LF_AUTH | TCP_LF_MIN_TTL))) && !is_trusted(w, c, seg))
            return;
        if (hs_likely(c->state != TCP_S_SYN_SENT && c->state != TCP_S_TIME_WAIT)) {
            tcp_input_synchronized(w, c, seg);
            return;
        }
        if (c->state == TCP_S_SYN_SENT) {
            input_syn_sent(w, c, seg);
            return;
        }
        l = session_lookup_listener(w, SVM_PROTO_TCP, &seg->dst, &seg->src, tcp_seg_from(seg));
        if (tcp_timewait_input(w, c, seg, l, &iss_floor))
            return;
    } else {
        l = session_lookup_listener(w, SVM_PROTO_TCP, &seg->dst, &seg->src, tcp_seg_from(seg));
    }
    if (l) {
        tcp_listen_input(w, l, seg, iss_floor);
        return;
    }
    tcp_count(w, TCP_C_no_socket);
    tcp_send_rst_to(w, seg);
}

/* The same, and somebody wants to know what became of each. */
static void input_watched(struct worker *w, struct pkt **pkts, unsigned n)
{
    uint64_t before[TCP_C_MAX];

    for (unsigned i = 0; i < n; i++) {
        struct tcp_seg seg = { 0 };
        tcp_watch_begin(w, before);
        tcp_count(w, TCP_C_segments_in);
        if (seg_parse(w, pkts[i], &seg))
            seg_demux(w, &seg);
        tcp_watch_end(w, pkts[i], &seg, before);
        pkt_free(pkts[i]);
    }
    tcp_rcv_flush_acks(w);
}

/* Of those whose sender has told its peer's place. */
static void look_ahead_sessions(struct worker *w, const struct tcp_conn *const *there, unsigned n)
{
    const struct session *s[WORKER_BURST];
    unsigned n_s = 0;

    for (unsigned i = 0; i < n; i++) {
        const struct tcp_conn *c = there[i];

        if (!c || c->state == TCP_S_FREE)
            continue;
        if (c->state >= TCP_S_FIN_WAIT_1) /* it may leave the table, or go on in it elsewhere */
            session_lookup_fetch(w, c->base.hash);
        if (!c->base.session || (n_s && s[n_s - 1] == c->base.session))
            continue;
        s[n_s++] = c->base.session;
        session_ahead_rx(c->base.session);
    }
    for (unsigned i = 0; i < n_s; i++)
        session_ahead_rx_fifos(s[i]);
    for (unsigned i = 0; i < n_s; i++)
        session_ahead_rx_lines(s[i]);
}

/* The connections of a batch come into the cache while the segments before theirs are looked at. What cannot be read yet is left to
 * seg_parse(). */
static void look_ahead(struct worker *w, struct pkt **pkts, unsigned n, uint32_t *hash, struct tcp_conn **there)
{
    struct tcp_arena *conns = &tcp_worker_of(w)->conns;

    for (unsigned i = 0; i < n; i++) {
        const struct pkt_meta *m = pkt_meta(pkts[i]);
        const struct tcp_hdr *h = (const struct tcp_hdr *)(const void *)pkt_data(pkts[i]);
        struct tcp_conn *c = there[i] = m->flags & PKT_LOCAL ? tcp_arena_named(conns, m->to) : NULL;

        hash[i] = 0;
        if (c) {
            __builtin_prefetch(c);
            __builtin_prefetch((const uint8_t *)c + HS_CACHE_LINE);
            __builtin_prefetch((const uint8_t *)c + 2 * HS_CACHE_LINE);
        } else if (pkt_first_len(pkts[i]) >= sizeof(*h)) {
            struct ip_endpoint src = { m->src, h->src_port }, dst = { m->dst, h->dst_port };

            hash[i] = session_lookup_soon(w, SVM_PROTO_TCP, &dst, &src, m->ifc ? m->ifc->fib : 0);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (hash[i])
            session_lookup_next(w, hash[i]);
    }
    if (n > 1)
        look_ahead_sessions(w, (const struct tcp_conn *const *)there, n);
}

static void input_some(struct worker *w, struct pkt **pkts, unsigned n)
{
    struct tcp_conn *there[WORKER_BURST];
    uint32_t hash[WORKER_BURST];
    struct tcp_seg seg;

    look_ahead(w, pkts, n, hash, there);
    for (unsigned i = 0; i < n; i++) {
        if (i + 1 < n)
            __builtin_prefetch(pkt_data(pkts[i + 1]));
        tcp_count(w, TCP_C_segments_in);
        seg.hash = hash[i];
        seg.there = there[i];
        if (seg_parse(w, pkts[i], &seg))
            seg_demux(w, &seg);
        pkt_free(pkts[i]);
    }
}

void tcp_input(struct worker *w, struct pkt **pkts, unsigned n)
{
    if (capture_is_on(w)) {
        input_watched(w, pkts, n);
        return;
    }
    for (unsigned i = 0; i < n; i += WORKER_BURST)
        input_some(w, pkts + i, hs_min_u32(n - i, WORKER_BURST));
    tcp_rcv_flush_acks(w);
}
