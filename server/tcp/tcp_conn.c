/* tcp_conn.c - connections: the worker's arena, states and their edges, path and segment size, the ends of a connection */
#include <errno.h>
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_idle.h"
#include "server/tcp/tcp_sent.h"
#include "server/tcp/tcp_trace.h"
#include "server/tcp/tcp_wait.h"

/* ---- states ---- */

#define TCP_EDGE(s) (1u << TCP_S_##s)
/* RFC 9293 figure 5, with CLOSED reachable from everywhere (reset, timeout, abort). FREE is the arena's. */
static const uint16_t tcp_edges[TCP_S_MAX] = {
    [TCP_S_FREE] = TCP_EDGE(SYN_SENT) | TCP_EDGE(SYN_RCVD),
    [TCP_S_SYN_SENT] = TCP_EDGE(ESTABLISHED) | TCP_EDGE(SYN_RCVD) | TCP_EDGE(CLOSED),
    [TCP_S_SYN_RCVD] = TCP_EDGE(ESTABLISHED) | TCP_EDGE(FIN_WAIT_1) | TCP_EDGE(CLOSED),
    [TCP_S_ESTABLISHED] = TCP_EDGE(FIN_WAIT_1) | TCP_EDGE(CLOSE_WAIT) | TCP_EDGE(CLOSED),
    [TCP_S_FIN_WAIT_1] = TCP_EDGE(FIN_WAIT_2) | TCP_EDGE(CLOSING) | TCP_EDGE(TIME_WAIT) | TCP_EDGE(CLOSED),
    [TCP_S_FIN_WAIT_2] = TCP_EDGE(TIME_WAIT) | TCP_EDGE(CLOSED),
    [TCP_S_CLOSING] = TCP_EDGE(TIME_WAIT) | TCP_EDGE(CLOSED),
    [TCP_S_TIME_WAIT] = TCP_EDGE(CLOSED),
    [TCP_S_CLOSE_WAIT] = TCP_EDGE(LAST_ACK) | TCP_EDGE(CLOSED),
    [TCP_S_LAST_ACK] = TCP_EDGE(CLOSED),
    [TCP_S_CLOSED] = TCP_EDGE(FREE),
    /* TCP_S_IDLE, TCP_S_WAITING: never that of a struct tcp_conn */
};

static const char *const tcp_state_names[TCP_S_MAX] = {
    [TCP_S_FREE] = "FREE", [TCP_S_ESTABLISHED] = "ESTABLISHED", [TCP_S_SYN_SENT] = "SYN-SENT", [TCP_S_SYN_RCVD] = "SYN-RCVD",
    [TCP_S_FIN_WAIT_1] = "FIN-WAIT-1", [TCP_S_FIN_WAIT_2] = "FIN-WAIT-2", [TCP_S_TIME_WAIT] = "TIME-WAIT",
    [TCP_S_CLOSED] = "CLOSED", [TCP_S_CLOSE_WAIT] = "CLOSE-WAIT", [TCP_S_LAST_ACK] = "LAST-ACK", [TCP_S_CLOSING] = "CLOSING",
    [TCP_S_IDLE] = "ESTABLISHED", [TCP_S_WAITING] = "TIME-WAIT",
};

const char *tcp_state_name(enum tcp_state s)
{
    return s < TCP_S_MAX && tcp_state_names[s] ? tcp_state_names[s] : "?";
}

bool tcp_state_edge_ok(enum tcp_state from, enum tcp_state to)
{
    return from < TCP_S_MAX && to < TCP_S_MAX && (tcp_edges[from] & (1u << to));
}

void tcp_set_state(struct worker *w, struct tcp_conn *c, enum tcp_state to)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    uint8_t from;

    assert(tcp_state_edge_ok(c->state, to));
    if (c->state == TCP_S_TIME_WAIT)
        tw->n_time_wait--;
    if (to == TCP_S_TIME_WAIT)
        tw->n_time_wait++;
    from = c->state;
    c->state = (uint8_t)to;
    tcp_trace(w, c, TCP_TRACE_STATE, from);
}

/* ---- memory ---- */

struct tcp_conn *tcp_conn_alloc(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t fib)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct tcp_conn *c;

    c = tcp_arena_take(&tw->conns);
    if (!c)
        return NULL;
    c->place = tcp_arena_name(&tw->conns, c);
    c->base.lcl = *lcl;
    c->base.rmt = *rmt;
    c->base.proto = SVM_PROTO_TCP;
    c->base.fib = fib;
    c->cc = tcp_cc_default(w, &tw->cfg);
    c->keepidle_s = (uint16_t)tw->cfg.keepidle_s;
    c->keepintvl_s = (uint16_t)tw->cfg.keepintvl_s;
    c->keepcnt = tw->cfg.keepcnt;
    tcp_isn_choose(w, c);
    c->rcv_time_ms = c->snd_time_ms = tcp_now_ms(w);
    c->last_oow_ack_ms = c->rcv_time_ms - 60000; /* none lately */
    c->rto_us = TCP_RTO_FIRST_US;
    tcp_timer_init(c);
    tw->n_conns++;
    tcp_idle_watch(w);
    return c;
}

static void ack_list_remove(struct tcp_worker *tw, struct tcp_conn *c)
{
    if (!(c->flags & TCP_F_ON_ACK_LIST))
        return;
    for (struct tcp_conn **pp = &tw->ack_list; *pp; pp = &(*pp)->ack_next) {
        if (*pp == c) {
            *pp = c->ack_next;
            break;
        }
    }
    c->flags &= ~TCP_F_ON_ACK_LIST;
}

void tcp_conn_free(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    assert(!c->base.session);
    if (hs_unlikely(tcp_is_fastopen(c)))
        tcp_fastopen_gone(w, c);
    else if (c->state == TCP_S_SYN_RCVD)
        tcp_half_open_del(w, c);
    if ((c->flags & TCP_F_CLOSED) && c->state != TCP_S_TIME_WAIT)
        tw->n_orphans--;
    tcp_timer_stop_all(w, c);
    tcp_sent_clear(w, c);
    ack_list_remove(tw, c);
    if (c->base.in_lookup)
        session_lookup_del(w, &c->base);
    if (c->state != TCP_S_CLOSED && c->state != TCP_S_FREE)
        tcp_set_state(w, c, TCP_S_CLOSED);
    tcp_auth_release(w, c);
    tcp_conn_give(w, c);
    tw->n_conns--;
}

/* Without its session, timers and place in the lookup table, or all that has been taken over. */
void tcp_conn_give(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    c->state = TCP_S_FREE;
    tcp_arena_give(&tw->conns, c);
    if (tw->conns.n_taken + tw->waits.n_taken == 0)
        tcp_idle_unwatch(w);
}

struct tcp_conn *tcp_conn_next(struct tcp_worker *tw, uint32_t *i)
{
    struct tcp_conn *c;

    while ((c = tcp_arena_next(&tw->conns, i)) && c->state == TCP_S_FREE)
        ++*i;
    return c;
}

void tcp_conn_free_all(struct worker *w)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct tcp_conn *c;

    for (uint32_t i = 0; (c = tcp_conn_next(tw, &i)); i++) {
        c->base.session = NULL; /* the session layer is being taken down too */
        tcp_conn_free(w, c);
    }
    tcp_wait_free_all(w);
    tcp_idle_free_all(w);
    tcp_arena_fini(&tw->conns);
    tcp_sent_pool_free(tw);
}

/* ---- half-open connections of listeners ---- */

void tcp_half_open_add(struct worker *w, struct tcp_conn *c, struct listener *l)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    c->half.listener = l;
    c->half.half_next = tw->half_list;
    c->half.half_pprev = &tw->half_list;
    if (tw->half_list)
        tw->half_list->half.half_pprev = &c->half.half_next;
    tw->half_list = c;
    tw->n_half_open++;
    listener_half_open(l, 1);
}

/* Returns the listener, NULL if c is not on the list; cc_priv may be used afterwards. */
struct listener *tcp_half_open_del(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct listener *l = c->half.listener;

    if (!(c->flags & TCP_F_PASSIVE) || !l)
        return NULL;
    *c->half.half_pprev = c->half.half_next;
    if (c->half.half_next)
        c->half.half_next->half.half_pprev = c->half.half_pprev;
    memset(c->cc_priv, 0, sizeof(c->cc_priv));
    c->segs_out = 0; /* as Linux: the SYN,ACK was no connection's yet */
    tw->n_half_open--;
    listener_half_open(l, -1);
    return l;
}

/* ---- path and segment size ---- */

/* Effective send MSS (RFC 9293 s3.7.1, MUST-16) and how much fits a super-frame. */
void tcp_conn_mss_update(struct tcp_conn *c, uint32_t tso_max)
{
    uint32_t ip_hdr = ip_addr_is_v4(&c->base.rmt.ip) ? 20 : 40;
    uint32_t fixed = (uint32_t)sizeof(struct tcp_hdr);
    uint32_t peer = c->peer_mss ? c->peer_mss : ip_hdr == 20 ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
    uint32_t path = c->path_mtu > ip_hdr + fixed + TCP_MSS_FLOOR ? c->path_mtu - ip_hdr - fixed : TCP_MSS_FLOOR;
    uint32_t mss = hs_min_u32(peer, path), room;

    if (c->user_mss)
        mss = hs_min_u32(mss, c->user_mss);
    if (mss < TCP_MSS_FLOOR)
        mss = TCP_MSS_FLOOR;
    c->opt_len = (uint8_t)((c->flags & TCP_F_TS ? TCP_OPT_TS_LEN : 0) + c->auth_len);
    mss -= c->opt_len;
    c->mss = (uint16_t)mss;
    room = hs_min_u32(tso_max, PKT_BIG_DATA - 64);
    room = room > ip_hdr + fixed + c->opt_len + mss ? room - ip_hdr - fixed - c->opt_len : mss;
    /* each segment has a signature, or an urgent pointer, of its own */
    c->gso_max = (uint16_t)(c->auth_len || c->flags & TCP_F_SND_URG ? mss : room / mss * mss);
    if (c->cwnd && c->cwnd < mss)
        c->cwnd = mss; /* one segment always fits */
}

int tcp_conn_path_update(struct worker *w, struct tcp_conn *c)
{
    bool v4 = ip_addr_is_v4(&c->base.rmt.ip);
    struct ip_path path;
    uint32_t tso_max = 0;
    uint16_t mtu = v4 ? 576 : 1280, link_mtu = 0; /* no route now: the sizes that every path takes */
    int rc = ip_path_lookup_by(w, c->base.fib, c->base.dev, &c->base.rmt.ip, &path);

    if (rc == 0) {
        mtu = path.mtu;
        link_mtu = path.link_mtu;
        tso_max = path.offloads & PORT_TX_TSO ? path.tso_max : 0;
        c->takes_attached = path.offloads & PORT_TX_ATTACHED;
        if (path.is_local)
            c->flags |= TCP_F_LOCAL;
    }
    c->path_mtu = tcp_pmtu_of_path(w, c, mtu, link_mtu);
    if (!c->adv_mss) { /* from the size we can receive, whatever the path may be (MUST-67) */
        uint32_t adv = (uint32_t)(link_mtu ? link_mtu : mtu) - (v4 ? 20 : 40) - (uint32_t)sizeof(struct tcp_hdr);

        c->adv_mss = (uint16_t)(c->user_mss ? hs_min_u32(adv, c->user_mss) : adv);
    }
    c->tso_max = (uint16_t)hs_min_u32(tso_max, UINT16_MAX);
    tcp_conn_mss_update(c, tso_max);
    return rc;
}

void tcp_conn_begin(struct worker *w, struct tcp_conn *c)
{
    const struct tcp_config *cfg = &tcp_worker_of(w)->cfg;

    if (ip_cache_is_local(w, &c->route)) /* as it was for the SYN: no smaller path in between */
        tcp_conn_mss_update(c, c->tso_max);
    else
        tcp_pmtu_begin(w, c);
    c->ca_state = TCP_CA_OPEN;
    c->recover = c->snd_una - 1; /* RFC 6582 s3.2 step 1: the first loss counts */
    c->snd_sml = c->snd_una;
    c->ssthresh = UINT32_MAX;
    c->cwnd = tcp_cc_initial_window(c, cfg);
    c->cc->init(w, c);
    if (c->flags & TCP_F_SYN_RTX && c->rto_us < 3000000 && c->srtt_us == 0)
        c->rto_us = 3000000; /* RFC 6298 s5.7 */
    c->rcv_mss = (uint16_t)hs_min_u32(c->adv_mss, TCP_MSS_DEFAULT_V4);
    c->quick_acks = TCP_QUICK_ACKS;
    c->data_time_ms = tcp_now_ms(w);
}

void tcp_conn_established(struct worker *w, struct tcp_conn *c)
{
    tcp_set_state(w, c, TCP_S_ESTABLISHED);
    if (hs_unlikely(c->flags & TCP_F_USER_TIMEOUT_SET) && !(c->flags & TCP_F_PASSIVE) && tcp_worker_of(w)->cfg.user_timeout_option)
        c->flags |= TCP_F_TELL_USER_TIMEOUT; /* once more: a listener that answers with a cookie has forgotten what the SYN said */
    c->retransmits = 0;
    c->rexmt_first_us = 0;
    tcp_rexmt_stop(c);
    tcp_conn_begin(w, c);
    tcp_keepalive_update(w, c);
}

/* ---- ends ---- */

/* The program has closed and its bytes are all acknowledged: the FIFOs are not needed any more. */
void tcp_conn_release_session(struct worker *w, struct tcp_conn *c)
{
    struct session *s = c->base.session;

    if (s && (c->flags & TCP_F_CLOSED)) {
        session_closed(w, s);
        c->base.session = NULL;
    }
}

void tcp_conn_abort(struct worker *w, struct tcp_conn *c, int error, bool send_rst)
{
    struct session *s = c->base.session;
    enum tcp_state st = c->state;

    tcp_trace(w, c, TCP_TRACE_RESET, (uint32_t)-error);
    if (send_rst)
        tcp_send_rst(w, c);
    c->base.session = NULL;
    if (s && (c->flags & TCP_F_CLOSED))
        session_closed(w, s);
    else if (s && (st == TCP_S_SYN_SENT || st == TCP_S_SYN_RCVD) && !(c->flags & TCP_F_PASSIVE))
        session_connected(w, s, error);
    else if (s)
        session_reset(w, s, error);
    tcp_conn_free(w, c);
}

/* The connection has come to its end in order. A program that has not closed yet keeps it, as CLOSED, until it does. */
void tcp_conn_done(struct worker *w, struct tcp_conn *c)
{
    tcp_conn_release_session(w, c);
    if (!c->base.session) {
        tcp_conn_free(w, c);
        return;
    }
    tcp_timer_stop_all(w, c);
    if (c->base.in_lookup)
        session_lookup_del(w, &c->base);
    if (c->state != TCP_S_CLOSED)
        tcp_set_state(w, c, TCP_S_CLOSED);
}
