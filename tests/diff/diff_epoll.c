/* diff_epoll.c - one-shot, edge-triggered and exclusive entries of epoll, before and after it is known who serves a socket
 * usage: diff_epoll kernel|ours tcp|udp FROM TO */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

enum { PATIENCE_MS = 60000 };
static const char *name;

static void ctl(const char *what, int ep, int op, int fd, uint32_t events)
{
    struct epoll_event ev = { .events = events, .data.fd = fd };
    int r = epoll_ctl(ep, op, fd, &ev);
    printf("%s: %s: %s\n", name, what, r < 0 ? strerrorname_np(errno) : "ok");
}

/* An event is waited for, the absence of one is not. */
static void told(const char *what, int ep, int fd, bool waits)
{
    struct epoll_event ev[4] = { { .events = 0 } };
    int n = epoll_wait(ep, ev, 4, waits ? PATIENCE_MS : 0);
    printf("%s: %s: %d", name, what, n);
    for (int i = 0; i < n; i++)
        printf(" %#x%s", ev[i].events, ev[i].data.fd == fd ? "" : " of another");
    puts("");
}

static void until(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    if (poll(&p, 1, PATIENCE_MS) != 1)
        diff_die("it does not come");
}

struct ends { struct sockaddr_storage from, to; socklen_t len; int l; };

/* A socket that is in ep already, before anybody knows where it goes; `blocking`: so does connect(). */
static int connects(const struct ends *e, int ep, uint32_t events, bool udp, bool looks)
{
    int fd = socket(e->to.ss_family, (udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_NONBLOCK, 0);
    ctl("add", ep, EPOLL_CTL_ADD, fd, events);
    if (looks)
        told("fresh", ep, fd, false);
    if (connect(fd, (const struct sockaddr *)&e->to, e->len) < 0 && errno != EINPROGRESS)
        diff_die("connect");
    until(fd, POLLOUT);
    return fd;
}

static void once(const struct ends *e, bool udp)
{
    int ep = epoll_create1(0), fd;
    name = "once, told before";
    fd = connects(e, ep, EPOLLOUT | EPOLLONESHOT, udp, true);
    told("spent", ep, fd, false);
    ctl("again", ep, EPOLL_CTL_MOD, fd, EPOLLOUT | EPOLLONESHOT);
    told("again", ep, fd, true);
    told("spent", ep, fd, false);
    close(fd);
    name = "once, not looked before";
    fd = connects(e, ep, EPOLLOUT | EPOLLONESHOT, udp, false);
    told("connected", ep, fd, true);
    told("spent", ep, fd, false);
    close(fd);
    close(ep);
}

static void edges(const struct ends *e)
{
    int ep = epoll_create1(0), fd, a;
    name = "edge";
    fd = connects(e, ep, EPOLLIN | EPOLLOUT | EPOLLET, false, true);
    told("connected", ep, fd, true);
    told("nothing new", ep, fd, false);
    a = accept(e->l, NULL, NULL);
    for (int i = 0; i < 2; i++) {
        if (send(a, "x", 1, 0) != 1)
            diff_die("send");
        told("a byte", ep, fd, true);
        told("nothing new", ep, fd, false);
    }
    ctl("again", ep, EPOLL_CTL_MOD, fd, EPOLLIN | EPOLLET | EPOLLONESHOT);
    told("unread bytes", ep, fd, true);
    if (send(a, "x", 1, 0) != 1)
        diff_die("send");
    told("spent", ep, fd, false);
    close(a);
    close(fd);
    close(ep);
}

static void exclusive(const struct ends *e)
{
    int ep = epoll_create1(0), fd;
    name = "exclusive";
    ctl("with one-shot", ep, EPOLL_CTL_ADD, e->l, EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT);
    ctl("with RDHUP", ep, EPOLL_CTL_ADD, e->l, EPOLLIN | EPOLLRDHUP | EPOLLEXCLUSIVE);
    ctl("add", ep, EPOLL_CTL_ADD, e->l, EPOLLIN | EPOLLEXCLUSIVE);
    ctl("twice", ep, EPOLL_CTL_ADD, e->l, EPOLLIN | EPOLLEXCLUSIVE);
    ctl("modify", ep, EPOLL_CTL_MOD, e->l, EPOLLIN);
    ctl("modify to", ep, EPOLL_CTL_MOD, e->l, EPOLLIN | EPOLLEXCLUSIVE);
    fd = socket(e->to.ss_family, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&e->to, e->len) < 0)
        diff_die("connect");
    told("a connection", ep, e->l, true);
    close(accept(e->l, NULL, NULL));
    told("nobody", ep, e->l, false);
    ctl("delete", ep, EPOLL_CTL_DEL, e->l, 0);
    ctl("add", ep, EPOLL_CTL_ADD, e->l, EPOLLIN | EPOLLET);
    ctl("modify to", ep, EPOLL_CTL_MOD, e->l, EPOLLIN | EPOLLEXCLUSIVE);
    close(fd);
    close(ep);
}

/* Two connections wait, and the listener is told of once. */
static void listener(const struct ends *e)
{
    int ep = epoll_create1(0), fd[2];
    name = "listener";
    ctl("add", ep, EPOLL_CTL_ADD, e->l, EPOLLIN | EPOLLONESHOT);
    told("nobody", ep, e->l, false);
    for (int i = 0; i < 2; i++) {
        fd[i] = socket(e->to.ss_family, SOCK_STREAM, 0);
        if (connect(fd[i], (const struct sockaddr *)&e->to, e->len) < 0)
            diff_die("connect");
        until(e->l, POLLIN);
        told("connection", ep, e->l, !i);
    }
    close(accept(e->l, NULL, NULL));
    told("spent", ep, e->l, false);
    ctl("again", ep, EPOLL_CTL_MOD, e->l, EPOLLIN | EPOLLONESHOT);
    until(e->l, POLLIN);
    told("the second", ep, e->l, true);
    close(accept(e->l, NULL, NULL));
    ctl("again", ep, EPOLL_CTL_MOD, e->l, EPOLLIN | EPOLLONESHOT);
    told("nobody", ep, e->l, false);
    close(fd[0]);
    close(fd[1]);
    close(ep);
}

/* A connection that the preload library does not see, so that the kernel's half of a listener has it. */
static int connect_kernel(const struct ends *e)
{
    int fd = (int)syscall(SYS_socket, e->to.ss_family, SOCK_STREAM, 0);
    struct pollfd p = { .fd = e->l, .events = POLLIN };
    if (fd < 0 || syscall(SYS_connect, fd, &e->to, e->len) < 0 || syscall(SYS_poll, &p, 1, PATIENCE_MS) != 1)
        diff_die("connect on the kernel");
    return fd;
}
static int connect_any(const struct ends *e)
{
    int fd = socket(e->to.ss_family, SOCK_STREAM, 0);
    if (connect(fd, (const struct sockaddr *)&e->to, e->len) < 0)
        diff_die("connect");
    until(e->l, POLLIN);
    return fd;
}

/* A listener on loopback: over hoststack the kernel serves it, too, and one of the two tells. */
static void two_stacks(const struct ends *e)
{
    int ep = epoll_create1(0), fd[2];
    name = "two stacks";
    ctl("add", ep, EPOLL_CTL_ADD, e->l, EPOLLIN | EPOLLONESHOT);
    for (int i = 0; i < 4; i++) {
        told("nobody", ep, e->l, false);
        fd[0] = i & 1 ? connect_kernel(e) : connect_any(e);
        if (i & 2)
            told("the first", ep, e->l, true);
        fd[1] = i & 1 ? connect_any(e) : connect_kernel(e);
        if (!(i & 2))
            told("both", ep, e->l, true);
        told("spent", ep, e->l, false);
        close(accept(e->l, NULL, NULL));
        ctl("again", ep, EPOLL_CTL_MOD, e->l, EPOLLIN | EPOLLONESHOT);
        told("the second", ep, e->l, true);
        close(accept(e->l, NULL, NULL));
        close(fd[0]);
        close(fd[1]);
        ctl("again", ep, EPOLL_CTL_MOD, e->l, EPOLLIN | EPOLLONESHOT);
    }
    ctl("not once", ep, EPOLL_CTL_MOD, e->l, EPOLLIN);
    fd[0] = connect_kernel(e);
    told("level", ep, e->l, true);
    told("level", ep, e->l, true);
    close(accept(e->l, NULL, NULL));
    close(fd[0]);
    ctl("delete", ep, EPOLL_CTL_DEL, e->l, 0);
    close(ep);
}

int main(int argc, char **argv)
{
    struct ends e = { .len = sizeof(e.to) };
    int other[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(180);
    if (argc != 5)
        return 2;
    bool udp = strcmp(argv[2], "udp") == 0;
    close(diff_connected(argv[3], argv[4], udp, other));
    e.l = other[0];
    if (getsockname(e.l, (struct sockaddr *)&e.to, &e.len) < 0)
        diff_die("getsockname");
    once(&e, udp);
    if (udp)
        return 0;
    while (fcntl(e.l, F_SETFL, O_NONBLOCK), accept(e.l, NULL, NULL) >= 0)
        ;
    fcntl(e.l, F_SETFL, 0);
    edges(&e);
    exclusive(&e);
    listener(&e);
    if (strcmp(argv[3], argv[4]) == 0)
        two_stacks(&e);
    return 0;
}
