/* preload_ifaddrs.c - getifaddrs(): the kernel's addresses, then the stack's
 *
 * A program that listens to addresses, each by itself (named), or asks whether there is IPv6 at all (lftp), takes them from here. libc's list
 * is one allocation; ours is linked to its end, and one allocation, too. */
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include "preload/preload.h"

enum { IFADDRS_MAX = 1024 };     /* more than a server has */
union ifaddrs_sa { struct sockaddr sa; struct sockaddr_in v4; struct sockaddr_in6 v6; };
struct ifaddrs_own {
    struct ifaddrs ifa;          /* points to the rest */
    char name[sizeof(((struct vcl_address *)0)->name)];
    union ifaddrs_sa addr, mask, broadcast;
};

/* libc's entries have their address where ours have their name. */
static bool ifaddrs_is_own(const struct ifaddrs *ifa)
{
    const struct ifaddrs_own *o = (const struct ifaddrs_own *)(const void *)ifa;

    return ifa->ifa_name == o->name && ifa->ifa_addr == &o->addr.sa && ifa->ifa_netmask == &o->mask.sa;
}

static void ifaddrs_put(union ifaddrs_sa *to, bool is_v4, const uint8_t *bytes)
{
    memset(to, 0, sizeof(*to));
    to->sa.sa_family = is_v4 ? AF_INET : AF_INET6;
    memcpy(is_v4 ? (void *)&to->v4.sin_addr : (void *)&to->v6.sin6_addr, bytes, is_v4 ? 4 : 16);
}

static void ifaddrs_fill(struct ifaddrs_own *o, const struct vcl_address *a)
{
    bool is_v4 = ip_addr_is_v4(&a->ip);
    const uint8_t *ip = a->ip.b + (is_v4 ? 12 : 0);
    uint8_t mask[16] = { 0 }, all[16];

    for (unsigned i = 0; i < 128; i++)
        if (i < a->prefix_len)
            mask[i / 8] |= (uint8_t)(0x80 >> i % 8);
    for (unsigned i = 0; i < (is_v4 ? 4 : 16); i++)
        all[i] = (uint8_t)(ip[i] | ~mask[i]);
    memcpy(o->name, a->name, sizeof(o->name));
    ifaddrs_put(&o->addr, is_v4, ip);
    ifaddrs_put(&o->mask, is_v4, mask);
    o->ifa = (struct ifaddrs){ .ifa_flags = IFF_UP | IFF_BROADCAST | IFF_MULTICAST | (a->has_link ? IFF_RUNNING : 0) };
    if (is_v4 && a->prefix_len < 31) { /* RFC 3021 */
        ifaddrs_put(&o->broadcast, true, all);
        o->ifa.ifa_broadaddr = &o->broadcast.sa;
    }
    if (!is_v4 && ip_addr_is_link_local(&a->ip))
        o->addr.v6.sin6_scope_id = (uint32_t)a->index;
}

/* NULL: none, also when there is no server or no memory. */
static struct ifaddrs *ifaddrs_of_stack(void)
{
    struct ifaddrs_own *own = NULL;
    struct vcl_address a;
    unsigned n = 0;

    PRELOAD_GUARD;
    if (!preload_init() || preload_is_foreign()) /* a vfork child uses nothing of its parent's */
        return NULL;
    while (n < IFADDRS_MAX && vcl_address(n, &a) == 0) {
        struct ifaddrs_own *more = realloc(own, (n + 1) * sizeof(*own));
        if (!more)
            break;
        own = more;
        ifaddrs_fill(&own[n++], &a);
    }
    for (unsigned i = 0; i < n; i++) { /* once they stay where they are */
        struct ifaddrs_own *o = &own[i];
        o->ifa.ifa_name = o->name;
        o->ifa.ifa_addr = &o->addr.sa;
        o->ifa.ifa_netmask = &o->mask.sa;
        o->ifa.ifa_broadaddr = o->ifa.ifa_broadaddr ? &o->broadcast.sa : NULL;
        o->ifa.ifa_next = i + 1 < n ? &own[i + 1].ifa : NULL;
    }
    return own ? &own->ifa : NULL;
}

HS_EXPORT int hs_getifaddrs(struct ifaddrs **list)
{
    int rc = libc_real()->getifaddrs(list), saved = errno;

    while (rc == 0 && *list) /* to its end */
        list = &(*list)->ifa_next;
    if (rc == 0)
        *list = ifaddrs_of_stack();
    errno = saved;
    return rc;
}

HS_EXPORT void hs_freeifaddrs(struct ifaddrs *list)
{
    struct ifaddrs **at = &list, *own;

    while (*at && !ifaddrs_is_own(*at))
        at = &(*at)->ifa_next;
    own = *at;
    *at = NULL;
    libc_real()->freeifaddrs(list);
    free(own);
}
