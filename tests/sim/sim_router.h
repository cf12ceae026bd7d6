/* sim_router.h - a path whose MTU shrinks at some time
 * Owner:  the test. */
#ifndef HOSTSTACK_TESTS_SIM_ROUTER_H
#define HOSTSTACK_TESTS_SIM_ROUTER_H

#include "server/port/port_sim.h"

struct sim_router {
    uint64_t from_us;
    unsigned mtu;            /* 1280 at least; 0 = no router */
    bool tells;              /* by ICMP; else a black hole */
};
/* For a sim_tap_fn: false = the frame was too large. */
bool sim_router_passes(const struct sim_router *r, struct sim_link *l, unsigned end, const uint8_t *frame, uint32_t len, uint64_t now_us);

#endif
