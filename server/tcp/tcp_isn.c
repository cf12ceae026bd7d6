/* tcp_isn.c - initial sequence numbers and timestamp offsets that cannot be guessed from outside (RFC 6528, RFC 7323 s5.4) */
#include "common/siphash.h"
#include "server/tcp/tcp_internal.h"

static uint64_t tuple_hash(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    struct {
        struct ip_addr lcl, rmt;
        be16 lport, rport;
        uint32_t use;
    } in;
    struct {
        be32 lcl, rmt;
        be16 lport, rport;
        uint32_t use;
    } in4;

    static_assert(sizeof(in) == 40 && sizeof(in4) == 16, "no padding goes into the hash");
    if (ip_addr_is_v4(&lcl->ip)) {
        in4.lcl = lcl->ip.w[3], in4.rmt = rmt->ip.w[3];
        in4.lport = lcl->port, in4.rport = rmt->port;
        in4.use = 1;
        return siphash24(w->secret, &in4, sizeof(in4));
    }
    in.lcl = lcl->ip, in.rmt = rmt->ip;
    in.lport = lcl->port, in.rport = rmt->port;
    in.use = 1;
    return siphash24(w->secret, &in, sizeof(in));
}

/* ISN = M + F(tuple, secret), M a clock of 4 us (RFC 9293 s3.4.1): for one tuple the numbers only move on. */
static uint32_t isn_of(struct worker *w, uint64_t hash) { return (uint32_t)(w->now_us / 4) + (uint32_t)hash; }

/* The same for each connection of a tuple, so that timestamps tell a new SYN from an old one (RFC 6191). The halves of the hash know
 * nothing of each other. */
static uint32_t ts_offset_of(uint64_t hash) { return (uint32_t)(hash >> 32); }

uint32_t tcp_isn(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    return isn_of(w, tuple_hash(w, lcl, rmt));
}

uint32_t tcp_ts_offset(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    return ts_offset_of(tuple_hash(w, lcl, rmt));
}

void tcp_isn_choose(struct worker *w, struct tcp_conn *c)
{
    uint64_t hash = tuple_hash(w, &c->base.lcl, &c->base.rmt);

    c->iss = isn_of(w, hash);
    c->ts_offset = ts_offset_of(hash);
}
