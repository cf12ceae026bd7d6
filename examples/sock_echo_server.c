/* sock_echo_server.c - echo over plain sockets: for the kernel's stack, and under the preload library for ours */
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include "echo_options.h"

enum { BUF_SIZE = 64 << 10, MAX_EVENTS = 64 };

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

/* 1 = the connection has ended. */
static int echo(int fd, unsigned char *buf)
{
    ssize_t n = recv(fd, buf, BUF_SIZE, 0);

    if (n <= 0)
        return 1;
    for (ssize_t done = 0; done < n;) {
        ssize_t k = send(fd, buf + done, (size_t)(n - done), MSG_NOSIGNAL);

        if (k < 0)
            return 1;
        done += k;
    }
    return 0;
}

static void echo_datagram(int fd, unsigned char *buf)
{
    struct sockaddr_storage from;
    socklen_t len = sizeof(from);
    ssize_t n = recvfrom(fd, buf, BUF_SIZE, 0, (struct sockaddr *)&from, &len);

    if (n >= 0 && sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len) < 0)
        perror("sendto");
}

int main(int argc, char **argv)
{
    struct echo_options o = echo_options(argc, argv, 0);
    static unsigned char buf[BUF_SIZE];
    struct epoll_event ev[MAX_EVENTS] = { { .events = EPOLLIN } };
    struct sockaddr_storage ss;
    socklen_t len = fill_address(&o, &ss);
    int one = 1, ended = 0, epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = socket(o.is_v6 ? AF_INET6 : AF_INET, o.is_udp ? SOCK_DGRAM : SOCK_STREAM, 0);

    if (len == 0)
        echo_usage(argv[0]);
    if (listener < 0 || epoll < 0)
        return die("socket");
    if (setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0)
        return die("setsockopt");
    if (bind(listener, (struct sockaddr *)&ss, len) != 0)
        return die("bind");
    if (!o.is_udp && listen(listener, 128) != 0)
        return die("listen");
    ev[0].data.fd = listener;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev[0]) != 0)
        return die("epoll_ctl");
    printf("listening on %s port %d\n", o.address, o.port);
    fflush(stdout);

    while (o.connections == 0 || ended < o.connections) {
        int n = epoll_wait(epoll, ev, MAX_EVENTS, -1);

        for (int i = 0; i < n; i++) {
            int fd = ev[i].data.fd;

            if (fd == listener && o.is_udp) {
                echo_datagram(fd, buf);
                ended++;
            } else if (fd == listener) {
                struct epoll_event e = { .events = EPOLLIN, .data.fd = accept(listener, NULL, NULL) };

                if (e.data.fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, e.data.fd, &e) != 0)
                    return die("epoll_ctl");
            } else if (echo(fd, buf)) {
                close(fd);
                ended++;
            }
        }
    }
    return 0;
}
