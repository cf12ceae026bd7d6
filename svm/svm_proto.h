/* svm_proto.h - what client and server say to each other: attach messages (app socket) and queue messages
 * Memory: SHARED and socket input, the peer is untrusted: copy, check, then use.
 *
 * 1. Attach socket (SOCK_SEQPACKET, one connection per client worker): attach, segments, fork. Its hang-up is the death of
 *    the client worker. Requests are answered in order; SVM_ATT_SEGMENT messages may come between, unasked.
 * 2. Queues: one pair per (client worker, server worker): everything about sessions, 64-byte messages.
 *    A third kind joins two client workers directly (PAIR segment); it carries only SVM_MSG_DATA, _SPACE and _CLOSED.
 */
#ifndef HOSTSTACK_SVM_PROTO_H
#define HOSTSTACK_SVM_PROTO_H

#include "common/ip_addr.h"
#include "svm/svm_layout.h"

/* ---------------------------------------------------------------- attach socket */

enum svm_att_type {
    /* client -> server */
    SVM_ATT_HELLO = 1,      /* svm_att_hello; first message. Optional fd: none */
    SVM_ATT_FORK = 2,       /* svm_att_simple + 1 fd: server's end of a SOCK_SEQPACKET socketpair, the child's lifeline. It is the child's
                               attach socket, too: its HELLO comes on it, so that it needs no right to open app.sock */
    SVM_ATT_BANK = 3,       /* svm_att_simple: "one more bank, please" (value = slots wanted); answer SVM_ATT_SEGMENT or _ERROR */
    SVM_ATT_BANK_MAPPED = 9, /* svm_att_simple, value = seg_id: the bank of an SVM_ATT_SEGMENT is mapped, and may be used for what the server
                               writes. No answer; a client without room for it says nothing, and is given no other one */
    SVM_ATT_WHO = 5,        /* svm_att_who: whose address is this; answer SVM_ATT_OK, value = enum svm_who bits */
    SVM_ATT_IDENTIFY = 4,   /* svm_att_simple (value = ctx, this client's number for it) + 1 fd: which session does this descriptor stand
                               for? Proof is to have it. Answer SVM_ATT_IDENTIFIED */
    SVM_ATT_EXPORT = 6,     /* svm_att_export + 2 fds: a session may leave its process by exec or SCM_RIGHTS. The descriptor that stands for
                               it, and what tells that no copy of it is left: the other end of a socket pair, or a pidfd. Answer OK.
                               + 1 fd: what an earlier one has noted is passed on again, lib_state has changed; OK, or -ENOENT: there is none */
    SVM_ATT_REST = 7,       /* svm_att_export + 1 fd, a sealed memfd with a svm_rest: what a former cut-through peer has written to the session
                               and nobody has read yet. Whoever claims the session reads it first. Answer OK, value = its number */
    SVM_ATT_REST_GET = 8,   /* svm_att_export: the same for who has claimed it. Answer OK, value = its number + 1 fd; 0 and none: read meanwhile */
    SVM_ATT_TLS_PAIR = 16,  /* svm_att_tls, as many as the bytes need; the last one is answered: SVM_ATT_OK (value = number) or _ERROR */
    SVM_ATT_TLS_CONFIG = 17,/* svm_att_tls_config; the same answers */
    SVM_ATT_TLS_DEL = 18,   /* svm_att_simple: forget that number; SVM_ATT_OK or _ERROR */
    SVM_ATT_TCP_KEY = 19,   /* svm_att_tcp_key (svm_tcp_key.h): a key for a peer; SVM_ATT_OK (value = number of the set) or _ERROR */
    SVM_ATT_DEVICE = 20,    /* svm_att_device: the interface with this name, or without one with this index; answer SVM_ATT_DEVICE_IS */
    SVM_ATT_ADDRESS = 21,   /* svm_att_address: of the interfaces of the client's namespace; answer SVM_ATT_ADDRESS_IS */
    /* server -> client */
    SVM_ATT_WELCOME = 64,   /* svm_att_welcome + fds (below) */
    SVM_ATT_ERROR = 65,     /* svm_att_error: request refused; after HELLO the server hangs up */
    SVM_ATT_SEGMENT = 66,   /* svm_att_segment + fds: a new bank (S, C) or a PAIR segment (PAIR, peer P, peer doorbell) */
    SVM_ATT_SEGMENT_GONE = 67, /* svm_att_segment without fds: unmap PAIR segment seg_id, its peer has gone and no session is left */
    SVM_ATT_IDENTIFIED = 69, /* svm_att_identified */
    SVM_ATT_OK = 68,        /* svm_att_simple: FORK noted (value = fork token) */
    SVM_ATT_DEVICE_IS = 70, /* svm_att_device, both known; index 0: the client's namespace has none */
    SVM_ATT_ADDRESS_IS = 71, /* svm_att_address, with all of it; device.index 0: there are no more */
};

enum svm_att_limits {
    SVM_ATT_MAX_MSG = 1024,
    SVM_ATT_MAX_FDS = 64,
    SVM_NAMESPACE_MAX = 64,
    SVM_APP_NAME_MAX = 64,
};

enum svm_hello_flags {
    SVM_HELLO_SCOPE_LOCAL = 1u << 0,  /* may meet local listeners (cut-through) */
    SVM_HELLO_SCOPE_GLOBAL = 1u << 1, /* may use the network */
    SVM_HELLO_WORKER = 1u << 2,       /* further worker of the app `app_id` (same process, or child by fork_token) */
};

struct svm_att_hello {
    uint32_t type;           /* SVM_ATT_HELLO */
    uint32_t abi_version;
    uint32_t flags;          /* enum svm_hello_flags */
    uint32_t app_id;         /* with SVM_HELLO_WORKER: from the welcome of the app's first worker */
    uint64_t app_cookie;     /* with SVM_HELLO_WORKER: its cookie, proves membership */
    uint64_t fork_token;     /* a fork child: from SVM_ATT_OK of its parent; else 0 */
    uint64_t namespace_secret;
    uint32_t rx_fifo_size;   /* bytes, rounded up to a power of two by the server; maximum a FIFO grows to */
    uint32_t tx_fifo_size;
    uint32_t evt_queue_len;  /* messages per queue, rounded up to a power of two */
    uint32_t segment_mb;     /* ring area of bank 0 in MiB; 0 = the server's default. Other segments are in proportion when it is less */
    char ns_name[SVM_NAMESPACE_MAX]; /* NUL-terminated; empty = default */
    char app_name[SVM_APP_NAME_MAX];
};

/* fds, in this order: SRV (read-only), P (client writes), doorbell read end of the client worker,
 * bank 0: S (read-only), C; then n_workers doorbell write ends, one per server worker. */
struct svm_att_welcome {
    uint32_t type;           /* SVM_ATT_WELCOME */
    uint32_t abi_version;
    uint32_t n_workers;      /* server workers, 1..SVM_MAX_SERVER_WORKERS */
    uint32_t client_id;      /* of this client worker, unique in the server's lifetime */
    uint32_t app_id;
    uint32_t seg_id;         /* of bank 0 */
    uint64_t app_cookie;
    uint32_t rx_fifo_size;   /* as granted */
    uint32_t tx_fifo_size;
    uint32_t flags;          /* scopes as granted */
    uint32_t pad;
    struct {
        struct svm_msgq_desc to_client; /* prod/entries in S_0, cons in C_0 */
        struct svm_msgq_desc to_server; /* prod/entries in C_0, cons in S_0 */
    } q[SVM_MAX_SERVER_WORKERS];
};

enum svm_seg_kind { SVM_SEG_BANK = 1, SVM_SEG_PAIR = 2 };

/* BANK: fds S (read-only), C. PAIR: fds PAIR, peer's P (read-only), write end of the peer's doorbell. */
struct svm_att_segment {
    uint32_t type;
    uint32_t kind;           /* enum svm_seg_kind */
    uint32_t seg_id;
    uint32_t bank;           /* BANK: its index at this client */
    uint32_t side;           /* PAIR: which side this client is */
    uint32_t peer_client_id; /* PAIR */
};

/* Before a program binds or connects: does the stack own the address, do its routes lead there? Answered from the tables of the
 * client's namespace. Clients may keep answers while svm_server_page.net_generation stays the same. */
struct svm_att_who {
    uint32_t type;
    uint32_t pad;
    struct ip_addr ip;
};
enum svm_who {
    SVM_WHO_INTERFACE = 1u << 0, /* an address of a stack interface */
    SVM_WHO_ROUTED = 1u << 1,    /* a route of the stack leads there */
    SVM_WHO_HAS_PORTS = 1u << 2, /* the server has any port at all (else: cut-through only) */
};
/* With SVM_WHO_ROUTED: as many bits of the address, in its own family, as the route's prefix has, above the bits of enum svm_who. */
enum { SVM_WHO_PREFIX_SHIFT = 8 };

/* Interfaces as SO_BINDTODEVICE and SO_BINDTOIFINDEX name them: a name of the configuration, or of the kernel's interface that a port is
 * on. The index is that one's, and a number that no interface of the kernel has where there is none. */
enum {
    SVM_DEVICE_NAME = 32,
    SVM_DEVICE_LO = 1,               /* loopback, of every namespace: 127.0.0.0/8 and ::1 are there */
    SVM_DEVICE_OWN = 1 << 24,        /* and more: interfaces that the kernel has not */
};
struct svm_att_device {
    uint32_t type;
    int32_t index;
    char name[SVM_DEVICE_NAME];      /* NUL-terminated */
};

/* getifaddrs(3). Asked one by one, from 0: a change meanwhile may hide one, as it may from who asks a moment earlier. */
struct svm_att_address {
    uint32_t type;
    uint32_t number;
    struct svm_att_device device;    /* whose it is; device.type has no meaning */
    struct ip_addr ip;
    uint8_t prefix_len;
    uint8_t has_link;
    uint8_t pad[6];
};

struct svm_att_simple {
    uint32_t type;
    uint32_t pad;
    uint64_t value;
};

/* TLS: certificates, keys and what a connection is to be like. They come this way so that no key is ever in shared memory. */
enum svm_tls_limits {
    SVM_TLS_CHUNK = 960,          /* bytes of PEM text a message */
    SVM_TLS_PEM_MAX = 128 << 10,  /* of certificate chain and key together */
    SVM_TLS_PAIRS_MAX = 64,
    SVM_TLS_ALPN_MAX = 128,
    SVM_TLS_NAME_MAX = 256,
};
enum svm_tls_verify { /* DEFAULT: as the server is configured */
    SVM_TLS_VERIFY_DEFAULT, SVM_TLS_VERIFY_NONE, SVM_TLS_VERIFY_OPTIONAL, SVM_TLS_VERIFY_REQUIRED,
};
struct svm_att_tls {
    uint32_t type;           /* SVM_ATT_TLS_PAIR */
    uint32_t replace;        /* number of a pair whose place it takes, 0 = a new one */
    uint32_t cert_len, key_len; /* bytes in all: PEM certificate with its chain, then PEM key */
    uint32_t offset, len;    /* of this message's bytes; in order */
    uint8_t bytes[SVM_TLS_CHUNK];
};
static_assert(sizeof(struct svm_att_tls) <= SVM_ATT_MAX_MSG, "svm_att_tls fits a message");
struct svm_tls_config {
    uint32_t pair[SVM_TLS_PAIRS_MAX]; /* server: numbers of pairs, the first is the default. n_pairs 0: all of the program's */
    uint16_t n_pairs;
    uint16_t alpn_len;
    uint8_t verify;          /* enum svm_tls_verify, of the peer's certificate */
    uint8_t pad[3];
    uint8_t alpn[SVM_TLS_ALPN_MAX];   /* RFC 7301 s3.1: length octet and name, best first */
    char hostname[SVM_TLS_NAME_MAX];  /* client; NUL-terminated */
};
struct svm_att_tls_config {
    uint32_t type;           /* SVM_ATT_TLS_CONFIG */
    uint32_t pad;
    struct svm_tls_config config;
};
static_assert(sizeof(struct svm_att_tls_config) <= SVM_ATT_MAX_MSG, "svm_att_tls_config fits a message");

struct svm_att_error {
    uint32_t type;
    int32_t error;           /* -errno */
    char text[120];          /* NUL-terminated, for the log */
};
static_assert(sizeof(struct svm_att_welcome) + 64 <= 2 * SVM_ATT_MAX_MSG, "attach message size");

/* ---------------------------------------------------------------- queue messages */

/* A session as the server knows it. index 0 with gen 0 = none. Server worker w owns it: its messages go to queue w. */
struct svm_handle {
    uint32_t index;
    uint32_t gen;
};

/* What the program's library knows of the session and the server does not: handed on as it is, to be checked by who gets it. */
enum { SVM_ATT_STATE_MAX = 448 };
struct svm_att_export {
    uint32_t type;
    uint32_t lib_state_len;
    struct svm_handle handle;
    uint8_t lib_state[SVM_ATT_STATE_MAX];
};
/* Written by all holders of a session: each takes bytes by moving `head` with a compare-and-swap, so that each byte is read once. */
enum { SVM_REST_MAX = 32 << 20 }; /* size of the memfd */
struct svm_rest {
    uint32_t head;           /* next byte to read; only grows, up to len */
    uint32_t len;
    uint8_t pad[HS_CACHE_LINE - 2 * sizeof(uint32_t)];
    uint8_t bytes[];
};
struct svm_att_identified {
    uint32_t type;
    int32_t error;           /* -errno; -EEXIST: the client holds it already, handle says which it is */
    struct svm_handle handle;
    uint32_t worker;         /* server worker: whose queue */
    uint8_t proto, flags;    /* enum svm_proto, enum svm_msg_flags */
    uint8_t state;           /* enum svm_claim_flags */
    uint8_t pad;
    struct ip_addr lcl_ip, rmt_ip;
    be16 lcl_port, rmt_port;
    uint32_t lib_state_len;  /* of the svm_att_export */
    uint8_t lib_state[SVM_ATT_STATE_MAX];
};
static_assert(sizeof(struct svm_att_identified) <= SVM_ATT_MAX_MSG, "svm_att_identified fits a message");

enum svm_proto {  /* numbers of VPPCOM_PROTO_* */
    SVM_PROTO_TCP = 0,
    SVM_PROTO_UDP = 1,
    SVM_PROTO_NONE = 2,
    SVM_PROTO_TLS = 3,
    SVM_PROTO_QUIC = 4,
    SVM_PROTO_DTLS = 5,
    SVM_PROTO_SRTP = 6,
    SVM_PROTO_HTTP = 7,
    SVM_PROTO_SCTP = 8,
    SVM_PROTO_MAX
};

/* Value of SVM_MSG_CLOSE: a shared connection had unread bytes here. For the last holder that is an abort (RFC 2525 s2.17). */
enum { SVM_CLOSE_UNREAD = -2 };

/* `ctx` is the client's own number for the session (its index), echoed by the server in everything about that session;
 * the client checks it as it would any input only for range, the server never interprets it.
 * c->s requests that get an answer are marked with it. A request with an unknown or stale handle is answered with -EBADF,
 * or dropped where it has no answer (the session closed meanwhile). */
enum svm_msg_type {
    SVM_MSG_NONE = 0,

    /* c->s */
    SVM_MSG_BIND,       /* reserve a local endpoint (any proto); UDP: a session with FIFOs. Answer BOUND. flags SVM_BIND_*, attr = enum
                           svm_bind_how */
    SVM_MSG_LISTEN,     /* u.value = backlog, on a bound handle; answer LISTENING. TLS: u.conn.slot.slot = number of a pair or configuration
                           (SVM_ATT_TLS_*), 0 = all pairs of the program, those of later calls of listen() take effect at once.
                           TCP, and CONNECT too: number of a set of keys (svm_tcp_key.h), 0 = none */
    SVM_MSG_ARM,        /* this worker accepts from the listener `handle`: u.value = 1, or 2 = weakly (it has called listen, but nobody
                           has called accept or waited for it yet: it is given connections only while no holder accepts with 1),
                           or 0 = no longer (what it has not accepted goes to others). No answer */
    SVM_MSG_CONNECT,    /* new session to lcl/rmt (lcl may be any/0, or a bound handle given). Answer CONNECTED. UDP: sets the peer.
                           TLS: u.conn.slot.slot = number of a configuration, 0 = none. attr = enum svm_connect_how: with FASTOPEN
                           the first answer is CONNECTING, unless it is CONNECTED */
    SVM_MSG_SHUTDOWN,   /* u.value = SHUT_RD, SHUT_WR, SHUT_RDWR. The FIN flag of the tx FIFO is set by the client first */
    SVM_MSG_CLOSE,      /* this holder lets go; the last one's close closes in order: data, then FIN. u.value = SO_LINGER:
                           -1 none, 0 reset at once, n seconds; or SVM_CLOSE_UNREAD. Answer CLOSED when the slot may be used again */
    SVM_MSG_RETURN,     /* a session that the program has not seen (nothing read or written) goes back to its listener, for another
                           worker. No answer but CLOSED */
    SVM_MSG_ATTR_SET,   /* attr = enum svm_attr, u.attr; answer ATTR. Without a handle: for the session of the CONNECT with the same ctx
                           that comes next, so that its first packet is as the program wants it; no answer */
    SVM_MSG_ATTR_GET,   /* answer ATTR */
    SVM_MSG_DETACH,     /* this worker lets go of everything in order (vppcom_app_destroy) */
    SVM_MSG_CLAIM,      /* a holder wants to use a session that another process has used, or nobody: its FIFOs move into this client's
                           memory. ctx: this client's number for it from now on. u.conn.question: the asker's. attr = enum svm_claim_ask.
                           Answer CLAIMED */
    SVM_MSG_UNLINK,     /* answer to TAKEN, and to MOVED when all of the slot before has been read: u.conn.slot is not used here any more */

    SVM_MSG_REST_READ,  /* u.value = number of a SVM_ATT_REST that has been read to its end. No answer */

    /* s->c answers; error = 0 or -errno */
    SVM_MSG_BOUND = 32, /* handle, lcl as granted; UDP: slot too */
    SVM_MSG_LISTENING,  /* u.conn.error; BOUND, LISTENING and CONNECTED all use u.conn */
    SVM_MSG_CONNECTED,  /* handle, lcl, rmt, slot; with error: a session that is named waits for CLOSE */
    SVM_MSG_ATTR,
    SVM_MSG_CLOSED,     /* nothing more will come for this handle, its slot is free; ctx may be used again */
    SVM_MSG_CLAIMED,    /* as CONNECTED, attr = enum svm_claim_flags, question. With error: nothing has changed; -EINPROGRESS: another
                           CLAIMED follows, when who has just been given it has had its turn, the other end's program has answered or the server
                           does without it */
    SVM_MSG_CONNECTING, /* CONNECTED will come. error 0: all as there, and what is written now goes into the SYN, which waits for it;
                           -EINPROGRESS: the connection begins the usual way */

    /* s->c notices */
    SVM_MSG_ACCEPT,     /* ctx = the listener's ctx; handle, lcl, rmt, slot of the new session; error = number of the offer
                           (svm_layout.h). When the program accepts it and takes the offer, SVM_MSG_ACCEPTED tells its ctx, or
                           RETURN gives it back. CLOSED with the number as ctx: it has been withdrawn */
    SVM_MSG_RESET,      /* connection aborted, error = -ECONNRESET, -ETIMEDOUT, -EHOSTUNREACH …; also set in the FIFO */
    SVM_MSG_PEER_GONE,  /* cut-through: the other side's process has died, and its FIFO does not say so (FIN or RST, then it is DATA): it ends at its
                           tail, writing gets EPIPE */
    SVM_MSG_MOVED,      /* cut-through: another program has the other end now: slot as in CONNECTED, attr as in CLAIMED. What it has not
                           read is written again to the new slot; what the former one wrote is read first. Then UNLINK */
    SVM_MSG_TAKEN,      /* another holder has claimed the session: its FIFOs are not here any more */
    SVM_MSG_ERROR,      /* soft error for SO_ERROR (UDP: -ECONNREFUSED from ICMP); 0: a record in the FIFO says which */
    SVM_MSG_IDLE,       /* nothing has gone on for a while: who has no byte in the tx FIFO may give back its ring. No answer */

    /* both ways, and between cut-through peers; no handle check beyond ownership */
    SVM_MSG_DATA = 64,  /* the FIFO that the sender produces has bytes, or FIN/RST. u.value = evt_seq */
    SVM_MSG_SPACE,      /* the FIFO that the sender consumes has the space that was wanted, or RD_CLOSED */
    SVM_MSG_ACCEPTED,   /* c->s: ctx is this client's number for the session of an ACCEPT */
    SVM_MSG_URGENT,     /* s->c, and between cut-through peers: the FIFO that the sender produces has a new urgent mark, or its byte has
                           come. At most one outstanding for each FIFO (svm_urgent.h) */
};

enum svm_bind_how {
    SVM_BIND_FREE = 1u << 0,         /* also an address that is on no interface (IP_FREEBIND). Nothing is sent from it until it is */
};

enum svm_connect_how {
    SVM_CONNECT_FASTOPEN = 1u << 0,  /* TCP Fast Open (RFC 7413) */
    SVM_CONNECT_NO_COOKIE = 1u << 1, /* also without a cookie */
};

enum svm_claim_flags {
    SVM_CLAIM_FIFOS = 1u << 0,      /* the slot is valid */
    SVM_CLAIM_LISTENS = 1u << 1,
    SVM_CLAIM_CONNECTS = 1u << 2,   /* CONNECTED will come */
    SVM_CLAIM_WR_SHUT = 1u << 3,
    SVM_CLAIM_ONLY = 1u << 4,       /* nobody else holds it */
    SVM_CLAIM_SIDE1 = 1u << 5,      /* PAIR slot of a program with itself: which side this is */
    SVM_CLAIM_REST = 1u << 6,       /* SVM_ATT_REST_GET tells what comes before the bytes in the slot */
    SVM_CLAIM_CARRIED = 1u << 7,    /* SCTP; in ACCEPT, too: was cut-through, the server carries records as they are from FIFO to FIFO */
};

enum svm_claim_ask {                 /* in CLAIM */
    SVM_CLAIM_UNMAPPED = 1u << 0,   /* cut-through, u.conn.slot: this client cannot map that segment. The server takes what is there, and
                                       the connection goes through it from now on */
};

enum svm_msg_flags {
    SVM_BIND_REUSEADDR = 1u << 0,
    SVM_BIND_REUSEPORT = 1u << 1,
    SVM_BIND_V6ONLY = 1u << 2,
    SVM_CONN_LOCAL = 1u << 3,  /* in CONNECTED, ACCEPT: cut-through, slot is in a PAIR segment */
    SVM_CONN_V6 = 1u << 4,     /* socket is AF_INET6 (wildcards and text forms) */
    SVM_CONN_SCOPE_LOCAL = 1u << 5,  /* CONNECT, BIND: this session may meet local peers */
    SVM_CONN_SCOPE_GLOBAL = 1u << 6, /* CONNECT, BIND: this session may use the network */
    SVM_BIND_SEQPACKET = 1u << 7,    /* SCTP: a one-to-many session (svm_sctp.h) */
};

struct svm_msg_slot {
    uint32_t seg_id;    /* bank's or PAIR segment's id. A client that does not know it yet reads its attach socket until it does */
    uint32_t slot;
};

struct svm_msg {
    uint8_t type;       /* enum svm_msg_type */
    uint8_t flags;      /* enum svm_msg_flags; ATTR*: the asker's number of the question, which the answer repeats */
    uint8_t proto;      /* enum svm_proto */
    uint8_t attr;       /* enum svm_attr */
    uint32_t ctx;
    struct svm_handle handle;
    union {
        struct {
            struct ip_addr lcl_ip, rmt_ip;
            union {
                struct {
                    be16 lcl_port, rmt_port;
                };
                uint32_t question;  /* CLAIM, and of the last one, repeated in CLAIMED: the low 8 bits */
            };
            int32_t error;
            struct svm_msg_slot slot; /* c->s BIND, CONNECT: seg_id is the interface that it is bound to, 0 = none */
        } conn;
        struct {
            int32_t error;
            uint32_t len;
            uint8_t bytes[40];
        } attr_val;
        int64_t value;
        int32_t error;
    } u;
};
static_assert(sizeof(struct svm_msg) == SVM_MSG_SIZE, "svm_msg");
/* For PAIR queues: ctx = slot index (both sides know the session by slot); handle unused. */

/* Session attributes that the server holds. Integers are int32 in attr_val.bytes unless said otherwise. */
enum svm_attr {
    SVM_ATTR_NODELAY = 1,
    SVM_ATTR_KEEPALIVE,
    SVM_ATTR_KEEPIDLE,   /* s */
    SVM_ATTR_KEEPINTVL,  /* s */
    SVM_ATTR_KEEPCNT,
    SVM_ATTR_MSS,        /* TCP_MAXSEG */
    SVM_ATTR_USER_TIMEOUT, /* ms */
    SVM_ATTR_DSCP,       /* IP_TOS / IPV6_TCLASS octet */
    SVM_ATTR_TTL,
    SVM_ATTR_CONGESTION, /* name, NUL-terminated */
    SVM_ATTR_TCP_INFO,   /* get only: svm_tcp_info */
    SVM_ATTR_BROADCAST,
    SVM_ATTR_RX_FIFO,    /* bytes, maximum size of that FIFO */
    SVM_ATTR_TX_FIFO,
    SVM_ATTR_LINGER2,    /* s */
    SVM_ATTR_QUICKACK,
    SVM_ATTR_CORK,
    SVM_ATTR_TX_QUEUED,  /* get only: bytes sent or to send, not acknowledged (SIOCOUTQ) */
    SVM_ATTR_DEFER_ACCEPT, /* s; of a listener: connections are offered when their first bytes are there */
    SVM_ATTR_TCP_INFO2,  /* get only: svm_tcp_info2, and ... */
    SVM_ATTR_TCP_INFO3,  /* ... svm_tcp_info3: what else TCP_INFO tells, each as much as fits a message */
    SVM_ATTR_MTU_DISCOVER, /* IP_PMTUDISC_DONT WANT DO PROBE */
    SVM_ATTR_MTU,        /* get only: of the path to the connected peer (IP_MTU) */
    SVM_ATTR_MAX_PACING, /* SO_MAX_PACING_RATE: unsigned, in units of 16 bytes a second; 0 = none */
    SVM_ATTR_MCAST_TTL,  /* of datagrams to groups */
    SVM_ATTR_MCAST_LOOP, /* they come to sockets of this host, too */
    SVM_ATTR_MCAST_ALL,  /* 1: also what other sockets have joined */
    SVM_ATTR_MCAST_JOIN, /* svm_mcast, and ... */
    SVM_ATTR_MCAST_LEAVE,
    SVM_ATTR_MCAST_IF,   /* svm_mcast, group any: where datagrams to groups go out */
    SVM_ATTR_MCAST_FILTER, /* svm_mcast_filter: of which sources, in several messages */
    SVM_ATTR_RX_TELL,    /* enum svm_rx_tell: what datagrams come with */
    SVM_ATTR_GRO,        /* datagrams of one sender that come together may be one record, with SVM_TLV_GSO_SIZE */
    SVM_ATTR_SEND_MTU,   /* get only: largest packet that goes out whole; the question is svm_send_mtu */
    SVM_ATTR_RECVERR,    /* enum svm_recverr: errors come as records, too (SVM_DGRAM_ERROR) */
    SVM_ATTR_FASTOPEN,   /* TCP_FASTOPEN of a listener: how many may be pending */
    SVM_ATTR_FASTOPEN_NO_COOKIE, /* of a listener: data in a SYN is taken without one */
    SVM_ATTR_FASTOPEN_KEY, /* of a listener: SVM_FASTOPEN_KEY bytes, or twice as many: then those of the key before */
    SVM_ATTR_NO_CHECK6_RX, /* IPv6 datagrams without checksum are for this socket, too (UDP_NO_CHECK6_RX) */
    SVM_ATTR_TCP_INFO4,  /* get only: svm_tcp_info4, */
    SVM_ATTR_TCP_INFO5,  /* svm_tcp_info5, and */
    SVM_ATTR_TCP_INFO6,  /* svm_tcp_info6 */
    SVM_ATTR_DEVICE,     /* SO_BINDTOIFINDEX: index of the interface, 0 = none */
    SVM_ATTR_SYN_COUNT,  /* TCP_SYNCNT: how often a SYN is sent again */
    SVM_ATTR_MIN_TTL,    /* of packets that come in, else they are dropped (RFC 5082): IP_MINTTL, and IPV6_MINHOPCOUNT times 256 */
    SVM_ATTR_WAITING,    /* get only, of a listener: connections that nobody has accepted yet */
};
enum { SVM_FASTOPEN_KEY = 16 };
enum svm_rx_tell { SVM_RX_STAMP = 1, SVM_RX_DEVICE = 2, SVM_RX_DROPS = 4 }; /* SVM_TLV_STAMP, SVM_TLV_DEVICE, SVM_TLV_DROPS */
enum svm_recverr { SVM_RECVERR_V4 = 1, SVM_RECVERR_V6 = 2 }; /* by the family of the packet: IP_RECVERR, IPV6_RECVERR */

struct svm_send_mtu {
    struct ip_addr dst;                            /* any: the connected peer */
    uint32_t by_interface;                         /* 1: what is known of the path does not count */
    int32_t device;                                /* the interface that it leaves by, as SVM_ATTR_DEVICE has it; 0 = where its route leads */
};
struct svm_mcast {
    struct ip_addr group, ifc;                     /* ifc: an address of the interface; any = the stack chooses */
};
/* A filter of sources is told source by source, then what they are: only these, or all but these, of the group. Who has not joined the
 * group joins it by that; who then wants nobody leaves it. */
enum svm_mcast_filter_step { SVM_MCAST_FILTER_SOURCE, SVM_MCAST_FILTER_INCLUDE, SVM_MCAST_FILTER_EXCLUDE };
struct svm_mcast_filter {
    struct ip_addr group, source;                  /* source: of the first kind of step */
    be32 ifc;                                      /* an IPv4 address of the interface; 0 = the stack chooses */
    uint8_t step;                                  /* enum svm_mcast_filter_step */
    uint8_t pad[3];
};
enum { SVM_MCAST_SOURCES = 64 };                   /* of one filter */

/* TCP_INFO in parts that fit a message. What is in flight is told in segments by dividing bytes by the segment size. */
struct svm_tcp_info {
    uint8_t state, ca_state, retransmits, backoff;
    uint8_t snd_wscale, rcv_wscale, options, probes;
    uint32_t rto_us, snd_mss, rcv_mss, rtt_us, rttvar_us, snd_ssthresh, snd_cwnd, total_retrans;
};
struct svm_tcp_info2 {
    uint32_t unacked, sacked, lost, retrans;       /* segments */
    uint32_t last_data_sent_ms, last_recv_ms;      /* ago */
    uint16_t pmtu, advmss;
    uint32_t rcv_wnd, snd_wnd, notsent;            /* bytes */
};
struct svm_tcp_info3 {
    uint64_t bytes_acked, bytes_received;
    uint64_t pacing_rate;                          /* bytes a second, ~0 = not paced */
    uint32_t min_rtt_us, ato_us, reordering, pad;
};
struct svm_tcp_info4 {
    uint32_t segs_in, segs_out, data_segs_in, data_segs_out; /* ever; wrap */
};
struct svm_tcp_info5 {
    uint64_t bytes_sent, bytes_retrans;
    uint64_t delivery_rate;                        /* bytes a second */
    uint32_t delivered, delivered_ce, dsack_dups, reord_seen;
};
struct svm_tcp_info6 {
    uint32_t busy_ms, rwnd_limited_ms, sndbuf_limited_ms; /* busy: with both others; wrap */
    uint32_t rcv_ooopack, last_data_recv_ms;
    uint32_t rate_app_limited;                     /* 1: the delivery rate is what the program wrote */
};
static_assert(sizeof(struct svm_tcp_info5) <= 40 && sizeof(struct svm_tcp_info6) <= 40, "svm_tcp_info fits a message");
static_assert(sizeof(struct svm_mcast) <= 40 && sizeof(struct svm_mcast_filter) <= 40, "svm_mcast fits a message");
static_assert(sizeof(struct svm_tcp_info) <= 40 && sizeof(struct svm_tcp_info2) <= 40 && sizeof(struct svm_tcp_info3) <= 40,
              "svm_tcp_info fits a message");

/* ---------------------------------------------------------------- datagrams in a FIFO */

/* A datagram FIFO carries records: this header, TLVs up to hdr_len, data_len bytes, padding to a multiple of 8.
 * A producer writes whole records only (tail moves once per record). A consumer that finds a malformed record drops the
 * session (server: the client) - lengths are checked against the bytes present. */
struct svm_dgram_hdr {
    uint32_t data_len;
    uint16_t hdr_len;   /* of this header with its TLVs, multiple of 8 */
    uint8_t version;    /* 1 */
    uint8_t flags;      /* enum svm_dgram_flags */
    struct ip_addr lcl_ip, rmt_ip; /* tx: lcl any = stack chooses; rmt any = the connected peer */
    be16 lcl_port, rmt_port;
    int32_t ifindex;    /* rx, IPv6: of the interface that it came in by, as SVM_ATTR_DEVICE has it */
};
static_assert(sizeof(struct svm_dgram_hdr) == 48, "svm_dgram_hdr");
enum svm_dgram_flags {
    SVM_DGRAM_TRUNC = 1u << 0,
    SVM_DGRAM_ERROR = 1u << 2,  /* rx: no datagram but an error about one sent: TLV SVM_TLV_ERROR, rmt = where it was sent to, lcl = our
                                   address, data = what is quoted of it. Each is followed by SVM_MSG_ERROR. (1u << 1: svm_sctp.h) */
    SVM_DGRAM_CONFIRM = 1u << 3, /* tx: the program has heard from the peer lately (MSG_CONFIRM) */
    SVM_DGRAM_NO_CHECK6 = 1u << 4, /* tx: without checksum if it goes over IPv6 (UDP_NO_CHECK6_TX); not with SVM_TLV_GSO_SIZE */
    SVM_DGRAM_NO_CHECK4 = 1u << 5, /* tx: the same over IPv4 (SO_NO_CHECK) */
};
struct svm_dgram_tlv {
    uint16_t type;      /* enum svm_dgram_tlv_type */
    uint16_t len;       /* of the value; the next TLV begins at the next multiple of 8 */
};
enum svm_dgram_tlv_type {
    SVM_TLV_TOS = 1, SVM_TLV_TTL = 2,
    SVM_TLV_GSO_SIZE = 3,        /* uint16: the data are several datagrams, all but the last of this size */
    SVM_TLV_DEVICE = 4,          /* svm_dgram_device. rx: where it came in; tx: where it is to go out */
    SVM_TLV_ERROR = 5,
    SVM_TLV_STAMP = 6,           /* int64: ns since 1970, when it came in */
    SVM_TLV_DROPS = 7,           /* uint32: datagrams that the receive FIFO had no room for, before this one; wraps */
};
struct svm_dgram_device {
    int32_t index;              /* of the interface, as SVM_ATTR_DEVICE has it */
    be32 own;                   /* rx, IPv4: the address to answer from, where the datagram was sent to a group or to all */
};
struct svm_dgram_error {        /* numbers of struct sock_extended_err */
    int32_t error;              /* errno, positive */
    uint8_t origin, type, code; /* SO_EE_ORIGIN_*; of the ICMP message */
    uint8_t pad;
    uint32_t info, data;
    struct ip_addr offender;    /* who sent the message; any with SO_EE_ORIGIN_LOCAL */
};
/* Of one record with SVM_TLV_GSO_SIZE. */
enum svm_gso_limits { SVM_GSO_SEGMENTS = 128, SVM_GSO_BYTES = 65535 };
static_assert(sizeof(struct svm_dgram_error) == 32, "svm_dgram_error");

#endif
