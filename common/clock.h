/* clock.h - the machine's monotonic clock in microseconds, and the time of day
 * Owner:  nobody, header only.
 * Thread: any.
 * Errors: none (CLOCK_MONOTONIC cannot fail). */
#ifndef HOSTSTACK_COMMON_CLOCK_H
#define HOSTSTACK_COMMON_CLOCK_H

#include <time.h>
#include "common/types.h"

static inline uint64_t clock_now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
/* Since 1970. */
static inline uint64_t clock_wall_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}
static inline uint64_t clock_now_us(void) { return clock_now_ns() / 1000; }

#endif
