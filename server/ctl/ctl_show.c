/* ctl_show.c - what workers know: sessions, transport counters, drops, processor time */
#include "server/ctl/ctl_show.h"

#include <string.h>

#include "server/ctl/ctl_command.h"
#include "server/ip/ip_show.h"
#include "server/sctp/sctp.h"
#include "server/session/session_run.h"
#include "server/session/transport.h"
#include "server/tcp/tcp.h"
#include "server/worker/worker_thread.h"

uint32_t ctl_show_session(struct worker *w, uint32_t from, json_t *result, bool verbose)
{
    return session_show(w, from, CTL_PIECE_MAX, verbose, result);
}

/* ---------------------------------------------------------------- transports */

static json_t *transport_stats(struct worker *w, uint8_t proto)
{
    const struct transport_ops *ops = transport_get(proto);
    json_t *o = json_object();

    if (ops && ops->show_stats)
        ops->show_stats(w, o);
    return o;
}

static uint32_t show_transport(struct worker *w, json_t *result, uint8_t proto)
{
    json_t *o = json_object(), *stats = transport_stats(w, proto);

    json_object_set_new(o, "worker", json_integer(w->index));
    json_object_update(o, stats);
    json_decref(stats);
    json_array_append_new(result, o);
    return CTL_DONE;
}

uint32_t ctl_show_tcp(struct worker *w, uint32_t from, json_t *result, bool timers)
{
    if (timers)
        return tcp_show_timers(w, from, CTL_PIECE_MAX, result);
    return show_transport(w, result, SVM_PROTO_TCP);
}

static uint32_t trace_switch(struct worker *w, json_t *result, bool on)
{
    int err = tcp_trace_switch(w, on);

    json_array_append_new(result, json_pack("{s:i, s:s}", "worker", w->index, "trace", err ? "no memory" : on ? "on" : "off"));
    return CTL_DONE;
}
uint32_t ctl_trace_on(struct worker *w, uint32_t from HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    return trace_switch(w, result, true);
}
uint32_t ctl_trace_off(struct worker *w, uint32_t from HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    return trace_switch(w, result, false);
}
uint32_t ctl_show_trace(struct worker *w, uint32_t from, json_t *result, bool with_argument HS_UNUSED)
{
    return tcp_trace_show(w, from, CTL_PIECE_MAX, result);
}

uint32_t ctl_show_tls(struct worker *w, uint32_t from HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    return show_transport(w, result, SVM_PROTO_TLS);
}

uint32_t ctl_show_sctp(struct worker *w, uint32_t from, json_t *result, bool paths)
{
    if (paths)
        return sctp_show_paths(w, from, CTL_PIECE_MAX, result);
    return show_transport(w, result, SVM_PROTO_SCTP);
}

uint32_t ctl_show_udp(struct worker *w, uint32_t from HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    return show_transport(w, result, SVM_PROTO_UDP);
}

/* ---------------------------------------------------------------- drops */

/* Counters of transports are of both kinds: packets dropped, and others. */
struct transport_counter {
    const char *name, *text;
    const char *severity; /* "DROP", or NULL: the name begins with drop_ */
};
static const struct transport_counter tcp_counters[] = {
#define X(name, severity, text) { #name, text, #severity },
#include "server/tcp/tcp_drops.def"
#undef X
};
static const struct transport_counter udp_counters[] = {
#define COUNT(name, text) { #name, text, NULL },
#include "server/udp/udp_drops.def"
#undef COUNT
};
static const struct transport_counter sctp_counters[] = {
#define COUNT(name, text) { #name, text, NULL },
#include "server/sctp/sctp_drops.def"
#undef COUNT
};

static bool counts_drops(const struct transport_counter *c)
{
    return c->severity ? strcmp(c->severity, "DROP") == 0 : strncmp(c->name, "drop_", 5) == 0;
}

/* One row a reason: what several workers dropped is added up. */
static void add_drops(json_t *result, const char *layer, const char *reason, json_int_t n)
{
    size_t i;
    json_t *row;

    json_array_foreach(result, i, row) {
        json_t *count = json_object_get(row, "count");
        if (strcmp(json_string_value(json_object_get(row, "layer")), layer) != 0 ||
            strcmp(json_string_value(json_object_get(row, "reason")), reason) != 0)
            continue;
        json_integer_set(count, json_integer_value(count) + n);
        return;
    }
    json_array_append_new(result, json_pack("{s:s, s:s, s:I}", "layer", layer, "reason", reason, "count", n));
}

void ctl_show_errors_ip(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    ip_drops_show(s, result);
}

static void add_transport(struct worker *w, json_t *result, uint8_t proto, const char *layer,
                          const struct transport_counter *counters, unsigned n_counters)
{
    json_t *stats = transport_stats(w, proto);

    for (unsigned i = 0; i < n_counters; i++) {
        json_int_t n = json_integer_value(json_object_get(stats, counters[i].name));
        if (n != 0 && counts_drops(&counters[i]))
            add_drops(result, layer, counters[i].text, n);
    }
    json_decref(stats);
}

uint32_t ctl_show_errors(struct worker *w, uint32_t from HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    add_transport(w, result, SVM_PROTO_TCP, "tcp", tcp_counters, HS_ARRAY_LEN(tcp_counters));
    add_transport(w, result, SVM_PROTO_UDP, "udp", udp_counters, HS_ARRAY_LEN(udp_counters));
    add_transport(w, result, SVM_PROTO_SCTP, "sctp", sctp_counters, HS_ARRAY_LEN(sctp_counters));
    return CTL_DONE;
}

/* ---------------------------------------------------------------- processor time */

void ctl_show_worker(struct stack *s, json_t *result, bool with_argument HS_UNUSED)
{
    for (unsigned i = 0; i < s->n_workers; i++) {
        struct worker_counters c;
        json_t *o = json_object(), *cycles = json_object();
        worker_get_counters(s->worker[i], &c);
        json_object_set_new(o, "worker", json_integer(i));
        json_object_set_new(o, "running", json_boolean(worker_is_running(s->worker[i])));
        json_object_set_new(o, "turns", json_integer((json_int_t)c.turns));
        json_object_set_new(o, "busy_turns", json_integer((json_int_t)c.busy_turns));
        json_object_set_new(o, "sleeps", json_integer((json_int_t)c.sleeps));
        json_object_set_new(o, "rx_packets", json_integer((json_int_t)c.rx_packets));
        json_object_set_new(o, "tx_packets", json_integer((json_int_t)c.tx_packets));
        json_object_set_new(o, "tx_drops", json_integer((json_int_t)c.tx_drops));
        json_object_set_new(o, "handed_over", json_integer((json_int_t)c.handed_over));
        json_object_set_new(o, "handover_drops", json_integer((json_int_t)c.handover_drops));
        json_object_set_new(o, "commands", json_integer((json_int_t)c.commands));
        json_object_set_new(o, "cpu_us", json_integer((json_int_t)worker_cpu_us(s->worker[i])));
        json_object_set_new(o, "cycles_hz", json_integer((json_int_t)worker_cycles_hz()));
        for (unsigned k = 0; k < WORKER_N_STAGES; k++)
            json_object_set_new(cycles, worker_stage_name((enum worker_stage)k), json_integer((json_int_t)c.cycles[k]));
        json_object_set_new(o, "cycles", cycles);
        json_array_append_new(result, o);
    }
}
