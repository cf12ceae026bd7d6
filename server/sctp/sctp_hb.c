/* sctp_hb.c - heartbeats: is a path there (RFC 9260 s8.3), is an address the peer's (s5.4), how long does it take */
#include "server/sctp/sctp_internal.h"

#include <stdlib.h>

enum { HB_INFO = 24 }; /* nonce 8, time 8, path 4, padding */

static void hb_send(struct worker *w, struct sctp_path *p)
{
    uint8_t b[SCTP_PARAM_HDR + HB_INFO] = { 0 };

    p->hb_nonce = worker_random(w); /* s5.4: 64 bits that nobody else knows */
    p->hb_sent_us = w->now_us;
    p->hb_pending = true;
    sctp_put16(b, SCTP_P_HEARTBEAT);
    sctp_put16(b + 2, sizeof(b));
    memcpy(b + 4, &p->hb_nonce, 8);
    memcpy(b + 12, &p->hb_sent_us, 8);
    memcpy(b + 20, p->ip.b + 12, 4);
    sctp_count(w, SCTP_N_heartbeats);
    sctp_send_chunk(w, p->a, p, SCTP_CT_HEARTBEAT, 0, b, sizeof(b));
}

/* s8.3: an answer is waited for an RTO; else the interval, plus the RTO, with a jitter of half the RTO. */
static uint64_t next_us(struct worker *w, const struct sctp_path *p)
{
    uint64_t rto = p->rto_us, jitter = worker_random(w) % (rto + 1);

    if (p->hb_pending)
        return w->now_us + rto;
    return w->now_us + (uint64_t)p->hb_interval_ms * SCTP_MS + rto / 2 + jitter;
}

static bool may_beat(const struct sctp_path *p)
{
    uint8_t s = p->a->state;

    return s >= SCTP_S_ESTABLISHED && s != SCTP_S_SHUTDOWN_SENT && s != SCTP_S_SHUTDOWN_ACK_SENT; /* s8.3 */
}

/* A path in doubt, or one that nobody has proven, is asked again after an RTO (s5.4, RFC 7829 s5 (5)); one that has failed, in its time. */
static bool is_urgent(const struct sctp_path *p)
{
    return p->state == SCTP_PATH_PF || (p->state == SCTP_PATH_UNCONFIRMED && p->errors <= p->max_retrans);
}

/* s5.4: one address that is not confirmed is asked an RTO (HB.Max.Burst is 1), the one that has waited longest. */
static void probe(struct worker *w, struct sctp_path *p)
{
    struct sctp_assoc *a = p->a;
    struct sctp_path *q = p;

    if (w->now_us < a->probe_us) {
        timer_start(&w->timers, &p->hb, a->probe_us);
        return;
    }
    for (unsigned i = 0; i < a->n_paths; i++)
        if (a->path[i]->state == SCTP_PATH_UNCONFIRMED && is_urgent(a->path[i]) && a->path[i]->hb_sent_us < q->hb_sent_us)
            q = a->path[i];
    a->probe_us = w->now_us + q->rto_us;
    sctp_hb_now(w, q);
    if (q != p)
        timer_start(&w->timers, &p->hb, a->probe_us);
}

static void hb_fire(struct worker *w, struct timer_node *t)
{
    struct sctp_path *p = hs_container_of(t, struct sctp_path, hb);
    struct sctp_assoc *a = p->a;
    uint32_t id = a->id;

    if (!may_beat(p))
        return;
    if (p->hb_pending) { /* the last one was not answered (s8.3) */
        p->hb_pending = false;
        sctp_path_backoff(p);
        sctp_path_error(w, p, true);
        if (sctp_assoc_by_id(w, id) != a || p->hb_pending) /* asked again already */
            return;
        if (!is_urgent(p)) {
            timer_start(&w->timers, t, next_us(w, p));
            return;
        }
    }
    if (p->state == SCTP_PATH_UNCONFIRMED && is_urgent(p)) {
        probe(w, p);
        return;
    }
    bool is_idle = w->now_us >= p->last_used_us + (uint64_t)p->hb_interval_ms * SCTP_MS;
    if (p->state != SCTP_PATH_ACTIVE || (p->hb_enabled && is_idle))
        hb_send(w, p);
    timer_start(&w->timers, t, next_us(w, p));
}

void sctp_hb_start(struct worker *w, struct sctp_path *p)
{
    p->hb.fire = hb_fire;
    if (p->is_hashed && may_beat(p))
        timer_start(&w->timers, &p->hb, next_us(w, p));
}

void sctp_hb_now(struct worker *w, struct sctp_path *p)
{
    hb_send(w, p);
    timer_start(&w->timers, &p->hb, next_us(w, p));
}

/* s5.4: addresses that the peer has only named are asked, the first at once. */
void sctp_hb_all(struct worker *w, struct sctp_assoc *a)
{
    for (unsigned i = 0; i < a->n_paths; i++) {
        if (a->path[i]->state == SCTP_PATH_UNCONFIRMED)
            probe(w, a->path[i]);
        else
            sctp_hb_start(w, a->path[i]);
    }
}

void sctp_heartbeat_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    /* s8.3: the information comes back as it is, to where it came from; s6.4 */
    sctp_reply(w, a, in, SCTP_CT_HEARTBEAT_ACK, c->b + SCTP_CHUNK_HDR, c->len - SCTP_CHUNK_HDR);
}

void sctp_heartbeat_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    uint64_t nonce, sent;

    (void)in;
    if (c->len < SCTP_CHUNK_HDR + SCTP_PARAM_HDR + HB_INFO)
        return;
    memcpy(&nonce, c->b + 8, 8);
    memcpy(&sent, c->b + 16, 8);
    for (unsigned i = 0; i < a->n_paths; i++) {
        struct sctp_path *p = a->path[i];
        if (!p->hb_nonce || p->hb_nonce != nonce || p->hb_sent_us != sent)
            continue;
        bool was_unconfirmed = p->state == SCTP_PATH_UNCONFIRMED;
        p->hb_nonce = 0;
        p->hb_pending = false;
        sctp_path_rtt(w, p, w->now_us - sent);
        if (was_unconfirmed)
            sctp_path_set_state(w, p, SCTP_PATH_ACTIVE, SCTP_HEARTBEAT_SUCCESS);
        if (was_unconfirmed)
            sctp_asconf_confirmed(w, p);
        sctp_path_ok(w, p);
        timer_start(&w->timers, &p->hb, next_us(w, p));
        sctp_touch(w, a);
        return;
    }
}
