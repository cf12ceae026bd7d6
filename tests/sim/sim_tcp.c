/* sim_tcp.c - TCP between two stacks over a network that loses, delays, reorders, doubles and corrupts
 *
 * Everything follows from the seed: link, options of both sides, programs. Each byte is checked. At the end of a seed no
 * connection, no half-open connection and no packet may be left.
 *
 *   sim_tcp [--seeds A-B] [--seed N] [--path] [--digest] [--verbose]    exit 0: all passed; 1: prints the failing seed
 *   --path: slow streams over a path that gets narrower and wider while they last, and does not always tell
 *   --digest: prints a hash of every frame and its time: the same for the same seeds in every run */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/splitmix.h"
#include "server/session/session.h"
#include "server/tcp/tcp_sent.h"
#include "tests/sim/sim_pair.h"
#include "tests/sim/sim_router.h"

enum {
    MAX_FLOWS = 24, PORT_BASE = 5000,
    LIMIT_S = 7200 + 2 * 4800, /* virtual time for the transfers, and for their silence */
    IDLE_LOSS_PPM = 60000,   /* more would end idle connections: their keep-alive probes are lost */
    QUIET_S = 1500,          /* after it: R2, TIME-WAIT and every other wait of a connection has passed */
};

enum flow_end {              /* how a side ends */
    END_SHUTDOWN_THEN_CLOSE, /* writes all, shuts down, reads to the end, closes */
    END_READ_THEN_CLOSE,     /* reads to the end first, closes: its FIN comes last */
    END_CLOSE_AT_ONCE,       /* writes all and closes without reading: the peer may see a reset */
    END_ABORT,               /* resets in the middle */
    N_ENDS
};

struct flow_side {
    struct sim_sock *sock;
    uint32_t to_send, to_recv;       /* bytes */
    uint32_t tx_seed, rx_seed;
    uint32_t sent, received;
    uint32_t write_max, read_max;    /* bytes a call */
    uint32_t pause_us;               /* between reads; 0 = reads at once */
    uint64_t next_read_us;
    uint32_t idle_at, idle_s;        /* silent for idle_s after so many bytes: beyond the rounds of 32-bit clocks; 0 = not */
    uint64_t next_write_us;
    uint32_t write_pause_us;         /* between writes; 0 = none */
    uint8_t end;                     /* enum flow_end */
    bool started, shut, done, saw_reset, saw_eof;
    int error;
};

struct flow {
    struct flow_side side[2];        /* 0 connects, 1 accepts */
    uint64_t start_us;
    bool v4, may_reset;              /* a reset is a right outcome */
    uint8_t how;                     /* enum svm_connect_how */
};

struct run {
    uint64_t seed;
    struct sim_pair pair;
    struct sim_app *app[2];
    struct sim_sock *listener[MAX_FLOWS + 1];
    struct flow flow[MAX_FLOWS + 1]; /* the last is for after a restart */
    unsigned n_flows;
    uint64_t rng;
    unsigned crash;                  /* 0 none, 1 program of side 1 dies, 2 stack of side 1 dies, 3 and comes back */
    uint64_t crash_us;
    struct sim_params link[2];       /* what each side sends over */
    struct sim_router router;        /* the path gets narrower */
    bool crashed, verbose;
    bool wanders;                    /* --path */
    bool new_stop;                   /* a program has chosen a point in time to go on at */
    bool (*until)(void *arg);
    const char *failure;
    unsigned failed_flow;
    uint64_t bytes;
    uint64_t *probes;                /* of a larger path MTU: sent, arrived, lost; over all seeds */
    uint64_t *digest;                /* of every frame and its time, over all seeds */
};

static uint32_t below(struct run *r, uint32_t n) { return sim_below(&r->rng, n); }
static bool chance(struct run *r, uint32_t percent) { return sim_chance(&r->rng, percent); }

static bool fail(struct run *r, unsigned flow, const char *what)
{
    if (!r->failure) {
        r->failure = what;
        r->failed_flow = flow;
    }
    return false;
}

/* ---- what the seed decides ---- */

static void choose_link(struct run *r, struct sim_params *p)
{
    /* Longer bursts would starve a handshake: its few tries are all lost. */
    sim_choose_link(&r->rng, &(struct sim_ranges){ .loss_ppm = 60000, .bad_loss_ppm = 200000, .burst_ppm = 5000, .burst_more = 6 }, p);
    if (chance(r, 30))
        p->ce_ppm = below(r, 100000);
    p->offload = chance(r, 30);
    if (!p->offload && chance(r, 30)) /* frames without a checksum on the way cannot be checked */
        p->corrupt_ppm = below(r, 20000);
}

static int choose_tcp(struct run *r, unsigned i)
{
    uint64_t rng = r->seed * 2 + i; /* of its own: what other choices follow from a seed stays */
    struct tcp_config cfg;

    tcp_config_defaults(&cfg);
    cfg.mtu_probing = sim_below(&rng, TCP_MTU_PROBING_ALWAYS + 1);
    cfg.cc_algo = chance(r, 30) ? "newreno" : chance(r, 50) ? "bbr" : "cubic";
    cfg.sack = !chance(r, 25);
    cfg.timestamps = !chance(r, 25);
    cfg.wscale = !chance(r, 20);
    cfg.ecn = chance(r, 60) ? TCP_ECN_ON : below(r, 2);
    cfg.sack |= r->wanders; /* there are no probes without */
    return tcp_worker_config(r->pair.stack[i]->worker[0], &cfg);
}

static uint32_t choose_size(struct run *r)
{
    switch (below(r, 5)) {
    case 0: return 0;
    case 1: return below(r, 100);
    case 2: return below(r, 5000);
    default: return below(r, 150000);
    }
}

static void choose_flow(struct run *r, struct flow *f)
{
    memset(f, 0, sizeof(*f));
    f->v4 = chance(r, 50);
    f->start_us = chance(r, 50) ? 0 : below(r, 2000000);
    for (unsigned i = 0; i < 2; i++) {
        struct flow_side *s = &f->side[i];

        s->to_send = choose_size(r);
        s->tx_seed = (uint32_t)hs_splitmix(&r->rng);
        s->write_max = 1 + below(r, chance(r, 50) ? 100000 : 3000);
        s->read_max = 1 + below(r, chance(r, 70) ? 100000 : 3000);
        if (chance(r, 15))
            s->pause_us = 1000 + below(r, 400000);
        s->end = (uint8_t)(chance(r, 85) ? below(r, 2) : below(r, N_ENDS));
    }
    if (f->side[0].end == END_READ_THEN_CLOSE && f->side[1].end == END_READ_THEN_CLOSE)
        f->side[below(r, 2)].end = END_SHUTDOWN_THEN_CLOSE; /* both would wait for ever */
    if (chance(r, 10) && r->link[0].loss_ppm < IDLE_LOSS_PPM && r->link[1].loss_ppm < IDLE_LOSS_PPM) {
        struct flow_side *s = &f->side[below(r, 2)];

        s->idle_s = 1800 + below(r, 3000);
        s->idle_at = below(r, s->to_send + 1);
    }
    for (unsigned i = 0; i < 2; i++) {
        struct flow_side *s = &f->side[i];

        s->to_recv = f->side[!i].to_send;
        s->rx_seed = f->side[!i].tx_seed;
        if (s->end == END_CLOSE_AT_ONCE || s->end == END_ABORT)
            f->may_reset = true;
        if (s->pause_us && s->to_recv / s->read_max > 200)
            s->read_max = s->to_recv / 200 + 1;
    }
    /* Without bytes no SYN would ever leave; a SYN that comes twice, and late, is taken twice when the first connection has gone (s2.1). */
    if (f->side[0].to_send && !f->may_reset && chance(r, 30))
        f->how = SVM_CONNECT_FASTOPEN | (chance(r, 50) ? SVM_CONNECT_NO_COOKIE : 0);
}

/* With --path: a stream that lasts for minutes, in bursts that are large enough for a probe and what must follow it. */
static void choose_slow_flow(struct run *r, struct flow *f)
{
    f->may_reset = false;
    f->start_us = 0;
    for (unsigned i = 0; i < 2; i++) {
        struct flow_side *s = &f->side[i];

        s->to_send = i == 0 || chance(r, 30) ? 500000 + below(r, 1500000) : below(r, 5000);
        s->write_max = 10000 + below(r, 30000);
        s->write_pause_us = 200000 + below(r, 2000000);
        s->read_max = 100000;
        s->pause_us = 0;
        s->idle_s = 0;
        s->end = END_SHUTDOWN_THEN_CLOSE;
    }
    for (unsigned i = 0; i < 2; i++)
        f->side[i].to_recv = f->side[!i].to_send;
}

static void choose_path(struct run *r, uint64_t begin_us)
{
    r->router = (struct sim_router){ .n = 1 + below(r, SIM_ROUTER_STEPS) };
    for (unsigned i = 0; i < r->router.n; i++) {
        begin_us += i ? 5000000 + below(r, 60000000) : below(r, 3000000);
        r->router.step[i] = (struct sim_router_step){ begin_us, chance(r, 30) ? 0 : 1280 + below(r, 220), chance(r, 25) };
    }
}

/* ---- programs ---- */

static void side_close(struct flow_side *s, int linger)
{
    sim_close(s->sock, linger);
    s->done = true;
}

/* Nobody is told when a stack gives up what a program wrote and closed (RFC 9293 s3.8.3 R2): its peer then hears a reset. */
static bool peer_gave_up(const struct run *r, unsigned n, const struct flow_side *s)
{
    unsigned other = s == &r->flow[n].side[0];
    const struct stack *st = r->pair.stack[other];

    return r->flow[n].side[other].done && st && tcp_worker_of(st->worker[0])->counters[TCP_C_timeouts] != 0;
}

/* A handshake whose last ACK never arrived is over for who waits for it, and nobody has a socket yet (RFC 9293 s3.8.3). Who has sent that ACK, and
 * has nothing to say, hears so years later. */
static bool peer_never_began(const struct run *r, unsigned n, const struct flow_side *s)
{
    unsigned other = s == &r->flow[n].side[0];
    const struct stack *st = r->pair.stack[other];

    return !r->flow[n].side[other].sock && st && tcp_worker_of(st->worker[0])->counters[TCP_C_syn_timeouts] != 0;
}

static bool may_fail(const struct run *r, unsigned n, const struct flow_side *s)
{
    return r->flow[n].may_reset || r->crashed || peer_gave_up(r, n, s) || peer_never_began(r, n, s);
}

static unsigned side_write(struct run *r, unsigned n, struct flow_side *s)
{
    uint64_t now_us = sim_net_now_us(r->pair.net);
    unsigned work = 0;

    if (now_us < s->next_write_us)
        return 0;
    while (s->sent < s->to_send) {
        int64_t rc;

        if (s->idle_s && s->sent >= s->idle_at) {
            s->next_write_us = now_us + s->idle_s * 1000000ull;
            s->idle_s = 0;
            r->new_stop = true;
            return work + 1;
        }

        if (s->end == END_ABORT && s->sent >= s->to_send / 2) {
            side_close(s, 0);
            return work + 1;
        }
        rc = sim_write_pattern(s->sock, s->tx_seed, hs_min_u32(s->write_max, s->to_send - s->sent));
        if (rc < 0) {
            s->saw_reset = true;
            s->error = (int)rc;
            if (!may_fail(r, n, s))
                fail(r, n, "write failed");
            side_close(s, -1);
            return work + 1;
        }
        if (rc == 0)
            return work;
        s->sent += (uint32_t)rc;
        work++;
        if (s->write_pause_us && s->sent < s->to_send) {
            s->next_write_us = now_us + s->write_pause_us;
            r->new_stop = true;
            return work;
        }
    }
    if (s->shut)
        return work;
    if (s->end == END_CLOSE_AT_ONCE || s->end == END_ABORT) {
        side_close(s, s->end == END_ABORT ? 0 : -1);
        return work + 1;
    }
    if (s->end == END_SHUTDOWN_THEN_CLOSE) {
        sim_shutdown(s->sock, SHUT_WR);
        s->shut = true;
        work++;
    }
    return work;
}

static unsigned side_read(struct run *r, unsigned n, struct flow_side *s, uint64_t now_us)
{
    unsigned work = 0;

    if (now_us < s->next_read_us)
        return 0;
    for (;;) {
        int64_t rc = sim_read_check(s->sock, s->rx_seed, s->read_max);

        if (rc == -EAGAIN)
            return work;
        work++;
        if (rc > 0) {
            s->received += (uint32_t)rc;
            r->bytes += (uint64_t)rc;
            if (s->received > s->to_recv)
                fail(r, n, "more bytes than were written");
            if (s->pause_us) {
                s->next_read_us = now_us + s->pause_us;
                r->new_stop = true;
                return work;
            }
            continue;
        }
        if (rc == 0) {
            s->saw_eof = true;
            if (s->received != s->to_recv && !r->crashed)
                fail(r, n, "stream ended early");
            if (s->end == END_SHUTDOWN_THEN_CLOSE ? s->shut : s->sent == s->to_send)
                side_close(s, -1);
            else
                s->next_read_us = UINT64_MAX; /* nothing more to read, still writing */
            return work;
        }
        if (rc == -EILSEQ)
            fail(r, n, "a wrong byte");
        s->saw_reset = true;
        s->error = (int)rc;
        if (!may_fail(r, n, s))
            fail(r, n, "reset for no reason");
        if (peer_never_began(r, n, s))
            r->flow[n].side[s == &r->flow[n].side[0]].done = true;
        side_close(s, -1);
        return work;
    }
}

/* A lost RST leaves the other side waiting for ever, unless it asks. */
static void keep_alive(struct worker *w, struct sim_sock *s)
{
    static const struct { uint8_t attr; int32_t value; } set[] = {
        { SVM_ATTR_KEEPIDLE, 60 }, { SVM_ATTR_KEEPINTVL, 10 }, { SVM_ATTR_KEEPALIVE, 1 },
    };

    for (unsigned i = 0; i < HS_ARRAY_LEN(set); i++)
        session_attr_set(w, s->session, set[i].attr, &set[i].value, sizeof(set[i].value));
}

static unsigned side_step(struct run *r, unsigned n, struct flow_side *s, uint64_t now_us)
{
    unsigned work = 0;

    if (s->done || !s->sock)
        return 0;
    if (s->sock->connect_done && s->sock->connect_error) {
        s->error = s->sock->connect_error;
        if (!r->crashed)
            fail(r, n, "connect failed");
        s->done = true;
        return 1;
    }
    if (!s->sock->connected)
        return 0;
    if (!s->started) {
        s->started = true;
        if (s->sock->session)
            keep_alive(r->pair.stack[s == &r->flow[n].side[1]]->worker[0], s->sock);
    }
    work += side_write(r, n, s);
    if (!s->done && s->saw_eof && (s->end == END_SHUTDOWN_THEN_CLOSE ? s->shut : s->sent == s->to_send)) {
        side_close(s, -1);
        return work + 1;
    }
    if (!s->done && !s->saw_eof)
        work += side_read(r, n, s, now_us);
    return work;
}

static void fast_open(struct run *r, struct sim_sock *listener, bool no_cookie)
{
    int32_t pending = 2, yes = no_cookie;
    struct worker *w = r->pair.stack[1]->worker[0];

    session_attr_set(w, listener->session, SVM_ATTR_FASTOPEN, &pending, sizeof(pending));
    session_attr_set(w, listener->session, SVM_ATTR_FASTOPEN_NO_COOKIE, &yes, sizeof(yes));
}

static unsigned flow_start(struct run *r, unsigned n, uint64_t now_us)
{
    struct flow *f = &r->flow[n];
    struct ip_endpoint to = sim_pair_endpoint(1, f->v4, (uint16_t)(PORT_BASE + n));

    if (f->side[0].sock || f->side[0].done || now_us < f->start_us)
        return 0;
    sim_app_connect_how(r->app[0], f->how);
    if (sim_connect(r->app[0], SVM_PROTO_TCP, NULL, &to, &f->side[0].sock) != 0) {
        fail(r, n, "connect refused at once");
        f->side[0].done = f->side[1].done = true;
    } else if (f->how && f->side[0].sock->session->connect_waits) {
        struct flow_side *s = &f->side[0];
        int64_t rc = sim_write_pattern(s->sock, s->tx_seed, hs_min_u32(s->write_max, s->to_send));

        if (rc <= 0)
            fail(r, n, "nothing can be written for the SYN");
        else
            s->sent += (uint32_t)rc;
    }
    return 1;
}

static unsigned programs(void *arg, uint64_t now_us)
{
    struct run *r = arg;
    unsigned work = 0;

    if (r->crash && !r->crashed && r->app[1] && now_us >= r->crash_us) {
        r->crashed = true;
        for (unsigned n = 0; n < r->n_flows; n++)
            r->flow[n].side[1].done = true;
        sim_app_destroy(r->app[1]);
        r->app[1] = NULL;
        work++;
    }
    for (unsigned n = 0; n < r->n_flows; n++) {
        struct flow *f = &r->flow[n];

        work += flow_start(r, n, now_us);
        if (r->app[1] && !f->side[1].sock && r->listener[n]) {
            f->side[1].sock = sim_accept(r->listener[n]);
            work += f->side[1].sock != NULL;
        }
        for (unsigned i = 0; i < 2; i++) {
            if (r->app[i])
                work += side_step(r, n, &f->side[i], now_us);
        }
    }
    return work;
}

/* ---- a run ---- */

static bool all_done(void *arg)
{
    struct run *r = arg;

    if (r->failure)
        return true;
    for (unsigned n = 0; n < r->n_flows; n++) {
        for (unsigned i = 0; i < 2; i++) {
            const struct flow_side *s = &r->flow[n].side[i];

            /* A peer that never came (reset before it was accepted) is done with the other side. */
            if (!s->done && !(i == 1 && !s->sock && r->flow[n].side[0].done && r->flow[n].may_reset))
                return false;
        }
    }
    return true;
}

static uint64_t next_app_us(const struct run *r, uint64_t now_us, uint64_t limit_us)
{
    uint64_t next = limit_us;

    if (r->crash && !r->crashed && r->crash_us < next)
        next = r->crash_us;
    for (unsigned n = 0; n < r->n_flows; n++) {
        const struct flow *f = &r->flow[n];

        if (!f->side[0].sock && !f->side[0].done && f->start_us < next)
            next = f->start_us;
        for (unsigned i = 0; i < 2; i++) {
            const struct flow_side *s = &f->side[i];

            if (s->sock && !s->done && s->next_read_us > now_us && s->next_read_us < next)
                next = s->next_read_us;
            if (s->sock && !s->done && s->next_write_us > now_us && s->next_write_us < next)
                next = s->next_write_us;
        }
    }
    return next > now_us ? next : now_us + 1;
}

static bool until_or_stop(void *arg)
{
    struct run *r = arg;

    return r->new_stop || r->until(r);
}

/* Runs until cond or the limit; the programs' own points in time are stops. */
static int run_while(struct run *r, bool (*cond)(void *), uint64_t limit_us)
{
    for (;;) {
        uint64_t now = sim_net_now_us(r->pair.net), next;
        int rc;

        if (cond(r))
            return 0;
        if (now >= limit_us)
            return -ETIMEDOUT;
        next = next_app_us(r, now, limit_us);
        r->new_stop = false;
        r->until = cond;
        rc = sim_net_run_while(r->pair.net, until_or_stop, r, next);
        if (rc != 0 && rc != -ETIMEDOUT)
            return rc;
        programs(r, sim_net_now_us(r->pair.net)); /* a pause has ended */
    }
}

static bool stacks_empty(void *arg)
{
    struct run *r = arg;

    for (unsigned i = 0; i < 2; i++) {
        struct tcp_usage u;

        if (!r->pair.stack[i])
            continue;
        tcp_worker_usage(r->pair.stack[i]->worker[0], &u);
        if (u.n_conns)
            return false;
    }
    return true;
}

static void check_left(struct run *r)
{
    for (unsigned i = 0; i < 2; i++) {
        struct tcp_worker *tw;

        if (!r->pair.stack[i])
            continue;
        tw = tcp_worker_of(r->pair.stack[i]->worker[0]);
        if (tw->n_half_open || tw->n_time_wait || tw->half_list || tw->ack_list || tw->n_sents)
            fail(r, 0, "TCP state is left");
        if (sim_pair_pkts_in_use(&r->pair, i))
            fail(r, 0, "packets are left");
    }
}

static void print_conn(struct worker *w, const struct tcp_conn *c)
{
    struct session *s = c->base.session;

    printf("    %s :%u flags %x una +%u nxt +%u wnd %u cwnd %u ca %u sacked %u lost %u mode %u deadline %lld tx %u | rcv wnd %u space %u of %u"
           " ooo %u list %d\n", tcp_state_name(c->state), be16_get(c->base.lcl.port), c->flags, c->snd_una - c->iss, c->snd_nxt - c->iss,
           c->snd_wnd, c->cwnd, c->ca_state, c->sent ? c->sent->sacked : 0, c->sent ? c->sent->lost : 0, c->rexmt_mode,
           (long long)(c->rexmt_deadline_us - w->now_us), s ? session_tx_avail(w, s) : 0, c->rcv_adv - c->rcv_nxt,
           s ? session_rx_space(w, s) : 0, s ? session_rx_max(s) : 0, s ? s->fifos->rx.n_ooo : 0, s ? s->on_tx_list : 0);
}

static void print_stats(const struct run *r)
{
    for (unsigned i = 0; i < 2; i++) {
        const struct tcp_conn *c;
        struct tcp_worker *tw;

        if (!r->pair.stack[i])
            continue;
        tw = tcp_worker_of(r->pair.stack[i]->worker[0]);
        printf("  stack %u:", i);
#define X(name, severity, text) if (tw->counters[TCP_C_##name]) printf(" " #name "=%llu", (unsigned long long)tw->counters[TCP_C_##name]);
#include "server/tcp/tcp_drops.def"
#undef X
        printf("\n");
        for (uint32_t n = 0; (c = tcp_conn_next(tw, &n)); n++)
            print_conn(r->pair.stack[i]->worker[0], c);
    }
}

static void print_flows(const struct run *r)
{
    for (unsigned n = 0; n < r->n_flows; n++) {
        for (unsigned i = 0; i < 2; i++) {
            const struct flow_side *s = &r->flow[n].side[i];

            if (s->sock && !s->done)
                printf("  readable %u eof %d next read %llu\n", sim_readable(s->sock), sim_at_eof(s->sock),
                       (unsigned long long)s->next_read_us);
            printf("  flow %u.%u v%c end %u: sent %u of %u, received %u of %u, pause %u us%s%s%s%s error %d\n", n, i,
                   r->flow[n].v4 ? '4' : '6', s->end, s->sent, s->to_send, s->received, s->to_recv, s->pause_us,
                   s->sock ? "" : " nosock", s->saw_eof ? " eof" : "", s->saw_reset ? " reset" : "", s->done ? " done" : "",
                   s->error);
        }
    }
}

/* FNV-1a: two runs that differ in one bit or microsecond differ here. */
static bool on_frame(void *arg, struct sim_link *l, unsigned end, const uint8_t *frame, uint32_t len, uint64_t now_us)
{
    struct run *r = arg;
    uint64_t *d = r->digest;

    if (!d)
        return sim_router_passes(&r->router, l, end, frame, len, now_us);
    *d = (*d ^ now_us ^ end) * 0x100000001b3ull;
    for (uint32_t i = 0; i < len; i++)
        *d = (*d ^ frame[i]) * 0x100000001b3ull;
    return sim_router_passes(&r->router, l, end, frame, len, now_us);
}

static bool setup(struct run *r)
{
    struct sim_params link;
    uint64_t begin_us;

    choose_link(r, &link);
    if (r->wanders) {
        link.offload = false;
        link.mtu = hs_max_u32(link.mtu, 1500);
        link.loss_ppm = hs_min_u32(link.loss_ppm, 10000); /* a search may last longer than a stream */
    }
    r->link[0] = r->link[1] = link;
    if (sim_pair_create(&r->pair, r->seed, &link, false) != 0)
        return fail(r, 0, "setup");
    begin_us = sim_net_now_us(r->pair.net);
    sim_link_set_tap(r->pair.link, on_frame, r);
    if (chance(r, 40)) { /* the way back is another */
        choose_link(r, &r->link[1]);
        sim_link_set_params(r->pair.link, 1, &r->link[1]);
        r->link[1].mtu = link.mtu;
        r->link[1].offload = link.offload;
    }
    if (chance(r, 20) && !link.offload) /* super-frames are larger than any packet on a path */
        r->router = (struct sim_router){ .n = 1, .step[0] = { begin_us + below(r, 3000000), 1280 + below(r, 200), chance(r, 50) } };
    if (r->wanders)
        choose_path(r, begin_us);
    if (r->verbose)
        printf("  link: mtu %u delay %u loss %u ppm burst %u/%u dup %u reorder %u/%u us jitter %u corrupt %u rate %llu queue %u%s\n",
               link.mtu, link.delay_us, link.loss_ppm, link.burst_ppm, link.burst_len, link.dup_ppm, link.reorder_ppm,
               link.reorder_us, link.jitter_us, link.corrupt_ppm, (unsigned long long)link.bits_per_s, link.queue_frames,
               link.offload ? " offload" : "");
    for (unsigned i = 0; i < 2; i++) {
        struct sim_app_options opt = { .rx_max = 4096u << below(r, 7), .tx_max = 4096u << below(r, 7), .client_id = i + 1 };

        if (r->wanders)
            opt.rx_max = opt.tx_max = 262144;
        if (choose_tcp(r, i) != 0 || sim_app_create(r->pair.stack[i]->worker[0], &opt, &r->app[i]) != 0)
            return fail(r, 0, "setup");
    }
    r->n_flows = 1 + below(r, r->wanders ? 2 : chance(r, 80) ? 5 : MAX_FLOWS);
    for (unsigned n = 0; n < r->n_flows; n++) {
        struct ip_endpoint lcl;

        choose_flow(r, &r->flow[n]);
        if (r->wanders)
            choose_slow_flow(r, &r->flow[n]);
        r->flow[n].start_us += begin_us;
        lcl = sim_pair_endpoint(1, r->flow[n].v4, (uint16_t)(PORT_BASE + n));
        if (sim_listen(r->app[1], SVM_PROTO_TCP, &lcl, 16, &r->listener[n]) != 0)
            return fail(r, n, "listen");
        if (r->flow[n].how)
            fast_open(r, r->listener[n], r->flow[n].how & SVM_CONNECT_NO_COOKIE && chance(r, 80));
    }
    if (!r->wanders && chance(r, 12)) {
        r->crash = 1 + below(r, 3);
        r->crash_us = begin_us + below(r, 3000000);
    }
    return true;
}

/* It comes back and knows nothing: what is left of the old connections is told so by a reset, new ones work. */
static void stack_restart(struct run *r)
{
    struct sim_app_options opt = { .rx_max = 65536, .tx_max = 65536, .client_id = 2 };
    struct flow *f = &r->flow[r->n_flows];
    struct ip_endpoint lcl;
    int rc;

    memset(r->listener, 0, sizeof(r->listener));
    sim_net_run_until(r->pair.net, sim_net_now_us(r->pair.net) + below(r, 20000000));
    if (sim_pair_restart(&r->pair, 1, r->seed + 1, &r->link[1]) != 0 || choose_tcp(r, 1) != 0 ||
        sim_app_create(r->pair.stack[1]->worker[0], &opt, &r->app[1]) != 0) {
        fail(r, 0, "the stack does not come back");
        return;
    }
    rc = run_while(r, all_done, sim_net_now_us(r->pair.net) + LIMIT_S * 1000000ull);
    if (rc != 0)
        fail(r, 0, "a connection to who has restarted does not end");
    *f = (struct flow){ .v4 = chance(r, 50), .start_us = sim_net_now_us(r->pair.net) };
    for (unsigned i = 0; i < 2; i++)
        f->side[i] = (struct flow_side){ .to_send = 20000, .to_recv = 20000, .tx_seed = i, .rx_seed = !i, .write_max = 5000, .read_max = 5000 };
    lcl = sim_pair_endpoint(1, f->v4, (uint16_t)(PORT_BASE + r->n_flows));
    if (sim_listen(r->app[1], SVM_PROTO_TCP, &lcl, 16, &r->listener[r->n_flows]) != 0)
        fail(r, r->n_flows, "listen");
    r->n_flows++;
    rc = run_while(r, all_done, sim_net_now_us(r->pair.net) + LIMIT_S * 1000000ull);
    for (unsigned i = 0; i < 2; i++) {
        if (rc != 0 || f->side[i].received != 20000 || f->side[i].saw_reset)
            fail(r, r->n_flows - 1, "a new connection to who has restarted fails");
    }
}

static void close_all(struct run *r)
{
    for (unsigned n = 0; n < r->n_flows; n++) {
        struct flow_side *s = &r->flow[n].side[0];

        if (s->sock && !s->done)
            side_close(s, -1);
    }
}

static bool crashed_or_done(void *arg)
{
    struct run *r = arg;

    return all_done(r) || (r->crash >= 2 && r->crashed);
}

static void count_probes(const struct run *r)
{
    for (unsigned i = 0; i < 2 && r->probes; i++) {
        const uint64_t *n = r->pair.stack[i] ? tcp_worker_of(r->pair.stack[i]->worker[0])->counters : NULL;

        for (unsigned k = 0; n && k < 3; k++)
            r->probes[k] += n[TCP_C_mtu_probes + k];
    }
}

static bool run_seed(uint64_t seed, bool verbose, uint64_t *digest, uint64_t *probes)
{
    struct run *r = calloc(1, sizeof(*r));
    bool ok;
    int rc;

    r->seed = r->rng = seed;
    r->verbose = verbose;
    r->digest = digest;
    r->probes = probes;
    r->wanders = probes != NULL;
    if (setup(r)) {
        sim_net_set_hook(r->pair.net, programs, r);
        rc = run_while(r, crashed_or_done, sim_net_now_us(r->pair.net) + LIMIT_S * 1000000ull);
        if (rc == 0 && r->crash >= 2 && r->crashed)
            sim_pair_crash(&r->pair, 1); /* without a word */
        if (rc == 0 && r->crash == 3 && r->crashed) {
            stack_restart(r);
        } else if (rc == 0 && r->crash == 2 && r->crashed) { /* what is in flight times out, what is idle is closed by its program */
            run_while(r, all_done, sim_net_now_us(r->pair.net) + 2000000);
            close_all(r);
        } else if (rc == -ETIMEDOUT) {
            fail(r, 0, "not finished in time");
        } else if (rc != 0) {
            fail(r, 0, "the simulation never gets idle");
        }
    }
    if (!r->failure) {
        for (unsigned i = 0; i < 2; i++) {
            if (r->app[i])
                sim_app_destroy(r->app[i]);
            r->app[i] = NULL;
        }
        r->n_flows = 0;
        rc = sim_net_run_while(r->pair.net, stacks_empty, r, sim_net_now_us(r->pair.net) + QUIET_S * 1000000ull);
        if (rc != 0)
            fail(r, 0, rc == -ETIMEDOUT ? "connections are left" : "the simulation never gets idle");
        else
            sim_net_run_until(r->pair.net, sim_net_now_us(r->pair.net) + 60000000); /* what waits for a neighbour gives up */
        check_left(r);
    }
    if (verbose || r->failure) {
        printf("seed %llu: %s%s after %.3f s, %llu bytes\n", (unsigned long long)seed, r->failure ? "FAILED: " : "passed",
               r->failure ? r->failure : "", (double)sim_net_now_us(r->pair.net) / 1e6, (unsigned long long)r->bytes);
        print_flows(r);
        print_stats(r);
    }
    count_probes(r);
    ok = !r->failure;
    for (unsigned i = 0; i < 2; i++) {
        if (r->app[i])
            sim_app_destroy(r->app[i]);
    }
    sim_pair_destroy(&r->pair);
    free(r);
    return ok;
}

static int usage(void)
{
    fprintf(stderr, "usage: sim_tcp [--seeds A-B] [--seed N] [--path] [--digest] [--verbose]\n");
    return 2;
}

int main(int argc, char **argv)
{
    static const struct option opts[] = { { "seeds", 1, NULL, 's' }, { "seed", 1, NULL, 'n' }, { "verbose", 0, NULL, 'v' },
                                          { "digest", 0, NULL, 'd' }, { "path", 0, NULL, 'p' }, { 0 } };
    unsigned long long from = 1, to = 1000, failed = 0;
    bool verbose = false, with_digest = false, with_path = false;
    uint64_t probes[3] = { 0 };
    uint64_t digest = 0xcbf29ce484222325ull;
    int o;

    while ((o = getopt_long(argc, argv, "", opts, NULL)) != -1) {
        if (o == 's' && sscanf(optarg, "%llu-%llu", &from, &to) == 2)
            continue;
        if (o == 'n' && sscanf(optarg, "%llu", &from) == 1) {
            to = from;
            verbose = true;
            continue;
        }
        if (o == 'd') {
            with_digest = true;
            continue;
        }
        if (o == 'p') {
            with_path = true;
            continue;
        }
        if (o != 'v')
            return usage();
        verbose = true;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (sim_eal_init("sim-tcp") != 0) {
        fprintf(stderr, "sim_tcp: no EAL\n");
        return 1;
    }
    for (unsigned long long seed = from; seed <= to; seed++)
        failed += !run_seed(seed, verbose, with_digest ? &digest : NULL, with_path ? probes : NULL);
    if (with_digest)
        printf("digest %016llx\n", (unsigned long long)digest);
    if (with_path)
        printf("%llu probes, %llu arrived, %llu lost\n", (unsigned long long)probes[0], (unsigned long long)probes[1],
               (unsigned long long)probes[2]);
    printf("%llu seeds, %llu failed\n", to - from + 1, failed);
    return failed ? 1 : 0;
}
