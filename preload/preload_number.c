/* preload_number.c - the kernel's descriptor behind the number of an accepted connection
 *
 * The number must be a real descriptor, but nobody reads or writes it. So one idle socket is enough: each connection gets a copy of it, as
 * by dup(), which costs a tenth of a socket of its own. Copies share what the kernel keeps for an open file: its flags, and who
 * gets its signals. There are two idle sockets, one of them with O_NONBLOCK, and whoever wants anything else gets a socket of its own.
 * A file that goes to another process gets a descriptor with an identity first (preload_exec.c), whatever it had before. */
#include <fcntl.h>
#include "preload/preload.h"

/* The idle socket, or -errno. */
static int number_common(bool nonblock)
{
    _Atomic int *at = &preload.common[nonblock];
    int fd = atomic_load_explicit(at, memory_order_acquire), none = 0;
    if (hs_likely(fd > 0))
        return fd;
    fd = vcl_fd_keep(libc_real()->socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0), 0));
    if (fd >= 0 && !atomic_compare_exchange_strong(at, &none, fd)) { /* another thread was quicker */
        vcl_fd_close(&fd);
        fd = none;
    }
    return fd;
}

int preload_number_new(int flags, bool *is_copy)
{
    int common = number_common(flags & SOCK_NONBLOCK);
    int fd = common < 0 ? -1 : libc_real()->fcntl(common, flags & SOCK_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);
    *is_copy = fd >= 0;
    if (hs_unlikely(fd < 0)) /* no room for the idle one, or the program has closed it: then as it was before there was one */
        fd = libc_real()->socket(AF_UNIX, SOCK_STREAM | flags, 0);
    return fd < 0 ? -errno : fd;
}

static void number_replace(int fd, int fresh)
{
    int flags = libc_real()->fcntl(fd, F_GETFD);
    libc_real()->dup3(fresh, fd, flags >= 0 && (flags & FD_CLOEXEC) ? O_CLOEXEC : 0);
}

/* The lock: a number that another thread closes now could be given to a file of its own before dup3() closes that one. */
void preload_number_replace(int fd, struct fd_file *f, int fresh)
{
    pthread_mutex_lock(&preload.numbers_lock);
    for (int at = f->sock.has_dups ? fd_table_next(&preload.fds, 0) : fd; at >= 0; at = fd_table_next(&preload.fds, (unsigned)at + 1)) {
        struct fd_file *g = preload_get(at);
        if (g == f)
            number_replace(at, fresh);
        if (g)
            preload_put(g);
        if (!f->sock.has_dups)
            break;
    }
    pthread_mutex_unlock(&preload.numbers_lock);
}

int preload_number_own(int fd, struct fd_file *f)
{
    if (hs_likely(!f->sock.is_copy))
        return 0;
    int flags = libc_real()->fcntl(fd, F_GETFL);
    int fresh = libc_real()->socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (flags >= 0 && (flags & O_NONBLOCK) ? SOCK_NONBLOCK : 0), 0);
    if (fresh < 0)
        return -errno;
    preload_number_replace(fd, f, fresh);
    LIBC_UNCANCELLED(close)(fresh);
    if (!preload_is_foreign()) /* a vfork child has changed its own descriptors, in its parent's memory */
        f->sock.is_copy = false;
    return 0;
}

void preload_number_own_all(void)
{
    for (int fd = fd_table_next(&preload.fds, 0); fd >= 0; fd = fd_table_next(&preload.fds, (unsigned)fd + 1)) {
        struct fd_file *f = preload_get(fd);
        if (f && f->kind == FD_SOCKET)
            preload_number_own(fd, f);
        if (f)
            preload_put(f);
    }
}

/* To the other idle socket: needs no number more than there are, so that it cannot fail for a program that has all it may have. */
bool preload_number_nonblock(int fd, struct fd_file *f, bool on)
{
    int common = f->sock.is_copy ? number_common(on) : -1;
    if (common < 0)
        return false;
    preload_number_replace(fd, f, common);
    return true;
}
