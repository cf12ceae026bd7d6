/* tcp_pmtu_test.c - the search for a larger path MTU by probes (RFC 4821 s7, RFC 8899 s5): the test is the peer, and the path between */
#include <jansson.h>
#include "server/pkt/pkt.h"
#include "server/tcp/tcp_pmtu.h"
#include "tests/unit/server/tcp/tcp_script.h"

enum { FULL = 1500, HDRS = IP_HDR + 20, RTT_US = 20000, STREAM = 1 << 20 };

/* What the peer holds of the stream, and what happens to segments on their way. */
struct path {
    unsigned mtu;
    unsigned narrow;             /* of the other way, that every second packet takes; 0 = there is none */
    unsigned n_packets;
    unsigned largest;            /* that came by */
    unsigned n_probes;           /* larger than a full segment of their time */
    uint32_t probe_seq, probe_len; /* the last of them */
    bool lose_behind;            /* the next segment behind a probe is lost with it */
    bool deaf;                   /* nothing arrives at all */
    unsigned lose_every;         /* each so-many-th packet is lost; 0 = none */
    bool had_probe;
    uint32_t start;              /* sequence number of the stream's first byte */
    uint8_t have[STREAM];
};

static struct script T;
static struct path P;

static void init(void) { script_init(&T); memset(&P, 0, sizeof(P)); P.mtu = FULL; }
static void fini(void) { fake_fini(&T.h); }

static void open_with(struct script *t, bool sack)
{
    uint8_t opt[8] = { 2, 4, (FULL - HDRS) >> 8, (FULL - HDRS) & 255, 1, 1, 4, 2 };

    t->h.mtu = FULL;
    script_syn(t, opt, sack ? 8 : 4);
    send_ack(t);
    t->s = fake_accepted(&t->h);
    P.start = t->rcv;
}

/* The peer's ACK: what it holds in order, and the first hole's end by a SACK block. */
static void answer(struct script *t, uint32_t upto)
{
    uint8_t opt[12] = { 1, 1, 5, 10 };
    uint32_t at = t->rcv - P.start, from = 0, to = 0;
    const uint8_t *hole, *last;
    be32 v;

    hole = memchr(P.have + at, 0, sizeof(P.have) - at);
    cr_assert_not_null(hole);
    at = (uint32_t)(hole - P.have);
    t->rcv = P.start + at;
    last = upto - P.start > at ? memrchr(hole, 1, upto - P.start - at) : NULL; /* the block that ends at the newest */
    if (last) {
        to = (uint32_t)(last - P.have) + 1;
        from = (uint32_t)((const uint8_t *)memrchr(hole, 0, (size_t)(last - hole)) - P.have) + 1;
    }
    if (!to) {
        send_ack(t);
        return;
    }
    v = be32_of(P.start + from);
    memcpy(opt + 4, &v, 4);
    v = be32_of(P.start + to);
    memcpy(opt + 8, &v, 4);
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .wnd = t->wnd, .opt = opt,
               .opt_len = sizeof(opt) });
}

/* All that was sent goes over the path; half of a round trip later the peer answers each. Returns how many there were. */
static unsigned round_trip(struct script *t)
{
    struct { uint32_t seq, end; } came[256];
    unsigned n = 0, n_out = 0;
    unsigned mss = script_conn(t)->mss;

    while (t->h.n_out) {
        uint16_t gso = pkt_meta(t->h.out[0])->gso_size;

        cr_assert(take(t));
        n_out++;
        if (!gso && t->seg.len > mss) {
            P.n_probes++;
            P.had_probe = true;
            P.probe_seq = t->seg.seq;
            P.probe_len = t->seg.len;
        }
        for (uint32_t at = 0; at < t->seg.len; at += gso ? gso : t->seg.len) { /* as the port cuts it */
            uint32_t seq = t->seg.seq + at, len = hs_min_u32(gso ? gso : t->seg.len, t->seg.len - at);

            if (len + HDRS > P.mtu || P.deaf)
                continue;
            P.n_packets++;
            if ((P.lose_every && P.n_packets % P.lose_every == 0) || (P.n_packets & 1 && P.narrow && len + HDRS > P.narrow))
                continue;
            if (P.lose_behind && P.had_probe && seq == P.probe_seq + P.probe_len) {
                P.lose_behind = false;
                continue;
            }
            P.largest = hs_max_u32(P.largest, len + HDRS);
            cr_assert_lt(n, HS_ARRAY_LEN(came));
            came[n].seq = seq;
            came[n++].end = seq + len;
        }
    }
    fake_advance(&t->h, RTT_US);
    for (unsigned i = 0; i < n; i++) {
        if (seq_geq(came[i].seq, P.start)) /* else it is an old copy */
            memset(P.have + (came[i].seq - P.start), 1, came[i].end - came[i].seq);
        answer(t, came[i].end);
        t->h.w.now_us++; /* or RACK could not tell what was sent first */
    }
    return n_out;
}

/* There is always something to send. */
static void stream(struct script *t, uint64_t us)
{
    for (uint64_t until = t->h.w.now_us + us; t->h.w.now_us < until; ) {
        if (t->rcv - P.start > STREAM - 2 * FAKE_FIFO) { /* the same place once more */
            cr_assert_eq(t->rcv, script_conn(t)->snd_una);
            memmove(P.have, P.have + (t->rcv - P.start), STREAM - (t->rcv - P.start));
            memset(P.have + STREAM - (t->rcv - P.start), 0, t->rcv - P.start);
            P.start = t->rcv;
        }
        fake_write(&t->h, t->s, t->data, FAKE_FIFO - t->s->tx_len);
        round_trip(t);
    }
}

/* A path that takes no more than mtu, found out by timeouts. */
static void into_black_hole(struct script *t, unsigned mtu)
{
    P.mtu = mtu;
    while (t->h.tw.counters[TCP_C_pmtu_black_hole] == 0)
        stream(t, 100000);
}

static void ptb(struct script *t, uint32_t seq, unsigned mtu)
{
    struct tcp_hdr q = { .src_port = t->us.port, .dst_port = t->peer.port, .seq = be32_of(seq) };

    tcp_transport_ops.icmp_error(&t->h.w, &(struct transport_error){ .lcl = t->us, .rmt = t->peer, .l4 = (const uint8_t *)&q, .l4_len = 8,
                                                                     .err = -EMSGSIZE, .mtu = mtu });
    fake_tx(&t->h);
}

/* Runs until a probe is about to go out: it is the last in the list, or one of the last. */
static void until_probe(struct script *t)
{
    unsigned before = P.n_probes;

    for (unsigned i = 0; i < 100000 && P.n_probes == before; i++) {
        uint64_t sent = t->h.tw.counters[TCP_C_mtu_probes];

        fake_write(&t->h, t->s, t->data, FAKE_FIFO - t->s->tx_len);
        if (sent < t->h.tw.counters[TCP_C_mtu_probes])
            return;
        if (script_conn(t)->sent && script_conn(t)->sent->mtu_probe)
            return;
        stream(t, RTT_US);
    }
    cr_assert_not_null(script_conn(t)->sent);
    cr_assert_neq(script_conn(t)->sent->mtu_probe, 0);
}

/* Almost a whole wait is over, and nothing is in flight. */
static void until_probe_is_near(struct script *t)
{
    while (script_conn(t)->pmtu_until_ms - tcp_now_ms(&t->h.w) > 100)
        stream(t, 10000);
    while (t->s->tx_len)
        round_trip(t);
    fake_advance(&t->h, (script_conn(t)->pmtu_until_ms - tcp_now_ms(&t->h.w) - 5) * 1000ull);
    cr_assert(tcp_pmtu_is_held(&t->h.w, script_conn(t)));
    cr_assert_eq(P.n_probes, 0);
}

/* RFC 4821 s7.3, s7.6: up to what the path takes, within a 64th, without a sign of congestion, and the cache has it. */
Test(tcp_pmtu_search, finds_the_size_of_a_black_hole, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;
    uint64_t recoveries;

    open_with(t, true);
    c = script_conn(t);
    stream(t, 1000000);
    cr_assert_eq(P.largest, FULL);
    into_black_hole(t, 1430);
    cr_assert_eq(c->path_mtu, 1280);
    cr_assert_eq(t->h.cached_mtu, 0, "timeouts alone tell nothing to others");
    stream(t, 5000000);
    cr_assert_eq(P.n_probes, 0, "not before it is well again for a while");
    recoveries = t->h.tw.counters[TCP_C_fast_recoveries];
    stream(t, 60000000);
    cr_assert_eq(c->path_mtu, 1420, "%u", c->path_mtu);
    cr_assert_eq(c->mss, 1420 - HDRS);
    cr_assert_eq(c->pmtu_high, 0);
    cr_assert(c->flags & TCP_F_PMTU_LOW);
    cr_assert_eq(t->h.cached_mtu, 1420);
    cr_assert_eq(t->h.tw.counters[TCP_C_mtu_probes_arrived], 2, "1400 and 1420");
    cr_assert_eq(t->h.tw.counters[TCP_C_mtu_probes_lost], 1 + 3 + 3, "the whole once, 1450 and 1435 three times");
    cr_assert_eq(P.n_probes, 2 + 7);
    cr_assert_eq(t->h.tw.counters[TCP_C_fast_recoveries], recoveries);
    P.largest = 0;
    stream(t, 1000000);
    cr_assert_eq(P.largest, 1420);
}

/* RFC 4821 s7.7 with RFC 8899's PMTU_RAISE_TIMER: ten minutes later, and one probe is enough when the path takes all again. */
Test(tcp_pmtu_search, raised_after_ten_minutes_by_one_probe, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;
    unsigned probes;
    uint64_t lost;

    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1280);
    stream(t, 60000000);
    cr_assert_eq(c->path_mtu, 1280);
    cr_assert_eq(c->pmtu_high, 0, "the search has found nothing larger");
    cr_assert_eq(t->h.cached_mtu, 1280);
    probes = P.n_probes;
    P.mtu = FULL;
    stream(t, 500000000);
    cr_assert_eq(P.n_probes, probes);
    cr_assert_eq(c->path_mtu, 1280);
    lost = t->h.tw.counters[TCP_C_retransmits];
    stream(t, 100000000);
    cr_assert_eq(P.n_probes, probes + 1);
    cr_assert_eq(c->path_mtu, FULL);
    cr_assert_eq(c->flags & TCP_F_PMTU_LOW, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_retransmits], lost);
    cr_assert_eq(t->h.cached_mtu, FULL);
}

/* s7.6.2: nothing else is missing, so cwnd stays, and what was lost goes out at once, in segments that the path takes. */
Test(tcp_pmtu_search, a_lost_probe_is_no_congestion, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;
    uint32_t cwnd, ssthresh, mss;
    uint64_t at;

    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1280);
    until_probe(t);
    mss = c->mss;
    cr_assert_eq(c->sent->mtu_probe, FULL);
    cwnd = c->cwnd, ssthresh = c->ssthresh;
    at = t->h.w.now_us;
    round_trip(t);
    cr_assert_eq(P.probe_len, FULL - HDRS);
    cr_assert_eq(c->sent->mtu_probe, 0, "its fate is known after a round trip");
    cr_assert_eq(c->ca_state, TCP_CA_DISORDER);
    cr_assert_geq(c->cwnd, cwnd);
    cr_assert_eq(c->ssthresh, ssthresh);
    do {
        cr_assert(take(t), "it was sent again");
        memset(P.have + (t->seg.seq - P.start), 1, t->seg.len);
    } while (t->seg.seq != P.probe_seq);
    cr_assert_leq(t->seg.len, mss);
    cr_assert_lt(t->h.w.now_us - at, RTT_US + 1000);
    stream(t, 500000);
    cr_assert_eq(c->ca_state, TCP_CA_OPEN);
    cr_assert(seq_gt(c->snd_una, P.probe_seq + FULL), "and the stream goes on");
    cr_assert_eq(P.n_probes, 1, "a second passes before the next one");
    cr_assert_eq(t->h.tw.counters[TCP_C_fast_recoveries], 0);
    cr_assert_eq(c->mtu_tries, 0);
}

/* s7.6.4: with a neighbour lost it is congestion like any other, and says nothing about sizes. */
Test(tcp_pmtu_search, lost_with_others_it_is, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1280);
    until_probe(t);
    P.lose_behind = true;
    round_trip(t);
    cr_assert_not(P.lose_behind, "something was sent behind it");
    for (unsigned i = 0; i < 3 && c->sent && c->sent->mtu_probe; i++)
        round_trip(t);
    cr_assert_eq(c->ca_state, TCP_CA_RECOVERY);
    cr_assert_eq(t->h.tw.counters[TCP_C_fast_recoveries], 1);
    cr_assert_eq(t->h.tw.counters[TCP_C_mtu_probes_lost], 0);
    cr_assert_eq(c->mtu_tries, TCP_MTU_TRY_HIGH, "asked again");
    stream(t, 500000);
    cr_assert_eq(P.n_probes, 1);
    until_probe(t);
    cr_assert_eq(c->sent->mtu_probe, FULL);
}

/* s7.6.3: who hears nothing at all waits longer. */
Test(tcp_pmtu_search, a_timeout_waits_longer, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1280);
    until_probe(t);
    P.deaf = true;
    while (t->h.tw.counters[TCP_C_mtu_probes_lost] == 0)
        round_trip(t);
    P.deaf = false;
    cr_assert_eq(c->ca_state, TCP_CA_LOSS);
    cr_assert_eq(c->sent->mtu_probe, 0);
    stream(t, 14000000);
    cr_assert_eq(P.n_probes, 1);
    stream(t, 2000000);
    cr_assert_gt(P.n_probes, 1);
}

/* s7.4: without bytes and window behind it nobody would tell soon that it is lost. */
Test(tcp_pmtu_search, enough_must_follow, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;
    uint32_t need;

    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1280);
    stream(t, 10000000);
    while (t->s->tx_len)
        round_trip(t);
    fake_advance(&t->h, 20000000);
    cr_assert_eq(tcp_pmtu_is_held(&t->h.w, c), false);
    need = FULL - HDRS + 3u * c->mss;
    fake_write(&t->h, t->s, t->data, need - 1);
    while (t->s->tx_len)
        round_trip(t);
    cr_assert_eq(P.n_probes, 0, "too few bytes");
    fake_advance(&t->h, 1000000);
    t->wnd = (uint16_t)(need - 1);
    answer(t, t->rcv);
    fake_write(&t->h, t->s, t->data, 4 * need);
    while (t->s->tx_len)
        round_trip(t);
    cr_assert_eq(P.n_probes, 0, "too small a window");
    t->wnd = PEER_WND;
    fake_advance(&t->h, 1000000);
    answer(t, t->rcv);
    fake_write(&t->h, t->s, t->data, need);
    cr_assert_eq(c->sent ? c->sent->mtu_probe : 0, FULL);
    while (t->s->tx_len)
        round_trip(t);
    cr_assert_eq(P.n_probes, 1);
}

/* s7.4: the congestion window holds for probes, too, and other segments leave the room for one that ACKs make. */
Test(tcp_pmtu_search, waits_for_room_in_cwnd, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;
    uint32_t mss, first;

    t->h.tw.cfg.cc_algo = "newreno"; /* grows by whole segments, and not in this round trip */
    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1280);
    until_probe_is_near(t);
    mss = c->mss;
    c->cwnd = c->ssthresh = 5 * mss; /* an ACK makes room for a segment, and not for more */
    first = c->snd_una;
    fake_write(&t->h, t->s, t->data, 12 * mss);
    for (unsigned i = 0; i < 5; i++) {
        cr_assert(take(t));
        cr_assert_eq(t->seg.len, mss);
    }
    cr_assert_not(take(t));
    fake_advance(&t->h, RTT_US);
    cr_assert_not(tcp_pmtu_is_held(&t->h.w, c));
    memset(P.have + (first - P.start), 1, 2 * mss);
    t->rcv = first + mss;
    send_ack(t);
    cr_assert_lt(tcp_pipe(c) + mss, c->cwnd + 1, "there is room for a segment");
    cr_assert_gt(tcp_pipe(c) + FULL - HDRS, c->cwnd);
    cr_assert_not(take(t), "which is not enough");
    cr_assert(c->flags & TCP_F_CWND_LIMITED);
    t->rcv = first + 2 * mss;
    send_ack(t);
    cr_assert(take(t));
    cr_assert_eq(t->seg.len, FULL - HDRS);
    cr_assert_eq(c->sent->mtu_probe, FULL);
    cr_assert_leq(tcp_pipe(c), c->cwnd);
}

/* A window too small for a probe and what must follow it sends on without: it may never get larger. */
Test(tcp_pmtu_search, a_small_cwnd_sends_on, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1280);
    until_probe_is_near(t);
    fake_advance(&t->h, 10000);
    cr_assert_not(tcp_pmtu_is_held(&t->h.w, c));
    c->cwnd = c->ssthresh = c->mss;
    fake_write(&t->h, t->s, t->data, 10000);
    cr_assert(take(t));
    cr_assert_eq(t->seg.len, c->mss);
    cr_assert_not(take(t));
}

Test(tcp_pmtu_search, goes_with_pacing, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.tw.cfg.cc_algo = "bbr";
    open_with(t, true);
    into_black_hole(t, 1400);
    stream(t, 60000000);
    cr_assert_neq(script_conn(t)->pace_rate, 0);
    cr_assert_eq(script_conn(t)->path_mtu, 1400);
    cr_assert_eq(t->h.tw.counters[TCP_C_fast_recoveries], 0);
}

/* A path of 1280 bytes is whole again: the probe has arrived, and what follows must prove it. */
static void until_verifying(struct script *t, unsigned before)
{
    into_black_hole(t, before);
    stream(t, 60000000);
    cr_assert_eq(script_conn(t)->path_mtu, before);
    P.mtu = FULL;
    while (!script_conn(t)->mtu_before)
        stream(t, RTT_US);
    cr_assert_eq(script_conn(t)->mtu_before, before);
    cr_assert_eq(script_conn(t)->path_mtu, FULL);
    cr_assert_eq(t->h.cached_mtu, before, "others are told of what is proved");
}

/* RFC 4821 s7.8: of two ways one is narrower. A probe arrives on the wide one, and then half of what follows is lost: the size before is
 * right, and after sizes between them have failed, too, nothing is lost any more. */
Test(tcp_pmtu_search, a_size_with_losses_is_taken_back, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;
    uint64_t again;

    open_with(t, true);
    c = script_conn(t);
    until_verifying(t, 1400);
    P.narrow = 1400;
    while (c->mtu_before)
        stream(t, RTT_US);
    cr_assert_eq(c->path_mtu, 1400);
    cr_assert_eq(c->mss, 1400 - HDRS);
    cr_assert_eq(c->pmtu_high, FULL - 1);
    cr_assert_eq(t->h.tw.counters[TCP_C_mtu_unverified], 1);
    cr_assert(tcp_pmtu_is_held(&t->h.w, c), "and it gets well again before the next probe");
    for (unsigned i = 0; i < 200 && c->pmtu_high; i++)
        stream(t, 1000000);
    cr_assert_eq(c->pmtu_high, 0);
    cr_assert_eq(c->path_mtu, 1400, "%u", c->path_mtu);
    cr_assert_eq(t->h.cached_mtu, 1400);
    again = t->h.tw.counters[TCP_C_retransmits];
    stream(t, 60000000);
    cr_assert_eq(t->h.tw.counters[TCP_C_retransmits], again);
}

/* A queue overflows while a size proves itself: that is no loss rate. */
Test(tcp_pmtu_search, losses_at_once_prove_nothing, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    open_with(t, true);
    c = script_conn(t);
    until_verifying(t, 1400);
    P.lose_every = 2;
    while (c->mtu_before && !c->verify_bad)
        stream(t, RTT_US);
    P.lose_every = 0;
    cr_assert_neq(c->mtu_before, 0, "still to be seen");
    stream(t, 5000000);
    cr_assert_eq(c->mtu_before, 0);
    cr_assert_eq(c->path_mtu, FULL);
    cr_assert_eq(c->flags & TCP_F_PMTU_LOW, 0);
    cr_assert_eq(t->h.cached_mtu, FULL);
    cr_assert_eq(t->h.tw.counters[TCP_C_mtu_unverified], 0);
}

/* Nor is one packet in 30, which the old size might lose as well. */
Test(tcp_pmtu_search, a_few_losses_prove_nothing, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    open_with(t, true);
    c = script_conn(t);
    until_verifying(t, 1400);
    P.lose_every = 30;
    stream(t, 10000000);
    cr_assert_eq(c->mtu_before, 0);
    cr_assert_eq(c->path_mtu, FULL);
    cr_assert_eq(t->h.tw.counters[TCP_C_mtu_unverified], 0);
}

/* Nothing at all of the new size gets through: what is wrong is known, and only that is taken back. */
Test(tcp_pmtu_search, timeouts_take_a_raise_back, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    open_with(t, true);
    c = script_conn(t);
    until_verifying(t, 1400);
    P.mtu = 1400;
    while (c->mtu_before)
        stream(t, RTT_US);
    cr_assert_eq(c->path_mtu, 1400);
    cr_assert_eq(c->pmtu_high, FULL - 1);
    cr_assert_eq(c->retransmits, 3);
    cr_assert_eq(t->h.tw.counters[TCP_C_pmtu_black_hole], 1, "long ago");
    stream(t, 30000000);
    cr_assert_eq(c->path_mtu, 1400);
    cr_assert_eq(c->ca_state, TCP_CA_OPEN);
}

/* ICMP tells more than that, and so does a link that got narrower itself. */
Test(tcp_pmtu_search, a_narrow_link_ends_verification, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    open_with(t, true);
    c = script_conn(t);
    until_verifying(t, 1400);
    cr_assert_eq(tcp_conn_path_update(&t->h.w, c), 0);
    cr_assert_eq(c->path_mtu, FULL, "this link takes it");
    t->h.mtu = 1450;
    cr_assert_eq(tcp_conn_path_update(&t->h.w, c), 0);
    cr_assert_eq(c->path_mtu, 1400);
    cr_assert_eq(c->mtu_before, 0);
}

Test(tcp_pmtu_search, icmp_ends_verification, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    open_with(t, true);
    c = script_conn(t);
    until_verifying(t, 1400);
    fake_write(&t->h, t->s, t->data, FAKE_FIFO - t->s->tx_len);
    ptb(t, c->snd_una, 1300);
    cr_assert_eq(c->path_mtu, 1300);
    cr_assert_eq(c->mtu_before, 0);
}

/* Who has sent too little to prove anything may still become small: it wakes with the whole size. */
Test(tcp_pmtu_search, an_idle_connection_verifies_nothing, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    t->h.tw.cfg.mtu_probing = TCP_MTU_PROBING_ALWAYS;
    open_with(t, true);
    c = script_conn(t);
    while (!c->mtu_before)
        stream(t, RTT_US);
    while (t->s->tx_len)
        round_trip(t);
    cr_assert_neq(c->mtu_before, 0);
    cr_assert(tcp_pmtu_is_kept(&t->h.w, c));
    c->path_mtu = FULL - 1;
    cr_assert_not(tcp_pmtu_is_kept(&t->h.w, c), "but not with one that it would not find again");
}

/* A super-frame of the port's would be cut to the old size. */
Test(tcp_pmtu_search, is_one_packet_of_a_port_with_tso, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    t->h.tso_max = 65000;
    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1400);
    cr_assert_gt(c->gso_max, c->mss);
    stream(t, 60000000);
    cr_assert_eq(c->path_mtu, 1400);
    cr_assert_geq(P.n_probes, 2);
    cr_assert_eq(P.largest, 1400);
    cr_assert_eq(c->gso_max % c->mss, 0);
}

/* RFC 4821 s7.6.2 and RFC 8899 s4.6.2: ICMP about the probe ends it at once, and says what is worth a try. About others it does not. */
Test(tcp_pmtu_search, icmp_about_the_probe, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;
    uint32_t cwnd, probe;

    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1337);
    until_probe(t);
    probe = c->sent->mtu_seq;
    cwnd = c->cwnd;
    ptb(t, probe + c->mss, 1337); /* what follows it was no larger than ever */
    ptb(t, probe, FULL);          /* that is what it is */
    cr_assert_eq(c->sent->mtu_probe, FULL);
    while (t->h.n_out && take(t)) { /* what is on its way arrives, but for the probe */
        if (t->seg.len + HDRS <= P.mtu)
            memset(P.have + (t->seg.seq - P.start), 1, t->seg.len);
    }
    ptb(t, probe, 1337);
    cr_assert_eq(c->path_mtu, 1280);
    cr_assert_eq(c->pmtu_high, 1337);
    cr_assert_eq(c->cwnd, cwnd);
    cr_assert_lt(c->ca_state, TCP_CA_CWR);
    cr_assert(take(t));
    cr_assert_eq(t->seg.seq, probe);
    cr_assert_leq(t->seg.len, c->mss);
    memset(P.have + (t->seg.seq - P.start), 1, t->seg.len);
    answer(t, t->seg.seq + t->seg.len);
    stream(t, 300000);
    cr_assert_eq(c->path_mtu, 1337, "the size that it told, without a wait");
    stream(t, 2000000);
    cr_assert_eq(c->pmtu_high, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_fast_recoveries], 0);
}

/* Another connection has found a limit, and the cache told it: searched again like one's own. What we take is not less by it. */
Test(tcp_pmtu_search, begins_with_what_others_found, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;
    struct tcp_opts o;
    uint8_t opt[8] = { 2, 4, (FULL - HDRS) >> 8, (FULL - HDRS) & 255, 1, 1, 4, 2 };

    t->h.mtu = FULL;
    t->h.cached_mtu = 1300;
    script_syn(t, opt, 8);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert_eq(o.mss, FULL - HDRS);
    send_ack(t);
    t->s = fake_accepted(&t->h);
    P.start = t->rcv;
    c = script_conn(t);
    cr_assert_eq(c->mss, 1300 - HDRS);
    cr_assert(c->mtu_probing);
    stream(t, 590000000);
    cr_assert_eq(P.n_probes, 0);
    cr_assert_eq(P.largest, 1300);
    stream(t, 20000000);
    cr_assert_eq(P.n_probes, 1);
    cr_assert_eq(c->path_mtu, FULL);
    cr_assert_eq(c->flags & TCP_F_PMTU_LOW, 0);
    cr_assert_eq(t->h.cached_mtu, FULL);
}

Test(tcp_pmtu_search, off_tries_by_sending, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    t->h.tw.cfg.mtu_probing = TCP_MTU_PROBING_OFF;
    open_with(t, true);
    c = script_conn(t);
    into_black_hole(t, 1280);
    P.mtu = FULL;
    stream(t, 590000000);
    cr_assert_eq(c->path_mtu, 1280);
    stream(t, 20000000);
    cr_assert_eq(c->path_mtu, FULL);
    cr_assert_eq(t->h.tw.counters[TCP_C_mtu_probes], 0);
}

/* A lost probe could not be told from others (RFC 4821 s7.4): as if there were no probes. */
Test(tcp_pmtu_search, needs_sack, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_with(t, false);
    P.mtu = 1280;
    fake_write(&t->h, t->s, t->data, 20000);
    while (t->h.tw.counters[TCP_C_pmtu_black_hole] == 0)
        round_trip(t);
    cr_assert_not(script_conn(t)->mtu_probing);
    cr_assert(tcp_pmtu_is_held(&t->h.w, script_conn(t)));
}

/* RFC 4821 s7.2: small at first, and whole after one round trip or two. */
Test(tcp_pmtu_search, always_begins_small, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    t->h.tw.cfg.mtu_probing = TCP_MTU_PROBING_ALWAYS;
    open_with(t, true);
    c = script_conn(t);
    cr_assert_eq(c->path_mtu, 1280);
    cr_assert_eq(c->adv_mss, FULL - HDRS);
    stream(t, 200000);
    cr_assert_eq(P.n_probes, 1);
    cr_assert_eq(c->path_mtu, FULL);
    P.largest = 0;
    stream(t, 100000);
    cr_assert_eq(P.largest, FULL);
}

/* And in a black hole from the first byte on no timeout is needed. */
Test(tcp_pmtu_search, always_finds_a_black_hole_without_a_timeout, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.tw.cfg.mtu_probing = TCP_MTU_PROBING_ALWAYS;
    P.mtu = 1400;
    open_with(t, true);
    stream(t, 30000000);
    cr_assert_eq(script_conn(t)->path_mtu, 1400);
    cr_assert_eq(t->h.tw.counters[TCP_C_rto], 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_fast_recoveries], 0);
    cr_assert_eq(t->h.cached_mtu, 1400);
}

/* A peer whose segments are smaller than the path's packets: nothing larger is worth a probe. */
Test(tcp_pmtu_search, no_larger_than_the_peer_takes, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;

    t->h.mtu = 9000;
    P.mtu = 9000;
    t->h.tw.cfg.mtu_probing = TCP_MTU_PROBING_ALWAYS;
    {
        uint8_t opt[8] = { 2, 4, 1400 >> 8, 1400 & 255, 1, 1, 4, 2 };

        script_syn(t, opt, 8);
    }
    send_ack(t);
    t->s = fake_accepted(&t->h);
    P.start = t->rcv;
    c = script_conn(t);
    stream(t, 2000000);
    cr_assert_eq(P.n_probes, 1);
    cr_assert_eq(P.largest, 1400 + HDRS);
    cr_assert_eq(c->mss, 1400);
    cr_assert_eq(c->flags & TCP_F_PMTU_LOW, 0);
}

static void expect_search(struct script *t, const char *word, int64_t high)
{
    json_t *o = json_object();

    tcp_pmtu_show(&t->h.w, script_conn(t), o);
    cr_assert_str_eq(json_string_value(json_object_get(o, "path_mtu_search")), word);
    cr_assert_eq(json_integer_value(json_object_get(o, "path_mtu_high")), high);
    json_decref(o);
}

Test(tcp_pmtu_search, is_shown, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_with(t, true);
    expect_search(t, "off", 0);
    into_black_hole(t, 1400);
    expect_search(t, "waits", 0);
    until_probe(t);
    expect_search(t, "on", FULL);
    stream(t, 60000000);
    expect_search(t, "waits", 0);
    P.mtu = FULL;
    while (!script_conn(t)->mtu_before)
        stream(t, RTT_US);
    expect_search(t, "verifies", FULL);
    stream(t, 10000000);
    expect_search(t, "done", 0);
}
