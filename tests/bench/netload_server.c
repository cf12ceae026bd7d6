/* netload_server.c - the serving side of netload: one thread, epoll; a connection that is alone gets blocking calls */
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/bench/netload.h"

enum { MAX_FDS = 1 << 20, MAX_EVENTS = 256, CALLS_A_TURN = 4 };

static uint8_t buf[NETLOAD_BUF];
static struct netload_hello *asked; /* by descriptor; mode 0: has not said yet */

static void serve_alone(int fd, const struct netload_hello *h)
{
    if (fcntl(fd, F_SETFL, O_RDWR) < 0)
        netload_die("fcntl");
    switch (h->mode) {
    case NETLOAD_SINK:
        while (recv(fd, buf, sizeof(buf), 0) > 0)
            ;
        break;
    case NETLOAD_SOURCE:
        while (send(fd, buf, h->size, MSG_NOSIGNAL) > 0)
            ;
        break;
    case NETLOAD_COUNT:
        netload_count(fd);
        break;
    case NETLOAD_ECHO:
        while (netload_read_all(fd, buf, h->size, h->busy) && send(fd, buf, h->size, MSG_NOSIGNAL) == (ssize_t)h->size)
            ;
        break;
    }
}

/* false: the connection is done. */
static bool first_words(int set, int fd)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLOUT, .data.fd = fd };
    struct netload_hello h;
    ssize_t n = recv(fd, &h, sizeof(h), 0);

    if (n < 0 && errno == EAGAIN)
        return true;
    if (n != sizeof(h) || h.size > sizeof(buf))
        return false;
    netload_nodelay(fd);
    if (h.alone) {
        serve_alone(fd, &h);
        return false;
    }
    asked[fd] = h;
    if (h.mode == NETLOAD_SOURCE && epoll_ctl(set, EPOLL_CTL_MOD, fd, &e) < 0)
        netload_die("epoll_ctl");
    return h.mode != NETLOAD_REPLY || send(fd, buf, 1, MSG_NOSIGNAL) == 1;
}

static bool serve(int set, int fd)
{
    const struct netload_hello *h = &asked[fd];
    ssize_t n = 1;

    if (h->mode == 0)
        return first_words(set, fd);
    for (int i = 0; i < CALLS_A_TURN && n > 0; i++) {
        if (h->mode == NETLOAD_SOURCE)
            n = send(fd, buf, h->size, MSG_NOSIGNAL);
        else
            n = recv(fd, buf, sizeof(buf), 0);
        if (h->mode == NETLOAD_ECHO && n > 0 && send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
            return false;
    }
    return n > 0 || (n < 0 && errno == EAGAIN);
}

static void take_new(int set, int listener)
{
    int fd;

    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        struct epoll_event e = { .events = EPOLLIN, .data.fd = fd };
        if (fd >= MAX_FDS || epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) < 0)
            netload_die("a new connection");
        memset(&asked[fd], 0, sizeof(asked[fd]));
    }
    if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
        netload_die("accept");
}

void netload_server(const struct addrinfo *ai)
{
    int one = 1, fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0), set = epoll_create1(0);
    struct epoll_event e = { .events = EPOLLIN, .data.fd = fd }, ev[MAX_EVENTS];

    asked = calloc(MAX_FDS, sizeof(*asked));
    if (!asked || fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
        netload_die("socket");
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0 || listen(fd, 4096) < 0 || epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) < 0)
        netload_die("bind and listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int n = epoll_wait(set, ev, MAX_EVENTS, -1);
        if (n < 0 && errno != EINTR)
            netload_die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (ev[i].data.fd == fd)
                take_new(set, fd);
            else if (!serve(set, ev[i].data.fd))
                close(ev[i].data.fd);
        }
    }
}
