/* sctp_reconf_test.c - streams that begin anew and are added (RFC 6525), marks of routers (RFC 4960 App. A), autoclose */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/unit/server/sctp/sctp_env.h"

TestSuite(sctp_reconf, .init = env_open, .fini = env_shut);

enum { ALL = SCTP_ENABLE_STRRESET_MASK };

static void begin(bool v4, uint32_t allowed)
{
    env.wanted = SCTP_CT_RECONF;
    env_bind(v4);
    env_listen(v4, true);
    for (unsigned i = 0; i < 2; i++) {
        struct sim_sock *s = i ? env.listener : env.sock[0];
        env_option(s, SCTP_RECONFIG_SUPPORTED, 1);
        env_option(s, SCTP_ENABLE_STREAM_RESET, allowed);
    }
    env_connect(v4);
}
static int reset(unsigned side, uint16_t flags, uint16_t stream)
{
    struct { struct sctp_reset_streams v; uint16_t list[1]; } o = { .v.srs_flags = flags, .v.srs_number_streams = 1, .list = { stream } };
    uint32_t len = sizeof(o.v) + 2;

    return sim_msg_option(env.sock[side], true, SCTP_RESET_STREAMS, &o, &len);
}
static int add(unsigned side, uint16_t in, uint16_t out)
{
    struct sctp_add_streams o = { .sas_instrms = in, .sas_outstrms = out };
    uint32_t len = sizeof(o);

    return sim_msg_option(env.sock[side], true, SCTP_ADD_STREAMS, &o, &len);
}
static uint16_t send_on(unsigned side, uint16_t stream)
{
    struct svm_sctp_info info = { .stream = stream }, got = { 0 };

    cr_assert_eq(sim_msg_send(env.sock[side], &info, env.data, 500, false), 0);
    env_run_us(300000);
    cr_assert_eq(env_recv(env.sock[1 - side], &got), 500);
    return got.u.rx.ssn;
}
static struct sctp_stream_reset_event note(unsigned side)
{
    struct sctp_stream_reset_event e = { 0 };
    const uint8_t *b = env_recv_note(env.sock[side], SCTP_STREAM_RESET_EVENT);

    if (b)
        memcpy(&e, b, sizeof(e));
    return e;
}

/* s5.1.2, s5.2.2: the stream counts from 0 again, the others go on; both programs are told. */
static void outgoing(bool v4)
{
    begin(v4, ALL);
    send_on(0, 3);
    cr_expect_eq(send_on(0, 3), 1);
    send_on(0, 4);
    cr_assert_eq(reset(0, SCTP_STREAM_RESET_OUTGOING, 3), 0);
    cr_expect_eq(reset(0, SCTP_STREAM_RESET_OUTGOING, 3), -EINPROGRESS, "one at a time");
    env_run_us(100000);
    struct sctp_stream_reset_event e = note(0);
    cr_expect(e.strreset_flags == SCTP_STREAM_RESET_OUTGOING_SSN && e.strreset_length == sizeof(e) + 2);
    e = note(1);
    cr_expect(e.strreset_flags == SCTP_STREAM_RESET_INCOMING_SSN && e.strreset_length == sizeof(e) + 2);
    cr_expect_eq(send_on(0, 3), 0);
    cr_expect_eq(send_on(0, 4), 1);
    env_still_works();
}
Test(sctp_reconf, outgoing_v4) { outgoing(true); }
Test(sctp_reconf, outgoing_v6) { outgoing(false); }

/* s5.1.3, s5.2.3: the peer's streams, by its own request. */
static void incoming(bool v4)
{
    begin(v4, ALL);
    send_on(1, 2);
    cr_assert_eq(reset(0, SCTP_STREAM_RESET_INCOMING, 2), 0);
    env_run_us(100000);
    cr_expect_eq(note(0).strreset_flags, SCTP_STREAM_RESET_INCOMING_SSN);
    cr_expect_eq(note(1).strreset_flags, SCTP_STREAM_RESET_OUTGOING_SSN);
    cr_expect_eq(send_on(1, 2), 0);
    cr_expect_null(env_assoc(0)->reconf.req, "answered by the peer's request");
}
Test(sctp_reconf, incoming_v4) { incoming(true); }
Test(sctp_reconf, incoming_v6) { incoming(false); }

/* s5.1.1: a request, or its answer, that is lost; carried out once. */
static void lost(unsigned which)
{
    begin(true, ALL);
    send_on(0, 3);
    env.drop_next = which == 0;
    cr_assert_eq(reset(0, SCTP_STREAM_RESET_OUTGOING, 3), 0);
    if (which) {
        env_run_us(500);
        env.drop_next = 1;
    }
    env_run_us(100000);
    cr_expect_not_null(env_assoc(0)->reconf.req);
    env_run_us(5ull * SCTP_SEC);
    cr_expect_null(env_assoc(0)->reconf.req);
    cr_expect_eq(env_counter(1, SCTP_N_reconfigs), 1);
    cr_expect_eq(send_on(0, 3), 0);
}
Test(sctp_reconf, request_lost) { lost(0); }
Test(sctp_reconf, answer_lost) { lost(1); }

/* RFC 6525 s6.3.1: what the program has not allowed is denied, and said to be so. */
static void denied(bool v4)
{
    struct sctp_stream_change_event c = { 0 };
    const uint8_t *b;

    begin(v4, 0);
    send_on(0, 3);
    cr_assert_eq(reset(0, SCTP_STREAM_RESET_OUTGOING, 3), 0);
    env_run_us(100000);
    cr_expect_eq(note(0).strreset_flags, SCTP_STREAM_RESET_OUTGOING_SSN | SCTP_STREAM_RESET_DENIED);
    cr_expect_eq(send_on(0, 3), 1, "goes on as it was");
    cr_assert_eq(add(0, 0, 5), 0);
    env_run_us(100000);
    b = env_recv_note(env.sock[0], SCTP_STREAM_CHANGE_EVENT);
    cr_assert_not_null(b);
    memcpy(&c, b, sizeof(c));
    cr_expect_eq(c.strchange_flags, SCTP_STREAM_CHANGE_DENIED);
    cr_expect_eq(env_assoc(0)->n_out, 10);
}
Test(sctp_reconf, denied_v4) { denied(true); }
Test(sctp_reconf, denied_v6) { denied(false); }

/* s5.1.2: nothing of the stream may be under way. */
Test(sctp_reconf, not_while_data_is_under_way)
{
    struct svm_sctp_info info = { .stream = 3 };

    begin(true, ALL);
    env.cut_v4 = true;
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 500, false), 0);
    env_run_us(1000);
    cr_expect_eq(reset(0, SCTP_STREAM_RESET_OUTGOING, 3), -EAGAIN);
    cr_expect_eq(reset(0, SCTP_STREAM_RESET_OUTGOING, 99), -EINVAL);
    env.cut_v4 = false;
    env_run_us(5ull * SCTP_SEC);
    cr_expect_eq(reset(0, SCTP_STREAM_RESET_OUTGOING, 3), 0);
    env_run_us(100000);
}

/* s5.1.4, s5.2.4: all numbers begin anew, TSNs far from where they were. */
static void everything(bool v4)
{
    sctp_assoc_t id = 0;
    uint32_t len = sizeof(id), before;

    begin(v4, ALL);
    send_on(0, 3);
    send_on(1, 5);
    before = env_assoc(0)->next_tsn;
    cr_assert_eq(sim_msg_option(env.sock[0], true, SCTP_RESET_ASSOC, &id, &len), 0);
    env_run_us(100000);
    cr_expect_not_null(env_recv_note(env.sock[0], SCTP_ASSOC_RESET_EVENT));
    cr_expect_not_null(env_recv_note(env.sock[1], SCTP_ASSOC_RESET_EVENT));
    cr_expect_eq(env_assoc(0)->next_tsn, before + (1u << 31));
    cr_expect_eq(send_on(0, 3), 0);
    cr_expect_eq(send_on(1, 5), 0);
    env_still_works();
}
Test(sctp_reconf, everything_v4) { everything(true); }
Test(sctp_reconf, everything_v6) { everything(false); }

/* s5.1.5, s5.1.6, s5.2.5, s5.2.6: more streams, of both directions. */
static void more(bool v4)
{
    begin(v4, ALL);
    cr_assert_eq(add(0, 3, 5), 0);
    env_run_us(100000);
    cr_expect(env_assoc(0)->n_out == 15 && env_assoc(1)->n_in == 15, "%u %u", env_assoc(0)->n_out, env_assoc(1)->n_in);
    cr_expect(env_assoc(1)->n_out == 13 && env_assoc(0)->n_in == 13, "%u %u", env_assoc(1)->n_out, env_assoc(0)->n_in);
    cr_expect_not_null(env_recv_note(env.sock[1], SCTP_STREAM_CHANGE_EVENT));
    cr_expect_eq(send_on(0, 14), 0);
    cr_expect_eq(send_on(1, 12), 0);
    cr_expect_eq(add(0, 0, 65530), -EINVAL);
}
Test(sctp_reconf, more_v4) { more(true); }
Test(sctp_reconf, more_v6) { more(false); }

/* s5.2.1: what was answered is answered again as it was; any other number is told to be wrong. Nonsense is counted and does no harm. */
Test(sctp_reconf, numbers_and_nonsense)
{
    static const uint8_t bad[][16] = {
        { SCTP_CT_RECONF, 0, 0, 8, 0, SCTP_P_OUT_RESET, 0, 4 },                 /* too short for what it is */
        { SCTP_CT_RECONF, 0, 0, 12, 0, SCTP_P_TSN_RESET, 0, 60, 1, 2, 3, 4 },   /* longer than the chunk */
        { SCTP_CT_RECONF, 0, 0, 8, 0, 99, 0, 4 },
        { SCTP_CT_RECONF, 0, 0, 8, 0, SCTP_P_ADD_OUT, 0, 0 },
    };
    uint64_t out;

    begin(true, ALL);
    cr_assert_eq(add(0, 0, 1), 0);
    env_run_us(100000);
    cr_assert_eq(env_assoc(1)->n_in, 11);
    env.wanted = UINT8_MAX;
    out = env_counter(1, SCTP_N_tx_packets);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_tx_packets), out + 1, "the same answer");
    cr_expect_eq(env_assoc(1)->n_in, 11, "not done twice");
    sctp_put32(env.frame + env_sctp_at(env.frame) + SCTP_COMMON_LEN + 8, 0x12345678);
    env_fix_crc(env.frame, env.frame_len);
    env_inject();
    cr_expect_eq(env_assoc(1)->n_in, 11);
    for (unsigned i = 0; i < HS_ARRAY_LEN(bad); i++) {
        uint32_t at = env_sctp_at(env.frame) + SCTP_COMMON_LEN;
        memcpy(env.frame + at, bad[i], sizeof(bad[i]));
        env.frame_len = at + sctp_pad(sctp_get16(bad[i] + 2));
        sctp_put16(env.frame + ENV_ETH + 2, env.frame_len - ENV_ETH);
        env_fix_crc(env.frame, env.frame_len);
        cr_assert_eq(sim_link_inject(env.pair.link, 1, env.frame, env.frame_len), 0);
        env_run_us(10000);
    }
    cr_expect_eq(env_n_assocs(1), 1);
    env_still_works();
}

/* s5.2.2: what belongs before the reset is waited for. */
Test(sctp_reconf, reset_waits_for_data)
{
    begin(true, ALL);
    send_on(0, 3);
    cr_assert_eq(reset(0, SCTP_STREAM_RESET_OUTGOING, 3), 0);
    env_run_us(100000);
    uint32_t at = env_sctp_at(env.frame) + SCTP_COMMON_LEN;
    sctp_put32(env.frame + at + 8, env_assoc(1)->reconf.peer_seq);       /* a new one, */
    sctp_put32(env.frame + at + 16, env_assoc(1)->cum_tsn + 1);          /* behind data that has not come */
    env_fix_crc(env.frame, env.frame_len);
    cr_expect_eq(env_counter(1, SCTP_N_reconfigs), 1);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_reconfigs), 1);
    send_on(0, 3);
    sctp_put32(env.frame + at + 16, env_assoc(1)->cum_tsn);
    env_fix_crc(env.frame, env.frame_len);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_reconfigs), 2);
}

/* ---- marks of routers ---- */

static void marked(bool v4)
{
    struct svm_sctp_info info = { .stream = 2 }, got;
    uint32_t at, cwnd;

    env.wanted = SCTP_CT_DATA;
    env_connect(v4);
    for (unsigned i = 0; i < 60; i++) {
        cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 1400, false), 0);
        env_run_us(i < 59 ? 20000 : 500000);
        while (env_recv(env.sock[1], &got) > 0)
            ;
    }
    uint8_t tos = v4 ? env.frame[ENV_ETH + 1] : (uint8_t)(env.frame[ENV_ETH] << 4 | env.frame[ENV_ETH + 1] >> 4);
    cr_expect_eq(tos & 3, 2, "ECT(0)");
    at = env_sctp_at(env.frame);
    sctp_put32(env.frame + at + SCTP_COMMON_LEN + 4, env_assoc(1)->cum_tsn); /* a copy of the last one, that was marked on its way */
    if (v4) { /* with the sum of the header made right */
        env.frame[ENV_ETH + 1] |= 3;
        uint32_t sum = sctp_get16(env.frame + ENV_ETH + 10);
        sum = sum > 1 ? sum - 1 : sum + 0xfffe;
        sctp_put16(env.frame + ENV_ETH + 10, sum);
    } else {
        env.frame[ENV_ETH + 1] |= 0x30;
    }
    env_fix_crc(env.frame, env.frame_len);
    env.wanted = SCTP_CT_CWR;
    env_assoc(0)->primary->cwnd = cwnd = 60000;
    env_inject();
    cr_expect_lt(env_assoc(0)->primary->cwnd, cwnd, "told, and heeded");
    cr_expect_eq(env_counter(0, SCTP_N_ecn_reductions), 1);
    cr_expect(!env_assoc(1)->ecn_echo, "and the receiver knows that");
    env_still_works();
}
Test(sctp_reconf, marked_v4) { marked(true); }
Test(sctp_reconf, marked_v6) { marked(false); }

/* Not when one side does not want it. */
Test(sctp_reconf, no_ecn)
{
    env.wanted = SCTP_CT_DATA;
    env_bind(true);
    env_option(env.sock[0], SCTP_ECN_SUPPORTED, 0);
    env_connect(true);
    env_send_one();
    cr_expect_eq(env.frame[ENV_ETH + 1] & 3, 0);
}

/* ---- RFC 6458 s8.1.8 ---- */
static void autoclose(bool v4)
{
    struct svm_sctp_info got;

    env_bind(v4);
    env_option(env.sock[0], SCTP_AUTOCLOSE, 5);
    env_connect(v4);
    for (unsigned i = 0; i < 4; i++) {
        env_run_us(3ull * SCTP_SEC);
        env_still_works(); /* in use */
    }
    env_run_us(6ull * SCTP_SEC);
    cr_expect_eq(env_recv(env.sock[1], &got), 0, "in order");
    cr_expect_eq(env_n_assocs(0) + env_n_assocs(1), 0);
}
Test(sctp_reconf, autoclose_v4) { autoclose(true); }
Test(sctp_reconf, autoclose_v6) { autoclose(false); }
