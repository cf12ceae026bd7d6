/* sctp_assoc.c - endpoints and associations: made, found, listed, freed */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>
#include "common/siphash.h"
#include "server/ip/interface.h"

void sctp_cfg_init(struct sctp_cfg *cfg)
{
    *cfg = (struct sctp_cfg){
        /* RFC 9260 s16, but for RTO.Min and the delay of SACKs, where we are with Linux's options, not below them */
        .rto_initial = 1000, .rto_min = 1000, .rto_max = 60000, .cookie_life = 60000, .hb_interval = 30000, .hb_enabled = true,
        .assoc_max_retrans = 10, .path_max_retrans = 5, .pf_threshold = 0, .ps_threshold = SCTP_NO_SWITCH,
        .init_max_attempts = 8, .init_max_timeo = 60000,
        .sack_delay = 200, .sack_freq = 2, .n_ostreams = 10, .max_instreams = 65535, .max_burst = SCTP_BURST,
        .auth = { .n_hmacs = SCTP_HMACS, .hmacs = { SCTP_HMAC_SHA256, SCTP_HMAC_SHA1 } },
        .v4_mapped = true, .features = SCTP_F_PR | SCTP_F_ECN,
    };
}

struct sctp_ep *sctp_ep_get(struct worker *w, struct session *s)
{
    struct sctp_ep *ep = session_transport_data(s);

    (void)w;
    if (ep)
        return ep;
    ep = session_rare_get(s) ? calloc(1, sizeof(*ep)) : NULL;
    if (!ep)
        return NULL;
    ep->kind = SCTP_KIND_EP;
    ep->s = s;
    ep->ready_tail = &ep->ready;
    sctp_cfg_init(&ep->cfg);
    ep->cfg.v6only = s->flags & SVM_BIND_V6ONLY;
    s->rare->transport_data = ep;
    return ep;
}

static void ready_free(struct sctp_ep *ep)
{
    while (ep->ready) {
        struct sctp_ready *r = ep->ready;
        ep->ready = r->next;
        while (r->frags) {
            struct sctp_frag *f = r->frags;
            r->frags = f->next;
            free(f);
        }
        free(r);
    }
    ep->ready_tail = &ep->ready;
}

void sctp_ep_free(struct worker *w, struct sctp_ep *ep)
{
    while (ep->assocs)
        sctp_assoc_detach(ep->assocs);
    ready_free(ep);
    for (unsigned i = 0; i < SCTP_ADDRS; i++)
        session_endpoint_release(w, ep->also[i]);
    sctp_keys_put(&ep->cfg.auth);
    free(ep);
}

/* ---- lookup by path ---- */

static uint32_t path_hash(const struct worker *w, be16 lport, const struct ip_addr *ip, be16 rport, uint16_t fib)
{
    struct { struct ip_addr ip; uint16_t lport, rport; uint32_t fib; } key = { *ip, lport.raw, rport.raw, fib };

    static_assert(sizeof(key) == 24, "no padding goes into the hash");
    return (uint32_t)siphash24(w->secret, &key, sizeof(key));
}

static void table_grow(struct worker *w, struct sctp_worker *sw)
{
    uint32_t size = sw->table ? (sw->table_mask + 1) * 2 : 256;
    struct sctp_path **t = calloc(size, sizeof(*t));

    if (!t) /* longer chains, nothing else; none at all: sctp_worker_init() refuses */
        return;
    for (uint32_t i = 0; sw->table && i <= sw->table_mask; i++) {
        for (struct sctp_path *p = sw->table[i], *next; p; p = next) {
            next = p->hash_next;
            uint32_t h = path_hash(w, p->a->base.lcl.port, &p->ip, p->a->base.rmt.port, p->a->base.fib) & (size - 1);
            p->hash_next = t[h];
            t[h] = p;
        }
    }
    free(sw->table);
    sw->table = t;
    sw->table_mask = size - 1;
}


int sctp_path_hash_add(struct worker *w, struct sctp_path *p)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    if (!sw->table || sw->n_paths > sw->table_mask)
        table_grow(w, sw);
    if (!sw->table)
        return -ENOMEM;
    struct sctp_path **at = &sw->table[path_hash(w, p->a->base.lcl.port, &p->ip, p->a->base.rmt.port, p->a->base.fib) & sw->table_mask];
    p->hash_next = *at;
    *at = p;
    p->is_hashed = true;
    sw->n_paths++;
    return 0;
}

void sctp_path_hash_del(struct worker *w, struct sctp_path *p)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    if (!p->is_hashed)
        return;
    uint32_t h = path_hash(w, p->a->base.lcl.port, &p->ip, p->a->base.rmt.port, p->a->base.fib) & sw->table_mask;
    for (struct sctp_path **at = &sw->table[h]; *at; at = &(*at)->hash_next) {
        if (*at == p) {
            *at = p->hash_next;
            break;
        }
    }
    p->is_hashed = false;
    sw->n_paths--;
}

/* May `ip` be one of the local addresses of a socket bound to `bound` (any = all), or by bindx to cfg's list? */
bool sctp_cfg_has_lcl(struct worker *w, const struct sctp_cfg *cfg, const struct ip_addr *bound, uint16_t fib, const struct ip_addr *ip)
{
    (void)w;
    (void)fib;
    for (unsigned i = 0; i < cfg->n_lcl; i++)
        if (ip_addr_eq(&cfg->lcl[i], ip))
            return true;
    if (cfg->n_lcl)
        return false;
    if (!ip_addr_is_any(bound))
        return ip_addr_eq(bound, ip);
    return ip_addr_is_v4(bound) == ip_addr_is_v4(ip) || (!ip_addr_is_v4(bound) && !cfg->v6only);
}


bool sctp_lcl_ok(struct worker *w, const struct sctp_assoc *a, const struct ip_addr *ip)
{
    return ip_addr_eq(ip, &a->lcl_ip) || sctp_asconf_has(a, ip) || sctp_cfg_has_lcl(w, &a->cfg, &a->base.lcl.ip, a->base.fib, ip);
}

/* The local addresses to tell a peer of: no loopback ones to the outside (s5.1.2). Returns how many. */
int sctp_lcl_addrs(struct worker *w, const struct sctp_cfg *cfg, const struct ip_addr *bound, uint16_t fib, bool global_only,
                   struct ip_addr *out, int max)
{
    int n = 0;

    if (cfg->n_lcl) {
        for (unsigned i = 0; i < cfg->n_lcl && n < max; i++)
            if (!ip_addr_is_loopback(&cfg->lcl[i]))
                out[n++] = cfg->lcl[i];
        return n;
    }
    if (!ip_addr_is_any(bound)) {
        out[n++] = *bound;
        return n;
    }
    const struct interfaces *all = w->stack->interfaces;
    for (unsigned i = 0; i < all->n; i++) {
        const struct interface *ifc = all->ifc[i];
        for (unsigned k = 0; k < ifc->n_addrs && ifc->fib == fib && n < max; k++) {
            const struct interface_addr *x = &ifc->addr[k];
            if (interface_addr_state_get(x) == INTERFACE_ADDR_PREFERRED && sctp_cfg_has_lcl(w, cfg, bound, fib, &x->ip) &&
                !(global_only && ip_addr_is_link_local(&x->ip)))
                out[n++] = x->ip;
        }
    }
    return n;
}

struct sctp_path *sctp_find(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t fib)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    if (!sw->table)
        return NULL;
    for (struct sctp_path *p = sw->table[path_hash(w, lcl->port, &rmt->ip, rmt->port, fib) & sw->table_mask]; p; p = p->hash_next) {
        const struct sctp_assoc *a = p->a;
        if (ip_addr_eq(&p->ip, &rmt->ip) && a->base.lcl.port.raw == lcl->port.raw && a->base.rmt.port.raw == rmt->port.raw &&
            a->base.fib == fib && sctp_lcl_ok(w, a, &lcl->ip))
            return p;
    }
    return NULL;
}

/* ---- associations ---- */

struct sctp_assoc *sctp_assoc_by_id(struct worker *w, uint32_t id)
{
    struct sctp_worker *sw = sctp_worker_of(w);
    struct sctp_assoc *a = sw->by_id[id % HS_ARRAY_LEN(sw->by_id)];

    while (a && a->id != id)
        a = a->id_next;
    return a;
}

static void id_give(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    /* Numbers 0 to 2 have a meaning of their own (SCTP_FUTURE_ASSOC …). */
    do {
        sw->last_id = (sw->last_id + 1) & 0x7fffffff;
        if (sw->last_id < 3)
            sw->last_id = 3;
    } while (sctp_assoc_by_id(w, sw->last_id));
    a->id = sw->last_id;
    a->id_next = sw->by_id[a->id % HS_ARRAY_LEN(sw->by_id)];
    sw->by_id[a->id % HS_ARRAY_LEN(sw->by_id)] = a;
}

uint32_t sctp_tag_new(struct worker *w)
{
    uint32_t tag;

    do {
        tag = (uint32_t)worker_random(w);
    } while (tag == 0);
    return tag;
}

struct sctp_assoc *sctp_assoc_new(struct worker *w, const struct sctp_cfg *cfg, const struct ip_endpoint *lcl, uint16_t fib)
{
    struct sctp_worker *sw = sctp_worker_of(w);
    struct sctp_assoc *a = calloc(1, sizeof(*a));

    if (!a)
        return NULL;
    a->kind = SCTP_KIND_ASSOC;
    a->base.proto = SVM_PROTO_SCTP;
    a->base.fib = fib;
    a->base.lcl = *lcl;
    a->lcl_ip = lcl->ip;
    sctp_cfg_copy(&a->cfg, cfg);
    a->map_words = SCTP_TSN_WORDS_MIN;
    a->map = calloc(a->map_words, sizeof(*a->map));
    if (!a->map) {
        sctp_keys_put(&a->cfg.auth);
        free(a);
        return NULL;
    }
    a->my_tag = sctp_tag_new(w);
    a->my_init_tsn = (uint32_t)worker_random(w);
    a->next_tsn = a->my_init_tsn;
    a->cum_acked = a->my_init_tsn - 1;
    a->adv_peer_ack = a->cum_acked;
    a->begun_us = w->now_us;
    a->features = 0;
    id_give(w, a);
    sctp_timers_init(a);
    a->all_next = sw->all;
    a->all_pprev = &sw->all;
    if (a->all_next)
        a->all_next->all_pprev = &a->all_next;
    sw->all = a;
    sw->n_assocs++;
    return a;
}

void sctp_assoc_attach(struct sctp_assoc *a, struct sctp_ep *ep)
{
    a->ep = ep;
    a->ep_next = ep->assocs;
    a->ep_pprev = &ep->assocs;
    if (a->ep_next)
        a->ep_next->ep_pprev = &a->ep_next;
    ep->assocs = a;
}

void sctp_assoc_detach(struct sctp_assoc *a)
{
    struct sctp_ep *ep = a->ep;

    if (!ep)
        return;
    *a->ep_pprev = a->ep_next;
    if (a->ep_next)
        a->ep_next->ep_pprev = a->ep_pprev;
    if (ep->partial == a)
        ep->partial = NULL;
    a->ep = NULL;
}

int sctp_streams_alloc(struct sctp_assoc *a, uint16_t n_out, uint16_t n_in)
{
    struct sctp_out_stream *out = calloc(n_out, sizeof(*out));
    struct sctp_in_stream **in = calloc(((uint32_t)n_in + SCTP_STREAM_PAGE - 1) / SCTP_STREAM_PAGE, sizeof(*in));

    if (!out || !in) {
        free(out);
        free(in);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < n_out; i++)
        out[i].sid = (uint16_t)i;
    free(a->out);
    free(a->in_page);
    a->out = out;
    a->in_page = in;
    a->n_out = n_out;
    a->n_in = n_in;
    a->pass = 0;
    return 0;
}

static void touched_remove(struct worker *w, struct sctp_assoc *a)
{
    for (struct sctp_assoc **p = &sctp_worker_of(w)->touched; *p; p = &(*p)->touched_next) {
        if (*p == a) {
            *p = a->touched_next;
            return;
        }
    }
}

void sctp_assoc_free(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    if (a->is_touched)
        touched_remove(w, a);
    sctp_assoc_detach(a);
    session_lookup_del(w, &a->base);
    sctp_timers_stop(w, a);
    sctp_queue_drop_all(w, a, false);
    sctp_reasm_free(a);
    while (a->n_paths)
        sctp_path_del(w, a->path[0]);
    for (struct sctp_assoc **p = &sw->by_id[a->id % HS_ARRAY_LEN(sw->by_id)]; *p; p = &(*p)->id_next) {
        if (*p == a) {
            *p = a->id_next;
            break;
        }
    }
    *a->all_pprev = a->all_next;
    if (a->all_next)
        a->all_next->all_pprev = a->all_pprev;
    sw->n_assocs--;
    sctp_reconf_drop(w, a);
    sctp_asconf_end(w, a);
    sctp_keys_put(&a->cfg.auth);
    free(a->auth);
    free(a->cookie);
    free(a->out);
    free(a->in_page);
    free(a->map);
    free(a);
}

/* ---- associations that have to say something at the end of this batch ---- */

void sctp_touch(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    if (a->is_touched)
        return;
    a->is_touched = true;
    a->touched_next = sw->touched;
    sw->touched = a;
}

void sctp_touched_run(struct worker *w)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    while (sw->touched) {
        struct sctp_assoc *a = sw->touched;
        sw->touched = a->touched_next;
        a->is_touched = false;
        sctp_output(w, a);
    }
}

/* Edges that may be taken (s4, figure 3); any state may go to CLOSED. */
static const uint8_t edges[SCTP_S_MAX] = {
    [SCTP_S_CLOSED] = 1u << SCTP_S_COOKIE_WAIT | 1u << SCTP_S_ESTABLISHED,
    [SCTP_S_COOKIE_WAIT] = 1u << SCTP_S_COOKIE_ECHOED | 1u << SCTP_S_ESTABLISHED | 1u << SCTP_S_COOKIE_WAIT,
    [SCTP_S_COOKIE_ECHOED] = 1u << SCTP_S_ESTABLISHED | 1u << SCTP_S_COOKIE_WAIT, /* a stale cookie begins anew */
    [SCTP_S_ESTABLISHED] = 1u << SCTP_S_SHUTDOWN_PENDING | 1u << SCTP_S_SHUTDOWN_RECEIVED | 1u << SCTP_S_ESTABLISHED |
                           1u << SCTP_S_SHUTDOWN_ACK_SENT,
    [SCTP_S_SHUTDOWN_PENDING] = 1u << SCTP_S_SHUTDOWN_SENT | 1u << SCTP_S_SHUTDOWN_RECEIVED,
    [SCTP_S_SHUTDOWN_SENT] = 1u << SCTP_S_SHUTDOWN_ACK_SENT,
    [SCTP_S_SHUTDOWN_RECEIVED] = 1u << SCTP_S_SHUTDOWN_ACK_SENT | 1u << SCTP_S_ESTABLISHED,
    [SCTP_S_SHUTDOWN_ACK_SENT] = 0,
};

void sctp_state_set(struct worker *w, struct sctp_assoc *a, enum sctp_state to)
{
    (void)w;
    assert(to == SCTP_S_CLOSED || edges[a->state] & (1u << to));
    a->state = (uint8_t)to;
}
