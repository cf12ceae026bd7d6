/* svm_urgent.h - where in a byte stream its urgent byte is (RFC 9293 s3.8.5, RFC 6093): one word in the producer's line
 *
 * The word is written before the tail passes the byte, so that a reader who sees the byte sees the mark. It says, too, which bytes before
 * it were urgent themselves, one after the other: a reader who stands at such a byte when a further mark comes loses it, as with Linux.
 *
 * Thread: as struct svm_fifo_prod and struct svm_fifo_cons.
 * Memory: SHARED: the word of an untrusted producer is a position, to be compared with what is there.
 * Events: as SVM_MSG_DATA, at most one outstanding: post SVM_MSG_URGENT when svm_urgent_due(); the reader says svm_urgent_taken(). */
#ifndef HOSTSTACK_SVM_URGENT_H
#define HOSTSTACK_SVM_URGENT_H

#include "svm/svm_fifo.h"

enum { SVM_URGENT_BACK_SHIFT = 32, SVM_URGENT_RUN_SHIFT = 48, SVM_URGENT_RUN_MAX = 0x7fff };
#define SVM_URGENT_IS_SET (1ull << 63)

static inline uint32_t svm_urgent_pos(uint64_t word) { return (uint32_t)word; }
/* Urgent bytes of before: `run` of them from svm_urgent_pos() - back on; run 0 = none that is known. */
static inline uint32_t svm_urgent_back(uint64_t word) { return (uint16_t)(word >> SVM_URGENT_BACK_SHIFT); }
static inline uint32_t svm_urgent_run(uint64_t word) { return (uint32_t)(word >> SVM_URGENT_RUN_SHIFT) & SVM_URGENT_RUN_MAX; }

/* ---- producer ---- */
void svm_urgent_set(struct svm_fifo_prod *f, uint32_t offset);           /* the byte at tail + offset, before it is written */
bool svm_urgent_due(struct svm_fifo_prod *f);                            /* true: post SVM_MSG_URGENT */
static inline uint64_t svm_urgent_own(const struct svm_fifo_prod *f) { return __atomic_load_n(&f->line->urgent, __ATOMIC_RELAXED); }
/* What was to be read from `head` on of another FIFO is in this one, from position 0 on: the mark comes along. */
void svm_urgent_move(struct svm_fifo_prod_line *to, const struct svm_fifo_prod_line *from, uint32_t head);

/* ---- consumer ---- */
/* After the tail was looked at: its acquire orders this load. */
static inline uint64_t svm_urgent_get(const struct svm_fifo_cons *f) { return __atomic_load_n(&f->peer->urgent, __ATOMIC_RELAXED); }
void svm_urgent_taken(struct svm_fifo_cons *f);

#endif
