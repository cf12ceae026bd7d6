/* diff_stamp.c - SO_TIMESTAMP, SO_TIMESTAMPNS, SO_TIMESTAMPING: which control messages come with bytes, and whether their time is true
 * usage: diff_stamp kernel|ours tcp|udp FROM TO
 *
 * The kernel begins to note times some while after somebody has asked for them: until then bytes are sent that nothing is printed of. */
#include <linux/net_tstamp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

enum { TRIES = 2000 };

static int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Time of the first control message, 0 = none; printed with `what`: how it looks, and whether the time lies where it must. */
static int64_t take(int fd, int flags, size_t room, int64_t from, const char *what)
{
    char control[256], bytes[64];
    struct iovec iov = { bytes, sizeof(bytes) };
    struct msghdr m = { .msg_control = room ? control : NULL, .msg_controllen = room, .msg_iov = &iov, .msg_iovlen = 1 };
    int64_t ns = 0;
    if (recvmsg(fd, &m, flags) != 3)
        diff_die("recvmsg");
    int64_t after = now_ns();
    if (what)
        printf("%s: flags %#x", what, (unsigned)m.msg_flags);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        int64_t t[2];
        if (what)
            printf(" level %d type %d len %zu", c->cmsg_level, c->cmsg_type, (size_t)c->cmsg_len);
        if (c->cmsg_len < CMSG_LEN(sizeof(t)))
            continue;
        memcpy(t, CMSG_DATA(c), sizeof(t));
        bool micro = c->cmsg_type == SO_TIMESTAMP_OLD || c->cmsg_type == SO_TIMESTAMP_NEW;
        ns = t[0] * 1000000000 + t[1] * (micro ? 1000 : 1);
        if (what)
            printf(" %s", ns + (micro ? 1000 : 0) >= from && ns <= after ? "true" : "false");
    }
    if (what)
        printf("\n");
    return ns;
}

static void put(int fd)
{
    if (send(fd, "abc", 3, 0) != 3)
        diff_die("send");
}

static void set(int fd, int name, int v)
{
    int is = -1;
    socklen_t len = sizeof(is);
    int r = setsockopt(fd, SOL_SOCKET, name, &v, sizeof(v));
    getsockopt(fd, SOL_SOCKET, name, &is, &len);
    printf("%d to %d: %d, is %d\n", name, v, r, is);
}

static void one(int out, int in, int name, int v)
{
    int64_t from;
    set(in, name, v);
    for (int i = 0; i < TRIES; i++) { /* Linux may tell the present time of what has none; the first true one is older than the call */
        from = now_ns();
        put(out);
        if (take(in, 0, 256, from, NULL))
            break;
        usleep(1000);
    }
    from = now_ns();
    put(out);
    take(in, MSG_PEEK, 256, from, "looked at");
    take(in, 0, 256, from, "taken");
    put(out);
    take(in, 0, 0, from, "no room");
    put(out);
    take(in, 0, CMSG_LEN(4), from, "little room");
    set(in, name, 0);
    put(out);
    take(in, 0, 256, from, "not any more");
}

int main(int argc, char **argv)
{
    int ends[2];
    diff_ends(argc, argv, 180, ends);
    for (int back = 0; back < 2; back++) { /* who connected, too */
        int from = ends[back], to = ends[!back];
        one(from, to, SO_TIMESTAMP_OLD, 1);
        one(from, to, SO_TIMESTAMP_NEW, 1);
        one(from, to, SO_TIMESTAMPNS_OLD, 1);
        one(from, to, SO_TIMESTAMPNS_NEW, 1);
        one(from, to, SO_TIMESTAMPING_OLD, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
        one(from, to, SO_TIMESTAMPING_NEW, SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
    }
    return 0;
}
