/* sctp_reconf.c - streams that begin anew, and more of them: what we ask for, and what the peer answers (RFC 6525 s5.1)
 *
 * One chunk is under way at a time, with one or two requests; it is sent again until each of them is answered. */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { LIST_MAX = SCTP_RECONF_LIST, HOLD_RTOS = 3 };

static uint8_t *request(const struct sctp_assoc *a, unsigned i)
{
    uint8_t *b = a->reconf.req;

    return i == 0 ? b : b + sctp_pad(sctp_get16(b + 2));
}
static unsigned n_requests(const struct sctp_assoc *a) { return sctp_pad(sctp_get16(a->reconf.req + 2)) < a->reconf.req_len ? 2 : 1; }
static unsigned type_of(const uint8_t *b) { return sctp_get16(b); }

void sctp_reconf_drop(struct worker *w, struct sctp_assoc *a)
{
    timer_stop(&a->t_reconf, &w->timers);
    free(a->reconf.req);
    a->reconf.req = NULL;
}

static void send_it(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_path *p = sctp_path_for_data(a);
    const uint8_t *last = request(a, n_requests(a) - 1);
    uint32_t len = (uint32_t)(last - a->reconf.req) + sctp_get16(last + 2); /* RFC 9260 s3.2: without the last one's padding */

    sctp_send_chunk(w, a, p, SCTP_CT_RECONF, 0, a->reconf.req, len);
    timer_start(&w->timers, &a->t_reconf, w->now_us + p->rto_us);
}

static void hold(struct sctp_assoc *a, const uint16_t *list, unsigned n, bool on)
{
    for (unsigned i = 0; i < (n ? n : a->n_out); i++)
        sctp_queue_hold(a, &a->out[n ? list[i] : i], on);
}

/* All numbers have begun anew at the peer's request. Messages with the new ones must not overtake the answer: it would not know them from
 * those of before. */
void sctp_reconf_hold(struct worker *w, struct sctp_assoc *a)
{
    a->reconf.is_held = true;
    hold(a, NULL, 0, true);
    timer_start(&w->timers, &a->t_reconf, w->now_us + HOLD_RTOS * (uint64_t)sctp_path_for_data(a)->rto_us);
}

void sctp_reconf_release(struct worker *w, struct sctp_assoc *a)
{
    if (!a->reconf.is_held)
        return;
    a->reconf.is_held = false;
    hold(a, NULL, 0, false);
    timer_stop(&a->t_reconf, &w->timers);
    sctp_touch(w, a);
}

bool sctp_reconf_is_resetting(const struct sctp_assoc *a) { return a->reconf.req && type_of(a->reconf.req) == SCTP_P_TSN_RESET; }

/* s5.1.1: not answered within the RTO. */
void sctp_reconf_fire(struct worker *w, struct timer_node *t)
{
    struct sctp_assoc *a = hs_container_of(t, struct sctp_assoc, t_reconf);
    struct sctp_path *p = sctp_path_for_data(a);
    uint32_t id = a->id;

    if (!a->reconf.req) {
        sctp_reconf_release(w, a);
        sctp_touched_run(w);
        return;
    }
    sctp_path_backoff(p);
    sctp_path_error(w, p, false);
    if (sctp_assoc_by_id(w, id) == a && a->reconf.req)
        send_it(w, a);
}

bool sctp_streams_idle(const struct sctp_assoc *a, const uint16_t *list, unsigned n)
{
    if (n == 0)
        return !a->sent_head && !a->unsent_chunks && !a->pull;
    for (unsigned i = 0; i < n; i++)
        if (a->out[list[i]].head || (a->pull && a->pull->stream == list[i]))
            return false;
    for (const struct sctp_tx *t = a->sent_head; t; t = t->next)
        for (unsigned i = 0; i < n; i++)
            if (t->msg->stream == list[i])
                return false;
    return true;
}

/* The streams of an outgoing or incoming reset; `from` bytes into the parameter. */
static unsigned list_of(const uint8_t *b, unsigned from, uint16_t *list)
{
    unsigned n = (sctp_get16(b + 2) - from) / 2;

    for (unsigned i = 0; i < n && i < LIST_MAX; i++)
        list[i] = sctp_get16(b + from + 2 * i);
    return hs_min_u32(n, LIST_MAX);
}

static uint8_t *put_list(uint8_t *b, unsigned type, unsigned from, const uint16_t *list, unsigned n)
{
    sctp_put16(b, type);
    sctp_put16(b + 2, from + 2 * n);
    for (unsigned i = 0; i < n; i++)
        sctp_put16(b + from + 2 * i, list[i]);
    return b + sctp_pad(from + 2 * n);
}

static int room(struct worker *w, struct sctp_assoc *a, uint32_t len)
{
    if (!sctp_has(a, SCTP_F_RECONF))
        return -ENOPROTOOPT;
    if (a->state != SCTP_S_ESTABLISHED)
        return -ENOTCONN;
    if (a->reconf.req) /* s5.1.1: one at a time */
        return -EINPROGRESS;
    sctp_reconf_release(w, a);
    a->reconf.req = calloc(1, len);
    a->reconf.req_len = (uint16_t)len;
    return a->reconf.req ? 0 : -ENOMEM;
}

static void put_out_reset(struct sctp_assoc *a, uint8_t *b, uint32_t answers, const uint16_t *list, unsigned n)
{
    put_list(b, SCTP_P_OUT_RESET, 16, list, n);
    sctp_put32(b + 4, a->reconf.next_seq++);
    sctp_put32(b + 8, answers);
    sctp_put32(b + 12, a->next_tsn - 1);
    hold(a, list, n, true);
}

/* s5.1.2, s5.1.3. -EAGAIN: something of those streams is still to be sent or acknowledged, as Linux. */
int sctp_reconf_reset(struct worker *w, struct sctp_assoc *a, uint16_t flags, const uint16_t *list, unsigned n)
{
    bool out = flags & SCTP_STREAM_RESET_OUTGOING, in = flags & SCTP_STREAM_RESET_INCOMING;
    unsigned max = (sctp_path_payload(a->primary) - SCTP_CHUNK_HDR - 32) / 4;
    int rc;

    if ((!out && !in) || (flags & ~3u) || n > hs_min_u32(max, LIST_MAX))
        return -EINVAL;
    for (unsigned i = 0; i < n; i++)
        if ((out && list[i] >= a->n_out) || (in && list[i] >= a->n_in))
            return -EINVAL;
    if (out && !sctp_streams_idle(a, list, n))
        return -EAGAIN;
    rc = room(w, a, (out ? 16 + sctp_pad(2 * n) : 0) + (in ? 8 + sctp_pad(2 * n) : 0));
    if (rc != 0)
        return rc;
    uint8_t *b = a->reconf.req;
    if (out) {
        put_out_reset(a, b, a->reconf.peer_seq - 1, list, n);
        b += 16 + sctp_pad(2 * n);
    }
    if (in) {
        put_list(b, SCTP_P_IN_RESET, 8, list, n);
        sctp_put32(b + 4, a->reconf.next_seq++);
    }
    send_it(w, a);
    return 0;
}

/* The peer has asked for it (s5.2.3): our request is the answer. list: bytes as they came. */
int sctp_reconf_out_by_request(struct worker *w, struct sctp_assoc *a, uint32_t peers_seq, const uint8_t *list, unsigned n)
{
    uint16_t l[LIST_MAX];

    if (n > LIST_MAX)
        return -EINVAL;
    for (unsigned i = 0; i < n; i++) {
        l[i] = sctp_get16(list + 2 * i);
        if (l[i] >= a->n_out)
            return -EINVAL;
    }
    if (!sctp_streams_idle(a, l, n))
        return -EAGAIN;
    int rc = room(w, a, 16 + sctp_pad(2 * n));
    if (rc != 0)
        return rc;
    put_out_reset(a, a->reconf.req, peers_seq, l, n);
    send_it(w, a);
    return 0;
}

/* s5.1.4 */
int sctp_reconf_reset_all(struct worker *w, struct sctp_assoc *a)
{
    if (!sctp_streams_idle(a, NULL, 0))
        return -EAGAIN;
    int rc = room(w, a, 8);
    if (rc != 0)
        return rc;
    put_list(a->reconf.req, SCTP_P_TSN_RESET, 8, NULL, 0);
    sctp_put32(a->reconf.req + 4, a->reconf.next_seq++);
    hold(a, NULL, 0, true);
    sctp_sack_flush(w, a); /* what the peer has sent must not be outstanding when its numbers begin anew */
    send_it(w, a);
    return 0;
}

static uint8_t *put_add(struct sctp_assoc *a, uint8_t *b, unsigned type, uint16_t n)
{
    sctp_put16(b, type);
    sctp_put16(b + 2, 12);
    sctp_put32(b + 4, a->reconf.next_seq++);
    sctp_put16(b + 8, n);
    return b + 12;
}

/* s5.1.5, s5.1.6 */
int sctp_reconf_add(struct worker *w, struct sctp_assoc *a, uint16_t in, uint16_t out)
{
    if ((!in && !out) || a->n_in + in > 65535 || a->n_out + out > 65535)
        return -EINVAL;
    int rc = room(w, a, (in ? 12 : 0) + (out ? 12 : 0));
    if (rc != 0)
        return rc;
    uint8_t *b = a->reconf.req;
    if (out)
        b = put_add(a, b, SCTP_P_ADD_OUT, out);
    if (in)
        put_add(a, b, SCTP_P_ADD_IN, in);
    send_it(w, a);
    return 0;
}

/* ---- answers ---- */

static void out_reset_done(struct worker *w, struct sctp_assoc *a, const uint8_t *b, uint32_t result)
{
    uint16_t list[LIST_MAX];
    unsigned n = list_of(b, 16, list);

    for (unsigned i = 0; result <= SCTP_RC_DONE && i < (n ? n : a->n_out); i++) {
        struct sctp_out_stream *o = &a->out[n ? list[i] : i];
        o->ssn = 0;
        o->mid_ordered = o->mid_unordered = 0;
    }
    hold(a, list, n, false);
    sctp_notify_streams(w, a, SCTP_STREAM_RESET_OUTGOING_SSN | (result <= SCTP_RC_DONE ? 0 : result == SCTP_RC_DENIED ? SCTP_STREAM_RESET_DENIED :
                                                                SCTP_STREAM_RESET_FAILED), list, (uint16_t)n);
}

static void in_reset_done(struct worker *w, struct sctp_assoc *a, const uint8_t *b, uint32_t result)
{
    uint16_t list[LIST_MAX];
    unsigned n = list_of(b, 8, list);

    if (result > SCTP_RC_DONE) /* else the peer's own request tells */
        sctp_notify_streams(w, a, SCTP_STREAM_RESET_INCOMING_SSN | (result == SCTP_RC_DENIED ? SCTP_STREAM_RESET_DENIED : SCTP_STREAM_RESET_FAILED),
                            list, (uint16_t)n);
}

/* Both sides' numbers begin anew (s5.2.4): TSNs, SSNs and MIDs. What the peer has sent since is kept: its TSNs go on. */
void sctp_tsn_restart(struct worker *w, struct sctp_assoc *a, uint32_t my_next, uint32_t peers_next)
{
    if (seq_gt(peers_next - 1, a->cum_tsn) || peers_next - 1 - a->cum_tsn == 1u << 31) {
        memset(a->map, 0, a->map_words * sizeof(*a->map));
        a->n_above = a->n_dups = 0;
        a->cum_tsn = a->high_tsn = peers_next - 1;
    }
    a->next_tsn = my_next;
    a->cum_acked = a->adv_peer_ack = my_next - 1;
    a->fwd_pending = a->ecn_echo = false;
    for (unsigned i = 0; i < a->n_paths; i++)
        a->path[i]->ecn_cut = a->path[i]->rtt_running = a->path[i]->in_fast_recovery = false;
    sctp_unordered_drop(w, a);
    for (unsigned i = 0; i < a->n_out; i++) {
        a->out[i].ssn = 0;
        a->out[i].mid_ordered = a->out[i].mid_unordered = 0;
    }
    for (uint32_t i = 0; i < a->n_in; i++) {
        struct sctp_in_stream *st = sctp_in_stream(a, (uint16_t)i, false);
        if (st)
            sctp_reasm_stream_reset(w, a, st);
    }
    sctp_reasm_resume(w, a);
}

static void tsn_reset_done(struct worker *w, struct sctp_assoc *a, uint32_t result, const uint32_t tsns[2])
{
    uint16_t flags = result == SCTP_RC_DENIED ? SCTP_ASSOC_RESET_DENIED : result > SCTP_RC_DONE || !tsns ? SCTP_ASSOC_RESET_FAILED : 0;

    if (!flags)
        sctp_tsn_restart(w, a, tsns[1], tsns[0]);
    hold(a, NULL, 0, false);
    sctp_notify_tsn_reset(w, a, flags, a->next_tsn, a->cum_tsn + 1);
}

static void add_done(struct worker *w, struct sctp_assoc *a, const uint8_t *b, uint32_t result)
{
    uint16_t n = sctp_get16(b + 8);
    uint16_t flags = result == SCTP_RC_DENIED ? SCTP_STREAM_CHANGE_DENIED : result > SCTP_RC_DONE ? SCTP_STREAM_CHANGE_FAILED : 0;
    bool out = type_of(b) == SCTP_P_ADD_OUT;

    if (out && !flags && sctp_streams_add_out(a, n) != 0)
        flags = SCTP_STREAM_CHANGE_FAILED;
    if (out || flags) /* the peer's own request tells of more incoming ones */
        sctp_notify_added(w, a, flags, out ? 0 : n, out ? n : 0);
}

static void one_done(struct worker *w, struct sctp_assoc *a, const uint8_t *b, uint32_t result, const uint32_t tsns[2])
{
    if (result <= SCTP_RC_DONE)
        sctp_count(w, SCTP_N_reconfigs);
    switch (type_of(b)) {
    case SCTP_P_OUT_RESET:
        out_reset_done(w, a, b, result);
        break;
    case SCTP_P_IN_RESET:
        in_reset_done(w, a, b, result);
        break;
    case SCTP_P_TSN_RESET:
        tsn_reset_done(w, a, result, tsns);
        break;
    default:
        add_done(w, a, b, result);
        break;
    }
}

/* The peer's own reset names the request that it answers, or just the last one that it has seen (s4.1): only an incoming reset is answered so. */
void sctp_reconf_answered_by_reset(struct worker *w, struct sctp_assoc *a, uint32_t seq)
{
    for (unsigned i = 0; a->reconf.req && i < n_requests(a); i++) {
        const uint8_t *b = request(a, i);
        if (type_of(b) == SCTP_P_IN_RESET && sctp_get32(b + 4) == seq) {
            sctp_reconf_answered(w, a, seq, SCTP_RC_DONE, NULL);
            return;
        }
    }
}

/* The peer has answered our request `seq` (s5.2.7). tsns: its next TSN and ours, of an SSN/TSN reset, or NULL. */
void sctp_reconf_answered(struct worker *w, struct sctp_assoc *a, uint32_t seq, uint32_t result, const uint32_t tsns[2])
{
    uint8_t *old = a->reconf.req, *mine = NULL, *rest = NULL;

    for (unsigned i = 0; old && i < n_requests(a); i++) {
        uint8_t *b = request(a, i);
        *(sctp_get32(b + 4) == seq ? &mine : &rest) = b;
    }
    if (!mine)
        return;
    sctp_path_ok(w, sctp_path_for_data(a));
    if (result == SCTP_RC_IN_PROGRESS) { /* it is asked again later, and that the peer is there is known */
        timer_start(&w->timers, &a->t_reconf, w->now_us + sctp_path_for_data(a)->rto_us);
        return;
    }
    uint16_t mine_len = sctp_get16(mine + 2), rest_len = rest ? sctp_get16(rest + 2) : 0;
    uint8_t copy[16 + 2 * LIST_MAX];
    memcpy(copy, mine, hs_min_u32(mine_len, sizeof(copy)));
    if (rest) {
        memmove(old, rest, sctp_pad(rest_len));
        a->reconf.req_len = (uint16_t)sctp_pad(rest_len);
    } else {
        sctp_reconf_drop(w, a);
    }
    one_done(w, a, copy, result, tsns);
    sctp_touch(w, a);
}
