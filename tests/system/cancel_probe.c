/* cancel_probe.c - pthread_cancel() of threads in calls on sockets: asleep, about to be called, not allowed, asynchronous
 * usage: cancel_probe peer ADDRESS PORT            what is at the other end, until it is killed; says "ready"
 *        cancel_probe try ADDRESS PORT OWN-ADDRESS NOWHERE   prints a line for each call; the same text over any stack
 *        cancel_probe many ADDRESS PORT OWN-ADDRESS NOWHERE  1,000 threads cancelled; prints what is left of them
 * NOWHERE: an address of the link that nobody has.
 *
 * After each cancellation the socket is used by the main thread: a lock still held would stop it, and the alarm would end the program. A
 * reference not given back keeps the peer from seeing the end of the connection. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "tests/system/probe_socket.h"

enum { PATIENCE_MS = 60000, TRIES = 5, BLOCK = 1 << 20, PIECE = 4096, MANY = 1000 };

static void pause_ms(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL); }

/* ---- the peer: the first byte of a connection says what it is for ---- */

static atomic_int n_open;          /* connections but those that ask */
static pthread_mutex_t go_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t go_cond = PTHREAD_COND_INITIALIZER;
static int go_count;

static void *peer_serve(void *arg)
{
    static __thread char buf[65536];
    int fd = (int)(intptr_t)arg;
    ssize_t n;
    char what = 0;
    if (read(fd, &what, 1) != 1 || what == 'g') { /* go: those that sleep read; answered with how many are open */
        pthread_mutex_lock(&go_lock);
        go_count++;
        pthread_cond_broadcast(&go_cond);
        pthread_mutex_unlock(&go_lock);
        int open = atomic_load(&n_open);
        if (write(fd, &open, sizeof(open)) < 0)
            perror("answer");
        close(fd);
        return NULL;
    }
    atomic_fetch_add(&n_open, 1);
    if (write(fd, &what, 1) < 0) /* it is counted */
        perror("begin");
    pthread_mutex_lock(&go_lock);
    for (int now = go_count; what == 's' && go_count == now;)
        pthread_cond_wait(&go_cond, &go_lock);
    pthread_mutex_unlock(&go_lock);
    while ((n = read(fd, buf, sizeof(buf))) > 0)
        if (what == 'e' && write(fd, buf, (size_t)n) < 0)
            break;
    close(fd);
    atomic_fetch_sub(&n_open, 1);
    return NULL;
}

static void peer_run(const char *host, int port)
{
    int l = made(host, port, SOCK_STREAM, true);
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    listen(l, 64);
    puts("ready");
    fflush(stdout);
    for (;;) {
        pthread_t t;
        int fd = accept(l, NULL, NULL);
        if (fd >= 0 && pthread_create(&t, &attr, peer_serve, (void *)(intptr_t)fd) != 0)
            close(fd);
    }
}

/* ---- the calls ---- */

enum kind { READS, WRITES, ACCEPTS, CONNECTS, DATAGRAMS, CLOSES };

struct place {
    const struct step *step;
    int fd;                 /* the socket */
    int other;              /* epoll set, pipe end or file that the call needs, or -1 */
    int pipe[2], outer, extra[8], n_extra;
    FILE *stream;
};
static const char *peer_host, *own_host, *nowhere;
static int peer_port, own_port;
static char block[BLOCK];

struct step {
    const char *name;
    enum kind kind;
    long (*call)(struct place *p);
    bool is_wait;           /* tells readiness, takes nothing */
};

static struct iovec one = { .iov_base = block, .iov_len = 1 }, all = { .iov_base = block, .iov_len = BLOCK };
static short events_of(const struct place *p) { return p->step->kind == WRITES ? POLLOUT : POLLIN; }

static long do_read(struct place *p) { return read(p->fd, block, 1); }
static long do_readv(struct place *p) { return readv(p->fd, &one, 1); }
static long do_recv(struct place *p) { return recv(p->fd, block, 1, 0); }
static long do_peek(struct place *p) { return recv(p->fd, block, 1, MSG_PEEK); }
static long do_recvfrom(struct place *p) { return recvfrom(p->fd, block, 1, 0, NULL, NULL); }
static long do_recvmsg(struct place *p) { return recvmsg(p->fd, &(struct msghdr){ .msg_iov = &one, .msg_iovlen = 1 }, 0); }
static long do_recvmmsg(struct place *p)
{
    struct mmsghdr m = { .msg_hdr = { .msg_iov = &one, .msg_iovlen = 1 } };
    return recvmmsg(p->fd, &m, 1, 0, NULL);
}
static long do_fread(struct place *p) { return (long)fread(block, 1, 1, p->stream); }
static long do_splice_in(struct place *p) { return splice(p->fd, NULL, p->pipe[1], NULL, 1, 0); }
static long do_write(struct place *p) { return write(p->fd, block, BLOCK); }
static long do_writev(struct place *p) { return writev(p->fd, &all, 1); }
static long do_send(struct place *p) { return send(p->fd, block, BLOCK, 0); }
static long do_sendto(struct place *p) { return sendto(p->fd, block, BLOCK, 0, NULL, 0); }
static long do_sendmsg(struct place *p) { return sendmsg(p->fd, &(struct msghdr){ .msg_iov = &all, .msg_iovlen = 1 }, 0); }
static long do_sendmmsg(struct place *p)
{
    struct mmsghdr m = { .msg_hdr = { .msg_iov = &all, .msg_iovlen = 1 } };
    return sendmmsg(p->fd, &m, 1, 0);
}
static long do_sendfile(struct place *p) { return sendfile(p->fd, p->other, &(off_t){ 0 }, BLOCK); }
static long do_splice_out(struct place *p) { return splice(p->pipe[0], NULL, p->fd, NULL, PIECE, 0); }
static long do_accept(struct place *p) { return p->extra[p->n_extra++] = accept(p->fd, NULL, NULL); }
static long do_accept4(struct place *p) { return p->extra[p->n_extra++] = accept4(p->fd, NULL, NULL, SOCK_CLOEXEC); }
static long do_poll(struct place *p) { return poll(&(struct pollfd){ .fd = p->fd, .events = events_of(p) }, 1, -1); }
static long do_ppoll(struct place *p) { return ppoll(&(struct pollfd){ .fd = p->fd, .events = events_of(p) }, 1, NULL, NULL); }
static long select_any(struct place *p, bool is_p)
{
    fd_set set;
    FD_ZERO(&set);
    FD_SET(p->fd, &set);
    fd_set *rd = p->step->kind == WRITES ? NULL : &set, *wr = rd ? NULL : &set;
    return is_p ? pselect(p->fd + 1, rd, wr, NULL, NULL, NULL) : select(p->fd + 1, rd, wr, NULL, NULL);
}
static long do_select(struct place *p) { return select_any(p, false); }
static long do_pselect(struct place *p) { return select_any(p, true); }
static long do_epoll_wait(struct place *p) { return epoll_wait(p->other, (struct epoll_event[4]){ 0 }, 4, -1); }
static long do_epoll_pwait(struct place *p) { return epoll_pwait(p->other, (struct epoll_event[4]){ 0 }, 4, -1, NULL); }
static long do_epoll_pwait2(struct place *p) { return epoll_pwait2(p->other, (struct epoll_event[4]){ 0 }, 4, NULL, NULL); }
static long do_epoll_nested(struct place *p) { return epoll_wait(p->outer, (struct epoll_event[4]){ 0 }, 4, -1); }
static long do_poll_epoll(struct place *p) { return poll(&(struct pollfd){ .fd = p->other, .events = POLLIN }, 1, -1); }
static long do_close(struct place *p)
{
    p->other = p->fd; /* to be looked at */
    p->fd = -1;
    return close(p->other) == 0 ? 1 : -1;
}
static long do_connect(struct place *p)
{
    struct sockaddr_in sa4 = { .sin_family = AF_INET, .sin_port = htons(7) };
    struct sockaddr_in6 sa6 = { .sin6_family = AF_INET6, .sin6_port = htons(7) };
    long r = inet_pton(AF_INET, nowhere, &sa4.sin_addr) == 1     ? connect(p->fd, (struct sockaddr *)&sa4, sizeof(sa4))
             : inet_pton(AF_INET6, nowhere, &sa6.sin6_addr) == 1 ? connect(p->fd, (struct sockaddr *)&sa6, sizeof(sa6))
                                                                 : -1;
    return r == 0 ? 1 : r;
}

static const struct step steps[] = {
    { "read", READS, do_read, false }, { "readv", READS, do_readv, false }, { "recv", READS, do_recv, false },
    { "recv, MSG_PEEK", READS, do_peek, true }, { "recvfrom", READS, do_recvfrom, false }, { "recvmsg", READS, do_recvmsg, false },
    { "recvmmsg", READS, do_recvmmsg, false }, { "fread", READS, do_fread, false }, { "splice to a pipe", READS, do_splice_in, false },
    { "write", WRITES, do_write, false }, { "writev", WRITES, do_writev, false }, { "send", WRITES, do_send, false },
    { "sendto", WRITES, do_sendto, false }, { "sendmsg", WRITES, do_sendmsg, false }, { "sendmmsg", WRITES, do_sendmmsg, false },
    { "sendfile", WRITES, do_sendfile, false }, { "splice from a pipe", WRITES, do_splice_out, false },
    { "accept", ACCEPTS, do_accept, false }, { "accept4", ACCEPTS, do_accept4, false }, { "connect", CONNECTS, do_connect, false },
    { "poll", READS, do_poll, true }, { "ppoll", READS, do_ppoll, true }, { "select", READS, do_select, true },
    { "pselect", READS, do_pselect, true }, { "poll for room", WRITES, do_poll, true }, { "select for room", WRITES, do_select, true },
    { "poll of a listener", ACCEPTS, do_poll, true }, { "epoll_wait", READS, do_epoll_wait, true },
    { "epoll_pwait", READS, do_epoll_pwait, true }, { "epoll_pwait2", READS, do_epoll_pwait2, true },
    { "epoll_wait of a listener", ACCEPTS, do_epoll_wait, true }, { "epoll_wait of a set of sets", READS, do_epoll_nested, true },
    { "poll of a set", READS, do_poll_epoll, true }, { "recvfrom, UDP", DATAGRAMS, do_recvfrom, false },
    { "recvmsg, UDP", DATAGRAMS, do_recvmsg, false }, { "poll, UDP", DATAGRAMS, do_poll, true },
    { "epoll_wait, UDP", DATAGRAMS, do_epoll_wait, true }, { "close", CLOSES, do_close, false },
};

/* ---- where they are made ---- */

static int connected(char what)
{
    int fd = made(peer_host, peer_port, SOCK_STREAM, false);
    char answer;
    if (write(fd, &what, 1) != 1 || read(fd, &answer, 1) != 1)
        die("the peer's first byte");
    return fd;
}

/* Those that sleep read on; how many connections the peer has. */
static int go(void)
{
    int fd = made(peer_host, peer_port, SOCK_STREAM, false), n = -1;
    if (write(fd, "g", 1) != 1 || recv(fd, &n, sizeof(n), MSG_WAITALL) != sizeof(n))
        die("the peer's count");
    close(fd);
    return n;
}

static void nonblock(int fd, bool on)
{
    int flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK);
}

/* What is under way, and acknowledged late, makes room; so do probes of a closed window. */
static bool has_room_soon(int fd, bool is_wait) { return poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, is_wait ? 700 : 100) == 1; }

static void fill(int fd, bool is_wait)
{
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &(int){ 65536 }, sizeof(int)); /* it would grow */
    nonblock(fd, true);
    do
        while (write(fd, block, BLOCK) > 0 || write(fd, block, 1) > 0)
            ;
    while (has_room_soon(fd, is_wait));
    nonblock(fd, false);
}

/* connect() to itself: begun, not waited for. */
static void knock(struct place *p, int listener)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    getsockname(listener, (struct sockaddr *)&ss, &len);
    int fd = socket(ss.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (connect(fd, (struct sockaddr *)&ss, len) < 0 && errno != EINPROGRESS)
        die("connect to itself");
    p->extra[p->n_extra++] = fd;
}

static void setup(struct place *p, const struct step *s)
{
    *p = (struct place){ .step = s, .other = -1, .outer = -1, .pipe = { -1, -1 } };
    if (s->kind == READS || s->kind == CLOSES)
        p->fd = connected('e');
    if (s->kind == WRITES)
        fill(p->fd = connected('s'), s->is_wait);
    if (s->kind == ACCEPTS || s->kind == DATAGRAMS)
        p->fd = made(own_host, own_port++, s->kind == ACCEPTS ? SOCK_STREAM : SOCK_DGRAM, true);
    if (s->kind == ACCEPTS)
        listen(p->fd, 8);
    if (s->kind == CONNECTS)
        p->fd = socket(strchr(nowhere, ':') ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
    if (s->call == do_fread)
        p->stream = fdopen(dup(p->fd), "r");
    if (p->stream)
        setvbuf(p->stream, NULL, _IONBF, 0);
    if ((s->call == do_splice_in || s->call == do_splice_out) && pipe(p->pipe) != 0)
        die("pipe");
    if (s->call == do_splice_out) { /* pages go where bytes have no room any more */
        nonblock(p->fd, true);
        do
            while (write(p->pipe[1], block, PIECE) == PIECE && do_splice_out(p) > 0)
                ;
        while (has_room_soon(p->fd, false));
        nonblock(p->fd, false);
    }
    if (s->call == do_sendfile) {
        p->other = memfd_create("probe", 0);
        if (ftruncate(p->other, BLOCK) != 0)
            die("ftruncate");
    }
    if (s->call == do_epoll_wait || s->call == do_epoll_pwait || s->call == do_epoll_pwait2 || s->call == do_epoll_nested ||
        s->call == do_poll_epoll) {
        p->other = epoll_create1(0);
        p->outer = epoll_create1(0);
        epoll_ctl(p->other, EPOLL_CTL_ADD, p->fd, &(struct epoll_event){ .events = EPOLLIN });
        epoll_ctl(p->outer, EPOLL_CTL_ADD, p->other, &(struct epoll_event){ .events = EPOLLIN });
    }
}

/* What the call waits for; `takes`: the thread may, at once. */
static void make_ready(struct place *p, bool takes)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    switch (p->step->kind) {
    case READS:
        if (write(p->fd, "x", 1) != 1)
            die("write");
        break;
    case WRITES:
        go();
        if (p->step->call == do_splice_out && write(p->pipe[1], block, PIECE) != PIECE)
            die("write to the pipe");
        break;
    case ACCEPTS:
        knock(p, p->fd);
        break;
    case DATAGRAMS:
        getsockname(p->fd, (struct sockaddr *)&ss, &len);
        int fd = socket(ss.ss_family, SOCK_DGRAM, 0);
        if (sendto(fd, "x", 1, 0, (struct sockaddr *)&ss, len) != 1)
            die("sendto itself");
        close(fd);
        break;
    default:
        return;
    }
    if (!takes && poll(&(struct pollfd){ .fd = p->fd, .events = events_of(p) }, 1, PATIENCE_MS) != 1)
        die("it does not become ready");
}

/* "closed", when the peer has seen the end of it. */
static const char *undone(struct place *p)
{
    if (p->stream)
        fclose(p->stream);
    int fds[] = { p->fd, p->other, p->outer, p->pipe[0], p->pipe[1] };
    for (unsigned i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    while (p->n_extra)
        close(p->extra[--p->n_extra]);
    for (int ms = 0; ms < PATIENCE_MS; ms += 5) {
        if (go() == 0)
            return "closed";
        pause_ms(5);
    }
    return "NOT CLOSED";
}

/* ---- the thread ---- */

struct attempt {
    struct place *p;
    bool waits, disabled, async;
    atomic_int tid;
    atomic_bool cancelled, returned, cleaned;
    long result;
    int error;
};

static void on_cleanup(void *a) { atomic_store(&((struct attempt *)a)->cleaned, true); }

static void *attempt_run(void *arg)
{
    struct attempt *a = arg;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
    if (a->async)
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    atomic_store(&a->tid, gettid());
    while (a->waits && !atomic_load(&a->cancelled))
        pause_ms(1);
    pthread_cleanup_push(on_cleanup, a);
    if (!a->disabled)
        pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    a->result = a->p->step->call(a->p);
    a->error = errno;
    atomic_store(&a->returned, true);
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    pthread_testcancel();
    pthread_cleanup_pop(0);
    return NULL;
}

/* Asleep, and no more awake meanwhile: for three looks on end. */
static bool is_asleep(struct attempt *a)
{
    char path[64], line[128];
    long switches = -1, last = -2;
    int same = 0;
    for (int ms = 0; ms < PATIENCE_MS && same < 3; ms += 4) {
        char state = '?';
        pause_ms(4);
        if (atomic_load(&a->returned))
            return false;
        snprintf(path, sizeof(path), "/proc/self/task/%d/status", atomic_load(&a->tid));
        FILE *f = fopen(path, "r");
        if (!f) /* it has ended */
            return false;
        while (fgets(line, sizeof(line), f)) {
            sscanf(line, "State: %c", &state);
            sscanf(line, "voluntary_ctxt_switches: %ld", &switches);
        }
        fclose(f);
        same = state == 'S' && switches == last ? same + 1 : 0;
        last = switches;
    }
    return same == 3;
}

static pthread_t begin(struct attempt *a)
{
    pthread_t t;
    if (pthread_create(&t, NULL, attempt_run, a) != 0)
        die("pthread_create");
    while (atomic_load(&a->tid) == 0)
        pause_ms(1);
    return t;
}

static bool joined(pthread_t t, void **how, int ms)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_sec += ms / 1000;
    return pthread_timedjoin_np(t, how, &at) == 0;
}

/* How the thread ended, once it was cancelled. */
static void told(struct attempt *a, pthread_t t)
{
    void *how = NULL;
    if (!joined(t, &how, PATIENCE_MS)) {
        printf(" HANGS\n");
        fflush(stdout);
        _exit(1);
    }
    if (a->returned)
        printf(a->result > 0 ? " returned" : " returned %ld (%s)", a->result, strerror(a->error));
    printf(how == PTHREAD_CANCELED ? " cancelled" : " LIVED");
    printf(atomic_load(&a->cleaned) ? "" : " WITHOUT CLEANUP");
}

/* The main thread does the same, with what it waits for there. */
static void use(struct place *p)
{
    if (p->step->kind == CONNECTS || p->step->kind == CLOSES)
        return;
    long r = p->step->call(p);
    printf(r > 0 ? " usable" : " UNUSABLE %ld (%s)", r, strerror(errno));
}

/* Room made by a late acknowledgement may end a write before it is looked at: that is done again. */
static pthread_t fall_asleep(struct place *p, const struct step *s, struct attempt *a, const char *what)
{
    for (int tries = 0;; tries++) {
        setup(p, s);
        pthread_t t = begin(a);
        bool asleep = is_asleep(a);
        if (asleep || !atomic_load(&a->returned) || s->kind != WRITES || tries == TRIES) {
            printf("; %s:%s", what, asleep ? "" : " NOT ASLEEP");
            return t;
        }
        pthread_join(t, NULL);
        undone(p);
        atomic_store(&a->tid, 0);
        atomic_store(&a->returned, false);
    }
}

static void try_asleep(const struct step *s, bool async)
{
    struct place p;
    struct attempt a = { .p = &p, .async = async };
    if (s->kind == CLOSES || (async && s->call == do_fread)) /* stdio is nothing that may be cancelled so */
        return;
    pthread_t t = fall_asleep(&p, s, &a, async ? "asynchronous" : "asleep");
    pthread_cancel(t);
    bool sleeps_on = s->call == do_sendfile && is_asleep(&a); /* it is no cancellation point */
    printf(sleeps_on ? " sleeps on" : "");
    if (sleeps_on)
        make_ready(&p, true);
    told(&a, t);
    if (!sleeps_on)
        make_ready(&p, false);
    use(&p);
    printf(" %s", undone(&p));
}

/* Cancelled before the call, which would not have to sleep. */
static void try_ready(const struct step *s)
{
    struct place p;
    struct attempt a = { .p = &p, .waits = true };
    if (s->kind == CONNECTS)
        return;
    setup(&p, s);
    make_ready(&p, false);
    pthread_t t = begin(&a);
    pthread_cancel(t);
    atomic_store(&a.cancelled, true);
    printf("; ready:");
    told(&a, t);
    if (s->kind == CLOSES)
        printf(fcntl(p.other, F_GETFD) >= 0 ? " still open" : " NOT OPEN");
    use(&p); /* what was there is there still */
    printf(" %s", undone(&p));
}

static void try_disabled(const struct step *s)
{
    struct place p;
    struct attempt a = { .p = &p, .disabled = true };
    if (s->kind == CONNECTS || s->kind == CLOSES)
        return;
    pthread_t t = fall_asleep(&p, s, &a, "disabled");
    pthread_cancel(t);
    printf(is_asleep(&a) ? " sleeps on" : " AWAKE");
    make_ready(&p, true);
    told(&a, t);
    printf(" %s", undone(&p));
}

static void try_all(void)
{
    for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        alarm(300);
        printf("%s", steps[i].name);
        try_asleep(&steps[i], false);
        try_asleep(&steps[i], true);
        try_ready(&steps[i]);
        try_disabled(&steps[i]);
        printf("\n");
        fflush(stdout);
    }
}

/* ---- nothing is left of those that were cancelled ---- */

static int count_fds(void)
{
    int n = 0;
    DIR *d = opendir("/proc/self/fd");
    while (d && readdir(d))
        n++;
    closedir(d);
    return n;
}

static void cancel_some(int n)
{
    static const char *const names[] = { "read", "poll", "epoll_wait", "accept", "recvmsg, UDP" };
    for (int i = 0; i < n; i++) {
        struct place p;
        struct attempt a = { .p = &p };
        const struct step *s = steps;
        while (strcmp(s->name, names[i % 5]) != 0)
            s++;
        alarm(180);
        setup(&p, s);
        pthread_t t = begin(&a);
        for (volatile int spin = i * 37 % 4000; spin > 0; spin--) /* anywhere on its way into the sleep */
            ;
        pthread_cancel(t);
        void *how = NULL;
        if (!joined(t, &how, PATIENCE_MS) || how != PTHREAD_CANCELED)
            die("a thread was not cancelled");
        int fds[] = { p.fd, p.other, p.outer };
        for (unsigned k = 0; k < 3; k++)
            if (fds[k] >= 0)
                close(fds[k]);
    }
}

static void try_many(void)
{
    cancel_some(MANY / 10);
    int before = count_fds();
    cancel_some(MANY);
    printf("descriptors %d more\n", count_fds() - before);
    for (int ms = 0; ms < PATIENCE_MS && go(); ms += 5)
        pause_ms(5);
    printf("connections %d\n", go());
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "peer") == 0)
        peer_run(argv[2], atoi(argv[3]));
    if (argc != 6)
        return 2;
    peer_host = argv[2];
    peer_port = atoi(argv[3]);
    own_host = argv[4];
    nowhere = argv[5];
    own_port = peer_port + 1000;
    strcmp(argv[1], "many") == 0 ? try_many() : try_all();
    return 0;
}
