/* preload_nest.c - epoll sets that are watched themselves: by other sets, poll or select
 *
 * Who watches such a set does so by its kernel descriptor, which is readable when anything has come for any socket of the process. So
 * what has come is looked at first, and told only if something in the set is ready. An outer set's entry has data of ours in the kernel, by
 * which it is known again: the program's own may be that of other entries, too. */
#include <stdlib.h>
#include "preload/preload.h"

#define NEST_DATA 0x4e57ed5e00000000ull
enum { NEST_DEPTH = 6, /* Linux allows 5 (ELOOP) */
       NEST_LOOKS = 64 };

struct fd_nest {
    struct fd_nest *next;
    struct fd_file *inner;   /* weak: with its generation */
    uint32_t generation, id; /* id: of this entry of the outer set, and of no other */
    int fd;                  /* the number the program used */
    struct epoll_event ev;   /* the program's */
};

struct vcl_set *preload_epoll_nest(struct fd_file *e)
{
    atomic_store(&e->epoll.nested, true);
    struct vcl_set *set = atomic_load(&e->epoll.set);
    if (set)
        vcl_set_nest(set);
    return set;
}

/* ---- the entries; under preload.fds.lock ---- */

static bool nest_is_dead(const struct fd_nest *n)
{
    return atomic_load(&n->inner->generation) != n->generation || atomic_load(&n->inner->refs) == 0;
}

static struct fd_nest **nest_find(struct fd_file *e, const struct fd_file *inner, int fd)
{
    struct fd_nest **at = &e->epoll.nests;
    while (*at && !((*at)->inner == inner && (*at)->fd == fd && !nest_is_dead(*at)))
        at = &(*at)->next;
    return at;
}

static struct fd_nest *nest_by_id(const struct fd_file *e, uint32_t id)
{
    struct fd_nest *n = e->epoll.nests;
    while (n && n->id != id)
        n = n->next;
    return n;
}

static struct epoll_event nest_event(const struct fd_nest *n)
{
    return (struct epoll_event){ .events = n->ev.events, .data.u64 = NEST_DATA | n->id };
}

static void nest_unlink(struct fd_nest **at, struct fd_nest **gone)
{
    struct fd_nest *n = *at;
    *at = n->next;
    n->next = *gone;
    *gone = n;
}

/* The entries of closed sets: the kernel has let go of them. */
static void nest_sweep(struct fd_file *e, struct fd_nest **gone)
{
    for (struct fd_nest **at = &e->epoll.nests; *at;)
        if (nest_is_dead(*at))
            nest_unlink(at, gone);
        else
            at = &(*at)->next;
}

static void nest_free(struct fd_nest *list)
{
    for (struct fd_nest *next; list; list = next) {
        next = list->next;
        free(list);
    }
}

void preload_nest_free(struct fd_file *e)
{
    nest_free(e->epoll.nests);
    e->epoll.nests = NULL;
}

/* n is what the entry becomes. */
static int nest_kernel(int epfd, int op, const struct fd_nest *n)
{
    struct epoll_event half = nest_event(n);
    return (int)preload_kernel(libc_real()->epoll_ctl(epfd, op, n->fd, &half));
}

/* `fresh` is used when it is added. */
static int nest_ctl(int epfd, struct fd_file *e, int op, struct fd_nest **fresh, struct fd_nest **gone)
{
    struct fd_nest *n = *fresh, **at = nest_find(e, n->inner, n->fd);
    n->id = *at ? (*at)->id : ++e->epoll.nest_id;
    if (op != EPOLL_CTL_DEL && !*at)
        atomic_store(&e->epoll.has_nests, true); /* before anybody can hear of it */
    int r = nest_kernel(epfd, op, n);
    if (r < 0)
        return r;
    if (op == EPOLL_CTL_DEL) {
        if (*at)
            nest_unlink(at, gone);
    } else if (*at) {
        (*at)->ev = n->ev;
    } else {
        nest_sweep(e, gone);
        n->next = e->epoll.nests;
        e->epoll.nests = n;
        *fresh = NULL;
    }
    return 0;
}

int preload_nest_ctl(int epfd, struct fd_file *e, int op, int fd, struct fd_file *inner, const struct epoll_event *ev)
{
    struct fd_nest *fresh = malloc(sizeof(*fresh)), *gone = NULL;
    if (!fresh)
        return -ENOMEM;
    *fresh = (struct fd_nest){ .inner = inner, .generation = atomic_load(&inner->generation), .fd = fd };
    if (ev)
        fresh->ev = *ev;
    if (op == EPOLL_CTL_ADD)
        preload_epoll_nest(inner);
    /* Locked while the kernel is told: who hears of the entry finds it here. */
    pthread_mutex_lock(&preload.fds.lock);
    int r = nest_ctl(epfd, e, op, &fresh, &gone);
    pthread_mutex_unlock(&preload.fds.lock);
    nest_free(gone);
    free(fresh);
    return r;
}

/* ---- is there something? ---- */

/* The i-th entry's set, with a reference; NULL: none. False: no such entry. */
static bool nest_hold(struct fd_file *e, unsigned i, struct fd_file **inner)
{
    pthread_mutex_lock(&preload.fds.lock);
    struct fd_nest *n = e->epoll.nests;
    while (n && i-- > 0)
        n = n->next;
    *inner = n && !nest_is_dead(n) ? n->inner : NULL;
    uint32_t generation = n ? n->generation : 0;
    pthread_mutex_unlock(&preload.fds.lock);
    if (*inner && !fd_file_try_hold(&preload.fds, *inner, generation))
        *inner = NULL;
    return n != NULL;
}

struct nest_look {
    bool any, ready; /* stack sockets are there; one is ready */
    bool rang;       /* one of the library's own descriptors was readable after that */
};

/* Looks at what has come for the sets from e on inwards. */
static void nest_settle(struct fd_file *e, unsigned depth, struct nest_look *l)
{
    struct vcl_set *set = preload_epoll_nest(e);
    if (set) {
        l->any = true;
        l->ready = vcl_set_settle(set) || l->ready;
    }
    struct fd_file *inner;
    for (unsigned i = 0; depth < NEST_DEPTH && nest_hold(e, i, &inner); i++) {
        if (!inner)
            continue;
        nest_settle(inner, depth + 1, l);
        preload_drop(inner);
    }
}

static void nest_listen(struct fd_file *e, unsigned depth, struct nest_look *l)
{
    struct vcl_set *set = atomic_load(&e->epoll.set);
    if (set)
        l->rang = vcl_set_has_rung(set) || l->rang;
    struct fd_file *inner;
    for (unsigned i = 0; depth < NEST_DEPTH && nest_hold(e, i, &inner); i++) {
        if (!inner)
            continue;
        nest_listen(inner, depth + 1, l);
        preload_drop(inner);
    }
}

bool preload_nest_settle(struct fd_file *e)
{
    struct nest_look l = { 0 };
    nest_settle(e, 0, &l);
    return l.any;
}

/* Readable without a socket that is ready: by a descriptor of the kernel's, or because something has come again meanwhile, and another
 * thread may have taken that between our two looks. */
bool preload_nest_is_ready(struct fd_file *e, int fd)
{
    for (int looks = 0, quiet = 0; looks < NEST_LOOKS && quiet < 2; looks++) {
        struct nest_look l = { 0 };
        struct pollfd p = { .fd = fd, .events = POLLIN };
        nest_settle(e, 0, &l);
        if (LIBC_UNCANCELLED(poll)(&p, 1, 0) == 0)
            return false;
        if (l.ready || !l.any)
            return true;
        nest_listen(e, 0, &l);
        quiet += !l.rang;
    }
    return true;
}

/* ---- after an epoll_wait ---- */

/* It was told for nothing: one-shot entries are to be told yet. */
static void nest_again(int epfd, struct fd_file *e, uint32_t id)
{
    pthread_mutex_lock(&preload.fds.lock);
    struct fd_nest *n = nest_by_id(e, id);
    if (n && n->ev.events & EPOLLONESHOT)
        nest_kernel(epfd, EPOLL_CTL_MOD, n);
    pthread_mutex_unlock(&preload.fds.lock);
}

static bool nest_tells(int epfd, struct fd_file *e, struct epoll_event *ev)
{
    uint32_t id = (uint32_t)ev->data.u64;
    pthread_mutex_lock(&preload.fds.lock);
    struct fd_nest *at = nest_by_id(e, id), n = at ? *at : (struct fd_nest){ .inner = NULL };
    pthread_mutex_unlock(&preload.fds.lock);
    if (!n.inner || !fd_file_try_hold(&preload.fds, n.inner, n.generation))
        return false; /* taken out, or closed */
    ev->data = n.ev.data;
    bool yes = preload_nest_is_ready(n.inner, n.fd);
    preload_drop(n.inner);
    if (!yes)
        nest_again(epfd, e, id);
    return yes;
}

int preload_nest_sort(int epfd, struct fd_file *e, struct epoll_event *ev, int n)
{
    int kept = 0;
    for (int i = 0; i < n; i++)
        if ((ev[i].data.u64 & ~(uint64_t)UINT32_MAX) != NEST_DATA || nest_tells(epfd, e, &ev[i]))
            ev[kept++] = ev[i];
    return kept;
}
