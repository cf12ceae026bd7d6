/* vcl_lock.h - the lock of a direction of a socket, or of a set: two instructions where nobody else can be, an atomic one each way where somebody can
 *
 * A program of one thread pays no atomic read-modify-write, and no call. libc tells (__libc_single_threaded), and says "several" before the
 * second thread exists. The word is the same either way, so that a lock may be taken in a program of one thread and given back in one of
 * several: pthread_create() orders the word before all that the new thread does. Who may not create threads here, a signal handler between
 * the look at libc's word and the store, may not by POSIX either.
 * Owner:  embedded. A fork's child makes it anew (zero is free): its holder may be a thread of the parent.
 * Thread: any; not recursive.
 * Errors: none; errno stays as it is. */
#ifndef HOSTSTACK_VCL_VCL_LOCK_H
#define HOSTSTACK_VCL_VCL_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/single_threaded.h>
#include "common/types.h"

enum vcl_lock_word { VCL_LOCK_FREE, VCL_LOCK_TAKEN, VCL_LOCK_AWAITED /* taken, and somebody sleeps for it */ };

struct vcl_lock {
    atomic_uint word; /* enum vcl_lock_word */
};

void vcl_lock_await(struct vcl_lock *l);
void vcl_lock_wake(struct vcl_lock *l);

static inline void vcl_lock_init(struct vcl_lock *l) { atomic_init(&l->word, VCL_LOCK_FREE); }

static inline void vcl_lock_take(struct vcl_lock *l)
{
    unsigned free = VCL_LOCK_FREE;

    if (hs_likely(__libc_single_threaded) && hs_likely(atomic_load_explicit(&l->word, memory_order_relaxed) == VCL_LOCK_FREE)) {
        atomic_store_explicit(&l->word, VCL_LOCK_TAKEN, memory_order_relaxed);
        atomic_signal_fence(memory_order_acquire);
        return;
    }
    /* Acquire: pairs with the release in vcl_lock_give(). */
    if (hs_unlikely(!atomic_compare_exchange_strong_explicit(&l->word, &free, VCL_LOCK_TAKEN, memory_order_acquire, memory_order_relaxed)))
        vcl_lock_await(l);
}

static inline void vcl_lock_give(struct vcl_lock *l)
{
    /* A second thread may have come since it was taken, and sleep for it: then libc's word has changed before. */
    if (hs_likely(__libc_single_threaded))
        atomic_store_explicit(&l->word, VCL_LOCK_FREE, memory_order_release);
    else if (hs_unlikely(atomic_exchange_explicit(&l->word, VCL_LOCK_FREE, memory_order_release) == VCL_LOCK_AWAITED))
        vcl_lock_wake(l);
}

#endif
