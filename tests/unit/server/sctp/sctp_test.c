/* sctp_test.c - SCTP between two stacks: messages, streams, ends, refusals, options, and packets that nobody would send */
#include <criterion/criterion.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "common/crc32c.h"
#include "tests/unit/server/sctp/sctp_env.h"

TestSuite(sctp, .init = env_open, .fini = env_shut);

/* RFC 9260 App. A by way of RFC 3720 B.4: known values, and both ways of computing them agree. */
Test(crc, known_values)
{
    uint8_t b[48] = { 0 };

    cr_expect_eq(~crc32c(UINT32_MAX, b, 32), 0x8a9136aau);
    memset(b, 0xff, 32);
    cr_expect_eq(~crc32c(UINT32_MAX, b, 32), 0x62a8ab43u);
    for (unsigned i = 0; i < 32; i++)
        b[i] = (uint8_t)i;
    cr_expect_eq(~crc32c(UINT32_MAX, b, 32), 0x46dd794eu);
    for (unsigned len = 0; len < sizeof(b); len++)
        cr_expect_eq(crc32c(7, b, len), crc32c_software(7, b, len), "length %u", len);
}

static void echo(bool v4)
{
    struct svm_sctp_info info = { .stream = 3, .ppid = 0x01020304 }, got;

    env_connect(v4);
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 5000, false), 0);
    info.flags = SCTP_UNORDERED;
    cr_assert_eq(sim_msg_send(env.sock[1], &info, env.data, 7, false), 0);
    env_run_us(100000);
    cr_expect_eq(env_recv(env.sock[1], &got), 5000);
    cr_expect(memcmp(env.buf, env.data, 5000) == 0);
    cr_expect(got.stream == 3 && got.ppid == 0x01020304 && got.flags == 0 && got.u.rx.ssn == 0);
    cr_expect_eq(env_recv(env.sock[0], &got), 7);
    cr_expect_eq(got.flags, SCTP_UNORDERED);
}
Test(sctp, messages_v4) { echo(true); }
Test(sctp, messages_v6) { echo(false); }

/* A SACK that is due takes room in the packet that a full chunk needs: the chunk follows in the next one. */
static void full_chunk_behind_sack(bool v4)
{
    struct svm_sctp_info info = { .stream = 1 }, got;

    env_connect(v4);
    for (uint32_t len = 1400, full = 1500 - (v4 ? 20 : 40) - SCTP_COMMON_LEN - SCTP_DATA_HDR; len <= full; len++) {
        cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 10, false), 0);
        env_run_us(3000); /* its SACK waits for company */
        cr_assert_eq(env_recv(env.sock[1], &got), 10);
        cr_assert_eq(sim_msg_send(env.sock[1], &info, env.data, len, false), 0);
        env_run_us(10000);
        cr_assert_eq(env_recv(env.sock[0], &got), len, "%u bytes", len);
    }
}
Test(sctp, full_chunk_behind_sack_v4) { full_chunk_behind_sack(true); }
Test(sctp, full_chunk_behind_sack_v6) { full_chunk_behind_sack(false); }

/* RFC 9260 s9.2: what was written before the end arrives before it. */
Test(sctp, shutdown_delivers_all)
{
    struct svm_sctp_info info = { .stream = 0 }, got;

    env_connect(true);
    for (unsigned i = 0; i < 50; i++) {
        while (sim_msg_send(env.sock[0], &info, env.data, 1000 + i, false) == -EAGAIN)
            env_run_us(100);
    }
    sim_shutdown(env.sock[0], SHUT_WR);
    for (unsigned i = 0; i < 50; i++) {
        int64_t n;
        for (unsigned tries = 0; (n = env_recv(env.sock[1], &got)) == -EAGAIN && tries < 100; tries++)
            env_run_us(100000);
        cr_expect_eq(n, 1000 + i);
    }
    env_run_us(3 * SCTP_SEC);
    cr_expect_eq(env_recv(env.sock[1], &got), 0);
    cr_expect_eq(env_recv(env.sock[0], &got), 0);
    cr_expect_eq(env_n_assocs(0) + env_n_assocs(1), 0);
    cr_expect_eq(env_counter(0, SCTP_N_shutdowns), 1);
}

/* s8.4 (3): nobody listens. */
Test(sctp, refused)
{
    struct ip_endpoint e = sim_pair_endpoint(1, true, 7001);

    cr_assert_eq(sim_connect(env.app[0], SVM_PROTO_SCTP, NULL, &e, &env.sock[0]), 0);
    env_run_us(100000);
    cr_expect(env.sock[0]->connect_done);
    cr_expect_eq(env.sock[0]->connect_error, -ECONNREFUSED);
    cr_expect_eq(env_n_assocs(0), 0);
}

/* s9.1: close with linger 0, and the program's reason reaches the peer's notification. */
Test(sctp, abort)
{
    struct svm_sctp_info got;

    env_connect(true);
    sim_close(env.sock[0], 0);
    env_run_us(100000);
    cr_expect_eq(env_recv(env.sock[1], &got), -ECONNRESET);
    cr_expect_eq(env_n_assocs(0) + env_n_assocs(1), 0);
}

/* s5.1.3: no state for an INIT; s4: nobody answers for ever. */
Test(sctp, no_answer)
{
    struct ip_endpoint e = sim_pair_endpoint(1, true, 7000);

    env_listen(true, false);
    cr_assert_eq(sim_connect(env.app[0], SVM_PROTO_SCTP, NULL, &e, &env.sock[0]), 0);
    env_run_us(1);
    sim_link_set_up(env.pair.link, false);
    env_run_us(600ull * SCTP_SEC);
    cr_expect_eq(env.sock[0]->connect_error, -ETIMEDOUT);
    cr_expect_eq(env_n_assocs(1), 0);
}

/* RFC 6458 s8: before the association and on it, in parts; what an association agreed on is told. */
Test(sctp, options)
{
    struct sctp_initmsg init = { .sinit_num_ostreams = 7, .sinit_max_instreams = 5 };
    struct sctp_rtoinfo rto = { .srto_initial = 500, .srto_min = 300, .srto_max = 2000 };
    struct sctp_status st = { 0 };
    struct { struct sctp_getaddrs g; uint8_t room[256]; } addrs = { 0 };
    struct sockaddr_in in4;
    uint32_t len = sizeof(init);

    env_listen(true, false);
    cr_assert_eq(sim_msg_option(env.listener, true, SCTP_INITMSG, &init, &len), 0);
    len = sizeof(rto);
    cr_assert_eq(sim_msg_option(env.listener, true, SCTP_RTOINFO, &rto, &len), 0);
    rto.srto_min = 3000; /* above the largest */
    cr_expect_eq(sim_msg_option(env.listener, true, SCTP_RTOINFO, &rto, &len), -EINVAL);
    len = sizeof(st);
    cr_expect_eq(sim_msg_option(env.listener, false, SCTP_STATUS, &st, &len), -EINVAL, "no association");
    env_connect(true);
    len = sizeof(st);
    cr_assert_eq(sim_msg_option(env.sock[1], false, SCTP_STATUS, &st, &len), 0);
    cr_expect(len == sizeof(st) && st.sstat_state == SCTP_ESTABLISHED && st.sstat_outstrms == 7 && st.sstat_instrms == 5);
    memcpy(&in4, &st.sstat_primary.spinfo_address, sizeof(in4));
    cr_expect(in4.sin_family == AF_INET && in4.sin_addr.s_addr == htonl(0x0a090001));
    len = sizeof(st);
    cr_assert_eq(sim_msg_option(env.sock[0], false, SCTP_STATUS, &st, &len), 0);
    cr_expect(st.sstat_outstrms == 5 && st.sstat_instrms == 7);
    len = sizeof(rto);
    cr_assert_eq(sim_msg_option(env.sock[1], false, SCTP_RTOINFO, &rto, &len), 0);
    cr_expect_eq(rto.srto_min, 300, "of the listener");
    len = sizeof(addrs);
    cr_assert_eq(sim_msg_option(env.sock[0], false, SCTP_GET_PEER_ADDRS, &addrs, &len), 0);
    cr_expect_eq(addrs.g.addr_num, 1);
    memcpy(&in4, addrs.g.addrs, sizeof(in4));
    cr_expect(in4.sin_addr.s_addr == htonl(0x0a090002) && in4.sin_port == htons(7000));
    len = 4;
    cr_expect_eq(sim_msg_option(env.sock[0], true, 9999, env.buf, &len), -ENOPROTOOPT);
}

/* ---- packets that nobody would send ---- */

enum { KEPT = 64 };
static struct { uint8_t frame[2048]; uint32_t len; unsigned end; } kept[KEPT];
static unsigned n_kept;

static bool keep(void *arg, struct sim_link *l, unsigned end, const uint8_t *frame, uint32_t len, uint64_t now_us)
{
    (void)arg;
    (void)l;
    (void)now_us;
    if (n_kept < KEPT && len <= sizeof(kept[0].frame) && len > 46 && frame[23] == 132) {
        memcpy(kept[n_kept].frame, frame, len);
        kept[n_kept].len = len;
        kept[n_kept++].end = end;
    }
    return true;
}

/* Packets of a real association, changed at random and with a right checksum, at any time: nothing faults, nothing is left. */
Test(sctp, changed_packets)
{
    struct svm_sctp_info info = { .stream = 1 }, got;
    uint64_t x = 88172645463325252ull;

    sim_link_set_tap(env.pair.link, keep, NULL);
    for (unsigned round = 0; round < 60; round++) {
        env_connect(true);
        for (unsigned i = 0; i < 20; i++)
            sim_msg_send(env.sock[i % 2], &info, env.data, 1 + i * 211, false);
        env_run_us(3000);
        for (unsigned i = 0; i < 300; i++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            unsigned k = (unsigned)(x >> 8) % n_kept;
            uint8_t f[2048];
            uint32_t len = kept[k].len;
            memcpy(f, kept[k].frame, len);
            for (unsigned n = (unsigned)(x >> 20) % 4; n; n--) {
                uint32_t at = 38 + (uint32_t)((x >> (24 + n * 7)) % (len - 38));
                f[at] = (uint8_t)(x >> (n * 11));
            }
            env_fix_crc(f, len);
            cr_assert_eq(sim_link_inject(env.pair.link, 1 - kept[k].end, f, len), 0);
            if (i % 16 == 0)
                env_run_us(200);
        }
        env_run_us(10000);
        while (env_recv(env.sock[0], &got) > 0)
            ;
        sim_sock_free(env.sock[0]);
        sim_sock_free(env.sock[1]);
        env.sock[0] = NULL;
        while (env.listener && (env.sock[1] = sim_accept(env.listener)) != NULL)
            sim_sock_free(env.sock[1]);
        env_run_us(500ull * SCTP_SEC);
        n_kept = n_kept == KEPT && round % 8 == 7 ? 0 : n_kept;
    }
}
