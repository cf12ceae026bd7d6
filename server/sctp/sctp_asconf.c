/* sctp_asconf.c - our addresses change: what we ask the peer for, and what it answers (RFC 5061 s5.1, s5.3)
 *
 * One chunk is under way at a time, with all that had been asked for by then; it is sent again until it is answered. An address that is
 * being added or removed is one that packets may come to, and none that they come from. */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { WATCH_US = 1000000, CHANGE_LEN = SCTP_PARAM_HDR + 4 + 20 };

static bool is_in(const struct ip_addr *list, unsigned n, const struct ip_addr *ip)
{
    for (unsigned i = 0; i < n; i++)
        if (ip_addr_eq(&list[i], ip))
            return true;
    return false;
}

static bool is_asked(const struct sctp_asconf *x, uint16_t type, const struct ip_addr *ip)
{
    for (unsigned i = 0; i < x->n_changes; i++)
        if (x->change[i].type == type && ip_addr_eq(&x->change[i].ip, ip))
            return true;
    return false;
}

bool sctp_asconf_has(const struct sctp_assoc *a, const struct ip_addr *ip)
{
    const struct sctp_asconf *x = a->asconf;

    return x && (is_in(x->known, x->n_known, ip) || is_asked(x, SCTP_P_ADD_IP, ip) || is_asked(x, SCTP_P_DEL_IP, ip));
}

bool sctp_asconf_is_told(const struct sctp_assoc *a, const struct ip_addr *ip)
{
    const struct sctp_asconf *x = a->asconf;

    return !x || (is_in(x->known, x->n_known, ip) && !is_asked(x, SCTP_P_DEL_IP, ip));
}

/* ---- lists of addresses ---- */

static void list_del(struct ip_addr *list, uint8_t *n, const struct ip_addr *ip)
{
    for (unsigned i = 0; i < *n; i++) {
        if (ip_addr_eq(&list[i], ip)) {
            memmove(&list[i], &list[i + 1], (*n - i - 1u) * sizeof(*list));
            (*n)--;
            return;
        }
    }
}
static void list_add(struct ip_addr *list, uint8_t *n, const struct ip_addr *ip)
{
    if (*n < SCTP_ADDRS && !is_in(list, *n, ip))
        list[(*n)++] = *ip;
}

/* The socket's and the association's own list, if it is not "all of the stack". */
static void own_change(struct sctp_assoc *a, const struct ip_addr *ip, bool add)
{
    struct sctp_cfg *all[] = { &a->cfg, a->ep ? &a->ep->cfg : NULL };

    for (unsigned i = 0; i < 2; i++) {
        if (!all[i] || (all[i]->n_lcl == 0 && ip_addr_is_any(&a->base.lcl.ip)))
            continue;
        if (all[i]->n_lcl == 0)
            all[i]->lcl[all[i]->n_lcl++] = a->base.lcl.ip;
        if (add)
            list_add(all[i]->lcl, &all[i]->n_lcl, ip);
        else
            list_del(all[i]->lcl, &all[i]->n_lcl, ip);
    }
}

/* s5.3 F3: nothing comes from there any more. */
static void no_source(struct worker *w, struct sctp_assoc *a, const struct ip_addr *ip)
{
    const struct sctp_asconf *x = a->asconf;

    for (unsigned i = 0; i < a->n_paths; i++) {
        struct sctp_path *p = a->path[i];
        if (ip_addr_eq(&p->src, ip)) {
            p->src = ip_addr_any(ip_addr_is_v4(&p->ip));
            p->cache = (struct ip_route_cache){ 0 };
            sctp_path_mtu_update(w, p);
            sctp_path_cc_init(p); /* RFC 9260 s7.2.5.2 */
        }
    }
    for (unsigned i = 0; ip_addr_eq(&a->lcl_ip, ip) && i < x->n_known; i++)
        if (!is_asked(x, SCTP_P_DEL_IP, &x->known[i]) && ip_addr_is_v4(&x->known[i]) == ip_addr_is_v4(ip))
            a->lcl_ip = x->known[i];
}

/* ---- out ---- */

/* s4.1.1: who we are, by an address that the peer knows; then each change with its number. */
static void build(struct sctp_asconf *x, uint32_t room)
{
    uint8_t *b = x->req;

    sctp_put32(b, x->next_seq++);
    b = sctp_address_put(b + 4, x->n_known ? &x->known[0] : &x->a->lcl_ip);
    x->n_sent = 0;
    while (x->n_sent < x->n_changes && (uint32_t)(b - x->req) + CHANGE_LEN <= hs_min_u32(room, sizeof(x->req))) {
        const struct sctp_change *c = &x->change[x->n_sent];
        uint8_t *end = sctp_address_put(b + 8, &c->ip);

        sctp_put16(b, c->type);
        sctp_put16(b + 2, (unsigned)(end - b));
        sctp_put32(b + 4, x->n_sent++);
        b = end;
    }
    x->req_len = (uint16_t)(b - x->req);
}

static void send_it(struct worker *w, struct sctp_asconf *x)
{
    struct sctp_path *p = sctp_path_for_data(x->a);

    sctp_send_chunk(w, x->a, p, SCTP_CT_ASCONF, 0, x->req, x->req_len);
    timer_start(&w->timers, &x->t4, w->now_us + p->rto_us);
}

void sctp_asconf_send(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_asconf *x = a->asconf;

    if (!x || x->req_len || !x->n_changes || a->state != SCTP_S_ESTABLISHED)
        return;
    build(x, sctp_path_payload(sctp_path_for_data(a)) - SCTP_CHUNK_HDR - sctp_auth_overhead(a));
    send_it(w, x);
}

/* s5.1 B, E: not answered within the RTO. */
static void t4_fire(struct worker *w, struct timer_node *t)
{
    struct sctp_asconf *x = hs_container_of(t, struct sctp_asconf, t4);
    struct sctp_assoc *a = x->a;
    struct sctp_path *p = sctp_path_for_data(a);
    uint32_t id = a->id;

    sctp_path_backoff(p);
    sctp_path_error(w, p, false);
    if (sctp_assoc_by_id(w, id) == a && x->req_len)
        send_it(w, x);
}

/* 0, -EOPNOTSUPP: not agreed on, -ENOTCONN, -ENOMEM: too many at once. */
int sctp_asconf_ask(struct worker *w, struct sctp_assoc *a, uint16_t type, const struct ip_addr *ip)
{
    struct sctp_asconf *x = a->asconf;

    if (!x || !sctp_has(a, SCTP_F_ASCONF))
        return -EOPNOTSUPP;
    if (a->state != SCTP_S_ESTABLISHED)
        return -ENOTCONN;
    if (is_asked(x, type, ip))
        return 0;
    if (x->n_changes == SCTP_CHANGES_MAX || (type == SCTP_P_ADD_IP && x->n_known == SCTP_ADDRS))
        return -ENOMEM;
    x->change[x->n_changes++] = (struct sctp_change){ type, *ip };
    if (type == SCTP_P_DEL_IP) {
        own_change(a, ip, false);
        no_source(w, a, ip);
    }
    return 0;
}

/* ---- what the peer answers (s5.1 D) ---- */

static void done(struct worker *w, struct sctp_assoc *a, const struct sctp_change *c, bool good)
{
    struct sctp_asconf *x = a->asconf;

    if (c->type == SCTP_P_ADD_IP && good) {
        list_add(x->known, &x->n_known, &c->ip);
        own_change(a, &c->ip, true);
    } else if (c->type == SCTP_P_DEL_IP && good) {
        list_del(x->known, &x->n_known, &c->ip);
        no_source(w, a, &c->ip);
    } else if (c->type == SCTP_P_DEL_IP) {
        own_change(a, &c->ip, true);
    } else if (c->type == SCTP_P_ADD_IP) {
        list_add(x->refused, &x->n_refused, &c->ip);
    }
    sctp_count(w, good ? SCTP_N_asconfs : SCTP_N_asconfs_refused);
}

void sctp_asconf_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    struct sctp_asconf *x = a->asconf;
    uint32_t seq = sctp_get32(c->b + 4);
    bool good[SCTP_CHANGES_MAX], said[SCTP_CHANGES_MAX] = { false }, failed = false;

    if (in->auth != SCTP_AUTH_GOOD) {
        sctp_count(w, SCTP_N_drop_auth);
        return;
    }
    if (seq_geq(seq, x->next_seq)) { /* s5.1 (A ... C): never sent */
        sctp_abort(w, a, SCTP_C_PROTOCOL, NULL, 0, -EPROTO);
        return;
    }
    if (!x->req_len || seq != x->next_seq - 1) {
        sctp_count(w, SCTP_N_drop_asconf);
        return;
    }
    for (uint32_t off = 8; off + 8 <= c->len;) {
        unsigned type = sctp_get16(c->b + off), len = sctp_get16(c->b + off + 2);
        uint32_t no = sctp_get32(c->b + off + 4);
        if (len < 8 || len > c->len - off) {
            sctp_count(w, SCTP_N_drop_asconf);
            return;
        }
        if (no < x->n_sent && (type == SCTP_P_SUCCESS || type == SCTP_P_ERROR_CAUSE)) {
            said[no] = true;
            good[no] = type == SCTP_P_SUCCESS;
        }
        off += sctp_pad(len);
    }
    timer_stop(&x->t4, &w->timers);
    sctp_path_ok(w, in->path);
    for (unsigned i = 0; i < x->n_sent; i++) { /* D2: silence means success, until something has failed */
        struct sctp_change ch = x->change[i];
        failed |= said[i] && !good[i];
        done(w, a, &ch, said[i] ? good[i] : !failed);
    }
    x->n_changes -= x->n_sent;
    memmove(x->change, x->change + x->n_sent, x->n_changes * sizeof(x->change[0]));
    x->n_sent = 0;
    x->req_len = 0;
    sctp_asconf_send(w, a);
}

/* ---- SCTP_AUTO_ASCONF: all addresses of the stack, as they come and go ---- */

static void compare(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_asconf *x = a->asconf;
    struct ip_addr now[SCTP_ADDRS];
    int n = sctp_lcl_addrs(w, &a->cfg, &a->base.lcl.ip, a->base.fib, !ip_addr_is_link_local(&a->primary->ip), now, SCTP_ADDRS);

    for (unsigned i = x->n_refused; i-- > 0;)
        if (!is_in(now, (unsigned)n, &x->refused[i]))
            list_del(x->refused, &x->n_refused, &x->refused[i]);
    for (int i = 0; i < n; i++)
        if (!is_in(x->known, x->n_known, &now[i]) && !is_in(x->refused, x->n_refused, &now[i]))
            (void)sctp_asconf_ask(w, a, SCTP_P_ADD_IP, &now[i]);
    for (unsigned i = 0; n > 0 && i < x->n_known; i++)
        if (!is_in(now, (unsigned)n, &x->known[i]))
            (void)sctp_asconf_ask(w, a, SCTP_P_DEL_IP, &x->known[i]);
    sctp_asconf_send(w, a);
}

static void watch_fire(struct worker *w, struct timer_node *t)
{
    struct sctp_asconf *x = hs_container_of(t, struct sctp_asconf, watch);

    if (x->a->state == SCTP_S_ESTABLISHED)
        compare(w, x->a);
    timer_start(&w->timers, t, w->now_us + WATCH_US);
}

void sctp_asconf_watch(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_asconf *x = a->asconf;

    if (!x)
        return;
    if (a->cfg.auto_asconf && ip_addr_is_any(&a->base.lcl.ip) && !a->cfg.n_lcl)
        timer_start(&w->timers, &x->watch, w->now_us + WATCH_US);
    else
        timer_stop(&x->watch, &w->timers);
}

/* ---- begin and end ---- */

int sctp_asconf_begin(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_asconf *x;
    int n;

    sctp_asconf_end(w, a);
    if (!sctp_has(a, SCTP_F_ASCONF))
        return 0;
    x = calloc(1, sizeof(*x));
    if (!x)
        return -ENOMEM;
    x->a = a;
    x->t4.fire = t4_fire;
    x->watch.fire = watch_fire;
    x->next_seq = a->my_init_tsn;    /* s4.1.1, s5.2: numbers begin at the initial TSNs */
    x->peer_seq = a->peer_init_tsn;
    x->make_primary = ip_addr_any(false);
    n = ip_addr_is_loopback(&a->base.rmt.ip) ? 0 : sctp_lcl_addrs(w, &a->cfg, &a->base.lcl.ip, a->base.fib,
                                                                  !ip_addr_is_link_local(&a->base.rmt.ip), x->known, SCTP_ADDRS);
    x->n_known = (uint8_t)n;
    if (n == 0)
        list_add(x->known, &x->n_known, &a->lcl_ip);
    a->asconf = x;
    sctp_asconf_watch(w, a);
    return 0;
}

void sctp_asconf_end(struct worker *w, struct sctp_assoc *a)
{
    if (!a->asconf)
        return;
    timer_stop(&a->asconf->t4, &w->timers);
    timer_stop(&a->asconf->watch, &w->timers);
    free(a->asconf);
    a->asconf = NULL;
}
