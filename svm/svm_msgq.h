/* svm_msgq.h - single-producer single-consumer ring of 64-byte messages over shared memory
 * Owner:  one half per side, embedded where the queue is used.
 * Thread: one thread at a time per half.
 * Memory: the lines and entries are SHARED, the peer is untrusted; a message is copied before it is looked at.
 * Errors: 0 or -errno; -EPROTO = counters out of bounds, the half is dead. */
#ifndef HOSTSTACK_SVM_MSGQ_H
#define HOSTSTACK_SVM_MSGQ_H

#include "svm/svm_proto.h"

struct svm_msgq_prod {
    struct svm_msgq_prod_line *line;
    const struct svm_msgq_cons_line *peer;
    struct svm_msg *entries;
    uint32_t mask, tail, head_seen;
    bool failed;
};
struct svm_msgq_cons {
    struct svm_msgq_cons_line *line;
    const struct svm_msgq_prod_line *peer;
    const struct svm_msg *entries;
    uint32_t mask, head, tail_seen;
    bool failed;
};

/* Checks the descriptor against the two segments (bounds, alignment, log2 4..20). 0 or -EPROTO. */
int svm_msgq_prod_init(struct svm_msgq_prod *q, const struct svm_msgq_desc *d, uint8_t *prod_seg, uint64_t prod_size,
                       const uint8_t *cons_seg, uint64_t cons_size);
int svm_msgq_cons_init(struct svm_msgq_cons *q, const struct svm_msgq_desc *d, const uint8_t *prod_seg, uint64_t prod_size,
                       uint8_t *cons_seg, uint64_t cons_size);
int svm_msgq_post(struct svm_msgq_prod *q, const struct svm_msg *m);  /* 0, -EAGAIN full, -EPROTO */
uint32_t svm_msgq_free(struct svm_msgq_prod *q);
bool svm_msgq_is_behind(struct svm_msgq_prod *q, uint32_t n);         /* more than n messages have not been taken yet */
int svm_msgq_take(struct svm_msgq_cons *q, struct svm_msg *out, int max); /* number taken, or -EPROTO */
/* Messages that the last take saw and left. */
static inline uint32_t svm_msgq_known(const struct svm_msgq_cons *q) { return q->failed ? 0 : q->tail_seen - q->head; }
bool svm_msgq_is_empty(const struct svm_msgq_cons *q);                 /* reloads, as the next one */
bool svm_msgq_is_full(const struct svm_msgq_cons *q);

/* Sleep announcements (svm_layout.h). */
void svm_sleep_begin(struct svm_sleep_line *own);  /* seq odd + full fence: look at all sources again before sleeping */
void svm_nap_begin(struct svm_sleep_line *own);    /* the same for a sleep that ends by itself within milliseconds */
void svm_sleep_end(struct svm_sleep_line *own);
/* The waker's side, after publishing. True: write one byte to the doorbell. *last_rung is the waker's private memory. */
bool svm_sleep_must_ring(const struct svm_sleep_line *peer, uint32_t *last_rung);
bool svm_sleep_must_ring_late(const struct svm_sleep_line *peer, uint32_t *last_rung); /* for what can wait for the end of a nap */

#endif
