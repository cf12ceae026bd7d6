/* diff_zerocopy.c - SO_ZEROCOPY and MSG_ZEROCOPY: what is sent, what the error queue tells of it, and how poll and epoll see that
 * usage: diff_zerocopy kernel|ours tcp|udp FROM TO
 *
 * The kernel may tell of several sends in one piece or in several; here what they add up to is printed. */
#include <errno.h>
#include <time.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

enum { PATIENCE_MS = 60000, BIG = 20000 };

static void say(const char *what, long r) { printf("%s: %ld %s\n", what, r, r < 0 ? strerrorname_np(errno) : "ok"); }

static int polled(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, ms) < 0 ? -1 : p.revents;
}

static void print_one(struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
        struct sock_extended_err ee;
        memcpy(&ee, CMSG_DATA(c), sizeof(ee));
        printf(" level %d type %d len %zu errno %u origin %u type %u code %u;", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len, ee.ee_errno,
               ee.ee_origin, ee.ee_type, ee.ee_code);
    }
    printf(" flags %#x name %u\n", (unsigned)m->msg_flags, m->msg_namelen);
}

/* Until `last` has been told of; the parts must follow each other. */
static void completions(int fd, uint32_t first, uint32_t last)
{
    bool printed = false;
    while (first <= last) {
        char control[256], bytes[8], name[64];
        struct iovec iov = { bytes, sizeof(bytes) };
        struct msghdr m = { .msg_control = control, .msg_controllen = sizeof(control), .msg_iov = &iov, .msg_iovlen = 1, .msg_name = name,
                            .msg_namelen = sizeof(name) };
        struct sock_extended_err ee;
        if (!(polled(fd, PATIENCE_MS) & POLLERR))
            diff_die("no completion");
        ssize_t n = recvmsg(fd, &m, MSG_ERRQUEUE);
        if (n != 0) {
            say("completion", n);
            return;
        }
        if (!printed)
            print_one(&m);
        printed = true;
        memcpy(&ee, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(ee));
        if (ee.ee_info != first || ee.ee_data < first || ee.ee_data > last)
            printf("told of %u to %u, wanted from %u to at most %u\n", ee.ee_info, ee.ee_data, first, last);
        first = ee.ee_data + 1;
    }
    printf("told up to %u, then poll %#x\n", last, (unsigned)polled(fd, 0));
}

static void drain(int fd, size_t n)
{
    char buf[BIG];
    while (n) {
        ssize_t r = polled(fd, PATIENCE_MS) & POLLIN ? recv(fd, buf, sizeof(buf), 0) : -1;
        if (r <= 0 || (size_t)r > n)
            diff_die("the other end");
        n -= (size_t)r;
    }
}

static void run(const char *from, const char *to, bool udp)
{
    static char big[BIG];
    int other[2], fd = diff_connected(from, to, udp, other), in = udp ? other[0] : other[1], v = -1, ep;
    size_t len = udp ? 1000 : BIG;
    socklen_t l = sizeof(v);
    struct epoll_event ev = { .events = EPOLLET };
    struct iovec iov[2] = { { big, 100 }, { big + 100, 200 } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };

    say("not asked for", send(fd, big, len, MSG_ZEROCOPY));
    drain(in, len);
    printf("poll %#x\n", (unsigned)polled(fd, 0));
    say("2", setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ 2 }, sizeof(int)));
    say("-1", setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ -1 }, sizeof(int)));
    say("1", setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ 1 }, sizeof(int)));
    say("get", getsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &v, &l));
    printf("is %d\n", v);
    say("first", send(fd, big, len, MSG_ZEROCOPY));
    drain(in, len);
    completions(fd, 0, 0);
    for (int i = 0; i < 3; i++)
        say("next", send(fd, big, len, MSG_ZEROCOPY | (i == 1 ? MSG_DONTWAIT : 0)));
    say("plain", send(fd, big, len, 0));
    say("nothing", send(fd, big, 0, MSG_ZEROCOPY));
    if (udp)
        say("too long", send(fd, (char[70000]){ 0 }, 70000, MSG_ZEROCOPY));
    say("in pieces", sendmsg(fd, &m, MSG_ZEROCOPY));
    drain(in, 4 * len + (udp ? 0 : 300));
    completions(fd, 1, 4 + (uint32_t)udp); /* an empty datagram counts */
    say("no more", recvmsg(fd, &(struct msghdr){ 0 }, MSG_ERRQUEUE));
    v = -1;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &l);
    printf("SO_ERROR %d\n", v);
    ep = epoll_create1(0);
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    printf("epoll: %d\n", epoll_wait(ep, &ev, 1, 0));
    say("heard by epoll", send(fd, big, 10, MSG_ZEROCOPY));
    printf("epoll: %d", epoll_wait(ep, &ev, 1, PATIENCE_MS));
    printf(" %#x\n", ev.events);
    completions(fd, 5 + (uint32_t)udp, 5 + (uint32_t)udp);
    setsockopt(fd, SOL_SOCKET, SO_ZEROCOPY, &(int){ 0 }, sizeof(int));
    say("not any more", send(fd, big, 10, MSG_ZEROCOPY));
    printf("poll %#x\n", (unsigned)polled(fd, 0));
    if (!udp) { /* a listener hands the option on */
        v = -1;
        setsockopt(other[0], SOL_SOCKET, SO_ZEROCOPY, &(int){ 1 }, sizeof(int));
        getsockopt(other[0], SOL_SOCKET, SO_ZEROCOPY, &v, &l);
        printf("listener %d\n", v);
    }
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(180);
    if (argc != 5)
        return 2;
    run(argv[3], argv[4], strcmp(argv[2], "udp") == 0);
    return 0;
}
