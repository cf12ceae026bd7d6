/* tcp_cc.h - what a congestion control decides (RFC 5681 s3): how cwnd grows, and where ssthresh goes on loss
 * Owner:  const tables; private state in tcp_conn.cc_priv (zeroed before init).
 * Thread: owning worker only.
 * Errors: none.
 * Calls:  tcp_recovery.c -> ops->acked() for each ACK of new data outside of recovery; ops->loss() once per window of loss.
 *         tcp_ack.c -> ops->ack() of those with a model, for every ACK. */
#ifndef HOSTSTACK_SERVER_TCP_CC_H
#define HOSTSTACK_SERVER_TCP_CC_H

#include "server/tcp/tcp_internal.h"

struct tcp_ack_news;

struct tcp_cc_ops {
    const char *name;
    bool model;  /* of the path, from delivery rates (struct tcp_ack_news): decides about cwnd and rate in every state, by ack() */
    void (*init)(struct worker *w, struct tcp_conn *c);
    /* acked bytes were acknowledged; grows c->cwnd. Called only when cwnd was what limited sending. rtt_us: 0 = not known */
    void (*acked)(struct worker *w, struct tcp_conn *c, uint32_t acked, uint32_t rtt_us);
    void (*ack)(struct worker *w, struct tcp_conn *c, const struct tcp_ack_news *n); /* with a model only; c->sent is there */
    /* A loss was detected: returns the new ssthresh in bytes, at least 2 * mss. flight = bytes in flight. */
    uint32_t (*loss)(struct worker *w, struct tcp_conn *c, uint32_t flight);
    void (*rto)(struct worker *w, struct tcp_conn *c);                  /* after loss(), when it was a timeout */
    void (*undo)(struct worker *w, struct tcp_conn *c);                 /* the last loss() was none; may be NULL */
    /* An idle connection becomes compact and is woken (tcp_idle.h): all that is not begun anew. c->cc_priv is zero at wake(); may be NULL */
    void (*keep)(const struct tcp_conn *c, uint32_t out[2]);
    void (*wake)(struct worker *w, struct tcp_conn *c, const uint32_t kept[2]);
    void (*restart)(struct worker *w, struct tcp_conn *c, uint32_t idle_ms); /* idle, or held back by the program; may be NULL */
};

extern const struct tcp_cc_ops tcp_cc_newreno, tcp_cc_cubic, tcp_cc_bbr;

const struct tcp_cc_ops *tcp_cc_find(const char *name); /* NULL = unknown */
const struct tcp_cc_ops *tcp_cc_default(struct worker *w, const struct tcp_config *cfg); /* for a new connection */
uint8_t tcp_cc_number(const struct tcp_cc_ops *ops);
const struct tcp_cc_ops *tcp_cc_at(uint8_t number);
uint32_t tcp_cc_initial_window(const struct tcp_conn *c, const struct tcp_config *cfg); /* RFC 6928 */
void tcp_cc_slow_start(struct tcp_conn *c, uint32_t *acked);  /* grows up to ssthresh, leaves the rest of acked */

/* tcp_hystart.c; zero at first. Only for the first slow start, while ssthresh is UINT32_MAX. */
struct tcp_hystart {
    uint32_t round_end;
    uint32_t last_min_us, cur_min_us, css_base_us; /* 0 = no sample */
    uint8_t n_samples, css_rounds;
    bool is_active, is_css;
};
uint32_t tcp_hystart_acked(struct tcp_conn *c, struct tcp_hystart *h, uint32_t acked, uint32_t rtt_us);
void tcp_cc_after_idle(struct worker *w, struct tcp_conn *c);

#endif
