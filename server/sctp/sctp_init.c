/* sctp_init.c - INIT and INIT ACK: what they say and how they are answered (RFC 9260 s3.3.2, s5.1, s5.2), without state for strangers */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { UNREC_MAX = 512, RWND_MIN = 1500, PARAMS_MAX = SCTP_ADDRS * 20 + SCTP_AUTH_VEC + 96 };

struct init_parse {
    struct sctp_peer_init pi;
    const uint8_t *cookie;
    uint16_t cookie_len;
    uint8_t unrec[UNREC_MAX];        /* Unrecognized Parameter parameters, ready to be sent */
    uint32_t unrec_len;
    const uint8_t *hostname;         /* the parameter */
    const uint8_t *random, *chunks, *hmacs; /* RFC 4895 s3 */
};

static void note_unrecognized(struct init_parse *ip, const uint8_t *p, uint16_t len)
{
    uint32_t whole = SCTP_PARAM_HDR + sctp_pad(len);

    if (ip->unrec_len + whole > UNREC_MAX)
        return;
    uint8_t *b = ip->unrec + ip->unrec_len;
    memset(b, 0, whole);
    sctp_put16(b, SCTP_P_UNRECOGNIZED);
    sctp_put16(b + 2, SCTP_PARAM_HDR + len);
    memcpy(b + 4, p, len);
    ip->unrec_len += whole;
}

static void add_address(struct sctp_peer_init *pi, const struct ip_addr *a)
{
    /* s5.1.2: never one that is nobody's, or everybody's */
    if (ip_addr_is_any(a) || ip_addr_is_multicast(a) || ip_addr_is_broadcast(a) || ip_addr_is_loopback(a))
        return;
    for (unsigned i = 0; i < pi->n_addrs; i++)
        if (ip_addr_eq(&pi->addr[i], a))
            return;
    if (pi->n_addrs < SCTP_ADDRS)
        pi->addr[pi->n_addrs++] = *a;
}

/* RFC 5061 s4.2.7: chunk types that the peer knows. */
static void extensions(struct sctp_peer_init *pi, const uint8_t *b, uint32_t len)
{
    bool has[256] = { false };

    for (uint32_t i = 0; i < len; i++)
        has[b[i]] = true;
    if (has[SCTP_CT_FORWARD_TSN])
        pi->features |= SCTP_F_PR;
    if (has[SCTP_CT_RECONF])
        pi->features |= SCTP_F_RECONF;
    if (has[SCTP_CT_IDATA])
        pi->features |= SCTP_F_IDATA;
    if (has[SCTP_CT_ASCONF] && has[SCTP_CT_ASCONF_ACK])
        pi->features |= SCTP_F_ASCONF;
    pi->has_iforward = has[SCTP_CT_IFORWARD_TSN];
}

/* One parameter; false: the rest is not to be looked at (s3.2.1). */
static bool take_param(struct init_parse *ip, unsigned type, const uint8_t *p, uint16_t len)
{
    struct ip_addr a;
    be32 v4;

    switch (type) {
    case SCTP_P_IPV4:
        if (len == 8) {
            memcpy(&v4, p + 4, 4);
            a = ip_addr_v4(v4);
            add_address(&ip->pi, &a);
        }
        return true;
    case SCTP_P_IPV6:
        if (len == 20) {
            memcpy(a.b, p + 4, 16);
            if (!ip_addr_is_v4(&a)) /* mapped ones do not go over the wire */
                add_address(&ip->pi, &a);
        }
        return true;
    case SCTP_P_COOKIE:
        ip->cookie = p + 4;
        ip->cookie_len = (uint16_t)(len - 4);
        return true;
    case SCTP_P_HOSTNAME: /* s3.3.2.1.4: gone */
        ip->hostname = p;
        return false;
    case SCTP_P_EXTENSIONS:
        extensions(&ip->pi, p + 4, len - 4u);
        return true;
    case SCTP_P_FORWARD_TSN:
        ip->pi.features |= SCTP_F_PR;
        return true;
    case SCTP_P_RANDOM:
        ip->random = ip->random ? ip->random : p;
        return true;
    case SCTP_P_CHUNKS:
        ip->chunks = ip->chunks ? ip->chunks : p;
        return true;
    case SCTP_P_HMACS:
        ip->hmacs = ip->hmacs ? ip->hmacs : p;
        return true;
    case SCTP_P_ECN:
        ip->pi.features |= SCTP_F_ECN;
        return true;
    case SCTP_P_ADAPTATION:
        if (len == 8) {
            ip->pi.has_adaptation = true;
            ip->pi.adaptation = sctp_get32(p + 4);
        }
        return true;
    case SCTP_P_PRESERVATIVE: case SCTP_P_FAMILIES: case SCTP_P_UNRECOGNIZED: case SCTP_P_PAD:
        return true;
    default:
        if (sctp_unknown_is_report(type >> 8))
            note_unrecognized(ip, p, len);
        return !sctp_unknown_is_stop(type >> 8);
    }
}

/* 0, or -EPROTO: a parameter's length cannot be. */
static int parse(const struct sctp_chunk *c, struct init_parse *ip)
{
    const uint8_t *b = c->b;

    memset(ip, 0, offsetof(struct init_parse, unrec));
    ip->unrec_len = 0;
    ip->hostname = NULL;
    ip->random = ip->chunks = ip->hmacs = NULL;
    ip->pi.tag = sctp_get32(b + 4);
    ip->pi.rwnd = sctp_get32(b + 8);
    ip->pi.n_out = sctp_get16(b + 12);
    ip->pi.max_in = sctp_get16(b + 14);
    ip->pi.tsn = sctp_get32(b + 16);
    for (uint32_t off = SCTP_INIT_LEN; off + SCTP_PARAM_HDR <= c->len;) {
        unsigned type = sctp_get16(b + off), len = sctp_get16(b + off + 2);
        if (len < SCTP_PARAM_HDR || len > c->len - off)
            return -EPROTO;
        if (!take_param(ip, type, b + off, (uint16_t)len))
            break;
        off += sctp_pad(len);
    }
    if (ip->random && sctp_get16(ip->random + 2) != SCTP_PARAM_HDR + SCTP_AUTH_RANDOM) /* RFC 4895 s6.1 */
        return -EPROTO;
    if (sctp_auth_vec_take(ip->random, ip->chunks, ip->hmacs, &ip->pi.auth))
        ip->pi.features |= SCTP_F_AUTH;
    else
        ip->pi.auth.len = 0;
    return 0;
}

/* ---- what we say ---- */

uint8_t *sctp_address_put(uint8_t *b, const struct ip_addr *a)
{
    if (ip_addr_is_v4(a)) {
        sctp_put16(b, SCTP_P_IPV4);
        sctp_put16(b + 2, 8);
        memcpy(b + 4, a->b + 12, 4);
        return b + 8;
    }
    sctp_put16(b, SCTP_P_IPV6);
    sctp_put16(b + 2, 20);
    memcpy(b + 4, a->b, 16);
    return b + 20;
}

/* Parameters of our INIT or INIT ACK: up to PARAMS_MAX bytes; returns how many. */
uint32_t sctp_params_put(struct worker *w, const struct sctp_cfg *cfg, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                         uint16_t fib, uint32_t features, const struct sctp_auth_vec *auth, uint8_t *b)
{
    struct ip_addr own[SCTP_ADDRS];
    uint8_t *at = b, *ext;
    int n = ip_addr_is_loopback(&rmt->ip) ? 0 :
            sctp_lcl_addrs(w, cfg, &lcl->ip, fib, !ip_addr_is_link_local(&rmt->ip), own, SCTP_ADDRS);

    if (n > 1 || (n == 1 && cfg->n_lcl)) /* s5.1.2 C: one address needs no list, the header has it */
        for (int i = 0; i < n; i++)
            at = sctp_address_put(at, &own[i]);
    if (features & SCTP_F_PR) { /* RFC 3758 s3.1 */
        sctp_put16(at, SCTP_P_FORWARD_TSN);
        sctp_put16(at + 2, 4);
        at += 4;
    }
    if (features & SCTP_F_ECN) { /* RFC 4960 App. A */
        sctp_put16(at, SCTP_P_ECN);
        sctp_put16(at + 2, 4);
        at += 4;
    }
    if (features & SCTP_F_AUTH)
        at += sctp_auth_vec_put(auth, at);
    ext = at;
    at += 4;
    if (features & SCTP_F_AUTH) {
        *at++ = SCTP_CT_AUTH;
        if (features & SCTP_F_ASCONF) { /* RFC 5061 s4.2.7: only with AUTH */
            *at++ = SCTP_CT_ASCONF;
            *at++ = SCTP_CT_ASCONF_ACK;
        }
    }
    if (features & SCTP_F_RECONF) /* RFC 6525 s3 */
        *at++ = SCTP_CT_RECONF;
    if (features & SCTP_F_PR)
        *at++ = SCTP_CT_FORWARD_TSN;
    if (features & SCTP_F_IDATA) { /* RFC 8260 s2.2.1 */
        *at++ = SCTP_CT_IDATA;
        if (features & SCTP_F_PR)
            *at++ = SCTP_CT_IFORWARD_TSN;
    }
    unsigned len = (unsigned)(at - ext);
    if (len > 4) { /* RFC 5061 s4.2.7 */
        sctp_put16(ext, SCTP_P_EXTENSIONS);
        sctp_put16(ext + 2, len);
        while ((at - ext) % 4)
            *at++ = 0;
    } else {
        at = ext;
    }
    if (cfg->adaptation) { /* RFC 5061 s4.2.6 */
        sctp_put16(at, SCTP_P_ADAPTATION);
        sctp_put16(at + 2, 8);
        sctp_put32(at + 4, cfg->adaptation);
        at += 8;
    }
    return (uint32_t)(at - b);
}

static void put_fixed(uint8_t *b, uint32_t tag, uint32_t rwnd, uint16_t n_out, uint16_t max_in, uint32_t tsn)
{
    sctp_put32(b + 4, tag);
    sctp_put32(b + 8, rwnd);
    sctp_put16(b + 12, n_out);
    sctp_put16(b + 14, max_in);
    sctp_put32(b + 16, tsn);
}

static uint32_t first_rwnd(struct worker *w, const struct session *s)
{
    (void)w;
    uint32_t max = s && s->has_fifos ? session_rx_max(s) : 65536;

    return hs_max_u32(max, RWND_MIN);
}

void sctp_init_send(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_path *p = a->primary;
    uint8_t params[PARAMS_MAX];
    struct ip_endpoint lcl = { a->base.lcl.ip, a->base.lcl.port }, rmt = { p->ip, a->base.rmt.port };
    uint32_t len = sctp_params_put(w, &a->cfg, &lcl, &rmt, a->base.fib, a->cfg.features, a->auth ? &a->auth->mine : NULL, params);
    struct sctp_out o;

    if (a->preservative_ms) { /* s5.2.6 (2) */
        sctp_put16(params + len, SCTP_P_PRESERVATIVE);
        sctp_put16(params + len + 2, 8);
        sctp_put32(params + len + 4, a->preservative_ms);
        len += 8;
    }
    if (sctp_out_begin(w, &o, SCTP_COMMON_LEN + SCTP_INIT_LEN + len) != 0)
        return;
    uint8_t *b = sctp_out_chunk(&o, SCTP_CT_INIT, 0, SCTP_INIT_LEN + len);
    put_fixed(b, a->my_tag, first_rwnd(w, a->ep ? a->ep->s : NULL), a->cfg.n_ostreams, a->cfg.max_instreams, a->my_init_tsn);
    memcpy(b + SCTP_INIT_LEN, params, len);
    uint32_t tag = a->peer_tag;
    a->peer_tag = 0; /* s8.5.1 A */
    sctp_out_send(&o, a, p);
    a->peer_tag = tag;
    a->n_tx_ctl++;
}

/* ---- INIT ---- */

/* s5.2.1, s5.2.2: an association is not taken over from addresses that it does not have. They are listed; true: there were some. */
static bool refuse_addresses(struct worker *w, const struct sctp_assoc *a, const struct sctp_in *in, const struct init_parse *ip)
{
    uint8_t list[(SCTP_ADDRS + 1) * 20], *at = list;

    if (!sctp_path_of(a, &in->rmt.ip))
        at = sctp_address_put(at, &in->rmt.ip);
    for (unsigned i = 0; i < ip->pi.n_addrs; i++)
        if (!sctp_path_of(a, &ip->pi.addr[i]) && !ip_addr_eq(&ip->pi.addr[i], &in->rmt.ip))
            at = sctp_address_put(at, &ip->pi.addr[i]);
    if (at == list)
        return false;
    sctp_reply_abort(w, in, ip->pi.tag, false, SCTP_C_RESTART_ADDRESSES, list, (uint32_t)(at - list));
    return true;
}

/* s3.3.2, s3.3.3: the values that cannot be; what an ABORT says of them goes with the Initiate Tag. */
static bool values_are_good(const struct init_parse *ip) { return ip->pi.n_out && ip->pi.max_in && ip->pi.rwnd >= RWND_MIN && !ip->hostname; }

static void refuse_values(struct worker *w, const struct sctp_in *in, const struct init_parse *ip, int err)
{
    if (!err && ip->hostname) /* s3.3.10.5: with the parameter */
        sctp_reply_abort(w, in, ip->pi.tag, false, SCTP_C_BAD_ADDRESS, ip->hostname, hs_min_u32(sctp_get16(ip->hostname + 2), UNREC_MAX));
    else
        sctp_reply_abort(w, in, ip->pi.tag, false, err ? SCTP_C_PROTOCOL : SCTP_C_INVALID_PARAM, NULL, 0);
}

static void answer_init(struct worker *w, struct sctp_in *in, const struct init_parse *ip, const struct sctp_cfg *cfg, const struct session *s,
                        const struct ip_addr *bound, struct sctp_cookie *ck)
{
    uint8_t params[PARAMS_MAX];
    struct ip_endpoint lcl = { *bound, in->lcl.port };
    uint32_t len = sctp_params_put(w, cfg, &lcl, &in->rmt, in->fib, cfg->features & ip->pi.features, &ck->auth, params);
    uint32_t cookie, total;
    struct sctp_out o;

    ck->created_us = w->now_us;
    ck->life_ms = cfg->cookie_life;
    ck->n_out = cfg->n_ostreams;
    ck->n_in = cfg->max_instreams;
    ck->fib = in->fib;
    ck->udp_port = in->udp_port;
    ck->lcl = in->lcl.ip;
    ck->rmt = in->rmt.ip;
    ck->lport = in->lcl.port;
    ck->rport = in->rmt.port;
    ck->peer = ip->pi;
    sctp_cookie_sign(w, ck);
    cookie = SCTP_PARAM_HDR + sctp_cookie_len(ck);
    total = SCTP_INIT_LEN + sctp_pad(cookie) + len + ip->unrec_len;
    if (sctp_out_begin(w, &o, SCTP_COMMON_LEN + sctp_pad(total)) != 0)
        return;
    uint8_t *b = sctp_out_chunk(&o, SCTP_CT_INIT_ACK, 0, total);
    /* s3.3.3: not more streams than the INIT allows */
    put_fixed(b, ck->my_tag, first_rwnd(w, s), (uint16_t)hs_min_u32(cfg->n_ostreams, ip->pi.max_in), cfg->max_instreams, ck->my_tsn);
    uint8_t *at = b + SCTP_INIT_LEN;
    memcpy(at, params, len);
    at += len;
    sctp_put16(at, SCTP_P_COOKIE);
    sctp_put16(at + 2, cookie);
    memset(at + sctp_pad(cookie) - 4, 0, 4); /* padding */
    memcpy(at + 4, ck, cookie - SCTP_PARAM_HDR);
    at += sctp_pad(cookie);
    memcpy(at, ip->unrec, ip->unrec_len);
    sctp_count(w, SCTP_N_cookies_sent);
    sctp_out_reply(&o, in, ip->pi.tag);
}

static bool init_is_possible(struct worker *w, struct sctp_in *in, const struct sctp_chunk *c, struct init_parse *ip)
{
    int err = c->len <= SCTP_INIT_MAX ? parse(c, ip) : -EPROTO;

    if (err != 0 && c->len > SCTP_INIT_MAX) {
        sctp_count(w, SCTP_N_drop_init);
        return false;
    }
    if (ip->pi.tag == 0) { /* s3.3.2 */
        sctp_count(w, SCTP_N_drop_init);
        return false;
    }
    if (err == 0 && values_are_good(ip))
        return true;
    sctp_count(w, SCTP_N_drop_init);
    refuse_values(w, in, ip, err);
    return false;
}

/* s5.1.2 D: an INIT from an address that is not known may be of an association by those that it lists. In COOKIE-WAIT the answer goes where the
 * program wanted the association to be (s5.2.1). */
static struct sctp_assoc *listed_assoc(struct worker *w, struct sctp_in *in, const struct init_parse *ip)
{
    for (unsigned i = 0; i < ip->pi.n_addrs; i++) {
        struct ip_endpoint rmt = { ip->pi.addr[i], in->rmt.port };
        struct sctp_path *p = sctp_find(w, &in->lcl, &rmt, in->fib);
        if (!p)
            continue;
        in->path = p;
        if (p->a->state == SCTP_S_COOKIE_WAIT)
            in->rmt.ip = p->ip;
        return p->a;
    }
    return NULL;
}

/* a NULL: from a stranger (s5.1 B): everything that is to be remembered goes into the cookie. */
void sctp_init_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    struct init_parse ip;
    struct sctp_cookie ck;

    if (!init_is_possible(w, in, c, &ip))
        return;
    if (!a)
        a = listed_assoc(w, in, &ip);
    memset(&ck, 0, sizeof(ck));
    ck.my_tag = sctp_tag_new(w);
    ck.my_tsn = (uint32_t)worker_random(w);
    if (!a) {
        struct listener *l = session_lookup_listener(w, SVM_PROTO_SCTP, &in->lcl, &in->rmt, in->fib);
        struct session *s = l ? listener_session(l) : NULL;
        struct sctp_ep *ep = s ? sctp_ep_get(w, s) : NULL;
        if (!ep || !sctp_cfg_has_lcl(w, &ep->cfg, &s->lcl.ip, in->fib, &in->lcl.ip)) {
            sctp_reply_abort(w, in, ip.pi.tag, false, 0, NULL, 0); /* s8.4 (3) */
            return;
        }
        if (listener_accept_full(l)) {
            sctp_count(w, SCTP_N_drop_backlog);
            sctp_reply_abort(w, in, ip.pi.tag, false, SCTP_C_NO_RESOURCE, NULL, 0);
            return;
        }
        if (ep->cfg.features & SCTP_F_AUTH)
            sctp_auth_vec_make(w, &ep->cfg, &ck.auth);
        answer_init(w, in, &ip, &ep->cfg, s, &s->lcl.ip, &ck);
        return;
    }
    if (in->udp_port != in->path->udp_port) { /* its tag cannot be checked: somebody else behind the same NAT (draft-tuexen-tsvwg-rfc6951-bis) */
        uint8_t ports[4];
        sctp_put16(ports, in->path->udp_port);
        sctp_put16(ports + 2, in->udp_port);
        sctp_reply_abort(w, in, ip.pi.tag, false, SCTP_C_NEW_UDP_PORT, ports, sizeof(ports));
        return;
    }
    if (a->state == SCTP_S_SHUTDOWN_ACK_SENT) { /* s9.2 */
        sctp_send_chunk(w, a, in->path, SCTP_CT_SHUTDOWN_ACK, 0, NULL, 0);
        return;
    }
    if (a->cfg.features & SCTP_F_AUTH)
        sctp_auth_vec_make(w, &a->cfg, &ck.auth);
    if (a->state != SCTP_S_COOKIE_WAIT) { /* s5.2.1, s5.2.2 */
        if (refuse_addresses(w, a, in, &ip))
            return;
        ck.tie_my = a->my_tag;
        ck.tie_peer = a->peer_tag;
    }
    if (a->state == SCTP_S_COOKIE_WAIT || a->state == SCTP_S_COOKIE_ECHOED) { /* s5.2.1: both have begun */
        ck.my_tag = a->my_tag;
        ck.my_tsn = a->my_init_tsn;
        if (a->auth) /* RFC 4895 s6.1: as the tag */
            ck.auth = a->auth->mine;
    }
    answer_init(w, in, &ip, &a->cfg, a->ep ? a->ep->s : NULL, &a->base.lcl.ip, &ck);
}

/* ---- INIT ACK ---- */

/* What both want. */
static uint32_t features_agreed(const struct sctp_cfg *cfg, const struct sctp_peer_init *pi)
{
    uint32_t f = cfg->features & pi->features;

    if ((f & SCTP_F_IDATA) && !pi->has_iforward) /* RFC 8260 s2.3.1: without it nothing can be skipped */
        f &= ~(uint32_t)SCTP_F_PR;
    if (!(f & SCTP_F_AUTH) || !sctp_auth_lists(&pi->auth, SCTP_CT_ASCONF) || !sctp_auth_lists(&pi->auth, SCTP_CT_ASCONF_ACK)) /* RFC 5061 s4.1 */
        f &= ~(uint32_t)SCTP_F_ASCONF;
    return f;
}

/* s5.1.2: only what this socket can speak to */
bool sctp_may_reach(struct worker *w, const struct sctp_assoc *a, const struct ip_addr *ip)
{
    struct ip_addr any = ip_addr_any(ip_addr_is_v4(ip));

    return ip_addr_is_v4(ip) == ip_addr_is_v4(&a->base.lcl.ip) || a->cfg.n_lcl ||
           (!ip_addr_is_v4(&a->base.lcl.ip) && sctp_cfg_has_lcl(w, &a->cfg, &a->base.lcl.ip, a->base.fib, &any));
}

static bool is_listed(const struct sctp_peer_init *pi, const struct ip_addr *ip)
{
    for (unsigned i = 0; i < pi->n_addrs; i++)
        if (ip_addr_eq(&pi->addr[i], ip))
            return true;
    return false;
}

/* What the peer has said of itself is taken over; `from` is where it spoke from, and confirmed if it is new (s5.4). 0, -ENOMEM. */
int sctp_assoc_take_peer(struct worker *w, struct sctp_assoc *a, const struct sctp_peer_init *pi, const struct ip_addr *from)
{
    uint16_t n_out = (uint16_t)hs_min_u32(a->cfg.n_ostreams, pi->max_in), n_in = (uint16_t)hs_min_u32(a->cfg.max_instreams, pi->n_out);
    struct sctp_path *p = sctp_path_add(w, a, from, true);

    if (!p || sctp_streams_alloc(a, n_out, n_in) != 0) /* s5.1.1 */
        return -ENOMEM;
    a->peer_tag = pi->tag;
    a->peer_rwnd = pi->rwnd;
    a->peer_init_tsn = pi->tsn;
    a->cum_tsn = a->high_tsn = pi->tsn - 1;
    a->features = features_agreed(&a->cfg, pi);
    if (sctp_has(a, SCTP_F_AUTH))
        sctp_auth_agreed(a, &pi->auth);
    else if (a->auth)
        a->auth->room = 0;
    sctp_reconf_drop(w, a);
    a->reconf = (struct sctp_reconf){ .next_seq = a->my_init_tsn, .peer_seq = pi->tsn }; /* RFC 6525 s5.1.1 */
    for (unsigned i = a->n_paths; i-- > 0;) /* s5.1.2 C: only what the peer says it has, and where it spoke from */
        if (a->path[i] != p && !is_listed(pi, &a->path[i]->ip))
            sctp_path_del(w, a->path[i]);
    for (unsigned i = 0; i < pi->n_addrs; i++)
        if (sctp_may_reach(w, a, &pi->addr[i]))
            sctp_path_add(w, a, &pi->addr[i], false);
    for (unsigned i = 0; i < a->n_paths; i++)
        sctp_path_cc_init(a->path[i]);
    return sctp_asconf_begin(w, a);
}

/* s3.3.10.8: the parameters themselves, one behind the other; returns how many bytes. */
static uint32_t bare_params(struct init_parse *ip)
{
    uint32_t n = 0;

    for (uint32_t off = 0; off < ip->unrec_len;) {
        uint32_t len = sctp_pad(sctp_get16(ip->unrec + off + 2)) - SCTP_PARAM_HDR;
        memmove(ip->unrec + n, ip->unrec + off + SCTP_PARAM_HDR, len);
        n += len;
        off += SCTP_PARAM_HDR + len;
    }
    return n;
}

void sctp_init_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    struct init_parse ip;
    int err = parse(c, &ip);

    if (err != 0 || ip.pi.tag == 0 || !values_are_good(&ip)) {
        sctp_count(w, SCTP_N_drop_init);
        if (ip.pi.tag)
            refuse_values(w, in, &ip, err);
        else /* s3.3.3: there is no tag but the one that it came with */
            sctp_reply_abort(w, in, in->tag, true, SCTP_C_INVALID_PARAM, NULL, 0);
        if (ip.pi.tag && ip.pi.rwnd < RWND_MIN) /* s3.3.3: that one changes nothing */
            return;
        sctp_gone(w, a, -ECONNREFUSED, SCTP_CANT_STR_ASSOC, SCTP_C_INVALID_PARAM);
        return;
    }
    if (!ip.cookie || ip.cookie_len == 0) { /* s3.3.10.2 */
        uint8_t b[6];
        sctp_put32(b, 1);
        sctp_put16(b + 4, SCTP_P_COOKIE);
        sctp_reply_abort(w, in, ip.pi.tag, false, SCTP_C_MISSING_PARAM, b, sizeof(b));
        sctp_gone(w, a, -ECONNREFUSED, SCTP_CANT_STR_ASSOC, SCTP_C_MISSING_PARAM);
        return;
    }
    free(a->cookie);
    a->cookie = malloc(ip.cookie_len);
    if (!a->cookie || sctp_assoc_take_peer(w, a, &ip.pi, &in->path->ip) != 0) {
        sctp_gone(w, a, -ENOMEM, SCTP_CANT_STR_ASSOC, SCTP_C_NO_RESOURCE);
        return;
    }
    memcpy(a->cookie, ip.cookie, ip.cookie_len);
    a->cookie_len = ip.cookie_len;
    a->primary = a->last_from = in->path; /* s5.1 C: the way that is known to work; one that the program has named (s5.4) */
    if (sctp_may_reach(w, a, &in->rmt.ip))
        sctp_path_add(w, a, &in->rmt.ip, false); /* s5.1.2 C */
    if (a->n_init == 1 && a->begun_us)
        sctp_path_rtt(w, in->path, w->now_us - a->begun_us);
    sctp_state_set(w, a, SCTP_S_COOKIE_ECHOED);
    a->n_init = 0;
    sctp_cookie_echo_send(w, a, ip.unrec, bare_params(&ip)); /* s3.2.2 */
    if (ip.pi.has_adaptation) {
        a->peer_adaptation = ip.pi.adaptation;
        a->has_adaptation = true;
    }
}

/* The answer to an INIT of ours came from an address that we do not know yet: a peer with several may choose, and lists the one that was asked
 * (s5.1.2). Its tag must be ours. False: of nobody here. */
bool sctp_init_ack_elsewhere(struct worker *w, struct sctp_in *in, const struct sctp_chunk *c)
{
    struct init_parse ip;

    if (c->len < SCTP_INIT_LEN || c->len > SCTP_INIT_MAX || sctp_pad(c->len) < in->len || parse(c, &ip) != 0)
        return false;
    for (unsigned i = 0; i < ip.pi.n_addrs; i++) {
        struct ip_endpoint rmt = { ip.pi.addr[i], in->rmt.port };
        struct sctp_path *p = sctp_find(w, &in->lcl, &rmt, in->fib);

        if (!p || p->a->state != SCTP_S_COOKIE_WAIT || in->tag != p->a->my_tag)
            continue;
        in->path = p;
        sctp_chunks_input(w, p->a, in);
        return true;
    }
    return false;
}
