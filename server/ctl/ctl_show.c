/* ctl_show.c - what workers know: sessions, transport counters, drops, processor time */
#include "server/ctl/ctl_show.h"

#include <string.h>

#include "server/ctl/ctl_command.h"
#include "server/ip/ip_internal.h"
#include "server/session/session_show.h"
#include "server/session/transport.h"
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

uint32_t ctl_show_tcp(struct worker *w, uint32_t from HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    json_t *o = json_object();

    json_object_set_new(o, "worker", json_integer(w->index));
    json_t *stats = transport_stats(w, SVM_PROTO_TCP);
    json_object_update(o, stats);
    json_decref(stats);
    json_array_append_new(result, o);
    return CTL_DONE;
}

/* ---------------------------------------------------------------- drops */

struct drop_desc {
    const char *name, *text;
};
#define DROP(name, text) { #name, text },
static const struct drop_desc eth_desc[] = {
#include "server/eth/eth_drops.def"
};
static const struct drop_desc neigh_desc[] = {
#include "server/neigh/neigh_drops.def"
};
static const struct drop_desc ip_desc[] = {
#include "server/ip/ip_drops.def"
};
static const struct drop_desc icmp_desc[] = {
#include "server/icmp/icmp_drops.def"
};
#undef DROP
#define X(name, severity, text) { #name, strcmp(#severity, "DROP") == 0 ? text : NULL },

static void add_row(json_t *result, unsigned worker, const char *layer, const char *name, const char *text, json_int_t n)
{
    char lower[64];
    size_t i;
    json_t *o;

    if (n == 0)
        return;
    for (i = 0; name[i] && i + 1 < sizeof(lower); i++)
        lower[i] = name[i] >= 'A' && name[i] <= 'Z' ? (char)(name[i] | 0x20) : name[i];
    lower[i] = '\0';
    o = json_object();
    json_object_set_new(o, "worker", json_integer(worker));
    json_object_set_new(o, "layer", json_string(layer));
    json_object_set_new(o, "name", json_string(lower));
    json_object_set_new(o, "packets", json_integer(n));
    json_object_set_new(o, "reason", json_string(text));
    json_array_append_new(result, o);
}

static void add_layer(json_t *result, unsigned worker, const char *layer, const struct drop_desc *desc, const uint64_t *n,
                      unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        add_row(result, worker, layer, desc[i].name, desc[i].text, (json_int_t)n[i]);
}

uint32_t ctl_show_errors(struct worker *w, uint32_t from HS_UNUSED, json_t *result, bool with_argument HS_UNUSED)
{
    const struct drop_desc tcp_desc[] = {
#include "server/tcp/tcp_drops.def"
    };
    const struct ip_counters *c = &w->ip->count;

    add_layer(result, w->index, "ethernet", eth_desc, c->eth, ETH_DROP_MAX);
    add_layer(result, w->index, "neighbor", neigh_desc, c->neigh, NEIGH_DROP_MAX);
    add_layer(result, w->index, "ip", ip_desc, c->ip, IP_DROP_MAX);
    add_layer(result, w->index, "icmp", icmp_desc, c->icmp, ICMP_DROP_MAX);
    json_t *tcp = transport_stats(w, SVM_PROTO_TCP);
    for (unsigned i = 0; i < HS_ARRAY_LEN(tcp_desc); i++)
        if (tcp_desc[i].text)
            add_row(result, w->index, "tcp", tcp_desc[i].name, tcp_desc[i].text,
                    json_integer_value(json_object_get(tcp, tcp_desc[i].name)));
    json_decref(tcp);
    return CTL_DONE;
}
#undef X

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
        for (unsigned k = 0; k < WORKER_N_STAGES; k++)
            json_object_set_new(cycles, worker_stage_name((enum worker_stage)k), json_integer((json_int_t)c.cycles[k]));
        json_object_set_new(o, "cycles", cycles);
        json_array_append_new(result, o);
    }
}
