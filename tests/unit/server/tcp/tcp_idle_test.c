/* tcp_idle_test.c - the compact form of an idle connection: when it is taken, what it keeps, how every kind of event ends it */
#include <jansson.h>
#include <sys/resource.h>
#include "server/tcp/tcp_idle.h"
#include "tests/unit/server/tcp/tcp_script.h"

static struct script T;

static void init(void)
{
    script_init(&T);
    T.h.tw.cfg.idle_us = 1000000;
}
static void fini(void) { fake_fini(&T.h); }

static bool is_idle(const struct script *t) { return tcp_of_base(t->s->conn)->state == TCP_S_IDLE; }

/* Both sides have sent something and all of it is acknowledged. */
static void talk(struct script *t)
{
    t->tsval += 7;
    send_data(t, "12345", 5);
    fake_write(&t->h, t->s, "abc", 3);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
    t->rcv += 3;
    fake_advance(&t->h, 20000);
    send_ack(t);
    fake_advance(&t->h, 100000);
    EXPECT_NOTHING(t);
}

static void open_idle(struct script *t)
{
    script_open(t, true, true);
    talk(t);
    cr_assert(!is_idle(t));
    fake_advance(&t->h, 2000000);
    cr_assert(is_idle(t));
    cr_assert_eq(t->h.tw.conns.n_taken, 0);
    cr_assert_eq(t->h.tw.n_conns, 1);
}

/* The compact form knows no path MTU: only what the cache would tell again is left out of it. */
Test(tcp_idle, a_narrow_path_is_found_again, .init = init, .fini = fini)
{
    struct script *t = &T;

    t->h.cached_mtu = 800;
    open_idle(t);
    fake_write(&t->h, t->s, t->data, 500);
    cr_assert_not(is_idle(t));
    cr_assert_eq(tcp_of_base(t->s->conn)->path_mtu, 800);
    cr_assert(tcp_of_base(t->s->conn)->mtu_probing);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 500);
    t->h.cached_mtu = 0; /* the cache has lost it */
    t->rcv += 500;
    send_ack(t);
    fake_advance(&t->h, 5000000);
    cr_assert_not(is_idle(t));
    cr_assert_eq(tcp_of_base(t->s->conn)->path_mtu, 800);
}

Test(tcp_idle, sizes)
{
    cr_assert_leq(sizeof(struct tcp_idle), 200);
    cr_assert_leq(sizeof(struct tcp_idle_timed), 232);
}

/* A look does not wake, and sees what it would have seen before. */
Test(tcp_idle, looks_the_same, .init = init, .fini = fini)
{
    static const uint8_t attrs[] = {
        SVM_ATTR_NODELAY, SVM_ATTR_CORK, SVM_ATTR_QUICKACK, SVM_ATTR_KEEPALIVE, SVM_ATTR_KEEPIDLE, SVM_ATTR_KEEPINTVL, SVM_ATTR_KEEPCNT,
        SVM_ATTR_MSS, SVM_ATTR_USER_TIMEOUT, SVM_ATTR_LINGER2, SVM_ATTR_DSCP, SVM_ATTR_MAX_PACING, SVM_ATTR_TTL, SVM_ATTR_TX_QUEUED,
        SVM_ATTR_TCP_INFO, SVM_ATTR_TCP_INFO3, SVM_ATTR_TCP_INFO4, SVM_ATTR_TCP_INFO5,
    };
    static const int32_t some = 40;
    uint8_t before[HS_ARRAY_LEN(attrs)][256] = { 0 }, after[256];
    struct script *t = &T;
    uint32_t len;

    script_open(t, true, true);
    for (unsigned i = 0; i < 2; i++) {
        static const uint8_t set[2] = { SVM_ATTR_USER_TIMEOUT, SVM_ATTR_TTL };

        cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, set[i], &some, sizeof(some)), 0);
    }
    talk(t);
    for (unsigned i = 0; i < HS_ARRAY_LEN(attrs); i++) {
        len = sizeof(before[i]);
        cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, attrs[i], before[i], &len), 0);
    }
    fake_advance(&t->h, 3000000);
    cr_assert(is_idle(t));
    for (unsigned i = 0; i < HS_ARRAY_LEN(attrs); i++) {
        memset(after, 0, sizeof(after));
        len = sizeof(after);
        cr_assert_eq(tcp_transport_ops.attr_get(&t->h.w, t->s->conn, attrs[i], after, &len), 0);
        cr_assert_arr_eq(before[i], after, len, "attribute %u", attrs[i]);
    }
    cr_assert(is_idle(t));
}

Test(tcp_idle, a_segment_wakes_it, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_opts o;

    open_idle(t);
    t->tsval += 2000;
    send_data(t, "67", 2);
    cr_assert(!is_idle(t));
    cr_assert_eq(t->h.tw.idle.n_taken, 0);
    cr_assert(t->s->rx_len == 7 && memcmp(t->s->rx, "1234567", 7) == 0);
    fake_advance(&t->h, 50000);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(tcp_options_parse(t->seg.opt, t->seg.opt_len, &o), 0);
    cr_assert(o.has_ts && o.tsecr == t->tsval);
    fake_advance(&t->h, 2000000);
    cr_assert(is_idle(t), "and sleeps again");
}

Test(tcp_idle, a_write_wakes_it, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint32_t before;

    open_idle(t);
    before = t->tsecr;
    fake_write(&t->h, t->s, "def", 3);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
    cr_assert_arr_eq(t->data, "def", 3);
    cr_assert(t->tsecr - before >= 2000 && t->tsecr - before < 2200, "the clock of its timestamps goes on");
    fake_advance(&t->h, 4000000); /* and again when nothing is heard */
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
}

/* Not what is old: PAWS, window and acceptability as before. */
Test(tcp_idle, old_segments_are_refused, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_idle(t);
    t->tsval -= 1000;
    send_seg(t, TCP_ACK, t->snd, t->rcv, "x", 1);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->h.tw.counters[TCP_C_paws], 1);
    t->tsval += 1000;
    fake_advance(&t->h, 3000000);
    cr_assert(is_idle(t));
    send_seg(t, TCP_RST, t->snd + 1, 0, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    fake_advance(&t->h, 3000000);
    cr_assert(is_idle(t));
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0);
    cr_assert_eq(t->s->reset_error, -ECONNRESET);
}

/* RFC 7323 s5.5: until 24 days, about, have gone by; then for however long. */
Test(tcp_idle, however_long_it_is_silent, .init = init, .fini = fini)
{
    static const unsigned tenths_of_days[] = { 300, 498, 600, 2000, 36500 };

    struct script *t = &T;

    open_idle(t);
    t->h.w.now_us += 235 * 8640ull * 1000000;
    t->tsval -= 0x10000000;
    send_seg(t, TCP_ACK, t->snd, t->rcv, "old", 3);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->s->rx_len, 5);
    cr_assert_eq(t->h.tw.counters[TCP_C_paws], 1);
    t->tsval += 0x10000000;
    for (unsigned i = 0; i < HS_ARRAY_LEN(tenths_of_days); i++) {
        talk(t);
        fake_advance(&t->h, 2000000);
        cr_assert(is_idle(t));
        t->h.w.now_us += tenths_of_days[i] * 8640ull * 1000000;
        t->tsval -= 0x10000000;
        talk(t);
        cr_assert_eq(t->s->rx_len, 5 + 10 * (i + 1), "%u.%u days", tenths_of_days[i] / 10, tenths_of_days[i] % 10);
        cr_assert_eq(t->h.tw.counters[TCP_C_paws], 1);
    }
}

Test(tcp_idle, both_ends_close, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t buf[8];

    open_idle(t);
    cr_assert_eq(fake_read(&t->h, t->s, buf, sizeof(buf)), 5);
    cr_assert(is_idle(t), "room that nobody asked for");
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv, t->snd, 0);
    t->rcv++;
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    cr_assert(t->s->is_closed);
    fake_advance(&t->h, 100000000);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

Test(tcp_idle, shutdown_and_reset, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_idle(t);
    tcp_transport_ops.shutdown_wr(&t->h.w, t->s->conn);
    fake_tx(&t->h);
    EXPECT(t, TCP_FIN | TCP_ACK, t->rcv, t->snd, 0);
    tcp_transport_ops.reset(&t->h.w, t->s->conn);
    cr_assert(take(t));
}

Test(tcp_idle, reset_while_idle, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_idle(t);
    tcp_transport_ops.reset(&t->h.w, t->s->conn);
    EXPECT(t, TCP_RST | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->s->reset_error, -ECONNABORTED);
    cr_assert_eq(t->h.tw.n_conns, 0);
}

Test(tcp_idle, an_option_wakes_it, .init = init, .fini = fini)
{
    static const int32_t on = 1, idle_s = 10;
    struct script *t = &T;

    open_idle(t);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_KEEPIDLE, &idle_s, sizeof(idle_s)), 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_KEEPALIVE, &on, sizeof(on)), 0);
    cr_assert(!is_idle(t));
    fake_advance(&t->h, 1000000);
    cr_assert(is_idle(t));
    cr_assert_eq(t->h.tw.idle_timed.n_taken, 1);
}

/* Keep-alive goes on by its clock, probe by probe, until the peer is given up. */
Test(tcp_idle, keepalive, .init = init, .fini = fini)
{
    static const int32_t on = 1, idle_s = 10, intvl_s = 3, cnt = 2;
    struct script *t = &T;
    json_t *rows = json_array();
    double ms;

    script_open(t, false, false);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_KEEPIDLE, &idle_s, sizeof(idle_s)), 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_KEEPINTVL, &intvl_s, sizeof(intvl_s)), 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_KEEPCNT, &cnt, sizeof(cnt)), 0);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_KEEPALIVE, &on, sizeof(on)), 0);
    fake_advance(&t->h, 4000000);
    cr_assert(is_idle(t));
    cr_assert_eq(tcp_show_timers(&t->h.w, 0, 10, rows), UINT32_MAX);
    cr_assert_eq(json_array_size(rows), 1);
    ms = json_real_value(json_object_get(json_array_get(rows, 0), "keepalive_ms"));
    cr_assert(ms > 5900 && ms <= 6001, "%.1f", ms);
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(rows, 0), "state")), "ESTABLISHED");
    json_decref(rows);
    fake_advance(&t->h, 5900000);
    EXPECT_NOTHING(t);
    fake_advance(&t->h, 200000);
    EXPECT(t, TCP_ACK, t->rcv - 1, t->snd, 0);
    cr_assert(!is_idle(t));
    send_ack(t);
    fake_advance(&t->h, 5000000);
    cr_assert(is_idle(t), "answered");
    fake_advance(&t->h, 5200000);
    EXPECT(t, TCP_ACK, t->rcv - 1, t->snd, 0);
    fake_advance(&t->h, 3000000);
    EXPECT(t, TCP_ACK, t->rcv - 1, t->snd, 0);
    cr_assert(!is_idle(t), "probes that are not answered are counted");
    fake_advance(&t->h, 3000000);
    EXPECT(t, TCP_RST | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->s->reset_error, -ETIMEDOUT);
}

/* Whatever is under way keeps it awake. */
Test(tcp_idle, not_while_something_is_under_way, .init = init, .fini = fini)
{
    struct script *t = &T;

    script_open(t, false, false);
    send_seg(t, TCP_ACK, t->snd + 10, t->rcv, "x", 1); /* behind a hole */
    cr_assert(take(t));
    fake_advance(&t->h, 5000000);
    cr_assert(!is_idle(t));
    send_data(t, "0123456789", 10);
    t->snd++;
    cr_assert(take(t));
    fake_write(&t->h, t->s, "abc", 3);
    fake_advance(&t->h, 5000000); /* not acknowledged */
    cr_assert(!is_idle(t));
    while (take(t))
        ;
    t->rcv += 3;
    t->wnd = 0;
    send_ack(t);
    fake_write(&t->h, t->s, "def", 3); /* not allowed out */
    fake_advance(&t->h, 5000000);
    cr_assert(!is_idle(t));
    while (take(t))
        ;
    t->wnd = PEER_WND;
    send_ack(t);
    while (take(t))
        ;
    t->rcv += 3;
    send_ack(t);
    fake_advance(&t->h, 5000000);
    cr_assert(is_idle(t));
    send_seg(t, TCP_FIN | TCP_ACK, t->snd++, t->rcv, NULL, 0);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 0);
    fake_advance(&t->h, 5000000);
    cr_assert_eq(tcp_of_base(t->s->conn)->state, TCP_S_CLOSE_WAIT);
}

/* The route is another one when it wakes, or there is none for a moment. */
Test(tcp_idle, the_path_is_asked_for_again, .init = init, .fini = fini)
{
    struct script *t = &T;

    open_idle(t);
    t->h.mtu = 600;
    fake_write(&t->h, t->s, t->data, 2000);
    cr_assert(take(t));
    cr_assert_eq(t->seg.len, 600u - IP_HDR - 20 - 12);
    do
        t->rcv += t->seg.len;
    while (take(t));
    send_ack(t);
    fake_advance(&t->h, 3000000);
    cr_assert(is_idle(t));
    t->h.route_error = -ENETUNREACH;
    send_data(t, "x", 1);
    cr_assert(!is_idle(t));
    t->h.route_error = 0;
    t->h.mtu = 1500;
    fake_write(&t->h, t->s, t->data, 2000);
    cr_assert(take(t));
    cr_assert_eq(t->seg.len, 1000 - 12);
}

Test(tcp_idle, congestion_control_is_kept, .init = init, .fini = fini)
{
    struct script *t = &T;
    struct tcp_conn *c;
    uint64_t kept[6];

    script_open(t, false, false);
    c = script_conn(t);
    c->ssthresh = 20000;
    c->cc_priv[0] = 30000; /* cubic: w_max */
    fake_advance(&t->h, 3000000);
    cr_assert(is_idle(t));
    send_data(t, "x", 1);
    c = script_conn(t);
    cr_assert_eq(c->ssthresh, 20000);
    cr_assert_eq(c->cc, &tcp_cc_cubic);
    cr_assert_eq((uint32_t)c->cc_priv[0], 30000);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_CONGESTION, "bbr", 4), 0);
    talk(t);
    memcpy(kept, script_conn(t)->cc_priv, sizeof(kept));
    cr_assert_neq((uint32_t)kept[0], 0, "a rate was measured");
    fake_advance(&t->h, 3000000);
    cr_assert(is_idle(t));
    send_data(t, "x", 1);
    c = script_conn(t);
    cr_assert_eq(c->cc, &tcp_cc_bbr);
    cr_assert_eq((uint32_t)c->cc_priv[0], (uint32_t)kept[0]);
    cr_assert_gt(c->pace_rate, 0);
}

/* ICMP errors are about what is in flight; nothing is. */
Test(tcp_idle, icmp_does_not_wake_it, .init = init, .fini = fini)
{
    struct script *t = &T;
    uint8_t quoted[8] = { 0 };
    be32 seq;

    open_idle(t);
    seq = be32_of(t->rcv - 1);
    memcpy(quoted + 4, &seq, sizeof(seq));
    tcp_transport_ops.icmp_error(&t->h.w, &(struct transport_error){ .lcl = t->us, .rmt = t->peer, .l4 = quoted, .l4_len = 8, .err = -EHOSTUNREACH });
    cr_assert_eq(t->s->soft_error, 0);
    cr_assert(is_idle(t));
}

/* ---- no memory for a struct tcp_conn ---- */

static void *taken[2048];
static unsigned n_taken;

/* The places of all slabs are taken and the kernel gives no more. */
static void without_memory(struct script *t, struct rlimit *old)
{
    struct rlimit none;

    cr_assert_eq(getrlimit(RLIMIT_AS, old), 0);
    none = (struct rlimit){ 1, old->rlim_max };
    cr_assert_eq(setrlimit(RLIMIT_AS, &none), 0);
    while ((taken[n_taken] = tcp_arena_take(&t->h.tw.conns)))
        n_taken++;
}

static void no_memory_init(void)
{
    init();
    open_idle(&T);
}

static void no_memory_fini(struct script *t, const struct rlimit *old)
{
    cr_assert_eq(setrlimit(RLIMIT_AS, old), 0);
    cr_assert_eq(t->h.tw.n_conns, 0);
    while (n_taken)
        tcp_arena_give(&t->h.tw.conns, taken[--n_taken]);
    fake_fini(&t->h);
}

Test(tcp_idle_no_memory, stays_idle_until_there_is_some, .init = no_memory_init)
{
    static const int32_t on = 1;
    struct script *t = &T;
    struct rlimit old;

    without_memory(t, &old);
    send_seg(t, TCP_ACK, t->snd, t->rcv, "x", 1);
    cr_assert_eq(t->h.tw.counters[TCP_C_no_memory], 1);
    cr_assert_eq(t->s->rx_len, 5);
    cr_assert_eq(tcp_transport_ops.attr_set(&t->h.w, t->s->conn, SVM_ATTR_NODELAY, &on, sizeof(on)), -ENOMEM);
    memcpy(t->s->tx + t->s->tx_at, "abc", t->s->tx_len = 3);
    cr_assert_eq(tcp_transport_ops.tx(&t->h.w, t->s->conn, 65536), TRANSPORT_TX_MORE);
    EXPECT_NOTHING(t);
    cr_assert(is_idle(t));
    cr_assert_eq(setrlimit(RLIMIT_AS, &old), 0);
    cr_assert_eq(tcp_transport_ops.tx(&t->h.w, t->s->conn, 65536), TRANSPORT_TX_DONE);
    EXPECT(t, TCP_ACK, t->rcv, t->snd, 3);
    send_seg(t, TCP_RST, t->snd, 0, NULL, 0);
    no_memory_fini(t, &old);
}

Test(tcp_idle_no_memory, close_resets, .init = no_memory_init)
{
    struct script *t = &T;
    struct rlimit old;

    without_memory(t, &old);
    tcp_transport_ops.close(&t->h.w, t->s->conn, -1);
    EXPECT(t, TCP_RST | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert(t->s->is_closed);
    no_memory_fini(t, &old);
}

Test(tcp_idle_no_memory, shutdown_resets, .init = no_memory_init)
{
    struct script *t = &T;
    struct rlimit old;

    without_memory(t, &old);
    tcp_transport_ops.shutdown_wr(&t->h.w, t->s->conn);
    EXPECT(t, TCP_RST | TCP_ACK, t->rcv, t->snd, 0);
    cr_assert_eq(t->s->reset_error, -ENOBUFS);
    no_memory_fini(t, &old);
}

/* ---- the arena ---- */

Test(tcp_arena, names)
{
    enum { N = 600 }; /* of more than one slab */
    uint8_t *place[N];
    struct tcp_arena a;

    tcp_arena_init(&a, 576);
    for (uint32_t i = 0; i < N; i++)
        place[i] = tcp_arena_take(&a);
    for (uint32_t i = 0; i < N; i++)
        cr_assert(tcp_arena_name(&a, place[i]) && tcp_arena_named(&a, tcp_arena_name(&a, place[i])) == place[i]);
    cr_assert_null(tcp_arena_named(&a, 0));
    cr_assert_null(tcp_arena_named(&a, tcp_arena_name(&a, place[N - 1]) + 1), "never taken");
    cr_assert_null(tcp_arena_named(&a, 1000), "no such place in a slab");
    cr_assert_null(tcp_arena_named(&a, UINT32_MAX));
    uint32_t last = tcp_arena_name(&a, place[N - 1]);
    for (uint32_t i = 0; i < N; i++)
        tcp_arena_give(&a, place[i]);
    tcp_arena_trim(&a);
    cr_assert_not(tcp_arena_named(&a, 1) && tcp_arena_named(&a, last), "its slab has gone");
    tcp_arena_fini(&a);
}

Test(tcp_arena, gives_back_empty_slabs)
{
    enum { N = 5000 };
    static void *place[N];
    struct tcp_arena a;
    uint32_t i, n = 0;

    tcp_arena_init(&a, 192);
    for (i = 0; i < N; i++) {
        place[i] = tcp_arena_take(&a);
        cr_assert_not_null(place[i]);
        cr_assert(*(uint64_t *)place[i] == 0 && ((uint8_t *)place[i])[191] == 0);
        memset(place[i], 0xa5, 192);
    }
    for (i = 0; tcp_arena_next(&a, &i); i++)
        n++;
    cr_assert_eq(n, N);
    for (i = 0; i < N; i++) {
        if (i % 2)
            tcp_arena_give(&a, place[i]);
    }
    tcp_arena_trim(&a);
    cr_assert_eq(a.n_empty, 0);
    for (i = 0; i < N; i += 2) {
        cr_assert_eq(((uint8_t *)place[i])[191], 0xa5, "others are not touched");
        tcp_arena_give(&a, place[i]);
    }
    cr_assert_gt(a.n_empty, 10);
    tcp_arena_trim(&a);
    cr_assert_eq(a.n_empty, 1);
    cr_assert_eq(a.n_taken, 0);
    for (i = 0; i < N; i++) { /* numbers of slabs are used again */
        place[i] = tcp_arena_take(&a);
        cr_assert(*(uint64_t *)place[i] == 0 && ((uint8_t *)place[i])[191] == 0);
    }
    cr_assert_leq(a.n_slabs, 32);
    tcp_arena_fini(&a);
}
