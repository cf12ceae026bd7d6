/* synflood.c - SYNs from made-up addresses at a given rate, for tests in a network namespace of their own
 * usage: synflood DST PORT SRC-NET RATE SECONDS: DST and SRC-NET (its first half) of one family; sources and sequence numbers are
 * random. Prints how many were sent. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, MAX_SECONDS = 30, MAX_RATE = 200000, TCP_LEN = 24, FRAME_MAX = 40 + TCP_LEN };

struct flood {
    int family, fd;
    uint16_t port;
    uint8_t src[16], dst[16];
    uint64_t rng;
    uint8_t frame[BATCH][FRAME_MAX];
    unsigned len;
};

static uint64_t next_random(struct flood *f)
{
    f->rng ^= f->rng << 13;
    f->rng ^= f->rng >> 7;
    f->rng ^= f->rng << 17;
    return f->rng;
}

static uint32_t sum16(const uint8_t *b, size_t n, uint32_t s)
{
    for (size_t i = 0; i + 1 < n; i += 2)
        s += (uint32_t)b[i] << 8 | b[i + 1];
    return s;
}

static void put_tcp(struct flood *f, uint8_t *t, const uint8_t *src, const uint8_t *dst, size_t addr_len)
{
    struct tcphdr h = { .source = htons((uint16_t)(1024 + next_random(f) % 60000)), .dest = htons(f->port),
                        .seq = htonl((uint32_t)next_random(f)), .doff = TCP_LEN / 4, .syn = 1, .window = htons(64240) };
    static const uint8_t mss[4] = { 2, 4, 1460 >> 8, 1460 & 255 };
    uint32_t s = sum16(src, addr_len, IPPROTO_TCP + TCP_LEN);

    memcpy(t, &h, sizeof(h));
    memcpy(t + sizeof(h), mss, sizeof(mss));
    s = sum16(t, TCP_LEN, sum16(dst, addr_len, s));
    s = (s & 0xffff) + (s >> 16);
    s = (s & 0xffff) + (s >> 16);
    h.check = htons((uint16_t)~s);
    memcpy(t, &h, sizeof(h));
}

static void make_frame(struct flood *f, uint8_t *p)
{
    uint64_t r = next_random(f);
    uint8_t src[16];

    memcpy(src, f->src, sizeof(src));
    if (f->family == AF_INET) {
        struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP, .tot_len = htons(20 + TCP_LEN) };
        memcpy(src + 2, &r, 2);
        memcpy(&ip.saddr, src, 4);
        memcpy(&ip.daddr, f->dst, 4);
        memcpy(p, &ip, sizeof(ip));
        put_tcp(f, p + sizeof(ip), src, f->dst, 4);
    } else {
        struct ip6_hdr ip = { .ip6_flow = htonl(6u << 28), .ip6_plen = htons(TCP_LEN), .ip6_nxt = IPPROTO_TCP, .ip6_hlim = 64 };
        memcpy(src + 8, &r, 8);
        memcpy(&ip.ip6_src, src, 16);
        memcpy(&ip.ip6_dst, f->dst, 16);
        memcpy(p, &ip, sizeof(ip));
        put_tcp(f, p + sizeof(ip), src, f->dst, 16);
    }
}

/* What the interface has no room for now is lost, as on a wire. */
static int send_batch(struct flood *f, unsigned n)
{
    struct sockaddr_in to4 = { .sin_family = AF_INET };
    struct sockaddr_in6 to6 = { .sin6_family = AF_INET6 };
    struct mmsghdr m[BATCH];
    struct iovec iov[BATCH];

    memcpy(&to4.sin_addr, f->dst, 4);
    memcpy(&to6.sin6_addr, f->dst, 16);
    memset(m, 0, sizeof(m));
    for (unsigned i = 0; i < n; i++) {
        make_frame(f, f->frame[i]);
        iov[i] = (struct iovec){ f->frame[i], f->len };
        m[i].msg_hdr.msg_iov = &iov[i];
        m[i].msg_hdr.msg_iovlen = 1;
        m[i].msg_hdr.msg_name = f->family == AF_INET ? (void *)&to4 : (void *)&to6;
        m[i].msg_hdr.msg_namelen = f->family == AF_INET ? sizeof(to4) : sizeof(to6);
    }
    int sent = sendmmsg(f->fd, m, n, 0);
    if (sent < 0 && errno != ENOBUFS && errno != EAGAIN && errno != EINTR) {
        perror("synflood: sendmmsg");
        exit(1);
    }
    return sent < 0 ? 0 : sent;
}

static uint64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

int main(int argc, char **argv)
{
    static struct flood f;
    long rate, seconds;
    uint64_t start, sent = 0, tried = 0;

    if (argc != 6) {
        fprintf(stderr, "usage: synflood DST PORT SRC-NET RATE SECONDS\n");
        return 2;
    }
    f.family = strchr(argv[1], ':') ? AF_INET6 : AF_INET;
    f.port = (uint16_t)atoi(argv[2]);
    rate = atol(argv[4]);
    seconds = atol(argv[5]);
    if (inet_pton(f.family, argv[1], f.dst) != 1 || inet_pton(f.family, argv[3], f.src) != 1 || f.port == 0 || rate < 1 ||
        rate > MAX_RATE || seconds < 1 || seconds > MAX_SECONDS) {
        fprintf(stderr, "synflood: addresses of one family, a port, 1 to %d a second, 1 to %d seconds\n", MAX_RATE, MAX_SECONDS);
        return 2;
    }
    f.len = (f.family == AF_INET ? 20 : 40) + TCP_LEN;
    f.fd = socket(f.family, SOCK_RAW, IPPROTO_RAW); /* we write the IP header */
    if (f.fd < 0 || getrandom(&f.rng, sizeof(f.rng), 0) != sizeof(f.rng)) {
        perror("synflood: raw socket");
        return 1;
    }
    f.rng |= 1;
    start = now_ns();
    for (;;) {
        uint64_t elapsed = now_ns() - start, due = elapsed * (uint64_t)rate / 1000000000u;

        if (elapsed >= (uint64_t)seconds * 1000000000u)
            break;
        if (due <= tried) {
            nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
            continue;
        }
        unsigned n = due - tried < BATCH ? (unsigned)(due - tried) : BATCH;
        sent += (uint64_t)send_batch(&f, n);
        tried += n;
    }
    printf("%llu\n", (unsigned long long)sent);
    close(f.fd);
    return 0;
}
