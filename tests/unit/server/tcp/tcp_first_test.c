/* tcp_first_test.c - what a program has set before connect() and listen() is in the first packet, and in each that repeats it */
#include "tests/unit/server/tcp/tcp_script.h"

enum { MSS = 700, TTL = 33, TOS = 0xb8, UTO_S = 45 };

static struct script T;
static void init(void)
{
    script_init(&T);
    T.h.tw.cfg.user_timeout_option = true;
}
static void fini(void) { fake_fini(&T.h); }

static void set_all(int32_t attr[64])
{
    attr[SVM_ATTR_MSS] = MSS;
    attr[SVM_ATTR_TTL] = TTL;
    attr[SVM_ATTR_DSCP] = TOS | 3; /* the last two bits are TCP's */
    attr[SVM_ATTR_USER_TIMEOUT] = UTO_S * 1000;
    attr[SVM_ATTR_NODELAY] = attr[SVM_ATTR_KEEPALIVE] = attr[SVM_ATTR_KEEPIDLE] = attr[SVM_ATTR_CORK] = attr[SVM_ATTR_QUICKACK] = 1;
    attr[SVM_ATTR_MAX_PACING] = 1000;
}

/* The segment in t->seg, and how it was sent. */
static void expect_all(struct script *t, uint8_t flags)
{
    struct tcp_opts o;

    cr_assert_eq(t->seg.flags, flags, "flags %02x", t->seg.flags);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert_eq(o.mss, MSS, "MSS %u", o.mss);
    cr_assert(o.has_uto && o.uto_s == UTO_S, "user timeout %u", o.uto_s);
    cr_assert_eq(t->h.last_tx.ttl, TTL, "TTL %u", t->h.last_tx.ttl);
    cr_assert_eq(t->h.last_tx.tos, TOS, "TOS %02x", t->h.last_tx.tos);
}

static void answer_syn(struct script *t, uint32_t ack)
{
    static const uint8_t mss[4] = { 2, 4, 1400 >> 8, 1400 & 255 };

    fake_input(&t->h, &t->peer, &t->us, &(struct fake_seg){ .flags = TCP_SYN | TCP_ACK, .seq = t->snd, .ack = ack, .wnd = t->wnd, .opt = mss,
               .opt_len = sizeof(mss) });
    t->snd++;
}

/* The SYN, the one after its loss, and the ACK that tells of the user timeout once more: a listener that answered with a cookie has
 * forgotten the SYN's options (RFC 5482). */
Test(tcp_first, syn, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_opts o;

    set_all(t->h.connect_attr);
    t->h.connect_congestion = "reno";
    script_connect(t);
    expect_all(t, TCP_SYN);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 1100000);
    cr_assert(take(t));
    expect_all(t, TCP_SYN);
    answer_syn(t, t->rcv);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->h.last_tx.ttl, TTL);
    cr_assert_eq(t->h.last_tx.tos, TOS);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_uto && o.uto_s == UTO_S);
    cr_assert_str_eq(script_conn(t)->cc->name, "newreno");
    cr_assert_eq(script_conn(t)->mss, MSS);
    cr_assert(script_conn(t)->flags & TCP_F_NODELAY && script_conn(t)->flags & TCP_F_KEEPALIVE);
    cr_assert(timer_is_running(&script_conn(t)->t_misc), "keep-alive begins with the connection");
    send_seg(t, TCP_ACK, t->snd - 2000, t->rcv, "old", 3);
    cr_assert(take(t));
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert_not(o.has_uto, "told once more, no oftener");
}

/* Larger than what the path takes, it offers what the path takes. */
Test(tcp_first, mss_beyond_the_path, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_opts o;

    t->h.connect_attr[SVM_ATTR_MSS] = 9000;
    script_connect(t);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert_eq(o.mss, 1480 - IP_HDR);
    cr_assert_not(o.has_uto);
}

/* No path: nothing of it is left. */
Test(tcp_first, no_route, .init = init, .fini = fini)
{
    struct script *t = &T;

    set_all(t->h.connect_attr);
    t->h.route_error = -ENETUNREACH;
    t->s = fake_connect(&t->h, US, PORT, PEER, PEER_PORT);
    cr_assert_eq(t->s->connect_error, -ENETUNREACH);
    cr_assert_eq(t->h.tw.n_conns, 0);
    EXPECT_NOTHING(t);
}

Test(tcp_first, fast_open_syn_with_data, .init = init, .fini = fini)
{
    struct script *t = &T;

    set_all(t->h.connect_attr);
    t->h.connect_how = SVM_CONNECT_FASTOPEN | SVM_CONNECT_NO_COOKIE;
    t->s = fake_connect(&t->h, US, PORT, PEER, PEER_PORT);
    EXPECT_NOTHING(t);
    fake_write(&t->h, t->s, "early", 5);
    fake_tx(&t->h);
    cr_assert(take(t));
    cr_assert_eq(t->seg.len, 5);
    expect_all(t, TCP_SYN);
}

Test(tcp_first, syn_ack, .init = init, .fini = fini)
{
    struct script *t = &T;

    set_all(t->h.listener.attr);
    script_syn(t, NULL, 0);
    expect_all(t, TCP_SYN | TCP_ACK);
    cr_assert_not(timer_is_running(&script_conn(t)->t_misc), "nothing is there to be kept alive");
    fake_advance(&t->h, 1100000);
    cr_assert(take(t));
    expect_all(t, TCP_SYN | TCP_ACK);
    send_ack(t);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert(timer_is_running(&script_conn(t)->t_misc));
}

/* Of a listener under load: nothing is remembered, but the listener's options are known. */
Test(tcp_first, cookie, .init = init, .fini = fini)
{
    struct script *t = &T;

    set_all(t->h.listener.attr);
    t->h.listener.backlog = 0;
    script_syn(t, NULL, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_cookies_sent], 1);
    expect_all(t, TCP_SYN | TCP_ACK);
    send_ack(t);
    cr_assert_eq(script_conn(t)->state, TCP_S_ESTABLISHED);
    cr_assert_eq(script_conn(t)->user_timeout_ms, UTO_S * 1000);
    cr_assert_eq(script_conn(t)->ttl, TTL);
}
