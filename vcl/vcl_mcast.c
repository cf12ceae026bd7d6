/* vcl_mcast.c - groups of a datagram socket (ip(7), ipv6(7)): kept here, sent when there is a session
 *
 * An interface is named by one of its addresses: the indexes that programs know are of the kernel's devices, none of the stack's. */
#include <netinet/in.h>
#include <stdlib.h>
#include "vcl/vcl_mcast.h"

int vcl_mcast_of(struct vcl_socket *s, struct vcl_mcast **out)
{
    if (!s->mcast && !(s->mcast = calloc(1, sizeof(*s->mcast))))
        return -ENOBUFS;
    *out = s->mcast;
    return 0;
}

/* ip_mreq, ip_mreqn; MULTICAST_IF takes an address alone, too. */
static int parse_mreq(const void *val, socklen_t len, bool is_if, struct svm_mcast *v)
{
    struct ip_mreqn m = { .imr_ifindex = 0 };

    *v = (struct svm_mcast){ ip_addr_any(true), ip_addr_any(true) };
    if (len >= sizeof(struct ip_mreq))
        memcpy(&m, val, len < sizeof(m) ? sizeof(struct ip_mreq) : sizeof(m));
    else if (is_if && len >= sizeof(struct in_addr))
        memcpy(&m.imr_address, val, sizeof(m.imr_address));
    else
        return -EINVAL;
    if (m.imr_ifindex)
        return is_if ? -EADDRNOTAVAIL : -ENODEV;
    v->group = ip_addr_v4((be32){ m.imr_multiaddr.s_addr });
    if (m.imr_address.s_addr)
        v->ifc = ip_addr_v4((be32){ m.imr_address.s_addr });
    return 0;
}

static int parse_mreq6(const void *val, socklen_t len, struct svm_mcast *v)
{
    struct ipv6_mreq m;

    if (len < sizeof(m))
        return -EINVAL;
    memcpy(&m, val, sizeof(m));
    *v = (struct svm_mcast){ .ifc = ip_addr_any(false) };
    memcpy(&v->group, &m.ipv6mr_multiaddr, 16);
    return m.ipv6mr_interface ? -ENODEV : 0;
}

static int parse_group_req(int level, const void *val, socklen_t len, struct svm_mcast *v)
{
    struct group_req g;
    struct ip_endpoint e;

    if (len < sizeof(g))
        return -EINVAL;
    memcpy(&g, val, sizeof(g));
    if (g.gr_group.ss_family != (level == IPPROTO_IP ? AF_INET : AF_INET6))
        return level == IPPROTO_IP ? -EINVAL : -EADDRNOTAVAIL;
    if (ip_endpoint_from_sockaddr((const struct sockaddr *)&g.gr_group, sizeof(g.gr_group), &e) < 0)
        return -EINVAL;
    *v = (struct svm_mcast){ e.ip, ip_addr_any(ip_addr_is_v4(&e.ip)) };
    return g.gr_interface ? -ENODEV : 0;
}

static bool has_session(const struct vcl_socket *s) { return !vcl_handle_is_none(s->handle) && !s->local; }

int vcl_mcast_tell(struct vcl_socket *s, uint8_t attr, const void *v, uint32_t len)
{
    return has_session(s) ? vcl_attr_request(s, SVM_MSG_ATTR_SET, attr, v, len) : 0;
}

unsigned vcl_mcast_find(const struct vcl_mcast *m, const struct svm_mcast *v, bool any_ifc)
{
    unsigned i = 0;

    while (i < m->n && !(ip_addr_eq(&m->joined[i].at.group, &v->group) && (any_ifc || ip_addr_eq(&m->joined[i].at.ifc, &v->ifc))))
        i++;
    return i;
}

int vcl_mcast_check(const struct vcl_socket *s, const struct svm_mcast *v)
{
    if (!ip_addr_is_multicast(&v->group) || (!s->is_v6 && !ip_addr_is_v4(&v->group)))
        return -EINVAL;
    return vcl_mcast_is_served(&v->group, &v->ifc) ? 0 : -ENODEV;
}

int vcl_mcast_leave(struct vcl_socket *s, unsigned i)
{
    struct vcl_mcast *m = s->mcast;
    int rc = vcl_mcast_tell(s, SVM_ATTR_MCAST_LEAVE, &m->joined[i].at, sizeof(m->joined[i].at));

    if (!rc) {
        free(m->joined[i].filter);
        m->joined[i] = m->joined[--m->n];
    }
    return rc;
}

static int change(struct vcl_socket *s, const struct svm_mcast *v, bool is_join)
{
    struct vcl_mcast *m;
    int rc = vcl_mcast_of(s, &m);

    if (!rc)
        rc = vcl_mcast_check(s, v);
    if (rc)
        return rc;
    unsigned i = vcl_mcast_find(m, v, !is_join && ip_addr_is_any(&v->ifc));
    if (!is_join)
        return i == m->n ? -EADDRNOTAVAIL : vcl_mcast_leave(s, i);
    if (i < m->n || m->n == VCL_MCAST_GROUPS)
        return i < m->n ? -EADDRINUSE : -ENOBUFS;
    rc = vcl_mcast_tell(s, SVM_ATTR_MCAST_JOIN, v, sizeof(*v));
    if (!rc)
        m->joined[m->n++] = (struct vcl_mcast_joined){ .at = *v };
    return rc;
}

static int set_out(struct vcl_socket *s, const struct svm_mcast *v)
{
    struct vcl_mcast *m;
    int rc = vcl_mcast_of(s, &m);

    if (rc)
        return rc;
    if (!ip_addr_is_any(&v->ifc) && !vcl_mcast_is_served(NULL, &v->ifc))
        return -EADDRNOTAVAIL;
    rc = vcl_mcast_tell(s, SVM_ATTR_MCAST_IF, v, sizeof(*v));
    if (!rc)
        m->out = *v;
    return rc;
}

/* 1: not an option of groups. */
int vcl_mcast_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len)
{
    struct svm_mcast v;
    int rc;

    if (!s->is_dgram)
        return 1;
    if (level == IPPROTO_IP && (name == IP_ADD_MEMBERSHIP || name == IP_DROP_MEMBERSHIP || name == IP_MULTICAST_IF)) {
        rc = parse_mreq(val, len, name == IP_MULTICAST_IF, &v);
        if (!rc)
            rc = name == IP_MULTICAST_IF ? set_out(s, &v) : change(s, &v, name == IP_ADD_MEMBERSHIP);
    } else if (level == IPPROTO_IPV6 && (name == IPV6_ADD_MEMBERSHIP || name == IPV6_DROP_MEMBERSHIP)) {
        rc = parse_mreq6(val, len, &v);
        if (!rc)
            rc = change(s, &v, name == IPV6_ADD_MEMBERSHIP);
    } else if ((level == IPPROTO_IP || level == IPPROTO_IPV6) && (name == MCAST_JOIN_GROUP || name == MCAST_LEAVE_GROUP)) {
        rc = parse_group_req(level, val, len, &v);
        if (!rc)
            rc = change(s, &v, name == MCAST_JOIN_GROUP);
    } else {
        return vcl_mcast_source_set(s, level, name, val, len);
    }
    return rc;
}

/* The address of the interface that IP_MULTICAST_IF chose. */
struct in_addr vcl_mcast_out(const struct vcl_socket *s)
{
    struct in_addr a = { .s_addr = 0 };

    if (s->mcast && ip_addr_is_v4(&s->mcast->out.ifc) && !ip_addr_is_any(&s->mcast->out.ifc))
        a.s_addr = ip_addr_get_v4(&s->mcast->out.ifc).raw;
    return a;
}

void vcl_mcast_post(struct vcl_socket *s, uint8_t attr, const void *v, uint32_t len)
{
    struct svm_msg m = vcl_socket_msg(s, SVM_MSG_ATTR_SET);

    m.attr = attr;
    m.u.attr_val.len = len;
    memcpy(m.u.attr_val.bytes, v, len);
    vcl_socket_post(s, &m);
}

/* The session is new: what was joined before it, or with the one of a server that has gone. Worker lock held. */
void vcl_mcast_push(struct vcl_socket *s)
{
    struct vcl_mcast *m = s->mcast;

    if (!m || !has_session(s))
        return;
    for (unsigned i = 0; i < m->n; i++)
        if (m->joined[i].filter)
            vcl_mcast_source_push(s, &m->joined[i]);
        else
            vcl_mcast_post(s, SVM_ATTR_MCAST_JOIN, &m->joined[i].at, sizeof(m->joined[i].at));
    if (!ip_addr_is_any(&m->out.ifc))
        vcl_mcast_post(s, SVM_ATTR_MCAST_IF, &m->out, sizeof(m->out));
}

void vcl_mcast_free(struct vcl_socket *s)
{
    for (unsigned i = 0; s->mcast && i < s->mcast->n; i++)
        free(s->mcast->joined[i].filter);
    free(s->mcast);
    s->mcast = NULL;
}
