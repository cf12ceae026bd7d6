/* tcp_options_test.c - reading and writing TCP options, well-formed and not */
#include "tests/unit/server/tcp/tcp_unit.h"

Test(tcp_options, timestamps_fast_layout)
{
    static const uint8_t o[12] = { 1, 1, 8, 10, 0x01, 0x02, 0x03, 0x04, 0xff, 0xfe, 0xfd, 0xfc };
    struct tcp_opts out;

    cr_assert_eq(tcp_options_parse(o, sizeof(o), &out), 0);
    cr_assert(out.has_ts && !out.has_mss && !out.has_wscale && !out.has_sack_ok && out.n_sack == 0);
    cr_assert_eq(out.tsval, 0x01020304u);
    cr_assert_eq(out.tsecr, 0xfffefdfcu);
}

Test(tcp_options, syn_of_linux)
{
    static const uint8_t o[20] = { 2, 4, 0x05, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7 };
    struct tcp_opts out;

    cr_assert_eq(tcp_options_parse(o, sizeof(o), &out), 0);
    cr_assert(out.has_mss && out.has_sack_ok && out.has_ts && out.has_wscale);
    cr_assert_eq(out.mss, 1460);
    cr_assert_eq(out.wscale, 7);
    cr_assert_eq(out.tsval, 1u);
}

Test(tcp_options, unaligned_unknown_and_eol)
{
    /* MUST-64: no alignment; MUST-6: unknown skipped; what follows EOL is not read, even if it makes no sense */
    static const uint8_t o[] = { 254, 5, 1, 2, 3, 3, 3, 14, 1, 2, 4, 0x02, 0x18, 0, 8, 0, 0, 0 };
    struct tcp_opts out;

    cr_assert_eq(tcp_options_parse(o, sizeof(o), &out), 0);
    cr_assert_eq(out.wscale, 14);
    cr_assert_eq(out.mss, 536);
    cr_assert_not(out.has_ts);
}

Test(tcp_options, wscale_above_14_is_14)
{
    static const uint8_t o[] = { 3, 3, 200, 0 };
    struct tcp_opts out;

    cr_assert_eq(tcp_options_parse(o, sizeof(o), &out), 0);
    cr_assert_eq(out.wscale, 14);
}

Test(tcp_options, sack_blocks)
{
    uint8_t o[40] = { 1, 1, 5, 34 };
    struct tcp_opts out;

    for (unsigned i = 4; i < 36; i++)
        o[i] = (uint8_t)i;
    cr_assert_eq(tcp_options_parse(o, 36, &out), 0);
    cr_assert_eq(out.n_sack, 4);
    cr_assert_eq(out.sack[0].start, 0x04050607u);
    cr_assert_eq(out.sack[3].end, 0x20212223u);
}

/* Every kind with every length from 0 to 40 at every distance from the end: either the length is the option's own and it
 * fits, or it is an error; nothing is read beyond `len` (ASan and the guard value see to that). */
Test(tcp_options, every_length_of_every_kind)
{
    for (unsigned kind = 2; kind < 256; kind++) {
        for (unsigned olen = 0; olen <= 41; olen++) {
            for (unsigned room = 1; room <= 40; room++) {
                uint8_t *o = calloc(1, room);
                struct tcp_opts out;
                bool own = kind == 2 ? olen == 4 : kind == 28 ? olen == 4 : kind == 3 ? olen == 3 : kind == 4 ? olen == 2 : kind == 8 ? olen == 10 :
                           kind == 5 ? olen >= 10 && (olen - 2) % 8 == 0 : kind == 19 ? olen == 18 : kind == 29 ? olen >= 4 : true;
                bool fits = room >= 2 && olen >= 2 && olen <= room;
                int rc;

                o[0] = (uint8_t)kind;
                if (room > 1)
                    o[1] = (uint8_t)olen;
                rc = tcp_options_parse(o, room, &out);
                free(o);
                cr_assert_eq(rc == 0, own && fits, "kind %u len %u room %u: %d", kind, olen, room, rc);
            }
        }
    }
}

Test(tcp_options, syn_offers_and_answers)
{
    struct tcp_unit u;
    struct tcp_opts in;
    uint8_t o[TCP_OPT_MAX];
    unsigned n;

    for (unsigned mask = 0; mask < 8; mask++) {
        tcp_unit_init(&u);
        u.c.state = TCP_S_SYN_SENT;
        u.c.adv_mss = 1440;
        u.c.rcv_wscale = 6;
        u.tw.cfg.timestamps = mask & 1;
        u.tw.cfg.sack = mask & 2;
        u.tw.cfg.wscale = mask & 4;
        n = tcp_options_build_syn(&u.c, &u.tw.cfg, 77, o);
        cr_assert_eq(n % 4, 0, "header is a number of words");
        cr_assert_eq(tcp_options_parse(o, n, &in), 0);
        cr_assert(in.has_mss && in.mss == 1440);
        cr_assert_eq(in.has_ts, u.tw.cfg.timestamps);
        cr_assert_eq(in.has_sack_ok, u.tw.cfg.sack);
        cr_assert_eq(in.has_wscale, u.tw.cfg.wscale);
        cr_assert(!in.has_ts || (in.tsval == 77 && in.tsecr == 0));
        cr_assert(!in.has_wscale || in.wscale == 6);

        /* a SYN,ACK offers only what the peer has offered, whatever the configuration */
        u.c.state = TCP_S_SYN_RCVD;
        n = tcp_options_build_syn(&u.c, &u.tw.cfg, 77, o);
        cr_assert_eq(tcp_options_parse(o, n, &in), 0);
        cr_assert(in.has_mss && !in.has_ts && !in.has_sack_ok && !in.has_wscale);
        u.c.flags = TCP_F_TS | TCP_F_TS_RECENT | TCP_F_SACK | TCP_F_WSCALE;
        u.c.ts_recent = 4711;
        n = tcp_options_build_syn(&u.c, &u.tw.cfg, 77, o);
        cr_assert_eq(tcp_options_parse(o, n, &in), 0);
        cr_assert(in.has_ts && in.has_sack_ok && in.has_wscale && in.tsecr == 4711);
    }
}

Test(tcp_options, ordinary_segment_and_dsack)
{
    struct tcp_unit u;
    struct tcp_opts in;
    uint8_t o[TCP_OPT_MAX];
    unsigned n;

    tcp_unit_init(&u);
    cr_assert_eq(tcp_options_build(&u.c, tcp_ts_now(&u.w, &u.c), true, o), 0);
    u.c.flags = TCP_F_TS | TCP_F_SACK | TCP_F_DSACK;
    u.c.dsack_start = 100;
    u.c.dsack_end = 200;
    n = tcp_options_build(&u.c, tcp_ts_now(&u.w, &u.c), true, o);
    cr_assert_eq(n, 24);
    cr_assert_eq(tcp_options_parse(o, n, &in), 0);
    cr_assert(in.has_ts && in.n_sack == 1 && in.sack[0].start == 100 && in.sack[0].end == 200);
    n = tcp_options_build(&u.c, tcp_ts_now(&u.w, &u.c), true, o); /* RFC 2883 s4: reported once */
    cr_assert_eq(n, 12);
}
