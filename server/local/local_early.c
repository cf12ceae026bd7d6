/* local_early.c - cut-through connections whose connecting end has gone, or goes to another holder, before somebody accepts them
 *
 * As over a network, they are accepted, with what was written, and end, or go on. There is no program that could write it again for who
 * accepts (SVM_MSG_MOVED), or it need not be waited for: the server takes it, and offers the accepted end out of its own memory. */
#include "server/local/local_internal.h"

#include <errno.h>

bool local_is_left(const struct session *s)
{
    return s->local_moving ? !s->app || s->state == SESSION_CLOSING : !s->app && s->state == SESSION_CONNECTING;
}

struct session *local_accepted_end(struct worker *w, const struct listener *l, struct session *s)
{
    struct session *p = session_alloc(w, s->proto);

    if (!p)
        return NULL;
    p->local = true;
    p->state = SESSION_ACCEPTING;
    p->flags = (uint8_t)((l->flags & SVM_CONN_V6) | SVM_CONN_LOCAL);
    p->fib = l->fib;
    p->lcl = s->rmt;
    p->rmt = s->lcl;
    p->origin = l->handle;
    p->peer = s;
    s->peer = p;
    return p;
}

/* Its client died after p had been offered: a session in its place, with the slot. */
struct session *local_stand_in(struct worker *w, struct session *p)
{
    struct session *s = session_alloc(w, p->proto);

    if (!s)
        return NULL;
    s->local = true;
    s->state = SESSION_CLOSING;
    s->flags = p->flags;
    s->fib = p->fib;
    s->lcl = p->rmt;
    s->rmt = p->lcl;
    s->pair = p->pair;
    s->slot = p->slot;
    s->local_side = !p->local_side;
    s->peer = p;
    if (p->local_counts) { /* the backlog counts it already */
        p->local_counts = false;
        s->from = p->origin;
    }
    return s;
}

/* It was aborted, or its bytes could not be kept: who accepts it finds a reset, behind what was written. */
static void reset(struct worker *w, struct session *s, struct session *p)
{
    local_relay_push(w, s);
    local_relay_undo(w, s, p);
    p->error = -ECONNRESET;
    p->state = SESSION_DEAD;
    svm_fifo_prod_set_rst(&p->fifos->rx, -ECONNRESET);
    if (s->state == SESSION_CLOSING) {
        session_finish(w, s);
    } else {
        s->error = -ECONNRESET;
        s->state = SESSION_DEAD;
    }
}

/* They are the ends of a relay now. */
static void go_on(struct worker *w, struct session *s, struct session *p, bool is_lost)
{
    bool is_closed = s->state == SESSION_CLOSING;

    if (is_lost || (is_closed && s->linger_s == 0)) {
        reset(w, s, p);
        return;
    }
    session_tx_schedule(w, p);
    if (is_closed) {
        s->tx_fin_told = true;
        s->ops->close(w, s->conn, s->linger_s);
    } else {
        s->state = SESSION_ESTABLISHED;
        local_claims_go_on(w, s);
    }
}

int local_go_through(struct worker *w, struct listener *l, struct session *s)
{
    struct session *p = local_accepted_end(w, l, s);
    bool is_lost;
    int err = p ? local_take(w, s, &is_lost) : -ENOMEM;

    if (err != 0) {
        s->peer = NULL;
        if (p)
            session_free(w, p);
        return err;
    }
    go_on(w, s, p, is_lost);
    listener_offer(w, l, p);
    return 0;
}

void local_offer_left(struct worker *w, struct listener *l, struct session *s)
{
    int err = local_go_through(w, l, s);

    if (err == 0 || (err == -EINPROGRESS && local_wait_answer(w, l, s)))
        return;
    listener_taken(w, s);
    local_refuse(w, s, err);
}

/* What the other end's former program wrote is in a slot where its own program alone would have read it. */
int local_return_moved(struct worker *w, struct session *p)
{
    struct session *s = p->peer;

    if (p->state != SESSION_ESTABLISHED || !local_has_moved(p))
        return 0;
    if (!s)
        s = p->peer = local_stand_in(w, p);
    if (!s)
        return -ENOMEM;
    return s->state == SESSION_CLOSING ? local_end_through(w, s) : local_part(w, p);
}

int local_end_through(struct worker *w, struct session *s)
{
    struct session *p = s->peer;
    bool is_lost;
    int err = local_take(w, s, &is_lost);

    if (err == 0)
        go_on(w, s, p, is_lost);
    return err;
}
