/* port_sim.h - a simulated network for tests: stacks joined by links that lose, delay, reorder, duplicate and corrupt
 *
 * Everything follows from the seed: a failing run replays exactly. Time is virtual; sim_net_run_until() delivers the frames
 * that are due, steps every worker of every stack until all are idle, calls the hooks, and moves the clock to the next event.
 *
 * Owner:  the test; sim_net_destroy() after the stacks were destroyed (a stack closes its own ports).
 * Thread: one thread runs all stacks.
 * Errors: 0 or -errno; a stack that never gets idle at one instant is -ELOOP. */
#ifndef HOSTSTACK_SERVER_PORT_SIM_H
#define HOSTSTACK_SERVER_PORT_SIM_H

#include "server/worker/worker.h"

struct sim_net;
struct sim_link;

/* One direction: what an end sends. All zero = a perfect wire, no delay, MTU 1500. Chances in parts per million. */
struct sim_params {
    uint32_t loss_ppm;
    uint32_t burst_ppm;       /* chance per frame that a burst of losses begins */
    uint32_t burst_len;       /* frames lost in a burst */
    uint32_t dup_ppm;
    uint32_t ce_ppm;          /* a frame that may be marked (ECT) becomes marked (CE), as a router does that is congested */
    uint32_t corrupt_ppm;     /* one random bit of the frame is flipped */
    uint32_t reorder_ppm;     /* chance that a frame is held back by reorder_us */
    uint32_t reorder_us;
    uint32_t delay_us;
    uint32_t jitter_us;       /* uniform 0..jitter on top; reorders */
    uint64_t bits_per_s;      /* 0 = no limit */
    uint32_t queue_frames;    /* waiting for the wire, with bits_per_s; 0 = 1000 */
    uint16_t mtu;             /* of the port; 0 = 1500. Only looked at when an end is attached */
    uint16_t n_queues;        /* rx queues of the port, frames spread by a flow hash; 0 = 1. Only when attached */
    bool offload;             /* the port takes super-frames and unfinished checksums and delivers them as they are (like a
                                 TAP between two stacks). Only when attached */
    bool vlan;                /* the port takes 802.1Q tags out of frames and puts them in, like a card. Only when attached */
};

struct sim_link_stats { uint64_t sent, delivered, lost, duplicated, corrupted, reordered, queue_drops, no_buffer; };

/* Sees each frame that an end sends, before it meets loss. false: the frame is swallowed. */
typedef bool (*sim_tap_fn)(void *arg, struct sim_link *l, unsigned end, const uint8_t *frame, uint32_t len, uint64_t now_us);
/* Programs of the test: called after each round of worker steps; returns how much it did (0 = idle). */
typedef unsigned (*sim_hook_fn)(void *arg, uint64_t now_us);

struct sim_net *sim_net_create(uint64_t seed);
void sim_net_destroy(struct sim_net *n);
uint64_t sim_net_now_us(const struct sim_net *n);
uint64_t sim_net_random(struct sim_net *n);
int sim_net_add_stack(struct sim_net *n, struct stack *s);    /* steps it from now on; sim_net_attach() does it too */
void sim_net_remove_stack(struct sim_net *n, struct stack *s);/* crash: its frames in flight still arrive elsewhere */
void sim_net_set_hook(struct sim_net *n, sim_hook_fn fn, void *arg);

int sim_net_add_link(struct sim_net *n, struct sim_link **out);   /* an Ethernet segment with no end yet */
/* A new port of s on the link; returns its index in s->port (>= 0) or -errno. The end's number counts from 0 per link. */
int sim_net_attach(struct sim_link *l, struct stack *s, const struct sim_params *p);
/* Both of the above for two stacks with the same parameters each way. s1 NULL: only the tap sees what s0 sends. */
int sim_net_link(struct sim_net *n, struct stack *s0, struct stack *s1, const struct sim_params *p, struct sim_link **out);
void sim_link_set_params(struct sim_link *l, unsigned end, const struct sim_params *p);
void sim_link_set_tap(struct sim_link *l, sim_tap_fn fn, void *arg);
void sim_link_set_up(struct sim_link *l, bool up);                /* down: everything sent is lost */
/* A frame arrives at `end` now (at the next run), as if sent by somebody else on the link. */
int sim_link_inject(struct sim_link *l, unsigned end, const uint8_t *frame, uint32_t len);
void sim_link_stats(const struct sim_link *l, unsigned end, struct sim_link_stats *out);

int sim_net_run_until(struct sim_net *n, uint64_t until_us);      /* 0 or -ELOOP */
/* Until cond says true (0), or the time is reached (-ETIMEDOUT). */
int sim_net_run_while(struct sim_net *n, bool (*cond)(void *arg), void *arg, uint64_t until_us);

#endif
