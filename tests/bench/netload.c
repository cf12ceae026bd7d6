/* netload.c - load over plain sockets, unmodified on either stack: streams, round trips, connections, idle ones, cost of a call
 *   netload server ADDRESS PORT                                serves all that follows; prints "ready"
 *   netload stream ADDRESS PORT tx|rx SIZE CONNECTIONS SECONDS prints Gbit/s, as this side writes or reads them
 *   netload rtt    ADDRESS PORT SIZE SECONDS sleep|busy        prints median, 99 %, 99.9 % and maximum in us
 *   netload conn   ADDRESS PORT AT-ONCE SECONDS                connect, a byte back, close; prints connections a second
 *   netload hold   ADDRESS PORT NUMBER                         opens one, prints "begun", waits for a line, opens the others, prints
 *                                                              "ready"; at the end of its input each answers: prints "answered"
 *   netload packets ADDRESS PORT SIZE SECONDS                  datagrams of one size; prints how many arrive a second
 *   netload calls  SECONDS                                     prints ns a call on kernel descriptors: write, recv, poll
 * One connection: blocking calls (busy: recv() that does not block, again and again). More: epoll on both sides. */
#include "tests/bench/netload.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/bench/measure.h"

enum { WARM_UP_ROUNDS = 200, MAX_EVENTS = 64, CALLS_BATCH = 1000 };

static uint8_t buf[NETLOAD_BUF];

void netload_die(const char *what)
{
    fprintf(stderr, "netload: %s: %s\n", what, strerror(errno));
    exit(1);
}

struct addrinfo *netload_resolve(const char *host, const char *port)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *res;

    if (getaddrinfo(host, port, &hints, &res) != 0) {
        fprintf(stderr, "netload: %s %s is no address and port\n", host, port);
        exit(2);
    }
    return res;
}

void netload_nodelay(int fd)
{
    int one = 1;

    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0)
        netload_die("TCP_NODELAY");
}

void netload_nonblocking(int fd)
{
    if (fcntl(fd, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
        netload_die("O_NONBLOCK");
}

bool netload_read_all(int fd, void *to, size_t len, bool busy)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = recv(fd, (uint8_t *)to + got, len - got, busy ? MSG_DONTWAIT : 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            return false;
        got += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static int connect_and_ask(const struct addrinfo *ai, const struct netload_hello *hello)
{
    int fd = socket(ai->ai_family, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        netload_die("connect");
    netload_nodelay(fd);
    if (send(fd, hello, sizeof(*hello), MSG_NOSIGNAL) != sizeof(*hello))
        netload_die("send");
    return fd;
}

/* ---- streams ---- */

static ssize_t move(int fd, bool tx, size_t size)
{
    ssize_t n = tx ? send(fd, buf, size, MSG_NOSIGNAL) : recv(fd, buf, size, 0);

    if ((n < 0 && errno != EAGAIN) || (n == 0 && !tx))
        netload_die(tx ? "send" : "recv");
    return n < 0 ? 0 : n;
}

static void stream_many(const int *fds, unsigned n_fds, bool tx, size_t size, double seconds)
{
    struct epoll_event ev[MAX_EVENTS];
    int set = epoll_create1(0);

    for (unsigned i = 0; i < n_fds; i++) {
        struct epoll_event e = { .events = tx ? EPOLLOUT : EPOLLIN, .data.fd = fds[i] };
        netload_nonblocking(fds[i]);
        if (epoll_ctl(set, EPOLL_CTL_ADD, fds[i], &e) < 0)
            netload_die("epoll_ctl");
    }
    for (struct window w = window_of(seconds);;) {
        int n = epoll_wait(set, ev, MAX_EVENTS, -1);
        for (int i = 0; i < n; i++)
            if (window_is_over(&w, (size_t)move(ev[i].data.fd, tx, size)))
                return;
    }
}

static void stream(const struct addrinfo *ai, bool tx, size_t size, unsigned conns, double seconds)
{
    struct netload_hello hello = { .mode = tx ? NETLOAD_SINK : NETLOAD_SOURCE, .alone = conns == 1, .size = (uint32_t)size };
    int *fds = calloc(conns, sizeof(*fds));

    if (!fds || size > sizeof(buf) || size == 0) {
        errno = EINVAL;
        netload_die("size");
    }
    for (unsigned i = 0; i < conns; i++)
        fds[i] = connect_and_ask(ai, &hello);
    if (conns > 1) {
        stream_many(fds, conns, tx, size, seconds);
    } else {
        struct window w = window_of(seconds);
        while (!window_is_over(&w, (size_t)move(fds[0], tx, size)))
            ;
    }
    for (unsigned i = 0; i < conns; i++)
        close(fds[i]);
    free(fds);
}

/* ---- round trips ---- */

static void exchange(int fd, size_t size, bool busy)
{
    if (send(fd, buf, size, MSG_NOSIGNAL) != (ssize_t)size || !netload_read_all(fd, buf, size, busy))
        netload_die("exchange");
}

static void rtt(const struct addrinfo *ai, size_t size, double seconds, bool busy)
{
    struct netload_hello hello = { .mode = NETLOAD_ECHO, .alone = true, .busy = busy, .size = (uint32_t)size };
    int fd = connect_and_ask(ai, &hello);

    for (int i = 0; i < WARM_UP_ROUNDS; i++)
        exchange(fd, size, busy);
    struct trips t = trips_begin(seconds);
    do
        exchange(fd, size, busy);
    while (trips_next(&t));
    close(fd);
    trips_print(&t);
}

/* ---- connections ---- */

static const struct netload_hello one_byte = { .mode = NETLOAD_REPLY };

static uint64_t conn_one(const struct addrinfo *ai, uint64_t until)
{
    uint64_t n = 0;

    while (now_ns() < until) {
        int fd = connect_and_ask(ai, &one_byte);
        if (!netload_read_all(fd, buf, 1, false))
            netload_die("recv");
        close(fd);
        n++;
    }
    return n;
}

static void conn_start(int set, const struct addrinfo *ai)
{
    int fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    struct epoll_event e = { .events = EPOLLOUT, .data.fd = fd };

    if (fd < 0 || (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0 && errno != EINPROGRESS))
        netload_die("connect");
    if (epoll_ctl(set, EPOLL_CTL_ADD, fd, &e) < 0)
        netload_die("epoll_ctl");
}

static bool conn_event(int set, const struct epoll_event *ev) /* true: a connection has had its answer and is closed */
{
    struct epoll_event e = { .events = EPOLLIN, .data.fd = ev->data.fd };

    if (ev->events & EPOLLOUT) {
        if (send(e.data.fd, &one_byte, sizeof(one_byte), MSG_NOSIGNAL) != sizeof(one_byte))
            netload_die("send");
        if (epoll_ctl(set, EPOLL_CTL_MOD, e.data.fd, &e) < 0)
            netload_die("epoll_ctl");
        return false;
    }
    ssize_t n = recv(e.data.fd, buf, 1, 0);
    if (n < 0 && errno == EAGAIN)
        return false;
    if (n != 1)
        netload_die("recv");
    close(e.data.fd);
    return true;
}

static uint64_t conn_many(const struct addrinfo *ai, unsigned at_once, uint64_t until)
{
    struct epoll_event ev[MAX_EVENTS];
    int set = epoll_create1(0);
    uint64_t done = 0;
    unsigned open = at_once;

    for (unsigned i = 0; i < at_once; i++)
        conn_start(set, ai);
    while (open > 0) {
        int n = epoll_wait(set, ev, MAX_EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (!conn_event(set, &ev[i]))
                continue;
            done++;
            if (now_ns() < until)
                conn_start(set, ai);
            else
                open--;
        }
    }
    return done;
}

static void conn(const struct addrinfo *ai, unsigned at_once, double seconds)
{
    uint64_t begin = now_ns(), until = begin + (uint64_t)(seconds * 1e9);
    uint64_t n = at_once > 1 ? conn_many(ai, at_once, until) : conn_one(ai, until);

    printf("%.1f\n", (double)n * 1e9 / (double)(now_ns() - begin));
}

static void hold(const struct addrinfo *ai, unsigned number)
{
    struct netload_hello hello = { .mode = NETLOAD_ECHO };
    int *fds = calloc(number, sizeof(*fds));

    if (!fds)
        netload_die("calloc");
    for (unsigned i = 0; i < number; i++) {
        fds[i] = connect_and_ask(ai, &hello);
        exchange(fds[i], 1, false);
        if (i == 0) {
            puts("begun");
            fflush(stdout);
            if (read(STDIN_FILENO, buf, sizeof(buf)) <= 0)
                netload_die("input");
        }
    }
    puts("ready");
    fflush(stdout);
    while (read(STDIN_FILENO, buf, sizeof(buf)) > 0)
        ;
    for (unsigned i = 0; i < number; i++)
        exchange(fds[i], 1, false);
    puts("answered");
    free(fds);
}

static void packets(const struct addrinfo *ai, size_t size, double seconds)
{
    struct netload_hello hello = { .mode = NETLOAD_COUNT, .alone = true, .size = (uint32_t)size };
    int fd = connect_and_ask(ai, &hello);

    netload_packets(fd, ai, size, seconds);
    close(fd);
}

/* ---- the cost of a call ---- */

enum call { CALL_WRITE, CALL_RECV, CALL_POLL, N_CALLS };

static double ns_a_call(enum call call, int null_fd, int pair_end, double seconds)
{
    struct pollfd p = { .fd = pair_end, .events = POLLIN };
    uint64_t best = UINT64_MAX, until = now_ns() + (uint64_t)(seconds * 1e9 / N_CALLS);

    while (now_ns() < until) { /* the best batch: what others do in between is not the call's */
        uint64_t t = now_ns();
        for (int i = 0; i < CALLS_BATCH; i++) {
            if (call == CALL_WRITE && write(null_fd, buf, 1) != 1)
                netload_die("write");
            if (call == CALL_RECV && recv(pair_end, buf, 1, MSG_DONTWAIT) >= 0)
                netload_die("recv");
            if (call == CALL_POLL && poll(&p, 1, 0) != 0)
                netload_die("poll");
        }
        t = now_ns() - t;
        best = t < best ? t : best;
    }
    return (double)best / CALLS_BATCH;
}

static void calls(double seconds)
{
    int null_fd = open("/dev/null", O_WRONLY), end[2];

    if (null_fd < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, end) < 0)
        netload_die("descriptors");
    for (enum call c = 0; c < N_CALLS; c++)
        printf("%.1f%c", ns_a_call(c, null_fd, end[0], seconds), c + 1 < N_CALLS ? ' ' : '\n');
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    struct addrinfo *ai = argc > 3 ? netload_resolve(argv[2], argv[3]) : NULL;

    if (argc == 4 && strcmp(what, "server") == 0)
        netload_server(ai);
    else if (argc == 8 && strcmp(what, "stream") == 0)
        stream(ai, strcmp(argv[4], "tx") == 0, strtoul(argv[5], NULL, 10), (unsigned)atoi(argv[6]), atof(argv[7]));
    else if (argc == 7 && strcmp(what, "rtt") == 0)
        rtt(ai, strtoul(argv[4], NULL, 10), atof(argv[5]), strcmp(argv[6], "busy") == 0);
    else if (argc == 6 && strcmp(what, "conn") == 0)
        conn(ai, (unsigned)atoi(argv[4]), atof(argv[5]));
    else if (argc == 5 && strcmp(what, "hold") == 0)
        hold(ai, (unsigned)atoi(argv[4]));
    else if (argc == 6 && strcmp(what, "packets") == 0)
        packets(ai, strtoul(argv[4], NULL, 10), atof(argv[5]));
    else if (argc == 3 && strcmp(what, "calls") == 0)
        calls(atof(argv[2]));
    else {
        fputs("usage: netload server|stream|rtt|conn|hold|packets|calls …, see the top of netload.c\n", stderr);
        return 2;
    }
    if (ai)
        freeaddrinfo(ai);
    return 0;
}
