/* eth.h - Ethernet II and 802.1Q tags between ports and ARP, IPv4, IPv6
 * Thread: the worker.
 * Errors: one counter per dropped packet (eth_drops.def). */
#ifndef HOSTSTACK_SERVER_ETH_H
#define HOSTSTACK_SERVER_ETH_H

#include "server/worker/worker.h"

enum eth_limits { ETH_HDR_LEN = 14, ETH_TAG_LEN = 4, ETH_ALEN = 6 };
enum eth_type { ETH_TYPE_IPV4 = 0x0800, ETH_TYPE_ARP = 0x0806, ETH_TYPE_VLAN = 0x8100, ETH_TYPE_IPV6 = 0x86dd };

struct eth_hdr {
    uint8_t dst[6], src[6];
    be16 type;
} __attribute__((packed));
static_assert(sizeof(struct eth_hdr) == ETH_HDR_LEN, "eth_hdr");
struct eth_tag {                /* behind an eth_hdr of ETH_TYPE_VLAN (IEEE 802.1Q s9.5) */
    be16 tci;                   /* priority 3 bits, drop eligible 1 bit, VLAN 12 bits */
    be16 type;
} __attribute__((packed));
static_assert(sizeof(struct eth_tag) == ETH_TAG_LEN, "eth_tag");

/* Packets from port `port` at the Ethernet header. Takes them. */
void eth_input(struct worker *w, unsigned port, struct pkt **pkts, unsigned n);
/* p at the network header; pushes the Ethernet header and queues it for the interface's port. Takes p. */
void eth_output(struct worker *w, struct interface *ifc, struct pkt *p, const uint8_t dst[6], uint16_t type);

static inline bool eth_is_multicast(const uint8_t mac[6]) { return (mac[0] & 1) != 0; }
static inline bool eth_is_broadcast(const uint8_t mac[6])
{
    return (mac[0] & mac[1] & mac[2] & mac[3] & mac[4] & mac[5]) == 0xff;
}

#endif
