/* ip_test.c - IPv4 and IPv6 input: every truncation, every length field, options, extension headers, fragments; output */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/server/net/net_test.h"

static struct net n;

static void open_quiet(void)
{
    net_open(&n, INTERFACE_ADDR_NO_DAD);
    net_run_us(&n, 5000000);
    net_learn_peer(&n);
}
static void shut(void) { net_close(&n); }
TestSuite(ip, .init = open_quiet, .fini = shut);

/* Each packet ends in exactly one place: delivered, or one drop counter. */
static void inject_counted(const uint8_t *f, uint32_t len, bool good, const char *what, unsigned i)
{
    uint64_t drops = net_drops(&n);
    unsigned in = n.n_input;

    net_inject(&n, f, len);
    cr_assert_eq(n.n_input - in, good, "%s %u: delivered %u", what, i, n.n_input - in);
    cr_assert_eq(net_drops(&n) - drops, !good, "%s %u: drops %lu", what, i, (unsigned long)(net_drops(&n) - drops));
}

Test(ip, v4_truncations_and_padding)
{
    uint8_t f[256] = { 0 };
    uint32_t len = net_ip4(f, "10.0.0.2", "10.0.0.1", NET_PROTO, "abcdefgh", 8);

    for (uint32_t cut = 0; cut < len; cut++)
        inject_counted(f, cut, false, "cut", cut);
    for (uint32_t pad = 0; pad < 60; pad++) {
        inject_counted(f, len + pad, true, "padded", pad);
        cr_assert_eq(n.last_len, 8, "padding is cut off");
    }
    cr_assert_eq(n.n_frames, 0);
}

Test(ip, v4_length_fields)
{
    uint8_t f[256];
    uint32_t len = net_ip4(f, "10.0.0.2", "10.0.0.1", NET_PROTO, NULL, 40);

    for (unsigned ihl = 0; ihl < 16; ihl++) {
        f[14] = (uint8_t)(0x40 | ihl);
        if (ihl >= 5)
            net_fix_ip4(f);
        inject_counted(f, len, ihl >= 5, "ihl", ihl); /* zeros are "end of options" */
    }
    f[14] = 0x45;
    static const unsigned totals[] = { 0, 1, 19, 20, 59, 60, 61, 255, 256, 65535 };
    for (unsigned i = 0; i < HS_ARRAY_LEN(totals); i++) {
        f[16] = (uint8_t)(totals[i] >> 8);
        f[17] = (uint8_t)totals[i];
        net_fix_ip4(f);
        inject_counted(f, len, totals[i] >= 20 && totals[i] <= 60, "total", totals[i]);
    }
}

Test(ip, v4_every_header_bit_is_covered)
{
    uint8_t f[256];
    uint32_t len = net_ip4(f, "10.0.0.2", "10.0.0.1", NET_PROTO, NULL, 40);

    for (unsigned bit = 0; bit < 160; bit++) {
        f[14 + bit / 8] ^= (uint8_t)(1u << (bit % 8));
        inject_counted(f, len, false, "bit", bit);
        f[14 + bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}

Test(ip, v4_sources_and_destinations)
{
    static const struct { const char *src, *dst; bool good; } rows[] = {
        { "10.0.0.2", "10.0.0.1", true },     { "0.0.0.0", "10.0.0.1", false },      { "127.0.0.1", "10.0.0.1", false },
        { "224.0.0.1", "10.0.0.1", false },   { "240.0.0.1", "10.0.0.1", false },    { "255.255.255.255", "10.0.0.1", false },
        { "10.0.0.255", "10.0.0.1", false },  { "10.0.0.1", "10.0.0.1", false },     { "10.0.0.2", "10.0.0.3", false },
        { "10.0.0.2", "127.0.0.1", false },   { "10.0.0.2", "10.0.0.255", true },    { "10.0.0.2", "255.255.255.255", true },
        { "10.0.0.2", "224.0.0.1", true },    { "10.0.0.2", "224.0.0.5", false },    { "8.8.8.8", "10.0.0.1", true },
    };
    uint8_t f[256];

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        inject_counted(f, net_ip4(f, rows[i].src, rows[i].dst, NET_PROTO, NULL, 8), rows[i].good, rows[i].dst, i);
    net_ip4(f, "10.0.0.2", "10.0.0.1", NET_PROTO, NULL, 8);
    memset(f, 0xff, 6); /* a link broadcast for one host */
    inject_counted(f, 42, false, "broadcast frame", 0);
    memcpy(f, PEER_MAC, 6);
    f[5] = 0x42;
    inject_counted(f, 42, false, "other station", 0);
}

Test(ip, v4_options)
{
    static const struct { uint8_t o[8]; bool good; } rows[] = {
        { { 1, 1, 1, 1, 1, 1, 1, 1 }, true },  { { 0, 9, 9, 9, 9, 9, 9, 9 }, true },   { { 68, 8, 5, 0, 0, 0, 0, 0 }, true },
        { { 99, 8, 0, 0, 0, 0, 0, 0 }, true }, { { 99, 0, 0, 0, 0, 0, 0, 0 }, false }, { { 99, 1, 0, 0, 0, 0, 0, 0 }, false },
        { { 99, 9, 0, 0, 0, 0, 0, 0 }, false }, { { 1, 1, 1, 1, 1, 1, 1, 99 }, false }, { { 131, 7, 4, 10, 0, 0, 9, 0 }, false },
        { { 137, 7, 4, 10, 0, 0, 9, 0 }, false }, { { 99, 255, 0, 0, 0, 0, 0, 0 }, false },
    };
    uint8_t f[256];

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        uint32_t len = net_ip4(f, "10.0.0.2", "10.0.0.1", NET_PROTO, rows[i].o, 8);
        f[14] = 0x47;
        net_fix_ip4(f);
        inject_counted(f, len, rows[i].good, "options", i);
    }
}

Test(ip, v6_truncations_and_lengths)
{
    uint8_t f[256] = { 0 };
    uint32_t len = net_ip6(f, "fd00::2", "fd00::1", NET_PROTO, "abcdefgh", 8);

    for (uint32_t cut = 0; cut < len; cut++)
        inject_counted(f, cut, false, "cut", cut);
    inject_counted(f, len + 20, true, "padded", 0);
    cr_assert_eq(n.last_len, 8);
    static const unsigned lens[] = { 0, 1, 7, 8, 9, 255, 65535 };
    for (unsigned i = 0; i < HS_ARRAY_LEN(lens); i++) {
        f[18] = (uint8_t)(lens[i] >> 8);
        f[19] = (uint8_t)lens[i];
        inject_counted(f, len, lens[i] <= 8, "payload length", lens[i]);
    }
}

Test(ip, v6_sources_and_destinations)
{
    static const struct { const char *src, *dst; bool good; } rows[] = {
        { "fd00::2", "fd00::1", true },  { "::", "fd00::1", false },        { "::1", "fd00::1", false },
        { "ff02::1", "fd00::1", false }, { "fd00::1", "fd00::1", false },   { "::ffff:10.0.0.2", "fd00::1", false },
        { "fd00::2", "::1", false },     { "fd00::2", "fd00::3", false },   { "fd00::2", "ff02::1", true },
        { "fd00::2", "ff02::2", false }, { "fd00::2", "ff02::1:ff00:1", true }, { "fd00::2", "ff02::1:ff00:2", false },
        { "fd00::2", "::ffff:10.0.0.1", false },
    };
    uint8_t f[256];

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        inject_counted(f, net_ip6(f, rows[i].src, rows[i].dst, NET_PROTO, NULL, 8), rows[i].good, rows[i].src, i);
}

Test(ip, v6_extension_headers)
{
    static const struct { uint8_t next; uint8_t b[16]; bool good, problem; } rows[] = {
        { 0, { NET_PROTO, 0, 1, 4 }, true, false },              /* hop-by-hop with padding */
        { 60, { NET_PROTO, 0, 1, 4 }, true, false },             /* destination options */
        { 60, { NET_PROTO, 1, 1, 12 }, true, false },            /* 16 bytes */
        { 60, { NET_PROTO, 2, 1, 20 }, false, false },           /* header beyond the end */
        { 60, { NET_PROTO, 255, 1, 4 }, false, false },
        { 60, { NET_PROTO, 0, 1, 5 }, false, false },            /* option beyond its header */
        { 60, { NET_PROTO, 0, 0x3e, 4 }, true, false },          /* unknown, skip */
        { 60, { NET_PROTO, 0, 0x7e, 4 }, false, false },         /* unknown, discard */
        { 60, { NET_PROTO, 0, 0xbe, 4 }, false, true },          /* unknown, discard and say so */
        { 60, { NET_PROTO, 0, 0xfe, 4 }, false, true },
        { 43, { NET_PROTO, 0, 0, 0 }, true, false },             /* routing, nothing left */
        { 43, { NET_PROTO, 0, 0, 1 }, false, true },             /* type 0 with segments left (RFC 5095) */
        { 60, { 0, 0, 1, 4, 0, 0, 0, 0, NET_PROTO, 0, 1, 4 }, false, true }, /* hop-by-hop not first */
        { 60, { 60, 0, 1, 4, 0, 0, 0, 0, NET_PROTO, 0, 1, 4 }, true, false },
        { 59, { 0 }, false, false },                             /* no next header */
        { 44, { NET_PROTO, 0, 0, 0, 0, 0, 0, 1 }, true, false }, /* atomic fragment (RFC 6946) */
    };
    uint8_t f[256];

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        net_forget(&n);
        inject_counted(f, net_ip6(f, "fd00::2", "fd00::1", rows[i].next, rows[i].b, 16), rows[i].good, "row", i);
        cr_assert_eq(n.n_frames, rows[i].problem, "row %u: %u answers", i, n.n_frames);
        if (rows[i].problem)
            cr_assert_eq(n.frame[0].b[54], 4, "Parameter Problem");
    }
}

Test(ip, unknown_protocol_is_answered_within_limits)
{
    uint8_t f[256];

    net_inject(&n, f, net_ip4(f, "10.0.0.2", "10.0.0.1", 200, "hello!!!", 8));
    cr_assert_eq(n.n_frames, 1);
    const uint8_t *r = n.frame[0].b;
    cr_assert_eq(r[23], 1);
    cr_assert(r[34] == 3 && r[35] == 2);
    cr_assert_eq(net_sum(r + 34, n.frame[0].len - 34, 0), 0);
    cr_assert(memcmp(r + 42, f + 14, 28) == 0, "quotes the packet as it came");
    net_forget(&n);
    net_inject(&n, f, net_ip6(f, "fd00::2", "fd00::1", 200, "hello!!!", 8));
    cr_assert_eq(n.n_frames, 1);
    cr_assert(n.frame[0].b[54] == 4 && n.frame[0].b[55] == 1 && n.frame[0].b[61] == 6);
    net_forget(&n);
    net_inject(&n, f, net_ip4(f, "10.0.0.2", "10.0.0.255", 200, "hello!!!", 8));
    cr_assert_eq(n.n_frames, 0, "never about a broadcast");
    for (unsigned i = 0; i < 500; i++)
        net_inject(&n, f, net_ip4(f, "10.0.0.2", "10.0.0.1", 200, "hello!!!", 8));
    cr_assert(n.n_frames >= 40 && n.n_frames <= 60, "%u errors at one instant", n.n_frames);
    net_run_us(&n, 1000000);
    net_forget(&n);
    net_inject(&n, f, net_ip4(f, "10.0.0.2", "10.0.0.1", 200, "hello!!!", 8));
    cr_assert_eq(n.n_frames, 1, "the limit recovers");
}

/* ---------------------------------------------------------------- fragments */

struct piece { uint32_t off, len; bool more; };

static uint8_t data[67000]; /* a little beyond the largest datagram, for impossible fragments */

static uint32_t fragment_frame(uint8_t *f, bool v4, uint32_t id, const struct piece *p)
{
    static uint8_t buf[65536];

    if (v4) {
        uint32_t len = net_ip4(f, "10.0.0.2", "10.0.0.1", NET_PROTO, data + p->off, p->len);
        uint16_t frag = (uint16_t)(p->off / 8 | (p->more ? 0x2000u : 0));
        f[18] = (uint8_t)(id >> 8);
        f[19] = (uint8_t)id;
        f[20] = (uint8_t)(frag >> 8);
        f[21] = (uint8_t)frag;
        net_fix_ip4(f);
        return len;
    }
    uint16_t offlg = (uint16_t)(p->off | p->more);
    const uint8_t h[8] = { NET_PROTO, 0, (uint8_t)(offlg >> 8), (uint8_t)offlg, 0, 0, (uint8_t)(id >> 8), (uint8_t)id };
    memcpy(buf, h, 8);
    memcpy(buf + 8, data + p->off, p->len);
    return net_ip6(f, "fd00::2", "fd00::1", 44, buf, p->len + 8);
}

static void inject_piece(bool v4, uint32_t id, uint32_t off, uint32_t len, bool more)
{
    static uint8_t f[66000];
    struct piece p = { off, len, more };

    net_inject(&n, f, fragment_frame(f, v4, id, &p));
}

static void fill_data(void)
{
    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(i * 131 + (i >> 8) * 7);
}

Test(ip, fragments_in_any_order)
{
    fill_data();
    for (unsigned round = 0; round < 40; round++) {
        bool v4 = round % 2;
        uint32_t total = 1 + (uint32_t)(sim_net_random(n.sim) % 65000), off = 0;
        struct piece p[128];
        unsigned k = 0, in = n.n_input;
        while (off < total) {
            uint32_t len = total - off > 1480 ? 1480 : total - off;
            p[k++] = (struct piece){ off, len, off + len < total };
            off += len;
        }
        for (unsigned i = k; i > 1; i--) {
            unsigned j = (unsigned)(sim_net_random(n.sim) % i);
            struct piece t = p[i - 1];
            p[i - 1] = p[j];
            p[j] = t;
        }
        for (unsigned i = 0; i < k; i++) {
            inject_piece(v4, round + 1, p[i].off, p[i].len, p[i].more);
            if (i + 1 < k && round % 5 == 0) /* a duplicate changes nothing */
                inject_piece(v4, round + 1, p[i].off, p[i].len, p[i].more);
        }
        cr_assert_eq(n.n_input, in + 1, "round %u: %u bytes in %u pieces", round, total, k);
        cr_assert_eq(n.last_len, total);
        cr_assert(memcmp(n.last_input, data, total) == 0);
        cr_assert_eq(n.last_meta.l4_total, total);
    }
}

Test(ip, fragment_overlap_kills_the_datagram)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        inject_piece(v4, 1, 0, 800, true);
        inject_piece(v4, 1, 792, 800, true); /* 8 bytes twice */
        inject_piece(v4, 1, 800, 800, false);
        cr_assert_eq(n.n_input, 0, "RFC 5722");
    }
}

Test(ip, fragment_impossible_lengths)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        inject_piece(v4, 1, 0, 801, true);       /* not a multiple of 8 */
        inject_piece(v4, 2, 65528, 800, false);  /* beyond 65535: "ping of death" */
        inject_piece(v4, 3, 65528, 8, true);
        inject_piece(v4, 4, 0, 0, true);
        inject_piece(v4, 5, 800, 100, false);    /* two ends */
        inject_piece(v4, 5, 1600, 100, false);
        inject_piece(v4, 6, 800, 100, false);    /* beyond its end */
        inject_piece(v4, 6, 1600, 800, true);
    }
    cr_assert_eq(n.n_input, 0);
    net_run_us(&n, 61000000);
    cr_assert(net_drops(&n) >= 16);
}

Test(ip, fragments_time_out_with_an_error)
{
    inject_piece(true, 1, 0, 800, true);
    inject_piece(true, 2, 800, 800, true); /* without the first: silence */
    inject_piece(false, 1, 0, 800, true);
    net_run_us(&n, 59000000);
    net_learn_peer(&n);
    net_run_us(&n, 2000000);
    cr_assert_eq(n.w->ip->count.ip[IP_DROP_FRAG_TIMEOUT], 3);
    unsigned v4 = 0, v6 = 0;
    for (unsigned i = 0; i < n.n_frames; i++) {
        v4 += n.frame[i].b[12] == 8 && n.frame[i].b[34] == 11 && n.frame[i].b[35] == 1;
        v6 += n.frame[i].b[12] == 0x86 && n.frame[i].b[54] == 3 && n.frame[i].b[55] == 1;
    }
    cr_assert_eq(v4, 1);
    cr_assert_eq(v6, 1);
    inject_piece(true, 1, 800, 800, false);
    cr_assert_eq(n.n_input, 0, "the old first fragment is gone");
}

Test(ip, fragments_are_bounded)
{
    for (uint32_t id = 0; id < 3000; id++)
        inject_piece(true, id, 8, 8, true);
    cr_assert(n.w->ip->count.ip[IP_DROP_FRAG_LIMIT] >= 3000 - 256);
    fill_data();
    inject_piece(true, 60000, 0, 800, true);
    inject_piece(true, 60000, 800, 800, false);
    cr_assert_eq(n.n_input, 1, "an honest datagram still gets through");
}

Test(ip, output_is_fragmented_and_comes_back_whole)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        net_forget(&n);
        cr_assert_eq(net_send(&n, v4 ? "10.0.0.2" : "fd00::2", 5000, 0x5a), 0);
        net_run_us(&n, 0);
        cr_assert_eq(n.n_frames, 4);
        uint32_t seen = 0;
        for (unsigned i = 0; i < n.n_frames; i++) {
            const uint8_t *f = n.frame[i].b;
            uint32_t hdr = v4 ? 34 : 62, off = v4 ? (f[20] & 0x1fu) * 2048 + f[21] * 8u : ((uint32_t)f[56] << 8 | (f[57] & 0xf8u));
            bool more = v4 ? (f[20] & 0x20) != 0 : f[57] & 1;
            cr_assert(n.frame[i].len <= 1514);
            cr_assert_eq(off, seen);
            cr_assert_eq(more, i < 3);
            if (v4)
                cr_assert_eq(net_sum(f + 14, 20, 0), 0);
            seen += n.frame[i].len - hdr;
        }
        cr_assert_eq(seen, 5000);
    }
}

/* What probes of TCP have found, for whoever sends there next; never more than the links take. */
Test(ip, path_mtu_that_probes_found)
{
    for (unsigned i = 0; i < 2; i++) {
        struct ip_addr dst = net_ip(i ? "10.0.0.9" : "fd00::9"), other = net_ip(i ? "10.0.0.8" : "fd00::8");
        struct ip_path path;

        pmtu_arrived(n.w, 0, &dst, 1500);
        cr_assert_eq(pmtu_limit(n.w, 0, &dst, 1500), 1500, "nothing is known, and that is all");
        pmtu_learn(n.w, 0, &dst, 1280);
        pmtu_arrived(n.w, 0, &dst, 1400);
        pmtu_arrived(n.w, 0, &dst, 1300);
        cr_assert_eq(ip_path_lookup(n.w, 0, &dst, &path), 0);
        cr_assert_eq(path.mtu, 1400);
        cr_assert_eq(path.link_mtu, 1500);
        cr_assert_eq(ip_path_lookup(n.w, 0, &other, &path), 0);
        cr_assert_eq(path.mtu, 1500);
        n.w->now_us += PMTU_LIFETIME_US - 1000000ull;
        pmtu_learn(n.w, 0, &dst, 1400); /* still so */
        n.w->now_us += PMTU_LIFETIME_US - 1000000ull;
        cr_assert_eq(pmtu_limit(n.w, 0, &dst, 1500), 1400);
        n.w->now_us += 2000000;
        cr_assert_eq(pmtu_limit(n.w, 0, &dst, 1500), 1500);
    }
}

Test(ip, output_too_big_and_unroutable)
{
    struct ip_tx tx = { .src = net_ip("10.0.0.1"), .dst = net_ip("10.0.0.2"), .ip_proto = NET_PROTO, .dont_fragment = true };
    struct pkt *p = pkt_alloc(n.w->pools, 1481);

    pkt_append(p, 1481);
    cr_assert_eq(ip_output(n.w, p, &tx), -EMSGSIZE);
    cr_assert_eq(net_send(&n, "192.168.7.7", 10, 0), -ENETUNREACH);
    cr_assert_eq(net_send(&n, "2001:db8::1", 10, 0), -ENETUNREACH);
    cr_assert_eq(net_send(&n, "127.0.0.1", 10, 0), -ENETUNREACH);
}

Test(ip, packets_to_ourselves_come_back)
{
    cr_assert_eq(net_send(&n, "10.0.0.1", 60000, 7), 0);
    net_run_us(&n, 0);
    cr_assert_eq(n.n_input, 1);
    cr_assert_eq(n.last_len, 60000);
    cr_assert(n.last_meta.flags & PKT_LOCAL);
    cr_assert(ip_addr_eq(&n.last_meta.src, &n.last_meta.dst));
    for (unsigned i = 0; i < IP_LOCAL_QUEUE; i++)
        cr_assert_eq(net_send(&n, "10.0.0.1", 10, 7), 0);
    cr_assert_eq(net_send(&n, "10.0.0.1", 10, 7), -ENOBUFS);
    net_run_us(&n, 0);
    cr_assert_eq(n.n_input, 1 + IP_LOCAL_QUEUE);
    cr_assert_eq(n.n_frames, 0);
}

Test(ip, broadcast_and_multicast_leave_by_the_source)
{
    static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 }, m4[6] = { 1, 0, 0x5e, 1, 2, 3 }, m6[6] = { 0x33, 0x33, 0, 0, 0, 5 };

    cr_assert_eq(net_send(&n, "255.255.255.255", 10, 0), 0);
    cr_assert_eq(net_send(&n, "10.0.0.255", 10, 0), 0);
    cr_assert_eq(net_send(&n, "224.1.2.3", 10, 0), 0);
    cr_assert_eq(net_send(&n, "ff02::5", 10, 0), 0);
    net_run_us(&n, 0);
    cr_assert_eq(n.n_frames, 4);
    cr_assert(memcmp(n.frame[0].b, all, 6) == 0 && memcmp(n.frame[1].b, all, 6) == 0);
    cr_assert(memcmp(n.frame[2].b, m4, 6) == 0 && memcmp(n.frame[3].b, m6, 6) == 0);
}

Test(ip, random_bytes)
{
    uint8_t f[256];

    for (unsigned i = 0; i < 20000; i++) {
        uint32_t len = (uint32_t)(sim_net_random(n.sim) % sizeof(f));
        for (unsigned k = 0; k < sizeof(f); k += 8) {
            uint64_t r = sim_net_random(n.sim);
            memcpy(f + k, &r, 8);
        }
        memcpy(f, n.s->port[0]->mac, 6);
        f[6] = 2;
        static const uint8_t types[3][2] = { { 8, 0 }, { 0x86, 0xdd }, { 8, 6 } };
        memcpy(f + 12, types[i % 3], 2);
        f[14] = i % 3 == 0 ? (uint8_t)(0x45 + (f[14] & 1)) : i % 3 == 1 ? 0x60 : f[14];
        if (i % 3 == 0 && len > 40)
            net_fix_ip4(f);
        if (i % 3 == 1) {
            struct ip_addr own = net_ip("fd00::1");
            memcpy(f + 38, own.b, 16);
            f[20] = (uint8_t[]){ 0, 43, 44, 58, 60, 59 }[i % 6];
            if (len >= 54) {
                f[18] = 0;
                f[19] = (uint8_t)(len - 54);
            }
        }
        net_inject(&n, f, len);
        if (i % 256 == 0)
            net_forget(&n);
    }
    net_forget(&n);
    net_run_us(&n, 70000000);
    net_forget(&n);
    cr_assert(rte_mempool_in_use_count(n.s->pools.small) < 4200, "packets are not kept (worst: neighbour queues)");
}
