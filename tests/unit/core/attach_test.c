/* attach_test.c - payload that a port takes where it lies in the program's FIFO: whole streams, a port that takes nothing for a while,
 * and one that takes no such packets any more */
#include "tests/unit/core/core_fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

enum { LARGE = 16384, MANY = 3 << 20, SOME = 120000 };

static struct core_fixture fx; /* criterion runs each test in a process of its own */
static struct sim_app *client, *server;
static struct sim_sock *from, *to;
static const struct port_ops *plain;
static struct port_ops watching;
static struct {
    bool takes_none;
    unsigned n_attached, n_copied;      /* large packets that it took */
    unsigned n_refused_attached, n_refused_copied;
} seen;

static unsigned watched_tx(struct port *p, unsigned queue, struct pkt **pkts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        bool is_attached = pkt_meta(pkts[i])->flags & PKT_ATTACHED;

        if (pkt_len(pkts[i]) < LARGE) {
            cr_assert(!is_attached, "a few bytes are copied");
            continue;
        }
        seen.n_attached += is_attached && !seen.takes_none;
        seen.n_copied += !is_attached && !seen.takes_none;
        seen.n_refused_attached += is_attached && seen.takes_none;
        seen.n_refused_copied += !is_attached && seen.takes_none;
    }
    return seen.takes_none ? 0 : plain->tx_burst(p, queue, pkts, n);
}

static void begin(const char *to_ip)
{
    const struct sim_params link = { .offload = true, .delay_us = 20 };
    const struct sim_app_options opt = { .rx_max = 1 << 20, .tx_max = 1 << 20 };
    struct ip_endpoint e = core_endpoint(to_ip, 80);
    struct sim_sock *l;

    core_eal_init();
    core_fixture_make(&fx, 7, 1, &link);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(sim_app_create(fx.stack[i]->worker[0], &opt, i ? &server : &client), 0);
    core_run(&fx, 1000);
    cr_assert_eq(sim_listen(server, SVM_PROTO_TCP, &e, 4, &l), 0);
    cr_assert_eq(sim_connect(client, SVM_PROTO_TCP, NULL, &e, &from), 0);
    for (int i = 0; i < 1000 && !(to = sim_accept(l)); i++)
        core_run(&fx, 1000);
    cr_assert_not_null(to);
    plain = fx.stack[0]->port[0]->ops;
    watching = *plain;
    watching.tx_burst = watched_tx;
    fx.stack[0]->port[0]->ops = &watching;
}

static void end(void)
{
    fx.stack[0]->port[0]->ops = plain;
    sim_app_destroy(client);
    sim_app_destroy(server);
    core_fixture_end(&fx);
}

/* Bytes of the pattern arrive until there are so many. */
static void receive(uint64_t upto, bool writes)
{
    for (unsigned i = 0; i < 100000 && to->read < upto; i++) {
        if (writes && from->written < upto)
            sim_write_pattern(from, 3, (uint32_t)(upto - from->written));
        core_run(&fx, 50);
        cr_assert_neq(sim_read_check(to, 3, 4 << 20), -EILSEQ, "at %lu", (unsigned long)to->read);
    }
    cr_assert_eq(to->read, upto);
}

static void stream(const char *ip)
{
    begin(ip);
    receive(MANY, true);
    cr_assert_gt(seen.n_attached, MANY / 65536 / 2, "%u, %u copied", seen.n_attached, seen.n_copied);
    cr_assert_eq(seen.n_copied, 0);
    /* It was known to take them, and does no more: as when a route goes by another port now. */
    memset(&seen, 0, sizeof(seen));
    fx.stack[0]->port[0]->offloads &= ~(uint32_t)PORT_TX_ATTACHED;
    receive(2 * MANY, true);
    cr_assert_gt(seen.n_copied, 0);
    cr_assert_eq(seen.n_attached, 0);
    end();
}

/* What the port has not taken at the end of the turn has its own bytes: whatever becomes of those in the FIFO. */
static void refused(const char *ip)
{
    begin(ip);
    receive(MANY, true);
    memset(&seen, 0, sizeof(seen));
    seen.takes_none = true;
    cr_assert_eq(sim_write_pattern(from, 3, SOME), SOME);
    core_run(&fx, 3000);
    cr_assert_gt(seen.n_refused_attached, 0);
    cr_assert_gt(seen.n_refused_copied, 0, "asked again, with copies");
    unsigned attached = seen.n_refused_attached;
    core_run(&fx, 1000);
    cr_assert_eq(seen.n_refused_attached, attached);
    memset(from->tx.data, 0xee, (size_t)from->tx.mask + 1);
    seen.takes_none = false;
    receive(MANY + SOME, false);
    cr_assert_eq(seen.n_attached, 0);
    end();
}

Test(attach, stream_v4) { stream("10.7.0.2"); }
Test(attach, stream_v6) { stream("fd07::2"); }
Test(attach, port_that_takes_nothing_v4) { refused("10.7.0.2"); }
Test(attach, port_that_takes_nothing_v6) { refused("fd07::2"); }
