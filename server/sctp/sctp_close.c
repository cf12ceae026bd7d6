/* sctp_close.c - SHUTDOWN (RFC 9260 s9.2), ABORT (s9.1), ERROR (s3.3.10), and what the program is told of the end */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { T5_RTOS = 5 };

/* ---- the end ---- */

/* The session's last bytes are still to be read: its endpoint stands in for the association until they are in the FIFO. */
static void drain_begin(struct sctp_ep *ep, int error)
{
    ep->is_draining = true;
    ep->drain_error = error;
    ep->base.session = ep->s;
    ep->base.lcl = ep->s->lcl;
    ep->base.rmt = ep->s->rmt;
    ep->s->conn = &ep->base;
}

void sctp_drain_end(struct worker *w, struct sctp_ep *ep)
{
    struct session *s = ep->s;

    ep->is_draining = false;
    if (ep->drain_error) {
        session_reset(w, s, ep->drain_error);
        return;
    }
    session_rx_fin(w, s);
    session_closed(w, s);
}

static void tell_session(struct worker *w, struct sctp_ep *ep, struct sctp_assoc *a, int error)
{
    struct session *s = ep->s;

    a->base.session = NULL;
    if (s->conn != &a->base)
        return;
    s->conn = NULL;
    if (s->state == SESSION_CONNECTING) {
        session_connected(w, s, error ? error : -ECONNABORTED);
        return;
    }
    drain_begin(ep, error);
    if (!ep->ready || ep->is_closing)
        sctp_drain_end(w, ep);
}

/* by: NULL, or the ABORT: the program is given it, with the reason of the other program (s9.1, RFC 6458 s6.1.1). */
static void gone(struct worker *w, struct sctp_assoc *a, int error, uint16_t sac_state, uint16_t sac_error, const struct sctp_chunk *by)
{
    struct sctp_ep *ep = a->ep;

    sctp_timers_stop(w, a);
    sctp_queue_drop_all(w, a, true);
    sctp_notify_assoc(w, a, sac_state, sac_error, by ? by->b : NULL, by ? by->len : 0);
    sctp_count(w, error ? SCTP_N_aborted : SCTP_N_shutdowns);
    sctp_state_set(w, a, SCTP_S_CLOSED);
    sctp_assoc_detach(a);
    if (ep)
        tell_session(w, ep, a, error);
    sctp_assoc_free(w, a);
}

void sctp_gone(struct worker *w, struct sctp_assoc *a, int error, uint16_t sac_state, uint16_t sac_error)
{
    gone(w, a, error, sac_state, sac_error, NULL);
}

void sctp_abort(struct worker *w, struct sctp_assoc *a, uint16_t cause, const void *info, uint32_t len, int error)
{
    uint8_t b[SCTP_CAUSE_HDR + 1024];
    uint32_t n = 0;

    if (cause) {
        len = hs_min_u32(len, sizeof(b) - SCTP_CAUSE_HDR);
        n = SCTP_CAUSE_HDR + len;
        sctp_put16(b, cause);
        sctp_put16(b + 2, n);
        if (len)
            memcpy(b + 4, info, len);
    }
    /* s9.1: T bit and our own tag when the peer's is not known; it has none then to be told of (COOKIE-WAIT). */
    if (a->peer_tag && a->n_paths)
        sctp_send_chunk(w, a, sctp_path_for_data(a), SCTP_CT_ABORT, 0, b, n);
    sctp_gone(w, a, error, a->state < SCTP_S_ESTABLISHED ? SCTP_CANT_STR_ASSOC : SCTP_COMM_LOST, cause);
}

/* ---- SHUTDOWN ---- */

static void shutdown_send(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_path *p = sctp_path_for_data(a);
    uint8_t b[4];

    sctp_put32(b, a->cum_tsn);
    sctp_send_chunk(w, a, p, SCTP_CT_SHUTDOWN, 0, b, 4);
    timer_start(&w->timers, &a->t2, w->now_us + p->rto_us);
    if (!timer_is_running(&a->t5)) /* s9.2: the whole of it has an end, too */
        timer_start(&w->timers, &a->t5, w->now_us + (uint64_t)T5_RTOS * a->cfg.rto_max * SCTP_MS);
}

static void shutdown_ack_reply(struct worker *w, struct sctp_assoc *a, struct sctp_in *in)
{
    sctp_reply(w, a, in, SCTP_CT_SHUTDOWN_ACK, NULL, 0);
    timer_start(&w->timers, &a->t2, w->now_us + in->path->rto_us);
}

static void shutdown_ack_send(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_path *p = sctp_path_for_data(a);

    sctp_send_chunk(w, a, p, SCTP_CT_SHUTDOWN_ACK, 0, NULL, 0);
    timer_start(&w->timers, &a->t2, w->now_us + p->rto_us);
}

void sctp_shutdown_again(struct worker *w, struct sctp_assoc *a)
{
    if (a->state == SCTP_S_SHUTDOWN_SENT)
        shutdown_send(w, a);
    else if (a->state == SCTP_S_SHUTDOWN_ACK_SENT)
        shutdown_ack_send(w, a);
}

void sctp_shutdown_begin(struct worker *w, struct sctp_assoc *a)
{
    if (a->pull) { /* a message without an end: it cannot be sent in order */
        sctp_abort(w, a, SCTP_C_USER_ABORT, NULL, 0, -ECONNABORTED);
        return;
    }
    a->eof_asked = true;
    if (a->state == SCTP_S_ESTABLISHED) {
        sctp_state_set(w, a, SCTP_S_SHUTDOWN_PENDING);
        sctp_touch(w, a); /* Nagle holds nothing back any more */
    }
}

/* s9.2: a SHUTDOWN is answered when everything has been sent and acknowledged; perhaps with other answers to its packet. */
void sctp_shutdown_ack_with(struct worker *w, struct sctp_assoc *a, struct sctp_out *o, const struct sctp_path *p)
{
    if (a->state != SCTP_S_SHUTDOWN_RECEIVED || a->sent_head || a->unsent_chunks ||
        !sctp_out_chunk(o, SCTP_CT_SHUTDOWN_ACK, 0, SCTP_CHUNK_HDR))
        return;
    sctp_state_set(w, a, SCTP_S_SHUTDOWN_ACK_SENT);
    timer_start(&w->timers, &a->t2, w->now_us + p->rto_us);
}

/* Everything has been sent and acknowledged. */
void sctp_shutdown_step(struct worker *w, struct sctp_assoc *a)
{
    if (a->state == SCTP_S_SHUTDOWN_PENDING) {
        sctp_state_set(w, a, SCTP_S_SHUTDOWN_SENT);
        a->data_seen = false;
        shutdown_send(w, a);
    } else if (a->state == SCTP_S_SHUTDOWN_RECEIVED) {
        sctp_state_set(w, a, SCTP_S_SHUTDOWN_ACK_SENT);
        shutdown_ack_send(w, a);
    }
}

void sctp_shutdown_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    uint32_t cum = sctp_get32(c->b + 4);

    if (seq_geq(cum, a->next_tsn) && sctp_reconf_is_resetting(a)) { /* by numbers that we have asked for, and have not been told of yet */
        sctp_count(w, SCTP_N_drop_state);
        return;
    }
    if (seq_geq(cum, a->next_tsn)) {
        sctp_abort(w, a, SCTP_C_PROTOCOL, NULL, 0, -EPROTO);
        return;
    }
    sctp_cum_ack(w, a, cum);
    sctp_pr_advance(w, a);
    switch (a->state) {
    case SCTP_S_ESTABLISHED:
    case SCTP_S_SHUTDOWN_PENDING:
        sctp_state_set(w, a, SCTP_S_SHUTDOWN_RECEIVED);
        sctp_notify_shutdown(w, a);
        break;
    case SCTP_S_SHUTDOWN_SENT: /* s9.2: both at once */
        sctp_state_set(w, a, SCTP_S_SHUTDOWN_ACK_SENT);
        shutdown_ack_reply(w, a, in);
        return;
    case SCTP_S_SHUTDOWN_ACK_SENT:
        shutdown_ack_reply(w, a, in);
        return;
    default:
        return;
    }
    sctp_touch(w, a);
}

void sctp_shutdown_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    (void)c;
    if (a->state == SCTP_S_SHUTDOWN_SENT || a->state == SCTP_S_SHUTDOWN_ACK_SENT) {
        sctp_send_chunk(w, a, in->path, SCTP_CT_SHUTDOWN_COMPLETE, 0, NULL, 0);
        sctp_gone(w, a, 0, SCTP_SHUTDOWN_COMP, 0);
        return;
    }
    if (a->state == SCTP_S_COOKIE_WAIT || a->state == SCTP_S_COOKIE_ECHOED) { /* s8.5.1 E: of a former association */
        struct sctp_out o;
        if (sctp_out_begin(w, &o, SCTP_COMMON_LEN + SCTP_CHUNK_HDR) != 0)
            return;
        sctp_out_chunk(&o, SCTP_CT_SHUTDOWN_COMPLETE, SCTP_FLAG_T, SCTP_CHUNK_HDR);
        sctp_out_reply(&o, in, in->tag);
        return;
    }
    sctp_count(w, SCTP_N_drop_state);
}

void sctp_shutdown_complete_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    (void)in;
    (void)c;
    sctp_gone(w, a, 0, SCTP_SHUTDOWN_COMP, 0);
}

/* ---- ABORT and ERROR ---- */

/* s3.3.10: one cause behind the other, to the end of the chunk. */
static bool causes_are_whole(const struct sctp_chunk *c)
{
    uint32_t off = SCTP_CHUNK_HDR;

    while (off + SCTP_CAUSE_HDR <= c->len) {
        uint32_t len = sctp_get16(c->b + off + 2);
        if (len < SCTP_CAUSE_HDR || len > c->len - off)
            return false;
        off += sctp_pad(len);
    }
    return off >= c->len;
}

void sctp_abort_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    uint16_t cause = c->len >= SCTP_CHUNK_HDR + SCTP_CAUSE_HDR ? sctp_get16(c->b + 4) : 0;
    int error = a->state < SCTP_S_ESTABLISHED ? -ECONNREFUSED : -ECONNRESET;

    /* RFC 5061 s5.3: a packet from an address that went, or was new, overtook the change or was overtaken: it was of nobody there, and the
     * answer comes to that address. The peer has the association still. */
    if ((c->flags & SCTP_FLAG_T) && !sctp_asconf_is_told(a, &in->lcl.ip)) {
        sctp_count(w, SCTP_N_drop_address);
        return;
    }
    if (!causes_are_whole(c)) { /* s3.3.7 */
        sctp_count(w, SCTP_N_drop_short);
        return;
    }
    if (a->state == SCTP_S_SHUTDOWN_ACK_SENT) { /* everything was acknowledged both ways: the peer has forgotten us after its COMPLETE, */
        sctp_gone(w, a, 0, SCTP_SHUTDOWN_COMP, 0); /* and a packet that was overtaken found nobody there */
        return;
    }
    gone(w, a, error, error == -ECONNREFUSED ? SCTP_CANT_STR_ASSOC : SCTP_COMM_LOST, cause, c);
}

static void stale_cookie(struct worker *w, struct sctp_assoc *a)
{
    if (a->state != SCTP_S_COOKIE_ECHOED)
        return;
    if (a->preservative_ms) { /* s5.2.6: asked for more time once already */
        sctp_gone(w, a, -ETIMEDOUT, SCTP_CANT_STR_ASSOC, SCTP_C_STALE_COOKIE);
        return;
    }
    a->preservative_ms = (uint32_t)((w->now_us - a->cookie_sent_us) / SCTP_MS) + 1000; /* (3): the time there and back, and a second */
    sctp_state_set(w, a, SCTP_S_COOKIE_WAIT);
    free(a->cookie);
    a->cookie = NULL;
    a->n_init = 0;
    sctp_init_send(w, a);
    a->n_init++;
    timer_start(&w->timers, &a->t1, w->now_us + a->primary->rto_us);
}

void sctp_error_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    uint32_t id = a->id;

    (void)in;
    for (uint32_t off = SCTP_CHUNK_HDR; off + SCTP_CAUSE_HDR <= c->len;) {
        uint16_t cause = sctp_get16(c->b + off), len = sctp_get16(c->b + off + 2);
        if (len < SCTP_CAUSE_HDR || len > c->len - off)
            return;
        if (cause == SCTP_C_STALE_COOKIE)
            stale_cookie(w, a);
        else
            sctp_notify_remote_error(w, a, cause, c->b + off, len);
        if (sctp_assoc_by_id(w, id) != a)
            return;
        off += sctp_pad(len);
    }
}

void sctp_error_send(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, uint16_t cause, const void *info, uint32_t len)
{
    uint8_t b[SCTP_CAUSE_HDR + 1024];

    len = hs_min_u32(len, sctp_path_payload(in->path) - SCTP_CHUNK_HDR - SCTP_CAUSE_HDR);
    len = hs_min_u32(len, sizeof(b) - SCTP_CAUSE_HDR);
    sctp_put16(b, cause);
    sctp_put16(b + 2, SCTP_CAUSE_HDR + len);
    if (len)
        memcpy(b + 4, info, len);
    sctp_reply(w, a, in, SCTP_CT_ERROR, b, SCTP_CAUSE_HDR + len);
}
