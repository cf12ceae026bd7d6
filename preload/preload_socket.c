/* preload_socket.c - socket, bind, listen, accept, connect, shutdown: who serves a socket is decided here (DESIGN section 5)
 *
 *   socket()                          UNDECIDED: a kernel INET socket, and a vcl socket that is nowhere yet
 *   bind/connect/sendto an address    of the kernel only -> KERNEL, of the stack -> STACK, wildcard or loopback -> BOTH
 *   connect on BOTH or to loopback    the stack if it has a listener there, else KERNEL
 *   transparent TLS                   streams -> STACK, whatever the address (preload_tls.c)
 *   accept from the stack's queue     STACK, a copy of an idle socket holds the number; from the kernel's: a plain kernel descriptor
 */
#include <limits.h>
#include <netinet/in.h>
#include <string.h>
#include "preload/preload_sctp.h"

/* A sockaddr_in6 without sin6_scope_id, as old programs have it. */
enum { SIN6_LEN_RFC2133 = 24 };

static int preload_proto(int domain, int type, int proto)
{
    if (domain != AF_INET && domain != AF_INET6)
        return -1;
    if (type == SOCK_STREAM && (proto == 0 || proto == IPPROTO_TCP))
        return SVM_PROTO_TCP;
    if (type == SOCK_DGRAM && (proto == 0 || proto == IPPROTO_UDP))
        return SVM_PROTO_UDP;
    return -1;
}

static int preload_track(int fd, struct vcl_socket *vs, bool is_v6, enum fd_serve serve, bool is_copy)
{
    struct fd_file *f = fd_file_new(&preload.fds, FD_SOCKET);
    if (!f) {
        vcl_socket_put(vs);
        return -ENOMEM;
    }
    f->first_fd = fd;
    f->sock.vcl = vs;
    f->sock.is_v6 = is_v6;
    f->sock.proto = vcl_socket_proto(vs);
    f->sock.is_accepted = serve == FD_STACK && vcl_is_connected(vs);
    f->sock.is_copy = is_copy;
    atomic_store_explicit(&f->sock.serve, serve, memory_order_release);
    int r = fd_table_install(&preload.fds, fd, f);
    if (r < 0)
        preload_drop(f); /* its release puts vs */
    else if (hs_unlikely(fd <= STDERR_FILENO))
        preload_stdio_take(fd);
    return r;
}

int preload_socket_track(int fd, struct vcl_socket *vs, bool is_v6, enum fd_serve serve)
{
    return preload_track(fd, vs, is_v6, serve, false);
}
struct fd_file *preload_socket_adopt(int fd, struct vcl_socket *vs, enum fd_serve serve)
{
    return preload_socket_track(fd, vs, vcl_socket_is_v6(vs), serve) < 0 ? NULL : preload_get(fd);
}

static int preload_socket_sctp(int kernel_fd, int domain, int type)
{
    int error = errno;
    struct vcl_socket *vs;
    PRELOAD_GUARD;
    if (!preload_init() || vcl_socket_new(SVM_PROTO_SCTP, domain == AF_INET6, &vs) < 0) {
        errno = error;
        return kernel_fd;
    }
    bool is_many = (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_SEQPACKET;
    int fd = is_many && vcl_sctp_make_many(vs) < 0 ? -1 : preload_sctp_placeholder(kernel_fd, type);
    if (fd < 0) {
        vcl_socket_put(vs);
        return kernel_fd;
    }
    vcl_socket_set_nonblock(vs, type & SOCK_NONBLOCK);
    int r = preload_socket_track(fd, vs, domain == AF_INET6, FD_STACK);
    if (r < 0) {
        LIBC_UNCANCELLED(close)(fd);
        return (int)preload_result(r);
    }
    return fd;
}

HS_EXPORT int hs_socket(int domain, int type, int proto)
{
    int fd = libc_real()->socket(domain, type, proto);
    if (hs_unlikely(preload_sctp_is(domain, type, proto)))
        return preload_socket_sctp(fd, domain, type);
    int p = fd < 0 ? -1 : preload_proto(domain, type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC), proto);
    if (p < 0)
        return fd;
    PRELOAD_GUARD;
    bool usable = preload_init(), tls = preload.tls.on && p == SVM_PROTO_TCP;
    struct vcl_socket *vs;
    int r = -EINVAL;
    if (usable)
        r = vcl_socket_new(tls ? SVM_PROTO_TLS : (uint8_t)p, domain == AF_INET6, &vs);
    if (r == 0) {
        vcl_socket_set_nonblock(vs, type & SOCK_NONBLOCK);
        r = preload_socket_track(fd, vs, domain == AF_INET6, FD_UNDECIDED);
    }
    if (r == 0 || !tls)
        return fd; /* out of memory, or the configuration is wrong: the kernel alone serves it */
    LIBC_UNCANCELLED(close)(fd); /* it would speak in clear */
    return (int)preload_result(r == -ENOMEM ? -ENOBUFS : r);
}

void preload_socket_release(struct fd_file *f)
{
    if (preload.report)
        preload_report_socket(f);
    preload_watch_free(f);
    if (f->sock.vcl)
        vcl_socket_put(f->sock.vcl);
}

/* The caller holds a reference of f beside the number's. */
void preload_socket_decide(int fd, struct fd_file *f, enum fd_serve serve, const char *why)
{
    f->sock.why = why;
    atomic_store_explicit(&f->sock.serve, serve, memory_order_release);
    if (serve >= FD_STACK) {
        preload_epoll_socket_decided(fd, f, serve == FD_BOTH);
        if (hs_unlikely(preload_async_is_used(f)))
            preload_async_decided(fd, f);
        return;
    }
    /* The kernel's own from now on; other numbers (dup) find FD_KERNEL. The report wants to know it to the end. */
    if (preload.report)
        return;
    struct fd_file *entry = fd_table_take(&preload.fds, fd);
    if (entry)
        preload_drop(entry);
}

/* The socket that a call on undecided or shared sockets works on: a reference, or NULL for libc. */
static struct fd_file *preload_get_socket(int fd)
{
    struct fd_file *f = preload_get(fd);
    if (hs_likely(!f))
        return NULL;
    if (f->kind == FD_SOCKET && preload_serve(f) != FD_KERNEL)
        return f;
    preload_put(f);
    return NULL;
}

/* What the report says: the rule of vcl.conf that has decided, else the usual reason. */
static const char *preload_why(const struct fd_file *f, const struct ip_endpoint *e, bool is_remote, const char *usual)
{
    const char *rule = preload_is_stack_only(f) ? NULL : vcl_who_by_rule(f->sock.proto, e, is_remote);
    return rule ? rule : usual;
}

/* ---- bind ---- */

static uint16_t preload_kernel_port(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct ip_endpoint e;
    if (libc_real()->getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
        ip_endpoint_from_sockaddr((struct sockaddr *)&ss, len, &e) < 0)
        return 0;
    return be16_get(e.port);
}

/* A port that the kernel has free at this address: asked with a socket of our own, because neither side of the program's socket can
 * be bound a second time if the other side refuses the port. */
static int preload_free_port(const struct fd_file *f, bool is_free, const struct sockaddr *sa, socklen_t len, uint16_t *port)
{
    int type = f->sock.proto == SVM_PROTO_UDP ? SOCK_DGRAM : SOCK_STREAM, on = 1;
    int t = libc_real()->socket(f->sock.is_v6 ? AF_INET6 : AF_INET, type | SOCK_CLOEXEC, 0);
    if (t < 0)
        return -errno;
    if (is_free) /* of IPv6 sockets, too */
        libc_real()->setsockopt(t, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on));
    int r = libc_real()->bind(t, sa, len) < 0 ? -errno : 0;
    *port = r < 0 ? 0 : preload_kernel_port(t);
    LIBC_UNCANCELLED(close)(t);
    return r;
}

/* Bound by who may bind before it is there: the kernel does not have it, and nor does the stack. Then both wait for it. */
static bool preload_is_nobodys(const struct fd_file *f, const struct sockaddr *sa, socklen_t len, const struct ip_endpoint *e)
{
    struct sockaddr_storage any_port = { 0 };
    uint16_t port;
    if (!vcl_binds_free(f->sock.vcl) || vcl_who_by_rule(f->sock.proto, e, false) || len > sizeof(any_port))
        return false;
    memcpy(&any_port, sa, len);
    ((struct sockaddr_in *)(void *)&any_port)->sin_port = 0; /* sin6_port is at the same place */
    return preload_free_port(f, false, (struct sockaddr *)&any_port, len, &port) == -EADDRNOTAVAIL;
}

/* Bound to such an address, and nobody has it yet: with IP_TRANSPARENT what it sends goes from there. That the answers come back is for the
 * routing rules of the kernel. */
static bool preload_speaks_for_other(const struct fd_file *f)
{
    struct ip_endpoint lcl;
    return hs_unlikely(vcl_is_transparent(f->sock.vcl)) && vcl_local_endpoint(f->sock.vcl, &lcl) == 0 &&
           vcl_who_serves_bind(f->sock.proto, &lcl) == VCL_SERVE_KERNEL;
}

static int preload_bind_both_fixed(int fd, struct fd_file *f, const struct sockaddr *sa, socklen_t len,
                                   const struct ip_endpoint *e)
{
    long r = preload_kernel(libc_real()->bind(fd, sa, len));
    return r < 0 ? (int)r : vcl_bind(f->sock.vcl, e);
}

/* Port 0 becomes the same number on both sides. */
static int preload_bind_both_any(int fd, struct fd_file *f, const struct sockaddr *sa, socklen_t len,
                                 struct ip_endpoint *e)
{
    enum { TRIES = 64 };
    for (int i = 0; i < TRIES; i++) {
        uint16_t port = 0;
        int r = preload_free_port(f, vcl_binds_free(f->sock.vcl), sa, len, &port);
        if (r < 0)
            return r;
        e->port = be16_of(port);
        r = vcl_bind(f->sock.vcl, e);
        if (r == -EADDRINUSE)
            continue;
        if (r < 0)
            return r;
        struct sockaddr_storage ss;
        socklen_t ss_len = ip_endpoint_to_sockaddr(e, f->sock.is_v6, &ss);
        return (int)preload_kernel(libc_real()->bind(fd, (struct sockaddr *)&ss, ss_len));
    }
    return -EADDRINUSE;
}

static const char *preload_no_server(void)
{
    return vcl_lacks_space() ? "no address space for the server's memory" : "no server";
}

static int preload_bind_both(int fd, struct fd_file *f, const struct sockaddr *sa, socklen_t len, struct ip_endpoint *e)
{
    bool is_udp = f->sock.proto == SVM_PROTO_UDP;
    if (!vcl_server_is_there()) {
        /* A UDP socket with a port of its own is a server as a TCP listener is; anything else may be about to talk to addresses that
         * only the kernel has, and need not know. TCP decides at listen() or connect(). */
        if (is_udp && e->port.raw && !vcl_falls_back())
            return vcl_attach(); /* says it, once */
        int r = (int)preload_kernel(libc_real()->bind(fd, sa, len));
        if (r == 0 && is_udp)
            preload_socket_decide(fd, f, FD_KERNEL, preload_no_server());
        else if (r == 0)
            f->sock.needs_stack = true;
        return r;
    }
    int r = e->port.raw ? preload_bind_both_fixed(fd, f, sa, len, e) : preload_bind_both_any(fd, f, sa, len, e);
    if (r == 0)
        preload_socket_decide(fd, f, FD_BOTH, preload_why(f, e, false, NULL));
    return r;
}

static int preload_bind(int fd, struct fd_file *f, const struct sockaddr *sa, socklen_t len)
{
    struct ip_endpoint e;
    /* What is no address of the family is the kernel's to refuse. */
    if (!sa || sa->sa_family != (f->sock.is_v6 ? AF_INET6 : AF_INET) || ip_endpoint_from_sockaddr(sa, len, &e) < 0)
        return f->sock.proto == SVM_PROTO_SCTP ? -EINVAL : (int)preload_kernel(libc_real()->bind(fd, sa, len));
    if (f->sock.proto == SVM_PROTO_SCTP)
        return vcl_bind(f->sock.vcl, &e);
    if (preload_serve(f) != FD_UNDECIDED || f->sock.needs_stack)
        return -EINVAL; /* bound already */
    int r = f->sock.is_v6 ? vcl_device_scope(f->sock.vcl, sa, len, true) : 0;
    if (r < 0 && r != -ENODEV)
        return r;
    enum vcl_serve serve = r ? VCL_SERVE_KERNEL : preload_is_stack_only(f) ? VCL_SERVE_STACK : vcl_who_serves_bind(f->sock.proto, &e);
    if (r == 0 && serve == VCL_SERVE_KERNEL && preload_is_nobodys(f, sa, len, &e))
        serve = VCL_SERVE_BOTH;
    switch (serve) {
    case VCL_SERVE_KERNEL:
        r = (int)preload_kernel(libc_real()->bind(fd, sa, len));
        if (r == 0)
            preload_socket_decide(fd, f, FD_KERNEL, preload_why(f, &e, false, "bound to an address of the kernel"));
        /* An address that the kernel does not have either is the stack's, when there is one. */
        if (r == -EADDRNOTAVAIL && !vcl_server_is_there() && !vcl_falls_back())
            r = vcl_attach() < 0 ? -ENETDOWN : r;
        return r;
    case VCL_SERVE_STACK:
        r = vcl_bind(f->sock.vcl, &e);
        if (r == 0)
            preload_socket_decide(fd, f, FD_STACK, preload_why(f, &e, false, NULL));
        return r;
    default:
        return preload_bind_both(fd, f, sa, len, &e);
    }
}

HS_EXPORT int hs_bind(int fd, const struct sockaddr *sa, socklen_t len)
{
    struct fd_file *f = preload_get_socket(fd);
    if (hs_likely(!f))
        return libc_real()->bind(fd, sa, len);
    int r = preload_bind(fd, f, sa, len);
    preload_put(f);
    return (int)preload_result(r);
}

/* ---- listen, accept ---- */

static int preload_listen_no_server(int fd, struct fd_file *f, int backlog)
{
    if (!vcl_falls_back())
        return vcl_attach() < 0 ? -ENETDOWN : -EAGAIN; /* says why, once */
    int r = (int)preload_kernel(libc_real()->listen(fd, backlog));
    if (r == 0)
        preload_socket_decide(fd, f, FD_KERNEL, vcl_lacks_space() ? preload_no_server() : "no server, fallback kernel");
    return r;
}

/* There was no server when the kernel's side was bound. If there is one now, the stack's side is bound to the same. */
static int preload_bind_late(int fd, struct fd_file *f)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct ip_endpoint e;
    if (!vcl_server_is_there())
        return -ENETDOWN;
    if (libc_real()->getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
        ip_endpoint_from_sockaddr((struct sockaddr *)&ss, len, &e) < 0)
        return -EINVAL;
    int r = vcl_bind(f->sock.vcl, &e);
    if (r == 0) {
        f->sock.needs_stack = false;
        preload_socket_decide(fd, f, FD_BOTH, NULL);
    }
    return r;
}

/* accept() must never sleep in the kernel's side alone, so that side is non-blocking for good; what the program set is kept. flags: as they
 * were before. */
static void preload_listener_unblock(int fd, struct fd_file *f, int flags, bool was_blocking)
{
    if (was_blocking && vcl_socket_is_nonblock(f->sock.vcl))
        vcl_socket_set_nonblock(f->sock.vcl, false);
    if (flags >= 0 && !(flags & O_NONBLOCK))
        libc_real()->fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int preload_listen(int fd, struct fd_file *f, int backlog)
{
    int r;
    if (f->sock.proto == SVM_PROTO_UDP)
        return -EOPNOTSUPP;
    if (f->sock.needs_stack && preload_bind_late(fd, f) < 0)
        return preload_listen_no_server(fd, f, backlog);
    if (preload_serve(f) == FD_UNDECIDED) { /* listen() without bind(): any address, any port */
        struct sockaddr_storage any = { .ss_family = f->sock.is_v6 ? AF_INET6 : AF_INET };
        socklen_t len = f->sock.is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
        r = preload_bind(fd, f, (struct sockaddr *)&any, len);
        if (r == -EINVAL && libc_real()->listen(fd, backlog) == 0) { /* an attempt to connect has left the kernel's side bound */
            preload_socket_decide(fd, f, FD_KERNEL, "a connect that failed had bound it");
            return 0;
        }
        if (r < 0)
            return r;
        if (f->sock.needs_stack)
            return preload_listen_no_server(fd, f, backlog);
    }
    r = preload_tls_listen(f);
    if (r < 0)
        return r;
    enum fd_serve serve = preload_serve(f);
    if (serve != FD_STACK) {
        int flags = libc_real()->fcntl(fd, F_GETFL); /* first: another holder may be about to listen, and unblocks it after it has */
        bool was_blocking = flags >= 0 && (!(flags & O_NONBLOCK) || preload_believes_blocking(fd, f));
        r = (int)preload_kernel(libc_real()->listen(fd, backlog));
        if (r < 0 || serve == FD_KERNEL)
            return r;
        preload_listener_unblock(fd, f, flags, was_blocking);
    }
    r = vcl_listen(f->sock.vcl, backlog);
    if (r == 0)
        f->sock.is_listener = true;
    return r;
}

HS_EXPORT int hs_listen(int fd, int backlog)
{
    struct fd_file *f = preload_get_socket(fd);
    if (hs_likely(!f))
        return libc_real()->listen(fd, backlog);
    int r = preload_listen(fd, f, backlog);
    preload_put(f);
    return (int)preload_result(r);
}

/* One connection from the stack's queue: a descriptor, -EAGAIN or another -errno. */
static int preload_accept_stack(struct fd_file *f, struct sockaddr *sa, socklen_t *len, int flags)
{
    struct vcl_socket *vs = NULL;
    int fd = -1, r = 0;
    bool is_copy;
    /* With nothing there this arms the listener and says so; nothing is made for it. */
    if (vcl_readable_bytes(f->sock.vcl) <= 0 && (r = vcl_accept(f->sock.vcl, MSG_DONTWAIT, &vs)) < 0)
        return r;
    /* The number first, as Linux does: out of descriptors, the connection must stay in the queue. */
    fd = preload_number_new(flags, &is_copy);
    if (fd < 0) {
        r = fd;
        goto put_socket;
    }
    if (!vs && (r = vcl_accept(f->sock.vcl, MSG_DONTWAIT, &vs)) < 0) {
        vs = NULL;
        goto close_number;
    }
    vcl_socket_set_nonblock(vs, flags & SOCK_NONBLOCK);
    struct ip_endpoint peer;
    vcl_accepted_from(vs, &peer);
    preload_fill_sockaddr(&peer, f->sock.is_v6, sa, len);
    r = preload_track(fd, vs, f->sock.is_v6, FD_STACK, is_copy);
    if (preload_is_tls(f))
        preload_tls_accepted();
    if (r == 0)
        return fd;
    vs = NULL; /* tracking took it over */
close_number:
    LIBC_UNCANCELLED(close)(fd);
put_socket:
    if (vs)
        vcl_socket_put(vs);
    return r;
}

static bool preload_accept_waits(const struct fd_file *f)
{
    return !vcl_socket_is_nonblock(f->sock.vcl);
}

static int preload_accept(int fd, struct fd_file *f, struct sockaddr *sa, socklen_t *len, int flags)
{
    if (flags & ~(SOCK_NONBLOCK | SOCK_CLOEXEC) || (sa && len && *len > INT_MAX))
        return -EINVAL;
    if (f->sock.proto == SVM_PROTO_UDP)
        return -EOPNOTSUPP;
    if (!preload_listens(f))
        return -EINVAL;
    for (;;) {
        int r = preload_accept_stack(f, sa, len, flags);
        if (hs_unlikely(r >= 0 && sa && !len)) { /* Linux looks at the address last, and then the connection is gone */
            preload_close(r);
            return -EFAULT;
        }
        if (r == -EAGAIN && preload_is_both(f))
            r = (int)preload_kernel(LIBC_UNCANCELLED(accept4)(fd, sa, len, flags));
        if (r != -EAGAIN || !preload_accept_waits(f))
            return r;
        r = preload_wait_both(fd, f, POLLIN, SO_RCVTIMEO);
        if (r == -EINTR)
            r = (int)preload_interrupted(f, SO_RCVTIMEO);
        if (r < 0)
            return r;
    }
}

HS_EXPORT int hs_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags)
{
    int r;
    do {
        struct fd_file *f = preload_get_stack(fd);
        if (hs_likely(!f))
            return libc_real()->accept4(fd, sa, len, flags);
        preload_cancel_point(f);
        r = preload_accept(fd, f, sa, len, flags);
        preload_put(f);
    } while (preload_again(r));
    return (int)preload_result(r);
}

int preload_plain_accept4(int fd, struct sockaddr *sa, socklen_t *len, int flags) { return hs_accept4(fd, sa, len, flags); }

HS_EXPORT int hs_accept(int fd, struct sockaddr *sa, socklen_t *len)
{
    int r;
    do {
        struct fd_file *f = preload_get_stack(fd);
        if (hs_likely(!f))
            return libc_real()->accept(fd, sa, len);
        preload_cancel_point(f);
        r = preload_accept(fd, f, sa, len, 0);
        preload_put(f);
    } while (preload_again(r));
    return (int)preload_result(r);
}

/* ---- connect ---- */

enum { IS_KERNELS = 1 };

static int preload_connect_plain(int fd, struct fd_file *f, const struct sockaddr *sa, socklen_t len)
{
    long r;
    PRELOAD_KERNEL_SLEEP(r, preload_cancel_drop, f, SYS_connect, fd, sa, len, 0, 0, 0);
    return (int)(r == -EINTR && vcl_held.came ? preload_interrupted(f, SO_SNDTIMEO) : r);
}

static int preload_connect_kernel(int fd, struct fd_file *f, const struct sockaddr *sa, socklen_t len, const char *why)
{
    int r = preload_connect_plain(fd, f, sa, len);
    /* After a failure the program may try another address on the same socket. */
    if (r == 0 || r == -EINPROGRESS || r == -EINTR || r == PRELOAD_RESTART)
        preload_socket_decide(fd, f, FD_KERNEL, why);
    return r;
}

static int preload_connect_stack(struct fd_file *f, const struct ip_endpoint *e, bool is_early)
{
    int r;
    do
        r = is_early ? vcl_connect_early(f->sock.vcl, e) : vcl_connect(f->sock.vcl, e);
    while (r == -EINTR && (r = (int)preload_interrupted(f, SO_SNDTIMEO)) == 0);
    if (r < 0 && r != -EINPROGRESS && r != -EALREADY && r != -EINTR && r != PRELOAD_RESTART && r != -EISCONN && r != -ECANCELED)
        vcl_connect_failed(f->sock.vcl);
    else if (f->sock.proto != SVM_PROTO_UDP)
        f->sock.is_read_shut = false; /* of a former life */
    return r;
}

/* Is there somebody at this loopback address on the stack? If not, the server says so at once; so waiting for that moment is right
 * for non-blocking sockets too, and falling back to the kernel cannot be seen from outside. -EINPROGRESS: somebody is, and takes long. */
static int preload_connect_try(struct fd_file *f, const struct ip_endpoint *e)
{
    enum { ANSWER_NS = 20000000 };
    struct vcl_pollfd p = { .socket = f->sock.vcl, .fd = -1, .events = POLLOUT };
    struct timespec wait = { .tv_nsec = ANSWER_NS };
    bool nonblock = vcl_socket_is_nonblock(f->sock.vcl);
    vcl_socket_set_nonblock_here(f->sock.vcl, true);
    int r = vcl_connect(f->sock.vcl, e);
    if (r == -EINPROGRESS || r == -EALREADY) {
        int n;
        vcl_held.patient++;
        do
            n = vcl_poll_wait(&p, 1, &wait, NULL);
        while (n == -EINTR);
        vcl_held.patient--;
        r = n == 1 ? -vcl_take_error(f->sock.vcl) : -EINPROGRESS;
    }
    vcl_socket_set_nonblock_here(f->sock.vcl, nonblock);
    return r;
}

static bool preload_nobody_there(int r)
{
    return r == -ECONNREFUSED || r == -ENETDOWN || r == -ENETUNREACH || r == -EHOSTUNREACH || r == -EACCES ||
           r == -EADDRNOTAVAIL;
}

static int preload_connect_both(int fd, struct fd_file *f, const struct sockaddr *sa, socklen_t len,
                                const struct ip_endpoint *e)
{
    if (f->sock.needs_stack || !vcl_server_is_there())
        return preload_connect_kernel(fd, f, sa, len, preload_no_server());
    /* The stack joins streams on this host; datagrams to loopback are the kernel's. */
    if (f->sock.proto == SVM_PROTO_UDP)
        return preload_connect_kernel(fd, f, sa, len, "datagrams to loopback");
    if (vcl_socket_is_nonblock(f->sock.vcl) && vcl_has_met(f->sock.vcl, e)) {
        preload_socket_decide(fd, f, FD_STACK, NULL);
        return preload_connect_stack(f, e, false);
    }
    int r = preload_connect_try(f, e);
    if (r < 0 && r != -EINPROGRESS)
        vcl_connect_failed(f->sock.vcl);
    if (preload_nobody_there(r))
        return preload_connect_kernel(fd, f, sa, len, "nobody on the stack listens there");
    if (r == 0 || r == -EINPROGRESS)
        preload_socket_decide(fd, f, FD_STACK, NULL);
    /* On Linux a non-blocking connect of a stream is in progress, even to an address of its own host that has answered already. */
    if (vcl_socket_is_nonblock(f->sock.vcl))
        return r == 0 ? -EINPROGRESS : r;
    return r == 0 || r == -EINPROGRESS ? preload_connect_stack(f, e, false) : r;
}

static int preload_shutdown(int fd, struct fd_file *f, int how);

/* AF_UNSPEC. A datagram socket has no peer any more; a listener ends, as by shutdown(); of a stream there must be nothing to dissolve. */
static int preload_disconnect(int fd, struct fd_file *f)
{
    if (f->sock.proto == SVM_PROTO_UDP)
        return vcl_disconnect(f->sock.vcl);
    if (f->sock.proto == SVM_PROTO_SCTP)
        return -EOPNOTSUPP;
    if (f->sock.is_listener)
        return preload_shutdown(fd, f, SHUT_RDWR);
    vcl_connect_failed(f->sock.vcl);
    return vcl_is_unconnected(f->sock.vcl) ? 0 : -EOPNOTSUPP;
}

/* What is no address of ours, with Linux's errors in Linux's order. */
static int preload_connect_other(int fd, struct fd_file *f, const struct sockaddr *sa, socklen_t len)
{
    if (!sa && len)
        return -EFAULT;
    if (len < sizeof(sa_family_t) || len > sizeof(struct sockaddr_storage))
        return -EINVAL;
    if (sa->sa_family == AF_UNSPEC)
        return preload_disconnect(fd, f);
    if (f->sock.is_listener || (f->sock.proto != SVM_PROTO_UDP && vcl_is_connected(f->sock.vcl)))
        return -EISCONN;
    return len < (f->sock.is_v6 ? (socklen_t)SIN6_LEN_RFC2133 : sizeof(struct sockaddr_in)) ? -EINVAL : -EAFNOSUPPORT;
}

/* is_early: with Fast Open, by a call that sends; IS_KERNELS then leaves the whole call to the kernel. */
static int preload_connect(int fd, struct fd_file *f, const struct sockaddr *sa, socklen_t len, bool is_early)
{
    struct ip_endpoint e;
    bool is_address = sa && ip_endpoint_from_sockaddr(sa, len, &e) == 0;
    if (!is_address)
        return preload_serve(f) == FD_STACK || f->sock.is_listener
                   ? preload_connect_other(fd, f, sa, len)
               : is_early ? IS_KERNELS
                   : preload_connect_plain(fd, f, sa, len);
    if (f->sock.proto != SVM_PROTO_SCTP && preload_listens(f))
        return -EISCONN;
    int r = preload_tls_connect(f), scope = f->sock.proto == SVM_PROTO_SCTP || !f->sock.is_v6 ? 0 : vcl_device_scope(f->sock.vcl, sa, len, false);
    if (r < 0)
        return r;
    if (scope < 0 && (scope != -ENODEV || preload_serve(f) == FD_STACK))
        return scope == -ENODEV ? -ENETUNREACH : scope;
    if (preload_serve(f) == FD_STACK)
        return preload_connect_stack(f, &e, is_early);
    switch (scope || preload_speaks_for_other(f)                                         ? VCL_SERVE_KERNEL
            : preload_is_stack_only(f) || vcl_device_leads(f->sock.vcl, &e.ip) ? VCL_SERVE_STACK
                                                                               : vcl_who_serves_connect(f->sock.proto, &e)) {
    case VCL_SERVE_KERNEL:
        if (is_early)
            return IS_KERNELS;
        return preload_connect_kernel(fd, f, sa, len, preload_why(f, &e, true, "the stack has no route to the peer"));
    case VCL_SERVE_STACK:
        /* Before the connect, so that a waiting epoll set misses nothing of it. */
        preload_socket_decide(fd, f, FD_STACK, preload_why(f, &e, true, NULL));
        return preload_connect_stack(f, &e, is_early);
    default:
        return preload_connect_both(fd, f, sa, len, &e);
    }
}

HS_EXPORT int hs_connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    int r;
    do {
        struct fd_file *f = preload_get_socket(fd);
        if (hs_likely(!f))
            return libc_real()->connect(fd, sa, len);
        preload_cancel_point(f);
        r = preload_connect(fd, f, sa, len, false);
        preload_put(f);
    } while (preload_again(r));
    return (int)preload_result(r);
}
HS_EXPORT int hs___connect(int fd, const struct sockaddr *sa, socklen_t len) { return hs_connect(fd, sa, len); }

/* MSG_FASTOPEN: connects, and sends. On this host, where nothing is far away, one after the other. */
static ssize_t send_early(int fd, struct fd_file *f, const struct msghdr *msg, int flags)
{
    bool dontwait = flags & MSG_DONTWAIT && !vcl_socket_is_nonblock(f->sock.vcl);
    if (dontwait)
        vcl_socket_set_nonblock_here(f->sock.vcl, true);
    ssize_t r = preload_connect(fd, f, msg->msg_name, msg->msg_namelen, true);
    if (dontwait)
        vcl_socket_set_nonblock_here(f->sock.vcl, false);
    if (r == IS_KERNELS) {
        r = preload_sendmsg_kernel(fd, f, msg, flags);
        if (r >= 0 || r == -EINPROGRESS || r == -EINTR || r == PRELOAD_RESTART)
            preload_socket_decide(fd, f, FD_KERNEL, "the stack has no route to the peer");
        return r;
    }
    if (r < 0)
        return r;
    flags &= ~MSG_FASTOPEN;
    if (preload_serve(f) != FD_STACK)
        return preload_sendmsg_kernel(fd, f, &(struct msghdr){ .msg_iov = msg->msg_iov, .msg_iovlen = msg->msg_iovlen }, flags);
    r = preload_send_vector(f, msg->msg_iov, (int)msg->msg_iovlen, flags, NULL);
    if (r < 0 && r != -ECANCELED && r != -EINTR && r != PRELOAD_RESTART)
        vcl_connect_failed(f->sock.vcl);
    return r;
}

/* Not restarted: what it has begun is not begun again. */
ssize_t preload_send_early(int fd, struct fd_file *f, const struct msghdr *msg, int flags)
{
    ssize_t r = send_early(fd, f, msg, flags);
    return r == PRELOAD_RESTART ? -EINTR : r;
}

/* ---- datagrams without a connection ---- */

/* With BOTH each datagram goes where its address leads; loopback is the kernel's. */
void preload_route_datagram(int fd, struct fd_file *f, const struct ip_endpoint *to, int32_t ifindex, bool *to_stack)
{
    enum fd_serve serve = preload_serve(f);
    *to_stack = serve == FD_STACK ||
                (!preload_speaks_for_other(f) &&
                 (vcl_device_leads(f->sock.vcl, &to->ip) ||
                  (ifindex ? vcl_device_has(f->sock.vcl, ifindex) : vcl_who_serves_connect(f->sock.proto, to) == VCL_SERVE_STACK)));
    if (serve == FD_UNDECIDED) /* the first datagram decides, as it binds */
        preload_socket_decide(fd, f, *to_stack ? FD_STACK : FD_KERNEL,
                              preload_why(f, to, true, *to_stack ? NULL : "sent to an address that the kernel serves"));
}

/* Linux notes the end of reading even when it says ENOTCONN; a listener becomes as new. */
static void preload_note_shutdown(struct fd_file *f, int how, int r)
{
    if (how != SHUT_RD && how != SHUT_RDWR)
        return;
    if (!f->sock.is_listener)
        f->sock.is_read_shut = true;
    else if (r == 0)
        f->sock.is_listener = false;
}

static int preload_shutdown(int fd, struct fd_file *f, int how)
{
    enum fd_serve serve = preload_serve(f);
    int r = serve >= FD_STACK ? vcl_shutdown(f->sock.vcl, how) : 0;
    if (serve != FD_STACK)
        r = (int)preload_kernel(libc_real()->shutdown(fd, how));
    preload_note_shutdown(f, how, r);
    return r;
}

HS_EXPORT int hs_shutdown(int fd, int how)
{
    struct fd_file *f = preload_get_socket(fd);
    if (hs_likely(!f))
        return libc_real()->shutdown(fd, how);
    int r = preload_shutdown(fd, f, how);
    preload_put(f);
    return (int)preload_result(r);
}
