/* tcp_cookie.c - SYN cookies: a handshake without state while a listener's backlog is full (RFC 4987 s3.6)
 *
 * The sequence number of the SYN,ACK is the cookie: 3 bits MSS, 5 bits time, 24 bits of a keyed hash over the tuple, the peer's
 * sequence number and both. The low bits of its timestamp say what else the SYN has offered, as peers send them back: without
 * timestamps neither window scaling nor SACK can be kept. Nothing is remembered until an ACK brings a cookie that is ours.
 *
 * Owner:  nothing is allocated.
 * Thread: owning worker only.
 * Errors: an ACK without a cookie of ours is for the caller to answer.
 * Calls:  tcp_listen_input() -> tcp_cookie_reply(), tcp_cookie_accept() */
#include "common/siphash.h"
#include "server/tcp/tcp_auth.h"

enum {
    COOKIE_PERIOD_US = 64 * 1000000, /* a cookie is good in its period and the next */
    COOKIE_TIME_BITS = 5, COOKIE_MAC_BITS = 24,
    COOKIE_TS_BITS = 5,              /* window scale 4, SACK 1 */
    COOKIE_TS_NO_WSCALE = 15,        /* RFC 7323 s2.3: shifts end at 14 */
};

/* Largest that is not above the peer's is used: common sizes of Ethernet, tunnels and jumbo frames, for both families. */
static const uint16_t cookie_mss[8] = { 64, 536, 1220, 1300, 1400, 1440, 1460, 8940 };

static unsigned mss_index(const struct tcp_seg *seg)
{
    uint16_t mss = seg->o.has_mss ? seg->o.mss : ip_addr_is_v4(&seg->src.ip) ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
    unsigned i = HS_ARRAY_LEN(cookie_mss) - 1;

    while (i > 0 && cookie_mss[i] > mss)
        i--;
    return i;
}

static uint32_t cookie_of(struct worker *w, const struct tcp_seg *seg, uint32_t irs, uint32_t period, unsigned mss)
{
    struct {
        struct ip_addr lcl, rmt;
        be16 lport, rport;
        uint32_t irs, period, mss;
    } in = { seg->dst.ip, seg->src.ip, seg->dst.port, seg->src.port, irs, period, mss };
    uint32_t time = period & ((1u << COOKIE_TIME_BITS) - 1);

    static_assert(sizeof(in) == 48, "no padding goes into the hash");
    return (mss << COOKIE_TIME_BITS | time) << COOKIE_MAC_BITS |
           ((uint32_t)siphash24(w->secret, &in, sizeof(in)) & ((1u << COOKIE_MAC_BITS) - 1));
}

/* Not above the true timestamp, so that those of the connection only grow. */
static uint32_t ts_encode(const struct tcp_seg *seg, bool sack, uint32_t ts, const struct tcp_config *cfg)
{
    uint32_t wscale = cfg->wscale && seg->o.has_wscale ? seg->o.wscale : COOKIE_TS_NO_WSCALE;
    uint32_t bits = wscale << 1 | sack, mask = (1u << COOKIE_TS_BITS) - 1;
    uint32_t val = (ts & ~mask) | bits;

    return seq_gt(val, ts) ? val - (mask + 1) : val;
}

static int32_t listener_rx_max(const struct listener *l)
{
    int32_t rx_max = 0;

    return listener_attr(l, SVM_ATTR_RX_FIFO, &rx_max) == 0 && rx_max > 0 ? rx_max : TCP_RX_MAX_UNKNOWN;
}

void tcp_cookie_reply(struct worker *w, struct listener *l, const struct tcp_seg *seg)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct tcp_conn c = { .state = TCP_S_SYN_RCVD, .base = { .lcl = seg->dst, .rmt = seg->src, .dev = listener_dev(l) & 127, .fib = seg->fib } };
    uint32_t now_ms = tcp_now_ms(w), period = (uint32_t)(w->now_us / COOKIE_PERIOD_US);
    int32_t rx_max = listener_rx_max(l), v;
    uint8_t opt[TCP_OPT_MAX];
    unsigned opt_len;
    bool sack = tw->cfg.sack && seg->o.has_sack_ok;

    if (listener_layer_cfg(l) && tcp_auth_attach(w, &c, listener_layer_cfg(l), seg) != 0)
        return;
    if (listener_attr(l, SVM_ATTR_MSS, &v) == 0)
        c.user_mss = (uint16_t)v;
    if (listener_attr(l, SVM_ATTR_USER_TIMEOUT, &v) == 0)
        c.user_timeout_ms = (uint32_t)v;
    if (listener_attr(l, SVM_ATTR_DSCP, &v) == 0)
        c.tos = (uint8_t)(v & ~3);
    if (listener_attr(l, SVM_ATTR_TTL, &v) == 0)
        c.ttl = (uint8_t)(v == -1 ? 0 : v);
    sack = sack && tcp_auth_leaves_ts(&c, sack); /* the rest is in the timestamp: that one must be there */
    (void)tcp_conn_path_update(w, &c); /* without a route the answer will be dropped, and counted, by IP */
    c.rcv_wscale = tcp_wscale_for((uint32_t)rx_max);
    c.ts_offset = tcp_ts_offset(w, &seg->dst, &seg->src);
    if (tw->cfg.timestamps && seg->o.has_ts) {
        c.flags = TCP_F_TS | TCP_F_TS_RECENT | (sack ? TCP_F_SACK : 0) |
                  (tw->cfg.wscale && seg->o.has_wscale ? TCP_F_WSCALE : 0);
        c.ts_recent = seg->o.tsval;
        now_ms = ts_encode(seg, sack, now_ms + c.ts_offset, &tw->cfg) - c.ts_offset;
    }
    opt_len = tcp_options_build_syn(&c, &tw->cfg, now_ms, opt);
    tcp_count(w, TCP_C_cookies_sent);
    tw->cookie_until_us = w->now_us + 2 * (uint64_t)COOKIE_PERIOD_US;
    tcp_send_syn_ack_to(w, seg, &c, cookie_of(w, seg, seg->seq, period, mss_index(seg)),
                        (uint16_t)hs_min_u32((uint32_t)rx_max, UINT16_MAX), opt, opt_len);
    tcp_auth_release(w, &c);
}

/* The MSS that the cookie in the ACK stands for, 0 = not ours, or too old. */
static uint16_t cookie_check(struct worker *w, const struct tcp_seg *seg)
{
    uint32_t cookie = seg->ack - 1, now = (uint32_t)(w->now_us / COOKIE_PERIOD_US);
    unsigned mss = cookie >> (COOKIE_TIME_BITS + COOKIE_MAC_BITS);

    for (uint32_t age = 0; age < 2; age++) {
        if (cookie == cookie_of(w, seg, seg->seq - 1, now - age, mss))
            return cookie_mss[mss];
    }
    return 0;
}

bool tcp_cookie_is_ours(struct worker *w, const struct tcp_seg *seg)
{
    return w->now_us < tcp_worker_of(w)->cookie_until_us && cookie_check(w, seg);
}

/* What the SYN had said, from what came back. The ACK's own timestamp stands for the SYN's. */
static void cookie_options(const struct tcp_config *cfg, struct tcp_opts *o, uint16_t mss)
{
    uint32_t bits = o->tsecr & ((1u << COOKIE_TS_BITS) - 1);

    o->has_mss = true;
    o->mss = mss;
    o->has_sack_ok = o->has_wscale = false; /* in the ACK they would mean nothing (MUST-65) */
    if (!o->has_ts || !cfg->timestamps)
        return;
    o->has_sack_ok = bits & 1;
    o->has_wscale = bits >> 1 != COOKIE_TS_NO_WSCALE;
    o->wscale = (uint8_t)(o->has_wscale ? bits >> 1 : 0);
}

struct tcp_conn *tcp_cookie_accept(struct worker *w, struct listener *l, const struct tcp_seg *seg)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct tcp_seg syn = *seg;
    struct tcp_conn *c;
    uint16_t mss;

    if (w->now_us >= tw->cookie_until_us) /* none was sent lately: ACKs out of nowhere cost no hash */
        return NULL;
    mss = cookie_check(w, seg);
    if (!mss) {
        tcp_count(w, TCP_C_cookies_bad);
        return NULL;
    }
    cookie_options(&tw->cfg, &syn.o, mss);
    syn.seq = seg->seq - 1;
    c = tcp_passive_new(w, l, &syn, listener_rx_max(l));
    if (!c)
        return NULL;
    tcp_count(w, TCP_C_cookies_accepted);
    c->iss = c->snd_una = c->recover = seg->ack - 1;
    c->snd_nxt = c->data_una = seg->ack;
    c->snd_wl2 = c->iss;
    c->last_ack_sent = c->rcv_nxt;
    tcp_set_state(w, c, TCP_S_SYN_RCVD);
    tcp_half_open_add(w, c, l);
    session_lookup_add(w, &c->base);
    return c;
}
