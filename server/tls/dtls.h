/* dtls.h - DTLS (RFC 6347): what of a connection is otherwise than over a stream
 *
 * Each connection has a connected UDP session below it, of which the session layer finds the one that a datagram is for; FIFOs to and from
 * it hold datagrams (struct svm_dgram_hdr). A listener has, on each worker, a bound one: its door. What comes there is of nobody yet, and is
 * answered with a cookie; who brings that back becomes a connection.
 *
 *   door (TLS_S_DOOR): ClientHello -> HelloVerifyRequest; ClientHello with cookie -> a connection in HANDSHAKE, with a session of its own
 *   handshake-threads: the door greets, threads do what follows; flights are sent again by the worker, which has their timer
 *   timer of a connection: the flight that has not been answered, and the end of patience, whichever is sooner; open: the idle limit
 *
 * A record is a message of the program.
 *
 * Owner:  the door: its listener. Others: see tls_internal.h.
 * Thread: the worker.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_DTLS_H
#define HOSTSTACK_SERVER_DTLS_H

#include "server/tls/tls_internal.h"

/* dtls.c */
int dtls_door_open(struct worker *w, struct tls_listener *tl, const struct listener *l);
void dtls_door_close(struct tls_listener *tl);
void dtls_timer_start(struct tls_conn *c);
void dtls_on_timer(struct tls_conn *c);                 /* HANDSHAKE, OPEN */
void dtls_opened(struct tls_conn *c);

/* dtls_io.c */
int dtls_lower_next(struct tls_conn *c, void *buf, size_t len); /* the next datagram; 0: none, -1: the session below has ended */
int dtls_lower_read(void *arg, void *buf, size_t len);  /* struct tls_io */
int dtls_lower_write(void *arg, const void *buf, size_t len);
unsigned dtls_lower_mtu(void *arg);
uint64_t dtls_lower_now_us(void *arg);
void dtls_door_receive(struct tls_conn *door);
void dtls_receive(struct tls_conn *c);
enum transport_tx_verdict dtls_tx(struct worker *w, struct transport_conn *b, unsigned budget);

/* dtls.c, for dtls_io.c. True: the datagram that the door looks at is from somebody who has brought our cookie back. */
bool dtls_greet(struct tls_conn *door, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt);
bool dtls_greet_anew(struct tls_conn *c);                /* the same, of one that comes over the session of c */
void dtls_welcome(struct tls_conn *door, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt);

/* dtls_frag.c. d: a datagram at a door, and room for TLS_RECORD_MAX bytes. Bytes of what is there to be answered now: the datagram, or a whole
 * ClientHello of which it is the last piece. 0: nothing, or nothing yet. */
uint32_t dtls_frag_take(struct tls_worker *tw, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint8_t *d, uint32_t len);

#endif
