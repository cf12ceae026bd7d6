/* port.h - a network port: any DPDK device, an own TAP or AF_PACKET boundary to the kernel, or the simulated network
 * Owner:  the stack (control thread opens and closes); each queue is used by one worker only.
 * Thread: rx_burst/tx_burst: the queue's worker. Others: control thread while no worker runs, unless said.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_PORT_H
#define HOSTSTACK_SERVER_PORT_H

#include "server/pkt/pkt.h"

enum port_offloads {
    PORT_TX_CSUM = 1u << 0,   /* completes PKT_L4_CSUM_NEEDED (TCP and UDP, both families) */
    PORT_TX_TSO = 1u << 1,    /* takes PKT_GSO up to tso_max bytes */
    PORT_RX_CSUM = 1u << 2,   /* sets PKT_L4_CSUM_GOOD where it may */
    PORT_MT_TX = 1u << 3,     /* tx_burst on one queue from any worker is safe (no own tx queue per worker needed) */
    PORT_NO_LINK = 1u << 4,   /* nobody is at the other end: nothing is asked nor announced there */
    PORT_RX_LRO = 1u << 5,    /* several TCP segments may come as one packet */
    PORT_RX_VLAN = 1u << 6,   /* 802.1Q tags come beside the frame (PKT_VLAN) */
    PORT_TX_VLAN = 1u << 7,   /* takes PKT_VLAN */
    PORT_TX_SCTP_CSUM = 1u << 9, /* completes PKT_L4_CSUM_NEEDED of SCTP: CRC32c */
    PORT_TX_ATTACHED = 1u << 10, /* takes PKT_ATTACHED: has copied the bytes, or will not send them, when tx_burst has taken the packet */
    PORT_RX_CALL = 1u << 8,   /* rx_burst is a system call: not to be made in vain more than needed */
};

struct port;
struct port_stats { uint64_t rx_packets, rx_bytes, tx_packets, tx_bytes, rx_errors, rx_nombuf, tx_drops; };

struct port_ops {
    const char *kind;
    /* Up to n packets, at the Ethernet header (meta.flags filled). Never blocks. */
    unsigned (*rx_burst)(struct port *p, unsigned queue, struct pkt **pkts, unsigned n);
    /* Takes packets at the Ethernet header; returns how many it took (those are given away). */
    unsigned (*tx_burst)(struct port *p, unsigned queue, struct pkt **pkts, unsigned n);
    /* Descriptor that polls readable when rx_burst may have packets, or -1: the worker must poll in bounded intervals. */
    int (*rx_wait_fd)(struct port *p, unsigned queue);
    /* Arms/disarms the wait descriptor (device interrupts); may be NULL. After arming the worker polls rx once more. */
    int (*rx_intr)(struct port *p, unsigned queue, bool enable);
    void (*stats)(struct port *p, struct port_stats *out);   /* any thread */
    int (*link_up)(struct port *p);                          /* 1, 0; any thread */
    void (*close)(struct port *p);
};

struct port {
    const struct port_ops *ops;
    char name[32];
    char kernel_name[16];    /* of the kernel's interface whose frames it has; empty: none */
    uint8_t mac[6];
    uint16_t mtu;            /* IP bytes */
    uint32_t offloads;       /* enum port_offloads; atomic: PORT_TX_TSO may follow the other end, see port_offloads() */
    uint32_t tso_max;        /* largest IP packet with PKT_GSO, 0 = none */
    unsigned n_rx_queues, n_tx_queues;
    struct pkt_pools *pools;
    void *priv;
};

static inline uint32_t port_offloads(const struct port *p) { return __atomic_load_n(&p->offloads, __ATOMIC_RELAXED); }

struct port_config {         /* from the port stanza */
    char name[32];
    char device[512];        /* "tap ifname=hs0", "packet iface=veth0", "<dpdk vdev or PCI address with arguments>" */
    uint16_t mtu;            /* 0 = the device's */
    unsigned n_queues;       /* wanted rx-queues; the port may give fewer */
    uint8_t mac[6];
    bool has_mac;
    bool is_member;          /* of a bond: made known to DPDK only, its port is the bond's */
    bool has_vlans;          /* frames with 802.1Q tags are wanted, with their tags */
};
/* Opens by the first word of device: "tap" (port_tap.c), "packet" (port_packet.c), else a DPDK device (port_ethdev.c).
 * On failure err holds one sentence. */
int port_open(const struct port_config *cfg, struct pkt_pools *pools, struct port **out, char *err, size_t err_len);
/* A DPDK device that net_bonding will take by its name. On failure err holds one sentence. */
int port_member_open(const struct port_config *cfg, char *err, size_t err_len);
void port_close(struct port *p);

#endif
