/* sctp_asconf.h - addresses of an association that change while it lasts (RFC 5061)
 * Owner:  its association; made when both sides agree on ASCONF, which they do only with AUTH.
 * Thread: worker 0.
 * Errors: packets: drop_asconf of sctp_drops.def; calls: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_SCTP_ASCONF_H
#define HOSTSTACK_SERVER_SCTP_ASCONF_H

#include "server/worker/timer_wheel.h"
#include "server/ip/ip.h"
#include "svm/svm_sctp.h"

struct worker;
struct sctp_assoc;
struct sctp_chunk;
struct sctp_in;
struct sctp_path;

enum {
    SCTP_CHANGES_MAX = 2 * SVM_SCTP_ADDRS_MAX,
    SCTP_ASCONF_PARAMS = 16,         /* of a peer's chunk; what is behind them is refused */
    SCTP_ASCONF_ANSWER = 48,         /* bytes for one of them, at most */
};
struct sctp_change { uint16_t type; struct ip_addr ip; }; /* SCTP_P_ADD_IP, SCTP_P_DEL_IP, SCTP_P_SET_PRIMARY */
struct sctp_asconf {
    struct sctp_assoc *a;
    struct timer_node t4, watch;     /* sent again; looks for addresses of ours that came or went (SCTP_AUTO_ASCONF) */
    uint32_t next_seq, peer_seq;     /* of our next chunk, of the peer's */
    uint8_t n_changes, n_sent;       /* the first n_sent are in the chunk that is under way */
    uint8_t n_known, n_refused;
    struct sctp_change change[SCTP_CHANGES_MAX];
    struct ip_addr known[SVM_SCTP_ADDRS_MAX]; /* ours, as the peer knows them */
    struct ip_addr refused[SVM_SCTP_ADDRS_MAX]; /* of those that the stack has: the peer does not want them */
    struct ip_addr make_primary;     /* the peer asked for it, and it is not confirmed yet; any: nothing */
    uint16_t req_len, ack_len;
    uint8_t req[1024];               /* under way, with req_len */
    uint8_t ack[4 + (SCTP_ASCONF_PARAMS + 1) * SCTP_ASCONF_ANSWER]; /* to the peer's last */
};

/* sctp_asconf.c: what we ask for */
int sctp_asconf_begin(struct worker *w, struct sctp_assoc *a);       /* agreed; -ENOMEM */
void sctp_asconf_end(struct worker *w, struct sctp_assoc *a);
bool sctp_asconf_has(const struct sctp_assoc *a, const struct ip_addr *ip); /* ours: known to the peer, or about to be */
bool sctp_asconf_is_told(const struct sctp_assoc *a, const struct ip_addr *ip); /* the peer takes it for ours, and is not asked to forget it */
int sctp_asconf_ask(struct worker *w, struct sctp_assoc *a, uint16_t type, const struct ip_addr *ip);
void sctp_asconf_send(struct worker *w, struct sctp_assoc *a);       /* what has been asked for, when nothing is under way */
void sctp_asconf_watch(struct worker *w, struct sctp_assoc *a);
void sctp_asconf_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);

/* sctp_asconf_in.c: what the peer asks for */
void sctp_asconf_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
bool sctp_asconf_elsewhere(struct worker *w, struct sctp_in *in, const struct sctp_chunk *c); /* from an address not known; false: nobody's */
void sctp_asconf_confirmed(struct worker *w, struct sctp_path *p);

#endif
