/* sctp_option_path.c - socket options about the peer's addresses (RFC 6458 s8.1.9, s8.1.12, s8.2.2, RFC 7829 s7) */
#include "server/sctp/sctp_option.h"

#include <arpa/inet.h>
#include <errno.h>

int sctp_opt_path_state(const struct sctp_path *p)
{
    static const int states[] = { [SCTP_PATH_UNCONFIRMED] = SCTP_UNCONFIRMED, [SCTP_PATH_ACTIVE] = SCTP_ACTIVE, [SCTP_PATH_PF] = SCTP_PF,
                                  [SCTP_PATH_INACTIVE] = SCTP_INACTIVE };

    return states[p->state];
}

/* The path that a sockaddr_storage names; *any: it names none. */
static struct sctp_path *path_at(const struct sctp_opt_call *c, const void *at, bool *any)
{
    struct ip_endpoint e;
    sa_family_t family;
    uint32_t used;
    int err = sctp_opt_endpoint(at, sizeof(struct sockaddr_storage), &e, &used);

    memcpy(&family, at, sizeof(family));
    *any = err == 0 ? ip_addr_is_any(&e.ip) : family == AF_UNSPEC;
    return err == 0 && !*any && c->a ? sctp_path_of(c->a, &e.ip) : NULL;
}

int sctp_opt_get_paddrinfo(struct sctp_opt_call *c)
{
    bool any;
    IN(sctp_paddrinfo);
    const struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_paddrinfo, spinfo_address), &any);

    if (!p)
        return -EINVAL;
    v.spinfo_state = sctp_opt_path_state(p);
    v.spinfo_cwnd = p->cwnd;
    v.spinfo_srtt = p->srtt_us / SCTP_MS;
    v.spinfo_rto = p->rto_us / SCTP_MS;
    v.spinfo_mtu = p->pmtu;
    return OUT(v);
}

static void path_params(struct sctp_opt_call *c, struct sctp_path *p, const struct sctp_paddrparams *v)
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
        p->pmtu = (uint16_t)hs_min_u32(v->spp_pathmtu, SCTP_PMTU_MAX);
    sctp_path_mtu_update(c->w, p);
    if (v->spp_flags & SPP_DSCP)
        sctp_path_dscp(p, v->spp_dscp & 0xfc);
    if (v->spp_flags & SPP_HB_DEMAND && c->a->state >= SCTP_S_ESTABLISHED)
        sctp_hb_now(c->w, p);
    else
        sctp_hb_start(c->w, p);
}

int sctp_opt_set_paddrparams(struct sctp_opt_call *c)
{
    bool any;
    IN(sctp_paddrparams);
    struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_paddrparams, spp_address), &any);
    struct sctp_cfg *all[] = { &c->ep->cfg, sctp_opt_cfg(c) };

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
int sctp_opt_get_paddrparams(struct sctp_opt_call *c)
{
    const struct sctp_cfg *g = sctp_opt_cfg(c);
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

int sctp_opt_set_primary(struct sctp_opt_call *c)
{
    bool any;
    struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_prim, ssp_addr), &any);

    if (!p || p->state == SCTP_PATH_UNCONFIRMED)
        return -EINVAL;
    c->a->primary = p;
    return 0;
}
int sctp_opt_get_primary(struct sctp_opt_call *c)
{
    IN(sctp_prim);

    if (!c->a)
        return -EINVAL;
    sctp_opt_put_storage(c, &c->a->primary->ip, c->a->base.rmt.port, &v.ssp_addr);
    return OUT(v);
}


/* RFC 7829 s7.1, s7.2. The primary path changes for good after `cp` errors (s5.2). */
static int set_thresholds(struct sctp_opt_call *c, bool v2)
{
    struct sctp_cfg *all[] = { &c->ep->cfg, sctp_opt_cfg(c) };
    struct sctp_paddrthlds_v2 v = { .spt_pathcpthld = SCTP_NO_SWITCH };
    bool any;
    struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_paddrthlds_v2, spt_address), &any);

    memcpy(&v, c->val, v2 ? sizeof(v) : sizeof(struct sctp_paddrthlds));
    if (v2 && v.spt_pathpfthld > v.spt_pathcpthld)
        return -EINVAL;
    if (!any && !p)
        return -ENOENT; /* Linux */
    for (unsigned i = 0; c->a && i < c->a->n_paths; i++) {
        struct sctp_path *o = c->a->path[i];
        if (p && o != p)
            continue;
        o->max_retrans = v.spt_pathmaxrxt ? v.spt_pathmaxrxt : o->max_retrans;
        o->pf_threshold = v.spt_pathpfthld;
        o->ps_threshold = v2 ? v.spt_pathcpthld : o->ps_threshold;
    }
    for (unsigned i = 0; !p && i < 2; i++) {
        all[i]->path_max_retrans = v.spt_pathmaxrxt ? v.spt_pathmaxrxt : all[i]->path_max_retrans;
        all[i]->pf_threshold = v.spt_pathpfthld;
        all[i]->ps_threshold = v2 ? v.spt_pathcpthld : all[i]->ps_threshold;
    }
    return 0;
}
static int get_thresholds(struct sctp_opt_call *c, uint32_t size)
{
    const struct sctp_cfg *g = sctp_opt_cfg(c);
    struct sctp_paddrthlds_v2 v = { .spt_pathmaxrxt = 0 };
    bool any;
    const struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_paddrthlds_v2, spt_address), &any);

    if (!any && !p)
        return -ENOENT;
    memcpy(&v, c->val, size);
    v.spt_pathmaxrxt = p ? p->max_retrans : g->path_max_retrans;
    v.spt_pathpfthld = p ? p->pf_threshold : g->pf_threshold;
    v.spt_pathcpthld = p ? p->ps_threshold : g->ps_threshold;
    memcpy(c->val, &v, size);
    *c->len = size;
    return 0;
}
int sctp_opt_set_thresholds(struct sctp_opt_call *c) { return set_thresholds(c, false); }
int sctp_opt_get_thresholds(struct sctp_opt_call *c) { return get_thresholds(c, sizeof(struct sctp_paddrthlds)); }
int sctp_opt_set_thresholds2(struct sctp_opt_call *c) { return set_thresholds(c, true); }
int sctp_opt_get_thresholds2(struct sctp_opt_call *c) { return get_thresholds(c, sizeof(struct sctp_paddrthlds_v2)); }

/* RFC 6951 s6.1; errors as Linux. */
int sctp_opt_set_udp_port(struct sctp_opt_call *c)
{
    IN(sctp_udpencaps);
    bool any;
    struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_udpencaps, sue_address), &any);
    uint16_t port = ntohs(v.sue_port);

    if (!any && !p)
        return -ENOENT;
    for (unsigned i = 0; c->a && i < c->a->n_paths; i++)
        if (!p || c->a->path[i] == p)
            sctp_path_take_udp(c->w, c->a->path[i], port);
    if (!p)
        c->ep->cfg.udp_port = sctp_opt_cfg(c)->udp_port = port;
    return 0;
}
int sctp_opt_get_udp_port(struct sctp_opt_call *c)
{
    IN(sctp_udpencaps);
    bool any;
    const struct sctp_path *p = path_at(c, c->val + offsetof(struct sctp_udpencaps, sue_address), &any);

    if (!any && !p)
        return -ENOENT;
    v.sue_port = htons(p ? p->udp_port : sctp_opt_cfg(c)->udp_port);
    return OUT(v);
}
