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

/* Pairs with the server's exchange when it withdraws the offer: one of the two finds the number. */
static bool take(struct vcl_worker *w, const struct svm_msg *m)
{
    uint32_t id = (uint32_t)m->u.conn.error;

    return w->page && id & SVM_OFFER_MARK &&
           __atomic_compare_exchange_n(&w->page->offer[id % SVM_OFFERS], &id, 0, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static void give_back(struct vcl_worker *w, const struct svm_msg *m, uint32_t server_worker)
{
    struct svm_msg r;

    memset(&r, 0, sizeof(r));
    r.type = SVM_MSG_RETURN;
    r.proto = m->proto;
    r.ctx = VCL_NO_CTX;
    r.handle = m->handle;
    vcl_worker_post(w, server_worker, &r);
}

/* What is not taken first may be another offer of the same connection by the time the server reads it. */
void vcl_accept_return(struct vcl_worker *w, const struct svm_msg *m, uint32_t server_worker)
{
    if (take(w, m))
        give_back(w, m, server_worker);
}

/* The socket of an offer that has been taken; NULL: the server has it back. */
static struct vcl_socket *make_socket(struct vcl_socket *l, const struct svm_msg *m, uint32_t server_worker)
{
    struct vcl_worker *w = l->w;
    struct vcl_socket *s = vcl_socket_alloc(w, l->proto, l->is_v6);
    struct svm_msg r;

    if (!s || vcl_socket_number(s) != 0)
        goto refuse;
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
    return s;

refuse:
    give_back(w, m, server_worker);
    if (s) {
        vcl_socket_unnumber(s);
        vcl_socket_free(s);
    }
    return NULL;
}

static void unqueue(struct vcl_offer *o)
{
    struct vcl_socket *l = o->listener;

    if (o->prev)
        o->prev->next = o->next;
    else
        l->acc_head = o->next;
    if (o->next)
        o->next->prev = o->prev;
    else
        l->acc_tail = o->prev;
    o->listener = NULL;
    atomic_fetch_sub(&l->n_acc, 1);
}

/* The server offers a connection. A number that stands there still is one that was withdrawn: each is used again only when it is over. */
void vcl_accept_queue(struct vcl_socket *l, const struct svm_msg *m, uint32_t server_worker)
{
    struct vcl_worker *w = l->w;
    struct vcl_offer *o;

    if (l->armed == VCL_ARM_OFF) /* it was on its way when this worker stopped accepting: for others */
        return;
    if (vcl_sctp_is_many(l)) {
        struct vcl_socket *s = take(w, m) ? make_socket(l, m, server_worker) : NULL;

        if (s) {
            vcl_sctp_many_adopt(l, s);
            vcl_set_notify(l, EPOLLIN);
        }
        return;
    }
    if (!w->offers)
        w->offers = calloc(SVM_OFFERS, sizeof(*w->offers));
    if (!w->offers) {
        vcl_accept_return(w, m, server_worker);
        return;
    }
    o = &w->offers[(uint32_t)m->u.conn.error % SVM_OFFERS];
    if (o->listener)
        unqueue(o);
    *o = (struct vcl_offer){ .listener = l, .prev = l->acc_tail, .id = (uint32_t)m->u.conn.error, .server_worker = server_worker, .m = *m };
    if (o->prev)
        o->prev->next = o;
    else
        l->acc_head = o;
    l->acc_tail = o;
    atomic_fetch_add(&l->n_acc, 1);
    vcl_set_notify(l, EPOLLIN);
}

void vcl_accept_withdrawn(struct vcl_worker *w, uint32_t id)
{
    struct vcl_offer *o = w->offers ? &w->offers[id % SVM_OFFERS] : NULL;

    if (o && o->listener && o->id == id)
        unqueue(o);
}

void vcl_accept_forget(struct vcl_socket *l)
{
    while (l->acc_head)
        unqueue(l->acc_head);
}

/* What nobody has accepted goes back, for other processes that accept; the server resets it if there is none. */
void vcl_accept_return_all(struct vcl_socket *l)
{
    while (l->acc_head) {
        struct vcl_offer *o = l->acc_head;

        unqueue(o);
        vcl_accept_return(l->w, &o->m, o->server_worker);
    }
}

void vcl_accept_waits(struct vcl_worker *w, int delta)
{
    w->n_accepting += (uint32_t)delta;
    if (w->page)
        __atomic_store_n(&w->page->accepting, w->n_accepting, __ATOMIC_RELAXED);
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
    struct vcl_socket *s = NULL;

    pthread_mutex_lock(&l->w->lock);
    while (!s && l->acc_head) {
        struct vcl_offer *o = l->acc_head;

        unqueue(o);
        if (take(l->w, &o->m))
            s = make_socket(l, &o->m, o->server_worker);
    }
    pthread_mutex_unlock(&l->w->lock);
    return s;
}

static void arm(struct vcl_socket *l, uint8_t value)
{
    pthread_mutex_lock(&l->w->lock);
    vcl_accept_arm(l, value);
    pthread_mutex_unlock(&l->w->lock);
}

/* It has begun to accept just now, and what waits in the server is on its way, at once or when there is memory for both programs; unless another
 * process gets it. */
static void await_those_that_wait(struct vcl_socket *l)
{
    enum { OFFERED_NS = 50000000 };
    struct vcl_deadline d;
    int32_t n;

    if (vcl_attr_ask(l, SVM_ATTR_WAITING, NULL, 0, &n, sizeof(n)) != 0 || n <= 0)
        return;
    d = vcl_deadline_ns(OFFERED_NS);
    (void)vcl_wait_socket(l, vcl_ready_read, &d); /* with its time over, or a signal's handler to run: there is none */
}

int vcl_accept(struct vcl_socket *l, int flags, struct vcl_socket **out)
{
    struct vcl_deadline d;
    bool begins;
    int rc;

    vcl_options_look(l);
    d = vcl_deadline_ns(l->opt.rcv_timeout_ns);
    if (l->is_dgram || vcl_sctp_is_many(l))
        return -EOPNOTSUPP;
    if (l->epoch != l->w->epoch && !l->relisten) {
        rc = vcl_socket_enter(l);
        if (rc)
            return rc;
    }
    if (vcl_state(l) != VCL_LISTENING)
        return vcl_state(l) == VCL_DEAD ? vcl_listener_error(l) : -EINVAL;
    begins = l->armed != VCL_ARM_ON;
    if (begins)
        arm(l, VCL_ARM_ON);
    for (bool has_turned = false;; has_turned = true) {
        *out = take_accepted(l);
        if (!*out && !has_turned) {
            vcl_worker_turn(l->w);
            *out = take_accepted(l);
        }
        if (*out) {
            vcl_spin_said(&l->w->spin, 1);
            break;
        }
        if (begins && atomic_load(&l->nonblock)) {
            await_those_that_wait(l);
            begins = false;
            continue;
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
