/* runtime_lock.h - the runtime directory of one server: made, checked, locked against a second server
 * Owner:  main(); runtime_lock_release() before exit.
 * Thread: control thread.
 * Memory: process-private.
 * Errors: 0 or -errno with one sentence in err. */
#ifndef HOSTSTACK_SERVER_RUNTIME_LOCK_H
#define HOSTSTACK_SERVER_RUNTIME_LOCK_H

#include <sys/types.h>
#include "common/runtime_dir.h"

struct runtime_lock {
    char dir[RUNTIME_DIR_MAX];
    int dir_fd;   /* kept, so that sockets can be removed after privileges were dropped */
    int lock_fd;  /* DIR/hoststackd.lock, flock()ed; holds the server's process id */
};

/* dir: made if missing, mode 0700, or 0755 for root (the sockets in it are 0660). A directory of somebody else or one that
 * others may write to is refused: -EPERM. -EADDRINUSE: another server has it. */
int runtime_lock_take(const char *dir, struct runtime_lock *lock, char *err, size_t err_len);
void runtime_lock_write_pid(const struct runtime_lock *lock);  /* again after a fork; the lock goes with the descriptor */
int runtime_lock_chown(const struct runtime_lock *lock, uid_t uid);  /* before privileges are dropped */
/* Removes the sockets named and the lock file; the directory stays (systemd's or the user's). */
void runtime_lock_release(struct runtime_lock *lock, const char *const *sockets, unsigned n);

#endif
