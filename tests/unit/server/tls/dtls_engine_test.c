/* dtls_engine_test.c - two ends of DTLS, datagram by datagram: when a flight goes again, and records that cannot be opened (RFC 6347, RFC 9325) */
#include <criterion/criterion.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include "server/tls/tls.h"
#include "server/tls/tls_openssl.h"
#include "tests/unit/server/tls/engine_open.h"

enum { QUEUE = 32, LARGEST = 2048, SECOND = 1000000 };

struct end {
    uint8_t data[QUEUE][LARGEST]; /* what came for it */
    uint32_t len[QUEUE], at, n;
    struct end *other;
    struct tls_session *s;
    uint64_t now_us;
};
static struct tls_config cfg;
static struct tls_profile server, client;
static struct tls_openssl *o;
static struct end c, s;
static const struct tls_engine *const e = &tls_openssl_engine;

static int io_read(void *arg, void *buf, size_t len)
{
    struct end *x = arg;
    uint32_t n;

    if (x->at == x->n)
        return 0;
    n = hs_min_u32((uint32_t)len, x->len[x->at]);
    memcpy(buf, x->data[x->at++], n);
    if (x->at == x->n)
        x->at = x->n = 0;
    return (int)n;
}

static void put(struct end *to, const void *buf, size_t len)
{
    cr_assert(to->n < QUEUE && len <= LARGEST);
    memcpy(to->data[to->n], buf, len);
    to->len[to->n++] = (uint32_t)len;
}

static int io_write(void *arg, const void *buf, size_t len)
{
    put(((struct end *)arg)->other, buf, len);
    return (int)len;
}

static uint64_t io_now(void *arg) { return ((struct end *)arg)->now_us; }

static unsigned io_mtu(void *arg)
{
    (void)arg;
    return 1400;
}

static void end_new(struct end *x, struct end *other, bool is_server)
{
    struct tls_io io = { x, io_read, io_write, io_now, io_mtu, NULL };
    struct ip_endpoint peer = { 0 };

    memset(x, 0, sizeof(*x));
    x->other = other;
    cr_assert_eq(e->conn_new(o, is_server, is_server ? &server : &client, &peer, &io, &x->s), 0);
}

static void make(void)
{
    cfg = (struct tls_config){ .min_version = TLS_V1_2, .ticket_lifetime_us = 7200ull * SECOND };
    o = engine_open(&cfg, &server, &client);
    end_new(&c, &s, false);
    end_new(&s, &c, true);
}

static void clean(void)
{
    e->conn_free(c.s);
    e->conn_free(s.s);
    e->pair_put(server.pairs[0]);
    e->close(o);
}

TestSuite(dtls_engine, .init = make, .fini = clean, .timeout = 600);

static void shake(void)
{
    enum tls_status a = TLS_WANT_READ, b = TLS_WANT_READ;

    for (unsigned i = 0; i < 10 && (a != TLS_DONE || b != TLS_DONE); i++) {
        a = a == TLS_DONE ? a : e->handshake(c.s);
        b = b == TLS_DONE ? b : e->handshake(s.s);
    }
    cr_assert(a == TLS_DONE && b == TLS_DONE, "%d %d", a, b);
}

/* RFC 6347 s4.2.4.1: a second, twice as long each time, a minute at most; by the clock that is given, whatever the wall's says. */
Test(dtls_engine, flights_go_again_by_the_clock)
{
    uint64_t wait = SECOND;

    c.now_us = 12345;
    cr_assert_eq(e->timeout_us(c.s), -1);
    cr_assert_eq(e->handshake(c.s), TLS_WANT_READ);
    for (unsigned i = 0; i < 8; i++) {
        cr_assert_eq(e->timeout_us(c.s), (int64_t)wait);
        s.at = s.n = 0; /* lost */
        c.now_us += wait - 1;
        cr_assert_eq(e->on_timeout(c.s), TLS_WANT_READ);
        cr_assert(e->handshake(c.s) == TLS_WANT_READ && s.n == 0, "too early");
        c.now_us++;
        cr_assert_eq(e->timeout_us(c.s), 0);
        cr_assert(e->handshake(c.s) == TLS_WANT_READ && s.n == 0, "not by itself");
        cr_assert_eq(e->on_timeout(c.s), TLS_WANT_READ);
        cr_assert_gt(s.n, 0);
        wait = wait < 32 * SECOND ? 2 * wait : 60 * SECOND;
    }
    shake();
    cr_assert_eq(e->timeout_us(c.s), -1);
}

/* A flight that goes again is in one datagram, as it was the first time: a path that reorders must not part its ChangeCipherSpec from what belongs
 * in front of it, by the timer's doing or for a peer that asks once more. More than every path takes is in several. */
Test(dtls_engine, flights_that_go_again_are_whole)
{
    enum { EVERY_PATH = 1280 - 48 };
    uint8_t b[LARGEST];
    size_t n;

    cr_assert_eq(e->handshake(c.s), TLS_WANT_READ);
    cr_assert_eq(e->handshake(s.s), TLS_WANT_READ);
    cr_assert_eq(e->handshake(c.s), TLS_WANT_READ);
    cr_assert_eq(s.n, 1);
    s.at = s.n = 0; /* lost: key exchange, change of ciphers, Finished */
    c.now_us += SECOND;
    cr_assert_eq(e->on_timeout(c.s), TLS_WANT_READ);
    cr_assert_eq(s.n, 1, "%u datagrams", s.n);
    cr_assert_eq(e->handshake(s.s), TLS_DONE);
    cr_assert_eq(c.n, 1);
    c.at = c.n = 0; /* lost: ticket, change of ciphers, Finished */
    c.now_us += 2 * SECOND;
    cr_assert_eq(e->on_timeout(c.s), TLS_WANT_READ);
    cr_assert_eq(s.n, 1, "%u datagrams", s.n);
    cr_assert_eq(e->read(s.s, b, sizeof(b), &n), TLS_WANT_READ);
    cr_assert_eq(c.n, 1, "%u datagrams", c.n);
    cr_assert_leq(c.len[0], EVERY_PATH);
    cr_assert_eq(e->handshake(c.s), TLS_DONE);
}

/* The server's first one has its certificates: larger than every path takes, each message once, in their order. */
Test(dtls_engine, a_long_flight_goes_again_in_parts)
{
    enum { EVERY_PATH = 1280 - 48, HELLO_DONE = 14 };
    uint32_t first = 0, again = 0;

    cr_assert_eq(e->handshake(c.s), TLS_WANT_READ);
    cr_assert_eq(e->handshake(s.s), TLS_WANT_READ);
    for (uint32_t i = c.at; i < c.n; i++)
        first += c.len[i];
    c.at = c.n = 0; /* lost */
    s.now_us += SECOND;
    cr_assert_eq(e->on_timeout(s.s), TLS_WANT_READ);
    for (uint32_t i = c.at; i < c.n; i++) {
        cr_assert_leq(c.len[i], EVERY_PATH);
        again += c.len[i];
    }
    cr_assert_eq(again, first, "%u, then %u", first, again);
    shake();
}

/* Records of the keys to come, in front of the change of ciphers: somebody's, who would have them all kept, each in a buffer of 17 KB. */
Test(dtls_engine, early_records_are_not_kept)
{
    static struct end flight;
    uint8_t early[13 + 40] = { 22, 0xfe, 0xfd, 0, 1, [12] = 40 };
    struct mallinfo2 before, after;

    cr_assert_eq(e->handshake(c.s), TLS_WANT_READ);
    cr_assert_eq(e->handshake(s.s), TLS_WANT_READ);
    cr_assert_eq(e->handshake(c.s), TLS_WANT_READ);
    flight = s;
    s.at = s.n = 0;
    before = mallinfo2();
    for (unsigned i = 0; i < 200; i++) {
        early[10] = (uint8_t)(100 + i); /* its number */
        put(&s, early, sizeof(early));
        cr_assert_eq(e->handshake(s.s), TLS_WANT_READ);
        cr_assert_eq(s.n, 0, "nothing is left");
    }
    after = mallinfo2();
    cr_assert_lt(after.uordblks + after.hblkhd, before.uordblks + before.hblkhd + 50000);
    memcpy(s.data, flight.data, sizeof(s.data));
    memcpy(s.len, flight.len, sizeof(s.len));
    s.n = flight.n;
    shake();
}

static void send_text(struct end *from)
{
    size_t n;

    cr_assert_eq(e->write(from->s, "text", 4, &n), TLS_DONE);
}

static enum tls_status get_text(struct end *to)
{
    uint8_t b[LARGEST];
    size_t n = 0;
    enum tls_status st = e->read(to->s, b, sizeof(b), &n);

    cr_assert(st != TLS_DONE || (n == 4 && memcmp(b, "text", 4) == 0));
    return st;
}

/* RFC 9325 s4.4: a receiver that could not open so many records closes. */
Test(dtls_engine, unopened_records_are_limited)
{
    struct tls_info info;

    shake();
    o->unopened_max = 5;
    for (unsigned i = 0; i < 5; i++) {
        send_text(&c);
        put(&s, s.data[s.n - 1], s.len[s.n - 1]);
        if (i % 2) /* a forged one first, or the second time the same */
            s.data[s.n - 2][s.len[s.n - 2] - 1] ^= 1;
        cr_assert_eq(get_text(&s), TLS_DONE);
        cr_assert_eq(get_text(&s), TLS_WANT_READ);
        e->info(s.s, &info);
        cr_assert_eq(info.n_unopened, i + 1, "%lu", (unsigned long)info.n_unopened);
    }
    send_text(&c);
    cr_assert_eq(get_text(&s), TLS_FAILED);
    cr_assert_eq(e->error_code(s.s), -EPROTO);
}

Test(dtls_engine, old_keys_are_told)
{
    o->records_a_key = 5;
    shake();
    for (unsigned i = 0; i <= 5; i++) {
        cr_assert_not(e->key_is_old(c.s));
        send_text(&c);
        cr_assert_eq(get_text(&s), TLS_DONE);
    }
    cr_assert(e->key_is_old(c.s));
}
