/* tcp_state_test.c - state edges, the window acceptability table, initial sequence numbers, configuration */
#include <errno.h>
#include "tests/unit/server/tcp/tcp_unit.h"

Test(tcp_state, edges_of_figure_5)
{
    static const struct { enum tcp_state from, to; bool ok; } rows[] = {
        { TCP_S_FREE, TCP_S_SYN_SENT, true },          { TCP_S_FREE, TCP_S_SYN_RCVD, true },
        { TCP_S_FREE, TCP_S_ESTABLISHED, false },      { TCP_S_SYN_SENT, TCP_S_ESTABLISHED, true },
        { TCP_S_SYN_SENT, TCP_S_SYN_RCVD, true },      { TCP_S_SYN_SENT, TCP_S_FIN_WAIT_1, false },
        { TCP_S_SYN_RCVD, TCP_S_FIN_WAIT_1, true },    { TCP_S_ESTABLISHED, TCP_S_CLOSE_WAIT, true },
        { TCP_S_ESTABLISHED, TCP_S_TIME_WAIT, false }, { TCP_S_ESTABLISHED, TCP_S_LAST_ACK, false },
        { TCP_S_FIN_WAIT_1, TCP_S_CLOSING, true },     { TCP_S_FIN_WAIT_1, TCP_S_FIN_WAIT_2, true },
        { TCP_S_FIN_WAIT_2, TCP_S_TIME_WAIT, true },   { TCP_S_FIN_WAIT_2, TCP_S_CLOSING, false },
        { TCP_S_CLOSING, TCP_S_TIME_WAIT, true },      { TCP_S_CLOSE_WAIT, TCP_S_LAST_ACK, true },
        { TCP_S_CLOSE_WAIT, TCP_S_FIN_WAIT_1, false }, { TCP_S_LAST_ACK, TCP_S_TIME_WAIT, false },
        { TCP_S_LAST_ACK, TCP_S_CLOSED, true },        { TCP_S_TIME_WAIT, TCP_S_ESTABLISHED, false },
        { TCP_S_TIME_WAIT, TCP_S_CLOSED, true },       { TCP_S_CLOSED, TCP_S_ESTABLISHED, false },
    };

    for (size_t i = 0; i < HS_ARRAY_LEN(rows); i++)
        cr_expect_eq(tcp_state_edge_ok(rows[i].from, rows[i].to), rows[i].ok, "%s -> %s", tcp_state_name(rows[i].from),
                     tcp_state_name(rows[i].to));
    for (int s = 0; s < TCP_S_MAX; s++)
        cr_expect(!tcp_state_edge_ok(s, s), "no edge to itself: %s", tcp_state_name(s));
}

struct window_case { uint32_t rcv_nxt, wnd, seq, len; bool ok; };

ParameterizedTestParameters(tcp_state, acceptability)
{
    static struct window_case cases[] = {
        /* RFC 9293 s3.10.7.4 table 6: length 0, window 0 */
        { 1000, 0, 1000, 0, true }, { 1000, 0, 999, 0, false }, { 1000, 0, 1001, 0, false },
        /* length 0, window > 0; the right edge is ours */
        { 1000, 100, 1000, 0, true }, { 1000, 100, 1100, 0, true }, { 1000, 100, 1101, 0, false }, { 1000, 100, 999, 0, false },
        /* length > 0, window 0 */
        { 1000, 0, 1000, 1, false }, { 1000, 0, 999, 2, false },
        /* length > 0, window > 0: beginning or end inside */
        { 1000, 100, 1000, 10, true }, { 1000, 100, 1099, 10, true }, { 1000, 100, 1100, 10, false },
        { 1000, 100, 990, 10, false }, { 1000, 100, 990, 11, true }, { 1000, 100, 1050, 500, true },
        { 1000, 100, 500, 2000, true },  /* covers all of the window: holds the bytes that are wanted */
        /* across the wrap */
        { 0xfffffff0, 100, 0xfffffff0, 50, true }, { 0xfffffff0, 100, 20, 10, true }, { 0xfffffff0, 100, 84, 1, false },
        { 0xfffffff0, 100, 0xffffffe0, 16, false }, { 0xfffffff0, 100, 0xffffffe0, 17, true }, { 10, 100, 0xfffffff0, 27, true },
    };

    return cr_make_param_array(struct window_case, cases, HS_ARRAY_LEN(cases));
}

ParameterizedTest(struct window_case *t, tcp_state, acceptability)
{
    cr_assert_eq(tcp_seq_acceptable(t->rcv_nxt, t->wnd, t->seq, t->len), t->ok, "rcv_nxt %u wnd %u seq %u len %u", t->rcv_nxt,
                 t->wnd, t->seq, t->len);
}

static struct ip_endpoint endpoint(const char *ip, uint16_t port)
{
    struct ip_endpoint e = { .port = be16_of(port) };

    cr_assert_eq(ip_addr_parse(ip, &e.ip), 0);
    return e;
}

Test(tcp_isn, moves_with_the_clock_and_differs_by_tuple_and_key)
{
    struct tcp_unit u;
    struct ip_endpoint a = endpoint("10.0.0.1", 80), b = endpoint("10.0.0.2", 4000), b2 = endpoint("10.0.0.2", 4001);
    uint32_t first, other;

    tcp_unit_init(&u);
    first = tcp_isn(&u.w, &a, &b);
    cr_assert_eq(tcp_isn(&u.w, &a, &b), first);
    other = tcp_isn(&u.w, &a, &b2);
    cr_assert_neq(other, first);
    cr_assert_neq(tcp_isn(&u.w, &b, &a), first);
    cr_assert_neq(tcp_ts_offset(&u.w, &a, &b), tcp_isn(&u.w, &a, &b) - (uint32_t)(u.w.now_us / 4));
    u.w.now_us += 4000;
    cr_assert_eq(tcp_isn(&u.w, &a, &b), first + 1000, "one step each 4 us (RFC 9293 s3.4.1)");
    u.w.secret[0] ^= 1;
    cr_assert_neq(tcp_isn(&u.w, &a, &b), first + 1000);
}

Test(tcp_config, limits)
{
    struct tcp_unit u;
    struct tcp_config c;

    tcp_unit_init(&u);
    tcp_config_defaults(&c);
    cr_assert_eq(tcp_worker_config(&u.w, &c), 0);
    c.cc_algo = "vegas";
    cr_assert_eq(tcp_worker_config(&u.w, &c), -EINVAL);
    tcp_config_defaults(&c);
    c.delack_us = 500000;
    cr_assert_eq(tcp_worker_config(&u.w, &c), -EINVAL, "MUST-40: below half a second");
    tcp_config_defaults(&c);
    c.rto_max_us = c.rto_min_us - 1;
    cr_assert_eq(tcp_worker_config(&u.w, &c), -EINVAL);
}

Test(tcp_mss, by_path_peer_options_and_program)
{
    struct tcp_unit u;

    tcp_unit_init(&u);
    u.c.base.rmt = endpoint("10.0.0.2", 1);
    u.c.path_mtu = 1500;
    u.c.peer_mss = 1460;
    tcp_conn_mss_update(&u.c, 0);
    cr_assert_eq(u.c.mss, 1460);
    cr_assert_eq(u.c.gso_max, 1460, "no super-frames");
    u.c.flags = TCP_F_TS;
    tcp_conn_mss_update(&u.c, 65535);
    cr_assert_eq(u.c.mss, 1448, "options are taken off (MUST-16)");
    cr_assert_eq(u.c.gso_max % 1448, 0);
    cr_assert_gt(u.c.gso_max, 60000);
    cr_assert_leq(u.c.gso_max + 12 + 20 + 20, 65535);
    u.c.peer_mss = 0;
    tcp_conn_mss_update(&u.c, 0);
    cr_assert_eq(u.c.mss, 536 - 12, "the default without an MSS option (MUST-15)");
    u.c.base.rmt = endpoint("fd00::2", 1);
    tcp_conn_mss_update(&u.c, 0);
    cr_assert_eq(u.c.mss, 1220 - 12);
    u.c.user_mss = 500;
    tcp_conn_mss_update(&u.c, 0);
    cr_assert_eq(u.c.mss, 500 - 12);
    u.c.path_mtu = 68;
    tcp_conn_mss_update(&u.c, 0);
    cr_assert_eq(u.c.mss, TCP_MSS_FLOOR - 12, "a path that tiny still moves");
}
