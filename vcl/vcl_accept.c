/* vcl_accept.c - listeners: whom the server gives connections to, and the queue of those not yet accepted */
#include <stdlib.h>
#include <sys/epoll.h>
#include "vcl/vcl_sctp_internal.h"

/* Tells the server whether this worker accepts from the listener. */
void vcl_accept_arm(struct vcl_socket *l, uint8_t arm)
{
    struct svm_msg m;

    l->arm_wanted = arm;
    if (l->relisten && arm == VCL_ARM_ON)
        vcl_socket_relisten(l);
    if (l->armed == arm || vcl_state(l) != VCL_LISTENING || vcl_handle_is_none(l->handle))
        return;
    l->armed = arm;
    m = vcl_socket_msg(l, SVM_MSG_ARM);
    m.u.value = arm;
    vcl_socket_post(l, &m);
}

void vcl_accept_return(struct vcl_worker *w, const struct svm_msg *m, uint32_t server_worker)
{
    struct svm_msg r;

    memset(&r, 0, sizeof(r));
    r.type = SVM_MSG_RETURN;
    r.proto = m->proto;
    r.ctx = VCL_NO_CTX;
    r.handle = m->handle;
    vcl_worker_post(w, server_worker, &r);
}

/* The server offers a connection: it is named at once, and queued. */
void vcl_accept_queue(struct vcl_socket *l, const struct svm_msg *m, uint32_t server_worker)
{
    struct vcl_worker *w = l->w;
    struct vcl_socket *s = NULL;
    struct svm_msg r;

    if (l->armed == VCL_ARM_OFF) /* it was on its way when this worker stopped accepting: for others */
        goto refuse;
    s = vcl_socket_alloc(w, l->proto, l->is_v6);
    if (!s || vcl_socket_number(s) != 0)
        goto refuse;
    s->listener = l;
    s->server_worker = server_worker;
    vcl_socket_set_handle(s, m->handle);
    s->lcl = (struct ip_endpoint){ m->u.conn.lcl_ip, m->u.conn.lcl_port };
    s->rmt = (struct ip_endpoint){ m->u.conn.rmt_ip, m->u.conn.rmt_port };
    s->has_lcl = s->has_rmt = true;
    if (vcl_options_inherit(s, l) != 0 || vcl_socket_map_fifos(s, m) < 0)
        goto refuse;
    if (l->tcp_keys)
        vcl_tcp_keys_inherit(s, l);
    if (s->sctp) {
        vcl_sctp_inherit(s, l);
        s->sctp->is_carried = m->attr & SVM_CLAIM_CARRIED;
        vcl_sctp_begin(s);
    }
    vcl_socket_set_state(s, VCL_CONNECTED);
    r = vcl_socket_msg(s, SVM_MSG_ACCEPTED);
    if (s->local && l->backlog > VCL_LATE_MAX / 4) /* nobody waits for it, but the backlog counts it */
        vcl_worker_post_late(w, server_worker, &r, hs_min_u32((uint32_t)l->backlog / 4, VCL_LATE_MAX));
    else
        vcl_worker_post(w, server_worker, &r);
    if (hs_unlikely(s->unmapped))
        vcl_space_claim(s);
    if (vcl_sctp_is_many(l)) {
        s->listener = NULL;
        vcl_sctp_many_adopt(l, s);
        vcl_set_notify(l, EPOLLIN);
        return;
    }
    s->acc_next = NULL;
    if (l->acc_tail)
        l->acc_tail->acc_next = s;
    else
        l->acc_head = s;
    l->acc_tail = s;
    atomic_fetch_add(&l->n_acc, 1);
    vcl_set_notify(l, EPOLLIN);
    return;

refuse:
    vcl_accept_return(w, m, server_worker);
    if (s) {
        vcl_socket_unnumber(s);
        vcl_socket_free(s);
    }
}

void vcl_accept_unqueue(struct vcl_socket *l, struct vcl_socket *s)
{
    struct vcl_socket *before = NULL;

    for (struct vcl_socket *c = l->acc_head; c; before = c, c = c->acc_next) {
        if (c != s)
            continue;
        if (before)
            before->acc_next = c->acc_next;
        else
            l->acc_head = c->acc_next;
        if (l->acc_tail == c)
            l->acc_tail = before;
        atomic_fetch_sub(&l->n_acc, 1);
        s->listener = NULL;
        return;
    }
}

/* What nobody has accepted goes back, for other processes that accept; the server resets it if there is none. */
void vcl_accept_return_all(struct vcl_socket *l)
{
    while (l->acc_head) {
        struct vcl_socket *s = l->acc_head;
        struct svm_msg m = vcl_socket_msg(s, SVM_MSG_RETURN);

        vcl_accept_unqueue(l, s);
        vcl_socket_set_state(s, VCL_ZOMBIE); /* until CLOSED */
        if (vcl_socket_post(s, &m) != 0) {
            vcl_socket_unnumber(s);
            vcl_socket_free(s);
        }
    }
}

/* A program may take a listener out of its set and put it back at once (nginx does so every 16 connections, to let the other
 * workers have their share): what it has not accepted goes to others only if it then waits without the listener. */
void vcl_accept_stop(struct vcl_socket *l)
{
    if (l->is_stopping || vcl_sctp_is_many(l))
        return;
    l->is_stopping = true;
    l->stop_next = l->w->stopping;
    l->w->stopping = l;
}

void vcl_accept_settle(struct vcl_worker *w)
{
    while (w->stopping) {
        struct vcl_socket *l = w->stopping;

        w->stopping = l->stop_next;
        l->is_stopping = false;
        if (l->n_in_subs || vcl_state(l) != VCL_LISTENING)
            continue;
        vcl_accept_return_all(l);
        vcl_accept_arm(l, l->shared ? VCL_ARM_OFF : VCL_ARM_WEAK);
    }
}

void vcl_accept_unstop(struct vcl_socket *l)
{
    for (struct vcl_socket **at = &l->w->stopping; l->is_stopping && *at; at = &(*at)->stop_next) {
        if (*at != l)
            continue;
        *at = l->stop_next;
        l->is_stopping = false;
        return;
    }
}

static struct vcl_socket *take_accepted(struct vcl_socket *l)
{
    struct vcl_socket *s;

    pthread_mutex_lock(&l->w->lock);
    s = l->acc_head;
    if (s)
        vcl_accept_unqueue(l, s);
    pthread_mutex_unlock(&l->w->lock);
    return s;
}

static void arm(struct vcl_socket *l, uint8_t value)
{
    pthread_mutex_lock(&l->w->lock);
    vcl_accept_arm(l, value);
    pthread_mutex_unlock(&l->w->lock);
}

int vcl_accept(struct vcl_socket *l, int flags, struct vcl_socket **out)
{
    struct vcl_deadline d = vcl_deadline_ns(l->opt.rcv_timeout_ns);
    int rc;

    if (l->is_dgram || vcl_sctp_is_many(l))
        return -EOPNOTSUPP;
    if (l->epoch != l->w->epoch && !l->relisten) {
        rc = vcl_socket_enter(l);
        if (rc)
            return rc;
    }
    if (vcl_state(l) != VCL_LISTENING)
        return vcl_state(l) == VCL_DEAD ? vcl_listener_error(l) : -EINVAL;
    if (l->armed != VCL_ARM_ON)
        arm(l, VCL_ARM_ON);
    if (!atomic_load_explicit(&l->n_acc, memory_order_acquire))
        vcl_worker_turn(l->w);
    for (;;) {
        *out = take_accepted(l);
        if (*out) {
            vcl_spin_said(&l->w->spin, 1);
            break;
        }
        if (flags & MSG_DONTWAIT || atomic_load(&l->nonblock))
            return -EAGAIN;
        rc = vcl_wait_socket(l, vcl_ready_read, &d);
        if (rc)
            break;
        if (vcl_state(l) != VCL_LISTENING)
            return vcl_listener_error(l);
    }
    /* Several processes hold the listener and this one only ever blocks in accept: while it works, others shall accept. */
    if (l->shared && !l->n_in_subs && !atomic_load(&l->nonblock)) {
        pthread_mutex_lock(&l->w->lock);
        if (!l->waiters) { /* another thread */
            vcl_accept_return_all(l);
            vcl_accept_arm(l, VCL_ARM_OFF);
        }
        pthread_mutex_unlock(&l->w->lock);
    }
    return *out ? 0 : rc;
}

int vcl_listener_error(struct vcl_socket *l)
{
    int error = atomic_exchange(&l->error, 0);

    return error ? error : -EINVAL;
}
