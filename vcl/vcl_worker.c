/* vcl_worker.c - the queues of a client worker: posting, draining, doorbells, sleep announcements */
#include <stdio.h>
#include <stdlib.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"

enum { TAKE_BATCH = 32 };

void vcl_worker_init(struct vcl_worker *w)
{
    pthread_mutex_init(&w->lock, NULL);
    vcl_spin_init(&w->spin);
    w->att_fd = w->bell_fd = w->event_epfd = w->event_fd = w->lifeline_fd = w->child_lifeline = -1;
    for (int i = 0; i < SVM_MAX_SERVER_WORKERS; i++)
        w->server_bell[i] = (struct vcl_bell){ .fd = -1, .reader = -1 };
    w->table_free = VCL_NO_CTX;
}

/* ---- posting ---- */
int vcl_bell_take(struct vcl_bell *b, int fd)
{
    char path[32];

    b->fd = vcl_fd_dup(fd);
    b->reader = -1;
    if (b->fd < 0)
        return b->fd;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", b->fd);
    b->reader = sys_open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (b->reader >= 0)
        b->reader = vcl_fd_keep(b->reader);
    return 0;
}

void vcl_bell_drop(struct vcl_bell *b)
{
    vcl_fd_close(&b->fd);
    vcl_fd_close(&b->reader);
}

/* Without /proc, and with a kernel before 6.18: the signal of a broken pipe is held back and taken, as long as no other was pending. */
static void ring_masked(int fd)
{
    const struct timespec zero = { 0, 0 };
    sigset_t pipe_only, before, pending;

    sigemptyset(&pipe_only);
    sigaddset(&pipe_only, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe_only, &before);
    if (sys_write(fd, "", 1) < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE))
        sigtimedwait(&pipe_only, NULL, &zero);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void vcl_bell_ring(const struct vcl_bell *b)
{
    int saved = errno;

    if (b->reader >= 0 || b->plain ? sys_write(b->fd, "", 1) < 0 : sys_write_no_signal(b->fd, "", 1) < 0) {
        if (b->reader < 0 && !b->plain && errno != EAGAIN && errno != EPIPE)
            ring_masked(b->fd);
        errno = saved; /* a full pipe rings already */
    }
}

static void ring_server(struct vcl_worker *w, uint32_t i)
{
    if (svm_sleep_must_ring(&w->srv->sleep[i], &w->server_rung[i]))
        vcl_bell_ring(&w->server_bell[i]);
}

static void ring_pair(struct vcl_pair *p)
{
    if (svm_sleep_must_ring(&p->peer_page->sleep, &p->last_rung))
        vcl_bell_ring(&p->peer_bell);
}

static uint8_t kind_of(const struct svm_msg *m)
{
    return m->type == SVM_MSG_DATA ? 1 : m->type == SVM_MSG_SPACE ? 2 : m->type == SVM_MSG_URGENT ? 4 : 8;
}

/* One of each kind for a slot says all. So a peer that takes nothing from its queue, and says that it has, makes nobody keep more. */
static bool pair_has_kept(struct vcl_pair *p, const struct svm_msg *m)
{
    return p->kept && m->ctx < p->n_slots && p->kept[m->ctx] & kind_of(m);
}

static int pair_keep(struct vcl_pair *p, const struct svm_msg *m)
{
    if (!p->kept)
        p->kept = calloc(p->n_slots, 1);
    if (!p->kept || m->ctx >= p->n_slots)
        return -ENOMEM;
    p->kept[m->ctx] |= kind_of(m);
    p->n_kept++;
    return 0;
}

/* Nothing is dropped: what finds a full queue waits here, in order with all that is for that queue, and the next turn tries again. */
static int keep_pending(struct vcl_worker *w, struct vcl_pair *p, uint32_t to, const struct svm_msg *m)
{
    if (p && pair_has_kept(p, m))
        return 0;
    if (w->n_pending == w->pending_size) {
        uint32_t n = w->pending_size ? 2 * w->pending_size : 64;
        struct vcl_pending *grown = realloc(w->pending, n * sizeof(*grown));

        if (!grown)
            return -ENOMEM;
        w->pending = grown;
        w->pending_size = n;
    }
    if (p && pair_keep(p, m) != 0)
        return -ENOMEM;
    w->server_kept[to] += !p;
    w->pending[w->n_pending++] = (struct vcl_pending){ .pair = p ? (int)p->index : -1, .to = to, .msg = *m };
    return 0;
}

/* As ring_server() for what the server need not hear before it looks by itself. */
static void ring_server_late(struct vcl_worker *w, uint32_t i)
{
    if (svm_sleep_must_ring_late(&w->srv->sleep[i], &w->server_rung[i]))
        vcl_bell_ring(&w->server_bell[i]);
}

static int post_server(struct vcl_worker *w, uint32_t to, const struct svm_msg *m)
{
    int rc = svm_msgq_post(&w->out[to], m);

    if (hs_likely(rc == 0))
        ring_server(w, to);
    return rc;
}

/* The peer broke the contract: no word of it counts any more. */
static void pair_fail(struct vcl_pair *p)
{
    p->failed = p->out.failed = p->in.failed = true;
    for (uint32_t k = 0; k < p->n_slots; k++) {
        if (p->by_slot[k])
            vcl_socket_fail(p->by_slot[k], -ECONNRESET);
        if (p->by_slot_self[k])
            vcl_socket_fail(p->by_slot_self[k], -ECONNRESET);
    }
}

static int post_pair(struct vcl_pair *p, const struct svm_msg *m)
{
    int rc = p->failed ? -EPROTO : svm_msgq_post(&p->out, m);

    if (hs_likely(rc == 0))
        ring_pair(p);
    else if (rc == -EPROTO && !p->failed)
        pair_fail(p);
    return rc;
}

/* The program may do anything after this call, and for as long as it likes: what it has said shall be heard all the same. The server makes room
 * within microseconds when it runs. It reads no more of a process that has left thousands of its notices: for that one it is not waited long. */
static int post_when_room(struct vcl_worker *w, uint32_t to, const struct svm_msg *m)
{
    enum { NAP_NS = 50000, NAPS = 20000, NAPS_FULL = 4000 };
    int rc = -EAGAIN;

    for (int i = 0; rc == -EAGAIN && i < (svm_msgq_is_full(&w->in[to]) ? NAPS_FULL : NAPS); i++) {
        sys_ppoll(NULL, 0, &(struct timespec){ 0, NAP_NS }, NULL);
        rc = post_server(w, to, m);
    }
    return rc;
}

int vcl_worker_post(struct vcl_worker *w, uint32_t to, const struct svm_msg *m)
{
    int rc;

    if (hs_unlikely(!atomic_load_explicit(&w->attached, memory_order_relaxed) || w->lost || to >= w->n_server_workers))
        return -ENETDOWN;
    rc = w->server_kept[to] ? -EAGAIN : post_server(w, to, m);
    if (hs_unlikely(rc == -EAGAIN && !w->server_kept[to]))
        rc = post_when_room(w, to, m);
    return hs_unlikely(rc == -EAGAIN) ? keep_pending(w, NULL, to, m) : rc;
}

int vcl_worker_post_late(struct vcl_worker *w, uint32_t to, const struct svm_msg *m, uint32_t at_most)
{
    if (hs_unlikely(!atomic_load_explicit(&w->attached, memory_order_relaxed) || w->lost || to >= w->n_server_workers))
        return -ENETDOWN;
    if (w->server_kept[to] || svm_msgq_is_behind(&w->out[to], at_most) || svm_msgq_post(&w->out[to], m) != 0)
        return vcl_worker_post(w, to, m);
    ring_server_late(w, to);
    return 0;
}

int vcl_worker_post_pair(struct vcl_worker *w, struct vcl_pair *p, const struct svm_msg *m)
{
    int rc;

    if (hs_unlikely(p->failed))
        return -EPROTO;
    rc = p->n_kept ? -EAGAIN : post_pair(p, m);
    return rc == -EAGAIN ? keep_pending(w, p, 0, m) : rc;
}

/* Tries again what found its queue full. Messages to one queue keep their order; a full one does not hold up the others. */
static void flush_pending(struct vcl_worker *w)
{
    uint32_t full_servers = 0, kept = 0, flush = ++w->flushes;

    for (uint32_t i = 0; i < w->n_pending; i++) {
        struct vcl_pending *p = &w->pending[i];
        int rc = -EAGAIN;

        if (p->pair < 0) {
            if (!(full_servers & 1u << p->to))
                rc = post_server(w, p->to, &p->msg);
            if (rc == -EAGAIN)
                full_servers |= 1u << p->to;
            else
                w->server_kept[p->to]--;
        } else {
            struct vcl_pair *pair = (uint32_t)p->pair < w->n_pairs ? w->pairs[p->pair] : NULL;

            if (!pair || !pair_has_kept(pair, &p->msg))
                rc = 0; /* the peer has gone, another has its place */
            else if (pair->full_at != flush)
                rc = post_pair(pair, &p->msg);
            if (rc == -EAGAIN) {
                pair->full_at = flush;
            } else if (pair && pair_has_kept(pair, &p->msg)) {
                pair->kept[p->msg.ctx] &= (uint8_t)~kind_of(&p->msg);
                pair->n_kept--;
            }
        }
        if (rc == -EAGAIN)
            w->pending[kept++] = *p;
    }
    w->n_pending = kept;
}

/* ---- taking ---- */
static bool pair_is_live(const struct vcl_pair *p)
{
    return p && !p->failed;
}

static void drain_server(struct vcl_worker *w, uint32_t i)
{
    struct svm_msg batch[TAKE_BATCH];
    uint32_t epoch = w->epoch;
    int n;

    while ((n = svm_msgq_take(&w->in[i], batch, TAKE_BATCH)) > 0) {
        for (int k = 0; k < n; k++)
            vcl_worker_dispatch(w, &batch[k], i);
        if (n < TAKE_BATCH || w->epoch != epoch)
            return;
    }
    if (n < 0)
        w->lost = true; /* the server's counters are out of bounds: nothing that it says can be trusted */
}

/* What is there now. What comes meanwhile is told by another ring of the bell, and who never stops keeps nobody here. */
static void drain_pair(struct vcl_pair *p)
{
    struct svm_msg batch[TAKE_BATCH];
    int n;

    do {
        n = svm_msgq_take(&p->in, batch, TAKE_BATCH);
        for (int k = 0; k < n; k++)
            vcl_worker_dispatch_pair(p, &batch[k]);
    } while (n > 0 && svm_msgq_known(&p->in) > 0);
    if (n < 0)
        pair_fail(p);
}

void vcl_worker_drain(struct vcl_worker *w)
{
    if (!atomic_load_explicit(&w->attached, memory_order_relaxed))
        return;
    if (hs_unlikely(w->n_pending))
        flush_pending(w);
    for (uint32_t i = 0; i < w->n_server_workers; i++)
        if (!svm_msgq_is_empty(&w->in[i]))
            drain_server(w, i);
    for (uint32_t i = 0; i < w->n_pairs; i++)
        if (pair_is_live(w->pairs[i]) && !svm_msgq_is_empty(&w->pairs[i]->in))
            drain_pair(w->pairs[i]);
    if (hs_unlikely(atomic_load_explicit(&w->n_wanted, memory_order_relaxed)))
        vcl_claim_again(w);
    if (hs_unlikely(w->lost))
        vcl_worker_server_lost(w);
    else if (atomic_load_explicit(&w->eager, memory_order_relaxed) && w->page)
        svm_sleep_begin(&w->page->sleep); /* a new announcement: who has rung for the former one must ring again */
}

/* Called under the worker lock. */
bool vcl_worker_has_work(struct vcl_worker *w)
{
    if (!atomic_load_explicit(&w->attached, memory_order_relaxed))
        return false;
    if (w->lost)
        return true;
    for (uint32_t i = 0; i < w->n_server_workers; i++)
        if (!svm_msgq_is_empty(&w->in[i]))
            return true;
    for (uint32_t i = 0; i < w->n_pairs; i++)
        if (pair_is_live(w->pairs[i]) && !svm_msgq_is_empty(&w->pairs[i]->in))
            return true;
    return false;
}

void vcl_worker_turn(struct vcl_worker *w)
{
    if (!atomic_load_explicit(&w->attached, memory_order_relaxed))
        return;
    pthread_mutex_lock(&w->lock);
    if (hs_unlikely(w->stopping))
        vcl_accept_settle(w);
    if (w->n_pending || vcl_worker_has_work(w))
        vcl_worker_drain(w);
    pthread_mutex_unlock(&w->lock);
}

void vcl_worker_try_turn(struct vcl_worker *w)
{
    if (!atomic_load_explicit(&w->attached, memory_order_relaxed) || pthread_mutex_trylock(&w->lock) != 0)
        return;
    if (w->n_pending || vcl_worker_has_work(w))
        vcl_worker_drain(w);
    pthread_mutex_unlock(&w->lock);
}

bool vcl_worker_must_retry(const struct vcl_worker *w)
{
    return w->n_pending != 0;
}

/* ---- sleeping ---- */
void vcl_worker_sleep_begin(struct vcl_worker *w)
{
    w->n_sleepers++;
    if (w->page)
        svm_sleep_begin(&w->page->sleep);
}

void vcl_worker_sleep_end(struct vcl_worker *w)
{
    if (w->n_sleepers)
        w->n_sleepers--;
    if (!w->page)
        return;
    svm_sleep_end(&w->page->sleep);
    /* Others still sleep, and who rang for the former announcement will not ring for it again. */
    if (w->n_sleepers || atomic_load_explicit(&w->eager, memory_order_relaxed))
        svm_sleep_begin(&w->page->sleep);
}

void vcl_worker_bell_drain(struct vcl_worker *w)
{
    char bytes[256];

    while (w->bell_fd >= 0 && sys_read(w->bell_fd, bytes, sizeof(bytes)) == (ssize_t)sizeof(bytes))
        ;
}
