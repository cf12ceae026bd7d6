/* vcl_sctp_send.c - messages of the program into the FIFO: each whole, as one record or several in a row (RFC 6458 s3.1.3, s9.7) */
#include <stdlib.h>
#include "vcl/vcl_sctp_internal.h"

enum { IOV_MAX_PIECES = 1024 };

static size_t iov_len(const struct iovec *iov, int n_iov)
{
    size_t len = 0;

    for (int i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    return len;
}

struct svm_sctp_record vcl_sctp_record(const struct vcl_socket *s, uint32_t len)
{
    struct svm_sctp_record r = {
        .h = { .data_len = len, .hdr_len = sizeof(r), .version = 1 },
        .tlv = { SVM_TLV_SCTP, sizeof(r.info) },
    };

    r.h.lcl_ip = r.h.rmt_ip = ip_addr_any(!s->is_v6);
    return r;
}

/* What the message says of itself, or the socket's defaults (RFC 6458 s8.1.31, s8.1.32). */
static struct svm_sctp_info message_info(const struct vcl_socket *s, const struct vcl_msg_info *info)
{
    const struct vcl_sctp_opts *o = &s->sctp->o;
    const struct vcl_sctp_msg *m = info ? info->sctp : NULL;
    bool own = m && m->has_snd;
    struct svm_sctp_info i = {
        .stream = own ? m->stream : o->snd.snd_sid,
        .flags = own ? m->flags : o->snd.snd_flags,
        .ppid = own ? m->ppid : o->snd.snd_ppid,
        .context = own ? m->context : o->snd.snd_context,
    };

    i.u.tx.pr_valid = 1;
    i.u.tx.pr_policy = m && m->has_pr ? m->pr_policy : o->pr_policy;
    i.u.tx.pr_value = m && m->has_pr ? m->pr_value : o->pr_value;
    i.u.tx.auth_valid = m && m->has_auth;
    i.u.tx.auth_key = i.u.tx.auth_valid ? m->auth_key : 0;
    return i;
}

/* As Linux checks before it looks at the association. */
static int check_flags(const struct vcl_socket *s, const struct svm_sctp_info *i, size_t len, const struct vcl_msg_info *info)
{
    if (i->flags & (SCTP_EOF | SCTP_ABORT) && !s->sctp->is_branch)
        return -EINVAL;
    if ((i->flags & SCTP_EOF && len) || (!(i->flags & (SCTP_EOF | SCTP_ABORT)) && len == 0))
        return -EINVAL;
    if (i->flags & SCTP_ADDR_OVER && !(info && info->has_peer))
        return -EINVAL;
    return 0;
}

/* May the association take a message now? -EAGAIN: it is being set up. Socket lock held. */
static int send_state(struct vcl_socket *s)
{
    int error;

    switch (vcl_state(s)) {
    case VCL_CONNECTED:
        error = vcl_socket_take_error(s);
        if (error)
            return error;
        if (!s->has_fifos || svm_fifo_cons_rst(vcl_rx_last(s)))
            return -EPIPE;
        if (s->wr_shut)
            return svm_fifo_cons_is_fin(vcl_rx_last(s)) ? -EPIPE : -ESHUTDOWN; /* over, or RFC 9260 s9.2: no new data */
        if (svm_fifo_cons_is_fin(vcl_rx_last(s)) || atomic_load(&s->peer_gone) || svm_fifo_prod_peer_closed(&s->tx))
            return -ESHUTDOWN;
        return 0;
    case VCL_CONNECTING:
        return -EAGAIN;
    case VCL_DEAD:
        error = vcl_socket_take_error(s);
        return error ? error : -EPIPE;
    default:
        return -EPIPE;
    }
}

/* Cut-through: what the receiver would have read off the packets (RFC 9260 s3.3.1). */
static void number(struct vcl_socket *s, struct svm_sctp_info *i)
{
    struct vcl_sctp *c = s->sctp;

    memset(&i->u, 0, sizeof(i->u));
    i->u.rx.tsn = i->u.rx.cumtsn = c->tsn++;
    if (i->flags & SCTP_UNORDERED)
        return;
    if (!c->ssn)
        c->ssn = calloc((size_t)c->out_streams, sizeof(*c->ssn));
    if (c->ssn)
        i->u.rx.mid = i->u.rx.ssn = c->ssn[i->stream]++;
}

/* Headers between the pieces of the message, one tail move for all of it. Socket lock held. 0 or -errno. */
static int put_message(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t len, struct svm_sctp_info i,
                       const struct vcl_msg_info *info)
{
    static const uint8_t zeros[8];
    struct svm_sctp_record r[VCL_SCTP_RECORDS];
    struct iovec all[IOV_MAX_PIECES + 3 * VCL_SCTP_RECORDS];
    size_t left = len, skip = 0;
    int n = 0, k = 0, rc;

    do {
        uint32_t part = (uint32_t)hs_min_u64(left, SVM_SCTP_RECORD_MAX);

        r[k] = vcl_sctp_record(s, part);
        r[k].info = i;
        r[k].h.flags = left > part ? SVM_DGRAM_MORE : 0;
        if (i.flags & SCTP_ADDR_OVER && info) {
            r[k].h.rmt_ip = info->peer.ip;
            r[k].h.rmt_port = info->peer.port;
        }
        all[n++] = (struct iovec){ &r[k++], sizeof(*r) };
        left -= part;
        for (uint32_t todo = part; todo;) {
            uint32_t piece = (uint32_t)hs_min_u64(iov->iov_len - skip, todo);

            if (piece)
                all[n++] = (struct iovec){ (uint8_t *)iov->iov_base + skip, piece };
            todo -= piece;
            skip += piece;
            if (skip == iov->iov_len) {
                iov++;
                skip = 0;
            }
        }
        all[n++] = (struct iovec){ (void *)(uintptr_t)zeros, (8 - (part & 7)) & 7 };
    } while (left);
    (void)n_iov;
    uint32_t tail = s->tx.tail;
    rc = svm_fifo_enqueue_record(&s->tx, all, n);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (rc == 0 && hs_unlikely(vcl_claim_may_be(s)) && vcl_claim_settle_tx(s, s->tx.tail - tail) == 0)
        return -EAGAIN; /* it came too late there: another process has claimed the socket */
    s->sctp->tx_want = rc ? (uint32_t)(len + (size_t)k * (sizeof(*r) + 8)) : 0;
    if (rc == -EAGAIN && svm_fifo_prod_unread(&s->tx) == 0)
        return -ENOBUFS; /* nothing is in its way but memory */
    if (rc == 0 && vcl_sctp_is_near(s) && vcl_sctp_wants_note(s->sctp, SCTP_SENDER_DRY_EVENT))
        s->sctp->due |= VCL_SCTP_DRY; /* what is in the FIFO is with the other program: nothing is outstanding */
    return rc;
}

/* Socket lock held. */
static int put_numbered(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t len, struct svm_sctp_info i,
                        const struct vcl_msg_info *info)
{
    int rc;

    if (!vcl_sctp_is_near(s))
        return put_message(s, iov, n_iov, len, i, info);
    i.flags &= SCTP_UNORDERED;
    number(s, &i);
    rc = put_message(s, iov, n_iov, len, i, info);
    if (rc) { /* not sent: its numbers are those of the next */
        s->sctp->tsn--;
        if (!(i.flags & SCTP_UNORDERED) && s->sctp->ssn)
            s->sctp->ssn[i.stream]--;
    }
    return rc;
}

/* There may be more streams than the program was told of (RFC 6525 s5.1.5). */
static void ask_streams(struct vcl_socket *s)
{
    struct sctp_status st;
    socklen_t len = sizeof(st);

    memset(&st, 0, sizeof(st));
    if (vcl_sctp_server_get(s, SCTP_STATUS, &st, &len) != 0)
        return;
    vcl_socket_lock(s);
    s->sctp->out_streams = st.sstat_outstrms;
    s->sctp->in_streams = st.sstat_instrms;
    vcl_socket_unlock(s);
}

/* One attempt. Socket lock held. */
static int try_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t len, struct svm_sctp_info i,
                    const struct vcl_msg_info *info)
{
    int rc = send_state(s);

    if (rc)
        return rc;
    if (i.stream >= s->sctp->out_streams)
        return -EINVAL;
    if (s->sctp->held)
        vcl_sctp_send_held(s);
    if (s->sctp->held)
        return -EAGAIN;
    return put_numbered(s, iov, n_iov, len, i, info);
}

/* A one-to-one socket that was never connected takes the first message's address for its association's (RFC 6458 s4.1.8, Linux). */
static int implicit_connect(struct vcl_socket *s, const struct vcl_msg_info *info)
{
    int rc;

    if (!info || !info->has_peer || (vcl_state(s) != VCL_NEW && vcl_state(s) != VCL_BOUND))
        return 0;
    rc = vcl_sctp_name_also(s, &info->peer, info->sctp);
    if (rc == 0)
        rc = vcl_connect(s, &info->peer);
    return rc == -EINPROGRESS || rc == -EALREADY ? 0 : rc;
}

/* ---- messages that wait for their association ---- */
/* An implicit set-up does not wait: what is sent meanwhile goes out when the association stands (RFC 6458 s3.3). 0, or -EAGAIN: enough
 * waits already. */
static int hold(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t len, const struct svm_sctp_info *i)
{
    struct vcl_sctp_held **at = &s->sctp->held, *h;
    size_t done = 0;

    if (s->sctp->held_bytes && s->sctp->held_bytes + len > VCL_SCTP_HELD_MAX)
        return -EAGAIN;
    h = malloc(sizeof(*h) + len);
    if (!h)
        return -ENOMEM;
    *h = (struct vcl_sctp_held){ .info = *i, .len = len };
    for (int k = 0; k < n_iov; k++) {
        memcpy(h->bytes + done, iov[k].iov_base, iov[k].iov_len);
        done += iov[k].iov_len;
    }
    while (*at)
        at = &(*at)->next;
    *at = h;
    s->sctp->held_bytes += (uint32_t)len;
    return 0;
}

void vcl_sctp_held_next(struct vcl_sctp *c)
{
    struct vcl_sctp_held *h = c->held;

    c->held = h->next;
    c->held_bytes -= (uint32_t)h->len;
    free(h);
}

void vcl_sctp_held_free(struct vcl_sctp *c)
{
    while (c->held)
        vcl_sctp_held_next(c);
}

/* One ring for all of them: a FIFO from which nobody has read yet can change its ring once only. */
void vcl_sctp_hold_room(struct vcl_socket *s, uint32_t more)
{
    for (const struct vcl_sctp_held *h = s->sctp->held; h; h = h->next)
        more += (uint32_t)(h->len + (h->len / SVM_SCTP_RECORD_MAX + 1) * (sizeof(struct svm_sctp_record) + 8));
    (void)svm_fifo_prod_grow(&s->tx, more); /* without memory for it they follow one after the other */
}

/* What does not fit stays, before everything that is sent later. */
void vcl_sctp_send_held(struct vcl_socket *s)
{
    struct vcl_sctp_held *h;

    while ((h = s->sctp->held) != NULL) {
        struct iovec iov = { h->bytes, h->len };
        struct svm_sctp_info i = h->info;

        if (i.stream < s->sctp->out_streams && put_numbered(s, &iov, 1, h->len, i, NULL) != 0)
            return;
        vcl_sctp_held_next(s->sctp); /* a stream that the peer does not take is passed over */
    }
}

static int send_end(struct vcl_socket *s, const struct svm_sctp_info *i)
{
    return i->flags & SCTP_ABORT ? vcl_sctp_abort(s) : vcl_shutdown(s, SHUT_WR);
}

ssize_t vcl_sctp_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info)
{
    struct vcl_tries tries = vcl_tries_begin(s, flags);
    size_t len = iov_len(iov, n_iov);
    struct svm_sctp_info i = message_info(s, info);
    int rc;

    if (n_iov > IOV_MAX_PIECES || len > (size_t)VCL_SCTP_RECORDS * SVM_SCTP_RECORD_MAX)
        return -EMSGSIZE;
    if (vcl_state(s) == VCL_LISTENING)
        return -EPIPE;
    rc = check_flags(s, &i, len, info);
    if (rc == 0)
        rc = implicit_connect(s, info);
    if (rc)
        return rc;
    if (i.flags & (SCTP_EOF | SCTP_ABORT))
        return send_end(s, &i);
    if (hs_unlikely(i.stream >= s->sctp->out_streams) && !vcl_sctp_is_near(s) && vcl_state(s) == VCL_CONNECTED)
        ask_streams(s);
    for (;;) {
        bool data = false, dry;

        rc = hs_unlikely(s->shared) && vcl_state(s) == VCL_CONNECTED ? vcl_socket_enter_soon(s) : 0;
        if (rc && rc != -EAGAIN)
            return rc;
        vcl_socket_lock(s);
        if (rc == 0)
            rc = s->unclaimed ? -EAGAIN : try_send(s, iov, n_iov, len, i, info);
        if (rc == -EAGAIN && s->sctp->is_branch && vcl_state(s) == VCL_CONNECTING) {
            rc = hold(s, iov, n_iov, len, &i);
            if (rc == 0) {
                vcl_socket_unlock(s);
                return (ssize_t)len;
            }
        } else if (rc == 0)
            data = svm_fifo_prod_event_due(&s->tx);
        dry = rc == 0 && s->sctp->due & VCL_SCTP_DRY;
        vcl_socket_unlock(s);
        vcl_socket_event_due(s, data, false);
        if (rc == 0) {
            if (dry)
                vcl_socket_rearm(s);
            vcl_spin_said(&s->w->spin, len);
            return (ssize_t)len;
        }
        if (rc == -ENOMEM) {
            rc = vcl_out_of_memory(s);
            if (rc == 0)
                continue;
        }
        if (rc != -EAGAIN)
            return rc == -EPROTO ? -ECONNRESET : rc;
        rc = vcl_again_write(s, &tries);
        if (rc)
            return rc;
    }
}
