/* diff_told.c - what recvmsg() tells of bytes that are left (TCP_INQ), and of datagrams that were lost (SO_RXQ_OVFL)
 * usage: diff_told kernel|ours tcp|udp FROM TO */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

enum { WAIT_S = 60, ROOM = 256, BIG = 1000, BURST = 2000, BUFFER = 64 << 10 };

static void set(int fd, int level, int name, int v)
{
    int is = -1;
    socklen_t len = sizeof(is);
    int r = setsockopt(fd, level, name, &v, sizeof(v));
    getsockopt(fd, level, name, &is, &len);
    printf("set %d to %d: %d, is %d\n", name, v, r, is);
}

/* Prints its control messages; the value of the last one, 0 = none. */
static uint32_t take(int fd, size_t len, int flags, size_t room, const char *what)
{
    char control[ROOM], bytes[BIG];
    struct iovec iov = { bytes, len };
    struct msghdr m = { .msg_control = room ? control : NULL, .msg_controllen = room, .msg_iov = &iov, .msg_iovlen = 1 };
    uint32_t v = 0;
    ssize_t n = recvmsg(fd, &m, flags);
    if (what)
        printf("%s: %zd %s flags %#x", what, n, n < 0 ? strerrorname_np(errno) : "ok", n < 0 ? 0 : (unsigned)m.msg_flags);
    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_len >= CMSG_LEN(sizeof(v)))
            memcpy(&v, CMSG_DATA(c), sizeof(v));
        if (what)
            printf(", level %d type %d len %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
        if (what && c->cmsg_level == IPPROTO_TCP)
            printf(": %u", v);
    }
    if (what)
        printf("\n");
    return v;
}

static void until(int fd, int n)
{
    time_t end = time(NULL) + WAIT_S;
    int there = 0;
    while (ioctl(fd, FIONREAD, &there) == 0 && there < n && time(NULL) < end)
        usleep(1000);
    printf("%d bytes\n", there);
}

static void put(int fd, int n)
{
    char b[BIG] = "";
    if (send(fd, b, (size_t)n, 0) != n)
        diff_die("send");
}

static void left(int out, int in, bool ends)
{
    put(out, 10);
    until(in, 10);
    take(in, 3, 0, ROOM, "not asked");
    set(in, IPPROTO_TCP, TCP_INQ, 2);
    set(in, IPPROTO_TCP, TCP_INQ, 1);
    take(in, 2, 0, ROOM, "some");
    take(in, 2, MSG_PEEK, ROOM, "looked at");
    take(in, 0, 0, ROOM, "nothing");
    take(in, 1, MSG_TRUNC, ROOM, "thrown away");
    take(in, 1, 0, CMSG_LEN(2), "little room");
    take(in, 100, 0, ROOM, "all");
    take(in, 100, MSG_DONTWAIT, ROOM, "none");
    put(out, 5);
    until(in, 5);
    if (!ends) {
        take(in, 5, 0, ROOM, "all again");
        return;
    }
    if (shutdown(out, SHUT_WR) < 0)
        diff_die("shutdown");
    struct pollfd p = { .fd = in, .events = POLLRDHUP };
    if (poll(&p, 1, WAIT_S * 1000) != 1)
        diff_die("poll");
    take(in, 4, 0, ROOM, "before the last");
    take(in, 4, 0, ROOM, "the last");
    take(in, 4, 0, ROOM, "the end");
    set(in, IPPROTO_TCP, TCP_INQ, 0);
    take(in, 4, 0, ROOM, "not any more");
}

/* Bursts until one is lost, and one that comes after that. */
static void lost(int out, int in)
{
    time_t end = time(NULL) + WAIT_S;
    uint32_t n = 0;
    int size = BUFFER;
    setsockopt(in, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    set(in, SOL_SOCKET, SO_RXQ_OVFL, 1);
    put(out, 10);
    until(in, 10);
    take(in, 10, 0, ROOM, "none lost");
    while (n == 0 && time(NULL) < end) {
        struct pollfd p = { .fd = in, .events = POLLIN };
        for (int i = 0; i < BURST; i++)
            put(out, BIG);
        while (n == 0 && poll(&p, 1, 50) == 1)
            n = take(in, BIG, MSG_DONTWAIT, ROOM, NULL);
    }
    printf("lost some: %d\n", n > 0);
    set(in, SOL_SOCKET, SO_RXQ_OVFL, 0);
}

int main(int argc, char **argv)
{
    int ends[2];
    bool udp = diff_ends(argc, argv, 3 * WAIT_S, ends);
    for (int back = 0; back < 2; back++) { /* who connected, too */
        if (udp)
            lost(ends[back], ends[!back]);
        else
            left(ends[back], ends[!back], back);
    }
    for (int i = 0; i < 2 && !udp; i++) /* a reset: no TIME-WAIT stays behind */
        setsockopt(ends[!i], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    return 0;
}
