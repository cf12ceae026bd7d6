/* diff_log.c - random numbers, the log, and its comparison: instant answers at once, readiness with time to come */
#include <errno.h>
#include <linux/sockios.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>
#include "common/splitmix.h"
#include "tests/diff/diff.h"

uint32_t diff_rand(struct diff_run *r, uint32_t below)
{
    uint64_t z = hs_splitmix(&r->rng);

    return below ? (uint32_t)(z >> 16) % below : 0;
}
bool diff_chance(struct diff_run *r, unsigned percent) { return diff_rand(r, 100) < percent; }

int64_t diff_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

const char *diff_err(long result, int error)
{
    static char text[4][48];
    static unsigned turn;
    char *t = text[turn++ % 4];

    if (result >= 0)
        snprintf(t, sizeof(text[0]), "-> %ld", result);
    else
        snprintf(t, sizeof(text[0]), "-> -1 %s", strerrorname_np(error) ? strerrorname_np(error) : "?");
    return t;
}

uint32_t diff_sum(const void *p, size_t len)
{
    const uint8_t *b = p;
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ b[i]) * 16777619u;
    return h;
}

const char *diff_events(uint32_t ev)
{
    static const struct { uint32_t bit; const char *name; } names[] = {
        { EPOLLIN, "IN" }, { EPOLLPRI, "PRI" }, { EPOLLOUT, "OUT" }, { EPOLLERR, "ERR" }, { EPOLLHUP, "HUP" },
        { EPOLLRDHUP, "RDHUP" }, { EPOLLRDNORM, "RDNORM" }, { EPOLLWRNORM, "WRNORM" }, { EPOLLRDBAND, "RDBAND" },
        { EPOLLWRBAND, "WRBAND" }, { POLLNVAL, "NVAL" },
    };
    static char text[8][96];
    static unsigned turn;
    char *t = text[turn++ % 8];
    size_t at = 0;

    t[0] = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (ev & names[i].bit)
            at += (size_t)snprintf(t + at, sizeof(text[0]) - at, "%s%s", at ? "|" : "", names[i].name);
    return at ? t : "0";
}

/* ---- the log ---- */

static void remember(struct diff_run *r, const char *line)
{
    if (r->n_history == DIFF_HISTORY) {
        memmove(r->history[0], r->history[1], sizeof(r->history) - sizeof(r->history[0]));
        r->n_history--;
    }
    snprintf(r->history[r->n_history++], DIFF_LINE, "%s", line);
}

bool diff_next_line(struct diff_run *r)
{
    if (r->has_line)
        return true;
    if (!fgets(r->line, sizeof(r->line), stdin))
        return false;
    r->line[strcspn(r->line, "\n")] = 0;
    r->has_line = true;
    return true;
}

static void differs(struct diff_run *r, const char *got)
{
    printf("# seed %llu differs after:\n", (unsigned long long)r->seed);
    for (int i = 0; i < r->n_history; i++)
        if (strncmp(r->history[i], "state", 5) || i + 1 == r->n_history)
            printf("#   %s\n", r->history[i]);
    printf("#  kernel: %s\n#  stack:  %s\n", r->has_line ? r->line : "(end of the log)", got);
    fflush(stdout);
    r->failed = true;
}

bool diff_log(struct diff_run *r, const char *fmt, ...)
{
    char line[DIFF_LINE];
    va_list ap;

    if (r->failed)
        return false;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    if (!r->compare) {
        puts(line);
        return true;
    }
    if (!diff_next_line(r) || strcmp(r->line, line) != 0) {
        differs(r, line);
        return false;
    }
    r->has_line = false;
    remember(r, line);
    if (r->verbose)
        printf("%s\n", line);
    return true;
}

bool diff_log_until(struct diff_run *r, void (*make)(struct diff_run *r, char *out, size_t size, void *arg), void *arg)
{
    char line[DIFF_LINE] = "";
    int64_t end = diff_now_ms() + r->wait_ms;
    unsigned turns = 0;

    if (r->failed)
        return false;
    make(r, line, sizeof(line), arg);
    if (r->compare && diff_next_line(r))
        while (strcmp(line, r->line) != 0 && diff_now_ms() < end) {
            if (++turns > 3)
                usleep(turns < 200 ? 20 : 1000);
            make(r, line, sizeof(line), arg);
        }
    return diff_log(r, "%s", line);
}

/* ---- the state of all sockets ---- */

static void make_state(struct diff_run *r, char *out, size_t size, void *arg)
{
    struct pollfd p[DIFF_SOCKS];
    size_t at = 0;

    (void)arg;
    for (int i = 0; i < DIFF_SOCKS; i++)
        p[i] = (struct pollfd){ .fd = r->sock[i].fd, .events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP };
    poll(p, DIFF_SOCKS, 0);
    at += (size_t)snprintf(out, size, "state");
    for (int i = 0; i < DIFF_SOCKS; i++) {
        const struct diff_sock *s = &r->sock[i];
        int n = -1;

        if (s->fd < 0)
            continue;
        if (!s->listening && ioctl(s->fd, FIONREAD, &n) < 0)
            n = -errno;
        at += (size_t)snprintf(out + at, size - at, " %d:%s,%d", i, diff_events((uint32_t)p[i].revents), n);
    }
}

/* The kernel's own log must be of a moment when nothing is under way: bytes that a full receiver held back have been sent. */
static void wait_until_sent(struct diff_run *r)
{
    /* Who has closed acknowledges nothing any more: a small write may wait for the first retransmission. */
    int64_t end = diff_now_ms() + 500;

    for (int i = 0; i < DIFF_SOCKS; i++) {
        int n = 0;

        while (r->sock[i].conn >= 0 && ioctl(r->sock[i].fd, SIOCOUTQNSD, &n) == 0 && n > 0 && diff_now_ms() < end)
            usleep(200);
    }
}

void diff_settle(struct diff_run *r)
{
    if (!r->compare)
        wait_until_sent(r);
    diff_log_until(r, make_state, NULL);
    for (int i = 0; i < DIFF_SOCKS; i++) /* of a connect in progress it may come late */
        if (r->sock[i].conn >= 0 && r->sock[i].port == 0)
            diff_slot_refresh(r, i);
}

/* ---- sequences ---- */

void diff_begin(struct diff_run *r, uint64_t seed)
{
    r->seed = seed;
    r->rng = seed * 0x2545f4914f6cdd1du + 1;
    r->failed = false;
    r->n_history = 0;
    r->n_conns = 0;
    r->next_byte = 0;
    for (int i = 0; i < DIFF_SOCKS; i++)
        r->sock[i] = (struct diff_sock){ .fd = -1, .conn = -1 };
    for (int i = 0; i < DIFF_SETS; i++) {
        memset(&r->set[i], 0, sizeof(r->set[i]));
        r->set[i].fd = -1;
    }
    diff_log(r, "seed %llu", (unsigned long long)seed);
}

void diff_end(struct diff_run *r)
{
    char end[48];

    snprintf(end, sizeof(end), "end %llu", (unsigned long long)r->seed);
    if (!r->compare)
        puts(end);
    else
        while (diff_next_line(r)) {
            r->has_line = false;
            if (!strcmp(r->line, end))
                break;
        }
}
