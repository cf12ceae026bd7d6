/* log_test.c - levels, prefixes, the rate limit, and that a peer's text cannot forge lines */
#include "common/clock.h"
#include "common/log.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What stands in the pipe, as text. */
static const char *drain(int fd, char *buf, size_t size)
{
    ssize_t n = read(fd, buf, size - 1);

    buf[n > 0 ? n : 0] = '\0';
    return buf;
}

static void open_pipe(int p[2])
{
    cr_assert_eq(pipe2(p, O_NONBLOCK | O_CLOEXEC), 0);
}

Test(log, level_name_and_errno)
{
    struct hs_log log;
    char buf[4096];
    int p[2];

    open_pipe(p);
    hs_log_init(&log, p[1], HS_LOG_INFO, "prog");
    errno = ENOENT;
    hs_log(&log, HS_LOG_ERROR, "no %s: %m", "file");
    cr_assert_eq(errno, ENOENT);
    cr_assert_str_eq(drain(p[0], buf, sizeof(buf)), "prog: error: no file: No such file or directory\n");
    hs_log(&log, HS_LOG_DEBUG, "not shown");
    hs_log(NULL, HS_LOG_ERROR, "no context, no line");
    cr_assert_str_eq(drain(p[0], buf, sizeof(buf)), "");
    hs_log(&log, HS_LOG_INFO, "shown");
    cr_assert_str_eq(drain(p[0], buf, sizeof(buf)), "prog: shown\n");
}

Test(log, a_line_stays_one_line)
{
    struct hs_log log;
    char buf[8192], big[4000];
    int p[2];

    open_pipe(p);
    hs_log_init(&log, p[1], HS_LOG_INFO, "prog");
    hs_log(&log, HS_LOG_INFO, "name %s", "x\nprog: error: forged\x1b[2J");
    cr_assert_str_eq(drain(p[0], buf, sizeof(buf)), "prog: name x?prog: error: forged?[2J\n");
    memset(big, 'y', sizeof(big) - 1);
    big[sizeof(big) - 1] = '\0';
    hs_log(&log, HS_LOG_INFO, "%s", big);
    drain(p[0], buf, sizeof(buf));
    cr_assert_eq(strlen(buf), 1024);
    cr_assert_eq(buf[1023], '\n');
}

Test(log, journal_gets_the_level)
{
    struct hs_log log;
    struct stat st;
    char buf[256], stream[64];
    int p[2];

    open_pipe(p);
    cr_assert_eq(fstat(p[1], &st), 0);
    snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev, (unsigned long long)st.st_ino);
    setenv("JOURNAL_STREAM", stream, 1);
    hs_log_init(&log, p[1], HS_LOG_INFO, "prog");
    hs_log(&log, HS_LOG_NOTICE, "ready");
    cr_assert_str_eq(drain(p[0], buf, sizeof(buf)), "<5>ready\n");
    setenv("JOURNAL_STREAM", "1:1", 1);
    hs_log_init(&log, p[1], HS_LOG_INFO, "prog");
    cr_assert_not(log.to_journal);
}

Test(log, limit_counts_what_it_hides)
{
    struct hs_log log;
    struct hs_log_limit limit = { .burst = 2, .interval_us = 1000 };
    char buf[4096];
    int p[2];

    open_pipe(p);
    hs_log_init(&log, p[1], HS_LOG_INFO, "p");
    for (int i = 0; i < 5; i++)
        hs_log_limited(&log, &limit, 5000, HS_LOG_INFO, "bad client %d", i);
    cr_assert_str_eq(drain(p[0], buf, sizeof(buf)), "p: bad client 0\np: bad client 1\n");
    hs_log_limited(&log, &limit, 5999, HS_LOG_INFO, "bad client");
    cr_assert_str_eq(drain(p[0], buf, sizeof(buf)), "");
    hs_log_limited(&log, &limit, 6000, HS_LOG_INFO, "bad client");
    cr_assert_str_eq(drain(p[0], buf, sizeof(buf)), "p: bad client (and 4 more like it)\n");
    hs_log_limited(&log, &limit, 6001, HS_LOG_INFO, "bad client");
    cr_assert_str_eq(drain(p[0], buf, sizeof(buf)), "p: bad client\n");
}

Test(log, level_names_parse_back)
{
    for (int l = HS_LOG_ERROR; l <= HS_LOG_DEBUG; l++)
        cr_assert_eq(hs_log_level_parse(hs_log_level_name(l)), l);
    cr_assert_eq(hs_log_level_parse("loud"), -EINVAL);
}

Test(clock, does_not_go_back)
{
    uint64_t a = clock_now_us();

    for (int i = 0; i < 10000; i++) {
        uint64_t b = clock_now_us();
        cr_assert_geq(b, a);
        a = b;
    }
}
