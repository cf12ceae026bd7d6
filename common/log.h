/* log.h - one line of text to standard error or the journal, by level, and limited where a peer can cause it
 *
 * Every line is one write(2), so that lines of several threads do not mix. Standard error that leads to the journal gets the
 * level as sd-daemon(3) says: "<6>text". Bytes that are not printable are shown as '?': a peer's text cannot forge lines.
 *
 * Owner:  struct hs_log: the program's context. struct hs_log_limit: the object whose events it limits.
 * Thread: any may write to one hs_log; a limit belongs to one thread.
 * Memory: process-private, no allocation; errno is kept.
 * Errors: none, a line that cannot be written is lost. */
#ifndef HOSTSTACK_COMMON_LOG_H
#define HOSTSTACK_COMMON_LOG_H

#include <stdarg.h>
#include "common/types.h"

enum hs_log_level { /* the numbers of syslog(3) */
    HS_LOG_ERROR = 3,   /* something that was asked for does not work */
    HS_LOG_WARNING = 4, /* works, but not as it should */
    HS_LOG_NOTICE = 5,  /* start, stop, clients dropped */
    HS_LOG_INFO = 6,    /* what it is doing */
    HS_LOG_DEBUG = 7,
};

struct hs_log {
    int fd;           /* -1 = nowhere */
    int level;        /* lines above it are not written */
    bool to_journal;  /* level prefix instead of the name */
    char name[32];    /* "hoststackd" */
};

struct hs_log_limit { /* at most `burst` lines in each `interval_us`; zero = 5 a second */
    uint64_t begun_us;
    uint32_t n, suppressed;
    uint32_t burst;
    uint32_t interval_us;
};

/* fd is the descriptor to write to; it is recognised whether it leads to the journal (systemd sets JOURNAL_STREAM). */
void hs_log_init(struct hs_log *log, int fd, int level, const char *name);
/* log may be NULL: nothing is written. */
void hs_log(const struct hs_log *log, int level, const char *fmt, ...) HS_PRINTF(3, 4);
void hs_log_limited(const struct hs_log *log, struct hs_log_limit *limit, uint64_t now_us, int level, const char *fmt, ...)
    HS_PRINTF(5, 6);
static inline bool hs_log_is_on(const struct hs_log *log, int level) { return log && level <= log->level; }
const char *hs_log_level_name(int level);
int hs_log_level_parse(const char *text);  /* error warning notice info debug; or -EINVAL */

#endif
