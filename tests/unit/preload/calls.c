/* calls.c - makes many descriptor and socket calls and prints each result: run with and without the preload library, the two
 * outputs must be the same (kernel_same_test.sh). Only what is the same in every run is printed; numbers of descriptors are. */
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/sockios.h>
#include "tests/unit/preload/calls.h"

static void test_families(void)
{
    int s[2];
    SHOW(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    SHOW(socket(AF_INET, 77, 0));
    SHOW(socket(999, SOCK_STREAM, 0));
    SHOW(socketpair(AF_INET, SOCK_STREAM, 0, s));
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
    SHOW(write(s[0], "abc", 3));
    char buf[8];
    SHOW(recv(s[1], buf, sizeof(buf), MSG_PEEK));
    SHOW(read(s[1], buf, sizeof(buf)));
    SHOW(recv(s[1], buf, sizeof(buf), MSG_DONTWAIT));
    SHOW(close(s[0]));
    SHOW(read(s[1], buf, sizeof(buf)));
    SHOW(write(s[1], "x", 1));
    SHOW(close(s[1]));
    SHOW(close(s[1]));
    SHOW(read(-1, buf, 1));
    SHOW(write(1000, buf, 1));
    int u = (int)SHOW(socket(AF_UNIX, SOCK_DGRAM, 0));
    struct sockaddr_un un = { .sun_family = AF_UNIX };
    SHOW(bind(u, (struct sockaddr *)&un, sizeof(sa_family_t)));
    SHOW(close(u));
}

static void test_fresh_socket(void)
{
    char buf[8];
    struct pollfd p = { .events = POLLIN | POLLOUT };
    int fd = (int)SHOW(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
    p.fd = fd;
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(recv(fd, buf, 8, 0));
    SHOW(send(fd, buf, 8, MSG_NOSIGNAL));
    SHOW(accept(fd, NULL, NULL));
    SHOW(shutdown(fd, SHUT_RDWR));
    SHOW(getpeername(fd, (struct sockaddr *)buf, &(socklen_t){ 8 }));
    SHOW(poll(&p, 1, 0));
    SHOW(p.revents);
    SHOW(option_of(fd, SOL_SOCKET, SO_TYPE));
    SHOW(option_of(fd, SOL_SOCKET, SO_DOMAIN));
    SHOW(option_of(fd, SOL_SOCKET, SO_PROTOCOL));
    SHOW(option_of(fd, SOL_SOCKET, SO_ACCEPTCONN));
    SHOW(set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1));
    SHOW(option_of(fd, IPPROTO_TCP, TCP_NODELAY));
    SHOW(set_option(fd, IPPROTO_TCP, 9999, 1));
    SHOW(set_option(fd, SOL_SOCKET, 9999, 1));
    SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, "", 1));
    int on = 0, n = -1;
    SHOW(ioctl(fd, FIONBIO, &on));
    SHOW(fcntl(fd, F_GETFL));
    SHOW(fcntl(fd, F_SETFL, O_NONBLOCK));
    SHOW(ioctl(fd, FIONREAD, &n));
    SHOW(n);
    struct stat st;
    SHOW(fstat(fd, &st));
    SHOW(S_ISSOCK(st.st_mode));
    SHOW(pread(fd, buf, 1, 0));
    SHOW(lseek(fd, 0, SEEK_SET));
    struct sockaddr_in none = loopback(1);
    SHOW(fcntl(fd, F_SETFL, 0));
    SHOW(connect(fd, (struct sockaddr *)&none, sizeof(none)));
    SHOW(connect(fd, (struct sockaddr *)&none, 3));
    SHOW(connect(fd, NULL, 0));
    SHOW(close(fd));
}

static void test_dup(void)
{
    int fd = (int)SHOW(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(dup(fd));
    SHOW(dup2(fd, 40));
    SHOW(dup3(fd, 41, O_CLOEXEC));
    SHOW(dup3(fd, fd, 0));
    SHOW(dup2(fd, fd));
    SHOW(dup2(900, 42));
    SHOW(dup2(fd, -1));
    SHOW(fcntl(fd, F_DUPFD, 50));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 50));
    SHOW(fcntl(41, F_GETFD));
    SHOW(fcntl(51, F_GETFD));
    SHOW(set_option(40, SOL_SOCKET, SO_KEEPALIVE, 1));
    SHOW(option_of(fd, SOL_SOCKET, SO_KEEPALIVE));
    SHOW(close_range(50, 60, 0));
    SHOW(fcntl(50, F_GETFD));
    SHOW(close_range(60, 50, 0));
    SHOW(close(fd));
    SHOW(option_of(40, SOL_SOCKET, SO_KEEPALIVE));
    int p[2];
    SHOW(pipe(p));
    SHOW(dup2(p[0], 40));
    SHOW(option_of(40, SOL_SOCKET, SO_KEEPALIVE));
    SHOW(write(p[1], "pipe", 4));
    char buf[8];
    SHOW(read(40, buf, 8));
    closefrom(3);
    SHOW(fcntl(40, F_GETFD));
    SHOW(socket(AF_INET6, SOCK_DGRAM, 0));
    SHOW(close(3));
}

static void test_stream(void)
{
    int port, a, b, l = listener(&port), n = -1;
    char buf[64];
    pair_up(l, port, &a, &b);
    struct iovec iov[2] = { { "hello ", 6 }, { "world", 5 } };
    SHOW(writev(a, iov, 2));
    SHOW(recv(b, buf, 5, MSG_PEEK));
    SHOW(ioctl(b, FIONREAD, &n));
    SHOW(n);
    SHOW(recv(b, buf, 11, MSG_WAITALL));
    SHOW(memcmp(buf, "hello world", 11));
    SHOW(recv(b, buf, 1, MSG_DONTWAIT));
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
    SHOW(sendmsg(a, &m, 0));
    struct iovec in = { buf, sizeof(buf) };
    struct msghdr r = { .msg_iov = &in, .msg_iovlen = 1 };
    SHOW(recvmsg(b, &r, 0));
    SHOW(r.msg_flags);
    struct mmsghdr mm[2] = { { .msg_hdr = m }, { .msg_hdr = m } };
    SHOW(sendmmsg(a, mm, 2, 0));
    SHOW(recv(b, buf, 22, MSG_WAITALL));
    struct timeval tv = { 0, 20000 };
    SHOW(setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)));
    SHOW(recv(b, buf, 1, 0));
    SHOW(shutdown(a, SHUT_WR));
    SHOW(recv(b, buf, 1, 0));
    SHOW(send(a, buf, 1, MSG_NOSIGNAL));
    SHOW(send(b, "back", 4, 0));
    SHOW(recv(a, buf, 8, 0));
    SHOW(option_of(a, SOL_SOCKET, SO_ERROR));
    SHOW(connect(a, (struct sockaddr *)&(struct sockaddr_in){ 0 }, 2));
    SHOW(close(a));
    SHOW(close(b));
    SHOW(fcntl(l, F_SETFL, O_NONBLOCK));
    SHOW(accept(l, NULL, NULL));
    SHOW(close(l));
    SHOW(accept(l, NULL, NULL));
}

/* As libuv makes them: by their numbers. */
static void test_numbers(void)
{
    int port, l = listener(&port), a, reused;
    struct sockaddr_in sa = loopback(port);
    char buf[8];
    a = (int)SHOW(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(connect(a, (struct sockaddr *)&sa, sizeof(sa)));
    int b = (int)SHOW(syscall(SYS_accept4, l, NULL, NULL, SOCK_CLOEXEC));
    struct iovec iov = { buf, sizeof(buf) };
    struct mmsghdr m = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } };
    SHOW(syscall(SYS_sendmmsg, b, &m, 1, 0));
    SHOW(syscall(SYS_recvmmsg, a, &m, 1, 0, NULL));
    SHOW(m.msg_len);
    SHOW(syscall(SYS_close, b));
    SHOW(read(a, buf, sizeof(buf)));
    SHOW(reused = open("/dev/zero", O_RDONLY));
    SHOW(read(reused, buf, sizeof(buf)));
    SHOW(syscall(SYS_close_range, reused, reused, 0));
    SHOW(syscall(SYS_close, l));
    SHOW(syscall(SYS_close, l));
    SHOW(close(a));
}

static void test_sendfile(void)
{
    int port, a, b, l = listener(&port);
    char buf[64];
    pair_up(l, port, &a, &b);
    FILE *f = tmpfile();
    fputs("0123456789", f);
    fflush(f);
    off_t at = 2;
    SHOW(sendfile(a, fileno(f), &at, 5));
    SHOW(at);
    SHOW(recv(b, buf, 64, 0));
    SHOW(memcmp(buf, "23456", 5));
    SHOW(lseek(fileno(f), 8, SEEK_SET));
    SHOW(sendfile(a, fileno(f), NULL, 5));
    SHOW(lseek(fileno(f), 0, SEEK_CUR));
    SHOW(sendfile(a, fileno(f), NULL, 5));
    SHOW(recv(b, buf, 64, 0));
    SHOW(sendfile(a, 999, NULL, 5));
    FILE *s = fdopen(b, "r");
    SHOW(send(a, "line one\nline two\n", 18, 0));
    SHOW(fgets(buf, 64, s) != NULL);
    SHOW(strcmp(buf, "line one\n"));
    SHOW(fileno(s) == b);
    fclose(s);
    fclose(f);
    SHOW(fcntl(b, F_GETFD));
    SHOW(close(a));
    SHOW(close(l));
}

static void test_datagrams(void)
{
    struct sockaddr_in sa = loopback(0), from;
    socklen_t len = sizeof(from);
    char buf[8];
    int a = (int)SHOW(socket(AF_INET, SOCK_DGRAM, 0)), b = (int)SHOW(socket(AF_INET, SOCK_DGRAM, 0));
    SHOW(bind(a, (struct sockaddr *)&sa, sizeof(sa)));
    sa = loopback(port_of(a));
    SHOW(send(b, "x", 1, 0));
    SHOW(sendto(b, "0123456789", 10, 0, (struct sockaddr *)&sa, sizeof(sa)));
    SHOW(recvfrom(a, buf, 4, MSG_TRUNC, (struct sockaddr *)&from, &len));
    SHOW(len);
    SHOW(ntohs(from.sin_port) == port_of(b));
    SHOW(connect(a, (struct sockaddr *)&from, len));
    SHOW(send(a, "", 0, 0));
    SHOW(recv(b, buf, 8, 0));
    SHOW(recv(b, buf, 8, MSG_DONTWAIT));
    SHOW(close(b));
    SHOW(send(a, "y", 1, 0));
    SHOW(send(a, "y", 1, 0));
    SHOW(close(a));
}

static void test_waiting(void)
{
    int port, a, b, l = listener(&port), p[2];
    pair_up(l, port, &a, &b);
    SHOW(pipe(p));
    struct pollfd fds[4] = { { a, POLLIN | POLLOUT, 0 }, { p[0], POLLIN, 0 }, { -1, POLLIN, 0 }, { 888, POLLIN, 0 } };
    SHOW(poll(fds, 4, 0));
    for (int i = 0; i < 4; i++)
        SHOW(fds[i].revents);
    SHOW(ppoll(fds + 1, 1, &(struct timespec){ 0, 1000000 }, NULL));
    fd_set rd, wr;
    FD_ZERO(&rd);
    FD_ZERO(&wr);
    FD_SET(b, &rd);
    FD_SET(a, &wr);
    SHOW(send(a, "z", 1, 0));
    SHOW(select((a > b ? a : b) + 1, &rd, &wr, NULL, &(struct timeval){ 1, 0 }));
    SHOW(FD_ISSET(b, &rd) && FD_ISSET(a, &wr));
    SHOW(select(1, NULL, NULL, NULL, &(struct timeval){ 0, 1000 }));
    FD_ZERO(&rd);
    FD_SET(60, &rd);
    SHOW(select(61, &rd, NULL, NULL, &(struct timeval){ 0, 0 }));
    int ep = (int)SHOW(epoll_create1(EPOLL_CLOEXEC)), fresh = (int)SHOW(socket(AF_INET, SOCK_STREAM, 0));
    struct epoll_event ev = { .events = EPOLLIN | EPOLLET, .data.fd = b }, out[4];
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, b, &ev));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, b, &ev));
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, a, &ev));
    SHOW(epoll_ctl(ep, 99, b, &ev));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &ev));
    SHOW(epoll_ctl(a, EPOLL_CTL_ADD, b, &ev));
    SHOW(epoll_wait(ep, out, 4, 1000));
    SHOW(out[0].data.fd == b && out[0].events == EPOLLIN);
    SHOW(epoll_wait(ep, out, 4, 0));
    SHOW(epoll_wait(ep, out, 0, 0));
    ev = (struct epoll_event){ .events = EPOLLOUT, .data.fd = fresh };
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, fresh, &ev));
    SHOW(epoll_wait(ep, out, 4, 0));
    SHOW(out[0].events);
    struct sockaddr_in sa = loopback(port);
    SHOW(connect(fresh, (struct sockaddr *)&sa, sizeof(sa)));
    SHOW(epoll_wait(ep, out, 4, 0));
    SHOW(out[0].events);
    SHOW(epoll_ctl(ep, EPOLL_CTL_MOD, fresh, &ev));
    SHOW(epoll_pwait(ep, out, 4, 0, NULL));
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, fresh, NULL));
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, fresh, NULL));
    closefrom(3);
}

static volatile sig_atomic_t n_signals;
static void on_signal(int sig) { n_signals += sig != 0; }

static void test_signals(void)
{
    int port, a, b, l = listener(&port);
    char c;
    pair_up(l, port, &a, &b);
    struct sigaction sa = { .sa_handler = on_signal };
    sigaction(SIGPIPE, &sa, NULL);
    SHOW(shutdown(a, SHUT_WR));
    SHOW(write(a, "x", 1));
    SHOW(n_signals);
    SHOW(send(a, "x", 1, MSG_NOSIGNAL));
    SHOW(n_signals);
    sigaction(SIGALRM, &sa, NULL);
    ualarm(20000, 20000); /* again and again: the first may come before read() has begun */
    SHOW(read(a, &c, 1));
    ualarm(0, 0);
    sa.sa_handler = SIG_DFL;
    sigaction(SIGALRM, &sa, NULL);
    sigaction(SIGPIPE, &sa, NULL);
    closefrom(3);
}

static void *late_writer(void *arg)
{
    usleep(30000);
    return (void *)(intptr_t)write((int)(intptr_t)arg, "x", 1);
}

/* An epoll set watched by another one, by poll and by select: `how` of them, each asleep when the byte comes. */
static void test_nested(bool edge)
{
    int port, a, b, l = listener(&port), outer, inner, kernel[2];
    struct epoll_event ev = { .events = EPOLLIN | (edge ? EPOLLET : 0), .data.fd = 1 }, got;
    char c;
    pair_up(l, port, &a, &b);
    SHOW(pipe(kernel));
    inner = (int)SHOW(epoll_create1(0));
    outer = (int)SHOW(epoll_create1(0));
    SHOW(epoll_ctl(inner, EPOLL_CTL_ADD, kernel[0], &ev));
    ev.data.fd = 2;
    SHOW(epoll_ctl(outer, EPOLL_CTL_ADD, inner, &ev));
    ev.data.fd = 3;
    SHOW(epoll_ctl(inner, EPOLL_CTL_ADD, b, &ev)); /* the stack's socket comes when the set is watched already */
    SHOW(epoll_wait(outer, &got, 1, 0));
    for (int how = 0; how < 3; how++) {
        pthread_t t;
        void *written;
        struct pollfd p = { .fd = inner, .events = POLLIN };
        fd_set rd;
        FD_ZERO(&rd);
        FD_SET(inner, &rd);
        pthread_create(&t, NULL, late_writer, (void *)(intptr_t)a);
        if (how == 0)
            SHOW(epoll_wait(outer, &got, 1, 60000));
        else if (how == 1)
            SHOW(poll(&p, 1, 60000));
        else
            SHOW(select(inner + 1, &rd, NULL, NULL, &(struct timeval){ .tv_sec = 60 }));
        pthread_join(t, &written);
        SHOW((intptr_t)written);
        SHOW(epoll_wait(inner, &got, 1, 0));
        SHOW(got.data.fd);
        SHOW(read(b, &c, 1));
        SHOW(epoll_wait(inner, &got, 1, 0));
        SHOW(poll(&p, 1, 0));
    }
    SHOW(write(kernel[1], "k", 1));
    SHOW(epoll_wait(outer, &got, 1, 60000));
    SHOW(epoll_wait(inner, &got, 1, 0));
    SHOW(got.data.fd);
    closefrom(3);
}

static void *reader(void *arg)
{
    char buf[16];
    long total = 0;
    for (ssize_t r; (r = read((int)(intptr_t)arg, buf, sizeof(buf))) > 0; total += r)
        ;
    return (void *)total;
}

static void test_processes(char *self)
{
    int port, a, b, l = listener(&port), status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) { /* a child accepts from the inherited listener */
        b = accept(l, NULL, NULL);
        _exit(b >= 0 && write(b, "child", 5) == 5 ? 7 : 1);
    }
    struct sockaddr_in sa = loopback(port);
    a = (int)SHOW(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(connect(a, (struct sockaddr *)&sa, sizeof(sa)));
    char buf[8];
    SHOW(recv(a, buf, 5, MSG_WAITALL));
    SHOW(waitpid(pid, &status, 0) == pid);
    SHOW(WEXITSTATUS(status));
    SHOW(recv(a, buf, 5, 0));
    SHOW(close(a));
    pid = vfork();
    if (pid == 0) {
        close(l); /* must not take it from the parent, whose memory this is */
        dup2(1, l);
        execl(self, self, "exit", (char *)NULL);
        _exit(1);
    }
    SHOW(waitpid(pid, &status, 0) == pid);
    SHOW(WEXITSTATUS(status));
    SHOW(posix_spawn(&pid, self, NULL, NULL, (char *[]){ self, "exit", NULL }, (char *[]){ NULL }));
    SHOW(waitpid(pid, &status, 0) == pid);
    pair_up(l, port, &a, &b);
    pthread_t t;
    void *total;
    pthread_create(&t, NULL, reader, (void *)(intptr_t)b);
    SHOW(write(a, "from thread to thread", 21));
    SHOW(close(a));
    pthread_join(t, &total);
    SHOW(total);
    closefrom(3);
}

/* A program of inetd's: its standard streams are there before it begins. What is left in them goes out when it ends. */
static int inetd_program(void)
{
    char line[64];
    if (!fgets(line, sizeof(line), stdin))
        return 1;
    printf("got %s", line);
    fprintf(stderr, "and says so\n");
    for (unsigned i = 0; i < 250; i++) /* a line each of HOSTSTACK_REPORT, which must not go where stderr leads */
        if (socket(AF_INET, SOCK_DGRAM, 0) < 0)
            return 3;
    return feof(stdin) || ferror(stdout) ? 2 : 42;
}

static bool says(int fd, const char *text)
{
    char buf[64];
    size_t len = strlen(text);
    return recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len && memcmp(buf, text, len) == 0;
}

static void test_streams(char *self)
{
    int port, a, b, l = listener(&port), status;
    char buf[8];
    struct iovec out = { "abc", 3 }, in = { buf, sizeof(buf) };
    pair_up(l, port, &a, &b);
    SHOW(dprintf(a, "%d and %s", 42, "text"));
    SHOW(says(b, "42 and text"));
    SHOW(dprintf(999, "%d", 42));
    SHOW(pwritev2(a, &out, 1, -1, 0));
    SHOW(preadv2(b, &in, 1, -1, 0));
    SHOW(memcmp(buf, "abc", 3));
    SHOW(preadv2(b, &in, 1, -1, RWF_NOWAIT));
    SHOW(preadv2(b, &in, 1, 0, 0));
    SHOW(pwritev2(a, &out, 1, 0, 0));
    SHOW(pwritev2(a, &out, 1, -1, 1 << 30));
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(b, 0);
        dup2(b, 1);
        dup2(b, 2);
        printf("before exec\n");
        fflush(stdout);
        execl(self, self, "inetd", (char *)NULL);
        _exit(1);
    }
    close(b);
    SHOW(says(a, "before exec\n"));
    SHOW(send(a, "a line\n", 7, 0));
    SHOW(says(a, "and says so\ngot a line\n"));
    SHOW(waitpid(pid, &status, 0) == pid);
    SHOW(WEXITSTATUS(status));
    SHOW(recv(a, buf, sizeof(buf), 0));
    SHOW(close(a));
    SHOW(close(l));
}

int main(int argc, char **argv)
{
    if (argc > 1) /* what test_streams() and test_processes() start */
        return strcmp(argv[1], "inetd") == 0 ? inetd_program() : 42;
    signal(SIGPIPE, SIG_IGN);
    closefrom(3);
    test_families();
    test_fresh_socket();
    test_dup();
    test_stream();
    test_numbers();
    test_sendfile();
    test_datagrams();
    test_waiting();
    test_nested(false);
    test_nested(true);
    signal(SIGPIPE, SIG_DFL);
    test_signals();
    test_streams(argv[0]);
    test_processes(argv[0]);
    return 0;
}
