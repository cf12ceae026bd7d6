/* tcp_internal.h - the connection, the worker's state, and the functions the files of this folder share
 *
 *                      connect                       SYN for a listener
 *   CLOSED ------------> SYN-SENT         (none) ------------> SYN-RCVD
 *     SYN-SENT --SYN,ACK--> ESTABLISHED    SYN-SENT --SYN--> SYN-RCVD --ACK--> ESTABLISHED
 *     ESTABLISHED, SYN-RCVD --shutdown/close--> FIN-WAIT-1 --ACK of FIN--> FIN-WAIT-2 --FIN--> TIME-WAIT
 *     FIN-WAIT-1 --FIN--> CLOSING --ACK of FIN--> TIME-WAIT
 *     ESTABLISHED --FIN--> CLOSE-WAIT --shutdown/close--> LAST-ACK --ACK of FIN--> CLOSED
 *   (RFC 9293 figure 5.) CLOSED with a session = ended, the program has not closed yet; without = freed.
 *
 * Owner:  connections: the worker's arena (tcp_conn.c); scoreboards: tcp_sack.c.
 * Thread: owning worker only.
 * Memory: process-private. A connection is one struct tcp_conn, while nothing comes and goes one struct tcp_idle (tcp_idle.h), in
 *         TIME-WAIT one struct tcp_wait (tcp_wait.h).
 * Errors: 0 or -errno; input: exactly one counter per segment that was not used. */
#ifndef HOSTSTACK_SERVER_TCP_INTERNAL_H
#define HOSTSTACK_SERVER_TCP_INTERNAL_H

#include "server/ip/interface.h"
#include "server/ip/ip.h"
#include "server/session/transport.h"
#include "server/tcp/tcp.h"
#include "server/tcp/tcp_arena.h"
#include "server/tcp/tcp_hdr.h"
#include "server/worker/worker.h"
#include "svm/svm_tcp_key.h"

enum tcp_state { /* numbers as TCP_INFO shows them */
    TCP_S_FREE = 0,
    TCP_S_ESTABLISHED = 1,
    TCP_S_SYN_SENT = 2,
    TCP_S_SYN_RCVD = 3,
    TCP_S_FIN_WAIT_1 = 4,
    TCP_S_FIN_WAIT_2 = 5,
    TCP_S_TIME_WAIT = 6,
    TCP_S_CLOSED = 7,
    TCP_S_CLOSE_WAIT = 8,
    TCP_S_LAST_ACK = 9,
    TCP_S_CLOSING = 11,
    TCP_S_IDLE = 12,              /* ESTABLISHED, and no struct tcp_conn: tcp_idle.h */
    TCP_S_WAITING = 13,           /* TIME-WAIT, and no struct tcp_conn: tcp_wait.h */
    TCP_S_MAX
};

enum tcp_ca_state { /* numbers as TCP_INFO shows them */
    TCP_CA_OPEN = 0,
    TCP_CA_DISORDER = 1, /* duplicate ACKs or SACK blocks seen, nothing held for lost yet */
    TCP_CA_CWR = 2,      /* window being reduced without a loss, until snd_una reaches `recover` */
    TCP_CA_RECOVERY = 3, /* fast recovery until snd_una reaches `recover` */
    TCP_CA_LOSS = 4,     /* after a retransmission timeout, until snd_una reaches `recover` */
};

enum tcp_conn_flags {
    TCP_F_PASSIVE = 1u << 0,      /* from a listener (MUST-11) */
    TCP_F_TS = 1u << 1,           /* timestamps negotiated */
    TCP_F_SACK = 1u << 2,
    TCP_F_WSCALE = 1u << 3,
    TCP_F_FIN_QUEUED = 1u << 4,   /* the program writes no more: FIN follows what is in the FIFO */
    TCP_F_FIN_SENT = 1u << 5,     /* fin_seq is valid */
    TCP_F_RCV_FIN = 1u << 6,      /* rcv_fin_seq is valid, perhaps beyond a hole */
    TCP_F_CLOSED = 1u << 7,       /* the program has closed: nobody reads any more */
    TCP_F_NODELAY = 1u << 8,
    TCP_F_CORK = 1u << 9,
    TCP_F_KEEPALIVE = 1u << 10,
    TCP_F_ACK_DELAYED = 1u << 11, /* an ACK is owed, the delay timer runs */
    TCP_F_ACK_NOW = 1u << 12,     /* an ACK goes out at the end of the batch */
    TCP_F_ON_ACK_LIST = 1u << 13,
    TCP_F_RTT_TIMING = 1u << 14,  /* rtt_seq, rtt_start_us are valid */
    TCP_F_CWND_LIMITED = 1u << 15,/* cwnd held back data since the last ACK: it may grow */
    TCP_F_PROBE_OUT = 1u << 16,   /* the only byte in flight is a window probe */
    TCP_F_RTX_FORCE = 1u << 17,   /* the next lost segment goes out whatever cwnd says (RFC 6582 s3.2) */
    TCP_F_DSACK = 1u << 18,       /* dsack_start, dsack_end go into the next ACK */
    TCP_F_TS_RECENT = 1u << 19,   /* ts_recent is valid */
    TCP_F_QUICKACK = 1u << 20,
    TCP_F_PUSH_PARTIAL = 1u << 21,/* the cork timer ran out: send what there is */
    TCP_F_SYN_RTX = 1u << 22,     /* a SYN was retransmitted: RTO 3 s at data (RFC 6298 s5.7), IW 1 (RFC 5681 s3.1) */
    TCP_F_LOCAL = 1u << 23,       /* the peer is an address of this stack */
    TCP_F_USER_TIMEOUT_SET = 1u << 25, /* by the program: the peer's wish (RFC 5482) does not count */
    TCP_F_TELL_USER_TIMEOUT = 1u << 26, /* the next ACK carries it (RFC 5482) */
    TCP_F_PMTU_LOW = 1u << 27,    /* path_mtu is below the route's, until pmtu_until_ms */
    TCP_F_SND_URG = 1u << 28,     /* an urgent byte of ours is not acknowledged: tcp_urg.c */
    TCP_F_RCV_URG = 1u << 29,     /* the peer has told of an urgent byte that has not come yet */
    TCP_F_GIVE_COOKIE = 1u << 31, /* the SYN,ACK carries a cookie of Fast Open */
    TCP_F_FASTOPEN = 1u << 30,    /* its SYN brought data: in SYN-RCVD it has a session already (tcp_fastopen.c). Of ours: the peer took it */
    TCP_F_WANT_SPACE = 1u << 24,  /* the session layer was asked to tell of room in the receive FIFO */
};

enum { TCP_RX_MAX_UNKNOWN = 4 << 20 }; /* the session comes with the last ACK; a window scale too large costs only granularity */
enum { TCP_PACE_UNIT = 16 };         /* bytes a second: 32 bits are enough for 500 Gbit/s */
enum { TCP_QUICK_ACKS = 16 };        /* a window of 10 segments that doubles is then well on its way */
enum { TCP_RTO_FIRST_US = 1000000 };  /* RFC 6298 s2.1 */
enum { TCP_KEEP_MAX_S = 32767, TCP_KEEPCNT_MAX = 127 }; /* largest TCP_KEEPIDLE and TCP_KEEPINTVL of Linux, and TCP_KEEPCNT */

enum tcp_loss_flags {             /* tcp_conn.lflags */
    TCP_LF_REORDERING = 1u << 0,  /* the path has been seen to reorder (RFC 8985 s6.2 step 3) */
    TCP_LF_MIN_TTL = 1u << 1,     /* packets with less than min_ttl are not for it (RFC 5082) */
    TCP_LF_ECN = 1u << 2,         /* negotiated */
    TCP_LF_ECE = 1u << 3,         /* CE was received and is echoed */
    TCP_LF_NOT_VALID = 1u << 6,   /* less than half of cwnd is used, since not_valid_ms (RFC 7661 s4.3) */
    TCP_LF_PACE_WAIT = 1u << 5,   /* the time to send next has not come: t_rexmt fires then, too */
    TCP_LF_CWR = 1u << 4,         /* the next new data says that the window was reduced */
    TCP_LF_AUTH = 1u << 7,        /* segments are signed: tcp_auth_of_conn() (tcp_auth.h) */
};

enum tcp_rexmt_mode {
    TCP_REXMT_NONE,
    TCP_REXMT_RTO,
    TCP_REXMT_PERSIST,
    TCP_REXMT_CORK,
    TCP_REXMT_TLP,                /* tail loss probe, in place of the RTO that follows it (RFC 8985 s7) */
    TCP_REXMT_REO,                /* reordering timer, likewise (RFC 8985 s6.2 step 5) */
};

enum tcp_busy {                   /* what holds sending back: the times of TCP_INFO */
    TCP_BUSY_NOT,                 /* nothing to send, nothing in flight */
    TCP_BUSY_SENDING,
    TCP_BUSY_RWND,                /* the peer's window */
    TCP_BUSY_SNDBUF,              /* the room that the program has to write in */
};

/* Counted for TCP_INFO alone. Of an idle connection the session keeps it. */
struct tcp_counts {
    uint64_t bytes_retrans;
    uint32_t delivered_ce;        /* segments acknowledged with ECE */
    uint32_t dsack_dups, reord_seen, rcv_ooopack;
    uint32_t rwnd_ms, sndbuf_ms;
};
static_assert(sizeof(struct tcp_counts) == SESSION_KEPT, "fits what the session can keep");

enum tcp_open_step {              /* Fast Open of ours (tcp_fastopen_client.c) */
    TCP_OPEN_USUAL,
    TCP_OPEN_WAITS,               /* nothing is sent: the program's first bytes go into the SYN */
    TCP_OPEN_ASKS,                /* the SYN asks for a cookie */
    TCP_OPEN_DATA,                /* the SYN brings a cookie and data */
    TCP_OPEN_LOST,                /* one of those was not answered, plain ones follow */
};

enum tcp_counter {
#define X(name, severity, text) TCP_C_##name,
#include "server/tcp/tcp_drops.def"
#undef X
    TCP_C_MAX
};

struct tcp_cc_ops;
struct tcp_auth;

struct tcp_sent;                  /* tcp_sent.h: what is in flight */
struct tcp_sack_range { uint32_t start, end; };

/* What each segment touches is in two cache lines for receiving (the first: also where it is found) and two for sending; the line
 * behind holds what other layers keep for it. The rest waits for something that is not in every segment. The arena aligns it to lines;
 * the type does not ask for that, because a struct tcp_idle is looked at through it. */
struct tcp_conn {
    struct transport_conn base;
    /* ---- receive */
    uint8_t state;              /* enum tcp_state; tcp_set_state() only */
    uint8_t ca_state;           /* enum tcp_ca_state */
    uint8_t snd_wscale, rcv_wscale;
    uint32_t flags;             /* enum tcp_conn_flags */
    uint32_t rcv_nxt;
    uint32_t rcv_adv;           /* right edge of the window as advertised, never moves left (SHLD-14) */
    uint32_t last_ack_sent;     /* RCV.NXT of our last ACK: Last.ACK.sent of RFC 7323 */
    uint32_t ts_recent;         /* TS.Recent */
    uint32_t ts_recent_at;      /* tcp_now_coarse() when it was set: silence may last longer than 2^32 ms (RFC 7323 s5.5) */
    uint32_t rcv_time_ms;       /* last segment that came in (keep-alive) */
    uint16_t rcv_mss;           /* estimate of the peer's segment size, for "every second full segment" */
    uint16_t rcvd_wraps;        /* how often rcv_nxt has passed 2^32: bytes of TCP_INFO */
    uint8_t lflags;             /* enum tcp_loss_flags */
    uint8_t keep_probes;        /* keep-alive probes not answered */
    uint8_t quick_acks;         /* full segments that will still be acknowledged at once */
    uint8_t ttl;
    struct tcp_conn *ack_next;  /* worker's list of ACKs due at the end of the batch */
    union {
        uint32_t rcv_fin_seq;   /* with TCP_F_RCV_FIN */
        uint32_t rcv_mark_seq;  /* before: RCV.NXT when rcv_mark_us was (tcp_rcv.c, measure_rate) */
    };
    uint32_t rcv_mark_us;       /* low half of the clock, see rcv_mark_seq */
    /* ---- send */
    uint32_t snd_una;
    uint32_t snd_nxt;           /* next new sequence number: nothing beyond was ever sent */
    uint32_t snd_wnd;           /* bytes, from snd_una's last update */
    uint32_t snd_max_wnd;       /* largest ever seen (RFC 5961 s5, SWS avoidance) */
    uint32_t snd_wl1, snd_wl2;
    uint32_t data_una;          /* sequence number of the oldest byte in the transmit FIFO */
    uint32_t snd_sml;           /* end of the last partial segment sent (Nagle as amended by Minshall) */
    uint32_t cwnd, ssthresh;    /* bytes */
    uint32_t cwnd_acked;        /* bytes acknowledged towards the next increase of cwnd */
    uint32_t recover;           /* snd_nxt when recovery or loss began */
    uint32_t delivered;         /* bytes the peer has got, ever (wraps) */
    uint32_t ts_offset;         /* our TSval = clock + this */
    struct tcp_sent *sent;      /* NULL = nothing in flight */
    const struct tcp_cc_ops *cc;
    uint64_t rexmt_deadline_us; /* the timer may fire earlier and re-arm: restarting on each ACK costs one store */
    uint32_t rto_us;
    uint32_t srtt_us, rttvar_us; /* srtt 0 = no sample yet */
    uint32_t rtt_seq;           /* the timed segment ends here (Karn: never one sent twice) */
    uint32_t rtt_start_us;      /* low half of the clock */
    uint32_t min_rtt_us;        /* of the last minutes; 0 = none */
    uint32_t min_rtt_ms;        /* when it was measured */
    uint32_t snd_time_ms;       /* last data sent (restart after idle) */
    uint32_t pace_rate;         /* in units of TCP_PACE_UNIT bytes a second; 0 = as fast as the window lets */
    uint16_t mss;               /* payload bytes of a full segment, options taken off (Eff.snd.MSS, MUST-16) */
    uint16_t gso_max;           /* largest payload of one packet, a multiple of mss */
    uint16_t acked_wraps;       /* how often snd_una has passed 2^32 */
    uint8_t opt_len;            /* option bytes of an ordinary segment: 0 or 12 */
    uint8_t tos;
    uint8_t rexmt_mode;         /* enum tcp_rexmt_mode */
    uint8_t retransmits;        /* timeouts in a row */
    bool has_trouble : 1;       /* rexmt_first_us or soft_error is set */
    bool takes_attached : 1;    /* the port does, as far as is known: PORT_TX_ATTACHED */
    bool has_sent_all : 1;      /* tcp_tx() found nothing that was not sent: what the program writes next makes an event */
    bool has_asked_ecn : 1;     /* our SYN did */
    uint8_t backoff;            /* RTO is doubled so often, until a sample that is not ambiguous (Karn) */
    /* ---- of other layers */
    struct ip_route_cache route;
    struct timer_node t_rexmt;
    /* ---- counted, and the congestion control's own */
    uint32_t segs_in, segs_out; /* TCP_INFO, as two below */
    uint32_t place;             /* tcp_arena_name() of this one */
    uint32_t peer;              /* and of the other end, when that was on this worker last; 0 = none */
    uint32_t data_time_ms;      /* last data that came in */
    uint32_t rate;              /* at which data was delivered last, in units of TCP_PACE_UNIT bytes a second */
    union {
        uint64_t cc_priv[6];    /* of the congestion control */
        struct {                /* SYN-RCVD from a listener */
            struct listener *listener;
            struct tcp_conn *half_next, **half_pprev;
        } half;
        struct {                /* SYN-SENT */
            uint8_t step;       /* enum tcp_open_step */
            uint8_t retries;    /* TCP_SYNCNT, 0 = as configured */
        } open;
    };
    /* ---- rare */
    uint32_t data_segs_in, data_segs_out;
    uint64_t rexmt_first_us;    /* when the oldest unacknowledged byte timed out first (R2, user timeout); 0 = not */
    struct timer_node t_delack, t_misc;
    uint32_t iss, irs;
    uint32_t fin_seq;           /* with TCP_F_FIN_SENT */
    uint32_t dsack_start, dsack_end;
    uint32_t ts_floor;          /* TS.Recent of when rcv_nxt passed a multiple of 2^TCP_TS_FLOOR_LOG2 last, or of the beginning (PAWS) */
    uint32_t last_oow_ack_ms;   /* rate limit of ACKs for segments outside of the window (RFC 5961 s7) */
    uint32_t total_retrans;
    uint32_t user_timeout_ms;   /* 0 = R2 */
    uint32_t pmtu_until_ms;     /* when a lowered path MTU may be raised again (RFC 1191 s6.3) */
    uint32_t pace_max;          /* SO_MAX_PACING_RATE; 0 = none */
    uint32_t pace_next_us;      /* low half of the clock: nothing is sent before */
    uint32_t not_valid_ms;      /* with TCP_LF_NOT_VALID */
    uint16_t keepidle_s, keepintvl_s;
    int16_t soft_error;         /* last soft ICMP error: the reason to give on timeout */
    int16_t linger2_s;
    uint16_t adv_mss;           /* what our SYN offered */
    uint16_t peer_mss;          /* MSS option of the peer */
    uint16_t user_mss;          /* TCP_MAXSEG, 0 = none */
    uint16_t path_mtu, tso_max; /* of the route, as far as 16 bits say */
    uint16_t auth;              /* with TCP_LF_AUTH: its number in tcp_worker.auths */
    uint8_t auth_len;           /* likewise: what the signature takes of each segment's options; else 0 */
    uint8_t keepcnt;
    uint8_t min_ttl;            /* with TCP_LF_MIN_TTL */
    uint8_t dup_acks;
    uint8_t reo_mult;           /* reordering window in quarters of min_rtt, beyond the first (RFC 8985 s6.2 step 4) */
    uint8_t reo_persist;        /* recoveries for which it stays raised */
    uint8_t busy : 4;           /* enum tcp_busy, since busy_since_ms */
    uint8_t rate_app_limited : 1;
    uint8_t mtu_probing : 1;    /* path_mtu is raised by probes alone (tcp_pmtu.c) */
    uint8_t mtu_tries : 2;      /* enum tcp_mtu_tries (tcp_pmtu.h), with pmtu_high */
    uint16_t pmtu_high;         /* probes of more than path_mtu and up to this may arrive (search_high of RFC 4821 s7.1); 0 = no search */
    uint16_t mtu_before;        /* path_mtu was this and is to prove itself (RFC 4821 s7.8); 0 = it has */
    uint8_t verify_good, verify_bad; /* intervals with few losses, and with many; the current one began with these: */
    uint32_t verify_ms, verify_delivered, verify_again;
    uint32_t busy_since_ms, busy_ms; /* busy_ms: TCP_BUSY_SENDING only */
    struct tcp_counts n;
};
static_assert(offsetof(struct tcp_conn, rcv_mark_us) + sizeof(uint32_t) <= 2 * HS_CACHE_LINE, "receiving: two lines");
static_assert(offsetof(struct tcp_conn, snd_una) == 2 * HS_CACHE_LINE && offsetof(struct tcp_conn, backoff) < 4 * HS_CACHE_LINE,
              "sending: two lines");
static_assert(offsetof(struct tcp_conn, t_rexmt) + sizeof(struct timer_node) == 5 * HS_CACHE_LINE, "its way and its timer: one line");
static_assert(sizeof(struct tcp_conn) <= 640, "ten lines while there is traffic, the last one for what is rarely counted; see struct tcp_idle");

enum { TCP_FASTOPEN_RESET_S = 60 };  /* as long as one that nobody answers is pending, about */
struct tcp_fastopen_resets {
    uint32_t second, n;
    uint32_t in_second[TCP_FASTOPEN_RESET_S];
};

struct tcp_worker {
    struct worker *w;
    struct tcp_config cfg;
    struct tcp_conn *ack_list;     /* ACKs due at the end of the batch */
    struct tcp_arena conns;
    struct tcp_arena idle, idle_timed; /* tcp_idle.c */
    struct tcp_arena waits;        /* tcp_wait.c */
    struct tcp_wait *wait_first, *wait_last; /* oldest first */
    struct timer_node wait_timer;  /* when the first one's time is up */
    struct timer_node idle_watch;  /* looks for connections that have become idle */
    uint32_t idle_next;            /* place in `conns` where it goes on */
    uint32_t n_conns, n_time_wait, n_half_open; /* n_conns: with those of the compact forms */
    uint32_t n_fastopen;           /* with TCP_F_FASTOPEN in SYN-RCVD */
    struct tcp_fastopen_resets fo_resets;
    uint32_t n_orphans;            /* closed by their programs, not yet at an end: TIME-WAIT is counted for itself */
    struct tcp_fastopen_cache *fo_cache; /* tcp_fastopen_client.c, made at first need */
    struct tcp_conn *half_list;    /* all SYN-RCVD of listeners */
    struct tcp_sent *free_sents;
    uint32_t n_sents;
    struct tcp_trace *trace;       /* NULL = off */
    uint64_t cookie_until_us;      /* SYN cookies may be on their way until then */
    uint64_t cookie_waits_until_us;/* one found no room: what its peer sent behind it may come until then */
    uint32_t challenge_left;       /* RFC 5961 s7: in the current second */
    uint32_t challenge_second;
    struct tcp_auth **auths;       /* of signed connections; [0] is none */
    uint16_t *free_auths;
    uint32_t cap_auths, n_free_auths;
    struct evp_md_st *md5;         /* tcp_auth_md5.c, made at first need */
    struct evp_md_ctx_st *md_ctx;
    struct evp_mac_ctx_st *mac_ctx[SVM_TCP_AO_ALGS]; /* tcp_ao.c, likewise */
    uint64_t counters[TCP_C_MAX];
};

/* How many segments a packet of so many data bytes is; gso_size 0 = one. */
static inline uint32_t tcp_segments_of(uint32_t len, uint32_t gso_size)
{
    return hs_unlikely(gso_size && len > gso_size) ? (len + gso_size - 1) / gso_size : 1;
}

/* len bytes that were sent before are sent once more. */
static inline void tcp_count_again(struct tcp_conn *c, uint32_t len)
{
    c->total_retrans += tcp_segments_of(len, c->mss);
    c->n.bytes_retrans += len;
}

/* One segment as it was received, trimmed on its way. */
struct tcp_opts {
    bool has_mss, has_wscale, has_sack_ok, has_ts, has_uto;
    uint8_t wscale, n_sack;
    uint32_t uto_s;
    uint16_t mss;
    uint32_t tsval, tsecr;
    const uint8_t *fastopen; /* the option, in the packet; NULL = none */
    const uint8_t *sig;  /* the option that signs it, in the packet; NULL = none */
    struct tcp_sack_range sack[TCP_MAX_SACK_BLOCKS];
};
struct tcp_seg {
    struct pkt *p;
    struct ip_endpoint src, dst;
    uint16_t fib;
    uint32_t seq, ack;
    uint32_t len;       /* data bytes left */
    uint32_t off;       /* of the data in the packet */
    uint16_t wnd;       /* as on the wire */
    uint8_t flags;
    bool had_data;      /* before trimming */
    uint32_t hash;      /* of its connection (session_lookup_soon()); 0 = not asked for */
    struct tcp_conn *there; /* what is in the place that its sender named, whatever that is by now; NULL = none named */
    struct tcp_opts o;
};

static inline uint32_t tcp_seg_from(const struct tcp_seg *seg) { return interface_from(pkt_meta(seg->p)); }

static inline struct tcp_worker *tcp_worker_of(struct worker *w)
{
    return worker_transport_state(w, SVM_PROTO_TCP);
}
static inline void tcp_count(struct worker *w, enum tcp_counter c) { tcp_worker_of(w)->counters[c]++; }
/* In TCP_S_IDLE and TCP_S_WAITING only `base`, `state` and `flags` are there: see tcp_idle_wake(). With a session it is not in the latter. */
static inline struct tcp_conn *tcp_of_base(struct transport_conn *b) { return (struct tcp_conn *)b; }
static inline uint32_t tcp_now_ms(const struct worker *w) { return (uint32_t)(w->now_us / 1000); }
/* In units of 1.05 s, for times that are compared after any length of silence: it wraps in 142 years. */
enum { TCP_COARSE_SHIFT = 20 };
static inline uint32_t tcp_now_coarse(const struct worker *w) { return (uint32_t)(w->now_us >> TCP_COARSE_SHIFT); }
static inline uint32_t tcp_ts_now(const struct worker *w, const struct tcp_conn *c) { return tcp_now_ms(w) + c->ts_offset; }
static inline bool tcp_is_synchronized(const struct tcp_conn *c)
{
    return c->state != TCP_S_FREE && c->state != TCP_S_CLOSED && c->state != TCP_S_SYN_SENT;
}
/* Not yet acknowledged, but the program has it (RFC 7413 s4.2.2). */
static inline bool tcp_is_fastopen(const struct tcp_conn *c)
{
    return c->state == TCP_S_SYN_RCVD && (c->flags & TCP_F_FASTOPEN);
}
/* The program's bytes may still be sent. */
static inline bool tcp_can_send(const struct tcp_conn *c)
{
    return c->state == TCP_S_ESTABLISHED || c->state == TCP_S_CLOSE_WAIT || c->state == TCP_S_FIN_WAIT_1 ||
           c->state == TCP_S_CLOSING || c->state == TCP_S_LAST_ACK || tcp_is_fastopen(c);
}
static inline bool tcp_can_receive(const struct tcp_conn *c)
{
    return c->state == TCP_S_ESTABLISHED || c->state == TCP_S_FIN_WAIT_1 || c->state == TCP_S_FIN_WAIT_2 || tcp_is_fastopen(c);
}

/* tcp_conn.c */
struct tcp_conn *tcp_conn_alloc(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint16_t fib);
void tcp_conn_free(struct worker *w, struct tcp_conn *c);   /* the session must be detached; NULL pointers of it stay nowhere */
void tcp_set_state(struct worker *w, struct tcp_conn *c, enum tcp_state to);
const char *tcp_state_name(enum tcp_state s);
bool tcp_state_edge_ok(enum tcp_state from, enum tcp_state to);
void tcp_conn_free_all(struct worker *w);
void tcp_conn_give(struct worker *w, struct tcp_conn *c);   /* the memory alone */
/* The first connection from the i-th place of the arena on, *i = its place; NULL = none. Those in TCP_S_IDLE are elsewhere. */
struct tcp_conn *tcp_conn_next(struct tcp_worker *tw, uint32_t *i);
int tcp_conn_path_update(struct worker *w, struct tcp_conn *c);       /* MTU and offloads of the route; -ENETUNREACH */
void tcp_conn_mss_update(struct tcp_conn *c, uint32_t tso_max);
void tcp_conn_begin(struct worker *w, struct tcp_conn *c);            /* may send and be sent to: window, congestion control */
void tcp_conn_established(struct worker *w, struct tcp_conn *c);      /* starts congestion control and keep-alive */
/* Ends without or with an error for the program; the connection is gone when these return. */
void tcp_conn_abort(struct worker *w, struct tcp_conn *c, int error, bool send_rst);
void tcp_conn_done(struct worker *w, struct tcp_conn *c);            /* orderly: LAST-ACK or TIME-WAIT ran out */
void tcp_conn_release_session(struct worker *w, struct tcp_conn *c); /* session_closed() if the program has closed */
void tcp_half_open_add(struct worker *w, struct tcp_conn *c, struct listener *l);
struct listener *tcp_half_open_del(struct worker *w, struct tcp_conn *c);

/* tcp_open.c */
int tcp_connect(struct worker *w, struct session *s, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                struct transport_conn **out);
void tcp_listen_input(struct worker *w, struct listener *l, struct tcp_seg *seg, uint32_t iss_floor);
bool tcp_half_open_cookie(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg); /* true: c has gone, seg is done with */
void tcp_unlisten(struct worker *w, struct listener *l);
uint8_t tcp_wscale_for(uint32_t rx_max);
void tcp_start_handshake(struct worker *w, struct tcp_conn *c); /* sends the SYN or SYN,ACK */
struct tcp_conn *tcp_passive_new(struct worker *w, struct listener *l, const struct tcp_seg *seg, int32_t rx_max);
void tcp_apply_syn_options(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg);

/* tcp_fastopen.c: TCP Fast Open, the server's side (RFC 7413) */
/* A SYN with the option, at a listener. True: its data was taken, c has a session; false: the handshake goes its usual way. */
bool tcp_fastopen_accept(struct worker *w, struct listener *l, struct tcp_conn *c, struct tcp_seg *seg);
void tcp_fastopen_done(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg); /* the SYN,ACK is acknowledged */
void tcp_fastopen_gone(struct worker *w, struct tcp_conn *c);         /* SYN-RCVD ends, however */
void tcp_fastopen_reset(struct worker *w);                            /* SYN-RCVD ends by an RST of the peer */
unsigned tcp_fastopen_put(struct worker *w, const struct tcp_conn *c, uint8_t *opt); /* the cookie, with TCP_F_GIVE_COOKIE */

/* tcp_fastopen_client.c: its client's side; c in SYN-SENT */
bool tcp_fastopen_connect(struct worker *w, struct tcp_conn *c);      /* true: no SYN before the program has written */
uint32_t tcp_fastopen_syn(struct worker *w, struct tcp_conn *c, uint8_t opt[TCP_OPT_MAX], uint8_t *opt_len); /* adds to it; bytes of data */
void tcp_fastopen_timeout(struct tcp_conn *c);                        /* the SYN goes out once more */
void tcp_fastopen_answered(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg); /* a SYN came, with an ACK or without */
void tcp_fastopen_fini(struct tcp_worker *tw);
static inline bool tcp_fastopen_waits(const struct tcp_conn *c) { return c->state == TCP_S_SYN_SENT && c->open.step == TCP_OPEN_WAITS; }

/* tcp_close.c */
void tcp_shutdown_wr(struct worker *w, struct transport_conn *b);
void tcp_close(struct worker *w, struct transport_conn *b, int linger_s);
void tcp_reset(struct worker *w, struct transport_conn *b);

/* tcp_input.c */
void tcp_input(struct worker *w, struct pkt **pkts, unsigned n);
void tcp_input_synchronized(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg); /* c may be gone afterwards */
/* The acceptability test of RFC 9293 s3.10.7.4, table 6, with one value more: a segment without text may stand at the right edge. There
 * it does when the peer has filled the window and that was lost; its ACKs must still count, and show that it is alive. */
static inline bool tcp_seq_acceptable(uint32_t rcv_nxt, uint32_t wnd, uint32_t seq, uint32_t seg_len)
{
    if (wnd == 0)
        return seg_len == 0 && seq == rcv_nxt;
    if (seg_len == 0)
        return seq - rcv_nxt <= wnd;
    /* Overlaps the window. The table's two points miss a segment that covers all of a small window: a super-frame can. */
    return seq_lt(seq, rcv_nxt + wnd) && seq_gt(seq + seg_len, rcv_nxt);
}
/* tcp_rcv.c: the text and the FIN of an acceptable segment */
bool tcp_rcv_trim(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg);
void tcp_rcv_text(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg);
void tcp_rcv_ack_later(struct worker *w, struct tcp_conn *c);   /* owed, may be delayed */
void tcp_rcv_ack_now(struct worker *w, struct tcp_conn *c);     /* at the end of the batch */
void tcp_rcv_settle_later(struct worker *w, struct tcp_conn *c); /* the next looks at it, whether an ACK is owed or not */
void tcp_rcv_flush_acks(struct worker *w);
uint32_t tcp_rcv_window(struct worker *w, struct tcp_conn *c);  /* bytes to advertise; moves rcv_adv */
void tcp_rx_space(struct worker *w, struct transport_conn *b);

/* tcp_output.c */
enum transport_tx_verdict tcp_tx(struct worker *w, struct transport_conn *b, unsigned budget_bytes);
int tcp_send_syn(struct worker *w, struct tcp_conn *c);         /* SYN or SYN,ACK by state */
int tcp_send_ack(struct worker *w, struct tcp_conn *c);
int tcp_send_probe(struct worker *w, struct tcp_conn *c);       /* keep-alive: one below snd_una, no data */
int tcp_send_data(struct worker *w, struct tcp_conn *c, uint32_t seq, uint32_t len, bool fin);
void tcp_send_rst(struct worker *w, struct tcp_conn *c);
void tcp_send_rst_to(struct worker *w, const struct tcp_seg *seg); /* no connection: RFC 9293 s3.10.7.1 */
void tcp_send_challenge_ack(struct worker *w, struct tcp_conn *c); /* rate-limited */
bool tcp_oow_ack_allowed(struct worker *w, struct tcp_conn *c);
void tcp_tx_request(struct worker *w, struct tcp_conn *c);
bool tcp_send_probe_data(struct worker *w, struct tcp_conn *c);

/* c: what would be the connection, in the caller's memory; its keys sign it, its listener's options hold. */
void tcp_send_syn_ack_to(struct worker *w, const struct tcp_seg *seg, const struct tcp_conn *c, uint32_t iss, uint16_t wnd,
                         const uint8_t *opt, unsigned opt_len);

void tcp_user_timeout_input(struct worker *w, struct tcp_conn *c, uint32_t peer_s); /* tcp_attr.c; RFC 5482 */

/* tcp_urg.c: urgent data (RFC 9293 s3.8.5, RFC 6093) */
void tcp_urg_input(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg);   /* sixth step, with TCP_URG */
void tcp_urg_begin(struct worker *w, struct tcp_conn *c);                   /* session_tx_urgent() has found a byte of ours */
uint16_t tcp_urg_pointer(struct worker *w, struct tcp_conn *c, uint32_t seq); /* of a segment, with TCP_F_SND_URG; 0 = no URG */

/* tcp_options.c */
int tcp_options_parse(const uint8_t *opt, unsigned len, struct tcp_opts *out);  /* 0 or -EINVAL; knows SYN options too */
unsigned tcp_options_build_syn(const struct tcp_conn *c, const struct tcp_config *cfg, uint32_t now_ms, uint8_t out[TCP_OPT_MAX]);
unsigned tcp_options_build(struct tcp_conn *c, uint32_t tsval, bool with_sack, uint8_t out[TCP_OPT_MAX]);

/* tcp_ack.c */
enum tcp_ack_verdict { TCP_ACK_OK, TCP_ACK_DROP };
enum tcp_ack_verdict tcp_ack_process(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg);
void tcp_rtt_sample(struct tcp_conn *c, uint32_t rtt_us, const struct tcp_config *cfg);
void tcp_rtt_of_handshake(struct worker *w, struct tcp_conn *c);
void tcp_min_rtt_update(const struct worker *w, struct tcp_conn *c, uint32_t rtt_us);
uint32_t tcp_rto_of(const struct tcp_conn *c, const struct tcp_config *cfg);
/* tcp_ecn.c (RFC 3168) */
uint8_t tcp_ecn_syn_flags(struct worker *w, struct tcp_conn *c);
void tcp_ecn_syn_received(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg);
void tcp_ecn_received(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg); /* TCP_LF_ECN only, like the next two */
void tcp_ecn_echoed(struct worker *w, struct tcp_conn *c);      /* something is in flight, and the peer has seen CE */
uint8_t tcp_ecn_tos(struct tcp_conn *c, bool is_new_data, uint8_t *flags); /* the two bits for IP, and what TCP's header says */

/* tcp_timer.c */
void tcp_timer_init(struct tcp_conn *c);
void tcp_timer_stop_all(struct worker *w, struct tcp_conn *c);
void tcp_rexmt_start(struct worker *w, struct tcp_conn *c, enum tcp_rexmt_mode mode, uint32_t after_us);
void tcp_rexmt_stop(struct tcp_conn *c);
void tcp_rexmt_rearm(struct worker *w, struct tcp_conn *c);     /* for what is in flight now: probe, RTO or nothing */
uint32_t tcp_backoff_us(const struct tcp_conn *c, const struct tcp_config *cfg);
void tcp_delack_start(struct worker *w, struct tcp_conn *c);
void tcp_misc_start(struct worker *w, struct tcp_conn *c, uint64_t after_us);
void tcp_keepalive_update(struct worker *w, struct tcp_conn *c);
void tcp_keepalive(struct worker *w, struct tcp_conn *c);       /* its time has come; c may be gone afterwards */

void tcp_timer_wake_at(struct worker *w, struct tcp_conn *c, uint64_t at_us); /* tcp_tx() will be called then, with TCP_LF_PACE_WAIT */

/* tcp_pace.c */
void tcp_pace_set(struct worker *w, struct tcp_conn *c, uint64_t bytes_per_s);    /* by the congestion control; 0 = none */
void tcp_pace_limit(struct worker *w, struct tcp_conn *c, uint32_t units);        /* by the program, of TCP_PACE_UNIT; 0 = none */
/* With pace_rate only: */
uint32_t tcp_pace_burst(const struct tcp_conn *c);              /* bytes of one packet */
bool tcp_pace_must_wait(struct worker *w, struct tcp_conn *c);  /* true: a timer will ask again */
void tcp_pace_sent(struct worker *w, struct tcp_conn *c, uint32_t len);

/* tcp_timewait.c */
void tcp_timewait_enter(struct worker *w, struct tcp_conn *c);
enum tcp_timewait_verdict {
    TCP_TIMEWAIT_STAYS,           /* the segment was used up */
    TCP_TIMEWAIT_ANEW,            /* likewise, and 2 MSL begin again */
    TCP_TIMEWAIT_OVER,            /* a new SYN takes the place: go on at the listener, with *iss_floor */
};
/* What a segment means; l may be NULL: then nothing can take the place. */
enum tcp_timewait_verdict tcp_timewait_judge(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg, const struct listener *l,
                                             uint32_t *iss_floor);
/* The same, done. True: the segment was used up; false: go on at the listener l. */
bool tcp_timewait_input(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg, const struct listener *l, uint32_t *iss_floor);
bool tcp_timewait_is_replaceable(struct worker *w, const struct transport_conn *b); /* by connect(), with the same ports */
int tcp_timewait_take_over(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt, uint32_t from,
                           uint32_t *iss_floor); /* connect() to a tuple in TIME-WAIT: 0, -EADDRNOTAVAIL */

/* tcp_cookie.c */
void tcp_cookie_reply(struct worker *w, struct listener *l, const struct tcp_seg *seg);    /* SYN,ACK without a connection */
bool tcp_cookie_is_ours(struct worker *w, const struct tcp_seg *seg);                      /* the ACK of such a one */
/* ACK at a listener: a connection in SYN-RCVD that this segment is for; NULL: it brings no cookie of ours. */
struct tcp_conn *tcp_cookie_accept(struct worker *w, struct listener *l, const struct tcp_seg *seg);

/* tcp_auth.c (RFC 2385, RFC 5925): number = the set of keys of a session or listener, not 0 */
/* With the keys for its peer, and of these those that its SYN asks for (NULL: we begin). 0, -ENOENT, -ENOMEM, -EACCES: it must have one */
int tcp_auth_attach(struct worker *w, struct tcp_conn *c, uint32_t number, const struct tcp_seg *syn);
void tcp_auth_release(struct worker *w, struct tcp_conn *c);
void tcp_auth_show(struct worker *w, const struct tcp_conn *c, struct json_t *obj);
int tcp_auth_attr_set(struct worker *w, struct tcp_conn *c, uint8_t attr, const void *val, uint32_t len);
int tcp_auth_attr_get(struct worker *w, const struct tcp_conn *c, uint8_t attr, void *val, uint32_t *len);
bool tcp_auth_believes_icmp(struct worker *w, struct tcp_conn *c, bool hard, uint32_t mtu); /* with TCP_LF_AUTH */
bool tcp_auth_leaves_ts(const struct tcp_conn *c, bool sack);     /* timestamps fit beside it */
/* Only for segments with a signature, and connections with TCP_LF_AUTH or listeners with keys. False: dropped and counted. */
bool tcp_auth_input(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg);
bool tcp_auth_listen_input(struct worker *w, const struct listener *l, const struct tcp_seg *seg);

/* tcp_isn.c */
uint32_t tcp_isn(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt);       /* RFC 6528 */
uint32_t tcp_ts_offset(struct worker *w, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt);
void tcp_isn_choose(struct worker *w, struct tcp_conn *c); /* both, for its addresses: c->iss and c->ts_offset */

/* tcp_icmp.c */
void tcp_icmp_error(struct worker *w, const struct transport_error *e);

/* tcp_pmtu.c */
void tcp_pmtu_lower(struct worker *w, struct tcp_conn *c, uint16_t mtu);
void tcp_pmtu_timeout(struct worker *w, struct tcp_conn *c);    /* R1 or more timeouts in a row */
bool tcp_pmtu_is_held(const struct worker *w, const struct tcp_conn *c); /* what was learned last holds still */
void tcp_pmtu_raise(struct worker *w, struct tcp_conn *c);      /* with TCP_F_PMTU_LOW, before something is sent */
void tcp_pmtu_begin(struct worker *w, struct tcp_conn *c);      /* tcp_conn_path_update() when the options are negotiated */
uint16_t tcp_pmtu_of_path(struct worker *w, struct tcp_conn *c, uint16_t mtu, uint16_t link_mtu);

/* tcp_pmtu_search.c */
int64_t tcp_pmtu_probe(struct worker *w, struct tcp_conn *c);   /* with TCP_F_PMTU_LOW: sends one when it is time */
void tcp_pmtu_probe_timeout(struct worker *w, struct tcp_conn *c); /* before what is in flight is held for lost */
void tcp_pmtu_probe_too_big(struct worker *w, struct tcp_conn *c, uint32_t seq, uint32_t mtu); /* says ICMP */
bool tcp_pmtu_is_kept(struct worker *w, const struct tcp_conn *c); /* with TCP_F_PMTU_LOW: it would be found again */

/* tcp_attr.c */
int tcp_attr_set(struct worker *w, struct transport_conn *b, uint8_t attr, const void *val, uint32_t len);
int tcp_set_device(struct worker *w, struct transport_conn *b, uint8_t dev);
int tcp_attr_get(struct worker *w, struct transport_conn *b, uint8_t attr, void *val, uint32_t *len);
void tcp_attr_inherit(struct worker *w, struct tcp_conn *c, const struct listener *l);

/* tcp_info.c: SVM_ATTR_TCP_INFO, 2 to 6, and what is counted for it */
void tcp_busy_set(struct worker *w, struct tcp_conn *c, enum tcp_busy busy);
void tcp_count_delivered_ce(struct tcp_conn *c, uint32_t bytes);
int tcp_info_get(struct worker *w, const struct tcp_conn *c, uint8_t attr, void *val, uint32_t *len);

/* tcp_show.c */
void tcp_show(struct worker *w, const struct transport_conn *b, struct json_t *obj);
/* tcp_watch.c: around a segment that somebody looks at (capture/); seg all zero if it could not be read. */
void tcp_watch_begin(struct worker *w, uint64_t before[TCP_C_MAX]);
void tcp_watch_end(struct worker *w, struct pkt *p, const struct tcp_seg *seg, const uint64_t before[TCP_C_MAX]);
void tcp_show_stats(struct worker *w, struct json_t *obj);

#endif
