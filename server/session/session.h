/* session.h - a program's end of a connection, a listener or a bound endpoint
 * Owner:  the worker's session pool; a session is freed when its last holder has closed it and its connection is gone.
 * Thread: owning worker only.
 * Memory: process-private; growable arena, addresses are stable; handles carry a generation.
 * Errors: see transport.h and app_ops.h. */
#ifndef HOSTSTACK_SERVER_SESSION_H
#define HOSTSTACK_SERVER_SESSION_H

#include "server/session/app_ops.h"

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

struct session {
    struct svm_fifo_prod rx;
    struct svm_fifo_cons tx;
    struct transport_conn *conn;       /* NULL = none (yet, or any more) */
    const struct transport_ops *ops;
    struct app_worker *app;            /* whom events go to; NULL = nobody yet (accepted, no armed worker) */
    struct listener *listener;         /* own, when LISTENING; the one it came from, when ACCEPTING */
    struct session *app_next, *app_prev;
    struct session *evt_next, *tx_next; /* on the worker's lists of due events and of sessions to send */
    struct svm_handle handle;
    struct svm_msg_slot slot;
    struct ip_endpoint lcl, rmt;
    uint32_t ctx;
    uint32_t n_holders;
    uint8_t state;                     /* enum session_state */
    uint8_t proto;
    uint8_t flags;                     /* SVM_BIND_*, SVM_CONN_* */
    bool has_fifos, on_evt_list, on_tx_list, rx_event_due, rx_fin, local;
    int error;
    struct session *peer;              /* cut-through: the other end, same worker */
};

#endif
