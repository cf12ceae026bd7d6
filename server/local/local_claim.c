/* local_claim.c - cut-through ends that change hands: a fork's child, or who was passed the descriptor, goes on with one
 *
 *   CLAIM of p by a -> PAIR segment of a and the other end's program -> CLAIMED to a, MOVED to the other one
 *        the other one: what its peer has not read it writes again to the new slot; what it has not read itself it puts aside; UNLINK
 *        -> TAKEN to the former user, if it holds p still; it answers UNLINK -> the old slot is free
 *
 * Is there nobody at the other end any more, the server puts what is left there into a FIFO of its own making. Does nobody use it at the
 * moment, has nobody accepted it yet, or does its program not answer, the two become ends of a relay (local_take.c). */
#include "server/local/local_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "svm/svm_segment.h"
#include "svm/svm_urgent.h"

static struct session *peer_of(const struct session *s) { return s->local ? s->peer : NULL; }
static struct local_old *old_slots(const struct session *s) { return s && s->rare ? s->rare->old_slots : NULL; }

enum { ANSWER_US = 20000,   /* a program that waits answers within microseconds */
       LATE_MAX = 50 };      /* and one that has begun to ends within them */

/* Its former user may find "moved" there before "settled", from now on until told has answered. */
static void old_count(struct worker *w, struct local_old *o)
{
    if (!o->former)
        return;
    o->counted_for = o->former->client_id;
    app_port_moves(w, o->counted_for, 1);
}

static void old_uncount(struct worker *w, struct local_old *o)
{
    if (o->counted_for)
        app_port_moves(w, o->counted_for, -1);
    o->counted_for = 0;
}

static void old_answered(struct worker *w, struct local_old *o)
{
    o->is_read = false;
    old_uncount(w, o);
}

void local_old_free(struct worker *w, struct local_old *o)
{
    old_uncount(w, o);
    timer_stop(&o->timer, &w->timers);
    free(o);
}

bool local_old_keep(struct session *s, const struct session *p, struct app_worker *former)
{
    enum { MOVES_MAX = 32 };
    unsigned n = 0;
    for (const struct local_old *o = old_slots(s); o; o = o->next)
        n++;
    struct local_old *o = n < MOVES_MAX && session_rare_get(s) ? malloc(sizeof(*o)) : NULL; /* more only where programs do not answer */
    if (!o)
        return false;
    *o = (struct local_old){ .next = s->rare->old_slots, .owner = s->handle, .pair = p->pair, .slot = p->slot, .side = s->local_side,
                              .is_read = true, .told = s->app, .former = former, .former_end = p->handle, .former_ctx = p->ctx };
    s->rare->old_slots = o;
    return true;
}

static struct session_hold *hold_by(const struct session *s, const struct app_worker *a, uint32_t ctx)
{
    struct session_hold *h = a ? s->holds : NULL;

    while (h && (h->a != a || h->ctx != ctx))
        h = h->s_next;
    return h;
}

/* With that end all its former users have gone. */
struct session_hold *local_former(struct worker *w, const struct local_old *o)
{
    const struct session *end = session_from_handle(w, o->former_end);

    return end ? hold_by(end, o->former, o->former_ctx) : NULL;
}

/* One of s; else of the other end, or of one that s had before. */
static bool is_former_of(const struct local_old *o, const struct session *s)
{
    return o->former_end.index == s->handle.index && o->former_end.gen == s->handle.gen;
}

/* Frees what nobody uses, tells the former user when only it is left. */
static void old_check(struct worker *w, struct session *s)
{
    for (struct local_old **at = s->rare ? &s->rare->old_slots : NULL, *o; at && (o = *at);) {
        struct session_hold *h = local_former(w, o);

        if (!h)
            o->former = NULL;
        if (!o->is_read && h && h->closed) {
            o->former = NULL;
            session_hold_over(w, h->s, h, true);
        } else if (!o->is_read && h && !o->former_told) {
            o->former_told = true;
            h->a->ops->taken(w, h->a, h->s);
        }
        if (o->is_read || o->former) {
            at = &o->next;
            continue;
        }
        *at = o->next;
        app_pair_put(w, o->pair, (int)o->slot.slot);
        local_old_free(w, o);
    }
}

void local_old_put(struct worker *w, struct session *s)
{
    for (struct local_old *o = old_slots(s); o; o = o->next) {
        old_answered(w, o);
        if (is_former_of(o, s))
            o->former = NULL;
    }
    old_check(w, s);
    while (old_slots(s)) { /* a former user of the other end: its affair alone now */
        struct local_old *o = s->rare->old_slots;
        struct session *end = session_from_handle(w, o->former_end);
        s->rare->old_slots = o->next;
        if (!session_rare_get(end)) { /* no memory: the slot is lost with its segment, rather than given to another */
            local_old_free(w, o);
            continue;
        }
        o->next = end->rare->old_slots;
        end->rare->old_slots = o;
    }
}

bool local_has_moved(const struct session *s)
{
    for (const struct local_old *o = old_slots(s); o; o = o->next) {
        if (o->is_read)
            return true;
    }
    return false;
}

bool local_wait_answer(struct worker *w, struct listener *l, struct session *s)
{
    struct local_old *o = old_slots(s);

    while (o && !o->is_read)
        o = o->next;
    if (!o || ++o->n_late >= LATE_MAX)
        return false;
    local_wait_accept(w, l, s);
    return true;
}

void local_sides(struct session *s)
{
    struct session *p = s->peer;

    if (s->local_user == p->local_user) {
        s->local_side = s->origin.gen != 0; /* the accepted one */
        p->local_side = !s->local_side;
    } else {
        s->local_side = (uint8_t)app_pair_side(s->pair, s->local_user);
        p->local_side = (uint8_t)app_pair_side(p->pair, p->local_user);
    }
}

void local_unlinked(struct worker *w, struct session *s, const struct app_worker *a, const struct svm_msg_slot *slot)
{
    struct svm_handle handle = s->handle;
    struct session *ends[2] = { s, peer_of(s) };

    for (int i = 0; i < 2; i++) { /* the answer of who was told of the move, or of a former user to TAKEN */
        for (struct local_old *o = old_slots(ends[i]); o; o = o->next) {
            if (o->slot.seg_id != slot->seg_id || o->slot.slot != slot->slot)
                continue;
            if (o->former == a && o->former_told && is_former_of(o, s))
                o->former = NULL;
            else if (ends[i] == s && o->told == a)
                old_answered(w, o);
        }
    }
    old_check(w, s);
    if (peer_of(s))
        old_check(w, s->peer);
    if (session_from_handle(w, handle) != s)
        return;
    if (s->state == SESSION_CLOSING && peer_of(s) && !s->local_moving && !local_has_moved(s)) /* it closed before it had answered */
        local_tell_ended(w, s);
    if (peer_of(s))
        session_claims_retry(w, s->peer);
    if (session_from_handle(w, handle) == s)
        session_claims_retry(w, s);
}

void local_claims_go_on(struct worker *w, struct session *s)
{
    struct svm_handle peer = s->peer ? s->peer->handle : s->handle;

    session_claims_retry(w, s);
    s = session_from_handle(w, peer);
    if (s)
        session_claims_retry(w, s);
}

bool local_keep(struct session *s, const struct app_worker *a)
{
    return s->peer && s->local_user == a && hold_by(s, a, s->ctx) == session_hold_of(s, a);
}

static bool has_another(const struct session *s, const struct app_worker *a, const struct session_hold *than)
{
    const struct session_hold *h = s->holds;

    while (h && (h->a != a || h == than))
        h = h->s_next;
    return h;
}

void local_forget(struct worker *w, struct session *s, const struct app_worker *a, const struct session_hold *h)
{
    bool is_one_of = h && has_another(s, a, h); /* what it says by the other one still counts */

    if (s->local && s->local_user == a && (!is_one_of || s->ctx == h->ctx))
        s->local_user = NULL;
    for (int i = 0; i < 2; i++) {
        struct session *end = i ? peer_of(s) : s;
        for (struct local_old *o = old_slots(end); o; o = o->next) {
            if (o->former == a && is_former_of(o, s) && (!is_one_of || o->former_ctx == h->ctx))
                o->former = NULL;
            if (end == s && o->told == a && !is_one_of)
                o->told = NULL;
        }
    }
    old_check(w, s);
    if (peer_of(s))
        old_check(w, s->peer);
}

/* ---- without its answer ---- */

/* A program has marked its line as answering, which takes microseconds, and has not come to its end: the word may be a lie, and neither it
 * nor the server can go on from where it stands. */
static void end_both(struct worker *w, struct session *s, struct session *p)
{
    struct session *ends[2] = { s, p };

    for (int i = 0; i < 2; i++) {
        ends[i]->error = -ECONNRESET;
        ends[i]->state = SESSION_DEAD;
        if (ends[i]->app)
            ends[i]->app->ops->reset(w, ends[i]->app, ends[i], -ECONNRESET);
    }
}

static void closed_without_answer(struct worker *w, struct local_old *o, struct session *s)
{
    int err = local_end_through(w, s);

    if (err == -EINPROGRESS && ++o->n_late < LATE_MAX)
        timer_start(&w->timers, &o->timer, w->now_us + ANSWER_US);
    else if (err != 0)
        local_close(w, s, true);
}

static void no_answer(struct worker *w, struct timer_node *t)
{
    struct local_old *o = hs_container_of(t, struct local_old, timer);
    struct session *s = session_from_handle(w, o->owner), *p = s ? peer_of(s) : NULL;
    struct svm_handle peer;
    int err;

    if (!o->is_read || !p || !s->pair || p->state != SESSION_ESTABLISHED)
        return;
    if (s->state == SESSION_CLOSING) {
        closed_without_answer(w, o, s);
        return;
    }
    if (s->state != SESSION_ESTABLISHED)
        return;
    if (s->local_joining || p->local_joining)
        err = -EAGAIN;
    else
        err = local_part(w, s);
    if (err == -EINPROGRESS && ++o->n_late >= LATE_MAX)
        end_both(w, s, p);
    else if (err != 0) {
        timer_start(&w->timers, &o->timer, w->now_us + ANSWER_US);
        return;
    }
    peer = p->handle;
    session_claims_retry(w, s);
    p = session_from_handle(w, peer);
    if (p)
        session_claims_retry(w, p);
}

void local_old_watch(struct worker *w, struct session *s)
{
    struct local_old *o = s->rare->old_slots;

    o->timer.fire = no_answer;
    timer_start(&w->timers, &o->timer, w->now_us + ANSWER_US);
}

/* ---- with somebody at the other end ---- */

struct claiming {
    struct svm_handle claimed;
    struct app_worker *to, *other;
    uint32_t to_id;
};

static void refuse(struct worker *w, struct session *p, struct app_worker *a, int error)
{
    if (session_is_held_by(p, a))
        a->ops->claimed(w, a, p, 0, error);
}

static void claim_anew(struct worker *w, struct app_worker *a, struct session *p)
{
    const struct session_hold *h = session_hold_of(p, a);

    session_claim(w, a, p, h->ctx, h->question);
}

/* The connection goes through the server from now on. */
static void claim_parted(struct worker *w, struct session *p, struct app_worker *a)
{
    int err = local_part(w, p);

    if (err == 0)
        claim_anew(w, a, p);
    else if (err == -EINPROGRESS)
        session_claim_later(w, p, session_hold_of(p, a));
    else
        refuse(w, p, a, err);
}

static void joined(struct worker *w, void *arg, struct app_pair *pair, int slot)
{
    struct claiming c = *(struct claiming *)arg;
    struct session *p = session_from_handle(w, c.claimed), *s = p ? peer_of(p) : NULL;
    struct svm_slot_pair *former;
    unsigned former_side;
    bool is_held = false;

    free(arg);
    for (struct session_hold *h = p ? p->holds : NULL; h; h = h->s_next)
        is_held |= h->a == c.to && h->a->client_id == c.to_id && !h->closed; /* the pointer alone may be of somebody who has gone */
    if (p)
        p->local_joining = false;
    bool has_changed = !s || s->app != c.other || s->state != SESSION_ESTABLISHED || p->app == c.to;
    if (!is_held || has_changed || !pair || !local_old_keep(s, p, p->local_user)) {
        if (pair)
            app_pair_put(w, pair, slot);
        if (is_held && has_changed) /* the other end has gone, or nobody uses it now; its program may have died, so that there is no pair */
            claim_anew(w, c.to, p);
        else if (is_held && !pair && slot != -ECONNREFUSED) /* no memory that both could map */
            claim_parted(w, p, c.to);
        else if (is_held)
            refuse(w, p, c.to, pair ? -ECONNABORTED : -ECONNRESET);
        if (p)
            session_claims_retry(w, p);
        return;
    }
    former = app_pair_slot(p->pair, p->slot.slot);
    former_side = p->local_side;
    s->pair = p->pair = pair;
    s->slot = p->slot = (struct svm_msg_slot){ app_pair_seg_id(pair), (uint32_t)slot };
    p->app = NULL; /* its former user is told when the other end has read what it wrote */
    p->local_user = c.to;
    s->local_user = c.other;
    local_sides(s);
    old_count(w, s->rare->old_slots);
    session_set_user(w, p, c.to);
    session_claim_done(w, p, 0, 0);
    s->app->ops->moved(w, s->app, s);
    local_old_watch(w, s);
    __atomic_fetch_or(&former->side[former_side].rx.flags, SVM_FIFO_RD_MOVED, __ATOMIC_RELEASE);
}

/* ---- with nobody there any more ---- */

/* What the other side's program has written and p's has not read goes to FIFOs in a's memory, which end there. 0: p->slot is the new
 * slot, and p's part in the pair is the caller's to end. */
static int take_rest(struct worker *w, struct session *p, struct app_worker *a)
{
    struct app_pair *pair = p->pair;
    struct svm_slot_pair *slot = app_pair_slot(pair, p->slot.slot);
    struct svm_slot_cli *own = &slot->side[p->local_side], *gone = &slot->side[1 - p->local_side];
    struct svm_region_table regions = { .n = 2 };
    struct svm_fifo_cons reader;
    struct svm_fifo_cons_line line;
    struct iovec iov[4];
    int64_t n;
    int err = session_fifos_make(w, p, a), pieces;

    if (err != 0)
        return err;
    regions.r[0] = regions.r[1] = app_pair_region(pair);
    memset(&line, 0, sizeof(line));
    app_port_settling(w, true);
    local_settle_begin(own); /* a former user that still holds the connection finds it there */
    line.head = __atomic_load_n(&own->rx.head, __ATOMIC_ACQUIRE);
    svm_fifo_cons_init(&reader, &line, &gone->tx, &regions, p->fifos->rx.max_size);
    n = svm_fifo_cons_avail(&reader);
    pieces = n > 0 ? svm_fifo_peek_iov(&reader, 0, (uint32_t)n, iov) : 0;
    if (pieces > 0 && svm_fifo_enqueue_iov(&p->fifos->rx, iov, pieces) != n)
        svm_fifo_prod_set_rst(&p->fifos->rx, -ECONNRESET);
    svm_urgent_move(p->fifos->rx.line, &gone->tx, line.head);
    if (n < 0 || pieces < 0 || svm_fifo_cons_rst(&reader))
        svm_fifo_prod_set_rst(&p->fifos->rx, -ECONNRESET);
    svm_fifo_prod_set_fin(&p->fifos->rx);
    p->rx_fin = true;
    local_settle_end(own, line.head, __atomic_load_n(&own->tx.tail, __ATOMIC_ACQUIRE));
    app_port_settling(w, false);
    return 0;
}

static void claim_alone(struct worker *w, struct session *p, struct app_worker *a)
{
    struct session *s = p->peer;
    struct app_pair *pair = p->pair;
    struct app_worker *former = p->local_user;
    struct svm_msg_slot old = p->slot;
    int err = take_rest(w, p, a);

    if (err != 0) {
        refuse(w, p, a, err);
        return;
    }
    p->local = false;
    p->flags &= (uint8_t)~SVM_CONN_LOCAL;
    p->peer = NULL;
    p->pair = NULL;
    p->local_user = NULL;
    local_left_add(p, former == a ? NULL : former, pair, &old); /* it is told by session_set_user() */
    app_pair_put(w, pair, (int)old.slot);
    if (s) {
        local_old_put(w, s);
        s->peer = NULL;
        s->pair = NULL;
        session_finish(w, s);
    }
    for (struct session_hold *h = p->holds, *next; h; h = next) {
        next = h->s_next;
        if (!h->closed)
            continue;
        session_hold_over(w, p, h, true);
    }
    session_set_user(w, p, a);
    session_claim_done(w, p, 0, 0);
    a->ops->peer_gone(w, a, p);
}

static void claim_unaccepted(struct worker *w, struct session *p, struct session_hold *h)
{
    struct listener *l = p->is_queued ? listener_of_session(w, p->from) : NULL;
    struct svm_handle handle = p->handle;
    struct app_worker *a = h->a;

    if (l) {
        listener_unqueue(l, p);
        if (local_go_through(w, l, p) == 0) {
            if (session_from_handle(w, handle) == p && session_is_held_by(p, a))
                claim_anew(w, a, p);
            return;
        }
        listener_enqueue(l, p);
    }
    session_claim_later(w, p, h);
}

void local_claim(struct worker *w, struct session *p, struct app_worker *a)
{
    struct session *s = p->peer;
    struct session_hold *h = session_hold_of(p, a);
    bool is_unmapped = p->pair && app_pair_is_unmapped(p->pair, a);
    struct claiming *c;

    if (p->app == a && !is_unmapped) { /* it is the user already */
        session_claim_done(w, p, 0, 0);
        return;
    }
    if (p->local_moving && !s) { /* nobody accepts at the moment, or somebody is just being joined */
        claim_unaccepted(w, p, h);
        return;
    }
    if (!p->pair) {
        refuse(w, p, a, -ECONNRESET);
        return;
    }
    if (!s || s->state == SESSION_CLOSING) {
        claim_alone(w, p, a);
        return;
    }
    if (s->state != SESSION_ESTABLISHED && s->state != SESSION_ACCEPTING) {
        refuse(w, p, a, p->state == SESSION_DEAD && p->error ? p->error : -ECONNABORTED);
        return;
    }
    if (p->local_joining || s->local_joining ||
        (!is_unmapped && !p->local_moving && ((p->app && local_has_moved(p)) || (s->app && local_has_moved(s))))) {
        session_claim_later(w, p, h);
        return;
    }
    if (is_unmapped || !s->app || s->state == SESSION_ACCEPTING || local_has_moved(p)) {
        /* Or the other end is changing hands as well, or has not been accepted; or who had p went before it has answered. */
        claim_parted(w, p, a);
        return;
    }
    c = malloc(sizeof(*c));
    if (!c) {
        refuse(w, p, a, -ENOMEM);
        return;
    }
    *c = (struct claiming){ p->handle, a, s->app, a->client_id };
    p->local_joining = true;
    app_pair_get(w, a, s->app, false, joined, c);
}

const struct svm_fifo_cons_line *local_line(const struct session *s)
{
    return s->pair ? &app_pair_slot(s->pair, s->slot.slot)->side[s->local_side].rx : NULL;
}

/* Its claim follows. Nobody but `a` itself suffers when it is a lie. */
void local_unmapped(struct worker *w, struct session *p, struct app_worker *a, const struct svm_msg_slot *slot)
{
    if (p->local && p->pair && app_pair_seg_id(p->pair) == slot->seg_id)
        app_pair_unmapped(w, p->pair, a);
}
