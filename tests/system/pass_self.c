/* pass_self.c - a program passes a descriptor of a socket to itself, or to a child that passes it back, and closes its own before it takes it
 * usage: pass_self ADDRESS ROUNDS
 *
 * On Linux the number that comes is the same socket, always, and the same inode. Each end of a connection in turn, blocking and not, read
 * before and not; a listener; a bound datagram socket; and both ends of one connection, and a listener, again and again. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/system/pass_fd.h"

enum { HANG_S = 300, POLL_MS = 60000, OFTEN = 100, VERY_OFTEN = 1200 };
static struct addrinfo *at;
static int way[2], child[2]; /* to oneself; to a child that sends back what it gets */

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static int bound(int type)
{
    int fd = socket(at->ai_family, type | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, at->ai_addr, at->ai_addrlen) != 0)
        die("bind");
    return fd;
}

static int listening(void)
{
    int fd = bound(SOCK_STREAM);

    if (listen(fd, 8) != 0)
        die("listen");
    return fd;
}

static int connected(int type, int to)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int fd = socket(at->ai_family, type | SOCK_CLOEXEC, 0);

    if (fd < 0 || getsockname(to, (struct sockaddr *)&ss, &len) != 0 || connect(fd, (struct sockaddr *)&ss, len) != 0)
        die("connect");
    return fd;
}

static int accepted(int l)
{
    struct pollfd p = { .fd = l, .events = POLLIN };
    int fd = poll(&p, 1, POLL_MS) == 1 ? accept(l, NULL, NULL) : -1;

    if (fd < 0)
        die("accept");
    return fd;
}

static void say(int fd, const char *what)
{
    ssize_t n = write(fd, what, strlen(what));

    while (n < 0 && errno == EAGAIN) { /* a call that must not wait may not have it yet */
        struct pollfd p = { .fd = fd, .events = POLLOUT };
        if (poll(&p, 1, POLL_MS) != 1)
            die("poll");
        n = write(fd, what, strlen(what));
    }
    if (n != (ssize_t)strlen(what))
        die("write");
}

static void hear(int fd, const char *what)
{
    char got[8] = "";
    size_t n = 0, len = strlen(what);

    do {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (fcntl(fd, F_GETFL) & O_NONBLOCK && poll(&p, 1, POLL_MS) != 1)
            die("poll");
        ssize_t r = read(fd, got + n, sizeof(got) - n);
        if (r < 0 && errno != EAGAIN)
            die("read");
        if (r == 0)
            break;
        n += r < 0 ? 0 : (size_t)r;
    } while (n < len);
    if (n != len || memcmp(got, what, len) != 0) {
        fprintf(stderr, "'%.8s' came, not '%s'\n", got, what);
        exit(1);
    }
}

static ino_t inode(int fd)
{
    struct stat st, empty;
    struct statx sx;

    if (fstat(fd, &st) != 0 || fstatat(fd, "", &empty, AT_EMPTY_PATH) != 0 || statx(fd, "", AT_EMPTY_PATH, STATX_INO, &sx) != 0)
        die("stat");
    if (!S_ISSOCK(st.st_mode) || empty.st_ino != st.st_ino || sx.stx_ino != st.st_ino) {
        fprintf(stderr, "fstat, fstatat and statx do not agree\n");
        exit(1);
    }
    return st.st_ino;
}

/* Dovecot's login tells its mail process the inode of the connection that it passes on. */
static int passed_by(const int *by, int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    bool is_connected = getpeername(fd, (struct sockaddr *)&ss, &len) == 0;
    ino_t was = is_connected ? inode(fd) : 0;

    len = sizeof(ss);
    if (!pass_fd(by[0], fd))
        die("sendmsg");
    close(fd);
    fd = passed_fd(by[1]);
    if (fd < 0 || getsockname(fd, (struct sockaddr *)&ss, &len) != 0)
        die("recvmsg");
    if (ss.ss_family != at->ai_family) { /* else read() would wait for ever */
        fprintf(stderr, "what came is a socket of family %d\n", ss.ss_family);
        exit(1);
    }
    if (is_connected && inode(fd) != was) {
        fprintf(stderr, "what came has inode %ju, and had %ju\n", (uintmax_t)inode(fd), (uintmax_t)was);
        exit(1);
    }
    return fd;
}

static void connection(int l, const int *by, unsigned kind)
{
    int end[2] = { connected(SOCK_STREAM, l), accepted(l) }, which = kind & 1;

    if (inode(end[0]) == inode(end[1])) {
        fprintf(stderr, "both ends are inode %ju\n", (uintmax_t)inode(end[0]));
        exit(1);
    }
    if (kind & 2 && fcntl(end[which], F_SETFL, O_NONBLOCK) != 0)
        die("fcntl");
    if (kind & 4) {
        say(end[1 - which], "first");
        hear(end[which], "first");
    }
    end[which] = passed_by(by, end[which]);
    say(end[which], "there");
    hear(end[1 - which], "there");
    say(end[1 - which], "back");
    hear(end[which], "back");
    close(end[1 - which]);
    hear(end[which], "");
    close(end[which]);
}

/* One connection, both ends again and again. */
static void often(int l, const int *by, unsigned times)
{
    int end[2] = { connected(SOCK_STREAM, l), accepted(l) };

    for (unsigned i = 0; i < times; i++) {
        end[i & 1] = passed_by(by, end[i & 1]);
        say(end[i & 1], "there");
        hear(end[~i & 1], "there");
        say(end[~i & 1], "back");
        hear(end[i & 1], "back");
    }
    close(end[0]);
    hear(end[1], "");
    close(end[1]);
}

/* What is accepted is a file each, whatever stands behind the numbers. */
static void side_by_side(int l)
{
    int from[2], to[2];

    for (int i = 0; i < 2; i++) {
        from[i] = connected(SOCK_STREAM, l);
        to[i] = accepted(l);
    }
    if (inode(to[0]) == inode(to[1]) || inode(from[0]) == inode(from[1])) {
        fprintf(stderr, "two connections are one inode\n");
        exit(1);
    }
    for (int i = 0; i < 2; i++) {
        close(from[i]);
        close(to[i]);
    }
}

static void others(const int *by)
{
    int l = passed_by(by, listening()), d = passed_by(by, bound(SOCK_DGRAM)), from;

    connection(l, by, 0);
    from = connected(SOCK_DGRAM, d);
    say(from, "back");
    hear(d, "back");
    close(from);
    close(d);
    close(l);
}

/* A listener that goes round more often than the server takes clients: what it remembers of each time must not add up. */
static void listener_often(const int *by, unsigned times)
{
    int l = listening();

    while (times--)
        l = passed_by(by, l);
    connection(l, by, 0);
    close(l);
}

static pid_t child_make(void)
{
    int there[2], back[2], fd;
    pid_t pid;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, there) != 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, back) != 0 || (pid = fork()) < 0)
        die("fork");
    if (pid == 0) {
        close(there[0]);
        alarm(HANG_S);
        while ((fd = passed_fd(there[1])) >= 0) {
            if (!pass_fd(back[1], fd))
                die("the child");
            close(fd);
        }
        _exit(0);
    }
    close(there[1]);
    close(back[1]);
    child[0] = there[0];
    child[1] = back[0];
    return pid;
}

int main(int argc, char **argv)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
    unsigned rounds = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
    int l, status;
    pid_t pid;

    if (!rounds || getaddrinfo(argv[1], NULL, &hints, &at) != 0) {
        fprintf(stderr, "usage: pass_self ADDRESS ROUNDS\n");
        return 2;
    }
    alarm(HANG_S);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, way) != 0)
        die("socketpair");
    pid = child_make();
    l = listening();
    side_by_side(l);
    for (unsigned i = 0; i < rounds; i++) {
        connection(l, way, i);
        connection(l, child, i);
    }
    for (unsigned i = 0; i < rounds / 8; i++) {
        others(way);
        others(child);
    }
    often(l, way, OFTEN);
    often(l, child, OFTEN);
    listener_often(way, VERY_OFTEN);
    close(child[0]);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("the child");
    return 0;
}
