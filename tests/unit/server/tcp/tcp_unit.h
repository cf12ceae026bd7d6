/* tcp_unit.h - a worker and a connection on the stack of a test, without session layer or EAL */
#ifndef HOSTSTACK_TESTS_TCP_UNIT_H
#define HOSTSTACK_TESTS_TCP_UNIT_H

#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include "server/tcp/tcp_cc.h"

struct tcp_unit {
    struct stack stack;
    struct worker w;
    struct tcp_worker tw;
    struct tcp_conn c;
};

static inline void tcp_unit_init(struct tcp_unit *u)
{
    memset(u, 0, sizeof(*u));
    u->w.stack = &u->stack;
    u->w.transport_state[SVM_PROTO_TCP] = &u->tw;
    u->w.now_us = 1000000000;
    timer_wheel_init(&u->w.timers, u->w.now_us);
    tcp_config_defaults(&u->tw.cfg);
    u->c.mss = 1000;
    u->c.cc = &tcp_cc_newreno;
    u->c.ssthresh = UINT32_MAX;
    u->c.state = TCP_S_ESTABLISHED;
}

#endif
