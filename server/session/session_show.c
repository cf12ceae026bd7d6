/* session_show.c - rows of `hoststackctl show session` */
#include "server/local/local.h"
#include "server/session/session_internal.h"

#include <jansson.h>

static const char *const state_names[] = {
    [SESSION_FREE] = "free", [SESSION_BOUND] = "bound", [SESSION_LISTENING] = "listening", [SESSION_CONNECTING] = "connecting",
    [SESSION_ACCEPTING] = "accepting", [SESSION_ESTABLISHED] = "established", [SESSION_CLOSING] = "closing", [SESSION_DEAD] = "dead",
};

static uint32_t count_holds(const struct session *s)
{
    uint32_t n = 0;

    for (const struct session_hold *h = s->holds; h; h = h->s_next)
        n++;
    return n;
}

static const char *path_of(const struct session *s)
{
    if (s->local)
        return "cut-through";
    if (s->ops == &local_relay_ops)
        return "relay";
    return s->state == SESSION_LISTENING ? "-" : "network";
}

static json_t *row(struct worker *w, struct session *s, bool verbose)
{
    char lcl[IP_ENDPOINT_TEXT_MAX], rmt[IP_ENDPOINT_TEXT_MAX];
    struct session_fifos room, *f = session_fifos_look(w, s, &room);
    json_t *o = json_object();

    json_object_set_new(o, "proto", json_string(s->ops ? s->ops->name : "?"));
    json_object_set_new(o, "local", json_string(ip_endpoint_format(&s->lcl, lcl)));
    json_object_set_new(o, "remote", json_string(ip_endpoint_format(&s->rmt, rmt)));
    json_object_set_new(o, "state", json_string(state_names[s->state]));
    json_object_set_new(o, "path", json_string(path_of(s)));
    json_object_set_new(o, "worker", json_integer(w->index));
    json_object_set_new(o, "client", s->app && !s->app->ops->is_internal ? json_integer(s->app->client_id) : json_null());
    if (f) {
        int64_t tx = svm_fifo_cons_failed(&f->tx) ? 0 : svm_fifo_cons_avail(&f->tx);
        int64_t rx = svm_fifo_prod_unread(&f->rx);
        json_object_set_new(o, "rx_queued", json_integer(rx < 0 ? 0 : rx));
        json_object_set_new(o, "tx_queued", json_integer(tx < 0 ? 0 : tx));
    }
    if (!verbose)
        return o;
    json_object_set_new(o, "index", json_integer(s->handle.index));
    json_object_set_new(o, "generation", json_integer(s->handle.gen));
    json_object_set_new(o, "holders", json_integer(count_holds(s)));
    if (f) {
        json_object_set_new(o, "rx_fifo_size", json_integer(f->rx.mask ? f->rx.mask + 1 : 0));
        json_object_set_new(o, "rx_fifo_max", json_integer(f->rx.max_size));
        json_object_set_new(o, "tx_fifo_size", json_integer(svm_fifo_cons_ring_size(&f->tx)));
        json_object_set_new(o, "tx_fifo_max", json_integer(f->tx.max_size));
        json_object_set_new(o, "rx_out_of_order", json_integer(f->rx.n_ooo));
    }
    if (s->listener) {
        json_object_set_new(o, "backlog", json_integer(s->listener->backlog));
        json_object_set_new(o, "half_open", json_integer(s->listener->n_half_open));
        json_object_set_new(o, "waiting", json_integer(s->listener->n_waiting));
    }
    if (s->error)
        json_object_set_new(o, "error", json_integer(s->error));
    if (s->conn && s->ops->show)
        s->ops->show(w, s->conn, o);
    return o;
}

uint32_t session_show(struct worker *w, uint32_t from, unsigned max, bool verbose, json_t *array)
{
    struct session_worker *sw = w->session;
    uint32_t end = sw->n_chunks * SESSION_CHUNK;
    uint32_t stop = end - hs_min_u32(from, end) > max ? from + max : end;

    for (uint32_t i = from; i < stop; i++) {
        struct session *s = &sw->chunk[i / SESSION_CHUNK][i % SESSION_CHUNK];
        if (s->state != SESSION_FREE)
            json_array_append_new(array, row(w, s, verbose));
    }
    return stop < end ? stop : UINT32_MAX;
}
