/* net_test.h - one stack on a simulated link whose other end is the test: frames injected, frames caught
 * The station of the test is PEER_MAC, 10.0.0.2 and fd00::2; the stack is 10.0.0.1/24 and fd00::1/64. */
#ifndef HOSTSTACK_TESTS_NET_TEST_H
#define HOSTSTACK_TESTS_NET_TEST_H

#include <criterion/criterion.h>

#include "server/eth/eth.h"
#include "server/ip/ip_internal.h"
#include "server/neigh/neigh.h"
#include "server/port/port_sim.h"
#include "server/session/transport.h"

enum { NET_MAX_FRAMES = 4096, NET_PROTO = 253 };

struct frame { uint32_t len; uint8_t *b; uint64_t at_us; };

struct net {
    struct sim_net *sim;
    struct sim_link *link;
    struct stack *s;
    struct worker *w;
    struct interface *ifc;
    unsigned n_frames;
    struct frame frame[NET_MAX_FRAMES];
    /* what the test's transport (IP protocol 253) has seen */
    unsigned n_input, n_errors;
    uint8_t *last_input;
    uint32_t last_len;
    struct pkt_meta last_meta;
    int last_err;
    bool last_hard;
    uint32_t last_mtu;
    uint16_t last_fib;
};

extern const uint8_t PEER_MAC[6];

void net_eal_init(void);
void net_open(struct net *n, unsigned addr_flags);   /* addr_flags: of the stack's addresses */
void net_open_card(struct net *n, unsigned addr_flags); /* the same at a port that handles VLAN tags */
void net_close(struct net *n);
void net_forget(struct net *n);                      /* drops the caught frames */
void net_run_us(struct net *n, uint64_t us);
void net_inject(struct net *n, const void *frame, uint32_t len);
struct net *net_current(void);                       /* of this test process */

struct ip_addr net_ip(const char *text);
uint16_t net_sum(const void *b, uint32_t len, uint32_t start);  /* RFC 1071, written independently of the stack */
/* Frames: return the length. Payload NULL: zeros. */
uint32_t net_eth(uint8_t *f, const uint8_t dst[6], uint16_t type);
uint32_t net_ip4(uint8_t *f, const char *src, const char *dst, uint8_t proto, const void *payload, uint32_t len);
uint32_t net_ip6(uint8_t *f, const char *src, const char *dst, uint8_t next, const void *payload, uint32_t len);
void net_fix_ip4(uint8_t *f);                        /* header checksum again */
uint32_t net_icmp4(uint8_t *m, uint8_t type, uint8_t code, uint32_t rest, const void *data, uint32_t len);
uint32_t net_icmp6(uint8_t *m, const char *src, const char *dst, uint8_t type, uint8_t code, uint32_t rest, const void *data, uint32_t len);
uint32_t net_arp(uint8_t *f, uint16_t op, const uint8_t sha[6], const char *spa, const uint8_t tha[6], const char *tpa);
void net_learn_peer(struct net *n);                  /* the stack knows 10.0.0.2 and fd00::2 afterwards; forgets the frames */
int net_send(struct net *n, const char *dst, uint32_t len, uint8_t fill);  /* a packet of protocol 253 from the stack */
uint64_t net_drops(const struct net *n);             /* all counted drops together */

#endif
