/* vcl_interrupt.c - a thread's wait ends from outside (pthread_cancel() of preload/), with all that it holds given back
 *
 * Who interrupts first makes is_interrupted() true for that thread, then looks for its sleep here; who goes to sleep first links itself, then
 * asks is_interrupted(). Both under the worker's lock, so that one of the two sees the other. */
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"

void vcl_on_interrupt(bool (*is_interrupted)(void))
{
    vcl_process()->is_interrupted = is_interrupted;
}

bool vcl_is_interrupted(void)
{
    bool (*ask)(void) = vcl_process()->is_interrupted;

    return hs_unlikely(ask != NULL) && ask();
}

void vcl_sleeper_link(struct vcl_worker *w, struct vcl_sleeper *sl, int fd, struct vcl_set *set)
{
    *sl = (struct vcl_sleeper){ .next = w->sleepers, .thread = pthread_self(), .fd = fd, .set = set };
    if (sl->next)
        sl->next->prev = sl;
    w->sleepers = sl;
}

void vcl_sleeper_unlink(struct vcl_worker *w, struct vcl_sleeper *sl)
{
    if (sl->prev)
        sl->prev->next = sl->next;
    else
        w->sleepers = sl->next;
    if (sl->next)
        sl->next->prev = sl->prev;
    if (!sl->woken || !sl->set)
        return;
    vcl_lock_take(&sl->set->lock);
    sl->set->n_interrupts--;
    vcl_lock_give(&sl->set->lock);
}

static void ring(int fd)
{
    uint64_t one = 1;

    if (sys_write(fd, &one, sizeof(one)) < 0)
        return; /* full: it is readable */
}

/* epoll wakes any of the threads that sleep in a set: its descriptor stays readable until the right one is awake. */
static void wake_sleeper(struct vcl_sleeper *sl)
{
    sl->woken = true;
    if (!sl->set) {
        if (sl->fd >= 0)
            ring(sl->fd);
        return;
    }
    vcl_lock_take(&sl->set->lock);
    sl->set->n_interrupts++;
    sl->set->wake_pending = true;
    ring(sl->set->wake_fd);
    vcl_lock_give(&sl->set->lock);
}

void vcl_interrupt(pthread_t thread)
{
    for (struct vcl_worker *w = vcl_process()->workers; w; w = w->next) {
        pthread_mutex_lock(&w->lock);
        for (struct vcl_sleeper *sl = w->sleepers; sl; sl = sl->next)
            if (pthread_equal(sl->thread, thread) && !sl->woken)
                wake_sleeper(sl);
        pthread_mutex_unlock(&w->lock);
    }
}
