/* tcp_idle.h - the compact form of an established connection in which nothing happens
 *
 * ESTABLISHED, nothing in flight, nothing to send or to acknowledge, and no segment for a while: what recovery, congestion control
 * and timers know then follows from a few numbers. Most connections of a busy server are like that. The next segment, write or
 * option makes a struct tcp_conn of it again.
 *
 *   struct tcp_conn, ESTABLISHED --no traffic for tcp_config.idle_us--> struct tcp_idle, TCP_S_IDLE --tcp_idle_wake()--> struct tcp_conn
 *
 * Owner:  the worker's arenas; it takes the connection's place in the lookup table and for its session.
 * Thread: owning worker only.
 * Memory: process-private. Both structs begin alike (base, state, flags), so that a look at `state` tells which it is.
 * Errors: NULL or -ENOMEM when there is no memory for a struct tcp_conn. */
#ifndef HOSTSTACK_SERVER_TCP_IDLE_H
#define HOSTSTACK_SERVER_TCP_IDLE_H

#include "server/tcp/tcp_internal.h"

struct tcp_idle {
    struct transport_conn base;
    uint8_t state;              /* TCP_S_IDLE */
    uint8_t cc;                 /* tcp_cc_number() */
    uint8_t snd_wscale : 4, rcv_wscale : 4; /* 14 at most */
    uint8_t lflags;
    uint32_t flags;
    /* As in struct tcp_conn: */
    uint32_t snd_nxt;           /* = snd_una, data_una, snd_wl2 */
    uint32_t snd_wnd;           /* = snd_max_wnd */
    uint32_t rcv_nxt;           /* = last_ack_sent, snd_wl1 */
    uint32_t rcv_adv;
    uint32_t irs, iss;
    uint32_t ts_recent;
    uint32_t rcv_time_ms;
    uint32_t data_time_ms;
    uint32_t snd_time_ms;       /* stands for min_rtt_ms */
    uint32_t srtt_us, rttvar_us, min_rtt_us;
    uint16_t cwnd_segs, ssthresh_segs; /* in segments: cwnd begins anew after a pause in any case. UINT16_MAX: no ssthresh, or beyond that */
    uint32_t rate, busy_ms;
    uint32_t cc_kept[2];        /* tcp_cc_ops.keep() */
    uint32_t total_retrans;
    uint32_t segs_in, segs_out, data_segs_in, data_segs_out;
    uint32_t user_timeout_ms;
    uint16_t peer_mss, adv_mss, rcv_mss, user_mss;
    uint16_t keepidle_s, keepintvl_s;
    uint16_t acked_wraps, rcvd_wraps;
    uint16_t ts_recent_at;      /* in steps of 4.8 hours (tcp_idle.c): 35 years until it wraps */
    uint8_t keepcnt : 7, rate_app_limited : 1;
    uint8_t tos, ttl;
    uint8_t quick_acks;
    uint8_t reo_mult, reo_persist;
};
/* With TCP_F_KEEPALIVE. */
struct tcp_idle_timed {
    struct tcp_idle i;
    struct timer_node t_keep;
};
static_assert(sizeof(struct tcp_idle) <= 200 && sizeof(struct tcp_idle_timed) <= 232, "this is what most connections are");
static_assert(offsetof(struct tcp_idle, state) == offsetof(struct tcp_conn, state) &&
              offsetof(struct tcp_idle, flags) == offsetof(struct tcp_conn, flags), "looked at before it is known which it is");

void tcp_idle_init(struct worker *w);
void tcp_idle_watch(struct worker *w);   /* there are connections that may become idle */
void tcp_idle_unwatch(struct worker *w); /* there are none any more */
void tcp_idle_free_all(struct worker *w);
/* As if it were a connection, for a look only: *out is nobody's. */
void tcp_idle_expand(struct worker *w, const struct tcp_idle *i, struct tcp_conn *out);
struct tcp_conn *tcp_idle_wake_now(struct worker *w, struct tcp_idle *i); /* i is gone; NULL: no memory, i is as it was */
/* Ends with an RST and without a struct tcp_conn. The session is detached; the caller tells it. */
void tcp_idle_abort(struct worker *w, struct tcp_idle *i);

static inline struct tcp_idle *tcp_idle_of(struct tcp_conn *c) { return (struct tcp_idle *)(void *)c; }

/* The connection for whatever happens to it; NULL: no memory. */
static inline struct tcp_conn *tcp_idle_wake(struct worker *w, struct transport_conn *b)
{
    struct tcp_conn *c = tcp_of_base(b);

    return hs_unlikely(c->state == TCP_S_IDLE) ? tcp_idle_wake_now(w, tcp_idle_of(c)) : c;
}
/* To read: itself, or the expanded form in *room. */
static inline const struct tcp_conn *tcp_idle_look(struct worker *w, const struct transport_conn *b, struct tcp_conn *room)
{
    const struct tcp_conn *c = (const struct tcp_conn *)(const void *)b;

    if (hs_likely(c->state != TCP_S_IDLE))
        return c;
    tcp_idle_expand(w, (const struct tcp_idle *)(const void *)b, room);
    return room;
}

#endif
