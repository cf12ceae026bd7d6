/* preload_stat.c - fstat() and its kin on sockets of the stack
 *
 * What stands behind a number is the kernel's business but for st_ino: of one number it must not be another's (the numbers of accepted
 * connections are copies of an idle socket, preload_number.c), and it must be the same in each program that has the connection: who passes
 * it on by SCM_RIGHTS may tell the receiver which inode it is to look for. So it comes from what the server calls the connection. */
#include <fcntl.h>
#include <sys/stat.h>
#include "preload/preload.h"

/* 0: the kernel's. Once told it stays, also when the connection has ended. */
static uint64_t stat_inode(int fd)
{
    struct fd_file *f = preload_get_stack(fd);
    uint64_t ino = 0;

    if (hs_likely(!f))
        return 0;
    if (preload_serve(f) == FD_STACK) {
        ino = atomic_load_explicit(&f->sock.inode, memory_order_relaxed);
        if (!ino && (f->sock.is_accepted || vcl_is_connected(f->sock.vcl))) {
            ino = vcl_socket_identity(f->sock.vcl);
            atomic_store_explicit(&f->sock.inode, ino, memory_order_relaxed);
        }
    }
    preload_put(f);
    return ino;
}

static int stat_result(int fd, int rc, struct stat *st)
{
    uint64_t ino = rc == 0 ? stat_inode(fd) : 0;

    if (hs_unlikely(ino))
        st->st_ino = ino;
    return rc;
}
/* The same by another name, on the machines that we are for. */
_Static_assert(sizeof(struct stat) == sizeof(struct stat64) && offsetof(struct stat, st_ino) == offsetof(struct stat64, st_ino),
               "struct stat64 is struct stat");
static int stat_result64(int fd, int rc, struct stat64 *st) { return stat_result(fd, rc, (struct stat *)(void *)st); }

/* A descriptor without a path: the calls that take both. */
static int stat_number(int fd, const char *path, int flags) { return flags & AT_EMPTY_PATH && path && !*path ? fd : -1; }

HS_EXPORT int hs_fstat(int fd, struct stat *st) { return stat_result(fd, libc_real()->fstat(fd, st), st); }
HS_EXPORT int hs_fstat64(int fd, struct stat64 *st) { return stat_result64(fd, libc_real()->fstat64(fd, st), st); }
HS_EXPORT int hs___fxstat(int version, int fd, struct stat *st) { return stat_result(fd, libc_real()->__fxstat(version, fd, st), st); }
HS_EXPORT int hs___fxstat64(int version, int fd, struct stat64 *st)
{
    return stat_result64(fd, libc_real()->__fxstat64(version, fd, st), st);
}
HS_EXPORT int hs_fstatat(int fd, const char *path, struct stat *st, int flags)
{
    return stat_result(stat_number(fd, path, flags), libc_real()->fstatat(fd, path, st, flags), st);
}
HS_EXPORT int hs_fstatat64(int fd, const char *path, struct stat64 *st, int flags)
{
    return stat_result64(stat_number(fd, path, flags), libc_real()->fstatat64(fd, path, st, flags), st);
}
HS_EXPORT int hs_statx(int fd, const char *path, int flags, unsigned mask, struct statx *st)
{
    int rc = libc_real()->statx(fd, path, flags, mask, st);
    uint64_t ino = rc == 0 ? stat_inode(stat_number(fd, path, flags)) : 0;

    if (hs_unlikely(ino))
        st->stx_ino = ino;
    return rc;
}
