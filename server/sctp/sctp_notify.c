/* sctp_notify.c - notifications (RFC 6458 s6), as linux/sctp.h lays them out, to sockets that want them */
#include "server/sctp/sctp_internal.h"

/* vcl/ gives the program those that it has asked for, whenever it has asked; what comes with every message must be asked for here. */
bool sctp_event_on(const struct sctp_ep *ep, unsigned type)
{
    if (!ep || ep->is_closing)
        return false;
    return type != SCTP_SENDER_DRY_EVENT || (ep->cfg.events & (1u << (type - SCTP_SN_TYPE_BASE)));
}

static socklen_t put_sockaddr(const struct sctp_assoc *a, const struct ip_addr *ip, struct sockaddr_storage *out)
{
    struct ip_endpoint e = { *ip, a->base.rmt.port };
    bool mapped = a->ep && (a->ep->s->flags & SVM_CONN_V6) && a->cfg.v4_mapped;

    memset(out, 0, sizeof(*out));
    return ip_endpoint_to_sockaddr(&e, mapped, out);
}

void sctp_notify_assoc(struct worker *w, struct sctp_assoc *a, uint16_t state, uint16_t error, const void *info, uint32_t len)
{
    struct sctp_assoc_change n = {
        .sac_type = SCTP_ASSOC_CHANGE, .sac_length = sizeof(n) + len, .sac_state = state, .sac_error = error,
        .sac_outbound_streams = a->n_out, .sac_inbound_streams = a->n_in, .sac_assoc_id = (sctp_assoc_t)a->id,
    };

    if (sctp_event_on(a->ep, SCTP_ASSOC_CHANGE))
        sctp_deliver_note(w, a->ep, a->id, &n, sizeof(n), info, len);
}

void sctp_notify_path(struct worker *w, struct sctp_path *p, int state, int error)
{
    struct sctp_paddr_change n = { .spc_type = SCTP_PEER_ADDR_CHANGE, .spc_length = sizeof(n), .spc_state = state, .spc_error = error,
                                   .spc_assoc_id = (sctp_assoc_t)p->a->id };

    if (!sctp_event_on(p->a->ep, SCTP_PEER_ADDR_CHANGE))
        return;
    struct sockaddr_storage sa; /* the notification's is not aligned */
    put_sockaddr(p->a, &p->ip, &sa);
    memcpy(&n.spc_aaddr, &sa, sizeof(sa));
    sctp_deliver_note(w, p->a->ep, p->a->id, &n, sizeof(n), NULL, 0);
}

/* One for each fragment that was not acknowledged. */
void sctp_notify_failed(struct worker *w, struct sctp_assoc *a, const struct sctp_tx *t)
{
    uint16_t flags = t->n_sent ? SCTP_DATA_SENT : SCTP_DATA_UNSENT, frag = t->flags & (SCTP_DATA_B | SCTP_DATA_E); /* as Linux */

    if (sctp_event_on(a->ep, SCTP_SEND_FAILED_EVENT)) {
        struct sctp_send_failed_event n = { .ssf_type = SCTP_SEND_FAILED_EVENT, .ssf_flags = flags, .ssf_length = sizeof(n) + t->len,
                                            .ssf_assoc_id = (sctp_assoc_t)a->id };
        n.ssfe_info.snd_sid = t->msg->stream;
        n.ssfe_info.snd_flags = (uint16_t)(t->msg->flags | frag);
        n.ssfe_info.snd_ppid = t->msg->ppid;
        n.ssfe_info.snd_context = t->msg->context;
        n.ssfe_info.snd_assoc_id = (sctp_assoc_t)a->id;
        sctp_deliver_note(w, a->ep, a->id, &n, sizeof(n), t->data, t->len);
    }
}

void sctp_notify_shutdown(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_shutdown_event n = { .sse_type = SCTP_SHUTDOWN_EVENT, .sse_length = sizeof(n), .sse_assoc_id = (sctp_assoc_t)a->id };

    if (sctp_event_on(a->ep, SCTP_SHUTDOWN_EVENT))
        sctp_deliver_note(w, a->ep, a->id, &n, sizeof(n), NULL, 0);
}

void sctp_notify_remote_error(struct worker *w, struct sctp_assoc *a, uint16_t error, const void *data, uint32_t len)
{
    struct sctp_remote_error n = { .sre_type = SCTP_REMOTE_ERROR, .sre_length = sizeof(n) + len,
                                   .sre_error = be16_of(error).raw, .sre_assoc_id = (sctp_assoc_t)a->id };

    if (sctp_event_on(a->ep, SCTP_REMOTE_ERROR))
        sctp_deliver_note(w, a->ep, a->id, &n, sizeof(n), data, len);
}

void sctp_notify_dry(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_sender_dry_event n = { .sender_dry_type = SCTP_SENDER_DRY_EVENT, .sender_dry_length = sizeof(n),
                                       .sender_dry_assoc_id = (sctp_assoc_t)a->id };

    if (sctp_event_on(a->ep, SCTP_SENDER_DRY_EVENT))
        sctp_deliver_note(w, a->ep, a->id, &n, sizeof(n), NULL, 0);
}

void sctp_notify_adaptation(struct worker *w, struct sctp_assoc *a, uint32_t value)
{
    struct sctp_adaptation_event n = { .sai_type = SCTP_ADAPTATION_INDICATION, .sai_length = sizeof(n), .sai_adaptation_ind = value,
                                       .sai_assoc_id = (sctp_assoc_t)a->id };

    if (sctp_event_on(a->ep, SCTP_ADAPTATION_INDICATION))
        sctp_deliver_note(w, a->ep, a->id, &n, sizeof(n), NULL, 0);
}

void sctp_notify_partial(struct worker *w, struct sctp_assoc *a, uint16_t stream, uint32_t seq, bool is_unordered)
{
    struct sctp_pdapi_event n = { .pdapi_type = SCTP_PARTIAL_DELIVERY_EVENT, .pdapi_length = sizeof(n),
                                  .pdapi_indication = SCTP_PARTIAL_DELIVERY_ABORTED, .pdapi_assoc_id = (sctp_assoc_t)a->id,
                                  .pdapi_stream = stream, .pdapi_seq = seq, .pdapi_flags = is_unordered ? SCTP_UNORDERED : 0 };

    /* Wanted or not: svm_sctp.h says that a message that ends early is followed by this one. */
    if (a->ep && !a->ep->is_closing)
        sctp_deliver_note(w, a->ep, a->id, &n, sizeof(n), NULL, 0);
}

/* ---- RFC 6525 s6.1 ---- */

void sctp_notify_streams(struct worker *w, struct sctp_assoc *a, uint16_t flags, const uint16_t *list, uint16_t n)
{
    struct sctp_stream_reset_event e = { .strreset_type = SCTP_STREAM_RESET_EVENT, .strreset_flags = flags,
                                         .strreset_length = sizeof(e) + n * 2u, .strreset_assoc_id = (sctp_assoc_t)a->id };

    if (sctp_event_on(a->ep, SCTP_STREAM_RESET_EVENT))
        sctp_deliver_note(w, a->ep, a->id, &e, sizeof(e), list, n * 2u);
}

void sctp_notify_tsn_reset(struct worker *w, struct sctp_assoc *a, uint16_t flags, uint32_t local_tsn, uint32_t peer_tsn)
{
    struct sctp_assoc_reset_event e = { .assocreset_type = SCTP_ASSOC_RESET_EVENT, .assocreset_flags = flags,
                                        .assocreset_length = sizeof(e), .assocreset_assoc_id = (sctp_assoc_t)a->id,
                                        .assocreset_local_tsn = local_tsn, .assocreset_remote_tsn = peer_tsn };

    if (sctp_event_on(a->ep, SCTP_ASSOC_RESET_EVENT))
        sctp_deliver_note(w, a->ep, a->id, &e, sizeof(e), NULL, 0);
}

void sctp_notify_added(struct worker *w, struct sctp_assoc *a, uint16_t flags, uint16_t n_in, uint16_t n_out)
{
    struct sctp_stream_change_event e = { .strchange_type = SCTP_STREAM_CHANGE_EVENT, .strchange_flags = flags,
                                          .strchange_length = sizeof(e), .strchange_assoc_id = (sctp_assoc_t)a->id,
                                          .strchange_instrms = n_in, .strchange_outstrms = n_out };

    if (sctp_event_on(a->ep, SCTP_STREAM_CHANGE_EVENT))
        sctp_deliver_note(w, a->ep, a->id, &e, sizeof(e), NULL, 0);
}

/* ---- RFC 4895: RFC 6458 s6.1.8 ---- */

void sctp_notify_auth(struct worker *w, struct sctp_assoc *a, uint32_t indication, uint16_t key, uint16_t other)
{
    struct sctp_authkey_event e = { .auth_type = SCTP_AUTHENTICATION_EVENT, .auth_length = sizeof(e), .auth_keynumber = key,
                                    .auth_altkeynumber = other, .auth_indication = indication, .auth_assoc_id = (sctp_assoc_t)a->id };

    if (sctp_event_on(a->ep, SCTP_AUTHENTICATION_EVENT))
        sctp_deliver_note(w, a->ep, a->id, &e, sizeof(e), NULL, 0);
}
