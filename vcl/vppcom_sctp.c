/* vppcom_sctp.c - native SCTP: what stands beside each message (RFC 6458 s5.3), and options by number */
#include <netinet/in.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sctp.h"
#include "vcl/vppcom_internal.h"

static_assert((int)VPPCOM_SCTP_UNORDERED == (int)SCTP_UNORDERED && (int)VPPCOM_SCTP_ADDR_OVER == (int)SCTP_ADDR_OVER &&
              (int)VPPCOM_SCTP_SACK_IMMEDIATELY == (int)SCTP_SACK_IMMEDIATELY, "flags are those of the socket calls");
enum { SEND_FLAGS = VPPCOM_SCTP_UNORDERED | VPPCOM_SCTP_ADDR_OVER | VPPCOM_SCTP_SACK_IMMEDIATELY };

/* One message, and what stands beside it. */
struct sctp_call {
    struct iovec iov;
    struct vcl_sctp_msg m;
    struct vcl_msg_info info;
    struct vcl_socket *s;
};

static struct vcl_socket *sctp_socket(uint32_t session, int *rc)
{
    struct vcl_socket *s = vppcom_socket(session);

    *rc = !s ? VPPCOM_EBADFD : s->proto != SVM_PROTO_SCTP ? VPPCOM_ENOTSUP : VPPCOM_OK;
    return *rc ? NULL : s;
}

static int sctp_call(struct sctp_call *c, uint32_t session, void *buf, uint32_t len)
{
    int rc;

    *c = (struct sctp_call){ .iov = { buf, len > INT32_MAX ? INT32_MAX : len } };
    c->info.sctp = &c->m;
    c->s = sctp_socket(session, &rc);
    return rc;
}

int vppcom_session_send_sctp(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep, const vppcom_sctp_msg_t *msg)
{
    struct sctp_call c;
    int rc = sctp_call(&c, session, buf, len);

    if (rc)
        return rc;
    if (msg) {
        if (msg->flags & ~SEND_FLAGS || msg->pr_policy & ~SCTP_PR_SCTP_MASK)
            return VPPCOM_EINVAL;
        c.m = (struct vcl_sctp_msg){ .stream = msg->stream, .flags = msg->flags, .ppid = msg->ppid, .context = msg->context, .has_snd = true,
                                     .has_pr = msg->pr_policy != 0, .pr_policy = msg->pr_policy, .pr_value = msg->pr_value };
    }
    if (ep) {
        rc = vppcom_ep_get(ep, &c.info.peer);
        if (rc)
            return rc;
        c.info.has_peer = true;
    }
    return (int)vcl_send(c.s, &c.iov, 1, flags, &c.info);
}

int vppcom_session_recv_sctp(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep, vppcom_sctp_msg_t *msg)
{
    struct sctp_call c;
    int rc = sctp_call(&c, session, buf, len);

    if (rc)
        return rc;
    rc = (int)vcl_recv(c.s, &c.iov, 1, flags, &c.info);
    if (rc >= 0 && ep)
        vppcom_ep_put(c.info.has_peer ? &c.info.peer : &c.s->rmt, ep);
    if (rc >= 0 && msg)
        *msg = (vppcom_sctp_msg_t){ .stream = c.m.stream, .flags = c.m.flags, .ppid = c.m.ppid, .context = c.m.context,
                                    .assoc_id = c.m.assoc_id, .tsn = c.m.tsn, .ssn = c.m.ssn, .is_whole = (c.info.flags & MSG_EOR) != 0,
                                    .is_notification = (c.info.flags & MSG_NOTIFICATION) != 0 };
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
