/* address_space.c - programs with little address space (RLIMIT_AS): an echo server and a client that checks every byte
 *
 *   address_space server ADDRESS PORT LIMIT
 *   address_space client ADDRESS PORT LIMIT COUNT BYTES [HOLD]
 *   address_space dgram-server | dgram-client | sctp-server | sctp-client ...
 * LIMIT: -        none
 *        first:K  before the first call on a socket: so much as is used then, and K KB
 *        later:K  the same when the program uses sockets already
 *        held:K   a client's, when each of its connections has been used
 *        child:K  a server's: a child of its own goes on with each connection that has been used, and limits itself so; 0 = it does not
 * HOLD: a file; when the client has done its work it prints "held", and keeps its connections until the file is there.
 * The client opens COUNT connections, then sends BYTES over each and takes them back at the same time. Every second one connects without
 * waiting. It prints "ok", or what went wrong. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CONNS_MAX = 256, PIECE = 32 << 10, DGRAM = 1200, PATIENCE_MS = 60000 };

struct where {
    struct sockaddr_storage ss;
    socklen_t len;
    int proto;
};

static uint8_t out[PIECE], in[PIECE];

static _Noreturn void die(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    fflush(stdout);
    exit(1);
}

static struct where where_of(const char *address, const char *port, int proto)
{
    struct where w = { .len = sizeof(struct sockaddr_in), .proto = proto };
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)&w.ss;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)&w.ss;

    if (strchr(address, ':')) {
        v6->sin6_family = AF_INET6;
        v6->sin6_port = htons((uint16_t)atoi(port));
        inet_pton(AF_INET6, address, &v6->sin6_addr);
        w.len = sizeof(*v6);
    } else {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)atoi(port));
        inet_pton(AF_INET, address, &v4->sin_addr);
    }
    return w;
}

static void limit(const char *how, const char *now)
{
    unsigned long long pages = 0;
    struct rlimit as;
    FILE *f;

    if (strncmp(how, now, strlen(now)) != 0)
        return;
    f = fopen("/proc/self/statm", "r");
    if (!f || fscanf(f, "%llu", &pages) != 1)
        die("statm");
    fclose(f);
    as.rlim_cur = as.rlim_max = pages * (unsigned long long)sysconf(_SC_PAGESIZE) + strtoull(strchr(how, ':') + 1, NULL, 10) * 1024;
    if (setrlimit(RLIMIT_AS, &as) != 0)
        die("setrlimit");
}

static void wait_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    if (poll(&p, 1, PATIENCE_MS) != 1)
        die("nothing comes");
}

/* ---- servers ---- */

static void write_all(int fd, const uint8_t *bytes, size_t n)
{
    while (n > 0) {
        ssize_t put = write(fd, bytes, n);

        if (put < 0)
            die("server: write");
        bytes += put;
        n -= (size_t)put;
    }
}

/* It uses the stack, then limits itself, and only then turns to what it has inherited. */
static _Noreturn void child_serves(int fd, const struct where *w, const char *how)
{
    int used = socket(w->ss.ss_family, SOCK_STREAM, w->proto);
    ssize_t got;

    if (listen(used, 1) != 0)
        die("child: listen");
    if (strcmp(how, "child:0") != 0)
        limit(how, "child:");
    while ((got = read(fd, in, sizeof(in))) > 0)
        write_all(fd, in, (size_t)got);
    if (got < 0)
        die("child: read");
    _exit(0);
}

/* The first bytes by this process, all further ones by a child. */
static bool given_to_child(struct pollfd *p, bool *is_used, const struct where *w, const char *how)
{
    if (strncmp(how, "child:", 6) != 0 || !*is_used) {
        *is_used = true;
        return false;
    }
    if (fork() == 0)
        child_serves(p->fd, w, how);
    close(p->fd);
    return true;
}

static void serve(const struct where *w, const char *how)
{
    struct pollfd p[CONNS_MAX + 1];
    bool is_used[CONNS_MAX + 1] = { false };
    int n = 1, on = 1;

    signal(SIGCHLD, SIG_IGN);

    limit(how, "first:");
    p[0] = (struct pollfd){ .fd = socket(w->ss.ss_family, SOCK_STREAM, w->proto), .events = POLLIN };
    setsockopt(p[0].fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(p[0].fd, (const struct sockaddr *)&w->ss, w->len) != 0 || listen(p[0].fd, CONNS_MAX) != 0)
        die("server: listen");
    limit(how, "later:");
    puts("ready");
    fflush(stdout);
    for (;;) {
        if (poll(p, (nfds_t)n, -1) < 0)
            die("server: poll");
        for (int i = n - 1; i > 0; i--) {
            bool is_given = p[i].revents && given_to_child(&p[i], &is_used[i], w, how);
            ssize_t got = p[i].revents && !is_given ? read(p[i].fd, in, sizeof(in)) : -2;

            if (got == -1)
                die("server: read");
            if (got > 0)
                write_all(p[i].fd, in, (size_t)got);
            if (got == 0)
                close(p[i].fd);
            if (got == 0 || is_given) {
                p[i] = p[--n];
                is_used[i] = is_used[n];
            }
        }
        if (p[0].revents && n <= CONNS_MAX) {
            p[n] = (struct pollfd){ .fd = accept(p[0].fd, NULL, NULL), .events = POLLIN };
            if (p[n].fd < 0)
                die("server: accept");
            is_used[n++] = false;
        }
    }
}

static void serve_dgrams(const struct where *w, const char *how)
{
    struct where from;
    int fd;

    limit(how, "first:");
    fd = socket(w->ss.ss_family, SOCK_DGRAM, 0);
    if (bind(fd, (const struct sockaddr *)&w->ss, w->len) != 0)
        die("server: bind");
    limit(how, "later:");
    puts("ready");
    fflush(stdout);
    for (;;) {
        from.len = sizeof(from.ss);
        ssize_t got = recvfrom(fd, in, sizeof(in), 0, (struct sockaddr *)&from.ss, &from.len);

        if (got < 0 || sendto(fd, in, (size_t)got, 0, (const struct sockaddr *)&from.ss, from.len) != got)
            die("server: datagram");
    }
}

/* ---- clients ---- */

static uint8_t byte_at(int conn, uint64_t pos)
{
    return (uint8_t)((pos * 2654435761u + (uint64_t)conn * 40503u) >> 13);
}

static int opened(const struct where *w, bool waits)
{
    int fd = socket(w->ss.ss_family, SOCK_STREAM | (waits ? 0 : SOCK_NONBLOCK), w->proto), error = 0;
    socklen_t len = sizeof(error);

    if (connect(fd, (const struct sockaddr *)&w->ss, w->len) != 0) {
        if (waits || errno != EINPROGRESS)
            die("client: connect");
        wait_for(fd, POLLOUT);
        getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len);
        errno = error;
        if (error)
            die("client: connect in progress");
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static uint64_t send_some(int fd, int conn, uint64_t sent, uint64_t bytes)
{
    size_t want = bytes - sent < PIECE ? (size_t)(bytes - sent) : PIECE;
    ssize_t n;

    for (size_t i = 0; i < want; i++)
        out[i] = byte_at(conn, sent + i);
    n = write(fd, out, want);
    if (n < 0 && errno != EAGAIN)
        die("client: write");
    return n > 0 ? (uint64_t)n : 0;
}

static void exchange(int fd, int conn, uint64_t bytes)
{
    uint64_t sent = 0, got = 0;
    ssize_t n;

    while (got < bytes) {
        if (sent < bytes)
            sent += send_some(fd, conn, sent, bytes);
        n = read(fd, in, sizeof(in));
        if (n < 0 && errno != EAGAIN)
            die("client: read");
        for (ssize_t i = 0; i < n; i++) {
            if (in[i] == byte_at(conn, got + (uint64_t)i))
                continue;
            printf("connection %d: wrong byte at %llu\n", conn, (unsigned long long)got + (unsigned long long)i);
            exit(1);
        }
        if (n == 0) {
            printf("connection %d ended at %llu\n", conn, (unsigned long long)got);
            exit(1);
        }
        got += n > 0 ? (uint64_t)n : 0;
        if (n < 0)
            wait_for(fd, (short)(POLLIN | (sent < bytes ? POLLOUT : 0)));
    }
}

static void hold(const char *file)
{
    if (!file)
        return;
    puts("held");
    fflush(stdout);
    while (access(file, F_OK) != 0)
        poll(NULL, 0, 20);
}

static void client(const struct where *w, const char *how, int count, uint64_t bytes, const char *file)
{
    int fds[CONNS_MAX];

    limit(how, "first:");
    if (!strncmp(how, "later:", 6)) { /* an attempt that fails: the program uses the stack, and shares no memory with the server program */
        struct where nobody = *w;
        int fd = socket(w->ss.ss_family, SOCK_STREAM, w->proto);

        ((struct sockaddr_in *)(void *)&nobody.ss)->sin_port = htons(1); /* at the same place in IPv6's */
        if (connect(fd, (const struct sockaddr *)&nobody.ss, nobody.len) == 0)
            die("client: there is somebody at port 1");
        close(fd);
        limit(how, "later:");
    }
    for (int i = 0; i < count; i++)
        fds[i] = opened(w, i % 2 == 0);
    for (int i = 0; i < count; i++)
        exchange(fds[i], i, 1);
    limit(how, "held:");
    for (int i = 0; i < count; i++)
        exchange(fds[i], i, bytes);
    hold(file);
    for (int i = 0; i < count; i++) {
        shutdown(fds[i], SHUT_WR);
        wait_for(fds[i], POLLIN);
        if (read(fds[i], in, sizeof(in)) != 0)
            die("client: no end");
        close(fds[i]);
    }
}

static void client_dgrams(const struct where *w, const char *how, int count)
{
    int fd;

    limit(how, "first:");
    fd = socket(w->ss.ss_family, SOCK_DGRAM, 0);
    if (connect(fd, (const struct sockaddr *)&w->ss, w->len) != 0)
        die("client: connect");
    limit(how, "later:");
    for (int k = 0; k < count; k++) {
        for (size_t i = 0; i < DGRAM; i++)
            out[i] = byte_at(k, i);
        if (write(fd, out, DGRAM) != DGRAM)
            die("client: datagram out");
        wait_for(fd, POLLIN);
        if (read(fd, in, sizeof(in)) != DGRAM || memcmp(in, out, DGRAM) != 0)
            die("client: datagram in");
    }
    close(fd);
}

int main(int argc, char **argv)
{
    struct where w;
    bool is_sctp;

    if (argc < 5)
        return 2;
    is_sctp = !strncmp(argv[1], "sctp-", 5);
    w = where_of(argv[2], argv[3], is_sctp ? IPPROTO_SCTP : 0);
    if (!strcmp(argv[1], is_sctp ? "sctp-server" : "server"))
        serve(&w, argv[4]);
    else if (!strcmp(argv[1], "dgram-server"))
        serve_dgrams(&w, argv[4]);
    else if (argc < 7 || atoi(argv[5]) > CONNS_MAX)
        return 2;
    else if (!strcmp(argv[1], is_sctp ? "sctp-client" : "client"))
        client(&w, argv[4], atoi(argv[5]), strtoull(argv[6], NULL, 10), argc > 7 ? argv[7] : NULL);
    else
        client_dgrams(&w, argv[4], atoi(argv[5]));
    puts("ok");
    return 0;
}
