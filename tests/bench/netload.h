/* netload.h - what netload's client and server share: the first bytes of a connection say what it is for
 * Errors: all of it ends the program with a message. */
#ifndef HOSTSTACK_TESTS_NETLOAD_H
#define HOSTSTACK_TESTS_NETLOAD_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum netload_mode {
    NETLOAD_SINK = 's',   /* the server reads until the end */
    NETLOAD_SOURCE = 'g', /* the server writes `size` bytes a call until the client has gone */
    NETLOAD_ECHO = 'e',   /* the server sends back what comes, in messages of `size` bytes */
    NETLOAD_REPLY = 'r',  /* the server sends one byte; the client closes */
    NETLOAD_COUNT = 'u',  /* alone: the server counts datagrams, see netload_packets.c */
};
enum { NETLOAD_BUF = 1 << 20 };

struct netload_hello {
    uint8_t mode;         /* enum netload_mode */
    uint8_t alone;        /* the server does nothing but this connection until it ends, with blocking calls */
    uint8_t busy;         /* with alone: it does not block but asks again and again */
    uint8_t reserved;
    uint32_t size;
};

struct addrinfo;

void netload_die(const char *what) __attribute__((noreturn));
struct addrinfo *netload_resolve(const char *host, const char *port);
void netload_nodelay(int fd);
void netload_nonblocking(int fd);
bool netload_read_all(int fd, void *to, size_t len, bool busy); /* false: the peer has gone */
void netload_count(int fd);
void netload_packets(int fd, const struct addrinfo *ai, size_t size, double seconds);
void netload_server(const struct addrinfo *ai) __attribute__((noreturn));

#endif
