/* udp.c - UDP endpoints: connect, close, attributes, ICMP errors, counters */
#include "server/udp/udp_internal.h"

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdlib.h>

#include "server/ip/interface.h"
#include "server/ip/pmtu.h"

static int udp_worker_init(struct worker *w HS_UNUSED) { return 0; }

static void udp_worker_fini(struct worker *w)
{
    struct udp_worker *uw = udp_worker_of(w);

    while (uw->conns)
        udp_free(w, uw->conns);
}

static void drop_claim(struct worker *w, struct udp_conn *c)
{
    if (c->has_claim)
        worker_rss_udp_claim(w->stack, c->claim_port, w->index, (enum worker_udp_kind)c->claim_kind, false);
    c->has_claim = false;
}

enum worker_udp_kind udp_kind(const struct udp_conn *c)
{
    if (udp_is_connected(c))
        return WORKER_UDP_CONNECTED;
    return ip_addr_is_any(&c->base.lcl.ip) ? WORKER_UDP_WILDCARD : WORKER_UDP_ADDRESS;
}

static void renew_claim(struct worker *w, struct udp_conn *c)
{
    struct udp_conn before = *c;

    c->claim_kind = (uint8_t)udp_kind(c);
    c->claim_port = c->base.lcl.port;
    c->has_claim = true;
    worker_rss_udp_claim(w->stack, c->claim_port, w->index, (enum worker_udp_kind)c->claim_kind, true);
    drop_claim(w, &before); /* after the new one: there is always one */
}

void udp_free(struct worker *w, struct udp_conn *c)
{
    drop_claim(w, c);
    if (c->base.in_lookup)
        session_lookup_del(w, &c->base);
    *c->pprev = c->next;
    if (c->next)
        c->next->pprev = c->pprev;
    udp_mcast_free(c);
    free(c);
}

static struct udp_conn *udp_new(struct worker *w, struct session *s)
{
    struct udp_worker *uw = udp_worker_of(w);
    struct udp_conn *c = calloc(1, sizeof(*c));

    if (!c)
        return NULL;
    c->base.proto = SVM_PROTO_UDP;
    c->base.fib = s->fib;
    c->base.dev = s->dev & 127;
    c->base.session = s;
    c->pmtu = IP_PMTU_WANT; /* as Linux */
    c->mcast_ttl = 1;
    c->mcast_loop = c->mcast_all = true;
    c->next = uw->conns;
    c->pprev = &uw->conns;
    if (c->next)
        c->next->pprev = &c->next;
    uw->conns = c;
    return c;
}

/* A peer that no datagram can reach. Connecting to a broadcast address needs SO_BROADCAST, as on Linux. */
static int check_peer(struct worker *w, const struct udp_conn *c, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint8_t dev)
{
    struct ip_path path;

    if (ip_addr_is_any(&rmt->ip))
        return -EINVAL;
    if (ip_addr_is_broadcast(&rmt->ip))
        return c->broadcast ? 0 : -EACCES;
    if (ip_addr_is_multicast(&rmt->ip))
        return 0;
    int ret = udp_path(w, c, &dev, &lcl->ip, &rmt->ip, &path);
    if (ret == 0 && path.ifc && interface_is_broadcast(path.ifc, &rmt->ip) && !c->broadcast)
        ret = -EACCES;
    return ret;
}

/* As an address is that somebody has bound who may (SVM_BIND_FREE), or that has gone since. */
static bool is_nobodys(struct worker *w, uint16_t fib, const struct ip_addr *ip)
{
    return !ip_addr_is_any(ip) && !ip_addr_is_loopback(ip) && !ip_addr_is_multicast(ip) && !ip_addr_is_broadcast(ip) &&
           !ip_is_local_addr(w, fib, ip);
}

/* rmt 0.0.0.0:0 or [::]:0: bound only; the session layer finds it as a listener. With a peer it is in the connection table. */
static int udp_connect(struct worker *w, struct session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                       struct transport_conn **out)
{
    bool again = s->conn != NULL;
    struct udp_conn *c = again ? udp_of_base(s->conn) : udp_new(w, s);

    if (!c)
        return -ENOMEM;
    c->is_free = is_nobodys(w, c->base.fib, &lcl->ip);
    if (be16_get(rmt->port) != 0) {
        int ret = c->is_free ? -ENETUNREACH : check_peer(w, c, lcl, rmt, session_way_dev(s));
        if (ret < 0) {
            if (!again)
                udp_free(w, c);
            return ret;
        }
    }
    if (c->base.in_lookup)
        session_lookup_del(w, &c->base);
    c->base.lcl = *lcl;
    c->base.rmt = *rmt;
    c->cache = (struct ip_route_cache){ 0 };
    if (udp_is_connected(c))
        session_lookup_add(w, &c->base);
    renew_claim(w, c);
    *out = &c->base;
    return 0;
}

static void udp_shutdown_wr(struct worker *w HS_UNUSED, struct transport_conn *b HS_UNUSED)
{
    /* Nothing goes over the wire; what is in the FIFO is sent, the program writes no more. */
}

static void udp_close(struct worker *w, struct transport_conn *b, int linger_s HS_UNUSED)
{
    struct udp_conn *c = udp_of_base(b);
    struct session *s = b->session;

    /* Records that were written before close are sent; sending never waits for anybody, so this ends. */
    c->closing = true;
    while (b->session && udp_tx(w, b, UINT32_MAX) == TRANSPORT_TX_MORE)
        ;
    if (s)
        session_closed(w, s);
    udp_free(w, c);
}

static void udp_reset(struct worker *w, struct transport_conn *b)
{
    struct session *s = b->session;

    if (s)
        session_reset(w, s, -ECONNABORTED);
    udp_free(w, udp_of_base(b));
}

static void udp_rx_space(struct worker *w HS_UNUSED, struct transport_conn *c HS_UNUSED)
{
    /* No window: what did not fit was dropped. */
}

/* Is a program told of "packet too big" as of a hard error? As Linux. */
static bool tells_too_big(const struct udp_conn *c, bool v4)
{
    return v4 ? c->pmtu != IP_PMTU_DONT : c->pmtu == IP_PMTU_DO;
}

/* RFC 6951 s5.6: about a packet of another transport, if so much of it is quoted that its ports can be read. */
static void icmp_encapsulated(struct worker *w, const struct transport_error *e)
{
    struct transport_error inner = *e;

    if (e->l4_len < 2 * UDP_HDR_LEN) {
        udp_count(w, UDP_C_icmp_ignored);
        return;
    }
    inner.l4 += UDP_HDR_LEN;
    inner.l4_len -= UDP_HDR_LEN;
    memcpy(&inner.lcl.port, inner.l4, 2);
    memcpy(&inner.rmt.port, inner.l4 + 2, 2);
    w->stack->udp_encap.ops->icmp_error(w, &inner);
}

/* The quoted ports name a socket: connected ones hear of hard errors, with IP_RECVERR every one of all (RFC 1122 s4.1.3.3). What is
 * too large for its path is cut from now on. */
static void udp_icmp_error(struct worker *w, const struct transport_error *e)
{
    if (hs_unlikely(e->lcl.port.raw == w->stack->udp_encap.port.raw && w->stack->udp_encap.ops)) { /* anybody can quote port 0 */
        icmp_encapsulated(w, e);
        return;
    }
    bool v4 = ip_addr_is_v4(&e->rmt.ip);
    uint32_t from = session_from(e->fib, e->dev);
    struct transport_conn *b = session_lookup(w, SVM_PROTO_UDP, &e->lcl, &e->rmt, from);
    struct listener *l = b ? NULL : session_lookup_listener(w, SVM_PROTO_UDP, &e->lcl, &e->rmt, from);

    if (l && listener_session(l))
        b = listener_session(l)->conn;
    struct udp_conn *c = b && b->session ? udp_of_base(b) : NULL;
    if (!c || (l && udp_is_connected(c))) { /* it has another peer now */
        udp_count(w, UDP_C_icmp_ignored);
        return;
    }
    if (e->mtu)
        pmtu_learn(w, c->base.fib, &e->rmt.ip, e->mtu);
    bool queue = c->recverr & (v4 ? SVM_RECVERR_V4 : SVM_RECVERR_V6) && !(e->mtu && v4 && c->pmtu == IP_PMTU_DONT);
    bool hard = e->hard || (e->mtu && tells_too_big(c, v4));
    if (!queue && !(hard && udp_is_connected(c))) {
        udp_count(w, e->mtu ? UDP_C_icmp_errors : UDP_C_icmp_ignored);
        return;
    }
    udp_count(w, UDP_C_icmp_errors);
    if (queue)
        udp_deliver_error(w, c, e);
    else
        session_soft_error(w, b->session, e->err);
}

static int udp_set_device(struct worker *w HS_UNUSED, struct transport_conn *b, uint8_t dev)
{
    b->dev = dev & 127;
    udp_of_base(b)->cache = (struct ip_route_cache){ 0 };
    return 0;
}

static int udp_attr_set(struct worker *w, struct transport_conn *b, uint8_t attr, const void *val, uint32_t len)
{
    struct udp_conn *c = udp_of_base(b);
    int32_t v;

    if (len < sizeof(v))
        return -EINVAL;
    if (attr >= SVM_ATTR_MCAST_TTL && attr <= SVM_ATTR_MCAST_FILTER)
        return udp_mcast_attr_set(w, c, attr, val, len);
    memcpy(&v, val, sizeof(v));
    switch (attr) {
    case SVM_ATTR_DSCP:
        if (v < 0 || v > 255)
            return -EINVAL;
        c->tos = (uint8_t)v;
        return 0;
    case SVM_ATTR_TTL:
        if (v < -1 || v == 0 || v > 255) /* -1: the default again */
            return -EINVAL;
        c->ttl = v < 0 ? 0 : (uint8_t)v;
        return 0;
    case SVM_ATTR_BROADCAST:
        c->broadcast = v != 0;
        return 0;
    case SVM_ATTR_GRO:
        c->gro = v != 0;
        return 0;
    case SVM_ATTR_NO_CHECK6_RX:
        c->no_check6_rx = v != 0;
        return 0;
    case SVM_ATTR_RX_TELL:
        if (v & ~(SVM_RX_STAMP | SVM_RX_DEVICE | SVM_RX_DROPS))
            return -EINVAL;
        c->rx_tell = (uint8_t)v;
        return 0;
    case SVM_ATTR_RECVERR:
        if (v & ~(SVM_RECVERR_V4 | SVM_RECVERR_V6))
            return -EINVAL;
        c->recverr = (uint8_t)v;
        return 0;
    case SVM_ATTR_MTU_DISCOVER:
        if (v < IP_PMTU_DONT || v > IP_PMTU_PROBE)
            return -EINVAL;
        c->pmtu = (uint8_t)v;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

/* The answer to sendto() with a datagram that may be too large (ip(7) IP_MTU_DISCOVER). */
static int send_mtu(struct worker *w, const struct udp_conn *c, const void *val, int32_t *mtu)
{
    struct svm_send_mtu q;
    struct ip_path path;

    memcpy(&q, val, sizeof(q));
    if (ip_addr_is_any(&q.dst)) {
        if (!udp_is_connected(c))
            return -ENOTCONN;
        q.dst = c->base.rmt.ip;
    }
    int ret = q.device ? interface_dev_of_index(w->stack, c->base.fib, q.device) : c->base.dev;
    uint8_t dev = (uint8_t)ret;
    if (ret >= 0)
        ret = udp_path(w, c, &dev, &c->base.lcl.ip, &q.dst, &path);
    if (ret == 0)
        *mtu = q.by_interface && path.ifc ? path.ifc->mtu : path.mtu;
    return ret;
}

static int udp_attr_get(struct worker *w, struct transport_conn *b, uint8_t attr, void *val, uint32_t *len)
{
    const struct udp_conn *c = udp_of_base(b);
    int32_t v = 0;

    switch (attr) {
    case SVM_ATTR_DSCP:
        v = c->tos;
        break;
    case SVM_ATTR_TTL:
        v = c->ttl ? c->ttl : 64;
        break;
    case SVM_ATTR_BROADCAST:
        v = c->broadcast;
        break;
    case SVM_ATTR_MTU_DISCOVER:
        v = c->pmtu;
        break;
    case SVM_ATTR_MTU: {
        struct ip_path path;
        if (!udp_is_connected(c))
            return -ENOTCONN;
        int ret = ip_path_lookup_by(w, c->base.fib, c->base.dev, &c->base.rmt.ip, &path);
        if (ret < 0)
            return ret;
        v = path.mtu;
        break;
    }
    case SVM_ATTR_SEND_MTU: {
        int ret = *len < sizeof(struct svm_send_mtu) ? -EINVAL : send_mtu(w, c, val, &v);
        if (ret < 0)
            return ret;
        break;
    }
    case SVM_ATTR_TX_QUEUED:
        v = b->session ? (int32_t)session_tx_avail(w, b->session) : 0;
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

static void udp_show(struct worker *w HS_UNUSED, const struct transport_conn *b, json_t *obj)
{
    const struct udp_conn *c = hs_container_of(b, const struct udp_conn, base);

    json_object_set_new(obj, "state", json_string(udp_is_connected(c) ? "connected" : "bound"));
    json_object_set_new(obj, "rx_datagrams", json_integer((json_int_t)c->rx_datagrams));
    json_object_set_new(obj, "tx_datagrams", json_integer((json_int_t)c->tx_datagrams));
    json_object_set_new(obj, "rx_full", json_integer((json_int_t)c->rx_full));
}

static void udp_show_stats(struct worker *w, json_t *obj)
{
    static const char *const names[] = {
#define COUNT(name, text) #name,
#include "server/udp/udp_drops.def"
#undef COUNT
    };

    for (unsigned i = 0; i < UDP_C_MAX; i++)
        json_object_set_new(obj, names[i], json_integer((json_int_t)udp_worker_of(w)->count[i]));
}

const struct transport_ops udp_transport_ops = {
    .name = "udp",
    .proto = SVM_PROTO_UDP,
    .ip_proto = IPPROTO_UDP,
    .is_datagram = true,
    .worker_state_size = sizeof(struct udp_worker),
    .worker_init = udp_worker_init,
    .worker_fini = udp_worker_fini,
    .input = udp_input,
    .icmp_error = udp_icmp_error,
    .connect = udp_connect,
    .shutdown_wr = udp_shutdown_wr,
    .close = udp_close,
    .reset = udp_reset,
    .tx = udp_tx,
    .rx_space = udp_rx_space,
    .set_device = udp_set_device,
    .attr_set = udp_attr_set,
    .attr_get = udp_attr_get,
    .show = udp_show,
    .show_stats = udp_show_stats,
};
