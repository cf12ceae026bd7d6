/* sctp_script_data_test.c - packet by packet: data, acknowledgements, windows, timers, paths (RFC 9260 s6, s7, s8.1 to s8.3) */
#include <criterion/criterion.h>
#include <errno.h>

#include "tests/unit/server/sctp/sctp_script.h"

TestSuite(sctp_data, .init = script_init, .fini = script_fini);
#define BOTH(name) Test(sctp_data, name##_v4) { name(true); } Test(sctp_data, name##_v6) { name(false); }

enum { LEN = 1000, COST = 1016, RTO_US = 1000000 };
static uint32_t pmdcs(void) { return script.v4 ? 1468 : 1448; } /* 1500 without headers, whole words */
static struct sctp_path *path(unsigned i) { return script_assoc()->path[i]; }

/* ---- s6.2: acknowledgements ---- */

/* s5.1: the first at once; s6.2: then each second packet, or 200 ms; a gap, a duplicate, the I bit: at once (s6.7). */
static void when_to_acknowledge(bool v4)
{
    script_up(v4);
    script_say("DATA tsn=0");
    script_expect("SACK cum=0");
    script_say("DATA tsn=1 ssn=1 + DATA tsn=2 ssn=2");
    script_expect_none(); /* a packet, not a chunk, counts */
    script_say("DATA tsn=3 ssn=3");
    script_expect("SACK cum=3");
    script_say("DATA tsn=4 ssn=4");
    env_run_us(150000);
    script_expect_none();
    env_run_us(60000);
    script_expect("SACK cum=4");
    script_say("DATA tsn=6 ssn=6");
    script_expect("SACK cum=4 gap=2-2");
    script_say("DATA tsn=9 ssn=9");
    script_expect("SACK cum=4 gap=2-2 gap=5-5");
    script_say("DATA tsn=5 ssn=5 + DATA tsn=8 ssn=8");
    script_expect("SACK cum=6 gap=2-3");
    script_say("DATA tsn=8 ssn=8 + DATA tsn=6 ssn=6");
    script_expect("SACK cum=6 gap=2-3 dup=8 dup=6");
    script_say("DATA tsn=7 ssn=7"); /* the hole is filled */
    script_expect("SACK cum=9");
    script_say("DATA tsn=10 ssn=10 f=BEI");
    script_expect("SACK cum=10");
    script_say("DATA tsn=11 ssn=11");
    script_send(0, 0, 20); /* s6.1: with data that goes that way */
    script_expect("SACK cum=11 + DATA tsn=0 sid=0 ssn=0 len=20 f=BE");
}
BOTH(when_to_acknowledge)

/* s3.3.4: the RFC's own example. */
static void example_of_gaps(bool v4)
{
    script_up(v4);
    script_say("DATA tsn=0 f=BEU + DATA tsn=1 f=BEU + DATA tsn=2 f=BEU + DATA tsn=4 f=BEU + DATA tsn=5 f=BEU + DATA tsn=7 f=BEU");
    script_expect("SACK cum=2 gap=2-3 gap=5-5");
}
BOTH(example_of_gaps)

/* s6.2, s6.7: as many gaps as fit in a packet, the lowest, in one SACK. */
static void many_gaps(bool v4)
{
    const struct script_heard *h, *last = NULL;
    char words[1024];

    script_up(v4);
    script_say("DATA tsn=0 f=BEU");
    for (unsigned tsn = 2; tsn < 802;) {
        words[0] = 0;
        for (unsigned i = 0; i < 25 && tsn < 802; i++, tsn += 2)
            snprintf(words + strlen(words), sizeof(words) - strlen(words), "%sDATA tsn=%u len=1 f=BEU", i ? " + " : "", tsn);
        script_say(words);
    }
    while ((h = script_next()) != NULL)
        last = h;
    cr_assert_not_null(last);
    const uint8_t *sack = last->frame + env_sctp_at(last->frame) + SCTP_COMMON_LEN;
    cr_assert_eq(sack[0], SCTP_CT_SACK);
    cr_expect_eq(sctp_get16(sack + 12), (pmdcs() - SCTP_SACK_LEN) / 4);
    cr_expect_eq(sctp_get16(sack + 16), 2, "the lowest first");
    cr_expect_leq(last->len, ENV_ETH + 1500);
    script_say("ABORT");
}
BOTH(many_gaps)

/* s6.2: no data; s3.3.10.9: which. */
static void no_user_data(bool v4)
{
    script_up(v4);
    script_say("DATA tsn=3 len=0");
    script_expect("ABORT cause=9");
    cr_expect_eq(sctp_get32(script.info), SCRIPT_TSN + 3);
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(no_user_data)

/* s3.3.1, s6.6: unordered ones do not wait, and what their SSN says is nothing; ordered ones do. */
static void order(bool v4)
{
    struct svm_sctp_info got;

    script_up(v4);
    script_say("DATA tsn=1 ssn=1 len=11 + DATA tsn=2 ssn=999 len=12 f=BEU");
    cr_expect_eq(env_recv(env.sock[0], &got), 12);
    cr_expect_eq(env_recv(env.sock[0], &got), -EAGAIN);
    script_say("DATA tsn=4 sid=1 ssn=0 len=14"); /* another stream */
    cr_expect_eq(env_recv(env.sock[0], &got), 14);
    script_say("DATA tsn=0 ssn=0 len=10");
    cr_expect_eq(env_recv(env.sock[0], &got), 10);
    cr_expect_eq(env_recv(env.sock[0], &got), 11);
}
BOTH(order)

/* s6.9: fragments that come in any order are a message; in the middle of one there is no other. */
static void reassembly(bool v4)
{
    struct svm_sctp_info got;

    script_up(v4);
    script_say("DATA tsn=2 len=30 f=E + DATA tsn=0 len=10 f=B");
    cr_expect_eq(env_recv(env.sock[0], &got), -EAGAIN);
    script_say("DATA tsn=1 len=20 f=");
    cr_expect_eq(env_recv(env.sock[0], &got), 60);
    while (script_next())
        ;
    script_say("DATA tsn=3 ssn=1 f=B + DATA tsn=4 ssn=1 f=B");
    script_expect("ABORT cause=13");
}
BOTH(reassembly)

/* ---- s6.5, s6.6, s6.9: what we send ---- */

static void numbers_and_fragments(bool v4)
{
    script_up(v4);
    script_send(3, 0, 10);
    script_expect("DATA tsn=0 sid=3 ssn=0 len=10 f=BE");
    script_send(3, SCTP_UNORDERED, 10);
    script_expect("DATA tsn=1 sid=3 ssn=0 len=10 f=BEU");
    script_send(3, SCTP_SACK_IMMEDIATELY, 10);
    script_expect("DATA tsn=2 sid=3 ssn=1 len=10 f=BEI");
    script_send(4, 0, 10);
    script_expect("DATA tsn=3 sid=4 ssn=0 len=10 f=BE");
    script_say("SACK cum=3");
    script_send(3, 0, 2 * (pmdcs() - 16) + 7);
    script_expect(v4 ? "DATA tsn=4 sid=3 ssn=2 len=1452 f=B" : "DATA tsn=4 sid=3 ssn=2 len=1432 f=B");
    script_expect(v4 ? "DATA tsn=5 sid=3 ssn=2 len=1452 f=" : "DATA tsn=5 sid=3 ssn=2 len=1432 f=");
    script_expect("DATA tsn=6 sid=3 ssn=2 len=7 f=E");
    script_say("SACK cum=6");
    script_send(3, SCTP_UNORDERED, pmdcs());
    script_expect(v4 ? "DATA tsn=7 sid=3 ssn=0 len=1452 f=BU" : "DATA tsn=7 sid=3 ssn=0 len=1432 f=BU");
    script_expect("DATA tsn=8 sid=3 ssn=0 len=16 f=EU");
}
BOTH(numbers_and_fragments)

/* s6.5: behind 65535 comes 0. */
static void ssn_wraps(bool v4)
{
    script_up(v4);
    script_assoc()->out[2].ssn = 65535;
    script_send(2, 0, 5);
    script_expect("DATA tsn=0 sid=2 ssn=65535 len=5 f=BE");
    script_send(2, 0, 5);
    script_expect("DATA tsn=1 sid=2 ssn=0 len=5 f=BE");
}
BOTH(ssn_wraps)

/* s6.1 (Nagle): what does not fill a packet waits for what is under way, unless the program says otherwise. */
static void small_ones_wait(bool v4)
{
    script_up(v4);
    env_option(env.sock[0], SCTP_NODELAY, 0);
    script_send(0, 0, 20);
    script_expect("DATA tsn=0 sid=0 ssn=0 len=20 f=BE");
    script_send(0, 0, 21);
    script_send(1, 0, 22);
    script_expect_none();
    script_say("SACK cum=0");
    script_expect("DATA tsn=1 sid=0 ssn=1 len=21 f=BE + DATA tsn=2 sid=1 ssn=0 len=22 f=BE");
}
BOTH(small_ones_wait)

/* ---- s6.2.1: SACKs in ---- */

static void sacks(bool v4)
{
    script_up(v4);
    for (unsigned i = 0; i < 4; i++)
        script_send(0, 0, LEN);
    script.n_taken = script.n_heard;
    script_say("SACK cum=1 rwnd=50000");
    cr_expect_eq(script_assoc()->flight, 2 * LEN);
    cr_expect_eq(script_assoc()->peer_rwnd, 50000 - 2 * LEN); /* D ii */
    script_say("SACK cum=0 rwnd=7"); /* D i: overtaken */
    cr_expect_eq(script_assoc()->peer_rwnd, 50000 - 2 * LEN);
    script_say("SACK cum=1 gap=2-2 rwnd=50000");
    cr_expect_eq(script_assoc()->flight, LEN);
    script_say("SACK cum=1 rwnd=50000"); /* D iii: taken back */
    cr_expect_eq(script_assoc()->flight, 2 * LEN);
    script_say("SACK cum=1 gap=7-9 gap=5-3 rwnd=50000"); /* of what was never sent, and nonsense */
    cr_expect_eq(script_assoc()->flight, 2 * LEN);
    script_expect_none();
    script_say("SACK cum=4"); /* s12.5 */
    script_expect("ABORT cause=13");
    cr_expect_eq(env_n_assocs(0), 0);
}
BOTH(sacks)

/* s6.1 A: a closed window is asked about after an RTO, then less and less often; who answers is alive, however often it says 0. */
static void closed_window(bool v4)
{
    uint64_t last = 0, gap = 0;

    script_up(v4);
    script_send(0, 0, LEN);
    script_expect("DATA tsn=0 sid=0 ssn=0 len=1000 f=BE");
    script_say("SACK cum=0 rwnd=0");
    path(0)->hb_enabled = false;
    script_send(0, 0, LEN);
    script_send(0, 0, LEN);
    env_run_us(RTO_US * 8 / 10);
    script_expect_none();
    for (unsigned i = 0; i < 20; i++) {
        for (unsigned s = 0; script.n_heard == script.n_taken && s < 70; s++)
            env_run_us(RTO_US);
        const struct script_heard *h = script_next();
        cr_assert_not_null(h);
        cr_assert_str_eq(h->text, "DATA tsn=1 sid=0 ssn=1 len=1000 f=BE");
        cr_expect(!last || h->at_us - last + 20000 >= 2 * gap || h->at_us - last > 55000000, "%u: after %lu us", i,
                  (unsigned long)(h->at_us - last));
        gap = last ? h->at_us - last : 0;
        last = h->at_us;
        script_say("SACK cum=0 rwnd=0");
    }
    cr_expect_eq(env_n_assocs(0), 1);
    script_say("SACK cum=1 rwnd=60000");
    script_expect("DATA tsn=2 sid=0 ssn=2 len=1000 f=BE");
}
BOTH(closed_window)

/* ---- s6.3: timers ---- */

/* E1 to E3, s7.2.1: one packet with the oldest chunks, the RTO doubled; no more before something is acknowledged. */
static void timeout(bool v4)
{
    script_up(v4);
    for (unsigned i = 0; i < 30; i++)
        script_send(0, 0, 100);
    cr_expect_eq(script.n_heard - script.n_taken, 30);
    script.n_taken = script.n_heard;
    env_run_us(RTO_US + 50000);
    const struct script_heard *h = script_next();
    cr_assert_not_null(h);
    cr_expect(strncmp(h->text, "DATA tsn=0 ", 11) == 0 && strstr(h->text, "tsn=11 ") && !strstr(h->text, "tsn=12 "), "%s", h->text);
    script_expect_none();
    cr_expect_eq(path(0)->cwnd, pmdcs());
    cr_expect_eq(path(0)->ssthresh, 4 * pmdcs());
    cr_expect_eq(path(0)->rto_us, 2 * RTO_US);
    cr_expect_eq(path(0)->srtt_us, 0, "C5: what was sent twice says nothing of the time");
    env_run_us(1700000);
    script_expect_none();
    env_run_us(400000);
    cr_expect_not_null(script_next());
    script_expect_none();
    script_say("SACK cum=11");
    h = script_next();
    cr_assert_not_null(h);
    cr_expect(strncmp(h->text, "DATA tsn=12 ", 12) == 0, "%s", h->text);
    cr_expect_eq(path(0)->srtt_us, 0);
}
BOTH(timeout)

/* C2, C6, R2, R3: measured; the timer begins anew with the oldest that is acknowledged, and ends with the last. */
static void measured(bool v4)
{
    script_up(v4);
    script_send(0, 0, LEN);
    env_run_us(300000);
    script_send(0, 0, LEN);
    script.n_taken = script.n_heard;
    script_say("SACK cum=0");
    cr_expect(path(0)->srtt_us > 300000 && path(0)->srtt_us < 320000, "%u", path(0)->srtt_us);
    cr_expect_eq(path(0)->rttvar_us, path(0)->srtt_us / 2);
    cr_expect_eq(path(0)->rto_us, hs_max_u32(RTO_US, path(0)->srtt_us + 4 * path(0)->rttvar_us));
    env_run_us(900000);
    script_expect_none(); /* R3: an RTO from the SACK on */
    env_run_us(150000);
    script_expect("DATA tsn=1 sid=0 ssn=1 len=1000 f=BE");
    script_say("SACK cum=1");
    env_run_us(9 * RTO_US);
    script_expect_none();
    cr_expect(!timer_is_running(&path(0)->t3));
}
BOTH(measured)

/* s8.1: not for ever; the program hears of it, and of what was not delivered. */
static void given_up(bool v4)
{
    struct sctp_assoc_change change;
    unsigned n = 0;

    script_up(v4);
    path(0)->hb_enabled = false; /* they would count, too, and are sent to one that has failed */
    path(0)->max_retrans = 20;
    script_send(0, 0, LEN);
    env_run_us(1000ull * RTO_US);
    for (const struct script_heard *h; (h = script_next()) != NULL;)
        n += strncmp(h->text, "DATA tsn=0 ", 11) == 0;
    cr_expect_eq(n, 1 + 10, "Association.Max.Retrans");
    cr_expect_eq(env_n_assocs(0), 0);
    cr_assert_not_null(env_recv_note(env.sock[0], SCTP_SEND_FAILED_EVENT));
    const uint8_t *note = env_recv_note(env.sock[0], SCTP_ASSOC_CHANGE);
    cr_assert_not_null(note);
    memcpy(&change, note, sizeof(change));
    cr_expect_eq(change.sac_state, SCTP_COMM_LOST);
}
BOTH(given_up)

/* ---- s7.2: windows ---- */

static void send_many(unsigned n)
{
    struct svm_sctp_info info = { 0 };

    for (unsigned i = 0; i < n; i++)
        cr_assert_eq(sim_msg_send(env.sock[0], &info, env.data, LEN, false), 0);
    env_run_us(3000);
}
static unsigned n_data(void)
{
    unsigned n = 0;

    for (const struct script_heard *h; (h = script_next()) != NULL;)
        n += strncmp(h->text, "DATA", 4) == 0;
    return n;
}

static void slow_start(bool v4)
{
    uint32_t cwnd = v4 ? 4404 : 4344;

    script_up(v4);
    cr_expect_eq(path(0)->cwnd, cwnd);
    send_many(1);
    script_say("SACK cum=0");
    cr_expect_eq(path(0)->cwnd, cwnd, "it was not in use");
    n_data();
    send_many(12);
    cr_expect_eq(n_data(), 5, "4 x 1016 are less, and one packet may go beyond it (s6.1 B)");
    script_say("SACK cum=2");
    cr_expect_eq(path(0)->cwnd, cwnd + 2 * COST);
    cr_expect_eq(n_data(), 4);
    send_many(12);
    script_say("SACK cum=2"); /* nothing new */
    cr_expect_eq(path(0)->cwnd, cwnd + 2 * COST);
    path(0)->ssthresh = path(0)->cwnd - 1;
    uint32_t before = path(0)->cwnd;
    script_say("SACK cum=3");
    cr_expect_eq(path(0)->cwnd, before, "s7.2.2: once a window");
    n_data();
    for (int tsn = 4; tsn < 12; tsn++) {
        char words[40];
        snprintf(words, sizeof(words), "SACK cum=%d", tsn);
        script_say(words);
    }
    cr_expect_eq(path(0)->cwnd, before + pmdcs());
    path(0)->dscp = 0;
    sctp_path_dscp(path(0), 0x28);
    cr_expect_eq(path(0)->cwnd, cwnd, "s7.2.5.1");
}
BOTH(slow_start)

/* s6.1 D: not more than Max.Burst packets at once. */
static void burst(bool v4)
{
    script_up(v4);
    path(0)->cwnd = 60000;
    send_many(12);
    cr_expect_eq(n_data(), 4 * pmdcs() / COST + 1);
}
BOTH(burst)

/* s7.2.1: what is not used is halved each RTO, down to four packets; what it was is remembered. */
static void decay(bool v4)
{
    script_up(v4);
    send_many(1);
    script_say("SACK cum=0");
    n_data();
    path(0)->cwnd = 20000;
    env_run_us(path(0)->rto_us * 11 / 10);
    send_many(1);
    cr_expect_eq(path(0)->cwnd, 10000);
    cr_expect_eq(path(0)->ssthresh, 20000);
    script_say("SACK cum=1");
    env_run_us(path(0)->rto_us * 9);
    send_many(1);
    cr_expect_eq(path(0)->cwnd, 4 * pmdcs());
}
BOTH(decay)

/* s7.2.4: three reports; once, at once, whatever cwnd says; the window halved once for all of it. */
static void fast_retransmit(bool v4)
{
    script_up(v4);
    path(0)->cwnd = 20000;
    script_assoc()->cfg.max_burst = 0;
    send_many(12);
    cr_expect_eq(n_data(), 12);
    script_say("SACK cum=-1 gap=2-2");
    script_say("SACK cum=-1 gap=2-3");
    script_expect_none();
    script_say("SACK cum=-1 gap=2-3"); /* says nothing new: not counted (HTNA) */
    script_expect_none();
    script_say("SACK cum=-1 gap=2-3 gap=5-5");
    script_expect("DATA tsn=0 sid=0 ssn=0 len=1000 f=BE");
    cr_expect_eq(path(0)->ssthresh, 10000);
    cr_expect_eq(path(0)->cwnd, 10000);
    script_say("SACK cum=-1 gap=2-3 gap=5-6");
    script_say("SACK cum=-1 gap=2-3 gap=5-7"); /* a third one for tsn=3: in recovery still */
    cr_expect_eq(path(0)->cwnd, 10000);
    script_expect("DATA tsn=3 sid=0 ssn=3 len=1000 f=BE");
    script_say("SACK cum=-1 gap=2-3 gap=5-8");
    script_say("SACK cum=-1 gap=2-3 gap=5-9");
    script_say("SACK cum=-1 gap=2-3 gap=5-10");
    script_expect_none(); /* not a second time */
    cr_expect(path(0)->in_fast_recovery);
    script_say("SACK cum=11");
    cr_expect(!path(0)->in_fast_recovery);
}
BOTH(fast_retransmit)

/* ---- s6.4, s8.2, s8.3: several addresses ---- */

/* The answer to the HEARTBEAT that was heard last, from the address that it went to. */
static void answer_heartbeat(unsigned from)
{
    char words[600] = "HEARTBEAT_ACK x=";

    for (uint32_t i = 0; i < script.info_len; i++)
        snprintf(words + strlen(words), 3, "%02x", script.info[i]);
    script.from = from;
    script_say(words);
    script.from = 0;
}

/* Two addresses, both confirmed. */
static void two_addresses(bool v4)
{
    script_up_of_two(v4);
    answer_heartbeat(1);
    env.sock[0] = sim_accept(env.listener);
    env_option(env.sock[0], SCTP_NODELAY, 1);
    cr_assert_eq(path(1)->state, SCTP_PATH_ACTIVE);
}

/* s6.4: answers go where the question came from, acknowledgements where the data came from. */
static void answers_go_back(bool v4)
{
    two_addresses(v4);
    script.from = 1;
    script_say("HEARTBEAT x=0001000811223344");
    script_expect("to=1 HEARTBEAT_ACK");
    cr_expect(script.info_len == 8 && memcmp(script.info, "\0\1\0\10\x11\x22\x33\x44", 8) == 0, "as it came");
    script_say("DATA tsn=0");
    script_expect("to=1 SACK cum=0");
    script.from = 0;
    script_say("DATA tsn=2");
    script_expect("SACK cum=0 gap=2-2");
    script.from = 1;
    script_say("SHUTDOWN");
    env_run_us(300000);
}
BOTH(answers_go_back)

/* s6.4, s6.4.1, s8.2: after a timeout to the other address; that one has a window of its own; the first one is asked. */
static void alternate(bool v4)
{
    two_addresses(v4);
    script_send(0, 0, LEN);
    script_expect("DATA tsn=0 sid=0 ssn=0 len=1000 f=BE");
    env_run_us(RTO_US + 50000);
    bool beat = false, again = false;
    for (const struct script_heard *h; (h = script_next()) != NULL;) {
        beat |= strcmp(h->text, "HEARTBEAT") == 0; /* RFC 7829 s5 */
        again |= strcmp(h->text, "to=1 DATA tsn=0 sid=0 ssn=0 len=1000 f=BE") == 0;
    }
    cr_expect(beat && again);
    cr_expect_eq(path(0)->state, SCTP_PATH_PF);
    cr_expect_eq(path(0)->cwnd, pmdcs());
    cr_expect_geq(path(1)->cwnd, 4344);
    cr_expect_eq(path(1)->rto_us, RTO_US);
    script.from = 1;
    script_say("SACK cum=0");
    script_send(0, 0, LEN);
    script_expect("to=1 DATA tsn=1 sid=0 ssn=1 len=1000 f=BE");
    script_say("SACK cum=1");
    cr_expect_eq(script_assoc()->errors, 0);
    answer_heartbeat(0);
    cr_expect_eq(path(0)->state, SCTP_PATH_ACTIVE);
    script_send(0, 0, LEN);
    script_expect("DATA tsn=2 sid=0 ssn=2 len=1000 f=BE"); /* the primary one again */
}
BOTH(alternate)

/* s8.1, s8.2, s8.3: an address that does not answer is given up, and asked in its time; that says nothing of the association. */
static void idle_address_fails(bool v4)
{
    unsigned n = 0;

    two_addresses(v4);
    for (unsigned s = 0; s < 1500; s++) {
        env_run_us(RTO_US);
        for (const struct script_heard *h; (h = script_next()) != NULL;) {
            if (strcmp(h->text, "HEARTBEAT") == 0)
                answer_heartbeat(0);
            n += strcmp(h->text, "to=1 HEARTBEAT") == 0;
        }
    }
    cr_expect_eq(env_n_assocs(0), 1);
    cr_expect_eq(path(1)->state, SCTP_PATH_INACTIVE);
    cr_expect_eq(path(1)->errors, path(1)->max_retrans + 1, "not counted any further");
    cr_expect_eq(path(0)->state, SCTP_PATH_ACTIVE);
    cr_expect_eq(script_assoc()->errors, 0);
    cr_expect(n > 10 && n < 40, "%u", n);
    const uint8_t *note;
    struct sctp_paddr_change change = { 0 };
    while ((note = env_recv_note(env.sock[0], SCTP_PEER_ADDR_CHANGE)) != NULL && change.spc_state != SCTP_ADDR_UNREACHABLE)
        memcpy(&change, note, sizeof(change));
    cr_expect_eq(change.spc_state, SCTP_ADDR_UNREACHABLE);
}
BOTH(idle_address_fails)

/* s8.3: HB.interval and an RTO, give or take half of it; s8.1: a peer that never answers is not there. */
static void heartbeats(bool v4)
{
    uint64_t last = 0;
    unsigned n = 0;

    script_up(v4);
    for (unsigned i = 0; i < 6; i++) {
        for (unsigned s = 0; script.n_heard == script.n_taken && s < 400; s++)
            env_run_us(100000);
        const struct script_heard *h = script_next();
        cr_assert_not_null(h);
        cr_assert_str_eq(h->text, "HEARTBEAT");
        cr_expect(!last || (h->at_us - last >= 30400000 && h->at_us - last <= 31700000), "after %lu us", (unsigned long)(h->at_us - last));
        last = h->at_us;
        answer_heartbeat(0);
        cr_expect_gt(path(0)->srtt_us, 0, "measured");
    }
    for (unsigned s = 0; s < 2000 && env_n_assocs(0); s++, env_run_us(RTO_US))
        for (const struct script_heard *h; (h = script_next()) != NULL;)
            n += strcmp(h->text, "HEARTBEAT") == 0;
    cr_expect_eq(env_n_assocs(0), 0);
    cr_expect_eq(n, 11);
}
BOTH(heartbeats)
