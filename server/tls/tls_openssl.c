/* tls_openssl.c - the engine over OpenSSL 3.0: what is trusted, certificates and keys, and what both sides may agree on */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include "server/tls/tls_openssl.h"

enum { SECURE_HEAP = 1 << 20, SECURE_MIN = 64, CHAIN_MAX = 10 };

static int say(int error, char *err, size_t err_len, const char *what)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;

    snprintf(err, err_len, "%s%s%s", what, reason ? ": " : "", reason ? reason : "");
    ERR_clear_error();
    return error;
}

/* OpenSSL 3.0 has DTLS 1.2 and no later. */
static bool has_dtls(const struct tls_openssl *o) { return o->cfg->min_version == TLS_V1_2; }

static int set_versions(SSL_CTX *ctx, const struct tls_openssl *o, bool is_dtls)
{
    if (is_dtls)
        return SSL_CTX_set_min_proto_version(ctx, DTLS1_2_VERSION);
    return SSL_CTX_set_min_proto_version(ctx, o->cfg->min_version == TLS_V1_3 ? TLS1_3_VERSION : TLS1_2_VERSION);
}

/* RFC 9325: TLS 1.2 and 1.3 only, no compression, no renegotiation. Buffers are released while a connection is idle. */
static SSL_CTX *ctx_new(const struct tls_openssl *o, const SSL_METHOD *method, bool is_dtls)
{
    SSL_CTX *ctx = SSL_CTX_new(method);

    if (!ctx)
        return NULL;
    SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    if (set_versions(ctx, o, is_dtls) != 1 ||
        (o->cfg->ciphers[0] && SSL_CTX_set_cipher_list(ctx, o->cfg->ciphers) != 1) ||
        (o->cfg->ciphersuites[0] && SSL_CTX_set_ciphersuites(ctx, o->cfg->ciphersuites) != 1)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_app_data(ctx, (void *)(uintptr_t)o);
    if (!is_dtls)
        SSL_CTX_set_keylog_callback(ctx, tls_openssl_on_secret);
    SSL_CTX_set_timeout(ctx, (long)(o->cfg->ticket_lifetime_us / 1000000));
    if (o->cfg->no_tickets)
        SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET);
    if (o->cfg->no_tickets && method == TLS_server_method())
        SSL_CTX_set_num_tickets(ctx, 0);
    if (o->trust)
        SSL_CTX_set1_cert_store(ctx, o->trust);
    return ctx;
}

/* Certificates of authorities of whom no list was given cannot be looked up, and are taken. */
static int on_verify(int ok, X509_STORE_CTX *x)
{
    if (ok || X509_STORE_CTX_get_error(x) != X509_V_ERR_UNABLE_TO_GET_CRL)
        return ok;
    X509_STORE_CTX_set_error(x, X509_V_OK);
    return 1;
}

static int load_crl(struct tls_openssl *o, char *err, size_t err_len)
{
    X509_LOOKUP *l = X509_STORE_add_lookup(o->trust, X509_LOOKUP_file());
    char what[320];

    snprintf(what, sizeof(what), "the revocation lists in %s cannot be read", o->cfg->crl_file);
    if (!l || X509_load_crl_file(l, o->cfg->crl_file, X509_FILETYPE_PEM) < 1)
        return say(-EINVAL, err, err_len, what);
    X509_STORE_set_flags(o->trust, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
    X509_STORE_set_verify_cb(o->trust, on_verify);
    return 0;
}

static int load_trust(struct tls_openssl *o, char *err, size_t err_len)
{
    const char *file = o->cfg->ca_file;
    char what[320];

    o->trust = X509_STORE_new();
    if (!o->trust)
        return say(-ENOMEM, err, err_len, "no memory");
    if (o->cfg->crl_file[0]) {
        int rc = load_crl(o, err, err_len);
        if (rc != 0)
            return rc;
    }
    if (!file[0])
        return X509_STORE_set_default_paths(o->trust) == 1 ? 0 : say(-EIO, err, err_len, "the system's certificates cannot be read");
    snprintf(what, sizeof(what), "the certificates in %s cannot be read", file);
    if (X509_STORE_load_file(o->trust, file) != 1)
        return say(-EINVAL, err, err_len, what);
    o->ca_names = SSL_load_client_CA_file(file);
    return o->ca_names ? 0 : say(-EINVAL, err, err_len, what);
}

static void openssl_close(void *e)
{
    struct tls_openssl *o = e;

    SSL_CTX_free(o->client);
    SSL_CTX_free(o->dtls_client);
    tls_openssl_resume_close(o);
    X509_STORE_free(o->trust);
    sk_X509_NAME_pop_free(o->ca_names, X509_NAME_free);
    BIO_meth_free(o->bio);
    tls_keymem_free(o->keys);
    tls_aeads_release(&o->aeads);
    free(o);
}

static SSL_CTX *client_ctx(const struct tls_openssl *o, const SSL_METHOD *method, bool is_dtls)
{
    SSL_CTX *ctx = ctx_new(o, method, is_dtls);

    if (!ctx)
        return NULL;
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, tls_openssl_on_session);
    return ctx;
}

/* What OpenSSL frees is cleansed, all of it: its readers of keys leave copies in what they free (3.0: the octets of the text's base64). */
static void free_clean(void *p, const char *file, int line)
{
    (void)file, (void)line;
    if (p)
        explicit_bzero(p, malloc_usable_size(p));
    free(p);
}

static void *realloc_clean(void *p, size_t len, const char *file, int line)
{
    size_t had = p ? malloc_usable_size(p) : 0;
    void *to = len ? malloc(len) : NULL;

    if (to && p)
        memcpy(to, p, hs_min_u64(had, len));
    if (to || !len)
        free_clean(p, file, line);
    return to;
}

static int openssl_open(const struct tls_config *cfg, char *err, size_t err_len, void **out)
{
    struct tls_openssl *o = calloc(1, sizeof(*o));
    int rc;

    if (!o)
        return say(-ENOMEM, err, err_len, "no memory");
    (void)CRYPTO_set_mem_functions(NULL, realloc_clean, free_clean); /* not in programs of tests that have used OpenSSL already */
    /* Private keys are kept in memory that is locked and cleansed, as far as the limit on locked memory allows. */
    if (!CRYPTO_secure_malloc_initialized())
        (void)CRYPTO_secure_malloc_init(SECURE_HEAP, SECURE_MIN);
    o->cfg = cfg;
    o->records_a_key = TLS_RECORDS_A_KEY;
    o->unopened_max = TLS_UNOPENED_MAX;
    tls_aeads_choose(&o->aeads, false);
    o->keys = tls_keymem_new(tls_openssl_own_size());
    o->bio = tls_openssl_bio_new();
    rc = tls_openssl_resume_open(o) == 0 && o->bio && o->keys && RAND_bytes(o->secret, sizeof(o->secret)) == 1 &&
                 RAND_bytes(o->cookie_secret, sizeof(o->cookie_secret)) == 1
             ? load_trust(o, err, err_len)
             : say(-ENOMEM, err, err_len, "no memory, or no random numbers");
    if (rc == 0) {
        o->client = client_ctx(o, TLS_client_method(), false);
        o->dtls_client = has_dtls(o) ? client_ctx(o, DTLS_client_method(), true) : NULL;
        if (!o->client || (has_dtls(o) && !o->dtls_client))
            rc = say(-EINVAL, err, err_len, "the ciphers of tls { } cannot be used");
    }
    if (rc != 0) {
        openssl_close(o);
        return rc;
    }
    *out = o;
    return 0;
}

static const char *openssl_aead(void *e)
{
    const struct tls_openssl *o = e;

    return tls_aeads_name(&o->aeads, TLS_AES_128_GCM);
}

/* ---- pairs ---- */

static int no_password(char *buf, int size, int rwflag, void *arg)
{
    (void)buf, (void)size, (void)rwflag, (void)arg;
    return -1; /* else OpenSSL would ask at the terminal */
}

/* NULL, or what is wrong: a chain is used as a whole, whatever of it could be read. */
static const char *use_chain(SSL_CTX *ctx, const char *pem, size_t len)
{
    static const char bad[] = "the certificate cannot be used";
    BIO *b = BIO_new_mem_buf(pem, (int)len);
    X509 *x = b ? PEM_read_bio_X509_AUX(b, NULL, no_password, NULL) : NULL;
    const char *fault = x && SSL_CTX_use_certificate(ctx, x) == 1 ? NULL : bad;
    unsigned n = 0;

    X509_free(x);
    while (!fault && (x = PEM_read_bio_X509(b, NULL, no_password, NULL)) != NULL) {
        if (n++ == CHAIN_MAX)
            fault = "more than 10 certificates follow the first one";
        else if (SSL_CTX_add0_chain_cert(ctx, x) != 1)
            fault = bad;
        if (fault)
            X509_free(x);
    }
    if (!fault && ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        fault = "a certificate behind the first one cannot be read";
    else if (!fault)
        ERR_clear_error(); /* the end of the text */
    BIO_free(b);
    return fault;
}

static int use_key(SSL_CTX *ctx, const char *pem, size_t len)
{
    BIO *b = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, no_password, NULL) : NULL;
    int ok = k && SSL_CTX_use_PrivateKey(ctx, k) == 1;

    EVP_PKEY_free(k);
    BIO_free(b);
    return ok;
}

static struct tls_pair *pair_get(struct tls_pair *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

static void pair_free(struct tls_pair *p)
{
    SSL_CTX_free(p->ctx);
    SSL_CTX_free(p->dtls);
    free(p);
}

static void pair_put(struct tls_pair *p)
{
    if (!p || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    pair_free(p);
}

static void use_callbacks(const struct tls_openssl *o, SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, tls_openssl_on_ticket);
    SSL_CTX_set_tlsext_servername_callback(ctx, tls_openssl_on_sni);
    SSL_CTX_set_alpn_select_cb(ctx, tls_openssl_on_alpn, NULL);
    if (o->ca_names)
        SSL_CTX_set_client_CA_list(ctx, SSL_dup_CA_list(o->ca_names));
}

/* Certificate, chain and key are those of p->ctx, not copies. */
static SSL_CTX *dtls_twin(const struct tls_openssl *o, const struct tls_pair *p)
{
    SSL_CTX *ctx = ctx_new(o, DTLS_server_method(), true);
    STACK_OF(X509) *chain = NULL;

    SSL_CTX_get0_chain_certs(p->ctx, &chain);
    if (!ctx || SSL_CTX_use_certificate(ctx, p->leaf) != 1 || SSL_CTX_use_PrivateKey(ctx, SSL_CTX_get0_privatekey(p->ctx)) != 1 ||
        (chain && SSL_CTX_set1_chain(ctx, chain) != 1)) {
        SSL_CTX_free(ctx);
        return NULL;
    }
    SSL_CTX_set_cookie_generate_cb(ctx, tls_openssl_on_cookie);
    SSL_CTX_set_cookie_verify_cb(ctx, tls_openssl_on_cookie_back);
    use_callbacks(o, ctx);
    return ctx;
}

static int pair_new(void *e, const char *cert, size_t cert_len, const char *key, size_t key_len, char *err, size_t err_len,
                    struct tls_pair **out)
{
    struct tls_openssl *o = e;
    struct tls_pair *p = calloc(1, sizeof(*p));
    const char *fault;
    int rc;

    ERR_clear_error();
    if (!p)
        return say(-ENOMEM, err, err_len, "no memory");
    atomic_store(&p->refs, 1);
    p->ctx = ctx_new(o, TLS_server_method(), false);
    if (!p->ctx) {
        rc = say(-ENOMEM, err, err_len, "no context");
        goto undo;
    }
    fault = use_chain(p->ctx, cert, cert_len);
    if (fault) {
        rc = say(-EINVAL, err, err_len, fault);
        goto undo;
    }
    if (!use_key(p->ctx, key, key_len)) {
        rc = say(-EINVAL, err, err_len, "the private key cannot be used");
        goto undo;
    }
    if (SSL_CTX_check_private_key(p->ctx) != 1) {
        rc = say(-EINVAL, err, err_len, "certificate and key do not belong together");
        goto undo;
    }
    p->leaf = SSL_CTX_get0_certificate(p->ctx);
    use_callbacks(o, p->ctx);
    p->dtls = has_dtls(o) ? dtls_twin(o, p) : NULL;
    if (has_dtls(o) && !p->dtls) {
        rc = say(-ENOMEM, err, err_len, "no context for DTLS");
        goto undo;
    }
    *out = p;
    return 0;
undo:
    pair_free(p);
    return rc;
}

const struct tls_engine tls_openssl_engine = {
    .abi = TLS_ENGINE_ABI,
    .size = sizeof(struct tls_engine),
    .name = "openssl",
    .open = openssl_open,
    .close = openssl_close,
    .aead = openssl_aead,
    .pair_new = pair_new,
    .pair_get = pair_get,
    .pair_put = pair_put,
    .conn_new = tls_openssl_conn_new,
    .conn_free = tls_openssl_conn_free,
    .handshake_bytes = tls_openssl_handshake_bytes,
    .handshake = tls_openssl_handshake,
    .read = tls_openssl_read,
    .write = tls_openssl_write,
    .in_place = tls_openssl_in_place,
    .readv = tls_openssl_readv,
    .writev = tls_openssl_writev,
    .pending = tls_openssl_pending,
    .key_is_old = tls_openssl_key_is_old,
    .close_notify = tls_openssl_close_notify,
    .greet = tls_openssl_greet,
    .has_random = tls_openssl_has_random,
    .set_io_arg = tls_openssl_set_io_arg,
    .timeout_us = tls_openssl_timeout_us,
    .on_timeout = tls_openssl_on_timeout,
    .data_mtu = tls_openssl_data_mtu,
    .info = tls_openssl_info,
    .error = tls_openssl_error,
    .error_code = tls_openssl_error_code,
};
