/* calls.h - what the programs here share, that are run with and without the preload library: calls whose results are printed */
#ifndef HOSTSTACK_TESTS_UNIT_PRELOAD_CALLS_H
#define HOSTSTACK_TESTS_UNIT_PRELOAD_CALLS_H

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/sleeps.h"

static inline long shown(const char *text, long r)
{
    int e = errno;
    printf("%s = %ld%s%s\n", text, r, r < 0 ? " " : "", r < 0 ? strerrorname_np(e) : "");
    return r;
}
#define SHOW(expr) (errno = 0, shown(#expr, (long)(expr)))

static inline struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
}

static inline int port_of(int fd)
{
    struct sockaddr_in sa;
    socklen_t len = sizeof(sa);
    return getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ? -1 : ntohs(sa.sin_port);
}

static inline int option_of(int fd, int level, int name)
{
    int v = -1;
    socklen_t len = sizeof(v);
    int r = getsockopt(fd, level, name, &v, &len);
    return r < 0 ? r : v;
}

static inline int set_option(int fd, int level, int name, int v) { return setsockopt(fd, level, name, &v, sizeof(v)); }

static inline int listener(int *port)
{
    struct sockaddr_in sa = loopback(0);
    int fd = (int)SHOW(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1));
    SHOW(bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
    SHOW(bind(fd, (struct sockaddr *)&sa, sizeof(sa)));
    SHOW(listen(fd, 16));
    *port = port_of(fd);
    SHOW(*port > 0);
    return fd;
}

static inline void pair_up(int l, int port, int *a, int *b)
{
    struct sockaddr_in sa = loopback(port);
    *a = (int)SHOW(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(connect(*a, (struct sockaddr *)&sa, sizeof(sa)));
    *b = (int)SHOW(accept4(l, NULL, NULL, SOCK_CLOEXEC));
}

#endif
