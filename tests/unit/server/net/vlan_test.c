/* vlan_test.c - 802.1Q tags in the frame, and beside it at a port that handles them: the same packets either way */
#include "tests/unit/server/net/net_test.h"

enum { VLAN = 100, VLAN_OF_NOBODY = 101 };

static struct net n;
static struct interface *vlan;
static uint8_t frame[2048], tagged[2048], msg[2048];

static void add_vlan(void)
{
    struct ip_prefix p4, p6;

    cr_assert_eq(interface_add_vlan(n.s, 0, VLAN, 0, 0, INTERFACE_ADDR_NO_DAD, &vlan), 0);
    cr_assert_eq(ip_prefix_parse("10.1.0.1/24", &p4), 0);
    cr_assert_eq(ip_prefix_parse("fd01::1/64", &p6), 0);
    cr_assert_eq(interface_add_address(vlan, &p4, INTERFACE_ADDR_NO_DAD), 0);
    cr_assert_eq(interface_add_address(vlan, &p6, INTERFACE_ADDR_NO_DAD), 0);
    net_run_us(&n, 5000000);
    net_learn_peer(&n);
}

static void open_plain(void)
{
    net_open(&n, INTERFACE_ADDR_NO_DAD);
    add_vlan();
}

static void open_card(void)
{
    net_open_card(&n, INTERFACE_ADDR_NO_DAD);
    add_vlan();
}

static void shut(void) { net_close(&n); }
TestSuite(vlan_in_frame, .init = open_plain, .fini = shut);
TestSuite(vlan_beside_frame, .init = open_card, .fini = shut);

static uint32_t tag(uint16_t tci, uint32_t len)
{
    memcpy(tagged, frame, 12);
    memcpy(tagged + 12, (const uint8_t[4]){ 0x81, 0, (uint8_t)(tci >> 8), (uint8_t)tci }, 4);
    memcpy(tagged + 16, frame + 12, len - 12);
    return len + 4;
}

/* The only frame that was sent since, without its tag, into frame; its tag's VLAN, -1 = none. */
static int answer(uint32_t *len)
{
    static const uint8_t type[2] = { 0x81, 0 };

    cr_assert_eq(n.n_frames, 1, "%u frames", n.n_frames);
    const struct frame *f = &n.frame[0];
    bool is_tagged = memcmp(f->b + 12, type, 2) == 0;
    uint32_t at = is_tagged ? 16 : 12;
    memcpy(frame, f->b, 12);
    memcpy(frame + 12, f->b + at, f->len - at);
    *len = f->len - (at - 12);
    return is_tagged ? f->b[14] << 8 | f->b[15] : -1;
}

/* What comes in a VLAN is answered there, with its tag, of any priority; what comes without, without. */
static void ask(uint16_t tci, bool has_tag, const char *me, const char *peer)
{
    uint32_t len = net_arp(frame, 1, PEER_MAC, peer, (const uint8_t[6]){ 0 }, me);
    int want = has_tag && (tci & 0xfff) ? tci & 0xfff : -1;

    net_forget(&n);
    net_inject(&n, has_tag ? tagged : frame, has_tag ? tag(tci, len) : len);
    cr_assert_eq(answer(&len), want, "ARP, %x", tci);
    cr_assert(len >= 42 && frame[12] == 0x08 && frame[13] == 0x06 && frame[21] == 2, "an ARP reply");
    net_forget(&n);
    len = net_ip4(frame, peer, me, 1, msg, net_icmp4(msg, 8, 0, 7, "abcdefgh", 8));
    net_inject(&n, has_tag ? tagged : frame, has_tag ? tag(tci, len) : len);
    cr_assert_eq(answer(&len), want, "echo, %x", tci);
    cr_assert(len == 14 + 20 + 16 && frame[12] == 0x08 && frame[13] == 0 && frame[34] == 0 && memcmp(frame + 42, "abcdefgh", 8) == 0,
              "an echo reply of %u bytes", len);
}

static void both_networks(void)
{
    ask(VLAN, true, "10.1.0.1", "10.1.0.2");
    ask(VLAN | 0xe000, true, "10.1.0.1", "10.1.0.2");
    ask(0, false, "10.0.0.1", "10.0.0.2");
    ask(0x6000, true, "10.0.0.1", "10.0.0.2");
}

Test(vlan_in_frame, answers_in_the_same_vlan) { both_networks(); }
Test(vlan_beside_frame, answers_in_the_same_vlan) { both_networks(); }

static void is_dropped(uint16_t tci)
{
    uint64_t before = net_drops(&n);
    uint32_t len = net_ip4(frame, "10.1.0.2", "10.1.0.1", 1, msg, net_icmp4(msg, 8, 0, 7, NULL, 0));

    net_forget(&n);
    net_inject(&n, tagged, tag(tci, len));
    cr_assert_eq(net_drops(&n), before + 1, "%x", tci);
    cr_assert_eq(n.n_frames, 0, "%x", tci);
}

/* The neighbour in the VLAN asks, and so is known. */
static void learn(void) { ask(VLAN, true, "10.1.0.1", "10.1.0.2"); }

/* Neither comes a foreign VLAN's frame in, nor one with a tag behind the tag, though its first one is ours or none. */
static void foreign(void)
{
    static const uint16_t firsts[] = { VLAN, 0, VLAN_OF_NOBODY };

    is_dropped(VLAN_OF_NOBODY);
    is_dropped(0xfff);
    for (unsigned i = 0; i < HS_ARRAY_LEN(firsts); i++) {
        uint64_t before = net_drops(&n);
        uint32_t len = net_ip4(frame, "10.1.0.2", "10.1.0.1", 1, msg, net_icmp4(msg, 8, 0, 7, NULL, 0));
        len = tag(VLAN, len);
        memcpy(frame, tagged, len);
        net_forget(&n);
        net_inject(&n, tagged, tag(firsts[i], len));
        cr_assert_eq(net_drops(&n), before + 1, "second tag behind %x", firsts[i]);
        cr_assert_eq(n.n_frames, 0);
    }
}

Test(vlan_in_frame, foreign_tags) { foreign(); }
Test(vlan_beside_frame, foreign_tags) { foreign(); }

/* What leaves the VLAN's interface has its tag, full packets too, of either family, and the question for the neighbour before them. */
static void full_size(void)
{
    static const char *const peers[] = { "10.1.0.2", "fd01::2" };
    unsigned whole = 0;

    for (unsigned i = 0; i < 2; i++) {
        net_forget(&n);
        cr_assert_eq(net_send(&n, peers[i], 1500 - (i ? 40 : 20), 0x5a), 0);
        net_run_us(&n, 100);
        cr_assert_geq(n.n_frames, 1);
        for (unsigned k = 0; k < n.n_frames; k++) {
            cr_assert(n.frame[k].b[12] == 0x81 && n.frame[k].b[13] == 0 && n.frame[k].b[15] == VLAN, "frame %u to %s", k, peers[i]);
            whole += n.frame[k].len == 1518;
        }
    }
    cr_assert_geq(whole, 1);
}

Test(vlan_in_frame, full_size_out)
{
    learn();
    full_size();
}

Test(vlan_beside_frame, full_size_out)
{
    learn();
    full_size();
}
