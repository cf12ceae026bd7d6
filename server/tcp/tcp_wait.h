/* tcp_wait.h - the compact form of a connection in TIME-WAIT that nobody holds any more
 *
 * Two MSL long it only answers a repeated FIN and keeps a new SYN from being taken for an old one. A server that closes first has tens
 * of thousands of them: as a struct tcp_conn each they would push everything else out of the caches.
 *
 *   struct tcp_conn, TIME-WAIT, closed by its program --end of the batch--> struct tcp_wait, TCP_S_WAITING --2 MSL, or a new SYN--> gone
 *
 * Owner:  the worker's arena and its queue, oldest first: all wait equally long, so one timer serves them. In the lookup table.
 * Thread: owning worker only.
 * Memory: process-private, two lines. Begins as struct tcp_conn does (base, state, flags), so that a look at `state` tells which it is.
 * Errors: without memory a connection waits as it is, by its own timer. */
#ifndef HOSTSTACK_SERVER_TCP_WAIT_H
#define HOSTSTACK_SERVER_TCP_WAIT_H

#include "server/tcp/tcp_internal.h"

struct tcp_wait {
    struct transport_conn base;
    uint8_t state;              /* TCP_S_WAITING */
    uint8_t lflags, tos, ttl;
    uint32_t flags;
    /* As in struct tcp_conn: */
    uint32_t snd_nxt;           /* all is acknowledged: = snd_una, data_una */
    uint32_t rcv_nxt;           /* = last_ack_sent; the FIN is the one before */
    uint32_t wnd;               /* as on the wire: it does not change any more */
    uint32_t ts_recent, rcv_time_ms;
    uint32_t last_oow_ack_ms;
    struct tcp_wait *next, *prev;
    uint64_t until_us;
};
static_assert(sizeof(struct tcp_wait) <= 2 * HS_CACHE_LINE, "so much for each of tens of thousands");
static_assert(offsetof(struct tcp_wait, state) == offsetof(struct tcp_conn, state) &&
              offsetof(struct tcp_wait, flags) == offsetof(struct tcp_conn, flags), "looked at before it is known which it is");

static inline struct tcp_wait *tcp_wait_of(struct tcp_conn *c) { return (struct tcp_wait *)(void *)c; }

void tcp_wait_init(struct worker *w);
void tcp_wait_free_all(struct worker *w);
/* c in TIME-WAIT without a session and without an ACK that is owed; nobody holds it afterwards. Without memory it goes on as it is. */
void tcp_wait_begin(struct worker *w, struct tcp_conn *c);
void tcp_wait_end(struct worker *w, struct tcp_wait *t); /* t is gone */
/* As tcp_timewait_input(). */
bool tcp_wait_input(struct worker *w, struct tcp_wait *t, struct tcp_seg *seg, uint32_t *iss_floor, struct listener **l);
/* As if it were a connection, for a look only: *out is nobody's. */
void tcp_wait_expand(struct worker *w, const struct tcp_wait *t, struct tcp_conn *out);

#endif
