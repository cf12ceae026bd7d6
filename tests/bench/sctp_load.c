/* sctp_load.c - how many SCTP messages go over a link: by the socket calls, and, built a second time, by usrsctp's
 *
 * usage: sctp_load serve ADDRESS PORT                  one association after the other; counts what comes
 *        sctp_load send ADDRESS PORT SIZE SECONDS      prints messages a second that arrived there, and Gbit/s
 * The sender asks at the end how much has come, and takes the time until the answer. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "tests/bench/measure.h"
#ifdef WITH_USRSCTP
#include <usrsctp.h>
typedef struct socket *sock;
#else
#include <sys/socket.h>
#include <linux/sctp.h>
typedef int sock;
#endif

enum { BUF = 1 << 20, ASK = 1 }; /* ASK: payload protocol of the question */

static void die(const char *what)
{
    fprintf(stderr, "sctp_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- the two kinds of calls ---- */
#ifdef WITH_USRSCTP
static sock new_socket(int family)
{
    struct socket *s = usrsctp_socket(family, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    int size = BUF, on = 1;

    if (!s)
        die("usrsctp_socket");
    usrsctp_setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    usrsctp_setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    usrsctp_setsockopt(s, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof(on));
    return s;
}
static int do_bind(sock s, struct sockaddr *a, socklen_t len) { return usrsctp_bind(s, a, len); }
static int do_listen(sock s) { return usrsctp_listen(s, 8); }
static sock do_accept(sock s) { return usrsctp_accept(s, NULL, NULL); }
static int is_none(sock s) { return s == NULL; }
static int do_connect(sock s, struct sockaddr *a, socklen_t len) { return usrsctp_connect(s, a, len); }
static void do_close(sock s) { usrsctp_close(s); }
static ssize_t take(sock s, void *to, size_t len, uint32_t *ppid, int *flags)
{
    struct sockaddr_storage from;
    struct sctp_rcvinfo info = { 0 };
    socklen_t from_len = sizeof(from), info_len = sizeof(info);
    unsigned kind;
    ssize_t n;

    *flags = 0;
    n = usrsctp_recvv(s, to, len, (struct sockaddr *)&from, &from_len, &info, &info_len, &kind, flags);
    *ppid = info.rcv_ppid;
    return n;
}
static ssize_t give(sock s, const void *from, size_t len, uint32_t ppid)
{
    struct sctp_sndinfo info = { .snd_ppid = ppid };

    return usrsctp_sendv(s, from, len, NULL, 0, &info, sizeof(info), SCTP_SENDV_SNDINFO, 0);
}
static void begin(void)
{
    usrsctp_init(0, NULL, NULL);
    usrsctp_sysctl_set_sctp_blackhole(2);
    usrsctp_sysctl_set_sctp_ecn_enable(0);
}
#else
static sock new_socket(int family)
{
    int s = socket(family, SOCK_STREAM, IPPROTO_SCTP), on = 1;

    if (s < 0)
        die("socket");
    setsockopt(s, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof(on));
    return s;
}
static int do_bind(sock s, struct sockaddr *a, socklen_t len) { return bind(s, a, len); }
static int do_listen(sock s) { return listen(s, 8); }
static sock do_accept(sock s) { return accept(s, NULL, NULL); }
static int is_none(sock s) { return s < 0; }
static int do_connect(sock s, struct sockaddr *a, socklen_t len) { return connect(s, a, len); }
static void do_close(sock s) { close(s); }
static ssize_t take(sock s, void *to, size_t len, uint32_t *ppid, int *flags)
{
    struct iovec iov = { to, len };
    char control[CMSG_SPACE(sizeof(struct sctp_rcvinfo))];
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct sctp_rcvinfo info = { 0 };
    ssize_t n = recvmsg(s, &m, 0);

    if (n > 0 && CMSG_FIRSTHDR(&m))
        memcpy(&info, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(info));
    *flags = m.msg_flags;
    *ppid = info.rcv_ppid;
    return n;
}
static ssize_t give(sock s, const void *from, size_t len, uint32_t ppid)
{
    struct sctp_sndinfo info = { .snd_ppid = ppid };
    struct iovec iov = { (void *)(uintptr_t)from, len };
    char control[CMSG_SPACE(sizeof(info))] = { 0 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = IPPROTO_SCTP;
    c->cmsg_type = SCTP_SNDINFO;
    c->cmsg_len = CMSG_LEN(sizeof(info));
    memcpy(CMSG_DATA(c), &info, sizeof(info));
    return sendmsg(s, &m, 0);
}
static void begin(void) { }
#endif

static socklen_t address(const char *text, int port, struct sockaddr_storage *ss)
{
    struct sockaddr_in *a4 = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ss;
    int is_v6 = strchr(text, ':') != NULL;

    memset(ss, 0, sizeof(*ss));
    ss->ss_family = is_v6 ? AF_INET6 : AF_INET;
    a4->sin_port = htons((uint16_t)port); /* at the same place in both */
    if (inet_pton(ss->ss_family, text, is_v6 ? (void *)&a6->sin6_addr : (void *)&a4->sin_addr) != 1)
        die(text);
    return is_v6 ? sizeof(*a6) : sizeof(*a4);
}

static void serve(struct sockaddr_storage *ss, socklen_t len, char *buf)
{
    sock l = new_socket(ss->ss_family);

    if (do_bind(l, (struct sockaddr *)ss, len) != 0 || do_listen(l) != 0)
        die("bind, listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        sock s = do_accept(l);
        uint64_t messages = 0, bytes = 0;
        uint32_t ppid;
        ssize_t n;
        int flags;

        if (is_none(s))
            die("accept");
        while ((n = take(s, buf, BUF, &ppid, &flags)) > 0) {
            if (ntohl(ppid) == ASK) {
                uint64_t answer[2] = { messages, bytes };

                give(s, answer, sizeof(answer), 0);
                continue;
            }
            bytes += (uint64_t)n;
            messages += (flags & MSG_EOR) != 0;
        }
        do_close(s);
    }
}

static int client(struct sockaddr_storage *ss, socklen_t len, size_t size, double seconds, char *buf)
{
    sock s = new_socket(ss->ss_family);
    uint64_t from, until, sent = 0, answer[2], took;
    uint32_t ppid;
    int flags;

    if (do_connect(s, (struct sockaddr *)ss, len) != 0)
        die("connect");
    memset(buf, 'x', size);
    from = now_ns();
    until = from + (uint64_t)(seconds * 1e9);
    while (now_ns() < until) {
        if (give(s, buf, size, 0) != (ssize_t)size)
            die("send");
        sent++;
    }
    if (give(s, "?", 1, htonl(ASK)) != 1 || take(s, answer, sizeof(answer), &ppid, &flags) != sizeof(answer))
        die("the other end does not answer");
    took = now_ns() - from;
    if (answer[0] != sent || answer[1] != sent * size) {
        fprintf(stderr, "sctp_load: sent %llu messages, %llu arrived\n", (unsigned long long)sent, (unsigned long long)answer[0]);
        return 1;
    }
    printf("%.0f %.4f\n", (double)sent * 1e9 / (double)took, (double)sent * (double)size * 8 / (double)took);
    fflush(stdout);
    do_close(s);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_storage ss;
    char *buf = malloc(BUF);
    socklen_t len;
    int rc;

    if (argc < 4 || !buf)
        return 2;
    begin();
    len = address(argv[2], atoi(argv[3]), &ss);
    if (!strcmp(argv[1], "serve"))
        serve(&ss, len, buf);
    if (argc < 6)
        return 2;
    rc = client(&ss, len, strtoul(argv[4], NULL, 10), strtod(argv[5], NULL), buf);
#ifdef WITH_USRSCTP
    for (unsigned i = 0; i < 50 && usrsctp_finish() != 0; i++)
        usleep(20000);
#endif
    free(buf);
    return rc;
}
