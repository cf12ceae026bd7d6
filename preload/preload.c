/* preload.c - the process's context: lazy start, release of files, and what both sides of a socket share */
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include "preload/preload.h"

static void preload_release(struct fd_file *f);

struct preload preload = {
    .fds = { .lock = PTHREAD_MUTEX_INITIALIZER, .release = preload_release },
    .init_lock = PTHREAD_MUTEX_INITIALIZER,
    .numbers_lock = PTHREAD_MUTEX_INITIALIZER,
    .tls = { .lock = PTHREAD_MUTEX_INITIALIZER },
    .async = { .lock = PTHREAD_MUTEX_INITIALIZER },
    .cancel = { .lock = PTHREAD_MUTEX_INITIALIZER },
    .shell = { .lock = PTHREAD_MUTEX_INITIALIZER },
};

static void preload_start(void)
{
    atomic_store_explicit(&preload.pid, (int)syscall(SYS_getpid), memory_order_relaxed);
    const char *report = getenv("HOSTSTACK_REPORT");
    preload.report = report && *report && strcmp(report, "0") != 0;
    preload_fork_register();
    preload_cancel_start();
    if (preload.report)
        atexit(preload_report_exit);
    preload_tls_start();
    preload.broken = vcl_process_init() < 0;
    if (preload.broken) {
        static _Atomic bool said;
        preload_log_once(&said, preload.tls.on ? "the configuration cannot be used, and TLS is asked for: no TCP socket will work"
                                               : "the configuration cannot be used; this program stays on the kernel's stack");
    }
}

bool preload_init(void)
{
    if (hs_likely(atomic_load_explicit(&preload.is_initialised, memory_order_acquire)))
        return !preload.broken;
    PRELOAD_GUARD;
    PRELOAD_UNCANCELLED; /* files are read, and libc allocates */
    pthread_mutex_lock(&preload.init_lock);
    if (!atomic_load_explicit(&preload.is_initialised, memory_order_relaxed)) {
        preload_start();
        atomic_store_explicit(&preload.is_initialised, true, memory_order_release);
    }
    pthread_mutex_unlock(&preload.init_lock);
    return !preload.broken;
}

static void preload_release(struct fd_file *f)
{
    if (f->kind == FD_SOCKET)
        preload_socket_release(f);
    else if (f->kind == FD_EPOLL)
        preload_epoll_release(f);
}

bool preload_timeout(struct fd_file *f, int option, struct timespec *out)
{
    struct timeval tv = { 0 };
    socklen_t len = sizeof(tv);
    if (vcl_getsockopt(f->sock.vcl, SOL_SOCKET, option, &tv, &len) < 0 || (!tv.tv_sec && !tv.tv_usec))
        return false;
    *out = (struct timespec){ .tv_sec = tv.tv_sec, .tv_nsec = tv.tv_usec * 1000 };
    return true;
}

int preload_wait_both(int fd, struct fd_file *f, short events, int timeout_option)
{
    struct timespec ts;
    bool has_timeout = preload_timeout(f, timeout_option, &ts);
    struct vcl_pollfd p[2] = {
        { .socket = NULL, .fd = fd, .events = events },
        { .socket = f->sock.vcl, .fd = fd, .events = events },
    };
    bool is_both = preload_is_both(f);
    int n = vcl_poll_wait(&p[!is_both], is_both ? 2 : 1, has_timeout ? &ts : NULL, NULL);
    return n > 0 ? 0 : n == 0 ? -EAGAIN : n;
}

const struct timespec *preload_timeout_left(const struct timespec *begin, const struct timespec *timeout, struct timespec *left)
{
    struct timespec now;
    if (!timeout)
        return NULL;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t ns = (timeout->tv_sec - (now.tv_sec - begin->tv_sec)) * (int64_t)1000000000 + timeout->tv_nsec - (now.tv_nsec - begin->tv_nsec);
    *left = ns > 0 ? (struct timespec){ ns / 1000000000, ns % 1000000000 } : (struct timespec){ 0, 0 };
    return left;
}

/* A signal that is not known here: its handler was installed by the system call itself. Do all handlers ask for SA_RESTART? */
static bool preload_all_restart(void)
{
    for (int sig = 1; sig < NSIG; sig++) {
        struct sigaction sa;
        if (sig == SIGKILL || sig == SIGSTOP || sigaction(sig, NULL, &sa) < 0)
            continue;
        if (sa.sa_handler != SIG_DFL && sa.sa_handler != SIG_IGN && !(sa.sa_flags & SA_RESTART))
            return false;
    }
    return true;
}

long preload_interrupted(struct fd_file *f, int timeout_option)
{
    struct timespec ts;
    /* signal(7): with a time-out set, a socket call is never restarted. */
    if (preload_timeout(f, timeout_option, &ts))
        return -EINTR;
    return vcl_held.came ? PRELOAD_RESTART : preload_all_restart() ? 0 : -EINTR;
}

bool preload_restarts(void)
{
    if (preload_signal.has_refused || vcl_held.depth) /* within a call of the library's own that is not over: none has run yet */
        return false;
    if (preload_cancel.must_end) /* it pairs with the call's preload_cancel_point(), which comes again */
        preload_cancel_end(0);
    return true;
}

void preload_fill_sockaddr(const struct ip_endpoint *e, bool is_v6, struct sockaddr *sa, socklen_t *len)
{
    if (!sa || !len)
        return;
    struct sockaddr_storage ss;
    socklen_t full = ip_endpoint_to_sockaddr(e, is_v6, &ss);
    memcpy(sa, &ss, *len < full ? *len : full);
    *len = full; /* the full length, also when it was cut (accept(2)) */
}
