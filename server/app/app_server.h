/* app_server.h - the server's side of programs: attach socket, clients, namespaces, quotas, their memory
 * Owner:  struct stack (stack->apps); made after stack_create() and before workers start, destroyed after they stopped.
 * Thread: control thread, unless said otherwise. Workers are reached through worker_call().
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_SERVER_APP_SERVER_H
#define HOSTSTACK_SERVER_APP_SERVER_H

#include "server/worker/worker.h"
#include "svm/svm_proto.h"

struct app_server;
struct json_t;

struct app_namespace_options {
    char name[SVM_NAMESPACE_MAX];
    uint64_t secret;             /* 0 = none asked for */
    uint16_t fib;                /* interface table of its global scope */
};

struct app_server_options {
    const char *socket_path;     /* app.sock; a stale one is replaced, a served one is -EADDRINUSE */
    int socket_mode;             /* 0 = 0660 */
    int64_t socket_gid;          /* group that owns it, -1 = unchanged */
    const struct app_namespace_options *namespaces; /* the default one (empty name, fib 0, no secret) always exists */
    unsigned n_namespaces;
    uint32_t segment_mb;         /* ring area of bank 0; 0 = 64 */
    uint32_t add_segment_mb;     /* of further banks; 0 = 64 */
    uint32_t evt_queue_len;      /* messages per queue; 0 = 1024 */
    uint32_t max_fifo_size;      /* bytes, upper bound of what clients may ask for; 0 = 16 MiB */
    /* quotas of one client worker; 0 = default */
    uint32_t max_clients;        /* of the server: 1024 */
    uint32_t max_sessions;       /* 1 Mi */
    uint32_t max_listeners;      /* 65536 */
    uint32_t max_banks;          /* 16 */
};

int app_server_create(struct stack *s, const struct app_server_options *opt, struct app_server **out);
int app_server_fd(const struct app_server *as);    /* readable when app_server_poll() has something to do */
void app_server_poll(struct app_server *as);       /* never blocks */
/* Closes the socket and all clients. Workers must not run. */
void app_server_destroy(struct app_server *as);
/* Addresses or routes have changed: clients ask again (svm_server_page.net_generation). */
void app_server_net_changed(struct app_server *as);

/* What the server holds for programs: back to what it was before once all clients have gone and their sessions have ended. */
struct app_server_counts {
    uint32_t clients;        /* attached client workers */
    uint32_t apps;
    uint32_t zombies;        /* gone, but with sessions that still send what was written */
    uint32_t segments;       /* mapped: banks count two, PAIR one */
    uint32_t pairs;
    uint32_t sessions;       /* of all workers, with those nobody has accepted */
    uint32_t listeners;
    uint32_t fork_tokens;    /* children announced that have not attached yet */
    uint32_t descriptors;    /* held for clients */
    uint64_t segment_bytes;
    uint64_t clients_ever, violations;
};
void app_server_get_counts(struct app_server *as, struct app_server_counts *out);
void app_server_show(struct app_server *as, struct json_t *obj);  /* counts, and "clients": one object each */

/* Cut-through (server/local), on a worker: finds or makes the PAIR segment of two client workers and gives a free slot of it.
 * done comes on the same worker, maybe at once; pair NULL: no segment, slot is the -errno. Both clients have been sent the
 * segment when done comes. A client worker that goes away meanwhile: -ECONNREFUSED. */
struct app_worker;
struct app_pair;
/* Where one of them could not map such a segment of late, slot is -ENOMEM at once, unless `insist`. */
void app_pair_get(struct worker *w, struct app_worker *side0, struct app_worker *side1, bool insist,
                  void (*done)(struct worker *w, void *arg, struct app_pair *pair, int slot), void *arg);
void app_pair_unmapped(struct worker *w, struct app_pair *pair, struct app_worker *a); /* a says that it cannot map it */
bool app_pair_is_unmapped(const struct app_pair *pair, const struct app_worker *a);
void app_pair_put(struct worker *w, struct app_pair *pair, int slot);      /* done with the slot: free when all are who count on it */
void app_pair_hold(struct app_pair *pair, uint32_t slot);                 /* one more does */
uint32_t app_pair_seg_id(const struct app_pair *pair);
struct svm_slot_pair *app_pair_slot(const struct app_pair *pair, uint32_t slot); /* SHARED */
struct svm_region app_pair_region(const struct app_pair *pair);
int app_pair_side(const struct app_pair *pair, const struct app_worker *a); /* 0 or 1; one worker on both sides: 0 connects, 1 accepts */

#endif
