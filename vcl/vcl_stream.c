/* vcl_stream.c - recv, send and shutdown of connected streams, zero-copy pieces included
 * The short way touches the lock of its direction and the FIFO only: no system call, no worker lock unless the other side wants an event.
 * What is written for others (vcl_claim.c) is settled before that lock is given back. */
#include <sys/epoll.h>
#include "vcl/vcl_sctp_internal.h"
#include "vcl/vcl_sleep.h"

enum {
    COPY_PIECE = 128 << 10, /* published at once: the other side can begin before a large write is done */
    AGAIN_NS = 100000000,   /* bytes that come again are there as soon as the server has the socket's other end, or has taken its part */
    SHUTDOWN_CLAIM_NS = 50000000,
};

static bool blocks(const struct vcl_socket *s, int flags)
{
    return !(flags & MSG_DONTWAIT) && !atomic_load_explicit(&s->nonblock, memory_order_relaxed);
}

/* State of a stream that is not simply connected: 0 = go on, 1 = end of stream, or -errno. */
int vcl_stream_recv_state(struct vcl_socket *s)
{
    int error;

    switch (vcl_state(s)) {
    case VCL_CONNECTED:
        return 0;
    case VCL_CONNECTING:
        return -EAGAIN;
    case VCL_DEAD:
        if (s->has_fifos)
            return 0; /* what came before the end may be read; vcl_stream_empty_means() tells of the end */
        error = vcl_socket_take_error(s);
        return error ? error : 1; /* Linux: the end, also of what never began; connect() alone makes it as new again */
    default:
        return -ENOTCONN;
    }
}

/* Nothing to read: nor if all that is there is an urgent byte that only MSG_OOB takes. */
static bool is_dry(struct vcl_socket *s)
{
    int64_t n = svm_fifo_cons_avail(&s->rx);

    return n == 0 || (n == 1 && !s->sctp && vcl_urgent_ahead(s) && vcl_urgent_readable(s, n) == 0);
}

/* What an empty FIFO means: 1 = end of stream, -EAGAIN = wait, or -errno. Who has bytes already leaves the error to the next call
 * (`take` false). rx_lock held. */
int vcl_stream_empty_means(struct vcl_socket *s, bool take)
{
    int error;

    if (svm_fifo_cons_is_fin(vcl_rx_last(s))) /* Linux: what happens after the end is no error of reading */
        return is_dry(s) ? 1 : -EINPROGRESS; /* FIN came with bytes before it */
    if (svm_fifo_cons_rst(vcl_rx_last(s)) || vcl_state(s) == VCL_DEAD) {
        error = take ? vcl_socket_take_error(s) : 0;
        return error ? error : 1;
    }
    if (atomic_load_explicit(&s->peer_gone, memory_order_acquire))
        return is_dry(s) ? 1 : -EINPROGRESS;
    if (s->rd_shut)
        return 1;
    return -EAGAIN;
}

/* One look at the FIFO: bytes taken into the pieces behind `skip`, or 0. rx_lock held. */
static int64_t take_fifo(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, int flags)
{
    int64_t n;

    if (flags & MSG_TRUNC) { /* tcp(7): bytes are thrown away, not copied */
        n = svm_fifo_cons_avail(&s->rx);
        n = n > 0 ? (int64_t)hs_min_u64((uint64_t)n, vcl_iov_len(iov, n_iov) - skip) : n;
        if (n > 0)
            svm_fifo_drop(&s->rx, (uint32_t)n);
        return n;
    }
    if (hs_likely(n_iov == 1))
        return svm_fifo_dequeue(&s->rx, (uint8_t *)iov->iov_base + skip, (uint32_t)hs_min_u64(iov->iov_len - skip, UINT32_MAX));
    n = vcl_peek_iov(s, iov, n_iov, skip, 0);
    if (n > 0)
        svm_fifo_drop(&s->rx, (uint32_t)n);
    return n;
}

/* What is left of a former peer's bytes, and what follows it. */
static int64_t take_rest(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, int flags)
{
    int64_t n = vcl_rest_take(s, iov, n_iov, skip, flags), more;

    if (n < 0 || skip + (size_t)n == vcl_iov_len(iov, n_iov) || s->rest)
        return n;
    more = vcl_urgent_ahead(s) ? 0 : take_fifo(s, iov, n_iov, skip + (size_t)n, flags);
    return more < 0 ? n : n + more;
}

static int64_t take_some(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, int flags, bool *stop)
{
    int64_t n;

    if (hs_unlikely(s->rest != NULL) && (n = take_rest(s, iov, n_iov, skip, flags)) != 0)
        return n;
    return vcl_urgent_ahead(s) ? vcl_urgent_take(s, iov, n_iov, skip, flags, stop) : take_fifo(s, iov, n_iov, skip, flags);
}

/* The ring is in a bank whose descriptors are still on their way. */
static void fetch_bank(struct vcl_socket *s)
{
    pthread_mutex_lock(&s->w->lock);
    vcl_worker_att_input(s->w);
    pthread_mutex_unlock(&s->w->lock);
}

/* Bytes that a reader waits for: socket(7) SO_RCVLOWAT, recv(2) MSG_WAITALL. */
static size_t enough(const struct vcl_socket *s, size_t want, int flags)
{
    return flags & MSG_WAITALL ? want : hs_min_u64(want, (uint64_t)s->opt.rcvlowat);
}

/* Without MSG_PEEK, which is vcl_stream_peek()'s. */
ssize_t vcl_stream_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags)
{
    size_t want = vcl_iov_len(iov, n_iov), done = 0;
    struct vcl_deadline d = { 0 };
    bool has_deadline = false, is_here;
    unsigned goes = 0;
    int rc;

    for (;;) {
        int64_t n = 0;
        bool space = false, stop = false, failed = false;

        rc = vcl_stream_recv_state(s);
        if (hs_unlikely(s->shared) && rc == 0)
            rc = vcl_socket_enter_soon(s);
        is_here = rc == 0;
        if (hs_likely(rc == 0)) {
            vcl_lock_take(&s->rx_lock);
            if (hs_likely(s->has_fifos)) {
                n = want > done ? take_some(s, iov, n_iov, done, flags, &stop) : 0;
                if (hs_likely(n > 0)) {
                    space = svm_fifo_cons_space_due(&s->rx); /* a full fence */
                    if (hs_unlikely(vcl_claim_may_be(s)) && (n = vcl_claim_settle_rx_alone(s, (uint32_t)n, false, &failed)) == 0) {
                        /* another process has been given them */
                        vcl_lock_give(&s->rx_lock);
                        continue;
                    }
                    if (hs_unlikely(s->peeks_on))
                        vcl_peek_moved(s, n, flags);
                } else if (n == 0) {
                    rc = want == 0 && svm_fifo_cons_avail(&s->rx) > 0 ? 1 : vcl_stream_empty_means(s, done == 0);
                }
            } else {
                rc = s->unclaimed ? -EAGAIN : -ECONNRESET;
            }
            vcl_lock_give(&s->rx_lock);
            if (hs_unlikely(space || (n > 0 && atomic_load_explicit(&s->w->eager, memory_order_relaxed)))) {
                vcl_socket_event_due(s, false, space);
                if (atomic_load_explicit(&s->w->eager, memory_order_relaxed) && vcl_arm_read(s))
                    vcl_socket_rearm(s);
            }
            if (hs_unlikely(failed))
                vcl_claim_rx_failed(s);
        }
        if (hs_unlikely(n < 0)) {
            if (n == -ENXIO) {
                fetch_bank(s);
                continue;
            }
            rc = vcl_socket_broken(s);
            return done || rc == 1 ? (ssize_t)done : rc;
        }
        done += (size_t)n;
        if (hs_likely(done && (stop || done == want || done >= enough(s, want, flags))))
            return (ssize_t)done;
        if (n > 0 || rc == -EINPROGRESS)
            continue;
        if (rc == 1)
            return (ssize_t)done;
        if (rc != -EAGAIN && rc < 0)
            return done ? (ssize_t)done : rc;
        if (!blocks(s, flags)) {
            if (hs_unlikely(is_here && s->shared && !done) && ++goes < VCL_CLAIM_GOES && vcl_claim_look_again(s))
                continue;
            return done ? (ssize_t)done : vcl_idle_turn(s);
        }
        if (!has_deadline) {
            d = vcl_deadline_ns(s->opt.rcv_timeout_ns);
            has_deadline = true;
        }
        rc = vcl_wait_socket(s, vcl_state(s) == VCL_CONNECTING ? vcl_ready_connect : vcl_ready_read, &d);
        if (want == 0) /* Linux waits once, and is content with nothing */
            return 0;
        if (rc)
            return done ? (ssize_t)done : rc;
    }
}

/* ---- send ---- */
int vcl_stream_send_state(struct vcl_socket *s, bool take)
{
    int error;

    switch (vcl_state(s)) {
    case VCL_CONNECTED:
        if (hs_likely(!s->wr_shut && !atomic_load_explicit(&s->error, memory_order_relaxed) &&
                      !atomic_load_explicit(&s->reset_told, memory_order_relaxed) &&
                      !atomic_load_explicit(&s->peer_gone, memory_order_relaxed)))
            return 0;
        if (!take)
            return -EPIPE;
        error = vcl_socket_fetch_error(s); /* a reset comes before the broken pipe */
        return error ? error : -EPIPE;
    case VCL_CONNECTING:
        return atomic_load(&s->waits_for_data) ? 0 : -EAGAIN;
    case VCL_DEAD:
        error = take ? vcl_socket_fetch_error(s) : 0;
        return error ? error : -EPIPE;
    default:
        return -EPIPE; /* as Linux for a stream that was never connected */
    }
}

enum { WRITTEN_TO_NOBODY = INT32_MIN, READ_ELSEWHERE = INT32_MIN + 1 };

/* The other side reads no more: what a write comes to. tx_lock held. */
static int closed_means(struct vcl_socket *s, bool take)
{
    int error = 0;
    bool reset;

    vcl_lock_take(&s->rx_lock);
    reset = svm_fifo_cons_rst(vcl_rx_last(s)) != 0;
    if (reset && take)
        error = vcl_socket_take_error(s);
    vcl_lock_give(&s->rx_lock);
    if (!reset && s->local)
        return WRITTEN_TO_NOBODY;
    return error ? error : -EPIPE;
}

/* How many of n bytes that were written count, see vcl_claim.c. tx_lock held. */
static uint32_t settle_written(struct vcl_socket *s, uint32_t n)
{
    vcl_lock_take(&s->rx_lock);
    n = vcl_claim_settle_tx(s, n);
    vcl_lock_give(&s->rx_lock);
    return n;
}

/* Cut-through, the other side reads no more: as over a network the write is taken, and what comes back for it is a reset. Since the
 * other side's FIN was there before, the error is EPIPE here (Linux in CLOSE-WAIT) and ECONNRESET there. */
static void write_to_nobody(struct vcl_socket *s)
{
    bool data = false;

    vcl_socket_lock(s);
    if (s->has_fifos) {
        svm_fifo_prod_set_rst(&s->tx, -ECONNRESET);
        data = svm_fifo_prod_event_due(&s->tx);
    }
    vcl_socket_unlock(s);
    vcl_socket_event_due(s, data, false);
    pthread_mutex_lock(&s->w->lock);
    vcl_socket_fail(s, -EPIPE);
    pthread_mutex_unlock(&s->w->lock);
}

/* Bytes put into the FIFO from behind `skip`; 0 = full. look: READ_ELSEWHERE may be the answer. tx_lock held. */
static int64_t put_some(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, size_t want, int flags, bool look)
{
    if (hs_unlikely(!s->has_fifos))
        return s->unclaimed ? 0 : -ECONNRESET;
    uint32_t peer = svm_fifo_prod_peer_flags(&s->tx);

    if (hs_unlikely(peer & (SVM_FIFO_RD_CLOSED | SVM_FIFO_RD_MOVED))) {
        if (peer & SVM_FIFO_RD_MOVED && look)
            return READ_ELSEWHERE;
        if (peer & SVM_FIFO_RD_CLOSED)
            return closed_means(s, skip == 0);
    }
    if (hs_unlikely(flags & MSG_OOB))
        return vcl_urgent_put(s, iov, skip, want);
    while (skip >= iov->iov_len && n_iov > 1) {
        skip -= iov->iov_len;
        iov++;
        n_iov--;
    }
    if (skip || iov->iov_len >= COPY_PIECE || n_iov == 1)
        return svm_fifo_enqueue(&s->tx, (uint8_t *)iov->iov_base + skip, (uint32_t)hs_min_u64(iov->iov_len - skip, COPY_PIECE));
    return svm_fifo_enqueue_iov(&s->tx, iov, n_iov);
}

/* Fast Open, the first bytes are written: as connect() does, a blocking call waits for what comes of it. -EAGAIN: that is not known yet. */
static int early_sent(struct vcl_socket *s, int flags)
{
    int rc;

    atomic_store(&s->waits_for_data, false);
    if (!blocks(s, flags))
        return -EAGAIN;
    rc = vcl_wait_connected(s);
    return rc == -EINPROGRESS || rc == -EINTR ? -EAGAIN : rc;
}

ssize_t vcl_stream_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags)
{
    size_t want = vcl_iov_len(iov, n_iov), done = 0;
    struct vcl_deadline d = { 0 };
    bool has_deadline = false, has_looked = false, is_here;
    unsigned goes = 0;
    int rc;

    if (hs_unlikely(flags & MSG_OOB) && s->proto != SVM_PROTO_TCP)
        return -EOPNOTSUPP; /* TLS, as with the kernel's */
    for (;;) {
        int64_t n = 0;
        bool data = false;

        rc = vcl_stream_send_state(s, done == 0); /* Linux: who has sent something is told of that, and of the error by the next call */
        if (hs_unlikely(s->shared) && rc == 0)
            rc = vcl_socket_enter_soon(s);
        is_here = rc == 0;
        if (hs_likely(rc == 0)) {
            if (want == 0)
                return vcl_socket_fetch_error(s); /* a write of nothing tells of a reset all the same */
            vcl_lock_take(&s->tx_lock);
            n = put_some(s, iov, n_iov, done, want, flags, !has_looked);
            if (n > 0) {
                data = svm_fifo_prod_event_due(&s->tx); /* a full fence */
                if (hs_unlikely(vcl_claim_may_be(s)) && (n = settle_written(s, (uint32_t)n)) == 0) { /* came too late there */
                    vcl_lock_give(&s->tx_lock);
                    continue;
                }
            }
            vcl_lock_give(&s->tx_lock);
            if (hs_unlikely(n == READ_ELSEWHERE)) { /* the message about it is here */
                vcl_worker_turn(s->w);
                has_looked = true;
                continue;
            }
            vcl_socket_event_due(s, data, false);
            if (hs_unlikely(n == -ENOMEM))
                n = vcl_out_of_memory(s);
            if (hs_unlikely(n == WRITTEN_TO_NOBODY)) {
                if (!(flags & MSG_MORE) && !s->opt.cork) /* bytes held back go nowhere yet */
                    write_to_nobody(s);
                return (ssize_t)want;
            }
            if (hs_unlikely(n < 0)) {
                if (n == -EPROTO)
                    n = (rc = vcl_socket_broken(s)) == 1 ? -EPIPE : rc;
                return done ? (ssize_t)done : (ssize_t)n;
            }
            done += (size_t)n;
            vcl_spin_said(&s->w->spin, (size_t)n);
            if (hs_unlikely(vcl_state(s) == VCL_CONNECTING) && (rc = early_sent(s, flags)) != 0)
                return rc == -EAGAIN ? (ssize_t)done : rc;
            if (hs_likely(done == want)) {
                if (hs_unlikely(flags & MSG_OOB) && s->local)
                    vcl_urgent_tell(s);
                return (ssize_t)done;
            }
            if (n > 0)
                continue;
        } else if (rc != -EAGAIN) {
            return done ? (ssize_t)done : rc;
        }
        if (!blocks(s, flags)) {
            if (hs_unlikely(is_here && s->shared && !done) && ++goes < VCL_CLAIM_GOES && vcl_claim_look_again(s))
                continue;
            if (rc == 0)
                vcl_want_room(s);
            return done ? (ssize_t)done : vcl_idle_turn(s);
        }
        if (!has_deadline) {
            d = vcl_deadline_ns(s->opt.snd_timeout_ns);
            has_deadline = true;
        }
        rc = vcl_wait_socket(s, vcl_state(s) == VCL_CONNECTING ? vcl_ready_connect : vcl_ready_write, &d);
        if (rc)
            return done ? (ssize_t)done : rc;
    }
}

/* No ring at all: ask the server for a bank; cut-through segments do not grow. 0 = try again. */
int vcl_out_of_memory(struct vcl_socket *s)
{
    if (s->local)
        return -ENOBUFS;
    return vcl_worker_more_memory(s->w, 0) ? -ENOBUFS : 0;
}

/* A full FIFO: an edge-triggered set must hear of room. */
void vcl_want_room(struct vcl_socket *s)
{
    if (vcl_arm_write(s))
        vcl_socket_rearm(s);
}

/* Readiness that no event will tell of any more: told here. */
void vcl_socket_rearm(struct vcl_socket *s)
{
    pthread_mutex_lock(&s->w->lock);
    vcl_set_notify(s, vcl_poll_now(s) & (EPOLLIN | EPOLLOUT));
    pthread_mutex_unlock(&s->w->lock);
}

/* Before EAGAIN: a program that polls without waiting must see what the server tells. */
int vcl_idle_turn(struct vcl_socket *s)
{
    vcl_worker_turn(s->w);
    vcl_spin_vain(&s->w->spin);
    return -EAGAIN;
}

static ssize_t recv_stream(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info)
{
    if (hs_likely(!(flags & (MSG_OOB | MSG_PEEK))))
        return vcl_stream_recv(s, iov, n_iov, flags);
    return flags & MSG_OOB ? vcl_urgent_recv(s, iov, n_iov, flags, info) : vcl_stream_peek(s, iov, n_iov, flags);
}

ssize_t vcl_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info)
{
    vcl_options_follow(s);
    if (hs_unlikely(s->epoch != s->w->epoch) && !vcl_handle_is_none(s->handle)) {
        int rc = vcl_socket_adopt(s);

        if (rc)
            return rc;
    }
    if (s->is_dgram)
        return vcl_dgram_recv(s, iov, n_iov, flags, info);
    if (vcl_sctp_is_many(s))
        return vcl_sctp_many_recv(s, iov, n_iov, flags, info);
    if (s->sctp)
        return vcl_sctp_recv(s, iov, n_iov, flags, info);
    if (s->is_records)
        return vcl_record_recv(s, iov, n_iov, flags, info);
    if (hs_likely(!info))
        return recv_stream(s, iov, n_iov, flags, NULL);
    *info = (struct vcl_msg_info){ 0 };
    ssize_t n = recv_stream(s, iov, n_iov, flags, info);

    if (n >= 0 && s->rare_opt->inq)
        info->inq = vcl_stream_inq(s);
    if (n > 0 && !(flags & MSG_OOB))
        info->stamp_ns = vcl_stream_stamp(s, !(flags & MSG_PEEK) ? 0 : s->peeks_on ? (uint32_t)s->rare_opt->peek_off : (uint32_t)n);
    return n;
}

static ssize_t send_any(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info)
{
    vcl_options_follow(s);
    if (hs_unlikely(s->epoch != s->w->epoch) && !vcl_handle_is_none(s->handle)) {
        int rc = vcl_socket_adopt(s);

        if (rc)
            return rc;
    }
    if (s->is_dgram)
        return vcl_dgram_send(s, iov, n_iov, flags, info);
    if (vcl_sctp_is_many(s))
        return vcl_sctp_many_send(s, iov, n_iov, flags, info);
    if (s->sctp)
        return vcl_sctp_send(s, iov, n_iov, flags, info);
    if (s->is_records)
        return vcl_record_send(s, iov, n_iov, flags);
    return vcl_stream_send(s, iov, n_iov, flags);
}

ssize_t vcl_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info)
{
    ssize_t n = send_any(s, iov, n_iov, flags, info);

    if (hs_unlikely(flags & MSG_ZEROCOPY) && n >= !s->is_dgram && s->rare_opt->zerocopy) /* Linux counts an empty datagram, too */
        vcl_errqueue_sent(s);
    return n;
}

int vcl_shutdown(struct vcl_socket *s, int how)
{
    struct vcl_worker *w = s->w;
    struct svm_msg m;
    bool data = false, tell;
    int rc;

    if (how != SHUT_RD && how != SHUT_WR && how != SHUT_RDWR)
        return -EINVAL;
    if (vcl_sctp_is_many(s))
        return -ENOTCONN;
    if (!s->is_dgram && vcl_state(s) == VCL_LISTENING) {
        if (how != SHUT_WR)
            vcl_unlisten(s);
        return 0;
    }
    s->connect_untold = false;
    if (!vcl_is_connected(s) || vcl_stream_is_over(s))
        return -ENOTCONN;
    rc = vcl_socket_enter_within(s, SHUTDOWN_CLAIM_NS);
    if (rc && rc != -EINPROGRESS) /* else the server tells whoever has the other end */
        return -ENOTCONN;
    vcl_socket_lock(s);
    tell = !s->local;
    if (how != SHUT_RD && !s->wr_shut && s->has_fifos) {
        s->wr_shut = true;
        if (s->sctp)
            s->sctp->i_shut = !svm_fifo_cons_is_fin(vcl_rx_last(s));
        if (!s->is_dgram)
            svm_fifo_prod_set_fin(&s->tx);
        data = svm_fifo_prod_event_due(&s->tx) || s->local;
    }
    if (how != SHUT_WR)
        s->rd_shut = true;
    /* Linux answers bytes for a stream that is shut both ways with a reset; the server's connections do that by themselves. */
    if (s->rd_shut && s->wr_shut && s->local && s->has_fifos)
        svm_fifo_cons_set_closed(vcl_rx_last(s));
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the marks first; pairs with local_settle_begin() in the server */
    tell = tell || !s->has_fifos || vcl_claim_may_be(s);
    vcl_socket_unlock(s);
    vcl_socket_event_due(s, data, false);
    m = vcl_socket_msg(s, SVM_MSG_SHUTDOWN);
    m.u.value = how;
    pthread_mutex_lock(&w->lock);
    if (tell)
        vcl_socket_post(s, &m);
    vcl_set_notify(s, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
    pthread_mutex_unlock(&w->lock);
    return 0;
}

/* ---- zero copy ---- */
int vcl_recv_segments(struct vcl_socket *s, struct iovec *iov, int n, uint32_t max, int flags)
{
    struct vcl_deadline d;

    if (s->is_dgram || s->sctp || s->is_records)
        return -EOPNOTSUPP;
    vcl_options_follow(s);
    d = vcl_deadline_ns(s->opt.rcv_timeout_ns);
    for (;;) {
        struct iovec piece[4];
        uint32_t most = max;
        int got = 0, rc = vcl_stream_recv_state(s);

        if (hs_unlikely(s->shared) && rc == 0)
            rc = vcl_socket_enter_soon(s);
        if (rc == 0) {
            vcl_lock_take(&s->rx_lock);
            s->w->zero_copy = true;
            if (hs_unlikely(s->rest != NULL))
                vcl_rest_turn(s);
            if (s->has_fifos && vcl_urgent_ahead(s) && (most = vcl_urgent_whole(s, max)) == 0 && svm_fifo_cons_avail(&s->rx) > 0) {
                vcl_lock_give(&s->rx_lock);
                return -EAGAIN;
            }
            got = s->has_fifos ? svm_fifo_peek_iov(&s->rx, 0, most, piece) : -ECONNRESET;
            if (got == 0)
                rc = vcl_stream_empty_means(s, true);
            vcl_lock_give(&s->rx_lock);
        }
        if (got == -ENXIO) {
            fetch_bank(s);
            continue;
        }
        if (got < 0)
            return -ECONNRESET;
        if (got > 0) {
            got = got < n ? got : n;
            memcpy(iov, piece, (size_t)got * sizeof(*iov));
            return got;
        }
        if (rc == 1)
            return 0;
        if (rc == -EINPROGRESS)
            continue;
        if (rc != -EAGAIN)
            return rc;
        if (!blocks(s, flags))
            return vcl_idle_turn(s);
        rc = vcl_wait_socket(s, vcl_ready_read, &d);
        if (rc)
            return rc;
    }
}

/* Bytes that were looked at in place, and have moved since: they come again, and are thrown away. */
static int drop_again(struct vcl_socket *s, uint32_t len)
{
    while (len) {
        struct vcl_deadline d = vcl_deadline_ns(AGAIN_NS);
        int64_t n = 0;
        int rc = vcl_socket_enter_within(s, AGAIN_NS);

        if (rc == 0) {
            vcl_lock_take(&s->rx_lock);
            n = s->has_fifos ? svm_fifo_cons_avail(&s->rx) : 0;
            n = n > 0 ? (int64_t)hs_min_u64((uint64_t)n, len) : 0;
            if (n > 0)
                svm_fifo_drop(&s->rx, (uint32_t)n);
            vcl_lock_give(&s->rx_lock);
            if (n < 0)
                return -ECONNRESET;
            len -= (uint32_t)n;
        }
        if (n == 0 && rc == 0) {
            vcl_held.patient++;
            rc = vcl_wait_socket(s, vcl_ready_read, &d);
            vcl_held.patient--;
        }
        if (rc && rc != -EINTR)
            return -ECONNRESET;
    }
    return 0;
}

int vcl_recv_release(struct vcl_socket *s, uint32_t len)
{
    uint32_t again = 0;
    bool space = false, failed = false;
    int rc = -ENOTCONN;

    vcl_lock_take(&s->rx_lock);
    if (s->has_fifos) {
        rc = svm_fifo_cons_avail(&s->rx) < (int64_t)len ? -EINVAL : svm_fifo_drop(&s->rx, len);
        space = !rc && svm_fifo_cons_space_due(&s->rx); /* a full fence */
        if (!rc && len && hs_unlikely(vcl_claim_may_be(s)))
            again = len - vcl_claim_settle_rx_alone(s, len, false, &failed);
    }
    vcl_lock_give(&s->rx_lock);
    if (hs_unlikely(failed))
        vcl_claim_rx_failed(s);
    vcl_socket_event_due(s, false, space);
    return hs_unlikely(again) ? drop_again(s, again) : rc;
}

int vcl_send_reserve(struct vcl_socket *s, struct iovec iov[2], uint32_t want, int flags)
{
    struct vcl_deadline d;

    if (s->is_dgram || s->sctp || s->is_records)
        return -EOPNOTSUPP;
    vcl_options_follow(s);
    d = vcl_deadline_ns(s->opt.snd_timeout_ns);
    for (;;) {
        int n = 0, rc = vcl_stream_send_state(s, true);

        if (hs_unlikely(s->shared) && rc == 0)
            rc = vcl_socket_enter_soon(s);
        if (rc == 0) {
            vcl_lock_take(&s->tx_lock);
            s->w->zero_copy = true;
            n = !s->has_fifos ? -ECONNRESET : svm_fifo_prod_peer_closed(&s->tx) ? closed_means(s, true) : WRITTEN_TO_NOBODY;
            if (n == WRITTEN_TO_NOBODY) /* bytes that nobody will read have room, too: see vcl_send_commit() */
                n = svm_fifo_reserve(&s->tx, want, iov);
            vcl_lock_give(&s->tx_lock);
            if (n == -ENOMEM && vcl_out_of_memory(s) == 0)
                continue;
            if (n)
                return n;
        } else if (rc != -EAGAIN) {
            return rc;
        }
        if (!blocks(s, flags)) {
            vcl_want_room(s);
            return vcl_idle_turn(s);
        }
        rc = vcl_wait_socket(s, vcl_ready_write, &d);
        if (rc)
            return rc;
    }
}

int vcl_send_commit(struct vcl_socket *s, uint32_t len)
{
    bool data = false, nobody = false;
    int rc = -ENOTCONN;

    vcl_lock_take(&s->tx_lock);
    if (s->has_fifos) {
        nobody = len && s->local && svm_fifo_prod_peer_closed(&s->tx);
        rc = svm_fifo_commit(&s->tx, nobody ? 0 : len);
        data = !rc && len && !nobody && svm_fifo_prod_event_due(&s->tx); /* a full fence */
        if (!rc)
            rc = len && !nobody && hs_unlikely(vcl_claim_may_be(s)) ? (int)settle_written(s, len) : (int)len;
    }
    vcl_lock_give(&s->tx_lock);
    if (hs_unlikely(nobody))
        write_to_nobody(s);
    vcl_spin_said(&s->w->spin, len);
    vcl_socket_event_due(s, data, false);
    return rc;
}

/* ---- counts ---- */
int64_t vcl_stream_avail(struct vcl_socket *s)
{
    int64_t n = svm_fifo_cons_avail(&s->rx), behind;

    if (hs_likely(!s->rest) || n < 0)
        return n;
    vcl_rest_turn(s);
    n = svm_fifo_cons_avail(&s->rx);
    behind = s->rest && n >= 0 ? svm_fifo_cons_avail(&s->rest->next) : 0;
    return behind < 0 ? behind : n + behind;
}

static int64_t readable_now(struct vcl_socket *s)
{
    int64_t n = 0;

    if (vcl_state(s) == VCL_LISTENING && (n = atomic_load(&s->n_acc)) != 0) /* a turn gives them back when its set is gone */
        return n;
    vcl_worker_turn(s->w);
    if (vcl_state(s) == VCL_LISTENING)
        return atomic_load(&s->n_acc);
    if (hs_unlikely(s->shared) && vcl_socket_enter_soon(s))
        return 0;
    vcl_socket_lock(s);
    if (s->has_fifos) {
        struct svm_dgram_hdr h;

        n = vcl_stream_avail(s);
        if (!s->is_dgram && !s->sctp && vcl_urgent_ahead(s))
            n = vcl_urgent_readable(s, n);
        if (s->sctp)
            n = vcl_sctp_readable_bytes(s);
        else if ((s->is_dgram || s->is_records) && n > 0 && (n = vcl_errqueue_settle(s)) > 0) /* FIONREAD of datagrams: the next one */
            n = svm_fifo_peek(&s->rx, 0, &h, sizeof(h)) == (int64_t)sizeof(h) ? h.data_len : 0;
    }
    vcl_socket_unlock(s);
    return n < 0 ? 0 : n;
}

int64_t vcl_readable_bytes(struct vcl_socket *s)
{
    int64_t n = readable_now(s);

    return n == 0 && vcl_claim_look_again(s) ? readable_now(s) : n;
}

int64_t vcl_writable_bytes(struct vcl_socket *s)
{
    int64_t n = 0;

    vcl_lock_take(&s->tx_lock);
    if (s->has_fifos && !s->wr_shut)
        n = svm_fifo_prod_space(&s->tx);
    vcl_lock_give(&s->tx_lock);
    return n < 0 ? 0 : n;
}

int64_t vcl_queued_bytes(struct vcl_socket *s)
{
    int64_t n = 0;

    vcl_lock_take(&s->tx_lock);
    if (s->has_fifos)
        n = svm_fifo_prod_unread(&s->tx); /* sent bytes stay in the ring until they are acknowledged */
    vcl_lock_give(&s->tx_lock);
    return n < 0 ? 0 : n;
}
