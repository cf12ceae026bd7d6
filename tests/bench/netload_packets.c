/* netload_packets.c - datagrams as fast as they go: one side sends batches for a time, the other counts what comes
 * The connection over which they have agreed tells the end, and brings the number back. */
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/bench/measure.h"
#include "tests/bench/netload.h"

enum { BATCH = 32, MOST = 2048 };

static struct mmsghdr batch[BATCH];
static struct iovec piece[BATCH];
static uint8_t room[BATCH][MOST];

static void batch_of(size_t size)
{
    for (unsigned i = 0; i < BATCH; i++) {
        piece[i] = (struct iovec){ room[i], size };
        batch[i].msg_hdr = (struct msghdr){ .msg_iov = &piece[i], .msg_iovlen = 1 };
    }
}

/* fd: the connection. The datagrams come to the same address and port. */
void netload_count(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int one = 1;

    if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0)
        netload_die("getsockname");
    struct pollfd p[2] = { { .fd = socket(ss.ss_family, SOCK_DGRAM, 0), .events = POLLIN }, { .fd = fd, .events = POLLIN } };
    uint64_t got = 0;
    if (p[0].fd < 0 || setsockopt(p[0].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 || bind(p[0].fd, (struct sockaddr *)&ss, len) < 0)
        netload_die("bind");
    batch_of(MOST);
    if (send(fd, "r", 1, MSG_NOSIGNAL) != 1)
        goto out;
    do {
        if (poll(p, 2, -1) < 0 && errno != EINTR)
            netload_die("poll");
        for (int n; (n = recvmmsg(p[0].fd, batch, BATCH, MSG_DONTWAIT, NULL)) > 0;)
            got += (unsigned)n;
    } while (!p[1].revents);
    uint8_t word;
    if (recv(fd, &word, 1, 0) == 1)
        (void)send(fd, &got, sizeof(got), MSG_NOSIGNAL);
out:
    close(p[0].fd);
}

void netload_packets(int fd, const struct addrinfo *ai, size_t size, double seconds)
{
    int s = socket(ai->ai_family, SOCK_DGRAM, 0);
    uint64_t got = 0;

    if (size > MOST || !netload_read_all(fd, room[0], 1, false))
        netload_die("the other side");
    if (s < 0 || connect(s, ai->ai_addr, ai->ai_addrlen) < 0)
        netload_die("connect");
    batch_of(size);
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), now;
    do {
        if (sendmmsg(s, batch, BATCH, 0) < 0 && errno != ENOBUFS && errno != EAGAIN)
            netload_die("sendmmsg");
        now = now_ns();
    } while (now < end);
    if (send(fd, "e", 1, MSG_NOSIGNAL) != 1 || !netload_read_all(fd, &got, sizeof(got), false))
        netload_die("the number");
    printf("%.0f\n", (double)got * 1e9 / (double)(now - begin));
    close(s);
}
