/* tcp_trace.h - events of connections for `hoststackctl show trace`; one branch on a pointer while it is off
 * Owner:  see tcp_trace.c.
 * Thread: owning worker only.
 * Errors: none while events are added. */
#ifndef HOSTSTACK_SERVER_TCP_TRACE_H
#define HOSTSTACK_SERVER_TCP_TRACE_H

#include "server/tcp/tcp_internal.h"

enum tcp_trace_what {
    TCP_TRACE_STATE,     /* value: the state before */
    TCP_TRACE_RTO,       /* value: timeouts in a row */
    TCP_TRACE_RECOVERY,  /* fast recovery begins */
    TCP_TRACE_RECOVERED, /* recovery or loss is over */
    TCP_TRACE_UNDO,      /* the reduction was wrong and is taken back */
    TCP_TRACE_PROBE,     /* of a closed window; value: probes in a row */
    TCP_TRACE_MTU,       /* value: the path MTU from now on */
    TCP_TRACE_RESET,     /* value: errno that the program gets */
    TCP_TRACE_CWND,      /* another window; value: the one before */
};

void tcp_trace_add(struct worker *w, const struct tcp_conn *c, enum tcp_trace_what what, uint32_t arg);

static inline void tcp_trace(struct worker *w, const struct tcp_conn *c, enum tcp_trace_what what, uint32_t arg)
{
    if (hs_unlikely(tcp_worker_of(w)->trace != NULL))
        tcp_trace_add(w, c, what, arg);
}

/* cwnd was `before` and is more now: told when it has passed a power of two. */
static inline void tcp_trace_growth(struct worker *w, const struct tcp_conn *c, uint32_t before)
{
    if (hs_unlikely(tcp_worker_of(w)->trace != NULL) && (before ^ c->cwnd) > before)
        tcp_trace_add(w, c, TCP_TRACE_CWND, before);
}

#endif
