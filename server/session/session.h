/* session.h - a program's end of a connection, a listener or a bound endpoint
 * Owner:  the worker's session pool; a session is freed when its last holder has closed it and its connection is gone.
 * Thread: owning worker only.
 * Memory: process-private; growable arena, addresses are stable; handles carry a generation.
 * Errors: see transport.h and app_ops.h. */
#ifndef HOSTSTACK_SERVER_SESSION_H
#define HOSTSTACK_SERVER_SESSION_H

#include "server/session/app_ops.h"
#include "server/worker/timer_wheel.h"

/* State of a session.
 *
 *   FREE -> BOUND -> LISTENING                    (bind, listen)
 *   FREE -> CONNECTING -> ESTABLISHED             (connect; error: DEAD)
 *   FREE -> ACCEPTING -> ESTABLISHED              (session_accept; ESTABLISHED when a program took it)
 *   ESTABLISHED -> CLOSING -> FREE                (last holder closed; transport finishes)
 *   any with connection -> DEAD -> FREE           (reset by the network; freed by the holder's close)
 */
enum session_state {
    SESSION_FREE, SESSION_BOUND, SESSION_LISTENING, SESSION_CONNECTING, SESSION_ACCEPTING, SESSION_ESTABLISHED, SESSION_CLOSING,
    SESSION_DEAD,
};

/* One program's hold of a session: it closes with the last one. */
struct session_hold {
    struct session *s;
    struct app_worker *a;
    struct session_hold *app_next, *app_prev; /* all holds of a program worker */
    struct session_hold *s_next;              /* all holds of a session */
    uint32_t ctx;                             /* the number under which a knows it */
    bool wants;                               /* its claim waits: for the user's turn to be over, cut-through for an answer of the other end */
    uint8_t question;                         /* its number of the last claim */
    bool closed;                              /* cut-through: has let go, but the other end may still read in its memory */
};

/* Bytes written and not acknowledged that a former user's memory held. */
struct session_rest {
    uint32_t off, len;
    uint8_t bytes[];
};

/* What few sessions have; allocated at first need, freed with the session. */
struct session_rare {
    struct session_rest *tx_rest;      /* comes before what is in `tx`; NULL = none */
    struct session_old *old;           /* slots of former users that still hold it */
    struct local_old *old_slots;       /* cut-through: those it had before it moved; the other program may still write there */
    struct local_left *left_slots;     /* was cut-through: those that programs may look at still */
    struct session_attrs *attrs;       /* attributes set while there was no connection; NULL = none */
    struct session_option *option;     /* parts of an option (session_option.c); NULL = none under way */
    void *transport_data;              /* the transport's own, see session_gone() */
    struct app_worker *rest_by;        /* the holder that answers for rest_fd; NULL with rest_fd 0 */
    int rest_fd;                       /* SVM_ATT_REST; + 1, 0 = none */
    uint32_t rest_id;                  /* its number */
    uint64_t given_us;                 /* when its user claimed it, and others hold it; 0 = never */
    struct timer_node turn_timer;      /* other holders who wait until that user has had its turn */
    struct session *turn_of;           /* whose rare this is, for the timer */
};

/* The server's halves; a cut-through session has none. */
struct session_fifos {
    struct svm_fifo_prod rx;
    struct svm_fifo_cons tx;
};

struct session {
    struct session_fifos *fifos;       /* valid with has_fifos; NULL = never had any, or asleep */
    struct transport_conn *conn;       /* NULL = none (yet, or any more) */
    const struct transport_ops *ops;
    struct app_worker *app;            /* whom events go to; NULL = nobody (any more, or accepted and no armed worker yet) */
    struct app_worker *mem;            /* whose memory the FIFOs are in (or asleep); NULL with has_fifos: server-private (session_memory.c) */
    struct session *evt_next, *tx_next; /* on the worker's lists of due events and of sessions to send */
    struct session_rare *rare;         /* NULL = has nothing of that */
    union {
        uint32_t rx_edge;              /* stream position up to which the peer may send, as was promised */
        uint32_t wait_until_s;         /* local_in_line: when it gives up, on the worker's clock */
    };
    bool has_fifos, on_evt_list, on_tx_list;
    uint8_t state : 6;                 /* enum session_state */
    bool rx_near : 1;                  /* session_rx_is_near() */
    bool rx_shares : 1;                /* session_share.c: counted in mem->n_near */
    uint8_t proto : 7;
    bool rx_modest : 1;                /* session_rx_modest() */
    uint8_t flags;                     /* SVM_BIND_*, SVM_CONN_* */
    uint8_t connect_how : 5;           /* enum svm_connect_how */
    bool rx_news : 1, tx_news : 1;     /* on_evt_list: since bytes or a FIN came (local: untold), since bytes of its program were acknowledged */
    bool is_asleep : 1;                /* its slot has its FIFOs, the server's halves are gone until session_wake() */
    uint8_t dev;                       /* SO_BINDTODEVICE: see interface_dev(); 0 = none */
    uint8_t way_dev;                   /* likewise, that it connects by: datagrams may have chosen one for that (ip(7) IP_UNICAST_IF) */
    uint16_t fib;
    uint32_t ctx;
    struct svm_handle handle;
    struct svm_msg_slot slot;
    bool is_queued : 1, lost_bytes : 1, rx_fin : 1, tx_fin_told : 1, rd_closed : 1;
    bool rx_streams : 1;               /* session_rx_is_stream() */
    bool is_branch : 1;                /* SVM_BIND_SEQPACKET: it began at `origin`, nobody accepted it */
    bool was_shared : 1;               /* several programs have held it */
    bool local : 1;                    /* cut-through: the server has no part in its FIFOs */
    bool local_waiting : 1;            /* cut-through: its PAIR segment is being made */
    bool local_in_line : 1;            /* cut-through: waits for room in the backlog (local_wait.c) */
    bool local_counts : 1;             /* cut-through: its peer has gone, the backlog counts it until a program has named it */
    bool local_moving : 1;             /* cut-through: its peer gave it back, it is offered to others */
    bool connect_waits : 1;            /* CONNECTING: nothing is sent before the program has written */
    bool local_joining : 1;            /* cut-through: a PAIR segment is being made for somebody who claims it */
    uint8_t local_side : 1;            /* cut-through: of its slot */
    int16_t error;
    int linger_s;                      /* SVM_MSG_CLOSE: > 0, the program waits for CLOSED; or SVM_CLOSE_UNREAD */
    uint32_t layer_cfg;                /* what its program chose for the transport: TLS a configuration, TCP keys; 0 = nothing */
    struct session *peer;              /* cut-through: the other end, same worker; NULL = gone */
    struct app_pair *pair;             /* cut-through */
    struct app_worker *local_user;     /* cut-through: who has used it in its present slot; NULL = has gone */
    struct session_hold *holds;
    struct session_hold hold0;         /* first holder; further ones (fork) are allocated */
    struct session *queue_next;        /* waiting in a listener for somebody who accepts */
    struct listener *listener;         /* own: LISTENING, and bound datagram sessions */
    struct svm_handle from;            /* listener in whose count of waiting ones it is */
    struct svm_handle origin;          /* listener that it was accepted from: it may be given back there; SVM_BIND_SEQPACKET: began at */
    struct session_endpoint *endpoint; /* reserved local endpoint; NULL = none of its own */
    struct ip_endpoint lcl, rmt;
};
static_assert(sizeof(struct session) <= 280, "an idle connection stays small: a cut-through one has two of them");

/* NULL: no memory. */
struct session_rare *session_rare_get(struct session *s);

/* Waits for somebody who accepts it. Reset meanwhile it still does, as on Linux. */
static inline bool session_is_unnamed(const struct session *s)
{
    return s->state == SESSION_ACCEPTING || (s->state == SESSION_DEAD && s->from.gen && !s->local);
}

static inline struct session_rest *session_tx_rest(const struct session *s)
{
    return hs_unlikely(s->rare != NULL) ? s->rare->tx_rest : NULL;
}
static inline struct session_attrs *session_attrs(const struct session *s) { return s->rare ? s->rare->attrs : NULL; }
static inline void *session_transport_data(const struct session *s) { return s->rare ? s->rare->transport_data : NULL; }

#endif
