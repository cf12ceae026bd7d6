/* vcl_echo_server.c - echo over the native API: one epoll set, TCP connections or UDP datagrams */
#include <fcntl.h>
#include <vcl/vppcom.h>
#include "echo_options.h"

enum { BUF_SIZE = 64 << 10, MAX_EVENTS = 64 };

static int die(const char *what, int rc)
{
    fprintf(stderr, "%s: %s\n", what, strerror(-rc));
    return 1;
}

static void watch(int epoll, int session, uint32_t events, int op)
{
    struct epoll_event ev = { .events = events, .data.u32 = (uint32_t)session };
    int rc = vppcom_epoll_ctl((uint32_t)epoll, op, (uint32_t)session, &ev);

    if (rc)
        exit(die("vppcom_epoll_ctl", rc));
}

/* Everything that is there goes back; the session blocks in writes, so nothing has to be remembered. 1 = it has ended. */
static int echo(int session, unsigned char *buf)
{
    int n = vppcom_session_read((uint32_t)session, buf, BUF_SIZE);

    if (n <= 0)
        return n != VPPCOM_EAGAIN;
    for (int done = 0; done < n;) {
        int rc = vppcom_session_write((uint32_t)session, buf + done, (size_t)(n - done));

        if (rc < 0)
            return 1;
        done += rc;
    }
    return 0;
}

static void echo_datagram(int session, unsigned char *buf)
{
    uint8_t ip[16];
    vppcom_endpt_t from = { .ip = ip };
    int n = vppcom_session_recvfrom((uint32_t)session, buf, BUF_SIZE, 0, &from);

    if (n >= 0)
        vppcom_session_sendto((uint32_t)session, buf, (uint32_t)n, 0, &from, NULL);
}

int main(int argc, char **argv)
{
    struct echo_options o = echo_options(argc, argv, 0);
    static unsigned char buf[BUF_SIZE];
    struct epoll_event ev[MAX_EVENTS];
    uint8_t ip[16], peer[16];
    vppcom_endpt_t lcl = { .is_ip4 = !o.is_v6, .ip = ip, .port = htons((uint16_t)o.port) }, from = { .ip = peer };
    int rc, listener, epoll, ended = 0;

    if (inet_pton(o.is_v6 ? AF_INET6 : AF_INET, o.address, ip) != 1)
        echo_usage(argv[0]);
    rc = vppcom_app_create("vcl_echo_server");
    if (rc)
        return die("vppcom_app_create", rc);
    listener = vppcom_session_create(o.is_udp ? VPPCOM_PROTO_UDP : VPPCOM_PROTO_TCP, 0);
    if (listener < 0)
        return die("vppcom_session_create", listener);
    rc = vppcom_session_bind((uint32_t)listener, &lcl);
    if (rc)
        return die("vppcom_session_bind", rc);
    rc = vppcom_session_listen((uint32_t)listener, 128);
    if (rc)
        return die("vppcom_session_listen", rc);
    epoll = vppcom_epoll_create();
    if (epoll < 0)
        return die("vppcom_epoll_create", epoll);
    watch(epoll, listener, EPOLLIN, EPOLL_CTL_ADD);
    printf("listening on %s port %d\n", o.address, o.port);
    fflush(stdout);

    while (o.is_udp || o.connections == 0 || ended < o.connections) {
        int n = vppcom_epoll_wait((uint32_t)epoll, ev, MAX_EVENTS, -1);

        if (n < 0 && n != -EINTR)
            return die("vppcom_epoll_wait", n);
        for (int i = 0; i < n; i++) {
            int session = (int)ev[i].data.u32;

            if (session == listener && o.is_udp) {
                echo_datagram(session, buf);
                if (o.connections && ++ended == o.connections)
                    goto out;
            } else if (session == listener) {
                int conn = vppcom_session_accept((uint32_t)listener, &from, 0);

                if (conn >= 0)
                    watch(epoll, conn, EPOLLIN, EPOLL_CTL_ADD);
            } else if (echo(session, buf)) {
                vppcom_session_close((uint32_t)session);
                ended++;
            }
        }
    }
out:
    vppcom_app_destroy();
    return 0;
}
