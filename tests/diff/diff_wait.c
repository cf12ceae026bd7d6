/* diff_wait.c - poll, ppoll, select, pselect and epoll sets: level, edge, one-shot, over copies of descriptors */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <unistd.h>
#include "tests/diff/diff.h"

static uint32_t some_events(struct diff_run *r)
{
    static const uint32_t one[] = { POLLIN, POLLOUT, POLLRDHUP, POLLPRI, POLLRDNORM, POLLWRNORM };
    uint32_t ev = 0;

    for (size_t i = 0; i < sizeof(one) / sizeof(one[0]); i++)
        if (diff_chance(r, i < 3 ? 60 : 15))
            ev |= one[i];
    return ev;
}

struct poll_arg { struct pollfd p[DIFF_SOCKS]; int slot[DIFF_SOCKS], n; bool with_mask; };

static void make_poll(struct diff_run *r, char *out, size_t size, void *arg)
{
    struct poll_arg *a = arg;
    struct timespec zero = { 0, 0 };
    sigset_t mask;
    int rc;
    size_t at;

    (void)r;
    sigemptyset(&mask);
    rc = a->with_mask ? ppoll(a->p, (nfds_t)a->n, &zero, &mask) : poll(a->p, (nfds_t)a->n, 0);
    at = (size_t)snprintf(out, size, "poll %s", diff_err(rc, errno));
    for (int i = 0; i < a->n; i++)
        at += (size_t)snprintf(out + at, size - at, " s%d %s: %s", a->slot[i], diff_events((uint16_t)a->p[i].events),
                               diff_events((uint16_t)a->p[i].revents));
}

void diff_op_poll(struct diff_run *r)
{
    struct poll_arg a = { .n = 0 };

    for (int i = 0; i < DIFF_SOCKS; i++)
        if (r->sock[i].fd >= 0 && diff_chance(r, 60)) {
            a.slot[a.n] = i;
            a.p[a.n++] = (struct pollfd){ .fd = diff_chance(r, 3) ? 77 : r->sock[i].fd, .events = (short)some_events(r) };
        }
    a.with_mask = diff_chance(r, 40);
    diff_log_until(r, make_poll, &a);
}

struct select_arg { int fd[DIFF_SOCKS], slot[DIFF_SOCKS], n, max; uint8_t want[DIFF_SOCKS]; bool pselect; };

static void make_select(struct diff_run *r, char *out, size_t size, void *arg)
{
    struct select_arg *a = arg;
    struct timeval tv = { 0, 0 };
    struct timespec ts = { 0, 0 };
    fd_set set[3];
    int rc;
    size_t at;

    (void)r;
    for (int k = 0; k < 3; k++) {
        FD_ZERO(&set[k]);
        for (int i = 0; i < a->n; i++)
            if (a->want[i] & 1 << k)
                FD_SET(a->fd[i], &set[k]);
    }
    rc = a->pselect ? pselect(a->max + 1, &set[0], &set[1], &set[2], &ts, NULL) : select(a->max + 1, &set[0], &set[1], &set[2], &tv);
    at = (size_t)snprintf(out, size, "select %s", diff_err(rc, errno));
    for (int i = 0; i < a->n && rc >= 0; i++)
        at += (size_t)snprintf(out + at, size - at, " s%d:%d%d%d", a->slot[i], FD_ISSET(a->fd[i], &set[0]) != 0,
                               FD_ISSET(a->fd[i], &set[1]) != 0, FD_ISSET(a->fd[i], &set[2]) != 0);
}

void diff_op_select(struct diff_run *r)
{
    struct select_arg a = { .max = 0 };

    for (int i = 0; i < DIFF_SOCKS; i++)
        if (r->sock[i].fd >= 0 && diff_chance(r, 70)) {
            a.slot[a.n] = i;
            a.fd[a.n] = r->sock[i].fd;
            a.want[a.n++] = (uint8_t)diff_rand(r, 8);
            a.max = r->sock[i].fd > a.max ? r->sock[i].fd : a.max;
        }
    a.pselect = diff_chance(r, 40);
    diff_log_until(r, make_select, &a);
}

/* ---- epoll ---- */

enum { EDGE = 1 << 8 }; /* in a key: the entry is edge-triggered */

static int set_of(struct diff_run *r)
{
    int k = (int)diff_rand(r, DIFF_SETS);

    if (r->set[k].fd < 0) {
        r->set[k].fd = epoll_create1(EPOLL_CLOEXEC);
        diff_log(r, "e%d = epoll_create %s", k, diff_err(r->set[k].fd, errno));
    }
    return k;
}

/* Neither connected nor listening: the kernel's until it is decided who serves it, and what was one shot of the kernel may be one of ours. */
static bool is_idle(const struct diff_sock *s) { return s->conn < 0 && !s->listening; }

void diff_op_epoll_ctl(struct diff_run *r)
{
    static const char *const names[] = { "?", "ADD", "DEL", "MOD" };
    int k = set_of(r), slot = diff_slot_any(r), op = diff_chance(r, 60) ? EPOLL_CTL_ADD : 1 + (int)diff_rand(r, 3), rc;
    uint32_t ev = some_events(r) | (diff_chance(r, 35) ? EPOLLET : 0) | (diff_chance(r, 15) ? EPOLLONESHOT : 0);
    /* both stacks serve it: one edge, one shot of each (compliance page) */
    if (slot >= 0 && (r->sock[slot].udp || r->sock[slot].ended || is_idle(&r->sock[slot])) && !r->wire)
        ev &= ~(uint32_t)(EPOLLET | EPOLLONESHOT);
    struct epoll_event e = { .events = ev, .data.u64 = (uint64_t)slot | (ev & EPOLLET ? EDGE : 0) };

    if (slot < 0 || r->failed)
        return;
    rc = epoll_ctl(r->set[k].fd, op, r->sock[slot].fd, &e);
    diff_log(r, "epoll_ctl(e%d, %s, s%d, %s%s%s) %s", k, names[op], slot, diff_events(ev), ev & EPOLLET ? "|ET" : "",
             ev & EPOLLONESHOT ? "|ONESHOT" : "", diff_err(rc, errno));
}

/* How often Linux tells of an edge beyond what is new (any wake-up of the socket is one: acknowledgments, errors of calls) is not
 * compared: what counts is that new bytes are told. */
static uint32_t edge_events(struct diff_run *r, int set, uint64_t key, uint32_t ev)
{
    const struct diff_sock *s = &r->sock[key & ~(uint64_t)EDGE];
    bool is_new = s->fd >= 0 && s->conn >= 0 && r->conns[s->conn].sends[1 - s->end] != r->set[set].sends_seen[key & ~(uint64_t)EDGE];

    return is_new && !(ev & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) ? ev & (EPOLLIN | EPOLLRDNORM) : 0;
}

struct wait_arg { int set, n_seen; struct { uint64_t key; uint32_t events; } seen[64]; };

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Edges may come one by one: what several waits tell is joined. */
static void make_wait(struct diff_run *r, char *out, size_t size, void *arg)
{
    struct wait_arg *a = arg;
    struct epoll_event ev[32];
    int n = epoll_wait(r->set[a->set].fd, ev, 32, 0), error = errno;
    size_t at;

    for (int i = 0; i < n; i++) {
        int k = 0;

        while (k < a->n_seen && a->seen[k].key != ev[i].data.u64)
            k++;
        if (k == a->n_seen && k < 64) {
            a->seen[k].key = ev[i].data.u64;
            a->seen[k].events = 0;
            a->n_seen++;
        }
        a->seen[k].events |= ev[i].events;
    }
    qsort(a->seen, (size_t)a->n_seen, sizeof(a->seen[0]), by_key);
    at = (size_t)snprintf(out, size, "epoll_wait(e%d)%s", a->set, n < 0 ? diff_err(n, error) : "");
    for (int i = 0; i < a->n_seen; i++) {
        uint32_t told = a->seen[i].key & EDGE ? edge_events(r, a->set, a->seen[i].key, a->seen[i].events) : a->seen[i].events;

        if (told)
            at += (size_t)snprintf(out + at, size - at, " %llu%s:%s", (unsigned long long)(a->seen[i].key & ~(uint64_t)EDGE),
                                   a->seen[i].key & EDGE ? "e" : "", diff_events(told));
    }
}

void diff_op_epoll_wait(struct diff_run *r)
{
    struct wait_arg a = { .set = (int)diff_rand(r, DIFF_SETS) };

    if (r->set[a.set].fd < 0)
        return;
    diff_log_until(r, make_wait, &a);
    for (int i = 0; i < DIFF_SOCKS; i++)
        if (r->sock[i].conn >= 0)
            r->set[a.set].sends_seen[i] = r->conns[r->sock[i].conn].sends[1 - r->sock[i].end];
}
