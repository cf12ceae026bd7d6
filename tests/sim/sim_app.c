/* sim_app.c - a program inside the test, over heap memory, in place of shared segments and queues */
#include "tests/sim/sim_app.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "svm/svm_ring_alloc.h"

enum { AREA = 512 << 20, MAX_FIFO = 1 << 26 };

struct sim_fifo_mem {              /* what two segments would hold of a session */
    struct svm_fifo_prod_line rx_prod, tx_prod;
    struct svm_fifo_cons_line rx_cons, tx_cons;
    struct sim_sock *sock;         /* whose halves are on it */
    struct svm_fifo_prod orphan_tx; /* has_orphan: of a socket that was freed while the stack still sends from it */
    bool has_orphan;
};
struct sim_area {                  /* address space; pages come when used */
    struct svm_ring_alloc rings;
    struct svm_region_table regions;
};
struct sim_app {
    struct app_worker aw;          /* first */
    struct worker *w;
    struct sim_area rx, tx;
    uint32_t rx_max, tx_max;
    bool no_auto_accept, died;
    struct app_ops own_ops;            /* is_internal */
    uint8_t connect_how;
    int32_t device;
    struct session_attrs *attrs;
    struct sim_sock *socks;
    unsigned n_socks;
    struct sim_fifo_mem **mem;     /* by slot */
    struct sim_sock **by_index;    /* by handle.index */
    uint32_t n_mem, n_index, last_ctx;
    struct sim_sock *in_call;      /* its session is being made: notices may come before the call returns */
    struct sim_app *zombie_next;
};

/* Dead programs whose last bytes the stack still sends; freed when it no longer needs their memory. */
static struct sim_app *zombies;

static struct sim_app *app_of(struct app_worker *a) { return hs_container_of(a, struct sim_app, aw); }

/* ---- memory ---- */

static int area_init(struct sim_area *a)
{
    void *m = mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (m == MAP_FAILED)
        return -errno;
    a->regions.r[0] = (struct svm_region){ m, AREA };
    a->regions.n = 1;
    svm_ring_alloc_init(&a->rings);
    return svm_ring_alloc_add(&a->rings, 0, 0, AREA, -1, false);
}

static void area_fini(struct sim_area *a)
{
    if (!a->regions.n)
        return;
    svm_ring_alloc_fini(&a->rings);
    munmap(a->regions.r[0].base, AREA);
}

static void *grown(void *array, uint32_t *n, uint32_t need, size_t size)
{
    uint32_t to = *n ? *n : 64;

    while (to <= need)
        to *= 2;
    char *p = realloc(array, to * size);
    if (p) {
        memset(p + *n * size, 0, (to - *n) * size);
        *n = to;
    }
    return p;
}

static void fifos_at(struct worker *w, struct app_worker *aw, const struct svm_msg_slot *slot, struct app_fifos *out)
{
    struct sim_app *a = app_of(aw);
    struct sim_fifo_mem *m = a->mem[slot->slot];

    (void)w;
    *out = (struct app_fifos){
        .rx_prod = &m->rx_prod, .rx_cons = &m->rx_cons, .tx_prod = &m->tx_prod, .tx_cons = &m->tx_cons,
        .rx_regions = &a->rx.regions, .tx_regions = &a->tx.regions, .ring_ops = &svm_ring_alloc_ops, .ring_ctx = &a->rx.rings,
        .rx_max = a->rx_max, .tx_max = a->tx_max, .slot = *slot,
    };
}

static int fifos_alloc(struct worker *w, struct app_worker *aw, struct app_fifos *out)
{
    struct sim_app *a = app_of(aw);
    struct sim_fifo_mem *m = aligned_alloc(HS_CACHE_LINE, sizeof(*m));
    uint32_t slot = 0;

    (void)w;
    if (!m)
        return -ENOMEM;
    memset(m, 0, sizeof(*m));
    while (slot < a->n_mem && a->mem[slot])
        slot++;
    if (slot == a->n_mem) {
        struct sim_fifo_mem **p = grown(a->mem, &a->n_mem, slot, sizeof(*p));
        if (!p) {
            free(m);
            return -ENOMEM;
        }
        a->mem = p;
    }
    a->mem[slot] = m;
    fifos_at(w, aw, &(struct svm_msg_slot){ .seg_id = 1, .slot = slot }, out);
    return 0;
}

static void sock_unmap(struct sim_sock *s)
{
    if (!s->mem)
        return;
    svm_fifo_prod_fini(&s->tx);
    s->mem->sock = NULL;
    s->mem = NULL;
}

static void fifos_free(struct worker *w, struct app_worker *aw, const struct svm_msg_slot *slot)
{
    struct sim_app *a = app_of(aw);
    struct sim_fifo_mem *m = a->mem[slot->slot];

    (void)w;
    if (m->sock)
        sock_unmap(m->sock);
    if (m->has_orphan)
        svm_fifo_prod_fini(&m->orphan_tx);
    a->mem[slot->slot] = NULL;
    free(m);
}

/* ---- sockets ---- */

static struct sim_sock *sock_new(struct sim_app *a, uint8_t proto)
{
    struct sim_sock *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    s->app = a;
    s->ctx = ++a->last_ctx;
    s->proto = proto;
    s->accept_tail = &s->accept_head;
    s->next = a->socks;
    if (s->next)
        s->next->prev = s;
    a->socks = s;
    a->n_socks++;
    return s;
}

static void sock_delete(struct sim_sock *s)
{
    sock_unmap(s);
    if (s->session && s->app->by_index[s->handle.index] == s)
        s->app->by_index[s->handle.index] = NULL;
    if (s->next)
        s->next->prev = s->prev;
    if (s->prev)
        s->prev->next = s->next;
    else
        s->app->socks = s->next;
    s->app->n_socks--;
    free(s);
}

static int sock_link(struct sim_sock *s, struct session *session)
{
    struct sim_app *a = s->app;

    if (session->handle.index >= a->n_index) {
        struct sim_sock **p = grown(a->by_index, &a->n_index, session->handle.index, sizeof(*p));
        if (!p)
            return -ENOMEM;
        a->by_index = p;
    }
    s->session = session;
    s->handle = session->handle;
    a->by_index[s->handle.index] = s;
    return 0;
}

static void sock_map(struct sim_sock *s, const struct session *session)
{
    struct sim_app *a = s->app;

    if (s->mem || !session->has_fifos)
        return;
    s->mem = a->mem[session->slot.slot];
    s->mem->sock = s;
    svm_fifo_cons_init(&s->rx, &s->mem->rx_cons, &s->mem->rx_prod, &a->rx.regions, a->rx_max);
    svm_fifo_prod_init(&s->tx, &s->mem->tx_prod, &s->mem->tx_cons, &a->tx.regions, &svm_ring_alloc_ops, &a->tx.rings,
                       a->tx_max);
}

/* NULL: the program has already forgotten it (it died). */
static struct sim_sock *sock_of(struct app_worker *aw, struct session *session)
{
    struct sim_app *a = app_of(aw);
    struct sim_sock *s = session->handle.index < a->n_index ? a->by_index[session->handle.index] : NULL;

    if (s && s->handle.gen == session->handle.gen)
        return s;
    s = a->in_call;
    if (!s || s->session || s->ctx != session->ctx || sock_link(s, session) != 0)
        return NULL;
    return s;
}

/* ---- notices ---- */

static void on_accept(struct worker *w, struct app_worker *aw, struct listener *l, struct session *session)
{
    struct sim_sock *ls = sock_of(aw, listener_session(l));
    struct sim_sock *s = ls ? sock_new(app_of(aw), session->proto) : NULL;

    (void)w;
    if (!s || sock_link(s, session) != 0)
        abort(); /* out of memory in a test */
    sock_map(s, session);
    s->accept_next = NULL;
    *ls->accept_tail = s;
    ls->accept_tail = &s->accept_next;
    s->accept_from = ls;
}

static void on_connected(struct worker *w, struct app_worker *aw, struct session *session, int error)
{
    struct sim_sock *s = sock_of(aw, session);

    (void)w;
    if (!s)
        return;
    s->connect_done = true;
    s->connect_error = error;
    s->connected = error == 0;
    if (error == 0)
        sock_map(s, session);
}

static void on_data(struct worker *w, struct app_worker *aw, struct session *session)
{
    struct sim_sock *s = sock_of(aw, session);

    (void)w;
    if (!s)
        return;
    s->n_data_events++;
    if (s->mem)
        svm_fifo_cons_event_taken(&s->rx, session->fifos->rx.evt_seq);
}

static void on_space(struct worker *w, struct app_worker *aw, struct session *session)
{
    struct sim_sock *s = sock_of(aw, session);

    (void)w;
    if (s)
        s->n_space_events++;
}

static void on_reset(struct worker *w, struct app_worker *aw, struct session *session, int error)
{
    struct sim_sock *s = sock_of(aw, session);

    (void)w;
    if (s) {
        s->is_reset = true;
        s->reset_error = error;
    }
}

static void on_soft_error(struct worker *w, struct app_worker *aw, struct session *session, int error)
{
    struct sim_sock *s = sock_of(aw, session);

    (void)w;
    if (s)
        s->soft_error = error;
}

static void on_peer_gone(struct worker *w, struct app_worker *aw, struct session *session)
{
    on_reset(w, aw, session, -EPIPE);
}

static void accept_queue_remove(struct sim_sock *ls, struct sim_sock *s)
{
    struct sim_sock **p = &ls->accept_head;

    while (*p && *p != s)
        p = &(*p)->accept_next;
    if (!*p)
        return;
    *p = s->accept_next;
    if (!*p)
        ls->accept_tail = p;
}

static void on_closed(struct worker *w, struct app_worker *aw, struct session *session)
{
    struct sim_sock *s = sock_of(aw, session);

    (void)w;
    if (!s)
        return;
    sock_unmap(s);
    s->app->by_index[s->handle.index] = NULL;
    s->session = NULL;
    s->is_closed = true;
    if (s->accept_from) {
        accept_queue_remove(s->accept_from, s); /* an offer that was taken back, or reset before it was accepted */
        sock_delete(s);
    }
}

static void on_violation(struct worker *w, struct app_worker *aw, const char *what)
{
    (void)w;
    (void)aw;
    (void)what;
    abort(); /* this program keeps the contract: the stack or the FIFO is wrong */
}

static const struct app_ops sim_ops = {
    .fifos_alloc = fifos_alloc, .fifos_at = fifos_at, .fifos_free = fifos_free, .accept = on_accept, .connected = on_connected,
    .data = on_data, .space = on_space, .reset = on_reset, .soft_error = on_soft_error, .peer_gone = on_peer_gone,
    .closed = on_closed, .violation = on_violation,
};

/* ---- the program ---- */

static void app_free(struct sim_app *a)
{
    for (uint32_t i = 0; i < a->n_mem; i++)
        free(a->mem[i]);
    area_fini(&a->rx);
    area_fini(&a->tx);
    free(a->mem);
    free(a->by_index);
    free(a->attrs);
    free(a);
}

static void reap_zombies(void)
{
    struct sim_app **p = &zombies;

    while (*p) {
        struct sim_app *a = *p;
        if (a->aw.n_sessions || a->aw.n_fifos) {
            p = &a->zombie_next;
            continue;
        }
        *p = a->zombie_next;
        app_free(a);
    }
}

static uint32_t fifo_size(uint32_t want)
{
    uint32_t size = 1u << SVM_RING_MIN_LOG2;

    while (size < (want ? want : 65536) && size < MAX_FIFO)
        size *= 2;
    return size;
}

int sim_app_create(struct worker *w, const struct sim_app_options *opt, struct sim_app **out)
{
    struct sim_app *a;

    reap_zombies();
    a = calloc(1, sizeof(*a));
    if (!a)
        return -ENOMEM;
    a->aw.ops = &sim_ops;
    a->aw.client_id = opt && opt->client_id ? opt->client_id : 1;
    a->aw.app_id = a->aw.client_id;
    a->aw.scope = SVM_HELLO_SCOPE_GLOBAL;
    a->w = w;
    a->rx_max = fifo_size(opt ? opt->rx_max : 0);
    a->tx_max = fifo_size(opt ? opt->tx_max : 0);
    if (opt && opt->is_internal) {
        a->own_ops = sim_ops;
        a->own_ops.is_internal = true;
        a->aw.ops = &a->own_ops;
        a->aw.scope = SVM_HELLO_SCOPE_LOCAL;
    }
    a->no_auto_accept = opt && opt->no_auto_accept;
    int rc = area_init(&a->rx);
    if (rc == 0)
        rc = area_init(&a->tx);
    if (rc != 0) {
        app_free(a);
        return rc;
    }
    *out = a;
    return 0;
}

void sim_app_destroy(struct sim_app *a)
{
    a->died = true;
    /* The program is gone: its bytes stay in memory that the stack may still read, its socket objects do not. */
    for (uint32_t i = 0; i < a->n_mem; i++)
        if (a->mem[i])
            a->mem[i]->sock = NULL;
    while (a->socks) {
        a->socks->mem = NULL;
        sock_delete(a->socks);
    }
    app_worker_detach(a->w, &a->aw);
    a->zombie_next = zombies;
    zombies = a;
    reap_zombies();
}

struct app_worker *sim_app_worker(struct sim_app *a) { return &a->aw; }
struct worker *sim_app_worker_of(const struct sim_sock *s) { return s->app->w; }
unsigned sim_app_n_socks(const struct sim_app *a) { return a->n_socks; }

/* ---- calls ---- */

static uint8_t conn_flags(const struct sim_app *a, const struct ip_endpoint *e)
{
    return (uint8_t)((a->aw.scope & SVM_HELLO_SCOPE_LOCAL ? SVM_CONN_SCOPE_LOCAL : SVM_CONN_SCOPE_GLOBAL) |
                     (ip_addr_is_v4(&e->ip) ? 0 : SVM_CONN_V6));
}

int sim_bind(struct sim_app *a, uint8_t proto, const struct ip_endpoint *lcl, struct sim_sock **out)
{
    struct session_bind_args args = { .proto = proto, .flags = conn_flags(a, lcl), .lcl = *lcl, .device = a->device };
    struct sim_sock *s = sock_new(a, proto);
    struct session *session;
    int rc;

    if (!s)
        return -ENOMEM;
    args.ctx = s->ctx;
    a->in_call = s;
    rc = session_bind(a->w, &a->aw, &args, &session);
    a->in_call = NULL;
    if (rc == 0)
        rc = sock_link(s, session);
    if (rc != 0) {
        sock_delete(s);
        return rc;
    }
    sock_map(s, session);
    *out = s;
    return 0;
}

int sim_listen(struct sim_app *a, uint8_t proto, const struct ip_endpoint *lcl, uint32_t backlog, struct sim_sock **out)
{
    int rc = sim_bind(a, proto, lcl, out);

    if (rc != 0)
        return rc;
    rc = session_listen(a->w, &a->aw, (*out)->session, backlog);
    if (rc != 0) {
        sim_sock_free(*out);
        return rc;
    }
    if (!a->no_auto_accept)
        session_listener_arm(a->w, &a->aw, (*out)->session, 0, SESSION_ARM_ON);
    return 0;
}

void sim_app_connect_how(struct sim_app *a, uint8_t how)
{
    a->connect_how = how;
}

int sim_app_connect_attr(struct sim_app *a, uint8_t attr, int32_t value) { return session_attr_early(&a->attrs, attr, &value, sizeof(value)); }

void sim_app_device(struct sim_app *a, int32_t index) { a->device = index; }

int sim_connect(struct sim_app *a, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                struct sim_sock **out)
{
    struct session_connect_args args = { .proto = proto, .flags = conn_flags(a, rmt), .rmt = *rmt, .device = a->device, .attrs = a->attrs };
    struct sim_sock *s = sock_new(a, proto);
    struct session *session = NULL;
    int rc;

    if (!s)
        return -ENOMEM;
    args.ctx = s->ctx;
    args.how = a->connect_how;
    args.lcl.ip = ip_addr_any(ip_addr_is_v4(&rmt->ip));
    if (lcl)
        args.lcl = *lcl;
    a->in_call = s;
    rc = session_connect(a->w, &a->aw, &args, &session);
    a->in_call = NULL;
    if (rc == 0 && !s->session && !s->is_closed)
        rc = sock_link(s, session);
    if (rc != 0) {
        sock_delete(s);
        return rc;
    }
    if (s->session)
        sock_map(s, session);
    *out = s;
    return 0;
}

int sim_reconnect(struct sim_sock *s, const struct ip_endpoint *rmt)
{
    struct session_connect_args args = { .proto = s->proto, .flags = conn_flags(s->app, rmt), .ctx = s->ctx,
                                         .bound = s->session, .rmt = *rmt };
    struct session *session;

    return s->session ? session_connect(s->app->w, &s->app->aw, &args, &session) : -EBADF;
}

struct sim_sock *sim_accept(struct sim_sock *listener)
{
    struct sim_sock *s = listener->accept_head;

    if (!s)
        return NULL;
    accept_queue_remove(listener, s);
    s->accept_from = NULL;
    s->connect_done = s->connected = true;
    session_accepted(s->app->w, &s->app->aw, s->session, s->ctx);
    /* What happened before it had a name was not told: take it from the session, as server/app does. */
    if (s->session && s->session->error) {
        s->is_reset = true;
        s->reset_error = s->session->error;
    }
    if (s->mem)
        svm_fifo_cons_event_taken(&s->rx, s->session->fifos->rx.evt_seq);
    return s;
}

static void kick(struct sim_sock *s)
{
    if (svm_fifo_prod_event_due(&s->tx))
        session_tx_kick(s->app->w, s->session);
}

int64_t sim_write(struct sim_sock *s, const void *data, uint32_t len)
{
    if (s->connect_error)
        return s->connect_error;
    if (!s->mem || s->close_called)
        return -EBADF;
    if (s->is_reset)
        return s->reset_error;
    if (s->tx.fin)
        return -EPIPE;
    for (;;) {
        int64_t n = svm_fifo_enqueue(&s->tx, data, len);
        if (n > 0)
            kick(s);
        if (n != 0 || len == 0 || !svm_fifo_prod_want_space(&s->tx, 1))
            return n;
        if (s->tx.failed)
            return -EPROTO;
    }
}

static void after_read(struct sim_sock *s)
{
    if (svm_fifo_cons_space_due(&s->rx))
        session_rx_space_kick(s->app->w, s->session);
}

uint32_t sim_readable(struct sim_sock *s)
{
    int64_t n = s->mem ? svm_fifo_cons_avail(&s->rx) : 0;

    return n > 0 ? (uint32_t)n : 0;
}

bool sim_at_eof(struct sim_sock *s)
{
    return s->mem && svm_fifo_cons_is_fin(&s->rx) && sim_readable(s) == 0;
}

int64_t sim_read(struct sim_sock *s, void *buf, uint32_t len)
{
    if (s->connect_error)
        return s->connect_error;
    if (!s->mem || s->close_called)
        return -EBADF;
    for (;;) {
        int64_t n = svm_fifo_dequeue(&s->rx, buf, len);
        if (n > 0)
            after_read(s);
        if (n != 0 || len == 0)
            return n;
        if (svm_fifo_cons_is_fin(&s->rx) && sim_readable(s) == 0)
            return 0;
        int error = svm_fifo_cons_rst(&s->rx);
        if (error)
            return error;
        if (!svm_fifo_cons_arm(&s->rx))
            return -EAGAIN;
    }
}

/* A byte that depends on its position: neither shifted, swapped nor repeated blocks look right. */
static void pattern(uint8_t *to, uint32_t seed, uint64_t pos, uint32_t n)
{
    uint64_t x = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (i == 0 || ((pos + i) & 7) == 0) {
            x = ((pos + i) >> 3) * 0x9e3779b97f4a7c15ull + seed * 0xd6e8feb86659fd93ull;
            x ^= x >> 29;
            x *= 0xbf58476d1ce4e5b9ull;
        }
        to[i] = (uint8_t)(x >> (8 * ((pos + i) & 7)));
    }
}

int64_t sim_write_pattern(struct sim_sock *s, uint32_t seed, uint32_t len)
{
    uint8_t buf[16384];
    int64_t total = 0;

    while (len > 0) {
        uint32_t n = hs_min_u32(len, sizeof(buf));
        int64_t room = s->mem ? svm_fifo_prod_space(&s->tx) : 0;

        if (room >= 0 && room < n) /* a byte too many is enough to learn that it is full */
            n = (uint32_t)room + 1;
        pattern(buf, seed, s->written, n);
        int64_t rc = sim_write(s, buf, n);
        if (rc < 0)
            return total ? total : rc;
        s->written += (uint64_t)rc;
        total += rc;
        len -= (uint32_t)rc;
        if (rc < n)
            break;
    }
    return total;
}

int64_t sim_read_check(struct sim_sock *s, uint32_t seed, uint32_t max)
{
    uint8_t buf[16384], want[16384];
    int64_t total = 0;

    while (max > 0) {
        int64_t rc = sim_read(s, buf, hs_min_u32(max, sizeof(buf)));
        if (rc <= 0)
            return total ? total : rc;
        pattern(want, seed, s->read, (uint32_t)rc);
        if (memcmp(buf, want, (size_t)rc) != 0)
            return -EILSEQ;
        s->read += (uint64_t)rc;
        total += rc;
        max -= (uint32_t)rc;
    }
    return total;
}

int sim_sendto(struct sim_sock *s, const struct ip_endpoint *rmt, const void *data, uint32_t len)
{
    static const uint8_t zeros[8];
    struct svm_dgram_hdr h = { .data_len = len, .hdr_len = sizeof(h), .version = 1 };
    struct iovec iov[3] = { { &h, sizeof(h) }, { (void *)data, len }, { (void *)zeros, (8 - len % 8) % 8 } };

    if (!s->mem || s->close_called)
        return -EBADF;
    if (rmt) {
        h.rmt_ip = rmt->ip;
        h.rmt_port = rmt->port;
    }
    for (;;) {
        int rc = svm_fifo_enqueue_record(&s->tx, iov, 3);
        if (rc == 0)
            kick(s);
        if (rc != -EAGAIN || !svm_fifo_prod_want_space(&s->tx, (uint32_t)sizeof(h) + len + 8) || s->tx.failed)
            return rc;
    }
}

int64_t sim_recvfrom(struct sim_sock *s, struct ip_endpoint *from, void *buf, uint32_t len)
{
    struct svm_dgram_hdr h;

    if (!s->mem || s->close_called)
        return -EBADF;
    do {
        int64_t n = svm_fifo_peek(&s->rx, 0, &h, sizeof(h));
        if (n < 0)
            return n;
        if (n == 0 && (s->is_reset || svm_fifo_cons_is_fin(&s->rx)))
            return -ENOTCONN; /* nothing follows */
        if (n == 0)
            continue;
        if ((size_t)n < sizeof(h) || h.hdr_len < sizeof(h) || h.version != 1)
            return -EPROTO;
        if (from)
            *from = (struct ip_endpoint){ .ip = h.rmt_ip, .port = h.rmt_port };
        uint32_t take = hs_min_u32(len, h.data_len);
        if (take && svm_fifo_peek(&s->rx, h.hdr_len, buf, take) != take)
            return -EPROTO;
        int rc = svm_fifo_drop(&s->rx, h.hdr_len + ((h.data_len + 7) & ~7u));
        after_read(s);
        return rc < 0 ? rc : (int64_t)take;
    } while (svm_fifo_cons_arm(&s->rx));
    return -EAGAIN;
}

void sim_shutdown(struct sim_sock *s, int how)
{
    if (!s->session)
        return;
    if (s->mem && (how == SHUT_WR || how == SHUT_RDWR))
        svm_fifo_prod_set_fin(&s->tx);
    if (s->mem && (how == SHUT_RD || how == SHUT_RDWR))
        svm_fifo_cons_set_closed(&s->rx);
    session_shutdown(s->app->w, s->session, how);
}

void sim_close(struct sim_sock *s, int linger_s)
{
    if (s->close_called || !s->session)
        return;
    s->close_called = true;
    while (s->accept_head) /* waiting in our queue: the listener takes them along */
        sim_sock_free(sim_accept(s));
    if (s->mem) {
        svm_fifo_prod_set_fin(&s->tx);
        svm_fifo_cons_set_closed(&s->rx);
    }
    session_close(s->app->w, &s->app->aw, s->session, linger_s);
}

void sim_sock_free(struct sim_sock *s)
{
    sim_close(s, -1);
    if (s->mem) { /* the stack still sends from it: it is freed with the session */
        s->mem->sock = NULL;
        s->mem->orphan_tx = s->tx;
        s->mem->has_orphan = true;
        s->mem = NULL;
    }
    sock_delete(s);
}
