/* sim_tls.c - TLS between two stacks over a network that loses, delays, reorders and doubles; and records that somebody has damaged
 *
 *   sim_tls DIRECTORY [--seeds A-B [ENGINE]]     DIRECTORY has ca.pem, server.pem, server.key; exit 0: all passed; 1: prints the failing seed
 *
 * Network, programs and damage follow from the seed; what OpenSSL makes up (keys, signatures) does not, so that a frame may differ by some
 * bytes when a seed is run again. At the end of a seed no connection of TLS or TCP may be left. */
#include <errno.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "server/tcp/tcp.h"
#include "tests/sim/sim_secure.h"

enum { FLOWS = 6, PORT = 443, LIMIT_US = 600000000, PIECE = 9000 };

struct flow {
    struct sim_sock *c, *s;          /* who connects, who accepts */
    uint32_t to_send[2], sent[2], got[2];
    bool shut[2], ended[2];
    int error;
};
struct run {
    struct sim_secure s;
    struct flow flow[FLOWS];
    unsigned n_flows;
    uint64_t handshakes, resumed, in_place, refused; /* at the server, over all seeds */
};

static uint32_t below(struct run *r, uint32_t n) { return sim_secure_below(&r->s, n); }
static bool fail(struct run *r, const char *what) { return sim_secure_fail(&r->s, what); }

/* ---- programs ---- */

/* One side of a flow: writes its pattern, shuts down, reads the other's to the end. */
static unsigned side_step(struct run *r, struct flow *f, unsigned i)
{
    struct sim_sock *s = i ? f->s : f->c;
    unsigned did = 0;
    int64_t n;

    if (!s || !s->connected || f->ended[i])
        return 0;
    while (f->sent[i] < f->to_send[i] &&
           (n = sim_write_pattern(s, (uint32_t)r->s.seed + i, hs_min_u32(f->to_send[i] - f->sent[i], 1 + below(r, PIECE)))) > 0) {
        f->sent[i] += (uint32_t)n;
        did++;
    }
    if (f->sent[i] == f->to_send[i] && !f->shut[i]) {
        f->shut[i] = true;
        sim_shutdown(s, SHUT_WR);
        did++;
    }
    while ((n = sim_read_check(s, (uint32_t)r->s.seed + !i, PIECE)) > 0) {
        f->got[i] += (uint32_t)n;
        did++;
    }
    if (n == -EAGAIN || !f->shut[i])
        return did;
    f->ended[i] = true;
    if (n < 0)
        f->error = (int)n;
    sim_close(s, -1);
    return did + 1;
}

static unsigned step(void *arg, uint64_t now_us)
{
    struct run *r = arg;
    struct sim_sock *s;
    unsigned did = 0;

    (void)now_us;
    while (r->s.listener && (s = sim_accept(r->s.listener)) != NULL) {
        did++;
        for (unsigned i = 0; i < r->n_flows; i++) {
            struct flow *f = &r->flow[i];
            if (!f->s && sim_secure_is_pair(f->c, s)) {
                f->s = s;
                sim_secure_options(&r->s, s);
                s = NULL;
                break;
            }
        }
        if (s) { /* of a damaged connection that came through the handshake all the same */
            sim_close(s, 0);
            sim_sock_free(s);
        }
    }
    for (unsigned i = 0; i < r->n_flows; i++)
        did += side_step(r, &r->flow[i], 0) + side_step(r, &r->flow[i], 1);
    return did;
}

static bool all_over(void *arg)
{
    const struct run *r = arg;

    for (unsigned i = 0; i < r->n_flows; i++) {
        const struct flow *f = &r->flow[i];
        if (!f->ended[0] || !f->ended[1]) {
            if (f->c && f->c->connect_done && f->c->connect_error)
                continue;
            return false;
        }
    }
    return true;
}

/* ---- a client whose records are damaged on their way ---- */

static void to_stack(struct run *r, struct sim_sock *s, BIO *out, bool damage)
{
    uint8_t buf[4096];
    int n;

    while ((n = BIO_read(out, buf, sizeof(buf))) > 0) {
        if (damage && below(r, 3) == 0)
            buf[below(r, (uint32_t)n)] ^= (uint8_t)(1 + below(r, 255));
        if (damage && below(r, 8) == 0)
            n = (int)below(r, (uint32_t)n) + 1; /* and what follows is taken for a record */
        for (int done = 0; done < n;) {
            int64_t k = sim_write(s, buf + done, (uint32_t)(n - done));
            if (k <= 0)
                return;
            done += (int)k;
        }
    }
}

static bool connected(void *arg)
{
    const struct sim_sock *s = arg;

    return s->connect_done;
}

static void damaged_client(struct run *r, SSL_CTX *ctx)
{
    struct ip_endpoint to = sim_pair_endpoint(1, sim_secure_rnd(&r->s) & 1, PORT);
    struct sim_sock *s;
    SSL *ssl = SSL_new(ctx);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    uint8_t buf[4096];

    if (!ssl || !in || !out || sim_connect(r->s.app[0], SVM_PROTO_TCP, NULL, &to, &s) != 0) {
        fail(r, "no damaged client");
        return;
    }
    SSL_set_bio(ssl, in, out);
    SSL_set_connect_state(ssl);
    (void)sim_net_run_while(r->s.pair.net, connected, s, r->s.pair.stack[0]->worker[0]->now_us + 60000000);
    for (unsigned turn = 0; turn < 20 && s->connected && !s->is_reset && !sim_at_eof(s); turn++) {
        int64_t n;
        if (SSL_do_handshake(ssl) == 1)
            SSL_write(ssl, buf, (int)sizeof(buf));
        to_stack(r, s, out, true);
        if (below(r, 10) == 0) /* no TLS at all */
            sim_write(s, buf, below(r, sizeof(buf)));
        (void)sim_net_run_until(r->s.pair.net, r->s.pair.stack[0]->worker[0]->now_us + 300000);
        while ((n = sim_read(s, buf, sizeof(buf))) > 0)
            BIO_write(in, buf, (int)n);
    }
    SSL_free(ssl);
    sim_close(s, below(r, 2) ? 0 : -1);
    sim_sock_free(s);
}

/* ---- a seed ---- */

static bool make(struct run *r)
{
    struct sim_params link = { .delay_us = below(r, 20000), .loss_ppm = below(r, 50000), .dup_ppm = below(r, 20000),
                               .reorder_ppm = below(r, 50000), .reorder_us = below(r, 20000), .jitter_us = below(r, 3000) };

    if (sim_pair_create(&r->s.pair, r->s.seed, &link, false) != 0)
        return fail(r, "no stacks");
    for (unsigned i = 0; i < 2; i++) {
        struct tls_config cfg = sim_secure_config(&r->s, 60000000);
        cfg.min_version = i && below(r, 2) ? TLS_V1_3 : TLS_V1_2;
        if (!sim_secure_make(&r->s, i, &cfg, 4096, 6))
            return false;
    }
    return sim_secure_listen(&r->s, SVM_PROTO_TLS, PORT);
}

static void transfers(struct run *r)
{
    r->n_flows = 1 + below(r, FLOWS);
    for (unsigned i = 0; i < r->n_flows; i++) {
        struct flow *f = &r->flow[i];
        sim_secure_connect(&r->s, SVM_PROTO_TLS, PORT, &f->c);
        f->to_send[0] = below(r, 200000);
        f->to_send[1] = below(r, 4) ? below(r, 200000) : 0;
    }
    if (!r->s.failure && sim_net_run_while(r->s.pair.net, all_over, r, r->s.pair.stack[0]->worker[0]->now_us + LIMIT_US) != 0)
        fail(r, "the transfers do not end");
    for (unsigned i = 0; i < r->n_flows; i++) {
        struct flow *f = &r->flow[i];
        if (f->error || (f->c && f->c->connect_error) || f->got[0] != f->to_send[1] || f->got[1] != f->to_send[0])
            fail(r, "bytes are missing, changed, or an error came");
        if (f->c)
            sim_sock_free(f->c);
        if (f->s)
            sim_sock_free(f->s);
    }
    memset(r->flow, 0, sizeof(r->flow));
    r->n_flows = 0;
}

static void run_seed(struct run *r, SSL_CTX *ctx)
{
    sim_secure_begin(&r->s);
    if (make(r)) {
        sim_net_set_hook(r->s.pair.net, step, r);
        transfers(r);
        for (unsigned n = below(r, 4); n > 0; n--)
            damaged_client(r, ctx);
        transfers(r); /* it serves on; and these resume */
        sim_secure_drain(&r->s, LIMIT_US);
    }
    if (r->s.app[1]) {
        const struct tls_counters *c = &tls_worker_of(r->s.pair.stack[1]->worker[0])->count;
        r->handshakes += c->handshakes;
        r->resumed += c->resumed;
        r->in_place += c->in_place;
        r->refused += c->handshakes_failed + c->bad_records;
    }
    sim_secure_end(&r->s);
}

int main(int argc, char **argv)
{
    struct run r = { 0 };
    unsigned long a = 1, b = 40;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    sim_secure_arguments(&r.s, argc, argv, &a, &b);
    if (!ctx || sim_eal_init("simtls") != 0 || transport_register(&tls_transport_ops) != 0)
        return 2;
    for (r.s.seed = a; r.s.seed <= b && !r.s.failure; r.s.seed++) {
        run_seed(&r, ctx);
        if (r.s.failure)
            printf("seed %lu: %s\n", (unsigned long)r.s.seed, r.s.failure);
    }
    printf("%lu handshakes, %lu resumed, %lu in place, %lu refused\n", (unsigned long)r.handshakes, (unsigned long)r.resumed,
           (unsigned long)r.in_place, (unsigned long)r.refused);
    if (!r.s.failure && b - a >= 19 && ((r.resumed < 10 && !r.s.engine) || r.refused < 10 || r.in_place < 100))
        r.s.failure = "hardly anything was resumed, refused, or in place";
    if (r.s.failure)
        printf("%s\n", r.s.failure);
    SSL_CTX_free(ctx);
    free(r.s.cert);
    free(r.s.key);
    return r.s.failure != NULL;
}
