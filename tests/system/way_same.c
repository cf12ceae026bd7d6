/* way_same.c - where datagrams go and come in: errors about ways that there are not, IP_PKTINFO, IP_UNICAST_IF; run on the kernel and on the
 * stack, the output is compared
 * usage: way_same 4|6 OWN0 PEER0 OWN1 PEER1 NOWHERE    OWN0 on vs0 beside PEER0, OWN1 on vs1 beside PEER1, whose ports 7000 echo */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ECHO = 7000, ALL4_PORT = 5620, ALL6_PORT = 5621, WAIT_MS = 5000 };
enum { OWN0, PEER0, OWN1, PEER1, NOWHERE, N_HOSTS };

static struct { bool v6; const char *host[N_HOSTS]; } t;

static const char *name_of(long rc) { return rc < 0 ? strerrorname_np(errno) : "0"; }

static socklen_t address(const char *text, int port, struct sockaddr_storage *ss)
{
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ss;
    struct sockaddr_in *a4 = (struct sockaddr_in *)ss;

    memset(ss, 0, sizeof(*ss));
    if (t.v6) {
        *a6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
        inet_pton(AF_INET6, text, &a6->sin6_addr);
        return sizeof(*a6);
    }
    *a4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    inet_pton(AF_INET, text, &a4->sin_addr);
    return sizeof(*a4);
}

static int set(int fd, const char *what, int level, int name, int v)
{
    int rc = setsockopt(fd, level, name, &v, sizeof(v)), got = -1;
    socklen_t len = sizeof(got);

    printf("  set %s: %s\n", what, name_of(rc));
    getsockopt(fd, level, name, &got, &len);
    return got;
}

static int sock(const char *own, int port)
{
    struct sockaddr_storage ss;
    socklen_t len = address(own ? own : t.v6 ? "::" : "0.0.0.0", port, &ss);
    int fd = socket(t.v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&ss, len) < 0) {
        perror("socket or bind");
        exit(1);
    }
    return fd;
}

static void tell_interfaces(int fd) { set(fd, "PKTINFO", t.v6 ? IPPROTO_IPV6 : IPPROTO_IP, t.v6 ? IPV6_RECVPKTINFO : IP_PKTINFO, 1); }

static void send_plain(int fd, const char *to, int flags)
{
    struct sockaddr_storage ss;
    socklen_t len = address(to, ECHO, &ss);
    ssize_t n = sendto(fd, "some bytes", 10, flags, (struct sockaddr *)&ss, len);

    printf("  sendto %s%s: %s\n", to, flags ? " at once" : "", name_of(n));
}

/* By the interface of that index, from own, or NULL. */
static void send_by(int fd, const char *to, const char *own, unsigned index, const char *what)
{
    struct sockaddr_storage ss;
    struct iovec iov = { "more bytes", 10 };
    union { struct cmsghdr align; char b[CMSG_SPACE(sizeof(struct in6_pktinfo))]; } c = { 0 };
    struct msghdr m = { .msg_name = &ss, .msg_namelen = address(to, ECHO, &ss), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &c,
                        .msg_controllen = t.v6 ? CMSG_SPACE(sizeof(struct in6_pktinfo)) : CMSG_SPACE(sizeof(struct in_pktinfo)) };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    if (t.v6) {
        struct in6_pktinfo p = { .ipi6_ifindex = index };
        if (own)
            inet_pton(AF_INET6, own, &p.ipi6_addr);
        *h = (struct cmsghdr){ CMSG_LEN(sizeof(p)), IPPROTO_IPV6, IPV6_PKTINFO };
        memcpy(CMSG_DATA(h), &p, sizeof(p));
    } else {
        struct in_pktinfo p = { .ipi_ifindex = (int)index };
        if (own)
            inet_pton(AF_INET, own, &p.ipi_spec_dst);
        *h = (struct cmsghdr){ CMSG_LEN(sizeof(p)), IPPROTO_IP, IP_PKTINFO };
        memcpy(CMSG_DATA(h), &p, sizeof(p));
    }
    printf("  send to %s by %s%s%s: %s\n", to, what, own ? " from " : "", own ? own : "", name_of(sendmsg(fd, &m, 0)));
}

static const char *interface_name(unsigned index)
{
    static char b[IF_NAMESIZE];
    return index == 0 ? "none" : if_indextoname(index, b) ? b : "unknown";
}

static void show_info(const struct cmsghdr *c)
{
    char a[64], b[64];

    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
        struct in_pktinfo p;
        memcpy(&p, CMSG_DATA(c), sizeof(p));
        printf(", to %s by %s, own %s", inet_ntop(AF_INET, &p.ipi_addr, a, sizeof(a)), interface_name((unsigned)p.ipi_ifindex),
               inet_ntop(AF_INET, &p.ipi_spec_dst, b, sizeof(b)));
    } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
        struct in6_pktinfo p;
        memcpy(&p, CMSG_DATA(c), sizeof(p));
        printf(", to %s by %s", inet_ntop(AF_INET6, &p.ipi6_addr, a, sizeof(a)), interface_name(p.ipi6_ifindex));
    }
}

static void receive(int fd)
{
    struct sockaddr_storage ss;
    char data[100], ctl[256], a[64];
    struct iovec iov = { data, sizeof(data) };
    struct msghdr m = { .msg_name = &ss, .msg_namelen = sizeof(ss), .msg_iov = &iov, .msg_iovlen = 1, .msg_control = ctl,
                        .msg_controllen = sizeof(ctl) };
    struct pollfd p = { .fd = fd, .events = POLLIN };

    printf("  poll: %d", poll(&p, 1, WAIT_MS));
    ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);
    printf(", received %zd%s%s", n, n < 0 ? " " : "", n < 0 ? name_of(n) : "");
    if (n >= 0)
        printf(" from %s", t.v6 ? inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&ss)->sin6_addr, a, sizeof(a))
                                : inet_ntop(AF_INET, &((struct sockaddr_in *)&ss)->sin_addr, a, sizeof(a)));
    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        show_info(c);
    printf("\n");
}

static void so_error(int fd)
{
    int e = -1;
    socklen_t len = sizeof(e);

    getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len);
    printf("  SO_ERROR: %s\n", e ? strerrorname_np(e) : "0");
}

static void send_several(int fd)
{
    static const int to[] = { PEER0, PEER1, NOWHERE, PEER0 };
    enum { N = sizeof(to) / sizeof(to[0]) };
    struct sockaddr_storage ss[N];
    struct iovec iov = { "x", 1 };
    struct mmsghdr v[N] = { 0 };

    for (int i = 0; i < N; i++)
        v[i].msg_hdr = (struct msghdr){ .msg_name = &ss[i], .msg_namelen = address(t.host[to[i]], ECHO, &ss[i]), .msg_iov = &iov, .msg_iovlen = 1 };
    int n = sendmmsg(fd, v, N, 0);
    printf("  sendmmsg: %d\n", n);
    n = sendmmsg(fd, v + 2, N - 2, 0);
    printf("  sendmmsg: %d %s\n", n, name_of(n));
    receive(fd);
    receive(fd);
}

static void no_way(const char *own, int port)
{
    int fd = sock(own, port);
    struct sockaddr_storage ss;
    socklen_t len = address(t.host[NOWHERE], ECHO, &ss);

    for (int i = 0; i < 2; i++) {
        send_plain(fd, t.host[NOWHERE], 0);
        send_plain(fd, t.host[NOWHERE], MSG_DONTWAIT);
        so_error(fd);
        send_plain(fd, t.host[PEER0], i ? MSG_DONTWAIT : 0);
        receive(fd);
        send_plain(fd, t.host[PEER1], 0);
        receive(fd);
        fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    if (own)
        send_several(fd);
    printf("  connect: %s\n", name_of(connect(fd, (struct sockaddr *)&ss, len)));
    so_error(fd);
    close(fd);
}

static void told(const char *own, const char *peer, int port)
{
    int fd = sock(own, port);
    struct sockaddr_storage ss;
    socklen_t len = address(own ? own : t.host[OWN0], port, &ss);

    tell_interfaces(fd);
    send_plain(fd, peer, 0);
    receive(fd);
    if (own)
        printf("  to itself: %s\n", name_of(sendto(fd, "me", 2, 0, (struct sockaddr *)&ss, len)));
    if (own)
        receive(fd);
    close(fd);
}

/* The datagram is there before it is asked for. */
static void told_late(const char *peer)
{
    int fd = sock(NULL, 5607);
    struct pollfd p = { .fd = fd, .events = POLLIN };

    send_plain(fd, peer, 0);
    printf("  poll: %d\n", poll(&p, 1, WAIT_MS));
    tell_interfaces(fd);
    receive(fd);
    close(fd);
}

/* The other host sends to all, again and again. */
static void told_all(void)
{
    int fd = sock(NULL, t.v6 ? ALL6_PORT : ALL4_PORT);

    tell_interfaces(fd);
    send_plain(fd, t.host[PEER0], 0); /* its echo makes sure that the option is heard of */
    for (char b[64], first = 0; !first; first = recv(fd, b, sizeof(b), 0) == 10)
        ;
    receive(fd);
    close(fd);
}

static void chosen(void)
{
    int fd = sock(NULL, 5610);
    unsigned vs0 = if_nametoindex("vs0"), vs1 = if_nametoindex("vs1");

    tell_interfaces(fd);
    send_by(fd, t.host[PEER0], NULL, vs0, "vs0");
    receive(fd);
    send_by(fd, t.host[PEER1], NULL, vs1, "vs1");
    receive(fd);
    send_by(fd, t.host[PEER1], t.host[OWN1], 0, "its route");
    receive(fd);
    close(fd);
    fd = sock(t.host[OWN0], 5611);
    tell_interfaces(fd);
    send_by(fd, t.host[PEER0], NULL, vs0, "vs0");
    receive(fd);
    if (t.v6) { /* nothing is looked for on a link that its prefix is not of */
        send_by(fd, t.host[PEER1], NULL, vs0, "vs0");
    } else {
        send_by(fd, t.host[PEER1], NULL, vs0, "vs0");
        receive(fd);
    }
    send_by(fd, t.host[PEER0], NULL, 99999, "what is none");
    send_by(fd, t.host[PEER0], NULL, (unsigned)-1, "what is none");
    send_by(fd, t.host[PEER0], NULL, vs0, "vs0");
    receive(fd);
    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "vs0", 4);
    send_by(fd, t.host[PEER0], NULL, vs0, "vs0");
    receive(fd);
    if (t.v6)
        send_by(fd, t.host[PEER1], NULL, vs1, "vs1");
    close(fd);
}

static void unicast_if(int type)
{
    int fd = socket(t.v6 ? AF_INET6 : AF_INET, type, 0), level = t.v6 ? IPPROTO_IPV6 : IPPROTO_IP, name = t.v6 ? IPV6_UNICAST_IF : IP_UNICAST_IF;
    int vs0 = (int)htonl(if_nametoindex("vs0"));

    printf("  reads its own: %d\n", set(fd, "vs0", level, name, vs0) == vs0);
    printf("  reads %d\n", set(fd, "none", level, name, 0));
    printf("  reads %d\n", set(fd, "what is none", level, name, (int)htonl(99999)));
    printf("  short: %s\n", name_of(setsockopt(fd, level, name, &vs0, 1)));
    printf("  SO_BINDTODEVICE: %s\n", name_of(setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, "vs0", 4)));
    printf("  reads %d\n", set(fd, "of a bound one", level, name, vs0));
    close(fd);
    if (type != SOCK_DGRAM)
        return;
    fd = sock(t.host[OWN0], 5612);
    tell_interfaces(fd);
    set(fd, "vs0", level, name, vs0);
    send_plain(fd, t.host[PEER0], 0);
    receive(fd);
    send_plain(fd, t.host[PEER1], 0);
    if (!t.v6)
        receive(fd);
    set(fd, "none", level, name, 0);
    send_plain(fd, t.host[NOWHERE], 0);
    close(fd);
}

static int unicast_if_of(int fd, unsigned index)
{
    int v = (int)htonl(index);

    return setsockopt(fd, t.v6 ? IPPROTO_IPV6 : IPPROTO_IP, t.v6 ? IPV6_UNICAST_IF : IP_UNICAST_IF, &v, sizeof(v));
}

static int connect_to(int fd, const char *to, const char *how)
{
    struct sockaddr_storage ss;
    socklen_t len = address(to, ECHO, &ss);
    char a[64];
    int rc = connect(fd, (struct sockaddr *)&ss, len);

    printf("  connect to %s%s: %s", to, how, name_of(rc));
    len = sizeof(ss);
    if (rc == 0 && getsockname(fd, (struct sockaddr *)&ss, &len) == 0)
        printf(", own %s", t.v6 ? inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&ss)->sin6_addr, a, sizeof(a))
                                : inet_ntop(AF_INET, &((struct sockaddr_in *)&ss)->sin_addr, a, sizeof(a)));
    printf("\n");
    return rc;
}

static void send_connected(int fd)
{
    printf("  send: %s\n", name_of(send(fd, "some bytes", 10, 0)));
    receive(fd);
}

/* connect() of datagram sockets looks for the peer by that interface; streams take no notice of it. */
static void connect_by(int type, const char *own, unsigned index, const char *how)
{
    static const int peers[] = { PEER0, PEER1, NOWHERE };

    for (unsigned i = 0; i < 3; i++) {
        int fd = socket(t.v6 ? AF_INET6 : AF_INET, type, 0);
        struct sockaddr_storage ss;

        if (own && bind(fd, (struct sockaddr *)&ss, address(own, 0, &ss)) < 0)
            perror("bind");
        unicast_if_of(fd, index);
        int rc = connect_to(fd, t.host[peers[i]], how);
        if (rc == 0 && type == SOCK_DGRAM && index == if_nametoindex(i ? "vs1" : "vs0") && i < 2 && (!own || i == 0))
            send_connected(fd);
        close(fd);
    }
}

static void connect_then_set(void)
{
    int fd = socket(t.v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);

    connect_to(fd, t.host[PEER1], "");
    unicast_if_of(fd, if_nametoindex("vs0"));
    send_connected(fd);
    connect_to(fd, t.host[PEER1], " by vs0 now");
    close(fd);
    fd = socket(t.v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
    unicast_if_of(fd, if_nametoindex("vs1"));
    connect_to(fd, t.host[PEER1], " by vs1");
    unicast_if_of(fd, 0);
    send_connected(fd);
    close(fd);
}

int main(int argc, char **argv)
{
    if (argc != 2 + N_HOSTS)
        return 2;
    setlinebuf(stdout);
    t.v6 = !strcmp(argv[1], "6");
    for (int i = 0; i < N_HOSTS; i++)
        t.host[i] = argv[2 + i];
    printf("no way, bound\n");
    no_way(t.host[OWN0], 5601);
    printf("no way, not bound\n");
    no_way(NULL, 5602);
    printf("told\n");
    told(t.host[OWN0], t.host[PEER0], 5603);
    told(t.host[OWN1], t.host[PEER1], 5604);
    told(NULL, t.host[PEER0], 5605);
    told(NULL, t.host[PEER1], 5606);
    printf("told of what came before\n");
    told_late(t.host[PEER0]);
    told_late(t.host[PEER1]);
    printf("told of what went to all\n");
    told_all();
    printf("chosen\n");
    chosen();
    printf("IP_UNICAST_IF, UDP\n");
    unicast_if(SOCK_DGRAM);
    printf("IP_UNICAST_IF, TCP\n");
    unicast_if(SOCK_STREAM);
    printf("IP_UNICAST_IF, connect\n");
    for (int i = 0; i < 2; i++) {
        const char *own = i ? t.host[OWN0] : NULL;
        connect_by(SOCK_DGRAM, own, if_nametoindex("vs0"), i ? " by vs0, bound" : " by vs0");
        connect_by(SOCK_DGRAM, own, if_nametoindex("vs1"), i ? " by vs1, bound" : " by vs1");
        connect_by(SOCK_STREAM, own, if_nametoindex("vs0"), " by vs0, stream");
        connect_by(SOCK_STREAM, own, if_nametoindex("vs1"), " by vs1, stream");
    }
    connect_then_set();
    return 0;
}
