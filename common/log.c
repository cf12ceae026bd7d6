/* log.c - log lines: level, rate limit, one write(2) each */
#include "common/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOG_LINE_MAX = 1024, LOG_DEFAULT_BURST = 5, LOG_DEFAULT_INTERVAL_US = 1000000 };

static const char *const level_name[] = {
    [HS_LOG_ERROR] = "error",
    [HS_LOG_WARNING] = "warning",
    [HS_LOG_NOTICE] = "notice",
    [HS_LOG_INFO] = "info",
    [HS_LOG_DEBUG] = "debug",
};

const char *hs_log_level_name(int level)
{
    return level >= HS_LOG_ERROR && level <= HS_LOG_DEBUG ? level_name[level] : "unknown";
}

int hs_log_level_parse(const char *text)
{
    for (int i = HS_LOG_ERROR; i <= HS_LOG_DEBUG; i++)
        if (strcmp(text, level_name[i]) == 0)
            return i;
    return -EINVAL;
}

/* systemd tells by JOURNAL_STREAM=device:inode which descriptor is connected to the journal (systemd.exec(5)). */
static bool leads_to_journal(int fd)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    if (!stream || sscanf(stream, "%llu:%llu", &dev, &ino) != 2 || fstat(fd, &st) != 0)
        return false;
    return st.st_dev == dev && st.st_ino == ino;
}

void hs_log_init(struct hs_log *log, int fd, int level, const char *name)
{
    memset(log, 0, sizeof(*log));
    log->fd = fd;
    log->level = level;
    log->to_journal = fd >= 0 && leads_to_journal(fd);
    snprintf(log->name, sizeof(log->name), "%s", name);
}

static void log_line(const struct hs_log *log, int level, uint32_t suppressed, const char *fmt, va_list ap)
{
    char line[LOG_LINE_MAX];
    int saved = errno;
    int n, start;

    if (log->to_journal)
        start = snprintf(line, sizeof(line), "<%d>", level);
    else if (level <= HS_LOG_WARNING)
        start = snprintf(line, sizeof(line), "%s: %s: ", log->name, hs_log_level_name(level));
    else
        start = snprintf(line, sizeof(line), "%s: ", log->name);
    errno = saved; /* for %m */
    n = vsnprintf(line + start, sizeof(line) - (size_t)start, fmt, ap);
    if (n < 0)
        goto out;
    n += start;
    if (suppressed > 0 && n < LOG_LINE_MAX)
        n += snprintf(line + n, sizeof(line) - (size_t)n, " (and %u more like it)", suppressed);
    if (n > LOG_LINE_MAX - 1)
        n = LOG_LINE_MAX - 1;
    for (int i = start; i < n; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[n] = '\n'; /* in place of the NUL */
    if (write(log->fd, line, (size_t)n + 1) < 0) {
        /* nobody is left to be told */
    }
out:
    errno = saved;
}

void hs_log(const struct hs_log *log, int level, const char *fmt, ...)
{
    va_list ap;

    if (!hs_log_is_on(log, level) || log->fd < 0)
        return;
    va_start(ap, fmt);
    log_line(log, level, 0, fmt, ap);
    va_end(ap);
}

void hs_log_limited(const struct hs_log *log, struct hs_log_limit *limit, uint64_t now_us, int level, const char *fmt, ...)
{
    uint32_t burst = limit->burst ? limit->burst : LOG_DEFAULT_BURST;
    uint32_t interval_us = limit->interval_us ? limit->interval_us : LOG_DEFAULT_INTERVAL_US;
    uint32_t suppressed = 0;
    va_list ap;

    if (!hs_log_is_on(log, level) || log->fd < 0)
        return;
    if (limit->n == 0 || now_us - limit->begun_us >= interval_us) {
        limit->begun_us = now_us;
        limit->n = 0;
        suppressed = limit->suppressed;
        limit->suppressed = 0;
    }
    if (limit->n >= burst) {
        limit->suppressed++;
        return;
    }
    limit->n++;
    va_start(ap, fmt);
    log_line(log, level, suppressed, fmt, ap);
    va_end(ap);
}
