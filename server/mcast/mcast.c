/* mcast.c - the groups of an interface: who is a member, reports of changes, answers to queries (RFC 3376 s5, RFC 3810 s6) */
#include "server/mcast/mcast.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "server/mcast/mcast_internal.h"

static void send_changes(struct worker *w, struct timer_node *timer, bool v4);
static void send_answer(struct worker *w, struct timer_node *timer, bool v4);
static void changes4(struct worker *w, struct timer_node *t) { send_changes(w, t, true); }
static void changes6(struct worker *w, struct timer_node *t) { send_changes(w, t, false); }
static void answer4(struct worker *w, struct timer_node *t) { send_answer(w, t, true); }
static void answer6(struct worker *w, struct timer_node *t) { send_answer(w, t, false); }

int mcast_ifc_create(struct interface *ifc)
{
    struct mcast_ifc *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    m->ifc = ifc;
    pthread_mutex_init(&m->lock, NULL);
    m->v4.changes.fire = changes4;
    m->v4.answer.fire = answer4;
    m->v6.changes.fire = changes6;
    m->v6.answer.fire = answer6;
    ifc->mcast = m;
    return 0;
}

void mcast_ifc_destroy(struct interface *ifc)
{
    if (!ifc->mcast)
        return;
    pthread_mutex_destroy(&ifc->mcast->lock);
    free(ifc->mcast);
    ifc->mcast = NULL;
}

/* ---------------------------------------------------------------- members */

static uint32_t users_of(const struct mcast_group *g)
{
    return __atomic_load_n(&g->users, __ATOMIC_ACQUIRE); /* pairs with the store-release in mcast_join(): the address is there */
}

bool mcast_is_member(const struct interface *ifc, const struct ip_addr *group)
{
    /* A place that is given to another group at this moment may be misread: then a packet more or less goes on to sockets, which
     * compare the address themselves. */
    for (unsigned i = 0; ifc->mcast && i < MCAST_GROUPS; i++)
        if (users_of(&ifc->mcast->group[i]) && ip_addr_eq(&ifc->mcast->group[i].ip, group))
            return true;
    return false;
}

static struct mcast_group *find(struct mcast_ifc *m, const struct ip_addr *group)
{
    for (unsigned i = 0; i < MCAST_GROUPS; i++)
        if ((users_of(&m->group[i]) || m->group[i].changes_left) && ip_addr_eq(&m->group[i].ip, group))
            return &m->group[i];
    return NULL;
}

static struct mcast_group *find_free(struct mcast_ifc *m)
{
    for (unsigned i = 0; i < MCAST_GROUPS; i++)
        if (!users_of(&m->group[i]) && !m->group[i].changes_left)
            return &m->group[i];
    return NULL;
}

struct interface *mcast_default_ifc(struct stack *s, uint16_t fib, const struct ip_addr *group)
{
    const struct route *r = route_lookup(s->routes, fib, group);

    if (r)
        return r->ifc;
    for (unsigned i = 0; i < s->interfaces->n; i++)
        if (s->interfaces->ifc[i]->fib == fib)
            return s->interfaces->ifc[i];
    return NULL;
}

/* All hosts and all nodes are joined by everybody and told to nobody; nor are groups of no scope (RFC 3376 s6, RFC 3810 s6). */
static bool is_told(const struct ip_addr *g)
{
    static const struct ip_addr all_nodes = { .b = { 0xff, 0x02, [15] = 1 } };

    if (ip_addr_is_v4(g))
        return be32_get(g->w[3]) != 0xe0000001u;
    return !ip_addr_eq(g, &all_nodes) && (g->b[1] & 15) > 1;
}

static void begin_changes4(struct worker *w, void *arg) { send_changes(w, &((struct mcast_ifc *)arg)->v4.changes, true); }
static void begin_changes6(struct worker *w, void *arg) { send_changes(w, &((struct mcast_ifc *)arg)->v6.changes, false); }

static int tell_change(struct mcast_ifc *m, bool v4)
{
    return worker_call(m->ifc->stack->worker[0], v4 ? begin_changes4 : begin_changes6, m);
}

int mcast_join(struct worker *w HS_UNUSED, struct interface *ifc, const struct ip_addr *group)
{
    struct mcast_ifc *m = ifc->mcast;
    bool v4 = ip_addr_is_v4(group), is_first;
    int rc = 0;

    if (!ip_addr_is_multicast(group))
        return -EINVAL;
    pthread_mutex_lock(&m->lock);
    struct mcast_group *g = find(m, group);
    if (!g && (g = find_free(m)) != NULL)
        g->ip = *group;
    is_first = g && !users_of(g);
    if (!g) {
        rc = -ENOBUFS;
    } else {
        if (is_first)
            g->changes_left = is_told(group) ? MCAST_ROBUSTNESS : 0;
        __atomic_store_n(&g->users, g->users + 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&m->lock);
    if (is_first && is_told(group) && tell_change(m, v4) != 0) {
        mcast_leave(w, ifc, group);
        rc = -ENOBUFS;
    }
    return rc;
}

void mcast_leave(struct worker *w HS_UNUSED, struct interface *ifc, const struct ip_addr *group)
{
    struct mcast_ifc *m = ifc->mcast;
    bool is_last = false;

    pthread_mutex_lock(&m->lock);
    struct mcast_group *g = find(m, group);
    if (g && users_of(g)) {
        is_last = g->users == 1;
        if (is_last)
            g->changes_left = is_told(group) ? MCAST_ROBUSTNESS : 0;
        __atomic_store_n(&g->users, g->users - 1, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&m->lock);
    /* A busy worker: the report goes with the next change, or routers find out by asking. */
    if (is_last && is_told(group))
        (void)tell_change(m, ip_addr_is_v4(group));
}

/* ---------------------------------------------------------------- reports, on worker 0 */

static void send_records(struct worker *w, struct interface *ifc, bool v4, const struct mcast_record *r, unsigned n)
{
    struct mcast_family *f = mcast_family_of(ifc->mcast, v4);

    if (f->version && w->now_us >= f->old_until_us)
        f->version = 0;
    if (n == 0)
        return;
    if (v4)
        igmp_send(w, ifc, r, n, f->version);
    else
        mld_send(w, ifc, r, n, f->version);
}

static unsigned add_solicited(const struct interface *ifc, struct mcast_record *r, uint8_t type)
{
    unsigned n = 0;

    for (unsigned i = 0; i < ifc->n_addrs; i++) {
        const struct interface_addr *a = &ifc->addr[i];
        uint8_t state = interface_addr_state_get(a);
        if (ip_addr_is_v4(&a->ip) || (state != INTERFACE_ADDR_PREFERRED && state != INTERFACE_ADDR_TENTATIVE))
            continue;
        struct ip_addr g = { .b = { 0xff, 0x02, [11] = 0x01, [12] = 0xff } }; /* RFC 4291 s2.7.1 */
        memcpy(g.b + 13, a->ip.b + 13, 3);
        bool is_twice = false;
        for (unsigned k = 0; k < n; k++)
            is_twice |= ip_addr_eq(&r[k].group, &g);
        if (!is_twice)
            r[n++] = (struct mcast_record){ type, g };
    }
    return n;
}

static void send_changes(struct worker *w, struct timer_node *timer, bool v4)
{
    struct mcast_ifc *m = v4 ? hs_container_of(timer, struct mcast_ifc, v4.changes) : hs_container_of(timer, struct mcast_ifc, v6.changes);
    struct mcast_family *f = mcast_family_of(m, v4);
    struct mcast_record r[MCAST_MAX_RECORDS];
    bool is_more = false;
    unsigned n = 0;

    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < MCAST_GROUPS; i++) {
        struct mcast_group *g = &m->group[i];
        if (!g->changes_left || ip_addr_is_v4(&g->ip) != v4)
            continue;
        r[n++] = (struct mcast_record){ users_of(g) ? MCAST_TO_EXCLUDE : MCAST_TO_INCLUDE, g->ip };
        is_more |= --g->changes_left > 0;
    }
    pthread_mutex_unlock(&m->lock);
    if (!v4 && f->address_changes) {
        n += add_solicited(m->ifc, r + n, MCAST_TO_EXCLUDE);
        is_more |= --f->address_changes > 0;
    }
    send_records(w, m->ifc, v4, r, n);
    if (is_more)
        timer_start(&w->timers, &f->changes, w->now_us + 1 + worker_random(w) % MCAST_UNSOLICITED_US);
}

void mcast_address_added(struct interface *ifc)
{
    struct worker *w = ifc->stack->worker[0];

    ifc->mcast->v6.address_changes = MCAST_ROBUSTNESS;
    timer_start(&w->timers, &ifc->mcast->v6.changes, w->now_us + 1);
}

static void send_answer(struct worker *w, struct timer_node *timer, bool v4)
{
    struct mcast_ifc *m = v4 ? hs_container_of(timer, struct mcast_ifc, v4.answer) : hs_container_of(timer, struct mcast_ifc, v6.answer);
    struct mcast_family *f = mcast_family_of(m, v4);
    struct mcast_record r[MCAST_MAX_RECORDS];
    unsigned n = 0;

    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < MCAST_GROUPS; i++) {
        struct mcast_group *g = &m->group[i];
        if (users_of(g) && ip_addr_is_v4(&g->ip) == v4 && (f->answer_all || g->is_asked) && is_told(&g->ip))
            r[n++] = (struct mcast_record){ MCAST_IS_EXCLUDE, g->ip };
        if (ip_addr_is_v4(&g->ip) == v4)
            g->is_asked = false;
    }
    pthread_mutex_unlock(&m->lock);
    if (!v4 && f->answer_all)
        n += add_solicited(m->ifc, r + n, MCAST_IS_EXCLUDE);
    f->answer_all = false;
    send_records(w, m->ifc, v4, r, n);
}

void mcast_asked(struct worker *w, struct interface *ifc, const struct ip_addr *group, bool v4, uint64_t max_us)
{
    struct mcast_ifc *m = ifc->mcast;
    struct mcast_family *f = mcast_family_of(m, v4);
    uint64_t at = w->now_us + 1 + worker_random(w) % (max_us ? max_us : 1);

    if (ip_addr_is_any(group)) {
        f->answer_all = true;
    } else {
        pthread_mutex_lock(&m->lock);
        struct mcast_group *g = find(m, group);
        if (g)
            g->is_asked = true;
        pthread_mutex_unlock(&m->lock);
        if (!g)
            return;
    }
    if (!timer_is_running(&f->answer) || at < f->answer.expires_us)
        timer_start(&w->timers, &f->answer, at);
}

void mcast_old_querier(struct worker *w, struct interface *ifc, bool v4, uint8_t version)
{
    struct mcast_family *f = mcast_family_of(ifc->mcast, v4);

    if (!f->version || version <= f->version || w->now_us >= f->old_until_us)
        f->version = version;
    f->old_until_us = w->now_us + MCAST_OLD_QUERIER_US;
}

uint32_t mcast_float_code(uint32_t code, unsigned bits)
{
    uint32_t top = 1u << (bits + 3);

    if (code < top)
        return code;
    uint32_t exponent = (code >> bits) & 7, mantissa = code & ((1u << bits) - 1);
    return (mantissa | 1u << bits) << (exponent + 3);
}

void mcast_show(const struct interface *ifc, json_t *array)
{
    char text[IP_ADDR_TEXT_MAX];

    for (unsigned i = 0; ifc->mcast && i < MCAST_GROUPS; i++)
        if (users_of(&ifc->mcast->group[i]))
            json_array_append_new(array, json_string(ip_addr_format(&ifc->mcast->group[i].ip, text)));
}
