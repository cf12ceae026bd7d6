/* diff_peek.c - SO_PEEK_OFF, and how long MSG_PEEK waits (socket(7), recv(2))
 * usage: diff_peek kernel|ours tcp|udp FROM TO */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"
#include "tests/sleeps.h"

enum { WAIT_S = 60, ROOM = 64 };

static int offset(int fd)
{
    int v = -77;
    socklen_t len = sizeof(v);
    getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &v, &len);
    return v;
}

static void set(int fd, int v)
{
    int r = setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &v, sizeof(v));
    printf("set %d: %s, reads %d\n", v, r < 0 ? strerrorname_np(errno) : "ok", offset(fd));
}

static void take(int fd, size_t len, int flags, const char *what)
{
    char b[ROOM] = "";
    struct iovec iov[2] = { { b, len / 2 }, { b + len / 2, len - len / 2 } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
    ssize_t n = recvmsg(fd, &m, flags);
    size_t seen = n < 0 ? 0 : (size_t)n < len ? (size_t)n : len;
    printf("%s %zu: %zd %s '%.*s'%s, offset %d\n", what, len, n, n < 0 ? strerrorname_np(errno) : "ok", (int)seen, b,
           n >= 0 && m.msg_flags & MSG_TRUNC ? " truncated" : "", offset(fd));
}
#define PEEK(fd, len) take(fd, len, MSG_PEEK | MSG_DONTWAIT, "peek")
#define READ(fd, len) take(fd, len, MSG_DONTWAIT, "read")

static void put(int fd, const char *text, int flags)
{
    if (send(fd, text, strlen(text), flags) != (ssize_t)strlen(text))
        diff_die("send");
}

/* Until what is behind `at` bytes has come. */
static void until(int fd, int at)
{
    time_t end = time(NULL) + WAIT_S;
    int was = offset(fd);
    char b;
    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &at, sizeof(at));
    while (recv(fd, &b, 1, MSG_PEEK | MSG_DONTWAIT) <= 0 && time(NULL) < end) {
        usleep(1000);
        setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &at, sizeof(at));
    }
    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &was, sizeof(was));
}

static void front(int out, int in)
{
    int there = -1;
    for (int v = -3; v < 0; v++)
        set(in, v);
    set(in, 1 << 30);
    set(in, -1);
    put(out, "abcde", 0);
    put(out, "fghij", 0);
    put(out, "klmno", 0);
    until(in, 14);
    PEEK(in, 3);
    set(in, 0);
    for (size_t len = 2; len <= 5; len++)
        PEEK(in, len);
    READ(in, 3);
    PEEK(in, 3);
    take(in, 1, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC, "peek, not copied,");
    PEEK(in, 0);
    PEEK(in, 20);
    PEEK(in, 20);
    struct timeval tv = { .tv_usec = 50000 };
    setsockopt(in, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    take(in, 20, MSG_PEEK, "peek, and wait,");
    tv = (struct timeval){ 0 };
    setsockopt(in, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    struct pollfd p = { .fd = in, .events = POLLIN };
    printf("poll: %d\n", poll(&p, 1, 0));
    printf("FIONREAD: %d, %d\n", ioctl(in, FIONREAD, &there), there);
    READ(in, 20);
    take(in, 2, MSG_DONTWAIT | MSG_TRUNC, "read, not copied,");
    READ(in, 20);
    put(out, "pqrst", 0);
    until(in, 4);
    set(in, 2);
    PEEK(in, 10);
    set(in, 2);
    PEEK(in, 3);
    set(in, 100);
    PEEK(in, 10);
    READ(in, 10);
    set(in, 0);
}

/* Looked at once, and only by who has nothing to go beyond. */
static void empty(int out, int in)
{
    put(out, "abc", 0);
    send(out, "", 0, 0);
    send(out, "", 0, 0);
    put(out, "def", 0);
    until(in, 3);
    set(in, 3);
    for (int i = 0; i < 4; i++)
        PEEK(in, 5);
    set(in, 3);
    PEEK(in, 5);
    for (int i = 0; i < 4; i++)
        READ(in, 5);
    READ(in, 5);
    set(in, 0);
}

static void urgent(int out, int in, bool in_line)
{
    int on = in_line;
    puts(in_line ? "urgent, in line" : "urgent");
    setsockopt(in, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on));
    set(in, 0);
    put(out, "ab", 0);
    put(out, "U", MSG_OOB);
    put(out, "cdef", 0);
    until(in, 6);
    set(in, 0);
    PEEK(in, 1);
    PEEK(in, 5);
    PEEK(in, 2);
    PEEK(in, 5);
    PEEK(in, 5);
    for (int i = 0; i < 4; i++) {
        READ(in, 3);
        PEEK(in, 5);
    }
    set(in, 0);
}

/* ---- who waits ---- */

struct waiting { int fd; size_t len; int flags; _Atomic pid_t tid; };

static void *wait_there(void *arg)
{
    struct waiting *w = arg;
    w->tid = gettid();
    take(w->fd, w->len, MSG_PEEK | w->flags, "waits");
    return NULL;
}

/* While it waits, more comes. */
static void wait_for_more(int out, int in, size_t len, int flags)
{
    struct waiting w = { .fd = in, .len = len, .flags = flags };
    pthread_t thread;
    if (pthread_create(&thread, NULL, wait_there, &w))
        diff_die("a thread");
    while (!w.tid)
        usleep(1000);
    until_sleeps(w.tid);
    put(out, "56789", 0);
    pthread_join(thread, NULL);
}

static void waits(int out, int in, bool udp)
{
    puts("who waits");
    set(in, -1);
    put(out, "01234", 0);
    until(in, 4);
    if (!udp) {
        wait_for_more(out, in, 10, MSG_WAITALL);
        READ(in, 5);
        int lowat = 10;
        setsockopt(in, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat));
        wait_for_more(out, in, 20, 0);
        lowat = 1;
        setsockopt(in, SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat));
        READ(in, 5);
    }
    set(in, 5);
    wait_for_more(out, in, 20, 0);
    PEEK(in, 1);
    READ(in, 5);
    READ(in, 5);
    set(in, 0);
    if (udp)
        return;
    wait_for_more(out, in, 2, 0);
    wait_for_more(out, in, 6, MSG_WAITALL);
    READ(in, 20);
}

static void ends_of(int out, int in)
{
    struct pollfd p = { .fd = in, .events = POLLRDHUP };
    puts("the end");
    put(out, "abc", 0);
    set(in, 2);
    if (shutdown(out, SHUT_WR) < 0 || poll(&p, 1, WAIT_S * 1000) != 1)
        diff_die("shutdown or poll");
    take(in, 2, MSG_PEEK | MSG_WAITALL, "peek");
    take(in, 2, MSG_PEEK, "peek");
    READ(in, 1);
    take(in, 2, MSG_PEEK, "peek");
    READ(in, 5);
    take(in, 2, MSG_PEEK, "peek");
    READ(in, 5);
    set(in, -1);
}

/* Datagrams from an address to itself: one end is bound and no more, so that the stack and the kernel both serve it. */
static void over_loopback(const char *address, int ends[2])
{
    int other[2];
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(5 * WAIT_S);
    ends[0] = diff_connected(address, address, true, other);
    ends[1] = other[0];
}

int main(int argc, char **argv)
{
    int ends[2];
    bool is_one_way = argc == 5 && !strcmp(argv[2], "udp") && !strcmp(argv[3], argv[4]);
    bool udp = is_one_way || diff_ends(argc, argv, 5 * WAIT_S, ends);
    if (is_one_way)
        over_loopback(argv[3], ends);
    for (int back = 0; back < 2 - is_one_way; back++) { /* who connected, too */
        int from = ends[back], to = ends[!back];
        front(from, to);
        waits(from, to, udp);
        if (udp) {
            empty(from, to);
            continue;
        }
        urgent(from, to, false);
        urgent(from, to, true);
        if (back)
            ends_of(from, to);
    }
    for (int i = 0; i < 2 && !udp; i++) /* a reset: no TIME-WAIT stays behind */
        setsockopt(ends[!i], SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
    return 0;
}
