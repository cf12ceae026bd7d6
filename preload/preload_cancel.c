/* preload_cancel.c - pthread_cancel(): who is cancelled wakes, gives back what it holds, and ends */
#include "preload/preload.h"

_Thread_local struct preload_cancel preload_cancel;

/* ---- the threads that use sockets of ours ---- */

static void cancel_link(struct preload_cancel *c)
{
    c->prev = NULL;
    c->next = preload.cancel.threads;
    if (c->next)
        c->next->prev = c;
    preload.cancel.threads = c;
}

static void cancel_unlink(struct preload_cancel *c)
{
    if (c->prev)
        c->prev->next = c->next;
    else
        preload.cancel.threads = c->next;
    if (c->next)
        c->next->prev = c->prev;
}

/* The thread ends; its memory goes after this. */
static void cancel_forget(void *arg)
{
    struct preload_cancel *c = arg;
    PRELOAD_GUARD;
    pthread_mutex_lock(&preload.cancel.lock);
    cancel_unlink(c);
    atomic_store(&c->news, CANCEL_ENDING);
    pthread_mutex_unlock(&preload.cancel.lock);
}

static void cancel_know(struct preload_cancel *c)
{
    if (!preload.cancel.has_key || pthread_setspecific(preload.cancel.key, c) != 0)
        return; /* it cannot be told when the thread ends: it stays unknown, and cancelled where it does not sleep */
    c->thread = pthread_self();
    pthread_mutex_lock(&preload.cancel.lock);
    cancel_link(c);
    atomic_store(&c->news, c->is_async ? CANCEL_LOOK : CANCEL_NONE);
    pthread_mutex_unlock(&preload.cancel.lock);
}

/* ---- in a call ---- */

void preload_cancel_drop(void *f)
{
    if (f)
        preload_put(f);
}

/* Known first, tested then: a cancel that comes between the two finds the thread known. */
void preload_cancel_look(struct fd_file *f)
{
    struct preload_cancel *c = &preload_cancel;
    if (atomic_load(&c->news) == CANCEL_UNKNOWN) {
        PRELOAD_GUARD;
        cancel_know(c);
    }
    if (c->held == 0) {
        pthread_cleanup_push(preload_cancel_drop, f);
        pthread_testcancel();
        pthread_cleanup_pop(0);
    }
    if (!c->is_async)
        return;
    if (c->held++ == 0)
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &c->state);
    c->must_end = true;
}

/* Asked before a sleep. */
static bool preload_cancel_is_due(void)
{
    struct preload_cancel *c = &preload_cancel;
    int state;
    if (hs_likely(!atomic_load(&c->came)))
        return false;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    pthread_setcancelstate(state, NULL);
    if ((c->held ? c->state : state) != PTHREAD_CANCEL_ENABLE)
        return false;
    c->must_end = true;
    return true;
}

void preload_cancel_back(int state)
{
    int type;
    libc_real()->pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, &type);
    pthread_setcancelstate(state, NULL);
    libc_real()->pthread_setcanceltype(type, NULL);
}

long preload_cancel_end(long r)
{
    struct preload_cancel *c = &preload_cancel;
    if (c->held && --c->held)
        return r; /* a call within a call: of a signal handler */
    c->must_end = false;
    if (c->is_async)
        preload_cancel_back(c->state);
    pthread_testcancel();
    return r == -ECANCELED ? -EINTR : r;
}

/* ---- the calls themselves ---- */

static void cancel_tell(pthread_t thread)
{
    bool found = false;
    PRELOAD_GUARD;
    pthread_mutex_lock(&preload.cancel.lock);
    for (struct preload_cancel *c = preload.cancel.threads; c; c = c->next)
        if (pthread_equal(c->thread, thread)) {
            atomic_store(&c->came, true);
            atomic_store(&c->news, CANCEL_LOOK);
            found = true;
        }
    pthread_mutex_unlock(&preload.cancel.lock);
    if (found)
        vcl_interrupt(thread);
}

HS_EXPORT int hs_pthread_cancel(pthread_t thread)
{
    int r = libc_real()->pthread_cancel(thread);
    if (r == 0)
        cancel_tell(thread);
    return r;
}

HS_EXPORT int hs_pthread_setcanceltype(int type, int *old)
{
    struct preload_cancel *c = &preload_cancel;
    if (type == PTHREAD_CANCEL_ASYNCHRONOUS) { /* before it may happen */
        c->is_async = true;
        if (atomic_load(&c->news) == CANCEL_NONE)
            atomic_store(&c->news, CANCEL_LOOK);
    }
    int r = libc_real()->pthread_setcanceltype(type, old);
    if (r == 0 && type == PTHREAD_CANCEL_DEFERRED)
        c->is_async = false;
    return r;
}

void preload_cancel_start(void)
{
    preload.cancel.has_key = pthread_key_create(&preload.cancel.key, cancel_forget) == 0;
    vcl_on_interrupt(preload_cancel_is_due);
}

/* The other threads are the parent's. */
void preload_cancel_fork_child(void)
{
    struct preload_cancel *c = &preload_cancel;
    pthread_mutex_init(&preload.cancel.lock, NULL);
    preload.cancel.threads = NULL;
    if (atomic_load(&c->news) == CANCEL_NONE || atomic_load(&c->news) == CANCEL_LOOK)
        cancel_link(c);
}
