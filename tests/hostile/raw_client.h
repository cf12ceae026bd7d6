/* raw_client.h - a client of the attach protocol without manners: just enough to be let in and hold segments
 * Owner:  the caller; raw_detach() closes and unmaps everything.
 * Thread: one.
 * Memory: the mapped segments are SHARED; this side is the one not to be trusted.
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_TESTS_RAW_CLIENT_H
#define HOSTSTACK_TESTS_RAW_CLIENT_H

#include "svm/svm_fifo.h"
#include "svm/svm_msgq.h"

enum { RAW_MAX_BANKS = 8, RAW_MAX_PAIRS = 16 };

struct raw_map {
    uint8_t *base;
    uint64_t size;
    int fd;
    uint32_t seg_id;
};

struct raw_client {
    int sock;
    int doorbell_rd;                               /* ours */
    int doorbell_wr[SVM_MAX_SERVER_WORKERS];       /* the server's */
    int peer_doorbell[RAW_MAX_PAIRS];
    unsigned n_workers, n_banks, n_pairs;
    struct raw_map srv, p;
    struct raw_map s[RAW_MAX_BANKS], c[RAW_MAX_BANKS];
    struct raw_map pair[RAW_MAX_PAIRS];
    struct svm_msgq_prod to_server[SVM_MAX_SERVER_WORKERS];
    struct svm_msgq_cons to_client[SVM_MAX_SERVER_WORKERS];
    uint32_t last_rung[SVM_MAX_SERVER_WORKERS];
    struct svm_att_welcome welcome;
    uint64_t last_ok;                              /* value of the last SVM_ATT_OK: a fork token */
};

int raw_connect(const char *path);                 /* the socket, or -errno */
int raw_attach(const char *path, const struct svm_att_hello *hello, struct raw_client *rc);
int raw_attach_on(int sock, const struct svm_att_hello *hello, struct raw_client *rc); /* takes the socket */
void raw_detach(struct raw_client *rc);
int raw_send(int sock, const void *buf, size_t len, const int *fds, unsigned n_fds);
/* Takes what the server sent, maps segments. 0, or -EPIPE: the server has hung up. */
int raw_poll(struct raw_client *rc);
int raw_post(struct raw_client *rc, const struct svm_msg *m);                        /* to the first worker */
int raw_await(struct raw_client *rc, uint8_t type, struct svm_msg *out);             /* the next one of that type, 0: of any; -ETIMEDOUT after 20 s */
int raw_fork(struct raw_client *rc, struct svm_att_hello *hello, struct raw_client *child); /* another holder of all that rc holds */
void raw_ring(struct raw_client *rc, unsigned w, bool always);
/* What the server must never allow: writable mappings of what is read-only, changed sizes. Number of things it did allow. */
int raw_check_seals(const struct raw_client *rc);

#endif
