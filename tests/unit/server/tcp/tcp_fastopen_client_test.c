/* tcp_fastopen_client_test.c - Fast Open of a program that connects, segment by segment (RFC 7413 s4.1.3, s4.2) */
#include "tests/unit/server/tcp/tcp_script.h"

enum { HS_MSS = 1000, PEER_SEQ = 70000 };
static const uint8_t COOKIE[16] = "sixteen-bytes-of", OTHER[8] = "another!";

static struct script T;
static void init(void)
{
    script_init(&T);
    T.h.connect_how = SVM_CONNECT_FASTOPEN;
}
static void fini(void) { fake_fini(&T.h); }

static void open_one(struct script *t)
{
    t->us.port = be16_of((uint16_t)(be16_get(t->us.port) + 1));
    t->s = fake_connect(&t->h, US, be16_get(t->us.port), PEER, PEER_PORT);
    cr_assert_eq(t->s->connect_error, 0);
}

/* Takes the SYN: length of its cookie, -1 = it does not speak of Fast Open. */
static int take_syn(struct script *t, uint32_t len, uint8_t cookie[16])
{
    cr_assert(take(t), "no SYN");
    cr_assert_eq(t->seg.flags, TCP_SYN);
    cr_assert_eq(t->seg.len, len, "%u bytes in the SYN, wanted %u", t->seg.len, len);
    cr_assert_eq(t->seg.opt_len % 4, 0);
    t->rcv = t->seg.seq + 1;
    for (unsigned i = 0; i < t->seg.opt_len && t->seg.opt[i];) {
        if (t->seg.opt[i] == 34) {
            memcpy(cookie, t->seg.opt + i + 2, t->seg.opt[i + 1] - 2u);
            return t->seg.opt[i + 1] - 2;
        }
        i += t->seg.opt[i] == 1 ? 1 : t->seg.opt[i + 1];
    }
    return -1;
}

/* n < 0: without the option. */
static void answer(struct script *t, uint32_t ack, const uint8_t *cookie, int n)
{
    uint8_t opt[24] = { 2, 4, HS_MSS >> 8, HS_MSS & 255, 34, (uint8_t)(2 + n) };

    if (n > 0)
        memcpy(opt + 6, cookie, (size_t)n);
    t->snd = PEER_SEQ + 1;
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_SYN | TCP_ACK, .seq = PEER_SEQ, .ack = ack, .wnd = t->wnd,
               .opt = opt, .opt_len = n < 0 ? 4 : (6 + (unsigned)n + 3) & ~3u });
}

/* The ACK that ends the handshake; data follows. */
static void take_ack(struct script *t, uint32_t seq)
{
    EXPECT(t, TCP_ACK, seq, t->snd, 0);
    fake_tx(&t->h);
}

static void end_one(struct script *t)
{
    tcp_transport_ops.reset(&t->h.w, t->s->conn);
    t->s->used = false;
    while (take(t))
        ;
    cr_assert_eq(t->h.tw.n_conns, 0);
}

static void learn(struct script *t, const uint8_t *cookie, int n)
{
    uint8_t c[16];

    open_one(t);
    cr_assert_not(t->s->connect_waits);
    cr_assert_eq(take_syn(t, 0, c), 0, "asks");
    answer(t, t->rcv, cookie, n);
    cr_assert(t->s->connected);
    end_one(t);
}

/* s4.2: the second connection waits for bytes, and its SYN has them. */
static void expect_syn_data(struct script *t, uint32_t n, uint32_t in_syn, const uint8_t *cookie, int cookie_len)
{
    uint8_t c[16], sent[4096];

    open_one(t);
    cr_assert(t->s->connect_waits);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 100000000);
    EXPECT_NOTHING(t);
    for (uint32_t i = 0; i < n; i++)
        sent[i] = (uint8_t)(i * 7);
    fake_write(&t->h, t->s, sent, n);
    cr_assert_eq(take_syn(t, in_syn, c), cookie_len);
    cr_assert(cookie_len <= 0 || memcmp(c, cookie, (size_t)cookie_len) == 0);
    cr_assert_arr_eq(t->data, sent, in_syn);
    EXPECT_NOTHING(t);
}

Test(fastopen_client, data_is_taken, .init = init, .fini = fini)
{
    struct script *t = &T;

    learn(t, COOKIE, 8);
    expect_syn_data(t, 5, 5, COOKIE, 8);
    answer(t, t->rcv + 5, NULL, -1);
    cr_assert(t->s->connected);
    cr_assert_eq(t->s->tx_len, 0);
    cr_assert(script_conn(t)->flags & TCP_F_FASTOPEN, "TCP_INFO tells of it");
    EXPECT(t, TCP_ACK, t->rcv + 5, t->snd, 0);
    fake_write(&t->h, t->s, "more", 4);
    EXPECT(t, TCP_ACK, t->rcv + 5, t->snd, 4);
    end_one(t);
}

/* s4.1.3: by the MSS of the last answer, for there is none of this one. The largest cookie still fits. What is left follows the handshake. */
Test(fastopen_client, more_than_fits, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t room;

    learn(t, COOKIE, 16);
    room = HS_MSS - 40; /* the options are full */
    expect_syn_data(t, 2000, room, COOKIE, 16);
    answer(t, t->rcv + room, NULL, -1);
    cr_assert_eq(t->s->tx_len, 2000 - room);
    take_ack(t, t->rcv + room);
    EXPECT(t, TCP_ACK, t->rcv + room, t->snd, HS_MSS);
    EXPECT(t, TCP_ACK, t->rcv + room + HS_MSS, t->snd, 2000 - room - HS_MSS);
    end_one(t);
}

/* s4.2.1: none of it, or the first part; a cookie that is not good any more is replaced. */
Test(fastopen_client, data_is_not_taken, .init = init, .fini = fini)
{
    struct script *t = &T;

    learn(t, COOKIE, 8);
    expect_syn_data(t, 5, 5, COOKIE, 8);
    answer(t, t->rcv, OTHER, 8);
    cr_assert_not(script_conn(t)->flags & TCP_F_FASTOPEN);
    take_ack(t, t->rcv);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 5);
    end_one(t);
    expect_syn_data(t, 5, 5, OTHER, 8);
    answer(t, t->rcv + 2, NULL, -1);
    take_ack(t, t->rcv + 2);
    EXPECT(t, TCP_ACK, t->rcv + 2, t->snd, 3);
    cr_assert_eq(t->data[0], 14);
    end_one(t);
    expect_syn_data(t, 5, 5, OTHER, 8);
    answer(t, t->rcv + 6, NULL, -1); /* more than was sent */
    EXPECT(t, TCP_RST, t->rcv + 6, 0, 0);
    cr_assert_not(t->s->connected);
    end_one(t);
}

/* A cookie of an illegal length is none (s4.1.1), and nobody's wish is answered by what was not asked. */
Test(fastopen_client, cookies_that_are_none, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t c[16];

    learn(t, COOKIE, 3);
    learn(t, COOKIE, 5);
    learn(t, COOKIE, 0);
    learn(t, COOKIE, -1);
    t->h.connect_how = 0;
    open_one(t);
    cr_assert_eq(take_syn(t, 0, c), -1);
    answer(t, t->rcv, COOKIE, 8);
    end_one(t);
    t->h.connect_how = SVM_CONNECT_FASTOPEN;
    learn(t, COOKIE, 4);
    t->h.ifc.fib = 0;
    expect_syn_data(t, 5, 5, COOKIE, 4);
    end_one(t);
}

static void lose_one(struct script *t, uint32_t len, bool data_came)
{
    uint8_t c[16];

    fake_advance(&t->h, 1100000);
    cr_assert_eq(take_syn(t, 0, c), -1, "the SYN goes out again without the option and without data");
    answer(t, data_came ? t->rcv + len : t->rcv, NULL, -1);
    cr_assert(t->s->connected);
    cr_assert_eq(t->s->tx_len, data_came ? 0 : len);
    end_one(t);
}

/* s4.1.3: SYNs with data vanish, plain ones arrive: twice, and no other is sent for a while. */
Test(fastopen_client, black_hole, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t c[16];

    learn(t, COOKIE, 8);
    expect_syn_data(t, 5, 5, COOKIE, 8);
    lose_one(t, 5, true); /* only its answer was lost */
    for (unsigned i = 0; i < 2; i++) {
        expect_syn_data(t, 5, 5, COOKIE, 8);
        lose_one(t, 5, false);
    }
    for (unsigned i = 0; i < 2; i++) {
        open_one(t);
        cr_assert_not(t->s->connect_waits);
        cr_assert_eq(take_syn(t, 0, c), -1);
        answer(t, t->rcv, NULL, -1);
        end_one(t);
        fake_advance(&t->h, 28000000);
    }
    cr_assert_eq(t->h.tw.counters[TCP_C_fastopen_avoided], 2);
    fake_advance(&t->h, 60000000);
    expect_syn_data(t, 5, 5, COOKIE, 8);
    lose_one(t, 5, false); /* again: twice as long */
    fake_advance(&t->h, 100000000);
    open_one(t);
    cr_assert_not(t->s->connect_waits);
    take_syn(t, 0, c);
    end_one(t);
    fake_advance(&t->h, 30000000);
    expect_syn_data(t, 5, 5, COOKIE, 8);
    answer(t, t->rcv + 5, NULL, -1); /* all is well */
    end_one(t);
    expect_syn_data(t, 5, 5, COOKIE, 8);
    end_one(t);
}

/* Two in a row: one now and then is bad luck, and what arrives between them shows that nobody drops such SYNs. */
Test(fastopen_client, success_ends_the_count_of_losses, .init = init, .fini = fini)
{
    struct script *t = &T;

    learn(t, COOKIE, 8);
    for (unsigned i = 0; i < 3; i++) {
        expect_syn_data(t, 5, 5, COOKIE, 8); /* not avoided */
        lose_one(t, 5, false);
        expect_syn_data(t, 5, 5, COOKIE, 8);
        answer(t, t->rcv + 5, NULL, -1);
        end_one(t);
    }
    cr_assert_eq(t->h.tw.counters[TCP_C_fastopen_lost], 3);
}

/* A question that is lost counts, too. */
Test(fastopen_client, question_is_lost, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t c[16];

    for (unsigned i = 0; i < 2; i++) {
        open_one(t);
        cr_assert_eq(take_syn(t, 0, c), 0);
        lose_one(t, 0, false);
    }
    open_one(t);
    cr_assert_eq(take_syn(t, 0, c), -1);
    end_one(t);
}

/* TCP_FASTOPEN_NO_COOKIE: at once, without the option. */
Test(fastopen_client, no_cookie, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.connect_how |= SVM_CONNECT_NO_COOKIE;
    expect_syn_data(t, 5, 5, NULL, -1);
    answer(t, t->rcv + 5, NULL, -1);
    cr_assert_eq(t->s->tx_len, 0);
    end_one(t);
    t->h.connect_how &= (uint8_t)~SVM_CONNECT_NO_COOKIE;
    learn(t, COOKIE, 8);
}

/* Closed before and after the SYN; refused; the option has no room beside another; a congestion control is chosen meanwhile. */
Test(fastopen_client, ends_and_options, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t c[16];

    learn(t, COOKIE, 8);
    open_one(t);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    cr_assert(t->s->is_closed);
    cr_assert_eq(t->h.tw.n_conns, 0);
    t->s->used = false;
    expect_syn_data(t, 5, 5, COOKIE, 8);
    send_seg(t, TCP_RST | TCP_ACK, 0, t->rcv + 5, NULL, 0);
    cr_assert_eq(t->s->connect_error, -ECONNREFUSED);
    cr_assert_eq(t->h.tw.n_conns, 0);
    t->s->used = false;
    open_one(t);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_CONGESTION, "newreno", 8), 0);
    cr_assert(tcp_fastopen_waits(script_conn(t)));
    fake_write(&t->h, t->s, "hello", 5);
    cr_assert_eq(take_syn(t, 5, c), 8);
    answer(t, t->rcv, NULL, -1);
    take_ack(t, t->rcv);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 5);
    end_one(t);
}

/* s3.5 of RFC 9293: both begin at once; what was in our SYN goes out again, as the peer has not taken it. */
Test(fastopen_client, simultaneous, .init = init, .fini = fini)
{
    struct script *t = &T;

    learn(t, COOKIE, 8);
    expect_syn_data(t, 5, 5, COOKIE, 8);
    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_SYN, .seq = PEER_SEQ, .wnd = t->wnd });
    t->snd = PEER_SEQ + 1;
    cr_assert(take(t));
    cr_assert_eq(t->seg.flags, TCP_SYN | TCP_ACK);
    cr_assert_eq(t->seg.len, 0);
    send_seg(t, TCP_ACK, t->snd, t->rcv, NULL, 0);
    cr_assert(t->s->connected);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 5);
    end_one(t);
}

/* What is remembered is bounded: of very many hosts the last is known, and the first perhaps not any more. */
Test(fastopen_client, many_hosts, .init = init, .fini = fini)
{
    struct script *t = &T;
    unsigned known = 0;

    for (unsigned i = 0; i < 5000; i++) {
        t->peer.ip.b[15] = (uint8_t)(1 + i % 254);
        t->peer.ip.b[14] = (uint8_t)(i / 254);
        t->us.port = be16_of((uint16_t)(be16_get(t->us.port) + 1));
        t->s = &t->h.s[0];
        memset(t->s, 0, offsetof(struct session, rx));
        t->s->rx_max = FAKE_FIFO;
        t->s->connect_how = SVM_CONNECT_FASTOPEN;
        cr_assert_eq(tcp_transport_ops.connect(&t->h.w, t->s, &t->us, &t->peer, &t->s->conn), 0);
        if (t->peer.ip.b[15] != 255) {
            uint8_t c[16];

            cr_assert_eq(take_syn(t, 0, c), 0);
            answer(t, t->rcv, COOKIE, 8);
        }
        end_one(t);
    }
    for (unsigned i = 0; i < 5000; i++) {
        t->peer.ip.b[15] = (uint8_t)(1 + i % 254);
        t->peer.ip.b[14] = (uint8_t)(i / 254);
        memset(t->s, 0, offsetof(struct session, rx));
        t->s->rx_max = FAKE_FIFO;
        t->s->connect_how = SVM_CONNECT_FASTOPEN;
        cr_assert_eq(tcp_transport_ops.connect(&t->h.w, t->s, &t->us, &t->peer, &t->s->conn), 0);
        known += t->s->connect_waits;
        end_one(t);
    }
    cr_assert(known > 512 && known <= 1024, "%u are known", known);
    cr_assert_eq(t->h.tw.counters[TCP_C_fastopen_cookies], 5000);
}
