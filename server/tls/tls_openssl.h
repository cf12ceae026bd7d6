/* tls_openssl.h - between tls_openssl.c (contexts, certificates) and tls_openssl_conn.c (connections)
 * Owner:  see tls_engine.h.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_TLS_OPENSSL_H
#define HOSTSTACK_SERVER_TLS_OPENSSL_H

#include <openssl/ssl.h>
#include <pthread.h>
#include "server/tls/tls.h"
#include "server/tls/tls_aead.h"
#include "server/tls/tls_engine.h"
#include "server/tls/tls_keymem.h"

/* RFC 8446 s5.5 and RFC 9325 s4.4, of AES-GCM: 2^24.5 records sent under a key; DTLS: 2^28 that could not be opened. */
enum { TLS_KEPT_SESSIONS = 1024, TLS_RECORDS_A_KEY = 1 << 24, TLS_UNOPENED_MAX = 1 << 28 };

struct tls_kept {                     /* what a client may go on with */
    uint64_t key;                     /* of peer, name and program */
    SSL_SESSION *session;
};
struct tls_tickets;
struct tls_openssl {                  /* the instance */
    const struct tls_config *cfg;     /* the stack's copy */
    SSL_CTX *client;                  /* for connections that programs begin */
    SSL_CTX *dtls_client;             /* NULL: the configuration wants TLS 1.3 or later */
    X509_STORE *trust;
    STACK_OF(X509_NAME) *ca_names;    /* listeners that ask for certificates name them */
    BIO_METHOD *bio;
    struct tls_aeads aeads;           /* of records in place */
    struct tls_keymem *keys;          /* their keys: struct tls_own */
    uint8_t secret[16];               /* for keys of `kept` */
    uint32_t records_a_key;           /* TLS_RECORDS_A_KEY; TLS 1.3: sent before the next key */
    uint32_t unopened_max;            /* TLS_UNOPENED_MAX */
    uint8_t cookie_secret[16];        /* DTLS; all workers and listeners, cookies name both ends */
    pthread_mutex_t lock;             /* the next two: any worker */
    struct tls_tickets *tickets;
    struct tls_kept kept[TLS_KEPT_SESSIONS];
};
struct tls_pair {
    atomic_uint refs;
    SSL_CTX *ctx;
    SSL_CTX *dtls;                    /* the same for DTLS; NULL as above */
    X509 *leaf;                       /* of ctx */
};
struct tls_own;
struct tls_watch {
    uint64_t n[2];                    /* records under the last keys: read, written */
    bool has_finished[2];
    bool has_ticket, has_read;        /* client: a ticket has come; text has */
    bool is_spoiled;                  /* the keys are not the first ones any more */
    uint8_t secret_len;
    uint8_t secret[2][48];            /* TLS 1.3: of client and server */
};
struct tls_hello_look {               /* how far ClientHellos were looked at, on their way to OpenSSL */
    uint32_t body, left;              /* of the record, of the message, still to come */
    uint8_t header[5], n_header;
    uint8_t message[4], n_message;
    bool has_changed;                 /* ChangeCipherSpec has come */
};
enum { TLS_HELLO_MAX = 16384 - 4 };   /* octets of a ClientHello: what OpenSSL has room for in any case */
struct tls_session {
    SSL *ssl;                         /* NULL when `own` is there */
    struct tls_io io;
    struct tls_profile *profile;
    struct tls_openssl *o;
    uint64_t kept_key;                /* client: where its session is kept for the next connection */
    struct ip_endpoint lcl, rmt;      /* DTLS: whose ClientHello is looked at */
    bool has_clock;                   /* DTLS: the next three count, not the wall clock */
    struct timeval *openssl_timer;    /* OpenSSL's own; NULL: no flight waits for an answer */
    uint64_t flight_due_us;           /* and when it is to go again */
    uint32_t flight_us;               /* how long it has waited then */
    struct tls_watch *watch;          /* what OpenSSL does until we take its place; NULL: nobody does */
    struct tls_own *own;              /* tls_openssl_record.c: we have */
    struct tls_info *info;            /* then: what OpenSSL knew */
    uint64_t n_sent;                  /* records of text that OpenSSL has sent under its key */
    struct tls_again *again;          /* DTLS: where records are put that go in one datagram; NULL: each goes by itself */
    uint64_t n_came, n_opened;        /* DTLS: protected records that came, and those that said something */
    bool is_unflushed;                /* OpenSSL has part of a record that found no room */
    bool ended;                       /* the stream below has */
    bool is_too_long;                 /* the ClientHello was */
    struct tls_hello_look look;       /* server, streams */
    int error_code;
    char error[TLS_TEXT_MAX];
};

/* tls_openssl_resume.c */
int tls_openssl_resume_open(struct tls_openssl *o);                 /* 0 or -1 */
void tls_openssl_resume_close(struct tls_openssl *o);
int tls_openssl_on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int seal);
void tls_openssl_keep(struct tls_openssl *o, uint64_t key, SSL_SESSION *session);  /* takes it */
SSL_SESSION *tls_openssl_take_kept(struct tls_openssl *o, uint64_t key);           /* the caller's; NULL = none */
void tls_openssl_forget_kept(struct tls_openssl *o, uint64_t key);

/* tls_openssl_dtls.c */
int tls_openssl_on_cookie(SSL *ssl, unsigned char *cookie, unsigned *len);
int tls_openssl_on_cookie_back(SSL *ssl, const unsigned char *cookie, unsigned len);
bool tls_openssl_greet(struct tls_session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt);
bool tls_openssl_has_random(const struct tls_session *s, const uint8_t random[TLS_RANDOM]);
void tls_openssl_set_io_arg(struct tls_session *s, void *arg);
int64_t tls_openssl_timeout_us(const struct tls_session *s);
enum tls_status tls_openssl_on_timeout(struct tls_session *s);
uint32_t tls_openssl_data_mtu(const struct tls_session *s);
long tls_openssl_dgram_ctrl(struct tls_session *s, int cmd, void *ptr);
void tls_openssl_dgram_begin(struct tls_session *s);
int tls_openssl_dgram_write(struct tls_session *s, const char *buf, int len);      /* as io.write() */
enum tls_status tls_openssl_dgram_read(struct tls_session *s, void *buf, size_t len, size_t *n);
uint64_t tls_openssl_unopened(const struct tls_session *s);

/* tls_openssl_limit.c */
uint32_t tls_openssl_handshake_bytes(void *e, bool is_server, bool is_datagram, const struct tls_profile *profile);
void tls_openssl_limit(struct tls_session *s);
bool tls_openssl_hello_fits(struct tls_session *s, const uint8_t *b, size_t len);      /* all that OpenSSL is given until the handshake is done */

/* tls_openssl_record.c */
size_t tls_openssl_own_size(void);
const char *tls_openssl_own_aead(const struct tls_session *s);
void tls_openssl_on_secret(const SSL *ssl, const char *line);
bool tls_openssl_watch(struct tls_session *s);                      /* false: no memory */
void tls_openssl_unwatch(struct tls_session *s);
void tls_openssl_own_free(struct tls_session *s);
bool tls_openssl_in_place(struct tls_session *s);
enum tls_status tls_openssl_readv(struct tls_session *s, const struct iovec *to, int n_to, size_t *n);
enum tls_status tls_openssl_writev(struct tls_session *s, const struct iovec *from, int n_from, size_t *n);
uint32_t tls_openssl_own_pending(const struct tls_session *s);
enum tls_status tls_openssl_own_close_notify(struct tls_session *s);
bool tls_openssl_own_key_is_old(const struct tls_session *s);

/* tls_openssl_conn.c */
enum tls_status tls_openssl_status(struct tls_session *s, int rc);
int tls_openssl_on_session(SSL *ssl, SSL_SESSION *session);
int tls_openssl_conn_new(void *e, bool is_server, struct tls_profile *profile, const struct ip_endpoint *peer, const struct tls_io *io,
                         struct tls_session **out);
void tls_openssl_conn_free(struct tls_session *s);
enum tls_status tls_openssl_handshake(struct tls_session *s);
enum tls_status tls_openssl_read_some(struct tls_session *s, void *buf, size_t len, size_t *n);
enum tls_status tls_openssl_read(struct tls_session *s, void *buf, size_t len, size_t *n);
enum tls_status tls_openssl_write(struct tls_session *s, const void *buf, size_t len, size_t *n);
uint32_t tls_openssl_pending(const struct tls_session *s);
enum tls_status tls_openssl_close_notify(struct tls_session *s);
bool tls_openssl_keep_info(struct tls_session *s);                 /* false: no memory */
void tls_openssl_info(const struct tls_session *s, struct tls_info *out);
bool tls_openssl_key_is_old(const struct tls_session *s);
const char *tls_openssl_error(const struct tls_session *s);
int tls_openssl_error_code(const struct tls_session *s);
int tls_openssl_on_sni(SSL *ssl, int *alert, void *arg);
int tls_openssl_on_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned in_len, void *arg);
BIO_METHOD *tls_openssl_bio_new(void);

#endif
