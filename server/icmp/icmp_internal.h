/* icmp_internal.h - the wire format and the three parts of icmp/: icmp.c (echo, dispatch), icmp_in.c, icmp_out.c (errors)
 * Thread: the worker. */
#ifndef HOSTSTACK_SERVER_ICMP_INTERNAL_H
#define HOSTSTACK_SERVER_ICMP_INTERNAL_H

#include "server/icmp/icmp.h"
#include "server/ip/ip_internal.h"

struct icmp_hdr {
    uint8_t type, code;
    uint16_t csum;      /* as on the wire */
    be32 rest;
} __attribute__((packed));
static_assert(sizeof(struct icmp_hdr) == 8, "icmp_hdr");

enum icmp4_type { ICMP4_ECHO_REPLY = 0, ICMP4_UNREACH = 3, ICMP4_QUENCH = 4, ICMP4_ECHO = 8, ICMP4_TIME = 11, ICMP4_PARAM = 12 };
enum icmp6_type {
    ICMP6_T_UNREACH = 1, ICMP6_T_TOO_BIG = 2, ICMP6_T_TIME = 3, ICMP6_T_PARAM = 4, ICMP6_T_ECHO = 128, ICMP6_T_ECHO_REPLY = 129,
    ICMP6_T_MLD_QUERY = 130, ICMP6_T_MLD_REPORT = 131, ICMP6_T_MLD_DONE = 132, ICMP6_T_MLD2_REPORT = 143,
    ICMP6_T_RS = 133, ICMP6_T_RA = 134, ICMP6_T_NS = 135, ICMP6_T_NA = 136, ICMP6_T_REDIRECT = 137,
};

static inline void icmp_drop(struct worker *w, struct pkt *p, enum icmp_drop why)
{
    w->ip->count.icmp[why]++;
    if (capture_is_on(w))
        capture_drop(w, p, "icmp", icmp_drop_texts[why]);
    pkt_free(p);
}
/* p at the ICMP header with the checksum verified. Does not take p. */
void icmp_error_input(struct worker *w, struct pkt *p);
/* Sets the checksum of an ICMP message at p's data; ICMPv6: with the pseudo header of meta (src, dst, ip_proto). */
void icmp_set_checksum(struct pkt *p);

#endif
