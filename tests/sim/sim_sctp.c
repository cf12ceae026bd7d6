/* sim_sctp.c - SCTP between two stacks over a network that loses, delays, reorders, doubles and corrupts
 *
 * Everything follows from the seed: link, streams, sizes, order. Each message says which one of its stream it is, and its bytes follow
 * from that: each comes once, whole, in order within its stream when it is ordered; or the association's failure is told.
 *
 *   sim_sctp [--seeds A-B] [--seed N] [--verbose]    exit 0: all passed; 1: prints the failing seed */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include "common/splitmix.h"
#include "server/ip/interface.h"
#include "server/sctp/sctp_internal.h"
#include "tests/sim/sim_msg.h"
#include "tests/sim/sim_pair.h"

enum { STREAMS = 10, SEQS = 2048, SEEN_BYTES = 2 * SEQS * STREAMS / 8, UNORDERED = 1 << 30 };
enum { MAX_FLOWS = 4, MAX_MSG = 200000, PIECE = 16384, PORT = 7000, LIMIT_S = 3600, QUIET_S = 1200 };

struct msg_head { uint32_t stream, seq, len, flow; };

struct side {
    struct sim_sock *sock;
    uint32_t n_msgs, max_len;        /* to send */
    uint32_t n_sent, n_got, n_expected;
    uint32_t part;                   /* bytes of the message under way that are written */
    uint32_t len, stream;
    bool unordered, shut, done, eof;
    uint32_t next_seq[STREAMS], next_unordered[STREAMS];
    uint32_t want[STREAMS];          /* receiving: next of each stream */
    uint8_t *seen;                   /* receiving: bit per seq and stream */
    uint8_t *given_up;               /* sending: the same, of messages that were told to have failed */
    uint32_t n_lost;                 /* of them, those that have not arrived */
    uint16_t pr_policy;
    uint32_t pr_value;
    struct { uint8_t *b; uint32_t len; } in[STREAMS][2]; /* receiving: the message so far; with I-DATA several at once */
    uint32_t read_pause_us;
    uint64_t next_read_us;
    unsigned n_lost_notes;
    int error;
};
struct flow {
    struct side side[2];
    bool v4, begun;
};
struct run {
    uint64_t seed, rng;
    struct sim_pair pair;
    struct sim_app *app[2];
    struct sim_sock *listener[2];
    struct flow flow[MAX_FLOWS];
    unsigned n_flows;
    const char *failure;
    unsigned failed;
    uint64_t n_messages, cut_us;
    bool verbose, may_fail, new_stop;  /* new_stop: a program has chosen a point in time to go on at */
    uint8_t buf[SVM_SCTP_RECORD_MAX];
};

static uint32_t below(struct run *r, uint32_t n) { return sim_below(&r->rng, n); }
static bool chance(struct run *r, uint32_t percent) { return sim_chance(&r->rng, percent); }
static void fail(struct run *r, unsigned flow, const char *what)
{
    if (!r->failure) {
        r->failure = what;
        r->failed = flow;
    }
}

/* ---- messages ---- */

static uint8_t byte_of(const struct msg_head *h, uint32_t i)
{
    uint32_t x = (h->stream * 2654435761u) ^ (h->seq * 40503u) ^ (i * 2246822519u);

    return (uint8_t)(x >> 13);
}

static void next_message(struct run *r, struct side *s)
{
    static const uint32_t scale[] = { 20, 300, 3000, 20000 };

    s->len = (uint32_t)sizeof(struct msg_head) + below(r, hs_min_u32(s->max_len, scale[below(r, 4)]));
    if (chance(r, 2))
        s->len = (uint32_t)sizeof(struct msg_head) + below(r, s->max_len);
    s->stream = below(r, STREAMS);
    s->unordered = chance(r, 20);
    s->part = 0;
}

static bool write_some(struct run *r, unsigned f, unsigned i)
{
    struct side *s = &r->flow[f].side[i];
    bool any = false;

    while (s->n_sent < s->n_msgs) {
        struct msg_head h = { s->stream, s->unordered ? s->next_unordered[s->stream] : s->next_seq[s->stream], s->len, f * 2 + i };
        if (s->unordered)
            h.seq |= UNORDERED;
        uint32_t n = hs_min_u32(s->len - s->part, PIECE);
        struct svm_sctp_info info = { .stream = (uint16_t)s->stream, .flags = s->unordered ? SCTP_UNORDERED : 0, .ppid = h.seq };
        info.u.tx.pr_valid = s->pr_policy != 0;
        info.u.tx.pr_policy = s->pr_policy;
        info.u.tx.pr_value = s->pr_value;
        for (uint32_t k = 0; k < n; k++) {
            uint32_t at = s->part + k;
            r->buf[k] = at < sizeof(h) ? ((const uint8_t *)&h)[at] : byte_of(&h, at);
        }
        int rc = sim_msg_send(s->sock, &info, r->buf, n, s->part + n < s->len);
        if (rc == -EAGAIN)
            return any;
        if (rc != 0) {
            s->error = rc;
            return any;
        }
        any = true;
        s->part += n;
        if (s->part < s->len)
            continue;
        s->n_sent++;
        if (s->unordered)
            s->next_unordered[s->stream]++;
        else
            s->next_seq[s->stream]++;
        next_message(r, s);
    }
    return any;
}

static uint32_t bit_of(uint32_t stream, uint32_t seq)
{
    return ((seq & UNORDERED ? SEQS : 0) + (seq & (SEQS - 1))) * STREAMS + stream;
}

static void note(struct run *r, unsigned f, unsigned i)
{
    struct side *s = &r->flow[f].side[i];
    struct sctp_assoc_change c; /* the buffer is not aligned */
    struct sctp_send_failed_event failed;

    memcpy(&c, r->buf, sizeof(c));
    if (c.sac_type == SCTP_ASSOC_CHANGE && (c.sac_state == SCTP_COMM_LOST || c.sac_state == SCTP_CANT_STR_ASSOC))
        s->n_lost_notes++;
    if (c.sac_type == SCTP_PARTIAL_DELIVERY_EVENT) {
        struct sctp_pdapi_event e;
        memcpy(&e, r->buf, sizeof(e));
        s->in[e.pdapi_stream % STREAMS][e.pdapi_flags & SCTP_UNORDERED].len = 0;
    }
    if (c.sac_type != SCTP_SEND_FAILED_EVENT)
        return;
    memcpy(&failed, r->buf, sizeof(failed));
    uint32_t bit = bit_of(failed.ssfe_info.snd_sid, failed.ssfe_info.snd_ppid);
    if (s->given_up[bit / 8] >> (bit % 8) & 1)
        return;
    s->given_up[bit / 8] |= (uint8_t)(1u << (bit % 8));
    if (!s->pr_policy && !s->shut && !r->flow[f].side[1 - i].shut)
        fail(r, f, "a message was given up that should not be");
    s->n_lost += !(r->flow[f].side[1 - i].seen[bit / 8] >> (bit % 8) & 1);
}

static void check_message(struct run *r, unsigned f, unsigned i, const uint8_t *in, uint32_t len)
{
    struct side *s = &r->flow[f].side[i];
    struct msg_head h;

    if (len < sizeof(h)) {
        fail(r, f, "a message is too short");
        return;
    }
    memcpy(&h, in, sizeof(h));
    if (h.len != len || h.stream >= STREAMS || h.flow != f * 2 + (1 - i)) {
        fail(r, f, "a message is not what was sent");
        return;
    }
    for (uint32_t k = sizeof(h); k < len; k++) {
        if (in[k] != byte_of(&h, k)) {
            fail(r, f, "a byte of a message is wrong");
            return;
        }
    }
    uint32_t bit = bit_of(h.stream, h.seq), seq = h.seq & (uint32_t)~UNORDERED;
    if (s->seen[bit / 8] >> (bit % 8) & 1)
        fail(r, f, "a message came twice");
    s->seen[bit / 8] |= (uint8_t)(1u << (bit % 8));
    const struct side *other = &r->flow[f].side[1 - i];
    if (other->given_up[bit / 8] >> (bit % 8) & 1)
        r->flow[f].side[1 - i].n_lost--;
    if (!(h.seq & UNORDERED)) {
        if (other->pr_policy ? seq < s->want[h.stream] : seq != s->want[h.stream])
            fail(r, f, "a message is out of order in its stream, lost or doubled");
        s->want[h.stream] = seq + 1;
    }
    s->n_got++;
    r->n_messages++;
}

static void take_part(struct run *r, unsigned f, unsigned i, const struct svm_sctp_info *info, uint32_t n, bool more)
{
    struct side *s = &r->flow[f].side[i];
    unsigned stream = info->stream % STREAMS, u = (info->flags & SCTP_UNORDERED) != 0;

    if (s->in[stream][u].len + (uint64_t)n > MAX_MSG + sizeof(struct msg_head)) {
        fail(r, f, "a message has no end");
        return;
    }
    if (!s->in[stream][u].b)
        s->in[stream][u].b = malloc(MAX_MSG + sizeof(struct msg_head));
    memcpy(s->in[stream][u].b + s->in[stream][u].len, r->buf, n);
    s->in[stream][u].len += n;
    if (!more) {
        check_message(r, f, i, s->in[stream][u].b, s->in[stream][u].len);
        s->in[stream][u].len = 0;
    }
}

static bool read_some(struct run *r, unsigned f, unsigned i, uint64_t now_us)
{
    struct side *s = &r->flow[f].side[i];
    bool any = false, more;
    struct svm_sctp_info info;

    if (s->read_pause_us && now_us < s->next_read_us)
        return false;
    for (unsigned k = 0; k < 40 && !s->eof; k++) {
        int64_t n = sim_msg_recv(s->sock, &info, r->buf, sizeof(r->buf), &more);
        if (n == -EAGAIN)
            break;
        any = true;
        if (n == 0) {
            s->eof = true;
        } else if (n < 0) {
            s->error = (int)n;
            s->eof = true;
        } else if (info.flags & SCTP_NOTIFICATION) {
            note(r, f, i);
        } else {
            take_part(r, f, i, &info, (uint32_t)n, more);
        }
    }
    if (any && s->read_pause_us) {
        s->next_read_us = now_us + s->read_pause_us;
        r->new_stop = true;
    }
    return any;
}

/* RFC 6525, now and then: what cannot be now is refused. */
static void reconfigure(struct run *r, struct side *s)
{
    struct { struct sctp_reset_streams v; uint16_t list[4]; } reset = { .v.srs_flags = (uint16_t)(1 + below(r, 3)) };
    struct sctp_add_streams add = { .sas_instrms = (uint16_t)below(r, 3), .sas_outstrms = (uint16_t)below(r, 3) };
    sctp_assoc_t all = 0;
    uint32_t len;

    if (!chance(r, 5))
        return;
    switch (below(r, 8)) {
    case 0:
        len = sizeof(add);
        (void)sim_msg_option(s->sock, true, SCTP_ADD_STREAMS, &add, &len);
        break;
    case 1:
        len = sizeof(all);
        (void)sim_msg_option(s->sock, true, SCTP_RESET_ASSOC, &all, &len);
        break;
    default:
        reset.v.srs_number_streams = (uint16_t)below(r, 4);
        for (unsigned i = 0; i < reset.v.srs_number_streams; i++)
            reset.list[i] = (uint16_t)below(r, STREAMS);
        len = (uint32_t)sizeof(reset.v) + 2 * reset.v.srs_number_streams;
        (void)sim_msg_option(s->sock, true, SCTP_RESET_STREAMS, &reset, &len);
    }
}

static bool side_run(struct run *r, unsigned f, unsigned i, uint64_t now_us)
{
    struct side *s = &r->flow[f].side[i];
    bool any = false;

    if (!s->sock || s->done)
        return false;
    if (s->sock->connect_done && s->sock->connect_error) {
        s->error = s->sock->connect_error;
        s->done = true;
        sim_sock_free(s->sock);
        s->sock = NULL;
        return true;
    }
    if (!s->sock->connected)
        return false;
    if (r->seed % 4 == 3 && !s->shut)
        reconfigure(r, s);
    any |= write_some(r, f, i);
    any |= read_some(r, f, i, now_us);
    /* Side 0 ends it, when it has all: SCTP knows no half-closed associations. */
    if (i == 0 && !s->shut && s->n_sent == s->n_msgs && s->n_got + r->flow[f].side[1].n_lost == s->n_expected) {
        sim_shutdown(s->sock, SHUT_WR);
        s->shut = any = true;
    }
    if (s->eof || s->error) {
        sim_close(s->sock, -1);
        s->done = any = true;
    }
    return any;
}

/* What a program may ask for; half of the seeds ask for nothing. */
static void choose_options(struct run *r, struct sim_sock *s)
{
    struct { uint16_t opt; uint32_t n, percent; } all[] = {
        { SCTP_INTERLEAVING_SUPPORTED, 2, 70 }, { SCTP_STREAM_SCHEDULER, SCTP_SCHED_WEIGHTED + 1, 50 }, { SCTP_PR_SUPPORTED, 2, 20 },
        { SCTP_NODELAY, 2, 30 }, { SCTP_RECONFIG_SUPPORTED, 2, 60 }, { SCTP_ENABLE_STREAM_RESET, 8, 80 }, { SCTP_ECN_SUPPORTED, 2, 50 },
    };

    for (unsigned k = 0; r->seed % 2 && k < HS_ARRAY_LEN(all); k++) {
        struct sctp_assoc_value v = { .assoc_value = below(r, all[k].n) };
        uint32_t len = sizeof(v);
        if (chance(r, all[k].percent) && sim_msg_option(s, true, all[k].opt, &v, &len) != 0)
            fail(r, 0, "an option is refused");
    }
}

/* RFC 4895, in one of eight runs: both have the same key, and each demands what it likes. */
static void choose_auth(struct run *r, struct sim_sock *s)
{
    static const uint8_t types[] = { SCTP_CT_DATA, SCTP_CT_IDATA, SCTP_CT_SACK, SCTP_CT_COOKIE_ECHO, SCTP_CT_COOKIE_ACK, SCTP_CT_HEARTBEAT,
                                     SCTP_CT_SHUTDOWN, SCTP_CT_ABORT, SCTP_CT_FORWARD_TSN, SCTP_CT_RECONF };
    struct { struct sctp_authkey v; char text[4]; } key = { { .sca_keylength = 4 }, "any" };
    struct sctp_assoc_value on = { .assoc_value = 1 };
    uint32_t len = sizeof(on);

    if (r->seed % 8 != 5)
        return;
    int rc = sim_msg_option(s, true, SCTP_AUTH_SUPPORTED, &on, &len);
    rc |= sim_msg_option(s, true, SCTP_ASCONF_SUPPORTED, &on, &len);
    rc |= sim_msg_option(s, true, SCTP_AUTO_ASCONF, &on, &len);
    len = sizeof(key);
    rc |= sim_msg_option(s, true, SCTP_AUTH_KEY, &key, &len);
    for (unsigned i = 0; i < HS_ARRAY_LEN(types); i++) {
        struct sctp_authchunk type = { .sauth_chunk = types[i] };
        len = sizeof(type);
        if (chance(r, 50))
            rc |= sim_msg_option(s, true, SCTP_AUTH_CHUNK, &type, &len);
    }
    if (rc)
        fail(r, 0, "authentication is refused");
}

/* ... and addresses of both sides come and go, but one (RFC 5061): sockets are told to follow. */
static void change_addresses(struct run *r, unsigned i)
{
    static const char *const text[] = { "10.9.0.%u/24", "fd09::%u/64" };
    struct interface *ifc = r->pair.stack[i]->interfaces->ifc[0];
    struct ip_prefix p;
    char buf[32];

    if (r->seed % 8 != 5 || !chance(r, 2))
        return;
    snprintf(buf, sizeof(buf), text[below(r, 2)], 20 + 20 * i + below(r, 4));
    if (ip_prefix_parse(buf, &p) == 0 && interface_add_address(ifc, &p, INTERFACE_ADDR_NO_DAD) != 0)
        (void)interface_del_address(ifc, &p);
}

static void begin(struct run *r, unsigned f, const struct ip_endpoint *to)
{
    struct ip_endpoint any = { .ip = ip_addr_any(ip_addr_is_v4(&to->ip)) };
    struct sim_sock **s = &r->flow[f].side[0].sock;

    if (sim_bind(r->app[0], SVM_PROTO_SCTP, &any, s) != 0) {
        fail(r, f, "bind");
        return;
    }
    choose_options(r, *s);
    choose_auth(r, *s);
    if (sim_reconnect(*s, to) != 0)
        fail(r, f, "connect");
}

static bool all_done(void *arg);

static unsigned hook(void *arg, uint64_t now_us)
{
    struct run *r = arg;
    unsigned n = 0;

    for (unsigned f = 0; f < r->n_flows; f++) {
        struct flow *fl = &r->flow[f];
        if (!fl->begun) {
            struct ip_endpoint to = sim_pair_endpoint(1, fl->v4, (uint16_t)(PORT + f));
            fl->begun = true;
            n++;
            begin(r, f, &to);
        }
        if (!fl->side[1].sock && !fl->side[1].done && r->listener[0]) {
            fl->side[1].sock = sim_accept(r->listener[0]);
            n += fl->side[1].sock != NULL;
        }
        for (unsigned i = 0; i < 2; i++) {
            if (fl->side[1].sock && !all_done(r))
                change_addresses(r, i);
            n += side_run(r, f, i, now_us);
        }
    }
    return n;
}

static bool all_done(void *arg)
{
    struct run *r = arg;

    if (r->failure)
        return true;
    for (unsigned f = 0; f < r->n_flows; f++) {
        struct side *s = r->flow[f].side;
        if (!s[0].done || (s[1].sock && !s[1].done))
            return false;
    }
    return true;
}

static bool stop_or_done(void *arg)
{
    struct run *r = arg;

    return r->new_stop || all_done(arg);
}

/* 0, or -ETIMEDOUT, -ELOOP. */
static int run_all(struct run *r)
{
    uint64_t limit = sim_net_now_us(r->pair.net) + (uint64_t)LIMIT_S * 1000000;

    for (;;) {
        uint64_t now = sim_net_now_us(r->pair.net), stop = limit;
        for (unsigned f = 0; f < r->n_flows; f++)
            for (unsigned i = 0; i < 2; i++)
                if (r->flow[f].side[i].next_read_us > now)
                    stop = hs_min_u64(stop, r->flow[f].side[i].next_read_us);
        r->new_stop = false;
        int rc = sim_net_run_while(r->pair.net, stop_or_done, r, stop);
        if (all_done(r))
            return 0;
        if (rc == -ELOOP || sim_net_now_us(r->pair.net) >= limit)
            return rc;
    }
}

static void choose_link(struct run *r, struct sim_params *p)
{
    sim_choose_link(&r->rng, &(struct sim_ranges){ .loss_ppm = 50000, .bad_loss_ppm = 120000, .burst_ppm = 4000, .burst_more = 5 }, p);
    if (chance(r, 30))
        p->corrupt_ppm = below(r, 20000);
    if (chance(r, 30))
        p->ce_ppm = below(r, 200000);
}

static void choose_flows(struct run *r)
{
    r->n_flows = 1; /* one listener a flow keeps who accepts whom simple */
    for (unsigned f = 0; f < r->n_flows; f++) {
        struct flow *fl = &r->flow[f];
        fl->v4 = chance(r, 50);
        for (unsigned i = 0; i < 2; i++) {
            struct side *s = &fl->side[i];
            s->max_len = chance(r, 30) ? MAX_MSG : chance(r, 50) ? 100 : 5000;
            s->n_msgs = chance(r, 20) ? 0 : 1 + below(r, chance(r, 20) ? 1500 : 150);
            s->read_pause_us = chance(r, 30) ? below(r, 100000) : 0;
            s->seen = calloc(1, SEEN_BYTES);
            s->given_up = calloc(1, SEEN_BYTES);
            if (r->seed % 8 == 1) {
                s->pr_policy = chance(r, 50) ? SCTP_PR_SCTP_TTL : SCTP_PR_SCTP_RTX;
                s->pr_value = s->pr_policy == SCTP_PR_SCTP_TTL ? below(r, 3000) : below(r, 3);
                s->read_pause_us = 0; /* failures are told to who reads */
            }
            next_message(r, s);
        }
        fl->side[0].n_expected = fl->side[1].n_msgs;
        fl->side[1].n_expected = fl->side[0].n_msgs;
    }
}

static void check_end(struct run *r)
{
    for (unsigned f = 0; f < r->n_flows && !r->failure; f++) {
        struct flow *fl = &r->flow[f];
        for (unsigned i = 0; i < 2; i++) {
            struct side *s = &fl->side[i];
            if (s->error && !r->may_fail)
                fail(r, f, "the association failed");
            else if (!s->error && fl->side[1 - i].error == 0 && s->n_got + fl->side[1 - i].n_lost != s->n_expected)
                fail(r, f, "messages are missing at the end");
        }
    }
    for (unsigned i = 0; i < 2 && !r->failure; i++) {
        if (sctp_worker_of(r->pair.stack[i]->worker[0])->n_assocs)
            fail(r, i, "an association is left");
        else if (sim_pair_pkts_in_use(&r->pair, i))
            fail(r, i, "packets are left");
    }
}

static void teardown(struct run *r)
{
    for (unsigned i = 0; i < 2; i++)
        if (r->app[i])
            sim_app_destroy(r->app[i]);
    for (unsigned f = 0; f < MAX_FLOWS; f++) {
        for (unsigned i = 0; i < 2; i++) {
            for (unsigned k = 0; k < 2 * STREAMS; k++)
                free(r->flow[f].side[i].in[k / 2][k % 2].b);
            free(r->flow[f].side[i].seen);
            free(r->flow[f].side[i].given_up);
        }
    }
    sim_pair_destroy(&r->pair);
}

static void show_more(struct run *r, unsigned i)
{
    static const char *const names[] = {
#define COUNT(name, text) #name,
#include "server/sctp/sctp_drops.def"
#undef COUNT
    };
    const struct sctp_worker *sw = sctp_worker_of(r->pair.stack[i]->worker[0]);
    char text[IP_ADDR_TEXT_MAX], src[IP_ADDR_TEXT_MAX];

    for (unsigned k = 0; k < SCTP_N_MAX; k++)
        if (sw->count[k])
            printf("  side %u: %s %llu\n", i, names[k], (unsigned long long)sw->count[k]);
    for (const struct sctp_assoc *a = sw->all; a; a = a->all_next)
        for (unsigned k = 0; k < a->n_paths; k++)
            printf("  side %u: path %s from %s state %u errors %u flight %u cwnd %u rto %u%s\n", i, ip_addr_format(&a->path[k]->ip, text),
                   ip_addr_format(&a->path[k]->src, src), a->path[k]->state, a->path[k]->errors, a->path[k]->flight, a->path[k]->cwnd,
                   a->path[k]->rto_us, a->path[k] == a->primary ? ", primary" : "");
}

static bool run_seed(uint64_t seed, bool verbose, uint64_t *n_messages)
{
    struct run *r = calloc(1, sizeof(*r));
    struct sim_params link;
    struct ip_endpoint any = { .ip = ip_addr_any(false), .port = be16_of(PORT) };

    r->seed = r->rng = seed;
    r->verbose = verbose;
    choose_link(r, &link);
    choose_flows(r);
    if (sim_pair_create(&r->pair, seed, &link, false) != 0)
        fail(r, 0, "set-up");
    for (unsigned i = 0; i < 2 && !r->failure; i++) {
        struct sim_app_options opt = { .rx_max = 4096u << (2 + below(r, 7)), .tx_max = 4096u << (4 + below(r, 5)) };
        if (sim_app_create(r->pair.stack[i]->worker[0], &opt, &r->app[i]) != 0)
            fail(r, 0, "set-up");
    }
    if (!r->failure && sim_listen(r->app[1], SVM_PROTO_SCTP, &any, 16, &r->listener[0]) != 0)
        fail(r, 0, "listen");
    if (!r->failure) {
        choose_options(r, r->listener[0]);
        choose_auth(r, r->listener[0]);
        sim_net_set_hook(r->pair.net, hook, r);
        int rc = run_all(r);
        if (rc != 0)
            fail(r, 0, rc == -ETIMEDOUT ? "it takes too long" : "the simulation stands still");
    }
    if (!r->failure)
        (void)sim_net_run_until(r->pair.net, sim_net_now_us(r->pair.net) + (uint64_t)QUIET_S * 1000000);
    if (!r->failure)
        check_end(r);
    bool ok = !r->failure;
    if (!ok || verbose) {
        struct side *s = r->flow[0].side;
        printf("seed %llu: %s; loss %u burst %u dup %u reorder %u delay %u mtu %u rate %llu; 0: sent %u/%u got %u/%u err %d, "
               "1: sent %u/%u got %u/%u err %d; %llu ms\n", (unsigned long long)seed, ok ? "fine" : r->failure,
               link.loss_ppm, link.burst_ppm, link.dup_ppm, link.reorder_ppm, link.delay_us, link.mtu,
               (unsigned long long)link.bits_per_s, s[0].n_sent, s[0].n_msgs, s[0].n_got, s[0].n_expected,
               s[0].error, s[1].n_sent, s[1].n_msgs, s[1].n_got, s[1].n_expected, s[1].error,
               (unsigned long long)sim_net_now_us(r->pair.net) / 1000);
    }
    for (unsigned i = 0; (!ok && verbose) && i < 2; i++)
        for (const struct sctp_assoc *a = sctp_worker_of(r->pair.stack[i]->worker[0])->all; a; a = a->all_next)
            printf("  side %u: state %u unsent %u chunks %u flight %u marked %u sent %u peer_rwnd %u blocked %d pull %d | cum %u above %u "
                   "held %u ready %u partial %d rwnd %u, cwnd %u path flight %u state %u t3 %d\n",
                   i, a->state, a->unsent, a->unsent_chunks, a->flight, a->n_marked, a->n_sent_chunks, a->peer_rwnd, a->tx_blocked,
                   a->pull != NULL, a->cum_tsn, a->n_above, a->held, a->ep ? a->ep->ready_bytes : 0, a->partial != NULL,
                   a->last_rwnd, a->primary->cwnd, a->primary->flight, a->primary->state, timer_is_running(&a->primary->t3));
    for (unsigned i = 0; !ok && verbose && i < 2; i++)
        show_more(r, i);
    for (unsigned i = 0; !ok && verbose && i < 2; i++)
        for (unsigned u = 0; u < 2; u++)
            for (unsigned st = 0; st < STREAMS; st++) {
                struct side *tx = &r->flow[0].side[i], *rx = &r->flow[0].side[1 - i];
                uint32_t n = u ? tx->next_unordered[st] : tx->next_seq[st];
                for (uint32_t q = 0; q < n; q++) {
                    uint32_t bit = bit_of(st, q | (u ? UNORDERED : 0));
                    if (!(rx->seen[bit / 8] >> (bit % 8) & 1) && !(tx->given_up[bit / 8] >> (bit % 8) & 1))
                        printf("  from %u: stream %u %s seq %u of %u neither arrived nor failed\n", i, st, u ? "unordered" : "ordered", q, n);
                }
            }
    *n_messages += r->n_messages;
    teardown(r);
    free(r);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct option options[] = { { "seeds", 1, NULL, 's' }, { "seed", 1, NULL, 'n' }, { "verbose", 0, NULL, 'v' }, { 0 } };
    unsigned long long first = 1, last = 100;
    uint64_t n_messages = 0;
    unsigned failures = 0;
    bool verbose = false;
    int c;

    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == 'v')
            verbose = true;
        else if (c == 'n' && sscanf(optarg, "%llu", &first) == 1)
            last = first, verbose = true;
        else if (c != 's' || sscanf(optarg, "%llu-%llu", &first, &last) != 2)
            return 2;
    }
    if (sim_eal_init("simsctp") < 0 || transport_register(&sctp_transport_ops) != 0)
        return 2;
    for (unsigned long long seed = first; seed <= last && failures < 5; seed++)
        failures += !run_seed(seed, verbose, &n_messages);
    printf("%llu seeds, %llu messages, %u failures\n", last - first + 1, (unsigned long long)n_messages, failures);
    return failures ? 1 : 0;
}
