/* vppcom_sctp.c - native SCTP: what stands beside each message (RFC 6458 s5.3), and options by number */
#include <netinet/in.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sctp.h"
#include "vcl/vppcom_internal.h"

static_assert((int)VPPCOM_SCTP_UNORDERED == (int)SCTP_UNORDERED && (int)VPPCOM_SCTP_ADDR_OVER == (int)SCTP_ADDR_OVER &&
              (int)VPPCOM_SCTP_SACK_IMMEDIATELY == (int)SCTP_SACK_IMMEDIATELY, "flags are those of the socket calls");
enum { SEND_FLAGS = VPPCOM_SCTP_UNORDERED | VPPCOM_SCTP_ADDR_OVER | VPPCOM_SCTP_SACK_IMMEDIATELY };

static struct vcl_socket *sctp_socket(uint32_t session, int *rc)
{
    struct vcl_socket *s = vppcom_socket(session);

    *rc = !s ? VPPCOM_EBADFD : s->proto != SVM_PROTO_SCTP ? VPPCOM_ENOTSUP : VPPCOM_OK;
    return *rc ? NULL : s;
}

int vppcom_session_send_sctp(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep, const vppcom_sctp_msg_t *msg)
{
    struct iovec iov = { buf, len > INT32_MAX ? INT32_MAX : len };
    struct vcl_sctp_msg m = { .stream = 0 };
    struct vcl_msg_info info = { .sctp = &m };
    int rc;
    struct vcl_socket *s = sctp_socket(session, &rc);

    if (!s)
        return rc;
    if (msg) {
        if (msg->flags & ~SEND_FLAGS || msg->pr_policy & ~SCTP_PR_SCTP_MASK)
            return VPPCOM_EINVAL;
        m = (struct vcl_sctp_msg){ .stream = msg->stream, .flags = msg->flags, .ppid = msg->ppid, .context = msg->context, .has_snd = true,
                                   .has_pr = msg->pr_policy != 0, .pr_policy = msg->pr_policy, .pr_value = msg->pr_value };
    }
    if (ep) {
        rc = vppcom_ep_get(ep, &info.peer);
        if (rc)
            return rc;
        info.has_peer = true;
    }
    return (int)vcl_send(s, &iov, 1, flags, &info);
}

int vppcom_session_recv_sctp(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep, vppcom_sctp_msg_t *msg)
{
    struct iovec iov = { buf, len > INT32_MAX ? INT32_MAX : len };
    struct vcl_sctp_msg m = { .stream = 0 };
    struct vcl_msg_info info = { .sctp = &m };
    int rc;
    struct vcl_socket *s = sctp_socket(session, &rc);

    if (!s)
        return rc;
    rc = (int)vcl_recv(s, &iov, 1, flags, &info);
    if (rc >= 0 && ep)
        vppcom_ep_put(info.has_peer ? &info.peer : &s->rmt, ep);
    if (rc >= 0 && msg)
        *msg = (vppcom_sctp_msg_t){ .stream = m.stream, .flags = m.flags, .ppid = m.ppid, .context = m.context, .assoc_id = m.assoc_id,
                                    .tsn = m.tsn, .ssn = m.ssn, .is_whole = (info.flags & MSG_EOR) != 0,
                                    .is_notification = (info.flags & MSG_NOTIFICATION) != 0 };
    return rc;
}

int vppcom_session_sctp_option(uint32_t session, int is_set, int name, void *val, uint32_t *len)
{
    int rc;
    struct vcl_socket *s = sctp_socket(session, &rc);
    socklen_t n;

    if (!s)
        return rc;
    if (!val || !len)
        return VPPCOM_EINVAL;
    if (is_set)
        return vcl_setsockopt(s, IPPROTO_SCTP, name, val, *len);
    n = *len;
    rc = vcl_getsockopt(s, IPPROTO_SCTP, name, val, &n);
    if (!rc)
        *len = n;
    return rc;
}
