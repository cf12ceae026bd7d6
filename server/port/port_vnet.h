/* port_vnet.h - frames with a struct virtio_net_hdr over a descriptor: what TAP and AF_PACKET ports share
 *
 * rx: each slot offers the kernel a small packet and, behind it, a big one. An ordinary frame fits the small one and the big one stays
 * for the next; a super-frame fills both, which become one packet of two pieces. Nothing is copied.
 * tx: the pieces of a packet behind a header that says which checksum to complete and how to cut it.
 *
 * Owner:  one vnet_queue per port queue.
 * Thread: rx: the queue's worker; tx: any worker (the kernel serializes; counters are atomic).
 * Errors: malformed frames are dropped and counted. */
#ifndef HOSTSTACK_SERVER_PORT_VNET_H
#define HOSTSTACK_SERVER_PORT_VNET_H

#include <linux/virtio_net.h>
#include <sys/uio.h>

#include "server/port/port_internal.h"

enum vnet_limits {
    VNET_SLOTS = 32,
    VNET_MAX_PIECES = 8,         /* of one packet on tx */
    VNET_TSO_MAX = 65000,        /* IP bytes; the kernel's limit is 65536 with headers */
    VNET_MAX_UDP_SEGS = 128,     /* the kernel's UDP_MAX_SEGMENTS */
    VNET_PENDING = VNET_SLOTS * VNET_MAX_UDP_SEGS,
};

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

struct vnet_slot {
    struct virtio_net_hdr hdr;
    struct pkt *small, *big;
    struct iovec iov[3];
    uint16_t tpid, tci;          /* VLAN tag that the kernel took out of the frame; tpid 0 = none */
};

struct vnet_queue {
    int fd;
    struct vnet_slot slot[VNET_SLOTS];
    struct pkt *pending[VNET_PENDING]; /* datagrams cut from UDP super-frames that did not fit a burst */
    unsigned pending_head, n_pending;
    struct port_stats stats HS_ALIGNED_LINE; /* rx: the worker; tx: atomic */
};

bool vnet_slot_prepare(struct vnet_queue *q, unsigned slot, struct pkt_pools *pools); /* false: no packets left (counted) */
/* The slot was filled with len bytes behind the header. Puts packets into pkts (room for n) and q->pending; returns how many into pkts. */
unsigned vnet_slot_take(struct vnet_queue *q, unsigned slot, uint32_t len, struct pkt_pools *pools, struct pkt **pkts, unsigned n);
unsigned vnet_take_pending(struct vnet_queue *q, struct pkt **pkts, unsigned n);
/* Header and pieces of p for writing: iov[0] is the header. Number of iovs, or 0: too many pieces. */
int vnet_tx_iov(struct pkt *p, struct virtio_net_hdr *h, struct iovec iov[1 + VNET_MAX_PIECES]);
/* p at its Ethernet header gets the 802.1Q tag back that a port or a driver has taken out of it. */
void vnet_insert_tag(struct pkt *p, uint16_t tpid, uint16_t tci);
void vnet_queue_fini(struct vnet_queue *q);
void vnet_add_stats(const struct vnet_queue *q, struct port_stats *out);
/* A locally administered address that stays the same for the same text and seed address. */
void vnet_make_mac(const char *text, const uint8_t seed[6], uint8_t mac[6]);

static inline void vnet_count_tx(struct vnet_queue *q, unsigned packets, uint64_t bytes, unsigned drops)
{
    __atomic_fetch_add(&q->stats.tx_packets, packets, __ATOMIC_RELAXED);
    __atomic_fetch_add(&q->stats.tx_bytes, bytes, __ATOMIC_RELAXED);
    if (drops)
        __atomic_fetch_add(&q->stats.tx_drops, drops, __ATOMIC_RELAXED);
}

#endif
