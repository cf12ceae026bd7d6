/* diff_main.c - the differential tester: sequences of socket calls from seeds, written to a log or compared with one (README) */
#define SYNTAX "usage: diff_calls [--compare] [--verbose] [--few] [--wire A4 A6 B4 B6] --seeds FIRST..LAST [--calls N] [--wait MS]\n"
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "tests/diff/diff.h"

static const struct { void (*op)(struct diff_run *r); unsigned weight; } ops[] = {
    { diff_op_pair, 6 }, { diff_op_socket, 3 }, { diff_op_bind, 4 }, { diff_op_listen, 3 }, { diff_op_connect, 5 },
    { diff_op_accept, 6 }, { diff_op_names, 5 }, { diff_op_send, 22 }, { diff_op_recv, 24 }, { diff_op_fill, 1 },
    { diff_op_mmsg, 5 }, { diff_op_file, 5 }, { diff_op_close, 5 }, { diff_op_shutdown, 4 }, { diff_op_dup, 3 },
    { diff_op_fcntl, 4 }, { diff_op_ioctl, 4 }, { diff_op_getsockopt, 6 }, { diff_op_setsockopt, 4 }, { diff_op_wrong, 3 },
    { diff_op_poll, 4 }, { diff_op_select, 3 }, { diff_op_epoll_ctl, 7 }, { diff_op_epoll_wait, 7 },
    { diff_op_thread, 2 }, { diff_op_fork, 2 }, { diff_op_signal, 2 },
    /* all of the above, and --few only these */
    { diff_op_wrong_more, 6 }, { diff_op_stat, 1 }, { diff_op_owner, 4 }, { diff_op_lowat, 3 },
    { diff_op_linger, 3 }, { diff_op_unconnect, 2 }, { diff_op_range, 2 }, { diff_op_timed, 3 }, { diff_op_vectors, 3 },
    { diff_op_tee, 2 }, { diff_op_stdio, 2 }, { diff_op_pass, 3 }, { diff_op_child, 2 }, { diff_op_thread_ends, 2 },
    { diff_op_thread_accepts, 1 }, { diff_op_nest, 2 }, { diff_op_control, 3 }, { diff_op_control_recv, 4 },
};
enum { N_FEW = 27, N_OPS = sizeof(ops) / sizeof(ops[0]) };

static void one_call(struct diff_run *r)
{
    unsigned total = 0, pick;
    int n = r->few ? N_FEW : N_OPS;

    for (int i = 0; i < n; i++)
        total += ops[i].weight;
    pick = diff_rand(r, total);
    for (int i = 0; i < n; i++) {
        if (pick < ops[i].weight) {
            ops[i].op(r);
            return;
        }
        pick -= ops[i].weight;
    }
}

static void clean_up(struct diff_run *r)
{
    for (int i = 0; i < DIFF_SETS; i++)
        if (r->set[i].fd >= 0)
            close(r->set[i].fd);
    for (int i = 0; i < DIFF_SOCKS; i++)
        if (r->sock[i].fd >= 0)
            close(r->sock[i].fd);
}

static bool sequence(struct diff_run *r, uint64_t seed, int calls)
{
    diff_begin(r, seed);
    diff_op_pair(r);
    for (int i = 0; i < calls && !r->failed; i++) {
        diff_settle(r);
        one_call(r);
    }
    diff_settle(r);
    clean_up(r);
    diff_end(r);
    return !r->failed;
}

static int make_file(void)
{
    int fd = memfd_create("diff", MFD_CLOEXEC);
    uint8_t b[8192];

    for (size_t i = 0; i < sizeof(b); i++)
        b[i] = (uint8_t)(i * 7 + i / 256);
    if (fd < 0 || write(fd, b, sizeof(b)) != (ssize_t)sizeof(b)) {
        perror("memfd");
        exit(2);
    }
    return fd;
}

int main(int argc, char **argv)
{
    static const struct option longs[] = { { "compare", 0, 0, 'c' }, { "verbose", 0, 0, 'v' }, { "wire", 0, 0, 'w' }, { "few", 0, 0, 'f' },
                                           { "seeds", 1, 0, 's' }, { "calls", 1, 0, 'n' }, { "wait", 1, 0, 'm' }, { 0 } };
    static struct diff_run r;
    unsigned long long first = 1, last = 0, failed = 0;
    int calls = 60, c;

    r.wait_ms = 8000;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) >= 0)
        switch (c) {
        case 'c': r.compare = true; break;
        case 'v': r.verbose = true; break;
        case 'w': r.wire = true; break;
        case 'f': r.few = true; break;
        case 'm': r.wait_ms = atoi(optarg); break;
        case 'n': calls = atoi(optarg); break;
        case 's':
            if (sscanf(optarg, "%llu..%llu", &first, &last) == 2)
                break;
            /* fall through */
        default: fputs(SYNTAX, stderr); return 2;
        }
    if (last < first || argc - optind != (r.wire ? 4 : 0)) {
        fputs(SYNTAX, stderr);
        return 2;
    }
    for (int i = 0; i < 4; i++)
        r.addr[i / 2][i % 2] = r.wire ? argv[optind + i] : i % 2 ? "::1" : "127.0.0.1";
    r.mem_fd = make_file();
    if (r.verbose)
        setvbuf(stdout, NULL, _IOLBF, 0);
    diff_signals_init();
    diff_more_init();
    for (unsigned long long seed = first; seed <= last; seed++)
        if (!sequence(&r, seed, calls)) {
            failed++;
            if (r.compare)
                printf("differs %llu\n", seed);
        }
    if (r.compare)
        printf("compared %llu sequences, %llu differ\n", last - first + 1, failed);
    return failed ? 1 : 0;
}
