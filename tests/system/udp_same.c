/* udp_same.c - calls on datagram sockets whose results must be the kernel's: run on both, the output is compared
 * usage: udp_same CASE 4|6 OWN PEER FAR NOWHERE
 * OWN: our address. PEER: a host beside us, whose port 7000 echoes and 9 is closed. FAR: one behind a link of 1,300 bytes, as well; there
 * streams are echoed, too.
 * NOWHERE: to where PEER, the router, has no way. Prints what every call gave. */
#include <arpa/inet.h>
#include <errno.h>
#include <time.h> /* for the next */
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 30000, CLOSED = 9, ECHO = 7000 };

struct host { struct sockaddr_storage ss; socklen_t len; };
static struct { bool v6, mapped; struct host own, peer, far, nowhere; } t;

static const char *name_of(int e) { return e ? strerrorname_np(e) : "0"; }
static bool is_v6(void) { return t.v6 || t.mapped; }
static int level(void) { return is_v6() ? IPPROTO_IPV6 : IPPROTO_IP; }

static struct host parse(const char *text)
{
    struct host h = { .len = sizeof(struct sockaddr_in6) };
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)&h.ss;
    struct sockaddr_in *a4 = (struct sockaddr_in *)&h.ss;
    char b[64];

    if (!is_v6()) {
        h.len = sizeof(*a4);
        a4->sin_family = AF_INET;
        inet_pton(AF_INET, text, &a4->sin_addr);
        return h;
    }
    snprintf(b, sizeof(b), "%s%s", t.mapped ? "::ffff:" : "", text);
    a6->sin6_family = AF_INET6;
    inet_pton(AF_INET6, b, &a6->sin6_addr);
    return h;
}

static const struct sockaddr *at(struct host *h, int port)
{
    ((struct sockaddr_in *)&h->ss)->sin_port = htons((uint16_t)port); /* the same place in both */
    return (const struct sockaddr *)&h->ss;
}

static const char *text_of(const struct sockaddr *sa, char *b, size_t len)
{
    char a[64] = "-";

    if (sa->sa_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)sa)->sin_addr, a, sizeof(a));
    else if (sa->sa_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)sa)->sin6_addr, a, sizeof(a));
    else
        return "none";
    snprintf(b, len, "%s port %u", a, ntohs(((const struct sockaddr_in *)sa)->sin_port));
    return b;
}

static void set(int fd, int lvl, int name, int v, const char *what)
{
    int rc = setsockopt(fd, lvl, name, &v, sizeof(v)), got = -1;
    int e = rc < 0 ? errno : 0;
    socklen_t len = sizeof(got);

    getsockopt(fd, lvl, name, &got, &len);
    printf("  set %s=%d: %s, reads %d\n", what, v, name_of(e), got);
}
#define SET(fd, lvl, name, v) set(fd, lvl, name, v, #name)

static void recverr(int fd)
{
    if (is_v6())
        SET(fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    if (!t.v6)
        SET(fd, IPPROTO_IP, IP_RECVERR, 1);
}

static int sock(int port)
{
    int fd = socket(is_v6() ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || bind(fd, at(&t.own, port), t.own.len) < 0) {
        perror("socket or bind");
        exit(1);
    }
    return fd;
}

static void send_to(int fd, struct host *h, int port, size_t len, int first)
{
    static char b[65536];

    for (size_t i = 0; i < len; i++)
        b[i] = (char)(first + (int)i);
    ssize_t n = h ? sendto(fd, b, len, 0, at(h, port), h->len) : send(fd, b, len, 0);
    printf("  send %zu: %s\n", len, n < 0 ? name_of(errno) : n == (ssize_t)len ? "all" : "short");
}

static void poll_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    int n = poll(&p, 1, WAIT_MS);

    printf("  poll: %d%s%s%s%s\n", n, p.revents & POLLIN ? " in" : "", p.revents & POLLOUT ? " out" : "", p.revents & POLLERR ? " err" : "",
           p.revents & POLLHUP ? " hup" : "");
}

static void so_error(int fd)
{
    int e = -1;
    socklen_t len = sizeof(e);

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
    printf("  SO_ERROR: %s\n", name_of(e));
}

/* The first error is there already: until the next one has come. */
static void next_so_error(int fd)
{
    int e = 0;
    socklen_t len = sizeof(e);

    for (int i = 0; i < WAIT_MS && !e; i++) {
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
        if (!e)
            usleep(1000);
    }
    printf("  SO_ERROR: %s\n", name_of(e));
}

static void show_error(const struct cmsghdr *c)
{
    struct { struct sock_extended_err ee; struct sockaddr_in6 from; } v = { 0 };
    char b[96];
    size_t len = c->cmsg_len - CMSG_LEN(0);

    memcpy(&v, CMSG_DATA(c), len < sizeof(v) ? len : sizeof(v));
    printf("    error %s origin %u type %u code %u info %u data %u from %s (%zu bytes)\n", name_of((int)v.ee.ee_errno), v.ee.ee_origin,
           v.ee.ee_type, v.ee.ee_code, v.ee.ee_info, v.ee.ee_data, text_of((struct sockaddr *)&v.from, b, sizeof(b)), len);
}

/* Is a time stamp of now? It may be of a moment ago, never of later. */
static void show_stamp(const struct cmsghdr *c)
{
    bool is_us = c->cmsg_type == SO_TIMESTAMP || c->cmsg_type == SO_TIMESTAMP_NEW;
    struct timespec now, ts[3] = { { 0 } };
    size_t len = c->cmsg_len - CMSG_LEN(0);

    clock_gettime(CLOCK_REALTIME, &now);
    memcpy(ts, CMSG_DATA(c), len < sizeof(ts) ? len : sizeof(ts));
    int64_t ago = (now.tv_sec - ts[0].tv_sec) * 1000000000ll + now.tv_nsec - ts[0].tv_nsec * (is_us ? 1000 : 1);
    printf("    stamp: %s, others %s\n", ago < 0 ? "later" : ago > 30000000000ll ? "old" : "fresh",
           ts[1].tv_sec || ts[1].tv_nsec || ts[2].tv_sec || ts[2].tv_nsec ? "set" : "none");
}

/* One recvmsg with everything that it tells. */
static void receive(int fd, int flags, size_t room, size_t ctl_room)
{
    static char b[65536];
    union { char b[512]; struct cmsghdr h; } ctl;
    struct sockaddr_storage from = { .ss_family = 0 };
    struct iovec iov = { b, room };
    struct msghdr m = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.b,
                        .msg_controllen = ctl_room };
    char tb[96];
    ssize_t n = recvmsg(fd, &m, flags);

    if (n < 0) {
        printf("  recvmsg: %s\n", name_of(errno));
        return;
    }
    printf("  recvmsg: %zd first %d namelen %u of %s flags%s%s%s control %zu\n", n, n ? b[0] : -1, m.msg_namelen,
           m.msg_namelen ? text_of((struct sockaddr *)&from, tb, sizeof(tb)) : "nobody", m.msg_flags & MSG_ERRQUEUE ? " errqueue" : "",
           m.msg_flags & MSG_TRUNC ? " trunc" : "", m.msg_flags & MSG_CTRUNC ? " ctrunc" : "", (size_t)m.msg_controllen);
    for (struct cmsghdr *c = m.msg_controllen ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c)) {
        int v = 0;
        memcpy(&v, CMSG_DATA(c), c->cmsg_len - CMSG_LEN(0) < 4 ? c->cmsg_len - CMSG_LEN(0) : 4);
        printf("    level %d type %d len %zu\n", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
        if (c->cmsg_level == level() && c->cmsg_type == (is_v6() ? IPV6_RECVERR : IP_RECVERR))
            show_error(c);
        else if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_TTL) || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_HOPLIMIT) ||
                 (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO))
            printf("    value %d\n", v);
        else if (c->cmsg_level == SOL_SOCKET)
            show_stamp(c);
    }
}
static void errqueue(int fd) { receive(fd, MSG_ERRQUEUE, 2000, 512); }

/* ---- cases ---- */
static void connected_without(void)
{
    int fd = sock(6001);

    connect(fd, at(&t.peer, CLOSED), t.peer.len);
    send_to(fd, NULL, 0, 100, 1);
    poll_for(fd, POLLIN);
    receive(fd, MSG_ERRQUEUE, 100, 512);
    so_error(fd);
    so_error(fd);
    send_to(fd, NULL, 0, 100, 1);
    poll_for(fd, 0);
    send_to(fd, NULL, 0, 100, 1); /* not sent: tells the error of the one before */
    send_to(fd, NULL, 0, 100, 1);
    poll_for(fd, POLLIN);
    receive(fd, 0, 100, 512);
    receive(fd, MSG_DONTWAIT, 100, 512);
    close(fd);
}

static void connected_with(void)
{
    int fd = sock(6002);

    recverr(fd);
    connect(fd, at(&t.peer, CLOSED), t.peer.len);
    send_to(fd, NULL, 0, 100, 3);
    poll_for(fd, POLLIN);
    so_error(fd);
    poll_for(fd, POLLIN); /* the queue is not empty */
    errqueue(fd);
    errqueue(fd);
    poll_for(fd, POLLOUT);
    send_to(fd, NULL, 0, 0, 3);
    poll_for(fd, POLLIN);
    errqueue(fd);         /* an empty datagram; takes SO_ERROR along */
    so_error(fd);
    receive(fd, MSG_DONTWAIT, 100, 512);
    send_to(fd, NULL, 0, 500, 7);
    poll_for(fd, POLLIN);
    receive(fd, 0, 100, 512); /* blocking: the error, not the queue */
    receive(fd, MSG_ERRQUEUE, 10, 512);
    send_to(fd, NULL, 0, 50, 7);
    poll_for(fd, POLLIN);
    receive(fd, MSG_ERRQUEUE, 100, 20);
    close(fd);
}

static void unconnected(void)
{
    int fd = sock(6003);

    SET(fd, level(), is_v6() ? IPV6_RECVHOPLIMIT : IP_RECVTTL, 1);
    if (t.mapped)
        SET(fd, IPPROTO_IP, IP_RECVTTL, 1);
    recverr(fd);
    for (int i = 0; i < 3; i++) {
        send_to(fd, &t.peer, CLOSED, 10 + (size_t)i, 20 + i);
        next_so_error(fd);
        poll_for(fd, POLLOUT);
    }
    for (int i = 0; i < 4; i++)
        errqueue(fd);
    send_to(fd, &t.peer, CLOSED, 30, 1);
    poll_for(fd, POLLIN);
    if (is_v6())
        SET(fd, IPPROTO_IPV6, IPV6_RECVERR, 0); /* Linux forgets the queue */
    if (!t.v6)
        SET(fd, IPPROTO_IP, IP_RECVERR, 0);
    errqueue(fd);
    so_error(fd);
    close(fd);
}

/* Errors stand beside the datagrams, not among them. */
static void mixed(void)
{
    int fd = sock(6004);
    int n = -1;

    recverr(fd);
    send_to(fd, &t.peer, ECHO, 40, 1);
    poll_for(fd, POLLIN);
    send_to(fd, &t.peer, CLOSED, 50, 2);
    poll_for(fd, 0);
    so_error(fd);
    ioctl(fd, FIONREAD, &n);
    printf("  FIONREAD %d\n", n);
    receive(fd, MSG_PEEK, 100, 512);
    receive(fd, 0, 100, 512);
    receive(fd, MSG_DONTWAIT, 100, 512);
    ioctl(fd, FIONREAD, &n);
    printf("  FIONREAD %d\n", n);
    send_to(fd, &t.peer, ECHO, 41, 5);
    for (struct pollfd p = { .fd = fd, .events = POLLIN }; !(p.revents & POLLIN); poll(&p, 1, 10))
        ;
    receive(fd, 0, 100, 512);
    errqueue(fd);
    errqueue(fd);
    poll_for(fd, POLLOUT);
    close(fd);
}

static void router(void)
{
    int fd = sock(6005);

    recverr(fd);
    if (t.v6) { /* Linux routers do not say so for IPv4 */
        send_to(fd, &t.nowhere, ECHO, 60, 1);
        poll_for(fd, 0);
        errqueue(fd);
    }
    SET(fd, level(), is_v6() ? IPV6_UNICAST_HOPS : IP_TTL, 1);
    if (t.mapped)
        SET(fd, IPPROTO_IP, IP_TTL, 1);
    send_to(fd, &t.far, ECHO, 70, 1);
    poll_for(fd, 0);
    errqueue(fd);
    so_error(fd);
    close(fd);
}

static void too_big(void)
{
    int fd = sock(6006);

    recverr(fd);
    SET(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    if (is_v6())
        SET(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
    send_to(fd, &t.far, ECHO, 1400, 1);
    poll_for(fd, 0);
    errqueue(fd);
    so_error(fd);
    close(fd);
}

static void own(void)
{
    int fd = sock(6007);

    recverr(fd);
    send_to(fd, &t.own, CLOSED, 80, 1);
    poll_for(fd, 0);
    errqueue(fd);
    connect(fd, at(&t.own, CLOSED), t.own.len);
    send_to(fd, NULL, 0, 80, 1);
    poll_for(fd, 0);
    errqueue(fd);
    close(fd);
}

/* Nobody reads the queue: it ends somewhere, and the socket goes on. */
static void bounded(void)
{
    enum { MANY = 1500 };
    int fd = sock(6008), n = 0;
    char b[64];

    recverr(fd);
    for (int i = 0; i < MANY; i++) {
        sendto(fd, b, 10, 0, at(&t.peer, CLOSED), t.peer.len);
        if (i % 50 == 49) /* an answer comes after the errors before it */
            for (int try = 0; try < WAIT_MS; try++) {
                struct pollfd p = { .fd = fd, .events = POLLIN };
                sendto(fd, b, 10, 0, at(&t.peer, ECHO), t.peer.len);
                poll(&p, 1, 0);
                usleep(1000);
                if (recv(fd, b, sizeof(b), MSG_DONTWAIT) > 0)
                    break;
            }
    }
    struct msghdr m = { .msg_iov = &(struct iovec){ b, sizeof(b) }, .msg_iovlen = 1 };
    while (recvmsg(fd, &m, MSG_ERRQUEUE) >= 0)
        n++;
    printf("  errors kept: %s\n", n < 100 ? "too few" : n > 600 ? "too many" : "some");
    n = 0;
    for (int try = 0; try < WAIT_MS && n != 33; try++) { /* answers and errors may still come in */
        sendto(fd, b, 33, 0, at(&t.peer, ECHO), t.peer.len);
        usleep(1000);
        while ((n = (int)recv(fd, b, sizeof(b), MSG_DONTWAIT)) >= 0 && n != 33)
            ;
    }
    printf("  the socket goes on: %d\n", n);
    close(fd);
}

static void echoed(int fd, size_t len)
{
    send_to(fd, &t.peer, ECHO, len, 1);
    poll_for(fd, POLLIN);
    receive(fd, 0, 2000, 512);
}

/* The kernel begins to take times a moment after the first socket has asked for them, and goes on as long as there is one. */
static int stamping_begins(void)
{
    int fd = sock(6010), flags = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
    char b[64], ctl[128];
    bool has = false;

    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof(flags));
    for (int i = 0; i < WAIT_MS && !has; i++) {
        usleep(i ? 1000 : 0);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        struct msghdr m = { .msg_iov = &(struct iovec){ b, sizeof(b) }, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl) };
        sendto(fd, b, 10, 0, at(&t.peer, ECHO), t.peer.len);
        poll(&p, 1, WAIT_MS);
        has = recvmsg(fd, &m, MSG_DONTWAIT) >= 0 && m.msg_controllen;
    }
    printf("  times are taken: %d\n", has);
    return fd;
}

static void stamps(void)
{
    int helper = stamping_begins();

    static const int names[] = { SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW };
    int fd = sock(6009), all[2];
    socklen_t len = sizeof(all);

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        set(fd, SOL_SOCKET, names[i], 1, "stamp");
        for (size_t j = 0; j < sizeof(names) / sizeof(names[0]); j++) {
            int v = -1;
            socklen_t l = sizeof(v);
            getsockopt(fd, SOL_SOCKET, names[j], &v, &l);
            printf("  option %d reads %d\n", names[j], v);
        }
        echoed(fd, 10 + i);
    }
    SET(fd, SOL_SOCKET, SO_TIMESTAMP, 0);
    echoed(fd, 20);
    SET(fd, SOL_SOCKET, SO_TIMESTAMPING, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
    getsockopt(fd, SOL_SOCKET, SO_TIMESTAMPING, all, &len);
    printf("  SO_TIMESTAMPING: %u bytes, %d %d\n", len, all[0], all[1]);
    echoed(fd, 30);
    SET(fd, SOL_SOCKET, SO_TIMESTAMPING_NEW, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
    SET(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    echoed(fd, 31);
    recverr(fd); /* errors have one, too */
    send_to(fd, &t.peer, CLOSED, 33, 9);
    poll_for(fd, POLLIN);
    errqueue(fd);
    SET(fd, SOL_SOCKET, SO_TIMESTAMPING, 1 << 30);
    SET(fd, SOL_SOCKET, SO_TIMESTAMPING, 0);
    SET(fd, SOL_SOCKET, SO_TIMESTAMPNS, 0);
    send_to(fd, &t.peer, ECHO, 40, 1);
    poll_for(fd, POLLIN);
    SET(fd, SOL_SOCKET, SO_TIMESTAMP, 1); /* after it has come */
    receive(fd, 0, 2000, 512);
    close(fd);
    close(helper);
}

/* sendmsg() with UDP_SEGMENT beside it: gso -1 = none. */
static void send_gso(int fd, struct host *h, int port, size_t len, int gso, int flags)
{
    static char b[70000];
    union { char b[CMSG_SPACE(2)]; struct cmsghdr h; } ctl = { .h = { CMSG_LEN(2), IPPROTO_UDP, UDP_SEGMENT } };
    struct iovec iov = { b, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    for (size_t i = 0; i < len; i++)
        b[i] = (char)(i / 100 % 100 + 1);
    if (h) {
        m.msg_name = (void *)at(h, port);
        m.msg_namelen = h->len;
    }
    if (gso >= 0) {
        memcpy(CMSG_DATA(&ctl.h), &(uint16_t){ (uint16_t)gso }, 2);
        m.msg_control = &ctl;
        m.msg_controllen = sizeof(ctl);
    }
    ssize_t n = sendmsg(fd, &m, flags);
    printf("  send %zu in pieces of %d: %s\n", len, gso, n < 0 ? name_of(errno) : n == (ssize_t)len ? "all" : "short");
}

/* All that comes back, in order; with UDP_GRO several may be one message, how many is the machine's affair. */
static void receive_all(int fd, size_t bytes, bool gro)
{
    static char b[70000];
    char ctl[128];
    size_t had = 0, piece = 0;
    int n_pieces = 0;

    while (had < bytes) {
        struct iovec iov = { b, sizeof(b) };
        struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof(ctl) };
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, WAIT_MS) <= 0)
            break;
        ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
        if (n < 0) {
            printf("  recvmsg: %s\n", name_of(errno));
            break;
        }
        size_t size = (size_t)n;
        for (struct cmsghdr *c = m.msg_controllen ? CMSG_FIRSTHDR(&m) : NULL; c; c = CMSG_NXTHDR(&m, c))
            if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO)
                size = (size_t)*(int *)CMSG_DATA(c);
        if (!gro && size != (size_t)n)
            printf("  several in one, unasked\n");
        for (size_t at_byte = 0; at_byte < (size_t)n; at_byte += size) {
            size_t len = (size_t)n - at_byte < size ? (size_t)n - at_byte : size;
            if (!piece)
                piece = len;
            for (size_t i = 0; i < len; i++)
                if (b[at_byte + i] != (char)((had + i) / 100 % 100 + 1)) {
                    printf("  wrong byte at %zu\n", had + i);
                    return;
                }
            had += len;
            n_pieces++;
        }
    }
    printf("  %zu bytes in %d datagrams, the first of %zu\n", had, n_pieces, piece);
}

static void segments(void)
{
    int fd = sock(6011);
    int level = t.v6 ? IPPROTO_UDP : SOL_SOCKET, no_check = t.v6 ? UDP_NO_CHECK6_TX : SO_NO_CHECK;

    connect(fd, at(&t.peer, ECHO), t.peer.len);
    SET(fd, IPPROTO_UDP, UDP_SEGMENT, -1);
    SET(fd, IPPROTO_UDP, UDP_SEGMENT, 65536);
    SET(fd, IPPROTO_UDP, UDP_SEGMENT, 1000);
    send_gso(fd, NULL, 0, 3500, -1, 0);
    receive_all(fd, 3500, false);
    send_gso(fd, NULL, 0, 700, -1, 0); /* less than one: as it is */
    receive_all(fd, 700, false);
    send_gso(fd, NULL, 0, 3500, 1200, 0); /* the message's own */
    receive_all(fd, 3500, false);
    send_gso(fd, NULL, 0, 1400, 0, 0); /* none */
    receive_all(fd, 1400, false);
    send_gso(fd, NULL, 0, 1280, 10, 0);
    receive_all(fd, 1280, false);
    send_gso(fd, NULL, 0, 1281, 10, 0);
    send_gso(fd, NULL, 0, 3000, 1480, 0); /* a piece must fit the link */
    send_gso(fd, NULL, 0, 66000, 1400, 0);
    SET(fd, level, no_check, 1); /* no pieces without checksum, also not one */
    send_gso(fd, NULL, 0, 3500, 1200, 0);
    send_gso(fd, NULL, 0, 3000, 1480, 0);
    send_gso(fd, NULL, 0, 7, 1000, 0);
    send_gso(fd, NULL, 0, 0, 1000, 0);
    SET(fd, level, no_check, 0);
    SET(fd, IPPROTO_UDP, UDP_SEGMENT, 0);
    send_gso(fd, NULL, 0, 3000, -1, MSG_CONFIRM);
    receive_all(fd, 3000, false);
    SET(fd, IPPROTO_UDP, UDP_GRO, 1);
    send_gso(fd, NULL, 0, 20000, 1000, 0);
    receive_all(fd, 20000, true);
    send_gso(fd, NULL, 0, 10050, 1000, 0); /* the last is shorter */
    receive_all(fd, 10050, true);
    SET(fd, IPPROTO_UDP, UDP_GRO, 0);
    send_gso(fd, NULL, 0, 10000, 1000, 0);
    receive_all(fd, 10000, false);
    close(fd);
}

/* EMSGSIZE from the call itself, as soon as the path is known; with IP_RECVERR in the queue, too. */
static void sizes(void)
{
    static const char *const names[] = { "dont", "want", "do", "probe", "interface", "omit" };
    int fd = sock(6012);

    recverr(fd);
    for (int mode = IP_PMTUDISC_DONT; mode <= IP_PMTUDISC_OMIT; mode++) {
        printf("  %s\n", names[mode]);
        SET(fd, IPPROTO_IP, IP_MTU_DISCOVER, mode);
        if (is_v6())
            SET(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, mode);
        for (size_t len = 1450; len <= 1480; len += 30) { /* one after the other: a whole one may overtake fragments */
            send_to(fd, &t.peer, ECHO, len, 1);
            if (len > 1472 && (mode == IP_PMTUDISC_DO || mode == IP_PMTUDISC_PROBE || mode == IP_PMTUDISC_INTERFACE))
                break; /* refused */
            for (struct pollfd p = { .fd = fd, .events = POLLIN }; !(p.revents & POLLIN); poll(&p, 1, 10))
                ;
            receive(fd, 0, 2000, 0);
        }
        errqueue(fd);
        so_error(fd);
    }
    connect(fd, at(&t.peer, ECHO), t.peer.len);
    SET(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO);
    if (is_v6())
        SET(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_DO);
    send_to(fd, NULL, 0, 1480, 1);
    errqueue(fd);
    close(fd);
}

struct receiver { int fd; pid_t tid; };

static void *receiver(void *arg)
{
    struct receiver *r = arg;
    char b[100];

    __atomic_store_n(&r->tid, gettid(), __ATOMIC_RELEASE);
    ssize_t n = recv(r->fd, b, sizeof(b), 0);
    printf("  another thread: %zd %s\n", n, n < 0 ? name_of(errno) : "");
    return NULL;
}

/* Until the thread sleeps, in recv() if anywhere: nobody else holds it up. */
static void until_it_waits(struct receiver *r)
{
    char path[64], b[256];

    for (int i = 0; i < WAIT_MS; i++, usleep(1000)) {
        snprintf(path, sizeof(path), "/proc/self/task/%d/stat", __atomic_load_n(&r->tid, __ATOMIC_ACQUIRE));
        FILE *f = fopen(path, "r");
        const char *state = f && fgets(b, sizeof(b), f) ? strrchr(b, ')') : NULL;
        bool sleeps = state && state[2] == 'S';
        if (f)
            fclose(f);
        if (sleeps)
            return;
    }
    printf("  the other thread does not sleep\n");
}

/* A thread waits before the socket has a port; another one's send gives it one. */
static void waiting(void)
{
    int fd = socket(is_v6() ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    struct timeval tv = { .tv_usec = 50000 };
    struct receiver r = { .fd = fd };
    pthread_t th;
    char b[100];

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    receive(fd, 0, 100, 512);
    receive(fd, MSG_DONTWAIT, 100, 512);
    tv = (struct timeval){ 20, 0 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    if (pthread_create(&th, NULL, receiver, &r) != 0)
        exit(1);
    until_it_waits(&r);
    sendto(fd, b, 77, 0, at(&t.peer, ECHO), t.peer.len);
    pthread_join(th, NULL);
    close(fd);
}

static void send_flagged(int fd, struct host *h, int port, size_t len, int flags)
{
    static char b[65536];

    for (size_t i = 0; i < len; i++)
        b[i] = (char)(i % 100 + 1);
    ssize_t n = h ? sendto(fd, b, len, flags, at(h, port), h->len) : send(fd, b, len, flags);
    printf("  send %zu%s%s: %s\n", len, flags & MSG_MORE ? " more" : "", flags & MSG_CONFIRM ? " confirm" : "",
           n < 0 ? name_of(errno) : n == (ssize_t)len ? "all" : "short");
}

static void receive_next(int fd)
{
    poll_for(fd, POLLIN);
    receive(fd, MSG_DONTWAIT, 65000, 0);
}

/* Several sends that are one datagram; who comes after it shows that it was one. */
static void corked(void)
{
    int fd = sock(6013);

    send_flagged(fd, &t.peer, ECHO, 50, MSG_MORE | MSG_CONFIRM);
    send_flagged(fd, &t.peer, CLOSED, 60, MSG_MORE); /* the first says where to */
    receive(fd, MSG_DONTWAIT, 100, 0);
    send_flagged(fd, &t.peer, CLOSED, 7, 0);
    receive_next(fd);
    SET(fd, IPPROTO_UDP, UDP_CORK, 1);
    send_flagged(fd, NULL, 0, 10, 0); /* to nobody */
    for (int i = 1; i <= 3; i++)
        send_flagged(fd, &t.peer, ECHO, 100, 0);
    receive(fd, MSG_DONTWAIT, 100, 0);
    SET(fd, IPPROTO_UDP, UDP_CORK, 0);
    receive_next(fd);
    SET(fd, IPPROTO_UDP, UDP_CORK, 0); /* nothing is held back */
    connect(fd, at(&t.peer, ECHO), t.peer.len);
    send_flagged(fd, NULL, 0, 40000, MSG_MORE);
    send_flagged(fd, NULL, 0, 40000, MSG_MORE); /* too much: all of it is gone */
    send_flagged(fd, NULL, 0, 30, 0);
    receive_next(fd);
    send_flagged(fd, NULL, 0, 0, MSG_MORE);
    send_flagged(fd, NULL, 0, 0, 0);
    receive_next(fd);
    send_flagged(fd, NULL, 0, 33, MSG_CONFIRM);
    receive_next(fd);
    send_flagged(fd, NULL, 0, 5, MSG_MORE); /* and never the rest */
    close(fd);
}

static void show_moved(const char *what, size_t asked, ssize_t n)
{
    if (n < 0)
        printf("  %s %zu: %s\n", what, asked, name_of(errno));
    else
        printf("  %s %zu: %zd\n", what, asked, n);
}

static void send_file(int fd, int file, off_t at, size_t len)
{
    show_moved("sendfile", len, sendfile(fd, file, &at, len));
    printf("  at %ld\n", (long)at);
}

/* Through a pipe: so much is written, so much asked for. */
static void splice_out(int fd, const int p[2], size_t written, size_t len, unsigned flags)
{
    static char b[65536];
    int held = -1;
    if (written && write(p[1], b, written) != (ssize_t)written)
        exit(1);
    show_moved("splice", len, splice(p[0], NULL, fd, NULL, len, flags | SPLICE_F_NONBLOCK));
    ioctl(p[0], FIONREAD, &held);
    printf("  the pipe holds %d\n", held);
    if (held > 0 && read(p[0], b, (size_t)held) != held)
        exit(1);
}

/* Of a datagram that has come. */
static void splice_in(int fd, const int p[2], size_t len, bool by_sendfile)
{
    static char b[65536];
    int held = -1;
    poll_for(fd, POLLIN);
    show_moved(by_sendfile ? "sendfile in" : "splice in", len,
               by_sendfile ? sendfile(p[1], fd, NULL, len) : splice(fd, NULL, p[1], NULL, len, 0));
    ioctl(p[0], FIONREAD, &held);
    printf("  the pipe holds %d, first %d\n", held, held > 0 && read(p[0], b, (size_t)held) == held ? b[0] : -1);
}

/* sendfile(), splice(): one datagram a call */
static void files_of(int fd, int file, const int p[2])
{
    static const size_t sizes[] = { 0, 1, 100, 4096, 5000, 40000, 66000, 300000 };
    int more = 1;

    send_file(fd, file, 0, 100); /* to nobody */
    splice_out(fd, p, 10, 10, 0);
    connect(fd, at(&t.peer, ECHO), t.peer.len);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        send_file(fd, file, 7, sizes[i]);
        if (sizes[i] && sizes[i] <= 40000)
            receive_next(fd);
    }
    if (!is_v6()) { /* up to the end; Linux 6.18 holds the datagram back with IPv6, as with MSG_MORE */
        send_file(fd, file, 199990, 50);
        receive_next(fd);
    }
    send_file(fd, file, 200000, 50);
    send_file(fd, file, -1, 50);
    printf("  place %ld\n", (long)lseek(file, 300, SEEK_SET));
    show_moved("sendfile", 20, sendfile(fd, file, NULL, 20));
    printf("  place %ld\n", (long)lseek(file, 0, SEEK_CUR));
    receive_next(fd);
    splice_out(fd, p, 100, 60, 0);
    receive_next(fd);
    splice_out(fd, p, 40000, 50000, 0);
    receive_next(fd);
    splice_out(fd, p, 65536, 65536, 0); /* too long: it stays */
    splice_out(fd, p, 30, 30, SPLICE_F_MORE);
    send_flagged(fd, NULL, 0, 5, 0);
    receive_next(fd);
    splice_out(fd, p, 0, 30, 0);
    splice_out(fd, p, 0, 0, 0);
    for (int i = 0; i < 4; i++) {
        send_flagged(fd, NULL, 0, 50, 0);
        splice_in(fd, p, i % 2 ? 20 : 100, i / 2); /* shorter: the rest is lost */
    }
    ioctl(fd, FIONBIO, &more);
    show_moved("splice in", 10, splice(fd, NULL, p[1], NULL, 10, 0));
    show_moved("splice of two", 10, splice(fd, NULL, fd, NULL, 10, 0));
    show_moved("sendfile from a pipe", 10, sendfile(fd, p[0], NULL, 10));
    close(fd);
}

static void files(void)
{
    int file = memfd_create("file", 0), p[2];
    char b[100] = { 42 };

    if (file < 0 || ftruncate(file, 200000) < 0 || pwrite(file, b, sizeof(b), 7) != sizeof(b) || pipe(p) < 0)
        exit(1);
    files_of(sock(6015), file, p);
    printf("  not bound\n");
    files_of(socket(is_v6() ? AF_INET6 : AF_INET, SOCK_DGRAM, 0), file, p);
    int fd = sock(6016);
    connect(fd, at(&t.peer, CLOSED), t.peer.len);
    send_file(fd, file, 7, 10);
    poll_for(fd, POLLIN);
    splice_out(fd, p, 10, 10, 0); /* told of the error, and nothing is lost */
    send_file(fd, file, 7, 10);
    next_so_error(fd);
    close(fd);
    close(file);
    close(p[0]);
    close(p[1]);
}

static void show_ends(int fd)
{
    struct sockaddr_storage ss = { .ss_family = 0 };
    socklen_t len = sizeof(ss);
    char b[96];

    printf("  getpeername: %s\n", name_of(getpeername(fd, (struct sockaddr *)&ss, &len) < 0 ? errno : 0));
    len = sizeof(ss);
    getsockname(fd, (struct sockaddr *)&ss, &len);
    ((struct sockaddr_in *)&ss)->sin_port = 0; /* Linux gives one back that it has chosen */
    printf("  own: %s\n", text_of((struct sockaddr *)&ss, b, sizeof(b)));
}

/* connect(2), AF_UNSPEC: to nobody any more, and from everybody again */
static void unspec_of(int fd)
{
    struct sockaddr none = { .sa_family = AF_UNSPEC };

    printf("  unspec: %s\n", name_of(connect(fd, &none, sizeof(none)) < 0 ? errno : 0));
    for (int i = 0; i < 2; i++) {
        printf("  connect: %s\n", name_of(connect(fd, at(&t.peer, ECHO), t.peer.len) < 0 ? errno : 0));
        show_ends(fd);
        send_to(fd, NULL, 0, 20 + (size_t)i, 1);
        receive_next(fd);
        printf("  unspec: %s\n", name_of(connect(fd, &none, sizeof(none)) < 0 ? errno : 0));
        printf("  short: %s\n", name_of(connect(fd, &none, 1) < 0 ? errno : 0));
        show_ends(fd);
        send_to(fd, NULL, 0, 20, 1);
        send_to(fd, t.v6 ? &t.peer : &t.far, ECHO, 30 + (size_t)i, 2); /* with IPv6, Linux 6.18 goes on to drop what others send */
        receive_next(fd);
        show_ends(fd);
    }
    close(fd);
}

static void unspec(void)
{
    unspec_of(sock(6018));
    printf("  not bound\n");
    unspec_of(socket(is_v6() ? AF_INET6 : AF_INET, SOCK_DGRAM, 0));
}

/* The first error of each of many sockets, whenever poll() looks, is an error and nothing to read. Every other one is looked at without end:
 * between any two steps of who writes the error. */
static void first_ones(void)
{
    enum { MANY = 300 };
    int n = 0;
    char b[10] = "";

    for (int i = 0; i < MANY; i++) {
        int fd = socket(is_v6() ? AF_INET6 : AF_INET, SOCK_DGRAM, 0), one = 1;
        struct pollfd p = { .fd = fd, .events = POLLIN };
        time_t end = time(NULL) + WAIT_MS / 1000;
        if (is_v6())
            setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &one, sizeof(one));
        if (!t.v6)
            setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one));
        sendto(fd, b, sizeof(b), 0, at(&t.peer, CLOSED), t.peer.len);
        while (poll(&p, 1, i % 2 ? 0 : WAIT_MS) == 0 && time(NULL) < end)
            continue;
        n += p.revents == POLLERR;
        if (p.revents != POLLERR)
            printf("  number %d: %#x\n", i, (unsigned)p.revents);
        close(fd);
    }
    printf("  of %d: %d\n", MANY, n);
}

static void set_min_ttl(int fd, int v)
{
    if (is_v6())
        set(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, v, "IPV6_MINHOPCOUNT");
    if (!t.v6)
        set(fd, IPPROTO_IP, IP_MINTTL, v, "IP_MINTTL");
}

static int stream_to_far(int min_ttl)
{
    int fd = socket(is_v6() ? AF_INET6 : AF_INET, SOCK_STREAM, 0);

    set(fd, IPPROTO_TCP, TCP_SYNCNT, 1, "TCP_SYNCNT"); /* else what is dropped takes minutes */
    set_min_ttl(fd, min_ttl);
    int rc = connect(fd, at(&t.far, ECHO), t.far.len);
    printf("  connect: %s\n", name_of(rc ? errno : 0));
    return fd;
}

/* Whoever is behind the router has 63 left: a stream that wants more hears nothing of him, datagrams are not looked at. */
static void min_ttl(void)
{
    char b[10];
    int fd = stream_to_far(63);

    send(fd, "one", 3, MSG_NOSIGNAL);
    poll_for(fd, POLLIN);
    printf("  %zd\n", recv(fd, b, sizeof(b), 0));
    set_min_ttl(fd, 64);
    send(fd, "two", 3, MSG_NOSIGNAL);
    struct pollfd p = { .fd = fd, .events = POLLIN };
    printf("  poll: %d\n", poll(&p, 1, 500));
    set_min_ttl(fd, 63);
    poll_for(fd, POLLIN);
    printf("  %zd\n", recv(fd, b, sizeof(b), 0));
    close(fd);
    close(stream_to_far(64));
    fd = sock(0);
    set_min_ttl(fd, 255);
    send_to(fd, &t.far, ECHO, 10, 'a');
    receive(fd, 0, 100, 512);
    close(fd);
}

/* The hop limit that comes with a datagram: with IPv6 -1 is the socket's own, and 0 gets no farther than 1 does. */
static void hop_limits(void)
{
    static const int some[] = { 0, -1, 1, -2, 2, 256, 255, INT_MIN };
    union { char b[CMSG_SPACE(sizeof(int))]; struct cmsghdr h; } ctl = { .h = { CMSG_LEN(sizeof(int)), IPPROTO_IP, IP_TTL } };
    char b[10] = "";
    struct iovec iov = { b, sizeof(b) };
    int fd = sock(0);

    if (t.v6) {
        ctl.h.cmsg_level = IPPROTO_IPV6;
        ctl.h.cmsg_type = IPV6_HOPLIMIT;
    }
    recverr(fd);
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        struct msghdr m = { .msg_name = (void *)(uintptr_t)at(&t.far, ECHO), .msg_namelen = t.far.len, .msg_iov = &iov, .msg_iovlen = 1,
                            .msg_control = ctl.b, .msg_controllen = sizeof(ctl.b) };
        memcpy(CMSG_DATA(&ctl.h), &some[i], sizeof(some[i]));
        ssize_t n = sendmsg(fd, &m, 0);
        printf("  with %d: %s\n", some[i], n < 0 ? name_of(errno) : "sent");
        if (n < 0)
            continue;
        poll_for(fd, POLLIN); /* the router's answer, or the echo */
        errqueue(fd);
        receive(fd, MSG_DONTWAIT, 100, 512);
    }
    close(fd);
}

static const struct { const char *name; void (*run)(void); } cases[] = {
    { "connected_without", connected_without }, { "connected_with", connected_with }, { "unconnected", unconnected }, { "mixed", mixed },
    { "router", router }, { "too_big", too_big }, { "own", own }, { "unspec", unspec }, { "min_ttl", min_ttl },
    { "hop_limits", hop_limits },
    { "stamps", stamps }, { "segments", segments }, { "sizes", sizes }, { "waiting", waiting }, { "corked", corked },
    { "bounded", bounded }, { "files", files }, { "first_ones", first_ones },
};

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: udp_same CASE|all 4|6|mapped OWN PEER FAR NOWHERE\n");
        return 2;
    }
    t.v6 = !strcmp(argv[2], "6");
    t.mapped = !strcmp(argv[2], "mapped");
    t.own = parse(argv[3]);
    t.peer = parse(argv[4]);
    t.far = parse(argv[5]);
    t.nowhere = parse(argv[6]);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        if (!strcmp(argv[1], "all") || !strcmp(argv[1], cases[i].name)) {
            printf("%s\n", cases[i].name);
            cases[i].run();
            fflush(stdout);
        }
    return 0;
}
