/* dhcp_lease.h - the address of an interface's last lease, in a file of the state directory, so that the next run asks for it (RFC 2131 s3.2)
 * Owner:  nothing is kept; a file DIR/dhcp-INTERFACE of one line: address, hardware address, end of the lease (seconds since 1970).
 * Thread: control.
 * Errors: 0 or -errno. What cannot be read, is of other hardware, or over, is as if it were not there. */
#ifndef HOSTSTACK_SERVER_DHCP_LEASE_H
#define HOSTSTACK_SERVER_DHCP_LEASE_H

#include "common/ip_addr.h"

struct dhcp_lease {
    struct ip_addr address;
    uint8_t mac[6];
    int64_t end_s;               /* INT64_MAX: never */
};

bool dhcp_lease_read(const char *dir, const char *interface, const uint8_t mac[6], int64_t now_s, struct ip_addr *address);
int dhcp_lease_write(const char *dir, const char *interface, const struct dhcp_lease *l);
void dhcp_lease_remove(const char *dir, const char *interface);

#endif
