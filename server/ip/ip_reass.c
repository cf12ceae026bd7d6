/* ip_reass.c - reassembly of IPv4 (RFC 791, RFC 815) and IPv6 (RFC 8200 s4.5) fragments
 *
 * Own code, because DPDK's librte_ip_frag is built for at most 8 fragments a datagram (a 64 KiB one has 45 on Ethernet) and keeps its
 * table in EAL memory, which DESIGN.md keeps for mbufs. Overlap kills the datagram in both families (RFC 5722), exact duplicates
 * are ignored. Bounded in datagrams, fragments and time; the oldest datagram makes room. */
#include <errno.h>
#include <stdlib.h>

#include "common/siphash.h"
#include "server/icmp/icmp.h"
#include "server/ip/ip_internal.h"

enum reass_limits {
    REASS_MAX_DATAGRAMS = 256,
    REASS_MAX_FRAGMENTS = 128,       /* of one datagram: 64 KiB at the smallest common MTU (576) are 119 */
    REASS_MAX_HELD = 1024,           /* packets held by this worker in all */
    REASS_BUCKETS = 256,
    REASS_TIMEOUT_US = 60000000,     /* RFC 8200 s4.5; RFC 1122 s3.3.2: 60 to 120 s */
};

struct reass_frag { uint32_t start, end; struct pkt *p; };

struct reass {
    struct reass *bucket_next;
    struct reass *newer, *older;     /* by arrival of the first fragment */
    struct timer_node timer;
    struct ip_addr src, dst;
    uint32_t id;
    uint8_t proto;
    uint32_t total;                  /* 0: the last fragment has not come */
    uint32_t have;                   /* bytes */
    unsigned n;
    struct reass_frag frag[REASS_MAX_FRAGMENTS]; /* sorted, disjoint */
};

struct reass_table {
    struct reass *bucket[REASS_BUCKETS];
    struct reass *newest, *oldest;
    unsigned n_datagrams, n_held;
};

int reass_create(struct worker *w)
{
    w->ip->reass = calloc(1, sizeof(*w->ip->reass));
    return w->ip->reass ? 0 : -ENOMEM;
}

static struct reass **bucket_of(struct worker *w, const struct ip_addr *src, const struct ip_addr *dst, uint32_t id, uint8_t proto)
{
    struct { struct ip_addr src, dst; uint32_t id, proto; } key = { *src, *dst, id, proto };

    return &w->ip->reass->bucket[siphash24(w->secret, &key, sizeof(key)) % REASS_BUCKETS];
}

/* The headers are still in front of it. */
static void drop_held(struct worker *w, struct pkt *p, enum ip_drop why)
{
    const struct pkt_meta *m = pkt_meta(p);

    w->ip->count.ip[why]++;
    if (capture_is_on(w) && m->ifc)
        capture_drop_held(w, p, m->ifc->port, (unsigned)m->l2_len + m->l3_len, m->l2_len != 0, "ip", ip_drop_texts[why]);
    pkt_free(p);
}

/* Takes d off all lists and frees it; the packets that it still holds are dropped for `why` (IP_DROP_MAX: it holds none). */
static void reass_free(struct worker *w, struct reass *d, enum ip_drop why)
{
    struct reass_table *t = w->ip->reass;
    struct reass **at = bucket_of(w, &d->src, &d->dst, d->id, d->proto);

    while (*at != d)
        at = &(*at)->bucket_next;
    *at = d->bucket_next;
    if (d->newer)
        d->newer->older = d->older;
    else
        t->newest = d->older;
    if (d->older)
        d->older->newer = d->newer;
    else
        t->oldest = d->newer;
    timer_stop(&d->timer, &w->timers);
    if (why != IP_DROP_MAX) {
        for (unsigned i = 0; i < d->n; i++)
            drop_held(w, d->frag[i].p, why);
    }
    t->n_held -= d->n;
    t->n_datagrams--;
    free(d);
}

void reass_destroy(struct worker *w)
{
    struct reass_table *t = w->ip->reass;

    if (!t)
        return;
    while (t->oldest)
        reass_free(w, t->oldest, IP_DROP_FRAG_TIMEOUT);
    free(t);
    w->ip->reass = NULL;
}

static void reass_timeout(struct worker *w, struct timer_node *timer)
{
    struct reass *d = hs_container_of(timer, struct reass, timer);

    /* Only who has seen the first fragment may say so (RFC 792, RFC 4443 s3.3). */
    if (d->n && d->frag[0].start == 0)
        icmp_reass_timeout_send(w, d->frag[0].p);
    reass_free(w, d, IP_DROP_FRAG_TIMEOUT);
}

static struct reass *reass_find(struct worker *w, const struct pkt_meta *m, uint32_t id, uint8_t proto)
{
    struct reass_table *t = w->ip->reass;
    struct reass **b = bucket_of(w, &m->src, &m->dst, id, proto);

    for (struct reass *d = *b; d; d = d->bucket_next) {
        if (d->id == id && d->proto == proto && ip_addr_eq(&d->src, &m->src) && ip_addr_eq(&d->dst, &m->dst))
            return d;
    }
    if (t->n_datagrams == REASS_MAX_DATAGRAMS)
        reass_free(w, t->oldest, IP_DROP_FRAG_LIMIT);
    struct reass *d = calloc(1, sizeof(*d));
    if (!d)
        return NULL;
    d->src = m->src;
    d->dst = m->dst;
    d->id = id;
    d->proto = proto;
    d->bucket_next = *b;
    *b = d;
    d->older = t->newest;
    if (t->newest)
        t->newest->newer = d;
    else
        t->oldest = d;
    t->newest = d;
    t->n_datagrams++;
    d->timer.fire = reass_timeout;
    timer_start(&w->timers, &d->timer, w->now_us + REASS_TIMEOUT_US);
    return d;
}

enum reass_verdict { REASS_KEPT, REASS_DUPLICATE, REASS_BAD, REASS_FULL };

static enum reass_verdict reass_insert(struct reass *d, struct pkt *p, uint32_t start, uint32_t end, bool more)
{
    unsigned i = d->n;

    while (i > 0 && d->frag[i - 1].start >= end)
        i--;
    if (i > 0 && d->frag[i - 1].start == start && d->frag[i - 1].end == end)
        return REASS_DUPLICATE;
    if (i > 0 && d->frag[i - 1].end > start)
        return REASS_BAD;
    if (!more) {
        if ((d->total && d->total != end) || (d->n && d->frag[d->n - 1].end > end))
            return REASS_BAD;
        d->total = end;
    } else if (d->total && end > d->total) {
        return REASS_BAD;
    }
    if (d->n == REASS_MAX_FRAGMENTS)
        return REASS_FULL;
    memmove(&d->frag[i + 1], &d->frag[i], (d->n - i) * sizeof(d->frag[0]));
    d->frag[i] = (struct reass_frag){ start, end, p };
    d->n++;
    d->have += end - start;
    return REASS_KEPT;
}

static struct pkt *reass_join(struct worker *w, struct reass *d)
{
    struct pkt *head = d->frag[0].p;
    struct pkt_meta *m = pkt_meta(head);
    uint16_t good = m->flags & PKT_L4_CSUM_GOOD;

    for (unsigned i = 1; i < d->n; i++) {
        struct pkt_meta *other = pkt_meta(d->frag[i].p);
        good &= other->flags;
        /* RFC 3168 s5.3: congestion seen by one fragment was seen by the datagram. */
        if ((other->tos & 3) == 3 && (m->tos & 3) != 0)
            m->tos |= 3;
        pkt_chain(head, d->frag[i].p);
    }
    m->flags = (uint16_t)((m->flags & ~PKT_L4_CSUM_GOOD) | good);
    m->l4_total = d->total;
    w->ip->count.reassembled++;
    reass_free(w, d, IP_DROP_MAX);
    return head;
}

struct pkt *reass_input(struct worker *w, struct pkt *p, uint32_t id, uint32_t offset, bool more)
{
    struct reass_table *t = w->ip->reass;
    struct pkt_meta *m = pkt_meta(p);
    uint32_t len = pkt_len(p);

    /* RFC 791 s3.2: all but the last carry a multiple of 8 bytes; nothing lies beyond the largest datagram. */
    uint32_t in_front = ip_addr_is_v4(&m->src) ? m->l3_len : 0; /* IPv4's total length counts the header */
    if (len == 0 || (more && len % 8 != 0) || in_front + offset + len > 65535) {
        ip_drop(w, p, IP_DROP_FRAG_MALFORMED);
        return NULL;
    }
    if (m->flags & PKT_CLONED) {
        pkt_free(p);
        return NULL;
    }
    if (t->n_held >= REASS_MAX_HELD)
        reass_free(w, t->oldest, IP_DROP_FRAG_LIMIT);
    /* RFC 8200 s4.5: IPv6 fragments belong together by addresses and identification, whatever their next header says. */
    struct reass *d = reass_find(w, m, id, ip_addr_is_v4(&m->src) ? m->ip_proto : 0);
    if (!d) {
        ip_drop(w, p, IP_DROP_NO_BUFFER);
        return NULL;
    }
    p = pkt_compact(w->pools, p);
    switch (reass_insert(d, p, offset, offset + len, more)) {
    case REASS_KEPT:
        t->n_held++;
        if (capture_is_on(w))
            capture_stop_at(w, p, "reassembly", "%u of %u bytes", d->have, d->total);
        break;
    case REASS_DUPLICATE:
        ip_drop(w, p, IP_DROP_FRAG_MALFORMED);
        return NULL;
    case REASS_BAD:
        ip_drop(w, p, IP_DROP_FRAG_MALFORMED);
        reass_free(w, d, IP_DROP_FRAG_MALFORMED);
        return NULL;
    case REASS_FULL:
        ip_drop(w, p, IP_DROP_FRAG_LIMIT);
        reass_free(w, d, IP_DROP_FRAG_LIMIT);
        return NULL;
    }
    return d->total && d->have == d->total ? reass_join(w, d) : NULL;
}
