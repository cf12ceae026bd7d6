/* sim_rate.c - how fast one stream gets over a link of the simulated network that loses, delays and reorders
 *
 *   sim_rate [WORD=NUMBER]...   prints "mbit/s N": what the receiver's program read, from its first byte on, for `secs` seconds
 *
 * Words, the link's of both directions, as of tests/system/relay.c: seed=, delay-us=, loss=, burst=, burst-len=, dup=, reorder=,
 * reorder-us=, jitter-us= (keeps the order), rate=, queue=; and secs=10, v6=0, sample-ms=0 (prints the sender's state so often),
 * fifo=8388608, min=N (exit 1 below so many kbit/s). Time is virtual, the same words give the same number on every machine. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "server/tcp/tcp_sent.h"
#include "tests/sim/sim_pair.h"

enum { PORT = 5001, WRITE_MAX = 1 << 18 };

struct rate {
    struct sim_pair pair;
    struct sim_app *app[2];
    struct sim_sock *listener, *from, *to;
    uint64_t received, begun_us;
};

static struct {
    uint64_t seed, secs, v6, sample_ms, fifo, min, delay_us, loss, burst, burst_len, dup, reorder, reorder_us, jitter_us, rate, queue;
} o = { .seed = 1, .secs = 10, .fifo = 8 << 20 };

static const struct { const char *name; uint64_t *value; } words[] = {
    { "seed", &o.seed }, { "secs", &o.secs }, { "v6", &o.v6 }, { "sample-ms", &o.sample_ms }, { "fifo", &o.fifo }, { "min", &o.min },
    { "delay-us", &o.delay_us }, { "loss", &o.loss }, { "burst", &o.burst }, { "burst-len", &o.burst_len }, { "dup", &o.dup },
    { "reorder", &o.reorder }, { "reorder-us", &o.reorder_us }, { "jitter-us", &o.jitter_us }, { "rate", &o.rate }, { "queue", &o.queue },
};

static bool word_set(const char *word)
{
    const char *eq = strchr(word, '=');

    for (size_t i = 0; eq && i < HS_ARRAY_LEN(words); i++) {
        if (strlen(words[i].name) == (size_t)(eq - word) && memcmp(words[i].name, word, (size_t)(eq - word)) == 0) {
            *words[i].value = strtoull(eq + 1, NULL, 10);
            return true;
        }
    }
    return false;
}

static unsigned programs(void *arg, uint64_t now_us)
{
    struct rate *r = arg;
    unsigned work = 0;
    int64_t n;

    if (!r->to && (r->to = sim_accept(r->listener)))
        work++;
    while (r->from->connected && sim_write_pattern(r->from, 1, WRITE_MAX) > 0)
        work++;
    while (r->to && (n = sim_read_check(r->to, 1, WRITE_MAX)) != -EAGAIN) {
        if (n <= 0) {
            fprintf(stderr, "sim_rate: the stream ends or has a wrong byte\n");
            exit(1);
        }
        if (!r->begun_us)
            r->begun_us = now_us;
        r->received += (uint64_t)n;
        work++;
    }
    return work;
}

static bool start(struct rate *r)
{
    struct sim_params link = {
        .loss_ppm = (uint32_t)o.loss, .burst_ppm = (uint32_t)o.burst, .burst_len = (uint32_t)o.burst_len, .dup_ppm = (uint32_t)o.dup,
        .reorder_ppm = (uint32_t)o.reorder, .reorder_us = (uint32_t)o.reorder_us, .delay_us = (uint32_t)o.delay_us,
        .jitter_us = (uint32_t)o.jitter_us, .bits_per_s = o.rate, .queue_frames = (uint32_t)o.queue,
    };
    struct sim_app_options opt = { .rx_max = (uint32_t)o.fifo, .tx_max = (uint32_t)o.fifo };
    struct ip_endpoint e = sim_pair_endpoint(1, !o.v6, PORT);

    return sim_pair_create(&r->pair, o.seed, &link, false) == 0 &&
           sim_app_create(r->pair.stack[0]->worker[0], &opt, &r->app[0]) == 0 &&
           sim_app_create(r->pair.stack[1]->worker[0], &opt, &r->app[1]) == 0 &&
           sim_listen(r->app[1], SVM_PROTO_TCP, &e, 4, &r->listener) == 0 && sim_connect(r->app[0], SVM_PROTO_TCP, NULL, &e, &r->from) == 0;
}

static void sample(const struct rate *r, uint64_t now_us)
{
    static uint64_t last;
    const struct tcp_conn *c = (const struct tcp_conn *)(const void *)r->from->session->conn;
    const struct tcp_worker *tw = tcp_worker_of(r->pair.stack[0]->worker[0]);

    printf("%8.3f mbit/s %6.2f cwnd %5u ssthresh %5u flight %5u pipe %5u ca %u srtt %u rto %lu tlp %lu fast %lu rtx %lu undo %lu/%lu/%lu\n",
           (double)now_us / 1e6, (double)(r->received - last) * 8 / (double)o.sample_ms / 1e3, c->cwnd / c->mss,
           c->ssthresh == UINT32_MAX ? 0 : c->ssthresh / c->mss, (c->snd_nxt - c->snd_una) / c->mss, tcp_pipe(c) / c->mss, c->ca_state,
           c->srtt_us, tw->counters[TCP_C_rto], tw->counters[TCP_C_tlp_probes], tw->counters[TCP_C_fast_recoveries],
           tw->counters[TCP_C_retransmits], tw->counters[TCP_C_undo_dsack], tw->counters[TCP_C_undo_eifel], tw->counters[TCP_C_undo_frto]);
    last = r->received;
}

int main(int argc, char **argv)
{
    struct rate r = { 0 };
    uint64_t kbits, end, limit;

    for (int i = 1; i < argc; i++) {
        if (!word_set(argv[i])) {
            fprintf(stderr, "sim_rate: '%s' is no word=number of mine\n", argv[i]);
            return 2;
        }
    }
    if (sim_eal_init("sim-rate") != 0 || !start(&r)) {
        fprintf(stderr, "sim_rate: no stacks\n");
        return 1;
    }
    sim_net_set_hook(r.pair.net, programs, &r);
    end = o.secs * 1000000;
    limit = sim_net_now_us(r.pair.net) + end;
    while (sim_net_now_us(r.pair.net) < (r.begun_us ? r.begun_us + end : limit)) {
        uint64_t step = o.sample_ms ? o.sample_ms * 1000 : 10000;

        sim_net_run_until(r.pair.net, sim_net_now_us(r.pair.net) + step);
        if (o.sample_ms && r.from->connected)
            sample(&r, sim_net_now_us(r.pair.net));
    }
    kbits = r.received * 8 / (o.secs * 1000);
    printf("mbit/s %.2f\n", (double)kbits / 1000);
    for (unsigned i = 0; i < 2; i++)
        sim_app_destroy(r.app[i]);
    sim_pair_destroy(&r.pair);
    return kbits < o.min;
}
