/* worker_sure.c - calls of one worker to another that must not get lost
 *
 * While the other's ring is full the caller keeps them, in one line, and waits for nothing: its turns try again, and before it sleeps it
 * notes in the other's `awaited` that it is to be woken when there is room. */
#include <errno.h>
#include "server/worker/worker_private.h"
#include "server/worker/worker_sure.h"

static_assert(WORKER_MAX <= 32, "bits of worker_private.awaited");

void worker_call_surely(struct worker *w, struct worker *to, void (*fn)(struct worker *w, void *arg), struct worker_sure *c)
{
    struct worker_private *p = w->priv;

    if (hs_likely(!p->kept) && worker_call(to, fn, c) == 0)
        return;
    *c = (struct worker_sure){ .to = to, .fn = fn };
    if (!p->kept)
        p->kept_tail = &p->kept;
    *p->kept_tail = c;
    p->kept_tail = &c->next;
    p->n_kept++;
}

static bool post(struct worker *w, const struct worker_command *c, struct worker *to)
{
    if (worker_call(to, c->fn, c->arg) == 0)
        return true;
    __atomic_fetch_or(&to->priv->awaited, 1u << w->index, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* pairs with worker_sure_room(): either it sees our bit, or we the room */
    return worker_call(to, c->fn, c->arg) == 0;
}

/* What is at the front is nobody's any more once it has been posted. */
unsigned worker_sure_run(struct worker *w)
{
    struct worker_private *p = w->priv;
    unsigned n = 0;

    while (hs_unlikely(p->kept != NULL)) {
        struct worker_sure *c = p->kept, *next = c->next;
        if (!post(w, &(struct worker_command){ c->fn, c }, c->to))
            break;
        p->kept = next;
        p->n_sent++;
        n++;
    }
    return n;
}

void worker_sure_room(struct worker *w)
{
    uint32_t who;

    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the ring's room before the look; pairs with post() */
    if (hs_likely(!__atomic_load_n(&w->priv->awaited, __ATOMIC_RELAXED)))
        return;
    who = __atomic_exchange_n(&w->priv->awaited, 0, __ATOMIC_ACQ_REL);
    for (unsigned i = 0; i < w->stack->n_workers; i++) {
        if (who & 1u << i)
            worker_wake(w->stack->worker[i]);
    }
}

uint64_t worker_sure_mark(const struct worker *w)
{
    return w->priv->n_kept;
}

bool worker_sure_is_kept(const struct worker *w, uint64_t mark)
{
    return w->priv->n_sent < mark;
}

void worker_finish_calls(struct worker *w)
{
    while (worker_run_commands(w) > 0)
        ;
    while (w->priv->kept) {
        struct worker_sure *c = w->priv->kept;
        struct worker *to = c->to;

        w->priv->kept = c->next;
        w->priv->n_sent++;
        while (worker_run_commands(to) > 0) /* what was said before comes first */
            ;
        c->fn(to, c);
    }
}
