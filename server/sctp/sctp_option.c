/* sctp_option.c - socket options (RFC 6458 s8) by number: of a socket, and of its association when there is one
 *
 * A value comes whole, in the struct of linux/sctp.h; assoc ids in it are the client library's and not looked at. */
#include "server/sctp/sctp_option.h"

#include <errno.h>
#include <netinet/in.h>

enum { RTO_LIMIT_MS = 3600000 };

int sctp_opt_endpoint(const uint8_t *b, uint32_t room, struct ip_endpoint *out, uint32_t *used)
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

void sctp_opt_put_storage(const struct sctp_opt_call *c, const struct ip_addr *ip, be16 port, void *to)
{
    struct ip_endpoint e = { *ip, port };
    struct sockaddr_storage sa;

    memset(&sa, 0, sizeof(sa));
    ip_endpoint_to_sockaddr(&e, (c->ep->s->flags & SVM_CONN_V6) && sctp_opt_cfg(c)->v4_mapped, &sa);
    memcpy(to, &sa, sizeof(sa));
}

static int set_rto(struct sctp_opt_call *c)
{
    IN(sctp_rtoinfo);
    struct sctp_cfg *all[] = { &c->ep->cfg, sctp_opt_cfg(c) };

    for (unsigned i = 0; i < 2; i++) { /* 0 = as it was; as Linux, the first one need not lie between the others (RFC 9260 s6.3.1 C1) */
        uint32_t init = v.srto_initial ? v.srto_initial : all[i]->rto_initial, min = v.srto_min ? v.srto_min : all[i]->rto_min,
                 max = v.srto_max ? v.srto_max : all[i]->rto_max;
        if (min > max || max > RTO_LIMIT_MS || init > RTO_LIMIT_MS)
            return -EINVAL;
        all[i]->rto_initial = init;
        all[i]->rto_min = min;
        all[i]->rto_max = max;
    }
    return 0;
}
static int get_rto(struct sctp_opt_call *c)
{
    const struct sctp_cfg *g = sctp_opt_cfg(c);
    IN(sctp_rtoinfo);

    v.srto_initial = g->rto_initial;
    v.srto_min = g->rto_min;
    v.srto_max = g->rto_max;
    return OUT(v);
}

static int set_assocparams(struct sctp_opt_call *c)
{
    IN(sctp_assocparams);
    struct sctp_cfg *all[] = { &c->ep->cfg, sctp_opt_cfg(c) };
    uint32_t sum = 0;

    for (unsigned i = 0; c->a && i < c->a->n_paths; i++)
        sum += c->a->path[i]->max_retrans;
    if (c->a && c->a->n_paths > 1 && v.sasoc_asocmaxrxt > sum)
        return -EINVAL; /* RFC 6458 s8.1.2: it would outlive all its addresses */
    for (unsigned i = 0; i < 2; i++) {
        if (v.sasoc_asocmaxrxt)
            all[i]->assoc_max_retrans = v.sasoc_asocmaxrxt;
        if (v.sasoc_cookie_life)
            all[i]->cookie_life = v.sasoc_cookie_life;
    }
    return 0;
}
static int get_assocparams(struct sctp_opt_call *c)
{
    const struct sctp_cfg *g = sctp_opt_cfg(c);
    IN(sctp_assocparams);

    v.sasoc_asocmaxrxt = g->assoc_max_retrans;
    v.sasoc_cookie_life = g->cookie_life;
    v.sasoc_number_peer_destinations = c->a ? c->a->n_paths : 0;
    v.sasoc_peer_rwnd = c->a ? c->a->peer_rwnd : 0;
    v.sasoc_local_rwnd = c->a ? sctp_rwnd(c->w, c->a) : 0;
    return OUT(v);
}

static int set_initmsg(struct sctp_opt_call *c)
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
static int get_initmsg(struct sctp_opt_call *c)
{
    const struct sctp_cfg *g = &c->ep->cfg;
    struct sctp_initmsg v = { g->n_ostreams, g->max_instreams, g->init_max_attempts, (uint16_t)hs_min_u32(g->init_max_timeo, 65535) };

    return OUT(v);
}

static int get_status(struct sctp_opt_call *c)
{
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
    sctp_opt_put_storage(c, &a->primary->ip, a->base.rmt.port, &v.sstat_primary.spinfo_address);
    v.sstat_primary.spinfo_state = sctp_opt_path_state(a->primary);
    v.sstat_primary.spinfo_cwnd = a->primary->cwnd;
    v.sstat_primary.spinfo_srtt = a->primary->srtt_us / SCTP_MS;
    v.sstat_primary.spinfo_rto = a->primary->rto_us / SCTP_MS;
    v.sstat_primary.spinfo_mtu = a->primary->pmtu;
    return OUT(v);
}

static int set_sack(struct sctp_opt_call *c)
{
    IN(sctp_sack_info);
    struct sctp_cfg *all[] = { &c->ep->cfg, sctp_opt_cfg(c) };

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
static int get_sack(struct sctp_opt_call *c)
{
    IN(sctp_sack_info);

    v.sack_delay = sctp_opt_cfg(c)->sack_delay;
    v.sack_freq = sctp_opt_cfg(c)->sack_delay ? sctp_opt_cfg(c)->sack_freq : 1;
    return OUT(v);
}

static int set_prinfo(struct sctp_opt_call *c)
{
    IN(sctp_default_prinfo);

    if (v.pr_policy & ~SCTP_PR_SCTP_MASK)
        return -EINVAL;
    c->ep->cfg.pr = sctp_opt_cfg(c)->pr = v;
    return 0;
}
static int get_prinfo(struct sctp_opt_call *c)
{
    struct sctp_default_prinfo v = sctp_opt_cfg(c)->pr;

    return OUT(v);
}

/* ---- whole numbers: plain, or in an sctp_assoc_value ---- */

/* The extension that an option switches, or 0. */
static uint32_t feature_of(uint16_t opt)
{
    switch (opt) {
    case SCTP_PR_SUPPORTED: return SCTP_F_PR;
    case SCTP_INTERLEAVING_SUPPORTED: return SCTP_F_IDATA;
    case SCTP_RECONFIG_SUPPORTED: return SCTP_F_RECONF;
    case SCTP_ECN_SUPPORTED: return SCTP_F_ECN;
    case SCTP_AUTH_SUPPORTED: return SCTP_F_AUTH;
    case SCTP_ASCONF_SUPPORTED: return SCTP_F_ASCONF;
    default: return 0;
    }
}

static int set_number(struct sctp_opt_call *c, uint32_t v, uint16_t opt)
{
    struct sctp_cfg *all[] = { &c->ep->cfg, sctp_opt_cfg(c) };
    uint32_t feature = feature_of(opt);

    if ((opt == SCTP_MAXSEG && v && (v < 16 || v > 65535)) || (opt == SCTP_STREAM_SCHEDULER && v > SCTP_SCHED_WEIGHTED) ||
        (opt == SCTP_ENABLE_STREAM_RESET && (v & ~(uint32_t)SCTP_ENABLE_STRRESET_MASK)) ||
        (opt == SCTP_AUTO_ASCONF && v && (!ip_addr_is_any(&c->ep->s->lcl.ip) || c->ep->cfg.n_lcl) && !c->a) ||
        (opt == SCTP_EXPOSE_POTENTIALLY_FAILED_STATE && v > SCTP_EXPOSE_PF) ||
        (opt == SCTP_PARTIAL_DELIVERY_POINT && v > session_rx_max(c->ep->s) && c->ep->s->has_fifos))
        return -EINVAL;
    if (feature) { /* agreed on when an association begins */
        if (v > 1)
            return -EINVAL;
        c->ep->cfg.features = v ? c->ep->cfg.features | feature : c->ep->cfg.features & ~feature;
        return 0;
    }
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
        case SCTP_STREAM_SCHEDULER: g->scheduler = (uint8_t)v; break;
        case SCTP_AUTO_ASCONF: g->auto_asconf = v != 0; break;
        case SCTP_ENABLE_STREAM_RESET: g->reset_allowed = (uint8_t)v; break;
        case SCTP_EXPOSE_POTENTIALLY_FAILED_STATE: g->expose_pf = (uint8_t)v; break;
        default: return -ENOPROTOOPT;
        }
    }
    if (opt == SCTP_STREAM_SCHEDULER && c->a)
        sctp_queue_rank(c->a);
    if (opt == SCTP_AUTO_ASCONF && c->a)
        sctp_asconf_watch(c->w, c->a);
    if (opt == SCTP_AUTOCLOSE && c->a && c->a->state >= SCTP_S_ESTABLISHED)
        sctp_used(c->w, c->a);
    return 0;
}
static uint32_t get_number(const struct sctp_opt_call *c, uint16_t opt)
{
    const struct sctp_cfg *g = sctp_opt_cfg(c);
    uint32_t feature = feature_of(opt);

    if (feature)
        return c->a && c->a->state >= SCTP_S_ESTABLISHED ? sctp_has(c->a, feature) : !!(g->features & feature);
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
    case SCTP_STREAM_SCHEDULER: return g->scheduler;
    case SCTP_AUTO_ASCONF: return g->auto_asconf;
    case SCTP_ENABLE_STREAM_RESET: return g->reset_allowed;
    default: return g->expose_pf;
    }
}

/* ---- notifications ---- */

static int set_events(struct sctp_opt_call *c)
{
    uint16_t bits = 0;

    for (uint32_t i = 1; i < *c->len && i < 16; i++) /* a byte each, in the order of their numbers; the first is SCTP_SNDRCV */
        if (c->val[i])
            bits |= (uint16_t)(1u << i);
    c->ep->cfg.events = bits;
    return 0;
}
static int set_event(struct sctp_opt_call *c)
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

static int set_connectx(struct sctp_opt_call *c)
{
    struct ip_addr a[SCTP_ADDRS];
    be16 port;
    int n = sctp_opt_addrs(c, a, &port);

    if (n <= 0)
        return n < 0 ? n : -EINVAL;
    memcpy(c->ep->cfg.peers, a, sizeof(a[0]) * (unsigned)n);
    c->ep->cfg.n_peers = (uint8_t)n;
    return 0;
}

static int put_addrs(struct sctp_opt_call *c, const struct ip_addr *ip, int n, be16 port)
{
    uint32_t room = *c->len, at = offsetof(struct sctp_getaddrs, addrs), done = 0;
    bool mapped = (c->ep->s->flags & SVM_CONN_V6) && sctp_opt_cfg(c)->v4_mapped;

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
static int get_peers(struct sctp_opt_call *c)
{
    struct ip_addr ip[SCTP_ADDRS];

    if (!c->a)
        return -EINVAL;
    for (unsigned i = 0; i < c->a->n_paths; i++)
        ip[i] = c->a->path[i]->ip;
    return put_addrs(c, ip, c->a->n_paths, c->a->base.rmt.port);
}
static int get_locals(struct sctp_opt_call *c)
{
    struct ip_addr ip[SCTP_ADDRS], bound = session_bound_addr(c->ep->s);
    const struct sctp_cfg *g = sctp_opt_cfg(c);
    int n = g->n_lcl;

    if (n) /* of this host, too */
        memcpy(ip, g->lcl, sizeof(ip[0]) * (unsigned)n);
    else
        n = sctp_lcl_addrs(c->w, g, c->a ? &c->a->base.lcl.ip : &bound, c->ep->s->fib, true, ip, SCTP_ADDRS);
    return put_addrs(c, ip, n, c->ep->s->lcl.port);
}

static int get_stats(struct sctp_opt_call *c)
{
    const struct sctp_assoc *a = c->a;
    IN(sctp_assoc_stats);

    if (!a)
        return -EINVAL;
    sctp_opt_put_storage(c, &a->primary->ip, a->base.rmt.port, &v.sas_obs_rto_ipaddr);
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

/* RFC 7496 s4.3, s4.4: what was given up by one policy, or all */
static int given_up(struct sctp_opt_call *c, const uint32_t n[][2])
{
    IN(sctp_prstatus);

    if (v.sprstat_policy == 0 || (v.sprstat_policy & ~(SCTP_PR_SCTP_MASK | SCTP_PR_SCTP_ALL)) ||
        ((v.sprstat_policy & SCTP_PR_SCTP_ALL) && (v.sprstat_policy & SCTP_PR_SCTP_MASK)))
        return -EINVAL;
    v.sprstat_abandoned_unsent = v.sprstat_abandoned_sent = 0;
    for (unsigned i = 0; i < SCTP_PR_POLICIES; i++) {
        if (!(v.sprstat_policy & SCTP_PR_SCTP_ALL) && sctp_pr_index(v.sprstat_policy) != i)
            continue;
        v.sprstat_abandoned_unsent += n[i][0];
        v.sprstat_abandoned_sent += n[i][1];
    }
    return OUT(v);
}
static int get_given_up(struct sctp_opt_call *c) { return c->a ? given_up(c, c->a->given_up) : -EINVAL; }
static int get_stream_given_up(struct sctp_opt_call *c)
{
    IN(sctp_prstatus);

    return c->a && v.sprstat_sid < c->a->n_out ? given_up(c, c->a->out[v.sprstat_sid].given_up) : -EINVAL;
}

static const struct sctp_opt_row table[] = {
    { SCTP_RTOINFO, sizeof(struct sctp_rtoinfo), set_rto, get_rto },
    { SCTP_ASSOCINFO, sizeof(struct sctp_assocparams), set_assocparams, get_assocparams },
    { SCTP_INITMSG, sizeof(struct sctp_initmsg), set_initmsg, get_initmsg },
    { SCTP_STATUS, sizeof(struct sctp_status), NULL, get_status },
    { SCTP_GET_PEER_ADDR_INFO, sizeof(struct sctp_paddrinfo), NULL, sctp_opt_get_paddrinfo },
    { SCTP_PEER_ADDR_PARAMS, sizeof(struct sctp_paddrparams), sctp_opt_set_paddrparams, sctp_opt_get_paddrparams },
    { SCTP_PEER_ADDR_THLDS, sizeof(struct sctp_paddrthlds), sctp_opt_set_thresholds, sctp_opt_get_thresholds },
    { SCTP_PEER_ADDR_THLDS_V2, sizeof(struct sctp_paddrthlds_v2), sctp_opt_set_thresholds2, sctp_opt_get_thresholds2 },
    { SCTP_REMOTE_UDP_ENCAPS_PORT, sizeof(struct sctp_udpencaps), sctp_opt_set_udp_port, sctp_opt_get_udp_port },
    { SCTP_PRIMARY_ADDR, sizeof(struct sctp_prim), sctp_opt_set_primary, sctp_opt_get_primary },
    { SCTP_DELAYED_SACK, sizeof(struct sctp_sack_info), set_sack, get_sack },
    { SCTP_DEFAULT_PRINFO, sizeof(struct sctp_default_prinfo), set_prinfo, get_prinfo },
    { SCTP_EVENTS, 1, set_events, NULL },
    { SCTP_EVENT, sizeof(struct sctp_event), set_event, NULL },
    { SCTP_SOCKOPT_BINDX_ADD, sizeof(struct sockaddr_in), sctp_opt_bindx_add, NULL },
    { SCTP_SOCKOPT_BINDX_REM, sizeof(struct sockaddr_in), sctp_opt_bindx_rem, NULL },
    { SCTP_SET_PEER_PRIMARY_ADDR, sizeof(struct sctp_setpeerprim), sctp_opt_set_peer_primary, NULL },
    { SCTP_SOCKOPT_CONNECTX, sizeof(struct sockaddr_in), set_connectx, NULL },
    { SCTP_GET_PEER_ADDRS, sizeof(struct sctp_getaddrs), NULL, get_peers },
    { SCTP_GET_LOCAL_ADDRS, sizeof(struct sctp_getaddrs), NULL, get_locals },
    { SCTP_PR_ASSOC_STATUS, sizeof(struct sctp_prstatus), NULL, get_given_up },
    { SCTP_PR_STREAM_STATUS, sizeof(struct sctp_prstatus), NULL, get_stream_given_up },
    { SCTP_GET_ASSOC_STATS, sizeof(struct sctp_assoc_stats), NULL, get_stats },
    { 0 },
};
static const uint16_t numbers[] = {
    SCTP_NODELAY, SCTP_AUTOCLOSE, SCTP_DISABLE_FRAGMENTS, SCTP_I_WANT_MAPPED_V4_ADDR, SCTP_MAXSEG, SCTP_CONTEXT, SCTP_MAX_BURST,
    SCTP_PARTIAL_DELIVERY_POINT, SCTP_ADAPTATION_LAYER, SCTP_PR_SUPPORTED, SCTP_EXPOSE_POTENTIALLY_FAILED_STATE,
    SCTP_STREAM_SCHEDULER, SCTP_INTERLEAVING_SUPPORTED, SCTP_RECONFIG_SUPPORTED, SCTP_ECN_SUPPORTED, SCTP_ENABLE_STREAM_RESET,
    SCTP_AUTH_SUPPORTED, SCTP_ASCONF_SUPPORTED, SCTP_AUTO_ASCONF,
};

static int number(struct sctp_opt_call *c, bool set, uint16_t opt)
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

static const struct sctp_opt_row *find(const struct sctp_opt_row *rows, uint16_t opt)
{
    while (rows->min && rows->opt != opt)
        rows++;
    return rows->min ? rows : NULL;
}

int sctp_option(struct worker *w, struct session *s, bool set, uint16_t opt, void *val, uint32_t *len)
{
    struct sctp_ep *ep = sctp_ep_get(w, s);
    struct sctp_opt_call c = { w, ep, ep ? ep->assocs : NULL, val, len };

    if (!ep)
        return -ENOMEM;
    for (unsigned i = 0; i < HS_ARRAY_LEN(numbers); i++)
        if (numbers[i] == opt)
            return number(&c, set, opt);
    const struct sctp_opt_row *row = find(table, opt);
    row = row ? row : find(sctp_opt_ext, opt);
    row = row ? row : find(sctp_opt_auth, opt);
    sctp_opt_fn *fn = row ? set ? row->set : row->get : NULL;
    if (!fn)
        return -ENOPROTOOPT;
    return *len < row->min ? -EINVAL : fn(&c);
}
