/* vcl_sctp_export.c - what only the library knows of a one-to-one socket, for the process that gets it by exec or SCM_RIGHTS
 *
 * It comes from another process: whoever imports it takes every value for what it is. A one-to-many socket stays where it is: its
 * associations are sessions of their own. */
#include <stdlib.h>
#include "vcl/vcl_option_copy.h"
#include "vcl/vcl_sctp_internal.h"

enum { STATE_VERSION = 1 };
enum flags {
    HAS_ADAPTATION = 1, RCVINFO = 2, NXTINFO = 4, PLAIN_V4 = 8, INTERLEAVE = 16, IS_UP = 32, IS_BRANCH = 64, I_SHUT = 128, IN_MESSAGE = 256
};

struct state {
    uint32_t version, flags;
    uint32_t events;
    struct sctp_sndinfo snd;
    struct sctp_initmsg init;
    uint32_t pr_value, context, adaptation;
    uint32_t assoc_id, rx_done, tsn;
    uint16_t pr_policy, in_streams, out_streams, told;
};
static_assert(VCL_OPTION_COPY_MAX + sizeof(struct state) <= SVM_ATT_STATE_MAX, "fits the message behind the options");

int vcl_sctp_export(struct vcl_socket *s, uint8_t *state, uint32_t *len)
{
    const struct vcl_sctp *c = s->sctp;
    const struct vcl_sctp_opts *o = &c->o;
    struct state st;

    if (c->many || c->held)
        return -EOPNOTSUPP;
    vcl_socket_lock(s);
    st = (struct state){
        .version = STATE_VERSION,
        .flags = (o->has_adaptation ? HAS_ADAPTATION : 0) | (o->rcvinfo ? RCVINFO : 0) | (o->nxtinfo ? NXTINFO : 0) |
                 (o->plain_v4 ? PLAIN_V4 : 0) | (o->interleave ? INTERLEAVE : 0) | (c->is_up ? IS_UP : 0) |
                 (c->is_branch ? IS_BRANCH : 0) | (c->i_shut ? I_SHUT : 0) | (c->in_message ? IN_MESSAGE : 0),
        .events = o->events, .snd = o->snd, .init = o->init, .pr_value = o->pr_value, .context = o->context, .adaptation = o->adaptation,
        .assoc_id = c->assoc_id, .rx_done = c->rx_done, .tsn = c->tsn, .pr_policy = o->pr_policy, .in_streams = c->in_streams,
        .out_streams = c->out_streams, .told = c->told,
    };
    vcl_socket_unlock(s);
    memcpy(state, &st, sizeof(st));
    *len += sizeof(st);
    return 0;
}

int vcl_sctp_import(struct vcl_socket *s, const uint8_t *state, uint32_t len)
{
    struct vcl_sctp_opts *o;
    struct vcl_sctp *c;
    struct state st;
    int rc;

    if (len != sizeof(st))
        return -EPROTO;
    memcpy(&st, state, sizeof(st));
    if (st.version != STATE_VERSION || st.pr_policy & ~SCTP_PR_SCTP_MASK || st.told > UINT8_MAX)
        return -EPROTO;
    rc = vcl_sctp_new(s);
    if (rc)
        return rc;
    c = s->sctp;
    o = &c->o;
    *o = (struct vcl_sctp_opts){
        .events = st.events, .snd = st.snd, .init = st.init, .pr_value = st.pr_value, .pr_policy = st.pr_policy, .context = st.context,
        .adaptation = st.adaptation, .has_adaptation = st.flags & HAS_ADAPTATION, .rcvinfo = st.flags & RCVINFO,
        .nxtinfo = st.flags & NXTINFO, .plain_v4 = st.flags & PLAIN_V4, .interleave = st.flags & INTERLEAVE,
    };
    c->assoc_id = st.assoc_id;
    c->rx_done = st.rx_done; /* looked at beside the record that it is of */
    c->tsn = st.tsn;
    c->in_streams = st.in_streams;
    c->out_streams = st.out_streams;
    c->told = (uint8_t)st.told;
    c->is_up = st.flags & IS_UP;
    c->is_branch = st.flags & IS_BRANCH;
    c->i_shut = st.flags & I_SHUT;
    c->in_message = st.flags & IN_MESSAGE;
    return 0;
}
