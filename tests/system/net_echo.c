/* net_echo.c - echo server and checking client over plain sockets, for tests of any stack underneath
 * The client sends bytes that depend on their position and checks every byte that comes back, then half-closes and waits
 * for the end of file. Exit 0 only when all of it was right. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, MAX_CONNS = 4096, UDP_TRIES = 60 };

struct options {
    bool udp, nonblock, forever;
    int conns;           /* at once (client, non-blocking) or one after another (client, blocking) */
    long bytes;          /* per connection */
    int seconds;         /* the client as a whole must end within this time */
    const char *host, *port, *bind_to;
};

static void __attribute__((format(printf, 1, 2), noreturn)) die(const char *fmt, ...)
{
    int err = errno;
    va_list ap;
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, " (%s)\n", strerror(err));
    exit(1);
}

static uint8_t pattern(int conn, long pos)
{
    uint64_t x = (uint64_t)pos * 0x9e3779b97f4a7c15u + (uint64_t)conn * 0xbf58476d1ce4e5b9u;
    return (uint8_t)(x >> 56);
}

static struct addrinfo *resolve(const struct options *o, const char *host, const char *port)
{
    struct addrinfo hints = { .ai_socktype = o->udp ? SOCK_DGRAM : SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV };
    struct addrinfo *res;
    int rc = getaddrinfo(host, port, &hints, &res);
    if (rc != 0)
        die("%s %s: %s", host, port, gai_strerror(rc));
    return res;
}

static void set_nonblock(int fd)
{
    int fl = fcntl(fd, F_GETFL);
    if (fl < 0 || fcntl(fd, F_SETFL, fl | O_NONBLOCK) < 0)
        die("O_NONBLOCK");
}

/* ---- server: one epoll loop for any number of connections, each with its pending bytes ---- */

struct conn {
    int fd;
    size_t n, off;
    bool eof;
    uint8_t buf[CHUNK];
};

static void serve_udp(int fd)
{
    static uint8_t buf[CHUNK];
    for (;;) {
        struct sockaddr_storage from;
        socklen_t len = sizeof from;
        ssize_t n = recvfrom(fd, buf, sizeof buf, 0, (struct sockaddr *)&from, &len);
        if (n < 0) {
            if (errno == EINTR || errno == ECONNREFUSED)
                continue;
            die("recvfrom");
        }
        if (sendto(fd, buf, (size_t)n, 0, (struct sockaddr *)&from, len) < 0 && errno != ECONNREFUSED)
            die("sendto %zd bytes", n);
    }
}

static void conn_free(int ep, struct conn *c)
{
    epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
    close(c->fd);
    free(c);
}

static void conn_turn(int ep, struct conn *c)
{
    for (;;) {
        while (c->off < c->n) {
            ssize_t w = send(c->fd, c->buf + c->off, c->n - c->off, MSG_NOSIGNAL);
            if (w < 0) {
                if (errno == EAGAIN) {
                    struct epoll_event ev = { .events = EPOLLOUT, .data.ptr = c };
                    epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
                    return;
                }
                conn_free(ep, c);
                return;
            }
            c->off += (size_t)w;
        }
        if (c->eof) {
            conn_free(ep, c);
            return;
        }
        ssize_t r = recv(c->fd, c->buf, sizeof c->buf, 0);
        if (r < 0) {
            if (errno == EAGAIN) {
                struct epoll_event ev = { .events = EPOLLIN, .data.ptr = c };
                epoll_ctl(ep, EPOLL_CTL_MOD, c->fd, &ev);
                return;
            }
            conn_free(ep, c);
            return;
        }
        c->eof = r == 0;
        c->n = (size_t)r;
        c->off = 0;
    }
}

static void server(const struct options *o)
{
    struct addrinfo *ai = resolve(o, o->host, o->port);
    int one = 1, fd = socket(ai->ai_family, ai->ai_socktype, 0);
    if (fd < 0)
        die("socket");
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0)
        die("SO_REUSEADDR");
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        die("bind %s %s", o->host, o->port);
    if (!o->udp && listen(fd, 1024) < 0)
        die("listen");
    freeaddrinfo(ai);
    puts("ready");
    fflush(stdout);
    if (o->udp)
        serve_udp(fd);
    set_nonblock(fd);
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = { .events = EPOLLIN, .data.ptr = NULL };
    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) < 0)
        die("epoll");
    for (;;) {
        struct epoll_event evs[64];
        int n = epoll_wait(ep, evs, 64, -1);
        if (n < 0 && errno != EINTR)
            die("epoll_wait");
        for (int i = 0; i < n; i++) {
            if (evs[i].data.ptr != NULL) {
                conn_turn(ep, evs[i].data.ptr);
                continue;
            }
            int c;
            while ((c = accept4(fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                struct conn *cn = malloc(sizeof *cn);
                if (cn == NULL)
                    die("malloc");
                cn->fd = c;
                cn->n = cn->off = 0;
                cn->eof = false;
                struct epoll_event e = { .events = EPOLLIN, .data.ptr = cn };
                if (epoll_ctl(ep, EPOLL_CTL_ADD, c, &e) < 0)
                    die("epoll_ctl");
            }
            if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
                die("accept");
        }
    }
}

/* ---- client ---- */

static int client_connect(const struct options *o)
{
    struct addrinfo *ai = resolve(o, o->host, o->port);
    int fd = socket(ai->ai_family, ai->ai_socktype | (o->nonblock ? SOCK_NONBLOCK : 0), 0);
    if (fd < 0)
        die("socket");
    if (o->bind_to) {
        struct addrinfo *b = resolve(o, o->bind_to, "0");
        if (bind(fd, b->ai_addr, b->ai_addrlen) < 0)
            die("bind %s", o->bind_to);
        freeaddrinfo(b);
    }
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0 && !(o->nonblock && errno == EINPROGRESS))
        die("connect %s %s", o->host, o->port);
    freeaddrinfo(ai);
    return fd;
}

/* UDP: lockstep; a lost datagram is sent again a few times, a wrong one is an error. */
static void client_udp(const struct options *o, int conn)
{
    int fd = client_connect(o);
    struct timeval tv = { .tv_usec = 500000 };
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
    static uint8_t out[CHUNK], in[CHUNK];
    size_t len = (size_t)o->bytes;
    for (size_t i = 0; i < len; i++)
        out[i] = pattern(conn, (long)i);
    for (int try = 0; try < UDP_TRIES; try++) {
        if (send(fd, out, len, 0) != (ssize_t)len)
            die("send of %zu", len);
        ssize_t n = recv(fd, in, sizeof in, 0);
        if (n < 0 && errno == EAGAIN)
            continue;
        if (n != (ssize_t)len || memcmp(in, out, len) != 0)
            die("datagram of %zu came back as %zd or changed", len, n);
        close(fd);
        return;
    }
    die("no answer to a datagram of %zu bytes", len);
}

struct flow {
    int fd, id;
    long sent, got;
    bool connected, shut, done;
};

static void flow_check(struct flow *f, const uint8_t *buf, ssize_t n, const struct options *o)
{
    for (ssize_t i = 0; i < n; i++) {
        if (buf[i] != pattern(f->id, f->got + i))
            die("connection %d: wrong byte at %ld", f->id, f->got + (long)i);
    }
    f->got += n;
    if (f->got > o->bytes)
        die("connection %d: %ld bytes too many", f->id, f->got - o->bytes);
}

static void flow_write(struct flow *f, const struct options *o)
{
    static uint8_t buf[CHUNK];
    while (f->sent < o->bytes) {
        long n = o->bytes - f->sent < CHUNK ? o->bytes - f->sent : CHUNK;
        for (long i = 0; i < n; i++)
            buf[i] = pattern(f->id, f->sent + i);
        ssize_t w = send(f->fd, buf, (size_t)n, MSG_NOSIGNAL);
        if (w < 0 && errno == EAGAIN)
            return;
        if (w <= 0)
            die("connection %d: send at %ld", f->id, f->sent);
        f->sent += w;
    }
    if (!f->shut && shutdown(f->fd, SHUT_WR) < 0)
        die("connection %d: shutdown", f->id);
    f->shut = true;
}

static void flow_read(struct flow *f, const struct options *o)
{
    static uint8_t buf[CHUNK];
    for (;;) {
        ssize_t n = recv(f->fd, buf, sizeof buf, 0);
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0)
            die("connection %d: recv at %ld", f->id, f->got);
        if (n == 0) {
            if (f->got != o->bytes)
                die("connection %d: end of file at %ld of %ld", f->id, f->got, o->bytes);
            f->done = true;
            close(f->fd);
            return;
        }
        flow_check(f, buf, n, o);
    }
}

static void client_nonblock(const struct options *o)
{
    static struct flow flows[MAX_CONNS];
    static struct pollfd pfd[MAX_CONNS];
    int left = o->conns;
    for (int i = 0; i < o->conns; i++)
        flows[i] = (struct flow){ .fd = client_connect(o), .id = i };
    while (left > 0) {
        for (int i = 0; i < o->conns; i++) {
            struct flow *f = &flows[i];
            pfd[i] = (struct pollfd){ .fd = f->done ? -1 : f->fd, .events = POLLIN };
            if (!f->connected || f->sent < o->bytes)
                pfd[i].events |= POLLOUT;
        }
        int n = poll(pfd, (nfds_t)o->conns, o->seconds * 1000);
        if (n == 0)
            die("no progress in %d s, %d connections left", o->seconds, left);
        for (int i = 0; i < o->conns; i++) {
            struct flow *f = &flows[i];
            if (f->done || pfd[i].revents == 0)
                continue;
            if (!f->connected) {
                int err = 0;
                socklen_t len = sizeof err;
                if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &err, &len) < 0 || err != 0) {
                    errno = err;
                    die("connection %d: connect", i);
                }
                if (!(pfd[i].revents & POLLOUT))
                    continue;
                f->connected = true;
            }
            if (pfd[i].revents & POLLOUT)
                flow_write(f, o);
            if (pfd[i].revents & (POLLIN | POLLHUP | POLLERR))
                flow_read(f, o);
            left -= f->done;
        }
    }
}

/* Blocking: writes no more ahead than any two socket buffers hold. */
static void client_block(const struct options *o, int id)
{
    static uint8_t out[CHUNK], in[CHUNK];
    struct flow f = { .fd = client_connect(o), .id = id };
    while (!f.shut) {
        long n = o->bytes - f.sent < 16384 ? o->bytes - f.sent : 16384;
        for (long i = 0; i < n; i++)
            out[i] = pattern(id, f.sent + i);
        for (long at = 0; at < n;) {
            ssize_t w = send(f.fd, out + at, (size_t)(n - at), MSG_NOSIGNAL);
            if (w <= 0)
                die("connection %d: send at %ld", id, f.sent + at);
            at += w;
        }
        f.sent += n;
        if (f.sent == o->bytes) {
            if (shutdown(f.fd, SHUT_WR) < 0)
                die("connection %d: shutdown", id);
            f.shut = true;
        }
        while (f.got < f.sent) {
            ssize_t r = recv(f.fd, in, sizeof in, 0);
            if (r <= 0)
                die("connection %d: recv gave %zd at %ld of %ld", id, r, f.got, o->bytes);
            flow_check(&f, in, r, o);
        }
    }
    if (recv(f.fd, in, sizeof in, 0) != 0)
        die("connection %d: no end of file after %ld bytes", id, f.got);
    close(f.fd);
}

static void usage(void)
{
    fputs("usage: net_echo [-u] server ADDRESS PORT\n"
          "       net_echo [-u] [-N] [-n CONNECTIONS] [-b BYTES] [-t SECONDS] [-B BIND] [-f] client ADDRESS PORT\n"
          "  -u datagrams   -N non-blocking, all connections at once   -f over and over until ended, a line a round\n", stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    struct options o = { .conns = 1, .bytes = 1000, .seconds = 60 };
    int c;
    while ((c = getopt(argc, argv, "+uNfn:b:t:B:")) != -1) {
        switch (c) {
        case 'u': o.udp = true; break;
        case 'N': o.nonblock = true; break;
        case 'f': o.forever = true; break;
        case 'n': o.conns = atoi(optarg); break;
        case 'b': o.bytes = atol(optarg); break;
        case 't': o.seconds = atoi(optarg); break;
        case 'B': o.bind_to = optarg; break;
        default: usage();
        }
    }
    if (argc - optind != 3 || o.conns < 1 || o.conns > MAX_CONNS || o.bytes < 0 || (o.udp && o.bytes > CHUNK))
        usage();
    o.host = argv[optind + 1];
    o.port = argv[optind + 2];
    if (strcmp(argv[optind], "server") == 0)
        server(&o);
    if (strcmp(argv[optind], "client") != 0)
        usage();
    for (long round = 1;; round++) {
        if (!o.forever)
            alarm((unsigned)o.seconds);
        if (o.nonblock && !o.udp)
            client_nonblock(&o);
        else
            for (int i = 0; i < o.conns; i++) {
                if (o.udp)
                    client_udp(&o, i);
                else
                    client_block(&o, i);
            }
        if (!o.forever)
            break;
        if (printf("%ld\n", round) < 0 || fflush(stdout) != 0)
            die("stdout");
    }
    return 0;
}
