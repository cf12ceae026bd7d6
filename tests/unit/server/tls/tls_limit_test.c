/* tls_limit_test.c - what a peer can make the engine keep before it has shown who it is: no more than the engine says
 *
 * The peer is the test: it sends heads of messages whose rest never comes. Before there was a limit a ClientHello of 131 KB was waited for. */
#include <errno.h>
#include <malloc.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include "tests/unit/server/tls/engine_open.h"
#include "tests/unit/server/tls/engine_pipe.h"

enum { MANY = 32, HANDSHAKE = 22, HELLO = 1, CERTIFICATE = 11, PART = 16000 };

static const struct tls_engine *const e = &tls_openssl_engine;
static struct tls_config cfg;
static struct tls_profile server, client;
static struct tls_openssl *o;
static struct engine_pipes pipes[MANY];
static struct tls_session *session[MANY];

static void make(void)
{
    tls_config_defaults(&cfg);
    o = engine_open(&cfg, &server, &client);
}

static void clean(void)
{
    for (unsigned i = 0; i < MANY; i++)
        if (session[i])
            e->conn_free(session[i]);
    e->pair_put(server.pairs[0]);
    e->close(o);
}

TestSuite(tls_limit, .init = make, .fini = clean, .timeout = 600);

static void serve(unsigned i)
{
    struct tls_io io = { &pipes[i], engine_pipe_read, engine_pipe_write, NULL, NULL, &engine_pipe_place };
    struct ip_endpoint peer = { .port = be16_of(1) };

    cr_assert_eq(e->conn_new(o, true, &server, &peer, &io, &session[i]), 0);
}

/* A record, or as much of it as `have` says. */
static void send_record(unsigned i, const uint8_t *body, uint32_t len, uint32_t have)
{
    const uint8_t head[5] = { HANDSHAKE, 3, 3, (uint8_t)(len >> 8), (uint8_t)len };

    engine_pipe_put(&pipes[i].in, head, sizeof(head));
    engine_pipe_put(&pipes[i].in, body, have);
}

/* The head of a message, and what one record has of it. */
static void send_head(unsigned i, uint8_t type, uint32_t says)
{
    static uint8_t body[PART];

    memcpy(body, (const uint8_t[]){ type, (uint8_t)(says >> 16), (uint8_t)(says >> 8), (uint8_t)says }, 4);
    send_record(i, body, PART, PART);
}

static size_t allocated(void)
{
    struct mallinfo2 m = mallinfo2();

    return m.uordblks + m.hblkhd;
}

static bool is_refused(unsigned i, const char *why)
{
    return e->handshake(session[i]) == TLS_FAILED && strcmp(e->error(session[i]), why) == 0;
}

/* A client of OpenSSL says its first words to session i. */
static SSL *real_client(unsigned i, int version, const char *groups)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl;
    uint8_t buf[8192];
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    int n;

    SSL_CTX_set_max_proto_version(ctx, version);
    cr_assert(SSL_CTX_set1_groups_list(ctx, groups));
    ssl = SSL_new(ctx);
    SSL_CTX_free(ctx);
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    cr_assert_eq(SSL_do_handshake(ssl), -1);
    n = BIO_read(out, buf, sizeof(buf));
    cr_assert(n > 100);
    engine_pipe_put(&pipes[i].in, buf, (uint32_t)n);
    return ssl;
}

static void to_client(unsigned i, SSL *ssl)
{
    struct engine_pipe *p = &pipes[i].out;

    BIO_write(SSL_get_rbio(ssl), p->data + p->at, (int)(p->len - p->at));
    p->at = p->len = 0;
}

static void from_client(unsigned i, SSL *ssl)
{
    uint8_t buf[8192];

    for (int n; (n = BIO_read(SSL_get_wbio(ssl), buf, sizeof(buf))) > 0;)
        engine_pipe_put(&pipes[i].in, buf, (uint32_t)n);
}

static void replace(struct engine_pipe *p, const void *what, size_t len, const void *by, size_t at)
{
    uint8_t *found = memmem(p->data, p->len, what, len);

    cr_assert(found);
    memcpy(found + at, by, 2);
}

Test(tls_limit, a_first_message_that_is_too_long)
{
    serve(0);
    send_head(0, HELLO, TLS_HELLO_MAX + 1);
    cr_assert(is_refused(0, "the ClientHello is too long"), "%s", e->error(session[0]));
    cr_assert_eq(e->error_code(session[0]), -EPROTO);
    serve(1);
    send_head(1, HELLO, TLS_HELLO_MAX);
    cr_assert_eq(e->handshake(session[1]), TLS_WANT_READ, "%s", e->error(session[1]));
}

/* Each octet of its head in a record of its own. */
Test(tls_limit, its_length_over_records)
{
    const uint8_t head[4] = { HELLO, 1, 0xff, 0xff };

    serve(0);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(e->handshake(session[0]), TLS_WANT_READ);
        send_record(0, head + i, 1, 1);
    }
    cr_assert(is_refused(0, "the ClientHello is too long"), "%s", e->error(session[0]));
}

/* RFC 8446 s4.1.4: the client has no share of a group that we like, and says hello again, behind a change of ciphers that means nothing. */
Test(tls_limit, the_second_hello)
{
    static const uint8_t ccs[] = { 20, 3, 3, 0, 1, 1 }, unknown[] = { 0x4a, 0x4a };
    SSL *ssl;

    serve(0);
    ssl = real_client(0, TLS1_3_VERSION, "X25519:P-256");
    replace(&pipes[0].in, "\0\x0a\0\x06\0\x04\0\x1d", 8, unknown, 6);
    replace(&pipes[0].in, "\0\x33\0\x26\0\x24\0\x1d", 8, unknown, 6);
    cr_assert_eq(e->handshake(session[0]), TLS_WANT_READ, "%s", e->error(session[0]));
    cr_assert(pipes[0].out.len > 5 && pipes[0].out.data[5] == 2, "a ServerHello that asks for another");
    engine_pipe_put(&pipes[0].in, ccs, sizeof(ccs));
    send_head(0, HELLO, TLS_HELLO_MAX + 1);
    cr_assert(is_refused(0, "the ClientHello is too long"), "%s", e->error(session[0]));
    SSL_free(ssl);
}

/* What is protected is not read as if it were clear: many handshakes, whose Finished are anything. */
Test(tls_limit, honest_clients_come_through)
{
    for (unsigned n = 0; n < 600; n++) {
        SSL *ssl;
        memset(&pipes[0], 0, sizeof(pipes[0]));
        serve(0);
        ssl = real_client(0, n & 1 ? TLS1_2_VERSION : TLS1_3_VERSION, "P-256");
        for (unsigned turn = 0; turn < 4 && !SSL_is_init_finished(ssl); turn++) {
            (void)e->handshake(session[0]);
            to_client(0, ssl);
            (void)SSL_do_handshake(ssl);
            from_client(0, ssl);
        }
        cr_assert_eq(e->handshake(session[0]), TLS_DONE, "%u: %s", n, e->error(session[0]));
        SSL_free(ssl);
        e->conn_free(session[0]);
        session[0] = NULL;
    }
}

static void no_more_than_said(uint32_t said, size_t before)
{
    size_t each = (allocated() - before) / MANY;

    cr_assert(each <= said, "%zu bytes each, %u were said", each, said);
#ifndef __SANITIZE_ADDRESS__
    cr_assert(each > 16384, "only %zu bytes each: nothing was kept", each);
#endif
}

Test(tls_limit, memory_of_hellos)
{
    size_t before;

    serve(0); /* whatever comes with the first one */
    send_head(0, HELLO, TLS_HELLO_MAX);
    (void)e->handshake(session[0]);
    e->conn_free(session[0]);
    before = allocated();
    memset(pipes, 0, sizeof(pipes));
    for (unsigned i = 0; i < MANY; i++) {
        serve(i);
        send_head(i, HELLO, TLS_HELLO_MAX);
        cr_assert_eq(e->handshake(session[i]), TLS_WANT_READ);
    }
    no_more_than_said(e->handshake_bytes(o, true, false, &server), before);
}

/* TLS 1.2, where it comes in clear: the server has asked for a certificate. */
static void begin_certificate(unsigned i, uint32_t says)
{
    SSL *ssl;

    serve(i);
    ssl = real_client(i, TLS1_2_VERSION, "P-256");
    cr_assert_eq(e->handshake(session[i]), TLS_WANT_READ, "%s", e->error(session[i]));
    send_head(i, CERTIFICATE, says);
    SSL_free(ssl);
}

Test(tls_limit, memory_of_certificates)
{
    enum { CHAIN = 100 << 10 };
    size_t before;

    server.verify = SVM_TLS_VERIFY_OPTIONAL;
    begin_certificate(0, CHAIN + 1);
    cr_assert(is_refused(0, "excessive message size"), "%s", e->error(session[0]));
    e->conn_free(session[0]);
    before = allocated();
    memset(pipes, 0, sizeof(pipes));
    for (unsigned i = 0; i < MANY; i++) {
        begin_certificate(i, CHAIN);
        cr_assert_eq(e->handshake(session[i]), TLS_WANT_READ);
    }
    no_more_than_said(e->handshake_bytes(o, true, false, &server), before);
}
