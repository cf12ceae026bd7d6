/* interface.c - interfaces and their addresses: configuration, lookup, show */
#include "server/ip/interface.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "server/ip/ip_internal.h"
#include "server/mcast/mcast.h"
#include "server/neigh/neigh.h"

/* RFC 4291 App. A: modified EUI-64, the universal/local bit inverted. VLANs of a port have its hardware address: their number stands
 * where ff:fe would, so that each has a link-local address of its own. */
static struct ip_prefix link_local_of(const struct interface *ifc)
{
    struct ip_prefix ll = { .len = 64 };
    uint16_t middle = ifc->vlan ? ifc->vlan : 0xfffe;

    ll.ip.b[0] = 0xfe;
    ll.ip.b[1] = 0x80;
    memcpy(ll.ip.b + 8, ifc->mac, 3);
    ll.ip.b[8] ^= 2;
    ll.ip.b[11] = (uint8_t)(middle >> 8);
    ll.ip.b[12] = (uint8_t)middle;
    memcpy(ll.ip.b + 13, ifc->mac + 3, 3);
    return ll;
}

/* Where an interface of port and VLAN is noted. NULL: no memory. */
static struct interface **place_of(struct interfaces *all, unsigned port, uint16_t vlan)
{
    if (vlan == 0)
        return &all->by_port[port];
    if (!all->by_vlan[port])
        all->by_vlan[port] = calloc(VLAN_ID_MAX + 1, sizeof(*all->by_vlan[port]));
    return all->by_vlan[port] ? &all->by_vlan[port][vlan] : NULL;
}

static int add(struct stack *s, unsigned port, uint16_t vlan, uint16_t fib, uint16_t mtu, unsigned addr_flags, struct interface **out)
{
    if (port >= s->n_ports || !s->port[port])
        return -ENODEV;
    const struct port *p = s->port[port];
    if (mtu == 0)
        mtu = p->mtu;
    if (mtu < IP4_MIN_MTU || mtu > p->mtu || fib >= ROUTE_MAX_FIBS || vlan > VLAN_ID_MAX)
        return -EINVAL;
    if (s->interfaces->n == INTERFACES_MAX)
        return -ENOSPC;
    struct interface **place = place_of(s->interfaces, port, vlan);
    if (!place)
        return -ENOMEM;
    if (*place)
        return -EEXIST;
    struct interface *ifc = calloc(1, sizeof(*ifc));
    if (!ifc)
        return -ENOMEM;
    ifc->stack = s;
    ifc->port = port;
    ifc->vlan = vlan;
    ifc->fib = fib;
    ifc->mtu = mtu;
    memcpy(ifc->mac, p->mac, 6);
    if (vlan)
        snprintf(ifc->name, sizeof(ifc->name), "%.26s.%u", p->name, vlan);
    else
        memcpy(ifc->name, p->name, sizeof(ifc->name));
    if (mcast_ifc_create(ifc) != 0) {
        free(ifc);
        return -ENOMEM;
    }
    ifc->index = s->interfaces->n;
    interface_number(ifc);
    s->interfaces->ifc[s->interfaces->n++] = ifc;
    *place = ifc;
    if (out)
        *out = ifc;
    if (mtu < IP6_MIN_MTU || (port_offloads(p) & PORT_NO_LINK))
        return 0;
    struct ip_prefix ll = link_local_of(ifc);
    int ret = interface_add_address(ifc, &ll, addr_flags | INTERFACE_ADDR_AUTO);
    /* Two interfaces of one table with the same hardware address cannot both have it. */
    return ret == -EEXIST ? 0 : ret;
}

int interface_add(struct stack *s, unsigned port, uint16_t fib, uint16_t mtu, unsigned addr_flags, struct interface **out)
{
    return add(s, port, 0, fib, mtu, addr_flags, out);
}

int interface_add_vlan(struct stack *s, unsigned port, uint16_t vlan, uint16_t fib, uint16_t mtu, unsigned addr_flags,
                       struct interface **out)
{
    return vlan == 0 ? -EINVAL : add(s, port, vlan, fib, mtu, addr_flags, out);
}

/* RFC 1122 s3.2.1.3: neither the network's own nor its broadcast address; RFC 3021: /31 has neither. */
static bool is_network_or_broadcast(const struct ip_prefix *p)
{
    if (!ip_addr_is_v4(&p->ip) || p->len >= 31)
        return false;
    uint32_t host = be32_get(p->ip.w[3]) & (0xffffffffu >> p->len);
    return host == 0 || host == 0xffffffffu >> p->len;
}

int interface_add_address(struct interface *ifc, const struct ip_prefix *prefix, unsigned addr_flags)
{
    bool v4 = ip_addr_is_v4(&prefix->ip);

    if (prefix->len > (v4 ? 32 : 128) || ip_addr_is_any(&prefix->ip) || ip_addr_is_multicast(&prefix->ip) ||
        ip_addr_is_loopback(&prefix->ip) || ip_addr_is_broadcast(&prefix->ip) || is_network_or_broadcast(prefix))
        return -EINVAL;
    if (!v4 && ifc->mtu < IP6_MIN_MTU)
        return -EINVAL;
    if (interfaces_find_addr(ifc->stack, ifc->fib, &prefix->ip))
        return -EEXIST;
    unsigned place = 0;
    while (place < ifc->n_addrs && interface_addr_state_get(&ifc->addr[place]) != INTERFACE_ADDR_REMOVED)
        place++;
    if (place == INTERFACE_MAX_ADDRS)
        return -ENOSPC;
    if (port_offloads(ifc->stack->port[ifc->port]) & PORT_NO_LINK)
        addr_flags |= INTERFACE_ADDR_NO_DAD;
    int ret = route_add_connected(ifc, prefix);
    if (ret < 0 && ret != -EEXIST) /* a second address of the same prefix */
        return ret;
    struct interface_addr *a = &ifc->addr[place];
    ifc->n_addrs += place == ifc->n_addrs;
    *a = (struct interface_addr){ .ip = prefix->ip, .len = prefix->len, .flags = (uint8_t)addr_flags, .ifc = ifc };
    bool probe = !(addr_flags & INTERFACE_ADDR_NO_DAD);
    interface_addr_state_set(a, probe ? INTERFACE_ADDR_TENTATIVE : INTERFACE_ADDR_PREFERRED);
    if (!v4)
        mcast_address_added(ifc);
    neigh_announce_start(a);
    route_changed(ifc->stack->routes); /* to this address there is another way now: none */
    return 0;
}

/* The connected route of a prefix goes with its last address; where another interface has the prefix, to that one. */
static void connected_route_removed(struct interface *ifc, const struct ip_prefix *prefix)
{
    struct stack *s = ifc->stack;
    struct interface *other = NULL;

    for (unsigned i = 0; i < s->interfaces->n; i++) {
        struct interface *o = s->interfaces->ifc[i];
        for (unsigned k = 0; k < o->n_addrs && o->fib == ifc->fib; k++)
            if (o->addr[k].len == prefix->len && ip_prefix_contains(prefix, &o->addr[k].ip)) {
                if (o == ifc)
                    return;
                other = o;
            }
    }
    /* Kept before by the first of equal ones: not there when that was another interface's. */
    if (route_del(s->routes, ifc->fib, prefix, ROUTE_CONNECTED) == 0 && other)
        (void)route_add_connected(other, prefix);
}

int interface_del_address(struct interface *ifc, const struct ip_prefix *prefix)
{
    struct interface_addr *a = interface_find_addr(ifc, &prefix->ip);

    if (!a || a->len != prefix->len)
        return -ENOENT;
    timer_stop(&a->timer, &ifc->stack->worker[0]->timers);
    interface_addr_state_set(a, INTERFACE_ADDR_REMOVED);
    memset(&a->ip, 0xff, sizeof(a->ip)); /* an address that no packet has: found by nobody */
    connected_route_removed(ifc, prefix);
    route_changed(ifc->stack->routes);
    return 0;
}

void interface_addr_state_set(struct interface_addr *a, uint8_t state)
{
    __atomic_store_n(&a->state, state, __ATOMIC_RELEASE); /* pairs with the load-acquire in interface_addr_state_get() */
}

struct interface *interface_by_name(const struct stack *s, const char *name)
{
    for (unsigned i = 0; i < s->interfaces->n; i++) {
        if (strcmp(s->interfaces->ifc[i]->name, name) == 0)
            return s->interfaces->ifc[i];
    }
    return NULL;
}

struct interface_addr *interface_find_addr(struct interface *ifc, const struct ip_addr *ip)
{
    for (unsigned i = 0; i < ifc->n_addrs; i++) {
        if (ip_addr_eq(&ifc->addr[i].ip, ip))
            return &ifc->addr[i];
    }
    return NULL;
}

struct interface_addr *interfaces_find_addr(const struct stack *s, uint16_t fib, const struct ip_addr *ip)
{
    for (unsigned i = 0; i < s->interfaces->n; i++) {
        struct interface *ifc = s->interfaces->ifc[i];
        struct interface_addr *a = ifc->fib == fib ? interface_find_addr(ifc, ip) : NULL;
        if (a)
            return a;
    }
    return NULL;
}

bool interfaces_have_tentative(const struct stack *s)
{
    for (unsigned i = 0; i < s->interfaces->n; i++) {
        const struct interface *ifc = s->interfaces->ifc[i];
        for (unsigned k = 0; k < ifc->n_addrs; k++)
            if (interface_addr_state_get(&ifc->addr[k]) == INTERFACE_ADDR_TENTATIVE)
                return true;
    }
    return false;
}

bool interface_is_broadcast(const struct interface *ifc, const struct ip_addr *ip)
{
    if (!ip_addr_is_v4(ip))
        return false;
    if (ip_addr_is_broadcast(ip))
        return true;
    uint32_t v4 = be32_get(ip->w[3]);
    for (unsigned i = 0; i < ifc->n_addrs; i++) {
        const struct interface_addr *a = &ifc->addr[i];
        if (!ip_addr_is_v4(&a->ip) || a->len >= 31)
            continue;
        uint32_t host_mask = 0xffffffffu >> a->len;
        if ((v4 & host_mask) == host_mask && ((v4 ^ be32_get(a->ip.w[3])) & ~host_mask) == 0)
            return true;
    }
    return false;
}

/* ---------------------------------------------------------------- show */

static json_t *addr_row(const struct interface_addr *a)
{
    static const char *const names[] = { "tentative", "preferred", "duplicate" };
    char addr[IP_ADDR_TEXT_MAX], text[IP_ADDR_TEXT_MAX + 5];

    snprintf(text, sizeof(text), "%s/%u", ip_addr_format(&a->ip, addr), a->len);
    uint8_t state = interface_addr_state_get(a);
    const char *name = names[state];
    if (state == INTERFACE_ADDR_PREFERRED && (a->flags & INTERFACE_ADDR_DEPRECATED))
        name = "deprecated";
    else if (state == INTERFACE_ADDR_PREFERRED && (a->flags & INTERFACE_ADDR_TEMPORARY))
        name = "temporary";
    return json_pack("{s:s, s:s}", "address", text, "state", name);
}

static void add_offloads(const struct port *p, json_t *row)
{
    static const struct { uint32_t bit; const char *name; } names[] = {
        { PORT_TX_CSUM, "tx-checksum" }, { PORT_RX_CSUM, "rx-checksum" }, { PORT_TX_TSO, "tso" },
        { PORT_TX_SCTP_CSUM, "tx-sctp-checksum" },
        { PORT_TX_ATTACHED, "tx-attached" }, { PORT_RX_LRO, "lro" }, { PORT_TX_VLAN, "vlan-insert" }, { PORT_RX_VLAN, "vlan-strip" },
    };
    json_t *offloads = json_array();

    for (unsigned i = 0; i < HS_ARRAY_LEN(names); i++)
        if (port_offloads(p) & names[i].bit)
            json_array_append_new(offloads, json_string(names[i].name));
    json_object_set_new(row, "offloads", offloads);
}

static void add_port_counters(struct port *p, json_t *row)
{
    struct port_stats st = { 0 };

    p->ops->stats(p, &st);
    json_object_update_new(row, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "rx_packets", (json_int_t)st.rx_packets, "rx_bytes",
                                          (json_int_t)st.rx_bytes, "tx_packets", (json_int_t)st.tx_packets, "tx_bytes",
                                          (json_int_t)st.tx_bytes, "rx_errors", (json_int_t)st.rx_errors, "rx_nombuf",
                                          (json_int_t)st.rx_nombuf, "tx_drops", (json_int_t)st.tx_drops));
}

/* ifc NULL: a port that is none. */
static json_t *interface_row(struct port *p, const struct interface *ifc)
{
    json_t *addrs = json_array(), *groups = json_array();
    char mac[18];

    snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", p->mac[0], p->mac[1], p->mac[2], p->mac[3], p->mac[4], p->mac[5]);
    for (unsigned k = 0; ifc && k < ifc->n_addrs; k++) {
        if (interface_addr_state_get(&ifc->addr[k]) != INTERFACE_ADDR_REMOVED)
            json_array_append_new(addrs, addr_row(&ifc->addr[k]));
    }
    json_t *row = json_pack("{s:s, s:s, s:s, s:b, s:i, s:i, s:i, s:i, s:o}", "name", ifc ? ifc->name : p->name, "kind",
                            ifc && ifc->vlan ? "vlan" : p->ops->kind, "mac", mac, "up", p->ops->link_up(p) > 0, "mtu",
                            ifc ? ifc->mtu : p->mtu, "table", ifc ? ifc->fib : 0, "rx_queues", (int)p->n_rx_queues, "tx_queues",
                            (int)p->n_tx_queues, "addresses", addrs);
    add_offloads(p, row);
    if (ifc)
        mcast_show(ifc, groups);
    json_object_set_new(row, "groups", groups);
    if (ifc && ifc->vlan)
        json_object_update_new(row, json_pack("{s:s, s:i}", "port", p->name, "vlan", ifc->vlan));
    else
        add_port_counters(p, row);
    return row;
}

void interface_show(struct stack *s, json_t *array)
{
    for (unsigned i = 0; i < s->n_ports; i++)
        json_array_append_new(array, interface_row(s->port[i], s->interfaces->by_port[i]));
    for (unsigned i = 0; i < s->interfaces->n; i++) {
        const struct interface *ifc = s->interfaces->ifc[i];
        if (ifc->vlan)
            json_array_append_new(array, interface_row(s->port[ifc->port], ifc));
    }
}
