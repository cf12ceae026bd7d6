/* session_replica.c - listeners on several workers: a connection may arrive at any of them, so each has a copy
 *
 * The session of a listener lives on one worker (home). Its copies are made, told who accepts, and removed by worker_call(), in the order
 * in which home says so. A copy knows programs only by their number: the pointer of another worker could be gone. */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>

/* listen() is under way: the program is told when all workers have come to it. */
struct listening {
    struct session_settled x;       /* first: session_settle_fini() frees it */
    struct svm_handle handle;
    unsigned refs;                  /* atomic: copies that are to be made, and home */
    int error;                      /* atomic: why one could not be made */
};

struct replica_call {
    struct listener like;           /* add: what the copy is like */
    struct svm_handle handle;
    const struct app_ops *ops;
    uint32_t client_id, ctx;
    enum session_arm arm;
    struct listening *listening;    /* add: NULL = an update */
};

static void settle_ask(struct worker *w, struct session_settled *x);

static void listening_put(struct listening *g)
{
    if (__atomic_sub_fetch(&g->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(g);
}

static bool is_alone(const struct worker *w)
{
    return w->stack->n_workers == 1;
}

/* Rings of commands are emptied at every turn of their worker: a full one is a worker that has stopped. Said in the log by the caller. */
static int call_others(struct worker *w, void (*fn)(struct worker *w, void *arg), const struct replica_call *call)
{
    int err = 0;

    for (unsigned i = 0; i < w->stack->n_workers; i++) {
        struct replica_call *c;
        if (i == w->index)
            continue;
        c = malloc(sizeof(*c));
        if (!c)
            return -ENOMEM;
        *c = *call;
        if (c->listening)
            __atomic_add_fetch(&c->listening->refs, 1, __ATOMIC_RELAXED);
        if (worker_call(w->stack->worker[i], fn, c) != 0) {
            if (call->listening)
                listening_put(call->listening);
            free(c);
            err = -ENOBUFS;
        }
    }
    return err;
}

static void add(struct worker *w, void *arg)
{
    struct replica_call *c = arg;
    const struct transport_ops *ops = transport_get(c->like.proto);
    struct listener *l = listener_of_session(w, c->handle);
    int err = 0;

    if (l) { /* again: its options or backlog have changed */
        l->backlog = c->like.backlog;
        l->layer_cfg = c->like.layer_cfg;
        l->dev = c->like.dev;
        l->attrs = c->like.attrs;
    } else {
        l = listener_insert(w, &c->like);
        if (l) {
            l->replica_next = w->session->replicas;
            w->session->replicas = l;
            err = ops->listen ? ops->listen(w, l) : 0;
            if (err)
                listener_destroy(w, l);
        } else {
            err = -ENOMEM;
        }
    }
    if (c->listening) {
        if (err)
            __atomic_store_n(&c->listening->error, err, __ATOMIC_RELAXED); /* released by what tells home that we have come to it */
        listening_put(c->listening);
    }
    free(c);
}

static void listen_over(struct worker *w, struct session_settled *x)
{
    struct listening *g = hs_container_of(x, struct listening, x);
    struct session *s = session_from_handle(w, g->handle);
    int err = __atomic_load_n(&g->error, __ATOMIC_RELAXED);

    listening_put(g);
    if (!s || !s->app || s->state != SESSION_LISTENING)
        return;
    if (err)
        s->error = err;
    s->app->ops->listening(w, s->app, s, s->error);
}

int listener_replicate(struct worker *w, struct session *s)
{
    const struct listener *l = s->listener;
    struct replica_call c = { .handle = l->handle };
    int err;

    if (is_alone(w))
        return 0;
    c.like = *l;
    c.like.session = NULL;
    c.like.next = c.like.replica_next = NULL;
    c.like.acceptors = c.like.next_acceptor = NULL;
    c.like.queue = NULL;
    c.like.n_half_open = c.like.n_waiting = 0;
    if (s->state == SESSION_LISTENING) { /* an update, nobody waits for it */
        return call_others(w, add, &c);
    }
    c.listening = malloc(sizeof(*c.listening));
    if (!c.listening)
        return -ENOMEM;
    *c.listening = (struct listening){ .x.done = listen_over, .handle = l->handle, .refs = 1 };
    err = call_others(w, add, &c);
    if (err) {
        listening_put(c.listening);
        return err;
    }
    settle_ask(w, &c.listening->x);
    return -EINPROGRESS;
}

static void arm(struct worker *w, void *arg)
{
    struct replica_call *c = arg;
    struct listener *l = listener_of_session(w, c->handle);
    struct app_worker *a = l && c->ops->on_worker ? c->ops->on_worker(w, c->client_id) : NULL;

    if (l && a)
        listener_arm(w, l, a, c->ctx, c->arm);
    free(c);
}

void listener_replicate_arm(struct worker *w, const struct listener *l, const struct app_worker *a, uint32_t ctx, enum session_arm how)
{
    struct replica_call c = { .handle = l->handle, .ops = a->ops, .client_id = a->client_id, .ctx = ctx, .arm = how };

    if (!is_alone(w))
        (void)call_others(w, arm, &c); /* without memory this program is given the connections of this worker only */
}

static void end(struct worker *w, void *arg)
{
    struct replica_call *c = arg;
    struct listener *l = listener_of_session(w, c->handle);

    if (l)
        listener_destroy(w, l);
    free(c);
}

void listener_replicate_end(struct worker *w, const struct listener *l)
{
    struct replica_call c = { .handle = l->handle };

    if (!is_alone(w) && !transport_get(l->proto)->is_datagram && !transport_get(l->proto)->is_on_worker_0)
        (void)call_others(w, end, &c);
}

/* A worker that stopped with the word that a listener is to have a copy still in its ring makes it when that is emptied: its session may have gone
 * by then. */
void listener_replicas_end(struct worker *w)
{
    while (w->session->replicas)
        listener_destroy(w, w->session->replicas);
}

/* ---- has everybody heard? ---- */

/* One round at a time, for all who have asked until it begins: a client that sets options without end takes no more room in the rings of
 * the workers than one. */
enum { SETTLE_LOOK_US = 100000 }; /* home's ring may have had no room for the word that it is over */

static void settle_begin(struct worker *w);

static void settle_end(struct worker *w)
{
    struct session_settled *x = w->session->settle.now, *next;

    if (!x || __atomic_load_n(&w->session->settle.n_left, __ATOMIC_ACQUIRE) > 0) /* acquire: pairs with settle_heard() */
        return;
    w->session->settle.now = NULL;
    timer_stop(&w->session->settle.timer, &w->timers);
    for (; x; x = next) {
        next = x->next;
        x->done(w, x);
    }
    if (w->session->settle.later && !w->session->settle.now)
        settle_begin(w);
}

static void settle_over(struct worker *w, void *arg)
{
    (void)arg;
    settle_end(w);
}

static void settle_look(struct worker *w, struct timer_node *t)
{
    timer_start(&w->timers, t, w->now_us + SETTLE_LOOK_US);
    settle_end(w);
}

static bool is_last_to_hear(struct worker *home)
{
    return __atomic_sub_fetch(&home->session->settle.n_left, 1, __ATOMIC_ACQ_REL) == 0;
}

/* Another worker: all that home has said before is done here. */
static void settle_heard(struct worker *w, void *arg)
{
    struct worker *home = arg;

    (void)w;
    if (is_last_to_hear(home))
        (void)worker_call(home, settle_over, NULL); /* no room: settle_look() */
}

static void settle_begin(struct worker *w)
{
    unsigned n = w->stack->n_workers;

    w->session->settle.now = w->session->settle.later;
    w->session->settle.later = NULL;
    w->session->settle.later_tail = &w->session->settle.later;
    timer_start(&w->timers, &w->session->settle.timer, w->now_us + SETTLE_LOOK_US);
    __atomic_store_n(&w->session->settle.n_left, n - 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < n; i++) {
        if (i != w->index && worker_call(w->stack->worker[i], settle_heard, w) != 0)
            (void)is_last_to_hear(w); /* it has stopped; the change itself has not come to it, either */
    }
}

static void settle_ask(struct worker *w, struct session_settled *x)
{
    x->next = NULL;
    *w->session->settle.later_tail = x;
    w->session->settle.later_tail = &x->next;
    if (!w->session->settle.now)
        settle_begin(w);
}

bool session_settle(struct worker *w, const struct session *s, struct session_settled *x)
{
    if (is_alone(w) || s->state != SESSION_LISTENING || s->ops->is_on_worker_0)
        return false;
    settle_ask(w, x);
    return true;
}

void session_settle_init(struct worker *w)
{
    w->session->settle.later_tail = &w->session->settle.later;
    w->session->settle.timer.fire = settle_look;
}

void session_settle_fini(struct worker *w)
{
    struct session_settled *lists[2] = { w->session->settle.now, w->session->settle.later }, *next;

    timer_stop(&w->session->settle.timer, &w->timers);
    for (int i = 0; i < 2; i++) {
        for (struct session_settled *x = lists[i]; x; x = next) {
            next = x->next;
            free(x);
        }
    }
}
