/* names.c - the other names of calls (__CALL, CALL64, __CALL_chk), each found by its name as a linker finds it; what reaches the kernel
 * through a socket of ours; tee(): run with and without the preload library, the two outputs must be the same (stack_same_test.sh) */
#include <dlfcn.h>
#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include "tests/unit/preload/calls.h"

static void *named(const char *name)
{
    void *f = dlsym(RTLD_DEFAULT, name);
    if (!f) { /* of old programs only: libc does not give it to new ones */
        printf("%s: no such name\n", name);
        exit(1);
    }
    return f;
}
/* CALL(ssize_t, (int, void *, size_t), __read)(fd, buf, len) */
#define CALL(type, args, name) ((type (*) args)named(#name))

static char buf[64];

static bool has(const char *text)
{
    bool same = memcmp(buf, text, strlen(text)) == 0;
    memset(buf, 0, sizeof(buf));
    return same;
}

static void test_bytes(int a, int b)
{
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    struct iovec out = { "three", 5 }, in = { buf, sizeof(buf) };
    struct mmsghdr m = { .msg_hdr = { .msg_iov = &out, .msg_iovlen = 1 } };
    SHOW(CALL(ssize_t, (int, const void *, size_t), __write)(a, "one", 3));
    SHOW(CALL(ssize_t, (int, void *, size_t), __read)(b, buf, 10));
    SHOW(has("one"));
    SHOW(CALL(ssize_t, (int, const void *, size_t, int), __send)(a, "two", 3, 0));
    SHOW(CALL(ssize_t, (int, void *, size_t, size_t), __read_chk)(b, buf, 10, sizeof(buf)));
    SHOW(has("two"));
    SHOW(CALL(int, (int, struct mmsghdr *, unsigned, int), __sendmmsg)(a, &m, 1, 0));
    SHOW(CALL(ssize_t, (int, void *, size_t, size_t, int), __recv_chk)(b, buf, 10, sizeof(buf), 0));
    SHOW(has("three"));
    SHOW(CALL(ssize_t, (int, const struct iovec *, int, off64_t, int), pwritev64v2)(a, &out, 1, -1, 0));
    SHOW(CALL(ssize_t, (int, void *, size_t, size_t, int, struct sockaddr *, socklen_t *), __recvfrom_chk)(
        b, buf, 10, sizeof(buf), 0, (struct sockaddr *)&from, &len));
    SHOW(has("three"));
    SHOW(write(a, "four", 4));
    SHOW(CALL(ssize_t, (int, const struct iovec *, int, off64_t, int), preadv64v2)(b, &in, 1, -1, 0));
    SHOW(has("four"));
    SHOW(CALL(int, (int, int, const char *, ...), __dprintf_chk)(a, 1, "%s", "five"));
    SHOW(CALL(ssize_t, (int, void *, size_t), __read)(b, buf, 10));
    SHOW(has("five"));
    SHOW(CALL(ssize_t, (int, void *, size_t, off64_t), pread64)(b, buf, 10, 0));
    SHOW(CALL(ssize_t, (int, const void *, size_t, off64_t), pwrite64)(a, "x", 1, 0));
    SHOW(CALL(ssize_t, (int, void *, size_t, off_t, size_t), __pread_chk)(b, buf, 10, 0, sizeof(buf)));
    SHOW(CALL(ssize_t, (int, void *, size_t, off64_t, size_t), __pread64_chk)(b, buf, 10, 0, sizeof(buf)));
    SHOW(CALL(ssize_t, (int, const struct iovec *, int, off64_t), preadv64)(b, &in, 1, 0));
    SHOW(CALL(ssize_t, (int, const struct iovec *, int, off64_t), pwritev64)(a, &out, 1, 0));
    SHOW(CALL(off64_t, (int, off64_t, int), lseek64)(a, 0, SEEK_CUR));
    SHOW(CALL(int, (int, off64_t), ftruncate64)(a, 0));
}

static void print(int (*f)(int, int, const char *, va_list), int fd, const char *format, ...)
{
    va_list ap;
    va_start(ap, format);
    SHOW(f(fd, 1, format, ap));
    va_end(ap);
}

static void test_streams(int a, int b)
{
    FILE *f = tmpfile(), *w = fdopen(a, "w"), *r = fdopen(b, "r");
    off64_t at = 1;
    fputs("in a file", f);
    fflush(f);
    SHOW(CALL(ssize_t, (int, int, off64_t *, size_t), sendfile64)(a, fileno(f), &at, 4));
    SHOW(at);
    SHOW(read(b, buf, 10));
    SHOW(has("n a "));
    print(CALL(int, (int, int, const char *, va_list), __vdprintf_chk), a, "%d\n", 6);
    SHOW(CALL(char *, (char *, size_t, int, FILE *), __fgets_chk)(buf, sizeof(buf), sizeof(buf), r) != NULL);
    SHOW(has("6\n"));
    SHOW(CALL(int, (FILE *, int, const char *, ...), __fprintf_chk)(w, 1, "%s\n", "seven"));
    SHOW(fflush(w));
    SHOW(CALL(size_t, (void *, size_t, size_t, size_t, FILE *), __fread_chk)(buf, sizeof(buf), 1, 6, r));
    SHOW(has("seven\n"));
    fclose(f);
}

static void test_waits(int a, int b)
{
    struct pollfd p = { .fd = b, .events = POLLIN };
    struct timespec soon = { 0, 1000000 };
    fd_set rd;
    SHOW(CALL(int, (struct pollfd *, nfds_t, int), __poll)(&p, 1, 1));
    SHOW(write(a, "x", 1));
    SHOW(CALL(int, (struct pollfd *, nfds_t, int), __poll)(&p, 1, 60000));
    SHOW(CALL(int, (struct pollfd *, nfds_t, int, size_t), __poll_chk)(&p, 1, 60000, sizeof(p)));
    SHOW(CALL(int, (struct pollfd *, nfds_t, const struct timespec *, const sigset_t *, size_t), __ppoll_chk)(&p, 1, &soon, NULL, sizeof(p)));
    SHOW(p.revents);
    FD_ZERO(&rd);
    ((fd_mask *)&rd)[CALL(long, (long), __fdelt_chk)(b)] |= (fd_mask)1 << b % NFDBITS;
    SHOW(CALL(int, (int, fd_set *, fd_set *, fd_set *, struct timeval *), __select)(b + 1, &rd, NULL, NULL, &(struct timeval){ 5, 0 }));
    SHOW(FD_ISSET(b, &rd) != 0);
    SHOW(read(b, buf, 1));
}

/* A buffer that is too small ends the program, as it does on a file. */
static void test_overruns(int a, int b)
{
    for (int i = 0; i < 3; i++) {
        int status;
        fflush(stdout);
        pid_t pid = fork();
        if (pid == 0) {
            close(STDERR_FILENO);
            if (i == 0)
                CALL(ssize_t, (int, void *, size_t, size_t), __read_chk)(b, buf, 10, 9);
            else if (i == 1)
                CALL(ssize_t, (int, void *, size_t, size_t, int), __recv_chk)(b, buf, 10, 9, MSG_DONTWAIT);
            else
                CALL(int, (struct pollfd *, nfds_t, int, size_t), __poll_chk)(&(struct pollfd){ .fd = a }, 1, 0, 1);
            _exit(0);
        }
        SHOW(waitpid(pid, &status, 0) == pid);
        SHOW(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    }
}

static void test_descriptors(int a, int b)
{
    struct stat64 st;
    SHOW(CALL(int, (int, int, ...), fcntl64)(a, F_SETFL, O_NONBLOCK));
    SHOW(CALL(int, (int, int, ...), __fcntl)(a, F_GETFL) & O_NONBLOCK);
    SHOW(recv(a, buf, 1, 0));
    SHOW(CALL(int, (int, int, ...), __fcntl)(a, F_SETFL, 0));
    SHOW(CALL(int, (int, int), __dup2)(a, 90));
    SHOW(write(90, "by a copy", 9));
    SHOW(read(b, buf, 10));
    SHOW(has("by a copy"));
    SHOW(CALL(int, (int), __close)(90));
    SHOW(write(90, "x", 1));
    SHOW(CALL(int, (int, struct stat64 *), fstat64)(a, &st));
    SHOW(S_ISSOCK(st.st_mode));
}

/* netdevice(7): the kernel answers, whichever socket is asked by. */
static void test_interfaces(int fd)
{
    struct ifreq all[32], r = { .ifr_name = "lo" };
    struct ifconf c = { .ifc_len = sizeof(all), .ifc_req = all };
    bool found = false;
    SHOW(ioctl(fd, SIOCGIFCONF, &c));
    for (int i = 0; i < c.ifc_len / (int)sizeof(all[0]); i++)
        found = found || strcmp(all[i].ifr_name, "lo") == 0;
    SHOW(found);
    SHOW(ioctl(fd, SIOCGIFINDEX, &r));
    SHOW(r.ifr_ifindex);
    SHOW(ioctl(fd, SIOCGIFFLAGS, &r));
    SHOW((r.ifr_flags & (IFF_UP | IFF_LOOPBACK)) == (IFF_UP | IFF_LOOPBACK));
    SHOW(ioctl(fd, SIOCGIFMTU, &r));
    SHOW(r.ifr_mtu);
    SHOW(ioctl(fd, SIOCGIFADDR, &r));
    SHOW(ntohl(((struct sockaddr_in *)&r.ifr_addr)->sin_addr.s_addr) == INADDR_LOOPBACK);
    SHOW(ioctl(fd, SIOCGIFNETMASK, &r));
    SHOW(ioctl(fd, SIOCGIFHWADDR, &r));
    r.ifr_ifindex = 1;
    SHOW(ioctl(fd, SIOCGIFNAME, &r));
    SHOW(strcmp(r.ifr_name, "lo"));
    strcpy(r.ifr_name, "not there");
    SHOW(ioctl(fd, SIOCGIFINDEX, &r));
    SHOW(ioctl(fd, SIOCGIFADDR, &r));
    SHOW(ioctl(fd, 0x89ff, &r));
    SHOW(ioctl(fd, TIOCGWINSZ, &(struct winsize){ 0 }));
}

static void test_tee(int a, int b)
{
    int p[2], q[2];
    SHOW(pipe(p));
    SHOW(pipe(q));
    SHOW(write(p[1], "pipe", 4));
    SHOW(tee(p[0], a, 4, 0));
    SHOW(tee(b, q[1], 4, 0));
    SHOW(tee(a, b, 4, SPLICE_F_NONBLOCK));
    SHOW(tee(p[0], q[1], 4, 0));
    SHOW(splice(q[0], NULL, a, NULL, 4, 0));
    SHOW(read(b, buf, 10));
    SHOW(has("pipe"));
    SHOW(vmsplice(a, &(struct iovec){ "x", 1 }, 1, 0));
}

/* What is left after exec of a connection that a program has from another one. */
static int exec_program(int fd)
{
    test_interfaces(fd);
    SHOW(CALL(ssize_t, (int, const void *, size_t), __write)(fd, "from it", 7));
    return 42;
}

static void test_exec(const char *self, int a, int b)
{
    int status;
    char number[16];
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        snprintf(number, sizeof(number), "%d", dup(b)); /* without close-on-exec */
        execl(self, self, number, (char *)NULL);
        _exit(1);
    }
    close(b);
    SHOW(recv(a, buf, 7, MSG_WAITALL));
    SHOW(has("from it"));
    SHOW(waitpid(pid, &status, 0) == pid);
    SHOW(WEXITSTATUS(status));
}

int main(int argc, char **argv)
{
    int port, a, b, l;
    if (argc > 1)
        return exec_program(atoi(argv[1]));
    closefrom(3);
    l = listener(&port);
    struct sockaddr_in sa = loopback(port);
    a = (int)SHOW(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(CALL(int, (int, const struct sockaddr *, socklen_t), __connect)(a, (struct sockaddr *)&sa, sizeof(sa)));
    b = (int)SHOW(accept(l, NULL, NULL));
    test_bytes(a, b);
    test_waits(a, b);
    test_overruns(a, b);
    test_descriptors(a, b);
    test_interfaces(l);
    test_interfaces(a);
    test_interfaces(b);
    test_tee(a, b);
    test_exec(argv[0], a, b);
    closefrom(3);
    l = listener(&port);
    pair_up(l, port, &a, &b);
    pair_up(l, port, &a, &b);
    pair_up(l, port, &a, &b);
    test_streams(a, b);
    return 0;
}
