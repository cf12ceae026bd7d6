/* preload_log.c - what the library says on stderr: write(2) only, no allocation, errno kept
 *
 * Two things only: once-only messages, and with HOSTSTACK_REPORT=1 one line a socket at the end of the program. */
#include <string.h>
#include <sys/mman.h>
#include "preload/preload.h"

static void preload_log_write(const char *line, size_t len)
{
    if (fd_table_has(&preload.fds, STDERR_FILENO))
        return; /* a connection of the stack's: what we say is not for its peer, and what stands in for it in the kernel is the server's */
    int saved = errno;
    ssize_t r = LIBC_UNCANCELLED(write)(STDERR_FILENO, line, len);
    (void)r; /* nobody to tell */
    errno = saved;
}

/* Appends as much of text as fits. */
static size_t preload_log_append(char *line, size_t size, size_t at, const char *text)
{
    size_t len = strlen(text);
    if (len > size - at)
        len = size - at;
    memcpy(line + at, text, len);
    return at + len;
}

static size_t preload_log_number(char *line, size_t size, size_t at, unsigned v)
{
    char text[12];
    size_t i = sizeof(text) - 1;
    text[i] = 0;
    do
        text[--i] = (char)('0' + v % 10);
    while (v /= 10);
    return preload_log_append(line, size, at, text + i);
}

void preload_log_once(_Atomic bool *said, const char *text)
{
    if (atomic_exchange(said, true))
        return;
    char line[256];
    size_t n = preload_log_append(line, sizeof(line) - 1, 0, "hoststack: ");
    n = preload_log_append(line, sizeof(line) - 1, n, text);
    line[n++] = '\n';
    preload_log_write(line, n);
}

/* ---- HOSTSTACK_REPORT ---- */

enum { REPORT_ROWS = 1024, REPORT_LINE = 200 };
struct report_row {
    uint16_t len;
    char line[REPORT_LINE];
};
struct report {
    _Atomic unsigned n;      /* sockets reported, also those beyond the last row */
    struct report_row *_Atomic rows;
};
static struct report preload_report;

static struct report_row *report_row_new(void)
{
    struct report_row *rows = atomic_load(&preload_report.rows);
    if (!rows) {
        struct report_row *fresh = mmap(NULL, sizeof(*rows) * REPORT_ROWS, PROT_READ | PROT_WRITE,
                                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fresh == MAP_FAILED)
            return NULL;
        if (atomic_compare_exchange_strong(&preload_report.rows, &rows, fresh))
            rows = fresh;
        else
            munmap(fresh, sizeof(*rows) * REPORT_ROWS);
    }
    unsigned i = atomic_fetch_add(&preload_report.n, 1);
    return i < REPORT_ROWS ? &rows[i] : NULL;
}

static size_t report_endpoints(char *line, size_t size, size_t n, struct vcl_socket *s)
{
    char text[IP_ENDPOINT_TEXT_MAX];
    struct ip_endpoint e;
    if (vcl_local_endpoint(s, &e) == 0) {
        n = preload_log_append(line, size, n, " ");
        n = preload_log_append(line, size, n, ip_endpoint_format(&e, text));
    }
    if (vcl_peer_endpoint(s, &e) == 0) {
        n = preload_log_append(line, size, n, " -> ");
        n = preload_log_append(line, size, n, ip_endpoint_format(&e, text));
    }
    return n;
}

static size_t report_format(const struct fd_file *f, char *line, size_t size)
{
    static const char *const serve_text[] = {
        [FD_UNDECIDED] = "not accelerated", [FD_KERNEL] = "not accelerated",
        [FD_STACK] = "accelerated", [FD_BOTH] = "accelerated, and on the kernel too",
    };
    enum fd_serve serve = preload_serve(f);
    size_t n = preload_log_append(line, size, 0, "hoststack: pid ");
    n = preload_log_number(line, size, n, (unsigned)atomic_load(&preload.pid));
    n = preload_log_append(line, size, n, " descriptor ");
    n = preload_log_number(line, size, n, (unsigned)f->first_fd);
    n = preload_log_append(line, size, n,
                           f->sock.proto == SVM_PROTO_UDP    ? " udp"
                           : f->sock.proto == SVM_PROTO_SCTP ? " sctp"
                           : preload_is_tls(f)               ? " tls"
                                                             : " tcp");
    if (f->sock.is_listener)
        n = preload_log_append(line, size, n, " listener");
    else if (f->sock.is_accepted)
        n = preload_log_append(line, size, n, " accepted");
    if (serve >= FD_STACK)
        n = report_endpoints(line, size, n, f->sock.vcl);
    n = preload_log_append(line, size, n, ": ");
    n = preload_log_append(line, size, n, serve_text[serve]);
    const char *why = f->sock.why ? f->sock.why : serve == FD_UNDECIDED ? "never bound, connected or sent from" : NULL;
    if (why) {
        n = preload_log_append(line, size, n, ": ");
        n = preload_log_append(line, size, n, why);
    }
    line[n++] = '\n';
    return n;
}

void preload_report_socket(const struct fd_file *f)
{
    struct report_row *row = report_row_new();
    if (row)
        row->len = (uint16_t)report_format(f, row->line, sizeof(row->line) - 1);
}

void preload_report_exit(void)
{
    PRELOAD_GUARD;
    struct report_row *rows = atomic_load(&preload_report.rows);
    unsigned n = atomic_load(&preload_report.n);
    for (unsigned i = 0; rows && i < n && i < REPORT_ROWS; i++)
        preload_log_write(rows[i].line, rows[i].len);
    for (int fd = fd_table_next(&preload.fds, 0); fd >= 0; fd = fd_table_next(&preload.fds, (unsigned)fd + 1)) {
        struct fd_file *f = preload_get(fd);
        char line[REPORT_LINE];
        if (f && f->kind == FD_SOCKET && f->first_fd == fd)
            preload_log_write(line, report_format(f, line, sizeof(line) - 1));
        if (f)
            preload_put(f);
    }
    if (n > REPORT_ROWS) {
        static _Atomic bool said;
        preload_log_once(&said, "report: further sockets are not listed");
    }
}
