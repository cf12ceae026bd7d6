/* diff_more.c - rarer calls: wrong ones on a good descriptor, owners and SIGIO, low-water marks, lingering, time limits, files */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <signal.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>
#include "tests/diff/diff.h"

/* ---- calls of which a socket knows nothing, or that are asked wrongly ---- */

static long wrong_file(int what, int fd, int pipe_in, int pipe_out)
{
    loff_t at = 0;
    char b[4] = "";
    struct iovec iov = { b, 1 };

    switch (what) {
    case 0: return ftruncate(fd, 10);
    case 1: return fsync(fd);
    case 2: return fdatasync(fd);
    case 3: return fallocate(fd, 0, 0, 10);
    case 4: return posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL);
    case 5: return vmsplice(fd, &iov, 1, SPLICE_F_NONBLOCK);
    case 6: return fchdir(fd);
    case 7: return openat(fd, "x", O_RDONLY);
    case 8: return isatty(fd);
    case 9: return sendfile(pipe_in, fd, NULL, 10);
    case 10: return sendfile(pipe_in, fd, &at, 10);
    case 11: return splice(fd, &at, pipe_in, NULL, 10, SPLICE_F_NONBLOCK);
    case 12: return splice(pipe_out, NULL, fd, &at, 10, SPLICE_F_NONBLOCK);
    case 13: return splice(fd, NULL, fd, NULL, 10, SPLICE_F_NONBLOCK);
    case 14: return tee(fd, pipe_in, 10, SPLICE_F_NONBLOCK);
    case 15: return copy_file_range(fd, NULL, pipe_in, NULL, 10, 0);
    case 16: return readahead(fd, 0, 10);
    case 17: return flock(fd, LOCK_EX | LOCK_NB);
    default: return lseek(fd, 10, SEEK_SET);
    }
}

static long wrong_vector(int what, int fd, int bad)
{
    char b[4] = "";
    struct iovec iov = { b, 1 };
    struct mmsghdr m = { .msg_hdr.msg_iovlen = 2000, .msg_hdr.msg_iov = &iov };

    switch (what) {
    case 0: return pwrite(fd, b, 1, 0);
    case 1: return preadv(fd, &iov, 1, 0);
    case 2: return pwritev(fd, &iov, 1, 0);
    case 3: return preadv2(fd, &iov, 1, 0, 0);
    case 4: return pwritev2(fd, &iov, 1, 0, 0);
    case 5: return preadv(fd, &iov, 1, -1);
    case 6: return preadv2(fd, &iov, 1, -1, 1 << 30);
    case 7: return recvmsg(fd, &m.msg_hdr, MSG_DONTWAIT);
    case 8: return sendmsg(fd, &m.msg_hdr, MSG_DONTWAIT | MSG_NOSIGNAL);
    case 9: return recvmmsg(fd, &m, 0, MSG_DONTWAIT, NULL);
    case 10: return sendmmsg(fd, &m, 0, MSG_DONTWAIT);
    case 11: return recvmmsg(fd, &m, 1, MSG_DONTWAIT, &(struct timespec){ .tv_nsec = bad });
    case 12: return recvmmsg(fd, &m, 1, MSG_DONTWAIT, NULL);
    default: return sendmmsg(fd, &m, 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    }
}

static long wrong_number(int what, int fd, int bad)
{
    struct epoll_event ev = { .events = EPOLLIN };
    struct itimerspec its = { { 0 }, { 0 } };
    sigset_t none;
    int v = 0;
    socklen_t len = (socklen_t)bad;

    sigemptyset(&none);
    switch (what) {
    case 0: return dup3(fd, fd, 0);
    case 1: return dup3(fd, fd + 100, 1);
    case 2: return dup2(fd, fd) - fd;
    case 3: return dup2(fd, bad);
    case 4: return fcntl(fd, F_DUPFD, bad);
    case 5: return fcntl(fd, F_DUPFD, 1 << 30);
    case 6: return fcntl(fd, 9999, 0);
    case 7: return fcntl(fd, F_GETPIPE_SZ);
    case 8: return fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
    case 9: return ioctl(fd, TIOCGWINSZ, &ev);
    case 10: return ioctl(fd, 0x5499, &v);
    case 11: return epoll_ctl(fd, EPOLL_CTL_ADD, fd, &ev);
    case 12: return epoll_wait(fd, &ev, 1, 0);
    case 13: return timerfd_settime(fd, 0, &its, NULL);
    case 14: return close_range((unsigned)fd, (unsigned)fd - 1, 0);
    case 15: return close_range((unsigned)fd, (unsigned)fd, 64);
    case 16: return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, len);
    case 17: return getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, &len);
    case 18: return getsockopt(fd, 77, 1, &v, &(socklen_t){ sizeof(v) });
    case 19: return setsockopt(fd, 77, 1, &v, sizeof(v));
    case 20: return ioctl(fd, FIOCLEX, 0);
    default: return ioctl(fd, FIONCLEX, 0);
    }
}

void diff_op_wrong_more(struct diff_run *r)
{
    int slot = diff_slot_any(r), group = (int)diff_rand(r, 3), what = (int)diff_rand(r, group == 0 ? 19 : group == 1 ? 14 : 22), p[2], fd;
    volatile int bad = -1; /* out of the compiler's sight */
    long rc;

    if (slot < 0 || pipe2(p, O_NONBLOCK | O_CLOEXEC) < 0)
        return;
    fd = r->sock[slot].fd;
    errno = 0;
    rc = group == 0 ? wrong_file(what, fd, p[1], p[0]) : group == 1 ? wrong_vector(what, fd, bad) : wrong_number(what, fd, bad);
    diff_log(r, "wrong %c%d (s%d) %s pipes %d", "fvn"[group], what, slot, diff_err(rc, errno), diff_sigpipes());
    close(p[0]);
    close(p[1]);
}

void diff_op_stat(struct diff_run *r)
{
    int slot = diff_slot_any(r), rc;
    struct stat st = { 0 };

    if (slot < 0)
        return;
    rc = fstat(r->sock[slot].fd, &st);
    diff_log(r, "fstat(s%d) %s %o %ld bytes %ld links", slot, diff_err(rc, errno), st.st_mode, (long)st.st_size, (long)st.st_nlink);
}

/* ---- who is told by signals ---- */

static const char *who(int pid)
{
    return pid == 0 ? "nobody" : pid == getpid() ? "self" : pid < 0 ? "a group" : "another";
}

static void own(struct diff_run *r, int slot, int fd)
{
    int pids[] = { 0, getpid(), 0x3ffffff0, -0x3ffffff0 }, pid = pids[diff_rand(r, 4)], rc, v = 0;
    struct f_owner_ex ex = { (int[]){ F_OWNER_TID, F_OWNER_PID, 77 }[diff_rand(r, 3)], pid };

    switch (diff_rand(r, 6)) {
    case 0:
        rc = fcntl(fd, F_SETOWN, pid);
        diff_log(r, "F_SETOWN(s%d, %s) %s", slot, who(pid), diff_err(rc, errno));
        break;
    case 1:
        rc = fcntl(fd, F_SETOWN_EX, &ex);
        diff_log(r, "F_SETOWN_EX(s%d, %d %s) %s", slot, ex.type, who(pid), diff_err(rc, errno));
        break;
    case 2:
        rc = fcntl(fd, F_GETOWN_EX, &ex);
        diff_log(r, "F_GETOWN_EX(s%d) %s %d %s", slot, diff_err(rc, errno), ex.pid ? (int)ex.type : -1, who(ex.pid));
        break;
    case 3:
        rc = ioctl(fd, diff_chance(r, 50) ? FIOSETOWN : SIOCSPGRP, &pid);
        diff_log(r, "FIOSETOWN(s%d, %s) %s", slot, who(pid), diff_err(rc, errno));
        break;
    case 4:
        rc = ioctl(fd, diff_chance(r, 50) ? FIOGETOWN : SIOCGPGRP, &v);
        diff_log(r, "FIOGETOWN(s%d) %s %s", slot, diff_err(rc, errno), who(v));
        break;
    default:
        rc = fcntl(fd, F_GETOWN);
        diff_log(r, "F_GETOWN(s%d) %s", slot, rc < 0 ? diff_err(rc, errno) : who(rc));
    }
}

static void signal_number(struct diff_run *r, int slot, int fd)
{
    int sig = (int[]){ 0, SIGRTMIN + 1, SIGIO, 65, -1 }[diff_rand(r, 5)];
    int rc = fcntl(fd, F_SETSIG, sig), error = errno;

    diff_log(r, "F_SETSIG(s%d, %d) %s is %d", slot, sig, diff_err(rc, error), fcntl(fd, F_GETSIG));
}

/* Bytes that come make the signal come, too. What else makes one, and how many come, is not compared. */
static void told_by_signal(struct diff_run *r)
{
    int other, slot = diff_quiet_pair(r, &other), sig = diff_chance(r, 50) ? SIGRTMIN + 1 : 0, fd, on = 1, n;
    const struct timespec zero = { 0, 0 }, limit = { .tv_sec = r->wait_ms / 1000 };
    sigset_t set;
    siginfo_t si;
    bool came = false;

    if (slot < 0 || diff_room(r, &r->sock[other], 1) == 0)
        return;
    fd = r->sock[slot].fd;
    sigemptyset(&set);
    sigaddset(&set, sig ? sig : SIGIO);
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETSIG, sig);
    ioctl(fd, FIOASYNC, &on);
    diff_log(r, "O_ASYNC(s%d) %x", slot, fcntl(fd, F_GETFL) & O_ASYNC);
    n = (int)send(r->sock[other].fd, "!", 1, MSG_NOSIGNAL);
    diff_count_sent(r, &r->sock[other], n);
    while (!came && sigtimedwait(&set, &si, &limit) > 0)
        came = sig == 0 || (si.si_fd == fd && si.si_band & POLLIN);
    on = 0;
    ioctl(fd, FIOASYNC, &on);
    fcntl(fd, F_SETSIG, 0);
    fcntl(fd, F_SETOWN, 0);
    while (sigtimedwait(&set, &si, &zero) > 0)
        ;
    diff_log(r, "signal %d of s%d when s%d sends %d: %s", sig, slot, other, n, came ? "came" : "did not come");
}

/* Blocked for good, and taken by who waits for them; ignored where a call lets all signals in for its time. */
void diff_more_init(void)
{
    sigset_t set;

    signal(SIGIO, SIG_IGN);
    signal(SIGURG, SIG_IGN);
    signal(SIGRTMIN + 1, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGIO);
    sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

void diff_op_owner(struct diff_run *r)
{
    int what = (int)diff_rand(r, 10), slot = diff_slot_any(r);

    if (slot < 0)
        return;
    if (what < 4)
        own(r, slot, r->sock[slot].fd);
    else if (what < 6)
        signal_number(r, slot, r->sock[slot].fd);
    else
        told_by_signal(r);
}

/* ---- properties that change what a call does ---- */

void diff_op_lowat(struct diff_run *r)
{
    int slot = diff_slot_any(r), v = (int[]){ 1, 1, 0, 50, 500, 3000 }[diff_rand(r, 6)], is = -1, rc, error;
    socklen_t len = sizeof(is);

    if (slot < 0)
        return;
    rc = setsockopt(r->sock[slot].fd, SOL_SOCKET, SO_RCVLOWAT, &v, sizeof(v));
    error = errno;
    getsockopt(r->sock[slot].fd, SOL_SOCKET, SO_RCVLOWAT, &is, &len);
    diff_log(r, "SO_RCVLOWAT(s%d, %d) %s is %d", slot, v, diff_err(rc, error), is);
}

void diff_op_linger(struct diff_run *r)
{
    static const struct linger some[] = { { 0, 0 }, { 1, 0 }, { 1, 2 }, { 0, 7 }, { 5, 1 } };
    struct linger set = some[diff_rand(r, sizeof(some) / sizeof(some[0]))], is = { -7, -7 };
    int slot = diff_slot_any(r), rc, error;
    socklen_t len = diff_chance(r, 10) ? diff_rand(r, 8) : sizeof(is), got = sizeof(is);

    if (slot < 0)
        return;
    rc = setsockopt(r->sock[slot].fd, SOL_SOCKET, SO_LINGER, &set, len);
    error = errno;
    getsockopt(r->sock[slot].fd, SOL_SOCKET, SO_LINGER, &is, &got);
    diff_log(r, "SO_LINGER(s%d, %d %d, %u) %s is %d %d", slot, set.l_onoff, set.l_linger, len, diff_err(rc, error), is.l_onoff, is.l_linger);
}

/* A port of the program's choice stays when the peer is forgotten. (One that Linux chose it gives back, we keep it: compliance page.) */
void diff_op_unconnect(struct diff_run *r)
{
    bool v6 = diff_chance(r, 40);
    uint8_t where = (uint8_t)diff_rand(r, 2);
    uint16_t port = htons((uint16_t)(1024 + diff_rand(r, 30000)));
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), to = diff_slot_any(r), rc = -1, slot;
    struct sockaddr_storage ss, none = { .ss_family = AF_UNSPEC };
    socklen_t len = sizeof(ss);

    if (fd < 0)
        return;
    for (int tries = 0; rc < 0 && tries < 1000; tries++, port = htons((uint16_t)(ntohs(port) + 1))) {
        len = diff_addr(r, where, v6, port, &ss);
        rc = bind(fd, (struct sockaddr *)&ss, len);
    }
    slot = diff_slot_add(r, fd, true, v6, where);
    diff_log(r, "s%d = bound to a port %s", slot, diff_err(rc, errno));
    if (slot < 0 || r->failed)
        return;
    r->sock[slot].bound = true;
    diff_set_blocking(r, slot, false);
    diff_slot_refresh(r, slot);
    if (to >= 0 && r->sock[to].udp && r->sock[to].v6 == v6 && r->sock[to].port) {
        len = diff_addr(r, r->sock[to].where, v6, r->sock[to].port, &ss);
        rc = connect(fd, (struct sockaddr *)&ss, len);
        diff_log(r, "connect(s%d, s%d) %s", slot, to, diff_err(rc, errno));
    }
    rc = connect(fd, (struct sockaddr *)&none, sizeof(struct sockaddr_in));
    diff_log(r, "connect(s%d, AF_UNSPEC) %s", slot, diff_err(rc, errno));
    rc = getpeername(fd, (struct sockaddr *)&ss, &len);
    diff_log(r, "getpeername(s%d) %s", slot, diff_err(rc, errno));
    len = sizeof(ss);
    rc = getsockname(fd, (struct sockaddr *)&ss, &len);
    diff_log(r, "getsockname(s%d) %s", slot, diff_err(rc, errno));
    if (rc == 0)
        diff_log(r, "the name: %s", diff_addr_name(r, true, &ss, len));
}

void diff_op_range(struct diff_run *r)
{
    int slot = diff_slot_any(r), rc, error;
    bool keep = diff_chance(r, 50);

    if (slot < 0)
        return;
    rc = close_range((unsigned)r->sock[slot].fd, (unsigned)r->sock[slot].fd, keep ? CLOSE_RANGE_CLOEXEC : 0);
    error = errno;
    diff_log(r, "close_range(s%d, %s) %s flags %d", slot, keep ? "CLOEXEC" : "0", diff_err(rc, error), fcntl(r->sock[slot].fd, F_GETFD));
    if (!keep && rc == 0)
        diff_slot_drop(r, slot);
}

/* ---- bytes by other ways ---- */

/* A limit that has passed ends the call after the first message, one that is far off never does. */
void diff_op_timed(struct diff_run *r)
{
    uint8_t buf[3][512];
    struct iovec iov[3];
    struct mmsghdr m[3];
    struct timespec limit = { .tv_sec = diff_chance(r, 50) ? 0 : 600 };
    int slot = diff_talker(r), n = 1 + (int)diff_rand(r, 3), rc, error;
    int flags = (int[]){ MSG_DONTWAIT, MSG_WAITFORONE, 0, MSG_PEEK | MSG_DONTWAIT }[diff_rand(r, 4)];
    bool far = limit.tv_sec > 0;
    char lens[64] = "";

    if (slot < 0)
        return;
    memset(m, 0, sizeof(m));
    for (int i = 0; i < n; i++) {
        iov[i] = (struct iovec){ buf[i], 1 + diff_rand(r, 500) };
        m[i].msg_hdr.msg_iov = &iov[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    rc = recvmmsg(r->sock[slot].fd, m, (unsigned)n, flags, &limit);
    error = errno;
    for (int i = 0; i < rc; i++) {
        snprintf(lens + strlen(lens), sizeof(lens) - strlen(lens), " %u", m[i].msg_len);
        if (!(flags & MSG_PEEK))
            diff_count_read(r, &r->sock[slot], m[i].msg_len);
    }
    diff_log(r, "rmmsg(s%d, %d, %s) limit %d %s%s", slot, n, diff_flags(flags), far, diff_err(rc, error), lens);
    if (r->sock[slot].udp)
        diff_slot_refresh(r, slot);
}

void diff_op_vectors(struct diff_run *r)
{
    int slot = diff_talker(r), error, flags = diff_chance(r, 50) ? RWF_NOWAIT : 0;
    bool out = diff_chance(r, 50);
    uint32_t len = 1 + diff_rand(r, 900);
    uint8_t b[1000];
    struct iovec iov[2] = { { b, len / 2 }, { b + len / 2, len - len / 2 } };
    ssize_t rc;

    if (slot < 0 || (out && diff_room(r, &r->sock[slot], len) < len))
        return;
    if (out)
        diff_fill_bytes(r, b, len);
    rc = out ? pwritev2(r->sock[slot].fd, iov, 2, -1, flags) : preadv2(r->sock[slot].fd, iov, 2, -1, flags);
    error = errno;
    if (out)
        diff_count_sent(r, &r->sock[slot], rc);
    else
        diff_count_read(r, &r->sock[slot], rc);
    diff_log(r, "%s(s%d, %u, %d) %s sum %08x pipes %d", out ? "pwritev2" : "preadv2", slot, len, flags, diff_err(rc, error),
             !out && rc > 0 ? diff_sum(b, (size_t)rc) : 0, diff_sigpipes());
    if (r->sock[slot].udp)
        diff_slot_refresh(r, slot);
}

/* Out of a stream into a pipe, doubled there, and out of it into another stream. */
void diff_op_tee(struct diff_run *r)
{
    int slot = diff_slot_with(r, diff_is_conn), to = diff_slot_with(r, diff_is_conn), p[2], q[2];
    uint32_t len = 1 + diff_rand(r, 1500);
    uint8_t b[2000];
    long in, twice, out = -2;
    int error, error_out;

    if (slot < 0 || diff_room(r, &r->sock[to], len) < len || pipe2(p, O_NONBLOCK | O_CLOEXEC) < 0)
        return;
    if (pipe2(q, O_NONBLOCK | O_CLOEXEC) < 0) {
        close(p[0]);
        close(p[1]);
        return;
    }
    in = splice(r->sock[slot].fd, NULL, p[1], NULL, len, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    error = errno;
    errno = 0;
    diff_count_read(r, &r->sock[slot], in);
    twice = in > 0 ? tee(p[0], q[1], len, SPLICE_F_NONBLOCK) : -2;
    if (in > 0)
        out = splice(p[0], NULL, r->sock[to].fd, NULL, (size_t)in, SPLICE_F_NONBLOCK);
    error_out = errno;
    diff_count_sent(r, &r->sock[to], out);
    twice = twice > 0 ? read(q[0], b, sizeof(b)) : twice;
    close(p[0]);
    close(p[1]);
    close(q[0]);
    close(q[1]);
    diff_log(r, "tee(s%d to s%d, %u) %s %s twice %ld sum %08x pipes %d", slot, to, len, diff_err(in, error), diff_err(out, error_out), twice,
             twice > 0 ? diff_sum(b, (size_t)twice) : 0, diff_sigpipes());
}

/* What there is, by stdio over a copy of the descriptor. */
void diff_op_stdio(struct diff_run *r)
{
    int slot = diff_slot_with(r, diff_is_conn), fd, n = 0, error, end;
    bool out = diff_chance(r, 50);
    uint32_t len = 1 + diff_rand(r, 900);
    uint8_t b[1000];
    size_t done;
    FILE *f;

    if (slot < 0 || (out && diff_room(r, &r->sock[slot], len) < len) ||
        (fd = dup(r->sock[slot].fd)) < 0)
        return;
    f = fdopen(fd, out ? "w" : "r");
    if (!out && ioctl(fd, FIONREAD, &n) == 0 && (uint32_t)n < len)
        len = n > 0 ? (uint32_t)n : 1;
    if (out)
        diff_fill_bytes(r, b, len);
    if (!out)
        setvbuf(f, NULL, _IONBF, 0);
    errno = 0;
    done = out ? fwrite(b, 1, len, f) : fread(b, 1, len, f);
    error = errno;
    end = feof(f) * 2 + ferror(f);
    end = fclose(f) * 4 + end;
    if (out && end == 0)
        diff_count_sent(r, &r->sock[slot], (long)done);
    else if (!out)
        diff_count_read(r, &r->sock[slot], (long)done);
    diff_log(r, "%s(s%d, %u) %zu %s end %d sum %08x pipes %d", out ? "fwrite" : "fread", slot, len, done, diff_err(-(long)(done != len), error), end,
             out ? 0 : diff_sum(b, done), diff_sigpipes());
}
