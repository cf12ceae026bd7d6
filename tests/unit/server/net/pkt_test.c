/* pkt_test.c - packets of several pieces: trimming, pulling up, checksums; and the simulated network replays from its seed */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "common/crc32c.h"
#include "tests/unit/server/net/net_test.h"

static struct net n;
static void open_net(void)
{
    net_open(&n, INTERFACE_ADDR_NO_DAD);
    net_run_us(&n, 5000000);
    net_learn_peer(&n);
}
static void shut(void) { net_close(&n); }
TestSuite(pkt, .init = open_net, .fini = shut);

/* A packet of random pieces over a known pattern. */
static struct pkt *pieces(const uint8_t *data, uint32_t len)
{
    struct pkt *head = NULL;
    uint32_t off = 0;

    while (off < len || !head) {
        uint32_t k = 1 + (uint32_t)(sim_net_random(n.sim) % 300);
        k = k > len - off ? len - off : k;
        struct pkt *p = pkt_alloc(n.w->pools, k);
        memcpy(pkt_append(p, (uint16_t)k), data + off, k);
        if (head)
            pkt_chain(head, p);
        else
            head = p;
        off += k;
    }
    return head;
}

Test(pkt, pieces_behave_as_one)
{
    static uint8_t data[3000], out[3000];

    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)sim_net_random(n.sim);
    unsigned before = rte_mempool_in_use_count(n.s->pools.small);
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t len = (uint32_t)(sim_net_random(n.sim) % sizeof(data));
        struct pkt *p = pieces(data, len);
        uint32_t keep = len ? (uint32_t)(sim_net_random(n.sim) % (len + 1)) : 0;
        cr_assert_eq(pkt_len(p), len);
        cr_assert(pkt_trim(p, len + 1) < 0);
        cr_assert_eq(pkt_trim(p, keep), 0);
        cr_assert_eq(pkt_len(p), keep);
        pkt_copy_out(p, 0, out, keep);
        cr_assert(memcmp(out, data, keep) == 0);
        cr_assert_eq((uint16_t)~__builtin_bswap16(pkt_raw_sum(p, 0)) == (uint16_t)net_sum(data, keep, 0) ||
                     (net_sum(data, keep, 0) == 0xffff && pkt_raw_sum(p, 0) == 0), true, "round %u", round);
        uint32_t up = keep ? (uint32_t)(sim_net_random(n.sim) % (keep + 1)) : 0;
        if (up <= 1500) {
            cr_assert_eq(pkt_pullup(p, up), 0);
            cr_assert(pkt_first_len(p) >= up);
            cr_assert(memcmp(pkt_data(p), data, up) == 0);
            cr_assert_eq(pkt_len(p), keep);
        }
        cr_assert_eq(pkt_pullup(p, keep + 1), -22);
        pkt_copy_out(p, 0, out, keep);
        cr_assert(memcmp(out, data, keep) == 0);
        pkt_free(p);
    }
    cr_assert_eq(rte_mempool_in_use_count(n.s->pools.small), before, "nothing leaks");
}

/* Who keeps packets: little data leaves the big buffer, with the headers in front of it; much data stays. */
Test(pkt, kept_packets_leave_big_buffers)
{
    static const uint32_t lens[] = { 0, 1, 1400, PKT_SMALL_DATA, PKT_SMALL_DATA + 1, 9000, 16384, 16385, 60000 };
    static uint8_t data[60000], out[60000];
    unsigned big = rte_mempool_in_use_count(n.s->pools.big), small = rte_mempool_in_use_count(n.s->pools.small);

    for (unsigned i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)sim_net_random(n.sim);
    for (unsigned i = 0; i < HS_ARRAY_LEN(lens); i++) {
        struct pkt *p = pkt_alloc(n.w->pools, PKT_BIG_DATA), *q;
        memcpy(pkt_append(p, (uint16_t)(lens[i] + 34)), data, 34);
        memcpy(pkt_data(p) + 34, data, lens[i]);
        pkt_pull(p, 34);
        pkt_meta(p)->l3_len = 20;
        pkt_vlan_tci_set(p, 7);
        q = pkt_compact(n.w->pools, p);
        cr_assert_eq(rte_mempool_in_use_count(n.s->pools.big) - big, lens[i] > 16384, "%u bytes", lens[i]);
        cr_assert_eq(pkt_len(q), lens[i]);
        pkt_copy_out(q, 0, out, lens[i]);
        cr_assert(memcmp(out, data, lens[i]) == 0, "%u bytes", lens[i]);
        cr_assert_eq(pkt_meta(q)->l3_len, 20);
        cr_assert_eq(pkt_vlan_tci(q), 7);
        cr_assert(memcmp(pkt_push(q, 34), data, 34) == 0, "%u bytes", lens[i]);
        cr_assert_eq(pkt_compact(n.w->pools, q), q, "there already");
        pkt_free(q);
    }
    cr_assert_eq(rte_mempool_in_use_count(n.s->pools.big), big);
    cr_assert_eq(rte_mempool_in_use_count(n.s->pools.small), small);
}

Test(pkt, kept_packets_when_small_ones_run_out)
{
    static struct pkt *all[1u << 16];
    unsigned k = 0;
    struct pkt *p = pkt_alloc(n.w->pools, PKT_BIG_DATA);

    pkt_append(p, 9000);
    while (k < HS_ARRAY_LEN(all) && (all[k] = pkt_alloc(n.w->pools, 1)))
        k++;
    cr_assert(k > 2 && k < HS_ARRAY_LEN(all));
    for (unsigned left = 0; left < 2; left++) { /* none, and fewer than it needs */
        cr_assert_eq(pkt_compact(n.w->pools, p), p);
        cr_assert_eq(rte_mempool_avail_count(n.s->pools.small), left);
        pkt_free(all[--k]);
    }
    while (k)
        pkt_free(all[--k]);
    pkt_free(p);
}

Test(pkt, l4_checksum_both_ways)
{
    static uint8_t data[2000];

    for (unsigned round = 0; round < 500; round++) {
        bool v4 = round % 2;
        uint32_t len = 8 + (uint32_t)(sim_net_random(n.sim) % 1500);
        for (unsigned i = 0; i < len; i++)
            data[i] = (uint8_t)sim_net_random(n.sim);
        data[6] = data[7] = 0;
        struct pkt *p = pkt_alloc(n.w->pools, len);
        struct pkt_meta *m = pkt_meta(p);
        memcpy(pkt_append(p, (uint16_t)len), data, len);
        m->src = net_ip(v4 ? "10.0.0.1" : "fd00::1");
        m->dst = net_ip(v4 ? "10.0.0.2" : "fd00::2");
        m->ip_proto = 17;
        uint16_t pseudo = pkt_pseudo_sum(m, len);
        memcpy(pkt_data(p) + 6, &pseudo, 2);
        m->flags = PKT_L4_CSUM_NEEDED;
        pkt_finish_csum(p);
        cr_assert_eq(m->flags & PKT_L4_CSUM_NEEDED, 0);
        cr_assert_eq(pkt_l4_checksum(p), 0, "round %u", round);
        uint32_t start = 17 + len; /* an independent sum says the same */
        for (unsigned i = v4 ? 12 : 0; i < 16; i += 2)
            start += (uint32_t)(m->src.b[i] << 8 | m->src.b[i + 1]) + (uint32_t)(m->dst.b[i] << 8 | m->dst.b[i + 1]);
        cr_assert_eq(net_sum(pkt_data(p), len, start), 0);
        pkt_data(p)[8 % len] ^= 1;
        if (len > 8)
            cr_assert_neq(pkt_l4_checksum(p), 0);
        pkt_free(p);
    }
}

/* RFC 9260 App. A, over several pieces; the sum of all with the field in it says so, too. */
Test(pkt, crc_of_sctp)
{
    for (uint32_t len = 12; len < 1400; len = len * 3 / 2) {
        struct pkt *p = pkt_alloc(n.w->pools, 64);
        struct pkt_meta *m = pkt_meta(p);
        uint8_t data[1400];
        uint32_t crc, want;

        for (unsigned i = 0; i < len; i++)
            data[i] = (uint8_t)(i * 7 + len);
        memset(data + 8, 0, 4);
        want = ~crc32c_software(UINT32_MAX, data, len);
        memset(pkt_append(p, 14 + 20), 0xee, 14 + 20);
        memcpy(pkt_append(p, 12), data, 12);
        for (uint32_t off = 12; off < len; off += 500) {
            uint32_t part = len - off < 500 ? len - off : 500;
            struct pkt *more = pkt_alloc(n.w->pools, part);
            memcpy(pkt_append(more, (uint16_t)part), data + off, part);
            cr_assert_eq(rte_pktmbuf_chain(pkt_mbuf(p), pkt_mbuf(more)), 0);
        }
        m->ip_proto = IPPROTO_SCTP;
        m->l2_len = 14;
        m->l3_len = 20;
        m->flags = PKT_L4_CSUM_NEEDED;
        pkt_finish_csum(p);
        memcpy(&crc, pkt_data(p) + 34 + 8, 4);
        cr_assert_eq(crc, want, "length %u", len);
        cr_assert_eq(m->flags & PKT_L4_CSUM_NEEDED, 0);
        pkt_free(p);
    }
}

/* ---------------------------------------------------------------- the simulated network itself */

struct trace { uint64_t hash; unsigned frames; };

static bool note(void *arg, struct sim_link *l, unsigned end, const uint8_t *f, uint32_t len, uint64_t now)
{
    struct trace *t = arg;

    (void)l;
    t->frames++;
    t->hash = (t->hash ^ now ^ end ^ len) * 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < len; i++)
        t->hash = (t->hash ^ f[i]) * 0x100000001b3u;
    return true;
}

/* Two stacks, packets both ways over a bad wire; returns what was seen and counted. */
static struct trace play(uint64_t seed, struct sim_link_stats *stats, unsigned *delivered)
{
    struct sim_params bad = { .loss_ppm = 50000, .dup_ppm = 20000, .reorder_ppm = 50000, .reorder_us = 300, .delay_us = 100, .jitter_us = 50,
                              .corrupt_ppm = 20000, .burst_ppm = 1000, .burst_len = 5 };
    struct stack_options opt = { .n_workers = 1, .seed = seed, .n_small_pkts = 2048, .n_big_pkts = 16, .pool_name = "a" };
    struct stack *s[2];
    struct interface *ifc[2];
    struct trace t = { 0 };
    struct sim_link *l;
    struct sim_net *sim = sim_net_create(seed);

    cr_assert_eq(stack_create(&opt, &s[0]), 0);
    opt.pool_name = "b";
    opt.seed = seed + 1;
    cr_assert_eq(stack_create(&opt, &s[1]), 0);
    cr_assert_eq(sim_net_link(sim, s[0], s[1], &bad, &l), 0);
    sim_link_set_tap(l, note, &t);
    for (unsigned i = 0; i < 2; i++) {
        struct ip_prefix p = { net_ip(i ? "10.5.0.2" : "10.5.0.1"), 24 };
        cr_assert_eq(interface_add(s[i], 0, 0, 0, INTERFACE_ADDR_NO_DAD, &ifc[i]), 0);
        cr_assert_eq(interface_add_address(ifc[i], &p, 0), 0);
    }
    unsigned before = n.n_input;
    for (unsigned k = 0; k < 500; k++) {
        for (unsigned i = 0; i < 2; i++) {
            struct ip_tx tx = { .src = net_ip(i ? "10.5.0.2" : "10.5.0.1"), .dst = net_ip(i ? "10.5.0.1" : "10.5.0.2"), .ip_proto = NET_PROTO };
            struct pkt *p = pkt_alloc(&s[i]->pools, 200);
            memset(pkt_append(p, 200), (int)k, 200);
            cr_assert_eq(ip_output(s[i]->worker[0], p, &tx), 0);
        }
        cr_assert_eq(sim_net_run_until(sim, sim_net_now_us(sim) + 20000), 0);
    }
    cr_assert_eq(sim_net_run_until(sim, sim_net_now_us(sim) + 5000000), 0);
    *delivered = n.n_input - before;
    sim_link_stats(l, 0, &stats[0]);
    sim_link_stats(l, 1, &stats[1]);
    stack_destroy(s[0]);
    stack_destroy(s[1]);
    sim_net_destroy(sim);
    return t;
}

Test(pkt, simulation_replays_from_its_seed)
{
    struct sim_link_stats a[2], b[2], c[2];
    unsigned da, db, dc;
    struct trace ta = play(42, a, &da), tb = play(42, b, &db), tc = play(43, c, &dc);

    cr_assert_eq(ta.hash, tb.hash);
    cr_assert_eq(ta.frames, tb.frames);
    cr_assert_eq(da, db);
    cr_assert(memcmp(a, b, sizeof(a)) == 0);
    cr_assert_neq(ta.hash, tc.hash);
    for (unsigned i = 0; i < 2; i++) {
        cr_assert(a[i].lost > 0 && a[i].duplicated > 0 && a[i].corrupted > 0 && a[i].reordered > 0);
        cr_assert(a[i].sent > 500);
    }
    cr_assert(da > 800 && da < 1100, "%u of 1000 came through", da);
}

/* ---- attached memory ---- */

enum { ATT_LEN = 900, ATT_HEAD = 8 };
static uint8_t attached[ATT_LEN];

static struct pkt *with_attached(void)
{
    struct pkt *p = pkt_alloc(n.w->pools, ATT_HEAD);
    const struct iovec iov[2] = { { attached, 301 }, { attached + 301, ATT_LEN - 301 } };

    memset(pkt_append(p, ATT_HEAD), 'a', ATT_HEAD);
    memset(attached, 'a', ATT_LEN);
    cr_assert_eq(pkt_attach(n.w->pools, p, iov, 2), 0);
    cr_assert(pkt_meta(p)->flags & PKT_ATTACHED);
    cr_assert_eq(pkt_len(p), ATT_HEAD + ATT_LEN);
    return p;
}

static bool is_all(const uint8_t *b, uint32_t len, uint8_t what)
{
    for (uint32_t i = 0; i < len; i++) {
        if (b[i] != what)
            return false;
    }
    return true;
}

Test(pkt, attached_bytes_are_read_where_they_are_until_they_are_owned)
{
    unsigned before = rte_mempool_in_use_count(n.s->pools.small);
    uint8_t out[ATT_HEAD + ATT_LEN];
    struct pkt *p = with_attached();
    struct iovec iov[4];

    cr_assert_eq(pkt_iov(p, ATT_HEAD, iov, 4), 2);
    cr_assert(iov[0].iov_base == attached && iov[1].iov_base == attached + 301, "nothing was copied");
    memset(attached, 'b', ATT_LEN);
    cr_assert_eq(pkt_own(n.w->pools, p), 0);
    cr_assert(!(pkt_meta(p)->flags & PKT_ATTACHED));
    memset(attached, 'c', ATT_LEN);
    pkt_copy_out(p, 0, out, sizeof(out));
    cr_assert(is_all(out, ATT_HEAD, 'a') && is_all(out + ATT_HEAD, ATT_LEN, 'b'));
    cr_assert_eq(pkt_own(n.w->pools, p), 0, "a second time there is nothing to do");
    pkt_free(p);
    pkt_free(with_attached());
    cr_assert_eq(rte_mempool_in_use_count(n.s->pools.small), before);
}

Test(pkt, attaching_without_packets_left)
{
    static struct pkt *hold[65536];
    unsigned n_hold = 0;
    uint8_t out[ATT_HEAD + ATT_LEN];
    struct pkt *p = pkt_alloc(n.w->pools, ATT_HEAD), *full = with_attached();
    const struct iovec iov[2] = { { attached, 1 }, { attached + 1, 1 } };

    memset(pkt_append(p, ATT_HEAD), 'x', ATT_HEAD);
    while (n_hold < HS_ARRAY_LEN(hold) && (hold[n_hold] = pkt_alloc(n.w->pools, 1)))
        n_hold++;
    cr_assert(n_hold > 0 && n_hold < HS_ARRAY_LEN(hold));
    pkt_free(hold[--n_hold]); /* one of the two that are needed */
    cr_assert_eq(pkt_attach(n.w->pools, p, iov, 2), -ENOBUFS);
    cr_assert(pkt_len(p) == ATT_HEAD && p->m.nb_segs == 1 && !(pkt_meta(p)->flags & PKT_ATTACHED));
    hold[n_hold++] = pkt_alloc(n.w->pools, 1);
    cr_assert_eq(pkt_own(n.w->pools, full), -ENOBUFS);
    cr_assert(pkt_meta(full)->flags & PKT_ATTACHED);
    pkt_copy_out(full, 0, out, sizeof(out));
    cr_assert(is_all(out, sizeof(out), 'a'));
    while (n_hold)
        pkt_free(hold[--n_hold]);
    pkt_free(p);
    pkt_free(full);
}

static void send_attached(const char *dst)
{
    struct ip_tx tx = { .dst = net_ip(dst), .ip_proto = NET_PROTO };

    net_forget(&n);
    tx.src = ip_addr_any(ip_addr_is_v4(&tx.dst));
    cr_assert_eq(ip_output(n.w, with_attached(), &tx), 0);
    memset(attached, 'b', ATT_LEN); /* dropped and written anew: the packet still waits */
}

static void expect_frame(const char *dst)
{
    uint32_t headers = ATT_HEAD + (net_ip(dst).w[0].raw ? 54 : 34);

    cr_assert_eq(n.n_frames, 1, "%s", dst);
    cr_assert_eq(n.frame[0].len, headers + ATT_LEN);
    cr_assert(is_all(n.frame[0].b + headers, ATT_LEN, 'a'), "%s", dst);
}

/* In the queue of a port that does not take attached memory, for an address that is asked for, and to ourselves. */
Test(pkt, what_waits_owns_its_bytes)
{
    static const char *const peer[] = { "10.0.0.2", "fd00::2" }, *const unknown[] = { "10.0.0.9", "fd00::9" },
                      *const us[] = { "10.0.0.1", "fd00::1" };

    for (unsigned v6 = 0; v6 < 2; v6++) {
        struct ip_addr ip = net_ip(unknown[v6]);
        unsigned inputs = n.n_input;

        send_attached(peer[v6]);
        net_run_us(&n, 10);
        expect_frame(peer[v6]);
        send_attached(unknown[v6]);
        net_run_us(&n, 10);
        net_forget(&n);
        cr_assert_eq(neigh_set_permanent(n.w, n.ifc, &ip, PEER_MAC), 0);
        net_run_us(&n, 10);
        expect_frame(unknown[v6]);
        send_attached(us[v6]);
        net_run_us(&n, 10);
        cr_assert_eq(n.n_input, inputs + 1);
        cr_assert_eq(n.last_len, ATT_HEAD + ATT_LEN);
        cr_assert(is_all(n.last_input, n.last_len, 'a'), "%s", us[v6]);
    }
}
