/* jump_probe.c - signal handlers that come in the middle of calls on sockets: they leave by siglongjmp(), or make such calls themselves
 * usage: jump_probe peer ADDRESS PORT     sends back what it gets, until it is killed; says "ready"
 *        jump_probe try ADDRESS PORT OWN-ADDRESS NOWHERE   prints a line for each case; the same text over any stack
 * NOWHERE: an address of the link that nobody has.
 *
 * A timer of a fifth of a millisecond strikes until so many handlers have run. Afterwards a new connection must do all that one does, the thread's
 * mask must be what it was, and the peer, once all descriptors are closed, must have no connection left. A lock still held would stop the
 * program: whoever runs it sets a limit. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "tests/system/probe_socket.h"

enum { STRIKES = 300, TICK_NS = 200000, PIECE = 4096, PATIENCE_MS = 30000, QUEUED = 1000 };

static const char *peer_address, *own_address, *nowhere;
static int peer_port, first_fd;

static void pause_ms(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

/* ---- the peer: the first byte of a connection says what it is for ---- */

static atomic_int n_open, n_go;

/* Has bytes that it does not read, and closes when it is told to: a reset. */
static void peer_resets(int fd)
{
    int before = atomic_load(&n_go);
    if (send(fd, "w", 1, MSG_NOSIGNAL) != 1 || poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, PATIENCE_MS) != 1)
        return;
    for (int i = 0; atomic_load(&n_go) == before && i < PATIENCE_MS; i++)
        pause_ms(1);
}

static void *peer_serve(void *arg)
{
    static __thread char buf[65536];
    int fd = (int)(intptr_t)arg;
    char what = 0;
    ssize_t n;
    if (read(fd, &what, 1) == 1 && what == '?') {
        char left = atomic_load(&n_open) != 0;
        if (write(fd, &left, 1) < 0)
            perror("answer");
        close(fd);
        return NULL;
    }
    if (what == '!')
        atomic_fetch_add(&n_go, 1);
    atomic_fetch_add(&n_open, 1);
    if (what == 'w')
        peer_resets(fd);
    if (what == '+' && send(fd, &what, 1, MSG_NOSIGNAL) == 1)
        while ((n = read(fd, buf, sizeof(buf))) > 0 && send(fd, buf, (size_t)n, MSG_NOSIGNAL) == n)
            ;
    close(fd);
    atomic_fetch_sub(&n_open, 1);
    return NULL;
}

static int peer_run(const char *address, int port)
{
    int l = made(address, port, SOCK_STREAM, true), fd;
    pthread_attr_t attr;
    pthread_t t;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (listen(l, 1024) != 0)
        die("listen");
    puts("ready");
    fflush(stdout);
    while ((fd = accept(l, NULL, NULL)) >= 0 || errno == ECONNABORTED || errno == EINTR)
        if (fd >= 0 && pthread_create(&t, &attr, peer_serve, (void *)(intptr_t)fd) != 0)
            close(fd);
    die("accept");
    return 1;
}

/* ---- connections ---- */

static bool recv_all(int fd, void *buf, size_t len) { return recv(fd, buf, len, MSG_WAITALL) == (ssize_t)len; }

static int connected(void)
{
    char c = '+';
    int fd = made(peer_address, peer_port, SOCK_STREAM, false);
    if (send(fd, &c, 1, 0) != 1 || !recv_all(fd, &c, 1))
        die("the peer says hello");
    return fd;
}

static bool peer_has_any(void)
{
    char c = '?';
    int fd = made(peer_address, peer_port, SOCK_STREAM, false);
    if (send(fd, &c, 1, 0) != 1 || !recv_all(fd, &c, 1))
        die("the peer says how many");
    close(fd);
    return c;
}

/* A listener of our own; its address in *sa. */
static int own_listener(struct sockaddr_storage *sa, socklen_t *len)
{
    int l = made(own_address, 0, SOCK_STREAM, true);
    *len = sizeof(*sa);
    if (listen(l, 64) != 0 || getsockname(l, (struct sockaddr *)sa, len) != 0)
        die("listen");
    return l;
}

static void nonblock(int fd) { fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK); }

/* ---- the timer ---- */

static sigjmp_buf out;
static volatile sig_atomic_t strikes, bad_info, jumps;
static timer_t timer;
static void (*volatile in_handler)(void);

static void strike(int sig, siginfo_t *info, void *context)
{
    (void)context;
    strikes = strikes + 1;
    if (sig != SIGRTMIN || info->si_signo != sig || info->si_code != SI_TIMER || info->si_value.sival_int != 4711)
        bad_info = bad_info + 1;
    if (in_handler)
        in_handler();
    if (jumps)
        siglongjmp(out, 1);
}

static void strikes_begin(bool jump, int flags)
{
    struct sigaction act = { .sa_sigaction = strike, .sa_flags = SA_SIGINFO | flags };
    struct sigevent ev = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 4711 };
    strikes = bad_info = 0;
    jumps = jump;
    if (sigaction(SIGRTMIN, &act, NULL) != 0 || timer_create(CLOCK_MONOTONIC, &ev, &timer) != 0 ||
        timer_settime(timer, 0, &(struct itimerspec){ { 0, TICK_NS }, { 0, TICK_NS } }, NULL) != 0)
        die("timer");
}

static void strikes_end(void)
{
    in_handler = NULL;
    jumps = 0;
    timer_delete(timer);
    signal(SIGRTMIN, SIG_IGN); /* and what is still to come */
}

static const char *mask_is(void)
{
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    for (int sig = 1; sig < NSIG; sig++)
        if (sigismember(&now, sig) == 1)
            return "NOT as before";
    return "as before";
}

/* A connection does what one does. */
static const char *works(void)
{
    static char a[PIECE * 4], b[PIECE * 4];
    int fd = connected();
    for (size_t i = 0; i < sizeof(a); i++)
        a[i] = (char)(i * 7 + i / 251);
    bool ok = send(fd, a, sizeof(a), 0) == sizeof(a) && recv_all(fd, b, sizeof(b)) && memcmp(a, b, sizeof(a)) == 0 &&
              poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, PATIENCE_MS) == 1;
    close(fd);
    return ok ? "works" : "does NOT work";
}

/* ---- handlers that jump ---- */

static volatile int fd, l, ep; /* of the case */
static volatile bool is_nonblock;
static struct sockaddr_storage l_addr, far_addr;
static socklen_t l_len, far_len;

static void setup_pair(void)
{
    fd = connected();
    if (is_nonblock)
        nonblock(fd);
}
static void setup_listener(void)
{
    l = own_listener(&l_addr, &l_len);
    if (is_nonblock)
        nonblock(l);
}
static void setup_set(void)
{
    setup_pair();
    ep = epoll_create1(0);
    struct epoll_event ev = { .events = EPOLLIN };
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
        die("epoll_ctl");
}
static void setup_far(void)
{
    struct sockaddr_in *a4 = (struct sockaddr_in *)&far_addr;
    struct sockaddr_in6 *a6 = (struct sockaddr_in6 *)&far_addr;
    memset(&far_addr, 0, sizeof(far_addr));
    bool is_v6 = strchr(nowhere, ':') != NULL;
    far_addr.ss_family = is_v6 ? AF_INET6 : AF_INET;
    far_len = is_v6 ? sizeof(*a6) : sizeof(*a4);
    inet_pton(far_addr.ss_family, nowhere, is_v6 ? (void *)&a6->sin6_addr : (void *)&a4->sin_addr);
    a4->sin_port = htons(9); /* the same place in both */
}
static int fresh(int family)
{
    return socket(family, SOCK_STREAM | (is_nonblock ? SOCK_NONBLOCK : 0), 0);
}

static char buf[PIECE];

static void step_send(void) { send(fd, buf, sizeof(buf), MSG_NOSIGNAL); }
static void step_echo(void)
{
    send(fd, buf, sizeof(buf), MSG_NOSIGNAL);
    recv(fd, buf, sizeof(buf), 0);
}
static void step_recv(void) { recv(fd, buf, sizeof(buf), 0); }
static void step_vectors(void)
{
    struct iovec iov[2] = { { buf, 100 }, { buf + 100, 1000 } };
    struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
    if (writev(fd, iov, 2) > 0)
        recvmsg(fd, &m, MSG_DONTWAIT);
    if (readv(fd, iov, 2) > 0)
        sendmsg(fd, &m, MSG_NOSIGNAL);
}
static void step_poll(void) { poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, is_nonblock ? 0 : -1); }
static void step_select(void)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd, &set);
    select(fd + 1, &set, NULL, NULL, is_nonblock ? &(struct timeval){ 0, 10 } : NULL);
}
static void step_epoll(void) { epoll_wait(ep, (struct epoll_event[4]){ 0 }, 4, is_nonblock ? 0 : -1); }
static void step_epoll_ctl(void)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
    epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
    epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev);
    epoll_wait(ep, &ev, 1, 0);
}
static void step_accept(void)
{
    int a = accept(l, NULL, NULL);
    if (a >= 0)
        close(a);
}
static void step_connect(void)
{
    int s = fresh(l_addr.ss_family);
    if (s >= 0) {
        connect(s, (struct sockaddr *)&l_addr, l_len);
        close(s);
    }
    while ((s = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0 && !is_nonblock)
        close(s);
    if (s >= 0)
        close(s);
}
static void step_far(void)
{
    int s = fresh(far_addr.ss_family);
    if (s >= 0) {
        connect(s, (struct sockaddr *)&far_addr, far_len);
        close(s);
    }
}
static void step_options(void)
{
    struct sockaddr_storage sa;
    socklen_t len = sizeof(sa);
    int v = 1;
    getsockname(fd, (struct sockaddr *)&sa, &len);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v));
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL));
    int copy = dup(fd);
    if (copy >= 0)
        close(copy);
}

/* what is left open by a jump is closed now and then, as a program would that knows its descriptors */
static void close_from(int first)
{
    for (int at = first; at < first + 400; at++)
        close(at);
}

static const struct jump_case {
    const char *name;
    void (*setup)(void), (*step)(void);
    bool makes_fds;
} jump_cases[] = {
    { "send", setup_pair, step_send, false },         { "send and recv", setup_pair, step_echo, false },
    { "recv", setup_pair, step_recv, false },         { "vectors", setup_pair, step_vectors, false },
    { "poll", setup_pair, step_poll, false },         { "select", setup_pair, step_select, false },
    { "epoll_wait", setup_set, step_epoll, false },   { "epoll_ctl", setup_set, step_epoll_ctl, false },
    { "accept", setup_listener, step_accept, false }, { "connect, accept, close", setup_listener, step_connect, true },
    { "connect to nobody", setup_far, step_far, true }, { "options, dup", setup_pair, step_options, true },
};

static void jump_run(const struct jump_case *c, bool nonblocking)
{
    is_nonblock = nonblocking;
    fd = l = ep = -1;
    c->setup();
    int volatile base = dup(0);
    close(base);
    if (sigsetjmp(out, 1) == 0)
        strikes_begin(true, 0);
    while (strikes < STRIKES) {
        if (c->makes_fds && strikes % 16 == 15)
            close_from(base);
        c->step();
    }
    strikes_end();
    close_from(first_fd);
    printf("%s, %s: the mask is %s, the signal %s, a connection %s\n", c->name, nonblocking ? "without blocking" : "blocking", mask_is(),
           bad_info ? "is NOT the timer's" : "is the timer's", works());
    fflush(stdout);
}

/* ---- handlers that call ---- */

static int other; /* another connection; fd is the interrupted one's */
static volatile long sent, other_sent, got;

static void calls_send(void)
{
    int saved = errno;
    ssize_t n = send(fd, "handler", 7, MSG_DONTWAIT | MSG_NOSIGNAL);
    sent += n > 0 ? n : 0;
    n = send(other, "other", 5, MSG_DONTWAIT | MSG_NOSIGNAL);
    other_sent += n > 0 ? n : 0;
    errno = saved;
}
static void calls_read(void)
{
    char b[64];
    int saved = errno;
    ssize_t n = recv(fd, b, sizeof(b), MSG_DONTWAIT);
    got += n > 0 ? n : 0;
    poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0);
    n = write(other, b, 1);
    other_sent += n > 0 ? n : 0;
    errno = saved;
}
static void calls_close(void)
{
    int saved = errno, s = socket(l_addr.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(s, (struct sockaddr *)&l_addr, l_len);
    close(s);
    s = accept(l, NULL, NULL);
    if (s >= 0)
        close(s);
    errno = saved;
}

/* Every byte that a call has said it sent comes back. */
static const char *drained(int s, long n)
{
    char b[PIECE];
    ssize_t r;
    shutdown(s, SHUT_WR);
    while ((r = recv(s, b, sizeof(b), 0)) > 0)
        n -= r;
    return r == 0 && n == 0 ? "all came back" : "NOT all came back";
}

static void call_run(const char *name, void (*calls)(void), int flags)
{
    int n_written = 0;
    fd = connected();
    other = connected();
    l = own_listener(&l_addr, &l_len);
    nonblock(l);
    sent = other_sent = got = 0;
    in_handler = calls;
    strikes_begin(false, flags);
    while (strikes < STRIKES) {
        /* Sizes change; handlers in between change the counters by themselves, so that they are added up with the signal blocked. */
        ssize_t n = send(fd, buf, (size_t)(1 + n_written++ * 37 % 900), MSG_NOSIGNAL), r = 0;
        poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1);
        r = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
        char c[64];
        ssize_t o = recv(other, c, sizeof(c), MSG_DONTWAIT);
        sigset_t one, before;
        sigemptyset(&one);
        sigaddset(&one, SIGRTMIN);
        sigprocmask(SIG_BLOCK, &one, &before);
        sent += n > 0 ? n : 0;
        got += r > 0 ? r : 0;
        other_sent -= o > 0 ? o : 0;
        sigprocmask(SIG_SETMASK, &before, NULL);
    }
    strikes_end();
    const char *mine = drained(fd, sent - got), *others = drained(other, other_sent);
    close_from(first_fd);
    printf("a handler %s%s: of its connection %s, of another %s, the mask is %s, a connection %s\n", name, flags & SA_RESTART ? " (SA_RESTART)" : "",
           mine, others, mask_is(), works());
    fflush(stdout);
}

/* ---- what a program can see of its handlers ---- */

static volatile sig_atomic_t order, order_bad, in_mask_bad, runs;

static void numbered(int sig, siginfo_t *info, void *context)
{
    sigset_t now;
    (void)context;
    sigprocmask(SIG_SETMASK, NULL, &now);
    if (!sigismember(&now, sig) || !sigismember(&now, SIGUSR2) || sigismember(&now, SIGUSR1))
        in_mask_bad = in_mask_bad + 1;
    if (info->si_code != SI_QUEUE || info->si_pid != getpid() || info->si_value.sival_int != order)
        order_bad = order_bad + 1;
    order = order + 1;
}
static void counted(int sig)
{
    (void)sig;
    runs = runs + 1;
}
static void nothing(int sig) { (void)sig; }

static pthread_t victim;
static atomic_bool stop;

static void *queue_run(void *arg)
{
    (void)arg;
    for (int i = 0; i < QUEUED;)
        if (pthread_sigqueue(victim, SIGRTMIN + 1, (union sigval){ .sival_int = i }) == 0)
            i++;
        else
            pause_ms(1); /* EAGAIN: so many are waiting */
    return NULL;
}

static void queue_case(void)
{
    struct sigaction act = { .sa_sigaction = numbered, .sa_flags = SA_SIGINFO | SA_RESTART };
    pthread_t t;
    sigaddset(&act.sa_mask, SIGUSR2);
    sigaction(SIGRTMIN + 1, &act, NULL);
    fd = connected();
    order = order_bad = in_mask_bad = 0;
    victim = pthread_self();
    pthread_create(&t, NULL, queue_run, NULL);
    while (order < QUEUED) {
        send(fd, buf, 100, MSG_NOSIGNAL);
        poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 1);
        recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
    }
    pthread_join(t, NULL);
    close(fd);
    printf("%d queued signals: %d out of order, %d under another mask, the mask is %s\n", order, order_bad, in_mask_bad, mask_is());
    fflush(stdout);
}

/* Strikes until it is told to stop: with `sig` of the kind that the case asks for. */
static void *kill_run(void *arg)
{
    while (!atomic_load(&stop)) {
        pthread_kill(victim, (int)(intptr_t)arg);
        pause_ms(1);
    }
    return NULL;
}
/* Strikes fifty times, then sends what the victim waits for. */
static void *restart_run(void *arg)
{
    for (int before = 0; runs < 50; before = runs) {
        pthread_kill(victim, SIGUSR1);
        for (int i = 0; runs == before && i < PATIENCE_MS; i++)
            pause_ms(1);
    }
    if (send((int)(intptr_t)arg, "x", 1, 0) != 1)
        perror("send");
    return NULL;
}

static void restart_case(void)
{
    struct sigaction act = { .sa_handler = counted, .sa_flags = SA_RESTART };
    struct sigaction plain = { .sa_handler = nothing };
    pthread_t t;
    char c = 0;
    sigaction(SIGUSR1, &act, NULL);
    sigaction(SIGUSR2, &plain, NULL); /* one without SA_RESTART: it does not come */
    victim = pthread_self();
    fd = connected();
    runs = 0;
    pthread_create(&t, NULL, restart_run, (void *)(intptr_t)fd);
    ssize_t r = recv(fd, &c, 1, 0);
    pthread_join(t, NULL);
    printf("SA_RESTART: recv gives %zd, after %s handlers\n", r, runs >= 50 ? "all" : "NOT all");
    atomic_store(&stop, false);
    pthread_create(&t, NULL, kill_run, (void *)(intptr_t)SIGUSR2);
    r = recv(fd, &c, 1, 0);
    int e = r < 0 ? errno : 0;
    atomic_store(&stop, true);
    pthread_join(t, NULL);
    printf("without it: recv gives %zd, %s\n", r, e ? strerrorname_np(e) : "0");
    atomic_store(&stop, false);
    pthread_create(&t, NULL, kill_run, (void *)(intptr_t)SIGUSR1); /* no wait of this kind is ever made again */
    r = poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1);
    e = r < 0 ? errno : 0;
    atomic_store(&stop, true);
    pthread_join(t, NULL);
    printf("poll with SA_RESTART gives %zd, %s\n", r, e ? strerrorname_np(e) : "0");
    close(fd);
    fflush(stdout);
}

/* Blocked, but for the time of a ppoll(), an epoll_pwait(), a pselect(). */
static volatile sig_atomic_t in_wait, outside;

static void waited(int sig)
{
    (void)sig;
    if (!in_wait)
        outside = outside + 1;
    runs = runs + 1;
}

static void masked_case(void)
{
    struct sigaction act = { .sa_handler = waited, .sa_flags = SA_RESTART };
    sigset_t one, none;
    pthread_t t;
    int bad = 0, e;
    fd_set set;
    is_nonblock = false;
    setup_set();
    sigemptyset(&none);
    sigemptyset(&one);
    sigaddset(&one, SIGUSR1);
    sigaction(SIGUSR1, &act, NULL);
    sigprocmask(SIG_BLOCK, &one, NULL);
    victim = pthread_self();
    runs = outside = 0;
    atomic_store(&stop, false);
    pthread_create(&t, NULL, kill_run, (void *)(intptr_t)SIGUSR1);
    for (int i = 0; i < 60; i++) {
        int before = runs, r;
        in_wait = 1;
        FD_ZERO(&set);
        FD_SET(fd, &set);
        r = i % 3 == 0   ? ppoll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, NULL, &none)
            : i % 3 == 1 ? epoll_pwait(ep, (struct epoll_event[1]){ 0 }, 1, -1, &none)
                         : pselect(fd + 1, &set, NULL, NULL, NULL, &none);
        e = errno;
        in_wait = 0;
        bad += r != -1 || e != EINTR || runs == before;
        if (send(fd, buf, 10, 0) != 10 || !recv_all(fd, buf, 10))
            bad += 1000;
    }
    atomic_store(&stop, true);
    pthread_join(t, NULL);
    sigset_t now;
    sigprocmask(SIG_SETMASK, NULL, &now);
    bool still = sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2);
    signal(SIGUSR1, SIG_IGN);
    sigprocmask(SIG_SETMASK, &none, NULL);
    close(ep);
    close(fd);
    printf("waits with a mask: %d wrong, %d handlers outside of them, the mask is %s\n", bad, outside, still ? "as before" : "NOT as before");
    fflush(stdout);
}

/* A write that sleeps is cut short by a reset: it says how much it wrote, the next one why, and only the one after that raises SIGPIPE. */
static atomic_int writer;

static bool is_asleep(int tid)
{
    char path[64], line[256];
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", tid);
    FILE *f = fopen(path, "r");
    const char *state = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
    bool yes = state && state[2] == 'S';
    if (f)
        fclose(f);
    return yes;
}

static void *reset_run(void *arg)
{
    for (int i = 0, seen = 0; i < PATIENCE_MS && seen < 50; i++, pause_ms(1))
        seen = atomic_load(&writer) && is_asleep(atomic_load(&writer)) ? seen + 1 : 0;
    int go = made(peer_address, peer_port, SOCK_STREAM, false);
    if (send(go, "!", 1, 0) != 1)
        perror("send");
    close(go);
    return arg;
}

static void reset_case(void)
{
    enum { TOO_MUCH = 64 << 20 };
    static char much[TOO_MUCH];
    pthread_t t;
    char c = 'w';
    fd = made(peer_address, peer_port, SOCK_STREAM, false);
    if (send(fd, &c, 1, 0) != 1 || !recv_all(fd, &c, 1))
        die("the peer says hello");
    signal(SIGPIPE, counted);
    runs = 0;
    pthread_create(&t, NULL, reset_run, NULL);
    atomic_store(&writer, gettid());
    ssize_t n = write(fd, much, sizeof(much));
    pthread_join(t, NULL);
    printf("a reset while it writes: %s", n > 0 && n < TOO_MUCH ? "a part" : n > 0 ? "ALL, and not a part" : "NOT a part");
    for (int i = 0; i < 3; i++) {
        n = write(fd, much, 10);
        printf(", %s with %d SIGPIPE", n < 0 ? strerrorname_np(errno) : "written", runs);
    }
    n = read(fd, much, 10);
    printf(", read %zd\n", n);
    signal(SIGPIPE, SIG_DFL);
    close(fd);
    fflush(stdout);
}

static void told(const char *what, int sig)
{
    struct sigaction now;
    int usual = SA_SIGINFO | SA_RESTART | SA_NODEFER | SA_ONSTACK | SA_NOCLDSTOP | (int)SA_RESETHAND;
    sigaction(sig, NULL, &now);
    printf("%s: handler %s, flags %x, mask %d%d\n", what,
           now.sa_handler == counted              ? "counted"
           : now.sa_sigaction == numbered         ? "numbered"
           : now.sa_handler == SIG_IGN            ? "ignored"
           : now.sa_handler == SIG_DFL            ? "default"
                                                  : "another",
           now.sa_flags & usual, sigismember(&now.sa_mask, sig), sigismember(&now.sa_mask, SIGUSR2));
}

static void *once_run(void *arg)
{
    (void)arg;
    for (int i = 0; i < 100; i++)
        pthread_kill(victim, SIGURG);
    atomic_store(&stop, true);
    return NULL;
}

/* Old names, which the headers warn of. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

/* What is said of handlers is what was set; one with SA_RESETHAND runs once. */
static void set_case(void)
{
    struct sigaction act = { .sa_sigaction = numbered, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER };
    pthread_t t;
    told("SIGURG at first", SIGURG);
    sigaddset(&act.sa_mask, SIGUSR2);
    sigaction(SIGURG, &act, NULL);
    told("sigaction", SIGURG);
    printf("signal says %s\n", signal(SIGURG, counted) == act.sa_handler ? "numbered" : "another");
    told("signal", SIGURG);
    siginterrupt(SIGURG, 1);
    told("siginterrupt", SIGURG);
    signal(SIGURG, counted);
    told("signal again", SIGURG);
    siginterrupt(SIGURG, 0);
    printf("sigset says %s\n", sigset(SIGURG, SIG_HOLD) == counted ? "counted" : "another");
    printf("and %s\n", sigset(SIGURG, counted) == SIG_HOLD ? "held" : "another");
    told("sigset", SIGURG);
    printf("sysv_signal says %s\n", sysv_signal(SIGURG, counted) == counted ? "counted" : "another");
    told("sysv_signal", SIGURG);
    fd = connected();
    victim = pthread_self();
    runs = 0;
    atomic_store(&stop, false);
    pthread_create(&t, NULL, once_run, NULL);
    while (!atomic_load(&stop)) {
        send(fd, buf, 10, MSG_NOSIGNAL | MSG_DONTWAIT);
        recv(fd, buf, sizeof(buf), MSG_DONTWAIT);
    }
    pthread_join(t, NULL);
    close(fd);
    printf("its handler ran %d times\n", runs);
    told("then", SIGURG);
    int rc = sigaction(SIGKILL, &act, NULL);
    printf("SIGKILL: %d, %s\n", rc, strerrorname_np(errno));
    fflush(stdout);
}

static void try_all(void)
{
    for (unsigned i = 0; i < sizeof(jump_cases) / sizeof(*jump_cases); i++) {
        jump_run(&jump_cases[i], false);
        jump_run(&jump_cases[i], true);
    }
    for (int i = 0; i < 2; i++) {
        call_run("sends", calls_send, i ? SA_RESTART : 0);
        call_run("reads", calls_read, i ? SA_RESTART : 0);
        call_run("connects and closes", calls_close, i ? SA_RESTART : 0);
    }
    queue_case();
    restart_case();
    masked_case();
    reset_case();
    set_case();
    for (int i = 0; peer_has_any() && i < PATIENCE_MS / 10; i++)
        pause_ms(10);
    printf("at the peer: %s\n", peer_has_any() ? "connections are LEFT" : "nothing is left");
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "peer") == 0)
        return peer_run(argv[2], atoi(argv[3]));
    if (argc != 6)
        return 2;
    peer_address = argv[2];
    peer_port = atoi(argv[3]);
    own_address = argv[4];
    nowhere = argv[5];
    first_fd = dup(0);
    close(first_fd);
    try_all();
    return 0;
}
