/* net_test.c - the harness of net_test.h */
#include "tests/unit/server/net/net_test.h"

#include <arpa/inet.h>
#include <rte_eal.h>
#include <stdlib.h>
#include <unistd.h>

const uint8_t PEER_MAC[6] = { 0x02, 0, 0, 0, 0, 0x99 };

static struct net *current;
struct net *net_current(void) { return current; }

void net_eal_init(void)
{
    char prefix[64];

    snprintf(prefix, sizeof(prefix), "--file-prefix=hsnet%d", (int)getpid());
    char *argv[] = { "net_test", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=3", "-l", "0", prefix };
    cr_assert(rte_eal_init(HS_ARRAY_LEN(argv), argv) >= 0);
}

static void fake_input(struct worker *w, struct pkt **pkts, unsigned count)
{
    struct net *n = current;

    (void)w;
    for (unsigned i = 0; i < count; i++) {
        n->n_input++;
        n->last_meta = *pkt_meta(pkts[i]);
        n->last_len = pkt_len(pkts[i]);
        free(n->last_input);
        n->last_input = malloc(n->last_len + 1);
        pkt_copy_out(pkts[i], 0, n->last_input, n->last_len);
        pkt_free(pkts[i]);
    }
}

static void fake_error(struct worker *w, const struct transport_error *e)
{
    struct net *n = current;

    (void)w;
    n->n_errors++;
    n->last_fib = e->fib;
    n->last_err = e->err;
    n->last_hard = e->hard;
    n->last_mtu = e->mtu;
}

static const struct transport_ops fake_ops = {
    .name = "fake", .proto = SVM_PROTO_NONE, .ip_proto = NET_PROTO, .input = fake_input, .icmp_error = fake_error,
};

static bool catch_frame(void *arg, struct sim_link *l, unsigned end, const uint8_t *f, uint32_t len, uint64_t now)
{
    struct net *n = arg;

    (void)l; (void)end;
    cr_assert(n->n_frames < NET_MAX_FRAMES);
    struct frame *c = &n->frame[n->n_frames++];
    c->b = malloc(len);
    memcpy(c->b, f, len);
    c->len = len;
    c->at_us = now;
    return true;
}

static void open_at(struct net *n, unsigned addr_flags, const struct sim_params *params)
{
    struct stack_options opt = { .n_workers = 1, .seed = 1, .n_small_pkts = 8192, .n_big_pkts = 64, .pool_name = "net" };
    struct ip_prefix p4, p6;

    memset(n, 0, sizeof(*n));
    current = n;
    net_eal_init();
    cr_assert_eq(transport_register(&fake_ops), 0);
    cr_assert_eq(stack_create(&opt, &n->s), 0);
    n->w = n->s->worker[0];
    n->sim = sim_net_create(1);
    cr_assert_eq(sim_net_link(n->sim, n->s, NULL, params, &n->link), 0);
    sim_link_set_tap(n->link, catch_frame, n);
    cr_assert_eq(interface_add(n->s, 0, 0, 0, addr_flags, &n->ifc), 0);
    cr_assert_eq(ip_prefix_parse("10.0.0.1/24", &p4), 0);
    cr_assert_eq(ip_prefix_parse("fd00::1/64", &p6), 0);
    cr_assert_eq(interface_add_address(n->ifc, &p4, addr_flags), 0);
    cr_assert_eq(interface_add_address(n->ifc, &p6, addr_flags), 0);
}

void net_open(struct net *n, unsigned addr_flags) { open_at(n, addr_flags, &(struct sim_params){ .vlan = false }); }
void net_open_card(struct net *n, unsigned addr_flags) { open_at(n, addr_flags, &(struct sim_params){ .vlan = true }); }

void net_forget(struct net *n)
{
    for (unsigned i = 0; i < n->n_frames; i++)
        free(n->frame[i].b);
    n->n_frames = 0;
}

void net_close(struct net *n)
{
    net_forget(n);
    free(n->last_input);
    stack_destroy(n->s);
    sim_net_destroy(n->sim);
}

void net_run_us(struct net *n, uint64_t us) { cr_assert_eq(sim_net_run_until(n->sim, sim_net_now_us(n->sim) + us), 0); }

void net_inject(struct net *n, const void *frame, uint32_t len)
{
    cr_assert_eq(sim_link_inject(n->link, 0, frame, len), 0);
    net_run_us(n, 0);
}

struct ip_addr net_ip(const char *text)
{
    struct ip_addr a;

    cr_assert_eq(ip_addr_parse(text, &a), 0, "%s", text);
    return a;
}

uint16_t net_sum(const void *b, uint32_t len, uint32_t start)
{
    const uint8_t *p = b;
    uint64_t sum = start;

    for (uint32_t i = 0; i + 1 < len; i += 2)
        sum += (uint32_t)(p[i] << 8 | p[i + 1]);
    if (len % 2)
        sum += (uint32_t)p[len - 1] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put16(uint8_t *p, uint16_t v) { p[0] = (uint8_t)(v >> 8); p[1] = (uint8_t)v; }

uint32_t net_eth(uint8_t *f, const uint8_t dst[6], uint16_t type)
{
    memcpy(f, dst, 6);
    memcpy(f + 6, PEER_MAC, 6);
    put16(f + 12, type);
    return 14;
}

void net_fix_ip4(uint8_t *f)
{
    put16(f + 24, 0);
    put16(f + 24, net_sum(f + 14, (f[14] & 15u) * 4, 0));
}

uint32_t net_ip4(uint8_t *f, const char *src, const char *dst, uint8_t proto, const void *payload, uint32_t len)
{
    struct ip_addr s = net_ip(src), d = net_ip(dst);
    uint8_t *h = f + net_eth(f, current->s->port[0]->mac, 0x0800);

    memset(h, 0, 20);
    h[0] = 0x45;
    put16(h + 2, (uint16_t)(20 + len));
    h[8] = 64;
    h[9] = proto;
    memcpy(h + 12, s.b + 12, 4);
    memcpy(h + 16, d.b + 12, 4);
    net_fix_ip4(f);
    if (payload)
        memcpy(h + 20, payload, len);
    else
        memset(h + 20, 0, len);
    return 34 + len;
}

uint32_t net_ip6(uint8_t *f, const char *src, const char *dst, uint8_t next, const void *payload, uint32_t len)
{
    struct ip_addr s = net_ip(src), d = net_ip(dst);
    uint8_t group[6] = { 0x33, 0x33, d.b[12], d.b[13], d.b[14], d.b[15] };
    uint8_t *h = f + net_eth(f, d.b[0] == 0xff ? group : current->s->port[0]->mac, 0x86dd);

    memset(h, 0, 40);
    h[0] = 0x60;
    put16(h + 4, (uint16_t)len);
    h[6] = next;
    h[7] = 255;
    memcpy(h + 8, s.b, 16);
    memcpy(h + 24, d.b, 16);
    if (payload)
        memcpy(h + 40, payload, len);
    else
        memset(h + 40, 0, len);
    return 54 + len;
}

static uint32_t icmp_head(uint8_t *m, uint8_t type, uint8_t code, uint32_t rest, const void *data, uint32_t len)
{
    memset(m, 0, 8);
    m[0] = type;
    m[1] = code;
    put16(m + 4, (uint16_t)(rest >> 16));
    put16(m + 6, (uint16_t)rest);
    if (len)
        memcpy(m + 8, data, len);
    return 8 + len;
}

uint32_t net_icmp4(uint8_t *m, uint8_t type, uint8_t code, uint32_t rest, const void *data, uint32_t len)
{
    uint32_t n = icmp_head(m, type, code, rest, data, len);

    put16(m + 2, net_sum(m, n, 0));
    return n;
}

uint32_t net_icmp6(uint8_t *m, const char *src, const char *dst, uint8_t type, uint8_t code, uint32_t rest, const void *data, uint32_t len)
{
    struct ip_addr s = net_ip(src), d = net_ip(dst);
    uint32_t n = icmp_head(m, type, code, rest, data, len);
    uint32_t start = n + 58;

    for (unsigned i = 0; i < 16; i += 2)
        start += (uint32_t)(s.b[i] << 8 | s.b[i + 1]) + (uint32_t)(d.b[i] << 8 | d.b[i + 1]);
    put16(m + 2, net_sum(m, n, start));
    return n;
}

uint32_t net_arp(uint8_t *f, uint16_t op, const uint8_t sha[6], const char *spa, const uint8_t tha[6], const char *tpa)
{
    static const uint8_t all[6] = { 255, 255, 255, 255, 255, 255 };
    struct ip_addr s = net_ip(spa), t = net_ip(tpa);
    uint8_t *a = f + net_eth(f, op == 1 ? all : current->s->port[0]->mac, 0x0806);

    put16(a, 1);
    put16(a + 2, 0x0800);
    a[4] = 6;
    a[5] = 4;
    put16(a + 6, op);
    memcpy(a + 8, sha, 6);
    memcpy(a + 14, s.b + 12, 4);
    memcpy(a + 18, tha, 6);
    memcpy(a + 24, t.b + 12, 4);
    return 42;
}

void net_learn_peer(struct net *n)
{
    static const uint8_t none[6];
    uint8_t f[256], m[64], body[24];
    struct ip_addr target = net_ip("fd00::1");

    net_inject(n, f, net_arp(f, 1, PEER_MAC, "10.0.0.2", none, "10.0.0.1"));
    memcpy(body, target.b, 16);
    memcpy(body + 16, (uint8_t[]){ 1, 1, 2, 0, 0, 0, 0, 0x99 }, 8);
    uint32_t len = net_icmp6(m, "fd00::2", "fd00::1", 135, 0, 0, body, 24);
    net_inject(n, f, net_ip6(f, "fd00::2", "fd00::1", 58, m, len));
    struct ip_addr p4 = net_ip("10.0.0.2"), p6 = net_ip("fd00::2");
    cr_assert(neigh_lookup(n->w, n->ifc, &p4) && neigh_lookup(n->w, n->ifc, &p6));
    net_forget(n);
}

int net_send(struct net *n, const char *dst, uint32_t len, uint8_t fill)
{
    struct ip_tx tx = { .dst = net_ip(dst), .ip_proto = NET_PROTO };
    struct pkt *p = pkt_alloc(n->w->pools, len);

    cr_assert_not_null(p);
    tx.src = ip_addr_any(ip_addr_is_v4(&tx.dst));
    memset(pkt_append(p, (uint16_t)len), fill, len);
    return ip_output(n->w, p, &tx);
}

uint64_t net_drops(const struct net *n)
{
    const struct ip_counters *c = &n->w->ip->count;
    uint64_t sum = 0;

    for (unsigned i = 0; i < ETH_DROP_MAX; i++)
        sum += c->eth[i];
    for (unsigned i = 0; i < NEIGH_DROP_MAX; i++)
        sum += c->neigh[i];
    for (unsigned i = 0; i < IP_DROP_MAX; i++)
        sum += c->ip[i];
    for (unsigned i = 0; i < ICMP_DROP_MAX; i++)
        sum += c->icmp[i];
    return sum;
}
