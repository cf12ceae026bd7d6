/* pass_fd.h - descriptors over a Unix socket (SCM_RIGHTS), for test programs; one byte goes with each */
#ifndef HS_TESTS_PASS_FD_H
#define HS_TESTS_PASS_FD_H

#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

union pass_fd_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static inline bool pass_fd(int to, int fd)
{
    union pass_fd_control control = { 0 };
    struct iovec iov = { "x", 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &fd, sizeof(int));
    return sendmsg(to, &m, 0) == 1;
}

/* -1: none came. */
static inline int passed_fd(int from)
{
    union pass_fd_control control;
    char x;
    struct iovec iov = { &x, 1 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    int fd = -1;

    if (recvmsg(from, &m, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&m))
        memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(int));
    return fd;
}

#endif
