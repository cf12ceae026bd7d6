/* ip_addr.h - one address type for IPv4 and IPv6, endpoints, text forms
 * Owner:  plain values, copied freely.
 * Thread: any.
 * Errors: 0 or -EINVAL from the parsers. */
#ifndef HOSTSTACK_COMMON_IP_ADDR_H
#define HOSTSTACK_COMMON_IP_ADDR_H

#include <string.h>
#include <sys/socket.h>
#include "common/types.h"

/* Network byte order. An IPv4 address is stored IPv4-mapped (::ffff:a.b.c.d),
 * so that comparing, hashing and looking up is one path for both families. */
struct ip_addr {
    union {
        uint8_t b[16];
        be32 w[4];
        uint64_t q[2];
    };
};
static_assert(sizeof(struct ip_addr) == 16, "ip_addr is part of the shared-memory contract");

struct ip_endpoint {
    struct ip_addr ip;
    be16 port;
};

struct ip_prefix {
    struct ip_addr ip;
    uint8_t len; /* bits in the address's own family: 0..32 or 0..128 */
};

#define IP_ADDR_TEXT_MAX 48   /* with the final NUL */
#define IP_ENDPOINT_TEXT_MAX 64

static inline bool ip_addr_is_v4(const struct ip_addr *a)
{
    return a->q[0] == 0 && a->w[2].raw == 0xffff0000u;
}
static inline struct ip_addr ip_addr_v4(be32 v4)
{
    struct ip_addr a;
    a.q[0] = 0;
    a.w[2].raw = 0xffff0000u;
    a.w[3] = v4;
    return a;
}
static inline be32 ip_addr_get_v4(const struct ip_addr *a) { return a->w[3]; }
static inline bool ip_addr_eq(const struct ip_addr *a, const struct ip_addr *b)
{
    return a->q[0] == b->q[0] && a->q[1] == b->q[1];
}
/* Wildcard of its own family: :: (IPv6) or ::ffff:0.0.0.0 (IPv4). */
static inline bool ip_addr_is_any(const struct ip_addr *a)
{
    return a->q[0] == 0 && (a->q[1] == 0 || (a->w[2].raw == 0xffff0000u && a->w[3].raw == 0));
}
static inline struct ip_addr ip_addr_any(bool is_v4)
{
    struct ip_addr a = { .q = { 0, 0 } };
    return is_v4 ? ip_addr_v4((be32){ 0 }) : a;
}

bool ip_addr_is_loopback(const struct ip_addr *a);   /* 127/8, ::1 */
bool ip_addr_is_multicast(const struct ip_addr *a);  /* 224/4, ff00::/8 */
bool ip_addr_is_broadcast(const struct ip_addr *a);  /* 255.255.255.255 only */
bool ip_addr_is_link_local(const struct ip_addr *a); /* 169.254/16, fe80::/10 */
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a); /* false for another family */
int ip_addr_parse(const char *text, struct ip_addr *out);           /* 0 or -EINVAL */
int ip_prefix_parse(const char *text, struct ip_prefix *out);       /* "a.b.c.d/24"; without "/" a host prefix */
char *ip_addr_format(const struct ip_addr *a, char buf[IP_ADDR_TEXT_MAX]);
char *ip_endpoint_format(const struct ip_endpoint *e, char buf[IP_ENDPOINT_TEXT_MAX]); /* 1.2.3.4:80, [::1]:80 */
/* sockaddr conversion (AF_INET, AF_INET6). want_v6 makes an IPv4 address a mapped sockaddr_in6. */
int ip_endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct ip_endpoint *out); /* 0, -EINVAL, -EAFNOSUPPORT */
socklen_t ip_endpoint_to_sockaddr(const struct ip_endpoint *e, bool want_v6, struct sockaddr_storage *out);

#endif
