/* tcp_fastopen.c - TCP Fast Open, the server's side (RFC 7413): data in a SYN that brings a cookie of ours is the program's at once
 *
 * A cookie is a keyed hash of both addresses and the time, so nothing is remembered of clients. With a program's own key (TCP_FASTOPEN_KEY)
 * it is the hash that Linux makes, without the time: hosts that share a key share cookies. The connection gets its session while it is in
 * SYN-RCVD, and sends from there. How many there may be before their SYN,ACK is acknowledged is the listener's TCP_FASTOPEN (s5.1): more
 * are opened the usual way. One that an RST ends counts for a minute more.
 *
 * Owner:  nothing is allocated; tcp_worker.n_fastopen and fo_resets count.
 * Thread: owning worker only; all workers have the same key, as a client's next SYN may come to another one. */
#include "common/siphash.h"
#include "server/tcp/tcp_internal.h"

enum {
    COOKIE_LEN = 8,
    COOKIE_PERIOD_US_LOG2 = 33, /* 2.4 hours: a cookie is good in its period and the next */
};

static uint64_t cookie_of(const struct worker *w, const struct tcp_conn *c, uint64_t period)
{
    struct {
        struct ip_addr lcl, rmt;
        uint64_t period;
        char what[8]; /* no other hash with this key is of such words */
    } in = { c->base.lcl.ip, c->base.rmt.ip, period, "fastopen" };

    static_assert(sizeof(in) == 48, "no padding goes into the hash");
    return siphash24(w->secret, &in, sizeof(in));
}

static uint64_t period_now(const struct worker *w) { return w->now_us >> COOKIE_PERIOD_US_LOG2; }

/* The client's address, then ours, as the packet of its SYN has them. */
static uint64_t cookie_by_key(const struct tcp_conn *c, const uint8_t *key)
{
    uint32_t n = ip_addr_is_v4(&c->base.rmt.ip) ? 4 : 16;
    uint8_t in[32];

    memcpy(in, c->base.rmt.ip.b + 16 - n, n);
    memcpy(in + n, c->base.lcl.ip.b + 16 - n, n);
    return siphash24(key, in, 2 * n);
}

unsigned tcp_fastopen_put(struct worker *w, const struct tcp_conn *c, uint8_t *opt)
{
    const struct listener *l = session_lookup_listener(w, SVM_PROTO_TCP, &c->base.lcl, &c->base.rmt, session_from(c->base.fib, c->base.dev));
    const uint8_t *key;
    uint64_t cookie = l && listener_fastopen_key(l, &key) ? cookie_by_key(c, key) : cookie_of(w, c, period_now(w));

    opt[0] = opt[1] = TCP_OPT_NOP;
    opt[2] = TCP_OPT_FASTOPEN;
    opt[3] = 2 + COOKIE_LEN;
    memcpy(opt + 4, &cookie, COOKIE_LEN);
    return TCP_OPT_FASTOPEN_LEN;
}

/* s4.1.3: an empty one asks; what is not ours, or old, is answered with a good one. */
static bool cookie_ok(struct worker *w, const struct listener *l, struct tcp_conn *c, const uint8_t *opt)
{
    uint64_t now = period_now(w), cookie, good;
    const uint8_t *key;
    unsigned n_keys = listener_fastopen_key(l, &key);
    bool has_old = n_keys ? n_keys > 1 : now > 0; /* the second key is the one before (tcp(7)) */

    c->flags |= TCP_F_GIVE_COOKIE;
    if (opt[1] == 2)
        return false;
    if (opt[1] == 2 + COOKIE_LEN) {
        memcpy(&cookie, opt + 2, COOKIE_LEN);
        good = n_keys ? cookie_by_key(c, key) : cookie_of(w, c, now);
        if (cookie == good) {
            c->flags &= ~TCP_F_GIVE_COOKIE;
            return true;
        }
        if (has_old && cookie == (n_keys ? cookie_by_key(c, key + SVM_FASTOPEN_KEY) : cookie_of(w, c, now - 1)))
            return true;
    }
    tcp_count(w, TCP_C_fastopen_bad);
    return false;
}

/* Those that an RST has ended within the last minute. */
static uint32_t n_reset(struct worker *w)
{
    struct tcp_fastopen_resets *r = &tcp_worker_of(w)->fo_resets;
    uint32_t now_s = (uint32_t)(w->now_us / 1000000);

    if (now_s - r->second >= TCP_FASTOPEN_RESET_S) {
        *r = (struct tcp_fastopen_resets){ .second = now_s };
        return 0;
    }
    while (r->second != now_s) {
        uint32_t *oldest = &r->in_second[++r->second % TCP_FASTOPEN_RESET_S];

        r->n -= *oldest;
        *oldest = 0;
    }
    return r->n;
}

/* s5.1: whose address somebody else uses answers our SYN,ACK with an RST. The place is not free at once: else such SYNs, with cookies
 * that the attacker has collected, would be bounded by nothing. */
void tcp_fastopen_reset(struct worker *w)
{
    struct tcp_fastopen_resets *r = &tcp_worker_of(w)->fo_resets;

    (void)n_reset(w); /* moves r->second on */
    r->n++;
    r->in_second[r->second % TCP_FASTOPEN_RESET_S]++;
}

bool tcp_fastopen_accept(struct worker *w, struct listener *l, struct tcp_conn *c, struct tcp_seg *seg)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    int32_t max, no_cookie = 0;

    if (listener_attr(l, SVM_ATTR_FASTOPEN, &max) != 0 || max <= 0 || (c->lflags & TCP_LF_AUTH))
        return false; /* a signature leaves no room for the cookie */
    if (listener_attr(l, SVM_ATTR_FASTOPEN_NO_COOKIE, &no_cookie) != 0 || !seg->len)
        no_cookie = 0;
    if (!no_cookie && (!seg->o.fastopen || !cookie_ok(w, l, c, seg->o.fastopen) || !seg->len))
        return false;
    if (tw->n_fastopen + n_reset(w) >= (uint32_t)max) { /* s5.1: so many may be of a flood, with cookies of one that listens */
        tcp_count(w, TCP_C_fastopen_full);
        return false;
    }
    if (session_accept(w, l, &c->base) != 0)
        return false; /* no room now: perhaps when the handshake is over */
    tcp_count(w, TCP_C_fastopen_accepted);
    tw->n_fastopen++;
    c->flags |= TCP_F_FASTOPEN;
    c->snd_una = c->iss + 1; /* of what is in the FIFO; the SYN,ACK has a timer of its own */
    c->rcv_adv = c->rcv_nxt + hs_min_u32(c->rcv_adv - c->rcv_nxt, session_rx_window(w, c->base.session));
    tcp_conn_begin(w, c);
    seg->seq++;
    seg->len = hs_min_u32(seg->len, c->rcv_adv - c->rcv_nxt);
    seg->flags &= (uint8_t)~(TCP_SYN | TCP_FIN | TCP_URG); /* a FIN comes again: its sequence number is not acknowledged */
    tcp_rcv_text(w, c, seg);
    return true;
}

void tcp_fastopen_gone(struct worker *w, struct tcp_conn *c)
{
    (void)c;
    tcp_worker_of(w)->n_fastopen--;
}

void tcp_fastopen_done(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    tcp_fastopen_gone(w, c);
    tcp_count(w, TCP_C_passive_opens);
    tcp_rtt_of_handshake(w, c);
    c->snd_wl1 = seg->seq;
    c->snd_wl2 = seg->ack;
    c->snd_wnd = (uint32_t)seg->wnd << c->snd_wscale;
    c->snd_max_wnd = hs_max_u32(c->snd_max_wnd, c->snd_wnd);
    tcp_set_state(w, c, TCP_S_ESTABLISHED);
    c->retransmits = 0;
    c->backoff = 0;
    c->rexmt_first_us = 0;
    tcp_rexmt_stop(c);
    if (c->snd_una != c->snd_nxt)
        tcp_rexmt_rearm(w, c);
    tcp_keepalive_update(w, c);
    if (c->base.session)
        tcp_rcv_window(w, c);
    if (c->flags & TCP_F_FIN_QUEUED)
        tcp_set_state(w, c, TCP_S_FIN_WAIT_1);
    tcp_tx_request(w, c);
}
