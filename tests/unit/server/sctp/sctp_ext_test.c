/* sctp_ext_test.c - I-DATA and schedulers (RFC 8260), policies of RFC 7496, and what a peer's order of things may cost */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/server/sctp/sctp_env.h"

TestSuite(sctp_ext, .init = env_open, .fini = env_shut);

/* ---- the index ---- */

static unsigned depth_of(const struct sctp_node *n)
{
    unsigned d = 0;

    for (; n; n = n->parent)
        d++;
    return d;
}

/* In whatever order keys come: no search takes more than a few steps, and the order is right. */
static void index_order(uint32_t (*key)(uint32_t i))
{
    enum { N = 65536 };
    struct sctp_node *all = calloc(N, sizeof(*all));
    struct sctp_index x = { 0 };
    uint64_t seed = 1;
    unsigned deepest = 0;

    for (uint32_t i = 0; i < N; i++) {
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        all[i].key = UINT32_MAX - 1000 + key(i); /* over the end of the numbers */
        all[i].prio = (uint32_t)(seed >> 32);
        sctp_index_add(&x, sctp_index_upto(&x, all[i].key), &all[i]);
    }
    for (uint32_t i = 0; i < N; i++) {
        unsigned d = depth_of(&all[i]);
        deepest = d > deepest ? d : deepest;
        cr_assert_eq(sctp_index_upto(&x, all[i].key), &all[i]);
    }
    cr_expect_lt(deepest, 64, "%u steps", deepest);
    for (uint32_t i = 0; i < N; i += 2)
        sctp_index_del(&x, &all[i]);
    for (uint32_t i = 0; i < N; i++)
        cr_assert_eq(sctp_index_upto(&x, all[i].key) == &all[i], i % 2 == 1);
    for (uint32_t i = 1; i < N; i += 2)
        sctp_index_del(&x, &all[i]);
    cr_expect_null(x.root);
    free(all);
}
static uint32_t rising(uint32_t i) { return i; }
static uint32_t falling(uint32_t i) { return 65535 - i; }
static uint32_t inwards(uint32_t i) { return i % 2 ? 65535 - i / 2 : i / 2; }
static uint32_t scattered(uint32_t i) { return (i * 40503u) & 65535; }
Test(sctp_index, rising) { index_order(rising); }
Test(sctp_index, falling) { index_order(falling); }
Test(sctp_index, inwards) { index_order(inwards); }
Test(sctp_index, scattered) { index_order(scattered); }

/* Three keys of which each is before the next, in a circle: nothing is lost, all can be removed. */
Test(sctp_index, circle)
{
    struct sctp_node n[3] = { { .key = 0, .prio = 5 }, { .key = 0x60000000, .prio = 9 }, { .key = 0xc0000000, .prio = 7 } };
    struct sctp_index x = { 0 };

    for (unsigned i = 0; i < 3; i++)
        sctp_index_add(&x, sctp_index_upto(&x, n[i].key), &n[i]);
    for (unsigned i = 0; i < 3; i++)
        sctp_index_del(&x, &n[i]);
    cr_expect_null(x.root);
}

/* ---- reassembly of what comes in the worst order ---- */

static uint32_t data_put(uint8_t *b, uint8_t flags, uint32_t tsn, uint16_t stream, uint16_t ssn, uint8_t byte)
{
    memset(b, 0, 20);
    b[0] = SCTP_CT_DATA;
    b[1] = flags;
    sctp_put16(b + 2, 17);
    sctp_put32(b + 4, tsn);
    sctp_put16(b + 8, stream);
    sctp_put16(b + 10, ssn);
    b[16] = byte;
    return 20;
}

/* A message of single bytes, its last fragment first: put together, each byte in its place. */
static void backwards(bool v4, uint8_t kind)
{
    enum { N = 1000, PER_PACKET = 20 };
    struct svm_sctp_info got;
    uint8_t b[PER_PACKET * 20];
    uint32_t first, at = 0;
    int64_t n;
    bool more;

    env.wanted = SCTP_CT_DATA;
    env_connect(v4);
    env_send_one();
    first = env_assoc(1)->cum_tsn + 1;
    env.cut_v4 = env.cut_v6 = true; /* the sender, which would be surprised by the SACKs, hears nothing */
    for (int i = N - 1; i >= 0; i -= PER_PACKET) {
        for (int k = 0; k < PER_PACKET; k++) {
            int no = i - k;
            data_put(b + k * 20, (uint8_t)(kind | (no == 0 ? SCTP_DATA_B : 0) | (no == N - 1 ? SCTP_DATA_E : 0)), first + (uint32_t)no, 3, 0,
                     (uint8_t)(no * 7));
        }
        env_chunks(b, sizeof(b));
        cr_assert_eq(sim_link_inject(env.pair.link, 1, env.frame, env.frame_len), 0);
        env_run_us(100);
    }
    env_run_us(10000);
    do { /* many fragments are many records */
        n = sim_msg_recv(env.sock[1], &got, env.buf, sizeof(env.buf), &more);
        cr_assert_gt(n, 0);
        for (int64_t i = 0; i < n && !(got.flags & SCTP_NOTIFICATION); i++, at++)
            cr_assert_eq(env.buf[i], (uint8_t)(at * 7), "byte %u", at);
    } while (more || (got.flags & SCTP_NOTIFICATION));
    cr_expect_eq(at, N);
    cr_expect_eq(env_assoc(1)->held, 0);
}
Test(sctp_ext, backwards_ordered_v4) { backwards(true, 0); }
Test(sctp_ext, backwards_ordered_v6) { backwards(false, 0); }
Test(sctp_ext, backwards_unordered_v4) { backwards(true, SCTP_DATA_U); }
Test(sctp_ext, backwards_unordered_v6) { backwards(false, SCTP_DATA_U); }

/* RFC 3758 s3.6: jumps of the cumulative TSN, and of what is behind it, leave the map as it should be. */
Test(sctp_ext, forward_tsn_jumps)
{
    uint8_t b[60];
    uint32_t cum, len;

    env.wanted = SCTP_CT_DATA;
    env_connect(true);
    env_send_one();
    env.cut_v4 = env.cut_v6 = true;
    cum = env_assoc(1)->cum_tsn;
    len = data_put(b, 7, cum + 3, 3, 0, 1);
    len += data_put(b + len, 7, cum + 300, 3, 0, 1);
    env_chunks(b, len);
    env_inject();
    cr_assert_eq(env_assoc(1)->n_above, 2);
    static const struct { uint32_t to, cum, above; } steps[] = { { 1, 1, 2 }, { 2, 3, 1 }, { 298, 298, 1 }, { 299, 300, 0 }, { 60000, 60000, 0 } };
    for (unsigned i = 0; i < HS_ARRAY_LEN(steps); i++) {
        uint8_t f[8] = { SCTP_CT_FORWARD_TSN, 0, 0, 8 };
        sctp_put32(f + 4, cum + steps[i].to);
        env_chunks(f, sizeof(f));
        env_inject();
        cr_expect_eq(env_assoc(1)->cum_tsn, cum + steps[i].cum, "step %u", i);
        cr_expect_eq(env_assoc(1)->n_above, steps[i].above, "step %u", i);
    }
    uint8_t sacks[2 * 16] = { SCTP_CT_SACK, 0, 0, 16 };
    sctp_put32(sacks + 4, env_assoc(1)->cum_acked);
    sctp_put32(sacks + 8, 65536);
    memcpy(sacks + 16, sacks, 16);
    env_chunks(sacks, sizeof(sacks));
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_sack), 1, "one a packet is enough");
}

/* ---- I-DATA (RFC 8260 s2) ---- */

static void interleaved(bool v4, bool server_too)
{
    env_bind(v4);
    env_listen(v4, true);
    env_option(env.sock[0], SCTP_INTERLEAVING_SUPPORTED, 1);
    if (server_too)
        env_option(env.listener, SCTP_INTERLEAVING_SUPPORTED, 1);
    env_connect(v4);
}
static uint32_t number_of(struct sim_sock *s, uint16_t opt)
{
    struct sctp_assoc_value v = { 0 };
    uint32_t len = sizeof(v);

    cr_assert_eq(sim_msg_option(s, false, opt, &v, &len), 0);
    return v.assoc_value;
}

static void idata(bool v4)
{
    env.wanted = SCTP_CT_IDATA;
    interleaved(v4, true);
    cr_expect(number_of(env.sock[0], SCTP_INTERLEAVING_SUPPORTED) == 1 && number_of(env.sock[1], SCTP_INTERLEAVING_SUPPORTED) == 1);
    env_still_works();
    cr_expect_gt(env.frame_len, 0, "I-DATA on the wire");
}
Test(sctp_ext, idata_v4) { idata(true); }
Test(sctp_ext, idata_v6) { idata(false); }

/* s2.2.1: when only one side wants it there is none. */
Test(sctp_ext, idata_one_side)
{
    env.wanted = SCTP_CT_DATA;
    interleaved(true, false);
    cr_expect_eq(number_of(env.sock[0], SCTP_INTERLEAVING_SUPPORTED), 0);
    env_still_works();
    cr_expect_gt(env.frame_len, 0);
}

/* s2.2.1: DATA where I-DATA was agreed is a protocol violation. */
Test(sctp_ext, data_among_idata)
{
    uint8_t b[20];

    env.wanted = SCTP_CT_IDATA;
    interleaved(true, true);
    env_send_one();
    data_put(b, 3, env_assoc(1)->cum_tsn + 1, 1, 0, 1);
    env_chunks(b, sizeof(b));
    env_inject();
    cr_expect_eq(env_n_assocs(1), 0);
    cr_expect_eq(env_counter(1, SCTP_N_drop_data_bad), 1);
}

/* s1, s2.2.2: with I-DATA and round robin a small message is not kept waiting by a large one of another stream. Without, it is. */
static unsigned place_of_small(bool with)
{
    struct svm_sctp_info large = { .stream = 1 }, small = { .stream = 2 }, got;
    unsigned place = 0;
    bool more;

    if (with)
        interleaved(true, true);
    else
        env_connect(true);
    env_option(env.sock[0], SCTP_STREAM_SCHEDULER, SCTP_SS_RR);
    cr_assert_eq(sim_msg_send(env.sock[0], &large, env.data, 60000, false), 0);
    cr_assert_eq(sim_msg_send(env.sock[0], &small, env.data, 100, false), 0);
    for (unsigned tries = 0; tries < 100; tries++) {
        int64_t n = sim_msg_recv(env.sock[1], &got, env.buf, sizeof(env.buf), &more);
        if (n > 0 && !(got.flags & SCTP_NOTIFICATION) && ++place && got.stream == 2)
            return place;
        if (n == -EAGAIN)
            env_run_us(10000);
    }
    return 0;
}
Test(sctp_ext, small_overtakes_with_idata) { cr_expect_eq(place_of_small(true), 1); }
Test(sctp_ext, small_waits_without) { cr_expect_eq(place_of_small(false), 2); }

/* ---- schedulers (RFC 8260 s3) ---- */

/* Written while nothing is sent yet; the order in which messages arrive is the scheduler's. */
static void order(uint32_t scheduler, const uint16_t values[3], const char *want)
{
    struct svm_sctp_info info = { 0 }, got;
    char came[32] = "";
    unsigned n = 0;

    env_bind(true);
    env_option(env.sock[0], SCTP_STREAM_SCHEDULER, scheduler);
    env_connect(true);
    for (uint16_t i = 0; values && i < 3; i++) {
        struct sctp_stream_value v = { .stream_id = i, .stream_value = values[i] };
        uint32_t len = sizeof(v);
        cr_assert_eq(sim_msg_option(env.sock[0], true, SCTP_STREAM_SCHEDULER_VALUE, &v, &len), 0);
    }
    env.cut_v4 = true;
    info.stream = 9;
    for (unsigned i = 0; i < 4; i++) /* fills the window */
        cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 1400, false), 0);
    env_run_us(1000);
    for (unsigned i = 0; i < 9; i++) { /* three messages of each stream, one stream after the other; those of stream 2 are short */
        info.stream = (uint16_t)(i / 3);
        cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, info.stream == 2 ? 700 : 1400, false), 0);
    }
    env_run_us(1000);
    env.cut_v4 = false;
    for (unsigned tries = 0; n < 9 && tries < 200; tries++) {
        env_run_us(100000);
        while (env_recv(env.sock[1], &got) > 0)
            if (got.stream != 9)
                came[n++] = (char)('0' + got.stream);
    }
    cr_expect_str_eq(came, want);
}
Test(sctp_ext, first_come) { order(SCTP_SS_FCFS, NULL, "000111222"); }
Test(sctp_ext, round_robin) { order(SCTP_SS_RR, NULL, "012012012"); }
Test(sctp_ext, priority) { order(SCTP_SS_PRIO, (const uint16_t[]){ 3, 1, 2 }, "111222000"); }
Test(sctp_ext, fair_bandwidth) { order(SCTP_SCHED_FAIR, NULL, "012201201"); }
Test(sctp_ext, weighted) { order(SCTP_SCHED_WEIGHTED, (const uint16_t[]){ 4, 1, 1 }, "012020121"); }

Test(sctp_ext, scheduler_values)
{
    struct sctp_stream_value v = { .stream_id = 3, .stream_value = 0 };
    struct sctp_assoc_value av = { .assoc_value = SCTP_SCHED_WEIGHTED + 1 };
    uint32_t len = sizeof(v);

    env_connect(true);
    env_option(env.sock[0], SCTP_STREAM_SCHEDULER, SCTP_SCHED_WEIGHTED);
    cr_expect_eq(sim_msg_option(env.sock[0], true, SCTP_STREAM_SCHEDULER_VALUE, &v, &len), -EINVAL, "no weight");
    v.stream_value = 7;
    cr_expect_eq(sim_msg_option(env.sock[0], true, SCTP_STREAM_SCHEDULER_VALUE, &v, &len), 0);
    v.stream_value = 0;
    cr_expect_eq(sim_msg_option(env.sock[0], false, SCTP_STREAM_SCHEDULER_VALUE, &v, &len), 0);
    cr_expect_eq(v.stream_value, 7);
    v.stream_id = 10;
    cr_expect_eq(sim_msg_option(env.sock[0], true, SCTP_STREAM_SCHEDULER_VALUE, &v, &len), -EINVAL, "no such stream");
    len = sizeof(av);
    cr_expect_eq(sim_msg_option(env.sock[0], true, SCTP_STREAM_SCHEDULER, &av, &len), -EINVAL);
}

/* ---- RFC 7496 s4.3: what is less important gives way when the queue is full ---- */

static void less_important(bool v4)
{
    struct svm_sctp_info info = { .stream = 1 }, got;
    struct sctp_prstatus st = { .sprstat_policy = SCTP_PR_SCTP_PRIO };
    uint32_t len = sizeof(st);
    unsigned n = 0;

    env_connect(v4);
    env.cut_v4 = env.cut_v6 = true;
    info.u.tx.pr_valid = 1;
    info.u.tx.pr_policy = SCTP_PR_SCTP_PRIO;
    info.u.tx.pr_value = 9;
    for (unsigned i = 0; i < 135; i++) {
        cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 1000, false), 0);
        env_run_us(100);
    }
    info.u.tx.pr_value = 2;
    info.ppid = 4711;
    for (unsigned i = 0; i < 50; i++) {
        cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 1000, false), 0);
        env_run_us(100);
    }
    cr_assert_eq(sim_msg_option(env.sock[0], false, SCTP_PR_ASSOC_STATUS, &st, &len), 0);
    cr_expect_gt(st.sprstat_abandoned_unsent, 100);
    cr_expect_eq(st.sprstat_abandoned_sent, 0);
    cr_expect_not_null(env_recv_note(env.sock[0], SCTP_SEND_FAILED_EVENT));
    env.cut_v4 = env.cut_v6 = false;
    env_run_us(60ull * SCTP_SEC);
    while (env_recv(env.sock[1], &got) == 1000)
        n += got.ppid == 4711;
    cr_expect_eq(n, 50, "the important ones have all arrived");
    st = (struct sctp_prstatus){ .sprstat_policy = SCTP_PR_SCTP_PRIO, .sprstat_sid = 1 };
    cr_assert_eq(sim_msg_option(env.sock[0], false, SCTP_PR_STREAM_STATUS, &st, &len), 0);
    cr_expect_gt(st.sprstat_abandoned_unsent, 100);
    env_still_works();
}
Test(sctp_ext, less_important_v4) { less_important(true); }
Test(sctp_ext, less_important_v6) { less_important(false); }
