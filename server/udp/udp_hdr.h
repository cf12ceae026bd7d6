/* udp_hdr.h - UDP on the wire (RFC 768)
 * Thread: any, types only. */
#ifndef HOSTSTACK_SERVER_UDP_HDR_H
#define HOSTSTACK_SERVER_UDP_HDR_H

#include "common/types.h"

struct udp_hdr {
    be16 src, dst, len;
    uint16_t csum; /* as on the wire; 0 = none (IPv4 only) */
} __attribute__((packed));
static_assert(sizeof(struct udp_hdr) == 8, "udp_hdr");

enum udp_limits {
    UDP_HDR_LEN = 8,
    UDP_MAX_V4 = 65535 - 20 - UDP_HDR_LEN,
    UDP_MAX_V6 = 65535 - UDP_HDR_LEN, /* the IPv6 payload length counts no fixed header */
};

#endif
