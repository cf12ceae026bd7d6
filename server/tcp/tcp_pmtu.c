/* tcp_pmtu.c - the path MTU over time: packets of full size that vanish without an ICMP error (RFC 2923 s2.1, RFC 4821 s7.7), and
 * trying the route's own size again (RFC 1191 s6.3, RFC 8201 s4) */
#include "server/tcp/tcp_trace.h"

enum { TCP_PMTU_HOLD_MS = 10 * 60 * 1000, TCP_PMTU_BASE_V6 = 1280 };

/* Tunnels, RFC 4821's choice, and what every IPv4 host takes. IPv6 has links of 1280 and no smaller ones. */
static const uint16_t steps_v4[] = { 1280, 1024, 576 };

void tcp_pmtu_lower(struct worker *w, struct tcp_conn *c, uint16_t mtu)
{
    c->path_mtu = mtu;
    c->pmtu_until_ms = tcp_now_ms(w) + TCP_PMTU_HOLD_MS;
    if (c->pmtu_until_ms == 0)
        c->pmtu_until_ms = 1;
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
 * first and are what helps against the second. */
void tcp_pmtu_timeout(struct worker *w, struct tcp_conn *c)
{
    uint16_t mtu = next_step(c);

    if (mtu == 0) /* so small that its size is not the reason */
        return;
    tcp_count(w, TCP_C_pmtu_black_hole);
    tcp_pmtu_lower(w, c, mtu);
}

/* By the time that is left: the difference of the clocks alone would call it the future again after 25 days of silence. */
bool tcp_pmtu_is_held(const struct worker *w, const struct tcp_conn *c)
{
    return c->pmtu_until_ms && c->pmtu_until_ms - tcp_now_ms(w) - 1 < TCP_PMTU_HOLD_MS;
}

/* Ten minutes are over: the size that the route has, and if the path still does not take it, ICMP or timeouts will tell. */
void tcp_pmtu_raise(struct worker *w, struct tcp_conn *c)
{
    if (tcp_pmtu_is_held(w, c))
        return;
    if (tcp_conn_path_update(w, c) != 0)
        return; /* no route now: the next time */
    c->flags &= ~TCP_F_PMTU_LOW;
    tcp_trace(w, c, TCP_TRACE_MTU, c->path_mtu);
}
