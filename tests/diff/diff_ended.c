/* diff_ended.c - what the other end hears when a stream ends in an unusual way: with its process, with bytes unread, before it is accepted
 * usage: diff_ended kernel|ours tcp FROM TO */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

enum { PATIENCE_MS = 60000, LEN = 1500, PART = 1000 };
static const char *from, *to;

static const char *said(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

static short events_of(int fd, short wanted, int limit_ms)
{
    struct pollfd p = { .fd = fd, .events = wanted };

    return poll(&p, 1, limit_ms) == 1 ? p.revents : 0;
}

static void put(int fd, size_t len)
{
    static const char bytes[LEN];

    if (send(fd, bytes, len, 0) != (ssize_t)len)
        diff_die("send");
}

static void until_there(int fd, int bytes)
{
    int n = 0;

    for (time_t end = time(NULL) + PATIENCE_MS / 1000; ioctl(fd, FIONREAD, &n) == 0 && n < bytes && time(NULL) < end;)
        usleep(200);
}

/* All that a program can find out of an end whose other end has gone. */
static void look(const char *what, int fd)
{
    char b[2 * LEN];
    int n = -1;
    long r = events_of(fd, POLLRDHUP, PATIENCE_MS);

    r = ioctl(fd, FIONREAD, &n);
    printf("%s: events %x, FIONREAD %s %d", what, (unsigned)events_of(fd, POLLIN | POLLOUT | POLLRDHUP, 0), said(r), n);
    for (int i = 0; i < 3; i++) {
        r = recv(fd, b, sizeof(b), MSG_DONTWAIT);
        printf(", recv %ld %s", r, said(r));
    }
    r = send(fd, b, 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    printf(", send %ld %s\n", r, said(r));
}

/* The end is left to a child, which reads so many bytes of it, says so, and is ended by a signal. */
static void dies(const char *what, int end, size_t reads, bool parent_holds)
{
    int other[2], e[2], p[2];
    char b[LEN];
    pid_t pid;

    e[0] = diff_connected(from, to, false, other);
    e[1] = other[1];
    if (pipe2(p, O_CLOEXEC) != 0)
        diff_die("pipe");
    put(e[!end], LEN);
    until_there(e[end], LEN);
    pid = fork();
    if (pid == 0) {
        close(e[!end]);
        close(other[0]);
        if (events_of(e[end], POLLIN, PATIENCE_MS) == 0 || (reads && recv(e[end], b, reads, MSG_WAITALL) != (ssize_t)reads) ||
            (!reads && recv(e[end], b, 1, MSG_PEEK) != 1) || write(p[1], "r", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    if (!parent_holds)
        close(e[end]);
    if (pid < 0 || read(p[0], b, 1) != 1)
        diff_die("the child");
    if (parent_holds) /* with what it has not read, but the child has the socket still */
        close(e[end]);
    printf("%s, before: %x\n", what, (unsigned)events_of(e[!end], POLLIN | POLLRDHUP, 0));
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    look(what, e[!end]);
    close(e[!end]);
    close(other[0]);
    close(p[0]);
    close(p[1]);
}

/* Connected, written to and aborted, or closed, before it is accepted; in a set, or out of it since: then the offer has been given back. */
static void unaccepted(bool aborts, bool is_away)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct epoll_event ev = { .events = EPOLLIN };
    int other[2], first = diff_connected(from, to, false, other), fd, ep = epoll_create1(EPOLL_CLOEXEC);

    getsockname(other[0], (struct sockaddr *)&ss, &len);
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    epoll_ctl(ep, EPOLL_CTL_ADD, other[0], &ev);
    if (connect(fd, (struct sockaddr *)&ss, len) != 0)
        diff_die("connect");
    printf("one waits: %d\n", epoll_wait(ep, &ev, 1, PATIENCE_MS));
    if (is_away) {
        close(ep);
        poll(NULL, 0, 0);
        events_of(first, POLLIN, 1);
    }
    put(fd, PART);
    put(fd, LEN - PART);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ aborts, 0 }, sizeof(struct linger));
    close(fd);
    fd = accept(other[0], NULL, NULL);
    printf("accept: %s, ", said(fd));
    look(aborts ? "aborted" : "closed", fd);
    close(fd);
    close(first);
    close(other[0]);
    close(other[1]);
    if (!is_away)
        close(ep);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(60);
    if (argc != 5)
        return 2;
    from = argv[3];
    to = argv[4];
    for (int end = 0; end < 2; end++) {
        printf("end %d\n", end);
        dies("dies with all read", end, LEN, false);
        dies("dies with some unread", end, PART, false);
        dies("dies with all unread", end, 0, false);
        dies("closed unread, and the child dies", end, 0, true);
    }
    for (int i = 0; i < 4; i++)
        unaccepted(i & 1, i & 2);
    return 0;
}
