/* sctp_option.h - what the files of socket options share (RFC 6458 s8): one call, and how a value is taken and given
 *
 * A value comes whole, in the struct of linux/sctp.h; assoc ids in it are the client library's and not looked at.
 * Owner:  a call's struct is the caller's, for the call.
 * Thread: worker 0.
 * Errors: 0 or -errno, those of Linux. */
#ifndef HOSTSTACK_SERVER_SCTP_OPTION_H
#define HOSTSTACK_SERVER_SCTP_OPTION_H

#include "server/sctp/sctp_internal.h"

struct sctp_opt_call {
    struct worker *w;
    struct sctp_ep *ep;
    struct sctp_assoc *a;            /* NULL = none (yet) */
    uint8_t *val;                    /* SVM_SCTP_OPT_MAX bytes of room */
    uint32_t *len;                   /* set: of val; get: in the caller's room, out what is used */
};
typedef int sctp_opt_fn(struct sctp_opt_call *c);
struct sctp_opt_row { uint16_t opt, min; sctp_opt_fn *set, *get; }; /* min: bytes */

#define IN(type) struct type v; memcpy(&v, c->val, sizeof(v))
#define OUT(v) (memcpy(c->val, &(v), sizeof(v)), *c->len = sizeof(v), 0)

/* The association's, or the socket's. */
static inline struct sctp_cfg *sctp_opt_cfg(const struct sctp_opt_call *c) { return c->a ? &c->a->cfg : &c->ep->cfg; }
int sctp_opt_endpoint(const uint8_t *b, uint32_t room, struct ip_endpoint *out, uint32_t *used); /* one packed sockaddr; -EINVAL */
void sctp_opt_put_storage(const struct sctp_opt_call *c, const struct ip_addr *ip, be16 port, void *to);

extern const struct sctp_opt_row sctp_opt_ext[], sctp_opt_auth[]; /* rows of sctp_option_ext.c, sctp_option_auth.c; the last has no min */

/* sctp_option_addr.c */
int sctp_opt_addrs(const struct sctp_opt_call *c, struct ip_addr *out, be16 *port); /* packed sockaddrs: how many, -EINVAL */
sctp_opt_fn sctp_opt_bindx_add, sctp_opt_bindx_rem, sctp_opt_set_peer_primary;

/* sctp_option_path.c */
sctp_opt_fn sctp_opt_get_paddrinfo, sctp_opt_set_paddrparams, sctp_opt_get_paddrparams, sctp_opt_set_primary, sctp_opt_get_primary,
    sctp_opt_set_thresholds, sctp_opt_get_thresholds, sctp_opt_set_thresholds2, sctp_opt_get_thresholds2, sctp_opt_set_udp_port,
    sctp_opt_get_udp_port;
int sctp_opt_path_state(const struct sctp_path *p); /* enum sctp_spinfo_state */

#endif
