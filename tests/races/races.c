/* races.c - threads that make any call on any socket at any moment: the same ones, each other's, and those that are just being closed
 * usage: races A4 A6 SECONDS SEED       any call, any socket
 *        races chaos A4 A6 SECONDS SEED  processes of such threads, which also fork, exec and pass descriptors, each killed at a random instant
 *        races ask A4 A6 ROUNDS         threads that ask one connection for different options: each gets the answer to its own question
 *
 * Threads of one process, both ends its own. A place holds the number of a socket, or none: who takes a number out of its place closes it,
 * others may be in a call on it, or about to be. What a call returns is nobody's business here but that it returns, and that what is read
 * of a stream has been written to it: bytes are all alike for a connection's generation. Built with -fsanitize=thread the run tells of races
 * (tsan.sh); without, of crashes, of hangs (the alarm), and of what it leaves. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 6, PLACES = 24, LISTENERS = 4, SETS = 3, BYTES = 20000, HANG_S = 120 };

static const char *addr4, *addr6;
static atomic_int place[PLACES], datagram[PLACES / 2], listener[LISTENERS], set[SETS];
static atomic_bool over;
static atomic_ulong calls, met, carried;
static long asked_rounds;

struct dice { uint64_t s; };

static uint32_t roll(struct dice *d, uint32_t below)
{
    d->s ^= d->s << 13;
    d->s ^= d->s >> 7;
    d->s ^= d->s << 17;
    return (uint32_t)(d->s >> 33) % below;
}

static socklen_t any_port(bool v6, struct sockaddr_storage *ss)
{
    memset(ss, 0, sizeof(*ss));
    if (v6) {
        struct sockaddr_in6 *a = (void *)ss;
        a->sin6_family = AF_INET6;
        inet_pton(AF_INET6, addr6, &a->sin6_addr);
        return sizeof(*a);
    }
    struct sockaddr_in *a = (void *)ss;
    a->sin_family = AF_INET;
    inet_pton(AF_INET, addr4, &a->sin_addr);
    return sizeof(*a);
}

/* The number goes in; what was there is closed. */
static void put(atomic_int *at, int fd)
{
    fd = atomic_exchange(at, fd);
    if (fd >= 0)
        close(fd);
}

static int bound(int type, bool v6)
{
    struct sockaddr_storage ss;
    socklen_t len = any_port(v6, &ss);
    int fd = socket(v6 ? AF_INET6 : AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd >= 0 && bind(fd, (struct sockaddr *)&ss, len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

/* ---- what threads do ---- */

static void do_listen(struct dice *d)
{
    unsigned i = roll(d, LISTENERS);
    int fd = bound(SOCK_STREAM, i & 1);

    if (fd < 0)
        return;
    listen(fd, 8);
    put(&listener[i], fd);
}

static void do_connect(struct dice *d)
{
    unsigned i = roll(d, LISTENERS);
    int l = atomic_load(&listener[i]), fd;
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    struct pollfd p;

    if (l < 0 || getsockname(l, (struct sockaddr *)&ss, &len) != 0)
        return;
    fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    connect(fd, (struct sockaddr *)&ss, len);
    p = (struct pollfd){ .fd = fd, .events = POLLOUT };
    if (roll(d, 2))
        poll(&p, 1, 20);
    put(&place[roll(d, PLACES)], fd);
}

static void do_accept(struct dice *d)
{
    int fd = accept4(atomic_load(&listener[roll(d, LISTENERS)]), NULL, NULL, SOCK_CLOEXEC | (roll(d, 4) ? SOCK_NONBLOCK : 0));
    struct timeval tv = { .tv_usec = 2000 };

    if (fd < 0)
        return;
    atomic_fetch_add(&met, 1);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv));
    put(&place[roll(d, PLACES)], fd);
}

static void do_datagram(struct dice *d)
{
    unsigned i = roll(d, PLACES / 2);

    put(&datagram[i], bound(SOCK_DGRAM, i & 1));
}

static int any(struct dice *d)
{
    return atomic_load(roll(d, 4) ? &place[roll(d, PLACES)] : roll(d, 3) ? &datagram[roll(d, PLACES / 2)] : &listener[roll(d, LISTENERS)]);
}

static int stream(struct dice *d) { return atomic_load(&place[roll(d, PLACES)]); }

static void do_send(struct dice *d)
{
    static const char bytes[BYTES];
    uint32_t n = 1 + roll(d, roll(d, 4) ? 900 : BYTES - 1);
    struct iovec v[2] = { { (void *)(uintptr_t)bytes, n / 2 }, { (void *)(uintptr_t)bytes, n - n / 2 } };
    ssize_t got = roll(d, 2) ? send(stream(d), bytes, n, MSG_NOSIGNAL | (roll(d, 4) ? 0 : MSG_DONTWAIT)) : writev(stream(d), v, 2);

    if (got > 0)
        atomic_fetch_add(&carried, (unsigned long)got);
}

static void do_recv(struct dice *d)
{
    static __thread char b[BYTES];
    struct iovec v[2] = { { b, 100 }, { b + 100, sizeof(b) - 100 } };
    struct msghdr m = { .msg_iov = v, .msg_iovlen = 2 };
    int fd = stream(d);

    switch (roll(d, 5)) {
    case 0: recv(fd, b, sizeof(b), MSG_PEEK); break;
    case 1: read(fd, b, 1 + roll(d, 300)) < 0 ? (void)0 : (void)0; break;
    case 2: recvmsg(fd, &m, MSG_DONTWAIT); break;
    default: recv(fd, b, sizeof(b), 0);
    }
}

static void do_send_to(struct dice *d)
{
    static const char bytes[1200];
    unsigned i = roll(d, PLACES / 2), k = (i + 2 * roll(d, PLACES / 4)) % (PLACES / 2);
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    int to = atomic_load(&datagram[k]), fd = atomic_load(&datagram[i]);

    if (to < 0 || getsockname(to, (struct sockaddr *)&ss, &len) != 0)
        return;
    if (roll(d, 8) == 0)
        connect(fd, (struct sockaddr *)&ss, len);
    sendto(fd, bytes, roll(d, sizeof(bytes)), MSG_NOSIGNAL, (struct sockaddr *)&ss, len);
}

static void do_recv_from(struct dice *d)
{
    static __thread char b[2000];
    struct mmsghdr m[4];
    struct iovec v = { b, sizeof(b) };
    int fd = atomic_load(&datagram[roll(d, PLACES / 2)]);

    memset(m, 0, sizeof(m));
    for (int i = 0; i < 4; i++)
        m[i].msg_hdr = (struct msghdr){ .msg_iov = &v, .msg_iovlen = 1 };
    if (roll(d, 2))
        recvmmsg(fd, m, 4, MSG_DONTWAIT, NULL);
    else
        recv(fd, b, sizeof(b), MSG_DONTWAIT);
}

static void do_poll(struct dice *d)
{
    struct pollfd p[6];
    struct timeval tv = { .tv_usec = roll(d, 2) * 500 };
    fd_set rd, wr;
    int fd = any(d), most = 0;

    for (int i = 0; i < 6; i++)
        p[i] = (struct pollfd){ .fd = any(d), .events = (short)(POLLIN | (i & 1 ? POLLOUT : 0)) };
    if (roll(d, 3)) {
        poll(p, 6, (int)roll(d, 3));
        return;
    }
    FD_ZERO(&rd);
    FD_ZERO(&wr);
    for (int i = 0; i < 3; i++, fd = any(d))
        if (fd >= 0 && fd < FD_SETSIZE) {
            FD_SET(fd, &rd);
            if (i & 1)
                FD_SET(fd, &wr);
            most = fd > most ? fd : most;
        }
    select(most + 1, &rd, &wr, NULL, &tv);
}

static void do_epoll(struct dice *d)
{
    static const uint32_t how[] = { 0, EPOLLET, EPOLLONESHOT, EPOLLET | EPOLLONESHOT, EPOLLEXCLUSIVE };
    int ep = atomic_load(&set[roll(d, SETS)]), fd = any(d);
    struct epoll_event ev[8];

    ev[0] = (struct epoll_event){ .events = EPOLLIN | EPOLLRDHUP | (roll(d, 2) ? EPOLLOUT : 0) | how[roll(d, 5)], .data.fd = fd };
    switch (roll(d, 6)) {
    case 0: epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev[0]); break;
    case 1: ev[0].events &= ~(uint32_t)EPOLLEXCLUSIVE; epoll_ctl(ep, EPOLL_CTL_MOD, fd, &ev[0]); break;
    case 2: epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL); break;
    case 3: epoll_wait(ep, ev, 8, 1); break;
    default: epoll_wait(ep, ev, 8, 0);
    }
    if (roll(d, 200) == 0)
        put(&set[roll(d, SETS)], epoll_create1(EPOLL_CLOEXEC));
}

static void do_option(struct dice *d)
{
    int fd = any(d), v = (int)roll(d, 2), size = 20000 + (int)roll(d, 200000);
    struct linger lin = { .l_onoff = (int)roll(d, 2) };
    struct tcp_info info;
    socklen_t len = sizeof(v), info_len = sizeof(info);

    switch (roll(d, 12)) {
    case 0: setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &v, sizeof(v)); break;
    case 1: setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof(v)); break;
    case 2: setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); break;
    case 3: setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)); break;
    case 4: setsockopt(fd, SOL_SOCKET, SO_LINGER, &lin, sizeof(lin)); break;
    case 5: getsockopt(fd, SOL_SOCKET, SO_ERROR, &v, &len); break;
    case 6: getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_len); break;
    case 7: setsockopt(fd, IPPROTO_TCP, TCP_CORK, &v, sizeof(v)); break;
    case 8: setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &(int){ 1 + (int)roll(d, 200) }, sizeof(int)); break;
    case 9: ioctl(fd, FIONREAD, &v); break;
    case 10: setsockopt(fd, SOL_SOCKET, SO_TIMESTAMP, &v, sizeof(v)); break;
    default: fcntl(fd, F_GETFL);
    }
}

static void do_name(struct dice *d)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    if (roll(d, 2))
        getsockname(any(d), (struct sockaddr *)&ss, &len);
    else
        getpeername(any(d), (struct sockaddr *)&ss, &len);
}

static void do_end(struct dice *d)
{
    if (roll(d, 3) == 0)
        shutdown(stream(d), (int)roll(d, 3));
    else
        put(&place[roll(d, PLACES)], -1);
}

static void do_copy(struct dice *d)
{
    int fd = fcntl(stream(d), F_DUPFD_CLOEXEC, 0);

    if (fd >= 0)
        put(&place[roll(d, PLACES)], fd);
}

/* ---- several processes ---- */

enum { WORKERS = 4, WORKER_THREADS = 3, LIFE_MS = 400, CHILD_CALLS = 40, CHILD_LIFE_S = 20 };
static int hub[2] = { -1, -1 };  /* what is passed from anybody to anybody; none in a single process */
static char *own_path;

static void make_any(struct dice *d);

/* A child works with what it has inherited, as one thread, or begins anew as another program that has one of the connections. */
static void do_fork(struct dice *d)
{
    char fd[16], seed[24];
    uint32_t next = roll(d, 1u << 30);
    pid_t pid;

    if (hub[0] < 0 || roll(d, 40))
        return;
    pid = fork();
    if (pid != 0)
        return; /* reaped with all others, SIGCHLD is ignored */
    alarm(CHILD_LIFE_S);
    d->s = d->s * 31 + (uint64_t)getpid();
    if (roll(d, 2)) {
        int keep = stream(d);

        if (keep >= 0)
            fcntl(keep, F_SETFD, 0);
        snprintf(fd, sizeof(fd), "%d", keep);
        snprintf(seed, sizeof(seed), "%u", next);
        execl(own_path, own_path, "heir", addr4, addr6, fd, seed, (char *)NULL);
        _exit(1);
    }
    for (int i = 0; i < CHILD_CALLS; i++)
        make_any(d);
    _exit(0);
}

union fd_room { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; };

static ssize_t send_fd(int by, int fd)
{
    union fd_room room;
    struct iovec v = { "", 1 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes) };

    room.align = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(fd)) };
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), &fd, sizeof(fd));
    return sendmsg(by, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static int recv_fd(int by)
{
    union fd_room room;
    char b;
    struct iovec v = { &b, 1 };
    struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1, .msg_control = room.bytes, .msg_controllen = sizeof(room.bytes) };
    int fd = -1;

    if (recvmsg(by, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) > 0 && CMSG_FIRSTHDR(&m))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
    return fd;
}

static void do_pass(struct dice *d)
{
    int fd = any(d);

    if (hub[0] < 0)
        return;
    if (roll(d, 2) == 0) {
        if (fd >= 0)
            send_fd(hub[0], fd);
    } else if ((fd = recv_fd(hub[1])) >= 0) {
        put(&place[roll(d, PLACES)], fd);
    }
}

static const struct { void (*make)(struct dice *d); unsigned weight; } kinds[] = {
    { do_listen, 1 }, { do_connect, 8 }, { do_accept, 12 }, { do_datagram, 2 }, { do_send, 30 }, { do_recv, 40 }, { do_send_to, 10 },
    { do_recv_from, 12 }, { do_poll, 12 }, { do_epoll, 20 }, { do_option, 12 }, { do_name, 4 }, { do_end, 6 }, { do_copy, 3 },
    { do_fork, 12 }, { do_pass, 8 },
};

static void make_any(struct dice *d)
{
    unsigned total = 0, pick, i = 0;

    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
        total += kinds[k].weight;
    pick = roll(d, total);
    while (pick >= kinds[i].weight)
        pick -= kinds[i++].weight;
    kinds[i].make(d);
}

static void *work(void *arg)
{
    struct dice d = { (uint64_t)(uintptr_t)arg * 0x9e3779b97f4a7c15u + 1 };

    while (!atomic_load(&over)) {
        make_any(&d);
        atomic_fetch_add(&calls, 1);
    }
    return NULL;
}

static void fill(atomic_int *at, int n)
{
    while (n--)
        atomic_init(&at[n], -1);
}

static void empty(atomic_int *at, int n)
{
    while (n--)
        put(&at[n], -1);
}

static void begin_empty(void)
{
    signal(SIGPIPE, SIG_IGN);
    fill(place, PLACES);
    fill(datagram, PLACES / 2);
    fill(listener, LISTENERS);
    fill(set, SETS);
    for (int i = 0; i < SETS; i++)
        put(&set[i], epoll_create1(EPOLL_CLOEXEC));
}

/* Some threads for a while; false: they could not be made. */
static bool work_for(struct timespec left, int threads, uint64_t seed)
{
    pthread_t t[THREADS];

    for (int i = 0; i < threads; i++)
        if (pthread_create(&t[i], NULL, work, (void *)(uintptr_t)(seed * THREADS + (uint64_t)i + 1)) != 0)
            return false;
    while (nanosleep(&left, &left) != 0)
        ;
    atomic_store(&over, true);
    for (int i = 0; i < threads; i++)
        pthread_join(t[i], NULL);
    return true;
}

static void end_empty(void)
{
    empty(place, PLACES);
    empty(datagram, PLACES / 2);
    empty(listener, LISTENERS);
    empty(set, SETS);
}

/* What a child of a worker has become. */
static int heir_main(int fd, uint64_t seed)
{
    alarm(CHILD_LIFE_S);
    begin_empty();
    put(&place[0], fd);
    return work_for((struct timespec){ 0, 50000000 }, 2, seed) ? 0 : 1;
}

static int chaos_main(long seconds, uint64_t seed)
{
    struct dice d = { seed * 0x9e3779b97f4a7c15u + 1 };
    time_t end = time(NULL) + seconds;
    pid_t worker[WORKERS] = { 0 };
    unsigned long killed = 0;

    signal(SIGCHLD, SIG_DFL);
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || socketpair(AF_UNIX, SOCK_SEQPACKET, 0, hub) != 0)
        return 2;
    while (time(NULL) < end) {
        unsigned i = roll(&d, WORKERS);

        if (worker[i] > 0) {
            kill(worker[i], SIGKILL);
            killed++;
        }
        seed = seed * 1000003 + roll(&d, 1u << 30);
        worker[i] = fork();
        if (worker[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            signal(SIGCHLD, SIG_IGN);
            begin_empty();
            work_for((struct timespec){ seconds + HANG_S, 0 }, WORKER_THREADS, seed & 0xffffffff);
            _exit(0);
        }
        nanosleep(&(struct timespec){ 0, (long)(1 + roll(&d, LIFE_MS / WORKERS)) * 1000000 }, NULL);
        while (waitpid(-1, NULL, WNOHANG) > 0)
            ;
    }
    for (int i = 0; i < WORKERS; i++)
        if (worker[i] > 0)
            kill(worker[i], SIGKILL);
    while (wait(NULL) > 0) /* children of those that were killed, too: each ends by itself */
        ;
    printf("killed %lu\n", killed);
    return killed ? 0 : 1;
}

/* ---- questions ---- */
struct answers { char congestion[16]; int mss; unsigned wscale; };

static bool ask_all(int fd, struct answers *a)
{
    struct tcp_info info;
    socklen_t cc = sizeof(a->congestion), len = sizeof(a->mss), info_len = sizeof(info);

    memset(a, 0, sizeof(*a));
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, a->congestion, &cc) != 0 || getsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &a->mss, &len) != 0 ||
        getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &info_len) != 0)
        return false;
    a->wscale = info.tcpi_rcv_wscale; /* of a quiet connection it does not change, nor do the others */
    return true;
}

static int asked_fd;
static struct answers right;

static void *ask(void *arg)
{
    struct answers a;

    for (long i = 0; i < asked_rounds; i++)
        if (!ask_all(asked_fd, &a) || memcmp(&a, &right, sizeof(a)) != 0) {
            printf("%.16s %d %u\n", a.congestion, a.mss, a.wscale);
            return arg;
        }
    return NULL;
}

/* The answers of one thread alone, then those of several. */
static int ask_main(bool v6)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    pthread_t t[THREADS];
    int l = bound(SOCK_STREAM, v6), bad = 0;

    if (l < 0 || listen(l, 1) != 0 || getsockname(l, (struct sockaddr *)&ss, &len) != 0)
        return 2;
    asked_fd = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (asked_fd < 0 || connect(asked_fd, (struct sockaddr *)&ss, len) != 0 || !ask_all(asked_fd, &right))
        return 2;
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&t[i], NULL, ask, &right) != 0)
            return 2;
    for (int i = 0; i < THREADS; i++) {
        void *answer;

        pthread_join(t[i], &answer);
        bad += answer != NULL;
    }
    close(asked_fd);
    close(l);
    printf("asked by %d threads, wrong answers to %d; right: %s %d %u\n", THREADS, bad, right.congestion, right.mss, right.wscale);
    return bad != 0;
}

int main(int argc, char **argv)
{
    const char *how = argc > 4 ? argv[1] : "";
    bool has_rounds = strcmp(how, "ask") == 0;
    bool has_word = has_rounds || strcmp(how, "chaos") == 0 || strcmp(how, "heir") == 0;
    long seconds, seed;

    if (argc != (has_word && !has_rounds ? 6 : 5)) {
        fprintf(stderr, "usage: %s [chaos] A4 A6 SECONDS SEED | ask A4 A6 ROUNDS\n", argv[0]);
        return 2;
    }
    own_path = argv[0];
    argv += has_word;
    addr4 = argv[1];
    addr6 = argv[2];
    seconds = asked_rounds = atol(argv[3]);
    seed = has_rounds ? 0 : atol(argv[4]);
    if (strcmp(how, "heir") == 0)
        return heir_main((int)seconds, (uint64_t)seed);
    if (strcmp(how, "chaos") == 0)
        return chaos_main(seconds, (uint64_t)seed);
    if (strcmp(how, "ask") == 0) {
        alarm(HANG_S);
        return ask_main(false) || ask_main(true);
    }
    alarm((unsigned)seconds + HANG_S);
    begin_empty();
    if (!work_for((struct timespec){ seconds, 0 }, THREADS, (uint64_t)seed))
        return 2;
    end_empty();
    printf("calls %lu connections %lu bytes %lu\n", atomic_load(&calls), atomic_load(&met), atomic_load(&carried));
    return atomic_load(&met) && atomic_load(&carried) ? 0 : 1;
}
