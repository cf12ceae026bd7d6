/* both_ways.c - one connection, two threads: one writes and one reads, and a program that had one thread when it began to read
 * usage: both_ways serve ADDRESS PORT HOW MB     says "ready", takes one connection
 *        both_ways go ADDRESS PORT HOW MB
 * HOW: blocking, or polling
 *
 * Each side writes and reads so many MB at once, checks every byte, and prints what it has read and "whole". The writer is begun by a signal
 * handler while the first thread is in its read or poll: a lock that was taken for one thread alone must be given back to two. Whoever runs it
 * sets a limit. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>
#include "tests/system/probe_socket.h"

enum { PIECE = 128 << 10, TICK_US = 30000, PERIOD = 251 };

static int fd;
static bool polls, is_server;
static size_t total;
static volatile sig_atomic_t begun;

/* Prime, so that a piece that comes twice or not at all shows. */
static uint8_t byte_at(size_t at, bool servers) { return (uint8_t)(at % PERIOD + servers); }

static bool must_wait(ssize_t n, short events)
{
    if (n >= 0 || (errno != EAGAIN && errno != EINTR))
        return false;
    if (errno == EAGAIN)
        poll(&(struct pollfd){ .fd = fd, .events = events }, 1, -1);
    return true;
}

static void *write_all(void *arg)
{
    static uint8_t out[PIECE + PERIOD];
    size_t done = 0, turn = 0;
    (void)arg;
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = byte_at(i, is_server);
    while (done < total) {
        size_t len = 1 + turn++ * 7919 % PIECE;
        ssize_t n = write(fd, out + done % PERIOD, len < total - done ? len : total - done);
        if (must_wait(n, POLLOUT))
            continue;
        if (n <= 0)
            die("write");
        done += (size_t)n;
    }
    if (shutdown(fd, SHUT_WR) != 0)
        die("shutdown");
    return NULL;
}

static pthread_t writer;

static void on_alarm(int sig)
{
    (void)sig;
    if (begun)
        return;
    begun = 1;
    errno = pthread_create(&writer, NULL, write_all, NULL);
    if (errno)
        die("pthread_create");
}

static void read_all(void)
{
    static uint8_t in[PIECE];
    size_t done = 0;
    ssize_t n;
    for (;;) {
        if (polls)
            poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1);
        n = read(fd, in, sizeof(in));
        if (must_wait(n, POLLIN))
            continue;
        if (n <= 0)
            break;
        for (ssize_t i = 0; i < n; i++)
            if (in[i] != byte_at(done + (size_t)i, !is_server)) {
                printf("byte %zu is wrong\n", done + (size_t)i);
                exit(1);
            }
        done += (size_t)n;
    }
    if (n < 0)
        die("read");
    printf("%zu %s\n", done, done == total ? "whole" : "not whole");
}

int main(int argc, char **argv)
{
    struct sigaction sa = { .sa_handler = on_alarm, .sa_flags = SA_RESTART };
    struct itimerval timer = { { 0, TICK_US }, { 0, TICK_US } };
    if (argc < 6)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    is_server = !strcmp(argv[1], "serve");
    polls = !strcmp(argv[4], "polling");
    total = strtoul(argv[5], NULL, 10) << 20;
    fd = made(argv[2], atoi(argv[3]), SOCK_STREAM, is_server);
    if (is_server) {
        if (listen(fd, 1) != 0)
            die("listen");
        puts("ready");
        fd = accept(fd, NULL, NULL);
        if (fd < 0)
            die("accept");
    }
    if (polls && fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
        die("fcntl");
    if (sigaction(SIGALRM, &sa, NULL) != 0 || setitimer(ITIMER_REAL, &timer, NULL) != 0)
        die("timer");
    read_all();
    while (!begun) /* all was there before the first tick; the next one ends this */
        poll(NULL, 0, -1);
    setitimer(ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL);
    return pthread_join(writer, NULL) != 0;
}
