/* malformed_test.c - malformed packets of every protocol: cut at every byte, every length field at all its edges, every byte changed
 *
 * A whole stack with a UDP socket and a TCP listener. Each frame ends in one place at most once: what is too short for its protocol is
 * counted under exactly one reason, nothing is counted twice, no buffer leaks, and the stack answers as before. */
#include <netinet/in.h>
#include <rte_mempool.h>
#include <stdlib.h>

#include "server/autoconf/autoconf.h"
#include "server/dhcp/dhcp.h"
#include "server/tcp/tcp_internal.h"
#include "server/udp/udp_internal.h"
#include "tests/sim/sim_app.h"
#include "tests/unit/server/net/net_test.h"

enum { FRAME_MAX = 512, MAX_FIELDS = 8, STEP_US = 20000, PORT = 7 };

struct field { const char *name; uint16_t off; uint8_t width; }; /* off: in the frame */
struct base {
    const char *name;
    uint8_t f[FRAME_MAX];
    uint32_t len;
    uint16_t l4;                 /* offset of the L4 header; 0: ARP */
    uint8_t proto;
    uint16_t min;                /* bytes of L4 without which it is malformed */
    unsigned n_fields;
    struct field field[MAX_FIELDS];
};

static struct net n;
static struct sim_app *app;
static struct base base[50];
static unsigned n_base;

/* ---------------------------------------------------------------- counting */

static uint64_t udp_drops(void)
{
    static const bool is_drop[] = {
#define COUNT(name, text) [UDP_C_##name] = sizeof(#name) > 5 && #name[0] == 'd' && #name[1] == 'r' && #name[2] == 'o' && #name[3] == 'p',
#include "server/udp/udp_drops.def"
#undef COUNT
    };
    uint64_t sum = 0;

    for (unsigned i = 0; i < UDP_C_MAX; i++)
        sum += is_drop[i] ? udp_worker_of(n.w)->count[i] : 0;
    return sum;
}

static uint64_t tcp_drops(void)
{
    enum { DROP = 1, EVENT = 0 };
    static const bool is_drop[] = {
#define X(name, severity, text) [TCP_C_##name] = severity,
#include "server/tcp/tcp_drops.def"
#undef X
    };
    uint64_t sum = 0;

    for (unsigned i = 0; i < TCP_C_MAX; i++)
        sum += is_drop[i] ? tcp_worker_of(n.w)->counters[i] : 0;
    return sum;
}

/* Of packets that come in, the one injected only: a full reassembly table makes room by dropping an older one, and an answer may find
 * no way, or nobody who has its address. */
static uint64_t drops(void)
{
    const uint64_t *ip = n.w->ip->count.ip, *neigh = n.w->ip->count.neigh;

    return net_drops(&n) - neigh[NEIGH_DROP_UNREACHABLE] - neigh[NEIGH_DROP_QUEUE_FULL] - ip[IP_DROP_FRAG_LIMIT] -
           ip[IP_DROP_TX_NO_ROUTE] - ip[IP_DROP_TX_SOURCE] + udp_drops() + tcp_drops();
}

/* ---------------------------------------------------------------- checksums of a changed frame */

static void put16(uint8_t *p, uint32_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

static unsigned checksum_off(uint8_t proto)
{
    return proto == IPPROTO_TCP ? 16 : proto == IPPROTO_UDP ? 6 : 2;
}

static void fix(const struct base *b, uint8_t *f, uint32_t len)
{
    static uint16_t id; /* fragments of one test never meet those of another */

    bool v4 = f[12] == 0x08;
    unsigned at = checksum_off(b->proto);

    if (!b->l4)
        return;
    if (v4 ? len >= 34 : len >= 62 && f[20] == IPPROTO_FRAGMENT)
        put16(f + (v4 ? 18 : 60), ++id);
    if (v4 && (f[14] & 15u) >= 5 && 14u + (f[14] & 15u) * 4 <= len)
        net_fix_ip4(f);
    if (len < b->l4 + at + 2u || b->proto == NET_PROTO)
        return;
    uint32_t n_l4 = len - b->l4, start = 0;
    if (b->proto != IPPROTO_ICMP && b->proto != IPPROTO_IGMP) {
        start = n_l4 + b->proto;
        for (unsigned i = v4 ? 26 : 22; i < (v4 ? 34u : 54u); i += 2)
            start += (uint32_t)(f[i] << 8 | f[i + 1]);
    }
    put16(f + b->l4 + at, 0);
    put16(f + b->l4 + at, net_sum(f + b->l4, n_l4, start));
}

/* ---------------------------------------------------------------- well-formed frames to begin with */

static struct base *new_base(const char *name, const uint8_t *f, uint32_t len, uint16_t l4, uint8_t proto, uint16_t min)
{
    struct base *b = &base[n_base++];

    cr_assert_leq(n_base, HS_ARRAY_LEN(base));
    cr_assert_leq(len, FRAME_MAX);
    *b = (struct base){ .name = name, .len = len, .l4 = l4, .proto = proto, .min = min };
    memcpy(b->f, f, len);
    if (l4 && f[12] == 0x08) {
        b->field[b->n_fields++] = (struct field){ "version and header length", 14, 1 };
        b->field[b->n_fields++] = (struct field){ "total length", 16, 2 };
        b->field[b->n_fields++] = (struct field){ "fragment", 20, 2 };
    } else if (l4) {
        b->field[b->n_fields++] = (struct field){ "version", 14, 1 };
        b->field[b->n_fields++] = (struct field){ "payload length", 18, 2 };
    }
    fix(b, b->f, len);
    return b;
}
static void add_field(struct base *b, const char *name, uint16_t off, uint8_t width)
{
    cr_assert_lt(b->n_fields, MAX_FIELDS);
    b->field[b->n_fields++] = (struct field){ name, off, width };
}

static void ip_bases(const char *name, bool v4, uint8_t proto, const uint8_t *l4, uint32_t len, uint16_t min, int length_off)
{
    uint8_t f[FRAME_MAX];
    uint32_t total = v4 ? net_ip4(f, "10.0.0.2", "10.0.0.1", proto, l4, len) : net_ip6(f, "fd00::2", "fd00::1", proto, l4, len);
    struct base *b = new_base(name, f, total, v4 ? 34 : 54, proto, min);

    if (length_off >= 0)
        add_field(b, "length of L4", (uint16_t)(b->l4 + length_off), proto == IPPROTO_UDP ? 2 : 1);
}

static void transport_bases(bool v4)
{
    uint8_t m[128] = { 0x30, 0x39, 0, PORT, 0, 40, 0, 0 };
    static const uint8_t options[20] = { 2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7 };

    ip_bases(v4 ? "udp4" : "udp6", v4, IPPROTO_UDP, m, 40, 8, 4);
    memset(m, 0, sizeof(m));
    memcpy(m, (uint8_t[]){ 0x30, 0x39, 0, PORT, 0, 0, 1, 0, 0, 0, 0, 0, 0xa0, 0x02, 0xff, 0xff }, 16);
    memcpy(m + 20, options, sizeof(options));
    ip_bases(v4 ? "tcp4 SYN" : "tcp6 SYN", v4, IPPROTO_TCP, m, 40, 40, 12);
    for (unsigned i = 0; i < sizeof(options); i += options[i] == 1 ? 1 : options[i + 1])
        if (options[i] != 1)
            add_field(&base[n_base - 1], "option length", (uint16_t)(base[n_base - 1].l4 + 20 + i + 1), 1);
    m[13] = 0x18; /* data of no connection */
    ip_bases(v4 ? "tcp4 data" : "tcp6 data", v4, IPPROTO_TCP, m, 60, 40, 12);
}

static void icmp4_bases(void)
{
    static const struct { const char *name; uint8_t type, code; } errors[] = {
        { "unreachable", 3, 3 }, { "fragmentation needed", 3, 4 }, { "time exceeded", 11, 0 }, { "parameter problem", 12, 0 },
    };
    uint8_t m[128], q[64], f[FRAME_MAX];

    ip_bases("icmp echo", true, IPPROTO_ICMP, m, net_icmp4(m, 8, 0, 1, "abcdefgh", 8), 8, -1);
    net_ip4(f, "10.0.0.1", "10.0.0.2", IPPROTO_UDP, (uint8_t[]){ 0, PORT, 0, 9, 0, 8, 0, 0 }, 8);
    memcpy(q, f + 14, 28);
    for (unsigned i = 0; i < HS_ARRAY_LEN(errors); i++) {
        ip_bases(errors[i].name, true, IPPROTO_ICMP, m, net_icmp4(m, errors[i].type, errors[i].code, 1400, q, 28), 36, -1);
        add_field(&base[n_base - 1], "quoted header length", 34 + 8, 1);
        add_field(&base[n_base - 1], "quoted total length", 34 + 8 + 2, 2);
    }
}

static void icmp6_bases(void)
{
    static const struct { const char *name; uint8_t type, code; } errors[] = {
        { "unreachable v6", 1, 4 }, { "too big", 2, 0 }, { "time exceeded v6", 3, 0 }, { "parameter problem v6", 4, 1 },
    };
    uint8_t m[128], q[64], f[FRAME_MAX], target[24];
    struct ip_addr own = net_ip("fd00::1"), peer = net_ip("fd00::2");

    ip_bases("icmpv6 echo", false, IPPROTO_ICMPV6, m, net_icmp6(m, "fd00::2", "fd00::1", 128, 0, 1, "abcdefgh", 8), 8, -1);
    net_ip6(f, "fd00::1", "fd00::2", IPPROTO_UDP, (uint8_t[]){ 0, PORT, 0, 9, 0, 8, 0, 0 }, 8);
    memcpy(q, f + 14, 48);
    for (unsigned i = 0; i < HS_ARRAY_LEN(errors); i++) {
        ip_bases(errors[i].name, false, IPPROTO_ICMPV6, m, net_icmp6(m, "fd00::2", "fd00::1", errors[i].type, errors[i].code, 1400, q, 48),
                 56, -1);
        add_field(&base[n_base - 1], "quoted payload length", 54 + 8 + 4, 2);
        add_field(&base[n_base - 1], "quoted next header", 54 + 8 + 6, 1);
    }
    memcpy(target, own.b, 16);
    memcpy(target + 16, (uint8_t[]){ 1, 1, 2, 0, 0, 0, 0, 0x99 }, 8);
    ip_bases("solicitation", false, IPPROTO_ICMPV6, m, net_icmp6(m, "fd00::2", "fd00::1", 135, 0, 0, target, 24), 24, 25);
    memcpy(target, peer.b, 16);
    target[16] = 2;
    ip_bases("advertisement", false, IPPROTO_ICMPV6, m, net_icmp6(m, "fd00::2", "fd00::1", 136, 0, 0x60000000, target, 24), 24, 25);
}

/* What an error quotes may have headers of its own in front of the transport's. */
static void quote_bases(void)
{
    static const uint8_t headers[16] = { IPPROTO_FRAGMENT, 0, 1, 4, 0, 0, 0, 0, IPPROTO_UDP, 0, 0, 0, 0, 0, 0, 7 };
    static const uint8_t udp[8] = { 0, PORT, 0, 9, 0, 8, 0, 0 }, tcp[20] = { 0, PORT, 0, 9, [12] = 0x50, [13] = 0x10 };
    uint8_t m[128], q[80], f[FRAME_MAX];

    net_ip4(f, "10.0.0.1", "10.0.0.2", IPPROTO_UDP, NULL, 12);
    f[14] = 0x46; /* one word of options */
    memcpy(f + 34, (uint8_t[]){ 1, 1, 1, 0 }, 4);
    memcpy(f + 38, udp, 8);
    net_fix_ip4(f);
    memcpy(q, f + 14, 32);
    ip_bases("unreachable, of options", true, IPPROTO_ICMP, m, net_icmp4(m, 3, 3, 0, q, 32), 36, -1);
    add_field(&base[n_base - 1], "quoted header length", 34 + 8, 1);
    add_field(&base[n_base - 1], "quoted option length", 34 + 8 + 21, 1);
    net_ip4(f, "10.0.0.1", "10.0.0.2", IPPROTO_TCP, tcp, 20);
    memcpy(q, f + 14, 40);
    ip_bases("too long, of tcp", true, IPPROTO_ICMP, m, net_icmp4(m, 3, 4, 1400, q, 40), 36, -1);
    add_field(&base[n_base - 1], "quoted header length", 34 + 8, 1);
    add_field(&base[n_base - 1], "next hop's MTU", 34 + 6, 2);
    net_ip6(f, "fd00::1", "fd00::2", IPPROTO_HOPOPTS, NULL, 24);
    memcpy(f + 54, headers, 16);
    memcpy(f + 70, udp, 8);
    memcpy(q, f + 14, 64);
    ip_bases("unreachable v6, of extension headers", false, IPPROTO_ICMPV6, m, net_icmp6(m, "fd00::2", "fd00::1", 1, 4, 0, q, 64), 48, -1);
    add_field(&base[n_base - 1], "quoted header's length", 54 + 8 + 40 + 1, 1);
    add_field(&base[n_base - 1], "quoted fragment offset", 54 + 8 + 48 + 2, 2);
    net_ip6(f, "fd00::1", "fd00::2", IPPROTO_TCP, tcp, 20);
    memcpy(q, f + 14, 60);
    ip_bases("too big, of tcp", false, IPPROTO_ICMPV6, m, net_icmp6(m, "fd00::2", "fd00::1", 2, 0, 1400, q, 60), 56, -1);
    add_field(&base[n_base - 1], "MTU", 54 + 6, 2);
}

/* What other members of a group say, for routers to hear. */
static void report_bases(void)
{
    uint8_t f[FRAME_MAX], m[128], d[48] = { 0 }, igmp[24] = { 0x22 };
    static const uint8_t hop_by_hop[8] = { IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0 };

    memcpy(igmp + 6, (uint8_t[18]){ 0, 1, 4, 0, 0, 2, 239, 1, 2, 3, 10, 0, 0, 7, 10, 0, 0, 8 }, 18); /* a record of two sources */
    new_base("igmpv3 report", f, net_ip4(f, "10.0.0.2", "224.0.0.1", IPPROTO_IGMP, igmp, 24), 34, IPPROTO_IGMP, 8);
    add_field(&base[n_base - 1], "number of records", 40, 2);
    add_field(&base[n_base - 1], "number of sources", 44, 2);
    memcpy(d, (uint8_t[4]){ 4, 0, 0, 1 }, 4);
    d[4] = 0xff;
    memcpy(m, hop_by_hop, 8);
    uint32_t len = 8 + net_icmp6(m + 8, "fe80::2", "ff02::1", 143, 0, 1, d, 36);
    len = net_ip6(f, "fe80::2", "ff02::1", IPPROTO_HOPOPTS, m, len);
    f[21] = 1; /* hop limit */
    new_base("mldv2 report", f, len, 62, IPPROTO_ICMPV6, 4);
    add_field(&base[n_base - 1], "number of records", 68, 2);
    add_field(&base[n_base - 1], "number of sources", 72, 2);
}

/* Options, extension headers, fragments: in front of a UDP datagram. */
static void header_bases(void)
{
    uint8_t f[FRAME_MAX], m[256] = { 0 };
    static const uint8_t udp[16] = { 0x30, 0x39, 0, PORT, 0, 16 };
    uint32_t len = net_ip4(f, "10.0.0.2", "10.0.0.1", IPPROTO_UDP, NULL, 28);

    f[14] = 0x48; /* record route, an unknown one, end */
    memcpy(f + 34, (uint8_t[]){ 7, 7, 4, 0, 0, 0, 0, 0x99, 4, 0, 0, 0 }, 12);
    memcpy(f + 46, udp, 16);
    struct base *b = new_base("ipv4 options", f, len, 46, IPPROTO_UDP, 8);
    add_field(b, "option length", 35, 1);
    add_field(b, "option length", 42, 1);
    add_field(b, "udp length", 50, 2);
    len = net_ip4(f, "10.0.0.2", "10.0.0.1", NET_PROTO, NULL, 40);
    f[20] = 0x20; /* a first fragment: more follow */
    new_base("ipv4 fragment", f, len, 34, NET_PROTO, 0);

    memcpy(m, (uint8_t[]){ 60, 0, 1, 2, 0, 0, 1, 0 }, 8);                  /* hop by hop: padding */
    memcpy(m + 8, (uint8_t[]){ 43, 1, 0x1e, 4, 1, 2, 3, 4, 1, 4, 0, 0, 0, 0, 0, 0 }, 16); /* destination: unknown, ignored */
    memcpy(m + 24, (uint8_t[]){ IPPROTO_UDP, 0, 4, 0, 0, 0, 0, 0 }, 8);    /* routing, no segment left */
    memcpy(m + 32, udp, 16);
    len = net_ip6(f, "fd00::2", "fd00::1", 0, m, 48);
    b = new_base("ipv6 extension headers", f, len, 54 + 32, IPPROTO_UDP, 8);
    add_field(b, "hop-by-hop length", 55, 1);
    add_field(b, "hop-by-hop option length", 57, 1);
    add_field(b, "destination length", 63, 1);
    add_field(b, "destination option length", 65, 1);
    add_field(b, "routing length", 79, 1);
    add_field(b, "segments left", 81, 1);
    memset(m, 0, sizeof(m));
    memcpy(m, (uint8_t[]){ NET_PROTO, 0, 0, 1, 0, 0, 0, 7 }, 8);
    len = net_ip6(f, "fd00::2", "fd00::1", IPPROTO_FRAGMENT, m, 48);
    b = new_base("ipv6 fragment", f, len, 62, NET_PROTO, 0);
    add_field(b, "fragment offset", 56, 2);
}

static void arp_bases(void)
{
    static const uint8_t none[6];
    uint8_t f[FRAME_MAX];

    for (uint16_t op = 1; op <= 2; op++) {
        uint32_t len = net_arp(f, op, PEER_MAC, "10.0.0.2", none, "10.0.0.1");
        struct base *b = new_base(op == 1 ? "arp request" : "arp reply", f, len, 0, 0, 0);
        add_field(b, "hardware length", 18, 1);
        add_field(b, "protocol length", 19, 1);
        add_field(b, "operation", 20, 2);
    }
}

/* What routers say: advertisements and redirects, queries for groups. */
static void router_bases(void)
{
    uint8_t f[FRAME_MAX], m[256], d[128] = { 0 };
    static const uint8_t hop_by_hop[8] = { IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0 };
    struct ip_addr prefix = net_ip("fd07::"), target = net_ip("fe80::2"), dst = net_ip("fd08::1");

    memcpy(d + 8, (uint8_t[]){ 3, 4, 64, 0xc0, 0, 0, 1, 0, 0, 0, 1, 0 }, 12);
    memcpy(d + 24, prefix.b, 16);
    memcpy(d + 40, (uint8_t[]){ 5, 1, 0, 0, 0, 0, 5, 0xdc }, 8);
    memcpy(d + 48, (uint8_t[]){ 24, 2, 48, 8, 0, 0, 1, 0, 0xfd, 9 }, 10); /* a more specific route */
    uint32_t len = net_icmp6(m, "fe80::2", "ff02::1", 134, 0, 0x40000708, d, 64);
    struct base *b = new_base("router advertisement", f, net_ip6(f, "fe80::2", "ff02::1", IPPROTO_ICMPV6, m, len), 54, IPPROTO_ICMPV6, 16);
    add_field(b, "prefix option length", 54 + 17, 1);
    add_field(b, "prefix length", 54 + 18, 1);
    add_field(b, "MTU option length", 54 + 49, 1);
    add_field(b, "route option length", 54 + 57, 1);
    add_field(b, "route's prefix length", 54 + 58, 1);

    memset(d, 0, sizeof(d));
    memcpy(d, target.b, 16);
    memcpy(d + 16, dst.b, 16);
    memcpy(d + 32, (uint8_t[]){ 2, 1, 2, 0, 0, 0, 0, 0x98 }, 8);
    len = net_icmp6(m, "fe80::2", "fd00::1", 137, 0, 0, d, 40);
    b = new_base("redirect", f, net_ip6(f, "fe80::2", "fd00::1", IPPROTO_ICMPV6, m, len), 54, IPPROTO_ICMPV6, 40);
    add_field(b, "redirect's option length", 54 + 41, 1);

    memset(d, 0, sizeof(d));
    for (unsigned v2 = 0; v2 < 2; v2++) {
        memcpy(m, hop_by_hop, 8);
        memcpy(d, v2 ? dst.b : (uint8_t[16]){ 0 }, 16);
        d[0] = v2 ? 0xff : 0; /* a group, and two sources */
        d[1] = v2 ? 0x15 : 0;
        d[19] = v2 ? 2 : 0;
        len = 8 + net_icmp6(m + 8, "fe80::2", "ff02::1", 130, 0, 0x03e80000, d, v2 ? 52 : 16);
        len = net_ip6(f, "fe80::2", "ff02::1", IPPROTO_HOPOPTS, m, len);
        f[21] = 1; /* hop limit */
        b = new_base(v2 ? "mldv2 query" : "mldv1 query", f, len, 62, IPPROTO_ICMPV6, 24);
        add_field(b, "response code", 66, 2);
        if (v2)
            add_field(b, "number of sources", 88, 2);
        uint8_t igmp[20] = { 0x11, 100 };
        memcpy(igmp + 4, v2 ? (uint8_t[8]){ 239, 1, 2, 3, 2, 125, 0, 2 } : igmp + 8, 8);
        len = net_ip4(f, "10.0.0.2", "224.0.0.1", IPPROTO_IGMP, igmp, v2 ? 20 : 8);
        b = new_base(v2 ? "igmpv3 query" : "igmpv2 query", f, len, 34, IPPROTO_IGMP, 8);
        add_field(b, "response code", 35, 1);
        if (v2)
            add_field(b, "number of sources", 44, 2);
    }
}

static void dhcp_base(void)
{
    uint8_t m[400] = { 0, 67, 0, 68, 0, 0, 0, 0, 2, 1, 6, 0, 1, 2, 3, 4, [8 + 16] = 10, 0, 0, 50 };
    static const uint8_t options[] = { 99, 130, 83, 99, 53, 1, 2, 54, 4, 10, 0, 0, 2, 1, 4, 255, 255, 255, 0, 51, 4, 0, 0, 1, 0,
                                       121, 5, 0, 10, 0, 0, 2, 255 };

    memcpy(m + 8 + 236, options, sizeof(options));
    uint16_t len = (uint16_t)(8 + 236 + sizeof(options));
    put16(m + 4, len);
    ip_bases("dhcp offer", true, IPPROTO_UDP, m, len, len, 4);
    struct base *b = &base[n_base - 1];
    const uint16_t at[] = { 5, 8, 14, 20, 26 }; /* of lengths in options */
    for (unsigned i = 0; i < HS_ARRAY_LEN(at) && b->n_fields < MAX_FIELDS - 1; i++)
        add_field(b, "dhcp option length", (uint16_t)(b->l4 + 8 + 236 + at[i]), 1);
}

static void open_at(void (*open)(struct net *n, unsigned addr_flags))
{
    struct sim_app_options opt = { .rx_max = 1 << 20, .tx_max = 1 << 16 };
    struct ip_endpoint any = { .port = be16_of(PORT) };
    struct sim_sock *sock;

    cr_assert_eq(transport_register(&tcp_transport_ops), 0);
    cr_assert_eq(transport_register(&udp_transport_ops), 0);
    open(&n, INTERFACE_ADDR_NO_DAD);
    cr_assert_eq(sim_app_create(n.w, &opt, &app), 0);
    cr_assert_eq(sim_bind(app, SVM_PROTO_UDP, &any, &sock), 0);
    cr_assert_eq(sim_listen(app, SVM_PROTO_TCP, &any, 64, &sock), 0);
    net_run_us(&n, 5000000);
    net_learn_peer(&n);
    cr_assert_eq(autoconf_enable(n.ifc, INTERFACE_ADDR_NO_DAD), 0);
    cr_assert_eq(dhcp_enable(n.ifc, INTERFACE_ADDR_NO_DAD, NULL), 0);
    n_base = 0;
    transport_bases(true);
    transport_bases(false);
    icmp4_bases();
    icmp6_bases();
    quote_bases();
    report_bases();
    header_bases();
    arp_bases();
    router_bases();
    dhcp_base();
}
static void open_all(void) { open_at(net_open); }
static void open_card(void) { open_at(net_open_card); }

static void shut(void)
{
    sim_app_destroy(app);
    net_close(&n);
}
TestSuite(malformed, .init = open_all, .fini = shut, .timeout = 600);
TestSuite(malformed_card, .init = open_card, .fini = shut, .timeout = 600);

/* How many reasons were counted for this frame. What the stack answers is not looked at. */
static uint64_t inject(const uint8_t *f, uint32_t len)
{
    uint64_t before = drops();

    net_inject(&n, f, len);
    uint64_t counted = drops() - before;
    net_run_us(&n, STEP_US); /* errors that are answered keep below their rate */
    net_forget(&n);
    return counted;
}

/* Everything that was held has timed out: all packets are back, and an echo is answered. */
static void check_alive(unsigned in_use)
{
    uint8_t f[FRAME_MAX], m[64];

    net_run_us(&n, 300ull * 1000000);
    net_learn_peer(&n);
    cr_assert_eq(rte_mempool_in_use_count(n.s->pools.small) + rte_mempool_in_use_count(n.s->pools.big), in_use, "packets leak: %u, were %u",
                 rte_mempool_in_use_count(n.s->pools.small) + rte_mempool_in_use_count(n.s->pools.big), in_use);
    net_inject(&n, f, net_ip4(f, "10.0.0.2", "10.0.0.1", IPPROTO_ICMP, m, net_icmp4(m, 8, 0, 1, "x", 1)));
    cr_assert_eq(n.n_frames, 1, "echo is answered");
    net_forget(&n);
    net_inject(&n, f, net_ip6(f, "fd00::2", "fd00::1", IPPROTO_ICMPV6, m, net_icmp6(m, "fd00::2", "fd00::1", 128, 0, 1, "x", 1)));
    cr_assert_eq(n.n_frames, 1, "echo over IPv6 is answered");
    net_forget(&n);
}

static unsigned in_use_now(void)
{
    return rte_mempool_in_use_count(n.s->pools.small) + rte_mempool_in_use_count(n.s->pools.big);
}

/* The frames mean what they should: as they are, none but those of no connection is dropped. */
Test(malformed, well_formed_ones_are_not_dropped)
{
    for (unsigned i = 0; i < n_base; i++) {
        bool nobody = strstr(base[i].name, "data") != NULL; /* no connection */
        cr_assert_eq(inject(base[i].f, base[i].len), nobody, "%s", base[i].name);
    }
}

Test(malformed, cut_at_every_byte)
{
    unsigned in_use = in_use_now();

    for (unsigned i = 0; i < n_base; i++)
        for (uint32_t len = 0; len < base[i].len; len++)
            cr_assert_eq(inject(base[i].f, len), 1, "%s cut to %u", base[i].name, len);
    check_alive(in_use);
}

static uint32_t tag(uint8_t *to, const uint8_t *f, uint32_t len, uint16_t tci)
{
    memcpy(to, f, 12);
    put16(to + 12, 0x8100);
    put16(to + 14, tci);
    memcpy(to + 16, f + 12, len - 12);
    return len + 4;
}

/* A priority alone is as no tag; what is cut in the tag, or of a VLAN or in a second tag that we do not have, is counted once. */
static void tagged(void)
{
    static const uint16_t others[] = { 1, 0x0fff, 0x2ffe, 0xe001 };
    unsigned in_use = in_use_now();

    for (unsigned i = 0; i < n_base; i++) {
        uint8_t f[FRAME_MAX + 8], twice[FRAME_MAX + 8];
        bool nobody = strstr(base[i].name, "data") != NULL;
        uint32_t len = tag(f, base[i].f, base[i].len, 0xe000);
        cr_assert_eq(inject(f, len), nobody, "%s with a priority", base[i].name);
        for (uint32_t cut = 0; cut < len; cut++)
            cr_assert_eq(inject(f, cut), 1, "%s with a priority, cut to %u", base[i].name, cut);
        for (unsigned k = 0; k < HS_ARRAY_LEN(others); k++)
            cr_assert_eq(inject(f, tag(f, base[i].f, base[i].len, others[k])), 1, "%s in VLAN %x", base[i].name, others[k]);
        len = tag(f, base[i].f, base[i].len, 0);
        cr_assert_eq(inject(twice, tag(twice, f, len, 0)), 1, "%s with two tags", base[i].name);
    }
    check_alive(in_use);
}

Test(malformed, tagged_in_the_frame) { tagged(); }

Test(malformed_card, tagged_beside_the_frame) { tagged(); }

/* The lower layers agree with the cut, so that the upper one must see it. */
Test(malformed, cut_with_lower_lengths_right)
{
    unsigned in_use = in_use_now();

    for (unsigned i = 0; i < n_base; i++) {
        const struct base *b = &base[i];
        for (uint32_t len = b->len - 1; b->l4 && len >= b->l4; len--) {
            uint8_t f[FRAME_MAX];
            memcpy(f, b->f, len);
            if (f[12] == 0x08)
                put16(f + 16, len - 14);
            else
                put16(f + 18, len - 54);
            if (b->proto == IPPROTO_UDP && len >= b->l4 + 6u)
                put16(f + b->l4 + 4, len - b->l4);
            fix(b, f, len);
            uint64_t counted = inject(f, len);
            if (len - b->l4 < b->min)
                cr_assert_eq(counted, 1, "%s cut to %u: %lu reasons", b->name, len, (unsigned long)counted);
            else
                cr_assert_leq(counted, 1, "%s cut to %u: %lu reasons", b->name, len, (unsigned long)counted);
        }
    }
    check_alive(in_use);
}

Test(malformed, length_fields_at_their_edges)
{
    unsigned in_use = in_use_now();

    for (unsigned i = 0; i < n_base; i++) {
        const struct base *b = &base[i];
        for (unsigned k = 0; k < b->n_fields; k++) {
            const struct field *d = &b->field[k];
            uint32_t is = d->width == 1 ? b->f[d->off] : (uint32_t)(b->f[d->off] << 8 | b->f[d->off + 1]);
            uint32_t max = d->width == 1 ? 0xff : 0xffff;
            const uint32_t value[] = { 0, 1, 2, 3, is - 8, is - 1, is + 1, is + 2, is + 8, is + 16, max / 2, max / 2 + 1, max - 7, max - 1, max };
            for (unsigned v = 0; v < HS_ARRAY_LEN(value); v++) {
                uint8_t f[FRAME_MAX];
                memcpy(f, b->f, b->len);
                if (d->width == 1)
                    f[d->off] = (uint8_t)value[v];
                else
                    put16(f + d->off, value[v]);
                fix(b, f, b->len);
                uint64_t counted = inject(f, b->len);
                cr_assert_leq(counted, 1, "%s, %s %u: %lu reasons", b->name, d->name, value[v], (unsigned long)counted);
            }
        }
    }
    check_alive(in_use);
}

/* Fields that say more than there is must be counted: nothing of that kind goes on. */
Test(malformed, lengths_beyond_the_end_are_counted)
{
    static const char *const beyond[] = { "total length", "payload length", "length of L4", "udp length", "hop-by-hop length",
                                          "hop-by-hop option length", "destination length", "destination option length",
                                          "routing length", "option length", "hardware length", "protocol length",
                                          "prefix option length", "MTU option length", "redirect's option length",
                                          "dhcp option length" };
    unsigned checked = 0;

    for (unsigned i = 0; i < n_base; i++) {
        const struct base *b = &base[i];
        for (unsigned k = 0; k < b->n_fields; k++) {
            const struct field *d = &b->field[k];
            bool is_one = false;
            for (unsigned v = 0; v < HS_ARRAY_LEN(beyond); v++)
                is_one |= strcmp(d->name, beyond[v]) == 0;
            if (!is_one)
                continue;
            uint8_t f[FRAME_MAX];
            memcpy(f, b->f, b->len);
            memset(f + d->off, 0xff, d->width);
            fix(b, f, b->len);
            cr_assert_eq(inject(f, b->len), 1, "%s, %s", b->name, d->name);
            checked++;
        }
    }
    cr_assert_gt(checked, 30);
}

Test(malformed, every_byte_changed)
{
    static const uint8_t value[] = { 0x00, 0x01, 0x7f, 0x80, 0xff };
    unsigned in_use = in_use_now();

    for (unsigned i = 0; i < n_base; i++) {
        const struct base *b = &base[i];
        for (uint32_t at = 12; at < b->len; at++) {
            for (unsigned v = 0; v <= HS_ARRAY_LEN(value); v++) {
                uint8_t f[FRAME_MAX];
                memcpy(f, b->f, b->len);
                f[at] = v == HS_ARRAY_LEN(value) ? f[at] ^ 0x10 : value[v];
                fix(b, f, b->len);
                uint64_t counted = inject(f, b->len);
                cr_assert_leq(counted, 1, "%s, byte %u = %u: %lu reasons", b->name, at, f[at], (unsigned long)counted);
            }
        }
    }
    check_alive(in_use);
}
