/* more.c - calls with arguments and in states that are rare, over IPv4 and IPv6: sendfile and splice that are refused, times and counts out
 * of range, streams that are opened again, epoll sets and descriptors that a fork, daemon(), exec or spawn hands on: run with and without
 * the preload library, the two outputs must be the same (stack_same_test.sh) */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/close_range.h>
#include "tests/unit/preload/calls.h"

extern char **environ;
static const char *self;
static bool is_v6;
static char buf[64 << 10];
static volatile sig_atomic_t pipes;
static volatile int minus_one = -1; /* out of the compiler's sight, as the next */
static volatile unsigned long many = 1ul << 30;
enum { MANY_FDS = 4096 };

static void on_pipe(int sig) { pipes += sig == SIGPIPE; }

static int sigpipes(void)
{
    int n = pipes;
    pipes = 0;
    return n;
}

struct ends { int l, port, a, b; };

static socklen_t address(struct sockaddr_storage *ss, int port)
{
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)ss;
    memset(ss, 0, sizeof(*ss));
    if (is_v6) {
        *six = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port), .sin6_addr = IN6ADDR_LOOPBACK_INIT };
        return sizeof(*six);
    }
    *(struct sockaddr_in *)ss = loopback(port);
    return sizeof(struct sockaddr_in);
}

static int stream(void) { return socket(is_v6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0); }

static int connected(int port)
{
    struct sockaddr_storage ss;
    socklen_t len = address(&ss, port);
    int fd = stream();
    return connect(fd, (struct sockaddr *)&ss, len) == 0 ? fd : -1;
}

static struct ends begin(const char *what)
{
    struct sockaddr_storage ss;
    socklen_t len = address(&ss, 0);
    struct ends e = { .l = stream() };
    printf("%s, IPv%d\n", what, is_v6 ? 6 : 4);
    SHOW(bind(e.l, (struct sockaddr *)&ss, len));
    SHOW(listen(e.l, 16));
    len = sizeof(ss);
    SHOW(getsockname(e.l, (struct sockaddr *)&ss, &len));
    e.port = ntohs(((struct sockaddr_in *)&ss)->sin_port); /* the same place in both */
    SHOW((e.a = connected(e.port)) >= 0);
    SHOW((e.b = accept(e.l, NULL, NULL)) >= 0);
    return e;
}

static bool has(int fd, const char *text)
{
    char got[64] = "";
    return recv(fd, got, strlen(text), MSG_WAITALL) == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

static void test_arguments(void)
{
    struct ends e = begin("arguments");
    struct sockaddr_storage ss;
    socklen_t len = (socklen_t)minus_one;
    int n = -1, waiting = connected(e.port);
    SHOW(waiting >= 0);
    SHOW(accept(e.l, (struct sockaddr *)&ss, &len));
    len = (socklen_t)minus_one;
    SHOW(getsockname(e.a, (struct sockaddr *)&ss, &len));
    len = 3;
    SHOW(getpeername(e.b, (struct sockaddr *)&ss, &len));
    SHOW(len == address(&ss, 0));
    SHOW(ioctl(e.a, FIONREAD, NULL));
    SHOW(ioctl(e.a, FIONBIO, NULL));
    SHOW(ioctl(e.a, TIOCOUTQ, NULL));
    SHOW(ioctl(e.a, TIOCOUTQ, &n));
    SHOW(n);
    SHOW(close_range((unsigned)e.a, (unsigned)e.b, 1 << 30)); /* closes nothing */
    SHOW(send(e.a, "x", 1, MSG_NOSIGNAL));
    SHOW(has(e.b, "x"));
    SHOW(close_range((unsigned)e.a, (unsigned)e.b, CLOSE_RANGE_CLOEXEC));
    SHOW(fcntl(e.a, F_GETFD));
    SHOW(close_range((unsigned)e.a, (unsigned)e.a, CLOSE_RANGE_UNSHARE));
    SHOW(fcntl(e.a, F_GETFD));
    SHOW(recv(e.b, buf, 1, 0));
    closefrom(3);
}

/* Of what is no time nothing may come, whether something is ready or not. */
/* poll(2): more than may be open */
static void too_many(int fd)
{
    static struct pollfd p[MANY_FDS + 1];
    struct rlimit was, few;
    for (unsigned i = 0; i <= MANY_FDS; i++)
        p[i] = (struct pollfd){ .fd = i ? -1 : fd, .events = POLLIN };
    getrlimit(RLIMIT_NOFILE, &was);
    few = (struct rlimit){ MANY_FDS, was.rlim_max };
    SHOW(setrlimit(RLIMIT_NOFILE, &few));
    SHOW(poll(p, MANY_FDS, 0));
    SHOW(poll(p, MANY_FDS + 1, 0));
    SHOW(setrlimit(RLIMIT_NOFILE, &was));
}

static void no_times(int ep, int fd)
{
    static const struct timespec bad[] = { { 0, -1 }, { 0, 1000000000 }, { -1, 0 }, { -1, -1 } };
    struct epoll_event got[4];
    struct pollfd p = { .fd = fd, .events = POLLIN };
    struct mmsghdr m = { .msg_hdr = { .msg_iov = &(struct iovec){ buf, 1 }, .msg_iovlen = 1 } };
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct timespec t = bad[i];
        fd_set rd;
        FD_ZERO(&rd);
        FD_SET(fd, &rd);
        SHOW(epoll_pwait2(ep, got, 4, &t, NULL));
        SHOW(ppoll(&p, 1, &t, NULL));
        SHOW(pselect(fd + 1, &rd, NULL, NULL, &t, NULL));
        SHOW(recvmmsg(fd, &m, 1, MSG_DONTWAIT, &t));
    }
    SHOW(epoll_wait(ep, got, (int)many, 0));
    too_many(fd);
}

static void test_times(void)
{
    struct ends e = begin("times");
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 7 }, got;
    struct timespec ms = { 0, 1500000 }, never = { __LONG_MAX__, 0 };
    struct pollfd p = { .fd = e.b, .events = POLLIN };
    struct iovec iov = { buf, 1 };
    struct mmsghdr one = { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } }, m[3] = { one, one, one };
    int ep = epoll_create1(0);
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, e.b, &ev));
    no_times(ep, e.b);
    SHOW(epoll_pwait2(ep, &got, 1, &ms, NULL));
    SHOW(send(e.a, "abc", 3, 0));
    SHOW(epoll_pwait2(ep, &got, 1, &never, NULL));
    SHOW(got.data.u64);
    SHOW(ppoll(&p, 1, &never, NULL));
    no_times(ep, e.b);
    never.tv_sec = 1l << 40;
    SHOW(recvmmsg(e.b, m, 3, 0, &never));
    SHOW(never.tv_sec > 1l << 39);
    closefrom(3);
}

static int numbers_file(void)
{
    int fd = memfd_create("numbers", 0);
    SHOW(write(fd, "0123456789", 10));
    return fd;
}

static void test_sendfile(void)
{
    struct ends e = begin("sendfile");
    int file = numbers_file(), p[2], null = open("/dev/null", O_WRONLY);
    off_t at = 0;
    SHOW(pipe(p));
    SHOW(sendfile(e.a, file, &at, (size_t)-1));
    SHOW(at);
    at = -1;
    SHOW(sendfile(e.a, file, &at, 5));
    at = 20;
    SHOW(sendfile(e.a, file, &at, 5));
    SHOW(sendfile(e.a, file, &at, 0));
    SHOW(write(p[1], "pipe", 4));
    SHOW(sendfile(e.a, p[0], NULL, 4)); /* what cannot be sought */
    at = 0;
    SHOW(sendfile(e.a, p[0], &at, 4));
    SHOW(sendfile(e.a, e.b, NULL, 4));
    SHOW(sendfile(e.a, e.b, &at, 4));
    SHOW(sendfile(file, e.b, NULL, 4));
    SHOW(sendfile(file, e.b, &at, 4));
    SHOW(sendfile(e.a, null, NULL, 4));
    SHOW(sendfile(e.a, -1, NULL, 4));
    SHOW(sendfile(e.a, open("/", O_PATH), NULL, 4));
    SHOW(read(p[0], buf, 10));
    SHOW(send(e.a, "socket", 6, 0)); /* into a pipe it moves */
    SHOW(sendfile(p[1], e.b, &at, 4));
    SHOW(sendfile(p[1], e.b, NULL, 0));
    SHOW(sendfile(p[1], e.b, NULL, 4));
    SHOW(sendfile(p[1], e.b, NULL, 4));
    SHOW(fcntl(e.b, F_SETFL, O_NONBLOCK));
    SHOW(sendfile(p[1], e.b, NULL, 4));
    SHOW(read(p[0], buf, 10));
    SHOW(memcmp(buf, "socket", 6));
    at = 0;
    SHOW(sendfile(e.l, file, &at, 4));
    SHOW(sendfile(stream(), file, &at, 4));
    SHOW(sigpipes());
    at = lseek(file, 0, SEEK_END); /* nothing is left to be sent, whatever is the matter with the socket */
    SHOW(sendfile(stream(), file, &at, 4));
    SHOW(sendfile(stream(), file, NULL, 4));
    SHOW(fcntl(e.b, F_SETFL, O_NONBLOCK));
    while (write(e.b, buf, sizeof(buf)) > 0)
        continue;
    SHOW(sendfile(e.b, file, &at, 4));
    SHOW(sendfile(e.b, file, NULL, 4));
    at = 0;
    SHOW(sendfile(e.b, file, &at, 4));
    SHOW(shutdown(e.a, SHUT_WR));
    SHOW(sendfile(e.a, file, &at, 4));
    SHOW(sendfile(e.a, file, NULL, 4));
    SHOW(sigpipes());
    closefrom(3);
}

static void test_splice(void)
{
    struct ends e = begin("splice");
    off64_t at = 0;
    int p[2], n = -1;
    SHOW(pipe(p));
    SHOW(write(p[1], "abcdef", 6));
    SHOW(splice(p[0], &at, e.a, NULL, 3, 0));
    SHOW(splice(p[0], NULL, e.a, &at, 3, 0));
    SHOW(splice(p[0], &at, e.a, &at, 3, 0));
    SHOW(splice(e.b, &at, p[1], NULL, 3, 0));
    SHOW(splice(e.b, NULL, p[1], &at, 3, 0));
    SHOW(splice(e.a, NULL, e.b, NULL, 3, 0));
    SHOW(splice(p[0], NULL, e.a, NULL, 3, 0x100));
    SHOW(splice(p[0], &at, e.a, &at, 0, 0x100));
    SHOW(splice(p[1], NULL, e.a, NULL, 3, 0)); /* the pipe's other end */
    SHOW(splice(e.b, NULL, p[0], NULL, 3, 0));
    SHOW(splice(p[0], NULL, e.a, NULL, 100, SPLICE_F_MOVE));
    SHOW(has(e.b, "abcdef"));
    SHOW(fcntl(e.b, F_SETFL, O_NONBLOCK));
    SHOW(splice(e.b, NULL, p[1], NULL, 100, 0));
    SHOW(send(e.a, "hello", 5, 0));
    SHOW(close(p[0])); /* nobody reads the pipe: nothing is taken */
    SHOW(splice(e.b, NULL, p[1], NULL, 3, 0));
    SHOW(sigpipes());
    SHOW(ioctl(e.b, FIONREAD, &n));
    SHOW(n);
    SHOW(recv(e.b, buf, 10, 0));
    SHOW(splice(e.b, NULL, p[1], NULL, 3, 0)); /* before it is looked whether there is something */
    SHOW(close(p[1]));
    SHOW(pipe(p));
    int fresh = stream();
    SHOW(splice(fresh, NULL, p[1], NULL, 3, 0));
    SHOW(splice(e.l, NULL, p[1], NULL, 3, 0));
    SHOW(shutdown(fresh, SHUT_RD));
    SHOW(splice(fresh, NULL, p[1], NULL, 3, 0));
    sigpipes();
    closefrom(3);
}

/* A stream is opened again, onto a file and back: programs do so with stderr when they are daemons. */
static void test_streams(void)
{
    struct ends e = begin("streams");
    FILE *r = fdopen(e.b, "r"), *w = fdopen(e.a, "w");
    SHOW(fputs("line 1\nline 2\n", w) >= 0);
    SHOW(fflush(w));
    SHOW(fgets(buf, sizeof(buf), r) != NULL);
    SHOW(fseek(r, 0, SEEK_SET));
    SHOW(ftell(r));
    SHOW(fflush(r)); /* with a line that was read ahead */
    SHOW(fputs("unsent", w) >= 0);
    SHOW(freopen("/dev/null", "w", w) == w); /* what is in it goes out; the socket is closed */
    SHOW(recv(e.b, buf, 20, 0) > 0);
    SHOW(recv(e.b, buf, 20, 0));
    SHOW(fputs("nowhere", w) >= 0);
    SHOW(fflush(w));
    SHOW(fgetc(w));
    SHOW(freopen("/dev/zero", "r", r) == r);
    SHOW(fgetc(r));
    SHOW(fputc('x', r));
    SHOW(fclose(w));
    SHOW(fclose(r));
    SHOW((e.a = connected(e.port)) >= 0);
    SHOW((e.b = accept(e.l, NULL, NULL)) >= 0);
    SHOW(freopen("/not/there", "r", fdopen(e.b, "r")) == NULL);
    SHOW(recv(e.a, buf, 1, 0));
    closefrom(3);
}

/* ---- what a child has from its parent ---- */

static int waited(pid_t pid)
{
    int status = -1;
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Reads what comes in the set of its parent and answers: 42. */
static int answers(int ep, int fd)
{
    struct epoll_event got = { .data.u64 = 0 };
    char c = 0;
    if (epoll_wait(ep, &got, 1, 30000) != 1 || got.data.u64 != 7)
        return 1;
    if (read(fd, &c, 1) != 1 || c != 'x' || epoll_wait(ep, &got, 1, 0) != 0)
        return 2;
    return write(fd, "answer", 6) == 6 ? 42 : 3;
}

/* Takes a connection that comes in the set of its parent, says so: 42. */
static int takes(int ep, int l)
{
    struct epoll_event got;
    int fd = -1;
    while (fd < 0)
        if (epoll_wait(ep, &got, 1, 30000) != 1 || ((fd = accept(l, NULL, NULL)) < 0 && errno != EAGAIN))
            return 1;
    return write(fd, "taken", 5) == 5 ? 42 : 2;
}

static void test_sets(void)
{
    struct ends e = begin("sets of a parent");
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 7 }, got;
    int ep = epoll_create1(0), listens = epoll_create1(0);
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, e.b, &ev));
    for (int i = 0; i < 5; i++) { /* before the child looks, or when it sleeps already; two are edge-triggered; the last is a child's child */
        ev.events = EPOLLIN | (i == 2 || i == 3 ? EPOLLET : 0);
        SHOW(epoll_ctl(ep, EPOLL_CTL_MOD, e.b, &ev));
        if (i % 3 == 0)
            SHOW(write(e.a, "x", 1));
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0)
            _exit(i == 4 && (pid = fork()) != 0 ? waited(pid) : answers(ep, e.b));
        if (i % 3 != 0)
            SHOW(write(e.a, "x", 1));
        SHOW(has(e.a, "answer"));
        SHOW(waited(pid));
    }
    SHOW(write(e.a, "y", 1)); /* the parent again */
    SHOW(epoll_wait(ep, &got, 1, 30000));
    SHOW(has(e.b, "y"));
    SHOW(fcntl(e.l, F_SETFL, O_NONBLOCK));
    SHOW(epoll_ctl(listens, EPOLL_CTL_ADD, e.l, &ev));
    pid_t pids[2];
    for (int i = 0; i < 2; i++) {
        fflush(stdout);
        if ((pids[i] = fork()) == 0)
            _exit(takes(listens, e.l));
    }
    SHOW(close(listens)); /* the children's alone: a parent that keeps it is given connections, too */
    for (int i = 0; i < 2; i++) {
        int fd = connected(e.port);
        SHOW(has(fd, "taken"));
        SHOW(recv(fd, buf, 1, 0));
    }
    SHOW(waited(pids[0]));
    SHOW(waited(pids[1]));
    closefrom(3);
}

/* The parent has accepted, and does something else from now on: what comes is its child's. */
static void test_accepted_once(void)
{
    struct ends e = begin("a parent that has accepted once");
    int p[2];
    SHOW(pipe(p));
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < 8; i++)
            if (send(accept(e.l, NULL, NULL), "mine", 4, MSG_NOSIGNAL) != 4)
                _exit(i);
        _exit(42);
    }
    pid_t client = fork();
    if (client == 0) {
        for (int i = 0; i < 8; i++) {
            int fd = connected(e.port);
            setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){ 30, 0 }, sizeof(struct timeval));
            if (!has(fd, "mine")) {
                kill(child, SIGKILL);
                _exit(i);
            }
        }
        _exit(42);
    }
    close(p[1]);
    SHOW(read(p[0], buf, 1)); /* until both have ended */
    SHOW(waited(child));
    SHOW(waited(client));
    closefrom(3);
}

/* What daemon() leaves: sockets, sets, and 0 to 2 as it was asked. Said to a pipe. */
static void is_daemon(int noclose, int tell)
{
    struct ends e = begin("daemon");
    fflush(stdout);
    struct epoll_event ev = { .events = EPOLLIN, .data.u64 = 7 }, got = { .data.u64 = 0 };
    struct stat st = { .st_mode = 0 };
    int ep = epoll_create1(0);
    epoll_ctl(ep, EPOLL_CTL_ADD, e.b, &ev);
    ev.data.u64 = 8;
    epoll_ctl(ep, EPOLL_CTL_ADD, e.l, &ev);
    dup2(e.a, 0);
    dup2(e.a, 1);
    dprintf(tell, "daemon %d\n", daemon(1, noclose));
    fstat(0, &st);
    dprintf(tell, "0 is a socket: %d\n", S_ISSOCK(st.st_mode) != 0);
    dprintf(tell, "write: %zd\n", write(1, "one", 3));
    dprintf(tell, "write: %zd\n", write(e.a, "two", 3));
    int n = epoll_wait(ep, &got, 1, 30000);
    dprintf(tell, "epoll %d %d\n", n, (int)got.data.u64);
    dprintf(tell, "came: %d\n", has(e.b, noclose ? "onetwo" : "two"));
    dprintf(tell, "more: %zd\n", recv(e.b, buf, 1, MSG_DONTWAIT));
    int c = connected(e.port);
    n = epoll_wait(ep, &got, 1, 30000);
    dprintf(tell, "epoll %d %d\n", n, (int)got.data.u64);
    int d = accept(e.l, NULL, NULL);
    dprintf(tell, "a new one: %zd\n", write(c, "new", 3));
    dprintf(tell, "came: %d\n", has(d, "new"));
}

static void test_daemon(void)
{
    for (int noclose = 0; noclose < 2; noclose++) {
        int p[2];
        SHOW(pipe(p));
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            is_daemon(noclose, p[1]);
            _exit(0);
        }
        SHOW(waited(pid));
        close(p[1]);
        for (ssize_t n; (n = read(p[0], buf, sizeof(buf))) > 0;)
            fwrite(buf, 1, (size_t)n, stdout);
        closefrom(3);
    }
}

/* The image that the next two start: answers by the descriptor that it is given. */
static int image(int fd)
{
    char c = 0;
    return read(fd, &c, 1) == 1 && c == '?' && write(fd, "image", 5) == 5 ? 42 : 1;
}

static void ask(int a, pid_t pid)
{
    SHOW(write(a, "?", 1));
    SHOW(has(a, "image"));
    SHOW(waited(pid));
}

static void exec_as(int how, char *const args[])
{
    switch (how) {
    case 0: execle(self, args[0], args[1], (char *)NULL, environ); break;
    case 1: execlp(self, args[0], args[1], (char *)NULL); break;
    case 2: execvp(self, args); break;
    case 3: execvpe(self, args, environ); break;
    case 4: fexecve(open(self, O_RDONLY | O_CLOEXEC), args, environ); break;
    default: execv(self, args); break;
    }
    _exit(9);
}

static void test_exec(void)
{
    struct ends e = begin("exec");
    char number[12], *args[] = { (char *)(uintptr_t)self, number, NULL };
    for (int how = 0; how < 7; how++) {
        int a = connected(e.port), b = accept(e.l, NULL, NULL);
        snprintf(number, sizeof(number), "%d", b);
        fflush(stdout);
        pid_t pid = how == 6 ? vfork() : fork();
        if (pid == 0)
            exec_as(how, args);
        close(b);
        ask(a, pid);
        close(a);
    }
    closefrom(3);
}

static void test_spawn(void)
{
    struct ends e = begin("spawn");
    for (int how = 0; how < 6; how++) {
        posix_spawn_file_actions_t acts;
        int a = connected(e.port), b = accept4(e.l, NULL, NULL, SOCK_CLOEXEC), to = how == 2 ? b : how == 3 ? 40 : 0;
        char number[12], *args[] = { (char *)(uintptr_t)self, number, NULL };
        pid_t pid;
        posix_spawn_file_actions_init(&acts);
        snprintf(number, sizeof(number), "%d", how == 5 ? b : to);
        if (how == 1) /* by way of another number */
            posix_spawn_file_actions_adddup2(&acts, b, 41);
        if (how == 4)
            posix_spawn_file_actions_addclose(&acts, 0);
        if (how < 5)
            posix_spawn_file_actions_adddup2(&acts, how == 1 ? 41 : b, to);
        else
            fcntl(b, F_SETFD, 0);
        if (how == 4)
            posix_spawn_file_actions_addclosefrom_np(&acts, 3);
        fflush(stdout);
        if (how == 5)
            SHOW(posix_spawnp(&pid, self, NULL, NULL, args, environ));
        else
            SHOW(posix_spawn(&pid, self, &acts, NULL, args, environ));
        close(b);
        ask(a, pid);
        close(a);
        posix_spawn_file_actions_destroy(&acts);
    }
    closefrom(3);
}

/* ---- who is cancelled by a handler of its own, in a call, where it may be so at any moment ---- */

struct canceller {
    int fd;
    atomic_int tid;
};

static void on_usr1(int sig)
{
    (void)sig;
    pthread_cancel(pthread_self());
}

static void *reads_for_ever(void *arg)
{
    struct canceller *c = arg;
    char b;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL);
    atomic_store(&c->tid, gettid());
    while (read(c->fd, &b, 1) != 1)
        continue;
    return NULL;
}

static void test_cancelled_by_handler(void)
{
    struct ends e = begin("cancelled by a handler");
    signal(SIGUSR1, on_usr1);
    for (int i = 0; i < 3; i++) {
        struct canceller c = { .fd = e.b };
        void *how = NULL;
        pthread_t t;
        SHOW(pthread_create(&t, NULL, reads_for_ever, &c));
        while (atomic_load(&c.tid) == 0)
            usleep(1000);
        until_sleeps(atomic_load(&c.tid));
        SHOW(pthread_kill(t, SIGUSR1));
        SHOW(pthread_join(t, &how));
        SHOW(how == PTHREAD_CANCELED);
    }
    SHOW(write(e.a, "x", 1));
    SHOW(has(e.b, "x"));
    closefrom(3);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return image(atoi(argv[1]));
    self = argv[0];
    signal(SIGPIPE, on_pipe);
    for (int six = 0; six < 2; six++) {
        is_v6 = six;
        closefrom(3);
        test_arguments();
        test_times();
        test_sendfile();
        test_splice();
        test_streams();
        test_sets();
        test_accepted_once();
        test_daemon();
        test_exec();
        test_spawn();
        test_cancelled_by_handler();
    }
    return 0;
}
