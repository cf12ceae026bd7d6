/* tcp_manage_test.c - limits on what ended connections may hold, and what may not be connected to (RFC 9293 s3.6, s3.9.2.3) */
#include <jansson.h>
#include "tests/unit/server/tcp/tcp_script.h"

static struct script T;
static void init(void) { script_init(&T); }
static void fini(void) { fake_fini(&T.h); }

/* Closed by both sides, we first. */
static void close_in_order(struct script *t)
{
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv++, t->snd, 0);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
}

static void next_peer(struct script *t)
{
    t->peer.port = be16_of((uint16_t)(be16_get(t->peer.port) + 1));
    t->has_ts = false;
    t->snd = PEER_ISS;
    for (unsigned i = 0; i < FAKE_SESSIONS; i++)
        t->h.s[i].used = false;
}

Test(tcp_manage, time_wait_is_bounded, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.tw.cfg.max_time_wait = 2;
    for (unsigned i = 0; i < 4; i++) {
        script_open(t, false, false);
        close_in_order(t);
        next_peer(t);
    }
    cr_assert_eq(t->h.tw.counters[TCP_C_timewait_skipped], 2);
    fake_advance(&t->h, 1000);
    cr_assert_eq(t->h.tw.n_time_wait, 2);
    fake_advance(&t->h, 61000000);
    cr_assert_eq(t->h.tw.n_conns, 0);
    cr_assert_eq(t->h.tw.n_orphans, 0);
}

Test(tcp_manage, orphans_are_bounded, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.tw.cfg.max_orphans = 2;
    for (unsigned i = 0; i < 2; i++) {
        script_open(t, false, false);
        tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
        fake_tx(&t->h);
        EXPECT(t, TCP_FIN | TCP_ACK, t->rcv, t->snd, 0);
        next_peer(t);
    }
    cr_assert_eq(t->h.tw.n_orphans, 2);
    script_open(t, false, false);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    EXPECT(t, TCP_RST | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert(t->s->is_closed);
    cr_assert_eq(t->h.tw.n_orphans, 2);
    cr_assert_eq(t->h.tw.counters[TCP_C_orphans_reset], 1);
    fake_advance(&t->h, 200000000); /* nobody answers the two FINs */
    cr_assert_eq(t->h.tw.n_orphans, 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

/* Each way out of CLOSED and on: what was counted in is counted out. */
Test(tcp_manage, orphans_are_counted_out, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct transport_conn *c;

    script_open(t, false, false); /* LAST-ACK */
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv++, t->snd, 0);
    cr_assert_eq(t->h.tw.n_orphans, 1);
    send_ack(t);
    cr_assert_eq(t->h.tw.n_orphans, 0);
    next_peer(t);
    script_open(t, false, false); /* reset while it waits */
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv++, t->snd, 0);
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0);
    cr_assert_eq(t->h.tw.n_orphans, 0);
    next_peer(t);
    script_open(t, false, false); /* over before the program closes, and closed in TIME-WAIT */
    c = t->s->conn;
    tcp_transport_ops.shutdown_wr(&t->h.w, c);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv++, t->snd, 0);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    tcp_transport_ops.close(&t->h.w, c, -1);
    cr_assert_eq(t->h.tw.n_orphans, 0);
    fake_advance(&t->h, 61000000);
    cr_assert_eq(t->h.tw.n_orphans, 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

/* A SYN that nobody can take leaves the connection in TIME-WAIT its protection. */
Test(tcp_manage, time_wait_stays_without_a_listener, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    close_in_order(t);
    t->h.listening = false;
    send_seg(t, TCP_SYN, t->snd + 1000, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert(script_in_time_wait(t));
    t->h.listening = true;
    t->h.listener.backlog = 0;
    fake_advance(&t->h, 600000);
    send_seg(t, TCP_SYN, t->snd + 1000, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert(script_in_time_wait(t));
    t->h.listener.backlog = 1;
    send_seg(t, TCP_SYN, t->snd + 1000, 0, NULL, 0);
    EXPECT(t, TCP_SYN | TCP_ACK, t->seg.seq, t->snd + 1001, 0);
}

Test(tcp_manage, connect_to_a_broadcast_address, .init = init, .fini = fini)
{
    struct script *t = &T;

    cr_assert_eq(fake_connect(&t->h, US, 1, "10.0.0.255", 1)->connect_error, -ENETUNREACH);
    cr_assert_eq(fake_connect(&t->h, US, 1, "255.255.255.255", 1)->connect_error, -ENETUNREACH);
    cr_assert_eq(fake_connect(&t->h, US, 1, "ff02::1", 1)->connect_error, -ENETUNREACH);
    cr_assert_eq(t->h.tw.n_conns, 0);
    EXPECT_NOTHING(t);
}

/* ---- acknowledging at the start ---- */

Test(tcp_manage, full_segments_are_acknowledged_at_once_at_the_start, .init = init, .fini = fini)
{
    struct script *t = &T;
    unsigned n = 0;

    script_open(t, false, false);
    send_data(t, t->data, 100); /* a request: its answer will carry the ACK */
    EXPECT_NOTHING(t);
    for (unsigned i = 0; i < 20; i++) {
        send_data(t, t->data, 1000);
        while (take(t))
            n++;
        t->s->rx_len = 0;
        memset(t->s->have, 0, sizeof(t->s->have));
    }
    cr_assert_eq(n, 16 + 2, "16 at once, then every second one");
}

Test(tcp_manage, no_quick_acks_for_who_answers, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    fake_write(&t->h, t->s, "220 ready", 9);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 9);
    t->rcv += 9;
    send_data(t, t->data, 1000);
    EXPECT_NOTHING(t);
    send_data(t, t->data, 1000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
}

/* TCP_LINGER2: so long FIN-WAIT-2 waits for a peer that does not finish, whichever comes last: that state, or that the program lets go. */
Test(tcp_manage, linger2_bounds_fin_wait_2, .init = init, .fini = fini)
{
    struct script *t = &T;
    int32_t s = 5;

    for (unsigned i = 0; i < 2; i++) {
        script_open(t, false, false);
        cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_LINGER2, &s, sizeof(s)), 0);
        if (i == 0)
            tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
        else
            tcp_transport_ops.shutdown_wr(&t->h.w, t->s->conn);
        fake_tx(&t->h);
        EXPECT(t, TCP_FIN | TCP_ACK, t->rcv++, t->snd, 0);
        send_ack(t);
        cr_assert_eq(script_conn(t)->state, TCP_S_FIN_WAIT_2);
        if (i == 1)
            tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
        fake_advance(&t->h, 4900000);
        cr_assert_eq(t->h.tw.n_conns, 1);
        fake_advance(&t->h, 200000);
        cr_assert_eq(t->h.tw.n_conns, 0);
        next_peer(t);
    }
}

/* ---- user timeout option (RFC 5482) ---- */

static bool has_uto(const struct fake_seg *s, uint16_t *v)
{
    for (unsigned i = 0; i + 3 < s->opt_len;) {
        if (s->opt[i] == 1) {
            i++;
            continue;
        }
        if (s->opt[i] == 28) {
            *v = (uint16_t)(s->opt[i + 2] << 8 | s->opt[i + 3]);
            return s->opt[i + 1] == 4;
        }
        i += s->opt[i + 1];
    }
    return false;
}

Test(tcp_uto, off_by_default, .init = init, .fini = fini)
{
    static const uint8_t opt[4] = { 28, 4, 0, 200 };
    struct script *t = &T;
    int32_t v = 5000;
    uint16_t uto;

    script_syn(t, opt, sizeof(opt));
    cr_assert_not(has_uto(&t->seg, &uto));
    send_ack(t);
    t->s = fake_accepted(&t->h);
    cr_assert_eq(script_conn(t)->user_timeout_ms, 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_USER_TIMEOUT, &v, 4), 0);
    EXPECT_NOTHING(t);
}

Test(tcp_uto, told_and_taken_within_limits, .init = init, .fini = fini)
{
    static const struct { uint8_t hi, lo; uint32_t ms; } rows[] = {
        { 0, 200, 200000 }, { 0, 1, 100000 }, { 0x80, 5, 300000 }, { 0xff, 0xff, 3600000 }, { 0x80, 0, 300000 },
    };
    struct script *t = &T;
    uint32_t before = 0;
    int32_t v = 45000;
    uint16_t uto = 0;

    t->h.tw.cfg.user_timeout_option = true;
    script_open(t, false, false);
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        uint8_t opt[4] = { 28, 4, rows[i].hi, rows[i].lo };
        uint32_t want = rows[i].hi == 0x80 && rows[i].lo == 0 ? before : rows[i].ms; /* 0 is no timeout: ignored */

        fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .wnd = t->wnd, .opt = opt,
                   .opt_len = 4 });
        cr_assert_eq(script_conn(t)->user_timeout_ms, want, "row %u: %u", i, script_conn(t)->user_timeout_ms);
        before = want;
    }
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_USER_TIMEOUT, &v, 4), 0);
    cr_assert(take(t));
    cr_assert(has_uto(&t->seg, &uto));
    cr_assert_eq(uto, 45);
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .wnd = t->wnd,
               .opt = (const uint8_t[]){ 28, 4, 2, 0 }, .opt_len = 4 });
    cr_assert_eq(script_conn(t)->user_timeout_ms, 45000, "the program's own wins");
    send_seg(t, TCP_ACK, t->snd - 2000, t->rcv, "old", 3);
    cr_assert(take(t));
    cr_assert_not(has_uto(&t->seg, &uto), "told once");
}

/* s3.1: known before the handshake, it is in the SYN,ACK: a peer that is lost right after it has been told, too. */
Test(tcp_uto, told_in_the_syn_ack, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint16_t uto = 0;

    t->h.tw.cfg.user_timeout_option = true;
    t->h.listener.attr[SVM_ATTR_USER_TIMEOUT] = 45000;
    script_syn(t, NULL, 0);
    cr_assert(has_uto(&t->seg, &uto));
    cr_assert_eq(uto, 45);
}

/* ---- show ---- */

Test(tcp_show, trace_is_off_until_asked_for, .init = init, .fini = fini)
{
    struct script *t = &T;
    json_t *rows = json_array();

    script_open(t, false, false);
    cr_assert_eq(tcp_trace_show(&t->h.w, 0, 100, rows), UINT32_MAX);
    cr_assert_eq(json_array_size(rows), 0);
    cr_assert_eq(tcp_trace_switch(&t->h.w, true), 0);
    close_in_order(t);
    cr_assert_eq(tcp_trace_show(&t->h.w, 0, 1, rows), 1, "a piece");
    cr_assert_eq(tcp_trace_show(&t->h.w, 1, 100, rows), UINT32_MAX);
    cr_assert_eq(json_array_size(rows), 3);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, 0), "from")), "ESTABLISHED");
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, 0), "state")), "FIN-WAIT-1");
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, 2), "state")), "TIME-WAIT");
    json_decref(rows);
    rows = json_array();
    cr_assert_eq(tcp_trace_switch(&t->h.w, false), 0);
    cr_assert_eq(tcp_trace_show(&t->h.w, 0, 100, rows), UINT32_MAX);
    cr_assert_eq(json_array_size(rows), 0);
    json_decref(rows);
}

Test(tcp_show, trace_keeps_the_latest, .init = init, .fini = fini)
{
    struct script *t = &T;
    json_t *rows = json_array();

    cr_assert_eq(tcp_trace_switch(&t->h.w, true), 0);
    for (unsigned i = 0; i < 5000; i++) { /* two events each: SYN-RCVD, CLOSED */
        t->snd = PEER_ISS;
        script_syn(t, NULL, 0);
        send_seg(t, TCP_RST, t->snd, 0, NULL, 0);
    }
    cr_assert_eq(tcp_trace_show(&t->h.w, 0, 100000, rows), UINT32_MAX);
    cr_assert_eq(json_array_size(rows), 8192);
    json_decref(rows);
}

Test(tcp_show, session_verbose, .init = init, .fini = fini)
{
    struct script *t = &T;
    json_t *o = json_object();

    script_open(t, false, false);
    send_data(t, "12345", 5);
    tcp_transport_ops.show(&t->h.w, t->s->conn, o);
    cr_assert_str_eq(json_string_value(json_object_get(o, "state")), "ESTABLISHED");
    cr_assert_eq(json_integer_value(json_object_get(o, "bytes_received")), 5);
    cr_assert_eq(json_integer_value(json_object_get(o, "path_mtu")), 1500);
    cr_assert_eq(json_integer_value(json_object_get(o, "mss")), 1000);
    cr_assert(json_is_false(json_object_get(o, "nodelay")));
    json_decref(o);
}

Test(tcp_show, timers_of_every_connection, .init = init, .fini = fini)
{
    struct script *t = &T;
    json_t *rows = json_array(), *row;

    script_open(t, false, false);
    fake_write(&t->h, t->s, "x", 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1);
    cr_assert_eq(tcp_show_timers(&t->h.w, 0, 10, rows), UINT32_MAX);
    cr_assert_eq(json_array_size(rows), 1);
    row = json_array_get(rows, 0);
    cr_assert_str_eq(json_string_value(json_object_get(row, "state")), "ESTABLISHED");
    cr_assert_gt(json_real_value(json_object_get(row, "retransmit_ms")), 0.0);
    cr_assert_null(json_object_get(row, "delayed_ack_ms"));
    cr_assert_null(json_object_get(row, "keepalive_ms"));
    cr_assert_eq(tcp_show_timers(&t->h.w, 64, 10, rows), UINT32_MAX);
    json_decref(rows);
}

/* The peer takes its window back from under what is in flight: what is sent now are probes, and they are called so. */
Test(tcp_show, probes_of_a_shrunk_window, .init = init, .fini = fini)
{
    struct script *t = &T;
    json_t *rows = json_array(), *events = json_array(), *row;

    script_open(t, false, false);
    fake_write(&t->h, t->s, "x", 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1);
    t->wnd = 0;
    send_ack(t);
    cr_assert_eq(tcp_trace_switch(&t->h.w, true), 0);
    cr_assert_eq(tcp_show_timers(&t->h.w, 0, 10, rows), UINT32_MAX);
    row = json_array_get(rows, 0);
    cr_assert_gt(json_real_value(json_object_get(row, "window_probe_ms")), 0.0);
    cr_assert_null(json_object_get(row, "retransmit_ms"));
    fake_advance(&t->h, 3100000); /* an RTO without a sample, and once more */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1);
    cr_assert_eq(tcp_trace_show(&t->h.w, 0, 1, events), 1);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(events, 0), "event")), "window probe");
    json_decref(rows);
    json_decref(events);
}

/* ---- black holes (RFC 4821 s7.7) ---- */

/* Everything of full size vanishes; returns the size of the first segment that the n-th timeout sends. */
static uint32_t after_timeouts(struct script *t, unsigned n)
{
    uint32_t len = 0;

    while (t->h.tw.counters[TCP_C_rto] < n) {
        fake_advance(&t->h, 10000);
        while (take(t))
            len = t->seg.seq == t->rcv ? t->seg.len : len;
    }
    return len;
}

#ifndef SCRIPT_V6
Test(tcp_pmtu, black_hole_v4, .init = init, .fini = fini)
{
    static const uint8_t mss[4] = { 2, 4, 1460 >> 8, 1460 & 255 };
    struct script *t = &T;
    struct tcp_conn *c;

    script_syn(t, mss, sizeof(mss));
    send_ack(t);
    t->s = fake_accepted(&t->h);
    c = script_conn(t);
    fake_write(&t->h, t->s, t->data, 6000);
    cr_assert_eq(after_timeouts(t, 2), 1460);
    cr_assert_eq(after_timeouts(t, 3), 1240);
    cr_assert_eq(after_timeouts(t, 4), 984);
    cr_assert_eq(after_timeouts(t, 5), 536);
    cr_assert_eq(after_timeouts(t, 6), 536, "and no further");
    cr_assert_eq(t->h.tw.counters[TCP_C_pmtu_black_hole], 3);
    t->rcv += 536;
    for (unsigned i = 0; i < 200 && t->s->tx_len; i++) { /* now it gets through */
        send_ack(t);
        while (take(t)) {
            cr_assert_leq(t->seg.len, 536);
            if (t->seg.seq == t->rcv)
                t->rcv += t->seg.len;
        }
    }
    cr_assert_eq(t->s->tx_len, 0);
    fake_advance(&t->h, 601000000);
    fake_write(&t->h, t->s, t->data, 2000);
    cr_assert(take(t));
    cr_assert_eq(t->seg.len, 1460, "the route's size is tried again");
    cr_assert_eq(c->flags & TCP_F_PMTU_LOW, 0);
}

/* Half a round of the millisecond clock later the end of the ten minutes seems to lie ahead again. */
Test(tcp_pmtu, forgotten_over_a_month_of_silence, .init = init, .fini = fini)
{
    static const uint8_t mss[4] = { 2, 4, 1460 >> 8, 1460 & 255 };
    struct script *t = &T;

    script_syn(t, mss, sizeof(mss));
    send_ack(t);
    t->s = fake_accepted(&t->h);
    tcp_pmtu_lower(&t->h.w, script_conn(t), 1280);
    fake_write(&t->h, t->s, t->data, 1240);
    cr_assert(take(t));
    cr_assert_eq(t->seg.len, 1240);
    t->rcv += 1240;
    send_ack(t);
    fake_advance(&t->h, 30 * 86400 * 1000000ull);
    fake_write(&t->h, t->s, t->data, 1460);
    cr_assert(take(t));
    cr_assert_eq(t->seg.len, 1460);
}
#endif

Test(tcp_pmtu, black_hole_v6, .init = init, .fini = fini)
{
    static const uint8_t mss[4] = { 2, 4, 1440 >> 8, 1440 & 255 };
    struct script *t = &T;

    t->us = fake_endpoint("fd00::1", PORT);
    t->peer = fake_endpoint("fd00::2", PEER_PORT);
    t->h.listener.lcl = t->us;
    script_syn(t, mss, sizeof(mss));
    send_ack(t);
    t->s = fake_accepted(&t->h);
    fake_write(&t->h, t->s, t->data, 6000);
    cr_assert_eq(after_timeouts(t, 2), 1440);
    cr_assert_eq(after_timeouts(t, 3), 1220);
    cr_assert_eq(after_timeouts(t, 5), 1220, "IPv6 has nothing smaller");
    cr_assert_eq(t->h.tw.counters[TCP_C_pmtu_black_hole], 1);
}

/* All that there is to send is less than a full segment, and still more than the path takes. */
Test(tcp_pmtu, black_hole_for_a_part_of_a_segment, .init = init, .fini = fini)
{
    static const uint8_t mss[4] = { 2, 4, 1440 >> 8, 1440 & 255 };
    struct script *t = &T;

    script_syn(t, mss, sizeof(mss));
    send_ack(t);
    t->s = fake_accepted(&t->h);
    fake_write(&t->h, t->s, t->data, 1300);
    cr_assert_eq(after_timeouts(t, 2), 1300);
    cr_assert_eq(after_timeouts(t, 3), 1280 - IP_HDR - 20);
}

/* A small segment that is lost says nothing about sizes. */
Test(tcp_pmtu, small_segments_are_no_black_hole, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    fake_write(&t->h, t->s, t->data, 500);
    after_timeouts(t, 5);
    cr_assert_eq(t->h.tw.counters[TCP_C_pmtu_black_hole], 0);
    cr_assert_eq(script_conn(t)->mss, 1000);
}
