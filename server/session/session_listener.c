/* session_listener.c - listeners and bound datagram endpoints of this worker; who accepts, and what waits */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "common/siphash.h"
#include "server/ip/ip.h"
#include "server/local/local.h"

static const uint32_t ANY_NS = UINT32_MAX;

static unsigned bucket_of(be16 port)
{
    return be16_get(port) % SESSION_PORT_BUCKETS;
}

struct listener *listener_insert(struct worker *w, const struct listener *like)
{
    struct session_worker *sw = w->session;
    struct listener *l = calloc(1, sizeof(*l));
    unsigned b = bucket_of(like->lcl.port);

    if (!l)
        return NULL;
    *l = *like;
    l->w = w;
    l->queue_tail = &l->queue;
    l->wait = NULL;
    l->wait_tail = &l->wait;
    l->relay_first = l->relay_last = NULL;
    l->wait_timer = l->queue_timer = (struct timer_node){ 0 };
    l->next = sw->listener[b];
    sw->listener[b] = l;
    sw->n_listeners++;
    return l;
}

int listener_create(struct worker *w, struct session *s, uint32_t backlog)
{
    struct listener like = {
        .session = s, .lcl = s->lcl, .handle = s->handle, .ctx = s->ctx, .proto = s->proto, .flags = s->flags, .dev = s->dev, .fib = s->fib,
        .ns = s->app->ns, .backlog = backlog ? backlog : 1, .app_id = s->app->app_id, .layer_cfg = s->layer_cfg,
        .is_internal = s->app->ops->is_internal,
    };

    if (session_attrs(s))
        like.attrs = *session_attrs(s);
    s->listener = listener_insert(w, &like);
    return s->listener ? 0 : -ENOMEM;
}

/* What waits in it is reset, as Linux does when the last descriptor of a listener is closed. */
void listener_destroy(struct worker *w, struct listener *l)
{
    struct session_worker *sw = w->session;

    for (struct listener **p = &sw->listener[bucket_of(l->lcl.port)]; *p; p = &(*p)->next) {
        if (*p == l) {
            *p = l->next;
            break;
        }
    }
    sw->n_listeners--;
    l->is_dead = true;
    if (l->session) {
        l->session->listener = NULL;
        listener_replicate_end(w, l);
    } else {
        for (struct listener **p = &sw->replicas; *p; p = &(*p)->replica_next) {
            if (*p == l) {
                *p = l->replica_next;
                break;
            }
        }
    }
    const struct transport_ops *ops = transport_get(l->proto);
    if (ops && ops->unlisten)
        ops->unlisten(w, l);
    local_wait_end(w, l);
    while (l->queue) {
        struct session *s = l->queue;
        l->queue = s->queue_next;
        s->is_queued = false;
        s->from = (struct svm_handle){ 0, 0 };
        if (s->local)
            local_refused(w, s);
        else if (s->conn)
            s->ops->reset(w, s->conn); /* detaches and, nobody holding it, frees the session */
        else
            session_finish(w, s);
    }
    for (struct acceptor *a = l->acceptors, *next; a; a = next) {
        next = a->next;
        free(a);
    }
    free(l);
}

struct session *listener_session(const struct listener *l)
{
    return l->session;
}

struct listener *listener_of_session(struct worker *w, struct svm_handle h)
{
    struct session *s;

    if (h.gen == 0)
        return NULL;
    if (h.index % WORKER_MAX == w->index) {
        s = session_from_handle(w, h);
        return s ? s->listener : NULL;
    }
    for (struct listener *l = w->session->replicas; l; l = l->replica_next) {
        if (l->handle.index == h.index && l->handle.gen == h.gen)
            return l;
    }
    return NULL;
}


enum { EXACT = 8, BOUND = 2 };

/* Points of a match: the address itself counts more than the family's wildcard, and that more than ::. 0 = no match. */
static int match_address(const struct listener *l, uint8_t proto, const struct ip_endpoint *lcl)
{
    if (l->proto != proto || l->lcl.port.raw != lcl->port.raw)
        return 0;
    if (hs_unlikely(l->session && l->session->ops->listens_at)) {
        int here = l->session->ops->listens_at(l->session, &lcl->ip);
        if (here >= 0)
            return here ? EXACT : 0;
    }
    if (ip_addr_eq(&l->lcl.ip, &lcl->ip))
        return EXACT;
    if (!ip_addr_is_any(&l->lcl.ip))
        return 0;
    if (ip_addr_is_v4(&l->lcl.ip) == ip_addr_is_v4(&lcl->ip))
        return 2;
    return !ip_addr_is_v4(&l->lcl.ip) && !(l->flags & SVM_BIND_V6ONLY) ? 1 : 0;
}

/* Who is bound to the device counts more than who is not, the addresses being alike (Linux: both kinds of wildcard are). dev 0: none is
 * said. */
static int match(const struct listener *l, uint8_t proto, const struct ip_endpoint *lcl, uint8_t dev)
{
    int points = match_address(l, proto, lcl);

    if (hs_likely(!l->dev) || points == 0)
        return points;
    return l->dev == dev ? points + BOUND : 0;
}

static uint32_t flow_hash(struct worker *w, const struct ip_endpoint *rmt)
{
    struct {
        struct ip_addr ip;
        uint64_t port;
    } key = { rmt->ip, rmt->port.raw };

    return (uint32_t)siphash24(w->secret, &key, sizeof(key));
}

static bool is_group(const struct listener *a, const struct listener *b)
{
    return (a->flags & b->flags & SVM_BIND_REUSEPORT) && ip_addr_eq(&a->lcl.ip, &b->lcl.ip) && a->ns == b->ns && a->fib == b->fib &&
           a->dev == b->dev;
}

/* SO_REUSEPORT: one of the group, by the peer's address and port. Those that nobody accepts from are passed over while another
 * member has somebody: so a reload loses nothing. */
static struct listener *group_member(struct worker *w, struct listener *first, const struct ip_endpoint *rmt)
{
    uint32_t n = 0, n_live = 0, pick;
    bool live;

    for (struct listener *l = first; l; l = l->next) {
        if (l->lcl.port.raw == first->lcl.port.raw && l->proto == first->proto && is_group(l, first)) {
            n++;
            n_live += l->acceptors != NULL;
        }
    }
    if (n <= 1)
        return first;
    live = n_live > 0;
    pick = (uint32_t)(((uint64_t)flow_hash(w, rmt) * (live ? n_live : n)) >> 32);
    for (struct listener *l = first; l; l = l->next) {
        if (l->lcl.port.raw != first->lcl.port.raw || l->proto != first->proto || !is_group(l, first) ||
            (live && !l->acceptors))
            continue;
        if (pick-- == 0)
            return l;
    }
    return first;
}

/* ns: of this namespace only, ANY_NS: of any. */
static struct listener *find_global(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, uint32_t from, uint32_t ns)
{
    struct listener *best = NULL;
    int points = 0;

    for (struct listener *l = w->session->listener[bucket_of(lcl->port)]; l; l = l->next) {
        int p = l->fib == (uint16_t)from && (l->flags & SVM_CONN_SCOPE_GLOBAL) && (ns == ANY_NS || l->ns == ns)
                    ? match(l, proto, lcl, (uint8_t)(from >> 16)) : 0;
        if (p > points) {
            points = p;
            best = l;
        }
    }
    return best;
}

/* What the rules make of a packet for `found` (maybe NULL): they may say no, or name another listener. Where nobody listens, any
 * namespace may have a redirect. */
static struct listener *apply_rules(struct worker *w, struct listener *found, uint8_t proto, const struct ip_endpoint *lcl,
                                    const struct ip_endpoint *rmt, uint32_t from)
{
    struct ip_endpoint to = *lcl;
    enum session_rule_action action = SESSION_RULE_ALLOW;
    uint32_t ns = found ? found->ns : 0;
    uint16_t port;

    if (found)
        action = session_rules_match(w->stack, SESSION_RULE_GLOBAL, proto, ns, lcl, rmt, &port);
    else if (session_rules_find_redirect(w->stack, proto, lcl, rmt, &ns, &port))
        action = SESSION_RULE_REDIRECT;
    if (action == SESSION_RULE_DENY)
        return NULL;
    if (action == SESSION_RULE_ALLOW)
        return found;
    to.port = be16_of(port);
    return find_global(w, proto, &to, from, ns);
}

struct listener *session_lookup_listener(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl,
                                         const struct ip_endpoint *rmt, uint32_t from)
{
    struct listener *best = find_global(w, proto, lcl, from, ANY_NS);

    if (hs_unlikely(w->stack->session->n_rules))
        best = apply_rules(w, best, proto, lcl, rmt, from);
    if (hs_unlikely(best && (best->flags & SVM_BIND_REUSEPORT)))
        return group_member(w, best, rmt);
    return best;
}

/* A listener in local scope of the namespace that serves this address on this host. */
static struct listener *find_local(struct worker *w, uint8_t proto, const struct ip_endpoint *rmt, uint32_t ns)
{
    struct listener *best = NULL;
    int points = 0;
    struct ip_endpoint to = *rmt;
    uint8_t here = session_device_to(w, 0, &to.ip);

    for (struct listener *l = w->session->listener[bucket_of(to.port)]; l; l = l->next) {
        int p = l->ns == ns && (l->flags & SVM_CONN_SCOPE_LOCAL) ? match(l, proto, &to, here) : 0;
        if (p == 0 || (p < EXACT && !here))
            continue; /* an address that is not ours: only who is bound to just that */
        if (p > points || (p == points && !best->acceptors && l->acceptors)) {
            points = p;
            best = l;
        }
    }
    if (best && (best->flags & SVM_BIND_REUSEPORT)) {
        struct ip_endpoint any = { to.ip, be16_of((uint16_t)worker_random(w)) };
        return group_member(w, best, &any);
    }
    return best;
}

int listener_find_local(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint32_t ns,
                        struct listener **out)
{
    struct ip_endpoint to;
    uint16_t port;

    *out = find_local(w, proto, rmt, ns);
    if (hs_likely(!w->stack->session->n_rules))
        return 0;
    switch (session_rules_match(w->stack, SESSION_RULE_LOCAL, proto, ns, lcl, rmt, &port)) {
    case SESSION_RULE_DENY:
        return *out ? -ECONNREFUSED : 0;
    case SESSION_RULE_REDIRECT:
        to = (struct ip_endpoint){ rmt->ip, be16_of(port) };
        *out = find_local(w, proto, &to, ns);
        if (!*out) { /* the address may be that of another host: then who serves any address of this one */
            to.ip = ip_addr_any(ip_addr_is_v4(&rmt->ip));
            *out = find_local(w, proto, &to, ns);
        }
        return *out ? 0 : -ECONNREFUSED;
    default:
        return 0;
    }
}

uint32_t listener_backlog_room(const struct listener *l)
{
    uint32_t used = l->n_half_open + l->n_waiting;

    /* Linux takes one more than the backlog. */
    return used > l->backlog ? 0 : l->backlog + 1 - used;
}

bool listener_accept_full(const struct listener *l)
{
    return l->n_waiting > l->backlog;
}

void listener_info(const struct listener *l, struct listener_info *out)
{
    *out = (struct listener_info){ .handle = l->handle, .lcl = l->lcl, .app_id = l->app_id, .ns = l->ns, .backlog = l->backlog,
                                   .layer_cfg = l->layer_cfg, .fib = l->fib, .is_home = l->session != NULL, .proto = l->proto };
}

int listener_attr(const struct listener *l, uint8_t attr, int32_t *value)
{
    if (attr >= SESSION_MAX_ATTRS || !(l->attrs.is_set & (UINT64_C(1) << attr)))
        return -ENOENT;
    *value = l->attrs.value[attr];
    return 0;
}

bool listener_has_attrs(const struct listener *l)
{
    return l->attrs.is_set != 0;
}

uint32_t listener_layer_cfg(const struct listener *l)
{
    return l->layer_cfg;
}

const char *listener_congestion(const struct listener *l)
{
    return l->attrs.is_set & (UINT64_C(1) << SVM_ATTR_CONGESTION) ? l->attrs.congestion : NULL;
}

unsigned listener_fastopen_key(const struct listener *l, const uint8_t **key)
{
    *key = l->attrs.fastopen_key;
    return l->attrs.is_set & (UINT64_C(1) << SVM_ATTR_FASTOPEN_KEY) ? l->attrs.n_fastopen_keys : 0;
}

void listener_half_open(struct listener *l, int delta)
{
    l->n_half_open = (uint32_t)((int64_t)l->n_half_open + delta);
    if (hs_unlikely(l->wait || l->relay_first))
        local_wait_go_on(l);
}

/* ---- who accepts ---- */

static struct acceptor *acceptor_find(struct listener *l, const struct app_worker *a)
{
    for (struct acceptor *x = l->acceptors; x; x = x->next) {
        if (x->a == a)
            return x;
    }
    return NULL;
}

static void acceptor_remove(struct listener *l, const struct app_worker *a)
{
    for (struct acceptor **p = &l->acceptors, *x; (x = *p); p = &x->next) {
        if (x->a != a)
            continue;
        *p = x->next;
        l->next_acceptor = NULL;
        free(x);
        return;
    }
}

uint32_t listener_ctx(const struct listener *l, const struct app_worker *a)
{
    for (const struct acceptor *x = l->acceptors; x; x = x->next) {
        if (x->a == a)
            return x->ctx;
    }
    return l->ctx;
}

/* Smaller ones go first: who does not take what it was offered, or does something else now, is given more only when nobody is better off;
 * who accepts weakly only when there is nobody else. */
enum { RANK_WAITS, RANK_SLOW, RANK_QUIET, RANK_LEFT, RANK_WEAK, SLOW_US = 100000 };

static int rank_of(const struct listener *l, const struct acceptor *x)
{
    if (x->arm == SESSION_ARM_WEAK)
        return RANK_WEAK;
    switch (x->a->ops->presence ? x->a->ops->presence(l->w, x->a) : APP_HERE) {
    case APP_QUIET:
        return RANK_QUIET;
    case APP_LEFT:
        return RANK_LEFT;
    default:
        return x->n_offered && l->w->now_us - x->offered_us > SLOW_US ? RANK_SLOW : RANK_WAITS;
    }
}

/* Fewest that it has not taken yet, of the best rank; round robin among equals. */
struct app_worker *listener_pick(struct listener *l)
{
    struct acceptor *best = NULL, *x = l->next_acceptor ? l->next_acceptor : l->acceptors;
    int best_rank = 0;
    uint32_t n = 0;

    for (struct acceptor *a = l->acceptors; a; a = a->next)
        n++;
    if (n == 1)
        return x->a;
    for (; n > 0; n--, x = x->next ? x->next : l->acceptors) {
        int rank = rank_of(l, x);
        if (!best || rank < best_rank || (rank == best_rank && x->n_offered < best->n_offered)) {
            best = x;
            best_rank = rank;
        }
    }
    if (!best)
        return NULL;
    l->next_acceptor = best->next;
    return best->a;
}

bool listener_would_pick(struct listener *l, const struct app_worker *a)
{
    const struct acceptor *x = acceptor_find(l, a);

    for (const struct acceptor *o = l->acceptors; x && o; o = o->next) {
        if (o->arm == SESSION_ARM_ON && x->arm != SESSION_ARM_ON)
            return false;
    }
    return x != NULL;
}

void listener_enqueue(struct listener *l, struct session *s)
{
    s->queue_next = NULL;
    s->is_queued = true;
    *l->queue_tail = s;
    l->queue_tail = &s->queue_next;
}

static struct session *listener_dequeue(struct listener *l)
{
    struct session *s = l->queue;

    if (s) {
        l->queue = s->queue_next;
        if (!l->queue)
            l->queue_tail = &l->queue;
        s->is_queued = false;
    }
    return s;
}

void listener_unqueue(struct listener *l, struct session *s)
{
    struct session **p;

    for (p = &l->queue; *p && *p != s; p = &(*p)->queue_next)
        ;
    if (!*p)
        return;
    *p = s->queue_next;
    if (!*p)
        l->queue_tail = p;
    s->is_queued = false;
}

/* How many offers of the listener a program has not named yet; more of them, fewer new ones. */
void listener_offered(struct listener *l, const struct app_worker *a, int delta)
{
    struct acceptor *x = l ? acceptor_find(l, a) : NULL;

    if (!x || (delta < 0 && x->n_offered == 0)) /* offers from before it stopped and began again to accept are not counted */
        return;
    if (delta < 0 || x->n_offered == 0)
        x->offered_us = l->w->now_us;
    x->n_offered = (uint32_t)((int64_t)x->n_offered + delta);
}

void listener_leave(struct listener *l)
{
    if (l->n_waiting)
        l->n_waiting--;
    if (hs_unlikely(l->wait || l->relay_first))
        local_wait_go_on(l);
}

/* s waits no longer: a program has named it, or it ended. */
void listener_taken(struct worker *w, struct session *s)
{
    struct listener *l = listener_of_session(w, s->from);

    s->from = (struct svm_handle){ 0, 0 };
    if (!l) {
        s->is_queued = false; /* the listener has gone and with it its queue */
        return;
    }
    if (s->local_in_line) {
        local_wait_remove(l, s);
        return;
    }
    if (s->is_queued)
        listener_unqueue(l, s);
    listener_leave(l);
}

/* Gives a waiting session (counted in n_waiting, in no queue) to somebody who accepts, or lets it wait. Without memory for it
 * anywhere it is left without FIFOs. */
void listener_offer(struct worker *w, struct listener *l, struct session *s)
{
    struct app_worker *a = listener_pick(l);
    int err = -ENOBUFS;

    if (s->local) {
        local_offer(w, l, s, a);
        return;
    }
    s->app = NULL;
    if (a && acceptor_find(l, a)->arm == SESSION_ARM_WEAK)
        a = NULL; /* it waits here until somebody really accepts: a master process never does */
    if (a)
        err = s->has_fifos ? session_fifos_move(w, s, a, false) : session_fifos_make(w, s, a);
    if (err == 0)
        err = session_hold_add(s, a);
    if (err == 0) {
        s->app = a;
        listener_offered(l, a, 1);
        a->ops->accept(w, a, l, s);
        return;
    }
    if (!s->has_fifos && session_fifos_make(w, s, NULL) != 0)
        return;
    listener_enqueue(l, s); /* until the next worker arms */
}

/* Offers that a program has not named go to others: it accepts weakly, and another one really; it has died, or lets go of the listener. */
static void take_back_offers(struct worker *w, struct listener *l, struct app_worker *a)
{
    for (struct session_hold *h = a->holds, *next; h; h = next) {
        struct session *s = h->s;
        next = h->app_next;
        /* Cut-through it is the connecting end that waits in the listener's count. */
        if (s->state == SESSION_ACCEPTING && listener_of_session(w, s->local ? s->origin : s->from) == l)
            session_return(w, a, s);
    }
}

void session_listener_arm(struct worker *w, struct app_worker *a, struct session *ls, uint32_t ctx, enum session_arm arm)
{
    if (!ls->listener || ls->state != SESSION_LISTENING)
        return;
    listener_replicate_arm(w, ls->listener, a, ctx, arm);
    listener_arm(w, ls->listener, a, ctx, arm);
}

void listener_arm(struct worker *w, struct listener *l, struct app_worker *a, uint32_t ctx, enum session_arm arm)
{
    struct acceptor *x = acceptor_find(l, a);

    if (arm == SESSION_ARM_OFF) {
        /* What it has been offered it names or hands back itself: some of it is still on its way, or is named and accepted by now. */
        acceptor_remove(l, a);
        return;
    }
    if (!x) {
        x = calloc(1, sizeof(*x));
        if (!x)
            return; /* it is given nothing; others are */
        x->a = a;
        x->ctx = ctx;
        x->next = l->acceptors;
        l->acceptors = x;
    } else if (x->arm == SESSION_ARM_ON) {
        return;
    }
    x->arm = arm;
    if (arm == SESSION_ARM_ON) {
        for (struct acceptor *o = l->acceptors; o; o = o->next) {
            if (o->arm != SESSION_ARM_WEAK)
                continue;
            if (o->n_offered)
                take_back_offers(w, l, o->a);
            if (o->a->ops->recall)
                o->a->ops->recall(w, o->a, l->proto, o->ctx, l->handle);
        }
    }
    for (uint32_t n = l->n_waiting; n > 0 && l->queue; n--)
        listener_offer(w, l, listener_dequeue(l));
}

void listener_unarm(struct worker *w, struct listener *l, struct app_worker *a)
{
    acceptor_remove(l, a);
    take_back_offers(w, l, a);
}
