/* app_client.c - a client worker on the control thread: its segments and descriptors, from HELLO until nothing of it is left */
#include "server/app/app_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* A lifeline's other copies are with its program: closing ours alone leaves it in the epoll set, with a pointer to a client that has gone. */
static void close_watched(struct app_client *c, int *fd)
{
    if (*fd >= 0)
        (void)epoll_ctl(c->as->epfd, EPOLL_CTL_DEL, *fd, NULL);
    close_fd(fd);
}

struct app_client *app_client_new(struct app_server *as, int sock)
{
    unsigned n = as->stack->n_workers;
    size_t size = (sizeof(struct app_client) + n * sizeof(struct app_port_client) + 63) & ~(size_t)63;
    struct app_client *c = aligned_alloc(HS_CACHE_LINE, size);

    if (!c)
        return NULL;
    memset(c, 0, size);
    c->as = as;
    c->sock = sock;
    c->lifeline = c->pidfd = c->bell_wr = -1;
    c->p.fd = -1;
    c->out_tail = &c->out_head;
    c->sock_src = (struct app_src){ APP_SRC_SOCK, c };
    c->lifeline_src = (struct app_src){ APP_SRC_LIFELINE, c };
    c->pidfd_src = (struct app_src){ APP_SRC_PIDFD, c };
    c->client_id = ++as->next_client_id;
    pthread_spin_init(&c->lock, PTHREAD_PROCESS_PRIVATE);
    svm_ring_alloc_init(&c->rings);
    for (unsigned i = 0; i < n; i++) {
        struct app_port_client *pc = &c->per[i];
        pc->client = c;
        pc->w = as->stack->worker[i];
        pc->bell_rd = -1;
        pc->aw.ops = &app_client_ops;
        pc->aw.client_id = c->client_id;
    }
    c->next = as->clients;
    if (c->next)
        c->next->prev = c;
    as->clients = c;
    as->n_clients++;
    as->clients_ever++;
    return c;
}

struct app_client *app_client_by_id(struct app_server *as, uint32_t client_id)
{
    for (struct app_client *c = as->clients; c; c = c->next) {
        if (c->client_id == client_id && c->state == APP_CLIENT_ATTACHED)
            return c;
    }
    return NULL;
}

static void out_drop(struct app_client *c)
{
    struct app_out *o = c->out_head;

    c->out_head = o->next;
    if (!c->out_head)
        c->out_tail = &c->out_head;
    c->n_out--;
    for (int i = 0; i < o->n_fds; i++)
        close(o->fds[i]);
    free(o);
}

void app_client_free(struct app_client *c)
{
    struct app_server *as = c->as;

    if (c->prev)
        c->prev->next = c->next;
    else
        as->clients = c->next;
    if (c->next)
        c->next->prev = c->prev;
    as->n_clients--;
    app_tls_client_free(c);
    app_tcp_key_client_free(c);
    while (c->out_head)
        out_drop(c);
    close_watched(c, &c->sock);
    close_watched(c, &c->lifeline);
    close_watched(c, &c->pidfd);
    close_fd(&c->bell_wr);
    for (unsigned i = 0; i < as->stack->n_workers; i++) {
        close_fd(&c->per[i].bell_rd);
        free(c->per[i].pending);
    }
    svm_ring_alloc_fini(&c->rings);
    for (uint32_t i = 0; i < c->n_banks; i++) {
        svm_segment_unmap(&c->bank[i].s);
        svm_segment_unmap(&c->bank[i].c);
        free(c->bank[i].slot_next);
    }
    svm_segment_unmap(&c->p);
    pthread_spin_destroy(&c->lock);
    free(c);
}

unsigned app_client_fds(const struct app_client *c)
{
    unsigned n = (c->sock >= 0) + (c->lifeline >= 0) + (c->pidfd >= 0) + (c->bell_wr >= 0) + (c->p.fd >= 0);

    for (unsigned i = 0; i < c->as->stack->n_workers; i++)
        n += c->per[i].bell_rd >= 0;
    for (uint32_t i = 0; i < c->n_banks; i++)
        n += (c->bank[i].s.fd >= 0) + (c->bank[i].c.fd >= 0);
    return n;
}

/* ---- sending ---- */

void app_client_flush(struct app_client *c)
{
    while (c->out_head && c->sock >= 0) {
        struct app_out *o = c->out_head;
        int err = svm_sock_send(c->sock, o->bytes, o->len, o->fds, o->n_fds, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (err == -EAGAIN || err == -EINTR || err == -ENOBUFS)
            break;
        out_drop(c); /* sent; or an error that the hang-up will tell of */
    }
    if (c->sock >= 0)
        (void)app_server_watch(c->as, c->sock, &c->sock_src, c->out_head ? EPOLLIN | EPOLLOUT | EPOLLRDHUP : EPOLLIN | EPOLLRDHUP);
}

void app_client_send(struct app_client *c, const void *msg, size_t len, int *fds, int n_fds)
{
    struct app_out *o = c->sock >= 0 && c->n_out < APP_OUT_MAX ? malloc(sizeof(*o) + len) : NULL;

    if (!o) {
        for (int i = 0; i < n_fds; i++)
            close(fds[i]);
        if (c->sock >= 0)
            app_client_leave(c, "it does not read its attach socket");
        return;
    }
    o->next = NULL;
    o->len = len;
    o->n_fds = n_fds;
    memcpy(o->bytes, msg, len);
    if (n_fds)
        memcpy(o->fds, fds, (size_t)n_fds * sizeof(*fds));
    *c->out_tail = o;
    c->out_tail = &o->next;
    c->n_out++;
    app_client_flush(c);
}

/* ---- segments ---- */

/* The lock is held. */
static int bank_use(struct app_client *c, uint16_t index)
{
    struct app_bank *b = &c->bank[index];
    int err = svm_ring_alloc_add(&c->rings, index, b->s_ring_off, b->s_ring_size, b->s.fd, true);

    b->is_mapped = err == 0;
    return err;
}

static int bank_make(struct app_client *c, struct svm_bank_layout *l, bool is_mapped)
{
    struct app_bank *b = &c->bank[c->n_banks];
    uint16_t index = (uint16_t)c->n_banks;
    int err = svm_bank_layout(l);

    if (err != 0)
        return err;
    b->s.fd = b->c.fd = -1;
    /* Queues and header are allocated now, slots by chunks, rings when they are handed out. */
    err = svm_segment_create(&b->s, "hoststack-s", l->s_size, l->slots_off, true);
    if (err == 0)
        err = svm_segment_create(&b->c, "hoststack-c", l->c_size, l->slots_off, false);
    if (err == 0)
        err = app_memory_bank_init(b, l->n_slots);
    if (err != 0)
        goto undo_segments;
    b->seg_id = app_server_seg_id(c->as);
    b->slots_off = l->slots_off;
    svm_bank_format(l, b->seg_id, b->s.base, b->c.base);
    err = svm_segment_set_readonly(&b->c, l->ring_off, l->c_size - l->ring_off);
    if (err != 0)
        goto undo_slots;
    b->s_ring_off = l->ring_off;
    b->s_ring_size = l->s_ring_size;
    pthread_spin_lock(&c->lock);
    if (is_mapped)
        err = bank_use(c, index);
    if (err == 0) {
        c->rx_regions.r[index] = (struct svm_region){ b->s.base, b->s.size };
        c->tx_regions.r[index] = (struct svm_region){ b->c.base, b->c.size };
        __atomic_store_n(&c->rx_regions.n, index + 1u, __ATOMIC_RELEASE);
        __atomic_store_n(&c->tx_regions.n, index + 1u, __ATOMIC_RELEASE);
        __atomic_store_n(&c->n_banks, index + 1u, __ATOMIC_RELEASE);
    }
    pthread_spin_unlock(&c->lock);
    if (err == 0)
        return 0;
undo_slots:
    free(b->slot_next);
undo_segments:
    svm_segment_unmap(&b->c);
    svm_segment_unmap(&b->s);
    memset(b, 0, sizeof(*b));
    return err;
}

static uint32_t bank_slots(const struct app_client *c) { return hs_min_u32(c->room_mb, APP_BANK_SLOTS / APP_SLOTS_A_MB) * APP_SLOTS_A_MB; }

void app_client_bank_mapped(struct app_client *c, uint32_t seg_id)
{
    struct app_bank *b = c->n_banks ? &c->bank[c->n_banks - 1] : NULL;

    if (!b || b->seg_id != seg_id || b->is_mapped)
        return;
    pthread_spin_lock(&c->lock);
    (void)bank_use(c, (uint16_t)(c->n_banks - 1)); /* without memory for the books of it, it stays as it is */
    pthread_spin_unlock(&c->lock);
    __atomic_store_n(&c->bank_requested, false, __ATOMIC_RELEASE);
}

int app_client_add_bank(struct app_client *c)
{
    uint32_t add = c->as->opt.add_segment_mb, mb = c->room_mb < APP_PAIR_FIRST_MB ? hs_min_u32(c->room_mb, add) : add;
    struct svm_bank_layout l = { .n_slots = bank_slots(c) };
    struct svm_att_segment m = { .type = SVM_ATT_SEGMENT, .kind = SVM_SEG_BANK };
    int fds[2], err;

    if (c->n_banks >= c->as->opt.max_banks || c->n_banks >= SVM_MAX_BANKS)
        return -ENOBUFS;
    if (c->n_banks && !c->bank[c->n_banks - 1].is_mapped) /* it has no room for that one, or has not looked yet */
        return -ENOBUFS;
    l.s_ring_size = l.c_ring_size = (uint64_t)mb << 20;
    err = bank_make(c, &l, false);
    if (err != 0)
        return err;
    const struct app_bank *b = &c->bank[c->n_banks - 1];
    m.seg_id = b->seg_id;
    m.bank = c->n_banks - 1;
    fds[0] = fcntl(b->s.fd, F_DUPFD_CLOEXEC, 0);
    fds[1] = fcntl(b->c.fd, F_DUPFD_CLOEXEC, 0);
    if (fds[0] < 0 || fds[1] < 0) {
        err = -errno;
        if (fds[0] >= 0)
            close(fds[0]);
        app_client_leave(c, "no descriptors are left for another bank");
        return err;
    }
    app_client_send(c, &m, sizeof(m), fds, 2);
    return 0;
}

static int doorbells_make(struct app_client *c, int *fds, int *n_fds)
{
    int p[2];

    if (pipe2(p, O_CLOEXEC | O_NONBLOCK) != 0)
        return -errno;
    c->bell_wr = p[1];
    fds[(*n_fds)++] = p[0]; /* its read end; ours is closed once it is sent */
    return 0;
}

static int queues_make(struct app_client *c, const struct svm_bank_layout *l, struct svm_att_welcome *welcome, int *fds, int *n_fds)
{
    struct app_bank *b = &c->bank[0];

    for (unsigned i = 0; i < c->as->stack->n_workers; i++) {
        struct app_port_client *pc = &c->per[i];
        int p[2];
        int err = svm_msgq_prod_init(&pc->out, &l->to_client[i], b->s.base, b->s.size, b->c.base, b->c.size);
        if (err == 0)
            err = svm_msgq_cons_init(&pc->in, &l->to_server[i], b->c.base, b->c.size, b->s.base, b->s.size);
        if (err != 0)
            return err;
        welcome->q[i].to_client = l->to_client[i];
        welcome->q[i].to_server = l->to_server[i];
        if (pipe2(p, O_CLOEXEC | O_NONBLOCK) != 0)
            return -errno;
        pc->bell_rd = p[0];
        fds[(*n_fds)++] = p[1];
    }
    return 0;
}

static int dup_into(int *fds, int *n_fds, int fd)
{
    int d = fcntl(fd, F_DUPFD_CLOEXEC, 0);

    if (d < 0)
        return -errno;
    fds[(*n_fds)++] = d;
    return 0;
}

static uint32_t fifo_size(uint32_t wanted, uint32_t max)
{
    uint32_t size = 4096;

    if (wanted == 0)
        wanted = 4u << 20;
    while (size < wanted && size < max)
        size <<= 1;
    return size > max ? max : size;
}

static uint32_t queue_log2(uint32_t wanted, uint32_t max)
{
    uint32_t log2 = 7, top = 7;

    while (top < 16 && (1u << (top + 1)) <= max)
        top++;
    while (log2 < top && (1u << log2) < wanted)
        log2++;
    return wanted ? log2 : hs_min_u32(top, 10);
}

/* By worker_call(), after everything of it is in place. */
static void publish(struct app_client *c)
{
    for (unsigned i = 0; i < c->as->stack->n_workers; i++) {
        struct app_port_client *pc = &c->per[i];
        pc->aw.client_id = c->client_id;
        pc->aw.app_id = c->app_id;
        pc->aw.ns = c->ns;
        pc->aw.fib = c->ns ? c->as->ns[c->ns - 1].fib : 0;
        pc->aw.scope = c->scope;
        __atomic_store_n(&pc->has_queues, true, __ATOMIC_RELEASE); /* a fork's child is known to its workers already */
        if (app_server_call(c->as, c->as->stack->worker[i], app_port_add, pc) != 0)
            hs_log(c->as->stack->log, HS_LOG_ERROR, "no memory to tell worker %u of client %u", i, c->client_id);
    }
}

int app_client_attach(struct app_client *c, const struct svm_att_hello *h)
{
    const struct app_server_options *opt = &c->as->opt;
    struct svm_bank_layout l = { .n_queues = c->as->stack->n_workers };
    struct svm_att_welcome m = { .type = SVM_ATT_WELCOME, .abi_version = SVM_ABI_VERSION };
    int fds[SVM_ATT_MAX_FDS], n_fds = 0, err;
    uint32_t mb = h->segment_mb && h->segment_mb < opt->segment_mb ? h->segment_mb : opt->segment_mb;

    c->rx_fifo_size = fifo_size(h->rx_fifo_size, opt->max_fifo_size);
    c->tx_fifo_size = fifo_size(h->tx_fifo_size, opt->max_fifo_size);
    l.queue_log2 = queue_log2(h->evt_queue_len, opt->evt_queue_len);
    c->room_mb = mb < opt->segment_mb ? mb : hs_max_u32(mb, APP_PAIR_FIRST_MB);
    l.n_slots = bank_slots(c);
    l.s_ring_size = l.c_ring_size = (uint64_t)mb << 20;
    err = svm_segment_create(&c->p, "hoststack-p", 4096, 4096, false);
    if (err == 0)
        err = bank_make(c, &l, true);
    if (err == 0)
        err = dup_into(fds, &n_fds, c->as->srv.fd);
    if (err == 0)
        err = dup_into(fds, &n_fds, c->p.fd);
    if (err == 0)
        err = doorbells_make(c, fds, &n_fds);
    if (err == 0)
        err = dup_into(fds, &n_fds, c->bank[0].s.fd);
    if (err == 0)
        err = dup_into(fds, &n_fds, c->bank[0].c.fd);
    if (err == 0)
        err = queues_make(c, &l, &m, fds, &n_fds);
    if (err != 0) {
        while (n_fds > 0)
            close(fds[--n_fds]);
        return err;
    }
    m.n_workers = c->as->stack->n_workers;
    m.client_id = c->client_id;
    m.app_id = c->app_id;
    m.app_cookie = c->app_cookie;
    m.seg_id = c->bank[0].seg_id;
    m.rx_fifo_size = c->rx_fifo_size;
    m.tx_fifo_size = c->tx_fifo_size;
    m.flags = c->scope;
    c->state = APP_CLIENT_ATTACHED;
    publish(c);
    app_client_send(c, &m, sizeof(m), fds, n_fds);
    return 0;
}

/* ---- leaving ---- */

void app_client_leave(struct app_client *c, const char *why)
{
    struct app_server *as = c->as;

    if (c->state == APP_CLIENT_LEAVING)
        return;
    if (why && c->state != APP_CLIENT_NEW) {
        as->violations++;
        hs_log_limited(as->stack->log, &as->log_limit, as->now_us, HS_LOG_NOTICE, "client %u (%s, %s) dropped: %s", c->client_id,
                       c->name, c->peer, why);
    }
    close_watched(c, &c->sock);
    close_watched(c, &c->lifeline);
    close_watched(c, &c->pidfd);
    while (c->out_head)
        out_drop(c);
    bool known = c->state == APP_CLIENT_ATTACHED || c->state == APP_CLIENT_FORKED;
    c->state = APP_CLIENT_LEAVING;
    if (!known) {
        c->n_workers_done = as->stack->n_workers; /* freed by the caller's loop: app_server_poll() */
        return;
    }
    for (unsigned i = 0; i < as->stack->n_workers; i++)
        (void)app_server_call(as, as->stack->worker[i], app_port_leave, &c->per[i]);
}

void app_client_worker_done(struct app_client *c)
{
    c->n_workers_done++;
}
