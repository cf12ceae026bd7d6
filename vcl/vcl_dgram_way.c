/* vcl_dgram_way.c - where datagrams go: is there a way at all, and by which interface (ip(7) IP_PKTINFO, IP_UNICAST_IF)
 *
 * sendto() of Linux says at once that there is none. Which prefixes have a route is known as long as the stack's routes stay the same; what
 * is not known, or is to leave by an interface of the program's choice, is asked of the server, which looks as it will when it sends. */
#include <netinet/in.h>
#include <stdlib.h>
#include "vcl/vcl_internal.h"

int32_t vcl_dgram_device(const struct vcl_socket *s, const struct vcl_msg_info *info)
{
    const struct vcl_rare_opts *o = s->rare_opt;
    const struct ip_addr *dst = info ? &info->peer.ip : NULL;

    if (info && info->ifindex)
        return info->ifindex;
    if (hs_likely(!o->device && !o->unicast_if && !o->unicast_if6 && !o->peer_if))
        return 0;
    if (o->device)
        return o->device;
    if (!(info && info->has_peer))
        return o->peer_if;
    if (ip_addr_is_multicast(dst))
        return 0;
    return ip_addr_is_v4(dst) ? o->unicast_if : o->unicast_if6;
}

/* Some ways are not looked for: groups have an interface of their own, and so has what goes to all. */
static bool is_asked_for(const struct ip_addr *dst, int32_t device)
{
    return device || !(ip_addr_is_multicast(dst) || ip_addr_is_broadcast(dst));
}

bool vcl_dgram_way_is_known(const struct vcl_socket *s, const struct vcl_msg_info *info)
{
    const struct vcl_ways *k = s->ways;
    int32_t device = vcl_dgram_device(s, info);

    if (!is_asked_for(&info->peer.ip, device) || !s->has_fifos)
        return true;
    if (!k || k->generation != __atomic_load_n(&s->w->srv->net_generation, __ATOMIC_ACQUIRE))
        return false;
    for (unsigned i = 0; i < k->n; i++)
        if (k->to[i].device == device && ip_prefix_contains(&k->to[i].prefix, &info->peer.ip))
            return true;
    return false;
}

struct vcl_ways *vcl_ways(struct vcl_socket *s)
{
    if (!s->ways)
        s->ways = calloc(1, sizeof(*s->ways));
    return s->ways;
}

static void keep(struct vcl_socket *s, uint32_t generation, const struct ip_prefix *prefix, int32_t device)
{
    struct vcl_ways *k;

    vcl_socket_lock(s);
    k = vcl_ways(s); /* without, the next one asks again */
    if (k && k->generation != generation) {
        k->generation = generation;
        k->n = k->next = 0;
    }
    if (k) {
        k->to[k->next] = (struct vcl_way){ *prefix, device };
        k->n = hs_max_u32(k->n, k->next + 1);
        k->next = (k->next + 1) % HS_ARRAY_LEN(k->to);
    }
    vcl_socket_unlock(s);
}

static bool generation_of(struct vcl_worker *w, uint32_t *generation)
{
    bool yes;

    pthread_mutex_lock(&w->lock);
    yes = atomic_load(&w->attached) && !w->lost && !w->sandboxed;
    if (yes)
        *generation = __atomic_load_n(&w->srv->net_generation, __ATOMIC_ACQUIRE);
    pthread_mutex_unlock(&w->lock);
    return yes;
}

int vcl_dgram_find_way(struct vcl_socket *s, const struct vcl_msg_info *info)
{
    const struct ip_addr *dst = &info->peer.ip;
    struct ip_prefix to = { *dst, ip_addr_is_v4(dst) ? 32 : 128 };
    int32_t device = vcl_dgram_device(s, info), mtu;
    struct svm_send_mtu q = { .dst = *dst, .device = device };
    uint32_t generation, bits = 0; /* before what is asked: a change in between makes it old */
    int rc;

    if (!generation_of(s->w, &generation))
        return 0; /* the sending itself says what is wrong */
    if (!device && vcl_worker_who(s->w, dst, &bits) != 0)
        return 0;
    if (bits & SVM_WHO_ROUTED)
        to.len = (uint8_t)(bits >> SVM_WHO_PREFIX_SHIFT);
    else if (!(bits & SVM_WHO_INTERFACE) && (rc = vcl_attr_ask(s, SVM_ATTR_SEND_MTU, &q, sizeof(q), &mtu, sizeof(mtu))) != 0)
        return rc == -ENETUNREACH || rc == -EHOSTUNREACH || rc == -EADDRNOTAVAIL || rc == -ENODEV ? rc : 0;
    keep(s, generation, &to, device);
    return 0;
}
