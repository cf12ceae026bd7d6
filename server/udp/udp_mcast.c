/* udp_mcast.c - groups: joined by a socket, datagrams to groups and broadcast addresses to every socket that wants them (RFC 1122 s4.1.3.5) */
#include <errno.h>
#include <stdlib.h>

#include "server/ip/interface.h"
#include "server/mcast/mcast.h"
#include "server/udp/udp_internal.h"

static_assert((int)SVM_MCAST_SOURCES == (int)MCAST_SOURCES, "a filter that a program may tell fits");

static int find_interface(struct worker *w, const struct udp_conn *c, const struct ip_addr *group, const struct ip_addr *ip, struct interface **out)
{
    if (ip_addr_is_any(ip)) {
        *out = mcast_default_ifc(w->stack, c->base.fib, group);
    } else {
        const struct interface_addr *a = interfaces_find_addr(w->stack, c->base.fib, ip);
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

static const struct mcast_filter *filter_of(const struct udp_joined *j) { return j->filter ? j->filter : &mcast_everybody; }

static int join_with(struct udp_mcast *m, const struct ip_addr *group, struct interface *ifc, struct mcast_filter *filter)
{
    struct udp_joined *j = &m->joined[m->n];

    if (m->n == UDP_MAX_GROUPS)
        return -ENOBUFS;
    int rc = mcast_change(ifc, group, NULL, filter ? filter : &mcast_everybody);
    if (rc == 0) {
        *j = (struct udp_joined){ *group, ifc, filter };
        m->n++;
    }
    return rc;
}

static void leave_at(struct udp_mcast *m, unsigned i)
{
    struct udp_joined *j = &m->joined[i];

    mcast_change(j->ifc, &j->group, filter_of(j), NULL);
    free(j->filter);
    *j = m->joined[--m->n];
}

/* Errors as of ip(7)'s IP_ADD_MEMBERSHIP and IP_DROP_MEMBERSHIP. */
static int join(struct worker *w, struct udp_conn *c, const struct svm_mcast *v)
{
    struct interface *ifc;

    if (!ip_addr_is_multicast(&v->group))
        return -EINVAL;
    int rc = find_interface(w, c, &v->group, &v->ifc, &ifc);
    if (rc != 0)
        return rc;
    if (find_joined(c->mcast, &v->group, ifc) < c->mcast->n)
        return -EADDRINUSE;
    return join_with(c->mcast, &v->group, ifc, NULL);
}

static int leave(struct worker *w, struct udp_conn *c, const struct svm_mcast *v)
{
    struct udp_mcast *m = c->mcast;
    struct interface *ifc = NULL;

    if (!ip_addr_is_multicast(&v->group))
        return -EINVAL;
    if (!ip_addr_is_any(&v->ifc) && find_interface(w, c, &v->group, &v->ifc, &ifc) != 0)
        return -ENODEV;
    unsigned i = find_joined(m, &v->group, ifc);
    if (i == m->n)
        return -EADDRNOTAVAIL;
    leave_at(m, i);
    return 0;
}

/* ---- filters of sources (RFC 3678) ---- */

static int add_source(struct udp_mcast *m, const struct ip_addr *source)
{
    if (!m->next && !(m->next = calloc(1, sizeof(*m->next))))
        return -ENOBUFS;
    struct mcast_filter *f = m->next;
    for (unsigned i = 0; i < f->n; i++)
        if (ip_addr_eq(&f->source[i], source))
            return 0;
    if (f->n == MCAST_SOURCES) { /* the program gives up, too */
        free(f);
        m->next = NULL;
        return -ENOBUFS;
    }
    f->source[f->n++] = *source;
    return 0;
}

/* Takes f, also when it fails. */
static int use_filter(struct udp_mcast *m, const struct ip_addr *group, struct interface *ifc, struct mcast_filter *f)
{
    unsigned i = find_joined(m, group, ifc);
    struct udp_joined *j = &m->joined[i];
    bool is_nobody = f->is_include && f->n == 0;
    int rc;

    if (is_nobody && i < m->n) {
        leave_at(m, i);
        rc = 0;
    } else if (is_nobody) {
        rc = -EADDRNOTAVAIL;
    } else if (i == m->n) {
        rc = join_with(m, group, ifc, f);
        f = rc == 0 ? NULL : f;
    } else if ((rc = mcast_change(ifc, group, filter_of(j), f)) == 0) {
        free(j->filter);
        j->filter = f;
        f = NULL;
    }
    free(f);
    return rc;
}

static int filter_step(struct worker *w, struct udp_conn *c, const struct svm_mcast_filter *v)
{
    struct udp_mcast *m = c->mcast;
    struct mcast_filter *f = m->next;
    struct ip_addr ip = ip_addr_v4(v->ifc);
    struct interface *ifc;

    if (v->step == SVM_MCAST_FILTER_SOURCE)
        return ip_addr_is_v4(&v->source) == ip_addr_is_v4(&v->group) ? add_source(m, &v->source) : -EINVAL;
    m->next = NULL;
    int rc = v->step > SVM_MCAST_FILTER_EXCLUDE || !ip_addr_is_multicast(&v->group) ? -EINVAL : find_interface(w, c, &v->group, &ip, &ifc);
    if (rc == 0 && !f && !(f = calloc(1, sizeof(*f))))
        rc = -ENOBUFS;
    if (rc != 0) {
        free(f);
        return rc;
    }
    f->is_include = v->step == SVM_MCAST_FILTER_INCLUDE;
    return use_filter(m, &v->group, ifc, f);
}

static int set_out(struct worker *w, struct udp_conn *c, const struct svm_mcast *v)
{
    struct interface *ifc = NULL;

    if (!ip_addr_is_any(&v->ifc) && find_interface(w, c, &v->group, &v->ifc, &ifc) != 0)
        return -EADDRNOTAVAIL;
    c->mcast->out = ifc;
    c->mcast->out_addr = v->ifc;
    return 0;
}

int udp_mcast_attr_set(struct worker *w, struct udp_conn *c, uint8_t attr, const void *val, uint32_t len)
{
    union { struct svm_mcast group; struct svm_mcast_filter filter; } v;
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
    if (len != (attr == SVM_ATTR_MCAST_FILTER ? sizeof(v.filter) : sizeof(v.group)))
        return -EINVAL;
    memcpy(&v, val, len);
    if (!c->mcast && !(c->mcast = calloc(1, sizeof(*c->mcast))))
        return -ENOBUFS;
    switch (attr) {
    case SVM_ATTR_MCAST_JOIN: return join(w, c, &v.group);
    case SVM_ATTR_MCAST_LEAVE: return leave(w, c, &v.group);
    case SVM_ATTR_MCAST_IF: return set_out(w, c, &v.group);
    case SVM_ATTR_MCAST_FILTER: return filter_step(w, c, &v.filter);
    default: return -ENOPROTOOPT;
    }
}

void udp_mcast_free(struct udp_conn *c)
{
    while (c->mcast && c->mcast->n)
        leave_at(c->mcast, c->mcast->n - 1);
    if (c->mcast)
        free(c->mcast->next);
    free(c->mcast);
    c->mcast = NULL;
}

bool udp_mcast_wants(const struct udp_conn *c, const struct interface *ifc, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    const struct transport_conn *b = &c->base;

    if (!b->session || b->lcl.port.raw != lcl->port.raw || b->fib != ifc->fib || c->closing)
        return false;
    if (b->dev && b->dev != interface_dev(ifc))
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
    if (!ip_addr_is_multicast(&lcl->ip))
        return true;
    unsigned i = c->mcast ? find_joined(c->mcast, &lcl->ip, ifc) : 0;
    if (!c->mcast || i == c->mcast->n) /* what others have joined */
        return c->mcast_all;
    return mcast_filter_passes(filter_of(&c->mcast->joined[i]), &rmt->ip);
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

unsigned udp_mcast_deliver(struct worker *w, struct pkt *p, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, bool is_bare)
{
    const struct interface *ifc = pkt_meta(p)->ifc;
    unsigned n = 0;

    if (!ifc)
        return 0;
    if (w->stack->n_workers > 1 && !(pkt_meta(p)->flags & PKT_CLONED))
        pass_copies(w, p);
    for (struct udp_conn *c = udp_worker_of(w)->conns, *next; c; c = next) {
        next = c->next;
        if ((!is_bare || c->no_check6_rx) && udp_mcast_wants(c, ifc, lcl, rmt)) {
            udp_deliver(w, c->base.session, p, lcl, rmt);
            n++;
        }
    }
    return n;
}
