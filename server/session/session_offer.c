/* session_offer.c - who accepts from a listener, what comes before anybody does, and to whom a connection is offered
 *
 * Each process that holds the listener and accepts there is an acceptor of it. A connection is offered to one of them; until that one takes it
 * the server may take it back (app_ops.withdraw), for another one. */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include "server/local/local.h"

static void tend_later(struct listener *l, uint64_t at_us);

static struct acceptor *acceptor_find(const struct listener *l, const struct app_worker *a)
{
    for (struct acceptor *x = l->acceptors; x; x = x->next) {
        if (x->a == a)
            return x;
    }
    return NULL;
}

static void acceptor_remove(struct listener *l, const struct app_worker *a)
{
    for (struct acceptor **p = &l->acceptors, *x; (x = *p); p = &x->next) {
        if (x->a != a)
            continue;
        *p = x->next;
        l->next_acceptor = NULL;
        free(x);
        return;
    }
}

uint32_t listener_ctx(const struct listener *l, const struct app_worker *a)
{
    const struct acceptor *x = acceptor_find(l, a);

    return x ? x->ctx : l->ctx;
}

/* Smaller ones go first: who waits for nothing else, then who may look soon; who does not take what it was offered, or does something else
 * now, is given more only when nobody is better off; who accepts weakly only when there is nobody else. */
enum { RANK_ACCEPTS, RANK_SOON, RANK_SLOW, RANK_QUIET, RANK_LEFT, RANK_WEAK, RANK_NOT, SLOW_US = 100000, TEND_US = 1000, LONG_US = 1000000 };

static bool is_slow(const struct listener *l, const struct acceptor *x)
{
    return x->n_offered && l->w->now_us - x->offered_us > SLOW_US;
}

static int rank_of(const struct listener *l, const struct acceptor *x)
{
    enum app_presence presence = x->a->ops->presence ? x->a->ops->presence(l->w, x->a) : APP_HERE;

    if (x->arm == SESSION_ARM_OFF || x == l->passed_over || presence == APP_FULL)
        return RANK_NOT;
    if (x->arm == SESSION_ARM_WEAK)
        return RANK_WEAK;
    switch (presence) {
    case APP_QUIET:
        return RANK_QUIET;
    case APP_LEFT:
        return RANK_LEFT;
    case APP_ACCEPTS:
        return is_slow(l, x) ? RANK_SLOW : x->n_offered ? RANK_SOON : RANK_ACCEPTS;
    default:
        return is_slow(l, x) ? RANK_SLOW : RANK_SOON;
    }
}

/* Is there somebody who accepts, but cannot be offered more now? */
static bool has_full(const struct listener *l)
{
    for (const struct acceptor *x = l->acceptors; x; x = x->next) {
        if (x->arm == SESSION_ARM_ON && rank_of(l, x) == RANK_NOT)
            return true;
    }
    return false;
}

/* Fewest that it has not taken yet, of the best rank; round robin among equals. */
struct app_worker *listener_pick(struct listener *l)
{
    struct acceptor *best = NULL, *x = l->next_acceptor ? l->next_acceptor : l->acceptors;
    int best_rank = RANK_NOT;
    uint32_t n = 0;

    for (struct acceptor *a = l->acceptors; a; a = a->next)
        n++;
    for (; n > 0; n--, x = x->next ? x->next : l->acceptors) {
        int rank = rank_of(l, x);
        if (rank < best_rank || (best && rank == best_rank && x->n_offered < best->n_offered)) {
            best = x;
            best_rank = rank;
        }
    }
    if (!best || (best_rank == RANK_WEAK && has_full(l))) /* it waits for those who really accept */
        return NULL;
    l->next_acceptor = best->next;
    return best->a;
}

bool listener_would_pick(struct listener *l, const struct app_worker *a)
{
    const struct acceptor *x = acceptor_find(l, a);

    for (const struct acceptor *o = l->acceptors; x && o; o = o->next) {
        if (o->arm == SESSION_ARM_ON && x->arm != SESSION_ARM_ON)
            return false;
    }
    return x && rank_of(l, x) != RANK_NOT;
}

void listener_enqueue(struct listener *l, struct session *s)
{
    s->queue_next = NULL;
    s->is_queued = true;
    *l->queue_tail = s;
    l->queue_tail = &s->queue_next;
}

static struct session *listener_dequeue(struct listener *l)
{
    struct session *s = l->queue;

    if (s) {
        l->queue = s->queue_next;
        if (!l->queue)
            l->queue_tail = &l->queue;
        s->is_queued = false;
    }
    return s;
}

void listener_unqueue(struct listener *l, struct session *s)
{
    struct session **p;

    for (p = &l->queue; *p && *p != s; p = &(*p)->queue_next)
        ;
    if (!*p)
        return;
    *p = s->queue_next;
    if (!*p)
        l->queue_tail = p;
    s->is_queued = false;
}

/* How many offers of the listener a program has not named yet; more of them, fewer new ones. */
void listener_offered(struct listener *l, const struct app_worker *a, int delta)
{
    struct acceptor *x = l ? acceptor_find(l, a) : NULL;

    if (!x || (delta < 0 && x->n_offered == 0))
        return;
    if (delta < 0 || x->n_offered == 0)
        x->offered_us = l->w->now_us;
    x->n_offered = (uint32_t)((int64_t)x->n_offered + delta);
    if (x->n_offered == 0 && x->arm == SESSION_ARM_OFF)
        acceptor_remove(l, a);
    else if (delta > 0)
        tend_later(l, l->w->now_us + TEND_US);
}

void listener_leave(struct listener *l)
{
    if (l->n_waiting)
        l->n_waiting--;
    if (hs_unlikely(l->wait || l->relay_first))
        local_wait_go_on(l);
}

/* s waits no longer: a program has named it, or it ended. */
void listener_taken(struct worker *w, struct session *s)
{
    struct listener *l = listener_of_session(w, s->from);

    s->from = (struct svm_handle){ 0, 0 };
    if (!l) {
        s->is_queued = false; /* the listener has gone and with it its queue */
        return;
    }
    if (s->local_in_line) {
        local_wait_remove(l, s);
        return;
    }
    if (s->is_queued)
        listener_unqueue(l, s);
    listener_leave(l);
}

/* Gives a waiting session (counted in n_waiting, in no queue) to somebody who accepts, or lets it wait. Without memory for it
 * anywhere it is left without FIFOs. */
void listener_offer(struct worker *w, struct listener *l, struct session *s)
{
    struct app_worker *a = listener_pick(l);
    int err = -ENOBUFS;

    if (!a && has_full(l)) {
        l->is_full = true;
        tend_later(l, w->now_us + TEND_US);
    }
    if (s->local) {
        local_offer(w, l, s, a);
        return;
    }
    s->app = NULL;
    if (a && acceptor_find(l, a)->arm == SESSION_ARM_WEAK)
        a = NULL; /* it waits here until somebody really accepts: a master process never does */
    if (a)
        err = s->has_fifos ? session_fifos_move(w, s, a, false) : session_fifos_make(w, s, a);
    if (err == 0)
        err = session_hold_add(s, a);
    if (err == 0) {
        s->app = a;
        listener_offered(l, a, 1);
        a->ops->accept(w, a, l, s);
        return;
    }
    if (!s->has_fifos && session_fifos_make(w, s, NULL) != 0)
        return;
    listener_enqueue(l, s); /* until the next worker arms */
    if (a) { /* or there is memory for it */
        l->is_full = true;
        tend_later(l, w->now_us + TEND_US);
    }
}

/* ---- offers that are not taken ----
 *
 * A program may sleep in a lock of its own until it is its turn to accept, or serve somebody, while another one waits for connections: what it
 * was offered and has not taken is offered anew, and the other is asked first. */

/* Up to max offers that a program has not taken, oldest first. Of a program that has died those as well that it took and did not name. */
static void take_back_offers(struct worker *w, struct listener *l, struct app_worker *a, uint32_t max, bool died)
{
    struct acceptor *x = acceptor_find(l, a);
    uint32_t n = x ? x->n_offered : 0, left = n;
    struct session_hold *h = a->holds, *oldest = NULL, *newer;

    for (; h && left; h = h->app_next) { /* new ones come first */
        if (!session_is_unnamed(h->s) || listener_of_session(w, h->s->origin) != l)
            continue;
        oldest = h;
        left--;
    }
    if (x)
        x->n_offered -= left; /* they have ended */
    for (h = oldest; h && max && n > left; h = newer) {
        struct session *s = h->s;
        newer = h->app_prev;
        if (!session_is_unnamed(s) || listener_of_session(w, s->origin) != l)
            continue;
        n--;
        if (!died && a->ops->withdraw && !a->ops->withdraw(w, a, s))
            continue;
        session_return(w, a, s);
        max--;
    }
}

/* Does another one wait for a connection? For a long time untaken, it may be anyone's who is no worse off. */
static bool is_wanted(const struct listener *l, const struct acceptor *x)
{
    int worst = is_slow(l, x) ? hs_min_u32((uint32_t)rank_of(l, x), RANK_QUIET) : RANK_ACCEPTS;

    for (const struct acceptor *o = l->acceptors; o; o = o->next) {
        if (o != x && !o->n_offered && rank_of(l, o) <= worst)
            return true;
    }
    return false;
}

static void offer_queue(struct worker *w, struct listener *l)
{
    l->is_full = false;
    for (uint32_t n = l->n_waiting; n > 0 && l->queue && !l->is_full; n--)
        listener_offer(w, l, listener_dequeue(l));
}

static void tend(struct worker *w, struct timer_node *t)
{
    struct listener *l = hs_container_of(t, struct listener, tend_timer);
    uint64_t longest_us = 0;
    bool is_any = l->is_full;

    for (struct acceptor *x = l->acceptors, *next; x; x = next) {
        uint64_t for_us = w->now_us - x->offered_us;
        next = x->next;
        if (!x->n_offered)
            continue;
        is_any = true;
        longest_us = for_us > longest_us ? for_us : longest_us;
        if (for_us < TEND_US || !is_wanted(l, x))
            continue;
        l->passed_over = x;
        take_back_offers(w, l, x->a, 1, false);
        l->passed_over = NULL;
    }
    if (l->is_full)
        offer_queue(w, l);
    if (is_any)
        tend_later(l, w->now_us + (longest_us < LONG_US ? TEND_US : 10 * TEND_US));
}

/* Nobody else could take what a single one has been offered. */
static void tend_later(struct listener *l, uint64_t at_us)
{
    if (!l->acceptors || (!l->acceptors->next && !l->is_full) || timer_is_running(&l->tend_timer))
        return;
    l->tend_timer.fire = tend;
    timer_start(&l->w->timers, &l->tend_timer, at_us);
}

void session_listener_arm(struct worker *w, struct app_worker *a, struct session *ls, uint32_t ctx, enum session_arm arm)
{
    if (!ls->listener || ls->state != SESSION_LISTENING)
        return;
    listener_replicate_arm(w, ls->listener, a, ctx, arm);
    listener_arm(w, ls->listener, a, ctx, arm);
}

void listener_arm(struct worker *w, struct listener *l, struct app_worker *a, uint32_t ctx, enum session_arm arm)
{
    struct acceptor *x = acceptor_find(l, a);

    if (arm == SESSION_ARM_OFF) {
        listener_unarm(w, l, a, false);
        return;
    }
    if (!x) {
        x = calloc(1, sizeof(*x));
        if (!x)
            return; /* it is given nothing; others are */
        x->a = a;
        x->ctx = ctx;
        x->next = l->acceptors;
        l->acceptors = x;
    } else if (x->arm == SESSION_ARM_ON) {
        return;
    }
    x->arm = arm;
    if (arm == SESSION_ARM_ON) {
        for (struct acceptor *o = l->acceptors; o; o = o->next) {
            if (o->arm == SESSION_ARM_WEAK)
                take_back_offers(w, l, o->a, UINT32_MAX, false);
        }
        tend_later(l, w->now_us); /* what others do not take */
    }
    offer_queue(w, l);
}

/* What it has taken and not named yet it names soon: it is counted until then. */
void listener_unarm(struct worker *w, struct listener *l, struct app_worker *a, bool died)
{
    struct acceptor *x = acceptor_find(l, a);

    if (!x)
        return;
    x->arm = SESSION_ARM_OFF;
    take_back_offers(w, l, a, UINT32_MAX, died);
    x = acceptor_find(l, a);
    if (x && (died || !x->n_offered))
        acceptor_remove(l, a);
}
