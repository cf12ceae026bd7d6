/* ip_addr.c - text forms and sockaddr conversion of addresses and endpoints */
#include "common/ip_addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

bool ip_addr_is_loopback(const struct ip_addr *a)
{
    if (ip_addr_is_v4(a))
        return a->b[12] == 127;
    return a->q[0] == 0 && a->w[2].raw == 0 && be32_get(a->w[3]) == 1;
}

bool ip_addr_is_multicast(const struct ip_addr *a)
{
    return ip_addr_is_v4(a) ? (a->b[12] & 0xf0) == 0xe0 : a->b[0] == 0xff;
}

bool ip_addr_is_broadcast(const struct ip_addr *a)
{
    return ip_addr_is_v4(a) && a->w[3].raw == 0xffffffffu;
}

bool ip_addr_is_link_local(const struct ip_addr *a)
{
    if (ip_addr_is_v4(a))
        return a->b[12] == 169 && a->b[13] == 254;
    return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a)
{
    bool v4 = ip_addr_is_v4(&p->ip);
    unsigned bits = v4 ? 96u + p->len : p->len;

    if (v4 != ip_addr_is_v4(a) || bits > 128)
        return false;
    if (memcmp(p->ip.b, a->b, bits / 8) != 0)
        return false;
    if (bits % 8 == 0)
        return true;
    uint8_t mask = (uint8_t)(0xff00u >> (bits % 8));
    return ((p->ip.b[bits / 8] ^ a->b[bits / 8]) & mask) == 0;
}

int ip_addr_parse(const char *text, struct ip_addr *out)
{
    struct in_addr v4;

    if (inet_pton(AF_INET, text, &v4) == 1) {
        *out = ip_addr_v4((be32){ v4.s_addr });
        return 0;
    }
    return inet_pton(AF_INET6, text, out->b) == 1 ? 0 : -EINVAL;
}

int ip_prefix_parse(const char *text, struct ip_prefix *out)
{
    char addr[IP_ADDR_TEXT_MAX];
    const char *slash = strchr(text, '/');
    size_t n = slash ? (size_t)(slash - text) : strlen(text);

    if (n >= sizeof(addr))
        return -EINVAL;
    memcpy(addr, text, n);
    addr[n] = '\0';
    if (ip_addr_parse(addr, &out->ip) != 0)
        return -EINVAL;
    unsigned max = ip_addr_is_v4(&out->ip) ? 32 : 128;
    unsigned long len = max;
    if (slash) {
        char *end;
        if (slash[1] < '0' || slash[1] > '9')
            return -EINVAL;
        len = strtoul(slash + 1, &end, 10);
        if (*end != '\0' || len > max)
            return -EINVAL;
    }
    out->len = (uint8_t)len;
    return 0;
}

char *ip_addr_format(const struct ip_addr *a, char buf[IP_ADDR_TEXT_MAX])
{
    if (ip_addr_is_v4(a))
        inet_ntop(AF_INET, &a->w[3], buf, IP_ADDR_TEXT_MAX);
    else
        inet_ntop(AF_INET6, a->b, buf, IP_ADDR_TEXT_MAX);
    return buf;
}

char *ip_endpoint_format(const struct ip_endpoint *e, char buf[IP_ENDPOINT_TEXT_MAX])
{
    char addr[IP_ADDR_TEXT_MAX];

    ip_addr_format(&e->ip, addr);
    snprintf(buf, IP_ENDPOINT_TEXT_MAX, ip_addr_is_v4(&e->ip) ? "%s:%u" : "[%s]:%u", addr, be16_get(e->port));
    return buf;
}

int ip_endpoint_from_sockaddr(const struct sockaddr *sa, socklen_t len, struct ip_endpoint *out)
{
    if (len < sizeof(sa->sa_family))
        return -EINVAL;
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        if (len < sizeof(in))
            return -EINVAL;
        memcpy(&in, sa, sizeof(in));
        out->ip = ip_addr_v4((be32){ in.sin_addr.s_addr });
        out->port = (be16){ in.sin_port };
        return 0;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in6;
        if (len < offsetof(struct sockaddr_in6, sin6_scope_id)) /* RFC 2133 size, as Linux accepts */
            return -EINVAL;
        memcpy(&in6, sa, offsetof(struct sockaddr_in6, sin6_scope_id));
        memcpy(out->ip.b, &in6.sin6_addr, 16);
        out->port = (be16){ in6.sin6_port };
        return 0;
    }
    return -EAFNOSUPPORT;
}

socklen_t ip_endpoint_to_sockaddr(const struct ip_endpoint *e, bool want_v6, struct sockaddr_storage *out)
{
    if (!want_v6 && ip_addr_is_v4(&e->ip)) {
        struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = e->port.raw };
        in.sin_addr.s_addr = e->ip.w[3].raw;
        memcpy(out, &in, sizeof(in));
        return sizeof(in);
    }
    struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = e->port.raw };
    memcpy(&in6.sin6_addr, e->ip.b, 16);
    memcpy(out, &in6, sizeof(in6));
    return sizeof(in6);
}
