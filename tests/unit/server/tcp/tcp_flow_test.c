/* tcp_flow_test.c - segment by segment: windows, probes, Nagle, ACK policy, loss recovery, keep-alive, ICMP */
#include "tests/unit/server/tcp/tcp_script.h"

static struct script T;
static uint8_t bytes[65536];

static void init(void)
{
    script_init(&T);
    for (unsigned i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + (i >> 8));
}
static void fini(void) { fake_fini(&T.h); }

static unsigned drain(struct script *t)
{
    unsigned n = 0;

    while (take(t))
        n++;
    return n;
}

/* ---- acknowledging ---- */

Test(tcp_flow, delayed_ack_and_every_second_segment, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    script_conn(t)->quick_acks = 0; /* those of the start are over */
    for (unsigned i = 0; i < 3; i++) {
        send_data(t, bytes, 1480 - IP_HDR);
        EXPECT_NOTHING(t);
        send_data(t, bytes, 1480 - IP_HDR);
        EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    }
    send_data(t, bytes, 10);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 39000);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 2000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_delayed_acks], 1);
}

Test(tcp_flow, out_of_order_sack_and_dsack, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_opts o;
    uint32_t base;

    script_open(t, false, true);
    base = t->snd;
    send_seg(t, TCP_ACK, base + 100, t->rcv, bytes + 100, 100);
    EXPECT(t, TCP_ACK, t->rcv, base, 0);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.n_sack == 1 && o.sack[0].start == base + 100 && o.sack[0].end == base + 200);
    send_seg(t, TCP_ACK, base + 300, t->rcv, bytes + 300, 100);
    EXPECT(t, TCP_ACK, t->rcv, base, 0);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert_eq(o.n_sack, 2);
    send_seg(t, TCP_ACK, base, t->rcv, bytes, 100); /* fills the first hole: at once */
    EXPECT(t, TCP_ACK, t->rcv, base + 200, 0);
    send_seg(t, TCP_ACK, base + 200, t->rcv, bytes + 200, 100);
    EXPECT(t, TCP_ACK, t->rcv, base + 400, 0);
    cr_assert_eq(t->seg.opt_len, 0);
    cr_assert_eq(memcmp(t->s->rx, bytes, 400), 0);
    send_seg(t, TCP_ACK, base + 50, t->rcv, bytes + 50, 100); /* again: D-SACK */
    EXPECT(t, TCP_ACK, t->rcv, base + 400, 0);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.n_sack == 1 && o.sack[0].start == base + 50 && o.sack[0].end == base + 150);
}

Test(tcp_flow, segment_that_overlaps_both_edges, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.listener.rx_max = 4096;
    script_open(t, false, false);
    send_data(t, bytes, 100);
    send_seg(t, TCP_ACK, t->snd - 50, t->rcv, bytes + 50, 8000); /* from before rcv_nxt to beyond the window */
    cr_assert_eq(t->s->rx_len, 4096);
    cr_assert_eq(memcmp(t->s->rx, bytes, 4096), 0);
}

/* ---- our window ---- */

Test(tcp_flow, window_closes_and_opens_by_useful_steps, .init = init, .fini = fini)
{
    struct script *t = &T;
    static uint8_t buf[65536];
    uint32_t edge;

    t->h.listener.rx_max = 8192;
    script_open(t, false, false);
    for (unsigned i = 0; i < 8; i++)
        send_data(t, bytes + i * 1024, 1024);
    cr_assert_gt(drain(t), 0);
    fake_advance(&t->h, 100000);
    drain(t);
    cr_assert_eq(t->seg.wnd, 0);
    edge = t->seg.ack;
    send_seg(t, TCP_ACK, t->snd, t->rcv, bytes, 1); /* a probe: refused, acknowledged */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->seg.wnd, 0);
    fake_read(&t->h, t->s, buf, 100); /* silly: nothing is told */
    EXPECT_NOTHING(t);
    send_seg(t, TCP_ACK, t->snd, t->rcv, bytes, 1); /* not even who asks */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->seg.wnd, 0);
    fake_read(&t->h, t->s, buf, 5000);
    EXPECT(t, TCP_ACK, t->rcv, edge, 0);
    cr_assert_geq(t->seg.wnd, 4096);
    cr_assert_leq(t->seg.wnd, 5100);
}

Test(tcp_flow, ack_in_a_segment_for_a_closed_window_counts, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.listener.rx_max = 4096;
    script_open(t, false, false);
    send_data(t, bytes, 4096);
    fake_write(&t->h, t->s, bytes, 500);
    drain(t);
    cr_assert_eq(t->seg.wnd, 0);
    t->rcv += 500;
    send_seg(t, TCP_ACK, t->snd, t->rcv, bytes, 100);
    cr_assert_eq(t->s->tx_len, 0, "the text does not fit, its ACK does (s3.10.7.4)");
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
}

/* The peer has filled our window, and that was lost: its ACKs stand behind it and count all the same. */
Test(tcp_flow, ack_at_the_right_edge_counts, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t edge;

    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 500);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 500);
    t->rcv += 500;
    edge = script_conn(t)->rcv_adv;
    cr_assert_neq(edge, t->snd);
    send_seg(t, TCP_ACK, edge + 1, t->rcv, NULL, 0);
    cr_assert_eq(t->s->tx_len, 500, "beyond the window");
    send_seg(t, TCP_ACK, edge, t->rcv, NULL, 0);
    cr_assert_eq(t->s->tx_len, 0);
}

/* ---- the peer's window ---- */

Test(tcp_flow, zero_window_probes, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint64_t last, gap = 0;

    t->wnd = 0;
    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 3000);
    EXPECT_NOTHING(t);
    last = t->h.w.now_us;
    for (unsigned i = 0; i < 40; i++) { /* far longer than R2: the connection lives as long as probes are answered (MUST-37) */
        while (t->h.n_out == 0)
            fake_advance(&t->h, 50000);
        EXPECT(t, TCP_ACK, t->rcv, t->snd, 1);
        cr_assert_eq(t->data[0], bytes[0]);
        cr_assert_geq(t->h.w.now_us - last + 100000, gap, "backoff");
        gap = t->h.w.now_us - last;
        last = t->h.w.now_us;
        send_ack(t);
    }
    cr_assert_leq(gap, 61000000);
    cr_assert_eq(t->s->reset_error, 0);
    t->wnd = 2500;
    send_ack(t);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    EXPECT(t, TCP_ACK, t->rcv + 1000, t->snd, 1000);
    EXPECT_NOTHING(t);
    t->rcv += 2000;
    t->wnd = PEER_WND;
    send_ack(t);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_eq(memcmp(t->data, bytes + 2000, 1000), 0);
}

Test(tcp_flow, probe_that_is_taken, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->wnd = 0;
    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 1500);
    fake_advance(&t->h, 300000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1);
    t->rcv++;
    t->wnd = PEER_WND;
    send_ack(t);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_eq(memcmp(t->data, bytes + 1, 1000), 0);
}

/* How long the peer's program did not read is no property of the path (Karn); and no stamp outlives the rounds of its clock. */
static void closed_for_hours(struct script *t, uint32_t sent)
{
    struct tcp_conn *c = script_conn(t);
    uint32_t srtt_us = c->srtt_us, min_rtt_us = c->min_rtt_us;

    for (uint64_t end = t->h.w.now_us + 2 * 3600000000ull; t->h.w.now_us < end;) {
        fake_advance(&t->h, 30000000);
        while (take(t))
            send_ack(t);
    }
    cr_assert_eq(t->s->reset_error, 0);
    fake_advance(&t->h, 70000000); /* the next probe is taken, with all that was in flight */
    cr_assert(drain(t) >= 1);
    t->rcv += sent;
    t->wnd = PEER_WND;
    send_ack(t);
    cr_assert_leq(c->srtt_us, srtt_us + 1000, "%u", c->srtt_us);
    cr_assert_leq(c->min_rtt_us, min_rtt_us + 1000, "%u", c->min_rtt_us);
    cr_assert_leq(c->rto_us, 1000000);
}

Test(tcp_flow, window_closed_for_hours, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->wnd = 0;
    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 1500);
    closed_for_hours(t, 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
}

Test(tcp_flow, window_shrunk_for_hours, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 3000);
    cr_assert_eq(drain(t), 3);
    t->wnd = 0;
    send_ack(t);
    closed_for_hours(t, 3000);
    cr_assert_eq(t->s->tx_len, 0);
}

Test(tcp_flow, fin_waits_for_the_window, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->wnd = 0;
    script_open(t, false, false);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 300000);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv, t->snd, 0);
    send_ack(t); /* refused */
    t->wnd = 10;
    send_ack(t);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv, t->snd, 0);
    t->rcv++;
    send_ack(t);
    cr_assert_eq(script_conn(t)->state, TCP_S_FIN_WAIT_2);
}

Test(tcp_flow, unanswered_probes_end_it, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->wnd = 0;
    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 10);
    fake_advance(&t->h, 2000000000ull);
    cr_assert_eq(t->s->reset_error, -ETIMEDOUT);
}

Test(tcp_flow, shrunk_window, .init = init, .fini = fini)
{
    struct script *t = &T;
    unsigned n;

    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 5000);
    n = drain(t);
    cr_assert_eq(n, 5);
    t->wnd = 0; /* taken back under data in flight (MUST-34) */
    send_ack(t);
    fake_advance(&t->h, 1500000);
    cr_assert_geq(drain(t), 1);
    cr_assert_eq(t->seg.len, 1, "a probe, no congestion");
    send_ack(t);
    t->wnd = PEER_WND;
    send_ack(t);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_OPEN);
    drain(t);
    t->rcv += 5000;
    send_ack(t);
    cr_assert_eq(t->s->tx_len, 0);
}

Test(tcp_flow, nagle_nodelay_cork, .init = init, .fini = fini)
{
    struct script *t = &T;
    int32_t on = 1, off = 0;

    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 10);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 10); /* nothing in flight: at once */
    fake_write(&t->h, t->s, bytes, 10);
    EXPECT_NOTHING(t);
    fake_write(&t->h, t->s, bytes, 985);
    EXPECT_NOTHING(t);
    fake_write(&t->h, t->s, bytes, 5);
    EXPECT(t, TCP_ACK, t->rcv + 10, t->snd, 1000); /* a full segment goes */
    fake_write(&t->h, t->s, bytes, 20);
    EXPECT_NOTHING(t);
    t->rcv += 10;
    send_ack(t);
    EXPECT(t, TCP_ACK, t->rcv + 1000, t->snd, 20); /* the partial one is acknowledged (Minshall) */
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_NODELAY, &on, sizeof(on)), 0);
    fake_write(&t->h, t->s, bytes, 3);
    EXPECT(t, TCP_ACK, t->rcv + 1020, t->snd, 3);
    t->rcv += 1023;
    send_ack(t);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_CORK, &on, sizeof(on)), 0);
    fake_write(&t->h, t->s, bytes, 7);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 250000); /* the ceiling */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 7);
    t->rcv += 7;
    send_ack(t);
    fake_write(&t->h, t->s, bytes, 8);
    EXPECT_NOTHING(t);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_CORK, &off, sizeof(off)), 0);
    fake_tx(&t->h);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 8);
}

/* What the program has written is in a line of its own core: it is looked at as seldom as can be, and what comes meanwhile is not left. */
Test(tcp_flow, looks_for_what_there_is_to_send, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    fake_tx(&t->h);
    cr_assert_eq(t->s->n_tx_looks, 1, "accepted: there is nothing yet, what comes makes an event");
    fake_write(&t->h, t->s, bytes, 1000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_eq(t->s->n_tx_looks, 3, "what there is, and whether it was the last");
    t->rcv += 1000;
    send_ack(t);
    fake_tx(&t->h);
    cr_assert_eq(t->s->n_tx_looks, 3, "all was sent, and is acknowledged");
    t->s->late_look = 5;
    t->s->late_len = 1000;
    fake_write(&t->h, t->s, bytes, 1000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_not(t->seg.flags & TCP_PSH);
    EXPECT(t, TCP_ACK, t->rcv + 1000, t->snd, 1000);
    cr_assert(t->seg.flags & TCP_PSH);
}

Test(tcp_flow, sender_avoids_silly_windows, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    t->wnd = 100; /* max window seen is 60000: 100 bytes are silly */
    send_ack(t);
    fake_write(&t->h, t->s, bytes, 5000);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 1500000); /* the override timer */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 100);
}

Test(tcp_flow, super_frames, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.tso_max = 65535;
    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 9500);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 9500);
    cr_assert_eq(memcmp(t->data, bytes, 9500), 0);
    fake_write(&t->h, t->s, bytes, 1500);
    EXPECT_NOTHING(t); /* cwnd is 10 segments, and no room for a whole one is left */
    t->rcv += 9500;
    send_ack(t);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1500);
}

Test(tcp_flow, payload_is_attached_where_the_port_takes_that, .init = init, .fini = fini)
{
    struct script *t = &T;

    for (unsigned takes = 0; takes < 2; takes++) {
        t->h.tso_max = 65535;
        t->h.takes_attached = takes;
        if (takes)
            cr_assert_eq(tcp_conn_path_update(&t->h.w, script_conn(t)), 0);
        else
            script_open(t, false, false);
        script_conn(t)->cwnd = 40000;
        fake_write(&t->h, t->s, bytes, 1000);
        EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
        cr_assert_eq(t->h.n_attach_asked, 0, "a few bytes are copied");
        fake_write(&t->h, t->s, bytes, 30000);
        cr_assert_eq(t->h.n_attach_asked, takes);
        EXPECT(t, TCP_ACK, t->rcv + 1000, t->snd, 30000);
        t->rcv += 31000;
        send_ack(t);
    }
}

/* A turn's budget is not a reason for small packets: whole super-frames, as many as come nearest to it. */
Test(tcp_flow, budget_cuts_no_super_frame, .init = init, .fini = fini)
{
    const struct { unsigned budget, frames; } row[] = { { 1, 1 }, { 4000, 1 }, { 5999, 1 }, { 6000, 2 }, { 8200, 2 }, { 10000, 3 }, { 99999, 5 } };
    struct script *t = &T;

    t->h.tso_max = 4300;
    script_open(t, false, false);
    script_conn(t)->cwnd = 20000;
    for (unsigned i = 0; i < HS_ARRAY_LEN(row); i++) {
        memcpy(t->s->tx + t->s->tx_at, bytes, 20000);
        t->s->tx_len = 20000;
        tcp_transport_ops.tx(&t->h.w, t->s->conn, row[i].budget);
        for (unsigned k = 0; k < row[i].frames; k++)
            EXPECT(t, TCP_ACK, t->rcv + k * 4000, t->snd, 4000);
        EXPECT_NOTHING(t);
        while (tcp_transport_ops.tx(&t->h.w, t->s->conn, 1) == TRANSPORT_TX_MORE)
            ;
        drain(t);
        t->rcv += 20000;
        send_ack(t);
        cr_assert_eq(t->s->tx_len, 0);
    }
}

/* ---- loss ---- */

Test(tcp_flow, fast_retransmit_newreno, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 20000);
    cr_assert_eq(drain(t), 10, "IW10");
    send_ack(t);
    send_ack(t);
    cr_assert_eq(drain(t), 2, "limited transmit (RFC 3042)");
    cr_assert_eq(t->seg.seq, t->rcv + 11000);
    send_ack(t);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_eq(memcmp(t->data, bytes, 1000), 0);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_RECOVERY);
    drain(t);
    t->rcv += 3000; /* partial: the next hole at once (RFC 6582) */
    send_ack(t);
    cr_assert(take(t));
    cr_assert_eq(t->seg.seq, t->rcv);
    drain(t);
    t->rcv = script_conn(t)->recover;
    send_ack(t);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_OPEN);
    cr_assert_eq(t->h.tw.counters[TCP_C_fast_recoveries], 1);
    cr_assert_eq(t->h.tw.counters[TCP_C_rto], 0);
}

static void send_sack(struct script *t, uint32_t start, uint32_t end)
{
    uint8_t opt[12] = { 1, 1, 5, 10 };
    be32 s = be32_of(start), e = be32_of(end);

    memcpy(opt + 4, &s, 4);
    memcpy(opt + 8, &e, 4);
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .wnd = t->wnd,
               .opt = opt, .opt_len = sizeof(opt) });
}

Test(tcp_flow, sack_recovery_resends_only_holes, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    script_open(t, false, true);
    base = t->rcv;
    script_conn(t)->min_rtt_us = script_conn(t)->srtt_us = 40000;
    fake_write(&t->h, t->s, bytes, 10000);
    cr_assert_eq(drain(t), 10);
    fake_advance(&t->h, 40000);
    send_sack(t, base + 1000, base + 2000);
    send_sack(t, base + 3000, base + 4000);
    EXPECT_NOTHING(t);
    send_sack(t, base + 5000, base + 10000);
    EXPECT(t, TCP_ACK, base, t->snd, 1000);
    EXPECT(t, TCP_ACK, base + 2000, t->snd, 1000);
    EXPECT(t, TCP_ACK, base + 4000, t->snd, 1000);
    EXPECT_NOTHING(t);
    t->rcv = base + 10000;
    send_ack(t);
    cr_assert_eq(t->s->tx_len, 0);
    cr_assert_null(script_conn(t)->sent, "nothing in flight, nothing remembered");
    cr_assert_eq(t->h.tw.n_sents, 0);
}

Test(tcp_flow, timeout_backs_off_and_gives_up, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint64_t last, gap = 0;
    unsigned n = 0;

    script_open(t, false, false);
    last = t->h.w.now_us;
    fake_write(&t->h, t->s, bytes, 5000);
    cr_assert_eq(drain(t), 5);
    while (t->s->reset_error == 0) {
        fake_advance(&t->h, 10000);
        while (take(t)) {
            if (t->seg.flags & TCP_RST)
                continue;
            cr_assert_eq(t->seg.seq, t->rcv, "only the first segment (loss window)");
            cr_assert_leq(t->seg.len, 1000); /* smaller after a while: it might be a black hole */
            cr_assert_geq(t->h.w.now_us - last + 20000, 2 * gap > 60000000 ? 60000000 : 2 * gap);
            gap = t->h.w.now_us - last;
            last = t->h.w.now_us;
            n++;
        }
        cr_assert_lt(t->h.w.now_us - last, 200000000u);
    }
    cr_assert_eq(t->s->reset_error, -ETIMEDOUT);
    cr_assert_eq(n, 15);
}

Test(tcp_flow, recovers_after_timeout, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 5000);
    drain(t);
    fake_advance(&t->h, 300000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_eq(script_conn(t)->cwnd, 1000);
    t->rcv += 1000;
    send_ack(t); /* slow start over what is lost */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    EXPECT(t, TCP_ACK, t->rcv + 1000, t->snd, 1000);
    EXPECT_NOTHING(t);
    t->rcv += 4000; /* the rest had arrived after all */
    send_ack(t);
    EXPECT_NOTHING(t);
    cr_assert_eq(script_conn(t)->ca_state, TCP_CA_OPEN);
    cr_assert_eq(t->s->tx_len, 0);
}

Test(tcp_flow, user_timeout, .init = init, .fini = fini)
{
    struct script *t = &T;
    int32_t ms = 3000;

    script_open(t, false, false);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_USER_TIMEOUT, &ms, sizeof(ms)), 0);
    fake_write(&t->h, t->s, bytes, 10);
    fake_advance(&t->h, 2500000);
    cr_assert_eq(t->s->reset_error, 0);
    fake_advance(&t->h, 5000000);
    cr_assert_eq(t->s->reset_error, -ETIMEDOUT);
}

Test(tcp_flow, keepalive, .init = init, .fini = fini)
{
    struct script *t = &T;
    int32_t one = 1, idle = 10, intvl = 2, cnt = 3;
    struct transport_conn *c;

    script_open(t, false, false);
    c = t->s->conn;
    fake_advance(&t->h, 100000000);
    EXPECT_NOTHING(t); /* off by default (MUST-25) */
    tcp_transport_ops.attr_set(&t->h.w, c, SVM_ATTR_KEEPIDLE, &idle, 4);
    tcp_transport_ops.attr_set(&t->h.w, c, SVM_ATTR_KEEPINTVL, &intvl, 4);
    tcp_transport_ops.attr_set(&t->h.w, c, SVM_ATTR_KEEPCNT, &cnt, 4);
    tcp_transport_ops.attr_set(&t->h.w, c, SVM_ATTR_KEEPALIVE, &one, 4);
    fake_advance(&t->h, 10100000);
    EXPECT(t, TCP_ACK, t->rcv - 1, t->snd, 0);
    send_ack(t);
    fake_advance(&t->h, 9000000);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 5500000);
    cr_assert_eq(drain(t), 3, "three probes at most");
    cr_assert_eq(t->s->reset_error, 0);
    fake_advance(&t->h, 2500000);
    cr_assert_eq(t->s->reset_error, -ETIMEDOUT);
}

/* ---- ICMP ---- */

static void icmp(struct script *t, uint32_t seq, int err, bool hard, uint32_t mtu)
{
    struct tcp_hdr q = { .src_port = t->us.port, .dst_port = t->peer.port, .seq = be32_of(seq) };

    tcp_transport_ops.icmp_error(&t->h.w, &(struct transport_error){ .lcl = t->us, .rmt = t->peer, .fib = t->h.ifc.fib, .l4 = (const uint8_t *)&q,
                                                                     .l4_len = 8, .err = err, .hard = hard, .mtu = mtu });
    fake_tx(&t->h);
}

Test(tcp_flow, icmp_hard_error_ends_an_attempt_only, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_connect(t);
    icmp(t, t->rcv + 77, -ECONNREFUSED, true, 0); /* not in flight (RFC 5927 s4.1) */
    cr_assert_eq(t->s->connect_error, 0);
    icmp(t, t->rcv - 1, -EHOSTUNREACH, false, 0); /* soft (MUST-56) */
    cr_assert_eq(t->s->connect_error, 0);
    icmp(t, t->rcv - 1, -ECONNREFUSED, true, 0);
    cr_assert_eq(t->s->connect_error, -ECONNREFUSED);
    cr_assert_eq(t->h.tw.n_conns, 0);
    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 10);
    drain(t);
    icmp(t, t->rcv, -ECONNREFUSED, true, 0);
    cr_assert_eq(t->s->reset_error, 0);
    cr_assert_eq(t->s->soft_error, -ECONNREFUSED);
}

Test(tcp_flow, soft_error_is_the_reason_of_the_timeout, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_connect(t);
    icmp(t, t->rcv - 1, -EHOSTUNREACH, false, 0);
    fake_advance(&t->h, 400000000);
    cr_assert_eq(t->s->connect_error, -EHOSTUNREACH);
}

#ifndef SCRIPT_V6
Test(tcp_flow, path_mtu, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t cwnd;

    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 3000);
    cr_assert_eq(drain(t), 3);
    cwnd = script_conn(t)->cwnd;
    icmp(t, t->rcv, -EMSGSIZE, false, 60); /* too small to be true */
    icmp(t, t->rcv, -EMSGSIZE, false, 1500); /* no change */
    EXPECT_NOTHING(t);
    icmp(t, t->rcv, -EMSGSIZE, false, 640);
    for (unsigned i = 0; i < 5; i++)
        EXPECT(t, TCP_ACK, t->rcv + i * 600, t->snd, 600);
    EXPECT_NOTHING(t);
    cr_assert_eq(script_conn(t)->cwnd, cwnd, "no sign of congestion");
    t->rcv += 3000;
    send_ack(t);
    cr_assert_eq(t->s->tx_len, 0);
}
#else
Test(tcp_flow, path_mtu_v6, .init = init, .fini = fini)
{
    static const uint8_t mss[4] = { 2, 4, 1440 >> 8, 1440 & 255 };
    struct script *t = &T;

    script_syn(t, mss, sizeof(mss));
    send_ack(t);
    t->s = fake_accepted(&t->h);
    fake_write(&t->h, t->s, bytes, 2880);
    cr_assert_eq(drain(t), 2);
    icmp(t, t->rcv, -EMSGSIZE, false, 1279); /* no IPv6 link is smaller than 1280 (RFC 8201 s4) */
    EXPECT_NOTHING(t);
    icmp(t, t->rcv, -EMSGSIZE, false, 1280);
    for (unsigned at = 0; at < 2880; at += t->seg.len) { /* sent again at once, whichever way it is cut */
        cr_assert(take(t));
        cr_assert_eq(t->seg.seq, t->rcv + at);
        cr_assert(t->seg.len > 0 && t->seg.len <= 1220);
    }
    EXPECT_NOTHING(t);
}
#endif

/* Another table may have the same addresses and ports: an error there says nothing about this connection. */
#ifndef SCRIPT_V6
Test(tcp_flow, icmp_acts_in_its_own_table, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.ifc.fib = 3;
    script_open(t, false, false);
    fake_write(&t->h, t->s, bytes, 1000);
    cr_assert_eq(drain(t), 1);
    t->h.ifc.fib = 0;
    icmp(t, t->rcv, -EMSGSIZE, false, 640);
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.counters[TCP_C_icmp_ignored], 1);
    t->h.ifc.fib = 3;
    icmp(t, t->rcv, -EMSGSIZE, false, 640);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 600);
}
#endif

Test(tcp_flow, no_buffers_then_buffers, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct pkt *held[4096];
    unsigned n = 0;

    script_open(t, false, false);
    while (n < HS_ARRAY_LEN(held) && (held[n] = pkt_alloc(&t->h.stack.pools, 1)))
        n++;
    cr_assert_lt(n, HS_ARRAY_LEN(held));
    while (n < HS_ARRAY_LEN(held) && (held[n] = pkt_alloc(&t->h.stack.pools, 60000)))
        n++;
    fake_write(&t->h, t->s, bytes, 2000);
    EXPECT_NOTHING(t);
    cr_assert_gt(t->h.tw.counters[TCP_C_tx_no_packet], 0);
    while (n)
        pkt_free(held[--n]);
    fake_advance(&t->h, 50000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    EXPECT(t, TCP_ACK, t->rcv + 1000, t->snd, 1000);
}

/* ---- options and facts ---- */

Test(tcp_flow, tcp_info_and_attributes, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct svm_tcp_info ti;
    uint32_t len = sizeof(ti);
    char name[16];
    int32_t v;

    t->tsval = 1;
    script_open(t, true, true);
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TCP_INFO, &ti, &len), 0);
    cr_assert(ti.state == 1 && ti.snd_mss == 988 && ti.snd_cwnd == 10 && (ti.options & 3) == 3);
    len = sizeof(ti) - 1;
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TCP_INFO, &ti, &len), -EINVAL);
    len = sizeof(name);
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_CONGESTION, name, &len), 0);
    cr_assert_str_eq(name, "cubic");
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_CONGESTION, "reno", 4), 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_CONGESTION, "vegas", 5), -ENOENT);
    len = sizeof(v);
    fake_write(&t->h, t->s, bytes, 123);
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TX_QUEUED, &v, &len), 0);
    cr_assert_eq(v, 123);
    v = 0;
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_KEEPIDLE, &v, 4), -EINVAL);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, 250, &v, 4), -ENOPROTOOPT);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_KEEPIDLE, &v, 2), -EINVAL);
}

/* The meaning that Linux gives each field; bytes are counted beyond 4 GiB. */
Test(tcp_flow, tcp_info_counts, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct svm_tcp_info2 two;
    struct svm_tcp_info3 three;
    uint32_t len = sizeof(two);

    script_open(t, false, true);
    script_conn(t)->srtt_us = 40000;
    fake_write(&t->h, t->s, bytes, 3500);
    while (take(t))
        ;
    fake_write(&t->h, t->s, bytes, 100); /* Nagle holds it back */
    send_data(t, bytes, 700);
    fake_advance(&t->h, 30000);
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TCP_INFO2, &two, &len), 0);
    cr_assert_eq(two.unacked, 4);
    cr_assert_eq(two.notsent, 100);
    cr_assert_eq(two.last_data_sent_ms, 30);
    cr_assert_eq(two.last_recv_ms, 30);
    cr_assert_eq(two.pmtu, 1500);
    cr_assert_eq(two.advmss, 1480 - IP_HDR);
    cr_assert_eq(two.snd_wnd, PEER_WND);
    len = sizeof(three);
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TCP_INFO3, &three, &len), 0);
    cr_assert_eq(three.bytes_acked, 0);
    cr_assert_eq(three.bytes_received, 700);
    t->rcv += 3500;
    send_ack(t);
    script_conn(t)->acked_wraps += 2;
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TCP_INFO3, &three, &len), 0);
    cr_assert_eq(three.bytes_acked, (2ull << 32) + 3500);
    cr_assert_eq(three.min_rtt_us, script_conn(t)->min_rtt_us);
    cr_assert_neq(three.min_rtt_us, 0);
}

static struct svm_tcp_info4 segments(struct script *t)
{
    struct svm_tcp_info4 four;
    uint32_t len = sizeof(four);

    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TCP_INFO4, &four, &len), 0);
    cr_assert_eq(len, sizeof(four));
    return four;
}

/* As Linux counts: a super-frame is as many as it is on the wire; of the handshake of a listener only what followed the SYN,ACK. */
Test(tcp_flow, tcp_info_counts_segments, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct svm_tcp_info4 four;

    t->h.tso_max = 65000;
    script_open(t, false, false);
    four = segments(t);
    cr_assert(four.segs_in == 1 && four.segs_out == 0 && four.data_segs_in == 0 && four.data_segs_out == 0);
    fake_write(&t->h, t->s, bytes, 4500);
    while (take(t))
        ;
    four = segments(t);
    cr_assert(four.segs_out == 5 && four.data_segs_out == 5, "%u, %u", four.segs_out, four.data_segs_out);
    t->rcv += 4500;
    send_ack(t);
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .wnd = t->wnd, .data = bytes,
               .len = 4000, .pkt_flags = PKT_GSO });
    t->snd += 4000;
    four = segments(t);
    cr_assert(four.segs_in > 2 && four.data_segs_in + 2 == four.segs_in, "%u, %u", four.segs_in, four.data_segs_in);
    cr_assert_eq(four.data_segs_out, 5);
    while (take(t))
        ;
    cr_assert_gt(segments(t).segs_out, 5, "its ACK");
}

/* A sequence number that passes 2^32 is a wrap, whatever it began at. */
Test(tcp_flow, tcp_info_bytes_over_the_wrap, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct svm_tcp_info3 three;
    uint32_t len = sizeof(three);

    t->snd = (uint32_t)-500;
    script_open(t, false, false);
    send_data(t, bytes, 1000);
    send_data(t, bytes, 1000);
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TCP_INFO3, &three, &len), 0);
    cr_assert_eq(three.bytes_received, 2000);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, SVM_ATTR_TCP_INFO3, &three, &len), 0);
    cr_assert_eq(three.bytes_received, 2000, "a FIN is no byte");
}

static void info_of(struct script *t, uint8_t attr, void *val, uint32_t size)
{
    uint32_t len = size;

    cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, attr, val, &len), 0);
    cr_assert_eq(len, size);
}

/* Four segments, of which the first is sent again; then what the peer reports of it, and what is out of order here. An idle connection
 * remembers all of it. */
Test(tcp_flow, tcp_info_of_a_known_transfer, .init = init, .fini = fini)
{
    static const uint8_t some[4000];
    struct script *t = &T;
    struct svm_tcp_info5 five;
    struct svm_tcp_info6 six;
    uint32_t base, begun_ms;

    script_open(t, false, true);
    base = t->rcv;
    info_of(t, SVM_ATTR_TCP_INFO5, &five, sizeof(five));
    cr_assert(five.bytes_sent == 0 && five.bytes_retrans == 0 && five.delivered == 1, "the SYN: %u", five.delivered);
    begun_ms = tcp_now_ms(&t->h.w);
    fake_write(&t->h, t->s, some, 4000);
    while (take(t))
        ;
    info_of(t, SVM_ATTR_TCP_INFO5, &five, sizeof(five));
    cr_assert(five.bytes_sent == 4000 && five.bytes_retrans == 0 && five.delivered == 1);
    fake_advance(&t->h, 1000);
    send_sack(t, base + 1000, base + 4000);
    EXPECT(t, TCP_ACK, base, t->snd, 1000);
    info_of(t, SVM_ATTR_TCP_INFO5, &five, sizeof(five));
    cr_assert(five.bytes_sent == 5000 && five.bytes_retrans == 1000 && five.delivered == 4, "%u delivered", five.delivered);
    fake_advance(&t->h, 1000);
    t->rcv += 4000;
    send_sack(t, base, base + 1000); /* D-SACK: it was needless */
    info_of(t, SVM_ATTR_TCP_INFO5, &five, sizeof(five));
    cr_assert(five.bytes_sent == 5000 && five.delivered == 5 && five.dsack_dups == 1 && five.reord_seen > 0);
    cr_assert(five.delivery_rate > 1000000 && five.delivery_rate < 4000000, "4000 bytes in 1 or 2 ms: %lu", (unsigned long)five.delivery_rate);
    info_of(t, SVM_ATTR_TCP_INFO6, &six, sizeof(six));
    cr_assert_eq(six.busy_ms, tcp_now_ms(&t->h.w) - begun_ms, "%u", six.busy_ms);
    cr_assert(six.rwnd_limited_ms == 0 && six.sndbuf_limited_ms == 0 && six.rate_app_limited);
    fake_advance(&t->h, 5000);
    send_seg(t, TCP_ACK, t->snd + 100, t->rcv, some, 100);
    fake_advance(&t->h, 7000);
    info_of(t, SVM_ATTR_TCP_INFO6, &six, sizeof(six));
    cr_assert(six.rcv_ooopack == 1 && six.last_data_recv_ms == 7, "%u", six.last_data_recv_ms);
}

/* What holds the sender back, and for how long. */
Test(tcp_flow, tcp_info_times, .init = init, .fini = fini)
{
    static const uint8_t some[FAKE_FIFO];
    struct script *t = &T;
    struct svm_tcp_info6 six;

    script_open(t, false, true);
    t->wnd = 2000;
    send_ack(t);
    fake_write(&t->h, t->s, some, 5000);
    fake_advance(&t->h, 30000); /* the peer's window is full */
    while (take(t))
        ;
    t->wnd = 60000;
    t->rcv += 2000;
    send_ack(t);
    fake_advance(&t->h, 10000);
    info_of(t, SVM_ATTR_TCP_INFO6, &six, sizeof(six));
    cr_assert(six.rwnd_limited_ms == 30 && six.busy_ms == 40 && six.sndbuf_limited_ms == 0, "%u of %u", six.rwnd_limited_ms, six.busy_ms);
    while (take(t))
        ;
    t->rcv += 3000;
    send_ack(t);
    fake_advance(&t->h, 100000); /* idle */
    info_of(t, SVM_ATTR_TCP_INFO6, &six, sizeof(six));
    cr_assert_eq(six.busy_ms, 40);
    script_conn(t)->cwnd = 10 * FAKE_FIFO;
    script_conn(t)->snd_wnd = 10 * FAKE_FIFO;
    fake_write(&t->h, t->s, some, FAKE_FIFO);
    fake_advance(&t->h, 20000);
    info_of(t, SVM_ATTR_TCP_INFO6, &six, sizeof(six));
    cr_assert(six.sndbuf_limited_ms == 20 && six.busy_ms == 60, "%u of %u", six.sndbuf_limited_ms, six.busy_ms);
}

/* A rate is no idleness: a segment is in flight, and the others wait for their time. */
Test(tcp_flow, tcp_info_times_when_paced, .init = init, .fini = fini)
{
    int32_t rate = 100000 / 16;
    struct script *t = &T;
    struct svm_tcp_info6 six;

    script_open(t, false, true);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_MAX_PACING, &rate, sizeof(rate)), 0);
    fake_advance(&t->h, 20000);
    fake_write(&t->h, t->s, bytes, 5000);
    fake_advance(&t->h, 30000); /* of 50 ms and more */
    cr_assert_leq(drain(t), 4);
    info_of(t, SVM_ATTR_TCP_INFO6, &six, sizeof(six));
    cr_assert_eq(six.busy_ms, 30, "%u", six.busy_ms);
}

Test(tcp_flow, connect_without_route_or_to_multicast, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct session *s;

    s = fake_connect(&t->h, US, 1, "224.0.0.5", 1);
    cr_assert_eq(s->connect_error, -ENETUNREACH);
    t->h.route_error = -ENETUNREACH;
    s = fake_connect(&t->h, US, 1, PEER, 1);
    cr_assert_eq(s->connect_error, -ENETUNREACH);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

/* Dynamic right-sizing: the modest window of the beginning may hold back who sends half of it in a round trip, and nobody slower. */
Test(tcp_flow, window_by_rate, .init = init, .fini = fini)
{
    struct script *t = &T;
    enum { rtt_us = 100000 };

    script_open(t, false, false);
    script_conn(t)->srtt_us = rtt_us;
    for (unsigned i = 0; i < 100; i++) { /* 10,000 bytes in a round trip */
        send_data(t, t->data, 1000);
        fake_read(&t->h, t->s, t->data, 1000);
        fake_advance(&t->h, rtt_us / 10);
    }
    cr_assert_not(t->s->rx_streams);
    fake_advance(&t->h, rtt_us + 1);
    for (unsigned i = 0; i < 40; i++) { /* the same amounts, each read at once, so that nothing ever piles up */
        cr_assert(i < 34 || t->s->rx_streams);
        send_data(t, t->data, 1000);
        fake_read(&t->h, t->s, t->data, 1000);
    }
    while (take(t))
        ;
}
