/* killer.c - starts a command again and again and ends it with SIGKILL at random instants from a seed */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static uint64_t next(uint64_t *s)
{
    *s += 0x9e3779b97f4a7c15u;
    uint64_t z = *s;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static void usage(void)
{
    fputs("usage: killer [-n TIMES] [-S SEED] [-m MAX-MS] COMMAND [ARGUMENT...]\n", stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    long times = 50, max_ms = 150, early = 0;
    uint64_t seed = (uint64_t)time(NULL) ^ ((uint64_t)getpid() << 20);
    int c;

    while ((c = getopt(argc, argv, "+n:S:m:")) != -1) {
        switch (c) {
        case 'n': times = atol(optarg); break;
        case 'S': seed = strtoull(optarg, NULL, 0); break;
        case 'm': max_ms = atol(optarg); break;
        default: usage();
        }
    }
    if (optind == argc || max_ms < 1)
        usage();
    printf("seed %llu\n", (unsigned long long)seed);
    fflush(stdout);
    for (long i = 0; i < times; i++) {
        /* Every other time soon after the start: in the middle of attaching and connecting. */
        uint64_t limit_us = (uint64_t)max_ms * ((i & 1) ? 1000 : 150);
        uint64_t us = next(&seed) % limit_us;
        pid_t pid = fork();
        if (pid < 0) {
            perror("killer: fork");
            return 1;
        }
        if (pid == 0) {
            execvp(argv[optind], argv + optind);
            fprintf(stderr, "killer: %s: %s\n", argv[optind], strerror(errno));
            _exit(127);
        }
        struct timespec ts = { .tv_sec = (time_t)(us / 1000000), .tv_nsec = (long)(us % 1000000) * 1000 };
        nanosleep(&ts, NULL);
        int status;
        kill(pid, SIGKILL);
        if (waitpid(pid, &status, 0) < 0) {
            perror("killer: waitpid");
            return 1;
        }
        if (WIFEXITED(status)) {
            early++;
            if (WEXITSTATUS(status) == 127)
                return 1;
        }
    }
    printf("killed %ld, ended by themselves %ld\n", times - early, early);
    return 0;
}
