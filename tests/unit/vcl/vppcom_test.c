/* vppcom_test.c - the native API against a running hoststackd without any port: cut-through between processes and threads
 * Each test has a server of its own in a directory of its own. Without the server's program the tests are skipped. */
#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "vcl/vppcom.h"

static char dir[64];
static pid_t server = -1;

static void nap(void) { nanosleep(&(struct timespec){ 0, 2000000 }, NULL); }

static bool answers(const char *path)
{
    struct sockaddr_un sun = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    bool ok;

    strcpy(sun.sun_path, path);
    ok = connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == 0;
    close(fd);
    return ok;
}

static void start_server(void)
{
    const char *build = getenv("top_builddir");
    char program[512], conf[128], sock[128];
    struct stat st;
    FILE *f;

    snprintf(program, sizeof(program), "%s/hoststackd", build ? build : ".");
    if (access(program, X_OK) != 0)
        cr_skip_test("no hoststackd at %s", program);
    if (!dir[0]) {
        strcpy(dir, "/tmp/vppcom-test-XXXXXX");
        cr_assert_not_null(mkdtemp(dir));
    }
    snprintf(conf, sizeof(conf), "%s/hoststackd.conf", dir);
    snprintf(sock, sizeof(sock), "%s/app.sock", dir);
    f = fopen(conf, "w");
    cr_assert_not_null(f);
    fprintf(f, "unix { runtime-dir %s }\n", dir);
    fclose(f);
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execl(program, program, "-c", conf, "--foreground", (char *)NULL);
        _exit(127);
    }
    for (int i = 0; i < 5000 && stat(sock, &st) != 0; i++)
        nap();
    cr_assert_eq(stat(sock, &st), 0, "the server has not made its socket");
    /* A socket that a killed server left behind is there, too: wait until somebody listens on it. */
    for (int i = 0; i < 5000 && !answers(sock); i++)
        nap();
    unsetenv("VCL_CONFIG");
    setenv("VCL_VPP_SAPI_SOCKET", sock, 1);
}

static void stop_server(void)
{
    char command[128];

    if (server > 0) {
        kill(server, SIGTERM);
        waitpid(server, NULL, 0);
        server = -1;
    }
    if (dir[0]) {
        snprintf(command, sizeof(command), "rm -rf '%s'", dir);
        cr_assert_eq(system(command), 0);
    }
}

static uint8_t loopback4[4] = { 127, 0, 0, 1 }, loopback6[16] = { [15] = 1 };

static vppcom_endpt_t endpoint(bool v6, uint16_t port)
{
    return (vppcom_endpt_t){ .is_ip4 = !v6, .ip = v6 ? loopback6 : loopback4, .port = htons(port) };
}

static uint32_t listener(bool v6, uint16_t port)
{
    vppcom_endpt_t ep = endpoint(v6, port);
    int l = vppcom_session_create(VPPCOM_PROTO_TCP, 0);

    cr_assert_geq(l, 0);
    cr_assert_eq(vppcom_session_bind((uint32_t)l, &ep), 0);
    cr_assert_eq(vppcom_session_listen((uint32_t)l, 16), 0);
    return (uint32_t)l;
}

static uint32_t dial(bool v6, uint16_t port)
{
    vppcom_endpt_t ep = endpoint(v6, port);
    int s = vppcom_session_create(VPPCOM_PROTO_TCP, 0), rc;

    cr_assert_geq(s, 0);
    rc = vppcom_session_connect((uint32_t)s, &ep);
    cr_assert_eq(rc, 0, "connect: %s", vppcom_retval_str(rc));
    return (uint32_t)s;
}

/* Two sessions of this process, joined. */
static void joined(uint16_t port, uint32_t *a, uint32_t *b)
{
    uint32_t l = listener(false, port);
    int s;

    cr_assert_eq(vppcom_app_create("test"), -EEXIST);
    *a = dial(false, port);
    s = vppcom_session_accept(l, NULL, 0);
    cr_assert_geq(s, 0);
    *b = (uint32_t)s;
    cr_assert_eq(vppcom_session_close(l), 0);
}

TestSuite(vppcom, .init = start_server, .fini = stop_server, .timeout = 300);

static void app(void)
{
    int rc = vppcom_app_create("test");

    cr_assert_eq(rc, 0, "vppcom_app_create: %s", vppcom_retval_str(rc));
}

/* Runs as a child process: accepts `n` connections and echoes each to its end. */
static pid_t echo_child(bool v6, uint16_t port, int n)
{
    int ready[2];
    char c;
    pid_t pid;

    cr_assert_eq(pipe(ready), 0);
    pid = fork();
    if (pid == 0) {
        static char buf[65536];
        uint32_t l;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (vppcom_app_create("echo"))
            _exit(2);
        l = listener(v6, port);
        if (write(ready[1], "x", 1) != 1)
            _exit(3);
        for (int i = 0; i < n; i++) {
            int s = vppcom_session_accept(l, NULL, 0), k;

            while ((k = vppcom_session_read((uint32_t)s, buf, sizeof(buf))) > 0)
                if (vppcom_session_write((uint32_t)s, buf, (size_t)k) != k)
                    _exit(4);
            if (k < 0)
                _exit(5);
            vppcom_session_close((uint32_t)s);
        }
        vppcom_app_destroy();
        _exit(0);
    }
    cr_assert_eq(read(ready[0], &c, 1), 1);
    close(ready[0]);
    close(ready[1]);
    return pid;
}

static void echo_once(bool v6, uint16_t port, size_t size)
{
    unsigned char *out = malloc(size), *in = malloc(size);
    uint32_t s = dial(v6, port);
    size_t got = 0;

    for (size_t i = 0; i < size; i++)
        out[i] = (unsigned char)(i * 7 + i / 251);
    cr_assert_eq(vppcom_session_write(s, out, size), (int)size);
    cr_assert_eq(vppcom_session_shutdown(s, SHUT_WR), 0);
    while (got < size) {
        int n = vppcom_session_read(s, in + got, size - got);

        cr_assert_gt(n, 0, "after %zu bytes: %d", got, n);
        got += (size_t)n;
    }
    cr_assert_eq(vppcom_session_read(s, in, 1), 0, "the other side closes after our half close");
    cr_assert_arr_eq(in, out, size);
    cr_assert_eq(vppcom_session_close(s), 0);
    free(out);
    free(in);
}

static void exited(pid_t pid)
{
    int status;

    cr_assert_eq(waitpid(pid, &status, 0), pid);
    cr_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0, "child: %x", status);
}

Test(vppcom, echo_between_processes)
{
    pid_t pid = echo_child(false, 7001, 3);

    app();
    echo_once(false, 7001, 1);
    echo_once(false, 7001, 5000);
    echo_once(false, 7001, 700000);
    exited(pid);
}

Test(vppcom, echo_over_v6)
{
    pid_t pid = echo_child(true, 7002, 1);

    app();
    echo_once(true, 7002, 100000);
    exited(pid);
}

Test(vppcom, addresses_and_attributes)
{
    uint32_t a, b, len, v;
    uint8_t ip[16];
    vppcom_endpt_t ep = { .ip = ip };
    int i;

    app();
    joined(7003, &a, &b);
    len = sizeof(ep);
    cr_assert_eq(vppcom_session_attr(a, VPPCOM_ATTR_GET_PEER_ADDR, &ep, &len), 0);
    cr_assert_eq(ntohs(ep.port), 7003);
    cr_assert(ep.is_ip4 && ep.is_cut_thru);
    cr_assert_arr_eq(ip, loopback4, 4);
    cr_assert_eq(vppcom_session_attr(b, VPPCOM_ATTR_GET_LCL_ADDR, &ep, &len), 0);
    cr_assert_eq(ntohs(ep.port), 7003);
    len = sizeof(v);
    cr_assert_eq(vppcom_session_attr(a, VPPCOM_ATTR_GET_FLAGS, &v, &len), 0);
    cr_assert_eq(v, O_RDWR);
    v = O_RDWR | O_NONBLOCK;
    cr_assert_eq(vppcom_session_attr(a, VPPCOM_ATTR_SET_FLAGS, &v, &len), 0);
    cr_assert_eq(vppcom_session_read(a, ip, 1), VPPCOM_EAGAIN);
    i = 1;
    len = sizeof(i);
    cr_assert_eq(vppcom_session_attr(a, VPPCOM_ATTR_SET_TCP_NODELAY, &i, &len), 0);
    i = 0;
    cr_assert_eq(vppcom_session_attr(a, VPPCOM_ATTR_GET_TCP_NODELAY, &i, &len), 0);
    cr_assert_eq(i, 1);
    cr_assert_eq(vppcom_session_attr(a, VPPCOM_ATTR_GET_ORIGINAL_DST, &i, &len), VPPCOM_ENOTSUP);
    cr_assert_eq(vppcom_session_attr(a, 9999, &i, &len), VPPCOM_EINVAL);
    cr_assert_eq(vppcom_session_attr(12345, VPPCOM_ATTR_GET_NREAD, NULL, NULL), VPPCOM_EBADFD);
    cr_assert_eq(vppcom_session_write(b, "hello", 5), 5);
    while (vppcom_session_attr(a, VPPCOM_ATTR_GET_NREAD, NULL, NULL) != 5)
        nap();
    vppcom_app_destroy();
}

Test(vppcom, errors_of_connections)
{
    vppcom_endpt_t nobody = endpoint(false, 7999);
    int s;

    app();
    s = vppcom_session_create(VPPCOM_PROTO_TCP, 0);
    cr_assert_eq(vppcom_session_read((uint32_t)s, loopback4, 1), VPPCOM_ENOTCONN);
    cr_assert_eq(vppcom_session_write((uint32_t)s, loopback4, 1), VPPCOM_EPIPE);
    cr_assert_eq(vppcom_session_accept((uint32_t)s, NULL, 0), VPPCOM_EINVAL);
    cr_assert_eq(vppcom_session_connect((uint32_t)s, &nobody), VPPCOM_ECONNREFUSED);
    vppcom_session_close((uint32_t)s);
    cr_assert_eq(vppcom_session_close((uint32_t)s), VPPCOM_EBADFD);
    cr_assert_eq(vppcom_session_create(VPPCOM_PROTO_QUIC, 0), VPPCOM_ENOTSUP);
    cr_assert_eq(vppcom_session_create(200, 0), VPPCOM_EINVAL);
    listener(false, 7004);
    s = vppcom_session_create(VPPCOM_PROTO_TCP, 0);
    nobody.port = htons(7004);
    cr_assert_eq(vppcom_session_bind((uint32_t)s, &nobody), VPPCOM_EADDRINUSE);
}

Test(vppcom, close_with_unread_bytes_resets_the_peer)
{
    uint32_t a, b;
    char c;

    app();
    joined(7005, &a, &b);
    cr_assert_eq(vppcom_session_write(a, "unread", 6), 6);
    vppcom_session_close(b);
    cr_assert_eq(vppcom_session_read(a, &c, 1), VPPCOM_ECONNRESET);
    cr_assert_eq(vppcom_session_read(a, &c, 1), 0, "a reset is told once");
    cr_assert_eq(vppcom_session_write(a, &c, 1), VPPCOM_EPIPE);
}

Test(vppcom, bytes_before_the_close_are_read_first)
{
    uint32_t a, b;
    char buf[16];

    app();
    joined(7006, &a, &b);
    cr_assert_eq(vppcom_session_write(a, "last words", 10), 10);
    vppcom_session_close(a);
    cr_assert_eq(vppcom_session_read(b, buf, sizeof(buf)), 10);
    cr_assert_eq(vppcom_session_read(b, buf, sizeof(buf)), 0);
    cr_assert_eq(vppcom_session_write(b, buf, 1), 1, "as over a network, what comes back for it tells that nobody reads");
    cr_assert_eq(vppcom_session_write(b, buf, 1), VPPCOM_EPIPE);
}

Test(vppcom, epoll_level_and_edge)
{
    struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT, .data.u64 = 77 }, got[4];
    uint32_t a, b, ep;
    char c[8];

    app();
    joined(7007, &a, &b);
    ep = (uint32_t)vppcom_epoll_create();
    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_ADD, a, &ev), 0);
    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_ADD, a, &ev), VPPCOM_EEXIST);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 0), 1);
    cr_assert_eq(got[0].events, EPOLLOUT);
    cr_assert_eq(got[0].data.u64, 77);
    ev.events = EPOLLIN;
    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_MOD, a, &ev), 0);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 0), 0);
    vppcom_session_write(b, "12", 2);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 5000), 1);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 0), 1, "level: as long as it is unread");
    cr_assert_eq(vppcom_session_read(a, c, 2), 2);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 0), 0);
    ev.events = EPOLLIN | EPOLLET;
    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_MOD, a, &ev), 0);
    vppcom_session_write(b, "3", 1);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 5000), 1);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 0), 0, "edge: once");
    vppcom_session_write(b, "4", 1);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 5000), 1, "a new edge for new bytes, the old ones unread");
    cr_assert_eq(vppcom_session_read(a, c, 8), 2);
    ev.events = EPOLLIN | EPOLLONESHOT;
    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_MOD, a, &ev), 0);
    vppcom_session_write(b, "5", 1);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 5000), 1);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 0), 0, "one shot");
    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_MOD, a, &ev), 0);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 5000), 1, "armed again by mod");
    ev.events = EPOLLIN | EPOLLRDHUP;
    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_MOD, a, &ev), 0);
    vppcom_session_read(a, c, 8);
    vppcom_session_close(b);
    cr_assert_eq(vppcom_epoll_wait(ep, got, 4, 5000), 1);
    cr_assert(got[0].events & EPOLLRDHUP);
    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL), 0);
    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_DEL, a, NULL), VPPCOM_ENOENT);
}

Test(vppcom, poll_and_select)
{
    unsigned long rd[4] = { 0 }, wr[4] = { 0 };
    uint32_t a, b;
    vcl_poll_t p[2];
    unsigned index;

    app();
    joined(7008, &a, &b);
    p[0] = (vcl_poll_t){ .sid = a, .events = POLLIN };
    p[1] = (vcl_poll_t){ .sid = b, .events = POLLIN | POLLOUT };
    cr_assert_eq(vppcom_poll(p, 2, 0), 1);
    cr_assert_eq(p[0].revents, 0);
    cr_assert_eq(p[1].revents, POLLOUT);
    vppcom_session_write(b, "x", 1);
    cr_assert_eq(vppcom_poll(p, 1, 60), 1);
    cr_assert_eq(p[0].revents, POLLIN);
    p[0].sid = 4000;
    cr_assert_eq(vppcom_poll(p, 1, 60), 1);
    cr_assert_eq(p[0].revents, POLLNVAL);
    index = (unsigned)vppcom_session_index(a);
    rd[index / 64] |= 1ul << (index % 64);
    index = (unsigned)vppcom_session_index(b);
    rd[index / 64] |= 1ul << (index % 64);
    wr[index / 64] |= 1ul << (index % 64);
    cr_assert_eq(vppcom_select(256, rd, wr, NULL, 60), 2);
    cr_assert_eq(rd[index / 64] >> (index % 64) & 1, 0);
}

Test(vppcom, zero_copy_segments)
{
    vppcom_data_segment_t ds[4];
    uint32_t a, b;
    char text[] = "0123456789";

    app();
    joined(7009, &a, &b);
    ds[0] = (vppcom_data_segment_t){ (unsigned char *)text, 4 };
    ds[1] = (vppcom_data_segment_t){ (unsigned char *)text + 4, 6 };
    cr_assert_eq(vppcom_session_write_segments(a, ds, 2), 10);
    cr_assert_eq(vppcom_session_read_segments(b, ds, 4, 100), 10);
    cr_assert_arr_eq(ds[0].data, text, 10);
    vppcom_session_free_segments(b, 3);
    cr_assert_eq(vppcom_session_read_segments(b, ds, 4, 2), 2);
    cr_assert_arr_eq(ds[0].data, text + 3, 2);
    vppcom_session_free_segments(b, 7);
    cr_assert_eq(vppcom_session_attr(b, VPPCOM_ATTR_GET_NREAD, NULL, NULL), 0);
}

/* ---- threads: a writer and a reader share the process's worker ---- */
struct stream { uint32_t session; size_t total; unsigned sum; };

static void *write_stream(void *arg)
{
    struct stream *st = arg;
    unsigned char buf[3000];

    for (size_t done = 0; done < st->total;) {
        size_t want = st->total - done < sizeof(buf) ? st->total - done : sizeof(buf);
        int n;

        for (size_t i = 0; i < want; i++)
            buf[i] = (unsigned char)((done + i) * 13);
        n = vppcom_session_write(st->session, buf, want);
        if (n <= 0)
            break;
        for (int i = 0; i < n; i++)
            st->sum = st->sum * 31 + buf[i];
        done += (size_t)n;
    }
    vppcom_session_shutdown(st->session, SHUT_WR);
    return NULL;
}

static void *read_stream(void *arg)
{
    struct stream *st = arg;
    unsigned char buf[8192];
    int n;

    while ((n = vppcom_session_read(st->session, buf, sizeof(buf))) > 0) {
        for (int i = 0; i < n; i++)
            st->sum = st->sum * 31 + buf[i];
        st->total += (size_t)n;
    }
    return NULL;
}

Test(vppcom, threads_stream_both_ways)
{
    enum { PAIRS = 4, BYTES = 8 << 20 };
    struct stream st[4 * PAIRS];
    pthread_t th[4 * PAIRS];

    app();
    memset(st, 0, sizeof(st));
    for (int i = 0; i < PAIRS; i++) {
        joined((uint16_t)(7020 + i), &st[4 * i].session, &st[4 * i + 1].session);
        st[4 * i + 2].session = st[4 * i + 1].session;
        st[4 * i + 3].session = st[4 * i].session;
        st[4 * i].total = st[4 * i + 2].total = BYTES;
        for (int k = 0; k < 4; k++)
            cr_assert_eq(pthread_create(&th[4 * i + k], NULL, k & 1 ? read_stream : write_stream, &st[4 * i + k]), 0);
    }
    for (int i = 0; i < 4 * PAIRS; i++)
        pthread_join(th[i], NULL);
    for (int i = 0; i < 4 * PAIRS; i += 2) {
        cr_assert_eq(st[i + 1].total, BYTES, "stream %d: %zu", i / 2, st[i + 1].total);
        cr_assert_eq(st[i].sum, st[i + 1].sum);
    }
}

Test(vppcom, death_of_the_peer_is_the_end_of_its_stream)
{
    pid_t pid = echo_child(false, 7010, 100);
    uint32_t s, waiting;
    char buf[8];

    app();
    s = dial(false, 7010);
    cr_assert_eq(vppcom_session_write(s, "alive", 5), 5);
    cr_assert_eq(vppcom_session_read(s, buf, 5), 5);
    waiting = dial(false, 7010); /* the first one is still served: this stays on the accept queue */
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_assert_leq(vppcom_session_read(s, buf, 5), 0);
    cr_assert_eq(vppcom_session_write(s, buf, 5), 5, "Linux has closed it: the answer to this is a reset");
    cr_assert_eq(vppcom_session_write(s, buf, 5), VPPCOM_EPIPE);
    cr_assert_leq(vppcom_session_read(waiting, buf, 5), 0);
    cr_assert_eq(vppcom_session_write(waiting, buf, 5), VPPCOM_EPIPE);
}

/* As SYNs that a full backlog drops and that come again: nobody is refused. */
Test(vppcom, connects_beyond_the_backlog_wait)
{
    enum { MORE_THAN_BACKLOG = 40 };
    vppcom_endpt_t ep = endpoint(false, 7012);
    pid_t pid = echo_child(false, 7012, MORE_THAN_BACKLOG);
    uint32_t s[MORE_THAN_BACKLOG];
    char c = 'x';
    int rc;

    app();
    kill(pid, SIGSTOP);
    for (int i = 0; i < MORE_THAN_BACKLOG; i++) {
        s[i] = (uint32_t)vppcom_session_create(VPPCOM_PROTO_TCP, 1);
        cr_assert_eq(vppcom_session_connect(s[i], &ep), VPPCOM_EINPROGRESS);
    }
    cr_assert_eq(vppcom_session_close(s[MORE_THAN_BACKLOG - 2]), 0, "one gives up while it waits: it is accepted, and ends");
    kill(pid, SIGCONT);
    for (int i = 0; i < MORE_THAN_BACKLOG; i++) {
        if (i == MORE_THAN_BACKLOG - 2)
            continue;
        while ((rc = vppcom_session_connect(s[i], &ep)) == -EALREADY)
            nap();
        cr_assert(rc == 0 || rc == -EISCONN, "connection %d: %s", i, vppcom_retval_str(rc));
        while ((rc = vppcom_session_write(s[i], &c, 1)) == VPPCOM_EAGAIN)
            nap();
        cr_assert_eq(rc, 1);
        cr_assert_eq(vppcom_session_shutdown(s[i], SHUT_WR), 0);
        while ((rc = vppcom_session_read(s[i], &c, 1)) == VPPCOM_EAGAIN)
            nap();
        cr_assert_eq(rc, 1);
        cr_assert_eq(vppcom_session_close(s[i]), 0);
    }
    exited(pid);
}

Test(vppcom, a_child_goes_on_with_an_inherited_listener)
{
    uint32_t l;
    pid_t pid;

    app();
    l = listener(false, 7011);
    pid = fork();
    if (pid == 0) {
        char c;
        int s;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        s = vppcom_session_accept(l, NULL, 0);
        if (s < 0 || vppcom_session_read((uint32_t)s, &c, 1) != 1 || vppcom_session_write((uint32_t)s, &c, 1) != 1)
            _exit(1);
        _exit(vppcom_session_read((uint32_t)s, &c, 1) == 0 ? 0 : 2);
    }
    vppcom_session_close(l);
    echo_once(false, 7011, 1);
    exited(pid);
}

/* As with a backlog in Linux: who listens need not run for a connect to complete, and finds all that was said meanwhile. */
Test(vppcom, connect_does_not_wait_for_the_accepting_program)
{
    pid_t pid = fork();
    uint32_t s;
    int status;

    if (pid == 0) {
        char buf[8];
        int c;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        app();
        s = listener(false, 7013);
        raise(SIGSTOP);
        c = vppcom_session_accept(s, NULL, 0);
        if (c < 0 || vppcom_session_read((uint32_t)c, buf, sizeof(buf)) != 5 || memcmp(buf, "early", 5) != 0)
            _exit(1);
        _exit(vppcom_session_read((uint32_t)c, buf, sizeof(buf)) == 0 ? 0 : 2);
    }
    cr_assert_eq(waitpid(pid, &status, WUNTRACED), pid);
    cr_assert(WIFSTOPPED(status));
    app();
    s = dial(false, 7013);
    cr_assert_eq(vppcom_session_write(s, "early", 5), 5);
    cr_assert_eq(vppcom_session_close(s), 0);
    cr_assert_eq(kill(pid, SIGCONT), 0);
    exited(pid);
}

/* Looks at its queues now and then, as a program does that waits for other sockets. */
static uint32_t looker(void)
{
    struct epoll_event ev = { .events = EPOLLIN };
    uint32_t ep = (uint32_t)vppcom_epoll_create();

    cr_assert_eq(vppcom_epoll_ctl(ep, EPOLL_CTL_ADD, listener(false, 0), &ev), 0);
    return ep;
}

static bool has_ended(pid_t pid)
{
    siginfo_t info = { 0 };

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == pid;
}

/* Said and closed before anybody accepts; the first program that the connection was offered to gives it to another one. */
Test(vppcom, a_closed_connection_goes_to_another_program_with_its_bytes)
{
    int go[2], closed[2], over[2];
    struct epoll_event ev;
    uint32_t l, ep;
    pid_t client, acceptor;
    char buf[8];

    cr_assert_eq(pipe(go) | pipe(closed) | pipe(over), 0);
    client = fork();
    if (client == 0) {
        uint32_t s;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(closed[0]);
        close(over[1]);
        app();
        ep = looker();
        if (read(go[0], buf, 1) != 1)
            _exit(1);
        s = dial(false, 7014);
        if (vppcom_session_write(s, "early", 5) != 5 || vppcom_session_close(s) != 0)
            _exit(2);
        close(closed[1]);
        if (fcntl(over[0], F_SETFL, O_NONBLOCK) != 0)
            _exit(3);
        while (read(over[0], buf, 1) != 0)
            vppcom_epoll_wait(ep, &ev, 1, 2);
        _exit(0);
    }
    close(closed[1]);
    close(over[0]);
    app();
    l = listener(false, 7014);
    ep = looker();
    cr_assert_eq(write(go[1], "", 1), 1);
    cr_assert_eq(read(closed[0], buf, 1), 0);
    acceptor = fork();
    if (acceptor == 0) {
        int c;

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(over[1]);
        c = vppcom_session_accept(l, NULL, 0);
        if (c < 0 || vppcom_session_read((uint32_t)c, buf, sizeof(buf)) != 5 || memcmp(buf, "early", 5) != 0)
            _exit(1);
        _exit(vppcom_session_read((uint32_t)c, buf, sizeof(buf)) == 0 ? 0 : 2);
    }
    while (!has_ended(acceptor))
        vppcom_epoll_wait(ep, &ev, 1, 2);
    close(over[1]);
    exited(acceptor);
    exited(client);
}

Test(vppcom, restart_of_the_server)
{
    uint32_t a, b, l;
    char c;

    app();
    l = listener(false, 7012);
    joined(7013, &a, &b);
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    cr_assert_eq(vppcom_session_read(a, &c, 1), VPPCOM_ECONNRESET);
    start_server();
    pid_t pid = fork();
    if (pid == 0) { /* a new program reaches the old listener */
        vppcom_endpt_t ep = endpoint(false, 7012);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;) {
            int s = vppcom_session_create(VPPCOM_PROTO_TCP, 0);

            if (vppcom_session_connect((uint32_t)s, &ep) == 0)
                _exit(vppcom_session_write((uint32_t)s, "x", 1) == 1 ? 0 : 1);
            vppcom_session_close((uint32_t)s);
            nap();
        }
    }
    int s = vppcom_session_accept(l, NULL, 0);
    cr_assert_geq(s, 0, "accept: %d", s);
    cr_assert_eq(vppcom_session_read((uint32_t)s, &c, 1), 1);
    exited(pid);
}

Test(vppcom, without_a_server)
{
    kill(server, SIGKILL);
    waitpid(server, NULL, 0);
    server = -1;
    cr_assert_eq(vppcom_app_create("test"), -ENETDOWN);
    cr_assert_eq(vppcom_worker_is_detached(), 1);
}
