/* sctp.h - the SCTP transport (RFC 9260): what the daemon registers
 * Owner:  see sctp_internal.h.
 * Thread: worker 0. */
#ifndef HOSTSTACK_SERVER_SCTP_H
#define HOSTSTACK_SERVER_SCTP_H

#include "server/session/transport.h"

extern const struct transport_ops sctp_transport_ops;

struct stack;
struct sctp_config {
    uint16_t udp_port;               /* RFC 6951: ours for packets in UDP, from there they are sent, too; 0 = none are taken or sent */
};
void sctp_configure(struct stack *s, const struct sctp_config *cfg); /* before workers start */

/* Rows of `show sctp paths`: up to max, beginning with association number from; returns where to go on, UINT32_MAX = that was all. */
uint32_t sctp_show_paths(struct worker *w, uint32_t from, unsigned max, struct json_t *array);

#endif
