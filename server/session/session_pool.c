/* session_pool.c - arena of sessions, handles, holders, and the transports that are registered */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Filled once before workers start, constant afterwards; transports are code, not state of one stack. */
static const struct transport_ops *registered[SVM_PROTO_MAX];

int transport_register(const struct transport_ops *ops)
{
    if (ops->proto >= SVM_PROTO_MAX)
        return -EINVAL;
    if (registered[ops->proto])
        return registered[ops->proto] == ops ? 0 : -EEXIST;
    registered[ops->proto] = ops;
    return 0;
}

const struct transport_ops *transport_get(uint8_t proto)
{
    return proto < SVM_PROTO_MAX ? registered[proto] : NULL;
}

int session_stack_create(struct stack *s)
{
    s->session = calloc(1, sizeof(*s->session));
    if (!s->session)
        return -ENOMEM;
    pthread_mutex_init(&s->session->lock, NULL);
    return 0;
}

void session_stack_destroy(struct stack *s)
{
    if (!s->session)
        return;
    for (unsigned i = 0; i < SESSION_PORT_BUCKETS; i++) {
        for (struct session_endpoint *e = s->session->bucket[i], *next; e; e = next) {
            next = e->next;
            free(e);
        }
    }
    session_rules_free(s);
    pthread_mutex_destroy(&s->session->lock);
    free(s->session);
    s->session = NULL;
}

int session_worker_create(struct worker *w)
{
    enum { FIRST_BUCKETS = 1024 };
    struct session_worker *sw = calloc(1, sizeof(*sw));

    if (!sw)
        return -ENOMEM;
    w->session = sw;
    sw->evt_tail = &sw->evt_head;
    sw->tx_tail = &sw->tx_head;
    session_settle_init(w);
    sw->chunk = calloc(SESSION_MAX_CHUNKS, sizeof(*sw->chunk));
    sw->table = calloc(FIRST_BUCKETS, sizeof(*sw->table));
    if (!sw->chunk || !sw->table)
        goto undo;
    sw->table_mask = FIRST_BUCKETS - 1;
    for (unsigned i = 0; i < HS_ARRAY_LEN(sw->port_table); i++)
        sw->port_table[i] = (uint16_t)worker_random(w);
    for (unsigned p = 0; p < SVM_PROTO_MAX; p++) {
        const struct transport_ops *ops = registered[p];
        if (!ops)
            continue;
        if (ops->worker_state_size) {
            w->transport_state[p] = aligned_alloc(HS_CACHE_LINE, (ops->worker_state_size + 63) & ~(size_t)63);
            if (!w->transport_state[p])
                goto undo;
            memset(w->transport_state[p], 0, ops->worker_state_size);
        }
        if (ops->turn)
            sw->turns[sw->n_turns++] = ops->turn;
        int err = ops->worker_init ? ops->worker_init(w) : 0;
        if (err != 0) {
            free(w->transport_state[p]);
            w->transport_state[p] = NULL;
            session_worker_destroy(w);
            return err;
        }
    }
    return 0;
undo:
    session_worker_destroy(w);
    return -ENOMEM;
}

static void rare_free(struct worker *w, struct session *s)
{
    if (!s->rare)
        return;
    timer_stop(&s->rare->turn_timer, &w->timers);
    free(s->rare->tx_rest);
    free(s->rare->attrs);
    free(s->rare->option);
    free(s->rare);
    s->rare = NULL;
}

struct session_rare *session_rare_get(struct session *s)
{
    if (!s->rare)
        s->rare = calloc(1, sizeof(*s->rare));
    return s->rare;
}

void session_worker_destroy(struct worker *w)
{
    struct session_worker *sw = w->session;

    if (!sw)
        return;
    listener_replicas_end(w);
    for (unsigned p = 0; p < SVM_PROTO_MAX; p++) {
        const struct transport_ops *ops = registered[p];
        if (!ops || (ops->worker_state_size && !w->transport_state[p]))
            continue;
        if (ops->worker_fini && sw->chunk && sw->table)
            ops->worker_fini(w);
        free(w->transport_state[p]);
        w->transport_state[p] = NULL;
    }
    session_settle_fini(w);
    for (unsigned i = 0; i < SESSION_PORT_BUCKETS; i++) {
        while (sw->listener[i])
            listener_destroy(w, sw->listener[i]);
    }
    for (uint32_t c = 0; c < sw->n_chunks; c++) {
        for (uint32_t i = 0; i < SESSION_CHUNK; i++) {
            struct session *s = &sw->chunk[c][i];
            if (s->state == SESSION_FREE)
                continue;
            if (s->ops && s->ops->session_gone)
                s->ops->session_gone(w, s);
            if (s->has_fifos)
                svm_fifo_prod_fini(&s->fifos->rx);
            session_old_free(w, s, NULL, NULL);
            rare_free(w, s);
            free(s->fifos);
        }
        free(sw->chunk[c]);
    }
    while (sw->n_spare)
        free(sw->spare[--sw->n_spare]);
    session_limbo_destroy(sw->limbo);
    free(sw->chunk);
    free(sw->table);
    free(sw);
    w->session = NULL;
}

uint32_t session_count(const struct worker *w)
{
    return w->session->n_used;
}

uint32_t session_listener_count(const struct worker *w)
{
    return w->session->n_listeners;
}

static bool chunk_add(struct worker *w)
{
    struct session_worker *sw = w->session;
    struct session *c;

    if (sw->n_chunks == SESSION_MAX_CHUNKS)
        return false;
    c = aligned_alloc(HS_CACHE_LINE, (SESSION_CHUNK * sizeof(*c) + 63) & ~(size_t)63);
    if (!c)
        return false;
    memset(c, 0, SESSION_CHUNK * sizeof(*c));
    for (uint32_t i = SESSION_CHUNK; i-- > 0;) {
        c[i].handle.index = (sw->n_chunks * SESSION_CHUNK + i) * WORKER_MAX + w->index;
        c[i].queue_next = sw->free;
        sw->free = &c[i];
    }
    sw->chunk[sw->n_chunks++] = c;
    return true;
}

struct session *session_alloc(struct worker *w, uint8_t proto)
{
    struct session_worker *sw = w->session;
    struct session *s;
    struct svm_handle h;

    if (!sw->free && !chunk_add(w))
        return NULL;
    s = sw->free;
    sw->free = s->queue_next;
    sw->n_used++;
    h = s->handle;
    memset(s, 0, sizeof(*s));
    if (++h.gen == 0) /* 0 is "none" */
        h.gen = 1;
    s->handle = h;
    s->proto = proto;
    s->ops = transport_get(proto);
    s->linger_s = -1;
    return s;
}

void session_free(struct worker *w, struct session *s)
{
    struct session_worker *sw = w->session;

    assert(!s->holds && !s->conn && !s->has_fifos && !s->is_asleep && !s->on_evt_list && !s->on_tx_list && !s->is_queued);
    if (s->ops && s->ops->session_gone)
        s->ops->session_gone(w, s);
    session_rest_drop(s);
    rare_free(w, s);
    session_fifos_put(w, s);
    s->state = SESSION_FREE;
    s->queue_next = sw->free;
    sw->free = s;
    sw->n_used--;
}

struct session *session_from_handle(struct worker *w, struct svm_handle h)
{
    struct session_worker *sw = w->session;
    uint32_t i = h.index / WORKER_MAX;
    struct session *s;

    if (h.index % WORKER_MAX != w->index || i / SESSION_CHUNK >= sw->n_chunks)
        return NULL;
    s = &sw->chunk[i / SESSION_CHUNK][i % SESSION_CHUNK];
    return s->state != SESSION_FREE && s->handle.gen == h.gen ? s : NULL;
}

/* ---- holders ---- */

int session_hold_add(struct session *s, struct app_worker *a)
{
    struct session_hold *h = s->hold0.a ? calloc(1, sizeof(*h)) : &s->hold0;

    if (!h)
        return -ENOMEM;
    h->s = s;
    h->a = a;
    h->ctx = s->ctx;
    s->was_shared = s->was_shared || s->holds;
    h->s_next = s->holds;
    s->holds = h;
    h->app_prev = NULL;
    h->app_next = a->holds;
    if (h->app_next)
        h->app_next->app_prev = h;
    a->holds = h;
    a->n_sessions++;
    return 0;
}

bool session_hold_remove(struct session *s, struct app_worker *a)
{
    for (struct session_hold **p = &s->holds, *h; (h = *p); p = &h->s_next) {
        if (h->a != a)
            continue;
        *p = h->s_next;
        if (h->app_prev)
            h->app_prev->app_next = h->app_next;
        else
            a->holds = h->app_next;
        if (h->app_next)
            h->app_next->app_prev = h->app_prev;
        a->n_sessions--;
        if (s->rare && s->rare->rest_by == a)
            session_rest_passes(s, s->holds ? s->holds->a : NULL);
        if (h == &s->hold0)
            memset(h, 0, sizeof(*h));
        else
            free(h);
        return true;
    }
    return false;
}

/* Of a's holds the one it asked to be told of is meant, and goes: a may have been given the session again (SCM_RIGHTS) since it closed it. */
static void hold_first(struct session *s, struct session_hold *h)
{
    struct session_hold **p = &s->holds;

    while (*p != h)
        p = &(*p)->s_next;
    *p = h->s_next;
    h->s_next = s->holds;
    s->holds = h;
}

void session_hold_over(struct worker *w, struct session *s, struct session_hold *h, bool is_told)
{
    hold_first(s, h);
    if (is_told)
        h->a->ops->closed(w, h->a, s);
    session_hold_remove(s, h->a);
}

struct session_hold *session_hold_of(const struct session *s, const struct app_worker *a)
{
    struct session_hold *h = s->holds;

    while (h && h->a != a)
        h = h->s_next;
    return h;
}

unsigned session_open_holds(const struct session *s)
{
    unsigned n = 0;

    for (const struct session_hold *h = s->holds; h; h = h->s_next)
        n += !h->closed;
    return n;
}

bool session_is_held_by(const struct session *s, const struct app_worker *a)
{
    const struct session_hold *h = session_hold_of(s, a);

    return h && !h->closed;
}

bool session_holds_any(const struct session *s, const struct app_worker *a)
{
    return session_hold_of(s, a) != NULL;
}

uint32_t session_ctx(const struct session *s, const struct app_worker *a)
{
    const struct session_hold *h = session_hold_of(s, a);

    return h ? h->ctx : s->ctx;
}

int session_hold(struct worker *w, struct session *s, struct app_worker *a, uint32_t ctx)
{
    int err;

    (void)w;
    if (s->state == SESSION_CLOSING || s->state == SESSION_ACCEPTING)
        return -ECONNABORTED;
    err = session_hold_add(s, a);
    if (err == 0)
        session_hold_of(s, a)->ctx = ctx;
    return err;
}

int session_hold_all(struct worker *w, struct app_worker *parent, struct app_worker *a)
{
    (void)w;
    for (struct session_hold *h = parent->holds; h; h = h->app_next) {
        /* What the program has not named yet no child of it can know. */
        if (h->closed || session_is_unnamed(h->s))
            continue;
        int err = session_hold_add(h->s, a);
        if (err != 0)
            return err;
        session_hold_of(h->s, a)->ctx = h->ctx; /* the child's table is a copy of its parent's */
    }
    return 0;
}
