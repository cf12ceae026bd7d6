/* sctp_pr.c - partial reliability: messages given up (RFC 3758, RFC 7496), FORWARD TSN */
#include "server/sctp/sctp_internal.h"

enum { FWD_STREAMS = 128 };

void sctp_pr_set(struct sctp_assoc *a, struct sctp_msg *m, uint16_t policy, uint32_t value, uint64_t now_us)
{
    m->pr_policy = policy & SCTP_PR_SCTP_MASK;
    a->has_prio |= m->pr_policy == SCTP_PR_SCTP_PRIO;
    m->pr_value = value;
    if (m->pr_policy == SCTP_PR_SCTP_TTL)
        m->expires_us = now_us + (uint64_t)value * SCTP_MS;
}

/* is_rtx: it would be sent again. Without the peer's support a message may expire only before it is begun (RFC 6458 s5.3.7). */
bool sctp_pr_expired(struct worker *w, const struct sctp_tx *t, bool is_rtx)
{
    const struct sctp_msg *m = t->msg;

    if (m->pr_policy == SCTP_PR_SCTP_NONE || !m->is_whole)
        return false;
    if (m->is_begun && !m->may_skip)
        return false;
    if (m->pr_policy == SCTP_PR_SCTP_TTL)
        return w->now_us > m->expires_us;
    return is_rtx && m->pr_policy == SCTP_PR_SCTP_RTX && t->n_sent > m->pr_value;
}

/* RFC 7496 s4.3, s4.4 */
void sctp_pr_count(struct sctp_assoc *a, const struct sctp_msg *m)
{
    unsigned i = sctp_pr_index(m->pr_policy);

    if (i >= SCTP_PR_POLICIES)
        return;
    a->given_up[i][m->is_begun]++;
    a->out[m->stream].given_up[i][m->is_begun]++;
}

void sctp_pr_abandon(struct worker *w, struct sctp_assoc *a, struct sctp_msg *m)
{
    struct sctp_out_stream *o = &a->out[m->stream];
    bool begun = m->is_begun;

    if (m->is_abandoned)
        return;
    sctp_count(w, SCTP_N_abandoned);
    m->is_abandoned = true;
    sctp_pr_count(a, m);
    for (struct sctp_tx *t = a->sent_head; t; t = t->next) {
        if (t->msg != m || t->state == SCTP_TX_ACKED)
            continue;
        sctp_notify_failed(w, a, t);
        if (t->state == SCTP_TX_FLIGHT) {
            t->path->flight -= sctp_chunk_cost(a, t);
            a->flight -= t->len;
        } else {
            a->n_marked--;
        }
        t->state = SCTP_TX_ACKED; /* RFC 3758 s3.5 A3: counts as acknowledged */
    }
    if (begun && o->head && o->head->msg == m) { /* the rest of it gets numbers, too, so that the peer can be told to skip it */
        while (o->head && o->head->msg == m) {
            struct sctp_tx *t = sctp_queue_take_from(a, o);
            sctp_notify_failed(w, a, t);
            sctp_number(a, t);
            t->state = SCTP_TX_ACKED;
        }
    } else if (!begun) {
        sctp_queue_drop_msg(w, a, o);
    }
    sctp_pr_advance(w, a);
}

/* RFC 3758 s3.5 C1 to C3 */
void sctp_pr_advance(struct worker *w, struct sctp_assoc *a)
{
    uint32_t to = a->cum_acked;

    if (!sctp_has(a, SCTP_F_PR))
        return;
    for (struct sctp_tx *t = a->sent_head; t && t->state == SCTP_TX_ACKED && t->msg->is_abandoned; t = t->next)
        to = t->tsn;
    if (seq_leq(to, a->cum_acked))
        return;
    a->adv_peer_ack = to;
    a->fwd_pending = true;
    if (a->primary && !timer_is_running(&a->primary->t3)) /* F: it is sent again until it is acknowledged */
        sctp_t3_start(w, a->primary);
}

struct skip { uint32_t seq; uint16_t sid; bool is_unordered; };

/* The highest sequence number of each stream that is skipped; returns how many, *to: the new cumulative TSN. */
static unsigned skips(const struct sctp_assoc *a, bool idata, struct skip *s, uint32_t *to)
{
    unsigned n = 0;

    for (struct sctp_tx *t = a->sent_head; t && seq_leq(t->tsn, a->adv_peer_ack); t = t->next) {
        const struct sctp_msg *m = t->msg;
        bool is_unordered = m->flags & SCTP_UNORDERED;
        unsigned i = 0;
        if (idata || !is_unordered) { /* unordered DATA has no number but its TSN */
            while (i < n && (s[i].sid != m->stream || s[i].is_unordered != is_unordered))
                i++;
            if (i == n) {
                if (n == FWD_STREAMS)
                    break; /* the rest with the next one */
                s[n++] = (struct skip){ .sid = m->stream, .is_unordered = is_unordered, .seq = m->mid };
            }
            if (!idata)
                s[i].seq = m->ssn;
            else if (seq_gt(m->mid, s[i].seq)) /* with I-DATA messages of a stream may be sent in any order */
                s[i].seq = m->mid;
        }
        *to = t->tsn;
    }
    return n;
}

/* false: no room. RFC 3758 s3.2, RFC 8260 s2.3.1 */
bool sctp_forward_tsn_put(struct sctp_assoc *a, struct sctp_out *o)
{
    struct skip s[FWD_STREAMS];
    bool idata = sctp_has(a, SCTP_F_IDATA);
    uint32_t to = a->cum_acked, each = idata ? 8 : 4;
    unsigned n = skips(a, idata, s, &to);

    if (seq_leq(to, a->cum_acked)) {
        a->fwd_pending = false;
        return true;
    }
    uint8_t *b = sctp_out_chunk(o, idata ? SCTP_CT_IFORWARD_TSN : SCTP_CT_FORWARD_TSN, 0, 8 + each * n);
    if (!b)
        return false;
    sctp_put32(b + 4, to);
    b += 8;
    for (unsigned i = 0; i < n; i++, b += each) {
        sctp_put16(b, s[i].sid);
        sctp_put16(b + 2, idata ? s[i].is_unordered : s[i].seq);
        if (idata)
            sctp_put32(b + 4, s[i].seq);
    }
    a->fwd_pending = false;
    return true;
}
