/* notify_probe.c - plays systemd for a Type=notify service: READY=1, fed watchdog, STOPPING=1 after SIGTERM
 *
 * usage: notify_probe COMMAND ARGUMENT...; exit 0 when all of it came in order, 1 with what is missing. */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

/* Takes messages until one holds `text`. */
static int expect(int fd, const char *text)
{
    char buf[4096];
    struct pollfd p = { .fd = fd, .events = POLLIN };

    while (poll(&p, 1, PATIENCE_MS) > 0) {
        ssize_t n = recv(fd, buf, sizeof(buf) - 1, 0);
        if (n < 0)
            break;
        buf[n] = '\0';
        if (strstr(buf, text))
            return 0;
    }
    fprintf(stderr, "no %s within %d ms\n", text, PATIENCE_MS);
    return -1;
}

int main(int argc, char **argv)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    char dir[] = "/tmp/hoststack-notify.XXXXXX", pid_text[32];
    int fd, status, failed = 1;
    pid_t pid;

    if (argc < 2 || !mkdtemp(dir))
        return 2;
    snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/notify", dir);
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&sun, sizeof(sun)) != 0)
        goto out;
    pid = fork();
    if (pid == 0) {
        setenv("NOTIFY_SOCKET", sun.sun_path, 1);
        setenv("WATCHDOG_USEC", "600000", 1);
        snprintf(pid_text, sizeof(pid_text), "%ld", (long)getpid());
        setenv("WATCHDOG_PID", pid_text, 1);
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    if (expect(fd, "READY=1") == 0 && expect(fd, "WATCHDOG=1") == 0 && expect(fd, "WATCHDOG=1") == 0 &&
        expect(fd, "WATCHDOG=1") == 0) {
        kill(pid, SIGTERM);
        failed = expect(fd, "STOPPING=1") != 0;
    } else {
        kill(pid, SIGKILL);
    }
    waitpid(pid, &status, 0);
    if (!failed && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
        fprintf(stderr, "ended with status 0x%x\n", (unsigned)status);
        failed = 1;
    }
out:
    unlink(sun.sun_path);
    rmdir(dir);
    return failed;
}
