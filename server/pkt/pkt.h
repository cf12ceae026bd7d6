/* pkt.h - a packet: thin handle over rte_mbuf, with what each layer learnt about it
 * Owner:  whoever holds the pointer; passing it to an output function, a queue or pkt_free() gives it away.
 * Thread: one worker at a time; pools are shared by all workers (per-lcore caches).
 * Memory: EAL memory (mbufs only). Two pools: small (3.5 KiB of data: a page with its headers) and big (a 64 KiB super-frame in one piece).
 * Errors: allocation returns NULL (counted by the caller). */
#ifndef HOSTSTACK_SERVER_PKT_H
#define HOSTSTACK_SERVER_PKT_H

#include <rte_mbuf.h>
#include <sys/uio.h>
#include "common/ip_addr.h"

struct interface;

/* A packet is an rte_mbuf with a private area. Only pkt/ port/ worker/ look at the rte_mbuf. */
struct pkt {
    struct rte_mbuf m;
};

enum pkt_flags {
    PKT_L4_CSUM_GOOD = 1u << 0,  /* rx: the port vouches for the L4 checksum (or it never left a host) */
    PKT_L4_CSUM_NEEDED = 1u << 1,/* tx: L4 checksum field holds the pseudo-header sum (SCTP: 0), to be completed by port or pkt_finish_csum() */
    PKT_GSO = 1u << 2,           /* super-frame: gso_size bytes of payload a segment (TCP) */
    PKT_BCAST = 1u << 3,         /* rx: link-layer broadcast or multicast */
    PKT_LOCAL = 1u << 4,         /* looped back inside the stack (a stack address talks to a stack address) */
    PKT_CLONED = 1u << 5,        /* copy of a packet of another worker (worker_clone_to_all): learn from it, never answer it */
    PKT_VLAN = 1u << 6,          /* the frame's 802.1Q tag is not in it: pkt_vlan_tci(). The port has taken it out, or will put it in */
    PKT_ATTACHED = 1u << 7,      /* tx: what follows the first piece is memory of somebody else: pkt_attach() */
};

struct pkt_meta {                /* in the mbuf's private area */
    struct ip_addr src, dst;     /* IPv4 mapped */
    struct interface *ifc;       /* rx: where it came in; tx: where it goes out (set by ip_output) */
    uint16_t l2_len, l3_len;     /* bytes; data starts at the layer being handled */
    uint16_t l4_len;             /* bytes of L4 header (tx with PKT_GSO) */
    uint16_t gso_size;
    uint16_t flags;              /* enum pkt_flags */
    uint8_t ip_proto;            /* final next header */
    uint8_t ttl, tos;            /* tos: whole octet, DSCP and ECN */
    uint8_t udp_asked;           /* several workers: how many candidates for its port have been asked */
    uint16_t trace;              /* number of a followed packet, 0 = none; means nothing while capture_is_on() is false, as the next */
    uint32_t capture;            /* number of its record in a capture, 0 = none */
    uint32_t l4_total;           /* L4 header + payload bytes, as the IP header says */
    uint32_t from, to;           /* with PKT_LOCAL: what the transport that sent it says to itself about both ends; 0 = nothing */
};
enum { PKT_PRIV_SIZE = 96, PKT_HEADROOM = 128, PKT_SMALL_DATA = 3584, PKT_BIG_DATA = 65535 - PKT_HEADROOM };
static_assert(sizeof(struct pkt_meta) <= PKT_PRIV_SIZE, "pkt_meta fits the private area");

struct pkt_pools {
    struct rte_mempool *small, *big;
};
int pkt_pools_create(struct pkt_pools *pools, const char *name, unsigned n_small, unsigned n_big); /* 0 or -errno */
void pkt_pools_destroy(struct pkt_pools *pools);

static inline struct pkt_meta *pkt_meta(struct pkt *p) { return (struct pkt_meta *)(&p->m + 1); }
static inline struct pkt *pkt_of_mbuf(struct rte_mbuf *m) { return (struct pkt *)m; }
static inline struct rte_mbuf *pkt_mbuf(struct pkt *p) { return &p->m; }
static inline uint16_t pkt_vlan_tci(const struct pkt *p) { return p->m.vlan_tci; }
static inline void pkt_vlan_tci_set(struct pkt *p, uint16_t tci) { p->m.vlan_tci = tci; }
/* Room for `len` bytes of payload after PKT_HEADROOM bytes for headers; small or big pool as needed. NULL: none left. */
struct pkt *pkt_alloc(struct pkt_pools *pools, uint32_t len);
static inline void pkt_free(struct pkt *p) { rte_pktmbuf_free(&p->m); }
static inline uint8_t *pkt_data(struct pkt *p) { return rte_pktmbuf_mtod(&p->m, uint8_t *); }
static inline uint32_t pkt_len(const struct pkt *p) { return p->m.pkt_len; }          /* all pieces */
static inline uint32_t pkt_first_len(const struct pkt *p) { return p->m.data_len; }   /* first piece */
static inline uint8_t *pkt_push(struct pkt *p, uint16_t n) { return (uint8_t *)rte_pktmbuf_prepend(&p->m, n); } /* NULL: no headroom */
static inline uint8_t *pkt_pull(struct pkt *p, uint16_t n) { return (uint8_t *)rte_pktmbuf_adj(&p->m, n); }
static inline uint8_t *pkt_append(struct pkt *p, uint16_t n) { return (uint8_t *)rte_pktmbuf_append(&p->m, n); } /* NULL: no tailroom */
/* For who keeps a packet: little data does not keep a big buffer, of which there are few. Gives p away; what comes back is p, or its
 * bytes, with those in front of its data, in small buffers. */
struct pkt *pkt_compact(struct pkt_pools *pools, struct pkt *p);
/* Makes the first n bytes contiguous in the first piece. 0, -EINVAL (shorter), -ENOMEM. */
int pkt_pullup(struct pkt *p, uint32_t n);
int pkt_trim(struct pkt *p, uint32_t new_len);         /* drops bytes at the end (link padding) */
void pkt_copy_out(struct pkt *p, uint32_t off, void *buf, uint32_t len);
void pkt_chain(struct pkt *head, struct pkt *tail);    /* tail's pieces go behind head's; gives tail away */
/* Puts memory of somebody else behind the headers in p, which has one piece; nothing is copied, and nothing freed with p. Whoever attaches
 * knows until when that memory stays; a packet that has to wait longer gets its own (pkt_own()). -ENOBUFS: p is as it was. */
int pkt_attach(struct pkt_pools *pools, struct pkt *p, const struct iovec *iov, int n);
int pkt_own(struct pkt_pools *pools, struct pkt *p);   /* copies what is attached, if anything is. -ENOBUFS: p is as it was */
uint16_t pkt_raw_sum(struct pkt *p, uint32_t off);     /* one's-complement sum from off to the end, not inverted */
/* The pieces of p from byte `off` on; number of iovs, or -E2BIG: more than max. */
int pkt_iov(struct pkt *p, uint32_t off, struct iovec *iov, int max);
/* One's-complement sum helpers (RFC 1071) over all pieces. */
uint16_t pkt_l4_checksum(struct pkt *p);               /* full sum incl. pseudo header from meta; 0 = correct on rx */
uint16_t pkt_pseudo_sum(const struct pkt_meta *m, uint32_t l4_len); /* not inverted, for PKT_L4_CSUM_NEEDED */
void pkt_finish_csum(struct pkt *p);                   /* completes PKT_L4_CSUM_NEEDED in software */

#endif
