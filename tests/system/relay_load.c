/* relay_load.c - a stream over plain sockets, each byte checked, with the rate at which it arrived
 *
 *   relay_load server ADDRESS PORT                          prints "ready"; serves connections one after another
 *   relay_load client ADDRESS PORT tx|rx SECONDS [CC [RATE]]  sends or receives for so long; CC = TCP_CONGESTION of both sides
 *                                                           RATE = SO_MAX_PACING_RATE of the client, bytes a second
 *
 * The client prints "bytes N bits_per_s N": of what the receiver read until SECONDS after its first byte. Exit 0 only if each byte was
 * right and all arrived. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <linux/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 65536, ANSWER_MAX_US = 9000000 };

struct hello {
    uint32_t ms;
    uint8_t is_server_sending;
    char cc[15];
};
struct result {
    uint64_t bytes, bits_per_s;
};

static void __attribute__((noreturn)) die(const char *what)
{
    fprintf(stderr, "relay_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t now_us(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

/* Eight bytes for each position, so that a stream that slips is seen at once. */
static void pattern(uint8_t *to, uint64_t pos, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        uint64_t x = ((pos + i) / 8 + 1) * 0x9e3779b97f4a7c15ull;

        to[i] = (uint8_t)((x ^ x >> 29) >> ((pos + i) % 8 * 8));
    }
}

static void read_all(int fd, void *to, size_t len)
{
    for (size_t got = 0; got < len;) {
        ssize_t n = recv(fd, (uint8_t *)to + got, len - got, 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            die(n ? "recv" : "the peer has gone");
        got += (size_t)n;
    }
}

static void write_all(int fd, const void *from, size_t len)
{
    for (size_t done = 0; done < len;) {
        ssize_t n = send(fd, (const uint8_t *)from + done, len - done, MSG_NOSIGNAL);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("send");
        done += (size_t)n;
    }
}

static uint64_t send_for(int fd, uint64_t us)
{
    static uint8_t buf[CHUNK];
    uint64_t end = now_us() + us, pos = 0;

    while (now_us() < end) {
        pattern(buf, pos, CHUNK);
        write_all(fd, buf, CHUNK);
        pos += CHUNK;
    }
    if (shutdown(fd, SHUT_WR) < 0)
        die("shutdown");
    return pos;
}

static struct result receive_for(int fd, uint64_t us)
{
    static uint8_t buf[CHUNK], want[CHUNK];
    uint64_t begun = 0, now, pos = 0, in_time = 0, last = 0;

    for (;;) {
        ssize_t n = recv(fd, buf, sizeof(buf), 0);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            die("recv");
        if (n == 0)
            break;
        pattern(want, pos, (uint32_t)n);
        if (memcmp(buf, want, (size_t)n) != 0) {
            fprintf(stderr, "relay_load: a wrong byte after %lu\n", pos);
            exit(1);
        }
        pos += (uint64_t)n;
        now = now_us();
        if (!begun)
            begun = now;
        if (now - begun <= us) {
            in_time = pos;
            last = now;
        }
    }
    last = last - begun > us / 2 ? us : last - begun; /* a sender that ended early */
    return (struct result){ pos, last ? in_time * 8 * 1000000 / last : 0 };
}

static void set_cc(int fd, const char *cc)
{
    if (cc[0] && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, cc, (socklen_t)strlen(cc)) < 0)
        die(cc);
}

static void check_cc(int fd, const char *cc)
{
    uint64_t begun = now_us();
    char got[16] = "";
    socklen_t len = sizeof(got);

    if (cc[0] && (getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, got, &len) < 0 || strncmp(got, cc, sizeof(got)) != 0)) {
        fprintf(stderr, "relay_load: TCP_CONGESTION is '%.16s', not '%s'\n", got, cc);
        exit(1);
    }
    if (now_us() - begun > ANSWER_MAX_US) { /* the library answers for a server that does not, after ten seconds */
        fprintf(stderr, "relay_load: no answer from the server\n");
        exit(1);
    }
}

static void serve(int fd)
{
    struct hello h;

    read_all(fd, &h, sizeof(h));
    h.cc[sizeof(h.cc) - 1] = '\0';
    if (h.is_server_sending) {
        struct result r;
        uint64_t sent;

        set_cc(fd, h.cc);
        sent = send_for(fd, (uint64_t)h.ms * 1000);

        read_all(fd, &r, sizeof(r));
        if (r.bytes != sent)
            die("bytes are missing");
    } else {
        struct result r = receive_for(fd, (uint64_t)h.ms * 1000);

        write_all(fd, &r, sizeof(r));
    }
}

static bool info_is(bool right, const char *what, uint64_t a, uint64_t b)
{
    if (!right)
        fprintf(stderr, "relay_load: TCP_INFO: %s: %lu, %lu\n", what, a, b);
    return right;
}

/* What TCP_INFO must say when all that was sent has arrived, over the stack as over the kernel. */
static void check_info(int fd, uint64_t bytes, uint64_t us)
{
    struct tcp_info ti = { 0 };
    socklen_t len = sizeof(ti);
    uint64_t first, segments;
    bool right;

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &ti, &len) < 0)
        die("TCP_INFO");
    if (len < sizeof(ti))
        return; /* a kernel of before */
    first = ti.tcpi_bytes_sent - ti.tcpi_bytes_retrans;
    segments = ti.tcpi_data_segs_out - ti.tcpi_total_retrans;
    right = info_is(first == bytes, "bytes sent for the first time", first, bytes);
    right &= info_is(ti.tcpi_bytes_acked - bytes <= 2, "bytes acknowledged", ti.tcpi_bytes_acked, bytes);
    right &= info_is((ti.tcpi_total_retrans != 0) == (ti.tcpi_bytes_retrans != 0), "sent again", ti.tcpi_total_retrans, ti.tcpi_bytes_retrans);
    right &= info_is(ti.tcpi_delivered + segments / 50 >= segments && ti.tcpi_delivered <= segments + segments / 50 + 4, "segments delivered",
                     ti.tcpi_delivered, segments);
    right &= info_is(ti.tcpi_busy_time >= us / 2 && ti.tcpi_busy_time <= 2 * us + 10000000, "microseconds busy", ti.tcpi_busy_time, us);
    right &= info_is(ti.tcpi_rwnd_limited + ti.tcpi_sndbuf_limited <= ti.tcpi_busy_time, "microseconds limited",
                     ti.tcpi_rwnd_limited + ti.tcpi_sndbuf_limited, ti.tcpi_busy_time);
    right &= info_is(ti.tcpi_delivery_rate != 0, "delivery rate", ti.tcpi_delivery_rate, bytes * 1000000 / us);
    right &= info_is(ti.tcpi_snd_wnd != 0 && ti.tcpi_unacked <= 1 && ti.tcpi_notsent_bytes == 0, "in flight", ti.tcpi_unacked,
                     ti.tcpi_notsent_bytes);
    if (!right)
        exit(1);
}

static int server(const struct addrinfo *ai)
{
    int one = 1, s = socket(ai->ai_family, SOCK_STREAM, 0);

    if (s < 0 || setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 || bind(s, ai->ai_addr, ai->ai_addrlen) < 0 ||
        listen(s, 16) < 0)
        die("listen");
    printf("ready\n");
    fflush(stdout);
    for (;;) {
        int fd = accept(s, NULL, NULL);

        if (fd < 0)
            die("accept");
        serve(fd);
        close(fd);
    }
}

static void set_rate(int fd, const char *rate)
{
    unsigned int v = (unsigned int)strtoul(rate, NULL, 10), got = 0;
    socklen_t len = sizeof(got);

    if (setsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &v, sizeof(v)) < 0 ||
        getsockopt(fd, SOL_SOCKET, SO_MAX_PACING_RATE, &got, &len) < 0)
        die("SO_MAX_PACING_RATE");
    if (got != v)
        die("SO_MAX_PACING_RATE is another than was set");
}

static int client(const struct addrinfo *ai, const char *mode, const char *seconds, const char *cc, const char *rate)
{
    struct hello h = { .ms = (uint32_t)(strtod(seconds, NULL) * 1000), .is_server_sending = mode[0] == 'r' };
    int fd = socket(ai->ai_family, SOCK_STREAM, 0);
    struct result r;

    snprintf(h.cc, sizeof(h.cc), "%s", cc);
    if (fd < 0)
        die("socket");
    set_cc(fd, cc);
    if (rate)
        set_rate(fd, rate);
    if (connect(fd, ai->ai_addr, ai->ai_addrlen) < 0)
        die("connect");
    check_cc(fd, cc);
    write_all(fd, &h, sizeof(h));
    if (h.is_server_sending) {
        r = receive_for(fd, (uint64_t)h.ms * 1000);
        write_all(fd, &r, sizeof(r));
    } else {
        uint64_t begun = now_us(), sent = send_for(fd, (uint64_t)h.ms * 1000);

        read_all(fd, &r, sizeof(r));
        if (r.bytes != sent)
            die("bytes are missing");
        check_info(fd, sent + sizeof(h), now_us() - begun);
    }
    close(fd);
    printf("bytes %lu bits_per_s %lu\n", r.bytes, r.bits_per_s);
    return 0;
}

int main(int argc, char **argv)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV }, *ai;

    if (argc < 4 || getaddrinfo(argv[2], argv[3], &hints, &ai) != 0) {
        fprintf(stderr, "usage: relay_load server ADDRESS PORT | client ADDRESS PORT tx|rx SECONDS [CC [RATE]]\n");
        return 2;
    }
    if (strcmp(argv[1], "server") == 0)
        return server(ai);
    return argc >= 6 ? client(ai, argv[4], argv[5], argc > 6 ? argv[6] : "", argc > 7 ? argv[7] : NULL) : 2;
}
