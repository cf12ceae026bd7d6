/* fuzz_tls.c - the TLS engine with arbitrary input: handshakes, records, certificates
 *
 * The first octet says what the rest is: a stream in place of the peer's, to a server or to a client; changes to what a good peer sends,
 * amid the handshake or after it; a certificate and a key. Nothing may fault or write beyond its buffer, each failure has a reason, and
 * what an open connection yields is what was sent, or nothing. Most ends let the engine work on the pipes in place. With libFuzzer
 * (HS_LIBFUZZER) main() is the library's; without it
 *
 *   fuzz_tls RUNS SEED    makes inputs from a seed; prints how many connections opened and how many failed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include "common/splitmix.h"
#include "server/tls/tls.h"
#include "server/tls/tls_engine.h"
#include "server/tls/tls_openssl.h"
#include "tests/fuzz/fuzz_pair.h"

enum kind { TO_SERVER, TO_CLIENT, HANDSHAKE, OPEN, PEM, KINDS };
enum { PIPE = 1 << 17, STEPS = 64, TEXT = 20000, GUARD = 64 };

struct pipe {
    uint8_t data[PIPE];
    size_t at, len;
    bool ended;
};
struct end {
    struct pipe *in, *out;
    struct tls_session *s;
    size_t most;                 /* bytes a read may give; and where a pipe is torn into pieces */
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
    struct tls_aeads aeads[2];   /* what this CPU is best served by; OpenSSL */
    unsigned long opened, failed, refused, in_place;
} g;

static void wrong(const char *what)
{
    fprintf(stderr, "fuzz_tls: %s\n", what);
    abort();
}

static uint8_t next(struct script *i) { return i->at < i->len ? i->p[i->at++] : 0; }
static unsigned next16(struct script *i)
{
    unsigned a = next(i);

    return a << 8 | next(i);
}

static void begin(void)
{
    const struct tls_engine *e = &tls_openssl_engine;
    char err[256] = "";

    if (g.engine)
        return;
    g.cfg = (struct tls_config){ .min_version = TLS_V1_2, .ticket_lifetime_us = 7200ull * 1000000 };
    if (!fuzz_make_pair(&g.pair))
        wrong("no certificate");
    g.server.verify = g.client.verify = SVM_TLS_VERIFY_NONE;
    g.server.n_pairs = 1;
    memcpy(g.server.alpn, "\002h2\010http/1.1", 12);
    memcpy(g.client.alpn, "\002h2\010http/1.1", 12);
    g.server.alpn_len = g.client.alpn_len = 12;
    snprintf(g.client.hostname, sizeof(g.client.hostname), "fuzz");
    if (e->open(&g.cfg, err, sizeof(err), &g.engine) != 0 ||
        e->pair_new(g.engine, g.pair.cert, g.pair.cert_len, g.pair.key, g.pair.key_len, err, sizeof(err), &g.server.pairs[0]) != 0)
        wrong(err);
    g.aeads[0] = ((struct tls_openssl *)g.engine)->aeads;
    tls_aeads_choose(&g.aeads[1], true);
    ((struct tls_openssl *)g.engine)->records_a_key = 3; /* else nobody lives to see a key updated for its age */
}

/* ---- connections ---- */

static int io_read(void *arg, void *buf, size_t len)
{
    struct end *e = arg;
    size_t n = e->in->len - e->in->at;

    if (n > len)
        n = len;
    if (n > e->most)
        n = e->most;
    if (n == 0)
        return e->in->ended ? -1 : 0;
    memcpy(buf, e->in->data + e->in->at, n);
    e->in->at += n;
    if (e->in->at == e->in->len)
        e->in->at = e->in->len = 0;
    return (int)n;
}

static int io_write(void *arg, const void *buf, size_t len)
{
    struct end *e = arg;
    size_t n = PIPE - e->out->len;

    if (n > len)
        n = len;
    memcpy(e->out->data + e->out->len, buf, n);
    e->out->len += n;
    return (int)n;
}

/* In two pieces, the first of which has e->most bytes at most. */
static int pieces(const struct end *e, uint8_t *data, size_t len, struct iovec *iov)
{
    size_t first = len < e->most ? len : e->most;

    iov[0] = (struct iovec){ data, first };
    iov[1] = (struct iovec){ data + first, len - first };
    return len == 0 ? 0 : len == first ? 1 : 2;
}

static int io_peek(void *arg, uint32_t len, struct iovec iov[4])
{
    const struct end *e = arg;
    size_t n = e->in->len - e->in->at;

    return pieces(e, e->in->data + e->in->at, n < len ? n : len, iov);
}

static void io_drop(void *arg, uint32_t len)
{
    struct end *e = arg;

    if (len > e->in->len - e->in->at)
        wrong("more is dropped than is there");
    e->in->at += len;
    if (e->in->at == e->in->len)
        e->in->at = e->in->len = 0;
}

static bool io_is_ended(void *arg) { return ((const struct end *)arg)->in->ended; }

static int io_reserve(void *arg, uint32_t len, struct iovec iov[2])
{
    const struct end *e = arg;
    size_t n = PIPE - e->out->len;

    return pieces(e, e->out->data + e->out->len, n < len ? n : len, iov);
}

static void io_commit(void *arg, uint32_t len)
{
    struct end *e = arg;

    if (len > PIPE - e->out->len)
        wrong("more is written than there is room for");
    e->out->len += len;
}

static const struct tls_io_in_place place = { io_peek, io_drop, io_is_ended, io_reserve, io_commit };

static void end_new(struct end *e, bool is_server)
{
    struct tls_io io = { e, io_read, io_write, NULL, NULL, e->most % 4 ? &place : NULL };
    struct ip_endpoint peer = { 0 };

    if (tls_openssl_engine.conn_new(g.engine, is_server, is_server ? &g.server : &g.client, &peer, &io, &e->s) != 0)
        wrong("no connection");
}

static void check_failure(const struct end *e)
{
    if (tls_openssl_engine.error_code(e->s) >= 0 || !tls_openssl_engine.error(e->s)[0])
        wrong("a failure without a reason");
    g.failed++;
}

/* Ends have either library under them, whatever the other one has. */
static bool in_place(const struct end *e)
{
    ((struct tls_openssl *)g.engine)->aeads = g.aeads[e->most / 4 % 2];
    return tls_openssl_engine.in_place(e->s);
}

/* Reads what there is; text: what it has to be, or NULL. False: over. */
static bool read_all(struct end *e, const uint8_t *text, size_t text_len, size_t *got)
{
    static uint8_t buf[TLS_RECORD_MAX + GUARD];

    for (;;) {
        size_t n = 0, len = 1 + (*got * 7919) % TLS_RECORD_MAX;
        enum tls_status st;
        memset(buf + len, 0xa5, GUARD);
        if (in_place(e)) {
            struct iovec to[2];
            st = tls_openssl_engine.readv(e->s, to, pieces(e, buf, len, to), &n);
        } else {
            st = tls_openssl_engine.read(e->s, buf, len, &n);
        }
        for (unsigned i = 0; i < GUARD; i++)
            if (buf[len + i] != 0xa5)
                wrong("bytes beyond the buffer");
        if (st == TLS_FAILED)
            check_failure(e);
        if (st != TLS_DONE)
            return st == TLS_WANT_READ || st == TLS_WANT_WRITE;
        if (n > len)
            wrong("a read of too many bytes");
        if (text && (n > text_len - *got || memcmp(buf, text + *got, n) != 0))
            wrong("bytes that nobody has sent");
        *got += n;
    }
}

/* A stream in place of the peer's. */
static void alone(struct script *i, bool is_server)
{
    static struct pipe in, out;
    struct end e = { &in, &out, NULL, 1 + next16(i) };
    enum tls_status st;
    size_t got = 0;

    in.at = out.at = out.len = 0;
    in.len = i->len - i->at < PIPE ? i->len - i->at : PIPE;
    memcpy(in.data, i->p + i->at, in.len);
    in.ended = true;
    end_new(&e, is_server);
    while ((st = tls_openssl_engine.handshake(e.s)) == TLS_WANT_WRITE)
        out.len = 0;
    if (st == TLS_FAILED)
        check_failure(&e);
    else if (st == TLS_DONE)
        read_all(&e, NULL, 0, &got);
    tls_openssl_engine.conn_free(e.s);
}

/* What waits in p gets one change: octets changed, left out, doubled, put in, or the end. */
static void damage(struct script *i, struct pipe *p)
{
    size_t n = p->len - p->at, at, len;
    uint8_t *d = p->data + p->at, how = next(i);

    if (n == 0)
        return;
    at = next16(i) % n;
    len = 1 + next(i) % 64;
    if (len > n - at)
        len = n - at;
    switch (how % 6) {
    case 0:
        break;
    case 1:
        d[at] ^= (uint8_t)(1 + next(i) % 255);
        break;
    case 2:
        memmove(d + at, d + at + len, n - at - len);
        p->len -= len;
        break;
    case 3:
        if (p->len + len > PIPE)
            break;
        memmove(d + at + len, d + at, n - at);
        p->len += len;
        break;
    case 4:
        for (size_t k = 0; k < len; k++)
            d[at + k] = next(i);
        break;
    case 5:
        p->len = p->at + at;
        p->ended = true;
        break;
    }
}

/* 1: both are open; -1: one has failed */
static int shake(struct script *i, struct end *c, struct end *s, bool with_damage)
{
    enum tls_status a = TLS_WANT_READ, b = TLS_WANT_READ;

    for (unsigned n = 0; n < STEPS && (a != TLS_DONE || b != TLS_DONE); n++) {
        if (a != TLS_DONE)
            a = tls_openssl_engine.handshake(c->s);
        if (with_damage)
            damage(i, c->out);
        if (b != TLS_DONE)
            b = tls_openssl_engine.handshake(s->s);
        if (with_damage)
            damage(i, s->out);
        if (a == TLS_FAILED)
            check_failure(c);
        if (b == TLS_FAILED)
            check_failure(s);
        if (a == TLS_FAILED || b == TLS_FAILED)
            return -1;
    }
    return a == TLS_DONE && b == TLS_DONE ? 1 : -1;
}

static enum tls_status write_some(struct end *e, uint8_t *data, size_t len, size_t *n)
{
    struct iovec from[2];

    if (!in_place(e))
        return tls_openssl_engine.write(e->s, data, len, n);
    g.in_place++;
    return tls_openssl_engine.writev(e->s, from, pieces(e, data, len, from), n);
}

static void both(struct script *i, bool damage_handshake)
{
    static struct pipe to_s, to_c;
    static uint8_t text[TEXT];
    struct end c = { &to_c, &to_s, NULL, 1 + next16(i) }, s = { &to_s, &to_c, NULL, 1 + next16(i) };
    size_t got = 0, sent = 0, none = 0;

    to_s.at = to_s.len = to_c.at = to_c.len = 0;
    to_s.ended = to_c.ended = false;
    for (size_t k = 0; k < sizeof(text); k++)
        text[k] = (uint8_t)(k * 31 + (k >> 8));
    end_new(&c, false);
    end_new(&s, true);
    if (shake(i, &c, &s, damage_handshake) == 1) {
        g.opened++;
        (void)read_all(&c, NULL, 0, &none); /* tickets, after which a client works in place */
        for (unsigned n = 0; n < 8 && sent < TEXT; n++) {
            size_t len = 1 + next16(i) % (TEXT - sent), done = 0;
            if (len > TLS_RECORD_MAX)
                len = TLS_RECORD_MAX;
            if (write_some(&c, text + sent, len, &done) != TLS_DONE)
                break;
            sent += done;
            damage(i, &to_s);
            if (!read_all(&s, text, sent, &got))
                break;
        }
        if (next(i) & 1)
            tls_openssl_engine.close_notify(c.s);
        damage(i, &to_s);
        read_all(&s, text, sent, &got);
    }
    tls_openssl_engine.conn_free(c.s);
    tls_openssl_engine.conn_free(s.s);
}

static void pem(struct script *i)
{
    static struct pipe text;
    char err[64];
    struct tls_pair *p = NULL;
    size_t cut;

    text.at = text.len = 0;
    if (next(i) & 1) { /* a good one with changes, or none at all */
        memcpy(text.data, g.pair.cert, g.pair.cert_len);
        memcpy(text.data + g.pair.cert_len, g.pair.key, g.pair.key_len);
        text.len = g.pair.cert_len + g.pair.key_len;
        cut = g.pair.cert_len;
        for (unsigned n = next(i) % 8; n > 0; n--)
            damage(i, &text);
    } else {
        text.len = i->len - i->at < PIPE ? i->len - i->at : PIPE;
        memcpy(text.data, i->p + i->at, text.len);
        cut = text.len / 2;
    }
    if (cut > text.len)
        cut = text.len;
    err[0] = '\0';
    if (tls_openssl_engine.pair_new(g.engine, (char *)text.data, cut, (char *)text.data + cut, text.len - cut, err, sizeof(err), &p) == 0) {
        tls_openssl_engine.pair_put(p);
    } else {
        g.refused++;
        if (!err[0] || !memchr(err, '\0', sizeof(err)))
            wrong("a certificate refused without a reason");
    }
    if (ERR_peek_error())
        wrong("an error is left for the next connection");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct script i = { data, len, 0 };
    uint8_t kind;

    begin();
    kind = next(&i) % KINDS;
    switch (kind) {
    case TO_SERVER:
    case TO_CLIENT:
        alone(&i, kind == TO_SERVER);
        break;
    case HANDSHAKE:
    case OPEN:
        both(&i, kind == HANDSHAKE);
        break;
    case PEM:
        pem(&i);
        break;
    default:
        break;
    }
    return 0;
}

#ifndef HS_LIBFUZZER
/* What looks like records gets further into the engine than noise. */
static size_t make_input(uint64_t *seed, uint8_t *buf, size_t max)
{
    size_t n = hs_splitmix(seed) % max;

    for (size_t k = 0; k < n; k++)
        buf[k] = (uint8_t)hs_splitmix(seed);
    if (n > 16 && hs_splitmix(seed) & 1) {
        uint16_t len = (uint16_t)(n - 8);
        const uint8_t head[] = { 22, 3, (uint8_t)(1 + hs_splitmix(seed) % 3), (uint8_t)(len >> 8), (uint8_t)len,
                                 (uint8_t)(1 + hs_splitmix(seed) % 2), 0, (uint8_t)((len - 4) >> 8), (uint8_t)(len - 4), 3, 3 };
        memcpy(buf + 3, head, sizeof(head));
    }
    return n;
}

int main(int argc, char **argv)
{
    static uint8_t buf[4096];
    unsigned long runs = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;

    for (unsigned long n = 0; n < runs; n++) {
        size_t len = make_input(&seed, buf, sizeof(buf));
        if (len)
            buf[0] = (uint8_t)n;
        LLVMFuzzerTestOneInput(buf, len);
    }
    printf("%lu opened, %lu failed, %lu certificates refused, %lu records in place\n", g.opened, g.failed, g.refused, g.in_place);
    tls_openssl_engine.pair_put(g.server.pairs[0]);
    tls_openssl_engine.close(g.engine);
    return g.opened < runs / 10 || g.failed < runs / 2 || g.refused < runs / 10 || g.in_place < runs / 20;
}
#endif
