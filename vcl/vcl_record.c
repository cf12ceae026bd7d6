/* vcl_record.c - messages over a connection (DTLS): records as datagrams have them, beginning and end as a stream has them */
#include "vcl/vcl_internal.h"

enum { IOV_MAX_PIECES = 1024 };

/* -EIO: what is in the FIFO is no record. */
static ssize_t broken(struct vcl_socket *s)
{
    pthread_mutex_lock(&s->w->lock);
    vcl_socket_fail(s, -EIO);
    pthread_mutex_unlock(&s->w->lock);
    return -EIO;
}

/* One look: bytes of a message, or rc as vcl_stream_recv_state() says it, -EINPROGRESS = look again. */
static int look(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info, int64_t *n)
{
    bool space = false;
    int rc = vcl_stream_recv_state(s);

    *n = -EAGAIN;
    if (hs_unlikely(s->shared) && rc == 0)
        rc = vcl_socket_enter_soon(s);
    if (rc != 0)
        return rc;
    vcl_socket_lock(s);
    if (s->has_fifos)
        *n = vcl_record_take(s, iov, n_iov, flags, info);
    if (hs_unlikely(s->shared) && *n >= 0 && vcl_claim_settle_rx(s, 1, flags & MSG_PEEK) == 0) {
        vcl_socket_unlock(s); /* another process has been given this one */
        *n = -EAGAIN;
        return -EINPROGRESS;
    }
    if (*n >= 0 && !(flags & MSG_PEEK))
        space = svm_fifo_cons_space_due(&s->rx);
    if (*n == -EAGAIN)
        rc = s->has_fifos ? vcl_stream_empty_means(s, true) : s->unclaimed ? -EAGAIN : -ECONNRESET;
    vcl_socket_unlock(s);
    vcl_socket_event_due(s, false, space);
    if (*n >= 0 && atomic_load_explicit(&s->w->eager, memory_order_relaxed) && vcl_arm_read(s))
        vcl_socket_rearm(s);
    return rc;
}

ssize_t vcl_record_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info)
{
    struct vcl_tries tries = vcl_tries_begin(s, flags);

    if (info)
        *info = (struct vcl_msg_info){ 0 };
    if (flags & MSG_OOB)
        return -EINVAL;
    for (;;) {
        int64_t n;
        int rc = look(s, iov, n_iov, flags, info, &n);

        if (n >= 0)
            return (ssize_t)n;
        if (n == -ENXIO) { /* its ring is in a bank whose descriptors are still on their way */
            pthread_mutex_lock(&s->w->lock);
            vcl_worker_att_input(s->w);
            pthread_mutex_unlock(&s->w->lock);
            continue;
        }
        if (n != -EAGAIN)
            return broken(s);
        if (rc == -EINPROGRESS)
            continue;
        if (rc == 1)
            return 0;
        if (rc != -EAGAIN)
            return rc;
        rc = vcl_again_read(s, &tries);
        if (rc)
            return rc;
    }
}

/* 0, -EAGAIN: no room now, or not connected yet; -EINPROGRESS: try again; other errors are for the program. */
static int try_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t len)
{
    bool data = false;
    int rc = vcl_stream_send_state(s, true);

    if (hs_unlikely(s->shared) && rc == 0)
        rc = vcl_socket_enter_soon(s);
    if (rc != 0)
        return rc;
    vcl_socket_lock(s);
    rc = s->has_fifos && svm_fifo_prod_peer_closed(&s->tx) ? -EPIPE : vcl_record_put(s, iov, n_iov, len, NULL);
    if (hs_unlikely(s->shared) && rc == 0 && vcl_claim_settle_tx(s, 1) == 0)
        rc = -EINPROGRESS; /* came too late there */
    if (rc == 0)
        data = svm_fifo_prod_event_due(&s->tx);
    vcl_socket_unlock(s);
    vcl_socket_event_due(s, data, false);
    return rc;
}

ssize_t vcl_record_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags)
{
    struct vcl_tries tries = vcl_tries_begin(s, flags);
    size_t len = 0;

    for (int i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    if (flags & MSG_OOB)
        return -EOPNOTSUPP;
    if (len > VCL_MESSAGE_MAX || n_iov > IOV_MAX_PIECES)
        return -EMSGSIZE;
    for (;;) {
        int rc = try_send(s, iov, n_iov, len);

        if (rc == 0) {
            vcl_spin_said(&s->w->spin, len);
            return (ssize_t)len;
        }
        if (rc == -EINPROGRESS)
            continue;
        if (rc == -ENOMEM) {
            rc = vcl_out_of_memory(s);
            if (rc == 0)
                continue;
        }
        if (rc != -EAGAIN)
            return rc == -EPROTO ? -EIO : rc;
        rc = vcl_again_write(s, &tries);
        if (rc)
            return rc;
    }
}
