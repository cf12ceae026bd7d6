/* tcp_hostile_test.c - a peer that sends anything, at a program that does anything: TCP keeps its invariants and loses nothing */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/unit/server/tcp/tcp_fake.h"
#include "tests/unit/server/tcp/tcp_sent_check.h"

struct hostile {
    struct fake_host h;
    uint64_t rng;
    uint32_t seen_seq, seen_ack;   /* of the last segment that the host has sent */
};

static struct hostile H;
static uint8_t junk[70000];

static uint32_t rnd(struct hostile *t, uint32_t n)
{
    t->rng = t->rng * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(t->rng >> 33) % n;
}

static void check_conn(const struct tcp_conn *c)
{
    cr_assert(seq_leq(c->snd_una, c->snd_nxt), "snd_una beyond snd_nxt");
    cr_assert(c->state == TCP_S_SYN_SENT || c->state == TCP_S_SYN_RCVD || c->state == TCP_S_CLOSED || c->mss > 0);
    cr_assert(c->state == TCP_S_SYN_SENT || c->state == TCP_S_SYN_RCVD || c->cwnd >= c->mss);
    tcp_sent_check(c);
}

/* Options: none, random bytes, or well-formed ones with random values. */
static unsigned random_options(struct hostile *t, uint8_t opt[TCP_OPT_MAX])
{
    unsigned n = 0, want = rnd(t, 4);

    if (want == 0)
        return 0;
    if (want == 1) {
        n = 4 * rnd(t, 11);
        for (unsigned i = 0; i < n; i++)
            opt[i] = (uint8_t)rnd(t, rnd(t, 2) ? 12 : 256);
        return n;
    }
    if (rnd(t, 2)) {
        be32 v = be32_of(rnd(t, 1000)), e = be32_of(rnd(t, 1000));

        memcpy(opt, (const uint8_t[]){ 1, 1, 8, 10 }, 4);
        memcpy(opt + 4, &v, 4);
        memcpy(opt + 8, &e, 4);
        n = 12;
    }
    if (rnd(t, 2)) {
        be32 a = be32_of(t->seen_seq + rnd(t, 5000)), b = be32_of(t->seen_seq + rnd(t, 9000));

        memcpy(opt + n, (const uint8_t[]){ 1, 1, 5, 10 }, 4);
        memcpy(opt + n + 4, &a, 4);
        memcpy(opt + n + 8, &b, 4);
        n += 12;
    } else {
        memcpy(opt + n, (const uint8_t[]){ 2, 4, (uint8_t)rnd(t, 256), (uint8_t)rnd(t, 256), 4, 2, 3, 3, (uint8_t)rnd(t, 256), 0, 0, 0 }, 12);
        n += 12;
    }
    return n;
}

static uint32_t near(struct hostile *t, uint32_t v)
{
    switch (rnd(t, 6)) {
    case 0: return v + rnd(t, 100);
    case 1: return v - rnd(t, 100);
    case 2: return v + rnd(t, 70000);
    case 3: return (uint32_t)t->rng;
    default: return v;
    }
}

static void random_segment(struct hostile *t, const struct ip_endpoint *us)
{
    static const uint8_t usual[] = { TCP_ACK, TCP_ACK, TCP_ACK, TCP_ACK | TCP_PSH, TCP_ACK | TCP_FIN, TCP_SYN, TCP_SYN | TCP_ACK,
                                     TCP_RST, TCP_RST | TCP_ACK, TCP_SYN | TCP_FIN };
    struct ip_endpoint peer = fake_endpoint("10.0.0.2", (uint16_t)(4000 + rnd(t, 3)));
    uint8_t opt[TCP_OPT_MAX];
    struct fake_seg s = {
        .flags = rnd(t, 10) ? usual[rnd(t, rnd(t, 4) ? 5 : sizeof(usual))] : (uint8_t)rnd(t, 256),
        .seq = near(t, t->seen_ack), .ack = near(t, t->seen_seq + 1), .wnd = (uint16_t)(rnd(t, 4) ? 65535 : rnd(t, 3000)),
        .opt = opt, .opt_len = random_options(t, opt), .data = junk, .len = rnd(t, 2) ? 0 : rnd(t, rnd(t, 5) ? 3000 : 60000),
    };

    fake_input(&t->h, &peer, us, &s);
}

static void random_program(struct hostile *t)
{
    static const uint8_t attrs[] = { SVM_ATTR_NODELAY, SVM_ATTR_CORK, SVM_ATTR_KEEPALIVE, SVM_ATTR_KEEPIDLE, SVM_ATTR_USER_TIMEOUT,
                                     SVM_ATTR_MSS, SVM_ATTR_QUICKACK, SVM_ATTR_LINGER2 };
    struct session *s = &t->h.s[rnd(t, FAKE_SESSIONS)];
    int32_t v = (int32_t)rnd(t, 600);

    if (!s->used)
        return;
    if (!s->conn) {
        s->used = !(s->is_closed || s->reset_error || s->connect_error);
        return;
    }
    switch (rnd(t, 8)) {
    case 0: case 1: case 2:
        if (s->connected && !(((struct tcp_conn *)s->conn)->flags & TCP_F_FIN_QUEUED))
            fake_write(&t->h, s, junk, rnd(t, 20000));
        break;
    case 3: case 4:
        fake_read(&t->h, s, junk, rnd(t, 70000));
        break;
    case 5:
        tcp_transport_ops.attr_set(&t->h.w, s->conn, attrs[rnd(t, sizeof(attrs))], &v, sizeof(v));
        break;
    case 6:
        if (rnd(t, 6) == 0)
            tcp_transport_ops.shutdown_wr(&t->h.w, s->conn);
        break;
    default:
        if (rnd(t, 10) == 0 && !(((struct tcp_conn *)s->conn)->flags & TCP_F_CLOSED))
            tcp_transport_ops.close(&t->h.w, s->conn, rnd(t, 4) ? -1 : 0);
        break;
    }
    fake_tx(&t->h);
}

static void look(struct hostile *t)
{
    struct fake_seg s;

    while (fake_take(&t->h, &s, NULL, 0)) {
        if (!(s.flags & TCP_RST)) {
            t->seen_seq = s.seq + s.len;
            t->seen_ack = s.ack;
        }
    }
}

static unsigned n_used(const struct hostile *t)
{
    unsigned n = 0;

    for (unsigned i = 0; i < FAKE_SESSIONS; i++)
        n += t->h.s[i].used;
    return n;
}

static void run(struct hostile *t, uint64_t seed)
{
    struct ip_endpoint us = fake_endpoint("10.0.0.1", 80);
    const struct tcp_conn *c;

    memset(t, 0, sizeof(*t));
    t->rng = seed * 2654435761u + 99;
    fake_init(&t->h, "hostile");
    t->h.tw.cfg.idle_us = 1000000;
    t->h.listener.lcl = us;
    t->h.listening = true;
    t->h.listener.rx_max = 4096 << rnd(t, 5);
    t->h.tso_max = rnd(t, 2) ? 0 : 65000;
    for (unsigned i = 0; i < 3000; i++) {
        if (rnd(t, 100) == 0 && n_used(t) < FAKE_SESSIONS / 2 && !session_lookup(&t->h.w, 0, &us, &(struct ip_endpoint){ 0 }, 0)) {
            struct session *s = fake_connect(&t->h, "10.0.0.1", 80, "10.0.0.2", (uint16_t)(4000 + rnd(t, 3)));

            if (s->connect_error)
                s->used = false;
        }
        if (n_used(t) < FAKE_SESSIONS - 1)
            random_segment(t, &us);
        random_program(t);
        if (rnd(t, 5) == 0)
            fake_advance(&t->h, rnd(t, rnd(t, 10) ? 300000 : 100000000));
        look(t);
        for (uint32_t n = 0; (c = tcp_conn_next(&t->h.tw, &n)); n++)
            check_conn(c);
    }
    fake_fini(&t->h);
}

Test(tcp_hostile, seeds, .timeout = 300)
{
    const char *range = getenv("TCP_HOSTILE_SEEDS"); /* A-B, to replay or to run more */
    unsigned long from = 1, to = 60;

    if (range)
        cr_assert_eq(sscanf(range, "%lu-%lu", &from, &to), 2);
    cr_assert_geq(fake_eal_init(), 0);
    for (unsigned long seed = from; seed <= to; seed++)
        run(&H, seed);
}
