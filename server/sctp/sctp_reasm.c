/* sctp_reasm.c - fragments to messages, messages in the order of their stream (RFC 9260 s6.5, s6.6, s6.9)
 *
 * Ordered messages wait in their stream, sorted by sequence number, fragments sorted within. Fragments of unordered DATA have only
 * their TSN: they wait in one list of the association, and a run from B to E is a message. */
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
static uint32_t frags_cost(uint32_t n, uint32_t bytes) { return bytes + n * (uint32_t)sizeof(struct sctp_frag); }

static struct sctp_frag *frag_new(const struct sctp_piece *d)
{
    struct sctp_frag *f = malloc(sizeof(*f) + d->len);

    if (!f)
        return NULL;
    f->next = f->prev = NULL;
    f->tsn = d->tsn;
    f->fsn = d->fsn;
    f->len = d->len;
    f->flags = d->flags;
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

static void msg_free(struct sctp_assoc *a, struct sctp_in_msg **head, struct sctp_in_msg **tail, struct sctp_in_msg *m)
{
    if (m->next)
        m->next->prev = m->prev;
    else if (tail)
        *tail = m->prev;
    if (m->prev)
        m->prev->next = m->next;
    else
        *head = m->next;
    a->held -= frags_cost(m->n_frags, m->bytes) + (uint32_t)sizeof(*m);
    a->n_in_msgs--;
    frags_free(m->head);
    free(m);
}

/* ---- ordered ---- */

static struct sctp_in_msg *msg_find(struct sctp_assoc *a, struct sctp_in_stream *st, const struct sctp_piece *d)
{
    struct sctp_in_msg *after = st->ordered_tail, *m;

    while (after && ssn_lt(d->ssn, after->ssn))
        after = after->prev;
    if (after && after->ssn == d->ssn)
        return after;
    if (a->n_in_msgs >= SCTP_IN_MSGS_MAX)
        return NULL;
    m = calloc(1, sizeof(*m));
    if (!m)
        return NULL;
    m->stream = d->stream;
    m->ssn = d->ssn;
    m->mid = d->mid;
    m->prev = after;
    m->next = after ? after->next : st->ordered;
    if (m->next)
        m->next->prev = m;
    else
        st->ordered_tail = m;
    if (after)
        after->next = m;
    else
        st->ordered = m;
    a->held += sizeof(*m);
    a->n_in_msgs++;
    return m;
}

/* false: the fragment contradicts what is there (s6.9). */
static bool frag_fits(const struct sctp_in_msg *m, const struct sctp_piece *d)
{
    bool b = d->flags & SCTP_DATA_B, e = d->flags & SCTP_DATA_E;

    if ((b && (m->has_first || (m->head && seq_lt(m->head->fsn, d->fsn)))) || (e && (m->has_last || (m->tail && seq_gt(m->tail->fsn, d->fsn)))))
        return false;
    if (!b && m->has_first && seq_leq(d->fsn, m->first_fsn))
        return false;
    return e || !m->has_last || seq_lt(d->fsn, m->last_fsn);
}

static void frag_insert(struct sctp_in_msg *m, struct sctp_frag *f)
{
    struct sctp_frag *after = m->tail;

    while (after && seq_gt(after->fsn, f->fsn))
        after = after->prev;
    f->prev = after;
    f->next = after ? after->next : m->head;
    if (f->next)
        f->next->prev = f;
    else
        m->tail = f;
    if (after)
        after->next = f;
    else
        m->head = f;
    m->n_frags++;
}

static bool is_complete(const struct sctp_in_msg *m)
{
    /* of a message in pieces, those before next_fsn have gone already */
    uint32_t first = m->is_partial ? m->next_fsn : m->first_fsn;

    return m->has_first && m->has_last && m->n_frags == m->last_fsn - first + 1;
}

static struct svm_sctp_info info_of(const struct sctp_assoc *a, const struct sctp_in_msg *m, uint32_t tsn)
{
    struct svm_sctp_info i = { .stream = m->stream, .flags = m->is_unordered ? SCTP_UNORDERED : 0, .ppid = m->ppid,
                               .context = a->cfg.context, .assoc_id = a->id };

    i.u.rx.tsn = tsn;
    i.u.rx.cumtsn = a->cum_tsn;
    i.u.rx.mid = m->mid;
    i.u.rx.ssn = m->ssn;
    return i;
}

static bool may_deliver(const struct sctp_assoc *a, const struct sctp_in_msg *m)
{
    return !a->ep->partial || (a->ep->partial == a && a->partial == m);
}

/* The whole of m goes to the FIFO, and m is gone. */
static void msg_deliver(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st, struct sctp_in_msg *m)
{
    struct svm_sctp_info info = info_of(a, m, m->head ? m->head->tsn : 0);
    struct sctp_frag *frags = m->head;
    uint32_t bytes = m->bytes;

    if (a->partial == m) {
        a->partial = NULL;
        a->ep->partial = NULL;
    }
    st->next_ssn = (uint16_t)(m->ssn + 1);
    a->n_rx_msgs++;
    m->head = m->tail = NULL;
    a->held -= frags_cost(m->n_frags, bytes);
    m->bytes = m->n_frags = 0;
    msg_free(a, &st->ordered, &st->ordered_tail, m);
    sctp_deliver(w, a, &info, frags, NULL, bytes, false);
}

/* s6.9, RFC 6458 s8.1.21: a message that would fill the window before it is whole goes in pieces. */
static void try_partial(struct worker *w, struct sctp_assoc *a, struct sctp_in_msg *m)
{
    uint32_t point = session_rx_max(a->ep->s) / 2, bytes = 0, n = 0, expected = m->is_partial ? m->next_fsn : m->first_fsn;
    struct sctp_frag *last = NULL;

    if (a->cfg.pd_point && a->cfg.pd_point < point)
        point = a->cfg.pd_point;
    if (!m->has_first || !m->head || !may_deliver(a, m) || (m->bytes < point && a->held < point && !m->is_partial))
        return;
    for (struct sctp_frag *f = m->head; f && f->fsn == expected; f = f->next) {
        expected++;
        bytes += f->len;
        last = f;
        n++;
    }
    if (!last)
        return;
    struct svm_sctp_info info = info_of(a, m, m->head->tsn);
    struct sctp_frag *frags = m->head;
    m->head = last->next;
    if (m->head)
        m->head->prev = NULL;
    else
        m->tail = NULL;
    last->next = NULL;
    m->is_partial = true;
    m->next_fsn = expected;
    m->bytes -= bytes;
    m->n_frags -= n;
    a->held -= frags_cost(n, bytes);
    a->partial = m;
    a->ep->partial = a;
    sctp_deliver(w, a, &info, frags, NULL, bytes, true);
}

static void stream_run(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st)
{
    while (st->ordered && st->ordered->ssn == st->next_ssn && is_complete(st->ordered) && may_deliver(a, st->ordered))
        msg_deliver(w, a, st, st->ordered);
    if (st->ordered && st->ordered->ssn == st->next_ssn)
        try_partial(w, a, st->ordered);
}

static int add_ordered(struct worker *w, struct sctp_assoc *a, const struct sctp_piece *d)
{
    struct sctp_in_stream *st = sctp_in_stream(a, d->stream, true);
    struct sctp_in_msg *m;
    struct sctp_frag *f;

    if (!st)
        return -ENOMEM;
    if (ssn_lt(d->ssn, st->next_ssn))
        return 0; /* of a message that was skipped: nobody waits for it */
    if ((d->flags & 3) == 3 && d->ssn == st->next_ssn && !st->ordered && !a->ep->partial) { /* the common case */
        struct sctp_in_msg whole = { .stream = d->stream, .ssn = d->ssn, .mid = d->mid, .ppid = d->ppid };
        struct svm_sctp_info info = info_of(a, &whole, d->tsn);
        st->next_ssn++;
        a->n_rx_msgs++;
        sctp_deliver(w, a, &info, NULL, d->data, d->len, false);
        return 0;
    }
    m = msg_find(a, st, d);
    if (!m)
        return -ENOMEM;
    if (!frag_fits(m, d)) {
        if (!m->head && !m->is_partial)
            msg_free(a, &st->ordered, &st->ordered_tail, m);
        return -EPROTO;
    }
    f = frag_new(d);
    if (!f) {
        if (!m->head && !m->is_partial)
            msg_free(a, &st->ordered, &st->ordered_tail, m);
        return -ENOMEM;
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
    frag_insert(m, f);
    m->bytes += d->len;
    a->held += frags_cost(1, d->len);
    bool was_partial = a->partial;
    stream_run(w, a, st);
    if (was_partial && !a->partial) /* those that waited for its end */
        sctp_reasm_resume(w, a);
    return 0;
}

/* ---- unordered DATA ---- */

static void uo_remove(struct sctp_assoc *a, struct sctp_frag *first, struct sctp_frag *last)
{
    if (first->prev)
        first->prev->next = last->next;
    else
        a->uo_head = last->next;
    if (last->next)
        last->next->prev = first->prev;
    else
        a->uo_tail = first->prev;
    last->next = first->prev = NULL;
}

struct uo_frag_extra { uint32_t ppid; uint16_t stream, pad; }; /* in front of the data of an unordered fragment */

/* Fragments first to last leave the list, without what was put in front of their data; returns their bytes. */
static uint32_t uo_take(struct sctp_assoc *a, struct sctp_frag *first, struct sctp_frag *last)
{
    uint32_t bytes = 0, n = 0;

    uo_remove(a, first, last);
    for (struct sctp_frag *i = first; i; i = i->next) {
        i->len = (uint16_t)(i->len - sizeof(struct uo_frag_extra));
        memmove(i->data, i->data + sizeof(struct uo_frag_extra), i->len);
        bytes += i->len;
        n++;
    }
    a->held -= frags_cost(n, bytes);
    return bytes;
}

static void uo_deliver(struct worker *w, struct sctp_assoc *a, struct sctp_frag *first, struct sctp_frag *last, bool is_more)
{
    struct uo_frag_extra x;
    uint32_t tsn = first->tsn;

    memcpy(&x, first->data, sizeof(x));
    uint32_t bytes = uo_take(a, first, last);
    struct sctp_in_msg m = { .stream = x.stream, .ppid = x.ppid, .is_unordered = true };
    struct svm_sctp_info info = info_of(a, &m, tsn);
    if (!is_more)
        a->n_rx_msgs++;
    sctp_deliver(w, a, &info, first, NULL, bytes, is_more);
}

/* Is what follows f of the same message? Only its first fragment says B, only its last one E. */
static bool uo_goes_on(const struct sctp_frag *f)
{
    return f->next && f->next->tsn == f->tsn + 1 && !(f->flags & SCTP_DATA_E) && !(f->next->flags & SCTP_DATA_B);
}

/* A message that would fill the window before it is whole goes in pieces, as ordered ones do: from its B, or on from where it was. */
static void uo_try_partial(struct worker *w, struct sctp_assoc *a)
{
    uint32_t point = session_rx_max(a->ep->s) / 2;
    struct sctp_frag *first = a->uo_head, *last;

    if (a->partial_uo) {
        while (first && first->tsn != a->partial_uo_tsn)
            first = first->next;
    } else {
        if (a->ep->partial || a->held < point)
            return;
        while (first && !(first->flags & SCTP_DATA_B))
            first = first->next;
    }
    if (!first)
        return;
    for (last = first; !(last->flags & SCTP_DATA_E) && uo_goes_on(last);)
        last = last->next;
    bool ends = last->flags & SCTP_DATA_E;
    a->partial_uo = !ends;
    a->partial_uo_tsn = last->tsn + 1;
    a->ep->partial = ends ? NULL : a;
    uo_deliver(w, a, first, last, !ends);
    if (ends)
        sctp_reasm_resume(w, a);
}

/* A whole run around f? Delivers it. */
static void uo_try(struct worker *w, struct sctp_assoc *a, struct sctp_frag *f)
{
    struct sctp_frag *first = f, *last = f;

    while (!(last->flags & SCTP_DATA_E)) {
        if (!uo_goes_on(last))
            return;
        last = last->next;
    }
    while (!(first->flags & SCTP_DATA_B)) {
        if (!first->prev || !uo_goes_on(first->prev))
            return;
        first = first->prev;
    }
    uo_deliver(w, a, first, last, false);
}

static int add_unordered(struct worker *w, struct sctp_assoc *a, const struct sctp_piece *d)
{
    struct uo_frag_extra x = { .ppid = d->ppid, .stream = d->stream };
    struct sctp_frag *f, *after = a->uo_tail;

    if ((d->flags & 3) == 3 && !a->ep->partial) {
        struct sctp_in_msg whole = { .stream = d->stream, .ppid = d->ppid, .is_unordered = true };
        struct svm_sctp_info info = info_of(a, &whole, d->tsn);
        a->n_rx_msgs++;
        sctp_deliver(w, a, &info, NULL, d->data, d->len, false);
        return 0;
    }
    f = malloc(sizeof(*f) + sizeof(x) + d->len);
    if (!f)
        return -ENOMEM;
    *f = (struct sctp_frag){ .tsn = d->tsn, .fsn = d->tsn, .len = (uint16_t)(d->len + sizeof(x)), .flags = d->flags };
    memcpy(f->data, &x, sizeof(x));
    memcpy(f->data + sizeof(x), d->data, d->len);
    while (after && seq_gt(after->tsn, f->tsn))
        after = after->prev;
    f->prev = after;
    f->next = after ? after->next : a->uo_head;
    if (f->next)
        f->next->prev = f;
    else
        a->uo_tail = f;
    if (after)
        after->next = f;
    else
        a->uo_head = f;
    a->held += frags_cost(1, d->len);
    if (!a->ep->partial)
        uo_try(w, a, f);
    if (a->uo_head)
        uo_try_partial(w, a);
    return 0;
}

int sctp_reasm_add(struct worker *w, struct sctp_assoc *a, const struct sctp_piece *d)
{
    return d->flags & SCTP_DATA_U ? add_unordered(w, a, d) : add_ordered(w, a, d);
}

/* A message in pieces has ended, or will: others may go now. */
void sctp_reasm_resume(struct worker *w, struct sctp_assoc *a)
{
    for (uint32_t p = 0; p * SCTP_STREAM_PAGE < a->n_in; p++) {
        for (uint32_t i = 0; a->in_page[p] && i < SCTP_STREAM_PAGE; i++)
            if (a->in_page[p][i].ordered)
                stream_run(w, a, &a->in_page[p][i]);
    }
    for (struct sctp_frag *f = a->uo_head, *next; f && !a->ep->partial; f = next) {
        next = f->next;
        while (next && !(next->flags & SCTP_DATA_B))
            next = next->next;
        if (f->flags & SCTP_DATA_B)
            uo_try(w, a, f);
    }
    if (a->uo_head && !a->ep->partial)
        uo_try_partial(w, a);
}

/* ---- skipped by FORWARD TSN ---- */

static void drop_msg(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st, struct sctp_in_msg *m)
{
    if (a->partial == m) {
        a->partial = NULL;
        if (a->ep) {
            a->ep->partial = NULL;
            sctp_notify_partial(w, a, m->stream, m->ssn);
        }
    }
    msg_free(a, &st->ordered, &st->ordered_tail, m);
}

void sctp_reasm_skip(struct worker *w, struct sctp_assoc *a, uint16_t sid, uint32_t seq, bool unordered)
{
    struct sctp_in_stream *st = sid < a->n_in && !unordered ? sctp_in_stream(a, sid, true) : NULL;
    uint16_t ssn = (uint16_t)seq;

    if (!st || ssn_lt(ssn, st->next_ssn))
        return;
    /* Whole ones before it are delivered, in order; the others will never be whole (RFC 3758 s3.6). */
    while (st->ordered && !ssn_lt(ssn, st->ordered->ssn)) {
        struct sctp_in_msg *m = st->ordered;
        if (a->ep && is_complete(m) && may_deliver(a, m))
            msg_deliver(w, a, st, m);
        else
            drop_msg(w, a, st, m);
    }
    st->next_ssn = (uint16_t)(ssn + 1);
}

void sctp_reasm_skip_tsn(struct worker *w, struct sctp_assoc *a, uint32_t tsn)
{
    if (a->partial_uo && seq_leq(a->partial_uo_tsn, tsn)) { /* its rest does not come */
        a->partial_uo = false;
        if (a->ep) {
            a->ep->partial = NULL;
            sctp_notify_partial(w, a, 0, 0);
        }
    }
    for (struct sctp_frag *f = a->uo_head, *next; f && seq_leq(f->tsn, tsn); f = next) {
        next = f->next;
        uo_remove(a, f, f);
        a->held -= frags_cost(1, f->len - (uint32_t)sizeof(struct uo_frag_extra));
        free(f);
    }
}

void sctp_reasm_free(struct sctp_assoc *a)
{
    for (uint32_t p = 0; a->in_page && p * SCTP_STREAM_PAGE < a->n_in; p++) {
        for (uint32_t i = 0; a->in_page[p] && i < SCTP_STREAM_PAGE; i++) {
            struct sctp_in_stream *st = &a->in_page[p][i];
            while (st->ordered)
                msg_free(a, &st->ordered, &st->ordered_tail, st->ordered);
        }
        free(a->in_page[p]);
        a->in_page[p] = NULL;
    }
    if (a->ep && a->ep->partial == a)
        a->ep->partial = NULL;
    a->partial = NULL;
    a->partial_uo = false;
    frags_free(a->uo_head);
    a->uo_head = a->uo_tail = NULL;
    a->held = 0;
}
