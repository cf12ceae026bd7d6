/* app_memory_test.c - slots and rings of a client worker: kept for the next session, given back with the last one */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "server/app/app_internal.h"

enum { SLOTS = 256, AREA = 1 << 20 };

static struct app_server as = { .opt = { .max_sessions = 1000, .max_banks = 1 } };
static struct app_port port;
static struct worker w = { .app = &port };
static struct app_client *c;
static struct app_port_client *pc;

static void setup(void)
{
    size_t lines = SLOTS * sizeof(struct svm_slot_srv);
    struct app_bank *b;

    c = calloc(1, sizeof(*c) + sizeof(c->per[0]));
    b = &c->bank[0];
    c->as = &as;
    c->n_banks = 1;
    c->rx_fifo_size = c->tx_fifo_size = 1 << 20;
    pthread_spin_init(&c->lock, PTHREAD_PROCESS_PRIVATE);
    cr_assert_eq(svm_segment_create(&b->s, "t-s", lines + AREA, lines, false), 0);
    cr_assert_eq(svm_segment_create(&b->c, "t-c", lines + AREA, lines, false), 0);
    cr_assert_eq(app_memory_bank_init(b, SLOTS), 0);
    b->seg_id = 7;
    b->is_mapped = true;
    svm_ring_alloc_init(&c->rings);
    cr_assert_eq(svm_ring_alloc_add(&c->rings, 0, lines, AREA, -1, false), 0);
    c->rx_regions.r[0] = (struct svm_region){ b->s.base, b->s.size };
    c->rx_regions.n = 1;
    pc = &c->per[0];
    pc->client = c;
    pc->w = &w;
    port.w = &w;
}

static void teardown(void)
{
    svm_ring_alloc_fini(&c->rings);
    svm_segment_unmap(&c->bank[0].s);
    svm_segment_unmap(&c->bank[0].c);
    free(c->bank[0].slot_next);
    free(c);
}

TestSuite(app_memory, .init = setup, .fini = teardown);

static struct app_fifos open_one(uint32_t bytes, struct svm_fifo_prod *rx)
{
    static const uint8_t data[4096];
    struct app_fifos f;

    cr_assert_eq(app_memory_fifos_alloc(&w, &pc->aw, &f), 0);
    pc->aw.n_fifos++;
    svm_fifo_prod_init(rx, f.rx_prod, f.rx_cons, f.rx_regions, f.ring_ops, f.ring_ctx, f.rx_max);
    cr_assert_eq(svm_fifo_enqueue(rx, data, bytes), bytes);
    return f;
}

static void close_one(const struct app_fifos *f, struct svm_fifo_prod *rx)
{
    svm_fifo_prod_fini(rx);
    pc->aw.n_fifos--;
    app_memory_fifos_free(&w, &pc->aw, &f->slot);
}

Test(app_memory, the_next_session_gets_what_the_last_one_had)
{
    struct svm_fifo_prod stays, rx;
    struct app_fifos first = open_one(64, &stays), a = open_one(64, &rx), b;
    const uint8_t *ring = rx.data;

    cr_assert_eq(pc->ring_bytes, 256);
    a.rx_prod->tail = 99;
    close_one(&a, &rx);
    cr_assert_eq(pc->ring_bytes, 128, "what is kept is in nobody's use");
    cr_assert_eq(c->rings.used_bytes, 256);
    b = open_one(64, &rx);
    cr_assert(b.slot.slot == a.slot.slot && b.slot.seg_id == a.slot.seg_id);
    cr_assert_eq(rx.data, ring);
    cr_assert_eq(b.rx_prod->error, 0);
    cr_assert_eq(b.rx_prod->tail, 64, "and it was cleared before");
    close_one(&b, &rx);
    close_one(&first, &stays);
    cr_assert_eq(pc->ring_bytes, 0);
    cr_assert_eq(c->rings.used_bytes, 0, "without any session nothing is kept");
    cr_assert_eq(c->n_slots_used, 0);
}

Test(app_memory, what_is_kept_is_bounded)
{
    enum { N = 200 };
    static struct svm_fifo_prod rx[N];
    static struct app_fifos f[N];
    static bool has[SLOTS];

    for (unsigned i = 0; i < N; i++)
        f[i] = open_one(i % 2 ? 64 : 3000, &rx[i]);
    for (unsigned i = 1; i < N; i++)
        close_one(&f[i], &rx[i]);
    cr_assert_leq(pc->spares.n_slots, APP_SPARES);
    cr_assert_leq(c->rings.used_bytes, 4096 + APP_SPARES * 128 + APP_SPARE_BYTES);
    for (unsigned i = 1; i < N; i++) {
        f[i] = open_one(64, &rx[i]);
        cr_assert_not(has[f[i].slot.slot], "each slot is of one session");
        has[f[i].slot.slot] = true;
    }
    cr_assert_leq(c->bank[0].high, N);
    for (unsigned i = 0; i < N; i++)
        close_one(&f[i], &rx[i]);
    cr_assert_eq(c->rings.used_bytes, 0);
    cr_assert_eq(c->n_slots_used, 0);
    cr_assert_eq(pc->ring_bytes, 0);
}

Test(app_memory, a_bank_that_the_client_has_not_mapped_is_not_used)
{
    struct app_fifos f;

    c->bank[0].is_mapped = false;
    cr_assert_eq(app_memory_fifos_alloc(&w, &pc->aw, &f), -ENOBUFS);
    cr_assert_eq(c->n_slots_used, 0);
}
