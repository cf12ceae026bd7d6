/* msgq_test.c - message queue: order, fullness, turn of the counters, hostile counters and descriptors, sleep announcements */
#include <criterion/criterion.h>
#include <errno.h>
#include "svm/svm_msgq.h"
#include "tests/unit/svm/svm_test.h"

enum { LOG2 = 4, N = 1 << LOG2, PROD = 64 + 64 * N, CONS = 64 };

struct q {
    uint8_t *prod, *cons;
    struct svm_msgq_desc d;
    struct svm_msgq_prod p;
    struct svm_msgq_cons c;
};

static void q_open(struct q *q, uint32_t first)
{
    q->prod = aligned_alloc(64, PROD);
    q->cons = aligned_alloc(64, CONS);
    memset(q->prod, 0, PROD);
    memset(q->cons, 0, CONS);
    memcpy(q->prod, &first, 4);
    memcpy(q->cons, &first, 4);
    q->d = (struct svm_msgq_desc){ .prod_off = 0, .entries_off = 64, .cons_off = 0, .log2 = LOG2 };
    cr_assert_eq(svm_msgq_prod_init(&q->p, &q->d, q->prod, PROD, q->cons, CONS), 0);
    cr_assert_eq(svm_msgq_cons_init(&q->c, &q->d, q->prod, PROD, q->cons, CONS), 0);
}

static void q_close(struct q *q)
{
    free(q->prod);
    free(q->cons);
}

Test(msgq, order_and_fullness)
{
    uint64_t seed = 5, posted = 0, taken = 0;
    struct svm_msg m = { 0 }, out[N];
    struct q q;

    q_open(&q, 0u - 1000);
    for (int i = 0; i < 20000; i++) {
        if (rnd(&seed) % 2) {
            int rc;

            m.u.value = (int64_t)posted;
            rc = svm_msgq_post(&q.p, &m);
            cr_assert_eq(rc, posted - taken < N ? 0 : -EAGAIN);
            posted += rc == 0;
        } else {
            int max = (int)(rnd(&seed) % 6), n = svm_msgq_take(&q.c, out, max);

            cr_assert(n >= 0 && n <= max);
            cr_assert(n > 0 || max == 0 || posted == taken);
            for (int k = 0; k < n; k++)
                cr_assert_eq(out[k].u.value, (int64_t)taken++);
        }
        cr_assert_eq(svm_msgq_is_empty(&q.c), posted == taken);
        cr_assert_eq(svm_msgq_free(&q.p), N - (posted - taken));
    }
    q_close(&q);
}

Test(msgq, hostile_counters)
{
    struct svm_msg m = { 0 }, out[4];
    struct q q;

    q_open(&q, 0);
    *(uint32_t *)(void *)q.prod = N + 1;
    cr_assert_eq(svm_msgq_take(&q.c, out, 4), -EPROTO);
    *(uint32_t *)(void *)q.prod = 1;
    cr_assert_eq(svm_msgq_take(&q.c, out, 4), -EPROTO, "dead for good");
    q_close(&q);
    q_open(&q, 0);
    for (int i = 0; i < N; i++)
        cr_assert_eq(svm_msgq_post(&q.p, &m), 0);
    *(uint32_t *)(void *)q.cons = N + 1;
    cr_assert_eq(svm_msgq_post(&q.p, &m), -EPROTO);
    cr_assert_eq(svm_msgq_free(&q.p), 0);
    q_close(&q);
    q_open(&q, 0);
    for (int i = 0; i < N; i++)
        svm_msgq_post(&q.p, &m);
    *(uint32_t *)(void *)q.cons = 5;
    cr_assert_eq(svm_msgq_free(&q.p), 5);
    *(uint32_t *)(void *)q.cons = 4;
    cr_assert_eq(svm_msgq_free(&q.p), 0);
    cr_assert_eq(svm_msgq_post(&q.p, &m), -EPROTO, "head went back");
    q_close(&q);
}

Test(msgq, bad_descriptors)
{
    struct svm_msgq_prod p;
    struct svm_msg m = { 0 };
    struct q q;
    const struct svm_msgq_desc bad[] = {
        { .entries_off = 64, .log2 = 3 },
        { .entries_off = 64, .log2 = 21 },
        { .entries_off = 64, .log2 = 0xffffffff },
        { .entries_off = 64, .log2 = 5 },
        { .entries_off = 128, .log2 = 4 },
        { .entries_off = 65, .log2 = 4 },
        { .entries_off = UINT64_MAX - 63, .log2 = 4 },
        { .entries_off = 64, .prod_off = PROD, .log2 = 4 },
        { .entries_off = 64, .prod_off = 4, .log2 = 4 },
        { .entries_off = 64, .cons_off = 64, .log2 = 4 },
        { .entries_off = 64, .cons_off = UINT64_MAX - 63, .log2 = 4 },
    };

    q_open(&q, 0);
    for (size_t i = 0; i < HS_ARRAY_LEN(bad); i++) {
        cr_assert_eq(svm_msgq_prod_init(&p, &bad[i], q.prod, PROD, q.cons, CONS), -EPROTO, "%zu", i);
        cr_assert_eq(svm_msgq_post(&p, &m), -EPROTO, "unusable");
        cr_assert_eq(svm_msgq_cons_init(&q.c, &bad[i], q.prod, PROD, q.cons, CONS), -EPROTO, "%zu", i);
    }
    q_close(&q);
}

Test(msgq, sleep_rings_once)
{
    struct svm_sleep_line line = { 0 };
    uint32_t last = 0;

    cr_assert_not(svm_sleep_must_ring(&line, &last));
    svm_sleep_begin(&line);
    cr_assert(svm_sleep_must_ring(&line, &last));
    cr_assert_not(svm_sleep_must_ring(&line, &last), "once a sleep");
    svm_sleep_end(&line);
    cr_assert_not(svm_sleep_must_ring(&line, &last));
    svm_sleep_begin(&line);
    svm_sleep_begin(&line);
    cr_assert(svm_sleep_must_ring(&line, &last), "a second announcement is a new sleep");
    svm_sleep_end(&line);
    svm_sleep_end(&line);
    cr_assert_eq(line.seq % 2, 0);
}

Test(msgq, a_nap_needs_no_bell_for_what_can_wait)
{
    struct svm_sleep_line line = { 0 };
    uint32_t last = 0;

    svm_nap_begin(&line);
    cr_assert_not(svm_sleep_must_ring_late(&line, &last));
    cr_assert(svm_sleep_must_ring(&line, &last), "other news still wakes it");
    svm_sleep_end(&line);
    cr_assert_not(svm_sleep_must_ring_late(&line, &last), "awake");
    svm_sleep_begin(&line);
    cr_assert(svm_sleep_must_ring_late(&line, &last), "a sleep without an end");
    svm_sleep_end(&line);
}

Test(msgq, is_behind)
{
    struct svm_msg m = { .type = 1 };
    struct q q;

    q_open(&q, 0);
    for (uint32_t i = 0; i < 3; i++) {
        cr_assert_not(svm_msgq_is_behind(&q.p, i));
        cr_assert_eq(svm_msgq_post(&q.p, &m), 0);
        cr_assert(svm_msgq_is_behind(&q.p, i));
    }
    cr_assert_eq(svm_msgq_take(&q.c, &m, 1), 1);
    cr_assert_not(svm_msgq_is_behind(&q.p, 2));
    cr_assert(svm_msgq_is_behind(&q.p, 1));
    q_close(&q);
}
