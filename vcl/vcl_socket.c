/* vcl_socket.c - life of a socket: numbers and handles, FIFOs, references, close, errors, requests */
#include <stdlib.h>
#include <sys/epoll.h>
#include "vcl/vcl_option_copy.h"
#include "vcl/vcl_sctp_internal.h"

struct svm_handle vcl_handle_none(void) { return (struct svm_handle){ 0, 0 }; }
bool vcl_handle_is_none(struct svm_handle h) { return h.index == 0 && h.gen == 0; }
static bool handle_eq(struct svm_handle a, struct svm_handle b) { return a.index == b.index && a.gen == b.gen; }

/* ---- making and freeing ---- */
struct vcl_socket *vcl_socket_alloc(struct vcl_worker *w, uint8_t proto, bool is_v6)
{
    struct vcl_socket *s = calloc(1, sizeof(*s));

    if (!s)
        return NULL;
    atomic_init(&s->refs, 1);
    s->proto = proto;
    s->is_v6 = is_v6;
    s->is_dgram = proto == SVM_PROTO_UDP;
    s->is_records = proto == SVM_PROTO_DTLS;
    s->w = w;
    s->epoch = w->epoch;
    s->ctx = VCL_NO_CTX;
    vcl_lock_init(&s->tx_lock);
    vcl_lock_init(&s->rx_lock);
    pthread_mutex_init(&s->op_lock, NULL);
    vcl_options_init(s);
    if (proto == SVM_PROTO_SCTP && vcl_sctp_new(s) != 0) {
        vcl_socket_free(s);
        return NULL;
    }
    return s;
}

int vcl_socket_new(uint8_t proto, bool is_v6, struct vcl_socket **out)
{
    struct vcl_worker *w;

    if (proto != SVM_PROTO_TCP && proto != SVM_PROTO_UDP && proto != SVM_PROTO_TLS &&
        proto != SVM_PROTO_DTLS && proto != SVM_PROTO_SCTP)
        return -EPROTONOSUPPORT;
    w = vcl_worker_current();
    *out = w ? vcl_socket_alloc(w, proto, is_v6) : NULL;
    return *out ? 0 : -ENOMEM;
}

/* Nobody knows it any more: not the program, not the server, no table. */
void vcl_socket_free(struct vcl_socket *s)
{
    vcl_socket_fifos_drop(s);
    if (s->tls_own)
        vcl_socket_set_tls(s, 0, false);
    vcl_sctp_free(s);
    vcl_tcp_keys_free(s);
    pthread_mutex_destroy(&s->op_lock);
    vcl_errqueue_free(s);
    vcl_options_free(s);
    free(s->attr_bytes);
    free(s->ways);
    vcl_mcast_free(s);
    vcl_cork_drop(s);
    free(s);
}

struct vcl_socket *vcl_socket_get(struct vcl_socket *s)
{
    atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

/* FREE edges: NEW -> BOUND -> LISTENING; NEW|BOUND -> CONNECTING -> CONNECTED; any -> DEAD; any -> ZOMBIE. */
void vcl_socket_set_state(struct vcl_socket *s, uint8_t state)
{
    /* Release: pairs with the acquire in vcl_state(): FIFOs and addresses come first. */
    atomic_store_explicit(&s->state, state, memory_order_release);
}

/* ---- numbers: what the server echoes ---- */
int vcl_socket_number(struct vcl_socket *s)
{
    struct vcl_worker *w = s->w;

    if (s->ctx != VCL_NO_CTX)
        return 0;
    if (w->table_free == VCL_NO_CTX) {
        uint32_t n = w->table_size ? 2 * w->table_size : 64;
        struct vcl_socket **table = realloc(w->table, n * sizeof(*table));
        uint32_t *next;

        if (!table)
            return -ENOMEM;
        w->table = table;
        next = realloc(w->table_next, n * sizeof(*next));
        if (!next)
            return -ENOMEM;
        w->table_next = next;
        for (uint32_t i = n; i-- > w->table_size;) {
            table[i] = NULL;
            next[i] = w->table_free;
            w->table_free = i;
        }
        w->table_size = n;
    }
    s->ctx = w->table_free;
    w->table_free = w->table_next[s->ctx];
    w->table[s->ctx] = s;
    return 0;
}

void vcl_socket_unnumber(struct vcl_socket *s)
{
    struct vcl_worker *w = s->w;

    if (s->ctx == VCL_NO_CTX)
        return;
    w->table[s->ctx] = NULL;
    w->table_next[s->ctx] = w->table_free;
    w->table_free = s->ctx;
    s->ctx = VCL_NO_CTX;
}

void vcl_socket_set_handle(struct vcl_socket *s, struct svm_handle h)
{
    s->handle = h;
}

/* The socket a message is about; a number whose session has another handle is of an earlier life. */
struct vcl_socket *vcl_socket_by_msg(struct vcl_worker *w, const struct svm_msg *m)
{
    struct vcl_socket *s = m->ctx < w->table_size ? w->table[m->ctx] : NULL;

    if (!s)
        return NULL;
    if (m->type == SVM_MSG_ACCEPT || m->type == SVM_MSG_BOUND || m->type == SVM_MSG_CONNECTED || m->type == SVM_MSG_CONNECTING)
        return s;
    if (m->type == SVM_MSG_CLOSED && m->u.error)
        return s; /* it had gone already */
    return handle_eq(s->handle, m->handle) ? s : NULL;
}

/* Its last reference has not been put. */
static bool get_if_open(struct vcl_socket *s)
{
    uint32_t refs = atomic_load_explicit(&s->refs, memory_order_relaxed);

    while (refs && !atomic_compare_exchange_weak_explicit(&s->refs, &refs, refs + 1, memory_order_relaxed, memory_order_relaxed))
        ;
    return refs;
}

struct vcl_socket *vcl_socket_by_handle(struct vcl_worker *w, struct svm_handle h)
{
    for (uint32_t i = 0; i < w->table_size; i++) {
        struct vcl_socket *s = w->table[i];

        if (s && handle_eq(s->handle, h) && vcl_state(s) != VCL_ZOMBIE && get_if_open(s))
            return s;
    }
    return NULL;
}

/* ---- FIFOs ---- */
static void fix_rx_lines(struct vcl_socket *s)
{
    s->rx_line = s->rx.line;
    s->rx_peer = s->rx.peer;
}

static int map_pair_fifos(struct vcl_socket *s, const struct svm_msg_slot *slot, bool side1)
{
    struct vcl_pair *p = vcl_worker_pair(s->w, slot->seg_id);
    struct svm_slot_pair *sp;
    uint32_t max = hs_min_u32(s->w->tx_fifo_size, VCL_LOCAL_FIFO_MAX);
    unsigned side;

    if (p && !p->base)
        return VCL_UNMAPPED;
    if (!p || slot->slot >= p->n_slots)
        return -EPROTO;
    /* One worker at both ends of a connection to itself has one mapping and two sockets in a slot. */
    max = hs_min_u32(max, (uint32_t)hs_min_u64(p->arena.size >> 4, UINT32_MAX));
    side = p->peer_client_id == s->w->client_id ? (side1 ? 1 : 0) : p->side;
    sp = (struct svm_slot_pair *)(void *)(p->base + p->slots_off) + slot->slot;
    s->pair = p;
    s->slot = slot->slot;
    s->slot_seg = slot->seg_id;
    s->side = (uint8_t)side;
    s->local = true;
    svm_fifo_prod_init(&s->tx, &sp->side[side].tx, &sp->side[1 - side].rx, &p->regions, &vcl_pair_ring_ops, p, max);
    svm_fifo_prod_set_floor(&s->tx, VCL_TX_FLOOR);
    svm_fifo_prod_set_stamps(&s->tx, &sp->side[side].rx);
    svm_fifo_cons_init(&s->rx, &sp->side[side].rx, &sp->side[1 - side].tx, &p->regions, VCL_LOCAL_FIFO_MAX);
    fix_rx_lines(s);
    memset(&s->urg, 0, sizeof(s->urg));
    if (p->peer_client_id == s->w->client_id && side == 1)
        p->by_slot_self[slot->slot] = s;
    else
        p->by_slot[slot->slot] = s;
    p->n_sockets++;
    return 0;
}

static int map_bank_fifos(struct vcl_socket *s, const struct svm_msg_slot *slot)
{
    struct vcl_worker *w = s->w;
    uint16_t index;
    struct vcl_bank *b = vcl_worker_bank(w, slot->seg_id, &index);
    struct svm_slot_srv *srv;
    struct svm_slot_cli *cli;

    if (!b || slot->slot >= b->n_slots)
        return -EPROTO;
    srv = (struct svm_slot_srv *)(void *)(b->s_base + b->s_slots_off) + slot->slot;
    cli = (struct svm_slot_cli *)(void *)(b->c_base + b->c_slots_off) + slot->slot;
    s->slot = slot->slot;
    s->slot_seg = slot->seg_id;
    s->local = false;
    svm_fifo_prod_init(&s->tx, &cli->tx, &srv->tx, &w->life->cli_regions, &vcl_bank_ring_ops, w->life, w->tx_fifo_size);
    svm_fifo_prod_set_floor(&s->tx, VCL_TX_FLOOR);
    svm_fifo_prod_set_stamps(&s->tx, &cli->rx);
    svm_fifo_cons_init(&s->rx, &cli->rx, &srv->rx, &w->life->srv_regions, w->rx_fifo_size);
    fix_rx_lines(s);
    s->errors_seen = s->rx.head;
    memset(&s->urg, 0, sizeof(s->urg));
    return 0;
}

int vcl_socket_map_fifos(struct vcl_socket *s, const struct svm_msg *m)
{
    struct svm_msg_slot slot = m->u.conn.slot;
    int rc;

    vcl_socket_lock(s);
    rc = m->flags & SVM_CONN_LOCAL
             ? map_pair_fifos(s, &slot, m->type == SVM_MSG_CLAIMED ? m->attr & SVM_CLAIM_SIDE1 : m->type == SVM_MSG_ACCEPT)
             : map_bank_fifos(s, &slot);
    if (rc == VCL_UNMAPPED) {
        vcl_space_unmapped(s, &slot);
    } else if (!rc) {
        s->unmapped = false;
        s->has_fifos = true;
        vcl_claim_begin(s);
        if (hs_unlikely(s->rest_due != NULL))
            vcl_rest_install(s);
        vcl_stamps_want(s);
        atomic_store_explicit(&s->evt_seq, 0, memory_order_relaxed); /* of former FIFOs */
    }
    vcl_options_limit_tx(s);
    vcl_socket_unlock(s);
    return rc;
}

/* What was written from `head` on, into another FIFO. */
static int copy_written(struct svm_fifo_prod *to, const struct svm_fifo_prod *from, uint32_t head)
{
    uint32_t len = from->tail - head;
    struct svm_fifo_cons_line line;
    struct svm_fifo_cons reader;
    struct iovec iov[4];
    int n;

    memset(&line, 0, sizeof(line));
    line.head = head;
    svm_fifo_cons_init(&reader, &line, from->line, from->regions, from->max_size);
    if (len == 0)
        return 0;
    n = svm_fifo_peek_iov(&reader, 0, len, iov);
    if (n < 0)
        return n;
    return svm_fifo_enqueue_iov(to, iov, n) == (int64_t)len ? 0 : -ENOMEM;
}

int vcl_socket_write_again(struct vcl_socket *s, const struct svm_fifo_prod *old, uint32_t head)
{
    int rc = copy_written(&s->tx, old, head);

    svm_urgent_move(s->tx.line, old->line, head);
    if (old->fin)
        svm_fifo_prod_set_fin(&s->tx);
    if (s->rd_closed_told)
        svm_fifo_cons_set_closed(vcl_rx_last(s));
    return rc;
}

void vcl_socket_leave_slot(struct vcl_socket *s, struct vcl_pair *p, uint32_t slot)
{
    if (p->by_slot[slot] == s)
        p->by_slot[slot] = NULL;
    if (p->by_slot_self[slot] == s)
        p->by_slot_self[slot] = NULL;
    p->n_sockets--;
}

int vcl_socket_remap_pair(struct vcl_socket *s, const struct svm_msg *m)
{
    struct svm_msg_slot slot = m->u.conn.slot;

    vcl_claim_begin(s);
    return map_pair_fifos(s, &slot, m->attr & SVM_CLAIM_SIDE1);
}

void vcl_socket_fifos_end(struct vcl_socket *s)
{
    if (s->has_fifos)
        svm_fifo_prod_fini(&s->tx);
    s->has_fifos = false;
    vcl_rest_drop(s); /* with them: who finds that there are FIFOs may look at it */
}

/* The slot is free again (CLOSED), or the server has gone: gives back rings and lets go of the segment. Worker lock held, or
 * nobody else knows the socket. */
void vcl_socket_fifos_drop(struct vcl_socket *s)
{
    vcl_socket_lock(s);
    vcl_socket_fifos_end(s);
    vcl_socket_unlock(s);
    vcl_socket_fifos_leave(s);
}

void vcl_socket_fifos_leave(struct vcl_socket *s)
{
    if (s->pair) {
        struct vcl_pair *p = s->pair;

        vcl_socket_leave_slot(s, p, s->slot);
        s->pair = NULL;
        if (atomic_load(&p->gone))
            vcl_worker_reap_pairs(s->w);
    }
}

/* ---- errors ---- */
void vcl_socket_fail(struct vcl_socket *s, int error)
{
    if (vcl_state(s) == VCL_ZOMBIE || vcl_state(s) == VCL_DEAD)
        return;
    atomic_store(&s->error, error);
    s->died_connected = vcl_state(s) == VCL_CONNECTED;
    if (!s->is_dgram || vcl_handle_is_none(s->handle))
        vcl_socket_set_state(s, VCL_DEAD);
    if (atomic_load(&s->op) != VCL_OP_NONE) {
        s->op_error = error;
        atomic_store_explicit(&s->op, VCL_OP_NONE, memory_order_release);
    }
    vcl_set_notify(s, EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
}

void vcl_socket_lost(struct vcl_socket *s)
{
    uint8_t state = vcl_state(s);

    vcl_socket_set_handle(s, vcl_handle_none());
    vcl_socket_fifos_drop(s);
    s->unclaimed = false;
    if (state == VCL_ZOMBIE) {
        vcl_socket_unnumber(s);
        vcl_socket_free(s);
        return;
    }
    if (state == VCL_LISTENING || (state == VCL_BOUND && s->is_dgram)) {
        vcl_accept_forget(s);
        s->relisten = true; /* vcl_worker_reattached() */
        s->relisten_sent = false;
        if (!s->is_dgram)
            return;
    }
    vcl_socket_fail(s, -ECONNRESET);
}

/* A server again: listeners and bound datagram sockets get their endpoints back. */
void vcl_worker_reattached(struct vcl_worker *w)
{
    for (uint32_t i = 0; i < w->table_size; i++) {
        struct vcl_socket *s = w->table[i];
        struct svm_msg m;

        if (s && s->fork_leftover) {
            m = vcl_socket_msg(s, SVM_MSG_CLOSE);
            m.u.value = -1;
            s->fork_leftover = false;
            s->epoch = w->epoch;
            vcl_socket_set_state(s, VCL_ZOMBIE);
            vcl_socket_post(s, &m);
        }
        if (s && s->relisten && (!s->shared || s->is_dgram || s->arm_wanted == VCL_ARM_ON))
            vcl_socket_relisten(s);
    }
}

/* Of processes that share a listener, each that accepts binds for itself, and the stack spreads connections over them. One that only
 * holds it (a master process) does so when it, or a child, begins to accept. */
void vcl_socket_relisten(struct vcl_socket *s)
{
    struct svm_msg m;

    if (s->relisten_sent || !atomic_load(&s->w->attached) || s->w->lost)
        return;
    s->relisten_sent = true;
    s->epoch = s->w->epoch;
    s->server_worker = 0;
    m = vcl_socket_msg(s, SVM_MSG_BIND);
    m.flags |= s->shared ? SVM_BIND_REUSEPORT : 0;
    m.u.conn.lcl_ip = s->lcl.ip;
    m.u.conn.lcl_port = s->lcl.port;
    vcl_worker_post(s->w, 0, &m);
}

/* Both sides have ended their sending, or it was reset: in TCP's words CLOSED or TIME-WAIT. */
bool vcl_stream_is_over(struct vcl_socket *s)
{
    bool over;

    if (s->is_dgram || vcl_state(s) != VCL_CONNECTED)
        return vcl_state(s) == VCL_DEAD;
    vcl_socket_lock(s);
    over = s->has_fifos && (svm_fifo_cons_rst(vcl_rx_last(s)) || (s->wr_shut && svm_fifo_cons_is_fin(vcl_rx_last(s))));
    vcl_socket_unlock(s);
    return over;
}

/* A reset is an error once; from then on reads see the end of the stream and writes a broken pipe. After the other side's FIN it is
 * EPIPE, as Linux has it in CLOSE-WAIT; when both have sent theirs, there is nothing left to reset. Negative errno or 0. A lock of the
 * socket held, or the worker's, or it has no FIFOs for good. */
int vcl_socket_take_error(struct vcl_socket *s)
{
    int error = atomic_exchange(&s->error, 0);

    if (!error && s->has_fifos && !s->is_dgram && !atomic_load(&s->reset_told) && (error = svm_fifo_line_rst(s->rx_peer)) != 0 &&
        svm_fifo_line_flags(s->rx_peer) & SVM_FIFO_FIN)
        error = s->wr_shut ? 0 : -EPIPE;
    if (error)
        atomic_store(&s->reset_told, true);
    return error;
}

int vcl_socket_fetch_error(struct vcl_socket *s)
{
    int error;

    vcl_lock_take(&s->rx_lock);
    error = vcl_socket_take_error(s);
    vcl_lock_give(&s->rx_lock);
    return error;
}

int vcl_socket_broken(struct vcl_socket *s)
{
    int error;

    pthread_mutex_lock(&s->w->lock);
    vcl_socket_fail(s, -ECONNRESET);
    error = vcl_socket_take_error(s);
    pthread_mutex_unlock(&s->w->lock);
    return error ? error : 1;
}

int vcl_take_error(struct vcl_socket *s)
{
    int error;

    vcl_worker_turn(s->w);
    error = vcl_socket_fetch_error(s);
    if (s->is_dgram)
        atomic_store(&s->reset_told, false);
    return -error;
}

/* ---- talking to the server ---- */
uint32_t vcl_socket_bind_flags(const struct vcl_socket *s)
{
    const struct vcl_config *c = vcl_config();

    return (s->opt.reuseaddr ? SVM_BIND_REUSEADDR : 0) | (s->opt.reuseport ? SVM_BIND_REUSEPORT : 0) |
           (s->opt.v6only ? SVM_BIND_V6ONLY : 0) | (vcl_sctp_is_many(s) ? SVM_BIND_SEQPACKET : 0) | (s->is_v6 ? SVM_CONN_V6 : 0) |
           (c->scope_local ? SVM_CONN_SCOPE_LOCAL : 0) | (c->scope_global ? SVM_CONN_SCOPE_GLOBAL : 0);
}

struct svm_msg vcl_socket_msg(const struct vcl_socket *s, uint8_t type)
{
    struct svm_msg m;

    memset(&m, 0, sizeof(m));
    m.type = type;
    m.flags = type == SVM_MSG_ATTR_SET || type == SVM_MSG_ATTR_GET ? 0 : (uint8_t)vcl_socket_bind_flags(s);
    m.proto = s->proto;
    m.ctx = s->ctx;
    m.handle = s->handle;
    if (type == SVM_MSG_BIND && vcl_binds_free(s))
        m.attr = SVM_BIND_FREE;
    if (type == SVM_MSG_BIND || type == SVM_MSG_CONNECT)
        m.u.conn.slot.seg_id = (uint32_t)s->rare_opt->device;
    return m;
}

int vcl_socket_post(struct vcl_socket *s, const struct svm_msg *m)
{
    return vcl_worker_post(s->w, s->server_worker, m);
}

static bool op_is_done(struct vcl_socket *s)
{
    return atomic_load_explicit(&s->op, memory_order_acquire) == VCL_OP_NONE;
}

/* op_lock held by the caller. Signals do not interrupt: the answer takes microseconds, and a half-made bind cannot be told. */
int vcl_socket_request(struct vcl_socket *s, uint8_t op, const struct svm_msg *m)
{
    return vcl_socket_request_within(s, op, m, VCL_ANSWER_NS);
}

int vcl_socket_request_within(struct vcl_socket *s, uint8_t op, const struct svm_msg *m, int64_t timeout_ns)
{
    int rc;

    pthread_mutex_lock(&s->w->lock);
    atomic_store(&s->op, op);
    rc = vcl_worker_post(s->w, s->server_worker, m);
    if (rc)
        atomic_store(&s->op, VCL_OP_NONE);
    pthread_mutex_unlock(&s->w->lock);
    return rc ? rc : vcl_socket_await(s, op, timeout_ns);
}

int vcl_socket_await(struct vcl_socket *s, uint8_t op, int64_t timeout_ns)
{
    struct vcl_deadline d = vcl_deadline_ns(timeout_ns);
    uint8_t asked = op;
    int rc = 0;

    while (!rc) {
        rc = vcl_wait_socket(s, op_is_done, &d);
        if (!rc)
            return s->op_error;
        if (rc == -EINTR)
            rc = 0;
    }
    if (rc == -EAGAIN && !atomic_compare_exchange_strong(&s->op, &asked, VCL_OP_NONE))
        return s->op_error; /* it came at the last moment */
    return rc == -EAGAIN ? -ETIMEDOUT : rc;
}

/* Tells the other side what happened to the FIFOs; after the socket lock was let go. */
void vcl_socket_event_due(struct vcl_socket *s, bool data, bool space)
{
    struct vcl_worker *w = s->w;
    struct svm_msg m;

    if (hs_likely(!data && !space))
        return;
    memset(&m, 0, sizeof(m));
    pthread_mutex_lock(&w->lock);
    if (s->has_fifos) {
        m.proto = s->proto;
        m.handle = s->handle;
        m.ctx = s->local ? s->slot : s->ctx;
        for (int i = 0; i < 2; i++) {
            if (!(i ? space : data))
                continue;
            m.type = i ? SVM_MSG_SPACE : SVM_MSG_DATA;
            m.u.value = i ? 0 : svm_fifo_prod_evt_seq(&s->tx); /* another thread may write: its event says the same */
            if (!s->local)
                vcl_worker_post(w, s->server_worker, &m);
            else if (s->pair->peer_client_id == w->client_id)
                vcl_worker_self_event(s, &m);
            else
                vcl_worker_post_pair(w, s->pair, &m);
        }
    }
    pthread_mutex_unlock(&w->lock);
}

/* Attached, and the session (if any) is of this process's life of the worker. */
int vcl_socket_adopt(struct vcl_socket *s)
{
    struct vcl_worker *w = s->w;
    int rc = vcl_worker_attach(w);

    if (hs_unlikely(rc))
        return rc;
    if (hs_unlikely(s->epoch != w->epoch)) {
        pthread_mutex_lock(&w->lock);
        s->epoch = w->epoch;
        pthread_mutex_unlock(&w->lock);
    }
    return 0;
}

/* And it is here, if another process has used it. */
int vcl_socket_enter_within(struct vcl_socket *s, int64_t timeout_ns)
{
    int rc = vcl_socket_adopt(s);

    if (hs_unlikely(!rc && s->shared))
        rc = vcl_claim(s, timeout_ns);
    return rc;
}

int vcl_socket_enter(struct vcl_socket *s) { return vcl_socket_enter_within(s, VCL_ANSWER_NS); }

int vcl_socket_enter_soon(struct vcl_socket *s)
{
    int rc = vcl_socket_adopt(s);

    if (hs_unlikely(!rc && s->shared))
        rc = vcl_claim_soon(s);
    return rc;
}

/* ---- close ---- */
static bool has_closed(struct vcl_socket *s)
{
    return atomic_load_explicit(&s->op, memory_order_acquire) == VCL_OP_NONE;
}

/* Marks the FIFOs: what was written still goes out; a close with unread bytes is an abort (RFC 9293 s3.10.4, RFC 2525 s2.17). */
static int mark_fifos_closed(struct vcl_socket *s, bool *tell_peer)
{
    int linger = s->opt.linger.l_onoff ? s->opt.linger.l_linger : -1;

    *tell_peer = false;

    vcl_socket_lock(s);
    if (s->has_fifos && s->shared && !vcl_claim_is_elsewhere(s) && !s->is_dgram && !s->sctp && linger != 0 && svm_fifo_cons_avail(&s->rx) > 0)
        linger = SVM_CLOSE_UNREAD;
    if (s->has_fifos && !vcl_claim_may_be(s)) {
        s->rd_closed_told = true;
        if (!s->is_dgram && !s->is_records && (s->sctp ? vcl_sctp_has_data(s) : svm_fifo_cons_avail(&s->rx) > 0))
            linger = 0;
        /* An abort has no FIN: the other side tells by it which of the two came first. */
        if (linger == 0 && s->local)
            svm_fifo_prod_set_rst(&s->tx, -ECONNRESET);
        else if (!s->wr_shut && !(s->local && vcl_state(s) == VCL_DEAD))
            svm_fifo_prod_set_fin(&s->tx);
        svm_fifo_cons_set_closed(vcl_rx_last(s));
        *tell_peer = s->local && !svm_fifo_prod_peer_closed(&s->tx); /* it does not hear it from the server */
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* the marks first; pairs with local_settle_begin() in the server */
    }
    if (s->has_fifos && vcl_claim_may_be(s))
        vcl_socket_set_shared(s); /* the server must hear of it soon */
    vcl_socket_unlock(s);
    return linger;
}

/* Cut-through. Worker lock held. */
static void tell_peer_closed(struct vcl_socket *s)
{
    struct svm_msg m = { .type = SVM_MSG_CLOSED, .proto = s->proto, .ctx = s->slot };

    if (!s->pair)
        return;
    if (s->pair->peer_client_id == s->w->client_id)
        vcl_worker_self_event(s, &m);
    else
        vcl_worker_post_pair(s->w, s->pair, &m);
}

void vcl_socket_tell_closed(struct vcl_socket *s)
{
    bool tell_peer;

    mark_fifos_closed(s, &tell_peer);
    if (tell_peer)
        tell_peer_closed(s);
}

static void close_session(struct vcl_socket *s)
{
    struct vcl_worker *w = s->w;
    bool tell_peer;
    int linger = mark_fifos_closed(s, &tell_peer), rc;
    struct svm_msg m;

    vcl_spin_said(&w->spin, 1);
    pthread_mutex_lock(&w->lock);
    if (tell_peer)
        tell_peer_closed(s);
    if (vcl_state(s) == VCL_LISTENING)
        vcl_accept_return_all(s);
    vcl_set_forget(s);
    m = vcl_socket_msg(s, SVM_MSG_CLOSE);
    m.u.value = linger;
    if (linger > 0 && !atomic_load(&s->nonblock) && !s->shared && !vcl_handle_is_none(s->handle))
        atomic_store(&s->op, VCL_OP_CLOSE);
    if (vcl_handle_is_none(s->handle)) { /* connecting: the answer will find a zombie */
        vcl_socket_set_state(s, VCL_ZOMBIE);
        pthread_mutex_unlock(&w->lock);
        return;
    }
    if (s->local && linger <= 0 && !s->shared) /* else the other end hears of it from the server alone */
        rc = vcl_worker_post_late(w, s->server_worker, &m, VCL_LATE_MAX);
    else
        rc = vcl_worker_post(w, s->server_worker, &m);
    if (rc) {
        vcl_socket_unnumber(s); /* no server: nothing to wait for */
        pthread_mutex_unlock(&w->lock);
        vcl_socket_free(s);
        return;
    }
    if (atomic_load(&s->op) == VCL_OP_CLOSE) {
        struct vcl_deadline d = vcl_deadline_ns(linger * 1000000000ll);

        pthread_mutex_unlock(&w->lock);
        (void)vcl_wait_socket(s, has_closed, &d); /* a signal ends it as time does, and close() says 0, as Linux's */
        pthread_mutex_lock(&w->lock);
        if (vcl_handle_is_none(s->handle)) {
            vcl_socket_unnumber(s);
            pthread_mutex_unlock(&w->lock);
            vcl_socket_free(s);
            return;
        }
    }
    vcl_socket_set_state(s, VCL_ZOMBIE);
    pthread_mutex_unlock(&w->lock);
}

/* A fork's child lets go of what it has inherited and never used. It is a holder all the same: it says so when it attaches, and
 * if it never does (exec, exit), its lifeline says it. */
static bool let_go_later(struct vcl_socket *s)
{
    struct vcl_worker *w = s->w;
    bool later;

    if (atomic_load(&w->attached)) {
        vcl_socket_adopt(s);
        return false;
    }
    if (s->opt.linger.l_onoff && vcl_socket_adopt(s) == 0) /* it may be the last one, and what it closes is reset: a lifeline does not say so */
        return false;
    pthread_mutex_lock(&w->lock);
    later = s->shared && w->fork_token && !atomic_load(&w->attached);
    if (later) {
        vcl_set_forget(s);
        s->fork_leftover = true;
    }
    pthread_mutex_unlock(&w->lock);
    return later;
}

void vcl_socket_put(struct vcl_socket *s)
{
    struct vcl_worker *w = s->w;

    if (atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
        return;
    vcl_options_look(s); /* SO_LINGER */
    if (vcl_sctp_is_many(s))
        vcl_sctp_many_close(s);
    if (!vcl_handle_is_none(s->handle) && s->epoch != w->epoch && let_go_later(s))
        return;
    if (atomic_load(&w->attached) && s->epoch == w->epoch &&
        (!vcl_handle_is_none(s->handle) || vcl_state(s) == VCL_CONNECTING)) {
        close_session(s);
        return;
    }
    pthread_mutex_lock(&w->lock);
    vcl_set_forget(s);
    vcl_socket_unnumber(s);
    pthread_mutex_unlock(&w->lock);
    vcl_socket_free(s);
}

/* ---- plain properties ---- */
void vcl_socket_set_nonblock_here(struct vcl_socket *s, bool on) { atomic_store(&s->nonblock, on); }
void vcl_socket_set_nonblock(struct vcl_socket *s, bool on)
{
    atomic_store(&s->nonblock, on);
    if (hs_unlikely(s->share != NULL))
        vcl_options_say_shared(s, VCL_OPTION_NONBLOCK);
}
bool vcl_socket_is_nonblock(struct vcl_socket *s)
{
    vcl_options_look(s);
    return atomic_load(&s->nonblock);
}
void vcl_socket_set_user(struct vcl_socket *s, void *user) { s->user = user; }
void *vcl_socket_user(const struct vcl_socket *s) { return s->user; }
uint8_t vcl_socket_proto(const struct vcl_socket *s) { return s->proto; }
bool vcl_is_listener(const struct vcl_socket *s) { return vcl_state(s) == VCL_LISTENING; }
bool vcl_is_connected(const struct vcl_socket *s) { return vcl_state(s) == VCL_CONNECTED || (s->is_dgram && s->has_rmt); }

/* A stream's are fixed once it is connected; before, and a datagram socket's, may change at this moment. */
static void copy_endpoint(struct vcl_socket *s, const bool *has, const struct ip_endpoint *from, struct ip_endpoint *out)
{
    bool is_fixed = vcl_state(s) == VCL_CONNECTED && !s->is_dgram;

    if (!is_fixed)
        pthread_mutex_lock(&s->w->lock);
    *out = *has ? *from : (struct ip_endpoint){ ip_addr_any(!s->is_v6), { 0 } };
    if (!is_fixed)
        pthread_mutex_unlock(&s->w->lock);
}

int vcl_local_endpoint(struct vcl_socket *s, struct ip_endpoint *out)
{
    copy_endpoint(s, &s->has_lcl, &s->lcl, out);
    return 0;
}

void vcl_accepted_from(struct vcl_socket *s, struct ip_endpoint *out) { *out = s->rmt; }

int vcl_peer_endpoint(struct vcl_socket *s, struct ip_endpoint *out)
{
    if (!vcl_is_connected(s) || vcl_stream_is_over(s))
        return -ENOTCONN;
    copy_endpoint(s, &s->has_rmt, &s->rmt, out);
    return 0;
}

bool vcl_socket_is_attached(const struct vcl_socket *s) { return atomic_load(&s->w->attached); }
bool vcl_socket_is_shared(const struct vcl_socket *s) { return s->shared; }
bool vcl_socket_is_v6(const struct vcl_socket *s) { return s->is_v6; }
bool vcl_socket_has_session(const struct vcl_socket *s) { return !vcl_handle_is_none(s->handle); }

/* No two sessions of one worker have an index at the same time; generations tell one from those before it. */
uint64_t vcl_socket_identity(const struct vcl_socket *s)
{
    enum { WORKER_BITS = 6, REST_BITS = 20, ABOVE_THE_KERNELS = REST_BITS + 32 };
    uint64_t rest = (uint64_t)s->handle.gen << WORKER_BITS | (s->server_worker & ((1U << WORKER_BITS) - 1));

    if (!vcl_socket_has_session(s))
        return 0;
    return UINT64_C(1) << ABOVE_THE_KERNELS | (rest & ((UINT64_C(1) << REST_BITS) - 1)) << 32 | s->handle.index;
}
