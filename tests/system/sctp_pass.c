/* sctp_pass.c - SCTP sockets that change their process: an echo server whose association, and listening socket, go on elsewhere
 *
 * usage: sctp_pass exec ADDRESS PORT   echoes two messages, reads a part of the third, and execs itself with both sockets
 *        sctp_pass pass ADDRESS PORT   the same, but the association is sent to a child by SCM_RIGHTS
 *        sctp_pass peel ADDRESS PORT   the same with an association that was peeled off a one-to-many socket
 *        sctp_pass echo FD HEX [LISTENER]   what they exec: HEX is what was read of a message already */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <linux/sctp.h>
#include "tests/system/pass_fd.h"

enum { MESSAGE_MAX = 1 << 20, READ_FIRST = 10 };

static char *buf;

static void die(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    exit(1);
}

/* Up to room bytes of a message; its length so far, 0 at the end. */
static ssize_t take(int fd, char *to, size_t room, struct sctp_rcvinfo *info, int *flags)
{
    struct iovec iov = { to, room };
    char control[256];
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    ssize_t n = recvmsg(fd, &m, 0);

    if (n < 0)
        die("recvmsg");
    *flags = m.msg_flags;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_level == IPPROTO_SCTP && c->cmsg_type == SCTP_RCVINFO)
            memcpy(info, CMSG_DATA(c), sizeof(*info));
    return n;
}

static void give(int fd, const char *from, size_t len, const struct sctp_rcvinfo *info)
{
    struct sctp_sndinfo i = { .snd_sid = info->rcv_sid, .snd_ppid = info->rcv_ppid };
    struct iovec iov = { (void *)(uintptr_t)from, len };
    char control[CMSG_SPACE(sizeof(i))] = { 0 };
    struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);

    c->cmsg_level = IPPROTO_SCTP;
    c->cmsg_type = SCTP_SNDINFO;
    c->cmsg_len = CMSG_LEN(sizeof(i));
    memcpy(CMSG_DATA(c), &i, sizeof(i));
    if (sendmsg(fd, &m, 0) != (ssize_t)len)
        die("sendmsg");
}

/* Whole messages back until the end, or `most` of them; done bytes of the first are in buf. */
static unsigned echo(int fd, size_t done, unsigned most)
{
    struct sctp_rcvinfo info = { 0 };
    unsigned n = 0;
    int flags = 0;

    while (n < most) {
        ssize_t k = take(fd, buf + done, MESSAGE_MAX - done, &info, &flags);

        if (k == 0)
            break;
        done += (size_t)k;
        if (!(flags & MSG_EOR))
            continue;
        give(fd, buf, done, &info);
        done = 0;
        n++;
    }
    return n;
}

static int new_listener(int type, const char *text, int port)
{
    struct sockaddr_in a4 = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    struct sockaddr_in6 a6 = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port) };
    int is_v6 = strchr(text, ':') != NULL, on = 1, fd;

    inet_pton(is_v6 ? AF_INET6 : AF_INET, text, is_v6 ? (void *)&a6.sin6_addr : (void *)&a4.sin_addr);
    fd = socket(is_v6 ? AF_INET6 : AF_INET, type, IPPROTO_SCTP);
    if (fd < 0 || setsockopt(fd, IPPROTO_SCTP, SCTP_RECVRCVINFO, &on, sizeof(on)) != 0 ||
        bind(fd, is_v6 ? (struct sockaddr *)&a6 : (struct sockaddr *)&a4, is_v6 ? sizeof(a6) : sizeof(a4)) != 0 || listen(fd, 5) != 0)
        die("listen");
    printf("ready\n");
    fflush(stdout);
    return fd;
}

static int peel(int many)
{
    struct sctp_event e = { .se_assoc_id = SCTP_ALL_ASSOC, .se_type = SCTP_ASSOC_CHANGE, .se_on = 1 };
    union sctp_notification n;
    struct sctp_rcvinfo info;
    sctp_peeloff_arg_t arg;
    socklen_t len = sizeof(arg);
    int flags;

    if (setsockopt(many, IPPROTO_SCTP, SCTP_EVENT, &e, sizeof(e)) != 0 || take(many, (char *)&n, sizeof(n), &info, &flags) <= 0 ||
        !(flags & MSG_NOTIFICATION))
        die("COMM_UP");
    arg.associd = n.sn_assoc_change.sac_assoc_id;
    if (getsockopt(many, IPPROTO_SCTP, SCTP_SOCKOPT_PEELOFF, &arg, &len) < 0)
        die("peeloff");
    e = (struct sctp_event){ .se_type = SCTP_ASSOC_CHANGE, .se_on = 0 };
    if (setsockopt(arg.sd, IPPROTO_SCTP, SCTP_EVENT, &e, sizeof(e)) != 0)
        die("SCTP_EVENT");
    return arg.sd;
}

/* The new image: HEX was read before. */
static int continue_echo(int argc, char **argv)
{
    size_t done = strlen(argv[3]) / 2;
    int fd = atoi(argv[2]);

    for (size_t i = 0; i < done; i++)
        sscanf(argv[3] + 2 * i, "%2hhx", (unsigned char *)&buf[i]);
    printf("association ended in order after %u\n", echo(fd, done, UINT32_MAX));
    close(fd);
    if (argc > 4) {
        int next = accept(atoi(argv[4]), NULL, NULL);

        if (next < 0)
            die("accept");
        printf("the next one after %u\n", echo(next, 0, UINT32_MAX));
        close(next);
    }
    return 0;
}

int main(int argc, char **argv)
{
    char hex[2 * READ_FIRST + 1] = "", number[2][12];
    struct sctp_rcvinfo info;
    int listener, fd, flags, sv[2];
    ssize_t n;
    pid_t pid;

    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(180);
    buf = malloc(MESSAGE_MAX);
    if (!buf || argc < 4)
        return 2;
    if (!strcmp(argv[1], "echo"))
        return continue_echo(argc, argv);
    if (!strcmp(argv[1], "receive")) {
        snprintf(number[0], sizeof(number[0]), "%d", passed_fd(atoi(argv[2])));
        return continue_echo(4, (char *[]){ argv[0], argv[1], number[0], argv[3], NULL });
    }
    listener = new_listener(strcmp(argv[1], "peel") ? SOCK_STREAM : SOCK_SEQPACKET, argv[2], atoi(argv[3]));
    fd = strcmp(argv[1], "peel") ? accept(listener, NULL, NULL) : peel(listener);
    if (fd < 0)
        die("accept");
    if (echo(fd, 0, 2) != 2)
        die("two messages");
    n = take(fd, buf, READ_FIRST, &info, &flags);
    if (n != READ_FIRST || flags & MSG_EOR)
        die("a part of a message");
    for (int i = 0; i < READ_FIRST; i++)
        snprintf(hex + 2 * i, 3, "%02x", (unsigned char)buf[i]);
    if (strcmp(argv[1], "pass")) {
        snprintf(number[0], sizeof(number[0]), "%d", fd);
        snprintf(number[1], sizeof(number[1]), "%d", listener);
        execl("/proc/self/exe", argv[0], "echo", number[0], hex, strcmp(argv[1], "peel") ? number[1] : NULL, NULL);
        die("exec");
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, sv) != 0)
        die("socketpair");
    pid = fork();
    if (pid == 0) { /* an image of its own, which has never heard of the socket */
        close(fd);
        close(listener);
        close(sv[0]);
        snprintf(number[0], sizeof(number[0]), "%d", sv[1]);
        execl("/proc/self/exe", argv[0], "receive", number[0], hex, NULL);
        die("exec");
    }
    if (!pass_fd(sv[0], fd))
        die("SCM_RIGHTS");
    close(fd);
    return waitpid(pid, &flags, 0) == pid && flags == 0 ? 0 : 1;
}
