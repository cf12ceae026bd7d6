/* guard_preload.c - calls of a preloaded program for bench-guard: on kernel descriptors, and on both ends of a cut-through connection
 *   guard_preload             kernel descriptors only
 *   guard_preload ADDRESS     also a connection of this program to itself, at that address; one thread, nothing ever waits */
#include <arpa/inet.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "tests/bench/guard_op.h"

enum { TIMES = 1000, SMALL = 64, LARGE = 16384 };

static char out[LARGE], in[LARGE];
static int end[2];
static struct pollfd ready;
static int set;

#define OPS(where)                                                                                                          \
    GUARD_OP(where##_send)(size_t n) { send(end[0], out, n, MSG_NOSIGNAL); }                                                 \
    GUARD_OP(where##_recv)(size_t n) { recv(end[1], in, n, 0); }                                                             \
    GUARD_OP(where##_write)(void) { if (write(end[0], out, SMALL) != SMALL) abort(); }                                       \
    GUARD_OP(where##_read)(void) { if (read(end[1], in, SMALL) != SMALL) abort(); }                                          \
    GUARD_OP(where##_poll)(void) { if (poll(&ready, 1, 0) != 1) abort(); }                                                   \
    GUARD_OP(where##_epoll)(void) { struct epoll_event ev; if (epoll_wait(set, &ev, 1, 0) != 1) abort(); }
OPS(kernel)
OPS(cut)
GUARD_OP(cut_send_16k)(void) { if (send(end[0], out, LARGE, MSG_NOSIGNAL) != LARGE) abort(); }
GUARD_OP(cut_recv_16k)(void) { if (recv(end[1], in, LARGE, 0) != LARGE) abort(); }

static void watch(void)
{
    struct epoll_event ev = { .events = EPOLLIN };

    ready = (struct pollfd){ .fd = end[1], .events = POLLIN };
    set = epoll_create1(0);
    guard_must(set >= 0 && epoll_ctl(set, EPOLL_CTL_ADD, end[1], &ev) == 0, "an epoll set");
}

static void on_kernel(void)
{
    guard_must(socketpair(AF_UNIX, SOCK_STREAM, 0, end) == 0, "a socket pair");
    watch();
    for (unsigned i = 0; i < TIMES; i++) {
        op_kernel_send(SMALL);
        op_kernel_poll();
        op_kernel_epoll();
        op_kernel_recv(SMALL);
        op_kernel_write();
        op_kernel_read();
    }
    guard_done("kernel_send", TIMES);
    guard_done("kernel_recv", TIMES);
    guard_done("kernel_write", TIMES);
    guard_done("kernel_read", TIMES);
    guard_done("kernel_poll", TIMES);
    guard_done("kernel_epoll", TIMES);
    close(end[0]);
    close(end[1]);
    close(set);
}

static void connect_to_self(const char *address)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(7777) };
    struct pollfd p = { .events = POLLOUT };
    int listener = socket(AF_INET, SOCK_STREAM, 0);

    guard_must(inet_pton(AF_INET, address, &at.sin_addr) == 1, "an address");
    guard_must(bind(listener, (struct sockaddr *)&at, sizeof(at)) == 0 && listen(listener, 4) == 0, "a listener");
    p.fd = end[0] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    connect(end[0], (struct sockaddr *)&at, sizeof(at));
    end[1] = accept(listener, NULL, NULL);
    guard_must(end[1] >= 0 && poll(&p, 1, 30000) == 1 && p.revents == POLLOUT, "a connection to itself");
    close(listener);
}

static void exchange_cut(void)
{
    op_cut_send(SMALL);
    op_cut_poll();
    op_cut_epoll();
    op_cut_recv(SMALL);
    op_cut_write();
    op_cut_read();
    op_cut_send_16k();
    op_cut_recv_16k();
}

static void on_stack(const char *address)
{
    connect_to_self(address);
    watch();
    for (unsigned i = 0; i < TIMES; i++)
        exchange_cut();
    guard_done("cut_send", TIMES);
    guard_done("cut_recv", TIMES);
    guard_done("cut_write", TIMES);
    guard_done("cut_read", TIMES);
    guard_done("cut_poll", TIMES);
    guard_done("cut_epoll", TIMES);
    guard_done("cut_send_16k", TIMES);
    guard_done("cut_recv_16k", TIMES);
}

int main(int argc, char **argv)
{
    memset(out, 'x', sizeof(out));
    on_kernel();
    if (argc > 1)
        on_stack(argv[1]);
    return 0;
}
