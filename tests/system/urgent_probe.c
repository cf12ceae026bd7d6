/* urgent_probe.c - urgent data, step by step: what the one end sends, and what the other sees of it in every way there is
 * usage: urgent_probe recv ADDRESS PORT | send ADDRESS PORT
 *
 * The receiver prints what it saw; over any two stacks that must be the same text. A second connection carries "do step n" and "all of it has
 * arrived", so that nothing depends on time. */
#include <errno.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* send: words; !word with MSG_OOB. look: rN recv N, pN with MSG_PEEK, tN with MSG_TRUNC, aN with MSG_WAITALL, o recv MSG_OOB,
 * k MSG_OOB | MSG_PEEK, z MSG_OOB of nothing, g recvmsg MSG_OOB, q FIONREAD, m mark, w what poll, select and epoll say, + and - SO_OOBINLINE,
 * f waits for the end, which = sends. */
static const struct { const char *send, *look; } steps[] = {
    { "", "w o k q m" },
    { "abc !X def", "w q m r100 w m q o o w q r100 m q w" },
    { "!Y", "w q m k o w r10 m q w o" },
    { "!Y", "w m r10 o w q" },                          /* out of line and not asked for: lost */
    { "abc !Z", "r1 q r1 r1 w m q z g w r9 m" },
    { "!ABC", "w q r100 m o r9" },                      /* only the last byte is urgent */
    { "!1 !2", "w q m r100 o w q r9 m" },               /* the second one drops the first */
    { "!1 !2 !3", "w q m r100 o w q r9" },
    { "x !1 y !2", "w q r1 m r9 m o r9 m" },
    { "abc !X def", "+ w q m r2 r100 m w o q r100 m w -" },
    { "abc !X def", "+ r100 m r1 m r100 - m o" },
    { "!X abc", "+ m q w r100 - m" },
    { "abc !X def", "a7 m p9 m o r9 m" },
    { "abc !X def", "p100 t2 q t100 o m t9 q" },
    { "abc !X def", "r3 m p100 m r100 m o" },
    { "abc !X def !Y ghi", "q r100 m o r100 m o q" },
    { "!X", "+ w q m r9 m w -" },
    { "end", "r9 o m w" },
    { "abc !X =", "f r100 p9 m w p9 o r9" },            /* only the urgent byte is left before the end */
};
enum { STEPS = sizeof(steps) / sizeof(steps[0]) };

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static struct sockaddr_storage addr_of(const char *host, const char *port, socklen_t *len)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM }, *ai;
    struct sockaddr_storage ss;

    if (getaddrinfo(host, port, &hints, &ai) != 0)
        die("address");
    memcpy(&ss, ai->ai_addr, ai->ai_addrlen);
    *len = ai->ai_addrlen;
    freeaddrinfo(ai);
    return ss;
}

static char wait_char(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char c;

    if (poll(&p, 1, 60000) != 1 || recv(fd, &c, 1, 0) != 1)
        die("no word from the other end");
    return c;
}

static void show_data(const char *what, ssize_t n, const char *buf)
{
    if (n < 0)
        printf(" %s:%s", what, strerrorname_np(errno));
    else
        printf(" %s:%zd'%.*s'", what, n, (int)n, buf);
}

static void look_ready(int fd, int ep)
{
    struct pollfd p = { .fd = fd, .events = POLLIN | POLLPRI | POLLRDBAND | POLLRDNORM };
    struct timeval now = { 0, 0 };
    struct epoll_event ev = { 0 };
    fd_set r, x;
    int n;

    FD_ZERO(&r);
    FD_ZERO(&x);
    FD_SET(fd, &r);
    FD_SET(fd, &x);
    poll(&p, 1, 0);
    n = select(fd + 1, &r, NULL, &x, &now);
    printf(" poll:%x select:%d%s%s", (unsigned)p.revents, n, FD_ISSET(fd, &r) ? "r" : "", FD_ISSET(fd, &x) ? "x" : "");
    n = epoll_wait(ep, &ev, 1, 0);
    printf(" epoll:%x", n > 0 ? ev.events : 0);
}

static void look(int fd, int ep, const char *op)
{
    size_t n = (size_t)atoi(op + 1);
    char buf[128], zero;
    struct iovec iov = { buf, sizeof(buf) };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
    int v = -1, on = *op == '+';

    memset(buf, '.', sizeof(buf));
    switch (*op) {
    case 'r': show_data(op, recv(fd, buf, n, MSG_DONTWAIT), buf); break;
    case 'p': show_data(op, recv(fd, buf, n, MSG_DONTWAIT | MSG_PEEK), buf); break;
    case 't': show_data(op, recv(fd, buf, n, MSG_DONTWAIT | MSG_TRUNC), buf); break;
    case 'a': show_data(op, recv(fd, buf, n, MSG_DONTWAIT | MSG_WAITALL), buf); break;
    case 'o': show_data(op, recv(fd, buf, 10, MSG_OOB), buf); break;
    case 'k': show_data(op, recv(fd, buf, 10, MSG_OOB | MSG_PEEK), buf); break;
    case 'z': show_data(op, recv(fd, &zero, 0, MSG_OOB | MSG_PEEK), buf); break;
    case 'g':
        show_data(op, recvmsg(fd, &m, MSG_OOB), buf);
        printf("/%x", (unsigned)m.msg_flags);
        break;
    case 'q': printf(" q:%d", ioctl(fd, FIONREAD, &v)); printf("/%d", v); break;
    case 'm': printf(" m:%d/%d", ioctl(fd, SIOCATMARK, &v), sockatmark(fd)); printf("=%d", v); break;
    case 'f': printf(" f:%d", poll(&(struct pollfd){ .fd = fd, .events = POLLRDHUP }, 1, 60000)); break;
    case 'w': look_ready(fd, ep); break;
    case '+':
    case '-': printf(" %c%d", *op, setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on))); break;
    default: die("op");
    }
}

static void receiver(const char *host, const char *port)
{
    socklen_t len;
    struct sockaddr_storage ss = addr_of(host, port, &len);
    int l = socket(ss.ss_family, SOCK_STREAM, 0), one = 1, ctl, fd, ep;
    struct epoll_event ev = { .events = EPOLLIN | EPOLLPRI };

    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(l, (struct sockaddr *)&ss, len) < 0 || listen(l, 5) < 0)
        die("listen");
    fprintf(stderr, "listening\n");
    if ((ctl = accept(l, NULL, NULL)) < 0 || (fd = accept(l, NULL, NULL)) < 0)
        die("accept");
    setsockopt(ctl, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    ep = epoll_create1(0);
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll_ctl");
    for (int i = 0; i < STEPS; i++) {
        char text[128], *save = NULL;

        /* The first mark of all comes while we wait for it, and for nothing else. */
        if (send(ctl, "s", 1, 0) != 1)
            die("ask");
        if (i == 1) {
            struct pollfd p = { .fd = fd, .events = POLLPRI };
            int n = poll(&p, 1, 60000);

            printf("waited: %d %x\n", n, (unsigned)p.revents);
        }
        wait_char(ctl);
        printf("%s |", steps[i].send);
        snprintf(text, sizeof(text), "%s", steps[i].look);
        for (char *op = strtok_r(text, " ", &save); op; op = strtok_r(NULL, " ", &save))
            look(fd, ep, op);
        printf("\n");
        while (recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0)
            ;
    }
    if (send(ctl, "e", 1, 0) != 1)
        die("end");
}

/* All of it is where the receiver can see it: acknowledged. Between two programs of one stack it is at once, and stays in the ring. */
static void arrived(int fd)
{
    for (int i = 0, n = 1; i < 2000 && n && !getenv("URGENT_LOCAL"); i++) {
        struct timespec ms = { 0, 1000000 };

        if (ioctl(fd, SIOCOUTQ, &n) < 0)
            die("SIOCOUTQ");
        nanosleep(&ms, NULL);
    }
}

static void sender(const char *host, const char *port)
{
    socklen_t len;
    struct sockaddr_storage ss = addr_of(host, port, &len);
    int ctl = socket(ss.ss_family, SOCK_STREAM, 0), fd = socket(ss.ss_family, SOCK_STREAM, 0);

    if (connect(ctl, (struct sockaddr *)&ss, len) < 0 || connect(fd, (struct sockaddr *)&ss, len) < 0)
        die("connect");
    for (int i = 0; i < STEPS; i++) {
        char text[128], *save = NULL;

        wait_char(ctl);
        snprintf(text, sizeof(text), "%s", steps[i].send);
        for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
            bool urgent = *word == '!';
            size_t n = strlen(word + urgent);

            if (*word == '=') {
                shutdown(fd, SHUT_WR);
                continue;
            }
            if (send(fd, word + urgent, n, urgent ? MSG_OOB : 0) != (ssize_t)n)
                die("send");
            arrived(fd); /* so that what the receiver's stack does at each mark does not depend on how they are merged */
        }
        if (send(ctl, "d", 1, 0) != 1)
            die("tell");
    }
    wait_char(ctl); /* it has seen all */
}

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (!strcmp(argv[1], "recv"))
        receiver(argv[2], argv[3]);
    else
        sender(argv[2], argv[3]);
    return 0;
}
