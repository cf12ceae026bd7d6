/* app_notify.c - notices of the session layer to a program: into its queue, or kept until there is room */
#include "server/app/app_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "svm/svm_urgent.h"

static struct app_port_client *port_client_of(struct app_worker *a)
{
    return hs_container_of(a, struct app_port_client, aw);
}

void app_port_mark(struct app_port_client *pc)
{
    struct app_port *port = pc->w->app;

    if (pc->is_dirty)
        return;
    pc->is_dirty = true;
    pc->dirty_next = port->dirty;
    port->dirty = pc;
}

static bool pending_push(struct app_port_client *pc, const struct svm_msg *m)
{
    if (pc->n_pending == pc->pending_size) {
        uint32_t size = pc->pending_size ? pc->pending_size * 2 : 64;
        struct svm_msg *bigger = malloc(size * sizeof(*bigger));
        if (!bigger)
            return false;
        for (uint32_t i = 0; i < pc->n_pending; i++)
            bigger[i] = pc->pending[(pc->pending_head + i) & (pc->pending_size - 1)];
        free(pc->pending);
        pc->pending = bigger;
        pc->pending_head = 0;
        pc->pending_size = size;
    }
    pc->pending[(pc->pending_head + pc->n_pending++) & (pc->pending_size - 1)] = *m;
    return true;
}

/* The number of notices waiting is bounded: at most one DATA, URGENT and SPACE a FIFO, accepts by the backlog, answers because requests
 * are left in the queue from APP_PENDING_STOP on. */
void app_notify_post(struct app_port_client *pc, const struct svm_msg *m)
{
    if (!pc->has_queues || pc->is_leaving || pc->is_failed)
        return;
    app_port_mark(pc);
    pc->must_ring = true;
    if (hs_likely(pc->n_pending == 0)) {
        int err = svm_msgq_post(&pc->out, m);
        if (hs_likely(err == 0))
            return;
        if (err != -EAGAIN) {
            app_port_fail(pc, "its queue's counters are out of bounds");
            return;
        }
    }
    if (!pending_push(pc, m))
        app_port_fail(pc, "no memory for notices that its full queue does not take");
}

static void ring(struct app_port_client *pc)
{
    const struct svm_presence_page *p = (const struct svm_presence_page *)(const void *)pc->client->p.base;

    pc->must_ring = false;
    pc->n_late = 0;
    pc->ring_due_us = 0;
    if (svm_sleep_must_ring(&p->sleep, &pc->last_rung)) {
        pc->heard_us = pc->w->now_us; /* it is about to say something */
        /* Non-blocking: a full pipe is readable, so its reader wakes all the same. */
        ssize_t n = write(pc->client->bell_wr, "", 1);
        (void)n;
    }
}

void app_notify_ring_late(struct app_port_client *pc)
{
    if (pc->n_late)
        ring(pc);
}

/* A program that has left more requests than the next turn takes would be woken for the first answers, and sleep and be woken again for
 * others: it is woken when the last ones are being worked on, or when it has waited for so long. There is a next turn, for its requests. */
static bool can_ring_later(struct app_port_client *pc)
{
    if (svm_msgq_known(&pc->in) <= APP_BURST || pc->n_pending)
        return false;
    if (pc->ring_due_us == 0)
        pc->ring_due_us = pc->w->now_us + APP_RING_LATER_US;
    return pc->w->now_us < pc->ring_due_us;
}

void app_notify_flush(struct app_port_client *pc)
{
    while (pc->n_pending) {
        int err = svm_msgq_post(&pc->out, &pc->pending[pc->pending_head]);
        if (err == -EAGAIN)
            break;
        if (err != 0) {
            app_port_fail(pc, "its queue's counters are out of bounds");
            return;
        }
        pc->pending_head = (pc->pending_head + 1) & (pc->pending_size - 1);
        pc->n_pending--;
        pc->must_ring = true;
    }
    if (pc->n_late > APP_LATE_MAX || (pc->must_ring && !can_ring_later(pc)))
        ring(pc);
    else if (pc->n_late)
        pc->w->app->has_late = true;
}

static struct svm_msg notice(const struct session *s, uint8_t type)
{
    struct svm_msg m;

    memset(&m, 0, sizeof(m));
    m.type = type;
    m.flags = s->flags;
    m.proto = s->proto;
    m.ctx = s->ctx;
    m.handle = s->handle;
    return m;
}

static void fill_conn(struct svm_msg *m, const struct session *s, int error)
{
    m->u.conn.lcl_ip = s->lcl.ip;
    m->u.conn.lcl_port = s->lcl.port;
    m->u.conn.rmt_ip = s->rmt.ip;
    m->u.conn.rmt_port = s->rmt.port;
    m->u.conn.error = error;
    m->u.conn.slot = s->slot;
    if (s->local)
        m->flags |= SVM_CONN_LOCAL;
}

/* ---- offers (svm_layout.h) ---- */

static struct svm_presence_page *page_of(const struct app_port_client *pc)
{
    return (struct svm_presence_page *)(void *)pc->client->p.base;
}

static uint32_t offer_share(const struct app_port_client *pc)
{
    return SVM_OFFERS / pc->w->stack->n_workers;
}

/* Which words are in use is known here alone; what stands there the program may have written. 0: all of them, presence() has said so. */
static uint32_t offer_make(struct app_port_client *pc)
{
    uint32_t share = offer_share(pc), i = 0, id;

    while (i < share && pc->offered[i / 64] & (UINT64_C(1) << i % 64))
        i += pc->offered[i / 64] == UINT64_MAX ? 64 : 1;
    if (i >= share)
        return 0;
    pc->offered[i / 64] |= UINT64_C(1) << i % 64;
    pc->n_offered++;
    id = SVM_OFFER_MARK | (pc->offer_count++ * SVM_OFFERS + pc->w->index * share + i);
    __atomic_store_n(&page_of(pc)->offer[id % SVM_OFFERS], id, __ATOMIC_RELEASE);
    return id;
}

/* A program may have chosen such a number for a session, and a child that has not attached has no page. */
static bool is_offer(const struct app_port_client *pc, uint32_t id)
{
    uint32_t share = offer_share(pc), i = id % SVM_OFFERS - pc->w->index * share;

    return id & SVM_OFFER_MARK && page_of(pc) && i < share && pc->offered[i / 64] & (UINT64_C(1) << i % 64);
}

void app_notify_offer_over(struct app_port_client *pc, uint32_t id)
{
    uint32_t i = id % SVM_OFFERS - pc->w->index * offer_share(pc);

    if (!is_offer(pc, id))
        return;
    pc->offered[i / 64] &= ~(UINT64_C(1) << i % 64);
    pc->n_offered--;
}

/* Pairs with the program's exchange when it accepts: one of the two finds the number. */
static bool withdraw(struct worker *w, struct app_worker *a, struct session *s)
{
    struct app_port_client *pc = port_client_of(a);
    uint32_t id = session_ctx(s, a);

    (void)w;
    return !is_offer(pc, id) ||
           __atomic_compare_exchange_n(&page_of(pc)->offer[id % SVM_OFFERS], &id, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void notify_accept(struct worker *w, struct app_worker *a, struct listener *l, struct session *s)
{
    struct svm_msg m = notice(s, SVM_MSG_ACCEPT);
    uint32_t id = offer_make(port_client_of(a));

    (void)w;
    session_hold_of(s, a)->ctx = id;
    m.ctx = listener_ctx(l, a);
    m.attr = session_is_carried(s) ? SVM_CLAIM_CARRIED : 0;
    fill_conn(&m, s, (int32_t)id);
    app_notify_post(port_client_of(a), &m);
}

static void notify_connected(struct worker *w, struct app_worker *a, struct session *s, int error)
{
    struct svm_msg m = notice(s, SVM_MSG_CONNECTED);

    (void)w;
    fill_conn(&m, s, error);
    app_notify_post(port_client_of(a), &m);
}

static void notify_connecting(struct worker *w, struct app_worker *a, struct session *s)
{
    struct svm_msg m = notice(s, SVM_MSG_CONNECTING);

    (void)w;
    if (s->connect_waits)
        fill_conn(&m, s, 0);
    else
        m.u.conn.error = -EINPROGRESS;
    app_notify_post(port_client_of(a), &m);
}

/* Until the program has said under which number it knows an accepted session, notices of it have no address:
 * app_notify_accepted() makes up for them. */
static bool is_unnamed(const struct session *s)
{
    return session_is_unnamed(s);
}

static void notify_data(struct worker *w, struct app_worker *a, struct session *s)
{
    struct svm_msg m;

    (void)w;
    if (is_unnamed(s))
        return;
    m = notice(s, SVM_MSG_DATA);
    m.u.value = s->has_fifos ? s->fifos->rx.evt_seq : 0; /* cut-through: the FIFO is none of ours */
    app_notify_post(port_client_of(a), &m);
}

static void notify_space(struct worker *w, struct app_worker *a, struct session *s)
{
    struct svm_msg m;

    (void)w;
    if (is_unnamed(s))
        return;
    m = notice(s, SVM_MSG_SPACE);
    app_notify_post(port_client_of(a), &m);
}

static void notify_urgent(struct worker *w, struct app_worker *a, struct session *s)
{
    struct svm_msg m;

    (void)w;
    if (is_unnamed(s) || !s->has_fifos || !svm_urgent_due(&s->fifos->rx)) /* not named yet: its first look at the FIFO shows it */
        return;
    m = notice(s, SVM_MSG_URGENT);
    app_notify_post(port_client_of(a), &m);
}

static void notify_error(struct app_worker *a, struct session *s, uint8_t type, int error)
{
    struct svm_msg m;

    if (is_unnamed(s))
        return;
    m = notice(s, type);
    m.u.error = error;
    app_notify_post(port_client_of(a), &m);
}

static void notify_reset(struct worker *w, struct app_worker *a, struct session *s, int error)
{
    (void)w;
    notify_error(a, s, SVM_MSG_RESET, error);
}

static void notify_soft_error(struct worker *w, struct app_worker *a, struct session *s, int error)
{
    (void)w;
    notify_error(a, s, SVM_MSG_ERROR, error);
}

static void notify_idle(struct worker *w, struct app_worker *a, struct session *s)
{
    (void)w;
    notify_error(a, s, SVM_MSG_IDLE, 0);
}

static void notify_peer_gone(struct worker *w, struct app_worker *a, struct session *s)
{
    (void)w;
    notify_error(a, s, SVM_MSG_PEER_GONE, -EPIPE);
}

static void notify_moved(struct worker *w, struct app_worker *a, struct session *s)
{
    struct svm_msg m = notice(s, SVM_MSG_MOVED);

    (void)w;
    fill_conn(&m, s, 0);
    m.attr = s->local_side ? SVM_CLAIM_SIDE1 : 0;
    app_notify_post(port_client_of(a), &m);
}

/* Who asks need not be the session's user (yet): the number is its own. */
static void notify_claimed(struct worker *w, struct app_worker *a, struct session *s, uint8_t flags, int error)
{
    struct svm_msg m = notice(s, SVM_MSG_CLAIMED);

    (void)w;
    m.ctx = session_ctx(s, a);
    fill_conn(&m, s, error);
    m.u.conn.question = session_question(s, a);
    m.attr = (uint8_t)(flags | (s->local && s->local_side ? SVM_CLAIM_SIDE1 : 0));
    app_notify_post(port_client_of(a), &m);
}

static void notify_taken(struct worker *w, struct app_worker *a, struct session *s)
{
    struct svm_msg m = notice(s, SVM_MSG_TAKEN);

    (void)w;
    m.ctx = session_ctx(s, a);
    app_notify_post(port_client_of(a), &m);
}

/* Accepts: a thread waits for connections. Here: it waits in a call, or has said something lately. Left: not since it forked, or it has not even
 * looked at what it was told. A hint: whoever lies is given no more than its share. */
static enum app_presence presence(struct worker *w, struct app_worker *a)
{
    struct app_port_client *pc = port_client_of(a);
    const struct svm_presence_page *p = page_of(pc);

    if (pc->n_offered >= offer_share(pc))
        return APP_FULL;
    if (p && __atomic_load_n(&p->accepting, __ATOMIC_RELAXED))
        return APP_ACCEPTS;
    if ((pc->heard_us && w->now_us - pc->heard_us < APP_QUIET_US) || (p && __atomic_load_n(&p->sleep.seq, __ATOMIC_RELAXED) & 1))
        return APP_HERE;
    return pc->heard_us && !svm_msgq_is_behind(&pc->out, 0) ? APP_QUIET : APP_LEFT;
}

static struct app_worker *find_on_worker(struct worker *w, uint32_t client_id)
{
    for (struct app_port_client *pc = w->app->clients; pc; pc = pc->next) {
        if (pc->aw.client_id == client_id && !pc->is_leaving)
            return &pc->aw;
    }
    return NULL;
}

static void notify_listening(struct worker *w, struct app_worker *a, struct session *s, int error)
{
    struct svm_msg m = notice(s, SVM_MSG_LISTENING);

    (void)w;
    m.u.error = error;
    app_notify_post(port_client_of(a), &m);
}

static void notify_closed(struct worker *w, struct app_worker *a, struct session *s)
{
    struct svm_msg m = notice(s, SVM_MSG_CLOSED);
    struct app_port_client *pc = port_client_of(a);
    bool must_ring = pc->must_ring;

    m.ctx = session_ctx(s, a);
    if (m.ctx & SVM_OFFER_MARK) { /* it has not been told of it as one of its own */
        withdraw(w, a, s);
        app_notify_offer_over(pc, m.ctx);
    }
    app_notify_post(pc, &m);
    app_port_mark(pc);
    if (s->linger_s <= 0 && pc->has_queues) { /* nobody waits for it; a forked child that has not attached hears nothing */
        pc->must_ring = must_ring;
        pc->n_late++;
        app_port_nap(w);
    }
}

static void notify_violation(struct worker *w, struct app_worker *a, const char *what)
{
    (void)w;
    app_port_fail(port_client_of(a), what);
}

/* The program has named an accepted session: tell what happened meanwhile. */
void app_notify_accepted(struct app_port_client *pc, struct session *s)
{
    if (s->has_fifos && s->fifos->rx.evt_seq != 0)
        notify_data(pc->w, &pc->aw, s);
    if (s->error)
        notify_reset(pc->w, &pc->aw, s, s->error);
}

const struct app_ops app_client_ops = {
    .fifos_alloc = app_memory_fifos_alloc,
    .fifos_at = app_memory_fifos_at,
    .fifos_free = app_memory_fifos_free,
    .accept = notify_accept,
    .connected = notify_connected,
    .connecting = notify_connecting,
    .data = notify_data,
    .space = notify_space,
    .urgent = notify_urgent,
    .reset = notify_reset,
    .soft_error = notify_soft_error,
    .on_worker = find_on_worker,
    .listening = notify_listening,
    .peer_gone = notify_peer_gone,
    .moved = notify_moved,
    .claimed = notify_claimed,
    .taken = notify_taken,
    .withdraw = withdraw,
    .presence = presence,
    .idle = notify_idle,
    .closed = notify_closed,
    .violation = notify_violation,
};
