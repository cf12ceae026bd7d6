/* sctp_lib.c - lksctp's libsctp over the stack: its calls, with all the information that they take and give (RFC 6458 s9); TAP
 *
 * usage: sctp_lib calls A4 A6       two addresses of this host; both ends are in this process, cut-through
 *        sctp_lib autoclose ADDRESS SCTP_AUTOCLOSE of the one who is called, and of the one who calls
 *        sctp_lib killed ADDRESS    the other end is killed
 *        sctp_lib forked ADDRESS    a one-to-many socket with an association goes on in a child, and the parent ends
 * PACKETS=1: an extension is on at both ends, so that they speak by packets. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <netinet/sctp.h>

enum { WAIT_MS = 60000, STREAMS = 8, MANY = SOCK_SEQPACKET, ONE = SOCK_STREAM };

static int n_tests, n_failed;
static bool by_packets;
static char buf[1 << 16];

static void check(bool good, const char *what)
{
    n_tests++;
    n_failed += !good;
    printf("%sok %d - %s\n", good ? "" : "not ", n_tests, what);
    if (!good)
        printf("# errno %d: %s\n", errno, strerror(errno));
}

struct at { struct sockaddr_storage ss; socklen_t len; };

static struct at resolve(const char *text, int port)
{
    struct at a = { .len = sizeof(struct sockaddr_in) };
    struct sockaddr_in *a4 = (void *)&a.ss;
    struct sockaddr_in6 *a6 = (void *)&a.ss;

    a.ss.ss_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (a.ss.ss_family == AF_INET6)
        a.len = sizeof(*a6);
    if (inet_pton(a.ss.ss_family, text, a.ss.ss_family == AF_INET6 ? (void *)&a6->sin6_addr : (void *)&a4->sin_addr) != 1)
        exit(2);
    a4->sin_port = htons((uint16_t)port); /* at the same place in both */
    return a;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    memset(&ss, 0, sizeof(ss));
    getsockname(fd, (struct sockaddr *)&ss, &len);
    return ntohs(((struct sockaddr_in *)&ss)->sin_port);
}

static int must(int r, const char *what)
{
    if (r < 0) {
        check(false, what);
        exit(1);
    }
    return r;
}

static int new_socket(int family, int type)
{
    static const uint16_t events[] = { SCTP_ASSOC_CHANGE, SCTP_SHUTDOWN_EVENT, SCTP_SEND_FAILED_EVENT, SCTP_STREAM_RESET_EVENT };
    struct sctp_initmsg init = { .sinit_num_ostreams = STREAMS, .sinit_max_instreams = STREAMS };
    struct sctp_assoc_value on = { .assoc_value = 1 }, may = { .assoc_value = SCTP_ENABLE_RESET_STREAM_REQ };
    struct timeval limit = { .tv_sec = WAIT_MS / 1000 };
    int fd = must(socket(family, type, IPPROTO_SCTP), "socket"), yes = 1;

    for (unsigned i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        struct sctp_event e = { .se_type = events[i], .se_on = 1 };

        must(setsockopt(fd, IPPROTO_SCTP, SCTP_EVENT, &e, sizeof(e)), "SCTP_EVENT");
    }
    must(setsockopt(fd, IPPROTO_SCTP, SCTP_INITMSG, &init, sizeof(init)), "SCTP_INITMSG");
    must(setsockopt(fd, IPPROTO_SCTP, SCTP_NODELAY, &yes, sizeof(yes)), "SCTP_NODELAY");
    must(setsockopt(fd, IPPROTO_SCTP, SCTP_RECVRCVINFO, &yes, sizeof(yes)), "SCTP_RECVRCVINFO");
    must(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), "SO_RCVTIMEO");
    if (by_packets) {
        must(setsockopt(fd, IPPROTO_SCTP, SCTP_RECONFIG_SUPPORTED, &on, sizeof(on)), "SCTP_RECONFIG_SUPPORTED");
        must(setsockopt(fd, IPPROTO_SCTP, SCTP_ENABLE_STREAM_RESET, &may, sizeof(may)), "SCTP_ENABLE_STREAM_RESET");
    }
    return fd;
}

/* The next notification, in buf, which must be of this type; the messages before it are passed over. NULL = none. */
static const union sctp_notification *note(int fd, uint16_t type)
{
    struct sctp_rcvinfo rcv;
    socklen_t len = sizeof(rcv);
    unsigned kind;
    int flags;

    for (;;) {
        struct iovec iov = { buf, sizeof(buf) };
        ssize_t n;

        flags = 0;
        len = sizeof(rcv);
        n = sctp_recvv(fd, &iov, 1, NULL, NULL, &rcv, &len, &kind, &flags);
        if (n <= 0)
            return NULL;
        if (!(flags & MSG_NOTIFICATION))
            continue;
        if (((union sctp_notification *)buf)->sn_header.sn_type == type)
            return (void *)buf;
        printf("# notification %#x, state %d\n", ((union sctp_notification *)buf)->sn_header.sn_type,
               ((union sctp_notification *)buf)->sn_assoc_change.sac_state);
        return NULL;
    }
}

static bool state_is(int fd, uint16_t state, sctp_assoc_t *id)
{
    const union sctp_notification *n = note(fd, SCTP_ASSOC_CHANGE);

    if (n && id)
        *id = n->sn_assoc_change.sac_assoc_id;
    return n && n->sn_assoc_change.sac_state == state;
}

/* ---- sctp_sendv(), sctp_recvv() ---- */

static ssize_t sendv(int fd, const char *text, struct sockaddr *to, int n, void *info, socklen_t len, unsigned kind)
{
    struct iovec iov[2] = { { (void *)(uintptr_t)text, 1 }, { (void *)(uintptr_t)(text + 1), strlen(text) - 1 } };

    return sctp_sendv(fd, iov, 2, to, n, info, len, kind, 0);
}

/* A message as text; what came with it in rn, which has room for all of it. */
static bool came(int fd, const char *text, struct sctp_recvv_rn *rn, unsigned *kind)
{
    struct iovec iov = { buf, sizeof(buf) };
    socklen_t len = sizeof(*rn);
    int flags = 0;
    ssize_t n;

    memset(rn, 0, sizeof(*rn));
    n = sctp_recvv(fd, &iov, 1, NULL, NULL, rn, &len, kind, &flags);
    return n == (ssize_t)strlen(text) && !memcmp(buf, text, (size_t)n) && (flags & MSG_EOR) && !(flags & MSG_NOTIFICATION);
}

static void test_sendv(int from, sctp_assoc_t id, struct at *to, int at)
{
    struct sctp_sndinfo snd = { .snd_sid = 3, .snd_ppid = htonl(77), .snd_context = 5, .snd_assoc_id = id };
    struct sctp_prinfo pr = { .pr_policy = SCTP_PR_SCTP_TTL, .pr_value = 10000 };
    struct sctp_authinfo auth = { .auth_keynumber = 0 };
    struct sctp_sendv_spa spa = { .sendv_flags = SCTP_SEND_SNDINFO_VALID | SCTP_SEND_PRINFO_VALID, .sendv_sndinfo = snd, .sendv_prinfo = pr };
    struct sockaddr *sa = (struct sockaddr *)&to->ss;
    struct sctp_recvv_rn rn;
    unsigned kind = 0;
    int yes = 1, no = 0;

    check(sendv(from, "nothing", sa, 1, NULL, 0, SCTP_SENDV_NOINFO) == 7 && came(at, "nothing", &rn, &kind) && kind == SCTP_RECVV_RCVINFO &&
          rn.recvv_rcvinfo.rcv_sid == 0 && rn.recvv_rcvinfo.rcv_ssn == 0, "sctp_sendv() without information; sctp_recvv() with RCVINFO");
    check(sendv(from, "sndinfo", NULL, 0, &snd, sizeof(snd), SCTP_SENDV_SNDINFO) == 7 && came(at, "sndinfo", &rn, &kind) &&
          rn.recvv_rcvinfo.rcv_sid == 3 && rn.recvv_rcvinfo.rcv_ppid == htonl(77), "with SNDINFO");
    check(sendv(from, "prinfo", sa, 1, &pr, sizeof(pr), SCTP_SENDV_PRINFO) == 6 && came(at, "prinfo", &rn, &kind), "with PRINFO");
    check(sendv(from, "authinfo", sa, 1, &auth, sizeof(auth), SCTP_SENDV_AUTHINFO) == 8 && came(at, "authinfo", &rn, &kind), "with AUTHINFO");
    spa.sendv_sndinfo.snd_flags = SCTP_UNORDERED;
    check(sendv(from, "all", NULL, 0, &spa, sizeof(spa), SCTP_SENDV_SPA) == 3 && came(at, "all", &rn, &kind) &&
          rn.recvv_rcvinfo.rcv_flags & SCTP_UNORDERED, "with SPA");
    setsockopt(at, IPPROTO_SCTP, SCTP_RECVNXTINFO, &yes, sizeof(yes));
    check(sendv(from, "one", NULL, 0, &snd, sizeof(snd), SCTP_SENDV_SNDINFO) == 3 &&
          sendv(from, "three", NULL, 0, &snd, sizeof(snd), SCTP_SENDV_SNDINFO) == 5,
          "two messages");
    poll(&(struct pollfd){ .fd = at, .events = POLLIN }, 1, WAIT_MS);
    usleep(by_packets ? 50000 : 0); /* the second may come after the first one; it is told of if it is there */
    check(came(at, "one", &rn, &kind) && (kind == SCTP_RECVV_RN || (by_packets && kind == SCTP_RECVV_RCVINFO)) &&
          (kind != SCTP_RECVV_RN || (rn.recvv_nxtinfo.nxt_length == 5 && rn.recvv_nxtinfo.nxt_sid == 3 && rn.recvv_nxtinfo.nxt_ppid == htonl(77))),
          "RCVINFO and NXTINFO");
    setsockopt(at, IPPROTO_SCTP, SCTP_RECVRCVINFO, &no, sizeof(no));
    check(came(at, "three", &rn, &kind) && kind == SCTP_RECVV_NOINFO, "NOINFO: there is no next message");
    setsockopt(at, IPPROTO_SCTP, SCTP_RECVNXTINFO, &no, sizeof(no));
    setsockopt(at, IPPROTO_SCTP, SCTP_RECVRCVINFO, &yes, sizeof(yes));
}

/* ---- sctp_sendmsg(), sctp_recvmsg(), sctp_send() ---- */

static void test_sendmsg(int from, sctp_assoc_t id, struct at *to, int at)
{
    struct sctp_event_subscribe io = { .sctp_data_io_event = 1 };
    struct sctp_sndrcvinfo info, snd = { .sinfo_stream = 2, .sinfo_ppid = htonl(9), .sinfo_assoc_id = id };
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int flags = 0, no = 0, yes = 1;

    setsockopt(at, IPPROTO_SCTP, SCTP_EVENTS, &io, 1); /* the others stay */
    setsockopt(at, IPPROTO_SCTP, SCTP_RECVRCVINFO, &no, sizeof(no)); /* libsctp has room for one of the two */
    check(sctp_sendmsg(from, "hello", 5, (struct sockaddr *)&to->ss, to->len, htonl(8), SCTP_UNORDERED, 1, 1000, 6) == 5 &&
          sctp_recvmsg(at, buf, sizeof(buf), (struct sockaddr *)&ss, &len, &info, &flags) == 5 && info.sinfo_stream == 1 &&
          info.sinfo_ppid == htonl(8) && info.sinfo_flags & SCTP_UNORDERED && flags & MSG_EOR && ss.ss_family == AF_INET6,
          "sctp_sendmsg(), sctp_recvmsg()");
    check(sctp_send(from, "again", 5, &snd, 0) == 5 && (flags = 0, len = sizeof(ss),
          sctp_recvmsg(at, buf, sizeof(buf), (struct sockaddr *)&ss, &len, &info, &flags) == 5) && info.sinfo_stream == 2, "sctp_send()");
    snd.sinfo_stream = STREAMS;
    check(sctp_send(from, "never", 5, &snd, 0) < 0 && errno == EINVAL, "a stream that is not there: EINVAL");
    setsockopt(at, IPPROTO_SCTP, SCTP_RECVRCVINFO, &yes, sizeof(yes));
}

/* ---- associations of a one-to-many socket ---- */

static void test_peeloff(int from, sctp_assoc_t id, int at, sctp_assoc_t there)
{
    struct sctp_sndinfo snd = { .snd_sid = 1, .snd_assoc_id = id };
    struct sctp_status st;
    struct sctp_reset_streams *reset = calloc(1, sizeof(*reset) + sizeof(uint16_t));
    struct sctp_recvv_rn rn;
    socklen_t len = sizeof(st);
    unsigned kind;
    bool good = true;
    int off, first;

    for (int i = 0; i < 5; i++) {
        char text[2] = { (char)('0' + i), 0 };

        good = good && sctp_sendv(from, &(struct iovec){ text, 1 }, 1, NULL, 0, &snd, sizeof(snd), SCTP_SENDV_SNDINFO, 0) == 1;
    }
    good = good && came(at, "0", &rn, &kind);
    first = rn.recvv_rcvinfo.rcv_ssn;
    off = sctp_peeloff(at, there);
    for (int i = 1; i < 5; i++)
        good = good && came(off, (char[2]){ (char)('0' + i), 0 }, &rn, &kind) && rn.recvv_rcvinfo.rcv_ssn == first + i;
    check(off >= 0 && good, "sctp_peeloff(): messages that wait go with it, in order");
    memset(&st, 0, sizeof(st));
    check(sctp_opt_info(off, 0, SCTP_STATUS, &st, &len) == 0 && st.sstat_state == SCTP_ESTABLISHED && st.sstat_outstrms == STREAMS,
          "sctp_opt_info(): SCTP_STATUS of it");
    reset->srs_flags = SCTP_STREAM_RESET_OUTGOING;
    reset->srs_number_streams = 1;
    reset->srs_stream_list[0] = 1;
    reset->srs_assoc_id = id;
    if (by_packets) {
        const union sctp_notification *n;

        int r;

        do /* what was read may not be acknowledged yet */
            r = setsockopt(from, IPPROTO_SCTP, SCTP_RESET_STREAMS, reset, (socklen_t)(sizeof(*reset) + 2));
        while (r < 0 && errno == EAGAIN && usleep(10000) == 0);
        check(r == 0 &&
              (n = note(off, SCTP_STREAM_RESET_EVENT)) != NULL &&
              ((struct sctp_stream_reset_event *)(uintptr_t)n)->strreset_flags & SCTP_STREAM_RESET_INCOMING_SSN,
              "SCTP_RESET_STREAMS: the peeled off socket is told");
        check(sendv(from, "anew", NULL, 0, &snd, sizeof(snd), SCTP_SENDV_SNDINFO) == 4 && came(off, "anew", &rn, &kind) &&
              rn.recvv_rcvinfo.rcv_ssn == 0, "the stream begins anew");
        check(note(from, SCTP_STREAM_RESET_EVENT) != NULL, "and the one who asked is told");
    } else {
        check(setsockopt(from, IPPROTO_SCTP, SCTP_RESET_STREAMS, reset, (socklen_t)(sizeof(*reset) + 2)) < 0 && errno == ENOPROTOOPT,
              "SCTP_RESET_STREAMS that was not agreed on: ENOPROTOOPT");
    }
    close(off);
    check(note(from, SCTP_SHUTDOWN_EVENT) != NULL && state_is(from, SCTP_SHUTDOWN_COMP, NULL), "close() of it ends the association");
    free(reset);
}

/* Both families in one list; returns how many addresses the peer of fd's association has. */
static int test_addresses(int *fd, int *at, struct at *a4, struct at *a6, sctp_assoc_t *id, sctp_assoc_t *there)
{
    char packed[sizeof(struct sockaddr_in) + sizeof(struct sockaddr_in6)];
    struct sockaddr *list;
    uint16_t port;
    int n;

    *at = new_socket(AF_INET6, MANY);
    check(sctp_bindx(*at, (struct sockaddr *)&a6->ss, 1, SCTP_BINDX_ADD_ADDR) == 0 && (port = port_of(*at)) != 0, "sctp_bindx()");
    ((struct sockaddr_in *)&a4->ss)->sin_port = ((struct sockaddr_in6 *)&a6->ss)->sin6_port = htons(port);
    check(sctp_bindx(*at, (struct sockaddr *)&a4->ss, 1, SCTP_BINDX_ADD_ADDR) == 0, "sctp_bindx() of the other family");
    *fd = new_socket(AF_INET, ONE);
    check(bind(*fd, (struct sockaddr *)&a4->ss, a4->len) < 0 && errno == EADDRINUSE, "where nobody else can bind: EADDRINUSE");
    close(*fd);
    n = sctp_getladdrs(*at, 0, &list);
    check(n == 2, "sctp_getladdrs()");
    if (n > 0)
        sctp_freeladdrs(list);
    must(listen(*at, 8), "listen");
    *fd = new_socket(AF_INET6, MANY);
    memcpy(packed, &a4->ss, a4->len);
    memcpy(packed + a4->len, &a6->ss, a6->len);
    check(sctp_connectx(*fd, (struct sockaddr *)packed, 2, id) == 0 && *id > 2, "sctp_connectx() of both families");
    check(state_is(*fd, SCTP_COMM_UP, id) && state_is(*at, SCTP_COMM_UP, there), "SCTP_COMM_UP at both ends");
    n = sctp_getpaddrs(*fd, *id, &list);
    if (n > 0)
        sctp_freepaddrs(list);
    return n;
}

/* RFC 6458 s5.3.9: a message names all addresses of the peer that it calls; s6.1.11: and comes back when there is nobody. */
static void test_implicit(struct at *a4, struct at *a6, int at)
{
    char packed[sizeof(struct sockaddr_in) + sizeof(struct sockaddr_in6)];
    struct at nobody = *a4;
    int fd = new_socket(AF_INET6, MANY);
    const struct sctp_send_failed_event *f;
    struct sctp_sndinfo snd = { .snd_sid = 2, .snd_context = 99 };
    struct sctp_recvv_rn rn;
    unsigned kind;

    memcpy(packed, &a4->ss, a4->len);
    memcpy(packed + a4->len, &a6->ss, a6->len);
    check(sendv(fd, "both", (struct sockaddr *)packed, 2, NULL, 0, SCTP_SENDV_NOINFO) == 4 && state_is(at, SCTP_COMM_UP, NULL) &&
          came(at, "both", &rn, &kind), "sctp_sendv() to two addresses sets an association up");
    check(state_is(fd, SCTP_COMM_UP, NULL), "with SCTP_COMM_UP");
    ((struct sockaddr_in *)&nobody.ss)->sin_port = htons(1);
    check(sendv(fd, "lost", (struct sockaddr *)&nobody.ss, 1, &snd, sizeof(snd), SCTP_SENDV_SNDINFO) == 4, "a message to nobody");
    f = (const void *)note(fd, SCTP_SEND_FAILED_EVENT);
    check(f && f->ssf_flags == SCTP_DATA_UNSENT && f->ssfe_info.snd_context == 99 && f->ssfe_info.snd_sid == 2 &&
          f->ssf_length == sizeof(*f) + 4 && !memcmp(f->ssf_data, "lost", 4), "comes back with SCTP_SEND_FAILED_EVENT");
    check(state_is(fd, SCTP_CANT_STR_ASSOC, NULL), "and SCTP_CANT_STR_ASSOC");
    close(fd);
    check(note(at, SCTP_SHUTDOWN_EVENT) != NULL && state_is(at, SCTP_SHUTDOWN_COMP, NULL), "close() ends the other one");
}

static void calls(const char *t4, const char *t6)
{
    struct at a4 = resolve(t4, 0), a6 = resolve(t6, 0);
    sctp_assoc_t id = 0, there = 0;
    int fd, at, n = test_addresses(&fd, &at, &a4, &a6, &id, &there);
    bool loops = !strncmp(t4, "127.", 4);

    check(n == (by_packets && !loops ? 2 : 1), "sctp_getpaddrs()");
    test_sendv(fd, id, &a4, at);
    test_sendmsg(fd, id, &a4, at);
    test_peeloff(fd, id, at, there);
    test_implicit(&a4, &a6, at);
    close(fd);
    close(at);
}

/* ---- the end ---- */

static double now_s(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void autoclose(const char *text)
{
    struct at to = resolve(text, 0);
    int at[2], one, secs = 1, got = 0;
    socklen_t len = sizeof(got);
    double begun;

    one = new_socket(to.ss.ss_family, ONE);
    check(setsockopt(one, IPPROTO_SCTP, SCTP_AUTOCLOSE, &secs, sizeof(secs)) < 0 && errno == EOPNOTSUPP, "one-to-one: EOPNOTSUPP");
    for (int i = 0; i < 2; i++) {
        at[i] = new_socket(to.ss.ss_family, MANY);
        must(bind(at[i], (struct sockaddr *)&to.ss, to.len), "bind");
        must(listen(at[i], 8), "listen");
    }
    check(setsockopt(at[0], IPPROTO_SCTP, SCTP_AUTOCLOSE, &secs, sizeof(secs)) == 0 &&
          getsockopt(at[0], IPPROTO_SCTP, SCTP_AUTOCLOSE, &got, &len) == 0 && got == 1, "SCTP_AUTOCLOSE");
    begun = now_s();
    ((struct sockaddr_in *)&to.ss)->sin_port = htons(port_of(at[0]));
    check(connect(one, (struct sockaddr *)&to.ss, to.len) == 0 && send(one, "x", 1, 0) == 1, "a one-to-one socket calls");
    ((struct sockaddr_in *)&to.ss)->sin_port = htons(port_of(at[1]));
    check(sendto(at[0], "y", 1, 0, (struct sockaddr *)&to.ss, to.len) == 1, "the socket itself calls");
    check(state_is(at[0], SCTP_COMM_UP, NULL) && state_is(at[0], SCTP_COMM_UP, NULL), "two associations");
    check(state_is(at[0], SCTP_SHUTDOWN_COMP, NULL) && state_is(at[0], SCTP_SHUTDOWN_COMP, NULL), "both end by themselves");
    check(now_s() - begun > 0.9, "not before their time");
    check(state_is(at[1], SCTP_COMM_UP, NULL) && note(at[1], SCTP_SHUTDOWN_EVENT) != NULL && state_is(at[1], SCTP_SHUTDOWN_COMP, NULL),
          "who was called is told");
    check(state_is(one, SCTP_COMM_UP, NULL) && note(one, SCTP_SHUTDOWN_EVENT) != NULL && state_is(one, SCTP_SHUTDOWN_COMP, NULL) &&
          recv(one, buf, sizeof(buf), 0) == 0, "and who has called");
    close(one);
    close(at[0]);
    close(at[1]);
}

static void killed(const char *text)
{
    struct at to = resolve(text, 0);
    int at = new_socket(to.ss.ss_family, MANY), ready[2];
    sctp_assoc_t id;
    const union sctp_notification *n;
    pid_t pid;

    must(bind(at, (struct sockaddr *)&to.ss, to.len), "bind");
    must(listen(at, 8), "listen");
    ((struct sockaddr_in *)&to.ss)->sin_port = htons(port_of(at));
    must(pipe(ready), "pipe");
    pid = fork();
    if (pid == 0) {
        int fd = new_socket(to.ss.ss_family, ONE);

        if (connect(fd, (struct sockaddr *)&to.ss, to.len) == 0 && send(fd, "hello", 5, 0) == 5 && write(ready[1], "", 1) == 1)
            pause();
        _exit(1);
    }
    check(read(ready[0], buf, 1) == 1 && state_is(at, SCTP_COMM_UP, &id), "another process calls");
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    n = note(at, SCTP_SHUTDOWN_EVENT); /* its last message comes first; Linux shuts down for a process that has gone */
    check(n && state_is(at, SCTP_SHUTDOWN_COMP, NULL), "it was killed: the association ends");
    check(send(at, "x", 1, MSG_NOSIGNAL) < 0, "nothing can be sent");
    close(at);
}

/* Messages come back, a notification each before and after, until whoever calls has gone. */
static void echo(int at, int ended)
{
    while (ended) {
        struct sctp_recvv_rn rn;
        struct iovec iov = { buf, sizeof(buf) };
        socklen_t len = sizeof(rn);
        unsigned kind;
        int flags = 0;
        ssize_t n = sctp_recvv(at, &iov, 1, NULL, NULL, &rn, &len, &kind, &flags);
        struct sctp_sndinfo back = { .snd_sid = rn.recvv_rcvinfo.rcv_sid, .snd_assoc_id = rn.recvv_rcvinfo.rcv_assoc_id };

        if (n <= 0)
            _exit(1);
        if (!(flags & MSG_NOTIFICATION)) {
            iov.iov_len = (size_t)n;
            if (sctp_sendv(at, &iov, 1, NULL, 0, &back, sizeof(back), SCTP_SENDV_SNDINFO, 0) != n)
                _exit(1);
        } else if (((union sctp_notification *)buf)->sn_header.sn_type == SCTP_ASSOC_CHANGE) {
            bool up = ((union sctp_notification *)buf)->sn_assoc_change.sac_state == SCTP_COMM_UP;

            ended -= !up;
        }
    }
}

static bool answers(int fd, const char *text)
{
    struct sctp_recvv_rn rn;
    unsigned kind;

    return send(fd, text, strlen(text), 0) == (ssize_t)strlen(text) && came(fd, text, &rn, &kind) && rn.recvv_rcvinfo.rcv_sid == 0;
}

/* As daemons do: what serves is the child of what has made the socket. */
static void forked(const char *text)
{
    struct at to = resolve(text, 0);
    int at = new_socket(to.ss.ss_family, MANY), port[2], fd, status = 0;
    struct sctp_event none = { .se_type = SCTP_ASSOC_CHANGE };
    pid_t server, daemon;

    must(pipe(port), "pipe");
    must(bind(at, (struct sockaddr *)&to.ss, to.len), "bind");
    must(listen(at, 8), "listen");
    ((struct sockaddr_in *)&to.ss)->sin_port = htons(port_of(at));
    server = fork();
    if (server == 0) {
        struct sctp_recvv_rn rn;
        unsigned kind;

        if (!state_is(at, SCTP_COMM_UP, NULL) || !came(at, "parent", &rn, &kind)) /* this one has an association */
            _exit(1);
        daemon = fork();
        if (daemon == 0) {
            char b = 0;

            echo(at, 2);
            _exit(write(port[1], &b, 1) != 1);
        }
        _exit(0);
    }
    close(at);
    close(port[1]);
    fd = new_socket(to.ss.ss_family, ONE);
    setsockopt(fd, IPPROTO_SCTP, SCTP_EVENT, &none, sizeof(none));
    check(connect(fd, (struct sockaddr *)&to.ss, to.len) == 0 && send(fd, "parent", 6, 0) == 6, "a child takes a call");
    check(waitpid(server, &status, 0) == server && status == 0, "forks, and ends");
    check(answers(fd, "grandchild"), "its own child answers");
    at = new_socket(to.ss.ss_family, ONE);
    setsockopt(at, IPPROTO_SCTP, SCTP_EVENT, &none, sizeof(none));
    check(connect(at, (struct sockaddr *)&to.ss, to.len) == 0 && answers(at, "another"), "and takes calls");
    close(fd);
    close(at);
    check(read(port[0], buf, 1) == 1, "and hears of their ends");
}

int main(int argc, char **argv)
{
    by_packets = getenv("PACKETS") != NULL;
    if (argc == 4 && !strcmp(argv[1], "calls"))
        calls(argv[2], argv[3]);
    else if (argc == 3 && !strcmp(argv[1], "autoclose"))
        autoclose(argv[2]);
    else if (argc == 3 && !strcmp(argv[1], "forked"))
        forked(argv[2]);
    else if (argc == 3 && !strcmp(argv[1], "killed"))
        killed(argv[2]);
    else
        return 2;
    printf("1..%d\n", n_tests);
    return n_failed != 0;
}
