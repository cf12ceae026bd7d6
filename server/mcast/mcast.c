/* mcast.c - the groups of an interface: who is a member, of which sources; what the filters of all sockets come to (RFC 3376 s3.2) */
#include "server/mcast/mcast.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>

#include "server/mcast/mcast_internal.h"

const struct mcast_filter mcast_everybody = { .is_include = false };
static const struct mcast_filter nobody = { .is_include = true };

int mcast_ifc_create(struct interface *ifc)
{
    struct mcast_ifc *m = calloc(1, sizeof(*m));

    if (!m)
        return -ENOMEM;
    m->ifc = ifc;
    pthread_mutex_init(&m->lock, NULL);
    mcast_timers_init(m);
    ifc->mcast = m;
    return 0;
}

void mcast_ifc_destroy(struct interface *ifc)
{
    if (!ifc->mcast)
        return;
    for (unsigned i = 0; i < MCAST_GROUPS; i++)
        free(ifc->mcast->group[i].sources);
    pthread_mutex_destroy(&ifc->mcast->lock);
    free(ifc->mcast);
    ifc->mcast = NULL;
}

/* ---------------------------------------------------------------- members */

static bool is_exclude(const struct mcast_group *g) { return g->n_exclude > 0; }

/* RFC 3376 s3.2: one that takes all but some, and the list is what all those leave out and nobody takes; else the list is what anybody takes. */
bool mcast_is_listed(const struct mcast_group *g, const struct mcast_source *s)
{
    if (is_exclude(g))
        return s->n_exclude == g->n_exclude && s->n_include == 0;
    return s->n_include > 0;
}

static struct mcast_source *source_find(const struct mcast_group *g, const struct ip_addr *ip)
{
    for (unsigned i = 0; g->sources && i < g->sources->n; i++)
        if (ip_addr_eq(&g->sources->source[i].ip, ip))
            return &g->sources->source[i];
    return NULL;
}

static bool takes_source(struct mcast_ifc *m, const struct mcast_group *g, const struct ip_addr *source)
{
    pthread_mutex_lock(&m->lock);
    const struct mcast_source *s = source_find(g, source);
    bool takes = (s && mcast_is_listed(g, s)) != is_exclude(g);
    pthread_mutex_unlock(&m->lock);
    return takes;
}

bool mcast_accepts(const struct interface *ifc, const struct ip_addr *group, const struct ip_addr *source)
{
    struct mcast_ifc *m = ifc->mcast;

    /* A place that is given to another group at this moment may be misread: then a packet more or less goes on to sockets, which
     * compare addresses themselves. */
    for (unsigned i = 0; m && i < MCAST_GROUPS; i++) {
        const struct mcast_group *g = &m->group[i];
        if (!mcast_users(g) || !ip_addr_eq(&g->ip, group))
            continue;
        return !source || !__atomic_load_n(&g->is_filtered, __ATOMIC_RELAXED) || takes_source(m, g, source);
    }
    return false;
}

static bool is_free(const struct mcast_group *g)
{
    return !mcast_users(g) && !g->changes_left && (!g->sources || !g->sources->n);
}

struct mcast_group *mcast_find(struct mcast_ifc *m, const struct ip_addr *group)
{
    for (unsigned i = 0; i < MCAST_GROUPS; i++)
        if (!is_free(&m->group[i]) && ip_addr_eq(&m->group[i].ip, group))
            return &m->group[i];
    return NULL;
}

static struct mcast_group *find_free(struct mcast_ifc *m)
{
    for (unsigned i = 0; i < MCAST_GROUPS; i++)
        if (is_free(&m->group[i]))
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

bool mcast_is_told(const struct ip_addr *g)
{
    static const struct ip_addr all_nodes = { .b = { 0xff, 0x02, [15] = 1 } };

    if (ip_addr_is_v4(g))
        return be32_get(g->w[3]) != 0xe0000001u;
    return !ip_addr_eq(g, &all_nodes) && (g->b[1] & 15) > 1;
}

/* ---------------------------------------------------------------- changes, under the lock */

static bool is_needed(const struct mcast_source *s) { return s->n_include || s->n_exclude || s->changes_left; }

void mcast_sources_trim(struct mcast_group *g)
{
    struct mcast_sources *l = g->sources;

    for (unsigned i = 0; l && i < l->n;)
        if (is_needed(&l->source[i]))
            i++;
        else
            l->source[i] = l->source[--l->n];
    if (l && l->n == 0 && l->n_asked == 0) {
        free(l);
        g->sources = NULL;
    }
}

/* Places for all sources of f that have none. A change that is still to be told gives way: routers have heard of it once, or ask. */
static int make_places(struct mcast_group *g, const struct mcast_filter *f)
{
    if (f->n == 0)
        return 0;
    if (!g->sources && !(g->sources = calloc(1, sizeof(*g->sources))))
        return -ENOBUFS;
    struct mcast_sources *l = g->sources;
    for (unsigned i = 0; i < f->n; i++) {
        if (source_find(g, &f->source[i]))
            continue;
        struct mcast_source *s = l->n < MCAST_SOURCES ? &l->source[l->n++] : NULL;
        for (unsigned k = 0; !s && k < MCAST_SOURCES; k++)
            if (!l->source[k].n_include && !l->source[k].n_exclude && l->source[k].changes_left)
                s = &l->source[k];
        if (!s)
            return -ENOBUFS; /* those that were made are trimmed */
        *s = (struct mcast_source){ .ip = f->source[i] };
    }
    return 0;
}

/* One more, or one less, socket with that filter. Its sources have places. */
static void count_filter(struct mcast_group *g, const struct mcast_filter *f, int by)
{
    for (unsigned i = 0; i < f->n; i++) {
        struct mcast_source *s = source_find(g, &f->source[i]);
        uint16_t *n = f->is_include ? &s->n_include : &s->n_exclude;
        *n = (uint16_t)(*n + by);
    }
    if (!f->is_include)
        g->n_exclude += (uint32_t)by;
}

static void mark_listed(struct mcast_group *g)
{
    for (unsigned i = 0; g->sources && i < g->sources->n; i++)
        g->sources->source[i].was_listed = mcast_is_listed(g, &g->sources->source[i]);
}

/* What routers are to be told (RFC 3376 s5.1): the change of mode, which names all sources, or sources that are new or gone.
 * Is there anything? */
static bool note_changes(struct mcast_group *g, bool was_exclude)
{
    bool is_mode = was_exclude != is_exclude(g), any = is_mode;

    if (is_mode)
        g->changes_left = MCAST_ROBUSTNESS;
    for (unsigned i = 0; g->sources && i < g->sources->n; i++) {
        struct mcast_source *s = &g->sources->source[i];
        if (is_mode) {
            s->changes_left = 0;
        } else if (s->was_listed != mcast_is_listed(g, s)) {
            s->changes_left = MCAST_ROBUSTNESS;
            any = true;
        }
    }
    return any;
}

static void set_filtered(struct mcast_group *g)
{
    bool is_filtered = !is_exclude(g);

    for (unsigned i = 0; g->sources && i < g->sources->n; i++)
        is_filtered |= mcast_is_listed(g, &g->sources->source[i]);
    __atomic_store_n(&g->is_filtered, is_filtered, __ATOMIC_RELAXED);
}

static bool is_something(const struct mcast_filter *f) { return !f->is_include || f->n; }

/* 0 or -ENOBUFS. *is_news: routers must be told. */
static int change(struct mcast_ifc *m, const struct ip_addr *group, const struct mcast_filter *from, const struct mcast_filter *to, bool *is_news)
{
    struct mcast_group *g = mcast_find(m, group);
    uint32_t users = g ? mcast_users(g) : 0;

    *is_news = false;
    if (!g) {
        if (!(g = find_free(m)))
            return -ENOBUFS;
        free(g->sources);
        *g = (struct mcast_group){ .ip = *group };
    }
    bool was_exclude = is_exclude(g);
    mark_listed(g);
    if (make_places(g, to) != 0) {
        mcast_sources_trim(g);
        return -ENOBUFS;
    }
    count_filter(g, to, 1);
    count_filter(g, from, -1);
    if (mcast_is_told(group))
        *is_news = note_changes(g, was_exclude);
    mcast_sources_trim(g);
    set_filtered(g);
    __atomic_store_n(&g->users, users + is_something(to) - is_something(from), __ATOMIC_RELEASE);
    return 0;
}

static int change_locked(struct mcast_ifc *m, const struct ip_addr *group, const struct mcast_filter *from, const struct mcast_filter *to,
                         bool *is_news)
{
    pthread_mutex_lock(&m->lock);
    int rc = change(m, group, from, to, is_news);
    pthread_mutex_unlock(&m->lock);
    return rc;
}

int mcast_change(struct interface *ifc, const struct ip_addr *group, const struct mcast_filter *from, const struct mcast_filter *to)
{
    bool is_news;

    if (!ip_addr_is_multicast(group))
        return -EINVAL;
    from = from ? from : &nobody;
    to = to ? to : &nobody;
    int rc = change_locked(ifc->mcast, group, from, to, &is_news);
    if (rc == 0 && is_news && mcast_tell_change(ifc->mcast, ip_addr_is_v4(group)) != 0 && is_something(to)) {
        (void)change_locked(ifc->mcast, group, to, from, &is_news);
        rc = -ENOBUFS;
    } /* less is wanted, and the worker is busy: the report goes with the next change, or routers find out by asking */
    return rc;
}

/* ---------------------------------------------------------------- show */

static json_t *group_text(const struct mcast_group *g)
{
    char text[IP_ADDR_TEXT_MAX], line[(MCAST_SOURCES + 1) * (IP_ADDR_TEXT_MAX + 1) + 16];
    int len = snprintf(line, sizeof(line), "%s", ip_addr_format(&g->ip, text));

    if (g->is_filtered)
        len += snprintf(line + len, sizeof(line) - (size_t)len, is_exclude(g) ? " exclude" : " include");
    for (unsigned i = 0; g->sources && i < g->sources->n; i++)
        if (mcast_is_listed(g, &g->sources->source[i]))
            len += snprintf(line + len, sizeof(line) - (size_t)len, " %s", ip_addr_format(&g->sources->source[i].ip, text));
    return json_string(line);
}

void mcast_show(const struct interface *ifc, json_t *array)
{
    struct mcast_ifc *m = ifc->mcast;

    if (!m)
        return;
    pthread_mutex_lock(&m->lock);
    for (unsigned i = 0; i < MCAST_GROUPS; i++)
        if (mcast_users(&m->group[i]))
            json_array_append_new(array, group_text(&m->group[i]));
    pthread_mutex_unlock(&m->lock);
}
