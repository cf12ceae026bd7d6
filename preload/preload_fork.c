/* preload_fork.c - fork handlers, and daemon(), which forks and moves descriptors inside libc
 *
 * fork() itself stays libc's: pthread_atfork handlers also run for the fork inside daemon() and forkpty(). They are called by us when syscall()
 * makes the system call. vfork, posix_spawn and system() run none and need none: their child works on copies of real descriptors
 * (preload_is_foreign()). The library's own descriptors are close-on-exec, and with them the server sees the old image go; what goes along with
 * an exec: preload_exec.c. */
#include <assert.h>
#include <sys/prctl.h>
#include "preload/preload.h"
#include "preload/raw_call.h"

static void preload_fork_prepare(void)
{
    preload_enter();
    pthread_mutex_lock(&preload.shell.lock);
    pthread_mutex_lock(&preload.init_lock);
    pthread_mutex_lock(&preload.numbers_lock);
    pthread_mutex_lock(&preload.async.lock);
    pthread_mutex_lock(&preload.cancel.lock);
    vcl_fork_prepare();
    fd_table_fork_prepare(&preload.fds);
}

static void preload_fork_parent(void)
{
    fd_table_fork_done(&preload.fds, false);
    vcl_fork_parent();
    pthread_mutex_unlock(&preload.cancel.lock);
    pthread_mutex_unlock(&preload.async.lock);
    pthread_mutex_unlock(&preload.numbers_lock);
    pthread_mutex_unlock(&preload.init_lock);
    pthread_mutex_unlock(&preload.shell.lock);
    preload_leave();
}

static void preload_fork_child(void)
{
    atomic_store_explicit(&preload.pid, (int)syscall(SYS_getpid), memory_order_relaxed);
    fd_table_fork_done(&preload.fds, true);
    vcl_fork_child();
    pthread_mutex_init(&preload.init_lock, NULL);
    pthread_mutex_init(&preload.shell.lock, NULL);
    preload.shell.n_running = 0; /* its other threads are not here */
    pthread_mutex_init(&preload.numbers_lock, NULL);
    pthread_mutex_init(&preload.async.lock, NULL);
    preload_cancel_fork_child();
    preload_leave();
}

void preload_fork_register(void)
{
    pthread_atfork(preload_fork_prepare, preload_fork_parent, preload_fork_child);
}

long preload_fork_by_number(long number, long a, long b, long c, long d, long e)
{
    long pid;
    int error;

    if (!atomic_load_explicit(&preload.is_initialised, memory_order_acquire))
        return libc_real()->syscall(number, a, b, c, d, e, 0);
    preload_fork_prepare();
    pid = libc_real()->syscall(number, a, b, c, d, e, 0);
    error = errno;
    if (pid == 0)
        preload_fork_child();
    else
        preload_fork_parent();
    errno = error;
    return pid;
}

HS_EXPORT int hs_daemon(int nochdir, int noclose)
{
    int r = libc_real()->daemon(nochdir, noclose);
    PRELOAD_GUARD;
    /* In the child 0 to 2 are /dev/null now, by a dup2 that nobody outside of libc sees. */
    for (int fd = 0; r == 0 && !noclose && fd <= 2; fd++) {
        struct fd_file *f = fd_table_take(&preload.fds, fd);
        if (f)
            preload_drop(f);
    }
    return r;
}

/* ---- a forked child that gives up the right to open and receive descriptors (sshd's, before it speaks to the network) ----
 * What it goes on with is claimed before; afterwards reading, writing and sleeping need no other call than the program's own. */

enum { FORK_FEW_FILES = 64 };

static void preload_before_sandbox(void)
{
    PRELOAD_GUARD;
    int saved = errno;
    if (atomic_load_explicit(&preload.is_initialised, memory_order_acquire) && !preload_is_foreign()) {
        vcl_fork_claim_all();
        preload_number_own_all();
    }
    errno = saved;
}

static int limit_set(int resource, const struct rlimit *limit)
{
    if (resource == RLIMIT_NOFILE && limit && limit->rlim_cur < FORK_FEW_FILES)
        preload_before_sandbox();
    return libc_real()->setrlimit(resource, limit);
}

static int control(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    if (option == PR_SET_SECCOMP) {
        preload_before_sandbox();
        preload_signal_sandbox();
    }
    return libc_real()->prctl(option, a, b, c, d);
}

PRELOAD_BEFORE_ALL HS_EXPORT int hs_setrlimit(int resource, const struct rlimit *limit)
{
    if (!atomic_load_explicit(&preload.is_initialised, memory_order_acquire))
        return (int)preload_raw_call(SYS_prlimit64, 0, resource, (long)limit, 0, 0, 0);
    return limit_set(resource, limit);
}

PRELOAD_BEFORE_ALL HS_EXPORT int hs_setrlimit64(int resource, const struct rlimit64 *limit)
{
    static_assert(sizeof(struct rlimit) == sizeof(struct rlimit64), "64-bit machines have one");
    if (!atomic_load_explicit(&preload.is_initialised, memory_order_acquire))
        return (int)preload_raw_call(SYS_prlimit64, 0, resource, (long)limit, 0, 0, 0);
    return limit_set(resource, (const struct rlimit *)limit);
}

/* Variadic in C; on the ABIs that this is built for its arguments arrive as these do. */
PRELOAD_BEFORE_ALL HS_EXPORT int hs_prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)
{
    if (!atomic_load_explicit(&preload.is_initialised, memory_order_acquire))
        return (int)preload_raw_call(SYS_prctl, option, (long)a, (long)b, (long)c, (long)d, 0);
    return control(option, a, b, c, d);
}
