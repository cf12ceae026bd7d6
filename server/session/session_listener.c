/* session_listener.c - listeners and bound datagram endpoints of this worker */
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
    l->wait_timer = l->queue_timer = l->tend_timer = (struct timer_node){ 0 };
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
        .is_internal = s->app->ops->is_internal, .is_free = s->endpoint && s->endpoint->is_free,
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
    timer_stop(&l->tend_timer, &w->timers);
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
        if (p == 0 || ((p < EXACT || l->is_free) && !here))
            continue; /* an address that is not ours: only who is bound to just that, and has been when it was */
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
