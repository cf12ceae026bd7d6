/* sctp_sched.c - what is sent next: streams with something to send, in the order of the scheduler (RFC 8260 s3)
 *
 * With DATA chunks a message that has been begun is finished first: its fragments must have consecutive TSNs. */
#include "server/sctp/sctp_internal.h"

#include <stdlib.h>

static uint64_t rank(const struct sctp_assoc *a, const struct sctp_out_stream *o)
{
    switch (a->cfg.scheduler) {
    case SCTP_SS_PRIO:
        return o->value;
    case SCTP_SS_RR:
        return o->pass;
    default: /* SCTP_SS_FCFS */
        return o->head->msg->seq;
    }
}

/* Sorted by rank, after those of equal rank. */
static void activate(struct sctp_assoc *a, struct sctp_out_stream *o)
{
    struct sctp_out_stream **p = &a->active;
    uint64_t r = rank(a, o);

    while (*p && rank(a, *p) <= r)
        p = &(*p)->active_next;
    o->active_next = *p;
    *p = o;
    o->is_active = true;
}

static void deactivate(struct sctp_assoc *a, struct sctp_out_stream *o)
{
    for (struct sctp_out_stream **p = &a->active; *p; p = &(*p)->active_next) {
        if (*p == o) {
            *p = o->active_next;
            break;
        }
    }
    o->is_active = false;
}

static uint64_t last_pass(const struct sctp_assoc *a)
{
    uint64_t max = 0;

    for (const struct sctp_out_stream *o = a->active; o; o = o->active_next)
        max = o->pass > max ? o->pass : max;
    return max;
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
    if (!o->is_active && !o->is_resetting) {
        if (a->cfg.scheduler == SCTP_SS_RR)
            o->pass = last_pass(a) + 1;
        activate(a, o);
    }
}

struct sctp_tx *sctp_queue_next(struct sctp_assoc *a)
{
    struct sctp_out_stream *o = a->current && !a->current->is_resetting ? a->current : a->active;

    return o ? o->head : NULL; /* NULL with current: the rest of its message has not been written yet */
}

struct sctp_tx *sctp_queue_take(struct sctp_assoc *a)
{
    struct sctp_out_stream *o = a->current ? a->current : a->active;
    struct sctp_tx *t = o->head;
    bool ends = t->flags & SCTP_DATA_E;

    o->head = t->next;
    if (!o->head)
        o->tail = NULL;
    t->next = NULL;
    a->unsent -= t->len;
    a->unsent_chunks--;
    a->current = ends ? NULL : o;
    if (!o->head || ends) {
        deactivate(a, o);
        if (o->head) {
            if (a->cfg.scheduler == SCTP_SS_RR)
                o->pass = last_pass(a) + 1;
            activate(a, o);
        }
    }
    return t;
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
        o->is_active = false;
    }
    a->active = a->current = NULL;
    a->unsent = a->unsent_chunks = 0;
    if (a->pull) { /* its fragments are gone, it has no end yet */
        free(a->pull);
        a->pull = NULL;
        if (a->ep)
            a->ep->discard = true;
    }
}
