/* sctp_guard_test.c - packets with one thing wrong: each counted under its reason, none disturbs the association; a path that is cut;
 * messages that are given up */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>

#include "tests/unit/server/sctp/sctp_env.h"

TestSuite(sctp_guard, .init = env_open, .fini = env_shut);

static void begin(bool v4, uint8_t chunk)
{
    env.wanted = chunk;
    env_listen(v4, true);
    env_connect(v4);
}

/* RFC 9260 s6.8: silently. */
static void bad_checksum(bool v4)
{
    uint64_t out;

    begin(v4, SCTP_CT_DATA);
    env_send_one();
    out = env_counter(1, SCTP_N_tx_packets);
    env.frame[env.frame_len - 5] ^= 1;
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_checksum), 1);
    cr_expect_eq(env_counter(1, SCTP_N_tx_packets), out, "no answer");
    env_still_works();
}
Test(sctp_guard, checksum_v4) { bad_checksum(true); }
Test(sctp_guard, checksum_v6) { bad_checksum(false); }

/* A port that reckons CRC32c gets the packet without; one that does not, gets it with it. */
static void port_sums(bool v4)
{
    uint32_t sum = 1;

    begin(v4, SCTP_CT_DATA);
    env_send_one();
    memcpy(&sum, env.frame + env_sctp_at(env.frame) + 8, 4);
    cr_expect_eq(sum, 0, "left to the port");
    env_still_works();
    env.pair.stack[0]->port[0]->offloads &= ~(uint32_t)PORT_TX_SCTP_CSUM;
    env_send_one();
    memcpy(&sum, env.frame + env_sctp_at(env.frame) + 8, 4);
    cr_expect_neq(sum, 0, "not left to it");
    env_still_works();
    cr_expect_eq(env_counter(1, SCTP_N_drop_checksum), 0);
}
Test(sctp_port_sums, v4, .init = env_open_port_sums, .fini = env_shut) { port_sums(true); }
Test(sctp_port_sums, v6, .init = env_open_port_sums, .fini = env_shut) { port_sums(false); }

/* RFC 9653 s5.3: a checksum of zero is a wrong one for who has not said that it takes it, and nobody here says so. */
static void zero_checksum(bool v4)
{
    uint32_t at;

    begin(v4, SCTP_CT_DATA);
    env_send_one();
    at = env_sctp_at(env.frame);
    memset(env.frame + at + 8, 0, 4);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_checksum), 1);
    env_still_works();
}
Test(sctp_guard, zero_checksum_v4) { zero_checksum(true); }
Test(sctp_guard, zero_checksum_v6) { zero_checksum(false); }

/* RFC 9653 s5.2: the parameter, in an INIT, is understood as one that may be skipped, and not given back; RFC 4820 s4: nor is padding. */
Test(sctp_guard, zero_checksum_and_padding_in_an_init)
{
    uint8_t params[] = { 0x80, 1, 0, 8, 0, 0, 0, 1, 0x80, 5, 0, 8, 1, 2, 3, 4 }, *c;
    uint32_t old;

    env.wanted = SCTP_CT_INIT;
    env_listen(true, true);
    env_connect(true);
    c = env.frame + env_sctp_at(env.frame) + SCTP_COMMON_LEN;
    old = env.frame_len;
    memcpy(c + SCTP_INIT_LEN, params, sizeof(params)); /* over what was offered: as long as, or shorter */
    sctp_put16(c + 2, SCTP_INIT_LEN + sizeof(params));
    env.frame_len = (uint32_t)(c - env.frame) + SCTP_INIT_LEN + sizeof(params);
    cr_assert_leq(env.frame_len, old);
    sctp_put16(env.frame + ENV_ETH + 2, env.frame_len - ENV_ETH);
    memset(env.frame + ENV_ETH + 10, 0, 2);
    uint32_t sum = 0;
    for (unsigned i = 0; i < 20; i += 2)
        sum += sctp_get16(env.frame + ENV_ETH + i);
    sum = (sum & 0xffff) + (sum >> 16);
    sctp_put16(env.frame + ENV_ETH + 10, (uint16_t)~((sum & 0xffff) + (sum >> 16)));
    be16 port = be16_of(4321);
    memcpy(c - SCTP_COMMON_LEN, &port, 2);
    env_fix_crc(env.frame, env.frame_len);
    uint64_t cookies = env_counter(1, SCTP_N_cookies_sent), bad = env_counter(1, SCTP_N_drop_init);
    uint64_t answered = env_counter(1, SCTP_N_tx_packets);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_cookies_sent), cookies + 1);
    cr_expect_eq(env_counter(1, SCTP_N_drop_init), bad);
    cr_expect_geq(env_counter(1, SCTP_N_tx_packets), answered + 1);
}

/* s8.5: silently, whatever the chunk: DATA, ABORT, SHUTDOWN. */
static void bad_tag(bool v4)
{
    static const uint8_t chunks[] = { SCTP_CT_DATA, SCTP_CT_ABORT, SCTP_CT_SHUTDOWN, SCTP_CT_SACK, SCTP_CT_HEARTBEAT };
    uint64_t out;
    uint32_t at;

    begin(v4, SCTP_CT_DATA);
    env_send_one();
    at = env_sctp_at(env.frame);
    env.frame[at + 4] ^= 0x55;
    for (unsigned i = 0; i < sizeof(chunks); i++) {
        out = env_counter(1, SCTP_N_tx_packets);
        env.frame[at + SCTP_COMMON_LEN] = chunks[i];
        env_fix_crc(env.frame, env.frame_len);
        env_inject();
        cr_expect_eq(env_counter(1, SCTP_N_drop_tag), i + 1);
        cr_expect_eq(env_counter(1, SCTP_N_tx_packets), out, "no answer");
    }
    env_still_works();
}
Test(sctp_guard, tag_v4) { bad_tag(true); }
Test(sctp_guard, tag_v6) { bad_tag(false); }

/* s8.5: a first chunk that may come with another tag, or that is none at all, opens the door for nothing. */
static void no_way_round_the_tag(bool v4)
{
    static const struct { uint8_t b[24]; uint8_t len; } packets[] = {
        { { SCTP_CT_COOKIE_ECHO, 0, 0, 8, 1, 2, 3, 4, SCTP_CT_ABORT, 0, 0, 4 }, 12 },
        { { SCTP_CT_COOKIE_ECHO, 0, 0, 8, 1, 2, 3, 4, SCTP_CT_SHUTDOWN, 0, 0, 8 }, 16 },
        { { SCTP_CT_COOKIE_ECHO, 0, 0, 8, 1, 2, 3, 4, SCTP_CT_DATA, 3, 0, 3 }, 12 },
        { { SCTP_CT_COOKIE_ECHO, 0, 0, 4 }, 4 },
        { { SCTP_CT_DATA, 3, 0, 0 }, 4 },
        { { SCTP_CT_SHUTDOWN, 0, 255, 255 }, 4 },
    };

    begin(v4, SCTP_CT_DATA);
    env_send_one();
    env.frame[env_sctp_at(env.frame) + 4] ^= 0x55;
    for (unsigned i = 0; i < sizeof(packets) / sizeof(packets[0]); i++) {
        uint64_t out = env_counter(1, SCTP_N_tx_packets);
        env_chunks(packets[i].b, packets[i].len);
        env_inject();
        cr_expect_eq(env_counter(1, SCTP_N_tx_packets), out, "packet %u: no answer", i);
        cr_assert_eq(env_n_assocs(1), 1, "packet %u has ended the association", i);
    }
    env_still_works();
}
Test(sctp_guard, no_way_round_the_tag_v4) { no_way_round_the_tag(true); }
Test(sctp_guard, no_way_round_the_tag_v6) { no_way_round_the_tag(false); }

static uint32_t data_put(uint8_t *b, uint8_t flags, uint32_t tsn, uint16_t stream, uint16_t ssn)
{
    memset(b, 0, 20);
    b[0] = SCTP_CT_DATA;
    b[1] = flags;
    sctp_put16(b + 2, 20);
    sctp_put32(b + 4, tsn);
    sctp_put16(b + 8, stream);
    sctp_put16(b + 10, ssn);
    memcpy(b + 16, "abcd", 4);
    return 20;
}

/* While one message goes to the program in pieces, unordered ones wait; of those, two begin and one ends. */
static void two_beginnings(bool v4)
{
    struct svm_sctp_info info = { .stream = 1 };
    const struct sctp_assoc *a;
    uint8_t b[80];
    uint32_t len = 0, tsn;

    begin(v4, SCTP_CT_DATA);
    env_send_one();
    for (unsigned i = 0; i < 50; i++) {
        cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 4096, true), 0);
        env_run_us(20000);
    }
    env_run_us(2000000);
    a = (const struct sctp_assoc *)env.sock[1]->session->conn;
    cr_assert_not_null(a->partial, "in pieces");
    tsn = a->cum_tsn;
    len += data_put(b + len, SCTP_DATA_U | SCTP_DATA_B, tsn + 2, 3, 0);
    len += data_put(b + len, SCTP_DATA_U | SCTP_DATA_B, tsn + 3, 3, 0);
    len += data_put(b + len, SCTP_DATA_U | SCTP_DATA_E, tsn + 4, 3, 0);
    len += data_put(b + len, SCTP_DATA_E, tsn + 1, 1, (uint16_t)a->partial->node.key);
    cr_assert_leq(env_sctp_at(env.frame) + SCTP_COMMON_LEN + len + 4, env.frame_len);
    env_chunks(b, len);
    cr_assert_eq(sim_link_inject(env.pair.link, 1, env.frame, env.frame_len), 0);
    env_run_us(500); /* the sender hears of acknowledged chunks that it never sent only later, and gives up */
    cr_expect_eq(env_counter(1, SCTP_N_drop_tag) + env_counter(1, SCTP_N_drop_checksum), 0);
    cr_expect_null(a->partial, "it has ended, and they have had their turn");
    cr_expect_eq(env_counter(1, SCTP_N_drop_data_bad), 0);
}
Test(sctp_guard, two_beginnings_v4) { two_beginnings(true); }
Test(sctp_guard, two_beginnings_v6) { two_beginnings(false); }

/* Single bytes that nobody reads: what they take, with all that is kept of each, is bounded by the window. */
static void single_bytes(bool v4)
{
    enum { CHUNKS = 30, PACKETS = 400 };
    const struct sctp_assoc *a;
    uint8_t b[CHUNKS * 20];
    uint32_t first;

    begin(v4, SCTP_CT_DATA);
    env_send_one();
    a = (const struct sctp_assoc *)env.sock[1]->session->conn;
    first = a->cum_tsn;
    env.cut_v4 = env.cut_v6 = true; /* the sender, that would be surprised, hears nothing */
    for (unsigned i = 0; i < PACKETS; i++) {
        for (unsigned k = 0; k < CHUNKS; k++)
            data_put(b + k * 20, SCTP_DATA_B | SCTP_DATA_E | SCTP_DATA_U, a->cum_tsn + 1 + k, 3, 0);
        env_chunks(b, sizeof(b));
        cr_assert_eq(sim_link_inject(env.pair.link, 1, env.frame, env.frame_len), 0);
        env_run_us(1000);
    }
    cr_assert_eq(env_n_assocs(1), 1);
    cr_expect_lt(a->cum_tsn - first, (1u << 18) / sizeof(struct svm_sctp_record) + 1000, "%u messages", a->cum_tsn - first);
    cr_expect_gt(env_counter(1, SCTP_N_drop_data_window), 0);
}
Test(sctp_guard, single_bytes_v4) { single_bytes(true); }
Test(sctp_guard, single_bytes_v6) { single_bytes(false); }

/* s5.1.5 1: a cookie is ours as it was given, to the last bit, and makes no association otherwise. */
static void bad_cookie(bool v4)
{
    uint32_t at, n = 0;

    begin(v4, SCTP_CT_COOKIE_ECHO);
    cr_assert_gt(env.frame_len, 0);
    at = env_sctp_at(env.frame) + SCTP_COMMON_LEN + SCTP_CHUNK_HDR;
    for (uint32_t i = at; i < at + sctp_get16(env.frame + at - 2) - SCTP_CHUNK_HDR; i += 7, n++) {
        env.frame[i] ^= 0x10;
        env_fix_crc(env.frame, env.frame_len);
        env_inject();
        env.frame[i] ^= 0x10;
        cr_assert_eq(env_counter(1, SCTP_N_drop_cookie), n + 1, "byte %u", i - at);
    }
    cr_expect_eq(env_n_assocs(1), 1);
    env_still_works();
}
Test(sctp_guard, cookie_v4) { bad_cookie(true); }
Test(sctp_guard, cookie_v6) { bad_cookie(false); }

/* s5.1.5 3, s5.2.6: one of yesterday is said to be stale, and makes nothing. */
Test(sctp_guard, stale_cookie)
{
    begin(true, SCTP_CT_COOKIE_ECHO);
    sim_close(env.sock[0], 0);
    env_run_us(62ull * SCTP_SEC);
    cr_assert_eq(env_n_assocs(1), 0);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_stale_cookie), 1);
    cr_expect_eq(env_n_assocs(1), 0);
}

/* s8.4: packets of an association that is not there are counted, and answered by ABORT, not believed. */
Test(sctp_guard, out_of_the_blue)
{
    uint64_t before;
    uint32_t at;

    begin(true, SCTP_CT_DATA);
    env_send_one();
    before = env_counter(1, SCTP_N_ootb); /* the INIT and the COOKIE ECHO were that, too */
    at = env_sctp_at(env.frame);
    env.frame[at] ^= 0x40; /* another port of the peer */
    env_fix_crc(env.frame, env.frame_len);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_ootb), before + 1);
    cr_expect_eq(env_n_assocs(1), 1);
    env_still_works();
}

/* s4.3: an INIT is never bundled. */
Test(sctp_guard, init_bundled)
{
    begin(true, SCTP_CT_DATA);
    env_send_one();
    uint32_t at = env_sctp_at(env.frame);
    memset(env.frame + at + 4, 0, 4); /* the tag of an INIT */
    env.frame[at + SCTP_COMMON_LEN] = SCTP_CT_INIT;
    env.frame[at + SCTP_COMMON_LEN + 2] = 0;
    env.frame[at + SCTP_COMMON_LEN + 3] = 20;
    env_fix_crc(env.frame, env.frame_len);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_bundled), 1);
    cr_expect_eq(env_n_assocs(1), 1);
    env_still_works();
}

/* ---- several addresses (s5.4, s6.4, s8.2) ---- */

/* The path in use is cut in the middle of a transfer: the program is told, every message arrives once and in order by the other one;
 * when the path is back, heartbeats find it. */
static void path_cut(bool *cut)
{
    struct svm_sctp_info info = { .stream = 3 }, got;
    unsigned sent = 0, received = 0;
    struct sctp_paddr_change change;

    begin(false, UINT8_MAX);
    cr_assert_eq(sctp_worker_of(env.pair.stack[0]->worker[0])->all->n_paths, 2, "an address of each family");
    env_run_us(60ull * SCTP_SEC); /* both confirmed by heartbeats */
    for (unsigned rounds = 0; received < 400; rounds++) {
        cr_assert_lt(rounds, 6000);
        while (sent < 400 && sim_msg_send(env.sock[0], &info, env.data + sent % 64, 1000, false) == 0)
            if (++sent == 100)
                *cut = true;
        env_run_us(50000);
        while (env_recv(env.sock[1], &got) == 1000) {
            cr_assert(memcmp(env.buf, env.data + received % 64, 1000) == 0, "message %u", received);
            received++;
        }
    }
    env_run_us(120ull * SCTP_SEC);
    const uint8_t *note = env_recv_note(env.sock[0], SCTP_PEER_ADDR_CHANGE);
    while (note && (memcpy(&change, note, sizeof(change)), change.spc_state) != SCTP_ADDR_UNREACHABLE)
        note = env_recv_note(env.sock[0], SCTP_PEER_ADDR_CHANGE);
    cr_assert_not_null(note);
    cr_expect_geq(env_counter(0, SCTP_N_path_failures), 1);
    *cut = false;
    env_run_us(120ull * SCTP_SEC);
    do {
        note = env_recv_note(env.sock[0], SCTP_PEER_ADDR_CHANGE);
    } while (note && (memcpy(&change, note, sizeof(change)), change.spc_state) != SCTP_ADDR_AVAILABLE);
    cr_expect_not_null(note, "the path is back");
    env_still_works();
}
Test(sctp_guard, path_cut_v6) { path_cut(&env.cut_v6); }
Test(sctp_guard, path_cut_v4) { path_cut(&env.cut_v4); }

/* ---- partial reliability (RFC 3758 s3.5, RFC 7496 s4) ---- */

/* Messages whose time is over while nothing gets through are given up and told of; those that have time arrive, in order. */
static void given_up(bool v4, uint16_t policy, uint32_t value)
{
    struct svm_sctp_info info = { .stream = 4, .ppid = 77 }, got;
    struct sctp_send_failed_event failed;
    const uint8_t *note;

    begin(v4, UINT8_MAX);
    env.cut_v4 = env.cut_v6 = true;
    info.u.tx.pr_valid = 1;
    info.u.tx.pr_policy = policy;
    info.u.tx.pr_value = value;
    info.context = 4711;
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 500, false), 0);
    memset(&info.u, 0, sizeof(info.u));
    info.u.tx.pr_valid = 1;
    info.ppid = 78;
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 600, false), 0);
    env_run_us(4ull * SCTP_SEC);
    env.cut_v4 = env.cut_v6 = false;
    env_run_us(30ull * SCTP_SEC);
    cr_expect_eq(env_recv(env.sock[1], &got), 600);
    cr_expect_eq(got.ppid, 78);
    cr_expect_eq(env_recv(env.sock[1], &got), -EAGAIN, "the other one does not come");
    cr_expect_eq(env_counter(0, SCTP_N_abandoned), 1);
    note = env_recv_note(env.sock[0], SCTP_SEND_FAILED_EVENT);
    cr_assert_not_null(note);
    memcpy(&failed, note, sizeof(failed));
    cr_expect(failed.ssfe_info.snd_context == 4711 && failed.ssfe_info.snd_ppid == 77 && failed.ssf_length == sizeof(failed) + 500);
    env_still_works();
}
Test(sctp_guard, ttl_v4) { given_up(true, SCTP_PR_SCTP_TTL, 800); }
Test(sctp_guard, ttl_v6) { given_up(false, SCTP_PR_SCTP_TTL, 800); }
Test(sctp_guard, retransmissions_v4) { given_up(true, SCTP_PR_SCTP_RTX, 1); }
Test(sctp_guard, retransmissions_v6) { given_up(false, SCTP_PR_SCTP_RTX, 1); }
