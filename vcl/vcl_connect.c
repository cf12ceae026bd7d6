/* vcl_connect.c - connect of streams and datagram sockets */
#include <sys/epoll.h>
#include "vcl/vcl_sctp_internal.h"

bool vcl_ready_connect(struct vcl_socket *s)
{
    return vcl_state(s) != VCL_CONNECTING;
}

static struct svm_msg connect_msg(const struct vcl_socket *s, const struct ip_endpoint *rmt)
{
    struct svm_msg m = vcl_socket_msg(s, SVM_MSG_CONNECT);

    m.u.conn.lcl_ip = s->has_lcl ? s->lcl.ip : ip_addr_any(ip_addr_is_v4(&rmt->ip));
    m.u.conn.lcl_port = s->has_lcl ? s->lcl.port : (be16){ 0 };
    m.u.conn.rmt_ip = rmt->ip;
    m.u.conn.rmt_port = rmt->port;
    return m;
}

/* As on Linux IP_UNICAST_IF counts, and what is sent to the peer goes by that one until the next connect(); streams do not look at it. */
static int connect_dgram(struct vcl_socket *s, const struct ip_endpoint *rmt)
{
    struct vcl_msg_info to = { .peer = *rmt, .has_peer = true };
    int rc = vcl_bind_implicit(s);
    int32_t device;
    struct svm_msg m;

    if (rc)
        return rc;
    rc = vcl_socket_enter(s);
    if (rc)
        return rc;
    pthread_mutex_lock(&s->op_lock);
    m = connect_msg(s, rmt);
    device = vcl_dgram_device(s, &to);
    m.u.conn.slot.seg_id = (uint32_t)device;
    rc = vcl_socket_request(s, VCL_OP_CONNECT, &m);
    if (!rc && s->rare_opt->peer_if != device) {
        struct vcl_rare_opts *o = vcl_options_rare(s); /* there is one, or all were 0 */
        o->peer_if = device;
    }
    if (!rc) {
        pthread_mutex_lock(&s->w->lock);
        s->rmt = *rmt;
        s->has_rmt = true;
        pthread_mutex_unlock(&s->w->lock);
    }
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

int vcl_disconnect(struct vcl_socket *s)
{
    struct svm_msg m;
    int rc = 0;

    pthread_mutex_lock(&s->op_lock);
    if (s->has_rmt) {
        m = connect_msg(s, &(struct ip_endpoint){ ip_addr_any(!s->is_v6), { 0 } });
        rc = vcl_socket_request(s, VCL_OP_CONNECT, &m);
        if (!rc)
            s->has_rmt = false;
    }
    pthread_mutex_unlock(&s->op_lock);
    return rc;
}

bool vcl_is_unconnected(const struct vcl_socket *s) { return vcl_state(s) == VCL_NEW || vcl_state(s) == VCL_BOUND; }

static struct vcl_met *met_find(struct vcl_worker *w, const struct ip_endpoint *rmt)
{
    for (unsigned i = 0; i < VCL_MET; i++)
        if (w->met[i].until_ns && w->met[i].rmt.port.raw == rmt->port.raw && ip_addr_eq(&w->met[i].rmt.ip, &rmt->ip))
            return &w->met[i];
    return NULL;
}

void vcl_worker_met(struct vcl_worker *w, const struct ip_endpoint *rmt, bool is_there)
{
    struct vcl_met *m = met_find(w, rmt);

    if (!is_there) {
        if (m)
            m->until_ns = 0;
        return;
    }
    if (!m) {
        m = &w->met[0];
        for (unsigned i = 1; i < VCL_MET; i++)
            if (w->met[i].until_ns < m->until_ns)
                m = &w->met[i];
        m->rmt = *rmt;
    }
    m->until_ns = vcl_now_ns() + VCL_MET_NS;
}

bool vcl_has_met(struct vcl_socket *s, const struct ip_endpoint *rmt)
{
    struct vcl_met *m;
    bool met;

    pthread_mutex_lock(&s->w->lock);
    m = s->proto == SVM_PROTO_TCP ? met_find(s->w, rmt) : NULL;
    met = m && m->until_ns > vcl_now_ns();
    pthread_mutex_unlock(&s->w->lock);
    return met;
}

/* The end of an attempt in progress, told once. */
static int connect_result(struct vcl_socket *s)
{
    int error;

    if (vcl_state(s) == VCL_CONNECTED)
        return 0;
    error = atomic_exchange(&s->error, 0);
    return error ? error : -ECONNABORTED;
}

int vcl_wait_connected(struct vcl_socket *s)
{
    struct vcl_deadline d = vcl_deadline_ns(s->opt.snd_timeout_ns);
    int rc = vcl_wait_socket(s, vcl_ready_connect, &d);

    if (rc == -EAGAIN)
        return -EINPROGRESS; /* SO_SNDTIMEO ran out: the attempt goes on, socket(7) */
    return rc ? rc : connect_result(s);
}

/* After a failed attempt Linux lets the program try again with the same socket. */
void vcl_forget_attempt(struct vcl_socket *s)
{
    vcl_socket_fifos_drop(s);
    vcl_tcp_keys_untold(s);
    s->has_rmt = false;
    s->rd_shut = s->wr_shut = false;
    atomic_store(&s->waits_for_data, false);
    s->died_connected = s->connect_untold = false;
    atomic_store(&s->reset_told, false);
    vcl_socket_set_state(s, VCL_NEW);
}

static int start_connect(struct vcl_socket *s, const struct ip_endpoint *rmt, uint8_t how)
{
    struct vcl_worker *w = s->w;
    struct svm_msg m;
    int rc = vcl_socket_enter(s);

    if (rc)
        return rc;
    pthread_mutex_lock(&w->lock);
    rc = vcl_socket_number(s);
    if (!rc) {
        if (vcl_handle_is_none(s->handle))
            s->epoch = w->epoch;
        m = connect_msg(s, rmt);
        m.attr = how;
        if (s->sctp && s->sctp->parent) { /* a new association of that endpoint, with its options */
            m.handle = s->sctp->parent->handle;
            m.flags |= SVM_BIND_SEQPACKET;
        }
        if (vcl_is_tls(s) && s->tls)
            rc = vcl_tls_number(w, s->tls, &m.u.conn.slot.slot);
        else if (s->tcp_keys)
            rc = vcl_tcp_keys_number(s, &m.u.conn.slot.slot);
    }
    if (!rc) {
        s->rmt = *rmt;
        vcl_socket_set_state(s, VCL_CONNECTING);
        if (how)
            atomic_store(&s->op, VCL_OP_CONNECT);
        vcl_options_push_early(s);
        rc = vcl_worker_post(w, s->server_worker, &m);
        vcl_spin_said(&w->spin, 1);
        if (rc) {
            vcl_socket_set_state(s, VCL_NEW);
            atomic_store(&s->op, VCL_OP_NONE);
        }
    }
    pthread_mutex_unlock(&w->lock);
    if (rc == 0 && how) /* SVM_MSG_CONNECTING or CONNECTED, at once; what it says is in the socket's state */
        (void)vcl_socket_await(s, VCL_OP_CONNECT, VCL_ANSWER_NS);
    return rc;
}

/* connect(2): the call after the one that said EINPROGRESS tells how that ended, once. */
static int again_connected(struct vcl_socket *s)
{
    int error;

    if (!s->connect_untold)
        return -EISCONN;
    s->connect_untold = false;
    if (!vcl_stream_is_over(s))
        return 0;
    error = vcl_socket_fetch_error(s);
    return error ? error : -ECONNABORTED;
}

/* After -ECONNREFUSED and the like was told, the socket is as before the attempt (Linux does the same). */
void vcl_connect_failed(struct vcl_socket *s)
{
    pthread_mutex_lock(&s->op_lock);
    if (vcl_state(s) == VCL_DEAD && !s->died_connected) {
        pthread_mutex_lock(&s->w->lock);
        vcl_forget_attempt(s);
        pthread_mutex_unlock(&s->w->lock);
    }
    pthread_mutex_unlock(&s->op_lock);
}

static int connect_how(struct vcl_socket *s, const struct ip_endpoint *rmt, uint8_t how)
{
    int rc = 0;

    if (!s->is_v6 && !ip_addr_is_v4(&rmt->ip))
        return -EAFNOSUPPORT;
    if (s->is_dgram)
        return connect_dgram(s, rmt);
    if (vcl_sctp_is_many(s))
        return vcl_sctp_many_connect(s, rmt);
    if (vcl_sctp_has_kept(s) && !s->sctp->parent && vcl_state(s) == VCL_NEW && !s->has_lcl) { /* options need a session to be with */
        rc = vcl_bind(s, &(struct ip_endpoint){ ip_addr_any(!s->is_v6), { 0 } });
        if (rc)
            return rc;
    }
    vcl_worker_turn(s->w);
    pthread_mutex_lock(&s->op_lock);
    switch (vcl_state(s)) {
    case VCL_LISTENING:
        rc = -EISCONN;
        break;
    case VCL_CONNECTED:
        rc = again_connected(s);
        pthread_mutex_unlock(&s->op_lock);
        return rc;
    case VCL_CONNECTING:
        rc = atomic_load(&s->waits_for_data) ? -EISCONN : -EALREADY; /* the former as Linux says it */
        break;
    case VCL_DEAD:
        if (s->died_connected) { /* a stream that has ended stays what it was */
            rc = again_connected(s);
            break;
        }
        if (atomic_load(&s->error)) { /* the attempt that was in progress has failed */
            rc = connect_result(s);
            break;
        }
        pthread_mutex_lock(&s->w->lock);
        vcl_forget_attempt(s);
        pthread_mutex_unlock(&s->w->lock);
        rc = start_connect(s, rmt, how);
        break;
    default:
        rc = start_connect(s, rmt, how);
    }
    pthread_mutex_unlock(&s->op_lock);
    if (rc == 0 && atomic_load(&s->waits_for_data))
        return 0;
    if (rc == -EALREADY && !atomic_load(&s->nonblock))
        return vcl_wait_connected(s);
    if (rc)
        return rc;
    if (atomic_load(&s->nonblock)) {
        s->connect_untold = true;
        return -EINPROGRESS;
    }
    return vcl_wait_connected(s);
}

static uint8_t fastopen_how(const struct vcl_socket *s)
{
    if (s->proto != SVM_PROTO_TCP)
        return 0;
    return SVM_CONNECT_FASTOPEN | (s->rare_opt->fastopen_no_cookie ? SVM_CONNECT_NO_COOKIE : 0);
}

int vcl_connect(struct vcl_socket *s, const struct ip_endpoint *rmt)
{
    vcl_options_look(s);
    return connect_how(s, rmt, s->rare_opt->fastopen_connect ? fastopen_how(s) : 0);
}

int vcl_connect_early(struct vcl_socket *s, const struct ip_endpoint *rmt)
{
    if (vcl_state(s) == VCL_CONNECTING && atomic_load(&s->waits_for_data))
        return 0; /* connect() was called before, with TCP_FASTOPEN_CONNECT */
    return connect_how(s, rmt, fastopen_how(s));
}
