/* sim_secure.c - two stacks that speak TLS or DTLS, for simulations */
#include "tests/sim/sim_secure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "common/splitmix.h"
#include "server/session/session_run.h"

enum { FIRST_PORT = 20000 /* none that a stack chooses by itself */, TTL = 33, TOS = 0xb8, BACKLOG = 64, SHORT_FIFO = 8192 /* than a record */ };
enum { ETH = 14, V4 = 20, V6 = 40, TCP = 6, UDP = 17, FLAGS = 13, RST = 4 };

uint64_t sim_secure_rnd(struct sim_secure *r)
{
    return hs_splitmix(&r->rng);
}

uint32_t sim_secure_below(struct sim_secure *r, uint32_t n) { return (uint32_t)(sim_secure_rnd(r) % n); }

bool sim_secure_fail(struct sim_secure *r, const char *what)
{
    if (!r->failure)
        r->failure = what;
    return false;
}

/* By the whole endpoint: two connections may come from one port, each by a family of its own. */
bool sim_secure_is_pair(const struct sim_sock *client, const struct sim_sock *accepted)
{
    const struct session *s = client ? client->session : NULL;
    const struct ip_endpoint *own, *seen = &accepted->session->rmt;

    if (!s)
        return false;
    own = s->conn ? &s->conn->lcl : &s->lcl;
    return own->port.raw == seen->port.raw && ip_addr_eq(&own->ip, &seen->ip);
}

/* ---- options that programs have set before connect() and listen() ---- */

/* Every packet has them, the first ones, too: SYN and SYN,ACK, ClientHello and HelloVerifyRequest. A reset may be nobody's. */
static bool tap(void *arg, struct sim_link *l, unsigned end, const uint8_t *frame, uint32_t len, uint64_t now_us)
{
    const uint8_t *ip = frame + ETH;
    bool is_v4 = frame[12] == 0x08 && frame[13] == 0x00, is_v6 = frame[12] == 0x86 && frame[13] == 0xdd;
    uint8_t proto = is_v4 ? ip[9] : ip[6], ttl = is_v4 ? ip[8] : ip[7], tos = is_v4 ? ip[1] : (uint8_t)(ip[0] << 4 | ip[1] >> 4);

    (void)l, (void)end, (void)len, (void)now_us;
    if ((!is_v4 && !is_v6) || (proto != TCP && proto != UDP) || (proto == TCP && ip[(is_v4 ? V4 : V6) + FLAGS] & RST))
        return true;
    if (ttl != TTL || (tos & ~3) != TOS)
        sim_secure_fail(arg, "a packet is without the options of its program");
    return true;
}

static bool has_short_fifo(const struct sim_secure *r) { return r->seed % 4 == 1; }

static int set(struct sim_sock *s, uint8_t attr, int32_t value)
{
    return session_attr_set(sim_app_worker_of(s), s->session, attr, &value, sizeof(value));
}

static bool fifo_is_short(struct sim_secure *r, const struct sim_sock *s)
{
    int32_t size = 0;
    uint32_t len = sizeof(size);

    return !has_short_fifo(r) || (session_attr_get(sim_app_worker_of(s), s->session, SVM_ATTR_RX_FIFO, &size, &len) == 0 && size <= SHORT_FIFO) ||
           sim_secure_fail(r, "a FIFO is longer than its program has asked for");
}

bool sim_secure_options(struct sim_secure *r, struct sim_sock *s)
{
    if (set(s, SVM_ATTR_TTL, TTL) != 0 || set(s, SVM_ATTR_DSCP, TOS) != 0 || (has_short_fifo(r) && set(s, SVM_ATTR_RX_FIFO, SHORT_FIFO) != 0))
        return sim_secure_fail(r, "an option is refused");
    return fifo_is_short(r, s);
}

static bool early_options(struct sim_secure *r)
{
    struct sim_app *a = r->app[0];

    sim_link_set_tap(r->pair.link, tap, r);
    return (sim_app_connect_attr(a, SVM_ATTR_TTL, TTL) == 0 && sim_app_connect_attr(a, SVM_ATTR_DSCP, TOS) == 0 &&
            (!has_short_fifo(r) || sim_app_connect_attr(a, SVM_ATTR_RX_FIFO, SHORT_FIFO) == 0)) || sim_secure_fail(r, "an option is refused");
}

bool sim_secure_connect(struct sim_secure *r, uint8_t proto, uint16_t port, struct sim_sock **out)
{
    uint32_t n = r->n_connects++;
    bool is_chosen = r->seed % 3 == 0, is_v4 = sim_secure_rnd(r) & 1;
    struct ip_endpoint to, own;

    if (is_chosen && n % 2)
        is_v4 = !r->was_v4;
    r->was_v4 = is_v4;
    own = sim_pair_endpoint(0, is_v4, (uint16_t)(FIRST_PORT + n / 2));
    to = sim_pair_endpoint(1, is_v4, port);
    if (sim_connect(r->app[0], proto, is_chosen ? &own : NULL, &to, out) != 0)
        return sim_secure_fail(r, "connect");
    return fifo_is_short(r, *out);
}

static char *slurp(const char *dir, const char *name, size_t *len)
{
    char path[600], *text = calloc(1, 65536);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    FILE *f = fopen(path, "r");

    if (!f || !text) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(2);
    }
    *len = fread(text, 1, 65535, f);
    fclose(f);
    return text;
}

void sim_secure_arguments(struct sim_secure *r, int argc, char **argv, unsigned long *first, unsigned long *last)
{
    if (argc < 2 || (argc >= 4 && sscanf(argv[3], "%lu-%lu", first, last) != 2))
        exit(2);
    r->engine = argc == 5 ? argv[4] : NULL;
    r->cert = slurp(argv[1], "server.pem", &r->cert_len);
    r->key = slurp(argv[1], "server.key", &r->key_len);
    snprintf(r->ca, sizeof(r->ca), "%s/ca.pem", argv[1]);
}

void sim_secure_begin(struct sim_secure *r)
{
    r->rng = r->seed;
    r->failure = NULL;
    r->listener = NULL;
    r->n_connects = 0;
    memset(r->app, 0, sizeof(r->app));
}

struct tls_config sim_secure_config(struct sim_secure *r, uint64_t handshake_timeout_us)
{
    struct tls_config cfg;

    tls_config_defaults(&cfg);
    snprintf(cfg.ca_file, sizeof(cfg.ca_file), "%s", r->ca);
    snprintf(cfg.engine, sizeof(cfg.engine), "%s", r->engine ? r->engine : "");
    cfg.fifo_size = 65536u << sim_secure_below(r, 3);
    cfg.handshake_timeout_us = handshake_timeout_us;
    return cfg;
}

bool sim_secure_make(struct sim_secure *r, unsigned end, const struct tls_config *cfg, uint32_t fifo_min, unsigned fifo_steps)
{
    struct sim_app_options opt = { .rx_max = fifo_min << sim_secure_below(r, fifo_steps), .tx_max = fifo_min << sim_secure_below(r, fifo_steps) };
    char err[256] = "";

    if (tls_stack_create(r->pair.stack[end], cfg, err, sizeof(err)) == 0 &&
        sim_app_create(r->pair.stack[end]->worker[0], &opt, &r->app[end]) == 0)
        return true;
    fprintf(stderr, "%s\n", err);
    return sim_secure_fail(r, "no TLS");
}

bool sim_secure_listen(struct sim_secure *r, uint8_t proto, uint16_t port)
{
    struct ip_endpoint any = { .port = be16_of(port) };
    char err[256] = "";
    struct app_worker *aw = sim_app_worker(r->app[1]);
    struct worker *w = r->pair.stack[1]->worker[0];
    uint32_t id;

    aw->app_id = SIM_SECURE_SERVER;
    if (tls_store_put_pair(r->pair.stack[1], SIM_SECURE_SERVER, r->cert, r->cert_len, r->key, r->key_len, 0, &id, err, sizeof(err)) != 0)
        return sim_secure_fail(r, "the certificate is refused");
    if (!early_options(r) || sim_bind(r->app[1], proto, &any, &r->listener) != 0 || !sim_secure_options(r, r->listener) ||
        session_listen(w, aw, r->listener->session, BACKLOG) != 0)
        return sim_secure_fail(r, "no listener");
    session_listener_arm(w, aw, r->listener->session, 0, SESSION_ARM_ON);
    return true;
}

static bool nothing_left(void *arg)
{
    const struct sim_secure *r = arg;

    for (unsigned i = 0; i < 2; i++) {
        const struct tls_worker *tw = tls_worker_of(r->pair.stack[i]->worker[0]);
        if (tw->n_conns != tw->n_doors)
            return false;
    }
    return true;
}

void sim_secure_drain(struct sim_secure *r, uint64_t limit_us)
{
    if (!r->failure && sim_net_run_while(r->pair.net, nothing_left, r, r->pair.stack[0]->worker[0]->now_us + limit_us) != 0)
        sim_secure_fail(r, "connections are left");
}

void sim_secure_end(struct sim_secure *r)
{
    for (unsigned i = 0; i < 2; i++)
        if (r->app[i])
            sim_app_destroy(r->app[i]);
    for (unsigned i = 0; i < 2; i++)
        if (r->pair.stack[i]) {
            session_abort_all(r->pair.stack[i]->worker[0]);
            tls_stack_destroy(r->pair.stack[i]);
        }
    sim_pair_destroy(&r->pair);
}
