/* autoconf.h - interfaces that take addresses and routes from router advertisements (RFC 4861 s6.3, RFC 4862)
 *
 *   worker: advertisement comes -> checked, queued, eventfd rung
 *   control thread: autoconf_poll() -> lifetimes, routers, prefixes -> addresses and routes changed while workers are held
 *
 * Owner:  struct stack, from the first autoconf_enable() to autoconf_destroy().
 * Thread: control thread; autoconf_ra_input(): any worker.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_AUTOCONF_H
#define HOSTSTACK_SERVER_AUTOCONF_H

#include "server/worker/worker.h"

struct interface;

/* Before workers run. addr_flags: INTERFACE_ADDR_NO_DAD or 0, of addresses made here. -EINVAL (no IPv6 there), -ENOMEM. */
int autoconf_enable(struct interface *ifc, unsigned addr_flags);
int autoconf_fd(const struct stack *s);       /* readable when autoconf_poll() has something to do; -1 = nothing is enabled */
bool autoconf_poll(struct stack *s, uint64_t now_us); /* true: addresses or routes have changed */
void autoconf_destroy(struct stack *s);       /* no worker runs any more */

/* p at the ICMPv6 header of an advertisement, checksum verified. Takes it. */
void autoconf_ra_input(struct worker *w, struct pkt *p);
/* The same of a redirect (RFC 4861 s8.1). */
void autoconf_redirect_input(struct worker *w, struct pkt *p);
/* An IPv6 neighbour did not answer: it may be a router. Any worker. */
void autoconf_neighbor_failed(struct worker *w, struct interface *ifc, const struct ip_addr *ip);
struct json_t;
void autoconf_show(struct stack *s, struct json_t *array);

#endif
