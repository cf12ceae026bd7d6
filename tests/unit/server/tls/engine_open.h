/* engine_open.h - an engine with a certificate of its own, for tests of one connection's two ends
 * Owner:  the test: e->pair_put(), e->close().
 * Errors: assertions of the test that runs. */
#ifndef HOSTSTACK_TESTS_UNIT_TLS_ENGINE_OPEN_H
#define HOSTSTACK_TESTS_UNIT_TLS_ENGINE_OPEN_H

#include <criterion/criterion.h>
#include "server/tls/tls.h"
#include "server/tls/tls_openssl.h"
#include "tests/fuzz/fuzz_pair.h"

/* Nobody verifies; cfg stays the caller's. */
static inline struct tls_openssl *engine_open(const struct tls_config *cfg, struct tls_profile *server, struct tls_profile *client)
{
    static struct fuzz_pair pair;
    const struct tls_engine *e = &tls_openssl_engine;
    char err[256] = "";
    void *instance;

    cr_assert(fuzz_make_pair(&pair));
    cr_assert_eq(e->open(cfg, err, sizeof(err), &instance), 0, "%s", err);
    cr_assert_eq(e->pair_new(instance, pair.cert, pair.cert_len, pair.key, pair.key_len, err, sizeof(err), &server->pairs[0]), 0, "%s", err);
    server->n_pairs = 1;
    server->verify = client->verify = SVM_TLS_VERIFY_NONE;
    return instance;
}

#endif
