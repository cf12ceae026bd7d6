/* port_sim_internal.h - shared by port_sim.c (frames and ports) and sim_net.c (clock, events, stacks)
 * Owner:  struct sim_net owns links, ends and frames; a port belongs to its stack and points to its end.
 * Thread: the test's one thread. */
#ifndef HOSTSTACK_SERVER_PORT_SIM_INTERNAL_H
#define HOSTSTACK_SERVER_PORT_SIM_INTERNAL_H

#include "server/port/port_sim.h"

enum { SIM_MAX_STACKS = 8, SIM_MAX_LINKS = 16, SIM_MAX_ENDS = 8, SIM_MAX_QUEUES = WORKER_MAX, SIM_WIRE_MAX = 4096 };

struct sim_frame {
    struct sim_frame *next;
    struct sim_link *link;
    uint64_t due_us, seq;        /* seq: order of frames due at the same time */
    unsigned to;
    uint32_t len;
    uint16_t flags, gso_size;
    uint8_t data[];
};

struct sim_rxq { struct sim_frame *head, **tail; };

struct sim_end {
    struct sim_link *link;
    unsigned index;
    struct port *port;           /* NULL: closed */
    struct sim_params params;
    unsigned n_queues;
    struct sim_rxq rxq[SIM_MAX_QUEUES];
    uint32_t burst_left;
    uint64_t wire_free_ns;
    uint64_t wire_out_ns[SIM_WIRE_MAX]; /* when each waiting frame has left */
    unsigned wire_head, n_wire;
    struct sim_link_stats stats;
    struct port_stats port_stats;
};

struct sim_link {
    struct sim_net *net;
    unsigned index, n_ends;
    bool up;
    struct sim_end *end[SIM_MAX_ENDS];
    sim_tap_fn tap;
    void *tap_arg;
};

struct sim_net {
    uint64_t now_us, next_seq;
    uint64_t rng[2];
    struct stack *stack[SIM_MAX_STACKS];
    unsigned n_stacks, n_links;
    struct sim_link *link[SIM_MAX_LINKS];
    sim_hook_fn hook;
    void *hook_arg;
    struct sim_frame **heap;     /* by due_us, then seq */
    size_t n_heap, cap_heap;
    uint8_t scratch[65536];
};

struct port *sim_port_new(struct sim_end *e, struct pkt_pools *pools);
void sim_end_send(struct sim_end *from, const uint8_t *data, uint32_t len, const struct pkt_meta *m);
void sim_end_deliver(struct sim_end *e, struct sim_frame *f);      /* takes f */
void sim_net_schedule(struct sim_net *n, struct sim_frame *f);     /* takes f */

#endif
