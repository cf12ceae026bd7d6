/* vcl_errqueue.h - the error queue of a socket: what recvmsg(MSG_ERRQUEUE) shows (ip(7) IP_RECVERR)
 *
 *   datagrams: the server writes records with SVM_DGRAM_ERROR among the datagrams; they are taken out of the FIFO to here
 *   others:    who finds out about something puts it here: vcl_errqueue_put()
 *
 * Owner:  the socket; made at the first error.
 * Thread: socket lock held, where nothing else is said.
 * Errors: a full queue loses the new one, as a full receive buffer does on Linux. */
#ifndef HOSTSTACK_VCL_ERRQUEUE_H
#define HOSTSTACK_VCL_ERRQUEUE_H

#include <time.h>
#include <linux/errqueue.h>
#include "vcl/vcl.h"

enum { VCL_ERRORS_MAX = 256 };        /* of a socket; about as many as Linux's default receive buffer holds */

struct vcl_error {
    struct sock_extended_err ee;
    struct ip_endpoint peer;          /* where the datagram went; port 0 and any: unknown */
    struct ip_addr offender;          /* who sent the ICMP message; any: nobody */
    struct ip_addr lcl;               /* where that came to */
    uint8_t ttl, tos;                 /* of that */
    bool has_ttl;
    bool has_peer;
    int64_t stamp_ns;                 /* when it came in, since 1970; 0 = not known */
    uint32_t len;                     /* of what is quoted */
};

struct vcl_errqueue;
/* 0, -ENOBUFS (full), -ENOMEM. Who waits for the socket is told by vcl_set_notify(s, EPOLLERR), without this lock. */
int vcl_errqueue_put(struct vcl_socket *s, const struct vcl_error *e, const void *quoted);
/* A send with MSG_ZEROCOPY is done; no lock held. */
void vcl_errqueue_sent(struct vcl_socket *s);
/* The newest one, if nobody has taken it: to be made larger in place (zero copy: ranges that join). NULL = none. */
struct vcl_error *vcl_errqueue_last(struct vcl_socket *s);
bool vcl_errqueue_has(const struct vcl_socket *s);    /* without a lock */
void vcl_errqueue_purge(struct vcl_socket *s);        /* takes the lock */
void vcl_errqueue_free(struct vcl_socket *s);
/* Error records at the front of the receive FIFO go to the queue. Bytes that begin with a datagram then, or -errno. */
int64_t vcl_errqueue_settle(struct vcl_socket *s);
void vcl_errqueue_collect(struct vcl_socket *s);      /* all that are in the FIFO; takes the lock */

#endif
