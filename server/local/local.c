/* local.c - cut-through: joining two programs, and noticing when one of them goes */
#include "server/local/local_internal.h"

#include <errno.h>
#include <stdlib.h>
#include "server/app/app_server.h"

struct joining {               /* a PAIR segment is being made for this connect */
    struct svm_handle connecting;
    struct svm_handle listener;
    struct app_worker *to;
};

void local_fail(struct worker *w, struct session *s, int error)
{
    s->error = error;
    s->state = SESSION_DEAD;
    if (s->app)
        s->app->ops->connected(w, s->app, s, error);
}

static void slot_put(struct worker *w, struct session *s)
{
    if (s->pair)
        app_pair_put(w, s->pair, (int)s->slot.slot);
    s->pair = NULL;
}

void local_refuse(struct worker *w, struct session *s, int error)
{
    if (s->state == SESSION_CLOSING) {
        s->local_moving = false;
        local_old_put(w, s);
        session_finish(w, s);
        return;
    }
    if (!s->local_moving) {
        local_fail(w, s, error);
        return;
    }
    s->local_moving = false;
    s->error = -ECONNRESET;
    s->state = SESSION_DEAD;
    if (s->app)
        s->app->ops->reset(w, s->app, s, -ECONNRESET);
}

void local_connect(struct worker *w, struct listener *l, struct session *s)
{
    assert(!s->has_fifos);
    s->local = true;
    s->flags |= SVM_CONN_LOCAL;
    if (l->wait || listener_backlog_room(l) == 0) {
        local_wait_add(w, l, s);
        return;
    }
    s->from = l->handle;
    l->n_waiting++;
    listener_offer(w, l, s);
}

/* There is no memory that both programs could map. False: it cannot go through the server either. */
static bool local_without_memory(struct worker *w, struct listener *l, struct session *s)
{
    if (s->local_moving)
        local_offer_left(w, l, s);
    else if (s->proto == SVM_PROTO_TCP)
        local_wait_through(w, l, s);
    else
        return false;
    return true;
}

static void joined(struct worker *w, void *arg, struct app_pair *pair, int slot)
{
    struct joining j = *(struct joining *)arg;
    struct session *s = session_from_handle(w, j.connecting), *p;
    struct listener *l = listener_of_session(w, j.listener);

    free(arg);
    if (s)
        s->local_waiting = false;
    if (!s || (s->state != SESSION_CONNECTING && !s->local_moving)) { /* closed meanwhile */
        if (pair)
            app_pair_put(w, pair, slot);
        return;
    }
    if (!l) {
        if (pair)
            app_pair_put(w, pair, slot);
        local_refused(w, s);
        return;
    }
    if (local_is_left(s) || (pair && !listener_would_pick(l, j.to))) { /* while the segment was made; or another one has begun to accept */
        if (pair)
            app_pair_put(w, pair, slot);
        listener_offer(w, l, s);
        return;
    }
    p = pair ? local_accepted_end(w, l, s) : NULL;
    if (!p || session_hold_add(p, j.to) != 0) {
        s->peer = NULL;
        if (p)
            session_free(w, p);
        if (pair)
            app_pair_put(w, pair, slot);
        else if (slot == -ECONNREFUSED) { /* that program has gone meanwhile: the next one */
            listener_offer(w, l, s);
            return;
        } else if (local_without_memory(w, l, s)) {
            return;
        }
        listener_taken(w, s);
        local_refuse(w, s, pair ? -ENOMEM : slot);
        return;
    }
    s->pair = p->pair = pair;
    s->slot = p->slot = (struct svm_msg_slot){ app_pair_seg_id(pair), (uint32_t)slot };
    p->app = p->local_user = j.to;
    s->local_user = s->app;
    local_sides(s);
    listener_offered(l, j.to, 1);
    j.to->ops->accept(w, j.to, l, p);
    if (s->local_moving)
        return; /* told when the program has named it: until then it may be handed on once more */
    /* As with a backlog in Linux, the connecting side need not wait for the other program. */
    s->state = SESSION_ESTABLISHED;
    s->app->ops->connected(w, s->app, s, 0);
}

void local_offer(struct worker *w, struct listener *l, struct session *s, struct app_worker *a)
{
    struct joining *j;

    if (!a) {
        local_wait_accept(w, l, s);
        return;
    }
    if (local_is_left(s)) {
        local_offer_left(w, l, s);
        return;
    }
    j = malloc(sizeof(*j));
    if (!j) {
        listener_taken(w, s);
        local_refuse(w, s, -ENOMEM);
        return;
    }
    *j = (struct joining){ s->handle, l->handle, a };
    s->local_waiting = true;
    app_pair_get(w, s->app, a, s->proto != SVM_PROTO_TCP, joined, j);
}

void local_refused(struct worker *w, struct session *s)
{
    s->from = (struct svm_handle){ 0, 0 };
    local_refuse(w, s, -ECONNREFUSED);
}

/* p has been offered, and its connecting side went: as in Linux it fills the backlog until somebody takes it. Otherwise those who
 * connect and die could heap up any number of connections before a program that is slow to accept. */
static void uncount(struct worker *w, struct session *p)
{
    struct listener *l = p->local_counts ? listener_of_session(w, p->origin) : NULL;

    p->local_counts = false;
    if (l)
        listener_leave(l);
}

bool local_accepted(struct worker *w, struct session *p)
{
    struct session *s = p->peer;

    if (s && s->state == SESSION_CLOSING && s->local_moving && local_end_through(w, s) == 0) /* it was answering when it closed */
        return session_accepted(w, p->app, p, p->ctx);
    listener_offered(listener_of_session(w, p->origin), p->app, -1);
    if (s)
        listener_taken(w, s);
    else
        uncount(w, p);
    p->state = SESSION_ESTABLISHED;
    if (!s) { /* the connecting side went before */
        p->app->ops->peer_gone(w, p->app, p);
        return true;
    }
    if (s->app && s->local_moving) {
        s->app->ops->moved(w, s->app, s);
        local_old_watch(w, s);
    }
    s->local_moving = false;
    if (p->rx_news) { /* it may sleep already, having seen an empty FIFO */
        p->rx_news = false;
        p->app->ops->data(w, p->app, p);
    }
    local_claims_go_on(w, s);
    return true;
}

/* Earlier slots of an end that goes as if it had never been. */
static void slots_forget(struct worker *w, struct session *p)
{
    local_left_free(w, p, NULL, NULL);
    local_old_put(w, p);
}

void local_returned(struct worker *w, struct session *p, struct listener *l)
{
    struct session *s = p->peer;
    bool named = p->state == SESSION_ESTABLISHED;

    if (!s && l) {
        s = local_stand_in(w, p);
        named = s && !s->from.gen;
    }
    p->peer = NULL;
    uncount(w, p);
    if (!s) { /* and the listener has gone, too */
        slot_put(w, p);
        slots_forget(w, p);
        session_free(w, p);
        return;
    }
    s->peer = NULL;
    s->pair = NULL;
    if (s->local_moving) { /* of this slot it has not been told */
        slot_put(w, p);
    } else { /* it may have written into it already */
        s->local_moving = true;
        if (!local_old_keep(s, p, NULL)) {
            slot_put(w, p);
            l = NULL;
        }
    }
    p->pair = NULL;
    slots_forget(w, p);
    session_free(w, p);
    if (!l) {
        local_refused(w, s);
        return;
    }
    if (named) {
        s->from = l->handle;
        l->n_waiting++;
    }
    listener_offer(w, l, s);
}

static bool has_unread(const struct session *s)
{
    const struct svm_slot_pair *slot = s->pair ? app_pair_slot(s->pair, s->slot.slot) : NULL;

    return slot && __atomic_load_n(&slot->side[1 - s->local_side].tx.tail, __ATOMIC_ACQUIRE) !=
                       __atomic_load_n(&slot->side[s->local_side].rx.head, __ATOMIC_RELAXED);
}

/* None of several holders knew that it was the last, so that none has marked the FIFOs: they end here. An abort (SO_LINGER, or bytes that
 * were unread at the close: RFC 2525 s2.17) has no FIN; what came since then is answered with a reset after it. Nobody else writes
 * these lines any more, what they say is looked at by the other end only. False: nothing to tell it. */
static bool mark_ended(struct session *s)
{
    struct svm_slot_pair *slot = app_pair_slot(s->pair, s->slot.slot);
    struct svm_slot_cli *own = &slot->side[s->local_side];
    uint32_t flags = __atomic_load_n(&own->tx.flags, __ATOMIC_RELAXED);
    bool unread = has_unread(s), has_rest = s->rare && s->rare->rest_fd; /* of a former peer, and who closed has not read it */

    if (!s->was_shared && __atomic_load_n(&own->rx.flags, __ATOMIC_ACQUIRE) & SVM_FIFO_RD_CLOSED) /* its program has marked them */
        return false;
    __atomic_store_n(&own->rx.flags, SVM_FIFO_RD_CLOSED, __ATOMIC_RELEASE);
    if (flags & (SVM_FIFO_RST | SVM_FIFO_MOVED))
        return true;
    if (s->linger_s == 0 || ((unread || has_rest) && s->linger_s == SVM_CLOSE_UNREAD))
        flags |= SVM_FIFO_RST;
    else
        flags |= unread ? SVM_FIFO_FIN | SVM_FIFO_RST : SVM_FIFO_FIN;
    if (flags & SVM_FIFO_RST)
        __atomic_store_n(&own->tx.error, -ECONNRESET, __ATOMIC_RELAXED);
    __atomic_store_n(&own->tx.flags, flags, __ATOMIC_RELEASE);
    return true;
}

void local_tell_ended(struct worker *w, struct session *s)
{
    struct session *p = s->peer;

    if (!s->pair || !mark_ended(s))
        return;
    p->rx_news = p->state == SESSION_ACCEPTING;
    if (p->app)
        p->app->ops->data(w, p->app, p);
}

/* Its last program has died: Linux closes what is open then. True: the FIFOs say so. Not when it had marked them as no more than closed for
 * reading, nor for SCTP, whose ends have no such marks. */
static bool ends_with_program(struct session *s)
{
    const struct svm_slot_cli *own = &app_pair_slot(s->pair, s->slot.slot)->side[s->local_side];

    if (s->proto != SVM_PROTO_TCP)
        return false;
    if (has_unread(s))
        s->linger_s = 0;
    (void)mark_ended(s);
    return __atomic_load_n(&own->tx.flags, __ATOMIC_RELAXED) & (SVM_FIFO_FIN | SVM_FIFO_RST);
}

/* The last holder of s has closed it, or died. Both ends gone: the slot may be used again, and both programs are told. */
void local_close(struct worker *w, struct session *s, bool died)
{
    struct session *p = s->peer;
    struct session_hold *user = s->local_user ? session_hold_of(s, s->local_user) : NULL;
    bool is_told;

    if (s->state == SESSION_ACCEPTING) { /* the accepting program closes what it has never named */
        session_return(w, s->app, s);
        return;
    }
    if (user && user->closed) /* what that one wrote is in its memory still */
        died = false;
    if (s->state == SESSION_ESTABLISHED && (s->local_moving || (p && p->state != SESSION_CLOSING && local_has_moved(s)))) {
        /* What it wrote is not where the other end reads, or will when somebody accepts it. */
        int err;

        s->state = SESSION_CLOSING;
        err = p ? local_end_through(w, s) : 0;
        if (err == 0 || (err == -EINPROGRESS && !died)) /* it is just writing that again: local_unlinked() */
            return;
    }
    if (!died && s->state == SESSION_ESTABLISHED && p && p->state != SESSION_CLOSING) {
        /* In order: FIN is in the FIFO, the other end reads on. What s wrote stays in place until the other end closes. */
        s->state = SESSION_CLOSING;
        local_tell_ended(w, s);
        return;
    }
    if (s->from.gen) { /* the connecting side, nobody has named the other end yet */
        if (p && p->state == SESSION_ACCEPTING) {
            p->local_counts = true;
            s->from = (struct svm_handle){ 0, 0 };
        } else {
            listener_taken(w, s);
        }
    }
    s->local_moving = false;
    if (!p || p->state == SESSION_CLOSING) {
        slot_put(w, s);
        s->peer = NULL;
        if (p) {
            p->peer = NULL;
            p->pair = NULL;
            session_finish(w, p);
        }
        session_finish(w, s);
        return;
    }
    is_told = s->state == SESSION_ESTABLISHED && p->state == SESSION_ESTABLISHED && s->pair && ends_with_program(s);
    local_old_put(w, s);
    s->peer = NULL;
    s->pair = NULL; /* p keeps the slot */
    p->peer = NULL;
    if (p->state == SESSION_ESTABLISHED && p->app) {
        if (is_told)
            p->app->ops->data(w, p->app, p);
        else
            p->app->ops->peer_gone(w, p->app, p);
    }
    session_finish(w, s);
}
