/* icmp_test.c - echo of every size, errors in as Linux maps them, errors that must not be answered */
#include <errno.h>

#include "tests/unit/server/net/net_test.h"

static struct net n;

static void open_quiet(void)
{
    net_open(&n, INTERFACE_ADDR_NO_DAD);
    net_run_us(&n, 5000000);
    net_learn_peer(&n);
}
static void shut(void) { net_close(&n); }
TestSuite(icmp, .init = open_quiet, .fini = shut);

static uint8_t big[66000], msg[66000], frame[66000], back[66000];

/* Sends an echo request of len data bytes, in fragments where it must be; collects the reply into back. Returns its length. */
static uint32_t echo(bool v4, uint32_t len)
{
    uint32_t m = v4 ? net_icmp4(msg, 8, 0, 0x12345678, big, len) : net_icmp6(msg, "fd00::2", "fd00::1", 128, 0, 0x12345678, big, len);
    uint32_t piece = 1440, got = 0;

    net_forget(&n);
    for (uint32_t off = 0; off < m; off += piece) {
        uint32_t k = m - off < piece ? m - off : piece;
        bool more = off + k < m;
        if (m <= piece) {
            net_inject(&n, frame, v4 ? net_ip4(frame, "10.0.0.2", "10.0.0.1", 1, msg, m) : net_ip6(frame, "fd00::2", "fd00::1", 58, msg, m));
        } else if (v4) {
            uint32_t flen = net_ip4(frame, "10.0.0.2", "10.0.0.1", 1, msg + off, k);
            frame[20] = (uint8_t)((off / 8) >> 8 | (more ? 0x20 : 0));
            frame[21] = (uint8_t)(off / 8);
            net_fix_ip4(frame);
            net_inject(&n, frame, flen);
        } else {
            static uint8_t body[2048];
            const uint8_t h[8] = { 58, 0, (uint8_t)(off >> 8), (uint8_t)(off | more), 0, 0, 0, 1 };
            memcpy(body, h, 8);
            memcpy(body + 8, msg + off, k);
            net_inject(&n, frame, net_ip6(frame, "fd00::2", "fd00::1", 44, body, k + 8));
        }
    }
    for (unsigned i = 0; i < n.n_frames; i++) {
        const uint8_t *f = n.frame[i].b;
        bool frag = v4 ? (f[20] & 0x3f) | f[21] : f[20] == 44;
        uint32_t off = !frag ? 0 : v4 ? (f[20] & 0x1fu) * 2048 + f[21] * 8u : ((uint32_t)f[56] << 8 | (f[57] & 0xf8u));
        uint32_t hdr = v4 ? 34 : frag ? 62 : 54;
        memcpy(back + off, f + hdr, n.frame[i].len - hdr);
        got = off + n.frame[i].len - hdr > got ? off + n.frame[i].len - hdr : got;
    }
    return got;
}

Test(icmp, echo_of_every_size)
{
    static const uint32_t sizes[] = { 0, 1, 2, 7, 56, 1400, 1432, 1433, 1472, 1473, 2999, 8000, 9001, 32767, 65487, 65507 };

    for (unsigned i = 0; i < sizeof(big); i++)
        big[i] = (uint8_t)(i * 13 + (i >> 7));
    for (unsigned i = 0; i < HS_ARRAY_LEN(sizes); i++) {
        for (unsigned v4 = 0; v4 < 2; v4++) {
            if (v4 && sizes[i] > 65507)
                continue;
            uint32_t got = echo(v4, sizes[i]);
            cr_assert_eq(got, sizes[i] + 8, "%s size %u: got %u", v4 ? "v4" : "v6", sizes[i], got);
            cr_assert_eq(back[0], v4 ? 0 : 129);
            cr_assert(memcmp(back + 4, msg + 4, got - 4) == 0);
            if (v4)
                cr_assert_eq(net_sum(back, got, 0), 0);
            else { /* the v6 checksum: as ours over the same addresses with type 129 */
                static uint8_t want[66000];
                net_icmp6(want, "fd00::1", "fd00::2", 129, 0, 0x12345678, big, sizes[i]);
                cr_assert(memcmp(want, back, 8) == 0);
            }
        }
    }
}

Test(icmp, malformed_and_refused)
{
    uint32_t m = net_icmp4(msg, 8, 0, 1, big, 16);

    for (uint32_t cut = 0; cut < 8; cut++)
        net_inject(&n, frame, net_ip4(frame, "10.0.0.2", "10.0.0.1", 1, msg, cut));
    for (unsigned bit = 0; bit < m * 8; bit++) { /* any flipped bit */
        msg[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        net_inject(&n, frame, net_ip4(frame, "10.0.0.2", "10.0.0.1", 1, msg, m));
        msg[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    net_inject(&n, frame, net_ip4(frame, "10.0.0.2", "10.0.0.255", 1, msg, m));     /* smurf */
    net_inject(&n, frame, net_ip4(frame, "10.0.0.2", "255.255.255.255", 1, msg, m));
    cr_assert_eq(n.n_frames, 0);
    m = net_icmp6(msg, "fd00::2", "fd00::1", 128, 0, 1, big, 16);
    for (unsigned bit = 0; bit < m * 8; bit++) {
        msg[bit / 8] ^= (uint8_t)(1u << (bit % 8));
        net_inject(&n, frame, net_ip6(frame, "fd00::2", "fd00::1", 58, msg, m));
        msg[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
    cr_assert_eq(n.n_frames, 0);
}

Test(icmp, echo_to_all_nodes_comes_from_our_address)
{
    uint32_t m = net_icmp6(msg, "fd00::2", "ff02::1", 128, 0, 1, big, 16);
    struct ip_addr own = net_ip("fd00::1");

    net_inject(&n, frame, net_ip6(frame, "fd00::2", "ff02::1", 58, msg, m));
    cr_assert_eq(n.n_frames, 1);
    cr_assert(memcmp(n.frame[0].b + 22, own.b, 16) == 0);
}

/* An ICMP error from 10.0.0.2 that quotes a packet of ours to 10.9.9.9. */
static void error4(uint8_t type, uint8_t code, uint32_t rest, const char *quoted_src)
{
    static uint8_t quote[128];
    uint32_t q = net_ip4(frame, quoted_src, "10.9.9.9", NET_PROTO, "\x12\x34\x56\x78....", 8);

    memcpy(quote, frame + 14, q - 14);
    uint32_t m = net_icmp4(msg, type, code, rest, quote, q - 14);
    net_inject(&n, frame, net_ip4(frame, "10.0.0.2", "10.0.0.1", 1, msg, m));
}

static void error6(uint8_t type, uint8_t code, uint32_t rest)
{
    static uint8_t quote[128];
    uint32_t q = net_ip6(frame, "fd00::1", "fd00::9", NET_PROTO, "\x12\x34\x56\x78....", 8);

    memcpy(quote, frame + 14, q - 14);
    uint32_t m = net_icmp6(msg, "fd00::2", "fd00::1", type, code, rest, quote, q - 14);
    net_inject(&n, frame, net_ip6(frame, "fd00::2", "fd00::1", 58, msg, m));
}

Test(icmp, errors_reach_the_transport_as_linux_maps_them)
{
    static const struct { uint8_t type, code; uint32_t rest; int err; bool hard; uint32_t mtu; } rows4[] = {
        { 3, 0, 0, -ENETUNREACH, false, 0 },  { 3, 1, 0, -EHOSTUNREACH, false, 0 }, { 3, 2, 0, -ENOPROTOOPT, true, 0 },
        { 3, 3, 0, -ECONNREFUSED, true, 0 },  { 3, 4, 1400, -EMSGSIZE, false, 1400 }, { 3, 5, 0, -EOPNOTSUPP, false, 0 },
        { 3, 6, 0, -ENETUNREACH, true, 0 },   { 3, 7, 0, -EHOSTDOWN, true, 0 },     { 3, 9, 0, -ENETUNREACH, true, 0 },
        { 3, 10, 0, -EHOSTUNREACH, true, 0 }, { 3, 13, 0, -EHOSTUNREACH, true, 0 }, { 11, 0, 0, -EHOSTUNREACH, false, 0 },
    }, rows6[] = {
        { 1, 0, 0, -ENETUNREACH, false, 0 }, { 1, 1, 0, -EACCES, true, 0 },    { 1, 3, 0, -EHOSTUNREACH, false, 0 },
        { 1, 4, 0, -ECONNREFUSED, true, 0 }, { 2, 0, 1300, -EMSGSIZE, false, 1300 }, { 3, 0, 0, -EHOSTUNREACH, false, 0 },
    };

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows4); i++) {
        error4(rows4[i].type, rows4[i].code, rows4[i].rest, "10.0.0.1");
        cr_assert_eq(n.n_errors, i + 1, "row %u", i);
        cr_assert(n.last_err == rows4[i].err && n.last_hard == rows4[i].hard && n.last_mtu == rows4[i].mtu, "row %u: %d", i, n.last_err);
    }
    unsigned before = n.n_errors;
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows6); i++) {
        error6(rows6[i].type, rows6[i].code, rows6[i].rest);
        cr_assert_eq(n.n_errors, before + i + 1, "row %u", i);
        cr_assert(n.last_err == rows6[i].err && n.last_hard == rows6[i].hard && n.last_mtu == rows6[i].mtu, "row %u: %d", i, n.last_err);
    }
    cr_assert_eq(n.n_frames, 0, "errors are never answered");
}

Test(icmp, errors_name_the_table_they_came_in_by)
{
    n.ifc->fib = 3;
    error4(3, 3, 0, "10.0.0.1");
    cr_assert_eq(n.n_errors, 1);
    cr_assert_eq(n.last_fib, 3);
    error6(1, 4, 0);
    cr_assert_eq(n.n_errors, 2);
    cr_assert_eq(n.last_fib, 3);
    n.ifc->fib = 0;
    error4(3, 3, 0, "10.0.0.1");
    cr_assert_eq(n.last_fib, 0);
}

Test(icmp, errors_that_are_ignored)
{
    error4(3, 3, 0, "10.0.0.7");   /* quotes a packet that is not ours */
    error4(3, 16, 0, "10.0.0.1");  /* no such code */
    error4(3, 4, 20, "10.0.0.1");  /* MTU below 68 */
    error4(4, 0, 0, "10.0.0.1");   /* source quench, RFC 6633 */
    error6(2, 0, 1000);            /* PTB below 1280, RFC 8201 */
    cr_assert_eq(n.n_errors, 0);
    error4(3, 4, 0, "10.0.0.1");   /* an old router tells no MTU: a plateau */
    cr_assert_eq(n.n_errors, 1);
    cr_assert_eq(n.last_mtu, 68);
    /* every truncation of the quote */
    uint32_t q = net_ip4(frame, "10.0.0.1", "10.9.9.9", NET_PROTO, "\x12\x34\x56\x78....", 8);
    static uint8_t quote[64];
    memcpy(quote, frame + 14, q - 14);
    for (uint32_t cut = 0; cut < q - 14; cut++) {
        uint32_t m = net_icmp4(msg, 3, 3, 0, quote, cut);
        net_inject(&n, frame, net_ip4(frame, "10.0.0.2", "10.0.0.1", 1, msg, m));
    }
    cr_assert_eq(n.n_errors, 1);
}
