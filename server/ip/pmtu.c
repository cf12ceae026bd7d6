/* pmtu.c - the path MTU cache: sets of four entries, the set chosen by a keyed hash */
#include "server/ip/pmtu.h"

#include "common/siphash.h"
#include "server/ip/ip_internal.h"

static struct pmtu_entry *set_of(struct worker *w, uint16_t fib, const struct ip_addr *dst)
{
    struct { struct ip_addr dst; uint64_t fib; } key = { *dst, fib };

    return w->ip->pmtu.e[siphash24(w->secret, &key, sizeof(key)) % PMTU_SETS];
}

static struct pmtu_entry *find(struct worker *w, uint16_t fib, const struct ip_addr *dst)
{
    struct pmtu_entry *set = set_of(w, fib, dst);

    for (unsigned i = 0; i < PMTU_WAYS; i++)
        if (set[i].until_us > w->now_us && set[i].fib == fib && ip_addr_eq(&set[i].dst, dst))
            return &set[i];
    return NULL;
}

void pmtu_learn(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint32_t mtu)
{
    struct pmtu_entry *set = set_of(w, fib, dst), *e = find(w, fib, dst);
    uint32_t least = ip_addr_is_v4(dst) ? PMTU_MIN_V4 : PMTU_MIN_V6;

    if (mtu < least)
        mtu = least;
    if (mtu > UINT16_MAX || (e && e->mtu < mtu))
        return;
    for (unsigned i = 0; !e && i < PMTU_WAYS; i++)
        if (set[i].until_us <= w->now_us)
            e = &set[i];
    if (!e) {
        e = set;
        for (unsigned i = 1; i < PMTU_WAYS; i++)
            if (set[i].until_us < e->until_us)
                e = &set[i];
    }
    *e = (struct pmtu_entry){ .dst = *dst, .until_us = w->now_us + PMTU_LIFETIME_US, .fib = fib, .mtu = (uint16_t)mtu };
    w->ip->pmtu.is_used = true;
}

void pmtu_arrived(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint16_t mtu)
{
    struct pmtu_entry *e = w->ip->pmtu.is_used ? find(w, fib, dst) : NULL;

    if (e && e->mtu < mtu)
        e->mtu = mtu;
}

uint16_t pmtu_limit(struct worker *w, uint16_t fib, const struct ip_addr *dst, uint16_t mtu)
{
    const struct pmtu_entry *e = hs_unlikely(w->ip->pmtu.is_used) ? find(w, fib, dst) : NULL;

    return e && e->mtu < mtu ? e->mtu : mtu;
}
