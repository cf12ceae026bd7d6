/* tls.c - the transport's table, its state per worker, how a connection begins and is asked to end */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "server/ip/interface.h"
#include "server/tls/tls_internal.h"

void tls_config_defaults(struct tls_config *cfg)
{
    *cfg = (struct tls_config){
        .min_version = TLS_V1_2,
        .verify = SVM_TLS_VERIFY_NONE,
        .verify_server = SVM_TLS_VERIFY_REQUIRED,
        .handshake_timeout_us = 10000000,
        .dtls_idle_us = 3600000000ull,
        .ticket_lifetime_us = 7200ull * 1000000,
        .fifo_size = 1 << 20,
        .max_handshakes = 1024,
        .handshake_memory = 64 << 20,
    };
}

static int worker_init(struct worker *w)
{
    struct tls_worker *tw = tls_worker_of(w);
    size_t size = (size_t)TLS_RING_AREA_MB << 20;
    void *area;

    tw->w = w;
    tls_queue_init(&tw->ready);
    tls_queue_init(&tw->shaking);
    tls_wait_init(tw);
    pthread_mutex_init(&tw->done.lock, NULL);
    svm_ring_alloc_init(&tw->rings);
    tw->gather = malloc(TLS_RECORD_MAX);
    if (!tw->gather)
        return -ENOMEM;
    tw->rings_fd = memfd_create("hoststack-tls", MFD_CLOEXEC); /* a file, so that what is free can be given back */
    if (tw->rings_fd < 0 || ftruncate(tw->rings_fd, (off_t)size) != 0)
        goto undo_file;
    area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, tw->rings_fd, 0);
    if (area == MAP_FAILED)
        goto undo_file;
    tw->regions.r[0] = (struct svm_region){ area, size };
    tw->regions.n = 1;
    if (svm_ring_alloc_add(&tw->rings, 0, 0, size, tw->rings_fd, false) == 0)
        return 0;
    munmap(area, size);
undo_file:
    if (tw->rings_fd >= 0)
        close(tw->rings_fd);
    free(tw->gather);
    return -ENOMEM;
}

/* Sessions are gone, or go with the worker. */
void tls_worker_clear(struct worker *w)
{
    struct tls_worker *tw = tls_worker_of(w);

    tls_queue_init(&tw->ready); /* who is freed here wakes nobody */
    tls_queue_init(&tw->shaking);
    tls_wait_init(tw);
    for (uint32_t i = 0; i < tw->n_slots; i++) {
        struct tls_conn *c = tw->conns[i];
        if (!c)
            continue;
        c->wait_pprev = NULL;
        c->shake_bytes = 0;
        if (c->lower && c->lower->has_fifos && c->has_fifos) { /* its ring is in our memory, and the session goes after that */
            svm_fifo_prod_fini(&c->lower->fifos->rx);
            c->lower->has_fifos = false;
        }
        c->lower = NULL;
        if (c->job)
            c->job->at_thread = false; /* the threads have ended */
        c->has_fifos = c->on_ready = false;
        c->base.session = NULL;
        c->listener = NULL;
        tls_conn_free_if_done(c);
    }
    tw->done.first = NULL;
    for (struct tls_listener *tl = tw->listeners; tl; tl = tl->next) {
        tls_profile_put(w->stack, tl->profile);
        tl->profile = NULL;
        tl->conns = NULL;
        tl->door = NULL;
    }
}

static void worker_fini(struct worker *w)
{
    struct tls_worker *tw = tls_worker_of(w);

    if (w->stack->tls) {
        tls_pool_stop(w->stack->tls->pool);
        w->stack->tls->pool = NULL;
        tls_worker_clear(w);
    }
    pthread_mutex_destroy(&tw->done.lock);
    free(tw->conns);
    free(tw->free_slots);
    while (tw->apps) {
        struct tls_app *a = tw->apps;
        tw->apps = a->next;
        free(a);
    }
    svm_ring_alloc_fini(&tw->rings);
    munmap(tw->regions.r[0].base, tw->regions.r[0].size);
    close(tw->rings_fd);
    free(tw->gather);
    free(tw->frags);
}

static int tls_connect(struct worker *w, struct session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                       struct transport_conn **out)
{
    struct tls_worker *tw = tls_worker_of(w);
    struct session_connect_args args = { .proto = SVM_PROTO_TCP, .flags = s->flags, .lcl = *lcl, .rmt = *rmt, .attrs = session_attrs(s),
                                         .device = interface_index_of_dev(w->stack, session_dev(s)) };
    struct session *lower = NULL;
    struct tls_conn *c;
    struct tls_app *a;
    int err;

    if (!w->stack->tls)
        return -EPROTONOSUPPORT;
    a = tls_app_get(w, s->app->ns, s->app->fib);
    c = a ? tls_conn_new(w) : NULL;
    if (!c)
        return -ENOMEM;
    c->state = TLS_S_LOWER;
    c->app = a;
    c->base.lcl = *lcl;
    c->base.rmt = *rmt;
    c->base.fib = s->fib;
    err = tls_store_profile(w->stack, s->app->app_id, s->layer_cfg, false, &c->profile);
    if (err == 0) {
        args.ctx = c->index;
        tw->connecting = c;
        err = session_connect(w, &a->aw, &args, &lower);
        tw->connecting = NULL;
    }
    if (err != 0) {
        c->state = TLS_S_DEAD;
        tls_conn_free_if_done(c);
        return err;
    }
    c->lower = lower;
    session_rx_modest(lower, true);
    *out = &c->base;
    return 0;
}

void tls_shutdown_wr(struct worker *w, struct transport_conn *b)
{
    tls_of(b)->tx_shut = true;
    session_tx_schedule(w, b->session);
}

void tls_reset(struct worker *w, struct transport_conn *b)
{
    struct tls_conn *c = tls_of(b);
    struct session *s = b->session;

    b->session = NULL;
    tls_conn_abort_lower(c);
    if (s)
        session_reset(w, s, -ECONNABORTED);
}

static void tls_close(struct worker *w, struct transport_conn *b, int linger_s)
{
    struct tls_conn *c = tls_of(b);

    /* Bytes that nobody will read: the peer must know, as with TCP (RFC 9293 SHLD-3). */
    if (c->state != TLS_S_OPEN || session_rx_unread(w, b->session) > 0) {
        tls_reset(w, b);
        return;
    }
    c->linger_s = linger_s;
    c->state = TLS_S_CLOSING;
    session_tx_schedule(w, b->session);
}

int tls_attr_set(struct worker *w, struct transport_conn *b, uint8_t attr, const void *val, uint32_t len)
{
    struct tls_conn *c = tls_of(b);

    return c->lower ? session_attr_set(w, c->lower, attr, val, len) : -ENOTCONN;
}

int tls_attr_get(struct worker *w, struct transport_conn *b, uint8_t attr, void *val, uint32_t *len)
{
    struct tls_conn *c = tls_of(b);
    int32_t n;
    int err = c->lower ? session_attr_get(w, c->lower, attr, val, len) : -ENOTCONN;

    if (err == 0 && attr == SVM_ATTR_TX_QUEUED) { /* and what is no record yet */
        memcpy(&n, val, sizeof(n));
        n += (int32_t)session_tx_avail(w, b->session);
        memcpy(val, &n, sizeof(n));
    }
    return err;
}

const struct transport_ops tls_transport_ops = {
    .name = "tls",
    .proto = SVM_PROTO_TLS,
    .over = SVM_PROTO_TCP,
    .worker_state_size = sizeof(struct tls_worker),
    .worker_init = worker_init,
    .worker_fini = worker_fini,
    .turn = tls_turn,
    .listen = tls_listen,
    .unlisten = tls_unlisten,
    .connect = tls_connect,
    .shutdown_wr = tls_shutdown_wr,
    .close = tls_close,
    .reset = tls_reset,
    .tx = tls_tx,
    .rx_space = tls_rx_space,
    .attr_set = tls_attr_set,
    .attr_get = tls_attr_get,
    .show = tls_show,
    .show_stats = tls_show_stats,
};
