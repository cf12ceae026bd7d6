/* diff_marks.c - urgent marks and splice(2); urgent bytes behind a reset; sendfile(2) from what has no offsets
 * usage: diff_marks kernel|ours tcp FROM TO */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

enum { PATIENCE_S = 60, PATIENCE_MS = 1000 * PATIENCE_S, ROOM = 64 };
static const char *from, *to;

static const char *said(long r) { return r < 0 ? strerrorname_np(errno) : "ok"; }

struct ends { int fd[2], listener; };

static struct ends connected(void)
{
    int other[2];
    struct ends e = { .fd = { diff_connected(from, to, false, other) } };

    e.listener = other[0];
    e.fd[1] = other[1];
    return e;
}

static void done(const struct ends *e)
{
    close(e->fd[0]);
    close(e->fd[1]);
    close(e->listener);
}

/* Over a port until it has been acknowledged: how much is behind a mark no call tells. */
static void put(int fd, const char *text, int flags)
{
    int left = 0;

    if (send(fd, text, strlen(text), flags) != (ssize_t)strlen(text))
        diff_die("send");
    for (time_t end = time(NULL) + PATIENCE_S; strcmp(from, to) && ioctl(fd, SIOCOUTQ, &left) == 0 && left > 0 && time(NULL) < end;)
        usleep(200);
}

static void until(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };

    if (poll(&p, 1, PATIENCE_MS) != 1)
        diff_die("nothing came");
}

/* So many bytes before the mark, or in all. */
static void until_there(int fd, int bytes)
{
    int n = 0;

    for (time_t end = time(NULL) + PATIENCE_S; ioctl(fd, FIONREAD, &n) == 0 && n < bytes && time(NULL) < end;)
        usleep(200);
}

static void drain(int pipe_in, int pipe_out, int fd, unsigned flags, int times)
{
    char b[ROOM];

    for (int i = 0; i < times; i++) {
        long n = splice(fd, NULL, pipe_in, NULL, ROOM, flags);

        printf("  splice %ld %s", n, said(n));
        n = n > 0 ? read(pipe_out, b, sizeof(b)) : 0;
        printf(" '%.*s', at the mark %d\n", (int)n, b, sockatmark(fd));
    }
}

enum { TAKEN = 1, INLINE = 2, BLOCKS = 4, ENDS = 8, ABORTS = 16, SHARED = 32 };

/* abcDef, D is urgent. */
static void around_mark(int how, int end)
{
    struct ends e = connected();
    int in = e.fd[end], out = e.fd[!end], p[2], hold[2];
    char b[ROOM];
    long n;
    pid_t pid = -1;

    printf("splice:%s%s%s%s%s%s\n", how & TAKEN ? " taken" : "", how & INLINE ? " inline" : "", how & BLOCKS ? " blocking" : "",
           how & ENDS ? " FIN" : "", how & ABORTS ? " RST" : "", how & SHARED ? " shared" : "");
    if (pipe(p) != 0 || pipe(hold) != 0)
        diff_die("pipe");
    if (how & SHARED && (pid = fork()) == 0) { /* has them, and does nothing with them */
        close(hold[1]);
        n = read(hold[0], b, 1);
        _exit(0);
    }
    close(hold[0]);
    setsockopt(in, SOL_SOCKET, SO_OOBINLINE, &(int){ how & INLINE ? 1 : 0 }, sizeof(int));
    put(out, "abc", 0);
    put(out, "D", MSG_OOB);
    put(out, "ef", 0);
    until(in, POLLPRI);
    until_there(in, how & INLINE ? 6 : 3);
    while (!(how & INLINE) && (n = recv(in, b, ROOM, MSG_PEEK | MSG_OOB)) < 0 && errno == EAGAIN)
        usleep(200);
    if (how & TAKEN) {
        n = recv(in, b, ROOM, MSG_OOB);
        printf("  urgent %ld %s\n", n, said(n));
    }
    if (how & ENDS)
        shutdown(out, SHUT_WR);
    if (how & ABORTS) {
        setsockopt(out, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 }, sizeof(struct linger));
        close(out);
    }
    if (how & (ENDS | ABORTS))
        until(in, POLLRDHUP);
    n = recv(in, b, ROOM, MSG_PEEK | MSG_OOB);
    printf("  urgent, a look: %ld %s\n", n, said(n));
    if (!(how & BLOCKS))
        fcntl(in, F_SETFL, O_NONBLOCK);
    drain(p[1], p[0], in, how & BLOCKS ? 0 : SPLICE_F_NONBLOCK, 3);
    n = recv(in, b, ROOM, MSG_DONTWAIT);
    printf("  recv %ld %s '%.*s'\n", n, said(n), n > 0 ? (int)n : 0, b);
    if (!(how & (ENDS | ABORTS))) {
        put(out, "gh", 0);
        until_there(in, 2);
    }
    fcntl(in, F_SETFL, O_NONBLOCK); /* splice's own flag is the pipe's */
    drain(p[1], p[0], in, SPLICE_F_NONBLOCK, 2);
    close(hold[1]);
    if (pid > 0)
        waitpid(pid, NULL, 0);
    if (how & ABORTS)
        e.fd[!end] = -1;
    done(&e);
    close(p[0]);
    close(p[1]);
}

/* A pipe has no offsets: that is seen before the socket. */
static void no_offset(const char *what, int fd)
{
    int p[2];
    off_t at = 0;
    long n;

    if (pipe(p) != 0 || write(p[1], "abc", 3) != 3)
        diff_die("pipe");
    n = sendfile(fd, p[0], &at, 3);
    printf("%s: sendfile from a pipe, with an offset %ld %s", what, n, said(n));
    n = sendfile(fd, p[0], NULL, 3);
    printf(", without %ld %s", n, said(n));
    n = sendfile(fd, p[1], &at, 3);
    printf(", what is not read %ld %s\n", n, said(n));
    close(p[0]);
    close(p[1]);
}

static void offsets(int end)
{
    struct ends e = connected();

    no_offset("connected", e.fd[end]);
    shutdown(e.fd[end], SHUT_WR);
    no_offset("shut", e.fd[end]);
    shutdown(e.fd[!end], SHUT_WR);
    until(e.fd[end], POLLRDHUP);
    no_offset("over", e.fd[end]);
    done(&e);
}

int main(int argc, char **argv)
{
    static const int hows[] = { 0, TAKEN, INLINE, BLOCKS, BLOCKS | TAKEN, BLOCKS | INLINE, ENDS, BLOCKS | ENDS, ENDS | TAKEN, ABORTS, ABORTS | BLOCKS,
                                ABORTS | TAKEN, SHARED, SHARED | BLOCKS, SHARED | INLINE };

    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(60);
    signal(SIGPIPE, SIG_IGN);
    if (argc != 5)
        return 2;
    from = argv[3];
    to = argv[4];
    for (int end = 0; end < 2; end++) {
        offsets(end);
        for (unsigned i = 0; i < sizeof(hows) / sizeof(hows[0]); i++)
            around_mark(hows[i], end);
    }
    return 0;
}
