/* preload_exec.c - sockets that leave the process by exec, posix_spawn or SCM_RIGHTS, and those that come
 *
 * Before an image or another process can have such a descriptor, the server is told of it (vcl_export()). A socket that only the stack
 * serves gets one end of a socket pair as its kernel descriptor, the server the other: it hears when the last copy is closed. One that the
 * kernel serves, too, must keep its kernel socket: the server watches the process in its place.
 * The new image finds the numbers in HOSTSTACK_FDS; a receiver knows our pairs by SO_RCVLOWAT, and asks about listeners and what is bound. */
#include <alloca.h>
#include <paths.h>
#include <sched.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include "preload/preload.h"

extern char **environ;

enum { EXEC_MARK = 0x48534b, EXEC_LIST_SIZE = 4096, EXEC_ARGS_MAX = 4096 };
#define EXEC_LIST "HOSTSTACK_FDS="

/* ---- telling the server ---- */

static int exec_int_option(int fd, int name)
{
    int v = -1;
    socklen_t len = sizeof(v);
    return libc_real()->getsockopt(fd, SOL_SOCKET, name, &v, &len) == 0 ? v : -1;
}

static void exec_export_pair(int fd, struct fd_file *f)
{
    int sv[2], flags = libc_real()->fcntl(fd, F_GETFL);
    bool nonblock = f->sock.is_copy ? vcl_socket_is_nonblock(f->sock.vcl) : flags >= 0 && (flags & O_NONBLOCK);
    if (exec_int_option(fd, SO_RCVLOWAT) == EXEC_MARK) { /* by the same child of vfork, before */
        vcl_export_again(f->sock.vcl, fd);
        return;
    }
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0)
        return;
    if (nonblock)
        libc_real()->fcntl(sv[0], F_SETFL, O_NONBLOCK);
    libc_real()->setsockopt(sv[0], SOL_SOCKET, SO_RCVLOWAT, &(int){ EXEC_MARK }, sizeof(int));
    if (vcl_export(f->sock.vcl, sv[0], sv[1]) == 0) {
        if (preload_async_is_used(f))
            preload_async_copy(f, sv[0]);
        preload_number_replace(fd, f, sv[0]);
        /* A vfork child has changed its own descriptors in its parent's memory. */
        if (!preload_is_foreign()) {
            f->sock.is_exported = true;
            f->sock.is_copy = false;
        }
    }
    LIBC_UNCANCELLED(close)(sv[0]);
    LIBC_UNCANCELLED(close)(sv[1]);
}

/* False: it cannot be passed on. */
static bool exec_export(int fd, struct fd_file *f)
{
    static _Atomic bool said;
    if (!vcl_socket_has_session(f->sock.vcl))
        return true;
    /* To attach would put descriptors into the vfork child's table and their numbers into its parent's memory. */
    if (preload_is_foreign() && !vcl_socket_is_attached(f->sock.vcl)) {
        preload_log_once(&said, "a forked process that has not used its sockets yet cannot pass them on by vfork and exec");
        return f->sock.is_exported;
    }
    if (!preload_is_both(f)) {
        if (f->sock.is_exported)
            vcl_export_again(f->sock.vcl, fd);
        else
            exec_export_pair(fd, f);
        return true;
    }
    int self = pidfd_open(getpid(), 0);
    if (self >= 0) {
        vcl_export(f->sock.vcl, fd, self);
        LIBC_UNCANCELLED(close)(self);
    }
    return true;
}

/* ---- bound by one, made a listener by another ---- */

bool preload_kernel_listens(int fd) { return exec_int_option(fd, SO_ACCEPTCONN) == 1; }

static bool exec_may_listen(const struct fd_file *f)
{
    return !f->sock.is_accepted && f->sock.proto != SVM_PROTO_UDP && vcl_socket_is_shared(f->sock.vcl);
}

bool preload_is_forced(int fd, const struct fd_file *f)
{
    return preload_is_both(f) && (f->sock.is_listener || (exec_may_listen(f) && preload_kernel_listens(fd)));
}

bool preload_believes_blocking(int fd, const struct fd_file *f)
{
    return preload_is_both(f) && !vcl_socket_is_nonblock(f->sock.vcl) && preload_is_forced(fd, f);
}

bool preload_listens(struct fd_file *f)
{
    if (f->sock.is_listener)
        return true;
    if (hs_likely(!exec_may_listen(f)) || preload_is_foreign() || !vcl_listens(f->sock.vcl))
        return false;
    f->sock.is_listener = true;
    return true;
}

static void exec_export_number(int fd)
{
    struct fd_file *f = preload_get_stack(fd);
    if (!f)
        return;
    exec_export(fd, f);
    preload_put(f);
}

/* ---- a child of vfork ----
 * It runs on its parent's memory, but where dup(), dup2() and fcntl() have put something is true of its own descriptors only: it is noted
 * beside the table, by the thread that both are. */

enum { EXEC_MOVED_MAX = 16 };
static _Thread_local struct {
    long pid;   /* whose */
    unsigned n;
    struct { int to; bool is_ours; } at[EXEC_MOVED_MAX];
} exec_moved;

static int exec_moved_to(int fd)
{
    for (unsigned i = 0; i < exec_moved.n; i++)
        if (exec_moved.at[i].to == fd)
            return (int)i;
    return -1;
}

bool preload_exec_has_moved(void) { return exec_moved.n != 0; }

static void exec_moved_begin(void)
{
    long pid = syscall(SYS_getpid);
    if (exec_moved.pid != pid) {
        exec_moved.pid = pid;
        exec_moved.n = 0;
    }
}

void preload_exec_copies(int fd)
{
    exec_moved_begin();
    if (exec_moved_to(fd) < 0)
        exec_export_number(fd);
}

void preload_exec_moves(int fd, int to)
{
    exec_moved_begin();
    int from = exec_moved_to(fd), at = exec_moved_to(to);
    bool is_ours = from >= 0 && exec_moved.at[from].is_ours;
    struct fd_file *f = from < 0 ? preload_get_stack(fd) : NULL;
    if (f) {
        is_ours = exec_export(fd, f);
        preload_put(f);
    }
    if (at < 0 && exec_moved.n < EXEC_MOVED_MAX)
        at = (int)exec_moved.n++;
    if (at < 0)
        return;
    exec_moved.at[at].to = to;
    exec_moved.at[at].is_ours = is_ours;
}

/* ---- exec ---- */

static size_t exec_number(char *at, unsigned v)
{
    char text[12];
    size_t n = 0;
    do
        text[n++] = (char)('0' + v % 10);
    while (v /= 10);
    for (size_t i = 0; i < n; i++)
        at[i] = text[n - 1 - i];
    return n;
}

/* Numbers in a row make one entry: "3-9,12". What does not fit is left out, and said. */
struct exec_run { int first, last; };

static bool exec_put_run(char list[EXEC_LIST_SIZE], size_t *at, const struct exec_run *run)
{
    static _Atomic bool said;
    if (run->first < 0)
        return true;
    if (*at + 24 >= EXEC_LIST_SIZE) {
        preload_log_once(&said, "too many sockets go to another image: it does not get all of them");
        return false;
    }
    *at += exec_number(list + *at, (unsigned)run->first);
    if (run->last > run->first) {
        list[(*at)++] = '-';
        *at += exec_number(list + *at, (unsigned)run->last);
    }
    list[(*at)++] = ',';
    return true;
}

/* "HOSTSTACK_FDS=3,7": those without close-on-exec, and for a spawn with file actions those that one has ever named. False: none. */
static bool exec_list(char list[EXEC_LIST_SIZE], bool spawns)
{
    size_t at = sizeof(EXEC_LIST) - 1, begin = at;
    PRELOAD_GUARD; /* not for longer: the image begins with the mask that it is called with */
    if (!atomic_load_explicit(&preload.is_initialised, memory_order_acquire))
        return false;
    memcpy(list, EXEC_LIST, at);
    struct exec_run run = { -1, -1 };
    bool fits = true, has_moved = exec_moved.n && exec_moved.pid == syscall(SYS_getpid);
    for (unsigned i = 0; has_moved && i < exec_moved.n && fits; i++) {
        int to = exec_moved.at[i].to, flags = exec_moved.at[i].is_ours ? libc_real()->fcntl(to, F_GETFD) : -1;
        if (flags >= 0 && !(flags & FD_CLOEXEC))
            fits = exec_put_run(list, &at, &(struct exec_run){ to, to });
    }
    for (int fd = fd_table_next(&preload.fds, 0); fd >= 0 && fits; fd = fd_table_next(&preload.fds, (unsigned)fd + 1)) {
        struct fd_file *f = has_moved && exec_moved_to(fd) >= 0 ? NULL : preload_get_stack(fd);
        int flags = f ? libc_real()->fcntl(fd, F_GETFD) : -1;
        if (flags >= 0 && (!(flags & FD_CLOEXEC) || (spawns && f->sock.is_spawn_named)) && exec_export(fd, f)) {
            if (run.first >= 0 && run.last + 1 == fd) {
                run.last = fd;
            } else {
                fits = exec_put_run(list, &at, &run);
                run = (struct exec_run){ fd, fd };
            }
        }
        if (f)
            preload_put(f);
    }
    if (fits)
        exec_put_run(list, &at, &run);
    list[at] = '\0';
    return at > begin;
}

/* Of the same name, which ends with '='. */
static bool exec_is(const char *entry, const char *like)
{
    size_t len = (size_t)(strchrnul(like, '=') - like);
    return strncmp(entry, like, len) == 0 && entry[len] == '=';
}

static bool exec_find(char *const *env, const char *like)
{
    for (; env && *env; env++)
        if (exec_is(*env, like))
            return true;
    return false;
}

/* What the new image needs to go on with them, and with what it makes itself as this one does (its TLS); programs that make an environment
 * of their own (nginx) leave it out. By the beginnings of the names. */
static const char *const exec_needs[] = { "LD_PRELOAD=", "LD_LIBRARY_PATH=", "VCL_", "LDP_", "HOSTSTACK_REPORT=" };

static bool exec_is_needed(const char *entry)
{
    for (size_t i = 0; i < HS_ARRAY_LEN(exec_needs); i++)
        if (strncmp(entry, exec_needs[i], strlen(exec_needs[i])) == 0)
            return true;
    return false;
}

static size_t exec_env_size(char *const *env)
{
    size_t n = 0, own = 0;
    while (env && env[n])
        n++;
    for (char *const *e = environ; e && *e; e++)
        own += exec_is_needed(*e);
    return n + own + 2;
}

static void exec_env(char **out, char *const *env, char *list)
{
    for (char *const *e = env; e && *e; e++)
        if (!exec_is(*e, EXEC_LIST))
            *out++ = *e;
    if (list) {
        *out++ = list;
        for (char *const *own = environ; own != env && own && *own; own++)
            if (exec_is_needed(*own) && !exec_find(env, *own))
                *out++ = *own;
    }
    *out = NULL;
}

/* On the stack: a vfork child must not allocate. The environment as given when no socket goes along. */
#define EXEC_ENV(env, all)                                                          \
    char exec_text[EXEC_LIST_SIZE];                                                 \
    if (exec_list(exec_text, all)) {                                                \
        char **exec_fresh = alloca((exec_env_size(env) + 1) * sizeof(*exec_fresh)); \
        exec_env(exec_fresh, env, exec_text);                                       \
        env = exec_fresh;                                                           \
    }

HS_EXPORT int hs_execve(const char *path, char *const argv[], char *const envp[])
{
    EXEC_ENV(envp, false)
    return libc_real()->execve(path, argv, envp);
}
HS_EXPORT int hs_execvpe(const char *file, char *const argv[], char *const envp[])
{
    EXEC_ENV(envp, false)
    return libc_real()->execvpe(file, argv, envp);
}
HS_EXPORT int hs_fexecve(int fd, char *const argv[], char *const envp[])
{
    EXEC_ENV(envp, false)
    return libc_real()->fexecve(fd, argv, envp);
}
HS_EXPORT int hs_execv(const char *path, char *const argv[]) { return hs_execve(path, argv, environ); }
HS_EXPORT int hs_execvp(const char *file, char *const argv[]) { return hs_execvpe(file, argv, environ); }

/* Arguments up to NULL, and for execle the environment behind it. */
static int exec_list_call(const char *path, const char *arg0, va_list ap, bool has_env, bool search)
{
    char *argv[EXEC_ARGS_MAX];
    size_t n = 0;
    argv[n++] = (char *)(uintptr_t)arg0;
    while (argv[n - 1] && n < EXEC_ARGS_MAX)
        argv[n++] = va_arg(ap, char *);
    if (argv[n - 1]) {
        errno = E2BIG;
        return -1;
    }
    char *const *env = has_env ? va_arg(ap, char *const *) : environ;
    return search ? hs_execvpe(path, argv, env) : hs_execve(path, argv, env);
}

#define EXEC_VARIADIC(name, has_env, search)                               \
    HS_EXPORT int hs_##name(const char *path, const char *arg0, ...)       \
    {                                                                      \
        va_list ap;                                                        \
        va_start(ap, arg0);                                                \
        int r = exec_list_call(path, arg0, ap, has_env, search);           \
        va_end(ap);                                                        \
        return r;                                                          \
    }
EXEC_VARIADIC(execl, false, false)
EXEC_VARIADIC(execlp, false, true)
EXEC_VARIADIC(execle, true, false)

/* A descriptor that is close-on-exec here may be passed on under another number, or its own: which ones is known from the calls that say
 * so. The image tries all low numbers. */
HS_EXPORT int hs_posix_spawn_file_actions_adddup2(posix_spawn_file_actions_t *actions, int fd, int to)
{
    struct fd_file *f = preload_get(fd);
    if (f && f->kind == FD_SOCKET)
        f->sock.is_spawn_named = true;
    if (f)
        preload_put(f);
    return libc_real()->posix_spawn_file_actions_adddup2(actions, fd, to);
}

HS_EXPORT int hs_posix_spawn(pid_t *pid, const char *path, const posix_spawn_file_actions_t *actions,
                             const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    EXEC_ENV(envp, actions != NULL)
    return libc_real()->posix_spawn(pid, path, actions, attr, argv, envp);
}
HS_EXPORT int hs_posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
                              const posix_spawnattr_t *attr, char *const argv[], char *const envp[])
{
    EXEC_ENV(envp, actions != NULL)
    return libc_real()->posix_spawnp(pid, file, actions, attr, argv, envp);
}

int preload_exec_shell(pid_t *pid, const char *command, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr)
{
#if __GLIBC_PREREQ(2, 38)
    const char *const args[] = { "sh", "-c", "--", command, NULL };
#else
    const char *const args[] = { "sh", "-c", command, NULL };
#endif
    char *const *env = environ;
    EXEC_ENV(env, false)
    return libc_real()->posix_spawn(pid, _PATH_BSHELL, actions, attr, (char *const *)(uintptr_t)args, env);
}

/* ---- coming in ---- */

/* One more number of a file of ours, whose reference it takes over. */
static void exec_install(int fd, struct fd_file *f)
{
    f->sock.has_dups = true;
    if (fd_table_install(&preload.fds, fd, f) < 0)
        preload_drop(f);
    else if (fd <= STDERR_FILENO)
        preload_stdio_take(fd);
}

/* NULL: no number leads to it, only a call of another thread has it still. */
static struct fd_file *exec_file_of(const struct vcl_socket *vs)
{
    for (int fd = fd_table_next(&preload.fds, 0); fd >= 0; fd = fd_table_next(&preload.fds, (unsigned)fd + 1)) {
        struct fd_file *f = preload_get_stack(fd);
        if (f && f->sock.vcl == vs)
            return f;
        if (f)
            preload_put(f);
    }
    return NULL;
}

/* What has come stands for a socket that this process has had by fork, since before it had such a descriptor: all its numbers get it. */
static void exec_join(int fd, struct fd_file *f)
{
    f->sock.has_dups = true;
    preload_number_replace(fd, f, fd);
    f->sock.is_exported = true;
    f->sock.is_copy = false;
    exec_install(fd, f);
    preload_gave();
}

static void exec_adopt(int fd)
{
    struct vcl_socket *vs;
    int rc = fd_table_has(&preload.fds, fd) || !preload_init() ? -EBADF : vcl_identify(fd, &vs);
    struct fd_file *f = rc == 1 ? exec_file_of(vs) : NULL;
    if (rc < 0)
        return;
    int flags = libc_real()->fcntl(fd, F_GETFL), domain = exec_int_option(fd, SO_DOMAIN);
    bool is_pair = domain == AF_UNIX, is_forced = !is_pair && preload_kernel_listens(fd);
    if (f) {
        vcl_socket_put(vs);
        exec_join(fd, f);
        return;
    }
    if (!is_forced) /* else what came with it is true, see preload_believes_blocking() */
        vcl_socket_set_nonblock(vs, flags >= 0 && (flags & O_NONBLOCK));
    f = preload_socket_adopt(fd, vs, is_pair ? FD_STACK : FD_BOTH);
    if (!f)
        return;
    f->sock.is_exported = is_pair;
    f->sock.is_listener = vcl_is_listener(vs);
    if (flags >= 0 && (flags & O_ASYNC))
        preload_async_changed(fd, f);
    preload_put(f);
}

/* Those of the same session by another number (dup) lead to the same file. */
static void exec_adopt_number(int fd)
{
    uint64_t cookie = 0, other;
    socklen_t len = sizeof(cookie);
    if (libc_real()->getsockopt(fd, SOL_SOCKET, SO_COOKIE, &cookie, &len) != 0)
        return;
    for (int at = fd_table_next(&preload.fds, 0); at >= 0; at = fd_table_next(&preload.fds, (unsigned)at + 1) ) {
        len = sizeof(other);
        if (at == fd || libc_real()->getsockopt(at, SOL_SOCKET, SO_COOKIE, &other, &len) != 0 || other != cookie)
            continue;
        struct fd_file *f = preload_get(at);
        if (!f)
            return;
        exec_install(fd, f);
        preload_gave();
        return;
    }
    exec_adopt(fd);
}

static bool exec_is_bound(int fd)
{
    struct sockaddr_storage ss;
    struct ip_endpoint e;
    socklen_t len = sizeof(ss);
    if (libc_real()->getsockname(fd, (struct sockaddr *)&ss, &len) < 0 || ip_endpoint_from_sockaddr((struct sockaddr *)&ss, len, &e) < 0 ||
        !e.port.raw)
        return false;
    len = sizeof(ss);
    return libc_real()->getpeername(fd, (struct sockaddr *)&ss, &len) < 0;
}

/* A listener, or what may become one or get datagrams. */
static bool exec_is_waiting(int fd)
{
    int domain = exec_int_option(fd, SO_DOMAIN);
    return (domain == AF_INET || domain == AF_INET6) && (preload_kernel_listens(fd) || exec_is_bound(fd)) && vcl_server_is_there();
}

/* All sockets of ours that are open here: what a spawn's file actions have moved stands under other numbers than the list says. */
static void exec_adopt_marked(void)
{
    enum { LOW_NUMBERS = 64 };
    for (int fd = 0; fd < LOW_NUMBERS; fd++) {
        if (fd_table_has(&preload.fds, fd))
            continue;
        if (exec_int_option(fd, SO_RCVLOWAT) == EXEC_MARK || exec_is_waiting(fd))
            exec_adopt_number(fd);
    }
}

__attribute__((constructor)) static void exec_construct(void)
{
    const char *list = getenv("HOSTSTACK_FDS");
    if (!list)
        return;
    while (*list) {
        char *end;
        long fd = strtol(list, &end, 10);
        if (end == list || fd < 0 || fd >= FD_TABLE_MAX)
            break;
        long last = fd;
        if (*end == '-')
            last = strtol(end + 1, &end, 10);
        for (; fd <= last && fd < FD_TABLE_MAX; fd++)
            if (libc_real()->fcntl((int)fd, F_GETFD) >= 0)
                exec_adopt_number((int)fd);
        list = end;
        if (*list == ',')
            list++;
    }
    exec_adopt_marked();
    unsetenv("HOSTSTACK_FDS");
}

/* ---- SCM_RIGHTS ---- */

static void exec_each_right(const struct msghdr *msg, void (*fn)(int fd))
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || c->cmsg_len < CMSG_LEN(0))
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            fn(fd);
        }
    }
}

static void exec_received(int fd)
{
    if (exec_int_option(fd, SO_RCVLOWAT) == EXEC_MARK || exec_is_waiting(fd))
        exec_adopt_number(fd);
}

void preload_rights_sent(const struct msghdr *msg)
{
    PRELOAD_GUARD;
    if (atomic_load_explicit(&preload.is_initialised, memory_order_acquire) && !preload_is_foreign())
        exec_each_right(msg, exec_export_number);
}

void preload_rights_received(const struct msghdr *msg)
{
    PRELOAD_GUARD;
    int saved = errno;
    if (!preload_is_foreign() || !atomic_load_explicit(&preload.is_initialised, memory_order_acquire))
        exec_each_right(msg, exec_received);
    errno = saved;
}
