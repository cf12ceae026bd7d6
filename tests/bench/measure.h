/* measure.h - what the load programs measure with: a window of a stream, and the times of round trips
 * Errors: all of it ends the program with a message. */
#ifndef HOSTSTACK_TESTS_MEASURE_H
#define HOSTSTACK_TESTS_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

struct window { /* what goes by in length_ns, from the first look at the clock after the warm-up on */
    uint64_t from_ns, length_ns, begin_ns, bytes, unchecked;
};
struct window window_of(double seconds);
bool window_is_over(struct window *w, size_t bytes); /* counts them; true: has printed Gbit/s */

struct trips { /* round trips, one after the other */
    uint32_t *ns;
    size_t n;
    uint64_t last_ns, end_ns;
};
struct trips trips_begin(double seconds);
bool trips_next(struct trips *t);                    /* one has ended now; false: the time is over */
void trips_print(struct trips *t);                   /* median, 99 %, 99.9 % and maximum in us; frees */

#endif
