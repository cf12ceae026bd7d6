/* icmp.h - ICMP (RFC 792, RFC 1122 s3.2.2) and ICMPv6 (RFC 4443): echo, errors in, errors out
 * Thread: the worker.
 * Errors: one counter per dropped message (icmp_drops.def). */
#ifndef HOSTSTACK_SERVER_ICMP_H
#define HOSTSTACK_SERVER_ICMP_H

#include "server/worker/worker.h"

enum icmp_unreach { ICMP_UNREACH_PROTOCOL, ICMP_UNREACH_PORT };

/* p at the ICMP header, meta filled. Takes p. */
void icmp_input(struct worker *w, struct pkt *p);

/* Errors about a packet that came in: p at its L4 header, headers still in front (meta.l3_len). Do not take p. Nothing is sent about
 * errors, fragments but the first, broadcasts, multicasts, or over the rate limit. About a packet from ourselves (PKT_LOCAL) the
 * transport is told at once. */
void icmp_unreachable_send(struct worker *w, struct pkt *p, enum icmp_unreach what);
void icmp6_param_problem_send(struct worker *w, struct pkt *p, uint8_t code, uint32_t pointer);
void icmp_reass_timeout_send(struct worker *w, struct pkt *p);

/* A packet of ours that could not be sent (p at its IP header, meta.l3_len; or l3_len 0: at the L4 header): its transport is told err
 * (-errno). Does not take p. */
void icmp_report_local(struct worker *w, struct pkt *p, int err, bool hard, uint32_t mtu);

#endif
