/* vcl_sctp_recv.c - messages and notifications to the program, whole or in parts (RFC 6458 s3.1.4, s9.6) */
#include "vcl/vcl_sctp_internal.h"

/* How far one call has come. */
struct taking {
    const struct iovec *iov;
    int n_iov, flags;
    size_t want, done;
    bool ends;               /* the message, or notification, is complete */
    uint32_t whose;          /* stream and SCTP_UNORDERED of what is done */
};

static size_t iov_len(const struct iovec *iov, int n_iov)
{
    size_t len = 0;

    for (int i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    return len;
}

/* Bytes [from, from + len) of the message, from its head or from the FIFO. */
static int64_t copy_piece(struct vcl_socket *s, const struct vcl_sctp_front *f, uint32_t from, uint8_t *to, uint32_t len)
{
    uint32_t head = from < f->head_len ? hs_min_u32(len, f->head_len - from) : 0;
    int64_t n = 0;

    memcpy(to, f->head + (head ? from : 0), head);
    if (f->tail && len > head)
        memcpy(to + head, f->tail + (from + head - f->head_len), n = len - head);
    else if (len > head)
        n = svm_fifo_peek(&s->rx, f->r.h.hdr_len + f->tail_off + (from + head - f->head_len), to + head, len - head);
    return n < 0 ? n : head + n;
}

/* As much of the message as fits behind what is done. */
static int64_t copy_message(struct vcl_socket *s, const struct vcl_sctp_front *f, const struct taking *t)
{
    uint32_t from = s->sctp->rx_done;
    size_t skip = t->done;

    for (int i = 0; i < t->n_iov && from < f->len; i++) {
        size_t room = t->iov[i].iov_len;
        uint32_t part;
        int64_t n;

        if (skip >= room) {
            skip -= room;
            continue;
        }
        part = (uint32_t)hs_min_u64(room - skip, f->len - from);
        n = copy_piece(s, f, from, (uint8_t *)t->iov[i].iov_base + skip, part);
        if (n < 0)
            return n;
        if (n != part)
            return -EPROTO;
        from += part;
        skip = 0;
    }
    return from - s->sctp->rx_done;
}

static void tell(const struct vcl_socket *s, const struct vcl_sctp_front *f, struct vcl_msg_info *info)
{
    struct vcl_sctp_msg *m = info->sctp;

    info->peer = s->rmt;
    if (!vcl_sctp_is_near(s) && f->kind == VCL_SCTP_DATA && f->r.h.rmt_port.raw) {
        info->peer = (struct ip_endpoint){ f->r.h.rmt_ip, f->r.h.rmt_port };
        s->sctp->from = info->peer.ip; /* the answer may be sent there */
        s->sctp->has_from = true;
    }
    info->has_peer = true;
    info->flags = f->kind == VCL_SCTP_NOTE ? MSG_NOTIFICATION : 0;
    if (!m)
        return;
    *m = (struct vcl_sctp_msg){ .assoc_id = s->sctp->assoc_id, .context = s->sctp->o.context };
    if (f->kind == VCL_SCTP_NOTE)
        return;
    m->stream = f->r.info.stream;
    m->flags = f->r.info.flags & SCTP_UNORDERED;
    m->ppid = f->r.info.ppid;
    m->ssn = f->r.info.u.rx.ssn;
    m->tsn = f->r.info.u.rx.tsn;
    m->cumtsn = f->r.info.u.rx.cumtsn;
}

/* RFC 6458 s5.3.6: what is known of the next message, if its beginning is there. */
static void tell_next(struct vcl_socket *s, struct vcl_msg_info *info)
{
    struct vcl_sctp_msg *m = info ? info->sctp : NULL;
    struct vcl_sctp_front f;

    if (!m || !s->sctp->o.nxtinfo || vcl_sctp_look(s, &f) != 1)
        return;
    m->has_next = true;
    m->next = (struct sctp_nxtinfo){ .nxt_length = f.len, .nxt_assoc_id = (sctp_assoc_t)s->sctp->assoc_id };
    if (f.kind == VCL_SCTP_NOTE) {
        m->next.nxt_flags = SCTP_NOTIFICATION;
        return;
    }
    m->next.nxt_sid = f.r.info.stream;
    m->next.nxt_ppid = f.r.info.ppid;
    m->next.nxt_flags = f.r.info.flags & SCTP_UNORDERED;
}

static uint32_t whose(const struct vcl_sctp_front *f)
{
    return f->r.info.stream | (f->r.info.flags & SCTP_UNORDERED ? 1u << 16 : 0);
}

/* One record: 1 = something was taken, 0 = nothing there, or -errno. */
static int take_record(struct vcl_socket *s, struct taking *t, struct vcl_msg_info *info)
{
    struct vcl_sctp *c = s->sctp;
    struct vcl_sctp_front f;
    int64_t n;
    int rc = vcl_sctp_look(s, &f);

    if (rc <= 0)
        return rc;
    if (t->done && f.kind == VCL_SCTP_NOTE) { /* the message that was begun ends here, incomplete */
        c->in_message = false;
        return 0;
    }
    if (t->done && t->whose != whose(&f)) /* I-DATA (RFC 8260): a part of another message comes between */
        return 0;
    t->whose = whose(&f);
    n = copy_message(s, &f, t);
    if (n < 0)
        return (int)n;
    if (info && t->done == 0)
        tell(s, &f, info);
    t->done += (size_t)n;
    if (c->rx_done + (uint32_t)n == f.len)
        t->ends = f.kind == VCL_SCTP_NOTE || !(f.r.h.flags & SVM_DGRAM_MORE);
    if (t->flags & MSG_PEEK)
        return 1;
    c->rx_done += (uint32_t)n;
    c->making = f.made;
    if (c->rx_done < f.len)
        return 1;
    rc = vcl_sctp_next(s, &f);
    if (rc == 0 && t->ends)
        tell_next(s, info);
    return rc ? rc : 1;
}

/* The same; another process may claim the socket at this moment: what it was given as well does not count here. */
static int take_settled(struct vcl_socket *s, struct taking *t, struct vcl_msg_info *info)
{
    struct taking before = *t;
    uint32_t head = s->rx.head, n;
    int rc = take_record(s, t, info);

    n = s->has_fifos ? s->rx.head - head : 0;
    if (rc != 1 || n == 0)
        return rc;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (hs_likely(!vcl_claim_may_be(s)) || vcl_claim_settle_rx(s, n, false) == n)
        return rc;
    *t = before;
    s->sctp->rx_done = 0;
    return -EAGAIN;
}

/* What an empty FIFO means: 1 = the end, -EAGAIN, or -errno. */
static int nothing_means(struct vcl_socket *s)
{
    int error;

    switch (vcl_state(s)) {
    case VCL_CONNECTING:
        return -EAGAIN;
    case VCL_CONNECTED:
    case VCL_DEAD:
        break;
    default:
        return -ENOTCONN;
    }
    if (s->sctp->aborted)
        return 1;
    if (s->has_fifos && svm_fifo_cons_is_fin(vcl_rx_last(s)))
        return svm_fifo_cons_avail(&s->rx) == 0 ? 1 : -EINPROGRESS; /* FIN came with a message before it */
    if (vcl_state(s) == VCL_DEAD || (s->has_fifos && svm_fifo_cons_rst(vcl_rx_last(s)))) {
        error = vcl_socket_take_error(s);
        return error ? error : s->died_connected || vcl_state(s) == VCL_CONNECTED ? 1 : -ENOTCONN;
    }
    if (atomic_load_explicit(&s->peer_gone, memory_order_acquire) || s->rd_shut)
        return 1;
    return -EAGAIN;
}

static void after(struct vcl_socket *s, bool space, bool fin_due)
{
    vcl_socket_event_due(s, fin_due, space);
    if (atomic_load_explicit(&s->w->eager, memory_order_relaxed) && vcl_arm_read(s))
        vcl_socket_rearm(s);
}

/* The FIFO cannot be read: the association is over. True: the program is to be told by a notification. */
static bool broken(struct vcl_socket *s)
{
    bool tell;

    pthread_mutex_lock(&s->w->lock);
    vcl_socket_fail(s, -ECONNRESET);
    pthread_mutex_unlock(&s->w->lock);
    vcl_socket_lock(s);
    tell = !s->sctp->is_broken && s->sctp->parent && vcl_sctp_wants_note(s->sctp, SCTP_ASSOC_CHANGE);
    s->sctp->is_broken = true;
    s->sctp->in_message = false;
    s->sctp->rx_done = 0;
    if (tell)
        s->sctp->due |= VCL_SCTP_LOST;
    vcl_socket_unlock(s);
    return tell;
}

ssize_t vcl_sctp_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info)
{
    struct vcl_tries tries = vcl_tries_begin(s, flags);
    struct taking t = { .iov = iov, .n_iov = n_iov, .flags = flags, .want = iov_len(iov, n_iov) };

    for (;;) {
        bool space = false, fin_due = false;
        int rc = 0, end = -EAGAIN;

        if (hs_unlikely(s->shared) && vcl_state(s) == VCL_CONNECTED && (rc = vcl_socket_enter_soon(s)) != 0 && rc != -EAGAIN)
            return rc;
        vcl_socket_lock(s);
        if (rc == 0 && (s->has_fifos || s->sctp->due)) {
            rc = take_settled(s, &t, info);
            space = s->has_fifos && svm_fifo_cons_space_due(&s->rx);
            fin_due = s->sctp->fin_due;
            s->sctp->fin_due = false;
        }
        if (rc == 0)
            end = nothing_means(s);
        else if (rc == -EAGAIN) /* another process has it */
            rc = 0;
        vcl_socket_unlock(s);
        after(s, space, fin_due);
        if (rc == -ENXIO) {
            pthread_mutex_lock(&s->w->lock);
            vcl_worker_att_input(s->w);
            pthread_mutex_unlock(&s->w->lock);
            continue;
        }
        if (rc < 0) {
            if (broken(s))
                continue;
            return -ECONNRESET;
        }
        if ((rc == 1 && (t.ends || t.done == t.want || flags & MSG_PEEK)) || (rc == 0 && t.done)) {
            if (info && t.ends)
                info->flags |= MSG_EOR;
            return (ssize_t)t.done;
        }
        if (rc == 1 || end == -EINPROGRESS)
            continue;
        if (end == 1)
            return 0;
        if (end != -EAGAIN)
            return end;
        rc = vcl_again_read(s, &tries);
        if (rc)
            return rc;
    }
}
