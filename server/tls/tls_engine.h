/* tls_engine.h - what the TLS transport asks of a cryptographic library
 *
 * An engine keeps no thread and no socket: a connection reads and writes records through two functions, from and to the FIFOs of the
 * session below, and says what it waits for. Bytes in clear go straight into and out of the program's FIFOs. When the handshake is over
 * an engine may take records from where they are, and put them where they go, in one pass: in_place(), readv(), writev().
 *
 * Which engine it is, the configuration says (tls { engine }): tls_load.c. One from elsewhere is a shared object, compiled with this header, that
 * has a struct tls_engine by the name TLS_ENGINE_SYMBOL; it uses nothing of the server but what it is given. Without datagrams: the functions from
 * greet() to data_mtu() are NULL.
 *
 * Owner:  an instance: struct tls_stack. Pairs and profiles are counted, by any thread. Connections: the worker that made them.
 * Thread: instance and pairs: made by the control thread, read by all. A connection: one thread at a time.
 * Memory: process-private. Plain text is SHARED memory of a program: written or read once, never looked at again.
 * Errors: 0 or -errno with a text; or enum tls_status with error() and error_code(). */
#ifndef HOSTSTACK_SERVER_TLS_ENGINE_H
#define HOSTSTACK_SERVER_TLS_ENGINE_H

#include <stdatomic.h>
#include <sys/uio.h>
#include "common/ip_addr.h"
#include "svm/svm_proto.h"

struct tls_config;   /* tls.h */
struct tls_pair;     /* the engine's: certificate chain and private key */
struct tls_session;  /* the engine's: one connection */

enum { TLS_ENGINE_ABI = 1 };   /* changes with struct tls_engine, and with what it points to */
#define TLS_ENGINE_SYMBOL "hoststack_tls_engine"

enum tls_limits { TLS_PAIRS_MAX = SVM_TLS_PAIRS_MAX, TLS_RECORD_MAX = 16384, TLS_TEXT_MAX = 200, TLS_RANDOM = 32 };

enum tls_status {
    TLS_DONE,
    TLS_WANT_READ,   /* waits for records of the peer */
    TLS_WANT_WRITE,  /* waits for room in the session below */
    TLS_CLOSED,      /* the peer's close_notify: no byte follows */
    TLS_FAILED,
};

/* What a connection is to be like. Immutable; counted. */
struct tls_profile {
    atomic_uint refs;
    unsigned n_pairs;
    struct tls_pair *pairs[TLS_PAIRS_MAX]; /* the first is the default, others are chosen by SNI */
    uint32_t app_id;                       /* tickets of one program are not good for another one's listeners */
    uint8_t verify;                        /* enum svm_tls_verify */
    uint16_t alpn_len;
    uint8_t alpn[SVM_TLS_ALPN_MAX];        /* as in RFC 7301 s3.1: length octet and name, best first */
    char hostname[SVM_TLS_NAME_MAX];       /* client: for SNI and to compare the certificate with; empty: compared with the address */
};

/* The stream below where it lies. */
struct tls_io_in_place {
    int (*peek)(void *arg, uint32_t len, struct iovec iov[4]);    /* the next bytes, as far as they have come; number of pieces, <= 0: none */
    void (*drop)(void *arg, uint32_t len);
    bool (*is_ended)(void *arg);                                  /* after what peek() gives nothing follows */
    int (*reserve)(void *arg, uint32_t len, struct iovec iov[2]); /* room, less than len if there is no more; number of pieces, <= 0: none */
    void (*commit)(void *arg, uint32_t len);
};

struct tls_io {
    void *arg;
    /* Bytes moved; 0 = none now. -1: the stream below has ended. */
    int (*read)(void *arg, void *buf, size_t len);
    int (*write)(void *arg, const void *buf, size_t len);
    uint64_t (*now_us)(void *arg);         /* with mtu: the clock of timeout_us() */
    unsigned (*mtu)(void *arg);            /* bytes of the largest datagram that the path takes whole; NULL: a stream. Else read() and
                                              write() move one datagram, and the protocol is DTLS */
    const struct tls_io_in_place *place;   /* NULL: there is none */
};

struct tls_info {
    const char *version, *cipher;
    const char *aead;                      /* what makes and opens records */
    char sni[SVM_TLS_NAME_MAX], alpn[64];
    bool is_resumed, has_peer_cert;
    uint64_t n_unopened;                   /* DTLS: records that were forged, doubled or old */
};

struct tls_engine {
    uint32_t abi, size;                    /* TLS_ENGINE_ABI, sizeof(struct tls_engine) */
    const char *name;
    int (*open)(const struct tls_config *cfg, char *err, size_t err_len, void **out);
    void (*close)(void *e);
    const char *(*aead)(void *e);          /* what does AES-GCM of records in place, for people */

    /* PEM text; the chain after the certificate. -EINVAL: not one, encrypted, or not belonging together. */
    int (*pair_new)(void *e, const char *cert, size_t cert_len, const char *key, size_t key_len, char *err, size_t err_len,
                    struct tls_pair **out);
    struct tls_pair *(*pair_get)(struct tls_pair *p);
    void (*pair_put)(struct tls_pair *p);

    /* profile outlives the connection. peer: whose certificate a client expects where there is no name. */
    int (*conn_new)(void *e, bool is_server, struct tls_profile *profile, const struct ip_endpoint *peer, const struct tls_io *io,
                    struct tls_session **out);   /* *out may be set on an error, too */
    void (*conn_free)(struct tls_session *s);
    /* The most that a connection holds until its handshake is done, whatever the peer sends, beside what io gives. profile: NULL: any. */
    uint32_t (*handshake_bytes)(void *e, bool is_server, bool is_datagram, const struct tls_profile *profile);
    enum tls_status (*handshake)(struct tls_session *s);
    enum tls_status (*read)(struct tls_session *s, void *buf, size_t len, size_t *n);
    /* After TLS_WANT_WRITE the next call must offer the same bytes again. */
    enum tls_status (*write)(struct tls_session *s, const void *buf, size_t len, size_t *n);
    /* True: from now on and for good, readv() and writev() are to be called, not read() and write(). Not to be asked while read() gets bytes that
     * are not the stream's next, or write() waits for the same bytes again. */
    bool (*in_place)(struct tls_session *s);
    enum tls_status (*readv)(struct tls_session *s, const struct iovec *to, int n_to, size_t *n);
    /* A record; after TLS_WANT_WRITE nothing is owed. */
    enum tls_status (*writev)(struct tls_session *s, const struct iovec *from, int n_from, size_t *n);
    uint32_t (*pending)(const struct tls_session *s);   /* bytes of an opened record that nobody has taken yet */
    bool (*key_is_old)(const struct tls_session *s);    /* more was sent under it than is advised, and the protocol has no other */
    enum tls_status (*close_notify)(struct tls_session *s);
    /* DTLS, a server that keeps nothing: answers the datagram that io->read() gives next. True: it was a ClientHello with our cookie (RFC 6347
     * s4.2.1), the handshake may begin, io->arg is the connection's from now on. */
    bool (*greet)(struct tls_session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt);
    bool (*has_random)(const struct tls_session *s, const uint8_t random[TLS_RANDOM]); /* the ClientHello that it is of had this one */
    void (*set_io_arg)(struct tls_session *s, void *arg);
    int64_t (*timeout_us)(const struct tls_session *s); /* DTLS: until on_timeout() is to be called; -1: no flight waits for an answer */
    enum tls_status (*on_timeout)(struct tls_session *s);
    uint32_t (*data_mtu)(const struct tls_session *s);  /* DTLS: bytes of the largest message that goes in one datagram */
    void (*info)(const struct tls_session *s, struct tls_info *out);
    const char *(*error)(const struct tls_session *s);  /* of the last TLS_FAILED: the library's own reason */
    int (*error_code)(const struct tls_session *s);     /* -EPROTO, -EKEYREJECTED (certificate), -ECONNRESET (truncated) … */
};

extern const struct tls_engine tls_openssl_engine;

/* tls_load.c. name: "" or "openssl", or the path of a shared object. *object: for tls_engine_unload(), when nothing of it is in use any more. */
int tls_engine_load(const char *name, const struct tls_engine **out, void **object, char *err, size_t err_len);
void tls_engine_unload(void *object);      /* NULL is fine */
static inline bool tls_engine_has_dtls(const struct tls_engine *e) { return e->greet != NULL; }

#endif
