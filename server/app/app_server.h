/* app_server.h - clients of this server: attach, segments, namespaces, quotas
 *
 *   control thread: app.sock accept -> HELLO -> client with bank 0, queues, doorbells -> worker_call(app_port_add) on each worker
 *   worker:         app_port_input(): queue messages -> session layer -> notices back into the queues
 *   hang-up:        worker_call(app_port_detach) on each worker -> sessions end in order -> last one frees the segments
 *
 * Owner:  struct stack (stack->apps); created before the workers run, destroyed after they stopped.
 * Thread: control thread, but for what app_port.h says.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_APP_SERVER_H
#define HOSTSTACK_SERVER_APP_SERVER_H

#include <sys/types.h>
#include "server/worker/worker.h"

struct app_server;
struct hs_log;
struct json_t;

enum { APP_MAX_NAMESPACES = 64 };

struct app_namespace {          /* index 0 is the default one, named "" */
    char name[64];
    uint64_t secret;
    uint16_t fib;               /* its interface table (global scope) */
};

struct app_quota {              /* a client process; 0 = unlimited */
    uint32_t max_sessions;
    uint32_t max_listeners;
    uint64_t max_memory;        /* bytes of ring memory the server gives for receive rings */
    uint32_t max_clients;       /* of the whole server */
};

struct app_server_options {
    const char *socket_path;    /* app.sock; the directory exists */
    mode_t socket_mode;         /* 0660 */
    gid_t socket_gid;           /* (gid_t)-1 = unchanged */
    uint64_t segment_size;      /* ring area of bank 0, bytes (session { segment-size }) */
    uint64_t add_segment_size;  /* of every further bank */
    uint32_t evt_q_length;      /* most messages a client may ask for per queue */
    uint32_t rx_fifo_max, tx_fifo_max; /* most a client may ask for, bytes, powers of two */
    struct app_quota quota;
    unsigned n_namespaces;      /* >= 1 */
    struct app_namespace ns[APP_MAX_NAMESPACES];
    const struct hs_log *log;
};
void app_server_options_default(struct app_server_options *o);

int app_server_create(struct stack *s, const struct app_server_options *o, struct app_server **out); /* sets s->apps */
void app_server_destroy(struct app_server *a);   /* workers have stopped; removes the socket */
int app_server_fd(struct app_server *a);         /* epoll descriptor: readable when app_server_poll() has work */
void app_server_poll(struct app_server *a);      /* never blocks */
void app_server_net_changed(struct app_server *a); /* addresses or routes changed: clients ask again (SVM_ATT_WHO) */
/* Rows for `show app`: clients with sessions, segments, descriptors; and the totals. */
void app_server_show(struct app_server *a, struct json_t *obj);

/* Called by cut-through (server/local) on a worker: makes, or finds, the PAIR segment of two client workers and gives a free slot of it.
 * The answer comes on the same worker, maybe at once: done(w, arg, pair, slot), pair NULL with -errno in slot on failure. */
struct app_worker;
struct app_pair;
void app_pair_get(struct worker *w, struct app_worker *side0, struct app_worker *side1,
                  void (*done)(struct worker *w, void *arg, struct app_pair *pair, int slot), void *arg);
void app_pair_put(struct worker *w, struct app_pair *pair, int slot);  /* the slot is free again */
uint32_t app_pair_seg_id(const struct app_pair *pair);
int app_pair_side(const struct app_pair *pair, const struct app_worker *a); /* 0 or 1; both the same worker: 0 */

#endif
