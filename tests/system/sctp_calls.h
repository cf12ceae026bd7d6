/* sctp_calls.h - SCTP by the socket calls (RFC 6458) or, with WITH_USRSCTP, by usrsctp's: a program built twice is both ends of a test
 *
 * Everything blocks. Errors stand in errno, as of the calls themselves. */
#ifndef HOSTSTACK_TESTS_SYSTEM_SCTP_CALLS_H
#define HOSTSTACK_TESTS_SYSTEM_SCTP_CALLS_H

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#ifdef WITH_USRSCTP
#include <usrsctp.h>
typedef struct socket *sock;
#define NO_SOCK NULL
#else
#include <sys/socket.h>
#include <linux/sctp.h>
typedef int sock;
#define NO_SOCK (-1)
#endif

enum { CALLS_BUF = 1 << 20 };

static inline void calls_die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static inline socklen_t calls_address(const char *text, int port, struct sockaddr_storage *ss)
{
    struct sockaddr_in *a4 = (struct sockaddr_in *)ss;
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ss;
    int is_v6 = strchr(text, ':') != NULL;

    memset(ss, 0, sizeof(*ss));
    ss->ss_family = is_v6 ? AF_INET6 : AF_INET;
    a4->sin_port = htons((uint16_t)port); /* at the same place in both */
    if (inet_pton(ss->ss_family, text, is_v6 ? (void *)&a6->sin6_addr : (void *)&a4->sin_addr) != 1)
        calls_die(text);
    return is_v6 ? sizeof(*a6) : sizeof(*a4);
}

#ifdef WITH_USRSCTP
/* udp_port: its own one for packets in UDP (RFC 6951), 0 = none */
static inline void calls_begin(uint16_t udp_port)
{
    usrsctp_init(udp_port, NULL, NULL);
    usrsctp_sysctl_set_sctp_blackhole(2);
    usrsctp_sysctl_set_sctp_ecn_enable(0);
}
static inline void calls_end(void)
{
    for (unsigned i = 0; i < 100 && usrsctp_finish() != 0; i++)
        usleep(20000);
}
static inline int calls_set(sock s, int name, const void *val, size_t len) { return usrsctp_setsockopt(s, IPPROTO_SCTP, name, val, (socklen_t)len); }
static inline int calls_get(sock s, int name, void *val, socklen_t *len) { return usrsctp_getsockopt(s, IPPROTO_SCTP, name, val, len); }
static inline sock calls_socket(int family)
{
    sock s = usrsctp_socket(family, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);
    int size = CALLS_BUF, on = 1;

    if (!s)
        calls_die("usrsctp_socket");
    usrsctp_setsockopt(s, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    usrsctp_setsockopt(s, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    calls_set(s, SCTP_RECVRCVINFO, &on, sizeof(on));
    return s;
}
static inline int calls_bind(sock s, struct sockaddr *a, socklen_t len) { return usrsctp_bind(s, a, len); }
static inline int calls_listen(sock s) { return usrsctp_listen(s, 8); }
static inline sock calls_accept(sock s) { return usrsctp_accept(s, NULL, NULL); }
static inline int calls_connect(sock s, struct sockaddr *a, socklen_t len) { return usrsctp_connect(s, a, len); }
static inline int calls_shutdown(sock s) { return usrsctp_shutdown(s, SHUT_WR); }
static inline void calls_close(sock s) { usrsctp_close(s); }
static inline ssize_t calls_take(sock s, void *to, size_t len, struct sctp_rcvinfo *info, int *flags)
{
    struct sockaddr_storage from;
    socklen_t from_len = sizeof(from), info_len = sizeof(*info);
    unsigned kind;

    *flags = 0;
    memset(info, 0, sizeof(*info));
    return usrsctp_recvv(s, to, len, (struct sockaddr *)&from, &from_len, info, &info_len, &kind, flags);
}
static inline ssize_t calls_give(sock s, const void *from, size_t len, const struct sctp_sndinfo *info, const struct sctp_prinfo *pr)
{
    struct sctp_sendv_spa spa = { .sendv_flags = SCTP_SEND_SNDINFO_VALID | (pr ? SCTP_SEND_PRINFO_VALID : 0), .sendv_sndinfo = *info };

    if (pr)
        spa.sendv_prinfo = *pr;
    return usrsctp_sendv(s, from, len, NULL, 0, &spa, sizeof(spa), SCTP_SENDV_SPA, 0);
}
#else
static inline void calls_begin(uint16_t udp_port) { (void)udp_port; }
static inline void calls_end(void) { }
static inline int calls_set(sock s, int name, const void *val, size_t len) { return setsockopt(s, IPPROTO_SCTP, name, val, (socklen_t)len); }
static inline int calls_get(sock s, int name, void *val, socklen_t *len) { return getsockopt(s, IPPROTO_SCTP, name, val, len); }
static inline sock calls_socket(int family)
{
    sock s = socket(family, SOCK_STREAM, IPPROTO_SCTP);
    int on = 1;

    if (s < 0)
        calls_die("socket");
    calls_set(s, SCTP_RECVRCVINFO, &on, sizeof(on));
    return s;
}
static inline int calls_bind(sock s, struct sockaddr *a, socklen_t len) { return bind(s, a, len); }
static inline int calls_listen(sock s) { return listen(s, 8); }
static inline sock calls_accept(sock s) { return accept(s, NULL, NULL); }
static inline int calls_connect(sock s, struct sockaddr *a, socklen_t len) { return connect(s, a, len); }
static inline int calls_shutdown(sock s) { return shutdown(s, SHUT_WR); }
static inline void calls_close(sock s) { close(s); }
static inline ssize_t calls_take(sock s, void *to, size_t len, struct sctp_rcvinfo *info, int *flags)
{
    struct iovec iov = { to, len };
    char control[CMSG_SPACE(sizeof(*info))];
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    ssize_t n = recvmsg(s, &m, 0);

    memset(info, 0, sizeof(*info));
    if (n > 0 && CMSG_FIRSTHDR(&m))
        memcpy(info, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(*info));
    *flags = m.msg_flags;
    return n;
}
static inline void calls_put_cmsg(struct msghdr *m, int type, const void *val, size_t len)
{
    struct cmsghdr *c = (struct cmsghdr *)((char *)m->msg_control + m->msg_controllen);

    c->cmsg_level = IPPROTO_SCTP;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), val, len);
    m->msg_controllen += CMSG_SPACE(len);
}
static inline ssize_t calls_give(sock s, const void *from, size_t len, const struct sctp_sndinfo *info, const struct sctp_prinfo *pr)
{
    struct iovec iov = { (void *)(uintptr_t)from, len };
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(*info)) + CMSG_SPACE(sizeof(*pr))] = { 0 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };

    calls_put_cmsg(&m, SCTP_SNDINFO, info, sizeof(*info));
    if (pr)
        calls_put_cmsg(&m, SCTP_PRINFO, pr, sizeof(*pr));
    return sendmsg(s, &m, 0);
}
#endif

#endif
