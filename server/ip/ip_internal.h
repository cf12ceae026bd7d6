/* ip_internal.h - one worker's IP state, shared by eth/ neigh/ ip/ icmp/
 * Owner:  ip_worker_create() / ip_worker_destroy().
 * Thread: the worker; counters are read by the control thread through ip_counters_add() while they change. */
#ifndef HOSTSTACK_SERVER_IP_INTERNAL_H
#define HOSTSTACK_SERVER_IP_INTERNAL_H

#include "server/capture/capture.h"
#include "server/ip/interface.h"
#include "server/ip/ip.h"
#include "server/ip/pmtu.h"
#include "server/route/route.h"

struct transport_ops;
struct neigh_table;
struct reass_table;

extern const char *const eth_drop_texts[], *const neigh_drop_texts[], *const ip_drop_texts[], *const icmp_drop_texts[]; /* ip.c */

#define DROP(name, text) ETH_DROP_##name,
enum eth_drop {
#include "server/eth/eth_drops.def"
    ETH_DROP_MAX
};
#undef DROP
#define DROP(name, text) NEIGH_DROP_##name,
enum neigh_drop {
#include "server/neigh/neigh_drops.def"
    NEIGH_DROP_MAX
};
#undef DROP
#define DROP(name, text) IP_DROP_##name,
enum ip_drop {
#include "server/ip/ip_drops.def"
    IP_DROP_MAX
};
#undef DROP
#define DROP(name, text) ICMP_DROP_##name,
enum icmp_drop {
#include "server/icmp/icmp_drops.def"
    ICMP_DROP_MAX
};
#undef DROP

enum ip_limits {
    IP_LOCAL_QUEUE = 4096,       /* packets to ourselves within one turn, power of two */
    IP_ID_BUCKETS = 256,
    IP_DEFAULT_TTL = 64,
    IP4_HDR_LEN = 20,
    IP6_HDR_LEN = 40,
    IP6_MIN_MTU = 1280,
    IP4_MIN_MTU = 68,
};

struct ip4_hdr {
    uint8_t ver_ihl, tos;
    be16 total_len, id, frag;    /* frag: flags and offset in units of 8 bytes */
    uint8_t ttl, proto;
    be16 csum;
    be32 src, dst;
} __attribute__((packed));
static_assert(sizeof(struct ip4_hdr) == IP4_HDR_LEN, "ip4_hdr");
enum ip4_frag { IP4_DF = 0x4000, IP4_MF = 0x2000, IP4_OFF_MASK = 0x1fff };

struct ip6_hdr_wire {
    be32 ver_tc_flow;
    be16 payload_len;
    uint8_t next, hop_limit;
    uint8_t src[16], dst[16];
} __attribute__((packed));
static_assert(sizeof(struct ip6_hdr_wire) == IP6_HDR_LEN, "ip6_hdr_wire");

/* Token bucket: errors that we send (RFC 1812 s4.3.2.8, RFC 4443 s2.4 f). */
struct ip_rate { uint64_t last_us; uint32_t tokens_milli; };

struct ip_counters {
    uint64_t eth[ETH_DROP_MAX], neigh[NEIGH_DROP_MAX], ip[IP_DROP_MAX], icmp[ICMP_DROP_MAX];
    uint64_t ip_in, ip_out, ip_local, icmp_in, icmp_echo, icmp_errors_sent, reassembled, fragmented;
};

struct ip_worker {
    struct ip_counters count HS_ALIGNED_LINE;
    struct neigh_table *neigh;
    struct reass_table *reass;
    struct pmtu_table pmtu;
    const struct transport_ops *by_ip_proto[256];
    bool by_ip_proto_ready;
    struct ip_rate error_rate;
    uint16_t ip4_id[IP_ID_BUCKETS];
    uint32_t ip6_frag_id;
    uint32_t local_head, local_tail;
    struct pkt *local[IP_LOCAL_QUEUE];
};

void interface_number(struct interface *ifc); /* interface_dev.c: sets ifindex, when the rest is there */

static inline struct interface *interface_of_port(const struct stack *s, unsigned port) { return s->interfaces->by_port[port]; }

/* ---- ip_input.c ---- */
/* The rest of input for a whole datagram: p at the L4 header (or after IPv6 extension headers), meta complete. Takes p. */
void ip_deliver(struct worker *w, struct pkt **pkts, unsigned n);
/* A reassembled datagram, at its L4 header, of another worker's flow: true = handed over to it. */
bool ip_steer_reassembled(struct worker *w, struct pkt *p);
static inline void ip_drop(struct worker *w, struct pkt *p, enum ip_drop why)
{
    w->ip->count.ip[why]++;
    if (capture_is_on(w))
        capture_drop(w, p, "ip", ip_drop_texts[why]);
    pkt_free(p);
}
/* Header still in front of p's data on input (l3_len bytes): what an ICMP error quotes. */
static inline uint8_t *ip_header_of(struct pkt *p) { return pkt_data(p) - pkt_meta(p)->l3_len; }

/* ---- ip6_ext.c ---- */
/* Walks the extension headers of p, which is at the first one (or at the L4 header), `next` its type. Sets meta.ip_proto, l3_len and
 * moves p to the L4 header. 0: done; 1: p was taken (dropped, or a fragment). A reassembled datagram comes back in *p. */
int ip6_ext_walk(struct worker *w, struct pkt **p, uint8_t next);

/* ---- ip_reass.c ---- */
int reass_create(struct worker *w);
void reass_destroy(struct worker *w);
/* One fragment, p at its payload (length l4_total), offset in bytes. id: as in the header. Takes p; returns the whole datagram at its
 * L4 header (meta of the first fragment, l3_len bytes of header in front), or NULL. */
struct pkt *reass_input(struct worker *w, struct pkt *p, uint32_t id, uint32_t offset, bool more);

/* ---- ip_output.c ---- */
/* Sends p (at the L4 header) out of ifc to next hop nh, from and to any address: for ICMP errors, ND, DAD. Takes p. */
int ip_output_on(struct worker *w, struct interface *ifc, const struct ip_addr *nh, struct pkt *p, const struct ip_tx *tx);
/* Builds the IP header in front of p. false: no room (p is still the caller's). */
bool ip_push_header(struct worker *w, struct pkt *p, const struct ip_tx *tx, unsigned payload_len);

#endif
