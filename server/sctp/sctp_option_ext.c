/* sctp_option_ext.c - socket options of the extensions: schedulers (RFC 8260 s4.3), streams that begin anew (RFC 6525 s6.3) */
#include "server/sctp/sctp_option.h"

#include <errno.h>

/* ---- schedulers ---- */

static int set_stream_value(struct sctp_opt_call *c)
{
    IN(sctp_stream_value);

    if (!c->a || !c->a->out || v.stream_id >= c->a->n_out || (c->a->cfg.scheduler == SCTP_SCHED_WEIGHTED && v.stream_value == 0))
        return -EINVAL;
    c->a->out[v.stream_id].value = v.stream_value;
    sctp_queue_rank(c->a);
    return 0;
}
static int get_stream_value(struct sctp_opt_call *c)
{
    IN(sctp_stream_value);

    if (!c->a || !c->a->out || v.stream_id >= c->a->n_out)
        return -EINVAL;
    v.stream_value = c->a->out[v.stream_id].value;
    return OUT(v);
}

/* ---- RFC 6525 s6.3 ---- */

static int set_reset_streams(struct sctp_opt_call *c)
{
    uint16_t list[SCTP_RECONF_LIST];
    IN(sctp_reset_streams);
    uint32_t n = v.srs_number_streams;

    if (!c->a || n > SCTP_RECONF_LIST || sizeof(v) + n * 2 > *c->len)
        return -EINVAL;
    memcpy(list, c->val + sizeof(v), n * 2);
    return sctp_reconf_reset(c->w, c->a, v.srs_flags, list, n);
}
static int set_reset_assoc(struct sctp_opt_call *c) { return c->a ? sctp_reconf_reset_all(c->w, c->a) : -EINVAL; }
static int set_add_streams(struct sctp_opt_call *c)
{
    IN(sctp_add_streams);

    return c->a ? sctp_reconf_add(c->w, c->a, v.sas_instrms, v.sas_outstrms) : -EINVAL;
}

const struct sctp_opt_row sctp_opt_ext[] = {
    { SCTP_RESET_STREAMS, sizeof(struct sctp_reset_streams), set_reset_streams, NULL },
    { SCTP_RESET_ASSOC, sizeof(sctp_assoc_t), set_reset_assoc, NULL },
    { SCTP_ADD_STREAMS, sizeof(struct sctp_add_streams), set_add_streams, NULL },
    { SCTP_STREAM_SCHEDULER_VALUE, sizeof(struct sctp_stream_value), set_stream_value, get_stream_value },
    { 0 },
};
