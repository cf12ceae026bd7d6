/* port_vhost.c - super-frames to the guest of a net_vhost port, while it takes them */
#include <errno.h>
#include <linux/virtio_net.h>
#include <rte_eth_vhost.h>
#include <rte_ethdev.h>

#include "server/port/port_internal.h"

enum { VHOST_TSO_MAX = 65000 };

/* All of it, or nothing: 64 KB without MRG_RXBUF would need buffers of that size. */
static bool takes_super_frames(uint16_t device)
{
    const uint64_t need = 1ull << VIRTIO_NET_F_GUEST_CSUM | 1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_TSO6 |
                          1ull << VIRTIO_NET_F_MRG_RXBUF;
    int vid = rte_eth_vhost_get_vid_from_port_id(device);
    uint64_t features = 0;

    return vid >= 0 && rte_vhost_get_negotiated_features(vid, &features) == 0 && (features & need) == need;
}

/* A guest has come or gone; on a thread of the driver's. */
static int link_changed(uint16_t device, enum rte_eth_event_type event HS_UNUSED, void *arg, void *ret HS_UNUSED)
{
    struct port *p = arg;

    if (takes_super_frames(device))
        __atomic_fetch_or(&p->offloads, PORT_TX_TSO, __ATOMIC_RELAXED);
    else
        __atomic_fetch_and(&p->offloads, ~(uint32_t)PORT_TX_TSO, __ATOMIC_RELAXED);
    return 0;
}

void port_vhost_watch(struct port *p, uint16_t device)
{
    p->tso_max = VHOST_TSO_MAX;
    if (rte_eth_dev_callback_register(device, RTE_ETH_EVENT_INTR_LSC, link_changed, p) == 0)
        link_changed(device, RTE_ETH_EVENT_INTR_LSC, p, NULL); /* it may be there already */
}

void port_vhost_unwatch(struct port *p, uint16_t device)
{
    while (rte_eth_dev_callback_unregister(device, RTE_ETH_EVENT_INTR_LSC, link_changed, p) == -EAGAIN)
        ; /* it runs just now */
}
