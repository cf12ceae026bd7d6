/* diff_sock.c - sockets of a sequence: their table, addresses, and socket, bind, listen, connect, accept, names */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>
#include "tests/diff/diff.h"

int diff_slot_with(struct diff_run *r, bool (*fits)(const struct diff_run *r, const struct diff_sock *s))
{
    int found[DIFF_SOCKS], n = 0;

    for (int i = 0; i < DIFF_SOCKS; i++)
        if (r->sock[i].fd >= 0 && (!fits || fits(r, &r->sock[i])))
            found[n++] = i;
    return n ? found[diff_rand(r, (uint32_t)n)] : -1;
}
int diff_slot_any(struct diff_run *r) { return diff_slot_with(r, NULL); }

bool diff_is_conn(const struct diff_run *r, const struct diff_sock *s)
{
    (void)r;
    return s->conn >= 0;
}
bool diff_is_listener(const struct diff_run *r, const struct diff_sock *s)
{
    (void)r;
    return s->listening;
}
static bool is_fresh(const struct diff_run *r, const struct diff_sock *s)
{
    (void)r;
    return s->conn < 0 && !s->listening && !s->ended;
}

int diff_slot_add(struct diff_run *r, int fd, bool udp, bool v6, uint8_t where)
{
    for (int i = 0; i < DIFF_SOCKS; i++)
        if (r->sock[i].fd < 0) {
            r->sock[i] = (struct diff_sock){ .fd = fd, .udp = udp, .v6 = v6, .where = where, .conn = -1, .file = ++r->n_files };
            return i;
        }
    close(fd);
    return -1;
}

void diff_slot_drop(struct diff_run *r, int slot)
{
    r->sock[slot] = (struct diff_sock){ .fd = -1, .conn = -1 };
}

void diff_slot_refresh(struct diff_run *r, int slot)
{
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof(ss);

    if (getsockname(r->sock[slot].fd, (struct sockaddr *)&ss, &len) == 0)
        r->sock[slot].port = ((struct sockaddr_in *)&ss)->sin_port; /* sin6_port is at the same place */
}

socklen_t diff_addr(const struct diff_run *r, uint8_t where, bool v6, uint16_t port, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    if (v6) {
        struct sockaddr_in6 *a = (struct sockaddr_in6 *)ss;

        a->sin6_family = AF_INET6;
        a->sin6_port = port;
        inet_pton(AF_INET6, r->addr[where][1], &a->sin6_addr);
        return sizeof(*a);
    }
    struct sockaddr_in *a = (struct sockaddr_in *)ss;

    a->sin_family = AF_INET;
    a->sin_port = port;
    inet_pton(AF_INET, r->addr[where][0], &a->sin_addr);
    return sizeof(*a);
}

/* Ports are ephemeral: named by the first socket that has them. */
const char *diff_addr_name(const struct diff_run *r, bool udp, const struct sockaddr_storage *ss, socklen_t len)
{
    static char text[4][96];
    static unsigned turn;
    char *t = text[turn++ % 4], ip[INET6_ADDRSTRLEN] = "?", port[16] = "gone";
    uint16_t p = ((const struct sockaddr_in *)ss)->sin_port;

    if (len < sizeof(sa_family_t)) {
        snprintf(t, sizeof(text[0]), "len %u", len);
        return t;
    }
    if (ss->ss_family == AF_INET)
        inet_ntop(AF_INET, &((const struct sockaddr_in *)ss)->sin_addr, ip, sizeof(ip));
    else if (ss->ss_family == AF_INET6)
        inet_ntop(AF_INET6, &((const struct sockaddr_in6 *)ss)->sin6_addr, ip, sizeof(ip));
    if (p == 0)
        strcpy(port, "0");
    for (int i = DIFF_SOCKS - 1; i >= 0 && p; i--)
        if (r->sock[i].fd >= 0 && r->sock[i].port == p && r->sock[i].v6 == (ss->ss_family == AF_INET6) &&
            r->sock[i].udp == udp)
            snprintf(port, sizeof(port), "s%d", i);
    snprintf(t, sizeof(text[0]), "%s:%s len %u", ip, port, len);
    return t;
}

/* A blocking socket answers EAGAIN after a moment, so no sequence can hang. */
void diff_set_blocking(struct diff_run *r, int slot, bool blocking)
{
    struct diff_sock *s = &r->sock[slot];
    struct timeval tv = { .tv_usec = DIFF_RECV_TIMEOUT_US };
    int flags = fcntl(s->fd, F_GETFL);

    setsockopt(s->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    fcntl(s->fd, F_SETFL, blocking ? flags & ~O_NONBLOCK : flags | O_NONBLOCK);
    s->nonblock = !blocking;
}

static int make_socket(struct diff_run *r, bool udp, bool v6, uint8_t where, bool nonblock)
{
    int type = (udp ? SOCK_DGRAM : SOCK_STREAM) | (nonblock ? SOCK_NONBLOCK : 0) | (diff_chance(r, 50) ? SOCK_CLOEXEC : 0);
    int fd = socket(v6 ? AF_INET6 : AF_INET, type, 0);
    int slot = fd < 0 ? -1 : diff_slot_add(r, fd, udp, v6, where);

    diff_log(r, "s%d = socket(%s, %s%s) %s", slot, v6 ? "v6" : "v4", udp ? "udp" : "tcp", nonblock ? "|NONBLOCK" : "",
             diff_err(fd, errno));
    if (slot >= 0)
        diff_set_blocking(r, slot, !nonblock);
    return slot;
}

void diff_op_socket(struct diff_run *r)
{
    bool udp = diff_chance(r, 25), v6 = diff_chance(r, 40), nonblock = diff_chance(r, 95);

    make_socket(r, udp, v6, (uint8_t)diff_rand(r, 2), nonblock);
}

static void do_bind(struct diff_run *r, int slot, uint8_t where, uint16_t port)
{
    struct diff_sock *s = &r->sock[slot];
    struct sockaddr_storage ss;
    socklen_t len = diff_addr(r, where, s->v6, port, &ss);
    const char *name = diff_addr_name(r, s->udp, &ss, len);
    int rc = bind(s->fd, (struct sockaddr *)&ss, len);

    diff_log(r, "bind(s%d, %s) %s", slot, name, diff_err(rc, errno));
    if (rc == 0) {
        s->bound = true;
        s->where = where;
    }
    diff_slot_refresh(r, slot);
}

void diff_op_bind(struct diff_run *r)
{
    int slot = diff_chance(r, 80) ? diff_slot_with(r, is_fresh) : diff_slot_any(r), other = diff_slot_any(r);

    uint8_t where = (uint8_t)diff_rand(r, 2);

    if (slot < 0 || r->sock[slot].conn >= 0 || r->sock[slot].end || r->sock[slot].ended || r->sock[slot].refused)
        return;
    /* Where connections linger, Linux refuses the port for a time (TIME-WAIT), we do not: only ports that are bound themselves. */
    bool same = diff_chance(r, 25) && r->sock[other].bound && r->sock[other].conn < 0 && !r->sock[other].ended &&
                r->sock[other].udp == r->sock[slot].udp && r->sock[other].v6 == r->sock[slot].v6;

    do_bind(r, slot, where, same ? r->sock[other].port : 0);
}

static void do_listen(struct diff_run *r, int slot, int backlog)
{
    int rc = listen(r->sock[slot].fd, backlog);

    diff_log(r, "listen(s%d, %d) %s", slot, backlog, diff_err(rc, errno));
    if (rc == 0)
        r->sock[slot].listening = true;
    diff_slot_refresh(r, slot);
}

void diff_op_listen(struct diff_run *r)
{
    int slot = diff_chance(r, 80) ? diff_slot_with(r, is_fresh) : diff_slot_any(r);

    if (slot >= 0 && !r->sock[slot].refused && (r->few || !r->sock[slot].ended) && (r->sock[slot].bound || diff_chance(r, 20)))
        do_listen(r, slot, 8 + (int)diff_rand(r, 8));
}

/* The connection's number: the accepting end finds it by the port of the connecting one. */
static void do_connect(struct diff_run *r, int slot, uint8_t where, uint16_t port)
{
    struct diff_sock *s = &r->sock[slot];
    struct sockaddr_storage ss;
    socklen_t len = diff_addr(r, where, s->v6, port, &ss);
    const char *name = diff_addr_name(r, s->udp, &ss, len);
    int rc = connect(s->fd, (struct sockaddr *)&ss, len), error = errno;

    diff_slot_refresh(r, slot);
    diff_log(r, "connect(s%d, %s) %s", slot, name, diff_err(rc, error));
    for (int i = 0; i < DIFF_SOCKS; i++)
        if (r->sock[i].fd >= 0 && r->sock[i].file == s->file) {
            r->sock[i].port = s->port;
            r->sock[i].refused = r->sock[i].refused || (rc < 0 && error != EINPROGRESS);
        }
    if (!s->udp && s->conn < 0 && (rc == 0 || error == EINPROGRESS) && r->n_conns < DIFF_CONNS) {
        memset(&r->conns[r->n_conns], 0, sizeof(r->conns[0]));
        for (int i = 0; i < DIFF_SOCKS; i++) /* copies, too */
            if (r->sock[i].fd >= 0 && r->sock[i].file == s->file) {
                r->sock[i].conn = r->n_conns;
                r->sock[i].end = 0;
            }
        r->n_conns++;
    }
}

/* A stream that has ended. Linux lets it be bound and connected anew, we do not (compliance page). */
static bool is_over(const struct diff_sock *s)
{
    struct pollfd p = { .fd = s->fd };

    return (s->conn >= 0 || s->end) && poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

void diff_op_connect(struct diff_run *r)
{
    int slot = diff_chance(r, 85) ? diff_slot_with(r, is_fresh) : diff_slot_any(r);
    int to = diff_chance(r, 85) ? diff_slot_with(r, diff_is_listener) : diff_slot_any(r);
    struct diff_sock *s, *t;

    if (slot < 0 || r->sock[slot].ended || r->sock[slot].passed || is_over(&r->sock[slot]))
        return;
    s = &r->sock[slot];
    if (to < 0 || diff_chance(r, 8)) {
        do_connect(r, slot, s->where, htons(9)); /* nobody listens there */
        return;
    }
    t = &r->sock[to];
    if (t->v6 != s->v6 || t->port == 0)
        return;
    if (r->wire && !s->bound && !s->udp && s->conn < 0 && !s->listening)
        do_bind(r, slot, !t->where, 0);
    do_connect(r, slot, t->where, t->port);
}

/* Which of our connecting sockets has this port? */
static int conn_of_peer(const struct diff_run *r, const struct sockaddr_storage *ss)
{
    uint16_t p = ((const struct sockaddr_in *)ss)->sin_port;

    for (int i = 0; i < DIFF_SOCKS; i++)
        if (r->sock[i].fd >= 0 && r->sock[i].port == p && r->sock[i].conn >= 0 && r->sock[i].end == 0 &&
            r->sock[i].v6 == (ss->ss_family == AF_INET6))
            return r->sock[i].conn;
    return -1;
}

static int do_accept(struct diff_run *r, int slot, bool nonblock)
{
    struct diff_sock *l = &r->sock[slot];
    struct sockaddr_storage ss = { 0 };
    socklen_t len = diff_chance(r, 10) ? 6 : sizeof(ss);
    int how = (int)diff_rand(r, 3), fd, got = -1, error;

    if (how == 0)
        fd = accept4(l->fd, (struct sockaddr *)&ss, &len, nonblock ? SOCK_NONBLOCK : SOCK_CLOEXEC);
    else if (how == 1)
        fd = accept(l->fd, (struct sockaddr *)&ss, &len);
    else
        fd = accept4(l->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    error = errno;
    if (fd >= 0 && (got = diff_slot_add(r, fd, l->udp, l->v6, l->where)) >= 0) {
        struct sockaddr_storage peer = { 0 };
        socklen_t peer_len = sizeof(peer);
        int flags = fcntl(fd, F_GETFL), fdflags = fcntl(fd, F_GETFD);

        diff_slot_refresh(r, got);
        if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0)
            r->sock[got].conn = conn_of_peer(r, &peer);
        r->sock[got].end = 1;
        diff_log(r, "s%d = accept(s%d) %s from %s flags %x %x", got, slot, diff_err(fd, error),
                 how == 2 || len > sizeof(ss) ? "?" : diff_addr_name(r, false, &ss, len), flags & O_NONBLOCK, fdflags);
        diff_set_blocking(r, got, !nonblock);
    } else {
        diff_log(r, "accept(s%d) %s", slot, diff_err(fd, error));
    }
    return got;
}

void diff_op_accept(struct diff_run *r)
{
    int slot = diff_chance(r, 90) ? diff_slot_with(r, diff_is_listener) : diff_slot_any(r);

    if (slot >= 0)
        do_accept(r, slot, diff_chance(r, 95));
}

/* Listener, connection, and its accepted end at once: so that most sequences have something to talk over. */
void diff_op_pair(struct diff_run *r)
{
    bool v6 = diff_chance(r, 40), udp = diff_chance(r, 15), nonblock = diff_chance(r, 95);
    uint8_t where = (uint8_t)diff_rand(r, 2);
    int a = make_socket(r, udp, v6, where, nonblock), b;

    if (a < 0)
        return;
    do_bind(r, a, where, 0);
    if (!udp)
        do_listen(r, a, 8);
    b = make_socket(r, udp, v6, !where, nonblock);
    if (b < 0 || r->failed)
        return;
    do_bind(r, b, !where, 0);
    do_connect(r, b, where, r->sock[a].port);
    if (udp && diff_chance(r, 60))
        do_connect(r, a, !where, r->sock[b].port);
    diff_settle(r);
    if (!udp && !r->failed)
        do_accept(r, a, nonblock);
}

void diff_op_names(struct diff_run *r)
{
    int slot = diff_slot_any(r), rc, error;
    bool peer = diff_chance(r, 50);
    struct sockaddr_storage ss;
    socklen_t len = diff_chance(r, 20) ? diff_rand(r, 12) : sizeof(ss), asked = len;

    if (slot < 0)
        return;
    /* What Linux makes of the port that it chose for a connect in progress that has failed since is its affair. */
    if (r->sock[slot].end == 0 && !r->sock[slot].bound && is_over(&r->sock[slot]))
        return;
    memset(&ss, 0, sizeof(ss));
    rc = (peer ? getpeername : getsockname)(r->sock[slot].fd, (struct sockaddr *)&ss, &len);
    error = errno;
    diff_log(r, "get%sname(s%d, %u) %s %s", peer ? "peer" : "sock", slot, asked, diff_err(rc, error),
             rc < 0 ? "" : asked < 8 ? "short" : diff_addr_name(r, r->sock[slot].udp, &ss, len));
}
