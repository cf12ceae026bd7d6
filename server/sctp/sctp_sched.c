/* sctp_sched.c - what is sent next: streams with something to send, in the order of the scheduler (RFC 8260 s3)
 *
 * With DATA chunks a message that has been begun is finished first: its fragments must have consecutive TSNs. */
#include "server/sctp/sctp_internal.h"

#include <stdlib.h>

enum { UNIT = 256, DEFAULT_WEIGHT = 1 }; /* a byte of a stream of weight 1 counts so much */

static uint64_t rank(const struct sctp_assoc *a, const struct sctp_out_stream *o)
{
    switch (a->cfg.scheduler) {
    case SCTP_SS_PRIO:          /* s3.4 */
        return o->value;
    case SCTP_SS_RR:            /* s3.2 */
    case SCTP_SCHED_FAIR:       /* s3.5 */
    case SCTP_SCHED_WEIGHTED:   /* s3.6 */
        return o->pass;
    default:                    /* SCTP_SS_FCFS, s3.1 */
        return o->head->msg->seq;
    }
}

/* Sorted by rank, behind those of equal rank; looked for from the end, where most belong. */
static void activate(struct sctp_assoc *a, struct sctp_out_stream *o)
{
    struct sctp_out_stream *after = a->active_tail;

    if (o->pass < a->pass) /* who had nothing to say has saved nothing up */
        o->pass = a->pass;
    uint64_t r = rank(a, o);
    while (after && rank(a, after) > r)
        after = after->active_prev;
    o->active_prev = after;
    o->active_next = after ? after->active_next : a->active;
    *(o->active_next ? &o->active_next->active_prev : &a->active_tail) = o;
    *(after ? &after->active_next : &a->active) = o;
    o->is_active = true;
}

static void deactivate(struct sctp_assoc *a, struct sctp_out_stream *o)
{
    *(o->active_next ? &o->active_next->active_prev : &a->active_tail) = o->active_prev;
    *(o->active_prev ? &o->active_prev->active_next : &a->active) = o->active_next;
    o->is_active = false;
}

void sctp_queue_rank(struct sctp_assoc *a)
{
    struct sctp_out_stream *all = a->active;

    a->active = a->active_tail = NULL;
    while (all) {
        struct sctp_out_stream *o = all;
        all = o->active_next;
        activate(a, o);
    }
}

void sctp_queue_hold(struct sctp_assoc *a, struct sctp_out_stream *o, bool on)
{
    o->is_resetting = on;
    if (on && o->is_active)
        deactivate(a, o);
    else if (!on && o->head && !o->is_active)
        activate(a, o);
}

void sctp_queue_add(struct sctp_assoc *a, struct sctp_tx *t)
{
    struct sctp_out_stream *o = &a->out[t->msg->stream];

    t->next = NULL;
    if (o->tail)
        o->tail->next = t;
    else
        o->head = t;
    o->tail = t;
    a->unsent += t->len;
    a->unsent_chunks++;
    if (!o->is_active && !o->is_resetting)
        activate(a, o);
}

struct sctp_tx *sctp_queue_next(struct sctp_assoc *a)
{
    struct sctp_out_stream *o = a->current ? a->current : a->active;

    return o ? o->head : NULL; /* NULL with current: the rest of its message has not been written yet */
}

static void charge(struct sctp_assoc *a, struct sctp_out_stream *o, uint32_t len, bool ends)
{
    a->pass = o->pass;
    switch (a->cfg.scheduler) {
    case SCTP_SS_RR:
        o->pass += ends || sctp_has(a, SCTP_F_IDATA) ? 1 : 0;
        break;
    case SCTP_SCHED_FAIR:
        o->pass += (uint64_t)len * UNIT;
        break;
    case SCTP_SCHED_WEIGHTED:
        o->pass += (uint64_t)len * UNIT / (o->value ? o->value : DEFAULT_WEIGHT) + 1;
        break;
    default:
        break;
    }
}

/* The next chunk of o. With DATA, the rest of its message must follow: TSNs of a message are consecutive. With I-DATA others may come
 * between (RFC 8260 s2). */
struct sctp_tx *sctp_queue_take_from(struct sctp_assoc *a, struct sctp_out_stream *o)
{
    struct sctp_tx *t = o->head;
    bool ends = t->flags & SCTP_DATA_E, turns = ends || sctp_has(a, SCTP_F_IDATA);

    o->head = t->next;
    if (!o->head)
        o->tail = NULL;
    t->next = NULL;
    a->unsent -= t->len;
    a->unsent_chunks--;
    a->current = turns ? NULL : o;
    if (o->is_active && (!o->head || turns))
        deactivate(a, o);
    charge(a, o, t->len, ends);
    if (o->head && !o->is_active && !o->is_resetting)
        activate(a, o);
    return t;
}

struct sctp_tx *sctp_queue_take(struct sctp_assoc *a)
{
    return sctp_queue_take_from(a, a->current ? a->current : a->active);
}

/* The fragments at the head of o that belong to one message are dropped, unsent. */
void sctp_queue_drop_msg(struct worker *w, struct sctp_assoc *a, struct sctp_out_stream *o)
{
    struct sctp_msg *m = o->head->msg;
    bool last;

    (void)w;
    do {
        struct sctp_tx *t = o->head;
        o->head = t->next;
        if (!o->head)
            o->tail = NULL;
        a->unsent -= t->len;
        a->unsent_chunks--;
        sctp_notify_failed(w, a, t);
        last = m->n_frags == 1 && m->is_whole;
        sctp_tx_free(a, t);
    } while (!last && o->head && o->head->msg == m);
    if (a->current == o)
        a->current = NULL;
    if (o->is_active) {
        deactivate(a, o);
        if (o->head)
            activate(a, o);
    }
}

/* RFC 7496 s4.3: the queue is full, and what is less important than `value` gives way, if nothing of it has been sent. */
void sctp_queue_prune(struct worker *w, struct sctp_assoc *a, uint32_t value)
{
    struct sctp_out_stream *all = a->active;

    a->active = a->active_tail = NULL;
    while (all) {
        struct sctp_out_stream *o = all;
        struct sctp_tx *prev = NULL;
        all = o->active_next;
        o->is_active = false;
        for (struct sctp_tx *t = o->head, *behind; t; t = behind) {
            struct sctp_msg *m = t->msg;
            behind = t->next;
            if (m->pr_policy != SCTP_PR_SCTP_PRIO || m->pr_value <= value || m->is_begun || !m->is_whole) {
                prev = t;
                continue;
            }
            *(prev ? &prev->next : &o->head) = behind;
            if (!behind)
                o->tail = prev;
            a->unsent -= t->len;
            a->unsent_chunks--;
            if (t->flags & SCTP_DATA_B) {
                sctp_count(w, SCTP_N_abandoned);
                sctp_pr_count(a, m);
            }
            sctp_notify_failed(w, a, t);
            sctp_tx_free(a, t);
        }
        if (o->head)
            activate(a, o);
    }
}

void sctp_queue_drop_all(struct worker *w, struct sctp_assoc *a, bool notify)
{
    while (a->sent_head) {
        struct sctp_tx *t = a->sent_head;
        a->sent_head = t->next;
        if (notify && t->state != SCTP_TX_ACKED && !t->msg->is_abandoned)
            sctp_notify_failed(w, a, t);
        sctp_tx_free(a, t);
    }
    a->sent_tail = NULL;
    a->n_marked = a->n_sent_chunks = a->flight = 0;
    for (uint32_t i = 0; a->out && i < a->n_out; i++) {
        struct sctp_out_stream *o = &a->out[i];
        while (o->head) {
            struct sctp_tx *t = o->head;
            o->head = t->next;
            if (notify)
                sctp_notify_failed(w, a, t);
            sctp_tx_free(a, t);
        }
        o->tail = NULL;
        o->is_active = o->is_resetting = false;
    }
    a->active = a->active_tail = a->current = NULL;
    a->unsent = a->unsent_chunks = 0;
    if (a->pull) { /* its fragments are gone, it has no end yet */
        free(a->pull);
        a->pull = NULL;
        if (a->ep)
            a->ep->discard = true;
    }
}
