/* diff_io.c - bytes: every call of the send and receive families, with flags, vectors, addresses, files and pipes */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/uio.h>
#include <unistd.h>
#include "tests/diff/diff.h"

void diff_fill_bytes(struct diff_run *r, void *buf, size_t len)
{
    uint8_t *b = buf;

    for (size_t i = 0; i < len; i++, r->next_byte++)
        b[i] = (uint8_t)((r->next_byte * 0x9e3779b1u) >> 24);
}

/* At most what fits the buffers of any stack, so that a send is never cut short. */
uint32_t diff_room(const struct diff_run *r, const struct diff_sock *s, uint32_t want)
{
    uint32_t used = s->conn >= 0 ? r->conns[s->conn].in_flight[s->end] : 0;

    return used >= DIFF_IN_FLIGHT ? 0 : want < DIFF_IN_FLIGHT - used ? want : DIFF_IN_FLIGHT - used;
}
void diff_count_sent(struct diff_run *r, const struct diff_sock *s, long n)
{
    if (s->conn < 0 || n <= 0)
        return;
    r->conns[s->conn].in_flight[s->end] += (uint32_t)n;
    r->conns[s->conn].sends[s->end]++;
}
void diff_count_read(struct diff_run *r, const struct diff_sock *s, long n)
{
    uint32_t *f = s->conn >= 0 ? &r->conns[s->conn].in_flight[1 - s->end] : NULL;

    if (f && n > 0)
        *f -= *f < (uint32_t)n ? *f : (uint32_t)n;
}

static uint32_t some_length(struct diff_run *r)
{
    switch (diff_rand(r, 6)) {
    case 0: return diff_rand(r, 4);
    case 1: return 1 + diff_rand(r, 64);
    case 5: return 1 + diff_rand(r, DIFF_MAX_IO);
    default: return 1 + diff_rand(r, 1400);
    }
}

static int split(struct diff_run *r, uint8_t *buf, uint32_t len, struct iovec *iov)
{
    int n = 1 + (int)diff_rand(r, 4);
    uint32_t at = 0;

    for (int i = 0; i < n; i++) {
        uint32_t part = i == n - 1 ? len - at : diff_rand(r, len - at + 1);

        iov[i] = (struct iovec){ buf + at, part };
        at += part;
    }
    return n;
}

const char *diff_flags(int flags)
{
    static const struct { int bit; const char *name; } names[] = {
        { MSG_PEEK, "PEEK" }, { MSG_WAITALL, "WAITALL" }, { MSG_DONTWAIT, "DONTWAIT" }, { MSG_TRUNC, "TRUNC" },
        { MSG_NOSIGNAL, "NOSIGNAL" }, { MSG_MORE, "MORE" }, { MSG_OOB, "OOB" }, { MSG_ERRQUEUE, "ERRQUEUE" },
        { MSG_CMSG_CLOEXEC, "CMSG_CLOEXEC" }, { MSG_WAITFORONE, "WAITFORONE" }, { MSG_EOR, "EOR" },
        { MSG_CTRUNC, "CTRUNC" }, { MSG_CONFIRM, "CONFIRM" }, { MSG_DONTROUTE, "DONTROUTE" },
    };
    static char text[2][128];
    static unsigned turn;
    char *t = text[turn++ % 2];
    size_t at = 0;

    t[0] = '0';
    t[1] = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (flags & names[i].bit)
            at += (size_t)snprintf(t + at, sizeof(text[0]) - at, "%s%s", at ? "|" : "", names[i].name);
    return t;
}

/* ---- sending ---- */

static int send_flags(struct diff_run *r)
{
    static const int some[] = { 0, 0, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_NOSIGNAL | MSG_DONTWAIT, MSG_MORE, MSG_EOR, MSG_CONFIRM };

    return some[diff_rand(r, sizeof(some) / sizeof(some[0]))];
}

/* Where a datagram socket may send to: another one of its family. */
static bool has_port(const struct diff_run *r, const struct diff_sock *s)
{
    (void)r;
    return s->udp && s->port;
}

static bool can_talk(const struct diff_run *r, const struct diff_sock *s)
{
    return s->udp || diff_is_conn(r, s);
}

int diff_talker(struct diff_run *r)
{
    return diff_chance(r, 92) ? diff_slot_with(r, can_talk) : diff_slot_any(r);
}

void diff_op_send(struct diff_run *r)
{
    static const char *const names[] = { "write", "writev", "send", "sendto", "sendmsg" };
    uint8_t buf[DIFF_MAX_IO];
    struct iovec iov[4];
    struct sockaddr_storage ss;
    int slot = diff_talker(r), how = (int)diff_rand(r, 5), flags = how >= 2 ? send_flags(r) : 0, to, n_iov, error;
    struct diff_sock *s;
    const char *name = "";
    socklen_t len = 0;
    uint32_t n;
    ssize_t rc;

    if (slot < 0)
        return;
    s = &r->sock[slot];
    n = diff_room(r, s, some_length(r));
    if (s->udp && n > 1400 && !r->wire)
        n = 1400;
    diff_fill_bytes(r, buf, n);
    if (how >= 3 && s->udp && (to = diff_slot_with(r, has_port)) >= 0 && r->sock[to].v6 == s->v6) {
        len = diff_addr(r, r->sock[to].where, s->v6, r->sock[to].port, &ss);
        name = diff_addr_name(r, true, &ss, len);
    }
    n_iov = split(r, buf, n, iov);
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n_iov, .msg_name = len ? &ss : NULL, .msg_namelen = len };
    switch (how) {
    case 0: rc = write(s->fd, buf, n); break;
    case 1: rc = writev(s->fd, iov, n_iov); break;
    case 2: rc = send(s->fd, buf, n, flags); break;
    case 3: rc = sendto(s->fd, buf, n, flags, len ? (struct sockaddr *)&ss : NULL, len); break;
    default: rc = sendmsg(s->fd, &msg, flags); break;
    }
    error = errno;
    diff_count_sent(r, s, rc);
    diff_log(r, "%s(s%d, %u, %s) %s %s pipes %d", names[how], slot, n, diff_flags(flags), name, diff_err(rc, error),
             diff_sigpipes());
    if (s->udp)
        diff_slot_refresh(r, slot);
    if (flags & MSG_MORE && rc > 0 && !s->udp) { /* uncorked at once: for how long it is held back is not compared */
        rc = send(s->fd, "x", diff_room(r, s, 1), MSG_NOSIGNAL);
        diff_count_sent(r, s, rc);
        diff_log(r, "send(s%d, 1) %s", slot, diff_err(rc, errno));
    }
}

void diff_op_mmsg(struct diff_run *r)
{
    uint8_t buf[4][512];
    struct iovec iov[4];
    struct mmsghdr m[4];
    int slot = diff_talker(r), n = 1 + (int)diff_rand(r, 4), rc, error;
    bool out = diff_chance(r, 50);
    char lens[64] = "";
    struct diff_sock *s;

    if (slot < 0)
        return;
    s = &r->sock[slot];
    memset(m, 0, sizeof(m));
    for (int i = 0; i < n; i++) {
        uint32_t len = 1 + diff_rand(r, 500);

        if (out)
            diff_fill_bytes(r, buf[i], len);
        iov[i] = (struct iovec){ buf[i], len };
        m[i].msg_hdr.msg_iov = &iov[i];
        m[i].msg_hdr.msg_iovlen = 1;
    }
    if (out && diff_room(r, s, 2048) < 2048)
        return;
    /* To an end that has closed, how many go out before the reset comes back is a matter of time. */
    struct pollfd p = { .fd = s->fd, .events = POLLRDHUP };
    if (out && poll(&p, 1, 0) == 1 && p.revents & POLLRDHUP)
        n = 1;
    int flags = out ? MSG_NOSIGNAL : diff_chance(r, 50) ? MSG_WAITFORONE : MSG_DONTWAIT;
    rc = out ? sendmmsg(s->fd, m, (unsigned)n, flags) : recvmmsg(s->fd, m, (unsigned)n, flags, NULL);
    error = errno;
    for (int i = 0; i < rc; i++) {
        snprintf(lens + strlen(lens), sizeof(lens) - strlen(lens), " %u", m[i].msg_len);
        if (out)
            diff_count_sent(r, s, m[i].msg_len);
        else
            diff_count_read(r, s, m[i].msg_len);
    }
    diff_log(r, "%cmmsg(s%d, %d, %s) %s%s", out ? 's' : 'r', slot, n, diff_flags(flags), diff_err(rc, error), lens);
    if (s->udp)
        diff_slot_refresh(r, slot);
}

/* ---- receiving ---- */

static int recv_flags(struct diff_run *r)
{
    static const int some[] = { 0, 0, 0, MSG_DONTWAIT, MSG_PEEK, MSG_PEEK | MSG_DONTWAIT, MSG_WAITALL, MSG_TRUNC,
                                MSG_TRUNC | MSG_PEEK, MSG_WAITALL | MSG_PEEK, MSG_CMSG_CLOEXEC, MSG_ERRQUEUE, MSG_OOB,
                                MSG_WAITALL | MSG_DONTWAIT, MSG_NOSIGNAL };

    return some[diff_rand(r, sizeof(some) / sizeof(some[0]))];
}

void diff_op_recv(struct diff_run *r)
{
    static const char *const names[] = { "read", "readv", "recv", "recvfrom", "recvmsg" };
    uint8_t buf[DIFF_MAX_IO];
    struct iovec iov[4];
    struct sockaddr_storage ss;
    socklen_t ss_len = sizeof(ss);
    int slot = diff_talker(r), how = (int)diff_rand(r, 5), flags = how >= 2 ? recv_flags(r) : 0, n_iov, error;
    uint32_t len = some_length(r);
    struct diff_sock *s;
    char more[128] = "";
    ssize_t rc;

    if (slot < 0)
        return;
    s = &r->sock[slot];
    memset(buf, 0, sizeof(buf));
    memset(&ss, 0, sizeof(ss));
    n_iov = split(r, buf, len, iov);
    struct msghdr msg = { .msg_iov = iov, .msg_iovlen = (size_t)n_iov, .msg_name = &ss, .msg_namelen = sizeof(ss) };
    switch (how) {
    case 0: rc = read(s->fd, buf, len); break;
    case 1: rc = readv(s->fd, iov, n_iov); break;
    case 2: rc = recv(s->fd, buf, len, flags); break;
    case 3: rc = recvfrom(s->fd, buf, len, flags, (struct sockaddr *)&ss, &ss_len); break;
    default: rc = recvmsg(s->fd, &msg, flags); break;
    }
    error = errno;
    if (!(flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB)))
        diff_count_read(r, s, rc);
    if (rc >= 0 && how == 3)
        snprintf(more, sizeof(more), " from %s", s->udp ? diff_addr_name(r, true, &ss, ss_len) : ss_len == 0 ? "none" : "some");
    if (rc >= 0 && how == 4)
        snprintf(more, sizeof(more), " from %s flags %s", diff_addr_name(r, true, &ss, msg.msg_namelen), diff_flags(msg.msg_flags));
    diff_log(r, "%s(s%d, %u, %s) %s sum %08x%s", names[how], slot, len, diff_flags(flags), diff_err(rc, error),
             rc > 0 ? diff_sum(buf, (size_t)rc < len ? (size_t)rc : len) : 0, more);
}

/* ---- until it is full, until it is empty: how much goes in differs, that all of it comes out does not ---- */

int diff_other_end(const struct diff_run *r, const struct diff_sock *s)
{
    for (int i = 0; i < DIFF_SOCKS; i++)
        if (r->sock[i].fd >= 0 && s->conn >= 0 && r->sock[i].conn == s->conn && r->sock[i].end != s->end)
            return i;
    return -1;
}

/* Writes until EAGAIN, with the peer's reads between, until both say there is nothing more. */
void diff_op_fill(struct diff_run *r)
{
    int slot = diff_slot_with(r, diff_is_conn), other;
    uint8_t buf[8192], in[8192];
    uint32_t before;
    uint64_t sent = 0, got = 0;
    int64_t end = diff_now_ms() + r->wait_ms;
    struct diff_sock *s;
    ssize_t n;

    if (slot < 0 || (other = diff_other_end(r, &r->sock[slot])) < 0)
        return;
    s = &r->sock[slot];
    struct pollfd ends[2] = { { .fd = s->fd, .events = POLLRDHUP }, { .fd = r->sock[other].fd, .events = POLLRDHUP } };
    if (poll(ends, 2, 0) > 0) /* whether the last bytes come is then a matter of time */
        return;
    before = r->conns[s->conn].in_flight[s->end];
    memset(buf, 'f', sizeof(buf));
    while (sent < (64u << 20) && (n = send(s->fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_NOSIGNAL)) > 0)
        sent += (uint64_t)n;
    if (sent == 0) {
        diff_log(r, "fill(s%d) %s", slot, diff_err(-1, errno));
        return;
    }
    struct pollfd p = { .fd = s->fd, .events = POLLOUT };
    int full = poll(&p, 1, 0);

    while (got < sent + before && diff_now_ms() < end) {
        n = recv(r->sock[other].fd, in, sizeof(in), MSG_DONTWAIT);
        if (n > 0)
            got += (uint64_t)n;
        else if (n == 0 || errno != EAGAIN)
            break;
        else
            usleep(20);
    }
    r->conns[s->conn].in_flight[s->end] = 0;
    diff_log(r, "fill(s%d) writable %d, all %s at s%d", slot, full, got == sent + before ? "came" : "did not come", other);
}

/* ---- files and pipes ---- */

static void do_sendfile(struct diff_run *r, int slot)
{
    struct diff_sock *s = &r->sock[slot];
    off_t at = (off_t)diff_rand(r, 5000);
    bool by_offset = diff_chance(r, 60);
    uint32_t len = diff_room(r, s, 1 + diff_rand(r, 3000));
    int error;
    ssize_t rc;

    if (!by_offset)
        lseek(r->mem_fd, at, SEEK_SET);
    rc = sendfile(s->fd, r->mem_fd, by_offset ? &at : NULL, len);
    error = errno;
    if (!by_offset)
        at = lseek(r->mem_fd, 0, SEEK_CUR);
    diff_count_sent(r, s, rc);
    diff_log(r, "sendfile(s%d, %u) %s at %ld pipes %d", slot, len, diff_err(rc, error), (long)at, diff_sigpipes());
}

static void do_splice(struct diff_run *r, int slot)
{
    struct diff_sock *s = &r->sock[slot];
    uint8_t buf[2000];
    bool out = diff_chance(r, 50);
    uint32_t len = diff_room(r, s, 1 + diff_rand(r, 1500));
    int p[2], n_in = 0, error;
    ssize_t rc;

    if (pipe2(p, O_NONBLOCK | O_CLOEXEC) < 0)
        return;
    if (out) {
        diff_fill_bytes(r, buf, len);
        n_in = (int)write(p[1], buf, len);
        rc = splice(p[0], NULL, s->fd, NULL, 2000, SPLICE_F_NONBLOCK);
        error = errno;
        diff_count_sent(r, s, rc);
    } else {
        rc = splice(s->fd, NULL, p[1], NULL, len, SPLICE_F_NONBLOCK);
        error = errno;
        diff_count_read(r, s, rc);
        n_in = (int)read(p[0], buf, sizeof(buf));
    }
    close(p[0]);
    close(p[1]);
    diff_log(r, "splice(s%d, %s, %u) %s %d sum %08x pipes %d", slot, out ? "out" : "in", len, diff_err(rc, error), n_in,
             !out && n_in > 0 ? diff_sum(buf, (size_t)n_in) : 0, diff_sigpipes());
}

void diff_op_file(struct diff_run *r)
{
    int slot = diff_talker(r);

    if (slot < 0 || r->sock[slot].udp)
        return;
    if (diff_chance(r, 60))
        do_sendfile(r, slot);
    else
        do_splice(r, slot);
}
