/* tls_pool.c - the threads, their queue, and the way back to the workers */
#include "server/tls/tls_pool.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/tls/dtls.h"

enum { FIRST_BYTES = 4096 };

struct tls_pool {
    struct tls_stack *ts;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct tls_job *first, **last;
    bool stop;
    unsigned n;
    pthread_t thread[];
};

/* ---- bytes ---- */

static bool room(struct tls_job_bytes *b, size_t more)
{
    uint32_t cap = b->cap ? b->cap : FIRST_BYTES;
    uint8_t *p;

    if (b->at == b->len)
        b->at = b->len = 0;
    if (more > TLS_JOB_MAX - b->len)
        return false;
    while (cap - b->len < more && cap < TLS_JOB_MAX)
        cap *= 2;
    if (cap == b->cap)
        return true;
    p = realloc(b->data, cap);
    if (!p)
        return false;
    b->data = p;
    b->cap = cap;
    return true;
}

int tls_job_read(struct tls_job *j, void *buf, size_t len)
{
    uint32_t n = (uint32_t)hs_min_u64(len, tls_job_left(&j->in));

    if (n == 0)
        return j->in_end ? -1 : 0;
    memcpy(buf, j->in.data + j->in.at, n);
    j->in.at += n;
    return (int)n;
}

/* More than TLS_JOB_MAX is no handshake: it fails. */
int tls_job_write(struct tls_job *j, const void *buf, size_t len)
{
    if (!room(&j->out, len))
        return -1;
    memcpy(j->out.data + j->out.len, buf, len);
    j->out.len += (uint32_t)len;
    return (int)len;
}

const uint8_t *tls_job_next(struct tls_job_bytes *from, uint32_t *len)
{
    const uint8_t *data = from->data + from->at + sizeof(*len);

    memcpy(len, from->data + from->at, sizeof(*len));
    from->at += (uint32_t)sizeof(*len) + *len;
    return data;
}

bool tls_job_put(struct tls_job_bytes *to, const void *buf, size_t len)
{
    uint32_t n = (uint32_t)len;

    if (len > TLS_JOB_MAX - sizeof(n) || !room(to, sizeof(n) + len))
        return false;
    memcpy(to->data + to->len, &n, sizeof(n));
    memcpy(to->data + to->len + sizeof(n), buf, len);
    to->len += (uint32_t)sizeof(n) + n;
    return true;
}

void tls_job_free(struct tls_job *j)
{
    if (!j)
        return;
    free(j->in.data);
    free(j->out.data);
    free(j);
}

void tls_job_drop(struct tls_conn *c)
{
    if (!c->job || c->job->at_thread || c->is_shaking || tls_job_left(&c->job->in) > 0)
        return;
    tls_job_free(c->job);
    c->job = NULL;
}

/* ---- threads ---- */

/* Runs in the worker's turn; what is there is taken by tls_turn(), which runs because this was work. */
static void wake(struct worker *w, void *arg)
{
    (void)w, (void)arg;
}

static void give_back(struct tls_job *j)
{
    struct tls_worker *tw = j->tw;
    bool tell;

    pthread_mutex_lock(&tw->done.lock);
    j->next = tw->done.first;
    tw->done.first = j;
    tell = !tw->done.is_told;
    tw->done.is_told = true;
    pthread_mutex_unlock(&tw->done.lock);
    if (tell)
        (void)worker_call(tw->w, wake, NULL); /* -EAGAIN: the ring is full, so that the worker is awake and looks */
}

static void *thread_main(void *arg)
{
    struct tls_pool *p = arg;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct tls_job *j;
        while (!p->stop && !p->first)
            pthread_cond_wait(&p->more, &p->lock);
        if (p->stop)
            break;
        j = p->first;
        p->first = j->next;
        if (!p->first)
            p->last = &p->first;
        pthread_mutex_unlock(&p->lock);
        j->status = p->ts->engine->handshake(j->c->engine);
        give_back(j);
        pthread_mutex_lock(&p->lock);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

int tls_pool_start(struct tls_stack *ts, unsigned n_threads, struct tls_pool **out)
{
    struct tls_pool *p = calloc(1, sizeof(*p) + n_threads * sizeof(p->thread[0]));
    sigset_t all, before;
    int err = 0;

    if (!p)
        return -ENOMEM;
    p->ts = ts;
    p->last = &p->first;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    sigfillset(&all); /* signals are the control thread's */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (p->n < n_threads && err == 0) {
        char name[16];
        err = -pthread_create(&p->thread[p->n], NULL, thread_main, p);
        if (err != 0)
            break;
        snprintf(name, sizeof(name), "hs-tls-%u", p->n % 1000);
        pthread_setname_np(p->thread[p->n++], name);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (err != 0) {
        tls_pool_stop(p);
        return err;
    }
    *out = p;
    return 0;
}

void tls_pool_stop(struct tls_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->n; i++)
        pthread_join(p->thread[i], NULL);
    pthread_cond_destroy(&p->more);
    pthread_mutex_destroy(&p->lock);
    free(p);
}

/* ---- workers ---- */

static struct tls_job *job_of(struct tls_conn *c)
{
    if (!c->job) {
        c->job = calloc(1, sizeof(*c->job));
        if (c->job) {
            c->job->c = c;
            c->job->tw = tls_worker_of(c->w);
        }
    }
    return c->job;
}

static bool fill_datagrams(struct tls_conn *c, struct tls_job *j)
{
    uint8_t *gather = tls_worker_of(c->w)->gather;
    int n = 0;

    j->mtu = dtls_lower_mtu(c);
    j->now_us = c->w->now_us;
    while (tls_job_left(&j->in) < TLS_JOB_IN_MAX / 2 && (n = dtls_lower_next(c, gather, TLS_RECORD_MAX)) > 0)
        if (!tls_job_put(&j->in, gather, (size_t)n))
            return false;
    j->in_end = n < 0;
    return true;
}

static bool fill_bytes(struct tls_conn *c, struct tls_job *j)
{
    int64_t n = c->has_fifos ? svm_fifo_cons_avail(&c->in) : 0;
    uint32_t len = (uint32_t)hs_min_u64(n > 0 ? (uint64_t)n : 0, TLS_JOB_IN_MAX - tls_job_left(&j->in));

    if (len > 0) {
        if (!room(&j->in, len))
            return false;
        n = svm_fifo_dequeue(&c->in, j->in.data + j->in.len, len);
        j->in.len += n > 0 ? (uint32_t)n : 0;
    }
    j->in_end = n < 0 || c->lower_error || !c->lower || (svm_fifo_cons_is_fin(&c->in) && svm_fifo_cons_avail(&c->in) == 0);
    return true;
}

/* All that has come, as far as it fits: the rest follows with the next step. */
static bool fill(struct tls_conn *c, struct tls_job *j)
{
    if (tls_job_left(&j->in) > 0 && j->in.at > 0) {
        memmove(j->in.data, j->in.data + j->in.at, tls_job_left(&j->in));
        j->in.len -= j->in.at;
        j->in.at = 0;
    }
    return c->is_dtls ? fill_datagrams(c, j) : fill_bytes(c, j);
}

bool tls_pool_give(struct tls_conn *c)
{
    struct tls_pool *p = c->w->stack->tls->pool;
    struct tls_job *j = job_of(c);

    if (!j || !fill(c, j))
        return false;
    j->at_thread = true;
    j->next = NULL;
    pthread_mutex_lock(&p->lock);
    *p->last = j;
    p->last = &j->next;
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
    return true;
}

unsigned tls_pool_take(struct tls_worker *tw)
{
    struct tls_job *j;
    unsigned n = 0;

    pthread_mutex_lock(&tw->done.lock);
    j = tw->done.first;
    tw->done.first = NULL;
    tw->done.is_told = false;
    pthread_mutex_unlock(&tw->done.lock);
    for (struct tls_job *next; j; j = next, n++) {
        next = j->next;
        j->at_thread = false;
        j->has_status = true;
        tls_conn_ready(j->c);
    }
    tw->count.handshake_thread_steps += n;
    return n;
}
