/* sigio_probe.c - which signals a socket's owner gets, step by step, while the program does nothing but sleep
 * usage: sigio_probe peer ADDRESS PORT LISTEN-ADDRESS COMMANDS   does what it reads from the FIFO COMMANDS, a letter each
 *        sigio_probe watch ADDRESS PORT PEER-ADDRESS COMMANDS    prints what it was told; the same text over any stack
 *
 * A signal that must come is waited for; whether one that must not come has come is looked at when the bytes are there. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/sockios.h>
#include <asm/ioctls.h>
#include <time.h>
#include <unistd.h>
#include "tests/system/probe_socket.h"

enum { PATIENCE_MS = 60000, BLOCK = 4096 };
static volatile sig_atomic_t n_io, n_urg, n_own, own_fd, own_band, own_codes;

static void on_signal(int sig, siginfo_t *info, void *context)
{
    (void)context;
    n_io += sig == SIGIO;
    n_urg += sig == SIGURG;
    if (sig != SIGRTMIN + 3)
        return;
    n_own++;
    own_fd = info->si_fd;
    own_band |= (int)info->si_band;
    own_codes |= 1 << (info->si_code > 0 ? info->si_code : 0);
}

/* ---- the other end ---- */
static void peer(const char *host, int port, const char *own, const char *fifo)
{
    int l = made(own, port + 1, SOCK_STREAM, true), fd = -1, from, u;
    char buf[BLOCK], c;
    if (listen(l, 5) != 0)
        die("listen");
    puts("ready");
    fflush(stdout);
    from = open(fifo, O_RDONLY);
    while (read(from, &c, 1) == 1)
        switch (c) {
        case 'c': fd = made(host, port, SOCK_STREAM, false); break;
        case 'a': close(accept(l, NULL, NULL)); break;
        case 'd': if (send(fd, "d", 1, 0) != 1) die("send"); break;
        case 'u': if (send(fd, "u", 1, MSG_OOB) != 1) die("send urgent"); break;
        case 'r': /* all that there is: the writer waits for the room */
            for (struct pollfd p = { .fd = fd, .events = POLLIN }; poll(&p, 1, 200) == 1;)
                if (recv(fd, buf, sizeof(buf), 0) <= 0)
                    die("recv");
            break;
        case 'f': shutdown(fd, SHUT_WR); break;
        case 'g':
            u = made(host, port, SOCK_DGRAM, false);
            if (send(u, "g", 1, 0) != 1)
                die("send a datagram");
            close(u);
            break;
        default: return;
        }
}

/* ---- the one that is told ---- */
static int commands;
static void do_there(char c)
{
    if (write(commands, &c, 1) != 1)
        die("command");
}

static bool wait_signal(const volatile sig_atomic_t *n)
{
    for (int ms = 0; !*n && ms < PATIENCE_MS; ms += 5)
        nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    return *n;
}

static void wait_bytes(int fd)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    while (poll(&p, 1, PATIENCE_MS) < 0 && errno == EINTR)
        ;
    if (!(p.revents & POLLIN))
        die("nothing to read");
}

static void said(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    printf(": SIGIO %s, SIGURG %s, own %s\n", n_io ? "yes" : "no", n_urg ? "yes" : "no", n_own ? "yes" : "no");
    n_io = n_urg = n_own = own_band = own_codes = 0;
    own_fd = -1;
}

static int threads(void)
{
    DIR *d = opendir("/proc/self/task");
    int n = -2;
    while (d && readdir(d))
        n++;
    closedir(d);
    return n;
}

static void calls(int fd)
{
    struct f_owner_ex ex = { F_OWNER_TID, getpid() };
    int v = -1, r = fcntl(fd, F_SETOWN_EX, &ex);
    printf("thread: %d, then %d", r, fcntl(fd, F_GETOWN_EX, &ex));
    printf(" %d %d\n", ex.type, ex.pid == getpid());
    r = fcntl(fd, F_SETOWN, -getpgrp());
    printf("group: %d, then %d\n", r, fcntl(fd, F_GETOWN) == -getpgrp());
    r = fcntl(fd, F_SETOWN, 4194305);
    printf("nobody: %d %d\n", r, r < 0 ? errno : 0);
    r = ioctl(fd, SIOCSPGRP, &(int){ getpid() });
    printf("ioctl: %d, then", r);
    r = ioctl(fd, SIOCGPGRP, &v);
    printf(" %d %d", r, v == getpid());
    r = ioctl(fd, FIOGETOWN, &v);
    printf(" %d %d\n", r, v == getpid());
    r = fcntl(fd, F_SETSIG, 1000);
    printf("wrong signal: %d %d, then %d\n", r, r < 0 ? errno : 0, fcntl(fd, F_GETSIG));
    r = ioctl(fd, FIOSETOWN, &(int){ 0 });
    printf("back: %d, then %d %d\n", r, fcntl(fd, F_GETOWN), !!(fcntl(fd, F_GETFL) & O_ASYNC));
}

static void stream(int fd)
{
    char buf[BLOCK] = { 0 };
    printf("accepted: async %d, owner %d\n", !!(fcntl(fd, F_GETFL) & O_ASYNC), fcntl(fd, F_GETOWN));
    do_there('d');
    wait_bytes(fd);
    said("nobody asked, bytes");
    fcntl(fd, F_SETOWN, getpid());
    do_there('u');
    wait_signal(&n_urg);
    said("owner alone, urgent byte");
    do_there('d');
    if (recv(fd, buf, 1, 0) != 1 || recv(fd, buf, 1, MSG_WAITALL) != 1)
        die("recv");
    said("owner alone, bytes");
    fcntl(fd, F_SETFL, O_ASYNC);
    said("asked, nothing new");
    for (int i = 0; i < 3; i++) { /* unread or not, each is told */
        do_there('d');
        wait_signal(&n_io);
        said("asked, byte %d, flags %d", i, !!(fcntl(fd, F_GETFL) & O_ASYNC));
    }
    recv(fd, buf, sizeof(buf), 0);
    fcntl(fd, F_SETSIG, SIGRTMIN + 3);
    do_there('d');
    wait_signal(&n_own);
    printf("with a signal of its own: number %d, band in %d out %d, codes %#x\n", own_fd == fd, !!(own_band & POLLIN), !!(own_band & POLLOUT),
           (unsigned)own_codes);
    said("with a signal of its own");
    fcntl(fd, F_SETSIG, 0);
    ioctl(fd, FIOASYNC, &(int){ 0 });
    do_there('d');
    wait_bytes(fd);
    recv(fd, buf, sizeof(buf), 0);
    said("no more, flags %d", !!(fcntl(fd, F_GETFL) & O_ASYNC));
    n_io = 0;
    ioctl(fd, FIOASYNC, &(int){ 1 });
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    while (send(fd, buf, sizeof(buf), 0) > 0) /* there may be room again before the peer reads: told once is enough */
        ;
    do_there('r');
    wait_signal(&n_io);
    said("full, then read");
    do_there('u');
    wait_signal(&n_urg);
    wait_signal(&n_io);
    said("urgent byte");
    do_there('f');
    wait_signal(&n_io);
    said("end");
}

static void connecting(const char *host, int port)
{
    struct sockaddr_storage to = { 0 };
    struct sockaddr_in *v4 = (struct sockaddr_in *)&to;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&to;
    bool is_v6 = strchr(host, ':') != NULL;
    int fd = socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), r;
    to.ss_family = is_v6 ? AF_INET6 : AF_INET;
    v4->sin_port = htons((uint16_t)(port + 1));
    inet_pton(to.ss_family, host, is_v6 ? (void *)&v6->sin6_addr : (void *)&v4->sin_addr);
    fcntl(fd, F_SETOWN, getpid());
    fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK);
    r = connect(fd, (struct sockaddr *)&to, sizeof(to));
    printf("connect: %d %d\n", r, errno);
    wait_signal(&n_io);
    said("connected");
    do_there('a');
    wait_signal(&n_io);
    said("peer has closed");
    close(fd);
}

static void watch(const char *host, int port, const char *there, const char *fifo)
{
    static const int signals[] = { SIGIO, SIGURG };
    struct sigaction sa = { .sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | SA_RESTART };
    int l = made(host, port, SOCK_STREAM, true), u = made(host, port, SOCK_DGRAM, true), fd;
    for (unsigned i = 0; i < 2; i++)
        sigaction(signals[i], &sa, NULL);
    sigaction(SIGRTMIN + 3, &sa, NULL);
    commands = open(fifo, O_WRONLY);
    if (listen(l, 5) != 0)
        die("listen");
    printf("threads before: %d\n", threads());
    calls(l);
    fcntl(l, F_SETOWN, getpid());
    fcntl(l, F_SETFL, O_ASYNC);
    do_there('c');
    wait_signal(&n_io);
    said("listener");
    fd = accept(l, NULL, NULL);
    fcntl(l, F_SETFL, 0);
    calls(fd);
    stream(fd);
    fcntl(u, F_SETOWN, getpid());
    ioctl(u, FIOASYNC, &(int){ 1 });
    do_there('g');
    wait_signal(&n_io);
    said("datagram");
    connecting(there, port);
    do_there('q');
}

int main(int argc, char **argv)
{
    setvbuf(stdout, NULL, _IOLBF, 0);
    signal(SIGPIPE, SIG_IGN);
    alarm(300);
    if (argc == 6 && strcmp(argv[1], "peer") == 0)
        peer(argv[2], atoi(argv[3]), argv[4], argv[5]);
    else if (argc == 6 && strcmp(argv[1], "watch") == 0)
        watch(argv[2], atoi(argv[3]), argv[4], argv[5]);
    else
        return 2;
    return 0;
}
