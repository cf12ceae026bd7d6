/* vcl_bind.c - local endpoints: bind, listen */
#include <sys/epoll.h>
#include "vcl/vcl_sctp_internal.h"

static int bind_locked(struct vcl_socket *s, const struct ip_endpoint *lcl)
{
    struct svm_msg m;
    int rc = vcl_socket_enter(s);

    if (rc)
        return rc;
    pthread_mutex_lock(&s->w->lock);
    rc = vcl_socket_number(s);
    s->epoch = s->w->epoch;
    pthread_mutex_unlock(&s->w->lock);
    if (rc)
        return rc;
    m = vcl_socket_msg(s, SVM_MSG_BIND);
    m.u.conn.lcl_ip = lcl->ip;
    m.u.conn.lcl_port = lcl->port;
    return vcl_socket_request(s, VCL_OP_BIND, &m);
}

int vcl_bind(struct vcl_socket *s, const struct ip_endpoint *lcl)
{
    int rc;

    pthread_mutex_lock(&s->op_lock);
    if (vcl_state(s) == VCL_DEAD && !s->died_connected) {
        pthread_mutex_lock(&s->w->lock);
        vcl_forget_attempt(s);
        pthread_mutex_unlock(&s->w->lock);
    }
    if (vcl_state(s) != VCL_NEW || s->has_lcl)
        rc = -EINVAL;
    else if (!s->is_v6 && !ip_addr_is_v4(&lcl->ip))
        rc = -EAFNOSUPPORT;
    else
        rc = bind_locked(s, lcl);
    /* Linux: who binds to one IPv6 address is bound to IPv6 alone, and IPV6_V6ONLY says so. */
    if (!rc && s->is_v6 && !ip_addr_is_v4(&lcl->ip) && !ip_addr_is_any(&lcl->ip))
        s->opt.v6only = true;
    pthread_mutex_unlock(&s->op_lock);
    if (rc == 0 && s->sctp)
        vcl_sctp_push(s);
    return rc;
}

/* A datagram socket that sends, receives or connects before bind gets a port of the stack's choice. */
int vcl_bind_implicit(struct vcl_socket *s)
{
    struct ip_endpoint any = { ip_addr_any(!s->is_v6), { 0 } };
    int rc = 0;

    pthread_mutex_lock(&s->op_lock);
    if (vcl_state(s) == VCL_NEW)
        rc = bind_locked(s, &any);
    else if (!s->has_fifos && s->is_dgram && !s->unclaimed)
        rc = -ENETDOWN;
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

/* shutdown(2) of a listener on Linux: it listens no more, who waits in accept gets EINVAL, and listen() may begin again at the same
 * address. */
void vcl_unlisten(struct vcl_socket *s)
{
    struct vcl_worker *w = s->w;
    struct svm_msg m;

    pthread_mutex_lock(&w->lock);
    vcl_accept_return_all(s);
    m = vcl_socket_msg(s, SVM_MSG_CLOSE);
    m.u.value = -1;
    if (!vcl_handle_is_none(s->handle))
        vcl_socket_post(s, &m);
    vcl_socket_unnumber(s); /* the answer finds nobody */
    vcl_tcp_keys_untold(s);
    vcl_socket_set_handle(s, vcl_handle_none());
    s->relisten = false;
    s->armed = s->arm_wanted = VCL_ARM_OFF;
    vcl_socket_set_state(s, VCL_NEW);
    vcl_set_notify(s, EPOLLIN | EPOLLOUT | EPOLLHUP);
    pthread_mutex_unlock(&w->lock);
}

int vcl_listen(struct vcl_socket *s, int backlog)
{
    struct ip_endpoint any = { ip_addr_any(!s->is_v6), { 0 } };
    struct svm_msg m;
    int rc = 0;

    if (s->is_dgram)
        return -EOPNOTSUPP;
    if (s->sctp && vcl_state(s) == VCL_NEW && !s->has_lcl) {
        rc = vcl_bind(s, &any);
        if (rc)
            return rc;
    }
    pthread_mutex_lock(&s->op_lock);
    if (vcl_state(s) == VCL_NEW)
        rc = bind_locked(s, s->has_lcl ? &s->lcl : &any);
    else if (vcl_state(s) != VCL_BOUND && vcl_state(s) != VCL_LISTENING)
        rc = -EINVAL;
    if (!rc)
        rc = vcl_socket_enter(s);
    if (!rc) {
        s->backlog = backlog < 0 ? 65535 : backlog;
        m = vcl_socket_msg(s, SVM_MSG_LISTEN);
        m.u.value = s->backlog;
        if (vcl_is_tls(s) || s->tcp_keys) {
            pthread_mutex_lock(&s->w->lock);
            rc = vcl_is_tls(s) ? vcl_tls_number(s->w, s->tls, &m.u.conn.slot.slot)
                               : vcl_tcp_keys_number(s, &m.u.conn.slot.slot);
            pthread_mutex_unlock(&s->w->lock);
        }
        if (!rc)
            rc = vcl_socket_request(s, VCL_OP_LISTEN, &m);
    }
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

bool vcl_listens(struct vcl_socket *s)
{
    if (vcl_state(s) == VCL_BOUND && s->shared && !s->is_dgram && !s->sctp)
        (void)vcl_claim_look(s);
    return vcl_state(s) == VCL_LISTENING;
}
