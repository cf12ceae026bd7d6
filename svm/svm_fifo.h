/* svm_fifo.h - lock-free single-producer single-consumer byte stream over shared memory
 *
 * A FIFO is a short chain of rings (svm_layout.h). Each side holds a private half with its own copies of everything
 * that the other side could overwrite:
 *   struct svm_fifo_prod  - the producing side: enqueue, reserve/commit, out-of-order enqueue, grow, shrink
 *   struct svm_fifo_cons  - the consuming side: dequeue, peek at an offset, drop, zero-copy segments
 * Server-produced (rx): prod in the server, cons in the client. Client-produced (tx): the other way round.
 * Cut-through: both in clients.
 *
 * Owner:  embedded in the server's session or the client's socket object.
 * Thread: one thread at a time per half (server: the owning worker; client: under the session's lock).
 * Memory: the halves are process-private; the lines they point to are SHARED and the peer is untrusted.
 * Errors: >= 0 or -errno. -EPROTO = the peer broke the contract (tail/head out of bounds, ring outside of its region,
 *         wrong generation). -ENXIO = the ring is in a region that is not mapped here yet (only with regions->grows): read the
 *         attach socket, extend the table, try again. After -EPROTO the half is dead: the server drops the client, the client resets the session.
 *
 * Events and arming (no lost wake-ups, no flood; at most one outstanding "data" event per FIFO):
 *   producer: after publishing tail (or FIN/RST): full fence; if cons.evt_ack == evt_seq it must post one SVM_MSG_DATA and
 *             evt_seq++ (svm_fifo_prod_event_due() does the check and the increment, the caller posts the message).
 *   consumer: has seen event n (or none, n = 0) and has emptied the FIFO: evt_ack = n; full fence; look at tail once more
 *             (svm_fifo_cons_arm() does this; returns true if bytes or FIN came meanwhile - then handle them first).
 *             An edge-triggered reader arms at once when it takes the event, a level-triggered one when it runs dry.
 *   A server worker that still has unsent bytes of a session keeps it on its own list and does not arm.
 *   space:    producer that finds too little space: space_bytes = n; space_want++ ; full fence; checks space once more
 *             (svm_fifo_prod_want_space()). Consumer after moving head: full fence; if space_want != space_ack and free
 *             space >= space_bytes: space_ack = space_want, post one SVM_MSG_SPACE (svm_fifo_cons_space_due()).
 */
#ifndef HOSTSTACK_SVM_FIFO_H
#define HOSTSTACK_SVM_FIFO_H

#include <sys/uio.h>
#include "svm/svm_layout.h"

/* Where rings may be. Region r of a FIFO is regions[r]; both sides check every ring against base/size.
 * Filled from mapped segments; may be extended while FIFOs exist (new banks), never moved or shrunk. */
struct svm_region {
    uint8_t *base;  /* of the segment; NULL = not mapped here */
    uint64_t size;  /* of the segment */
};
struct svm_region_table {
    struct svm_region r[SVM_MAX_BANKS];
    uint32_t n;
    bool grows; /* client: the server may use a bank that is not mapped here yet, see -ENXIO; server: false */
};

/* Gives and takes ring memory of the producer's own area (server: S banks; client: C banks or its PAIR arena).
 * alloc: region and offset of 2^log2 bytes, 64-byte aligned, memory reserved; -ENOMEM when there is none. */
struct svm_ring_ops {
    int (*alloc)(void *ctx, uint8_t log2, uint16_t *region, uint64_t *offset);
    void (*free)(void *ctx, uint8_t log2, uint16_t region, uint64_t offset);
};

/* Intervals of out-of-order bytes beyond tail, private to the producer (TCP receive). */
#define SVM_FIFO_MAX_OOO 4096 /* a queue that overflows leaves a hole for every other segment of a window */
struct svm_ooo {
    uint32_t start, end; /* stream positions, sorted, disjoint, not touching */
};

struct svm_fifo_prod {
    struct svm_fifo_prod_line *line;        /* own */
    const struct svm_fifo_cons_line *peer;
    const struct svm_region_table *regions;
    const struct svm_ring_ops *ring_ops;
    void *ring_ctx;
    uint8_t *data;        /* current ring */
    uint32_t tail;        /* private truth of line->tail */
    uint32_t head_seen;   /* last checked copy of peer->head */
    uint32_t mask;        /* of the current ring; 0 = none */
    uint32_t start;       /* of the current ring */
    uint32_t max_size;    /* bytes, power of two: largest ring, and largest amount unread */
    uint32_t gen;
    uint32_t evt_seq;
    uint32_t space_want;
    struct svm_ooo *ooo;  /* NULL until first used; n_ooo entries, room for more; freed by svm_fifo_prod_fini and when it empties */
    uint32_t cur_off64, old_off64; /* as in struct svm_ring_desc */
    uint8_t cur_region, old_region;
    uint8_t cur_log2, old_log2; /* 0 = none */
    uint8_t floor_log2;   /* svm_fifo_prod_set_floor() */
    uint16_t n_ooo;
    uint16_t ooo_newest;  /* index of the most recently changed interval (first SACK block, RFC 2018 s4) */
    bool fin : 1, failed : 1;
    bool no_mem : 1;      /* the last attempt to grow found no memory */
    bool has_stamps : 1;  /* svm_fifo_prod_set_stamps() */
};
static_assert(sizeof(struct svm_fifo_prod) <= 112, "the producing half of an idle connection stays small");

struct svm_fifo_cons {
    struct svm_fifo_cons_line *line;        /* own */
    const struct svm_fifo_prod_line *peer;
    const struct svm_region_table *regions; /* NULL: failed */
    uint32_t head;        /* private truth of line->head */
    uint32_t tail_seen;   /* last checked copy of peer->tail */
    uint32_t gen_seen;
    uint32_t evt_taken;   /* evt_seq of the last event taken from the queue */
    uint32_t space_acked; /* private truth of line->space_ack */
    uint32_t max_size;    /* tail - head may not exceed it */
    /* last ring descriptor that was checked, so that the check is not repeated: valid while gen_seen and start match */
    uint8_t *cur_data;
    uint32_t cur_start;
    uint32_t cur_size;    /* 0 = must be looked at again */
};
static_assert(sizeof(struct svm_fifo_cons) <= 64, "the consuming half is one line");

/* ---- producer ---- */
/* max_size: power of two. A free slot belongs to the server, which zeroes all lines of the slot (svm_slot_clear() in
 * svm_segment.h) before it uses it for a new session or hands it out; so every stream starts at position 0 with no flag set. A client
 * does not touch a slot after it has posted SVM_MSG_CLOSE or _RETURN for it. Init writes nothing that is shared; it takes up
 * positions from its own line. */
void svm_fifo_prod_init(struct svm_fifo_prod *f, struct svm_fifo_prod_line *line, const struct svm_fifo_cons_line *peer,
                        const struct svm_region_table *regions, const struct svm_ring_ops *ops, void *ring_ctx,
                        uint32_t max_size);
/* Holds nothing that svm_fifo_prod_init() would not find in the line, but for the floor: what is empty and has no ring may be forgotten,
 * and made again, as long as nobody else can write to its line. */
bool svm_fifo_prod_is_plain(const struct svm_fifo_prod *f, uint32_t max_size);
void svm_fifo_prod_fini(struct svm_fifo_prod *f);              /* frees rings and intervals; the peer must be gone */
int64_t svm_fifo_prod_space(struct svm_fifo_prod *f);          /* bytes that may be enqueued up to max_size (growing if need be) */
/* The same, and what it says is true whatever memory others take meanwhile: a full ring grows now. Without any ring it grows with the write. */
int64_t svm_fifo_prod_ready(struct svm_fifo_prod *f);
int64_t svm_fifo_prod_unread(struct svm_fifo_prod *f);         /* tail - head as last told by the consumer (reloads) */
/* Takes up to len bytes, grows the ring when useful, short count when full, 0 when none fits; -ENOMEM if no ring at all. */
int64_t svm_fifo_enqueue(struct svm_fifo_prod *f, const void *data, uint32_t len);
int64_t svm_fifo_enqueue_iov(struct svm_fifo_prod *f, const struct iovec *iov, int n_iov);
/* All of len or -EAGAIN: for datagram records. Several pieces are published with one tail move. */
/* -EMSGSIZE: larger than the FIFO may ever be. */
int svm_fifo_enqueue_record(struct svm_fifo_prod *f, const struct iovec *iov, int n_iov);
/* Zero copy: up to 2 pieces of free space, at least 1 byte and up to want in all; then commit what was filled. */
int svm_fifo_reserve(struct svm_fifo_prod *f, uint32_t want, struct iovec iov[2]); /* number of pieces, 0 = full, -ENOMEM */
int svm_fifo_commit(struct svm_fifo_prod *f, uint32_t len);
/* Writes at tail + offset (offset > 0 for a hole). When the hole closes, tail moves over what has become contiguous.
 * Returns how many bytes became readable (>= 0), -ENOBUFS if it does not fit or there are too many intervals (the segment is
 * dropped, nothing changes). offset 0 = in order. */
int64_t svm_fifo_enqueue_at(struct svm_fifo_prod *f, uint32_t offset, const void *data, uint32_t len);
/* Smallest ring to follow another one (TCP: the window it has advertised, since while the previous ring is unread the new one is all
 * the room there is). The owner says so at any time. */
static inline void svm_fifo_prod_set_floor(struct svm_fifo_prod *f, uint32_t bytes)
{
    f->floor_log2 = bytes > 1 ? (uint8_t)(32 - __builtin_clz(bytes - 1)) : 0;
}
int svm_fifo_prod_grow(struct svm_fifo_prod *f, uint32_t at_least); /* 0, -ENOMEM, -EAGAIN (previous ring still in use) */
void svm_fifo_prod_give_back(struct svm_fifo_prod *f);         /* frees what is unused: previous ring; all rings when empty */
void svm_fifo_prod_fail(struct svm_fifo_prod *f);              /* the peer broke the contract elsewhere: from now on -EPROTO */
void svm_fifo_prod_set_fin(struct svm_fifo_prod *f);
void svm_fifo_prod_set_rst(struct svm_fifo_prod *f, int error);
bool svm_fifo_prod_peer_closed(const struct svm_fifo_prod *f); /* SVM_FIFO_RD_CLOSED */
static inline uint32_t svm_fifo_prod_peer_flags(const struct svm_fifo_prod *f) /* enum svm_fifo_cons_flags */
{
    return __atomic_load_n(&f->peer->flags, __ATOMIC_ACQUIRE);
}
bool svm_fifo_prod_event_due(struct svm_fifo_prod *f);         /* true: post SVM_MSG_DATA with value f->evt_seq */
static inline uint32_t svm_fifo_prod_evt_seq(const struct svm_fifo_prod *f) { return __atomic_load_n(&f->evt_seq, __ATOMIC_RELAXED); } /* no lock */
bool svm_fifo_prod_event_is(struct svm_fifo_prod *f);          /* the same behind a full fence of the caller's, one for many FIFOs */
/* own: the line of the other direction, written by this side. Times can be told (SVM_FIFO_RD_STAMPS) if it follows the producer's in a slot. */
static inline void svm_fifo_prod_set_stamps(struct svm_fifo_prod *f, const struct svm_fifo_cons_line *own)
{
    f->has_stamps = (const void *)own == (const void *)(f->line + 1);
}
bool svm_fifo_prod_want_space(struct svm_fifo_prod *f, uint32_t bytes); /* true: there is space already (or an error), try again */

/* ---- consumer ---- */
static inline bool svm_fifo_cons_failed(const struct svm_fifo_cons *f) { return !f->regions; }
void svm_fifo_cons_init(struct svm_fifo_cons *f, struct svm_fifo_cons_line *line, const struct svm_fifo_prod_line *peer,
                        const struct svm_region_table *regions, uint32_t max_size);
bool svm_fifo_cons_is_plain(const struct svm_fifo_cons *f, uint32_t max_size); /* as svm_fifo_prod_is_plain() */
uint32_t svm_fifo_cons_ring_size(const struct svm_fifo_cons *f); /* of the producer's ring, 0 = none; may be old by the next call */
void svm_fifo_cons_fail(struct svm_fifo_cons *f);              /* as svm_fifo_prod_fail() */
int64_t svm_fifo_cons_avail(struct svm_fifo_cons *f);          /* readable bytes (reloads tail), or -EPROTO */
int64_t svm_fifo_dequeue(struct svm_fifo_cons *f, void *buf, uint32_t len);   /* copies and drops; 0 = empty */
int64_t svm_fifo_dequeue_iov(struct svm_fifo_cons *f, const struct iovec *iov, int n_iov);
int64_t svm_fifo_peek(struct svm_fifo_cons *f, uint32_t offset, void *buf, uint32_t len); /* copies, drops nothing */
/* Zero copy: pieces of [head + offset, head + offset + len) in order; returns the number of pieces (0..4) or -EPROTO.
 * Valid until the bytes are dropped. SHARED memory: the peer may change the bytes at any time. */
int svm_fifo_peek_iov(struct svm_fifo_cons *f, uint32_t offset, uint32_t len, struct iovec iov[4]);
int svm_fifo_drop(struct svm_fifo_cons *f, uint32_t len);      /* 0 or -EPROTO (len > available) */
static inline uint32_t svm_fifo_line_flags(const struct svm_fifo_prod_line *peer)
{
    /* Acquire: pairs with the release in gain_flags() (svm_fifo_prod.c): a tail read after FIN is the last one, an error after RST is there. */
    return __atomic_load_n(&peer->flags, __ATOMIC_ACQUIRE);
}
int svm_fifo_line_rst(const struct svm_fifo_prod_line *peer); /* as svm_fifo_cons_rst() */
bool svm_fifo_cons_is_fin(const struct svm_fifo_cons *f);      /* FIN set (ends the stream once avail is 0; reload avail after it) */
int svm_fifo_cons_rst(const struct svm_fifo_cons *f);          /* 0, or the -errno with RST (a garbage value counts as -ECONNRESET) */
static inline uint32_t svm_fifo_cons_settle(const struct svm_fifo_cons *f) /* enum svm_settle; behind a full fence */
{
    return __atomic_load_n(&f->line->settle, __ATOMIC_ACQUIRE);
}
void svm_fifo_cons_set_closed(struct svm_fifo_cons *f);        /* SVM_FIFO_RD_CLOSED */
void svm_fifo_cons_set_looked(struct svm_fifo_cons *f);        /* SVM_FIFO_RD_LOOKED */
void svm_fifo_cons_event_taken(struct svm_fifo_cons *f, uint32_t evt_seq);
bool svm_fifo_cons_arm(struct svm_fifo_cons *f);               /* true: bytes, FIN or RST came meanwhile */
void svm_fifo_cons_want_stamps(struct svm_fifo_cons *f);       /* SVM_FIFO_RD_STAMPS */
/* When the bytes before `offset` from head on came, or some that followed them closely, in ns since 1970; SHARED: what the peer says.
 * 0 = not told, or the very last ones, just now. */
int64_t svm_fifo_cons_stamp(const struct svm_fifo_cons *f, uint32_t offset);
bool svm_fifo_cons_space_due(struct svm_fifo_cons *f);         /* true: post SVM_MSG_SPACE */
bool svm_fifo_cons_space_is(struct svm_fifo_cons *f);          /* the same behind a full fence of the caller's, one for many FIFOs */
/* Nothing was taken since it said "tell me" last: it need not say so again. For a line that nobody else can write to. */
static inline bool svm_fifo_cons_is_armed(const struct svm_fifo_cons *f) { return f->line->evt_ack == f->evt_taken; }
/* The next bytes come into the cache, if the peer's line, which should be there, names a ring of ours. */
void svm_fifo_cons_prefetch(const struct svm_fifo_cons *f);

#endif
