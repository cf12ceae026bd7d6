/* tcp_pair_test.c - two hosts with the real TCP over a list of packets that are lost, doubled and delayed: every byte, both ways */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include "tests/unit/server/tcp/tcp_fake.h"

enum { MAX_FLIGHT = 8192, TOTAL_MAX = 200000 };

struct flying { uint64_t at; struct pkt *p; unsigned to; };

struct pair {
    struct fake_host h[2];
    struct flying fly[MAX_FLIGHT];
    unsigned n_fly;
    unsigned loss, dup, late;     /* percent */
    uint32_t delay_us, late_us;
    uint64_t rng, read_from;      /* us: nobody reads before */
};

static struct pair P;

static uint32_t rnd(struct pair *p, uint32_t n)
{
    p->rng = p->rng * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(p->rng >> 33) % n;
}

static void launch(struct pair *p, struct pkt *pk, unsigned to)
{
    uint64_t at = p->h[0].w.now_us + p->delay_us + (rnd(p, 100) < p->late ? rnd(p, p->late_us) : 0);

    cr_assert_lt(p->n_fly, MAX_FLIGHT);
    p->fly[p->n_fly++] = (struct flying){ at, pk, to };
}

static struct pkt *copy_of(struct pair *p, struct pkt *pk, unsigned from)
{
    struct pkt *c = pkt_alloc(&p->h[from].stack.pools, pkt_len(pk));

    cr_assert_not_null(c);
    pkt_copy_out(pk, 0, pkt_append(c, (uint16_t)pkt_len(pk)), pkt_len(pk));
    *pkt_meta(c) = *pkt_meta(pk);
    return c;
}

static void collect(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        for (unsigned k = 0; k < p->h[i].n_out; k++) {
            struct pkt *pk = p->h[i].out[k];

            if (rnd(p, 100) < p->dup)
                launch(p, copy_of(p, pk, i), !i);
            if (rnd(p, 100) < p->loss)
                pkt_free(pk);
            else
                launch(p, pk, !i);
        }
        p->h[i].n_out = 0;
    }
}

/* One event. False: nothing will ever happen again. */
static bool step(struct pair *p)
{
    uint64_t next = UINT64_MAX;
    int which = -1;

    for (unsigned i = 0; i < p->n_fly; i++) {
        if (p->fly[i].at < next) {
            next = p->fly[i].at;
            which = (int)i;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        uint64_t t = timer_wheel_next_us(&p->h[i].w.timers);

        if (t < next) {
            next = t;
            which = -1;
        }
    }
    if (next == UINT64_MAX)
        return false;
    for (unsigned i = 0; i < 2; i++) {
        if (next > p->h[i].w.now_us)
            fake_advance(&p->h[i], next - p->h[i].w.now_us);
        else
            fake_advance(&p->h[i], 0);
    }
    if (which >= 0) {
        struct flying f = p->fly[which];

        p->fly[which] = p->fly[--p->n_fly];
        fake_deliver(&p->h[f.to], f.p);
        pkt_free(f.p);
    }
    collect(p);
    return true;
}

struct way { uint32_t total, written, read; };

static uint8_t pattern(uint32_t pos, unsigned way) { return (uint8_t)(pos * 31 + (pos >> 7) * 13 + way * 101); }

static void pump(struct pair *p, struct session *s, struct fake_host *h, struct way *out, unsigned out_id, struct way *in,
                 unsigned in_id, bool *closed)
{
    static uint8_t buf[FAKE_FIFO];
    uint32_t n = out->total - out->written;

    if (n > FAKE_FIFO - s->tx_len)
        n = FAKE_FIFO - s->tx_len;
    if (n > 1) /* in odd pieces */
        n = 1 + rnd(p, n);
    for (uint32_t i = 0; i < n; i++)
        buf[i] = pattern(out->written + i, out_id);
    if (n)
        out->written += fake_write(h, s, buf, n);
    n = h->w.now_us < p->read_from ? 0 : fake_read(h, s, buf, 1 + rnd(p, FAKE_FIFO));
    for (uint32_t i = 0; i < n; i++)
        cr_assert_eq(buf[i], pattern(in->read + i, in_id), "byte %u", in->read + i);
    in->read += n;
    if (out->written == out->total && !*closed && s->conn && in->read == in->total && s->rx_fin) {
        *closed = true;
        tcp_transport_ops.close(&h->w, s->conn, -1);
        fake_tx(h);
    } else if (out->written == out->total && s->conn && !*closed) {
        if (!(((struct tcp_conn *)s->conn)->flags & TCP_F_FIN_QUEUED)) {
            tcp_transport_ops.shutdown_wr(&h->w, s->conn);
            fake_tx(h);
        }
    }
}

/* Both write until nothing more goes, and then read: by windows in units of 128 bytes, whose right edge seems to move to the left. */
static void both_fill(struct pair *p, struct way way[2])
{
    p->read_from = p->h[0].w.now_us + 5000000;
    for (unsigned i = 0; i < 2; i++) {
        p->h[i].rx_says = 128 * UINT16_MAX;
        way[i].total = TOTAL_MAX - rnd(p, 10000);
    }
    p->h[1].listener.rx_says = (int32_t)p->h[1].rx_says;
}

static void run(struct pair *p, uint64_t seed, bool fill)
{
    struct way way[2] = { { .total = 0 }, { .total = 0 } };
    struct session *s[2] = { NULL, NULL };
    bool closed[2] = { false, false };
    unsigned n = 0;

    memset(p, 0, sizeof(*p));
    p->rng = seed * 2654435761u;
    rnd(p, 2);
    p->loss = rnd(p, 3) ? rnd(p, 12) : 0;
    p->dup = rnd(p, 8);
    p->late = rnd(p, 10);
    p->late_us = 1 + rnd(p, 40000);
    p->delay_us = rnd(p, 30000);
    for (unsigned i = 0; i < 2; i++) {
        struct tcp_config cfg;

        fake_init(&p->h[i], i ? "pair1" : "pair0");
        p->h[i].w.secret[0] = (uint8_t)seed;
        p->h[i].tso_max = rnd(p, 3) ? 0 : 30000;
        tcp_config_defaults(&cfg);
        cfg.sack = rnd(p, 4) != 0;
        cfg.timestamps = rnd(p, 4) != 0;
        cfg.cc_algo = (const char *[]){ "cubic", "newreno", "bbr" }[rnd(p, 3)];
        cr_assert_eq(tcp_worker_config(&p->h[i].w, &cfg), 0);
        way[i].total = rnd(p, 4) ? rnd(p, TOTAL_MAX) : rnd(p, 100);
    }
    p->h[1].listener.lcl = fake_endpoint("10.0.0.2", 80);
    p->h[1].listening = true;
    p->h[1].listener.rx_max = 4096 << rnd(p, 5);
    if (way[0].total && rnd(p, 2)) { /* Fast Open, agreed upon without a cookie: the SYN has data, and may be lost */
        p->h[0].connect_how = SVM_CONNECT_FASTOPEN | SVM_CONNECT_NO_COOKIE;
        p->h[1].listener.attr[SVM_ATTR_FASTOPEN] = 1;
        p->h[1].listener.attr[SVM_ATTR_FASTOPEN_NO_COOKIE] = (int32_t)rnd(p, 4);
    }
    if (fill)
        both_fill(p, way);
    s[0] = fake_connect(&p->h[0], "10.0.0.1", 999, "10.0.0.2", 80);
    if (s[0]->connect_waits)
        pump(p, s[0], &p->h[0], &way[0], 0, &way[1], 1, &closed[0]);
    collect(p);
    while (!s[0]->is_closed || !s[1] || !s[1]->is_closed) {
        cr_assert(step(p), "seed %lu: stuck: %u/%u and %u/%u", seed, way[0].read, way[0].total, way[1].read, way[1].total);
        cr_assert_lt(++n, 3000000u, "seed %lu: no end", seed);
        if (!s[1])
            s[1] = fake_accepted(&p->h[1]);
        for (unsigned i = 0; i < 2; i++) {
            cr_assert(!s[i] || (s[i]->reset_error == 0 && s[i]->connect_error == 0), "seed %lu: side %u reset: %d", seed, i,
                      s[i]->reset_error);
            if (s[i] && s[i]->connected && !s[i]->is_closed)
                pump(p, s[i], &p->h[i], &way[i], i, &way[!i], !i, &closed[i]);
        }
        collect(p);
    }
    cr_assert(way[0].read == way[0].total && way[1].read == way[1].total, "seed %lu", seed);
    while ((p->h[0].tw.n_conns || p->h[1].tw.n_conns) && step(p))
        ;
    cr_assert_eq(p->h[0].tw.n_conns + p->h[1].tw.n_conns, 0);
    for (unsigned i = 0; i < p->n_fly; i++)
        pkt_free(p->fly[i].p);
    for (unsigned i = 0; i < 2; i++)
        fake_fini(&p->h[i]);
}

static void run_seeds(unsigned long to, bool fill)
{
    const char *range = getenv("TCP_PAIR_SEEDS"); /* A-B, to replay or to run more */
    unsigned long from = 1;

    if (range)
        cr_assert_eq(sscanf(range, "%lu-%lu", &from, &to), 2);
    cr_assert_geq(fake_eal_init(), 0);
    for (unsigned long seed = from; seed <= to; seed++)
        run(&P, seed, fill);
}

Test(tcp_pair, seeds) { run_seeds(150, false); }

Test(tcp_pair, both_windows_full) { run_seeds(150, true); }
