/* runtime_lock_test.c - one server a directory, and only in a directory that can be trusted */
#include "server/ctl/runtime_lock.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char base[64], dir[80], err[256];

static void setup(void)
{
    strcpy(base, "/tmp/hoststack-lock.XXXXXX");
    cr_assert_not_null(mkdtemp(base));
    snprintf(dir, sizeof(dir), "%s/run", base);
}

static void teardown(void)
{
    rmdir(dir);
    rmdir(base);
}

TestSuite(runtime_lock, .init = setup, .fini = teardown);

Test(runtime_lock, one_server_a_directory)
{
    struct runtime_lock a, b;
    char expect[64];

    cr_assert_eq(runtime_lock_take(dir, &a, err, sizeof(err)), 0, "%s", err);
    cr_assert_eq(runtime_lock_take(dir, &b, err, sizeof(err)), -EADDRINUSE);
    snprintf(expect, sizeof(expect), "another hoststackd (process %ld) serves", (long)getpid());
    cr_assert(strncmp(err, expect, strlen(expect)) == 0, "%s", err);
    runtime_lock_release(&a, NULL, 0);
    cr_assert_eq(runtime_lock_take(dir, &b, err, sizeof(err)), 0, "%s", err);
    runtime_lock_release(&b, NULL, 0);
    cr_assert_eq(rmdir(dir), 0, "nothing is left behind");
}

Test(runtime_lock, a_killed_server_leaves_no_lock)
{
    struct runtime_lock a;
    int p[2];
    char c;

    cr_assert_eq(pipe(p), 0);
    pid_t pid = fork();
    if (pid == 0) {
        c = runtime_lock_take(dir, &a, err, sizeof(err)) == 0 ? 'y' : 'n';
        if (write(p[1], &c, 1) == 1)
            pause();
        _exit(1);
    }
    cr_assert_eq(read(p[0], &c, 1), 1);
    cr_assert_eq(c, 'y');
    cr_assert_eq(runtime_lock_take(dir, &a, err, sizeof(err)), -EADDRINUSE);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert_eq(runtime_lock_take(dir, &a, err, sizeof(err)), 0, "%s", err);
    runtime_lock_release(&a, NULL, 0);
}

Test(runtime_lock, sockets_are_removed)
{
    struct runtime_lock a;
    const char *names[] = { "x.sock", "missing.sock" };
    char path[128];

    cr_assert_eq(runtime_lock_take(dir, &a, err, sizeof(err)), 0, "%s", err);
    snprintf(path, sizeof(path), "%s/x.sock", dir);
    close(open(path, O_CREAT | O_WRONLY, 0600));
    runtime_lock_release(&a, names, 2);
    cr_assert_neq(access(path, F_OK), 0);
    runtime_lock_release(&a, names, 2); /* twice does no harm */
}

Test(runtime_lock, untrusted_directories_are_refused)
{
    struct runtime_lock a;
    char path[128];

    cr_assert_eq(mkdir(dir, 0700), 0);
    cr_assert_eq(chmod(dir, 0777), 0);
    cr_assert_eq(runtime_lock_take(dir, &a, err, sizeof(err)), -EPERM);
    cr_assert(strstr(err, "may be written by everybody"), "%s", err);
    cr_assert_eq(chmod(dir, 0700), 0);
    snprintf(path, sizeof(path), "%s/link", base);
    cr_assert_eq(symlink(dir, path), 0);
    cr_assert_neq(runtime_lock_take(path, &a, err, sizeof(err)), 0, "a symbolic link");
    unlink(path);
    if (geteuid() == 0) {
        cr_assert_eq(chown(dir, 12345, 0), 0);
        pid_t pid = fork();
        if (pid == 0) {
            if (setresuid(54321, 54321, 54321) != 0)
                _exit(2);
            cr_assert_eq(chmod(base, 0755), -1);
            _exit(runtime_lock_take(dir, &a, err, sizeof(err)) < 0 ? 0 : 1);
        }
        int status;
        waitpid(pid, &status, 0);
        cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "somebody else's directory");
    }
    cr_assert_eq(runtime_lock_take("/nonexistent/a/b", &a, err, sizeof(err)), -ENOENT);
    cr_assert_eq(runtime_lock_take("/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789/123456789",
                                   &a, err, sizeof(err)), -ENAMETOOLONG);
}

Test(runtime_dir, defaults)
{
    char out[RUNTIME_DIR_MAX];

    if (geteuid() == 0) {
        cr_assert_eq(runtime_dir_default(out), 0);
        cr_assert_str_eq(out, "/run/hoststack");
        cr_assert_eq(seteuid(54321), 0);
    }
    char expect[RUNTIME_DIR_MAX];
    snprintf(expect, sizeof(expect), "/tmp/hoststack-%u", (unsigned)geteuid());
    unsetenv("XDG_RUNTIME_DIR");
    cr_assert_eq(runtime_dir_default(out), 0);
    cr_assert_str_eq(out, expect);
}
