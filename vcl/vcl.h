/* vcl.h - sockets of this process over the stack: what vppcom_*.c and preload/ build upon
 *
 *   program -> (preload: descriptor -> struct vcl_socket) or (vppcom: session index -> struct vcl_socket)
 *           -> vcl_send/vcl_recv -> svm_fifo (+ svm_msgq event when due, + doorbell when the other side sleeps)
 *
 * Owner:  sockets and sets are reference counted (vcl_socket_put, vcl_set_put); a set holds no reference of its sockets:
 *         vcl_socket_put's last call removes it from every set.
 * Thread: every function may be called from any thread. Queues of the client worker are used under one process-private lock,
 *         a FIFO side under its socket's lock; both are uncontended unless threads share.
 * Signals: blocking calls return -EINTR when a signal handler ran (SA_RESTART is the caller's business: see vcl_should_restart()).
 * Errors: >= 0 or -errno, as Linux gives them for the same call. Nothing here sets errno, prints, or exits.
 * Memory: no allocation, lock or log on the read/write path beyond the uncontended socket lock.
 */
#ifndef HOSTSTACK_VCL_VCL_H
#define HOSTSTACK_VCL_VCL_H

#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include "common/ip_addr.h"
#include "svm/svm_proto.h"
#include "vcl/vcl_config.h"

struct vcl_socket;
struct vcl_set;

/* ---- process ---- */
/* Reads VCL_CONFIG and the VCL_* variables, allocates nothing shared, does not attach. Idempotent, thread-safe. 0 or -errno. */
int vcl_process_init(void);
const struct vcl_config *vcl_config(void);
/* Attaches this process as a client worker if it is not attached (also lazily by everything below). 0, -ENETDOWN (no server;
 * one line on stderr the first time), -EACCES (secret, scope), -EPROTO (version). A server that comes back is found again. */
int vcl_attach(void);
bool vcl_server_is_there(void);           /* attached, or can be now; no word on stderr where there is no server's socket */
bool vcl_lacks_space(void);               /* this process has no address space for the server's memory (RLIMIT_AS): to it, none is there */
bool vcl_falls_back(void);                /* the kernel serves while no server is there: as configured, and for lack of space */
void vcl_detach(void);                    /* orderly: all sockets closed; also at exit */
/* fork: prepare in the parent before (sends the lifeline when any socket exists), parent/child after. Child attaches at first use. */
void vcl_fork_prepare(void);
void vcl_fork_parent(void);
void vcl_fork_child(void);
void vcl_fork_claim_all(void);             /* a child that can soon not attach any more: now, with all connections that it still holds */

/* ---- sockets ---- */
/* proto: enum svm_proto (TCP, UDP, TLS, SCTP served; others -EPROTONOSUPPORT). Does not talk to the server. */
int vcl_socket_new(uint8_t proto, bool is_v6, struct vcl_socket **out);
struct vcl_socket *vcl_socket_get(struct vcl_socket *s);
void vcl_socket_put(struct vcl_socket *s);           /* last reference closes (SO_LINGER as set; may block only then) */
void vcl_socket_set_nonblock(struct vcl_socket *s, bool on);
void vcl_socket_set_nonblock_here(struct vcl_socket *s, bool on); /* for a call: other processes are not told */
bool vcl_socket_is_nonblock(struct vcl_socket *s);
void vcl_socket_set_user(struct vcl_socket *s, void *user);
void *vcl_socket_user(const struct vcl_socket *s);
uint8_t vcl_socket_proto(const struct vcl_socket *s);

int vcl_bind(struct vcl_socket *s, const struct ip_endpoint *lcl);     /* -EADDRINUSE, -EADDRNOTAVAIL, -EINVAL (bound) */
int vcl_listen(struct vcl_socket *s, int backlog);
/* Non-blocking socket or MSG_DONTWAIT in flags: -EAGAIN. timeout by SO_RCVTIMEO. */
int vcl_accept(struct vcl_socket *listener, int flags, struct vcl_socket **out);
int vcl_connect(struct vcl_socket *s, const struct ip_endpoint *rmt);  /* -EINPROGRESS, -EALREADY, -EISCONN, … as Linux */
/* The same with TCP Fast Open. 0 without being connected: what is sent next goes into the SYN. */
int vcl_connect_early(struct vcl_socket *s, const struct ip_endpoint *rmt);
int vcl_disconnect(struct vcl_socket *s); /* a datagram socket: it has no peer any more */
bool vcl_binds_free(const struct vcl_socket *s); /* also to an address that nobody has: IP_FREEBIND, IP_TRANSPARENT */
bool vcl_is_transparent(const struct vcl_socket *s);
bool vcl_is_unconnected(const struct vcl_socket *s); /* a stream that has never been, nor is about to, nor listens */
void vcl_connect_failed(struct vcl_socket *s); /* the error of an attempt was told: the socket is as before it */
int vcl_shutdown(struct vcl_socket *s, int how);
int vcl_local_endpoint(struct vcl_socket *s, struct ip_endpoint *out);
int vcl_peer_endpoint(struct vcl_socket *s, struct ip_endpoint *out);  /* -ENOTCONN: never was, or has ended */
void vcl_accepted_from(struct vcl_socket *s, struct ip_endpoint *out); /* what accept() tells, even if it has ended since */

struct vcl_sctp_msg;
struct vcl_msg_info {         /* datagrams and SCTP: addresses and ancillary values of one message */
    struct ip_endpoint peer;  /* recv: sender; send: receiver (has_peer) */
    struct ip_addr lcl;       /* recv: address it was sent to; send: source wanted (has_lcl) */
    bool has_peer, has_lcl;
    bool has_ttl, has_tos;    /* send: instead of the socket's */
    bool has_gso;             /* UDP: gso_size. recv: several datagrams in one */
    bool has_dontfrag, dontfrag; /* send: IPV6_DONTFRAG, instead of the socket's */
    uint16_t gso_size;        /* bytes of each of them; send: 0 = not to be cut */
    uint8_t ttl, tos;         /* of the packet; recv: tos is always told, ttl with has_ttl */
    uint32_t flags;           /* recv: MSG_TRUNC, MSG_OOB; SCTP: MSG_EOR, MSG_NOTIFICATION */
    int32_t ifindex;          /* recv: of the interface that it came in by, with IP_PKTINFO; send: that it is to leave by; 0 = none */
    be32 own;                 /* recv, IPv4: where to answer from, of what was sent to a group or to all */
    int32_t inq;              /* recv, stream, with VCL_WANTS_INQ: bytes that are left to read; 1 at the end */
    uint32_t drops;           /* recv: datagrams lost before it, as SO_RXQ_OVFL says; 0 = none, or not asked for */
    int64_t stamp_ns;         /* recv: when it came in, since 1970; 0 = not known */
    uint32_t full_len;        /* recv: length of the datagram even when cut */
    struct vcl_sctp_msg *sctp;/* SCTP (vcl_sctp.h); the caller's, NULL = not wanted */
};
/* flags: MSG_DONTWAIT, MSG_PEEK, MSG_WAITALL, MSG_TRUNC, MSG_OOB (TCP), MSG_NOSIGNAL (send gives -EPIPE, SIGPIPE is the caller's business).
 * recv: 0 = end of stream (or empty datagram). info may be NULL. */
ssize_t vcl_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info);
ssize_t vcl_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info);
/* Datagrams, one of our own: more follow at once, vcl_dgram_flush() after the last. The server is told of all together. */
enum { VCL_SEND_MORE = 0x00800000 };
void vcl_dgram_flush(struct vcl_socket *s);
/* Zero copy (stream). read: pieces stay valid until vcl_recv_release(len). write: fill, then commit. */
int vcl_recv_segments(struct vcl_socket *s, struct iovec *iov, int n, uint32_t max, int flags);   /* number of pieces; 0 = end */
int vcl_recv_release(struct vcl_socket *s, uint32_t len);
int vcl_send_reserve(struct vcl_socket *s, struct iovec iov[2], uint32_t want, int flags);
int vcl_send_commit(struct vcl_socket *s, uint32_t len);    /* how many of them counted: the others came too late, another process writes now */
bool vcl_socket_is_attached(const struct vcl_socket *s);    /* its worker has a server */
bool vcl_socket_is_shared(const struct vcl_socket *s);      /* another process may hold it: pieces that were read may be its, too */

/* recvmsg(MSG_ERRQUEUE): the oldest error (vcl_errqueue.h); bytes of what it quotes, cut to the room. -EAGAIN: none; never waits. */
struct vcl_error;
ssize_t vcl_recv_error(struct vcl_socket *s, const struct iovec *iov, int n_iov, struct vcl_error *out);

int64_t vcl_readable_bytes(struct vcl_socket *s);   /* FIONREAD; listeners: accepts waiting */
int64_t vcl_writable_bytes(struct vcl_socket *s);
int64_t vcl_queued_bytes(struct vcl_socket *s);     /* SIOCOUTQ */
uint32_t vcl_poll_now(struct vcl_socket *s);        /* EPOLLIN|PRI|OUT|RDHUP|HUP|ERR as they stand (level) */
int vcl_take_error(struct vcl_socket *s);           /* SO_ERROR: 0 or errno (positive), cleared */
int vcl_at_mark(struct vcl_socket *s);              /* SIOCATMARK: 0 or 1 */
ssize_t vcl_splice_length(struct vcl_socket *s, size_t want); /* TCP: of them, before an urgent mark; at it 0 or -errno, as Linux says there */
bool vcl_is_listener(const struct vcl_socket *s);
bool vcl_listens(struct vcl_socket *s);             /* or another process has called listen() on what was bound here: the server is asked */
bool vcl_is_connected(const struct vcl_socket *s);

/* What the options of a socket ask recvmsg() to tell beside the bytes. */
enum vcl_wants {
    VCL_WANTS_PKTINFO = 1u << 0, VCL_WANTS_PKTINFO6 = 1u << 1, VCL_WANTS_TTL = 1u << 2, VCL_WANTS_TOS = 1u << 3, VCL_WANTS_HOPS = 1u << 4,
    VCL_WANTS_TCLASS = 1u << 5,
    VCL_WANTS_STAMP = 1u << 6,       /* with _NS in nanoseconds, with _NEW by the new numbers */
    VCL_WANTS_STAMP_NS = 1u << 7, VCL_WANTS_STAMP_NEW = 1u << 8,
    VCL_WANTS_STAMPING = 1u << 9,    /* SCM_TIMESTAMPING */
    VCL_WANTS_GRO = 1u << 10,        /* UDP_GRO */
    VCL_WANTS_INQ = 1u << 11,        /* TCP_INQ */
    VCL_WANTS_DROPS = 1u << 12,      /* SO_RXQ_OVFL */
    VCL_WANTS_ORIGDST = 1u << 13, VCL_WANTS_ORIGDST6 = 1u << 14, /* IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR */
};
uint32_t vcl_recv_wants(struct vcl_socket *s);

/* Options as of getsockopt/setsockopt (Linux levels, names, sizes); unknown: -ENOPROTOOPT. Stored ones that act on this side
 * (SO_RCVTIMEO, SO_LINGER, SO_REUSEADDR, SO_RCVBUF, …) and those of the server (TCP_NODELAY, …). */
int vcl_setsockopt(struct vcl_socket *s, int level, int name, const void *val, socklen_t len);
int vcl_getsockopt(struct vcl_socket *s, int level, int name, void *val, socklen_t *len);

/* The interface that it is bound to (SO_BINDTOIFINDEX): its index, 0 = none. One of the stack's, and not loopback: no other serves it. */
bool vcl_device_has(struct vcl_socket *s, int32_t index);   /* is that one of the stack's? */
int32_t vcl_device(const struct vcl_socket *s);
bool vcl_device_is_stacks(const struct vcl_socket *s);
bool vcl_device_leads(const struct vcl_socket *s, const struct ip_addr *dst); /* or do its datagrams to that address leave by one (IP_UNICAST_IF)? */
/* sin6_scope_id of a link-local address that it will be bound or connected to, which binds it, too (ipv6(7)): 0, -EINVAL (of a peer: it is
 * bound to another one), -ENODEV (no interface of the stack). */
int vcl_device_scope(struct vcl_socket *s, const struct sockaddr *sa, socklen_t len, bool is_bind);

/* A session may leave this process by exec or SCM_RIGHTS: the server notes the kernel descriptor that stands for it, and holds it until
 * `lifeline` ends (the other end of a socket pair; a pidfd). Both stay the caller's. */
int vcl_export(struct vcl_socket *s, int placeholder, int lifeline);
void vcl_export_again(struct vcl_socket *s, int placeholder); /* it leaves once more: its options as they are now go along */
/* The session behind a descriptor that came from elsewhere, with its options and non-blocking or not, as it was when it left: -ENOENT if there
 * is none; -EPROTO: who had it has told nonsense. 1: this process has it already, by another number or in a call: the same socket, as it is here,
 * and one reference more. */
int vcl_identify(int fd, struct vcl_socket **out);
bool vcl_socket_is_v6(const struct vcl_socket *s);
bool vcl_socket_has_session(const struct vcl_socket *s);
uint64_t vcl_socket_identity(const struct vcl_socket *s); /* of its session: the same in each process that has it, below 2^53; 0 = none */

/* ---- TLS ---- */
/* PEM text. A pair is used by every listener of the process that names no other; it stays over a restart of the server.
 * Number > 0; -EINVAL (the server cannot use it), -ENETDOWN. */
int vcl_tls_add_pair(const char *cert, size_t cert_len, const char *key, size_t key_len);
int vcl_tls_replace_pair(uint32_t id, const char *cert, size_t cert_len, const char *key, size_t key_len);
int vcl_tls_del(uint32_t id);
int vcl_tls_use(struct vcl_socket *s, uint32_t id);        /* a pair; of a listener: from the next connection on */
int vcl_tls_configure(struct vcl_socket *s, const struct svm_tls_config *cfg);  /* pair[]: numbers of vcl_tls_add_pair() */

/* ---- waiting: epoll sets over sockets and kernel descriptors together ---- */
/* A set is a real kernel epoll descriptor (kept by the caller: kernel descriptors are added to it by epoll_ctl directly; the set
 * keeps its doorbell in it) plus subscriptions to sockets. key distinguishes several descriptors of one socket (dup). */
int vcl_set_new(int kernel_epfd, struct vcl_set **out);
/* One with a descriptor of its own, of sockets alone, edge-triggered: who waits is told of what happens from now on, each time, and of
 * nothing that is so already (SIGIO). Nobody looks for a while before sleeping. In a fork's child it is dead: vcl_set_put(). */
int vcl_set_new_for_news(struct vcl_set **out);
struct vcl_set *vcl_set_get(struct vcl_set *set);
void vcl_set_put(struct vcl_set *set);              /* does not close kernel_epfd */
void vcl_set_renumber(struct vcl_set *set, int from, int to); /* kernel_epfd goes, another number of it stays */
int vcl_set_add(struct vcl_set *set, struct vcl_socket *s, int key, const struct epoll_event *ev);  /* -EEXIST, -EINVAL (EPOLLEXCLUSIVE) */
/* An entry that was in the kernel's epoll so far, and may have been told there: a one-shot one that was told waits for vcl_set_mod(). */
int vcl_set_move(struct vcl_set *set, struct vcl_socket *s, int key, const struct epoll_event *ev, bool is_spent);
int vcl_set_mod(struct vcl_set *set, struct vcl_socket *s, int key, const struct epoll_event *ev);  /* -ENOENT, -EINVAL */
int vcl_set_del(struct vcl_set *set, struct vcl_socket *s, int key);                                /* -ENOENT */
/* Level, edge (EPOLLET), one-shot, exclusive. timeout NULL = for ever. Kernel events and socket events merged fairly.
 * Number of events, 0 on time-out, -EINTR, … */
/* The set is watched itself: by another epoll set, poll or select. From now on its kernel descriptor becomes readable by events of
 * sockets, too. vcl_set_settle(): looks at what has come, so that it is readable only if there is something; true: a socket is ready.
 * vcl_set_has_rung(): is it readable by a descriptor of the library's own? */
void vcl_set_nest(struct vcl_set *set);
bool vcl_set_settle(struct vcl_set *set);
bool vcl_set_has_rung(struct vcl_set *set);
/* One-shot entries of sockets that the kernel serves as well stand in its set, too, and whoever is first tells: there their data is this,
 * made of their key. */
#define VCL_SET_TWIN_DATA 0x701ce11d00000000ull
static inline uint64_t vcl_set_twin_data(int key) { return VCL_SET_TWIN_DATA | (uint32_t)key; }
/* The program's among n events of the kernel's set, with the program's data; how many. */
int vcl_set_sort_out(struct vcl_set *set, struct epoll_event *ev, int n);
int vcl_set_wait(struct vcl_set *set, struct epoll_event *events, int max, const struct timespec *timeout, const sigset_t *sigmask);

struct vcl_pollfd {
    struct vcl_socket *socket; /* NULL: kernel descriptor fd (fd < 0: ignored) */
    int fd;
    short events, revents;     /* POLL* */
};
int vcl_poll_wait(struct vcl_pollfd *fds, unsigned n, const struct timespec *timeout, const sigset_t *sigmask);

/* For pthread_cancel(): a blocking read, write, connect or wait of a thread ends with -ECANCELED, its locks and references given back, when
 * is_interrupted(), asked by that thread before it sleeps, says so. vcl_interrupt() makes a thread that sleeps already ask again. */
void vcl_on_interrupt(bool (*is_interrupted)(void));
void vcl_interrupt(pthread_t thread);

/* A descriptor that is readable while events are in this worker's queues (vppcom_mq_epoll_fd, nested epoll); -errno. */
int vcl_event_fd(void);
/* data.u64 of the doorbell's events in a set's kernel descriptor. A plain epoll_wait() that began before the set existed returns it
 * and must drop it; no program's own value (pointers and descriptors) looks like it. */
#define VCL_SET_DOORBELL_DATA 0xd00be11d00be11edull
/* A descriptor that the library keeps for itself (attach socket, doorbells, ...): preload/ protects it from the program's close(),
 * dup2() and close_range(). Lock-free. The library keeps them at high numbers, out of the way of "lowest free first". */
int vcl_fd_keep(int fd);                  /* makes fd one of those: its new number, or -errno (fd < 0: errno's); fd is closed */
void vcl_fd_close(int *fd);               /* ends one; *fd becomes -1 */
bool vcl_is_internal_fd(int fd);
int vcl_internal_fd_next(unsigned from);  /* the first such descriptor >= from, or -1 */

/* ---- who serves an address (DESIGN section 5) ---- */
enum vcl_serve { VCL_SERVE_STACK, VCL_SERVE_KERNEL, VCL_SERVE_BOTH };
/* By the vcl.conf rules, then by the server's interfaces and routes (asked once, cached, refreshed on change). */
enum vcl_serve vcl_who_serves_bind(uint8_t proto, const struct ip_endpoint *lcl);
/* A stream connect to this loopback address met a listener of the stack a moment ago. */
bool vcl_has_met(struct vcl_socket *s, const struct ip_endpoint *rmt);
enum vcl_serve vcl_who_serves_connect(uint8_t proto, const struct ip_endpoint *rmt);
/* The stack's addresses, by number from 0: -ENOENT when there are no more, or when there is no server. */
struct vcl_address {
    struct ip_addr ip;
    uint8_t prefix_len;                   /* in its own family */
    bool has_link;
    int32_t index;                        /* of the interface */
    char name[32];
};
int vcl_address(uint32_t number, struct vcl_address *out);
/* The name of the rule that decides about it, for reports; NULL: none does. */
const char *vcl_who_by_rule(uint8_t proto, const struct ip_endpoint *e, bool is_remote);

#endif
