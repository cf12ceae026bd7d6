/* diff_pair.c - two sockets that are connected, between any two addresses */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

void diff_die(const char *what)
{
    perror(what);
    exit(2);
}

static socklen_t address(const char *text, uint16_t port, struct sockaddr_storage *ss)
{
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ss;
    struct sockaddr_in *a4 = (struct sockaddr_in *)ss;

    memset(ss, 0, sizeof(*ss));
    if (inet_pton(AF_INET6, text, &a6->sin6_addr) == 1) {
        a6->sin6_family = AF_INET6;
        a6->sin6_port = port;
        return sizeof(*a6);
    }
    a4->sin_family = AF_INET;
    a4->sin_port = port;
    if (inet_pton(AF_INET, text, &a4->sin_addr) != 1)
        diff_die(text);
    return sizeof(*a4);
}

int diff_connected(const char *from, const char *to, bool udp, int other[2])
{
    struct sockaddr_storage ss;
    socklen_t len = address(to, 0, &ss);
    int type = udp ? SOCK_DGRAM : SOCK_STREAM, fd;

    other[0] = socket(ss.ss_family, type, 0);
    if (other[0] < 0 || bind(other[0], (struct sockaddr *)&ss, len) < 0 || (!udp && listen(other[0], 4) < 0))
        diff_die("bind");
    if (getsockname(other[0], (struct sockaddr *)&ss, &len) < 0)
        diff_die("getsockname");
    struct sockaddr_storage own;
    socklen_t own_len = address(from, 0, &own);

    fd = socket(ss.ss_family, type, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, own_len) < 0 || connect(fd, (struct sockaddr *)&ss, len) < 0)
        diff_die("connect");
    other[1] = udp ? -1 : accept(other[0], NULL, NULL);
    return fd;
}

bool diff_ends(int argc, char **argv, unsigned limit_s, int ends[2])
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int other[2];

    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(limit_s);
    if (argc != 5)
        exit(2);
    bool udp = strcmp(argv[2], "udp") == 0;

    ends[0] = diff_connected(argv[3], argv[4], udp, other);
    ends[1] = udp ? other[0] : other[1];
    if (udp && (getsockname(ends[0], (struct sockaddr *)&ss, &len) < 0 || connect(ends[1], (struct sockaddr *)&ss, len) < 0))
        diff_die("connect back");
    return udp;
}
