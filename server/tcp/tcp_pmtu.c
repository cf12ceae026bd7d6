/* tcp_pmtu.c - the path MTU over time: packets of full size that vanish without an ICMP error (RFC 2923 s2.1, RFC 4821 s7.7), and
 * larger sizes again (RFC 1191 s6.3, RFC 8201 s4): by sending them after ten minutes, or by probes (tcp_pmtu_search.c) */
#include "server/tcp/tcp_pmtu.h"
#include "server/tcp/tcp_trace.h"

enum { TCP_PMTU_BASE_V6 = 1280, TCP_PMTU_BASE = 1280 };

/* Tunnels, RFC 4821's choice, and what every IPv4 host takes. IPv6 has links of 1280 and no smaller ones. */
static const uint16_t steps_v4[] = { 1280, 1024, 576 };

void tcp_pmtu_hold(const struct worker *w, struct tcp_conn *c, uint32_t ms)
{
    c->pmtu_until_ms = tcp_now_ms(w) + ms;
    if (c->pmtu_until_ms == 0)
        c->pmtu_until_ms = 1;
}

/* Without SACK a lost probe could not be told from any other loss (RFC 4821 s7.4 asks for that). */
static bool can_probe(struct worker *w, const struct tcp_conn *c)
{
    return tcp_worker_of(w)->cfg.mtu_probing != TCP_MTU_PROBING_OFF && c->flags & TCP_F_SACK && !(c->flags & TCP_F_LOCAL);
}

void tcp_pmtu_lower(struct worker *w, struct tcp_conn *c, uint16_t mtu)
{
    c->path_mtu = mtu;
    c->pmtu_high = 0;
    c->mtu_before = 0;
    tcp_pmtu_hold(w, c, TCP_PMTU_RAISE_MS);
    c->flags |= TCP_F_PMTU_LOW;
    tcp_conn_path_update(w, c);
    tcp_trace(w, c, TCP_TRACE_MTU, mtu);
}

/* The next below what the first segment in flight takes, which may be none of full size. */
static uint16_t next_step(const struct tcp_conn *c)
{
    bool v4 = ip_addr_is_v4(&c->base.rmt.ip);
    uint32_t data = hs_min_u32(c->snd_nxt - c->snd_una, c->mss);
    uint32_t size = data + c->opt_len + (uint32_t)sizeof(struct tcp_hdr) + (v4 ? 20 : 40);

    if (!v4)
        return size > TCP_PMTU_BASE_V6 ? TCP_PMTU_BASE_V6 : 0;
    for (unsigned i = 0; i < HS_ARRAY_LEN(steps_v4); i++) {
        if (steps_v4[i] < size)
            return steps_v4[i];
    }
    return 0;
}

/* R1 timeouts in a row and more: perhaps the path is dead, perhaps it only drops what is large. Smaller segments do no harm to the
 * first and are what helps against the second. Which it was, probes tell: the search begins when the connection is well again. */
void tcp_pmtu_timeout(struct worker *w, struct tcp_conn *c)
{
    uint16_t mtu;

    if (c->mtu_before) { /* the size before was well */
        tcp_pmtu_unverified(w, c);
        return;
    }
    mtu = next_step(c);
    if (mtu == 0) /* so small that its size is not the reason */
        return;
    tcp_count(w, TCP_C_pmtu_black_hole);
    tcp_pmtu_lower(w, c, mtu);
    if (can_probe(w, c)) {
        c->mtu_probing = true;
        tcp_pmtu_hold(w, c, TCP_PMTU_TIMEOUT_MS);
    }
}

/* By the time that is left: the difference of the clocks alone would call it the future again after 25 days of silence. */
bool tcp_pmtu_is_held(const struct worker *w, const struct tcp_conn *c)
{
    return c->pmtu_until_ms && c->pmtu_until_ms - tcp_now_ms(w) - 1 < TCP_PMTU_HELD_MAX_MS;
}

/* Of this connection's own finding: it is less than others know of, or more and not proved yet. */
static bool knows_better(const struct tcp_conn *c, uint16_t mtu, uint16_t link_mtu)
{
    return c->path_mtu && (c->path_mtu < mtu || (c->mtu_before && c->path_mtu <= link_mtu));
}

/* mtu: of the route, with what is known of the path; link_mtu: without that, 0 = there is no route now. What this connection has found
 * holds: for ten minutes, or until a probe has arrived. */
uint16_t tcp_pmtu_of_path(struct worker *w, struct tcp_conn *c, uint16_t mtu, uint16_t link_mtu)
{
    if (c->mtu_probing && c->path_mtu && !link_mtu)
        return c->path_mtu;
    if ((c->mtu_probing || tcp_pmtu_is_held(w, c)) && knows_better(c, mtu, link_mtu)) {
        c->flags |= TCP_F_PMTU_LOW;
        return c->path_mtu;
    }
    c->pmtu_until_ms = 0;
    c->pmtu_high = 0;
    c->mtu_before = 0;
    if (mtu < link_mtu) { /* another connection, or ICMP, has found that out */
        c->flags |= TCP_F_PMTU_LOW;
        c->mtu_probing = can_probe(w, c);
        tcp_pmtu_hold(w, c, c->mtu_probing ? tcp_worker_of(w)->cfg.mtu_interval_us / 1000 : TCP_PMTU_RAISE_MS);
    }
    return mtu;
}

/* The options are negotiated. RFC 4821 s7.2: who does not trust ICMP begins small and searches at once. */
void tcp_pmtu_begin(struct worker *w, struct tcp_conn *c)
{
    tcp_conn_path_update(w, c);
    if (tcp_worker_of(w)->cfg.mtu_probing != TCP_MTU_PROBING_ALWAYS || !can_probe(w, c) || c->path_mtu <= TCP_PMTU_BASE)
        return;
    c->path_mtu = TCP_PMTU_BASE;
    c->pmtu_until_ms = 0;
    c->mtu_probing = true;
    c->flags |= TCP_F_PMTU_LOW;
    tcp_conn_mss_update(c, c->tso_max);
}

/* What was learnt has held for its time. Probes find out what is possible now; where there are none: the size that the route has, and if
 * the path still does not take it, ICMP or timeouts will tell. */
void tcp_pmtu_raise(struct worker *w, struct tcp_conn *c)
{
    if (c->mtu_before) {
        tcp_pmtu_verify(w, c);
        return;
    }
    if (c->pmtu_high || tcp_pmtu_is_held(w, c))
        return;
    if (c->mtu_probing) {
        tcp_pmtu_search(w, c);
        return;
    }
    c->flags &= ~TCP_F_PMTU_LOW;
    if (tcp_conn_path_update(w, c) != 0)
        c->flags |= TCP_F_PMTU_LOW; /* no route now: the next time */
    else
        tcp_trace(w, c, TCP_TRACE_MTU, c->path_mtu);
}
