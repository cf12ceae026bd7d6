/* sctp_probe.c - what a program sees of SCTP sockets (RFC 6458), both ends in this process or the other end elsewhere; TAP
 *
 * usage: sctp_probe one ADDRESS         one-to-one sockets: listens there and connects to itself
 *        sctp_probe many ADDRESS        one-to-many sockets: two of them, and one-to-one sockets beside them
 *        sctp_probe serve ADDRESS PORT  accepts one association and sends every message back on its stream, until it ends
 *        sctp_probe call ADDRESS PORT   the other end of it; UDP_PORT=N: in UDP to that port (RFC 6951);
 *                                       UNTIL=FILE: on and on until it is there */
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
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <linux/sctp.h>

enum { MESSAGE_MAX = 1 << 20, WAIT_MS = 60000 };

static int n_tests, n_failed;
static struct sockaddr_storage addr;
static socklen_t addr_len;
static char *big, *back;

static void check(bool good, const char *what)
{
    n_tests++;
    n_failed += !good;
    printf("%sok %d - %s%s\n", good ? "" : "not ", n_tests, what, "");
    if (!good)
        printf("# errno %d: %s\n", errno, strerror(errno));
}

static void check_error(long r, int error, const char *what)
{
    bool good = r < 0 && errno == error;

    check(good, what);
    if (!good)
        printf("# returned %ld, errno %d, wanted %d\n", r, r < 0 ? errno : 0, error);
}

static void give_up(const char *what)
{
    check(false, what);
    printf("1..%d\n", n_tests);
    exit(1);
}

/* ---- messages ---- */
struct got {
    ssize_t n;
    int flags;
    bool has_rcv, has_sndrcv, has_next;
    struct sctp_rcvinfo rcv;
    struct sctp_sndrcvinfo sndrcv;
    struct sctp_nxtinfo next;
    struct sockaddr_storage from;
    socklen_t from_len;
};

static struct got take(int fd, void *buf, size_t len, int flags)
{
    char control[512];
    struct got g = { .n = -1 };
    struct iovec iov = { buf, len };
    struct msghdr m = { .msg_name = &g.from, .msg_namelen = sizeof(g.from), .msg_iov = &iov, .msg_iovlen = 1,
                        .msg_control = control, .msg_controllen = sizeof(control) };

    g.n = recvmsg(fd, &m, flags);
    if (g.n < 0)
        return g;
    g.flags = m.msg_flags;
    g.from_len = m.msg_namelen;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level != IPPROTO_SCTP)
            continue;
        if (c->cmsg_type == SCTP_RCVINFO) {
            memcpy(&g.rcv, CMSG_DATA(c), sizeof(g.rcv));
            g.has_rcv = true;
        } else if (c->cmsg_type == SCTP_SNDRCV) {
            memcpy(&g.sndrcv, CMSG_DATA(c), sizeof(g.sndrcv));
            g.has_sndrcv = true;
        } else if (c->cmsg_type == SCTP_NXTINFO) {
            memcpy(&g.next, CMSG_DATA(c), sizeof(g.next));
            g.has_next = true;
        }
    }
    return g;
}

static ssize_t give(int fd, const void *buf, size_t len, int type, const void *info, size_t info_len, int flags)
{
    union { char bytes[128]; struct cmsghdr align; } control;
    struct iovec iov = { (void *)(uintptr_t)buf, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };

    if (info) {
        struct cmsghdr *c = &control.align;

        memset(&control, 0, sizeof(control));
        m.msg_control = control.bytes;
        m.msg_controllen = CMSG_SPACE(info_len);
        c->cmsg_level = IPPROTO_SCTP;
        c->cmsg_type = type;
        c->cmsg_len = CMSG_LEN(info_len);
        memcpy(CMSG_DATA(c), info, info_len);
    }
    return sendmsg(fd, &m, flags);
}

static ssize_t give_on(int fd, const void *buf, size_t len, uint16_t stream, uint32_t ppid, uint16_t sflags)
{
    struct sctp_sndinfo i = { .snd_sid = stream, .snd_ppid = ppid, .snd_flags = sflags };

    return give(fd, buf, len, SCTP_SNDINFO, &i, sizeof(i), 0);
}

static int subscribe(int fd, uint16_t type)
{
    struct sctp_event e = { .se_type = type, .se_on = 1 };

    return setsockopt(fd, IPPROTO_SCTP, SCTP_EVENT, &e, sizeof(e));
}

static int set_int(int fd, int name, int v) { return setsockopt(fd, IPPROTO_SCTP, name, &v, sizeof(v)); }

static bool readable(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };

    return poll(&p, 1, ms) == 1 && p.revents & POLLIN;
}

/* The next notification, of that type; NULL if something else comes. */
static const union sctp_notification *notification(int fd, uint16_t type)
{
    static union sctp_notification n;
    struct got g;

    if (!readable(fd, WAIT_MS))
        return NULL;
    g = take(fd, &n, sizeof(n), MSG_DONTWAIT);
    if (g.n < (ssize_t)sizeof(n.sn_header) || !(g.flags & MSG_NOTIFICATION) || !(g.flags & MSG_EOR) || n.sn_header.sn_type != type) {
        printf("# got %zd bytes, flags %#x, type %#x, wanted type %#x\n", g.n, (unsigned)g.flags, n.sn_header.sn_type, type);
        return NULL;
    }
    return &n;
}

/* ---- ends ---- */
static void resolve(const char *text)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&addr;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&addr;

    memset(&addr, 0, sizeof(addr));
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        addr_len = sizeof(*v4);
    } else if (inet_pton(AF_INET6, text, &v6->sin6_addr) == 1) {
        v6->sin6_family = AF_INET6;
        addr_len = sizeof(*v6);
    } else {
        fprintf(stderr, "'%s' is no address\n", text);
        exit(2);
    }
}

static uint16_t *port_of(struct sockaddr_storage *ss)
{
    return ss->ss_family == AF_INET ? &((struct sockaddr_in *)ss)->sin_port : &((struct sockaddr_in6 *)ss)->sin6_port;
}

/* AUTH_KEY=text: this key, and the other side has to sign what brings data, what begins an association and what ends it (RFC 4895). */
static void authenticate(int fd, const char *text)
{
    static const uint8_t types[] = { 0, 3, 6, 10, 64 }; /* DATA, SACK, ABORT, COOKIE ECHO, I-DATA */
    struct { struct sctp_authkey v; char text[64]; } key = { .v = { .sca_keynumber = 5, .sca_keylength = (uint16_t)strlen(text) } };
    struct sctp_assoc_value on = { .assoc_value = 1 };
    struct sctp_authkeyid active = { .scact_keynumber = 5 };

    memcpy(key.v.sca_key, text, strlen(text));
    if (setsockopt(fd, IPPROTO_SCTP, SCTP_AUTH_SUPPORTED, &on, sizeof(on)) != 0 ||
        setsockopt(fd, IPPROTO_SCTP, SCTP_AUTH_KEY, &key, (socklen_t)(sizeof(key.v) + strlen(text))) != 0 ||
        setsockopt(fd, IPPROTO_SCTP, SCTP_AUTH_ACTIVE_KEY, &active, sizeof(active)) != 0)
        give_up("keys");
    for (unsigned i = 0; i < sizeof(types); i++) {
        struct sctp_authchunk type = { .sauth_chunk = types[i] };
        if (setsockopt(fd, IPPROTO_SCTP, SCTP_AUTH_CHUNK, &type, sizeof(type)) != 0)
            give_up("SCTP_AUTH_CHUNK");
    }
}

static int new_socket(int type)
{
    int fd = socket(addr.ss_family, type, IPPROTO_SCTP);

    if (fd < 0)
        give_up("socket(IPPROTO_SCTP)");
    if (getenv("AUTH_KEY"))
        authenticate(fd, getenv("AUTH_KEY"));
    if (getenv("MOVE_TO")) {
        struct sctp_assoc_value on = { .assoc_value = 1 };
        if (setsockopt(fd, IPPROTO_SCTP, SCTP_AUTH_SUPPORTED, &on, sizeof(on)) != 0 ||
            setsockopt(fd, IPPROTO_SCTP, SCTP_ASCONF_SUPPORTED, &on, sizeof(on)) != 0)
            give_up("SCTP_ASCONF_SUPPORTED");
    }
    return fd;
}

static int new_listener(void)
{
    int fd = new_socket(SOCK_STREAM);

    if (bind(fd, (struct sockaddr *)&addr, addr_len) != 0 || listen(fd, 8) != 0)
        give_up("bind and listen");
    if (getsockname(fd, (struct sockaddr *)&addr, &addr_len) != 0 || *port_of(&addr) == 0)
        give_up("getsockname of a listener");
    return fd;
}

struct pair { int a, b; };
static struct pair new_pair(int listener)
{
    struct pair p = { new_socket(SOCK_STREAM), -1 };

    if (connect(p.a, (struct sockaddr *)&addr, addr_len) != 0)
        give_up("connect");
    p.b = accept(listener, NULL, NULL);
    if (p.b < 0)
        give_up("accept");
    return p;
}

static void close_pair(struct pair p)
{
    close(p.a);
    close(p.b);
}

/* ---- one-to-one ---- */
static void test_fresh(void)
{
    int fd = new_socket(SOCK_STREAM), v = 0, type;
    struct sctp_initmsg i;
    struct sctp_status st;
    socklen_t len = sizeof(v);

    check(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &v, &len) == 0 && v == IPPROTO_SCTP, "SO_PROTOCOL is SCTP");
    len = sizeof(type);
    check(getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_STREAM, "SO_TYPE is SOCK_STREAM");
    check_error(recv(fd, &v, sizeof(v), 0), ENOTCONN, "recv() of a fresh socket: ENOTCONN");
    check_error(send(fd, &v, sizeof(v), MSG_NOSIGNAL), EPIPE, "send() on a fresh socket: EPIPE");
    len = sizeof(i);
    check(getsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &i, &len) == 0 && i.sinit_num_ostreams == 10 && i.sinit_max_instreams == 65535,
          "SCTP_INITMSG has Linux's defaults");
    i = (struct sctp_initmsg){ .sinit_num_ostreams = 7 };
    check(setsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &i, sizeof(i)) == 0, "SCTP_INITMSG is set");
    len = sizeof(i);
    check(getsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &i, &len) == 0 && i.sinit_num_ostreams == 7 && i.sinit_max_attempts == 8,
          "SCTP_INITMSG: 0 leaves a value as it is");
    check_error(setsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &i, 2), EINVAL, "SCTP_INITMSG that is too short: EINVAL");
    check_error(setsockopt(fd, IPPROTO_SCTP, 9999, &v, sizeof(v)), ENOPROTOOPT, "an unknown option: ENOPROTOOPT");
    check_error(getsockopt(fd, IPPROTO_TCP, 1, &v, &len), fd >= 0 && addr.ss_family == AF_INET6 ? ENOPROTOOPT : EOPNOTSUPP,
                "options of TCP are not SCTP's");
    len = sizeof(st);
    check_error(getsockopt(fd, IPPROTO_SCTP, SCTP_STATUS, &st, &len), EINVAL, "SCTP_STATUS without an association: EINVAL");
    check_error(set_int(fd, SCTP_AUTOCLOSE, 5), EOPNOTSUPP, "SCTP_AUTOCLOSE of a one-to-one socket: EOPNOTSUPP");
    check(set_int(fd, SCTP_NODELAY, 1) == 0 && (len = sizeof(v), getsockopt(fd, IPPROTO_SCTP, SCTP_NODELAY, &v, &len) == 0) && v == 1,
          "SCTP_NODELAY is kept");
    close(fd);
}

static void test_set_up(int listener)
{
    int a = new_socket(SOCK_STREAM), b;
    struct sctp_initmsg i = { .sinit_num_ostreams = 7 };
    struct sctp_status st;
    struct sockaddr_storage peer;
    socklen_t len = sizeof(peer);
    const union sctp_notification *n;

    setsockopt(a, IPPROTO_SCTP, SCTP_INITMSG, &i, sizeof(i));
    check(subscribe(a, SCTP_ASSOC_CHANGE) == 0, "SCTP_EVENT subscribes");
    check(connect(a, (struct sockaddr *)&addr, addr_len) == 0, "connect()");
    b = accept(listener, (struct sockaddr *)&peer, &len);
    check(b >= 0 && peer.ss_family == addr.ss_family && *port_of(&peer) != 0, "accept() tells the peer's address");
    n = notification(a, SCTP_ASSOC_CHANGE);
    check(n && n->sn_assoc_change.sac_state == SCTP_COMM_UP && n->sn_assoc_change.sac_outbound_streams == 7 &&
          n->sn_assoc_change.sac_inbound_streams == 10 && n->sn_assoc_change.sac_assoc_id != 0, "COMM_UP with the streams of both sides");
    check(!readable(b, 0), "a notification that nobody has asked for makes nothing readable");
    len = sizeof(st);
    memset(&st, 0, sizeof(st));
    check(getsockopt(b, IPPROTO_SCTP, SCTP_STATUS, &st, &len) == 0 && st.sstat_state == SCTP_ESTABLISHED && st.sstat_instrms == 7 &&
          st.sstat_outstrms == 10, "SCTP_STATUS: established, with the streams");
    len = sizeof(peer);
    check(getpeername(a, (struct sockaddr *)&peer, &len) == 0 && *port_of(&peer) == *port_of(&addr), "getpeername()");
    check_error(give_on(a, "x", 1, 7, 0, 0), EINVAL, "a stream beyond the last: EINVAL");
    check(give_on(a, "x", 1, 6, 0, 0) == 1, "the last stream takes a message");
    close(a);
    close(b);
}

static void test_messages(int listener)
{
    struct pair p = new_pair(listener);
    struct sctp_sndinfo wrong = { .snd_flags = 0x4000 };
    struct got g;
    char buf[64];
    int n;

    set_int(p.b, SCTP_RECVRCVINFO, 1);
    check(give_on(p.a, "hello", 5, 3, htonl(77), 0) == 5 && give_on(p.a, "you", 3, 3, 0, 0) == 3, "two messages");
    g = take(p.b, buf, sizeof(buf), MSG_PEEK);
    check(g.n == 5 && g.flags & MSG_EOR && g.has_rcv && g.rcv.rcv_ssn == 0, "MSG_PEEK shows the first");
    g = take(p.b, buf, sizeof(buf), 0);
    check(g.n == 5 && !memcmp(buf, "hello", 5) && g.flags & MSG_EOR && !(g.flags & MSG_NOTIFICATION), "a message is one recvmsg()");
    check(g.has_rcv && g.rcv.rcv_sid == 3 && g.rcv.rcv_ppid == htonl(77) && g.rcv.rcv_ssn == 0, "SCTP_RCVINFO: stream and ppid");
    check(g.from.ss_family == addr.ss_family, "recvmsg() tells the sender");
    g = take(p.b, buf, sizeof(buf), 0);
    check(g.n == 3 && g.rcv.rcv_ssn == 1, "the next on the stream has the next number");
    check(give_on(p.a, "urgent", 6, 1, 0, SCTP_UNORDERED) == 6 && (g = take(p.b, buf, sizeof(buf), 0)).n == 6 &&
          g.rcv.rcv_flags & SCTP_UNORDERED, "SCTP_UNORDERED arrives as such");

    check(send(p.a, "0123456789", 10, 0) == 10, "send() uses the defaults");
    g = take(p.b, buf, 4, 0);
    check(g.n == 4 && !(g.flags & MSG_EOR), "a short buffer gets a part, without MSG_EOR");
    check(ioctl(p.b, FIONREAD, &n) == 0 && n == 6, "FIONREAD: the rest of the message");
    g = take(p.b, buf, sizeof(buf), 0);
    check(g.n == 6 && !memcmp(buf, "456789", 6) && g.flags & MSG_EOR, "the rest ends it");

    check_error(send(p.a, "", 0, 0), EINVAL, "an empty message: EINVAL");
    check_error(give_on(p.a, "", 0, 0, 0, SCTP_EOF), EINVAL, "SCTP_EOF on a one-to-one socket: EINVAL");
    check_error(give(p.a, "x", 1, SCTP_SNDINFO, &wrong, sizeof(wrong), 0), EINVAL, "unknown flags: EINVAL");
    check_error(give(p.a, "x", 1, 99, &wrong, sizeof(wrong), 0), EINVAL, "unknown ancillary data: EINVAL");
    check_error(give(p.a, "x", 1, SCTP_SNDINFO, &wrong, 4, 0), EINVAL, "ancillary data that is too short: EINVAL");
    check_error(recv(p.b, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN, "nothing there: EAGAIN");
    close_pair(p);
}

static void test_ancillary(int listener)
{
    struct pair p = new_pair(listener);
    struct sctp_event_subscribe ev = { .sctp_data_io_event = 1 };
    struct sctp_sndrcvinfo old = { .sinfo_stream = 2, .sinfo_ppid = 5, .sinfo_context = 6 };
    struct sctp_sndinfo def = { .snd_sid = 4, .snd_ppid = 9 };
    struct got g;
    char buf[64];

    check(setsockopt(p.b, IPPROTO_SCTP, SCTP_EVENTS, &ev, sizeof(ev)) == 0 && set_int(p.b, SCTP_RECVNXTINFO, 1) == 0, "SCTP_EVENTS");
    check(give(p.a, "one", 3, SCTP_SNDRCV, &old, sizeof(old), 0) == 3, "SCTP_SNDRCV sends");
    check(setsockopt(p.a, IPPROTO_SCTP, SCTP_DEFAULT_SNDINFO, &def, sizeof(def)) == 0 && send(p.a, "two!", 4, 0) == 4,
          "SCTP_DEFAULT_SNDINFO sends");
    g = take(p.b, buf, sizeof(buf), 0);
    check(g.n == 3 && g.has_sndrcv && g.sndrcv.sinfo_stream == 2 && g.sndrcv.sinfo_ppid == 5, "SCTP_SNDRCV arrives");
    check(g.has_next && g.next.nxt_length == 4 && g.next.nxt_sid == 4 && g.next.nxt_ppid == 9, "SCTP_NXTINFO tells of the next message");
    g = take(p.b, buf, sizeof(buf), 0);
    check(g.n == 4 && g.sndrcv.sinfo_stream == 4 && !g.has_next, "the last has none after it");
    close_pair(p);
}

static void fill(char *p, size_t len)
{
    for (size_t i = 0; i < len; i++)
        p[i] = (char)(i * 31 + i / 251);
}

static void test_large(int listener)
{
    enum { LEN = 300001 };
    struct pair p = new_pair(listener);
    size_t done = 0;
    struct got g;

    fill(big, LEN);
    check(send(p.a, big, LEN, 0) == LEN, "a message of 300,001 bytes");
    do {
        if (!readable(p.b, WAIT_MS))
            break;
        g = take(p.b, back + done, MESSAGE_MAX - done, 0);
        done += g.n > 0 ? (size_t)g.n : 0;
    } while (g.n > 0 && !(g.flags & MSG_EOR));
    check(done == LEN && !memcmp(big, back, LEN), "arrives as it was, and ends once");
    check_error(send(p.a, big, MESSAGE_MAX - 1, MSG_DONTWAIT), EMSGSIZE, "a message that can never fit: EMSGSIZE");
    close_pair(p);
}

static void test_nonblock(int listener)
{
    struct pair p = new_pair(listener);
    struct pollfd out = { .fd = p.a, .events = POLLOUT };
    int sent = 0, got = 0;
    ssize_t n;

    fcntl(p.a, F_SETFL, O_NONBLOCK);
    while ((n = send(p.a, big, 5000, 0)) == 5000 && sent < 100000)
        sent++;
    check_error(n, EAGAIN, "a full queue: EAGAIN");
    check(poll(&out, 1, 0) == 0, "and it is not writable");
    for (; got < sent && (n = recv(p.b, back, 5000, 0)) == 5000 && !memcmp(big, back, 5000); got++)
        ;
    check(got == sent && sent > 0, "every message is there");
    check(poll(&out, 1, WAIT_MS) == 1 && out.revents & POLLOUT && send(p.a, big, 5000, 0) == 5000, "then it takes messages again");
    close_pair(p);
}

static void test_epoll(int listener)
{
    struct pair p = new_pair(listener);
    struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.fd = p.b };
    int ep = epoll_create1(0);
    char buf[16];

    check(epoll_ctl(ep, EPOLL_CTL_ADD, p.b, &ev) == 0 && epoll_wait(ep, &ev, 1, 0) == 0, "epoll: nothing yet");
    send(p.a, "1", 1, 0);
    check(epoll_wait(ep, &ev, 1, WAIT_MS) == 1 && ev.events & EPOLLIN, "epoll: an edge for a message");
    check(recv(p.b, buf, sizeof(buf), 0) == 1 && epoll_wait(ep, &ev, 1, 0) == 0, "epoll: one only");
    send(p.a, "2", 1, 0);
    check(epoll_wait(ep, &ev, 1, WAIT_MS) == 1 && recv(p.b, buf, sizeof(buf), 0) == 1, "epoll: the next message is another");
    close(ep);
    close_pair(p);
}

static void test_shutdown(int listener)
{
    struct pair p = new_pair(listener);
    const union sctp_notification *n;
    char buf[16];

    subscribe(p.a, SCTP_ASSOC_CHANGE);
    subscribe(p.b, SCTP_ASSOC_CHANGE);
    subscribe(p.b, SCTP_SHUTDOWN_EVENT);
    check((n = notification(p.a, SCTP_ASSOC_CHANGE)) && n->sn_assoc_change.sac_state == SCTP_COMM_UP &&
          (n = notification(p.b, SCTP_ASSOC_CHANGE)) && n->sn_assoc_change.sac_state == SCTP_COMM_UP, "both sides hear COMM_UP");
    check(send(p.a, "last", 4, 0) == 4 && shutdown(p.a, SHUT_WR) == 0, "shutdown() after a message");
    check(send(p.a, "x", 1, MSG_NOSIGNAL) < 0 && (errno == ESHUTDOWN || errno == EPIPE), "no more messages then");
    check(recv(p.b, buf, sizeof(buf), 0) == 4, "the message comes first");
    check(notification(p.b, SCTP_SHUTDOWN_EVENT) != NULL, "then SCTP_SHUTDOWN_EVENT");
    n = notification(p.b, SCTP_ASSOC_CHANGE);
    check(n && n->sn_assoc_change.sac_state == SCTP_SHUTDOWN_COMP, "then SHUTDOWN_COMP");
    check(recv(p.b, buf, sizeof(buf), 0) == 0, "then the end");
    n = notification(p.a, SCTP_ASSOC_CHANGE);
    check(n && n->sn_assoc_change.sac_state == SCTP_SHUTDOWN_COMP && recv(p.a, buf, sizeof(buf), 0) == 0, "the other side, too");
    check_error(send(p.b, "x", 1, MSG_NOSIGNAL), EPIPE, "an association that has ended: EPIPE");
    close_pair(p);
}

static void test_abort(int listener)
{
    struct pair p = new_pair(listener);
    struct linger now = { 1, 0 };
    const union sctp_notification *n;
    char buf[16];

    subscribe(p.b, SCTP_ASSOC_CHANGE);
    n = notification(p.b, SCTP_ASSOC_CHANGE);
    check(n != NULL, "COMM_UP");
    setsockopt(p.a, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    close(p.a);
    n = notification(p.b, SCTP_ASSOC_CHANGE);
    check(n && n->sn_assoc_change.sac_state == SCTP_COMM_LOST, "SO_LINGER 0: the peer hears COMM_LOST");
    check_error(recv(p.b, buf, sizeof(buf), 0), ECONNRESET, "and ECONNRESET");
    check(recv(p.b, buf, sizeof(buf), 0) == 0, "once");
    close(p.b);
    p = new_pair(listener);
    send(p.a, "unread", 6, 0);
    check(readable(p.b, WAIT_MS), "a message that will not be read");
    close(p.b);
    check(readable(p.a, WAIT_MS), "closing with it is told");
    check_error(recv(p.a, buf, sizeof(buf), 0), ECONNRESET, "as an abort");
    close(p.a);
}

static void test_connect(int listener)
{
    int fd = new_socket(SOCK_STREAM), error = -1;
    struct sockaddr_storage nobody = addr;
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    socklen_t len = sizeof(error);

    *port_of(&nobody) = htons(1);
    check_error(connect(fd, (struct sockaddr *)&nobody, addr_len), ECONNREFUSED, "connect() to nobody: ECONNREFUSED");
    check_error(send(fd, "x", 1, MSG_NOSIGNAL), EPIPE, "and it is not connected");
    fcntl(fd, F_SETFL, O_NONBLOCK);
    check_error(connect(fd, (struct sockaddr *)&addr, addr_len), EINPROGRESS, "a non-blocking connect(): EINPROGRESS");
    check(poll(&p, 1, WAIT_MS) == 1 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0, "is writable when it is up");
    close(fd);
    fd = accept(listener, NULL, NULL);
    check(fd >= 0, "accept()");
    close(fd);
    fd = new_socket(SOCK_STREAM);
    check(sendto(fd, "hi", 2, 0, (struct sockaddr *)&addr, addr_len) == 2, "sendto() of a socket that is not connected sets it up");
    error = accept(listener, NULL, NULL);
    check(error >= 0 && recv(error, &len, sizeof(len), 0) == 2, "the message arrives");
    close(error);
    close(fd);
}

static void test_dry(int listener)
{
    struct pair p = new_pair(listener);
    struct sctp_setadaptation ad = { 0x1234 };
    const union sctp_notification *n;

    subscribe(p.a, SCTP_SENDER_DRY_EVENT);
    check(notification(p.a, SCTP_SENDER_DRY_EVENT) != NULL, "SCTP_SENDER_DRY_EVENT when nothing is outstanding");
    send(p.a, "x", 1, 0);
    check(notification(p.a, SCTP_SENDER_DRY_EVENT) != NULL, "and when the message has gone");
    close_pair(p);
    p.a = new_socket(SOCK_STREAM);
    check(setsockopt(p.a, IPPROTO_SCTP, SCTP_ADAPTATION_LAYER, &ad, sizeof(ad)) == 0 &&
          connect(p.a, (struct sockaddr *)&addr, addr_len) == 0 && (p.b = accept(listener, NULL, NULL)) >= 0, "SCTP_ADAPTATION_LAYER");
    subscribe(p.b, SCTP_ADAPTATION_INDICATION);
    send(p.a, "x", 1, 0);
    n = notification(p.b, SCTP_ADAPTATION_INDICATION);
    check(n && n->sn_adaptation_event.sai_adaptation_ind == 0x1234, "the peer hears of it");
    close_pair(p);
}

static void one_to_one(void)
{
    int listener;

    test_fresh();
    listener = new_listener();
    test_set_up(listener);
    test_messages(listener);
    test_ancillary(listener);
    test_large(listener);
    test_nonblock(listener);
    test_epoll(listener);
    test_shutdown(listener);
    test_abort(listener);
    test_connect(listener);
    test_dry(listener);
    close(listener);
}

/* ---- one-to-many ---- */
static int new_many(struct sockaddr_storage *at)
{
    int fd = new_socket(SOCK_SEQPACKET);
    socklen_t len = addr_len;

    *at = addr;
    *port_of(at) = 0;
    if (bind(fd, (struct sockaddr *)at, len) != 0 || listen(fd, 5) != 0 || getsockname(fd, (struct sockaddr *)at, &len) != 0)
        give_up("a one-to-many socket listens");
    set_int(fd, SCTP_RECVRCVINFO, 1);
    return fd;
}

static struct got take_data(int fd, void *buf, size_t len)
{
    struct got g = { .n = -1 };

    errno = ETIMEDOUT;
    if (readable(fd, WAIT_MS))
        g = take(fd, buf, len, MSG_DONTWAIT);
    return g;
}

static bool state_is(int fd, unsigned state, sctp_assoc_t *id)
{
    const union sctp_notification *n = notification(fd, SCTP_ASSOC_CHANGE);

    if (n && n->sn_assoc_change.sac_state != state)
        printf("# state %u, wanted %u\n", n->sn_assoc_change.sac_state, state);
    if (n && id)
        *id = n->sn_assoc_change.sac_assoc_id;
    return n && n->sn_assoc_change.sac_state == state;
}

static uint32_t assoc_number(int fd)
{
    uint32_t n = ~0u;
    socklen_t len = sizeof(n);

    return getsockopt(fd, IPPROTO_SCTP, SCTP_GET_ASSOC_NUMBER, &n, &len) == 0 ? n : ~0u;
}

static void test_implicit(void)
{
    struct sockaddr_storage a_at, b_at;
    int a = new_many(&a_at), b = new_many(&b_at), type = 0, one;
    sctp_assoc_t a_id = 0, b_id = 0;
    struct sctp_status st = { .sstat_assoc_id = 0 };
    struct sctp_sndinfo i = { .snd_sid = 1 };
    struct { struct sctp_assoc_ids ids; sctp_assoc_t id[4]; } list;
    socklen_t len = sizeof(type);
    struct got g;
    char buf[64];

    check(getsockopt(a, SOL_SOCKET, SO_TYPE, &type, &len) == 0 && type == SOCK_SEQPACKET, "SO_TYPE is SOCK_SEQPACKET");
    check_error(accept(a, NULL, NULL), EOPNOTSUPP, "accept() on a one-to-many socket: EOPNOTSUPP");
    subscribe(a, SCTP_ASSOC_CHANGE);
    subscribe(b, SCTP_ASSOC_CHANGE);
    subscribe(b, SCTP_SHUTDOWN_EVENT);
    check(!readable(a, 0) && assoc_number(a) == 0, "nothing yet");
    check(sendto(a, "hello", 5, 0, (struct sockaddr *)&b_at, addr_len) == 5, "sendto() sets an association up");
    check(state_is(b, SCTP_COMM_UP, &b_id) && state_is(a, SCTP_COMM_UP, &a_id) && a_id > 2 && b_id > 2, "both sides hear COMM_UP");
    g = take_data(b, buf, sizeof(buf));
    check(g.n == 5 && g.has_rcv && g.rcv.rcv_assoc_id == b_id && *port_of(&g.from) == *port_of(&a_at), "the message, its association and sender");
    i.snd_assoc_id = b_id;
    check(give(b, "answer", 6, SCTP_SNDINFO, &i, sizeof(i), 0) == 6, "an answer by the association's id");
    g = take_data(a, buf, sizeof(buf));
    check(g.n == 6 && g.rcv.rcv_assoc_id == a_id && g.rcv.rcv_sid == 1, "arrives");
    check(sendto(a, "again", 5, 0, (struct sockaddr *)&b_at, addr_len) == 5 && assoc_number(a) == 1, "a second sendto() uses the same association");
    check(take_data(b, buf, sizeof(buf)).n == 5 && assoc_number(b) == 1, "there, too");
    len = sizeof(st);
    st.sstat_assoc_id = a_id;
    check(getsockopt(a, IPPROTO_SCTP, SCTP_STATUS, &st, &len) == 0 && st.sstat_state == SCTP_ESTABLISHED && st.sstat_assoc_id == a_id,
          "SCTP_STATUS by id");
    st.sstat_assoc_id = 12345678;
    check_error(getsockopt(a, IPPROTO_SCTP, SCTP_STATUS, &st, &len), EINVAL, "of no association: EINVAL");
    len = sizeof(list);
    check(getsockopt(a, IPPROTO_SCTP, SCTP_GET_ASSOC_ID_LIST, &list, &len) == 0 && list.ids.gaids_number_of_ids == 1 &&
          list.ids.gaids_assoc_id[0] == a_id, "SCTP_GET_ASSOC_ID_LIST");
    i.snd_assoc_id = 12345678;
    check_error(give(a, "x", 1, SCTP_SNDINFO, &i, sizeof(i), MSG_NOSIGNAL), EPIPE, "sending to no association: EPIPE");

    one = new_socket(SOCK_STREAM);
    check(connect(one, (struct sockaddr *)&b_at, addr_len) == 0 && send(one, "third", 5, 0) == 5, "a one-to-one socket calls the one-to-many one");
    check(state_is(b, SCTP_COMM_UP, NULL) && (g = take_data(b, buf, sizeof(buf))).n == 5 && g.rcv.rcv_assoc_id != b_id && assoc_number(b) == 2,
          "a second association there");
    i = (struct sctp_sndinfo){ .snd_flags = SCTP_SENDALL };
    check(give(b, "all", 3, SCTP_SNDINFO, &i, sizeof(i), 0) == 3 && take_data(a, buf, sizeof(buf)).n == 3 && recv(one, buf, sizeof(buf), 0) == 3,
          "SCTP_SENDALL reaches everybody");
    close(one);
    check(notification(b, SCTP_SHUTDOWN_EVENT) != NULL && state_is(b, SCTP_SHUTDOWN_COMP, NULL), "close() ends it");

    i = (struct sctp_sndinfo){ .snd_flags = SCTP_EOF, .snd_assoc_id = a_id };
    check_error(give(a, "x", 1, SCTP_SNDINFO, &i, sizeof(i), 0), EINVAL, "SCTP_EOF with data: EINVAL");
    check(give(a, "", 0, SCTP_SNDINFO, &i, sizeof(i), 0) == 0, "SCTP_EOF ends the association");
    check(notification(b, SCTP_SHUTDOWN_EVENT) != NULL && state_is(b, SCTP_SHUTDOWN_COMP, NULL) && state_is(a, SCTP_SHUTDOWN_COMP, NULL),
          "both sides hear so");
    check_error(recv(a, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN, "and the socket goes on");
    check(assoc_number(a) == 0 && assoc_number(b) == 0, "without associations");
    close(a);
    close(b);
}

static void test_many_ends(void)
{
    struct sockaddr_storage a_at, b_at, nobody;
    int a = new_many(&a_at), b = new_many(&b_at), off;
    sctp_peeloff_arg_t peel = { 0 };
    struct sctp_sndinfo i = { .snd_flags = SCTP_ABORT };
    sctp_assoc_t a_id = 0, b_id = 0;
    socklen_t len = sizeof(peel);
    struct epoll_event ev = { .events = EPOLLIN };
    int ep = epoll_create1(0);
    char buf[64];

    subscribe(a, SCTP_ASSOC_CHANGE);
    subscribe(b, SCTP_ASSOC_CHANGE);
    check(connect(a, (struct sockaddr *)&b_at, addr_len) == 0, "connect() sets an association up");
    check_error(connect(a, (struct sockaddr *)&b_at, addr_len), EISCONN, "once: EISCONN");
    check(epoll_ctl(ep, EPOLL_CTL_ADD, b, &ev) == 0 && epoll_wait(ep, &ev, 1, WAIT_MS) == 1 && state_is(b, SCTP_COMM_UP, &b_id) &&
          state_is(a, SCTP_COMM_UP, &a_id), "epoll tells of COMM_UP");
    check(epoll_wait(ep, &ev, 1, 0) == 0, "and of nothing else");
    i.snd_assoc_id = a_id;
    check(give(a, "", 0, SCTP_SNDINFO, &i, sizeof(i), 0) == 0, "SCTP_ABORT");
    check(state_is(b, SCTP_COMM_LOST, NULL) && state_is(a, SCTP_COMM_LOST, NULL), "both sides hear COMM_LOST");
    check(assoc_number(a) == 0 && assoc_number(b) == 0, "it is gone");

    nobody = addr;
    *port_of(&nobody) = htons(1);
    check(sendto(a, "x", 1, 0, (struct sockaddr *)&nobody, addr_len) == 1 && state_is(a, SCTP_CANT_STR_ASSOC, NULL), "nobody there: CANT_STR_ASSOC");
    check_error(connect(a, (struct sockaddr *)&nobody, addr_len), ECONNREFUSED, "connect() says ECONNREFUSED");

    check(sendto(a, "peel", 4, 0, (struct sockaddr *)&b_at, addr_len) == 4 && state_is(b, SCTP_COMM_UP, &b_id) && state_is(a, SCTP_COMM_UP, NULL),
          "a new association");
    peel.associd = b_id + 1000;
    check_error(getsockopt(b, IPPROTO_SCTP, SCTP_SOCKOPT_PEELOFF, &peel, &len), EINVAL, "peeling off what is not there: EINVAL");
    peel.associd = b_id;
    off = getsockopt(b, IPPROTO_SCTP, SCTP_SOCKOPT_PEELOFF, &peel, &len);
    check(off >= 0 && peel.sd == off && assoc_number(b) == 0, "sctp_peeloff()");
    check(recv(off, buf, sizeof(buf), 0) == 4 && !memcmp(buf, "peel", 4), "the message that had come goes with it");
    check(send(off, "back", 4, 0) == 4 && take_data(a, buf, sizeof(buf)).n == 4, "and it sends");
    check_error(recv(b, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN, "the socket it was of hears no more of it");
    close(off);
    check(state_is(a, SCTP_SHUTDOWN_COMP, NULL), "close() of it ends it");
    check(sendto(a, "z", 1, 0, (struct sockaddr *)&b_at, addr_len) == 1 && state_is(b, SCTP_COMM_UP, NULL), "and another one");
    close(b);
    check(state_is(a, SCTP_COMM_UP, NULL) && state_is(a, SCTP_COMM_LOST, NULL), "closing the socket with an unread message aborts it");
    close(a);
    close(ep);
}

static void test_many_peers(void)
{
    enum { PEERS = 20, ROUNDS = 50 };
    struct sockaddr_storage at;
    int srv = new_many(&at), peer[PEERS], in = 0;
    bool good = true;
    char buf[64];

    for (int k = 0; k < PEERS; k++) {
        peer[k] = new_socket(SOCK_SEQPACKET);
        set_int(peer[k], SCTP_RECVRCVINFO, 1);
    }
    for (int r = 0; r < ROUNDS; r++)
        for (int k = 0; k < PEERS; k++) {
            int v = r * PEERS + k;

            good = good && sendto(peer[k], &v, sizeof(v), 0, (struct sockaddr *)&at, addr_len) == sizeof(v);
        }
    while (good && in < PEERS * ROUNDS) { /* every message goes back to where it came from */
        struct got g = take_data(srv, buf, sizeof(buf));
        struct sctp_sndinfo i = { .snd_assoc_id = g.rcv.rcv_assoc_id };

        good = g.n == sizeof(int) && give(srv, buf, sizeof(int), SCTP_SNDINFO, &i, sizeof(i), 0) == sizeof(int);
        in++;
    }
    check(good && in == PEERS * ROUNDS, "a thousand messages of twenty peers");
    for (int r = 0; r < ROUNDS; r++)
        for (int k = 0; k < PEERS; k++) {
            struct got g = take_data(peer[k], buf, sizeof(buf));
            int v = -1;

            memcpy(&v, buf, sizeof(v));
            good = good && g.n == sizeof(v) && v == r * PEERS + k && g.rcv.rcv_ssn == r;
        }
    check(good, "come back, each to its own and in order");
    for (int k = 0; k < PEERS; k++)
        close(peer[k]);
    check_error(recv(srv, buf, sizeof(buf), MSG_DONTWAIT), EAGAIN, "nobody has asked to hear that they have gone");
    close(srv);
}

static void one_to_many(void)
{
    test_implicit();
    test_many_ends();
    test_many_peers();
}

/* MOVE_TO=address (RFC 5061): the association of fd has it, too; then the peer is to send there; then it is the only one. */
static void move(int fd, const char *to)
{
    struct sockaddr_storage old = addr, new = addr;
    struct sctp_setpeerprim prim = { 0 };
    int rc;

    if (inet_pton(addr.ss_family, to, addr.ss_family == AF_INET ? (void *)&((struct sockaddr_in *)&new)->sin_addr
                                                                : (void *)&((struct sockaddr_in6 *)&new)->sin6_addr) != 1)
        give_up(to);
    memcpy(&prim.sspp_addr, &new, sizeof(new));
    rc = setsockopt(fd, IPPROTO_SCTP, SCTP_SOCKOPT_BINDX_ADD, &new, addr_len);
    if (rc == 0)
        rc = setsockopt(fd, IPPROTO_SCTP, SCTP_SET_PEER_PRIMARY_ADDR, &prim, sizeof(prim));
    for (unsigned i = 0; rc == 0 && i < 1000; i++) { /* until the peer has taken the new one, the old one is the last */
        rc = setsockopt(fd, IPPROTO_SCTP, SCTP_SOCKOPT_BINDX_REM, &old, addr_len);
        if (rc == 0 || errno != EBUSY)
            break;
        rc = 0;
        usleep(10000);
    }
    if (rc != 0)
        give_up("bindx of an association");
}

/* ---- two programs ---- */
static void serve(void)
{
    int listener = new_listener(), fd;
    struct got g;

    printf("ready\n");
    fflush(stdout);
    fd = accept(listener, NULL, NULL);
    if (fd < 0)
        give_up("accept");
    set_int(fd, SCTP_RECVRCVINFO, 1);
    for (unsigned n = 0; (g = take(fd, big, MESSAGE_MAX, 0)).n > 0; n++) {
        size_t len = (size_t)g.n;

        while (!(g.flags & MSG_EOR) && (g = take(fd, big + len, MESSAGE_MAX - len, 0)).n > 0)
            len += (size_t)g.n;
        if (give_on(fd, big, len, g.rcv.rcv_sid, g.rcv.rcv_ppid, g.rcv.rcv_flags & SCTP_UNORDERED) != (ssize_t)len)
            give_up("sending back");
        if (n == 10 && getenv("MOVE_TO") && !getenv("MOVE_FROM")) /* else it is the peer that moves */
            move(fd, getenv("MOVE_TO"));
    }
    check(g.n == 0, "the association ends in order");
}

static void call(void)
{
    static const size_t lengths[] = { 1, 7, 64, 1400, 1452, 9000, 65536, 65537, 200000 };
    struct sctp_udpencaps udp = { .sue_port = htons((uint16_t)atoi(getenv("UDP_PORT") ? getenv("UDP_PORT") : "0")) };
    const char *until = getenv("UNTIL");
    int fd = new_socket(SOCK_STREAM);
    bool good = true;

    check(setsockopt(fd, IPPROTO_SCTP, SCTP_REMOTE_UDP_ENCAPS_PORT, &udp, sizeof(udp)) == 0, "SCTP_REMOTE_UDP_ENCAPS_PORT");
    set_int(fd, SCTP_NODELAY, 1); /* each message waits for the echo of the one before */
    check(connect(fd, (struct sockaddr *)&addr, addr_len) == 0, "connect()");
    set_int(fd, SCTP_RECVRCVINFO, 1);
    for (unsigned i = 0; (i < 90 || (until && access(until, F_OK) != 0)) && good; i++) {
        size_t len = lengths[i % (sizeof(lengths) / sizeof(*lengths))], done = 0;
        struct got g = { 0 };

        fill(big, len);
        big[0] = (char)i;
        good = give_on(fd, big, len, (uint16_t)(i % 10), htonl(i), 0) == (ssize_t)len;
        while (good && done < len && (g = take(fd, back + done, MESSAGE_MAX - done, 0)).n > 0)
            done += (size_t)g.n;
        good = good && done == len && g.flags & MSG_EOR && !memcmp(big, back, len) && g.rcv.rcv_sid == i % 10 &&
               g.rcv.rcv_ppid == htonl(i);
        if (!good)
            printf("# message %u of %zu bytes: %zu came back, flags %#x\n", i, len, done, (unsigned)g.flags);
    }
    check(good, "messages of 1 to 200,000 bytes come back as they were, on their streams");
    check(shutdown(fd, SHUT_WR) == 0 && recv(fd, back, 1, 0) == 0, "shutdown() ends the association");
    close(fd);
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(180);
    big = malloc(MESSAGE_MAX);
    back = malloc(MESSAGE_MAX);
    if (!big || !back || argc < 3)
        return 2;
    resolve(argv[2]);
    if (argc > 3)
        *port_of(&addr) = htons((uint16_t)atoi(argv[3]));
    if (!strcmp(argv[1], "one"))
        one_to_one();
    else if (!strcmp(argv[1], "many"))
        one_to_many();
    else if (!strcmp(argv[1], "serve"))
        serve();
    else if (!strcmp(argv[1], "call"))
        call();
    else
        return 2;
    printf("1..%d\n", n_tests);
    return n_failed != 0;
}
