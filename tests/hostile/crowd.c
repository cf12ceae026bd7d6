/* crowd.c - many cut-through clients at one listener: all at once and alive, or one after another, dying before they are accepted
 * Exit 0: each was let in and, when they live, connected. 1: why is said. */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "tests/hostile/raw_client.h"

enum { ANSWER_MS = 60000 };

struct crowd {
    const char *path;
    struct ip_endpoint to;
    struct raw_client *rc;
    unsigned n;
    bool stays;
};

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int begin(struct crowd *c, unsigned i)
{
    struct svm_att_hello hello = { .type = SVM_ATT_HELLO, .abi_version = SVM_ABI_VERSION, .flags = SVM_HELLO_SCOPE_LOCAL,
                                   .rx_fifo_size = 65536, .tx_fifo_size = 65536, .evt_queue_len = 64, .segment_mb = 4 };
    struct svm_msg m = { .type = SVM_MSG_CONNECT, .proto = SVM_PROTO_TCP, .ctx = 1, .flags = SVM_CONN_SCOPE_LOCAL };

    strcpy(hello.app_name, "crowd");
    int rc = raw_attach(c->path, &hello, &c->rc[i]);
    if (rc < 0)
        return rc;
    m.u.conn.lcl_ip = ip_addr_any(ip_addr_is_v4(&c->to.ip));
    m.u.conn.rmt_ip = c->to.ip;
    m.u.conn.rmt_port = c->to.port;
    rc = svm_msgq_post(&c->rc[i].to_server[0], &m);
    raw_ring(&c->rc[i], 0, true);
    return rc;
}

/* 1: connected, 0: no answer yet, < 0: refused. */
static int answer(struct raw_client *rc)
{
    struct svm_msg m[4];
    int n = svm_msgq_take(&rc->to_client[0], m, 4);

    for (int i = 0; i < n; i++) {
        if (m[i].type == SVM_MSG_CONNECTED)
            return m[i].u.conn.error ? m[i].u.conn.error : 1;
    }
    return 0;
}

static int await(struct raw_client *rc)
{
    int64_t until = now_ms() + ANSWER_MS;
    int r;

    while ((r = answer(rc)) == 0 && now_ms() < until) {
        struct timespec ts = { .tv_nsec = 200000 };
        nanosleep(&ts, NULL);
        if (raw_poll(rc) < 0)
            return -EPIPE;
    }
    return r == 0 ? -ETIMEDOUT : r;
}

static int fail(const char *what, unsigned i, int rc)
{
    fprintf(stderr, "crowd: client %u: %s: %s\n", i, what, strerror(-rc));
    return 1;
}

static int run(struct crowd *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        int rc = begin(c, i);
        if (rc < 0)
            return fail("attach", i, rc);
        if (c->stays) {
            rc = await(&c->rc[i]);
            if (rc < 0)
                return fail("connect", i, rc);
        } else { /* the server has taken the message, or takes it before it sees the hang-up, or not at all */
            struct pollfd none = { .fd = -1 };
            poll(&none, 1, 1);
            raw_detach(&c->rc[i]);
        }
    }
    printf("%u clients\n", c->n);
    fflush(stdout);
    while (c->stays) /* until the test has seen enough */
        pause();
    return 0;
}

static void usage(void)
{
    fputs("usage: crowd [-n CLIENTS] [-k] APP-SOCKET ADDRESS PORT\n  -k  all live until a signal ends the program\n", stderr);
    exit(2);
}

int main(int argc, char **argv)
{
    struct crowd c = { .n = 100 };
    int o;

    while ((o = getopt(argc, argv, "n:k")) != -1) {
        switch (o) {
        case 'n': c.n = (unsigned)atoi(optarg); break;
        case 'k': c.stays = true; break;
        default: usage();
        }
    }
    if (argc - optind != 3 || ip_addr_parse(argv[optind + 1], &c.to.ip) < 0)
        usage();
    c.path = argv[optind];
    c.to.port = be16_of((uint16_t)atoi(argv[optind + 2]));
    c.rc = calloc(c.n, sizeof(*c.rc));
    if (!c.rc)
        return fail("memory", 0, -ENOMEM);
    int rc = run(&c);
    free(c.rc);
    return rc;
}
