/* tls_engine_test.c - the engine against a peer whose records the test makes itself: messages after the handshake in pieces, and limits of keys
 *
 * OpenSSL does the peer's part of the handshake; its key log gives the secrets, and from then on the test seals and opens with tls_record.c, with
 * the other AEAD library than the engine has: this CPU's best one, or, with ENGINE_ONLY_OPENSSL, OpenSSL. */
#include <criterion/criterion.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include "server/tls/tls.h"
#include "server/tls/tls_openssl.h"
#include "server/tls/tls_record.h"
#include "tests/unit/server/tls/engine_open.h"
#include "tests/unit/server/tls/engine_pipe.h"

enum { KEY_UPDATE = 24, NEW_TICKET = 4, UNEXPECTED = 10, BAD_MAC = 20, OVERFLOW = 22, DECODE_ERROR = 50 };

struct peer {                    /* the other end of `s` */
    struct engine_pipes io;      /* of s */
    struct tls_session *s;
    SSL *ssl;
    bool is_server;              /* s is */
    struct tls_record_suite suite;
    struct tls_record_keys tx, rx;
};
static struct tls_config cfg;
static struct tls_profile server, client;
static struct tls_openssl *o;
static struct tls_aeads theirs;  /* what the peer seals with: not what the engine does */
static SSL_CTX *ctx[2];          /* servers, clients */
static const struct tls_engine *const e = &tls_openssl_engine;

/* ---- the peer ---- */

static void on_secret(const SSL *ssl, const char *line)
{
    struct peer *p = SSL_get_app_data(ssl);
    bool of_server = strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0;
    struct tls_record_keys *k = of_server == p->is_server ? &p->rx : &p->tx;
    const char *hex = strrchr(line, ' ') + 1;

    if (!of_server && strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) != 0)
        return;
    for (unsigned i = 0, v; i < 32 && sscanf(hex + 2 * (size_t)i, "%2x", &v) == 1; i++)
        k->secret[i] = (uint8_t)v;
}

/* What s has written goes to OpenSSL, and the other way. */
static void carry(struct peer *p)
{
    uint8_t b[4096];
    int n;

    BIO_write(SSL_get_rbio(p->ssl), p->io.out.data + p->io.out.at, (int)(p->io.out.len - p->io.out.at));
    p->io.out.at = p->io.out.len = 0;
    while ((n = BIO_read(SSL_get_wbio(p->ssl), b, sizeof(b))) > 0)
        engine_pipe_put(&p->io.in, b, (uint32_t)n);
}

static void peer_new(struct peer *p, bool is_server, int version)
{
    struct tls_io io = { &p->io, engine_pipe_read, engine_pipe_write, NULL, NULL, &engine_pipe_place };
    struct ip_endpoint to = { 0 };
    enum tls_status st = TLS_WANT_READ;
    uint8_t b[64];
    size_t n;

    memset(p, 0, sizeof(*p));
    p->is_server = is_server;
    p->suite = (struct tls_record_suite){ .aeads = &theirs, .alg = TLS_AES_128_GCM, .md = EVP_sha256(), .is_1_3 = true };
    p->ssl = SSL_new(ctx[is_server]);
    SSL_set_bio(p->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_app_data(p->ssl, p);
    SSL_set_max_proto_version(p->ssl, version);
    is_server ? SSL_set_connect_state(p->ssl) : SSL_set_accept_state(p->ssl);
    cr_assert_eq(e->conn_new(o, is_server, is_server ? &server : &client, &to, &io, &p->s), 0);
    for (unsigned i = 0; i < 10 && (st != TLS_DONE || !SSL_is_init_finished(p->ssl)); i++) {
        if (st != TLS_DONE)
            st = e->handshake(p->s);
        carry(p);
        SSL_do_handshake(p->ssl);
        carry(p);
    }
    cr_assert(st == TLS_DONE && SSL_is_init_finished(p->ssl), "status %d: %s", st, e->error(p->s));
    if (is_server) { /* its tickets */
        cr_assert_eq(SSL_read(p->ssl, b, sizeof(b)), -1);
    } else {
        cr_assert_eq(e->read(p->s, b, sizeof(b), &n), TLS_WANT_READ);
    }
    cr_assert(e->in_place(p->s));
    cr_assert_null(p->s->ssl, "its memory is free");
    if (version != TLS1_3_VERSION)
        return;
    cr_assert(tls_record_keys_of_secret(&p->tx, &p->suite, true) && tls_record_keys_of_secret(&p->rx, &p->suite, false));
    p->tx.seq = is_server ? 0 : 1;
    p->rx.seq = is_server ? 2 : 0;
    p->io.out.len = p->io.out.at = 0;
}

static void peer_free(struct peer *p)
{
    tls_record_keys_clear(&p->tx);
    tls_record_keys_clear(&p->rx);
    SSL_free(p->ssl);
    e->conn_free(p->s);
}

static void say(struct peer *p, uint8_t type, const void *data, uint32_t len)
{
    struct iovec from = { (void *)(uintptr_t)data, len }, to = { p->io.in.data + p->io.in.len, TLS_REC_HEADER + len + 1 + TLS_REC_TAG };

    cr_assert(tls_record_seal(&p->tx, &p->suite, type, &from, 1, len, &to, 1));
    p->io.in.len += (uint32_t)to.iov_len;
}

/* The next record of s; its type, 0: none. */
static uint8_t hear(struct peer *p, uint8_t *data, uint32_t *len)
{
    const uint8_t *b = p->io.out.data + p->io.out.at;
    struct iovec record, to = { data, ENGINE_PIPE };
    uint8_t type = TLS_CT_DATA;
    uint32_t body;

    *len = 0;
    if (p->io.out.at == p->io.out.len)
        return 0;
    body = (uint32_t)b[3] << 8 | b[4];
    record = (struct iovec){ (void *)(uintptr_t)b, TLS_REC_HEADER + body };
    cr_assert(tls_record_open(&p->rx, &p->suite, &type, &record, 1, body, &to, 1), "under the key that is its turn");
    p->rx.seq++;
    p->io.out.at += TLS_REC_HEADER + body;
    *len = body - 1 - TLS_REC_TAG;
    return type;
}

static enum tls_status take(struct peer *p, uint8_t *b, size_t *n)
{
    struct iovec to = { b, TLS_RECORD_MAX };

    return e->readv(p->s, &to, 1, n);
}

static void takes(struct peer *p, const char *text)
{
    static uint8_t b[TLS_RECORD_MAX];
    enum tls_status st;
    size_t n = 0;

    do
        st = take(p, b, &n);
    while (st == TLS_DONE && n == 0);
    cr_assert_eq(st, TLS_DONE, "status %d: %s", st, e->error(p->s));
    cr_assert(n == strlen(text) && memcmp(b, text, n) == 0);
}

static void is_refused(struct peer *p, uint8_t alert)
{
    static uint8_t b[ENGINE_PIPE];
    enum tls_status st;
    uint32_t len;
    size_t n;

    while ((st = take(p, b, &n)) == TLS_DONE && n == 0) {
    }
    cr_assert_eq(st, TLS_FAILED);
    cr_assert_eq(hear(p, b, &len), TLS_CT_ALERT);
    cr_assert(len == 2 && b[0] == 2 && b[1] == alert, "alert %u", b[1]);
}

static void writes(struct peer *p, const char *text)
{
    struct iovec from = { (void *)(uintptr_t)text, strlen(text) };
    size_t n;

    cr_assert_eq(e->writev(p->s, &from, 1, &n), TLS_DONE);
    cr_assert_eq(n, strlen(text));
}

static void hears(struct peer *p, uint8_t type, const void *data, uint32_t len)
{
    static uint8_t b[ENGINE_PIPE];
    uint32_t n;

    cr_assert_eq(hear(p, b, &n), type);
    cr_assert(n == len && memcmp(b, data, n) == 0);
}

static void make(void)
{
    static const char suite[] = "TLS_AES_128_GCM_SHA256";

    cfg = (struct tls_config){ .min_version = TLS_V1_2, .ticket_lifetime_us = 7200ull * 1000000 };
    snprintf(cfg.ciphersuites, sizeof(cfg.ciphersuites), "%s", suite);
    o = engine_open(&cfg, &server, &client);
    tls_aeads_choose(&theirs, true);
#ifdef ENGINE_ONLY_OPENSSL
    struct tls_aeads engines = o->aeads;
    o->aeads = theirs;
    theirs = engines;
#endif
    ctx[0] = SSL_CTX_new(TLS_server_method());
    ctx[1] = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate(ctx[0], server.pairs[0]->leaf);
    SSL_CTX_use_PrivateKey(ctx[0], SSL_CTX_get0_privatekey(server.pairs[0]->ctx));
    SSL_CTX_set_num_tickets(ctx[0], 1);
    for (unsigned i = 0; i < 2; i++) {
        SSL_CTX_set_ciphersuites(ctx[i], suite);
        SSL_CTX_set_keylog_callback(ctx[i], on_secret);
    }
}

static void clean(void)
{
    e->pair_put(server.pairs[0]);
    e->close(o);
    tls_aeads_release(&theirs);
    SSL_CTX_free(ctx[0]);
    SSL_CTX_free(ctx[1]);
}

TestSuite(tls_engine, .init = make, .fini = clean, .timeout = 600);

/* ---- RFC 8446 s5.1: messages over several records; s4.6.3: key updates ---- */

static const uint8_t please_update[] = { KEY_UPDATE, 0, 0, 1, 1 }, updated[] = { KEY_UPDATE, 0, 0, 1, 0 };

static void key_update_in_records(bool is_server)
{
    for (uint32_t a = 1; a < sizeof(please_update); a++)
        for (uint32_t b = a + 1; b <= sizeof(please_update); b++) {
            struct peer p;
            peer_new(&p, is_server, TLS1_3_VERSION);
            say(&p, TLS_CT_DATA, "before", 6);
            say(&p, TLS_CT_HANDSHAKE, please_update, a);
            say(&p, TLS_CT_HANDSHAKE, please_update + a, b - a);
            if (b < sizeof(please_update))
                say(&p, TLS_CT_HANDSHAKE, please_update + b, (uint32_t)sizeof(please_update) - b);
            cr_assert(tls_record_keys_update(&p.tx, &p.suite, true));
            say(&p, TLS_CT_DATA, "behind", 6);
            takes(&p, "before");
            takes(&p, "behind");
            hears(&p, TLS_CT_HANDSHAKE, updated, sizeof(updated));
            cr_assert(tls_record_keys_update(&p.rx, &p.suite, false));
            writes(&p, "answer");
            hears(&p, TLS_CT_DATA, "answer", 6);
            peer_free(&p);
        }
}

Test(tls_engine, key_update_over_records_to_a_server) { key_update_in_records(true); }
Test(tls_engine, key_update_over_records_to_a_client) { key_update_in_records(false); }

Test(tls_engine, octet_by_octet)
{
    static struct engine_pipe all;
    static uint8_t b[TLS_RECORD_MAX];
    struct peer p;
    char got[16] = "";
    size_t n;

    peer_new(&p, true, TLS1_3_VERSION);
    p.io.in.at = p.io.in.len = 0;
    say(&p, TLS_CT_HANDSHAKE, please_update, 3);
    say(&p, TLS_CT_HANDSHAKE, please_update + 3, 2);
    cr_assert(tls_record_keys_update(&p.tx, &p.suite, true));
    say(&p, TLS_CT_DATA, "text", 4);
    all = p.io.in;
    p.io.in.len = 0;
    for (uint32_t i = 0; i < all.len; i++) {
        enum tls_status st;
        engine_pipe_put(&p.io.in, all.data + i, 1);
        while ((st = take(&p, b, &n)) == TLS_DONE)
            strncat(got, (char *)b, n);
        cr_assert_eq(st, TLS_WANT_READ);
        cr_assert((got[0] != '\0') == (i == all.len - 1), "nothing is believed before its tag has come");
    }
    cr_assert_str_eq(got, "text");
    peer_free(&p);
}

/* A ticket of 300 octets, cut at all places into two records, and many in records of one octet. */
Test(tls_engine, tickets_over_records)
{
    uint8_t ticket[4 + 300] = { NEW_TICKET, 0, 300 >> 8, 300 & 255 };
    struct peer p;

    memset(ticket + 4, 7, 300);
    peer_new(&p, false, TLS1_3_VERSION);
    for (uint32_t cut = 1; cut < sizeof(ticket); cut += 13) {
        say(&p, TLS_CT_HANDSHAKE, ticket, cut);
        say(&p, TLS_CT_HANDSHAKE, ticket + cut, (uint32_t)sizeof(ticket) - cut);
        say(&p, TLS_CT_DATA, "x", 1);
        takes(&p, "x");
    }
    for (uint32_t i = 0; i < sizeof(ticket); i++)
        say(&p, TLS_CT_HANDSHAKE, ticket + i, 1);
    say(&p, TLS_CT_DATA, "y", 1);
    takes(&p, "y");
    peer_free(&p);
}

Test(tls_engine, what_may_not_be_in_pieces)
{
    static const uint8_t huge[] = { NEW_TICKET, 2, 0, 0 }, two[] = { KEY_UPDATE, 0, 0, 1, 0, KEY_UPDATE, 0, 0, 1, 0 };
    struct peer p;

    peer_new(&p, false, TLS1_3_VERSION); /* s5.1: nothing may come between the pieces */
    say(&p, TLS_CT_HANDSHAKE, please_update, 2);
    say(&p, TLS_CT_DATA, "x", 1);
    is_refused(&p, UNEXPECTED);
    peer_free(&p);
    peer_new(&p, false, TLS1_3_VERSION); /* nor be of no octet */
    say(&p, TLS_CT_HANDSHAKE, please_update, 0);
    is_refused(&p, UNEXPECTED);
    peer_free(&p);
    peer_new(&p, true, TLS1_3_VERSION); /* nor stand behind a key update in its record */
    say(&p, TLS_CT_HANDSHAKE, two, sizeof(two));
    is_refused(&p, UNEXPECTED);
    peer_free(&p);
    peer_new(&p, false, TLS1_3_VERSION);
    say(&p, TLS_CT_HANDSHAKE, huge, sizeof(huge));
    is_refused(&p, DECODE_ERROR);
    peer_free(&p);
}

/* ---- RFC 8446 s5.1, s5.2: records of any length up to 2^14, many at once; none longer ---- */

Test(tls_engine, records_of_all_lengths)
{
    static uint8_t text[TLS_RECORD_MAX], b[TLS_RECORD_MAX];
    static const uint32_t lens[] = { 1, 0, 2, 15, 16, 17, 63, 0, 0, 64, 65, 127, 1000, 4096, TLS_RECORD_MAX - 1, TLS_RECORD_MAX };
    struct peer p;
    size_t n;

    for (uint32_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 7);
    peer_new(&p, true, TLS1_3_VERSION);
    for (uint32_t room = 1; room <= sizeof(b); room = room * 5 + 3) {
        uint32_t all = 0, got = 0;
        for (unsigned i = 0; i < HS_ARRAY_LEN(lens); all += lens[i++])
            say(&p, TLS_CT_DATA, text, lens[i]);
        for (unsigned i = 0; i < HS_ARRAY_LEN(lens); i++)
            for (uint32_t at = 0; at < lens[i]; at += (uint32_t)n, got += (uint32_t)n) {
                struct iovec to = { b, room };
                do
                    cr_assert_eq(e->readv(p.s, &to, 1, &n), TLS_DONE);
                while (n == 0);
                cr_assert(n <= lens[i] - at && memcmp(b, text + at, n) == 0, "record %u", i);
            }
        cr_assert_eq(got, all);
        cr_assert_eq(take(&p, b, &n), TLS_WANT_READ);
    }
    peer_free(&p);
}

Test(tls_engine, records_that_are_too_long_or_too_short)
{
    static uint8_t text[TLS_RECORD_MAX + 1];
    static const struct { uint8_t head[5], alert; } bad[] = {
        { { TLS_CT_DATA, 3, 3, (TLS_RECORD_MAX + 257) >> 8, 1 }, OVERFLOW }, { { TLS_CT_DATA, 3, 3, 0xff, 0xff }, OVERFLOW },
        { { TLS_CT_DATA, 3, 3, 0, 0 }, BAD_MAC }, { { TLS_CT_DATA, 3, 3, 0, 16 }, BAD_MAC }, { { TLS_CT_ALERT, 3, 3, 0, 2 }, UNEXPECTED },
        { { TLS_CT_DATA, 3, 1, 0, 20 }, 70 }, { { 'G', 'E', 'T', ' ', '/' }, 70 },
    };
    struct peer p;

    for (unsigned i = 0; i < 2 * HS_ARRAY_LEN(bad); i++) { /* by the header alone: nobody waits for the rest */
        peer_new(&p, i & 1, TLS1_3_VERSION);
        engine_pipe_put(&p.io.in, bad[i >> 1].head, sizeof(bad[0].head));
        is_refused(&p, bad[i >> 1].alert);
        peer_free(&p);
    }
    peer_new(&p, true, TLS1_3_VERSION);
    say(&p, TLS_CT_DATA, text, sizeof(text));
    is_refused(&p, OVERFLOW);
    peer_free(&p);
}

/* What says nothing may be said 32 times between texts, and once more is too often. */
static void flood(struct peer *p, bool of_updates, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!of_updates) {
            say(p, TLS_CT_DATA, "", 0);
            continue;
        }
        say(p, TLS_CT_HANDSHAKE, updated, sizeof(updated));
        cr_assert(tls_record_keys_update(&p->tx, &p->suite, true));
    }
}

Test(tls_engine, floods_without_text)
{
    for (unsigned how = 0; how < 4; how++) {
        struct peer p;
        peer_new(&p, how & 1, TLS1_3_VERSION);
        for (unsigned i = 0; i < 3; i++) {
            flood(&p, how & 2, 32);
            say(&p, TLS_CT_DATA, "text", 4);
            takes(&p, "text");
        }
        flood(&p, how & 2, 33);
        is_refused(&p, UNEXPECTED);
        peer_free(&p);
    }
}

/* RFC 8446 s6.1: nothing follows our close_notify, whatever the peer asks for; its own direction goes on. */
Test(tls_engine, nothing_follows_close_notify)
{
    struct peer p;

    peer_new(&p, true, TLS1_3_VERSION);
    cr_assert_eq(e->close_notify(p.s), TLS_DONE);
    hears(&p, TLS_CT_ALERT, "\1\0", 2);
    say(&p, TLS_CT_HANDSHAKE, please_update, sizeof(please_update));
    cr_assert(tls_record_keys_update(&p.tx, &p.suite, true));
    say(&p, TLS_CT_DATA, "more", 4);
    takes(&p, "more");
    cr_assert_eq(p.io.out.at, p.io.out.len);
    peer_free(&p);
}

/* ---- limits of keys: RFC 8446 s5.5, RFC 9325 s4.4 ---- */

Test(tls_engine, keys_are_changed_in_time)
{
    struct peer p;

    o->records_a_key = 3;
    peer_new(&p, false, TLS1_3_VERSION);
    for (unsigned i = 0; i < 3; i++) {
        writes(&p, "text");
        hears(&p, TLS_CT_DATA, "text", 4);
    }
    cr_assert_not(e->key_is_old(p.s));
    writes(&p, "next");
    hears(&p, TLS_CT_HANDSHAKE, updated, sizeof(updated));
    cr_assert(tls_record_keys_update(&p.rx, &p.suite, false));
    hears(&p, TLS_CT_DATA, "next", 4);
    cr_assert_not(e->key_is_old(p.s));
    peer_free(&p);
}

Test(tls_engine, old_keys_of_1_2_are_told)
{
    struct peer p;

    o->records_a_key = 5;
    peer_new(&p, true, TLS1_2_VERSION);
    for (unsigned i = 1; i < 6; i++) { /* Finished was the first */
        cr_assert_not(e->key_is_old(p.s));
        writes(&p, "text");
    }
    cr_assert(e->key_is_old(p.s));
    writes(&p, "text"); /* it goes on */
    peer_free(&p);
}
