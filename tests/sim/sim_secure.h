/* sim_secure.h - what simulations of TLS and of DTLS have in common: two stacks with a certificate, numbers from a seed, whose port it is
 * Owner:  main() has the struct; stacks and programs live for a seed.
 * Errors: sim_secure_fail() notes the first; the rest is for whoever runs the seed. */
#ifndef HOSTSTACK_TESTS_SIM_SECURE_H
#define HOSTSTACK_TESTS_SIM_SECURE_H

#include "server/tls/tls_internal.h"
#include "tests/sim/sim_pair.h"

enum { SIM_SECURE_SERVER = 7 /* the application that has the certificate */ };

struct sim_secure {
    uint64_t seed, rng;
    struct sim_pair pair;
    struct sim_app *app[2];          /* who connects, who listens */
    struct sim_sock *listener;
    const char *failure;
    char *cert, *key;
    size_t cert_len, key_len;
    char ca[256];
    uint32_t n_connects;             /* of this seed */
    bool was_v4;                     /* the last one of these */
    const char *engine;              /* path of a shared object; NULL: the one that is built in */
};

uint64_t sim_secure_rnd(struct sim_secure *r);
uint32_t sim_secure_below(struct sim_secure *r, uint32_t n);
bool sim_secure_fail(struct sim_secure *r, const char *what);           /* false */
/* These are the ends of one connection. client: NULL, or in its handshake, too. */
bool sim_secure_is_pair(const struct sim_sock *client, const struct sim_sock *accepted);
/* From app[0] to that port of app[1], by either family. In every third seed the program chooses its ports, and each is used by both families. */
bool sim_secure_connect(struct sim_secure *r, uint8_t proto, uint16_t port, struct sim_sock **out);

/* DIRECTORY [--seeds A-B [ENGINE]] with ca.pem, server.pem, server.key; exits where it cannot be. The caller frees cert and key. */
void sim_secure_arguments(struct sim_secure *r, int argc, char **argv, unsigned long *first, unsigned long *last);
void sim_secure_begin(struct sim_secure *r);                            /* a seed */
/* The stack and the program at an end of r->pair; FIFOs have fifo_min << below(.., fifo_steps) bytes. cfg: from sim_secure_config(). */
struct tls_config sim_secure_config(struct sim_secure *r, uint64_t handshake_timeout_us);
bool sim_secure_make(struct sim_secure *r, unsigned end, const struct tls_config *cfg, uint32_t fifo_min, unsigned fifo_steps);
bool sim_secure_listen(struct sim_secure *r, uint8_t proto, uint16_t port);
/* Of a program that sets options: packets look alike, and in every fourth seed a receive FIFO is shorter than a record of TLS. Connections from
 * app[0] and the listener have them; for others, and for what was accepted (a program's library sets them again). */
bool sim_secure_options(struct sim_secure *r, struct sim_sock *s);
/* Runs until no connection of TLS is left. */
void sim_secure_drain(struct sim_secure *r, uint64_t limit_us);
void sim_secure_end(struct sim_secure *r);

#endif
