/* tls_conn.c - a connection's states: made, handshake, offered to a program, closed, freed; and whose turn it is */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include "server/tls/dtls.h"

enum { TURN_CONNS = 256 };

/* ---- table ---- */

static bool table_grow(struct tls_worker *tw)
{
    uint32_t n = tw->n_slots ? tw->n_slots * 2 : 64;
    struct tls_conn **t = realloc(tw->conns, n * sizeof(struct tls_conn *));
    uint32_t *f = t ? realloc(tw->free_slots, n * sizeof(*f)) : NULL;

    if (t)
        tw->conns = t;
    if (!f)
        return false;
    tw->free_slots = f;
    for (uint32_t i = n; i-- > tw->n_slots;) {
        t[i] = NULL;
        if (i) /* slot 0 means none */
            f[tw->n_free++] = i;
    }
    tw->n_slots = n;
    return true;
}

static void on_timer(struct worker *w, struct timer_node *t);

struct tls_conn *tls_conn_new(struct worker *w)
{
    struct tls_worker *tw = tls_worker_of(w);
    struct tls_conn *c = tw->n_free || table_grow(tw) ? aligned_alloc(HS_CACHE_LINE, (sizeof(*c) + 63) & ~(size_t)63) : NULL;

    if (!c)
        return NULL;
    memset(c, 0, sizeof(*c));
    c->w = w;
    c->index = tw->free_slots[--tw->n_free];
    c->base.proto = SVM_PROTO_TLS;
    c->timer.fire = on_timer;
    c->linger_s = -1;
    tw->conns[c->index] = c;
    tw->n_conns++;
    return c;
}

static void handshake_over(struct tls_conn *c)
{
    if (c->is_shaking)
        tls_worker_of(c->w)->n_handshakes--;
    c->is_shaking = false;
    tls_wait_leave(c);
}

void tls_conn_free_if_done(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);

    if (c->lower || c->has_fifos || c->base.session || c->on_ready || (c->job && c->job->at_thread))
        return;
    handshake_over(c);
    timer_stop(&c->timer, &c->w->timers);
    tls_listener_leave(c);
    if (c->engine)
        c->w->stack->tls->engine->conn_free(c->engine);
    tls_job_free(c->job);
    if (c->profile)
        tls_profile_put(c->w->stack, c->profile);
    tw->conns[c->index] = NULL;
    tw->free_slots[tw->n_free++] = c->index;
    tw->n_conns--;
    free(c);
}

void tls_queue_init(struct tls_queue *q) { *q = (struct tls_queue){ NULL, &q->first }; }

void tls_conn_ready(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    bool is_shaking = c->state == TLS_S_NEW || c->state == TLS_S_LOWER || c->state == TLS_S_WAIT || c->state == TLS_S_HANDSHAKE;
    struct tls_queue *q = is_shaking ? &tw->shaking : &tw->ready;

    if (c->on_ready)
        return;
    c->on_ready = true;
    c->ready_next = NULL;
    *q->last = c;
    q->last = &c->ready_next;
}

/* ---- ends ---- */

void tls_conn_abort_lower(struct tls_conn *c)
{
    handshake_over(c);
    tls_listener_leave(c);
    timer_stop(&c->timer, &c->w->timers);
    c->state = TLS_S_DEAD;
    if (c->lower)
        session_close(c->w, &c->app->aw, c->lower, c->is_dtls ? -1 : 0); /* UDP: what was written goes, alerts too */
    tls_conn_ready(c);
}

void tls_conn_finish_lower(struct tls_conn *c)
{
    handshake_over(c);
    tls_listener_leave(c);
    c->state = TLS_S_LINGER;
    if (!c->lower || c->lower_error || c->is_dtls) {
        tls_conn_abort_lower(c);
        return;
    }
    tls_lower_tell(c);
    if (c->base.session && c->linger_s > 0) { /* the program waits for what TCP says */
        session_close(c->w, &c->app->aw, c->lower, c->linger_s);
        return;
    }
    /* What comes from now on is taken and thrown away: closing with bytes unread would be a reset, and the peer might lose our last ones. */
    session_shutdown(c->w, c->lower, SHUT_RDWR);
    timer_start(&c->w->timers, &c->timer, c->w->now_us + TLS_LINGER_US);
    tls_conn_ready(c);
}

/* The program learns of the error; to the peer goes what the engine has written, an alert in most cases. */
void tls_conn_fail(struct tls_conn *c, int error, const char *why)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    struct session *s = c->base.session;
    char rmt[IP_ENDPOINT_TEXT_MAX];

    if (why) {
        const struct ip_endpoint *e = c->lower ? &c->lower->rmt : &c->base.rmt;
        hs_log_limited(c->w->stack->log, &tw->log_limit, c->w->now_us, error == -ECONNRESET ? HS_LOG_INFO : HS_LOG_NOTICE, "tls: %s %s: %s",
                       c->is_server ? "client" : "server", ip_endpoint_format(e, rmt), why);
    }
    c->base.session = NULL;
    if (s)
        session_reset(c->w, s, error);
    tls_conn_finish_lower(c);
}

/* RFC 9325 s4.4: TLS 1.2 and DTLS 1.2 should be negotiated anew before 2^24.5 records of AES-GCM. That is refused here (s3.5 there), and ending a
 * transfer of some hundred gigabytes would hurt more than the risk: it goes on, and the operator is told. */
void tls_conn_check_key(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    char rmt[IP_ENDPOINT_TEXT_MAX];

    if (c->is_key_old || !c->engine || !c->w->stack->tls->engine->key_is_old(c->engine))
        return;
    c->is_key_old = true;
    tw->count.old_keys++;
    hs_log_limited(c->w->stack->log, &tw->log_limit, c->w->now_us, HS_LOG_NOTICE,
                   "tls: %s %s: more records were sent under one key than RFC 9325 advises; TLS 1.3 would change it",
                   c->is_server ? "client" : "server", ip_endpoint_format(&c->base.rmt, rmt));
}

static void fail_by_engine(struct tls_conn *c)
{
    const struct tls_engine *e = c->w->stack->tls->engine;
    int error = c->lower_error ? c->lower_error : e->error_code(c->engine);

    tls_worker_of(c->w)->count.handshakes_failed++;
    tls_conn_fail(c, error, c->lower_error ? strerror(-error) : e->error(c->engine));
}

/* ---- handshake ---- */

static void begin(struct tls_conn *c)
{
    struct tls_stack *ts = c->w->stack->tls;
    struct tls_worker *tw = tls_worker_of(c->w);
    struct tls_io io = { c, tls_lower_read, tls_lower_write, NULL, NULL, &tls_lower_place };
    int err;

    c->state = TLS_S_WAIT;
    if (!timer_is_running(&c->timer)) { /* waiting is part of the time that it may take */
        c->deadline_us = c->w->now_us + ts->cfg.handshake_timeout_us;
        timer_start(&c->w->timers, &c->timer, c->deadline_us);
    }
    if (c->lower_error && c->wait_pprev) { /* it did not wait so long */
        tls_worker_of(c->w)->count.handshakes_failed++;
        tls_conn_fail(c, c->lower_error, NULL);
        return;
    }
    if (!tls_wait_enter(c))
        return;
    if (c->is_dtls)
        io = (struct tls_io){ c, dtls_lower_read, dtls_lower_write, dtls_lower_now_us, dtls_lower_mtu, NULL };
    tw->n_handshakes++;
    c->is_shaking = true;
    err = ts->engine->conn_new(ts->instance, c->is_server, c->profile, &c->lower->rmt, &io, &c->engine);
    if (err != 0) {
        tls_conn_fail(c, err, "no memory for a connection");
        return;
    }
    c->state = TLS_S_HANDSHAKE;
}

/* The TCP connection has been accepted. */
static void accepted(struct tls_conn *c)
{
    struct worker *w = c->w;

    if (!session_accepted(w, &c->app->aw, c->lower, c->index) || c->lower->state == SESSION_DEAD || !c->listener ||
        tls_listener_profile(w, c->listener, &c->profile) != 0) {
        tls_conn_abort_lower(c);
        return;
    }
    if (c->listener->n_conns > w->stack->tls->cfg.max_handshakes) {
        tls_worker_of(w)->count.handshakes_refused++;
        tls_conn_abort_lower(c);
        return;
    }
    c->lower_up = true;
    c->base.lcl = c->lower->lcl;
    c->base.rmt = c->lower->rmt;
    c->base.fib = c->lower->fib;
    begin(c);
}

static void opened(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    struct tls_info info;

    c->w->stack->tls->engine->info(c->engine, &info);
    tw->count.handshakes++;
    tw->count.resumed += info.is_resumed;
    handshake_over(c);
    tls_listener_leave(c);
    timer_stop(&c->timer, &c->w->timers);
    c->state = TLS_S_OPEN;
    tls_lower_widen(c);
    if (c->is_dtls)
        dtls_opened(c);
    tls_job_drop(c);
    session_tx_schedule(c->w, c->base.session);
}

/* The handshake is done: a program gets the session. A full accept queue is waited for, as TCP does by not answering. */
static void offer(struct tls_conn *c)
{
    int err = session_accept(c->w, c->listener->accept_to, &c->base);

    if (err == -ENOBUFS && listener_accept_full(c->listener->l)) {
        c->state = TLS_S_OFFER;
        timer_start(&c->w->timers, &c->timer, c->w->now_us + TLS_OFFER_US);
    } else if (err != 0) {
        tls_conn_fail(c, err, "no memory for a session");
    } else {
        opened(c);
    }
}

static void shaken(struct tls_conn *c, enum tls_status status)
{
    switch (status) {
    case TLS_DONE:
        tls_lower_tell(c);
        if (c->is_server) {
            offer(c);
        } else {
            struct session *s = c->base.session;
            session_connected(c->w, s, 0);
            opened(c);
        }
        if (c->state == TLS_S_OPEN)
            tls_conn_ready(c); /* the peer's first bytes may have come with its Finished */
        return;
    case TLS_WANT_READ:
        tls_lower_tell(c);
        tls_lower_widen(c);
        if (c->is_dtls)
            dtls_timer_start(c);
        if (tls_lower_arm(c))
            tls_conn_ready(c);
        return;
    case TLS_WANT_WRITE:
        if (svm_fifo_prod_want_space(&c->out, TLS_RECORD_MAX))
            tls_conn_ready(c);
        tls_lower_tell(c);
        return;
    default:
        fail_by_engine(c);
    }
}

/* A step by a thread: what it has written goes out first, then its answer counts. */
static void shake_at_pool(struct tls_conn *c)
{
    struct tls_job *j = c->job;

    if (j && j->at_thread)
        return; /* comes back on the ready list */
    if (j && !tls_lower_flush(c)) {
        if (svm_fifo_prod_want_space(&c->out, TLS_RECORD_MAX))
            tls_conn_ready(c);
        tls_lower_tell(c);
        return;
    }
    if (j && j->has_status) {
        j->has_status = false;
        shaken(c, j->status);
        return;
    }
    if (tls_pool_give(c))
        tls_lower_tell(c);
    else
        tls_conn_fail(c, -ENOMEM, "no memory for a handshake");
}

static void shake(struct tls_conn *c)
{
    struct tls_stack *ts = c->w->stack->tls;
    struct tls_worker *tw = tls_worker_of(c->w);

    tw->shake_budget -= hs_min_u32(tw->shake_budget, ts->pool ? TLS_HANDSHAKE_GIVE : TLS_HANDSHAKE_COST);
    if (ts->pool)
        shake_at_pool(c);
    else
        shaken(c, ts->engine->handshake(c->engine));
}

/* The TCP connection is there, or is not. */
static void lower_connected(struct tls_conn *c)
{
    if (c->lower_error) {
        tls_conn_fail(c, c->lower_error, NULL);
        return;
    }
    if (!c->lower_up)
        return;
    c->base.lcl = c->lower->lcl;
    begin(c);
}

static void on_timer(struct worker *w, struct timer_node *t)
{
    struct tls_conn *c = hs_container_of(t, struct tls_conn, timer);

    if (c->is_dtls && c->state != TLS_S_OFFER && c->state != TLS_S_WAIT) {
        if (c->state == TLS_S_HANDSHAKE || c->state == TLS_S_OPEN)
            dtls_on_timer(c);
        return;
    }
    switch (c->state) {
    case TLS_S_WAIT:
    case TLS_S_HANDSHAKE:
        tls_worker_of(w)->count.handshake_timeouts++;
        tls_conn_fail(c, -ETIMEDOUT, "the handshake was not finished in time");
        return;
    case TLS_S_OFFER:
        offer(c);
        if (c->state == TLS_S_OPEN)
            tls_conn_ready(c);
        return;
    case TLS_S_LINGER:
        if (c->lower)
            session_close(w, &c->app->aw, c->lower, -1);
        return;
    case TLS_S_OPEN:
        tls_lower_idle(c);
        return;
    default:
        return;
    }
}

/* ---- turns ---- */

static void linger(struct tls_conn *c)
{
    if (c->has_fifos && (svm_fifo_cons_is_fin(&c->in) || c->lower_error) && c->lower)
        session_close(c->w, &c->app->aw, c->lower, c->lower_error ? 0 : -1);
    else
        (void)tls_lower_arm(c);
}

static void run(struct tls_conn *c)
{
    if (!c->lower && c->state != TLS_S_LOWER) { /* TCP has ended, in order or not; a program that lingers waits for it */
        struct session *s = c->base.session;
        c->state = TLS_S_DEAD;
        c->base.session = NULL;
        if (s && s->state == SESSION_CLOSING)
            session_closed(c->w, s);
        else if (s)
            session_reset(c->w, s, c->lower_error ? c->lower_error : -ECONNRESET);
        tls_conn_free_if_done(c);
        return;
    }
    switch (c->state) {
    case TLS_S_NEW:
        accepted(c);
        if (c->state == TLS_S_HANDSHAKE)
            shake(c);
        break;
    case TLS_S_LOWER:
        if (c->lower)
            lower_connected(c);
        if (c->state == TLS_S_HANDSHAKE)
            shake(c);
        break;
    case TLS_S_WAIT:
        begin(c);
        if (c->state == TLS_S_HANDSHAKE)
            shake(c);
        break;
    case TLS_S_HANDSHAKE:
        shake(c);
        break;
    case TLS_S_OPEN:
    case TLS_S_CLOSING:
        if (c->is_dtls)
            dtls_receive(c);
        else
            tls_io_receive(c);
        break;
    case TLS_S_DOOR:
        dtls_door_receive(c);
        break;
    case TLS_S_LINGER:
        linger(c);
        break;
    default:
        break;
    }
    tls_conn_free_if_done(c);
}

static struct tls_conn *queue_take(struct tls_queue *q)
{
    struct tls_conn *c = q->first;

    q->first = c->ready_next;
    if (!q->first)
        q->last = &q->first;
    c->on_ready = false;
    return c;
}

/* Processor time of this thread: who had the core meanwhile is no reason to do less. */
static uint64_t spent_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* A step may be a signature, which cannot be left in the middle: one of RSA-4096 takes longer than all else in a turn. So there is one at
 * least in each turn, and others only as long as they are short. */
static unsigned shake_some(struct tls_worker *tw)
{
    uint64_t end = tw->shaking.first ? spent_us() + TLS_HANDSHAKES_US : 0;
    unsigned n = 0;

    while (tw->shaking.first && tw->shake_budget && n < TURN_CONNS && (n == 0 || spent_us() < end)) {
        run(queue_take(&tw->shaking));
        n++;
    }
    return n;
}

unsigned tls_turn(struct worker *w)
{
    struct tls_worker *tw = tls_worker_of(w);
    unsigned done = w->stack->tls && w->stack->tls->pool ? tls_pool_take(tw) : 0, n = 0;

    tw->budget = tw->tx_budget = tw->shake_budget = TLS_TURN_BYTES;
    for (; tw->ready.first && tw->budget && n < TURN_CONNS; n++)
        run(queue_take(&tw->ready));
    return done + n + shake_some(tw);
}
