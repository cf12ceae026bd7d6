/* preload_async.c - O_ASYNC: SIGIO (or F_SETSIG's signal) to a socket's owner, and SIGURG for urgent data (fcntl(2), socket(7))
 *
 * Flags, owner and signal are the kernel's, of the descriptor behind the number, which checks and tells them; here is a copy. With the
 * first socket that somebody wants signals about comes a thread, asleep in an epoll set of such sockets, that sends them: the
 * program may be anywhere when something happens. A process that asks for none has neither. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include "preload/preload.h"

enum { ASYNC_STACK = 128 << 10, ASYNC_EVENTS = 16, ASYNC_POINTER_BITS = 48 };

/* ---- sending ---- */

static void async_plain(const struct fd_async *a, int signal)
{
    if (a->owner_type == F_OWNER_TID)
        syscall(SYS_tkill, a->owner, signal);
    else
        syscall(SYS_kill, a->owner_type == F_OWNER_PGRP ? -a->owner : a->owner, signal);
}

/* fcntl(2) F_SETSIG: with what and where. One that is queued in full is told by SIGIO instead, as Linux does. A thread of another process
 * and a group get the signal alone. */
static void async_signal(const struct fd_async *a, long band)
{
    siginfo_t info;
    long r;
    if (!a->signal) {
        async_plain(a, SIGIO);
        return;
    }
    memset(&info, 0, sizeof(info));
    info.si_signo = a->signal;
    info.si_code = SI_SIGIO;
    info.si_band = band;
    info.si_fd = a->fd;
    if (a->owner_type == F_OWNER_TID)
        r = syscall(SYS_rt_tgsigqueueinfo, syscall(SYS_getpid), a->owner, a->signal, &info);
    else if (a->owner_type == F_OWNER_PID)
        r = syscall(SYS_rt_sigqueueinfo, a->owner, a->signal, &info);
    else
        r = -1, errno = ESRCH;
    if (r < 0)
        async_plain(a, errno == EAGAIN ? SIGIO : a->signal);
}

enum { ASYNC_IN = POLLIN | POLLRDNORM, ASYNC_OUT = POLLOUT | POLLWRNORM | POLLWRBAND, ASYNC_PRI = POLLPRI | POLLRDBAND };

/* What has happened stands in si_code, too (sigaction(2), POLL_IN and its kin), but nobody may send such a one to another thread. What the
 * numbers of some signals' own codes are Linux leaves as it was sent. */
void preload_async_reason(int sig, siginfo_t *info)
{
    static const struct { long band; int code; } codes[] = {
        { ASYNC_IN, POLL_IN }, { ASYNC_OUT, POLL_OUT }, { POLLERR, POLL_ERR }, { ASYNC_PRI, POLL_PRI }, { POLLHUP | POLLERR, POLL_HUP },
    };
    if (sig == SIGILL || sig == SIGFPE || sig == SIGSEGV || sig == SIGBUS || sig == SIGTRAP || sig == SIGCHLD || sig == SIGSYS)
        return;
    for (unsigned i = 0; i < HS_ARRAY_LEN(codes); i++)
        if (info->si_band == codes[i].band)
            info->si_code = codes[i].code;
}

/* As sock_wake_async() and sk_send_sigurg() of Linux. */
static void async_tell(const struct fd_async *a, uint32_t events)
{
    static const struct { uint32_t events; long band; } bands[] = {
        { EPOLLIN | EPOLLRDHUP, ASYNC_IN }, { EPOLLOUT, ASYNC_OUT }, { EPOLLERR, POLLERR }, { EPOLLPRI, ASYNC_PRI },
        { EPOLLHUP, POLLHUP | POLLERR },
    };
    if (!a->owner)
        return;
    if (events & EPOLLPRI)
        async_plain(a, SIGURG);
    if (!a->on)
        return;
    if (!a->signal && events & ~(uint32_t)EPOLLPRI)
        async_signal(a, 0);
    for (unsigned i = 0; a->signal && i < HS_ARRAY_LEN(bands); i++)
        if (events & bands[i].events)
            async_signal(a, bands[i].band);
}

/* ---- the thread ---- */

/* A file is named by its address and what fits of its generation: it may have gone, and its memory be another's. */
static uint64_t async_name(const struct fd_file *f)
{
    return (uint64_t)(uintptr_t)f | (uint64_t)atomic_load(&f->generation) << ASYNC_POINTER_BITS;
}

static void async_event(const struct epoll_event *ev)
{
    struct fd_file *f = (struct fd_file *)(uintptr_t)(ev->data.u64 & ((1ull << ASYNC_POINTER_BITS) - 1));
    uint32_t generation = atomic_load(&f->generation);
    if ((uint16_t)generation != ev->data.u64 >> ASYNC_POINTER_BITS || !fd_file_try_hold(&preload.fds, f, generation))
        return;
    pthread_mutex_lock(&preload.async.lock);
    struct fd_async a = f->sock.async;
    pthread_mutex_unlock(&preload.async.lock);
    async_tell(&a, ev->events);
    preload_drop(f);
}

static void *async_run(void *arg)
{
    struct epoll_event events[ASYNC_EVENTS];
    struct vcl_set *set = arg;
    int n;
    pthread_setname_np(pthread_self(), "hoststack-async");
    while ((n = vcl_set_wait(set, events, ASYNC_EVENTS, NULL, NULL)) >= 0 || n == -EINTR)
        for (int i = 0; i < n; i++)
            async_event(&events[i]);
    return NULL;
}

/* It takes no signal: they are for the program's threads. The set stays as long as the process. */
static int async_start(struct vcl_set *set)
{
    pthread_attr_t attr;
    pthread_t thread;
    sigset_t all, before;
    int r = pthread_attr_init(&attr);
    if (r)
        return -r;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, ASYNC_STACK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    r = pthread_create(&thread, &attr, async_run, set);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    return -r;
}

/* The set of this process; -errno. preload.async.lock held. */
static int async_set(void)
{
    struct preload_async *p = &preload.async;
    int self = atomic_load_explicit(&preload.pid, memory_order_relaxed), r;
    if (p->set && p->pid == self)
        return 0;
    if (p->set) /* the parent's, whose thread is not here */
        vcl_set_put(p->set);
    p->set = NULL;
    r = vcl_set_new_for_news(&p->set);
    if (r < 0)
        return r;
    p->pid = self;
    r = async_start(p->set);
    if (r < 0) {
        vcl_set_put(p->set);
        p->set = NULL;
    }
    return r;
}

/* What has to be told of a socket, to the set. preload.async.lock held. */
static int async_watch(struct fd_file *f)
{
    const struct fd_async *a = &f->sock.async;
    uint32_t wanted = !a->owner ? 0 : a->on ? EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI : f->sock.proto == SVM_PROTO_TCP ? EPOLLPRI : 0;
    struct epoll_event ev = { .events = wanted | EPOLLET, .data.u64 = async_name(f) };
    bool has_set = preload.async.set && preload.async.pid == atomic_load_explicit(&preload.pid, memory_order_relaxed);
    if (preload_serve(f) < FD_STACK)
        return 0;
    if (!wanted) {
        if (has_set)
            vcl_set_del(preload.async.set, f->sock.vcl, 0);
        return 0;
    }
    int r = async_set();
    if (r == 0 && (r = vcl_set_mod(preload.async.set, f->sock.vcl, 0, &ev)) == -ENOENT)
        r = vcl_set_add(preload.async.set, f->sock.vcl, 0, &ev);
    return r;
}

/* ---- what the other files call ---- */

int preload_async_changed(int fd, struct fd_file *f)
{
    struct f_owner_ex owner = { .pid = 0 };
    int flags = libc_real()->fcntl(fd, F_GETFL), signal = libc_real()->fcntl(fd, F_GETSIG), r;
    struct fd_async *a = &f->sock.async;
    if (preload_is_foreign())
        return 0; /* a child of vfork: the parent is where it was */
    libc_real()->fcntl(fd, F_GETOWN_EX, &owner);
    pthread_mutex_lock(&preload.async.lock);
    if (flags >= 0 && (flags & O_ASYNC) && !a->on)
        a->fd = fd;
    a->on = flags >= 0 && (flags & O_ASYNC);
    a->signal = signal > 0 ? signal : 0;
    a->owner_type = owner.type;
    a->owner = owner.pid;
    r = async_watch(f);
    if (r < 0)
        a->on = false;
    pthread_mutex_unlock(&preload.async.lock);
    return r;
}

void preload_async_decided(int fd, struct fd_file *f)
{
    static _Atomic bool said;
    struct fd_async a;
    int r = preload_async_changed(fd, f);
    if (r < 0) {
        preload_log_once(&said, "no thread for signals about sockets (O_ASYNC): none will be sent");
        return;
    }
    pthread_mutex_lock(&preload.async.lock);
    a = f->sock.async;
    pthread_mutex_unlock(&preload.async.lock);
    if (f->sock.proto != SVM_PROTO_UDP && vcl_is_connected(f->sock.vcl)) /* before it was in the set; Linux signals it */
        async_tell(&a, EPOLLOUT);
}

void preload_async_copy(const struct fd_file *f, int fresh)
{
    pthread_mutex_lock(&preload.async.lock);
    struct fd_async a = f->sock.async;
    pthread_mutex_unlock(&preload.async.lock);
    struct f_owner_ex owner = { .type = a.owner_type, .pid = a.owner };
    int flags = libc_real()->fcntl(fresh, F_GETFL);
    libc_real()->fcntl(fresh, F_SETOWN_EX, &owner);
    libc_real()->fcntl(fresh, F_SETSIG, a.signal);
    if (a.on && flags >= 0)
        libc_real()->fcntl(fresh, F_SETFL, flags | O_ASYNC);
}
