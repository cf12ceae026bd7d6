/* tls_lower.c - the TCP session below: TLS is its program, with FIFOs in private memory of the server */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "server/tls/dtls.h"

/* Numbers of our app_workers: beyond all clients, the same on every worker, with namespace and interface table in them. */
static const uint32_t INTERNAL_CLIENT = 0x80000000;
enum { NS_BITS = 15, DIRECT_MIN = 4 * TLS_RECORD_MAX };
static uint32_t client_id_of(uint32_t ns, uint16_t fib) { return INTERNAL_CLIENT | (uint32_t)fib << NS_BITS | ns; }

/* ---- memory ---- */

static void note_level(struct tls_worker *tw)
{
    if (tw->rings.used_bytes > tw->rings_level)
        tw->rings_level = tw->rings.used_bytes;
}

/* When so much less is used than there was, the kernel gets it back. */
static void trim(struct tls_worker *tw, uint64_t step)
{
    if (tw->rings.used_bytes + step > tw->rings_level)
        return;
    (void)svm_ring_alloc_trim(&tw->rings);
    tw->rings_level = tw->rings.used_bytes;
}

static int fifos_alloc(struct worker *w, struct app_worker *a, struct app_fifos *out)
{
    struct tls_worker *tw = tls_worker_of(w);
    struct tls_stack *ts = w->stack->tls;
    struct tls_conn *c = tw->connecting ? tw->connecting : tls_conn_new(w);
    struct tls_lines *l;

    tw->connecting = NULL; /* the other end may be ours, too, and gets its FIFOs within the same call */
    if (!c)
        return -ENOMEM;
    c->app = hs_container_of(a, struct tls_app, aw);
    l = &c->lines;
    memset(l, 0, sizeof(*l));
    svm_fifo_cons_init(&c->in, &l->rx_cons, &l->rx_prod, &tw->regions, ts->cfg.fifo_size);
    svm_fifo_prod_init(&c->out, &l->tx_prod, &l->tx_cons, &tw->regions, &svm_ring_alloc_ops, &tw->rings, ts->cfg.fifo_size);
    c->has_fifos = true;
    *out = (struct app_fifos){
        .rx_prod = &l->rx_prod, .rx_cons = &l->rx_cons, .tx_prod = &l->tx_prod, .tx_cons = &l->tx_cons,
        .rx_regions = &tw->regions, .tx_regions = &tw->regions, .ring_ops = &svm_ring_alloc_ops, .ring_ctx = &tw->rings,
        .rx_max = ts->cfg.fifo_size, .tx_max = ts->cfg.fifo_size, .slot = { 0, c->index },
    };
    return 0;
}

static struct tls_conn *of_slot(struct worker *w, const struct svm_msg_slot *slot)
{
    struct tls_worker *tw = tls_worker_of(w);

    return slot->slot && slot->slot < tw->n_slots ? tw->conns[slot->slot] : NULL;
}

static void fifos_free(struct worker *w, struct app_worker *a, const struct svm_msg_slot *slot)
{
    struct tls_conn *c = of_slot(w, slot);

    (void)a;
    if (!c || !c->has_fifos)
        return;
    c->has_fifos = false;
    note_level(tls_worker_of(w));
    svm_fifo_prod_fini(&c->out);
    trim(tls_worker_of(w), TLS_TRIM_GONE);
    tls_conn_ready(c);
}

/* ---- notices: noted here, worked on in tls_turn() ---- */

static void on_accept(struct worker *w, struct app_worker *a, struct listener *l, struct session *s)
{
    struct tls_conn *c = of_slot(w, &s->slot);
    struct tls_listener *tl = tls_listener_find(w, listener_ctx(l, a));

    c->lower = s;
    session_rx_modest(s, true);
    c->is_server = true;
    c->state = TLS_S_NEW;
    if (tl)
        tls_listener_join(tl, c);
    tls_conn_ready(c);
}

static void on_connected(struct worker *w, struct app_worker *a, struct session *s, int error)
{
    struct tls_conn *c = of_slot(w, &s->slot);

    (void)a;
    if (!c)
        return;
    c->lower_error = error;
    c->lower_up = error == 0;
    tls_conn_ready(c);
}

static void on_data(struct worker *w, struct app_worker *a, struct session *s)
{
    struct tls_conn *c = of_slot(w, &s->slot);

    (void)a;
    if (!c)
        return;
    svm_fifo_cons_event_taken(&c->in, __atomic_load_n(&c->in.peer->evt_seq, __ATOMIC_RELAXED));
    tls_conn_ready(c);
}

static void on_space(struct worker *w, struct app_worker *a, struct session *s)
{
    struct tls_conn *c = of_slot(w, &s->slot);

    (void)a;
    if (!c)
        return;
    tls_conn_ready(c);
    if (c->base.session)
        session_tx_schedule(w, c->base.session);
}

static void on_reset(struct worker *w, struct app_worker *a, struct session *s, int error)
{
    struct tls_conn *c = of_slot(w, &s->slot);

    (void)a;
    if (!c)
        return;
    c->lower_error = error ? error : -ECONNRESET;
    tls_conn_ready(c);
}

static void on_closed(struct worker *w, struct app_worker *a, struct session *s)
{
    struct tls_conn *c = of_slot(w, &s->slot);

    (void)a;
    if (!c || c->lower != s)
        return;
    c->lower = NULL;
    tls_conn_ready(c);
}

static void on_soft_error(struct worker *w, struct app_worker *a, struct session *s, int error)
{
    struct tls_conn *c = of_slot(w, &s->slot);

    (void)a;
    if (!c || !c->is_dtls)
        return; /* TCP goes on trying; the program is told when it gives up */
    /* ICMP is nobody's word (RFC 6347 s4.1.1): it ends no open connection, but an attempt to make one. What the stack itself says of a
     * message that is too large, the program is told. */
    if (c->state == TLS_S_OPEN && error == -EMSGSIZE && c->base.session)
        session_soft_error(w, c->base.session, error);
    else if ((c->state == TLS_S_LOWER || c->state == TLS_S_HANDSHAKE) && !c->is_server && error != -EMSGSIZE)
        c->lower_error = error;
    tls_conn_ready(c);
}

static void on_violation(struct worker *w, struct app_worker *a, const char *what)
{
    (void)a;
    hs_log(w->stack->log, HS_LOG_ERROR, "tls: the FIFO of a lower session is damaged: %s", what);
}

static struct app_worker *on_worker(struct worker *w, uint32_t client_id)
{
    struct tls_app *a = tls_app_get(w, client_id & ((1u << NS_BITS) - 1), (uint16_t)((client_id & ~INTERNAL_CLIENT) >> NS_BITS));

    return a ? &a->aw : NULL;
}

static void on_listening(struct worker *w, struct app_worker *a, struct session *s, int error)
{
    (void)w, (void)a, (void)s, (void)error; /* the listener above tells the program */
}

const struct app_ops tls_app_ops = {
    .is_internal = true,
    .rx_min = 4 * TLS_RECORD_MAX, /* one that is whole, and the next ones are under way */
    .fifos_alloc = fifos_alloc,
    .fifos_free = fifos_free,
    .on_worker = on_worker,
    .listening = on_listening,
    .accept = on_accept,
    .connected = on_connected,
    .data = on_data,
    .space = on_space,
    .reset = on_reset,
    .soft_error = on_soft_error,
    .closed = on_closed,
    .violation = on_violation,
};

struct tls_app *tls_app_get(struct worker *w, uint32_t ns, uint16_t fib)
{
    struct tls_worker *tw = tls_worker_of(w);
    struct tls_app *a;

    for (a = tw->apps; a; a = a->next)
        if (a->aw.ns == ns)
            return a;
    a = calloc(1, sizeof(*a));
    if (!a)
        return NULL;
    a->aw = (struct app_worker){ .ops = &tls_app_ops, .client_id = client_id_of(ns, fib), .ns = ns, .fib = fib,
                                 .scope = SVM_HELLO_SCOPE_LOCAL | SVM_HELLO_SCOPE_GLOBAL };
    a->next = tw->apps;
    tw->apps = a;
    return a;
}

/* ---- records in and out, for the engine ---- */

int tls_lower_read(void *arg, void *buf, size_t len)
{
    struct tls_conn *c = arg;
    int64_t n;

    if (c->job && c->job->at_thread) /* this runs there: job and engine are all it may touch */
        return tls_job_read(c->job, buf, len);
    if (c->job && tls_job_left(&c->job->in) > 0) { /* came with the end of the handshake */
        n = tls_job_read(c->job, buf, len);
        tls_job_drop(c);
        return (int)n;
    }
    if (!c->has_fifos)
        return -1;
    n = svm_fifo_dequeue(&c->in, buf, (uint32_t)hs_min_u64(len, UINT32_MAX));
    if (n > 0)
        return (int)n;
    if (n < 0 || c->lower_error || !c->lower)
        return -1;
    /* Bytes may have come just before the end was set. */
    return svm_fifo_cons_is_fin(&c->in) && svm_fifo_cons_avail(&c->in) == 0 ? -1 : 0;
}

int tls_lower_write(void *arg, const void *buf, size_t len)
{
    struct tls_conn *c = arg;
    int64_t n;

    if (c->job && c->job->at_thread)
        return tls_job_write(c->job, buf, len);
    if (!c->has_fifos || !c->lower)
        return -1;
    if (c->is_fin_sent)
        return (int)len; /* an answer to what came after our close_notify (RFC 8446 s6.1) */
    n = svm_fifo_enqueue(&c->out, buf, (uint32_t)hs_min_u64(len, UINT32_MAX));
    return n > 0 ? (int)n : 0;
}

/* ---- the same in place ---- */

static int place_peek(void *arg, uint32_t len, struct iovec iov[4])
{
    struct tls_conn *c = arg;

    return c->has_fifos ? svm_fifo_peek_iov(&c->in, 0, len, iov) : 0;
}

static void place_drop(void *arg, uint32_t len)
{
    struct tls_conn *c = arg;

    (void)svm_fifo_drop(&c->in, len);
}

static bool place_is_ended(void *arg)
{
    struct tls_conn *c = arg;

    return !c->has_fifos || c->lower_error || !c->lower || svm_fifo_cons_is_fin(&c->in) || svm_fifo_cons_avail(&c->in) < 0;
}

/* The other end is on this host: there, if its FIFO takes any record. It is whole or not at all, so that a full FIFO makes no short records. */
static int place_reserve(void *arg, uint32_t len, struct iovec iov[2])
{
    struct tls_conn *c = arg;
    struct session *to = c->has_fifos && c->lower ? session_tx_direct(c->w, c->lower) : NULL;

    c->direct = NULL;
    c->waits_direct = false;
    if (to && session_rx_max(to) >= DIRECT_MIN) {
        int n = session_rx_space(c->w, to) >= len ? session_rx_reserve(c->w, to, len, iov) : 0;
        if (n > 0 && iov[0].iov_len + (n > 1 ? iov[1].iov_len : 0) == len) {
            c->direct = to;
            return n;
        }
        c->waits_direct = true;
        session_tx_direct_want(c->w, c->lower, len);
        return 0;
    }
    return c->has_fifos && c->lower ? svm_fifo_reserve(&c->out, len, iov) : 0;
}

static void place_commit(void *arg, uint32_t len)
{
    struct tls_conn *c = arg;

    if (c->direct) {
        session_rx_commit(c->w, c->direct, len);
        tls_worker_of(c->w)->count.direct++;
    } else {
        (void)svm_fifo_commit(&c->out, len);
    }
    c->direct = NULL;
}

const struct tls_io_in_place tls_lower_place = { place_peek, place_drop, place_is_ended, place_reserve, place_commit };

bool tls_lower_want_room(struct tls_conn *c, uint32_t bytes)
{
    return c->has_fifos && !c->waits_direct && svm_fifo_prod_want_space(&c->out, bytes);
}

bool tls_lower_flush(struct tls_conn *c)
{
    struct tls_job_bytes *b = &c->job->out;

    while (c->is_dtls && tls_job_left(b) > 0) {
        uint32_t n;
        const uint8_t *data = tls_job_next(b, &n);
        (void)dtls_lower_write(c, data, n); /* what has no room is lost, as under way */
    }
    while (tls_job_left(b) > 0) {
        int64_t n = c->has_fifos && c->lower ? svm_fifo_enqueue(&c->out, b->data + b->at, tls_job_left(b)) : tls_job_left(b);
        if (n <= 0)
            return false;
        b->at += (uint32_t)n;
    }
    return true;
}

void tls_lower_tell(struct tls_conn *c)
{
    if (!c->has_fifos || !c->lower)
        return;
    if (svm_fifo_cons_space_due(&c->in))
        session_rx_space_kick(c->w, c->lower);
    if (svm_fifo_prod_event_due(&c->out))
        session_tx_kick(c->w, c->lower);
}

/* While a handshake lasts the peer may use up what was promised, and TCP would hear of space only where its FIFO itself is short. */
void tls_lower_widen(struct tls_conn *c)
{
    struct session *s = c->lower;

    if (!s || !s->has_fifos || c->is_dtls)
        return;
    session_rx_modest(s, c->state != TLS_S_OPEN);
    if ((int32_t)(s->rx_edge - s->fifos->rx.tail) < TLS_PROMISE_LOW)
        session_rx_space_kick(c->w, s);
}

bool tls_lower_arm(struct tls_conn *c) { return tls_lower_arm_beyond(c, 0); }

bool tls_lower_arm_beyond(struct tls_conn *c, uint32_t seen)
{
    if (!c->has_fifos || !c->lower)
        return false;
    if (c->is_dtls && c->state == TLS_S_OPEN && !c->was_active)
        timer_stop(&c->timer, &c->w->timers); /* it runs towards the idle limit */
    c->was_active = true;
    if (c->state == TLS_S_OPEN && !timer_is_running(&c->timer))
        timer_start(&c->w->timers, &c->timer, c->w->now_us + TLS_IDLE_US);
    return svm_fifo_cons_arm(&c->in) && (svm_fifo_cons_avail(&c->in) > seen || (seen && svm_fifo_cons_is_fin(&c->in)));
}

/* Not at once when the FIFOs are empty: TCP's window grows with their rings, and a stream would begin anew after each pause. */
void tls_lower_idle(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);

    if (!c->lower || !c->has_fifos)
        return;
    if (c->was_active) {
        c->was_active = false;
        timer_start(&c->w->timers, &c->timer, c->w->now_us + TLS_IDLE_US);
        return;
    }
    note_level(tw);
    if (c->lower->has_fifos)
        svm_fifo_prod_give_back(&c->lower->fifos->rx);
    svm_fifo_prod_give_back(&c->out);
    if (c->base.session)
        session_rings_idle(c->w, c->base.session);
    trim(tw, TLS_TRIM_STEP);
}
