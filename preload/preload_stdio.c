/* preload_stdio.c - streams over sockets: fdopen, freopen, dprintf, and stdin, stdout, stderr when their numbers lead to one
 *
 * libc's streams read and write through internal names that nobody can stand in for; a cookie stream calls us. It goes by the number, so it
 * serves whatever the number leads to later. */
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
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

/* Without it fflush() and fclose() of a stream that was read ahead fail. */
static int preload_cookie_seek(void *cookie, off64_t *at, int whence)
{
    (void)cookie, (void)at, (void)whence;
    errno = ESPIPE;
    return -1;
}

/* What libc has behind a FILE: the table of its kind. By it a stream of ours is known again; NULL: there has been none. */
static void *_Atomic stdio_kind;

static void *stdio_kind_of(const FILE *stream)
{
    void *kind;
    memcpy(&kind, stream + 1, sizeof(kind));
    return kind;
}

static FILE *preload_stream(int fd, const char *mode)
{
    static const cookie_io_functions_t calls = {
        .read = preload_cookie_read, .write = preload_cookie_write, .seek = preload_cookie_seek, .close = preload_cookie_close,
    };
    FILE *stream = fopencookie((void *)(intptr_t)fd, mode, calls);
    if (stream) {
        stream->_fileno = fd; /* so that fileno() works */
        atomic_store_explicit(&stdio_kind, stdio_kind_of(stream), memory_order_relaxed);
    }
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

/* ---- freopen: libc's writes where streams of functions have nothing, and crashes ---- */

enum { STDIO_NO_READS = 4, STDIO_NO_WRITES = 8, STDIO_SEEN = 0x30 }; /* libc's _flags: _IO_NO_READS, _IO_NO_WRITES, end and error seen */

/* fopen(3). -1: no mode. */
static int stdio_open_flags(const char *mode)
{
    int flags = *mode == 'r' ? O_RDONLY : *mode == 'w' ? O_WRONLY | O_CREAT | O_TRUNC : *mode == 'a' ? O_WRONLY | O_CREAT | O_APPEND : -1;
    if (flags < 0)
        return flags;
    for (mode++; *mode && *mode != ','; mode++)
        if (*mode == '+')
            flags = (flags & ~O_ACCMODE) | O_RDWR;
        else
            flags |= *mode == 'x' ? O_EXCL : *mode == 'e' ? O_CLOEXEC : 0;
    return flags;
}

/* The stream keeps its number, by which it reads and writes. When it cannot be opened it leads nowhere. */
static FILE *stdio_reopen(const char *path, const char *mode, FILE *stream)
{
    int fd = fileno(stream), flags = stdio_open_flags(mode), how = flags & O_ACCMODE;
    fflush(stream);
    __fpurge(stream);
    if (flags < 0 || !path) /* a socket cannot be opened a second time */
        errno = flags < 0 ? EINVAL : ENXIO;
    int fresh = flags < 0 || !path ? -1 : open(path, flags, 0666), error = errno;
    if (fresh < 0) {
        preload_plain_close(fd);
        errno = error;
        return NULL;
    }
    if (fresh != fd) {
        preload_plain_dup3(fresh, fd, flags & O_CLOEXEC);
        LIBC_UNCANCELLED(close)(fresh);
    }
    flockfile(stream);
    stream->_flags &= ~(STDIO_NO_READS | STDIO_NO_WRITES | STDIO_SEEN);
    stream->_flags |= (how == O_WRONLY ? STDIO_NO_READS : 0) | (how == O_RDONLY ? STDIO_NO_WRITES : 0);
    funlockfile(stream);
    return stream;
}

HS_EXPORT FILE *hs_freopen(const char *path, const char *mode, FILE *stream)
{
    void *kind = atomic_load_explicit(&stdio_kind, memory_order_relaxed);
    return hs_likely(!kind || stdio_kind_of(stream) != kind || fileno(stream) < 0) ? libc_real()->freopen(path, mode, stream)
                                                                                 : stdio_reopen(path, mode, stream);
}
HS_EXPORT FILE *hs_freopen64(const char *path, const char *mode, FILE *stream) { return hs_freopen(path, mode, stream); }

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
