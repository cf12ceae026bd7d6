/* tcp_recovery_test.c - loss recovery, segment by segment, on a path of 40 ms: RACK-TLP, limited transmit, F-RTO, Eifel, D-SACK */
#include <jansson.h>
#include "tests/unit/server/tcp/tcp_script.h"
#include "tests/unit/server/tcp/tcp_sent_check.h"

enum { RTT = 40000 };

static struct script T;
static uint8_t bytes[65536];

static void init(void)
{
    script_init(&T);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
}
static void fini(void) { fake_fini(&T.h); }

static unsigned drain(struct script *t)
{
    unsigned n = 0;

    while (take(t))
        n++;
    return n;
}

/* MSS 1000 (988 with timestamps), a round trip of 40 ms, and one of data acknowledged, so that all estimates stand. */
static void open_path(struct script *t, bool ts, bool sack)
{
    uint8_t opt[24] = { 2, 4, 1000 >> 8, 1000 & 255 };
    unsigned n = 4;

    if (sack) {
        memcpy(opt + n, (const uint8_t[]){ 1, 1, 4, 2 }, 4);
        n += 4;
    }
    if (ts) {
        memcpy(opt + n, (const uint8_t[]){ 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0 }, 12);
        n += 12;
    }
    t->tsval = 1;
    script_syn(t, opt, n);
    t->has_ts = ts;
    fake_advance(&t->h, RTT);
    send_ack(t);
    t->s = fake_accepted(&t->h);
    cr_assert_not_null(t->s);
    cr_assert_eq(script_conn(t)->min_rtt_us, RTT);
}

struct sack { uint32_t start, end; };

/* A pure ACK of t->rcv with SACK blocks, and the timestamps if there are any. */
static void send_sacks(struct script *t, unsigned n_blocks, const struct sack *b)
{
    uint8_t opt[40], *p = opt;

    if (t->has_ts) {
        be32 v = be32_of(t->tsval), e = be32_of(t->tsecr);

        memcpy(p, (const uint8_t[]){ 1, 1, 8, 10 }, 4);
        memcpy(p + 4, &v, 4);
        memcpy(p + 8, &e, 4);
        p += 12;
    }
    memcpy(p, (const uint8_t[]){ 1, 1, 5, 0 }, 4);
    p[3] = (uint8_t)(2 + 8 * n_blocks);
    p += 4;
    for (unsigned i = 0; i < n_blocks; i++, p += 8) {
        be32 s = be32_of(b[i].start), e = be32_of(b[i].end);

        memcpy(p, &s, 4);
        memcpy(p + 4, &e, 4);
    }
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .wnd = t->wnd,
               .opt = opt, .opt_len = (unsigned)(p - opt) });
    tcp_sent_check(script_conn(t));
}
static void send_sack(struct script *t, uint32_t start, uint32_t end) { send_sacks(t, 1, &(struct sack){ start, end }); }

static uint64_t count(const struct script *t, enum tcp_counter c) { return t->h.tw.counters[c]; }

/* ---- tail loss probes (RFC 8985 s7) ---- */

/* s7.2, s7.3: two round trips after the last ACK the last segment goes again; its SACK tells what else is missing. */
Test(tcp_recovery, tlp_finds_a_lost_tail, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 5000);
    cr_assert_eq(drain(t), 5);
    fake_advance(&t->h, RTT);
    t->rcv += 1000;
    send_ack(t); /* and nothing more: four are lost */
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 2 * RTT - 1000);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 4000);
    EXPECT(t, TCP_ACK, base + 4000, t->snd, 1000);
    cr_assert_eq(memcmp(t->data, bytes + 4000, 1000), 0);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 4000, base + 5000);
    for (uint32_t i = 1; i < 4 && t->h.n_out; i++)
        EXPECT(t, TCP_ACK, base + i * 1000, t->snd, 1000);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
    cr_assert_eq(count(t, TCP_C_tlp_probes), 1);
    cr_assert_eq(count(t, TCP_C_rto), 0);
}

/* s7.3: new data is the better probe, even when cwnd has no room for it. */
Test(tcp_recovery, tlp_sends_new_data_first, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_path(t, false, true);
    fake_write(&t->h, t->s, bytes, 20000);
    cr_assert_eq(drain(t), 10, "IW10");
    fake_advance(&t->h, 2 * RTT + 3000);
    EXPECT(t, TCP_ACK, t->rcv + 10000, t->snd, 1000);
    EXPECT_NOTHING(t);
    t->rcv += 11000;
    send_ack(t);
    cr_assert_eq(count(t, TCP_C_tlp_repairs), 0, "nothing was lost");
    cr_assert_gt(drain(t), 0);
}

/* s7.2: a single segment in flight may wait for the peer's delayed ACK. */
Test(tcp_recovery, tlp_waits_for_delayed_acks, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_path(t, false, true);
    script_conn(t)->rto_us = 1000000;
    fake_write(&t->h, t->s, bytes, 500);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 500);
    fake_advance(&t->h, 2 * RTT + 199000);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 2000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 500);
}

/* s7.4: the probe was the repair: the loss is answered by the congestion control. Data beyond the probe must show it. */
Test(tcp_recovery, tlp_that_repairs_a_loss_reduces, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t cwnd;

    open_path(t, false, true);
    fake_write(&t->h, t->s, bytes, 3000);
    drain(t);
    cwnd = script_conn(t)->cwnd;
    fake_advance(&t->h, 2 * RTT + 3000);
    EXPECT(t, TCP_ACK, t->rcv + 2000, t->snd, 1000);
    fake_write(&t->h, t->s, bytes, 1000);
    EXPECT(t, TCP_ACK, t->rcv + 3000, t->snd, 1000);
    fake_advance(&t->h, RTT);
    t->rcv += 4000;
    send_ack(t);
    cr_assert_eq(count(t, TCP_C_tlp_repairs), 1);
    cr_assert_lt(script_conn(t)->ssthresh, cwnd);
}

/* s7.2: one probe, then the timeout, whatever else is sent meanwhile. */
Test(tcp_recovery, tlp_goes_once, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_path(t, false, true);
    fake_write(&t->h, t->s, bytes, 3000);
    drain(t);
    fake_advance(&t->h, 2 * RTT + 3000);
    cr_assert_eq(count(t, TCP_C_tlp_probes), 1);
    fake_write(&t->h, t->s, bytes, 1000);
    cr_assert_eq(drain(t), 2);
    for (unsigned ms = 0; ms < 2000 && count(t, TCP_C_rto) == 0; ms++)
        fake_advance(&t->h, 1000);
    cr_assert_eq(count(t, TCP_C_rto), 1);
    cr_assert_eq(count(t, TCP_C_tlp_probes), 1);
}

Test(tcp_recovery, tlp_reported_as_duplicate_does_not_reduce, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_path(t, false, true);
    fake_write(&t->h, t->s, bytes, 3000);
    drain(t);
    fake_advance(&t->h, 2 * RTT + 3000);
    EXPECT(t, TCP_ACK, t->rcv + 2000, t->snd, 1000);
    fake_write(&t->h, t->s, bytes, 1000);
    drain(t);
    t->rcv += 4000;
    send_sack(t, t->rcv - 2000, t->rcv - 1000); /* D-SACK of the probe */
    cr_assert_eq(count(t, TCP_C_tlp_repairs), 0);
    cr_assert_eq(script_conn(t)->ssthresh, UINT32_MAX);
}

/* ---- RACK (RFC 8985 s6) ---- */

/* A retransmission that is lost too is found by what was sent after it, without a timeout. */
Test(tcp_recovery, lost_retransmission_is_sent_again, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 20000);
    cr_assert_eq(drain(t), 10);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 5000);
    EXPECT(t, TCP_ACK, base, t->snd, 1000); /* fast retransmit, lost */
    drain(t);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
    fake_advance(&t->h, 1000);
    send_sack(t, base + 1000, base + 10000); /* the rest of the first window: PRR lets new data out, later than that */
    cr_assert_gt(drain(t), 0);
    cr_assert_geq(t->seg.seq, base + 10000);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, t->seg.seq + t->seg.len); /* it has arrived: so should have the retransmission */
    cr_assert(take(t));
    cr_assert_eq(t->seg.seq, base, "not %u", t->seg.seq - base);
    cr_assert_eq(count(t, TCP_C_rto), 0);
}

/* s6.2 step 5: too early to tell: the timer decides after a quarter of the round trip. */
Test(tcp_recovery, reordering_timer, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 5000);
    drain(t);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 2000);
    fake_advance(&t->h, RTT / 4 - 1000);
    EXPECT_NOTHING(t);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_DISORDER);
    fake_advance(&t->h, 2000);
    EXPECT(t, TCP_ACK, base, t->snd, 1000);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
}

/* A segment that comes late within the window is no loss, and from then on three SACKed segments are no proof either. */
Test(tcp_recovery, reordering_is_learned, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 10000);
    drain(t);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 3000);
    t->rcv += 3000;
    send_ack(t);
    cr_assert(script_conn(t)->lflags & TCP_LF_REORDERING);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_OPEN);
    drain(t);
    send_sack(t, base + 4000, base + 9000);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_DISORDER);
    t->rcv += 6000;
    send_ack(t);
    cr_assert_eq(count(t, TCP_C_retransmits), 0);
}

static void learn_reordering(struct script *t, uint32_t mss)
{
    uint32_t base = t->rcv;

    fake_write(&t->h, t->s, bytes, 10 * mss);
    drain(t);
    fake_advance(&t->h, RTT);
    t->tsval += RTT / 1000;
    send_sack(t, base + mss, base + 3 * mss);
    t->rcv += 10 * mss;
    send_ack(t);
    cr_assert(script_conn(t)->lflags & TCP_LF_REORDERING);
    cr_assert_eq(script_conn(t)->snd_una, script_conn(t)->snd_nxt);
    drain(t);
}

/* PAWS of the peer (RFC 7323 s5.3 R1) would drop what was sent just before a retransmission and comes just behind it. */
Test(tcp_recovery, retransmissions_do_not_make_late_segments_old, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base, newest, first;

    open_path(t, true, true);
    learn_reordering(t, 988);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 6 * 988);
    cr_assert_eq(drain(t), 6);
    fake_advance(&t->h, RTT);
    t->tsval += RTT / 1000;
    send_sack(t, base + 2 * 988, base + 6 * 988);
    fake_advance(&t->h, RTT / 4 - 2000);
    EXPECT_NOTHING(t);
    fake_write(&t->h, t->s, bytes, 988);
    cr_assert_eq(drain(t), 1);
    newest = t->tsecr;
    fake_advance(&t->h, 4000);
    EXPECT(t, TCP_ACK, base, t->snd, 988);
    first = t->tsecr;
    cr_assert_eq(newest - first, RTT / 4000 - 2, "it is sent 2 ms later, and tells of the reordering window before: %u", newest - first);
    drain(t);
    fake_advance(&t->h, 20000);
    t->rcv += 6 * 988;
    t->tsecr = first - RTT / 1000; /* the originals have come */
    send_ack(t);
    cr_assert_eq(count(t, TCP_C_undo_eifel), 1);
}

/* As Linux: SACK blocks let the window grow, on a path that reorders. Else what is late would cost growth, not only time. */
Test(tcp_recovery, window_grows_by_sacked_bytes_where_the_path_reorders, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t cwnd, base;

    open_path(t, false, true);
    learn_reordering(t, 1000);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 60000);
    drain(t);
    cwnd = script_conn(t)->cwnd;
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 5000);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_DISORDER);
    cr_assert_eq(script_conn(t)->cwnd, cwnd + 4000);
    drain(t);
    t->rcv += 5000;
    send_ack(t);
    cr_assert_eq(script_conn(t)->cwnd, cwnd + 5000);
}

/* ---- limited transmit (RFC 3042) ---- */

Test(tcp_recovery, limited_transmit, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base, cwnd;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 20000);
    cr_assert_eq(drain(t), 10);
    cwnd = script_conn(t)->cwnd;
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 2000);
    EXPECT(t, TCP_ACK, base + 10000, t->snd, 1000);
    EXPECT_NOTHING(t);
    send_sack(t, base + 1000, base + 3000);
    EXPECT(t, TCP_ACK, base + 11000, t->snd, 1000);
    EXPECT_NOTHING(t);
    cr_assert_eq(script_conn(t)->cwnd, cwnd, "cwnd itself stays");
}

/* ---- needless timeouts (RFC 5682) ---- */

static uint32_t into_timeout(struct script *t, bool ts, bool sack)
{
    open_path(t, ts, sack);
    fake_write(&t->h, t->s, bytes, 30000);
    cr_assert_eq(drain(t), 10);
    fake_advance(&t->h, 130000);
    drain(t); /* with SACK a tail loss probe */
    fake_advance(&t->h, 300000);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_LOSS);
    cr_assert_eq(script_conn(t)->cwnd, script_conn(t)->mss);
    cr_assert_eq(count(t, TCP_C_rto), 1);
    drain(t);
    return script_conn(t)->mss;
}

/* s3.1: the originals arrive after all: with the first that is acknowledged and was sent only once. */
Test(tcp_recovery, frto_with_sack, .init = init, .fini = fini)
{
    struct script *t = &T;

    into_timeout(t, false, true);
    t->rcv += 2000;
    send_ack(t);
    cr_assert_eq(count(t, TCP_C_undo_frto), 1);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_OPEN, "%u", script_conn(t)->ca_state);
    cr_assert_geq(script_conn(t)->cwnd, 10000);
    cr_assert_eq(script_conn(t)->ssthresh, UINT32_MAX);
    tcp_sent_check(script_conn(t));
    cr_assert_eq(script_conn(t)->sent->lost, 0);
}

/* s2.1: the first ACK lets two new segments out, the second decides. */
Test(tcp_recovery, frto_without_sack, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    into_timeout(t, false, false);
    base = t->rcv;
    t->rcv += 1000;
    send_ack(t);
    EXPECT(t, TCP_ACK, base + 10000, t->snd, 1000); /* step 2b */
    EXPECT(t, TCP_ACK, base + 11000, t->snd, 1000);
    EXPECT_NOTHING(t);
    t->rcv += 1000;
    send_ack(t); /* step 3b: not what was sent again */
    cr_assert_eq(count(t, TCP_C_undo_frto), 1);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_OPEN, "%u", script_conn(t)->ca_state);
    cr_assert_geq(script_conn(t)->cwnd, 10000);
}

/* Step 3a: a duplicate: the loss was real, go on as always. */
Test(tcp_recovery, frto_of_a_real_loss, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    into_timeout(t, false, false);
    base = t->rcv;
    t->rcv += 1000;
    send_ack(t);
    cr_assert_eq(drain(t), 2);
    send_ack(t); /* duplicate */
    EXPECT(t, TCP_ACK, base + 1000, t->snd, 1000);
    cr_assert_eq(count(t, TCP_C_undo_frto), 0);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_LOSS);
    cr_assert_leq(script_conn(t)->ssthresh, 7000);
}

/* Step 2a: the first answer is a duplicate already: what follows is sent again, and nothing new. */
Test(tcp_recovery, frto_ends_with_a_duplicate, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    into_timeout(t, false, false);
    base = t->rcv;
    send_ack(t);
    EXPECT_NOTHING(t);
    t->rcv += 1000;
    send_ack(t);
    EXPECT(t, TCP_ACK, base + 1000, t->snd, 1000);
    EXPECT(t, TCP_ACK, base + 2000, t->snd, 1000);
    EXPECT_NOTHING(t);
    cr_assert_eq(count(t, TCP_C_undo_frto), 0);
}

/* Step 1: what has timed out twice is not asked about. */
Test(tcp_recovery, frto_is_for_the_first_timeout, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base, ssthresh;

    into_timeout(t, false, false);
    base = t->rcv;
    ssthresh = script_conn(t)->ssthresh;
    while (count(t, TCP_C_rto) < 2)
        fake_advance(&t->h, 10000);
    cr_assert_eq(drain(t), 1);
    cr_assert_eq(script_conn(t)->ssthresh, ssthresh, "RFC 5681 s3.1: once for a window that is lost");
    t->rcv += 1000;
    send_ack(t);
    EXPECT(t, TCP_ACK, base + 1000, t->snd, 1000);
    EXPECT(t, TCP_ACK, base + 2000, t->snd, 1000);
    EXPECT_NOTHING(t);
}

/* Step 3b: the second answer is about the copy, too: it may be what arrived. */
Test(tcp_recovery, frto_needs_what_was_sent_once, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    into_timeout(t, false, false);
    base = t->rcv;
    t->rcv += 500;
    send_ack(t);
    EXPECT(t, TCP_ACK, base + 10000, t->snd, 1000);
    drain(t);
    t->rcv += 500;
    send_ack(t);
    cr_assert_eq(count(t, TCP_C_undo_frto), 0);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_LOSS);
    EXPECT(t, TCP_ACK, base + 1000, t->snd, 1000);
}

/* RFC 6582 s3.2 step 1, s4.1: what the timeout sent in vain comes back as duplicates, which tell of no loss. */
Test(tcp_recovery, duplicates_behind_a_timeout_are_no_loss, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint64_t again;

    into_timeout(t, false, false);
    t->rcv = script_conn(t)->snd_nxt;
    send_ack(t);
    cr_assert_gt(drain(t), 0);
    again = count(t, TCP_C_retransmits);
    for (unsigned i = 0; i < 4; i++)
        send_ack(t);
    cr_assert_eq(count(t, TCP_C_fast_recoveries), 0);
    cr_assert_eq(count(t, TCP_C_retransmits), again);
}

/* RFC 3465 s2.3: after a timeout an ACK lets the window grow by a segment, however much it covers; else in slow start by eight (RFC 9406
 * s4.2). */
Test(tcp_recovery, window_grows_by_a_segment_after_a_timeout, .init = init, .fini = fini)
{
    struct script *t = &T;

    into_timeout(t, false, false);
    t->rcv += 5000;
    send_ack(t);
    cr_assert_eq(script_conn(t)->cwnd, 2000);
}

Test(tcp_recovery, window_grows_by_eight_segments, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_path(t, false, true);
    script_conn(t)->cwnd = 20000;
    fake_write(&t->h, t->s, bytes, 50000);
    cr_assert_eq(drain(t), 20);
    fake_advance(&t->h, RTT);
    t->rcv += 20000;
    send_ack(t);
    cr_assert_eq(script_conn(t)->cwnd, 28000);
}

/* Karn: what is timed is acknowledged only when a hole below it is filled, and that takes another round trip. */
Test(tcp_recovery, no_sample_across_a_retransmission, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, false);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 13000);
    cr_assert_eq(drain(t), 10);
    fake_advance(&t->h, RTT);
    for (unsigned i = 0; i < 9; i++)
        send_ack(t);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
    cr_assert_eq(script_conn(t)->snd_nxt, base + 13000);
    cr_assert(script_conn(t)->flags & TCP_F_RTT_TIMING);
    drain(t);
    t->rcv += 1000;
    send_ack(t);
    EXPECT(t, TCP_ACK, base + 1000, t->snd, 1000);
    cr_assert_not(script_conn(t)->flags & TCP_F_RTT_TIMING);
}

/* Without new data there is nothing to ask the path with: retransmission at once. */
Test(tcp_recovery, frto_needs_new_data, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, false);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 5000);
    drain(t);
    fake_advance(&t->h, 500000);
    EXPECT(t, TCP_ACK, base, t->snd, 1000);
    t->rcv += 1000;
    send_ack(t);
    EXPECT(t, TCP_ACK, base + 1000, t->snd, 1000);
    EXPECT(t, TCP_ACK, base + 2000, t->snd, 1000);
}

/* ---- needless retransmissions by timestamps (RFC 3522) and by D-SACK ---- */

Test(tcp_recovery, eifel, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t original;

    open_path(t, true, false);
    fake_write(&t->h, t->s, bytes, 30000);
    cr_assert_gt(drain(t), 9);
    original = t->tsecr;
    fake_advance(&t->h, RTT);
    for (unsigned i = 0; i < 3; i++)
        send_ack(t);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
    cr_assert_eq(count(t, TCP_C_retransmits), 1);
    drain(t);
    cr_assert_gt(t->tsecr, original);
    fake_advance(&t->h, 5000);
    t->tsecr = original; /* what the peer acknowledges was sent before the retransmission */
    t->rcv += 4 * 988;
    send_ack(t);
    cr_assert_eq(count(t, TCP_C_undo_eifel), 1);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_OPEN);
    cr_assert_eq(script_conn(t)->ssthresh, UINT32_MAX);
    cr_assert_geq(script_conn(t)->cwnd, 9880);
}

/* RFC 5681 s3.1, RFC 9438 s4.6: what recovery has sent in place of what has left does not make ssthresh larger than the window. */
Test(tcp_recovery, ssthresh_never_above_the_window, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base, cwnd;

    open_path(t, false, true);
    base = t->rcv;
    script_conn(t)->lflags |= TCP_LF_REORDERING; /* so that disorder lasts a quarter of a round trip */
    fake_write(&t->h, t->s, bytes, 60000);
    drain(t);
    fake_advance(&t->h, RTT);
    for (uint32_t i = 2; i <= 10; i++) {
        send_sack(t, base + 1000, base + i * 1000);
        drain(t);
    }
    cwnd = script_conn(t)->cwnd;
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_DISORDER);
    cr_assert_gt(script_conn(t)->snd_nxt - script_conn(t)->snd_una, cwnd * 4 / 3);
    fake_advance(&t->h, RTT / 2);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
    cr_assert_eq(script_conn(t)->ssthresh, (uint32_t)((uint64_t)cwnd * 7 / 10));
}

Test(tcp_recovery, eifel_of_a_real_loss, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_path(t, true, false);
    fake_write(&t->h, t->s, bytes, 30000);
    drain(t);
    fake_advance(&t->h, RTT);
    for (unsigned i = 0; i < 3; i++)
        send_ack(t);
    drain(t);
    fake_advance(&t->h, RTT);
    t->rcv += 4 * 988; /* tsecr is of the retransmission */
    send_ack(t);
    cr_assert_eq(count(t, TCP_C_undo_eifel), 0);
    cr_assert_lt(script_conn(t)->ssthresh, 9880);
}

/* RFC 3522 s3.2: only the first ACK that acknowledges something tells. */
Test(tcp_recovery, eifel_asks_the_first_ack, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t original, copy;

    open_path(t, true, false);
    fake_write(&t->h, t->s, bytes, 30000);
    drain(t);
    original = t->tsecr;
    fake_advance(&t->h, RTT);
    for (unsigned i = 0; i < 3; i++)
        send_ack(t);
    drain(t);
    copy = t->tsecr;
    cr_assert_gt(copy, original);
    fake_advance(&t->h, RTT);
    for (unsigned i = 0; i < 2; i++) {
        t->tsecr = i == 0 ? copy : original;
        t->rcv += 988;
        send_ack(t);
        cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
        drain(t);
    }
    cr_assert_eq(count(t, TCP_C_undo_eifel), 0);
}

/* RFC 2883 s5, RFC 8985 s6.2 step 4: all that was sent again is reported as duplicate: undone, and the window for reordering
 * grows. */
Test(tcp_recovery, dsack_undoes, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 30000);
    cr_assert_eq(drain(t), 10);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 5000);
    EXPECT(t, TCP_ACK, base, t->snd, 1000);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
    drain(t);
    t->rcv += 5000; /* the original was only late */
    send_ack(t);
    drain(t);
    fake_advance(&t->h, RTT);
    send_sack(t, base, base + 1000); /* and now its copy */
    cr_assert_eq(count(t, TCP_C_undo_dsack), 1);
    cr_assert_eq(script_conn(t)->ssthresh, UINT32_MAX);
    cr_assert_geq(script_conn(t)->cwnd, 10000);
    cr_assert_eq(script_conn(t)->reo_mult, 1);
    cr_assert(script_conn(t)->lflags & TCP_LF_REORDERING);
}

/* A report about an earlier recovery says nothing of this one. */
Test(tcp_recovery, dsack_of_an_earlier_loss_does_not_undo, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base, second;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 30000);
    drain(t);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 5000);
    drain(t);
    fake_advance(&t->h, RTT);
    t->rcv = second = script_conn(t)->snd_nxt;
    send_ack(t);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_OPEN);
    cr_assert_gt(drain(t), 5);
    fake_advance(&t->h, RTT);
    send_sack(t, second + 1000, second + 5000);
    EXPECT(t, TCP_ACK, second, t->snd, 1000);
    cr_assert_eq(count(t, TCP_C_fast_recoveries), 2);
    send_sack(t, base, base + 1000);
    cr_assert_eq(count(t, TCP_C_spurious_dsack), 1);
    cr_assert_eq(count(t, TCP_C_undo_dsack), 0);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
}

/* Two segments sent again and one reported: the other may have been lost, nothing is undone. */
Test(tcp_recovery, dsack_of_a_part_does_not_undo, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 30000);
    drain(t);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 2000, base + 9000);
    fake_advance(&t->h, 1000);
    send_sack(t, base + 2000, base + 10000);
    cr_assert_eq(count(t, TCP_C_retransmits), 2);
    drain(t);
    t->rcv += 10000;
    send_ack(t);
    send_sack(t, base, base + 1000);
    cr_assert_eq(count(t, TCP_C_undo_dsack), 0);
    cr_assert_lt(script_conn(t)->ssthresh, 10000);
}

/* ---- timer (RFC 6298) ---- */

/* s5.3: an ACK of new data starts the timer anew, for what is still in flight. */
Test(tcp_recovery, rto_restarts_with_each_new_ack, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t rto;

    open_path(t, false, false);
    fake_write(&t->h, t->s, bytes, 5000);
    drain(t);
    rto = script_conn(t)->rto_us;
    for (unsigned i = 0; i < 4; i++) {
        fake_advance(&t->h, rto - 20000);
        cr_assert_eq(count(t, TCP_C_rto), 0);
        t->rcv += 1000;
        send_ack(t);
        rto = script_conn(t)->rto_us;
    }
    fake_advance(&t->h, rto + 1000);
    cr_assert_eq(count(t, TCP_C_rto), 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
}

/* RFC 6675 s5.1: what the peer holds is not sent again after a timeout; RFC 2018 s8: unless it has thrown it away. */
Test(tcp_recovery, sacks_survive_a_timeout, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 5000);
    drain(t);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 3000);
    fake_advance(&t->h, 600000); /* the reordering timer's retransmission is lost, and then the timeout's */
    cr_assert_geq(count(t, TCP_C_rto), 1);
    drain(t);
    fake_advance(&t->h, 1000);
    t->rcv += 3000;
    send_ack(t);
    EXPECT(t, TCP_ACK, base + 3000, t->snd, 1000);
    cr_assert_eq(count(t, TCP_C_sack_reneged), 0);
}

Test(tcp_recovery, reneging_peer, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    open_path(t, false, true);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 5000);
    drain(t);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 5000);
    drain(t);
    t->rcv += 1000; /* the hole is filled, but what followed it is not acknowledged */
    send_ack(t);
    fake_advance(&t->h, 600000);
    cr_assert_eq(count(t, TCP_C_sack_reneged), 1);
    EXPECT(t, TCP_ACK, base + 1000, t->snd, 1000);
    t->rcv += 4000;
    send_ack(t);
    cr_assert_eq(t->s->tx_len, 0);
}

/* Both sides of a connection that loses nothing: no timer but one, and nothing is kept when all is acknowledged. */
Test(tcp_recovery, idle_connection_keeps_nothing, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_path(t, true, true);
    for (unsigned i = 0; i < 20; i++) {
        fake_write(&t->h, t->s, bytes, 3000);
        drain(t);
        cr_assert_eq(t->h.tw.n_sents, 1);
        fake_advance(&t->h, RTT);
        t->rcv += 3000;
        send_ack(t);
        cr_assert_null(script_conn(t)->sent);
        cr_assert_eq(t->h.tw.n_sents, 0);
        cr_assert_eq(script_conn(t)->rexmt_mode, TCP_REXMT_NONE);
    }
}

/* ---- what `show trace session` tells of it ---- */

static void next_events(struct script *t, unsigned *seen, unsigned n_want, const char *const *want, json_t **last)
{
    json_t *rows = json_array();

    cr_assert_eq(tcp_trace_show(&t->h.w, *seen, 100, rows), UINT32_MAX);
    cr_assert_eq(json_array_size(rows), n_want, "%zu events after %u, wanted %u", json_array_size(rows), *seen, n_want);
    for (unsigned i = 0; i < n_want; i++)
        cr_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, i), "event")), want[i]);
    *seen += n_want;
    json_decref(*last);
    *last = n_want ? json_incref(json_array_get(rows, n_want - 1)) : NULL;
    json_decref(rows);
}
#define EVENTS(t, ...)                                                                                                   \
    next_events((t), &seen, sizeof((const char *[]){ __VA_ARGS__ }) / sizeof(char *), (const char *[]){ __VA_ARGS__ }, &last)

static uint32_t value_of(const json_t *row, const char *name) { return (uint32_t)json_integer_value(json_object_get(row, name)); }

/* One of ten segments is lost, then all of a flight. */
Test(tcp_recovery, trace_tells_of_losses, .init = init, .fini = fini)
{
    struct script *t = &T;
    json_t *last = NULL;
    unsigned seen = 0;
    uint32_t base;

    open_path(t, false, true);
    cr_assert_eq(tcp_trace_switch(&t->h.w, true), 0);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 10000);
    cr_assert_eq(drain(t), 10);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 1000, base + 2000);
    next_events(t, &seen, 0, NULL, &last);
    send_sack(t, base + 1000, base + 5000);
    EXPECT(t, TCP_ACK, base, t->snd, 1000);
    EVENTS(t, "recovery");
    cr_assert_eq(value_of(last, "value"), base);
    cr_assert_eq(value_of(last, "ssthresh"), 7000);
    cr_assert_eq(value_of(last, "in_flight"), 10000);
    fake_advance(&t->h, RTT);
    t->rcv = base + 10000;
    send_ack(t);
    EVENTS(t, "recovered");
    cr_assert_eq(value_of(last, "cwnd"), 7000);
    cr_assert_eq(value_of(last, "in_flight"), 0);

    fake_write(&t->h, t->s, bytes, 3000);
    cr_assert_eq(drain(t), 3);
    while (count(t, TCP_C_rto) == 0) { /* after the tail loss probe */
        next_events(t, &seen, 0, NULL, &last);
        fake_advance(&t->h, 1000);
    }
    EVENTS(t, "timeout");
    cr_assert_eq(value_of(last, "value"), 1);
    cr_assert_eq(value_of(last, "cwnd"), 7000);
    for (unsigned i = 1; i <= 3; i++) { /* one again, and two more when that has arrived */
        drain(t);
        next_events(t, &seen, 0, NULL, &last);
        fake_advance(&t->h, RTT);
        t->rcv += 1000;
        send_ack(t);
        if (i < 3) { /* past 1024, and 2048 */
            EVENTS(t, "cwnd");
            cr_assert_eq(value_of(last, "value"), i * 1000);
        }
    }
    EVENTS(t, "recovered");
    cr_assert_leq(value_of(last, "cwnd"), 4000);
    json_decref(last);
}

/* Slow start from 10,000 on, and a segment that was only late. */
Test(tcp_recovery, trace_tells_of_windows, .init = init, .fini = fini)
{
    struct script *t = &T;
    json_t *last = NULL;
    unsigned seen = 0;
    uint32_t base;

    open_path(t, false, true);
    cr_assert_eq(tcp_trace_switch(&t->h.w, true), 0);
    base = t->rcv;
    fake_write(&t->h, t->s, bytes, 60000);
    cr_assert_eq(drain(t), 10);
    fake_advance(&t->h, RTT);
    t->rcv = base + 6000;
    send_ack(t);
    cr_assert_eq(script_conn(t)->cwnd, 16000);
    next_events(t, &seen, 0, NULL, &last);
    t->rcv = base + 10000;
    send_ack(t);
    EVENTS(t, "cwnd"); /* 16384 lies between */
    cr_assert_eq(value_of(last, "value"), 16000);
    cr_assert_eq(value_of(last, "cwnd"), 20000);
    drain(t);
    fake_advance(&t->h, RTT);
    send_sack(t, base + 11000, base + 15000);
    drain(t);
    EVENTS(t, "recovery");
    t->rcv = base + 15000; /* the original */
    send_ack(t);
    drain(t);
    fake_advance(&t->h, RTT);
    next_events(t, &seen, 0, NULL, &last);
    send_sack(t, base + 10000, base + 11000); /* its copy */
    EVENTS(t, "undo");
    cr_assert_geq(value_of(last, "cwnd"), 20000);
    cr_assert(json_is_null(json_object_get(last, "ssthresh")));
    json_decref(last);
}
