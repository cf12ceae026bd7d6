/* sctp_auth_test.c - authenticated chunks (RFC 4895): what is agreed, what is signed, what is dropped; keys (RFC 6458 s8.3) */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "tests/unit/server/sctp/sctp_env.h"

TestSuite(sctp_auth, .init = env_open, .fini = env_shut);

enum { KEY = 7 };

/* ---- options ---- */

static int demand(struct sim_sock *s, uint8_t type)
{
    struct sctp_authchunk v = { .sauth_chunk = type };
    uint32_t len = sizeof(v);

    return sim_msg_option(s, true, SCTP_AUTH_CHUNK, &v, &len);
}
static int key_set(struct sim_sock *s, uint16_t id, const char *text)
{
    struct { struct sctp_authkey v; char b[256]; } k = { .v = { .sca_keynumber = id, .sca_keylength = (uint16_t)strlen(text) } };
    uint32_t len = (uint32_t)(sizeof(k.v) + strlen(text));

    memcpy(k.v.sca_key, text, strlen(text));
    return sim_msg_option(s, true, SCTP_AUTH_KEY, &k, &len);
}
static int key_do(struct sim_sock *s, uint16_t opt, uint16_t id)
{
    struct sctp_authkeyid v = { .scact_keynumber = id };
    uint32_t len = sizeof(v);

    return sim_msg_option(s, true, opt, &v, &len);
}
static void auth_on(struct sim_sock *s, const char *key)
{
    env_option(s, SCTP_AUTH_SUPPORTED, 1);
    cr_assert_eq(key_set(s, KEY, key), 0);
    cr_assert_eq(key_do(s, SCTP_AUTH_ACTIVE_KEY, KEY), 0);
}

/* Both with a key; the one that listens wants `type` authenticated, UINT8_MAX: nothing. */
static void both(bool v4, const char *key0, const char *key1, uint8_t type)
{
    env_bind(v4);
    env_listen(v4, false);
    auth_on(env.sock[0], key0);
    auth_on(env.listener, key1);
    if (type != UINT8_MAX)
        cr_assert_eq(demand(env.listener, type), 0);
}

/* ---- agreed ---- */

static void signed_data(bool v4)
{
    struct sctp_authchunks *list = (void *)env.buf;
    uint32_t len = 64;

    env.wanted = SCTP_CT_AUTH;
    both(v4, "the same", "the same", SCTP_CT_DATA);
    env_connect(v4);
    env_send_one();
    cr_expect_eq(sctp_get16(env.frame + env_sctp_at(env.frame) + SCTP_COMMON_LEN + 4), KEY);
    cr_expect_eq(sctp_get16(env.frame + env_sctp_at(env.frame) + SCTP_COMMON_LEN + 6), SCTP_HMAC_SHA256);
    env_still_works();
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), 0);
    memset(list, 0, sizeof(*list));
    cr_assert_eq(sim_msg_option(env.sock[0], false, SCTP_PEER_AUTH_CHUNKS, list, &len), 0);
    cr_expect(list->gauth_number_of_chunks == 1 && list->gauth_chunks[0] == SCTP_CT_DATA);
    len = 64;
    memset(list, 0, sizeof(*list));
    cr_assert_eq(sim_msg_option(env.sock[0], false, SCTP_LOCAL_AUTH_CHUNKS, list, &len), 0);
    cr_expect_eq(list->gauth_number_of_chunks, 0);
}
Test(sctp_auth, signed_data_v4) { signed_data(true); }
Test(sctp_auth, signed_data_v6) { signed_data(false); }

/* Large messages fill packets beside the AUTH chunk, and none is larger than the path. */
Test(sctp_auth, large)
{
    struct svm_sctp_info info = { .stream = 1 }, got;
    bool more;
    uint32_t n = 0;

    both(true, "k", "k", SCTP_CT_DATA);
    env_connect(true);
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 60000, false), 0);
    env_run_us(5000000);
    while (n < 60000) {
        int64_t rc = sim_msg_recv(env.sock[1], &got, env.buf, sizeof(env.buf), &more);
        cr_assert_gt(rc, 0);
        if (got.flags & SCTP_NOTIFICATION)
            continue;
        cr_expect_eq(memcmp(env.buf, env.data + n, (size_t)rc), 0);
        n += (uint32_t)rc;
    }
    cr_expect_eq(env_counter(0, SCTP_N_tx_unreachable), 0);
    cr_expect_eq(env_counter(0, SCTP_N_retransmits), 0);
}

/* s6.3: another key, and nothing that was demanded gets through. */
static void wrong_key(bool v4)
{
    struct svm_sctp_info info = { .stream = 1 }, got;

    both(v4, "one", "another", SCTP_CT_DATA);
    env_connect(v4);
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 700, false), 0);
    env_run_us(100000);
    cr_expect_eq(env_recv(env.sock[1], &got), -EAGAIN);
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), 1);
    cr_expect_eq(env_counter(1, SCTP_N_rx_data), 0);
}
Test(sctp_auth, wrong_key_v4) { wrong_key(true); }
Test(sctp_auth, wrong_key_v6) { wrong_key(false); }

/* s6.3: without an AUTH chunk it is dropped in silence; behind a changed one, too. */
Test(sctp_auth, forged)
{
    uint8_t *at, data[20] = { SCTP_CT_DATA, 3, 0, 17 };
    struct svm_sctp_info got;

    env.wanted = SCTP_CT_AUTH;
    both(true, "k", "k", SCTP_CT_DATA);
    env_connect(true);
    env_send_one();
    uint64_t sent = env_counter(1, SCTP_N_tx_packets), dropped = env_counter(1, SCTP_N_drop_auth);
    at = env.frame + env_sctp_at(env.frame) + SCTP_COMMON_LEN;
    uint32_t before = sctp_get32(at + 40 + 4);
    sctp_put32(at + 40 + 4, env_assoc(1)->cum_tsn + 1); /* its TSN is covered by the HMAC */
    env_fix_crc(env.frame, env.frame_len);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), dropped + 1);
    sctp_put32(at + 40 + 4, before);
    at[8] ^= 1;
    env_fix_crc(env.frame, env.frame_len);
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), dropped + 2);
    sctp_put32(data + 4, env_assoc(1)->cum_tsn + 1);
    env_chunks(data, sizeof(data));
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), dropped + 3);
    cr_expect_eq(env_recv(env.sock[1], &got), -EAGAIN);
    cr_expect_eq(env_counter(1, SCTP_N_tx_packets), sent, "no answer");
}

/* s4.1: an HMAC that we did not list is answered by an ERROR, and nothing behind it is looked at. */
Test(sctp_auth, unknown_hmac)
{
    uint8_t auth[28 + 20] = { SCTP_CT_AUTH, 0, 0, 28, 0, 0, 0, 2 };

    env.wanted = SCTP_CT_DATA;
    env_bind(true);
    env_listen(true, false);
    auth_on(env.sock[0], "k");
    auth_on(env.listener, "k");
    env_connect(true);
    env_send_one();
    uint64_t bad = env_counter(1, SCTP_N_drop_auth), dups = env_counter(1, SCTP_N_dup_data);
    memset(auth + 28, 0, 20);
    auth[28] = SCTP_CT_DATA;
    auth[29] = 3;
    auth[31] = 17;
    sctp_put32(auth + 32, env_assoc(1)->cum_tsn);
    env_chunks(auth, sizeof(auth));
    env_inject();
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), bad + 1);
    cr_expect_eq(env_counter(1, SCTP_N_dup_data), dups);
    const uint8_t *note = env_recv_note(env.sock[0], SCTP_REMOTE_ERROR);
    cr_assert_not_null(note);
    struct sctp_remote_error e;
    memcpy(&e, note, sizeof(e));
    cr_expect_eq(ntohs(e.sre_error), SCTP_C_HMAC);
    env_still_works();
}

/* ---- cookies (s6.3) ---- */

static void cookie(bool v4)
{
    both(v4, "the same", "the same", SCTP_CT_COOKIE_ECHO);
    env_connect(v4);
    env_still_works();
}
Test(sctp_auth, cookie_v4) { cookie(true); }
Test(sctp_auth, cookie_v6) { cookie(false); }

static void not_let_in(const char *key0)
{
    struct ip_endpoint to = sim_pair_endpoint(1, true, ENV_PORT);

    env_bind(true);
    env_listen(true, false);
    auth_on(env.listener, "the same");
    if (key0)
        auth_on(env.sock[0], key0);
    cr_assert_eq(demand(env.listener, SCTP_CT_COOKIE_ECHO), 0);
    cr_assert_eq(sim_reconnect(env.sock[0], &to), 0);
    env_run_us(500000);
    cr_expect(!env.sock[0]->connected);
    cr_expect_eq(env_n_assocs(1), 0);
    cr_expect_geq(env_counter(1, SCTP_N_drop_auth), 1);
}
Test(sctp_auth, cookie_with_another_key) { not_let_in("another"); }
Test(sctp_auth, cookie_without_auth) { not_let_in(NULL); }

/* ---- what an INIT says ---- */

static uint32_t param_put(uint8_t *b, unsigned type, const void *val, uint32_t len)
{
    memset(b, 0, SCTP_PARAM_HDR + sctp_pad(len));
    sctp_put16(b, type);
    sctp_put16(b + 2, SCTP_PARAM_HDR + len);
    if (len)
        memcpy(b + 4, val, len);
    return SCTP_PARAM_HDR + sctp_pad(len);
}

/* An INIT from sock[0]'s stack as it was, but its parameters; returns how many cookies it got. */
static unsigned init_with(uint32_t random_len, const uint8_t *hmacs, uint32_t n_hmacs)
{
    struct ip_endpoint to = sim_pair_endpoint(1, true, ENV_PORT);
    uint8_t b[300], *at;
    uint32_t n = SCTP_INIT_LEN, room;
    uint64_t had;

    env.wanted = SCTP_CT_INIT;
    env_bind(true);
    env_listen(true, false);
    auth_on(env.sock[0], "a key");
    auth_on(env.listener, "a key");
    cr_assert_eq(sim_reconnect(env.sock[0], &to), 0);
    env_run_us(100000);
    at = env.frame + env_sctp_at(env.frame) + SCTP_COMMON_LEN;
    room = (uint32_t)(env.frame + env.frame_len - at);
    memcpy(b, at, SCTP_INIT_LEN);
    n += param_put(b + n, SCTP_P_RANDOM, env.data, random_len);
    n += param_put(b + n, SCTP_P_HMACS, hmacs, n_hmacs);
    cr_assert_leq(n + 4, room);
    n += param_put(b + n, SCTP_P_PAD, env.data, room - n - 4);
    sctp_put16(b + 2, n);
    memcpy(at, b, n);
    be16 port = be16_of(4321); /* nobody's, so that it is a stranger's */
    memcpy(at - SCTP_COMMON_LEN, &port, 2);
    env_fix_crc(env.frame, env.frame_len);
    had = env_counter(1, SCTP_N_cookies_sent);
    env_inject();
    return (unsigned)(env_counter(1, SCTP_N_cookies_sent) - had);
}
Test(sctp_auth, random_of_32_bytes) { cr_expect_eq(init_with(32, (const uint8_t[]){ 0, 1 }, 2), 1); }
Test(sctp_auth, random_of_31_bytes)
{
    uint64_t bad = env_counter(1, SCTP_N_drop_init);

    cr_expect_eq(init_with(31, (const uint8_t[]){ 0, 1 }, 2), 0, "s6.1: aborted");
    cr_expect_eq(env_counter(1, SCTP_N_drop_init), bad + 1);
}

static struct sctp_auth_vec vec(uint8_t last, const uint8_t *hmacs, uint32_t n_hmacs, const uint8_t *types, uint32_t n_types)
{
    uint8_t random[36], h[16], t[64], bytes[32] = { [31] = last };
    struct sctp_auth_vec v;

    param_put(random, SCTP_P_RANDOM, bytes, 32);
    param_put(h, SCTP_P_HMACS, hmacs, n_hmacs);
    param_put(t, SCTP_P_CHUNKS, types, n_types);
    if (!sctp_auth_vec_take(random, n_types ? t : NULL, h, &v))
        v.len = 0;
    return v;
}

/* s3.2, s3.3, s6.1 */
Test(sctp_auth, vectors)
{
    const uint8_t both_ways[] = { 0, 3, 0, 1 }, no_sha1[] = { 0, 3 }, strange[] = { 0, 2, 0, 9, 0, 1, 0, 3 },
                  types[] = { SCTP_CT_INIT, SCTP_CT_INIT_ACK, SCTP_CT_SHUTDOWN_COMPLETE, SCTP_CT_AUTH, SCTP_CT_DATA };
    struct sctp_auth_vec a = vec(1, both_ways, 4, types, 5), b = vec(2, both_ways, 4, types, 5), shorter = vec(255, both_ways, 4, NULL, 0), c = a;

    cr_expect_eq(vec(1, no_sha1, 2, NULL, 0).len, 0, "s3.3: SHA-1 must be there");
    cr_expect_eq(a.len, 36 + 9 + 8, "no padding");
    cr_expect_eq(sctp_auth_hmac_of(&a), SCTP_HMAC_SHA256);
    struct sctp_auth_vec s = vec(1, strange, 8, NULL, 0);
    cr_expect_eq(sctp_auth_hmac_of(&s), SCTP_HMAC_SHA1, "the first that is known");
    for (unsigned i = 0; i < 4; i++)
        cr_expect(!sctp_auth_lists(&a, types[i]), "s3.2: type %u is ignored", types[i]);
    cr_expect(sctp_auth_lists(&a, SCTP_CT_DATA));
    cr_expect_lt(sctp_auth_vec_cmp(&a, &b), 0);
    cr_expect_gt(sctp_auth_vec_cmp(&b, &a), 0);
    cr_expect_eq(sctp_auth_vec_cmp(&a, &c), 0);
    cr_expect_lt(sctp_auth_vec_cmp(&shorter, &a), 0, "as numbers");
    cr_expect_gt(sctp_auth_vec_cmp(&a, &shorter), 0);
    struct sctp_auth_vec zero = { .len = 2, .b = { 0, 5 } }, five = { .len = 1, .b = { 5 } }, six = { .len = 1, .b = { 6 } };
    cr_expect_gt(sctp_auth_vec_cmp(&zero, &five), 0, "equal numbers: the shorter first");
    cr_expect_lt(sctp_auth_vec_cmp(&zero, &six), 0);
    uint8_t many[100];
    memset(many, SCTP_CT_DATA, sizeof(many));
    uint8_t random[36], h[16], t[104], bytes[32] = { 0 };
    param_put(random, SCTP_P_RANDOM, bytes, 32);
    param_put(h, SCTP_P_HMACS, both_ways, 4);
    param_put(t, SCTP_P_CHUNKS, many, sizeof(many));
    cr_expect(!sctp_auth_vec_take(random, t, h, &s), "more than there are types");
    cr_expect(!sctp_auth_vec_take(NULL, t, h, &s));
    cr_expect(!sctp_auth_vec_take(random, t, NULL, &s));
}

/* s6.1, s6.2: the HMAC is that of an independent reckoning, by what went over the wire. */
Test(sctp_auth, reckoned_again)
{
    uint8_t key[3 + 2 * SCTP_AUTH_VEC], *at, want[32], had[32];
    unsigned n = 3, got = 32;

    env.wanted = SCTP_CT_AUTH;
    both(true, "abc", "abc", SCTP_CT_DATA);
    env_connect(true);
    env_send_one();
    const struct sctp_auth_vec *mine = &env_assoc(0)->auth->mine, *peers = &env_assoc(1)->auth->mine;
    cr_assert_eq(mine->len + 5, peers->len, "the listener has CHUNKS with one type: its vector is the larger number");
    memcpy(key, "abc", 3);
    memcpy(key + n, mine->b, mine->len);
    n += mine->len;
    memcpy(key + n, peers->b, peers->len);
    n += peers->len;
    at = env.frame + env_sctp_at(env.frame) + SCTP_COMMON_LEN;
    memcpy(had, at + 8, 32);
    memset(at + 8, 0, 32);
    HMAC(EVP_sha256(), key, (int)n, at, (size_t)(env.frame + env.frame_len - at), want, &got);
    cr_expect_eq(memcmp(had, want, 32), 0);
}

/* A peer that does not do it: the program hears so, and what it demands does not come through (s6.3). */
Test(sctp_auth, one_side)
{
    struct svm_sctp_info info = { .stream = 1 }, got;

    env_bind(true);
    env_listen(true, false);
    auth_on(env.listener, "k");
    cr_assert_eq(demand(env.listener, SCTP_CT_DATA), 0);
    env_connect(true);
    const uint8_t *note = env_recv_note(env.sock[1], SCTP_AUTHENTICATION_EVENT);
    cr_assert_not_null(note);
    struct sctp_authkey_event e;
    memcpy(&e, note, sizeof(e));
    cr_expect_eq(e.auth_indication, SCTP_AUTH_NO_AUTH);
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 700, false), 0);
    env_run_us(100000);
    cr_expect_eq(env_recv(env.sock[1], &got), -EAGAIN);
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), 1);
}

/* RFC 9260 s3.2 allows an ABORT for a malformed packet; not where ABORTs have to be authenticated. A forged ABORT ends nothing either. */
Test(sctp_auth, no_forged_end)
{
    uint8_t cut[] = { SCTP_CT_HEARTBEAT, 0, 0, 3 }, abort_chunk[] = { SCTP_CT_ABORT, 0, 0, 4 };

    env.wanted = SCTP_CT_DATA;
    both(true, "k", "k", SCTP_CT_ABORT);
    env_connect(true);
    env_send_one();
    env_chunks(abort_chunk, sizeof(abort_chunk));
    env_inject();
    env_chunks(cut, sizeof(cut));
    env_inject();
    cr_expect_eq(env_n_assocs(1), 1);
    env_still_works();
    sim_close(env.sock[0], 0);
    env_run_us(100000);
    cr_expect_eq(env_n_assocs(1), 0, "one that is signed does");
}

/* ---- keys ---- */

/* RFC 6458 s5.3.8, s6.1.8: a message may have another key, and the peer's program hears of it. */
Test(sctp_auth, key_of_a_message)
{
    struct svm_sctp_info info = { .stream = 1 }, got;
    struct sctp_authkey_event e;

    env.wanted = SCTP_CT_AUTH;
    both(true, "seven", "seven", SCTP_CT_DATA);
    cr_assert_eq(key_set(env.sock[0], 9, "nine"), 0);
    cr_assert_eq(key_set(env.listener, 9, "nine"), 0);
    env_connect(true);
    env_option(env.sock[0], SCTP_NODELAY, 1);
    env_send_one();
    while (env_recv_note(env.sock[1], SCTP_AUTHENTICATION_EVENT))
        ;
    info.u.tx.auth_valid = 1;
    info.u.tx.auth_key = 9;
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 50, false), 0);
    env_run_us(1000);
    info.u.tx.auth_valid = 0;
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 60, false), 0);
    env_run_us(500000);
    const uint8_t *note = env_recv_note(env.sock[1], SCTP_AUTHENTICATION_EVENT);
    cr_assert_not_null(note);
    memcpy(&e, note, sizeof(e));
    cr_expect(e.auth_indication == SCTP_AUTH_NEW_KEY && e.auth_keynumber == 9 && e.auth_altkeynumber == KEY);
    cr_expect_eq(env_recv(env.sock[1], &got), 50);
    cr_expect_eq(env_recv(env.sock[1], &got), 60);
    info.u.tx.auth_valid = 1;
    info.u.tx.auth_key = 10;
    cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, 50, false), 0);
    env_run_us(100000);
    cr_expect_eq(env_recv(env.sock[1], &got), -EAGAIN, "there is no such key");
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), 0);
}

Test(sctp_auth, lives_of_keys)
{
    struct { struct sctp_hmacalgo v; uint16_t id[4]; } h = { .v.shmac_num_idents = 1, .id = { SCTP_HMAC_SHA256 } };
    struct sctp_authkeyid active = { 0 };
    uint32_t len = sizeof(h);
    char long_key[SCTP_KEY_MAX + 2];

    env_bind(true);
    cr_expect_eq(key_set(env.sock[0], 1, "k"), -EACCES, "off, as with Linux's net.sctp.auth_enable at 0");
    cr_expect_eq(demand(env.sock[0], SCTP_CT_DATA), -EACCES);
    env_option(env.sock[0], SCTP_AUTH_SUPPORTED, 1);
    cr_expect_eq(demand(env.sock[0], SCTP_CT_INIT), -EINVAL);
    cr_expect_eq(demand(env.sock[0], SCTP_CT_INIT_ACK), -EINVAL);
    cr_expect_eq(demand(env.sock[0], SCTP_CT_SHUTDOWN_COMPLETE), -EINVAL);
    cr_expect_eq(demand(env.sock[0], SCTP_CT_AUTH), -EINVAL);
    cr_expect_eq(sim_msg_option(env.sock[0], true, SCTP_HMAC_IDENT, &h, &len), -EINVAL, "without SHA-1");
    h.v.shmac_num_idents = 2;
    h.id[1] = 77;
    cr_expect_eq(sim_msg_option(env.sock[0], true, SCTP_HMAC_IDENT, &h, &len), -EOPNOTSUPP);
    h.id[0] = SCTP_HMAC_SHA1;
    h.v.shmac_num_idents = 1;
    cr_expect_eq(sim_msg_option(env.sock[0], true, SCTP_HMAC_IDENT, &h, &len), 0);
    memset(&h, 0, sizeof(h));
    cr_expect_eq(sim_msg_option(env.sock[0], false, SCTP_HMAC_IDENT, &h, &len), 0);
    cr_expect(h.v.shmac_num_idents == 1 && h.id[0] == SCTP_HMAC_SHA1);
    memset(long_key, 'x', sizeof(long_key));
    long_key[SCTP_KEY_MAX + 1] = 0;
    cr_expect_eq(key_set(env.sock[0], 1, long_key), -EINVAL);
    for (uint16_t i = 0; i < SCTP_KEYS_MAX; i++)
        cr_assert_eq(key_set(env.sock[0], i, "k"), 0);
    cr_expect_eq(key_set(env.sock[0], 99, "k"), -ENOMEM, "a bound for what the server keeps");
    cr_expect_eq(key_set(env.sock[0], 3, "another"), 0, "in the place of the one before");
    cr_expect_eq(key_do(env.sock[0], SCTP_AUTH_DELETE_KEY, 0), -EINVAL, "in use");
    cr_expect_eq(key_do(env.sock[0], SCTP_AUTH_ACTIVE_KEY, 3), 0);
    cr_expect_eq(key_do(env.sock[0], SCTP_AUTH_DELETE_KEY, 0), 0);
    cr_expect_eq(key_do(env.sock[0], SCTP_AUTH_DELETE_KEY, 0), -EINVAL, "gone");
    cr_expect_eq(key_do(env.sock[0], SCTP_AUTH_DEACTIVATE_KEY, 3), -EINVAL, "in use");
    cr_expect_eq(key_do(env.sock[0], SCTP_AUTH_DEACTIVATE_KEY, 5), 0);
    cr_expect_eq(key_do(env.sock[0], SCTP_AUTH_ACTIVE_KEY, 5), -EINVAL, "off");
    cr_expect_eq(key_do(env.sock[0], SCTP_AUTH_ACTIVE_KEY, 50), -EINVAL);
    len = sizeof(active);
    cr_expect_eq(sim_msg_option(env.sock[0], false, SCTP_AUTH_ACTIVE_KEY, &active, &len), 0);
    cr_expect_eq(active.scact_keynumber, 3);
}

/* An association that is under way goes over to another key. */
Test(sctp_auth, key_changes)
{
    struct sctp_authkey_event e;

    both(true, "seven", "seven", SCTP_CT_DATA);
    env_connect(true);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert_eq(key_set(env.sock[i], 8, "eight"), 0);
        cr_assert_eq(key_do(env.sock[i], SCTP_AUTH_ACTIVE_KEY, 8), 0);
        cr_assert_eq(key_do(env.sock[i], SCTP_AUTH_DEACTIVATE_KEY, KEY), 0);
        const uint8_t *note = env_recv_note(env.sock[i], SCTP_AUTHENTICATION_EVENT);
        cr_assert_not_null(note);
        memcpy(&e, note, sizeof(e));
        cr_expect(e.auth_indication == SCTP_AUTH_FREE_KEY && e.auth_keynumber == KEY);
    }
    env_still_works();
    cr_expect_eq(env_counter(1, SCTP_N_drop_auth), 0);
}

/* s6.1: key 0 is empty when nothing else was given, and authenticates all the same. */
Test(sctp_auth, null_key)
{
    env.wanted = SCTP_CT_AUTH;
    env_bind(true);
    env_listen(true, false);
    env_option(env.sock[0], SCTP_AUTH_SUPPORTED, 1);
    env_option(env.listener, SCTP_AUTH_SUPPORTED, 1);
    cr_assert_eq(demand(env.listener, SCTP_CT_DATA), 0);
    env_connect(true);
    env_send_one();
    env_still_works();
    cr_expect_eq(sctp_get16(env.frame + env_sctp_at(env.frame) + SCTP_COMMON_LEN + 4), 0);
}
