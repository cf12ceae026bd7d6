/* rtnl.c - addresses, routes and permanent neighbours of an interface by rtnetlink(7): dumps, and news that something has changed */
#include "server/linux_sync/rtnl.h"

#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum { READ_BYTES = 65536, ANSWER_S = 2 };

static int open_socket(unsigned groups, int flags)
{
    struct sockaddr_nl sa = { .nl_family = AF_NETLINK, .nl_groups = groups };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | flags, NETLINK_ROUTE);

    if (fd < 0)
        return -errno;
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
        return fd;
    int err = -errno;
    close(fd);
    return err;
}

int rtnl_listen(void)
{
    return open_socket(RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE,
                       SOCK_NONBLOCK);
}

/* ---------------------------------------------------------------- attributes */

struct attrs { const struct rtattr *a[32]; };

static void read_attrs(struct attrs *out, const void *first, size_t len)
{
    int left = (int)len;

    memset(out, 0, sizeof(*out));
    for (const struct rtattr *a = first; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if ((a->rta_type & NLA_TYPE_MASK) < HS_ARRAY_LEN(out->a))
            out->a[a->rta_type & NLA_TYPE_MASK] = a;
}

static uint32_t attr_u32(const struct rtattr *a)
{
    uint32_t v = 0;

    if (a && RTA_PAYLOAD(a) >= sizeof(v))
        memcpy(&v, RTA_DATA(a), sizeof(v));
    return v;
}

static bool attr_addr(const struct rtattr *a, uint8_t family, struct ip_addr *out)
{
    if (!a || RTA_PAYLOAD(a) < (family == AF_INET ? 4u : 16u))
        return false;
    if (family == AF_INET) {
        be32 raw;
        memcpy(&raw, RTA_DATA(a), 4);
        *out = ip_addr_v4(raw);
    } else {
        memcpy(out->b, RTA_DATA(a), 16);
    }
    return true;
}

static bool is_inet(uint8_t family) { return family == AF_INET || family == AF_INET6; }

/* ---------------------------------------------------------------- what is kept */

struct reading {
    unsigned ifindex;
    struct rtnl_state *state;
    int err;
};

static void *grow(struct reading *r, void *list, unsigned n, unsigned max, size_t size)
{
    void *more = n < max ? list : NULL;

    if (n == max)
        r->state->is_cut = true;
    else if ((n & (n - 1)) == 0 && (more = reallocarray(list, n ? 2 * (size_t)n : 1, size)) == NULL)
        r->err = -ENOMEM;
    return more;
}

static void take_addr(struct reading *r, const struct nlmsghdr *h)
{
    const struct ifaddrmsg *m = NLMSG_DATA(h);
    struct rtnl_state *s = r->state;
    struct ip_prefix p = { .len = m->ifa_prefixlen };
    struct attrs a;

    if (m->ifa_index != r->ifindex || !is_inet(m->ifa_family))
        return;
    read_attrs(&a, IFA_RTA(m), IFA_PAYLOAD(h));
    uint32_t flags = a.a[IFA_FLAGS] ? attr_u32(a.a[IFA_FLAGS]) : m->ifa_flags;
    /* Of a point-to-point address IFA_ADDRESS is the peer's. */
    if ((!attr_addr(a.a[IFA_LOCAL], m->ifa_family, &p.ip) && !attr_addr(a.a[IFA_ADDRESS], m->ifa_family, &p.ip)) ||
        (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) || (m->ifa_family == AF_INET6 && ip_addr_is_link_local(&p.ip)))
        return;
    struct rtnl_addr *list = grow(r, s->addr, s->n_addrs, RTNL_MAX_ADDRS, sizeof(*list));
    if (!list)
        return;
    s->addr = list;
    s->addr[s->n_addrs++] = (struct rtnl_addr){ p, (flags & IFA_F_DEPRECATED) != 0,
                                                m->ifa_family == AF_INET6 && (flags & IFA_F_TEMPORARY) != 0 };
}

static void keep_route(struct reading *r, const struct rtnl_route *route)
{
    struct rtnl_state *s = r->state;

    for (unsigned i = 0; i < s->n_routes; i++) {
        struct rtnl_route *o = &s->route[i];
        if (o->prefix.len != route->prefix.len || !ip_addr_eq(&o->prefix.ip, &route->prefix.ip))
            continue;
        if (route->metric < o->metric)
            *o = *route;
        return;
    }
    struct rtnl_route *list = grow(r, s->route, s->n_routes, RTNL_MAX_ROUTES, sizeof(*list));
    if (!list)
        return;
    s->route = list;
    s->route[s->n_routes++] = *route;
}

/* Of several next hops the first one by our interface. */
static bool take_hops(const struct rtattr *multi, unsigned ifindex, uint8_t family, struct rtnl_route *out)
{
    size_t left = RTA_PAYLOAD(multi);
    const struct rtnexthop *h = RTA_DATA(multi);
    struct attrs a;
    size_t step;

    for (; left >= sizeof(*h) && h->rtnh_len >= sizeof(*h) && h->rtnh_len <= left; left -= step < left ? step : left, h = RTNH_NEXT(h)) {
        step = (size_t)RTNH_ALIGN(h->rtnh_len);
        if ((unsigned)h->rtnh_ifindex != ifindex)
            continue;
        read_attrs(&a, RTNH_DATA(h), h->rtnh_len - RTNH_LENGTH(0));
        out->has_via = attr_addr(a.a[RTA_GATEWAY], family, &out->via);
        return true;
    }
    return false;
}

static void take_route(struct reading *r, const struct nlmsghdr *h)
{
    const struct rtmsg *m = NLMSG_DATA(h);
    struct rtnl_route route = { .prefix = { .len = m->rtm_dst_len } };
    struct attrs a;

    if (!is_inet(m->rtm_family) || m->rtm_type != RTN_UNICAST || (m->rtm_flags & RTM_F_CLONED) || m->rtm_protocol == RTPROT_KERNEL)
        return;
    read_attrs(&a, RTM_RTA(m), RTM_PAYLOAD(h));
    uint32_t table = a.a[RTA_TABLE] ? attr_u32(a.a[RTA_TABLE]) : m->rtm_table;
    if (table != RT_TABLE_MAIN || m->rtm_src_len != 0)
        return;
    if (!attr_addr(a.a[RTA_DST], m->rtm_family, &route.prefix.ip))
        route.prefix.ip = ip_addr_any(m->rtm_family == AF_INET);
    if (ip_addr_is_link_local(&route.prefix.ip) || (route.prefix.len && ip_addr_is_multicast(&route.prefix.ip)))
        return;
    route.metric = attr_u32(a.a[RTA_PRIORITY]);
    if (a.a[RTA_MULTIPATH]) {
        if (!take_hops(a.a[RTA_MULTIPATH], r->ifindex, m->rtm_family, &route))
            return;
    } else if (attr_u32(a.a[RTA_OIF]) == r->ifindex) {
        route.has_via = attr_addr(a.a[RTA_GATEWAY], m->rtm_family, &route.via);
    } else {
        return;
    }
    keep_route(r, &route);
}

static void take_neigh(struct reading *r, const struct nlmsghdr *h)
{
    const struct ndmsg *m = NLMSG_DATA(h);
    struct rtnl_state *s = r->state;
    struct rtnl_neigh n;
    struct attrs a;

    if ((unsigned)m->ndm_ifindex != r->ifindex || !is_inet(m->ndm_family) || !(m->ndm_state & NUD_PERMANENT) || (m->ndm_flags & NTF_PROXY))
        return;
    read_attrs(&a, (const char *)m + NLMSG_ALIGN(sizeof(*m)), NLMSG_PAYLOAD(h, sizeof(*m)));
    const struct rtattr *ll = a.a[NDA_LLADDR];
    if (!attr_addr(a.a[NDA_DST], m->ndm_family, &n.ip) || !ll || RTA_PAYLOAD(ll) != 6 || ip_addr_is_multicast(&n.ip))
        return;
    memcpy(n.mac, RTA_DATA(ll), 6);
    struct rtnl_neigh *list = grow(r, s->neigh, s->n_neighs, RTNL_MAX_NEIGHS, sizeof(*list));
    if (!list)
        return;
    s->neigh = list;
    s->neigh[s->n_neighs++] = n;
}

/* ---------------------------------------------------------------- dumps */

static int ask(int fd, uint16_t type)
{
    struct { struct nlmsghdr h; struct rtgenmsg g; } q = {
        .h = { .nlmsg_len = NLMSG_LENGTH(sizeof(q.g)), .nlmsg_type = type, .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP, .nlmsg_seq = type },
        .g = { .rtgen_family = AF_UNSPEC },
    };

    return send(fd, &q, q.h.nlmsg_len, 0) == (ssize_t)q.h.nlmsg_len ? 0 : -errno;
}

static int dump(int fd, uint16_t type, void (*take)(struct reading *r, const struct nlmsghdr *h), struct reading *r)
{
    char *buf = malloc(READ_BYTES);
    int rc = buf ? ask(fd, type) : -ENOMEM;
    bool done = rc != 0;

    while (!done) {
        ssize_t n = recv(fd, buf, READ_BYTES, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            rc = n < 0 ? -errno : -EPROTO;
            break;
        }
        int left = (int)n;
        for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
            if (h->nlmsg_flags & NLM_F_DUMP_INTR)
                rc = -EAGAIN;
            if (h->nlmsg_type == NLMSG_ERROR) {
                rc = ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
                done = true;
            } else if (h->nlmsg_type == NLMSG_DONE) {
                done = true;
            } else {
                take(r, h);
            }
        }
    }
    free(buf);
    return rc != 0 ? rc : r->err;
}

int rtnl_read(unsigned ifindex, struct rtnl_state *out)
{
    struct timeval limit = { .tv_sec = ANSWER_S };
    struct reading r = { .ifindex = ifindex, .state = out };

    memset(out, 0, sizeof(*out));
    if (ifindex == 0)
        return 0;
    int fd = open_socket(0, 0);
    if (fd < 0)
        return fd;
    int rc = setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) == 0 ? 0 : -errno;
    if (rc == 0)
        rc = dump(fd, RTM_GETADDR, take_addr, &r);
    if (rc == 0)
        rc = dump(fd, RTM_GETROUTE, take_route, &r);
    if (rc == 0)
        rc = dump(fd, RTM_GETNEIGH, take_neigh, &r);
    close(fd);
    if (rc != 0)
        rtnl_state_free(out);
    return rc;
}

void rtnl_state_free(struct rtnl_state *s)
{
    free(s->addr);
    free(s->route);
    free(s->neigh);
    memset(s, 0, sizeof(*s));
}

/* ---------------------------------------------------------------- news */

static bool is_one_of(unsigned i, const unsigned *ifindex, unsigned n)
{
    while (n > 0 && ifindex[n - 1] != i)
        n--;
    return n > 0;
}

/* What the kernel learns of neighbours is its own business; what is set by hand concerns us. */
static bool concerns(const struct nlmsghdr *h, const unsigned *ifindex, unsigned n_ifc)
{
    const struct ndmsg *n = NLMSG_DATA(h);
    const struct ifaddrmsg *a = NLMSG_DATA(h);

    if (h->nlmsg_type == RTM_NEWNEIGH || h->nlmsg_type == RTM_DELNEIGH)
        return is_one_of((unsigned)n->ndm_ifindex, ifindex, n_ifc) && (h->nlmsg_type == RTM_DELNEIGH || (n->ndm_state & NUD_PERMANENT));
    if (h->nlmsg_type == RTM_NEWADDR || h->nlmsg_type == RTM_DELADDR)
        return is_one_of(a->ifa_index, ifindex, n_ifc);
    return true;
}

bool rtnl_drain(int fd, const unsigned *ifindex, unsigned n_ifc)
{
    char buf[8192] __attribute__((aligned(NLMSG_ALIGNTO)));
    bool found = false;
    ssize_t n;

    while ((n = recv(fd, buf, sizeof(buf), MSG_TRUNC)) > 0 || (n < 0 && (errno == ENOBUFS || errno == EINTR))) {
        if (n < 0 || n > (ssize_t)sizeof(buf)) { /* some were lost, or did not fit: they may have been ours */
            found = true;
            continue;
        }
        int left = (int)n;
        for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left))
            found |= concerns(h, ifindex, n_ifc);
    }
    return found;
}
