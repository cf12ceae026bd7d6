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
