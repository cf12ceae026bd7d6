/* vcl_peek.c - recv with MSG_PEEK of streams, and SO_PEEK_OFF (socket(7)) of streams and datagrams
 *
 * With an offset a look begins there, and the next one behind it; reading moves the offset towards the front again. */
#include "vcl/vcl_option_copy.h"
#include "vcl/vcl_sleep.h"

/* What a thread that waits for more has seen. Its own: several may look at one socket, each for as much as it wants. */
static __attribute__((tls_model("initial-exec"))) _Thread_local int64_t seen;

int vcl_peek_set(struct vcl_socket *s, int32_t offset)
{
    struct vcl_rare_opts *o = vcl_options_rare(s);

    if (!o)
        return -ENOBUFS;
    vcl_lock_take(&s->rx_lock);
    o->peek_off = offset;
    s->peeks_on = offset >= 0;
    vcl_lock_give(&s->rx_lock);
    return 0;
}

/* Who peeks on has options of its own. rx_lock held. */
static struct vcl_rare_opts *own_options(struct vcl_socket *s) { return (struct vcl_rare_opts *)(uintptr_t)s->rare_opt; }
static int32_t offset_of(const struct vcl_socket *s) { return s->peeks_on ? s->rare_opt->peek_off : 0; }

void vcl_peek_moved(struct vcl_socket *s, int64_t n, int flags)
{
    struct vcl_rare_opts *o = own_options(s);
    int64_t to = o->peek_off + (flags & MSG_PEEK ? n : -n);

    o->peek_off = to < 0 ? 0 : to > INT32_MAX ? INT32_MAX : (int32_t)to;
    if (s->share)
        vcl_options_say_shared(s, VCL_OPTION_PEEK);
}

/* ---- datagrams ---- */

int64_t vcl_peek_record(struct vcl_socket *s, uint32_t avail, struct svm_dgram_hdr *h, uint32_t *at, uint32_t *skip)
{
    struct vcl_rare_opts *o = own_options(s);
    uint32_t off = (uint32_t)o->peek_off;

    for (*at = 0; *at < avail; *at += vcl_dgram_record_size(h)) {
        int rc = vcl_dgram_peek_header(s, *at, avail, h);
        uint32_t pos = s->rx.head + *at;

        if (rc)
            return rc;
        if (h->flags & SVM_DGRAM_ERROR) /* no message; who comes to it at the front takes it away */
            continue;
        /* An empty one is seen once, and only by who has nothing to go beyond. */
        if (off >= h->data_len && (off || (o->has_seen_empty && !seq_lt(o->seen_empty, pos)))) {
            off -= h->data_len;
            continue;
        }
        if (h->data_len == 0) {
            o->has_seen_empty = true;
            o->seen_empty = pos;
        }
        *skip = off;
        return 0;
    }
    seen = avail;
    return -EAGAIN;
}

/* ---- streams ---- */

int64_t vcl_peek_iov(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, uint32_t from)
{
    uint32_t at = from;

    for (int i = 0; i < n_iov; i++) {
        size_t len = iov[i].iov_len;
        uint8_t *to = iov[i].iov_base;
        int64_t n;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        n = svm_fifo_peek(&s->rx, at, to + skip, (uint32_t)hs_min_u64(len - skip, UINT32_MAX));
        if (n < 0)
            return n;
        at += (uint32_t)n;
        if ((size_t)n < len - skip)
            break;
        skip = 0;
    }
    return at - from;
}

/* Bytes from `off` on of what rx shows, into the pieces behind `skip`. rx_lock held, as for the next ones. */
static int64_t look_rx(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, uint32_t off, int flags)
{
    int64_t avail = svm_fifo_cons_avail(&s->rx);

    if (avail <= (int64_t)off)
        return avail < 0 ? avail : 0;
    if (flags & MSG_TRUNC) /* tcp(7): not copied */
        return (int64_t)hs_min_u64((uint64_t)avail - off, vcl_iov_len(iov, n_iov) - skip);
    return vcl_peek_iov(s, iov, n_iov, skip, off);
}

/* What is left of a former peer's bytes, and what follows it: rx shows the one, then the other (vcl_rest.c). */
static int64_t look_rest(struct vcl_socket *s, const struct iovec *iov, int n_iov, uint32_t off, int flags)
{
    int64_t avail = svm_fifo_cons_avail(&s->rx), n = look_rx(s, iov, n_iov, 0, off, flags), more;
    struct svm_fifo_cons rest = s->rx;

    if (n < 0 || (size_t)n == vcl_iov_len(iov, n_iov))
        return n;
    s->rx = s->rest->next;
    more = vcl_urgent_ahead(s) ? 0 : look_rx(s, iov, n_iov, (size_t)n, off > avail ? off - (uint32_t)avail : 0, flags);
    s->rest->next = s->rx;
    s->rx = rest;
    return more < 0 ? n : n + more;
}

static int64_t look(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, bool *stop)
{
    uint32_t off = (uint32_t)offset_of(s);

    if (s->rest)
        vcl_rest_turn(s);
    if (s->rest)
        return look_rest(s, iov, n_iov, off, flags);
    return vcl_urgent_ahead(s) ? vcl_urgent_look(s, iov, n_iov, off, flags, stop) : look_rx(s, iov, n_iov, 0, off, flags);
}

/* No more can come. */
static bool is_over(struct vcl_socket *s)
{
    return s->rd_shut || svm_fifo_cons_is_fin(vcl_rx_last(s)) || svm_fifo_cons_rst(vcl_rx_last(s)) || vcl_state(s) == VCL_DEAD ||
           atomic_load_explicit(&s->peer_gone, memory_order_acquire);
}

bool vcl_ready_beyond(struct vcl_socket *s)
{
    bool yes;

    if (vcl_state(s) != VCL_CONNECTED && !s->is_dgram)
        return vcl_ready_read(s);
    (void)vcl_arm_read(s);
    vcl_lock_take(&s->rx_lock);
    yes = s->rd_shut || atomic_load(&s->error) ||
          (s->has_fifos && (is_over(s) || (s->is_dgram ? svm_fifo_cons_avail(&s->rx) : vcl_stream_avail(s)) > seen));
    vcl_lock_give(&s->rx_lock);
    return yes;
}

/* One look, as vcl_stream_recv() has it. */
struct view {
    bool is_here;    /* no other process had the socket when it was looked for */
    int64_t n;      /* bytes; < 0: the FIFO is broken, or -ENXIO */
    int rc;         /* of n == 0: 1 = the end, or -errno */
    bool is_final;  /* no use in waiting for more */
};

/* rx_lock held. False: what was seen has gone to another process. */
static bool view_fifos(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, size_t enough, struct view *v, bool *failed)
{
    bool over = is_over(s), stop = false; /* in this order: what came before the end is there */
    size_t want = vcl_iov_len(iov, n_iov);

    v->n = want ? look(s, iov, n_iov, flags, &stop) : 0;
    if (v->n < 0)
        return true;
    seen = vcl_stream_avail(s);
    if (v->n == 0) {
        v->rc = want == 0 && seen > offset_of(s) ? 1 : vcl_stream_empty_means(s, true);
        if (v->rc == -EINPROGRESS && over) /* all that is there is before the offset, or no more than an urgent byte */
            v->rc = 1;
        return true;
    }
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (vcl_claim_may_be(s) && (v->n = vcl_claim_settle_rx_alone(s, (uint32_t)v->n, true, failed)) == 0)
        return false;
    v->is_final = v->is_final || over || stop || (size_t)v->n >= enough;
    if (v->is_final && s->peeks_on)
        vcl_peek_moved(s, v->n, MSG_PEEK);
    return true;
}

static void view(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, size_t enough, struct view *v)
{
    bool failed = false;

    do {
        v->n = 0;
        v->rc = vcl_stream_recv_state(s);
        if (hs_unlikely(s->shared) && v->rc == 0)
            v->rc = vcl_socket_enter_soon(s);
        v->is_here = v->rc == 0;
        if (v->rc != 0)
            return;
        vcl_lock_take(&s->rx_lock);
        if (!s->has_fifos)
            v->rc = s->unclaimed ? -EAGAIN : -ECONNRESET;
        else if (!view_fifos(s, iov, n_iov, flags, enough, v, &failed))
            v->rc = -EINPROGRESS;
        vcl_lock_give(&s->rx_lock);
        if (failed)
            vcl_claim_rx_failed(s);
        if (v->n == -ENXIO) { /* its ring is in a bank whose descriptors are still on their way */
            pthread_mutex_lock(&s->w->lock);
            vcl_worker_att_input(s->w);
            pthread_mutex_unlock(&s->w->lock);
            v->rc = -EINPROGRESS;
        }
    } while (v->rc == -EINPROGRESS);
    if (v->n > 0 && atomic_load_explicit(&s->w->eager, memory_order_relaxed) && vcl_arm_read(s))
        vcl_socket_rearm(s);
}

/* recv(2): also who looks waits for SO_RCVLOWAT, or with MSG_WAITALL for all; what it has seen then is seen once more. */
ssize_t vcl_stream_peek(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags)
{
    size_t want = vcl_iov_len(iov, n_iov), enough = flags & MSG_WAITALL ? want : hs_min_u64(want, (uint64_t)s->opt.rcvlowat);
    struct vcl_tries tries = vcl_tries_begin(s, flags);
    struct vcl_deadline d = vcl_deadline_ns(s->opt.rcv_timeout_ns);
    struct view v = { .is_final = !tries.wait };
    unsigned goes = 0;
    int rc;

    for (;;) {
        view(s, iov, n_iov, flags, enough, &v);
        if (v.n < 0)
            return (rc = vcl_socket_broken(s)) == 1 ? 0 : rc;
        if (v.n > 0 && v.is_final)
            return (ssize_t)v.n;
        if (v.rc == 1)
            return 0;
        if (v.rc != -EAGAIN && v.rc < 0)
            return v.rc;
        if (!tries.wait && v.is_here && ++goes < VCL_CLAIM_GOES && vcl_claim_look_again(s))
            continue;
        if (!tries.wait)
            return vcl_idle_turn(s);
        rc = vcl_wait_socket(s, vcl_state(s) == VCL_CONNECTING ? vcl_ready_connect : vcl_ready_beyond, &d);
        if (want == 0) /* Linux waits once, and is content with nothing */
            return 0;
        if (rc && v.n == 0)
            return rc;
        v.is_final = rc != 0;
    }
}
