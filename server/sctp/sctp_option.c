/* sctp_option.c - socket options (RFC 6458 s8) by number: of a socket, and of its association when there is one
 *
 * A value comes whole, in the struct of linux/sctp.h; assoc ids in it are the client library's and not looked at. */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <netinet/in.h>

struct opt_call {
    struct worker *w;
    struct sctp_ep *ep;
    struct sctp_assoc *a;            /* NULL = none (yet) */
    uint8_t *val;
    uint32_t *len;                   /* get: in the caller's room, out what is used */
};
typedef int opt_fn(struct opt_call *c);

/* Both of the socket and, if there is one, of its association. */
static struct sctp_cfg *cfg_of(const struct opt_call *c) { return c->a ? &c->a->cfg : &c->ep->cfg; }

static int endpoint_at(const uint8_t *b, uint32_t room, struct ip_endpoint *out, uint32_t *used)
{
    struct sockaddr_storage sa;
    sa_family_t family;
    uint32_t n;

    if (room < sizeof(family))
        return -EINVAL;
    memcpy(&family, b, sizeof(family));
    n = family == AF_INET ? sizeof(struct sockaddr_in) : family == AF_INET6 ? sizeof(struct sockaddr_in6) : 0;
    if (n == 0 || n > room)
        return -EINVAL;
    memcpy(&sa, b, n);
    *used = n;
    return ip_endpoint_from_sockaddr((const struct sockaddr *)&sa, n, out);
}

static void put_storage(const struct opt_call *c, const struct ip_addr *ip, be16 port, void *to)
{
    struct ip_endpoint e = { *ip, port };
    struct sockaddr_storage sa;

    memset(&sa, 0, sizeof(sa));
    ip_endpoint_to_sockaddr(&e, (c->ep->s->flags & SVM_CONN_V6) && cfg_of(c)->v4_mapped, &sa);
    memcpy(to, &sa, sizeof(sa));
}

/* The path that a sockaddr_storage names; *any: it names none. */
static struct sctp_path *path_at(const struct opt_call *c, const void *at, bool *any)
{
    struct ip_endpoint e;
    uint32_t used;

    *any = true;
    if (endpoint_at(at, sizeof(struct sockaddr_storage), &e, &used) != 0 || ip_addr_is_any(&e.ip))
        return NULL;
    *any = false;
    return c->a ? sctp_path_of(c->a, &e.ip) : NULL;
}

#define IN(type) struct type v; memcpy(&v, c->val, sizeof(v))
#define OUT(v) (memcpy(c->val, &(v), sizeof(v)), *c->len = sizeof(v), 0)

static int set_rto(struct opt_call *c)
{
    IN(sctp_rtoinfo);
    struct sctp_cfg *all[] = { &c->ep->cfg, cfg_of(c) };

    for (unsigned i = 0; i < 2; i++) { /* 0 = as it was */
        uint32_t init = v.srto_initial ? v.srto_initial : all[i]->rto_initial, min = v.srto_min ? v.srto_min : all[i]->rto_min,
                 max = v.srto_max ? v.srto_max : all[i]->rto_max;
        if (min > init || init > max || max > 3600000 || min == 0)
            return -EINVAL;
        all[i]->rto_initial = init;
        all[i]->rto_min = min;
        all[i]->rto_max = max;
    }
    return 0;
}
static int get_rto(struct opt_call *c)
{
    const struct sctp_cfg *g = cfg_of(c);
    IN(sctp_rtoinfo);

    v.srto_initial = g->rto_initial;
    v.srto_min = g->rto_min;
    v.srto_max = g->rto_max;
    return OUT(v);
}

static int set_assocparams(struct opt_call *c)
{
    IN(sctp_assocparams);
    struct sctp_cfg *all[] = { &c->ep->cfg, cfg_of(c) };

    for (unsigned i = 0; i < 2; i++) {
        if (v.sasoc_asocmaxrxt)
            all[i]->assoc_max_retrans = v.sasoc_asocmaxrxt;
        if (v.sasoc_cookie_life)
            all[i]->cookie_life = v.sasoc_cookie_life;
    }
    return 0;
}
static int get_assocparams(struct opt_call *c)
{
    const struct sctp_cfg *g = cfg_of(c);
    IN(sctp_assocparams);

    v.sasoc_asocmaxrxt = g->assoc_max_retrans;
    v.sasoc_cookie_life = g->cookie_life;
    v.sasoc_number_peer_destinations = c->a ? c->a->n_paths : 0;
    v.sasoc_peer_rwnd = c->a ? c->a->peer_rwnd : 0;
    v.sasoc_local_rwnd = c->a ? sctp_rwnd(c->w, c->a) : 0;
    return OUT(v);
}

static int set_initmsg(struct opt_call *c)
{
    IN(sctp_initmsg);
    struct sctp_cfg *g = &c->ep->cfg;

    if (v.sinit_num_ostreams)
        g->n_ostreams = v.sinit_num_ostreams;
    if (v.sinit_max_instreams)
        g->max_instreams = v.sinit_max_instreams;
    if (v.sinit_max_attempts)
        g->init_max_attempts = v.sinit_max_attempts;
    if (v.sinit_max_init_timeo)
        g->init_max_timeo = v.sinit_max_init_timeo;
    return 0;
}
static int get_initmsg(struct opt_call *c)
{
    const struct sctp_cfg *g = &c->ep->cfg;
    struct sctp_initmsg v = { g->n_ostreams, g->max_instreams, g->init_max_attempts, (uint16_t)hs_min_u32(g->init_max_timeo, 65535) };

    return OUT(v);
}

static int get_status(struct opt_call *c)
{
    static const int states[] = { [SCTP_PATH_UNCONFIRMED] = SCTP_UNCONFIRMED, [SCTP_PATH_ACTIVE] = SCTP_ACTIVE, [SCTP_PATH_PF] = SCTP_PF,
                                  [SCTP_PATH_INACTIVE] = SCTP_INACTIVE };
    const struct sctp_assoc *a = c->a;
    IN(sctp_status);

    if (!a)
        return -EINVAL; /* as Linux without an association */
    v.sstat_state = a->state + 1;
    v.sstat_rwnd = a->peer_rwnd;
    v.sstat_unackdata = (uint16_t)hs_min_u32(a->n_sent_chunks, 65535);
    v.sstat_penddata = (uint16_t)hs_min_u32(a->unsent_chunks, 65535);
    v.sstat_instrms = a->n_in;
    v.sstat_outstrms = a->n_out;
    v.sstat_fragmentation_point = sctp_frag_max(a);
    put_storage(c, &a->primary->ip, a->base.rmt.port, &v.sstat_primary.spinfo_address);
    v.sstat_primary.spinfo_state = states[a->primary->state];
    v.sstat_primary.spinfo_cwnd = a->primary->cwnd;
    v.sstat_primary.spinfo_srtt = a->primary->srtt_us / SCTP_MS;
    v.sstat_primary.spinfo_rto = a->primary->rto_us / SCTP_MS;
    v.sstat_primary.spinfo_mtu = a->primary->pmtu;
    return OUT(v);
}

static int get_paddrinfo(struct opt_call *c)
{
    static const int states[] = { [SCTP_PATH_UNCONFIRMED] = SCTP_UNCONFIRMED, [SCTP_PATH_ACTIVE] = SCTP_ACTIVE, [SCTP_PATH_PF] = SCTP_PF,
                                  [SCTP_PATH_INACTIVE] = SCTP_INACTIVE };
    bool any;
    IN(sctp_paddrinfo);
    const struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_paddrinfo, spinfo_address), &any);

    if (!p)
        return -EINVAL;
    v.spinfo_state = states[p->state];
    v.spinfo_cwnd = p->cwnd;
    v.spinfo_srtt = p->srtt_us / SCTP_MS;
    v.spinfo_rto = p->rto_us / SCTP_MS;
    v.spinfo_mtu = p->pmtu;
    return OUT(v);
}

static void path_params(struct opt_call *c, struct sctp_path *p, const struct sctp_paddrparams *v)
{
    if (v->spp_hbinterval || (v->spp_flags & SPP_HB_TIME_IS_ZERO))
        p->hb_interval_ms = v->spp_flags & SPP_HB_TIME_IS_ZERO ? 0 : v->spp_hbinterval;
    if (v->spp_pathmaxrxt)
        p->max_retrans = v->spp_pathmaxrxt;
    if (v->spp_flags & SPP_HB)
        p->hb_enabled = v->spp_flags & SPP_HB_ENABLE;
    if (v->spp_flags & SPP_PMTUD)
        p->pmtud_off = v->spp_flags & SPP_PMTUD_DISABLE;
    if (p->pmtud_off && v->spp_pathmtu)
        p->pmtu = (uint16_t)v->spp_pathmtu;
    sctp_path_mtu_update(c->w, p);
    if (v->spp_flags & SPP_DSCP)
        p->dscp = v->spp_dscp & 0xfc;
    if (v->spp_flags & SPP_HB_DEMAND && c->a->state >= SCTP_S_ESTABLISHED)
        sctp_hb_now(c->w, p);
    else
        sctp_hb_start(c->w, p);
}

static int set_paddrparams(struct opt_call *c)
{
    bool any;
    IN(sctp_paddrparams);
    struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_paddrparams, spp_address), &any);
    struct sctp_cfg *all[] = { &c->ep->cfg, cfg_of(c) };

    if ((!any && !p) || (v.spp_flags & SPP_HB) == SPP_HB || (v.spp_flags & SPP_PMTUD) == SPP_PMTUD ||
        (v.spp_flags & SPP_SACKDELAY) == SPP_SACKDELAY || v.spp_sackdelay > 500 ||
        (v.spp_pathmtu && (v.spp_pathmtu < 512 || v.spp_pathmtu > 65535)) ||
        ((v.spp_flags & SPP_HB_DEMAND) && any && !c->a))
        return -EINVAL;
    if (p) {
        path_params(c, p, &v);
        return 0;
    }
    for (unsigned i = 0; c->a && i < c->a->n_paths; i++)
        path_params(c, c->a->path[i], &v);
    for (unsigned i = 0; i < 2; i++) {
        struct sctp_cfg *g = all[i];
        if (v.spp_hbinterval || (v.spp_flags & SPP_HB_TIME_IS_ZERO))
            g->hb_interval = v.spp_flags & SPP_HB_TIME_IS_ZERO ? 0 : v.spp_hbinterval;
        if (v.spp_pathmaxrxt)
            g->path_max_retrans = v.spp_pathmaxrxt;
        if (v.spp_flags & SPP_HB)
            g->hb_enabled = v.spp_flags & SPP_HB_ENABLE;
        if (v.spp_flags & SPP_PMTUD)
            g->pmtud_off = v.spp_flags & SPP_PMTUD_DISABLE;
        if (g->pmtud_off && v.spp_pathmtu)
            g->pmtu = v.spp_pathmtu;
        if (v.spp_flags & SPP_SACKDELAY_DISABLE)
            g->sack_delay = 0;
        else if (v.spp_sackdelay)
            g->sack_delay = v.spp_sackdelay;
        if (v.spp_flags & SPP_DSCP)
            g->dscp = v.spp_dscp & 0xfc;
    }
    return 0;
}
static int get_paddrparams(struct opt_call *c)
{
    const struct sctp_cfg *g = cfg_of(c);
    bool any, hb, off;
    IN(sctp_paddrparams);
    const struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_paddrparams, spp_address), &any);

    if (!any && !p)
        return -EINVAL;
    hb = p ? p->hb_enabled : g->hb_enabled;
    off = p ? p->pmtud_off : g->pmtud_off;
    v.spp_hbinterval = p ? p->hb_interval_ms : g->hb_interval;
    v.spp_pathmaxrxt = p ? p->max_retrans : g->path_max_retrans;
    v.spp_pathmtu = p ? p->pmtu : g->pmtu;
    v.spp_sackdelay = g->sack_delay;
    v.spp_flags = (hb ? SPP_HB_ENABLE : SPP_HB_DISABLE) | (off ? SPP_PMTUD_DISABLE : SPP_PMTUD_ENABLE) |
                  (g->sack_delay ? SPP_SACKDELAY_ENABLE : SPP_SACKDELAY_DISABLE);
    v.spp_dscp = p ? p->dscp : g->dscp;
    return OUT(v);
}

static int set_primary(struct opt_call *c)
{
    bool any;
    struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_prim, ssp_addr), &any);

    if (!p || p->state == SCTP_PATH_UNCONFIRMED)
        return -EINVAL;
    c->a->primary = p;
    return 0;
}
static int get_primary(struct opt_call *c)
{
    IN(sctp_prim);

    if (!c->a)
        return -EINVAL;
    put_storage(c, &c->a->primary->ip, c->a->base.rmt.port, &v.ssp_addr);
    return OUT(v);
}

static int set_sack(struct opt_call *c)
{
    IN(sctp_sack_info);
    struct sctp_cfg *all[] = { &c->ep->cfg, cfg_of(c) };

    if (v.sack_delay > 500)
        return -EINVAL;
    for (unsigned i = 0; i < 2; i++) {
        if (v.sack_delay)
            all[i]->sack_delay = v.sack_delay;
        if (v.sack_freq)
            all[i]->sack_freq = v.sack_freq;
        if (v.sack_freq == 1)
            all[i]->sack_delay = 0;
    }
    return 0;
}
static int get_sack(struct opt_call *c)
{
    IN(sctp_sack_info);

    v.sack_delay = cfg_of(c)->sack_delay;
    v.sack_freq = cfg_of(c)->sack_delay ? cfg_of(c)->sack_freq : 1;
    return OUT(v);
}

static int set_prinfo(struct opt_call *c)
{
    IN(sctp_default_prinfo);

    if (v.pr_policy & ~SCTP_PR_SCTP_MASK)
        return -EINVAL;
    if (v.pr_policy == SCTP_PR_SCTP_PRIO)
        return -EOPNOTSUPP; /* not served: hoststack-compliance(7) */
    c->ep->cfg.pr = cfg_of(c)->pr = v;
    return 0;
}
static int get_prinfo(struct opt_call *c)
{
    struct sctp_default_prinfo v = cfg_of(c)->pr;

    return OUT(v);
}

/* ---- whole numbers: plain, or in an sctp_assoc_value ---- */

static int set_number(struct opt_call *c, uint32_t v, uint16_t opt)
{
    struct sctp_cfg *all[] = { &c->ep->cfg, cfg_of(c) };

    if ((opt == SCTP_MAXSEG && v && (v < 16 || v > 65535)) || (opt == SCTP_PR_SUPPORTED && v > 1) ||
        (opt == SCTP_PARTIAL_DELIVERY_POINT && v > session_rx_max(c->ep->s) && c->ep->s->has_fifos))
        return -EINVAL;
    for (unsigned i = 0; i < 2; i++) {
        struct sctp_cfg *g = all[i];
        switch (opt) {
        case SCTP_NODELAY: g->nodelay = v != 0; break;
        case SCTP_AUTOCLOSE: g->autoclose_s = v; break;
        case SCTP_DISABLE_FRAGMENTS: g->no_fragments = v != 0; break;
        case SCTP_I_WANT_MAPPED_V4_ADDR: g->v4_mapped = v != 0; break;
        case SCTP_MAXSEG: g->maxseg = v; break;
        case SCTP_CONTEXT: g->context = v; break;
        case SCTP_MAX_BURST: g->max_burst = v; break;
        case SCTP_PARTIAL_DELIVERY_POINT: g->pd_point = v; break;
        case SCTP_ADAPTATION_LAYER: g->adaptation = v; break;
        case SCTP_PR_SUPPORTED: g->features = v ? g->features | SCTP_F_PR : g->features & ~(uint32_t)SCTP_F_PR; break;
        case SCTP_EXPOSE_POTENTIALLY_FAILED_STATE: g->expose_pf = (uint8_t)v; break;
        default: return -ENOPROTOOPT;
        }
    }
    return 0;
}
static uint32_t get_number(const struct opt_call *c, uint16_t opt)
{
    const struct sctp_cfg *g = cfg_of(c);

    switch (opt) {
    case SCTP_NODELAY: return g->nodelay;
    case SCTP_AUTOCLOSE: return g->autoclose_s;
    case SCTP_DISABLE_FRAGMENTS: return g->no_fragments;
    case SCTP_I_WANT_MAPPED_V4_ADDR: return g->v4_mapped;
    case SCTP_MAXSEG: return g->maxseg;
    case SCTP_CONTEXT: return g->context;
    case SCTP_MAX_BURST: return g->max_burst;
    case SCTP_PARTIAL_DELIVERY_POINT: return g->pd_point;
    case SCTP_ADAPTATION_LAYER: return g->adaptation;
    case SCTP_PR_SUPPORTED: return c->a && c->a->state >= SCTP_S_ESTABLISHED ? sctp_has(c->a, SCTP_F_PR) : !!(g->features & SCTP_F_PR);
    default: return g->expose_pf;
    }
}

/* ---- notifications ---- */

static int set_events(struct opt_call *c)
{
    uint16_t bits = 0;

    for (uint32_t i = 1; i < *c->len && i < 16; i++) /* a byte each, in the order of their numbers; the first is SCTP_SNDRCV */
        if (c->val[i])
            bits |= (uint16_t)(1u << i);
    c->ep->cfg.events = bits;
    return 0;
}
static int set_event(struct opt_call *c)
{
    IN(sctp_event);

    if (v.se_type <= SCTP_SN_TYPE_BASE || v.se_type > SCTP_SN_TYPE_MAX)
        return -EINVAL;
    uint16_t bit = (uint16_t)(1u << (v.se_type - SCTP_SN_TYPE_BASE));
    c->ep->cfg.events = v.se_on ? c->ep->cfg.events | bit : c->ep->cfg.events & (uint16_t)~bit;
    if (v.se_type == SCTP_SENDER_DRY_EVENT && v.se_on && c->a && !c->a->sent_head && !c->a->unsent_chunks &&
        c->a->state >= SCTP_S_ESTABLISHED)
        sctp_notify_dry(c->w, c->a); /* RFC 6458 s6.1.9: at once, when it is so already */
    return 0;
}

/* ---- addresses ---- */

static int addrs_at(const struct opt_call *c, struct ip_addr *out, be16 *port)
{
    int n = 0;
    uint32_t off = 0, used;

    while (off < *c->len) {
        struct ip_endpoint e;
        if (n == SCTP_ADDRS || endpoint_at(c->val + off, *c->len - off, &e, &used) != 0)
            return -EINVAL;
        out[n++] = e.ip;
        *port = e.port;
        off += used;
    }
    return n;
}

/* Before the association: afterwards it needs ASCONF (RFC 5061), which is not served. */
static int set_bindx_add(struct opt_call *c)
{
    struct ip_addr a[SCTP_ADDRS];
    struct sctp_cfg *g = &c->ep->cfg;
    be16 port;
    int n = addrs_at(c, a, &port);

    if (n < 0 || c->a)
        return n < 0 ? n : -EOPNOTSUPP;
    if (g->n_lcl == 0 && !ip_addr_is_any(&c->ep->s->lcl.ip))
        g->lcl[g->n_lcl++] = c->ep->s->lcl.ip;
    for (int i = 0; i < n; i++) {
        if (ip_addr_is_any(&a[i]) || !ip_is_local_addr(c->w, c->ep->s->fib, &a[i]))
            return -EADDRNOTAVAIL;
        bool is_there = false;
        for (unsigned k = 0; k < g->n_lcl; k++)
            is_there |= ip_addr_eq(&g->lcl[k], &a[i]);
        if (is_there)
            continue;
        if (g->n_lcl == SCTP_ADDRS)
            return -ENOMEM;
        g->lcl[g->n_lcl++] = a[i];
    }
    return 0;
}
static int set_bindx_rem(struct opt_call *c)
{
    struct ip_addr a[SCTP_ADDRS];
    struct sctp_cfg *g = &c->ep->cfg;
    be16 port;
    int n = addrs_at(c, a, &port);

    if (n < 0 || c->a)
        return n < 0 ? n : -EOPNOTSUPP;
    for (int i = 0; i < n; i++) {
        unsigned k = 0;
        while (k < g->n_lcl && !ip_addr_eq(&g->lcl[k], &a[i]))
            k++;
        if (k == g->n_lcl)
            return -EINVAL;
        if (g->n_lcl == 1) /* RFC 6458 s9.1: never the last one */
            return -EBUSY;
        g->lcl[k] = g->lcl[--g->n_lcl];
    }
    return 0;
}
static int set_connectx(struct opt_call *c)
{
    struct ip_addr a[SCTP_ADDRS];
    be16 port;
    int n = addrs_at(c, a, &port);

    if (n <= 0)
        return n < 0 ? n : -EINVAL;
    memcpy(c->ep->cfg.peers, a, sizeof(a[0]) * (unsigned)n);
    c->ep->cfg.n_peers = (uint8_t)n;
    return 0;
}

static int put_addrs(struct opt_call *c, const struct ip_addr *ip, int n, be16 port)
{
    uint32_t room = *c->len, at = offsetof(struct sctp_getaddrs, addrs), done = 0;
    bool mapped = (c->ep->s->flags & SVM_CONN_V6) && cfg_of(c)->v4_mapped;

    for (int i = 0; i < n; i++) {
        struct ip_endpoint e = { ip[i], port };
        struct sockaddr_storage sa;
        uint32_t len = ip_endpoint_to_sockaddr(&e, mapped, &sa);
        if (at + len > room || at + len > SVM_SCTP_OPT_MAX)
            return -ENOMEM;
        memcpy(c->val + at, &sa, len);
        at += len;
        done++;
    }
    memcpy(c->val + offsetof(struct sctp_getaddrs, addr_num), &done, sizeof(done));
    *c->len = at;
    return 0;
}
static int get_peers(struct opt_call *c)
{
    struct ip_addr ip[SCTP_ADDRS];

    if (!c->a)
        return -EINVAL;
    for (unsigned i = 0; i < c->a->n_paths; i++)
        ip[i] = c->a->path[i]->ip;
    return put_addrs(c, ip, c->a->n_paths, c->a->base.rmt.port);
}
static int get_locals(struct opt_call *c)
{
    struct ip_addr ip[SCTP_ADDRS], bound = session_bound_addr(c->ep->s);
    int n = sctp_lcl_addrs(c->w, cfg_of(c), c->a ? &c->a->base.lcl.ip : &bound, c->ep->s->fib, true, ip, SCTP_ADDRS);

    return put_addrs(c, ip, n, c->ep->s->lcl.port);
}

static int get_stats(struct opt_call *c)
{
    const struct sctp_assoc *a = c->a;
    IN(sctp_assoc_stats);

    if (!a)
        return -EINVAL;
    put_storage(c, &a->primary->ip, a->base.rmt.port, &v.sas_obs_rto_ipaddr);
    v.sas_maxrto = a->max_rto_us / SCTP_MS;
    v.sas_isacks = a->n_rx_sacks;
    v.sas_osacks = a->n_tx_sacks;
    v.sas_opackets = a->n_tx_packets;
    v.sas_ipackets = a->n_rx_packets;
    v.sas_rtxchunks = a->n_rtx;
    v.sas_idupchunks = a->n_dup_rx;
    v.sas_gapcnt = a->n_gaps;
    v.sas_oodchunks = a->n_tx_data;
    v.sas_iodchunks = a->n_rx_data;
    return OUT(v);
}

static const struct { uint16_t opt; uint16_t min; opt_fn *set, *get; } table[] = {
    { SCTP_RTOINFO, sizeof(struct sctp_rtoinfo), set_rto, get_rto },
    { SCTP_ASSOCINFO, sizeof(struct sctp_assocparams), set_assocparams, get_assocparams },
    { SCTP_INITMSG, sizeof(struct sctp_initmsg), set_initmsg, get_initmsg },
    { SCTP_STATUS, sizeof(struct sctp_status), NULL, get_status },
    { SCTP_GET_PEER_ADDR_INFO, sizeof(struct sctp_paddrinfo), NULL, get_paddrinfo },
    { SCTP_PEER_ADDR_PARAMS, sizeof(struct sctp_paddrparams), set_paddrparams, get_paddrparams },
    { SCTP_PRIMARY_ADDR, sizeof(struct sctp_prim), set_primary, get_primary },
    { SCTP_DELAYED_SACK, sizeof(struct sctp_sack_info), set_sack, get_sack },
    { SCTP_DEFAULT_PRINFO, sizeof(struct sctp_default_prinfo), set_prinfo, get_prinfo },
    { SCTP_EVENTS, 1, set_events, NULL },
    { SCTP_EVENT, sizeof(struct sctp_event), set_event, NULL },
    { SCTP_SOCKOPT_BINDX_ADD, sizeof(struct sockaddr_in), set_bindx_add, NULL },
    { SCTP_SOCKOPT_BINDX_REM, sizeof(struct sockaddr_in), set_bindx_rem, NULL },
    { SCTP_SOCKOPT_CONNECTX, sizeof(struct sockaddr_in), set_connectx, NULL },
    { SCTP_GET_PEER_ADDRS, sizeof(struct sctp_getaddrs), NULL, get_peers },
    { SCTP_GET_LOCAL_ADDRS, sizeof(struct sctp_getaddrs), NULL, get_locals },
    { SCTP_GET_ASSOC_STATS, sizeof(struct sctp_assoc_stats), NULL, get_stats },
};
static const uint16_t numbers[] = {
    SCTP_NODELAY, SCTP_AUTOCLOSE, SCTP_DISABLE_FRAGMENTS, SCTP_I_WANT_MAPPED_V4_ADDR, SCTP_MAXSEG, SCTP_CONTEXT, SCTP_MAX_BURST,
    SCTP_PARTIAL_DELIVERY_POINT, SCTP_ADAPTATION_LAYER, SCTP_PR_SUPPORTED, SCTP_EXPOSE_POTENTIALLY_FAILED_STATE,
};

static int number(struct opt_call *c, bool set, uint16_t opt)
{
    struct sctp_assoc_value av = { 0 };
    bool is_av = *c->len >= sizeof(av);
    uint32_t v;

    if (*c->len < sizeof(v))
        return -EINVAL;
    if (is_av)
        memcpy(&av, c->val, sizeof(av));
    else
        memcpy(&av.assoc_value, c->val, sizeof(av.assoc_value));
    if (set)
        return set_number(c, av.assoc_value, opt);
    v = av.assoc_value = get_number(c, opt);
    *c->len = is_av ? sizeof(av) : sizeof(v);
    memcpy(c->val, is_av ? (void *)&av : (void *)&v, *c->len);
    return 0;
}

int sctp_option(struct worker *w, struct session *s, bool set, uint16_t opt, void *val, uint32_t *len)
{
    struct sctp_ep *ep = sctp_ep_get(w, s);
    struct opt_call c = { w, ep, ep ? ep->assocs : NULL, val, len };

    if (!ep)
        return -ENOMEM;
    for (unsigned i = 0; i < HS_ARRAY_LEN(numbers); i++)
        if (numbers[i] == opt)
            return number(&c, set, opt);
    for (unsigned i = 0; i < HS_ARRAY_LEN(table); i++) {
        if (table[i].opt != opt)
            continue;
        opt_fn *fn = set ? table[i].set : table[i].get;
        if (!fn)
            return -ENOPROTOOPT;
        return *len < table[i].min ? -EINVAL : fn(&c);
    }
    return -ENOPROTOOPT;
}
