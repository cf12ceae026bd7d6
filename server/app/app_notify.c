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

static void notify_accept(struct worker *w, struct app_worker *a, struct listener *l, struct session *s)
{
    struct svm_msg m = notice(s, SVM_MSG_ACCEPT);

    (void)w;
    m.ctx = listener_ctx(l, a);
    m.attr = session_is_carried(s) ? SVM_CLAIM_CARRIED : 0;
    fill_conn(&m, s, 0);
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
    return s->state == SESSION_ACCEPTING;
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

static void notify_recall(struct worker *w, struct app_worker *a, uint8_t proto, uint32_t ctx, struct svm_handle listener)
{
    struct svm_msg m;

    (void)w;
    memset(&m, 0, sizeof(m));
    m.type = SVM_MSG_RECALL;
    m.proto = proto;
    m.ctx = ctx;
    m.handle = listener;
    app_notify_post(port_client_of(a), &m);
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

/* Here: it waits in a call, or has said something lately. Left: not since it forked. A hint: whoever lies is given no more than its share. */
static enum app_presence presence(struct worker *w, const struct app_worker *a)
{
    const struct app_port_client *pc = hs_container_of(a, const struct app_port_client, aw);
    const struct svm_presence_page *p = (const struct svm_presence_page *)(const void *)pc->client->p.base;

    if ((pc->heard_us && w->now_us - pc->heard_us < APP_QUIET_US) || (p && __atomic_load_n(&p->sleep.seq, __ATOMIC_RELAXED) & 1))
        return APP_HERE;
    return pc->heard_us ? APP_QUIET : APP_LEFT;
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
    .recall = notify_recall,
    .presence = presence,
    .idle = notify_idle,
    .closed = notify_closed,
    .violation = notify_violation,
};
