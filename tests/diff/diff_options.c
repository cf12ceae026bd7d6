/* diff_options.c - every option number of every level, over the kernel and over ours: default, set, get back, wrong lengths
 *
 * Prints one line an option and kind of socket; options.sh compares the two runs. What hoststack does not do is to fail for every
 * value but the default; those options are in `not_done` below, each with its reason, and in hoststack-compliance(7). */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/diff/diff_pair.h"

enum { N_NAMES = 110 };

static const struct { int level; const char *name; } levels[] = {
    { SOL_SOCKET, "SOL_SOCKET" }, { IPPROTO_IP, "IPPROTO_IP" }, { IPPROTO_IPV6, "IPPROTO_IPV6" }, { IPPROTO_TCP, "IPPROTO_TCP" },
    { IPPROTO_UDP, "IPPROTO_UDP" },
};

/* How far an option is compared. VALUES: its default and what is read back depend on the machine or the stack; that it may be set and
 * read, and its errors, are compared. DEFAULT_ONLY: reads as on Linux, setting it to anything else fails with ENOPROTOOPT. REFUSED: fails
 * with ENOPROTOOPT altogether. */
enum how { SAME, VALUES, DEFAULT_ONLY, REFUSED, SKIPPED };
static const struct { int level, name; enum how how; const char *why; } differs[] = {
#include "tests/diff/diff_options.def"
};

static enum how how_of(int level, int name)
{
    for (size_t i = 0; i < sizeof(differs) / sizeof(differs[0]); i++)
        if (differs[i].level == level && (differs[i].name == name))
            return differs[i].how;
    return SAME;
}

static const char *result(long r, int error) { return r < 0 ? strerrorname_np(error) : "ok"; }

static void get(int fd, int level, int name, socklen_t len, bool values)
{
    uint8_t b[256];
    socklen_t got = len;
    int32_t v = 0;
    int r;

    memset(b, 0xee, sizeof(b));
    r = getsockopt(fd, level, name, b, &got);
    printf(" get%u=%s", len, result(r, errno));
    if (r < 0)
        return;
    memcpy(&v, b, got < sizeof(v) ? got : sizeof(v));
    printf("/%u", got);
    if (values && got)
        printf("/%d", v);
}

static void one(int fd, int level, int name, enum how how)
{
    static const int some[] = { 0, 1, 2, -1, 64, 255, 256, 70000 };
    bool values = how == SAME || how == DEFAULT_ONLY;

    get(fd, level, name, 16, values);
    if (how == DEFAULT_ONLY)
        return;
    for (socklen_t len = 0; len <= 5; len++)
        get(fd, level, name, len, values && len >= 4);
    for (size_t i = 0; i < sizeof(some) / sizeof(some[0]); i++) {
        int r = setsockopt(fd, level, name, &some[i], sizeof(some[i]));

        printf(" set(%d)=%s", some[i], result(r, errno));
        if (r == 0 && values)
            get(fd, level, name, 4, true);
    }
    for (socklen_t len = 0; len <= 3; len++) {
        int r = setsockopt(fd, level, name, "\1\0\0", len);

        printf(" len%u=%s", len, result(r, errno));
    }
}

/* DEFAULT_ONLY, REFUSED: over hoststack every value but the default must fail with ENOPROTOOPT; over the kernel nothing is said. */
static void refused(int fd, int level, int name, enum how how)
{
    int32_t was = 0, v;
    socklen_t len = sizeof(was);
    int r = getsockopt(fd, level, name, &was, &len);

    if (how == REFUSED && r == 0)
        printf(" READ");
    for (v = 1; v < 3; v++)
        if ((how == REFUSED || v != was) && setsockopt(fd, level, name, &v, sizeof(v)) == 0)
            printf(" TAKEN(%d)", v);
}

static void all(const char *from, const char *to, bool udp, bool ours)
{
    for (size_t l = 0; l < sizeof(levels) / sizeof(levels[0]); l++)
        for (int name = 1; name < N_NAMES; name++) {
            enum how how = how_of(levels[l].level, name);
            int other[2], fd;

            if (how == SKIPPED)
                continue;
            fd = diff_connected(from, to, udp, other);
            printf("%s%s %s %d:", udp ? "udp" : "tcp", strchr(to, ':') ? "6" : "4", levels[l].name, name);
            if (how != REFUSED)
                one(fd, levels[l].level, name, how);
            if (ours && (how == DEFAULT_ONLY || how == REFUSED))
                refused(fd, levels[l].level, name, how);
            puts("");
            if (levels[l].level == IPPROTO_IPV6 && name == IPV6_MINHOPCOUNT) /* else nothing answers the FIN that could be heard */
                setsockopt(fd, IPPROTO_IPV6, name, &(int){ 0 }, sizeof(int));
            close(fd);
            close(other[0]);
            if (other[1] >= 0)
                close(other[1]);
        }
}

/* diff_options kernel|ours tcp|udp FROM TO */
int main(int argc, char **argv)
{
    if (argc == 2 && !strcmp(argv[1], "list")) {
        for (size_t i = 0; i < sizeof(differs) / sizeof(differs[0]); i++)
            printf("%d %d %s\n", differs[i].level, differs[i].name, differs[i].why);
        return 0;
    }
    if (argc != 5)
        return 2;
    all(argv[3], argv[4], !strcmp(argv[2], "udp"), !strcmp(argv[1], "ours"));
    return 0;
}
