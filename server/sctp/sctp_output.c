/* sctp_output.c - chunks to packets: SACK, FORWARD TSN, what is to be sent again, new data (RFC 9260 s6.1, s6.3, s6.10), T3 */
#include "server/sctp/sctp_internal.h"

#include <errno.h>

enum { PACKETS_A_TURN = 64 };

void sctp_t3_start(struct worker *w, struct sctp_path *p)
{
    timer_start(&w->timers, &p->t3, w->now_us + p->rto_us);
}

/* ---- chunks ---- */

static void put_data(struct sctp_assoc *a, uint8_t *b, const struct sctp_tx *t)
{
    const struct sctp_msg *m = t->msg;

    sctp_put32(b + 4, t->tsn);
    sctp_put16(b + 8, m->stream);
    if (sctp_has(a, SCTP_F_IDATA)) {
        sctp_put16(b + 10, 0);
        sctp_put32(b + 12, m->mid);
        if (t->flags & SCTP_DATA_B)
            memcpy(b + 16, &m->ppid, 4);
        else
            sctp_put32(b + 16, t->fsn);
        memcpy(b + SCTP_IDATA_HDR, t->data, t->len);
    } else {
        sctp_put16(b + 10, m->ssn);
        memcpy(b + 12, &m->ppid, 4); /* as the program gave it */
        memcpy(b + SCTP_DATA_HDR, t->data, t->len);
    }
}

/* Is the packet signed with a key that this message does not want? */
static bool has_other_key(const struct sctp_out *o, const struct sctp_tx *t) { return o->auth && o->key != sctp_auth_key_of(o->a, t->msg); }

/* s6.3.1 C5: what was sent before, and again, would be measured with it. */
static void measure_no_more(struct sctp_assoc *a, uint32_t tsn)
{
    for (unsigned i = 0; i < a->n_paths; i++)
        if (seq_leq(tsn, a->path[i]->rtt_tsn))
            a->path[i]->rtt_running = false;
}

/* s6.1: is nothing older than t under way on p? */
static bool is_earliest(const struct sctp_assoc *a, const struct sctp_path *p, const struct sctp_tx *t)
{
    const struct sctp_tx *s = a->sent_head;

    while (s && s != t && (s->state != SCTP_TX_FLIGHT || s->path != p))
        s = s->next;
    return s == t;
}

static bool put_chunk(struct worker *w, struct sctp_out *o, struct sctp_assoc *a, struct sctp_path *p, struct sctp_tx *t)
{
    if (has_other_key(o, t))
        return false;
    if (!o->auth)
        o->key = sctp_auth_key_of(a, t->msg);
    uint8_t *b = sctp_out_chunk(o, sctp_has(a, SCTP_F_IDATA) ? SCTP_CT_IDATA : SCTP_CT_DATA, t->flags, sctp_data_hdr(a) + t->len);

    if (!b)
        return false;
    o->is_ect = sctp_has(a, SCTP_F_ECN);
    put_data(a, b, t);
    bool restarts = t->n_sent && t->path == p && is_earliest(a, p, t);
    if (t->n_sent == 0 && !p->rtt_running) { /* s6.3.1 C4, C5: one at a time, and never one sent again */
        p->rtt_running = true;
        p->rtt_tsn = t->tsn;
        p->rtt_sent_us = w->now_us;
    } else if (t->n_sent) {
        measure_no_more(a, t->tsn);
    }
    if (t->n_sent < UINT8_MAX)
        t->n_sent++;
    t->state = SCTP_TX_FLIGHT;
    t->path = p;
    t->sent_us = w->now_us;
    t->misses = 0;
    t->skips_cwnd = false;
    p->flight += sctp_chunk_cost(a, t);
    a->flight += t->len;
    p->last_used_us = p->cwnd_used_us = w->now_us;
    p->is_decaying = false;
    if (!timer_is_running(&p->t3) || restarts) /* s6.3.2 R1, s6.1 */
        sctp_t3_start(w, p);
    return true;
}

/* Sequence numbers are given when a chunk goes out first: what is abandoned before has none. */
void sctp_number(struct sctp_assoc *a, struct sctp_tx *t)
{
    struct sctp_msg *m = t->msg;
    struct sctp_out_stream *s = &a->out[m->stream];

    t->tsn = a->next_tsn++;
    if (!m->is_begun) {
        m->is_begun = true;
        m->may_skip = sctp_has(a, SCTP_F_PR);
        if (sctp_has(a, SCTP_F_IDATA))
            m->mid = m->flags & SCTP_UNORDERED ? s->mid_unordered++ : s->mid_ordered++;
        else if (!(m->flags & SCTP_UNORDERED))
            m->ssn = s->ssn++;
    }
    t->fsn = m->next_fsn++;
    t->prev = a->sent_tail;
    t->next = NULL;
    if (a->sent_tail)
        a->sent_tail->next = t;
    else
        a->sent_head = t;
    a->sent_tail = t;
    a->n_sent_chunks++;
}

/* ---- what may be sent on p ---- */

static uint32_t window(const struct sctp_assoc *a, const struct sctp_path *p)
{
    uint32_t burst = a->cfg.max_burst * sctp_path_payload(p);

    /* s6.1 D: not more than Max.Burst packets beyond what has just been acknowledged */
    if (a->cfg.max_burst && p->flight + p->n_acked + burst < p->cwnd)
        return p->flight + p->n_acked + burst;
    return p->cwnd;
}

static struct sctp_tx *next_marked(struct sctp_assoc *a, struct sctp_tx *from)
{
    struct sctp_tx *t = from ? from : a->sent_head;

    while (t && t->state != SCTP_TX_MARKED)
        t = t->next;
    return t;
}

/* s6.4.1: after a timeout to another address, if there is one. */
static struct sctp_path *path_again(struct sctp_assoc *a, const struct sctp_tx *t)
{
    if (!t->path || t->path->errors || t->path->state != SCTP_PATH_ACTIVE)
        return sctp_path_alternate(a, t->path);
    return t->path;
}

static void fill_marked(struct worker *w, struct sctp_assoc *a, struct sctp_path *p, struct sctp_out *o, struct sctp_tx *t)
{
    while ((t = next_marked(a, t)) != NULL) {
        struct sctp_tx *next = t->next;
        if (sctp_pr_expired(w, t, true)) {
            sctp_pr_abandon(w, a, t->msg);
            continue;
        }
        bool skips = t->skips_cwnd;
        if ((!skips && p->flight >= p->cwnd) || path_again(a, t) != p || !put_chunk(w, o, a, p, t))
            return;
        a->n_marked--;
        a->n_rtx++;
        sctp_count(w, SCTP_N_retransmits);
        if (!next)
            return;
        t = next;
    }
}

/* Nagle (RFC 9260 s6.1): what does not fill a packet waits while something is under way. */
static bool waits_for_more(const struct sctp_assoc *a, const struct sctp_path *p)
{
    if (a->cfg.nodelay || a->flight == 0 || a->state != SCTP_S_ESTABLISHED || a->eof_asked)
        return false;
    return a->unsent + a->unsent_chunks * sctp_data_hdr(a) < sctp_path_payload(p);
}

/* s6.1 A: one chunk asks about a closed window, after an RTO; from then on T3 sends it again, each time later. */
static bool may_probe(const struct sctp_assoc *a) { return a->probe_due && a->flight == 0 && !a->sent_head; }

static void await_window(struct worker *w, struct sctp_assoc *a)
{
    const struct sctp_tx *t = sctp_queue_next(a);
    struct sctp_path *p = sctp_path_for_data(a);

    if (t && t->len > a->peer_rwnd && !a->sent_head && !a->probe_due && !timer_is_running(&p->t3))
        sctp_t3_start(w, p);
}

static bool may_send_new(struct worker *w, struct sctp_assoc *a, const struct sctp_path *p, uint32_t limit, bool packet_begun)
{
    struct sctp_tx *t;

    while ((t = sctp_queue_next(a)) != NULL && sctp_pr_expired(w, t, false))
        sctp_pr_abandon(w, a, t->msg);
    if (!t || p->flight >= limit || a->n_marked)
        return false;
    if (a->state != SCTP_S_ESTABLISHED && a->state != SCTP_S_SHUTDOWN_PENDING && a->state != SCTP_S_SHUTDOWN_RECEIVED)
        return false;
    if (t->len > a->peer_rwnd && !may_probe(a))
        return false;
    if (a->next_tsn - a->cum_acked >= SCTP_TSN_WINDOW)
        return false;
    return packet_begun || !waits_for_more(a, p);
}

static void fill_new(struct worker *w, struct sctp_assoc *a, struct sctp_path *p, struct sctp_out *o, uint32_t limit, bool begun)
{
    while (may_send_new(w, a, p, limit, begun)) {
        struct sctp_tx *t = sctp_queue_next(a);
        if (has_other_key(o, t))
            return;
        if (o->len + sctp_pad(sctp_data_hdr(a) + t->len) > o->max) {
            if (begun || t->len + sctp_data_hdr(a) <= sctp_path_payload(p))
                return;
            o->max = SCTP_COMMON_LEN + sctp_pad(sctp_data_hdr(a) + t->len) + (o->auth ? sctp_auth_overhead(a) : 0);
            /* the path has shrunk: IP cuts this one */
        }
        t = sctp_queue_take(a);
        sctp_number(a, t);
        if (!put_chunk(w, o, a, p, t)) { /* no room in the buffer after all: it goes with the next packet */
            t->state = SCTP_TX_MARKED;
            a->n_marked++;
            return;
        }
        a->peer_rwnd = a->peer_rwnd > t->len ? a->peer_rwnd - t->len : 0;
        a->probe_due = false;
        a->n_tx_data++;
        sctp_count(w, SCTP_N_tx_data);
        sctp_used(w, a);
        begun = true;
    }
}

/* s7.2.1, s7.2.3: after a timeout one packet is under way, however little is in it. */
static bool is_waiting(const struct sctp_path *p) { return p->after_timeout && p->flight > 0; }

/* The path for the next packet; NULL: nothing to send, or nothing that may be sent. */
static struct sctp_path *next_path(struct worker *w, struct sctp_assoc *a, const uint32_t *limits)
{
    struct sctp_tx *t = a->n_marked ? next_marked(a, NULL) : NULL;

    while (t) {
        struct sctp_path *p = path_again(a, t);
        if (t->skips_cwnd || (p->flight < p->cwnd && !is_waiting(p)))
            return p;
        return NULL; /* in order: what is behind it waits, too */
    }
    struct sctp_path *p = sctp_path_for_data(a);
    return !is_waiting(p) && may_send_new(w, a, p, limits[p->index], false) ? p : NULL;
}

static uint32_t biggest(const struct sctp_assoc *a, const struct sctp_path *p)
{
    const struct sctp_tx *t = a->n_marked ? next_marked((struct sctp_assoc *)a, NULL) : NULL;
    uint32_t len = SCTP_COMMON_LEN + sctp_path_payload(p);

    return t ? hs_max_u32(len, SCTP_COMMON_LEN + sctp_pad(sctp_data_hdr(a) + t->len)) : len;
}

static bool one_packet(struct worker *w, struct sctp_assoc *a, struct sctp_path *p, const uint32_t *limits)
{
    struct sctp_out o;

    if (sctp_out_begin_for(&o, w, a, biggest(a, p)) != 0)
        return false;
    const struct sctp_tx *first = a->n_marked ? next_marked(a, NULL) : sctp_queue_next(a);
    if (first) /* so that a SACK does not begin a packet that the data cannot join */
        o.key = sctp_auth_key_of(a, first->msg);
    if (a->sack_due && (p == a->last_from || a->n_paths == 1))
        sctp_sack_put(w, a, &o);
    if (a->fwd_pending)
        sctp_forward_tsn_put(a, &o);
    uint32_t before = o.len;
    if (a->n_marked)
        fill_marked(w, a, p, &o, NULL);
    fill_new(w, a, p, &o, limits[p->index], o.len > before);
    if (o.len == SCTP_COMMON_LEN) {
        sctp_out_drop(&o);
        return false;
    }
    bool has_data = o.len > before;
    sctp_out_send(&o, a, p);
    return has_data;
}

static void control_only(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_path *p = a->last_from && a->sack_now ? a->last_from : sctp_path_for_data(a);
    struct sctp_out o;

    if (sctp_out_begin_for(&o, w, a, SCTP_COMMON_LEN + sctp_path_payload(p)) != 0)
        return;
    if (a->sack_now)
        sctp_sack_put(w, a, &o);
    if (a->fwd_pending)
        sctp_forward_tsn_put(a, &o);
    if (a->state == SCTP_S_SHUTDOWN_SENT && a->data_seen) { /* s9.2: data that came is acknowledged with the SHUTDOWN again */
        uint8_t *b = sctp_out_chunk(&o, SCTP_CT_SHUTDOWN, 0, 8);
        if (b) {
            sctp_put32(b + 4, a->cum_tsn);
            timer_start(&w->timers, &a->t2, w->now_us + p->rto_us);
        }
    }
    if (o.len == SCTP_COMMON_LEN)
        sctp_out_drop(&o);
    else
        sctp_out_send(&o, a, p);
}

void sctp_sack_flush(struct worker *w, struct sctp_assoc *a)
{
    if (!a->sack_due)
        return;
    a->sack_now = true;
    control_only(w, a);
}

/* All that may be sent now. The association may be gone afterwards. */
void sctp_output(struct worker *w, struct sctp_assoc *a)
{
    uint32_t limits[SCTP_ADDRS];
    struct sctp_path *p;

    if (a->dead) {
        sctp_abort(w, a, SCTP_C_NO_RESOURCE, NULL, 0, -ENOMEM);
        return;
    }
    if (a->state < SCTP_S_ESTABLISHED || !a->n_paths)
        return;
    if (a->eof_asked && a->state == SCTP_S_ESTABLISHED) {
        uint32_t id = a->id;
        sctp_shutdown_begin(w, a);
        if (sctp_assoc_by_id(w, id) != a)
            return;
    }
    for (unsigned i = 0; i < a->n_paths; i++) {
        a->path[i]->index = (uint8_t)i;
        sctp_path_cc_idle(w, a->path[i]);
        limits[i] = window(a, a->path[i]);
        a->path[i]->n_acked = 0;
    }
    bool alone = false; /* a SACK took the room that a full chunk needs: the chunk goes in the next packet */
    for (unsigned n = 0; n < PACKETS_A_TURN && (p = next_path(w, a, limits)) != NULL; n++) {
        if (one_packet(w, a, p, limits))
            continue;
        if (alone)
            break;
        alone = true;
    }
    await_window(w, a);
    if (a->sack_now || a->fwd_pending)
        control_only(w, a);
    bool is_low = a->unsent < SCTP_UNSENT_MAX / 2 && a->unsent_chunks < SCTP_UNSENT_CHUNKS / 2;
    if (a->tx_blocked && (is_low || (a->current && !a->current->head)) && a->ep) {
        a->tx_blocked = false;
        session_tx_schedule(w, a->ep->s);
    }
    sctp_acked_done(w, a);
}

/* ---- T3-rtx (s6.3.3) ---- */

void sctp_t3_fire(struct worker *w, struct timer_node *t3)
{
    struct sctp_path *p = hs_container_of(t3, struct sctp_path, t3);
    struct sctp_assoc *a = p->a;
    uint32_t id = a->id;
    bool any = false;

    for (struct sctp_tx *t = a->sent_head; t; t = t->next) {
        if (t->state != SCTP_TX_FLIGHT || t->path != p)
            continue;
        any = true;
        t->state = SCTP_TX_MARKED;
        t->is_fast = false;
        a->n_marked++;
        a->flight -= t->len;
    }
    p->flight = 0;
    p->rtt_running = false;
    if (seq_gt(a->adv_peer_ack, a->cum_acked)) { /* RFC 3758 s3.5 F4 */
        a->fwd_pending = true;
        any = true;
    }
    if (!any) { /* await_window() */
        a->probe_due = !a->sent_head;
        sctp_output(w, a);
        return;
    }
    sctp_count(w, SCTP_N_timeouts);
    a->n_t3++;
    sctp_path_cc_timeout(p); /* E1 */
    sctp_path_backoff(p);    /* E2 */
    sctp_path_error(w, p, false); /* s8.1, s8.2 */
    if (sctp_assoc_by_id(w, id) != a)
        return;
    if (a->fwd_pending && a->flight == 0)
        sctp_t3_start(w, p);
    sctp_output(w, a);       /* E3 */
}
