/* sctp_asconf_in.c - the peer's addresses change: what it asks for, and our answer (RFC 5061 s5.2, s5.3) */
#include "server/sctp/sctp_internal.h"

#include <errno.h>

struct answer {
    uint8_t *at;
    bool has_errors;
};

/* s4.2.4: each gets an answer; what is not said would have to be guessed. */
static void put_success(struct answer *r, uint32_t no)
{
    sctp_put16(r->at, SCTP_P_SUCCESS);
    sctp_put16(r->at + 2, 8);
    sctp_put32(r->at + 4, no);
    r->at += 8;
}

/* s4.2.3, s4.3: the cause, and in it the parameter, if it is one of ours to give back. */
static void put_error(struct answer *r, uint32_t no, uint16_t cause, const uint8_t *param, uint32_t len)
{
    if (len > SCTP_ASCONF_ANSWER - 12)
        len = 0;
    memset(r->at, 0, 12 + sctp_pad(len));
    sctp_put16(r->at, SCTP_P_ERROR_CAUSE);
    sctp_put16(r->at + 2, 12 + len);
    sctp_put32(r->at + 4, no);
    sctp_put16(r->at + 8, cause);
    sctp_put16(r->at + 10, SCTP_CAUSE_HDR + len);
    if (len)
        memcpy(r->at + 12, param, len);
    r->at += 12 + sctp_pad(len);
    r->has_errors = true;
}

/* An address parameter; false: it is none. */
static bool address_at(const uint8_t *b, uint32_t room, struct ip_addr *ip)
{
    be32 v4;

    if (room < 8)
        return false;
    unsigned type = sctp_get16(b), len = sctp_get16(b + 2);
    if (type == SCTP_P_IPV4 && len == 8) {
        memcpy(&v4, b + 4, 4);
        *ip = ip_addr_v4(v4);
        return true;
    }
    if (type != SCTP_P_IPV6 || len != 20 || room < 20)
        return false;
    memcpy(ip->b, b + 4, 16);
    return !ip_addr_is_v4(ip);
}

/* ---- changes; 0 or the cause why not ---- */

static uint16_t add(struct worker *w, struct sctp_assoc *a, const struct sctp_in *in, struct ip_addr ip)
{
    struct ip_endpoint rmt;
    struct sctp_path *p;

    if (ip_addr_is_any(&ip)) /* s4.2.1: where it comes from */
        ip = in->rmt.ip;
    if (sctp_path_of(a, &ip))
        return 0;
    if (ip_addr_is_any(&ip) || ip_addr_is_multicast(&ip) || ip_addr_is_broadcast(&ip) || ip_addr_is_loopback(&ip))
        return SCTP_C_BAD_ADDRESS;
    rmt = (struct ip_endpoint){ ip, a->base.rmt.port };
    if (a->n_paths == SCTP_ADDRS || !sctp_may_reach(w, a, &ip) || sctp_find(w, &in->lcl, &rmt, a->base.fib)) /* another association's */
        return SCTP_C_REFUSED_RESOURCE;
    p = sctp_path_add(w, a, &ip, false);
    if (!p)
        return SCTP_C_REFUSED_RESOURCE;
    sctp_notify_path(w, p, SCTP_ADDR_ADDED, 0);
    sctp_hb_now(w, p); /* s5.3 F2 and RFC 9260 s5.4: nothing else goes there before it is confirmed */
    return 0;
}

static void remove_path(struct worker *w, struct sctp_path *p)
{
    sctp_notify_path(w, p, SCTP_ADDR_REMOVED, 0);
    sctp_path_del(w, p);
}

static uint16_t del(struct worker *w, struct sctp_assoc *a, const struct sctp_in *in, const struct ip_addr *ip)
{
    struct sctp_path *p, *from = sctp_path_of(a, &in->rmt.ip);

    if (ip_addr_is_any(ip)) { /* s4.2.2: all but where it comes from */
        if (!from)
            return SCTP_C_DEL_LAST_ADDR;
        for (unsigned i = a->n_paths; i-- > 0;)
            if (a->path[i] != from)
                remove_path(w, a->path[i]);
        return 0;
    }
    p = sctp_path_of(a, ip);
    if (!p)
        return SCTP_C_BAD_ADDRESS;
    if (a->n_paths == 1) /* s5.3 F5 */
        return SCTP_C_DEL_LAST_ADDR;
    if (p == from)       /* s5.3 F6 */
        return SCTP_C_DEL_SOURCE;
    remove_path(w, p);
    return 0;
}

static void make_primary(struct worker *w, struct sctp_path *p)
{
    p->a->asconf->make_primary = ip_addr_any(false);
    p->a->primary = p;
    sctp_notify_path(w, p, SCTP_ADDR_MADE_PRIM, 0);
}

void sctp_asconf_confirmed(struct worker *w, struct sctp_path *p)
{
    if (p->a->asconf && ip_addr_eq(&p->a->asconf->make_primary, &p->ip))
        make_primary(w, p);
}

static uint16_t set_primary(struct worker *w, struct sctp_assoc *a, const struct sctp_in *in, const struct ip_addr *ip)
{
    struct sctp_path *p = sctp_path_of(a, ip_addr_is_any(ip) ? &in->rmt.ip : ip);

    if (!p)
        return SCTP_C_BAD_ADDRESS;
    if (p->state == SCTP_PATH_UNCONFIRMED)
        a->asconf->make_primary = p->ip;
    else
        make_primary(w, p);
    return 0;
}

static void change(struct worker *w, struct sctp_assoc *a, const struct sctp_in *in, const uint8_t *b, uint32_t len, struct answer *r)
{
    unsigned type = sctp_get16(b);
    uint32_t no = sctp_get32(b + 4);
    uint16_t cause;
    struct ip_addr ip;

    if (!address_at(b + 8, len - 8, &ip))
        cause = SCTP_C_INVALID_PARAM;
    else
        cause = type == SCTP_P_ADD_IP ? add(w, a, in, ip) : type == SCTP_P_DEL_IP ? del(w, a, in, &ip) : set_primary(w, a, in, &ip);
    if (cause)
        put_error(r, no, cause, b, len);
    else
        put_success(r, no);
    sctp_count(w, cause ? SCTP_N_asconfs_refused : SCTP_N_asconfs);
}

/* ---- the chunk ---- */

/* s5.2 E5 to E9: every parameter in its turn. */
static void carry_out(struct worker *w, struct sctp_assoc *a, const struct sctp_in *in, const struct sctp_chunk *c, struct answer *r)
{
    uint32_t off = 8, n = 0;

    off += sctp_pad(sctp_get16(c->b + off + 2));
    for (; off + 8 <= c->len; n++) {
        unsigned type = sctp_get16(c->b + off), len = sctp_get16(c->b + off + 2);
        bool is_known = type == SCTP_P_ADD_IP || type == SCTP_P_DEL_IP || type == SCTP_P_SET_PRIMARY;
        if (len < 8 || len > c->len - off) {
            sctp_count(w, SCTP_N_drop_asconf);
            return;
        }
        if (n == SCTP_ASCONF_PARAMS) { /* an error, and nothing said of what is behind it: refused (s5.1 D2) */
            put_error(r, sctp_get32(c->b + off + 4), SCTP_C_REFUSED_RESOURCE, NULL, 0);
            return;
        }
        if (is_known)
            change(w, a, in, c->b + off, len, r);
        else if (sctp_unknown_is_report(type >> 8))
            put_error(r, sctp_get32(c->b + off + 4), SCTP_C_UNKNOWN_PARAM, c->b + off, len);
        if (!is_known && sctp_unknown_is_stop(type >> 8))
            return;
        off += sctp_pad(len);
    }
}

void sctp_asconf_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    struct sctp_asconf *x = a->asconf;
    uint32_t seq = sctp_get32(c->b + 4);
    struct ip_addr named;

    if (in->auth != SCTP_AUTH_GOOD) { /* s4.1.1: whatever the lists say */
        sctp_count(w, SCTP_N_drop_auth);
        return;
    }
    if (!address_at(c->b + 8, c->len - 8u, &named) || (seq != x->peer_seq && !(x->ack_len && seq == x->peer_seq - 1))) { /* s5.2 E2, E3 */
        sctp_count(w, SCTP_N_drop_asconf);
        return;
    }
    if (seq == x->peer_seq) {
        struct answer r = { .at = x->ack + 4 };
        x->peer_seq++;
        sctp_put32(x->ack, seq);
        carry_out(w, a, in, c, &r);
        x->ack_len = (uint16_t)(r.at - x->ack);
    }
    in->path = sctp_path_of(a, &in->rmt.ip);
    if (!in->path)
        in->path = a->primary;
    sctp_reply(w, a, in, SCTP_CT_ASCONF_ACK, x->ack, x->ack_len); /* s5.2 E4: to where it came from */
}

/* s5.2: from an address that is about to be added; the one in the chunk says whose it is. */
bool sctp_asconf_elsewhere(struct worker *w, struct sctp_in *in, const struct sctp_chunk *c)
{
    struct ip_endpoint rmt = { .port = in->rmt.port };
    struct sctp_path *p;

    if (c->type != SCTP_CT_ASCONF || c->len < 16 || !address_at(c->b + 8, c->len - 8u, &rmt.ip))
        return false;
    p = sctp_find(w, &in->lcl, &rmt, in->fib);
    if (!p || !sctp_has(p->a, SCTP_F_ASCONF))
        return false;
    in->path = p;
    in->n_chunks = 0;
    sctp_chunks_input(w, p->a, in);
    return true;
}
