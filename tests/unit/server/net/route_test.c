/* route_test.c - longest prefix match against a naive model; what configuration may and may not say; source selection */
#include <errno.h>
#include <stdlib.h>

#include "tests/unit/server/net/net_test.h"

static struct net n;
static void open_net(void) { net_open(&n, INTERFACE_ADDR_NO_DAD); }
static void shut(void) { net_close(&n); }
TestSuite(route, .init = open_net, .fini = shut);

enum { N_ROUTES = 1500, N_LOOKUPS = 20000 };

static struct ip_addr random_addr(bool v4)
{
    struct ip_addr a;
    uint64_t r[2] = { sim_net_random(n.sim), sim_net_random(n.sim) };

    memcpy(a.b, r, 16);
    if (v4)
        return ip_addr_v4((be32){ a.w[3].raw & 0xff0f03ffu });
    a.b[0] = 0x20;
    a.b[1] &= 3; /* few bits, so that prefixes nest */
    a.b[2] &= 3;
    return a;
}

Test(route, longest_prefix_against_a_model)
{
    static struct ip_prefix model[N_ROUTES];
    static struct ip_addr gw[N_ROUTES];
    unsigned k = 0;

    for (unsigned i = 0; i < N_ROUTES; i++) {
        bool v4 = i % 2;
        struct ip_prefix p = { random_addr(v4), (uint8_t)(sim_net_random(n.sim) % (v4 ? 33 : 129)) };
        if (ip_addr_is_multicast(&p.ip))
            continue;
        gw[k] = net_ip(v4 ? "10.0.0.7" : "fd00::7");
        gw[k].b[15] = (uint8_t)(2 + k % 250);
        gw[k].b[14] = v4 ? 0 : (uint8_t)(k / 250);
        model[k] = p;
        int ret = route_add(n.s, 0, &p, &gw[k], n.ifc);
        cr_assert(ret == 0 || ret == -EEXIST, "%d", ret);
        k += ret == 0;
    }
    cr_assert(k > 500);
    for (unsigned i = 0; i < N_LOOKUPS; i++) {
        struct ip_addr dst = random_addr(i % 2);
        int best = -1;
        for (unsigned r = 0; r < k; r++) {
            if (ip_prefix_contains(&model[r], &dst) && (best < 0 || model[r].len > model[best].len))
                best = (int)r;
        }
        const struct route *got = route_lookup(n.s->routes, 0, &dst);
        if (best < 0)
            cr_assert(!got || got->kind == ROUTE_CONNECTED);
        else if (got->kind != ROUTE_CONNECTED)
            cr_assert(got && ip_addr_eq(&got->gateway, &gw[best]), "lookup %u", i);
    }
}

Test(route, what_is_refused)
{
    struct ip_prefix p;
    struct ip_addr gw4 = net_ip("10.0.0.254"), gw6 = net_ip("fd00::fe"), far = net_ip("172.16.0.1"), own = net_ip("10.0.0.1");

    cr_assert_eq(ip_prefix_parse("192.168.0.0/16", &p), 0);
    cr_assert_eq(route_add(n.s, 0, &p, NULL, NULL), -EINVAL);
    cr_assert_eq(route_add(n.s, 0, &p, &gw6, NULL), -EINVAL);
    cr_assert_eq(route_add(n.s, 0, &p, &far, NULL), -ENETUNREACH);
    cr_assert_eq(route_add(n.s, 0, &p, &own, NULL), -EINVAL);
    cr_assert_eq(route_add(n.s, ROUTE_MAX_FIBS, &p, &gw4, NULL), -EINVAL);
    uint32_t gen = route_generation(n.s->routes);
    cr_assert_eq(route_add(n.s, 0, &p, &gw4, NULL), 0);
    cr_assert_neq(route_generation(n.s->routes), gen);
    cr_assert_eq(route_add(n.s, 0, &p, &gw4, NULL), -EEXIST);
    struct ip_addr in = net_ip("192.168.3.4");
    cr_assert_eq(route_lookup(n.s->routes, 0, &in)->ifc, n.ifc);
    cr_assert_null(route_lookup(n.s->routes, 1, &in), "tables are apart");
}

Test(route, addresses_that_are_refused)
{
    static const struct { const char *text; int err; } rows[] = {
        { "10.0.1.0/24", -EINVAL }, { "10.0.1.255/24", -EINVAL }, { "224.0.0.1/32", -EINVAL }, { "0.0.0.0/0", -EINVAL },
        { "127.0.0.2/8", -EINVAL }, { "10.0.0.1/24", -EEXIST },   { "::1/128", -EINVAL },      { "ff02::5/16", -EINVAL },
        { "10.0.3.0/31", 0 },       { "10.0.3.9/32", 0 },         { "fd00::1/64", -EEXIST },   { "fd00:5::9/128", 0 },
    };

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        struct ip_prefix p;
        cr_assert_eq(ip_prefix_parse(rows[i].text, &p), 0);
        int ret = interface_add_address(n.ifc, &p, INTERFACE_ADDR_NO_DAD);
        cr_assert_eq(ret, rows[i].err, "%s: %d", rows[i].text, ret);
    }
}

Test(route, source_is_chosen_by_destination)
{
    static const struct { const char *dst, *src; } rows[] = {
        { "10.0.0.9", "10.0.0.1" }, { "10.7.0.9", "10.7.0.1" }, { "fd00::9", "fd00::1" }, { "fd07::9", "fd07::1" },
    };
    struct ip_prefix p;
    struct ip_path path;

    cr_assert_eq(ip_prefix_parse("10.7.0.1/16", &p), 0);
    cr_assert_eq(interface_add_address(n.ifc, &p, INTERFACE_ADDR_NO_DAD), 0);
    cr_assert_eq(ip_prefix_parse("fd07::1/64", &p), 0);
    cr_assert_eq(interface_add_address(n.ifc, &p, INTERFACE_ADDR_NO_DAD), 0);
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        struct ip_addr dst = net_ip(rows[i].dst), want = net_ip(rows[i].src);
        cr_assert_eq(ip_path_lookup(n.w, 0, &dst, &path), 0);
        cr_assert(ip_addr_eq(&path.src, &want), "%s", rows[i].dst);
        cr_assert_eq(path.mtu, 1500);
    }
    struct ip_addr ll = net_ip("fe80::9");
    cr_assert_eq(ip_path_lookup(n.w, 0, &ll, &path), 0);
    cr_assert(ip_addr_is_link_local(&path.src), "RFC 6724 rule 2");
    struct ip_addr own = net_ip("10.0.0.1");
    cr_assert_eq(ip_path_lookup(n.w, 0, &own, &path), 0);
    cr_assert(path.is_local && path.tso_max > 60000);
}

Test(route, sources_by_the_rules_of_rfc_6724)
{
    static const char *const own[] = { "2001:db8:1::1/64", "2002:c633:6401::1/48", "fec0::1/64", "2001:db8:ffff::1/48" };
    static const struct { const char *dst, *src; } rows[] = {
        { "2001:db8:1::1", "2001:db8:1::1" },         /* rule 1 */
        { "2001:db8:1::9", "2001:db8:1::1" },         /* rule 8 */
        { "2001:db8:ffff:7::9", "2001:db8:ffff::1" },
        { "2606:4700::1", "2001:db8:1::1" },          /* rule 6: neither 6to4, whose label differs, nor ULA */
        { "2002:c633:9999::1", "2002:c633:6401::1" }, /* rule 6 against rule 8 */
        { "fd99::1", "fd00::1" },
        { "fec0:0:0:9::1", "fec0::1" },               /* rule 2: the smallest scope that is large enough */
        { "ff05::1", "fec0::1" },
        { "ff0e::1", "2001:db8:1::1" },
    };
    struct ip_prefix p;

    for (unsigned i = 0; i < HS_ARRAY_LEN(own); i++) {
        cr_assert_eq(ip_prefix_parse(own[i], &p), 0);
        cr_assert_eq(interface_add_address(n.ifc, &p, INTERFACE_ADDR_NO_DAD), 0);
    }
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        struct ip_addr dst = net_ip(rows[i].dst), want = net_ip(rows[i].src);
        const struct ip_addr *src = interface_select_source(n.ifc, &dst, &dst);
        char text[IP_ADDR_TEXT_MAX];
        cr_assert(src && ip_addr_eq(src, &want), "%s: %s", rows[i].dst, src ? ip_addr_format(src, text) : "none");
    }
    struct ip_addr dst = net_ip("2001:db8:1::9"), want = net_ip("2001:db8:ffff::1"), old = net_ip("2001:db8:1::1");
    interface_find_addr(n.ifc, &old)->flags |= INTERFACE_ADDR_DEPRECATED; /* rule 3 */
    cr_assert(ip_addr_eq(interface_select_source(n.ifc, &dst, &dst), &want));
}

Test(route, sources_by_next_hop_and_temporary_ones)
{
    static const char *const own[] = { "2001:db8:1::1/64", "2001:db8:2::1/64", "2001:db8:2::2/64" };
    struct interface_addr *a[3];
    struct ip_prefix p;

    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(ip_prefix_parse(own[i], &p), 0);
        cr_assert_eq(interface_add_address(n.ifc, &p, INTERFACE_ADDR_NO_DAD), 0);
        a[i] = interface_find_addr(n.ifc, &p.ip);
    }
    struct ip_addr r1 = net_ip("fe80::1"), r2 = net_ip("fe80::2"), r3 = net_ip("fe80::3"), near1 = net_ip("2001:db8:1::9"), far = net_ip("2600::1");
    a[0]->told_by[0] = r1;
    a[1]->told_by[0] = r2;
    a[1]->told_by[1] = r3;
    cr_assert(ip_addr_eq(interface_select_source(n.ifc, &far, &r1), &a[0]->ip), "rule 5.5");
    cr_assert(ip_addr_eq(interface_select_source(n.ifc, &far, &r3), &a[1]->ip), "rule 5.5, the second router");
    cr_assert(ip_addr_eq(interface_select_source(n.ifc, &near1, &r2), &a[1]->ip), "rule 5.5 before rule 8");
    cr_assert(ip_addr_eq(interface_select_source(n.ifc, &near1, &near1), &a[0]->ip), "on the link: rule 8");
    a[1]->flags |= INTERFACE_ADDR_DEPRECATED;
    cr_assert_not(ip_addr_eq(interface_select_source(n.ifc, &far, &r3), &a[1]->ip), "rule 3 before rule 5.5");
    a[1]->flags &= (uint8_t)~INTERFACE_ADDR_DEPRECATED;
    a[2]->flags |= INTERFACE_ADDR_TEMPORARY;
    cr_assert(ip_addr_eq(interface_select_source(n.ifc, &near1, &near1), &a[2]->ip), "rule 7 before rule 8");
    struct ip_addr ula = net_ip("fd99::1"), of_ula = net_ip("fd00::1");
    cr_assert(ip_addr_eq(interface_select_source(n.ifc, &ula, &ula), &of_ula), "rule 6 before rule 7");
}

/* ---------------------------------------------------------------- several next hops */

static struct route *add_hops(const char *prefix, const char *const *via, unsigned k)
{
    struct ip_prefix p;

    cr_assert_eq(ip_prefix_parse(prefix, &p), 0);
    for (unsigned i = 0; i < k; i++) {
        struct ip_addr gw = net_ip(via[i]);
        cr_assert_eq((i == 0 ? route_add : route_add_hop)(n.s, 0, &p, &gw, NULL), 0);
    }
    return (struct route *)route_lookup(n.s->routes, 0, &p.ip);
}

static unsigned share(const struct route *r, const char *via, uint64_t now)
{
    struct ip_addr gw = net_ip(via);
    const struct route *ask;
    unsigned found = 0;

    for (unsigned i = 0; i < 3000; i++)
        found += ip_addr_eq(&route_choose(r, i * (UINT32_MAX / 3000), now, &ask)->gateway, &gw);
    return found;
}

Test(route, flows_are_spread_over_the_hops_that_live)
{
    static const char *const via[2][3] = { { "10.0.0.5", "10.0.0.6", "10.0.0.7" }, { "fd00::5", "fd00::6", "fd00::7" } };
    static const char *const prefix[2] = { "10.9.0.0/16", "fd09::/32" };
    const struct route *ask;

    for (unsigned f = 0; f < 2; f++) {
        struct route *r = add_hops(prefix[f], via[f], 3);
        struct ip_addr dead = net_ip(via[f][1]), other = net_ip(via[f][0]);
        uint32_t gen = route_generation(n.s->routes);
        for (unsigned i = 0; i < 3; i++)
            cr_expect(share(r, via[f][i], 0) > 900 && share(r, via[f][i], 0) < 1100, "%u", share(r, via[f][i], 0));
        route_gateway_failed(n.s->routes, n.ifc, &dead, 1000);
        cr_expect_neq(route_generation(n.s->routes), gen); /* connections choose again */
        cr_expect_eq(share(r, via[f][1], 2000), 0);
        cr_expect_gt(share(r, via[f][0], 2000), 1400);
        route_choose(r, 0, 2000, &ask);
        cr_expect_null(ask);
        route_choose(r, 0, 1000 + ROUTE_RETRY_US, &ask); /* asked again, by one, once */
        cr_assert_not_null(ask);
        cr_expect(ip_addr_eq(&ask->gateway, &dead));
        route_choose(r, 0, 1001 + ROUTE_RETRY_US, &ask);
        cr_expect_null(ask);
        route_gateway_works(n.s->routes, n.ifc, &other);
        cr_expect_eq(share(r, via[f][1], 2000), 0);
        route_gateway_works(n.s->routes, n.ifc, &dead);
        cr_expect_gt(share(r, via[f][1], 2000), 900);
        for (unsigned i = 0; i < 3; i++) { /* all of them: as good as each other */
            struct ip_addr gw = net_ip(via[f][i]);
            route_gateway_failed(n.s->routes, n.ifc, &gw, 1000);
        }
        cr_expect_gt(share(r, via[f][1], 2000), 900);
    }
}

/* What is true of every packet to an address may be remembered, and nothing else. */
Test(route, a_path_tells_its_way_when_there_is_one)
{
    static const char *const via[2][2] = { { "10.0.0.2", "10.0.0.3" }, { "fd00::2", "fd00::3" } };
    static const struct { const char *dst; bool by_device, has_way; } rows[] = {
        { "10.0.0.9", false, true },  { "10.0.0.9", true, false },   { "10.0.0.1", false, false },        { "10.8.0.1", false, true },
        { "10.9.0.1", false, false }, { "224.0.0.9", false, false }, { "255.255.255.255", false, false }, { "fd00::9", false, true },
        { "fd00::9", true, false },   { "fd00::1", false, false },   { "fd08::1", false, true },          { "fd09::1", false, false },
        { "fe80::9", false, false },  { "ff02::9", false, false },
    };

    add_hops("10.8.0.0/16", via[0], 1);
    add_hops("10.9.0.0/16", via[0], 2);
    add_hops("fd08::/16", via[1], 1);
    add_hops("fd09::/16", via[1], 2);
    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++) {
        struct ip_addr dst = net_ip(rows[i].dst);
        struct ip_path path;

        cr_assert_eq(ip_path_lookup_by(n.w, 0, rows[i].by_device ? interface_dev(n.ifc) : 0, &dst, &path), 0, "%s", rows[i].dst);
        cr_assert_eq(path.way.next_hop != NULL, rows[i].has_way, "%s", rows[i].dst);
        if (rows[i].has_way) {
            cr_assert_eq(path.way.next_hop, route_lookup(n.s->routes, 0, &dst));
            cr_assert_eq(path.way.generation, route_generation(n.s->routes));
        }
    }
}

/* One packet of who is bound to the interface. */
static int send_by_device(const char *dst, struct ip_route_cache *cache)
{
    struct ip_tx tx = { .dst = net_ip(dst), .ip_proto = NET_PROTO, .dev = interface_dev(n.ifc), .cache = cache };
    struct pkt *p = pkt_alloc(n.w->pools, 10);

    tx.src = net_ip(ip_addr_is_v4(&tx.dst) ? "10.0.0.1" : "fd00::1");
    memset(pkt_append(p, 10), 1, 10);
    net_forget(&n);
    int ret = ip_output(n.w, p, &tx);
    net_run_us(&n, 1000);
    return ret;
}

/* How many packets of the test's protocol went out, and all of them to mac. */
static unsigned sent_to(const uint8_t mac[6])
{
    unsigned found = 0;

    for (unsigned i = 0; i < n.n_frames; i++) {
        const uint8_t *b = n.frame[i].b;

        if (b[12] == 0x08 && b[13] == 0 ? b[23] == NET_PROTO : b[12] == 0x86 && b[20] == NET_PROTO) {
            cr_assert_arr_eq(b, mac, 6);
            found++;
        }
    }
    return found;
}

/* By a device, IPv4 goes without a route, too: to a neighbour that is not the last route's gateway. */
Test(route, a_neighbour_is_forgotten_with_its_route)
{
    static const char *const texts[2][3] = { { "10.8.0.0/16", "10.0.0.2", "10.8.0.1" }, { "fd08::/32", "fd00::2", "fd08::1" } };
    static const uint8_t other[6] = { 2, 0, 0, 0, 0, 9 };

    net_learn_peer(&n);
    for (unsigned f = 0; f < 2; f++) {
        struct ip_addr dst = net_ip(texts[f][2]);
        struct ip_route_cache cache = { 0 };
        struct ip_prefix p;

        add_hops(texts[f][0], &texts[f][1], 1);
        cr_assert_eq(neigh_set_permanent(n.w, n.ifc, &dst, other), 0);
        cr_assert_eq(send_by_device(texts[f][2], &cache), 0);
        cr_assert_eq(sent_to(PEER_MAC), 1);
        cr_assert_eq(ip_prefix_parse(texts[f][0], &p), 0);
        cr_assert_eq(route_del(n.s->routes, 0, &p, ROUTE_STATIC), 0);
        for (unsigned i = 0; i < 2; i++) {
            cr_assert_eq(send_by_device(texts[f][2], &cache), f == 0 ? 0 : -ENETUNREACH);
            cr_assert_eq(sent_to(other), f == 0);
        }
    }
}

Test(route, hops_that_cannot_be)
{
    static const char *const via[1] = { "10.0.0.5" };
    struct ip_prefix p = { net_ip("10.9.0.0"), 16 }, none = { net_ip("10.8.0.0"), 16 }, connected = { net_ip("10.0.0.0"), 24 };
    struct ip_addr gw = net_ip("10.0.0.5"), six = net_ip("fd00::5"), far = net_ip("192.0.2.1");

    add_hops("10.9.0.0/16", via, 1);
    cr_expect_eq(route_add_hop(n.s, 0, &p, &gw, NULL), -EEXIST);
    cr_expect_eq(route_add_hop(n.s, 0, &p, &six, NULL), -EINVAL);
    cr_expect_eq(route_add_hop(n.s, 0, &p, &far, NULL), -ENETUNREACH);
    cr_expect_eq(route_add_hop(n.s, 0, &none, &gw, NULL), -ENOENT);
    cr_expect_eq(route_add_hop(n.s, 0, &connected, &gw, NULL), -ENOENT);
    for (unsigned i = 1; i < ROUTE_MAX_HOPS; i++) {
        gw.b[15]++;
        cr_expect_eq(route_add_hop(n.s, 0, &p, &gw, NULL), 0);
    }
    gw.b[15]++;
    cr_expect_eq(route_add_hop(n.s, 0, &p, &gw, NULL), -ENOSPC);
    gw = net_ip("10.0.0.6");
    route_gateway_failed(n.s->routes, n.ifc, &gw, 0);
    cr_expect_eq(route_del(n.s->routes, 0, &p, ROUTE_STATIC), 0); /* with all of its hops, a dead one among them */
    cr_expect_null(route_lookup(n.s->routes, 0, &p.ip));
    route_gateway_works(n.s->routes, n.ifc, &gw);
}

static unsigned requests_for(const char *ip)
{
    struct ip_addr a = net_ip(ip);
    unsigned found = 0;

    for (unsigned i = 0; i < n.n_frames; i++)
        found += n.frame[i].len >= 42 && n.frame[i].b[12] == 8 && n.frame[i].b[13] == 6 && memcmp(n.frame[i].b + 38, a.b + 12, 4) == 0;
    return found;
}

static unsigned frames_to(const uint8_t mac[6])
{
    unsigned found = 0;

    for (unsigned i = 0; i < n.n_frames; i++)
        found += memcmp(n.frame[i].b, mac, 6) == 0;
    return found;
}

Test(route, a_gateway_that_does_not_answer_is_left)
{
    static const char *const via[2] = { "10.0.0.2", "10.0.0.9" }; /* the station of the test, and nobody */
    uint8_t f[64];

    struct ip_addr peer = net_ip("10.0.0.2");
    add_hops("10.9.0.0/16", via, 2);
    cr_assert_eq(neigh_set_permanent(n.w, n.ifc, &peer, PEER_MAC), 0); /* the test answers no probes */
    for (unsigned i = 0; i < 200; i++) { /* each its own flow */
        char dst[16];
        snprintf(dst, sizeof(dst), "10.9.0.%u", i + 1);
        net_send(&n, dst, 20, 0);
    }
    net_run_us(&n, 5000000);
    cr_assert_gt(requests_for("10.0.0.9"), 0);
    net_forget(&n);
    for (unsigned i = 0; i < 200; i++) {
        char dst[16];
        snprintf(dst, sizeof(dst), "10.9.1.%u", i + 1);
        net_send(&n, dst, 20, 0);
    }
    net_run_us(&n, 10000);
    cr_expect_eq(frames_to(PEER_MAC), 200, "%u", frames_to(PEER_MAC)); /* all by the one that lives */
    net_run_us(&n, ROUTE_RETRY_US);
    net_forget(&n);
    net_send(&n, "10.9.1.1", 20, 0);
    net_run_us(&n, 10000);
    cr_expect_eq(requests_for("10.0.0.9"), 1);
    static const uint8_t mac9[6] = { 2, 0, 0, 0, 0, 9 };
    net_inject(&n, f, net_arp(f, 2, mac9, "10.0.0.9", n.ifc->mac, "10.0.0.1"));
    net_run_us(&n, 10000);
    net_forget(&n);
    for (unsigned i = 0; i < 200; i++) {
        char dst[16];
        snprintf(dst, sizeof(dst), "10.9.2.%u", i + 1);
        net_send(&n, dst, 20, 0);
    }
    net_run_us(&n, 10000);
    unsigned by9 = frames_to(mac9);
    cr_expect_eq(by9 + frames_to(PEER_MAC), 200);
    cr_expect(by9 > 50 && by9 < 150, "%u", by9);
}
