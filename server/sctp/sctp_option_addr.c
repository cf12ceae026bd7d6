/* sctp_option_addr.c - socket options of own addresses: bindx (RFC 6458 s9.1), and what it means for an association (RFC 5061) */
#include "server/sctp/sctp_option.h"

#include <errno.h>

int sctp_opt_addrs(const struct sctp_opt_call *c, struct ip_addr *out, be16 *port)
{
    int n = 0;
    uint32_t off = 0, used;

    while (off < *c->len) {
        struct ip_endpoint e;
        if (n == SCTP_ADDRS || sctp_opt_endpoint(c->val + off, *c->len - off, &e, &used) != 0)
            return -EINVAL;
        out[n++] = e.ip;
        *port = e.port;
        off += used;
    }
    return n;
}

/* In the socket's list; -1: not there. */
static int place_of(const struct sctp_cfg *g, const struct ip_addr *ip)
{
    for (int i = 0; i < g->n_lcl; i++)
        if (ip_addr_eq(&g->lcl[i], ip))
            return i;
    return -1;
}

/* All or nothing: then the peer is asked. */
static int ask(struct sctp_opt_call *c, uint16_t type, const struct ip_addr *ip, int n)
{
    int rc = 0;

    for (int i = 0; i < n && rc == 0; i++)
        rc = sctp_asconf_ask(c->w, c->a, type, &ip[i]);
    sctp_asconf_send(c->w, c->a);
    return rc;
}

/* The addresses of a bindx, whose port is not looked at. */
static int bindx_addrs(const struct sctp_opt_call *c, struct ip_addr *out)
{
    be16 port;

    return sctp_opt_addrs(c, out, &port);
}

/* The port is the socket's there, too, as long as it is bound to an address, not to all. */
static int add_one(struct sctp_opt_call *c, const struct ip_addr *ip)
{
    struct sctp_cfg *g = &c->ep->cfg;
    struct session *s = c->ep->s;
    struct ip_addr bound = session_bound_addr(s);
    int rc = 0;

    if (g->n_lcl == SCTP_ADDRS)
        return -ENOMEM;
    c->ep->also[g->n_lcl] = NULL;
    if (s->endpoint && !ip_addr_is_any(&bound) && !ip_addr_eq(&bound, ip))
        rc = session_endpoint_also(c->w, s, ip, &c->ep->also[g->n_lcl]);
    if (rc == 0)
        g->lcl[g->n_lcl++] = *ip;
    return rc;
}

int sctp_opt_bindx_add(struct sctp_opt_call *c)
{
    struct ip_addr a[SCTP_ADDRS];
    struct sctp_cfg *g = &c->ep->cfg;
    int n = bindx_addrs(c, a);

    for (int i = 0; i < n; i++)
        if (!ip_is_local_addr(c->w, c->ep->s->fib, &a[i]) && (c->a || !ip_addr_is_loopback(&a[i])))
            return -EADDRNOTAVAIL;
    if (n < 0)
        return n;
    if (c->a) /* all of the stack are its own already */
        return ip_addr_is_any(&c->a->base.lcl.ip) && !g->n_lcl ? -EINVAL : ask(c, SCTP_P_ADD_IP, a, n);
    if (g->n_lcl == 0 && !ip_addr_is_any(&c->ep->s->lcl.ip))
        g->lcl[g->n_lcl++] = c->ep->s->lcl.ip;
    for (int i = 0; i < n; i++) {
        int rc = place_of(g, &a[i]) >= 0 ? 0 : add_one(c, &a[i]);
        if (rc != 0)
            return rc;
    }
    return 0;
}

int sctp_opt_bindx_rem(struct sctp_opt_call *c)
{
    struct sctp_cfg *g = &c->ep->cfg;
    struct ip_addr a[SCTP_ADDRS];
    int n = bindx_addrs(c, a), at;

    if (n < 0)
        return n;
    for (int i = 0; i < n; i++)
        if (place_of(g, &a[i]) < 0 && (g->n_lcl || !c->a || !ip_addr_eq(&c->a->base.lcl.ip, &a[i])))
            return -EINVAL;
    if (n >= (g->n_lcl ? g->n_lcl : 1)) /* RFC 6458 s9.1: never the last one */
        return -EBUSY;
    if (c->a)
        return ask(c, SCTP_P_DEL_IP, a, n);
    for (int i = 0; i < n; i++)
        if ((at = place_of(g, &a[i])) >= 0) {
            session_endpoint_release(c->w, c->ep->also[at]);
            g->lcl[at] = g->lcl[--g->n_lcl];
            c->ep->also[at] = c->ep->also[g->n_lcl];
            c->ep->also[g->n_lcl] = NULL;
        }
    return 0;
}

/* RFC 6458 s8.3.1: where the peer should send to. */
int sctp_opt_set_peer_primary(struct sctp_opt_call *c)
{
    struct ip_endpoint e;
    uint32_t used;
    int err = sctp_opt_endpoint(c->val + offsetof(struct sctp_setpeerprim, sspp_addr), sizeof(struct sockaddr_storage), &e, &used);

    if (err || !c->a)
        return err ? err : -EINVAL;
    if (!c->a->asconf) /* as Linux */
        return -EPERM;
    if (!sctp_lcl_ok(c->w, c->a, &e.ip) || !ip_is_local_addr(c->w, c->ep->s->fib, &e.ip))
        return -EADDRNOTAVAIL;
    return ask(c, SCTP_P_SET_PRIMARY, &e.ip, 1);
}
