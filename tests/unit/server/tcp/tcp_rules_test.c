/* tcp_rules_test.c - single rules of RFC 9293 appendix B that no longer scenario shows */
#include <errno.h>
#include "tests/unit/server/tcp/tcp_script.h"

static struct script T;
static void init(void) { script_init(&T); }
static void fini(void) { fake_fini(&T.h); }

static void input(struct script *t, struct fake_seg s) { fake_input(&t->h, &t->peer, &t->us, &s); }

static void set_attr(struct script *t, uint8_t attr, int32_t v)
{
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, attr, &v, sizeof(v)), 0);
}

/* MUST-3: a segment whose checksum is wrong has no effect and no answer. */
Test(tcp_rules, bad_checksum_is_dropped, .init = init, .fini = fini)
{
    struct script *t = &T;

    input(t, (struct fake_seg){ .flags = TCP_SYN, .seq = 1, .bad_checksum = true });
    EXPECT_NOTHING(t);
    script_open(t, false, false);
    input(t, (struct fake_seg){ .flags = TCP_RST, .seq = t->snd, .bad_checksum = true });
    input(t, (struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .data = "x", .len = 1, .bad_checksum = true });
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.counters[TCP_C_bad_checksum], 3);
    cr_assert_eq(t->s->rx_len, 0);
    cr_assert_eq(t->s->reset_error, 0);
}

/* s3.1: reserved bits are sent as zero and ignored. */
Test(tcp_rules, reserved_bits, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    input(t, (struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .wnd = PEER_WND, .data = "abc", .len = 3, .reserved = 15 });
    cr_assert_eq(t->s->rx_len, 3);
    fake_write(&t->h, t->s, "x", 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd + 3, 1);
    cr_assert_eq(t->seg.reserved, 0);
    cr_assert_eq(t->seg.urgent, 0);
}

/* MUST-30, MUST-62: the pointer of a segment that comes is that of the byte behind the urgent one. */
Test(tcp_rules, urgent_pointer_in, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct fake_seg s;

    script_open(t, false, false);
    s = (struct fake_seg){ .flags = TCP_ACK | TCP_URG, .seq = t->snd, .ack = t->rcv, .wnd = PEER_WND, .data = "abX", .len = 3, .urgent = 3 };
    input(t, s);
    cr_assert_eq(t->s->n_urgent, 1);
    cr_assert_eq(t->s->rx_urgent, 2);
    cr_assert(t->s->urgent_came);
    input(t, s); /* a duplicate: told once */
    cr_assert_eq(t->s->n_urgent, 1);
    s = (struct fake_seg){ .flags = TCP_ACK | TCP_URG, .seq = t->snd + 3, .ack = t->rcv, .wnd = PEER_WND, .urgent = 5 };
    t->s->urgent_came = false;
    input(t, s); /* MUST-32: told before the byte is there, by a segment without text */
    cr_assert_eq(t->s->n_urgent, 2);
    cr_assert_eq(t->s->rx_urgent, 3 + 4);
    cr_assert(!t->s->urgent_came);
    s.urgent = 4;
    input(t, s); /* not back again */
    cr_assert_eq(t->s->n_urgent, 2);
    input(t, (struct fake_seg){ .flags = TCP_ACK, .seq = t->snd + 3, .ack = t->rcv, .wnd = PEER_WND, .data = "cdef", .len = 4 });
    cr_assert(!t->s->urgent_came);
    input(t, (struct fake_seg){ .flags = TCP_ACK, .seq = t->snd + 7, .ack = t->rcv, .wnd = PEER_WND, .data = "Y", .len = 1 });
    cr_assert(t->s->urgent_came);
    /* Linux, RFC 6093 s3.4: 0 is read as the first byte; one that lies beyond the FIN is none. */
    s = (struct fake_seg){ .flags = TCP_ACK | TCP_URG, .seq = t->snd + 8, .ack = t->rcv, .wnd = PEER_WND, .data = "Z", .len = 1 };
    input(t, s);
    cr_assert_eq(t->s->n_urgent, 3);
    cr_assert_eq(t->s->rx_urgent, 8);
    input(t, (struct fake_seg){ .flags = TCP_ACK | TCP_FIN, .seq = t->snd + 9, .ack = t->rcv, .wnd = PEER_WND });
    s.seq = t->snd + 10;
    s.urgent = 9;
    input(t, s);
    cr_assert_eq(t->s->n_urgent, 3);
}

static void expect_urgent(struct script *t, uint32_t seq, uint32_t len, uint16_t pointer)
{
    EXPECT(t, TCP_ACK | TCP_URG, seq, t->snd, len);
    cr_assert_eq(t->seg.urgent, pointer, "%u, not %u", t->seg.urgent, pointer);
}

/* MUST-30, MUST-31: every segment up to the urgent byte says where it is, in segments that no port has to cut; Nagle does not hold it back. */
Test(tcp_rules, urgent_pointer_out, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.tso_max = 65536;
    script_open(t, false, false);
    t->s->tx_urgent_end = 2500;
    fake_write(&t->h, t->s, t->data, 2500);
    expect_urgent(t, t->rcv, 1000, 2500);
    expect_urgent(t, t->rcv + 1000, 1000, 1500);
    expect_urgent(t, t->rcv + 2000, 500, 500);
    send_seg(t, TCP_ACK, t->snd, t->rcv + 1000, NULL, 0);
    t->s->tx_urgent_end = 1501; /* one byte more: the partial segment before it is not acknowledged */
    fake_write(&t->h, t->s, t->data, 1);
    expect_urgent(t, t->rcv + 2500, 1, 1);
    send_seg(t, TCP_ACK, t->snd, t->rcv + 2501, NULL, 0);
    fake_write(&t->h, t->s, t->data, 3000);
    EXPECT(t, TCP_ACK, t->rcv + 2501, t->snd, 1000); /* over: its pointer is gone, and ... */
    while (take(t))
        cr_assert(!(t->seg.flags & TCP_URG) && t->seg.urgent == 0);
    send_seg(t, TCP_ACK, t->snd, t->rcv + 5501, NULL, 0);
    fake_write(&t->h, t->s, t->data, 3000);
    EXPECT(t, TCP_ACK, t->rcv + 5501, t->snd, 3000); /* ... super-frames are back */
}

/* MUST-31: from further away than the field can say it says as much as it can, so that the peer knows that there is something. What is sent
 * again from so far behind the newest data would name a byte that was sent, and is not the urgent one: no pointer. */
Test(tcp_rules, urgent_pointer_out_of_reach, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->wnd = 65535;
    script_open(t, false, false);
    script_conn(t)->cwnd = 100000;
    t->s->tx_urgent_end = 70000;
    fake_write(&t->h, t->s, t->data, 65535);
    for (uint32_t at = 0; at < 65535; at += 1000)
        expect_urgent(t, t->rcv + at, hs_min_u32(1000, 65535 - at), (uint16_t)hs_min_u32(70000 - at, UINT16_MAX));
    fake_advance(&t->h, 1100000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1000);
    cr_assert_eq(t->seg.urgent, 0);
}

/* RFC 9293 s3.8.5: a pointer at the FIN or behind it names no byte, also while the FIN waits behind a hole: the program would wait for it. */
Test(tcp_rules, urgent_pointer_behind_a_fin, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct fake_seg s;

    script_open(t, false, false);
    input(t, (struct fake_seg){ .flags = TCP_ACK | TCP_FIN, .seq = t->snd + 3, .ack = t->rcv, .wnd = PEER_WND });
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    s = (struct fake_seg){ .flags = TCP_ACK | TCP_URG, .seq = t->snd, .ack = t->rcv, .wnd = PEER_WND, .urgent = 4 };
    input(t, s);
    cr_assert_eq(t->s->n_urgent, 0);
    s.urgent = 3; /* the last byte before it is one */
    input(t, s);
    cr_assert_eq(t->s->n_urgent, 1);
    cr_assert_eq(t->s->rx_urgent, 2);
}

/* The same when the FIN comes with it, in order or beyond a hole: no byte is promised to the program that cannot come. */
Test(tcp_rules, urgent_pointer_at_a_fin_with_it, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct fake_seg s;

    script_open(t, false, false);
    s = (struct fake_seg){ .flags = TCP_ACK | TCP_URG | TCP_FIN, .seq = t->snd + 3, .ack = t->rcv, .wnd = PEER_WND, .data = "def", .len = 3,
                           .urgent = 4 };
    input(t, s);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->s->n_urgent, 0);
    s.urgent = 3; /* the last byte before it is one */
    input(t, s);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->s->n_urgent, 1);
    cr_assert_eq(t->s->rx_urgent, 5);
    cr_assert_not(t->s->urgent_came);
    send_data(t, "abc", 3);
    EXPECT(t, TCP_ACK, t->rcv, t->snd + 4, 0);
    cr_assert(t->s->urgent_came && t->s->rx_fin);
}

/* A peer that does not read is told of urgent data all the same. */
Test(tcp_rules, urgent_with_a_closed_window, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    t->wnd = 0;
    send_seg(t, TCP_ACK, t->snd, t->rcv, NULL, 0);
    EXPECT_NOTHING(t);
    t->s->tx_urgent_end = 10;
    fake_write(&t->h, t->s, t->data, 10);
    expect_urgent(t, t->rcv, 0, 10);
    EXPECT_NOTHING(t);
}

/* MUST-1: 65535 is a large window, not -1. */
Test(tcp_rules, window_is_unsigned, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->wnd = 65535;
    script_open(t, false, false);
    cr_assert_eq(script_conn(t)->snd_wnd, 65535);
    fake_write(&t->h, t->s, t->data, 5000);
    for (unsigned i = 0; i < 5; i++)
        EXPECT(t, TCP_ACK, t->rcv + i * 1000, t->snd, 1000);
}

/* MUST-57: to a broadcast or multicast address, by link or by IP: silently. */
Test(tcp_rules, broadcast_is_silent, .init = init, .fini = fini)
{
    struct script *t = &T;
    static const char *const dst[] = { "255.255.255.255", "224.0.0.1", "ff02::1" };

    for (unsigned i = 0; i < HS_ARRAY_LEN(dst); i++) {
        t->us = fake_endpoint(dst[i], PORT);
        t->h.listener.lcl = t->us;
        input(t, (struct fake_seg){ .flags = TCP_SYN, .seq = 1 });
        input(t, (struct fake_seg){ .flags = TCP_ACK, .seq = 1, .ack = 1 });
    }
    t->us = fake_endpoint(US, PORT);
    t->h.listener.lcl = t->us;
    input(t, (struct fake_seg){ .flags = TCP_SYN, .seq = 1, .pkt_flags = PKT_BCAST });
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.counters[TCP_C_bcast], 7);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

/* MUST-63: SYNs from addresses that no host has. */
Test(tcp_rules, syn_from_an_invalid_source, .init = init, .fini = fini)
{
    struct script *t = &T;
    static const char *const src[] = { "255.255.255.255", "224.0.0.1", "0.0.0.0", "ff02::1", "::" };

    for (unsigned i = 0; i < HS_ARRAY_LEN(src); i++) {
        t->peer = fake_endpoint(src[i], PEER_PORT);
        input(t, (struct fake_seg){ .flags = TCP_SYN, .seq = 1 });
    }
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.counters[TCP_C_bad_source], HS_ARRAY_LEN(src));
}

/* MUST-11: SYN-RECEIVED goes back to LISTEN after a passive open, and ends the attempt after an active one. */
Test(tcp_rules, rst_in_syn_received, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
    cr_assert_null(fake_accepted(&t->h), "the program is not told");
    script_syn(t, NULL, 0); /* the listener is as it was */
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0);
    EXPECT_NOTHING(t);
    t->peer.port = be16_of(PEER_PORT);
    script_connect(t);
    send_seg(t, TCP_SYN, t->snd++, 0, NULL, 0);
    EXPECT(t, TCP_SYN | TCP_ACK, t->rcv - 1, t->snd, 0);
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0);
    cr_assert_eq(t->s->connect_error, -ECONNREFUSED);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

/* s3.10.7.4 fifth: in SYN-RECEIVED an ACK of something else is answered by a reset, and the handshake goes on. */
Test(tcp_rules, bad_ack_in_syn_received, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    send_seg(t, TCP_ACK, t->snd, t->rcv + 1, NULL, 0);
    EXPECT(t, TCP_RST, t->rcv + 1, 0, 0);
    send_seg(t, TCP_ACK, t->snd, t->rcv - 1, NULL, 0);
    EXPECT(t, TCP_RST, t->rcv - 1, 0, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_SYN_RCVD);
    send_ack(t);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
}

/* MUST-48, MUST-49, SHLD-21, SHLD-22: what the program says of TTL and DSCP reaches IP, at any time; DF is always set. */
Test(tcp_rules, ttl_and_dscp, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    set_attr(t, SVM_ATTR_TTL, 7);
    set_attr(t, SVM_ATTR_DSCP, 0xb8);
    fake_write(&t->h, t->s, "x", 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 1);
    cr_assert_eq(t->h.last_tx.ttl, 7);
    cr_assert_eq(t->h.last_tx.tos & 0xfc, 0xb8);
    cr_assert(t->h.last_tx.dont_fragment);
    set_attr(t, SVM_ATTR_DSCP, 0x28);
    t->rcv++;
    send_data(t, "y", 1);
    fake_advance(&t->h, 100000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->h.last_tx.tos & 0xfc, 0x28);
}

static void send_from_afar(struct script *t, uint8_t flags, uint32_t seq, uint32_t ack, uint8_t ttl)
{
    static const uint8_t mss[] = { 2, 4, 1000 >> 8, 1000 & 255 };
    bool is_syn = flags & TCP_SYN;

    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = flags, .seq = seq, .ack = ack, .wnd = t->wnd, .data = is_syn ? NULL : "x",
               .len = !is_syn, .opt = mss, .opt_len = is_syn ? sizeof(mss) : 0, .ttl = ttl });
}

/* What SVM_ATTR_MIN_TTL says of the family of the script, and of the other one. */
static int32_t min_ttl_of(int32_t own, int32_t other)
{
#ifdef SCRIPT_V6
    return own << 8 | other;
#else
    return other << 8 | own;
#endif
}

/* RFC 5082: whose packets have come further is not heard, neither by a connection nor by a listener, whose connections inherit it. */
Test(tcp_rules, min_ttl, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    set_attr(t, SVM_ATTR_MIN_TTL, min_ttl_of(255, 1));
    send_from_afar(t, TCP_ACK | TCP_PSH, t->snd, t->rcv, 254);
    send_from_afar(t, TCP_RST, t->snd, t->rcv, 254);
    cr_assert_eq(t->h.tw.counters[TCP_C_low_ttl], 2);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert_eq(script_conn(t)->rcv_nxt, t->snd);
    send_from_afar(t, TCP_ACK | TCP_PSH, t->snd, t->rcv, 255);
    cr_assert_eq(script_conn(t)->rcv_nxt, t->snd + 1);
    set_attr(t, SVM_ATTR_MIN_TTL, min_ttl_of(0, 255));
    t->snd++;
    send_from_afar(t, TCP_ACK | TCP_PSH, t->snd, t->rcv, 1);
    cr_assert_eq(script_conn(t)->rcv_nxt, t->snd + 1);
    cr_assert_eq(t->h.tw.counters[TCP_C_low_ttl], 2);

    while (take(t))
        ;
    t->h.listener.attr[SVM_ATTR_MIN_TTL] = min_ttl_of(200, 0);
    t->peer.port = be16_of(be16_get(t->peer.port) + 1);
    t->us.port = be16_of(PORT);
    send_from_afar(t, TCP_SYN, 1000, 0, 199);
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.counters[TCP_C_low_ttl], 3);
    send_from_afar(t, TCP_SYN, 1000, 0, 200);
    cr_assert(take(t));
    cr_assert_eq(t->seg.flags & (TCP_SYN | TCP_ACK), TCP_SYN | TCP_ACK);
    send_from_afar(t, TCP_ACK, 1001, t->seg.seq + 1, 199);
    cr_assert_eq(t->h.tw.counters[TCP_C_low_ttl], 4);
}

/* TCP_SYNCNT: so often a SYN is sent again, and not more. */
Test(tcp_rules, syn_count, .init = init, .fini = fini)
{
    static const int32_t counts[] = { 1, 3 };

    for (unsigned i = 0; i < HS_ARRAY_LEN(counts); i++) {
        struct script *t = &T;
        int32_t n = 0;

        script_connect(t);
        set_attr(t, SVM_ATTR_SYN_COUNT, counts[i]);
        for (int s = 0; s < 120 && !t->s->connect_error; s++) {
            fake_advance(&t->h, 1000000);
            while (take(t))
                n++;
        }
        cr_assert_eq(t->s->connect_error, -ETIMEDOUT);
        cr_assert_eq(n, counts[i]);
    }
}

/* What a connection remembers while it opens lies where its congestion control's own memory is, which begins as zero. */
static void check_nothing_behind(struct script *t)
{
    const struct tcp_conn *c = script_conn(t);

    cr_assert_eq(c->state, TCP_S_ESTABLISHED);
    for (unsigned i = 0; i < HS_ARRAY_LEN(c->cc_priv); i++)
        cr_assert_eq(c->cc_priv[i], 0);
}
Test(tcp_rules, syn_count_leaves_nothing_behind, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.connect_congestion = "newreno";
    script_connect(t);
    set_attr(t, SVM_ATTR_SYN_COUNT, 5);
    send_seg(t, TCP_SYN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    check_nothing_behind(t);
}
Test(tcp_rules, syn_count_leaves_nothing_behind_simultaneous, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.connect_congestion = "newreno";
    script_connect(t);
    set_attr(t, SVM_ATTR_SYN_COUNT, 5);
    send_seg(t, TCP_SYN, t->snd++, 0, NULL, 0);
    send_ack(t);
    check_nothing_behind(t);
}

/* TCP_QUICKACK: what is owed goes at once, and so does each one after it, until the program takes it back or answers. */
Test(tcp_rules, quickack, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    script_conn(t)->quick_acks = 0; /* those of the start are over */
    send_data(t, "1", 1);
    EXPECT_NOTHING(t);
    set_attr(t, SVM_ATTR_QUICKACK, 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    set_attr(t, SVM_ATTR_QUICKACK, 1);
    EXPECT_NOTHING(t);
    for (unsigned i = 0; i < 3; i++) {
        send_data(t, "2", 1);
        EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    }
    set_attr(t, SVM_ATTR_QUICKACK, 0);
    send_data(t, "3", 1);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 41000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
}

/* As on Linux: what the program sends behind what it has got is an answer, which carries the ACK, and so will the next one. */
Test(tcp_rules, quickack_until_an_answer, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    script_conn(t)->quick_acks = 0;
    set_attr(t, SVM_ATTR_QUICKACK, 1);
    fake_write(&t->h, t->s, "220", 3); /* nothing has come: no answer */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
    t->rcv += 3;
    send_data(t, "1", 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    fake_advance(&t->h, 50000);
    fake_write(&t->h, t->s, "221", 3); /* in its own time */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
    t->rcv += 3;
    send_data(t, "2", 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    fake_advance(&t->h, 10000);
    fake_write(&t->h, t->s, "222", 3);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
    t->rcv += 3;
    send_data(t, "3", 1);
    EXPECT_NOTHING(t);
    set_attr(t, SVM_ATTR_QUICKACK, 1); /* and again */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    send_data(t, "4", 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
}

/* 0 before anything has come: not even the first segments are acknowledged at once. */
Test(tcp_rules, quickack_not_even_at_the_start, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    set_attr(t, SVM_ATTR_QUICKACK, 0);
    send_data(t, t->data, 1000);
    EXPECT_NOTHING(t);
    send_data(t, t->data, 1000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
}

/* MUST-58, MUST-59: segments that come in one batch are acknowledged once, after all of them. */
Test(tcp_rules, one_ack_for_a_batch, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct pkt *pkts[6];

    script_open(t, false, false);
    for (unsigned i = 0; i < HS_ARRAY_LEN(pkts); i++) {
        pkts[i] = fake_packet(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv,
                              .wnd = PEER_WND, .data = t->data, .len = 1000 });
        t->snd += 1000;
    }
    tcp_transport_ops.input(&t->h.w, pkts, HS_ARRAY_LEN(pkts));
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    EXPECT_NOTHING(t);
}

/* MUST-60, MUST-61: nothing waits for a PUSH; the last segment of what was written carries it, others do not. */
Test(tcp_rules, push_on_the_last_segment, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    fake_write(&t->h, t->s, t->data, 2500);
    for (unsigned i = 0; i < 3; i++) {
        cr_assert(take(t));
        cr_assert_eq(!!(t->seg.flags & TCP_PSH), i == 2, "segment %u", i);
    }
    send_seg(t, TCP_ACK, t->snd, t->rcv, "no push", 7); /* and of the peer's, none waits for one either */
    cr_assert_eq(t->s->rx_len, 7);
}

static void open_zero_window(struct script *t)
{
    t->h.listener.rx_max = 4000;
    script_open(t, false, false);
    send_data(t, t->data, 4000);
    cr_assert(take(t));
    while (take(t))
        ;
    cr_assert_eq(t->seg.wnd, 0);
}

/* MUST-66: a RST at a closed window counts. */
Test(tcp_rules, rst_with_a_zero_window, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_zero_window(t);
    send_seg(t, TCP_RST, t->snd + 1, 0, NULL, 0);
    cr_assert_eq(t->s->reset_error, 0);
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0);
    cr_assert_eq(t->s->reset_error, -ECONNRESET);
}

/* RFC 7323 s2.4: a window is told in units of its scale, so its edge seems to move to the left by less than one when what is below it is
 * acknowledged. What was sent up to the edge has come all the same: an ACK with a lower number would be old to the peer, and dropped. */
Test(tcp_rules, ack_when_the_scale_takes_from_the_window, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t bytes[5120] = { 0 };
    uint32_t una;

    script_syn(t, (const uint8_t[]){ 2, 4, 1000 >> 8, 1000 & 255, 1, 3, 3, 7 }, 8);
    t->wnd = 40; /* 5,120 bytes */
    send_ack(t);
    t->s = fake_accepted(&t->h);
    set_attr(t, SVM_ATTR_NODELAY, 1);
    una = t->rcv;
    fake_write(&t->h, t->s, bytes, sizeof(bytes));
    while (take(t))
        ;
    cr_assert_eq(script_conn(t)->snd_nxt, una + 5120);
    t->rcv = una + 1000;
    t->wnd = 32; /* of 4,120 that are left */
    send_ack(t);
    EXPECT_NOTHING(t);
    send_seg(t, TCP_ACK, t->snd - 1, t->rcv, bytes, 1); /* what it has: an ACK at once */
    EXPECT(t, TCP_ACK, una + 5120, t->snd, 0);
    t->wnd = 31; /* not what a scale can do: the peer has shrunk its window, and may have dropped what lies beyond it */
    send_seg(t, TCP_ACK, t->snd, t->rcv, bytes, 1);
    t->snd++;
    while (take(t))
        ;
    send_seg(t, TCP_ACK, t->snd - 1, t->rcv, bytes, 1);
    EXPECT(t, TCP_ACK, una + 1000 + 31 * 128, t->snd, 0);
}

/* As Linux: a FIN without text needs no room, so a closed window does not refuse it (else its sender stays in LAST-ACK). One behind text
 * that finds no room comes again. */
Test(tcp_rules, fin_with_a_zero_window, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_zero_window(t);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd, t->rcv, "x", 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd + 1, 0);
}

/* MUST-25 and the defaults of s3.8.3, s3.8.4. */
Test(tcp_rules, defaults)
{
    struct tcp_config c;

    tcp_config_defaults(&c);
    cr_assert_geq(c.keepidle_s, 7200);    /* MUST-28 */
    cr_assert_gt(c.keepcnt, 1);           /* MUST-29 */
    cr_assert_lt(c.delack_us, 500000);    /* MUST-40 */
    cr_assert_eq(2 * c.msl_us, 60000000); /* MUST-13: as Linux */
    cr_assert_geq(c.rto_max_us, 60000000);
    cr_assert_geq(c.data_retries, 9);     /* SHLD-11: 100 s and more at the smallest RTO */
}

/* SHLD-5, MUST-65, MUST-67: the option is in every SYN, says what we can receive, and is in no other segment. */
Test(tcp_rules, mss_option_on_syns_only, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_opts o;

    script_syn(t, NULL, 0);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_mss && o.mss == 1480 - IP_HDR);
    send_ack(t);
    t->s = fake_accepted(&t->h);
    fake_write(&t->h, t->s, "x", 1);
    cr_assert(take(t));
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert_not(o.has_mss);
}

/* MUST-5: an MSS option in a later segment is read over and changes nothing. */
Test(tcp_rules, options_of_a_syn_in_other_segments, .init = init, .fini = fini)
{
    static const uint8_t opt[12] = { 2, 4, 0, 100, 3, 3, 5, 4, 2, 1, 1, 0 };
    struct script *t = &T;

    script_open(t, false, false);
    input(t, (struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .wnd = 500, .data = "ok", .len = 2, .opt = opt,
          .opt_len = sizeof(opt) });
    cr_assert_eq(t->s->rx_len, 2);
    cr_assert_eq(script_conn(t)->mss, 1000);
    cr_assert_eq(script_conn(t)->snd_wnd, 500);
    cr_assert_eq(script_conn(t)->flags & TCP_F_SACK, 0);
}

/* RFC 7323 s5.5: after 24 days without a segment an old timestamp says nothing; the connection goes on. */
Test(tcp_rules, paws_after_24_days, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->tsval = 0x70000000;
    script_open(t, true, false);
    t->h.w.now_us += 24ull * 86400 * 1000000 - 1000000;
    t->tsval = 5;
    send_seg(t, TCP_ACK, t->snd, t->rcv, "old", 3);
    cr_assert_eq(t->s->rx_len, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_paws], 1);
    t->h.w.now_us += 2000000;
    send_seg(t, TCP_ACK, t->snd, t->rcv, "new", 3);
    cr_assert_eq(t->s->rx_len, 3);
    cr_assert_eq(script_conn(t)->ts_recent, 5);
}

/* For however long: no clock may have gone round once and make the silence a short one. The peer has closed its half, so that the connection
 * is none of those that become idle (tcp_idle/however_long_it_is_silent). */
Test(tcp_rules, paws_after_any_silence, .init = init, .fini = fini)
{
    static const unsigned tenths_of_days[] = { 300, 498, 600, 2000, 36500 };

    struct script *t = &T;

    t->tsval = 0x70000000;
    script_open(t, true, false);
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    for (unsigned i = 0; i < HS_ARRAY_LEN(tenths_of_days); i++) {
        t->h.w.now_us += tenths_of_days[i] * 8640ull * 1000000;
        fake_write(&t->h, t->s, "abc", 3);
        EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
        t->rcv += 3;
        t->tsval -= 0x10000000; /* its clock has gone round, or nearly */
        send_ack(t);
        cr_assert_eq(script_conn(t)->snd_una, t->rcv, "%u.%u days", tenths_of_days[i] / 10, tenths_of_days[i] % 10);
        cr_assert_eq(t->h.tw.counters[TCP_C_paws], 0);
    }
}

/* s5.3 R1 where the path reorders: a retransmission fills the first hole and sets TS.Recent. What was sent just before it and comes behind
 * it is taken, at the next hole and beyond; TS.Recent stays. */
Test(tcp_rules, overtaken_by_a_retransmission, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t base;

    t->tsval = 1000;
    script_open(t, true, false);
    base = t->snd;
    t->tsval = 2000;
    send_seg(t, TCP_ACK, base + 100, t->rcv, t->data, 100);
    EXPECT(t, TCP_ACK, t->rcv, base, 0);
    t->tsval = 2100;
    send_seg(t, TCP_ACK, base, t->rcv, t->data, 100);
    EXPECT(t, TCP_ACK, t->rcv, base + 200, 0);
    t->tsval = 2096;
    send_seg(t, TCP_ACK, base + 300, t->rcv, t->data, 100);
    EXPECT(t, TCP_ACK, t->rcv, base + 200, 0);
    send_seg(t, TCP_ACK, base + 200, t->rcv, t->data, 100);
    EXPECT(t, TCP_ACK, t->rcv, base + 400, 0);
    cr_assert_eq(t->s->rx_len, 400);
    cr_assert_eq(script_conn(t)->ts_recent, 2100);
    cr_assert_eq(t->h.tw.counters[TCP_C_paws], 0);
    send_seg(t, TCP_ACK, base, t->rcv, t->data, 100); /* and the first one, too, was only late: a duplicate */
    EXPECT(t, TCP_ACK, t->rcv, base + 400, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_duplicates], 1);
    cr_assert_eq(t->h.tw.counters[TCP_C_paws], 0);
    send_seg(t, TCP_ACK, base + 400, t->rcv, NULL, 0); /* an ACK that was overtaken is worth nothing */
    cr_assert_eq(t->h.tw.counters[TCP_C_paws], 1);
    t->tsval = 999; /* before the SYN: of another connection */
    send_seg(t, TCP_ACK, base + 400, t->rcv, t->data, 100);
    cr_assert_eq(t->h.tw.counters[TCP_C_paws], 2);
    cr_assert_eq(t->s->rx_len, 400);
    while (take(t))
        ;
    t->tsval = 2096;
    send_seg(t, TCP_FIN | TCP_ACK, base + 400, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, base + 401, 0);
    cr_assert(t->s->rx_fin);
}

/* What is older than 2^29 bytes may be of a time when the sequence numbers meant something else. */
Test(tcp_rules, timestamps_of_a_lap_before, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->snd = 0u - 1000;
    t->tsval = 1000;
    script_open(t, true, false);
    for (unsigned i = 0; i < 2; i++) {
        t->tsval = 5000 + i * 1000;
        send_data(t, t->data, 600);
        fake_advance(&t->h, 100000); /* the delayed ACK */
        EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
        cr_assert_eq(script_conn(t)->ts_recent, t->tsval);
        cr_assert_eq(script_conn(t)->rcvd_wraps, i);
        t->tsval = 1001;
        send_seg(t, TCP_ACK, t->snd + 100, t->rcv, t->data, 100);
        EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
        cr_assert_eq(t->h.tw.counters[TCP_C_paws], i, "%u", i);
        cr_assert_eq(t->h.tw.counters[TCP_C_out_of_order], 1);
        if (i == 0) { /* the hole */
            t->tsval = 5000;
            t->snd += 100;
            send_seg(t, TCP_ACK, t->snd - 100, t->rcv, t->data, 100);
            t->snd += 100;
            EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
        }
    }
}

#ifndef SCRIPT_V6 /* segments of a script are smaller than any path of IPv6 */
/* RFC 1191 s6.3, RFC 8201 s4: a size that ICMP told is not raised for 10 minutes, and then to the route's. */
Test(tcp_rules, path_mtu_is_kept_ten_minutes, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_hdr q;
    struct tcp_conn *c;

    script_open(t, false, false);
    c = script_conn(t);
    fake_write(&t->h, t->s, t->data, 1000);
    cr_assert(take(t));
    q = (struct tcp_hdr){ .src_port = t->us.port, .dst_port = t->peer.port, .seq = be32_of(t->rcv) };
    tcp_transport_ops.icmp_error(&t->h.w, &(struct transport_error){ .lcl = t->us, .rmt = t->peer, .l4 = (const uint8_t *)&q, .l4_len = 8,
                                                                     .err = -EMSGSIZE, .mtu = 640 });
    cr_assert_eq(c->mss, 600);
    t->rcv += 1000;
    send_ack(t);
    t->h.w.now_us += 590000000;
    tcp_conn_path_update(&t->h.w, c);
    cr_assert_eq(c->mss, 600);
    t->h.w.now_us += 20000000;
    tcp_conn_path_update(&t->h.w, c);
    cr_assert_eq(c->mss, 1000);
}
#endif

/* RFC 6298 s5.7 and RFC 5681 s3.1: who lost a SYN begins with 3 s and one segment. */
Test(tcp_rules, rto_after_a_lost_syn, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_connect(t);
    fake_advance(&t->h, 1100000);
    EXPECT(t, TCP_SYN, t->rcv - 1, 0, 0);
    send_seg(t, TCP_SYN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(script_conn(t)->rto_us, 3000000);
    fake_write(&t->h, t->s, t->data, 3000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, MSS_DEFAULT);
    EXPECT_NOTHING(t);
}

/* RFC 5482 s2, as Linux: with a user timeout it is time that counts, and not probes. */
Test(tcp_rules, keepalive_by_user_timeout, .init = init, .fini = fini)
{
    static const struct { int32_t cnt, timeout_ms; uint64_t lives_us, probes; } cases[] = { { 3, 30000, 29000000, 9 }, { 100, 11000, 11500000, 1 } };

    for (unsigned i = 0; i < HS_ARRAY_LEN(cases); i++) {
        struct script *t = &T;
        uint64_t before = t->h.tw.counters[TCP_C_keepalive_probes];

        script_open(t, false, false);
        set_attr(t, SVM_ATTR_KEEPIDLE, 10);
        set_attr(t, SVM_ATTR_KEEPINTVL, 2);
        set_attr(t, SVM_ATTR_KEEPCNT, cases[i].cnt);
        set_attr(t, SVM_ATTR_USER_TIMEOUT, cases[i].timeout_ms);
        set_attr(t, SVM_ATTR_KEEPALIVE, 1);
        fake_advance(&t->h, cases[i].lives_us);
        cr_assert_eq(t->s->reset_error, 0);
        cr_assert_geq(t->h.tw.counters[TCP_C_keepalive_probes] - before, cases[i].probes);
        fake_advance(&t->h, 4000000);
        cr_assert_eq(t->s->reset_error, -ETIMEDOUT);
        while (take(t))
            ;
        t->snd += 100000;
    }
}

/* MUST-26: retransmission watches over a peer that owes an acknowledgment. */
Test(tcp_rules, no_keepalive_behind_data, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    set_attr(t, SVM_ATTR_KEEPIDLE, 1);
    set_attr(t, SVM_ATTR_KEEPINTVL, 1);
    set_attr(t, SVM_ATTR_KEEPCNT, 2);
    set_attr(t, SVM_ATTR_KEEPALIVE, 1);
    fake_write(&t->h, t->s, "x", 1);
    fake_advance(&t->h, 20000000);
    cr_assert_gt(t->h.tw.counters[TCP_C_rto], 3);
    cr_assert_eq(t->h.tw.counters[TCP_C_keepalive_probes], 0);
    cr_assert_eq(t->s->reset_error, 0);
}
