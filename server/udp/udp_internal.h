/* udp_internal.h - state of the UDP transport
 * Owner:  udp_conn: udp_connect() makes it, udp_free() frees it; one per bound or connected session.
 * Thread: the worker. */
#ifndef HOSTSTACK_SERVER_UDP_INTERNAL_H
#define HOSTSTACK_SERVER_UDP_INTERNAL_H

#include "server/ip/ip.h"
#include "server/session/session.h"
#include "server/udp/udp.h"
#include "server/udp/udp_hdr.h"

enum udp_count {
#define COUNT(name, text) UDP_C_##name,
#include "server/udp/udp_drops.def"
#undef COUNT
    UDP_C_MAX
};

struct udp_worker {
    uint64_t count[UDP_C_MAX];
    struct udp_conn *conns;          /* all of this worker, so that worker_fini can free them */
    uint8_t scratch[65536];          /* a datagram of many pieces, in one */
};

enum { UDP_MAX_GROUPS = 20 };         /* of a socket, as Linux's igmp_max_memberships */

struct udp_mcast {                   /* of a socket that has to do with groups */
    struct interface *out;           /* NULL = by the route */
    struct ip_addr out_addr;
    struct mcast_filter *next;       /* being told by the program; NULL = no source yet */
    unsigned n;
    struct udp_joined {
        struct ip_addr group;
        struct interface *ifc;
        struct mcast_filter *filter; /* NULL = everybody */
    } joined[UDP_MAX_GROUPS];
};

struct udp_conn {
    struct transport_conn base;
    struct udp_conn *next, **pprev;
    struct ip_route_cache cache;     /* to the connected peer */
    uint8_t ttl, tos;                /* ttl 0 = default */
    uint8_t pmtu;                    /* enum ip_pmtu: IP_MTU_DISCOVER */
    struct udp_mcast *mcast;         /* NULL: no group joined, no interface chosen */
    uint8_t mcast_ttl;               /* IP_MULTICAST_TTL */
    bool mcast_loop, mcast_all;
    bool broadcast;                  /* SO_BROADCAST */
    uint8_t recverr;                 /* enum svm_recverr */
    bool gro;                        /* UDP_GRO */
    bool no_check6_rx;               /* UDP_NO_CHECK6_RX */
    uint8_t rx_tell;                 /* enum svm_rx_tell: what its program wants to know of datagrams that came in */
    bool is_free;                    /* bound to an address that was on no interface then */
    bool closing;                    /* sends what is left, then ends */
    bool has_claim;                  /* its worker is a candidate for the port */
    uint8_t claim_kind;              /* enum worker_udp_kind */
    be16 claim_port;
    uint64_t rx_datagrams, tx_datagrams, rx_full;
};

static inline struct udp_worker *udp_worker_of(struct worker *w) { return worker_transport_state(w, SVM_PROTO_UDP); }
static inline struct udp_conn *udp_of_base(struct transport_conn *b) { return hs_container_of(b, struct udp_conn, base); }
static inline void udp_count(struct worker *w, enum udp_count c) { udp_worker_of(w)->count[c]++; }
static inline bool udp_is_connected(const struct udp_conn *c) { return be16_get(c->base.rmt.port) != 0; }

/* udp_mcast.c */
int udp_mcast_attr_set(struct worker *w, struct udp_conn *c, uint8_t attr, const void *val, uint32_t len);
void udp_mcast_free(struct udp_conn *c);
/* Does c want a datagram for group (or broadcast address) lcl that came in by ifc? */
bool udp_mcast_wants(const struct udp_conn *c, const struct interface *ifc, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt);
/* p, checked, at its UDP header: to every socket that wants it, of all workers. is_bare: IPv6 without checksum. Returns how many here.
 * Keeps p. */
unsigned udp_mcast_deliver(struct worker *w, struct pkt *p, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, bool is_bare);
/* udp_output.c: the way of a datagram that is to leave by *dev (0 = any) */
int udp_path(struct worker *w, const struct udp_conn *c, uint8_t *dev, const struct ip_addr *src, const struct ip_addr *dst, struct ip_path *path);
/* udp_deliver.c */
void udp_deliver(struct worker *w, struct session *s, struct pkt *p, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt);
/* Several in a row of one sender to a socket with UDP_GRO: one record. Zeroed at first; flush in the end. */
enum { UDP_GRO_MAX = 64 };
struct udp_gro {
    struct session *s;               /* NULL: empty */
    struct ip_endpoint lcl, rmt;
    uint32_t size, bytes;            /* of the first; of all */
    unsigned n;
    struct pkt *pkt[UDP_GRO_MAX];
};
void udp_gro_add(struct worker *w, struct udp_gro *g, struct session *s, struct pkt *p, const struct ip_endpoint *lcl,
                 const struct ip_endpoint *rmt); /* takes p */
void udp_gro_flush(struct worker *w, struct udp_gro *g);
static inline bool udp_wants_gro(const struct session *s) { return s->conn && udp_of_base(s->conn)->gro; }
void udp_deliver_error(struct worker *w, struct udp_conn *c, const struct transport_error *e); /* its session is told, too */
void udp_drop(struct worker *w, struct pkt *p, enum udp_count why); /* counts it; keeps p */

enum worker_udp_kind udp_kind(const struct udp_conn *c);
void udp_free(struct worker *w, struct udp_conn *c);
void udp_input(struct worker *w, struct pkt **pkts, unsigned n);
enum transport_tx_verdict udp_tx(struct worker *w, struct transport_conn *b, unsigned budget_bytes);

#endif
