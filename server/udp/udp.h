/* udp.h - the UDP transport (RFC 768, RFC 1122 s4.1)
 * Owner:  registered once with transport_register(); state per worker. */
#ifndef HOSTSTACK_SERVER_UDP_H
#define HOSTSTACK_SERVER_UDP_H

#include "server/session/transport.h"

extern const struct transport_ops udp_transport_ops;

#endif
