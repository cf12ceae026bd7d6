/* tcp_manage_test.c - limits on what ended connections may hold, and what may not be connected to (RFC 9293 s3.6, s3.9.2.3) */
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
    cr_assert_eq(script_conn(t)->state, TCP_S_TIME_WAIT);
    t->h.listening = true;
    t->h.listener.backlog = 0;
    fake_advance(&t->h, 600000);
    send_seg(t, TCP_SYN, t->snd + 1000, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_TIME_WAIT);
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
