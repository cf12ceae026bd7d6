/* preload_poll.c - poll, ppoll, select, pselect over stack sockets and kernel descriptors together
 *
 * With no stack socket in the call it is libc's own. Else the descriptors become one list for vcl_poll_wait(): a socket that both
 * serve is there twice and its answers are joined. Where a number leads to is looked up again after each sleep, as Linux does: another
 * thread may have closed it, or put another file there. */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/single_threaded.h>
#include "preload/preload.h"

enum { POLL_ON_STACK = 64, POLL_MANY = 1024 };

struct poll_list {
    struct vcl_pollfd *v;
    struct fd_file **files;  /* references to give back */
    unsigned n, n_files;
    bool has_sets;           /* epoll sets are among them */
    void *heap;
    struct vcl_pollfd v_small[POLL_ON_STACK];
    struct fd_file *files_small[POLL_ON_STACK];
};

static int poll_list_init(struct poll_list *l, unsigned max)
{
    l->n = l->n_files = 0;
    l->has_sets = false;
    l->v = l->v_small;
    l->files = l->files_small;
    if (2 * max <= POLL_ON_STACK)
        return 0;
    l->v = malloc(2 * max * sizeof(*l->v));
    l->files = malloc(max * sizeof(*l->files));
    if (l->v && l->files)
        return 0;
    free(l->v);
    free(l->files);
    return -ENOMEM;
}

static void poll_list_fini(struct poll_list *l)
{
    for (unsigned i = 0; i < l->n_files; i++)
        preload_put(l->files[i]);
    if (l->v != l->v_small) {
        free(l->v);
        free(l->files);
    }
}

/* Of preload_enter(), too. */
static void poll_list_cancelled(void *arg)
{
    struct poll_list *l = arg;
    poll_list_fini(l);
    free(l->heap);
    preload_leave();
}

static void poll_list_add(struct poll_list *l, int fd, short events)
{
    struct fd_file *f = fd < 0 ? NULL : preload_get(fd);
    if (f && (f->kind != FD_SOCKET || preload_serve(f) < FD_STACK)) {
        l->has_sets = l->has_sets || f->kind == FD_EPOLL;
        preload_put(f);
        f = NULL;
    }
    if (f && !f->sock.is_accepted && !f->sock.is_listener)
        preload_listens(f);
    if (!f || preload_is_both(f))
        l->v[l->n++] = (struct vcl_pollfd){ .socket = NULL, .fd = fd, .events = events };
    if (f) {
        l->v[l->n++] = (struct vcl_pollfd){ .socket = f->sock.vcl, .fd = fd, .events = events };
        l->files[l->n_files++] = f;
    }
}

/* poll(2): more than may be open is EINVAL, which libc's call says. */
static bool poll_is_too_many(nfds_t n)
{
    struct rlimit limit;
    return n > POLL_MANY && getrlimit(RLIMIT_NOFILE, &limit) == 0 && n > limit.rlim_cur;
}

/* Is there anything for us? Decided before anything is built, because mostly there is not. */
static bool poll_concerns(const struct pollfd *fds, nfds_t n)
{
    for (nfds_t i = 0; i < n; i++)
        if (fd_table_has(&preload.fds, fds[i].fd))
            return true;
    return false;
}

/* One wait. */
static int poll_list_wait(struct poll_list *l, struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    long r;
    if (l->n_files == 0) {
        struct timespec left = timeout ? *timeout : (struct timespec){ 0, 0 }; /* the kernel writes into it */
        PRELOAD_KERNEL_SLEEP(r, poll_list_cancelled, l, SYS_ppoll, fds, n, timeout ? &left : NULL, mask, VCL_KERNEL_SIGSET, 0);
        return (int)r;
    }
    r = vcl_poll_wait(l->v, l->n, timeout, mask);
    if (r < 0)
        return (int)r;
    r = 0;
    for (unsigned i = 0, k = 0; i < n; i++) {
        fds[i].revents = l->v[k++].revents;
        /* The second entry of a socket on both sides follows its first. */
        if (k < l->n && l->v[k].socket && l->v[k].fd == fds[i].fd && !l->v[k - 1].socket && fds[i].fd >= 0)
            fds[i].revents |= l->v[k++].revents;
        r += fds[i].revents != 0;
    }
    return (int)r;
}

/* The epoll sets among them become readable by what comes for any socket of the process. Before the wait; false: none has stack sockets. */
static bool poll_settle_sets(const struct pollfd *fds, nfds_t n)
{
    bool any = false;
    for (nfds_t i = 0; i < n; i++) {
        struct fd_file *f = fds[i].fd < 0 ? NULL : preload_get(fds[i].fd);
        if (f && f->kind == FD_EPOLL)
            any = preload_nest_settle(f) || any;
        if (f)
            preload_put(f);
    }
    return any;
}

/* After it: how many are left when those are taken out for which it was nothing. */
static int poll_true_sets(struct pollfd *fds, nfds_t n, int ready)
{
    for (nfds_t i = 0; i < n; i++) {
        struct fd_file *f = fds[i].fd < 0 || !fds[i].revents ? NULL : preload_get(fds[i].fd);
        if (f && f->kind == FD_EPOLL && !preload_nest_is_ready(f, fds[i].fd)) {
            fds[i].revents = 0;
            ready--;
        }
        if (f)
            preload_put(f);
    }
    return ready;
}

static int poll_list_wait_sets(struct poll_list *l, struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    struct timespec begin, left;
    const struct timespec *now = timeout;
    if (!poll_settle_sets(fds, n))
        return poll_list_wait(l, fds, n, timeout, mask);
    if (timeout)
        clock_gettime(CLOCK_MONOTONIC, &begin);
    for (;;) {
        int r = poll_list_wait(l, fds, n, now, mask);
        if (r <= 0)
            return r;
        r = poll_true_sets(fds, n, r);
        if (r > 0)
            return r;
        now = preload_timeout_left(&begin, timeout, &left);
        if (now && !now->tv_sec && !now->tv_nsec)
            return 0;
    }
}

/* heap: of the caller's, freed if the thread is cancelled. Between preload_enter() and preload_leave(). */
static int poll_entered(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, void *heap)
{
    struct poll_list l;
    l.heap = heap;
    int r = poll_list_init(&l, (unsigned)n);
    if (r < 0)
        return r;
    for (nfds_t i = 0; i < n; i++)
        poll_list_add(&l, fds[i].fd, fds[i].events);
    r = hs_unlikely(l.has_sets) ? poll_list_wait_sets(&l, fds, n, timeout, mask) : poll_list_wait(&l, fds, n, timeout, mask);
    poll_list_fini(&l);
    return r;
}

/* ---- numbers that lead elsewhere when they are looked at again ---- */

static struct fd_file *poll_file_at(int fd)
{
    struct fd_file *_Atomic *slot = fd < 0 ? NULL : fd_table_slot(&preload.fds, fd);
    return slot ? atomic_load_explicit(slot, memory_order_acquire) : NULL;
}

/* Where they lead to, to be compared only: if one number leads elsewhere, it is another. */
static uint64_t poll_digest(const struct pollfd *fds, nfds_t n)
{
    uint64_t digest = 0;
    for (nfds_t i = 0; i < n; i++)
        digest = digest * UINT64_C(0x9e3779b97f4a7c15) + (uintptr_t)poll_file_at(fds[i].fd);
    return digest;
}

/* Only other threads change them while this one sleeps; who does not sleep need not know. */
static inline bool poll_may_change(const struct timespec *timeout)
{
    return !__libc_single_threaded && !(timeout && !timeout->tv_sec && !timeout->tv_nsec);
}

/* poll_entered() where they may. Who slept, if only until the time was over, looks at what is there then: *is_anew. */
static __attribute__((noinline)) int poll_threaded(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, void *heap,
                                                   bool *is_anew)
{
    struct timespec begin, left;
    (void)preload_time_is_valid(&timeout); /* select()'s may be longer than a clock goes */
    const struct timespec *now = timeout;
    if (timeout)
        clock_gettime(CLOCK_MONOTONIC, &begin);
    for (;;) {
        uint64_t before = poll_digest(fds, n);
        int r = poll_entered(fds, n, now, mask, heap);
        bool is_over = now && !now->tv_sec && !now->tv_nsec;
        if (r < 0 || is_over || poll_digest(fds, n) == before)
            return r;
        *is_anew = true;
        left = (struct timespec){ 0, 0 };
        now = r ? preload_timeout_left(&begin, timeout, &left) : &left;
    }
}

static __attribute__((noinline)) int preload_poll_threaded(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    bool is_anew = false;
    preload_enter();
    preload_mask_begin(mask);
    int r = poll_threaded(fds, n, timeout, mask, NULL, &is_anew);
    preload_mask_end(mask);
    preload_leave();
    return r;
}

static int preload_poll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    if (hs_unlikely(poll_may_change(timeout)))
        return preload_poll_threaded(fds, n, timeout, mask);
    preload_enter();
    preload_mask_begin(mask);
    int r = poll_entered(fds, n, timeout, mask, NULL);
    preload_mask_end(mask);
    preload_leave();
    return r;
}

HS_EXPORT int hs_ppoll(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask)
{
    if (hs_likely(!poll_concerns(fds, n)) || poll_is_too_many(n) || !preload_time_is_valid(&timeout))
        return libc_real()->ppoll(fds, n, timeout, mask);
    preload_cancel_point(NULL);
    return (int)preload_result(preload_poll(fds, n, timeout, mask));
}

HS_EXPORT int hs_poll(struct pollfd *fds, nfds_t n, int timeout_ms)
{
    if (hs_likely(!poll_concerns(fds, n)) || poll_is_too_many(n))
        return libc_real()->poll(fds, n, timeout_ms);
    preload_cancel_point(NULL);
    struct timespec ts = { .tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000 };
    return (int)preload_result(preload_poll(fds, n, timeout_ms < 0 ? NULL : &ts, NULL));
}
HS_EXPORT int hs___poll(struct pollfd *fds, nfds_t n, int timeout_ms) { return hs_poll(fds, n, timeout_ms); }

HS_EXPORT int hs___poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size)
{
    return n * sizeof(*fds) > size ? libc_real()->__poll_chk(fds, n, timeout_ms, size) : hs_poll(fds, n, timeout_ms);
}

HS_EXPORT int hs___ppoll_chk(struct pollfd *fds, nfds_t n, const struct timespec *timeout, const sigset_t *mask, size_t size)
{
    return n * sizeof(*fds) > size ? libc_real()->__ppoll_chk(fds, n, timeout, mask, size)
                                   : hs_ppoll(fds, n, timeout, mask);
}

/* ---- select ---- */

enum { SELECT_WORD_BITS = 8 * (int)sizeof(fd_mask) };
/* What each set stands for (select(2), "Correspondence between select() and poll()"). */
enum {
    SELECT_READ_ASK = POLLIN | POLLRDNORM, SELECT_READ = POLLIN | POLLRDNORM | POLLRDBAND | POLLHUP | POLLERR,
    SELECT_WRITE_ASK = POLLOUT | POLLWRNORM, SELECT_WRITE = POLLOUT | POLLWRNORM | POLLWRBAND | POLLERR,
    SELECT_EXCEPT = POLLPRI,
};
/* Closed meanwhile: ready for all that was asked (Linux since 5.14; before, for nothing). */
static bool select_is(short revents, short what) { return revents & (what | POLLNVAL); }

static bool select_has(const fd_set *set, int fd)
{
    return set && (set->fds_bits[fd / SELECT_WORD_BITS] >> (fd % SELECT_WORD_BITS) & 1);
}
static void select_put(fd_set *set, int fd)
{
    set->fds_bits[fd / SELECT_WORD_BITS] |= (fd_mask)1 << (fd % SELECT_WORD_BITS);
}
static void select_zero(fd_set *set, int n)
{
    if (set)
        memset(set, 0, (size_t)(n + SELECT_WORD_BITS - 1) / SELECT_WORD_BITS * sizeof(fd_mask));
}

static bool select_concerns(int n, const fd_set *rd, const fd_set *wr, const fd_set *ex)
{
    for (int i = 0; i < n; i += SELECT_WORD_BITS) {
        int w = i / SELECT_WORD_BITS;
        fd_mask any = (rd ? rd->fds_bits[w] : 0) | (wr ? wr->fds_bits[w] : 0) | (ex ? ex->fds_bits[w] : 0);
        for (; any; any &= any - 1) {
            int fd = i + __builtin_ctzl((unsigned long)any);
            if (fd < n && fd_table_has(&preload.fds, fd))
                return true;
        }
    }
    return false;
}

static int select_collect(struct pollfd *p, int n, const fd_set *rd, const fd_set *wr, const fd_set *ex)
{
    int n_poll = 0;
    for (int fd = 0; fd < n; fd++) {
        short events = (short)((select_has(rd, fd) ? SELECT_READ_ASK : 0) | (select_has(wr, fd) ? SELECT_WRITE_ASK : 0) |
                               (select_has(ex, fd) ? SELECT_EXCEPT : 0));
        if (events)
            p[n_poll++] = (struct pollfd){ .fd = fd, .events = events };
    }
    return n_poll;
}

/* Bits that are set in the result; -EBADF for a descriptor that was not open at the beginning. */
static int select_distribute(const struct pollfd *p, int n_poll, int n, fd_set *rd, fd_set *wr, fd_set *ex, bool is_anew)
{
    int bits = 0;
    for (int i = 0; i < n_poll && !is_anew; i++)
        if (p[i].revents & POLLNVAL)
            return -EBADF;
    select_zero(rd, n);
    select_zero(wr, n);
    select_zero(ex, n);
    for (int i = 0; i < n_poll; i++) {
        if ((p[i].events & SELECT_READ_ASK) && select_is(p[i].revents, SELECT_READ)) {
            select_put(rd, p[i].fd);
            bits++;
        }
        if ((p[i].events & SELECT_WRITE_ASK) && select_is(p[i].revents, SELECT_WRITE)) {
            select_put(wr, p[i].fd);
            bits++;
        }
        if ((p[i].events & SELECT_EXCEPT) && select_is(p[i].revents, SELECT_EXCEPT)) {
            select_put(ex, p[i].fd);
            bits++;
        }
    }
    return bits;
}

static bool select_has_kernels(const struct pollfd *p, nfds_t n)
{
    for (nfds_t i = 0; i < n; i++)
        if (!poll_file_at(p[i].fd))
            return true;
    return false;
}

/* What was not open at the beginning is told by a look without sleep: later it is what another thread has closed. */
static int select_threaded(struct pollfd *p, nfds_t n, const struct timespec *timeout, const sigset_t *mask, void *heap, bool *is_anew)
{
    bool looks = select_has_kernels(p, n);
    int r = looks ? poll_entered(p, n, &(struct timespec){ 0, 0 }, NULL, heap) : 0;
    *is_anew = looks && r == 0;
    return r ? r : poll_threaded(p, n, timeout, mask, heap, is_anew);
}

static int select_entered(int n, fd_set *rd, fd_set *wr, fd_set *ex, const struct timespec *timeout, const sigset_t *mask)
{
    struct pollfd small[POLL_ON_STACK], *p = small;
    if (n > POLL_ON_STACK && !(p = malloc((size_t)n * sizeof(*p))))
        return -ENOMEM;
    bool is_anew = false;
    nfds_t n_poll = (nfds_t)select_collect(p, n, rd, wr, ex);
    void *heap = p != small ? p : NULL;
    int r = poll_may_change(timeout) ? select_threaded(p, n_poll, timeout, mask, heap, &is_anew) : poll_entered(p, n_poll, timeout, mask, heap);
    if (r >= 0)
        r = select_distribute(p, (int)n_poll, n, rd, wr, ex, is_anew);
    if (p != small)
        free(p);
    return r;
}

static int preload_select(int n, fd_set *rd, fd_set *wr, fd_set *ex, const struct timespec *timeout, const sigset_t *mask)
{
    preload_enter();
    preload_mask_begin(mask);
    int r = select_entered(n, rd, wr, ex, timeout, mask);
    preload_mask_end(mask);
    preload_leave();
    return r;
}

HS_EXPORT int hs_pselect(int n, fd_set *rd, fd_set *wr, fd_set *ex, const struct timespec *timeout, const sigset_t *mask)
{
    if (hs_likely(!select_concerns(n, rd, wr, ex)) || !preload_time_is_valid(&timeout))
        return libc_real()->pselect(n, rd, wr, ex, timeout, mask);
    preload_cancel_point(NULL);
    return (int)preload_result(preload_select(n, rd, wr, ex, timeout, mask));
}

HS_EXPORT int hs_select(int n, fd_set *rd, fd_set *wr, fd_set *ex, struct timeval *timeout)
{
    if (hs_likely(!select_concerns(n, rd, wr, ex)))
        return libc_real()->select(n, rd, wr, ex, timeout);
    preload_cancel_point(NULL);
    if (!timeout)
        return (int)preload_result(preload_select(n, rd, wr, ex, NULL, NULL));
    if (timeout->tv_sec < 0 || timeout->tv_usec < 0)
        return (int)preload_result(-EINVAL);
    struct timespec before, after;
    struct timespec ts = { .tv_sec = timeout->tv_sec + timeout->tv_usec / 1000000,
                           .tv_nsec = timeout->tv_usec % 1000000 * 1000 };
    clock_gettime(CLOCK_MONOTONIC, &before);
    int r = preload_select(n, rd, wr, ex, &ts, NULL);
    clock_gettime(CLOCK_MONOTONIC, &after);
    /* Linux leaves the time not slept in it (select(2)). */
    int64_t left_us = (ts.tv_sec - (after.tv_sec - before.tv_sec)) * (int64_t)1000000 +
                      (ts.tv_nsec - (after.tv_nsec - before.tv_nsec)) / 1000;
    if (left_us < 0)
        left_us = 0;
    *timeout = (struct timeval){ .tv_sec = left_us / 1000000, .tv_usec = left_us % 1000000 };
    return (int)preload_result(r);
}
HS_EXPORT int hs___select(int n, fd_set *rd, fd_set *wr, fd_set *ex, struct timeval *timeout)
{
    return hs_select(n, rd, wr, ex, timeout);
}
