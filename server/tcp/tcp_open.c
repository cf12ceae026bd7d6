/* tcp_open.c - connections begin: connect(), and a SYN for a listener (RFC 9293 s3.10.1, s3.10.7.2) */
#include <errno.h>
#include "server/ip/interface.h"
#include "server/tcp/tcp_internal.h"

enum { TCP_ISS_STEP = 65535 + 2 }; /* beyond any window of the connection before */

/* Smallest shift with which the window field can say the whole buffer (RFC 7323 s2.3). */
uint8_t tcp_wscale_for(uint32_t rx_max)
{
    uint8_t s = 0;

    while (s < TCP_MAX_WSCALE && ((uint32_t)UINT16_MAX << s) < rx_max)
        s++;
    return s;
}

static void begin_at_iss(struct tcp_conn *c, uint32_t iss_floor)
{
    if (iss_floor && seq_leq(c->iss, iss_floor)) /* beyond what the same tuple used before (RFC 9293 s3.6.1) */
        c->iss = iss_floor;
    c->snd_una = c->iss;
    c->snd_nxt = c->iss + 1;
    c->data_una = c->iss + 1;
    c->recover = c->iss;
}

void tcp_start_handshake(struct worker *w, struct tcp_conn *c)
{
    if (hs_unlikely(tcp_fastopen_waits(c)))
        c->open.step = TCP_OPEN_DATA;
    c->flags |= TCP_F_RTT_TIMING;
    c->rtt_start_us = (uint32_t)w->now_us;
    tcp_send_syn(w, c);
    tcp_rexmt_start(w, c, TCP_REXMT_RTO, c->rto_us);
}

/* What both sides agree on: only what both have offered (RFC 7323 s1.3, RFC 2018 s2). Options of a SYN only (MUST-65). */
void tcp_apply_syn_options(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    const struct tcp_config *cfg = &tcp_worker_of(w)->cfg;

    if (seg->o.has_mss)
        c->peer_mss = seg->o.mss < TCP_MSS_FLOOR ? TCP_MSS_FLOOR : seg->o.mss;
    if (cfg->timestamps && seg->o.has_ts && tcp_auth_leaves_ts(c, cfg->sack && seg->o.has_sack_ok)) {
        c->flags |= TCP_F_TS | TCP_F_TS_RECENT;
        c->ts_recent = c->ts_floor = seg->o.tsval;
        c->ts_recent_at = tcp_now_coarse(w);
    }
    if (seg->o.has_uto)
        tcp_user_timeout_input(w, c, seg->o.uto_s);
    tcp_ecn_syn_received(w, c, seg);
    if (cfg->sack && seg->o.has_sack_ok)
        c->flags |= TCP_F_SACK;
    if (cfg->wscale && seg->o.has_wscale) {
        c->flags |= TCP_F_WSCALE;
        c->snd_wscale = seg->o.wscale;
    } else {
        c->rcv_wscale = 0;
    }
}

/* ---- active ---- */

/* 10.0.0.255 on 10.0.0.0/24: as little a host as 255.255.255.255 is (MUST-46). */
static bool is_directed_broadcast(struct worker *w, const struct tcp_conn *c)
{
    struct ip_path path;

    return !(c->flags & TCP_F_LOCAL) && ip_addr_is_v4(&c->base.rmt.ip) &&
           ip_path_lookup_by(w, c->base.fib, c->base.dev, &c->base.rmt.ip, &path) == 0 && path.ifc &&
           interface_is_broadcast(path.ifc, &c->base.rmt.ip);
}

int tcp_connect(struct worker *w, struct session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                struct transport_conn **out)
{
    uint32_t iss_floor = 0;
    struct tcp_conn *c;
    int rc;

    if (ip_addr_is_multicast(&rmt->ip) || ip_addr_is_broadcast(&rmt->ip))
        return -ENETUNREACH; /* MUST-46 */
    rc = tcp_timewait_take_over(w, lcl, rmt, session_from(session_fib(s), session_dev(s)), &iss_floor);
    if (rc != 0)
        return rc;
    c = tcp_conn_alloc(w, lcl, rmt, session_fib(s));
    if (!c)
        return -ENOMEM;
    c->base.dev = session_dev(s) & 127;
    c->base.session = s;
    session_connect_attrs(w, s, &c->base); /* the first SYN is as the program wants it */
    rc = session_layer_cfg(s) ? tcp_auth_attach(w, c, session_layer_cfg(s), NULL) : 0;
    if (rc == 0)
        rc = tcp_conn_path_update(w, c);
    if (rc == 0 && is_directed_broadcast(w, c))
        rc = -ENETUNREACH;
    if (rc == 0)
        rc = worker_pin_add(w, rmt, lcl); /* bound: its port does not lead here by itself; session_lookup_del() ends it */
    if (rc != 0) {
        c->base.session = NULL;
        tcp_conn_free(w, c);
        return rc;
    }
    c->rcv_wscale = tcp_wscale_for(session_rx_max(s));
    begin_at_iss(c, iss_floor);
    tcp_set_state(w, c, TCP_S_SYN_SENT);
    *out = &c->base;
    session_lookup_add(w, &c->base);
    if (hs_unlikely(tcp_fastopen_connect(w, c)))
        session_connect_waits(w, s);
    else
        tcp_start_handshake(w, c);
    return 0;
}

/* ---- passive ---- */

/* What a SYN and the listener say of a connection; its own sequence number and state are for the caller. NULL: no memory. */
struct tcp_conn *tcp_passive_new(struct worker *w, struct listener *l, const struct tcp_seg *seg, int32_t rx_max)
{
    struct tcp_conn *c = tcp_conn_alloc(w, &seg->dst, &seg->src, seg->fib);

    if (!c) {
        tcp_count(w, TCP_C_no_memory);
        return NULL;
    }
    c->base.dev = listener_dev(l) & 127;
    if (listener_layer_cfg(l) && tcp_auth_attach(w, c, listener_layer_cfg(l), seg) != 0) {
        tcp_count(w, TCP_C_no_memory);
        tcp_conn_free(w, c);
        return NULL;
    }
    c->flags |= TCP_F_PASSIVE;
    c->rcv_wscale = tcp_wscale_for((uint32_t)rx_max);
    tcp_attr_inherit(w, c, l);
    tcp_apply_syn_options(w, c, seg);
    tcp_conn_path_update(w, c);
    c->base.hash = seg->hash;
    if (pkt_meta(seg->p)->flags & PKT_LOCAL)
        c->peer = pkt_meta(seg->p)->from;
    c->irs = seg->seq;
    c->rcv_nxt = seg->seq + 1; /* text in the SYN is not kept, unless for Fast Open: the peer sends it again */
    c->rcv_adv = c->rcv_nxt + hs_min_u32((uint32_t)rx_max, UINT16_MAX);
    c->snd_wnd = c->snd_max_wnd = seg->wnd;
    c->snd_wl1 = seg->seq;
    return c;
}

static void accept_syn(struct worker *w, struct listener *l, struct tcp_seg *seg, uint32_t iss_floor)
{
    struct tcp_conn *c;
    int32_t rx_max = 0;

    if (listener_attr(l, SVM_ATTR_RX_FIFO, &rx_max) != 0 || rx_max <= 0)
        rx_max = TCP_RX_MAX_UNKNOWN;
    c = tcp_passive_new(w, l, seg, rx_max);
    if (!c)
        return;
    begin_at_iss(c, iss_floor);
    c->snd_wl2 = c->iss;
    tcp_set_state(w, c, TCP_S_SYN_RCVD);
    if (hs_likely(!seg->o.fastopen && !seg->len) || !tcp_fastopen_accept(w, l, c, seg))
        tcp_half_open_add(w, c, l);
    session_lookup_add(w, &c->base);
    tcp_start_handshake(w, c);
}

enum { COOKIE_WAITS_US = 3000000 }; /* longer than what a peer has sent at once is on its way */

/* A connection whose SYN is a cookie: it lives on only if this ACK makes it a session's. Where there is no room the peer's first bytes,
 * sent again, hold the cookie again. What it has sent behind them holds none: a reset for that would end a connection that can still come
 * to be. */
static bool cookie_input(struct worker *w, struct listener *l, struct tcp_seg *seg)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct tcp_conn *c = tcp_cookie_accept(w, l, seg);
    struct transport_conn *b;

    if (!c && w->now_us < tw->cookie_waits_until_us) {
        tcp_count(w, TCP_C_cookie_waits);
        return true;
    }
    if (!c)
        return false;
    tcp_input_synchronized(w, c, seg);
    b = session_lookup(w, SVM_PROTO_TCP, &seg->dst, &seg->src, tcp_seg_from(seg)); /* c may be gone */
    if (b && tcp_of_base(b)->state == TCP_S_SYN_RCVD) {
        tcp_conn_free(w, tcp_of_base(b)); /* the accept queue is full, or waits for data */
        tw->cookie_waits_until_us = w->now_us + COOKIE_WAITS_US;
    }
    return true;
}

/* A SYN that was answered by a cookie came again when there was room, and has another number here: what its peer acknowledges is the
 * cookie. False: it is not, and nothing has changed. */
bool tcp_half_open_cookie(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    struct listener *l = c->half.listener;

    if (!(c->flags & TCP_F_PASSIVE) || c->flags & TCP_F_FASTOPEN || !tcp_cookie_is_ours(w, seg))
        return false;
    tcp_conn_free(w, c);
    (void)cookie_input(w, l, seg);
    return true;
}

static bool has_low_ttl(const struct listener *l, const struct tcp_seg *seg)
{
    int32_t v;

    return listener_has_attrs(l) && listener_attr(l, SVM_ATTR_MIN_TTL, &v) == 0 &&
           pkt_meta(seg->p)->ttl < (ip_addr_is_v4(&seg->src.ip) ? v & 255 : v >> 8);
}

/* RFC 9293 s3.10.7.2. */
void tcp_listen_input(struct worker *w, struct listener *l, struct tcp_seg *seg, uint32_t iss_floor)
{
    if (hs_unlikely(has_low_ttl(l, seg))) {
        tcp_count(w, TCP_C_low_ttl);
        return;
    }
    if (hs_unlikely(seg->o.sig || listener_layer_cfg(l)) && !tcp_auth_listen_input(w, l, seg))
        return;
    if (seg->flags & TCP_RST) { /* first */
        tcp_count(w, TCP_C_listen_not_syn);
        return;
    }
    if (seg->flags & TCP_ACK) { /* second */
        if (!(seg->flags & TCP_SYN) && cookie_input(w, l, seg))
            return;
        tcp_count(w, TCP_C_no_socket);
        tcp_send_rst_to(w, seg);
        return;
    }
    if (!(seg->flags & TCP_SYN)) { /* fourth */
        tcp_count(w, TCP_C_listen_not_syn);
        return;
    }
    if (listener_backlog_room(l) == 0) {
        if (tcp_worker_of(w)->cfg.syn_cookies && !listener_accept_full(l))
            tcp_cookie_reply(w, l, seg); /* RFC 4987: half-open connections, perhaps of an attacker, hold it all */
        else
            tcp_count(w, TCP_C_backlog_full);
        return;
    }
    accept_syn(w, l, seg, iss_floor ? iss_floor + TCP_ISS_STEP : 0); /* third */
}

/* The listener goes: what has not been accepted goes with it, silently, as the peer will learn by an RST to its ACK. */
void tcp_unlisten(struct worker *w, struct listener *l)
{
    struct tcp_conn *next;

    for (struct tcp_conn *c = tcp_worker_of(w)->half_list; c; c = next) {
        next = c->half.half_next;
        if (c->half.listener == l)
            tcp_conn_free(w, c);
    }
}
