/* preload.h - what the files of the preload library share
 *
 *   program -> hs_CALL (one file a family) -> fd_table: not ours -> libc
 *                                                      ours     -> vcl.h, and the kernel's side where both serve
 *
 * Owner:  one `struct preload` per process, the only mutable global: an interposed call has no other way to find its context.
 * Thread: any.
 * Errors: inside, >= 0 or -errno; preload_result() is the one place that sets errno. */
#ifndef HOSTSTACK_PRELOAD_PRELOAD_H
#define HOSTSTACK_PRELOAD_PRELOAD_H

#include <errno.h>
#include <unistd.h>
#include <sys/syscall.h>
#include "preload/fd_table.h"
#include "preload/libc_calls.h"
#include "preload/preload_cancel.h"
#include "preload/preload_signal.h"
#include "vcl/vcl.h"

struct preload_stamp { unsigned long ino; long sec, nsec, size; };  /* of a file: has it changed? */
struct preload_tls {
    bool on;                    /* LDP_TRANSPARENT_TLS */
    bool is_unusable;           /* what LDP_TLS_* say; said */
    char cert[256], key[256];   /* LDP_TLS_CERT_FILE, LDP_TLS_KEY_FILE; empty: none, nothing can listen */
    char name[256];             /* LDP_TLS_SERVER_NAME */
    pthread_mutex_t lock;
    uint32_t pair;              /* vcl's number of it; 0 = not read yet */
    struct preload_stamp cert_stamp, key_stamp;
    _Atomic long looked_s;      /* when accept last looked whether the files have changed */
};
struct preload_async {
    pthread_mutex_t lock;
    struct vcl_set *set;        /* of sockets that somebody wants signals about; NULL: there was none yet */
    int pid;                    /* whose it is: a fork's child makes its own */
};
struct preload_stream;
struct preload_shell {
    pthread_mutex_t lock;
    struct preload_stream *streams;     /* what popen() has opened */
    unsigned n_running;                 /* calls of system(), and what these two were before the first */
    struct sigaction sigint, sigquit;
};
struct preload {
    struct fd_table fds;
    _Atomic int pid;            /* whose table this is; a vfork child runs in our memory with another pid */
    bool report;                /* HOSTSTACK_REPORT */
    bool broken;                /* the configuration is wrong: said once, everything goes to the kernel */
    _Atomic bool is_initialised;
    struct preload_tls tls;
    struct preload_async async;
    struct preload_cancels cancel;
    struct preload_shell shell;
    pthread_mutex_t init_lock;
    _Atomic int common[2];      /* idle sockets, [1] with O_NONBLOCK (preload_number.c); 0 = not made yet */
    pthread_mutex_t numbers_lock; /* a number of a socket of ours is closed, or gets another descriptor */
};
extern struct preload preload;

/* Lazy: at the first INET socket, not at program start. False: nothing of ours will work, use the kernel. */
bool preload_init(void);

/* False: no time (EINVAL, which libc's call says). One that no clock reaches becomes none. */
static inline bool preload_time_is_valid(const struct timespec **timeout)
{
    const struct timespec *t = *timeout;
    if (t && t->tv_sec > INT32_MAX)
        *timeout = NULL;
    return !t || (t->tv_sec >= 0 && t->tv_nsec >= 0 && t->tv_nsec < 1000000000);
}

/* What is left, in *left, of a valid time-out that began then; NULL: for ever. */
const struct timespec *preload_timeout_left(const struct timespec *begin, const struct timespec *timeout, struct timespec *left);

/* The one place that sets errno, and where a cancelled thread ends: nothing is held any more. */
static inline long preload_result(long r)
{
    if (hs_unlikely(preload_cancel.must_end))
        r = preload_cancel_end(r);
    if (hs_unlikely(r < 0)) {
        errno = r == PRELOAD_RESTART ? EINTR : (int)-r;
        return -1;
    }
    return r;
}
/* libc's convention (-1 and errno) to ours. */
static inline long preload_kernel(long r)
{
    return r < 0 ? -errno : r;
}

/* Signal handlers wait from a get to its put, which is where they may run and never come back. */
static inline struct fd_file *preload_get_at(struct fd_file *_Atomic *slot)
{
    preload_enter();
    struct fd_file *f = fd_table_get_slow(&preload.fds, slot);
    if (hs_unlikely(!f))
        preload_leave();
    return f;
}
static inline struct fd_file *preload_get(int fd)
{
    struct fd_file *_Atomic *slot = fd_table_slot(&preload.fds, fd);
    return hs_likely(!slot) ? NULL : preload_get_at(slot);
}
/* A reference that came from elsewhere. */
static inline void preload_drop(struct fd_file *f) { fd_file_put(&preload.fds, f); }
static inline void preload_put(struct fd_file *f)
{
    preload_drop(f);
    preload_leave();
}
/* The caller's reference has been put where it stays. */
static inline void preload_gave(void) { preload_leave(); }
static inline enum fd_serve preload_serve(const struct fd_file *f)
{
    return (enum fd_serve)atomic_load_explicit(&f->sock.serve, memory_order_acquire);
}
/* The file if it is a socket that the stack has a part in; else NULL and libc is to be called. */
static inline struct fd_file *preload_get_stack_at(struct fd_file *_Atomic *slot)
{
    struct fd_file *f = preload_get_at(slot);
    if (hs_unlikely(!f))
        return NULL;
    if (f->kind == FD_SOCKET && preload_serve(f) >= FD_STACK)
        return f;
    preload_put(f);
    return NULL;
}
static inline struct fd_file *preload_get_stack(int fd)
{
    struct fd_file *_Atomic *slot = fd_table_slot(&preload.fds, fd);
    return hs_likely(!slot) ? NULL : preload_get_stack_at(slot);
}
/* For receiving: datagram sockets of which it is not decided yet, too. */
static inline struct fd_file *preload_get_receiver_at(struct fd_file *_Atomic *slot)
{
    struct fd_file *f = preload_get_at(slot);
    if (hs_unlikely(!f))
        return NULL;
    if (f->kind == FD_SOCKET && (preload_serve(f) >= FD_STACK || (preload_serve(f) == FD_UNDECIDED && f->sock.proto == SVM_PROTO_UDP)))
        return f;
    preload_put(f);
    return NULL;
}
static inline struct fd_file *preload_get_receiver(int fd)
{
    struct fd_file *_Atomic *slot = fd_table_slot(&preload.fds, fd);
    return hs_likely(!slot) ? NULL : preload_get_receiver_at(slot);
}
static inline bool preload_is_both(const struct fd_file *f) { return preload_serve(f) == FD_BOTH; }
/* A child of vfork, or of a clone that shares memory or descriptors: the table is another process's. Its descriptors are real, so libc alone
 * does the right thing. */
static inline bool preload_is_foreign(void)
{
    return syscall(SYS_getpid) != atomic_load_explicit(&preload.pid, memory_order_relaxed);
}

/* preload_number.c */
int preload_number_new(int flags, bool *is_copy);       /* of a connection, SOCK_NONBLOCK, SOCK_CLOEXEC: the number, or -errno */
/* fd, and every other number of f, leads to the kernel's file of `fresh`; each keeps its FD_CLOEXEC. */
void preload_number_replace(int fd, struct fd_file *f, int fresh);
int preload_number_own(int fd, struct fd_file *f);      /* before the kernel's file is changed in anything else but O_NONBLOCK; -errno */
void preload_number_own_all(void);                      /* while the program may still open descriptors */
bool preload_number_nonblock(int fd, struct fd_file *f, bool on); /* false: it has a file of its own, change that */

/* preload_socket.c */
void preload_socket_release(struct fd_file *f);
/* Makes fd lead to a new file around vs, and takes over vs's reference. With a reference for the caller; NULL without memory. */
struct fd_file *preload_socket_adopt(int fd, struct vcl_socket *vs, enum fd_serve serve);
/* Makes `fd` lead to a new file around vs and takes over vs's reference. 0 or -errno. */
int preload_socket_track(int fd, struct vcl_socket *vs, bool is_v6, enum fd_serve serve);
void preload_socket_decide(int fd, struct fd_file *f, enum fd_serve serve, const char *why);
/* Waits until the stack's or the kernel's side of a socket with BOTH has one of `events`. 0, -EAGAIN (time-out), -EINTR. */
bool preload_timeout(struct fd_file *f, int option, struct timespec *out); /* SO_RCVTIMEO or SO_SNDTIMEO; false = for ever */
int preload_wait_both(int fd, struct fd_file *f, short events, int timeout_option);
/* After -EINTR of a blocking call. 0: it is made again at once; else what the call ends with: -EINTR, PRELOAD_RESTART. */
long preload_interrupted(struct fd_file *f, int timeout_option);
/* Everything has been given back, and handlers have run: is the call to be made again from its beginning? */
bool preload_restarts(void);
static inline bool preload_again(long r) { return hs_unlikely(r == PRELOAD_RESTART) && preload_restarts(); }
/* Decides where a datagram from a socket not yet decided, or served by both, goes. */
ssize_t preload_send_early(int fd, struct fd_file *f, const struct msghdr *msg, int flags); /* MSG_FASTOPEN; not TLS */
void preload_route_datagram(int fd, struct fd_file *f, const struct ip_endpoint *to, int32_t ifindex, bool *to_stack);
void preload_fill_sockaddr(const struct ip_endpoint *e, bool is_v6, struct sockaddr *sa, socklen_t *len);

/* preload_tls.c. 0 or -errno; nothing to do for sockets that do not speak TLS. */
void preload_tls_start(void);
int preload_tls_listen(struct fd_file *f);
int preload_tls_connect(struct fd_file *f);
void preload_tls_accepted(void); /* looks for a new certificate now and then */
/* The kernel could serve it only without what the program has asked for. */
static inline bool preload_is_stack_only(const struct fd_file *f) { return f->sock.proto == SVM_PROTO_TLS || f->sock.has_key_of_stack; }
static inline bool preload_is_tls(const struct fd_file *f) { return f->sock.proto == SVM_PROTO_TLS; }

/* preload_fd.c */
int preload_close(int fd);

/* preload_stdio.c: fd, one of the standard three, leads to a socket of ours now */
void preload_stdio_take(int fd);

/* preload_async.c: SIGIO and SIGURG. changed: the kernel's descriptor has a new owner, signal or O_ASYNC; 0 or -errno: there will be none. */
int preload_async_changed(int fd, struct fd_file *f);
void preload_async_decided(int fd, struct fd_file *f);      /* the stack serves it from now on */
void preload_async_copy(const struct fd_file *f, int fresh); /* another descriptor will stand for it */
void preload_async_reason(int sig, siginfo_t *info);         /* of a signal with SI_SIGIO, before its handler has it */
static inline bool preload_async_is_used(const struct fd_file *f) { return f->sock.async.on || f->sock.async.owner || f->sock.async.signal; }

/* preload_epoll.c */
void preload_epoll_release(struct fd_file *f);
void preload_epoll_leaves(int fd); /* the number is about to lead elsewhere: its set goes by another one, if there is one */
void preload_epoll_socket_decided(int fd, struct fd_file *f, bool keep_kernel);
void preload_watch_free(struct fd_file *f);

/* preload_nest.c: epoll descriptors that are watched themselves */
/* Its set, or NULL: no stack socket is in it (yet). */
struct vcl_set *preload_epoll_nest(struct fd_file *e);
int preload_nest_ctl(int epfd, struct fd_file *e, int op, int fd, struct fd_file *inner, const struct epoll_event *ev);
int preload_nest_sort(int epfd, struct fd_file *e, struct epoll_event *ev, int n); /* those of n events that are true, with the program's data */
bool preload_nest_settle(struct fd_file *e);            /* before a wait: what has come is looked at. False: no stack sockets are in it */
bool preload_nest_is_ready(struct fd_file *e, int fd);  /* after it: fd, which leads to e, was readable */
void preload_nest_free(struct fd_file *e);

/* preload_exec.c: a socket that was bound here and that others hold, too, listens as soon as one of them has called listen() */
bool preload_listens(struct fd_file *f);            /* notes it; asks the server if it may be so */
bool preload_is_forced(int fd, const struct fd_file *f);    /* BOTH: the kernel's side must stay non-blocking, for all who hold it */
bool preload_believes_blocking(int fd, const struct fd_file *f); /* though it is forced */
bool preload_kernel_listens(int fd);
/* preload_exec.c: descriptors in the control messages of an AF_UNIX socket */
void preload_rights_sent(const struct msghdr *msg);
void preload_rights_received(const struct msghdr *msg);
/* A child of vfork is about to copy fd, to a number that it does not know yet; puts fd at `to`; whether its thread has noted any such. */
void preload_exec_copies(int fd);
void preload_exec_moves(int fd, int to);
bool preload_exec_has_moved(void);
/* posix_spawn() of `sh -c command`, with the sockets that are not close-on-exec. 0 or an error. */
int preload_exec_shell(pid_t *pid, const char *command, const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attr);

/* preload_fork.c */
void preload_fork_register(void);
/* The system call that copies this process, with what fork() does besides. */
long preload_fork_by_number(long number, long a, long b, long c, long d, long e);

/* The stand-ins themselves, for other files: by their names these would reach libc (--wrap). */
int preload_plain_close(int fd);
int preload_plain_dup3(int fd, int to, int flags);
int preload_plain_close_range(unsigned first, unsigned last, int flags);
int preload_plain_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags);
int preload_plain_recvmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags, struct timespec *timeout);
int preload_plain_sendmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags);

/* preload_log.c */
void preload_log_once(_Atomic bool *said, const char *text);
void preload_report_socket(const struct fd_file *f);
void preload_report_exit(void);

#endif
