/* ip_addr_test.c - the address type: text forms, classes, prefixes, sockaddr conversion */
#include "common/ip_addr.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>

static struct ip_addr addr(const char *text)
{
    struct ip_addr a;

    cr_assert_eq(ip_addr_parse(text, &a), 0, "%s", text);
    return a;
}

static bool in_prefix(const char *prefix, const char *text)
{
    struct ip_prefix p;
    struct ip_addr a = addr(text);

    cr_assert_eq(ip_prefix_parse(prefix, &p), 0, "%s", prefix);
    return ip_prefix_contains(&p, &a);
}

Test(ip_addr, text_round_trip)
{
    const char *good[] = { "0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "::1", "fd00::1", "fe80::1:2:3:4" };
    char buf[IP_ADDR_TEXT_MAX];

    for (unsigned i = 0; i < HS_ARRAY_LEN(good); i++) {
        struct ip_addr a = addr(good[i]);
        cr_assert_str_eq(ip_addr_format(&a, buf), good[i]);
    }
    struct ip_addr a;
    const char *bad[] = { "", "1.2.3", "1.2.3.256", "g::", "1.2.3.4/8", " 1.2.3.4" };
    for (unsigned i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_eq(ip_addr_parse(bad[i], &a), -EINVAL, "%s", bad[i]);
}

Test(ip_addr, mapped_is_the_ipv4_address)
{
    struct ip_addr a = addr("::ffff:10.0.0.1"), b = addr("10.0.0.1");

    cr_assert(ip_addr_eq(&a, &b));
    cr_assert(ip_addr_is_v4(&a));
}

Test(ip_addr, classes)
{
    struct ip_addr a;

    cr_assert((a = addr("127.9.9.9"), ip_addr_is_loopback(&a)));
    cr_assert((a = addr("::1"), ip_addr_is_loopback(&a)));
    cr_assert_not((a = addr("128.0.0.1"), ip_addr_is_loopback(&a)));
    cr_assert_not((a = addr("::2"), ip_addr_is_loopback(&a)));
    cr_assert((a = addr("224.0.0.1"), ip_addr_is_multicast(&a)));
    cr_assert((a = addr("239.255.255.255"), ip_addr_is_multicast(&a)));
    cr_assert_not((a = addr("240.0.0.1"), ip_addr_is_multicast(&a)));
    cr_assert((a = addr("ff02::1"), ip_addr_is_multicast(&a)));
    cr_assert((a = addr("255.255.255.255"), ip_addr_is_broadcast(&a)));
    cr_assert((a = addr("169.254.1.1"), ip_addr_is_link_local(&a)));
    cr_assert((a = addr("febf::1"), ip_addr_is_link_local(&a)));
    cr_assert_not((a = addr("fec0::1"), ip_addr_is_link_local(&a)));
    cr_assert((a = addr("0.0.0.0"), ip_addr_is_any(&a)));
    cr_assert((a = addr("::"), ip_addr_is_any(&a)));
    cr_assert_not((a = addr("::1"), ip_addr_is_any(&a)));
    a = ip_addr_any(true);
    cr_assert(ip_addr_is_v4(&a) && ip_addr_is_any(&a));
    a = ip_addr_any(false);
    cr_assert(!ip_addr_is_v4(&a) && ip_addr_is_any(&a));
}

Test(ip_addr, prefixes)
{
    struct ip_prefix p;

    cr_assert(in_prefix("10.0.0.0/8", "10.255.0.1"));
    cr_assert_not(in_prefix("10.0.0.0/8", "11.0.0.1"));
    cr_assert(in_prefix("10.0.0.128/25", "10.0.0.200"));
    cr_assert_not(in_prefix("10.0.0.128/25", "10.0.0.127"));
    cr_assert(in_prefix("0.0.0.0/0", "1.2.3.4"));
    cr_assert_not(in_prefix("0.0.0.0/0", "fd00::1"), "another family");
    cr_assert_not(in_prefix("::/0", "1.2.3.4"), "another family");
    cr_assert(in_prefix("fd00::/7", "fc00::1"));
    cr_assert(in_prefix("fd00::1", "fd00::1"));
    cr_assert_not(in_prefix("fd00::1", "fd00::2"));
    cr_assert_eq(ip_prefix_parse("1.2.3.4", &p), 0);
    cr_assert_eq(p.len, 32);
    const char *bad[] = { "1.2.3.4/33", "::/129", "1.2.3.4/", "1.2.3.4/-1", "1.2.3.4/8x", "/8", "" };
    for (unsigned i = 0; i < HS_ARRAY_LEN(bad); i++)
        cr_assert_eq(ip_prefix_parse(bad[i], &p), -EINVAL, "%s", bad[i]);
}

Test(ip_addr, endpoint_text)
{
    char buf[IP_ENDPOINT_TEXT_MAX];
    struct ip_endpoint e = { .ip = addr("1.2.3.4"), .port = be16_of(80) };

    cr_assert_str_eq(ip_endpoint_format(&e, buf), "1.2.3.4:80");
    e.ip = addr("fd00::1");
    cr_assert_str_eq(ip_endpoint_format(&e, buf), "[fd00::1]:80");
}

Test(ip_addr, sockaddr)
{
    struct ip_endpoint e = { .ip = addr("1.2.3.4"), .port = be16_of(80) }, back;
    struct sockaddr_storage ss;
    struct sockaddr *sa = (struct sockaddr *)&ss;

    cr_assert_eq(ip_endpoint_to_sockaddr(&e, false, &ss), sizeof(struct sockaddr_in));
    cr_assert_eq(ss.ss_family, AF_INET);
    cr_assert_eq(ip_endpoint_from_sockaddr(sa, sizeof(struct sockaddr_in), &back), 0);
    cr_assert(ip_addr_eq(&back.ip, &e.ip) && back.port.raw == e.port.raw);
    cr_assert_eq(ip_endpoint_to_sockaddr(&e, true, &ss), sizeof(struct sockaddr_in6));
    cr_assert_eq(ss.ss_family, AF_INET6);
    cr_assert_eq(ip_endpoint_from_sockaddr(sa, sizeof(struct sockaddr_in6), &back), 0);
    cr_assert(ip_addr_eq(&back.ip, &e.ip));
    cr_assert_eq(ip_endpoint_from_sockaddr(sa, 24, &back), 0, "the size of RFC 2133, without the scope");
    cr_assert_eq(ip_endpoint_from_sockaddr(sa, 23, &back), -EINVAL);
    cr_assert_eq(ip_endpoint_from_sockaddr(sa, 1, &back), -EINVAL);
    ss.ss_family = AF_INET;
    cr_assert_eq(ip_endpoint_from_sockaddr(sa, sizeof(struct sockaddr_in) - 1, &back), -EINVAL);
    ss.ss_family = AF_UNIX;
    cr_assert_eq(ip_endpoint_from_sockaddr(sa, sizeof(ss), &back), -EAFNOSUPPORT);
}
