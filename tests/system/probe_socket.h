/* probe_socket.h - a socket for a probe that is compared over both stacks: bound or connected, or the probe ends with the reason */
#ifndef HOSTSTACK_TESTS_SYSTEM_PROBE_SOCKET_H
#define HOSTSTACK_TESTS_SYSTEM_PROBE_SOCKET_H

#include <errno.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void die(const char *what)
{
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

static int made(const char *host, int port, int type, bool binds)
{
    struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = type }, *ai;
    char text[8];
    snprintf(text, sizeof(text), "%d", port);
    if (getaddrinfo(host, text, &hints, &ai) != 0)
        die("address");
    int fd = socket(ai->ai_family, ai->ai_socktype, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int));
    if (fd < 0 || (binds ? bind(fd, ai->ai_addr, ai->ai_addrlen) : connect(fd, ai->ai_addr, ai->ai_addrlen)) != 0)
        die(binds ? "bind" : "connect");
    freeaddrinfo(ai);
    return fd;
}

#endif
