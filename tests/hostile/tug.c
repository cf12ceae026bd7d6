/* tug.c - two programs hold one cut-through connection and claim it from each other, and answer nothing that the server asks them
 * Exit 0: each claim was answered, by the connection or by an error. 1: why is said. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include "tests/hostile/raw_client.h"

enum { ANSWER_MS = 20000 };

static struct svm_att_hello hello = { .type = SVM_ATT_HELLO, .abi_version = SVM_ABI_VERSION, .flags = SVM_HELLO_SCOPE_LOCAL,
                                      .app_name = "tug", .rx_fifo_size = 65536, .tx_fifo_size = 65536, .evt_queue_len = 256,
                                      .segment_mb = 4 };
static struct raw_client end[2];

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int fail(const char *what, int rc)
{
    fprintf(stderr, "tug: %s: %s\n", what, strerror(-rc));
    return 1;
}

/* Its answer, on any worker's queue: 0 or -errno of the waiting. */
static int await(struct raw_client *rc, uint8_t type, struct svm_msg *out)
{
    for (int64_t until = now_ms() + ANSWER_MS; now_ms() < until;) {
        for (unsigned w = 0; w < rc->n_workers; w++) {
            while (svm_msgq_take(&rc->to_client[w], out, 1) == 1) {
                if (out->type == type)
                    return 0;
            }
        }
        if (raw_poll(rc) < 0)
            return -EPIPE;
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
    }
    return -ETIMEDOUT;
}

static int fork_client(void)
{
    struct svm_att_fork m = { .type = SVM_ATT_FORK };
    int sv[2], rc;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) != 0)
        return -errno;
    rc = raw_send(end[0].sock, &m, sizeof(m), &sv[1], 1);
    close(sv[1]);
    for (int64_t until = now_ms() + ANSWER_MS; rc >= 0 && !end[0].last_ok && now_ms() < until;) {
        rc = raw_poll(&end[0]);
        nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
    }
    if (!end[0].last_ok) {
        close(sv[0]);
        return rc < 0 ? rc : -ETIMEDOUT;
    }
    hello.fork_token = end[0].last_ok;
    return raw_attach_on(sv[0], &hello, &end[1]);
}

static int post(struct raw_client *rc, const struct svm_msg *m)
{
    int err = svm_msgq_post(&rc->to_server[0], m);
    raw_ring(rc, 0, true);
    return err;
}

int main(int argc, char **argv)
{
    struct svm_msg m = { .type = SVM_MSG_CONNECT, .proto = SVM_PROTO_TCP, .ctx = 1, .flags = SVM_CONN_SCOPE_LOCAL }, got;
    unsigned n, done = 0;
    int rc;

    if (argc != 5 || ip_addr_parse(argv[3], &m.u.conn.rmt_ip) < 0) {
        fputs("usage: tug CLAIMS APP-SOCKET ADDRESS PORT\n", stderr);
        return 2;
    }
    n = (unsigned)atoi(argv[1]);
    m.u.conn.lcl_ip = ip_addr_any(ip_addr_is_v4(&m.u.conn.rmt_ip));
    m.u.conn.rmt_port = be16_of((uint16_t)atoi(argv[4]));
    if ((rc = raw_attach(argv[2], &hello, &end[0])) < 0)
        return fail("attach", rc);
    if ((rc = post(&end[0], &m)) < 0 || (rc = await(&end[0], SVM_MSG_CONNECTED, &got)) < 0 || (rc = got.u.conn.error) < 0)
        return fail("connect", rc);
    if ((rc = fork_client()) < 0)
        return fail("fork", rc);
    m = (struct svm_msg){ .type = SVM_MSG_CLAIM, .ctx = 1, .handle = got.handle };
    for (unsigned i = 0; i < n; i++) {
        struct raw_client *a = &end[(i + 1) % 2];

        if ((rc = post(a, &m)) < 0 || (rc = await(a, SVM_MSG_CLAIMED, &got)) < 0)
            return fprintf(stderr, "tug: claim %u: %s\n", i, strerror(-rc)), 1;
        done += got.u.conn.error == 0;
    }
    printf("%u of %u claims\n", done, n);
    raw_detach(&end[1]);
    raw_detach(&end[0]);
    return 0;
}
