/* diff_vectors.c - what calls make of vectors that are too long, in pieces or together (readv(2), sendmsg(2)), and how much one call moves at most
 * usage: diff_vectors kernel|ours tcp|udp FROM TO */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

enum { WAIT_S = 60, SOME = 16, MANY = IOV_MAX + 1 };

static const struct { const char *what; int n; size_t lengths[2]; } vectors[] = {
    { "nothing", 2, { 0, 0 } }, { "some", 2, { 3, 5 } }, { "far", 2, { 3, SSIZE_MAX } }, { "far first", 2, { SSIZE_MAX, 3 } },
    { "both far", 2, { SSIZE_MAX, SSIZE_MAX } }, { "beyond all", 2, { 3, SIZE_MAX >> 4 } }, { "negative", 2, { 3, (size_t)SSIZE_MAX + 1 } },
    { "both negative", 2, { SIZE_MAX, SIZE_MAX } }, { "one negative", 1, { (size_t)SSIZE_MAX + 1, 0 } },
};
static char bytes[4096];
static struct iovec many[MANY];

static void said(const char *call, long r) { printf("  %s: %ld %s\n", call, r, r < 0 ? strerrorname_np(errno) : "ok"); }

static void until(int fd, int n)
{
    time_t end = time(NULL) + WAIT_S;
    int there = 0;
    while (ioctl(fd, FIONREAD, &there) == 0 && there < n && time(NULL) < end)
        usleep(1000);
}

static void drain(int fd)
{
    while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) >= 0)
        ;
}

/* Something is there to be read in each case; what a call has taken comes again before the next one. */
static void reads(int out, int in, struct iovec *iov, int n)
{
    static const char *const names[] = { "readv", "preadv2", "recvmsg", "recvmmsg" };
    for (int i = 0; i < 4; i++) {
        struct mmsghdr m = { .msg_hdr = { .msg_iov = iov, .msg_iovlen = (size_t)n } };
        if (send(out, bytes, SOME, 0) != SOME)
            diff_die("send");
        until(in, SOME);
        said(names[i], i == 0   ? readv(in, iov, n)
                       : i == 1 ? preadv2(in, iov, n, -1, 0)
                       : i == 2 ? recvmsg(in, &m.msg_hdr, MSG_DONTWAIT)
                                : recvmmsg(in, &m, 1, MSG_DONTWAIT, NULL));
        drain(in);
    }
}

/* What is sent is taken by the other end before the next call. */
static void arrived(int in, ssize_t n)
{
    while (n > 0) {
        struct pollfd p = { .fd = in, .events = POLLIN };
        if (poll(&p, 1, WAIT_S * 1000) != 1)
            diff_die("poll");
        n -= recv(in, bytes, sizeof(bytes), 0);
    }
}

static void writes(int out, int in, struct iovec *iov, int n)
{
    static const char *const names[] = { "writev", "pwritev2", "sendmsg", "sendmmsg" };
    for (int i = 0; i < 4; i++) {
        struct mmsghdr m = { .msg_hdr = { .msg_iov = iov, .msg_iovlen = (size_t)n } };
        ssize_t r = i == 0   ? writev(out, iov, n)
                    : i == 1 ? pwritev2(out, iov, n, -1, 0)
                    : i == 2 ? sendmsg(out, &m.msg_hdr, 0)
                             : sendmmsg(out, &m, 1, 0);
        said(names[i], r);
        arrived(in, i == 3 && r > 0 ? (ssize_t)m.msg_len : r);
    }
}

/* One buffer that is longer than any can be: read() and write() look at all of it, the others at what they move. */
static void one(int out, int in)
{
    static const size_t lengths[] = { SSIZE_MAX, (size_t)SSIZE_MAX + 1, SIZE_MAX };
    puts("one buffer");
    for (unsigned i = 0; i < 3; i++) {
        volatile size_t len = lengths[i]; /* out of the compiler's sight */
        if (send(out, bytes, SOME, 0) != SOME)
            diff_die("send");
        until(in, SOME);
        said("read", read(in, bytes, len));
        said("write", write(out, bytes, len));
        said("recv", recv(in, bytes, len, 0));
        if (send(out, bytes, SOME, 0) != SOME)
            diff_die("send");
        said("recvfrom", recvfrom(in, bytes, len, 0, NULL, NULL));
    }
    struct iovec iov = { bytes, SSIZE_MAX };
    reads(out, in, &iov, 1);
}

static void counts(int out, int in)
{
    for (int n = IOV_MAX; n <= MANY; n++) {
        printf("%d pieces\n", n);
        for (int i = 0; i < n; i++)
            many[i] = (struct iovec){ bytes, 1 };
        reads(out, in, many, n);
        writes(out, in, many, n);
    }
}

/* ---- the most that one call moves ---- */

static const size_t most_of_all = (size_t)3 << 30;

static void *eat(void *arg)
{
    int fd = *(int *)arg;
    while (recv(fd, NULL, most_of_all, MSG_TRUNC) > 0)
        ;
    return NULL;
}

static void most(int out, int in, bool in_pieces)
{
    char *all = mmap(NULL, most_of_all, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct iovec iov[2] = { { all, most_of_all / 2 }, { all + most_of_all / 2, most_of_all / 2 } };
    pthread_t reader;
    if (all == MAP_FAILED || pthread_create(&reader, NULL, eat, &in))
        diff_die("mmap or a thread");
    puts("at most");
    if (in_pieces)
        said("writev", writev(out, iov, 2));
    else
        said("send", send(out, all, most_of_all, 0));
    shutdown(out, SHUT_WR);
    pthread_join(reader, NULL);
    munmap(all, most_of_all);
}

int main(int argc, char **argv)
{
    int ends[2];
    bool udp = diff_ends(argc, argv, 5 * WAIT_S, ends);
    for (int back = 0; back < 2; back++) { /* who connected, too */
        int from = ends[back], to = ends[!back];
        for (unsigned i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
            struct iovec iov[2] = { { bytes, vectors[i].lengths[0] }, { bytes, vectors[i].lengths[1] } };
            puts(vectors[i].what);
            reads(from, to, iov, vectors[i].n);
            if (!udp || vectors[i].lengths[0]) /* empty datagrams: nothing to wait for */
                writes(from, to, iov, vectors[i].n);
        }
        one(from, to);
        counts(from, to);
    }
    if (!udp && strcmp(argv[3], argv[4]) == 0)
        most(ends[0], ends[1], strchr(argv[3], ':') != NULL);
    return 0;
}
