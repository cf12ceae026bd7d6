/* linux_sync.c - what a kernel interface has against what was taken from it before; the difference goes to the stack */
#include "server/linux_sync/linux_sync.h"

#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/log.h"
#include "server/linux_sync/rtnl.h"
#include "server/neigh/neigh.h"
#include "server/route/route.h"

enum { DELAY_MS = 20, AGAIN_MS = 200 };      /* several changes come together; one that was interrupted is read again */

struct sync_ifc {
    struct interface *ifc;                   /* NULL = not enabled */
    char kernel[IFNAMSIZ];
    unsigned addr_flags;
    unsigned ifindex;                        /* when it was read last; 0 = there was none */
    struct rtnl_state have;                  /* what is at the stack because of us */
};

struct linux_sync {
    int epoll_fd, netlink_fd, timer_fd;
    struct sync_ifc sync[INTERFACES_MAX];    /* by the interface's index */
};

/* ---------------------------------------------------------------- one kind after the other; workers are held */

static const struct rtnl_addr *find_addr(const struct rtnl_state *s, const struct ip_prefix *p)
{
    for (unsigned i = 0; i < s->n_addrs; i++)
        if (s->addr[i].prefix.len == p->len && ip_addr_eq(&s->addr[i].prefix.ip, &p->ip))
            return &s->addr[i];
    return NULL;
}

static bool has_route(const struct rtnl_state *s, const struct rtnl_route *r)
{
    for (unsigned i = 0; i < s->n_routes; i++) {
        const struct rtnl_route *o = &s->route[i];
        if (o->prefix.len == r->prefix.len && ip_addr_eq(&o->prefix.ip, &r->prefix.ip) && o->has_via == r->has_via &&
            (!r->has_via || ip_addr_eq(&o->via, &r->via)))
            return true;
    }
    return false;
}

static bool has_neigh(const struct rtnl_state *s, const struct rtnl_neigh *n)
{
    for (unsigned i = 0; i < s->n_neighs; i++)
        if (ip_addr_eq(&s->neigh[i].ip, &n->ip) && memcmp(s->neigh[i].mac, n->mac, 6) == 0)
            return true;
    return false;
}

static bool remove_old(struct sync_ifc *y, const struct rtnl_state *want)
{
    struct stack *s = y->ifc->stack;
    bool changed = false;

    for (unsigned i = 0; i < y->have.n_neighs; i++)
        for (unsigned w = 0; w < s->n_workers && !has_neigh(want, &y->have.neigh[i]); w++)
            changed |= neigh_forget(s->worker[w], y->ifc, &y->have.neigh[i].ip) == 0;
    for (unsigned i = 0; i < y->have.n_routes; i++)
        if (!has_route(want, &y->have.route[i]))
            changed |= route_del(s->routes, y->ifc->fib, &y->have.route[i].prefix, ROUTE_LINUX) == 0;
    for (unsigned i = 0; i < y->have.n_addrs; i++)
        if (!find_addr(want, &y->have.addr[i].prefix))
            changed |= interface_del_address(y->ifc, &y->have.addr[i].prefix) == 0;
    return changed;
}

/* Flags that the kernel's address has, for the choice of sources (RFC 6724). */
static bool set_flags(struct sync_ifc *y, const struct rtnl_addr *a)
{
    struct interface_addr *at = interface_find_addr(y->ifc, &a->prefix.ip);
    const uint8_t ours = INTERFACE_ADDR_DEPRECATED | INTERFACE_ADDR_TEMPORARY;
    uint8_t flags = (a->is_deprecated ? INTERFACE_ADDR_DEPRECATED : 0) | (a->is_temporary ? INTERFACE_ADDR_TEMPORARY : 0);

    if (!at || (at->flags & ours) == flags)
        return false;
    at->flags = (uint8_t)((at->flags & ~ours) | flags);
    return true;
}

/* What the stack does not take (an address that is configured, a gateway that no address reaches) leaves the list: it is tried again with
 * the next change. */
static bool add_new(struct sync_ifc *y, struct rtnl_state *want)
{
    struct stack *s = y->ifc->stack;
    bool changed = false;
    unsigned n = 0;

    for (unsigned i = 0; i < want->n_addrs; i++) {
        const struct rtnl_addr *a = &want->addr[i];
        bool had = find_addr(&y->have, &a->prefix), got = !had && interface_add_address(y->ifc, &a->prefix, y->addr_flags) == 0;
        if (!had && !got)
            continue;
        changed |= set_flags(y, a) | got;
        want->addr[n++] = *a;
    }
    want->n_addrs = n;
    n = 0;
    for (unsigned i = 0; i < want->n_routes; i++) {
        const struct rtnl_route *r = &want->route[i];
        bool had = has_route(&y->have, r);
        bool got = !had && route_add_of_kind(s, y->ifc->fib, &r->prefix, r->has_via ? &r->via : NULL, y->ifc, ROUTE_LINUX) == 0;
        changed |= got;
        if (had || got)
            want->route[n++] = *r;
    }
    want->n_routes = n;
    n = 0;
    for (unsigned i = 0; i < want->n_neighs; i++) {
        const struct rtnl_neigh *e = &want->neigh[i];
        bool had = has_neigh(&y->have, e), got = had;
        for (unsigned w = 0; w < s->n_workers && !had; w++)
            got |= neigh_set_permanent(s->worker[w], y->ifc, &e->ip, e->mac) == 0;
        changed |= got && !had;
        if (got)
            want->neigh[n++] = *e;
    }
    want->n_neighs = n;
    return changed;
}

static bool is_same(const struct rtnl_state *a, const struct rtnl_state *b)
{
    if (a->n_addrs != b->n_addrs || a->n_routes != b->n_routes || a->n_neighs != b->n_neighs)
        return false;
    for (unsigned i = 0; i < a->n_addrs; i++) {
        const struct rtnl_addr *o = find_addr(b, &a->addr[i].prefix);
        if (!o || o->is_deprecated != a->addr[i].is_deprecated || o->is_temporary != a->addr[i].is_temporary)
            return false;
    }
    for (unsigned i = 0; i < a->n_routes; i++)
        if (!has_route(b, &a->route[i]))
            return false;
    for (unsigned i = 0; i < a->n_neighs; i++)
        if (!has_neigh(b, &a->neigh[i]))
            return false;
    return true;
}

static bool apply(struct sync_ifc *y, struct rtnl_state *want)
{
    bool changed = remove_old(y, want);

    if (want->is_cut && !y->have.is_cut && y->ifc->stack->log)
        hs_log(y->ifc->stack->log, HS_LOG_WARNING, "interface %s: %s of the kernel has more than %d addresses, %d routes or %d neighbours",
               y->ifc->name, y->kernel, RTNL_MAX_ADDRS, RTNL_MAX_ROUTES, RTNL_MAX_NEIGHS);
    changed |= add_new(y, want);
    rtnl_state_free(&y->have);
    y->have = *want;
    if (changed && y->ifc->stack->log)
        hs_log(y->ifc->stack->log, HS_LOG_INFO, "interface %s: as %s of the kernel: %u addresses, %u routes, %u neighbours", y->ifc->name,
               y->kernel, want->n_addrs, want->n_routes, want->n_neighs);
    return changed;
}

/* ---------------------------------------------------------------- when */

static int wake(struct linux_sync *all, unsigned ms)
{
    struct itimerspec ts = { .it_value = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000 } };

    return timerfd_settime(all->timer_fd, 0, &ts, NULL) == 0 ? 0 : -errno;
}

static int make(struct stack *s)
{
    struct epoll_event ev = { .events = EPOLLIN };
    struct linux_sync *all = calloc(1, sizeof(*all));

    if (!all)
        return -ENOMEM;
    s->linux_sync = all;
    all->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    all->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    all->netlink_fd = rtnl_listen();
    if (all->netlink_fd < 0)
        return all->netlink_fd;
    return all->epoll_fd >= 0 && all->timer_fd >= 0 && epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, all->netlink_fd, &ev) == 0 &&
           epoll_ctl(all->epoll_fd, EPOLL_CTL_ADD, all->timer_fd, &ev) == 0 ? 0 : -errno;
}

int linux_sync_enable(struct interface *ifc, const char *kernel_ifc, unsigned addr_flags)
{
    struct stack *s = ifc->stack;
    struct rtnl_state want;
    int rc = s->linux_sync ? 0 : make(s);

    if (rc != 0)
        return rc;
    struct sync_ifc *y = &s->linux_sync->sync[ifc->index];
    *y = (struct sync_ifc){ .ifc = ifc, .addr_flags = addr_flags };
    if (strlen(kernel_ifc) >= sizeof(y->kernel))
        return -EINVAL;
    strcpy(y->kernel, kernel_ifc);
    y->ifindex = if_nametoindex(y->kernel);
    rc = rtnl_read(y->ifindex, &want);
    if (rc == -EAGAIN)
        return wake(s->linux_sync, AGAIN_MS);
    if (rc == 0)
        apply(y, &want);
    return rc;
}

int linux_sync_fd(const struct stack *s) { return s->linux_sync ? s->linux_sync->epoll_fd : -1; }

/* Reads the kernel's state and brings ours to it. False: to be tried again. */
static bool update(struct sync_ifc *y, bool *changed)
{
    struct rtnl_state want;

    y->ifindex = if_nametoindex(y->kernel);
    if (rtnl_read(y->ifindex, &want) != 0)
        return false;
    if (is_same(&y->have, &want)) {
        rtnl_state_free(&want);
        return true;
    }
    if (stack_pause(y->ifc->stack) != 0) {
        rtnl_state_free(&want);
        return false;
    }
    *changed |= apply(y, &want);
    stack_resume(y->ifc->stack);
    return true;
}

bool linux_sync_poll(struct stack *s)
{
    struct linux_sync *all = s->linux_sync;
    unsigned ifindex[INTERFACES_MAX], n = 0;
    bool changed = false, done = true;
    uint64_t times;

    for (unsigned i = 0; i < s->interfaces->n; i++)
        if (all->sync[i].ifc)
            ifindex[n++] = all->sync[i].ifindex;
    if (rtnl_drain(all->netlink_fd, ifindex, n))
        wake(all, DELAY_MS);
    if (read(all->timer_fd, &times, sizeof(times)) != (ssize_t)sizeof(times))
        return false;
    for (unsigned i = 0; i < s->interfaces->n; i++)
        if (all->sync[i].ifc)
            done &= update(&all->sync[i], &changed);
    if (!done)
        wake(all, AGAIN_MS);
    return changed;
}

void linux_sync_destroy(struct stack *s)
{
    struct linux_sync *all = s->linux_sync;

    if (!all)
        return;
    int fds[] = { all->epoll_fd, all->netlink_fd, all->timer_fd };
    for (unsigned i = 0; i < HS_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0)
            close(fds[i]);
    for (unsigned i = 0; i < INTERFACES_MAX; i++)
        rtnl_state_free(&all->sync[i].have);
    free(all);
    s->linux_sync = NULL;
}
