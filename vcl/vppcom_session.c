/* vppcom_session.c - native sessions: create, bind, listen, accept, connect, close, and what they are */
#include <fcntl.h>
#include <stdlib.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"
#include "vcl/vppcom_internal.h"

int vppcom_ep_get(const vppcom_endpt_t *ep, struct ip_endpoint *out)
{
    if (!ep || !ep->ip)
        return VPPCOM_EFAULT;
    if (ep->is_ip4) {
        be32 v4;

        memcpy(&v4, ep->ip, sizeof(v4));
        out->ip = ip_addr_v4(v4);
    } else {
        memcpy(&out->ip, ep->ip, sizeof(out->ip));
    }
    out->port.raw = ep->port;
    return 0;
}

void vppcom_ep_put(const struct ip_endpoint *e, vppcom_endpt_t *ep)
{
    ep->is_ip4 = ip_addr_is_v4(&e->ip);
    ep->port = e->port.raw;
    if (!ep->ip)
        return;
    if (ep->is_ip4) {
        be32 v4 = ip_addr_get_v4(&e->ip);

        memcpy(ep->ip, &v4, sizeof(v4));
    } else {
        memcpy(ep->ip, &e->ip, sizeof(e->ip));
    }
}

/* A session has no family of its own until its first endpoint says which. */
static void set_family(struct vcl_socket *s, const struct ip_endpoint *e)
{
    if (vcl_state(s) == VCL_NEW && !s->has_lcl)
        s->is_v6 = !ip_addr_is_v4(&e->ip);
}

int vppcom_session_create(uint8_t proto, uint8_t is_nonblocking)
{
    struct vppcom_entry *e;
    struct vcl_socket *s;
    int rc;

    if (proto > VPPCOM_PROTO_SCTP || proto == VPPCOM_PROTO_NONE)
        return VPPCOM_EINVAL;
    if (proto != VPPCOM_PROTO_TCP && proto != VPPCOM_PROTO_UDP && proto != VPPCOM_PROTO_TLS &&
        proto != VPPCOM_PROTO_DTLS && proto != VPPCOM_PROTO_SCTP)
        return VPPCOM_ENOTSUP;
    rc = vcl_socket_new(proto, false, &s);
    if (rc)
        return rc;
    rc = vppcom_entry_new(&e);
    if (rc) {
        vcl_socket_put(s);
        return rc;
    }
    vcl_socket_set_nonblock(s, is_nonblocking);
    e->s = s;
    return (int)vppcom_entry_handle(e);
}

static int close_entry(struct vppcom_entry *e)
{
    struct vppcom_entry *l = vppcom_entry_get(e->listener);

    if (l)
        __atomic_fetch_sub(&l->n_accepted, 1, __ATOMIC_RELAXED);
    if (e->set) {
        vcl_set_put(e->set);
        vcl_fd_close(&e->epfd);
    }
    if (e->s)
        vcl_socket_put(e->s);
    vppcom_entry_free(e);
    return VPPCOM_OK;
}

int vppcom_session_close(uint32_t session)
{
    struct vppcom_entry *e = vppcom_entry_get(session);

    return e ? close_entry(e) : VPPCOM_EBADFD;
}

int vppcom_session_terminate(uint32_t session)
{
    struct vppcom_entry *e = vppcom_entry_get(session);

    if (!e || !e->s)
        return VPPCOM_EBADFD;
    e->s->opt.linger = (struct linger){ .l_onoff = 1, .l_linger = 0 };
    return close_entry(e);
}

int vppcom_session_shutdown(uint32_t session, int how)
{
    struct vcl_socket *s = vppcom_socket(session);

    return s ? vcl_shutdown(s, how) : VPPCOM_EBADFD;
}

int vppcom_session_bind(uint32_t session, vppcom_endpt_t *ep)
{
    struct vcl_socket *s = vppcom_socket(session);
    struct ip_endpoint e;
    int rc;

    if (!s)
        return VPPCOM_EBADFD;
    rc = vppcom_ep_get(ep, &e);
    if (rc)
        return rc;
    set_family(s, &e);
    return vcl_bind(s, &e);
}

int vppcom_session_listen(uint32_t session, uint32_t q_len)
{
    struct vcl_socket *s = vppcom_socket(session);

    if (!s)
        return VPPCOM_EBADFD;
    if (s->is_dgram) /* bound, it receives */
        return vcl_state(s) == VCL_BOUND ? VPPCOM_OK : VPPCOM_EINVAL;
    return vcl_listen(s, q_len > INT32_MAX ? INT32_MAX : (int)q_len);
}

int vppcom_session_accept(uint32_t listener, vppcom_endpt_t *client_ep, uint32_t flags)
{
    struct vppcom_entry *le = vppcom_entry_get(listener), *e;
    struct vcl_socket *s;
    int rc;

    if (!le || !le->s)
        return VPPCOM_EBADFD;
    rc = vcl_accept(le->s, 0, &s);
    if (rc)
        return rc;
    rc = vppcom_entry_new(&e);
    if (rc) {
        vcl_socket_put(s);
        return rc;
    }
    vcl_socket_set_nonblock(s, flags & O_NONBLOCK);
    e->s = s;
    e->listener = listener;
    __atomic_fetch_add(&le->n_accepted, 1, __ATOMIC_RELAXED);
    if (client_ep) {
        vppcom_ep_put(&s->rmt, client_ep);
        client_ep->is_cut_thru = s->local;
    }
    return (int)vppcom_entry_handle(e);
}

int vppcom_session_connect(uint32_t session, vppcom_endpt_t *server_ep)
{
    struct vcl_socket *s = vppcom_socket(session);
    struct ip_endpoint e;
    int rc;

    if (!s)
        return VPPCOM_EBADFD;
    rc = vppcom_ep_get(server_ep, &e);
    if (rc)
        return rc;
    set_family(s, &e);
    rc = vcl_connect(s, &e);
    if (!rc)
        server_ep->is_cut_thru = s->local;
    return rc;
}

int vppcom_session_stream_connect(uint32_t session, uint32_t parent)
{
    if (!vppcom_socket(session) || !vppcom_socket(parent))
        return VPPCOM_EBADFD;
    return VPPCOM_ENOTSUP; /* no transport here has several streams in a connection */
}

/* ---- what it is ---- */
int vppcom_session_index(vcl_session_handle_t session) { return session & VPPCOM_INDEX_MASK; }
int vppcom_session_worker(vcl_session_handle_t session) { return (int)(session >> VPPCOM_INDEX_BITS); }

int vppcom_session_is_stream(uint32_t session)
{
    return vppcom_socket(session) ? 0 : VPPCOM_EBADFD;
}

int vppcom_session_is_connectable_listener(uint32_t session)
{
    return vppcom_socket(session) ? 0 : VPPCOM_EBADFD;
}

int vppcom_session_listener(uint32_t session)
{
    struct vppcom_entry *e = vppcom_entry_get(session);

    return e && vppcom_entry_get(e->listener) ? (int)e->listener : VPPCOM_EBADFD;
}

int vppcom_session_n_accepted(uint32_t listener)
{
    struct vppcom_entry *e = vppcom_entry_get(listener);

    return e && e->s ? (int)__atomic_load_n(&e->n_accepted, __ATOMIC_RELAXED) : VPPCOM_EBADFD;
}

int vppcom_session_get_error(uint32_t session)
{
    struct vcl_socket *s = vppcom_socket(session);

    return s ? -vcl_take_error(s) : VPPCOM_EBADFD;
}
