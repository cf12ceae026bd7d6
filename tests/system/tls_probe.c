/* tls_probe.c - TLS over the native API, for tests
 *
 *   tls_probe server [-c CERT -k KEY]… [-a ALPN] [-v VERIFY] [-w BYTES] ADDRESS PORT   echoes; -w: answers a line with HTTP and BYTES
 *   tls_probe client [-c CERT -k KEY] [-n NAME] [-a ALPN] [-v VERIFY] [-r TIMES] ADDRESS PORT   standard input there, what comes back to output
 *   tls_probe client -l MILLISECONDS … ADDRESS PORT    to an echo: round trips of 64 bytes, and prints their number, median, p99 and maximum in us
 *
 * -b: client: connects without waiting, by epoll, and fails with the error that it then finds.
 * -f: the server's half ends first: a server answers a line with one, shuts down for writing, and counts what comes until the end ("after
 *     ours: N"); a client writes its line, reads to the end, and writes 100,000 bytes then.
 * -R BYTES: of the receive FIFO, asked for before connect or listen.
 * -d: DTLS, each write a message; -m BYTES: of a write at most; -e: waits for an echo as long before the next, and not for the end.
 * VERIFY: 1 none, 2 optional, 3 required. A server reads its certificates again on SIGUSR1 and says "reloaded". Errors go to standard error
 * as "error: TEXT"; exit code 1. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <vcl/vppcom.h>

enum { BUF = 64 << 10, EVENTS = 64 };

static struct {
    const char *cert[16], *key[16];
    uint32_t pair[16];
    unsigned n_pairs, n_keys;
    long http_bytes, times, ping_ms;
    uint32_t rx_fifo;
    int proto, chunk, lockstep, nonblock, half_first; /* chunk: bytes of a write */
    vppcom_endpt_ext_cfg_t ext;
    int has_ext;
} opt = { .http_bytes = -1, .times = 1, .proto = VPPCOM_PROTO_TLS, .chunk = BUF };
static volatile sig_atomic_t reload;

static void fail(const char *what, int rc)
{
    fprintf(stderr, "error: %s: %s\n", what, strerror(-rc));
    exit(1);
}

static char *slurp(const char *file, uint32_t *len)
{
    FILE *f = fopen(file, "r");
    char *text = calloc(1, 65536);

    if (!f || !text)
        fail(file, -ENOENT);
    *len = (uint32_t)fread(text, 1, 65536, f);
    fclose(f);
    return text;
}

static void add_pairs(void)
{
    for (unsigned i = 0; i < opt.n_pairs; i++) {
        vppcom_cert_key_pair_t p;
        int rc;

        p.cert = slurp(opt.cert[i], &p.cert_len);
        p.key = slurp(opt.key[i], &p.key_len);
        rc = vppcom_add_cert_key_pair(&p);
        if (rc < 0)
            fail("vppcom_add_cert_key_pair", rc);
        opt.pair[i] = (uint32_t)rc;
        free(p.cert);
        free(p.key);
    }
}

static void set_ext(uint32_t session)
{
    uint32_t len = sizeof(opt.ext);
    int rc;

    opt.ext.type = VPPCOM_ENDPT_EXT_CFG_CRYPTO;
    opt.ext.len = sizeof(opt.ext);
    opt.ext.crypto.n_ckpairs = (uint16_t)opt.n_pairs;
    memcpy(opt.ext.crypto.ckpairs, opt.pair, sizeof(opt.pair));
    rc = vppcom_session_attr(session, VPPCOM_ATTR_SET_ENDPT_EXT_CFG, &opt.ext, &len);
    if (rc)
        fail("VPPCOM_ATTR_SET_ENDPT_EXT_CFG", rc);
}

static int create(int nonblock)
{
    uint32_t len = sizeof(opt.rx_fifo);
    int s = vppcom_session_create((uint8_t)opt.proto, (uint8_t)nonblock), rc;

    if (s < 0)
        fail("vppcom_session_create", s);
    rc = opt.rx_fifo ? vppcom_session_attr((uint32_t)s, VPPCOM_ATTR_SET_RX_FIFO_LEN, &opt.rx_fifo, &len) : 0;
    if (rc)
        fail("VPPCOM_ATTR_SET_RX_FIFO_LEN", rc);
    return s;
}

static int write_all(uint32_t s, const char *buf, int n)
{
    for (int done = 0; done < n;) {
        int part = n - done < opt.chunk ? n - done : opt.chunk;
        int rc = vppcom_session_write(s, (void *)(uintptr_t)(buf + done), (size_t)part);

        if (rc < 0)
            return rc;
        done += rc;
    }
    return 0;
}

static int answer_http(uint32_t s)
{
    static char chunk[BUF];
    int n = snprintf(chunk, sizeof(chunk), "HTTP/1.1 200 OK\r\nContent-Length: %ld\r\nConnection: close\r\n\r\n", opt.http_bytes);
    int rc = write_all(s, chunk, n);

    memset(chunk, 'x', sizeof(chunk));
    for (long left = opt.http_bytes; left > 0 && rc == 0; left -= BUF)
        rc = write_all(s, chunk, left < BUF ? (int)left : BUF);
    return 1;
}

/* Our half is over after a line, the client's goes on. */
static int serve_half(uint32_t s)
{
    static char buf[BUF];
    static const char story[] = "half a story\n";
    long after = 0;
    int n, rc = vppcom_session_read(s, buf, sizeof(buf)) > 0 ? write_all(s, story, sizeof(story) - 1) : -EPIPE;

    if (rc == 0)
        rc = vppcom_session_shutdown(s, SHUT_WR);
    while (rc == 0 && (n = vppcom_session_read(s, buf, sizeof(buf))) != 0 && (n > 0 || n == VPPCOM_EAGAIN))
        after += n > 0 ? n : 0;
    printf("after ours: %ld %s\n", after, rc ? strerror(-rc) : n ? strerror(-n) : "end");
    return 1;
}

/* 1: it has ended */
static int serve(uint32_t s)
{
    static char buf[BUF];
    int n = vppcom_session_read(s, buf, sizeof(buf));

    if (n == VPPCOM_EAGAIN)
        return 0;
    if (n < 0)
        printf("ended: %s\n", strerror(-n));
    if (n <= 0)
        return 1;
    if (opt.http_bytes >= 0)
        return answer_http(s);
    return write_all(s, buf, n) != 0;
}

static void on_signal(int sig)
{
    (void)sig;
    reload = 1;
}

static void server(vppcom_endpt_t *lcl)
{
    int l = create(0), epoll = vppcom_epoll_create(), rc;
    struct epoll_event ev[EVENTS] = { { .events = EPOLLIN, .data.u32 = (uint32_t)l } };

    add_pairs();
    rc = vppcom_session_bind((uint32_t)l, lcl);
    if (rc)
        fail("bind", rc);
    if (opt.has_ext)
        set_ext((uint32_t)l);
    else if (opt.n_pairs == 1)
        rc = vppcom_session_attr((uint32_t)l, VPPCOM_ATTR_SET_CKPAIR, &opt.pair[0], &(uint32_t){ sizeof(uint32_t) });
    if (rc)
        fail("VPPCOM_ATTR_SET_CKPAIR", rc);
    rc = vppcom_session_listen((uint32_t)l, 128);
    if (rc)
        fail("listen", rc);
    signal(SIGUSR1, on_signal);
    vppcom_epoll_ctl((uint32_t)epoll, EPOLL_CTL_ADD, (uint32_t)l, &ev[0]);
    printf("ready\n");
    for (;;) {
        int n = vppcom_epoll_wait((uint32_t)epoll, ev, EVENTS, -1);

        if (reload) {
            uint32_t before = opt.pair[0];
            reload = 0;
            add_pairs();
            rc = vppcom_session_attr((uint32_t)l, VPPCOM_ATTR_SET_CKPAIR, &opt.pair[0], &(uint32_t){ sizeof(uint32_t) });
            rc = rc ? rc : vppcom_del_cert_key_pair(before); /* connections that have it keep it */
            printf("reloaded %d\n", rc);
        }
        for (int i = 0; i < n; i++) {
            uint32_t s = ev[i].data.u32;

            if (s == (uint32_t)l) {
                int conn = vppcom_session_accept((uint32_t)l, NULL, 0);
                struct epoll_event e = { .events = EPOLLIN, .data.u32 = (uint32_t)conn };

                if (conn >= 0)
                    vppcom_epoll_ctl((uint32_t)epoll, EPOLL_CTL_ADD, (uint32_t)conn, &e);
            } else if (opt.half_first ? serve_half(s) : serve(s)) {
                vppcom_session_close(s);
            }
        }
    }
}

/* Non-blocking: VPPCOM_EINPROGRESS, then EPOLLOUT says that it is over, and the session's error how. */
static void connect_by_epoll(uint32_t s, vppcom_endpt_t *to)
{
    int epoll = vppcom_epoll_create(), rc = vppcom_session_connect(s, to), error = 0;
    struct epoll_event ev = { .events = EPOLLOUT, .data.u32 = s };
    uint32_t len = sizeof(error), flags = O_RDWR, flags_len = sizeof(flags);

    if (rc != VPPCOM_EINPROGRESS)
        fail("connect did not return at once", rc);
    rc = vppcom_session_connect(s, to);
    if (rc != 0 && rc != -EALREADY) /* or the answer has come meanwhile, and says no */
        fail("connect", rc);
    rc = vppcom_epoll_ctl((uint32_t)epoll, EPOLL_CTL_ADD, s, &ev);
    if (rc)
        fail("vppcom_epoll_ctl", rc);
    rc = vppcom_epoll_wait((uint32_t)epoll, &ev, 1, 20000);
    if (rc != 1)
        fail("vppcom_epoll_wait", rc);
    rc = vppcom_session_attr(s, VPPCOM_ATTR_GET_ERROR, &error, &len);
    if (rc || error)
        fail("connect", rc ? rc : -error);
    rc = vppcom_session_attr(s, VPPCOM_ATTR_SET_FLAGS, &flags, &flags_len); /* from here on it waits */
    if (rc)
        fail("VPPCOM_ATTR_SET_FLAGS", rc);
    vppcom_session_close((uint32_t)epoll);
}

static void converse(vppcom_endpt_t *to, const char *text, int len)
{
    static char buf[BUF];
    int s = create(opt.nonblock), rc = 0, n;

    if (opt.has_ext || opt.n_pairs)
        set_ext((uint32_t)s);
    if (opt.nonblock)
        connect_by_epoll((uint32_t)s, to);
    else
        rc = vppcom_session_connect((uint32_t)s, to);
    if (rc)
        fail("connect", rc);
    if (text) {
        rc = write_all((uint32_t)s, text, len);
        for (int got = 0; rc == 0 && got < len; got += n) { /* answers before the end: so what it says after its handshake has come, too */
            n = vppcom_session_read((uint32_t)s, buf, sizeof(buf));
            if (n <= 0 || write(1, buf, (size_t)n) != n)
                fail("read", n ? n : -EPIPE);
        }
    }
    while (!text && (n = (int)read(0, buf, (size_t)opt.chunk)) > 0) {
        rc = write_all((uint32_t)s, buf, n);
        if (rc)
            fail("write", rc);
        for (int got = 0, k; opt.lockstep && got < n; got += k) {
            k = vppcom_session_read((uint32_t)s, buf, sizeof(buf));
            if (k <= 0 || write(1, buf, (size_t)k) != k)
                fail("read", k ? k : -EPIPE);
        }
    }
    vppcom_session_shutdown((uint32_t)s, SHUT_WR);
    n = 0;
    while (!opt.lockstep && (n = vppcom_session_read((uint32_t)s, buf, sizeof(buf))) > 0)
        if (write(1, buf, (size_t)n) != n)
            exit(1);
    if (n < 0)
        fail("read", n);
    vppcom_session_close((uint32_t)s);
}

/* The server ends its half, we have something to say still. */
static void converse_half(vppcom_endpt_t *to)
{
    static char buf[BUF];
    int s = create(opt.nonblock), rc = 0, n = (int)read(0, buf, sizeof(buf));

    if (opt.has_ext)
        set_ext((uint32_t)s);
    if (opt.nonblock)
        connect_by_epoll((uint32_t)s, to);
    else
        rc = vppcom_session_connect((uint32_t)s, to);
    rc = rc ? rc : write_all((uint32_t)s, buf, n);
    if (rc)
        fail("connect or write", rc);
    while ((n = vppcom_session_read((uint32_t)s, buf, sizeof(buf))) > 0)
        if (write(1, buf, (size_t)n) != n)
            exit(1);
    if (n < 0)
        fail("read", n);
    memset(buf, 'x', sizeof(buf));
    for (int left = 100000; left > 0 && rc == 0; left -= n) {
        n = left < BUF ? left : BUF;
        rc = write_all((uint32_t)s, buf, n);
    }
    if (rc)
        fail("write after the end", rc);
    vppcom_session_shutdown((uint32_t)s, SHUT_WR);
    vppcom_session_close((uint32_t)s);
}

static double now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e6 + (double)ts.tv_nsec / 1e3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* 64 bytes there and back. */
static void round_trip(uint32_t s)
{
    enum { SIZE = 64 };
    char buf[SIZE] = "";
    int rc = write_all(s, buf, SIZE);

    for (int got = 0, k; rc == 0 && got < SIZE; got += k) {
        k = vppcom_session_read(s, buf, SIZE);
        if (k <= 0)
            fail("read", k ? k : -EPIPE);
    }
    if (rc)
        fail("write", rc);
}

static void ping(vppcom_endpt_t *to)
{
    enum { MAX = 1 << 20 };
    double *took = calloc(MAX, sizeof(*took)), begin, t;
    int s = create(0), rc, n = 0;

    if (!took)
        fail("calloc", -ENOMEM);
    if (opt.has_ext || opt.n_pairs)
        set_ext((uint32_t)s);
    rc = vppcom_session_connect((uint32_t)s, to);
    if (rc)
        fail("connect", rc);
    round_trip((uint32_t)s); /* the other end is through its handshake, too */
    for (begin = now_us(); n < MAX && (t = now_us()) < begin + (double)opt.ping_ms * 1e3; n++) {
        round_trip((uint32_t)s);
        took[n] = now_us() - t;
    }
    qsort(took, (size_t)n, sizeof(*took), by_size);
    if (n)
        printf("%d %.0f %.0f %.0f\n", n, took[n / 2], took[(size_t)n * 99 / 100], took[n - 1]);
    vppcom_session_close((uint32_t)s);
    free(took);
}

static void client(vppcom_endpt_t *to)
{
    static char line[BUF];
    int n;

    add_pairs();
    if (opt.ping_ms) {
        ping(to);
        return;
    }
    if (opt.half_first) {
        converse_half(to);
        return;
    }
    if (opt.times == 1) {
        converse(to, NULL, 0);
        return;
    }
    n = (int)read(0, line, sizeof(line));
    for (long i = 0; i < opt.times; i++)
        converse(to, line, n > 0 ? n : 0);
}

int main(int argc, char **argv)
{
    uint8_t ip[16];
    vppcom_endpt_t ep = { .ip = ip };
    int c, rc;

    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((c = getopt(argc, argv, "c:k:n:a:v:w:r:l:dm:ebfR:")) != -1) {
        if (c == 'c' && opt.n_pairs < 16)
            opt.cert[opt.n_pairs++] = optarg;
        else if (c == 'k' && opt.n_keys < 16)
            opt.key[opt.n_keys++] = optarg;
        else if (c == 'w')
            opt.http_bytes = atol(optarg);
        else if (c == 'l')
            opt.ping_ms = atol(optarg);
        else if (c == 'd')
            opt.proto = VPPCOM_PROTO_DTLS;
        else if (c == 'e')
            opt.lockstep = 1;
        else if (c == 'b')
            opt.nonblock = 1;
        else if (c == 'f')
            opt.half_first = 1;
        else if (c == 'm' && atoi(optarg) > 0 && atoi(optarg) <= BUF)
            opt.chunk = atoi(optarg);
        else if (c == 'R')
            opt.rx_fifo = (uint32_t)atol(optarg);
        else if (c == 'r')
            opt.times = atol(optarg);
        else if (c == 'n')
            snprintf(opt.ext.crypto.hostname, sizeof(opt.ext.crypto.hostname), "%s", optarg);
        else if (c == 'a')
            snprintf(opt.ext.crypto.alpn, sizeof(opt.ext.crypto.alpn), "%s", optarg);
        else if (c == 'v')
            opt.ext.crypto.verify = (uint8_t)atoi(optarg);
        else
            return 2;
        opt.has_ext |= c == 'n' || c == 'a' || c == 'v';
    }
    if (argc - optind != 3 || opt.n_keys != opt.n_pairs)
        return 2;
    ep.is_ip4 = !strchr(argv[optind + 1], ':');
    if (inet_pton(ep.is_ip4 ? AF_INET : AF_INET6, argv[optind + 1], ip) != 1)
        return 2;
    ep.port = htons((uint16_t)atoi(argv[optind + 2]));
    rc = vppcom_app_create("tls_probe");
    if (rc)
        fail("vppcom_app_create", rc);
    if (strcmp(argv[optind], "server") == 0)
        server(&ep);
    else
        client(&ep);
    vppcom_app_destroy();
    return 0;
}
