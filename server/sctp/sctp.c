/* sctp.c - the operations that the session layer calls: listen, connect, close, reset, room in FIFOs */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>

static int sctp_worker_init(struct worker *w HS_UNUSED) { return 0; }

static void sctp_worker_fini(struct worker *w)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    while (sw->all)
        sctp_assoc_free(w, sw->all);
    free(sw->table);
    sw->table = NULL;
}

void sctp_configure(struct stack *s, const struct sctp_config *cfg)
{
    be16 port = be16_of(cfg->udp_port);

    sctp_worker_of(s->worker[0])->cfg = *cfg;
    if (!cfg->udp_port)
        return;
    s->udp_encap = (struct udp_encap){ port, &sctp_transport_ops };
    worker_rss_udp_claim(s, port, 0, WORKER_UDP_WILDCARD, true);
}

static int sctp_listen(struct worker *w, struct listener *l)
{
    struct session *s = listener_session(l);
    struct sctp_ep *ep = s ? sctp_ep_get(w, s) : NULL;

    if (!ep)
        return -ENOMEM;
    if (w->index != 0) /* svm_sctp.h: its packets go to worker 0 */
        return -EPROTONOSUPPORT;
    ep->is_listening = true;
    return 0;
}

static void sctp_unlisten(struct worker *w HS_UNUSED, struct listener *l)
{
    struct session *s = listener_session(l);

    if (s && session_transport_data(s)) /* there is no half-open state to drop: cookies carry it */
        sctp_ep_of_session(s)->is_listening = false;
}

/* RFC 6458 s9.1: the addresses of a bindx. */
static int sctp_listens_at(const struct session *s, const struct ip_addr *ip)
{
    const struct sctp_ep *ep = session_transport_data(s);

    for (unsigned i = 0; ep && i < ep->cfg.n_lcl; i++)
        if (ip_addr_eq(&ep->cfg.lcl[i], ip))
            return 1;
    return ep && ep->cfg.n_lcl ? 0 : -1;
}

static bool may_reach(struct worker *w, uint16_t fib, const struct ip_addr *ip, int *err)
{
    struct ip_path path;

    if (ip_addr_is_any(ip) || ip_addr_is_multicast(ip) || ip_addr_is_broadcast(ip))
        *err = -EINVAL;
    else
        *err = sctp_route(w, fib, ip, &path);
    return *err == 0;
}

/* Begins an association of ep with rmt (s5.1 A), and with the other addresses that connectx named. */
struct sctp_assoc *sctp_associate(struct worker *w, struct sctp_ep *ep, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, int *err)
{
    struct sctp_assoc *a;
    struct ip_endpoint from = { lcl->ip, lcl->port };

    if (!may_reach(w, ep->s->fib, &rmt->ip, err))
        return NULL;
    if (!session_may_send(w, ep->s, &from, rmt)) {
        *err = -ECONNREFUSED;
        return NULL;
    }
    if (sctp_find(w, &from, rmt, ep->s->fib)) {
        *err = -EISCONN;
        return NULL;
    }
    *err = -ENOMEM;
    a = sctp_assoc_new(w, &ep->cfg, lcl, ep->s->fib);
    if (!a)
        return NULL;
    a->base.rmt = *rmt;
    struct sctp_auth_vec auth;
    sctp_auth_vec_make(w, &a->cfg, &auth);
    if (!sctp_path_add(w, a, &rmt->ip, true) || ((a->cfg.features & SCTP_F_AUTH) && sctp_auth_begin(a, &auth) != 0)) {
        sctp_assoc_free(w, a);
        return NULL;
    }
    for (unsigned i = 0; i < ep->cfg.n_peers && ip_addr_eq(&ep->cfg.peers[0], &rmt->ip); i++) /* else left of another call */
        if (ip_addr_is_loopback(&ep->cfg.peers[i]) == ip_addr_is_loopback(&rmt->ip)) /* those of this host are not another one's */
            sctp_path_add(w, a, &ep->cfg.peers[i], true); /* s5.4: the program vouches for them */
    ep->cfg.n_peers = 0;
    sctp_assoc_attach(a, ep);
    sctp_state_set(w, a, SCTP_S_COOKIE_WAIT);
    sctp_init_send(w, a);
    a->n_init = 1;
    timer_start(&w->timers, &a->t1, w->now_us + a->primary->rto_us);
    *err = 0;
    return a;
}

/* What the program has bound, or the wildcard: then the association may use all addresses of the stack (RFC 9260 s5.1.2), and the one
 * chosen for this peer is only what getsockname() says. */
static struct ip_addr bound_to(struct worker *w, const struct session *s)
{
    const struct session *from = s->endpoint ? s : s->origin.gen ? session_from_handle(w, s->origin) : NULL;

    return from ? session_bound_addr(from) : ip_addr_any(!(s->flags & SVM_CONN_V6));
}

static int sctp_connect(struct worker *w, struct session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                        struct transport_conn **out)
{
    struct sctp_ep *ep = sctp_ep_get(w, s);
    struct sctp_assoc *a;
    int err;

    if (!ep)
        return -ENOMEM;
    if (w->index != 0)
        return -EPROTONOSUPPORT;
    if (s->origin.gen && !ep->assocs) { /* of a one-to-many socket: begins as that one is set */
        struct session *from = session_from_handle(w, s->origin);
        if (from && session_transport_data(from)) {
            sctp_cfg_copy(&ep->cfg, &sctp_ep_of_session(from)->cfg);
            sctp_ep_of_session(from)->cfg.n_peers = 0; /* they were this association's */
        }
    }
    session_connect_attrs(w, s, &(struct transport_conn){ .session = s }); /* they are the endpoint's, and the association begins with them */
    struct ip_endpoint bound = { bound_to(w, s), lcl->port };
    a = sctp_associate(w, ep, &bound, rmt, &err);
    if (!a)
        return err;
    a->lcl_ip = lcl->ip;
    a->base.session = s;
    session_lookup_add(w, &a->base); /* so that no other local port is chosen twice for this peer */
    *out = &a->base;
    return 0;
}

/* What has no meaning without packets: the end of an association after a time of silence, and extensions that both sides must have switched
 * on. */
static bool sctp_needs_packets(struct worker *w, const struct session *s, const struct listener *l)
{
    const struct session *from = s->origin.gen ? session_from_handle(w, s->origin) : s, *to = listener_session(l);
    const struct sctp_ep *a = from ? session_transport_data(from) : NULL, *b = to ? session_transport_data(to) : NULL;

    if (from == to) /* a one-to-many socket that calls itself: its packets could be those of either association */
        return false;
    if ((a && a->cfg.autoclose_s) || (b && b->cfg.autoclose_s))
        return true;
    return a && b && (a->cfg.features & b->cfg.features & (SCTP_F_RECONF | SCTP_F_IDATA | SCTP_F_AUTH));
}

static void sctp_shutdown_wr(struct worker *w, struct transport_conn *b)
{
    struct session *s = b->session;

    if (s) /* what is in the FIFO goes first: sctp_tx() sees that the program has ended */
        session_tx_schedule(w, s);
}

static void close_drained(struct worker *w, struct sctp_ep *ep)
{
    ep->is_draining = false;
    session_closed(w, ep->s);
}

static void sctp_close(struct worker *w, struct transport_conn *b, int linger_s HS_UNUSED)
{
    struct session *s = b->session;
    struct sctp_ep *ep = s ? sctp_ep_of_session(s) : NULL;

    if (!ep)
        return;
    ep->is_closing = true;
    if (ep->is_draining) {
        close_drained(w, ep);
        return;
    }
    if (ep->has_unread && session_rx_unread(w, s) > 0) { /* as Linux: what was not read is lost, and the peer is told */
        sctp_abort(w, ep->assocs, SCTP_C_USER_ABORT, NULL, 0, -ECONNABORTED);
        return;
    }
    session_tx_schedule(w, s);
}

static void sctp_reset(struct worker *w, struct transport_conn *b)
{
    struct session *s = b->session;
    struct sctp_ep *ep = s ? sctp_ep_of_session(s) : NULL;
    struct sctp_assoc *a = sctp_assoc_of(b);

    if (!ep) { /* an accepted association whose session is not made yet */
        if (s)
            session_reset(w, s, -ECONNABORTED);
        return;
    }
    ep->is_closing = true;
    if (ep->is_draining) {
        close_drained(w, ep);
        return;
    }
    sctp_abort(w, a, SCTP_C_USER_ABORT, NULL, 0, -ECONNABORTED);
}

/* The program made room: what waits goes in, and the peer hears of a window that has opened (s6.2). */
static void sctp_rx_space(struct worker *w, struct transport_conn *b)
{
    struct session *s = b->session;
    struct sctp_ep *ep = s ? sctp_ep_of_session(s) : NULL;

    if (!ep)
        return;
    sctp_deliver_flush(w, ep);
    if (ep->is_draining) {
        if (!ep->ready)
            sctp_drain_end(w, ep);
        return;
    }
    for (struct sctp_assoc *a = ep->assocs; a; a = a->ep_next) {
        uint32_t now;
        if (a->state < SCTP_S_ESTABLISHED)
            continue;
        now = sctp_rwnd(w, a);
        if (now > a->last_rwnd && now - a->last_rwnd >= hs_min_u32(session_rx_max(s) / 2, 2 * sctp_path_payload(a->primary))) {
            a->sack_now = true;
            sctp_touch(w, a);
        } else {
            sctp_want_space(w, a);
        }
    }
    sctp_touched_run(w);
}

static int sctp_attr_set(struct worker *w HS_UNUSED, struct transport_conn *b, uint8_t attr, const void *val, uint32_t len)
{
    struct sctp_ep *ep = b->session ? sctp_ep_of_session(b->session) : NULL;
    int32_t v;

    if (!ep || len < sizeof(v))
        return -EINVAL;
    memcpy(&v, val, sizeof(v));
    switch (attr) {
    case SVM_ATTR_DSCP:
        ep->cfg.dscp = (uint8_t)(v & 0xfc);
        for (struct sctp_assoc *a = ep->assocs; a; a = a->ep_next)
            for (unsigned i = 0; i < a->n_paths; i++)
                sctp_path_dscp(a->path[i], ep->cfg.dscp);
        return v >= 0 && v <= 255 ? 0 : -EINVAL;
    case SVM_ATTR_TTL:
        ep->cfg.ttl = v < 0 ? 0 : (uint8_t)v;
        for (struct sctp_assoc *a = ep->assocs; a; a = a->ep_next)
            a->cfg.ttl = ep->cfg.ttl;
        return 0;
    case SVM_ATTR_NODELAY:
        ep->cfg.nodelay = v != 0;
        for (struct sctp_assoc *a = ep->assocs; a; a = a->ep_next)
            a->cfg.nodelay = v != 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static int sctp_attr_get(struct worker *w, struct transport_conn *b, uint8_t attr, void *val, uint32_t *len)
{
    const struct sctp_ep *ep = b->session ? sctp_ep_of_session(b->session) : NULL;
    int32_t v;

    if (!ep)
        return -ENOTCONN;
    switch (attr) {
    case SVM_ATTR_DSCP:
        v = ep->cfg.dscp;
        break;
    case SVM_ATTR_TTL:
        v = ep->cfg.ttl ? ep->cfg.ttl : 64;
        break;
    case SVM_ATTR_NODELAY:
        v = ep->cfg.nodelay;
        break;
    case SVM_ATTR_TX_QUEUED:
        v = (int32_t)session_tx_avail(w, b->session);
        for (const struct sctp_assoc *a = ep->assocs; a; a = a->ep_next)
            v += (int32_t)(a->unsent + a->flight);
        break;
    default:
        return -ENOPROTOOPT;
    }
    if (*len < sizeof(v))
        return -EINVAL;
    memcpy(val, &v, sizeof(v));
    *len = sizeof(v);
    return 0;
}

static void sctp_session_gone(struct worker *w, struct session *s)
{
    if (!session_transport_data(s))
        return;
    sctp_ep_free(w, s->rare->transport_data);
    s->rare->transport_data = NULL;
}

const struct transport_ops sctp_transport_ops = {
    .name = "sctp",
    .proto = SVM_PROTO_SCTP,
    .ip_proto = IPPROTO_SCTP,
    .is_on_worker_0 = true,
    .worker_state_size = sizeof(struct sctp_worker),
    .worker_init = sctp_worker_init,
    .worker_fini = sctp_worker_fini,
    .input = sctp_input,
    .input_in_udp = sctp_input_in_udp,
    .icmp_error = sctp_icmp_error,
    .listen = sctp_listen,
    .unlisten = sctp_unlisten,
    .listens_at = sctp_listens_at,
    .connect = sctp_connect,
    .needs_packets = sctp_needs_packets,
    .shutdown_wr = sctp_shutdown_wr,
    .close = sctp_close,
    .reset = sctp_reset,
    .tx = sctp_tx,
    .rx_space = sctp_rx_space,
    .attr_set = sctp_attr_set,
    .attr_get = sctp_attr_get,
    .option = sctp_option,
    .session_gone = sctp_session_gone,
    .show = sctp_show,
    .show_stats = sctp_show_stats,
};
