/* vcl_urgent.c - urgent data of streams, as Linux has it: recv and send with MSG_OOB, the mark, SO_OOBINLINE (RFC 9293 s3.8.5, RFC 6093)
 *
 * The bytes stay in the FIFO; a mark there says which one is urgent (svm/svm_urgent.h). Reading stops before it. Out of line it is left
 * out by who reads on, taken by MSG_OOB before or not. */
#include <sys/epoll.h>
#include "vcl/vcl_sctp_internal.h"

/* A mark that is new here. Linux: who stood at the mark of before when it came has lost that byte. */
static void notice(struct vcl_socket *s, uint64_t word)
{
    uint32_t first = svm_urgent_pos(word) - svm_urgent_back(word), run = svm_urgent_run(word), into = s->rx.head - first;

    s->urg.seen = word;
    s->urg.taken = false;
    if (run && into < run && !s->opt.oobinline && svm_fifo_cons_avail(&s->rx) >= (int64_t)(run - into))
        svm_fifo_drop(&s->rx, run - into);
}

/* The offset of the mark; -1 = it has been read over, or there is none. */
static int64_t mark_offset(struct vcl_socket *s)
{
    uint64_t word = svm_urgent_get(&s->rx);

    if (word == s->urg.past || !word) {
        s->urg.past = word;
        return -1;
    }
    if (word != s->urg.seen)
        notice(s, word);
    if (seq_lt(svm_urgent_pos(word), s->rx.head)) {
        s->urg.past = word;
        return -1;
    }
    return svm_urgent_pos(word) - s->rx.head;
}

/* Copies up to `max` bytes from `at` on into the pieces behind `skip`. */
static int64_t copy(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, uint32_t at, uint32_t max)
{
    uint32_t done = 0;

    for (int i = 0; i < n_iov && done < max; i++) {
        size_t len = iov[i].iov_len;
        int64_t n;

        if (skip >= len) {
            skip -= len;
            continue;
        }
        n = svm_fifo_peek(&s->rx, at + done, (uint8_t *)iov[i].iov_base + skip, (uint32_t)hs_min_u64(len - skip, max - done));
        if (n <= 0)
            return n < 0 ? n : done;
        done += (uint32_t)n;
        skip = 0;
    }
    return done;
}

/* Bytes from *from on, up to the mark or from it on, where *from is moved to behind it; *stop: a mark is reached that who has bytes does
 * not pass. */
static int64_t reach(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, int flags, uint32_t *from, bool *stop)
{
    int64_t mark = mark_offset(s), avail = svm_fifo_cons_avail(&s->rx) - *from;
    uint64_t want = vcl_iov_len(iov, n_iov), max;

    mark = mark < *from ? -1 : mark - *from;
    if (avail <= 0) {
        *stop = mark == 0 && skip;
        return avail + *from < 0 ? avail + *from : 0;
    }
    max = hs_min_u64((uint64_t)avail, want - skip);
    if (mark > 0) {
        max = hs_min_u64(max, (uint64_t)mark);
        *stop = max == (uint64_t)mark;
    } else if (mark == 0) {
        if ((*stop = skip != 0))
            return 0;
        if (!s->opt.oobinline) { /* left out: taken by MSG_OOB, or lost */
            ++*from;
            max = hs_min_u64((uint64_t)avail - 1, want);
        }
    }
    return flags & MSG_TRUNC ? (int64_t)max : copy(s, iov, n_iov, skip, *from, (uint32_t)max);
}

int64_t vcl_urgent_take(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, int flags, bool *stop)
{
    uint32_t from = 0;
    int64_t n = reach(s, iov, n_iov, skip, flags, &from, stop);

    if (n >= 0)
        svm_fifo_drop(&s->rx, from + (uint32_t)n);
    return n;
}

int64_t vcl_urgent_look(struct vcl_socket *s, const struct iovec *iov, int n_iov, uint32_t off, int flags, bool *stop)
{
    return reach(s, iov, n_iov, 0, flags, &off, stop);
}

uint32_t vcl_urgent_whole(struct vcl_socket *s, uint32_t max)
{
    int64_t mark = mark_offset(s);

    return mark < 0 ? max : (uint32_t)hs_min_u64(max, (uint64_t)mark);
}

uint32_t vcl_urgent_poll(struct vcl_socket *s, int64_t avail)
{
    int64_t mark = mark_offset(s);
    uint32_t ev = mark >= 0 && mark < avail && !s->urg.taken ? EPOLLPRI : 0;

    avail = svm_fifo_cons_avail(&s->rx); /* noticing may have dropped some */
    return ev | (avail >= vcl_rcvlowat(s) + (mark == 0 && !s->opt.oobinline) ? EPOLLIN : 0);
}

int64_t vcl_urgent_readable(struct vcl_socket *s, int64_t avail)
{
    int64_t mark = mark_offset(s);

    return mark >= 0 && mark < avail && !s->opt.oobinline ? mark : svm_fifo_cons_avail(&s->rx);
}

/* Of `want` bytes those behind `skip`, the last one urgent: how many were put into the FIFO. Who writes more than there is room for is
 * told so, and the mark comes with the rest. */
int64_t vcl_urgent_put(struct vcl_socket *s, const struct iovec *iov, size_t skip, size_t want)
{
    size_t left = want - skip;
    const uint8_t *from;
    int64_t space;

    while (skip >= iov->iov_len)
        skip -= iov++->iov_len;
    from = (const uint8_t *)iov->iov_base + skip;
    if (left > 1)
        return svm_fifo_enqueue(&s->tx, from, (uint32_t)hs_min_u64(iov->iov_len - skip, hs_min_u64(left - 1, UINT32_MAX)));
    space = svm_fifo_prod_space(&s->tx);
    if (space <= 0)
        return space;
    svm_urgent_set(&s->tx, 0); /* before the byte: who sees it sees the mark */
    return svm_fifo_enqueue(&s->tx, from, 1);
}

void vcl_urgent_tell(struct vcl_socket *s)
{
    struct svm_msg m = { .type = SVM_MSG_URGENT, .proto = s->proto };
    struct vcl_worker *w = s->w;
    bool due;

    pthread_mutex_lock(&w->lock);
    vcl_lock_take(&s->tx_lock);
    due = s->has_fifos && s->local && svm_urgent_due(&s->tx);
    vcl_lock_give(&s->tx_lock);
    m.ctx = s->slot;
    if (due && s->pair->peer_client_id == w->client_id)
        vcl_worker_self_event(s, &m);
    else if (due)
        vcl_worker_post_pair(w, s->pair, &m);
    pthread_mutex_unlock(&w->lock);
}

/* Linux: the byte is not to be had any more, as opposed to those before it. After the other side's FIN it is. */
static bool is_aborted(struct vcl_socket *s)
{
    return !svm_fifo_cons_is_fin(&s->rx) && (svm_fifo_cons_rst(&s->rx) || vcl_state(s) == VCL_DEAD);
}

ssize_t vcl_urgent_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info)
{
    ssize_t rc = -EINVAL;
    uint8_t byte;
    int64_t mark;

    vcl_worker_turn(s->w);
    if (vcl_state(s) == VCL_LISTENING)
        return -ENOTCONN;
    if (s->proto != SVM_PROTO_TCP || s->opt.oobinline)
        return -EINVAL;
    if (hs_unlikely(s->shared) && (rc = vcl_socket_enter_soon(s)) != 0)
        return rc;
    rc = -EINVAL;
    vcl_lock_take(&s->rx_lock);
    if (s->has_fifos && s->rest == NULL && (mark = mark_offset(s)) >= 0 && !s->urg.taken) {
        bool gone = is_aborted(s);
        size_t want = 0;

        for (int i = 0; i < n_iov; i++)
            want += iov[i].iov_len;
        if (gone)
            rc = -ENOTCONN;
        else if (svm_fifo_peek(&s->rx, (uint32_t)mark, &byte, 1) == 1)
            rc = want != 0;
        else
            rc = s->rd_shut || svm_fifo_cons_is_fin(&s->rx) ? 0 : -EAGAIN;
        if (!gone && svm_fifo_cons_avail(&s->rx) > mark) {
            s->urg.taken = !(flags & MSG_PEEK);
            for (int i = 0; i < n_iov && !(flags & MSG_TRUNC); i++)
                if (iov[i].iov_len) {
                    *(uint8_t *)iov[i].iov_base = byte;
                    break;
                }
            if (info)
                info->flags = MSG_OOB | (want ? 0 : MSG_TRUNC);
        }
    }
    vcl_lock_give(&s->rx_lock);
    return rc;
}

/* At the mark, with bytes there. rx_lock held. */
static int stop_means(struct vcl_socket *s)
{
    if (svm_fifo_cons_is_fin(&s->rx))
        return 0;
    if (svm_fifo_cons_rst(&s->rx) || vcl_state(s) == VCL_DEAD)
        return vcl_socket_take_error(s);
    return s->rd_shut || !atomic_load(&s->nonblock) ? 0 : -EAGAIN;
}

ssize_t vcl_splice_length(struct vcl_socket *s, size_t want)
{
    int64_t mark = -1;
    ssize_t n = (ssize_t)want;

    if (hs_unlikely(s->shared) && vcl_socket_enter_soon(s) != 0)
        return n;
    vcl_lock_take(&s->rx_lock);
    if (s->has_fifos && !s->rest && vcl_urgent_ahead(s))
        mark = mark_offset(s);
    if (mark > 0)
        n = (ssize_t)hs_min_u64(want, (uint64_t)mark);
    else if (mark == 0 && svm_fifo_cons_avail(&s->rx) > 0)
        n = stop_means(s);
    vcl_lock_give(&s->rx_lock);
    return n;
}

int vcl_at_mark(struct vcl_socket *s)
{
    int is = 0;

    vcl_worker_turn(s->w);
    vcl_lock_take(&s->rx_lock);
    if (s->has_fifos && !s->is_dgram && !s->sctp)
        is = vcl_urgent_ahead(s) && mark_offset(s) == 0;
    vcl_lock_give(&s->rx_lock);
    return is;
}

void vcl_urgent_on_event(struct vcl_socket *s)
{
    vcl_lock_take(&s->rx_lock);
    if (s->has_fifos)
        svm_urgent_taken(vcl_rx_last(s));
    vcl_lock_give(&s->rx_lock);
    vcl_set_notify(s, EPOLLIN | EPOLLPRI);
}
