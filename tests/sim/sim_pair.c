/* sim_pair.c - two stacks on a simulated link with addresses of both families */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <rte_eal.h>
#include "server/ip/interface.h"
#include "server/tcp/tcp.h"
#include "tests/sim/sim_pair.h"

int sim_eal_init(const char *prefix)
{
    char file_prefix[64];
    char *argv[] = { "sim", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=error",
                     file_prefix, NULL };
    int rc;

    snprintf(file_prefix, sizeof(file_prefix), "--file-prefix=%s-%d", prefix, (int)getpid());
    rc = rte_eal_init((int)HS_ARRAY_LEN(argv) - 1, argv);
    if (rc < 0)
        return rc;
    rc = transport_register(&tcp_transport_ops);
    return rc == -EEXIST ? 0 : rc;
}

static int add_addresses(struct stack *s, unsigned i)
{
    struct interface *ifc;
    struct ip_prefix prefix;
    char text[IP_ADDR_TEXT_MAX];
    int rc = interface_add(s, 0, 0, 0, INTERFACE_ADDR_NO_DAD, &ifc);

    if (rc != 0)
        return rc;
    snprintf(text, sizeof(text), "10.9.0.%u/24", i + 1);
    rc = ip_prefix_parse(text, &prefix);
    if (rc == 0)
        rc = interface_add_address(ifc, &prefix, INTERFACE_ADDR_NO_DAD);
    snprintf(text, sizeof(text), "fd09::%u/64", i + 1);
    if (rc == 0)
        rc = ip_prefix_parse(text, &prefix);
    if (rc == 0)
        rc = interface_add_address(ifc, &prefix, INTERFACE_ADDR_NO_DAD);
    return rc;
}

static int stack_make(unsigned i, uint64_t seed, struct stack **out)
{
    struct stack_options opt = { .n_workers = 1, .seed = seed * 2 + i + 1, .n_small_pkts = 4096, .n_big_pkts = 128 };
    char name[32];

    snprintf(name, sizeof(name), "sim%u", i);
    opt.pool_name = name;
    return stack_create(&opt, out);
}

int sim_pair_create(struct sim_pair *p, uint64_t seed, const struct sim_params *link, bool one_sided)
{
    int rc;

    memset(p, 0, sizeof(*p));
    p->net = sim_net_create(seed);
    if (!p->net)
        return -ENOMEM;
    for (unsigned i = 0; i < (one_sided ? 1 : 2); i++) {
        rc = stack_make(i, seed, &p->stack[i]);
        if (rc != 0)
            goto undo_create;
    }
    rc = sim_net_link(p->net, p->stack[0], p->stack[1], link, &p->link);
    for (unsigned i = 0; rc == 0 && i < 2; i++) {
        if (p->stack[i])
            rc = add_addresses(p->stack[i], i);
    }
    if (rc == 0)
        return 0;
undo_create:
    sim_pair_destroy(p);
    return rc;
}

void sim_pair_destroy(struct sim_pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        if (p->stack[i])
            stack_destroy(p->stack[i]);
    }
    if (p->net)
        sim_net_destroy(p->net);
    memset(p, 0, sizeof(*p));
}

void sim_pair_crash(struct sim_pair *p, unsigned i)
{
    sim_net_remove_stack(p->net, p->stack[i]);
    stack_destroy(p->stack[i]);
    p->stack[i] = NULL;
}

int sim_pair_restart(struct sim_pair *p, unsigned i, uint64_t seed, const struct sim_params *link)
{
    int rc = stack_make(i, seed, &p->stack[i]);

    if (rc == 0)
        rc = sim_net_attach(p->link, p->stack[i], link);
    return rc < 0 ? rc : add_addresses(p->stack[i], i);
}

struct ip_endpoint sim_pair_endpoint(unsigned i, bool v4, uint16_t port)
{
    struct ip_endpoint e = { .port = be16_of(port) };
    char text[IP_ADDR_TEXT_MAX];

    snprintf(text, sizeof(text), v4 ? "10.9.0.%u" : "fd09::%u", i + 1);
    ip_addr_parse(text, &e.ip);
    return e;
}

unsigned sim_pair_pkts_in_use(const struct sim_pair *p, unsigned i)
{
    return rte_mempool_in_use_count(p->stack[i]->pools.small) + rte_mempool_in_use_count(p->stack[i]->pools.big);
}

void sim_choose_link(uint64_t *rng, const struct sim_ranges *ranges, struct sim_params *out)
{
    static const uint16_t mtus[] = { 1500, 1500, 1280, 1400, 9000 };

    memset(out, 0, sizeof(*out));
    out->mtu = mtus[sim_below(rng, HS_ARRAY_LEN(mtus))];
    out->delay_us = sim_chance(rng, 30) ? 0 : sim_below(rng, 60000);
    if (sim_chance(rng, 50))
        out->loss_ppm = sim_below(rng, ranges->loss_ppm);
    if (sim_chance(rng, 10))
        out->loss_ppm = sim_below(rng, ranges->bad_loss_ppm);
    if (sim_chance(rng, 20)) {
        out->burst_ppm = sim_below(rng, ranges->burst_ppm);
        out->burst_len = 2 + sim_below(rng, ranges->burst_more);
    }
    if (sim_chance(rng, 40))
        out->dup_ppm = sim_below(rng, 50000);
    if (sim_chance(rng, 40)) {
        out->reorder_ppm = sim_below(rng, 100000);
        out->reorder_us = sim_below(rng, 30000);
    }
    if (sim_chance(rng, 30))
        out->jitter_us = sim_below(rng, 5000);
    if (sim_chance(rng, 30)) {
        out->bits_per_s = 1000000ull << sim_below(rng, 8);
        out->queue_frames = 10 + sim_below(rng, 100);
    }
}
