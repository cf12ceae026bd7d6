/* vcl_dispatch.c - what each message of the server and of cut-through peers does to its socket; worker lock held */
#include <stdlib.h>
#include <sys/epoll.h>
#include "vcl/vcl_sctp_internal.h"

static void op_done(struct vcl_socket *s, uint8_t op, int error)
{
    if (atomic_load(&s->op) != op)
        return;
    s->op_error = error;
    atomic_store_explicit(&s->op, VCL_OP_NONE, memory_order_release);
    vcl_set_notify(s, 0); /* who asked waits for it */
}

static void on_bound(struct vcl_socket *s, const struct svm_msg *m)
{
    int error = m->u.conn.error;

    if (!error) {
        vcl_socket_set_handle(s, m->handle);
        s->lcl = (struct ip_endpoint){ m->u.conn.lcl_ip, m->u.conn.lcl_port };
        s->has_lcl = true;
        if (s->is_dgram && !s->has_fifos)
            error = vcl_socket_map_fifos(s, m);
    }
    if (s->relisten) { /* after a restart of the server nobody waits */
        if (error) {
            vcl_socket_fail(s, error);
        } else if (s->is_dgram) {
            s->relisten = false;
            vcl_socket_set_state(s, VCL_BOUND);
        } else {
            struct svm_msg next = vcl_socket_msg(s, SVM_MSG_LISTEN);

            next.u.value = s->backlog;
            error = vcl_is_tls(s) ? vcl_tls_number(s->w, s->tls, &next.u.conn.slot.slot)
                                  : vcl_tcp_keys_number(s, &next.u.conn.slot.slot);
            if (error)
                vcl_socket_fail(s, error);
            else
                vcl_socket_post(s, &next);
        }
        return;
    }
    if (!error && vcl_state(s) == VCL_NEW)
        vcl_socket_set_state(s, VCL_BOUND);
    vcl_options_push(s);
    op_done(s, VCL_OP_BIND, error);
    if (s->is_dgram && !error)
        vcl_set_notify(s, EPOLLOUT);
}

static void on_listening(struct vcl_socket *s, const struct svm_msg *m)
{
    int error = m->u.error;
    uint8_t arm = s->arm_wanted ? s->arm_wanted : VCL_ARM_WEAK;

    s->armed = VCL_ARM_OFF;
    if (s->relisten) {
        s->relisten = false;
        if (error)
            vcl_socket_fail(s, error);
        else
            vcl_accept_arm(s, arm);
        return;
    }
    if (!error) {
        vcl_socket_set_state(s, VCL_LISTENING);
        vcl_accept_arm(s, vcl_sctp_is_many(s) ? VCL_ARM_ON : arm);
    }
    op_done(s, VCL_OP_LISTEN, error);
}

/* The server keeps what it has of an attempt that has failed until it is told; without it the next one begins anew, at the same local
 * endpoint if the program has bound one. Refused without a session of its own, an SCTP association is named by its endpoint, which stays. */
static void end_attempt(struct vcl_socket *s, const struct svm_msg *m)
{
    const struct vcl_socket *parent = s->sctp ? s->sctp->parent : NULL;
    struct svm_msg r;

    if (!vcl_handle_is_none(m->handle) && !(parent && memcmp(&parent->handle, &m->handle, sizeof(m->handle)) == 0)) {
        if (s->has_fifos) /* Fast Open: after CLOSE the slot is the server's */
            vcl_socket_fifos_drop(s);
        vcl_socket_set_handle(s, m->handle);
        r = vcl_socket_msg(s, SVM_MSG_CLOSE);
        r.u.value = -1;
        vcl_socket_post(s, &r);
    }
    vcl_socket_set_handle(s, vcl_handle_none());
}

/* Closed by the program while the attempt was under way. */
static void on_connected_zombie(struct vcl_socket *s, const struct svm_msg *m)
{
    struct svm_msg r;

    if (m->u.conn.error) {
        end_attempt(s, m);
        vcl_socket_unnumber(s);
        vcl_socket_free(s);
        return;
    }
    vcl_socket_set_handle(s, m->handle);
    if (m->flags & SVM_CONN_LOCAL && vcl_socket_map_fifos(s, m) == 0)
        vcl_socket_tell_closed(s); /* cut-through, the FIFO is what tells the other side */
    r = vcl_socket_msg(s, SVM_MSG_CLOSE);
    r.u.value = 0; /* an abort: RFC 9293 s3.10.4, SYN-SENT. Cut-through, no FIFO of ours could tell the other end. */
    vcl_socket_post(s, &r);
}

/* CONNECTED will come; with error 0 not before the program has written, for its bytes go into the SYN. */
static void on_connecting(struct vcl_socket *s, const struct svm_msg *m)
{
    int error = m->u.conn.error;

    if (vcl_state(s) == VCL_ZOMBIE && !error)
        on_connected_zombie(s, m); /* nobody will write */
    if (vcl_state(s) != VCL_CONNECTING)
        return;
    if (!error) {
        vcl_socket_set_handle(s, m->handle);
        s->lcl = (struct ip_endpoint){ m->u.conn.lcl_ip, m->u.conn.lcl_port };
        s->has_lcl = s->has_rmt = true;
        error = vcl_socket_map_fifos(s, m);
        if (error) {
            struct svm_msg r = vcl_socket_msg(s, SVM_MSG_CLOSE);

            vcl_socket_post(s, &r);
            vcl_socket_set_handle(s, vcl_handle_none());
            vcl_socket_fail(s, error);
            return;
        }
        vcl_options_push(s);
        atomic_store(&s->waits_for_data, true);
        vcl_set_notify(s, EPOLLOUT);
    }
    op_done(s, VCL_OP_CONNECT, error);
}

static void on_connected(struct vcl_socket *s, const struct svm_msg *m)
{
    int error = m->u.conn.error;

    if (vcl_state(s) == VCL_ZOMBIE) {
        on_connected_zombie(s, m);
        return;
    }
    if (!error) {
        vcl_socket_set_handle(s, m->handle);
        s->lcl = (struct ip_endpoint){ m->u.conn.lcl_ip, m->u.conn.lcl_port };
        s->rmt = (struct ip_endpoint){ m->u.conn.rmt_ip, m->u.conn.rmt_port };
        s->has_lcl = s->has_rmt = true;
        if (!s->has_fifos)
            error = vcl_socket_map_fifos(s, m);
        if (hs_unlikely(error == VCL_UNMAPPED)) {
            vcl_space_claim(s);
            error = 0;
        }
    }
    if (s->is_dgram) {
        op_done(s, VCL_OP_CONNECT, error);
        return;
    }
    atomic_store(&s->waits_for_data, false);
    if (s->proto == SVM_PROTO_TCP && (s->local || error))
        vcl_worker_met(s->w, &s->rmt, !error);
    if (error) {
        end_attempt(s, m);
        if (s->sctp)
            vcl_sctp_failed(s);
        vcl_socket_fail(s, error);
    } else {
        vcl_options_push(s);
        if (s->sctp)
            vcl_sctp_begin(s);
        vcl_socket_set_state(s, VCL_CONNECTED);
        vcl_set_notify(s, EPOLLIN | EPOLLOUT); /* a cut-through peer may have written before we knew */
    }
    op_done(s, VCL_OP_CONNECT, error);
}

static void on_attr(struct vcl_socket *s, const struct svm_msg *m)
{
    if (atomic_load(&s->op) != VCL_OP_ATTR || s->attr_question != m->flags)
        return; /* answer to an option that was set without waiting, or one that came too late */
    s->attr_len = (uint8_t)hs_min_u32(m->u.attr_val.len, VCL_ATTR_ANSWER_MAX);
    memcpy(s->attr_bytes, m->u.attr_val.bytes, s->attr_len);
    op_done(s, VCL_OP_ATTR, m->u.attr_val.error);
}

static void on_closed(struct vcl_socket *s)
{
    vcl_socket_set_handle(s, vcl_handle_none());
    if (atomic_load(&s->op) == VCL_OP_CLOSE) {
        op_done(s, VCL_OP_CLOSE, 0);
        return;
    }
    if (vcl_state(s) == VCL_ZOMBIE) {
        vcl_socket_unnumber(s);
        vcl_socket_free(s);
        return;
    }
    vcl_socket_fail(s, -ECONNRESET); /* the server let go of it first */
}

/* Without the lock of the direction: another thread may be in the middle of a long read, and all that comes for this worker waits here. */
static void on_data(struct vcl_socket *s, uint32_t seq)
{
    bool ended = s->has_fifos && svm_fifo_line_flags(s->rx_peer) & (SVM_FIFO_FIN | SVM_FIFO_RST);

    atomic_store_explicit(&s->evt_seq, seq, memory_order_release);
    if (ended && s->sctp)
        vcl_sctp_on_data(s);
    /* A reset, and an end after ours, are told to who waits for nothing else, too. */
    vcl_set_notify(s, EPOLLIN | EPOLLRDHUP | (ended ? EPOLLHUP | EPOLLERR | EPOLLOUT : 0));
}

/* The other process has died or let go without a word: its FIFO ends where it is. */
static void on_peer_gone(struct vcl_socket *s)
{
    atomic_store_explicit(&s->peer_gone, true, memory_order_release);
    vcl_set_notify(s, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
}

/* Linux: in CLOSE-WAIT a reset is told as EPIPE. */
static void on_reset(struct vcl_socket *s, int error)
{
    bool fin = s->has_fifos && !s->is_dgram && svm_fifo_line_flags(s->rx_peer) & SVM_FIFO_FIN;

    vcl_socket_fail(s, fin && error == -ECONNRESET ? -EPIPE : error);
}

/* Nobody may be about to write to the ring: not another process, nor who has reserved a part of it. */
static void on_idle(struct vcl_socket *s)
{
    vcl_lock_take(&s->tx_lock);
    if (s->has_fifos && !s->local && !s->shared && !s->w->zero_copy)
        svm_fifo_prod_give_back(&s->tx);
    vcl_lock_give(&s->tx_lock);
}

/* Cut-through: another program has the other end now. What was closed or returned meanwhile is answered for by the server: it may have given
 * the slot to another connection already. */
static void on_moved(struct vcl_socket *s, const struct svm_msg *m)
{
    struct svm_msg answer = vcl_socket_msg(s, SVM_MSG_UNLINK);

    if (vcl_state(s) != VCL_CONNECTED)
        return;
    int rc = vcl_claim_peer_moved(s, m, &answer.u.conn.slot);

    if (rc != 0) {
        if (rc != -EALREADY)
            vcl_socket_fail(s, -ECONNRESET);
        return;
    }
    vcl_socket_post(s, &answer);
    if ((s->tx.tail || s->tx.fin) && svm_fifo_prod_event_due(&s->tx)) {
        struct svm_msg e = { .type = SVM_MSG_DATA, .proto = s->proto, .ctx = s->slot, .u.value = s->tx.evt_seq };

        if (s->pair->peer_client_id == s->w->client_id)
            vcl_worker_self_event(s, &e);
        else
            vcl_worker_post_pair(s->w, s->pair, &e);
    }
    vcl_set_notify(s, EPOLLIN | EPOLLOUT);
}

void vcl_worker_dispatch(struct vcl_worker *w, struct svm_msg *m, uint32_t server_worker)
{
    struct vcl_socket *s = vcl_socket_by_msg(w, m);

    if (!s) {
        if (m->type == SVM_MSG_ACCEPT)
            vcl_accept_return(w, m, server_worker);
        else if (m->type == SVM_MSG_CLOSED && m->ctx & SVM_OFFER_MARK)
            vcl_accept_withdrawn(w, m->ctx);
        return; /* answers to sockets that were closed meanwhile */
    }
    switch (m->type) {
    case SVM_MSG_BOUND:
        s->server_worker = server_worker;
        on_bound(s, m);
        break;
    case SVM_MSG_LISTENING:
        on_listening(s, m);
        break;
    case SVM_MSG_CONNECTED:
        s->server_worker = server_worker;
        on_connected(s, m);
        break;
    case SVM_MSG_CONNECTING:
        s->server_worker = server_worker;
        on_connecting(s, m);
        break;
    case SVM_MSG_ATTR:
        on_attr(s, m);
        break;
    case SVM_MSG_CLOSED:
        on_closed(s);
        break;
    case SVM_MSG_ACCEPT:
        if (vcl_state(s) == VCL_LISTENING)
            vcl_accept_queue(s, m, server_worker);
        else
            vcl_accept_return(w, m, server_worker);
        break;
    case SVM_MSG_RESET:
        on_reset(s, m->u.error < 0 ? m->u.error : -ECONNRESET);
        break;
    case SVM_MSG_PEER_GONE:
        on_peer_gone(s);
        break;
    case SVM_MSG_MOVED:
        on_moved(s, m);
        break;
    case SVM_MSG_CLAIMED:
        op_done(s, VCL_OP_CLAIM, vcl_claim_on_claimed(s, m));
        break;
    case SVM_MSG_TAKEN:
        vcl_claim_on_taken(s);
        break;
    case SVM_MSG_IDLE:
        on_idle(s);
        break;
    case SVM_MSG_ERROR:
        if (m->u.error)
            atomic_store(&s->error, m->u.error);
        if (s->is_dgram) {
            vcl_dgram_forget_size(s);
            vcl_errqueue_collect(s);
        }
        vcl_set_notify(s, EPOLLERR | EPOLLIN | EPOLLOUT);
        break;
    case SVM_MSG_DATA:
        on_data(s, (uint32_t)m->u.value);
        break;
    case SVM_MSG_SPACE:
        vcl_set_notify(s, EPOLLOUT);
        break;
    case SVM_MSG_URGENT:
        vcl_urgent_on_event(s);
        break;
    default:
        break;
    }
}

void vcl_worker_dispatch_pair(struct vcl_pair *p, struct svm_msg *m)
{
    struct vcl_socket *s = m->ctx < p->n_slots ? p->by_slot[m->ctx] : NULL;

    if (!s)
        return; /* not accepted yet: the first look at the FIFO shows what this tells */
    if (m->type == SVM_MSG_DATA)
        on_data(s, (uint32_t)m->u.value);
    else if (m->type == SVM_MSG_SPACE)
        vcl_set_notify(s, EPOLLOUT);
    else if (m->type == SVM_MSG_URGENT)
        vcl_urgent_on_event(s);
    else if (m->type == SVM_MSG_CLOSED)
        vcl_set_notify(s, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
}

/* A connection of a worker to itself: no queue between, the other end hears at once. */
void vcl_worker_self_event(struct vcl_socket *s, const struct svm_msg *m)
{
    struct vcl_pair *p = s->pair;
    struct vcl_socket *other = s->side ? p->by_slot[s->slot] : p->by_slot_self[s->slot];

    if (!other)
        return;
    if (m->type == SVM_MSG_DATA)
        on_data(other, (uint32_t)m->u.value);
    else if (m->type == SVM_MSG_URGENT)
        vcl_urgent_on_event(other);
    else
        vcl_set_notify(other, m->type == SVM_MSG_SPACE ? EPOLLOUT : EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLHUP);
}
