/* core_fixture.c - two stacks, 10.7.0.1 and 10.7.0.2 (fd07::1, fd07::2), on a simulated link */
#include "tests/unit/core/core_fixture.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <unistd.h>
#include <rte_eal.h>
#include "server/ip/interface.h"
#include "server/tcp/tcp.h"

void core_eal_init(void)
{
    char prefix[64];
    char *argv[] = { "core", "--no-huge", "-m", "128", "--no-pci", "--no-shconf", "--no-telemetry", "--log-level=error", prefix,
                     NULL };

    snprintf(prefix, sizeof(prefix), "--file-prefix=hs-core-%d", (int)getpid());
    cr_assert_geq(rte_eal_init((int)HS_ARRAY_LEN(argv) - 1, argv), 0);
    cr_assert_eq(transport_register(&tcp_transport_ops), 0);
}

static void add_address(struct interface *ifc, const char *text)
{
    struct ip_prefix prefix;

    cr_assert_eq(ip_prefix_parse(text, &prefix), 0);
    cr_assert_eq(interface_add_address(ifc, &prefix, INTERFACE_ADDR_NO_DAD), 0);
}

void core_fixture_make(struct core_fixture *f, uint64_t seed, unsigned n_workers, const struct sim_params *link)
{
    static const struct sim_params perfect;
    char name[32], text[32];

    f->net = sim_net_create(seed);
    cr_assert_not_null(f->net);
    for (unsigned i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "core%u", i);
        struct stack_options opt = { .n_workers = i ? 1 : n_workers, .seed = seed * 2 + i + 1, .n_small_pkts = 4096, .n_big_pkts = 64,
                                     .pool_name = name };
        cr_assert_eq(stack_create(&opt, &f->stack[i]), 0);
    }
    cr_assert_eq(sim_net_link(f->net, f->stack[0], f->stack[1], link ? link : &perfect, &f->link), 0);
    for (unsigned i = 0; i < 2; i++) {
        struct interface *ifc;
        cr_assert_eq(interface_add(f->stack[i], 0, 0, 0, INTERFACE_ADDR_NO_DAD, &ifc), 0);
        snprintf(text, sizeof(text), "10.7.0.%u/24", i + 1);
        add_address(ifc, text);
        snprintf(text, sizeof(text), "fd07::%u/64", i + 1);
        add_address(ifc, text);
    }
}

void core_fixture_end(struct core_fixture *f)
{
    for (unsigned i = 0; i < 2; i++)
        stack_destroy(f->stack[i]);
    sim_net_destroy(f->net);
}

struct ip_endpoint core_endpoint(const char *ip, uint16_t port)
{
    struct ip_endpoint e;

    cr_assert_eq(ip_addr_parse(ip, &e.ip), 0);
    e.port = be16_of(port);
    return e;
}

void core_run(struct core_fixture *f, uint64_t us)
{
    cr_assert_eq(sim_net_run_until(f->net, sim_net_now_us(f->net) + us), 0);
}
