/* tcp_isn.c - initial sequence numbers and timestamp offsets that cannot be guessed from outside (RFC 6528, RFC 7323 s5.4) */
#include "common/siphash.h"
#include "server/tcp/tcp_internal.h"

static uint64_t tuple_hash(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt)
{
    enum { USE = 1 }; /* what else the secret hashes has other bytes there */
    uint64_t in[5], ports = (uint64_t)USE << 32 | (uint32_t)rmt->port.raw << 16 | lcl->port.raw;

    if (ip_addr_is_v4(&lcl->ip)) {
        in[0] = (uint64_t)rmt->ip.w[3].raw << 32 | lcl->ip.w[3].raw;
        in[1] = ports;
        return siphash24_words(w->secret, in, 2);
    }
    memcpy(&in[0], &lcl->ip, sizeof(lcl->ip));
    memcpy(&in[2], &rmt->ip, sizeof(rmt->ip));
    in[4] = ports;
    return siphash24_words(w->secret, in, 5);
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
