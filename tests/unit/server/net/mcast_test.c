/* mcast_test.c - what the filters of several sockets come to on an interface, and the reports of it (RFC 3376 s3.2, s5; RFC 3810 s4.2, s6) */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/mcast/mcast.h"
#include "tests/unit/server/net/net_test.h"

static struct net n;
static struct ip_addr group[2];     /* of IPv6, of IPv4 */

static void open_quiet(void)
{
    net_open(&n, INTERFACE_ADDR_NO_DAD);
    net_run_us(&n, 5000000);
    net_forget(&n);
    group[0] = net_ip("ff15::1");
    group[1] = net_ip("239.1.1.1");
}
static void shut(void) { net_close(&n); }
TestSuite(mcast, .init = open_quiet, .fini = shut);

static struct ip_addr source(bool v4, unsigned i)
{
    char text[64];

    snprintf(text, sizeof(text), v4 ? "10.0.0.%u" : "fd00::%x", 100 + i);
    return net_ip(text);
}

/* "ab": the sources 0 and 1. */
static struct mcast_filter filter(bool v4, bool is_include, const char *letters)
{
    struct mcast_filter f = { .is_include = is_include };

    for (; *letters; letters++)
        f.source[f.n++] = source(v4, (unsigned)(*letters - 'a'));
    return f;
}

static const char *const record_names[] = { "?", "is_in", "is_ex", "to_in", "to_ex", "allow", "block" };

static int by_letter(const void *a, const void *b) { return *(const char *)a - *(const char *)b; }

/* The records of all reports caught, in order: "allow ab, block c"; sources of records sorted. */
static const char *reports(bool v4)
{
    static char text[2000];
    unsigned alen = v4 ? 4 : 16, at = v4 ? 38 : 62;
    char *to = text;

    *to = 0;
    for (unsigned i = 0; i < n.n_frames; i++) {
        const uint8_t *f = n.frame[i].b, *end = f + n.frame[i].len;
        if (v4 ? f[12] != 8 || f[13] != 0 || f[23] != IPPROTO_IGMP || f[at] != 0x22 : f[12] != 0x86 || f[20] != 0 || f[at] != 143)
            continue;
        const uint8_t *r = f + at + 8;
        for (unsigned k = 0, n_rec = (unsigned)(f[at + 6] << 8 | f[at + 7]); k < n_rec; k++) {
            unsigned ns = (unsigned)(r[2] << 8 | r[3]);
            cr_assert_leq(r + 4 + (ns + 1) * alen, end, "a record ends in its message");
            to += sprintf(to, "%s%s%s", to == text ? "" : ", ", record_names[r[0] < 7 ? r[0] : 0], ns ? " " : "");
            for (unsigned s = 0; s < ns; s++)
                to[s] = (char)('a' + r[4 + (s + 2) * alen - 1] - 100);
            qsort(to, ns, 1, by_letter);
            to += ns;
            *to = 0;
            r += 4 + (ns + 1) * alen;
        }
    }
    net_forget(&n);
    return text;
}

static int change(bool v4, const struct mcast_filter *from, const struct mcast_filter *to)
{
    int rc = mcast_change(n.ifc, &group[v4], from, to);

    net_run_us(&n, 100);
    return rc;
}

static void settle(void)
{
    net_run_us(&n, 5000000);
    net_forget(&n);
}

static bool hears(bool v4, unsigned i)
{
    struct ip_addr s = source(v4, i);

    return mcast_accepts(n.ifc, &group[v4], &s);
}

Test(mcast, one_socket)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        struct mcast_filter in_a = filter(v4, true, "a"), in_ab = filter(v4, true, "ab"), ex_b = filter(v4, false, "b");
        change(v4, NULL, &in_a);
        cr_assert_str_eq(reports(v4), "allow a");
        net_run_us(&n, 3000000);
        cr_assert_str_eq(reports(v4), "allow a", "once more, and no more");
        cr_assert(hears(v4, 0) && !hears(v4, 1));
        change(v4, &in_a, &in_ab);
        cr_assert_str_eq(reports(v4), "allow b");
        settle();
        change(v4, &in_ab, &ex_b);
        cr_assert_str_eq(reports(v4), "to_ex b");
        settle();
        cr_assert(hears(v4, 0) && !hears(v4, 1) && hears(v4, 2));
        change(v4, &ex_b, &mcast_everybody);
        cr_assert_str_eq(reports(v4), "allow b");
        settle();
        change(v4, &mcast_everybody, &in_ab);
        cr_assert_str_eq(reports(v4), "to_in ab");
        settle();
        change(v4, &in_ab, NULL);
        cr_assert_str_eq(reports(v4), "block ab");
        cr_assert(!hears(v4, 0));
        settle();
        cr_assert_not(mcast_accepts(n.ifc, &group[v4], NULL));
    }
}

/* RFC 3376 s3.2's examples, and what goes when one of them leaves. */
Test(mcast, several_sockets)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        struct mcast_filter ex_abcd = filter(v4, false, "abcd"), ex_bcde = filter(v4, false, "bcde"), in_def = filter(v4, true, "def");
        change(v4, NULL, &ex_abcd);
        cr_assert_str_eq(reports(v4), "to_ex abcd");
        settle();
        change(v4, NULL, &ex_bcde);
        cr_assert_str_eq(reports(v4), "allow a");
        settle();
        change(v4, NULL, &in_def);
        cr_assert_str_eq(reports(v4), "allow d");
        cr_assert(hears(v4, 0) && !hears(v4, 1) && !hears(v4, 2) && hears(v4, 3) && hears(v4, 4) && hears(v4, 9));
        settle();
        change(v4, &ex_abcd, NULL);
        cr_assert_str_eq(reports(v4), "", "e is wanted by one; nothing new is left out: bc");
        settle();
        change(v4, &ex_bcde, NULL);
        cr_assert_str_eq(reports(v4), "to_in def");
        settle();
        change(v4, &in_def, NULL);
        cr_assert_str_eq(reports(v4), "block def");
        settle();
    }
}

/* A change of mode says all; one that comes while another is being told is told as well. */
Test(mcast, changes_that_overlap)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        struct mcast_filter in_a = filter(v4, true, "a"), in_b = filter(v4, true, "b"), ex_c = filter(v4, false, "c");
        change(v4, NULL, &in_a);
        change(v4, &in_a, &in_b);
        cr_assert_str_eq(reports(v4), "allow a, allow b, block a");
        net_run_us(&n, 5000000);
        cr_assert_str_eq(reports(v4), "allow b, block a", "each once more; that a was wanted is over");
        change(v4, &in_b, &ex_c);
        change(v4, &ex_c, NULL);
        cr_assert_str_eq(reports(v4), "to_ex c, to_in");
        net_run_us(&n, 5000000);
        cr_assert_str_eq(reports(v4), "to_in");
    }
}

static void query(bool v4, const char *letters)
{
    uint8_t f[600], m[300], d[200] = { 0 };
    const struct mcast_filter asked = filter(v4, true, letters);
    unsigned alen = v4 ? 4 : 16, at;
    uint32_t len;

    if (v4) {
        d[0] = 0x11;
        d[1] = 1;
        memcpy(d + 4, group[1].b + 12, 4);
        d[11] = asked.n;
        at = 12;
    } else {
        memcpy(d, group[0].b, 16);
        d[19] = asked.n;
        at = 20;
    }
    for (unsigned i = 0; i < asked.n; i++)
        memcpy(d + at + i * alen, asked.source[i].b + (v4 ? 12 : 0), alen);
    at += asked.n * alen;
    if (v4) {
        uint16_t sum = net_sum(d, at, 0);
        d[2] = (uint8_t)(sum >> 8);
        d[3] = (uint8_t)sum;
        len = net_ip4(f, "10.0.0.2", "224.0.0.1", IPPROTO_IGMP, d, at);
    } else {
        static const uint8_t hop_by_hop[8] = { IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0 };
        memcpy(m, hop_by_hop, 8);
        len = 8 + net_icmp6(m + 8, "fe80::2", "ff02::1", 130, 0, 100u << 16, d, at);
        len = net_ip6(f, "fe80::2", "ff02::1", IPPROTO_HOPOPTS, m, len);
        f[21] = 1;
    }
    net_inject(&n, f, len);
    net_run_us(&n, 2000000);
}

Test(mcast, queries_are_answered)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        struct mcast_filter in_ab = filter(v4, true, "ab"), ex_c = filter(v4, false, "c");
        change(v4, NULL, &in_ab);
        settle();
        query(v4, "");
        cr_assert_str_eq(reports(v4), "is_in ab");
        query(v4, "bcd");
        cr_assert_str_eq(reports(v4), "is_in b");
        query(v4, "cd");
        cr_assert_str_eq(reports(v4), "", "nothing to say");
        change(v4, &in_ab, &ex_c);
        settle();
        query(v4, "bcd");
        cr_assert_str_eq(reports(v4), "is_in bd");
        query(v4, "");
        cr_assert_str_eq(reports(v4), "is_ex c");
        change(v4, &ex_c, NULL);
        settle();
        query(v4, "");
        query(v4, "b");
        cr_assert_str_eq(reports(v4), "");
    }
}

Test(mcast, limits)
{
    for (unsigned v4 = 0; v4 < 2; v4++) {
        struct mcast_filter most = { .is_include = true }, one = filter(v4, true, "a"), other = { .is_include = true, .n = 1 };
        for (unsigned i = 0; i < MCAST_SOURCES; i++)
            most.source[most.n++] = source(v4, i);
        other.source[0] = source(v4, MCAST_SOURCES);
        cr_assert_eq(change(v4, NULL, &most), 0);
        cr_assert_eq(change(v4, NULL, &one), 0, "it has its place");
        cr_assert_eq(change(v4, NULL, &other), -ENOBUFS);
        cr_assert_not(hears(v4, MCAST_SOURCES));
        cr_assert(hears(v4, MCAST_SOURCES - 1));
        cr_assert_eq(change(v4, NULL, &mcast_everybody), 0, "that names none");
        cr_assert_eq(change(v4, &most, NULL), 0);
        cr_assert_eq(change(v4, NULL, &other), 0, "places are free again, whatever is still to be told of them");
        cr_assert_eq(change(v4, &other, NULL), 0);
        cr_assert_eq(change(v4, &one, NULL), 0);
        cr_assert_eq(change(v4, &mcast_everybody, NULL), 0);
        settle();
        struct ip_addr no_group = source(v4, 0);
        cr_assert_eq(mcast_change(n.ifc, &no_group, NULL, &one), -EINVAL);
        for (unsigned i = 0; i < MCAST_GROUPS; i++) {
            struct ip_addr g = group[v4];
            g.b[14] = (uint8_t)(i + 2);
            cr_assert_eq(mcast_change(n.ifc, &g, NULL, &one), 0);
        }
        cr_assert_eq(change(v4, NULL, &one), -ENOBUFS, "no more groups");
        for (unsigned i = 0; i < MCAST_GROUPS; i++) {
            struct ip_addr g = group[v4];
            g.b[14] = (uint8_t)(i + 2);
            cr_assert_eq(mcast_change(n.ifc, &g, &one, NULL), 0);
        }
        settle();
    }
}
