/* tcp_trace.c - what happened to connections lately: a ring of events per worker, off until `hoststackctl trace session on`
 * Owner:  struct tcp_trace: the worker; made when tracing is switched on, freed when it is switched off.
 * Thread: owning worker only.
 * Errors: -ENOMEM when there is no memory for the ring. When the ring is full the oldest events go. */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include "server/tcp/tcp_trace.h"

enum { TCP_TRACE_EVENTS = 8192 };

struct tcp_trace_event {
    uint64_t at_us;
    struct ip_endpoint lcl, rmt;
    uint32_t cwnd, ssthresh, in_flight, srtt_us;
    uint32_t arg;               /* state: the old one */
    uint8_t what, state;
};
struct tcp_trace {
    uint64_t n;                 /* events ever */
    struct tcp_trace_event e[TCP_TRACE_EVENTS];
};

static const char *const event_names[] = {
    [TCP_TRACE_STATE] = "state", [TCP_TRACE_RTO] = "timeout", [TCP_TRACE_RECOVERY] = "recovery", [TCP_TRACE_RECOVERED] = "recovered",
    [TCP_TRACE_UNDO] = "undo", [TCP_TRACE_PROBE] = "window probe", [TCP_TRACE_MTU] = "path mtu", [TCP_TRACE_RESET] = "reset",
    [TCP_TRACE_CWND] = "cwnd",
};

int tcp_trace_switch(struct worker *w, bool on)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    if (!on) {
        free(tw->trace);
        tw->trace = NULL;
    } else if (!tw->trace) {
        tw->trace = calloc(1, sizeof(*tw->trace));
        if (!tw->trace)
            return -ENOMEM;
    }
    return 0;
}

void tcp_trace_add(struct worker *w, const struct tcp_conn *c, enum tcp_trace_what what, uint32_t arg)
{
    struct tcp_trace *t = tcp_worker_of(w)->trace;
    struct tcp_trace_event *e = &t->e[t->n++ % TCP_TRACE_EVENTS];

    *e = (struct tcp_trace_event){
        .at_us = w->now_us, .lcl = c->base.lcl, .rmt = c->base.rmt, .cwnd = c->cwnd, .ssthresh = c->ssthresh,
        .in_flight = c->snd_nxt - c->snd_una, .srtt_us = c->srtt_us, .arg = arg, .what = (uint8_t)what, .state = c->state,
    };
}

static json_t *event_row(const struct worker *w, const struct tcp_trace_event *e)
{
    char lcl[IP_ENDPOINT_TEXT_MAX], rmt[IP_ENDPOINT_TEXT_MAX];
    json_t *o = json_object();

    json_object_set_new(o, "ago_ms", json_real((double)(w->now_us - e->at_us) / 1000));
    json_object_set_new(o, "worker", json_integer(w->index));
    json_object_set_new(o, "local", json_string(ip_endpoint_format(&e->lcl, lcl)));
    json_object_set_new(o, "remote", json_string(ip_endpoint_format(&e->rmt, rmt)));
    json_object_set_new(o, "event", json_string(event_names[e->what]));
    if (e->what == TCP_TRACE_STATE)
        json_object_set_new(o, "from", json_string(tcp_state_name((enum tcp_state)e->arg)));
    else
        json_object_set_new(o, "value", json_integer(e->arg));
    json_object_set_new(o, "state", json_string(tcp_state_name((enum tcp_state)e->state)));
    json_object_set_new(o, "cwnd", json_integer(e->cwnd));
    json_object_set_new(o, "ssthresh", e->ssthresh == UINT32_MAX ? json_null() : json_integer(e->ssthresh));
    json_object_set_new(o, "in_flight", json_integer(e->in_flight));
    json_object_set_new(o, "srtt_us", json_integer(e->srtt_us));
    return o;
}

uint32_t tcp_trace_show(struct worker *w, uint32_t from, unsigned max, json_t *array)
{
    const struct tcp_trace *t = tcp_worker_of(w)->trace;
    uint64_t first, i;

    if (!t)
        return UINT32_MAX;
    /* `from` counts from the oldest event there is; some may have gone since the piece before, then later ones stand there. */
    first = t->n > TCP_TRACE_EVENTS ? t->n - TCP_TRACE_EVENTS : 0;
    for (i = first + from; i < t->n && max; i++, max--)
        json_array_append_new(array, event_row(w, &t->e[i % TCP_TRACE_EVENTS]));
    return i < t->n ? (uint32_t)(i - first) : UINT32_MAX;
}
