/* udp_batch.c - batches of datagrams, one step for each line of standard input: udp_batch ADDRESS PORT
 * sendmmsg | recvmmsg | segment: 64 datagrams of 100 bytes to or from an echo server; prints how many. The words come from udp-batch.sh. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BATCH = 64, SIZE = 100 };

static char data[BATCH][SIZE];

int main(int argc, char **argv)
{
    struct addrinfo hints = { .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai;
    struct mmsghdr m[BATCH] = { 0 };
    struct iovec iov[BATCH];
    char line[32];

    if (argc != 3 || getaddrinfo(argv[1], argv[2], &hints, &ai) != 0) {
        fprintf(stderr, "usage: udp_batch ADDRESS PORT\n");
        return 2;
    }
    int fd = socket(ai->ai_family, SOCK_DGRAM, 0);
    if (fd < 0 || connect(fd, ai->ai_addr, ai->ai_addrlen) < 0) {
        perror("connect");
        return 1;
    }
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){ data[i], SIZE };
        m[i].msg_hdr = (struct msghdr){ .msg_iov = &iov[i], .msg_iovlen = 1 };
    }
    puts("ready");
    for (fflush(stdout); fgets(line, sizeof(line), stdin); fflush(stdout)) {
        int size = strcmp(line, "segment\n") == 0 ? SIZE : 0, n;
        setsockopt(fd, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size));
        if (strcmp(line, "recvmmsg\n") == 0)
            n = recvmmsg(fd, m, BATCH, MSG_DONTWAIT, NULL);
        else if (size)
            n = (int)send(fd, data, sizeof(data), 0) / SIZE;
        else
            n = sendmmsg(fd, m, BATCH, 0);
        printf("did %s %d\n", strtok(line, "\n"), n);
    }
    close(fd);
    freeaddrinfo(ai);
    return 0;
}
