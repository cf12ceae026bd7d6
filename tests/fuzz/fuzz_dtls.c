/* fuzz_dtls.c - the DTLS engine with arbitrary datagrams: at the door, amid handshakes, after them
 *
 * The first octet says what the rest is: datagrams to a door; what becomes of each datagram between a good client and a good server: lost,
 * doubled, swapped, changed, followed by noise. Nothing may fault or write beyond its buffer; a door lets nobody in who has not brought its
 * cookie back; a message that arrives is one that was sent, and arrives once. Time passes by jumps, so that flights are sent again. With
 * libFuzzer (HS_LIBFUZZER) main() is the library's; without it
 *
 *   fuzz_dtls RUNS SEED    makes inputs from a seed; prints how many connections opened, and how many messages of how many arrived. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <openssl/err.h>
#include "common/splitmix.h"
#include "server/tls/tls.h"
#include "server/tls/tls_engine.h"
#include "tests/fuzz/fuzz_pair.h"

enum { QUEUE = 64, DGRAM = 20000, STEPS = 60, MESSAGES = 32, GUARD = 64, MTU = 1400 };

struct queue {
    struct { uint8_t *data; size_t len; } d[QUEUE];
    unsigned n;
};
struct end {
    struct queue in, out;
    struct tls_session *s;
};
struct script {                  /* the input, octet by octet; zero at its end */
    const uint8_t *p;
    size_t len, at;
};
static struct {
    void *engine;
    struct tls_config cfg;
    struct tls_profile server, client;
    struct fuzz_pair pair;
    uint64_t now_us;
    unsigned long opened, failed, sent, got, greeted;
} g;

static const struct ip_endpoint here = { .port = { 1 } }, there = { .port = { 2 } };

/* OpenSSL asks it when to send a flight again. */
int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    uint64_t us = 1000000000000ull + g.now_us;

    (void)zone;
    *tv = (struct timeval){ .tv_sec = (time_t)(us / 1000000), .tv_usec = (suseconds_t)(us % 1000000) };
    return 0;
}

static void wrong(const char *what)
{
    fprintf(stderr, "fuzz_dtls: %s\n", what);
    abort();
}

static uint8_t next(struct script *i) { return i->at < i->len ? i->p[i->at++] : 0; }

static void begin(void)
{
    const struct tls_engine *e = &tls_openssl_engine;
    char err[256] = "";

    if (g.engine)
        return;
    g.cfg = (struct tls_config){ .min_version = TLS_V1_2, .ticket_lifetime_us = 7200ull * 1000000 };
    g.server.verify = g.client.verify = SVM_TLS_VERIFY_NONE;
    g.server.n_pairs = 1;
    snprintf(g.client.hostname, sizeof(g.client.hostname), "fuzz");
    if (!fuzz_make_pair(&g.pair) || e->open(&g.cfg, err, sizeof(err), &g.engine) != 0 ||
        e->pair_new(g.engine, g.pair.cert, g.pair.cert_len, g.pair.key, g.pair.key_len, err, sizeof(err), &g.server.pairs[0]) != 0)
        wrong("no engine");
}

/* ---- datagrams ---- */

static void put(struct queue *q, const void *data, size_t len)
{
    uint8_t *copy = q->n < QUEUE ? malloc(len ? len : 1) : NULL;

    if (!copy)
        return;
    memcpy(copy, data, len);
    q->d[q->n].data = copy;
    q->d[q->n++].len = len;
}

static void drop(struct queue *q, unsigned at)
{
    free(q->d[at].data);
    q->n--;
    memmove(&q->d[at], &q->d[at + 1], (q->n - at) * sizeof(q->d[0]));
}

static void empty(struct queue *q)
{
    while (q->n)
        drop(q, 0);
}

static int io_read(void *arg, void *buf, size_t len)
{
    struct end *e = arg;
    size_t n;

    while (e->in.n && e->in.d[0].len == 0)
        drop(&e->in, 0);
    if (e->in.n == 0)
        return 0;
    n = e->in.d[0].len < len ? e->in.d[0].len : len;
    memcpy(buf, e->in.d[0].data, n);
    drop(&e->in, 0);
    return (int)n;
}

static int io_write(void *arg, const void *buf, size_t len)
{
    struct end *e = arg;

    if (len > DGRAM)
        wrong("a datagram that is too large");
    put(&e->out, buf, len);
    return (int)len;
}

static uint64_t io_now(void *arg)
{
    static uint64_t now; /* each look at it is a while after the one before, so that flights go again */

    (void)arg;
    return now += 300000;
}

static unsigned io_mtu(void *arg)
{
    (void)arg;
    return MTU;
}

static void end_new(struct end *e, bool is_server)
{
    struct tls_io io = { e, io_read, io_write, io_now, io_mtu, NULL };

    if (tls_openssl_engine.conn_new(g.engine, is_server, is_server ? &g.server : &g.client, is_server ? &there : &here, &io, &e->s) != 0)
        wrong("no connection");
}

static void end_free(struct end *e)
{
    tls_openssl_engine.conn_free(e->s);
    empty(&e->in);
    empty(&e->out);
}

static void noise(struct script *i, struct queue *to)
{
    uint8_t b[256];
    size_t len = next(i);

    for (size_t k = 0; k < len; k++)
        b[k] = next(i);
    if (len > 13 && next(i) & 1) /* what begins as a record gets further */
        memcpy(b, "\026\376\375", 3);
    put(to, b, len);
}

/* What one end has written goes to the other, but for what happens to it on its way. */
static void carry(struct script *i, struct queue *from, struct queue *to)
{
    for (; from->n; drop(from, 0)) {
        uint8_t *d = from->d[0].data;
        size_t len = from->d[0].len;
        uint8_t how = next(i);

        if (how % 16 == 1)
            continue;
        if (how % 16 == 2)
            put(to, d, len);
        if (how % 16 == 3 && from->n > 1) {
            put(to, from->d[1].data, from->d[1].len);
            drop(from, 1);
        }
        if (how % 16 == 4 && len)
            d[(size_t)next(i) * 8 % len] ^= (uint8_t)(1 + next(i) % 255);
        if (how % 16 == 5 && len)
            len = (size_t)next(i) * 8 % len;
        if (how % 16 == 6)
            noise(i, to);
        put(to, d, len);
    }
}

/* ---- a door ---- */

static bool greet(struct end *door)
{
    g.greeted++;
    return tls_openssl_engine.greet(door->s, &here, &there);
}

static void at_the_door(struct script *i)
{
    struct end door = { .s = NULL }, c = { .s = NULL };

    end_new(&door, true);
    end_new(&c, false);
    (void)tls_openssl_engine.handshake(c.s);
    if (c.out.n && next(i) & 1) { /* a good ClientHello with changes; without a cookie nobody gets in */
        uint8_t *d = c.out.d[0].data;
        for (unsigned k = next(i) % 4; k > 0; k--)
            d[next(i) % c.out.d[0].len] ^= next(i);
        put(&door.in, d, c.out.d[0].len);
        if (greet(&door))
            wrong("somebody got in without a cookie");
        empty(&door.in);
    }
    for (unsigned n = 0; n < 8; n++) {
        noise(i, &door.in);
        if (greet(&door))
            wrong("noise got in");
        empty(&door.in);
    }
    if (ERR_peek_error())
        wrong("an error is left for the next connection");
    end_free(&door);
    end_free(&c);
}

/* ---- a client and a server ---- */

static enum tls_status shake(struct end *e, enum tls_status st)
{
    if (st == TLS_DONE || st == TLS_FAILED)
        return st;
    if (tls_openssl_engine.timeout_us(e->s) == 0 && tls_openssl_engine.on_timeout(e->s) == TLS_FAILED)
        return TLS_FAILED;
    return tls_openssl_engine.handshake(e->s);
}

/* Messages: one octet of number, as many of its fill as follow from it. False: the connection has ended. */
static bool read_all(struct end *e, uint64_t sent, uint64_t *seen)
{
    static uint8_t buf[TLS_RECORD_MAX + GUARD];
    size_t n;
    enum tls_status st;

    for (;;) {
        memset(buf + TLS_RECORD_MAX, 0xa5, GUARD);
        n = 0;
        st = tls_openssl_engine.read(e->s, buf, TLS_RECORD_MAX, &n);
        for (unsigned k = 0; k < GUARD; k++)
            if (buf[TLS_RECORD_MAX + k] != 0xa5)
                wrong("bytes beyond the buffer");
        if (st != TLS_DONE)
            return st == TLS_WANT_READ;
        if (n != 1 + (size_t)buf[0] * 40 || buf[0] >= MESSAGES || !(sent & 1ull << buf[0]) || *seen & 1ull << buf[0])
            wrong("a message that was not sent, or came twice");
        for (size_t k = 1; k < n; k++)
            if (buf[k] != (uint8_t)(buf[0] + k))
                wrong("a message was changed");
        *seen |= 1ull << buf[0];
        g.got++;
    }
}

static void talk(struct script *i, struct end *c, struct end *s)
{
    uint64_t sent = 0, seen = 0;
    uint8_t m[1 + MESSAGES * 40];
    size_t n = 0;

    for (uint8_t k = 0; k < MESSAGES; k++) {
        m[0] = k;
        for (size_t j = 1; j < 1 + (size_t)k * 40; j++)
            m[j] = (uint8_t)(k + j);
        if (tls_openssl_engine.write(c->s, m, 1 + (size_t)k * 40, &n) != TLS_DONE)
            break;
        sent |= 1ull << k;
        g.sent++;
        carry(i, &c->out, &s->in);
        if (!read_all(s, sent, &seen))
            break;
        carry(i, &s->out, &c->in);
    }
    (void)tls_openssl_engine.close_notify(c->s);
    carry(i, &c->out, &s->in);
    (void)read_all(s, sent, &seen);
}

static void both(struct script *i)
{
    struct end c = { .s = NULL }, s = { .s = NULL };
    enum tls_status a = TLS_WANT_READ, b = TLS_WANT_READ;
    bool is_in = false;

    end_new(&c, false);
    end_new(&s, true);
    for (unsigned n = 0; n < STEPS && (a != TLS_DONE || b != TLS_DONE) && a != TLS_FAILED && b != TLS_FAILED; n++) {
        a = shake(&c, a);
        carry(i, &c.out, &s.in);
        while (!is_in && s.in.n)
            is_in = greet(&s);
        if (is_in)
            b = shake(&s, b);
        carry(i, &s.out, &c.in);
        if (!c.in.n && !s.in.n)
            g.now_us += 1000000;
    }
    if (a == TLS_DONE && b == TLS_DONE) {
        g.opened++;
        talk(i, &c, &s);
    } else {
        g.failed++;
    }
    end_free(&c);
    end_free(&s);
    ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct script i = { data, len, 0 };

    begin();
    if (next(&i) & 1)
        at_the_door(&i);
    else
        both(&i);
    return 0;
}

#ifndef HS_LIBFUZZER
int main(int argc, char **argv)
{
    static uint8_t buf[4096];
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    for (unsigned long n = 0; n < runs; n++) {
        size_t len = 1 + hs_splitmix(&seed) % sizeof(buf);
        for (size_t k = 0; k < len; k++)
            buf[k] = (uint8_t)hs_splitmix(&seed);
        buf[0] = (uint8_t)n;
        LLVMFuzzerTestOneInput(buf, len);
    }
    printf("%lu opened, %lu failed, %lu greeted, %lu of %lu messages\n", g.opened, g.failed, g.greeted, g.got, g.sent);
    tls_openssl_engine.pair_put(g.server.pairs[0]);
    tls_openssl_engine.close(g.engine);
    return g.opened < runs / 10 || g.got < g.sent / 4;
}
#endif
