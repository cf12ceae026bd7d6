/* echo_options.h - the options that the four echo programs share
 * Owner:  plain functions of each program. */
#ifndef ECHO_OPTIONS_H
#define ECHO_OPTIONS_H

#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct echo_options {
    int port, is_udp, is_v6, connections, verify;
    long count;     /* messages a connection */
    size_t size;    /* bytes a message */
    const char *address;
};

static inline void echo_usage(const char *name)
{
    fprintf(stderr,
            "usage: %s [-p PORT] [-u] [-6] [-a ADDRESS] [-n CONNECTIONS] [-c COUNT] [-s SIZE] [-v]\n"
            "  -p PORT         default 7777\n"
            "  -u, -6          UDP, IPv6\n"
            "  -a ADDRESS      server: to bind to; client: to connect to (default: loopback)\n"
            "  -n CONNECTIONS  server: serve that many, then exit (default: for ever); client: one after the other\n"
            "  -c COUNT        client: messages a connection; -s SIZE: bytes of each, up to 256 KiB\n"
            "  -v              client: compare what comes back byte by byte\n",
            name);
    exit(2);
}

static inline struct echo_options echo_options(int argc, char **argv, int is_client)
{
    struct echo_options o = { .port = 7777, .connections = is_client, .count = 1, .size = 64 };
    int c;

    while ((c = getopt(argc, argv, "p:u6a:n:c:s:v")) != -1) {
        switch (c) {
        case 'p': o.port = atoi(optarg); break;
        case 'u': o.is_udp = 1; break;
        case '6': o.is_v6 = 1; break;
        case 'a': o.address = optarg; break;
        case 'n': o.connections = atoi(optarg); break;
        case 'c': o.count = atol(optarg); break;
        case 's': o.size = strtoul(optarg, NULL, 0); break;
        case 'v': o.verify = 1; break;
        default: echo_usage(argv[0]);
        }
    }
    if (o.port <= 0 || o.port > 65535 || o.size == 0 || o.size > 256 << 10 || (o.is_udp && o.size > 65507) || optind != argc)
        echo_usage(argv[0]);
    if (!o.address)
        o.address = is_client ? (o.is_v6 ? "::1" : "127.0.0.1") : (o.is_v6 ? "::" : "0.0.0.0");
    return o;
}

/* Message number n: a pattern that shows lost, doubled and exchanged bytes. */
static inline void echo_fill(unsigned char *buf, size_t size, long n)
{
    uint32_t x = (uint32_t)n * 2654435761u + 1;

    for (size_t i = 0; i < size; i++) {
        x = x * 1664525u + 1013904223u;
        buf[i] = (unsigned char)(x >> 24);
    }
}

#endif
