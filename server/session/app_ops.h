/* app_ops.h - what the session layer asks of the program's side (server/app in the server, a plain struct in tests)
 * Owner:  struct app_worker is embedded in the implementor's own struct and outlives its sessions (app_worker_detach first).
 * Thread: the worker that owns the session.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_APP_OPS_H
#define HOSTSTACK_SERVER_APP_OPS_H

#include "server/session/transport.h"
#include "svm/svm_fifo.h"

struct app_worker;
struct session_attrs;

/* FIFO memory of one session, given by the app side. */
struct app_fifos {
    struct svm_fifo_prod_line *rx_prod;        /* server writes */
    const struct svm_fifo_cons_line *rx_cons;
    const struct svm_fifo_prod_line *tx_prod;  /* client writes */
    struct svm_fifo_cons_line *tx_cons;        /* server writes */
    const struct svm_region_table *rx_regions; /* where the server's rings are */
    const struct svm_region_table *tx_regions; /* where the client's rings are */
    const struct svm_ring_ops *ring_ops;       /* for rx */
    void *ring_ctx;
    uint32_t rx_max, tx_max;                   /* bytes, powers of two */
    struct svm_msg_slot slot;
};

struct app_ops {
    /* The server's own (a transport that runs over another one): it shares no memory with a program, so that a program of this host is
     * joined to it by the relay (server/local/). */
    bool is_internal;
    uint32_t rx_min;               /* of a FIFO to it: SO_RCVBUF of the program above makes none shorter; a power of two, or 0 */
    int (*fifos_alloc)(struct worker *w, struct app_worker *a, struct app_fifos *out);     /* -ENOBUFS: quota; -ENOMEM */
    /* The same of a slot in use, untouched. NULL: the FIFO halves of a session stay as long as its slot. */
    void (*fifos_at)(struct worker *w, struct app_worker *a, const struct svm_msg_slot *slot, struct app_fifos *out);
    void (*fifos_free)(struct worker *w, struct app_worker *a, const struct svm_msg_slot *slot);
    /* The program worker `client_id` as worker w knows it, NULL = not there or leaving (listeners are copied to all workers). The op
     * itself may be NULL when the stack has one worker. */
    struct app_worker *(*on_worker)(struct worker *w, uint32_t client_id);
    /* LISTENING, where session_listen() said -EINPROGRESS: all workers listen now. */
    void (*listening)(struct worker *w, struct app_worker *a, struct session *s, int error);
    /* Notices to the program; none may call back into the session layer. Queue full: the app side keeps them and retries. */
    void (*accept)(struct worker *w, struct app_worker *a, struct listener *l, struct session *s);
    void (*connected)(struct worker *w, struct app_worker *a, struct session *s, int error);
    void (*connecting)(struct worker *w, struct app_worker *a, struct session *s);         /* SVM_MSG_CONNECTING; may be NULL */
    void (*data)(struct worker *w, struct app_worker *a, struct session *s);               /* event for the rx FIFO is due */
    void (*space)(struct worker *w, struct app_worker *a, struct session *s);              /* event for the tx FIFO is due */
    void (*urgent)(struct worker *w, struct app_worker *a, struct session *s);             /* SVM_MSG_URGENT, if it is due; may be NULL */
    void (*reset)(struct worker *w, struct app_worker *a, struct session *s, int error);
    void (*soft_error)(struct worker *w, struct app_worker *a, struct session *s, int error);
    void (*peer_gone)(struct worker *w, struct app_worker *a, struct session *s);          /* cut-through: the other side died */
    void (*moved)(struct worker *w, struct app_worker *a, struct session *s);              /* cut-through: s->slot is another one */
    void (*claimed)(struct worker *w, struct app_worker *a, struct session *s, uint8_t flags, int error);
    void (*taken)(struct worker *w, struct app_worker *a, struct session *s);              /* another holder uses it now */
    bool (*withdraw)(struct worker *w, struct app_worker *a, struct session *s); /* false: it has taken it, and says so soon. NULL: true */
    /* NULL: APP_HERE. What others can do at once they should. Full: it can be offered nothing more. */
    enum app_presence { APP_ACCEPTS, APP_HERE, APP_QUIET, APP_LEFT, APP_FULL } (*presence)(struct worker *w, struct app_worker *a);
    void (*idle)(struct worker *w, struct app_worker *a, struct session *s);               /* SVM_MSG_IDLE; may be NULL */
    void (*closed)(struct worker *w, struct app_worker *a, struct session *s);             /* last notice; slot freed after it */
    void (*violation)(struct worker *w, struct app_worker *a, const char *what);           /* contract broken: drop this client */
};

/* A client worker on one server worker, as the session layer sees it. */
struct app_worker {
    const struct app_ops *ops;
    uint32_t client_id;
    uint32_t app_id;
    uint32_t ns;                   /* namespace index: local scope; and through its configuration the fib */
    uint16_t fib;                  /* interface table of the namespace's global scope */
    uint32_t scope;                /* SVM_HELLO_SCOPE_* */
    struct session_hold *holds;    /* of all sessions held, see session.h */
    uint32_t n_sessions;           /* holds */
    uint32_t n_rests;              /* sessions it is to answer for with SVM_ATT_REST */
    uint32_t n_fifos;              /* sessions whose FIFOs are in its memory; with n_sessions 0: it may be freed */
    uint32_t n_near;               /* of these: they receive streams from peers that are near; session_share.c */
    uint32_t near_share;           /* bytes that each of them may promise and hold */
};

/* ---- called by the app side (and tests) ---- */
struct session_bind_args {
    uint8_t proto;
    uint8_t flags;                 /* SVM_BIND_*, SVM_CONN_V6, SVM_CONN_SCOPE_* */
    uint32_t ctx;
    struct ip_endpoint lcl;        /* port 0: chosen */
    int32_t device;                /* index of the interface that it is bound to, as programs know it; 0 = none */
    bool is_free;                  /* the address may come later (SVM_BIND_FREE) */
};
int session_bind(struct worker *w, struct app_worker *a, const struct session_bind_args *args, struct session **out);
int session_listen(struct worker *w, struct app_worker *a, struct session *bound, uint32_t backlog);
/* For a transport that runs over `proto`: a listener of it at the same place as `above`, which holds the endpoint. Home worker only. */
int session_listen_below(struct worker *w, struct app_worker *a, const struct listener *above, uint8_t proto, uint32_t ctx,
                         uint32_t backlog, struct session **out);
/* The same over datagrams: a session at lcl, for those from rmt; with no port there, for those that no other session is for. */
struct session_below_args {
    const struct listener *above;  /* its flags and options; NULL: flags, options are set later */
    uint8_t proto, flags;
    bool reserve;                  /* lcl is nobody's yet */
    uint8_t dev;                   /* session_dev() of the one above, without a listener */
    struct ip_endpoint lcl, rmt;
};
int session_open_below(struct worker *w, struct app_worker *a, const struct session_below_args *args, struct session **out);
enum session_arm { SESSION_ARM_OFF = 0, SESSION_ARM_ON = 1, SESSION_ARM_WEAK = 2 }; /* values of SVM_MSG_ARM */
void session_listener_arm(struct worker *w, struct app_worker *a, struct session *listener, uint32_t ctx, enum session_arm arm);
struct session_connect_args {
    uint8_t proto;
    uint8_t flags;
    uint32_t ctx;
    struct session *bound;         /* or NULL */
    const struct session_attrs *attrs; /* session_attr_early(), NULL = none; not looked at with `bound`, which has its own */
    uint32_t layer_cfg;            /* see struct session */
    uint8_t how;                   /* enum svm_connect_how */
    int32_t device;                /* as above; with `bound` of datagram sessions only: the one to look for the peer by */
    struct ip_endpoint lcl, rmt;
};
int session_connect(struct worker *w, struct app_worker *a, const struct session_connect_args *args, struct session **out);
void session_shutdown(struct worker *w, struct session *s, int how);
void session_close(struct worker *w, struct app_worker *a, struct session *s, int linger_s);
void session_return(struct worker *w, struct app_worker *a, struct session *s);
void session_tx_kick(struct worker *w, struct session *s);       /* SVM_MSG_DATA arrived */
void session_rx_space_kick(struct worker *w, struct session *s); /* SVM_MSG_SPACE arrived */
int session_attr_set(struct worker *w, struct session *s, uint8_t attr, const void *val, uint32_t len);
int session_attr_get(struct worker *w, struct session *s, uint8_t attr, void *val, uint32_t *len);
/* What was set on a listener is so on every worker when done() is called, on w, which then has x again; without it when the worker ends: x is
 * from malloc(). False: it is so already. */
struct session_settled {
    struct session_settled *next;
    void (*done)(struct worker *w, struct session_settled *x);
};
bool session_settle(struct worker *w, const struct session *s, struct session_settled *x);
/* Before there is a session: put down for the session_connect() that follows, so that its first packet is as the program wants it.
 * *early: the caller's, NULL at first, to be freed with free(). */
int session_attr_early(struct session_attrs **early, uint8_t attr, const void *val, uint32_t len);
void session_attrs_forget(struct session_attrs *early);          /* nothing is put down there any more; NULL is allowed */
bool session_is_held_by(const struct session *s, const struct app_worker *a);
/* Adds `a` as a further holder (fork): 0, -ENOMEM. All sessions of `parent` that are there now. */
int session_hold_all(struct worker *w, struct app_worker *parent, struct app_worker *a);
int session_hold(struct worker *w, struct session *s, struct app_worker *a, uint32_t ctx); /* one more holder: 0, -ENOMEM, -ECONNABORTED */
/* A holder wants to use the session: FIFOs in its memory, events go to it as `ctx`. ops->claimed() tells, now or later. */
void session_claim(struct worker *w, struct app_worker *a, struct session *s, uint32_t ctx, uint8_t question);
void session_unmapped(struct worker *w, struct app_worker *a, struct session *s, const struct svm_msg_slot *slot); /* before that: a cannot map it */
void session_unlink(struct worker *w, struct app_worker *a, struct session *s, const struct svm_msg_slot *slot); /* SVM_MSG_UNLINK */
/* SVM_ATT_REST: takes the fd unless it says an error. SVM_ATT_REST_GET: a copy, -ENOENT = none. SVM_MSG_REST_READ. */
int session_rest_put(struct session *s, struct app_worker *a, int fd, uint32_t *id);
int session_rest_get(const struct session *s, uint32_t *id);
void session_rest_drop(struct session *s);
bool session_holds_any(const struct session *s, const struct app_worker *a); /* also when it has let go of a cut-through end */
uint32_t session_ctx(const struct session *s, const struct app_worker *a); /* under which a holder knows it */
uint8_t session_question(const struct session *s, const struct app_worker *a); /* its number of its last claim */
/* The program has named an accepted session. False: it is not waiting for that. */
bool session_accepted(struct worker *w, struct app_worker *a, struct session *s, uint32_t ctx);
bool session_is_carried(const struct session *s); /* SCTP, was cut-through: see SVM_CLAIM_CARRIED */
struct session_hold *session_hold_of(const struct session *s, const struct app_worker *a);
uint32_t listener_ctx(const struct listener *l, const struct app_worker *a); /* a's number of it */
struct session *session_from_handle(struct worker *w, struct svm_handle h);  /* NULL = stale */
void app_worker_detach(struct worker *w, struct app_worker *a);  /* the client has died: closes its sessions in order */

#endif
