/* diff_fd.c - descriptors and properties: close, shutdown, dup, fcntl, ioctl, options, and calls that are wrong */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <linux/sockios.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>
#include "tests/diff/diff.h"

/* A closed number leaves the epoll sets when it was the last copy; what the sets then hold is compared by the next wait. */
void diff_op_close(struct diff_run *r)
{
    int slot = diff_slot_any(r), rc, error;
    bool reset = diff_chance(r, 20);
    struct linger lin = { .l_onoff = 1, .l_linger = 0 };

    if (slot < 0)
        return;
    if (reset && !r->sock[slot].udp) {
        rc = setsockopt(r->sock[slot].fd, SOL_SOCKET, SO_LINGER, &lin, sizeof(lin));
        diff_log(r, "linger 0 (s%d) %s", slot, diff_err(rc, errno));
    }
    rc = close(r->sock[slot].fd);
    error = errno;
    diff_log(r, "close(s%d) %s", slot, diff_err(rc, error));
    diff_slot_drop(r, slot);
}

void diff_op_shutdown(struct diff_run *r)
{
    int slot = diff_chance(r, 85) ? diff_slot_with(r, diff_is_conn) : diff_slot_any(r);
    int how = diff_chance(r, 5) ? 7 : (int)diff_rand(r, 3), rc;

    if (slot < 0)
        return;
    rc = shutdown(r->sock[slot].fd, how);
    /* Of an end that is over both ways there: that its other end, which a child held, has closed may be heard a moment later. */
    for (int64_t end = diff_now_ms() + r->wait_ms;
         rc == 0 && r->compare && diff_next_line(r) && strstr(r->line, "ENOTCONN") && diff_now_ms() < end; usleep(100))
        rc = shutdown(r->sock[slot].fd, how);
    diff_log(r, "shutdown(s%d, %d) %s", slot, how, diff_err(rc, errno));
    for (int i = 0; i < DIFF_SOCKS && r->sock[slot].conn < 0; i++) /* copies, too */
        if (r->sock[i].fd >= 0 && r->sock[i].file == r->sock[slot].file) {
            r->sock[i].ended = r->sock[i].ended || !(r->sock[i].udp || (r->sock[i].listening && how == SHUT_WR));
            r->sock[i].listening = r->sock[i].listening && (rc != 0 || how == SHUT_WR);
        }
}

void diff_op_dup(struct diff_run *r)
{
    int slot = diff_slot_any(r), how = (int)diff_rand(r, 5), fd, to = -1, error, got, flags;
    struct diff_sock from;

    if (slot < 0)
        return;
    from = r->sock[slot];
    switch (how) {
    case 0: fd = dup(from.fd); break;
    case 1: fd = fcntl(from.fd, F_DUPFD, 40); break;
    case 2: fd = fcntl(from.fd, F_DUPFD_CLOEXEC, 0); break;
    default:
        to = diff_slot_any(r);
        fd = how == 3 ? dup2(from.fd, r->sock[to].fd) : dup3(from.fd, r->sock[to].fd, O_CLOEXEC);
        break;
    }
    error = errno;
    flags = fd < 0 ? -1 : fcntl(fd, F_GETFD);
    if (to >= 0 && fd >= 0) { /* what was there is closed */
        diff_slot_drop(r, to);
        got = to;
        r->sock[to] = from;
        r->sock[to].fd = fd;
    } else {
        got = fd < 0 ? -1 : diff_slot_add(r, fd, from.udp, from.v6, from.where);
        if (got >= 0) {
            r->sock[got] = from;
            r->sock[got].fd = fd;
        }
    }
    diff_log(r, "s%d = dup%d(s%d, s%d) %s cloexec %d", got, how, slot, to, diff_err(fd, error), flags);
}

void diff_op_fcntl(struct diff_run *r)
{
    int slot = diff_slot_any(r), rc, fd;

    if (slot < 0)
        return;
    fd = r->sock[slot].fd;
    switch (diff_rand(r, 4)) {
    case 0:
        rc = fcntl(fd, F_GETFL);
        diff_log(r, "F_GETFL(s%d) %s", slot, diff_err(rc, errno));
        break;
    case 1:
        rc = fcntl(fd, F_SETFD, diff_chance(r, 50) ? FD_CLOEXEC : 0);
        diff_log(r, "F_SETFD(s%d) %s %d", slot, diff_err(rc, errno), fcntl(fd, F_GETFD));
        break;
    case 2: {
        bool blocking = diff_chance(r, 8);

        diff_set_blocking(r, slot, blocking);
        for (int i = 0; i < DIFF_SOCKS; i++) /* copies share it */
            if (r->sock[i].fd >= 0)
                r->sock[i].nonblock = fcntl(r->sock[i].fd, F_GETFL) & O_NONBLOCK;
        rc = fcntl(fd, F_GETFL);
        diff_log(r, "F_SETFL(s%d) %s", slot, diff_err(rc, errno));
        break;
    }
    default: {
        int on = r->sock[slot].nonblock;

        rc = ioctl(fd, FIONBIO, &on);
        diff_log(r, "FIONBIO(s%d, %d) %s %x", slot, on, diff_err(rc, errno), fcntl(fd, F_GETFL) & O_NONBLOCK);
    }
    }
}

void diff_op_ioctl(struct diff_run *r)
{
    int slot = diff_slot_any(r), v = -1, rc, error;

    if (slot < 0)
        return;
    switch (diff_rand(r, 3)) {
    case 0:
        rc = ioctl(r->sock[slot].fd, FIONREAD, &v);
        error = errno;
        diff_log(r, "FIONREAD(s%d) %s %d", slot, diff_err(rc, error), v);
        break;
    case 1: /* how much is not yet acknowledged is a matter of time */
        rc = ioctl(r->sock[slot].fd, SIOCOUTQ, &v);
        error = errno;
        diff_log(r, "SIOCOUTQ(s%d) %s", slot, diff_err(rc, error));
        break;
    default:
        rc = ioctl(r->sock[slot].fd, SIOCATMARK, &v);
        error = errno;
        diff_log(r, "SIOCATMARK(s%d) %s %d", slot, diff_err(rc, error), v);
    }
}

/* Options whose values do not depend on the machine. options.sh compares all of them. */
static const struct { int level, name; const char *text; bool settable; int values[3]; } opts[] = {
    { SOL_SOCKET, SO_ERROR, "SO_ERROR", false, { 0 } },
    { SOL_SOCKET, SO_ERROR, "SO_ERROR", false, { 0 } },
    { SOL_SOCKET, SO_TYPE, "SO_TYPE", false, { 0 } },
    { SOL_SOCKET, SO_DOMAIN, "SO_DOMAIN", false, { 0 } },
    { SOL_SOCKET, SO_PROTOCOL, "SO_PROTOCOL", false, { 0 } },
    { SOL_SOCKET, SO_ACCEPTCONN, "SO_ACCEPTCONN", false, { 0 } },
    { SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", true, { 0, 1, 2 } },
    { SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", true, { 1, 1, 1 } },
    { SOL_SOCKET, SO_BROADCAST, "SO_BROADCAST", true, { 0, 1, 1 } },
    { SOL_SOCKET, SO_OOBINLINE, "SO_OOBINLINE", true, { 0, 1, 1 } },
    { IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY", true, { 0, 1, 5 } },
    { IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE", true, { 10, 0, 40000 } },
    { IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL", true, { 10, 0, 40000 } },
    { IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT", true, { 10, 0, 200 } },
    { IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT", true, { 10000, 0, -1 } },
    { IPPROTO_IP, IP_TTL, "IP_TTL", true, { 10, 0, 256 } },
    { IPPROTO_IP, IP_TOS, "IP_TOS", true, { 16, 0, 8 } },
    { IPPROTO_IPV6, IPV6_UNICAST_HOPS, "IPV6_UNICAST_HOPS", true, { 10, 256, -1 } },
    { IPPROTO_TCP, 9999, "TCP 9999", true, { 0, 0, 0 } },
    { SOL_SOCKET, 9999, "SOL_SOCKET 9999", true, { 0, 0, 0 } },
    { IPPROTO_UDP, 9999, "UDP 9999", true, { 0, 0, 0 } },
};
enum { N_OPTS = sizeof(opts) / sizeof(opts[0]) };

void diff_op_getsockopt(struct diff_run *r)
{
    int slot = diff_slot_any(r), o = (int)diff_rand(r, N_OPTS), v = -7, rc, error;
    socklen_t len = diff_chance(r, 15) ? diff_rand(r, 8) : sizeof(v), asked = len;

    if (slot < 0)
        return;
    rc = getsockopt(r->sock[slot].fd, opts[o].level, opts[o].name, &v, &len);
    error = errno;
    diff_log(r, "getsockopt(s%d, %s, %u) %s %d len %u", slot, opts[o].text, asked, diff_err(rc, error), v, len);
}

void diff_op_setsockopt(struct diff_run *r)
{
    int slot = diff_slot_any(r), o = (int)diff_rand(r, N_OPTS), v, rc;
    socklen_t len = diff_chance(r, 10) ? diff_rand(r, 8) : sizeof(v);

    if (slot < 0 || !opts[o].settable)
        return;
    v = opts[o].values[diff_rand(r, 3)];
    rc = setsockopt(r->sock[slot].fd, opts[o].level, opts[o].name, &v, len);
    diff_log(r, "setsockopt(s%d, %s, %d, %u) %s", slot, opts[o].text, v, len, diff_err(rc, errno));
}

/* ---- what no program should do ---- */

void diff_op_wrong(struct diff_run *r)
{
    int slot = diff_slot_any(r), fd = slot < 0 ? 99 : r->sock[slot].fd, what = (int)diff_rand(r, 14);
    struct iovec iov = { NULL, 0 };
    struct sockaddr_storage ss = { 0 };
    socklen_t len = sizeof(ss);
    char b[4];
    volatile int few = -1, many = 2000; /* out of the compiler's sight */
    long rc;

    if (slot >= 0 && !r->sock[slot].listening && (what == 1 || what == 2 || what == 3))
        return; /* a call that binds or connects an unnamed socket is another op */
    switch (what) {
    case 0: rc = recv(99, b, 1, 0); break;
    case 1: rc = bind(fd, (struct sockaddr *)&ss, 1); break;
    case 2: rc = connect(fd, (struct sockaddr *)&ss, 1); break;
    case 3: ss.ss_family = AF_UNIX; rc = connect(fd, (struct sockaddr *)&ss, 30); break;
    case 4: rc = accept4(fd, NULL, NULL, 1); break;
    case 5: rc = readv(fd, &iov, few); break;
    case 6: rc = writev(fd, &iov, many); break;
    case 7: rc = getsockopt(fd, SOL_SOCKET, SO_TYPE, b, NULL); break;
    case 8: rc = setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, NULL, 4); break;
    case 9: rc = getsockname(fd, NULL, &len); break;
    case 10: rc = shutdown(fd, -1); break;
    case 11: rc = lseek(fd, 0, SEEK_CUR); break;
    case 12: rc = getpeername(fd, (struct sockaddr *)&ss, NULL); break;
    default: rc = pread(fd, b, 1, 0); break;
    }
    diff_log(r, "wrong %d (s%d) %s", what, slot, diff_err(rc, errno));
}
