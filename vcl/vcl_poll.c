/* vcl_poll.c - waits over sockets and kernel descriptors together: vcl_set_wait, vcl_poll_wait, vcl_event_fd
 *
 * Ready list and queues first, the kernel without blocking every few turns; asleep only in the kernel, after every worker concerned
 * has announced it and everything was looked at once more. */
#include <stdlib.h>
#include <sys/eventfd.h>
#include "vcl/vcl_sctp_internal.h"
#include "vcl/vcl_sleep.h"

enum { KERNEL_EVERY = 8 /* turns */, POLL_ON_STACK = 64 };

enum { RANG_BELL = 1, RANG_ATTACH = 2 };

/* The program's events to the front; RANG_* of ours among them. The attach socket is in the set for EPOLLRDNORM, the others for
 * EPOLLIN: that tells them apart. */
static unsigned drop_internal(struct vcl_set *set, struct epoll_event *ev, int *n)
{
    int kept = 0, all = *n;
    unsigned rang = 0;

    for (int i = 0; i < all; i++)
        if (ev[i].data.u64 == VCL_SET_DOORBELL_DATA)
            rang |= ev[i].events & EPOLLIN && !(ev[i].events & (EPOLLHUP | EPOLLERR)) ? RANG_BELL : RANG_BELL | RANG_ATTACH;
        else if (hs_likely(!vcl_set_is_twin(&ev[i])) || vcl_set_take_twin(set, &ev[i]))
            ev[kept++] = ev[i];
    *n = kept;
    return rang;
}

int vcl_set_sort_out(struct vcl_set *set, struct epoll_event *ev, int n)
{
    drop_internal(set, ev, &n);
    return n;
}

static void worker_rang(struct vcl_worker *w, bool bell, bool attach_socket)
{
    if (bell)
        vcl_worker_bell_drain(w);
    if (attach_socket)
        vcl_worker_att_input(w);
    vcl_worker_drain(w);
}

static void set_rang(struct vcl_set *set, unsigned rang)
{
    for (unsigned i = 0; i < set->n_workers; i++) {
        struct vcl_worker *w = set->workers[i];

        pthread_mutex_lock(&w->lock);
        worker_rang(w, rang & RANG_BELL, rang & RANG_ATTACH);
        if (!atomic_load(&w->attached))
            vcl_worker_retry_attach(w);
        pthread_mutex_unlock(&w->lock);
    }
    vcl_lock_take(&set->lock);
    vcl_set_join_all(set);
    vcl_lock_give(&set->lock);
}

/* The kernel's events without blocking; ours are handled. Number of the program's, or -errno. */
static int kernel_now(struct vcl_set *set, struct epoll_event *ev, int max)
{
    struct timespec zero = { 0, 0 };
    int n = sys_epoll_pwait(set->epfd, ev, max, &zero, NULL);
    unsigned rang;

    if (n < 0)
        return errno == EINTR ? 0 : -errno;
    rang = drop_internal(set, ev, &n);
    if (rang)
        set_rang(set, rang);
    atomic_store_explicit(&set->kernel_busy, n > 0, memory_order_relaxed);
    return n;
}

static bool shorten(struct timespec *left, const struct timespec **timeout, int64_t cap)
{
    if (cap < 0 || (*timeout && left->tv_sec == 0 && left->tv_nsec <= cap))
        return false;
    *left = (struct timespec){ cap / 1000000000, cap % 1000000000 };
    *timeout = left;
    return true;
}

/* Arming has found a socket that another process uses: nobody rings when it can be claimed. */
static bool shorten_for_claims(struct vcl_worker *const *workers, unsigned n, struct timespec *left, const struct timespec **timeout)
{
    bool any = false;

    for (unsigned i = 0; i < n; i++) {
        if (hs_likely(!atomic_load_explicit(&workers[i]->n_wanted, memory_order_relaxed)))
            continue;
        pthread_mutex_lock(&workers[i]->lock);
        any = shorten(left, timeout, vcl_sleep_cap_ns(workers[i])) || any;
        pthread_mutex_unlock(&workers[i]->lock);
    }
    return any;
}

/* One sleep. Number of events, 0 = look again (or time-out), -errno. */
static int set_sleep(struct vcl_set *set, struct epoll_event *ev, int max, const struct vcl_deadline *d, const sigset_t *mask,
                     bool *collected)
{
    struct timespec left = { 0, 0 };
    const struct timespec *timeout = NULL;
    struct vcl_sleeper sl;
    int n, got = 0;
    unsigned rang = 0, n_workers = set->n_workers;
    bool retry = false, accepts;

    if (!d->forever) {
        vcl_deadline_left(d, &left);
        timeout = &left;
    }
    vcl_lock_take(&set->lock);
    accepts = set->has_listener;
    vcl_lock_give(&set->lock);
    for (unsigned i = 0; i < n_workers; i++) {
        struct vcl_worker *w = set->workers[i];

        pthread_mutex_lock(&w->lock);
        if (i == 0)
            vcl_sleeper_link(w, &sl, -1, set);
        if (accepts)
            vcl_accept_waits(w, 1);
        vcl_worker_sleep_begin(w);
        vcl_worker_drain(w);
        retry = shorten(&left, &timeout, vcl_sleep_cap_ns(w)) || retry;
        pthread_mutex_unlock(&w->lock);
    }
    vcl_lock_take(&set->lock);
    set->n_waiting++;
    vcl_set_join_all(set);
    vcl_lock_give(&set->lock);
    n = vcl_set_collect(set, ev, max);
    if (n == 0 && vcl_is_interrupted()) {
        got = -ECANCELED;
    } else if (n == 0 && set->n_workers == n_workers) {
        /* Else another thread has added a worker, whose peers do not know that we sleep: once more. Who adds one from now on wakes us; what
         * woke us before, the collecting has taken. */
        retry = shorten_for_claims(set->workers, n_workers, &left, &timeout) || retry;
        got = vcl_sleep_epoll(set->epfd, ev, max, timeout, mask);
        if (got > 0)
            rang = drop_internal(set, ev, &got);
    }
    vcl_lock_take(&set->lock);
    set->n_waiting--;
    vcl_lock_give(&set->lock);
    for (unsigned i = 0; i < n_workers; i++) {
        struct vcl_worker *w = set->workers[i];

        pthread_mutex_lock(&w->lock);
        if (i == 0)
            vcl_sleeper_unlink(w, &sl);
        if (accepts)
            vcl_accept_waits(w, -1);
        vcl_worker_sleep_end(w);
        pthread_mutex_unlock(&w->lock);
    }
    if (rang || retry)
        set_rang(set, rang);
    if (n == 0 && got > 0)
        atomic_store_explicit(&set->kernel_busy, true, memory_order_relaxed);
    *collected = n > 0;
    return n ? n : got;
}

static bool set_looks_over(void *arg)
{
    struct vcl_set *set = arg;

    vcl_worker_try_turn(set->workers[0]);
    return atomic_load_explicit(&set->rdy_head, memory_order_relaxed) != NULL;
}

int vcl_set_wait(struct vcl_set *set, struct epoll_event *events, int max, const struct timespec *timeout, const sigset_t *sigmask)
{
    struct vcl_deadline d = vcl_deadline_of(timeout);
    struct vcl_spin_wait spin = { 0 };
    struct timespec left;
    bool collected, has_looked = false;
    uint32_t turn;
    int n, k;

    if (max <= 0)
        return -EINVAL;
    if (hs_unlikely(set->inherited))
        vcl_set_in_child(set);
    for (;;) {
        for (unsigned i = 0; i < set->n_workers; i++)
            vcl_worker_turn(set->workers[i]);
        /* Kernel descriptors that were ready last time keep their share of the room. */
        n = set->rdy_head ? vcl_set_collect(set, events, set->kernel_busy && max > 1 ? max - max / 4 - 1 : max) : 0;
        if (n > 0) {
            if (set->n_workers == 1)
                vcl_spin_slept(&set->workers[0]->spin, &spin);
            turn = atomic_load_explicit(&set->turn, memory_order_relaxed) + 1;
            atomic_store_explicit(&set->turn, turn, memory_order_relaxed);
            if (n < max && (set->kernel_busy || turn % KERNEL_EVERY == 0)) {
                k = kernel_now(set, events + n, max - n);
                n += k > 0 ? k : 0;
            }
            return n;
        }
        if (!d.forever && !vcl_deadline_left(&d, &left)) {
            n = kernel_now(set, events, max);
            if (n >= 0 && n < max)
                n += vcl_set_collect(set, events + n, max - n);
            return n;
        }
        if (!has_looked && set->n_workers == 1 && !set->kernel_busy && !set->news) {
            has_looked = true;
            if (vcl_spin(&set->workers[0]->spin, &spin, set_looks_over, set))
                continue;
        }
        n = set_sleep(set, events, max, &d, sigmask, &collected);
        if (n < 0)
            return n;
        if (n > 0) {
            if (collected && set->n_workers == 1)
                vcl_spin_slept(&set->workers[0]->spin, &spin);
            if (n < max && !collected) { /* a level-triggered socket may stand in the answer once only */
                for (unsigned i = 0; i < set->n_workers; i++)
                    vcl_worker_turn(set->workers[i]);
                n += set->rdy_head ? vcl_set_collect(set, events + n, max - n) : 0;
            }
            return n;
        }
    }
}

/* ---- poll ---- */
struct poll_wait {
    struct vcl_pollfd *fds;
    unsigned n;
    struct vcl_waiter *waiters;   /* one a socket */
    struct pollfd *kernel;        /* kernel descriptors, then doorbells */
    unsigned n_kernel, n_own;
    struct vcl_worker *workers[VCL_MAX_SET_WORKERS];
    unsigned n_workers;
    bool accepts;                 /* there are listeners among them */
    int wake_fd;
    struct vcl_sleeper sleeper;   /* of workers[0] */
};

static short to_poll(uint32_t ev) { return (short)(ev & 0x23ff); } /* EPOLL* and POLL* have the same numbers */

/* Else for its end alone, which a process that does not use the socket need not see at once. */
static bool asks_for_bytes(const struct vcl_pollfd *p) { return p->events & ~(POLLERR | POLLHUP | POLLNVAL); }

static uint32_t look_socket(struct vcl_pollfd *p)
{
    uint32_t ev = vcl_poll_now(p->socket);

    ev |= (ev & EPOLLIN ? EPOLLRDNORM : 0) | (ev & EPOLLOUT ? EPOLLWRNORM : 0);
    return ev & ((uint32_t)(uint16_t)p->events | EPOLLERR | EPOLLHUP);
}

static int look_sockets(struct poll_wait *pw)
{
    int n = 0;

    for (unsigned i = 0; i < pw->n; i++)
        if (pw->fds[i].socket) {
            pw->fds[i].revents = to_poll(look_socket(&pw->fds[i]));
            n += pw->fds[i].revents != 0;
        }
    return n;
}

/* Arms what is asked for; true if something is ready after all. */
static bool arm_sockets(struct poll_wait *pw)
{
    bool ready = false;

    for (unsigned i = 0; i < pw->n; i++) {
        struct vcl_socket *s = pw->fds[i].socket;

        if (!s)
            continue;
        if (vcl_state(s) != VCL_LISTENING || vcl_sctp_is_many(s)) {
            if (pw->fds[i].events & (POLLIN | POLLRDNORM | POLLRDHUP))
                vcl_arm_read(s);
            if (pw->fds[i].events & (POLLOUT | POLLWRNORM))
                vcl_arm_write(s);
            if (hs_unlikely(s->shared) && !asks_for_bytes(&pw->fds[i]))
                vcl_claim_want(s); /* should it be elsewhere */
        }
        ready = ready || look_socket(&pw->fds[i]);
    }
    return ready;
}

static int kernel_result(struct poll_wait *pw)
{
    unsigned k = 0;
    int n = 0;

    for (unsigned i = 0; i < pw->n; i++)
        if (!pw->fds[i].socket) {
            pw->fds[i].revents = pw->kernel[k++].revents;
            n += pw->fds[i].revents != 0;
        }
    return n;
}

static void note_worker(struct poll_wait *pw, struct vcl_worker *w)
{
    for (unsigned i = 0; i < pw->n_workers; i++)
        if (pw->workers[i] == w)
            return;
    if (pw->n_workers < VCL_MAX_SET_WORKERS)
        pw->workers[pw->n_workers++] = w;
}

/* Worker lock held. */
static void accept_from(const struct vcl_pollfd *p)
{
    if (vcl_state(p->socket) == VCL_LISTENING && p->events & (POLLIN | POLLRDNORM) && p->socket->armed != VCL_ARM_ON)
        vcl_accept_arm(p->socket, VCL_ARM_ON);
}

static void sleep_begin(struct poll_wait *pw, struct timespec *left, const struct timespec **timeout)
{
    pw->n_own = pw->n_kernel;
    pw->wake_fd = -1;
    for (unsigned i = 0; i < pw->n_workers; i++) {
        struct vcl_worker *w = pw->workers[i];

        pthread_mutex_lock(&w->lock);
        if (pw->wake_fd < 0 && vcl_threads_share() && !w->sandboxed)
            pw->wake_fd = vcl_worker_spare_fd(w);
        if (i == 0)
            vcl_sleeper_link(w, &pw->sleeper, pw->wake_fd, NULL);
        if (pw->accepts)
            vcl_accept_waits(w, 1);
        vcl_worker_sleep_begin(w);
        for (unsigned k = 0; k < pw->n; k++)
            if (pw->fds[k].socket && pw->fds[k].socket->w == w) {
                pw->waiters[k] = (struct vcl_waiter){ .thread = pthread_self(), .fd = pw->wake_fd };
                vcl_waiter_link(pw->fds[k].socket, &pw->waiters[k]);
                accept_from(&pw->fds[k]);
            }
        vcl_worker_drain(w);
        pw->kernel[pw->n_own++] = (struct pollfd){ .fd = w->bell_fd, .events = POLLIN };
        if (!w->sandboxed)
            pw->kernel[pw->n_own++] = (struct pollfd){ .fd = w->att_fd, .events = POLLIN };
        shorten(left, timeout, vcl_sleep_cap_ns(w));
        pthread_mutex_unlock(&w->lock);
    }
    if (pw->wake_fd < 0 && vcl_threads_share())
        shorten(left, timeout, VCL_REATTACH_NS); /* no descriptor to be woken by */
    if (pw->wake_fd >= 0)
        pw->kernel[pw->n_own++] = (struct pollfd){ .fd = pw->wake_fd, .events = POLLIN };
}

static void sleep_end(struct poll_wait *pw, bool slept)
{
    const struct pollfd *own = &pw->kernel[pw->n_kernel];

    for (unsigned i = 0; i < pw->n_workers; i++) {
        struct vcl_worker *w = pw->workers[i];
        const struct pollfd *bell = own++, *att = w->sandboxed ? NULL : own++;

        pthread_mutex_lock(&w->lock);
        if (i == 0)
            vcl_sleeper_unlink(w, &pw->sleeper);
        if (pw->accepts)
            vcl_accept_waits(w, -1);
        vcl_worker_sleep_end(w);
        /* Still linked: a connection that another process uses is asked for only while somebody waits for it. */
        worker_rang(w, slept && bell->revents, slept && att && att->revents);
        for (unsigned k = 0; k < pw->n; k++)
            if (pw->fds[k].socket && pw->fds[k].socket->w == w)
                vcl_waiter_unlink(pw->fds[k].socket, &pw->waiters[k]);
        if (!atomic_load(&w->attached))
            vcl_worker_retry_attach(w);
        if (i == 0 && pw->wake_fd >= 0) {
            uint64_t n;

            /* also when we did not sleep: somebody may have woken us between */
            if (sys_read(pw->wake_fd, &n, sizeof(n)) < 0)
                n = 0; /* nobody woke us by it */
            vcl_worker_put_fd(w, pw->wake_fd);
        }
        pthread_mutex_unlock(&w->lock);
    }
}

/* While sockets are ready: is there a descriptor of the kernel's that the answer would leave out? The kernel's side of a socket (its number is
 * the next entry's) is asked every few calls only when the other side is ready. */
static bool kernel_is_due(struct poll_wait *pw)
{
    for (unsigned i = 0; i < pw->n; i++) {
        const struct vcl_pollfd *p = &pw->fds[i];
        bool is_told = i + 1 < pw->n && p[1].socket && p[1].fd == p->fd && p[1].revents;
        if (!p->socket && p->fd >= 0 && !is_told)
            return true;
    }
    return atomic_fetch_add_explicit(&pw->workers[0]->poll_turn, 1, memory_order_relaxed) % KERNEL_EVERY == 0;
}

static bool poll_looks_over(void *arg)
{
    struct poll_wait *pw = arg;

    vcl_worker_try_turn(pw->workers[0]);
    return look_sockets(pw) > 0;
}

/* Before it says that there is nothing. */
static bool look_again(struct poll_wait *pw)
{
    bool may_be = false;

    for (unsigned i = 0; i < pw->n; i++)
        if (pw->fds[i].socket && asks_for_bytes(&pw->fds[i]) && vcl_claim_look_again(pw->fds[i].socket)) {
            vcl_socket_enter_soon(pw->fds[i].socket); /* the server may have taken it meanwhile */
            may_be = true;
        }
    return may_be;
}

static int poll_run(struct poll_wait *pw, const struct vcl_deadline *d, const sigset_t *mask)
{
    struct vcl_spin_wait spin = { 0 };
    bool has_looked = false;

    for (;;) {
        struct timespec left = { 0, 0 };
        const struct timespec *timeout = &left;
        bool over, slept;
        int n, k;

        for (unsigned i = 0; i < pw->n_workers; i++)
            vcl_worker_turn(pw->workers[i]);
        n = look_sockets(pw);
        over = !n && !d->forever && !vcl_deadline_left(d, &left);
        if (over && look_again(pw))
            n = look_sockets(pw);
        if (!n && !over && !has_looked && pw->n_workers == 1) {
            has_looked = true;
            if (vcl_spin(&pw->workers[0]->spin, &spin, poll_looks_over, pw))
                continue;
        }
        if (n && pw->n_workers == 1)
            vcl_spin_slept(&pw->workers[0]->spin, &spin);
        if (n && pw->n_kernel && pw->n_workers && !kernel_is_due(pw))
            return n;
        if (n || over) { /* the kernel's, as they stand */
            k = pw->n_kernel ? sys_ppoll(pw->kernel, pw->n_kernel, &(struct timespec){ 0, 0 }, n ? NULL : mask) : 0;
            if (k < 0)
                return n ? n : -errno;
            return n + kernel_result(pw);
        }
        if (d->forever)
            timeout = NULL;
        sleep_begin(pw, &left, &timeout);
        k = 0;
        slept = !arm_sockets(pw);
        if (slept && vcl_is_interrupted()) {
            k = -ECANCELED;
        } else if (slept) {
            shorten_for_claims(pw->workers, pw->n_workers, &left, &timeout);
            k = vcl_sleep_poll(pw->kernel, pw->n_own, timeout, mask);
            k = k > 0 ? 0 : k;
        } else {
            for (unsigned i = 0; i < pw->n_kernel; i++)
                pw->kernel[i].revents = 0;
        }
        sleep_end(pw, slept && k == 0);
        if (k < 0)
            return k;
        n = kernel_result(pw);
        if (n)
            return n + look_sockets(pw);
    }
}

int vcl_poll_wait(struct vcl_pollfd *fds, unsigned n, const struct timespec *timeout, const sigset_t *sigmask)
{
    struct vcl_waiter waiters[POLL_ON_STACK];
    struct pollfd kernel[POLL_ON_STACK + 2 * VCL_MAX_SET_WORKERS + 1];
    struct poll_wait pw = { .fds = fds, .n = n, .waiters = waiters, .kernel = kernel, .wake_fd = -1 };
    struct vcl_deadline d = vcl_deadline_of(timeout);
    int rc = -ENOMEM;

    if (n > POLL_ON_STACK) {
        pw.waiters = calloc(n, sizeof(*pw.waiters));
        pw.kernel = calloc(n + 2 * VCL_MAX_SET_WORKERS + 1, sizeof(*pw.kernel));
        if (!pw.waiters || !pw.kernel)
            goto out;
    }
    for (unsigned i = 0; i < n; i++) {
        struct vcl_socket *s = fds[i].socket;

        fds[i].revents = 0;
        if (!s) {
            pw.kernel[pw.n_kernel++] = (struct pollfd){ .fd = fds[i].fd, .events = fds[i].events };
            continue;
        }
        if (asks_for_bytes(&fds[i]))
            vcl_socket_enter_soon(s);
        else if (!vcl_socket_adopt(s) && hs_unlikely(s->shared))
            vcl_claim_idly(s);
        note_worker(&pw, s->w);
        pw.accepts = pw.accepts || (vcl_state(s) == VCL_LISTENING && fds[i].events & (POLLIN | POLLRDNORM));
        if (vcl_state(s) == VCL_LISTENING && s->armed != VCL_ARM_ON) {
            pthread_mutex_lock(&s->w->lock);
            accept_from(&fds[i]);
            pthread_mutex_unlock(&s->w->lock);
        }
    }
    rc = poll_run(&pw, &d, sigmask);
out:
    if (pw.waiters != waiters)
        free(pw.waiters);
    if (pw.kernel != kernel)
        free(pw.kernel);
    return rc;
}

/* ---- for those who wait in the kernel on their own ---- */
void vcl_worker_event_fd_join(struct vcl_worker *w)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = VCL_SET_DOORBELL_DATA };

    if (w->event_epfd >= 0 && atomic_load(&w->attached)) {
        sys_epoll_ctl(w->event_epfd, EPOLL_CTL_ADD, w->bell_fd, &ev);
        sys_epoll_ctl(w->event_epfd, EPOLL_CTL_ADD, w->att_fd, &ev); /* nobody looks at its events here */
    }
}

int vcl_event_fd(void)
{
    struct vcl_worker *w = vcl_worker_current();
    int fd;

    if (!w)
        return -ENOMEM;
    vcl_worker_attach(w); /* without a server it stays silent until one comes */
    pthread_mutex_lock(&w->lock);
    if (w->event_epfd < 0) {
        w->event_epfd = vcl_fd_keep(sys_epoll_create());
        if (w->event_epfd >= 0) {
            atomic_store(&w->eager, true);
            if (w->page)
                svm_sleep_begin(&w->page->sleep);
            vcl_worker_event_fd_join(w);
        }
    }
    fd = w->event_epfd;
    pthread_mutex_unlock(&w->lock);
    return fd;
}
