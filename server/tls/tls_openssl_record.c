/* tls_openssl_record.c - records of an open connection without OpenSSL's buffers: text goes between the FIFOs in one pass
 *
 * OpenSSL does the handshake. While it does, it is watched: which secrets it made (its key log), and how many records were under them. When both
 * ends have finished and it holds no octet of the stream, its work is over: records are sealed and opened by tls_record.c with its keys, from
 * its numbers on, and what is no text (alerts, key updates, tickets) is read and written here. It stays with OpenSSL where a suite is not
 * known here, where keys have changed already, or where the peer asked for short records (RFC 6066 s4).
 *
 *   handshake -> OpenSSL's read() and write() -> tls_openssl_in_place() says so once -> readv(), writev() and close_notify() here
 *
 * From then on there is no OpenSSL connection any more: it would take 15 KB. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/core_names.h>
#include "common/types.h"
#include "server/tls/tls_openssl.h"
#include "server/tls/tls_record.h"

enum { FINISHED = 20, KEY_UPDATE = 24, NEW_TICKET = 4, HELLO_REQUEST = 0, CLIENT_HELLO = 1 };                      /* messages */
enum { CLOSE_NOTIFY = 0, UNEXPECTED = 10, BAD_MAC = 20, OVERFLOW = 22, BAD_PARAMETER = 47, DECODE_ERROR = 50, USER_CANCELED = 90,
       NO_RENEGOTIATION = 100 };                                                                                    /* alerts */
enum { WARNING = 1, FATAL = 2, WARNINGS_MAX = 5, USELESS_MAX = 32, FAST_MIN = 64, OPENED_MAX = TLS_REC_PLAIN_MAX + 2048,
       MESSAGE_MAX = (64 << 10) + 512 /* a ticket, with what is around it */ };

struct tls_own {
    struct tls_record_suite suite;
    struct tls_record_keys rx, tx;
    uint8_t *kept;               /* a record that did not fit where it was to go, or none of text; NULL: none */
    uint32_t kept_at, kept_len;
    uint8_t *part;               /* of a message that goes on in the next record; NULL: none */
    uint32_t part_len;
    uint32_t n_warnings;
    uint32_t n_useless;          /* records without text, key updates and wishes to negotiate anew since the last text */
    bool is_server;
    bool owes_update;            /* the peer waits for our KeyUpdate (RFC 8446 s4.6.3) */
    bool closed;                 /* close_notify has come */
    bool notified;               /* ours is sent: nothing may follow it (RFC 8446 s6.1) */
    bool failed;
};

size_t tls_openssl_own_size(void) { return sizeof(struct tls_own); }

/* ---- watching OpenSSL ---- */

static int digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1; }

/* NSS key log format: label, client's random, secret. */
void tls_openssl_on_secret(const SSL *ssl, const char *line)
{
    struct tls_session *s = SSL_get_app_data(ssl);
    bool of_server = strncmp(line, "SERVER_TRAFFIC_SECRET_0 ", 24) == 0;
    const char *hex = strrchr(line, ' ');
    uint8_t *out;
    size_t n;

    if (!s || !s->watch || !hex || (!of_server && strncmp(line, "CLIENT_TRAFFIC_SECRET_0 ", 24) != 0))
        return;
    out = s->watch->secret[of_server];
    n = strlen(++hex) / 2;
    s->watch->is_spoiled |= n > sizeof(s->watch->secret[0]);
    for (size_t i = 0; i < n && !s->watch->is_spoiled; i++)
        out[i] = (uint8_t)(digit(hex[2 * i]) << 4 | digit(hex[2 * i + 1]));
    s->watch->secret_len = (uint8_t)n;
}

/* Counts records under the last keys of each direction: those of TLS 1.3 change behind Finished, those of TLS 1.2 before it. */
static void on_message(int is_written, int version, int type, const void *data, size_t len, SSL *ssl, void *arg)
{
    struct tls_session *s = arg;
    struct tls_watch *w = s->watch;
    const uint8_t *b = data;

    (void)version, (void)ssl;
    if (!w || len == 0)
        return;
    if (type == SSL3_RT_HEADER && b[0] != TLS_CT_CCS) {
        w->n[is_written != 0]++;
    } else if (type == SSL3_RT_HANDSHAKE && b[0] == FINISHED) {
        w->n[is_written != 0] = SSL_version(s->ssl) == TLS1_3_VERSION ? 0 : 1;
        w->has_finished[is_written != 0] = true;
    } else if (type == SSL3_RT_HANDSHAKE && b[0] == KEY_UPDATE) {
        w->is_spoiled = true;
    } else if (type == SSL3_RT_HANDSHAKE && b[0] == NEW_TICKET) {
        w->has_ticket = true;
    }
}

bool tls_openssl_watch(struct tls_session *s)
{
    if (!s->io.place)
        return true;
    s->watch = calloc(1, sizeof(*s->watch));
    if (!s->watch)
        return false;
    SSL_set_msg_callback(s->ssl, on_message);
    SSL_set_msg_callback_arg(s->ssl, s);
    return true;
}

void tls_openssl_unwatch(struct tls_session *s)
{
    if (!s->watch)
        return;
    SSL_set_msg_callback(s->ssl, NULL);
    OPENSSL_cleanse(s->watch, sizeof(*s->watch));
    free(s->watch);
    s->watch = NULL;
}

/* ---- taking over ---- */

static bool suite_of(const SSL *ssl, const struct tls_aeads *aeads, struct tls_record_suite *c)
{
    const SSL_CIPHER *cipher = SSL_get_current_cipher(ssl);
    int nid = cipher ? SSL_CIPHER_get_cipher_nid(cipher) : NID_undef;

    *c = (struct tls_record_suite){ .aeads = aeads, .is_1_3 = SSL_version(ssl) == TLS1_3_VERSION };
    if (nid == NID_aes_128_gcm)
        c->alg = TLS_AES_128_GCM;
    else if (nid == NID_aes_256_gcm)
        c->alg = TLS_AES_256_GCM;
    else if (nid == NID_chacha20_poly1305)
        c->alg = TLS_CHACHA20_POLY1305;
    else
        return false;
    c->md = SSL_CIPHER_get_handshake_digest(cipher);
    c->has_explicit = !c->is_1_3 && nid != NID_chacha20_poly1305;
    return c->md && (c->is_1_3 || SSL_version(ssl) == TLS1_2_VERSION);
}

/* RFC 5246 s6.3: keys of client and server, then the fixed parts of their nonces. */
static bool key_block(const struct tls_session *s, const struct tls_record_suite *c, uint8_t *out, size_t len)
{
    uint8_t master[SSL_MAX_MASTER_KEY_LENGTH], random[2 * SSL3_RANDOM_SIZE];
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    size_t n = SSL_SESSION_get_master_key(SSL_get0_session(s->ssl), master, sizeof(master));
    char label[] = "key expansion", *md = (char *)(uintptr_t)EVP_MD_get0_name(c->md);
    OSSL_PARAM p[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, md, 0), OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, n),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, label, sizeof(label) - 1),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, random, sizeof(random)), OSSL_PARAM_END,
    };
    bool ok;

    ok = ctx && SSL_get_server_random(s->ssl, random, SSL3_RANDOM_SIZE) == SSL3_RANDOM_SIZE &&
         SSL_get_client_random(s->ssl, random + SSL3_RANDOM_SIZE, SSL3_RANDOM_SIZE) == SSL3_RANDOM_SIZE && n > 0 &&
         EVP_KDF_derive(ctx, out, len, p) == 1;
    OPENSSL_cleanse(master, sizeof(master));
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

static bool keys_1_2(const struct tls_session *s, struct tls_own *o)
{
    const struct tls_record_suite *c = &o->suite;
    uint32_t fixed = c->has_explicit ? 4 : TLS_REC_IV, key_len = tls_aead_key_len(c->alg);
    uint8_t block[2 * (32 + TLS_REC_IV)], iv[2][TLS_REC_IV] = { 0 };
    bool is_server = SSL_is_server(s->ssl), ok = key_block(s, c, block, 2 * (key_len + fixed));

    for (unsigned i = 0; i < 2; i++)
        memcpy(iv[i], block + 2 * key_len + i * fixed, ok ? fixed : 0);
    ok = ok && tls_record_keys_set(&o->tx, c, true, block + (is_server ? key_len : 0), iv[is_server]) &&
         tls_record_keys_set(&o->rx, c, false, block + (is_server ? 0 : key_len), iv[!is_server]);
    OPENSSL_cleanse(block, sizeof(block));
    return ok;
}

static bool keys_1_3(const struct tls_session *s, struct tls_own *o)
{
    bool is_server = SSL_is_server(s->ssl);

    if (s->watch->secret_len != EVP_MD_get_size(o->suite.md))
        return false;
    memcpy(o->tx.secret, s->watch->secret[is_server], s->watch->secret_len);
    memcpy(o->rx.secret, s->watch->secret[!is_server], s->watch->secret_len);
    return tls_record_keys_of_secret(&o->tx, &o->suite, true) && tls_record_keys_of_secret(&o->rx, &o->suite, false);
}

void tls_openssl_own_free(struct tls_session *s)
{
    struct tls_own *o = s->own;

    if (!o)
        return;
    tls_record_keys_clear(&o->rx);
    tls_record_keys_clear(&o->tx);
    if (o->kept)
        OPENSSL_cleanse(o->kept, OPENED_MAX);
    free(o->kept);
    free(o->part);
    tls_keymem_put(s->o->keys, o);
    s->own = NULL;
}

/* False: not yet. A client of TLS 1.3 waits for a ticket or text: OpenSSL is to have the tickets, which come before it in most cases. */
static bool is_time(struct tls_session *s)
{
    const struct tls_watch *w = s->watch;

    if (!w->has_finished[0] || !w->has_finished[1] || SSL_in_init(s->ssl) || SSL_has_pending(s->ssl) || s->is_unflushed)
        return false;
    return SSL_is_server(s->ssl) || SSL_version(s->ssl) != TLS1_3_VERSION || w->has_ticket || w->has_read;
}

static bool is_ordinary(const struct tls_session *s)
{
    const SSL_SESSION *session = SSL_get0_session(s->ssl);

    return !s->watch->is_spoiled && session && SSL_SESSION_get_max_fragment_length(session) == TLSEXT_max_fragment_length_DISABLED &&
           SSL_get_shutdown(s->ssl) == 0;
}

bool tls_openssl_in_place(struct tls_session *s)
{
    struct tls_own *o;

    if (hs_likely(s->own || !s->watch))
        return s->own;
    if (!is_time(s))
        return false;
    o = is_ordinary(s) ? tls_keymem_get(s->o->keys) : NULL;
    s->own = o;
    if (o && suite_of(s->ssl, &s->o->aeads, &o->suite) && (o->suite.is_1_3 ? keys_1_3(s, o) : keys_1_2(s, o)) && tls_openssl_keep_info(s)) {
        o->is_server = SSL_is_server(s->ssl);
        o->rx.seq = s->watch->n[0];
        o->tx.seq = s->watch->n[1];
        tls_openssl_unwatch(s);
        SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN); /* else what it has of the session is not resumed from (RFC 5246 s7.2.1) */
        SSL_free(s->ssl);
        s->ssl = NULL;
    } else {
        tls_openssl_own_free(s); /* as before */
        tls_openssl_unwatch(s);
    }
    ERR_clear_error();
    return s->own;
}

/* ---- what is no text, sent ---- */

static bool send_small(struct tls_session *s, uint8_t type, const uint8_t *data, uint32_t len)
{
    struct tls_own *o = s->own;
    uint32_t all = tls_record_before(&o->suite) + len + tls_record_after(&o->suite);
    struct iovec to[2], from = { (void *)(uintptr_t)data, len };
    int n;

    if (o->notified)
        return true; /* nobody waits for it */
    n = s->io.place->reserve(s->io.arg, all, to);
    if (n <= 0 || tls_iov_len(to, n) < all || !tls_record_seal(&o->tx, &o->suite, type, &from, 1, len, to, n))
        return false;
    s->io.place->commit(s->io.arg, all);
    return true;
}

/* Alerts to one who does not read are lost. */
static void send_alert(struct tls_session *s, uint8_t level, uint8_t what)
{
    (void)send_small(s, TLS_CT_ALERT, (const uint8_t[]){ level, what }, 2);
}

/* RFC 8446 s4.6.3: under the old keys; what follows is under the next. False: no room. */
static bool send_update(struct tls_session *s)
{
    static const uint8_t message[] = { KEY_UPDATE, 0, 0, 1, 0 /* update_not_requested */ };

    if (!send_small(s, TLS_CT_HANDSHAKE, message, sizeof(message)))
        return false;
    s->own->owes_update = false;
    return tls_record_keys_update(&s->own->tx, &s->own->suite, true);
}

/* RFC 8446 s5.5: no more than 2^24.5 records under one key of AES-GCM. */
static bool pay(struct tls_session *s)
{
    const struct tls_own *o = s->own;

    return (!o->owes_update && (!o->suite.is_1_3 || o->tx.seq < s->o->records_a_key)) || send_update(s);
}

/* RFC 8446 s6.2: what failed is not resumed. */
static enum tls_status ended_by(struct tls_session *s, int code, const char *reason)
{
    if (!s->own->is_server)
        tls_openssl_forget_kept(s->o, s->kept_key);
    s->own->failed = true;
    s->error_code = code;
    snprintf(s->error, sizeof(s->error), "%s", reason);
    return TLS_FAILED;
}

static enum tls_status refuse(struct tls_session *s, uint8_t alert, const char *reason)
{
    send_alert(s, FATAL, alert);
    return ended_by(s, -EPROTO, reason);
}

/* ---- what is no text, received ---- */

static enum tls_status take_alert(struct tls_session *s, const uint8_t *b, uint32_t len)
{
    struct tls_own *o = s->own;
    const char *reason;

    if (len != 2)
        return refuse(s, DECODE_ERROR, "bad alert");
    if (b[1] == CLOSE_NOTIFY) {
        o->closed = true;
        return TLS_CLOSED;
    }
    if (b[1] == USER_CANCELED || (!o->suite.is_1_3 && b[0] == WARNING))
        return ++o->n_warnings <= WARNINGS_MAX ? TLS_DONE : refuse(s, UNEXPECTED, "too many warn alerts");
    reason = ERR_reason_error_string(ERR_PACK(ERR_LIB_SSL, 0, SSL_AD_REASON_OFFSET + b[1]));
    return ended_by(s, -EPROTO, reason ? reason : "alert");
}

static enum tls_status take_update(struct tls_session *s, const uint8_t *body, uint32_t len, bool is_last)
{
    struct tls_own *o = s->own;

    if (len != 1 || !is_last) /* RFC 8446 s5.1: nothing else in the record, whose keys are over */
        return refuse(s, len != 1 ? DECODE_ERROR : UNEXPECTED, "bad key update");
    if (body[0] > 1)
        return refuse(s, BAD_PARAMETER, "bad key update");
    if (++o->n_useless > USELESS_MAX) /* each costs more than its sender pays for it */
        return refuse(s, UNEXPECTED, "too many key updates");
    if (!tls_record_keys_update(&o->rx, &o->suite, false))
        return ended_by(s, -ENOMEM, "no memory for keys");
    o->owes_update |= body[0];
    return TLS_DONE;
}

/* RFC 5246 s7.2.2: refused, the connection goes on. */
static enum tls_status refuse_anew(struct tls_session *s)
{
    if (++s->own->n_useless > USELESS_MAX)
        return refuse(s, UNEXPECTED, "too many wishes to negotiate anew");
    send_alert(s, WARNING, NO_RENEGOTIATION);
    return TLS_DONE;
}

/* Whole messages. *left: what is behind them. */
static enum tls_status take_whole(struct tls_session *s, const uint8_t *b, uint32_t len, uint32_t *left)
{
    const struct tls_own *o = s->own;
    while ((*left = len) >= 4) {
        uint32_t n = (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
        enum tls_status st = TLS_DONE;
        if (n > MESSAGE_MAX)
            return refuse(s, DECODE_ERROR, "excessive message size");
        if (n > len - 4)
            return TLS_DONE;
        if (o->suite.is_1_3 && b[0] == KEY_UPDATE)
            st = take_update(s, b + 4, n, n == len - 4);
        else if (!o->suite.is_1_3 && b[0] == (o->is_server ? CLIENT_HELLO : HELLO_REQUEST))
            st = refuse_anew(s);
        else if (!o->suite.is_1_3 || o->is_server || b[0] != NEW_TICKET) /* a ticket that comes late is not kept */
            st = refuse(s, UNEXPECTED, "unexpected message");
        if (st != TLS_DONE)
            return st;
        b += 4 + n;
        len -= 4 + n;
    }
    return TLS_DONE;
}

/* RFC 8446 s5.1: a message may go over several records, with no other ones between. */
static enum tls_status take_messages(struct tls_session *s, const uint8_t *b, uint32_t len)
{
    struct tls_own *o = s->own;
    uint8_t *all = len ? realloc(o->part, o->part_len + len) : NULL;
    enum tls_status st;
    uint32_t left;

    if (!all)
        return len ? ended_by(s, -ENOMEM, "no memory for a message") : refuse(s, UNEXPECTED, "unexpected message");
    memcpy(all + o->part_len, b, len);
    o->part = all;
    o->part_len += len;
    st = take_whole(s, all, o->part_len, &left);
    if (st == TLS_DONE && left > 0) {
        if (left < o->part_len) /* not at each piece of a long one */
            memmove(all, all + o->part_len - left, left);
        o->part_len = left;
    } else {
        free(all);
        o->part = NULL;
        o->part_len = 0;
    }
    return st;
}

/* ---- records ---- */

static enum tls_status give_kept(struct tls_session *s, const struct iovec *to, int n_to, size_t *n)
{
    struct tls_own *o = s->own;
    uint32_t len = hs_min_u32(tls_iov_len(to, n_to), o->kept_len - o->kept_at);

    tls_iov_put(to, n_to, 0, o->kept + o->kept_at, len);
    o->kept_at += len;
    *n = len;
    if (o->kept_at == o->kept_len) {
        OPENSSL_cleanse(o->kept, o->kept_len);
        free(o->kept);
        o->kept = NULL;
        o->kept_at = o->kept_len = 0;
    }
    return TLS_DONE;
}

/* Into memory of our own: whatever it is, and however much of it fits. */
static enum tls_status open_apart(struct tls_session *s, uint8_t type, const struct iovec *record, int n_record, uint32_t len,
                                  const struct iovec *to, int n_to, size_t *n)
{
    struct tls_own *o = s->own;
    uint32_t text = len + TLS_REC_HEADER - tls_record_before(&o->suite) - tls_record_after(&o->suite);
    struct iovec whole;
    enum tls_status st;

    o->kept = malloc(OPENED_MAX);
    if (!o->kept)
        return ended_by(s, -ENOMEM, "no memory for a record");
    whole = (struct iovec){ o->kept, OPENED_MAX };
    if (!tls_record_open(&o->rx, &o->suite, &type, record, n_record, len, &whole, 1))
        return refuse(s, BAD_MAC, "decryption failed or bad record mac");
    s->io.place->drop(s->io.arg, TLS_REC_HEADER + len);
    o->rx.seq++;
    while (o->suite.is_1_3 && type == 0 && text > 0) /* RFC 8446 s5.4: padding */
        type = o->kept[--text];
    o->kept_len = text;
    if (text > TLS_REC_PLAIN_MAX)
        return refuse(s, OVERFLOW, "data length too long");
    if (o->part && type != TLS_CT_HANDSHAKE)
        return refuse(s, UNEXPECTED, "unexpected record");
    if (type == TLS_CT_DATA) {
        if (text > 0)
            o->n_warnings = o->n_useless = 0;
        else if (++o->n_useless > USELESS_MAX)
            return refuse(s, UNEXPECTED, "too many empty records");
        return give_kept(s, to, n_to, n);
    }
    st = type == TLS_CT_ALERT       ? take_alert(s, o->kept, text)
         : type == TLS_CT_HANDSHAKE ? take_messages(s, o->kept, text)
                                    : refuse(s, UNEXPECTED, "unexpected record");
    OPENSSL_cleanse(o->kept, text);
    free(o->kept);
    o->kept = NULL;
    o->kept_len = 0;
    return st;
}

static enum tls_status open_next(struct tls_session *s, const struct iovec *to, int n_to, size_t *n)
{
    const struct tls_io_in_place *io = s->io.place;
    struct tls_own *o = s->own;
    uint32_t over = tls_record_before(&o->suite) + tls_record_after(&o->suite) - TLS_REC_HEADER, len;
    uint8_t head[TLS_REC_HEADER], type;
    struct iovec record[4];
    int pieces = io->peek(s->io.arg, TLS_REC_HEADER, record);

    if (pieces <= 0 || tls_iov_len(record, pieces) < TLS_REC_HEADER)
        return io->is_ended(s->io.arg) ? ended_by(s, -ECONNRESET, "the peer ended the connection without close_notify") : TLS_WANT_READ;
    tls_iov_get(record, pieces, 0, head, sizeof(head));
    len = (uint32_t)head[3] << 8 | head[4];
    type = head[0];
    if (head[1] != 3 || head[2] != 3)
        return refuse(s, 70 /* protocol_version */, "wrong version number");
    if (o->suite.is_1_3 && type != TLS_CT_DATA)
        return refuse(s, UNEXPECTED, "bad record type");
    if (len < over || len > OPENED_MAX - (o->suite.is_1_3 ? 2048 - 256 : 0))
        return refuse(s, len < over ? BAD_MAC : OVERFLOW, len < over ? "length too short" : "encrypted length too long");
    pieces = io->peek(s->io.arg, TLS_REC_HEADER + len, record);
    if (pieces <= 0 || tls_iov_len(record, pieces) < TLS_REC_HEADER + len)
        return io->is_ended(s->io.arg) ? ended_by(s, -ECONNRESET, "the peer ended the connection without close_notify") : TLS_WANT_READ;
    if (type != TLS_CT_DATA || o->part || len - over < FAST_MIN || tls_iov_len(to, n_to) < len - over || len - over > TLS_REC_PLAIN_MAX)
        return open_apart(s, type, record, pieces, len, to, n_to, n);
    /* In one pass. Nobody is told of what is there until the tag was found good; the type of TLS 1.3 is in memory of ours. */
    if (!tls_record_open(&o->rx, &o->suite, &type, record, pieces, len, to, n_to))
        return refuse(s, BAD_MAC, "decryption failed or bad record mac");
    if (type != TLS_CT_DATA) /* no text, or padded: once more */
        return open_apart(s, TLS_CT_DATA, record, pieces, len, to, n_to, n);
    io->drop(s->io.arg, TLS_REC_HEADER + len);
    o->rx.seq++;
    o->n_warnings = o->n_useless = 0;
    *n = len - over;
    return TLS_DONE;
}

enum tls_status tls_openssl_readv(struct tls_session *s, const struct iovec *to, int n_to, size_t *n)
{
    struct tls_own *o = s->own;

    *n = 0;
    if (o->failed)
        return TLS_FAILED;
    if (o->kept_len > o->kept_at)
        return give_kept(s, to, n_to, n);
    if (o->closed)
        return TLS_CLOSED;
    if (o->owes_update && !pay(s))
        return TLS_WANT_WRITE;
    return open_next(s, to, n_to, n);
}

enum tls_status tls_openssl_writev(struct tls_session *s, const struct iovec *from, int n_from, size_t *n)
{
    struct tls_own *o = s->own;
    uint32_t over = tls_record_before(&o->suite) + tls_record_after(&o->suite), len, room;
    struct iovec to[2];
    int pieces;

    *n = 0;
    if (o->failed)
        return TLS_FAILED;
    if (!pay(s))
        return TLS_WANT_WRITE;
    len = hs_min_u32(tls_iov_len(from, n_from), TLS_REC_PLAIN_MAX);
    pieces = s->io.place->reserve(s->io.arg, len + over, to);
    room = pieces > 0 ? tls_iov_len(to, pieces) : 0;
    if (room <= over)
        return TLS_WANT_WRITE;
    len = hs_min_u32(len, room - over);
    if (!tls_record_seal(&o->tx, &o->suite, TLS_CT_DATA, from, n_from, len, to, pieces))
        return ended_by(s, -EIO, "a record could not be sealed");
    s->io.place->commit(s->io.arg, len + over);
    *n = len;
    return TLS_DONE;
}

const char *tls_openssl_own_aead(const struct tls_session *s) { return tls_aeads_name(&s->o->aeads, s->own->suite.alg); }

uint32_t tls_openssl_own_pending(const struct tls_session *s) { return s->own->kept_len - s->own->kept_at; }

enum tls_status tls_openssl_own_close_notify(struct tls_session *s)
{
    if (s->own->failed)
        return TLS_DONE;
    s->own->notified = pay(s) && send_small(s, TLS_CT_ALERT, (const uint8_t[]){ WARNING, CLOSE_NOTIFY }, 2);
    return s->own->notified ? TLS_DONE : TLS_WANT_WRITE;
}

/* Those of TLS 1.3 change in time. */
bool tls_openssl_own_key_is_old(const struct tls_session *s)
{
    return s->own->suite.has_explicit /* AES-GCM of TLS 1.2 */ && s->own->tx.seq > s->o->records_a_key;
}
