/* native_conn.c - connections one after the other over the native API, both ends in this one program, so that the worker has most to do
 *   native_conn ADDRESS PORT AT-ONCE SECONDS    connect, a question, its answer, the client closes, then the server; prints connections a second */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vcl/vppcom.h>
#include "tests/bench/measure.h"

enum { MAX_EVENTS = 256, QUESTION = 64, ANSWER = 64 };
enum end { LISTENER, CLIENT, SERVER }; /* of a session: the upper half of an event's data */

static uint8_t buf[4096];
static uint32_t set;

static uint32_t must(int rc, const char *what)
{
    if (rc >= 0)
        return (uint32_t)rc;
    fprintf(stderr, "native_conn: %s: %s\n", what, strerror(-rc));
    exit(1);
}

static void watch(int op, uint32_t s, enum end end, uint32_t events)
{
    struct epoll_event e = { .events = events, .data.u64 = (uint64_t)end << 32 | s };

    must(vppcom_epoll_ctl(set, op, s, &e), "epoll_ctl");
}

static void begin(vppcom_endpt_t *to)
{
    uint32_t s = must(vppcom_session_create(VPPCOM_PROTO_TCP, 1), "create");
    int rc = vppcom_session_connect(s, to);

    if (rc != VPPCOM_EINPROGRESS)
        must(rc, "connect");
    watch(EPOLL_CTL_ADD, s, CLIENT, EPOLLOUT);
}

static void accept_all(uint32_t listener)
{
    uint8_t ip[16];
    vppcom_endpt_t peer = { .ip = ip };
    int s;

    while ((s = vppcom_session_accept(listener, &peer, O_NONBLOCK)) >= 0)
        watch(EPOLL_CTL_ADD, (uint32_t)s, SERVER, EPOLLIN);
    if (s != VPPCOM_EAGAIN)
        must(s, "accept");
}

/* True: the session has ended, and is closed. */
static bool step(uint32_t s, enum end end, uint32_t events)
{
    int n;

    if (end == CLIENT && events & EPOLLOUT) {
        must(vppcom_session_write(s, buf, QUESTION) == QUESTION ? 0 : VPPCOM_ECONNRESET, "question");
        watch(EPOLL_CTL_MOD, s, CLIENT, EPOLLIN);
        return false;
    }
    n = vppcom_session_read(s, buf, sizeof(buf));
    if (n == VPPCOM_EAGAIN)
        return false;
    must(n, "read");
    if (end == SERVER && n > 0) {
        must(vppcom_session_write(s, buf, ANSWER) == ANSWER ? 0 : VPPCOM_ECONNRESET, "answer");
        return false;
    }
    must(end == SERVER || n == ANSWER ? 0 : VPPCOM_ECONNRESET, "no answer");
    vppcom_session_close(s);
    return true;
}

static uint64_t run(vppcom_endpt_t *at, unsigned open, uint64_t until)
{
    struct epoll_event ev[MAX_EVENTS];
    uint64_t done = 0;

    for (unsigned i = 0; i < open; i++)
        begin(at);
    while (open > 0) {
        unsigned n = must(vppcom_epoll_wait(set, ev, MAX_EVENTS, 5000), "epoll_wait");

        must(n ? 0 : VPPCOM_ETIMEDOUT, "nothing happens");
        for (unsigned i = 0; i < n; i++) {
            uint32_t s = (uint32_t)ev[i].data.u64;
            enum end end = (enum end)(ev[i].data.u64 >> 32);

            if (end == LISTENER) {
                accept_all(s);
            } else if (step(s, end, ev[i].events) && end == CLIENT) {
                done++;
                if (now_ns() < until)
                    begin(at);
                else
                    open--;
            }
        }
    }
    return done;
}

int main(int argc, char **argv)
{
    uint8_t ip[16];
    vppcom_endpt_t at = { .is_ip4 = argc > 1 && !strchr(argv[1], ':'), .ip = ip };
    unsigned at_once = argc == 5 ? (unsigned)atoi(argv[3]) : 0;
    uint32_t listener;
    uint64_t from, n;

    if (at_once == 0 || inet_pton(at.is_ip4 ? AF_INET : AF_INET6, argv[1], ip) != 1) {
        fputs("usage: native_conn ADDRESS PORT AT-ONCE SECONDS\n", stderr);
        return 2;
    }
    at.port = htons((uint16_t)atoi(argv[2]));
    must(vppcom_app_create("native_conn"), "vppcom_app_create");
    set = must(vppcom_epoll_create(), "epoll_create");
    listener = must(vppcom_session_create(VPPCOM_PROTO_TCP, 1), "create");
    must(vppcom_session_bind(listener, &at), "bind");
    must(vppcom_session_listen(listener, at_once), "listen");
    watch(EPOLL_CTL_ADD, listener, LISTENER, EPOLLIN);
    from = now_ns();
    n = run(&at, at_once, from + (uint64_t)(atof(argv[4]) * 1e9));
    printf("%.1f\n", (double)n * 1e9 / (double)(now_ns() - from));
    vppcom_app_destroy();
    return 0;
}
