/* tls.h - TLS as a transport (RFC 5246, RFC 8446), registered once, with state per worker and per stack
 *
 *   daemon -> tls_stack_create() after the stack is made -> workers run -> tls_stack_destroy() when they do not any more
 *   server/app -> tls_store_put(), tls_store_del(), tls_store_app_gone(): what programs send over their attach sockets
 *
 * Owner:  struct tls_stack: the stack.
 * Thread: tls_store_*: the control thread.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_TLS_H
#define HOSTSTACK_SERVER_TLS_H

#include "server/session/transport.h"

struct stack;

struct tls_config {
    char engine[256];            /* empty: OpenSSL; else tls_engine_load() */
    char ca_file[256];           /* trusted certificates, PEM; empty: the distribution's */
    char ciphers[256];           /* TLS 1.2, OpenSSL's syntax; empty: the library's */
    char ciphersuites[256];      /* TLS 1.3 */
    char crl_file[256];          /* revocation lists, PEM; empty: none */
    unsigned min_version;        /* enum tls_version */
    unsigned verify;             /* enum svm_tls_verify: what listeners ask of clients */
    unsigned verify_server;      /* what clients ask of servers: SVM_TLS_VERIFY_NONE or _REQUIRED */
    uint64_t handshake_timeout_us;
    uint64_t dtls_idle_us;       /* a DTLS connection without a message for so long has ended; 0 = never */
    uint64_t ticket_lifetime_us; /* and after how long tickets get another key */
    bool no_tickets;
    uint32_t fifo_size;          /* bytes of records a direction, power of two */
    uint32_t max_handshakes;     /* at a time, of a worker */
    uint64_t handshake_memory;   /* bytes of a worker, for handshakes of who connects to us; as many for those that programs begin */
    uint32_t handshake_threads;  /* 0: workers do them */
};
enum tls_version { TLS_V1_2, TLS_V1_3 };

void tls_config_defaults(struct tls_config *cfg);
/* err: one line about what is wrong with it. */
int tls_stack_create(struct stack *s, const struct tls_config *cfg, char *err, size_t err_len);
/* Threads, where the configuration wants some: once, when privileges have been dropped and before workers run. */
int tls_stack_start(struct stack *s, char *err, size_t err_len);
void tls_stack_destroy(struct stack *s);

extern const struct transport_ops tls_transport_ops, dtls_transport_ops; /* TLS first */

/* ---- certificates and configurations of programs (tls_store.c) ---- */
/* *id: of the object, unique in the stack, > 0. replace: id of one to take the place of, 0 = none. */
int tls_store_put_pair(struct stack *s, uint32_t app_id, const char *cert, size_t cert_len, const char *key, size_t key_len,
                       uint32_t replace, uint32_t *id, char *err, size_t err_len);
int tls_store_put_config(struct stack *s, uint32_t app_id, const struct svm_tls_config *cfg, uint32_t *id, char *err, size_t err_len);
int tls_store_del(struct stack *s, uint32_t app_id, uint32_t id);    /* -ENOENT */
void tls_store_app_gone(struct stack *s, uint32_t app_id);

#endif
