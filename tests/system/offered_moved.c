/* offered_moved.c - a connection that was offered to one process, changes hands at its other end, and is accepted by another process
 * usage: offered_moved ADDRESS ROUNDS
 *
 * One process waits for connections and accepts none, another one that has the listener, too, accepts it when the first has let go. What the
 * connecting process wrote before its child went on with the connection comes first, whether the first process has heard of that or not. */
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
static int written[2], go_on[2], let_go[2]; /* pipes: the child has written; the child may; the first process has let go */

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static void tell(const int *way)
{
    if (write(way[1], "", 1) != 1)
        die("write to a pipe");
}

static void await(const int *way)
{
    char got;

    if (read(way[0], &got, 1) != 1)
        die("a process has ended");
}

static int epoll_of(int l)
{
    struct epoll_event ev = { .events = EPOLLIN };
    int set = epoll_create1(EPOLL_CLOEXEC);

    if (set < 0 || epoll_ctl(set, EPOLL_CTL_ADD, l, &ev) != 0)
        die("epoll");
    return set;
}

static void wait_for_one(int set)
{
    struct epoll_event ev;

    if (epoll_wait(set, &ev, 1, POLL_MS) != 1)
        die("no connection");
}

/* Connects and writes; its child writes on. */
static void connector(const struct sockaddr_storage *to)
{
    int fd = socket(at->ai_family, SOCK_STREAM, 0), status;
    pid_t pid;

    if (fd < 0 || connect(fd, (const struct sockaddr *)to, at->ai_addrlen) != 0 || write(fd, "before", 6) != 6)
        die("connect");
    await(go_on);
    pid = fork();
    if (pid == 0) {
        alarm(HANG_S);
        if (write(fd, "after", 5) != 5)
            die("write");
        tell(written);
        exit(0);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        die("the child");
    exit(0);
}

static void second(int l, bool nonblocking)
{
    char got[16];
    size_t n = 0;
    ssize_t r;
    int fd;

    await(let_go);
    wait_for_one(epoll_of(l));
    fd = accept4(l, NULL, NULL, nonblocking ? SOCK_NONBLOCK : 0);
    if (fd < 0)
        die("accept");
    do {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (nonblocking && poll(&p, 1, POLL_MS) != 1)
            die("poll");
        r = read(fd, got + n, sizeof(got) - n);
        n += r > 0 ? (size_t)r : 0;
    } while (r > 0 || (r < 0 && errno == EAGAIN));
    if (r != 0 || n != 11 || memcmp(got, "beforeafter", 11) != 0) {
        fprintf(stderr, "'%.*s' came, and %zd\n", (int)n, got, r);
        exit(1);
    }
    exit(0);
}

static pid_t forked(void)
{
    pid_t pid = fork();

    if (pid < 0)
        die("fork");
    if (pid == 0)
        alarm(HANG_S);
    return pid;
}

static void one(unsigned round)
{
    struct sockaddr_storage name;
    socklen_t len = sizeof(name);
    int l = socket(at->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0), set, status;
    pid_t pid[2];

    if (l < 0 || bind(l, at->ai_addr, at->ai_addrlen) != 0 || listen(l, 8) != 0 || getsockname(l, (struct sockaddr *)&name, &len) != 0)
        die("listen");
    pid[0] = forked();
    if (pid[0] == 0)
        second(l, round & 1);
    set = epoll_of(l);
    pid[1] = forked();
    if (pid[1] == 0) {
        close(set);
        close(l);
        connector(&name);
    }
    wait_for_one(set);
    tell(go_on);
    await(written);
    if (round & 2)
        wait_for_one(set); /* it hears of what has happened */
    close(set);
    close(l);
    tell(let_go);
    for (int i = 0; i < 2; i++)
        if (waitpid(pid[i], &status, 0) != pid[i] || status != 0)
            die("a process has failed");
}

int main(int argc, char **argv)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST };
    unsigned rounds = argc == 3 ? (unsigned)atoi(argv[2]) : 0;

    if (!rounds || getaddrinfo(argv[1], NULL, &hints, &at) != 0) {
        fprintf(stderr, "usage: offered_moved ADDRESS ROUNDS\n");
        return 2;
    }
    alarm(HANG_S);
    if (pipe(written) != 0 || pipe(go_on) != 0 || pipe(let_go) != 0)
        die("pipe");
    for (unsigned i = 0; i < rounds; i++)
        one(i);
    return 0;
}
