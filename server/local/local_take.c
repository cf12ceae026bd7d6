/* local_take.c - what programs have left in a slot that they use no more, taken out by the server
 *
 *   split: an end is claimed while nobody uses the other one: there is no program to join the claiming one with, those who hold the other
 *          end may claim it later. What both have written and not read becomes what they have written and not sent, and from now on
 *          they are the two ends of a relay (local_relay.c). Also when a program went before it has answered that its peer's end had moved. */
#include "server/local/local_internal.h"

#include <errno.h>
#include <string.h>
#include "svm/svm_segment.h"
#include "svm/svm_urgent.h"

/* Reads what `from` has written and `to` has not read. SHARED: `from` is a program's. */
struct reader {
    struct svm_fifo_cons fifo;
    struct svm_fifo_cons_line line;
    struct svm_region_table regions;
};

static void reader_open(struct reader *r, struct app_pair *pair, const struct svm_slot_cli *from, const struct svm_slot_cli *to)
{
    memset(r, 0, sizeof(*r));
    r->regions.n = 2;
    r->regions.r[0] = r->regions.r[1] = app_pair_region(pair);
    r->line.head = __atomic_load_n(&to->rx.head, __ATOMIC_ACQUIRE);
    svm_fifo_cons_init(&r->fifo, &r->line, &from->tx, &r->regions, SVM_PAIR_FIFO_MAX);
}

static int take_written(struct session *s, struct session *reads, struct reader *r, const struct svm_slot_cli *from)
{
    int err;

    if (!session_tx_rest(s)) /* positions of the reading end begin with these bytes */
        svm_urgent_move(reads->fifos->rx.line, &from->tx, r->line.head);
    err = session_tx_keep(s, &r->fifo);
    if (__atomic_load_n(&from->tx.flags, __ATOMIC_ACQUIRE) & SVM_FIFO_FIN)
        s->tx_fin_told = true;
    return err ? err : svm_fifo_cons_rst(&r->fifo);
}

/* Nobody uses `gone`, and writes its lines. The other end's last user may be at work in the slot at this moment: it is told as `gone`'s own
 * program would (vcl_claim_peer_moved()). */
static int take_slot(struct session *gone, struct session *other, struct app_pair *pair, const struct svm_msg_slot *at, unsigned side)
{
    struct svm_slot_pair *slot = app_pair_slot(pair, at->slot);
    struct svm_slot_cli *own = &slot->side[side], *peer = &slot->side[1 - side];
    struct reader r;
    int err, peer_err;

    __atomic_fetch_or(&own->tx.flags, SVM_FIFO_MOVED, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before the positions are read; pairs with settled_here() (vcl_claim.c) */
    reader_open(&r, pair, own, peer);
    err = take_written(gone, other, &r, own);
    __atomic_store_n(&own->tx.space_bytes, r.line.head, __ATOMIC_RELAXED);
    reader_open(&r, pair, peer, own);
    peer_err = take_written(other, gone, &r, peer);
    __atomic_store_n(&own->rx.head, r.fifo.tail_seen, __ATOMIC_RELEASE);
    __atomic_fetch_or(&own->tx.flags, SVM_FIFO_SETTLED, __ATOMIC_RELEASE);
    return err ? err : peer_err;
}

/* A slot that was left before, and its program went without an answer: what is there comes first. */
static int take_unanswered(struct session *gone, struct session *other)
{
    int err = 0;

    for (struct local_old *o = gone->app || !gone->rare ? NULL : gone->rare->old_slots; o; o = o->next) {
        if (o->is_read)
            err = take_slot(gone, other, o->pair, &o->slot, o->side);
        o->is_read = false;
    }
    return err;
}

/* Who was told of a move marks its own line before it does anything about it. -EINPROGRESS: it has; -ECONNRESET: and died since. */
static int forestall(struct session *gone)
{
    for (struct local_old *o = gone->app || !gone->rare ? NULL : gone->rare->old_slots; o; o = o->next) {
        struct svm_slot_cli *own = &app_pair_slot(o->pair, o->slot.slot)->side[o->side];
        if (o->is_read && !o->is_ours && __atomic_fetch_or(&own->tx.flags, SVM_FIFO_MOVED, __ATOMIC_ACQ_REL) & SVM_FIFO_MOVED)
            return o->told ? -EINPROGRESS : -ECONNRESET;
        o->is_ours = o->is_read;
    }
    return 0;
}

static int make(struct worker *w, struct session *p, struct app_worker *a, struct session *s)
{
    struct svm_msg_slot slots[2] = { p->slot, s->slot };
    int err = p->proto == SVM_PROTO_TCP ? session_fifos_make(w, p, a) : -ECONNABORTED; /* a relay does not know records */

    if (err != 0)
        return err;
    err = session_fifos_make(w, s, NULL);
    if (err == 0)
        err = local_relay_between(w, p, s);
    if (err != 0) {
        session_fifos_drop(w, p);
        session_fifos_drop(w, s);
        p->slot = slots[0];
        s->slot = slots[1];
    }
    return err;
}

static void unjoin(struct worker *w, struct session *s)
{
    s->local = false;
    s->flags &= (uint8_t)~SVM_CONN_LOCAL;
    s->peer = NULL;
    s->pair = NULL;
    s->local_user = NULL;
    for (struct session_hold *h = s->holds, *next; h; h = next) { /* nobody reads in their memory any more */
        next = h->s_next;
        if (!h->closed)
            continue;
        h->a->ops->closed(w, h->a, s);
        session_hold_remove(s, h->a);
    }
}

int local_split(struct worker *w, struct session *p, struct app_worker *a, struct session *gone)
{
    struct session *s = p->peer, *other = gone == p ? s : p;
    struct app_pair *pair = p->pair;
    struct svm_msg_slot slot = p->slot;
    int err = forestall(p), taken, unanswered;

    if (err == 0)
        err = forestall(s);
    if (err == 0)
        err = make(w, p, a, s);
    if (err != 0)
        return err;
    unanswered = take_unanswered(p, s);
    err = take_unanswered(s, p);
    taken = take_slot(gone, other, pair, &slot, gone->local_side);
    local_old_put(w, gone);
    local_old_put(w, other);
    local_leave_slot(w, other, pair, &slot, other->local_user);
    if (gone == p && s->app) { /* finds "moved", and claims it anew */
        s->app->ops->taken(w, s->app, s);
        s->app = NULL;
    }
    unjoin(w, p);
    unjoin(w, s);
    session_set_user(w, p, a);
    session_claim_done(w, p, 0, 0);
    if (err != 0 || taken != 0 || unanswered != 0) { /* bytes that could not be kept, or an end was aborted */
        p->ops->reset(w, p->conn);
        return 0;
    }
    session_tx_schedule(w, p);
    session_tx_schedule(w, s);
    for (struct session_hold *h = s->holds; h; h = h->s_next) {
        if (!h->wants || h->closed)
            continue;
        session_claim(w, h->a, s, h->ctx);
        break;
    }
    return 0;
}
