/* sets.c - epoll sets inside of others, while something comes for sockets that are in none of them; numbers that get another file while
 * poll() or select() sleeps: run with and without the preload library, the two outputs must be the same (stack_same_test.sh) */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/unit/preload/calls.h"

enum { ROUNDS = 50 };

/* Another process: what it sends comes by the program's doorbell. */
struct other {
    int fd;        /* its connection */
    int go, gone;  /* pipes: a byte makes it send one, and says that it has */
    pid_t pid;
};

static void other_run(int l, int go, int gone)
{
    char c;
    int fd = accept(l, NULL, NULL);
    while (fd >= 0 && read(go, &c, 1) == 1)
        if (write(fd, "o", 1) != 1 || write(gone, "g", 1) != 1)
            _exit(1);
    _exit(0);
}

static struct other other_begin(void)
{
    int port, l = listener(&port), go[2], gone[2];
    struct other o;
    SHOW(pipe(go));
    SHOW(pipe(gone));
    fflush(stdout);
    o.pid = fork();
    if (o.pid == 0) {
        close(go[1]);
        other_run(l, go[0], gone[1]);
    }
    struct sockaddr_in sa = loopback(port);
    o.fd = (int)SHOW(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(connect(o.fd, (struct sockaddr *)&sa, sizeof(sa)));
    SHOW(close(l));
    close(go[0]);
    close(gone[1]);
    o.go = go[1];
    o.gone = gone[0];
    return o;
}

static bool other_sends(const struct other *o)
{
    char c;
    return write(o->go, "g", 1) == 1 && read(o->gone, &c, 1) == 1;
}

static bool other_is_read(const struct other *o)
{
    char c;
    return read(o->fd, &c, 1) == 1 && c == 'o';
}

static void other_end(const struct other *o)
{
    int status;
    close(o->go);
    SHOW(waitpid(o->pid, &status, 0) == o->pid);
    SHOW(status);
    close(o->gone);
    SHOW(close(o->fd));
}

static int add(int outer, int fd, uint32_t events, uint64_t data)
{
    return epoll_ctl(outer, EPOLL_CTL_ADD, fd, &(struct epoll_event){ .events = events, .data.u64 = data });
}

/* How often of ROUNDS times a set said to be ready, though nothing had come for a socket in it. */
struct told { int wait, poll, select; };

static struct told tell_nothing(const struct other *o, int outer)
{
    struct told t = { 0 };
    struct epoll_event got;
    for (int i = 0; i < ROUNDS; i++) {
        struct pollfd p = { .fd = outer, .events = POLLIN };
        fd_set rd;
        FD_ZERO(&rd);
        FD_SET(outer, &rd);
        if (!other_sends(o))
            t.wait += 1000;
        if (i % 3 == 0)
            t.wait += epoll_wait(outer, &got, 1, i % 2 ? 1 : 0);
        else if (i % 3 == 1)
            t.poll += poll(&p, 1, 0);
        else
            t.select += select(outer + 1, &rd, NULL, NULL, &(struct timeval){ 0 });
        if (!other_is_read(o))
            t.wait += 1000;
    }
    return t;
}

struct waiter {
    int outer, n;
    struct epoll_event got;
    _Atomic bool returned;
};

static void *wait_for_ever(void *arg)
{
    struct waiter *w = arg;
    w->n = epoll_wait(w->outer, &w->got, 1, -1);
    atomic_store(&w->returned, true);
    return NULL;
}

static void sleep_on(const struct other *o, int outer, int a)
{
    struct waiter w = { .outer = outer };
    pthread_t t;
    pthread_create(&t, NULL, wait_for_ever, &w);
    int bad = 0;
    for (int i = 0; i < ROUNDS; i++)
        bad += !other_sends(o) || !other_is_read(o);
    SHOW(bad);
    SHOW(atomic_load(&w.returned));
    SHOW(write(a, "x", 1));
    pthread_join(t, NULL);
    SHOW(w.n);
    SHOW(w.got.data.u64);
    SHOW(w.got.events);
}

/* depth: sets between the outermost and the one with the socket; events: what the outermost asks for besides EPOLLIN */
static void test_others(unsigned depth, uint32_t events)
{
    int port, l = listener(&port), a, b, inner, outer, k[2];
    char c;
    struct epoll_event got;
    printf("%u sets between, %x\n", depth, events);
    pair_up(l, port, &a, &b);
    struct other o = other_begin();
    SHOW(pipe(k));
    inner = (int)SHOW(epoll_create1(EPOLL_CLOEXEC));
    SHOW(add(inner, b, EPOLLIN, 1));
    SHOW(add(inner, k[0], EPOLLIN, 2));
    for (unsigned i = 0; i < depth; i++) {
        int next = (int)SHOW(epoll_create1(EPOLL_CLOEXEC));
        SHOW(add(next, inner, EPOLLIN, 3));
        inner = next;
    }
    outer = (int)SHOW(epoll_create1(EPOLL_CLOEXEC));
    SHOW(add(outer, inner, EPOLLIN | events, 0x123456789abcdef0));
    struct told t = tell_nothing(&o, outer);
    SHOW(t.wait);
    SHOW(t.poll);
    SHOW(t.select);
    sleep_on(&o, outer, a);
    SHOW(read(b, &c, 1));
    SHOW(epoll_wait(outer, &got, 1, 0));
    if (events & EPOLLONESHOT) /* spent by the real event, and only by that */
        SHOW(epoll_ctl(outer, EPOLL_CTL_MOD, inner, &(struct epoll_event){ .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 5 }));
    SHOW(write(k[1], "k", 1)); /* a descriptor of the kernel's */
    SHOW(epoll_wait(outer, &got, 1, 60000));
    SHOW(got.data.u64);
    SHOW(epoll_ctl(outer, EPOLL_CTL_DEL, inner, NULL));
    SHOW(epoll_wait(outer, &got, 1, 0));
    SHOW(epoll_ctl(outer, EPOLL_CTL_DEL, inner, NULL));
    other_end(&o);
    closefrom(3);
}

/* Of entries with the same data none hides another. */
static void test_same_data(void)
{
    int port, l = listener(&port), a, b, inner[2], outer, k[2];
    struct epoll_event got[4];
    pair_up(l, port, &a, &b);
    struct other o = other_begin();
    SHOW(pipe(k));
    outer = (int)SHOW(epoll_create1(0));
    for (int i = 0; i < 2; i++) {
        inner[i] = (int)SHOW(epoll_create1(0));
        SHOW(add(outer, inner[i], EPOLLIN, 0));
        SHOW(add(outer, inner[i], EPOLLIN, 0));
    }
    SHOW(add(inner[0], b, EPOLLIN, 1));
    SHOW(add(inner[1], k[0], EPOLLIN, 1));
    SHOW(add(outer, k[0], EPOLLIN, 0));
    SHOW(other_sends(&o));
    SHOW(epoll_wait(outer, got, 4, 0));
    SHOW(write(k[1], "k", 1));
    SHOW(epoll_wait(outer, got, 4, 0));
    SHOW(got[0].data.u64 | got[1].data.u64);
    SHOW(write(a, "x", 1));
    SHOW(epoll_wait(outer, got, 4, 60000));
    SHOW(close(inner[1]));
    SHOW(epoll_wait(outer, got, 4, 0));
    inner[1] = (int)SHOW(epoll_create1(0)); /* the same number, another set */
    SHOW(add(outer, inner[1], EPOLLIN, 9));
    SHOW(add(inner[1], b, EPOLLIN, 1));
    SHOW(add(inner[0], outer, EPOLLIN, 1));
    SHOW(add(outer, outer, EPOLLIN, 1));
    SHOW(epoll_wait(outer, got, 4, 0));
    SHOW(got[0].data.u64 + got[1].data.u64 + got[2].data.u64);
    other_end(&o);
    closefrom(3);
}

/* The number that a set was made by goes, another stays. */
static void test_other_number(void)
{
    int port, l = listener(&port), a, b, ep, copy, outer;
    struct epoll_event got;
    char c;
    pair_up(l, port, &a, &b);
    ep = (int)SHOW(epoll_create1(0));
    SHOW(add(ep, b, EPOLLIN, 7));
    copy = (int)SHOW(dup(ep));
    SHOW(close(ep));
    SHOW(epoll_wait(copy, &got, 1, 0));
    SHOW(write(a, "x", 1));
    SHOW(epoll_wait(copy, &got, 1, 60000));
    SHOW(got.data.u64);
    outer = (int)SHOW(epoll_create1(0));
    SHOW(add(outer, copy, EPOLLIN, 8));
    SHOW(epoll_wait(outer, &got, 1, 60000));
    SHOW(got.data.u64);
    SHOW(read(b, &c, 1));
    SHOW(epoll_wait(outer, &got, 1, 0));
    SHOW(epoll_wait(copy, &got, 1, 10));
    SHOW(epoll_ctl(copy, EPOLL_CTL_DEL, b, NULL));
    SHOW(add(copy, a, EPOLLOUT, 9));
    SHOW(epoll_wait(copy, &got, 1, 0));
    SHOW(got.data.u64);
    closefrom(3);
}

/* ---- numbers that change while somebody sleeps ---- */

/* What another thread does to the number a while this one sleeps: closes it, or puts c there, which has something to read, or has not, though
 * the file of before has. Then b gets something to read, or nothing does and the time is over. Should the sleeper not have begun by then,
 * or have ended, it finds the same at last. */
enum change { CLOSED, READY, NOT_READY, CHANGES };
enum call { BY_POLL, BY_PPOLL, BY_SELECT, BY_PSELECT, CALLS };
struct changer {
    enum change change;
    bool is_timed;
    int a, b, c, peer_a, peer_b;
    pid_t sleeper;
    int64_t changed_at;
    _Atomic bool has_changed;
};
enum { TIME_MS = 100 };

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * (int64_t)1000000000 + ts.tv_nsec;
}

static void *change_it(void *arg)
{
    struct changer *t = arg;
    until_sleeps(t->sleeper);
    if (t->change == CLOSED)
        SHOW(close(t->a));
    else
        SHOW(dup2(t->c, t->a) == t->a);
    if (t->change == NOT_READY)
        send(t->peer_a, "o", 1, MSG_NOSIGNAL); /* nobody hears of it */
    t->changed_at = now_ns();
    atomic_store(&t->has_changed, true);
    if (!t->is_timed)
        SHOW(write(t->peer_b, "b", 1));
    return NULL;
}

/* 1: a is ready, 2: b is, 4: a number is not open */
static int look_by(enum call how, int a, int b, bool is_timed)
{
    struct pollfd p[2] = { { .fd = a, .events = POLLIN }, { .fd = b, .events = POLLIN } };
    struct timespec ts = { 0, TIME_MS * 1000000 };
    struct timeval tv = { 0, TIME_MS * 1000 };
    fd_set rd;
    int n;
    if (how == BY_POLL || how == BY_PPOLL) {
        n = how == BY_POLL ? poll(p, 2, is_timed ? TIME_MS : -1) : ppoll(p, 2, is_timed ? &ts : NULL, NULL);
        return n < 0 ? 16 : (p[0].revents & POLLIN) | (p[1].revents & POLLIN) << 1 | (p[0].revents & POLLNVAL ? 4 : 0);
    }
    FD_ZERO(&rd);
    FD_SET(a, &rd);
    FD_SET(b, &rd);
    n = how == BY_SELECT ? select(64, &rd, NULL, NULL, is_timed ? &tv : NULL) : pselect(64, &rd, NULL, NULL, is_timed ? &ts : NULL, NULL);
    if (n < 0)
        return errno == EBADF ? 4 : 16;
    return (FD_ISSET(a, &rd) ? 1 : 0) | (FD_ISSET(b, &rd) ? 2 : 0);
}

static int pair_at(const struct sockaddr *to, socklen_t len, int l, int *accepted)
{
    int fd = socket(to->sa_family, SOCK_STREAM, 0);
    SHOW(connect(fd, to, len));
    *accepted = (int)SHOW(accept(l, NULL, NULL));
    return fd;
}

static void test_change(enum change change, enum call how, bool is_timed, int family)
{
    struct sockaddr_storage any = { .ss_family = (sa_family_t)family };
    socklen_t len = sizeof(any);
    int l = (int)SHOW(socket(family, SOCK_STREAM, 0)), other[3], own[3], told, all = 0;
    bool is_select = how == BY_SELECT || how == BY_PSELECT, is_done;
    pthread_t thread;
    printf("change %d, call %d, timed %d, family %d\n", (int)change, (int)how, is_timed, family);
    if (family == AF_INET)
        ((struct sockaddr_in *)&any)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&any)->sin6_addr = in6addr_loopback;
    SHOW(bind(l, (struct sockaddr *)&any, family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6)));
    SHOW(listen(l, 3));
    SHOW(getsockname(l, (struct sockaddr *)&any, &len));
    for (int i = 0; i < 3; i++)
        other[i] = pair_at((struct sockaddr *)&any, len, l, &own[i]);
    struct changer t = { .change = change, .is_timed = is_timed, .a = own[0], .b = own[1], .c = own[2], .peer_a = other[0], .peer_b = other[1],
                         .sleeper = gettid() };
    if (how % 2)
        SHOW(fcntl(t.a, F_SETFL, O_NONBLOCK));
    if (change == READY)
        SHOW(write(other[2], "c", 1));
    SHOW(pthread_create(&thread, NULL, change_it, &t));
    do {
        int64_t until = now_ns() + TIME_MS * (int64_t)1000000;
        told = look_by(how, t.a, t.b, is_timed);
        if (change == CLOSED && is_select && (told & 5)) /* ready as it was closed meanwhile; or closed from the beginning */
            told = is_timed ? 1 : 3;
        all |= told;
        is_done = is_timed ? atomic_load(&t.has_changed) && t.changed_at < until : told & 2;
    } while (!is_done);
    pthread_join(thread, NULL);
    SHOW(told);
    SHOW(all);
    closefrom(3);
}

/* ---- descriptors of the kernel's beside sockets ---- */

struct mixed { int l, own, peer, pipe[2]; };

static struct mixed mixed_begin(int family)
{
    struct sockaddr_storage any = { .ss_family = (sa_family_t)family };
    socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    struct mixed m = { .l = (int)SHOW(socket(family, SOCK_STREAM, 0)) };
    if (family == AF_INET)
        ((struct sockaddr_in *)&any)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&any)->sin6_addr = in6addr_loopback;
    SHOW(bind(m.l, (struct sockaddr *)&any, len));
    SHOW(listen(m.l, 3));
    SHOW(getsockname(m.l, (struct sockaddr *)&any, &len));
    m.peer = pair_at((struct sockaddr *)&any, len, m.l, &m.own);
    SHOW(pipe(m.pipe));
    return m;
}

/* Every call tells of all that is ready, however often sockets are. */
static void test_both_ready(int family)
{
    struct mixed m = mixed_begin(family);
    printf("both are ready, family %d\n", family);
    SHOW(write(m.peer, "s", 1));
    SHOW(write(m.pipe[1], "p", 1));
    for (int how = 0; how < CALLS; how++)
        for (int i = 0; i < 20; i++)
            SHOW(look_by(how, i % 2 ? m.own : m.pipe[0], i % 2 ? m.pipe[0] : m.own, i % 4 < 2));
    closefrom(3);
}

struct pipe_closer { pid_t sleeper; int fd, peer; };

static void *close_it(void *arg)
{
    const struct pipe_closer *c = arg;
    until_sleeps(c->sleeper);
    close(c->fd);
    if (write(c->peer, "s", 1) != 1)
        exit(1);
    return NULL;
}

/* select() goes on with what was open when it began. Should it have begun too late once, it is told so, and there is another try. */
static void test_pipe_closed(enum call how, int family)
{
    struct mixed m = mixed_begin(family);
    int told = 4;
    char c;
    printf("a pipe is closed meanwhile, call %d, family %d\n", (int)how, family);
    for (int tries = 0; tries < 20 && told == 4; tries++) {
        struct pipe_closer closer = { gettid(), dup(m.pipe[0]), m.peer };
        pthread_t thread;
        pthread_create(&thread, NULL, close_it, &closer);
        told = look_by(how, closer.fd, m.own, false);
        pthread_join(thread, NULL);
        if (read(m.own, &c, 1) != 1)
            exit(1);
    }
    SHOW(told);
    SHOW(close(m.pipe[0]));
    if (how == BY_SELECT || how == BY_PSELECT)
        SHOW(look_by(how, m.pipe[0], m.own, true)); /* from the beginning */
    closefrom(3);
}

int main(void)
{
    closefrom(3);
    for (int six = 0; six < 2; six++) {
        test_both_ready(six ? AF_INET6 : AF_INET);
        for (int how = BY_SELECT; how < CALLS; how++)
            test_pipe_closed(how, six ? AF_INET6 : AF_INET);
    }
    for (int change = 0; change < CHANGES; change++)
        for (int how = 0; how < CALLS; how++)
            for (int is_timed = 0; is_timed < 2; is_timed++)
                for (int six = 0; six < 2; six++)
                    test_change(change, how, is_timed, six ? AF_INET6 : AF_INET);
    test_others(0, 0);
    test_others(0, EPOLLET);
    test_others(0, EPOLLONESHOT);
    test_others(2, 0);
    test_others(1, EPOLLET | EPOLLONESHOT);
    test_same_data();
    test_other_number();
    return 0;
}
