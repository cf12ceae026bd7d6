/* udp_probe.c - what a connected UDP socket is told about its path: EMSGSIZE, IP_MTU, and whether datagrams of a size get through
 * usage: udp_probe dont|want|do|probe HOST PORT BYTES; prints "emsgsize=N reply=N mtu=N" as soon as nothing more can change
 *        udp_probe bare-send HOST PORT 0; RFC 6936, and over IPv4 RFC 768: pieces, then "1" without checksum, "2" with one
 *        udp_probe bare-look HOST PORT 0; what came to that address and port over IPv4, as bare-recv says it, with "-" after what was bare
 *        udp_probe bare-recv HOST PORT 0|1; prints what comes up to "2"; 1: with UDP_NO_CHECK6_RX */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TRIES = 50, WAIT_MS = 200 };

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void set_udp(int fd, int name, int v)
{
    if (setsockopt(fd, name == SO_NO_CHECK ? SOL_SOCKET : IPPROTO_UDP, name, &v, sizeof(v)) < 0)
        die("setsockopt");
}

static int bare_send(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_DGRAM, 0), no_check = ai->ai_family == AF_INET ? SO_NO_CHECK : UDP_NO_CHECK6_TX;

    if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        die("connect");
    set_udp(fd, no_check, 1);
    set_udp(fd, UDP_SEGMENT, 1);
    puts(send(fd, "34", 2, 0) < 0 ? strerror(errno) : "pieces are sent");
    set_udp(fd, UDP_SEGMENT, 0);
    if (send(fd, "1", 1, 0) != 1)
        die("send");
    set_udp(fd, no_check, 0);
    if (send(fd, "2", 1, 0) != 1)
        die("send");
    close(fd);
    return 0;
}

static int bare_recv(const struct addrinfo *ai, int on)
{
    int fd = socket(ai->ai_family, SOCK_DGRAM, 0);
    char c = 0;

    if (fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        die("bind");
    set_udp(fd, UDP_NO_CHECK6_RX, on);
    puts("ready");
    fflush(stdout);
    while (c != '2') {
        if (recv(fd, &c, 1, 0) != 1)
            die("recv");
        putchar(c);
    }
    puts("");
    close(fd);
    return 0;
}

static int bare_look(const struct addrinfo *ai)
{
    struct sockaddr_in to;
    struct { uint8_t ip[20]; struct udphdr udp; char c; } got;
    int fd = socket(AF_INET, SOCK_RAW, IPPROTO_UDP);

    memcpy(&to, ai->ai_addr, sizeof(to));
    if (fd < 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        die("raw socket");
    puts("ready");
    fflush(stdout);
    for (got.c = 0; got.c != '2';) {
        if (recv(fd, &got, sizeof(got), 0) != offsetof(typeof(got), c) + 1 || got.udp.dest != to.sin_port)
            continue;
        putchar(got.c);
        if (!got.udp.check)
            putchar('-');
    }
    puts("");
    close(fd);
    return 0;
}

/* ipv6(7) IPV6_PATHMTU: of a connected socket, the same as IPV6_MTU. */
static void path_mtu(int fd, int mtu)
{
    struct ip6_mtuinfo info;
    socklen_t len = sizeof(info);
    int fresh = socket(AF_INET6, SOCK_DGRAM, 0);

    memset(&info, 0xee, sizeof(info));
    if (getsockopt(fd, IPPROTO_IPV6, IPV6_PATHMTU, &info, &len) < 0 || len != sizeof(info) || info.ip6m_mtu != (uint32_t)mtu ||
        info.ip6m_addr.sin6_family != 0 || !IN6_IS_ADDR_UNSPECIFIED(&info.ip6m_addr.sin6_addr))
        puts("IPV6_PATHMTU is another");
    if (getsockopt(fresh, IPPROTO_IPV6, IPV6_PATHMTU, &info, &len) == 0 || errno != ENOTCONN)
        puts("IPV6_PATHMTU of a socket without a peer");
    close(fresh);
}

int main(int argc, char **argv)
{
    static const char *const modes[] = { [IP_PMTUDISC_DONT] = "dont", [IP_PMTUDISC_WANT] = "want", [IP_PMTUDISC_DO] = "do",
                                         [IP_PMTUDISC_PROBE] = "probe" };
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai;
    static char buf[65536];
    bool emsgsize = false, reply = false;
    int mode = -1, mtu = 0;
    socklen_t len = sizeof(mtu);

    if (argc == 5 && strncmp(argv[1], "bare-", 5) == 0) {
        int rc = 2;
        if (getaddrinfo(argv[2], argv[3], &hints, &ai) == 0) {
            rc = strcmp(argv[1], "bare-send") == 0 ? bare_send(ai) : strcmp(argv[1], "bare-look") == 0 ? bare_look(ai) : bare_recv(ai, atoi(argv[4]));
            freeaddrinfo(ai);
        }
        return rc;
    }
    for (int i = 0; argc == 5 && i < 4; i++)
        if (strcmp(argv[1], modes[i]) == 0)
            mode = i;
    if (mode < 0 || getaddrinfo(argv[2], argv[3], &hints, &ai) != 0) {
        fprintf(stderr, "usage: udp_probe dont|want|do|probe HOST PORT BYTES\n");
        return 2;
    }
    bool v6 = ai->ai_family == AF_INET6;
    size_t size = (size_t)atol(argv[4]);
    int fd = socket(ai->ai_family, SOCK_DGRAM, 0);
    if (fd < 0 || setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &mode, sizeof(mode)) < 0)
        die("setsockopt");
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        die("connect");
    for (int i = 0; i < TRIES && !reply && !(mode == IP_PMTUDISC_DO && emsgsize); i++) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (send(fd, buf, size, 0) < 0) {
            if (errno != EMSGSIZE)
                die("send");
            emsgsize = true;
        }
        if (poll(&p, 1, WAIT_MS) <= 0)
            continue;
        ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        if (n < 0 && errno == EMSGSIZE)
            emsgsize = true;
        else if (n < 0 && errno != EAGAIN)
            die("recv");
        reply |= n == (ssize_t)size;
    }
    if (getsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu, &len) < 0)
        die("getsockopt");
    if (v6)
        path_mtu(fd, mtu);
    printf("emsgsize=%d reply=%d mtu=%d\n", emsgsize, reply, mtu);
    freeaddrinfo(ai);
    close(fd);
    return 0;
}
