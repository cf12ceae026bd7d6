/* runtime_lock.c - makes, checks and locks the runtime directory */
#include "server/ctl/runtime_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_NAME "hoststackd.lock"

/* In /tmp anybody may have made the directory before us: then it is not ours to trust. */
static int check_dir(int fd, const char *dir, char *err, size_t err_len)
{
    struct stat st;

    if (fstat(fd, &st) != 0)
        return -errno;
    if (st.st_uid != geteuid() && st.st_uid != 0) {
        snprintf(err, err_len, "runtime directory %s belongs to user %u; one of user %u is needed", dir,
                 (unsigned)st.st_uid, (unsigned)geteuid());
        return -EPERM;
    }
    if ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)) {
        snprintf(err, err_len, "runtime directory %s may be written by everybody", dir);
        return -EPERM;
    }
    return 0;
}

/* Is what we have locked still what stands there? A server that ends removes its lock file while it holds the lock. */
static bool is_current(int dir_fd, int fd)
{
    struct stat ours, there;

    return fstat(fd, &ours) == 0 && fstatat(dir_fd, LOCK_NAME, &there, AT_SYMLINK_NOFOLLOW) == 0 &&
           ours.st_ino == there.st_ino && ours.st_dev == there.st_dev;
}

static int lock_file(int dir_fd, const char *dir, int *out, char *err, size_t err_len)
{
    char pid[32] = "";

    for (int attempt = 0; attempt < 100; attempt++) {
        int fd = openat(dir_fd, LOCK_NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0) {
            int e = errno;
            snprintf(err, err_len, "cannot write %s/" LOCK_NAME ": %s", dir, strerror(e));
            return -e;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
            ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);
            pid[n > 0 ? n : 0] = '\0';
            close(fd);
            break;
        }
        if (is_current(dir_fd, fd)) {
            *out = fd;
            return 0;
        }
        close(fd);
    }
    snprintf(err, err_len, "another hoststackd (process %lu) serves %s; give this one a unix { runtime-dir } of its own",
             strtoul(pid, NULL, 10), dir);
    return -EADDRINUSE;
}

int runtime_lock_take(const char *dir, struct runtime_lock *lock, char *err, size_t err_len)
{
    int rc;

    lock->dir_fd = lock->lock_fd = -1;
    if (snprintf(lock->dir, sizeof(lock->dir), "%s", dir) >= (int)sizeof(lock->dir)) {
        snprintf(err, err_len, "runtime directory %s: the name has more than %zu bytes", dir, sizeof(lock->dir) - 1);
        return -ENAMETOOLONG;
    }
    if (mkdir(dir, geteuid() == 0 ? 0755 : 0700) != 0 && errno != EEXIST) {
        rc = -errno;
        snprintf(err, err_len, "cannot make the runtime directory %s: %s", dir, strerror(-rc));
        return rc;
    }
    lock->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (lock->dir_fd < 0) {
        rc = -errno;
        snprintf(err, err_len, "cannot open the runtime directory %s: %s", dir, strerror(-rc));
        return rc;
    }
    rc = check_dir(lock->dir_fd, dir, err, err_len);
    if (rc == 0)
        rc = lock_file(lock->dir_fd, dir, &lock->lock_fd, err, err_len);
    if (rc != 0) {
        close(lock->dir_fd);
        lock->dir_fd = -1;
        return rc;
    }
    runtime_lock_write_pid(lock);
    return 0;
}

void runtime_lock_write_pid(const struct runtime_lock *lock)
{
    char pid[32];
    int n = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());

    /* only a help for whoever meets the lock: the lock itself is what counts */
    if (ftruncate(lock->lock_fd, 0) != 0 || pwrite(lock->lock_fd, pid, (size_t)n, 0) != n)
        return;
}

int runtime_lock_chown(const struct runtime_lock *lock, uid_t uid)
{
    if (fchown(lock->dir_fd, uid, (gid_t)-1) != 0 || fchown(lock->lock_fd, uid, (gid_t)-1) != 0)
        return -errno;
    return 0;
}

void runtime_lock_release(struct runtime_lock *lock, const char *const *sockets, unsigned n)
{
    if (lock->dir_fd < 0)
        return;
    for (unsigned i = 0; i < n; i++)
        unlinkat(lock->dir_fd, sockets[i], 0);
    /* Removed while it is locked; is_current() of a server that has just opened it sees that. */
    unlinkat(lock->dir_fd, LOCK_NAME, 0);
    close(lock->lock_fd);
    close(lock->dir_fd);
    lock->dir_fd = lock->lock_fd = -1;
}
