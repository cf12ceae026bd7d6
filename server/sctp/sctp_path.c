/* sctp_path.c - the peer's addresses: state, RTO (RFC 9260 s6.3), congestion control (s7), failure (s8, RFC 7829), MTU */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>
#include "server/ip/pmtu.h"

enum { MTU_UNKNOWN = 1280 };

static uint32_t ip_hdr_len(const struct sctp_path *p)
{
    return (ip_addr_is_v4(&p->ip) ? 20 : 40) + (p->udp_port ? SCTP_UDP_LEN : 0);
}

uint32_t sctp_path_payload(const struct sctp_path *p)
{
    return (p->pmtu - ip_hdr_len(p) - SCTP_COMMON_LEN - (p->a->auth ? p->a->auth->room : 0u)) & ~3u;
}

/* PMDCS: the largest DATA chunk, with its header, that fits in a packet. */
static uint32_t pmdcs(const struct sctp_path *p) { return sctp_path_payload(p); }

/* Two programs of this host may call each other by a loopback address: their packets do not leave the stack. */
int sctp_route(struct worker *w, uint16_t fib, const struct ip_addr *ip, struct ip_path *out)
{
    if (!ip_addr_is_loopback(ip))
        return ip_path_lookup(w, fib, ip, out);
    *out = (struct ip_path){ .mtu = SCTP_PMTU_MAX, .src = *ip, .is_local = true };
    return 0;
}

void sctp_path_mtu_update(struct worker *w, struct sctp_path *p)
{
    struct ip_path path;
    uint32_t mtu = MTU_UNKNOWN;

    if (p->pmtud_off && p->pmtu)
        return;
    if (sctp_route(w, p->a->base.fib, &p->ip, &path) == 0)
        mtu = hs_min_u32(path.mtu, SCTP_PMTU_MAX);
    p->pmtu = (uint16_t)hs_max_u32(mtu, 576 - 64);
}

void sctp_path_cc_init(struct sctp_path *p)
{
    uint32_t n = pmdcs(p);

    p->cwnd = hs_min_u32(4 * n, hs_max_u32(2 * n, ip_addr_is_v4(&p->ip) ? 4404 : 4344)); /* s7.2.1 */
    p->ssthresh = INT32_MAX;
    p->partial_acked = 0;
    p->after_timeout = p->is_decaying = false;
}

/* s7.2.5.1: other queues on the way, of which nothing is known. */
void sctp_path_dscp(struct sctp_path *p, uint8_t dscp)
{
    if (p->dscp != dscp)
        sctp_path_cc_init(p);
    p->dscp = dscp;
}

struct sctp_path *sctp_path_of(const struct sctp_assoc *a, const struct ip_addr *ip)
{
    for (unsigned i = 0; i < a->n_paths; i++)
        if (ip_addr_eq(&a->path[i]->ip, ip))
            return a->path[i];
    return NULL;
}

struct sctp_path *sctp_path_add(struct worker *w, struct sctp_assoc *a, const struct ip_addr *ip, bool is_confirmed)
{
    struct sctp_path *p = sctp_path_of(a, ip);

    if (p || a->n_paths == SCTP_ADDRS)
        return p;
    p = calloc(1, sizeof(*p));
    if (!p)
        return NULL;
    p->a = a;
    p->ip = *ip;
    p->src = ip_addr_any(ip_addr_is_v4(ip));
    p->state = is_confirmed ? SCTP_PATH_ACTIVE : SCTP_PATH_UNCONFIRMED;
    p->rto_us = a->cfg.rto_initial * SCTP_MS;
    p->max_retrans = a->cfg.path_max_retrans;
    p->pf_threshold = a->cfg.pf_threshold;
    p->ps_threshold = a->cfg.ps_threshold;
    p->hb_interval_ms = a->cfg.hb_interval;
    p->hb_enabled = a->cfg.hb_enabled;
    p->udp_port = a->cfg.udp_port;
    p->dscp = a->cfg.dscp;
    p->pmtud_off = a->cfg.pmtud_off;
    p->last_used_us = w->now_us;
    p->t3.fire = sctp_t3_fire;
    sctp_hb_start(w, p); /* sets the timer's function; nothing runs before the association stands */
    if (p->pmtud_off && a->cfg.pmtu)
        p->pmtu = (uint16_t)hs_min_u32(a->cfg.pmtu, SCTP_PMTU_MAX);
    sctp_path_mtu_update(w, p);
    if (sctp_path_hash_add(w, p) != 0) {
        free(p);
        return NULL;
    }
    sctp_path_cc_init(p);
    a->path[a->n_paths++] = p;
    if (!a->primary) {
        a->primary = a->last_from = p;
        a->base.rmt.ip = *ip;
    }
    return p;
}

/* What was in flight there is sent again elsewhere. */
void sctp_path_del(struct worker *w, struct sctp_path *p)
{
    struct sctp_assoc *a = p->a;
    unsigned i = 0;

    timer_stop(&p->t3, &w->timers);
    timer_stop(&p->hb, &w->timers);
    sctp_path_hash_del(w, p);
    while (a->path[i] != p)
        i++;
    memmove(&a->path[i], &a->path[i + 1], (a->n_paths - i - 1u) * sizeof(a->path[0]));
    a->n_paths--;
    struct sctp_path *other = a->n_paths ? a->path[0] : NULL;
    if (a->primary == p)
        a->primary = other;
    if (a->last_from == p)
        a->last_from = a->primary;
    for (struct sctp_tx *t = a->sent_head; t; t = t->next) {
        if (t->path != p)
            continue;
        if (t->state == SCTP_TX_FLIGHT) {
            t->state = SCTP_TX_MARKED;
            a->n_marked++;
            a->flight -= t->len;
        }
        t->path = other;
    }
    free(p);
}

/* ---- retransmission timeout ---- */

static void rto_clamp(struct sctp_path *p)
{
    uint64_t min = (uint64_t)p->a->cfg.rto_min * SCTP_MS, max = (uint64_t)p->a->cfg.rto_max * SCTP_MS;

    if (p->rto_us < min)
        p->rto_us = (uint32_t)min; /* s6.3.1 C6 */
    if (p->rto_us > max)
        p->rto_us = (uint32_t)max; /* C7 */
    if (p->rto_us > p->a->max_rto_us)
        p->a->max_rto_us = p->rto_us;
}

void sctp_path_rtt(struct worker *w, struct sctp_path *p, uint64_t rtt_us)
{
    uint32_t r = rtt_us > UINT32_MAX / 8 ? UINT32_MAX / 8 : (uint32_t)rtt_us;

    (void)w;
    if (p->srtt_us == 0) { /* s6.3.1 C2 */
        p->srtt_us = r ? r : 1;
        p->rttvar_us = r / 2;
    } else {               /* C3: alpha 1/8, beta 1/4 */
        uint32_t diff = p->srtt_us > r ? p->srtt_us - r : r - p->srtt_us;
        p->rttvar_us = p->rttvar_us - p->rttvar_us / 4 + diff / 4;
        p->srtt_us = p->srtt_us - p->srtt_us / 8 + r / 8;
    }
    if (p->rttvar_us == 0)
        p->rttvar_us = TIMER_TICK_US; /* G1 */
    p->rto_us = p->srtt_us + 4 * p->rttvar_us;
    rto_clamp(p);
}

void sctp_path_backoff(struct sctp_path *p)
{
    p->rto_us = p->rto_us > UINT32_MAX / 2 ? UINT32_MAX : p->rto_us * 2; /* s6.3.3 E2 */
    rto_clamp(p);
}

/* ---- congestion control ---- */

/* s7.2.1: nothing was sent there for an RTO, or for several: the window halves with each. */
void sctp_path_cc_idle(struct worker *w, struct sctp_path *p)
{
    while (p->cwnd_used_us && w->now_us > p->cwnd_used_us + p->rto_us && p->flight == 0 && p->cwnd > 4 * pmdcs(p)) {
        if (!p->is_decaying)
            p->ssthresh = p->cwnd;
        p->is_decaying = true;
        p->cwnd = hs_max_u32(p->cwnd / 2, 4 * pmdcs(p));
        p->cwnd_used_us += p->rto_us;
    }
}

void sctp_path_cc_acked(struct worker *w, struct sctp_path *p, bool cum_advanced, uint32_t flight_before)
{
    uint32_t n = pmdcs(p);

    p->cwnd_used_us = w->now_us;
    p->after_timeout = false;
    if (p->in_fast_recovery || !cum_advanced) {
        if (p->cwnd > p->ssthresh)
            p->partial_acked += p->n_acked;
        return;
    }
    if (p->cwnd <= p->ssthresh) { /* s7.2.1: slow start, only when the window was in use; bytes counted, two packets at most a SACK */
        if (flight_before >= p->cwnd)
            p->cwnd += hs_min_u32(p->n_acked, 2 * n);
        p->partial_acked = 0;
    } else {                      /* s7.2.2 */
        p->partial_acked += p->n_acked;
        if (p->partial_acked >= p->cwnd && flight_before >= p->cwnd) {
            p->partial_acked -= p->cwnd;
            p->cwnd += n;
        } else if (p->partial_acked > p->cwnd) {
            p->partial_acked = p->cwnd;
        }
    }
    if (p->flight == 0)
        p->partial_acked = 0;
}

void sctp_path_cc_loss(struct sctp_assoc *a, struct sctp_path *p)
{
    if (p->in_fast_recovery) /* s7.2.4: one reduction for all losses of a window */
        return;
    p->ssthresh = hs_max_u32(p->cwnd / 2, 4 * pmdcs(p)); /* s7.2.3 */
    p->cwnd = p->ssthresh;
    p->partial_acked = 0;
    p->in_fast_recovery = true;
    p->recover_tsn = a->next_tsn - 1;
}

/* A router has marked a packet: as for a loss (s7.2.3), and nothing is sent again. */
void sctp_path_cc_mark(struct sctp_path *p)
{
    if (p->in_fast_recovery)
        return;
    p->ssthresh = hs_max_u32(p->cwnd / 2, 4 * pmdcs(p));
    p->cwnd = p->ssthresh;
    p->partial_acked = 0;
}

void sctp_path_cc_timeout(struct sctp_path *p)
{
    p->ssthresh = hs_max_u32(p->cwnd / 2, 4 * pmdcs(p)); /* s7.2.3 */
    p->cwnd = pmdcs(p);
    p->partial_acked = 0;
    p->in_fast_recovery = false;
    p->after_timeout = true;
}

/* ---- which path ---- */

static unsigned usable(const struct sctp_path *p)
{
    static const uint8_t points[] = {
        [SCTP_PATH_ACTIVE] = 4, [SCTP_PATH_PF] = 3, [SCTP_PATH_INACTIVE] = 2, [SCTP_PATH_UNCONFIRMED] = 1,
    };
    return points[p->state];
}

/* s6.4: the primary one as long as it works, else another; RFC 7829 s5: of those that may have failed, the one with fewest errors. */
struct sctp_path *sctp_path_for_data(struct sctp_assoc *a)
{
    struct sctp_path *best = a->primary;

    for (unsigned i = 0; i < a->n_paths; i++) {
        struct sctp_path *p = a->path[i];
        if (usable(p) > usable(best) || (usable(p) == usable(best) && best->state == SCTP_PATH_PF && p->errors < best->errors))
            best = p;
    }
    return best;
}

struct sctp_path *sctp_path_alternate(struct sctp_assoc *a, const struct sctp_path *not_this)
{
    struct sctp_path *best = NULL;

    for (unsigned i = 0; i < a->n_paths; i++) {
        struct sctp_path *p = a->path[i];
        if (p == not_this || p->state == SCTP_PATH_UNCONFIRMED || p->state == SCTP_PATH_INACTIVE)
            continue;
        if (!best || usable(p) > usable(best))
            best = p;
    }
    return best ? best : sctp_path_for_data(a);
}

/* ---- failure ---- */

void sctp_path_set_state(struct worker *w, struct sctp_path *p, enum sctp_path_state to, uint32_t error)
{
    static const int told[] = {
        [SCTP_PATH_ACTIVE] = SCTP_ADDR_AVAILABLE, [SCTP_PATH_PF] = SCTP_ADDR_POTENTIALLY_FAILED,
        [SCTP_PATH_INACTIVE] = SCTP_ADDR_UNREACHABLE, [SCTP_PATH_UNCONFIRMED] = SCTP_ADDR_UNREACHABLE,
    };
    uint8_t from = p->state;

    if (from == to)
        return;
    p->state = (uint8_t)to;
    if (to == SCTP_PATH_INACTIVE) {
        sctp_count(w, SCTP_N_path_failures);
        p->cache = (struct ip_route_cache){ 0 }; /* another way may be known by now */
    }
    if (to == SCTP_PATH_PF && p->a->cfg.expose_pf != SCTP_EXPOSE_PF)
        return;
    if (from == SCTP_PATH_PF && to == SCTP_PATH_ACTIVE && p->a->cfg.expose_pf != SCTP_EXPOSE_PF)
        return;
    sctp_notify_path(w, p, from == SCTP_PATH_UNCONFIRMED && to == SCTP_PATH_ACTIVE ? SCTP_ADDR_CONFIRMED : told[to], (int)error);
}

/* is_idle_hb: a heartbeat was not answered; the association is judged by the path that its data takes (s8.1). */
void sctp_path_error(struct worker *w, struct sctp_path *p, bool is_idle_hb)
{
    struct sctp_assoc *a = p->a;

    if (p->errors <= p->max_retrans) /* s8.3: not counted any further */
        p->errors++;
    if (!is_idle_hb || p == sctp_path_for_data(a))
        a->errors++;
    if (a->errors > a->cfg.assoc_max_retrans) {
        sctp_abort(w, a, 0, NULL, 0, -ETIMEDOUT);
        return;
    }
    if (p->state == SCTP_PATH_UNCONFIRMED)
        return;
    if (p->errors > p->max_retrans) /* s8.2 */
        sctp_path_set_state(w, p, SCTP_PATH_INACTIVE, SCTP_FAILED_THRESHOLD);
    else if (p->state == SCTP_PATH_ACTIVE && p->errors > p->pf_threshold && a->n_paths > 1) { /* RFC 7829 s5 (3) */
        sctp_path_set_state(w, p, SCTP_PATH_PF, SCTP_FAILED_THRESHOLD);
        if (!p->hb_pending)
            sctp_hb_now(w, p);
    }
    if (p == a->primary && p->errors > p->ps_threshold && p->state != SCTP_PATH_ACTIVE) { /* RFC 7829 s5.2 */
        struct sctp_path *other = sctp_path_for_data(a);
        if (other->state == SCTP_PATH_ACTIVE)
            a->primary = other;
    }
}

/* Something that was sent there has been answered. */
void sctp_path_ok(struct worker *w, struct sctp_path *p)
{
    p->a->errors = 0;
    p->errors = 0;
    if (p->state == SCTP_PATH_PF || p->state == SCTP_PATH_INACTIVE)
        sctp_path_set_state(w, p, SCTP_PATH_ACTIVE, SCTP_HEARTBEAT_SUCCESS);
}

/* RFC 6951 s5.4, s5.5: each packet whose tag is right tells how its sender can be reached. What was cut for a packet without a UDP header goes in
 * IP fragments. */
void sctp_path_take_udp(struct worker *w, struct sctp_path *p, uint16_t udp_port)
{
    if (hs_likely(p->udp_port == udp_port))
        return;
    sctp_count(w, SCTP_N_udp_port_changes);
    p->udp_port = udp_port;
    p->cache = (struct ip_route_cache){ 0 };
}

uint32_t sctp_frag_max(const struct sctp_assoc *a)
{
    uint32_t max = UINT32_MAX;

    for (unsigned i = 0; i < a->n_paths; i++)
        max = hs_min_u32(max, sctp_path_payload(a->path[i]));
    max -= sctp_data_hdr(a);
    if (a->cfg.maxseg && a->cfg.maxseg < max)
        max = a->cfg.maxseg;
    return max & ~3u;
}
