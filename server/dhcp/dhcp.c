/* dhcp.c - the DHCP clients of interfaces: messages, addresses, routes and the MTU, show */
#include "server/dhcp/dhcp.h"

#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/dhcp/dhcp_client.h"
#include "server/dhcp/dhcp_lease.h"
#include "server/ip/ip_internal.h"
#include "server/ip/ip_mailbox.h"
#include "server/neigh/neigh.h"

enum { UDP_HDR_LEN = 8, PORT_SERVER = 67, PORT_CLIENT = 68 };
enum dhcp_times_us { CHECK_US = 50000, PAUSE_AGAIN_US = 10000, RELEASE_STEP_US = 2000, RELEASE_LIMIT_US = 400000 };

struct dhcp_ifc {
    struct dhcp_client client;
    struct interface *ifc;       /* NULL = no client here */
    unsigned addr_flags;         /* enum interface_addr_flags */
    uint16_t own_mtu;            /* without a server's word */
    unsigned n_routes;           /* that are in */
    struct ip_prefix route[DHCP_MAX_ROUTES];
    bool is_news;                /* for the file: the lease below, or that there is none (address any) */
    struct dhcp_lease lease;
};

struct dhcp {
    struct ip_mailbox box;
    struct stack *stack;
    char *dir;                   /* of files of leases; NULL = none is kept */
    bool cannot_write;           /* that has been said */
    bool changed;                /* by this dhcp_poll() */
    bool has_sent;               /* worker 0: nothing waits for a neighbour; atomic */
    struct dhcp_ifc ifc[INTERFACES_MAX]; /* by the interface's index */
};

static void note(const struct dhcp_ifc *d, int level, const char *what, const struct ip_addr *ip, const char *why)
{
    char text[IP_ADDR_TEXT_MAX];

    if (d->ifc->stack->log)
        hs_log(d->ifc->stack->log, level, "interface %s: dhcp: %s %s%s%s", d->ifc->name, what, ip_addr_format(ip, text), why ? ": " : "",
               why ? why : "");
}

/* ---------------------------------------------------------------- out */

struct dhcp_out {
    struct interface *ifc;
    struct ip_addr src, dst;
    uint32_t len;
    uint8_t b[DHCP_MSG_MAX];
};

static void put_udp_header(struct pkt *p, uint32_t len)
{
    const be16 words[4] = { be16_of(PORT_CLIENT), be16_of(PORT_SERVER), be16_of((uint16_t)len), be16_of(0) };
    struct pkt_meta *m = pkt_meta(p);
    uint8_t *h = pkt_data(p);

    memcpy(h, words, UDP_HDR_LEN);
    m->ip_proto = IPPROTO_UDP;
    m->l4_total = len;
    uint16_t sum = pkt_l4_checksum(p);
    if (sum == 0)
        sum = 0xffff; /* RFC 768: 0 is no checksum */
    memcpy(h + 6, &sum, 2);
}

/* On worker 0. */
static void send_out(struct worker *w, void *arg)
{
    struct dhcp_out *o = arg;
    uint32_t len = UDP_HDR_LEN + o->len;
    struct ip_tx tx = { .src = o->src, .dst = o->dst, .fib = o->ifc->fib, .ip_proto = IPPROTO_UDP };
    struct pkt *p = pkt_alloc(w->pools, len);

    if (!p) {
        w->ip->count.ip[IP_DROP_NO_BUFFER]++; /* it will be tried again */
        free(o);
        return;
    }
    uint8_t *b = pkt_append(p, (uint16_t)len);
    memcpy(b + UDP_HDR_LEN, o->b, o->len);
    pkt_meta(p)->src = o->src;
    pkt_meta(p)->dst = o->dst;
    put_udp_header(p, len);
    if (ip_addr_is_broadcast(&o->dst))
        ip_output_on(w, o->ifc, &o->dst, p, &tx);
    else
        ip_output(w, p, &tx);
    free(o);
}

static void op_send(void *arg, const uint8_t *msg, uint32_t len, const struct ip_addr *src, const struct ip_addr *dst)
{
    struct dhcp_ifc *d = arg;
    struct dhcp_out *o = malloc(sizeof(*o));

    if (!o)
        return; /* as if lost on the way */
    *o = (struct dhcp_out){ .ifc = d->ifc, .src = *src, .dst = *dst, .len = len };
    memcpy(o->b, msg, len);
    if (worker_call(d->ifc->stack->worker[0], send_out, o) != 0)
        free(o);
}

static uint32_t op_random(void *arg HS_UNUSED)
{
    uint32_t r = 0;

    return getrandom(&r, sizeof(r), 0) == sizeof(r) ? r : (uint32_t)clock_now_us();
}

/* ---------------------------------------------------------------- the lease at the stack; workers are held */

static int op_bind(void *arg, const struct dhcp_msg *l)
{
    struct dhcp_ifc *d = arg;
    struct ip_prefix p = { l->yours, l->prefix_len };
    int rc = interface_add_address(d->ifc, &p, d->addr_flags);

    if (rc == 0)
        d->ifc->stack->dhcp->changed = true;
    else
        note(d, HS_LOG_WARNING, "cannot use", &l->yours, strerror(-rc));
    return rc;
}

static void drop_routes(struct dhcp_ifc *d)
{
    for (unsigned i = 0; i < d->n_routes; i++)
        route_del(d->ifc->stack->routes, d->ifc->fib, &d->route[i], ROUTE_DHCP);
    d->n_routes = 0;
}

static void add_route(struct dhcp_ifc *d, const struct ip_prefix *prefix, const struct ip_addr *via)
{
    bool on_link = ip_addr_is_any(via);

    if (d->n_routes == DHCP_MAX_ROUTES ||
        route_add_of_kind(d->ifc->stack, d->ifc->fib, prefix, on_link ? NULL : via, d->ifc, ROUTE_DHCP) != 0)
        return; /* a configured one of the same prefix is left alone */
    d->route[d->n_routes++] = *prefix;
}

static void set_mtu(struct dhcp_ifc *d, uint16_t mtu)
{
    if (mtu < IP6_MIN_MTU || mtu > d->own_mtu) /* as small as would end IPv6: not believed */
        mtu = d->own_mtu;
    d->ifc->mtu = mtu;
    route_changed(d->ifc->stack->routes);
}

static void op_apply(void *arg, const struct dhcp_msg *l)
{
    struct dhcp_ifc *d = arg;
    const struct ip_prefix all = { .ip = ip_addr_any(true) };

    if (!d->ifc->stack->dhcp->changed && d->client.count.requests <= 1)
        note(d, HS_LOG_INFO, "address", &l->yours, NULL);
    drop_routes(d);
    /* RFC 3442: with classless routes the router option does not count. */
    for (unsigned i = 0; i < l->n_routes; i++)
        add_route(d, &l->route[i].prefix, &l->route[i].via);
    if (!l->has_classless && l->n_routers)
        add_route(d, &all, &l->router[0]);
    set_mtu(d, l->mtu);
    d->ifc->stack->dhcp->changed = true;
}

static void op_unbind(void *arg, const struct dhcp_msg *l, const char *why)
{
    struct dhcp_ifc *d = arg;
    struct ip_prefix p = { l->yours, l->prefix_len };

    drop_routes(d);
    interface_del_address(d->ifc, &p);
    set_mtu(d, 0);
    note(d, HS_LOG_WARNING, "no more in use:", &l->yours, why);
    d->ifc->stack->dhcp->changed = true;
}

/* While workers are held: the file is written later. */
static void op_remember(void *arg, const struct ip_addr *address, uint64_t expire_us)
{
    struct dhcp_ifc *d = arg;
    uint64_t now_us = clock_now_us();

    d->is_news = true;
    d->lease.address = address ? *address : ip_addr_any(true);
    memcpy(d->lease.mac, d->client.mac, sizeof(d->lease.mac));
    d->lease.end_s = expire_us == UINT64_MAX ? INT64_MAX : time(NULL) + (int64_t)((expire_us > now_us ? expire_us - now_us : 0) / 1000000);
}

static void write_leases(struct dhcp *all)
{
    for (unsigned i = 0; i < all->stack->interfaces->n; i++) {
        struct dhcp_ifc *d = &all->ifc[i];
        if (!d->is_news)
            continue;
        d->is_news = false;
        if (!all->dir)
            continue;
        if (ip_addr_is_any(&d->lease.address)) {
            dhcp_lease_remove(all->dir, d->ifc->name);
            continue;
        }
        int rc = dhcp_lease_write(all->dir, d->ifc->name, &d->lease);
        if (rc != 0 && !all->cannot_write) {
            all->cannot_write = true;
            note(d, HS_LOG_WARNING, "not kept for the next start:", &d->lease.address, strerror(-rc));
        }
    }
}

static const struct dhcp_client_ops client_ops = { op_send, op_bind, op_apply, op_unbind, op_remember, op_random };

/* ---------------------------------------------------------------- in: any worker */

bool dhcp_input(struct worker *w, struct pkt *p)
{
    const struct pkt_meta *m = pkt_meta(p);
    struct dhcp_msg parsed;
    uint8_t b[UDP_HDR_LEN + DHCP_MSG_MAX];
    uint32_t len = pkt_len(p);
    be16 udp[4];

    if (m->ip_proto != IPPROTO_UDP || len < UDP_HDR_LEN)
        return false;
    pkt_copy_out(p, 0, udp, sizeof(udp));
    if (be16_get(udp[1]) != PORT_CLIENT || be16_get(udp[0]) != PORT_SERVER)
        return false;
    uint16_t udp_len = be16_get(udp[2]);
    if (udp_len < UDP_HDR_LEN || udp_len > len || len > sizeof(b)) {
        ip_drop(w, p, IP_DROP_DHCP);
        return true;
    }
    pkt_trim(p, udp_len);
    if (be16_get(udp[3]) != 0 && !(m->flags & PKT_L4_CSUM_GOOD) && pkt_l4_checksum(p) != 0) {
        ip_drop(w, p, IP_DROP_DHCP);
        return true;
    }
    pkt_pull(p, UDP_HDR_LEN);
    len = pkt_len(p);
    pkt_copy_out(p, 0, b, len);
    if (dhcp_msg_parse(b, len, &parsed) != 0) {
        ip_drop(w, p, IP_DROP_DHCP);
        return true;
    }
    ip_mailbox_put(&w->stack->dhcp->box, p);
    pkt_free(p);
    return true;
}

/* ---------------------------------------------------------------- control thread */

int dhcp_enable(struct interface *ifc, unsigned addr_flags, const char *dir)
{
    struct stack *s = ifc->stack;
    struct ip_addr former;

    if (!s->dhcp) {
        struct dhcp *all = calloc(1, sizeof(*all));
        if (!all || (dir && !(all->dir = strdup(dir)))) {
            free(all);
            return -ENOMEM;
        }
        int rc = ip_mailbox_init(&all->box);
        if (rc == 0 && (rc = ip_mailbox_wake(&all->box, 0, 0)) != 0)
            ip_mailbox_fini(&all->box);
        if (rc != 0) {
            free(all->dir);
            free(all);
            return rc;
        }
        all->stack = s;
        s->dhcp = all;
    }
    struct dhcp_ifc *d = &s->dhcp->ifc[ifc->index];
    *d = (struct dhcp_ifc){ .ifc = ifc, .addr_flags = addr_flags, .own_mtu = ifc->mtu };
    d->client = (struct dhcp_client){ .ops = &client_ops, .arg = d };
    memcpy(d->client.mac, ifc->mac, 6);
    bool has_former = dir && dhcp_lease_read(dir, ifc->name, d->client.mac, time(NULL), &former);
    dhcp_client_start(&d->client, has_former ? &former : NULL, 0);
    ifc->has_dhcp = true;
    return 0;
}

int dhcp_fd(const struct stack *s) { return s->dhcp ? ip_mailbox_fd(&s->dhcp->box) : -1; }

/* Whether the address under test was found free or taken, or not yet. */
static bool is_checked(const struct dhcp_ifc *d, bool *is_free)
{
    const struct interface_addr *a = interface_find_addr(d->ifc, &d->client.lease.yours);
    uint8_t state = a ? interface_addr_state_get(a) : INTERFACE_ADDR_DUPLICATE; /* gone: removed by hand */

    *is_free = state == INTERFACE_ADDR_PREFERRED;
    return state != INTERFACE_ADDR_TENTATIVE;
}

static uint64_t due_us(const struct dhcp_ifc *d, uint64_t now_us)
{
    bool is_free;

    if (!d->ifc)
        return UINT64_MAX;
    if (d->client.state != DHCP_CHECKING)
        return d->client.due_us;
    return is_checked(d, &is_free) ? now_us : now_us + CHECK_US;
}

static uint64_t next_us(const struct dhcp *all, uint64_t now_us)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < all->stack->interfaces->n; i++)
        next = hs_min_u64(next, due_us(&all->ifc[i], now_us));
    return next;
}

/* The clock is set to what is due next; a message rings by itself. */
static void rest(struct dhcp *all, uint64_t now_us)
{
    uint64_t next = next_us(all, now_us);

    if (next != UINT64_MAX)
        ip_mailbox_wake(&all->box, next > now_us ? next - now_us : PAUSE_AGAIN_US, 0);
}

bool dhcp_poll(struct stack *s, uint64_t now_us)
{
    struct dhcp *all = s->dhcp;
    struct ip_mailbox_msg m;
    struct dhcp_msg parsed;
    bool is_free;

    all->changed = false;
    ip_mailbox_quiet(&all->box);
    if ((ip_mailbox_is_empty(&all->box) && next_us(all, now_us) > now_us)) {
        rest(all, now_us);
        return false;
    }
    if (stack_pause(s) != 0) {
        ip_mailbox_wake(&all->box, PAUSE_AGAIN_US, 0);
        return false;
    }
    while (ip_mailbox_take(&all->box, &m))
        if (dhcp_msg_parse(m.b, m.len, &parsed) == 0)
            dhcp_client_input(&all->ifc[m.ifc->index].client, &parsed, now_us);
    for (unsigned i = 0; i < s->interfaces->n; i++) {
        struct dhcp_ifc *d = &all->ifc[i];
        if (!d->ifc)
            continue;
        if (d->client.state == DHCP_CHECKING && is_checked(d, &is_free))
            dhcp_client_checked(&d->client, is_free, now_us);
        dhcp_client_tick(&d->client, now_us);
    }
    stack_resume(s);
    write_leases(all);
    rest(all, now_us);
    return all->changed;
}

/* On worker 0. */
static void look_if_sent(struct worker *w, void *arg)
{
    struct dhcp *all = arg;

    __atomic_store_n(&all->has_sent, !neigh_has_waiting(w), __ATOMIC_RELEASE);
}

void dhcp_release_all(struct stack *s, uint64_t now_us)
{
    struct dhcp *all = s->dhcp;
    bool any = false;

    for (unsigned i = 0; all && i < s->interfaces->n; i++) {
        struct dhcp_ifc *d = &all->ifc[i];
        if (!d->ifc)
            continue;
        any |= dhcp_client_has_address(&d->client);
        dhcp_client_release(&d->client, now_us);
    }
    if (all)
        write_leases(all);
    /* The server's hardware address may have to be asked for first. */
    for (unsigned waited = 0; any && waited < RELEASE_LIMIT_US; waited += RELEASE_STEP_US) {
        if (worker_call(s->worker[0], look_if_sent, all) != 0)
            break;
        usleep(RELEASE_STEP_US);
        if (__atomic_load_n(&all->has_sent, __ATOMIC_ACQUIRE))
            break;
    }
}

void dhcp_destroy(struct stack *s)
{
    if (!s->dhcp)
        return;
    ip_mailbox_fini(&s->dhcp->box);
    free(s->dhcp->dir);
    free(s->dhcp);
    s->dhcp = NULL;
}

/* ---------------------------------------------------------------- show */

static void add_seconds(json_t *row, const char *name, uint64_t at_us, uint64_t now_us)
{
    if (at_us != UINT64_MAX)
        json_object_set_new(row, name, json_integer(at_us > now_us ? (json_int_t)((at_us - now_us) / 1000000) : 0));
}

static void add_addrs(json_t *row, const char *name, const struct ip_addr *a, unsigned n)
{
    json_t *list = json_array();
    char text[IP_ADDR_TEXT_MAX];

    for (unsigned i = 0; i < n; i++)
        json_array_append_new(list, json_string(ip_addr_format(&a[i], text)));
    json_object_set_new(row, name, list);
}

static void add_lease(const struct dhcp_client *c, json_t *row, uint64_t now_us)
{
    const struct dhcp_msg *l = &c->lease;
    char addr[IP_ADDR_TEXT_MAX];

    json_object_set_new(row, "address", json_sprintf("%s/%u", ip_addr_format(&l->yours, addr), l->prefix_len));
    json_object_set_new(row, "server", json_string(ip_addr_format(&l->server, addr)));
    add_addrs(row, "routers", l->router, l->n_routers);
    add_addrs(row, "dns", l->dns, l->n_dns);
    if (l->mtu)
        json_object_set_new(row, "mtu", json_integer(l->mtu));
    add_seconds(row, "renew_s", c->renew_us, now_us);
    add_seconds(row, "rebind_s", c->rebind_us, now_us);
    add_seconds(row, "expire_s", c->expire_us, now_us);
}

void dhcp_show(struct stack *s, json_t *array)
{
    uint64_t now_us = clock_now_us();

    for (unsigned i = 0; s->dhcp && i < s->interfaces->n; i++) {
        const struct dhcp_ifc *d = &s->dhcp->ifc[i];
        const struct dhcp_counters *n = &d->client.count;
        if (!d->ifc)
            continue;
        json_t *row = json_pack("{s:s, s:s}", "interface", d->ifc->name, "state", dhcp_state_name(d->client.state));
        if (dhcp_client_has_address(&d->client))
            add_lease(&d->client, row, now_us);
        if (d->client.text[0])
            json_object_set_new(row, "refused", json_string(d->client.text));
        json_object_update_new(row, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "discovers", (json_int_t)n->discovers, "offers",
                                              (json_int_t)n->offers, "requests", (json_int_t)n->requests, "acks", (json_int_t)n->acks,
                                              "naks", (json_int_t)n->naks, "declines", (json_int_t)n->declines, "ignored",
                                              (json_int_t)n->ignored));
        json_array_append_new(array, row);
    }
}
