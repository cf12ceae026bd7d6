/* preload_msg.c - recvfrom, recvmsg, recvmmsg, sendto, sendmsg, sendmmsg: addresses and ancillary data */
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <string.h>
#include "preload/preload_msg.h"
#include "preload/preload_sctp.h"

/* ---- receiving ---- */

static ssize_t preload_recvmsg_stack(struct fd_file *f, struct msghdr *msg, int flags)
{
    if (f->sock.proto == SVM_PROTO_SCTP)
        return preload_sctp_recvmsg(f, msg, flags);
    struct vcl_msg_info info = { .flags = 0 };
    bool is_udp = f->sock.proto == SVM_PROTO_UDP;
    uint32_t of_stream = is_udp ? 0 : vcl_recv_wants(f->sock.vcl) & (VCL_WANTS_STAMP | VCL_WANTS_STAMPING | VCL_WANTS_INQ);
    ssize_t r = preload_recv_vector(f, msg->msg_iov, (int)msg->msg_iovlen, flags, is_udp || flags & MSG_OOB || of_stream ? &info : NULL);
    if (r < 0)
        return r;
    size_t used = 0;
    msg->msg_flags = ((int)info.flags & (MSG_TRUNC | MSG_OOB)) | (flags & MSG_CMSG_CLOEXEC); /* Linux tells of that one, too */
    if (is_udp && info.has_peer) {
        preload_fill_sockaddr(&info.peer, f->sock.is_v6, msg->msg_name, &msg->msg_namelen);
        preload_put_info(f, msg, &used, &info);
    } else if (msg->msg_name) {
        msg->msg_namelen = 0; /* tcp(7): a stream tells no address */
    }
    if (of_stream && info.stamp_ns)
        preload_put_stamps(msg, &used, vcl_recv_wants(f->sock.vcl), info.stamp_ns);
    if (of_stream & VCL_WANTS_INQ)
        preload_put_cmsg(msg, &used, IPPROTO_TCP, TCP_CM_INQ, &info.inq, sizeof(info.inq));
    msg->msg_controllen = used;
    return r;
}

static int64_t preload_now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* 0 = look again. Who peeks behind an offset (SO_PEEK_OFF) may find a socket readable and nothing there: then again in a moment, as of both
 * sides at once nobody tells when more has come. *since: of that, 0 at first. */
static ssize_t preload_wait_message(int fd, struct fd_file *f, int flags, int64_t *since)
{
    struct timespec moment = { .tv_nsec = 1000000 }, timeout;
    int r = preload_wait_both(fd, f, POLLIN, SO_RCVTIMEO);
    if (r == 0 && flags & MSG_PEEK && *since) {
        struct vcl_pollfd none = { .fd = -1 };
        int64_t left = preload_timeout(f, SO_RCVTIMEO, &timeout) ? timeout.tv_sec * 1000000000 + timeout.tv_nsec : INT64_MAX;
        if (preload_now_ns() - *since >= left)
            return -EAGAIN;
        r = vcl_poll_wait(&none, 1, &moment, NULL);
        r = r > 0 ? 0 : r;
    } else if (r == 0 && flags & MSG_PEEK) {
        *since = preload_now_ns();
    }
    return r == -EINTR ? preload_interrupted(f, SO_RCVTIMEO) : r;
}

static ssize_t preload_recvmsg_kernel(int fd, struct msghdr *msg, int flags)
{
    return preload_kernel(LIBC_UNCANCELLED(recvmsg)(fd, msg, flags | MSG_DONTWAIT));
}

static ssize_t preload_recvmsg_nothing(struct msghdr *msg)
{
    msg->msg_controllen = msg->msg_namelen = 0;
    return 0;
}

/* A thread may wait for answers before another one's first send decides who serves the socket: it waits for both. */
static ssize_t preload_recv_undecided(int fd, struct fd_file *f, struct msghdr *msg, int flags)
{
    /* After shutdown() a blocking call of the kernel's does not wait, and says 0. */
    bool waits = !(flags & (MSG_DONTWAIT | MSG_ERRQUEUE)) && !vcl_socket_is_nonblock(f->sock.vcl) && !f->sock.is_read_shut;
    int64_t since = 0;
    while (waits && preload_serve(f) == FD_UNDECIDED) {
        ssize_t r = preload_recvmsg_kernel(fd, msg, flags);
        if (r != -EAGAIN)
            return r;
        r = preload_wait_message(fd, f, flags, &since);
        if (r < 0)
            return r;
    }
    if (preload_serve(f) >= FD_STACK)
        return preload_recvmsg(fd, f, msg, flags);
    ssize_t r;
    PRELOAD_KERNEL_SLEEP(r, preload_cancel_drop, f, SYS_recvmsg, fd, msg, flags, 0, 0, 0);
    return r == -EINTR && vcl_held.came ? preload_interrupted(f, SO_RCVTIMEO) : r;
}

ssize_t preload_recvmsg(int fd, struct fd_file *f, struct msghdr *msg, int flags)
{
    if (msg->msg_iovlen > IOV_MAX)
        return -EMSGSIZE;
    if (hs_unlikely(msg->msg_name && msg->msg_namelen > INT_MAX))
        return -EINVAL;
    if (hs_unlikely(preload_serve(f) < FD_STACK))
        return preload_recv_undecided(fd, f, msg, flags);
    if (flags & MSG_ERRQUEUE) {
        ssize_t r = preload_recv_error(f, msg);
        return r == -EAGAIN && preload_is_both(f) ? preload_recvmsg_kernel(fd, msg, flags) : r;
    }
    if (!preload_is_both(f))
        return preload_recvmsg_stack(f, msg, flags);
    if (f->sock.proto != SVM_PROTO_UDP)
        return (flags & MSG_OOB) && !f->sock.is_listener ? -EINVAL : f->sock.is_read_shut ? preload_recvmsg_nothing(msg) : -ENOTCONN;
    for (int64_t since = 0;;) {
        ssize_t r = preload_recvmsg_stack(f, msg, flags | MSG_DONTWAIT);
        if (r == -EAGAIN)
            r = preload_recvmsg_kernel(fd, msg, flags);
        if (r != -EAGAIN || (flags & MSG_DONTWAIT) || vcl_socket_is_nonblock(f->sock.vcl))
            return r;
        if (f->sock.is_read_shut) /* no waiting for what cannot come; it is readable for ever */
            return preload_recvmsg_nothing(msg);
        r = preload_wait_message(fd, f, flags, &since);
        if (r < 0)
            return r;
    }
}

HS_EXPORT ssize_t hs_recvmsg(int fd, struct msghdr *msg, int flags)
{
    ssize_t r;
    do {
        struct fd_file *f = preload_get_receiver(fd);
        if (hs_likely(!f)) {
            r = libc_real()->recvmsg(fd, msg, flags);
            if (r >= 0 && hs_unlikely(msg->msg_controllen != 0))
                preload_rights_received(msg);
            return r;
        }
        preload_cancel_point(f);
        r = preload_recvmsg(fd, f, msg, flags);
        preload_put(f);
    } while (preload_again(r));
    return preload_result(r);
}

HS_EXPORT ssize_t hs_recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *sa, socklen_t *sa_len)
{
    ssize_t r;
    do {
        struct fd_file *f = preload_get_receiver(fd);
        if (hs_likely(!f))
            return libc_real()->recvfrom(fd, buf, len, flags, sa, sa_len);
        preload_cancel_point(f);
        struct iovec iov = { .iov_base = buf, .iov_len = hs_min_u64(len, CALL_BYTES_MAX) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_name = sa, .msg_namelen = sa && sa_len ? *sa_len : 0 };
        r = preload_recvmsg(fd, f, &msg, flags);
        if (r >= 0 && sa && !sa_len) /* what has come is taken all the same */
            r = -EFAULT;
        else if (r >= 0 && sa)
            *sa_len = msg.msg_namelen;
        preload_put(f);
    } while (preload_again(r));
    return preload_result(r);
}

HS_EXPORT ssize_t hs___recvfrom_chk(int fd, void *buf, size_t len, size_t size, int flags, struct sockaddr *sa,
                                    socklen_t *sa_len)
{
    return len > size ? libc_real()->__recvfrom_chk(fd, buf, len, size, flags, sa, sa_len)
                      : hs_recvfrom(fd, buf, len, flags, sa, sa_len);
}

/* False: nothing. */
static bool preload_time_left(const struct timespec *of, int64_t passed_ns, struct timespec *left)
{
    int64_t sec = of->tv_sec - passed_ns / 1000000000, ns = of->tv_nsec - passed_ns % 1000000000;
    if (ns < 0) {
        ns += 1000000000;
        sec--;
    }
    *left = sec < 0 ? (struct timespec){ 0, 0 } : (struct timespec){ sec, ns };
    return sec > 0 || (sec == 0 && ns > 0);
}

/* recvmmsg(2): the time-out is looked at after each message only. An error after the first message is told by the next call. */
static int preload_recvmmsg(int fd, struct fd_file *f, struct mmsghdr *vec, unsigned n, int flags, struct timespec *timeout)
{
    const struct timespec given = timeout ? *timeout : (struct timespec){ 0, 0 }, *valid = timeout;
    if (!preload_time_is_valid(&valid))
        return -EINVAL;
    int64_t begin = timeout ? preload_now_ns() : 0;
    int one_flags = flags & ~MSG_WAITFORONE;
    if (preload_serve(f) == FD_STACK && !(flags & MSG_ERRQUEUE)) { /* Linux looks for an error first, even before bytes that are there */
        int error = vcl_take_error(f->sock.vcl);
        if (error)
            return -error;
    }
    for (unsigned i = 0; i < n; i++) {
        ssize_t r = preload_recvmsg(fd, f, &vec[i].msg_hdr, one_flags);
        if (r < 0)
            return i ? (int)i : (int)r;
        vec[i].msg_len = (unsigned)r;
        if (flags & MSG_WAITFORONE)
            one_flags |= MSG_DONTWAIT;
        if (timeout && !preload_time_left(&given, preload_now_ns() - begin, timeout))
            return (int)i + 1;
    }
    return (int)n;
}

HS_EXPORT int hs_recvmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags, struct timespec *timeout)
{
    int r;
    do {
        struct fd_file *f = preload_get_receiver(fd);
        if (hs_likely(!f)) {
            r = libc_real()->recvmmsg(fd, vec, n, flags, timeout);
            for (int i = 0; i < r; i++)
                if (hs_unlikely(vec[i].msg_hdr.msg_controllen != 0))
                    preload_rights_received(&vec[i].msg_hdr);
            return r;
        }
        preload_cancel_point(f);
        r = preload_recvmmsg(fd, f, vec, n < IOV_MAX ? n : IOV_MAX, flags, timeout);
        preload_put(f);
    } while (preload_again(r));
    return (int)preload_result(r);
}
int preload_plain_recvmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags, struct timespec *timeout)
{
    return hs_recvmmsg(fd, vec, n, flags, timeout);
}

/* ---- sending ---- */

/* TTL and class of one datagram: an int (at IPPROTO_IP the TOS may be a byte). -1 leaves the socket's. False: not one of these, or no such
 * value. */
static bool preload_parse_number(const struct cmsghdr *c, struct vcl_msg_info *info)
{
    bool is_ttl = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT);
    bool is_tos = (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TOS) || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_TCLASS);
    int v = -1;
    if (c->cmsg_len == CMSG_LEN(sizeof(int)))
        memcpy(&v, CMSG_DATA(c), sizeof(v));
    else if (is_tos && c->cmsg_level == IPPROTO_IP && c->cmsg_len == CMSG_LEN(1))
        v = *CMSG_DATA(c);
    else
        return false;
    if (is_ttl && c->cmsg_level == IPPROTO_IPV6)
        v = (int16_t)v; /* as Linux keeps it */
    bool may_be_default = c->cmsg_level == IPPROTO_IPV6 && v == -1;
    if (!(is_ttl || is_tos) || (!may_be_default && (v < (is_ttl && c->cmsg_level == IPPROTO_IP) || v > 255)))
        return false;
    if (may_be_default)
        return true;
    if (is_ttl) {
        info->has_ttl = true;
        info->ttl = (uint8_t)v;
    } else {
        info->has_tos = true;
        info->tos = (uint8_t)v;
    }
    return true;
}

/* The ancillary data that a datagram may carry. Linux refuses what it does not know (EINVAL). */
static int preload_parse_cmsgs(const struct msghdr *msg, struct vcl_msg_info *info)
{
    struct msghdr m = *msg; /* CMSG_NXTHDR wants it writable */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO &&
            c->cmsg_len >= CMSG_LEN(sizeof(struct in_pktinfo))) {
            struct in_pktinfo p;
            memcpy(&p, CMSG_DATA(c), sizeof(p));
            info->lcl = ip_addr_v4((be32){ p.ipi_spec_dst.s_addr });
            info->has_lcl = !ip_addr_is_any(&info->lcl);
            info->ifindex = p.ipi_ifindex;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO &&
                   c->cmsg_len >= CMSG_LEN(sizeof(struct in6_pktinfo))) {
            struct in6_pktinfo p;
            memcpy(&p, CMSG_DATA(c), sizeof(p));
            memcpy(&info->lcl, &p.ipi6_addr, sizeof(info->lcl));
            info->has_lcl = !ip_addr_is_any(&info->lcl);
            info->ifindex = (int32_t)p.ipi6_ifindex;
        } else if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_SEGMENT && c->cmsg_len == CMSG_LEN(sizeof(info->gso_size))) {
            memcpy(&info->gso_size, CMSG_DATA(c), sizeof(info->gso_size));
            info->has_gso = true;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_DONTFRAG && c->cmsg_len == CMSG_LEN(sizeof(int))) {
            int v;
            memcpy(&v, CMSG_DATA(c), sizeof(v));
            if (v != 0 && v != 1)
                return -EINVAL;
            info->has_dontfrag = true;
            info->dontfrag = v;
        } else if (!preload_parse_number(c, info)) {
            return -EINVAL;
        }
    }
    return 0;
}

enum { CONTROL_MAX = 128 << 10 }; /* net.core.optmem_max, as Linux sets it */

/* What a stream makes of control messages (socket(7)): nothing. But they must have a shape, and of SOL_SOCKET be known. */
static int preload_stream_cmsgs(const struct msghdr *msg)
{
    const char *at = msg->msg_control;
    size_t left = at ? msg->msg_controllen : 0;
    struct cmsghdr c;
    if (left > CONTROL_MAX)
        return -ENOBUFS;
    for (size_t step = 0; left >= sizeof(c); at += step, left -= step) {
        memcpy(&c, at, sizeof(c));
        bool is_known = c.cmsg_level != SOL_SOCKET || c.cmsg_type == SCM_RIGHTS || c.cmsg_type == SCM_CREDENTIALS;
        if (c.cmsg_len < sizeof(c) || c.cmsg_len > left || !is_known)
            return -EINVAL;
        step = CMSG_ALIGN(c.cmsg_len) < left ? CMSG_ALIGN(c.cmsg_len) : left;
    }
    return 0;
}

/* tcp(7): the address is ignored; but one that the kernel could not have copied is none. */
static ssize_t preload_sendmsg_stream(struct fd_file *f, const struct msghdr *msg, int flags)
{
    int r = msg->msg_name && msg->msg_namelen > INT_MAX ? -EINVAL : hs_unlikely(msg->msg_controllen) ? preload_stream_cmsgs(msg) : 0;
    return r < 0 ? r : preload_send_vector(f, msg->msg_iov, (int)msg->msg_iovlen, flags, NULL);
}

/* Before it is known who sends it, and what of it may be known to the kernel alone. */
static int32_t preload_interface_of(const struct msghdr *msg)
{
    struct vcl_msg_info info = { .flags = 0 };
    if (msg->msg_control && msg->msg_controllen)
        (void)preload_parse_cmsgs(msg, &info);
    return info.ifindex;
}

ssize_t preload_sendmsg_kernel(int fd, struct fd_file *f, const struct msghdr *msg, int flags)
{
    ssize_t r;
    PRELOAD_KERNEL_SLEEP(r, preload_cancel_drop, f, SYS_sendmsg, fd, msg, flags & ~VCL_SEND_MORE, 0, 0, 0);
    return r == -EINTR && vcl_held.came ? preload_interrupted(f, SO_SNDTIMEO) : r;
}

/* f: any socket that is not the kernel's for good. */
ssize_t preload_sendmsg(int fd, struct fd_file *f, const struct msghdr *msg, int flags)
{
    if (msg->msg_iovlen > IOV_MAX)
        return -EMSGSIZE;
    bool is_udp = f->sock.proto == SVM_PROTO_UDP;
    if (f->sock.proto == SVM_PROTO_SCTP)
        return preload_sctp_sendmsg(f, msg, flags);
    if (hs_unlikely(flags & MSG_FASTOPEN) && f->sock.proto == SVM_PROTO_TCP && !preload_is_tls(f))
        return preload_send_early(fd, f, msg, flags);
    if (!is_udp && preload_serve(f) == FD_STACK)
        return preload_sendmsg_stream(f, msg, flags);
    if (preload_is_tls(f) && flags & MSG_FASTOPEN)
        return -EOPNOTSUPP; /* not connected yet: the kernel would do it now, in clear */
    bool to_stack = preload_serve(f) == FD_STACK;
    struct vcl_msg_info info = { .flags = 0 };
    if (is_udp && msg->msg_name) {
        if (ip_endpoint_from_sockaddr(msg->msg_name, msg->msg_namelen, &info.peer) < 0)
            return to_stack ? -EAFNOSUPPORT : preload_sendmsg_kernel(fd, f, msg, flags);
        info.has_peer = true;
        preload_route_datagram(fd, f, &info.peer, preload_serve(f) == FD_STACK ? 0 : preload_interface_of(msg), &to_stack);
    }
    if (!to_stack)
        return preload_sendmsg_kernel(fd, f, msg, flags);
    if (msg->msg_control && msg->msg_controllen) {
        int r = preload_parse_cmsgs(msg, &info);
        if (r < 0)
            return r;
    }
    return preload_send_vector(f, msg->msg_iov, (int)msg->msg_iovlen, flags, &info);
}

/* Sending may be what decides who serves a datagram socket, or one that connects by MSG_FASTOPEN, so undecided ones count here. */
static struct fd_file *preload_get_sender(int fd, int flags)
{
    struct fd_file *f = preload_get(fd);
    if (hs_likely(!f))
        return NULL;
    if (f->kind == FD_SOCKET) {
        enum fd_serve serve = preload_serve(f);
        if (serve >= FD_STACK || (serve == FD_UNDECIDED && (f->sock.proto != SVM_PROTO_TCP || flags & MSG_FASTOPEN)))
            return f;
    }
    preload_put(f);
    return NULL;
}

HS_EXPORT ssize_t hs_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    ssize_t r;
    do {
        struct fd_file *f = preload_get_sender(fd, flags);
        if (hs_likely(!f)) {
            if (msg && hs_unlikely(msg->msg_controllen != 0))
                preload_rights_sent(msg);
            return libc_real()->sendmsg(fd, msg, flags);
        }
        preload_cancel_point(f);
        r = preload_sendmsg(fd, f, msg, flags);
        preload_put(f);
    } while (preload_again(r));
    return preload_result(r);
}

HS_EXPORT ssize_t hs_sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *sa, socklen_t sa_len)
{
    ssize_t r;
    do {
        struct fd_file *f = preload_get_sender(fd, flags);
        if (hs_likely(!f))
            return libc_real()->sendto(fd, buf, len, flags, sa, sa_len);
        preload_cancel_point(f);
        struct iovec iov = { .iov_base = (void *)buf, .iov_len = hs_min_u64(len, CALL_BYTES_MAX) };
        struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_name = (void *)sa, .msg_namelen = sa ? sa_len : 0 };
        r = preload_sendmsg(fd, f, &msg, flags);
        preload_put(f);
    } while (preload_again(r));
    return preload_result(r);
}

static long preload_sendmmsg(int fd, struct fd_file *f, struct mmsghdr *vec, unsigned n, int flags)
{
    long r = 0;
    unsigned i;
    bool is_batch = f->sock.proto == SVM_PROTO_UDP && n > 1;
    for (i = 0; i < n && i < IOV_MAX; i++) {
        r = preload_sendmsg(fd, f, &vec[i].msg_hdr, is_batch ? flags | VCL_SEND_MORE : flags);
        if (r < 0)
            break;
        vec[i].msg_len = (unsigned)r;
    }
    if (is_batch)
        vcl_dgram_flush(f->sock.vcl);
    return i ? (long)i : r;
}

HS_EXPORT int hs_sendmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags)
{
    long r;
    do {
        struct fd_file *f = preload_get_sender(fd, flags);
        if (hs_likely(!f)) {
            for (unsigned i = 0; i < n && i < IOV_MAX; i++)
                if (hs_unlikely(vec[i].msg_hdr.msg_controllen != 0))
                    preload_rights_sent(&vec[i].msg_hdr);
            return libc_real()->sendmmsg(fd, vec, n, flags);
        }
        preload_cancel_point(f);
        r = preload_sendmmsg(fd, f, vec, n, flags);
        preload_put(f);
    } while (preload_again(r));
    return (int)preload_result(r);
}
int preload_plain_sendmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags) { return hs_sendmmsg(fd, vec, n, flags); }
HS_EXPORT int hs___sendmmsg(int fd, struct mmsghdr *vec, unsigned n, int flags) { return hs_sendmmsg(fd, vec, n, flags); }
