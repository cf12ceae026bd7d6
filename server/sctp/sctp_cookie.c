/* sctp_cookie.c - the state cookie: signed (HMAC-SHA-256), dated, and what comes of it (RFC 9260 s5.1.3 to s5.1.5, s5.2.4) */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

/* s5.1.3: the key changes every hour; cookies of the hour before are still good. */
static void secrets_turn(struct worker *w)
{
    struct sctp_worker *sw = sctp_worker_of(w);

    if (sw->secret_until_us && w->now_us < sw->secret_until_us)
        return;
    memcpy(sw->secret[1], sw->secret[0], sizeof(sw->secret[0]));
    for (unsigned k = 0; k < (sw->secret_until_us ? 1 : 2); k++) {
        for (unsigned i = 0; i < sizeof(sw->secret[0]); i += 8) {
            uint64_t r = worker_random(w);
            memcpy(sw->secret[k] + i, &r, 8);
        }
    }
    sw->secret_until_us = w->now_us + 3600ull * SCTP_SEC;
}

static void mac_of(const uint8_t key[32], const struct sctp_cookie *c, uint8_t out[32])
{
    unsigned len = 32;

    HMAC(EVP_sha256(), key, 32, (const uint8_t *)c + sizeof(c->mac), sizeof(*c) - sizeof(c->mac), out, &len);
}

void sctp_cookie_sign(struct worker *w, struct sctp_cookie *c)
{
    secrets_turn(w);
    mac_of(sctp_worker_of(w)->secret[0], c, c->mac);
}

bool sctp_cookie_is_ours(struct worker *w, const struct sctp_cookie *c)
{
    struct sctp_worker *sw = sctp_worker_of(w);
    uint8_t mac[32];

    secrets_turn(w);
    for (unsigned k = 0; k < 2; k++) {
        mac_of(sw->secret[k], c, mac);
        if (CRYPTO_memcmp(mac, c->mac, sizeof(mac)) == 0)
            return true;
    }
    return false;
}

/* s5.1.3: as short as it can be. What is not used (addresses, vectors of RFC 4895) is at the end, and 0. */
uint32_t sctp_cookie_len(const struct sctp_cookie *c)
{
    const uint8_t *b = (const uint8_t *)c;
    uint32_t n = sizeof(*c);

    while (n > offsetof(struct sctp_cookie, peer.addr) && b[n - 1] == 0)
        n--;
    return n;
}

bool sctp_cookie_take(const struct sctp_chunk *c, struct sctp_cookie *out)
{
    uint32_t n = c->len - SCTP_CHUNK_HDR;

    if (n < offsetof(struct sctp_cookie, peer.addr) || n > sizeof(*out))
        return false;
    memset(out, 0, sizeof(*out));
    memcpy(out, c->b + SCTP_CHUNK_HDR, n);
    return true;
}

/* s5.1 C: until it is answered nothing else is sent; what has to be said of the INIT ACK goes in the same packet, if it fits (s3.2.2). */
void sctp_cookie_echo_send(struct worker *w, struct sctp_assoc *a, const uint8_t *unknown, uint32_t len)
{
    struct sctp_path *p = a->primary;
    uint32_t cookie = SCTP_CHUNK_HDR + a->cookie_len, error = SCTP_CHUNK_HDR + SCTP_CAUSE_HDR + len;
    struct sctp_out o;
    uint8_t *b;

    a->cookie_sent_us = w->now_us;
    if (sctp_out_begin_for(&o, w, a, SCTP_COMMON_LEN + hs_max_u32(sctp_path_payload(p), sctp_pad(cookie))) == 0) {
        b = sctp_out_chunk(&o, SCTP_CT_COOKIE_ECHO, 0, cookie);
        if (b)
            memcpy(b + SCTP_CHUNK_HDR, a->cookie, a->cookie_len);
        if (b && len && (b = sctp_out_chunk(&o, SCTP_CT_ERROR, 0, error)) != NULL) {
            sctp_put16(b + 4, SCTP_C_UNKNOWN_PARAM);
            sctp_put16(b + 6, SCTP_CAUSE_HDR + len);
            memcpy(b + 8, unknown, len);
        }
        a->n_tx_ctl++;
        if (o.len > SCTP_COMMON_LEN)
            sctp_out_send(&o, a, p);
        else
            sctp_out_drop(&o);
    }
    a->n_init++;
    timer_start(&w->timers, &a->t1, w->now_us + p->rto_us);
}

/* ---- established ---- */

void sctp_established(struct worker *w, struct sctp_assoc *a)
{
    timer_stop(&a->t1, &w->timers);
    sctp_state_set(w, a, SCTP_S_ESTABLISHED);
    free(a->cookie);
    a->cookie = NULL;
    a->errors = 0;
    sctp_count(w, SCTP_N_established);
    sctp_hb_all(w, a);
    sctp_used(w, a);
}

static void tell_up(struct worker *w, struct sctp_assoc *a)
{
    sctp_notify_assoc(w, a, SCTP_COMM_UP, 0, NULL, 0);
    for (unsigned i = 0; i < a->n_paths; i++)
        if (a->path[i]->state == SCTP_PATH_ACTIVE && a->n_paths > 1)
            sctp_notify_path(w, a->path[i], SCTP_ADDR_CONFIRMED, 0);
    if (a->has_adaptation)
        sctp_notify_adaptation(w, a, a->peer_adaptation);
    if (a->auth && !sctp_has(a, SCTP_F_AUTH)) /* RFC 6458 s6.1.8 */
        sctp_notify_auth(w, a, SCTP_AUTH_NO_AUTH, 0, 0);
}

static void tell_connected(struct worker *w, struct sctp_assoc *a)
{
    struct sctp_ep *ep = a->ep;

    if (!ep)
        return;
    if (ep->s->state == SESSION_CONNECTING)
        session_connected(w, ep->s, 0);
    tell_up(w, a);
    session_tx_schedule(w, ep->s); /* what was written meanwhile */
}

/* An association from a cookie: nothing of it was known here before. NULL: told the peer why. */
static struct sctp_assoc *from_cookie(struct worker *w, struct sctp_in *in, const struct sctp_cookie *ck)
{
    struct listener *l = session_lookup_listener(w, SVM_PROTO_SCTP, &in->lcl, &in->rmt, in->fib);
    struct session *s = l ? listener_session(l) : NULL;
    struct sctp_ep *ep = s ? sctp_ep_get(w, s) : NULL;
    struct sctp_assoc *a;

    if (!ep) {
        sctp_reply_abort(w, in, ck->peer.tag, false, 0, NULL, 0);
        return NULL;
    }
    struct ip_endpoint lcl = { s->lcl.ip, in->lcl.port };
    a = sctp_assoc_new(w, &ep->cfg, &lcl, in->fib);
    if (!a)
        goto no_resource;
    a->lcl_ip = in->lcl.ip;
    a->base.rmt = in->rmt;
    a->my_tag = ck->my_tag;
    a->my_init_tsn = a->next_tsn = ck->my_tsn;
    a->cum_acked = a->adv_peer_ack = ck->my_tsn - 1;
    a->cfg.n_ostreams = ck->n_out;
    a->cfg.max_instreams = ck->n_in;
    a->cfg.udp_port = ck->udp_port;
    if ((a->cfg.features & SCTP_F_AUTH) && sctp_auth_begin(a, &ck->auth) != 0)
        goto no_resource;
    if (sctp_assoc_take_peer(w, a, &ck->peer, &ck->rmt) != 0) /* s5.4: where the INIT ACK went */
        goto no_resource;
    a->peer_adaptation = ck->peer.adaptation;
    a->has_adaptation = ck->peer.has_adaptation;
    struct sctp_cfg cfg = { 0 };
    sctp_cfg_copy(&cfg, &ep->cfg); /* it may go with its listener */
    a->base.lcl.ip = in->lcl.ip; /* what getsockname() says; more are known by the bound address */
    if (session_accept(w, l, &a->base) != 0) {
        sctp_keys_put(&cfg.auth);
        goto no_resource;
    }
    struct sctp_ep *mine = sctp_ep_get(w, a->base.session);
    if (mine)
        sctp_cfg_copy(&mine->cfg, &cfg);
    sctp_keys_put(&cfg.auth);
    if (!mine) {
        session_reset(w, a->base.session, -ENOMEM);
        goto no_resource;
    }
    a->base.lcl.ip = s->lcl.ip;
    sctp_assoc_attach(a, mine);
    return a;
no_resource:
    sctp_count(w, SCTP_N_drop_backlog);
    sctp_reply_abort(w, in, ck->peer.tag, false, SCTP_C_NO_RESOURCE, NULL, 0);
    if (a)
        sctp_assoc_free(w, a);
    return NULL;
}

/* s5.2.4.1: the peer has begun anew, it knows nothing of what was: no sequence number of before counts. */
static int restart(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_cookie *ck)
{
    sctp_queue_drop_all(w, a, true);
    sctp_reasm_free(a);
    sctp_sack_timer_stop(w, a);
    timer_stop(&a->t2, &w->timers);
    timer_stop(&a->t5, &w->timers);
    memset(a->map, 0, a->map_words * sizeof(*a->map));
    a->n_above = a->n_dups = 0;
    a->my_tag = ck->my_tag;
    a->my_init_tsn = a->next_tsn = ck->my_tsn;
    a->cum_acked = a->adv_peer_ack = ck->my_tsn - 1;
    a->eof_asked = a->ecn_echo = a->first_acked = false;
    a->promised = a->last_rwnd = 0;
    if (a->auth)
        a->auth->mine = ck->auth;
    if (sctp_assoc_take_peer(w, a, &ck->peer, &in->rmt.ip) != 0)
        return -ENOMEM;
    for (unsigned i = 0; i < a->n_paths; i++) {
        struct sctp_path *p = a->path[i];
        timer_stop(&p->t3, &w->timers);
        p->flight = p->errors = 0;
        p->rtt_running = p->in_fast_recovery = p->ecn_cut = false;
        p->srtt_us = 0;
        p->rto_us = a->cfg.rto_initial * SCTP_MS;
        sctp_path_cc_init(p);
    }
    sctp_count(w, SCTP_N_restarts);
    return 0;
}

/* The association that the cookie is for, or NULL: it is to be ignored. Letters are of s5.2.4, table 12. */
static struct sctp_assoc *match(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_cookie *ck)
{
    bool mine = ck->my_tag == a->my_tag, peers = ck->peer.tag == a->peer_tag;

    if (!mine && !peers && ck->tie_my == a->my_tag && ck->tie_peer == a->peer_tag) { /* A */
        if (a->state == SCTP_S_SHUTDOWN_ACK_SENT) {
            sctp_reply(w, a, in, SCTP_CT_SHUTDOWN_ACK, NULL, 0);
            sctp_error_send(w, a, in, SCTP_C_COOKIE_SHUTDOWN, NULL, 0);
            return NULL;
        }
        if (restart(w, a, in, ck) != 0) {
            sctp_abort(w, a, SCTP_C_NO_RESOURCE, NULL, 0, -ENOMEM);
            return NULL;
        }
        a->state = SCTP_S_ESTABLISHED; /* whatever it was: it is another association */
        sctp_established(w, a);
        sctp_notify_assoc(w, a, SCTP_RESTART, 0, NULL, 0);
        return a;
    }
    if (mine && !peers) { /* B: both have begun, or its INIT ACK comes late */
        if (a->state > SCTP_S_COOKIE_ECHOED) {
            sctp_count(w, SCTP_N_drop_cookie);
            return NULL;
        }
        if (sctp_assoc_take_peer(w, a, &ck->peer, &in->rmt.ip) != 0)
            return NULL;
        a->peer_adaptation = ck->peer.adaptation;
        a->has_adaptation = ck->peer.has_adaptation;
        sctp_established(w, a);
        tell_connected(w, a);
        return a;
    }
    if (mine && peers) { /* D */
        if (a->state == SCTP_S_COOKIE_ECHOED) {
            sctp_established(w, a);
            tell_connected(w, a);
        }
        return a;
    }
    sctp_count(w, SCTP_N_drop_cookie); /* C, and what the table does not have */
    return NULL;
}

/* s5.1.5 3: how late, in µs. */
static void stale(struct worker *w, struct sctp_in *in, const struct sctp_cookie *ck, uint64_t late_us)
{
    struct sctp_out o;
    uint8_t *b;

    sctp_count(w, SCTP_N_drop_stale_cookie);
    if (sctp_out_begin(w, &o, SCTP_COMMON_LEN + SCTP_CHUNK_HDR + 8) != 0)
        return;
    b = sctp_out_chunk(&o, SCTP_CT_ERROR, 0, SCTP_CHUNK_HDR + 8);
    sctp_put16(b + 4, SCTP_C_STALE_COOKIE);
    sctp_put16(b + 6, 8);
    sctp_put32(b + 8, late_us > UINT32_MAX ? UINT32_MAX : (uint32_t)late_us);
    sctp_out_reply(&o, in, ck->peer.tag);
}

void sctp_cookie_echo_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    struct sctp_cookie ck;
    bool is_new = !a;

    if (in->n_chunks > (in->auth == SCTP_AUTH_GOOD) || !sctp_cookie_take(c, &ck)) { /* s5.1 D: the first chunk */
        sctp_count(w, SCTP_N_drop_cookie);
        return;
    }
    if (!sctp_cookie_is_ours(w, &ck) || ck.my_tag != in->tag || ck.lport.raw != in->lcl.port.raw || ck.rport.raw != in->rmt.port.raw ||
        ck.fib != in->fib) { /* s5.1.5 1, 2 */
        sctp_count(w, SCTP_N_drop_cookie);
        return;
    }
    if (in->auth != SCTP_AUTH_GOOD && sctp_auth_lists(&ck.auth, SCTP_CT_COOKIE_ECHO)) { /* RFC 4895 s6.3 */
        sctp_count(w, SCTP_N_drop_auth);
        return;
    }
    /* The packet may come from another address than the INIT, but one that it named. */
    bool known = ip_addr_eq(&ck.rmt, &in->rmt.ip);
    for (unsigned i = 0; i < ck.peer.n_addrs; i++)
        known |= ip_addr_eq(&ck.peer.addr[i], &in->rmt.ip);
    if (!known) {
        sctp_count(w, SCTP_N_drop_cookie);
        return;
    }
    uint64_t good_until = ck.created_us + (uint64_t)ck.life_ms * SCTP_MS;
    if (w->now_us > good_until && !(a && ck.my_tag == a->my_tag && ck.peer.tag == a->peer_tag)) {
        stale(w, in, &ck, w->now_us - good_until);
        return;
    }
    a = is_new ? from_cookie(w, in, &ck) : match(w, a, in, &ck);
    if (!a)
        return;
    in->path = sctp_path_of(a, &in->rmt.ip);
    if (is_new) {
        a->state = SCTP_S_CLOSED;
        sctp_established(w, a);
        tell_up(w, a);
    }
    uint32_t id = a->id;
    if (in->path->state != SCTP_PATH_UNCONFIRMED)
        a->last_from = in->path;
    sctp_reply(w, a, in, SCTP_CT_COOKIE_ACK, NULL, 0);
    uint32_t used = (uint32_t)(c->b - in->b) + sctp_pad(c->len);
    if (is_new && sctp_assoc_by_id(w, id) == a && used < in->len) { /* DATA behind the cookie */
        struct sctp_in rest = *in;
        rest.b += used;
        rest.len -= used;
        in->reply.p = NULL;
        sctp_chunks_input(w, a, &rest);
        return;
    }
    if (is_new)
        sctp_reply_flush(w, sctp_assoc_by_id(w, id) == a ? a : NULL, in);
    if (sctp_assoc_by_id(w, id) == a)
        sctp_touch(w, a);
}

void sctp_cookie_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    (void)c;
    if (a->n_init == 1)
        sctp_path_rtt(w, in->path, w->now_us - a->cookie_sent_us);
    sctp_established(w, a);
    tell_connected(w, a);
}
