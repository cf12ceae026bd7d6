/* preload_signal.h - the program's signal handlers run where the library holds nothing, as on the kernel they run where no call is going on
 *
 *   sigaction()    the kernel gets signal_arrives() in the handler's place; the program's own is kept here
 *   a signal       no call of the library runs: the handler, at once
 *                  else it is held back: all such signals are blocked, this one is sent to the thread again, a sleep ends (vcl_sleep.h)
 *   preload_leave()  the outermost: the mask is what it was, and the kernel delivers. The handler may do what it likes: call us, or never return
 *   SA_RESTART     the call is made again from its beginning, or ends with EINTR: by what the handlers that ran have asked for
 *
 * A fault of the thread's own (SIGSEGV by a bad address) cannot wait: its handler runs at once, and must not leave by a jump.
 *
 * Owner:  each thread its own struct preload_signal.
 * Thread: the own one, and handlers in it.
 * Errors: none. */
#ifndef HOSTSTACK_PRELOAD_PRELOAD_SIGNAL_H
#define HOSTSTACK_PRELOAD_PRELOAD_SIGNAL_H

#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include "common/types.h"
#include "vcl/vcl_sleep.h"

struct preload_signal {
    bool has_refused;           /* a handler without SA_RESTART has run */
    bool has_temporary;
    bool has_sandbox;           /* no calls but what it needs are allowed here: handlers run at once */
    uint64_t mask;              /* while signals are held back: what the thread's was, ... */
    uint64_t blocked;           /* ... and which are */
    siginfo_t first;            /* a real-time signal that was held back, before all others of its number that are queued; si_signo 0: none */
    uint64_t temporary;         /* ppoll()'s, pselect()'s, epoll_pwait()'s: signals that end those are delivered under it */
};
extern _Thread_local struct preload_signal preload_signal;

void preload_signal_deliver(void);

/* Around all that must not be left by a jump, nor be interrupted by calls on the same. May be nested. */
static inline void preload_enter(void)
{
    vcl_held.depth++;
    atomic_signal_fence(memory_order_seq_cst);
}
static inline void preload_leave(void)
{
    atomic_signal_fence(memory_order_seq_cst);
    vcl_held.depth--;
    atomic_signal_fence(memory_order_seq_cst); /* who comes now is not held back; who came before is seen */
    if (hs_unlikely(vcl_held.came) && vcl_held.depth == 0)
        preload_signal_deliver();
}
static inline void preload_guard_over(const char *guard)
{
    (void)guard;
    preload_leave();
}
/* Until the end of the block. No thread may end in it. */
#define PRELOAD_GUARD                                                                    \
    __attribute__((cleanup(preload_guard_over), unused)) const char preload_guard = 0;   \
    preload_enter()

static inline void preload_mask_begin(const sigset_t *mask)
{
    if (hs_likely(!mask))
        return;
    memcpy(&preload_signal.temporary, mask, sizeof(preload_signal.temporary));
    preload_signal.has_temporary = true;
}
/* Before the preload_leave() that follows. */
static inline void preload_mask_end(const sigset_t *mask)
{
    if (hs_unlikely(mask) && !vcl_held.came)
        preload_signal.has_temporary = false;
}

/* What a call returns that handlers have interrupted, and that is to be made again if they ask for it. */
enum { PRELOAD_RESTART = -5000 };

void preload_signal_sandbox(void);

#endif
