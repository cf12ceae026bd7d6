/* transport.h - what the session layer asks of a transport, and what it offers to it
 *
 * The session layer knows transports only through struct transport_ops. A transport has connections (struct
 * transport_conn, embedded first in its own struct); a connection in use by a program has a session with two FIFOs.
 * A connection may exist without a session (TCP: SYN-RCVD, TIME-WAIT). A session may exist without a connection (reset,
 * while the program has not closed it yet).
 *
 *   passive: input finds listener -> conn in SYN-RCVD -> session_accept(): FIFOs exist from now on
 *   active:  session_connect() -> ops->connect() -> later session_connected(s, 0 or -errno)
 *   data in: session_rx_enqueue() ... session_rx_fin(); the session layer posts events at the end of the batch
 *   data out: program writes -> session_tx -> ops->tx(conn, budget): session_tx_avail/copy, later session_tx_drop()
 *   close:   ops->shutdown_wr()/ops->close()/ops->reset() -> session_closed(s) when the FIFOs are no longer needed
 *
 * Owner:  connections: the transport. Sessions: the session layer. The links between them are cut by session_detach().
 * Thread: everything on the worker that owns the connection.
 * Errors: 0 or -errno, as a program would see them.
 */
#ifndef HOSTSTACK_SERVER_TRANSPORT_H
#define HOSTSTACK_SERVER_TRANSPORT_H

#include <sys/uio.h>
#include "common/ip_addr.h"
#include "svm/svm_proto.h"

struct worker;
struct pkt;
struct session;
struct listener;
struct json_t;

struct transport_conn {
    struct ip_endpoint lcl, rmt;
    uint8_t proto;             /* enum svm_proto; this and the next two: struct session_place in session_lookup.c */
    bool in_lookup : 1;
    uint8_t dev : 7;           /* bound to that interface: interface_dev(); 0 = none */
    uint16_t fib;              /* interface table; 0 = default */
    uint32_t hash;             /* of the 6-tuple, kept for removal */
    struct session *session;   /* NULL = none */
    struct transport_conn *lookup_next;
};

/* An error about a packet that we sent: an ICMP message, or what the stack found out itself. */
struct transport_error {
    struct ip_endpoint lcl, rmt; /* of the packet */
    uint16_t fib;
    uint8_t dev;                 /* that the message came in by */
    const uint8_t *l4;           /* what is quoted of it from its L4 header on: 8 bytes or more */
    unsigned l4_len;
    int err;                     /* -errno Linux gives */
    bool hard;
    uint32_t mtu;                /* not 0: packet too big */
    uint8_t origin, type, code;  /* SO_EE_ORIGIN_ICMP, _ICMP6; of the message */
    uint8_t ttl, tos;            /* of the message's packet */
    uint32_t info;               /* as ee_info of Linux */
    struct ip_addr offender;     /* who sent the message; ourselves when the stack found out */
};

enum transport_tx_verdict {
    TRANSPORT_TX_DONE,     /* nothing more can or need be sent now: the transport will ask by session_tx_schedule() when that
                              changes (ACK, timer), and new bytes of the program schedule by themselves */
    TRANSPORT_TX_MORE,     /* budget used up (the last packet may go beyond it), wants another turn */
};

struct transport_ops {
    const char *name;
    uint8_t proto;             /* enum svm_proto */
    uint8_t ip_proto;          /* IPPROTO_*; 0 = runs over another transport */
    uint8_t over;              /* with ip_proto 0: enum svm_proto of that one; its addresses and ports are taken */
    bool is_datagram;
    bool is_on_worker_0;       /* all its packets and sessions are there: listeners need no copies on the others */
    size_t worker_state_size;  /* zeroed private state per worker: worker_transport_state(w, proto) */
    int (*worker_init)(struct worker *w);
    void (*worker_fini)(struct worker *w); /* frees all connections */
    /* Work of its own, bounded, once a turn; may be NULL. Returns how much was done; not 0 while some is left. */
    unsigned (*turn)(struct worker *w);

    /* Packets of ip_proto, at the L4 header, meta filled, addresses checked, L4 checksum not yet checked unless
     * PKT_L4_CSUM_GOOD. Takes the packets. */
    void (*input)(struct worker *w, struct pkt **pkts, unsigned n);
    /* The same of one that came inside of a UDP datagram (stack->udp_encap), at its own header, from that port of the sender. */
    void (*input_in_udp)(struct worker *w, struct pkt *p, be16 rmt_port); /* may be NULL */
    void (*icmp_error)(struct worker *w, const struct transport_error *e);

    int (*listen)(struct worker *w, struct listener *l);       /* may be NULL */
    void (*unlisten)(struct worker *w, struct listener *l);    /* drop half-open connections of it */
    /* A bound session may have several addresses: 1 this is one, 0 it is none, -1 the one that it is bound to counts. NULL = always -1. */
    int (*listens_at)(const struct session *s, const struct ip_addr *ip);
    /* Starts a connection for s; lcl is complete (address and port chosen and reserved). *out = the new connection. A datagram
     * transport is done when it returns 0: the session layer tells the program, session_connected() is not called. */
    int (*connect)(struct worker *w, struct session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                   struct transport_conn **out);
    /* A program of this host is called by another one, and l would take a packet for it: must it be called by packets, for something of
     * the transport that cut-through has not? NULL = never. */
    bool (*needs_packets)(struct worker *w, const struct session *s, const struct listener *l);
    /* May connect() with the very addresses and ports of c end c and take its place (TCP: TIME-WAIT)? NULL = never. */
    bool (*is_replaceable)(struct worker *w, const struct transport_conn *c);
    void (*shutdown_wr)(struct worker *w, struct transport_conn *c);  /* FIN after what is in the tx FIFO */
    /* No more reader and writer: send what is in the tx FIFO, then close; session_closed() when done. linger: see SVM_MSG_CLOSE */
    void (*close)(struct worker *w, struct transport_conn *c, int linger_s);
    void (*reset)(struct worker *w, struct transport_conn *c);        /* abort now; conn is freed, session detached */
    enum transport_tx_verdict (*tx)(struct worker *w, struct transport_conn *c, unsigned budget_bytes);
    void (*rx_space)(struct worker *w, struct transport_conn *c);     /* the program made room (window update) */
    /* Where what c sends comes to lie: a session whose receive FIFO its program's server end may fill itself, now that nothing of c is under way.
     * NULL: it goes through c. Then: app_ops.space() when so many bytes have room there. */
    struct session *(*tx_direct)(struct worker *w, struct transport_conn *c);
    void (*tx_direct_want)(struct worker *w, struct transport_conn *c, uint32_t bytes);
    int (*set_device)(struct worker *w, struct transport_conn *c, uint8_t dev); /* c is bound to it from now on; NULL: nothing to do */
    int (*attr_set)(struct worker *w, struct transport_conn *c, uint8_t attr, const void *val, uint32_t len); /* -ENOPROTOOPT */
    int (*attr_get)(struct worker *w, struct transport_conn *c, uint8_t attr, void *val, uint32_t *len);      /* len: in size, out used */
    /* Options by number, before and after there is a connection. *len: bytes in val, out: of the result; val has room for SVM_SCTP_OPT_MAX. */
    int (*option)(struct worker *w, struct session *s, bool set, uint16_t opt, void *val, uint32_t *len); /* may be NULL */
    void (*session_gone)(struct worker *w, struct session *s);        /* may be NULL: session_transport_data(s) is the transport's to free */
    void (*show)(struct worker *w, const struct transport_conn *c, struct json_t *obj);  /* adds fields to a session's row */
    void (*show_stats)(struct worker *w, struct json_t *obj);                            /* counters by name */
};

/* ---- offered by the session layer to transports ---- */

/* Lookup tables of this worker. Keys: proto, lcl, rmt, and where a packet comes from: the interface table and the device (interface_dev()).
 * Whoever is bound to a device is found for packets of that one only; connections also where none is said (0). */
static inline uint32_t session_from(uint16_t fib, uint8_t dev) { return (uint32_t)dev << 16 | fib; }
void session_lookup_add(struct worker *w, struct transport_conn *c);
void session_lookup_del(struct worker *w, struct transport_conn *c);
/* A connection goes on at another address, where its copy is: for the tables and for its session, if it has one. */
void session_conn_moved(struct worker *w, const struct transport_conn *from, struct transport_conn *to);
struct transport_conn *session_lookup(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl,
                                      const struct ip_endpoint *rmt, uint32_t from);
/* In three steps, each for a whole batch, so that nobody waits for memory: the hash, the connection's lines, the connection. A
 * connection that is put in with its `hash` set has the right one. */
uint32_t session_lookup_soon(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t fib);
void session_lookup_next(struct worker *w, uint32_t hash);
void session_lookup_fetch(struct worker *w, uint32_t hash); /* the first step alone, of a hash that is known */
struct transport_conn *session_lookup_hashed(struct worker *w, uint32_t hash, uint8_t proto, const struct ip_endpoint *lcl,
                                             const struct ip_endpoint *rmt, uint32_t from);
/* Best listener: exact address, then one bound to the device, then wildcard (IPv6 wildcard serves IPv4 unless V6ONLY); with SO_REUSEPORT
 * one of the group by flow hash; NULL = none, or the rules of its namespace refuse it. */
struct listener *session_lookup_listener(struct worker *w, uint8_t proto, const struct ip_endpoint *lcl,
                                         const struct ip_endpoint *rmt, uint32_t from);
/* Datagrams: a bound session without a peer (rmt 0.0.0.0:0 in ops->connect) is found as a listener; its session, or NULL. A
 * session whose peer is set gets ops->connect() again with s->conn set: the transport changes that connection. */
struct session *listener_session(const struct listener *l);
uint32_t listener_backlog_room(const struct listener *l); /* 0 = a new connection must be refused or dropped */
bool listener_accept_full(const struct listener *l);      /* established connections alone fill the backlog */
struct listener_info {
    struct svm_handle handle;    /* the same on every worker */
    struct ip_endpoint lcl;
    uint32_t app_id, ns, backlog;
    uint32_t layer_cfg;          /* what its program chose for the transport: see SVM_MSG_LISTEN */
    uint16_t fib;
    bool is_home;                /* not a copy of another worker's */
    uint8_t proto;
};
void listener_info(const struct listener *l, struct listener_info *out);
/* Options a new connection takes over from its listener (SVM_ATTR_* set before accept). 0 or -ENOENT. */
int listener_attr(const struct listener *l, uint8_t attr, int32_t *value);
bool listener_has_attrs(const struct listener *l);        /* one of them, or the algorithm below */
uint32_t listener_layer_cfg(const struct listener *l);    /* as in listener_info(); 0 = nothing */
uint8_t listener_dev(const struct listener *l);           /* bound to that interface: what it accepts is, too */
const char *listener_congestion(const struct listener *l);                    /* SVM_ATTR_CONGESTION; NULL = not set */
unsigned listener_fastopen_key(const struct listener *l, const uint8_t **key); /* SVM_ATTR_FASTOPEN_KEY: how many there are, 0 = none */
void listener_half_open(struct listener *l, int delta);   /* half-open connections count against the backlog */

/* The connection is established: make its session, with FIFOs, and offer it to a program. 0, or -ENOBUFS/-ENOMEM/-ECONNREFUSED
 * (listener went, backlog full): the transport resets or drops as its protocol says. */
int session_accept(struct worker *w, struct listener *l, struct transport_conn *c);
void session_connected(struct worker *w, struct session *s, int error); /* error: the connection is gone, detached */

/* For a batch of segments, each step for all of them: what bytes for s need comes into the cache. NULL is allowed. */
void session_ahead_rx(const struct session *s);
void session_ahead_rx_fifos(const struct session *s);
void session_ahead_rx_lines(const struct session *s);

/* Receive side. offset = distance from the next expected byte; bytes beyond are kept in place (svm_fifo_enqueue_at).
 * Returns bytes that became readable in order, or -ENOBUFS. */
int64_t session_rx_enqueue(struct worker *w, struct session *s, uint32_t offset, const void *data, uint32_t len);
/* A datagram record; -ENOBUFS = does not fit, dropped. */
int session_rx_enqueue_record(struct worker *w, struct session *s, const struct iovec *iov, int n_iov);
uint32_t session_rx_space(struct worker *w, struct session *s);      /* bytes that may still be enqueued */
/* In place: up to two pieces of room, then how much of them was filled. 0 pieces = full. */
int session_rx_reserve(struct worker *w, struct session *s, uint32_t want, struct iovec iov[2]);
void session_rx_commit(struct worker *w, struct session *s, uint32_t len);
/* Bytes that may be promised to the peer: will fit whether the program reads or not. Never takes back what it has once said. */
uint32_t session_rx_window(struct worker *w, struct session *s);
/* Whatever the program has read meanwhile: the window is not `step` bytes larger than `wnd`, and half of the FIFO is free. */
bool session_rx_is_steady(const struct session *s, uint32_t wnd, uint32_t step);
void session_rx_is_stream(struct session *s);                        /* it comes fast: the window need not be modest any more */
void session_rx_is_near(struct session *s, bool on);                 /* what is under way is in buffers of a host more than on a wire */
void session_rx_modest(struct session *s, bool on);                  /* 64 KiB at most are promised, however fast it comes */
uint32_t session_rx_unread(struct worker *w, struct session *s);     /* bytes in order that the program has not taken */
uint32_t session_rx_max(const struct session *s);                    /* the FIFO's configured maximum */
uint32_t session_rx_limit(const struct session *s);                  /* its share of that now, while many streams come from near */
uint32_t session_rx_room(struct worker *w, struct session *s);       /* of which so much is free */
/* Out-of-order intervals as offsets from the next expected byte, most recent first; returns how many were written. */
struct session_ooo { uint32_t start, end; };
int session_rx_ooo(struct session *s, struct session_ooo *out, int max);
/* The byte at that offset is urgent; before it is enqueued. is_pending: the one before has not come yet. Tells the program. */
void session_rx_urgent(struct worker *w, struct session *s, uint32_t offset, bool is_pending);
bool session_rx_urgent_came(struct worker *w, struct session *s);    /* true: it has been enqueued, and the program is told */
void session_rx_want_space(struct worker *w, struct session *s, uint32_t bytes); /* ops->rx_space() will be called */
void session_rx_fin(struct worker *w, struct session *s);            /* no byte follows what was enqueued */
void session_reset(struct worker *w, struct session *s, int error);  /* aborted; detaches the connection */
void session_soft_error(struct worker *w, struct session *s, int error); /* 0: the error is a record in the receive FIFO */
void session_closed(struct worker *w, struct session *s);            /* orderly end after close(); detaches the connection */

/* Transmit side. Offsets count from the oldest byte not yet dropped. */
uint32_t session_tx_avail(struct worker *w, struct session *s);      /* bytes in the FIFO, sent or not */
uint32_t session_tx_seen(const struct session *s);                    /* the same as it was at the last look at the FIFO */
/* In place; fewer than len where what a former user of the session has left ends (session_claim.c). */
int session_tx_peek_iov(struct worker *w, struct session *s, uint32_t offset, uint32_t len, struct iovec iov[4]);
/* As above, for packets that these pieces are attached to (pkt_attach()): all of len, or 0: copy. They hold until ops->tx() returns; the
 * session layer has the packets sent then, or gives them copies, so that nothing refers to a FIFO whose bytes are dropped or memory freed. */
int session_tx_attach_iov(struct worker *w, struct session *s, uint32_t offset, uint32_t len, struct iovec iov[4]);
void session_tx_copy(struct worker *w, struct session *s, uint32_t offset, void *dst, uint32_t len);
/* After session_tx_avail(): there is an urgent byte that is not dropped yet; *end: offset of the one after it. */
bool session_tx_urgent(const struct session *s, uint32_t *end);
void session_tx_drop(struct worker *w, struct session *s, uint32_t len);  /* acknowledged */
struct session *session_tx_direct(struct worker *w, struct session *s);              /* ops->tx_direct(); NULL: there is none */
void session_tx_direct_want(struct worker *w, struct session *s, uint32_t bytes);
void session_tx_schedule(struct worker *w, struct session *s);       /* ops->tx() will be called in this turn or the next */
/* The rules of its namespace let it begin something with rmt (session_rules.h). */
bool session_may_send(struct worker *w, const struct session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt);
/* Nothing goes on: the server's halves of its FIFOs go, if they can be made again as they were. The calls above make them again, and
 * session_wake(): false = no memory. */
void session_idle(struct worker *w, struct session *s);
/* Nothing goes on: gives back what the receive FIFO has no bytes in, and asks the program for the same of the other one. */
void session_rings_idle(struct worker *w, struct session *s);
bool session_wake(struct worker *w, struct session *s);
enum { SESSION_KEPT = 32 };
/* Bytes that a transport leaves with the session, in memory that the slot has anyway, until it asks for them. false: no place. */
bool session_keep(struct worker *w, struct session *s, const void *bytes);
bool session_kept(struct worker *w, struct session *s, void *bytes);
/* The program waits for room to write, or has filled all there is. */
bool session_tx_is_short(struct worker *w, struct session *s);
uint16_t session_fib(const struct session *s);                       /* interface table of its namespace */
uint8_t session_dev(const struct session *s);                        /* bound to that interface: see interface_dev(); 0 = none */
uint8_t session_way_dev(const struct session *s);                    /* of datagrams, from within ops->connect(): the one to look for the peer by */
uint32_t session_layer_cfg(const struct session *s);      /* what its program chose for the transport (struct session) */
uint8_t session_connect_how(const struct session *s);     /* enum svm_connect_how */
/* From within ops->connect(), before the first packet: what the program has set holds for c from now on, ops->attr_set() is called. Every
 * transport over IP that connects a stream calls it; the others have their options when ops->connect() has returned. */
void session_connect_attrs(struct worker *w, struct session *s, struct transport_conn *c);
/* From within ops->connect(): it sends nothing before the program has written; ops->tx() will be called then. */
void session_connect_waits(struct worker *w, struct session *s);
struct ip_addr session_bound_addr(const struct session *s);             /* as bound, maybe the wildcard */
bool session_tx_is_fin(const struct session *s);                     /* the program has shut down writing */

/* Local ports (RFC 6056 s3.3.3 algorithm 3, hash with a secret and a random increment); the port is chosen so that answers reach this
 * worker. *lcl gets the address (from the route to rmt when it is a wildcard) and the port. */
int session_choose_source(struct worker *w, uint8_t proto, const struct ip_endpoint *rmt, uint32_t from, struct ip_endpoint *lcl);

/* The port of a bound session at one more address: kept until session_endpoint_release(). 0, -EADDRINUSE, -ENOMEM. */
struct session_endpoint;
int session_endpoint_also(struct worker *w, const struct session *s, const struct ip_addr *ip, struct session_endpoint **out);
void session_endpoint_release(struct worker *w, struct session_endpoint *e); /* NULL is allowed */

int transport_register(const struct transport_ops *ops);             /* before workers start; -EEXIST */
const struct transport_ops *transport_get(uint8_t proto);            /* NULL = not served */

#endif
