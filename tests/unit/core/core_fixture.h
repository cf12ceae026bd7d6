/* core_fixture.h - EAL and two stacks on a simulated link, for the tests of worker/, session/ and local/
 * Owner:  the test. */
#ifndef HOSTSTACK_TESTS_CORE_FIXTURE_H
#define HOSTSTACK_TESTS_CORE_FIXTURE_H

#include "server/port/port_sim.h"
#include "tests/sim/sim_app.h"

struct core_fixture {
    struct sim_net *net;
    struct stack *stack[2];
    struct sim_link *link;
};
void core_eal_init(void);                                    /* once per test process; registers TCP */
/* The first stack has n_workers, the second one. */
void core_fixture_make(struct core_fixture *f, uint64_t seed, unsigned n_workers, const struct sim_params *link);
void core_fixture_end(struct core_fixture *f);
struct ip_endpoint core_endpoint(const char *ip, uint16_t port);
void core_run(struct core_fixture *f, uint64_t us);          /* lets virtual time pass */

#endif
