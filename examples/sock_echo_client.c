/* sock_echo_client.c - sends messages over plain sockets and waits for each to come back */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include "echo_options.h"

static int die(const char *what)
{
    perror(what);
    return 1;
}

static socklen_t fill_address(const struct echo_options *o, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    if (o->is_v6) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)ss;

        a->sin6_family = AF_INET6;
        a->sin6_port = htons((uint16_t)o->port);
        return inet_pton(AF_INET6, o->address, &a->sin6_addr) == 1 ? sizeof(*a) : 0;
    } else {
        struct sockaddr_in *a = (struct sockaddr_in *)ss;

        a->sin_family = AF_INET;
        a->sin_port = htons((uint16_t)o->port);
        return inet_pton(AF_INET, o->address, &a->sin_addr) == 1 ? sizeof(*a) : 0;
    }
}

/* A blocking send takes all; the answer may come in pieces. */
static int round_trip(int fd, unsigned char *out, unsigned char *in, size_t size)
{
    size_t got = 0;

    if (send(fd, out, size, MSG_NOSIGNAL) != (ssize_t)size)
        return die("send");
    while (got < size) {
        ssize_t n = recv(fd, in + got, size - got, 0);

        if (n < 0)
            return die("recv");
        if (n == 0) {
            fprintf(stderr, "the other side closed after %zu bytes\n", got);
            return 1;
        }
        got += (size_t)n;
    }
    return 0;
}

static int run(const struct echo_options *o, unsigned char *out, unsigned char *in)
{
    struct sockaddr_storage ss;
    socklen_t len = fill_address(o, &ss);
    int one = 1, fd = socket(o->is_v6 ? AF_INET6 : AF_INET, o->is_udp ? SOCK_DGRAM : SOCK_STREAM, 0);

    if (fd < 0 || len == 0)
        return die("socket");
    if (!o->is_udp && setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) != 0)
        return die("setsockopt");
    if (connect(fd, (struct sockaddr *)&ss, len) != 0)
        return die("connect");
    for (long i = 0; i < o->count; i++) {
        if (o->verify || i == 0)
            echo_fill(out, o->size, i);
        if (round_trip(fd, out, in, o->size))
            return 1;
        if (o->verify && memcmp(out, in, o->size) != 0) {
            fprintf(stderr, "message %ld came back changed\n", i);
            return 1;
        }
    }
    return close(fd) ? die("close") : 0;
}

int main(int argc, char **argv)
{
    struct echo_options o = echo_options(argc, argv, 1);
    unsigned char *out = malloc(o.size), *in = malloc(o.size);
    struct timespec begun, ended;
    double us;

    if (!out || !in)
        return die("malloc");
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (int i = 0; i < o.connections; i++)
        if (run(&o, out, in))
            return 1;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    us = (double)(ended.tv_sec - begun.tv_sec) * 1e6 + (double)(ended.tv_nsec - begun.tv_nsec) / 1e3;
    printf("%d connections, %ld messages of %zu bytes each: %.2f us a message\n", o.connections, o.count, o.size,
           us / (double)o.connections / (double)(o.count ? o.count : 1));
    free(out);
    free(in);
    return 0;
}
