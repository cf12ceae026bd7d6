/* sctp_script_end_test.c - packet by packet: strangers, tags, the end, ICMP, what is answered (RFC 9260 s3.2, s8.4, s8.5, s9, s10, s12.5) */
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>

#include "tests/unit/server/sctp/sctp_script.h"

TestSuite(sctp_end, .init = script_init, .fini = script_fini);
#define BOTH(name) Test(sctp_end, name##_v4) { name(true); } Test(sctp_end, name##_v6) { name(false); }

/* ---- s8.4: packets out of the blue ---- */

static void out_of_the_blue(bool v4)
{
    static const struct { const char *said, *heard; } all[] = {
        { "DATA", "ABORT f=T" },                       /* (8) */
        { "HEARTBEAT x=00010004", "ABORT f=T" },
        { "SACK", "ABORT f=T" },
        { "SHUTDOWN", "ABORT f=T" },
        { "ABORT", NULL },                             /* (2) */
        { "HEARTBEAT x=00010004 + ABORT", NULL },
        { "SHUTDOWN_ACK", "SHUTDOWN_COMPLETE f=T" },   /* (5) */
        { "ERROR cause=1 x=0000 + SHUTDOWN_ACK", "SHUTDOWN_COMPLETE f=T" },
        { "SHUTDOWN_COMPLETE", NULL },                 /* (6) */
        { "COOKIE_ACK", NULL },                        /* (7) */
        { "COOKIE_ACK + DATA", NULL },
        { "ERROR cause=3 x=00000000", NULL },
        { "ERROR cause=1 x=00000000", "ABORT f=T" },
        { "HEARTBEAT x=00010004 + INIT", NULL },       /* s12.4 */
        { "DATA l=3", NULL },
    };
    char text[64];

    script_begin(v4, false);
    script.my_tag = 0x0badcafe;
    for (unsigned i = 0; i < HS_ARRAY_LEN(all); i++) {
        script_say_tag(0x0badcafe, all[i].said);
        if (all[i].heard)
            script_expect(all[i].heard);
        else
            script_expect_none();
    }
    script_say_tag(0, "DATA"); /* s8.5.1 A: a tag of 0 is for an INIT */
    script_expect_none();
    script_say_tag(7, "INIT");
    script_expect_none();
    script_say_tag(0, "INIT + DATA");
    script_expect_none();
    script_say("INIT");
    script_expect("INIT_ACK os=10 mis=65535 p=7");
    snprintf(text, sizeof(text), "tag=%x ABORT f=T", 5u);
    script_say_tag(5, "DATA");
    script_expect(text); /* the tag comes back as it came */
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(out_of_the_blue)

/* s8.4 (3): nobody listens: the ABORT has the Initiate Tag, and no T. */
static void init_for_nobody(bool v4)
{
    script_begin(v4, false);
    sim_sock_free(env.listener);
    env.listener = NULL;
    env_run_us(10000);
    script_say("INIT");
    script_expect("ABORT");
}
BOTH(init_for_nobody)

/* ---- s8.5: verification tags ---- */

static void tags(bool v4)
{
    static const char *const wrong[] = { "DATA", "SACK", "ABORT", "ABORT f=T", "SHUTDOWN", "HEARTBEAT x=00010004", "ERROR cause=1 x=0000",
                                         "SHUTDOWN_COMPLETE", "SHUTDOWN_ACK", "COOKIE_ACK", "#193" };

    script_up(v4);
    for (unsigned i = 0; i < HS_ARRAY_LEN(wrong); i++) {
        script_say_tag(script.sut_tag ^ 1, wrong[i]);
        script_expect_none();
    }
    script_say_tag(script.my_tag, "ABORT"); /* reflected, without saying so */
    script_say_tag(script.sut_tag, "ABORT f=T");
    script_say_tag(0, "ABORT f=T");
    cr_expect_eq(env_n_assocs(0), 1);
    script_say_tag(script.my_tag, "ABORT f=T"); /* s8.5.1 B */
    cr_expect_eq(env_n_assocs(0), 0);
    script_expect_none();
}
BOTH(tags)

/* s8.5.1 C: with T the peer's own tag comes back; only in SHUTDOWN-ACK-SENT. */
static void shutdown_complete_tags(bool v4)
{
    script_up(v4);
    script_say("SHUTDOWN_COMPLETE");
    cr_expect_eq(script_assoc()->state, SCTP_S_ESTABLISHED);
    script_say("SHUTDOWN");
    script_expect("SHUTDOWN_ACK");
    script_say_tag(script.sut_tag, "SHUTDOWN_COMPLETE f=T");
    script_say_tag(script.my_tag, "SHUTDOWN_COMPLETE");
    cr_expect_eq(script_assoc()->state, SCTP_S_SHUTDOWN_ACK_SENT);
    script_say_tag(script.my_tag, "SHUTDOWN_COMPLETE f=T");
    cr_expect_eq(env_n_assocs(0), 0);
    script_expect_none();
}
BOTH(shutdown_complete_tags)

/* s8.5.1 E, s9.2: of a former association, while one is being set up: answered as out of the blue, and the attempt goes on. */
static void shutdown_ack_while_calling(bool v4)
{
    script_call(v4);
    script.my_tag = 77;
    script_say_tag(77, "SHUTDOWN_ACK");
    script_expect_none(); /* another's tag: dropped before anything else */
    script.my_tag = script.sut_tag;
    script_say("SHUTDOWN_ACK");
    script_expect("SHUTDOWN_COMPLETE f=T");
    cr_expect_eq(script_assoc()->state, SCTP_S_COOKIE_WAIT);
    script_say("SHUTDOWN");
    script_expect_none();
    cr_expect_eq(script_assoc()->state, SCTP_S_COOKIE_WAIT);
}
BOTH(shutdown_ack_while_calling)

/* ---- s9: the end ---- */

/* s9.1, s3.3.10.12: the reason is the program's; nothing is answered. */
static void abort_with_a_reason(bool v4)
{
    struct sctp_assoc_change change;

    script_up(v4);
    cr_assert_not_null(env_recv_note(env.sock[0], SCTP_ASSOC_CHANGE));
    script_say("HEARTBEAT x=00010004 + ABORT cause=12 x=62796521");
    script_expect_none();
    cr_expect_eq(env_n_assocs(0), 0);
    const uint8_t *note = env_recv_note(env.sock[0], SCTP_ASSOC_CHANGE);
    cr_assert_not_null(note);
    memcpy(&change, note, sizeof(change));
    cr_expect_eq(change.sac_state, SCTP_COMM_LOST);
    cr_expect_eq(change.sac_error, 12);
    cr_assert_eq(change.sac_length, sizeof(change) + 12);
    cr_expect(memcmp(note + sizeof(change), "\6\0\0\14\0\14\0\10bye!", 12) == 0);
}
BOTH(abort_with_a_reason)

/* s3.3.7: an ABORT that is malformed is nothing, and never answered by another. */
static void malformed_abort(bool v4)
{
    script_up(v4);
    script_say("ABORT cause=12 x=6279 l=200");
    script_say("ABORT cause=12 x=62796521 l=10");
    script_say("#6 x=000c0003");
    script_say("#6 x=00");
    script_expect_none();
    cr_expect_eq(env_n_assocs(0), 1);
    script_say("ABORT");
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(malformed_abort)

/* s9.1: our program ends it with a reason of its own. */
static void abort_of_ours(bool v4)
{
    struct svm_sctp_info info = { .flags = SCTP_ABORT };

    script_up(v4);
    cr_assert_eq(sim_msg_send(env.sock[0], &info, "why", 3, false), 0);
    env_run_us(3000);
    script_expect("ABORT cause=12");
    cr_expect(script.info_len == 3 && memcmp(script.info, "why", 3) == 0);
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(abort_of_ours)

/* s9.2: what is under way goes first; then SHUTDOWN, again with a later cumulative TSN, and DATA is answered by it at once. */
static void shutdown_of_ours(bool v4)
{
    script_up(v4);
    script_send(0, 0, 10);
    script_expect("DATA tsn=0 sid=0 ssn=0 len=10 f=BE");
    sim_shutdown(env.sock[0], SHUT_WR);
    env_run_us(10000);
    script_expect_none();
    cr_expect_eq(script_assoc()->state, SCTP_S_SHUTDOWN_PENDING);
    script_say("SACK cum=0");
    script_expect("SHUTDOWN cum=-1");
    script_say("DATA tsn=0 len=4");
    script_expect("SACK cum=0 + SHUTDOWN cum=0");
    script_say("DATA tsn=2 len=4");
    script_expect("SACK cum=0 gap=2-2 + SHUTDOWN cum=0");
    script_say("DATA tsn=1 len=4");
    script_expect("SACK cum=2 + SHUTDOWN cum=2");
    script_say("HEARTBEAT x=00010004"); /* it is there: T2 begins anew */
    script_expect("HEARTBEAT_ACK");
    env_run_us(900000);
    script_expect_none();
    env_run_us(200000);
    script_expect("SHUTDOWN cum=2");
    script_say("SHUTDOWN_ACK");
    script_expect("SHUTDOWN_COMPLETE");
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(shutdown_of_ours)

/* s9.2: SHUTDOWN is sent again up to Association.Max.Retrans times; a peer that says something all the while has five RTO.Max (T5). */
static void shutdown_without_answer(bool v4)
{
    unsigned n = 0;

    script_up(v4);
    sim_shutdown(env.sock[0], SHUT_WR);
    env_run_us(1000ull * SCTP_SEC);
    for (const struct script_heard *h; (h = script_next()) != NULL; n++)
        cr_expect(strcmp(h->text, "SHUTDOWN cum=-1") == 0 || strncmp(h->text, "ABORT", 5) == 0, "%s", h->text);
    cr_expect(n >= 8 && n <= 12, "%u packets", n);
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(shutdown_without_answer)

static void shutdown_guard(bool v4)
{
    bool aborted = false;

    script_up(v4);
    sim_shutdown(env.sock[0], SHUT_WR);
    for (unsigned s = 0; s < 310 && !aborted; s += 5) {
        script_say("HEARTBEAT x=00010004");
        env_run_us(5ull * SCTP_SEC);
        for (const struct script_heard *h; (h = script_next()) != NULL;)
            aborted |= strcmp(h->text, "ABORT") == 0;
        cr_expect(aborted || s < 305, "after %u s", s);
        cr_expect(!aborted || s >= 290, "after %u s", s);
        script_forget();
    }
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(shutdown_guard)

/* s9.2: the peer's SHUTDOWN: what is queued goes, nothing new is taken; then SHUTDOWN ACK, again until it is answered. */
static void shutdown_of_the_peer(bool v4)
{
    struct svm_sctp_info info = { 0 };

    script_up(v4);
    script_send(0, 0, 10);
    script_expect("DATA tsn=0 sid=0 ssn=0 len=10 f=BE");
    script_say("SHUTDOWN");
    script_expect_none();
    cr_expect_eq(script_assoc()->state, SCTP_S_SHUTDOWN_RECEIVED);
    (void)sim_msg_send(env.sock[0], &info, env.data, 10, false);
    env_run_us(10000);
    script_expect_none();
    script_say("DATA tsn=0 len=4"); /* s6: not in this state */
    script_expect_none();
    script_say("SHUTDOWN cum=0");
    script_expect("SHUTDOWN_ACK");
    env_run_us(1100000);
    script_expect("SHUTDOWN_ACK");
    script_say("SHUTDOWN cum=0");
    script_expect("SHUTDOWN_ACK");
    script_say("SHUTDOWN_COMPLETE");
    cr_expect_eq(env_n_assocs(0), 0);
    script_expect_none();
}
BOTH(shutdown_of_the_peer)

/* s9.2: both at once. */
static void shutdown_of_both(bool v4)
{
    script_up(v4);
    sim_shutdown(env.sock[0], SHUT_WR);
    env_run_us(10000);
    script_expect("SHUTDOWN cum=-1");
    script_say("SHUTDOWN");
    script_expect("SHUTDOWN_ACK");
    script_say("SHUTDOWN_ACK");
    script_expect("SHUTDOWN_COMPLETE");
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(shutdown_of_both)

/* s3.3.8, s6.2.1: a SHUTDOWN says nothing of gaps, and takes none back; one of what was never sent ends all. */
static void shutdown_is_no_renege(bool v4)
{
    script_up(v4);
    for (unsigned i = 0; i < 3; i++)
        script_send((uint16_t)i, 0, 1400);
    while (script_next())
        ;
    script_say("SACK cum=-1 gap=2-3");
    script_say("SHUTDOWN cum=-1");
    cr_expect_eq(script_assoc()->flight, 1400, "of the first alone");
    script_say("SHUTDOWN cum=5");
    script_expect("ABORT cause=13");
}
BOTH(shutdown_is_no_renege)

/* ---- s10: ICMP ---- */

static void icmp(bool v4)
{
    const struct script_heard *sent;
    uint8_t unreach = v4 ? 3 : 1;

    script_up(v4);
    script_send(0, 0, 1000);
    sent = script_next();
    cr_assert_not_null(sent);
    script_icmp(unreach, v4 ? 3 : 4, 0, sent);         /* ICMP3: port */
    script_icmp(unreach, v4 ? 1 : 3, 0, sent);         /* ICMP9: host */
    sent->frame[env_sctp_at(sent->frame) + 4] ^= 1;    /* ICMP6: another tag */
    script_icmp(v4 ? 3 : 4, v4 ? 2 : 1, v4 ? 0 : 6, sent);
    cr_expect_eq(env_n_assocs(0), 1);
    sent->frame[env_sctp_at(sent->frame) + 4] ^= 1;
    script_icmp(v4 ? 3 : 2, v4 ? 4 : 0, 1300, sent);   /* ICMP7: too big */
    cr_expect_eq(script_assoc()->path[0]->pmtu, 1300);
    script_icmp(v4 ? 3 : 4, v4 ? 2 : 1, v4 ? 0 : 6, sent); /* ICMP8: no SCTP there */
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(icmp)

/* ICMP6, ICMP8: an INIT has no tag: it is known by its Initiate Tag, and means something in COOKIE-WAIT only. */
static void icmp_about_an_init(bool v4)
{
    struct script_heard init;

    script_call(v4);
    init = script.heard[0];
    init.frame[env_sctp_at(init.frame) + 16] ^= 1;
    script_icmp(v4 ? 3 : 4, v4 ? 2 : 1, v4 ? 0 : 6, &init);
    cr_expect_eq(env.sock[0]->connect_error, 0);
    init.frame[env_sctp_at(init.frame) + 16] ^= 1;
    script_icmp(v4 ? 3 : 1, v4 ? 3 : 4, 0, &init); /* a port that is not reachable is not SCTP's */
    cr_expect_eq(env.sock[0]->connect_error, 0);
    script_say("INIT_ACK cookie=8");
    script_icmp(v4 ? 3 : 4, v4 ? 2 : 1, v4 ? 0 : 6, &init);
    cr_expect_eq(script_assoc()->state, SCTP_S_COOKIE_ECHOED);
}
BOTH(icmp_about_an_init)

static void icmp_refuses_an_init(bool v4)
{
    script_call(v4);
    script_icmp(v4 ? 3 : 4, v4 ? 2 : 1, v4 ? 0 : 6, &script.heard[0]);
    cr_expect_eq(env.sock[0]->connect_error, -ECONNREFUSED);
}
BOTH(icmp_refuses_an_init)

/* ---- s12.5: one packet of answers; s3.2: unknown chunks ---- */

static void one_packet_of_answers(bool v4)
{
    script_up(v4);
    script_say("HEARTBEAT x=00010008aaaaaaaa + #193 + HEARTBEAT x=00010008bbbbbbbb");
    script_expect("HEARTBEAT_ACK + ERROR cause=6 + HEARTBEAT_ACK");
    script_say("#64 + HEARTBEAT x=00010008aaaaaaaa"); /* 01: told, and the end of the packet */
    script_expect("ERROR cause=6");
    cr_expect_eq(script.info_len, 4);
    script_say("#63 + HEARTBEAT x=00010008aaaaaaaa"); /* 00 */
    script_expect_none();
    script_say("#191 + HEARTBEAT x=00010008aaaaaaaa"); /* 10 */
    script_expect("HEARTBEAT_ACK");
    script_say("DATA tsn=0 sid=99 + DATA tsn=1 sid=98"); /* s6.5 */
    script_expect("ERROR cause=1 + ERROR cause=1");
    script_expect("SACK cum=1");
    script_say("SHUTDOWN cum=-1 + HEARTBEAT x=00010008aaaaaaaa"); /* s9.2 */
    script_expect("HEARTBEAT_ACK + SHUTDOWN_ACK");
    script_expect_none();
    script_say("SHUTDOWN_COMPLETE");
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(one_packet_of_answers)
