/* dhcp.h - interfaces whose IPv4 address, routes and MTU come from a DHCP server (RFC 2131)
 *
 *   worker: message to port 68 -> checked, queued, control thread rung
 *   control thread: dhcp_poll() -> dhcp_client -> addresses and routes changed while workers are held; requests go out by worker 0
 *
 * Owner:  struct stack, from the first dhcp_enable() to dhcp_destroy().
 * Thread: control thread; dhcp_input(): any worker.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_DHCP_H
#define HOSTSTACK_SERVER_DHCP_H

#include "server/worker/worker.h"

struct interface;
struct json_t;

/* Before workers run. addr_flags: INTERFACE_ADDR_NO_DAD or 0, of the address. dir: where the address is kept for the next run, which asks
 * for it again (the same for all interfaces); NULL = nowhere. -ENOMEM, -errno of descriptors. */
int dhcp_enable(struct interface *ifc, unsigned addr_flags, const char *dir);
int dhcp_fd(const struct stack *s);           /* readable when dhcp_poll() has something to do; -1 = nothing is enabled */
bool dhcp_poll(struct stack *s, uint64_t now_us); /* true: addresses or routes have changed */
/* The end: leases are given back, while workers still run. Waits for the messages to leave, some tenths of a second at most. */
void dhcp_release_all(struct stack *s, uint64_t now_us);
void dhcp_destroy(struct stack *s);           /* no worker runs any more */
void dhcp_show(struct stack *s, struct json_t *array);

/* p at the L4 header of a datagram of IPv4 that came in by an interface with a client. True: it was for the client, and is taken. */
bool dhcp_input(struct worker *w, struct pkt *p);

#endif
