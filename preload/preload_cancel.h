/* preload_cancel.h - calls on sockets of the stack are cancellation points, as those on the kernel's are (pthreads(7))
 *
 *   pthread_cancel() -> libc's; then the thread's `news`, and its sleep in the stack is interrupted
 *   a call           -> preload_cancel_point(): ends the thread at once, before anything is done
 *   its sleep        -> vcl_is_interrupted() -> preload_cancel_is_due(): -ECANCELED goes the way of every error, so that all locks and
 *                       references are given back; preload_result() then lets the thread end
 *   libc's own calls that we make while something is held: LIBC_UNCANCELLED(), with cancellation off;
 *                       or, where the kernel may sleep for long, between PRELOAD_KERNEL_SLEEP()'s clean-up handlers.
 *
 * Owner:  each thread its own struct preload_cancel, linked under preload.cancel.lock from its first call on a socket of ours to its end.
 * Thread: is_due and came are also read and written by who cancels, under the lock.
 * Errors: none; a thread that may not be cancelled now goes on. */
#ifndef HOSTSTACK_PRELOAD_PRELOAD_CANCEL_H
#define HOSTSTACK_PRELOAD_PRELOAD_CANCEL_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/single_threaded.h>
#include "common/types.h"
#include "vcl/vcl_sleep.h"

struct fd_file;

enum preload_cancel_news {
    CANCEL_UNKNOWN, /* the thread's first call */
    CANCEL_NONE,    /* nothing to do: the only state that calls do not look closer at */
    CANCEL_LOOK,
    CANCEL_ENDING,  /* its destructors run */
};

struct preload_cancel {
    _Atomic uint8_t news;       /* enum preload_cancel_news */
    atomic_bool came;           /* pthread_cancel() has named it */
    bool is_async;              /* PTHREAD_CANCEL_ASYNCHRONOUS */
    bool must_end;              /* preload_result() has something to do */
    unsigned held;              /* calls of an asynchronous thread that have turned cancellation off ... */
    int state;                  /* ... and what it was */
    pthread_t thread;
    struct preload_cancel *next, *prev;
};
extern _Thread_local struct preload_cancel preload_cancel;

/* In struct preload. */
struct preload_cancels {
    pthread_mutex_t lock;
    struct preload_cancel *threads;
    pthread_key_t key;
    bool has_key;
};

void preload_cancel_start(void);
void preload_cancel_fork_child(void);
void preload_cancel_look(struct fd_file *f);
long preload_cancel_end(long r);

/* At the begin of a call that is a cancellation point, with a reference of f (or NULL) and nothing else held. Must be paired with a
 * preload_result(), after everything was given back. */
static inline void preload_cancel_point(struct fd_file *f)
{
    if (hs_unlikely(atomic_load_explicit(&preload_cancel.news, memory_order_relaxed) != CANCEL_NONE))
        preload_cancel_look(f);
}

/* Around what must not be left half-done: `PRELOAD_UNCANCELLED;` holds until the end of the block. */
static inline int preload_cancel_off(void)
{
    int state;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
    return state;
}
static inline void preload_cancel_restore(const int *state) { pthread_setcancelstate(*state, NULL); }
#define PRELOAD_UNCANCELLED __attribute__((cleanup(preload_cancel_restore), unused)) const int preload_cancel_was = preload_cancel_off()

/* A call of the kernel's that may sleep while f is held (or whatever `undo` gives back): cancelled there, undo(arg) runs. */
void preload_cancel_drop(void *f);
/* Back to what an asynchronous thread had. Cancelled meanwhile, it would end at once, but without its result being PTHREAD_CANCELED (glibc 2.36):
 * that pthread_setcanceltype() sees to. */
void preload_cancel_back(int state);
/* An asynchronous thread sleeps in the kernel with cancellation on. */
static inline void preload_cancel_let(void)
{
    if (hs_unlikely(preload_cancel.held))
        preload_cancel_back(preload_cancel.state);
}
static inline void preload_cancel_hold(void)
{
    if (hs_unlikely(preload_cancel.held))
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}
/* A call of the kernel's by its number, which a signal that is held back ends with -EINTR (vcl_sleep.h), and pthread_cancel() at once. The
 * only thread has nobody who could cancel it while it sleeps; one that has cancelled itself did not come past preload_cancel_point(). */
#define PRELOAD_KERNEL_SLEEP(r, undo, arg, number, a, b, c, d, e, f)                                                              \
    do {                                                                                                                          \
        if (__libc_single_threaded) {                                                                                             \
            (r) = vcl_sleep_in(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f));                         \
            break;                                                                                                                \
        }                                                                                                                         \
        pthread_cleanup_push(undo, arg);                                                                                          \
        int kernel_sleep_type;                                                                                                    \
        preload_cancel_let();                                                                                                     \
        libc_real()->pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &kernel_sleep_type);                                      \
        (r) = vcl_sleep_in(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f));                             \
        libc_real()->pthread_setcanceltype(kernel_sleep_type, NULL);                                                              \
        preload_cancel_hold();                                                                                                    \
        pthread_cleanup_pop(0);                                                                                                   \
    } while (0)

#endif
