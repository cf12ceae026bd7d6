/* mcast_report.c - what routers are told: reports of changes, answers to queries (RFC 3376 s5, RFC 3810 s6); on worker 0 */
#include <stdlib.h>

#include "server/mcast/mcast_internal.h"

/* ---------------------------------------------------------------- messages: records alike in both families, but for the length of addresses */

static unsigned addr_len(bool v4) { return v4 ? 4 : 16; }

static void put_addr(uint8_t *to, const struct ip_addr *a, bool v4) { memcpy(to, a->b + (v4 ? 12 : 0), addr_len(v4)); }

static void report_begin(struct mcast_report *r, struct worker *w, struct interface *ifc, bool v4)
{
    struct mcast_family *f = mcast_family_of(ifc->mcast, v4);
    unsigned room = v4 ? igmp_room(ifc) : mld_room(ifc);

    if (f->version && w->now_us >= f->old_until_us)
        f->version = 0;
    r->w = w;
    r->ifc = ifc;
    r->v4 = v4;
    r->version = f->version;
    r->room = hs_min_u32(room, MCAST_MSG_MAX);
    r->len = MCAST_HDR_LEN;
    r->n = 0;
}

static void report_send(struct mcast_report *r)
{
    if (r->n) {
        memset(r->msg, 0, MCAST_HDR_LEN);
        r->msg[6] = (uint8_t)(r->n >> 8);
        r->msg[7] = (uint8_t)r->n;
        if (r->v4)
            igmp_send(r->w, r->ifc, r->msg, r->len);
        else
            mld_send(r->w, r->ifc, r->msg, r->len);
    }
    r->len = MCAST_HDR_LEN;
    r->n = 0;
}

static void put_record(struct mcast_report *r, const struct mcast_record *rec, unsigned from, unsigned n)
{
    unsigned alen = addr_len(r->v4);
    uint8_t *b = r->msg + r->len;

    b[0] = rec->type;
    b[1] = 0;
    b[2] = 0;
    b[3] = (uint8_t)n; /* at most MCAST_SOURCES */
    put_addr(b + 4, &rec->group, r->v4);
    for (unsigned i = 0; i < n; i++)
        put_addr(b + 4 + (i + 1) * alen, &rec->source[from + i], r->v4);
    r->len += 4 + (n + 1) * alen;
    r->n++;
}

/* s7.3.1, s8.2.1: what an older router understands: a report while anything of the group is wanted, a leave at the end. */
static void send_old(const struct mcast_report *r, const struct mcast_record *rec)
{
    if (rec->is_member && rec->type == MCAST_BLOCK)
        return;
    if (r->v4)
        igmp_send_old(r->w, r->ifc, &rec->group, !rec->is_member, r->version);
    else
        mld_send_old(r->w, r->ifc, &rec->group, !rec->is_member);
}

static void report_add(struct mcast_report *r, const struct mcast_record *rec)
{
    unsigned alen = addr_len(r->v4), from = 0;

    if (r->version) {
        send_old(r, rec);
        return;
    }
    if (r->len + 4 + (rec->n + 1) * alen > r->room)
        report_send(r);
    /* s4.2.16: what a message does not hold goes into another one, but for lists of whom not to forward, which are cut. */
    do {
        unsigned some = hs_min_u32(rec->n - from, (r->room - r->len - 4) / alen - 1);
        put_record(r, rec, from, some);
        from += some;
        if (from < rec->n)
            report_send(r);
    } while (from < rec->n && rec->type != MCAST_IS_EXCLUDE && rec->type != MCAST_TO_EXCLUDE);
}

/* ---------------------------------------------------------------- records of groups; under the lock */

static bool is_exclude(const struct mcast_group *g) { return g->n_exclude > 0; }

static void record_begin(struct mcast_record *rec, const struct mcast_group *g, enum mcast_record_type type)
{
    rec->type = (uint8_t)type;
    rec->is_member = mcast_users(g) > 0;
    rec->n = 0;
    rec->group = g->ip;
}

static void record_state(struct mcast_record *rec, const struct mcast_group *g, enum mcast_record_type type)
{
    record_begin(rec, g, type);
    for (unsigned i = 0; g->sources && i < g->sources->n; i++)
        if (mcast_is_listed(g, &g->sources->source[i]))
            rec->source[rec->n++] = g->sources->source[i].ip;
}

/* The sources whose change to `type` is still to be told. */
static void record_changes(struct mcast_record *rec, struct mcast_group *g, enum mcast_record_type type)
{
    record_begin(rec, g, type);
    for (unsigned i = 0; g->sources && i < g->sources->n; i++) {
        struct mcast_source *s = &g->sources->source[i];
        bool is_taken = mcast_is_listed(g, s) != is_exclude(g);
        if (s->changes_left && is_taken == (type == MCAST_ALLOW)) {
            rec->source[rec->n++] = s->ip;
            s->changes_left--;
        }
    }
}

static bool has_changes(const struct mcast_group *g)
{
    bool has = g->changes_left > 0;

    for (unsigned i = 0; g->sources && i < g->sources->n; i++)
        has |= g->sources->source[i].changes_left > 0;
    return has;
}

/* One group's part of a report of changes, into rec[2]; how many. *is_more: to be said again. */
static unsigned take_changes(struct mcast_group *g, struct mcast_record rec[2], bool *is_more)
{
    unsigned n = 0;

    if (g->changes_left) {
        record_state(&rec[n++], g, is_exclude(g) ? MCAST_TO_EXCLUDE : MCAST_TO_INCLUDE);
        g->changes_left--;
    } else {
        record_changes(&rec[n], g, MCAST_ALLOW);
        n += rec[n].n > 0;
        record_changes(&rec[n], g, MCAST_BLOCK);
        n += rec[n].n > 0;
    }
    *is_more |= has_changes(g);
    mcast_sources_trim(g);
    return n;
}

/* s5.2: what a query named of the group, into rec. Is there anything to say? */
static bool take_answer(struct mcast_group *g, bool all, struct mcast_record *rec)
{
    struct mcast_sources *l = g->sources;
    unsigned n_asked = l ? l->n_asked : 0;
    bool is_whole = all || g->is_asked;

    g->is_asked = false;
    if (l)
        l->n_asked = 0;
    if (mcast_users(g) && mcast_is_told(&g->ip)) {
        record_state(rec, g, is_exclude(g) ? MCAST_IS_EXCLUDE : MCAST_IS_INCLUDE);
        if (is_whole)
            return true;
        /* Of those that were asked for, the ones that are wanted. */
        struct mcast_record state = *rec;
        record_begin(rec, g, MCAST_IS_INCLUDE);
        for (unsigned i = 0; i < n_asked; i++) {
            bool is_listed = false;
            for (unsigned k = 0; k < state.n; k++)
                is_listed |= ip_addr_eq(&state.source[k], &l->asked[i]);
            if (is_listed != is_exclude(g))
                rec->source[rec->n++] = l->asked[i];
        }
        return rec->n > 0;
    }
    return false;
}

/* ---------------------------------------------------------------- timers */

/* The solicited-node groups of the interface's addresses, each once (RFC 4291 s2.7.1). */
static void add_solicited(struct mcast_report *r, uint8_t type)
{
    const struct interface *ifc = r->ifc;
    struct ip_addr had[INTERFACE_MAX_ADDRS];
    unsigned n = 0;

    for (unsigned i = 0; i < ifc->n_addrs; i++) {
        const struct interface_addr *a = &ifc->addr[i];
        uint8_t state = interface_addr_state_get(a);
        if (ip_addr_is_v4(&a->ip) || (state != INTERFACE_ADDR_PREFERRED && state != INTERFACE_ADDR_TENTATIVE))
            continue;
        struct mcast_record rec = { .type = type, .is_member = true, .group = { .b = { 0xff, 0x02, [11] = 0x01, [12] = 0xff } } };
        memcpy(rec.group.b + 13, a->ip.b + 13, 3);
        bool is_twice = false;
        for (unsigned k = 0; k < n; k++)
            is_twice |= ip_addr_eq(&had[k], &rec.group);
        if (is_twice)
            continue;
        had[n++] = rec.group;
        report_add(r, &rec);
    }
}

static void send_changes(struct worker *w, struct mcast_ifc *m, bool v4)
{
    struct mcast_family *f = mcast_family_of(m, v4);
    struct mcast_record rec[2];
    struct mcast_report r;
    bool is_more = false;

    report_begin(&r, w, m->ifc, v4);
    for (unsigned i = 0; i < MCAST_GROUPS; i++) {
        struct mcast_group *g = &m->group[i];
        pthread_mutex_lock(&m->lock);
        unsigned n = ip_addr_is_v4(&g->ip) == v4 && has_changes(g) ? take_changes(g, rec, &is_more) : 0;
        pthread_mutex_unlock(&m->lock);
        for (unsigned k = 0; k < n; k++)
            report_add(&r, &rec[k]);
    }
    if (!v4 && f->address_changes) {
        add_solicited(&r, MCAST_TO_EXCLUDE);
        is_more |= --f->address_changes > 0;
    }
    report_send(&r);
    if (is_more)
        timer_start(&w->timers, &f->changes, w->now_us + 1 + worker_random(w) % MCAST_UNSOLICITED_US);
}

static void send_answer(struct worker *w, struct mcast_ifc *m, bool v4)
{
    struct mcast_family *f = mcast_family_of(m, v4);
    struct mcast_record rec;
    struct mcast_report r;

    report_begin(&r, w, m->ifc, v4);
    for (unsigned i = 0; i < MCAST_GROUPS; i++) {
        struct mcast_group *g = &m->group[i];
        pthread_mutex_lock(&m->lock);
        bool has = ip_addr_is_v4(&g->ip) == v4 && take_answer(g, f->answer_all, &rec);
        pthread_mutex_unlock(&m->lock);
        if (has)
            report_add(&r, &rec);
    }
    if (!v4 && f->answer_all)
        add_solicited(&r, MCAST_IS_EXCLUDE);
    f->answer_all = false;
    report_send(&r);
}

static void changes4(struct worker *w, struct timer_node *t) { send_changes(w, hs_container_of(t, struct mcast_ifc, v4.changes), true); }
static void changes6(struct worker *w, struct timer_node *t) { send_changes(w, hs_container_of(t, struct mcast_ifc, v6.changes), false); }
static void answer4(struct worker *w, struct timer_node *t) { send_answer(w, hs_container_of(t, struct mcast_ifc, v4.answer), true); }
static void answer6(struct worker *w, struct timer_node *t) { send_answer(w, hs_container_of(t, struct mcast_ifc, v6.answer), false); }
static void begin_changes4(struct worker *w, void *arg) { send_changes(w, arg, true); }
static void begin_changes6(struct worker *w, void *arg) { send_changes(w, arg, false); }

void mcast_timers_init(struct mcast_ifc *m)
{
    m->v4.changes.fire = changes4;
    m->v4.answer.fire = answer4;
    m->v6.changes.fire = changes6;
    m->v6.answer.fire = answer6;
}

int mcast_tell_change(struct mcast_ifc *m, bool v4)
{
    return worker_call(m->ifc->stack->worker[0], v4 ? begin_changes4 : begin_changes6, m);
}

void mcast_address_added(struct interface *ifc)
{
    struct worker *w = ifc->stack->worker[0];

    ifc->mcast->v6.address_changes = MCAST_ROBUSTNESS;
    timer_start(&w->timers, &ifc->mcast->v6.changes, w->now_us + 1);
}

/* ---------------------------------------------------------------- queries */

/* Under the lock. A query of the whole group is answered whatever others name (s5.2 rules 3 to 5). */
static void note_query(struct mcast_group *g, const struct mcast_query *q)
{
    if (!g->sources && q->n)
        g->sources = calloc(1, sizeof(*g->sources));
    struct mcast_sources *l = g->sources;
    bool fits = q->n && q->n <= MCAST_SOURCES && l && l->n_asked + q->n <= MCAST_SOURCES;

    if (!fits)
        g->is_asked = true;
    for (unsigned i = 0; fits && i < q->n; i++)
        l->asked[l->n_asked++] = q->source[i];
}

void mcast_asked(struct worker *w, struct interface *ifc, bool v4, const struct mcast_query *q)
{
    struct mcast_ifc *m = ifc->mcast;
    struct mcast_family *f = mcast_family_of(m, v4);
    uint64_t at = w->now_us + 1 + worker_random(w) % (q->max_us ? q->max_us : 1);

    if (ip_addr_is_any(&q->group)) {
        f->answer_all = true;
    } else {
        pthread_mutex_lock(&m->lock);
        struct mcast_group *g = mcast_find(m, &q->group);
        if (g)
            note_query(g, q);
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
