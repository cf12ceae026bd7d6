/* sctp_reasm.c - fragments to messages, messages in the order of their stream (RFC 9260 s6.5, s6.6, s6.9, RFC 8260 s2.2.3)
 *
 * Messages wait in their stream by message identifier, fragments within them. Fragments of unordered DATA have only their TSN:
 * sctp_unordered.c. A peer chooses what comes in which order, so nothing here walks a list: places are found by index, and what one
 * message that goes in pieces keeps from being delivered waits in a queue of its own. */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

struct sctp_in_stream *sctp_in_stream(struct sctp_assoc *a, uint16_t sid, bool make)
{
    struct sctp_in_stream **page = &a->in_page[sid / SCTP_STREAM_PAGE];

    if (!*page && make)
        *page = calloc(SCTP_STREAM_PAGE, sizeof(**page));
    return *page ? &(*page)[sid % SCTP_STREAM_PAGE] : NULL;
}

/* What messages being put together take, with what their fragments take besides the data: a peer may send single bytes. */
uint32_t sctp_frags_cost(uint32_t n, uint32_t bytes) { return bytes + n * (uint32_t)sizeof(struct sctp_frag); }

struct sctp_frag *sctp_frag_new(struct worker *w, const struct sctp_piece *d)
{
    struct sctp_frag *f = malloc(sizeof(*f) + d->len);

    if (!f)
        return NULL;
    *f = (struct sctp_frag){ .node = { .key = d->fsn, .prio = (uint32_t)worker_random(w) }, .tsn = d->tsn, .ppid = d->ppid,
                             .len = d->len, .stream = d->stream, .flags = d->flags };
    memcpy(f->data, d->data, d->len);
    return f;
}

static void frags_free(struct sctp_frag *f)
{
    while (f) {
        struct sctp_frag *next = f->next;
        free(f);
        f = next;
    }
}

static void msg_unlink(struct sctp_in_queue *q, struct sctp_in_msg *m)
{
    sctp_index_del(&q->index, &m->node);
    if (m->next)
        m->next->prev = m->prev;
    else
        q->tail = m->prev;
    if (m->prev)
        m->prev->next = m->next;
    else
        q->head = m->next;
}

/* m is in no list. */
static void msg_free(struct sctp_assoc *a, struct sctp_in_msg *m)
{
    a->held -= sctp_frags_cost(m->n_frags, m->bytes) + (uint32_t)sizeof(*m);
    a->n_in_msgs--;
    frags_free(m->head);
    free(m);
}

static struct sctp_in_msg *msg_new(struct sctp_assoc *a, uint16_t stream, bool is_unordered)
{
    struct sctp_in_msg *m = a->n_in_msgs < SCTP_IN_MSGS_MAX ? calloc(1, sizeof(*m)) : NULL;

    if (!m)
        return NULL;
    m->stream = stream;
    m->is_unordered = is_unordered;
    a->held += (uint32_t)sizeof(*m);
    a->n_in_msgs++;
    return m;
}

static struct sctp_in_msg *msg_find(struct worker *w, struct sctp_assoc *a, struct sctp_in_queue *q, const struct sctp_piece *d, uint32_t mid)
{
    struct sctp_node *n = sctp_index_upto(&q->index, mid);
    struct sctp_in_msg *after = n ? hs_container_of(n, struct sctp_in_msg, node) : NULL, *m;

    if (after && n->key == mid)
        return after;
    m = msg_new(a, d->stream, d->flags & SCTP_DATA_U);
    if (!m)
        return NULL;
    m->node.key = mid;
    m->node.prio = (uint32_t)worker_random(w);
    m->prev = after;
    m->next = after ? after->next : q->head;
    *(m->next ? &m->next->prev : &q->tail) = m;
    *(after ? &after->next : &q->head) = m;
    sctp_index_add(&q->index, n, &m->node);
    return m;
}

/* false: the fragment contradicts what is there (s6.9). */
static bool frag_fits(const struct sctp_in_msg *m, const struct sctp_piece *d)
{
    bool b = d->flags & SCTP_DATA_B, e = d->flags & SCTP_DATA_E;

    if ((b && (m->has_first || (m->head && seq_lt(m->head->node.key, d->fsn)))) ||
        (e && (m->has_last || (m->tail && seq_gt(m->tail->node.key, d->fsn)))))
        return false;
    if (!b && m->has_first && seq_leq(d->fsn, m->first_fsn))
        return false;
    if (m->is_partial && seq_lt(d->fsn, m->next_fsn)) /* has gone already */
        return false;
    return e || !m->has_last || seq_lt(d->fsn, m->last_fsn);
}

/* false: there is one of that number already. */
static bool frag_insert(struct sctp_in_msg *m, struct sctp_frag *f)
{
    struct sctp_node *n = sctp_index_upto(&m->index, f->node.key);
    struct sctp_frag *after = n ? hs_container_of(n, struct sctp_frag, node) : NULL;

    if (after && n->key == f->node.key)
        return false;
    f->prev = after;
    f->next = after ? after->next : m->head;
    *(f->next ? &f->next->prev : &m->tail) = f;
    *(after ? &after->next : &m->head) = f;
    sctp_index_add(&m->index, n, &f->node);
    m->n_frags++;
    return true;
}

static bool is_complete(const struct sctp_in_msg *m)
{
    /* of a message in pieces, those before next_fsn have gone already */
    uint32_t first = m->is_partial ? m->next_fsn : m->first_fsn;

    return m->has_first && m->has_last && m->n_frags == m->last_fsn - first + 1;
}

struct svm_sctp_info sctp_info_of(const struct sctp_assoc *a, const struct sctp_in_msg *m, uint32_t tsn)
{
    struct svm_sctp_info i = { .stream = m->stream, .flags = m->is_unordered ? SCTP_UNORDERED : 0, .ppid = m->ppid,
                               .context = a->cfg.context, .assoc_id = a->id };

    i.u.rx.tsn = tsn;
    i.u.rx.cumtsn = a->cum_tsn;
    i.u.rx.mid = sctp_has(a, SCTP_F_IDATA) ? m->node.key : (uint16_t)m->node.key;
    i.u.rx.ssn = (uint16_t)m->node.key;
    return i;
}

bool sctp_reasm_is_free(const struct sctp_assoc *a) { return !a->ep->partial && !a->done; }

/* With DATA nothing comes between the pieces of one message, and nothing overtakes what has waited for its end. With I-DATA messages
 * of other streams do come between: a peer that sends many at once would fill the window, and none would ever end (RFC 8260 s2.2.3);
 * only unordered ones of the same stream, whose pieces the program could not tell apart, wait for each other. */
static bool may_deliver(const struct sctp_assoc *a, const struct sctp_in_stream *st, const struct sctp_in_msg *m)
{
    if (sctp_has(a, SCTP_F_IDATA))
        return !m->is_unordered || st->partial == m || (!st->partial && !st->done);
    return a->partial == m || sctp_reasm_is_free(a);
}

static void partial_end(struct sctp_assoc *a, struct sctp_in_stream *st, const struct sctp_in_msg *m)
{
    if (st && st->partial == m)
        st->partial = NULL;
    if (a->partial != m)
        return;
    a->partial = NULL;
    if (a->ep)
        a->ep->partial = NULL;
}

/* The whole of m, which is in no list, goes to the FIFO, and m is gone. */
static void msg_deliver(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st, struct sctp_in_msg *m)
{
    struct svm_sctp_info info = sctp_info_of(a, m, m->head ? m->head->tsn : 0);
    struct sctp_frag *frags = m->head;
    uint32_t bytes = m->bytes;

    partial_end(a, st, m);
    a->n_rx_msgs++;
    a->held -= sctp_frags_cost(m->n_frags, bytes);
    m->head = NULL;
    m->bytes = m->n_frags = 0;
    msg_free(a, m);
    sctp_deliver(w, a, &info, frags, NULL, bytes, false);
}

static void done_add(struct sctp_in_msg **head, struct sctp_in_msg ***tail, struct sctp_in_msg *m)
{
    m->next = NULL;
    *(*head ? *tail : head) = m;
    *tail = &m->next;
}

static struct sctp_in_msg *done_take(struct sctp_in_msg **head)
{
    struct sctp_in_msg *m = *head;

    if (m)
        *head = m->next;
    return m;
}

/* A whole message in no list: now, or when its turn comes. st NULL: of unordered DATA. */
static void msg_finish(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st, struct sctp_in_msg *m)
{
    if (!may_deliver(a, st, m)) {
        if (sctp_has(a, SCTP_F_IDATA))
            done_add(&st->done, &st->done_tail, m);
        else
            done_add(&a->done, &a->done_tail, m);
        return;
    }
    msg_deliver(w, a, st, m);
    while (st && !st->partial && (m = done_take(&st->done)) != NULL)
        msg_deliver(w, a, st, m);
}

/* Fragments that were put together elsewhere (sctp_unordered.c) are a message; it takes them over. */
int sctp_reasm_whole(struct worker *w, struct sctp_assoc *a, struct sctp_frag *first, uint32_t n, uint32_t bytes)
{
    struct sctp_in_msg *m = msg_new(a, first->stream, true);

    if (!m)
        return -ENOMEM;
    m->ppid = first->ppid;
    m->head = first;
    m->n_frags = n;
    m->bytes = bytes;
    a->held += sctp_frags_cost(n, bytes);
    msg_finish(w, a, NULL, m);
    return 0;
}

static void block(struct sctp_assoc *a, struct sctp_in_stream *st)
{
    if (st->is_blocked)
        return;
    st->is_blocked = true;
    st->blocked_next = NULL;
    *(a->blocked ? a->blocked_tail : &a->blocked) = st;
    a->blocked_tail = &st->blocked_next;
}

uint32_t sctp_partial_point(const struct sctp_assoc *a)
{
    uint32_t point = session_rx_max(a->ep->s) / 2;

    return a->cfg.pd_point && a->cfg.pd_point < point ? a->cfg.pd_point : point;
}

/* s6.9, RFC 6458 s8.1.21: a message that would fill the window before it is whole goes in pieces. */
static void try_partial(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st, struct sctp_in_msg *m)
{
    uint32_t point = sctp_partial_point(a), bytes = 0, n = 0, expected = m->is_partial ? m->next_fsn : m->first_fsn;
    struct sctp_frag *last = NULL;

    if (!m->has_first || !m->head || m->head->node.key != expected || (m->bytes < point && a->held < point && !m->is_partial))
        return;
    if (!may_deliver(a, st, m)) {
        block(a, st);
        return;
    }
    struct svm_sctp_info info = sctp_info_of(a, m, m->head->tsn);
    struct sctp_frag *frags = m->head;
    for (struct sctp_frag *f = m->head; f && f->node.key == expected; f = f->next) {
        expected++;
        bytes += f->len;
        last = f;
        n++;
        sctp_index_del(&m->index, &f->node);
    }
    m->head = last->next;
    *(m->head ? &m->head->prev : &m->tail) = NULL;
    last->next = NULL;
    m->is_partial = true;
    m->next_fsn = expected;
    m->bytes -= bytes;
    m->n_frags -= n;
    a->held -= sctp_frags_cost(n, bytes);
    if (!sctp_has(a, SCTP_F_IDATA)) {
        a->partial = m;
        a->ep->partial = a;
    } else if (m->is_unordered) {
        st->partial = m;
    }
    sctp_deliver(w, a, &info, frags, NULL, bytes, true);
}

static void stream_run(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st)
{
    struct sctp_in_queue *q = &st->q[0];

    while (q->head && q->head->node.key == st->next_mid && is_complete(q->head)) {
        struct sctp_in_msg *m = q->head;
        if (!may_deliver(a, st, m)) {
            block(a, st);
            return;
        }
        st->next_mid++;
        msg_unlink(q, m);
        msg_deliver(w, a, st, m);
    }
    if (q->head && q->head->node.key == st->next_mid)
        try_partial(w, a, st, q->head);
}

/* Something may be deliverable again: a message in pieces has ended. */
void sctp_reasm_resume(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_in_msg *m;

    while (a->ep && !a->ep->partial && (m = done_take(&a->done)) != NULL)
        msg_deliver(w, a, NULL, m);
    while (a->ep && sctp_reasm_is_free(a) && a->blocked) {
        struct sctp_in_stream *st = a->blocked;
        a->blocked = st->blocked_next;
        st->is_blocked = false;
        stream_run(w, a, st);
    }
}

static int frag_add(struct worker *w, struct sctp_in_msg *m, const struct sctp_piece *d)
{
    struct sctp_frag *f;

    if (!frag_fits(m, d))
        return -EPROTO;
    f = sctp_frag_new(w, d);
    if (!f)
        return -ENOMEM;
    if (!frag_insert(m, f)) {
        free(f);
        return -EPROTO;
    }
    if (d->flags & SCTP_DATA_B) {
        m->has_first = true;
        m->first_fsn = d->fsn;
        m->ppid = d->ppid;
    }
    if (d->flags & SCTP_DATA_E) {
        m->has_last = true;
        m->last_fsn = d->fsn;
    }
    m->bytes += d->len;
    return 0;
}

/* Ordered ones of both kinds, unordered I-DATA. */
static int add(struct worker *w, struct sctp_assoc *a, const struct sctp_piece *d)
{
    struct sctp_in_stream *st = sctp_in_stream(a, d->stream, true);
    bool is_unordered = d->flags & SCTP_DATA_U, is_whole = (d->flags & 3) == 3, idata = sctp_has(a, SCTP_F_IDATA);
    struct sctp_in_queue *q;
    struct sctp_in_msg *m;
    uint32_t mid = d->mid;
    int err;

    if (!st)
        return -ENOMEM;
    if (!idata) /* the SSN counts from the one that is expected */
        mid = st->next_mid + (uint32_t)(int16_t)(uint16_t)(d->mid - st->next_mid);
    if (idata && (d->fsn & 0x80000000u)) /* of a message longer than anything that can be kept */
        return -EPROTO;
    if (!is_unordered && seq_lt(mid, st->next_mid))
        return sctp_reconf_is_resetting(a) ? -ENOMEM : 0; /* of a message that was skipped, or numbers begin anew: not yet */
    q = &st->q[is_unordered];
    bool is_next = is_unordered || mid == st->next_mid;
    if (is_whole && is_next && !q->head && (idata ? !is_unordered || !st->done : sctp_reasm_is_free(a))) { /* the common case */
        struct sctp_in_msg whole = { .stream = d->stream, .node.key = mid, .ppid = d->ppid, .is_unordered = is_unordered };
        struct svm_sctp_info info = sctp_info_of(a, &whole, d->tsn);
        st->next_mid += !is_unordered;
        a->n_rx_msgs++;
        sctp_deliver(w, a, &info, NULL, d->data, d->len, false);
        return 0;
    }
    m = msg_find(w, a, q, d, mid);
    if (!m)
        return -ENOMEM;
    err = frag_add(w, m, d);
    if (err != 0) {
        if (!m->head && !m->is_partial) {
            msg_unlink(q, m);
            msg_free(a, m);
        }
        return err;
    }
    a->held += sctp_frags_cost(1, d->len);
    if (!is_unordered) {
        stream_run(w, a, st);
    } else if (is_complete(m)) {
        msg_unlink(q, m);
        msg_finish(w, a, st, m);
    } else if (may_deliver(a, st, m)) {
        try_partial(w, a, st, m);
    }
    return 0;
}

int sctp_reasm_add(struct worker *w, struct sctp_assoc *a, const struct sctp_piece *d)
{
    bool is_alone = (d->flags & SCTP_DATA_U) && !sctp_has(a, SCTP_F_IDATA);
    int err = is_alone ? sctp_unordered_add(w, a, d) : add(w, a, d);

    sctp_reasm_resume(w, a);
    return err;
}

/* ---- skipped by FORWARD TSN ---- */

static void drop_msg(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st, struct sctp_in_msg *m)
{
    partial_end(a, st, m);
    if (m->is_partial && a->ep)
        sctp_notify_partial(w, a, m->stream, sctp_has(a, SCTP_F_IDATA) ? m->node.key : (uint16_t)m->node.key, m->is_unordered);
    msg_free(a, m);
    while (a->ep && !st->partial && (m = done_take(&st->done)) != NULL)
        msg_deliver(w, a, st, m);
}

/* Up to and with seq, an SSN or MID. Whole messages before it are delivered, in order; the others will never be whole (RFC 3758 s3.6,
 * RFC 8260 s2.3.1). */
void sctp_reasm_skip(struct worker *w, struct sctp_assoc *a, uint16_t sid, uint32_t seq, bool is_unordered)
{
    struct sctp_in_stream *st = sid < a->n_in ? sctp_in_stream(a, sid, true) : NULL;
    struct sctp_in_queue *q = st ? &st->q[is_unordered] : NULL;

    if (!st)
        return;
    if (!sctp_has(a, SCTP_F_IDATA))
        seq = st->next_mid + (uint32_t)(int16_t)(uint16_t)(seq - st->next_mid);
    if (!is_unordered && seq_lt(seq, st->next_mid))
        return;
    while (q->head && seq_leq(q->head->node.key, seq)) {
        struct sctp_in_msg *m = q->head;
        msg_unlink(q, m);
        if (a->ep && is_complete(m))
            msg_finish(w, a, st, m);
        else
            drop_msg(w, a, st, m);
    }
    if (is_unordered)
        return;
    st->next_mid = seq + 1;
    if (a->ep)
        stream_run(w, a, st);
}

static void stream_free(struct sctp_assoc *a, struct sctp_in_stream *st)
{
    struct sctp_in_msg *m;

    for (unsigned i = 0; i < 2; i++) {
        while ((m = st->q[i].head) != NULL) {
            msg_unlink(&st->q[i], m);
            msg_free(a, m);
        }
    }
    while ((m = done_take(&st->done)) != NULL)
        msg_free(a, m);
}

/* The stream begins anew with number 0 (RFC 6525 s5.2.2): what is not whole will never be; what is whole, and waits for the end of a
 * message in pieces, was acknowledged, and still comes before all that has new numbers. */
void sctp_reasm_stream_reset(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st)
{
    for (unsigned i = 0; i < 2; i++) {
        while (st->q[i].head) {
            struct sctp_in_msg *m = st->q[i].head;
            msg_unlink(&st->q[i], m);
            if (a->ep && is_complete(m))
                msg_finish(w, a, st, m);
            else
                drop_msg(w, a, st, m);
        }
    }
    st->next_mid = 0;
}

void sctp_reasm_free(struct sctp_assoc *a)
{
    struct sctp_in_msg *m;

    for (uint32_t p = 0; a->in_page && p * SCTP_STREAM_PAGE < a->n_in; p++) {
        for (uint32_t i = 0; a->in_page[p] && i < SCTP_STREAM_PAGE; i++)
            stream_free(a, &a->in_page[p][i]);
        free(a->in_page[p]);
        a->in_page[p] = NULL;
    }
    while ((m = done_take(&a->done)) != NULL)
        msg_free(a, m);
    if (a->ep && a->ep->partial == a)
        a->ep->partial = NULL;
    a->blocked = NULL;
    a->partial = NULL;
    a->partial_uo = false;
    frags_free(a->uo_head);
    a->uo_head = a->uo_tail = NULL;
    a->uo_index.root = NULL;
    a->held = 0;
}
