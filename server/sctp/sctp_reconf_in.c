/* sctp_reconf_in.c - what the peer asks for (RFC 6525 s5.2), and streams that are added */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { TSN_JUMP = 1u << 31 };

int sctp_streams_add_out(struct sctp_assoc *a, uint16_t n)
{
    struct sctp_out_stream *old = a->out, *out = calloc((size_t)a->n_out + n, sizeof(*out));

    if (!out || a->n_out + n > 65535) {
        free(out);
        return -ENOMEM;
    }
    memcpy(out, old, a->n_out * sizeof(*out));
    for (uint32_t i = 0; i < a->n_out; i++) { /* the list of those with something to send goes through them */
        if (out[i].active_next)
            out[i].active_next = out + (out[i].active_next - old);
        if (out[i].active_prev)
            out[i].active_prev = out + (out[i].active_prev - old);
    }
    for (uint32_t i = a->n_out; i < (uint32_t)a->n_out + n; i++)
        out[i].sid = (uint16_t)i;
    a->active = a->active ? out + (a->active - old) : NULL;
    a->active_tail = a->active_tail ? out + (a->active_tail - old) : NULL;
    a->current = a->current ? out + (a->current - old) : NULL;
    free(old);
    a->out = out;
    a->n_out = (uint16_t)(a->n_out + n);
    return 0;
}

int sctp_streams_add_in(struct sctp_assoc *a, uint16_t n)
{
    uint32_t have = ((uint32_t)a->n_in + SCTP_STREAM_PAGE - 1) / SCTP_STREAM_PAGE,
             want = ((uint32_t)a->n_in + n + SCTP_STREAM_PAGE - 1) / SCTP_STREAM_PAGE;
    struct sctp_in_stream **page = a->n_in + n <= 65535 ? calloc(want, sizeof(*page)) : NULL;

    if (!page)
        return -ENOMEM;
    memcpy(page, a->in_page, have * sizeof(*page));
    free(a->in_page);
    a->in_page = page;
    a->n_in = (uint16_t)(a->n_in + n);
    return 0;
}

static bool allows(const struct sctp_assoc *a, unsigned what) { return a->cfg.reset_allowed & what; }

/* s5.2.2 */
static uint32_t out_reset(struct worker *w, struct sctp_assoc *a, const uint8_t *b, uint16_t len)
{
    unsigned n = (len - 16u) / 2;
    uint16_t list[SCTP_RECONF_LIST];

    if (!allows(a, SCTP_ENABLE_RESET_STREAM_REQ))
        return SCTP_RC_DENIED;
    for (unsigned i = 0; i < n; i++)
        if (sctp_get16(b + 16 + 2 * i) >= a->n_in)
            return SCTP_RC_WRONG_SSN;
    if (seq_gt(sctp_get32(b + 12), a->cum_tsn)) /* what was sent before is still to come */
        return SCTP_RC_IN_PROGRESS;
    for (uint32_t i = 0; i < (n ? n : a->n_in); i++) {
        struct sctp_in_stream *st = sctp_in_stream(a, n ? sctp_get16(b + 16 + 2 * i) : (uint16_t)i, false);
        if (st)
            sctp_reasm_stream_reset(w, a, st);
    }
    sctp_reasm_resume(w, a);
    n = hs_min_u32(n, SCTP_RECONF_LIST);
    for (unsigned i = 0; i < n; i++)
        list[i] = sctp_get16(b + 16 + 2 * i);
    sctp_reconf_answered_by_reset(w, a, sctp_get32(b + 8));
    sctp_notify_streams(w, a, SCTP_STREAM_RESET_INCOMING_SSN, list, (uint16_t)n);
    return SCTP_RC_DONE;
}

/* s5.2.3: our own request answers it. */
static uint32_t in_reset(struct worker *w, struct sctp_assoc *a, const uint8_t *b, uint16_t len)
{
    if (!allows(a, SCTP_ENABLE_RESET_STREAM_REQ))
        return SCTP_RC_DENIED;
    if (a->reconf.req)
        return SCTP_RC_BUSY;
    switch (sctp_reconf_out_by_request(w, a, sctp_get32(b + 4), b + 8, (len - 8u) / 2)) {
    case 0:
        return SCTP_RC_ANSWERED_ELSEWHERE;
    case -EAGAIN:
        return SCTP_RC_IN_PROGRESS;
    case -EINVAL:
        return SCTP_RC_WRONG_SSN;
    default:
        return SCTP_RC_DENIED;
    }
}

/* s5.2.4 */
static uint32_t tsn_reset(struct worker *w, struct sctp_assoc *a, struct sctp_reconf_told *t)
{
    if (!allows(a, SCTP_ENABLE_RESET_ASSOC_REQ))
        return SCTP_RC_DENIED;
    if (a->reconf.req)
        return SCTP_RC_BUSY;
    if (a->sent_head || a->unsent_chunks || a->pull)
        return SCTP_RC_IN_PROGRESS;
    t->has_tsns = true;
    t->my_tsn = a->next_tsn;
    t->peer_tsn = a->cum_tsn + 1 + TSN_JUMP;
    sctp_tsn_restart(w, a, t->my_tsn, t->peer_tsn);
    sctp_reconf_hold(w, a);
    sctp_notify_tsn_reset(w, a, 0, t->my_tsn, t->peer_tsn);
    return SCTP_RC_DONE;
}

/* s5.2.5: the peer's outgoing streams are our incoming ones. */
static uint32_t add_out(struct worker *w, struct sctp_assoc *a, const uint8_t *b)
{
    uint16_t n = sctp_get16(b + 8);

    if (!allows(a, SCTP_ENABLE_CHANGE_ASSOC_REQ) || n == 0 || (uint32_t)a->n_in + n > a->cfg.max_instreams ||
        sctp_streams_add_in(a, n) != 0)
        return SCTP_RC_DENIED;
    sctp_notify_added(w, a, 0, n, 0);
    return SCTP_RC_DONE;
}

/* s5.2.6: it asks us to have more: we ask in turn. */
static uint32_t add_in(struct worker *w, struct sctp_assoc *a, const uint8_t *b)
{
    uint16_t n = sctp_get16(b + 8);

    if (!allows(a, SCTP_ENABLE_CHANGE_ASSOC_REQ) || n == 0)
        return SCTP_RC_DENIED;
    if (a->reconf.req)
        return SCTP_RC_BUSY;
    return sctp_reconf_add(w, a, 0, n) == 0 ? SCTP_RC_DONE : SCTP_RC_DENIED;
}

static void answer(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_reconf_told *t)
{
    uint8_t b[20];
    unsigned len = t->has_tsns ? 20 : 12;

    sctp_put16(b, SCTP_P_RECONF_RESPONSE);
    sctp_put16(b + 2, len);
    sctp_put32(b + 4, t->seq);
    sctp_put32(b + 8, t->result);
    sctp_put32(b + 12, t->my_tsn);
    sctp_put32(b + 16, t->peer_tsn);
    sctp_reply(w, a, in, SCTP_CT_RECONF, b, len);
}

static uint32_t carry_out(struct worker *w, struct sctp_assoc *a, unsigned type, const uint8_t *b, uint16_t len, struct sctp_reconf_told *t)
{
    switch (type) {
    case SCTP_P_OUT_RESET:
        return out_reset(w, a, b, len);
    case SCTP_P_IN_RESET:
        return in_reset(w, a, b, len);
    case SCTP_P_TSN_RESET:
        return tsn_reset(w, a, t);
    case SCTP_P_ADD_OUT:
        return add_out(w, a, b);
    default:
        return add_in(w, a, b);
    }
}

/* A request: new, one that was answered, or neither (s5.2.1). */
static void take_request(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, unsigned type, const uint8_t *b, uint16_t len)
{
    struct sctp_reconf *r = &a->reconf;
    struct sctp_reconf_told t = { .seq = sctp_get32(b + 4), .result = SCTP_RC_BAD_SEQ };

    if (t.seq != r->peer_seq) {
        for (unsigned i = 0; i < r->n_told; i++)
            if (r->told[i].seq == t.seq)
                t = r->told[i];
        if (r->is_held)
            sctp_reconf_hold(w, a); /* the answer was lost */
        if (t.result != SCTP_RC_ANSWERED_ELSEWHERE)
            answer(w, a, in, &t);
        return;
    }
    t.result = carry_out(w, a, type, b, len, &t);
    if (t.result != SCTP_RC_IN_PROGRESS) { /* else it comes again, and is looked at anew */
        r->peer_seq++;
        r->told[1] = r->told[0];
        r->told[0] = t;
        r->n_told = (uint8_t)hs_min_u32(r->n_told + 1u, 2);
        if (t.result == SCTP_RC_DONE)
            sctp_count(w, SCTP_N_reconfigs);
    }
    if (t.result != SCTP_RC_ANSWERED_ELSEWHERE)
        answer(w, a, in, &t);
}

static void take_answer(struct worker *w, struct sctp_assoc *a, const uint8_t *b, uint16_t len)
{
    uint32_t tsns[2];

    if (len >= 20) {
        tsns[0] = sctp_get32(b + 12);
        tsns[1] = sctp_get32(b + 16);
    }
    sctp_reconf_answered(w, a, sctp_get32(b + 4), sctp_get32(b + 8), len >= 20 ? tsns : NULL);
}

void sctp_reconf_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    static const uint8_t min[] = { [SCTP_P_OUT_RESET] = 16, [SCTP_P_IN_RESET] = 8, [SCTP_P_TSN_RESET] = 8, [SCTP_P_RECONF_RESPONSE] = 12,
                                   [SCTP_P_ADD_OUT] = 12, [SCTP_P_ADD_IN] = 12 };
    uint32_t id = a->id, off = SCTP_CHUNK_HDR;

    for (unsigned n = 0; n < 2 && off + SCTP_PARAM_HDR <= c->len; n++) { /* s3.1: two at most */
        const uint8_t *b = c->b + off;
        unsigned type = sctp_get16(b), len = sctp_get16(b + 2);
        if (len < SCTP_PARAM_HDR || len > c->len - off || type >= sizeof(min) || min[type] == 0 || len < min[type]) {
            sctp_count(w, SCTP_N_drop_reconf);
            return;
        }
        if (type == SCTP_P_RECONF_RESPONSE)
            take_answer(w, a, b, (uint16_t)len);
        else
            take_request(w, a, in, type, b, (uint16_t)len);
        if (sctp_assoc_by_id(w, id) != a)
            return;
        off += sctp_pad(len);
    }
}
