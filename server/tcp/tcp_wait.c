/* tcp_wait.c - connections in TIME-WAIT made small, looked at, and ended (tcp_wait.h) */
#include "server/tcp/tcp_wait.h"
#include "server/tcp/tcp_idle.h"

enum {
    END_AT_ONCE = 512, /* how many end in one turn */
    KEPT_FLAGS = TCP_F_TS | TCP_F_SACK | TCP_F_TS_RECENT | TCP_F_RCV_FIN | TCP_F_FIN_SENT | TCP_F_CLOSED | TCP_F_LOCAL,
};

/* ---- the queue ---- */

static void queue_add(struct worker *w, struct tcp_wait *t)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    t->until_us = w->now_us + 2ull * tw->cfg.msl_us;
    t->next = NULL;
    t->prev = tw->wait_last;
    if (t->prev)
        t->prev->next = t;
    else
        tw->wait_first = t;
    tw->wait_last = t;
    if (!timer_is_running(&tw->wait_timer))
        timer_start(&w->timers, &tw->wait_timer, tw->wait_first->until_us);
}

static void queue_del(struct tcp_worker *tw, struct tcp_wait *t)
{
    if (t->prev)
        t->prev->next = t->next;
    else
        tw->wait_first = t->next;
    if (t->next)
        t->next->prev = t->prev;
    else
        tw->wait_last = t->prev;
}

/* One that has gone before its time leaves the timer as it is: it finds nothing to do then. */
static void wait_fire(struct worker *w, struct timer_node *timer)
{
    struct tcp_worker *tw = hs_container_of(timer, struct tcp_worker, wait_timer);
    struct tcp_wait *t;

    for (unsigned n = 0; n < END_AT_ONCE && (t = tw->wait_first) && t->until_us <= w->now_us; n++) {
        if (t->next) { /* the next one's place in the table, and the one behind it */
            session_lookup_fetch(w, t->next->base.hash);
            if (t->next->next)
                __builtin_prefetch(t->next->next);
        }
        tcp_wait_end(w, t);
    }
    if (tw->wait_first)
        timer_start(&w->timers, timer, tw->wait_first->until_us > w->now_us ? tw->wait_first->until_us : w->now_us + TIMER_TICK_US);
}

/* ---- begin and end ---- */

void tcp_wait_begin(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    bool stays = c->lflags & TCP_LF_AUTH || timer_is_running(&c->t_delack); /* its keys are needed; the ACK could not be sent */
    struct tcp_wait *t = stays ? NULL : tcp_arena_take(&tw->waits);

    if (!t) {
        tcp_misc_start(w, c, 2ull * tw->cfg.msl_us);
        return;
    }
    *t = (struct tcp_wait){
        .base = c->base, .state = TCP_S_WAITING, .lflags = c->lflags & (TCP_LF_ECN | TCP_LF_ECE), .tos = c->tos, .ttl = c->ttl,
        .flags = c->flags & KEPT_FLAGS, .snd_nxt = c->snd_nxt, .rcv_nxt = c->rcv_nxt,
        .wnd = tcp_rcv_window(w, c) >> c->rcv_wscale, .ts_recent = c->ts_recent, .rcv_time_ms = c->rcv_time_ms,
        .last_oow_ack_ms = c->last_oow_ack_ms,
    };
    session_conn_moved(w, &c->base, &t->base);
    queue_add(w, t);
    tcp_conn_give(w, c);
}

void tcp_wait_end(struct worker *w, struct tcp_wait *t)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    queue_del(tw, t);
    session_lookup_del(w, &t->base);
    t->state = TCP_S_FREE;
    tcp_arena_give(&tw->waits, t);
    tw->n_time_wait--;
    tw->n_conns--;
    if (tw->conns.n_taken + tw->waits.n_taken == 0)
        tcp_idle_unwatch(w);
}

/* ---- a segment ---- */

void tcp_wait_expand(struct worker *w, const struct tcp_wait *t, struct tcp_conn *c)
{
    memset(c, 0, sizeof(*c));
    c->base = t->base;
    c->state = TCP_S_TIME_WAIT;
    c->tos = t->tos, c->ttl = t->ttl;
    c->flags = t->flags, c->lflags = t->lflags;
    c->snd_una = c->snd_nxt = c->data_una = t->snd_nxt;
    c->fin_seq = t->snd_nxt - 1;
    c->rcv_nxt = c->last_ack_sent = t->rcv_nxt;
    c->rcv_fin_seq = t->rcv_nxt - 1;
    c->rcv_adv = c->rcv_nxt + t->wnd; /* without a scale */
    c->ts_recent = c->ts_floor = t->ts_recent, c->rcv_time_ms = t->rcv_time_ms;
    c->ts_offset = tcp_ts_offset(w, &c->base.lcl, &c->base.rmt);
    c->last_oow_ack_ms = t->last_oow_ack_ms;
    c->opt_len = c->flags & TCP_F_TS ? TCP_OPT_TS_LEN : 0;
    tcp_timer_init(c);
}

bool tcp_wait_input(struct worker *w, struct tcp_wait *t, struct tcp_seg *seg, uint32_t *iss_floor, struct listener **l)
{
    struct tcp_conn c;
    enum tcp_timewait_verdict v;

    tcp_wait_expand(w, t, &c);
    if (hs_unlikely(seg->o.sig) && !tcp_auth_input(w, &c, seg))
        return true;
    *l = session_lookup_listener(w, SVM_PROTO_TCP, &seg->dst, &seg->src, tcp_seg_from(seg));
    v = tcp_timewait_judge(w, &c, seg, *l, iss_floor);
    tcp_timer_stop_all(w, &c); /* without a packet for an ACK one was started; the peer asks again */
    t->last_oow_ack_ms = c.last_oow_ack_ms;
    if (v == TCP_TIMEWAIT_OVER) {
        tcp_wait_end(w, t);
    } else if (v == TCP_TIMEWAIT_ANEW) {
        queue_del(tcp_worker_of(w), t);
        queue_add(w, t);
    }
    return v != TCP_TIMEWAIT_OVER;
}

/* ---- the worker ---- */

void tcp_wait_init(struct worker *w)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    tcp_arena_init(&tw->waits, 2 * HS_CACHE_LINE);
    tw->wait_timer.fire = wait_fire;
}

void tcp_wait_free_all(struct worker *w)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    while (tw->wait_first)
        tcp_wait_end(w, tw->wait_first);
    if (timer_is_running(&tw->wait_timer))
        timer_stop(&tw->wait_timer, &w->timers);
    tcp_arena_fini(&tw->waits);
}
