/* preload_opt.c - getsockopt, setsockopt, getsockname, getpeername
 *
 * Until it is decided who serves a socket, the kernel's answer counts and both sides are told. With BOTH it stays so for setting. */
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include "preload/preload_sctp.h"

static struct fd_file *preload_get_told(int fd)
{
    struct fd_file *f = preload_get(fd);
    if (hs_likely(!f))
        return NULL;
    if (f->kind == FD_SOCKET && preload_serve(f) != FD_KERNEL)
        return f;
    preload_put(f);
    return NULL;
}

/* While nobody serves a socket yet, the kernel takes every option that it knows. Of those that the stack does not have, most may be
 * lost (compliance page); with these a program would wait for what never comes, or be seen by whom it must not be. */
enum option_rule {
    OPTION_REFUSED,
    OPTION_KERNEL,
    OPTION_KEY,    /* both must have it: who has not would serve without signatures */
    OPTION_EITHER, /* a group, an interface: one of the two may not have it; the kernel alone does -> it serves the socket */
};
static const struct { int level, name; enum option_rule rule; } option_rules[] = {
    { SOL_SOCKET, SO_TIMESTAMPING, OPTION_REFUSED },
    { SOL_SOCKET, SO_TIMESTAMP, OPTION_REFUSED }, { SOL_SOCKET, SO_TIMESTAMPNS, OPTION_REFUSED },
    { SOL_SOCKET, SO_MARK, OPTION_KERNEL },
    { SOL_SOCKET, SO_ATTACH_FILTER, OPTION_KERNEL }, { SOL_SOCKET, SO_ATTACH_BPF, OPTION_KERNEL },
    { IPPROTO_IP, IP_ADD_MEMBERSHIP, OPTION_EITHER }, { IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, OPTION_EITHER },
    { IPPROTO_IP, MCAST_JOIN_GROUP, OPTION_EITHER }, { IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, OPTION_EITHER },
    { IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, OPTION_EITHER }, { IPPROTO_IPV6, MCAST_JOIN_GROUP, OPTION_EITHER },
    { IPPROTO_IPV6, MCAST_JOIN_SOURCE_GROUP, OPTION_EITHER },
    { IPPROTO_TCP, 38 /* TCP_AO_ADD_KEY */, OPTION_KEY }, { IPPROTO_TCP, 39 /* TCP_AO_DEL_KEY */, OPTION_KEY },
    { IPPROTO_TCP, 40 /* TCP_AO_INFO */, OPTION_KEY }, { IPPROTO_TCP, TCP_MD5SIG, OPTION_KEY }, { IPPROTO_TCP, TCP_MD5SIG_EXT, OPTION_KEY },
    { IPPROTO_IP, IP_MULTICAST_IF, OPTION_EITHER }, { IPPROTO_IPV6, IPV6_MULTICAST_IF, OPTION_EITHER },
    { IPPROTO_IP, IP_UNICAST_IF, OPTION_EITHER }, { IPPROTO_IPV6, IPV6_UNICAST_IF, OPTION_EITHER },
    { IPPROTO_IP, IP_DROP_MEMBERSHIP, OPTION_EITHER }, { IPPROTO_IP, MCAST_LEAVE_GROUP, OPTION_EITHER },
    { IPPROTO_IPV6, IPV6_DROP_MEMBERSHIP, OPTION_EITHER }, { IPPROTO_IPV6, MCAST_LEAVE_GROUP, OPTION_EITHER },
    { IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, OPTION_EITHER }, { IPPROTO_IP, IP_BLOCK_SOURCE, OPTION_EITHER },
    { IPPROTO_IP, IP_UNBLOCK_SOURCE, OPTION_EITHER }, { IPPROTO_IP, IP_MSFILTER, OPTION_EITHER },
    { IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP, OPTION_EITHER }, { IPPROTO_IPV6, MCAST_LEAVE_SOURCE_GROUP, OPTION_EITHER },
    { IPPROTO_IP, MCAST_BLOCK_SOURCE, OPTION_EITHER }, { IPPROTO_IPV6, MCAST_BLOCK_SOURCE, OPTION_EITHER },
    { IPPROTO_IP, MCAST_UNBLOCK_SOURCE, OPTION_EITHER }, { IPPROTO_IPV6, MCAST_UNBLOCK_SOURCE, OPTION_EITHER },
    { IPPROTO_IP, MCAST_MSFILTER, OPTION_EITHER }, { IPPROTO_IPV6, MCAST_MSFILTER, OPTION_EITHER },
};

static bool preload_option_has(int level, int name, enum option_rule rule)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(option_rules); i++)
        if (option_rules[i].level == level && option_rules[i].name == name)
            return option_rules[i].rule == rule;
    return false;
}

static bool is_device(int level, int name) { return level == SOL_SOCKET && (name == SO_BINDTODEVICE || name == SO_BINDTOIFINDEX); }

/* An interface of the kernel's alone: it serves the socket, also one that both have served so far. */
static void leave_to_kernel(int fd, struct fd_file *f)
{
    int flags = preload_believes_blocking(fd, f) ? libc_real()->fcntl(fd, F_GETFL) : -1;

    if (flags >= 0)
        libc_real()->fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    preload_socket_decide(fd, f, FD_KERNEL, "bound to an interface that only the kernel has");
}

/* Both sides are bound. The kernel's to an index that no interface has where the stack alone has that one: then it gets nothing. */
static int set_device(int fd, struct fd_file *f, int name, const void *val, socklen_t len)
{
    int32_t index = vcl_device(f->sock.vcl), own;
    int stack = vcl_setsockopt(f->sock.vcl, SOL_SOCKET, name, val, len);
    if (preload_serve(f) == FD_STACK || (stack < 0 && stack != -ENODEV))
        return stack;
    int r = (int)preload_kernel(libc_real()->setsockopt(fd, SOL_SOCKET, name, val, len));
    if (stack == 0 && r == -ENODEV) {
        own = vcl_device(f->sock.vcl);
        r = (int)preload_kernel(libc_real()->setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &own, sizeof(own)));
    } else if (stack < 0 && r == 0) {
        leave_to_kernel(fd, f);
    }
    if (r < 0 && stack == 0) /* as it was */
        (void)vcl_setsockopt(f->sock.vcl, SOL_SOCKET, SO_BINDTOIFINDEX, &index, sizeof(index));
    return r;
}

HS_EXPORT int hs_setsockopt(int fd, int level, int name, const void *val, socklen_t len)
{
    struct fd_file *f = preload_get_told(fd);
    if (hs_likely(!f))
        return libc_real()->setsockopt(fd, level, name, val, len);
    if (is_device(level, name)) {
        int rc = set_device(fd, f, name, val, len);
        preload_put(f);
        return (int)preload_result(rc);
    }
    int stack = vcl_setsockopt(f->sock.vcl, level, name, val, len);
    int r = stack;
    bool is_key = preload_option_has(level, name, OPTION_KEY);
    if (is_key && preload_serve(f) != FD_STACK && stack == 0) {
        r = (int)preload_kernel(libc_real()->setsockopt(fd, level, name, val, len));
        if (r < 0 && preload_serve(f) == FD_UNDECIDED) {
            f->sock.has_key_of_stack = true;
            r = 0;
        }
    } else if (preload_serve(f) != FD_STACK && !(stack < 0 && (is_key || preload_option_has(level, name, OPTION_REFUSED)))) {
        r = (int)preload_kernel(libc_real()->setsockopt(fd, level, name, val, len));
        bool is_either = preload_option_has(level, name, OPTION_EITHER);
        if (is_either && (stack == 0 || (r < 0 && stack != -ENODEV)))
            r = stack;
        else if (r == 0 && stack < 0 && preload_serve(f) == FD_UNDECIDED && (is_either || preload_option_has(level, name, OPTION_KERNEL)))
            preload_socket_decide(fd, f, FD_KERNEL, "an option that only the kernel has");
    }
    preload_put(f);
    return (int)preload_result(r);
}

/* The filter of a group, which one of the two may not have joined, then the other tells; an interface, whose name one may not have. false:
 * not that, or the kernel's alone. */
static bool get_by_stack(int fd, int level, int name, void *val, socklen_t *len, int *r)
{
    bool is_asked = is_device(level, name) || (level == IPPROTO_IP && name == IP_UNICAST_IF) ||
                     (level == IPPROTO_IPV6 && name == IPV6_UNICAST_IF) ||
                     (level == IPPROTO_IP && (name == IP_MSFILTER || name == MCAST_MSFILTER)) ||
                     (level == IPPROTO_IPV6 && name == MCAST_MSFILTER);
    struct fd_file *f = is_asked ? preload_get_told(fd) : NULL;

    if (!f)
        return false;
    *r = vcl_getsockopt(f->sock.vcl, level, name, val, len);
    if (*r < 0 && preload_serve(f) != FD_STACK) {
        int kernel = (int)preload_kernel(libc_real()->getsockopt(fd, level, name, val, len));
        *r = kernel < 0 && *r != -ENODEV ? *r : kernel;
    }
    preload_put(f);
    return true;
}

HS_EXPORT int hs_getsockopt(int fd, int level, int name, void *val, socklen_t *len)
{
    int r;
    if (get_by_stack(fd, level, name, val, len, &r))
        return (int)preload_result(r);
    struct fd_file *f = preload_get_stack(fd);
    if (hs_likely(!f))
        return libc_real()->getsockopt(fd, level, name, val, len);
    if (f->sock.proto == SVM_PROTO_SCTP && preload_sctp_peeloff(f, level, name, val, len, &r)) {
        preload_put(f);
        return (int)preload_result(r);
    }
    if (level == SOL_SOCKET && name == SO_ERROR && preload_is_both(f)) {
        int error = vcl_take_error(f->sock.vcl);
        r = (int)preload_kernel(libc_real()->getsockopt(fd, level, name, val, len));
        if (r == 0 && error && *len >= sizeof(int))
            *(int *)val = error;
    } else if (preload_is_both(f)) {
        r = (int)preload_kernel(libc_real()->getsockopt(fd, level, name, val, len));
    } else {
        if (level == SOL_SOCKET && name == SO_ACCEPTCONN)
            preload_listens(f);
        r = vcl_getsockopt(f->sock.vcl, level, name, val, len);
    }
    preload_put(f);
    return (int)preload_result(r);
}

/* ipv6(7): a link-local address is one of the interface that the socket is bound to. */
static void put_scope(const struct fd_file *f, struct sockaddr *sa, socklen_t room)
{
    struct sockaddr_in6 *a = (struct sockaddr_in6 *)(void *)sa;
    if (f->sock.is_v6 && room >= sizeof(*a) && IN6_IS_ADDR_LINKLOCAL(&a->sin6_addr))
        a->sin6_scope_id = (uint32_t)vcl_device(f->sock.vcl);
}

HS_EXPORT int hs_getsockname(int fd, struct sockaddr *sa, socklen_t *len)
{
    struct fd_file *f = preload_get_stack(fd);
    if (hs_likely(!f))
        return libc_real()->getsockname(fd, sa, len);
    struct ip_endpoint e;
    int r;
    if (!sa || !len) {
        r = -EFAULT;
    } else if ((int)*len < 0) {
        r = -EINVAL;
    } else if (preload_is_both(f)) { /* bound to the same on both sides */
        r = (int)preload_kernel(libc_real()->getsockname(fd, sa, len));
    } else if ((r = vcl_local_endpoint(f->sock.vcl, &e)) == 0) {
        socklen_t room = *len;
        preload_fill_sockaddr(&e, f->sock.is_v6, sa, len);
        put_scope(f, sa, room);
    }
    preload_put(f);
    return (int)preload_result(r);
}

HS_EXPORT int hs_getpeername(int fd, struct sockaddr *sa, socklen_t *len)
{
    struct fd_file *f = preload_get_stack(fd);
    if (hs_likely(!f))
        return libc_real()->getpeername(fd, sa, len);
    struct ip_endpoint e;
    int r = vcl_peer_endpoint(f->sock.vcl, &e);
    if (r == 0 && (!sa || !len))
        r = -EFAULT;
    else if (r == 0 && (int)*len < 0)
        r = -EINVAL;
    if (r == 0) {
        socklen_t room = *len;
        preload_fill_sockaddr(&e, f->sock.is_v6, sa, len);
        put_scope(f, sa, room);
    }
    preload_put(f);
    return (int)preload_result(r);
}
