/* session_replica.c - listeners on several workers: a connection may arrive at any of them, so each has a copy
 *
 * The session of a listener lives on one worker (home). Its copies are made, told who accepts, and removed by worker_call(), in the order
 * in which home says so. A copy knows programs only by their number: the pointer of another worker could be gone. */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>

struct replica_call {
    struct listener like;           /* add: what the copy is like */
    struct svm_handle handle;
    const struct app_ops *ops;
    uint32_t client_id, ctx;
    enum session_arm arm;
    struct worker *home;
    unsigned *n_left;               /* add: workers that have not answered; home's memory */
    int error;
};

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
        if (worker_call(w->stack->worker[i], fn, c) != 0) {
            free(c);
            err = -ENOBUFS;
        }
    }
    return err;
}

/* Home: one copy has been made, or could not be. The last one tells the program. */
static void added(struct worker *w, void *arg)
{
    struct replica_call *c = arg;
    struct session *s = session_from_handle(w, c->handle);

    if (c->error && s)
        s->error = c->error;
    if (--*c->n_left == 0) {
        free(c->n_left);
        if (s && s->app && s->state == SESSION_LISTENING)
            s->app->ops->listening(w, s->app, s, s->error);
    }
    free(c);
}

static void add(struct worker *w, void *arg)
{
    struct replica_call *c = arg;
    const struct transport_ops *ops = transport_get(c->like.proto);
    struct listener *l = listener_of_session(w, c->handle);

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
            c->error = ops->listen ? ops->listen(w, l) : 0;
            if (c->error)
                listener_destroy(w, l);
        } else {
            c->error = -ENOMEM;
        }
    }
    if (!c->n_left || worker_call(c->home, added, c) != 0)
        free(c);
}

int listener_replicate(struct worker *w, struct session *s)
{
    const struct listener *l = s->listener;
    struct replica_call c = { .handle = l->handle, .home = w };
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
    c.n_left = malloc(sizeof(*c.n_left));
    if (!c.n_left)
        return -ENOMEM;
    *c.n_left = w->stack->n_workers - 1;
    err = call_others(w, add, &c);
    /* After a failure of some, the others' answers still count down; what is missing is told as an error now. */
    return err ? err : -EINPROGRESS;
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
    struct replica_call c = { .handle = l->handle, .ops = a->ops, .client_id = a->client_id, .ctx = ctx, .arm = how, .home = w };

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
    struct replica_call c = { .handle = l->handle, .home = w };

    if (!is_alone(w) && !transport_get(l->proto)->is_datagram && !transport_get(l->proto)->is_on_worker_0)
        (void)call_others(w, end, &c);
}
