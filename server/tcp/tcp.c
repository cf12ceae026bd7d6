/* tcp.c - the transport's table, its state per worker, its configuration */
#include <errno.h>
#include "server/tcp/tcp_auth.h"
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_idle.h"
#include "server/tcp/tcp_pmtu.h"
#include "server/tcp/tcp_wait.h"

void tcp_config_defaults(struct tcp_config *cfg)
{
    *cfg = (struct tcp_config){
        .rto_min_us = 200000,
        .rto_max_us = 60000000,
        .delack_us = 40000,
        .msl_us = 30000000,
        .fin_wait2_us = 60000000,
        .idle_us = 1000000,
        .cork_us = 200000,
        .syn_retries = 7,
        .synack_retries = 5,
        .data_retries = 15,
        .keepidle_s = 7200,
        .keepintvl_s = 75,
        .keepcnt = 9,
        .initial_cwnd_segs = 10,
        .max_time_wait = 65536,
        .max_orphans = 65536,
        .ecn = TCP_ECN_ACCEPT, /* as Linux */
        .mtu_probing = TCP_MTU_PROBING_BLACK_HOLE,
        .mtu_interval_us = 600000000,
        .timestamps = true,
        .sack = true,
        .wscale = true,
        .syn_cookies = true,
    };
}

static bool config_ok(const struct tcp_config *c)
{
    return (!c->cc_algo || tcp_cc_is_known(c->cc_algo)) && c->rto_min_us >= 1000 &&
           c->mtu_interval_us >= 1000000 && c->mtu_interval_us <= TCP_PMTU_HELD_MAX_MS * 1000u && c->rto_max_us >= c->rto_min_us &&
           c->delack_us >= TIMER_TICK_US && c->delack_us < 500000 /* MUST-40 */ && c->keepidle_s && c->keepidle_s <= TCP_KEEP_MAX_S &&
           c->keepintvl_s && c->keepintvl_s <= TCP_KEEP_MAX_S &&
           c->keepcnt && c->keepcnt <= TCP_KEEPCNT_MAX && c->initial_cwnd_segs >= 1 && c->initial_cwnd_segs <= 1000;
}

int tcp_worker_config(struct worker *w, const struct tcp_config *cfg)
{
    if (!config_ok(cfg))
        return -EINVAL;
    tcp_worker_of(w)->cfg = *cfg;
    return 0;
}

void tcp_worker_usage(struct worker *w, struct tcp_usage *out)
{
    const struct tcp_worker *tw = tcp_worker_of(w);

    *out = (struct tcp_usage){ tw->n_conns, tw->n_half_open, tw->n_time_wait, tw->n_orphans,
                                tw->idle.n_taken + tw->idle_timed.n_taken };
}

static int tcp_worker_init(struct worker *w)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    tw->w = w;
    tcp_arena_init(&tw->conns, (sizeof(struct tcp_conn) + HS_CACHE_LINE - 1) / HS_CACHE_LINE * HS_CACHE_LINE);
    tcp_idle_init(w);
    tcp_wait_init(w);
    tcp_config_defaults(&tw->cfg);
    return 0;
}

static void tcp_worker_fini(struct worker *w)
{
    tcp_conn_free_all(w);
    tcp_trace_switch(w, false);
    tcp_auth_fini(tcp_worker_of(w));
    tcp_fastopen_fini(tcp_worker_of(w));
}

static void tcp_session_gone(struct worker *w, struct session *s)
{
    if (session_layer_cfg(s))
        tcp_keys_drop(w->stack, session_layer_cfg(s));
}

const struct transport_ops tcp_transport_ops = {
    .name = "tcp",
    .proto = SVM_PROTO_TCP,
    .ip_proto = 6,
    .worker_state_size = sizeof(struct tcp_worker),
    .worker_init = tcp_worker_init,
    .worker_fini = tcp_worker_fini,
    .input = tcp_input,
    .icmp_error = tcp_icmp_error,
    .unlisten = tcp_unlisten,
    .connect = tcp_connect,
    .is_replaceable = tcp_timewait_is_replaceable,
    .shutdown_wr = tcp_shutdown_wr,
    .close = tcp_close,
    .reset = tcp_reset,
    .tx = tcp_tx,
    .rx_space = tcp_rx_space,
    .set_device = tcp_set_device,
    .attr_set = tcp_attr_set,
    .attr_get = tcp_attr_get,
    .session_gone = tcp_session_gone,
    .show = tcp_show,
    .show_stats = tcp_show_stats,
};
