/* preload_sctp.c - SCTP sockets: making them although the kernel may have none, and the ancillary data of RFC 6458 s5.3
 *
 * The stack serves them all: a descriptor of another kind holds the number, as for accepted connections. */
#include <netinet/in.h>
#include <string.h>
#include "preload/preload_sctp.h"

bool preload_sctp_is(int domain, int type, int proto)
{
    type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    return proto == IPPROTO_SCTP && (domain == AF_INET || domain == AF_INET6) && (type == SOCK_STREAM || type == SOCK_SEQPACKET);
}

int preload_sctp_placeholder(int kernel_fd, int type)
{
    if (kernel_fd >= 0 && vcl_falls_back() && !vcl_server_is_there())
        return -1; /* a kernel that has SCTP, and nobody else who does */
    int fd = libc_real()->socket(AF_UNIX, SOCK_STREAM | (type & (SOCK_NONBLOCK | SOCK_CLOEXEC)), 0);
    if (fd < 0 || kernel_fd < 0)
        return fd;
    /* The number that the kernel gave for the program stays its number. */
    int r = libc_real()->dup3(fd, kernel_fd, type & SOCK_CLOEXEC ? O_CLOEXEC : 0);
    LIBC_UNCANCELLED(close)(fd);
    return r;
}

/* ---- RFC 6458 s9.2 ---- */

bool preload_sctp_peeloff(struct fd_file *f, int level, int name, void *val, socklen_t *len, int *r)
{
    sctp_peeloff_flags_arg_t arg = { .flags = 0 };
    size_t size = name == SCTP_SOCKOPT_PEELOFF_FLAGS ? sizeof(arg) : sizeof(arg.p_arg);
    if (level != IPPROTO_SCTP || (name != SCTP_SOCKOPT_PEELOFF && name != SCTP_SOCKOPT_PEELOFF_FLAGS))
        return false;
    *r = -EINVAL;
    if (!val || !len || *len < size)
        return true;
    memcpy(&arg, val, size);
    if (arg.flags & ~(unsigned)(SOCK_NONBLOCK | SOCK_CLOEXEC))
        return true;
    /* The number first, so that without one the association stays where it is. */
    int fd = libc_real()->socket(AF_UNIX, SOCK_STREAM | (int)arg.flags, 0);
    if (fd < 0) {
        *r = -errno;
        return true;
    }
    struct vcl_socket *vs;
    *r = vcl_sctp_peeloff(f->sock.vcl, (uint32_t)arg.p_arg.associd, &vs);
    if (*r == 0) {
        vcl_socket_set_nonblock(vs, arg.flags & SOCK_NONBLOCK);
        *r = preload_socket_track(fd, vs, f->sock.is_v6, FD_STACK);
    }
    if (*r < 0) {
        LIBC_UNCANCELLED(close)(fd);
        return true;
    }
    arg.p_arg.sd = *r = fd;
    memcpy(val, &arg, size);
    *len = (socklen_t)size;
    return true;
}

/* ---- receiving ---- */

static void preload_put_sndrcv(struct msghdr *msg, size_t *used, const struct vcl_sctp_msg *m)
{
    struct sctp_sndrcvinfo i;
    memset(&i, 0, sizeof(i));
    i.sinfo_stream = m->stream;
    i.sinfo_ssn = m->ssn;
    i.sinfo_flags = m->flags;
    i.sinfo_ppid = m->ppid;
    i.sinfo_context = m->context;
    i.sinfo_tsn = m->tsn;
    i.sinfo_cumtsn = m->cumtsn;
    i.sinfo_assoc_id = (sctp_assoc_t)m->assoc_id;
    preload_put_cmsg(msg, used, IPPROTO_SCTP, SCTP_SNDRCV, &i, sizeof(i));
}

static void preload_put_rcvinfo(struct msghdr *msg, size_t *used, const struct vcl_sctp_msg *m)
{
    struct sctp_rcvinfo i;
    memset(&i, 0, sizeof(i));
    i.rcv_sid = m->stream;
    i.rcv_ssn = m->ssn;
    i.rcv_flags = m->flags;
    i.rcv_ppid = m->ppid;
    i.rcv_context = m->context;
    i.rcv_tsn = m->tsn;
    i.rcv_cumtsn = m->cumtsn;
    i.rcv_assoc_id = (sctp_assoc_t)m->assoc_id;
    preload_put_cmsg(msg, used, IPPROTO_SCTP, SCTP_RCVINFO, &i, sizeof(i));
}

ssize_t preload_sctp_recvmsg(struct fd_file *f, struct msghdr *msg, int flags)
{
    struct vcl_sctp_msg m = { .stream = 0 };
    struct vcl_msg_info info = { .sctp = &m };
    ssize_t r = preload_recv_vector(f, msg->msg_iov, (int)msg->msg_iovlen, flags, &info);
    if (r < 0)
        return r;
    size_t used = 0;
    unsigned wants = vcl_sctp_wants(f->sock.vcl);
    msg->msg_flags = (int)info.flags | (flags & MSG_CMSG_CLOEXEC);
    if (info.has_peer)
        preload_fill_sockaddr(&info.peer, f->sock.is_v6 && !(wants & VCL_SCTP_PLAIN_V4 && ip_addr_is_v4(&info.peer.ip)), msg->msg_name,
                              &msg->msg_namelen);
    else if (msg->msg_name)
        msg->msg_namelen = 0;
    if (info.has_peer && msg->msg_control && !(info.flags & MSG_NOTIFICATION)) {
        if (m.has_next && wants & VCL_SCTP_NXTINFO)
            preload_put_cmsg(msg, &used, IPPROTO_SCTP, SCTP_NXTINFO, &m.next, sizeof(m.next));
        if (wants & VCL_SCTP_RCVINFO)
            preload_put_rcvinfo(msg, &used, &m);
        if (wants & VCL_SCTP_SNDRCV)
            preload_put_sndrcv(msg, &used, &m);
    }
    msg->msg_controllen = used;
    return r;
}

/* ---- sending ---- */

enum { SEND_FLAGS = SCTP_UNORDERED | SCTP_ADDR_OVER | SCTP_SACK_IMMEDIATELY | SCTP_SENDALL | SCTP_ABORT | SCTP_EOF };

static int preload_take_sndrcv(const struct cmsghdr *c, struct vcl_sctp_msg *m)
{
    struct sctp_sndrcvinfo i;
    if (c->cmsg_len != CMSG_LEN(sizeof(i)))
        return -EINVAL;
    memcpy(&i, CMSG_DATA(c), sizeof(i));
    if (i.sinfo_flags & ~(SEND_FLAGS | SCTP_PR_SCTP_MASK))
        return -EINVAL;
    m->has_snd = true;
    m->stream = i.sinfo_stream;
    m->flags = i.sinfo_flags & SEND_FLAGS;
    m->ppid = i.sinfo_ppid;
    m->context = i.sinfo_context;
    m->assoc_id = (uint32_t)i.sinfo_assoc_id;
    if (i.sinfo_timetolive) { /* RFC 3758 s4.1: without another policy a lifetime */
        m->has_pr = true;
        m->pr_policy = i.sinfo_flags & SCTP_PR_SCTP_MASK ? i.sinfo_flags & SCTP_PR_SCTP_MASK : SCTP_PR_SCTP_TTL;
        m->pr_value = i.sinfo_timetolive;
    }
    return 0;
}

static int preload_take_sndinfo(const struct cmsghdr *c, struct vcl_sctp_msg *m)
{
    struct sctp_sndinfo i;
    if (c->cmsg_len != CMSG_LEN(sizeof(i)))
        return -EINVAL;
    memcpy(&i, CMSG_DATA(c), sizeof(i));
    if (i.snd_flags & ~SEND_FLAGS)
        return -EINVAL;
    m->has_snd = true;
    m->stream = i.snd_sid;
    m->flags = i.snd_flags;
    m->ppid = i.snd_ppid;
    m->context = i.snd_context;
    m->assoc_id = (uint32_t)i.snd_assoc_id;
    return 0;
}

static int preload_take_prinfo(const struct cmsghdr *c, struct vcl_sctp_msg *m)
{
    struct sctp_prinfo i;
    if (c->cmsg_len != CMSG_LEN(sizeof(i)))
        return -EINVAL;
    memcpy(&i, CMSG_DATA(c), sizeof(i));
    if (i.pr_policy & ~SCTP_PR_SCTP_MASK)
        return -EINVAL;
    m->has_pr = true;
    m->pr_policy = i.pr_policy;
    m->pr_value = i.pr_policy == SCTP_PR_SCTP_NONE ? 0 : i.pr_value;
    return 0;
}

static int preload_take_authinfo(const struct cmsghdr *c, struct vcl_sctp_msg *m)
{
    struct sctp_authinfo i;
    if (c->cmsg_len != CMSG_LEN(sizeof(i)))
        return -EINVAL;
    memcpy(&i, CMSG_DATA(c), sizeof(i));
    m->has_auth = true;
    m->auth_key = i.auth_keynumber;
    return 0;
}

/* RFC 6458 s5.3.1: for the association that this message sets up. */
static int preload_take_init(struct fd_file *f, const struct cmsghdr *c)
{
    if (c->cmsg_len != CMSG_LEN(sizeof(struct sctp_initmsg)))
        return -EINVAL;
    return vcl_setsockopt(f->sock.vcl, IPPROTO_SCTP, SCTP_INITMSG, CMSG_DATA(c), sizeof(struct sctp_initmsg));
}

/* RFC 6458 s5.3.9, s5.3.10 */
static int preload_take_address(const struct cmsghdr *c, struct ip_addr *also, struct vcl_sctp_msg *m)
{
    bool v4 = c->cmsg_type == SCTP_DSTADDRV4;
    struct in6_addr a;
    if (c->cmsg_len != CMSG_LEN(v4 ? sizeof(struct in_addr) : sizeof(a)) || m->n_also == VCL_SCTP_ALSO_MAX)
        return -EINVAL;
    memcpy(&a, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0));
    if (v4) {
        be32 ip;
        memcpy(&ip, &a, sizeof(ip));
        also[m->n_also++] = ip_addr_v4(ip);
    } else {
        memcpy(also[m->n_also++].b, &a, sizeof(a));
    }
    m->also = also;
    return 0;
}

/* Other levels' are passed over, unknown ones of SCTP's refused (Linux). */
static int preload_take_cmsgs(struct fd_file *f, const struct msghdr *msg, struct ip_addr *also, struct vcl_sctp_msg *m)
{
    struct msghdr h = *msg; /* CMSG_NXTHDR wants it writable */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
        int r = 0;
        if (c->cmsg_level != IPPROTO_SCTP)
            continue;
        switch (c->cmsg_type) {
        case SCTP_INIT:
            r = preload_take_init(f, c);
            break;
        case SCTP_SNDRCV:
            r = preload_take_sndrcv(c, m);
            break;
        case SCTP_SNDINFO:
            r = preload_take_sndinfo(c, m);
            break;
        case SCTP_PRINFO:
            r = preload_take_prinfo(c, m);
            break;
        case SCTP_AUTHINFO:
            r = preload_take_authinfo(c, m);
            break;
        case SCTP_DSTADDRV4:
        case SCTP_DSTADDRV6:
            r = preload_take_address(c, also, m);
            break;
        default:
            r = -EINVAL;
        }
        if (r < 0)
            return r;
    }
    return 0;
}

ssize_t preload_sctp_sendmsg(struct fd_file *f, const struct msghdr *msg, int flags)
{
    struct vcl_sctp_msg m = { .stream = 0 };
    struct vcl_msg_info info = { .sctp = &m };
    struct ip_addr also[VCL_SCTP_ALSO_MAX];
    if (msg->msg_name && msg->msg_namelen) {
        if (ip_endpoint_from_sockaddr(msg->msg_name, msg->msg_namelen, &info.peer) < 0)
            return -EINVAL;
        if (!f->sock.is_v6 && !ip_addr_is_v4(&info.peer.ip))
            return -EINVAL;
        info.has_peer = true;
    }
    if (msg->msg_control && msg->msg_controllen) {
        int r = preload_take_cmsgs(f, msg, also, &m);
        if (r < 0)
            return r;
    }
    return preload_send_vector(f, msg->msg_iov, (int)msg->msg_iovlen, flags, &info);
}
