/* sim_router.h - a path whose MTU shrinks at some time, and grows again
 * Owner:  the test. */
#ifndef HOSTSTACK_TESTS_SIM_ROUTER_H
#define HOSTSTACK_TESTS_SIM_ROUTER_H

#include "server/port/port_sim.h"

enum { SIM_ROUTER_STEPS = 6 };

struct sim_router_step {
    uint64_t from_us;        /* until the next one's */
    unsigned mtu;            /* 1280 at least; 0 = whatever there is gets through */
    bool tells;              /* by ICMP; else a black hole */
};
struct sim_router {
    unsigned n;              /* 0 = no router */
    struct sim_router_step step[SIM_ROUTER_STEPS];
};
/* For a sim_tap_fn: false = the frame was too large. */
bool sim_router_passes(const struct sim_router *r, struct sim_link *l, unsigned end, const uint8_t *frame, uint32_t len, uint64_t now_us);

#endif
