/* dhcp_msg.h - DHCP messages (RFC 2131 s2, RFC 2132): what a client reads and sends
 * Owner:  the caller's structs; nothing is allocated.
 * Thread: any.
 * Errors: 0 or -EBADMSG. */
#ifndef HOSTSTACK_SERVER_DHCP_MSG_H
#define HOSTSTACK_SERVER_DHCP_MSG_H

#include "common/ip_addr.h"

enum dhcp_type {
    DHCP_DISCOVER = 1, DHCP_OFFER, DHCP_REQUEST, DHCP_DECLINE, DHCP_ACK, DHCP_NAK, DHCP_RELEASE,
};
enum dhcp_msg_limits {
    DHCP_MSG_FIXED = 240,        /* header with the cookie */
    DHCP_MSG_MIN = 300,          /* what is sent is at least so long: BOOTP relays drop less (RFC 1542 s2.1) */
    DHCP_MSG_MAX = 1472,         /* UDP payload that an Ethernet frame takes */
    DHCP_MAX_ADDRS = 4,
    DHCP_MAX_ROUTES = 32,
    DHCP_TEXT_MAX = 64,
};

struct dhcp_route {
    struct ip_prefix prefix;
    struct ip_addr via;          /* any = on the link */
};
struct dhcp_msg {                /* from a server */
    uint8_t type;                /* enum dhcp_type: OFFER, ACK, NAK */
    uint8_t mac[6];
    uint32_t xid;
    struct ip_addr yours;        /* the address given; any = none */
    struct ip_addr server;       /* its identifier; any = none */
    uint8_t prefix_len;
    uint16_t mtu;                /* 0 = not told, as the next three */
    uint32_t lease_s, renew_s, rebind_s;
    unsigned n_routers, n_dns, n_routes;
    struct ip_addr router[DHCP_MAX_ADDRS], dns[DHCP_MAX_ADDRS];
    bool has_classless;          /* option 121: routers do not count (RFC 3442) */
    struct dhcp_route route[DHCP_MAX_ROUTES];
    char text[DHCP_TEXT_MAX];    /* why not; printable */
};

/* -EBADMSG: not a server's message, cut, an option longer than its field or of a length it cannot have, none of the types above, an
 * address that no host can have. */
int dhcp_msg_parse(const uint8_t *b, uint32_t len, struct dhcp_msg *out);

struct dhcp_request {            /* to a server */
    uint8_t type;
    uint8_t mac[6];
    uint32_t xid;
    uint16_t secs;
    bool wants_broadcast;        /* the answer: we cannot be reached by an address yet */
    struct ip_addr ciaddr;       /* our address, once we use it; any = none, as the next two */
    struct ip_addr asked;        /* option 50 */
    struct ip_addr server;       /* option 54 */
};
uint32_t dhcp_msg_build(const struct dhcp_request *r, uint8_t b[DHCP_MSG_MAX]); /* its length */

#endif
