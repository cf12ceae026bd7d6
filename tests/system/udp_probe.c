/* udp_probe.c - what a connected UDP socket is told about its path: EMSGSIZE, IP_MTU, and whether datagrams of a size get through
 * usage: udp_probe dont|want|do|probe HOST PORT BYTES; prints "emsgsize=N reply=N mtu=N" as soon as nothing more can change
 *        udp_probe bare-send HOST PORT 0; RFC 6936: pieces, then "1" without checksum, "2" with one
 *        udp_probe bare-recv HOST PORT 0|1; prints what comes up to "2"; 1: with UDP_NO_CHECK6_RX */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
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
    if (setsockopt(fd, IPPROTO_UDP, name, &v, sizeof(v)) < 0)
        die("setsockopt");
}

static int bare_send(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_DGRAM, 0);

    if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        die("connect");
    set_udp(fd, UDP_NO_CHECK6_TX, 1);
    set_udp(fd, UDP_SEGMENT, 1);
    puts(send(fd, "34", 2, 0) < 0 ? strerror(errno) : "pieces are sent");
    set_udp(fd, UDP_SEGMENT, 0);
    if (send(fd, "1", 1, 0) != 1)
        die("send");
    set_udp(fd, UDP_NO_CHECK6_TX, 0);
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
            rc = strcmp(argv[1], "bare-send") == 0 ? bare_send(ai) : bare_recv(ai, atoi(argv[4]));
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
    printf("emsgsize=%d reply=%d mtu=%d\n", emsgsize, reply, mtu);
    freeaddrinfo(ai);
    close(fd);
    return 0;
}
