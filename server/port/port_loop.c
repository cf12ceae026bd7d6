/* port_loop.c - the port of the loopback interface: addresses of the host that belong to no network
 *
 *   device loopback
 *
 * Packets to our own addresses never come to a port (ip_output.c). What comes here is for an address of the interface's prefixes that nobody
 * has, or asks who has it: there is no link, it is gone. */
#include <errno.h>
#include <stdlib.h>

#include "server/port/port_vnet.h"

enum { LOOP_MTU = 65521 };

static unsigned loop_rx_burst(struct port *p HS_UNUSED, unsigned queue HS_UNUSED, struct pkt **pkts HS_UNUSED, unsigned n HS_UNUSED)
{
    return 0;
}

static unsigned loop_tx_burst(struct port *p, unsigned queue HS_UNUSED, struct pkt **pkts, unsigned n)
{
    uint64_t *drops = p->priv;

    for (unsigned i = 0; i < n; i++)
        pkt_free(pkts[i]);
    __atomic_fetch_add(drops, n, __ATOMIC_RELAXED); /* any worker sends here */
    return n;
}

static void loop_stats(struct port *p, struct port_stats *out)
{
    *out = (struct port_stats){ .tx_drops = __atomic_load_n((uint64_t *)p->priv, __ATOMIC_RELAXED) };
}

static int loop_link_up(struct port *p HS_UNUSED) { return 1; }

static void loop_close(struct port *p)
{
    free(p->priv);
    p->priv = NULL;
}

static const struct port_ops loop_ops = {
    .kind = "loopback",
    .rx_burst = loop_rx_burst,
    .tx_burst = loop_tx_burst,
    .stats = loop_stats,
    .link_up = loop_link_up,
    .close = loop_close,
};

int port_loop_open(struct port *p, const struct port_config *cfg, const char *args, char *err, size_t err_len)
{
    static const uint8_t none[6];

    if (args[0] != '\0') {
        port_fail(err, err_len, "loopback takes no arguments, not '%s'", args);
        return -EINVAL;
    }
    p->priv = calloc(1, sizeof(uint64_t));
    if (!p->priv) {
        port_fail(err, err_len, "out of memory");
        return -ENOMEM;
    }
    p->ops = &loop_ops;
    p->mtu = cfg->mtu ? cfg->mtu : LOOP_MTU;
    p->n_tx_queues = 1;
    p->offloads = PORT_TX_CSUM | PORT_RX_CSUM | PORT_MT_TX | PORT_NO_LINK;
    if (cfg->has_mac)
        memcpy(p->mac, cfg->mac, 6);
    else
        vnet_make_mac(cfg->name, none, p->mac);
    return 0;
}
