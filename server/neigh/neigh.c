/* neigh.c - the neighbour table: states, timers, waiting packets, limits (RFC 4861 s7.3, used for ARP as well) */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/siphash.h"
#include "server/autoconf/autoconf.h"
#include "server/eth/eth.h"
#include "server/icmp/icmp.h"
#include "server/neigh/neigh_internal.h"

int neigh_create(struct worker *w)
{
    w->ip->neigh = calloc(1, sizeof(*w->ip->neigh));
    return w->ip->neigh ? 0 : -ENOMEM;
}

void neigh_destroy(struct worker *w)
{
    struct neigh_table *t = w->ip->neigh;

    if (!t)
        return;
    for (uint32_t i = 0; i < t->n_made; i++) {
        struct neigh *n = &t->slab[i / NEIGH_SLAB][i % NEIGH_SLAB];
        if (n->state != NEIGH_FREE)
            timer_stop(&n->timer, &w->timers);
        for (unsigned k = 0; k < n->n_queued; k++)
            pkt_free(n->queue[k]);
    }
    for (unsigned i = 0; i < HS_ARRAY_LEN(t->slab); i++)
        free(t->slab[i]);
    free(t);
    w->ip->neigh = NULL;
}

static struct neigh **bucket_of(struct worker *w, const struct interface *ifc, const struct ip_addr *ip)
{
    struct { struct ip_addr ip; uint64_t port; } key = { *ip, ifc->port };

    return &w->ip->neigh->bucket[siphash24(w->secret, &key, sizeof(key)) % NEIGH_BUCKETS];
}

struct neigh *neigh_lookup(struct worker *w, const struct interface *ifc, const struct ip_addr *ip)
{
    struct neigh *n = *bucket_of(w, ifc, ip);

    while (n && !(n->ifc == ifc && ip_addr_eq(&n->ip, ip)))
        n = n->next;
    return n;
}

/* What may be in which state, one row a state: RFC 4861 s7.3.3 and App. C. */
static const uint8_t edges[NEIGH_STATES] = {
    [NEIGH_FREE] = 1u << NEIGH_INCOMPLETE | 1u << NEIGH_STALE | 1u << NEIGH_PERMANENT,
    [NEIGH_INCOMPLETE] = 1u << NEIGH_FREE | 1u << NEIGH_REACHABLE | 1u << NEIGH_STALE | 1u << NEIGH_PERMANENT,
    [NEIGH_REACHABLE] = 1u << NEIGH_FREE | 1u << NEIGH_REACHABLE | 1u << NEIGH_STALE | 1u << NEIGH_PERMANENT,
    [NEIGH_STALE] = 1u << NEIGH_FREE | 1u << NEIGH_REACHABLE | 1u << NEIGH_STALE | 1u << NEIGH_DELAY | 1u << NEIGH_PERMANENT,
    [NEIGH_DELAY] = 1u << NEIGH_FREE | 1u << NEIGH_REACHABLE | 1u << NEIGH_STALE | 1u << NEIGH_PROBE | 1u << NEIGH_PERMANENT,
    [NEIGH_PROBE] = 1u << NEIGH_FREE | 1u << NEIGH_REACHABLE | 1u << NEIGH_STALE | 1u << NEIGH_PERMANENT,
    [NEIGH_PERMANENT] = 1u << NEIGH_FREE | 1u << NEIGH_PERMANENT,
};

/* BaseReachableTime */
static uint64_t reachable_base_us(const struct neigh *n)
{
    uint32_t told = ip_addr_is_v4(&n->ip) ? 0 : __atomic_load_n(&n->ifc->reachable_ms, __ATOMIC_RELAXED);

    return told ? told * UINT64_C(1000) : NEIGH_REACHABLE_US;
}

static void neigh_set_state(struct worker *w, struct neigh *n, enum neigh_state to)
{
    struct neigh_table *t = w->ip->neigh;
    uint64_t wait_us = 0;

    assert(edges[n->state] & 1u << to);
    t->n_incomplete += (to == NEIGH_INCOMPLETE) - (uint32_t)(n->state == NEIGH_INCOMPLETE);
    n->state = (uint8_t)to;
    n->probes = 0;
    switch (to) {
    case NEIGH_INCOMPLETE:
    case NEIGH_PROBE:
        wait_us = neigh_retrans_us(n->ifc, ip_addr_is_v4(&n->ip));
        break;
    case NEIGH_REACHABLE: /* s6.3.2: 0.5 to 1.5 of the base, so that hosts do not probe in step */
        n->reachable_us = reachable_base_us(n);
        n->reachable_us = n->reachable_us / 2 + worker_random(w) % n->reachable_us;
        n->confirmed_us = w->now_us;
        wait_us = n->reachable_us;
        break;
    case NEIGH_STALE:
        n->used = false;
        wait_us = NEIGH_GC_US;
        break;
    case NEIGH_DELAY:
        wait_us = NEIGH_DELAY_FIRST_US;
        break;
    default:
        timer_stop(&n->timer, &w->timers);
        return;
    }
    timer_start(&w->timers, &n->timer, w->now_us + wait_us);
}

static void neigh_release(struct worker *w, struct neigh *n)
{
    struct neigh_table *t = w->ip->neigh;
    struct neigh **at = bucket_of(w, n->ifc, &n->ip);

    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    neigh_set_state(w, n, NEIGH_FREE);
    n->gen = ++t->next_gen; /* pointers kept in route caches are stale now */
    n->next = t->free;
    t->free = n;
}

/* Nobody answered: whoever waits is told (RFC 1122 s2.3.2.2, RFC 4861 s7.2.2), then the entry goes. The queue is taken off first, because
 * the transport may send again while it is told. */
static void neigh_fail(struct worker *w, struct neigh *n)
{
    struct pkt *waiting[NEIGH_QUEUE];
    unsigned count = n->n_queued;

    route_gateway_failed(w->stack->routes, n->ifc, &n->ip, w->now_us);
    autoconf_neighbor_failed(w, n->ifc, &n->ip);
    memcpy(waiting, n->queue, count * sizeof(waiting[0]));
    n->n_queued = 0;
    w->ip->neigh->n_waiting -= count;
    neigh_release(w, n);
    for (unsigned i = 0; i < count; i++) {
        icmp_report_local(w, waiting[i], -EHOSTUNREACH, false, 0);
        neigh_drop_unsent(w, waiting[i], NEIGH_DROP_UNREACHABLE);
    }
}

static void neigh_ask(struct worker *w, struct neigh *n)
{
    const uint8_t *mac = n->state == NEIGH_PROBE ? n->mac : NULL;

    n->probes++;
    if (ip_addr_is_v4(&n->ip))
        arp_request(w, n->ifc, &n->ip, mac);
    else
        nd_solicit(w, n->ifc, &n->ip, mac);
}

static void neigh_timer(struct worker *w, struct timer_node *timer)
{
    struct neigh *n = hs_container_of(timer, struct neigh, timer);

    switch (n->state) {
    case NEIGH_INCOMPLETE:
    case NEIGH_PROBE:
        if (n->probes >= NEIGH_MAX_PROBES) {
            neigh_fail(w, n);
            return;
        }
        neigh_ask(w, n);
        timer_start(&w->timers, &n->timer, w->now_us + neigh_retrans_us(n->ifc, ip_addr_is_v4(&n->ip)));
        return;
    case NEIGH_REACHABLE:
        if (n->confirmed_us + n->reachable_us > w->now_us)
            timer_start(&w->timers, &n->timer, n->confirmed_us + n->reachable_us);
        else
            neigh_set_state(w, n, NEIGH_STALE);
        return;
    case NEIGH_DELAY:
        neigh_set_state(w, n, NEIGH_PROBE);
        neigh_ask(w, n);
        return;
    default:
        neigh_release(w, n);
        return;
    }
}

/* Frees one entry that can be spared: not in use, or an unanswered one. A bounded look, so that a full table costs little. */
static bool neigh_collect(struct worker *w, bool incomplete_only)
{
    struct neigh_table *t = w->ip->neigh;

    for (unsigned i = 0; i < 2 * NEIGH_SLAB && t->n_made; i++) {
        t->hand = (t->hand + 1) % t->n_made;
        struct neigh *n = &t->slab[t->hand / NEIGH_SLAB][t->hand % NEIGH_SLAB];
        if (n->state == NEIGH_INCOMPLETE && n->probes > 1) {
            neigh_fail(w, n);
            return true;
        }
        if (n->state == NEIGH_STALE && !incomplete_only) {
            if (!n->used) {
                neigh_release(w, n);
                return true;
            }
            n->used = false;
        }
    }
    return false;
}

static struct neigh *neigh_new(struct worker *w, struct interface *ifc, const struct ip_addr *ip, enum neigh_state state)
{
    struct neigh_table *t = w->ip->neigh;

    if (state == NEIGH_INCOMPLETE && t->n_incomplete >= NEIGH_MAX_INCOMPLETE && !neigh_collect(w, true))
        return NULL;
    if (!t->free && t->n_made == NEIGH_MAX && !neigh_collect(w, false))
        return NULL;
    struct neigh *n = t->free;
    if (n) {
        t->free = n->next;
    } else {
        struct neigh **slab = &t->slab[t->n_made / NEIGH_SLAB];
        if (!*slab)
            *slab = calloc(NEIGH_SLAB, sizeof(**slab));
        if (!*slab)
            return NULL;
        n = &(*slab)[t->n_made++ % NEIGH_SLAB];
    }
    struct neigh **b = bucket_of(w, ifc, ip);
    *n = (struct neigh){ .ip = *ip, .ifc = ifc, .gen = ++t->next_gen, .w = w, .next = *b };
    n->timer.fire = neigh_timer;
    *b = n;
    neigh_set_state(w, n, state);
    return n;
}

static void neigh_enqueue(struct worker *w, struct neigh *n, struct pkt *p)
{
    struct neigh_table *t = w->ip->neigh;

    if (hs_unlikely(pkt_own(w->pools, p) < 0)) {
        neigh_drop_unsent(w, p, NEIGH_DROP_NO_BUFFER);
        return;
    }
    if (n->n_queued == NEIGH_QUEUE || (n->n_queued && t->n_waiting >= NEIGH_QUEUE_TOTAL)) { /* s7.2.2: the newest replaces the oldest */
        neigh_drop_unsent(w, n->queue[0], NEIGH_DROP_QUEUE_FULL);
        n->n_queued--;
        memmove(n->queue, n->queue + 1, n->n_queued * sizeof(n->queue[0]));
        t->n_waiting--;
    } else if (t->n_waiting >= NEIGH_QUEUE_TOTAL) {
        neigh_drop_unsent(w, p, NEIGH_DROP_QUEUE_FULL);
        return;
    }
    if (capture_is_on(w))
        capture_stop_at(w, p, "neighbor", "waits for its hardware address");
    n->queue[n->n_queued++] = p;
    t->n_waiting++;
}

static void transmit(struct worker *w, struct neigh *n, struct pkt *p)
{
    eth_output(w, n->ifc, p, n->mac, ip_addr_is_v4(&n->ip) ? ETH_TYPE_IPV4 : ETH_TYPE_IPV6);
}

struct neigh *neigh_output(struct worker *w, struct interface *ifc, const struct ip_addr *ip, struct neigh *n, struct pkt *p)
{
    if (!n)
        n = neigh_lookup(w, ifc, ip);
    if (hs_unlikely(!n)) {
        n = neigh_new(w, ifc, ip, NEIGH_INCOMPLETE);
        if (!n) {
            neigh_drop_unsent(w, p, NEIGH_DROP_TABLE_FULL);
            return NULL;
        }
        neigh_enqueue(w, n, p);
        neigh_ask(w, n);
        return n;
    }
    if (hs_unlikely(n->state == NEIGH_INCOMPLETE)) {
        neigh_enqueue(w, n, p);
        return n;
    }
    if (hs_unlikely(n->state == NEIGH_STALE))
        neigh_set_state(w, n, NEIGH_DELAY);
    n->used = true;
    transmit(w, n, p);
    return n;
}

void neigh_send_queue(struct worker *w, struct neigh *n)
{
    unsigned count = n->n_queued;

    n->n_queued = 0;
    w->ip->neigh->n_waiting -= count;
    for (unsigned i = 0; i < count; i++)
        transmit(w, n, n->queue[i]);
}

void neigh_heard(struct worker *w, struct interface *ifc, const struct ip_addr *ip, const uint8_t mac[6], enum neigh_learn how)
{
    struct neigh *n = neigh_lookup(w, ifc, ip);

    if (!n) {
        if (how != NEIGH_LEARN_CREATE)
            return;
        n = neigh_new(w, ifc, ip, NEIGH_STALE);
        if (!n) {
            w->ip->count.neigh[NEIGH_DROP_TABLE_FULL]++;
            return;
        }
        memcpy(n->mac, mac, 6);
        return;
    }
    if (n->state == NEIGH_PERMANENT)
        return;
    /* RFC 4861 s7.2.3: the same address again changes nothing. */
    if (n->state != NEIGH_INCOMPLETE && memcmp(n->mac, mac, 6) == 0)
        return;
    memcpy(n->mac, mac, 6);
    bool waiting = n->n_queued != 0;
    neigh_set_state(w, n, NEIGH_STALE);
    if (waiting) {
        neigh_set_state(w, n, NEIGH_DELAY);
        neigh_send_queue(w, n);
    }
}

void neigh_answered(struct worker *w, struct neigh *n, const uint8_t mac[6])
{
    if (n->state == NEIGH_PERMANENT)
        return;
    memcpy(n->mac, mac, 6);
    neigh_set_state(w, n, NEIGH_REACHABLE);
    route_gateway_works(w->stack->routes, n->ifc, &n->ip);
    neigh_send_queue(w, n);
}

void neigh_confirm(struct worker *w, struct neigh *n)
{
    if (hs_likely(n->state == NEIGH_REACHABLE))
        n->confirmed_us = w->now_us; /* the timer looks at it */
    else if (n->state == NEIGH_STALE || n->state == NEIGH_DELAY || n->state == NEIGH_PROBE)
        neigh_set_state(w, n, NEIGH_REACHABLE);
}

void neigh_stale(struct worker *w, struct neigh *n)
{
    if (n->state != NEIGH_INCOMPLETE && n->state != NEIGH_PERMANENT)
        neigh_set_state(w, n, NEIGH_STALE);
}

int neigh_set_permanent(struct worker *w, struct interface *ifc, const struct ip_addr *ip, const uint8_t mac[6])
{
    if (ip_addr_is_any(ip) || ip_addr_is_multicast(ip) || ip_addr_is_broadcast(ip) || interface_find_addr(ifc, ip))
        return -EINVAL;
    struct neigh *n = neigh_lookup(w, ifc, ip);
    if (!n)
        n = neigh_new(w, ifc, ip, NEIGH_PERMANENT);
    if (!n)
        return -ENOSPC;
    memcpy(n->mac, mac, 6);
    neigh_set_state(w, n, NEIGH_PERMANENT);
    neigh_send_queue(w, n);
    return 0;
}

int neigh_forget(struct worker *w, struct interface *ifc, const struct ip_addr *ip)
{
    struct neigh *n = neigh_lookup(w, ifc, ip);

    if (!n)
        return -ENOENT;
    for (unsigned i = 0; i < n->n_queued; i++)
        neigh_drop_unsent(w, n->queue[i], NEIGH_DROP_UNREACHABLE);
    w->ip->neigh->n_waiting -= n->n_queued;
    n->n_queued = 0;
    neigh_release(w, n);
    return 0;
}

void neigh_solicit(struct worker *w, struct interface *ifc, const struct ip_addr *ip)
{
    struct neigh *n = neigh_lookup(w, ifc, ip);

    if (!n && (n = neigh_new(w, ifc, ip, NEIGH_INCOMPLETE)) != NULL)
        neigh_ask(w, n);
    else if (n && n->state != NEIGH_INCOMPLETE) /* it has been heard of since */
        route_gateway_works(w->stack->routes, ifc, ip);
}

bool neigh_has_waiting(const struct worker *w) { return w->ip->neigh->n_waiting != 0; }

/* ---------------------------------------------------------------- our own addresses */

/* RFC 5227 s1.1 with its times of wireless days divided by ten (PROBE_WAIT 1 s, PROBE_MIN 1 s, PROBE_MAX 2 s, ANNOUNCE_WAIT 2 s): a
 * server that needs seconds before it serves is one that people start with no-dad. */
enum acd_times_us {
    ACD_PROBE_WAIT_US = 100000,
    ACD_PROBE_MIN_US = 100000,
    ACD_PROBE_MAX_US = 200000,
    ACD_ANNOUNCE_WAIT_US = 200000,
    ACD_ANNOUNCE_INTERVAL_US = 2000000,
};
enum { ACD_PROBE_NUM = 3, ACD_ANNOUNCE_NUM = 2 };

/* RFC 5227 s2.1.1 probes, s2.3 announcements. */
static void acd_step(struct worker *w, struct interface_addr *a)
{
    uint64_t wait = ACD_ANNOUNCE_INTERVAL_US;

    if (interface_addr_state_get(a) == INTERFACE_ADDR_TENTATIVE && a->probes_left) {
        arp_probe(w, a);
        wait = --a->probes_left ? ACD_PROBE_MIN_US + worker_random(w) % (ACD_PROBE_MAX_US - ACD_PROBE_MIN_US) : ACD_ANNOUNCE_WAIT_US;
    } else {
        if (interface_addr_state_get(a) == INTERFACE_ADDR_TENTATIVE) {
            interface_addr_state_set(a, INTERFACE_ADDR_PREFERRED);
            a->probes_left = ACD_ANNOUNCE_NUM;
        }
        arp_announce(w, a);
        if (--a->probes_left == 0)
            return;
    }
    timer_start(&w->timers, &a->timer, w->now_us + wait);
}

/* Worker 0: probes of a tentative address (IPv6: RFC 4862 s5.4.2), then announcements. */
static void announce_timer(struct worker *w, struct timer_node *timer)
{
    struct interface_addr *a = hs_container_of(timer, struct interface_addr, timer);
    uint8_t state = interface_addr_state_get(a);

    if (state == INTERFACE_ADDR_DUPLICATE)
        return;
    if (ip_addr_is_v4(&a->ip)) {
        acd_step(w, a);
        return;
    }
    if (state == INTERFACE_ADDR_TENTATIVE && a->probes_left) {
        a->probes_left--;
        nd_dad_probe(w, a);
        timer_start(&w->timers, &a->timer, w->now_us + neigh_retrans_us(a->ifc, false));
        return;
    }
    interface_addr_state_set(a, INTERFACE_ADDR_PREFERRED);
    nd_advertise_unsolicited(w, a); /* RFC 4861 s7.2.6: neighbours that knew another owner hear of us */
}

void neigh_addr_is_duplicate(struct worker *w, struct interface_addr *a)
{
    char text[IP_ADDR_TEXT_MAX];

    w->ip->count.neigh[NEIGH_DROP_CONFLICT]++;
    if (w->index != 0 || interface_addr_state_get(a) != INTERFACE_ADDR_TENTATIVE) /* worker 0 is the only writer, and gets every copy */
        return;
    interface_addr_state_set(a, INTERFACE_ADDR_DUPLICATE);
    if (w->stack->log)
        hs_log(w->stack->log, HS_LOG_ERROR, "interface %s: another host has %s; it stays out of use", a->ifc->name,
               ip_addr_format(&a->ip, text));
}

void neigh_announce_start(struct interface_addr *a)
{
    struct worker *w = a->ifc->stack->worker[0];

    bool tentative = interface_addr_state_get(a) == INTERFACE_ADDR_TENTATIVE, v4 = ip_addr_is_v4(&a->ip);

    a->probes_left = !v4 ? INTERFACE_DAD_TRANSMITS : tentative ? ACD_PROBE_NUM : ACD_ANNOUNCE_NUM;
    a->timer.fire = announce_timer;
    timer_start(&w->timers, &a->timer, w->now_us + (v4 && tentative ? worker_random(w) % ACD_PROBE_WAIT_US : 0));
}

/* ---------------------------------------------------------------- show */

void neigh_show(struct worker *w, json_t *array)
{
    static const char *const names[NEIGH_STATES] = { "free", "incomplete", "reachable", "stale", "delay", "probe", "permanent" };
    struct neigh_table *t = w->ip->neigh;
    char addr[IP_ADDR_TEXT_MAX], mac[18];

    for (uint32_t i = 0; i < t->n_made; i++) {
        const struct neigh *n = &t->slab[i / NEIGH_SLAB][i % NEIGH_SLAB];
        if (n->state == NEIGH_FREE)
            continue;
        snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", n->mac[0], n->mac[1], n->mac[2], n->mac[3], n->mac[4], n->mac[5]);
        json_t *row = json_pack("{s:s, s:s, s:s, s:i, s:i}", "address", ip_addr_format(&n->ip, addr), "interface", n->ifc->name, "state",
                                names[n->state], "worker", (int)w->index, "queued", n->n_queued);
        if (row && n->state != NEIGH_INCOMPLETE)
            json_object_set_new(row, "mac", json_string(mac));
        if (row && n->is_router)
            json_object_set_new(row, "router", json_true());
        json_array_append_new(array, row);
    }
}
