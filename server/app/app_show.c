/* app_show.c - what the server holds for programs: `hoststackctl show app` */
#include "server/app/app_internal.h"

#include <jansson.h>
#include <string.h>
#include "server/session/session_run.h"

void app_server_get_counts(struct app_server *as, struct app_server_counts *out)
{
    memset(out, 0, sizeof(*out));
    for (const struct app_client *c = as->clients; c; c = c->next) {
        bool is_first = true;
        out->clients += c->state == APP_CLIENT_ATTACHED;
        out->zombies += c->state == APP_CLIENT_LEAVING;
        out->fork_tokens += c->state == APP_CLIENT_FORKED;
        out->segments += 2 * c->n_banks + (c->p.base != NULL);
        out->descriptors += app_client_fds(c);
        for (uint32_t i = 0; i < c->n_banks; i++)
            out->segment_bytes += c->bank[i].s.size + c->bank[i].c.size;
        for (const struct app_client *o = as->clients; o != c && is_first; o = o->next)
            is_first = o->app_id != c->app_id;
        out->apps += is_first && c->app_id != 0;
    }
    out->pairs = as->n_pairs;
    out->segments += as->n_pairs;
    out->descriptors += as->n_pairs;
    for (unsigned i = 0; i < as->stack->n_workers; i++) {
        out->sessions += session_count(as->stack->worker[i]);
        out->listeners += session_listener_count(as->stack->worker[i]);
    }
    out->clients_ever = as->clients_ever;
    out->violations = as->violations;
}

static json_t *client_row(const struct app_client *c)
{
    static const char *const states[] = { "new", "forked", "attached", "leaving" };
    json_t *o = json_object();
    uint32_t sessions = 0, in = 0, out = 0;
    uint64_t ring_bytes = 0;

    for (unsigned i = 0; i < c->as->stack->n_workers; i++) {
        sessions += __atomic_load_n(&c->per[i].aw.n_sessions, __ATOMIC_RELAXED);
        in += __atomic_load_n(&c->per[i].in.head, __ATOMIC_RELAXED); /* the workers' own counts; as they are just now */
        out += __atomic_load_n(&c->per[i].out.tail, __ATOMIC_RELAXED);
        ring_bytes += __atomic_load_n(&c->per[i].ring_bytes, __ATOMIC_RELAXED);
    }
    json_object_set_new(o, "client", json_integer(c->client_id));
    json_object_set_new(o, "app", json_integer(c->app_id));
    json_object_set_new(o, "name", json_stringn(c->name, strnlen(c->name, sizeof(c->name))));
    json_object_set_new(o, "pid", json_integer(c->pid));
    json_object_set_new(o, "uid", json_integer(c->uid));
    json_object_set_new(o, "namespace", json_string(c->ns ? c->as->ns[c->ns - 1].name : ""));
    json_object_set_new(o, "state", json_string(states[c->state]));
    json_object_set_new(o, "sessions", json_integer(sessions));
    json_object_set_new(o, "messages_in", json_integer(in));
    json_object_set_new(o, "messages_out", json_integer(out));
    json_object_set_new(o, "banks", json_integer(c->n_banks));
    json_object_set_new(o, "descriptors", json_integer(app_client_fds(c)));
    json_object_set_new(o, "rx_ring_bytes", json_integer((json_int_t)ring_bytes));
    return o;
}

void app_server_show(struct app_server *as, json_t *obj)
{
    struct app_server_counts n;
    json_t *rows = json_array();

    app_server_get_counts(as, &n);
    json_object_set_new(obj, "clients", json_integer(n.clients));
    json_object_set_new(obj, "apps", json_integer(n.apps));
    json_object_set_new(obj, "leaving", json_integer(n.zombies));
    json_object_set_new(obj, "segments", json_integer(n.segments));
    json_object_set_new(obj, "pairs", json_integer(n.pairs));
    json_object_set_new(obj, "sessions", json_integer(n.sessions));
    json_object_set_new(obj, "listeners", json_integer(n.listeners));
    json_object_set_new(obj, "fork_tokens", json_integer(n.fork_tokens));
    json_object_set_new(obj, "descriptors", json_integer(n.descriptors));
    json_object_set_new(obj, "segment_bytes", json_integer((json_int_t)n.segment_bytes));
    json_object_set_new(obj, "clients_ever", json_integer((json_int_t)n.clients_ever));
    json_object_set_new(obj, "violations", json_integer((json_int_t)n.violations));
    for (const struct app_client *c = as->clients; c; c = c->next)
        json_array_append_new(rows, client_row(c));
    json_object_set_new(obj, "rows", rows);
}
