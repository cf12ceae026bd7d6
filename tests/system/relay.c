/* relay.c - a bad link: carries frames between two TAPs that it makes in two network namespaces, and impairs TCP on the way
 *
 *   relay NAMESPACE-A IFNAME-A NAMESPACE-B IFNAME-B [WORD=VALUE]...      prints "ready", then works until SIGTERM; prints counts
 * Each line of its input is words too, which replace all that were given before (but for mtu); it answers each with the counts until then.
 *
 * Words, for both directions, with the prefix a. for what A sends, with b. for what B sends. Chances are of each TCP packet.
 *   seed=N        of all random choices
 *   loss=PPM      lost; in parts per million as all chances here
 *   burst=PPM     a burst of burst-len=N losses begins
 *   dup=PPM       comes twice
 *   reorder=PPM   is held back by reorder-us=N, so that others overtake it
 *   delay-us=N    of everything; jitter-us=N: 0 to N on top, in order
 *   rate=BITS     a second, with queue=N frames that may wait (default 100), those beyond are lost
 *   mtu=N         of both TAPs
 *
 * A TAP without offloads gets each segment for itself from any stack above it, so that chances are those of segments. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "common/splitmix.h"

enum { FRAME_MAX = 9100, BATCH = 64, HELD_MAX = 1 << 16, NS_PER_US = 1000 };

struct frame {
    uint64_t due_ns, order;   /* order: first in, first out among those due at once */
    uint32_t len;
    uint8_t bytes[];
};
struct params {
    uint64_t loss, burst, burst_len, dup, reorder, reorder_us, delay_us, jitter_us, rate, queue;
};
struct direction {
    struct params p;
    int from, to;
    uint64_t random, order;
    uint64_t line_free_ns;    /* the wire has sent all that it was given */
    uint64_t last_due_ns;     /* jitter does not reorder */
    uint64_t burst_left;
    struct frame **held;      /* a heap by due time */
    uint32_t n_held;
    uint64_t n_in, n_out, n_lost, n_queue_lost, n_dup, n_reordered, n_tap_full;
};

static volatile sig_atomic_t ended;

static void on_end(int sig)
{
    (void)sig;
    ended = 1;
}

static void __attribute__((noreturn)) die(const char *what, const char *which)
{
    fprintf(stderr, "relay: %s %s: %s\n", what, which, strerror(errno));
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t next_random(struct direction *d) { return hs_splitmix(&d->random); }
static bool chance(struct direction *d, uint64_t ppm) { return ppm && next_random(d) % 1000000 < ppm; }

/* ---- what is on its way ---- */

static bool is_before(const struct frame *a, const struct frame *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

static void held_add(struct direction *d, const uint8_t *bytes, uint32_t len, uint64_t due_ns)
{
    struct frame *f;
    uint32_t i;

    if (d->n_held == HELD_MAX) {
        d->n_queue_lost++;
        return;
    }
    f = malloc(sizeof(*f) + len);
    if (!f)
        die("no memory for", "a frame");
    f->due_ns = due_ns;
    f->order = d->order++;
    f->len = len;
    memcpy(f->bytes, bytes, len);
    for (i = d->n_held++; i && is_before(f, d->held[(i - 1) / 2]); i = (i - 1) / 2)
        d->held[i] = d->held[(i - 1) / 2];
    d->held[i] = f;
}

static struct frame *held_take(struct direction *d)
{
    struct frame *first = d->held[0], *last = d->held[--d->n_held];
    uint32_t i = 0;

    for (;;) {
        uint32_t child = 2 * i + 1;

        if (child >= d->n_held)
            break;
        if (child + 1 < d->n_held && is_before(d->held[child + 1], d->held[child]))
            child++;
        if (!is_before(d->held[child], last))
            break;
        d->held[i] = d->held[child];
        i = child;
    }
    d->held[i] = last;
    return first;
}

/* ---- a frame comes in ---- */

/* Neighbour discovery and the like are only delayed: what they do about losses is not what is tested. */
static bool is_tcp(const uint8_t *f, uint32_t len)
{
    uint16_t type = len >= 54 ? (uint16_t)(f[12] << 8 | f[13]) : 0;

    return (type == 0x0800 && f[23] == 6) || (type == 0x86dd && f[20] == 6);
}

static bool is_lost(struct direction *d)
{
    if (d->burst_left) {
        d->burst_left--;
        return true;
    }
    if (chance(d, d->p.burst)) {
        d->burst_left = d->p.burst_len ? d->p.burst_len - 1 : 0;
        return true;
    }
    return chance(d, d->p.loss);
}

/* When the wire has sent it; 0 = the queue is full. */
static uint64_t through_the_queue(struct direction *d, uint32_t len, uint64_t now)
{
    uint64_t frame_ns;

    if (!d->p.rate)
        return now;
    frame_ns = (uint64_t)len * 8 * 1000000000u / d->p.rate;
    if (d->line_free_ns < now)
        d->line_free_ns = now;
    if (d->line_free_ns - now > d->p.queue * ((uint64_t)1514 * 8 * 1000000000u / d->p.rate))
        return 0;
    d->line_free_ns += frame_ns;
    return d->line_free_ns;
}

static void frame_in(struct direction *d, const uint8_t *bytes, uint32_t len, uint64_t now)
{
    bool tcp = is_tcp(bytes, len);
    uint64_t due;

    d->n_in++;
    if (tcp && is_lost(d)) {
        d->n_lost++;
        return;
    }
    due = through_the_queue(d, len, now);
    if (!due) {
        d->n_queue_lost++;
        return;
    }
    due += d->p.delay_us * NS_PER_US;
    if (d->p.jitter_us)
        due += next_random(d) % (d->p.jitter_us * NS_PER_US);
    if (due < d->last_due_ns)
        due = d->last_due_ns;
    d->last_due_ns = due;
    if (tcp && chance(d, d->p.reorder)) {
        due += d->p.reorder_us * NS_PER_US;
        d->n_reordered++;
    }
    held_add(d, bytes, len, due);
    if (tcp && chance(d, d->p.dup)) {
        held_add(d, bytes, len, due);
        d->n_dup++;
    }
}

static void direction_read(struct direction *d)
{
    static uint8_t buf[FRAME_MAX];

    for (int i = 0; i < BATCH; i++) {
        ssize_t n = read(d->from, buf, sizeof(buf));

        if (n <= 0)
            return;
        frame_in(d, buf, (uint32_t)n, now_ns());
    }
}

/* Sends what is due; the time of the next, UINT64_MAX = none. */
static uint64_t direction_deliver(struct direction *d)
{
    while (d->n_held && d->held[0]->due_ns <= now_ns()) {
        struct frame *f = held_take(d);

        if (write(d->to, f->bytes, f->len) == (ssize_t)f->len)
            d->n_out++;
        else
            d->n_tap_full++;
        free(f);
    }
    return d->n_held ? d->held[0]->due_ns : UINT64_MAX;
}

/* ---- beginning ---- */

static void enter(const char *ns)
{
    char path[128];
    int fd;

    snprintf(path, sizeof(path), "/run/netns/%s", ns);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
        die("namespace", ns);
    close(fd);
}

static int tap_open(const char *ns, const char *name, int mtu)
{
    struct ifreq r = { .ifr_flags = IFF_TAP | IFF_NO_PI };
    int fd, s;

    enter(ns);
    fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    snprintf(r.ifr_name, sizeof(r.ifr_name), "%s", name);
    if (fd < 0 || ioctl(fd, TUNSETIFF, &r) < 0)
        die("TAP", name);
    s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    r.ifr_mtu = mtu;
    if (s < 0 || ioctl(s, SIOCSIFMTU, &r) < 0)
        die("MTU of", name);
    r.ifr_qlen = 10000; /* a burst waits here until it is read: only the relay loses frames */
    if (ioctl(s, SIOCSIFTXQLEN, &r) < 0)
        die("queue of", name);
    close(s);
    return fd;
}

static void counts_print(struct direction d[2])
{
    for (int i = 0; i < 2; i++) {
        struct direction *e = &d[i];

        printf("%c: in %lu out %lu lost %lu queue-lost %lu dup %lu reordered %lu refused %lu%s", 'A' + i, e->n_in, e->n_out, e->n_lost,
               e->n_queue_lost, e->n_dup, e->n_reordered, e->n_tap_full, i ? "\n" : "; ");
        e->n_in = e->n_out = e->n_lost = e->n_queue_lost = e->n_dup = e->n_reordered = e->n_tap_full = 0;
    }
    fflush(stdout);
}

static uint64_t *word_of(struct params *p, const char *name, size_t len)
{
    const struct { const char *name; uint64_t *value; } words[] = {
        { "loss", &p->loss }, { "burst", &p->burst }, { "burst-len", &p->burst_len }, { "dup", &p->dup }, { "reorder", &p->reorder },
        { "reorder-us", &p->reorder_us }, { "delay-us", &p->delay_us }, { "jitter-us", &p->jitter_us }, { "rate", &p->rate },
        { "queue", &p->queue },
    };

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].name) == len && memcmp(words[i].name, name, len) == 0)
            return words[i].value;
    }
    fprintf(stderr, "relay: unknown word '%.*s'\n", (int)len, name);
    exit(2);
}

static void set_word(struct direction d[2], const char *word, int *mtu)
{
    const char *eq = strchr(word, '='), *name = word;
    uint64_t value;
    char *end;
    int only = -1;

    if (word[0] && word[1] == '.') {
        only = word[0] == 'b';
        name += 2;
    }
    value = eq ? strtoull(eq + 1, &end, 10) : 0;
    if (!eq || end == eq + 1 || *end) {
        fprintf(stderr, "relay: '%s' is no WORD=NUMBER\n", word);
        exit(2);
    }
    if (eq - name == 4 && memcmp(name, "seed", 4) == 0) {
        for (int i = 0; i < 2; i++)
            d[i].random = value * 2 + (uint64_t)i;
        return;
    }
    if (eq - name == 3 && memcmp(name, "mtu", 3) == 0) {
        *mtu = (int)value;
        return;
    }
    for (int i = 0; i < 2; i++) {
        if (only < 0 || only == i)
            *word_of(&d[i].p, name, (size_t)(eq - name)) = value;
    }
}

static void params_default(struct direction d[2])
{
    for (int i = 0; i < 2; i++) {
        d[i].p = (struct params){ .queue = 100 };
        d[i].random = (uint64_t)i;
        d[i].line_free_ns = d[i].burst_left = 0;
    }
}

/* False: no more will come. */
static bool line_read(struct direction d[2])
{
    char line[1024], *save = NULL;
    ssize_t n = read(STDIN_FILENO, line, sizeof(line) - 1); /* a line is written at once */
    int mtu;

    if (n <= 0)
        return false;
    line[n] = '\0';
    counts_print(d);
    params_default(d);
    for (char *word = strtok_r(line, " \n", &save); word; word = strtok_r(NULL, " \n", &save))
        set_word(d, word, &mtu);
    return true;
}

static void run(struct direction d[2])
{
    struct pollfd fds[3] = { { .fd = d[0].from, .events = POLLIN }, { .fd = d[1].from, .events = POLLIN },
                             { .fd = STDIN_FILENO, .events = POLLIN } };

    while (!ended) {
        uint64_t a = direction_deliver(&d[0]), b = direction_deliver(&d[1]), next = a < b ? a : b, now = now_ns();
        uint64_t wait = next == UINT64_MAX ? 1000000000u : next > now ? next - now : 0;
        struct timespec t = { (time_t)(wait / 1000000000u), (long)(wait % 1000000000u) };

        if (ppoll(fds, 3, &t, NULL) < 0) {
            if (errno != EINTR)
                die("ppoll", "");
            continue;
        }
        if ((fds[2].revents & (POLLIN | POLLHUP)) && !line_read(d))
            fds[2].fd = -1;
        for (int i = 0; i < 2; i++) {
            if (fds[i].revents & POLLIN)
                direction_read(&d[i]);
        }
    }
}

int main(int argc, char **argv)
{
    static struct direction d[2];
    struct sigaction sa = { .sa_handler = on_end };
    int mtu = 1500;

    if (argc < 5) {
        fprintf(stderr, "usage: relay NAMESPACE-A IFNAME-A NAMESPACE-B IFNAME-B [WORD=VALUE]...\n");
        return 2;
    }
    sigaction(SIGTERM, &sa, NULL);
    sigaction(SIGINT, &sa, NULL);
    prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
    for (int i = 0; i < 2; i++) {
        d[i].held = malloc(HELD_MAX * sizeof(*d[i].held));
        if (!d[i].held)
            die("no memory for", "the queue");
    }
    params_default(d);
    for (int i = 5; i < argc; i++)
        set_word(d, argv[i], &mtu);
    d[0].from = d[1].to = tap_open(argv[1], argv[2], mtu);
    d[1].from = d[0].to = tap_open(argv[3], argv[4], mtu);
    printf("ready\n");
    fflush(stdout);
    run(d);
    counts_print(d);
    return 0;
}
