/* measure.c - a window of a stream, and the times of round trips */
#include "tests/bench/measure.h"

#include <stdio.h>
#include <stdlib.h>

enum { MAX_TRIPS = 4000000, WARM_UP_PERCENT = 25, CHECK_BYTES = 65536 };

struct window window_of(double seconds)
{
    uint64_t ns = (uint64_t)(seconds * 1e9);

    return (struct window){ .from_ns = now_ns() + ns * WARM_UP_PERCENT / 100, .length_ns = ns };
}

bool window_is_over(struct window *w, size_t bytes) /* looks at the clock every CHECK_BYTES */
{
    w->bytes += bytes;
    w->unchecked += bytes;
    if (w->unchecked < CHECK_BYTES)
        return false;
    w->unchecked = 0;
    uint64_t now = now_ns();
    if (w->begin_ns == 0 && now >= w->from_ns) {
        w->begin_ns = now;
        w->bytes = 0;
    }
    if (w->begin_ns == 0 || now < w->begin_ns + w->length_ns)
        return false;
    printf("%.4f\n", (double)w->bytes * 8 / (double)(now - w->begin_ns));
    return true;
}

struct trips trips_begin(double seconds)
{
    struct trips t = { .ns = malloc(MAX_TRIPS * sizeof(*t.ns)), .last_ns = now_ns() };

    if (!t.ns) {
        fputs("no memory\n", stderr);
        exit(1);
    }
    t.end_ns = t.last_ns + (uint64_t)(seconds * 1e9);
    return t;
}

bool trips_next(struct trips *t)
{
    uint64_t now = now_ns();

    t->ns[t->n++] = (uint32_t)(now - t->last_ns);
    t->last_ns = now;
    return now < t->end_ns && t->n < MAX_TRIPS;
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

void trips_print(struct trips *t)
{
    qsort(t->ns, t->n, sizeof(*t->ns), by_value);
    printf("%.3f %.3f %.3f %.3f\n", t->ns[t->n / 2] / 1e3, t->ns[t->n * 99 / 100] / 1e3, t->ns[t->n * 999 / 1000] / 1e3,
           t->ns[t->n - 1] / 1e3);
    free(t->ns);
}
