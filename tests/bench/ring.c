/* ring.c - the reference for cut-through: a byte ring between two processes, nothing around it; what two programs could reach at best
 *   ring stream SIZE SECONDS            both sides sleep on pipes when there is nothing to do; prints Gbit/s
 *   ring rtt SIZE SECONDS sleep|busy    prints median, 99 %, 99.9 % and maximum in us
 * 1 MB a direction, head and tail on lines of their own, a copy in and a copy out as with read() and write(); unpinned. */
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/bench/netload.h"

enum { RING = 1 << 20, MAX_SAMPLES = 4000000, CHECK_BYTES = 65536, WARM_UP_PERCENT = 25 };

struct ring {
    _Alignas(64) _Atomic uint64_t tail;
    _Alignas(64) _Atomic uint64_t head;
    _Alignas(64) _Atomic bool sleeps[2];      /* reader, writer: ring the pipe */
    _Alignas(64) uint8_t data[RING];
};
static struct ring *ring[2]; /* child to parent, parent to child */
static int bell[2][2][2];    /* [ring][reader, writer][pipe end] */
static uint8_t buf[NETLOAD_BUF];

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
    uint64_t ns = (uint64_t)(seconds * 1e9), from = now_ns() + ns * WARM_UP_PERCENT / 100, begin = 0, bytes = 0, unchecked = 0;

    for (;;) {
        put(1, size, false);
        bytes += size;
        if ((unchecked += size) < CHECK_BYTES)
            continue;
        unchecked = 0;
        uint64_t now = now_ns();
        if (begin == 0 && now >= from) {
            begin = now;
            bytes = 0;
        } else if (begin && now >= begin + ns) {
            printf("%.4f\n", (double)bytes * 8 / (double)(now - begin));
            return;
        }
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void rtt(size_t size, double seconds, bool busy)
{
    uint32_t *ns = malloc(MAX_SAMPLES * sizeof(*ns));
    uint64_t t = now_ns(), end = t + (uint64_t)(seconds * 1e9);
    size_t n = 0;

    while (ns && t < end && n < MAX_SAMPLES) {
        put(1, size, busy);
        get_all(0, size, busy);
        uint64_t u = now_ns();
        ns[n++] = (uint32_t)(u - t);
        t = u;
    }
    if (n == 0)
        netload_die("rtt");
    qsort(ns, n, sizeof(*ns), by_value);
    printf("%.3f %.3f %.3f %.3f\n", ns[n / 2] / 1e3, ns[n * 99 / 100] / 1e3, ns[n * 999 / 1000] / 1e3, ns[n - 1] / 1e3);
    free(ns);
}

void netload_die(const char *what)
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
            netload_die("memory and pipes");
    }
    pid_t child = fork();
    if (child < 0)
        netload_die("fork");
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
