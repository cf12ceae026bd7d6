/* handover.c - both ends of a cut-through connection change hands while bytes are unread: each byte comes once, in order
 *   handover serve MODE ADDRESS PORT MARK   accepts one connection, has its bytes read as MODE says; exit 0: all of them came
 *   handover send ADDRESS PORT MARK         writes the first part, forks; the child writes the second part, and makes the file MARK once it
 *                                           knows that the other end has heard of the change
 * Modes: fork, exec, pass (SCM_RIGHTS): who reads has the connection only afterwards   turns: parent and child read in turn
 *        late: the child that reads had it before   other: parent reads, a child that had it before writes in between
 *        twice: the sender's end changes hands twice, the connection goes to a child's child */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/system/pass_fd.h"

enum { PART = 50000, PARTS = 3, TURN = 7001 };
static const char *self;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static char byte_at(unsigned pos)
{
    return (char)(pos * 7 + (pos >> 8) * 13 + (pos >> 16));
}

static void send_part(int fd, unsigned part)
{
    static char buf[PART];
    for (unsigned i = 0; i < PART; i++)
        buf[i] = byte_at(part * PART + i);
    for (size_t at = 0; at < PART;) {
        ssize_t n = write(fd, buf + at, PART - at);
        if (n <= 0)
            die("write");
        at += (size_t)n;
    }
}

/* Up to `limit` bytes from stream position *pos on. False: the end. */
static bool read_some(int fd, unsigned *pos, size_t limit)
{
    static char buf[TURN];
    while (limit) {
        ssize_t n = read(fd, buf, limit < sizeof(buf) ? limit : sizeof(buf));
        if (n < 0)
            die("read");
        if (n == 0)
            return false;
        for (ssize_t i = 0; i < n; i++) {
            if (buf[i] != byte_at(*pos + (unsigned)i)) {
                fprintf(stderr, "byte %u is wrong\n", *pos + (unsigned)i);
                exit(1);
            }
        }
        *pos += (unsigned)n;
        limit -= (size_t)n;
    }
    return true;
}

static int read_all(int fd)
{
    unsigned pos = 0;
    while (read_some(fd, &pos, TURN))
        ;
    if (pos != PART * PARTS)
        fprintf(stderr, "%u bytes came of %u\n", pos, PART * PARTS);
    return pos == PART * PARTS ? 0 : 1;
}

static int wait_child(pid_t pid)
{
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        die("fork");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

/* ---- the sender ---- */
static void expect(int fd, char want)
{
    char c = 0;
    if (read(fd, &c, 1) != 1 || c != want) {
        fprintf(stderr, "the sender got %d, not '%c': %s\n", c, want, strerror(errno));
        exit(1);
    }
}

/* Each part is another process's; what one has read of the server's answers the next does not read. */
static int sender(int fd, unsigned part, const char *mark)
{
    char c;
    send_part(fd, part);
    expect(fd, (char)('a' + part)); /* said after the server has seen that there is a first part, or written to the slot of before */
    if (part == PARTS - 1) {
        int m = open(mark, O_CREAT | O_WRONLY, 0600);
        if (m < 0)
            die(mark);
        close(m);
        shutdown(fd, SHUT_WR);
        while (read(fd, &c, 1) > 0) /* it goes on using its end: that the other one moves is its affair, not the server's (both_ends.py) */
            ;
        return 0;
    }
    pid_t pid = fork();
    return pid == 0 ? sender(fd, part + 1, mark) : wait_child(pid);
}

/* ---- the server ---- */
/* The whole first part is unread, the sender's end has changed hands, and this process has heard of it. */
static void until_handed_over(int fd, const char *mark)
{
    int n = 0;
    do {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, 60000) <= 0 || ioctl(fd, FIONREAD, &n) != 0)
            die("poll");
    } while (n < PART);
    if (write(fd, "abc", PARTS) != PARTS) /* each sender reads one: the later ones in FIFOs of after the change */
        die("write");
    while (access(mark, F_OK) != 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        if (poll(&p, 1, 60000) <= 0)
            die("poll");
        usleep(500);
    }
}

static int read_in_turn(int fd)
{
    unsigned *pos = mmap(NULL, sizeof(*pos), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool more = true;
    if (pos == MAP_FAILED)
        die("mmap");
    while (more) {
        pid_t pid = fork();
        if (pid == 0)
            _exit(read_some(fd, pos, TURN) ? 0 : 42);
        int rc = wait_child(pid);
        if (rc != 0 && rc != 42)
            return rc;
        more = rc == 0 && read_some(fd, pos, TURN);
    }
    if (*pos != PART * PARTS)
        fprintf(stderr, "%u bytes came of %u\n", *pos, PART * PARTS);
    return *pos == PART * PARTS ? 0 : 1;
}

/* A process that has the connection already, and does something with it when it is told. */
static pid_t early_child(int fd, const char *mode, int go)
{
    pid_t pid = fork();
    char c;
    if (pid != 0)
        return pid;
    if (read(go, &c, 1) != 1)
        _exit(1);
    if (strcmp(mode, "late") == 0)
        _exit(read_all(fd));
    _exit(write(fd, "!", 1) == 1 ? 0 : 1);
}

static int serve(const char *mode, int fd, int worker, const char *mark)
{
    bool is_late = strcmp(mode, "late") == 0, is_other = strcmp(mode, "other") == 0;
    pid_t pid = 0;
    int go[2];
    if (pipe(go) != 0)
        die("pipe");
    if (is_late || is_other)
        pid = early_child(fd, mode, go[0]);
    until_handed_over(fd, mark);
    if (is_late || is_other) {
        int rc = write(go[1], "x", 1) == 1 ? wait_child(pid) : 1;
        return rc == 0 && is_other ? read_all(fd) : rc;
    }
    if (strcmp(mode, "exec") == 0) {
        dup2(fd, 0);
        execl(self, self, "stdin", (char *)NULL);
        die("exec");
    }
    if (strcmp(mode, "pass") == 0) {
        if (!pass_fd(worker, fd))
            die("sendmsg");
        close(fd);
        return 0;
    }
    if (strcmp(mode, "turns") == 0)
        return read_in_turn(fd);
    pid = fork(); /* fork, and twice: the child's child */
    if (pid == 0 && strcmp(mode, "twice") == 0)
        pid = fork();
    if (pid == 0)
        _exit(read_all(fd));
    close(fd);
    return wait_child(pid);
}

int main(int argc, char **argv)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai;
    int fd, one = 1, sv[2];
    pid_t worker = 0;

    self = argv[0];
    if (argc == 2 && strcmp(argv[1], "stdin") == 0)
        return read_all(0);
    bool is_server = argc == 6 && strcmp(argv[1], "serve") == 0;
    if ((!is_server && argc != 5) || getaddrinfo(argv[2 + is_server], argv[3 + is_server], &hints, &ai) != 0) {
        fprintf(stderr, "usage: handover serve fork|exec|pass|turns|late|other|twice ADDRESS PORT MARK | send ADDRESS PORT MARK\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    if (is_server && strcmp(argv[2], "pass") == 0) {
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) != 0)
            die("socketpair");
        worker = fork();
        if (worker == 0)
            _exit(read_all(passed_fd(sv[1])));
    }
    fd = socket(ai->ai_family, SOCK_STREAM, 0);
    if (!is_server) {
        if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) != 0)
            die("connect");
        return sender(fd, 0, argv[4]);
    }
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 || bind(fd, ai->ai_addr, ai->ai_addrlen) != 0 ||
        listen(fd, 4) != 0)
        die("listen");
    puts("ready");
    fflush(stdout);
    int c = accept(fd, NULL, NULL);
    if (c < 0)
        die("accept");
    int rc = serve(argv[2], c, sv[0], argv[5]);
    return worker && rc == 0 ? wait_child(worker) : rc;
}
