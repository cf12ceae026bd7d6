/* odd.c - ioctl() and fcntl() of every kind on sockets of every kind, and messages with odd addresses, control messages, vectors and flags,
 * addresses without a length, sets that were closed, over IPv4 and IPv6: run with and without the preload library, the two outputs must be
 * the same (stack_same_test.sh) */
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <linux/fs.h>
#include <linux/sockios.h>
#include <net/if.h>
#include "tests/unit/preload/calls.h"

static bool is_v6;
static volatile int minus_one = -1, too_many = IOV_MAX + 1; /* out of the compiler's sight */
static volatile size_t most = SSIZE_MAX;
static socklen_t *volatile no_length;
static char big[4096];

struct ends { int l, a, b; };

static struct ends begin(void)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in four = loopback(0);
    struct sockaddr *sa = is_v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    socklen_t len = is_v6 ? sizeof(six) : sizeof(four);
    struct ends e = { .l = socket(sa->sa_family, SOCK_STREAM, 0), .a = socket(sa->sa_family, SOCK_STREAM, 0) };
    SHOW(bind(e.l, sa, len));
    SHOW(listen(e.l, 4));
    SHOW(getsockname(e.l, sa, &len));
    SHOW(connect(e.a, sa, len));
    SHOW(set_option(e.a, IPPROTO_TCP, TCP_NODELAY, 1)); /* what is sent is there */
    SHOW((e.b = accept(e.l, NULL, NULL)) >= 0);
    return e;
}

/* ---- ioctl ---- */

#define REQUEST(name) { #name, name }
static const struct { const char *name; unsigned long request; } requests[] = {
    REQUEST(FIONREAD), REQUEST(SIOCOUTQ), REQUEST(SIOCOUTQNSD), REQUEST(SIOCATMARK), REQUEST(FIOASYNC), REQUEST(FIOGETOWN), REQUEST(SIOCGPGRP),
    REQUEST(SIOCGSTAMP_OLD), REQUEST(SIOCGSTAMPNS_OLD), REQUEST(SIOCGSTAMP_NEW), REQUEST(SIOCGSTAMPNS_NEW), REQUEST(FIONBIO),
    REQUEST(TIOCGWINSZ), REQUEST(TCGETS), REQUEST(TIOCSPGRP), REQUEST(FIGETBSZ), REQUEST(FIBMAP), REQUEST(FIOQSIZE), REQUEST(SIOCGARP),
    REQUEST(SIOCPROTOPRIVATE), REQUEST(SIOCPROTOPRIVATE + 1), REQUEST(SIOCDEVPRIVATE), REQUEST(SIOCADDRT), REQUEST(SIOCGIFHWADDR),
    REQUEST(SIOCGIFFLAGS), REQUEST(0x1234), REQUEST(0),
};

static void test_ioctls(const char *what, int fd)
{
    printf("ioctl, %s\n", what);
    for (unsigned i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        char arg[256] = "";
        int v;
        printf("%s: ", requests[i].name);
        SHOW(ioctl(fd, requests[i].request, arg));
        memcpy(&v, arg, sizeof(v));
        SHOW(v);
        if (i < 4) {
            printf("%s: ", requests[i].name);
            SHOW(ioctl(fd, requests[i].request, NULL));
        }
    }
    for (int on = 1; on >= 0; on--) {
        SHOW(ioctl(fd, FIONBIO, &on));
        SHOW(ioctl(fd, FIOASYNC, &on));
        SHOW(fcntl(fd, F_GETFL));
    }
    int who = getpid(), owner = 0;
    SHOW(ioctl(fd, FIOSETOWN, &who));
    SHOW(ioctl(fd, FIOGETOWN, &owner));
    SHOW(who == owner);
    who = 0;
    SHOW(ioctl(fd, SIOCSPGRP, &who));
    SHOW(ioctl(fd, FIOGETOWN, &owner));
    SHOW(owner);
    SHOW(ioctl(fd, FIOCLEX));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(ioctl(fd, FIONCLEX));
    SHOW(fcntl(fd, F_GETFD));
    struct ifreq r = { .ifr_name = "lo" };
    SHOW(ioctl(fd, SIOCGIFINDEX, &r));
    SHOW(ioctl(fd, SIOCGIFMTU, &r));
}

/* ---- fcntl ---- */

#define COMMAND(cmd, arg) { #cmd ", " #arg, cmd, (intptr_t)(arg) }
static struct flock shared = { .l_type = F_RDLCK };
static uint64_t hint;
static const struct { const char *name; int cmd; intptr_t arg; } commands[] = {
    COMMAND(F_GETFL, 0), COMMAND(F_SETFL, O_NONBLOCK | O_APPEND), COMMAND(F_GETFL, 0), COMMAND(F_SETFL, O_DIRECT), COMMAND(F_GETFL, 0),
    COMMAND(F_SETFL, O_NOATIME), COMMAND(F_GETFL, 0), COMMAND(F_SETFL, -1), COMMAND(F_GETFL, 0), COMMAND(F_SETFL, 0), COMMAND(F_GETFL, 0),
    COMMAND(F_GETLK, &shared), COMMAND(F_SETLK, &shared), COMMAND(F_OFD_SETLK, &shared), COMMAND(F_SETLEASE, F_RDLCK), COMMAND(F_GETLEASE, 0),
    COMMAND(F_NOTIFY, 1), COMMAND(F_GETPIPE_SZ, 0), COMMAND(F_SETPIPE_SZ, 4096), COMMAND(F_ADD_SEALS, 1), COMMAND(F_GET_SEALS, 0),
    COMMAND(F_GET_RW_HINT, &hint), COMMAND(F_SET_RW_HINT, &hint), COMMAND(9999, 0), COMMAND(F_GETSIG, 0), COMMAND(F_SETSIG, 70),
    COMMAND(F_SETSIG, -1), COMMAND(F_SETSIG, 35), COMMAND(F_GETSIG, 0), COMMAND(F_SETSIG, 0), COMMAND(F_SETOWN, 1 << 30),
    COMMAND(F_SETOWN, INT_MIN), COMMAND(F_SETOWN, 0), COMMAND(F_GETOWN, 0), COMMAND(F_DUPFD, -1), COMMAND(F_DUPFD, 1 << 30),
    COMMAND(F_SETFD, -1), COMMAND(F_GETFD, 0), COMMAND(F_SETFD, 0), COMMAND(F_GETFD, 0),
};

static void test_fcntls(const char *what, int fd)
{
    struct stat st;
    char path[64], at[64] = "";
    printf("fcntl, %s\n", what);
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        printf("%s: ", commands[i].name);
        SHOW(fcntl(fd, commands[i].cmd, commands[i].arg));
    }
    SHOW(flock(fd, LOCK_EX));
    SHOW(flock(fd, LOCK_UN));
    SHOW(fsync(fd));
    SHOW(ftruncate(fd, 0));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(pread(fd, big, 1, 0));
    SHOW(pwrite(fd, big, 1, 0));
    SHOW(copy_file_range(fd, NULL, fd, NULL, 1, 0));
    SHOW(tee(fd, fd, 1, 0));
    SHOW(fstat(fd, &st));
    SHOW(st.st_mode);
    SHOW(st.st_nlink);
    SHOW(st.st_size);
    SHOW(st.st_blksize);
    SHOW(st.st_mtime);
    SHOW(fchmod(fd, 0600));
    SHOW(fstat(fd, &st));
    SHOW(st.st_mode);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    SHOW(readlink(path, at, sizeof(at) - 1) > 0);
    SHOW(strncmp(at, "socket:[", 8));
    SHOW(open(path, O_RDWR));
    snprintf(path, sizeof(path), "/dev/fd/%d", fd);
    SHOW(open(path, O_RDONLY));
}

/* ---- messages ---- */

static ssize_t with_control(int fd, size_t len, int level, int type, size_t control_len)
{
    static union { char b[CMSG_SPACE(64)]; struct cmsghdr h; } u;
    struct iovec iov = { big, 3 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = control_len };
    u.h = (struct cmsghdr){ .cmsg_len = len, .cmsg_level = level, .cmsg_type = type };
    return sendmsg(fd, &m, 0);
}

static ssize_t named(int fd, void *name, socklen_t len)
{
    struct iovec iov = { big, 3 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_name = name, .msg_namelen = len };
    return sendmsg(fd, &m, 0);
}

static void test_names(const struct ends *e)
{
    struct sockaddr_in sa = loopback(9);
    struct sockaddr_storage ss = { 0 };
    socklen_t len = (socklen_t)minus_one;
    struct msghdr m = { .msg_iov = &(struct iovec){ big, 4 }, .msg_iovlen = 1, .msg_name = &ss, .msg_namelen = len, .msg_flags = 77 };
    SHOW(sendto(e->a, "x", 1, 0, (struct sockaddr *)&sa, sizeof(sa)));
    SHOW(sendto(e->a, "x", 1, 0, (struct sockaddr *)&sa, 3));
    SHOW(sendto(e->a, "x", 1, 0, (struct sockaddr *)&sa, len));
    SHOW(sendto(e->a, "x", 1, 0, NULL, 99));
    SHOW(named(e->a, &sa, sizeof(sa)));
    SHOW(named(e->a, &ss, sizeof(ss)));
    SHOW(named(e->a, &ss, len));
    SHOW(named(e->a, NULL, len));
    SHOW(recvmsg(e->b, &m, 0));
    m.msg_namelen = sizeof(ss);
    SHOW(recvmsg(e->b, &m, 0));
    SHOW(m.msg_namelen);
    SHOW(m.msg_flags);
    SHOW(recv(e->b, big, sizeof(big), 0));
}

static void test_control(const struct ends *e)
{
    const size_t least = CMSG_LEN(0), one = CMSG_LEN(4), room = CMSG_SPACE(4);
    SHOW(with_control(e->a, 0, 0, 0, room));
    SHOW(with_control(e->a, least - 1, 0, 0, room));
    SHOW(with_control(e->a, one, 77, 7, room));
    SHOW(with_control(e->a, room + 1, 77, 7, room));
    SHOW(with_control(e->a, one, 77, 7, room + 64)); /* the next has no length */
    SHOW(with_control(e->a, one, SOL_SOCKET, SCM_RIGHTS, room));
    SHOW(with_control(e->a, one, SOL_SOCKET, SCM_CREDENTIALS, room));
    SHOW(with_control(e->a, one, SOL_SOCKET, 99, room));
    SHOW(with_control(e->a, one, IPPROTO_IP, IP_TTL, room));
    SHOW(with_control(e->a, one, SOL_SOCKET, 99, least - 1)); /* none at all */
    SHOW(with_control(e->a, one, SOL_SOCKET, SCM_RIGHTS, 1 << 30));
    SHOW(recv(e->b, big, sizeof(big), 0));
}

static void test_flags(const struct ends *e)
{
    static const int flags[] = { MSG_DONTROUTE, MSG_CONFIRM, MSG_EOR, 0x10, MSG_TRUNC, 0x10000000, MSG_PEEK, MSG_ERRQUEUE, MSG_WAITALL };
    struct iovec iov[4] = { { big, 3 }, { NULL, 0 }, { big, 0 }, { big, 2 } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 4 };
    struct mmsghdr mm[2] = { { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 1 } }, { .msg_hdr = { .msg_iov = iov, .msg_iovlen = 1 } } };
    for (unsigned i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        SHOW(send(e->a, "abc", 3, flags[i]));
    SHOW(recv(e->b, big, sizeof(big), 0));
    SHOW(sendmsg(e->a, &m, 0));
    SHOW(writev(e->a, iov, 0));
    SHOW(writev(e->a, iov, minus_one));
    SHOW(writev(e->a, iov, too_many));
    m.msg_iovlen = IOV_MAX + 1;
    SHOW(sendmsg(e->a, &m, 0));
    SHOW(recvmsg(e->b, &m, MSG_DONTWAIT));
    m.msg_iovlen = 0;
    SHOW(sendmsg(e->a, &m, 0));
    SHOW(recv(e->b, big, 0, 0));
    SHOW(recv(e->b, big, 3, MSG_TRUNC));
    SHOW(recv(e->b, big, 64, MSG_PEEK | MSG_TRUNC));
    SHOW(recv(e->b, NULL, 1, MSG_TRUNC));
    SHOW(recv(e->b, big, 64, MSG_DONTWAIT | MSG_WAITALL));
    SHOW(recv(e->b, big, 64, MSG_DONTWAIT | MSG_OOB));
    SHOW(recv(e->b, big, 64, MSG_DONTWAIT | MSG_ERRQUEUE));
    SHOW(recv(e->b, big, 0, MSG_DONTWAIT));
    SHOW(send(e->a, NULL, 0, 0));
    SHOW(sendmmsg(e->a, mm, 0, 0));
    SHOW(sendmmsg(e->a, mm, 2, 0));
    SHOW(recvmmsg(e->b, mm, 0, 0, NULL));
    SHOW(recvmmsg(e->b, mm, 2, MSG_WAITFORONE, NULL));
    SHOW(recvmmsg(e->b, mm, 2, MSG_DONTWAIT, NULL));
}

static void test_ends(const struct ends *e)
{
    struct sockaddr_storage ss;
    SHOW(shutdown(e->a, 3));
    SHOW(shutdown(e->a, minus_one));
    SHOW(shutdown(e->a, SHUT_WR));
    SHOW(shutdown(e->a, SHUT_WR));
    SHOW(send(e->a, "x", 1, MSG_NOSIGNAL));
    SHOW(send(e->a, "", 0, MSG_NOSIGNAL));
    SHOW(recv(e->b, big, 10, 0));
    SHOW(recv(e->b, big, 0, 0));
    SHOW(send(e->b, "x", 1, 0));
    SHOW(recv(e->a, big, 10, 0));
    SHOW(getpeername(e->a, (struct sockaddr *)&ss, &(socklen_t){ sizeof(ss) }));
}

/* ---- connect(), AF_UNSPEC, where there is nothing to dissolve ---- */

static int to_port(int fd, int port)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in four = loopback(port);
    return is_v6 ? connect(fd, (struct sockaddr *)&six, sizeof(six)) : connect(fd, (struct sockaddr *)&four, sizeof(four));
}

static int state_of(int fd)
{
    struct tcp_info info = { 0 };
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &(socklen_t){ sizeof(info) }) < 0 ? -1 : info.tcpi_state;
}

static void test_unspec(void)
{
    struct sockaddr none = { .sa_family = AF_UNSPEC };
    struct ends e = begin();
    int port = port_of(e.l), fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0); /* the same place in both */
    SHOW(connect(fd, &none, sizeof(none)));
    SHOW(connect(e.l, &none, 1));
    SHOW(connect(e.l, &none, sizeof(none)));
    SHOW(option_of(e.l, SOL_SOCKET, SO_ACCEPTCONN));
    SHOW(accept(e.l, NULL, NULL));
    SHOW(to_port(fd, port));
    SHOW(connect(fd, &none, sizeof(none)));
    SHOW(to_port(fd, port));
    SHOW(connect(fd, &none, sizeof(none)));
    SHOW(listen(e.l, 1));
    SHOW(option_of(e.l, SOL_SOCKET, SO_ACCEPTCONN));
    printf("states\n");
    SHOW(state_of(e.a));
    SHOW(shutdown(e.b, SHUT_WR));
    SHOW(recv(e.a, big, 1, 0));
    SHOW(shutdown(e.a, SHUT_WR));
    SHOW(recv(e.b, big, 1, 0));
    SHOW(state_of(e.a));
    SHOW(state_of(fd));
}

/* ---- lengths ---- */

static int wait_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    return poll(&p, 1, 60000);
}

static void test_lengths(const struct ends *e)
{
    struct iovec iov[2] = { { big, 1 }, { big, most } };
    struct sockaddr_storage ss;
    uint64_t v = 0;
    printf("lengths\n");
    SHOW(writev(e->a, iov, 2));
    SHOW(readv(e->b, iov, 2));
    iov[1].iov_len = most + 1;
    SHOW(writev(e->a, iov, 2));
    SHOW(readv(e->b, iov, 2));
    SHOW(recvfrom(e->b, big, 3, MSG_DONTWAIT, (struct sockaddr *)&ss, no_length));
    SHOW(send(e->a, "abcdef", 6, 0));
    SHOW(recvfrom(e->b, big, 3, 0, (struct sockaddr *)&ss, no_length));
    SHOW(recv(e->b, big, 10, 0));
    SHOW(eventfd_write(e->a, 0x1234567890));
    SHOW(eventfd_read(e->b, &v));
    SHOW(v == 0x1234567890);
    SHOW(eventfd_read(e->l, &v));
    SHOW(eventfd_write(e->l, v));
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    SHOW(to_port(fd, port_of(e->l)));
    SHOW(wait_for(e->l, POLLIN));
    SHOW(accept(e->l, (struct sockaddr *)&ss, no_length));
    SHOW(recv(fd, big, 1, 0)); /* it was there, and is gone */
    SHOW(fcntl(e->l, F_SETFL, O_NONBLOCK));
    SHOW(accept(e->l, (struct sockaddr *)&ss, no_length));
    SHOW(close(fd));
}

/* A set that was closed with a socket in it, another in its place, which has the socket, too; the socket is connected then. */
static void test_set_in_place(const struct ends *e)
{
    struct epoll_event ev = { .events = EPOLLOUT }, got = { 0 };
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), set = -1;
    printf("a set in the place of another\n");
    for (int i = 0; i < 3; i++) {
        close(set);
        set = epoll_create1(0);
        SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &ev));
    }
    (void)to_port(fd, port_of(e->l)); /* over the loopback device it is there at once, or not */
    SHOW(wait_for(fd, POLLOUT));
    SHOW(epoll_wait(set, &got, 1, 60000));
    SHOW(got.events);
    SHOW(epoll_wait(set, &got, 1, 0));
    SHOW(got.events);
    SHOW(close(set));
    SHOW(close(fd));
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    for (int six = 0; six < 2; six++) {
        is_v6 = six;
        closefrom(3);
        printf("IPv%d\n", six ? 6 : 4);
        struct ends e = begin();
        int fresh = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0), u = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_DGRAM, 0);
        test_ioctls("connected", e.a);
        test_ioctls("accepted", e.b);
        test_ioctls("listener", e.l);
        test_ioctls("fresh", fresh);
        test_ioctls("datagrams", u);
        test_fcntls("connected", e.a);
        test_fcntls("accepted", e.b);
        test_fcntls("listener", e.l);
        test_fcntls("fresh", fresh);
        closefrom(3);
        e = begin();
        test_names(&e);
        test_control(&e);
        test_flags(&e);
        test_lengths(&e);
        test_set_in_place(&e);
        test_ends(&e);
        test_unspec();
    }
    return 0;
}
