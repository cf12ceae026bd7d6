/* ip.c - a worker's IP state, the stack's tables, and their counters */
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "server/icmp/icmp.h"
#include "server/ip/ip_internal.h"
#include "server/ip/ip_show.h"
#include "server/mcast/mcast.h"
#include "server/neigh/neigh.h"

int ip_stack_create(struct stack *s)
{
    s->interfaces = calloc(1, sizeof(*s->interfaces));
    if (!s->interfaces)
        return -ENOMEM;
    int ret = route_table_create(&s->routes);
    if (ret < 0) {
        free(s->interfaces);
        s->interfaces = NULL;
    }
    return ret;
}

void ip_stack_destroy(struct stack *s)
{
    if (s->interfaces) {
        for (unsigned i = 0; i < s->interfaces->n; i++) {
            mcast_ifc_destroy(s->interfaces->ifc[i]);
            free(s->interfaces->ifc[i]);
        }
        for (unsigned i = 0; i < STACK_MAX_PORTS; i++)
            free(s->interfaces->by_vlan[i]);
    }
    free(s->interfaces);
    s->interfaces = NULL;
    route_table_destroy(s->routes);
    s->routes = NULL;
}

int ip_worker_create(struct worker *w)
{
    struct ip_worker *ip;

    if (posix_memalign((void **)&ip, HS_CACHE_LINE, sizeof(*ip)) != 0)
        return -ENOMEM;
    memset(ip, 0, sizeof(*ip));
    w->ip = ip;
    /* RFC 7739 s4: identifications start anywhere. */
    for (unsigned i = 0; i < IP_ID_BUCKETS; i++)
        ip->ip4_id[i] = (uint16_t)worker_random(w);
    ip->ip6_frag_id = (uint32_t)worker_random(w);
    int ret = neigh_create(w);
    if (ret < 0)
        goto err_free_ip;
    ret = reass_create(w);
    if (ret < 0)
        goto err_destroy_neigh;
    return 0;

err_destroy_neigh:
    neigh_destroy(w);
err_free_ip:
    free(ip);
    w->ip = NULL;
    return ret;
}

void ip_worker_destroy(struct worker *w)
{
    struct ip_worker *ip = w->ip;

    if (!ip)
        return;
    reass_destroy(w);
    neigh_destroy(w);
    for (; ip->local_head != ip->local_tail; ip->local_head++)
        pkt_free(ip->local[ip->local_head % IP_LOCAL_QUEUE]);
    free(ip);
    w->ip = NULL;
}

/* ---------------------------------------------------------------- counters */

#define DROP(name, text) text,
const char *const eth_drop_texts[] = {
#include "server/eth/eth_drops.def"
};
const char *const neigh_drop_texts[] = {
#include "server/neigh/neigh_drops.def"
};
const char *const ip_drop_texts[] = {
#include "server/ip/ip_drops.def"
};
const char *const icmp_drop_texts[] = {
#include "server/icmp/icmp_drops.def"
};
#undef DROP

static uint64_t sum_of(const struct stack *s, size_t offset)
{
    uint64_t sum = 0;

    /* Each counter has one writer; a torn or late read only makes the display older. */
    for (unsigned i = 0; i < s->n_workers; i++)
        sum += __atomic_load_n((const uint64_t *)((const char *)&s->worker[i]->ip->count + offset), __ATOMIC_RELAXED);
    return sum;
}

static void show_group(const struct stack *s, json_t *array, const char *layer, size_t offset, const char *const *texts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        uint64_t v = sum_of(s, offset + i * sizeof(uint64_t));
        if (v)
            json_array_append_new(array, json_pack("{s:s, s:s, s:I}", "layer", layer, "reason", texts[i], "count", (json_int_t)v));
    }
}

void ip_drops_show(struct stack *s, json_t *array)
{
    show_group(s, array, "eth", offsetof(struct ip_counters, eth), eth_drop_texts, ETH_DROP_MAX);
    show_group(s, array, "neighbor", offsetof(struct ip_counters, neigh), neigh_drop_texts, NEIGH_DROP_MAX);
    show_group(s, array, "ip", offsetof(struct ip_counters, ip), ip_drop_texts, IP_DROP_MAX);
    show_group(s, array, "icmp", offsetof(struct ip_counters, icmp), icmp_drop_texts, ICMP_DROP_MAX);
}

void ip_counters_show(struct stack *s, json_t *obj)
{
    static const struct { const char *name; size_t offset; } rows[] = {
        { "received", offsetof(struct ip_counters, ip_in) },
        { "sent", offsetof(struct ip_counters, ip_out) },
        { "local", offsetof(struct ip_counters, ip_local) },
        { "reassembled", offsetof(struct ip_counters, reassembled) },
        { "fragmented", offsetof(struct ip_counters, fragmented) },
        { "icmp_received", offsetof(struct ip_counters, icmp_in) },
        { "icmp_echo_answered", offsetof(struct ip_counters, icmp_echo) },
        { "icmp_errors_sent", offsetof(struct ip_counters, icmp_errors_sent) },
    };

    for (unsigned i = 0; i < HS_ARRAY_LEN(rows); i++)
        json_object_set_new(obj, rows[i].name, json_integer((json_int_t)sum_of(s, rows[i].offset)));
}
