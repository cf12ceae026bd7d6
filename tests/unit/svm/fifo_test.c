/* fifo_test.c - FIFO against a plain model: growth, wrap of positions, holes, peeks, give-back, events, hostile peers */
#include <criterion/criterion.h>
#include <errno.h>
#include "tests/unit/svm/svm_test.h"

enum { MAX = 1 << 16, AREA = 1 << 20 };

static void fill(uint8_t *b, uint64_t pos, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++)
        b[i] = stream_byte(pos + i);
}

static void check(const uint8_t *b, uint64_t pos, int64_t len)
{
    for (int64_t i = 0; i < len; i++) {
        if (b[i] != stream_byte(pos + (uint64_t)i))
            cr_assert(false, "byte %llu is %02x", (unsigned long long)pos + (unsigned long long)i, b[i]);
    }
}

/* One random session; the model is the two stream positions. */
static void model_run(uint64_t seed, uint32_t first_pos, int rounds)
{
    static uint8_t b[MAX];
    struct pair t;
    uint64_t written = 0, taken = 0;

    pair_open(&t, MAX, AREA, first_pos);
    for (int i = 0; i < rounds; i++) {
        uint32_t n = rnd(&seed) % (1u << (1 + rnd(&seed) % 16)), off;
        struct iovec iov[4];
        int64_t got;
        int k;

        switch (rnd(&seed) % 10) {
        case 0:
        case 1:
        case 2:
            fill(b, written, n);
            got = svm_fifo_enqueue(&t.p, b, n);
            cr_assert(got >= 0 && got <= n);
            cr_assert(got > 0 || n == 0 || written > taken, "an empty FIFO takes something");
            written += (uint64_t)got;
            break;
        case 3:
            fill(b, written, n);
            k = svm_fifo_enqueue_record(&t.p, (struct iovec[2]){ { b, n / 3 }, { b + n / 3, n - n / 3 } }, 2);
            cr_assert(k == 0 || k == -EAGAIN);
            written += k == 0 ? n : 0;
            break;
        case 4:
            k = svm_fifo_reserve(&t.p, n, iov);
            cr_assert(k >= 0 && k <= 2);
            got = 0;
            for (int j = 0; j < k; j++) {
                fill(iov[j].iov_base, written + (uint64_t)got, (uint32_t)iov[j].iov_len);
                got += (int64_t)iov[j].iov_len;
            }
            cr_assert(got <= n);
            if (got)
                got -= rnd(&seed) % got;
            cr_assert_eq(svm_fifo_commit(&t.p, (uint32_t)got), 0);
            written += (uint64_t)got;
            break;
        case 5:
        case 6:
            got = svm_fifo_dequeue(&t.c, b, n);
            cr_assert_eq((uint64_t)got, written - taken < n ? written - taken : n);
            check(b, taken, got);
            taken += (uint64_t)got;
            break;
        case 7:
            off = written > taken ? rnd(&seed) % (uint32_t)(written - taken) : 0;
            got = svm_fifo_peek(&t.c, off, b, n);
            cr_assert_eq((uint64_t)got, written - taken - off < n ? written - taken - off : n);
            check(b, taken + off, got);
            break;
        case 8:
            k = svm_fifo_peek_iov(&t.c, 0, n, iov);
            cr_assert(k >= 0 && k <= 4);
            got = 0;
            for (int j = 0; j < k; j++) {
                check(iov[j].iov_base, taken + (uint64_t)got, (int64_t)iov[j].iov_len);
                got += (int64_t)iov[j].iov_len;
            }
            cr_assert_eq(svm_fifo_drop(&t.c, (uint32_t)got), 0);
            taken += (uint64_t)got;
            break;
        default:
            svm_fifo_prod_give_back(&t.p);
            if (written == taken)
                cr_assert_eq(t.alloc.used_bytes, 0, "an empty FIFO has no ring");
            cr_assert_eq(svm_fifo_prod_unread(&t.p), (int64_t)(written - taken));
        }
        cr_assert(written - taken <= MAX);
    }
    pair_close(&t);
}

Test(fifo, model)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        model_run(seed * 7919, 0, 3000);
}

Test(fifo, model_over_the_turn_of_positions)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        model_run(seed * 104729, 0u - (uint32_t)(rnd(&seed) % 200000), 3000);
}

Test(fifo, one_ring_for_more_than_4_gib)
{
    enum { PIECE = 60000 };
    static uint8_t b[PIECE], d[PIECE];
    struct pair t;
    uint64_t pos = 0;

    pair_open(&t, MAX, AREA, 0);
    /* Fills are costly: the pattern is written once, its marks (first and last 8 bytes) every time. */
    memset(b, 0x5a, sizeof(b));
    while (pos < (4600ull << 20)) {
        memcpy(b, &pos, 8);
        memcpy(b + PIECE - 8, &pos, 8);
        cr_assert_eq(svm_fifo_enqueue(&t.p, b, PIECE), PIECE);
        cr_assert_eq(svm_fifo_dequeue(&t.c, d, PIECE), PIECE);
        cr_assert(memcmp(b, d, 8) == 0 && memcmp(b + PIECE - 8, d + PIECE - 8, 8) == 0);
        pos += PIECE;
    }
    cr_assert(t.p.gen >= 4, "start was renewed");
    pair_close(&t);
}

Test(fifo, starts_small_and_grows_by_four)
{
    static uint8_t b[MAX];
    struct pair t;
    uint32_t log2[8], n = 0;

    pair_open(&t, MAX, AREA, 0);
    cr_assert_eq(t.alloc.used_bytes, 0, "no ring before the first byte");
    for (uint32_t sum = 0; sum < MAX; sum += 512) {
        cr_assert_eq(svm_fifo_enqueue(&t.p, b, 512), 512);
        if (!n || log2[n - 1] != t.p.cur_log2)
            log2[n++] = t.p.cur_log2;
        cr_assert_eq(svm_fifo_dequeue(&t.c, b, sum % 1024 ? 512 : 256) >= 0, 1);
        if (n == 4)
            break;
    }
    cr_assert(n >= 2 && log2[0] == 10 && log2[1] == 12, "room for two of them, then four times that");
    pair_close(&t);
    pair_open(&t, MAX, AREA, 0);
    svm_fifo_enqueue(&t.p, b, 3000);
    cr_assert_eq(t.p.cur_log2, 12, "a larger first write starts with a page");
    pair_close(&t);
}

Test(fifo, previous_ring_is_freed_when_head_passes_start)
{
    static uint8_t b[MAX];
    struct pair t;

    pair_open(&t, MAX, AREA, 0);
    svm_fifo_enqueue(&t.p, b, 512);
    svm_fifo_enqueue(&t.p, b, 1024);
    cr_assert_eq(t.alloc.used_bytes, 1024 + 4096);
    cr_assert_eq(svm_fifo_prod_grow(&t.p, 8192), -EAGAIN, "two rings at most");
    svm_fifo_dequeue(&t.c, b, 511);
    svm_fifo_prod_unread(&t.p);
    cr_assert_eq(t.alloc.used_bytes, 1024 + 4096, "one byte is left in it");
    svm_fifo_dequeue(&t.c, b, 1);
    svm_fifo_prod_unread(&t.p);
    cr_assert_eq(t.alloc.used_bytes, 4096);
    cr_assert_eq(svm_fifo_prod_grow(&t.p, 8192), 0);
    pair_close(&t);
}

Test(fifo, ring_floor_keeps_a_promise)
{
    static uint8_t b[MAX];
    struct pair t;

    pair_open(&t, MAX, AREA, 0);
    svm_fifo_prod_set_floor(&t.p, 32768);
    svm_fifo_enqueue(&t.p, b, 240);
    svm_fifo_enqueue(&t.p, b, 260);
    cr_assert_eq(t.p.cur_log2, 9, "two small messages have room before what was promised is linked");
    cr_assert_eq(svm_fifo_enqueue(&t.p, b, 1000), 1000);
    cr_assert_eq(t.p.cur_log2, 15);
    cr_assert_eq(svm_fifo_enqueue(&t.p, b, 31268), 31268, "without the consumer moving");
    pair_close(&t);
}

Test(fifo, no_memory)
{
    static uint8_t b[MAX];
    struct pair t;

    pair_open(&t, MAX, 2048, 0);
    cr_assert_eq(svm_fifo_enqueue(&t.p, b, 4096), 2048, "a smaller ring than wished for");
    cr_assert_eq(svm_fifo_enqueue(&t.p, b, 1), 0);
    cr_assert_eq(svm_fifo_prod_space(&t.p), 0, "space says what enqueue does");
    cr_assert_not(svm_fifo_prod_want_space(&t.p, 100));
    svm_fifo_dequeue(&t.c, b, 99);
    cr_assert_not(svm_fifo_cons_space_due(&t.c));
    svm_fifo_dequeue(&t.c, b, 1);
    cr_assert(svm_fifo_cons_space_due(&t.c), "100 bytes of the one ring are free");
    cr_assert_not(svm_fifo_cons_space_due(&t.c), "told once");
    cr_assert_eq(svm_fifo_enqueue(&t.p, b, 100), 100);
    pair_close(&t);
    pair_open(&t, MAX, 512, 0);
    uint16_t region;
    uint64_t offset;
    svm_ring_alloc_ops.alloc(&t.alloc, 9, &region, &offset);
    cr_assert_eq(svm_fifo_enqueue(&t.p, b, 1), -ENOMEM);
    svm_ring_alloc_ops.free(&t.alloc, 9, region, offset);
    cr_assert_eq(svm_fifo_enqueue(&t.p, b, 1), 1, "works again when memory is back");
    pair_close(&t);
}

/* Who was told that there is room writes a byte at least, though others have taken all memory meanwhile; nobody is told so without. */
Test(fifo, ready_is_true)
{
    static uint8_t b[MAX];
    uint16_t region;
    uint64_t offset;

    for (int is_late = 0; is_late < 2; is_late++) {
        struct pair t;

        pair_open(&t, MAX, 4096, 0);
        cr_assert_gt(svm_fifo_prod_ready(&t.p), 0, "no ring yet");
        svm_fifo_enqueue(&t.p, b, 256);
        cr_assert_eq(svm_fifo_enqueue(&t.p, b, t.p.mask + 1 - 256), t.p.mask + 1 - 256);
        if (is_late)
            cr_assert_gt(svm_fifo_prod_ready(&t.p), 0);
        for (uint8_t log2 = 11; log2 >= SVM_RING_MIN_LOG2; log2--) {
            while (svm_ring_alloc_ops.alloc(&t.alloc, log2, &region, &offset) == 0)
                ;
        }
        cr_assert_gt(svm_fifo_prod_space(&t.p), 0, "what may be");
        int64_t ready = svm_fifo_prod_ready(&t.p);
        cr_assert_eq(ready > 0, is_late);
        cr_assert_eq(svm_fifo_enqueue(&t.p, b, 1), is_late);
        pair_close(&t);
    }
}

Test(fifo, records)
{
    static uint8_t b[MAX + 1];
    struct pair t;

    pair_open(&t, MAX, AREA, 0);
    cr_assert_eq(svm_fifo_enqueue_record(&t.p, &(struct iovec){ b, MAX + 1 }, 1), -EMSGSIZE);
    cr_assert_eq(svm_fifo_enqueue_record(&t.p, &(struct iovec){ b, MAX - 10 }, 1), 0);
    cr_assert_eq(svm_fifo_enqueue_record(&t.p, &(struct iovec){ b, 11 }, 1), -EAGAIN);
    cr_assert_eq(svm_fifo_cons_avail(&t.c), MAX - 10, "nothing of it came");
    pair_close(&t);
}

/* Segments of a window in random order, twice, of random cuts: what comes out is the stream. */
static void ooo_run(uint64_t seed, uint32_t first_pos)
{
    static uint8_t b[MAX], d[MAX];
    static bool have[MAX];
    struct pair t;
    uint64_t done = 0, taken = 0; /* contiguous, consumed */

    memset(have, 0, sizeof(have));
    pair_open(&t, MAX, AREA, first_pos);
    for (int i = 0; i < 1500; i++) {
        uint32_t off = rnd(&seed) % 4 ? rnd(&seed) % 12000 : 0, len = 1 + rnd(&seed) % 3000;
        uint64_t was = done;
        int64_t got;

        fill(b, done + off, len);
        got = svm_fifo_enqueue_at(&t.p, off, b, len);
        cr_assert(got >= 0 || got == -ENOBUFS, "%lld", (long long)got);
        if (got >= 0) {
            for (uint32_t k = 0; k < len; k++)
                have[(done + off + k) % MAX] = true;
            while (have[done % MAX])
                have[done++ % MAX] = false;
            cr_assert_eq((uint64_t)got, done - was, "tail moves over exactly what is contiguous");
        }
        for (uint16_t k = 0; k < t.p.n_ooo; k++) {
            cr_assert(seq_lt(t.p.ooo[k].start, t.p.ooo[k].end));
            cr_assert(seq_lt(k ? t.p.ooo[k - 1].end : t.p.tail, t.p.ooo[k].start), "sorted, disjoint, not touching");
        }
        cr_assert(t.p.n_ooo == 0 || t.p.ooo_newest < t.p.n_ooo);
        if (rnd(&seed) % 3 == 0) {
            got = svm_fifo_dequeue(&t.c, d, rnd(&seed) % 8000);
            cr_assert(got >= 0);
            check(d, taken, got);
            taken += (uint64_t)got;
        }
    }
    while (taken < done) {
        int64_t got = svm_fifo_dequeue(&t.c, d, MAX);
        cr_assert(got > 0);
        check(d, taken, got);
        taken += (uint64_t)got;
    }
    pair_close(&t);
}

Test(fifo, out_of_order)
{
    for (uint64_t seed = 1; seed <= 60; seed++)
        ooo_run(seed * 31337, seed % 2 ? 0 : 0u - 30000u);
}

Test(fifo, too_many_holes)
{
    uint8_t b[4] = { 1, 2, 3, 4 };
    struct pair t;

    pair_open(&t, MAX, AREA, 0);
    for (uint32_t i = 0; i < SVM_FIFO_MAX_OOO; i++)
        cr_assert_eq(svm_fifo_enqueue_at(&t.p, 10 + (i ^ 5) * 3, b, 2), 0);
    cr_assert_eq(t.p.n_ooo, SVM_FIFO_MAX_OOO);
    cr_assert_eq(svm_fifo_enqueue_at(&t.p, 11 + SVM_FIFO_MAX_OOO * 3, b, 4), -ENOBUFS);
    cr_assert_eq(svm_fifo_enqueue_at(&t.p, 12, b, 1), 0, "one that touches still fits");
    cr_assert_eq(t.p.n_ooo, SVM_FIFO_MAX_OOO - 1);
    cr_assert_eq(svm_fifo_enqueue_at(&t.p, MAX - 3, b, 4), -ENOBUFS, "beyond the window");
    cr_assert_eq(svm_fifo_cons_avail(&t.c), 0, "nothing readable yet");
    pair_close(&t);
}

Test(fifo, fin_rst_closed)
{
    struct pair t;

    pair_open(&t, MAX, AREA, 0);
    cr_assert_not(svm_fifo_cons_is_fin(&t.c));
    svm_fifo_enqueue(&t.p, "x", 1);
    svm_fifo_prod_set_fin(&t.p);
    cr_assert(svm_fifo_cons_is_fin(&t.c));
    cr_assert_eq(svm_fifo_cons_avail(&t.c), 1);
    cr_assert_eq(svm_fifo_cons_rst(&t.c), 0);
    svm_fifo_prod_set_rst(&t.p, -ETIMEDOUT);
    cr_assert(svm_fifo_cons_is_fin(&t.c), "flags are only gained");
    cr_assert_eq(svm_fifo_cons_rst(&t.c), -ETIMEDOUT);
    t.pl->error = 12345;
    cr_assert_eq(svm_fifo_cons_rst(&t.c), -ECONNRESET, "garbage");
    cr_assert_not(svm_fifo_prod_peer_closed(&t.p));
    svm_fifo_cons_set_closed(&t.c);
    cr_assert(svm_fifo_prod_peer_closed(&t.p));
    pair_close(&t);
}

Test(fifo, at_most_one_event_outstanding)
{
    uint8_t b[100];
    struct pair t;

    pair_open(&t, MAX, AREA, 0);
    svm_fifo_enqueue(&t.p, b, 10);
    cr_assert(svm_fifo_prod_event_due(&t.p));
    svm_fifo_enqueue(&t.p, b, 10);
    cr_assert_not(svm_fifo_prod_event_due(&t.p), "one is on its way");
    svm_fifo_cons_event_taken(&t.c, t.p.evt_seq);
    cr_assert(svm_fifo_cons_arm(&t.c), "there are bytes");
    svm_fifo_dequeue(&t.c, b, 100);
    cr_assert_not(svm_fifo_cons_arm(&t.c));
    svm_fifo_enqueue(&t.p, b, 1);
    cr_assert(svm_fifo_prod_event_due(&t.p));
    pair_close(&t);
}

Test(fifo, region_not_mapped_yet)
{
    uint8_t b[100];
    struct pair t;
    struct svm_region_table client = { .n = 0, .grows = true };

    pair_open(&t, MAX, AREA, 0);
    svm_fifo_cons_init(&t.c, t.cl, t.pl, &client, MAX);
    svm_fifo_enqueue(&t.p, "hello", 5);
    cr_assert_eq(svm_fifo_dequeue(&t.c, b, 100), -ENXIO);
    client.r[0] = t.regions.r[0];
    client.n = 1;
    cr_assert_eq(svm_fifo_dequeue(&t.c, b, 100), 5, "works once the bank is mapped");
    client.grows = false;
    client.n = 0;
    svm_fifo_cons_init(&t.c, t.cl, t.pl, &client, MAX);
    svm_fifo_enqueue(&t.p, "hello", 5);
    cr_assert_eq(svm_fifo_dequeue(&t.c, b, 100), -EPROTO, "where no bank can come it is a violation");
    cr_assert_eq(svm_fifo_cons_avail(&t.c), -EPROTO, "and the half is dead");
    pair_close(&t);
}

static uint32_t hostile_word(uint64_t *seed)
{
    uint32_t r = rnd(seed);

    switch (rnd(seed) % 4) {
    case 0: return r;
    case 1: return r % 64;
    case 2: return r % (AREA >> 6);
    default: return (r % 20) << 16 | (r >> 30);
    }
}

/* One violation at a time: each bound of the contract on its own. */
Test(fifo, each_bound_is_checked)
{
    const uint32_t last = (AREA - 512) >> 6;
    const struct {
        uint32_t offset64;
        uint16_t region;
        uint8_t log2;
        uint32_t start, tail;
        int want;
    } row[] = {
        { last, 0, 9, 0, 100, 100 },            /* the last ring that fits */
        { last + 1, 0, 9, 0, 100, -EPROTO },    /* ends one unit outside */
        { last, 0, 10, 0, 100, -EPROTO },
        { 0xffffffff, 0, 9, 0, 100, -EPROTO },
        { 0, 0, 20, 0, 100, 100 },              /* all of the area */
        { 0, 0, 21, 0, 100, -EPROTO },
        { 0, 0, SVM_RING_MIN_LOG2 - 1, 0, 100, -EPROTO },
        { 0, 0, 0, 0, 100, -EPROTO },           /* no ring, but bytes */
        { 0, 0, 64 + 9, 0, 100, -EPROTO },
        { 0, 1, 9, 0, 100, -EPROTO },
        { 0, 64, 9, 0, 100, -EPROTO },
        { 0, 65535, 9, 0, 100, -EPROTO },
        { 0, 0, 9, 50, 100, -EPROTO },          /* the first 50 are in a previous ring that there is not */
        { 0, 0, 9, 0, 513, -EPROTO },           /* more than the ring holds */
        { 0, 0, 18, 0, MAX, MAX },
        { 0, 0, 18, 0, MAX + 1, -EPROTO },      /* more than may be unread */
        { 0, 0, 18, 0, 0xffffffff, -EPROTO },   /* behind head */
    };
    static uint8_t b[2 * MAX];

    for (size_t i = 0; i < HS_ARRAY_LEN(row); i++) {
        struct pair t;

        pair_open(&t, MAX, AREA, 0);
        t.pl->ring[1] = (struct svm_ring_desc){ .start = row[i].start, .offset64 = row[i].offset64, .region = row[i].region,
                                                .log2 = row[i].log2 };
        t.pl->gen = 1;
        t.pl->tail = row[i].tail;
        cr_assert_eq(svm_fifo_dequeue(&t.c, b, sizeof(b)), row[i].want, "row %zu", i);
        cr_assert_eq(svm_fifo_cons_avail(&t.c), row[i].want < 0 ? -EPROTO : 0, "row %zu", i);
        pair_close(&t);
    }
}

Test(fifo, tail_taken_back)
{
    struct pair t;

    pair_open(&t, MAX, AREA, 0);
    svm_fifo_enqueue(&t.p, "0123456789", 10);
    cr_assert_eq(svm_fifo_cons_avail(&t.c), 10);
    t.pl->tail = 9;
    cr_assert_eq(svm_fifo_cons_avail(&t.c), -EPROTO);
    pair_close(&t);
}

/* Hostile producer: any garbage in its line; the consumer's results stay bounded and inside the area (ASan watches). */
Test(fifo, hostile_producer)
{
    static uint8_t b[MAX];
    uint64_t seed = 4711;
    unsigned protos = 0, fine = 0;

    for (int i = 0; i < 3000; i++) {
        struct pair t;
        uint32_t *words;

        pair_open(&t, MAX, AREA, rnd(&seed));
        svm_fifo_enqueue(&t.p, b, rnd(&seed) % 3000);
        words = (uint32_t *)(void *)t.pl;
        for (int k = 0; k < 40; k++) {
            struct iovec iov[4];
            uint32_t len = rnd(&seed) % (2 * MAX), off = rnd(&seed) % 3 ? 0 : hostile_word(&seed);
            int64_t n = 0;
            int pieces;

            words[rnd(&seed) % 16] = hostile_word(&seed);
            if (rnd(&seed) % 2)
                t.pl->tail = t.c.head + rnd(&seed) % (MAX + MAX / 16);
            pieces = svm_fifo_peek_iov(&t.c, off, len, iov);
            cr_assert(pieces >= -EPROTO && pieces <= 4);
            for (int j = 0; j < pieces; j++) {
                uint8_t *p = iov[j].iov_base;
                cr_assert(p >= t.mem && iov[j].iov_len <= AREA && p + iov[j].iov_len <= t.mem + AREA);
                n += (int64_t)iov[j].iov_len;
            }
            cr_assert(n <= len && n <= MAX);
            n = svm_fifo_dequeue(&t.c, b, len < MAX ? len : MAX);
            cr_assert(n == -EPROTO || (n >= 0 && n <= MAX));
            cr_assert(svm_fifo_cons_rst(&t.c) <= 0);
            svm_fifo_cons_space_due(&t.c);
            svm_fifo_cons_arm(&t.c);
            *(n < 0 ? &protos : &fine) += 1;
            if (n < 0) {
                cr_assert_eq(svm_fifo_dequeue(&t.c, b, 1), -EPROTO);
                cr_assert_eq(svm_fifo_drop(&t.c, 0), -EPROTO);
                break;
            }
        }
        pair_close(&t);
    }
    cr_assert(protos > 100 && fine > 100, "both ways were tried (%u, %u)", protos, fine);
}

Test(fifo, hostile_consumer)
{
    static uint8_t b[MAX];
    uint64_t seed = 815;
    unsigned protos = 0, fine = 0;

    for (int i = 0; i < 3000; i++) {
        struct pair t;
        uint32_t *words;

        pair_open(&t, MAX, AREA, rnd(&seed));
        words = (uint32_t *)(void *)t.cl;
        for (int k = 0; k < 60; k++) {
            uint32_t len = rnd(&seed) % MAX;
            struct iovec iov[2];
            int64_t n;

            words[rnd(&seed) % 16] = hostile_word(&seed);
            t.cl->head = rnd(&seed) % 20 ? t.p.head_seen + rnd(&seed) % (t.p.tail - t.p.head_seen + 1) : rnd(&seed);
            switch (rnd(&seed) % 6) {
            case 0: n = svm_fifo_enqueue_at(&t.p, rnd(&seed) % MAX, b, len); break;
            case 1: n = svm_fifo_reserve(&t.p, len, iov); break;
            case 2: n = svm_fifo_prod_space(&t.p); break;
            case 3: n = svm_fifo_prod_grow(&t.p, len); break;
            default: n = svm_fifo_enqueue(&t.p, b, len);
            }
            svm_fifo_prod_event_due(&t.p);
            svm_fifo_prod_want_space(&t.p, len);
            svm_fifo_prod_give_back(&t.p);
            cr_assert(n <= MAX);
            cr_assert(t.p.failed || t.p.tail - t.p.head_seen <= MAX);
            *(n == -EPROTO ? &protos : &fine) += 1;
            if (n == -EPROTO) {
                cr_assert_eq(svm_fifo_enqueue(&t.p, b, 1), -EPROTO);
                break;
            }
        }
        svm_fifo_prod_fini(&t.p);
        cr_assert_eq(t.alloc.used_bytes, 0, "no ring is lost");
        pair_close(&t);
    }
    cr_assert(protos > 100 && fine > 100, "both ways were tried (%u, %u)", protos, fine);
}
