/* linux_sync.h - interfaces that have the addresses, routes and permanent neighbours of a kernel interface, and follow its changes
 * Owner:  struct stack, from the first linux_sync_enable() to linux_sync_destroy().
 * Thread: control thread.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_LINUX_SYNC_H
#define HOSTSTACK_SERVER_LINUX_SYNC_H

#include "server/ip/interface.h"

/* Before workers run: takes what is there at once. addr_flags: INTERFACE_ADDR_NO_DAD or 0. kernel_ifc need not exist yet. */
int linux_sync_enable(struct interface *ifc, const char *kernel_ifc, unsigned addr_flags);
int linux_sync_fd(const struct stack *s);   /* readable when linux_sync_poll() has something to do; -1 = nothing is enabled */
bool linux_sync_poll(struct stack *s);      /* true: something has changed */
void linux_sync_destroy(struct stack *s);   /* no worker runs any more */

#endif
