/* sctp_ootb.c - packets out of the blue (RFC 9260 s8.4): INITs and cookies for listeners; who gets an ABORT, who gets silence */
#include "server/sctp/sctp_internal.h"

/* Strangers get so many answers a second, so that nobody uses us to flood another. */
static bool may_answer(struct worker *w)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    if (sw->errors_s != w->now_us / SCTP_SEC) {
        sw->errors_s = w->now_us / SCTP_SEC;
        sw->n_errors = 0;
    }
    if (sw->n_errors >= SCTP_ERRORS_PER_S) {
        sctp_count(w, SCTP_N_drop_ratelimit);
        return false;
    }
    sw->n_errors++;
    return true;
}

void sctp_reply_abort(struct worker *w, const struct sctp_in *in, uint32_t tag, bool is_t, uint16_t cause, const void *info, uint32_t len)
{
    struct sctp_out o;
    uint32_t body = cause ? SCTP_CAUSE_HDR + len : 0;
    uint8_t *b;

    if (!may_answer(w) || sctp_out_begin(w, &o, SCTP_COMMON_LEN + SCTP_CHUNK_HDR + sctp_pad(body)) != 0)
        return;
    b = sctp_out_chunk(&o, SCTP_CT_ABORT, is_t ? SCTP_FLAG_T : 0, SCTP_CHUNK_HDR + body);
    if (cause) {
        sctp_put16(b + 4, cause);
        sctp_put16(b + 6, body);
        if (len)
            memcpy(b + 8, info, len);
    }
    sctp_out_reply(&o, in, tag);
}

bool sctp_has_chunk(const struct sctp_in *in, uint8_t type)
{
    for (uint32_t off = 0; off + SCTP_CHUNK_HDR <= in->len;) {
        uint16_t len = sctp_get16(in->b + off + 2);
        if (len < SCTP_CHUNK_HDR)
            return false;
        if (in->b[off] == type)
            return true;
        off += sctp_pad(len);
    }
    return false;
}

static bool is_stale_cookie_error(const struct sctp_in *in)
{
    for (uint32_t off = 0; off + SCTP_CHUNK_HDR + SCTP_CAUSE_HDR <= in->len;) {
        uint16_t len = sctp_get16(in->b + off + 2);
        if (len < SCTP_CHUNK_HDR)
            return false;
        if (in->b[off] == SCTP_CT_ERROR && sctp_get16(in->b + off + 4) == SCTP_C_STALE_COOKIE)
            return true;
        off += sctp_pad(len);
    }
    return false;
}

void sctp_ootb(struct worker *w, struct sctp_in *in)
{
    struct sctp_chunk c = { .type = in->b[0], .flags = in->b[1], .len = sctp_get16(in->b + 2), .b = in->b };

    if (c.type == SCTP_CT_INIT_ACK && c.len <= in->len && sctp_init_ack_elsewhere(w, in, &c))
        return;
    sctp_count(w, SCTP_N_ootb);
    if (c.len < SCTP_CHUNK_HDR || c.len > in->len) {
        sctp_count(w, SCTP_N_drop_short);
        return;
    }
    if (c.type == SCTP_CT_AUTH && !sctp_auth_stranger(w, in, &c))
        return;
    if (sctp_asconf_elsewhere(w, in, &c))
        return;
    if (sctp_has_chunk(in, SCTP_CT_ABORT)) /* (2) */
        return;
    if (c.type == SCTP_CT_INIT) {     /* (3) */
        if (in->tag != 0 || sctp_pad(c.len) < in->len || c.len < SCTP_INIT_LEN)
            sctp_count(w, SCTP_N_drop_bundled);
        else
            sctp_init_input(w, NULL, in, &c);
        return;
    }
    if (in->tag == 0 || sctp_has_chunk(in, SCTP_CT_INIT)) { /* s8.5.1 A, s12.4: silently */
        sctp_count(w, SCTP_N_drop_tag);
        return;
    }
    if (c.type == SCTP_CT_COOKIE_ECHO) { /* (4) */
        sctp_cookie_echo_input(w, NULL, in, &c);
        return;
    }
    if (sctp_has_chunk(in, SCTP_CT_SHUTDOWN_ACK)) { /* (5) */
        struct sctp_out o;
        if (may_answer(w) && sctp_out_begin(w, &o, SCTP_COMMON_LEN + SCTP_CHUNK_HDR) == 0) {
            sctp_out_chunk(&o, SCTP_CT_SHUTDOWN_COMPLETE, SCTP_FLAG_T, SCTP_CHUNK_HDR);
            sctp_out_reply(&o, in, in->tag);
        }
        return;
    }
    if (sctp_has_chunk(in, SCTP_CT_SHUTDOWN_COMPLETE)) /* (6) */
        return;
    if (is_stale_cookie_error(in) || sctp_has_chunk(in, SCTP_CT_COOKIE_ACK)) /* (7) */
        return;
    sctp_reply_abort(w, in, in->tag, true, 0, NULL, 0); /* (8) */
}
