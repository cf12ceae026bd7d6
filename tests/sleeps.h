/* sleeps.h - what tests ask of a thread of theirs: does it sleep */
#ifndef HOSTSTACK_TESTS_SLEEPS_H
#define HOSTSTACK_TESTS_SLEEPS_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static inline bool sleeps(pid_t tid)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", (int)tid);
    FILE *f = fopen(path, "r");
    bool yes = f && fgets(line, sizeof(line), f) && strstr(line, ") S ");
    if (f)
        fclose(f);
    return yes;
}

static inline void until_sleeps(pid_t tid)
{
    for (int seen = 0; seen < 5; seen = sleeps(tid) ? seen + 1 : 0)
        usleep(1000);
}

#endif
