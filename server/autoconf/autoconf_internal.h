/* autoconf_internal.h - what an interface has been told
 * Owner:  struct autoconf.
 * Thread: control thread. */
#ifndef HOSTSTACK_SERVER_AUTOCONF_INTERNAL_H
#define HOSTSTACK_SERVER_AUTOCONF_INTERNAL_H

#include "server/autoconf/autoconf.h"
#include "server/ip/ip_internal.h"
#include "server/ip/ip_mailbox.h"

enum autoconf_limits {
    AUTOCONF_MSG_MAX = 1280,
    AUTOCONF_FIRST_US = 100000,
    AUTOCONF_TICK_US = 500000,
    AUTOCONF_ROUTERS = 4,
    AUTOCONF_PREFIXES = 8,
    AUTOCONF_REDIRECTS = 16,
    AUTOCONF_ROUTES = 16,
    AUTOCONF_RS_MAX = 3,         /* RFC 4861 s10: MAX_RTR_SOLICITATIONS, RTR_SOLICITATION_INTERVAL */
    AUTOCONF_RS_US = 4000000,
    AUTOCONF_ID_RETRIES = 3,     /* RFC 7217 s6 */
};

enum { AUTOCONF_REDIRECT_US = 600000000 }; /* RFC 4861 leaves it to us how long a redirect is believed */

struct autoconf_until { uint64_t us; }; /* 0 = the place is free; UINT64_MAX = for ever */

struct autoconf_router {
    struct autoconf_until until; /* first, as in the next two: autoconf_is_over() */
    struct ip_addr ip;
    int8_t preference;           /* RFC 4191 s2.1: 1 high, 0 medium, -1 low */
    bool is_silent;              /* did not answer when it was asked for, and has not been heard of since */
};
struct autoconf_redirect {
    struct autoconf_until until;
    struct ip_addr dst, via;     /* via any: dst is on the link */
};
struct autoconf_prefix {
    bool is_used, on_link, has_address, has_route;
    struct ip_prefix prefix;
    struct ip_prefix address;    /* as it stands at the interface */
    uint8_t dad_counter;
    uint64_t valid_until_us, preferred_until_us; /* UINT64_MAX = for ever */
};
struct autoconf_route {          /* RFC 4191: one router's word about one prefix */
    struct autoconf_until until;
    struct ip_prefix prefix;
    struct ip_addr router;
    int8_t preference;           /* as of a router */
    bool is_silent, is_in;       /* is_in: it is the route that is used */
};
struct autoconf_ifc {
    struct interface *ifc;       /* NULL = not enabled */
    unsigned addr_flags;         /* enum interface_addr_flags, of addresses made here */
    unsigned rs_left;
    uint64_t rs_at_us;
    struct autoconf_router router[AUTOCONF_ROUTERS];
    struct ip_addr gateway;      /* of the default route that is in; any = none */
    struct autoconf_prefix prefix[AUTOCONF_PREFIXES];
    struct autoconf_redirect redirect[AUTOCONF_REDIRECTS];
    struct autoconf_route route[AUTOCONF_ROUTES];
};
static_assert((int)AUTOCONF_MSG_MAX <= (int)IP_MAILBOX_MSG_MAX, "an advertisement fits the mailbox");

struct autoconf {
    struct ip_mailbox box;
    uint8_t secret[16];          /* RFC 7217: the same at every start of this machine */
    struct autoconf_ifc ifc[INTERFACES_MAX]; /* by the interface's index */
};

/* A list of n things of that size, each of which begins with its struct autoconf_until: is one of them over? */
bool autoconf_is_over(const void *list, unsigned n, size_t size, uint64_t now_us);
/* ra.c; workers are held. True: something has changed. */
bool ra_apply(struct autoconf *a, struct autoconf_ifc *ai, const struct ip_mailbox_msg *m, uint64_t now_us);
bool ra_is_due(const struct autoconf_ifc *ai, uint64_t now_us); /* ra_tick() would change a prefix; workers run */
bool ra_tick(struct autoconf *a, struct autoconf_ifc *ai, uint64_t now_us);
/* Is ip a router here, or where a redirect leads? Workers run. */
bool ra_knows(const struct autoconf_ifc *ai, const struct ip_addr *ip);
bool ra_failed(struct autoconf_ifc *ai, const struct ip_addr *ip, uint64_t now_us); /* it did not answer */
/* redirect.c; workers are held, but for redirect_is_due() */
bool redirect_apply(struct autoconf_ifc *ai, const struct ip_mailbox_msg *m, uint64_t now_us);
bool redirect_tick(struct autoconf_ifc *ai, uint64_t now_us);
bool redirect_failed(struct autoconf_ifc *ai, const struct ip_addr *ip);
/* route_info.c; workers are held. o: the option, whole. read: false: not to be believed. */
bool route_info_read(const uint8_t *o, struct ip_prefix *prefix, int8_t *preference);
bool route_info_heard(struct autoconf_ifc *ai, const struct ip_addr *router, const struct ip_prefix *prefix, int8_t preference, uint64_t until_us,
                      uint64_t now_us);
bool route_info_tick(struct autoconf_ifc *ai, uint64_t now_us);
bool route_info_failed(struct autoconf_ifc *ai, const struct ip_addr *router);
void ra_solicit(struct autoconf_ifc *ai, uint64_t now_us); /* workers run */

#endif
