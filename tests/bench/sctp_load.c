/* sctp_load.c - how many SCTP messages go over a link: by the socket calls, and, built a second time, by usrsctp's
 *
 * usage: sctp_load serve ADDRESS PORT                  one association after the other; counts what comes
 *        sctp_load send ADDRESS PORT SIZE SECONDS      prints messages a second that arrived there, and Gbit/s
 * The sender asks at the end how much has come, and takes the time until the answer. */
#include "tests/bench/measure.h"
#include "tests/system/sctp_calls.h"

enum { ASK = 1 }; /* payload protocol of the question */

static ssize_t give(sock s, const void *from, size_t len, uint32_t ppid)
{
    struct sctp_sndinfo info = { .snd_ppid = ppid };

    return calls_give(s, from, len, &info, NULL);
}

static void serve(struct sockaddr_storage *ss, socklen_t len, char *buf)
{
    sock l = calls_socket(ss->ss_family);

    if (calls_bind(l, (struct sockaddr *)ss, len) != 0 || calls_listen(l) != 0)
        calls_die("bind, listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        sock s = calls_accept(l);
        uint64_t messages = 0, bytes = 0;
        struct sctp_rcvinfo info;
        ssize_t n;
        int flags;

        if (s == NO_SOCK)
            calls_die("accept");
        while ((n = calls_take(s, buf, CALLS_BUF, &info, &flags)) > 0) {
            if (ntohl(info.rcv_ppid) == ASK) {
                uint64_t answer[2] = { messages, bytes };

                give(s, answer, sizeof(answer), 0);
                continue;
            }
            bytes += (uint64_t)n;
            messages += (flags & MSG_EOR) != 0;
        }
        calls_close(s);
    }
}

static int client(struct sockaddr_storage *ss, socklen_t len, size_t size, double seconds, char *buf)
{
    sock s = calls_socket(ss->ss_family);
    uint64_t from, until, sent = 0, answer[2], took;
    struct sctp_rcvinfo info;
    int flags;

    if (calls_connect(s, (struct sockaddr *)ss, len) != 0)
        calls_die("connect");
    memset(buf, 'x', size);
    from = now_ns();
    until = from + (uint64_t)(seconds * 1e9);
    while (now_ns() < until) {
        if (give(s, buf, size, 0) != (ssize_t)size)
            calls_die("send");
        sent++;
    }
    if (give(s, "?", 1, htonl(ASK)) != 1 || calls_take(s, answer, sizeof(answer), &info, &flags) != sizeof(answer))
        calls_die("the other end does not answer");
    took = now_ns() - from;
    if (answer[0] != sent || answer[1] != sent * size) {
        fprintf(stderr, "sctp_load: sent %llu messages, %llu arrived\n", (unsigned long long)sent, (unsigned long long)answer[0]);
        return 1;
    }
    printf("%.0f %.4f\n", (double)sent * 1e9 / (double)took, (double)sent * (double)size * 8 / (double)took);
    fflush(stdout);
    calls_close(s);
    return 0;
}

int main(int argc, char **argv)
{
    struct sockaddr_storage ss;
    char *buf = malloc(CALLS_BUF);
    socklen_t len;
    int rc;

    if (argc < 4 || !buf)
        return 2;
    calls_begin(0);
    len = calls_address(argv[2], atoi(argv[3]), &ss);
    if (!strcmp(argv[1], "serve"))
        serve(&ss, len, buf);
    if (argc < 6)
        return 2;
    rc = client(&ss, len, strtoul(argv[4], NULL, 10), strtod(argv[5], NULL), buf);
    calls_end();
    free(buf);
    return rc;
}
