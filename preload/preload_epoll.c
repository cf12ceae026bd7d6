/* preload_epoll.c - epoll over stack sockets and kernel descriptors together
 *
 * An epoll descriptor is the kernel's. Kernel descriptors are added to it as ever; with the first stack socket a vcl_set is attached,
 * which from then on does the waiting for both kinds. A socket that nobody serves yet is in the kernel's set, and is remembered
 * (fd_watch) to be moved when it is decided. A socket that both serve is in both. */
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include "preload/preload.h"

struct fd_watch {
    struct fd_watch *next;
    struct fd_file *epoll;   /* weak: with its generation */
    uint32_t generation;
    int epfd, fd;            /* the numbers the program used */
    struct epoll_event ev;
};

/* ---- creating ---- */

static struct fd_file *preload_epoll_track(int epfd)
{
    struct fd_file *f = fd_file_new(&preload.fds, FD_EPOLL);
    if (!f)
        return NULL;
    f->first_fd = epfd;
    fd_file_hold(f);
    if (fd_table_install(&preload.fds, epfd, f) == 0)
        return f;
    preload_drop(f);
    preload_drop(f);
    return NULL;
}

static int preload_epoll_created(int epfd)
{
    if (epfd >= 0 && preload_init() && !preload_is_foreign()) {
        PRELOAD_GUARD;
        struct fd_file *f = preload_epoll_track(epfd);
        if (f)
            preload_drop(f);
    }
    return epfd;
}

HS_EXPORT int hs_epoll_create(int size) { return preload_epoll_created(libc_real()->epoll_create(size)); }
HS_EXPORT int hs_epoll_create1(int flags) { return preload_epoll_created(libc_real()->epoll_create1(flags)); }

void preload_epoll_release(struct fd_file *f)
{
    struct vcl_set *set = atomic_load(&f->epoll.set);
    if (set)
        vcl_set_put(set);
    preload_nest_free(f);
}

/* ---- the set of an epoll descriptor ---- */

static bool preload_epoll_is_at(const struct fd_file *e, int fd)
{
    struct fd_file *f = preload_get(fd);
    if (f)
        preload_put(f);
    return f == e;
}

/* A number that leads to e, and is not `but`: -1, there is none. */
static int preload_epoll_number(const struct fd_file *e, int but)
{
    int fd = fd_table_next(&preload.fds, 0);
    while (fd >= 0 && (fd == but || !preload_epoll_is_at(e, fd)))
        fd = fd_table_next(&preload.fds, (unsigned)fd + 1);
    return fd;
}

void preload_epoll_leaves(int fd)
{
    struct fd_file *e = preload_get(fd);
    if (e && e->kind == FD_EPOLL && atomic_load(&e->refs) > 2) { /* more than this number and we */
        struct vcl_set *set = atomic_load(&e->epoll.set);
        int other = set ? preload_epoll_number(e, fd) : -1;
        if (other >= 0)
            vcl_set_renumber(set, fd, other);
    }
    if (e)
        preload_put(e);
}

/* Threads that went to sleep in the kernel before the set existed do not hear the sockets: a descriptor that stays readable gets all of
 * them out (preload_epoll_wait_kernel()). */
static void preload_epoll_kick(int epfd, struct fd_file *e)
{
    if (atomic_load(&e->epoll.kernel_waiters) == 0) /* seq_cst: after the store of the set, pairs with the waiter's order */
        return;
    int fd = eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return;
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = VCL_SET_DOORBELL_DATA };
    libc_real()->epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev);
    atomic_store(&e->epoll.kick_fd, fd + 1);
}

static void preload_epoll_kick_done(struct fd_file *e)
{
    int fd = atomic_exchange(&e->epoll.kick_fd, 0);
    if (fd)
        LIBC_UNCANCELLED(close)(fd - 1);
}

static int preload_epoll_set(int epfd, struct fd_file *e, struct vcl_set **out)
{
    *out = atomic_load(&e->epoll.set);
    if (*out)
        return 0;
    struct vcl_set *fresh, *none = NULL;
    int r = vcl_set_new(epfd, &fresh);
    if (r < 0)
        return r;
    if (!atomic_compare_exchange_strong(&e->epoll.set, &none, fresh)) {
        vcl_set_put(fresh);
        *out = none; /* another thread was first */
        return 0;
    }
    *out = fresh;
    if (atomic_load(&e->epoll.nested)) /* seq_cst: after the store of the set, pairs with preload_epoll_nest() */
        vcl_set_nest(fresh);
    preload_epoll_kick(epfd, e);
    return 0;
}

static int preload_set_ctl(struct vcl_set *set, int op, struct fd_file *s, int fd, struct epoll_event *ev)
{
    switch (op) {
    case EPOLL_CTL_ADD: return vcl_set_add(set, s->sock.vcl, fd, ev);
    case EPOLL_CTL_MOD: return vcl_set_mod(set, s->sock.vcl, fd, ev);
    case EPOLL_CTL_DEL: return vcl_set_del(set, s->sock.vcl, fd);
    default: return -EINVAL;
    }
}

/* ---- sockets not yet decided ---- */

static void preload_watch_change(struct fd_file *s, int op, int epfd, struct fd_file *e, int fd, const struct epoll_event *ev)
{
    struct fd_watch *fresh = op == EPOLL_CTL_ADD ? malloc(sizeof(*fresh)) : NULL;
    pthread_mutex_lock(&preload.fds.lock);
    struct fd_watch **pp = &s->sock.watches;
    while (*pp && !((*pp)->epoll == e && (*pp)->fd == fd))
        pp = &(*pp)->next;
    struct fd_watch *old = *pp;
    if (old && op == EPOLL_CTL_DEL) {
        *pp = old->next;
    } else if (old) {
        old->ev = *ev;
        old->epfd = epfd;
        old->generation = atomic_load(&e->generation); /* it may be of a set that was closed, whose place e has got */
        old = fresh;
    } else if (fresh) {
        *fresh = (struct fd_watch){ .epoll = e, .generation = atomic_load(&e->generation), .epfd = epfd, .fd = fd, .ev = *ev };
        *pp = fresh;
    }
    pthread_mutex_unlock(&preload.fds.lock);
    free(old);
}

static struct fd_watch *preload_watch_steal(struct fd_file *s)
{
    pthread_mutex_lock(&preload.fds.lock);
    struct fd_watch *w = s->sock.watches;
    s->sock.watches = NULL;
    pthread_mutex_unlock(&preload.fds.lock);
    return w;
}

void preload_watch_free(struct fd_file *f)
{
    for (struct fd_watch *w = preload_watch_steal(f), *next; w; w = next) {
        next = w->next;
        free(w);
    }
}

static void preload_watch_keep(struct fd_file *s, struct fd_watch *w)
{
    pthread_mutex_lock(&preload.fds.lock);
    w->next = s->sock.watches;
    s->sock.watches = w;
    pthread_mutex_unlock(&preload.fds.lock);
}

/* Has a one-shot entry been told by the kernel's set? Then it has no event left there, which fdinfo shows ("tfd: 5 events: 40000000 ..."). */
static bool preload_watch_is_spent(const struct fd_watch *w)
{
    char path[48], line[256];
    unsigned fd, events = 1;
    if (!(w->ev.events & EPOLLONESHOT))
        return false;
    PRELOAD_UNCANCELLED;
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", w->epfd);
    FILE *info = fopen(path, "re");
    while (info && fgets(line, sizeof(line), info))
        if (sscanf(line, "tfd: %u events: %x", &fd, &events) == 2 && (int)fd == w->fd)
            break;
        else
            events = 1;
    if (info)
        fclose(info);
    return !(events & 0xffff);
}

/* The kernel's half of an entry that stands in both sets: a one-shot one is to be told by one of them only. */
static struct epoll_event preload_epoll_half(const struct epoll_event *ev, int fd)
{
    struct epoll_event half = ev ? *ev : (struct epoll_event){ .events = 0 };
    if (half.events & EPOLLONESHOT)
        half.data.u64 = vcl_set_twin_data(fd);
    return half;
}

/* The stack serves s from now on: its entries move (or, with keep_kernel, are copied) from the kernel's sets into ours. Copied ones stay
 * noted: the stack alone may serve the socket later, and then the kernel's half must not be heard any more. */
void preload_epoll_socket_decided(int fd, struct fd_file *f, bool keep_kernel)
{
    (void)fd;
    for (struct fd_watch *w = preload_watch_steal(f), *next; w; w = next) {
        next = w->next;
        struct vcl_set *set;
        bool keep = false;
        if (fd_file_try_hold(&preload.fds, w->epoll, w->generation)) {
            if (!preload_epoll_is_at(w->epoll, w->epfd)) /* that one was closed (dup) */
                w->epfd = preload_epoll_number(w->epoll, -1);
            if (preload_epoll_set(w->epfd, w->epoll, &set) == 0) {
                bool is_spent = preload_watch_is_spent(w);
                if (!keep_kernel)
                    libc_real()->epoll_ctl(w->epfd, EPOLL_CTL_DEL, w->fd, &w->ev);
                vcl_set_move(set, f->sock.vcl, w->fd, &w->ev, is_spent); /* it may be there already */
                if (keep_kernel && w->ev.events & EPOLLONESHOT) { /* after the move: what is told for an entry that is not there is lost */
                    struct epoll_event half = preload_epoll_half(&w->ev, w->fd);
                    libc_real()->epoll_ctl(w->epfd, EPOLL_CTL_MOD, w->fd, &half);
                }
                keep = keep_kernel;
            }
            preload_drop(w->epoll);
        }
        if (keep)
            preload_watch_keep(f, w);
        else
            free(w);
    }
}

/* ---- epoll_ctl ---- */

static int preload_epoll_ctl_both(int epfd, struct fd_file *e, struct vcl_set *set, int op, struct fd_file *s, int fd,
                                  struct epoll_event *ev)
{
    struct epoll_event half = preload_epoll_half(ev, fd);
    int r = (int)preload_kernel(libc_real()->epoll_ctl(epfd, op, fd, &half));
    if (r < 0)
        return r;
    r = preload_set_ctl(set, op, s, fd, ev);
    if (r < 0 && op == EPOLL_CTL_ADD)
        libc_real()->epoll_ctl(epfd, EPOLL_CTL_DEL, fd, ev);
    else if (r == 0)
        preload_watch_change(s, op, epfd, e, fd, ev);
    return r;
}

static int preload_epoll_ctl(int epfd, struct fd_file *e, int op, int fd, struct fd_file *s, struct epoll_event *ev)
{
    struct vcl_set *set;
    int r;
    if (op != EPOLL_CTL_DEL && !s->sock.is_accepted && !s->sock.is_listener)
        preload_listens(s);
    switch (preload_serve(s)) {
    case FD_STACK:
        r = preload_epoll_set(epfd, e, &set);
        return r < 0 ? r : preload_set_ctl(set, op, s, fd, ev);
    case FD_BOTH:
        r = preload_epoll_set(epfd, e, &set);
        return r < 0 ? r : preload_epoll_ctl_both(epfd, e, set, op, s, fd, ev);
    default:
        r = (int)preload_kernel(libc_real()->epoll_ctl(epfd, op, fd, ev));
        if (r == 0 && preload_serve(s) == FD_UNDECIDED)
            preload_watch_change(s, op, epfd, e, fd, ev);
        return r;
    }
}

static bool preload_epoll_concerns(const struct fd_file *s, int op, const struct epoll_event *ev)
{
    return s && (ev || op == EPOLL_CTL_DEL) && (s->kind == FD_EPOLL || preload_serve(s) != FD_KERNEL);
}

HS_EXPORT int hs_epoll_ctl(int epfd, int op, int fd, struct epoll_event *ev)
{
    struct fd_file *s = preload_get(fd);
    if (!preload_epoll_concerns(s, op, ev)) {
        if (s)
            preload_put(s);
        return libc_real()->epoll_ctl(epfd, op, fd, ev);
    }
    struct fd_file *e = preload_get(epfd);
    if (!e) {
        /* Made before us (inherited through exec, or by a raw system call) - or no epoll descriptor: ask the kernel with a harmless
         * request. EINVAL = not one; ENOENT = one that does not have fd. */
        struct epoll_event none = { .events = 0 };
        if (libc_real()->epoll_ctl(epfd, EPOLL_CTL_DEL, epfd, &none) < 0 && errno == ENOENT)
            e = preload_epoll_track(epfd);
        if (e)
            preload_enter(); /* as preload_get() has it */
    }
    int r;
    if (e && e->kind == FD_EPOLL)
        r = s->kind == FD_EPOLL ? preload_nest_ctl(epfd, e, op, fd, s, ev) : preload_epoll_ctl(epfd, e, op, fd, s, ev);
    else
        r = (int)preload_kernel(libc_real()->epoll_ctl(epfd, op, fd, ev));
    if (e)
        preload_put(e);
    preload_put(s);
    return (int)preload_result(r);
}

/* ---- waiting ---- */

static int preload_epoll_wait_set(struct vcl_set *set, struct epoll_event *events, int max, const struct timespec *timeout,
                                  const sigset_t *mask)
{
    if (max <= 0 || (size_t)max > INT_MAX / sizeof(*events))
        return -EINVAL;
    return vcl_set_wait(set, events, max, timeout, mask);
}

static void preload_epoll_waited(struct fd_file *e)
{
    if (atomic_fetch_sub(&e->epoll.kernel_waiters, 1) == 1)
        preload_epoll_kick_done(e);
}
static void preload_epoll_cancelled(void *e)
{
    preload_epoll_waited(e);
    preload_put(e);
}

/* Through milliseconds where they do: epoll_pwait2 is young. The call, and its fourth argument. */
static inline long preload_epoll_call(const struct timespec *timeout, long *arg)
{
    if (hs_unlikely(timeout && (timeout->tv_nsec % 1000000 || timeout->tv_sec >= INT32_MAX / 1000 - 1))) {
        *arg = (long)timeout;
        return SYS_epoll_pwait2;
    }
    *arg = timeout ? timeout->tv_sec * 1000 + timeout->tv_nsec / 1000000 : -1;
    return SYS_epoll_pwait;
}

/* Apart from those that come here alone: what may be left by a jump costs them a quarter more. */
static __attribute__((noinline)) long preload_epoll_wait_shared(int epfd, struct fd_file *e, struct epoll_event *events, int max, long call,
                                                                long arg, const sigset_t *mask)
{
    long n;
    PRELOAD_KERNEL_SLEEP(n, preload_epoll_cancelled, e, call, epfd, events, max, arg, mask, VCL_KERNEL_SIGSET);
    return n;
}

/* No stack socket in it so far: the kernel's wait, unless a set appears meanwhile. -ESTALE: it did, wait again there. */
static inline __attribute__((always_inline)) int preload_epoll_wait_kernel(int epfd, struct fd_file *e, struct epoll_event *events, int max,
                                     const struct timespec *timeout, const sigset_t *mask)
{
    int r;
    atomic_fetch_add(&e->epoll.kernel_waiters, 1); /* before the look at the set, see preload_epoll_kick() */
    if (atomic_load(&e->epoll.set)) {
        r = -ESTALE;
    } else {
        long arg, call = preload_epoll_call(timeout, &arg);
        r = __libc_single_threaded ? (int)vcl_sleep_in(call, epfd, (long)events, max, arg, (long)mask, VCL_KERNEL_SIGSET)
                                   : (int)preload_epoll_wait_shared(epfd, e, events, max, call, arg, mask);
        if (r > 0 && atomic_load(&e->epoll.set)) {
            r = vcl_set_sort_out(atomic_load(&e->epoll.set), events, r);
            if (r == 0)
                r = -ESTALE;
        }
    }
    preload_epoll_waited(e);
    return r;
}

static inline __attribute__((always_inline)) int preload_epoll_wait_once(int epfd, struct fd_file *e, struct epoll_event *events, int max,
                                                                         const struct timespec *timeout, const sigset_t *mask)
{
    struct vcl_set *set = atomic_load_explicit(&e->epoll.set, memory_order_acquire);
    if (set)
        return preload_epoll_wait_set(set, events, max, timeout, mask);
    struct timespec begin, left;
    bool is_timed = timeout && (timeout->tv_sec || timeout->tv_nsec); /* who only looks need not know how long it took */
    if (is_timed)
        clock_gettime(CLOCK_MONOTONIC, &begin);
    int r = preload_epoll_wait_kernel(epfd, e, events, max, timeout, mask);
    if (r != -ESTALE)
        return r;
    return preload_epoll_wait_set(atomic_load(&e->epoll.set), events, max, is_timed ? preload_timeout_left(&begin, timeout, &left) : timeout, mask);
}

/* Sets are in it, whose events may be about nothing. */
static __attribute__((noinline)) int preload_epoll_wait_nests(int epfd, struct fd_file *e, struct epoll_event *events, int max,
                                                              const struct timespec *timeout, const sigset_t *mask)
{
    enum { AFTER_THE_END = 64 }; /* what was told for nothing may have hidden something else */
    struct timespec begin, left;
    const struct timespec *now = timeout;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int late = 0;; late += now && !now->tv_sec && !now->tv_nsec) {
        int r = preload_epoll_wait_once(epfd, e, events, max, now, mask);
        if (r > 0)
            r = preload_nest_sort(epfd, e, events, r);
        else
            return r;
        if (r > 0 || late == AFTER_THE_END)
            return r;
        now = preload_timeout_left(&begin, timeout, &left);
    }
}

static inline int preload_epoll_wait(int epfd, struct fd_file *e, struct epoll_event *events, int max, const struct timespec *timeout,
                                     const sigset_t *mask)
{
    if (hs_unlikely(atomic_load_explicit(&e->epoll.has_nests, memory_order_relaxed)))
        return preload_epoll_wait_nests(epfd, e, events, max, timeout, mask);
    int r = preload_epoll_wait_once(epfd, e, events, max, timeout, mask);
    if (hs_unlikely(r > 0 && atomic_load_explicit(&e->epoll.has_nests, memory_order_relaxed))) { /* another thread has put one in */
        r = preload_nest_sort(epfd, e, events, r);
        return r ? r : preload_epoll_wait_nests(epfd, e, events, max, timeout, mask);
    }
    return r;
}

static struct fd_file *preload_get_epoll(int epfd)
{
    struct fd_file *e = preload_get(epfd);
    if (!e || e->kind == FD_EPOLL)
        return e;
    preload_put(e);
    return NULL;
}

HS_EXPORT int hs_epoll_pwait2(int epfd, struct epoll_event *events, int max, const struct timespec *timeout,
                                     const sigset_t *mask)
{
    struct fd_file *e = preload_time_is_valid(&timeout) ? preload_get_epoll(epfd) : NULL;
    if (!e)
        return libc_real()->epoll_pwait2 ? libc_real()->epoll_pwait2(epfd, events, max, timeout, mask)
                                         : (int)preload_result(-ENOSYS);
    preload_cancel_point(e);
    preload_mask_begin(mask);
    int r = preload_epoll_wait(epfd, e, events, max, timeout, mask);
    preload_mask_end(mask);
    preload_put(e);
    return (int)preload_result(r);
}

HS_EXPORT int hs_epoll_pwait(int epfd, struct epoll_event *events, int max, int timeout_ms, const sigset_t *mask)
{
    struct fd_file *e = preload_get_epoll(epfd);
    if (!e)
        return libc_real()->epoll_pwait(epfd, events, max, timeout_ms, mask);
    struct timespec ts = { .tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };
    preload_cancel_point(e);
    preload_mask_begin(mask);
    int r = preload_epoll_wait(epfd, e, events, max, timeout_ms < 0 ? NULL : &ts, mask);
    preload_mask_end(mask);
    preload_put(e);
    return (int)preload_result(r);
}

HS_EXPORT int hs_epoll_wait(int epfd, struct epoll_event *events, int max, int timeout_ms)
{
    return hs_epoll_pwait(epfd, events, max, timeout_ms, NULL);
}
