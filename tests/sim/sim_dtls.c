/* sim_dtls.c - DTLS between two stacks over a network that loses, delays, reorders and doubles; and datagrams that are damaged or noise
 *
 *   sim_dtls DIRECTORY [--seeds A-B]     DIRECTORY has ca.pem, server.pem, server.key; exit 0: all passed; 1: prints the failing seed
 *
 * Network, programs and damage follow from the seed; what OpenSSL makes up (keys, signatures) does not, so that a frame may differ by some
 * bytes when a seed is run again. Every handshake must succeed, every message arrives as it was sent, once, or not at all; and at the end of a
 * seed no connection of DTLS may be left. Flights go again by the virtual clock. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "server/udp/udp.h"
#include "tests/sim/sim_secure.h"

enum { FLOWS = 6, MESSAGES = 64, PORT = 4433, LIMIT_US = 600000000, LARGEST = 4000, PEER_PORT = 999 };

struct side {
    struct sim_sock *s;
    unsigned to_send, sent, got;
    uint64_t seen;                   /* bit per message of the other side */
    bool closed;
};
struct flow {
    struct side side[2];             /* who connects, who accepts */
};
struct run {
    struct sim_secure s;
    struct sim_sock *noise;
    struct flow flow[FLOWS];
    unsigned n_flows;
    uint64_t handshakes, resumed, again, sent, got; /* over all seeds */
};

static uint32_t below(struct run *r, uint32_t n) { return sim_secure_below(&r->s, n); }
static bool fail(struct run *r, const char *what) { return sim_secure_fail(&r->s, what); }

/* ---- messages: their number, side and flow in front, the rest follows from these ---- */

struct head { uint32_t number, side, flow, len; };

static void fill(uint8_t *m, const struct head *h)
{
    memcpy(m, h, sizeof(*h));
    for (uint32_t i = sizeof(*h); i < h->len; i++)
        m[i] = (uint8_t)(i * 7 + h->number * 13 + h->side + h->flow);
}

static bool send_some(struct run *r, unsigned f, unsigned i)
{
    struct side *a = &r->flow[f].side[i];
    struct head h = { a->sent, i, f, (uint32_t)sizeof(struct head) + below(r, LARGEST) };
    uint8_t m[sizeof(struct head) + LARGEST];

    if (a->sent == a->to_send || below(r, 4))
        return false;
    fill(m, &h);
    if (sim_sendto(a->s, NULL, m, h.len) != 0)
        return false;
    a->sent++;
    r->sent++;
    return true;
}

static bool take_some(struct run *r, unsigned f, unsigned i)
{
    struct side *a = &r->flow[f].side[i];
    const struct side *from = &r->flow[f].side[!i];
    uint8_t m[sizeof(struct head) + LARGEST], want[sizeof(m)];
    int64_t n = sim_recvfrom(a->s, NULL, m, sizeof(m));
    struct head h;

    if (n < 0)
        return false;
    memcpy(&h, m, sizeof(h));
    if (n < (int64_t)sizeof(h) || h.len != n || h.side != !i || h.flow != f || h.number >= from->sent || a->seen & 1ull << h.number)
        return fail(r, "a message that was not sent, or came twice");
    fill(want, &h);
    if (memcmp(m, want, h.len) != 0)
        return fail(r, "a message was changed");
    a->seen |= 1ull << h.number;
    a->got++;
    r->got++;
    return true;
}

static void take_accepted(struct run *r, struct sim_sock *s)
{
    for (unsigned i = 0; i < r->n_flows; i++) {
        struct side *a = r->flow[i].side;
        if (a[1].s || !sim_secure_is_pair(a[0].s, s))
            continue;
        a[1].s = s;
        sim_secure_options(&r->s, s);
        return;
    }
    fail(r, "a connection that nobody began");
    sim_sock_free(s);
}

static unsigned step(void *arg, uint64_t now_us)
{
    struct run *r = arg;
    struct sim_sock *s;
    unsigned did = 0;

    (void)now_us;
    while (r->s.listener && (s = sim_accept(r->s.listener)) != NULL) {
        take_accepted(r, s);
        did++;
    }
    for (unsigned f = 0; f < r->n_flows; f++) {
        struct side *a = r->flow[f].side;
        for (unsigned i = 0; i < 2; i++) {
            if (!a[i].s || !a[i].s->connected || a[i].closed || !a[!i].s)
                continue;
            did += send_some(r, f, i);
            did += take_some(r, f, i);
        }
    }
    return did;
}

static bool all_sent(void *arg)
{
    const struct run *r = arg;

    for (unsigned f = 0; f < r->n_flows; f++)
        for (unsigned i = 0; i < 2; i++) {
            const struct side *a = &r->flow[f].side[i];
            const struct sim_sock *c = r->flow[f].side[0].s;
            if (c->connect_done && c->connect_error)
                continue;
            if (!c->connect_done || !a->s || a->sent < a->to_send)
                return false;
        }
    return true;
}

/* ---- somebody who sends what is no DTLS, and what was once ---- */

static void noise(struct run *r)
{
    struct ip_endpoint to = sim_pair_endpoint(1, sim_secure_rnd(&r->s) & 1, PORT);
    uint8_t b[600];

    for (unsigned n = below(r, 40); n > 0; n--) {
        uint32_t len = 1 + below(r, sizeof(b));
        static const uint8_t hello[] = { 22, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 1, 0, 0, 88, 0, 0, 0, 0, 0, 0, 0, 88, 0xfe, 0xfd };
        for (uint32_t i = 0; i < len; i++)
            b[i] = (uint8_t)sim_secure_rnd(&r->s);
        if (below(r, 2)) {
            memcpy(b, hello, hs_min_u32(len, sizeof(hello)));
            b[below(r, hs_min_u32(len, 60))] ^= (uint8_t)(1u << below(r, 8));
        }
        (void)sim_sendto(r->noise, &to, b, len);
    }
}

/* ---- a seed ---- */

static bool make(struct run *r)
{
    struct sim_params link = { .delay_us = below(r, 20000), .loss_ppm = below(r, 60000), .dup_ppm = below(r, 50000),
                               .reorder_ppm = below(r, 100000), .reorder_us = below(r, 40000), .jitter_us = below(r, 3000) };
    struct ip_endpoint own = { .port = be16_of(PEER_PORT) };

    if (sim_pair_create(&r->s.pair, r->s.seed, &link, false) != 0)
        return fail(r, "no stacks");
    for (unsigned i = 0; i < 2; i++) {
        struct tls_config cfg = sim_secure_config(&r->s, 200000000);
        cfg.dtls_idle_us = 60000000;
        if (!sim_secure_make(&r->s, i, &cfg, 65536, 4))
            return false;
    }
    if (sim_bind(r->s.app[0], SVM_PROTO_UDP, &own, &r->noise) != 0)
        return fail(r, "no socket");
    return sim_secure_options(&r->s, r->noise) && sim_secure_listen(&r->s, SVM_PROTO_DTLS, PORT);
}

static void check_flow(struct run *r, struct flow *f)
{
    const struct sim_sock *c = f->side[0].s;

    if (!c || !c->connect_done || c->connect_error || !f->side[1].s)
        fail(r, "a handshake failed");
    for (unsigned i = 0; i < 2; i++)
        if (f->side[i].s) {
            sim_close(f->side[i].s, -1);
            sim_sock_free(f->side[i].s);
        }
}

static void conversations(struct run *r)
{
    r->n_flows = 1 + below(r, FLOWS);
    for (unsigned i = 0; i < r->n_flows; i++) {
        struct flow *f = &r->flow[i];
        sim_secure_connect(&r->s, SVM_PROTO_DTLS, PORT, &f->side[0].s);
        f->side[0].to_send = below(r, MESSAGES);
        f->side[1].to_send = below(r, MESSAGES);
    }
    noise(r);
    if (!r->s.failure && sim_net_run_while(r->s.pair.net, all_sent, r, r->s.pair.stack[0]->worker[0]->now_us + LIMIT_US) != 0)
        fail(r, "the conversations do not end");
    (void)sim_net_run_until(r->s.pair.net, r->s.pair.stack[0]->worker[0]->now_us + 2000000); /* what is under way arrives */
    for (unsigned i = 0; i < r->n_flows; i++)
        check_flow(r, &r->flow[i]);
    memset(r->flow, 0, sizeof(r->flow));
    r->n_flows = 0;
}

static void count(struct run *r)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct tls_counters *c = &tls_worker_of(r->s.pair.stack[i]->worker[0])->count;
        r->again += c->dtls_retransmitted;
        if (i) {
            r->handshakes += c->handshakes;
            r->resumed += c->resumed;
        }
    }
}

static void run_seed(struct run *r)
{
    sim_secure_begin(&r->s);
    if (make(r)) {
        sim_net_set_hook(r->s.pair.net, step, r);
        conversations(r);
        conversations(r); /* these resume */
        sim_secure_drain(&r->s, LIMIT_US);
        count(r);
    }
    sim_secure_end(&r->s);
}

int main(int argc, char **argv)
{
    struct run r = { 0 };
    unsigned long a = 1, b = 40;

    sim_secure_arguments(&r.s, argc, argv, &a, &b);
    if (sim_eal_init("simdtls") != 0 || transport_register(&udp_transport_ops) != 0 || transport_register(&tls_transport_ops) != 0 ||
        transport_register(&dtls_transport_ops) != 0)
        return 2;
    for (r.s.seed = a; r.s.seed <= b && !r.s.failure; r.s.seed++) {
        run_seed(&r);
        if (r.s.failure)
            printf("seed %lu: ", (unsigned long)r.s.seed);
    }
    printf("%lu handshakes, %lu resumed, %lu flights again, %lu of %lu messages", (unsigned long)r.handshakes, (unsigned long)r.resumed,
           (unsigned long)r.again, (unsigned long)r.got, (unsigned long)r.sent);
    if (!r.s.failure && (r.got < r.sent / 2 || (b - a >= 19 && (r.resumed < 10 || r.again < 10))))
        r.s.failure = "hardly anything was resumed, sent again, or arrived";
    printf("%s%s\n", r.s.failure ? ": " : "", r.s.failure ? r.s.failure : "");
    free(r.s.cert);
    free(r.s.key);
    return r.s.failure != NULL;
}
