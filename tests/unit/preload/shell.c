/* shell.c - system() and popen(): the sockets that go along with the shell and those that do not, signals, statuses, errors, cancellation,
 * what is left open in whom; a child of vfork() that moves sockets by dup() and its like before it becomes another image. Run with and
 * without the preload library, the two outputs must be the same (stack_same_test.sh). Over IPv4 and IPv6, and first without any socket. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "tests/unit/preload/calls.h"

extern char **environ;
static const char *self;
static int (*volatile closes)(FILE *) = fclose, (*volatile closes_shell)(FILE *) = pclose; /* either, whoever has opened it: no warnings */
static bool is_v6;

static int ends(int *l, int *a)
{
    struct sockaddr_in6 six = { .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    struct sockaddr_in four = loopback(0);
    struct sockaddr *sa = is_v6 ? (struct sockaddr *)&six : (struct sockaddr *)&four;
    socklen_t len = is_v6 ? sizeof(six) : sizeof(four);
    *l = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    *a = socket(sa->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SHOW(bind(*l, sa, len));
    SHOW(listen(*l, 4));
    SHOW(getsockname(*l, sa, &len));
    SHOW(connect(*a, sa, len));
    int b = accept(*l, NULL, NULL);
    SHOW(b >= 0);
    return b;
}

/* Another connection to where fd's leads. */
static int again(int fd)
{
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);
    SHOW(getpeername(fd, (struct sockaddr *)&ss, &len));
    int other = socket(ss.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    SHOW(connect(other, (struct sockaddr *)&ss, len));
    return other;
}

static bool has(int fd, const char *text)
{
    char got[64] = "";
    return recv(fd, got, strlen(text), MSG_WAITALL) == (ssize_t)strlen(text) && strcmp(got, text) == 0;
}

/* `self accept`: what is accepted from number 0 is answered; `self N`: answers by that number; `self files`: which numbers up to 60 are
 * open; `self signals`: what is ignored, what blocked */
static int image(const char *what)
{
    char c = 0;
    if (strcmp(what, "files") == 0) {
        for (int fd = 0; fd < 60; fd++)
            if (fcntl(fd, F_GETFD) >= 0)
                printf(" %d", fd);
        printf("\n");
        return 0;
    }
    if (strcmp(what, "signals") == 0) {
        struct sigaction sa;
        sigset_t mask;
        sigprocmask(SIG_BLOCK, NULL, &mask);
        for (int sig = 1; sig < SIGSYS; sig++)
            if (sigaction(sig, NULL, &sa) == 0 && sa.sa_handler == SIG_IGN)
                printf(" ignored %d", sig);
        for (int sig = 1; sig < SIGSYS; sig++)
            if (sigismember(&mask, sig))
                printf(" blocked %d", sig);
        printf("\n");
        return 0;
    }
    int fd = strcmp(what, "accept") == 0 ? accept(0, NULL, NULL) : atoi(what);
    ssize_t r = read(fd, &c, 1);
    if (r < 0)
        return errno;
    return r == 1 && c == '?' && write(fd, "image", 5) == 5 ? 42 : 1;
}

static const char *command(const char *format, int fd)
{
    static char text[512];
    char number[16];
    snprintf(number, sizeof(number), "%d", fd);
    size_t at = 0;
    for (; *format && at + sizeof(number) < sizeof(text); format++)
        if (*format == '@')
            at += (size_t)snprintf(text + at, sizeof(text) - at, "'%s'", self);
        else if (*format == '#')
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%s", number);
        else
            text[at++] = *format;
    text[at] = '\0';
    fflush(stdout);
    return text;
}

static int run(const char *format, int fd) { return system(command(format, fd)); }

static void show_stream(FILE *f)
{
    char line[256];
    SHOW(f != NULL);
    while (f && fgets(line, sizeof(line), f))
        printf("says %s", line);
}

/* ---- what goes along ---- */

static void test_handed_on(void)
{
    int l, a, b = ends(&l, &a);
    FILE *f;
    SHOW(write(a, "?", 1));
    SHOW(WEXITSTATUS(run("@ #", b)));
    SHOW(has(a, "image"));
    SHOW(WEXITSTATUS(run("@ #", a))); /* close-on-exec */
    SHOW(WEXITSTATUS(run("echo the shell itself >&#; exit 7", b)));
    SHOW(has(a, "the shell itself\n"));
    SHOW(write(a, "a line\n", 7));
    f = popen(command("read line <&#; echo read $line; echo back >&#", b), "r");
    show_stream(f);
    SHOW(has(a, "back\n"));
    SHOW(pclose(f));
    f = popen(command("cat >&#", b), "we");
    SHOW(fcntl(fileno(f), F_GETFD));
    SHOW(fputs("through cat", f));
    SHOW(closes(f));
    SHOW(has(a, "through cat"));
    f = popen(command("@ # && exit 1; @ #; exit $?", a), "r");
    show_stream(f);
    SHOW(WEXITSTATUS(pclose(f)) == EBADF);
    SHOW(write(b, "still mine", 10));
    SHOW(has(a, "still mine"));
    f = popen(command("sleep 60 >/dev/null & echo $!", b), "r"); /* the last that has it is not this process */
    int pid = 0;
    SHOW(fscanf(f, "%d", &pid));
    SHOW(pclose(f));
    SHOW(close(b));
    struct pollfd p = { .fd = a, .events = POLLIN };
    SHOW(poll(&p, 1, 50));
    SHOW(kill(pid, SIGKILL));
    SHOW(poll(&p, 1, 60000));
    SHOW(read(a, &pid, 1));
    SHOW(close(a));
    SHOW(close(l));
}

/* ---- vfork ---- */

enum move { MOVE_TO_0, MOVE_TWICE, MOVE_BY_DUP3, MOVE_LISTENER, SPAWN_LISTENER, MOVE_OVER, MOVE_BY_DUP, MOVE_BY_FCNTL, DUP_LISTENER, MOVES };

static pid_t start(enum move move, int fd, int other, char *const args[])
{
    posix_spawn_file_actions_t actions;
    pid_t pid = -1;
    if (move == SPAWN_LISTENER) {
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, fd, 0);
        if (posix_spawn(&pid, self, &actions, NULL, args, environ) != 0)
            pid = -1;
        posix_spawn_file_actions_destroy(&actions);
        return pid;
    }
    pid = vfork();
    if (pid)
        return pid;
    if (move == MOVE_TO_0 || move == MOVE_LISTENER) {
        dup2(fd, 0);
    } else if (move == MOVE_TWICE) {
        dup2(fd, 40);
        dup2(40, 0);
        close(40);
    } else if (move == MOVE_BY_DUP3) {
        dup3(fd, 45, O_CLOEXEC);
        dup3(fd, 46, 0);
    } else if (move == MOVE_BY_DUP || move == DUP_LISTENER) {
        close(0);
        (void)!dup(fd);
    } else if (move == MOVE_BY_FCNTL) {
        fcntl(fcntl(fd, F_DUPFD_CLOEXEC, 40), F_DUPFD, 46);
    } else {
        dup2(other, fd);
    }
    execv(self, args);
    _exit(9);
}

/* The sockets are close-on-exec; the image has what stands where it was put. */
static void test_moved(enum move move)
{
    int l, a, b = ends(&l, &a), s[2], status = -1, to = move == MOVE_BY_DUP3 || move == MOVE_BY_FCNTL ? 46 : move == MOVE_OVER ? b : 0;
    bool accepts = move == MOVE_LISTENER || move == SPAWN_LISTENER || move == DUP_LISTENER;
    char number[16] = "accept", *args[] = { (char *)(uintptr_t)self, number, NULL };
    printf("moved, %d\n", (int)move);
    SHOW(fcntl(b, F_SETFD, move == MOVE_OVER ? 0 : FD_CLOEXEC));
    SHOW(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s));
    if (!accepts)
        snprintf(number, sizeof(number), "%d", to);
    fflush(stdout);
    pid_t pid = start(move, accepts ? l : b, s[1], args);
    SHOW(pid > 0);
    int c = accepts ? again(a) : move == MOVE_OVER ? s[0] : a;
    SHOW(write(c, "?", 1));
    SHOW(has(c, "image"));
    SHOW(waitpid(pid, &status, 0) == pid);
    SHOW(WEXITSTATUS(status));
    SHOW(write(b, "still mine", 10));
    SHOW(has(a, "still mine"));
    SHOW(close(b));
    SHOW(recv(a, number, 1, 0));
    closefrom(3);
}

/* ---- statuses, errors ---- */

static void test_results(void)
{
    FILE *f;
    SHOW(system(NULL) != 0);
    SHOW(system(""));
    SHOW(run("exit 3", 0));
    SHOW(run("kill -TERM $$", 0));
    SHOW(run("/no/such/program 2>/dev/null", 0));
    SHOW(popen("true", "x") != NULL);
    SHOW(popen("true", "rw") != NULL);
    SHOW(popen("true", "") != NULL);
    SHOW(popen("true", "rx") != NULL);
    SHOW((f = popen("exit 5", "r")) != NULL);
    SHOW(pclose(f));
    SHOW((f = popen("kill -USR1 $$", "re")) != NULL);
    SHOW(pclose(f));
    SHOW((f = popen("cat >/dev/null; exit 9", "w")) != NULL);
    SHOW(fcntl(fileno(f), F_GETFD));
    SHOW(fprintf(f, "%d", 42));
    SHOW(closes(f));
    SHOW((f = popen("exit 4", "r")) != NULL);
    siginfo_t info = { 0 };
    SHOW(waitid(P_ALL, 0, &info, WEXITED)); /* by somebody else */
    SHOW(info.si_status);
    SHOW(pclose(f));
    SHOW((f = fopen("/dev/null", "r")) != NULL);
    SHOW(closes_shell(f));
    SHOW((f = popen("exec <&-; kill -STOP $$; exit 6", "w")) != NULL); /* what is written reaches nobody */
    SHOW(waitid(P_ALL, 0, &info, WSTOPPED | WNOWAIT));
    SHOW(fputs("lost", f));
    signal(SIGPIPE, SIG_IGN);
    kill(info.si_pid, SIGCONT);
    SHOW(pclose(f));
    signal(SIGPIPE, SIG_DFL);
    struct rlimit was, few;
    getrlimit(RLIMIT_NOFILE, &was);
    int next = dup(0);
    close(next);
    few = (struct rlimit){ (rlim_t)next + 1, was.rlim_max };
    setrlimit(RLIMIT_NOFILE, &few);
    SHOW(popen("true", "r") != NULL);
    setrlimit(RLIMIT_NOFILE, &was);
}

/* ---- who has what open ---- */

static void test_open(void)
{
    FILE *one, *two, *three;
    SHOW((one = popen("cat", "w")) != NULL);
    SHOW((two = popen("cat >/dev/null", "we")) != NULL);
    three = popen(command("@ files", 0), "r");
    show_stream(three);
    SHOW(pclose(three));
    SHOW(run("@ files", 0));
    SHOW(pclose(two));
    SHOW(pclose(one)); /* would wait for ever if another shell had its end */
    int in = dup(0), out = dup(1);
    close(0);
    SHOW((one = popen(command("cat >&#", out), "w")) != NULL);
    SHOW(fputs("with stdin closed\n", one));
    SHOW(pclose(one));
    dup2(in, 0);
    fflush(stdout);
    close(1);
    one = popen("echo with stdout closed", "r");
    char line[64] = "";
    if (one && !fgets(line, sizeof(line), one))
        line[0] = '\0';
    int status = one ? pclose(one) : -1;
    dup2(out, 1);
    SHOW(status);
    printf("%s", line);
    close(in);
    close(out);
}

/* ---- signals ---- */

static volatile sig_atomic_t caught[NSIG];
static void on_signal(int sig) { caught[sig]++; }

static void test_signals(void)
{
    struct sigaction sa = { .sa_handler = on_signal }, now;
    sigset_t mask, was;
    for (int sig = SIGINT; sig <= SIGQUIT; sig++)
        sigaction(sig, &sa, NULL);
    sigaction(SIGCHLD, &sa, NULL);
    sigemptyset(&mask);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_BLOCK, &mask, &was);
    SHOW(run("@ signals", 0));
    SHOW(run("kill -INT $PPID; kill -QUIT $PPID", 0));
    SHOW(caught[SIGINT]);
    SHOW(caught[SIGQUIT]);
    SHOW(caught[SIGCHLD]);
    SHOW(run("kill -INT $$", 0));
    signal(SIGINT, SIG_IGN);
    SHOW(run("@ signals", 0));
    SHOW(sigaction(SIGINT, NULL, &now));
    SHOW(now.sa_handler == SIG_IGN);
    SHOW(sigaction(SIGQUIT, NULL, &now));
    SHOW(now.sa_handler == on_signal);
    FILE *f = popen(command("@ signals", 0), "r");
    show_stream(f);
    SHOW(pclose(f));
    sa.sa_handler = on_signal; /* no SA_RESTART: the waits go on all the same */
    sigaction(SIGUSR1, &sa, NULL);
    SHOW(run("kill -USR1 $PPID; exit 2", 0));
    SHOW((f = popen("exec >&-; kill -USR1 $PPID; exit 2", "r")) != NULL);
    SHOW(fgetc(f) < 0);
    SHOW(pclose(f));
    SHOW(caught[SIGUSR1]);
    sigprocmask(SIG_SETMASK, &was, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    signal(SIGCHLD, SIG_DFL);
    signal(SIGUSR1, SIG_DFL);
    for (int sig = 1; sig < NSIG; sig++)
        caught[sig] = 0;
}

/* ---- a thread that is cancelled in its system() leaves no shell ---- */

static void *runs_for_ever(void *arg)
{
    SHOW(system(arg));
    return NULL;
}

static void test_cancelled(void)
{
    struct sigaction now;
    int p[2], pid = 0;
    char text[128], number[16] = "";
    void *how = NULL;
    pthread_t t;
    SHOW(pipe(p));
    SHOW(fcntl(p[0], F_SETFD, FD_CLOEXEC));
    snprintf(text, sizeof(text), "echo $$ >&%d; exec sleep 60", p[1]);
    SHOW(pthread_create(&t, NULL, runs_for_ever, text));
    SHOW(read(p[0], number, sizeof(number) - 1) > 1);
    pid = atoi(number);
    SHOW(pthread_cancel(t));
    SHOW(pthread_join(t, &how));
    SHOW(how == PTHREAD_CANCELED);
    SHOW(kill(pid, 0));
    SHOW(waitpid(-1, NULL, WNOHANG));
    SHOW(sigaction(SIGINT, NULL, &now));
    SHOW(now.sa_handler == SIG_DFL);
    close(p[0]);
    close(p[1]);
}

/* Several at a time: the first ignores SIGINT, the last one no longer. */
static void *runs_once(void *arg)
{
    (void)arg;
    return (void *)(intptr_t)system("exit 8");
}

static void test_threads(void)
{
    enum { THREADS = 8 };
    pthread_t t[THREADS];
    struct sigaction now;
    long sum = 0;
    for (int i = 0; i < THREADS; i++)
        pthread_create(&t[i], NULL, runs_once, NULL);
    for (int i = 0; i < THREADS; i++) {
        void *r;
        pthread_join(t[i], &r);
        sum += WEXITSTATUS((int)(intptr_t)r);
    }
    SHOW(sum);
    SHOW(sigaction(SIGINT, NULL, &now));
    SHOW(now.sa_handler == SIG_DFL);
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return image(argv[1]);
    self = argv[0];
    closefrom(3);
    for (int i = 0; i < 3; i++) {
        int l = -1, a = -1, b = -1;
        is_v6 = i == 2;
        printf("%s\n", i == 0 ? "without a socket" : is_v6 ? "IPv6" : "IPv4");
        if (i > 0) {
            test_handed_on();
            for (int move = 0; move < MOVES; move++)
                test_moved(move);
            b = ends(&l, &a);
        }
        test_results();
        test_open();
        test_signals();
        test_cancelled();
        test_threads();
        if (i > 0)
            SHOW(write(a, "x", 1)), SHOW(has(b, "x"));
        closefrom(3);
    }
    return 0;
}
