/* vcl_errqueue.c - errors about datagrams sent, and other news of recvmsg(MSG_ERRQUEUE): collected, kept, handed out */
#include <stdlib.h>
#include "vcl/vcl_internal.h"

struct entry {
    struct entry *next;
    struct vcl_error e;
    uint8_t quoted[];
};
struct vcl_errqueue {
    struct entry *head, **tail, *last;
    unsigned n;
    uint32_t sends;                  /* with MSG_ZEROCOPY, counted as their completions name them */
};

static bool is_icmp(const struct entry *e)
{
    return e && (e->e.ee.ee_origin == SO_EE_ORIGIN_ICMP || e->e.ee.ee_origin == SO_EE_ORIGIN_ICMP6);
}

static struct vcl_errqueue *queue_of(struct vcl_socket *s)
{
    struct vcl_errqueue *q = atomic_load_explicit(&s->errq, memory_order_relaxed);

    if (!q && (q = calloc(1, sizeof(*q))) != NULL) {
        q->tail = &q->head;
        atomic_store_explicit(&s->errq, q, memory_order_release);
    }
    return q;
}

static struct entry *entry_new(struct vcl_socket *s, const struct vcl_error *e, int *error)
{
    struct vcl_errqueue *q = queue_of(s);

    if (!q) {
        *error = -ENOMEM;
        return NULL;
    }
    *error = q->n == VCL_ERRORS_MAX ? -ENOBUFS : 0;
    struct entry *n = *error ? NULL : malloc(sizeof(*n) + e->len);
    if (!n) {
        *error = *error ? *error : -ENOMEM;
        return NULL;
    }
    n->next = NULL;
    n->e = *e;
    return n;
}

static void entry_link(struct vcl_socket *s, struct entry *n)
{
    struct vcl_errqueue *q = atomic_load_explicit(&s->errq, memory_order_relaxed);

    *q->tail = q->last = n;
    q->tail = &n->next;
    q->n++;
    atomic_store_explicit(&s->n_errors, q->n, memory_order_release);
}

int vcl_errqueue_put(struct vcl_socket *s, const struct vcl_error *e, const void *quoted)
{
    int error;
    struct entry *n = entry_new(s, e, &error);

    if (!n)
        return error;
    if (e->len)
        memcpy(n->quoted, quoted, e->len);
    entry_link(s, n);
    return 0;
}

struct vcl_error *vcl_errqueue_last(struct vcl_socket *s)
{
    struct vcl_errqueue *q = atomic_load_explicit(&s->errq, memory_order_relaxed);

    return q && q->last ? &q->last->e : NULL;
}

/* The kernel's msg_zerocopy.rst: a number each send, told by ranges. The bytes have been copied by now, and that is said. */
void vcl_errqueue_sent(struct vcl_socket *s)
{
    struct vcl_errqueue *q;
    struct vcl_error *last;

    vcl_socket_lock(s);
    q = queue_of(s);
    last = vcl_errqueue_last(s);
    if (q && last && last->ee.ee_origin == SO_EE_ORIGIN_ZEROCOPY && last->ee.ee_data + 1 == q->sends && q->sends) {
        last->ee.ee_data = q->sends++;
    } else if (q) {
        struct vcl_error e = { .ee = { .ee_origin = SO_EE_ORIGIN_ZEROCOPY, .ee_code = SO_EE_CODE_ZEROCOPY_COPIED, .ee_info = q->sends,
                                       .ee_data = q->sends } };

        q->sends++;
        (void)vcl_errqueue_put(s, &e, NULL); /* in a queue full of errors there is no room, as in Linux's */
    }
    vcl_socket_unlock(s);
    pthread_mutex_lock(&s->w->lock);
    vcl_set_notify(s, EPOLLERR);
    pthread_mutex_unlock(&s->w->lock);
}

bool vcl_errqueue_has(const struct vcl_socket *s)
{
    return atomic_load_explicit(&s->n_errors, memory_order_acquire) != 0;
}

static struct entry *take(struct vcl_socket *s)
{
    struct vcl_errqueue *q = atomic_load_explicit(&s->errq, memory_order_relaxed);
    struct entry *n = q ? q->head : NULL;

    if (!n)
        return NULL;
    q->head = n->next;
    if (!q->head) {
        q->tail = &q->head;
        q->last = NULL;
    }
    q->n--;
    atomic_store_explicit(&s->n_errors, q->n, memory_order_release);
    return n;
}

void vcl_errqueue_purge(struct vcl_socket *s)
{
    struct entry *n;

    vcl_socket_lock(s);
    while ((n = take(s)))
        free(n);
    vcl_socket_unlock(s);
}

void vcl_errqueue_free(struct vcl_socket *s)
{
    struct entry *n;

    while ((n = take(s)))
        free(n);
    free(atomic_load_explicit(&s->errq, memory_order_relaxed));
}

/* ---- records of the server ---- */

/* The record at `at` of the FIFO, with header h, to the queue. The error is what SO_ERROR tells, too. Without memory it is that alone. */
static void keep(struct vcl_socket *s, uint32_t at, const struct svm_dgram_hdr *h)
{
    struct svm_dgram_error te = { .error = EIO };
    struct vcl_dgram_tlvs t;
    struct vcl_error e;
    int error;

    vcl_dgram_read_tlvs(s, at, h, &t);
    if (t.has_error)
        te = t.error;
    e = (struct vcl_error){
        .ee = { .ee_errno = (uint32_t)te.error, .ee_origin = te.origin, .ee_type = te.type, .ee_code = te.code, .ee_info = te.info,
                .ee_data = te.data },
        .peer = { h->rmt_ip, h->rmt_port }, .has_peer = true, .offender = te.offender, .lcl = h->lcl_ip,
        .ttl = t.ttl, .has_ttl = t.has_ttl, .tos = t.tos, .stamp_ns = t.stamp_ns, .len = h->data_len };
    struct entry *n = entry_new(s, &e, &error);
    if (n && (svm_fifo_peek(&s->rx, at + h->hdr_len, n->quoted, e.len) != (int64_t)e.len)) {
        free(n);
        n = NULL;
    }
    if (n)
        entry_link(s, n);
    if (te.origin != SO_EE_ORIGIN_LOCAL)
        atomic_store(&s->error, te.error > 0 ? -te.error : -EIO);
}

/* Walks the records that have not been looked at. front: only as long as they are errors, and those are dropped; the bytes of datagrams behind
 * them, as one look has found them: what came meanwhile may begin with an error. */
static int64_t walk(struct vcl_socket *s, bool front)
{
    int64_t avail = s->has_fifos ? svm_fifo_cons_avail(&s->rx) : 0;
    uint32_t at = 0;

    if (avail <= 0)
        return avail;
    if (!front && (int32_t)(s->errors_seen - s->rx.head) > 0)
        at = s->errors_seen - s->rx.head;
    while (at < avail) {
        struct svm_dgram_hdr h;
        int rc = vcl_dgram_peek_header(s, at, (uint32_t)avail, &h);
        if (rc)
            return rc;
        bool is_error = h.flags & SVM_DGRAM_ERROR;
        if (front && !is_error)
            return avail;
        if (is_error && (int32_t)(s->errors_seen - (s->rx.head + at)) <= 0)
            keep(s, at, &h);
        at += vcl_dgram_record_size(&h);
        if ((int32_t)(s->errors_seen - (s->rx.head + at)) < 0)
            s->errors_seen = s->rx.head + at;
        if (front) {
            rc = svm_fifo_drop(&s->rx, at);
            if (rc)
                return rc;
            avail -= at;
            at = 0;
        }
    }
    return 0;
}

int64_t vcl_errqueue_settle(struct vcl_socket *s)
{
    int64_t n = walk(s, true);

    if (n == 0 && hs_unlikely(s->rest != NULL)) {
        vcl_rest_turn(s);
        n = walk(s, true);
    }
    return n;
}

/* A FIFO that is broken shows it to the next reader. */
void vcl_errqueue_collect(struct vcl_socket *s)
{
    vcl_socket_lock(s);
    if (!s->unclaimed)
        (void)walk(s, false);
    vcl_socket_unlock(s);
}

/* ---- the program's side ---- */
ssize_t vcl_recv_error(struct vcl_socket *s, const struct iovec *iov, int n_iov, struct vcl_error *out)
{
    struct entry *n;
    uint32_t done = 0;

    vcl_worker_turn(s->w);
    vcl_socket_lock(s);
    n = take(s);
    if (is_icmp(n)) { /* Linux: SO_ERROR is that of the next one, or none any more */
        struct entry *next = atomic_load_explicit(&s->errq, memory_order_relaxed)->head;
        atomic_store(&s->error, is_icmp(next) ? -(int)next->e.ee.ee_errno : 0);
    }
    vcl_socket_unlock(s);
    if (!n)
        return -EAGAIN;
    *out = n->e;
    for (int i = 0; i < n_iov && done < n->e.len; i++) {
        uint32_t part = (uint32_t)hs_min_u64(iov[i].iov_len, n->e.len - done);
        if (part)
            memcpy(iov[i].iov_base, n->quoted + done, part);
        done += part;
    }
    free(n);
    return done;
}
