/* vcl_sleep.h - sleeping in the kernel while signals are held back (preload/preload_signal.h)
 *
 * Who holds a signal back for this thread sets vcl_held.came, and must get the thread out of a sleep that it is about to begin: in the
 * instructions from vcl_sleep_first on, before vcl_sleep_last, the kernel has not been asked yet. A handler that finds the thread there lets it
 * go on at vcl_sleep_over, and the call ends with -EINTR as one that has slept does. Nothing is lost, and nothing need be told to the kernel.
 *
 * Owner:  each thread its own; without preload/ nobody sets it.
 * Thread: the own one, and handlers in it.
 * Errors: >= 0 or -errno. */
#ifndef HOSTSTACK_VCL_VCL_SLEEP_H
#define HOSTSTACK_VCL_VCL_SLEEP_H

#include <signal.h>
#include "vcl/vcl_sys.h"

struct vcl_held {
    volatile sig_atomic_t came; /* a signal waits until the library holds nothing: waits end with -EINTR */
    unsigned patient;           /* but not in a wait that must not be left half-done */
    unsigned depth;             /* calls of preload/ that hold something, one within another: handlers wait */
};
extern __attribute__((visibility("hidden"), tls_model("initial-exec"))) _Thread_local struct vcl_held vcl_held;

__attribute__((visibility("hidden"))) long vcl_sleep_call(const volatile sig_atomic_t *came, long number, long a, long b, long c, long d, long e,
                                                          long f);
extern __attribute__((visibility("hidden"))) const char vcl_sleep_first[], vcl_sleep_last[], vcl_sleep_over[];

static inline long vcl_sleep_in(long number, long a, long b, long c, long d, long e, long f)
{
    static const volatile sig_atomic_t never;

    return vcl_sleep_call(vcl_held.patient ? &never : &vcl_held.came, number, a, b, c, d, e, f);
}
/* timeout is not changed. */
static inline int vcl_sleep_poll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    struct timespec left = timeout ? *timeout : (struct timespec){ 0, 0 };

    return (int)vcl_sleep_in(SYS_ppoll, (long)fds, (long)n, (long)(timeout ? &left : NULL), (long)mask, VCL_KERNEL_SIGSET, 0);
}
static inline int vcl_sleep_epoll(int epfd, struct epoll_event *ev, int max, const struct timespec *timeout, const sigset_t *mask)
{
    int n;

#ifdef SYS_epoll_pwait2
    n = (int)vcl_sleep_in(SYS_epoll_pwait2, epfd, (long)ev, max, (long)timeout, (long)mask, VCL_KERNEL_SIGSET);
    if (n != -ENOSYS)
        return n;
#endif
    n = sys_epoll_ms(timeout);
    return (int)vcl_sleep_in(SYS_epoll_pwait, epfd, (long)ev, max, n, (long)mask, VCL_KERNEL_SIGSET);
}

#endif
