/* tcp_timewait.c - TIME-WAIT: 2 MSL, repeated FINs, and when a new SYN may take the place (RFC 9293 s3.6.1, RFC 6191, RFC 1337) */
#include <errno.h>
#include "server/tcp/tcp_sent.h"
#include "server/tcp/tcp_wait.h"

enum {
    TCP_ISS_STEP = 65535 + 2,
    TCP_REUSE_MS = 1000,     /* the slowest timestamp clock that a peer may have (RFC 7323 s5.4) */
    TCP_REUSE_LOCAL_MS = 2,  /* our own ticks every millisecond */
};

void tcp_timewait_enter(struct worker *w, struct tcp_conn *c)
{
    const struct tcp_config *cfg = &tcp_worker_of(w)->cfg;

    if (c->flags & TCP_F_CLOSED)
        tcp_worker_of(w)->n_orphans--;
    tcp_set_state(w, c, TCP_S_TIME_WAIT);
    tcp_sent_clear(w, c);
    tcp_timer_stop_all(w, c); /* an ACK that is owed goes out at the end of the batch */
    tcp_conn_release_session(w, c);
    if (tcp_worker_of(w)->n_time_wait > cfg->max_time_wait) { /* over at the next tick: the caller still holds c */
        tcp_count(w, TCP_C_timewait_skipped);
        tcp_misc_start(w, c, TIMER_TICK_US);
    } else if (c->base.session) { /* its program has not closed yet */
        tcp_misc_start(w, c, 2ull * cfg->msl_us);
    } else {
        tcp_rcv_settle_later(w, c);
    }
}

/* RFC 6191 s2: the SYN is surely newer. */
static bool syn_is_new(const struct tcp_conn *c, const struct tcp_seg *seg)
{
    if (seg->o.has_ts && (c->flags & TCP_F_TS_RECENT)) {
        if (seg->o.tsval != c->ts_recent)
            return seq_gt(seg->o.tsval, c->ts_recent);
    }
    return seq_gt(seg->seq, c->rcv_nxt);
}

enum tcp_timewait_verdict tcp_timewait_judge(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg, const struct listener *l,
                                             uint32_t *iss_floor)
{
    /* Without room for the new connection the old one keeps its protection. */
    if ((seg->flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN && l && listener_backlog_room(l) && syn_is_new(c, seg)) {
        tcp_count(w, TCP_C_timewait_reused);
        *iss_floor = c->snd_nxt;
        if (*iss_floor == 0)
            *iss_floor = 1;
        return TCP_TIMEWAIT_OVER;
    }
    tcp_count(w, TCP_C_timewait);
    if (seg->flags & TCP_RST) /* assassination (RFC 1337 s3): ignored */
        return TCP_TIMEWAIT_STAYS;
    if (seg->flags & TCP_SYN) {
        tcp_send_challenge_ack(w, c);
        return TCP_TIMEWAIT_STAYS;
    }
    if ((seg->flags & TCP_FIN) && seg->seq + seg->len == c->rcv_fin_seq) { /* our last ACK was lost: again, and 2 MSL anew */
        tcp_send_ack(w, c);
        return TCP_TIMEWAIT_ANEW;
    }
    if ((seg->len || seg->seq != c->rcv_nxt) && tcp_oow_ack_allowed(w, c))
        tcp_send_ack(w, c);
    return TCP_TIMEWAIT_STAYS;
}

bool tcp_timewait_input(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg, const struct listener *l, uint32_t *iss_floor)
{
    enum tcp_timewait_verdict v = tcp_timewait_judge(w, c, seg, l, iss_floor);

    if (v == TCP_TIMEWAIT_OVER)
        tcp_conn_done(w, c);
    else if (v == TCP_TIMEWAIT_ANEW)
        tcp_misc_start(w, c, 2ull * tcp_worker_of(w)->cfg.msl_us);
    return v != TCP_TIMEWAIT_OVER;
}

/* With timestamps both sides can tell the segments of the two connections apart (RFC 6191 s2), once the clocks they come from have
 * moved on. */
bool tcp_timewait_is_replaceable(struct worker *w, const struct transport_conn *b)
{
    const struct tcp_conn *c = (const struct tcp_conn *)(const void *)b;
    const struct tcp_wait *t = (const struct tcp_wait *)(const void *)b;
    uint32_t heard_ms = c->state == TCP_S_WAITING ? t->rcv_time_ms : c->rcv_time_ms; /* TS.Recent is not newer */

    return (c->state == TCP_S_WAITING || c->state == TCP_S_TIME_WAIT) && (c->flags & TCP_F_TS) &&
           tcp_now_ms(w) - heard_ms >= (c->flags & TCP_F_LOCAL ? TCP_REUSE_LOCAL_MS : TCP_REUSE_MS);
}

/* connect() with the ports of a connection in TIME-WAIT. */
int tcp_timewait_take_over(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint32_t from,
                           uint32_t *iss_floor)
{
    struct transport_conn *b = session_lookup(w, SVM_PROTO_TCP, lcl, rmt, from);
    struct tcp_conn *c;

    if (!b)
        return 0;
    c = tcp_of_base(b);
    if (!tcp_timewait_is_replaceable(w, b))
        return -EADDRNOTAVAIL;
    tcp_count(w, TCP_C_timewait_reused);
    *iss_floor = (c->state == TCP_S_WAITING ? tcp_wait_of(c)->snd_nxt : c->snd_nxt) + TCP_ISS_STEP;
    if (*iss_floor == 0)
        *iss_floor = 1;
    if (c->state == TCP_S_WAITING)
        tcp_wait_end(w, tcp_wait_of(c));
    else
        tcp_conn_done(w, c);
    return 0;
}
