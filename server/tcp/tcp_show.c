/* tcp_show.c - a connection's fields and the worker's counters, for hoststackctl */
#include <jansson.h>
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_idle.h"
#include "server/tcp/tcp_pmtu.h"
#include "server/tcp/tcp_wait.h"

struct counter_desc { const char *name, *severity, *text; };

static const struct counter_desc tcp_counter_desc[TCP_C_MAX] = {
#define X(name, severity, text) [TCP_C_##name] = { #name, #severity, text },
#include "server/tcp/tcp_drops.def"
#undef X
};

/* What a program sees in TCP_INFO, too. */
static void put_counts(struct worker *w, const struct tcp_conn *c, json_t *obj)
{
    struct svm_tcp_info2 two;
    struct svm_tcp_info3 three;
    struct svm_tcp_info4 four;
    uint32_t n = sizeof(two);

    if (tcp_info_get(w, c, SVM_ATTR_TCP_INFO2, &two, &n) == 0) {
        json_object_set_new(obj, "path_mtu", json_integer(two.pmtu));
        tcp_pmtu_show(w, c, obj);
        json_object_set_new(obj, "not_sent", json_integer(two.notsent));
        json_object_set_new(obj, "sacked_segments", json_integer(two.sacked));
        json_object_set_new(obj, "lost_segments", json_integer(two.lost));
        json_object_set_new(obj, "last_sent_ms", json_integer(two.last_data_sent_ms));
        json_object_set_new(obj, "last_received_ms", json_integer(two.last_recv_ms));
    }
    n = sizeof(three);
    if (tcp_info_get(w, c, SVM_ATTR_TCP_INFO3, &three, &n) == 0) {
        json_object_set_new(obj, "bytes_acked", json_integer((json_int_t)three.bytes_acked));
        json_object_set_new(obj, "bytes_received", json_integer((json_int_t)three.bytes_received));
    }
    n = sizeof(four);
    if (tcp_info_get(w, c, SVM_ATTR_TCP_INFO4, &four, &n) == 0) {
        json_object_set_new(obj, "segments_in", json_integer(four.segs_in));
        json_object_set_new(obj, "segments_out", json_integer(four.segs_out));
    }
    json_object_set_new(obj, "timeouts", json_integer(c->retransmits));
    json_object_set_new(obj, "user_timeout_ms", json_integer(c->user_timeout_ms));
    json_object_set_new(obj, "keepalive", json_boolean(c->flags & TCP_F_KEEPALIVE));
    json_object_set_new(obj, "nodelay", json_boolean(c->flags & TCP_F_NODELAY));
    json_object_set_new(obj, "corked", json_boolean(c->flags & TCP_F_CORK));
}

void tcp_show(struct worker *w, const struct transport_conn *b, struct json_t *obj)
{
    struct tcp_conn room;
    const struct tcp_conn *c = tcp_idle_look(w, b, &room);

    json_object_set_new(obj, "state", json_string(tcp_state_name(c->state)));
    put_counts(w, c, obj);
    if (c->lflags & TCP_LF_AUTH)
        tcp_auth_show(w, c, obj);
    json_object_set_new(obj, "cc", json_string(c->cc->name));
    json_object_set_new(obj, "mss", json_integer(c->mss));
    json_object_set_new(obj, "cwnd", json_integer(c->cwnd));
    if (c->ssthresh != UINT32_MAX)
        json_object_set_new(obj, "ssthresh", json_integer(c->ssthresh));
    if (c->pace_rate)
        json_object_set_new(obj, "pacing_rate", json_integer((json_int_t)c->pace_rate * TCP_PACE_UNIT));
    json_object_set_new(obj, "snd_wnd", json_integer(c->snd_wnd));
    json_object_set_new(obj, "rcv_wnd", json_integer(seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0));
    json_object_set_new(obj, "in_flight", json_integer(c->snd_nxt - c->snd_una));
    json_object_set_new(obj, "srtt_us", json_integer(c->srtt_us));
    json_object_set_new(obj, "rttvar_us", json_integer(c->rttvar_us));
    json_object_set_new(obj, "rto_us", json_integer(c->rto_us));
    json_object_set_new(obj, "retransmits", json_integer(c->total_retrans));
    json_object_set_new(obj, "timestamps", json_boolean(c->flags & TCP_F_TS));
    json_object_set_new(obj, "sack", json_boolean(c->flags & TCP_F_SACK));
    json_object_set_new(obj, "snd_wscale", json_integer(c->snd_wscale));
    json_object_set_new(obj, "rcv_wscale", json_integer(c->rcv_wscale));
}

void tcp_show_stats(struct worker *w, struct json_t *obj)
{
    const struct tcp_worker *tw = tcp_worker_of(w);

    json_object_set_new(obj, "connections", json_integer(tw->n_conns));
    json_object_set_new(obj, "idle", json_integer(tw->idle.n_taken + tw->idle_timed.n_taken));
    json_object_set_new(obj, "half_open", json_integer(tw->n_half_open));
    json_object_set_new(obj, "time_wait", json_integer(tw->n_time_wait));
    json_object_set_new(obj, "orphans", json_integer(tw->n_orphans));
    for (unsigned i = 0; i < TCP_C_MAX; i++)
        json_object_set_new(obj, tcp_counter_desc[i].name, json_integer((json_int_t)tw->counters[i]));
}

/* Milliseconds until t fires, with its name; what is not running is not named. */
static void put_timer(const struct worker *w, json_t *o, const struct timer_node *t, const char *name, uint64_t due_us)
{
    if (timer_is_running(t))
        json_object_set_new(o, name, json_real(due_us > w->now_us ? (double)(due_us - w->now_us) / 1000 : 0.0));
}

static json_t *timer_row(const struct worker *w, const struct tcp_conn *c)
{
    static const char *const modes[] = {
        [TCP_REXMT_RTO] = "retransmit_ms", [TCP_REXMT_PERSIST] = "window_probe_ms", [TCP_REXMT_CORK] = "held_back_ms",
    };
    const char *mode = c->rexmt_mode < HS_ARRAY_LEN(modes) && modes[c->rexmt_mode] ? modes[c->rexmt_mode] : "loss_detection_ms";
    char lcl[IP_ENDPOINT_TEXT_MAX], rmt[IP_ENDPOINT_TEXT_MAX];
    json_t *o = json_object();

    if (c->rexmt_mode == TCP_REXMT_RTO && c->snd_wnd == 0 && c->state != TCP_S_SYN_SENT && c->state != TCP_S_SYN_RCVD)
        mode = modes[TCP_REXMT_PERSIST]; /* the window was shrunk under what is in flight */
    json_object_set_new(o, "worker", json_integer(w->index));
    json_object_set_new(o, "local", json_string(ip_endpoint_format(&c->base.lcl, lcl)));
    json_object_set_new(o, "remote", json_string(ip_endpoint_format(&c->base.rmt, rmt)));
    json_object_set_new(o, "state", json_string(tcp_state_name(c->state)));
    if (c->rexmt_mode != TCP_REXMT_NONE)
        put_timer(w, o, &c->t_rexmt, mode, c->rexmt_deadline_us);
    if (c->flags & TCP_F_ACK_DELAYED)
        put_timer(w, o, &c->t_delack, "delayed_ack_ms", c->t_delack.expires_us);
    put_timer(w, o, &c->t_misc, c->state == TCP_S_TIME_WAIT ? "time_wait_ms" : c->state == TCP_S_FIN_WAIT_2 && (c->flags & TCP_F_CLOSED) ?
              "fin_wait2_ms" : "keepalive_ms", c->t_misc.expires_us);
    json_object_set_new(o, "rto_ms", json_real((double)c->rto_us / 1000));
    json_object_set_new(o, "timeouts", json_integer(c->retransmits));
    return o;
}

static json_t *wait_row(struct worker *w, const struct tcp_wait *t)
{
    struct tcp_conn c;
    json_t *o;

    tcp_wait_expand(w, t, &c);
    o = timer_row(w, &c);
    json_object_set_new(o, "time_wait_ms", json_real(t->until_us > w->now_us ? (double)(t->until_us - w->now_us) / 1000 : 0.0));
    return o;
}

/* Every connection, also those that no session shows: half open, and in TIME-WAIT. Of idle ones those with a timer. The two upper bits of
 * `from` say which arena it counts. */
uint32_t tcp_show_timers(struct worker *w, uint32_t from, unsigned max, struct json_t *array)
{
    enum { IN_ARENA = (1u << 30) - 1, IDLE = 1u << 30 };
    const uint32_t waits = 2u << 30;
    struct tcp_worker *tw = tcp_worker_of(w);
    uint32_t arena = from & ~(uint32_t)IN_ARENA;
    const struct tcp_idle_timed *i;
    const struct tcp_wait *t;
    const struct tcp_conn *c;
    struct tcp_conn room;

    from &= IN_ARENA;
    if (arena == 0) {
        for (; max && (c = tcp_conn_next(tw, &from)); from++, max--)
            json_array_append_new(array, timer_row(w, c));
        if (!max)
            return from;
        arena = IDLE, from = 0;
    }
    if (arena == IDLE) {
        for (; max && (i = tcp_arena_next(&tw->idle_timed, &from)); from++, max--) {
            if (i->i.state == TCP_S_IDLE)
                json_array_append_new(array, timer_row(w, tcp_idle_look(w, &i->i.base, &room)));
        }
        if (!max)
            return from | (uint32_t)IDLE;
        from = 0;
    }
    for (; max && (t = tcp_arena_next(&tw->waits, &from)); from++, max--) {
        if (t->state == TCP_S_WAITING)
            json_array_append_new(array, wait_row(w, t));
    }
    return max ? UINT32_MAX : from | waits;
}
