/* diff_proc.c - threads, processes and signals: a call that waits and one elsewhere that ends its waiting; calls made by a forked child */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/diff/diff.h"

enum { PATIENCE_MS = 60000, SMALL = 700, TICK_US = 500 };

static atomic_int sigpipes, alarms;

static void on_pipe(int sig)
{
    (void)sig;
    atomic_fetch_add(&sigpipes, 1);
}
static void on_alarm(int sig)
{
    (void)sig;
    atomic_fetch_add(&alarms, 1);
}

void diff_signals_init(void)
{
    struct sigaction sa = { .sa_handler = on_pipe };

    sigaction(SIGPIPE, &sa, NULL);
    sa.sa_handler = on_alarm; /* no SA_RESTART: what waits is interrupted */
    sigaction(SIGALRM, &sa, NULL);
}

int diff_sigpipes(void) { return atomic_exchange(&sigpipes, 0); }

/* ---- threads ---- */

static short events_of(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

/* Is it readable with its first byte? */
static bool needs_many(int fd)
{
    int least = 1;
    socklen_t len = sizeof(least);

    return getsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &least, &len) == 0 && least > 1;
}

/* Nothing to read, the other end can write, nothing has ended: who waits is woken by what the other end sends. */
int diff_quiet_pair(struct diff_run *r, int *other)
{
    int slot = diff_slot_with(r, diff_is_conn);
    const struct diff_sock *s = &r->sock[slot];

    *other = slot < 0 ? -1 : diff_other_end(r, s);
    if (*other < 0 || needs_many(s->fd) || r->conns[s->conn].in_flight[1 - s->end] || events_of(s->fd, POLLIN | POLLRDHUP) ||
        events_of(r->sock[*other].fd, POLLOUT | POLLRDHUP) != POLLOUT)
        return -1;
    return slot;
}

enum waiting { WAIT_RECV, WAIT_RECV_ALL, WAIT_POLL, WAIT_EPOLL, WAIT_SELECT, N_WAITING };
static const char *const waiting_names[] = { "recv", "recv WAITALL", "poll", "epoll_wait", "select" };

struct waiter {
    enum waiting how;
    int fd;
    uint32_t want;
    long rc;
    int error;
    uint8_t buf[SMALL];
};

static void *wait_in_thread(void *arg)
{
    struct waiter *w = arg;
    struct pollfd p = { .fd = w->fd, .events = POLLIN };
    struct epoll_event ev = { .events = EPOLLIN };
    struct timeval tv = { .tv_sec = PATIENCE_MS / 1000 };
    fd_set rd;
    int ep;

    switch (w->how) {
    case WAIT_RECV:
    case WAIT_RECV_ALL:
        w->rc = recv(w->fd, w->buf, w->want, w->how == WAIT_RECV_ALL ? MSG_WAITALL : 0);
        break;
    case WAIT_POLL:
        w->rc = poll(&p, 1, PATIENCE_MS);
        break;
    case WAIT_EPOLL:
        ep = epoll_create1(EPOLL_CLOEXEC);
        w->rc = ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, w->fd, &ev) != 0 ? -1 : epoll_wait(ep, &ev, 1, PATIENCE_MS);
        w->error = errno;
        close(ep);
        return NULL;
    default:
        FD_ZERO(&rd);
        FD_SET(w->fd, &rd);
        w->rc = select(w->fd + 1, &rd, NULL, NULL, &tv);
    }
    w->error = errno;
    return NULL;
}

/* For one call: it may wait, with a limit, so that no sequence hangs. */
int diff_let_block(int fd, long sec)
{
    struct timeval tv = { .tv_sec = sec };
    int flags = fcntl(fd, F_GETFL);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
    fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
    return flags;
}

void diff_let_be(int fd, int flags)
{
    struct timeval tv = { .tv_usec = DIFF_RECV_TIMEOUT_US };

    fcntl(fd, F_SETFL, flags);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

void diff_op_thread(struct diff_run *r)
{
    struct waiter w = { .how = (enum waiting)diff_rand(r, N_WAITING) };
    uint32_t len = 1 + diff_rand(r, SMALL - 1);
    bool early = diff_chance(r, 50);
    uint8_t buf[SMALL];
    int other, slot = diff_quiet_pair(r, &other), flags;
    pthread_t t;
    long sent;

    if (slot < 0 || (len = diff_room(r, &r->sock[other], len)) == 0)
        return;
    w.fd = r->sock[slot].fd;
    w.want = len;
    diff_fill_bytes(r, buf, len);
    flags = diff_let_block(w.fd, PATIENCE_MS / 1000);
    if (pthread_create(&t, NULL, wait_in_thread, &w) != 0)
        return;
    if (early) /* mostly the thread waits by then; the answer is the same if it does not */
        usleep(200);
    sent = send(r->sock[other].fd, buf, len, MSG_NOSIGNAL);
    pthread_join(t, NULL);
    diff_let_be(w.fd, flags);
    diff_count_sent(r, &r->sock[other], sent);
    if (w.how <= WAIT_RECV_ALL)
        diff_count_read(r, &r->sock[slot], w.rc);
    diff_log(r, "thread %s(s%d) while s%d sends %ld: %s sum %08x", waiting_names[w.how], slot, other, sent, diff_err(w.rc, w.error),
             w.how <= WAIT_RECV_ALL && w.rc > 0 ? diff_sum(w.buf, (size_t)w.rc) : 0);
}

/* ---- processes ---- */

struct child_answer { long rc; int error; uint32_t sum; };
static const char *const child_names[] = { "send", "recv", "peek", "close", "poll" };

static void child_line(char out[DIFF_LINE], int what, int slot, uint32_t len, const struct child_answer *a)
{
    snprintf(out, DIFF_LINE, "child %s(s%d, %u) %s sum %08x", child_names[what], slot, len, diff_err(a->rc, a->error), a->sum);
}

static void in_child(const struct diff_sock *s, int what, const uint8_t *buf, uint32_t len, struct child_answer *a)
{
    uint8_t in[SMALL];

    switch (what) {
    case 0: a->rc = send(s->fd, buf, len, MSG_NOSIGNAL | MSG_DONTWAIT); break;
    case 1: a->rc = recv(s->fd, in, len, MSG_DONTWAIT); break;
    case 2: a->rc = recv(s->fd, in, len, MSG_DONTWAIT | MSG_PEEK); break;
    case 3: a->rc = close(s->fd); break;
    default: a->rc = events_of(s->fd, POLLIN | POLLOUT | POLLRDHUP); break;
    }
    a->error = errno;
    a->sum = (what == 1 || what == 2) && a->rc > 0 ? diff_sum(in, (size_t)a->rc) : 0;
}

/* An end that changes hands takes a moment: what changes nothing is done again until it answers as the log says. */
static void child_calls(struct diff_run *r, int slot, int what, const uint8_t *buf, uint32_t len, struct child_answer *a)
{
    int64_t end = diff_now_ms() + r->wait_ms;
    char line[DIFF_LINE];

    do {
        in_child(&r->sock[slot], what, buf, len, a);
        child_line(line, what, slot, len, a);
        if (!r->compare || strcmp(line, r->line) == 0 || !(what == 2 || what == 4 || (a->rc < 0 && a->error == EAGAIN)))
            return;
        usleep(100);
    } while (diff_now_ms() < end);
}

/* The other ends are this process's, as if they were another program's that waits for them: when an end changes hands, they help. */
void diff_attend(struct diff_run *r, int until)
{
    struct pollfd p[DIFF_SOCKS + 1];

    for (int i = 0; i < DIFF_SOCKS; i++)
        p[i] = (struct pollfd){ .fd = r->sock[i].fd };
    p[DIFF_SOCKS] = (struct pollfd){ .fd = until, .events = POLLIN };
    while (!p[DIFF_SOCKS].revents)
        poll(p, DIFF_SOCKS + 1, 1);
}

/* Both ends are there and nothing has ended: how an end that is over looks to a child is not compared (README, limits). */
int diff_open_stream(struct diff_run *r)
{
    int slot = diff_slot_with(r, diff_is_conn), other = slot < 0 ? -1 : diff_other_end(r, &r->sock[slot]);

    return other < 0 || events_of(r->sock[slot].fd, POLLRDHUP) || events_of(r->sock[other].fd, POLLRDHUP) ? -1 : slot;
}

bool diff_child_ends(struct diff_run *r, pid_t pid, const int pipe[2], void *answer, size_t len, int *status)
{
    bool is_told;

    close(pipe[1]);
    diff_attend(r, pipe[0]);
    is_told = read(pipe[0], answer, len) == (ssize_t)len;
    close(pipe[0]);
    waitpid(pid, status, 0);
    return is_told;
}

/* A child does one thing with a stream and ends; its parent goes on with it. */
void diff_op_fork(struct diff_run *r)
{
    int slot = diff_open_stream(r), what = (int)diff_rand(r, 5), p[2], status = 0;
    uint32_t len = 1 + diff_rand(r, SMALL - 1);
    struct child_answer a = { -2, 0, 0 };
    char line[DIFF_LINE];
    uint8_t buf[SMALL];
    pid_t pid;

    if (slot < 0 || (what == 0 && (len = diff_room(r, &r->sock[slot], len)) == 0) || pipe2(p, O_CLOEXEC) != 0)
        return;
    if (what == 0)
        diff_fill_bytes(r, buf, len);
    fflush(stdout);
    if (r->compare && !diff_next_line(r))
        r->line[0] = 0;
    pid = fork();
    if (pid == 0) {
        child_calls(r, slot, what, buf, len, &a);
        _exit(write(p[1], &a, sizeof(a)) == (ssize_t)sizeof(a) ? 0 : 1);
    }
    if (!diff_child_ends(r, pid, p, &a, sizeof(a), &status))
        a.rc = -3;
    if (what == 0)
        diff_count_sent(r, &r->sock[slot], a.rc);
    if (what == 1)
        diff_count_read(r, &r->sock[slot], a.rc);
    child_line(line, what, slot, len, &a);
    if (status)
        snprintf(line, sizeof(line), "child's status %x", status);
    diff_log(r, "%s", line);
}

/* ---- signals ---- */

/* A call that waits with another mask, and a signal that it lets in is pending: what is ready comes first. */
static void pending_signal(struct diff_run *r)
{
    int slot = diff_slot_any(r), how = (int)diff_rand(r, 3), rc, error, ep = -1;
    struct timespec ts = { .tv_sec = PATIENCE_MS / 1000 };
    struct pollfd p = { .fd = slot < 0 ? -1 : r->sock[slot].fd, .events = POLLIN };
    struct epoll_event ev = { .events = EPOLLIN };
    sigset_t block, none;
    fd_set rd;

    if (slot < 0)
        return;
    sigemptyset(&none);
    sigemptyset(&block);
    sigaddset(&block, SIGALRM);
    pthread_sigmask(SIG_BLOCK, &block, NULL);
    raise(SIGALRM);
    FD_ZERO(&rd);
    FD_SET(p.fd, &rd);
    if (how == 0) {
        rc = ppoll(&p, 1, &ts, &none);
    } else if (how == 1) {
        rc = pselect(p.fd + 1, &rd, NULL, NULL, &ts, &none);
    } else {
        ep = epoll_create1(EPOLL_CLOEXEC);
        rc = epoll_ctl(ep, EPOLL_CTL_ADD, p.fd, &ev) != 0 ? -1 : epoll_pwait(ep, &ev, 1, PATIENCE_MS, &none);
    }
    error = errno;
    pthread_sigmask(SIG_UNBLOCK, &block, NULL);
    if (ep >= 0)
        close(ep);
    diff_log(r, "signal pending, %s(s%d) %s handled %d", how == 0 ? "ppoll" : how == 1 ? "pselect" : "epoll_pwait", slot,
             diff_err(rc, error), atomic_exchange(&alarms, 0));
}

/* A call that waits for bytes is interrupted. The timer goes on, so that a signal before the wait is followed by one in it. */
static void interrupted(struct diff_run *r)
{
    struct itimerval on = { { 0, TICK_US }, { 0, TICK_US } }, off = { { 0, 0 }, { 0, 0 } };
    int other, slot = diff_quiet_pair(r, &other), flags, error;
    bool by_poll = diff_chance(r, 40);
    uint8_t buf[SMALL];
    long rc;

    if (slot < 0)
        return;
    flags = diff_let_block(r->sock[slot].fd, 0);
    setitimer(ITIMER_REAL, &on, NULL);
    if (by_poll) {
        struct pollfd p = { .fd = r->sock[slot].fd, .events = POLLIN };
        rc = poll(&p, 1, PATIENCE_MS);
    } else {
        rc = recv(r->sock[slot].fd, buf, sizeof(buf), 0);
    }
    error = errno;
    setitimer(ITIMER_REAL, &off, NULL);
    diff_let_be(r->sock[slot].fd, flags);
    diff_log(r, "%s(s%d) interrupted %s handled %d", by_poll ? "poll" : "recv", slot, diff_err(rc, error), atomic_exchange(&alarms, 0) > 0);
}

void diff_op_signal(struct diff_run *r)
{
    if (diff_chance(r, 50))
        pending_signal(r);
    else
        interrupted(r);
}
