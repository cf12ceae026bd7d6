/* local_take.c - a cut-through connection goes through the server from now on
 *
 * An end is claimed while nobody uses the other one, so that there is no program to join the claiming one with; or before a program has
 * accepted it; or a program that was told that the other end has moved sleeps on. What both have written and not read becomes what they
 * have written and not sent, and they are the two ends of a relay (local_relay.c). Programs may be at work in the slot at any moment: what
 * counts of that is settled in their lines (struct svm_fifo_cons_line), where they look after each step. */
#include "server/local/local_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "svm/svm_segment.h"
#include "svm/svm_urgent.h"

struct local_left {
    struct local_left *next;
    struct app_pair *pair;
    struct svm_msg_slot slot;
    struct app_worker *user;
};

/* ---- slots that are left ---- */

void local_left_add(struct session *s, struct app_worker *user, struct app_pair *pair, const struct svm_msg_slot *slot)
{
    struct session_hold *h = user ? session_hold_of(s, user) : NULL;
    struct local_left *l;

    if (!h || h->closed)
        return;
    app_pair_hold(pair, slot->slot);
    l = session_rare_get(s) ? malloc(sizeof(*l)) : NULL;
    if (!l) /* the slot is lost with its segment, rather than given to another */
        return;
    *l = (struct local_left){ s->rare->left_slots, pair, *slot, user };
    s->rare->left_slots = l;
}

void local_left_free(struct worker *w, struct session *s, const struct app_worker *a, const struct svm_msg_slot *slot)
{
    for (struct local_left **at = s->rare ? &s->rare->left_slots : NULL, *l; at && (l = *at);) {
        if ((a && l->user != a) || (slot && (l->slot.seg_id != slot->seg_id || l->slot.slot != slot->slot))) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        if (w->app) /* else the server ends, and its segments have gone */
            app_pair_put(w, l->pair, (int)l->slot.slot);
        free(l);
    }
}

bool local_left_has(const struct session *s, const struct app_worker *a)
{
    for (const struct local_left *l = s->rare ? s->rare->left_slots : NULL; l; l = l->next) {
        if (l->user == a)
            return true;
    }
    return false;
}

/* ---- what is in a slot ---- */

void local_settle_begin(struct svm_slot_cli *side)
{
    __atomic_store_n(&side->rx.settle, SVM_SETTLE_BEGUN, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before its positions are read; pairs with settled() (vcl_claim.c) */
}

void local_settle_end(struct svm_slot_cli *side, uint32_t head, uint32_t tail)
{
    __atomic_store_n(&side->rx.settled_head, head, __ATOMIC_RELAXED);
    __atomic_store_n(&side->rx.settled_tail, tail, __ATOMIC_RELAXED);
    __atomic_store_n(&side->rx.settle, SVM_SETTLE_DONE, __ATOMIC_RELEASE);
}

/* What s has written into `from` and its peer has not read. SHARED: programs write both. */
static int take_written(struct session *s, struct session *reads, struct app_pair *pair, const struct svm_slot_cli *from,
                        const struct svm_slot_cli *to, uint32_t *head, uint32_t *tail)
{
    struct svm_region_table regions = { .n = 2 };
    struct svm_fifo_cons_line line;
    struct svm_fifo_cons fifo;
    int err;

    memset(&line, 0, sizeof(line));
    regions.r[0] = regions.r[1] = app_pair_region(pair);
    line.head = __atomic_load_n(&to->rx.head, __ATOMIC_ACQUIRE);
    svm_fifo_cons_init(&fifo, &line, &from->tx, &regions, SVM_PAIR_FIFO_MAX);
    if (!session_tx_rest(s)) /* positions of the reading end begin with these bytes */
        svm_urgent_move(reads->fifos->rx.line, &from->tx, line.head);
    if (__atomic_load_n(&from->tx.flags, __ATOMIC_ACQUIRE) & SVM_FIFO_FIN)
        s->tx_fin_told = true;
    if (__atomic_load_n(&to->rx.flags, __ATOMIC_ACQUIRE) & SVM_FIFO_RD_CLOSED)
        reads->rd_closed = true;
    err = session_tx_keep(s, &fifo);
    *head = line.head;
    *tail = fifo.tail_seen;
    return err ? err : svm_fifo_cons_rst(&fifo) ? -ECONNRESET : 0;
}

/* Bytes that could not be kept are worse than an end that was aborted. */
static int worse(int a, int b) { return a && a != -ECONNRESET ? a : b ? b : a; }

static int take_slot(struct worker *w, struct session *s, struct session *p, struct app_pair *pair, const struct svm_msg_slot *at, unsigned side)
{
    struct svm_slot_pair *slot = app_pair_slot(pair, at->slot);
    struct svm_slot_cli *own = &slot->side[side], *peer = &slot->side[1 - side];
    uint32_t own_head, own_tail, peer_head, peer_tail;
    int err, peer_err;

    app_port_settling(w, true);
    local_settle_begin(own);
    local_settle_begin(peer);
    err = take_written(s, p, pair, own, peer, &peer_head, &own_tail);
    peer_err = take_written(p, s, pair, peer, own, &own_head, &peer_tail);
    local_settle_end(own, own_head, own_tail);
    local_settle_end(peer, peer_head, peer_tail);
    app_port_settling(w, false);
    return worse(err, peer_err);
}

/* A slot that was left before, and its program has not answered: what is there comes first. */
static int take_unanswered(struct worker *w, struct session *s, struct session *p)
{
    int err = 0;

    for (struct local_old *o = s->rare ? s->rare->old_slots : NULL; o; o = o->next) {
        int rc = o->is_read ? take_slot(w, s, p, o->pair, &o->slot, o->side) : 0;
        err = worse(err, rc);
    }
    return err;
}

/* Who was told of a move marks its own line before it does anything about it. -EINPROGRESS: it has; -ECONNRESET: and died since. */
static int forestall(struct session *s)
{
    for (struct local_old *o = s->rare ? s->rare->old_slots : NULL; o; o = o->next) {
        struct svm_slot_cli *own = &app_pair_slot(o->pair, o->slot.slot)->side[o->side];
        if (o->is_read && !o->is_ours && __atomic_fetch_or(&own->tx.flags, SVM_FIFO_MOVED, __ATOMIC_ACQ_REL) & SVM_FIFO_MOVED)
            return o->told ? -EINPROGRESS : -ECONNRESET;
        o->is_ours = o->is_read;
    }
    return 0;
}

/* ---- both ends ---- */

static int make(struct worker *w, struct session *s, struct session *p)
{
    struct svm_msg_slot slots[2] = { s->slot, p->slot };
    int err = session_fifos_make(w, s, NULL);

    if (err == 0)
        err = session_fifos_make(w, p, NULL);
    if (err == 0)
        err = local_relay_between(w, s, p);
    if (err == 0) {
        err = forestall(s);
        if (err == 0)
            err = forestall(p);
        if (err != 0)
            local_relay_undo(w, s, p);
    }
    if (err != 0) {
        session_fifos_drop(w, s);
        session_fifos_drop(w, p);
        s->slot = slots[0];
        p->slot = slots[1];
    }
    return err;
}

/* All who used s or its peer in an earlier slot may look there until they have heard. */
static void leave_slots(struct worker *w, struct session *s)
{
    struct local_old *o;

    while (s->rare && (o = s->rare->old_slots)) {
        struct session_hold *h = local_former(w, o);

        s->rare->old_slots = o->next;
        if (o->is_read)
            local_left_add(s, o->told, o->pair, &o->slot);
        if (h)
            local_left_add(h->s, h->a, o->pair, &o->slot);
        if (h && !h->closed && !o->former_told)
            h->a->ops->taken(w, h->a, h->s);
        app_pair_put(w, o->pair, (int)o->slot.slot);
        local_old_free(w, o);
    }
}

static void unjoin(struct worker *w, struct session *s)
{
    s->local = s->local_moving = false;
    s->flags &= (uint8_t)~SVM_CONN_LOCAL;
    s->peer = NULL;
    s->pair = NULL;
    s->local_user = NULL;
    for (struct session_hold *h = s->holds, *next; h; h = next) { /* nobody reads in their memory any more */
        next = h->s_next;
        if (!h->closed)
            continue;
        session_hold_over(w, s, h, true);
    }
    if (s->app && s->state != SESSION_ACCEPTING && s->state != SESSION_CLOSING) { /* unnamed: when it is named, session_accepted() */
        s->app->ops->taken(w, s->app, s);
        s->app = NULL;
    }
}

int local_take(struct worker *w, struct session *s, bool *is_lost)
{
    struct session *p = s->peer;
    struct app_pair *pair = s->pair;
    struct svm_msg_slot slot = s->slot;
    int err = make(w, s, p), unanswered, taken = 0;

    if (err != 0)
        return err;
    err = take_unanswered(w, s, p);
    unanswered = take_unanswered(w, p, s);
    if (pair)
        taken = take_slot(w, s, p, pair, &slot, s->local_side);
    leave_slots(w, s);
    leave_slots(w, p);
    if (pair) {
        local_left_add(s, s->local_user, pair, &slot);
        local_left_add(p, p->local_user, pair, &slot);
        app_pair_put(w, pair, (int)slot.slot);
    }
    if (p->state == SESSION_ACCEPTING || s->state == SESSION_ACCEPTING) { /* the accepted end waits in the listener's count from now on */
        struct session *accepted = p->state == SESSION_ACCEPTING ? p : s, *other = accepted == p ? s : p;
        accepted->from = other->from;
        other->from = (struct svm_handle){ 0, 0 };
    }
    unjoin(w, s);
    unjoin(w, p);
    err = worse(worse(err, unanswered), taken);
    if (err != 0 && err != -ECONNRESET) { /* nobody shall read on behind a gap */
        session_tx_drop(w, s, session_tx_avail(w, s));
        session_tx_drop(w, p, session_tx_avail(w, p));
    }
    *is_lost = err != 0;
    return 0;
}

int local_part(struct worker *w, struct session *s)
{
    struct session *p = s->peer;
    bool is_lost;
    int err = local_take(w, s, &is_lost);

    if (err != 0)
        return err;
    if (is_lost) {
        p->ops->reset(w, p->conn);
        return 0;
    }
    session_tx_schedule(w, s);
    session_tx_schedule(w, p);
    return 0;
}
