/* tcp_fastopen_test.c - Fast Open at a listener, segment by segment (RFC 7413) */
#include "tests/unit/server/tcp/tcp_script.h"

static struct script T;
static void init(void)
{
    script_init(&T);
    T.h.listener.attr[SVM_ATTR_FASTOPEN] = 2;
}
static void fini(void) { fake_fini(&T.h); }

/* A SYN with MSS 1000, the option with a cookie of n bytes, and data. */
static void send_syn_with(struct script *t, uint8_t flags, const uint8_t *cookie, unsigned n, const void *data, uint32_t len)
{
    uint8_t opt[24] = { 2, 4, 1000 >> 8, 1000 & 255, 34, (uint8_t)(2 + n) };

    if (n)
        memcpy(opt + 6, cookie, n);
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_SYN | flags, .seq = t->snd, .wnd = t->wnd, .opt = opt,
               .opt_len = (6 + n + 3) & ~3u, .data = data, .len = len });
}
static void send_syn(struct script *t, const uint8_t *cookie, unsigned n, const void *data, uint32_t len)
{
    send_syn_with(t, 0, cookie, n, data, len);
}

/* Takes the SYN,ACK; its cookie, or n = 0. */
static unsigned take_syn_ack(struct script *t, uint32_t ack, uint8_t cookie[16])
{
    cr_assert(take(t));
    cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ACK, "flags %02x", t->seg.flags);
    cr_assert_eq(t->seg.ack, ack, "ack %u, wanted %u", t->seg.ack, ack);
    t->rcv = t->seg.seq + 1;
    for (unsigned i = 0; i < t->seg.opt_len && t->seg.opt[i];) {
        if (t->seg.opt[i] == 34) {
            memcpy(cookie, t->seg.opt + i + 2, t->seg.opt[i + 1] - 2u);
            return t->seg.opt[i + 1] - 2u;
        }
        i += t->seg.opt[i] == 1 ? 1 : t->seg.opt[i + 1];
    }
    return 0;
}

static void get_cookie(struct script *t, uint8_t cookie[16])
{
    send_syn(t, NULL, 0, NULL, 0);
    cr_assert_eq(take_syn_ack(t, t->snd + 1, cookie), 8);
    send_seg(t, TCP_RST, t->snd + 1, 0, NULL, 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

static uint32_t pending(struct script *t) { return t->h.tw.n_fastopen; }

/* s4.2: request, then data in the SYN, its answer before the handshake is over, and an ordinary connection afterwards. */
Test(tcp_fastopen, data_in_the_syn, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t cookie[16], none[16];
    char buf[16];

    get_cookie(t, cookie);
    send_syn(t, cookie, 8, "hello", 5);
    t->s = fake_accepted(&t->h);
    cr_assert_not_null(t->s, "accepted at once");
    cr_assert_eq(t->s->rx_len, 5);
    cr_assert_eq(take_syn_ack(t, t->snd + 6, none), 0, "who has a good cookie needs no other");
    cr_assert_eq(pending(t), 1);
    cr_assert_eq(fake_read(&t->h, t->s, buf, sizeof(buf)), 5);
    fake_write(&t->h, t->s, "world!", 6);
    EXPECT(t, TCP_ACK, t->rcv, t->snd + 6, 6);
    t->snd += 6;
    send_seg(t, TCP_ACK, t->snd, t->rcv, NULL, 0); /* of the SYN,ACK only */
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert_eq(pending(t), 0);
    t->rcv += 6;
    send_seg(t, TCP_ACK, t->snd, t->rcv, NULL, 0);
    cr_assert_eq(t->s->tx_len, 0);
    send_data(t, "more", 4);
    cr_assert_eq(t->s->rx_len, 4);
    fake_advance(&t->h, 100000); /* delayed, as on any connection */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    EXPECT_NOTHING(t);
}

/* The answer, all of it with the end, is on its way before the SYN,ACK is acknowledged; one ACK takes all. */
Test(tcp_fastopen, answer_and_fin, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t cookie[16];

    get_cookie(t, cookie);
    send_syn(t, cookie, 8, t->data, 900);
    t->s = fake_accepted(&t->h);
    take_syn_ack(t, t->snd + 901, cookie);
    t->snd += 901;
    fake_write(&t->h, t->s, t->data, 3500);
    for (unsigned i = 0; i < 3; i++)
        EXPECT(t, TCP_ACK, t->rcv + i * 1000, t->snd, 1000);
    EXPECT(t, TCP_ACK, t->rcv + 3000, t->snd, 500);
    send_seg(t, TCP_ACK, t->snd, t->rcv + 3500, NULL, 0);
    cr_assert_eq(t->s->tx_len, 0);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert_eq(script_conn(t)->rexmt_mode, TCP_REXMT_NONE);
    EXPECT_NOTHING(t);
}

/* A FIN in the SYN is as if lost: nothing closes in SYN-RCVD. It is not acknowledged, so the peer sends it again: then it counts. */
Test(tcp_fastopen, fin_in_the_syn_comes_again, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t cookie[16], none[16];

    get_cookie(t, cookie);
    send_syn_with(t, TCP_FIN, cookie, 8, "hello", 5);
    t->s = fake_accepted(&t->h);
    cr_assert_eq(t->s->rx_len, 5);
    cr_assert_not(t->s->rx_fin);
    take_syn_ack(t, t->snd + 6, none);
    t->snd += 6;
    send_seg(t, TCP_ACK | TCP_FIN, t->snd, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd + 1, 0);
    cr_assert(t->s->rx_fin);
    cr_assert_eq(script_conn(t)->state, TCP_S_CLOSE_WAIT);
}

/* The SYN,ACK is repeated, alone, until it is acknowledged; then what was sent and lost. A repeated SYN is answered. */
Test(tcp_fastopen, lost_syn_ack, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t cookie[16];

    get_cookie(t, cookie);
    send_syn(t, cookie, 8, "hello", 5);
    t->s = fake_accepted(&t->h);
    take_syn_ack(t, t->snd + 6, cookie);
    fake_write(&t->h, t->s, "world!", 6);
    EXPECT(t, TCP_ACK, t->rcv, t->snd + 6, 6);
    fake_advance(&t->h, 1100000);
    take_syn_ack(t, t->snd + 6, cookie);
    EXPECT_NOTHING(t);
    send_syn(t, cookie, 0, NULL, 0);
    take_syn_ack(t, t->snd + 6, cookie);
    cr_assert_eq(t->s->rx_len, 5, "once only");
    t->snd += 6;
    send_seg(t, TCP_ACK, t->snd, t->rcv, NULL, 0);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 4000000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 6);
    send_seg(t, TCP_ACK, t->snd, t->rcv + 6, NULL, 0);
    cr_assert_eq(t->s->tx_len, 0);
}

static void expect_usual(struct script *t, unsigned want_cookie)
{
    uint8_t cookie[16];

    cr_assert_eq(take_syn_ack(t, t->snd + 1, cookie), want_cookie);
    cr_assert_eq(pending(t), 0);
    cr_assert_null(fake_accepted(&t->h));
    send_seg(t, TCP_RST, t->snd + 1, 0, NULL, 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

/* s4.1.3: a cookie that is not ours, of another address, of an illegal length, too old: the usual handshake, without the data. */
Test(tcp_fastopen, bad_cookies, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t cookie[16] = { 0 }, other[16];

    get_cookie(t, cookie);
    send_syn(t, cookie, 16, "hello", 5);
    expect_usual(t, 8);
    memcpy(other, cookie, 16);
    other[7] ^= 1;
    send_syn(t, other, 8, "hello", 5);
    expect_usual(t, 8);
    send_syn(t, cookie, 7, "hello", 5); /* no such length: as without the option */
    expect_usual(t, 0);
    send_syn(t, cookie, 8, NULL, 0); /* good, and nothing to take */
    expect_usual(t, 0);
    t->peer.ip.b[15] ^= 1;
    send_syn(t, cookie, 8, "hello", 5);
    expect_usual(t, 8);
    t->peer.ip.b[15] ^= 1;
    t->h.listener.attr[SVM_ATTR_FASTOPEN] = 0; /* not asked for by the program */
    send_syn(t, cookie, 8, "hello", 5);
    expect_usual(t, 0);
    t->h.listener.attr[SVM_ATTR_FASTOPEN] = 2;
    fake_advance(&t->h, 1ull << 33); /* of the period before: good, and a new one comes with the SYN,ACK */
    send_syn(t, cookie, 8, "hello", 5);
    cr_assert_eq(take_syn_ack(t, t->snd + 6, other), 8);
    cr_assert(memcmp(cookie, other, 8) != 0);
    cr_assert_eq(pending(t), 1);
    send_seg(t, TCP_RST, t->snd + 6, 0, NULL, 0);
    cr_assert_eq(fake_accepted(&t->h)->reset_error, -ECONNRESET, "the program has it, so it is told");
    cr_assert_eq(pending(t), 0);
    fake_accepted(&t->h)->used = false;
    fake_advance(&t->h, 1ull << 33);
    send_syn(t, cookie, 8, "hello", 5);
    cr_assert_eq(take_syn_ack(t, t->snd + 1, other), 8, "two periods old");
    send_seg(t, TCP_RST, t->snd + 1, 0, NULL, 0);
}

/* s5.1: so many at a time; who comes then is opened the usual way. */
Test(tcp_fastopen, pending_are_bounded, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t cookie[16], none[16];

    get_cookie(t, cookie);
    for (unsigned i = 0; i < 3; i++) {
        t->peer.port = be16_of((uint16_t)(PEER_PORT + i));
        send_syn(t, cookie, 8, "hello", 5);
        take_syn_ack(t, i < 2 ? t->snd + 6 : t->snd + 1, none);
    }
    cr_assert_eq(pending(t), 2);
    cr_assert_eq(t->h.tw.counters[TCP_C_fastopen_full], 1);
    send_seg(t, TCP_RST, t->snd + 1, 0, NULL, 0);
    fake_advance(&t->h, 400000000); /* nobody acknowledges: they end, and are told to the program */
    cr_assert_eq(pending(t), 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
    while (take(t))
        cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ACK);
    cr_assert_eq(fake_accepted(&t->h)->reset_error, -ETIMEDOUT);
}

/* s5.1: hosts whose addresses a flood uses answer with RSTs. The places that these free are not to be had at once. */
Test(tcp_fastopen, those_reset_count_for_a_minute, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t cookie[16], none[16];

    get_cookie(t, cookie);
    for (unsigned i = 0; i < 4; i++) {
        t->peer.port = be16_of((uint16_t)(PEER_PORT + i));
        send_syn(t, cookie, 8, "hello", 5);
        take_syn_ack(t, i < 2 ? t->snd + 6 : t->snd + 1, none);
        send_seg(t, TCP_RST, t->snd + (i < 2 ? 6 : 1), 0, NULL, 0);
        fake_advance(&t->h, 10000000);
    }
    cr_assert_eq(pending(t), 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_fastopen_full], 2);
    fake_advance(&t->h, 19000000); /* 59 s after the first */
    t->peer.port = be16_of(PEER_PORT + 9);
    send_syn(t, cookie, 8, "hello", 5);
    take_syn_ack(t, t->snd + 1, none);
    send_seg(t, TCP_RST, t->snd + 1, 0, NULL, 0);
    fake_advance(&t->h, 2000000);
    for (unsigned i = 0; i < 2; i++) { /* there is one place again */
        t->peer.port = be16_of((uint16_t)(PEER_PORT + 10 + i));
        send_syn(t, cookie, 8, "hello", 5);
        take_syn_ack(t, i < 1 ? t->snd + 6 : t->snd + 1, none);
    }
    cr_assert_eq(pending(t), 1);
    fake_advance(&t->h, 400000000);
    cr_assert_eq(t->h.tw.n_conns, 0);
    while (take(t))
        ;
}

/* A program that closes, or resets, before the handshake is over. */
Test(tcp_fastopen, closed_early, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t cookie[16];
    char buf[16];

    get_cookie(t, cookie);
    send_syn(t, cookie, 8, "hello", 5);
    t->s = fake_accepted(&t->h);
    take_syn_ack(t, t->snd + 6, cookie);
    t->snd += 6;
    fake_read(&t->h, t->s, buf, sizeof(buf));
    fake_write(&t->h, t->s, "bye", 3);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    while (take(t))
        ;
    send_seg(t, TCP_ACK, t->snd, t->rcv + 3, NULL, 0);
    cr_assert_eq(pending(t), 0);
    EXPECT(t, TCP_ACK | TCP_FIN, t->rcv + 3, t->snd, 0);
    send_seg(t, TCP_ACK | TCP_FIN, t->snd, t->rcv + 4, NULL, 0);
    cr_assert(t->s->is_closed);
    while (take(t))
        ;
}
