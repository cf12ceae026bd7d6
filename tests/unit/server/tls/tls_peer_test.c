/* tls_peer_test.c - the engine against OpenSSL as its peer: tickets and their keys, early data, streams both ways while keys change, renegotiation,
 * long chains of certificates, streams that are cut off */
#include <criterion/criterion.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "common/splitmix.h"
#include "server/tls/tls.h"
#include "server/tls/tls_openssl.h"
#include "tests/unit/server/tls/engine_open.h"
#include "tests/unit/server/tls/engine_pipe.h"

enum { LIFE_S = 100, KEY_UPDATE = 24, CHAIN_OF_OPENSSL = 100 * 1024 /* SSL_MAX_CERT_LIST_DEFAULT */ };

struct link {
    struct engine_pipes io;      /* of s */
    struct tls_session *s;
    SSL *ssl;                    /* the other end */
    bool is_server;              /* s is */
    enum tls_status status;      /* of the handshake of s */
    int error;                   /* of the handshake of ssl: SSL_get_error() */
    unsigned n_updates;          /* of keys, that ssl has got */
};
static struct tls_config cfg;
static struct tls_profile server, client;
static struct tls_openssl *o;
static SSL_CTX *ctx[2];          /* of the other end: servers, clients */
static uint64_t rng;
static time_t later_s;           /* than it is */
static const struct tls_engine *const e = &tls_openssl_engine;

static uint32_t rnd(uint32_t n) { return (uint32_t)(hs_splitmix(&rng) % n); }

/* Keys of tickets ask it how old they are. */
int clock_gettime(clockid_t which, struct timespec *ts)
{
    int rc = (int)syscall(SYS_clock_gettime, which, ts);

    ts->tv_sec += which == CLOCK_MONOTONIC ? later_s : 0;
    return rc;
}

static void on_message(int is_written, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    (void)version, (void)ssl;
    ((struct link *)arg)->n_updates += !is_written && type == SSL3_RT_HANDSHAKE && len > 0 && *(const uint8_t *)data == KEY_UPDATE;
}

/* At most so many bytes each way. */
static void carry(struct link *l, uint32_t most)
{
    uint32_t n = hs_min_u32(most, l->io.out.len - l->io.out.at);
    static uint8_t b[ENGINE_PIPE];

    if (n) {
        cr_assert_eq(BIO_write(SSL_get_rbio(l->ssl), l->io.out.data + l->io.out.at, (int)n), (int)n);
        engine_pipe_take(&l->io.out, n);
    }
    n = hs_min_u32(most, ENGINE_PIPE - l->io.in.len);
    n = n ? (uint32_t)hs_max_u32(0, (uint32_t)(BIO_pending(SSL_get_wbio(l->ssl)) ? BIO_read(SSL_get_wbio(l->ssl), b, (int)n) : 0)) : 0;
    engine_pipe_put(&l->io.in, b, n);
}

static void link_make(struct link *l, bool is_server, int version, bool is_in_place)
{
    struct tls_io io = { &l->io, engine_pipe_read, engine_pipe_write, NULL, NULL, is_in_place ? &engine_pipe_place : NULL };
    struct ip_endpoint to = { 0 };

    memset(l, 0, sizeof(*l));
    l->is_server = is_server;
    l->ssl = SSL_new(ctx[is_server]);
    SSL_set_bio(l->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_msg_callback(l->ssl, on_message);
    SSL_set_msg_callback_arg(l->ssl, l);
    SSL_set_min_proto_version(l->ssl, version);
    SSL_set_max_proto_version(l->ssl, version);
    is_server ? SSL_set_connect_state(l->ssl) : SSL_set_accept_state(l->ssl);
    cr_assert_eq(e->conn_new(o, is_server, is_server ? &server : &client, &to, &io, &l->s), 0);
}

/* True: both ends say that it is done. */
static bool shake(struct link *l)
{
    bool done = false;

    l->status = TLS_WANT_READ;
    for (unsigned i = 0; i < 40 && l->status != TLS_FAILED && !(done && l->status == TLS_DONE); i++) {
        ERR_clear_error();
        done = SSL_do_handshake(l->ssl) == 1;
        l->error = done ? 0 : SSL_get_error(l->ssl, -1);
        carry(l, ENGINE_PIPE);
        if (l->status != TLS_DONE)
            l->status = e->handshake(l->s);
        carry(l, ENGINE_PIPE);
    }
    return done && l->status == TLS_DONE;
}

static enum tls_status s_read(struct link *l, void *buf, size_t len, size_t *n)
{
    struct iovec to = { buf, len };
    enum tls_status st;

    *n = 0;
    do /* a record without text is one, too */
        st = e->in_place(l->s) ? e->readv(l->s, &to, 1, n) : e->read(l->s, buf, len, n);
    while (st == TLS_DONE && *n == 0);
    return st;
}

static enum tls_status s_write(struct link *l, const void *buf, size_t len, size_t *n)
{
    struct iovec from = { (void *)(uintptr_t)buf, len };

    *n = 0;
    return e->in_place(l->s) ? e->writev(l->s, &from, 1, n) : e->write(l->s, buf, len, n);
}

/* A few bytes there and back, as text of nobody else. */
static void talk(struct link *l)
{
    char b[64];
    size_t n;

    cr_assert_eq(SSL_write(l->ssl, "question", 8), 8);
    carry(l, ENGINE_PIPE);
    cr_assert_eq(s_read(l, b, sizeof(b), &n), TLS_DONE, "%s", e->error(l->s));
    cr_assert(n == 8 && memcmp(b, "question", 8) == 0, "%.*s", (int)n, b);
    cr_assert_eq(s_write(l, "answer", 6, &n), TLS_DONE);
    carry(l, ENGINE_PIPE);
    cr_assert_eq(SSL_read(l->ssl, b, sizeof(b)), 6);
    cr_assert(memcmp(b, "answer", 6) == 0);
}

static void link_free(struct link *l)
{
    SSL_set_shutdown(l->ssl, SSL_SENT_SHUTDOWN); /* else its session is not resumed from */
    SSL_free(l->ssl);
    e->conn_free(l->s);
}

static void make(void)
{
    rng = 1;
    cfg = (struct tls_config){ .min_version = TLS_V1_2, .ticket_lifetime_us = LIFE_S * 1000000ull };
    o = engine_open(&cfg, &server, &client);
    ctx[0] = SSL_CTX_new(TLS_server_method());
    ctx[1] = SSL_CTX_new(TLS_client_method());
    SSL_CTX_use_certificate(ctx[0], server.pairs[0]->leaf);
    SSL_CTX_use_PrivateKey(ctx[0], SSL_CTX_get0_privatekey(server.pairs[0]->ctx));
    SSL_CTX_set_session_cache_mode(ctx[0], SSL_SESS_CACHE_OFF); /* tickets only */
    SSL_CTX_set_session_id_context(ctx[0], (const unsigned char *)"x", 1);
}

static void clean(void)
{
    e->pair_put(server.pairs[0]);
    e->close(o);
    SSL_CTX_free(ctx[0]);
    SSL_CTX_free(ctx[1]);
}

TestSuite(tls_peer, .init = make, .fini = clean, .timeout = 600);

/* ---- resumption ---- */

static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };

/* A connection to a server of the engine, resumed or not; the session to go on with. */
static SSL_SESSION *go_on(int version, SSL_SESSION *from, bool is_resumed)
{
    struct link *l = malloc(sizeof(*l));
    struct tls_info info;
    SSL_SESSION *next;

    link_make(l, true, version, true);
    if (from)
        cr_assert_eq(SSL_set_session(l->ssl, from), 1);
    cr_assert(shake(l), "%s", e->error(l->s));
    talk(l);
    e->info(l->s, &info);
    cr_assert_eq(info.is_resumed, is_resumed, "version %x", (unsigned)version);
    cr_assert_eq(SSL_session_reused(l->ssl), is_resumed);
    next = SSL_get1_session(l->ssl);
    link_free(l);
    free(l);
    SSL_SESSION_free(from);
    return next;
}

Test(tls_peer, tickets_live_as_long_as_two_keys)
{
    for (unsigned i = 0; i < 2; i++) {
        SSL_SESSION *first, *x = go_on(versions[i], NULL, false);

        x = go_on(versions[i], x, true);
        later_s += LIFE_S;           /* there is another key; the ticket's own is taken, and the client gets a new ticket */
        first = SSL_SESSION_dup(x);
        x = go_on(versions[i], x, true);
        later_s += LIFE_S;           /* that one's key is the former now */
        x = go_on(versions[i], x, true);
        SSL_SESSION_free(go_on(versions[i], first, false)); /* the key before it is gone: a handshake as with anybody */
        later_s += 2 * LIFE_S + 1;   /* nobody came for so long that both are gone */
        SSL_SESSION_free(go_on(versions[i], x, false));
    }
}

/* A restart of the server is another instance: tickets of before are good for nothing, and do no harm. Both sides. */
Test(tls_peer, tickets_of_before_a_restart)
{
    for (unsigned i = 0; i < 2; i++) {
        SSL_SESSION *x = go_on(versions[i], NULL, false);

        clean();
        make();
        x = go_on(versions[i], x, false);
        SSL_SESSION_free(go_on(versions[i], x, true));
    }
}

static void as_client(int version, bool is_resumed)
{
    struct link *l = malloc(sizeof(*l));
    struct tls_info info;

    link_make(l, false, version, true);
    cr_assert(shake(l), "%s", e->error(l->s));
    talk(l);
    e->info(l->s, &info);
    cr_assert_eq(info.is_resumed, is_resumed, "version %x", (unsigned)version);
    link_free(l);
    free(l);
}

Test(tls_peer, a_client_whose_server_has_other_keys)
{
    for (unsigned i = 0; i < 2; i++) {
        unsigned char keys[80];

        as_client(versions[i], false);
        as_client(versions[i], true);
        as_client(versions[i], true);
        memset(keys, 7, sizeof(keys));
        cr_assert_eq(SSL_CTX_set_tlsext_ticket_keys(ctx[0], keys, sizeof(keys)), 1);
        as_client(versions[i], false);
        as_client(versions[i], true);
        clean();
        make();
    }
}

/* ---- early data (RFC 8446 s4.2.10): not offered; who sends it all the same is served without it ---- */

static void early(struct link *l, SSL_SESSION *x, size_t len)
{
    static const uint8_t text[1 << 16] = "early";

    link_make(l, true, TLS1_3_VERSION, true);
    cr_assert_eq(SSL_SESSION_get_max_early_data(x), 0, "a ticket that allows early data");
    SSL_SESSION_set_max_early_data(x, sizeof(text));
    cr_assert_eq(SSL_set_session(l->ssl, x), 1);
    for (size_t at = 0, n; at < len; at += n)
        cr_assert_eq(SSL_write_early_data(l->ssl, text + at, hs_min_u32(4000, (uint32_t)(len - at)), &n), 1);
}

Test(tls_peer, early_data_is_not_taken)
{
    static const size_t lens[] = { 1, 5, 4000, 12000 };
    struct link *l = malloc(sizeof(*l));

    for (unsigned i = 0; i < HS_ARRAY_LEN(lens); i++) {
        SSL_SESSION *x = go_on(TLS1_3_VERSION, NULL, false);
        early(l, x, lens[i]);
        cr_assert(shake(l), "%s", e->error(l->s));
        cr_assert_eq(SSL_get_early_data_status(l->ssl), SSL_EARLY_DATA_REJECTED);
        cr_assert(SSL_session_reused(l->ssl));
        talk(l); /* none of it is text */
        link_free(l);
        SSL_SESSION_free(x);
    }
    free(l);
}

/* Who never comes to an end with it is not listened to for ever. */
Test(tls_peer, too_much_early_data)
{
    struct link *l = malloc(sizeof(*l));
    SSL_SESSION *x = go_on(TLS1_3_VERSION, NULL, false);

    early(l, x, 1 << 16);
    cr_assert_not(shake(l));
    cr_assert_eq(l->status, TLS_FAILED);
    cr_assert_eq(e->error_code(l->s), -EPROTO);
    cr_assert_str_eq(e->error(l->s), "too much early data");
    link_free(l);
    SSL_SESSION_free(x);
    free(l);
}

/* ---- streams ---- */

struct stream {
    uint32_t sent, got, all;
};
static uint8_t octet(uint32_t at, unsigned side) { return (uint8_t)(at * 31 + (at >> 8) * 7 + side); }

static uint32_t piece_of(const struct stream *st, unsigned side, uint8_t *b)
{
    uint32_t n = hs_min_u32(st->all - st->sent, 1 + rnd(rnd(4) ? 3000 : TLS_RECORD_MAX));

    for (uint32_t i = 0; i < n; i++)
        b[i] = octet(st->sent + i, side);
    return n;
}

static void is_next(struct stream *st, unsigned side, const uint8_t *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(b[i], octet(st->got + (uint32_t)i, side), "octet %lu", (unsigned long)(st->got + i));
    st->got += (uint32_t)n;
}

/* One turn of each end. What the engine could not write is offered again, as it asks for. */
static void turn(struct link *l, struct stream st[2], uint32_t *again, bool updates)
{
    static uint8_t b[TLS_RECORD_MAX];
    size_t n = 0;
    uint32_t len;
    int rc;

    while (s_read(l, b, 1 + rnd(TLS_RECORD_MAX), &n) == TLS_DONE)
        is_next(&st[1], 1, b, n);
    len = piece_of(&st[0], 0, b);
    len = *again ? *again : len;
    for (uint32_t i = 0; i < len; i++)
        b[i] = octet(st[0].sent + i, 0);
    if (len) {
        enum tls_status s = s_write(l, b, len, &n);
        cr_assert(s == TLS_DONE || s == TLS_WANT_WRITE, "%d %s", s, e->error(l->s));
        *again = s == TLS_DONE ? 0 : len;
        st[0].sent += (uint32_t)n;
    }
    if (updates && rnd(3) == 0)
        cr_assert_eq(SSL_key_update(l->ssl, rnd(2) ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED), 1);
    len = piece_of(&st[1], 1, b);
    if (len && BIO_pending(SSL_get_wbio(l->ssl)) < 60000) {
        rc = SSL_write(l->ssl, b, (int)len);
        cr_assert_gt(rc, 0);
        st[1].sent += (uint32_t)rc;
    }
    while ((rc = SSL_read(l->ssl, b, sizeof(b))) > 0)
        is_next(&st[0], 0, b, (size_t)rc);
    cr_assert_eq(SSL_get_error(l->ssl, rc), SSL_ERROR_WANT_READ);
    carry(l, 1 + rnd(rnd(8) ? 20000 : 3)); /* records arrive in pieces, or many at once */
}

static void both_ways(bool is_server, int version, const char *suite, bool is_in_place)
{
    struct stream st[2] = { { .all = 600000 }, { .all = 600000 } };
    struct link *l = malloc(sizeof(*l));
    uint32_t again = 0;

    link_make(l, is_server, version, is_in_place);
    cr_assert_eq(version == TLS1_3_VERSION ? SSL_set_ciphersuites(l->ssl, suite) : SSL_set_cipher_list(l->ssl, suite), 1);
    cr_assert(shake(l), "%s", e->error(l->s));
    talk(l);
    cr_assert_eq(e->in_place(l->s), is_in_place);
    for (unsigned i = 0; i < 20000 && (st[0].got < st[0].all || st[1].got < st[1].all); i++)
        turn(l, st, &again, version == TLS1_3_VERSION);
    cr_assert(st[0].got == st[0].all && st[1].got == st[1].all, "%u %u", st[0].got, st[1].got);
    cr_assert(version != TLS1_3_VERSION || l->n_updates >= 20, "%u updates", l->n_updates);
    link_free(l);
    free(l);
}

/* Keys at their limit after 7 records, the peer's changed when it likes, an answer asked for or not: amid bulk both ways. */
Test(tls_peer, key_updates_amid_bulk)
{
    static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256" };

    o->records_a_key = 7;
    for (unsigned i = 0; i < 12; i++)
        both_ways(i & 1, TLS1_3_VERSION, suites[i >> 2], i & 2);
}

Test(tls_peer, bulk_of_1_2)
{
    static const char *const suites[] = { "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305" };

    for (unsigned i = 0; i < 12; i++)
        both_ways(i & 1, TLS1_2_VERSION, suites[i >> 2], i & 2);
}

/* ---- renegotiation (RFC 5246 s7.2.2): asked for by either end, refused, and nothing else changes ---- */

Test(tls_peer, renegotiation_is_refused)
{
    for (unsigned how = 0; how < 4; how++) {
        struct link *l = malloc(sizeof(*l));
        char b[64];
        size_t n;

        link_make(l, how & 1, TLS1_2_VERSION, how & 2);
        SSL_clear_options(l->ssl, SSL_OP_NO_RENEGOTIATION);
        cr_assert(shake(l));
        talk(l);
        cr_assert_eq(SSL_renegotiate(l->ssl), 1);
        (void)SSL_do_handshake(l->ssl);
        carry(l, ENGINE_PIPE);
        cr_assert_eq(s_read(l, b, sizeof(b), &n), TLS_WANT_READ, "%u: %s", how, e->error(l->s));
        carry(l, ENGINE_PIPE);
        ERR_clear_error();
        cr_assert_leq(SSL_read(l->ssl, b, sizeof(b)), 0);
        cr_assert_eq(ERR_GET_REASON(ERR_peek_error()), SSL_R_NO_RENEGOTIATION, "%u: %s", how, ERR_reason_error_string(ERR_peek_error()));
        ERR_clear_error();
        cr_assert_eq(s_write(l, "more", 4, &n), TLS_DONE);
        link_free(l);
        free(l);
    }
}

/* ---- the end of the stream without close_notify ---- */

Test(tls_peer, cut_off)
{
    for (unsigned how = 0; how < 8; how++) {
        struct link *l = malloc(sizeof(*l));
        bool amid_record = how & 4;
        char b[64];
        size_t n;

        link_make(l, how & 1, versions[how >> 1 & 1], true);
        cr_assert(shake(l));
        talk(l);
        cr_assert_eq(SSL_write(l->ssl, "the last", 8), 8);
        carry(l, ENGINE_PIPE);
        l->io.in.len -= amid_record;
        l->io.is_ended = true;
        if (!amid_record) {
            cr_assert_eq(s_read(l, b, sizeof(b), &n), TLS_DONE);
            cr_assert_eq(n, 8);
        }
        cr_assert_eq(s_read(l, b, sizeof(b), &n), TLS_FAILED);
        cr_assert_eq(e->error_code(l->s), -ECONNRESET);
        cr_assert_str_eq(e->error(l->s), "the peer ended the connection without close_notify");
        link_free(l);
        free(l);
    }
}

/* ---- long chains ---- */

/* So many more octets of certificates that the peer shows. Verification is another's affair. */
static void lengthen(SSL *ssl, X509 *x, int octets)
{
    int each = i2d_X509(x, NULL) + 3;

    for (int n = octets / each - 1; n > 0; n--)
        cr_assert_eq(SSL_add1_chain_cert(ssl, x), 1);
}

static bool shakes_with_chain(bool is_server, int version, int octets, char *error)
{
    struct link *l = malloc(sizeof(*l));
    bool ok;

    server.verify = is_server ? SVM_TLS_VERIFY_OPTIONAL : SVM_TLS_VERIFY_NONE;
    link_make(l, is_server, version, true);
    server.verify = SVM_TLS_VERIFY_NONE;
    if (is_server) { /* the client shows one, because it is asked for it */
        SSL_use_certificate(l->ssl, server.pairs[0]->leaf);
        SSL_use_PrivateKey(l->ssl, SSL_CTX_get0_privatekey(server.pairs[0]->ctx));
    }
    SSL_set_options(l->ssl, SSL_OP_NO_TICKET); /* a connection that is resumed has no certificates */
    lengthen(l->ssl, server.pairs[0]->leaf, octets);
    ok = shake(l);
    if (ok && !is_server)
        talk(l);
    snprintf(error, TLS_TEXT_MAX, "%s", ok ? "" : e->error(l->s));
    link_free(l);
    free(l);
    return ok;
}

/* OpenSSL takes 100 KB of certificates: what is longer is refused at its length, before there is memory for it. */
Test(tls_peer, long_chains)
{
    char error[TLS_TEXT_MAX];

    for (unsigned how = 0; how < 4; how++) {
        bool is_server = how & 1;
        int version = versions[how >> 1];
        bool ok = shakes_with_chain(is_server, version, CHAIN_OF_OPENSSL - 4000, error);
        if (is_server) /* its chain leads nowhere, which is found when it has been read */
            cr_assert(!ok && strstr(error, "certificate verify failed"), "%s", error);
        else
            cr_assert(ok, "%s", error);
        cr_assert_not(shakes_with_chain(is_server, version, CHAIN_OF_OPENSSL + 4000, error));
        cr_assert_str_eq(error, "excessive message size");
    }
}

static int pair_of(const char *cert, const char *key, char *err, size_t err_len)
{
    struct tls_pair *p = NULL;
    int rc = e->pair_new(o, cert, strlen(cert), key, strlen(key), err, err_len, &p);

    if (rc == 0)
        e->pair_put(p);
    cr_assert_eq(ERR_peek_error(), 0);
    return rc;
}

Test(tls_peer, chains_of_our_own)
{
    static struct fuzz_pair p;
    char *all = calloc(13, sizeof(p.cert)), err[TLS_TEXT_MAX];

    cr_assert(fuzz_make_pair(&p));
    for (unsigned n = 0; n < 11; n++) {
        strcat(all, p.cert);
        strcat(all, "text between is nobody's business\n");
        cr_assert_eq(pair_of(all, p.key, err, sizeof(err)), 0, "%u: %s", n, err);
    }
    strcat(all, p.cert);
    cr_assert_eq(pair_of(all, p.key, err, sizeof(err)), -EINVAL);
    cr_assert_str_eq(err, "more than 10 certificates follow the first one");
    /* One that is damaged is not left out in silence: half a chain is a server that some clients do not trust. */
    for (unsigned how = 0; how < 2; how++) {
        char *second = all + strlen(p.cert);
        snprintf(all, sizeof(p.cert) * 3, "%s%s%s", p.cert, p.cert, p.cert);
        if (how == 0)
            memcpy(strchr(second + 10, '\n') + 1, "!!!!", 4);
        else
            second[strlen(p.cert) + 100] = '\0'; /* the text ends amid the third */
        cr_assert_eq(pair_of(all, p.key, err, sizeof(err)), -EINVAL, "%u", how);
        cr_assert(strstr(err, "a certificate behind the first one cannot be read"), "%s", err);
    }
    free(all);
}
