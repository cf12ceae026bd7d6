/* netload_native.c - netload's streams and round trips over the native API, one connection at a time
 *   netload_native server ADDRESS PORT                     prints "ready"
 *   netload_native stream ADDRESS PORT SIZE SECONDS        blocking writes; prints Gbit/s
 *   netload_native rtt    ADDRESS PORT SIZE SECONDS        both sides poll: reads that do not block, again and again */
#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <vcl/vppcom.h>
#include "tests/bench/measure.h"
#include "tests/bench/netload.h"

enum { WARM_UP_ROUNDS = 200 };

static uint8_t buf[NETLOAD_BUF];

static int must(int rc, const char *what)
{
    if (rc >= 0)
        return rc;
    fprintf(stderr, "netload_native: %s: %s\n", what, strerror(-rc));
    exit(1);
}

static void set_nonblocking(uint32_t s)
{
    uint32_t flags = O_RDWR | O_NONBLOCK, len = sizeof(flags);

    must(vppcom_session_attr(s, VPPCOM_ATTR_SET_FLAGS, &flags, &len), "VPPCOM_ATTR_SET_FLAGS");
}

static bool read_all(uint32_t s, size_t len)
{
    for (size_t got = 0; got < len;) {
        int n = vppcom_session_read(s, buf + got, len - got);
        if (n == 0 || (n < 0 && n != VPPCOM_EAGAIN))
            return false;
        got += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void serve(uint32_t s)
{
    struct netload_hello h;

    if (!read_all(s, sizeof(h)))
        return;
    memcpy(&h, buf, sizeof(h));
    if (h.size == 0 || h.size > sizeof(buf))
        return;
    if (h.mode == NETLOAD_SINK) {
        while (vppcom_session_read(s, buf, sizeof(buf)) > 0)
            ;
        return;
    }
    set_nonblocking(s);
    while (read_all(s, h.size) && vppcom_session_write(s, buf, h.size) == (int)h.size)
        ;
}

static void server(vppcom_endpt_t *at)
{
    uint32_t listener = (uint32_t)must(vppcom_session_create(VPPCOM_PROTO_TCP, 0), "create");

    must(vppcom_session_bind(listener, at), "bind");
    must(vppcom_session_listen(listener, 16), "listen");
    puts("ready");
    fflush(stdout);
    for (;;) {
        uint8_t ip[16];
        vppcom_endpt_t peer = { .ip = ip };
        uint32_t s = (uint32_t)must(vppcom_session_accept(listener, &peer, 0), "accept");
        serve(s);
        vppcom_session_close(s);
    }
}

static uint32_t connect_and_ask(vppcom_endpt_t *to, struct netload_hello hello)
{
    uint32_t s = (uint32_t)must(vppcom_session_create(VPPCOM_PROTO_TCP, 0), "create");

    must(vppcom_session_connect(s, to), "connect");
    must(vppcom_session_write(s, &hello, sizeof(hello)), "write");
    return s;
}

static void stream(vppcom_endpt_t *to, size_t size, double seconds)
{
    uint32_t s = connect_and_ask(to, (struct netload_hello){ .mode = NETLOAD_SINK, .size = (uint32_t)size });

    for (struct window w = window_of(seconds); !window_is_over(&w, (size_t)must(vppcom_session_write(s, buf, size), "write"));)
        ;
    vppcom_session_close(s);
}

static void exchange(uint32_t s, size_t size)
{
    if (must(vppcom_session_write(s, buf, size), "write") != (int)size || !read_all(s, size))
        must(VPPCOM_ECONNRESET, "exchange");
}

static void rtt(vppcom_endpt_t *to, size_t size, double seconds)
{
    uint32_t s = connect_and_ask(to, (struct netload_hello){ .mode = NETLOAD_ECHO, .size = (uint32_t)size });

    set_nonblocking(s);
    for (int i = 0; i < WARM_UP_ROUNDS; i++)
        exchange(s, size);
    struct trips t = trips_begin(seconds);
    do
        exchange(s, size);
    while (trips_next(&t));
    vppcom_session_close(s);
    trips_print(&t);
}

int main(int argc, char **argv)
{
    const char *what = argc > 3 ? argv[1] : "";
    uint8_t ip[16];
    vppcom_endpt_t at = { .is_ip4 = argc > 3 && !strchr(argv[2], ':'), .ip = ip };
    size_t size = argc > 4 ? strtoul(argv[4], NULL, 10) : 1;

    if (argc < 4 || inet_pton(at.is_ip4 ? AF_INET : AF_INET6, argv[2], ip) != 1 || size == 0 || size > sizeof(buf) ||
        !(strcmp(what, "server") == 0 ? argc == 4 : argc == 6 && (strcmp(what, "stream") == 0 || strcmp(what, "rtt") == 0))) {
        fputs("usage: netload_native server|stream|rtt …, see the top of netload_native.c\n", stderr);
        return 2;
    }
    at.port = htons((uint16_t)atoi(argv[3]));
    must(vppcom_app_create("netload_native"), "vppcom_app_create");
    if (*what == 's' && what[1] == 'e')
        server(&at);
    else if (*what == 's')
        stream(&at, size, atof(argv[5]));
    else
        rtt(&at, size, atof(argv[5]));
    vppcom_app_destroy();
    return 0;
}
