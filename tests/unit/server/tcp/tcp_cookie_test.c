/* tcp_cookie_test.c - a listener under load: SYN cookies (RFC 4987 s3.6), and connections that wait for data (TCP_DEFER_ACCEPT) */
#include "tests/unit/server/tcp/tcp_script.h"

static struct script T;
static void init(void)
{
    script_init(&T);
    T.h.listener.backlog = 0; /* always full of half-open connections */
}
static void fini(void) { fake_fini(&T.h); }

static const uint8_t linux_syn[20] = { 2, 4, 1400 >> 8, 1400 & 255, 4, 2, 8, 10, 0, 0, 3, 0xe8, 0, 0, 0, 0, 1, 3, 3, 7 };

/* ACK with our timestamp and what the peer echoes. */
static void ack_ts(struct script *t, uint32_t tsval, uint32_t tsecr, const void *data, uint32_t len)
{
    t->tsval = tsval;
    t->tsecr = tsecr;
    t->has_ts = true;
    send_seg(t, TCP_ACK, t->snd, t->rcv, data, len);
}

Test(tcp_cookie, keeps_mss_wscale_and_sack_by_timestamps, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_opts o;
    struct tcp_conn *c;

    script_syn(t, linux_syn, sizeof(linux_syn));
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_mss && o.has_ts && o.has_sack_ok && o.has_wscale);
    cr_assert_eq(o.mss, 1480 - IP_HDR);
    cr_assert_eq(o.tsecr, 1000);
    cr_assert_null(script_conn(t), "nothing is remembered");
    cr_assert_eq(t->h.tw.n_conns, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_cookies_sent], 1);
    ack_ts(t, 1001, o.tsval, "GET /", 5);
    c = script_conn(t);
    cr_assert_not_null(c);
    cr_assert_eq(c->state, TCP_S_ESTABLISHED);
    cr_assert(c->flags & TCP_F_SACK && c->flags & TCP_F_TS && c->flags & TCP_F_WSCALE);
    cr_assert_eq(c->snd_wscale, 7);
    cr_assert_eq(c->snd_wnd, (uint32_t)PEER_WND << 7);
    cr_assert_eq(c->mss, 1400 - 12);
    cr_assert_eq(fake_accepted(&t->h)->rx_len, 5);
    cr_assert_eq(t->h.listener.half_open, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_cookies_accepted], 1);
    t->s = fake_accepted(&t->h);
    fake_write(&t->h, t->s, "200", 3);
    EXPECT(t, TCP_ACK, t->rcv, t->snd + 5, 3);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_ts);
}

/* What the low bits of the SYN,ACK's timestamp say must not move it ahead of the clock: the peer's PAWS would drop what comes next. */
Test(tcp_cookie, timestamps_only_grow, .init = init, .fini = fini)
{
    struct script *t = &T;

    for (unsigned i = 0; i < 32; i++) { /* whatever the clock's low bits are */
        uint32_t syn_ack;

        t->snd = PEER_ISS;
        script_syn(t, linux_syn, sizeof(linux_syn));
        syn_ack = t->tsecr;
        ack_ts(t, 1001, syn_ack, "GET", 3);
        t->s = fake_accepted(&t->h);
        fake_write(&t->h, t->s, "200", 3); /* in the same millisecond */
        EXPECT(t, TCP_ACK, t->rcv, t->snd + 3, 3);
        cr_assert(seq_leq(syn_ack, t->tsecr), "%u, then %u", syn_ack, t->tsecr);
        send_seg(t, TCP_RST, t->snd + 3, 0, NULL, 0);
        cr_assert_eq(t->h.tw.n_conns, 0);
        t->s->used = false;
        fake_advance(&t->h, 1000);
    }
}

Test(tcp_cookie, without_timestamps_only_the_mss, .init = init, .fini = fini)
{
    static const struct { uint16_t peer, kept; } rows[] = {
        { 48, 64 }, { 536, 536 }, { 1219, 536 }, { 1220, 1220 }, { 1399, 1300 }, { 1459, 1440 }, { 1460, 1480 - IP_HDR }, { 9000, 1480 - IP_HDR },
    };
    struct script *t = &T;

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        uint8_t opt[12] = { 2, 4, (uint8_t)(rows[i].peer >> 8), (uint8_t)rows[i].peer, 4, 2, 1, 3, 3, 7, 0, 0 };
        struct tcp_opts o;

        t->peer.port = be16_of((uint16_t)(7000 + i));
        t->snd = PEER_ISS;
        script_syn(t, opt, sizeof(opt));
        cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
        cr_assert(!o.has_sack_ok && !o.has_wscale && !o.has_ts, "what cannot be kept is not agreed to");
        send_ack(t);
        cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
        cr_assert_eq(script_conn(t)->mss, rows[i].kept, "%u: %u", rows[i].peer, script_conn(t)->mss);
        cr_assert_eq(script_conn(t)->flags & (TCP_F_SACK | TCP_F_WSCALE | TCP_F_TS), 0);
    }
    t->peer.port = be16_of(7999);
    t->snd = PEER_ISS;
    script_syn(t, NULL, 0);
    send_ack(t);
    cr_assert_eq(script_conn(t)->mss, MSS_DEFAULT, "no MSS option (MUST-15)");
}

/* Options of a SYN in the ACK that brings the cookie mean nothing. */
Test(tcp_cookie, syn_options_in_the_ack_are_ignored, .init = init, .fini = fini)
{
    static const uint8_t late[12] = { 2, 4, 4, 0, 1, 1, 4, 2, 1, 3, 3, 9 };
    struct script *t = &T;

    script_syn(t, linux_syn, 4);
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_ACK, .seq = t->snd, .ack = t->rcv, .wnd = 1000, .opt = late,
               .opt_len = sizeof(late) });
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert_eq(script_conn(t)->mss, 1400);
    cr_assert_eq(script_conn(t)->snd_wscale, 0);
    cr_assert_eq(script_conn(t)->flags & (TCP_F_SACK | TCP_F_WSCALE), 0);
}

Test(tcp_cookie, forged_old_and_foreign_ones_are_refused, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct ip_endpoint peer = t->peer;
    uint32_t good;

    send_seg(t, TCP_ACK, 1, 12345, NULL, 0); /* none was sent: not even looked at */
    EXPECT(t, TCP_RST, 12345, 0, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_cookies_bad], 0);
    script_syn(t, linux_syn, 4);
    good = t->rcv;
    for (unsigned bit = 0; bit < 32; bit++) {
        send_seg(t, TCP_ACK, t->snd, ((good - 1) ^ 1u << bit) + 1, NULL, 0);
        EXPECT(t, TCP_RST, ((good - 1) ^ 1u << bit) + 1, 0, 0);
    }
    send_seg(t, TCP_ACK, t->snd + 1, good, NULL, 0); /* not the sequence number of that SYN */
    EXPECT(t, TCP_RST, good, 0, 0);
    t->peer = fake_endpoint(US, PEER_PORT);
    send_seg(t, TCP_ACK, t->snd, good, NULL, 0);
    EXPECT(t, TCP_RST, good, 0, 0);
    t->peer = peer;
    cr_assert_eq(t->h.tw.counters[TCP_C_cookies_bad], 34);
    fake_advance(&t->h, 129000000);
    send_seg(t, TCP_ACK, t->snd, good, NULL, 0);
    EXPECT(t, TCP_RST, good, 0, 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

/* Good in its period and the next only, or collected cookies would open connections for ever. Another one has gone out since: while none
 * has, ACKs are not looked at. */
Test(tcp_cookie, old_ones_are_refused_while_new_ones_are_sent, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t old_snd, old_rcv;

    script_syn(t, linux_syn, 4);
    old_snd = t->snd;
    old_rcv = t->rcv;
    fake_advance(&t->h, 128000000); /* two periods */
    t->peer.port = be16_of(PEER_PORT + 1);
    script_syn(t, linux_syn, 4);
    t->peer.port = be16_of(PEER_PORT);
    send_seg(t, TCP_ACK, old_snd, old_rcv, NULL, 0);
    EXPECT(t, TCP_RST, old_rcv, 0, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_cookies_bad], 1, "looked at");
    cr_assert_eq(t->h.tw.n_conns, 0);
    t->peer.port = be16_of(PEER_PORT + 1);
    send_ack(t);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
}

Test(tcp_cookie, good_for_a_minute_at_least, .init = init, .fini = fini)
{
    struct script *t = &T;

    for (unsigned i = 0; i < 8; i++) { /* wherever in its period it was made */
        t->peer.port = be16_of((uint16_t)(8000 + i));
        t->snd = PEER_ISS;
        script_syn(t, linux_syn, 4);
        fake_advance(&t->h, 64000000);
        send_ack(t);
        cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED, "after %u", i);
        fake_advance(&t->h, 9000000);
    }
}

Test(tcp_cookie, accept_queue_full_then_room, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, linux_syn, 4);
    t->h.listener.accept_error = -ENOBUFS;
    send_ack(t);
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.n_conns, 0, "still nothing is remembered");
    send_seg(t, TCP_SYN, 77, 0, NULL, 0); /* and no cookie while nobody takes what is established */
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.counters[TCP_C_backlog_full], 1);
    t->h.listener.accept_error = 0;
    send_data(t, "again", 5);
    cr_assert_eq(fake_accepted(&t->h)->rx_len, 5);
}

/* A client that believes itself connected has sent more than its first segment: what follows that has no cookie. */
Test(tcp_cookie, accept_queue_full_and_data_behind_it, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, linux_syn, 4);
    t->h.listener.accept_error = -ENOBUFS;
    send_ack(t);
    send_seg(t, TCP_ACK, t->snd, t->rcv, "first", 5);
    send_seg(t, TCP_ACK, t->snd + 5, t->rcv, "second", 6);
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.counters[TCP_C_cookie_waits], 1);
    t->h.listener.accept_error = 0;
    send_seg(t, TCP_ACK, t->snd + 5, t->rcv, "second", 6); /* there is room, but this is not what brings the cookie */
    EXPECT_NOTHING(t);
    send_seg(t, TCP_ACK, t->snd, t->rcv, "first", 5);
    cr_assert_eq(fake_accepted(&t->h)->rx_len, 5);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
}

Test(tcp_cookie, accept_queue_full_not_for_ever, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, linux_syn, 4);
    t->h.listener.accept_error = -ENOBUFS;
    send_ack(t);
    fake_advance(&t->h, 3000000);
    send_seg(t, TCP_ACK, t->snd + 5, t->rcv, "second", 6);
    EXPECT(t, TCP_RST, t->rcv, 0, 0);
}

/* The SYN comes again when there is room: its connection has another number, and the peer may have taken the cookie before. */
static void syn_twice(struct script *t, bool v4)
{
    struct tcp_opts o;
    uint32_t cookie, syn = t->snd;

    if (!v4) {
        t->us = fake_endpoint("fd00::1", PORT);
        t->peer = fake_endpoint("fd00::2", PEER_PORT);
        t->h.listener.lcl = t->us;
    }
    script_syn(t, linux_syn, sizeof(linux_syn));
    cookie = t->rcv;
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_cookies_sent], 1);
    t->h.listener.backlog = 1;
    t->snd = syn;
    script_syn(t, linux_syn, sizeof(linux_syn));
    cr_assert_eq(t->h.tw.n_half_open, 1);
    cr_assert_neq(t->rcv, cookie);
    t->rcv = cookie + 5; /* neither of the two */
    ack_ts(t, 1001, o.tsval, NULL, 0);
    EXPECT(t, TCP_RST, cookie + 5, 0, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_SYN_RCVD);
    t->rcv = cookie;
    t->h.listener.accept_error = -ENOBUFS;
    ack_ts(t, 1001, o.tsval, NULL, 0);
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.n_half_open, 0);
    cr_assert_eq(t->h.tw.n_conns, 0, "the cookie says all of it");
    t->h.listener.accept_error = 0;
    t->snd = syn;
    script_syn(t, linux_syn, sizeof(linux_syn));
    t->rcv = cookie;
    ack_ts(t, 1001, o.tsval, "GET /", 5);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert_eq(script_conn(t)->iss, cookie - 1);
    cr_assert_eq(fake_accepted(&t->h)->rx_len, 5);
    cr_assert_eq(t->h.tw.n_half_open, 0);
}
Test(tcp_cookie, of_a_syn_that_came_again, .init = init, .fini = fini) { syn_twice(&T, true); }
Test(tcp_cookie, of_a_syn_that_came_again_v6, .init = init, .fini = fini) { syn_twice(&T, false); }

Test(tcp_cookie, not_without_load_and_not_when_switched_off, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.listener.backlog = 1;
    script_syn(t, linux_syn, sizeof(linux_syn));
    cr_assert_eq(t->h.tw.counters[TCP_C_cookies_sent], 0);
    cr_assert_eq(t->h.tw.n_half_open, 1);
    t->h.tw.cfg.syn_cookies = false;
    t->peer.port = be16_of(9000);
    send_seg(t, TCP_SYN, 1, 0, NULL, 0);
    EXPECT_NOTHING(t);
    cr_assert_eq(t->h.tw.counters[TCP_C_backlog_full], 1);
}

Test(tcp_cookie, ipv6, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->us = fake_endpoint("fd00::1", PORT);
    t->peer = fake_endpoint("fd00::2", PEER_PORT);
    t->h.listener.lcl = t->us;
    script_syn(t, NULL, 0);
    send_ack(t);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert_eq(script_conn(t)->mss, 1220);
}

/* A FIN right behind the handshake: taken with the cookie's ACK. */
Test(tcp_cookie, data_and_fin_with_the_cookie, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, linux_syn, 4);
    send_seg(t, TCP_ACK | TCP_FIN, t->snd, t->rcv, "bye", 3);
    t->snd += 4;
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_CLOSE_WAIT);
    cr_assert_eq(fake_accepted(&t->h)->rx_len, 3);
}

/* ---- TCP_DEFER_ACCEPT ---- */

static void init_defer(void)
{
    script_init(&T);
    T.h.listener.attr[SVM_ATTR_DEFER_ACCEPT] = 5;
}

Test(tcp_defer, accepted_with_the_first_bytes, .init = init_defer, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    send_ack(t);
    cr_assert_null(fake_accepted(&t->h));
    cr_assert_eq(script_conn(t)->state, TCP_S_SYN_RCVD);
    fake_advance(&t->h, 3000000);
    EXPECT_NOTHING(t); /* it has acknowledged: no SYN,ACK again */
    send_data(t, "GET", 3);
    cr_assert_eq(fake_accepted(&t->h)->rx_len, 3);
}

Test(tcp_defer, accepted_without_when_the_time_is_up, .init = init_defer, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    send_ack(t);
    fake_advance(&t->h, 5100000);
    EXPECT(t, TCP_SYN | TCP_ACK, t->rcv - 1, t->snd, 0);
    send_ack(t);
    cr_assert_not_null(fake_accepted(&t->h));
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
}

Test(tcp_defer, a_cookie_waits_for_its_data_without_state, .init = init_defer, .fini = fini)
{
    struct script *t = &T;

    t->h.listener.backlog = 0;
    script_syn(t, NULL, 0);
    send_ack(t);
    cr_assert_eq(t->h.tw.n_conns, 0);
    EXPECT_NOTHING(t);
    send_data(t, "GET", 3);
    cr_assert_eq(fake_accepted(&t->h)->rx_len, 3);
}

Test(tcp_defer, closed_without_data, .init = init_defer, .fini = fini)
{
    struct script *t = &T;

    script_syn(t, NULL, 0);
    send_ack(t);
    send_seg(t, TCP_ACK | TCP_FIN, t->snd++, t->rcv, NULL, 0);
    cr_assert_not_null(fake_accepted(&t->h));
    cr_assert(fake_accepted(&t->h)->rx_fin);
}
