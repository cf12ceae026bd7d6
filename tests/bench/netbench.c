/* netbench.c - round-trip times and short connections over plain blocking sockets, unmodified on either stack
 *   netbench server ADDRESS PORT        one connection at a time: echoes until the end of file, then the next one
 *   netbench rtt ADDRESS PORT SECONDS   64-byte ping-pong on one connection; prints: median and 99th percentile, in us
 *   netbench conn ADDRESS PORT SECONDS  connect, one byte there and back, close, again; prints: connections a second */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MSG_BYTES = 64, MAX_SAMPLES = 4000000, WARM_UP = 200 };

static void __attribute__((noreturn)) die(const char *what)
{
    fprintf(stderr, "netbench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static struct addrinfo *resolve(const char *host, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *res;
    if (getaddrinfo(host, port, &hints, &res) != 0) {
        fprintf(stderr, "netbench: %s %s is no address and port\n", host, port);
        exit(2);
    }
    return res;
}

static void nodelay(int fd)
{
    int one = 1;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) < 0)
        die("TCP_NODELAY");
}

static void exchange(int fd, uint8_t *buf, size_t len)
{
    if (send(fd, buf, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send");
    for (size_t got = 0; got < len;) {
        ssize_t n = recv(fd, buf + got, len - got, 0);
        if (n <= 0)
            die("recv");
        got += (size_t)n;
    }
}

static void server(const struct addrinfo *ai)
{
    int one = 1, fd = socket(ai->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
        die("socket");
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 128) < 0)
        die("bind and listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        uint8_t buf[4096];
        int c = accept(fd, NULL, NULL);
        if (c < 0)
            die("accept");
        nodelay(c);
        for (;;) {
            ssize_t n = recv(c, buf, sizeof buf, 0);
            if (n <= 0 || send(c, buf, (size_t)n, MSG_NOSIGNAL) != n)
                break;
        }
        close(c);
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static int connect_to(const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        die("connect");
    nodelay(fd);
    return fd;
}

static void rtt(const struct addrinfo *ai, double seconds)
{
    uint32_t *ns = malloc(MAX_SAMPLES * sizeof *ns);
    uint8_t buf[MSG_BYTES] = { 1 };
    size_t n = 0;
    int fd = connect_to(ai);

    if (ns == NULL)
        die("malloc");
    for (int i = 0; i < WARM_UP; i++)
        exchange(fd, buf, sizeof buf);
    uint64_t t = now_ns(), end = t + (uint64_t)(seconds * 1e9);
    while (t < end && n < MAX_SAMPLES) {
        exchange(fd, buf, sizeof buf);
        uint64_t u = now_ns();
        ns[n++] = (uint32_t)(u - t);
        t = u;
    }
    close(fd);
    qsort(ns, n, sizeof *ns, by_value);
    printf("%.2f %.2f\n", ns[n / 2] / 1e3, ns[n * 99 / 100] / 1e3);
    free(ns);
}

static void conn(const struct addrinfo *ai, double seconds)
{
    uint64_t begin = now_ns(), end = begin + (uint64_t)(seconds * 1e9), n = 0;
    uint8_t byte = 1;

    while (now_ns() < end) {
        int fd = connect_to(ai);
        exchange(fd, &byte, 1);
        close(fd);
        n++;
    }
    printf("%.0f\n", (double)n * 1e9 / (double)(now_ns() - begin));
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "server") == 0)
        server(resolve(argv[2], argv[3]));
    else if (argc == 5 && strcmp(argv[1], "rtt") == 0)
        rtt(resolve(argv[2], argv[3]), atof(argv[4]));
    else if (argc == 5 && strcmp(argv[1], "conn") == 0)
        conn(resolve(argv[2], argv[3]), atof(argv[4]));
    else {
        fputs("usage: netbench server ADDRESS PORT | netbench rtt|conn ADDRESS PORT SECONDS\n", stderr);
        return 2;
    }
    return 0;
}
