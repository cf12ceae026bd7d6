/* slot_again.c - connections that a program closes while it is being told that their other end has gone to another process
 * usage: slot_again ADDRESS ROUNDS
 *
 * The server gives the memory of such a one to the next connection of the same two programs at once; what comes late about the first must not
 * be done to the second. The order of steps is said over pipes; the news wait in the accepting program's queue while it makes no call. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HANG_S = 120, POLL_MS = 60000 };
static struct addrinfo *at;
static int to_acceptor[2], to_connector[2]; /* pipes */

static void die(const char *who, const char *what)
{
    fprintf(stderr, "%s: %s: %s\n", who, what, strerror(errno));
    exit(1);
}

static void tell(const int *way, char what)
{
    if (write(way[1], &what, 1) != 1)
        die("pipe", "write");
}

static void await(const int *way, char what)
{
    char got;

    if (read(way[0], &got, 1) != 1 || got != what)
        die("pipe", "the other one has ended");
}

/* ---- who connects ---- */

static int connected(const struct sockaddr_storage *to)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)to, at->ai_addrlen) != 0)
        die("who connects", "connect");
    return fd;
}

/* A child writes, so that the connection is its own; then it is closed everywhere. */
static void first_connection(const struct sockaddr_storage *to)
{
    int fd = connected(to), status;
    pid_t pid;

    await(to_connector, 'a');
    pid = fork();
    if (pid == 0) {
        alarm(HANG_S);
        if (write(fd, "x", 1) != 1)
            die("its child", "write");
        tell(to_acceptor, 'm');
        await(to_connector, 'c');
        close(fd);
        _exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        die("who connects", "its child");
    close(fd);
}

static void hear(int fd, bool nonblocking)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    char b[8];
    ssize_t n;

    if (nonblocking && (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || poll(&p, 1, POLL_MS) != 1))
        die("who connects", "poll");
    n = read(fd, b, sizeof(b));
    if (n != 1 || b[0] != 'y')
        die("who connects", n < 0 ? "read" : "other bytes than were sent");
}

static void connector(unsigned rounds)
{
    struct sockaddr_storage to;

    if (read(to_connector[0], &to, sizeof(to)) != sizeof(to))
        die("who connects", "no address");
    while (rounds--) {
        first_connection(&to);
        int fd = connected(&to);
        tell(to_acceptor, 'n');
        hear(fd, rounds & 1);
        close(fd);
    }
    exit(0);
}

/* ---- who accepts ---- */

static int accepted(int set, int l)
{
    struct epoll_event ev;
    int fd;

    if (epoll_wait(set, &ev, 1, POLL_MS) != 1 || (fd = accept(l, NULL, NULL)) < 0)
        die("who accepts", "accept");
    return fd;
}

static void acceptor(unsigned rounds)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    struct epoll_event ev = { .events = EPOLLIN };
    int l = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), set = epoll_create1(EPOLL_CLOEXEC);

    memset(&name, 0, sizeof(name));
    if (l < 0 || bind(l, at->ai_addr, at->ai_addrlen) != 0 || listen(l, 8) != 0 || getsockname(l, (struct sockaddr *)&name, &len) != 0 ||
        epoll_ctl(set, EPOLL_CTL_ADD, l, &ev) != 0 || epoll_wait(set, &ev, 1, 0) != 0)
        die("who accepts", "listen");
    if (write(to_connector[1], &name, sizeof(name)) != sizeof(name))
        die("pipe", "write");
    while (rounds--) {
        int fd = accepted(set, l);
        tell(to_connector, 'a');
        await(to_acceptor, 'm'); /* the news of it are on their way, or here */
        close(fd);
        tell(to_connector, 'c');
        await(to_acceptor, 'n');
        fd = accepted(set, l);
        if (write(fd, "y", 1) != 1)
            die("who accepts", "write");
        close(fd);
    }
}

int main(int argc, char **argv)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
    unsigned rounds = argc == 3 ? (unsigned)atoi(argv[2]) : 0;
    int status;
    pid_t pid;

    if (!rounds || getaddrinfo(argv[1], NULL, &hints, &at) != 0) {
        fprintf(stderr, "usage: slot_again ADDRESS ROUNDS\n");
        return 2;
    }
    alarm(HANG_S);
    if (pipe(to_acceptor) != 0 || pipe(to_connector) != 0 || (pid = fork()) < 0)
        die("main", "fork");
    if (pid == 0) {
        alarm(HANG_S);
        close(to_acceptor[0]);
        close(to_connector[1]);
        connector(rounds);
    }
    close(to_acceptor[1]); /* who waits for the other one hears when it has ended */
    close(to_connector[0]);
    acceptor(rounds);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        die("main", "who connects");
    return 0;
}
