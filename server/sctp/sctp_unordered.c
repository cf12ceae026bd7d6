/* sctp_unordered.c - unordered DATA: fragments have only their TSN, and neighbours from B to E are a message (RFC 9260 s6.6, s6.9)
 *
 * One list of the association, by TSN, with an index. Neighbours of one message are a run; both its ends know each other, so that a
 * fragment that joins two runs, or completes one, needs no walk. */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

/* Fragments first to last leave the list; their number, and their bytes in *bytes. */
static uint32_t take(struct sctp_assoc *a, struct sctp_frag *first, struct sctp_frag *last, uint32_t *bytes)
{
    struct sctp_frag *behind = last->next;
    uint32_t n = 0;

    *(first->prev ? &first->prev->next : &a->uo_head) = behind;
    *(behind ? &behind->prev : &a->uo_tail) = first->prev;
    last->next = first->prev = NULL;
    *bytes = 0;
    for (struct sctp_frag *f = first; f; f = f->next) {
        sctp_index_del(&a->uo_index, &f->node);
        *bytes += f->len;
        n++;
    }
    a->held -= sctp_frags_cost(n, *bytes);
    return n;
}

static void frags_free(struct sctp_frag *f)
{
    while (f) {
        struct sctp_frag *next = f->next;
        free(f);
        f = next;
    }
}

/* Is g, which follows f in the list, the next fragment of the same message? Only its first one says B, only its last one E. */
static bool goes_on(const struct sctp_frag *f, const struct sctp_frag *g)
{
    return f && g && g->tsn == f->tsn + 1 && !(f->flags & SCTP_DATA_E) && !(g->flags & SCTP_DATA_B);
}

/* The first fragment of the run that f makes or joins. */
static struct sctp_frag *join(struct sctp_frag *f)
{
    struct sctp_frag *first = f, *last = f;

    if (goes_on(f->prev, f))
        first = f->prev->run;
    if (goes_on(f, f->next))
        last = f->next->run;
    first->run = last;
    last->run = first;
    return first;
}

static void partial_take(struct worker *w, struct sctp_assoc *a, struct sctp_frag *first)
{
    struct sctp_frag *last = first->run;
    struct sctp_in_msg m = { .stream = first->stream, .ppid = first->ppid, .is_unordered = true };
    struct svm_sctp_info info = sctp_info_of(a, &m, first->tsn);
    bool ends = last->flags & SCTP_DATA_E;
    uint32_t bytes;

    a->partial_uo = !ends;
    a->partial_uo_tsn = last->tsn + 1;
    a->partial_uo_stream = first->stream;
    a->ep->partial = ends ? NULL : a;
    take(a, first, last, &bytes);
    a->n_rx_msgs += ends;
    sctp_deliver(w, a, &info, first, NULL, bytes, !ends);
}

int sctp_unordered_add(struct worker *w, struct sctp_assoc *a, const struct sctp_piece *d)
{
    struct sctp_node *n;
    struct sctp_frag *f, *after, *first;
    uint32_t bytes;

    if (a->partial_uo && d->tsn == a->partial_uo_tsn && (d->flags & SCTP_DATA_B)) /* the one that goes in pieces has no end */
        return -EPROTO;
    if ((d->flags & 3) == 3 && sctp_reasm_is_free(a)) {
        struct sctp_in_msg whole = { .stream = d->stream, .ppid = d->ppid, .is_unordered = true };
        struct svm_sctp_info info = sctp_info_of(a, &whole, d->tsn);
        a->n_rx_msgs++;
        sctp_deliver(w, a, &info, NULL, d->data, d->len, false);
        return 0;
    }
    f = sctp_frag_new(w, d);
    if (!f)
        return -ENOMEM;
    n = sctp_index_upto(&a->uo_index, d->tsn);
    after = n ? hs_container_of(n, struct sctp_frag, node) : NULL;
    f->prev = after;
    f->next = after ? after->next : a->uo_head;
    *(f->next ? &f->next->prev : &a->uo_tail) = f;
    *(after ? &after->next : &a->uo_head) = f;
    sctp_index_add(&a->uo_index, n, &f->node);
    a->held += sctp_frags_cost(1, d->len);
    first = join(f);
    if (a->partial_uo && first->tsn == a->partial_uo_tsn) {
        partial_take(w, a, first);
        return 0;
    }
    if (!(first->flags & SCTP_DATA_B))
        return 0;
    if (!(first->run->flags & SCTP_DATA_E)) {
        if (a->held >= sctp_partial_point(a) && sctp_reasm_is_free(a))
            partial_take(w, a, first);
        return 0;
    }
    uint32_t count = take(a, first, first->run, &bytes);
    if (sctp_reasm_whole(w, a, first, count, bytes) != 0) { /* acknowledged in part, and cannot be kept */
        frags_free(first);
        a->dead = true;
    }
    return 0;
}

static void partial_drop(struct worker *w, struct sctp_assoc *a)
{
    a->partial_uo = false;
    if (a->ep) {
        a->ep->partial = NULL;
        sctp_notify_partial(w, a, a->partial_uo_stream, 0, true);
    }
}

/* All of them: TSNs begin anew (RFC 6525 s5.2.4). */
void sctp_unordered_drop(struct worker *w, struct sctp_assoc *a)
{
    uint32_t bytes;

    if (a->partial_uo)
        partial_drop(w, a);
    if (a->uo_head) {
        struct sctp_frag *all = a->uo_head;
        take(a, all, a->uo_tail, &bytes);
        frags_free(all);
    }
}

void sctp_unordered_skip(struct worker *w, struct sctp_assoc *a, uint32_t tsn)
{
    if (a->partial_uo && seq_leq(a->partial_uo_tsn, tsn)) /* its rest does not come */
        partial_drop(w, a);
    while (a->uo_head && seq_leq(a->uo_head->tsn, tsn)) {
        struct sctp_frag *f = a->uo_head;
        uint32_t bytes;
        if (f->run != f) { /* the next one is the run's first now */
            f->next->run = f->run;
            f->run->run = f->next;
        }
        take(a, f, f, &bytes);
        free(f);
    }
}
