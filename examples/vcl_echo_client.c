/* vcl_echo_client.c - sends messages over the native API and waits for each to come back */
#include <time.h>
#include <vcl/vppcom.h>
#include "echo_options.h"

static int die(const char *what, int rc)
{
    fprintf(stderr, "%s: %s\n", what, strerror(-rc));
    return 1;
}

/* One message there and back; the answer may come in pieces. */
static int round_trip(uint32_t session, unsigned char *out, unsigned char *in, size_t size)
{
    size_t sent = 0, got = 0;

    while (sent < size) {
        int n = vppcom_session_write(session, out + sent, size - sent);

        if (n < 0)
            return n;
        sent += (size_t)n;
    }
    while (got < size) {
        int n = vppcom_session_read(session, in + got, size - got);

        if (n <= 0)
            return n ? n : VPPCOM_ECONNRESET;
        got += (size_t)n;
    }
    return 0;
}

static int run(const struct echo_options *o, vppcom_endpt_t *to, unsigned char *out, unsigned char *in)
{
    int session = vppcom_session_create(o->is_udp ? VPPCOM_PROTO_UDP : VPPCOM_PROTO_TCP, 0), rc;

    if (session < 0)
        return die("vppcom_session_create", session);
    rc = vppcom_session_connect((uint32_t)session, to);
    if (rc)
        return die("vppcom_session_connect", rc);
    for (long i = 0; i < o->count; i++) {
        if (o->verify || i == 0)
            echo_fill(out, o->size, i);
        rc = round_trip((uint32_t)session, out, in, o->size);
        if (rc)
            return die("echo", rc);
        if (o->verify && memcmp(out, in, o->size) != 0) {
            fprintf(stderr, "message %ld came back changed\n", i);
            return 1;
        }
    }
    rc = vppcom_session_close((uint32_t)session);
    return rc ? die("vppcom_session_close", rc) : 0;
}

int main(int argc, char **argv)
{
    struct echo_options o = echo_options(argc, argv, 1);
    unsigned char *out = malloc(o.size), *in = malloc(o.size);
    uint8_t ip[16];
    vppcom_endpt_t to = { .is_ip4 = !o.is_v6, .ip = ip, .port = htons((uint16_t)o.port) };
    struct timespec begun, ended;
    double us;
    int rc;

    if (!out || !in || inet_pton(o.is_v6 ? AF_INET6 : AF_INET, o.address, ip) != 1)
        echo_usage(argv[0]);
    rc = vppcom_app_create("vcl_echo_client");
    if (rc)
        return die("vppcom_app_create", rc);
    clock_gettime(CLOCK_MONOTONIC, &begun);
    for (int i = 0; i < o.connections; i++)
        if (run(&o, &to, out, in))
            return 1;
    clock_gettime(CLOCK_MONOTONIC, &ended);
    us = (double)(ended.tv_sec - begun.tv_sec) * 1e6 + (double)(ended.tv_nsec - begun.tv_nsec) / 1e3;
    printf("%d connections, %ld messages of %zu bytes each: %.2f us a message%s\n", o.connections, o.count, o.size,
           us / (double)o.connections / (double)(o.count ? o.count : 1), to.is_cut_thru ? ", cut-through" : "");
    vppcom_app_destroy();
    free(out);
    free(in);
    return 0;
}
