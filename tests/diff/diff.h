/* diff.h - what the files of the differential tester share
 * Owner:  one `struct diff_run` in main(); a sequence starts from its seed alone.
 * Thread: the main thread logs and compares; helper threads make one call and hand its answer over.
 * Memory: process-private.
 * Errors: a difference sets run.failed; ops look at it through diff_log()'s result. */
#ifndef HOSTSTACK_TESTS_DIFF_H
#define HOSTSTACK_TESTS_DIFF_H

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum diff_limits {
    DIFF_SOCKS = 12,
    DIFF_CONNS = 64,             /* of one sequence */
    DIFF_SETS = 2,
    DIFF_IN_FLIGHT = 24 << 10,   /* bytes that fit every buffer of every stack */
    DIFF_MAX_IO = 6000,
    DIFF_LINE = 1024,
    DIFF_HISTORY = 400,
    DIFF_RECV_TIMEOUT_US = 2000, /* SO_RCVTIMEO of blocking sockets: an empty one answers EAGAIN */
};

struct diff_sock {
    int fd;                      /* -1 = free */
    bool udp, v6, nonblock, listening, bound;
    bool refused;                /* a connect failed: Linux gives back a port of its own choice then, we keep it */
    bool passed;                 /* by SCM_RIGHTS: that a connect in progress has not been asked after since, we forget */
    bool ended;                  /* shut before it was connected, or no listener any more: Linux keeps traces of that which we do not */
    uint8_t where;               /* 0 = address A (the stack's), 1 = address B (the kernel's); alike on loopback */
    uint32_t file;               /* alike for copies of a descriptor */
    int conn;                    /* in conns, or -1 */
    uint8_t end;                 /* which end of the connection */
    uint16_t port;               /* local, network order; 0 = none */
};
struct diff_conn {
    uint32_t in_flight[2];       /* written by that end and not read by the other */
    uint32_t sends[2];           /* calls by which that end has written */
};
struct diff_set {
    int fd;                      /* -1 = none */
    uint32_t sends_seen[DIFF_SOCKS];  /* by slot, of edge-triggered entries: the peer's calls when last told */
};

struct diff_run {
    uint64_t rng, seed;
    bool compare, verbose, failed, wire;
    bool few;                    /* only the calls that there were first: what a seed of then meant, it means */
    const char *addr[2][2];      /* [where][is v6] */
    struct diff_sock sock[DIFF_SOCKS];
    struct diff_conn conns[DIFF_CONNS];
    int n_conns;
    uint32_t n_files;
    struct diff_set set[DIFF_SETS];
    uint32_t next_byte;          /* what is sent depends on its position in the sequence */
    char line[DIFF_LINE];        /* compare: the log's next line */
    bool has_line;
    char history[DIFF_HISTORY][DIFF_LINE];
    int n_history;
    int mem_fd;                  /* source of sendfile */
    int wait_ms;                 /* until a state that the log has must have come */
};

/* diff_log.c */
uint32_t diff_rand(struct diff_run *r, uint32_t below);
bool diff_chance(struct diff_run *r, unsigned percent);
const char *diff_err(long result, int error);    /* "-> 5", "-> -1 EAGAIN"; static buffers in turn */
/* One line of the log; compare: must be the log's next. False: the sequence has failed. */
bool diff_log(struct diff_run *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Lines whose right value may take a moment: make(r, out) again and again until it is what the log says. */
bool diff_log_until(struct diff_run *r, void (*make)(struct diff_run *r, char *out, size_t size, void *arg), void *arg);
bool diff_next_line(struct diff_run *r);         /* compare: the log's next is in `line`; false: none */
void diff_settle(struct diff_run *r);
void diff_begin(struct diff_run *r, uint64_t seed);
void diff_end(struct diff_run *r);               /* compare: skips what the log has left of this sequence */
const char *diff_events(uint32_t ev);
uint32_t diff_sum(const void *p, size_t len);
int64_t diff_now_ms(void);

/* diff_sock.c */
int diff_slot_any(struct diff_run *r);           /* a used slot, or -1 */
int diff_slot_with(struct diff_run *r, bool (*fits)(const struct diff_run *r, const struct diff_sock *s));
int diff_slot_add(struct diff_run *r, int fd, bool udp, bool v6, uint8_t where);  /* its number, or -1: no room, fd closed */
void diff_slot_drop(struct diff_run *r, int slot);
void diff_slot_refresh(struct diff_run *r, int slot);
bool diff_is_conn(const struct diff_run *r, const struct diff_sock *s);
socklen_t diff_addr(const struct diff_run *r, uint8_t where, bool v6, uint16_t port, struct sockaddr_storage *ss);
const char *diff_addr_name(const struct diff_run *r, bool udp, const struct sockaddr_storage *ss, socklen_t len);
void diff_set_blocking(struct diff_run *r, int slot, bool blocking);
void diff_op_socket(struct diff_run *r);
void diff_op_bind(struct diff_run *r);
void diff_op_listen(struct diff_run *r);
void diff_op_connect(struct diff_run *r);
void diff_op_accept(struct diff_run *r);
void diff_op_pair(struct diff_run *r);
bool diff_is_listener(const struct diff_run *r, const struct diff_sock *s);
void diff_op_names(struct diff_run *r);

/* diff_io.c */
void diff_op_send(struct diff_run *r);
void diff_op_recv(struct diff_run *r);
void diff_op_fill(struct diff_run *r);
void diff_op_mmsg(struct diff_run *r);
void diff_op_file(struct diff_run *r);
int diff_talker(struct diff_run *r);              /* a slot that can send and receive, mostly */
const char *diff_flags(int flags);               /* MSG_*; static buffers in turn */
int diff_other_end(const struct diff_run *r, const struct diff_sock *s);   /* slot of the other end of its connection, or -1 */
uint32_t diff_room(const struct diff_run *r, const struct diff_sock *s, uint32_t want);
void diff_fill_bytes(struct diff_run *r, void *buf, size_t len);
void diff_count_sent(struct diff_run *r, const struct diff_sock *s, long n);
void diff_count_read(struct diff_run *r, const struct diff_sock *s, long n);

/* diff_fd.c */
void diff_op_close(struct diff_run *r);
void diff_op_shutdown(struct diff_run *r);
void diff_op_dup(struct diff_run *r);
void diff_op_fcntl(struct diff_run *r);
void diff_op_ioctl(struct diff_run *r);
void diff_op_getsockopt(struct diff_run *r);
void diff_op_setsockopt(struct diff_run *r);
void diff_op_wrong(struct diff_run *r);

/* diff_wait.c */
void diff_op_poll(struct diff_run *r);
void diff_op_select(struct diff_run *r);
void diff_op_epoll_ctl(struct diff_run *r);
void diff_op_epoll_wait(struct diff_run *r);

/* diff_more.c */
void diff_op_wrong_more(struct diff_run *r);
void diff_op_stat(struct diff_run *r);
void diff_op_owner(struct diff_run *r);
void diff_op_lowat(struct diff_run *r);
void diff_op_linger(struct diff_run *r);
void diff_op_unconnect(struct diff_run *r);
void diff_op_range(struct diff_run *r);
void diff_op_timed(struct diff_run *r);
void diff_op_vectors(struct diff_run *r);
void diff_op_tee(struct diff_run *r);
void diff_op_stdio(struct diff_run *r);
void diff_more_init(void);

/* diff_pass.c */
void diff_op_pass(struct diff_run *r);
void diff_op_child(struct diff_run *r);
void diff_op_thread_ends(struct diff_run *r);
void diff_op_thread_accepts(struct diff_run *r);
void diff_op_nest(struct diff_run *r);
void diff_op_control(struct diff_run *r);
void diff_op_control_recv(struct diff_run *r);

/* diff_proc.c */
void diff_op_thread(struct diff_run *r);
void diff_op_fork(struct diff_run *r);
void diff_op_signal(struct diff_run *r);
void diff_signals_init(void);
int diff_quiet_pair(struct diff_run *r, int *other);
int diff_open_stream(struct diff_run *r);         /* both ends are there, nothing has ended; -1: none */
int diff_let_block(int fd, long sec);            /* for one call; diff_let_be() gets what it returns */
void diff_let_be(int fd, int flags);
/* Takes the answer of a child, of len bytes, from the pipe that it writes to, and its end; *status as waitpid() has it. False: it gave none. */
bool diff_child_ends(struct diff_run *r, pid_t pid, const int pipe[2], void *answer, size_t len, int *status);
void diff_attend(struct diff_run *r, int until); /* polls all sockets until that descriptor is readable */
int diff_sigpipes(void);                         /* since the last call */

#endif
