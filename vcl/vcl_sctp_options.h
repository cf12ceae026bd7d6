/* vcl_sctp_options.h - setters and getters of SOL_SCTP that the table of vcl_sctp_options.c names
 *
 * val has the size of its row's struct, or more where the row says that it varies. Getters: *len is the caller's room, then what is used.
 * Owner:  no state of their own, that is in struct vcl_sctp.
 * Thread: any, as vcl.h.
 * Errors: 0 or -errno, those of Linux. */
#ifndef HOSTSTACK_VCL_VCL_SCTP_OPTIONS_H
#define HOSTSTACK_VCL_VCL_SCTP_OPTIONS_H

#include "vcl/vcl_sctp_internal.h"

/* vcl_sctp_prefs.c */
int vcl_sctp_set_events(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_events(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_event(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_event(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_rcvinfo(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_rcvinfo(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_nxtinfo(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_nxtinfo(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_sndinfo(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_sndinfo(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_send_param(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_send_param(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_prinfo(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_prinfo(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_context(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_context(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_mapped(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_mapped(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_interleave(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_interleave(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_get_number(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_get_ids(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_initmsg(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_set_adaptation(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_set_reuse(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_reuse(struct vcl_socket *s, void *val, socklen_t *len);

/* vcl_sctp_status.c */
int vcl_sctp_put(void *val, socklen_t *len, const void *from, size_t n); /* -EINVAL: no room */
bool vcl_sctp_is_local_peer(const struct vcl_socket *s, const void *storage); /* a sockaddr_storage: the other end, cut-through */
int vcl_sctp_get_status(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_get_peer_info(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_set_primary(struct vcl_socket *s, const void *val, socklen_t len);
int vcl_sctp_get_primary(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_get_stats(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_get_assoc_given_up(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_get_stream_given_up(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_get_peer_addrs(struct vcl_socket *s, void *val, socklen_t *len);
int vcl_sctp_get_local_addrs(struct vcl_socket *s, void *val, socklen_t *len);

#endif
