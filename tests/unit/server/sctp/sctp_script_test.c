/* sctp_script_test.c - packet by packet: set-up, collisions, restart, addresses that are listed (RFC 9260 s3, s4, s5) */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>

#include "tests/unit/server/sctp/sctp_script.h"

TestSuite(sctp_script, .init = script_init, .fini = script_fini);
#define BOTH_FAMILIES "INIT_ACK os=10 mis=65535 p=5 p=6 p=7" /* of a wildcard of IPv6 */
#define BOTH(name) Test(sctp_script, name##_v4) { name(true); } Test(sctp_script, name##_v6) { name(false); }

/* ---- s5.1: set-up ---- */

static void set_up_by_the_peer(bool v4)
{
    script_begin(v4, false);
    script_say("INIT os=3 mis=4");
    script_expect("INIT_ACK os=4 mis=65535 p=7");
    cr_expect_eq(env_n_assocs(0), 0, "s5.1 B: nothing is kept");
    script_say("COOKIE_ECHO + DATA len=10");
    script_expect("COOKIE_ACK");
    script_expect("SACK cum=0");
    cr_assert_not_null(sim_accept(env.listener));
    cr_expect_eq(script_assoc()->n_out, 4);
    cr_expect_eq(script_assoc()->n_in, 3);
    script_say("ABORT");
}
BOTH(set_up_by_the_peer)

static void set_up_by_us(bool v4)
{
    script_call(v4);
    script_say("INIT_ACK cookie=33 os=2");
    script_expect("COOKIE_ECHO");
    cr_expect(!env.sock[0]->connected);
    script_say("COOKIE_ACK");
    cr_expect(env.sock[0]->connected);
    cr_expect_eq(script_assoc()->n_in, 2);
    script_send(1, 0, 100);
    script_expect("DATA tsn=0 sid=1 ssn=0 len=100 f=BE");
    script_say("ABORT");
    script_expect_none();
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(set_up_by_us)

/* s5.1 B, s3.3.2.1: INIT ACK to where the INIT came from, whatever addresses it lists; s5.4: those are asked before they are used. */
static void listed_addresses_are_asked(bool v4)
{
    script_begin(v4, false);
    script_say(v4 ? "INIT x=000500080a09000c000500080a090016" :
               "INIT x=00060014fd0900000000000000000000000000120006001400000000000000000000000000000000");
    script_expect("INIT_ACK os=10 mis=65535 p=7");
    script_say("COOKIE_ECHO");
    script_expect("COOKIE_ACK");
    script_expect("to=1 HEARTBEAT");
    cr_expect_geq(script.info_len, 4 + 8, "s3.3.5: a nonce of 64 bits at least");
    struct sctp_assoc *a = script_assoc();
    cr_assert_eq(a->n_paths, v4 ? 3 : 2, "no address that cannot be one");
    cr_expect_eq(a->path[0]->state, SCTP_PATH_ACTIVE);
    cr_expect_eq(a->path[1]->state, SCTP_PATH_UNCONFIRMED);
    env.sock[0] = sim_accept(env.listener);
    script_send(0, 0, 100);
    script_expect("DATA tsn=0 sid=0 ssn=0 len=100 f=BE");
    if (v4) { /* s5.4: one an RTO (HB.Max.Burst) */
        script_expect_none();
        env_run_us(1100000);
        bool second = false;
        for (const struct script_heard *h; (h = script_next()) != NULL;)
            second |= strcmp(h->text, "to=2 HEARTBEAT") == 0;
        cr_expect(second);
    }
}
BOTH(listed_addresses_are_asked)

/* s5.4: a HEARTBEAT ACK confirms if the nonce is right, and only the address that was asked. */
static void confirmed_by_the_nonce(bool v4)
{
    char words[300] = "HEARTBEAT_ACK x=";

    script_up_of_two(v4);
    for (uint32_t i = 0; i < script.info_len; i++)
        snprintf(words + strlen(words), 3, "%02x", script.info[i] ^ (i == 6));
    script_say(words);
    cr_expect_eq(script_assoc()->path[1]->state, SCTP_PATH_UNCONFIRMED, "another nonce");
    snprintf(words + strlen("HEARTBEAT_ACK x=") + 12, 3, "%02x", script.info[6]);
    words[strlen("HEARTBEAT_ACK x=") + 14] = "0123456789abcdef"[script.info[7] >> 4];
    script_say(words);
    cr_expect_eq(script_assoc()->path[1]->state, SCTP_PATH_ACTIVE);
}
BOTH(confirmed_by_the_nonce)

/* s3.3.2: values that cannot be are answered by an ABORT with the Initiate Tag; a tag of 0 by nothing. */
static void init_with_bad_values(bool v4)
{
    script_begin(v4, false);
    script_say("INIT os=0");
    script_expect("ABORT cause=7");
    script_say("INIT mis=0");
    script_expect("ABORT cause=7");
    script_say("INIT rwnd=1499");
    script_expect("ABORT cause=7");
    script_say("INIT x=000b0008612e6200"); /* s3.3.2.1.4: a host name */
    script_expect("ABORT cause=5");
    cr_expect_eq(script.info_len, 8, "the parameter");
    script_say("INIT tag=0");
    script_expect_none();
}
BOTH(init_with_bad_values)

/* s3.2.1, s3.2.2: what is not known: skipped, or the end, and told of or not, as its type says. */
static void unknown_parameters_of_an_init(bool v4)
{
    static const struct { const char *said, *heard; } all[] = {
        { "INIT x=800e000461616161c0ff00040000", "INIT_ACK os=10 mis=65535 p=7" }, /* cut: a length that cannot be */
        { "INIT x=bfff0004", "INIT_ACK os=10 mis=65535 p=7" },
        { "INIT x=ffff0004", "INIT_ACK os=10 mis=65535 p=7 p=8" },
        { "INIT x=3fff0004ffff0004", "INIT_ACK os=10 mis=65535 p=7" },
        { "INIT x=7fff0004ffff0004", "INIT_ACK os=10 mis=65535 p=7 p=8" },
        { "INIT x=ffff0004fffe0004", "INIT_ACK os=10 mis=65535 p=7 p=8 p=8" },
    };

    script_begin(v4, false);
    for (unsigned i = 1; i < HS_ARRAY_LEN(all); i++) {
        script_say(all[i].said);
        script_expect(all[i].heard);
    }
    script_say("INIT x=ffff0003");
    script_expect("ABORT cause=13");
}
BOTH(unknown_parameters_of_an_init)

/* s3.2.2: of an INIT ACK it is told behind the cookie, in the same packet; s5.1 C: nothing else goes before the COOKIE ACK. */
static void unknown_parameters_of_an_init_ack(bool v4)
{
    script_call(v4);
    script_say("INIT_ACK cookie=12 x=ffff0008616263647fff0004");
    script_expect("COOKIE_ECHO + ERROR cause=8");
    cr_expect_eq(script.info_len, 12, "both, as they came");
    cr_expect(memcmp(script.info, "\xff\xff\0\010abcd\x7f\xff\0\4", 12) == 0);
    script_send(0, 0, 50);
    script_say("#193");
    script_expect_none();
    script_say("COOKIE_ACK");
    script_expect("DATA tsn=0 sid=0 ssn=0 len=50 f=BE");
}
BOTH(unknown_parameters_of_an_init_ack)

/* s3.3.3: what an INIT ACK may not say ends the attempt with an ABORT, but for a small window, which changes nothing. */
static void init_ack_with_bad_values(bool v4)
{
    script_call(v4);
    script_say("INIT_ACK cookie=12 rwnd=1499");
    script_expect("ABORT cause=7");
    cr_expect_eq(env.sock[0]->connect_error, 0);
    script_say("INIT_ACK cookie=12 os=0");
    script_expect("ABORT cause=7");
    cr_expect_eq(env.sock[0]->connect_error, -ECONNREFUSED);
}
BOTH(init_ack_with_bad_values)

static void init_ack_without_tag(bool v4)
{
    char text[64];

    script_call(v4);
    snprintf(text, sizeof(text), "tag=%x ABORT f=T cause=7", script.sut_tag);
    script_say("INIT_ACK cookie=12 tag=0");
    script_expect(text);
    cr_expect_eq(env.sock[0]->connect_error, -ECONNREFUSED);
}
BOTH(init_ack_without_tag)

/* s3.3.10.2, s5.1: told which one is missing. */
static void init_ack_without_cookie(bool v4)
{
    script_call(v4);
    script_say("INIT_ACK");
    script_expect("ABORT cause=2");
    cr_expect(script.info_len == 6 && memcmp(script.info, "\0\0\0\1\0\7", 6) == 0);
    cr_expect_eq(env.sock[0]->connect_error, -ECONNREFUSED);
}
BOTH(init_ack_without_cookie)

/* s3.3.3: "quite large", and so is what comes back. */
static void large_cookie(bool v4)
{
    script_call(v4);
    script_say("INIT_ACK cookie=1300");
    script_expect("COOKIE_ECHO");
    script_say("COOKIE_ACK");
    cr_expect(env.sock[0]->connected);
}
BOTH(large_cookie)

/* s4 2), 3), s5.1.3, s6.3.3: INIT and COOKIE ECHO are sent again, later each time, and given up. */
static void sent_again(bool v4, bool cookie)
{
    uint64_t last, gap = 0;
    unsigned n = 1;

    script_call(v4);
    if (cookie) {
        script_say("INIT_ACK cookie=8");
        script_expect("COOKIE_ECHO");
    }
    last = script.heard[script.n_taken - 1].at_us;
    env_run_us(1000ull * SCTP_SEC);
    for (const struct script_heard *h; (h = script_next()) != NULL; n++) {
        cr_expect(strncmp(h->text, cookie ? "COOKIE_ECHO" : "INIT ", cookie ? 12 : 5) == 0, "%s", h->text);
        cr_expect(h->at_us - last + 20000 >= 2 * gap || h->at_us - last >= 59000000, "after %lu us", (unsigned long)(h->at_us - last));
        gap = h->at_us - last;
        last = h->at_us;
    }
    cr_expect_eq(n, 1 + 8, "Max.Init.Retransmits");
    cr_expect_eq(env.sock[0]->connect_error, -ETIMEDOUT);
}
static void init_again(bool v4) { sent_again(v4, false); }
BOTH(init_again)
static void cookie_again(bool v4) { sent_again(v4, true); }
BOTH(cookie_again)

/* s5.1.5, s5.2.6: a cookie that is too old is said to be, how late, and makes nothing. */
static void old_cookie(bool v4)
{
    script_begin(v4, false);
    script_say("INIT");
    script_next();
    env_run_us(61ull * SCTP_SEC);
    script_say("COOKIE_ECHO");
    script_expect("ERROR cause=3");
    cr_expect(sctp_get32(script.info) > 900000 && sctp_get32(script.info) < 1200000);
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(old_cookie)

/* s5.2.6 (3): ours was too old: once more, asking for the time there and back and a second; s5.2.6: at any other time it is nobody's. */
static void our_cookie_is_old(bool v4)
{
    script_call(v4);
    script_say("INIT_ACK cookie=8");
    script_expect("COOKIE_ECHO");
    env_run_us(200000);
    script_say("ERROR cause=3 x=00100000");
    const struct script_heard *h = script_next();
    cr_assert_not_null(h);
    cr_assert_not_null(strstr(h->text, " p=9"), "%s", h->text);
    uint32_t asked = sctp_get32(h->frame + h->len - 4);
    cr_expect(asked >= 1190 && asked <= 1250, "%u ms", asked);
    script_say("INIT_ACK cookie=8");
    script_expect("COOKIE_ECHO");
    script_say("COOKIE_ACK");
    cr_assert(env.sock[0]->connected);
    script_say("ERROR cause=3 x=00100000");
    script_expect_none();
    cr_expect_eq(script_assoc()->state, SCTP_S_ESTABLISHED);
}
BOTH(our_cookie_is_old)

/* ---- s5.2: chunks of set-up at another time ---- */

/* s5.2.1: both have begun: our INIT's values, tag unchanged, no other state. */
static void collision_in_cookie_wait(bool v4)
{
    uint32_t tag, tsn;

    script_call(v4);
    tag = script.sut_tag;
    tsn = script.sut_tsn;
    script_say("INIT");
    script_expect(v4 ? "INIT_ACK os=10 mis=65535 p=7" : BOTH_FAMILIES);
    cr_expect_eq(script.sut_tag, tag);
    cr_expect_eq(script.sut_tsn, tsn);
    cr_expect_eq(script_assoc()->state, SCTP_S_COOKIE_WAIT);
    script_say("COOKIE_ECHO"); /* s5.2.4 B */
    script_expect("COOKIE_ACK");
    cr_expect(env.sock[0]->connected);
    cr_expect_eq(env_n_assocs(0), 1);
}
BOTH(collision_in_cookie_wait)

/* s5.2.1, s5.2.4 B: in COOKIE-ECHOED, with another tag of the peer: that is the one from now on. */
static void collision_in_cookie_echoed(bool v4)
{
    uint8_t cookie[300];
    uint32_t len, tag;

    script_call(v4);
    tag = script.sut_tag;
    script_say("INIT_ACK cookie=8");
    script_expect("COOKIE_ECHO");
    script_say("INIT tag=0x55667788");
    script_expect(v4 ? "INIT_ACK os=10 mis=65535 p=7" : BOTH_FAMILIES);
    cr_expect_eq(script.sut_tag, tag);
    len = script.cookie_len;
    cr_assert_leq(len, sizeof(cookie));
    cr_expect_eq(script_assoc()->state, SCTP_S_COOKIE_ECHOED);
    script_say("COOKIE_ECHO");
    script_expect("COOKIE_ACK");
    cr_expect_eq(script_assoc()->peer_tag, 0x55667788);
    cr_expect(env.sock[0]->connected);
    env_run_us(20ull * SCTP_SEC);
    script_expect_none(); /* T1 does not run any more */
}
BOTH(collision_in_cookie_echoed)

/* s5.2.1, s5.2.2: with an address that the association does not have: refused, and told which. */
static void init_with_a_new_address(bool v4)
{
    const char *words = v4 ? "INIT x=000500080a09000c000500080a090016" :
                        "INIT x=00060014fd09000000000000000000000000001200060014fd090000000000000000000000000022";

    script_call(v4);
    script_say("INIT_ACK cookie=8");
    script_expect("COOKIE_ECHO");
    script_say(words);
    script_expect("ABORT cause=11");
    cr_expect_eq(script.info_len, v4 ? 16 : 40, "both");
    cr_expect_eq(script_assoc()->state, SCTP_S_COOKIE_ECHOED);
    script_say("COOKIE_ACK");
    script_say(words);
    script_expect("ABORT cause=11");
    cr_expect_eq(script.info_len, v4 ? 16 : 40);
    cr_expect_eq(script_assoc()->state, SCTP_S_ESTABLISHED);
    /* s5.1.2 D: from another address, but listing the known one */
    script.from = 1;
    script_say(v4 ? "INIT x=000500080a090002" : "INIT x=00060014fd090000000000000000000000000002");
    script_expect("to=1 ABORT cause=11");
    cr_expect_eq(env_n_assocs(0), 1);
}
BOTH(init_with_a_new_address)

/* s5.1.2 D, s5.2.1: the INIT of a collision comes from another address than ours went to: answered to that one. */
static void collision_from_another_address(bool v4)
{
    script_call(v4);
    script.from = 1;
    script_say(v4 ? "INIT x=000500080a090002000500080a09000c" :
               "INIT x=00060014fd09000000000000000000000000000200060014fd090000000000000000000000000012");
    script_expect(v4 ? "INIT_ACK os=10 mis=65535 p=7" : BOTH_FAMILIES);
    script.from = 0;
    script_say("COOKIE_ECHO");
    script_expect("COOKIE_ACK");
    script_expect("to=1 HEARTBEAT");
    cr_expect_eq(env_n_assocs(0), 1);
}
BOTH(collision_from_another_address)

/* s5.2.2, s5.2.4 A: the peer has begun anew: a new tag of ours, nothing changes before the cookie; then all begins at 0 again. */
static void restart(bool v4)
{
    uint32_t tag;

    script_up(v4);
    script_say("DATA tsn=0 len=5");
    script_expect("SACK cum=0");
    tag = script.sut_tag;
    script.my_tsn = 90000;
    script_say("INIT tag=0x99999999");
    script_expect("INIT_ACK os=10 mis=65535 p=7");
    cr_expect_neq(script.sut_tag, tag);
    cr_expect_eq(script_assoc()->my_tag, tag);
    script_assoc()->path[0]->cwnd = 20000;
    script_say("COOKIE_ECHO");
    script_expect("COOKIE_ACK");
    cr_expect_eq(env_n_assocs(0), 1);
    cr_expect_lt(script_assoc()->path[0]->cwnd, 5000, "its window is what a new one has");
    script_say("DATA tsn=0 ssn=0 len=5");
    script_expect("SACK cum=0");
    script_send(0, 0, 10);
    script_expect("DATA tsn=0 sid=0 ssn=0 len=10 f=BE");
    const uint8_t *note = env_recv_note(env.sock[0], SCTP_ASSOC_CHANGE);
    while (note && sctp_get16(note) && ((const struct sctp_assoc_change *)(const void *)note)->sac_state != SCTP_RESTART)
        note = env_recv_note(env.sock[0], SCTP_ASSOC_CHANGE);
    cr_expect_not_null(note);
}
BOTH(restart)

/* s5.2.4 A in SHUTDOWN-ACK-SENT: no new association; the SHUTDOWN ACK again, and why, in one packet; s9.2 for the INIT. */
static void restart_while_shutting_down(bool v4)
{
    script_up(v4);
    uint32_t tag = script.sut_tag, mine = script.my_tag;
    script_say("INIT tag=0x99999999");
    script_next();
    uint32_t new_tag = script.sut_tag;
    script.my_tag = mine;
    script_say_tag(tag, "SHUTDOWN");
    script_expect("SHUTDOWN_ACK");
    script_say_tag(new_tag, "COOKIE_ECHO");
    script_expect("SHUTDOWN_ACK + ERROR cause=10");
    script_say("INIT");
    script_expect("SHUTDOWN_ACK");
    cr_expect_eq(script_assoc()->state, SCTP_S_SHUTDOWN_ACK_SENT);
}
BOTH(restart_while_shutting_down)

/* s5.2.3, s5.2.5: an INIT ACK or COOKIE ACK that nobody waits for; s5.2.4 D, s5.2: a cookie again, for its answer was lost, however old. */
static void late_chunks(bool v4)
{
    script_up(v4);
    script_say("INIT_ACK cookie=8");
    script_say("COOKIE_ACK");
    script_expect_none();
}
BOTH(late_chunks)

static void cookie_twice(bool v4)
{
    script_begin(v4, false);
    script_say("INIT");
    script_next();
    script_say("COOKIE_ECHO");
    script_expect("COOKIE_ACK");
    env_run_us(20ull * SCTP_SEC);
    script_say("COOKIE_ECHO");
    script_expect("COOKIE_ACK");
    env_run_us(70ull * SCTP_SEC);
    while (script_next())
        ;
    if (script_assoc()) {
        script_say("COOKIE_ECHO");
        script_expect("COOKIE_ACK");
    }
    cr_expect_leq(env_n_assocs(0), 1);
}
BOTH(cookie_twice)
