/* tcp_show.c - a connection's fields and the worker's counters, for hoststackctl */
#include <jansson.h>
#include "server/tcp/tcp_cc.h"

struct counter_desc { const char *name, *severity, *text; };

static const struct counter_desc tcp_counter_desc[TCP_C_MAX] = {
#define X(name, severity, text) [TCP_C_##name] = { #name, #severity, text },
#include "server/tcp/tcp_drops.def"
#undef X
};

void tcp_show(struct worker *w, const struct transport_conn *b, struct json_t *obj)
{
    const struct tcp_conn *c = (const struct tcp_conn *)b;

    (void)w;
    json_object_set_new(obj, "state", json_string(tcp_state_name(c->state)));
    json_object_set_new(obj, "cc", json_string(c->cc->name));
    json_object_set_new(obj, "mss", json_integer(c->mss));
    json_object_set_new(obj, "cwnd", json_integer(c->cwnd));
    if (c->ssthresh != UINT32_MAX)
        json_object_set_new(obj, "ssthresh", json_integer(c->ssthresh));
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
    json_object_set_new(obj, "half_open", json_integer(tw->n_half_open));
    json_object_set_new(obj, "time_wait", json_integer(tw->n_time_wait));
    json_object_set_new(obj, "orphans", json_integer(tw->n_orphans));
    for (unsigned i = 0; i < TCP_C_MAX; i++)
        json_object_set_new(obj, tcp_counter_desc[i].name, json_integer((json_int_t)tw->counters[i]));
}
