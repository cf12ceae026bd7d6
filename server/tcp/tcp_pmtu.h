/* tcp_pmtu.h - how large the packets of a connection may be, and the search for a larger size (RFC 4821, RFC 8899 s5)
 *
 *   full size --timeouts in a row, ICMP--> TCP_F_PMTU_LOW, held for a while --tcp_pmtu_raise()--> search: pmtu_high
 *   search: tcp_pmtu_probe() sends one segment of a size between path_mtu and pmtu_high, made of the program's bytes
 *           arrived: path_mtu is that size, to be verified: mtu_before      lost alone: sent again in small segments, no congestion
 *   verified: the search goes on; not: path_mtu is mtu_before again, and pmtu_high below that size
 *           nothing left in between: held for mtu-probe-interval, or full size again
 *
 * Owner:  fields of struct tcp_conn; the probe in flight: struct tcp_sent.
 * Thread: owning worker only.
 * Memory: process-private.
 * Errors: none; what cannot be probed now is probed later. */
#ifndef HOSTSTACK_SERVER_TCP_PMTU_H
#define HOSTSTACK_SERVER_TCP_PMTU_H

#include "server/tcp/tcp_sent.h"

enum {
    TCP_PMTU_RAISE_MS = 10 * 60 * 1000, /* what ICMP has told holds for so long (RFC 1191 s6.3, RFC 8201 s4) */
    TCP_PMTU_HELD_MAX_MS = 3600 * 1000, /* tcp_config.mtu_interval_us is no longer */
    TCP_PMTU_TIMEOUT_MS = 15 * 1000,    /* its PROBE_TIMER: after a timeout, when nobody knows what was lost (RFC 4821 s7.6.3) */
    TCP_PMTU_LOST_MS = 1000,            /* its least: after a loss that was told at once. So much goes by without congestion control */
};

enum tcp_mtu_tries {                    /* tcp_conn.mtu_tries: how often a size has failed */
    TCP_MTU_MAX_PROBES = 3,             /* RFC 8899 s5.1.2: one loss may have had any reason */
    TCP_MTU_TRY_HIGH = 3,               /* none yet: the next probe is of pmtu_high itself */
};
static_assert(TCP_MTU_TRY_HIGH < 4 && (int)TCP_MTU_MAX_PROBES <= (int)TCP_MTU_TRY_HIGH, "two bits");

/* tcp_pmtu.c */
void tcp_pmtu_hold(const struct worker *w, struct tcp_conn *c, uint32_t ms); /* nothing larger for so long; TCP_PMTU_HELD_MAX_MS at most */

/* tcp_pmtu_search.c */
void tcp_pmtu_verify(struct worker *w, struct tcp_conn *c);     /* with mtu_before: do the losses since then say that it was wrong? */
void tcp_pmtu_unverified(struct worker *w, struct tcp_conn *c); /* with mtu_before: they do */
void tcp_pmtu_search(struct worker *w, struct tcp_conn *c);     /* begins */
void tcp_pmtu_show(struct worker *w, const struct tcp_conn *c, struct json_t *obj);

#endif
