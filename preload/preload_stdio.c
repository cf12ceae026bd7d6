/* preload_stdio.c - streams over sockets: fdopen, dprintf, and stdin, stdout, stderr when their numbers lead to one
 *
 * libc's streams read and write through internal names that nobody can stand in for; a cookie stream calls us. It goes by the number, so it
 * serves whatever the number leads to later. */
#include <stdio_ext.h>
#include <stdlib.h>
#include "preload/preload_io.h"

static ssize_t preload_cookie_read(void *cookie, char *buf, size_t len) { return preload_read((int)(intptr_t)cookie, buf, len); }
static ssize_t preload_cookie_write(void *cookie, const char *buf, size_t len)
{
    ssize_t r = preload_write((int)(intptr_t)cookie, buf, len);
    return r < 0 ? 0 : r; /* fopencookie(3): 0 tells an error */
}
static int preload_cookie_close(void *cookie)
{
    int fd = (int)(intptr_t)cookie;
    return fd_table_has(&preload.fds, fd) ? (int)preload_result(preload_close(fd)) : libc_real()->close(fd);
}

static FILE *preload_stream(int fd, const char *mode)
{
    static const cookie_io_functions_t calls = {
        .read = preload_cookie_read, .write = preload_cookie_write, .close = preload_cookie_close,
    };
    FILE *stream = fopencookie((void *)(intptr_t)fd, mode, calls);
    if (stream)
        stream->_fileno = fd; /* so that fileno() works */
    return stream;
}

static bool preload_is_socket(int fd)
{
    struct fd_file *f = preload_get(fd);
    if (hs_likely(!f))
        return false;
    bool ours = f->kind == FD_SOCKET && preload_serve(f) != FD_KERNEL;
    preload_put(f);
    return ours;
}

HS_EXPORT FILE *hs_fdopen(int fd, const char *mode)
{
    return hs_likely(!preload_is_socket(fd)) ? libc_real()->fdopen(fd, mode) : preload_stream(fd, mode);
}

/* ---- the standard three: a program started by inetd, or one that has put a socket there by dup2() ---- */

void preload_stdio_take(int fd)
{
    static FILE **const at[] = { &stdin, &stdout, &stderr };
    static FILE *_Atomic taken[STDERR_FILENO + 1];
    FILE *old = *at[fd], *none = NULL;
    if (atomic_load(&taken[fd]) || !old || fileno(old) != fd) /* once and for all; or the program has a stream of its own there */
        return;
    FILE *fresh = preload_stream(fd, fd == STDIN_FILENO ? "r" : "w");
    if (!fresh)
        return;
    if (!atomic_compare_exchange_strong(&taken[fd], &none, fresh))
        return; /* another thread was quicker */
    if (fd == STDERR_FILENO)
        setvbuf(fresh, NULL, _IONBF, 0);
    if (fd != STDIN_FILENO) { /* what the program has written and not flushed: as on the kernel it goes where the number leads now */
        flockfile(old);
        if (__fpending(old) != 0) /* a stream that was never written to has no buffer */
            fwrite_unlocked(old->_IO_write_base, 1, __fpending(old), fresh);
        __fpurge(old);
        funlockfile(old);
    }
    *at[fd] = fresh;
}

/* ---- dprintf ---- */

extern int __vasprintf_chk(char **text, int flag, const char *format, va_list ap); /* of libc, for programs built with _FORTIFY_SOURCE */

static int preload_dprintf(int fd, int flag, const char *format, va_list ap)
{
    char *text;
    int len = flag ? __vasprintf_chk(&text, flag, format, ap) : vasprintf(&text, format, ap);
    if (len < 0)
        return len;
    ssize_t r = 0;
    for (int done = 0; r >= 0 && done < len; done += (int)r)
        r = preload_write(fd, text + done, (size_t)(len - done));
    free(text);
    return r < 0 ? -1 : len;
}

HS_EXPORT int hs_vdprintf(int fd, const char *format, va_list ap)
{
    return hs_likely(!preload_is_socket(fd)) ? libc_real()->vdprintf(fd, format, ap) : preload_dprintf(fd, 0, format, ap);
}

HS_EXPORT int hs___vdprintf_chk(int fd, int flag, const char *format, va_list ap)
{
    return hs_likely(!preload_is_socket(fd)) ? libc_real()->__vdprintf_chk(fd, flag, format, ap) : preload_dprintf(fd, flag, format, ap);
}

HS_EXPORT int hs_dprintf(int fd, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int r = hs_vdprintf(fd, format, ap);
    va_end(ap);
    return r;
}

HS_EXPORT int hs___dprintf_chk(int fd, int flag, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    int r = hs___vdprintf_chk(fd, flag, format, ap);
    va_end(ap);
    return r;
}
