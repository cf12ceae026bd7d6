/* preload_shell.c - system, popen, pclose: the shell that they start is handed the program's sockets, as by fork and exec
 *
 * libc's own start it by an internal posix_spawn, whose image would not be told of them. A process that has no socket of ours calls libc's.
 * What popen() has opened is noted either way: the child of a later one must not have it (POSIX), and fclose(), too, waits for the shell. */
#include <fcntl.h>
#include <paths.h>
#include <stdlib.h>
#include <sys/wait.h>
#include "preload/preload.h"

struct preload_stream {
    struct preload_stream *next;
    FILE *stream;
    pid_t pid;  /* 0: libc's own, which waits itself */
};

static bool shell_concerns(void)
{
    return atomic_load_explicit(&preload.is_initialised, memory_order_acquire) && fd_table_next(&preload.fds, 0) >= 0 && !preload_is_foreign();
}

/* ---- system ---- */

struct shell_run {
    pid_t pid;
    sigset_t mask;
};

/* SIGINT and SIGQUIT are ignored while any thread is in a system(). */
static void shell_ignore(sigset_t *reset)
{
    struct preload_shell *s = &preload.shell;
    const struct sigaction ignore = { .sa_handler = SIG_IGN };
    pthread_mutex_lock(&s->lock);
    if (s->n_running++ == 0) {
        libc_real()->sigaction(SIGINT, &ignore, &s->sigint);
        libc_real()->sigaction(SIGQUIT, &ignore, &s->sigquit);
    }
    sigemptyset(reset); /* what the shell has by default again */
    if (s->sigint.sa_handler != SIG_IGN)
        sigaddset(reset, SIGINT);
    if (s->sigquit.sa_handler != SIG_IGN)
        sigaddset(reset, SIGQUIT);
    pthread_mutex_unlock(&s->lock);
}

static void shell_done(const struct shell_run *run)
{
    struct preload_shell *s = &preload.shell;
    pthread_mutex_lock(&s->lock);
    if (--s->n_running == 0) {
        libc_real()->sigaction(SIGINT, &s->sigint, NULL);
        libc_real()->sigaction(SIGQUIT, &s->sigquit, NULL);
    }
    pthread_mutex_unlock(&s->lock);
    pthread_sigmask(SIG_SETMASK, &run->mask, NULL);
}

static int shell_wait(pid_t pid, int *status)
{
    pid_t r;
    do
        r = waitpid(pid, status, 0);
    while (r < 0 && errno == EINTR);
    return r == pid ? 0 : -1;
}

/* Ended in its wait, a thread leaves no shell behind (POSIX). */
static void shell_cancelled(void *arg)
{
    const struct shell_run *run = arg;
    PRELOAD_UNCANCELLED;
    int status;
    kill(run->pid, SIGKILL);
    shell_wait(run->pid, &status);
    shell_done(run);
}

/* 0 or an error. */
static int shell_wait_or_end(struct shell_run *run, int *status)
{
    int r;
    pthread_cleanup_push(shell_cancelled, run);
    r = shell_wait(run->pid, status) < 0 ? errno : 0;
    pthread_cleanup_pop(0);
    return r;
}

static int shell_start(struct shell_run *run, const char *command, const sigset_t *reset)
{
    posix_spawnattr_t attr;
    int r = posix_spawnattr_init(&attr);
    if (r)
        return r;
    posix_spawnattr_setsigmask(&attr, &run->mask);
    posix_spawnattr_setsigdefault(&attr, reset);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
    r = preload_exec_shell(&run->pid, command, NULL, &attr);
    posix_spawnattr_destroy(&attr);
    return r;
}

HS_EXPORT int hs_system(const char *command)
{
    if (hs_likely(!command || !shell_concerns()))
        return libc_real()->system(command);
    struct shell_run run;
    sigset_t child, reset;
    int status = W_EXITCODE(127, 0), r;
    shell_ignore(&reset);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    pthread_sigmask(SIG_BLOCK, &child, &run.mask);
    r = shell_start(&run, command, &reset); /* one that cannot be started is as one that has ended with 127 */
    if (r == 0 && (r = shell_wait_or_end(&run, &status)) != 0)
        status = -1;
    shell_done(&run);
    if (r)
        errno = r;
    return status;
}

/* ---- popen ---- */

struct shell_mode { bool reads, writes, cloexec; };

static bool shell_mode(const char *mode, struct shell_mode *m)
{
    *m = (struct shell_mode){ 0 };
    for (; *mode; mode++)
        switch (*mode) {
        case 'r': m->reads = true; break;
        case 'w': m->writes = true; break;
        case 'e': m->cloexec = true; break;
        default: return false;
        }
    return m->reads != m->writes;
}

/* The end that the shell has as `number` may have that number already, close-on-exec. */
static int shell_end_elsewhere(int *end, int number)
{
    if (*end != number)
        return 0;
    int fresh = libc_real()->fcntl(number, F_DUPFD_CLOEXEC, (void *)(intptr_t)(STDERR_FILENO + 1));
    if (fresh < 0)
        return errno;
    LIBC_UNCANCELLED(close)(number);
    *end = fresh;
    return 0;
}

/* 0 or an error. shell.lock held: no other stream is closed meanwhile. */
static int shell_start_piped(pid_t *pid, const char *command, int end, int number)
{
    posix_spawn_file_actions_t actions;
    int r = posix_spawn_file_actions_init(&actions);
    if (r)
        return r;
    r = libc_real()->posix_spawn_file_actions_adddup2(&actions, end, number);
    for (struct preload_stream *s = preload.shell.streams; s && r == 0; s = s->next)
        if (fileno(s->stream) >= 0 && fileno(s->stream) != number)
            r = posix_spawn_file_actions_addclose(&actions, fileno(s->stream));
    if (r == 0)
        r = preload_exec_shell(pid, command, &actions, NULL);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

/* Makes the stream, and starts the shell at the other end. 0 or an error. shell.lock held. */
static int shell_open(struct preload_stream *s, const char *command, const struct shell_mode *m)
{
    int ends[2], number = m->reads ? STDOUT_FILENO : STDIN_FILENO, r;
    if (pipe2(ends, O_CLOEXEC) < 0)
        return errno;
    int own = ends[!m->reads], other = ends[m->reads];
    s->stream = libc_real()->fdopen(own, m->reads ? "r" : "w");
    r = s->stream ? shell_end_elsewhere(&other, number) : errno;
    if (r == 0)
        r = shell_start_piped(&s->pid, command, other, number);
    LIBC_UNCANCELLED(close)(other);
    if (r == 0 && !m->cloexec)
        libc_real()->fcntl(own, F_SETFD, NULL);
    if (r && s->stream)
        LIBC_UNCANCELLED(fclose)(s->stream);
    else if (r)
        LIBC_UNCANCELLED(close)(own);
    return r;
}

/* libc's closes its own streams in the child, and knows none of ours. shell.lock held. */
static bool shell_has_streams(void)
{
    for (struct preload_stream *s = preload.shell.streams; s; s = s->next)
        if (s->pid)
            return true;
    return false;
}

HS_EXPORT FILE *hs_popen(const char *command, const char *mode)
{
    struct preload_stream *s = malloc(sizeof(*s));
    struct shell_mode m;
    int r = 0;
    if (!s)
        return NULL;
    pthread_mutex_lock(&preload.shell.lock);
    if (hs_likely(!shell_concerns() && !shell_has_streams())) {
        s->pid = 0;
        s->stream = libc_real()->popen(command, mode);
        r = s->stream ? 0 : errno;
    } else {
        r = shell_mode(mode, &m) ? shell_open(s, command, &m) : EINVAL;
    }
    if (r == 0) {
        s->next = preload.shell.streams;
        __atomic_store_n(&preload.shell.streams, s, __ATOMIC_RELAXED);
    }
    pthread_mutex_unlock(&preload.shell.lock);
    if (r == 0)
        return s->stream;
    free(s);
    errno = r;
    return NULL;
}

/* Whom to wait for once the stream is closed; 0: nobody. */
static pid_t shell_forget(const FILE *stream)
{
    pid_t pid = 0;
    pthread_mutex_lock(&preload.shell.lock);
    for (struct preload_stream **at = &preload.shell.streams; *at; at = &(*at)->next)
        if ((*at)->stream == stream) {
            struct preload_stream *s = *at;
            pid = s->pid;
            __atomic_store_n(at, s->next, __ATOMIC_RELAXED);
            free(s);
            break;
        }
    pthread_mutex_unlock(&preload.shell.lock);
    return pid;
}

/* closed: what fclose() said. Its wait is no cancellation point (as libc's), and no signal ends it. */
static int shell_ended(pid_t pid, int closed)
{
    int status, error = errno;
    PRELOAD_UNCANCELLED;
    if (shell_wait(pid, &status) < 0)
        return -1;
    errno = error;
    return status ? status : closed;
}

HS_EXPORT int hs_fclose(FILE *stream)
{
    if (hs_likely(!__atomic_load_n(&preload.shell.streams, __ATOMIC_RELAXED)))
        return libc_real()->fclose(stream);
    pid_t pid = shell_forget(stream);
    int r = libc_real()->fclose(stream);
    return pid ? shell_ended(pid, r) : r;
}
HS_EXPORT int hs_pclose(FILE *stream) { return hs_fclose(stream); } /* in libc, too, they are one */
