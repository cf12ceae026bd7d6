/* tcp_sack_test.c - the sender's scoreboard against a plain array of flags, and the rules of RFC 6675 */
#include "tests/unit/server/tcp/tcp_unit.h"

static void blocks(struct tcp_unit *u, struct tcp_seg *seg, unsigned n, const struct tcp_sack_range *r)
{
    memset(seg, 0, sizeof(*seg));
    seg->ack = u->c.snd_una;
    seg->o.n_sack = (uint8_t)n;
    memcpy(seg->o.sack, r, n * sizeof(*r));
}

static bool update(struct tcp_unit *u, uint32_t start, uint32_t end)
{
    struct tcp_seg seg;

    blocks(u, &seg, 1, &(struct tcp_sack_range){ start, end });
    return tcp_sack_update(&u->w, &u->c, &seg);
}

static void fini(struct tcp_unit *u)
{
    tcp_sack_clear(&u->w, &u->c);
    cr_assert_eq(u->tw.n_sacks, 0);
    tcp_sack_pool_free(&u->tw);
}

Test(tcp_sack, senseless_blocks_are_ignored)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.snd_una = 1000;
    u.c.snd_nxt = 11000;
    cr_assert_not(update(&u, 500, 900));     /* below: D-SACK */
    cr_assert_not(update(&u, 2000, 2000));   /* empty */
    cr_assert_not(update(&u, 3000, 2000));   /* backwards */
    cr_assert_not(update(&u, 10000, 11001)); /* beyond what was sent */
    cr_assert_not(update(&u, 1000, 2000));   /* the ACK would have covered it */
    cr_assert_null(u.c.sack);
    cr_assert_eq(u.tw.counters[TCP_C_spurious_dsack], 1);
    cr_assert(update(&u, 2000, 3000));
    cr_assert_not(update(&u, 2000, 3000), "nothing new");
    fini(&u);
}

Test(tcp_sack, dsack_inside_second_block)
{
    struct tcp_unit u;
    struct tcp_seg seg;

    tcp_unit_init(&u);
    u.c.snd_una = 1000;
    u.c.snd_nxt = 11000;
    blocks(&u, &seg, 2, (struct tcp_sack_range[]){ { 4000, 5000 }, { 3000, 6000 } });
    cr_assert(tcp_sack_update(&u.w, &u.c, &seg));
    cr_assert_eq(u.c.sack->bytes, 3000);
    cr_assert_eq(u.tw.counters[TCP_C_spurious_dsack], 1);
    fini(&u);
}

/* Random blocks, ACKs and queries near the wrap of the sequence space, against one flag a byte. */
Test(tcp_sack, against_a_bitmap)
{
    enum { N = 600 };
    static bool sacked[N];
    uint32_t base = 0xfffffe00u;
    struct tcp_unit u;
    unsigned seed = 1;

    for (unsigned round = 0; round < 200; round++) {
        uint32_t una = 0;

        tcp_unit_init(&u);
        memset(sacked, 0, sizeof(sacked));
        u.c.snd_una = base;
        u.c.snd_nxt = base + N;
        for (unsigned step = 0; step < 60; step++) {
            uint32_t a = (uint32_t)rand_r(&seed) % N, b = a + 1 + (uint32_t)rand_r(&seed) % 40, bytes = 0, below = 0, q;

            if (b > N)
                b = N;
            if (a > una) {
                update(&u, base + a, base + b);
                memset(sacked + a, 1, b - a);
            }
            if (rand_r(&seed) % 8 == 0) {
                una += (uint32_t)rand_r(&seed) % 30;
                while (una < N && sacked[una])
                    una++;
                if (una >= N)
                    break;
                u.c.snd_una = base + una;
                memset(sacked, 0, una);
                tcp_sack_advance(&u.w, &u.c);
            }
            q = una + (uint32_t)rand_r(&seed) % (N - una);
            for (uint32_t i = una; i < N; i++) {
                bytes += sacked[i];
                below += i < q && !sacked[i];
            }
            cr_assert_eq(u.c.sack ? u.c.sack->bytes : 0, bytes);
            cr_assert_eq(tcp_unsacked_below(&u.c, base + q), below);
            {
                uint32_t s = q, e, gs, ge;
                bool found;

                while (s < N && sacked[s])
                    s++;
                for (e = s; e < N && !sacked[e];)
                    e++;
                found = tcp_sack_next_hole(&u.c, base + q, base + N, &gs, &ge);
                cr_assert_eq(found, s < N);
                cr_assert(!found || (gs == base + s && ge == base + e));
            }
        }
        fini(&u);
    }
}

Test(tcp_sack, more_ranges_than_fit)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.snd_nxt = 100000;
    for (uint32_t i = 0; i < 2 * TCP_SACK_RANGES; i++)
        update(&u, 10 + i * 20, 20 + i * 20);
    cr_assert_eq(u.c.sack->n, TCP_SACK_RANGES);
    cr_assert_eq(u.c.sack->bytes, TCP_SACK_RANGES * 10);
    cr_assert(update(&u, 10, 5000), "a block that joins the ranges always fits");
    cr_assert_eq(u.c.sack->n, 1);
    fini(&u);
}

Test(tcp_sack, is_lost)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.snd_nxt = 100000;
    cr_assert_eq(tcp_sack_lost_high(&u.c), 0);
    update(&u, 2000, 4000); /* two segments above: not yet more than (DupThresh - 1) * SMSS */
    cr_assert_eq(tcp_sack_lost_high(&u.c), 0);
    update(&u, 4000, 4001);
    cr_assert_eq(tcp_sack_lost_high(&u.c), 2000, "by bytes");
    tcp_sack_clear(&u.w, &u.c);
    update(&u, 2000, 2010);
    update(&u, 3000, 3010);
    cr_assert_eq(tcp_sack_lost_high(&u.c), 0);
    update(&u, 5000, 5010);
    cr_assert_eq(tcp_sack_lost_high(&u.c), 2000, "by three separate ranges");
    fini(&u);
}

Test(tcp_sack, pipe)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.snd_nxt = 10000;
    cr_assert_eq(tcp_pipe(&u.c), 10000);
    update(&u, 2000, 6000);
    cr_assert_eq(tcp_pipe(&u.c), 6000, "SACKed bytes have left");
    u.c.lost_high = 2000;
    cr_assert_eq(tcp_pipe(&u.c), 4000, "and so have lost ones");
    u.c.high_rxt = 1000;
    cr_assert_eq(tcp_pipe(&u.c), 5000, "unless sent again");
    fini(&u);
}
