/* preload_cmsg.c - control messages of received datagrams, and the error queue (MSG_ERRQUEUE) */
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include "preload/preload_msg.h"
#include "vcl/vcl_errqueue.h"

void preload_put_cmsg(struct msghdr *msg, size_t *used, int level, int type, const void *data, size_t len)
{
    size_t room = msg->msg_control ? msg->msg_controllen - *used : 0, whole = CMSG_LEN(len);
    if (room < sizeof(struct cmsghdr)) {
        msg->msg_flags |= MSG_CTRUNC;
        return;
    }
    struct cmsghdr *c = (struct cmsghdr *)((char *)msg->msg_control + *used);
    if (room < whole) { /* Linux gives what fits of it */
        msg->msg_flags |= MSG_CTRUNC;
        whole = room;
    }
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = whole;
    memcpy(CMSG_DATA(c), data, whole - CMSG_LEN(0));
    *used += room < CMSG_SPACE(len) ? room : CMSG_SPACE(len);
}

/* ip(7) IP_PKTINFO, ipv6(7) IPV6_RECVPKTINFO: to which of our addresses the datagram was sent. */
static void preload_put_pktinfo(struct fd_file *f, struct msghdr *msg, size_t *used, uint32_t wants, const struct vcl_msg_info *from)
{
    if (f->sock.is_v6 && wants & VCL_WANTS_PKTINFO6) {
        struct in6_pktinfo info = { .ipi6_ifindex = (uint32_t)from->ifindex };
        memcpy(&info.ipi6_addr, &from->lcl, sizeof(info.ipi6_addr));
        preload_put_cmsg(msg, used, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
    if (ip_addr_is_v4(&from->lcl) && wants & VCL_WANTS_PKTINFO) {
        struct in_pktinfo info = { .ipi_ifindex = from->ifindex };
        be32 v4 = ip_addr_get_v4(&from->lcl);
        memcpy(&info.ipi_addr, &v4, sizeof(v4));
        if (from->ifindex || !from->has_peer) /* not of a datagram that came before the option was set */
            memcpy(&info.ipi_spec_dst, from->own.raw ? &from->own : &v4, sizeof(v4));
        preload_put_cmsg(msg, used, IPPROTO_IP, IP_PKTINFO, &info, sizeof(info));
    }
}

/* IP_RECVTTL, IP_RECVTOS, IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS; Linux tells of an IPv4 datagram at the level IPPROTO_IP on any socket. */
static void preload_put_header(struct msghdr *msg, size_t *used, uint32_t wants, const struct vcl_msg_info *info)
{
    int ttl = info->ttl, tclass = info->tos;
    bool v4 = ip_addr_is_v4(&info->peer.ip);
    if (v4 && info->has_ttl && wants & VCL_WANTS_TTL)
        preload_put_cmsg(msg, used, IPPROTO_IP, IP_TTL, &ttl, sizeof(ttl));
    if (v4 && wants & VCL_WANTS_TOS)
        preload_put_cmsg(msg, used, IPPROTO_IP, IP_TOS, &info->tos, sizeof(info->tos));
    if (!v4 && info->has_ttl && wants & VCL_WANTS_HOPS)
        preload_put_cmsg(msg, used, IPPROTO_IPV6, IPV6_HOPLIMIT, &ttl, sizeof(ttl));
    if (!v4 && wants & VCL_WANTS_TCLASS)
        preload_put_cmsg(msg, used, IPPROTO_IPV6, IPV6_TCLASS, &tclass, sizeof(tclass));
}

/* ip(7) IP_RECVORIGDSTADDR: where the datagram was sent to, with the port. */
static void preload_put_origdst(struct fd_file *f, struct msghdr *msg, size_t *used, uint32_t wants, const struct vcl_msg_info *info)
{
    bool v4 = ip_addr_is_v4(&info->lcl);
    struct sockaddr_storage ss;
    struct ip_endpoint e;
    if (!(wants & (v4 ? VCL_WANTS_ORIGDST : VCL_WANTS_ORIGDST6)) || vcl_local_endpoint(f->sock.vcl, &e) < 0)
        return;
    e.ip = info->lcl;
    socklen_t len = ip_endpoint_to_sockaddr(&e, !v4, &ss);
    if (!v4 && ip_addr_is_link_local(&e.ip))
        ((struct sockaddr_in6 *)(void *)&ss)->sin6_scope_id = (uint32_t)info->ifindex;
    preload_put_cmsg(msg, used, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_ORIGDSTADDR : IPV6_ORIGDSTADDR, &ss, len);
}

/* socket(7) SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING. What came before the option was set has no time of its own: Linux takes the
 * present one. The structs of the old and the new numbers are the same where long has 64 bits. */
void preload_put_stamps(struct msghdr *msg, size_t *used, uint32_t wants, int64_t ns)
{
    bool is_new = wants & VCL_WANTS_STAMP_NEW;
    struct timespec ts = { .tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000 };
    if (ns == 0 && wants & VCL_WANTS_STAMP)
        clock_gettime(CLOCK_REALTIME, &ts);
    struct timeval tv = { .tv_sec = ts.tv_sec, .tv_usec = ts.tv_nsec / 1000 };
    struct scm_timestamping all = { .ts = { ts } };
    static_assert(sizeof(tv) == 16 && sizeof(ts) == 16, "long has 64 bits");
    if (wants & VCL_WANTS_STAMP_NS)
        preload_put_cmsg(msg, used, SOL_SOCKET, is_new ? SO_TIMESTAMPNS_NEW : SO_TIMESTAMPNS, &ts, sizeof(ts));
    else if (wants & VCL_WANTS_STAMP)
        preload_put_cmsg(msg, used, SOL_SOCKET, is_new ? SO_TIMESTAMP_NEW : SO_TIMESTAMP, &tv, sizeof(tv));
    if (wants & VCL_WANTS_STAMPING && ts.tv_sec)
        preload_put_cmsg(msg, used, SOL_SOCKET, is_new ? SO_TIMESTAMPING_NEW : SO_TIMESTAMPING, &all, sizeof(all));
}

void preload_put_info(struct fd_file *f, struct msghdr *msg, size_t *used, const struct vcl_msg_info *info)
{
    uint32_t wants = vcl_recv_wants(f->sock.vcl);
    if (!wants)
        return;
    if (wants & (VCL_WANTS_STAMP | VCL_WANTS_STAMPING))
        preload_put_stamps(msg, used, wants, info->stamp_ns);
    if (wants & VCL_WANTS_DROPS && info->drops)
        preload_put_cmsg(msg, used, SOL_SOCKET, SO_RXQ_OVFL, &info->drops, sizeof(info->drops));
    if (wants & VCL_WANTS_GRO && info->has_gso) { /* udp(7) UDP_GRO */
        int size = info->gso_size;
        preload_put_cmsg(msg, used, IPPROTO_UDP, UDP_GRO, &size, sizeof(size));
    }
    if (info->has_lcl)
        preload_put_pktinfo(f, msg, used, wants, info);
    preload_put_header(msg, used, wants, info);
    if (info->has_lcl && info->has_peer) /* a datagram's, not an error's */
        preload_put_origdst(f, msg, used, wants, info);
}

/* ---- errors ---- */

/* ip(7) IP_RECVERR: sock_extended_err, then the address of who sent the message. */
static void preload_put_error(struct fd_file *f, struct msghdr *msg, size_t *used, const struct vcl_error *e)
{
    struct { struct sock_extended_err ee; struct sockaddr_in6 from; } v;
    struct ip_endpoint from = { .ip = e->offender };
    socklen_t len = f->sock.is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in), room = len;

    memset(&v, 0, sizeof(v));
    v.ee = e->ee;
    if (!ip_addr_is_any(&e->offender))
        preload_fill_sockaddr(&from, f->sock.is_v6, (struct sockaddr *)&v.from, &room);
    preload_put_cmsg(msg, used, f->sock.is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, f->sock.is_v6 ? IPV6_RECVERR : IP_RECVERR, &v,
                     sizeof(v.ee) + len);
}

ssize_t preload_recv_error(struct fd_file *f, struct msghdr *msg)
{
    struct vcl_error e;
    size_t used = 0;
    ssize_t r = vcl_recv_error(f->sock.vcl, msg->msg_iov, (int)msg->msg_iovlen, &e);

    if (r < 0)
        return r;
    msg->msg_flags = MSG_ERRQUEUE | ((uint32_t)r < e.len ? MSG_TRUNC : 0);
    if (msg->msg_name && e.has_peer)
        preload_fill_sockaddr(&e.peer, f->sock.is_v6, msg->msg_name, &msg->msg_namelen);
    else
        msg->msg_namelen = 0;
    if (msg->msg_control) {
        struct vcl_msg_info info = { .peer = e.peer, .lcl = e.lcl, .has_lcl = true, .ttl = e.ttl, .has_ttl = e.has_ttl, .tos = e.tos,
                                     .stamp_ns = e.stamp_ns };
        if (!ip_addr_is_any(&e.offender)) /* of the message's packet */
            preload_put_info(f, msg, &used, &info);
        else
            preload_put_stamps(msg, &used, vcl_recv_wants(f->sock.vcl), e.stamp_ns);
        preload_put_error(f, msg, &used, &e);
    }
    msg->msg_controllen = used;
    return r;
}
