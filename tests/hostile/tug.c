/* tug.c - two programs hold one cut-through connection and claim it from each other, and answer nothing that the server asks them
 * Exit 0: each claim was answered, by the connection or by an error. 1: why is said. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "tests/hostile/raw_client.h"

static struct svm_att_hello hello = { .type = SVM_ATT_HELLO, .abi_version = SVM_ABI_VERSION, .flags = SVM_HELLO_SCOPE_LOCAL,
                                      .app_name = "tug", .rx_fifo_size = 65536, .tx_fifo_size = 65536, .evt_queue_len = 256,
                                      .segment_mb = 4 };
static struct raw_client end[2];

static int fail(const char *what, int rc)
{
    fprintf(stderr, "tug: %s: %s\n", what, strerror(-rc));
    return 1;
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
    if ((rc = raw_post(&end[0], &m)) < 0 || (rc = raw_await(&end[0], SVM_MSG_CONNECTED, &got)) < 0 || (rc = got.u.conn.error) < 0)
        return fail("connect", rc);
    if ((rc = raw_fork(&end[0], &hello, &end[1])) < 0)
        return fail("fork", rc);
    m = (struct svm_msg){ .type = SVM_MSG_CLAIM, .ctx = 1, .handle = got.handle };
    for (unsigned i = 0; i < n; i++) {
        struct raw_client *a = &end[(i + 1) % 2];

        if ((rc = raw_post(a, &m)) < 0 || (rc = raw_await(a, SVM_MSG_CLAIMED, &got)) < 0)
            return fprintf(stderr, "tug: claim %u: %s\n", i, strerror(-rc)), 1;
        done += got.u.conn.error == 0;
    }
    printf("%u of %u claims\n", done, n);
    raw_detach(&end[1]);
    raw_detach(&end[0]);
    return 0;
}
