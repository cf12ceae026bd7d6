/* vcl_sctp.h - what SCTP has beside the calls of vcl.h: a message's ancillary values, associations, addresses (RFC 6458)
 *
 * A socket of SVM_PROTO_SCTP is one-to-one (one association, RFC 6458 s4) or one-to-many (s3). vcl_send() and vcl_recv() move messages;
 * struct vcl_msg_info points to a struct vcl_sctp_msg for what stands beside one. vcl_setsockopt() and vcl_getsockopt() know SOL_SCTP.
 * Thread: any, as vcl.h.
 * Errors: >= 0 or -errno, as Linux's sctp(7) gives them. */
#ifndef HOSTSTACK_VCL_VCL_SCTP_H
#define HOSTSTACK_VCL_VCL_SCTP_H

#include <linux/sctp.h>
#include "vcl/vcl.h"

/* Flags and values are those of RFC 6458 s5.3; ppid as the program gave it, no byte is swapped. */
struct vcl_sctp_msg {
    uint16_t stream, ssn;     /* ssn: received */
    uint16_t flags;           /* SCTP_UNORDERED, SCTP_EOF, ... */
    uint16_t pr_policy;       /* SCTP_PR_SCTP_*, with has_pr */
    uint32_t pr_value;        /* ms, retransmissions, priority */
    uint32_t ppid, context;
    uint32_t tsn, cumtsn;     /* received */
    uint32_t assoc_id;        /* sent: one-to-many without an address */
    uint16_t auth_key;        /* with has_auth */
    bool has_snd;             /* sent: stream, flags, ppid, context are the program's; else the socket's defaults count */
    bool has_pr, has_auth;
    bool has_next;            /* received: `next` tells of the message after this one (SCTP_RECVNXTINFO) */
    struct sctp_nxtinfo next;
    const struct ip_addr *also; /* sent: more addresses of the peer, n_also, if the message sets its association up */
    uint32_t n_also;
};
enum { VCL_SCTP_ALSO_MAX = 15 };

/* Right after vcl_socket_new(): the socket is one-to-many (SOCK_SEQPACKET). 0, -ENOMEM. */
int vcl_sctp_make_many(struct vcl_socket *s);
/* RFC 6458 s9.2: the association becomes a one-to-one socket, blocking. -EINVAL: no such association, or not one-to-many. */
int vcl_sctp_peeloff(struct vcl_socket *s, uint32_t assoc_id, struct vcl_socket **out);

/* Which ancillary data the program has asked for: SCTP_EVENTS' sctp_data_io_event, SCTP_RECVRCVINFO, SCTP_RECVNXTINFO. */
enum vcl_sctp_wants { VCL_SCTP_SNDRCV = 1, VCL_SCTP_RCVINFO = 2, VCL_SCTP_NXTINFO = 4, VCL_SCTP_PLAIN_V4 = 8 /* addresses: not mapped */ };
unsigned vcl_sctp_wants(const struct vcl_socket *s);

#endif
