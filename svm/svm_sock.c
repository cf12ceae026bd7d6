/* svm_sock.c - messages with descriptors over the attach socket (SOCK_SEQPACKET, SCM_RIGHTS) */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "svm/svm_segment.h"

int svm_sock_send(int sock, const void *msg, size_t len, const int *fds, int n_fds, int flags)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SVM_ATT_MAX_FDS * sizeof(int))];
    } control;
    struct iovec iov = { (void *)(uintptr_t)msg, len };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
    ssize_t n;

    if (n_fds < 0 || n_fds > SVM_ATT_MAX_FDS || !len)
        return -EINVAL;
    if (n_fds) {
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        m.msg_control = &control;
        m.msg_controllen = CMSG_SPACE((size_t)n_fds * sizeof(int));
        c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN((size_t)n_fds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, (size_t)n_fds * sizeof(int));
    }
    do
        n = sendmsg(sock, &m, flags | MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : 0;
}

static int int_option(int fd, int name)
{
    int v = -1;
    socklen_t len = sizeof(v);

    return getsockopt(fd, SOL_SOCKET, name, &v, &len) == 0 ? v : -1;
}

/* A listener, or what is no more than bound: there is nothing that its close could wait for. */
static bool has_no_peer(int fd)
{
    int domain = int_option(fd, SO_DOMAIN), proto = int_option(fd, SO_PROTOCOL);
    struct sockaddr_storage ss;
    socklen_t len = sizeof(ss);

    return (domain == AF_INET || domain == AF_INET6) && (proto == IPPROTO_TCP || proto == IPPROTO_UDP) &&
           getpeername(fd, (struct sockaddr *)&ss, &len) < 0 && errno == ENOTCONN;
}

/* The last copy of a socket that lingers would hold up who closes it. */
void svm_sock_close_passed(int fd)
{
    if (!has_no_peer(fd)) /* else the option stays as the program has it, whose socket it is */
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &(struct linger){ 0 }, sizeof(struct linger));
    close(fd);
}

/* Takes every descriptor out of one control message; those beyond max_fds are closed. True if some were. */
static bool take_fds(const struct cmsghdr *c, int *fds, int max_fds, int *n_fds)
{
    size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    bool too_many = false;

    for (size_t i = 0; i < n; i++) {
        int fd;

        memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
        if (*n_fds < max_fds) {
            fds[(*n_fds)++] = fd;
        } else {
            svm_sock_close_passed(fd);
            too_many = true;
        }
    }
    return too_many;
}

ssize_t svm_sock_recv(int sock, void *buf, size_t cap, int *fds, int max_fds, int *n_fds, int flags)
{
    return svm_sock_recv_cred(sock, buf, cap, fds, max_fds, n_fds, flags, NULL);
}

ssize_t svm_sock_recv_cred(int sock, void *buf, size_t cap, int *fds, int max_fds, int *n_fds, int flags, struct ucred *cred)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(SVM_ATT_MAX_FDS * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
    } control;
    struct iovec iov = { buf, cap };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control) };
    bool too_many = false;
    ssize_t n;

    *n_fds = 0;
    do
        n = recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR && !(flags & MSG_DONTWAIT));
    if (n < 0)
        return -errno;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
            too_many |= take_fds(c, fds, max_fds, n_fds);
        else if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS && cred && c->cmsg_len >= CMSG_LEN(sizeof(*cred)))
            memcpy(cred, CMSG_DATA(c), sizeof(*cred));
    }
    /* A message without a byte may carry descriptors; to callers it is the end, and nobody would close them. */
    if (n == 0 || too_many || m.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
        for (int i = 0; i < *n_fds; i++)
            svm_sock_close_passed(fds[i]);
        *n_fds = 0;
        return n == 0 ? 0 : -EPROTO;
    }
    return n;
}
