/* sim_pair.h - two stacks on a simulated link with addresses of both families: what the TCP tests start from
 * Owner:  the test.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_TESTS_SIM_PAIR_H
#define HOSTSTACK_TESTS_SIM_PAIR_H

#include "common/splitmix.h"
#include "server/port/port_sim.h"
#include "tests/sim/sim_app.h"

struct sim_pair {
    struct sim_net *net;
    struct sim_link *link;
    struct stack *stack[2];   /* [1] NULL: the test plays the peer */
};

int sim_eal_init(const char *prefix);                 /* once a process; no hugepages, no devices */
/* Stack i has 10.9.0.(i+1)/24 and fd09::(i+1)/64. one_sided: no stack 1. */
int sim_pair_create(struct sim_pair *p, uint64_t seed, const struct sim_params *link, bool one_sided);
void sim_pair_destroy(struct sim_pair *p);
void sim_pair_crash(struct sim_pair *p, unsigned i);  /* the stack is gone, without a word */
/* The same host again, with the same addresses and no memory of what was; link as in sim_pair_create(). */
int sim_pair_restart(struct sim_pair *p, unsigned i, uint64_t seed, const struct sim_params *link);
struct ip_endpoint sim_pair_endpoint(unsigned i, bool v4, uint16_t port);
unsigned sim_pair_pkts_in_use(const struct sim_pair *p, unsigned i);  /* packets taken from the pools */

/* ---- what a seed decides ---- */

static inline uint32_t sim_below(uint64_t *rng, uint32_t n) { return (uint32_t)(hs_splitmix(rng) % n); }
static inline bool sim_chance(uint64_t *rng, uint32_t percent) { return sim_below(rng, 100) < percent; }
struct sim_ranges {
    uint32_t loss_ppm, bad_loss_ppm;   /* usual loss, and that of one link in ten */
    uint32_t burst_ppm, burst_more;    /* bursts begin; a burst loses 2 frames and up to burst_more - 1 more */
};
/* MTU, delay, loss, duplicates, reordering, jitter, rate and queue; marks and corruption are the caller's. */
void sim_choose_link(uint64_t *rng, const struct sim_ranges *ranges, struct sim_params *out);

#endif
