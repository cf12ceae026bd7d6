/* vppcom_io.c - native reading and writing, datagrams, zero-copy segments */
#include "vcl/vcl_internal.h"
#include "vcl/vppcom_internal.h"

int vppcom_session_read(uint32_t session, void *buf, size_t n)
{
    struct vcl_socket *s = vppcom_socket(session);
    struct iovec iov = { buf, n > INT32_MAX ? INT32_MAX : n };

    if (hs_unlikely(!s))
        return VPPCOM_EBADFD;
    return (int)vcl_recv(s, &iov, 1, 0, NULL);
}

int vppcom_session_write(uint32_t session, void *buf, size_t n)
{
    struct vcl_socket *s = vppcom_socket(session);
    struct iovec iov = { buf, n > INT32_MAX ? INT32_MAX : n };

    if (hs_unlikely(!s))
        return VPPCOM_EBADFD;
    return (int)vcl_send(s, &iov, 1, 0, NULL);
}

/* Nothing is held back between this side and the stack, so every write is pushed out at once. */
int vppcom_session_write_msg(uint32_t session, void *buf, size_t n)
{
    return vppcom_session_write(session, buf, n);
}

int vppcom_session_recvfrom(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep)
{
    struct vcl_socket *s = vppcom_socket(session);
    struct iovec iov = { buf, len > INT32_MAX ? INT32_MAX : len };
    struct vcl_msg_info info = { 0 };
    ssize_t n;

    if (!s)
        return VPPCOM_EBADFD;
    n = vcl_recv(s, &iov, 1, flags, &info);
    if (n >= 0 && ep) {
        if (info.has_peer)
            vppcom_ep_put(&info.peer, ep);
        else
            vppcom_ep_put(&s->rmt, ep);
    }
    return (int)n;
}

int vppcom_session_sendto(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep, void *app_tlv)
{
    struct vcl_socket *s = vppcom_socket(session);
    struct iovec iov = { buf, len > INT32_MAX ? INT32_MAX : len };
    struct vcl_msg_info info = { 0 };
    int rc;

    if (!s)
        return VPPCOM_EBADFD;
    if (app_tlv)
        return VPPCOM_ENOTSUP;
    if (ep && s->is_dgram) {
        rc = vppcom_ep_get(ep, &info.peer);
        if (rc)
            return rc;
        info.has_peer = true;
        if (vcl_state(s) == VCL_NEW)
            s->is_v6 = !ep->is_ip4;
        else if (!s->is_v6 && !ep->is_ip4)
            return VPPCOM_EAFNOSUPPORT;
    }
    return (int)vcl_send(s, &iov, 1, flags, ep ? &info : NULL);
}

int vppcom_session_read_segments(uint32_t session, vppcom_data_segment_t *ds, uint32_t n, uint32_t max_bytes)
{
    struct vcl_socket *s = vppcom_socket(session);
    struct iovec iov[4];
    int got, bytes = 0;

    if (!s)
        return VPPCOM_EBADFD;
    if (n == 0 || max_bytes == 0)
        return VPPCOM_EINVAL;
    got = vcl_recv_segments(s, iov, n < 4 ? (int)n : 4, hs_min_u32(max_bytes, INT32_MAX), 0);
    for (int i = 0; i < got; i++) {
        ds[i].data = iov[i].iov_base;
        ds[i].len = (uint32_t)iov[i].iov_len;
        bytes += (int)iov[i].iov_len;
    }
    return got < 0 ? got : bytes;
}

void vppcom_session_free_segments(uint32_t session, uint32_t n_bytes)
{
    struct vcl_socket *s = vppcom_socket(session);

    if (s)
        vcl_recv_release(s, n_bytes);
}

int vppcom_session_write_segments(uint32_t session, vppcom_data_segment_t *ds, uint32_t n)
{
    struct vcl_socket *s = vppcom_socket(session);
    struct iovec iov[64];

    if (!s)
        return VPPCOM_EBADFD;
    if (n > HS_ARRAY_LEN(iov))
        return VPPCOM_EINVAL;
    for (uint32_t i = 0; i < n; i++)
        iov[i] = (struct iovec){ ds[i].data, ds[i].len };
    return n ? (int)vcl_send(s, iov, (int)n, 0, NULL) : 0;
}
