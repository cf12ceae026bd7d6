/* session_replica.c - listeners on several workers: a connection may arrive at any of them, so each has a copy
 *
 * The session of a listener lives on one worker (home). Its copies are made, told who accepts, and removed by worker_call_surely(), in the
 * order in which home says so. A copy knows programs only by their number: the pointer of another worker could be gone. */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include "server/local/local.h"

/* listen() is under way: the program is told when all workers have come to it. */
struct listening {
    struct session_settled x;       /* first: session_settle_fini() frees it */
    struct svm_handle handle;
    unsigned refs;                  /* atomic: copies that are to be made, and home */
    int error;                      /* atomic: why one could not be made */
};

struct replica_call {
    struct worker_sure sure;        /* first */
    struct listener like;           /* add: what the copy is like */
    struct svm_handle handle;
    const struct app_ops *ops;
    uint32_t client_id, ctx;
    enum session_arm arm;
    struct listening *listening;    /* add: NULL = an update */
};

/* That copies are to go must be said, whether there is memory at that time or not. */
struct replica_ends {
    struct svm_handle handle;
    unsigned refs;                  /* atomic: home, and workers that have not come to it */
    struct replica_end {
        struct worker_sure sure;    /* first */
        struct replica_ends *all;
    } on[WORKER_MAX];
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

/* Nothing of it gets lost when a ring is full: worker_call_surely(). */
static int call_others(struct worker *w, void (*fn)(struct worker *w, void *arg), const struct replica_call *call)
{
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
        worker_call_surely(w, w->stack->worker[i], fn, &c->sure);
    }
    return 0;
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
        local_wait_go_on(l);
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

static struct replica_ends *ends_make(struct svm_handle handle)
{
    struct replica_ends *e = calloc(1, sizeof(*e));

    if (!e)
        return NULL;
    e->handle = handle;
    for (unsigned i = 0; i < WORKER_MAX; i++)
        e->on[i].all = e;
    return e;
}

int listener_replicate(struct worker *w, struct session *s)
{
    struct listener *l = s->listener;
    struct replica_call c = { .handle = l->handle };
    int err;

    if (is_alone(w) || (s->state == SESSION_LISTENING && !l->ends)) /* there are no copies */
        return 0;
    c.like = *l;
    c.like.session = NULL;
    c.like.next = c.like.replica_next = NULL;
    c.like.acceptors = c.like.next_acceptor = NULL;
    c.like.queue = NULL;
    c.like.n_half_open = c.like.n_waiting = 0;
    c.like.ends = NULL;
    if (s->state == SESSION_LISTENING) { /* an update, nobody waits for it */
        return call_others(w, add, &c);
    }
    if (!l->ends)
        l->ends = ends_make(l->handle);
    c.listening = l->ends ? malloc(sizeof(*c.listening)) : NULL;
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

static void ends_put(struct replica_ends *e)
{
    if (__atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) == 0)
        free(e);
}

static void end(struct worker *w, void *arg)
{
    struct replica_ends *e = ((struct replica_end *)arg)->all;
    struct listener *l = listener_of_session(w, e->handle);

    if (l)
        listener_destroy(w, l);
    ends_put(e);
}

void listener_replicate_end(struct worker *w, struct listener *l)
{
    struct replica_ends *e = l->ends;

    if (!e)
        return;
    l->ends = NULL;
    e->refs = w->stack->n_workers; /* ours: the last of the others may come to it before all have been told */
    for (unsigned i = 0; i < w->stack->n_workers; i++) {
        if (i != w->index)
            worker_call_surely(w, w->stack->worker[i], end, &e->on[i].sure);
    }
    ends_put(e);
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
 * the workers than one. So the calls of a round can be home's for good. */
static void settle_begin(struct worker *w);

static void settle_over(struct worker *w, void *arg)
{
    struct session_settled *x = w->session->settle.now, *next;

    (void)arg;
    w->session->settle.now = NULL;
    for (; x; x = next) {
        next = x->next;
        x->done(w, x);
    }
    if (w->session->settle.later && !w->session->settle.now)
        settle_begin(w);
}

/* Another worker: all that home has said before is done here. The last one says so. */
static void settle_heard(struct worker *w, void *arg)
{
    struct session_worker *sw = ((struct session_settle_call *)arg)->home;

    if (__atomic_sub_fetch(&sw->settle.n_left, 1, __ATOMIC_ACQ_REL) == 0)
        worker_call_surely(w, sw->settle.w, settle_over, &sw->settle.over);
}

static void settle_begin(struct worker *w)
{
    unsigned n = w->stack->n_workers;

    w->session->settle.now = w->session->settle.later;
    w->session->settle.later = NULL;
    w->session->settle.later_tail = &w->session->settle.later;
    __atomic_store_n(&w->session->settle.n_left, n - 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < n; i++) {
        if (i != w->index)
            worker_call_surely(w, w->stack->worker[i], settle_heard, &w->session->settle.call[i].sure);
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
    w->session->settle.w = w;
    w->session->settle.later_tail = &w->session->settle.later;
    for (unsigned i = 0; i < WORKER_MAX; i++)
        w->session->settle.call[i].home = w->session;
}

void session_settle_fini(struct worker *w)
{
    struct session_settled *lists[2] = { w->session->settle.now, w->session->settle.later }, *next;

    for (int i = 0; i < 2; i++) {
        for (struct session_settled *x = lists[i]; x; x = next) {
            next = x->next;
            free(x);
        }
    }
}
