/* sctp_sack.c - SACKs in: what has arrived, what is missing, windows and timers (RFC 9260 s6.2.1, s6.3.2, s7.2.4) */
#include "server/sctp/sctp_internal.h"

#include <errno.h>

enum { MISSES = 3 };

struct sack_run {
    uint32_t flight[SCTP_ADDRS];     /* before this SACK */
    bool earliest[SCTP_ADDRS];       /* the earliest outstanding chunk of that path was acknowledged */
    bool passed[SCTP_ADDRS];         /* one of that path was not */
    bool cum_advanced;
    bool any_new;                    /* a TSN was acknowledged that was not before */
    uint32_t highest_new;
};

static void run_begin(struct sctp_assoc *a, struct sack_run *r)
{
    memset(r, 0, sizeof(*r));
    for (unsigned i = 0; i < a->n_paths; i++) {
        a->path[i]->index = (uint8_t)i;
        a->path[i]->n_acked = 0;
        r->flight[i] = a->path[i]->flight;
    }
}

/* t has arrived. */
static void acked(struct worker *w, struct sctp_assoc *a, struct sctp_tx *t, struct sack_run *r)
{
    struct sctp_path *p = t->path;

    if (t->state == SCTP_TX_FLIGHT) {
        p->flight -= sctp_chunk_cost(a, t);
        a->flight -= t->len;
        r->earliest[p->index] |= !r->passed[p->index];
    } else if (t->state == SCTP_TX_MARKED) {
        a->n_marked--;
    }
    t->state = SCTP_TX_ACKED;
    if (!p)
        return;
    p->n_acked += sctp_chunk_cost(a, t);
    if (p->rtt_running && seq_leq(p->rtt_tsn, t->tsn)) {
        if (p->rtt_tsn == t->tsn && t->n_sent == 1)
            sctp_path_rtt(w, p, w->now_us - p->rtt_sent_us);
        p->rtt_running = false;
    }
    if (!r->any_new || seq_gt(t->tsn, r->highest_new))
        r->highest_new = t->tsn;
    r->any_new = true;
}

static void cum_ack(struct worker *w, struct sctp_assoc *a, uint32_t cum, struct sack_run *r)
{
    while (a->sent_head && seq_leq(a->sent_head->tsn, cum)) {
        struct sctp_tx *t = a->sent_head;
        if (t->state != SCTP_TX_ACKED)
            acked(w, a, t, r);
        a->sent_head = t->next;
        if (a->sent_head)
            a->sent_head->prev = NULL;
        else
            a->sent_tail = NULL;
        a->n_sent_chunks--;
        sctp_tx_free(a, t);
    }
    r->cum_advanced = seq_gt(cum, a->cum_acked);
    a->cum_acked = cum;
    if (seq_lt(a->adv_peer_ack, cum))
        a->adv_peer_ack = cum;
}

/* What was reported and is not any more is under way again (s6.2.1 D iii). */
static void reneged(struct worker *w, struct sctp_assoc *a, struct sctp_tx *t)
{
    if (t->msg->is_abandoned || !t->path)
        return;
    t->state = SCTP_TX_FLIGHT;
    t->path->flight += sctp_chunk_cost(a, t);
    a->flight += t->len;
    if (!timer_is_running(&t->path->t3)) /* s6.3.2 R4 */
        sctp_t3_start(w, t->path);
}

static uint32_t gap_acks(struct worker *w, struct sctp_assoc *a, const uint8_t *g, unsigned n, uint32_t cum, struct sack_run *r)
{
    struct sctp_tx *t = a->sent_head;
    uint32_t high = cum;

    for (unsigned i = 0; i < n && t; i++) {
        uint32_t start = cum + sctp_get16(g + 4 * i), end = cum + sctp_get16(g + 4 * i + 2);
        if (seq_lt(end, start) || seq_leq(start, high) || seq_geq(end, a->next_tsn))
            continue; /* makes no sense: as if it were not there */
        for (; t && seq_lt(t->tsn, start); t = t->next) {
            if (t->state == SCTP_TX_ACKED)
                reneged(w, a, t);
            if (t->path)
                r->passed[t->path->index] = true;
        }
        for (; t && seq_leq(t->tsn, end); t = t->next)
            if (t->state != SCTP_TX_ACKED)
                acked(w, a, t, r);
        high = end;
    }
    for (; t; t = t->next)
        if (t->state == SCTP_TX_ACKED)
            reneged(w, a, t);
    return high;
}

static bool in_recovery(const struct sctp_assoc *a)
{
    for (unsigned i = 0; i < a->n_paths; i++)
        if (a->path[i]->in_fast_recovery)
            return true;
    return false;
}

/* s7.2.4: who is missing below what is newly acknowledged has one report more; three, and it is sent again. */
static void count_misses(struct worker *w, struct sctp_assoc *a, uint32_t high_gap, const struct sack_run *r)
{
    bool recovers = in_recovery(a), htna_off = recovers && r->cum_advanced;
    uint32_t upto = htna_off ? high_gap : r->highest_new, bytes = 0;

    if (!r->any_new && !htna_off)
        return;
    for (struct sctp_tx *t = a->sent_head, *next; t && seq_lt(t->tsn, upto); t = next) {
        next = t->next;
        if (t->state != SCTP_TX_FLIGHT || t->is_fast || ++t->misses < MISSES)
            continue;
        struct sctp_path *p = t->path;
        if (sctp_pr_expired(w, t, true)) {
            sctp_pr_abandon(w, a, t->msg);
            continue;
        }
        if (!recovers)
            sctp_path_cc_loss(a, p); /* s7.2.4 (2) */
        t->state = SCTP_TX_MARKED;
        t->is_fast = true;
        bytes += sctp_chunk_cost(a, t);
        t->skips_cwnd = !recovers && bytes <= sctp_path_payload(p); /* (3): one packet goes whatever cwnd says */
        a->n_marked++;
        p->flight -= sctp_chunk_cost(a, t);
        a->flight -= t->len;
        sctp_count(w, SCTP_N_fast_retransmits);
    }
}

/* s7.2.4: windows grow by what was acknowledged before they shrink for what is missing. */
static void grow(struct worker *w, struct sctp_assoc *a, struct sack_run *r)
{
    for (unsigned i = 0; i < a->n_paths; i++) {
        struct sctp_path *p = a->path[i];
        if (p->in_fast_recovery && seq_geq(a->cum_acked, p->recover_tsn))
            p->in_fast_recovery = false;
        if (p->n_acked) {
            sctp_path_cc_acked(w, p, r->cum_advanced, r->flight[i]);
            sctp_path_ok(w, p);
        }
    }
}

static void after(struct worker *w, struct sctp_assoc *a, struct sack_run *r)
{
    for (unsigned i = 0; i < a->n_paths; i++) {
        struct sctp_path *p = a->path[i];
        if (p->flight == 0 && !(p == a->primary && seq_gt(a->adv_peer_ack, a->cum_acked)))
            timer_stop(&p->t3, &w->timers);           /* s6.3.2 R2 */
        else if (p->flight && r->earliest[i])
            sctp_t3_start(w, p);                      /* R3 */
    }
}

bool sctp_cum_ack(struct worker *w, struct sctp_assoc *a, uint32_t cum)
{
    struct sack_run r;

    if (seq_lt(cum, a->cum_acked) || seq_geq(cum, a->next_tsn))
        return false;
    run_begin(a, &r);
    cum_ack(w, a, cum, &r);
    grow(w, a, &r);
    after(w, a, &r);
    return true;
}

void sctp_sack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    uint32_t cum = sctp_get32(c->b + 4), rwnd = sctp_get32(c->b + 8), high;
    unsigned n_gaps = sctp_get16(c->b + 12), n_dups = sctp_get16(c->b + 14);
    struct sack_run r;

    if (in->has_sack) { /* nobody has two things to say at once, and each costs a walk over what is under way */
        sctp_count(w, SCTP_N_drop_sack);
        return;
    }
    in->has_sack = true;
    sctp_count(w, SCTP_N_rx_sacks);
    a->n_rx_sacks++;
    if (SCTP_SACK_LEN + 4 * (n_gaps + n_dups) > c->len) {
        sctp_count(w, SCTP_N_drop_short);
        sctp_abort(w, a, SCTP_C_PROTOCOL, NULL, 0, -EPROTO);
        return;
    }
    if (seq_lt(cum, a->cum_acked)) { /* s6.2.1 D i: overtaken by a later one */
        sctp_count(w, SCTP_N_drop_sack);
        return;
    }
    if (seq_geq(cum, a->next_tsn)) { /* of what was never sent; or by numbers that were asked for (RFC 6525) and not told of yet */
        sctp_count(w, SCTP_N_drop_sack);
        if (sctp_reconf_is_resetting(a))
            return;
        sctp_abort(w, a, SCTP_C_PROTOCOL, NULL, 0, -EPROTO);
        return;
    }
    a->n_gaps += n_gaps;
    run_begin(a, &r);
    cum_ack(w, a, cum, &r);
    high = gap_acks(w, a, c->b + SCTP_SACK_LEN, n_gaps, cum, &r);
    grow(w, a, &r);
    if (n_gaps)
        count_misses(w, a, high, &r);
    after(w, a, &r);
    a->peer_rwnd = rwnd > a->flight ? rwnd - a->flight : 0; /* D ii */
    if (rwnd == 0 && a->n_paths) /* s6.1 A: a peer that answers probes is there, however long its window stays closed */
        sctp_path_ok(w, in->path);
    sctp_pr_advance(w, a);
}

/* Nothing is left to send or to be acknowledged. */
void sctp_acked_done(struct worker *w, struct sctp_assoc *a)
{
    if (a->sent_head || a->unsent_chunks)
        return;
    if (!a->dry_told && a->state >= SCTP_S_ESTABLISHED) {
        a->dry_told = true;
        sctp_notify_dry(w, a);
    }
    sctp_shutdown_step(w, a);
}
