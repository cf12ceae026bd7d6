/* tcp_idle.c - connections become idle, and are woken (tcp_idle.h)
 * What is kept of the path: windows, round trips and what the congestion control says. The first data after the pause begins with the
 * restart window as it would have (RFC 5681 s4.1): idle is only what has been so for longer than its RTO. */
#include <errno.h>
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_idle.h"

enum {
    WATCH_ROUND_US = 500000, /* from one round over all connections to the next */
    WATCH_STEP_US = 10000,   /* a round goes on, when there are more than ... */
    WATCH_STEP = 512,        /* ... so many of them */
    TS_STEP_SHIFT = 14,      /* when TS.Recent was set is kept in 2^14 units of the coarse clock (4.8 hours), rounded down */
    /* What may be set; else something is going on, or what follows from it is not kept. */
    KEPT_FLAGS = TCP_F_PASSIVE | TCP_F_TS | TCP_F_SACK | TCP_F_WSCALE | TCP_F_NODELAY | TCP_F_CORK | TCP_F_KEEPALIVE | TCP_F_TS_RECENT |
                 TCP_F_QUICKACK | TCP_F_SYN_RTX | TCP_F_LOCAL | TCP_F_USER_TIMEOUT_SET | TCP_F_FASTOPEN | TCP_F_GIVE_COOKIE,
    PAST_FLAGS = TCP_F_CWND_LIMITED | TCP_F_PUSH_PARTIAL | TCP_F_RTT_TIMING, /* of no meaning while nothing is in flight */
    KEPT_LFLAGS = TCP_LF_REORDERING | TCP_LF_ECN,
    PAST_LFLAGS = TCP_LF_NOT_VALID, /* the restart window is smaller */
};

static struct tcp_arena *arena_of(struct tcp_worker *tw, uint32_t flags)
{
    return flags & TCP_F_KEEPALIVE ? &tw->idle_timed : &tw->idle;
}

static struct timer_node *timer_of(struct tcp_idle *i)
{
    return &hs_container_of(i, struct tcp_idle_timed, i)->t_keep;
}

/* ---- to sleep ---- */

static bool has_been_quiet(const struct worker *w, const struct tcp_conn *c, uint32_t idle_us)
{
    uint32_t now = tcp_now_ms(w);
    uint64_t sent_us = (uint64_t)(now - c->snd_time_ms) * 1000, rcvd_us = (uint64_t)(now - c->rcv_time_ms) * 1000;

    return sent_us >= idle_us && rcvd_us >= idle_us && sent_us > c->rto_us;
}

static bool is_idle(struct worker *w, struct tcp_conn *c)
{
    struct session *s = c->base.session;
    uint32_t past = PAST_FLAGS;
    struct session_ooo o;

    if (hs_unlikely(c->flags & TCP_F_PMTU_LOW) && tcp_pmtu_is_kept(w, c))
        past |= TCP_F_PMTU_LOW;
    if (c->state != TCP_S_ESTABLISHED || !s || c->snd_una != c->snd_nxt || c->sent || c->rexmt_mode != TCP_REXMT_NONE ||
        c->flags & ~(KEPT_FLAGS | past) || c->lflags & ~(KEPT_LFLAGS | PAST_LFLAGS) || c->ca_state != TCP_CA_OPEN)
        return false;
    if (c->keep_probes || c->pace_max || c->linger2_s || c->soft_error || c->last_ack_sent != c->rcv_nxt || c->data_una != c->snd_una)
        return false; /* rare */
    return session_tx_avail(w, s) == 0 && session_rx_ooo(s, &o, 1) == 0;
}

static void keep_fire(struct worker *w, struct timer_node *t)
{
    struct tcp_idle_timed *i = hs_container_of(t, struct tcp_idle_timed, t_keep);
    struct tcp_conn *c = tcp_idle_wake_now(w, &i->i);

    if (c)
        tcp_keepalive(w, c);
    else
        timer_start(&w->timers, t, w->now_us + WATCH_ROUND_US);
}

static void compact(const struct tcp_conn *c, struct tcp_idle *i)
{
    *i = (struct tcp_idle){
        .base = c->base, .state = TCP_S_IDLE, .cc = tcp_cc_number(c->cc), .snd_wscale = c->snd_wscale, .rcv_wscale = c->rcv_wscale,
        .flags = c->flags & KEPT_FLAGS, .lflags = c->lflags & KEPT_LFLAGS,
        .snd_nxt = c->snd_nxt, .snd_wnd = c->snd_wnd, .rcv_nxt = c->rcv_nxt, .rcv_adv = c->rcv_adv,
        .irs = c->irs, .iss = c->iss, .ts_recent = c->ts_recent, .ts_recent_at = (uint16_t)(c->ts_recent_at >> TS_STEP_SHIFT),
        .rcv_time_ms = c->rcv_time_ms, .data_time_ms = c->data_time_ms, .snd_time_ms = c->snd_time_ms,
        .srtt_us = c->srtt_us, .rttvar_us = c->rttvar_us, .min_rtt_us = c->min_rtt_us,
        .segs_in = c->segs_in, .segs_out = c->segs_out, .data_segs_in = c->data_segs_in, .data_segs_out = c->data_segs_out,
        .cwnd_segs = (uint16_t)hs_min_u32(c->cwnd / c->mss, UINT16_MAX),
        .ssthresh_segs = (uint16_t)hs_min_u32(c->ssthresh / c->mss, UINT16_MAX), .rate = c->rate, .busy_ms = c->busy_ms,
        .rate_app_limited = c->rate_app_limited, .total_retrans = c->total_retrans, .user_timeout_ms = c->user_timeout_ms,
        .peer_mss = c->peer_mss, .adv_mss = c->adv_mss, .rcv_mss = c->rcv_mss, .user_mss = c->user_mss,
        .keepidle_s = c->keepidle_s, .keepintvl_s = c->keepintvl_s, .acked_wraps = c->acked_wraps, .rcvd_wraps = c->rcvd_wraps,
        .keepcnt = c->keepcnt, .tos = c->tos, .ttl = c->ttl, .quick_acks = c->quick_acks,
        .reo_mult = c->reo_mult, .reo_persist = c->reo_persist,
    };
    if (c->cc->keep)
        c->cc->keep(c, i->cc_kept);
}

/* c is gone, if there is memory. */
static void go_to_sleep(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct tcp_idle *i;

    tcp_busy_set(w, c, TCP_BUSY_NOT);
    if (!session_keep(w, c->base.session, &c->n) || !(i = tcp_arena_take(arena_of(tw, c->flags))))
        return;
    compact(c, i);
    session_conn_moved(w, &c->base, &i->base);
    session_idle(w, i->base.session);
    if (c->flags & TCP_F_KEEPALIVE) {
        timer_of(i)->fire = keep_fire;
        if (timer_is_running(&c->t_misc))
            timer_start(&w->timers, timer_of(i), c->t_misc.expires_us);
    }
    tcp_timer_stop_all(w, c);
    tcp_conn_give(w, c);
}

/* Nobody who has called us holds a connection: memory may go. */
static void watch_fire(struct worker *w, struct timer_node *t)
{
    struct tcp_worker *tw = hs_container_of(t, struct tcp_worker, idle_watch);
    struct tcp_conn *c = NULL;
    unsigned n;

    for (n = 0; n < WATCH_STEP && (c = tcp_conn_next(tw, &tw->idle_next)); n++, tw->idle_next++) {
        if (has_been_quiet(w, c, tw->cfg.idle_us) && is_idle(w, c))
            go_to_sleep(w, c);
    }
    if (!c) {
        tw->idle_next = 0;
        tcp_arena_trim(&tw->conns);
        tcp_arena_trim(&tw->idle);
        tcp_arena_trim(&tw->idle_timed);
        tcp_arena_trim(&tw->waits);
    }
    if (tw->conns.n_taken + tw->waits.n_taken && !timer_is_running(t))
        timer_start(&w->timers, t, w->now_us + (c ? WATCH_STEP_US : WATCH_ROUND_US));
}

/* ---- awake ---- */

static void restore(const struct tcp_idle *i, struct tcp_conn *c)
{
    c->base = i->base;
    c->state = TCP_S_ESTABLISHED;
    c->snd_wscale = i->snd_wscale, c->rcv_wscale = i->rcv_wscale;
    c->flags = i->flags, c->lflags = i->lflags;
    c->snd_una = c->snd_nxt = c->data_una = c->snd_wl2 = c->snd_sml = i->snd_nxt;
    c->recover = c->snd_una - 1;
    c->snd_wnd = c->snd_max_wnd = i->snd_wnd;
    c->rcv_nxt = c->last_ack_sent = c->snd_wl1 = c->rcv_mark_seq = i->rcv_nxt;
    c->rcv_adv = i->rcv_adv;
    c->irs = i->irs, c->iss = i->iss;
    c->ts_recent = c->ts_floor = i->ts_recent;
    c->rcv_time_ms = i->rcv_time_ms;
    c->snd_time_ms = c->min_rtt_ms = i->snd_time_ms;
    c->srtt_us = i->srtt_us, c->rttvar_us = i->rttvar_us, c->min_rtt_us = i->min_rtt_us;
    c->segs_in = i->segs_in, c->segs_out = i->segs_out, c->data_segs_in = i->data_segs_in, c->data_segs_out = i->data_segs_out;
    c->data_time_ms = i->data_time_ms, c->rate = i->rate, c->rate_app_limited = i->rate_app_limited, c->busy_ms = i->busy_ms;
    c->total_retrans = i->total_retrans, c->user_timeout_ms = i->user_timeout_ms;
    c->peer_mss = i->peer_mss, c->adv_mss = i->adv_mss, c->rcv_mss = i->rcv_mss, c->user_mss = i->user_mss;
    c->keepidle_s = i->keepidle_s, c->keepintvl_s = i->keepintvl_s, c->keepcnt = i->keepcnt;
    c->acked_wraps = i->acked_wraps, c->rcvd_wraps = i->rcvd_wraps;
    c->tos = i->tos, c->ttl = i->ttl, c->quick_acks = i->quick_acks;
    c->reo_mult = i->reo_mult, c->reo_persist = i->reo_persist;
}

/* tcp_now_coarse() when TS.Recent was set, or up to a step before. */
static uint32_t ts_recent_at(const struct worker *w, const struct tcp_idle *i)
{
    uint32_t now = tcp_now_coarse(w) >> TS_STEP_SHIFT;

    return (now - (uint16_t)(now - i->ts_recent_at)) << TS_STEP_SHIFT;
}

/* c is zeroed. */
static void expand(struct worker *w, const struct tcp_idle *i, struct tcp_conn *c)
{
    const struct tcp_config *cfg = &tcp_worker_of(w)->cfg;

    restore(i, c);
    c->ts_recent_at = ts_recent_at(w, i);
    c->ts_offset = tcp_ts_offset(w, &c->base.lcl, &c->base.rmt);
    c->rto_us = c->srtt_us ? tcp_rto_of(c, cfg) : TCP_RTO_FIRST_US;
    c->rcv_mark_us = (uint32_t)w->now_us;
    c->last_oow_ack_ms = tcp_now_ms(w) - 60000;
    c->cc = tcp_cc_at(i->cc);
    if (c->base.session)
        (void)session_kept(w, c->base.session, &c->n);
    if (tcp_conn_path_update(w, c) != 0) /* the route, and with it the size of segments, may be another one now */
        c->flags |= TCP_F_PMTU_LOW; /* there is none: asked again before something is sent */
    c->cwnd = (uint32_t)i->cwnd_segs * c->mss;
    c->ssthresh = i->ssthresh_segs == UINT16_MAX ? UINT32_MAX : (uint32_t)i->ssthresh_segs * c->mss;
    if (c->cc->wake)
        c->cc->wake(w, c, i->cc_kept);
    tcp_timer_init(c);
}

void tcp_idle_expand(struct worker *w, const struct tcp_idle *i, struct tcp_conn *out)
{
    memset(out, 0, sizeof(*out));
    expand(w, i, out);
    if (i->flags & TCP_F_KEEPALIVE) /* to be shown */
        out->t_misc = hs_container_of(i, const struct tcp_idle_timed, i)->t_keep;
}

static void idle_give(struct worker *w, struct tcp_idle *i)
{
    if (i->flags & TCP_F_KEEPALIVE && timer_is_running(timer_of(i)))
        timer_stop(timer_of(i), &w->timers);
    i->state = TCP_S_FREE;
    tcp_arena_give(arena_of(tcp_worker_of(w), i->flags), i);
}

struct tcp_conn *tcp_idle_wake_now(struct worker *w, struct tcp_idle *i)
{
    struct tcp_conn *c = session_wake(w, i->base.session) ? tcp_arena_take(&tcp_worker_of(w)->conns) : NULL;

    if (!c) {
        tcp_count(w, TCP_C_no_memory);
        return NULL;
    }
    expand(w, i, c);
    c->place = tcp_arena_name(&tcp_worker_of(w)->conns, c);
    session_conn_moved(w, &i->base, &c->base);
    if (i->flags & TCP_F_KEEPALIVE && timer_is_running(timer_of(i)))
        timer_start(&w->timers, &c->t_misc, timer_of(i)->expires_us);
    idle_give(w, i);
    tcp_idle_watch(w);
    return c;
}

void tcp_idle_abort(struct worker *w, struct tcp_idle *i)
{
    struct tcp_conn c;

    tcp_idle_expand(w, i, &c);
    tcp_send_rst(w, &c);
    session_lookup_del(w, &i->base);
    idle_give(w, i);
    tcp_worker_of(w)->n_conns--;
}

/* ---- the worker ---- */

void tcp_idle_init(struct worker *w)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    tcp_arena_init(&tw->idle, sizeof(struct tcp_idle));
    tcp_arena_init(&tw->idle_timed, sizeof(struct tcp_idle_timed));
    tw->idle_watch.fire = watch_fire;
}

void tcp_idle_watch(struct worker *w)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    if (tw->cfg.idle_us && !timer_is_running(&tw->idle_watch))
        timer_start(&w->timers, &tw->idle_watch, w->now_us + WATCH_ROUND_US);
}

void tcp_idle_unwatch(struct worker *w)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    if (timer_is_running(&tw->idle_watch))
        timer_stop(&tw->idle_watch, &w->timers);
}

static void arena_free_all(struct worker *w, struct tcp_arena *a)
{
    struct tcp_idle *i;

    for (uint32_t k = 0; (i = tcp_arena_next(a, &k)); k++) {
        if (i->state == TCP_S_FREE)
            continue;
        session_lookup_del(w, &i->base);
        idle_give(w, i);
        tcp_worker_of(w)->n_conns--;
    }
    tcp_arena_fini(a);
}

void tcp_idle_free_all(struct worker *w)
{
    tcp_idle_unwatch(w);
    arena_free_all(w, &tcp_worker_of(w)->idle);
    arena_free_all(w, &tcp_worker_of(w)->idle_timed);
}
