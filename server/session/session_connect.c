/* session_connect.c - bind, listen, connect, accept: how sessions begin */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "server/ip/ip.h"
#include "server/local/local.h"

static bool may_bind(struct worker *w, const struct app_worker *a, const struct session_bind_args *args)
{
    const struct ip_addr *ip = &args->lcl.ip;

    if (ip_addr_is_any(ip) || ip_addr_is_loopback(ip) || ip_is_local_addr(w, a->fib, ip))
        return true;
    if (ip_addr_is_multicast(ip) || ip_addr_is_broadcast(ip))
        return args->proto == SVM_PROTO_UDP;
    return args->is_free;
}

/* Who is bound to an address that is not there, yet or any more, sends nothing from it (Linux: IPv4 only). */
static bool has_source(struct worker *w, const struct session *s)
{
    const struct ip_addr *ip = &s->lcl.ip;

    return ip_addr_is_any(ip) || ip_addr_is_loopback(ip) || ip_is_local_addr(w, s->fib, ip);
}

/* A datagram session is ready for use when it is bound: FIFOs, and a connection without a peer. */
static int datagram_open(struct worker *w, struct session *s)
{
    struct ip_endpoint none = { ip_addr_any(ip_addr_is_v4(&s->lcl.ip)), { 0 } };
    int err = session_fifos_make(w, s, s->app);

    if (err != 0)
        return err;
    err = listener_create(w, s, 0);
    if (err != 0)
        return err;
    err = s->ops->connect(w, s, &s->lcl, &none, &s->conn);
    if (err == 0) {
        s->state = SESSION_ESTABLISHED;
        session_attrs_apply(w, s);
    }
    return err;
}

int session_bind(struct worker *w, struct app_worker *a, const struct session_bind_args *args, struct session **out)
{
    const struct transport_ops *ops = transport_get(args->proto);
    struct session_bind_args place;
    struct session *s;
    uint8_t dev;
    int err;

    if (!ops)
        return -EPROTONOSUPPORT;
    if (!(args->flags & (SVM_CONN_SCOPE_LOCAL | SVM_CONN_SCOPE_GLOBAL)))
        return -EACCES;
    if (!may_bind(w, a, args))
        return -EADDRNOTAVAIL;
    err = session_device_of(w, args->proto, a->fib, args->device, &dev);
    if (err != 0)
        return err;
    s = session_alloc(w, args->proto);
    if (!s)
        return -ENOMEM;
    place = *args;
    if (ops->ip_proto == 0)
        place.proto = ops->over; /* its ports are those of the transport below */
    err = session_endpoint_reserve(w, &place, a->ns, a->fib, dev, &s->endpoint);
    if (err != 0) {
        session_free(w, s);
        return err;
    }
    s->state = SESSION_BOUND;
    s->flags = args->flags;
    s->dev = dev;
    s->fib = a->fib;
    s->ctx = args->ctx;
    s->lcl = s->endpoint->lcl;
    s->rmt.ip = ip_addr_any(ip_addr_is_v4(&s->lcl.ip));
    s->app = a;
    err = session_hold_add(s, a);
    if (err == 0 && ops->is_datagram)
        err = datagram_open(w, s);
    if (err != 0) {
        session_hold_remove(s, a);
        s->app = NULL;
        if (s->listener)
            listener_destroy(w, s->listener);
        session_fifos_drop(w, s);
        session_endpoint_release(w, s->endpoint);
        s->endpoint = NULL;
        session_free(w, s);
        return err;
    }
    *out = s;
    return 0;
}

int session_listen(struct worker *w, struct app_worker *a, struct session *s, uint32_t backlog)
{
    int err;

    if (s->ops->is_datagram)
        return -EOPNOTSUPP;
    if (s->state == SESSION_LISTENING) { /* listen(2) again sets the backlog */
        s->listener->backlog = backlog ? backlog : 1;
        s->listener->layer_cfg = s->layer_cfg;
        local_wait_go_on(s->listener);
        return s->ops->is_on_worker_0 ? 0 : listener_replicate(w, s);
    }
    if (s->state != SESSION_BOUND)
        return -EINVAL;
    s->app = a;
    s->ctx = session_ctx(s, a);
    err = session_endpoint_listen(w, s->endpoint);
    if (err != 0)
        return err;
    err = listener_create(w, s, backlog);
    if (err == 0 && s->ops->listen) {
        err = s->ops->listen(w, s->listener);
        if (err != 0)
            listener_destroy(w, s->listener);
    }
    if (err != 0)
        return err;
    err = s->ops->is_on_worker_0 ? 0 : listener_replicate(w, s);
    if (err != 0 && err != -EINPROGRESS) {
        listener_destroy(w, s->listener);
        return err;
    }
    s->state = SESSION_LISTENING;
    return err;
}

static int take_attrs(struct session *s, const struct session_attrs *from)
{
    if (!from || !from->is_set)
        return 0;
    struct session_rare *r = session_rare_get(s);
    if (!r || (!r->attrs && !(r->attrs = malloc(sizeof(*r->attrs)))))
        return -ENOMEM;
    *r->attrs = *from;
    return 0;
}

int session_listen_below(struct worker *w, struct app_worker *a, const struct listener *above, uint8_t proto, uint32_t ctx,
                         uint32_t backlog, struct session **out)
{
    struct session *s = session_alloc(w, proto);
    int err;

    if (!s)
        return -ENOMEM;
    s->state = SESSION_BOUND;
    s->flags = above->flags;
    s->dev = above->dev;
    s->fib = above->fib;
    s->ctx = ctx;
    s->lcl = above->lcl;
    s->rmt.ip = ip_addr_any(ip_addr_is_v4(&s->lcl.ip));
    s->app = a;
    err = session_hold_add(s, a);
    if (err == 0)
        err = take_attrs(s, &above->attrs);
    if (err == 0)
        err = listener_create(w, s, backlog);
    if (err == 0)
        s->listener->is_free = above->is_free;
    if (err == 0 && s->ops->listen)
        err = s->ops->listen(w, s->listener);
    if (err == 0)
        err = listener_replicate(w, s);
    if (err == -EINPROGRESS)
        err = 0; /* the listener above is copied after this one, and tells its program when all is done */
    if (err == 0) {
        s->state = SESSION_LISTENING;
        *out = s;
        return 0;
    }
    if (s->listener)
        listener_destroy(w, s->listener);
    session_hold_remove(s, a);
    session_free(w, s);
    return err;
}

/* Where from, for a peer; and may it? Who was accepted was asked for before. */
static int choose_below(struct worker *w, struct session *s, const struct session_below_args *args)
{
    int err = 0;

    if (args->reserve) {
        struct session_bind_args place = { .proto = args->proto, .flags = args->flags, .lcl = args->lcl };
        err = session_endpoint_reserve(w, &place, s->app->ns, s->fib, s->dev, &s->endpoint);
        if (err == 0)
            s->lcl = s->endpoint->lcl;
    }
    if (err == 0 && s->rmt.port.raw && ip_addr_is_any(&s->lcl.ip))
        err = session_choose_source(w, s->proto, &s->rmt, session_from(s->fib, s->dev), &s->lcl);
    if (err == 0 && s->rmt.port.raw && !args->above && !session_may_send(w, s, &s->lcl, &s->rmt))
        err = -ECONNREFUSED;
    return err;
}

int session_open_below(struct worker *w, struct app_worker *a, const struct session_below_args *args, struct session **out)
{
    struct session *s = session_alloc(w, args->proto);
    int err;

    if (!s)
        return -ENOMEM;
    s->state = SESSION_BOUND;
    s->flags = args->above ? args->above->flags : args->flags;
    s->dev = args->above ? args->above->dev : args->dev;
    s->fib = a->fib;
    s->lcl = args->lcl;
    s->rmt = args->rmt;
    if (!s->rmt.port.raw)
        s->rmt.ip = ip_addr_any(ip_addr_is_v4(&s->lcl.ip));
    s->app = a;
    err = session_hold_add(s, a);
    if (err == 0 && args->above)
        err = take_attrs(s, &args->above->attrs);
    if (err == 0)
        err = choose_below(w, s, args);
    if (err == 0)
        err = session_fifos_make(w, s, a);
    if (err == 0 && !s->rmt.port.raw)
        err = listener_create(w, s, 0);
    if (err == 0)
        err = s->ops->connect(w, s, &s->lcl, &s->rmt, &s->conn);
    if (err == 0) {
        s->state = SESSION_ESTABLISHED;
        session_attrs_apply(w, s);
        *out = s;
        return 0;
    }
    if (s->listener)
        listener_destroy(w, s->listener);
    session_fifos_drop(w, s);
    session_endpoint_release(w, s->endpoint);
    s->endpoint = NULL;
    s->app = NULL;
    session_hold_remove(s, a);
    session_free(w, s);
    return err;
}

/* ---- active ---- */

static int connect_datagram(struct worker *w, struct session *s, const struct ip_endpoint *rmt, uint8_t dev)
{
    struct ip_endpoint lcl = s->lcl;
    int err = 0;

    s->way_dev = s->dev ? s->dev : dev;
    if (!rmt->port.raw && ip_addr_is_any(&rmt->ip) && s->endpoint) /* none any more: as it was bound */
        lcl = s->endpoint->lcl;
    if (rmt->port.raw && ip_addr_is_any(&lcl.ip))
        err = session_choose_source(w, s->proto, rmt, session_from(s->fib, s->way_dev), &lcl);
    if (err == 0 && rmt->port.raw && !session_may_send(w, s, &lcl, rmt))
        err = -ECONNREFUSED;
    if (err == 0)
        err = s->ops->connect(w, s, &lcl, rmt, &s->conn);
    if (err == 0) {
        s->rmt = *rmt;
        s->lcl = lcl;
        s->app->ops->connected(w, s->app, s, 0);
    }
    return err;
}

/* FIFOs, of a size that was asked for before, and the transport's connection. */
static int connect_by_ops(struct worker *w, struct session *s, struct app_worker *a, const struct session_attrs *attrs)
{
    int err = session_fifos_make(w, s, a);

    if (err != 0)
        return err;
    err = take_attrs(s, attrs);
    if (err == 0) {
        session_attrs_begin(s);
        err = s->ops->connect(w, s, &s->lcl, &s->rmt, &s->conn);
    }
    if (err != 0) {
        session_fifos_drop(w, s);
        return err;
    }
    s->conn->session = s;
    return 0;
}

static int connect_global(struct worker *w, struct session *s, struct app_worker *a, const struct session_attrs *attrs)
{
    int err = session_choose_source(w, s->proto, &s->rmt, session_from(s->fib, s->dev), &s->lcl);

    if (err == 0 && !session_may_send(w, s, &s->lcl, &s->rmt))
        err = -ECONNREFUSED;
    return err ? err : connect_by_ops(w, s, a, attrs);
}

/* What the socket of somebody who calls this host says of its own address: as over loopback, the address it was called by. */
static void choose_local_address(struct session *s)
{
    if (ip_addr_is_any(&s->rmt.ip)) /* connecting to the wildcard means this host (Linux) */
        s->rmt.ip = ip_addr_is_v4(&s->rmt.ip) ? ip_addr_v4(be32_of(0x7f000001)) : (struct ip_addr){ .w = { [3] = be32_of(1) } };
    if (ip_addr_is_any(&s->lcl.ip))
        s->lcl.ip = s->rmt.ip;
}

static void choose_local_port(struct worker *w, struct session *s)
{
    if (!s->lcl.port.raw)
        s->lcl.port = be16_of((uint16_t)(SESSION_EPHEMERAL_LO +
                                         worker_random(w) % (SESSION_EPHEMERAL_HI - SESSION_EPHEMERAL_LO + 1)));
}

/* Not by cut-through, but by packets that do not leave the stack. Where packets would not come through (scopes, rules, a socket that calls
 * itself, a loopback address of another table, for which no interface stands) it stays cut-through. */
static bool goes_by_packets(struct worker *w, const struct session *s, uint8_t flags)
{
    struct listener *l;

    if (!s->ops->needs_packets || !(flags & SVM_CONN_SCOPE_GLOBAL) || (s->fib != 0 && ip_addr_is_loopback(&s->rmt.ip)) ||
        (ip_addr_eq(&s->lcl.ip, &s->rmt.ip) && s->lcl.port.raw == s->rmt.port.raw))
        return false;
    l = session_lookup_listener(w, s->proto, &s->rmt, &s->lcl, session_from(s->fib, session_device_to(w, s->fib, &s->rmt.ip)));
    return l && !l->is_internal && session_may_send(w, s, &s->lcl, &s->rmt) && s->ops->needs_packets(w, s, l);
}

/* A transport over another one: that one finds the way, over the network or to a program of this host. */
static int connect_layered(struct worker *w, struct session *s, struct app_worker *a, const struct session_attrs *attrs)
{
    int err = connect_by_ops(w, s, a, attrs);

    if (err == 0)
        session_attrs_apply(w, s);
    return err;
}

static int connect_stream(struct worker *w, struct session *s, struct app_worker *a, uint8_t flags,
                          const struct session_attrs *attrs)
{
    struct listener *l = NULL;

    if (!has_source(w, s))
        return -ENETUNREACH;
    if (s->ops->ip_proto == 0)
        return connect_layered(w, s, a, attrs);
    bool meets = !s->dev || s->dev == session_device_to(w, 0, &s->rmt.ip);
    int err = flags & SVM_CONN_SCOPE_LOCAL && meets ? listener_find_local(w, s->proto, &s->lcl, &s->rmt, a->ns, &l) : 0;
    if (err != 0)
        return err;
    if (l) {
        choose_local_address(s);
        if (l->is_internal || a->ops->is_internal) {
            choose_local_port(w, s);
            return local_relay_connect(w, l, s);
        }
        if (goes_by_packets(w, s, flags))
            return connect_global(w, s, a, attrs);
        choose_local_port(w, s);
        local_connect(w, l, s);
        return 0;
    }
    if (ip_addr_is_loopback(&s->rmt.ip) || ip_addr_is_any(&s->rmt.ip))
        return meets ? -ECONNREFUSED : -ENETUNREACH;
    if (!(flags & SVM_CONN_SCOPE_GLOBAL))
        return -ENETUNREACH;
    if (ip_addr_is_multicast(&s->rmt.ip) || ip_addr_is_broadcast(&s->rmt.ip)) /* RFC 9293 MUST-46 */
        return -ENETUNREACH;
    return connect_global(w, s, a, attrs);
}

int session_connect(struct worker *w, struct app_worker *a, const struct session_connect_args *args, struct session **out)
{
    const struct transport_ops *ops = transport_get(args->proto);
    struct session *s = args->bound, *from = NULL;
    bool is_new;
    uint8_t dev;
    int err;

    if (!ops)
        return -EPROTONOSUPPORT;
    err = s && !ops->is_datagram ? 0 : session_device_of(w, args->proto, a->fib, args->device, &dev);
    if (err != 0)
        return err;
    if (s && s->proto != args->proto)
        return -EINVAL;
    if (s && args->flags & SVM_BIND_SEQPACKET) { /* an endpoint of many: a new session begins there */
        from = s;
        s = NULL;
    }
    is_new = !s;
    if (ops->is_datagram) {
        if (!s) {
            struct session_bind_args b = { .proto = args->proto, .flags = args->flags, .ctx = args->ctx, .lcl = args->lcl,
                                           .device = args->device };
            err = session_bind(w, a, &b, &s);
            if (err != 0)
                return err;
        }
        err = s->conn && s->app == a ? connect_datagram(w, s, &args->rmt, dev) : -ENOTCONN; /* who shares it has claimed it first */
        if (err != 0 && is_new)
            session_close(w, a, s, -1);
        else
            *out = s;
        return err;
    }
    if (s && s->state != SESSION_BOUND)
        return s->state == SESSION_LISTENING ? -EISCONN : s->state == SESSION_CONNECTING ? -EALREADY : -EISCONN;
    if (args->rmt.port.raw == 0)
        return -ECONNREFUSED;
    if (is_new) {
        s = session_alloc(w, args->proto);
        if (!s)
            return -ENOMEM;
        s->dev = from ? from->dev : dev;
        s->fib = a->fib;
        s->lcl = from ? from->lcl : args->lcl;
        if (from)
            s->origin = from->handle;
        s->is_branch = from != NULL;
        err = session_hold_add(s, a);
        if (err != 0) {
            session_free(w, s);
            return err;
        }
    }
    s->flags |= args->flags & (uint8_t)~SVM_BIND_SEQPACKET;
    s->layer_cfg = args->layer_cfg;
    s->connect_how = args->how;
    s->connect_waits = false;
    s->ctx = args->ctx;
    session_hold_of(s, a)->ctx = args->ctx;
    s->app = a;
    s->rmt = args->rmt;
    s->state = SESSION_CONNECTING;
    err = connect_stream(w, s, a, args->flags, is_new ? args->attrs : NULL); /* a bound one has its own */
    if (err != 0) {
        if (is_new) {
            session_hold_remove(s, a);
            s->app = NULL;
            session_free(w, s);
        } else {
            s->state = SESSION_BOUND;
            s->lcl = s->endpoint->lcl;
        }
        return err;
    }
    if (hs_unlikely(args->how & SVM_CONNECT_FASTOPEN) && s->state == SESSION_CONNECTING && a->ops->connecting)
        a->ops->connecting(w, a, s);
    *out = s;
    return 0;
}

/* ---- told by transports ---- */

uint8_t session_connect_how(const struct session *s) { return s->connect_how; }

void session_connect_waits(struct worker *w, struct session *s)
{
    s->connect_waits = true;
    session_tx_schedule(w, s); /* which asks for the event of the first bytes */
}

void session_connected(struct worker *w, struct session *s, int error)
{
    if (s->state != SESSION_CONNECTING)
        return;
    if (error) {
        if (s->conn)
            s->conn->session = NULL;
        s->conn = NULL;
        s->error = error;
        s->state = SESSION_DEAD;
    } else {
        s->state = SESSION_ESTABLISHED;
        s->lcl = s->conn->lcl;
    }
    if (s->app)
        s->app->ops->connected(w, s->app, s, error);
    else if (error)
        session_finish(w, s);
}

int session_accept(struct worker *w, struct listener *l, struct transport_conn *c)
{
    struct session *s;

    if (l->is_dead)
        return -ECONNREFUSED;
    if (listener_accept_full(l))
        return -ENOBUFS;
    s = session_alloc(w, l->proto);
    if (!s)
        return -ENOMEM;
    s->state = SESSION_ACCEPTING;
    s->flags = (uint8_t)(l->flags & SVM_CONN_V6);
    s->dev = l->dev;
    s->fib = l->fib;
    s->lcl = c->lcl;
    s->rmt = c->rmt;
    s->from = s->origin = l->handle;
    s->conn = c;
    c->session = s;
    l->n_waiting++;
    listener_offer(w, l, s);
    if (!s->has_fifos) {
        listener_taken(w, s);
        c->session = NULL;
        s->conn = NULL;
        session_free(w, s);
        return -ENOMEM;
    }
    return 0;
}

bool session_accepted(struct worker *w, struct app_worker *a, struct session *s, uint32_t ctx)
{
    if (!session_is_unnamed(s))
        return false;
    s->ctx = ctx;
    session_hold_of(s, a)->ctx = ctx;
    if (s->local)
        return local_accepted(w, s);
    listener_offered(listener_of_session(w, s->from), a, -1);
    listener_taken(w, s);
    if (s->state == SESSION_ACCEPTING)
        s->state = SESSION_ESTABLISHED;
    if (hs_unlikely(local_left_has(s, a))) { /* of its slot the server has made a relay meanwhile */
        s->app = NULL;
        a->ops->taken(w, a, s);
    }
    return true;
}
