/* tcp_isn.c - initial sequence numbers and timestamp offsets that cannot be guessed from outside (RFC 6528, RFC 7323 s5.4) */
#include "common/siphash.h"
#include "server/tcp/tcp_internal.h"

enum tcp_isn_use { TCP_ISN_SEQ = 1, TCP_ISN_TS = 2 };

static uint64_t tuple_hash(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, enum tcp_isn_use use)
{
    struct {
        struct ip_addr lcl, rmt;
        be16 lport, rport;
        uint32_t use;
    } in = { lcl->ip, rmt->ip, lcl->port, rmt->port, (uint32_t)use };

    static_assert(sizeof(in) == 40, "no padding goes into the hash");
    return siphash24(w->secret, &in, sizeof(in));
}

/* ISN = M + F(tuple, secret), M a clock of 4 us (RFC 9293 s3.4.1): for one tuple the numbers only move on. */
uint32_t tcp_isn(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    return (uint32_t)(w->now_us / 4) + (uint32_t)tuple_hash(w, lcl, rmt, TCP_ISN_SEQ);
}

/* The same for each connection of a tuple, so that timestamps tell a new SYN from an old one (RFC 6191). */
uint32_t tcp_ts_offset(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    return (uint32_t)tuple_hash(w, lcl, rmt, TCP_ISN_TS);
}
