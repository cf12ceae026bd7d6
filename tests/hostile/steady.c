/* steady.c - an honest program that serves peers of any kind, and measures how long its calls take
 *
 * usage: steady ADDRESS PORT ECHO-PORT    run preloaded, until SIGTERM; a process of its own serves ECHO-PORT, and sends back what it gets
 * Connections are used without waiting and with timeouts; some are shared with a child that holds them, or uses them as well. After each
 * one, and before it ends, the connection to the echo server, which it has had all the time, must work; that one hears of what is written
 * there without another call. Prints what it did, and the calls that took longest. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 60, OWN_WAIT_US = 5000, EVENTS = 100, TOLD_S = 60, MEMORY_MAX = 4 << 20 };
enum { SLOW_US = 40000, SLOW_SHUTDOWN_US = 100000 }; /* shutdown() gives a silent peer 50 ms */

enum call { RECV, SEND, POLL, EPOLL, FIONREAD_, SHUTDOWN, CLOSE, FORK, EXIT, OTHER, N_CALLS };
static const char *const names[] = { "recv", "send", "poll", "epoll_wait", "FIONREAD", "shutdown", "close", "fork", "exit", "the other one" };
static int64_t longest[N_CALLS];
static unsigned n_slow, n_resets;
static int64_t begun_us;
static int stat_fd; /* /proc/self/schedstat: nanoseconds on a core, nanoseconds ready for one */

/* Without the time in which others had the core: how busy the machine is is not what the peer does. */
static int64_t now_us(void)
{
    struct timespec t;
    char text[100] = "";
    unsigned long long run, ready = 0;

    if (pread(stat_fd, text, sizeof(text) - 1, 0) > 0)
        sscanf(text, "%llu %llu", &run, &ready);
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000 - (int64_t)(ready / 1000);
}

static void begin(void) { begun_us = now_us(); }

static void end(enum call c)
{
    int64_t took = now_us() - begun_us;

    longest[c] = took > longest[c] ? took : longest[c];
    n_slow += took > (c == SHUTDOWN ? SLOW_SHUTDOWN_US : SLOW_US);
}

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

static int at(const char *addr, const char *port, bool serves)
{
    struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port)) };
    struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };
    bool is_v6 = inet_pton(AF_INET6, addr, &a6.sin6_addr) == 1;
    struct sockaddr *sa = is_v6 ? (void *)&a6 : (void *)&a4;
    socklen_t len = is_v6 ? sizeof(a6) : sizeof(a4);
    int fd;

    inet_pton(AF_INET, addr, &a4.sin_addr);
    fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || (serves ? bind(fd, sa, len) != 0 || listen(fd, 8) != 0 : connect(fd, sa, len) != 0))
        fail(serves ? "listen" : "connect");
    return fd;
}

/* What happens to other connections is none of this one's affair. */
static void other_works(int fd)
{
    static uint8_t out[1000], in[1000];
    size_t got = 0;

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)rand();
    begin();
    if (send(fd, out, sizeof(out), 0) != sizeof(out))
        fail("send to the echo server");
    while (got < sizeof(in)) {
        ssize_t n = recv(fd, in + got, sizeof(in) - got, 0);
        if (n <= 0)
            fail("recv from the echo server");
        got += (size_t)n;
    }
    end(OTHER);
    if (memcmp(in, out, sizeof(in)) != 0) {
        fputs("steady: other bytes come back\n", stderr);
        exit(1);
    }
}

static int told_fd; /* a byte for each time that the echo server got something, before it sends it back */

/* Its own stack socket is in another process, and the pipe is the kernel's: while it waits here the library has nothing to do. */
static void other_is_told(int fd)
{
    char c = 'c', many[512];

    fcntl(told_fd, F_SETFL, O_NONBLOCK);
    while (read(told_fd, many, sizeof(many)) > 0)
        ;
    fcntl(told_fd, F_SETFL, 0);
    if (send(fd, &c, 1, 0) != 1)
        fail("send to the echo server");
    alarm(TOLD_S);
    if (read(told_fd, &c, 1) != 1)
        fail("steady: the echo server was not told");
    alarm(0);
    if (recv(fd, &c, 1, 0) != 1)
        fail("recv from the echo server");
}

static void not_told(int sig)
{
    static const char text[] = "steady: the echo server was not told\n";
    ssize_t n = write(STDERR_FILENO, text, sizeof(text) - 1);

    (void)n, (void)sig;
    _exit(1);
}

/* Serves one connection, and ends with it. */
static void serve_other(const char *addr, const char *port)
{
    int pipes[2], l, fd;
    char buf[4096];
    ssize_t n;

    if (pipe(pipes) != 0)
        fail("pipe");
    told_fd = pipes[0];
    if (fork() != 0) {
        close(pipes[1]);
        if (read(told_fd, buf, 1) != 1)
            fail("the echo server");
        return;
    }
    close(pipes[0]);
    l = at(addr, port, true);
    if (write(pipes[1], "l", 1) != 1)
        exit(1);
    fd = accept(l, NULL, NULL);
    while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
        if (write(pipes[1], "g", 1) != 1 || send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
            break;
    exit(0);
}

static void ended(int sig)
{
    (void)sig;
    exit(0);
}

static volatile sig_atomic_t is_done;

static void told_to_end(int sig)
{
    (void)sig;
    is_done = 1;
}

/* -1: there will be none. */
static int next_one(int l)
{
    for (;;) {
        int fd = accept(l, NULL, NULL);

        if (fd >= 0)
            return fd;
        if (errno != EAGAIN && errno != EINTR)
            fail("accept");
        if (is_done)
            return -1;
    }
}

/* Holds the connection; busy: and uses it. */
static pid_t share(int fd, bool busy)
{
    sigset_t term, before;
    pid_t pid;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    sigprocmask(SIG_BLOCK, &term, &before); /* the child's handler comes first */
    begin();
    pid = fork();
    if (pid == 0) {
        signal(SIGTERM, ended);
        sigprocmask(SIG_SETMASK, &before, NULL);
        for (char buf[100]; busy;) {
            (void)recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
            usleep(2000);
        }
        for (;;)
            pause();
    }
    end(FORK);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid > 0 ? pid : fail("fork");
}

static bool is_over(ssize_t n)
{
    n_resets += n < 0 && errno == ECONNRESET;
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

static void serve(int fd, int ep, bool waits)
{
    struct epoll_event ev = { .events = EPOLLIN, .data.fd = fd };
    int flags = waits ? 0 : MSG_DONTWAIT, n;
    char buf[300];
    ssize_t got;

    for (int i = 0; i < ROUNDS; i++) {
        struct pollfd p = { .fd = fd, .events = POLLIN | POLLOUT };

        begin();
        got = recv(fd, buf, sizeof(buf), flags);
        end(RECV);
        if (is_over(got))
            break;
        begin();
        got = send(fd, buf, 100, flags | MSG_NOSIGNAL);
        end(SEND);
        if (is_over(got))
            break;
        for (int k = 0; k < EVENTS && !waits; k++) /* each an event, if the peer says that it has heard of the one before */
            (void)send(fd, "x", 1, flags | MSG_NOSIGNAL);
        begin();
        poll(&p, 1, 0);
        end(POLL);
        epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
        begin();
        epoll_wait(ep, &ev, 1, 1);
        end(EPOLL);
        epoll_ctl(ep, EPOLL_CTL_DEL, fd, &ev);
        begin();
        ioctl(fd, FIONREAD, &n);
        end(FIONREAD_);
    }
}

int main(int argc, char **argv)
{
    struct timeval look = { .tv_usec = 100000 };
    int l, other, ep = epoll_create1(0), n, fd;
    size_t memory;
    enum call worst = RECV;

    if (argc != 4)
        return 2;
    signal(SIGALRM, not_told);
    serve_other(argv[1], argv[3]);
    signal(SIGTERM, told_to_end);
    stat_fd = open("/proc/self/schedstat", O_RDONLY);
    memory = mallinfo2().uordblks;
    l = at(argv[1], argv[2], true);
    setsockopt(l, SOL_SOCKET, SO_RCVTIMEO, &look, sizeof(look));
    other = at(argv[1], argv[3], false);
    puts("ready");
    fflush(stdout);
    for (n = 0; (fd = next_one(l)) >= 0; n++) {
        struct timeval t = { .tv_usec = OWN_WAIT_US };
        pid_t child = 0;

        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
        if (n % 3)
            child = share(fd, n % 3 == 2);
        serve(fd, ep, n % 2);
        other_works(other);
        if (n % 6 == 0)
            other_is_told(other);
        begin();
        shutdown(fd, SHUT_WR);
        end(SHUTDOWN);
        begin();
        close(fd);
        end(CLOSE);
        if (child) {
            begin();
            kill(child, SIGTERM);
            waitpid(child, NULL, 0);
            end(EXIT);
        }
        other_works(other);
    }
    memory = mallinfo2().uordblks - memory;
    if (memory > MEMORY_MAX) {
        fprintf(stderr, "steady: %zu bytes of memory are kept for the peer\n", memory);
        return 1;
    }
    for (int c = 0; c < N_CALLS; c++)
        worst = longest[c] > longest[worst] ? (enum call)c : worst;
    printf("%d connections, %u resets, %u slow, the longest was %s: %lld ms\n", n, n_resets, n_slow, names[worst], (long long)longest[worst] / 1000);
    return 0;
}
