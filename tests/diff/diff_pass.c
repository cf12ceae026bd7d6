/* diff_pass.c - descriptors that go through SCM_RIGHTS, calls of children that got one so or by fork, threads that wait while something ends,
 * sets inside of sets, and control messages of datagrams */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/diff/diff.h"

/* ---- SCM_RIGHTS ---- */

union rights { char room[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; };

static long send_fd(int unix_fd, int fd)
{
    union rights c = { .room = "" };
    struct iovec iov = { "d", 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof(c.room) };
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(h), &fd, sizeof(fd));
    return sendmsg(unix_fd, &m, MSG_NOSIGNAL);
}

static int take_fd(int unix_fd, int flags)
{
    union rights c;
    char b;
    struct iovec iov = { &b, 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = sizeof(c.room) };
    int fd = -1;

    if (recvmsg(unix_fd, &m, flags) == 1 && CMSG_FIRSTHDR(&m) && CMSG_FIRSTHDR(&m)->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
    return fd;
}

/* To oneself: a copy of the descriptor, as by dup(). (Were the one that was sent closed meanwhile: tests/system/shared-options.sh.) */
void diff_op_pass(struct diff_run *r)
{
    int slot = diff_open_stream(r), flags = diff_chance(r, 50) ? MSG_CMSG_CLOEXEC : 0, u[2], fd, got;
    struct diff_sock from;
    long sent;

    if (slot < 0 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, u) < 0)
        return;
    from = r->sock[slot];
    sent = send_fd(u[0], from.fd);
    fd = take_fd(u[1], flags);
    close(u[0]);
    close(u[1]);
    got = fd < 0 ? -1 : diff_slot_add(r, fd, from.udp, from.v6, from.where);
    if (got >= 0) {
        r->sock[got] = from;
        r->sock[got].fd = fd;
        for (int i = 0; i < DIFF_SOCKS; i++)
            if (r->sock[i].fd >= 0 && r->sock[i].file == from.file)
                r->sock[i].passed = true;
    }
    diff_log(r, "s%d = pass(s%d) %ld %s cloexec %d", got, slot, sent, fd < 0 ? "none" : diff_err(fd, 0),
             got < 0 ? -1 : fcntl(fd, F_GETFD));
}

/* ---- children ---- */

enum child { CHILD_PASSED, CHILD_CLOSEFROM, CHILD_NAMES, CHILD_VECTOR, N_CHILD };
static const char *const child_names[] = { "recv of a passed one", "closefrom", "getpeername", "writev" };

struct answer { long rc, rc2; int error; uint32_t sum; };

/* With closefrom() nothing but standard output is left: there the answer goes. An end that changes hands takes a moment: until `end`, when
 * there are bytes to come, EAGAIN is no answer. */
static void in_child(enum child what, int fd, int unix_fd, uint8_t *buf, uint32_t len, int64_t end, struct answer *a)
{
    bool many = a->rc2 > 0;
    struct iovec iov[2] = { { buf, len / 2 }, { buf + len / 2, len - len / 2 } };
    struct sockaddr_storage ss;
    socklen_t n = sizeof(ss);

    a->rc2 = 0;
    switch (what) {
    case CHILD_PASSED:
        close(fd);
        fd = take_fd(unix_fd, 0);
        while ((a->rc = recv(fd, buf, len, MSG_DONTWAIT | MSG_PEEK)) < 0 && errno == EAGAIN && many && diff_now_ms() < end)
            usleep(100);
        a->sum = a->rc > 0 ? diff_sum(buf, (size_t)a->rc) : 0;
        break;
    case CHILD_CLOSEFROM:
        closefrom(3);
        a->rc = recv(fd, buf, len, MSG_DONTWAIT);
        break;
    case CHILD_NAMES:
        a->rc = getpeername(fd, (struct sockaddr *)&ss, &n);
        a->rc2 = n;
        break;
    default:
        while ((a->rc = writev(fd, iov, 2)) < 0 && errno == EAGAIN && diff_now_ms() < end)
            usleep(100);
        break;
    }
    a->error = errno;
}

static bool has_copies(const struct diff_run *r, int slot)
{
    for (int i = 0; i < DIFF_SOCKS; i++)
        if (i != slot && r->sock[i].fd >= 0 && r->sock[i].file == r->sock[slot].file)
            return true;
    return false;
}

void diff_op_child(struct diff_run *r)
{
    enum child what = (enum child)diff_rand(r, N_CHILD);
    int slot = diff_open_stream(r), p[2], u[2], status = 0, there = 0;
    uint32_t len = 1 + diff_rand(r, 699);
    struct answer a = { -2, -2, 0, 0 };
    uint8_t buf[700];
    pid_t pid;

    /* Where a child has another copy, too, it gets nothing (compliance page). */
    if (slot < 0 || (what == CHILD_PASSED && has_copies(r, slot)) || (what == CHILD_VECTOR && diff_room(r, &r->sock[slot], len) < len) ||
        pipe2(p, O_CLOEXEC) != 0)
        return;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, u) != 0)
        abort();
    if (what == CHILD_VECTOR)
        diff_fill_bytes(r, buf, len);
    ioctl(r->sock[slot].fd, FIONREAD, &there);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        dup2(p[1], 1);
        a.rc2 = there;
        in_child(what, r->sock[slot].fd, u[1], buf, len, diff_now_ms() + r->wait_ms, &a);
        _exit(write(1, &a, sizeof(a)) == (ssize_t)sizeof(a) ? 0 : 1);
    }
    if (what == CHILD_PASSED)
        send_fd(u[0], r->sock[slot].fd);
    close(u[0]);
    close(u[1]);
    if (!diff_child_ends(r, pid, p, &a, sizeof(a), &status))
        a.rc = -3;
    if (what == CHILD_VECTOR)
        diff_count_sent(r, &r->sock[slot], a.rc);
    diff_log(r, "child %s(s%d, %u) %s %ld sum %08x status %x", child_names[what], slot, len, diff_err(a.rc, a.error), a.rc2, a.sum,
             status);
}

/* ---- threads ---- */

enum { PATIENCE_MS = 60000 };
enum waiting { WAIT_READ, WAIT_RECVMSG, WAIT_RECVMMSG, WAIT_PPOLL, WAIT_PSELECT, WAIT_PWAIT, WAIT_PWAIT2, N_WAITING };
static const char *const waiting_names[] = { "read", "recvmsg", "recvmmsg", "ppoll", "pselect", "epoll_pwait", "epoll_pwait2" };
enum ending { END_BYTES, END_SHUT_WR, END_OWN_SHUT_RD, END_OWN_SHUT_RDWR, N_ENDING };
static const char *const ending_names[] = { "the other end sends", "the other end shuts", "this one shuts reading", "this one shuts both" };

struct waiter { enum waiting how; int fd, error; long rc; };

static void *wait_in_thread(void *arg)
{
    struct waiter *w = arg;
    const struct timespec limit = { .tv_sec = PATIENCE_MS / 1000 };
    struct pollfd p = { .fd = w->fd, .events = POLLIN };
    struct epoll_event ev = { .events = EPOLLIN };
    char b[100];
    struct iovec iov = { b, sizeof(b) };
    struct mmsghdr m = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
    int ep = -1;
    fd_set rd;

    switch (w->how) {
    case WAIT_READ: w->rc = read(w->fd, b, sizeof(b)); break;
    case WAIT_RECVMSG: w->rc = recvmsg(w->fd, &m.msg_hdr, 0); break;
    case WAIT_RECVMMSG:
        w->rc = recvmmsg(w->fd, &m, 1, 0, NULL);
        w->rc = w->rc == 1 ? (long)m.msg_len : w->rc;
        break;
    case WAIT_PPOLL: w->rc = ppoll(&p, 1, &limit, NULL); break;
    case WAIT_PSELECT:
        FD_ZERO(&rd);
        FD_SET(w->fd, &rd);
        w->rc = pselect(w->fd + 1, &rd, NULL, NULL, &limit, NULL);
        break;
    default:
        ep = epoll_create1(EPOLL_CLOEXEC);
        w->rc = ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, w->fd, &ev) != 0 ? -1
                : w->how == WAIT_PWAIT                                 ? epoll_pwait(ep, &ev, 1, PATIENCE_MS, NULL)
                                                                       : epoll_pwait2(ep, &ev, 1, &limit, NULL);
    }
    w->error = errno;
    if (ep >= 0)
        close(ep);
    return NULL;
}

void diff_op_thread_ends(struct diff_run *r)
{
    struct waiter w = { .how = (enum waiting)diff_rand(r, N_WAITING) };
    enum ending how = (enum ending)diff_rand(r, N_ENDING);
    bool early = diff_chance(r, 50);
    int other, slot = diff_quiet_pair(r, &other), flags;
    pthread_t t;
    long rc;

    if (slot < 0 || diff_room(r, &r->sock[other], 50) < 50)
        return;
    w.fd = r->sock[slot].fd;
    flags = diff_let_block(w.fd, PATIENCE_MS / 1000);
    if (pthread_create(&t, NULL, wait_in_thread, &w) != 0)
        abort();
    if (early) /* mostly the thread waits by then; the answer is the same if it does not */
        usleep(200);
    switch (how) {
    case END_BYTES:
        rc = send(r->sock[other].fd, "0123456789012345678901234567890123456789012345678", 50, MSG_NOSIGNAL);
        diff_count_sent(r, &r->sock[other], rc);
        break;
    case END_SHUT_WR: rc = shutdown(r->sock[other].fd, SHUT_WR); break;
    default: rc = shutdown(w.fd, how == END_OWN_SHUT_RD ? SHUT_RD : SHUT_RDWR); break;
    }
    pthread_join(t, NULL);
    diff_let_be(w.fd, flags);
    if (w.how <= WAIT_RECVMMSG)
        diff_count_read(r, &r->sock[slot], w.rc);
    diff_log(r, "thread %s(s%d) while %s %ld: %s", waiting_names[w.how], slot, ending_names[how], rc, diff_err(w.rc, w.error));
}

static void *accept_in_thread(void *arg)
{
    struct waiter *w = arg;

    w->rc = accept4(w->fd, NULL, NULL, SOCK_CLOEXEC);
    w->error = errno;
    return NULL;
}

/* A thread waits in accept() while another connects. */
void diff_op_thread_accepts(struct diff_run *r)
{
    int slot = diff_slot_with(r, diff_is_listener), flags, fd, rc;
    struct pollfd p = { .events = POLLIN };
    struct sockaddr_storage ss;
    struct waiter w;
    socklen_t len;
    pthread_t t;
    long byte = -2;

    if (slot < 0)
        return;
    p.fd = w.fd = r->sock[slot].fd;
    if (poll(&p, 1, 0) != 0 || (fd = socket(r->sock[slot].v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) < 0)
        return;
    len = diff_addr(r, r->sock[slot].where, r->sock[slot].v6, r->sock[slot].port, &ss);
    flags = diff_let_block(w.fd, PATIENCE_MS / 1000);
    if (pthread_create(&t, NULL, accept_in_thread, &w) != 0)
        abort();
    rc = connect(fd, (struct sockaddr *)&ss, len);
    if (rc != 0) /* nobody else comes */
        shutdown(w.fd, SHUT_RD);
    pthread_join(t, NULL);
    diff_let_be(w.fd, flags);
    if (w.rc >= 0) {
        char b;

        byte = send(fd, "x", 1, MSG_NOSIGNAL);
        if (byte == 1)
            byte = recv((int)w.rc, &b, 1, 0); /* waits: not poll(), a low-water mark came from the listener */
        setsockopt((int)w.rc, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
        close((int)w.rc);
    }
    close(fd);
    diff_log(r, "thread accepts at s%d: connect %d, %s, byte %ld", slot, rc, diff_err(w.rc < 0 ? w.rc : 0, w.error), byte);
}

/* ---- sets ---- */

struct nest { int inner, outer; };

static void make_nest(struct diff_run *r, char *out, size_t size, void *arg)
{
    const struct nest *n = arg;
    const struct timespec zero = { 0, 0 };
    struct epoll_event ev[8], outer[2];
    struct pollfd p = { .fd = n->outer, .events = POLLIN };
    int polled = poll(&p, 1, 0), o = epoll_pwait2(n->outer, outer, 2, &zero, NULL), i = epoll_pwait(n->inner, ev, 8, 0, NULL);
    size_t at = (size_t)snprintf(out, size, "nested poll %d %s outer %d", polled, diff_events((uint16_t)p.revents), o);
    uint32_t of[DIFF_SOCKS] = { 0 };

    (void)r;
    for (int k = 0; k < i; k++)
        of[ev[k].data.u32 % DIFF_SOCKS] |= ev[k].events; /* of what both stacks serve each tells, for itself */
    for (int k = 0; k < DIFF_SOCKS; k++)
        if (of[k])
            at += (size_t)snprintf(out + at, size - at, " s%d:%s", k, diff_events(of[k]));
}

/* A set of some sockets, level-triggered, inside of another. */
void diff_op_nest(struct diff_run *r)
{
    struct nest n = { epoll_create1(EPOLL_CLOEXEC), epoll_create(1) };
    struct epoll_event ev = { .events = EPOLLIN };
    int rc, slot;

    if (n.inner < 0 || n.outer < 0)
        abort();
    for (int i = 0; i < 3; i++) {
        slot = diff_slot_any(r);
        ev.events = diff_chance(r, 70) ? EPOLLIN | EPOLLRDHUP : EPOLLIN | EPOLLPRI | EPOLLOUT;
        ev.events |= diff_chance(r, 30) ? EPOLLEXCLUSIVE : 0;
        ev.data.u32 = (uint32_t)slot;
        rc = slot < 0 ? 0 : epoll_ctl(n.inner, EPOLL_CTL_ADD, r->sock[slot].fd, &ev);
        diff_log(r, "inner(s%d, %s%s) %s", slot, diff_events(ev.events), ev.events & EPOLLEXCLUSIVE ? "|EXCLUSIVE" : "", diff_err(rc, errno));
        if (slot >= 0 && diff_chance(r, 20)) {
            rc = epoll_ctl(n.inner, EPOLL_CTL_MOD, r->sock[slot].fd, &ev);
            diff_log(r, "inner again(s%d) %s", slot, diff_err(rc, errno));
        }
    }
    ev.events = EPOLLIN;
    rc = epoll_ctl(n.outer, EPOLL_CTL_ADD, n.inner, &ev);
    diff_log(r, "nest %s", diff_err(rc, errno));
    rc = epoll_ctl(n.inner, EPOLL_CTL_ADD, diff_chance(r, 50) ? n.outer : n.inner, &ev);
    diff_log(r, "ring %s", diff_err(rc, errno));
    rc = epoll_wait(n.inner, &ev, (int)diff_rand(r, 2) - 1, 0);
    diff_log(r, "no room %s", diff_err(rc, errno));
    diff_log_until(r, make_nest, &n);
    close(diff_chance(r, 50) ? n.inner : n.outer);
    close(fcntl(n.inner, F_GETFD) < 0 ? n.outer : n.inner);
}

/* ---- control messages ---- */

static const struct { int level, v4, v6; const char *name; } controls[] = {
    { IPPROTO_IP, IP_PKTINFO, IPV6_RECVPKTINFO, "PKTINFO" }, { IPPROTO_IP, IP_RECVTTL, IPV6_RECVHOPLIMIT, "TTL" },
    { IPPROTO_IP, IP_RECVTOS, IPV6_RECVTCLASS, "TOS" },      { IPPROTO_IP, IP_RECVERR, IPV6_RECVERR, "RECVERR" },
};

static bool is_udp(const struct diff_run *r, const struct diff_sock *s)
{
    (void)r;
    return s->udp;
}

void diff_op_control(struct diff_run *r)
{
    int slot = diff_slot_with(r, is_udp), k = (int)diff_rand(r, 4), on = !diff_chance(r, 25), rc, error, is = -1;
    socklen_t len = sizeof(is);
    bool v6;

    if (slot < 0)
        return;
    v6 = r->sock[slot].v6;
    rc = setsockopt(r->sock[slot].fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? controls[k].v6 : controls[k].v4, &on, sizeof(on));
    error = errno;
    getsockopt(r->sock[slot].fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? controls[k].v6 : controls[k].v4, &is, &len);
    diff_log(r, "control %s(s%d, %d) %s is %d", controls[k].name, slot, on, diff_err(rc, error), is);
}

static size_t say_control(const struct cmsghdr *c, char *out, size_t size)
{
    char ip[INET6_ADDRSTRLEN] = "";
    int v = 0;

    if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO)
        inet_ntop(AF_INET, &((const struct in_pktinfo *)CMSG_DATA(c))->ipi_addr, ip, sizeof(ip));
    else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO)
        inet_ntop(AF_INET6, &((const struct in6_pktinfo *)CMSG_DATA(c))->ipi6_addr, ip, sizeof(ip));
    else if (c->cmsg_type == IP_RECVERR || c->cmsg_type == IPV6_RECVERR) {
        struct sock_extended_err e;

        memcpy(&e, CMSG_DATA(c), sizeof(e));
        return (size_t)snprintf(out, size, " (%d %d len %zu error %u origin %u type %u code %u)", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len,
                                e.ee_errno, e.ee_origin, e.ee_type, e.ee_code);
    } else
        memcpy(&v, CMSG_DATA(c), c->cmsg_len >= CMSG_LEN(sizeof(v)) ? sizeof(v) : 1);
    return (size_t)snprintf(out, size, " (%d %d len %zu %s %d)", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len, ip, v);
}

void diff_op_control_recv(struct diff_run *r)
{
    int slot = diff_slot_with(r, is_udp), flags = diff_chance(r, 30) ? MSG_ERRQUEUE : MSG_DONTWAIT, error;
    union { char room[512]; struct cmsghdr align; } c;
    struct sockaddr_storage ss;
    uint8_t b[2000];
    struct iovec iov = { b, sizeof(b) };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = c.room, .msg_controllen = diff_chance(r, 15) ? 8 : sizeof(c.room),
                        .msg_name = &ss, .msg_namelen = sizeof(ss) };
    char more[DIFF_LINE / 2] = "";
    size_t at = 0;
    ssize_t rc;

    if (slot < 0)
        return;
    memset(&ss, 0, sizeof(ss));
    rc = recvmsg(r->sock[slot].fd, &m, flags);
    error = errno;
    for (struct cmsghdr *h = rc < 0 ? NULL : CMSG_FIRSTHDR(&m); h; h = CMSG_NXTHDR(&m, h))
        at += say_control(h, more + at, sizeof(more) - at);
    diff_log(r, "control recvmsg(s%d, %s) %s sum %08x%s flags %s%s", slot, diff_flags(flags), diff_err(rc, error),
             rc > 0 ? diff_sum(b, (size_t)rc) : 0, rc < 0 ? "" : diff_addr_name(r, true, &ss, m.msg_namelen),
             rc < 0 ? "" : diff_flags(m.msg_flags), more);
}
