/* calib.c - what moving a cache line between two cores costs right now: 30,000 ping-pongs between two processes
 * Everything between two processes moves with it (the machine may be in a fast or a slow mode), so a benchmark prints it
 * beside its numbers and compares only runs of the same mode. Prints the median round trip in nanoseconds. */
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 30000, CHUNK = 100 };

static uint64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int pin(int nth)
{
    cpu_set_t have, want;
    if (sched_getaffinity(0, sizeof have, &have) < 0)
        return -1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &have) || nth-- > 0)
            continue;
        CPU_ZERO(&want);
        CPU_SET(cpu, &want);
        return sched_setaffinity(0, sizeof want, &want);
    }
    return -1;
}

int main(void)
{
    uint32_t *ball = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double ns[ROUNDS / CHUNK];

    if (ball == MAP_FAILED) {
        perror("calib: mmap");
        return 1;
    }
    pid_t other = fork();
    if (other < 0) {
        perror("calib: fork");
        return 1;
    }
    /* Acquire and release pair with each other across the two processes: one word, two owners in turn. */
    if (other == 0) {
        if (pin(1) < 0)
            _exit(1);
        for (uint32_t i = 0; i < ROUNDS; i++) {
            while (__atomic_load_n(ball, __ATOMIC_ACQUIRE) != 2 * i + 1)
                ;
            __atomic_store_n(ball, 2 * i + 2, __ATOMIC_RELEASE);
        }
        _exit(0);
    }
    if (pin(0) < 0) {
        perror("calib: affinity");
        return 1;
    }
    uint64_t begin = now_ns();
    for (uint32_t i = 0; i < ROUNDS; i++) {
        if (i % CHUNK == 0)
            begin = now_ns();
        __atomic_store_n(ball, 2 * i + 1, __ATOMIC_RELEASE);
        for (uint32_t spin = 0; __atomic_load_n(ball, __ATOMIC_ACQUIRE) != 2 * i + 2; spin++) {
            if (spin % (1u << 22) == (1u << 22) - 1 && waitpid(other, NULL, WNOHANG) == other) {
                fputs("calib: needs two cores\n", stderr);
                return 1;
            }
        }
        if (i % CHUNK == CHUNK - 1)
            ns[i / CHUNK] = (double)(now_ns() - begin) / CHUNK;
    }
    waitpid(other, NULL, 0);
    qsort(ns, ROUNDS / CHUNK, sizeof *ns, by_value);
    printf("%.0f\n", ns[ROUNDS / CHUNK / 2]);
    return 0;
}
