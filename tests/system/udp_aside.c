/* udp_aside.c - what comes beside datagrams and goes with them, one by one: run over the kernel and over the stack by udp-same.sh, the output
 * is compared
 * usage: udp_aside all 4|6|mapped OWN PEER FAR NOWHERE (see udp_same.c; PEER's port 7000 echoes, 9 is closed) */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { WAIT_MS = 30000, CLOSED = 9, ECHO = 7000, LARGE = 3000 };

static bool is_v6, is_mapped;
static struct sockaddr_storage own, peer;
static socklen_t len_of;
static char bytes[LARGE];

static struct sockaddr *at(struct sockaddr_storage *ss, int port)
{
    ((struct sockaddr_in *)ss)->sin_port = htons((uint16_t)port); /* the same place in both */
    return (struct sockaddr *)ss;
}

static void parse(const char *text, struct sockaddr_storage *ss)
{
    char b[64];
    ss->ss_family = is_v6 ? AF_INET6 : AF_INET;
    snprintf(b, sizeof(b), "%s%s", is_mapped ? "::ffff:" : "", text);
    if (inet_pton(ss->ss_family, b, is_v6 ? (void *)&((struct sockaddr_in6 *)ss)->sin6_addr : &((struct sockaddr_in *)ss)->sin_addr) != 1)
        exit(2);
}

static int sock(void)
{
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, at(&own, 0), len_of) < 0) {
        perror("socket or bind");
        exit(1);
    }
    return fd;
}

static void set(int fd, int level, int name, int v)
{
    int got = -1, r = setsockopt(fd, level, name, &v, sizeof(v)), e = r < 0 ? errno : 0;
    socklen_t len = sizeof(got);
    getsockopt(fd, level, name, &got, &len);
    printf("  set %d of level %d to %d: %s, reads %d\n", name, level, v, e ? strerrorname_np(e) : "ok", got);
}

static void wait_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    int n = poll(&p, 1, WAIT_MS);
    printf("  poll: %d, %#x\n", n, (unsigned)p.revents);
}

/* With a control message of that type if it is not 0. */
static void put(int fd, int port, size_t n, int level, int type, int v)
{
    union { char b[CMSG_SPACE(sizeof(int))]; struct cmsghdr h; } ctl = { .h = { CMSG_LEN(sizeof(int)), level, type } };
    struct iovec iov = { bytes, n };
    struct msghdr m = { .msg_name = at(&peer, port), .msg_namelen = len_of, .msg_iov = &iov, .msg_iovlen = 1,
                        .msg_control = type ? ctl.b : NULL, .msg_controllen = type ? sizeof(ctl.b) : 0 };
    memcpy(CMSG_DATA(&ctl.h), &v, sizeof(v));
    ssize_t r = sendmsg(fd, &m, 0);
    printf("  send %zu with type %d, %d: %s\n", n, type, v, r < 0 ? strerrorname_np(errno) : "ok");
}

static void show_address(const struct cmsghdr *c, int port)
{
    union { struct sockaddr_in in; struct sockaddr_in6 in6; } a = { .in = { 0 } };
    char b[64] = "-";
    size_t len = c->cmsg_len - CMSG_LEN(0);
    memcpy(&a, CMSG_DATA(c), len < sizeof(a) ? len : sizeof(a));
    inet_ntop(a.in.sin_family, a.in.sin_family == AF_INET ? (void *)&a.in.sin_addr : &a.in6.sin6_addr, b, sizeof(b));
    printf("    to %s, the socket's port: %d\n", b, ntohs(a.in.sin_port) == port);
}

static void take(int fd, int flags, size_t room)
{
    union { char b[512]; struct cmsghdr h; } ctl;
    struct sockaddr_storage name;
    socklen_t name_len = sizeof(name);
    struct iovec iov = { bytes, sizeof(bytes) };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl.b, .msg_controllen = room };
    ssize_t n = recvmsg(fd, &m, flags);
    printf("  recvmsg: %zd %s flags %#x control %zu\n", n, n < 0 ? strerrorname_np(errno) : "ok", n < 0 ? 0u : (unsigned)m.msg_flags,
           n < 0 ? 0 : (size_t)m.msg_controllen);
    getsockname(fd, (struct sockaddr *)&name, &name_len);
    for (struct cmsghdr *c = n < 0 || !m.msg_controllen ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        printf("    level %d type %d len %zu\n", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
        if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_ORIGDSTADDR) || (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_ORIGDSTADDR))
            show_address(c, ntohs(((struct sockaddr_in *)&name)->sin_port));
    }
}

/* IP_RECVORIGDSTADDR, alone and behind others. */
static void where_to(void)
{
    int fd = sock();
    for (int i = 0; i < 3; i++) {
        set(fd, IPPROTO_IP, IP_RECVORIGDSTADDR, i < 2);
        if (is_v6)
            set(fd, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, i < 2);
        if (i == 1) {
            set(fd, IPPROTO_IP, IP_PKTINFO, 1);
            set(fd, IPPROTO_IP, IP_RECVTOS, 1);
            if (is_v6)
                set(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
        }
        put(fd, ECHO, 10, 0, 0, 0);
        wait_for(fd, POLLIN);
        take(fd, 0, i == 2 ? CMSG_LEN(4) : 512);
    }
    close(fd);
}

static void whole(void)
{
    int fd = sock();
    set(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, is_v6 ? IPV6_RECVERR : IP_RECVERR, 1);
    for (int on = 0; on < 3; on++) {
        if (is_v6)
            set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, on);
        put(fd, ECHO, LARGE, 0, 0, 0);
        wait_for(fd, POLLIN);
        take(fd, MSG_ERRQUEUE, 512);
        take(fd, MSG_DONTWAIT, 512);
        for (int v = -1; v < 3 && is_v6 && !is_mapped; v++) {
            put(fd, ECHO, LARGE, IPPROTO_IPV6, IPV6_DONTFRAG, v);
            if (v < 0 || v > 1)
                continue;
            wait_for(fd, POLLIN);
            take(fd, MSG_ERRQUEUE, 512);
            take(fd, MSG_DONTWAIT, 512);
        }
    }
    close(fd);
}

static void errors_first(void)
{
    for (int on = 0; on < 2; on++) {
        int fd = sock();
        set(fd, SOL_SOCKET, SO_SELECT_ERR_QUEUE, on);
        set(fd, is_v6 ? IPPROTO_IPV6 : IPPROTO_IP, is_v6 ? IPV6_RECVERR : IP_RECVERR, 1);
        if (is_mapped)
            set(fd, IPPROTO_IP, IP_RECVERR, 1);
        put(fd, CLOSED, 10, 0, 0, 0);
        wait_for(fd, POLLPRI);
        take(fd, MSG_ERRQUEUE, 512);
        wait_for(fd, POLLOUT);
        close(fd);
    }
}

static void buffers(void)
{
    static const int some[] = { 100000, 5000, 0, -1, 70000 };
    int fd = sock(), v;
    for (unsigned i = 0; i < sizeof(some) / sizeof(some[0]); i++)
        for (int name = SO_SNDBUFFORCE; name <= SO_RCVBUFFORCE; name++) {
            socklen_t len = sizeof(v);
            set(fd, SOL_SOCKET, name, some[i]);
            getsockopt(fd, SOL_SOCKET, name == SO_SNDBUFFORCE ? SO_SNDBUF : SO_RCVBUF, &v, &len);
            printf("  as %d\n", v);
        }
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    is_mapped = !strcmp(argv[2], "mapped");
    is_v6 = is_mapped || !strcmp(argv[2], "6");
    len_of = is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    parse(argv[3], &own);
    parse(argv[4], &peer);
    puts("where it was sent to");
    where_to();
    puts("in one piece");
    whole();
    puts("errors first");
    errors_first();
    puts("buffers");
    buffers();
    return 0;
}
