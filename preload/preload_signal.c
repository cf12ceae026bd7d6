/* preload_signal.c - handlers wait until the library holds nothing (see preload_signal.h)
 *
 * Handlers that the program installs by the system call itself, or that libc installs for itself, are not known here and run at once. */
#include <dlfcn.h>
#include <sched.h>
#include <ucontext.h>
#include "preload/preload.h"
#include "preload/raw_call.h"

typedef void (*signal_fn)(int sig, siginfo_t *info, void *context);

/* Written by sigaction(), read by handlers: each word for itself. What two threads set at once is theirs to order. */
struct signal_slot {
    _Atomic(signal_fn) fn;      /* the program's */
    _Atomic int flags;          /* as it has said them */
    atomic_bool is_spent;       /* SA_RESETHAND, and it has run */
};
static struct signal_slot signal_slots[NSIG];
static _Atomic uint64_t signal_handled;     /* those that have ever had a handler, faults left out */
static _Atomic int signal_lock;             /* the process whose thread is in sigaction(); a fork's child may find its parent's */
static _Atomic uint64_t signal_interrupts;  /* siginterrupt() */

_Thread_local struct preload_signal preload_signal;

static uint64_t bit_of(int sig) { return (uint64_t)1 << (sig - 1); }
static uint64_t faults(void)
{
    return bit_of(SIGSEGV) | bit_of(SIGBUS) | bit_of(SIGFPE) | bit_of(SIGILL) | bit_of(SIGTRAP) | bit_of(SIGSYS);
}
/* By the thread's own instruction, not by kill(). */
static bool is_fault(int sig, const siginfo_t *info) { return faults() & bit_of(sig) && info->si_code > 0; }

/* ---- a signal comes ---- */

/* About to sleep, or to sleep again: it does not. */
static void end_sleep(ucontext_t *uc)
{
#if defined(__x86_64__)
    greg_t *at = &uc->uc_mcontext.gregs[REG_RIP];
    if ((const char *)*at >= vcl_sleep_first && (const char *)*at < vcl_sleep_last)
        *at = (greg_t)vcl_sleep_over;
#elif defined(__aarch64__)
    if ((const char *)uc->uc_mcontext.pc >= vcl_sleep_first && (const char *)uc->uc_mcontext.pc < vcl_sleep_last)
        uc->uc_mcontext.pc = (unsigned long)vcl_sleep_over;
#else
#error "where a signal has come: name the register here"
#endif
}

/* Sent to the thread again, it stands behind all others of its number that are queued. What it says is kept for the one that comes next, whose
 * place is the following one's, and so on. */
static void send_again(int sig, siginfo_t *info)
{
    siginfo_t *first = &preload_signal.first;
    siginfo_t last = { .si_signo = sig, .si_code = SI_QUEUE };
    last.si_value.sival_ptr = first;
    if (sig >= SIGRTMIN && !first->si_signo) {
        *first = *info;
        info = &last;
    }
    if (syscall(SYS_rt_tgsigqueueinfo, syscall(SYS_getpid), syscall(SYS_gettid), sig, info) < 0)
        syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), sig);
}

/* The turn of another of its number has come. */
static void take_turn(int sig, siginfo_t *info)
{
    siginfo_t *first = &preload_signal.first, came = *info;
    if (hs_likely(first->si_signo != sig))
        return;
    *info = *first;
    *first = came;
    if (came.si_code == SI_QUEUE && came.si_value.sival_ptr == first)
        first->si_signo = 0; /* the last */
}

/* Several may have come at once: their handlers are on the stack one above the other, and the lowest, which comes here last, knows what the
 * mask was. One that comes later was not blocked because it had no handler yet. */
static void hold_back(int sig, siginfo_t *info, ucontext_t *uc)
{
    struct preload_signal *s = &preload_signal;
    uint64_t all = (atomic_load(&signal_handled) & ~faults()) | bit_of(sig), mask;
    int saved = errno;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, (size_t)VCL_KERNEL_SIGSET);
    memcpy(&mask, &uc->uc_sigmask, sizeof(mask));
    if (!vcl_held.came || (mask & s->blocked) != s->blocked) {
        s->mask = mask;
        s->blocked = all;
    }
    mask |= all;
    memcpy(&uc->uc_sigmask, &mask, sizeof(mask));
    end_sleep(uc);
    vcl_held.came = 1;
    send_again(sig, info);
    errno = saved;
}

static void signal_arrives(int sig, siginfo_t *info, void *context);

/* SA_RESETHAND: the kernel must not do it for a signal that is held back. False: another signal was first, and what is the default now is
 * for the kernel to do. */
static bool use_up(int sig, struct signal_slot *slot)
{
    struct sigaction now;
    int saved = errno;
    bool is_first = !atomic_exchange(&slot->is_spent, true);
    if (libc_real()->sigaction(sig, NULL, &now) == 0 && now.sa_sigaction == signal_arrives) { /* by both: the first may not have come to it */
        now.sa_handler = SIG_DFL;
        now.sa_flags = (now.sa_flags & ~SA_SIGINFO) | (atomic_load(&slot->flags) & (SA_SIGINFO | (int)SA_RESETHAND));
        libc_real()->sigaction(sig, &now, NULL);
    }
    if (!is_first)
        syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), sig);
    errno = saved;
    return is_first;
}

static void signal_arrives(int sig, siginfo_t *info, void *context)
{
    struct preload_signal *s = &preload_signal;
    struct signal_slot *slot = &signal_slots[sig];
    ucontext_t *uc = context;
    bool now = vcl_held.depth == 0 || s->has_sandbox || is_fault(sig, info);
    if (!now) {
        hold_back(sig, info, uc);
        return;
    }
    signal_fn fn = atomic_load(&slot->fn);
    int flags = atomic_load(&slot->flags), came = vcl_held.came;
    unsigned depth = vcl_held.depth;
    if (flags & (int)SA_RESETHAND && !use_up(sig, slot))
        return;
    take_turn(sig, info);
    if (hs_unlikely(info->si_code == SI_SIGIO))
        preload_async_reason(sig, info);
    /* What a fault has interrupted is as it was when its handler returns; when it does not, signals go on. */
    vcl_held.depth = 0;
    vcl_held.came = 0;
    fn(sig, info, context);
    vcl_held.depth = depth;
    vcl_held.came = came;
    s->has_refused = !(flags & SA_RESTART); /* Linux asks the first of several, whose handler is the last to run */
}

/* Nothing is held any more. A signal that was blocked but for the time of a wait is delivered under that wait's mask, as the kernel does. */
void preload_signal_deliver(void)
{
    struct preload_signal *s = &preload_signal;
    struct timespec none = { 0, 0 };
    uint64_t mask = s->mask, temporary = s->temporary;
    int saved = errno;
    s->has_refused = false;
    vcl_held.came = 0;
    if (s->has_temporary) {
        s->has_temporary = false;
        syscall(SYS_ppoll, NULL, 0, &none, &temporary, (size_t)VCL_KERNEL_SIGSET);
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, (size_t)VCL_KERNEL_SIGSET);
    if (s->first.si_signo && !(mask & bit_of(s->first.si_signo)))
        s->first.si_signo = 0; /* ignored meanwhile */
    errno = saved;
}

/* From now on the thread, and what it becomes the parent of, may not be allowed to send signals, even to itself. */
void preload_signal_sandbox(void) { preload_signal.has_sandbox = true; }

/* ---- handlers are set ---- */

static void lock(void)
{
    int pid = (int)syscall(SYS_getpid), owner = 0;
    while (!atomic_compare_exchange_strong(&signal_lock, &owner, pid)) {
        if (owner != pid) /* of the parent's thread, which is not here; free, next time */
            atomic_compare_exchange_strong(&signal_lock, &owner, 0);
        else
            sched_yield();
        owner = 0;
    }
}

static bool is_function(const struct sigaction *act)
{
    return act->sa_handler != SIG_DFL && act->sa_handler != SIG_IGN && act->sa_sigaction != signal_arrives;
}

static int set_locked(int sig, const struct sigaction *act, struct sigaction *old)
{
    struct signal_slot *slot = &signal_slots[sig];
    signal_fn fn = atomic_load(&slot->fn);
    int flags = atomic_load(&slot->flags), own = SA_SIGINFO | SA_RESETHAND;
    struct sigaction ours, was;
    if (act) {
        ours = *act;
        if (is_function(act)) {
            atomic_store(&slot->is_spent, false);
            atomic_store(&slot->flags, act->sa_flags);
            atomic_store(&slot->fn, act->sa_sigaction);
            ours.sa_sigaction = signal_arrives;
            ours.sa_flags = (act->sa_flags & ~own) | SA_SIGINFO;
            atomic_fetch_or(&signal_handled, bit_of(sig) & ~faults());
        }
    }
    if (libc_real()->sigaction(sig, act ? &ours : NULL, &was) < 0) {
        atomic_store(&slot->flags, flags);
        atomic_store(&slot->fn, fn);
        return -1;
    }
    if (was.sa_sigaction == signal_arrives) {
        was.sa_sigaction = fn;
        was.sa_flags = (was.sa_flags & ~own) | (flags & own);
    }
    if (old)
        *old = was;
    return 0;
}

static int set(int sig, const struct sigaction *act, struct sigaction *old)
{
    if (sig < 1 || sig >= NSIG)
        return libc_real()->sigaction(sig, act, old);
    PRELOAD_GUARD;
    lock();
    int r = set_locked(sig, act, old);
    atomic_store(&signal_lock, 0);
    return r;
}

/* A sanitizer's runtime sets handlers before any constructor has run. */
PRELOAD_BEFORE_ALL static int set_early(int sig, const struct sigaction *act, struct sigaction *old)
{
    int (*real)(int sig, const struct sigaction *act, struct sigaction *old) = dlsym(RTLD_NEXT, "sigaction");
    return real(sig, act, old);
}

PRELOAD_BEFORE_ALL HS_EXPORT int hs_sigaction(int sig, const struct sigaction *act, struct sigaction *old)
{
    return __atomic_load_n(&libc_calls_ready, __ATOMIC_ACQUIRE) ? set(sig, act, old) : set_early(sig, act, old);
}
PRELOAD_BEFORE_ALL HS_EXPORT int hs___sigaction(int sig, const struct sigaction *act, struct sigaction *old) { return hs_sigaction(sig, act, old); }

static sighandler_t set_plain(int sig, sighandler_t handler, int flags, bool blocks_itself)
{
    struct sigaction act = { .sa_handler = handler, .sa_flags = flags }, old;
    if (handler == SIG_ERR || sig < 1 || sig >= NSIG) {
        errno = EINVAL;
        return SIG_ERR;
    }
    if (blocks_itself)
        sigaddset(&act.sa_mask, sig);
    return hs_sigaction(sig, &act, &old) < 0 ? SIG_ERR : old.sa_handler;
}

/* signal(3): BSD's, unless siginterrupt() has said otherwise. */
HS_EXPORT sighandler_t hs_signal(int sig, sighandler_t handler)
{
    bool interrupts = sig > 0 && sig < NSIG && atomic_load(&signal_interrupts) & bit_of(sig);
    return set_plain(sig, handler, interrupts ? 0 : SA_RESTART, true);
}
HS_EXPORT sighandler_t hs_bsd_signal(int sig, sighandler_t handler) { return hs_signal(sig, handler); }
HS_EXPORT sighandler_t hs_ssignal(int sig, sighandler_t handler) { return hs_signal(sig, handler); }

HS_EXPORT sighandler_t hs___sysv_signal(int sig, sighandler_t handler)
{
    enum { OLD_INTERRUPT = 0x20000000 }; /* SA_INTERRUPT: no meaning any more, but libc's has it */
    return set_plain(sig, handler, SA_RESETHAND | SA_NODEFER | OLD_INTERRUPT, false);
}
HS_EXPORT sighandler_t hs_sysv_signal(int sig, sighandler_t handler) { return hs___sysv_signal(sig, handler); }

/* sigset(3): SIG_HOLD blocks and leaves the handler as it is; SIG_HOLD is said of what was blocked. */
HS_EXPORT sighandler_t hs_sigset(int sig, sighandler_t handler)
{
    struct sigaction old;
    sigset_t one, before;
    sigemptyset(&one);
    if (sigaddset(&one, sig) < 0)
        return SIG_ERR;
    if (handler == SIG_HOLD) {
        if (sigprocmask(SIG_BLOCK, &one, &before) < 0 || hs_sigaction(sig, NULL, &old) < 0)
            return SIG_ERR;
        return sigismember(&before, sig) ? SIG_HOLD : old.sa_handler;
    }
    sighandler_t was = set_plain(sig, handler, 0, false);
    if (was == SIG_ERR || sigprocmask(SIG_UNBLOCK, &one, &before) < 0)
        return SIG_ERR;
    return sigismember(&before, sig) ? SIG_HOLD : was;
}

HS_EXPORT int hs_siginterrupt(int sig, int interrupt)
{
    struct sigaction act;
    if (hs_sigaction(sig, NULL, &act) < 0)
        return -1;
    if (interrupt) {
        atomic_fetch_or(&signal_interrupts, bit_of(sig));
        act.sa_flags &= ~SA_RESTART;
    } else {
        atomic_fetch_and(&signal_interrupts, ~bit_of(sig));
        act.sa_flags |= SA_RESTART;
    }
    return hs_sigaction(sig, &act, NULL);
}
