/* tcp_cc.c - what all congestion controls share: the table, the initial window, slow start, restart after idle */
#include "server/config/config.h"
#include "server/tcp/tcp_cc.h"

static const struct tcp_cc_ops *const tcp_cc_all[] = { &tcp_cc_cubic, &tcp_cc_newreno, &tcp_cc_bbr };

const struct tcp_cc_ops *tcp_cc_find(const char *name)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(tcp_cc_all); i++) {
        if (strcmp(tcp_cc_all[i]->name, name) == 0)
            return tcp_cc_all[i];
    }
    if (strcmp(name, "reno") == 0) /* the kernel's name of the same */
        return &tcp_cc_newreno;
    return NULL;
}

const struct tcp_cc_ops *tcp_cc_default(struct worker *w, const struct tcp_config *cfg)
{
    const char *name = cfg->cc_algo;

    if (!name && w->stack->config)
        name = w->stack->config->tcp.cc_algo;
    return name && tcp_cc_find(name) ? tcp_cc_find(name) : &tcp_cc_cubic;
}

uint8_t tcp_cc_number(const struct tcp_cc_ops *ops)
{
    uint8_t i = 0;

    while (tcp_cc_all[i] != ops)
        i++;
    return i;
}

const struct tcp_cc_ops *tcp_cc_at(uint8_t number) { return tcp_cc_all[number]; }

bool tcp_cc_is_known(const char *name) { return tcp_cc_find(name) != NULL; }

/* RFC 6928 s2: min(10 * MSS, max(2 * MSS, 14600)); one segment when the SYN was lost (RFC 5681 s3.1). */
uint32_t tcp_cc_initial_window(const struct tcp_conn *c, const struct tcp_config *cfg)
{
    uint32_t mss = c->mss;

    if (c->flags & TCP_F_SYN_RTX)
        return mss;
    return hs_min_u32(cfg->initial_cwnd_segs * mss, hs_max_u32(2 * mss, 14600));
}

/* RFC 5681 s3.1 with byte counting: what is acknowledged, up to L = 2 segments an ACK of two (RFC 3465 s2.3 with L by the
 * number of segments an ACK covers, because super-frames are acknowledged many at once). */
void tcp_cc_slow_start(struct tcp_conn *c, uint32_t *acked)
{
    uint32_t room = c->ssthresh - c->cwnd, n = hs_min_u32(*acked, room);

    c->cwnd += n;
    *acked -= n;
}

/* RFC 5681 s4.1: nothing sent for longer than an RTO, so nothing is known of the path any more. */
void tcp_cc_after_idle(struct worker *w, struct tcp_conn *c)
{
    uint32_t idle_ms = tcp_now_ms(w) - c->snd_time_ms;
    uint32_t iw = tcp_cc_initial_window(c, &tcp_worker_of(w)->cfg);

    if ((uint64_t)idle_ms * 1000 <= c->rto_us)
        return;
    if (c->cwnd > iw && !c->cc->model)
        c->cwnd = iw;
    c->cwnd_acked = 0;
    if (c->cc->restart)
        c->cc->restart(w, c, idle_ms);
}
