/* sim_app.h - a program inside the test: listens, connects, writes, reads and closes over heap memory, without a server
 *
 * One sim_app sits on one worker of a stack. All notices of the session layer are noted in the socket; nothing blocks.
 * Bytes: sim_sock_write_pattern()/sim_sock_read_check() generate and check a byte stream that depends on the position and a
 * seed, so that each byte lost, doubled or swapped is seen.
 *
 * Owner:  the test; sim_app_destroy() before stack_destroy().
 * Errors: 0 or -errno; criterion is not used here. */
#ifndef HOSTSTACK_TESTS_SIM_APP_H
#define HOSTSTACK_TESTS_SIM_APP_H

#include "server/session/session.h"
#include "server/worker/worker.h"

struct sim_app;
struct sim_sock {
    struct sim_app *app;
    struct sim_sock *next, *prev;      /* on the app's list */
    struct sim_sock *accept_next;      /* waiting in the listener */
    struct sim_sock *accept_head, **accept_tail;
    struct sim_sock *accept_from;      /* whose queue it waits in */
    uint32_t ctx;
    struct session *session;           /* NULL after the notice "closed" */
    struct svm_handle handle;
    uint8_t proto;
    bool connected;                    /* CONNECTED with error 0 came, or accepted */
    bool connect_done;
    bool is_reset, is_closed, close_called;
    int connect_error, reset_error, soft_error;
    unsigned n_data_events, n_space_events;
    struct svm_fifo_cons rx;           /* the program's halves */
    struct svm_fifo_prod tx;
    struct sim_fifo_mem *mem;
    uint64_t written, read;            /* stream positions of the pattern */
    void *user;                        /* the test's */
};
struct sim_app_options {
    uint32_t rx_max, tx_max;           /* 0 = 64 KiB; rounded up to powers of two */
    bool no_auto_accept;               /* do not arm listeners at listen */
    uint32_t client_id;                /* 0 = 1 */
    bool is_internal;                  /* as the server's own programs: its ends meet others of this host through the server, and only those */
};

int sim_app_create(struct worker *w, const struct sim_app_options *opt, struct sim_app **out);
void sim_app_destroy(struct sim_app *a);        /* as if the program had died: closes everything in order */
struct app_worker *sim_app_worker(struct sim_app *a);
struct worker *sim_app_worker_of(const struct sim_sock *s);  /* the worker that its program sits on */
unsigned sim_app_n_socks(const struct sim_app *a);

int sim_listen(struct sim_app *a, uint8_t proto, const struct ip_endpoint *lcl, uint32_t backlog, struct sim_sock **out);
int sim_bind(struct sim_app *a, uint8_t proto, const struct ip_endpoint *lcl, struct sim_sock **out); /* UDP: ready for use */
/* From now on: enum svm_connect_how. With Fast Open a socket whose session waits for bytes may be written to before it is connected. */
void sim_app_connect_how(struct sim_app *a, uint8_t how);
/* From now on: what is connected has this option from its first packet on. */
int sim_app_connect_attr(struct sim_app *a, uint8_t attr, int32_t value);
void sim_app_device(struct sim_app *a, int32_t index); /* from now on: what is bound or connected is bound to that interface; 0 = none */
int sim_connect(struct sim_app *a, uint8_t proto, const struct ip_endpoint *lcl, const struct ip_endpoint *rmt,
                struct sim_sock **out);          /* lcl NULL: chosen */
struct sim_sock *sim_accept(struct sim_sock *listener);  /* NULL = none waiting */
int64_t sim_write(struct sim_sock *s, const void *data, uint32_t len);  /* bytes taken, 0 = full; -EPIPE, or the reset's error */
int64_t sim_read(struct sim_sock *s, void *buf, uint32_t len);  /* bytes; -EAGAIN none; 0 end of stream; the reset's error */
int64_t sim_write_pattern(struct sim_sock *s, uint32_t seed, uint32_t len);
int64_t sim_read_check(struct sim_sock *s, uint32_t seed, uint32_t max);  /* as sim_read(); -EILSEQ: a wrong byte */
uint32_t sim_readable(struct sim_sock *s);
bool sim_at_eof(struct sim_sock *s);             /* FIN seen and all read */
/* UDP: one record. rmt NULL: the connected peer. */
int sim_sendto(struct sim_sock *s, const struct ip_endpoint *rmt, const void *data, uint32_t len);  /* 0, -EAGAIN full */
int64_t sim_recvfrom(struct sim_sock *s, struct ip_endpoint *from, void *buf, uint32_t len);       /* -EAGAIN none */
int sim_reconnect(struct sim_sock *s, const struct ip_endpoint *rmt);  /* UDP: sets the peer of a bound socket */
void sim_shutdown(struct sim_sock *s, int how);  /* SHUT_RD, SHUT_WR, SHUT_RDWR */
void sim_close(struct sim_sock *s, int linger_s);/* -1 none, 0 reset; the sock stays valid until sim_sock_free() */
void sim_sock_free(struct sim_sock *s);          /* closes if need be; afterwards the pointer is gone */

#endif
