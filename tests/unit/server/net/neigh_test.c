/* neigh_test.c - ARP and ND: answering, resolving, queueing, aging, limits, duplicate detection */
#include <errno.h>

#include "tests/unit/server/net/net_test.h"

static struct net n;
static const uint8_t none[6];

static void open_quiet(void)
{
    net_open(&n, INTERFACE_ADDR_NO_DAD);
    net_run_us(&n, 5000000);
    net_forget(&n);
}
static void shut(void) { net_close(&n); }

TestSuite(neigh, .init = open_quiet, .fini = shut);

static unsigned count_arp_requests(const char *target, const uint8_t dst[6])
{
    struct ip_addr t = net_ip(target);
    unsigned found = 0;

    for (unsigned i = 0; i < n.n_frames; i++) {
        const uint8_t *f = n.frame[i].b;
        found += n.frame[i].len == 42 && f[12] == 8 && f[13] == 6 && f[21] == 1 && memcmp(f + 38, t.b + 12, 4) == 0 && memcmp(f, dst, 6) == 0;
    }
    return found;
}

static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };

Test(neigh, arp_request_is_answered)
{
    uint8_t f[64];

    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "10.0.0.2", none, "10.0.0.1"));
    cr_assert_eq(n.n_frames, 1);
    const uint8_t *r = n.frame[0].b;
    cr_assert_eq(n.frame[0].len, 42);
    cr_assert(memcmp(r, PEER_MAC, 6) == 0 && memcmp(r + 6, n.ifc->mac, 6) == 0);
    cr_assert_eq(r[21], 2);
    cr_assert(memcmp(r + 22, n.ifc->mac, 6) == 0 && memcmp(r + 32, PEER_MAC, 6) == 0);
    const uint8_t spa[4] = { 10, 0, 0, 1 }, tpa[4] = { 10, 0, 0, 2 };
    cr_assert(memcmp(r + 28, spa, 4) == 0 && memcmp(r + 38, tpa, 4) == 0);
}

Test(neigh, arp_probe_is_answered_and_teaches_nothing)
{
    uint8_t f[64];
    struct ip_addr zero = net_ip("0.0.0.0");

    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "0.0.0.0", none, "10.0.0.1"));
    cr_assert_eq(n.n_frames, 1);
    cr_assert_null(neigh_lookup(n.w, n.ifc, &zero));
}

Test(neigh, arp_for_others_is_silent)
{
    uint8_t f[64];
    struct ip_addr other = net_ip("10.0.0.9");

    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "10.0.0.9", none, "10.0.0.3"));
    cr_assert_eq(n.n_frames, 0);
    cr_assert_null(neigh_lookup(n.w, n.ifc, &other), "RFC 826: only merged, not added");
}

Test(neigh, arp_malformed)
{
    uint8_t f[64], bad[64];
    static const uint8_t multicast[6] = { 1 };

    net_arp(f, 1, PEER_MAC, "10.0.0.2", none, "10.0.0.1");
    for (uint32_t len = 0; len < 42; len++) {
        uint64_t before = net_drops(&n);
        net_inject(&n, f, len);
        cr_assert_eq(net_drops(&n), before + 1, "length %u", len);
    }
    for (unsigned i = 14; i < 22; i++) { /* every field before the addresses, wrong */
        memcpy(bad, f, sizeof(bad));
        bad[i] ^= 0x40;
        net_inject(&n, bad, 42);
    }
    net_inject(&n, bad, net_arp(bad, 1, multicast, "10.0.0.2", none, "10.0.0.1"));
    net_inject(&n, bad, net_arp(bad, 1, PEER_MAC, "255.255.255.255", none, "10.0.0.1"));
    net_inject(&n, bad, net_arp(bad, 1, PEER_MAC, "127.0.0.1", none, "10.0.0.1"));
    net_inject(&n, bad, net_arp(bad, 1, PEER_MAC, "10.0.0.255", none, "10.0.0.1"));
    cr_assert_eq(n.n_frames, 0);
}

Test(neigh, resolution_queues_and_keeps_order)
{
    uint8_t f[64];

    for (unsigned i = 0; i < NEIGH_QUEUE + 8; i++)
        cr_assert_eq(net_send(&n, "10.0.0.5", 100, (uint8_t)i), 0);
    net_run_us(&n, 1000);
    cr_assert_eq(n.n_frames, 1, "one question for all");
    cr_assert_eq(count_arp_requests("10.0.0.5", all), 1);
    cr_assert_eq(n.w->ip->count.neigh[NEIGH_DROP_QUEUE_FULL], 8);
    net_forget(&n);
    net_inject(&n, f, net_arp(f, 2, PEER_MAC, "10.0.0.5", n.ifc->mac, "10.0.0.1"));
    cr_assert_eq(n.n_frames, NEIGH_QUEUE);
    for (unsigned i = 0; i < NEIGH_QUEUE; i++) {
        cr_assert(memcmp(n.frame[i].b, PEER_MAC, 6) == 0);
        cr_assert_eq(n.frame[i].b[34], i + 8, "the oldest went, the rest in order");
    }
}

Test(neigh, unanswered_fails_the_waiting)
{
    struct ip_addr ip = net_ip("10.0.0.5");

    net_send(&n, "10.0.0.5", 100, 1);
    net_send(&n, "10.0.0.5", 100, 2);
    net_run_us(&n, 2900000);
    cr_assert_eq(n.n_errors, 0);
    cr_assert_eq(count_arp_requests("10.0.0.5", all), 3);
    net_run_us(&n, 200000);
    cr_assert_eq(n.n_errors, 2);
    cr_assert_eq(n.last_err, -EHOSTUNREACH);
    cr_assert_eq(n.n_frames, 3);
    cr_assert_null(neigh_lookup(n.w, n.ifc, &ip));
}

Test(neigh, aging_and_probing)
{
    uint8_t f[64];
    struct ip_addr ip = net_ip("10.0.0.5");

    net_send(&n, "10.0.0.5", 10, 1);
    net_inject(&n, f, net_arp(f, 2, PEER_MAC, "10.0.0.5", n.ifc->mac, "10.0.0.1"));
    struct neigh *e = neigh_lookup(n.w, n.ifc, &ip);
    cr_assert_eq(e->state, NEIGH_REACHABLE);
    net_run_us(&n, 46000000);
    cr_assert_eq(e->state, NEIGH_STALE, "1.5 x 30 s at most");
    net_forget(&n);
    net_send(&n, "10.0.0.5", 10, 1);
    net_run_us(&n, 1000);
    cr_assert_eq(e->state, NEIGH_DELAY);
    cr_assert_eq(n.n_frames, 1, "sent at once, to the old address");
    net_run_us(&n, 5200000);
    cr_assert_eq(e->state, NEIGH_PROBE);
    cr_assert_eq(count_arp_requests("10.0.0.5", PEER_MAC), 1, "unicast probe");
    net_inject(&n, f, net_arp(f, 2, PEER_MAC, "10.0.0.5", n.ifc->mac, "10.0.0.1"));
    cr_assert_eq(e->state, NEIGH_REACHABLE);
    /* and again, now without an answer */
    net_run_us(&n, 46000000);
    net_forget(&n);
    net_send(&n, "10.0.0.5", 10, 1);
    net_run_us(&n, 8300000);
    cr_assert_eq(count_arp_requests("10.0.0.5", PEER_MAC), 3);
    cr_assert_null(neigh_lookup(n.w, n.ifc, &ip));
}

/* RFC 4861 s7.3.1: while a transport hears from behind a neighbour, nobody asks it. */
static void confirm_by_use(const char *text, unsigned (*asked)(void))
{
    struct ip_addr ip = net_ip(text);
    struct neigh *e = neigh_lookup(n.w, n.ifc, &ip);
    struct ip_route_cache way = { .neigh = e, .neigh_gen = e->gen };

    for (unsigned i = 0; i < 120; i++) {
        net_send(&n, text, 10, 1);
        net_run_us(&n, 1000000);
        ip_confirm_way(n.w, &way);
    }
    cr_assert_eq(e->state, NEIGH_REACHABLE);
    cr_assert_eq(asked(), 0);
    net_run_us(&n, 46000000);
    cr_assert_eq(e->state, NEIGH_STALE, "the last confirmation holds 45 s at most");
    ip_confirm_way(n.w, &way);
    cr_assert_eq(e->state, NEIGH_REACHABLE, "late, but one");
    net_run_us(&n, 46000000);
    net_forget(&n);
    net_send(&n, text, 10, 1);
    net_run_us(&n, 6300000);
    cr_assert_eq(e->state, NEIGH_PROBE);
    cr_assert_geq(asked(), 1, "without one it is asked");
    ip_confirm_way(n.w, &way);
    cr_assert_eq(e->state, NEIGH_REACHABLE);
    neigh_forget(n.w, n.ifc, &ip);
    ip_confirm_way(n.w, &way); /* of an entry that has gone: nothing */
    cr_assert_null(neigh_lookup(n.w, n.ifc, &ip));
}

static unsigned asked4(void) { return count_arp_requests("10.0.0.2", PEER_MAC); }
static unsigned asked6(void)
{
    unsigned found = 0;

    for (unsigned i = 0; i < n.n_frames; i++)
        found += n.frame[i].len > 54 && n.frame[i].b[20] == 58 && n.frame[i].b[54] == 135 && memcmp(n.frame[i].b, PEER_MAC, 6) == 0;
    return found;
}

Test(neigh, confirmed_by_use_v4)
{
    uint8_t f[64];

    net_send(&n, "10.0.0.2", 10, 1);
    net_inject(&n, f, net_arp(f, 2, PEER_MAC, "10.0.0.2", n.ifc->mac, "10.0.0.1"));
    net_forget(&n);
    confirm_by_use("10.0.0.2", asked4);
}

Test(neigh, confirmed_by_use_v6)
{
    struct ip_addr ip = net_ip("fd00::2");

    net_learn_peer(&n);
    neigh_answered(n.w, neigh_lookup(n.w, n.ifc, &ip), PEER_MAC);
    net_forget(&n);
    confirm_by_use("fd00::2", asked6);
}

Test(neigh, unused_is_collected)
{
    struct ip_addr ip = net_ip("10.0.0.2");

    net_learn_peer(&n);
    net_run_us(&n, NEIGH_GC_US + 1000000);
    cr_assert_null(neigh_lookup(n.w, n.ifc, &ip));
}

Test(neigh, scan_does_not_push_out_the_known)
{
    struct ip_addr known = net_ip("10.0.0.2");
    char ip[32];
    uint8_t f[64];

    net_learn_peer(&n);
    struct ip_prefix wide = { net_ip("10.0.0.0"), 8 };
    cr_assert_eq(route_add(n.s, 0, &wide, NULL, n.ifc), 0);
    for (unsigned i = 0; i < NEIGH_MAX_INCOMPLETE + 200; i++) {
        snprintf(ip, sizeof(ip), "10.1.%u.%u", i / 200, i % 200 + 1);
        net_send(&n, ip, 10, 0);
    }
    net_run_us(&n, 1000);
    cr_assert_eq(n.w->ip->count.neigh[NEIGH_DROP_TABLE_FULL], 200);
    cr_assert_not_null(neigh_lookup(n.w, n.ifc, &known));
    net_forget(&n);
    /* Stations that speak to us fill the table up to its end and no further. */
    for (unsigned i = 0; i < 2 * NEIGH_MAX; i++) {
        snprintf(ip, sizeof(ip), "10.2.%u.%u", i / 200, i % 200 + 1);
        net_inject(&n, f, net_arp(f, 1, PEER_MAC, ip, none, "10.0.0.1"));
        net_forget(&n);
    }
    net_run_us(&n, 5000000);
    cr_assert_eq(net_send(&n, "10.0.0.2", 10, 0), 0);
}

Test(neigh, conflict_is_defended_once_in_ten_seconds)
{
    uint8_t f[64];

    for (unsigned i = 0; i < 5; i++)
        net_inject(&n, f, net_arp(f, 1, PEER_MAC, "10.0.0.1", none, "10.0.0.1"));
    cr_assert_eq(n.n_frames, 1);
    cr_assert(memcmp(n.frame[0].b + 28, n.frame[0].b + 38, 4) == 0, "an announcement");
    net_run_us(&n, 10000000);
    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "10.0.0.1", none, "10.0.0.1"));
    cr_assert_eq(n.n_frames, 2);
    cr_assert_eq(n.w->ip->count.neigh[NEIGH_DROP_CONFLICT], 6);
}

Test(neigh, waiting_packets_are_bounded_in_all)
{
    char ip[32];

    for (unsigned i = 0; i < 40; i++) {
        snprintf(ip, sizeof(ip), "10.0.0.%u", i + 50);
        for (unsigned k = 0; k < 50; k++)
            net_send(&n, ip, 10, 0);
    }
    cr_assert_eq(n.w->ip->count.neigh[NEIGH_DROP_QUEUE_FULL], 40 * 50 - NEIGH_QUEUE_TOTAL);
    net_run_us(&n, 5000000);
    cr_assert_eq(n.w->ip->count.neigh[NEIGH_DROP_UNREACHABLE], NEIGH_QUEUE_TOTAL);
    cr_assert_eq(n.n_errors, NEIGH_QUEUE_TOTAL, "every waiting packet's sender was told");
}

/* ---------------------------------------------------------------- ND */

static uint32_t ns(uint8_t *f, const char *src, const char *dst, const char *target, bool with_mac)
{
    uint8_t m[64], body[24] = { 0 };
    struct ip_addr t = net_ip(target);

    memcpy(body, t.b, 16);
    body[16] = body[17] = 1;
    memcpy(body + 18, PEER_MAC, 6);
    uint32_t len = net_icmp6(m, src, dst, 135, 0, 0, body, with_mac ? 24 : 16);
    return net_ip6(f, src, dst, 58, m, len);
}

static uint32_t na(uint8_t *f, const char *src, const char *dst, const char *target, uint8_t flags)
{
    uint8_t m[64], body[24] = { 0 };
    struct ip_addr t = net_ip(target);

    memcpy(body, t.b, 16);
    body[16] = 2;
    body[17] = 1;
    memcpy(body + 18, PEER_MAC, 6);
    uint32_t len = net_icmp6(m, src, dst, 136, 0, (uint32_t)flags << 24, body, 24);
    return net_ip6(f, src, dst, 58, m, len);
}

Test(neigh, solicitation_is_answered)
{
    uint8_t f[128];

    net_inject(&n, f, ns(f, "fd00::2", "ff02::1:ff00:1", "fd00::1", true));
    cr_assert_eq(n.n_frames, 1);
    const uint8_t *r = n.frame[0].b;
    cr_assert_eq(n.frame[0].len, 14 + 40 + 32);
    cr_assert_eq(r[14 + 7], 255);
    cr_assert_eq(r[54], 136);
    cr_assert_eq(r[58], 0x60, "solicited, override");
    cr_assert(memcmp(r, PEER_MAC, 6) == 0 && memcmp(r + 80, n.ifc->mac, 6) == 0);
}

Test(neigh, nd_malformed)
{
    uint8_t f[128], bad[128];
    uint32_t len = ns(f, "fd00::2", "fd00::1", "fd00::1", true);

    for (uint32_t cut = 0; cut < len; cut++) {
        uint64_t before = net_drops(&n);
        net_inject(&n, f, cut);
        cr_assert_eq(net_drops(&n), before + 1, "length %u", cut);
    }
    memcpy(bad, f, len);
    bad[14 + 7] = 254; /* a router was between */
    net_inject(&n, bad, len);
    for (unsigned opt = 0; opt < 256; opt++) { /* option length 0, and beyond the end */
        uint8_t m[64], body[24] = { 0 };
        struct ip_addr t = net_ip("fd00::1");
        if (opt == 1)
            continue;
        memcpy(body, t.b, 16);
        body[16] = 1;
        body[17] = (uint8_t)opt;
        uint32_t k = net_icmp6(m, "fd00::2", "fd00::1", 135, 0, 0, body, 24);
        net_inject(&n, bad, net_ip6(bad, "fd00::2", "fd00::1", 58, m, k));
    }
    net_inject(&n, bad, ns(bad, "fd00::2", "fd00::1", "ff02::1", true));
    net_inject(&n, bad, ns(bad, "::", "ff02::1:ff00:1", "fd00::1", true)); /* DAD with a link-layer address */
    cr_assert_eq(n.n_frames, 0);
}

Test(neigh, v6_resolution)
{
    uint8_t f[128];

    net_send(&n, "fd00::77", 100, 9);
    net_run_us(&n, 1000);
    cr_assert_eq(n.n_frames, 1);
    const uint8_t group[6] = { 0x33, 0x33, 0xff, 0, 0, 0x77 };
    cr_assert(memcmp(n.frame[0].b, group, 6) == 0 && n.frame[0].b[54] == 135);
    net_forget(&n);
    net_inject(&n, f, na(f, "fd00::77", "fd00::1", "fd00::77", 0x60));
    cr_assert_eq(n.n_frames, 1);
    cr_assert_eq(n.frame[0].b[54], 9);
    /* s7.2.5: another address without override makes it stale and is not taken */
    struct ip_addr ip = net_ip("fd00::77");
    struct neigh *e = neigh_lookup(n.w, n.ifc, &ip);
    memcpy(e->mac, "\2\0\0\0\0\1", 6);
    net_inject(&n, f, na(f, "fd00::77", "fd00::1", "fd00::77", 0));
    cr_assert_eq(e->state, NEIGH_STALE);
    cr_assert_eq(e->mac[5], 1);
    net_inject(&n, f, na(f, "fd00::77", "fd00::1", "fd00::77", 0x20));
    cr_assert_eq(e->mac[5], 0x99);
    net_forget(&n);
    net_send(&n, "fd00::88", 100, 9);
    net_run_us(&n, 3100000);
    cr_assert_eq(n.n_errors, 1);
    cr_assert_eq(n.last_err, -EHOSTUNREACH);
}

static void open_dad(void) { net_open(&n, 0); }
TestSuite(dad, .init = open_dad, .fini = shut);

static struct interface_addr *addr_of(const char *text)
{
    struct ip_addr a = net_ip(text);

    return interface_find_addr(n.ifc, &a);
}

Test(dad, probes_then_uses)
{
    unsigned probes = 0, adverts = 0, announcements = 0, probes4 = 0, reports = 0;

    net_run_us(&n, 250000);
    cr_assert_eq(addr_of("10.0.0.1")->state, INTERFACE_ADDR_TENTATIVE);
    net_run_us(&n, 650000);
    cr_assert_eq(addr_of("10.0.0.1")->state, INTERFACE_ADDR_PREFERRED);
    cr_assert_eq(addr_of("fd00::1")->state, INTERFACE_ADDR_TENTATIVE);
    net_run_us(&n, 3000000);
    cr_assert_eq(addr_of("fd00::1")->state, INTERFACE_ADDR_PREFERRED);
    for (unsigned i = 0; i < n.n_frames; i++) {
        const uint8_t *f = n.frame[i].b;
        if (f[12] == 0x86) {
            static const uint8_t unspecified[16];
            bool probe = f[54] == 135;
            if (f[20] == 0) { /* MLD, behind a hop-by-hop header: the solicited-node groups */
                reports += f[62] == 143;
                continue;
            }
            cr_assert_eq(memcmp(f + 22, unspecified, 16) == 0, probe);
            probes += probe;
            adverts += f[54] == 136;
        } else {
            static const uint8_t zero[4];
            bool probe = memcmp(f + 28, zero, 4) == 0;
            cr_assert(probe || memcmp(f + 28, f + 38, 4) == 0);
            cr_assert(!probe || announcements == 0, "probes come first");
            probes4 += probe;
            announcements += !probe;
        }
    }
    cr_assert_eq(reports, 2, "RFC 3810 s9.1: twice");
    cr_assert_eq(probes4, 3, "RFC 5227 s1.1 PROBE_NUM");
    cr_assert_eq(probes, 2, "fd00::1 and the link-local one");
    cr_assert_eq(adverts, 2);
    cr_assert_eq(announcements, 2);
}

Test(dad, v4_fails_on_anothers_arp)
{
    uint8_t f[64];

    net_run_us(&n, 150000);
    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "10.0.0.1", none, "10.0.0.9")); /* any ARP that it sends from our address */
    cr_assert_eq(addr_of("10.0.0.1")->state, INTERFACE_ADDR_DUPLICATE);
    net_run_us(&n, 3000000);
    net_forget(&n);
    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "10.0.0.2", none, "10.0.0.1"));
    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "10.0.0.1", none, "10.0.0.1"));
    cr_assert_eq(n.n_frames, 0, "neither answered nor defended: it is not ours");
    cr_assert_eq(net_send(&n, "10.0.0.2", 10, 0), -EADDRNOTAVAIL);
}

Test(dad, v4_fails_on_anothers_probe)
{
    uint8_t f[64];

    net_run_us(&n, 150000);
    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "0.0.0.0", none, "10.0.0.1"));
    net_run_us(&n, 3000000);
    cr_assert_eq(addr_of("10.0.0.1")->state, INTERFACE_ADDR_DUPLICATE);
}

Test(dad, v4_tentative_is_not_answered)
{
    uint8_t f[64];

    net_run_us(&n, 150000);
    net_forget(&n);
    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "10.0.0.2", none, "10.0.0.1"));
    cr_assert_eq(n.n_frames, 0);
    net_run_us(&n, 3000000);
    cr_assert_eq(addr_of("10.0.0.1")->state, INTERFACE_ADDR_PREFERRED);
    net_inject(&n, f, net_arp(f, 1, PEER_MAC, "0.0.0.0", none, "10.0.0.1"));
    cr_assert_gt(n.n_frames, 0, "who probes for it afterwards hears of us");
}

Test(dad, fails_on_an_advertisement)
{
    uint8_t f[128];

    net_run_us(&n, 1000);
    net_inject(&n, f, na(f, "fd00::1", "ff02::1", "fd00::1", 0x20));
    net_run_us(&n, 3000000);
    cr_assert_eq(addr_of("fd00::1")->state, INTERFACE_ADDR_DUPLICATE);
    net_forget(&n);
    net_inject(&n, f, ns(f, "fd00::2", "ff02::1:ff00:1", "fd00::1", true));
    cr_assert_eq(n.n_frames, 0, "not ours any more");
}

Test(dad, fails_on_anothers_probe)
{
    uint8_t f[128];

    net_run_us(&n, 1000);
    net_inject(&n, f, ns(f, "::", "ff02::1:ff00:1", "fd00::1", false));
    net_run_us(&n, 3000000);
    cr_assert_eq(addr_of("fd00::1")->state, INTERFACE_ADDR_DUPLICATE);
}

Test(dad, tentative_is_not_answered)
{
    uint8_t f[128];

    net_run_us(&n, 1000);
    net_forget(&n);
    net_inject(&n, f, ns(f, "fd00::2", "ff02::1:ff00:1", "fd00::1", true));
    cr_assert_eq(n.n_frames, 0);
    net_run_us(&n, 3000000);
    cr_assert_eq(addr_of("fd00::1")->state, INTERFACE_ADDR_PREFERRED);
}
