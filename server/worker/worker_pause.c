/* worker_pause.c - all workers held between two turns, while the control thread changes what they only read
 *
 * Addresses and routes have no locks: workers read them on every packet, and they change by hand. A pause is some tens of
 * microseconds. Only the control thread pauses, so two pauses never meet. */
#include <errno.h>
#include <sched.h>
#include "server/worker/worker_private.h"
#include "server/worker/worker_thread.h"

static void hold(struct worker *w, void *arg)
{
    struct stack_private *p = w->stack->priv;
    uint32_t turn = (uint32_t)(uintptr_t)arg;

    /* Release: what this worker wrote is seen by who changes things now; acquire: the changes are seen here. */
    __atomic_fetch_add(&p->n_held, 1, __ATOMIC_RELEASE);
    while (__atomic_load_n(&p->pause_turn, __ATOMIC_ACQUIRE) == turn)
        sched_yield();
    __atomic_fetch_sub(&p->n_held, 1, __ATOMIC_RELEASE);
}

static void wait_held(struct stack *s, unsigned n)
{
    while (__atomic_load_n(&s->priv->n_held, __ATOMIC_ACQUIRE) != n)
        sched_yield();
}

int stack_pause(struct stack *s)
{
    uint32_t turn = s->priv->pause_turn;
    unsigned n = 0;

    for (unsigned i = 0; i < s->n_workers; i++) {
        if (!worker_is_running(s->worker[i]))
            continue; /* before the start, or a test that steps its workers: nobody reads now */
        if (worker_call(s->worker[i], hold, (void *)(uintptr_t)turn) != 0) {
            wait_held(s, n);
            stack_resume(s);
            return -EAGAIN;
        }
        n++;
    }
    wait_held(s, n);
    return 0;
}

void stack_resume(struct stack *s)
{
    __atomic_fetch_add(&s->priv->pause_turn, 1, __ATOMIC_RELEASE);
    wait_held(s, 0);
}
