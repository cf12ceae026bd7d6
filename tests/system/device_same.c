/* device_same.c - SO_BINDTODEVICE and SO_BINDTOIFINDEX, whose results must be the kernel's: run on both, the output is compared
 * usage: device_same agent                                        on the other host: calls us by order, and echoes
 *        device_same 4|6 OWN0 PEER0 OWN1 PEER1 KERNELS NOWHERE    OWN0 on vs0 beside PEER0, OWN1 on vs1 beside PEER1; KERNELS: an address
 *                                                                 of the interface vx, which the kernel alone has
 * Prints what every call gave. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { AGENT = 7001, FIRST_PORT = 5555, WAIT_MS = 1200, ANSWER_MS = 60000, MAX = 8 };
enum { OWN0, PEER0, OWN1, PEER1, KERNELS, NOWHERE, N_HOSTS };

static struct { int family, port; const char *host[N_HOSTS]; int control; } t; /* each case has a port of its own: TIME-WAIT */
struct sock { int fd; const char *name; bool dgram; };

static const char *name_of(int rc) { return rc < 0 ? strerrorname_np(errno) : "0"; }

static socklen_t address(const char *text, int port, struct sockaddr_storage *ss)
{
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)ss;
    struct sockaddr_in *a4 = (struct sockaddr_in *)ss;
    char b[64];

    memset(ss, 0, sizeof(*ss));
    snprintf(b, sizeof(b), "%s", text);
    if (!strchr(text, ':')) {
        a4->sin_family = AF_INET;
        a4->sin_port = htons((uint16_t)port);
        inet_pton(AF_INET, b, &a4->sin_addr);
        return sizeof(*a4);
    }
    char *scope = strchr(b, '%');
    if (scope) {
        *scope = '\0';
        a6->sin6_scope_id = if_nametoindex(scope + 1);
    }
    a6->sin6_family = AF_INET6;
    a6->sin6_port = htons((uint16_t)port);
    inet_pton(AF_INET6, b, &a6->sin6_addr);
    return sizeof(*a6);
}
static const char *any(void) { return t.family == AF_INET ? "0.0.0.0" : "::"; }
static const char *loopback(void) { return t.family == AF_INET ? "127.0.0.1" : "::1"; }

__attribute__((format(printf, 2, 3))) static void say(int fd, const char *fmt, ...)
{
    char b[160];
    va_list ap;

    va_start(ap, fmt);
    int n = vsnprintf(b, sizeof(b), fmt, ap);
    va_end(ap);
    if (send(fd, b, (size_t)n, MSG_NOSIGNAL) != n)
        printf("  send: %s\n", strerrorname_np(errno));
}

static int wait_in(int fd, int ms)
{
    struct pollfd p = { .fd = fd, .events = POLLIN };
    return poll(&p, 1, ms);
}

static int read_line(int fd, char *b, size_t len, int ms)
{
    size_t n = 0;

    while (n + 1 < len && wait_in(fd, ms) == 1 && recv(fd, b + n, 1, 0) == 1)
        if (b[n++] == '\n') {
            b[n - 1] = '\0';
            return 0;
        }
    return -1;
}

/* ---- the other host ---- */

static void order(const char *line, char *answer, size_t len)
{
    struct sockaddr_storage ss;
    char how, to[64];
    int port;

    if (sscanf(line, "%c %63s %d", &how, to, &port) != 3) {
        snprintf(answer, len, "what");
        return;
    }
    socklen_t n = address(to, port, &ss);
    int fd = socket(ss.ss_family, how == 'T' ? SOCK_STREAM : SOCK_DGRAM, 0);
    errno = 0;
    if (how == 'U') {
        bool has_said = connect(fd, (struct sockaddr *)&ss, n) == 0 && send(fd, "x", 1, 0) == 1 && wait_in(fd, WAIT_MS) == 1;
        ssize_t got = has_said ? recv(fd, answer, len - 1, 0) : -1;
        if (got > 0)
            answer[got] = '\0';
        else
            snprintf(answer, len, "%s", errno ? strerrorname_np(errno) : "nothing");
    } else if (connect(fd, (struct sockaddr *)&ss, n) < 0 || read_line(fd, answer, len, WAIT_MS) < 0) {
        snprintf(answer, len, "%s", errno ? strerrorname_np(errno) : "nothing");
    }
    close(fd);
}

static void serve(int fd)
{
    char line[128], answer[128];

    while (read_line(fd, line, sizeof(line), -1) == 0) {
        if (line[0] == 'E')
            memcpy(answer, line, sizeof(line));
        else
            order(line, answer, sizeof(answer));
        say(fd, "%s\n", answer);
    }
    close(fd);
}

static int agent(void)
{
    struct sockaddr_storage ss;
    socklen_t n = address("::", AGENT, &ss);
    int l = socket(AF_INET6, SOCK_STREAM, 0), u = socket(AF_INET6, SOCK_DGRAM, 0), one = 1;

    setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(l, (struct sockaddr *)&ss, n) < 0 || listen(l, 16) < 0 || bind(u, (struct sockaddr *)&ss, n) < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    for (;;) {
        struct pollfd p[2] = { { .fd = l, .events = POLLIN }, { .fd = u, .events = POLLIN } };
        char b[128];
        poll(p, 2, -1);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
        if (p[1].revents) {
            n = sizeof(ss);
            ssize_t got = recvfrom(u, b, sizeof(b), 0, (struct sockaddr *)&ss, &n);
            sendto(u, b, got < 0 ? 0 : (size_t)got, 0, (struct sockaddr *)&ss, n);
        }
        if (p[0].revents) {
            int c = accept(l, NULL, NULL);
            if (fork() == 0) {
                serve(c);
                _exit(0);
            }
            close(c);
        }
    }
}

/* ---- calls ---- */

static int device(int fd, const char *name) { return setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, name, (socklen_t)strlen(name)); }

static const char *device_is(int fd)
{
    static char b[64];
    char got[IFNAMSIZ] = "";
    socklen_t len = sizeof(got);
    int rc = getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, got, &len), index = -1;

    snprintf(b, sizeof(b), "%s '%.*s'/%u", name_of(rc), (int)len, got, len);
    len = sizeof(index);
    rc = getsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, &len);
    snprintf(b + strlen(b), sizeof(b) - strlen(b), " %s", rc < 0 ? name_of(rc) : index == (int)if_nametoindex(got) ? "its index" : "another index");
    return b;
}

static int make(int type, const char *dev, int reuseport)
{
    int fd = socket(t.family, type, 0);

    if (reuseport)
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &reuseport, sizeof(reuseport));
    if (dev && device(fd, dev) < 0)
        printf("  bound to %s: %s\n", dev, name_of(-1));
    return fd;
}

static int bind_to(int fd, const char *to, int port)
{
    struct sockaddr_storage ss;
    socklen_t n = address(to, port, &ss);
    return bind(fd, (struct sockaddr *)&ss, n);
}

/* A listener, or a datagram socket, at any address. */
static struct sock open_at(int type, const char *dev, const char *name, int reuseport)
{
    struct sock s = { make(type, dev, reuseport), name, type == SOCK_DGRAM };
    int rc = bind_to(s.fd, any(), t.port);

    printf("  %s: bind %s", name, name_of(rc));
    if (rc == 0 && !s.dgram)
        printf(", listen %s", name_of(listen(s.fd, 8)));
    puts("");
    fcntl(s.fd, F_SETFL, O_NONBLOCK);
    return s;
}

static void answer_by(const struct sock *s)
{
    struct sockaddr_storage ss;
    socklen_t n = sizeof(ss);
    char b[64];

    if (s->dgram) {
        if (recvfrom(s->fd, b, sizeof(b), 0, (struct sockaddr *)&ss, &n) > 0) {
            int len = snprintf(b, sizeof(b), "%s", s->name);
            sendto(s->fd, b, (size_t)len, 0, (struct sockaddr *)&ss, n);
        }
        return;
    }
    int c = accept(s->fd, NULL, NULL);
    if (c >= 0) {
        say(c, "%s, accepted has %s\n", s->name, device_is(c));
        close(c);
    }
}

/* Until `fd` says something: whoever calls the sockets hears which one it has reached. */
static void answer_until(int fd, const struct sock *s, int n)
{
    struct pollfd p[MAX + 1] = { { .fd = fd, .events = POLLIN } };

    for (int i = 0; i < n; i++)
        p[1 + i] = (struct pollfd){ .fd = s[i].fd, .events = POLLIN };
    while (poll(p, (nfds_t)n + 1, ANSWER_MS) > 0 && !p[0].revents)
        for (int i = 0; i < n; i++)
            if (p[1 + i].revents)
                answer_by(&s[i]);
}

/* An interface of the kernel's alone: the stack's listener is closed. Closing does not wait until every worker has heard of it; listen() does, and
 * comes behind it. */
static void all_workers_closed_it(void)
{
    for (int i = 0; i < MAX; i++) {
        int fd = make(SOCK_STREAM, NULL, 0);
        if (bind_to(fd, t.host[OWN0], 0) < 0 || listen(fd, 1) < 0)
            printf("  another listener: %s\n", name_of(-1));
        close(fd);
    }
}

/* The other host calls. */
static void called(const char *how, int host, const struct sock *s, int n)
{
    char b[128] = "no answer";

    say(t.control, "%s %s %d\n", how, t.host[host], t.port);
    answer_until(t.control, s, n);
    if (read_line(t.control, b, sizeof(b), ANSWER_MS) < 0)
        strcpy(b, "no answer");
    printf("  %s to own address %d: %s\n", how, host / 2, b);
}

static void both_called(const char *how, const struct sock *s, int n)
{
    called(how, OWN0, s, n);
    called(how, OWN1, s, n);
}

/* A program of this host calls. */
static void called_here(int type, const char *dev, const char *to, const char *label, const struct sock *s, int n)
{
    struct sockaddr_storage ss;
    socklen_t len = address(to, t.port, &ss);
    int fd = make(type, dev, 0), rc;
    char b[128];

    printf("  from %s to %s: ", dev ? dev : "anywhere", label);
    rc = connect(fd, (struct sockaddr *)&ss, len);
    if (rc < 0) {
        puts(name_of(rc));
    } else {
        struct pollfd p[MAX + 1] = { { .fd = fd, .events = POLLIN } };
        if (type == SOCK_DGRAM)
            (void)!send(fd, "x\n", 2, 0);
        for (int i = 0; i < n; i++)
            p[1 + i] = (struct pollfd){ .fd = s[i].fd, .events = POLLIN };
        while (poll(p, (nfds_t)n + 1, WAIT_MS) > 0 && !p[0].revents)
            for (int i = 0; i < n; i++)
                if (p[1 + i].revents)
                    answer_by(&s[i]);
        ssize_t got = recv(fd, b, sizeof(b) - 1, MSG_DONTWAIT);
        if (got > 0 && b[got - 1] == '\n')
            got--;
        printf("%.*s\n", got > 0 ? (int)got : 7, got > 0 ? b : "nothing");
    }
    close(fd);
}

static void close_all(const struct sock *s, int n)
{
    for (int i = 0; i < n; i++)
        close(s[i].fd);
}

/* ---- cases ---- */

static void drop_net_raw(void)
{
    struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct d[2];

    if (syscall(SYS_capget, &h, d) < 0)
        return;
    d[0].effective &= ~(1u << CAP_NET_RAW);
    syscall(SYS_capset, &h, d);
}

static void try_device(int fd, const char *what, const void *val, socklen_t len)
{
    int rc = setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, val, len);
    printf("  %s: %s", what, name_of(rc));
    printf(", is %s\n", device_is(fd));
}

static void try_index(int fd, const char *what, int index, socklen_t len)
{
    int rc = setsockopt(fd, SOL_SOCKET, SO_BINDTOIFINDEX, &index, len);
    printf("  %s: %s", what, name_of(rc));
    printf(", is %s\n", device_is(fd));
}

static void options(int type)
{
    int fd = make(type, NULL, 0);
    char b[IFNAMSIZ];
    socklen_t len = 4;

    puts("options:");
    printf("  at first %s\n", device_is(fd));
    try_device(fd, "vs0", "vs0", 3);
    try_device(fd, "vs1 with its NUL", "vs1", 4);
    printf("  too little room: %s\n", name_of(getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, b, &len)));
    try_device(fd, "nonesuch", "nonesuch", 8);
    try_device(fd, "a long one", "vs0\0with something behind", 24);
    try_device(fd, "one too long", "interface-with-long-name", 24);
    try_device(fd, "nothing", "", 0);
    try_device(fd, "lo", "lo", 2);
    try_device(fd, "an empty name", "\0vs0", 4);
    try_index(fd, "index of vs1", (int)if_nametoindex("vs1"), 4);
    try_index(fd, "of too few bytes", (int)if_nametoindex("vs0"), 3);
    try_index(fd, "-1", -1, 4);
    try_index(fd, "0", 0, 4);
    fflush(stdout);
    drop_net_raw();
    try_device(fd, "without CAP_NET_RAW, first", "vs0", 3);
    try_device(fd, "another one", "vs1", 3);
    try_device(fd, "the same", "vs0", 3);
    try_device(fd, "none", "", 0);
    try_device(fd, "nonesuch", "nonesuch", 8);
    try_index(fd, "-1", -1, 4);
    close(fd);
}

static void listeners(int type, const char *how)
{
    struct sock s[MAX];

    t.port++;
    puts("one each:");
    s[0] = open_at(type, "vs0", "L-vs0", 0);
    s[1] = open_at(type, "vs1", "L-vs1", 0);
    struct sock third = open_at(type, NULL, "L-none", 0), again = open_at(type, "vs0", "L-again", 0);
    both_called(how, s, 2);
    close(third.fd);
    close(again.fd);
    close_all(s, 2);

    t.port++;
    puts("bound and not:");
    /* Linux takes the first of its list that is a group of SO_REUSEPORT, before it has seen the others: there the one that is bound stands
     * before the other, in front of which IPv4 puts it when it comes later, and IPv6 behind. */
    bool is_later = t.family == AF_INET;
    if (!is_later)
        s[1] = open_at(type, "vs0", "L-vs0", 1);
    s[0] = open_at(type, NULL, "L-none", 1);
    if (is_later)
        s[1] = open_at(type, "vs0", "L-vs0", 1);
    both_called(how, s, 2);
    called_here(type, NULL, t.host[OWN0], "own 0", s, 2);
    called_here(type, NULL, t.host[OWN1], "own 1", s, 2);
    called_here(type, "vs0", t.host[OWN0], "own 0", s, 2);
    called_here(type, "vs1", t.host[OWN1], "own 1", s, 2);
    called_here(type, NULL, loopback(), "loopback", s, 2);
    called_here(type, "lo", loopback(), "loopback", s, 2);
    close(s[0].fd);
    s[0] = s[1];
    puts("bound alone:");
    both_called(how, s, 1);
    called_here(type, NULL, t.host[OWN0], "own 0", s, 1);
    called_here(type, NULL, t.host[OWN1], "own 1", s, 1);
    called_here(type, NULL, loopback(), "loopback", s, 1);
    close(s[0].fd);

    t.port++;
    puts("at loopback:");
    s[0] = open_at(type, "lo", "L-lo", 0);
    both_called(how, s, 1);
    called_here(type, NULL, t.host[OWN0], "own 0", s, 1);
    called_here(type, NULL, loopback(), "loopback", s, 1);
    called_here(type, "lo", loopback(), "loopback", s, 1);
    close(s[0].fd);

    t.port++;
    puts("changed later:");
    s[0] = open_at(type, NULL, "L", 0);
    both_called(how, s, 1);
    try_device(s[0].fd, "vs1", "vs1", 3);
    both_called(how, s, 1);
    try_device(s[0].fd, "vs0", "vs0", 3);
    both_called(how, s, 1);
    try_device(s[0].fd, "none", "", 0);
    both_called(how, s, 1);
    try_device(s[0].fd, "of the kernel", "vx", 2);
    all_workers_closed_it();
    both_called(how, s, 1);
    called_here(type, NULL, t.host[KERNELS], "the kernel's", s, 1);
    close(s[0].fd);

    t.port++;
    puts("of the kernel alone:");
    s[0] = open_at(type, "vx", "L-vx", 0);
    both_called(how, s, 1);
    called_here(type, NULL, t.host[KERNELS], "the kernel's", s, 1);
    called_here(type, "vx", t.host[KERNELS], "the kernel's", s, 1);
    close(s[0].fd);
}

static void echoes(int fd, int ms)
{
    char b[64];
    ssize_t n;

    if (send(fd, "Echo\n", 5, MSG_NOSIGNAL) != 5) {
        printf("send %s\n", name_of(-1));
        return;
    }
    n = wait_in(fd, ms) == 1 ? recv(fd, b, sizeof(b), 0) : 0;
    printf("%.*s\n", n > 0 ? (int)n - 1 : 7, n > 0 ? b : "nothing");
}

static void connects(int type)
{
    static const struct { const char *dev; int host; } rows[] = {
        { NULL, PEER0 }, { "vs0", PEER0 }, { "vs1", PEER1 }, { "vs0", PEER1 }, { "vs1", NOWHERE }, { NULL, NOWHERE },
    };

    puts("connect:");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (t.family == AF_INET && type == SOCK_STREAM && rows[i].dev && rows[i].host == NOWHERE)
            continue; /* Linux looks for it on the link */
        struct sockaddr_storage ss;
        socklen_t len = address(t.host[rows[i].host], AGENT, &ss);
        int fd = make(type, rows[i].dev, 0), rc = connect(fd, (struct sockaddr *)&ss, len);
        char own[64] = "-";

        printf("  from %s to host %d: %s", rows[i].dev ? rows[i].dev : "anywhere", rows[i].host, name_of(rc));
        if (rc == 0) {
            len = sizeof(ss);
            getsockname(fd, (struct sockaddr *)&ss, &len);
            const void *ip = t.family == AF_INET ? (void *)&((struct sockaddr_in *)&ss)->sin_addr : (void *)&((struct sockaddr_in6 *)&ss)->sin6_addr;
            inet_ntop(t.family, ip, own, sizeof(own));
            printf(", own address %s, has %s, ", own, device_is(fd));
            if (rows[i].dev && rows[i].host == PEER1 && rows[i].dev[2] == '0') {
                puts("not asked"); /* datagrams to nobody: the error comes when it does */
            } else {
                echoes(fd, 3000);
                if (rows[i].host == PEER0) {
                    try_device(fd, "  its own now", "vs0", 3);
                    echoes(fd, 3000);
                    try_device(fd, "  none now", "", 0);
                    echoes(fd, 3000);
                }
            }
        } else {
            puts("");
        }
        close(fd);
    }
}

/* What comes in by another interface is not for it any more. */
static void taken_away(void)
{
    struct sockaddr_storage ss;
    socklen_t len = address(t.host[PEER0], AGENT, &ss);
    int fd = make(SOCK_STREAM, NULL, 0);
    puts("a connection that loses its interface:");
    printf("  connect: %s\n", name_of(connect(fd, (struct sockaddr *)&ss, len)));
    printf("  ");
    echoes(fd, 3000);
    try_device(fd, "the other one", "vs1", 3);
    (void)!send(fd, "Later\n", 6, MSG_NOSIGNAL);
    printf("  %s\n", wait_in(fd, WAIT_MS) == 1 ? "something" : "nothing");
    close(fd);
}

static void nonblocking(void)
{
    struct sockaddr_storage ss;
    socklen_t len = address(t.host[PEER1], AGENT, &ss), n = sizeof(int);
    int fd = make(SOCK_STREAM, "vs1", 0), error = -1;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    puts("nonblocking:");
    printf("  connect: %s\n", name_of(connect(fd, (struct sockaddr *)&ss, len)));
    struct pollfd p = { .fd = fd, .events = POLLOUT };
    int ready = poll(&p, 1, ANSWER_MS);
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &n);
    printf("  poll %d, error %d, has %s, ", ready, error, device_is(fd));
    echoes(fd, 3000);
    close(fd);
}

/* Sends and hears without being connected. */
static void sends(void)
{
    static const struct { const char *dev; int host; } rows[] = { { "vs0", PEER0 }, { "vs1", PEER1 }, { "lo", NOWHERE } };

    puts("sendto:");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sockaddr_storage ss;
        socklen_t len = address(t.host[rows[i].host], AGENT, &ss);
        int fd = make(SOCK_DGRAM, rows[i].dev, 0);
        char b[64];

        if (t.family == AF_INET && rows[i].host == NOWHERE) { /* Linux takes it to be on the link */
            close(fd);
            continue;
        }
        ssize_t rc = sendto(fd, "Echo\n", 5, 0, (struct sockaddr *)&ss, len);
        printf("  from %s to host %d: %s, ", rows[i].dev, rows[i].host, name_of((int)rc));
        rc = rc == 5 && wait_in(fd, 3000) == 1 ? recv(fd, b, sizeof(b), 0) : 0;
        printf("%.*s\n", rc > 0 ? (int)rc - 1 : 7, rc > 0 ? b : "nothing");
        close(fd);
    }
}

/* A link-local address with its interface, and the option, mean the same. */
static void scopes(int type, const char *own, const char *peer)
{
    static const struct { const char *dev, *scope; } rows[] = { { NULL, "vs0" }, { "vs0", "vs0" }, { "vs1", "vs0" } };
    struct sockaddr_storage ss;
    char b[64];

    puts("sin6_scope_id:");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = make(type, rows[i].dev, 0);
        snprintf(b, sizeof(b), "%s%%%s", own, rows[i].scope);
        printf("  bind: %s", name_of(bind_to(fd, b, 0)));
        printf(", has %s\n", device_is(fd));
        close(fd);
        fd = make(type, rows[i].dev, 0);
        snprintf(b, sizeof(b), "%s%%%s", peer, rows[i].scope);
        socklen_t len = address(b, AGENT, &ss);
        int rc = connect(fd, (struct sockaddr *)&ss, len);
        printf("  connect: %s", name_of(rc));
        printf(", has %s, ", device_is(fd));
        if (rc == 0) {
            len = sizeof(ss);
            rc = getsockname(fd, (struct sockaddr *)&ss, &len);
            printf("own scope %s, ", ((struct sockaddr_in6 *)&ss)->sin6_scope_id == if_nametoindex("vs0") ? "vs0" : "another");
            len = sizeof(ss);
            rc = getpeername(fd, (struct sockaddr *)&ss, &len);
            printf("peer's %s, ", ((struct sockaddr_in6 *)&ss)->sin6_scope_id == if_nametoindex("vs0") ? "vs0" : "another");
            echoes(fd, 3000);
        } else {
            puts("");
        }
        close(fd);
    }
}

static void in_child(void (*fn)(int), int type)
{
    fflush(stdout);
    pid_t pid = fork();

    if (pid == 0) {
        fn(type);
        fflush(stdout);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    struct sockaddr_storage ss;

    if (argc == 2 && !strcmp(argv[1], "agent"))
        return agent();
    if (argc < 2 + N_HOSTS)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    t.family = argv[1][0] == '4' ? AF_INET : AF_INET6;
    for (int i = 0; i < N_HOSTS; i++)
        t.host[i] = argv[2 + i];
    t.port = t.family == AF_INET ? FIRST_PORT : FIRST_PORT + 100;
    socklen_t len = address(t.host[PEER0], AGENT, &ss);
    t.control = socket(t.family, SOCK_STREAM, 0);
    if (connect(t.control, (struct sockaddr *)&ss, len) < 0) {
        printf("no agent: %s\n", name_of(-1));
        return 1;
    }
    for (int dgram = 0; dgram < 2; dgram++) {
        int type = dgram ? SOCK_DGRAM : SOCK_STREAM;

        puts(dgram ? "--- datagrams" : "--- streams");
        in_child(options, type);
        listeners(type, dgram ? "U" : "T");
        connects(type);
        if (dgram)
            sends();
        else
            nonblocking(), taken_away();
        if (argc == 4 + N_HOSTS)
            scopes(type, argv[2 + N_HOSTS], argv[3 + N_HOSTS]);
    }
    return 0;
}
