/* vcl_wait.c - what a socket is ready for, arming of its FIFOs, and a thread's sleep for one socket
 *
 * No wake-up is lost: arm the FIFO (svm_fifo.h), announce the sleep (svm_layout.h), look at the queues and at the socket once more,
 * then sleep on the doorbell. Another thread that takes our event out of the queue wakes us by our eventfd. */
#include <sys/single_threaded.h>
#include "common/clock.h"
#include "vcl/vcl_sctp_internal.h"
#include "vcl/vcl_sleep.h"

int64_t vcl_now_ns(void) { return (int64_t)clock_now_ns(); }

struct vcl_deadline vcl_deadline_ns(int64_t timeout_ns)
{
    return (struct vcl_deadline){ .at_ns = timeout_ns ? vcl_now_ns() + timeout_ns : 0, .forever = timeout_ns == 0 };
}

struct vcl_deadline vcl_deadline_of(const struct timespec *t)
{
    if (!t || t->tv_sec > INT64_MAX / 2000000000)
        return (struct vcl_deadline){ .forever = true };
    if (t->tv_sec == 0 && t->tv_nsec == 0)
        return (struct vcl_deadline){ .at_ns = 0 }; /* has passed: no need of the clock */
    return (struct vcl_deadline){ .at_ns = vcl_now_ns() + t->tv_sec * 1000000000ll + t->tv_nsec };
}

bool vcl_deadline_left(const struct vcl_deadline *d, struct timespec *left)
{
    int64_t ns;

    if (d->at_ns == 0)
        return false;
    ns = d->at_ns - vcl_now_ns();
    if (ns <= 0)
        return false;
    left->tv_sec = ns / 1000000000;
    left->tv_nsec = ns % 1000000000;
    return true;
}

bool vcl_threads_share(void) { return !__libc_single_threaded; }

int64_t vcl_sleep_cap_ns(const struct vcl_worker *w)
{
    if (!atomic_load_explicit(&w->attached, memory_order_relaxed))
        return VCL_REATTACH_NS;
    if (hs_unlikely(atomic_load_explicit(&w->n_wanted, memory_order_relaxed)))
        return vcl_claim_cap_ns(w);
    return vcl_worker_must_retry(w) ? VCL_RETRY_NS : -1;
}

/* ---- readiness ---- */
uint32_t vcl_tx_low_water(const struct vcl_socket *s)
{
    const struct svm_fifo_prod *f = &s->tx;
    /* While the ring cannot be replaced by a larger one, it is all the room there can be. */
    uint32_t cap = f->mask && (f->old_log2 || f->no_mem) ? f->mask + 1 : f->max_size;

    if (s->is_dgram)
        return hs_min_u32(65536 + 64, cap / 2);
    if (s->is_records)
        return hs_min_u32(VCL_MESSAGE_MAX + 64, cap / 2);
    if (s->sctp && s->sctp->tx_want)
        return hs_max_u32(hs_min_u32(s->sctp->tx_want, cap), cap / 2);
    return hs_max_u32(1, hs_min_u32(f->max_size / 4, cap / 2));
}

/* The number of the last event. Between cut-through peers the message of one may come before its socket is known here, or late, for the
 * PAIR slot's former user; the producer's own line is never behind. Of the server's events none is lost or of another session. */
static uint32_t event_seen(struct vcl_socket *s)
{
    return s->local ? __atomic_load_n(&vcl_rx_last(s)->peer->evt_seq, __ATOMIC_ACQUIRE)
                    : atomic_load_explicit(&s->evt_seq, memory_order_acquire);
}

/* "Writable" needs far less room than it takes to wake a sleeper: a program that asks before every write shall fill the FIFO
 * and then sleep for long, not fall asleep after each write at the mark. */
static uint32_t writable_from(const struct vcl_socket *s)
{
    if (s->sctp && s->sctp->tx_want) /* a whole message must fit */
        return hs_min_u32(vcl_tx_low_water(s), s->sctp->tx_want);
    if (s->is_records)
        return vcl_tx_low_water(s);
    return hs_min_u32(vcl_tx_low_water(s), 4096);
}

/* SO_RCVLOWAT: fewer bytes make a stream not readable, unless no more will come. rx_lock held. */
static bool has_enough(struct vcl_socket *s)
{
    int64_t n;

    if (s->sctp)
        return vcl_sctp_is_readable(s);
    if (s->is_dgram && hs_unlikely(s->errq || s->rare_opt->recverr || s->rare_opt->recverr6))
        return vcl_errqueue_settle(s) != 0; /* less than 0: the reader is told */
    n = vcl_stream_avail(s);

    return n != 0 && (n < 0 || s->is_dgram || s->is_records || n >= vcl_rcvlowat(s));
}

bool vcl_arm_read(struct vcl_socket *s)
{
    bool ready = true;

    if (vcl_sctp_is_many(s))
        return vcl_sctp_many_arm_read(s);
    vcl_lock_take(&s->rx_lock);
    if (hs_unlikely(s->has_fifos ? vcl_claim_may_be(s) : s->shared) && !vcl_claim_is_here(s)) {
        s->shared = true;
        vcl_claim_want(s);
        ready = false;
    } else if (s->has_fifos) {
        if (hs_unlikely(s->rest != NULL))
            vcl_rest_turn(s);
        /* What a former peer has left is ready; edges come from the FIFO behind it. */
        svm_fifo_cons_event_taken(vcl_rx_last(s), event_seen(s));
        ready = svm_fifo_cons_arm(vcl_rx_last(s)) || s->rest || (s->sctp && s->sctp->due);
        if (ready && hs_unlikely(s->errq != NULL) && s->is_dgram && !has_enough(s))
            ready = svm_fifo_cons_arm(&s->rx);
    }
    vcl_lock_give(&s->rx_lock);
    return ready;
}

/* tx_lock held. */
static bool is_elsewhere(struct vcl_socket *s)
{
    bool yes;

    vcl_lock_take(&s->rx_lock);
    yes = !vcl_claim_is_here(s);
    vcl_lock_give(&s->rx_lock);
    return yes;
}

bool vcl_arm_write(struct vcl_socket *s)
{
    bool ready = true;

    if (vcl_sctp_is_many(s))
        return vcl_sctp_many_arm_write(s);
    vcl_lock_take(&s->tx_lock);
    if (hs_unlikely(s->has_fifos ? vcl_claim_may_be(s) : s->shared) && is_elsewhere(s)) {
        s->shared = true;
        vcl_claim_want(s);
        ready = false;
    } else if (s->has_fifos) {
        int64_t space = svm_fifo_prod_ready(&s->tx);
        uint32_t low = vcl_tx_low_water(s); /* of the ring that is there by now */

        if (space >= 0 && space < low && !svm_fifo_prod_peer_closed(&s->tx)) {
            svm_fifo_prod_want_space(&s->tx, low);
            space = svm_fifo_prod_space(&s->tx);
            ready = space < 0 || space >= vcl_tx_low_water(s) || svm_fifo_prod_peer_closed(&s->tx);
        }
    }
    vcl_lock_give(&s->tx_lock);
    return ready;
}

/* After vcl_arm_read() has found bytes. */
static bool is_readable(struct vcl_socket *s)
{
    int64_t n;
    bool yes;

    vcl_lock_take(&s->rx_lock);
    if (s->has_fifos && !s->is_dgram && !s->sctp && vcl_urgent_ahead(s) && (n = svm_fifo_cons_avail(&s->rx)) >= 0)
        yes = vcl_urgent_poll(s, n) & EPOLLIN; /* not of the urgent byte alone: who peeks leaves it there */
    else
        yes = s->opt.rcvlowat == 1 || !s->has_fifos || has_enough(s);
    yes = yes || !s->has_fifos || svm_fifo_cons_is_fin(vcl_rx_last(s)) || svm_fifo_cons_rst(vcl_rx_last(s));
    vcl_lock_give(&s->rx_lock);
    return yes;
}

static uint32_t poll_fifos(struct vcl_socket *s)
{
    uint32_t ev = 0;
    bool gone = atomic_load_explicit(&s->peer_gone, memory_order_acquire);

    vcl_socket_lock(s);
    if (s->has_fifos) {
        int64_t space;
        bool fin;

        if (hs_unlikely(s->rest != NULL))
            vcl_rest_turn(s);
        fin = !s->is_dgram && (svm_fifo_cons_is_fin(vcl_rx_last(s)) || s->rd_shut || gone);
        if (fin)
            ev |= EPOLLIN | EPOLLRDHUP | (s->wr_shut ? EPOLLHUP : 0);
        if (svm_fifo_cons_rst(vcl_rx_last(s)) && !(s->wr_shut && svm_fifo_cons_is_fin(vcl_rx_last(s)))) /* else it came after the end */
            ev |= EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | (atomic_load(&s->reset_told) ? 0 : EPOLLERR);
        if (!s->is_dgram && !s->sctp && vcl_urgent_ahead(s))
            ev |= vcl_urgent_poll(s, svm_fifo_cons_avail(&s->rx));
        else if (has_enough(s))
            ev |= EPOLLIN;
        space = svm_fifo_prod_ready(&s->tx);
        if (space < 0 || space >= writable_from(s) || s->wr_shut || gone || svm_fifo_prod_peer_closed(&s->tx))
            ev |= EPOLLOUT;
    } else if (s->is_dgram) {
        ev |= EPOLLOUT;
    }
    vcl_socket_unlock(s);
    return ev;
}

/* What was urgent before a reset is so after it. */
static uint32_t urgent_of_dead(struct vcl_socket *s)
{
    uint32_t ev = 0;

    vcl_lock_take(&s->rx_lock);
    if (s->has_fifos && !s->is_dgram && !s->sctp && vcl_urgent_ahead(s))
        ev = vcl_urgent_poll(s, svm_fifo_cons_avail(&s->rx)) & EPOLLPRI;
    vcl_lock_give(&s->rx_lock);
    return ev;
}

/* As tcp_poll and datagram_poll of Linux show it. */
uint32_t vcl_poll_now(struct vcl_socket *s)
{
    uint32_t ev;

    vcl_options_look(s);
    if (vcl_sctp_is_many(s))
        return vcl_sctp_many_poll(s);
    switch (vcl_state(s)) {
    case VCL_NEW:
    case VCL_BOUND:
        ev = s->is_dgram ? poll_fifos(s) : s->sctp ? 0 : EPOLLOUT | EPOLLHUP;
        break;
    case VCL_LISTENING:
        ev = atomic_load_explicit(&s->n_acc, memory_order_acquire) ? EPOLLIN : 0;
        break;
    case VCL_CONNECTING:
        ev = atomic_load_explicit(&s->waits_for_data, memory_order_relaxed) ? EPOLLOUT : 0;
        break;
    case VCL_CONNECTED:
        ev = poll_fifos(s);
        break;
    default:
        ev = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP | urgent_of_dead(s);
    }
    /* After the look at the FIFO: an error about a datagram may have stood there, before its message. */
    if (hs_likely(!atomic_load_explicit(&s->error, memory_order_relaxed) && !vcl_errqueue_has(s)))
        return ev;
    return ev | EPOLLERR | (s->is_dgram && s->rare_opt->select_err ? EPOLLPRI : 0); /* socket(7) SO_SELECT_ERR_QUEUE */
}

static bool is_over(const struct vcl_socket *s)
{
    uint8_t state = vcl_state(s);

    return state == VCL_DEAD || state == VCL_ZOMBIE || atomic_load_explicit(&s->error, memory_order_relaxed) != 0 ||
           atomic_load_explicit(&s->peer_gone, memory_order_relaxed);
}

bool vcl_ready_read(struct vcl_socket *s)
{
    if (vcl_sctp_is_many(s))
        return is_over(s) || vcl_arm_read(s);
    if (vcl_state(s) == VCL_LISTENING)
        return atomic_load_explicit(&s->n_acc, memory_order_acquire) != 0;
    return is_over(s) || s->rd_shut || vcl_state(s) == VCL_NEW || (vcl_arm_read(s) && is_readable(s));
}

bool vcl_ready_write(struct vcl_socket *s)
{
    return is_over(s) || s->wr_shut || vcl_arm_write(s);
}

/* ---- waiters ---- */
void vcl_waiter_link(struct vcl_socket *s, struct vcl_waiter *wt)
{
    wt->prev = NULL;
    wt->next = s->waiters;
    if (wt->next)
        wt->next->prev = wt;
    s->waiters = wt;
}

void vcl_waiter_unlink(struct vcl_socket *s, struct vcl_waiter *wt)
{
    if (wt->prev)
        wt->prev->next = wt->next;
    else
        s->waiters = wt->next;
    if (wt->next)
        wt->next->prev = wt->prev;
}

void vcl_waiter_wake_all(struct vcl_socket *s)
{
    for (struct vcl_waiter *wt = s->waiters; wt; wt = wt->next) {
        uint64_t one = 1;

        if (wt->woken || wt->fd < 0 || pthread_equal(wt->thread, pthread_self()))
            continue;
        wt->woken = true;
        if (sys_write(wt->fd, &one, sizeof(one)) < 0)
            continue; /* full: it is awake */
    }
}

static void eventfd_clear(int fd)
{
    uint64_t n;

    if (sys_read(fd, &n, sizeof(n)) < 0)
        return;
}

static bool is_to_read(bool (*ready)(struct vcl_socket *s)) { return ready == vcl_ready_read || ready == vcl_ready_beyond; }

/* A wait of the program's, not one for an answer of the server's. */
static bool is_programs(bool (*ready)(struct vcl_socket *s))
{
    return is_to_read(ready) || ready == vcl_ready_write || ready == vcl_ready_connect;
}

/* Worker lock held at entry and at return; sleeps without it. 0, -EINTR, or -ECANCELED. */
static int sleep_on_bell(struct vcl_worker *w, struct vcl_socket *s, bool (*ready)(struct vcl_socket *s),
                         const struct vcl_deadline *d)
{
    struct vcl_waiter wt = { .thread = pthread_self(), .fd = vcl_threads_share() && !w->sandboxed ? vcl_worker_spare_fd(w) : -1,
                             .reads = is_to_read(ready) && !s->is_dgram && vcl_state(s) != VCL_LISTENING };
    struct vcl_sleeper sl;
    struct pollfd fds[3];
    struct timespec left, *timeout = NULL;
    int64_t cap;
    bool is_ready, accepts = ready == vcl_ready_read && vcl_state(s) == VCL_LISTENING;
    int n = 0;

    vcl_waiter_link(s, &wt);
    if (accepts && s->armed != VCL_ARM_ON)
        vcl_accept_arm(s, VCL_ARM_ON); /* another thread has forked, or accepted, meanwhile */
    if (accepts)
        vcl_accept_waits(w, 1);
    vcl_sleeper_link(w, &sl, wt.fd, NULL);
    vcl_worker_sleep_begin(w);
    if (vcl_worker_has_work(w) || w->n_pending)
        vcl_worker_drain(w);
    fds[0] = (struct pollfd){ .fd = w->bell_fd, .events = POLLIN };
    fds[1] = (struct pollfd){ .fd = w->att_fd, .events = POLLIN };
    fds[2] = (struct pollfd){ .fd = wt.fd, .events = POLLIN };
    pthread_mutex_unlock(&w->lock);

    is_ready = ready(s);
    pthread_mutex_lock(&w->lock);
    cap = vcl_sleep_cap_ns(w); /* arming may have found that another process uses it: nobody rings when it can be claimed */
    pthread_mutex_unlock(&w->lock);
    if (wt.fd < 0 && vcl_threads_share() && (cap < 0 || cap > VCL_REATTACH_NS))
        cap = VCL_REATTACH_NS; /* no descriptor to be woken by */
    if (!d->forever) {
        if (!vcl_deadline_left(d, &left))
            left = (struct timespec){ 0, 0 };
        timeout = &left;
    }
    if (cap >= 0 && (!timeout || left.tv_sec > 0 || left.tv_nsec > cap)) {
        left = (struct timespec){ 0, cap };
        timeout = &left;
    }
    if (!is_ready && is_programs(ready) && vcl_is_interrupted())
        n = -ECANCELED;
    else if (!is_ready && (is_programs(ready) || atomic_load(&s->op) == VCL_OP_CLOSE))
        n = vcl_sleep_poll(fds, w->sandboxed ? 1 : 3, timeout, NULL);
    else if (!is_ready)
        n = sys_ppoll(fds, w->sandboxed ? 1 : 3, timeout, NULL) < 0 ? -errno : 0;

    n = n > 0 ? 0 : n;
    pthread_mutex_lock(&w->lock);
    if (accepts)
        vcl_accept_waits(w, -1);
    vcl_worker_sleep_end(w);
    if (n == 0 && fds[0].revents)
        vcl_worker_bell_drain(w);
    if (n == 0 && fds[1].revents)
        vcl_worker_att_input(w);
    if (!atomic_load(&w->attached))
        vcl_worker_retry_attach(w);
    vcl_worker_drain(w);
    vcl_waiter_unlink(s, &wt);
    vcl_sleeper_unlink(w, &sl);
    if (wt.fd >= 0) {
        if (wt.woken || sl.woken)
            eventfd_clear(wt.fd);
        vcl_worker_put_fd(w, wt.fd);
    }
    return n;
}

struct look {
    struct vcl_socket *s;
    bool (*ready)(struct vcl_socket *s);
};

/* As ready() for a while, but arms nothing: the other side need not tell us. */
static bool looks_over(void *arg)
{
    struct look *l = arg;
    struct vcl_socket *s = l->s;

    vcl_worker_try_turn(s->w);
    if (l->ready != vcl_ready_read || vcl_state(s) != VCL_CONNECTED)
        return l->ready == vcl_ready_write ? vcl_poll_now(s) & EPOLLOUT : l->ready(s);
    return is_over(s) || vcl_poll_now(s) & EPOLLIN;
}

int vcl_wait_socket(struct vcl_socket *s, bool (*ready)(struct vcl_socket *s), const struct vcl_deadline *d)
{
    struct look look = { s, ready };
    struct vcl_worker *w = s->w;
    struct vcl_spin_wait spin;
    struct timespec left;
    int rc;

    vcl_worker_turn(w);
    if (vcl_spin(&w->spin, &spin, looks_over, &look) && ready(s))
        return 0;
    for (;;) {
        vcl_worker_turn(w);
        if (ready(s)) {
            vcl_spin_slept(&w->spin, &spin);
            return 0;
        }
        if (!d->forever && !vcl_deadline_left(d, &left))
            return -EAGAIN;
        pthread_mutex_lock(&w->lock);
        rc = sleep_on_bell(w, s, ready, d);
        pthread_mutex_unlock(&w->lock);
        if (rc == -EINTR || rc == -ECANCELED)
            return ready(s) ? 0 : rc;
    }
}

struct vcl_tries vcl_tries_begin(const struct vcl_socket *s, int flags)
{
    return (struct vcl_tries){ .wait = !(flags & MSG_DONTWAIT) && !atomic_load_explicit(&s->nonblock, memory_order_relaxed) };
}

static int wait_again(struct vcl_socket *s, struct vcl_tries *t, int64_t timeout_ns, bool (*ready)(struct vcl_socket *s))
{
    if (!t->has_deadline) {
        t->d = vcl_deadline_ns(timeout_ns);
        t->has_deadline = true;
    }
    return vcl_wait_socket(s, vcl_state(s) == VCL_CONNECTING ? vcl_ready_connect : ready, &t->d);
}

int vcl_again_read(struct vcl_socket *s, struct vcl_tries *t)
{
    return t->wait ? wait_again(s, t, s->opt.rcv_timeout_ns, vcl_ready_read) : vcl_idle_turn(s);
}

int vcl_again_write(struct vcl_socket *s, struct vcl_tries *t)
{
    if (t->wait)
        return wait_again(s, t, s->opt.snd_timeout_ns, vcl_ready_write);
    if (vcl_state(s) == VCL_CONNECTED)
        vcl_want_room(s);
    return vcl_idle_turn(s);
}
