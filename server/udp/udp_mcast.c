/* udp_mcast.c - groups: joined by a socket, datagrams to groups and broadcast addresses to every socket that wants them (RFC 1122 s4.1.3.5) */
#include <errno.h>
#include <stdlib.h>

#include "server/ip/interface.h"
#include "server/mcast/mcast.h"
#include "server/udp/udp_internal.h"

static int find_interface(struct worker *w, const struct udp_conn *c, const struct svm_mcast *v, struct interface **out)
{
    if (ip_addr_is_any(&v->ifc)) {
        *out = mcast_default_ifc(w->stack, c->base.fib, &v->group);
    } else {
        const struct interface_addr *a = interfaces_find_addr(w->stack, c->base.fib, &v->ifc);
        *out = a ? a->ifc : NULL;
    }
    return *out ? 0 : -ENODEV;
}

static unsigned find_joined(const struct udp_mcast *m, const struct ip_addr *group, const struct interface *ifc)
{
    unsigned i = 0;

    while (i < m->n && !(ip_addr_eq(&m->joined[i].group, group) && (!ifc || m->joined[i].ifc == ifc)))
        i++;
    return i;
}

/* Errors as of ip(7)'s IP_ADD_MEMBERSHIP and IP_DROP_MEMBERSHIP. */
static int join(struct worker *w, struct udp_conn *c, const struct svm_mcast *v)
{
    struct udp_mcast *m = c->mcast;
    struct interface *ifc;

    if (!ip_addr_is_multicast(&v->group))
        return -EINVAL;
    int rc = find_interface(w, c, v, &ifc);
    if (rc != 0)
        return rc;
    if (find_joined(m, &v->group, ifc) < m->n)
        return -EADDRINUSE;
    if (m->n == UDP_MAX_GROUPS)
        return -ENOBUFS;
    rc = mcast_join(w, ifc, &v->group);
    if (rc == 0) {
        m->joined[m->n].group = v->group;
        m->joined[m->n++].ifc = ifc;
    }
    return rc;
}

static int leave(struct worker *w, struct udp_conn *c, const struct svm_mcast *v)
{
    struct udp_mcast *m = c->mcast;
    struct interface *ifc = NULL;

    if (!ip_addr_is_multicast(&v->group))
        return -EINVAL;
    if (!ip_addr_is_any(&v->ifc) && find_interface(w, c, v, &ifc) != 0)
        return -ENODEV;
    unsigned i = find_joined(m, &v->group, ifc);
    if (i == m->n)
        return -EADDRNOTAVAIL;
    mcast_leave(w, m->joined[i].ifc, &v->group);
    m->joined[i] = m->joined[--m->n];
    return 0;
}

static int set_out(struct worker *w, struct udp_conn *c, const struct svm_mcast *v)
{
    struct interface *ifc = NULL;

    if (!ip_addr_is_any(&v->ifc) && find_interface(w, c, v, &ifc) != 0)
        return -EADDRNOTAVAIL;
    c->mcast->out = ifc;
    c->mcast->out_addr = v->ifc;
    return 0;
}

int udp_mcast_attr_set(struct worker *w, struct udp_conn *c, uint8_t attr, const void *val, uint32_t len)
{
    struct svm_mcast v;
    int32_t i;

    if (attr <= SVM_ATTR_MCAST_ALL) {
        memcpy(&i, val, sizeof(i));
        if (attr == SVM_ATTR_MCAST_LOOP)
            c->mcast_loop = i != 0;
        else if (attr == SVM_ATTR_MCAST_ALL)
            c->mcast_all = i != 0;
        else if (i < 0 || i > 255)
            return -EINVAL;
        else
            c->mcast_ttl = (uint8_t)i;
        return 0;
    }
    if (len != sizeof(v))
        return -EINVAL;
    memcpy(&v, val, sizeof(v));
    if (!c->mcast && !(c->mcast = calloc(1, sizeof(*c->mcast))))
        return -ENOBUFS;
    switch (attr) {
    case SVM_ATTR_MCAST_JOIN: return join(w, c, &v);
    case SVM_ATTR_MCAST_LEAVE: return leave(w, c, &v);
    case SVM_ATTR_MCAST_IF: return set_out(w, c, &v);
    default: return -ENOPROTOOPT;
    }
}

void udp_mcast_free(struct worker *w, struct udp_conn *c)
{
    for (unsigned i = 0; c->mcast && i < c->mcast->n; i++)
        mcast_leave(w, c->mcast->joined[i].ifc, &c->mcast->joined[i].group);
    free(c->mcast);
    c->mcast = NULL;
}

bool udp_mcast_wants(const struct udp_conn *c, const struct interface *ifc, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    const struct transport_conn *b = &c->base;

    if (!b->session || b->lcl.port.raw != lcl->port.raw || b->fib != ifc->fib || c->closing)
        return false;
    if (ip_addr_is_any(&b->lcl.ip)) {
        /* A wildcard covers its own family; :: covers IPv4 too unless IPV6_V6ONLY (RFC 3493 s5.3). */
        if (ip_addr_is_v4(&b->lcl.ip) != ip_addr_is_v4(&lcl->ip) &&
            (ip_addr_is_v4(&b->lcl.ip) || (b->session->flags & SVM_BIND_V6ONLY)))
            return false;
    } else if (!ip_addr_eq(&b->lcl.ip, &lcl->ip) && !udp_is_connected(c)) {
        return false;
    }
    if (udp_is_connected(c) && (b->rmt.port.raw != rmt->port.raw || !ip_addr_eq(&b->rmt.ip, &rmt->ip)))
        return false;
    if (!ip_addr_is_multicast(&lcl->ip) || c->mcast_all)
        return true;
    return c->mcast && find_joined(c->mcast, &lcl->ip, ifc) < c->mcast->n;
}

/* The other workers' sockets: a copy for each worker. */
static void pass_copies(struct worker *w, struct pkt *p)
{
    uint32_t len = pkt_len(p);

    for (unsigned i = 0; i < w->stack->n_workers; i++) {
        if (i == w->index)
            continue;
        struct pkt *copy = len <= PKT_BIG_DATA ? pkt_alloc(w->pools, len) : NULL;
        if (!copy) {
            udp_count(w, UDP_C_drop_no_buffer);
            continue;
        }
        pkt_copy_out(p, 0, pkt_append(copy, (uint16_t)len), len);
        *pkt_meta(copy) = *pkt_meta(p);
        pkt_meta(copy)->flags |= PKT_CLONED;
        if (!ip_pass_on(w, i, copy)) {
            udp_count(w, UDP_C_drop_no_buffer);
            pkt_free(copy);
        }
    }
}

unsigned udp_mcast_deliver(struct worker *w, struct pkt *p, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    const struct interface *ifc = pkt_meta(p)->ifc;
    unsigned n = 0;

    if (!ifc)
        return 0;
    if (w->stack->n_workers > 1 && !(pkt_meta(p)->flags & PKT_CLONED))
        pass_copies(w, p);
    for (struct udp_conn *c = udp_worker_of(w)->conns, *next; c; c = next) {
        next = c->next;
        if (udp_mcast_wants(c, ifc, lcl, rmt)) {
            udp_deliver(w, c->base.session, p, lcl, rmt);
            n++;
        }
    }
    return n;
}
