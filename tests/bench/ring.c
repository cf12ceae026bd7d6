/* ring.c - the reference for cut-through: a byte ring between two processes, nothing around it; what two programs could reach at best
 *   ring stream SIZE SECONDS            both sides sleep on pipes when there is nothing to do; prints Gbit/s
 *   ring rtt SIZE SECONDS sleep|busy    prints median, 99 %, 99.9 % and maximum in us
 * 1 MB a direction, head and tail on lines of their own, a copy in and a copy out as with read() and write(); unpinned. */
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/bench/measure.h"

enum { RING = 1 << 20, RING_BUF = 1 << 20 };

struct ring {
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic bool sleeps[2];      /* reader, writer: ring the pipe */
    _Alignas(64) uint8_t data[RING];
};
static struct ring *ring[2]; /* child to parent, parent to child */
static int bell[2][2][2];    /* [ring][reader, writer][pipe end] */
static uint8_t buf[RING_BUF];

/* Until the other side has moved its counter: announce, full fence, look once more, sleep; the other side does the reverse. */
static void wait_until_moved(unsigned r, unsigned who, const _Atomic uint64_t *counter, uint64_t seen, bool busy)
{
    char c;

    while (atomic_load_explicit(counter, memory_order_acquire) == seen) {
        if (busy)
            continue;
        atomic_store(&ring[r]->sleeps[who], true);
        atomic_thread_fence(memory_order_seq_cst);
        if (atomic_load(counter) != seen && atomic_exchange(&ring[r]->sleeps[who], false))
            return;
        if (read(bell[r][who][0], &c, 1) != 1)
            _exit(1);
    }
}

static void wake(unsigned r, unsigned who)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&ring[r]->sleeps[who], memory_order_relaxed) && atomic_exchange(&ring[r]->sleeps[who], false) &&
        write(bell[r][who][1], "", 1) != 1)
        _exit(1);
}

static size_t min_of(size_t a, size_t b) { return a < b ? a : b; }

static void copy(uint8_t *to_ring, const uint8_t *from_ring, uint8_t *plain, uint64_t pos, size_t len)
{
    size_t at = pos % RING, first = min_of(len, RING - at);

    if (to_ring) {
        memcpy(to_ring + at, plain, first);
        memcpy(to_ring, plain + first, len - first);
    } else {
        memcpy(plain, from_ring + at, first);
        memcpy(plain + first, from_ring, len - first);
    }
}

static void put(unsigned r, size_t size, bool busy)
{
    struct ring *q = ring[r];

    for (size_t done = 0; done < size;) {
        uint64_t tail = atomic_load_explicit(&q->tail, memory_order_relaxed), head = atomic_load_explicit(&q->head, memory_order_acquire);
        size_t n = min_of(size - done, RING - (tail - head));
        if (n == 0) {
            wait_until_moved(r, 1, &q->head, head, busy);
            continue;
        }
        copy(q->data, NULL, buf + done, tail, n);
        atomic_store_explicit(&q->tail, tail + n, memory_order_release);
        wake(r, 0);
        done += n;
    }
}

static size_t get(unsigned r, size_t max, bool busy)
{
    struct ring *q = ring[r];
    uint64_t head = atomic_load_explicit(&q->head, memory_order_relaxed), tail;

    while ((tail = atomic_load_explicit(&q->tail, memory_order_acquire)) == head)
        wait_until_moved(r, 0, &q->tail, head, busy);
    size_t n = min_of(max, tail - head);
    copy(NULL, q->data, buf, head, n);
    atomic_store_explicit(&q->head, head + n, memory_order_release);
    wake(r, 1);
    return n;
}

static void get_all(unsigned r, size_t size, bool busy)
{
    for (size_t got = 0; got < size;)
        got += get(r, size - got, busy);
}

static void stream(size_t size, double seconds)
{
    struct window w = window_of(seconds);

    do
        put(1, size, false);
    while (!window_is_over(&w, size));
}

static void rtt(size_t size, double seconds, bool busy)
{
    struct trips t = trips_begin(seconds);

    do {
        put(1, size, busy);
        get_all(0, size, busy);
    } while (trips_next(&t));
    trips_print(&t);
}

static void die(const char *what)
{
    fprintf(stderr, "ring: %s: %s\n", what, strerror(errno));
    exit(1);
}

int main(int argc, char **argv)
{
    bool is_rtt = argc == 5 && strcmp(argv[1], "rtt") == 0, busy = is_rtt && strcmp(argv[4], "busy") == 0;
    size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;

    if ((!is_rtt && (argc != 4 || strcmp(argv[1], "stream") != 0)) || size == 0 || size > sizeof(buf)) {
        fputs("usage: ring stream SIZE SECONDS | ring rtt SIZE SECONDS sleep|busy\n", stderr);
        return 2;
    }
    for (unsigned r = 0; r < 2; r++) {
        ring[r] = mmap(NULL, sizeof(*ring[r]), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (ring[r] == MAP_FAILED || pipe(bell[r][0]) < 0 || pipe(bell[r][1]) < 0)
            die("memory and pipes");
    }
    pid_t child = fork();
    if (child < 0)
        die("fork");
    if (child == 0) {
        for (;;) {
            if (is_rtt) {
                get_all(1, size, busy);
                put(0, size, busy);
            } else {
                get(1, sizeof(buf), false);
            }
        }
    }
    if (is_rtt)
        rtt(size, atof(argv[3]), busy);
    else
        stream(size, atof(argv[3]));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    return 0;
}
