/* udp_probe.c - what a connected UDP socket is told about its path: EMSGSIZE, IP_MTU, and whether datagrams of a size get through
 * usage: udp_probe dont|want|do|probe HOST PORT BYTES; prints "emsgsize=N reply=N mtu=N" as soon as nothing more can change */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip.h>
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

int main(int argc, char **argv)
{
    static const char *const modes[] = { [IP_PMTUDISC_DONT] = "dont", [IP_PMTUDISC_WANT] = "want", [IP_PMTUDISC_DO] = "do",
                                         [IP_PMTUDISC_PROBE] = "probe" };
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai;
    static char buf[65536];
    bool emsgsize = false, reply = false;
    int mode = -1, mtu = 0;
    socklen_t len = sizeof(mtu);

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
