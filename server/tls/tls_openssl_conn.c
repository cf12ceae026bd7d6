/* tls_openssl_conn.c - one connection over OpenSSL: records through a BIO of ours, names, certificates of the peer, errors */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include "common/siphash.h"
#include "server/tls/tls_openssl.h"

/* ---- BIO ---- */

static int bio_read(BIO *b, char *buf, int len)
{
    struct tls_session *s = BIO_get_data(b);
    int n = s->io.read(s->io.arg, buf, (size_t)len);

    BIO_clear_retry_flags(b);
    if (n > 0 && !s->io.mtu && SSL_is_server(s->ssl) && !SSL_is_init_finished(s->ssl) &&
        !tls_openssl_hello_fits(s, (const uint8_t *)buf, (size_t)n))
        return -1;
    if (n > 0)
        return n;
    if (n == 0) {
        BIO_set_retry_read(b);
        return -1;
    }
    s->ended = true;
    return 0;
}

static int bio_write(BIO *b, const char *buf, int len)
{
    struct tls_session *s = BIO_get_data(b);
    int n = s->again ? tls_openssl_dgram_write(s, buf, len) : s->io.write(s->io.arg, buf, (size_t)len);

    BIO_clear_retry_flags(b);
    s->is_unflushed = n < len;
    if (n > 0)
        return n;
    if (n == 0)
        BIO_set_retry_write(b);
    return -1;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
    struct tls_session *s = BIO_get_data(b);

    (void)num;
    switch (cmd) {
    case BIO_CTRL_FLUSH:
        return 1;
    case BIO_CTRL_EOF:
        return s->ended;
    default:
        return s->io.mtu ? tls_openssl_dgram_ctrl(s, cmd, ptr) : 0;
    }
}

BIO_METHOD *tls_openssl_bio_new(void)
{
    BIO_METHOD *m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "hoststack");

    if (m && BIO_meth_set_read(m, bio_read) == 1 && BIO_meth_set_write(m, bio_write) == 1 && BIO_meth_set_ctrl(m, bio_ctrl) == 1)
        return m;
    BIO_meth_free(m);
    return NULL;
}

/* ---- errors ---- */

static int code_of(const struct tls_session *s, unsigned long err)
{
    if (ERR_GET_LIB(err) == ERR_LIB_SSL) {
        switch (ERR_GET_REASON(err)) {
        case SSL_R_CERTIFICATE_VERIFY_FAILED:
        case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
            return -EKEYREJECTED;
        case SSL_R_UNEXPECTED_EOF_WHILE_READING:
            return -ECONNRESET;
        case SSL_R_READ_TIMEOUT_EXPIRED:
            return -ETIMEDOUT;
        default:
            return -EPROTO;
        }
    }
    return s->ended ? -ECONNRESET : -EPROTO;
}

static enum tls_status fail(struct tls_session *s)
{
    unsigned long err = ERR_peek_error();
    const char *reason = err ? ERR_reason_error_string(err) : NULL;
    long verify = SSL_get_verify_result(s->ssl);

    s->error_code = code_of(s, err);
    if (!SSL_is_server(s->ssl))
        tls_openssl_forget_kept(s->o, s->kept_key); /* RFC 5246 s7.2.2, RFC 8446 s6.2: what failed is not resumed */
    if (s->error_code == -EKEYREJECTED && verify != X509_V_OK)
        snprintf(s->error, sizeof(s->error), "%s: %s", reason, X509_verify_cert_error_string(verify));
    else if (s->is_too_long)
        snprintf(s->error, sizeof(s->error), "the ClientHello is too long");
    else if (s->error_code == -ECONNRESET)
        snprintf(s->error, sizeof(s->error), "the peer ended the connection without close_notify");
    else
        snprintf(s->error, sizeof(s->error), "%s", reason ? reason : "the peer ended the connection");
    ERR_clear_error();
    return TLS_FAILED;
}

enum tls_status tls_openssl_status(struct tls_session *s, int rc)
{
    switch (SSL_get_error(s->ssl, rc)) {
    case SSL_ERROR_NONE:
        return TLS_DONE;
    case SSL_ERROR_WANT_READ:
        return TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_CLOSED;
    default:
        return fail(s);
    }
}

const char *tls_openssl_error(const struct tls_session *s) { return s->error; }
int tls_openssl_error_code(const struct tls_session *s) { return s->error_code ? s->error_code : -EPROTO; }

/* ---- names ---- */

/* RFC 6066 s3: the certificate for the name; none matches, or no name: the first. */
int tls_openssl_on_sni(SSL *ssl, int *alert, void *arg)
{
    struct tls_session *s = SSL_get_app_data(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    (void)alert, (void)arg;
    if (!name || !s)
        return SSL_TLSEXT_ERR_NOACK;
    for (unsigned i = 0; i < s->profile->n_pairs; i++) {
        struct tls_pair *p = s->profile->pairs[i];
        if (X509_check_host(p->leaf, name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
            continue;
        if (i > 0)
            SSL_set_SSL_CTX(ssl, SSL_is_dtls(ssl) ? p->dtls : p->ctx);
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 7301 s3.2: the server's order counts; nothing in common is an error of the client. */
int tls_openssl_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg)
{
    const struct tls_session *s = SSL_get_app_data(ssl);
    unsigned char *chosen;

    (void)arg;
    if (!s || s->profile->alpn_len == 0)
        return SSL_TLSEXT_ERR_NOACK;
    if (SSL_select_next_proto(&chosen, out_len, s->profile->alpn, s->profile->alpn_len, in, in_len) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* ---- begin and end ---- */

static int verify_mode(uint8_t verify)
{
    switch (verify) {
    case SVM_TLS_VERIFY_OPTIONAL:
        return SSL_VERIFY_PEER;
    case SVM_TLS_VERIFY_REQUIRED:
        return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    default:
        return SSL_VERIFY_NONE;
    }
}

/* RFC 9525: the certificate must be for the name that was asked for, or, without one, for the address. A common name counts for nothing. */
static int set_name(struct tls_session *s, const struct ip_addr *peer)
{
    const struct tls_profile *p = s->profile;
    be32 v4;

    if (p->hostname[0]) {
        SSL_set_hostflags(s->ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
        return SSL_set_tlsext_host_name(s->ssl, p->hostname) == 1 && SSL_set1_host(s->ssl, p->hostname) == 1 ? 0 : -ENOMEM;
    }
    if (!ip_addr_is_v4(peer))
        return X509_VERIFY_PARAM_set1_ip(SSL_get0_param(s->ssl), (const unsigned char *)peer, sizeof(*peer)) == 1 ? 0 : -ENOMEM;
    v4 = ip_addr_get_v4(peer);
    return X509_VERIFY_PARAM_set1_ip(SSL_get0_param(s->ssl), (const unsigned char *)&v4, sizeof(v4)) == 1 ? 0 : -ENOMEM;
}

/* Whom a session can be gone on with: the same program, peer, name, and the same checks. */
static uint64_t kept_key(const struct tls_session *s, const struct ip_endpoint *peer)
{
    struct {
        struct ip_addr ip;
        uint32_t port, app_id, verify, n_pairs, alpn_len, is_dtls;
        char hostname[SVM_TLS_NAME_MAX];
        uint8_t alpn[SVM_TLS_ALPN_MAX];
    } k;

    memset(&k, 0, sizeof(k));
    k.ip = peer->ip;
    k.port = peer->port.raw;
    k.app_id = s->profile->app_id;
    k.verify = s->profile->verify;
    k.n_pairs = s->profile->n_pairs;
    k.alpn_len = s->profile->alpn_len;
    k.is_dtls = s->io.mtu != NULL;
    memcpy(k.alpn, s->profile->alpn, s->profile->alpn_len);
    snprintf(k.hostname, sizeof(k.hostname), "%s", s->profile->hostname);
    return siphash24(s->o->secret, &k, sizeof(k));
}

int tls_openssl_on_session(SSL *ssl, SSL_SESSION *session)
{
    struct tls_session *s = SSL_get_app_data(ssl);

    if (!s || SSL_is_server(ssl) || s->profile->n_pairs || !SSL_SESSION_is_resumable(session))
        return 0; /* who shows a certificate does so each time */
    tls_openssl_keep(s->o, s->kept_key, session);
    return 1;
}

static int set_client(struct tls_session *s, const struct ip_endpoint *peer)
{
    const struct tls_profile *p = s->profile;
    SSL_SESSION *kept;

    SSL_set_connect_state(s->ssl);
    if (p->alpn_len && SSL_set_alpn_protos(s->ssl, p->alpn, p->alpn_len) != 0)
        return -ENOMEM;
    s->kept_key = kept_key(s, peer);
    kept = tls_openssl_take_kept(s->o, s->kept_key);
    if (kept) {
        (void)SSL_set_session(s->ssl, kept); /* not usable any more: a full handshake */
        SSL_SESSION_free(kept);
    }
    return set_name(s, &peer->ip);
}

static int set_server(struct tls_session *s)
{
    struct { uint32_t app_id, verify; } context = { s->profile->app_id, s->profile->verify };

    SSL_set_accept_state(s->ssl);
    return SSL_set_session_id_context(s->ssl, (const unsigned char *)&context, sizeof(context)) == 1 ? 0 : -ENOMEM;
}

/* A client that has a certificate shows it when it is asked for one. */
static int use_own(struct tls_session *s, const struct tls_pair *pair)
{
    STACK_OF(X509) *chain = NULL;

    SSL_CTX_get0_chain_certs(pair->ctx, &chain);
    return SSL_use_certificate(s->ssl, pair->leaf) == 1 && SSL_use_PrivateKey(s->ssl, SSL_CTX_get0_privatekey(pair->ctx)) == 1 &&
                   (!chain || SSL_set1_chain(s->ssl, chain) == 1)
               ? 0
               : -ENOMEM;
}

int tls_openssl_conn_new(void *e, bool is_server, struct tls_profile *profile, const struct ip_endpoint *peer, const struct tls_io *io,
                         struct tls_session **out)
{
    struct tls_openssl *o = e;
    SSL_CTX *ctx = !is_server ? (io->mtu ? o->dtls_client : o->client) : io->mtu ? profile->pairs[0]->dtls : profile->pairs[0]->ctx;
    struct tls_session *s = calloc(1, sizeof(*s));
    BIO *b;
    int err = 0;

    if (!s || !ctx) {
        free(s);
        return ctx ? -ENOMEM : -EPROTONOSUPPORT;
    }
    s->io = *io;
    s->o = o;
    s->rmt = *peer;
    s->ssl = SSL_new(ctx);
    b = s->ssl ? BIO_new(o->bio) : NULL;
    if (!b) {
        SSL_free(s->ssl);
        free(s);
        ERR_clear_error();
        return -ENOMEM;
    }
    BIO_set_data(b, s);
    BIO_set_init(b, 1);
    SSL_set_bio(s->ssl, b, b);
    SSL_set_app_data(s->ssl, s);
    s->profile = profile;
    SSL_set_verify(s->ssl, verify_mode(profile->verify), NULL);
    err = is_server ? set_server(s) : set_client(s, peer);
    tls_openssl_limit(s);
    if (!is_server && err == 0 && profile->n_pairs)
        err = use_own(s, profile->pairs[0]);
    if (io->mtu)
        tls_openssl_dgram_begin(s);
    if (err == 0 && !tls_openssl_watch(s))
        err = -ENOMEM;
    *out = s; /* on an error too: the caller frees it with the connection */
    ERR_clear_error();
    return err;
}

void tls_openssl_conn_free(struct tls_session *s)
{
    tls_openssl_unwatch(s);
    tls_openssl_own_free(s);
    SSL_free(s->ssl);
    free(s->info);
    OPENSSL_cleanse(s, sizeof(*s));
    free(s);
}

/* ---- records ---- */

enum tls_status tls_openssl_handshake(struct tls_session *s)
{
    ERR_clear_error();
    return tls_openssl_status(s, SSL_do_handshake(s->ssl));
}

enum tls_status tls_openssl_read_some(struct tls_session *s, void *buf, size_t len, size_t *n)
{
    ERR_clear_error();
    if (SSL_read_ex(s->ssl, buf, len, n) != 1)
        return tls_openssl_status(s, 0);
    s->n_opened++;
    if (s->watch)
        s->watch->has_read = true;
    return TLS_DONE;
}

enum tls_status tls_openssl_read(struct tls_session *s, void *buf, size_t len, size_t *n)
{
    return s->io.mtu ? tls_openssl_dgram_read(s, buf, len, n) : tls_openssl_read_some(s, buf, len, n);
}

/* RFC 8446 s5.5. TLS 1.2 and DTLS 1.2 would have to negotiate anew: tls_openssl_key_is_old(). */
static void renew_key(struct tls_session *s)
{
    if (s->n_sent >= s->o->records_a_key && SSL_version(s->ssl) == TLS1_3_VERSION && SSL_key_update(s->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1)
        s->n_sent = 0;
}

enum tls_status tls_openssl_write(struct tls_session *s, const void *buf, size_t len, size_t *n)
{
    int rc;

    ERR_clear_error();
    renew_key(s);
    rc = SSL_write_ex(s->ssl, buf, len, n);
    s->n_sent += rc == 1;
    return tls_openssl_status(s, rc);
}

bool tls_openssl_key_is_old(const struct tls_session *s)
{
    int nid;

    if (s->own)
        return tls_openssl_own_key_is_old(s);
    if (s->n_sent <= s->o->records_a_key || SSL_version(s->ssl) == TLS1_3_VERSION)
        return false;
    nid = SSL_CIPHER_get_cipher_nid(SSL_get_current_cipher(s->ssl));
    return nid == NID_aes_128_gcm || nid == NID_aes_256_gcm;
}

uint32_t tls_openssl_pending(const struct tls_session *s) { return s->own ? tls_openssl_own_pending(s) : (uint32_t)SSL_pending(s->ssl); }

enum tls_status tls_openssl_close_notify(struct tls_session *s)
{
    int rc;

    if (s->own)
        return tls_openssl_own_close_notify(s);
    ERR_clear_error();
    rc = SSL_shutdown(s->ssl);
    return rc >= 0 ? TLS_DONE : tls_openssl_status(s, rc); /* 0: ours is sent, the peer's has not come yet */
}

bool tls_openssl_keep_info(struct tls_session *s)
{
    struct tls_info *info = malloc(sizeof(*info));

    if (info)
        tls_openssl_info(s, info);
    s->info = info;
    return info;
}

void tls_openssl_info(const struct tls_session *s, struct tls_info *out)
{
    const unsigned char *alpn;
    unsigned alpn_len;
    const char *sni;

    if (s->info) {
        *out = *s->info;
        out->aead = s->own ? tls_openssl_own_aead(s) : out->aead;
        return;
    }
    sni = SSL_get_servername(s->ssl, TLSEXT_NAMETYPE_host_name);
    memset(out, 0, sizeof(*out));
    out->version = SSL_get_version(s->ssl);
    out->cipher = SSL_get_cipher_name(s->ssl);
    out->aead = "OpenSSL";
    snprintf(out->sni, sizeof(out->sni), "%s", sni ? sni : s->profile->hostname);
    SSL_get0_alpn_selected(s->ssl, &alpn, &alpn_len);
    snprintf(out->alpn, sizeof(out->alpn), "%.*s", (int)alpn_len, alpn ? (const char *)alpn : "");
    out->is_resumed = SSL_session_reused(s->ssl);
    out->n_unopened = tls_openssl_unopened(s);
    out->has_peer_cert = SSL_get0_peer_certificate(s->ssl) != NULL;
}
