/* sctp_show.c - associations, paths and counters for hoststackctl */
#include <jansson.h>

#include "server/sctp/sctp_internal.h"

static const char *const state_names[SCTP_S_MAX] = {
    [SCTP_S_CLOSED] = "closed", [SCTP_S_COOKIE_WAIT] = "cookie-wait", [SCTP_S_COOKIE_ECHOED] = "cookie-echoed",
    [SCTP_S_ESTABLISHED] = "established", [SCTP_S_SHUTDOWN_PENDING] = "shutdown-pending", [SCTP_S_SHUTDOWN_SENT] = "shutdown-sent",
    [SCTP_S_SHUTDOWN_RECEIVED] = "shutdown-received", [SCTP_S_SHUTDOWN_ACK_SENT] = "shutdown-ack-sent",
};
static const char *const path_names[] = {
    [SCTP_PATH_UNCONFIRMED] = "unconfirmed", [SCTP_PATH_ACTIVE] = "active", [SCTP_PATH_PF] = "potentially-failed",
    [SCTP_PATH_INACTIVE] = "inactive",
};

static json_t *path_show(const struct sctp_path *p)
{
    char text[IP_ADDR_TEXT_MAX];

    return json_pack("{s:s, s:s, s:b, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "address", ip_addr_format(&p->ip, text), "state",
                     path_names[p->state], "primary", p == p->a->primary, "mtu", (int)p->pmtu, "cwnd", (int)p->cwnd, "ssthresh",
                     (int)p->ssthresh, "flight", (int)p->flight, "srtt_us", (int)p->srtt_us, "rto_us", (int)p->rto_us, "errors",
                     (int)p->errors, "udp_port", (int)p->udp_port);
}

static json_t *assoc_show(const struct sctp_assoc *a)
{
    json_t *paths = json_array();

    for (unsigned i = 0; i < a->n_paths; i++)
        json_array_append_new(paths, path_show(a->path[i]));
    return json_pack("{s:i, s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "id", (int)a->id, "state", state_names[a->state],
                     "out_streams", (int)a->n_out, "in_streams", (int)a->n_in, "unsent", (int)a->unsent, "rx_messages",
                     (json_int_t)a->n_rx_msgs, "tx_messages", (json_int_t)a->n_tx_msgs, "retransmits", (json_int_t)a->n_rtx,
                     "timeouts", (json_int_t)a->n_t3, "rx_packets", (json_int_t)a->n_rx_packets, "tx_packets",
                     (json_int_t)a->n_tx_packets, "paths", paths);
}

void sctp_show(struct worker *w, const struct transport_conn *b, json_t *obj)
{
    const struct sctp_ep *ep = b->session ? sctp_ep_of_session(b->session) : NULL;
    json_t *all = json_array();

    (void)w;
    for (const struct sctp_assoc *a = ep ? ep->assocs : NULL; a; a = a->ep_next)
        json_array_append_new(all, assoc_show(a));
    const char *state = ep && ep->assocs ? state_names[ep->assocs->state] : "closed";
    json_object_set_new(obj, "state", json_string(state));
    json_object_set_new(obj, "associations", all);
}

/* ---- hoststackctl show sctp paths: a row for each address of each peer, one without a program's session included ---- */
static json_t *path_row(struct worker *w, const struct sctp_path *p)
{
    const struct sctp_assoc *a = p->a;
    json_t *row = json_pack("{s:i, s:i, s:s, s:i, s:i}", "worker", w->index, "association", (int)a->id, "association_state",
                            state_names[a->state], "local_port", be16_get(a->base.lcl.port), "peer_port", be16_get(a->base.rmt.port));
    json_t *path = path_show(p);

    json_object_update(row, path);
    json_decref(path);
    path = json_pack("{s:i, s:i, s:i, s:I}", "out_streams", a->n_out, "in_streams", a->n_in, "unsent", (int)a->unsent, "retransmits",
                     (json_int_t)a->n_rtx);
    json_object_update(row, path);
    json_decref(path);
    return row;
}

uint32_t sctp_show_paths(struct worker *w, uint32_t from, unsigned max, json_t *array)
{
    const struct sctp_assoc *a = sctp_worker_of(w)->all;
    uint32_t at = 0;

    for (; a && at < from; at++)
        a = a->all_next;
    for (; a && max; a = a->all_next, at++, max--)
        for (unsigned i = 0; i < a->n_paths; i++)
            json_array_append_new(array, path_row(w, a->path[i]));
    return a ? at : UINT32_MAX;
}

void sctp_show_stats(struct worker *w, json_t *obj)
{
    static const char *const names[] = {
#define COUNT(name, text) #name,
#include "server/sctp/sctp_drops.def"
#undef COUNT
    };

    for (unsigned i = 0; i < SCTP_N_MAX; i++)
        json_object_set_new(obj, names[i], json_integer((json_int_t)sctp_worker_of(w)->count[i]));
    json_object_set_new(obj, "associations", json_integer(sctp_worker_of(w)->n_assocs));
}
