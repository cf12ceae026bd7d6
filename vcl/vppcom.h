/* vppcom.h - native sockets of hoststack, with the names of VPP's communications library (vppcom(3))
 *
 * Functions return >= 0, or a negative errno value (VPPCOM_E...); errno itself is not touched. A session is named by a handle that
 * vppcom_session_create(), _accept() or vppcom_epoll_create() returned, valid until vppcom_session_close(). Any thread may use any
 * session; closing one while another thread is inside a call on it is an error of the program.
 * Buffers and endpoints are the caller's, and used only during the call. Blocking sessions wait as their functions say; a signal
 * handler that ran ends the wait with -EINTR. */
#ifndef HOSTSTACK_VPPCOM_H
#define HOSTSTACK_VPPCOM_H

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define INVALID_SESSION_ID ((uint32_t)~0)
#define VPPCOM_CONF_DEFAULT "/etc/hoststack/vcl.conf"
#define VPPCOM_ENV_CONF "VCL_CONFIG"
#define VPPCOM_ENV_DEBUG "VCL_DEBUG"
#define VPPCOM_ENV_APP_PROXY_TRANSPORT_TCP "VCL_APP_PROXY_TRANSPORT_TCP"
#define VPPCOM_ENV_APP_PROXY_TRANSPORT_UDP "VCL_APP_PROXY_TRANSPORT_UDP"
#define VPPCOM_ENV_APP_NAMESPACE_ID "VCL_APP_NAMESPACE_ID"
#define VPPCOM_ENV_APP_NAMESPACE_SECRET "VCL_APP_NAMESPACE_SECRET"
#define VPPCOM_ENV_APP_SCOPE_LOCAL "VCL_APP_SCOPE_LOCAL"
#define VPPCOM_ENV_APP_SCOPE_GLOBAL "VCL_APP_SCOPE_GLOBAL"
#define VPPCOM_ENV_APP_USE_MQ_EVENTFD "VCL_APP_USE_MQ_EVENTFD"
#define VPPCOM_ENV_VPP_SAPI_SOCKET "VCL_VPP_SAPI_SOCKET"

typedef enum {
    VPPCOM_PROTO_TCP = 0,
    VPPCOM_PROTO_UDP,
    VPPCOM_PROTO_NONE,
    VPPCOM_PROTO_TLS,  /* over TCP, ended in the server */
    VPPCOM_PROTO_QUIC, /* as SRTP and HTTP: VPPCOM_ENOTSUP in this version */
    VPPCOM_PROTO_DTLS, /* over UDP, ended in the server; connections, each write and read is a message */
    VPPCOM_PROTO_SRTP,
    VPPCOM_PROTO_HTTP,
    VPPCOM_PROTO_SCTP,
} vppcom_proto_t;

typedef enum { VPPCOM_IS_IP6 = 0, VPPCOM_IS_IP4 } vppcom_is_ip4_t;

/* ip points to 4 or 16 bytes, network order; to 16 bytes of room where a function fills the endpoint in. */
typedef struct vppcom_endpt_t_ {
    uint8_t unused;
    uint8_t is_cut_thru; /* filled in: the two programs share memory directly */
    uint8_t is_ip4;
    uint8_t *ip;
    uint16_t port;       /* network order */
} vppcom_endpt_t;

typedef uint32_t vcl_session_handle_t;

typedef enum {
    VPPCOM_OK = 0,
    VPPCOM_EAGAIN = -EAGAIN,
    VPPCOM_EWOULDBLOCK = -EWOULDBLOCK,
    VPPCOM_EINPROGRESS = -EINPROGRESS,
    VPPCOM_EFAULT = -EFAULT,
    VPPCOM_ENOMEM = -ENOMEM,
    VPPCOM_EINVAL = -EINVAL,
    VPPCOM_EBADFD = -EBADFD,
    VPPCOM_EAFNOSUPPORT = -EAFNOSUPPORT,
    VPPCOM_ECONNABORTED = -ECONNABORTED,
    VPPCOM_ECONNRESET = -ECONNRESET,
    VPPCOM_ENOTCONN = -ENOTCONN,
    VPPCOM_ECONNREFUSED = -ECONNREFUSED,
    VPPCOM_ETIMEDOUT = -ETIMEDOUT,
    VPPCOM_EEXIST = -EEXIST,
    VPPCOM_ENOPROTOOPT = -ENOPROTOOPT,
    VPPCOM_EPIPE = -EPIPE,
    VPPCOM_ENOENT = -ENOENT,
    VPPCOM_EADDRINUSE = -EADDRINUSE,
    VPPCOM_ENOTSUP = -ENOTSUP,
} vppcom_error_t;

/* Operations of vppcom_session_attr(): what buffer holds. */
typedef enum {
    VPPCOM_ATTR_GET_NREAD,            /* none: the result is the number of bytes (listeners: connections) waiting */
    VPPCOM_ATTR_GET_NWRITE,           /* none: bytes of room */
    VPPCOM_ATTR_GET_FLAGS,            /* uint32_t: O_RDWR, with O_NONBLOCK */
    VPPCOM_ATTR_SET_FLAGS,
    VPPCOM_ATTR_GET_LCL_ADDR,         /* vppcom_endpt_t */
    VPPCOM_ATTR_SET_LCL_ADDR,         /* vppcom_endpt_t: as vppcom_session_bind() */
    VPPCOM_ATTR_GET_PEER_ADDR,        /* vppcom_endpt_t */
    VPPCOM_ATTR_GET_PROTOCOL,         /* int: VPPCOM_PROTO_* */
    VPPCOM_ATTR_GET_LISTEN,           /* int */
    VPPCOM_ATTR_GET_ERROR,            /* int: pending errno, cleared */
    VPPCOM_ATTR_GET_TX_FIFO_LEN,      /* uint32_t: bytes */
    VPPCOM_ATTR_SET_TX_FIFO_LEN,
    VPPCOM_ATTR_GET_RX_FIFO_LEN,
    VPPCOM_ATTR_SET_RX_FIFO_LEN,
    VPPCOM_ATTR_GET_REUSEADDR,        /* int */
    VPPCOM_ATTR_SET_REUSEADDR,
    VPPCOM_ATTR_GET_REUSEPORT,
    VPPCOM_ATTR_SET_REUSEPORT,
    VPPCOM_ATTR_GET_BROADCAST,
    VPPCOM_ATTR_SET_BROADCAST,
    VPPCOM_ATTR_GET_V6ONLY,
    VPPCOM_ATTR_SET_V6ONLY,
    VPPCOM_ATTR_GET_KEEPALIVE,
    VPPCOM_ATTR_SET_KEEPALIVE,
    VPPCOM_ATTR_GET_TCP_NODELAY,
    VPPCOM_ATTR_SET_TCP_NODELAY,
    VPPCOM_ATTR_GET_TCP_KEEPIDLE,     /* int: seconds */
    VPPCOM_ATTR_SET_TCP_KEEPIDLE,
    VPPCOM_ATTR_GET_TCP_KEEPINTVL,    /* int: seconds */
    VPPCOM_ATTR_SET_TCP_KEEPINTVL,
    VPPCOM_ATTR_GET_TCP_USER_MSS,     /* int: bytes */
    VPPCOM_ATTR_SET_TCP_USER_MSS,
    VPPCOM_ATTR_SET_CONNECTED,        /* none: nothing changes (UDP sessions listen and connect as they are) */
    VPPCOM_ATTR_SET_CKPAIR,           /* uint32_t: what vppcom_add_cert_key_pair() returned */
    VPPCOM_ATTR_SET_VRF,              /* uint32_t: 0, the namespace's own table; others VPPCOM_ENOTSUP */
    VPPCOM_ATTR_GET_VRF,
    VPPCOM_ATTR_GET_DOMAIN,           /* int: AF_INET or AF_INET6 */
    VPPCOM_ATTR_SET_ENDPT_EXT_CFG,    /* vppcom_endpt_ext_cfg_t */
    VPPCOM_ATTR_SET_DSCP,             /* uint8_t: the six bits of the code point */
    VPPCOM_ATTR_SET_IP_PKTINFO,       /* int */
    VPPCOM_ATTR_GET_IP_PKTINFO,
    VPPCOM_ATTR_GET_ORIGINAL_DST,     /* VPPCOM_ENOTSUP: nothing is redirected */
    VPPCOM_ATTR_GET_NWRITEQ,          /* uint32_t: bytes written that the other side has not taken or acknowledged */
    VPPCOM_ATTR_GET_EXT_ENDPT,        /* VPPCOM_ENOTSUP */
    VPPCOM_ATTR_SET_UNUSED,
    VPPCOM_ATTR_GET_UNUSED,
    VPPCOM_ATTR_SET_COOKIE,           /* uint64_t: the program's own, kept with the session */
    VPPCOM_ATTR_GET_COOKIE,
    VPPCOM_ATTR_SET_STREAM_FLAGS,     /* VPPCOM_ENOTSUP, as the next */
    VPPCOM_ATTR_GET_STREAM_FLAGS,
    VPPCOM_ATTR_SET_APP_PROTO_ERR_CODE,
    VPPCOM_ATTR_GET_APP_PROTO_ERR_CODE,
    VPPCOM_ATTR_SET_BINDTODEVICE = 256, /* char[]: name of the interface, empty for none; socket(7). Of ours, not VPP's, as the next */
    VPPCOM_ATTR_GET_BINDTODEVICE,     /* char[16] */
} vppcom_attr_op_t;

typedef struct vcl_poll_ {
    uint32_t fds_ndx; /* the caller's own */
    uint32_t sid;     /* session handle */
    short events;     /* POLL* */
    short revents;
} vcl_poll_t;
typedef vcl_poll_t vppcom_poll_t;

typedef struct vppcom_data_segment_ {
    unsigned char *data;
    uint32_t len;
} vppcom_data_segment_t;
typedef vppcom_data_segment_t vppcom_data_segments_t[2];

typedef struct vppcom_cert_key_pair_ {
    char *cert;
    char *key;
    uint32_t cert_len, key_len;
} vppcom_cert_key_pair_t;

/* VPPCOM_ATTR_SET_ENDPT_EXT_CFG of a TLS session, before listen or connect; of a listener also later, for connections to come. */
enum { VPPCOM_ENDPT_EXT_CFG_NONE = 0, VPPCOM_ENDPT_EXT_CFG_CRYPTO = 1 };
enum { VPPCOM_TLS_VERIFY_DEFAULT = 0, VPPCOM_TLS_VERIFY_NONE, VPPCOM_TLS_VERIFY_OPTIONAL, VPPCOM_TLS_VERIFY_REQUIRED };
typedef struct vppcom_endpt_crypto_cfg_ {
    char hostname[256];      /* client: for SNI, and the name that the certificate must be for; "": the address */
    char alpn[128];          /* protocols, best first, "h2,http/1.1" */
    uint8_t verify;          /* VPPCOM_TLS_VERIFY_*, of the peer's certificate; DEFAULT: as the server is configured */
    uint8_t unused;
    uint16_t n_ckpairs;      /* listener: chosen by name (SNI), the first is the default; client: shown when it is asked for one */
    uint32_t ckpairs[16];    /* of vppcom_add_cert_key_pair(). None: a listener has all pairs of the program */
} vppcom_endpt_crypto_cfg_t;
typedef struct vppcom_endpt_ext_cfg_ {
    uint16_t type;           /* VPPCOM_ENDPT_EXT_CFG_CRYPTO */
    uint16_t len;            /* sizeof of this struct */
    vppcom_endpt_crypto_cfg_t crypto;
} vppcom_endpt_ext_cfg_t;

/* vcl.conf as a structure; zero and NULL mean the default. Strings are the caller's, used during the call. */
typedef struct vppcom_cfg_ {
    uint64_t heapsize;
    uint32_t max_workers;
    uint64_t segment_size, add_segment_size;
    uint32_t preallocated_fifo_pairs;
    uint32_t rx_fifo_size, tx_fifo_size;
    uint32_t event_queue_size;
    uint8_t app_proxy_transport_tcp, app_proxy_transport_udp;
    uint8_t app_scope_local, app_scope_global;
    const char *namespace_id;
    uint64_t namespace_secret;
    uint8_t use_mq_eventfd;
    double app_timeout, session_timeout; /* s */
    const char *event_log_path;
    const char *vpp_bapi_socket_name;    /* no meaning here */
    const char *vpp_app_socket_api;
    const char *app_name;
    uint32_t tls_engine;
    uint8_t mt_wrk_supported, huge_page, app_original_dst;
    int debug_level;
} vppcom_cfg_t;

/* ---- application ---- */
int vppcom_app_create(const char *app_name);      /* 0; -ENETDOWN no server, -EINVAL configuration, -EEXIST called before */
int vppcom_app_create_with_config(const vppcom_cfg_t *cfg);
void vppcom_app_destroy(void);                    /* closes every session */

/* ---- sessions ---- */
int vppcom_session_create(uint8_t proto, uint8_t is_nonblocking);       /* handle; VPPCOM_ENOTSUP */
int vppcom_session_shutdown(uint32_t session, int how);                 /* SHUT_RD, SHUT_WR, SHUT_RDWR */
int vppcom_session_close(uint32_t session);
int vppcom_session_terminate(uint32_t session);                         /* resets the connection, then closes */
int vppcom_session_bind(uint32_t session, vppcom_endpt_t *ep);
int vppcom_session_listen(uint32_t session, uint32_t q_len);            /* UDP: nothing to do */
int vppcom_session_accept(uint32_t listener, vppcom_endpt_t *client_ep, uint32_t flags); /* flags O_NONBLOCK; handle */
int vppcom_session_connect(uint32_t session, vppcom_endpt_t *server_ep); /* -EINPROGRESS when non-blocking */
int vppcom_session_stream_connect(uint32_t session, uint32_t parent);   /* VPPCOM_ENOTSUP */
int vppcom_session_read(uint32_t session, void *buf, size_t n);         /* bytes; 0 = end of stream */
int vppcom_session_write(uint32_t session, void *buf, size_t n);
int vppcom_session_write_msg(uint32_t session, void *buf, size_t n);    /* as write, pushed out at once */
int vppcom_session_recvfrom(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep); /* MSG_*; ep may be NULL */
int vppcom_session_sendto(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep, void *app_tlv);
/* Zero copy: bytes readable in at most n segments and max_bytes; they stay until free_segments(n_bytes). */
int vppcom_session_read_segments(uint32_t session, vppcom_data_segment_t *ds, uint32_t n, uint32_t max_bytes);
void vppcom_session_free_segments(uint32_t session, uint32_t n_bytes);
int vppcom_session_write_segments(uint32_t session, vppcom_data_segment_t *ds, uint32_t n);
int vppcom_session_attr(uint32_t session, uint32_t op, void *buffer, uint32_t *buflen);
int vppcom_session_index(vcl_session_handle_t session);
int vppcom_session_worker(vcl_session_handle_t session);
int vppcom_session_is_stream(uint32_t session);                         /* of a multi-stream connection: never here */
int vppcom_session_is_connectable_listener(uint32_t session);           /* likewise */
int vppcom_session_listener(uint32_t session);                          /* the handle it was accepted from, VPPCOM_EBADFD */
int vppcom_session_n_accepted(uint32_t listener);                       /* open sessions that were accepted from it */
int vppcom_session_get_error(uint32_t session);                         /* pending error (negative) or 0; cleared */

/* ---- SCTP: what stands beside a message (RFC 6458 s5.3); a session is one association ---- */
enum { VPPCOM_SCTP_UNORDERED = 1, VPPCOM_SCTP_ADDR_OVER = 2 /* to the address of ep, not the primary one */, VPPCOM_SCTP_SACK_IMMEDIATELY = 8 };
typedef struct vppcom_sctp_msg_ {
    uint16_t stream;
    uint16_t flags;          /* VPPCOM_SCTP_* */
    uint32_t ppid;           /* payload protocol: goes as it is, no byte is swapped */
    uint32_t context;        /* sent: comes back in the notification of a failure */
    uint16_t pr_policy;      /* sent: 0, or SCTP_PR_SCTP_TTL, _RTX, _PRIO of <linux/sctp.h> */
    uint16_t ssn;            /* received: number of the message in its stream */
    uint32_t pr_value;       /* milliseconds, retransmissions, priority */
    uint32_t assoc_id, tsn;  /* received */
    uint8_t is_whole;        /* received: the message, or notification, ends here; else its next part is read next */
    uint8_t is_notification; /* received: buf holds a union sctp_notification of <linux/sctp.h> */
    uint8_t unused[6];
} vppcom_sctp_msg_t;
/* Bytes. ep and msg may be NULL: the only peer; the session's defaults. VPPCOM_EINVAL: no such stream or flag. */
int vppcom_session_send_sctp(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep, const vppcom_sctp_msg_t *msg);
int vppcom_session_recv_sctp(uint32_t session, void *buf, uint32_t len, int flags, vppcom_endpt_t *ep, vppcom_sctp_msg_t *msg); /* 0 = end */
/* An option of RFC 6458 s8 by the number and struct of <linux/sctp.h>: SCTP_INITMSG (streams), SCTP_EVENT (notifications) and the others. */
int vppcom_session_sctp_option(uint32_t session, int is_set, int name, void *val, uint32_t *len);

/* ---- waiting ---- */
/* Bits are session indexes. wait_for_time in seconds, negative = for ever. Number of bits left set. */
int vppcom_select(int n_bits, unsigned long *read_map, unsigned long *write_map, unsigned long *except_map, double wait_for_time);
int vppcom_poll(vcl_poll_t *vp, uint32_t n_sids, double wait_for_time); /* seconds */
int vppcom_epoll_create(void);
int vppcom_epoll_ctl(uint32_t epoll, int op, uint32_t session, struct epoll_event *event);
int vppcom_epoll_wait(uint32_t epoll, struct epoll_event *events, int maxevents, double wait_for_time); /* milliseconds, as in VPP */
int vppcom_mq_epoll_fd(void); /* readable while events wait for this worker; not the caller's to close */

/* ---- TLS ---- */
/* PEM text: certificate, with its chain behind it, and key. Its index, > 0; VPPCOM_EINVAL: the server cannot use it. The server keeps
 * the key; a replaced or deleted pair stays with the connections that have it. */
int vppcom_add_cert_key_pair(vppcom_cert_key_pair_t *ckpair);
int vppcom_del_cert_key_pair(uint32_t ckpair_index);

/* ---- text ---- */
int vppcom_unformat_proto(uint8_t *proto, char *proto_str);             /* 0, or 1 for an unknown name */
char *vppcom_proto_str(vppcom_proto_t proto);
const char *vppcom_retval_str(int retval);

/* ---- workers: queues of a thread's own ---- */
int vppcom_worker_register(void);     /* 0; VPPCOM_EEXIST, -EUSERS (max-workers) */
void vppcom_worker_unregister(void);
int vppcom_worker_index(void);
void vppcom_worker_index_set(int index);
int vppcom_worker_mqs_epfd(void);
int vppcom_worker_is_detached(void);  /* 1: no server */

#ifdef __cplusplus
}
#endif
#endif
