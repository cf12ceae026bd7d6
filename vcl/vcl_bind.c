/* vcl_bind.c - local endpoints: bind, listen, and who serves an address */
#include <sys/epoll.h>
#include "vcl/vcl_internal.h"

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
    if (vcl_state(s) != VCL_NEW || s->has_lcl)
        rc = -EINVAL;
    else if (!s->is_v6 && !ip_addr_is_v4(&lcl->ip))
        rc = -EAFNOSUPPORT;
    else
        rc = bind_locked(s, lcl);
    pthread_mutex_unlock(&s->op_lock);
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
    else if (!s->has_fifos && s->is_dgram)
        rc = -ENETDOWN;
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

int vcl_listen(struct vcl_socket *s, int backlog)
{
    struct ip_endpoint any = { ip_addr_any(!s->is_v6), { 0 } };
    struct svm_msg m;
    int rc = 0;

    if (s->is_dgram)
        return -EOPNOTSUPP;
    pthread_mutex_lock(&s->op_lock);
    if (vcl_state(s) == VCL_NEW)
        rc = bind_locked(s, &any);
    else if (vcl_state(s) != VCL_BOUND && vcl_state(s) != VCL_LISTENING)
        rc = -EINVAL;
    if (!rc)
        rc = vcl_socket_enter(s);
    if (!rc) {
        s->backlog = backlog < 0 ? 65535 : backlog;
        m = vcl_socket_msg(s, SVM_MSG_LISTEN);
        m.u.value = s->backlog;
        rc = vcl_socket_request(s, VCL_OP_LISTEN, &m);
    }
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

/* ---- who serves an address (DESIGN section 5) ---- */
static int by_rule(uint8_t proto, const struct ip_endpoint *e, bool is_remote)
{
    const struct vcl_config *c = vcl_config();
    uint16_t port = be16_get(e->port);

    for (unsigned i = 0; i < c->n_rules; i++) {
        const struct vcl_rule *r = &c->rules[i];

        if (r->is_remote != is_remote || (r->proto != SVM_PROTO_NONE && r->proto != proto))
            continue;
        if (port < r->port_lo || port > r->port_hi)
            continue;
        if (r->any_prefix || ip_prefix_contains(&r->prefix, &e->ip))
            return r->serve;
    }
    return -1;
}

/* The server's answer; without one, the stack (which says ENETDOWN) or the kernel, as `fallback` says. */
static bool who(const struct ip_addr *ip, uint32_t *answer, enum vcl_serve *serve)
{
    struct vcl_worker *w = vcl_worker_current();

    if (w && vcl_worker_who(w, ip, answer) == 0)
        return true;
    *serve = vcl_config()->fallback_kernel ? VCL_SERVE_KERNEL : VCL_SERVE_STACK;
    return false;
}

enum vcl_serve vcl_who_serves_bind(uint8_t proto, const struct ip_endpoint *lcl)
{
    int rule = by_rule(proto, lcl, false);
    enum vcl_serve serve;
    uint32_t answer;

    if (rule >= 0)
        return (enum vcl_serve)rule;
    if (!who(&lcl->ip, &answer, &serve))
        return serve;
    if (ip_addr_is_any(&lcl->ip) || ip_addr_is_loopback(&lcl->ip))
        return VCL_SERVE_BOTH;
    return answer & SVM_WHO_INTERFACE ? VCL_SERVE_STACK : VCL_SERVE_KERNEL;
}

enum vcl_serve vcl_who_serves_connect(uint8_t proto, const struct ip_endpoint *rmt)
{
    int rule = by_rule(proto, rmt, true);
    enum vcl_serve serve;
    uint32_t answer;

    if (rule >= 0)
        return (enum vcl_serve)rule;
    if (!who(&rmt->ip, &answer, &serve))
        return serve;
    if (ip_addr_is_any(&rmt->ip) || ip_addr_is_loopback(&rmt->ip))
        return VCL_SERVE_BOTH; /* a listener of the stack in scope, else the kernel */
    return answer & (SVM_WHO_INTERFACE | SVM_WHO_ROUTED) ? VCL_SERVE_STACK : VCL_SERVE_KERNEL;
}
