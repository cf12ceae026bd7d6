/* fork_echo.c - echo server whose connections change processes: by fork, exec and SCM_RIGHTS; over plain sockets
 * Modes: close  the child serves, the parent closes its copy       keep  the parent holds its copy until the child has ended
 *        turns  parent and child serve piece by piece, in turn      split the child reads, the parent writes what the child tells it
 *        exec   inetd style: 0 and 1 are the connection, exec of itself as `stdio`    pass  a worker process is sent the descriptor
 *        sandbox  the child may open nothing any more and make few calls only, as the one of sshd that speaks to the network
 *        few, fewer   the child may have 128 descriptors at most, until it asks for more; for good
 * -C: children are made by the system calls themselves, which libc knows nothing of. -N: non-blocking. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <netdb.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/system/pass_fd.h"

enum { PIECE = 10000, CHUNK = 65536 };

static bool nonblock, by_number;
static const char *self;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

/* By number: each child by another system call, one of them as the first process of a pid namespace of its own. */
static pid_t make_child(void)
{
    static unsigned n;
    struct clone_args args = { .exit_signal = SIGCHLD };

    if (!by_number)
        return fork();
    switch (n++ % 3) {
    case 0:
        return (pid_t)syscall(SYS_clone, CLONE_NEWPID | SIGCHLD, NULL, NULL, NULL, NULL);
    case 1:
        return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
    default:
#ifdef SYS_fork
        return (pid_t)syscall(SYS_fork);
#else
        return (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
#endif
    }
}

static void wait_for(int fd, short events)
{
    struct pollfd p = { .fd = fd, .events = events };
    if (poll(&p, 1, -1) < 0)
        die("poll");
}

static ssize_t take(int fd, char *buf, size_t len)
{
    for (;;) {
        ssize_t n = read(fd, buf, len);
        if (n >= 0)
            return n;
        if (errno != EAGAIN)
            die("read");
        wait_for(fd, POLLIN);
    }
}

static void put(int fd, const char *buf, size_t len)
{
    while (len) {
        ssize_t n = write(fd, buf, len);
        if (n < 0 && errno != EAGAIN)
            die("write");
        if (n < 0) {
            wait_for(fd, POLLOUT);
            continue;
        }
        buf += n;
        len -= (size_t)n;
    }
}

/* Echoes up to `limit` bytes (0 = to the end). False: the end came. */
static bool echo(int in, int out, size_t limit)
{
    static char buf[CHUNK];
    for (size_t done = 0; !limit || done < limit;) {
        size_t want = limit && limit - done < sizeof(buf) ? limit - done : sizeof(buf);
        ssize_t n = take(in, buf, want);
        if (n == 0)
            return false;
        put(out, buf, (size_t)n);
        done += (size_t)n;
    }
    return true;
}

/* The same through an epoll set, edge-triggered, made after the fork. */
static void echo_epoll(int fd)
{
    int ep = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
    char buf[CHUNK];
    if (ep < 0 || epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev) != 0)
        die("epoll_ctl");
    for (;;) {
        ssize_t n;
        if (epoll_wait(ep, &ev, 1, -1) < 0)
            die("epoll_wait");
        while ((n = read(fd, buf, sizeof(buf))) > 0)
            put(fd, buf, (size_t)n);
        if (n == 0)
            return;
        if (errno != EAGAIN)
            die("read");
    }
}

static void serve_turns(int fd)
{
    int status = 0;
    do {
        pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0)
            _exit(echo(fd, fd, PIECE) ? 0 : 42);
        if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 42)) {
            fprintf(stderr, "a child ended with status %x\n", status);
            exit(1);
        }
    } while (WEXITSTATUS(status) == 0 && echo(fd, fd, PIECE));
}

static void serve_split(int fd)
{
    int p[2];
    pid_t pid;
    if (pipe(p) != 0 || (pid = fork()) < 0)
        die("fork");
    if (pid == 0) {
        echo(fd, p[1], 0);
        _exit(0);
    }
    close(p[1]);
    echo(p[0], fd, 0);
    waitpid(pid, NULL, 0);
}

/* Any other call ends the process. */
static void sandbox(void)
{
#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##call, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef SYS_poll
        ALLOW(poll),
#endif
        ALLOW(read), ALLOW(write), ALLOW(ppoll), ALLOW(clock_gettime), ALLOW(exit_group), ALLOW(getpid), ALLOW(gettid), ALLOW(futex), ALLOW(brk),
        ALLOW(mmap), ALLOW(munmap), ALLOW(madvise), ALLOW(rt_sigprocmask),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = { sizeof(rules) / sizeof(*rules), rules };
    struct rlimit one = { 1, 1 };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || setrlimit(RLIMIT_NOFILE, &one) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        die("sandbox");
}

static void worker(int from)
{
    for (;;) {
        int fd = passed_fd(from);

        if (fd < 0)
            exit(0);
        if (fork() == 0) {
            echo(fd, fd, 0);
            _exit(0);
        }
        close(fd);
    }
}

static void limit(bool for_good)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) != 0)
        die("getrlimit");
    l.rlim_cur = 128;
    if (for_good)
        l.rlim_max = 128;
    if (setrlimit(RLIMIT_NOFILE, &l) != 0)
        die("setrlimit");
}

/* In the child, or whatever the mode has in its place. Returns for the parent only. */
static void serve(const char *mode, int fd, int to_worker)
{
    pid_t pid;
    if (strcmp(mode, "pass") == 0) {
        if (!pass_fd(to_worker, fd))
            die("sendmsg");
        return;
    }
    pid = make_child();
    if (pid < 0)
        die("fork");
    if (pid > 0) {
        if (strcmp(mode, "keep") == 0) {
            if (fork() == 0) { /* a process of its own holds on */
                while (kill(pid, 0) == 0)
                    usleep(1000);
                _exit(0);
            }
        }
        return;
    }
    signal(SIGCHLD, SIG_DFL);
    if (strncmp(mode, "few", 3) == 0)
        limit(strcmp(mode, "fewer") == 0);
    if (strcmp(mode, "turns") == 0) {
        serve_turns(fd);
    } else if (strcmp(mode, "split") == 0) {
        serve_split(fd);
    } else if (strcmp(mode, "exec") == 0) {
        dup2(fd, 0);
        dup2(fd, 1);
        close(fd);
        execl(self, self, "stdio", (char *)NULL);
        die("exec");
    } else if (strcmp(mode, "sandbox") == 0) {
        sandbox();
        echo(fd, fd, 0);
    } else if (nonblock) {
        echo_epoll(fd);
    } else {
        echo(fd, fd, 0);
    }
    _exit(0);
}

int main(int argc, char **argv)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai;
    int l, one = 1, sv[2];

    self = argv[0];
    if (argc == 2 && strcmp(argv[1], "stdio") == 0) {
        echo(0, 1, 0);
        return 0;
    }
    for (; argc > 1 && argv[1][0] == '-'; argv++, argc--) {
        nonblock = nonblock || strcmp(argv[1], "-N") == 0;
        by_number = by_number || strcmp(argv[1], "-C") == 0;
    }
    if (argc != 4 || getaddrinfo(argv[2], argv[3], &hints, &ai) != 0) {
        fprintf(stderr, "usage: fork_echo [-N] [-C] close|keep|turns|split|exec|pass|sandbox|few|fewer ADDRESS PORT\n");
        return 2;
    }
    signal(SIGCHLD, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) != 0)
        die("socketpair");
    if (strcmp(argv[1], "pass") == 0 && fork() == 0) {
        close(sv[0]);
        worker(sv[1]);
    }
    close(sv[1]);
    l = socket(ai->ai_family, SOCK_STREAM, 0);
    if (l < 0 || setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0 || bind(l, ai->ai_addr, ai->ai_addrlen) != 0 ||
        listen(l, 64) != 0)
        die("listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        int fd = accept(l, NULL, NULL);
        if (fd < 0)
            die("accept");
        if (nonblock)
            fcntl(fd, F_SETFL, O_NONBLOCK);
        serve(argv[1], fd, sv[0]);
        close(fd);
    }
}
