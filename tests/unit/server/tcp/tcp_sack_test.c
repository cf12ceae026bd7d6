/* tcp_sack_test.c - the list of runs in flight: SACK blocks against a plain array of flags, marks, limits, the pipe */
#include <stdlib.h>
#include "server/session/session.h"
#include "tests/unit/server/tcp/tcp_sent_check.h"
#include "tests/unit/server/tcp/tcp_unit.h"

/* len more bytes are sent, as one run. */
static void sent(struct tcp_unit *u, uint32_t len)
{
    cr_assert_eq(tcp_sent_reserve(&u->w, &u->c), 0);
    tcp_sent_add(&u->w, &u->c);
    u->c.snd_nxt += len;
    u->w.now_us += 1000;
}

static struct tcp_ack_news update(struct tcp_unit *u, unsigned n_blocks, const struct tcp_sack_range *r)
{
    struct tcp_seg seg = { .ack = u->c.snd_una };
    struct tcp_ack_news n = { 0 };

    seg.o.n_sack = (uint8_t)n_blocks;
    memcpy(seg.o.sack, r, n_blocks * sizeof(*r));
    tcp_sack_update(&u->w, &u->c, &seg, &n);
    tcp_sent_check(&u->c);
    return n;
}

static struct tcp_ack_news block(struct tcp_unit *u, uint32_t start, uint32_t end)
{
    return update(u, 1, &(struct tcp_sack_range){ start, end });
}

static void start(struct tcp_unit *u, uint32_t una, uint32_t len)
{
    tcp_unit_init(u);
    u->c.snd_una = u->c.snd_nxt = una;
    u->c.snd_max_wnd = 60000;
    u->c.flags = TCP_F_SACK;
    sent(u, len);
}

static void fini(struct tcp_unit *u)
{
    tcp_sent_clear(&u->w, &u->c);
    cr_assert_eq(u->tw.n_sents, 0);
    tcp_sent_pool_free(&u->tw);
}

Test(tcp_sack, senseless_blocks_are_ignored)
{
    struct tcp_unit u;

    start(&u, 1000, 10000);
    cr_assert_eq(block(&u, 2000, 2000).sacked, 0);   /* empty */
    cr_assert_eq(block(&u, 3000, 2000).sacked, 0);   /* backwards */
    cr_assert_eq(block(&u, 10000, 11001).sacked, 0); /* beyond what was sent */
    cr_assert_eq(block(&u, 1000, 2000).sacked, 0);   /* the ACK would have covered it */
    cr_assert_eq(u.tw.counters[TCP_C_spurious_dsack], 0);
    cr_assert(block(&u, 500, 900).dsack);            /* below */
    cr_assert_not(block(&u, 1000u - 70000, 1000u - 69000).dsack, "older than any window");
    cr_assert_eq(u.tw.counters[TCP_C_spurious_dsack], 1);
    cr_assert_eq(u.c.sent->sacked, 0);
    cr_assert_eq(block(&u, 2000, 3000).sacked, 1000);
    cr_assert_eq(block(&u, 2000, 3000).sacked, 0, "nothing new");
    fini(&u);
}

Test(tcp_sack, dsack_inside_second_block)
{
    struct tcp_unit u;
    struct tcp_ack_news n;

    start(&u, 1000, 10000);
    n = update(&u, 2, (struct tcp_sack_range[]){ { 4000, 5000 }, { 3000, 6000 } });
    cr_assert(n.dsack && n.dsack_start == 4000 && n.dsack_end == 5000);
    cr_assert_eq(u.c.sent->sacked, 3000);
    fini(&u);
}

enum { N = 600 };

/* Flags of bytes, as simple as can be. */
struct model { bool sacked[N], lost[N]; };

static void compare(const struct tcp_unit *u, const struct model *m, uint32_t base, uint32_t una)
{
    uint32_t sacked = 0, lost = 0, s = una, gs, ge;

    for (uint32_t i = una; i < N; i++) {
        sacked += m->sacked[i];
        lost += m->lost[i];
    }
    cr_assert_eq(u->c.sent->sacked, sacked);
    cr_assert_eq(u->c.sent->lost, lost);
    cr_assert_eq(tcp_pipe(&u->c), N - una - sacked - lost);
    while (s < N && !m->lost[s])
        s++;
    cr_assert_eq(tcp_sent_next_lost(&u->c, &gs, &ge), s < N);
    cr_assert(s == N || gs == base + s);
}

/* Random blocks, ACKs, losses and retransmissions near the wrap of the sequence space, against one flag a byte. */
Test(tcp_sack, against_a_bitmap)
{
    static struct model m;
    uint32_t base = 0xfffffe00u;
    unsigned seed = 1;
    struct tcp_unit u;

    for (unsigned round = 0; round < 300; round++) {
        uint32_t una = 0, a, b;

        memset(&m, 0, sizeof(m));
        start(&u, base, 100);
        for (unsigned i = 1; i < N / 100; i++)
            sent(&u, 100);
        for (unsigned step = 0; step < 80; step++) {
            a = una + 1 + (uint32_t)rand_r(&seed) % N;
            b = a + 1 + (uint32_t)rand_r(&seed) % 40;
            if (b <= N && rand_r(&seed) % 2) {
                block(&u, base + a, base + b);
                memset(m.sacked + a, 1, b - a);
                memset(m.lost + a, 0, b - a);
            } else if (rand_r(&seed) % 8 == 0) {
                tcp_sent_mark_all_lost(&u.c);
                for (uint32_t i = una; i < N; i++)
                    m.lost[i] = !m.sacked[i];
            } else if (rand_r(&seed) % 2 && tcp_sent_next_lost(&u.c, &a, &b)) {
                b = a + 1 + (uint32_t)rand_r(&seed) % (b - a);
                tcp_sent_resent(&u.w, &u.c, a, b - a);
                memset(m.lost + (a - base), 0, b - a);
            } else if (rand_r(&seed) % 8 == 0) {
                struct tcp_ack_news n = { 0 };
                struct tcp_seg seg;

                una += 1 + (uint32_t)rand_r(&seed) % 30;
                while (una < N && m.sacked[una])
                    una++;
                if (una >= N)
                    break;
                seg = (struct tcp_seg){ .ack = base + una };
                tcp_sent_ack(&u.w, &u.c, &seg, &n);
                u.c.snd_una = base + una;
            }
            tcp_sent_check(&u.c);
            compare(&u, &m, base, una);
        }
        fini(&u);
    }
}

/* A peer that SACKs every other byte makes the list only so long, and leaves room to send. */
Test(tcp_sack, more_runs_than_fit)
{
    struct tcp_unit u;

    start(&u, 0, 100000);
    for (uint32_t i = 0; i < 2 * TCP_RUNS_MAX; i++)
        block(&u, 10 + i * 20, 20 + i * 20);
    cr_assert_leq(u.c.sent->n, TCP_RUNS_SACK_MAX);
    cr_assert_gt(u.c.sent->n, TCP_RUNS_SACK_MAX - 3);
    for (unsigned i = 0; i < TCP_RUNS_MAX - TCP_RUNS_SACK_MAX; i++)
        sent(&u, 10);
    cr_assert_gt(block(&u, 10, 50000).sacked, 0, "a block that joins others always fits");
    cr_assert_lt(u.c.sent->n, TCP_RUNS_MAX - TCP_RUNS_SACK_MAX + 40);
    fini(&u);
}

/* RFC 8985 s6.2: a round trip after what was sent later has arrived, and the reordering window. */
Test(tcp_sack, rack_waits_for_the_reordering_window)
{
    struct tcp_unit u;
    uint32_t wait;

    start(&u, 0, 1000);
    u.c.srtt_us = u.c.min_rtt_us = 20000;
    sent(&u, 1000);
    u.w.now_us += 20000 - 2000;
    u.c.min_rtt_us = 20000;
    cr_assert_eq(block(&u, 1000, 2000).sacked, 1000); /* sent 1 ms after the first */
    cr_assert_eq(tcp_rack_detect(&u.w, &u.c, &wait), 0);
    cr_assert_eq(wait, 5000 - 1000, "a quarter of min_rtt, less what has passed since: %u", wait);
    u.w.now_us += wait;
    cr_assert_eq(tcp_rack_detect(&u.w, &u.c, &wait), 1000);
    cr_assert_eq(wait, 0);
    cr_assert_eq(u.c.sent->lost, 1000);
    fini(&u);
}

/* s6.2 step 4: three segments SACKed and no reordering ever seen: at once, as three duplicate ACKs would. */
Test(tcp_sack, rack_at_once_when_three_are_sacked)
{
    struct tcp_unit u;
    uint32_t wait;

    start(&u, 0, 1000);
    u.c.srtt_us = u.c.min_rtt_us = 20000;
    sent(&u, 3000);
    u.w.now_us += 18000;
    cr_assert_eq(block(&u, 1000, 3000).sacked, 2000);
    cr_assert_eq(tcp_rack_detect(&u.w, &u.c, &wait), 0);
    cr_assert_eq(block(&u, 3000, 4000).sacked, 1000);
    cr_assert_eq(tcp_rack_detect(&u.w, &u.c, &wait), 1000);
    fini(&u);
}

/* What is sent within 1/64 of a round trip is one run, for RACK all sent at its beginning. Not across a retransmission: what was sent behind
 * that would count as sent before, and as lost once the retransmission has arrived. */
Test(tcp_sack, a_run_does_not_go_on_across_a_retransmission)
{
    struct tcp_unit u;
    uint32_t wait;

    start(&u, 0, 1000);
    u.c.srtt_us = 64 * 20000;
    u.c.min_rtt_us = 1000;
    u.c.ca_state = TCP_CA_RECOVERY; /* no reordering window: to the microsecond */
    sent(&u, 1000);
    cr_assert_eq(u.c.sent->n, 1);
    tcp_sent_mark_head_lost(&u.c);
    sent(&u, 1000);
    block(&u, 2000, 2500);
    u.w.now_us += 1000;
    tcp_sent_resent(&u.w, &u.c, 0, 1000);
    u.w.now_us += 1000;
    sent(&u, 1000);
    u.w.now_us += 50000;
    u.c.snd_una = 1000;
    tcp_sent_ack(&u.w, &u.c, &(struct tcp_seg){ .ack = 1000 }, &(struct tcp_ack_news){ 0 });
    cr_assert_eq(tcp_rack_detect(&u.w, &u.c, &wait), 1500, "what was sent before, no more");
    cr_assert_not(u.c.sent->r[u.c.sent->first + u.c.sent->n - 1].flags & TCP_RUN_LOST);
    fini(&u);
}

Test(tcp_sack, rack_window_grows_with_dsacks_and_comes_back)
{
    struct tcp_unit u;
    uint32_t wait;

    start(&u, 0, 1000);
    u.c.srtt_us = u.c.min_rtt_us = 20000;
    sent(&u, 9000);
    u.w.now_us += 18000;
    tcp_rack_dsack(&u.w, &u.c);
    tcp_rack_dsack(&u.w, &u.c); /* the same round: once */
    cr_assert_eq(u.c.reo_mult, 1);
    block(&u, 1000, 10000);
    cr_assert_eq(tcp_rack_detect(&u.w, &u.c, &wait), 0, "reordering is known: three SACKed segments prove nothing");
    cr_assert_eq(wait, 2 * 5000 - 1000);
    for (unsigned i = 0; i < 15; i++)
        tcp_rack_recovered(&u.c);
    cr_assert_eq(u.c.reo_mult, 1);
    tcp_rack_recovered(&u.c);
    cr_assert_eq(u.c.reo_mult, 0, "after 16 recoveries without");
    fini(&u);
}

/* s6.2 step 4: however many duplicates were reported. */
Test(tcp_sack, rack_window_is_a_round_trip_at_most)
{
    struct tcp_unit u;
    uint32_t wait;

    start(&u, 0, 1000);
    u.c.srtt_us = u.c.min_rtt_us = 20000;
    sent(&u, 9000);
    u.w.now_us += 20000;
    u.c.lflags |= TCP_LF_REORDERING;
    u.c.reo_mult = 20;
    block(&u, 1000, 10000);
    cr_assert_eq(tcp_rack_detect(&u.w, &u.c, &wait), 0);
    cr_assert_leq(wait, 20000, "%u", wait);
    u.w.now_us += 20000;
    cr_assert_eq(tcp_rack_detect(&u.w, &u.c, &wait), 1000);
    fini(&u);
}

Test(tcp_sack, pipe)
{
    struct tcp_unit u;

    start(&u, 0, 10000);
    cr_assert_eq(tcp_pipe(&u.c), 10000);
    block(&u, 2000, 6000);
    cr_assert_eq(tcp_pipe(&u.c), 6000, "SACKed bytes have left");
    tcp_sent_mark_all_lost(&u.c);
    cr_assert_eq(tcp_pipe(&u.c), 0, "and so have lost ones");
    tcp_sent_resent(&u.w, &u.c, 0, 1000);
    cr_assert_eq(tcp_pipe(&u.c), 1000, "unless sent again");
    tcp_sent_forget_sacks(&u.c);
    cr_assert_eq(tcp_pipe(&u.c), 5000, "a peer that reneged holds nothing (RFC 2018 s8)");
    fini(&u);
}

/* s6.2 step 2: of what was sent twice, an answer sooner than any round trip, or with a timestamp from before, is of the first copy: it says
 * nothing about what was sent since. */
Test(tcp_sack, rack_ignores_ambiguous_copies)
{
    for (unsigned i = 0; i < 3; i++) {
        struct tcp_seg seg = { .o = { .n_sack = 1, .sack = { { 1000, 2000 } } } };
        struct tcp_ack_news n = { 0 };
        struct tcp_unit u;

        start(&u, 0, 1000);
        u.c.srtt_us = u.c.min_rtt_us = 20000;
        u.c.flags |= TCP_F_TS;
        sent(&u, 1000);
        u.w.now_us += 30000;
        tcp_sent_mark_all_lost(&u.c);
        tcp_sent_resent(&u.w, &u.c, 1000, 1000);
        seg.o.has_ts = true;
        seg.o.tsecr = tcp_now_ms(&u.w) + u.c.ts_offset - (i == 1);
        u.w.now_us += i == 0 ? 19000 : 21000;
        tcp_sack_update(&u.w, &u.c, &seg, &n);
        cr_assert_eq(n.rtt_us, 0, "Karn");
        cr_assert_eq(u.c.sent->rack_rtt_us, i < 2 ? 0 : 21000);
        fini(&u);
    }
}

static int ring_alloc(void *ctx, uint8_t log2, uint16_t *region, uint64_t *offset)
{
    (void)log2;
    *region = 0;
    *offset = *(uint64_t *)ctx;
    *(uint64_t *)ctx += 1u << log2;
    return 0;
}
static void ring_free(void *ctx, uint8_t log2, uint16_t region, uint64_t offset)
{
    (void)ctx, (void)log2, (void)region, (void)offset;
}

/* RFC 2018 s4: the block that has changed last comes first, then those that were reported before it; and as many holes as a queue leaves
 * that overflows, every other segment being lost. */
Test(tcp_sack, blocks_by_recency)
{
    enum { SIZE = 1 << 16 };
    static const struct svm_ring_ops ops = { ring_alloc, ring_free };
    struct svm_region_table regions = { .n = 1, .r = { { .base = malloc(2 * SIZE), .size = 2 * SIZE } } };
    struct svm_fifo_prod_line *prod = aligned_alloc(HS_CACHE_LINE, sizeof(*prod));
    struct svm_fifo_cons_line *cons = aligned_alloc(HS_CACHE_LINE, sizeof(*cons));
    struct session_ooo o[3];
    struct session_fifos fifos = { 0 };
    struct session s = { .fifos = &fifos, .has_fifos = true };
    uint64_t used = 0;

    memset(prod, 0, sizeof(*prod));
    memset(cons, 0, sizeof(*cons));
    svm_fifo_prod_init(&fifos.rx, prod, cons, &regions, &ops, &used, SIZE);
    cr_assert_eq(session_rx_ooo(&s, o, 3), 0);
    for (uint32_t i = 0; i < 2000; i++) {
        cr_assert_eq(svm_fifo_enqueue_at(&fifos.rx, 20 * i + 10, "0123456789", 10), 0);
        cr_assert_eq(session_rx_ooo(&s, o, 3), i < 2 ? (int)i + 1 : 3);
        for (uint32_t k = 0; k <= i && k < 3; k++)
            cr_assert(o[k].start == 20 * (i - k) + 10 && o[k].end == o[k].start + 10);
    }
    cr_assert_eq(svm_fifo_enqueue_at(&fifos.rx, 20, "0123456789", 10), 0); /* joins the first two: what lies above follows */
    cr_assert_eq(session_rx_ooo(&s, o, 3), 3);
    cr_assert(o[0].start == 10 && o[0].end == 40 && o[1].start == 50 && o[2].start == 70);
    cr_assert_eq(session_rx_ooo(&s, o, 0), 0);
    svm_fifo_prod_fini(&fifos.rx);
    free(regions.r[0].base);
    free(prod);
    free(cons);
}

/* RFC 6937 with half of the window: one segment sent for two that have left, never more than delivered while it is short. */
Test(tcp_sack, prr)
{
    struct tcp_unit u;
    uint32_t out = 0;

    start(&u, 0, 20000);
    u.c.cwnd = 20000;
    u.c.ssthresh = 10000;
    tcp_prr_begin(&u.c);
    for (uint32_t i = 1; i < 20; i++) {
        struct tcp_ack_news n = block(&u, i * 1000, i * 1000 + 1000);
        uint32_t room;

        tcp_prr_ack(&u.c, &n);
        room = u.c.cwnd - tcp_pipe(&u.c);
        if (room >= 1000) {
            sent(&u, 1000);
            u.c.sent->prr_out += 1000;
            out++;
        }
    }
    cr_assert(out >= 9 && out <= 11, "%u segments for 19 that have left", out);
    cr_assert(u.c.cwnd >= 9000 && u.c.cwnd <= 11000, "%u", u.c.cwnd);
    fini(&u);
}

/* RFC 6937 s3, RFC 9937 s6.2: with less in flight than ssthresh as much goes out as has left, and a segment more for an ACK that moves on and
 * tells of no new loss. */
Test(tcp_sack, prr_below_ssthresh)
{
    static const struct { uint32_t acked, lost, room; } cases[] = { { 0, 0, 1000 }, { 1000, 1000, 1000 }, { 1000, 0, 2000 } };

    for (unsigned i = 0; i < HS_ARRAY_LEN(cases); i++) {
        struct tcp_ack_news n;
        struct tcp_unit u;

        start(&u, 0, 20000);
        u.c.cwnd = 20000;
        u.c.ssthresh = 10000;
        tcp_prr_begin(&u.c);
        n = block(&u, 19000, 20000);
        tcp_sent_mark_all_lost(&u.c);
        n.lost = 19000;
        tcp_prr_ack(&u.c, &n);
        cr_assert_eq(u.c.cwnd, 1000);
        tcp_sent_resent(&u.w, &u.c, 0, 1000);
        u.c.sent->prr_out = 1000;
        n = (struct tcp_ack_news){ .delivered = 1000, .acked = cases[i].acked, .lost = cases[i].lost };
        tcp_prr_ack(&u.c, &n);
        cr_assert_eq(u.c.cwnd, tcp_pipe(&u.c) + cases[i].room, "%u: %u", i, u.c.cwnd);
        fini(&u);
    }
}
