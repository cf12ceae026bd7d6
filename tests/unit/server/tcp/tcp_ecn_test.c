/* tcp_ecn_test.c - ECN by RFC 3168 s6.1, and HyStart++ by RFC 9406 s4.2 */
#include "tests/unit/server/tcp/tcp_script.h"

enum { ECT0 = 2, CE = 3 };

static struct script T;
static uint8_t bytes[65536];

static void init(void) { script_init(&T); }
static void fini(void) { fake_fini(&T.h); }

static void set_ecn(struct script *t, enum tcp_ecn ecn)
{
    struct tcp_config cfg;

    tcp_config_defaults(&cfg);
    cfg.ecn = ecn;
    cr_assert_eq(tcp_worker_config(&t->h.w, &cfg), 0);
}

/* A SYN with these flags besides; leaves the answer in t->seg. */
static void syn(struct script *t, uint8_t flags)
{
    static const uint8_t mss[4] = { 2, 4, 1000 >> 8, 1000 & 255 };

    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_SYN | flags, .seq = t->snd, .wnd = t->wnd, .opt = mss,
               .opt_len = 4 });
    t->snd++;
    cr_assert(take(t));
    t->rcv = t->seg.seq + 1;
}

static void open_ecn(struct script *t)
{
    syn(t, TCP_ECE | TCP_CWR);
    cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ACK | TCP_ECE);
    cr_assert_eq(t->seg.tos, 0, "s6.1.1: no ECT on a SYN,ACK");
    send_ack(t);
    t->s = fake_accepted(&t->h);
    cr_assert_not_null(t->s);
}

static void data_with(struct script *t, uint8_t flags, uint8_t tos)
{
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_ACK | flags, .tos = tos, .seq = t->snd, .ack = t->rcv,
               .wnd = t->wnd, .data = bytes, .len = 1000 });
    t->snd += 1000;
}

static void ack_ece(struct script *t) { send_seg(t, TCP_ACK | TCP_ECE, t->snd, t->rcv, NULL, 0); }

Test(tcp_ecn, accepted_when_asked_for, .init = init, .fini = fini)
{
    open_ecn(&T);
    cr_assert_eq(T.h.tw.counters[TCP_C_ecn_connections], 1);
}

Test(tcp_ecn, not_asked_for, .init = init, .fini = fini)
{
    struct script *t = &T;

    syn(t, TCP_ECE); /* not the pair of flags: no request */
    cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ACK);
    send_ack(t);
    t->s = fake_accepted(&t->h);
    fake_write(&t->h, t->s, bytes, 1000);
    cr_assert(take(t));
    cr_assert_eq(t->seg.tos, 0);
    ack_ece(t); /* means nothing */
    cr_assert_eq(t->h.tw.counters[TCP_C_ecn_reductions], 0);
}

Test(tcp_ecn, off, .init = init, .fini = fini)
{
    set_ecn(&T, TCP_ECN_OFF);
    syn(&T, TCP_ECE | TCP_CWR);
    cr_assert_eq(T.seg.flags, TCP_SYN | TCP_ACK);
}

Test(tcp_ecn, asked_for_and_agreed, .init = init, .fini = fini)
{
    struct script *t = &T;

    set_ecn(t, TCP_ECN_ON);
    t->s = fake_connect(&t->h, US, PORT, PEER, PEER_PORT);
    cr_assert(take(t));
    cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ECE | TCP_CWR);
    cr_assert_eq(t->seg.tos, 0);
    t->rcv = t->seg.seq + 1;
    send_seg(t, TCP_SYN | TCP_ACK | TCP_ECE, t->snd++, t->rcv, NULL, 0);
    cr_assert(take(t));
    fake_write(&t->h, t->s, bytes, 500);
    cr_assert(take(t));
    cr_assert_eq(t->seg.tos, ECT0);
}

/* s6.1.1: both flags in a SYN,ACK are an echo of ours by something that does not know them. */
Test(tcp_ecn, reflecting_peer, .init = init, .fini = fini)
{
    struct script *t = &T;

    set_ecn(t, TCP_ECN_ON);
    t->s = fake_connect(&t->h, US, PORT, PEER, PEER_PORT);
    cr_assert(take(t));
    t->rcv = t->seg.seq + 1;
    send_seg(t, TCP_SYN | TCP_ACK | TCP_ECE | TCP_CWR, t->snd++, t->rcv, NULL, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_ecn_connections], 0);
}

/* s6.1.1.1 */
Test(tcp_ecn, second_syn_does_not_ask, .init = init, .fini = fini)
{
    struct script *t = &T;

    set_ecn(t, TCP_ECN_ON);
    t->s = fake_connect(&t->h, US, PORT, PEER, PEER_PORT);
    cr_assert(take(t));
    fake_advance(&t->h, 1100000);
    cr_assert(take(t));
    cr_assert_eq(t->seg.flags, TCP_SYN);
    t->rcv = t->seg.seq + 1;
    send_seg(t, TCP_SYN | TCP_ACK | TCP_ECE, t->snd++, t->rcv, NULL, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_ecn_connections], 0);
}

/* s6.1.3: from CE to CWR every ACK says ECE, also on data; s6.1.4: ACKs themselves are not marked. */
Test(tcp_ecn, receiver, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_ecn(t);
    script_conn(t)->quick_acks = 0;
    data_with(t, 0, ECT0);
    data_with(t, 0, ECT0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    data_with(t, 0, CE);
    EXPECT(t, TCP_ACK | TCP_ECE, t->rcv, t->snd, 0);
    cr_assert_eq(t->seg.tos, 0);
    data_with(t, 0, ECT0);
    data_with(t, 0, ECT0);
    EXPECT(t, TCP_ACK | TCP_ECE, t->rcv, t->snd, 0);
    fake_write(&t->h, t->s, bytes, 100);
    EXPECT(t, TCP_ACK | TCP_ECE, t->rcv, t->snd, 100);
    t->rcv += 100;
    data_with(t, TCP_CWR, ECT0);
    data_with(t, 0, ECT0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    data_with(t, TCP_CWR, CE); /* answers the one before, and is marked itself */
    EXPECT(t, TCP_ACK | TCP_ECE, t->rcv, t->snd, 0);
}

/* s6.1.2: once a window; nothing is sent again; CWR on the next new data only. */
Test(tcp_ecn, sender, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t cwr = 0, ssthresh;

    open_ecn(t);
    fake_write(&t->h, t->s, bytes, 40000);
    for (unsigned i = 0; i < 10; i++) {
        EXPECT(t, TCP_ACK, t->rcv + i * 1000, t->snd, 1000);
        cr_assert_eq(t->seg.tos, ECT0);
    }
    for (unsigned i = 0; i < 10; i++) {
        t->rcv += 1000;
        ack_ece(t);
        cr_assert_eq(t->h.tw.counters[TCP_C_ecn_reductions], 1, "ACK %u", i);
        while (take(t))
            cwr += (t->seg.flags & TCP_CWR) != 0;
    }
    cr_assert_eq(cwr, 1);
    ssthresh = script_conn(t)->ssthresh;
    cr_assert(ssthresh >= 6000 && ssthresh <= 7000, "%u", ssthresh);
    cr_assert_leq(script_conn(t)->cwnd, 8000);
    cr_assert_eq(t->h.tw.counters[TCP_C_retransmits], 0);
    for (unsigned i = 0; i < 5; i++) {
        t->rcv += 1000;
        send_ack(t);
        while (take(t))
            cr_assert_not(t->seg.flags & TCP_CWR);
    }
    t->rcv = script_conn(t)->snd_nxt;
    ack_ece(t); /* of the next window */
    cr_assert_eq(t->h.tw.counters[TCP_C_ecn_reductions], 2);
}

/* TCP_INFO tells, as Linux does, how many of the segments that have arrived were acknowledged with ECE: a program sees congestion by it. */
Test(tcp_ecn, told_of_in_tcp_info, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct svm_tcp_info5 five;
    uint32_t len = sizeof(five);

    open_ecn(t);
    fake_write(&t->h, t->s, bytes, 5000);
    t->rcv += 2000;
    send_ack(t);
    t->rcv += 3000;
    ack_ece(t);
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TCP_INFO5, &five, &len), 0);
    cr_assert_eq(five.delivered_ce, 3);
}

/* s6.1.5: what is sent again is not marked. */
Test(tcp_ecn, retransmission_is_not_marked, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_ecn(t);
    fake_write(&t->h, t->s, bytes, 1000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_eq(t->seg.tos, ECT0);
    fake_advance(&t->h, 500000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_eq(t->seg.tos, 0);
}

/* ---- HyStart++ ---- */

struct hs { struct tcp_conn c; struct tcp_hystart h; };

/* A round trip of n ACKs of a segment each. */
static void hs_round(struct hs *s, unsigned n, uint32_t rtt_us)
{
    s->c.snd_nxt += n * 1000;
    for (unsigned i = 0; i < n; i++) {
        s->c.snd_una += 1000;
        s->c.cwnd += tcp_hystart_acked(&s->c, &s->h, 1000, rtt_us);
    }
}

static void hs_init(struct hs *s)
{
    memset(s, 0, sizeof(*s));
    s->c.mss = 1000;
    s->c.cwnd = 10000;
    s->c.ssthresh = UINT32_MAX;
}

Test(tcp_hystart, ends_when_round_trips_get_longer)
{
    struct hs s;
    uint32_t before;

    hs_init(&s);
    for (unsigned i = 0; i < 3; i++)
        hs_round(&s, 10, 40000);
    cr_assert_eq(s.c.cwnd, 40000, "slow start as always");
    hs_round(&s, 10, 46000); /* more than an eighth */
    cr_assert(s.h.is_css);
    for (unsigned i = 0; i < 4; i++) {
        before = s.c.cwnd;
        hs_round(&s, 20, 50000);
        cr_assert_leq(s.c.cwnd - before, 20000 / 4 + 1000, "a quarter of the growth");
        cr_assert_eq(s.c.ssthresh, UINT32_MAX);
    }
    hs_round(&s, 20, 50000);
    hs_round(&s, 1, 50000);
    cr_assert_neq(s.c.ssthresh, UINT32_MAX, "after five rounds it was no chance");
}

Test(tcp_hystart, goes_on_when_it_was_chance)
{
    struct hs s;

    hs_init(&s);
    hs_round(&s, 10, 40000);
    hs_round(&s, 10, 40000);
    hs_round(&s, 10, 60000);
    cr_assert(s.h.is_css);
    hs_round(&s, 10, 40000);
    cr_assert_not(s.h.is_css);
    cr_assert_eq(s.c.ssthresh, UINT32_MAX);
}

Test(tcp_hystart, small_changes_and_few_samples_say_nothing)
{
    struct hs s;

    hs_init(&s);
    hs_round(&s, 10, 10000);
    hs_round(&s, 10, 10000);
    hs_round(&s, 10, 13900); /* less than 4 ms */
    cr_assert_not(s.h.is_css);
    hs_round(&s, 7, 90000); /* fewer than 8 samples */
    cr_assert_not(s.h.is_css);
}
