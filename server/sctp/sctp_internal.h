/* sctp_internal.h - state of the SCTP transport
 *
 *                     connect                                   INIT: cookie, no state
 *   CLOSED ------------------------> COOKIE-WAIT                        |
 *     |  COOKIE-ECHO that is ours         | INIT-ACK                    |
 *     +---------> ESTABLISHED <--- COOKIE-ECHOED <----------------------+   (RFC 9260 s4)
 *                  | close     \ SHUTDOWN
 *          SHUTDOWN-PENDING   SHUTDOWN-RECEIVED
 *                  | all acked      | all acked
 *           SHUTDOWN-SENT     SHUTDOWN-ACK-SENT
 *                  \---> CLOSED <---/
 *
 * Owner:  sctp_ep: its session (session_transport_data()), freed by session_gone(). sctp_assoc: sctp_assoc_new() makes it, sctp_assoc_free()
 *         frees it, alone. sctp_path: its association. A session's conn is its association, or, when that has
 *         ended, its endpoint until the last message is in the FIFO. A one-to-many socket is several sessions (vcl/ composes it).
 * Thread: worker 0.
 * Errors: packets: a counter of sctp_drops.def; calls: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_SCTP_INTERNAL_H
#define HOSTSTACK_SERVER_SCTP_INTERNAL_H

#include "server/ip/ip.h"
#include "server/sctp/sctp.h"
#include "server/sctp/sctp_asconf.h"
#include "server/sctp/sctp_auth.h"
#include "server/sctp/sctp_hdr.h"
#include "server/sctp/sctp_index.h"
#include "server/session/session.h"
#include "svm/svm_sctp.h"

enum sctp_count {
#define COUNT(name, text) SCTP_N_##name,
#include "server/sctp/sctp_drops.def"
#undef COUNT
    SCTP_N_MAX
};

enum sctp_limits {
    SCTP_ADDRS = SVM_SCTP_ADDRS_MAX,
    SCTP_TSN_WINDOW = 1 << 16,       /* a gap block says no more */
    SCTP_TSN_WORDS_MIN = 8,          /* 64-bit words of the map of received TSNs, at first */
    SCTP_MAX_DUPS = 16,
    SCTP_STREAM_PAGE = 32,
    SCTP_UNSENT_MAX = 128 << 10,     /* bytes taken out of a FIFO and not sent yet; chunks of them */
    SCTP_UNSENT_CHUNKS = 2048,
    SCTP_CHUNKS_PER_PACKET = 512,
    SCTP_INIT_MAX = 4096,            /* longer INITs are nobody's */
    SCTP_IN_MSGS_MAX = 65536,        /* messages being put together */
    SCTP_BURST = 4,                  /* RFC 9260 s16: Max.Burst */
    SCTP_PMTU_MAX = 16384,
    SCTP_NO_SWITCH = 65535,          /* RFC 7829 s7.1: the primary path stays */
    SCTP_PR_POLICIES = 3,            /* lifetime, retransmissions, priority (RFC 7496) */
    SCTP_RECONF_LIST = 600,          /* streams named in one request of ours */
    SCTP_ERRORS_PER_S = 500,         /* answers to packets that belong to nobody */
};
enum { SCTP_SEC = 1000000, SCTP_MS = 1000 };

enum sctp_state {
    SCTP_S_CLOSED, SCTP_S_COOKIE_WAIT, SCTP_S_COOKIE_ECHOED, SCTP_S_ESTABLISHED, SCTP_S_SHUTDOWN_PENDING, SCTP_S_SHUTDOWN_SENT,
    SCTP_S_SHUTDOWN_RECEIVED, SCTP_S_SHUTDOWN_ACK_SENT, SCTP_S_MAX
};

enum sctp_feature {                  /* offered in INIT, agreed when both do */
    SCTP_F_PR = 1u << 0, SCTP_F_RECONF = 1u << 1, SCTP_F_IDATA = 1u << 2,
    SCTP_F_AUTH = 1u << 3, SCTP_F_ASCONF = 1u << 4, SCTP_F_ECN = 1u << 5,
};

/* RFC 8260 s3 beyond those that linux/sctp.h of this system may have; the numbers are Linux's. */
enum { SCTP_SCHED_FAIR = 3, SCTP_SCHED_WEIGHTED = 4 };
enum { SCTP_EXPOSE_PF = 2 };         /* values of SCTP_EXPOSE_POTENTIALLY_FAILED_STATE: 0 unset, 1 no */
enum { SCTP_KIND_ASSOC = 1, SCTP_KIND_EP = 2 };

/* Options of a socket; an association starts from them. Times in ms. */
struct sctp_cfg {
    uint32_t rto_initial, rto_min, rto_max;
    uint32_t cookie_life, hb_interval, sack_delay, sack_freq;
    uint16_t assoc_max_retrans, path_max_retrans, pf_threshold, ps_threshold, init_max_attempts;
    uint32_t init_max_timeo;
    uint16_t n_ostreams, max_instreams;
    uint32_t maxseg, max_burst, pd_point, autoclose_s, adaptation, context, pmtu;
    uint16_t udp_port;               /* RFC 6951: remote port, 0 = none */
    uint16_t events;                 /* bit per SCTP_SN_TYPE_BASE + n */
    uint32_t features;               /* enum sctp_feature that may be offered */
    bool nodelay, no_fragments, hb_enabled, v4_mapped, pmtud_off, v6only, auto_asconf;
    uint8_t dscp, ttl, scheduler, expose_pf;
    uint8_t reset_allowed;           /* SCTP_ENABLE_STREAM_RESET */
    struct sctp_auth_cfg auth;       /* copied by sctp_cfg_copy(), it counts who refers to the keys */
    struct sctp_default_prinfo pr;
    uint8_t n_lcl;                   /* bindx: 0 = all addresses of the stack that fit the bound one */
    uint8_t n_peers;                 /* connectx: given, for the next connect */
    struct ip_addr lcl[SCTP_ADDRS];
    struct ip_addr peers[SCTP_ADDRS];
};

struct sctp_assoc;
struct sctp_path;

/* ---- what is sent ---- */
struct sctp_msg {                    /* shared by its fragments, freed with the last one */
    uint32_t n_frags;
    uint32_t ppid, context, mid, pr_value, len;
    uint64_t seq;                    /* order of arrival */
    uint64_t expires_us;             /* UINT64_MAX = never */
    uint16_t stream, flags, ssn, pr_policy, auth_key;
    uint32_t next_fsn;
    bool is_begun, is_abandoned, is_whole, may_skip; /* may_skip: the peer understands FORWARD TSN */
    bool has_auth_key;
};
enum sctp_tx_state { SCTP_TX_QUEUED, SCTP_TX_FLIGHT, SCTP_TX_MARKED, SCTP_TX_ACKED };
struct sctp_tx {                     /* one DATA or I-DATA chunk */
    struct sctp_tx *next, *prev;
    struct sctp_msg *msg;
    struct sctp_path *path;          /* sent to last */
    uint64_t sent_us;
    uint32_t tsn, fsn;
    uint16_t len;
    uint8_t flags;                   /* SCTP_DATA_* */
    uint8_t state, n_sent, misses;
    bool is_fast;                    /* fast retransmitted once: no more (s7.2.4) */
    bool skips_cwnd;                 /* s7.2.4: the first packet of a fast retransmission */
    uint8_t data[];
};
struct sctp_out_stream {
    struct sctp_tx *head, *tail;     /* not sent yet */
    struct sctp_out_stream *active_next, *active_prev;
    uint32_t mid_ordered, mid_unordered;
    uint16_t ssn, sid, value;        /* value: priority (the lowest goes first) or weight; 0 = not set */
    bool is_active, is_resetting;
    uint64_t pass;                   /* of the fair schedulers: what the stream has had so far */
    uint32_t given_up[SCTP_PR_POLICIES][2]; /* messages: unsent, sent */
};

/* ---- what is received ---- */
struct sctp_frag {
    struct sctp_frag *next, *prev;   /* by FSN (DATA: TSN) */
    struct sctp_node node;           /* key: FSN */
    struct sctp_frag *run;           /* unordered DATA: at both ends of a run of neighbours, the other end */
    uint32_t tsn, ppid;
    uint16_t len, stream;
    uint8_t flags;
    uint8_t data[];
};
struct sctp_in_msg {                 /* being put together */
    struct sctp_in_msg *next, *prev;
    struct sctp_node node;           /* key: MID; of DATA its SSN, made 32 bits long */
    struct sctp_frag *head, *tail;
    struct sctp_index index;
    uint32_t n_frags, bytes, ppid, next_fsn, first_fsn, last_fsn;
    uint16_t stream;
    bool is_unordered, has_first, has_last, is_partial;
};
struct sctp_in_queue {               /* messages by MID */
    struct sctp_in_msg *head, *tail;
    struct sctp_index index;
};
struct sctp_in_stream {
    struct sctp_in_queue q[2];       /* ordered; unordered I-DATA */
    uint32_t next_mid;               /* DATA: its low 16 bits are the SSN */
    bool is_blocked;                 /* DATA: waits in assoc->blocked until the message that goes in pieces has ended */
    struct sctp_in_stream *blocked_next;
    struct sctp_in_msg *partial;     /* I-DATA: the unordered one that goes in pieces */
    struct sctp_in_msg *done, **done_tail; /* whole unordered ones that wait for its end */
};
struct sctp_ready {                  /* for the FIFO, which was full */
    struct sctp_ready *next;
    struct svm_sctp_record rec;
    struct sctp_frag *frags;
    uint32_t bytes, taken;           /* of the first fragment */
    bool is_more;
    uint8_t note[];                  /* notification */
};

/* ---- an address of the peer ---- */
enum sctp_path_state { SCTP_PATH_UNCONFIRMED, SCTP_PATH_ACTIVE, SCTP_PATH_PF, SCTP_PATH_INACTIVE };
struct sctp_path {
    struct sctp_assoc *a;
    struct sctp_path *hash_next;
    struct ip_addr ip, src;          /* src any = as the route says */
    struct ip_route_cache cache;
    struct timer_node t3, hb;
    uint64_t last_used_us, rtt_sent_us, hb_nonce, hb_sent_us, cwnd_used_us;
    uint32_t cwnd, ssthresh, partial_acked, flight;
    uint32_t srtt_us, rttvar_us, rto_us;
    uint32_t rtt_tsn, hb_interval_ms, recover_tsn;
    uint32_t n_acked;                /* of the SACK being looked at */
    uint16_t pmtu, errors, max_retrans, pf_threshold, ps_threshold, udp_port;
    uint8_t index, state, dscp;
    bool is_hashed, rtt_running, hb_enabled, hb_pending, in_fast_recovery, pmtud_off, ecn_cut;
    bool after_timeout;              /* s7.2.1: one packet, until something is acknowledged */
    bool is_decaying;                /* s7.2.1: ssthresh has been set for it */
    uint32_t ecn_tsn;                /* with ecn_cut: the window was reduced, no more for what is marked up to here */
};

struct sctp_peer_init {              /* what an INIT, INIT-ACK or cookie says */
    uint32_t tag, rwnd, tsn, features, adaptation;
    uint16_t n_out, max_in;
    uint8_t n_addrs;
    bool has_adaptation, has_iforward;
    struct ip_addr addr[SCTP_ADDRS];
    struct sctp_auth_vec auth;       /* with SCTP_F_AUTH */
};

/* ---- RFC 6525 ---- */
struct sctp_reconf {
    uint8_t *req;                    /* what was asked for and is not answered: one or two parameters, to be sent again */
    uint16_t req_len;
    uint8_t n_told;
    bool is_held;                    /* the peer has reset everything: nothing is sent until it is likely to know that it was done */
    uint32_t next_seq;               /* of ours */
    uint32_t peer_seq;               /* that the peer's next request must have */
    struct sctp_reconf_told { uint32_t seq, result, my_tsn, peer_tsn; bool has_tsns; } told[2]; /* for when our answer was lost */
};

struct sctp_assoc {
    struct transport_conn base;      /* first; lcl port, primary as rmt */
    uint8_t kind;                    /* SCTP_KIND_ASSOC */
    uint8_t state;                   /* enum sctp_state */
    uint8_t n_paths;
    struct sctp_ep *ep;              /* NULL: nobody reads or writes (any more) */
    struct sctp_assoc *ep_next, **ep_pprev;      /* of the endpoint */
    struct sctp_assoc *id_next;
    struct sctp_assoc *all_next, **all_pprev;    /* of the worker */
    struct sctp_assoc *touched_next;
    struct sctp_cfg cfg;
    uint32_t id;
    uint32_t my_tag, peer_tag;
    uint32_t features;               /* agreed */
    struct sctp_path *path[SCTP_ADDRS];
    struct sctp_path *primary, *last_from; /* last_from: where the last packet came from, SACKs go there */
    struct ip_addr lcl_ip;           /* that the association was begun with */

    /* T1 (INIT, COOKIE ECHO), T2 (SHUTDOWN), T5, delayed SACK, autoclose */
    struct timer_node t1, t2, t5, t_sack, t_close, t_reconf;
    uint32_t n_init, errors;
    struct sctp_auth *auth;          /* NULL: the socket does not offer AUTH */
    struct sctp_asconf *asconf;      /* NULL: not agreed on */
    uint8_t *cookie;                 /* to echo */
    uint16_t cookie_len;
    uint64_t cookie_sent_us;
    uint64_t probe_us;               /* s5.4: when the next address that is not confirmed may be asked */
    uint32_t preservative_ms;        /* asked for after a stale cookie */

    /* sending */
    uint32_t my_init_tsn, next_tsn, cum_acked;   /* cum_acked: highest TSN acknowledged in order */
    struct sctp_tx *sent_head, *sent_tail;       /* by TSN, from cum_acked + 1 */
    uint32_t n_marked, n_sent_chunks;
    struct sctp_out_stream *out;
    uint16_t n_out, n_in;
    struct sctp_out_stream *active, *active_tail; /* with something to send, by rank */
    uint64_t pass;                   /* of the stream that was served last */
    struct sctp_out_stream *current; /* in the middle of a message (DATA: it must be finished first) */
    struct sctp_msg *pull;           /* its last record said MORE */
    uint64_t next_seq;
    uint32_t unsent, flight, peer_rwnd, unsent_chunks;
    uint32_t adv_peer_ack;           /* RFC 3758: Advanced.Peer.Ack.Point */
    uint32_t peer_adaptation;
    bool has_adaptation;
    bool probe_due;                  /* s6.1 A: the peer's window has been closed for an RTO */
    bool fwd_pending, has_prio, eof_asked, dry_told, tx_blocked; /* has_prio: a message with SCTP_PR_SCTP_PRIO was taken */

    /* receiving */
    uint32_t peer_init_tsn, cum_tsn, high_tsn;   /* cum_tsn: all up to it have come */
    uint64_t *map;                   /* bit tsn % bits: has come; of TSNs above cum_tsn */
    uint32_t map_words, n_above;
    uint32_t dup[SCTP_MAX_DUPS];
    uint8_t n_dups, packets_unacked;
    bool sack_now, sack_due, data_seen, is_touched, dead;
    bool first_acked;                /* s5.1: the first data is acknowledged at once */
    bool ecn_echo;                   /* a marked packet came, and the peer has not said CWR */
    uint32_t ecn_lowest;             /* the TSN it is told of */
    uint32_t last_rwnd, promised;    /* promised: bytes that the peer may still send by what it was told */
    struct sctp_in_stream **in_page;
    struct sctp_frag *uo_head, *uo_tail;         /* unordered DATA fragments, by TSN */
    struct sctp_index uo_index;
    struct sctp_in_msg *done, **done_tail;       /* whole, and waiting for the end of the one that goes in pieces */
    struct sctp_in_stream *blocked, **blocked_tail;
    uint32_t held, n_in_msgs;        /* bytes being put together */
    struct sctp_in_msg *partial;     /* DATA: goes to the FIFO in pieces */
    uint32_t partial_uo_tsn;         /* its next fragment */
    uint16_t partial_uo_stream;
    bool partial_uo;

    uint32_t given_up[SCTP_PR_POLICIES][2]; /* messages: unsent, sent */
    struct sctp_reconf reconf;
    uint64_t begun_us;
    uint64_t n_rx_packets, n_tx_packets, n_rx_data, n_tx_data, n_rtx, n_dup_rx, n_rx_sacks, n_tx_sacks, n_gaps, n_t3, n_rx_msgs,
        n_tx_msgs, n_tx_ctl, max_rto_us;
};

struct sctp_ep {                     /* what a session has of SCTP */
    struct transport_conn base;      /* first */
    uint8_t kind;                    /* SCTP_KIND_EP */
    bool is_listening, is_closing, is_draining;
    bool has_unread;                 /* a message was delivered, not only notifications */
    int drain_error;                 /* draining: the association is gone, its last messages are not in the FIFO yet */
    struct session *s;
    struct sctp_cfg cfg;
    struct session_endpoint *also[SCTP_ADDRS]; /* of cfg.lcl, for which the session's own does not stand */
    struct sctp_assoc *assocs;       /* one at most */
    struct sctp_ready *ready, **ready_tail;
    uint32_t ready_bytes;
    struct sctp_assoc *partial;      /* whose message is being delivered in pieces: nothing of another may come between */
    bool discard;                    /* the rest of a message that cannot be sent */
};

struct sctp_worker {
    uint64_t count[SCTP_N_MAX];
    struct sctp_path **table;        /* by local port, peer address and port, fib */
    uint32_t table_mask, n_paths;
    struct sctp_assoc *by_id[1024];
    struct sctp_assoc *all, *touched;
    uint32_t last_id, n_assocs;
    struct sctp_config cfg;
    uint8_t secret[2][32];           /* of cookies: this and the one before */
    uint64_t secret_until_us;
    uint64_t errors_s;
    uint32_t n_errors;
    uint8_t flat[65536 + 256];       /* a packet of several pieces, in one */
    uint8_t auth[65536];             /* what an HMAC is made of */
};

struct sctp_out {                    /* a packet being made (sctp_packet.c) */
    struct worker *w;
    struct pkt *p;
    uint8_t *base;
    uint32_t len, max;
    bool is_ect;                     /* the packet may be marked: it has DATA */
    struct sctp_assoc *a;            /* what it demands is authenticated; NULL: nothing is */
    uint8_t *auth;                   /* the AUTH chunk; NULL: none yet */
    uint16_t key;                    /* for it */
};

/* A packet being looked at, checked by sctp_input.c. */
struct sctp_in {
    struct ip_endpoint lcl, rmt;
    uint16_t fib, udp_port;          /* udp_port: it came in UDP from there */
    uint32_t tag;
    const uint8_t *b;                /* behind the common header */
    uint32_t len;
    struct sctp_path *path;          /* it came from, of the association */
    bool has_data, has_sack, has_ecne, is_ce;
    uint8_t auth;                    /* enum sctp_auth_verdict */
    uint32_t first_tsn;              /* with has_data: of the first DATA chunk */
    uint16_t n_chunks;
    const uint8_t *packet;           /* whole, for errors */
    uint32_t packet_len;
    struct sctp_out reply;           /* s12.5: one packet of answers to one packet; p NULL: none yet */
    struct ip_addr reply_to;
};
struct sctp_chunk {
    uint8_t type, flags;
    uint16_t len;                    /* as in the header, 4 or more */
    const uint8_t *b;                /* its header */
};

static inline struct sctp_worker *sctp_worker_of(struct worker *w) { return worker_transport_state(w, SVM_PROTO_SCTP); }
static inline void sctp_count(struct worker *w, enum sctp_count c) { sctp_worker_of(w)->count[c]++; }
static inline struct sctp_assoc *sctp_assoc_of(struct transport_conn *b)
{
    struct sctp_assoc *a = hs_container_of(b, struct sctp_assoc, base);
    return a->kind == SCTP_KIND_ASSOC ? a : NULL;
}
static inline struct sctp_ep *sctp_ep_of_session(const struct session *s) { return session_transport_data(s); }
static inline bool sctp_has(const struct sctp_assoc *a, uint32_t feature) { return a->features & feature; }
static inline uint32_t sctp_data_hdr(const struct sctp_assoc *a) { return sctp_has(a, SCTP_F_IDATA) ? SCTP_IDATA_HDR : SCTP_DATA_HDR; }
/* s7.2: windows of paths count chunks with their headers and padding; the receiver's (s6.2.1) counts their data. */
static inline uint32_t sctp_chunk_cost(const struct sctp_assoc *a, const struct sctp_tx *t) { return sctp_pad(sctp_data_hdr(a) + t->len); }

/* sctp_assoc.c: associations and endpoints, their lists */
void sctp_cfg_init(struct sctp_cfg *cfg);
struct sctp_ep *sctp_ep_get(struct worker *w, struct session *s);     /* makes it; NULL: no memory */
void sctp_ep_free(struct worker *w, struct sctp_ep *ep);
struct sctp_assoc *sctp_assoc_new(struct worker *w, const struct sctp_cfg *cfg, const struct ip_endpoint *lcl, uint16_t fib);
void sctp_assoc_free(struct worker *w, struct sctp_assoc *a);
void sctp_assoc_attach(struct sctp_assoc *a, struct sctp_ep *ep);
void sctp_assoc_detach(struct sctp_assoc *a);
struct sctp_assoc *sctp_assoc_by_id(struct worker *w, uint32_t id);
struct sctp_path *sctp_find(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t fib);
int sctp_path_hash_add(struct worker *w, struct sctp_path *p);
void sctp_path_hash_del(struct worker *w, struct sctp_path *p);
bool sctp_lcl_ok(struct worker *w, const struct sctp_assoc *a, const struct ip_addr *ip);
bool sctp_cfg_has_lcl(struct worker *w, const struct sctp_cfg *cfg, const struct ip_addr *bound, uint16_t fib, const struct ip_addr *ip);
int sctp_lcl_addrs(struct worker *w, const struct sctp_cfg *cfg, const struct ip_addr *bound, uint16_t fib, bool global_only,
                   struct ip_addr *out, int max);
int sctp_streams_alloc(struct sctp_assoc *a, uint16_t n_out, uint16_t n_in);
void sctp_touch(struct worker *w, struct sctp_assoc *a);
void sctp_touched_run(struct worker *w);
void sctp_state_set(struct worker *w, struct sctp_assoc *a, enum sctp_state to);
uint32_t sctp_tag_new(struct worker *w);                            /* random, not 0 (RFC 9260 s5.3.1) */

/* sctp_path.c: addresses of the peer, RTO, congestion control */
struct sctp_path *sctp_path_add(struct worker *w, struct sctp_assoc *a, const struct ip_addr *ip, bool is_confirmed);
void sctp_path_del(struct worker *w, struct sctp_path *p);
struct sctp_path *sctp_path_of(const struct sctp_assoc *a, const struct ip_addr *ip);
void sctp_path_mtu_update(struct worker *w, struct sctp_path *p);
int sctp_route(struct worker *w, uint16_t fib, const struct ip_addr *ip, struct ip_path *out); /* 0, -ENETUNREACH */
void sctp_path_rtt(struct worker *w, struct sctp_path *p, uint64_t rtt_us);
void sctp_path_backoff(struct sctp_path *p);
void sctp_path_error(struct worker *w, struct sctp_path *p, bool is_idle_hb); /* may end the association */
void sctp_path_ok(struct worker *w, struct sctp_path *p);
void sctp_path_set_state(struct worker *w, struct sctp_path *p, enum sctp_path_state to, uint32_t error);
struct sctp_path *sctp_path_for_data(struct sctp_assoc *a);
struct sctp_path *sctp_path_alternate(struct sctp_assoc *a, const struct sctp_path *not_this);
void sctp_path_cc_init(struct sctp_path *p);
void sctp_path_cc_acked(struct worker *w, struct sctp_path *p, bool cum_advanced, uint32_t flight_before);
void sctp_path_cc_loss(struct sctp_assoc *a, struct sctp_path *p);
void sctp_path_cc_timeout(struct sctp_path *p);
void sctp_path_take_udp(struct worker *w, struct sctp_path *p, uint16_t udp_port); /* the peer is reached so; 0 = without UDP */
void sctp_path_cc_mark(struct sctp_path *p);
void sctp_path_cc_idle(struct worker *w, struct sctp_path *p);
void sctp_path_dscp(struct sctp_path *p, uint8_t dscp);
uint32_t sctp_frag_max(const struct sctp_assoc *a);                 /* data bytes of one chunk */
uint32_t sctp_path_payload(const struct sctp_path *p);              /* bytes of chunks in one packet */

/* sctp_hb.c: heartbeats */
void sctp_hb_start(struct worker *w, struct sctp_path *p);
void sctp_hb_now(struct worker *w, struct sctp_path *p);
void sctp_hb_all(struct worker *w, struct sctp_assoc *a);

/* sctp_packet.c: packets out */
int sctp_out_begin(struct worker *w, struct sctp_out *o, uint32_t max); /* max: bytes with the common header; -ENOBUFS */
int sctp_out_begin_for(struct sctp_out *o, struct worker *w, struct sctp_assoc *a, uint32_t max); /* max: but for AUTH */
uint8_t *sctp_out_chunk(struct sctp_out *o, uint8_t type, uint8_t flags, uint32_t len); /* NULL: no room; header written */
void sctp_out_send(struct sctp_out *o, struct sctp_assoc *a, struct sctp_path *p);      /* with the association's tag */
void sctp_out_reply(struct sctp_out *o, const struct sctp_in *in, uint32_t tag);        /* to where `in` came from */
void sctp_out_drop(struct sctp_out *o);
int sctp_send_chunk(struct worker *w, struct sctp_assoc *a, struct sctp_path *p, uint8_t type, uint8_t flags, const void *body, uint32_t len);
/* An answer to a chunk of `in`: goes with the others at its end. What does not fit is not said. */
void sctp_reply(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, uint8_t type, const void *body, uint32_t len);
void sctp_reply_flush(struct worker *w, struct sctp_assoc *a, struct sctp_in *in); /* a NULL: it is gone, and so are the answers */


/* sctp_input.c */
void sctp_input(struct worker *w, struct pkt **pkts, unsigned n);
void sctp_input_in_udp(struct worker *w, struct pkt *p, be16 rmt_port);
/* sctp_watch.c: around a packet that somebody looks at (capture/). */
void sctp_watch_begin(struct worker *w, uint64_t before[SCTP_N_MAX]);
void sctp_watch_end(struct worker *w, struct pkt *p, const struct sctp_in *in, const uint64_t before[SCTP_N_MAX]);
void sctp_input_bytes(struct worker *w, struct sctp_in *in, const uint8_t *b, uint32_t len, bool csum_good);
void sctp_chunks_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in); /* in->b, len: the chunks */

/* sctp_ootb.c: packets that belong to no association (s8.4) */
void sctp_ootb(struct worker *w, struct sctp_in *in);
bool sctp_has_chunk(const struct sctp_in *in, uint8_t type);
void sctp_reply_abort(struct worker *w, const struct sctp_in *in, uint32_t tag, bool is_t, uint16_t cause, const void *info, uint32_t len);

/* sctp_init.c: INIT, INIT ACK, their parameters; sctp_cookie.c: cookies */
int sctp_connect_start(struct worker *w, struct sctp_assoc *a);
void sctp_init_send(struct worker *w, struct sctp_assoc *a);
void sctp_init_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
bool sctp_init_ack_elsewhere(struct worker *w, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_init_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
uint32_t sctp_params_put(struct worker *w, const struct sctp_cfg *cfg, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                         uint16_t fib, uint32_t features, const struct sctp_auth_vec *auth, uint8_t *b);
bool sctp_may_reach(struct worker *w, const struct sctp_assoc *a, const struct ip_addr *ip); /* addresses of this family */
uint8_t *sctp_address_put(uint8_t *b, const struct ip_addr *ip);  /* as a parameter; what is behind it */
int sctp_assoc_take_peer(struct worker *w, struct sctp_assoc *a, const struct sctp_peer_init *pi, const struct ip_addr *from);
struct sctp_cookie {                 /* what is remembered of an INIT, at the peer; host order; zeros at the end are left out there */
    uint8_t mac[32];
    uint64_t created_us;
    uint32_t life_ms;
    uint32_t my_tag, my_tsn, tie_my, tie_peer;
    uint16_t n_out, n_in, fib, udp_port;
    struct ip_addr lcl, rmt;
    be16 lport, rport;
    struct sctp_peer_init peer;
    struct sctp_auth_vec auth;       /* ours */
};
void sctp_cookie_sign(struct worker *w, struct sctp_cookie *c);
bool sctp_cookie_is_ours(struct worker *w, const struct sctp_cookie *c);
void sctp_cookie_echo_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_cookie_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_cookie_echo_send(struct worker *w, struct sctp_assoc *a, const uint8_t *unknown, uint32_t len); /* parameters to complain of */
uint32_t sctp_cookie_len(const struct sctp_cookie *c);              /* bytes that go over the wire */
bool sctp_cookie_take(const struct sctp_chunk *c, struct sctp_cookie *out); /* of a COOKIE ECHO; false: its length cannot be */
void sctp_established(struct worker *w, struct sctp_assoc *a);

/* sctp_recv.c: DATA in, what has come; sctp_reasm.c, sctp_unordered.c: messages; sctp_deliver.c: to the FIFO */
void sctp_data_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_packet_seen(struct worker *w, struct sctp_assoc *a, const struct sctp_in *in);
uint8_t *sctp_sack_put(struct worker *w, struct sctp_assoc *a, struct sctp_out *o);
void sctp_sack_timer_stop(struct worker *w, struct sctp_assoc *a);
void sctp_sack_flush(struct worker *w, struct sctp_assoc *a);  /* one that is delayed goes now */
void sctp_cum_advance(struct sctp_assoc *a);
bool sctp_tsn_seen(const struct sctp_assoc *a, uint32_t tsn);
uint32_t sctp_rwnd(struct worker *w, struct sctp_assoc *a);
void sctp_want_space(struct worker *w, struct sctp_assoc *a);       /* when its window is small */
void sctp_forward_tsn_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
struct sctp_piece {                  /* a DATA or I-DATA chunk */
    uint32_t tsn, fsn, mid, ppid;    /* mid: of DATA the SSN */
    uint16_t stream, len;
    uint8_t flags;
    const uint8_t *data;
};
int sctp_reasm_add(struct worker *w, struct sctp_assoc *a, const struct sctp_piece *d);  /* -ENOMEM, -EPROTO */
void sctp_reasm_free(struct sctp_assoc *a);
void sctp_reasm_resume(struct worker *w, struct sctp_assoc *a);     /* something may be deliverable again */
void sctp_reasm_skip(struct worker *w, struct sctp_assoc *a, uint16_t stream, uint32_t seq, bool unordered); /* up to and with */
void sctp_reasm_stream_reset(struct worker *w, struct sctp_assoc *a, struct sctp_in_stream *st);
bool sctp_reasm_is_free(const struct sctp_assoc *a);                /* no message goes in pieces, none waits for its end */
int sctp_reasm_whole(struct worker *w, struct sctp_assoc *a, struct sctp_frag *first, uint32_t n, uint32_t bytes); /* 0 or -ENOMEM */
uint32_t sctp_partial_point(const struct sctp_assoc *a);            /* bytes from which a message goes in pieces */
uint32_t sctp_frags_cost(uint32_t n, uint32_t bytes);
struct sctp_frag *sctp_frag_new(struct worker *w, const struct sctp_piece *d);
struct svm_sctp_info sctp_info_of(const struct sctp_assoc *a, const struct sctp_in_msg *m, uint32_t tsn);
int sctp_unordered_add(struct worker *w, struct sctp_assoc *a, const struct sctp_piece *d); /* sctp_unordered.c; -ENOMEM, -EPROTO */
void sctp_unordered_drop(struct worker *w, struct sctp_assoc *a);
void sctp_unordered_skip(struct worker *w, struct sctp_assoc *a, uint32_t tsn);
struct sctp_in_stream *sctp_in_stream(struct sctp_assoc *a, uint16_t sid, bool make);
void sctp_deliver(struct worker *w, struct sctp_assoc *a, const struct svm_sctp_info *info, struct sctp_frag *frags, const void *data,
                  uint32_t len, bool is_more);
void sctp_deliver_flush(struct worker *w, struct sctp_ep *ep);
void sctp_deliver_note(struct worker *w, struct sctp_ep *ep, uint32_t assoc_id, const void *note, uint32_t len, const void *data,
                       uint32_t data_len);

/* sctp_notify.c: notifications of RFC 6458 s6 */
void sctp_notify_assoc(struct worker *w, struct sctp_assoc *a, uint16_t state, uint16_t error, const void *info, uint32_t len);
void sctp_notify_path(struct worker *w, struct sctp_path *p, int state, int error);
void sctp_notify_failed(struct worker *w, struct sctp_assoc *a, const struct sctp_tx *t);
void sctp_notify_shutdown(struct worker *w, struct sctp_assoc *a);
void sctp_notify_remote_error(struct worker *w, struct sctp_assoc *a, uint16_t error, const void *data, uint32_t len);
void sctp_notify_dry(struct worker *w, struct sctp_assoc *a);
void sctp_notify_adaptation(struct worker *w, struct sctp_assoc *a, uint32_t value);
void sctp_notify_partial(struct worker *w, struct sctp_assoc *a, uint16_t stream, uint32_t seq, bool is_unordered);
void sctp_notify_streams(struct worker *w, struct sctp_assoc *a, uint16_t flags, const uint16_t *list, uint16_t n);
void sctp_notify_tsn_reset(struct worker *w, struct sctp_assoc *a, uint16_t flags, uint32_t local_tsn, uint32_t peer_tsn);
void sctp_notify_added(struct worker *w, struct sctp_assoc *a, uint16_t flags, uint16_t n_in, uint16_t n_out);
void sctp_notify_auth(struct worker *w, struct sctp_assoc *a, uint32_t indication, uint16_t key, uint16_t other);
bool sctp_event_on(const struct sctp_ep *ep, unsigned type);

/* sctp_send.c: records to chunks; sctp_sched.c: whose turn; sctp_output.c: chunks to packets; sctp_sack.c: SACK in */
enum transport_tx_verdict sctp_tx(struct worker *w, struct transport_conn *b, unsigned budget_bytes);
bool sctp_pull(struct worker *w, struct sctp_ep *ep, unsigned budget_bytes);  /* true: more could be taken at once */
void sctp_tx_free(struct sctp_assoc *a, struct sctp_tx *t);
void sctp_queue_add(struct sctp_assoc *a, struct sctp_tx *t);
struct sctp_tx *sctp_queue_next(struct sctp_assoc *a);              /* stays there */
struct sctp_tx *sctp_queue_take(struct sctp_assoc *a);
struct sctp_tx *sctp_queue_take_from(struct sctp_assoc *a, struct sctp_out_stream *o);
void sctp_queue_rank(struct sctp_assoc *a);                         /* the scheduler, or a value of it, is another one */
void sctp_queue_hold(struct sctp_assoc *a, struct sctp_out_stream *o, bool on); /* nothing new from there (RFC 6525) */
void sctp_queue_drop_all(struct worker *w, struct sctp_assoc *a, bool notify);
void sctp_queue_drop_msg(struct worker *w, struct sctp_assoc *a, struct sctp_out_stream *o);
void sctp_queue_prune(struct worker *w, struct sctp_assoc *a, uint32_t value); /* SCTP_PR_SCTP_PRIO above value makes room */
void sctp_number(struct sctp_assoc *a, struct sctp_tx *t);
void sctp_output(struct worker *w, struct sctp_assoc *a);
void sctp_t3_start(struct worker *w, struct sctp_path *p);
void sctp_t3_fire(struct worker *w, struct timer_node *t);
void sctp_sack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
bool sctp_cum_ack(struct worker *w, struct sctp_assoc *a, uint32_t cum);  /* s6.2.1, a SHUTDOWN's too; false: not of ours */
void sctp_acked_done(struct worker *w, struct sctp_assoc *a);

/* of struct sctp_assoc.given_up */
static inline unsigned sctp_pr_index(uint16_t policy) { return ((policy & SCTP_PR_SCTP_MASK) >> 4) - 1u; }
/* sctp_pr.c: partial reliability (RFC 3758, RFC 7496) */
void sctp_pr_set(struct sctp_assoc *a, struct sctp_msg *m, uint16_t policy, uint32_t value, uint64_t now_us);
void sctp_pr_count(struct sctp_assoc *a, const struct sctp_msg *m);
bool sctp_pr_expired(struct worker *w, const struct sctp_tx *t, bool is_rtx);
void sctp_pr_abandon(struct worker *w, struct sctp_assoc *a, struct sctp_msg *m);
void sctp_pr_advance(struct worker *w, struct sctp_assoc *a);
bool sctp_forward_tsn_put(struct sctp_assoc *a, struct sctp_out *o);

/* sctp_ecn.c: marks of routers, told and heeded (RFC 4960 App. A) */
void sctp_ecn_seen(struct sctp_assoc *a, const struct sctp_in *in);
void sctp_ecne_put(struct sctp_assoc *a, struct sctp_out *o);
void sctp_ecne_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_cwr_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);

/* sctp_reconf.c: streams begin anew, more streams (RFC 6525): what we ask for; sctp_reconf_in.c: what the peer asks for */
int sctp_reconf_reset(struct worker *w, struct sctp_assoc *a, uint16_t flags, const uint16_t *list, unsigned n);
int sctp_reconf_reset_all(struct worker *w, struct sctp_assoc *a);
int sctp_reconf_add(struct worker *w, struct sctp_assoc *a, uint16_t in, uint16_t out);
int sctp_reconf_out_by_request(struct worker *w, struct sctp_assoc *a, uint32_t peers_seq, const uint8_t *list, unsigned n);
void sctp_reconf_fire(struct worker *w, struct timer_node *t);
void sctp_reconf_answered(struct worker *w, struct sctp_assoc *a, uint32_t seq, uint32_t result, const uint32_t tsns[2]);
void sctp_reconf_answered_by_reset(struct worker *w, struct sctp_assoc *a, uint32_t seq); /* its reset may be the answer to ours */
void sctp_reconf_drop(struct worker *w, struct sctp_assoc *a);
void sctp_reconf_hold(struct worker *w, struct sctp_assoc *a);
void sctp_reconf_release(struct worker *w, struct sctp_assoc *a);
bool sctp_reconf_is_resetting(const struct sctp_assoc *a);          /* we have asked for all numbers to begin anew */
bool sctp_streams_idle(const struct sctp_assoc *a, const uint16_t *list, unsigned n); /* nothing waits or is under way; n 0: all */
int sctp_streams_add_out(struct sctp_assoc *a, uint16_t n);
int sctp_streams_add_in(struct sctp_assoc *a, uint16_t n);
void sctp_reconf_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_tsn_restart(struct worker *w, struct sctp_assoc *a, uint32_t my_next, uint32_t peers_next);

/* sctp_close.c: SHUTDOWN, ABORT, the end */
void sctp_shutdown_begin(struct worker *w, struct sctp_assoc *a);
void sctp_shutdown_step(struct worker *w, struct sctp_assoc *a);    /* goes on when everything is acknowledged */
void sctp_abort(struct worker *w, struct sctp_assoc *a, uint16_t cause, const void *info, uint32_t len, int error); /* sends; frees */
void sctp_gone(struct worker *w, struct sctp_assoc *a, int error, uint16_t sac_state, uint16_t sac_error); /* tells, frees */
void sctp_shutdown_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_shutdown_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_shutdown_complete_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_abort_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_error_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_heartbeat_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_heartbeat_ack_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c);
void sctp_shutdown_ack_with(struct worker *w, struct sctp_assoc *a, struct sctp_out *o, const struct sctp_path *p); /* in o, if it is due */
void sctp_shutdown_again(struct worker *w, struct sctp_assoc *a);
void sctp_drain_end(struct worker *w, struct sctp_ep *ep);
void sctp_error_send(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, uint16_t cause, const void *info, uint32_t len);

/* sctp_timer.c */
void sctp_timers_stop(struct worker *w, struct sctp_assoc *a);
void sctp_timers_init(struct sctp_assoc *a);
void sctp_used(struct worker *w, struct sctp_assoc *a);             /* restarts autoclose */

/* sctp_option.c, sctp_icmp.c, sctp_show.c */
int sctp_option(struct worker *w, struct session *s, bool set, uint16_t opt, void *val, uint32_t *len);
void sctp_icmp_error(struct worker *w, const struct transport_error *e);
void sctp_show(struct worker *w, const struct transport_conn *c, struct json_t *obj);
void sctp_show_stats(struct worker *w, struct json_t *obj);
struct sctp_assoc *sctp_associate(struct worker *w, struct sctp_ep *ep, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, int *err);

#endif
