/* tcp.h - the TCP transport: what the rest of the server may know of it
 * Owner:  registered once with transport_register(); state per worker.
 * Thread: see transport.h; tcp_worker_config() only while the worker does not run, or on it.
 * Errors: 0 or -errno.
 * Spec:   RFC 9293, 2385, 5925, 3042, 3168, 3522, 4821, 5681, 5682, 5961, 6191, 6298, 6528, 6582, 6937, 7323, 8899, 8985, 9406, 9438 */
#ifndef HOSTSTACK_SERVER_TCP_H
#define HOSTSTACK_SERVER_TCP_H

#include "server/session/transport.h"

extern const struct transport_ops tcp_transport_ops;

enum tcp_ecn { TCP_ECN_OFF, TCP_ECN_ACCEPT, TCP_ECN_ON }; /* never; when the peer asks; asked for by us too */

enum tcp_mtu_probing { TCP_MTU_PROBING_OFF, TCP_MTU_PROBING_BLACK_HOLE, TCP_MTU_PROBING_ALWAYS }; /* as Linux's tcp_mtu_probing */

/* Values of the `tcp { }` stanza and the system-wide defaults of per-connection options. */
struct tcp_config {
    const char *cc_algo;       /* "cubic", "newreno", "bbr"; NULL = what the stack's configuration says, cubic without one */
    uint32_t rto_min_us;       /* RFC 6298 says 1 s SHOULD; Linux's 200 ms is what peers are tuned for */
    uint32_t rto_max_us;
    uint32_t delack_us;
    uint32_t msl_us;           /* TIME-WAIT lasts twice this */
    uint32_t fin_wait2_us;     /* FIN-WAIT-2 without a reader */
    uint32_t idle_us;          /* an established connection without traffic for so long takes its compact form; 0 = never */
    uint32_t cork_us;          /* how long TCP_CORK may hold back a partial segment */
    uint8_t syn_retries;       /* R2 of SYNs: 3 minutes at least (MUST-23) */
    uint8_t synack_retries;
    uint8_t data_retries;      /* R2 of data */
    uint32_t keepidle_s, keepintvl_s;
    uint8_t keepcnt;
    uint32_t initial_cwnd_segs; /* RFC 6928 */
    uint32_t max_time_wait;    /* of one worker: beyond, a connection ends without TIME-WAIT */
    uint32_t max_orphans;      /* of one worker: beyond, close() resets */
    uint32_t ecn;              /* enum tcp_ecn */
    uint32_t mtu_probing;      /* enum tcp_mtu_probing */
    uint32_t mtu_interval_us;  /* from one search to the next: PMTU_RAISE_TIMER of RFC 8899, an hour at most */
    bool timestamps, sack, wscale, syn_cookies;
    bool user_timeout_option;  /* RFC 5482; off by default, as its s4 says */
};

void tcp_config_defaults(struct tcp_config *cfg);
/* Replaces the worker's configuration: connections made later use it. -EINVAL: unknown cc_algo or a value out of range. */
int tcp_worker_config(struct worker *w, const struct tcp_config *cfg);
bool tcp_cc_is_known(const char *name);

/* ---- keys that programs gave for their peers (tcp_keys.c); any thread ---- */
struct stack;
struct svm_tcp_key;
int tcp_keys_create(struct stack *s);        /* without it, setting keys fails with -ENOPROTOOPT */
void tcp_keys_destroy(struct stack *s);
/* Adds, replaces or removes one in set *number, or in a new one whose number is put there. -EACCES: another program's set. */
int tcp_keys_change(struct stack *s, uint32_t app_id, const struct svm_tcp_key *k, uint32_t *number);
int tcp_keys_use(struct stack *s, uint32_t app_id, uint32_t number); /* a session takes it: from now on it ends with that. 0, -EINVAL */
void tcp_keys_drop(struct stack *s, uint32_t number);
void tcp_keys_app_gone(struct stack *s, uint32_t app_id);

/* Rows of `show trace` and `show tcp timers`: up to max, beginning at from; returns where to go on, UINT32_MAX = that was all. */
uint32_t tcp_trace_show(struct worker *w, uint32_t from, unsigned max, struct json_t *array);
uint32_t tcp_show_timers(struct worker *w, uint32_t from, unsigned max, struct json_t *array);
int tcp_trace_switch(struct worker *w, bool on); /* 0 or -ENOMEM */

/* For tests and `show`: how much this worker holds. */
struct tcp_usage {
    uint32_t n_conns, n_half_open, n_time_wait, n_orphans, n_idle;
};
void tcp_worker_usage(struct worker *w, struct tcp_usage *out);

#endif
