/* tcp_script_test.c - segment by segment: opening, closing, resets, TIME-WAIT, PAWS (RFC 9293 s3.10, RFC 5961, RFC 6191) */
#include <jansson.h>
#include "tests/unit/server/tcp/tcp_script.h"

static struct script T;
static void init(void) { script_init(&T); }
static void fini(void) { fake_fini(&T.h); }

/* ---- opening ---- */

Test(tcp_script, passive_open_data_and_close, .init = init, .fini = fini)
{
    struct script *t = &T;
    char buf[16];

    script_open(t, false, false);
    cr_assert_eq(t->h.listener.half_open, 0);
    send_data(t, "hello", 5);
    cr_assert_eq(fake_read(&t->h, t->s, buf, sizeof(buf)), 5);
    cr_assert_eq(memcmp(buf, "hello", 5), 0);
    fake_write(&t->h, t->s, "world!", 6);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 6); /* carries the delayed ACK */
    cr_assert_eq(memcmp(t->data, "world!", 6), 0);
    t->rcv += 6;
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    cr_assert(t->s->rx_fin);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_CLOSE_WAIT);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_not(t->s->is_closed, "the FIN is not acknowledged yet");
    t->rcv++;
    send_ack(t);
    cr_assert(t->s->is_closed);
    cr_assert_null(script_conn(t));
    EXPECT_NOTHING(t);
}

Test(tcp_script, data_in_the_last_ack_of_the_handshake, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    send_data(t, "GET /", 5);
    t->s = fake_accepted(&t->h);
    cr_assert_not_null(t->s);
    cr_assert_eq(t->s->rx_len, 5);
    cr_assert_eq(script_conn(t)->mss, MSS_DEFAULT, "no MSS option (MUST-15)");
}

Test(tcp_script, active_open, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_connect(t);
    cr_assert_eq(t->seg.ack, 0);
    send_seg(t, TCP_SYN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    cr_assert(t->s->connected);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
}

Test(tcp_script, active_open_wrong_ack_then_refused, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_connect(t);
    send_seg(t, TCP_SYN | TCP_ACK, t->snd, t->rcv + 5, NULL, 0); /* half-open peer: RST <SEQ=SEG.ACK> */
    EXPECT(t, TCP_RST, t->rcv + 5, 0, 0);
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0); /* without an acceptable ACK: ignored */
    send_seg(t, TCP_RST | TCP_ACK, 0, t->rcv + 5, NULL, 0);
    EXPECT_NOTHING(t);
    cr_assert_eq(t->s->connect_error, 0);
    send_seg(t, TCP_RST | TCP_ACK, 0, t->rcv, NULL, 0);
    cr_assert_eq(t->s->connect_error, -ECONNREFUSED);
    cr_assert_null(script_conn(t));
}

Test(tcp_script, simultaneous_open, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_connect(t);
    send_seg(t, TCP_SYN, t->snd++, 0, NULL, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_SYN_RCVD);
    EXPECT(t, TCP_SYN | TCP_ACK, t->rcv - 1, t->snd, 0);
    send_seg(t, TCP_SYN | TCP_ACK, t->snd - 1, t->rcv, NULL, 0); /* the peer did the same */
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert(t->s->connected);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    send_data(t, "x", 1);
    cr_assert_eq(t->s->rx_len, 1);
}

Test(tcp_script, syn_is_retried_and_given_up, .init = init, .fini = fini)
{
    struct script *t = &T;
    unsigned n = 0;
    uint64_t start;

    script_connect(t);
    start = t->h.w.now_us;
    while (t->s->connect_error == 0) {
        fake_advance(&t->h, 100000);
        while (take(t)) {
            cr_assert_eq(t->seg.flags, TCP_SYN);
            cr_assert_eq(t->seg.seq, t->rcv - 1);
            n++;
        }
        cr_assert_lt(t->h.w.now_us - start, 600000000u);
    }
    cr_assert_eq(t->s->connect_error, -ETIMEDOUT);
    cr_assert_eq(n, 7);
    cr_assert_geq(t->h.w.now_us - start, 180000000u, "MUST-23: 3 minutes at least");
}

Test(tcp_script, syn_rcvd_is_reaped_and_bounded, .init = init, .fini = fini)
{
    struct script *t = &T;

    for (unsigned i = 0; i < 20; i++) {
        t->peer.port = be16_of((uint16_t)(6000 + i));
        fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_SYN, .seq = 1, .wnd = 1000 });
    }
    cr_assert_eq(t->h.listener.half_open, 8, "the backlog");
    cr_assert_eq(t->h.tw.counters[TCP_C_cookies_sent], 12, "the others leave no trace");
    fake_advance(&t->h, 200000000);
    cr_assert_eq(t->h.listener.half_open, 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

Test(tcp_script, retransmitted_syn_is_answered_again, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    send_seg(t, TCP_SYN, t->snd - 1, 0, NULL, 0);
    EXPECT(t, TCP_SYN | TCP_ACK, t->rcv - 1, t->snd, 0);
    fake_advance(&t->h, 1100000);
    EXPECT(t, TCP_SYN | TCP_ACK, t->rcv - 1, t->snd, 0); /* and by the timer */
    cr_assert_eq(t->h.tw.n_conns, 1);
}

Test(tcp_script, accept_queue_full_then_room, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    t->h.listener.accept_error = -ENOBUFS;
    send_ack(t);
    EXPECT_NOTHING(t);
    cr_assert_eq(script_conn(t)->state, TCP_S_SYN_RCVD);
    t->h.listener.accept_error = 0;
    send_data(t, "late", 4);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert_eq(fake_accepted(&t->h)->rx_len, 4);
}

Test(tcp_script, listener_gone_at_the_last_ack, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    t->h.listener.accept_error = -ECONNREFUSED;
    send_ack(t);
    EXPECT(t, TCP_RST | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_null(script_conn(t));
}

Test(tcp_script, unlisten_drops_half_open, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    tcp_transport_ops.unlisten(&t->h.w, &t->h.listener);
    t->h.listening = false;
    cr_assert_eq(t->h.tw.n_conns, 0);
    send_ack(t);
    EXPECT(t, TCP_RST, t->rcv, 0, 0);
}

Test(tcp_script, at_a_listener, .init = init, .fini = fini)
{
    struct script *t = &T;

    send_seg(t, TCP_RST, 1, 0, NULL, 0);
    send_seg(t, TCP_FIN, 1, 0, NULL, 0);
    EXPECT_NOTHING(t);
    send_seg(t, TCP_ACK, 1, 777, NULL, 0);
    EXPECT(t, TCP_RST, 777, 0, 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

/* ---- no connection (s3.10.7.1) ---- */

Test(tcp_script, closed_port, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.listening = false;
    send_seg(t, TCP_SYN, 100, 0, NULL, 0);
    EXPECT(t, TCP_RST | TCP_ACK, 0, 101, 0);
    send_seg(t, TCP_SYN | TCP_FIN, 100, 0, "abc", 3);
    EXPECT(t, TCP_RST | TCP_ACK, 0, 105, 0);
    send_seg(t, TCP_ACK, 100, 999, "abc", 3);
    EXPECT(t, TCP_RST, 999, 0, 0);
    send_seg(t, TCP_RST, 100, 0, NULL, 0);
    send_seg(t, TCP_RST | TCP_ACK, 100, 5, NULL, 0);
    EXPECT_NOTHING(t);
}

/* ---- resets and challenge ACKs (RFC 5961) ---- */

Test(tcp_script, reset_only_at_rcv_nxt, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    send_seg(t, TCP_RST, t->snd + 100000, 0, NULL, 0);
    send_seg(t, TCP_RST, t->snd - 1, 0, NULL, 0);
    EXPECT_NOTHING(t);
    send_seg(t, TCP_RST, t->snd + 10, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->s->reset_error, 0);
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0);
    cr_assert_eq(t->s->reset_error, -ECONNRESET);
    cr_assert_null(script_conn(t));
}

Test(tcp_script, syn_on_an_established_connection, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    send_seg(t, TCP_SYN, t->snd + 5, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    fake_advance(&t->h, 600000);
    send_seg(t, TCP_SYN, t->snd - 100000, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
}

Test(tcp_script, challenges_are_limited, .init = init, .fini = fini)
{
    struct script *t = &T;
    unsigned n = 0;

    script_open(t, false, false);
    for (unsigned i = 0; i < 100; i++)
        send_seg(t, TCP_RST, t->snd + 10 + i, 0, NULL, 0);
    while (take(t))
        n++;
    cr_assert_eq(n, 1);
    cr_assert_eq(t->h.tw.counters[TCP_C_challenge_limited], 99);
    fake_advance(&t->h, 600000);
    send_seg(t, TCP_RST, t->snd + 10, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
}

Test(tcp_script, ack_of_unsent_and_too_old, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    send_seg(t, TCP_ACK, t->snd, t->rcv + 1, "no", 2); /* not sent yet: ACK, drop */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    fake_advance(&t->h, 600000);
    send_seg(t, TCP_ACK, t->snd, t->rcv - PEER_WND - 1, "no", 2); /* older than any window: challenge, drop */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->s->rx_len, 0);
    send_seg(t, TCP_ACK, t->snd, t->rcv - 10, "ok", 2); /* merely old: its text is taken */
    cr_assert_eq(t->s->rx_len, 2);
}

Test(tcp_script, no_ack_war, .init = init, .fini = fini)
{
    struct script *t = &T;
    unsigned n = 0;

    script_open(t, false, false);
    for (unsigned i = 0; i < 50; i++)
        send_seg(t, TCP_ACK, t->snd - 5000, t->rcv, NULL, 0);
    while (take(t))
        n++;
    cr_assert_eq(n, 1);
}

/* ---- closing ---- */

Test(tcp_script, active_close_and_time_wait, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv++, t->snd, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_FIN_WAIT_1);
    send_ack(t);
    cr_assert_eq(script_conn(t)->state, TCP_S_FIN_WAIT_2);
    cr_assert(t->s->is_closed);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert(script_in_time_wait(t));
    fake_advance(&t->h, 40000000);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd - 1, t->rcv, NULL, 0); /* our ACK was lost: again, and 2 MSL anew */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    fake_advance(&t->h, 40000000);
    cr_assert(script_in_time_wait(t));
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0); /* RFC 1337 */
    cr_assert_not_null(script_conn(t));
    fake_advance(&t->h, 21000000);
    cr_assert_null(script_conn(t));
    EXPECT_NOTHING(t);
}

Test(tcp_script, simultaneous_close, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv, t->snd, 0);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0); /* does not acknowledge ours */
    cr_assert_eq(script_conn(t)->state, TCP_S_CLOSING);
    EXPECT(t, TCP_ACK, t->rcv + 1, t->snd, 0);
    cr_assert_not(t->s->is_closed);
    t->rcv++;
    send_ack(t);
    cr_assert(script_in_time_wait(t));
    cr_assert(t->s->is_closed);
}

Test(tcp_script, half_close_still_receives, .init = init, .fini = fini)
{
    struct script *t = &T;
    char buf[8];

    script_open(t, false, false);
    fake_write(&t->h, t->s, "bye", 3);
    tcp_transport_ops.shutdown_wr(&t->h.w, t->s->conn);
    fake_tx(&t->h);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv + 3, t->snd, 0);
    t->rcv += 4;
    send_ack(t);
    cr_assert_eq(script_conn(t)->state, TCP_S_FIN_WAIT_2);
    fake_advance(&t->h, 300000000); /* a reader waits as long as it likes */
    send_data(t, "more", 4);
    cr_assert_eq(fake_read(&t->h, t->s, buf, sizeof(buf)), 4);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    cr_assert(t->s->rx_fin);
    cr_assert_not(t->s->is_closed);
    cr_assert_eq(script_conn(t)->state, TCP_S_TIME_WAIT, "its program may still ask for it: as it is");
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    cr_assert(t->s->is_closed);
}

Test(tcp_script, ends_before_the_program_closes, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct transport_conn *c;

    script_open(t, false, false);
    c = t->s->conn;
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    tcp_transport_ops.shutdown_wr(&t->h.w, c);
    fake_tx(&t->h);
    t->rcv++;
    send_ack(t); /* LAST-ACK is over, but the program has not closed */
    cr_assert_null(script_conn(t), "out of the lookup");
    cr_assert_not(t->s->is_closed);
    cr_assert_eq(t->h.tw.n_conns, 1);
    tcp_transport_ops.close(&t->h.w, c, -1);
    cr_assert(t->s->is_closed);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

Test(tcp_script, fin_wait_2_without_reader_times_out, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv++, t->snd, 0);
    send_ack(t);
    fake_advance(&t->h, 59000000);
    cr_assert_not_null(script_conn(t));
    fake_advance(&t->h, 2000000);
    cr_assert_null(script_conn(t));
}

Test(tcp_script, unread_bytes_at_close_reset, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    send_data(t, "unread", 6);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    EXPECT(t, TCP_RST | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert(t->s->is_closed);
    cr_assert_null(script_conn(t));
}

Test(tcp_script, linger_zero_resets, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    tcp_transport_ops.close(&t->h.w, t->s->conn, 0);
    EXPECT(t, TCP_RST | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert(t->s->is_closed);
}

Test(tcp_script, data_after_close_resets, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv++, t->snd, 0);
    send_data(t, "late", 4);
    EXPECT(t, TCP_RST | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert(t->s->is_closed);
    cr_assert_null(script_conn(t));
}

Test(tcp_script, fin_beyond_a_hole, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t seq;

    script_open(t, false, false);
    seq = t->snd;
    send_seg(t, TCP_FIN | TCP_ACK, seq + 4, t->rcv, "5678", 4);
    EXPECT(t, TCP_ACK, t->rcv, seq, 0);
    cr_assert_not(t->s->rx_fin);
    send_seg(t, TCP_ACK, seq, t->rcv, "1234", 4);
    EXPECT(t, TCP_ACK, t->rcv, seq + 9, 0);
    cr_assert(t->s->rx_fin);
    cr_assert_eq(t->s->rx_len, 8);
    cr_assert_eq(memcmp(t->s->rx, "12345678", 8), 0);
}

/* ---- TIME-WAIT and a new SYN (RFC 6191), PAWS (RFC 7323 s5) ---- */

static uint32_t into_time_wait(struct script *t, bool ts)
{
    t->tsval = 1000;
    script_open(t, ts, false);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv++, t->snd, 0);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_WAITING, "nobody holds it: the compact form");
    cr_assert_eq(t->h.tw.conns.n_taken, 0);
    return t->rcv;
}

/* All that is sent from the compact form is as it was, and it ends in time, in order. */
Test(tcp_script, time_wait_compact, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct json_t *rows = json_array();
    struct tcp_opts o;

    into_time_wait(t, true);
    cr_assert_eq(t->h.tw.n_time_wait, 1);
    cr_assert_eq(t->h.tw.n_conns, 1);
    cr_assert_eq(tcp_show_timers(&t->h.w, 0, 10, rows), UINT32_MAX);
    cr_assert_eq(json_array_size(rows), 1);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, 0), "state")), "TIME-WAIT");
    cr_assert_float_eq(json_real_value(json_object_get(json_array_get(rows, 0), "time_wait_ms")), 60000, 1);
    json_decref(rows);
    fake_advance(&t->h, 50000000);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd - 1, t->rcv, NULL, 0); /* our ACK was lost: again, and 2 MSL anew */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_ts && o.tsecr == t->tsval && o.tsval != 0);
    send_seg(t, TCP_ACK, t->snd + 5, t->rcv, "x", 1); /* not what it expects: one ACK for many */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    send_seg(t, TCP_ACK, t->snd + 5, t->rcv, "x", 1);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 59000000);
    cr_assert_eq(script_conn(t)->state, TCP_S_WAITING);
    fake_advance(&t->h, 1100000);
    cr_assert_null(script_conn(t));
    cr_assert_eq(t->h.tw.n_time_wait + t->h.tw.n_conns + t->h.tw.waits.n_taken, 0);
    cr_assert_not(timer_is_running(&t->h.tw.wait_timer));
}

Test(tcp_script, time_wait_reuse_by_timestamp, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t old = into_time_wait(t, true);

    t->snd -= 100000; /* lower sequence number, same timestamp: not surely new */
    send_seg(t, TCP_SYN, t->snd, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd + 100000, 0);
    t->tsval++;
    send_seg(t, TCP_SYN, t->snd, 0, NULL, 0);
    EXPECT(t, TCP_SYN | TCP_ACK, t->seg.seq, t->snd + 1, 0);
    cr_assert(seq_gt(t->seg.seq, old), "beyond what the old connection used");
    cr_assert_eq(t->h.tw.counters[TCP_C_timewait_reused], 1);
    cr_assert_eq(t->h.tw.n_time_wait, 0);
}

Test(tcp_script, time_wait_reuse_by_sequence, .init = init, .fini = fini)
{
    struct script *t = &T;

    into_time_wait(t, false);
    send_seg(t, TCP_SYN, t->snd - 10, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    send_seg(t, TCP_SYN, t->snd + 10, 0, NULL, 0);
    EXPECT(t, TCP_SYN | TCP_ACK, t->seg.seq, t->snd + 11, 0);
}

/* The same timestamp says nothing: a clock may be coarse. The sequence number decides then, and an older timestamp is old with any. */
Test(tcp_script, time_wait_reuse_with_the_same_timestamp, .init = init, .fini = fini)
{
    struct script *t = &T;

    into_time_wait(t, true);
    t->tsval--;
    send_seg(t, TCP_SYN, t->snd + 10, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    t->tsval++;
    send_seg(t, TCP_SYN, t->snd + 10, 0, NULL, 0);
    EXPECT(t, TCP_SYN | TCP_ACK, t->seg.seq, t->snd + 11, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_timewait_reused], 1);
}

Test(tcp_script, connect_takes_over_time_wait, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct session *s;

    into_time_wait(t, true);
    s = fake_connect(&t->h, US, PORT, PEER, PEER_PORT);
    cr_assert_eq(s->connect_error, -EADDRNOTAVAIL, "our timestamp clock has not moved enough");
    fake_advance(&t->h, 1500000);
    s = fake_connect(&t->h, US, PORT, PEER, PEER_PORT);
    cr_assert_eq(s->connect_error, 0);
    cr_assert(take(t));
    cr_assert_eq(t->seg.flags, TCP_SYN);
    cr_assert(seq_gt(t->seg.seq, t->rcv));
}

Test(tcp_script, paws, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->tsval = 1000;
    script_open(t, true, false);
    t->tsval = 2000;
    send_data(t, "new", 3);
    fake_advance(&t->h, 100000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(script_conn(t)->ts_recent, 2000);
    t->tsval = 999; /* older than the SYN; else see tcp_rules/overtaken_by_a_retransmission */
    send_seg(t, TCP_ACK, t->snd, t->rcv, "old", 3);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->s->rx_len, 3, "dropped");
    cr_assert_eq(t->h.tw.counters[TCP_C_paws], 1);
    t->has_ts = false;
    send_seg(t, TCP_ACK, t->snd, t->rcv, "none", 4); /* s3.2: without a timestamp, silently */
    EXPECT_NOTHING(t);
    cr_assert_eq(t->s->rx_len, 3);
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0); /* a RST needs none */
    cr_assert_eq(t->s->reset_error, -ECONNRESET);
}

Test(tcp_script, timestamp_of_a_future_segment_is_not_taken, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->tsval = 1000;
    script_open(t, true, false);
    t->tsval = 5000;
    send_seg(t, TCP_ACK, t->snd + 100, t->rcv, "ahead", 5); /* beyond Last.ACK.sent: would make PAWS drop the hole's filler */
    cr_assert_eq(script_conn(t)->ts_recent, 1000);
    t->tsval = 1001;
    send_data(t, t->data, 100);
    cr_assert_eq(t->s->rx_len, 105);
}

/* ---- malformed ---- */

Test(tcp_script, malformed_segments, .init = init, .fini = fini)
{
    static const uint8_t bad_opt[4] = { 8, 0, 0, 0 };
    struct script *t = &T;
    struct ip_endpoint peer = t->peer;

    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_SYN, .seq = 1, .opt = bad_opt, .opt_len = 4 });
    cr_assert_eq(t->h.tw.counters[TCP_C_bad_options], 1);
    t->peer = fake_endpoint("224.0.0.1", 1);
    send_seg(t, TCP_SYN, 1, 0, NULL, 0);
    t->peer = fake_endpoint(PEER, 0);
    send_seg(t, TCP_SYN, 1, 0, NULL, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_bad_source], 2);
    t->peer = peer;
    script_open(t, false, false);
    send_seg(t, 0, t->snd, 0, "no ack", 6);
    cr_assert_eq(t->h.tw.counters[TCP_C_no_ack_flag], 1);
    cr_assert_eq(t->s->rx_len, 0);
    EXPECT_NOTHING(t);
}
