/* svm_layout.h - the bytes that two processes share: types only, every size asserted
 *
 * Memory: SHARED, the peer is untrusted: copy a field once into a local, check it, then use the local.
 *         Nothing here is a pointer. Every byte has one writing side, named at each struct; but for offers (below).
 *
 * Segments (all memfds made and sealed by the server, F_SEAL_SHRINK|GROW|SEAL):
 *   SRV   one page, written by the server, read-only for every client: which server workers sleep
 *   S     one per bank of a client, written by the server (F_SEAL_FUTURE_WRITE, the client maps it read-only)
 *   C     one per bank of a client, written by the client. The server writes there only while nobody else does: the header before
 *         it hands the segment out, and the lines of a free slot (below)
 *   P     one page per client worker, written by that client, read-only for cut-through peers: whether the client worker sleeps,
 *         and what it has been offered, which the server writes as well
 *   PAIR  one per pair of cut-through client workers, written by both (each its own lines), server maps it too. A program believes
 *         nothing there that would make it wait: whether it has to, SRV and its own S say
 *
 * A client has banks 0..n-1; bank k is the two segments S_k and C_k of equal slot count. Bank 0 also holds the
 * message queues. A session occupies one slot of a bank (network session), or one slot of a PAIR segment.
 *
 *   S_k: svm_seg_hdr | queue lines and entries (bank 0) | slot_srv[n_slots]  | ring area (server's allocator)
 *   C_k: svm_seg_hdr | queue lines and entries (bank 0) | slot_cli[n_slots]  | ring area (client's arena)
 * A free slot belongs to the server: before it gives a slot out (CONNECTED, ACCEPT, BOUND) it zeroes all lines of the slot, in
 * S and C or in the PAIR segment. So both sides start at position 0 and nobody waits for the other; a client writes nothing
 * to a slot's lines after its SVM_MSG_CLOSE, and zeroes nothing itself.
 *
 *   PAIR: svm_seg_hdr | queue 0->1, queue 1->0 | slot_pair[n_slots] | arena of side 0 | arena of side 1
 */
#ifndef HOSTSTACK_SVM_LAYOUT_H
#define HOSTSTACK_SVM_LAYOUT_H

#include "common/types.h"

enum svm_limits {
    SVM_ABI_VERSION = 10,
    SVM_MAGIC = 0x4d565348,      /* "HSVM" */
    SVM_MAX_SERVER_WORKERS = 16,
    SVM_MAX_BANKS = 64,          /* per client */
    SVM_RING_MIN_LOG2 = 7,       /* 128 bytes: the smallest ring of a FIFO */
    SVM_RING_MAX_LOG2 = 28,      /* 256 MiB */
    SVM_PAIR_FIFO_MAX = 1 << 20, /* unread bytes of a FIFO in a PAIR segment: more does not fit the caches */
    SVM_MSG_SIZE = 64,
};

/* First line of every S, C and PAIR segment. Written by the server before it hands the segment out (the server writes
 * C and PAIR headers before the client maps them and never reads them back). Clients read it once at mapping and check
 * every offset against the size of the file. Offsets are bytes from the start of the segment. */
struct svm_seg_hdr {
    uint32_t magic;
    uint32_t abi_version;
    uint64_t size;          /* of the segment */
    uint32_t seg_id;        /* unique in the server's lifetime */
    uint32_t n_slots;
    uint64_t slots_off;     /* multiple of 64 */
    uint64_t ring_off[2];   /* ring area; PAIR: the arenas of side 0 and 1; S and C use [0]; multiples of 4096 */
    uint64_t ring_size[2];
};
static_assert(sizeof(struct svm_seg_hdr) == 64, "svm_seg_hdr");

/* ---- FIFO: two lines, one written by the producer, one by the consumer ---- */

/* Where the bytes of a ring are. The byte at stream position p lies at offset + (p & (2^log2 - 1)) of the region `region`
 * (a bank number; in a PAIR slot 0 or 1 = the arena's segment, always the PAIR segment itself). */
struct svm_ring_desc {
    uint32_t start;    /* stream position from which on this ring is used */
    uint32_t offset64; /* offset in units of 64 bytes from the start of the region's segment */
    uint16_t region;
    uint8_t log2;      /* size; 0 = no ring (an empty FIFO) */
    uint8_t pad;
};
static_assert(sizeof(struct svm_ring_desc) == 12, "svm_ring_desc");

enum svm_fifo_flags {        /* svm_fifo_prod_line.flags, only ever gain bits */
    SVM_FIFO_FIN = 1u << 0,  /* no byte will follow `tail` */
    SVM_FIFO_RST = 1u << 1,  /* the stream was aborted: unread bytes may be thrown away, error in `error` */
    SVM_FIFO_MOVED = 1u << 2, /* another process uses the session now, over other FIFOs: claim it again before using it */
    SVM_FIFO_SETTLED = 1u << 3, /* with MOVED: what counted of this FIFO pair is known. Of the bytes taken those before `space_bytes`
                                 of this line; of those written, the ones before `head` of the other FIFO */
};
enum svm_fifo_cons_flags {   /* svm_fifo_cons_line.flags, only ever gain bits */
    SVM_FIFO_RD_CLOSED = 1u << 0, /* the consumer reads no more: writing is pointless (EPIPE) */
    SVM_FIFO_RD_STAMPS = 1u << 1, /* the consumer asks when bytes came: see stamp_ns */
    SVM_FIFO_RD_MOVED = 1u << 2,  /* cut-through, by the server: another process reads now, over another FIFO; SVM_MSG_MOVED was posted before */
    SVM_FIFO_RD_LOOKED = 1u << 3, /* the program has made a call since it was given this FIFO: another holder may have the session now */
};

enum svm_settle {
    SVM_SETTLE_NONE,
    SVM_SETTLE_BEGUN, /* the positions follow within microseconds */
    SVM_SETTLE_DONE,
};

/* Written by the producer only.
 * Order: bytes, then ring/gen, then `tail` with store-release; the consumer load-acquires `tail` first.
 * Ring rule: ring[gen & 1] is the current ring, the other slot the previous one. A byte at position p lies in the current
 * ring if p - ring[gen & 1].start >= 0 (serial), else in the previous one. The producer may move to a next generation only
 * when the consumer's head has reached the current ring's start, and may free the previous ring from then on. */
struct svm_fifo_prod_line {
    uint32_t tail;        /* stream position after the last byte */
    uint32_t gen;
    struct svm_ring_desc ring[2];
    uint32_t flags;       /* enum svm_fifo_flags; written before the event that tells of it */
    int32_t error;        /* -errno with SVM_FIFO_RST */
    uint32_t evt_seq;     /* events "data" posted so far; see svm_fifo.h */
    uint32_t space_want;  /* changes when the producer wants an event "space"; see svm_fifo.h */
    uint32_t space_bytes; /* how much free space it wants, against its configured maximum */
    uint32_t urg_seq;     /* events "urgent" posted so far; see svm_urgent.h */
    uint64_t urgent;      /* the last urgent byte, written before `tail` passes it; 0 = never one. See svm_urgent.h */
} HS_ALIGNED_LINE;
static_assert(sizeof(struct svm_fifo_prod_line) == 64, "svm_fifo_prod_line");

/* Written by the consumer, but for what the server settles. */
struct svm_fifo_cons_line {
    uint32_t head;        /* stream position of the next byte to take; store-release after the bytes were copied */
    uint32_t evt_ack;     /* events "data" that the consumer is done with: evt_ack == evt_seq means "tell me" */
    uint32_t space_ack;   /* = space_want when the consumer has posted the event "space" for it */
    uint32_t flags;       /* enum svm_fifo_cons_flags */
    uint32_t urg_ack;     /* events "urgent" that the consumer has taken: urg_ack == urg_seq means "tell me" */
    /* Of the bytes that the same side writes into the other FIFO of the slot, whose line has no room: when those before stamp_tail were
     * written, in nanoseconds since 1970. Told only after they were published: who reads bytes beyond it has found them this moment. */
    uint32_t stamp_tail;
    uint64_t stamp_ns;
    union {
        struct {
            /* Written by the server, in a PAIR slot only: this side is used no more. The stream positions that counted are here, whatever
             * this side has done since. A side looks after each step, behind a full fence. */
            uint32_t settle;       /* enum svm_settle */
            uint32_t settled_head; /* of the bytes that this side took, those before it */
            uint32_t settled_tail; /* of those that it wrote into the other FIFO */
        };
        uint8_t kept[32];          /* in an S slot: of the server's transport, while nothing goes on (session_keep()). Nobody else looks at it */
    };
} HS_ALIGNED_LINE;
static_assert(sizeof(struct svm_fifo_cons_line) == 64, "svm_fifo_cons_line");

/* One slot of S_k: what the server writes about a network session. */
struct svm_slot_srv {
    struct svm_fifo_prod_line rx; /* server produces what the program reads */
    struct svm_fifo_cons_line tx; /* server consumes what the program writes */
};
/* One slot of C_k: what the client writes about the same session. */
struct svm_slot_cli {
    struct svm_fifo_prod_line tx;
    struct svm_fifo_cons_line rx;
};
/* One slot of a PAIR segment. side[i] is written by side i only: it produces into `tx` and consumes the other's. */
struct svm_slot_pair {
    struct svm_slot_cli side[2];
};
static_assert(offsetof(struct svm_slot_srv, tx) == sizeof(struct svm_fifo_prod_line) &&
              offsetof(struct svm_slot_cli, rx) == sizeof(struct svm_fifo_prod_line), "a side's two lines follow each other: stamp_ns");
static_assert(sizeof(struct svm_slot_srv) == 128 && sizeof(struct svm_slot_cli) == 128, "slots");
static_assert(sizeof(struct svm_slot_pair) == 256, "slot_pair");

/* ---- Message queue: single producer, single consumer, fixed-size messages ---- */

/* Producer's line, followed by nothing; the entries are elsewhere in the producer's segment. */
struct svm_msgq_prod_line {
    uint32_t tail;  /* messages ever posted; store-release after the entry */
    uint32_t moves; /* in an S segment: slots that this client used while the other end is being told that another program goes on there.
                       0: SVM_FIFO_MOVED without SVM_FIFO_SETTLED is a lie */
    uint32_t pad[14];
} HS_ALIGNED_LINE;
/* Consumer's line, in the consumer's segment. */
struct svm_msgq_cons_line {
    uint32_t head; /* messages ever taken */
    uint32_t pad[15];
} HS_ALIGNED_LINE;

/* Where the parts of one queue are, told once at attach (app socket) or in svm_pair_hdr. Offsets in the segment of the
 * side that writes them. */
struct svm_msgq_desc {
    uint64_t prod_off;    /* svm_msgq_prod_line, in the producer's segment */
    uint64_t entries_off; /* 2^log2 messages, in the producer's segment */
    uint64_t cons_off;    /* svm_msgq_cons_line, in the consumer's segment */
    uint32_t log2;
    uint32_t pad;
};
static_assert(sizeof(struct svm_msgq_desc) == 32, "svm_msgq_desc");

/* Second line of a PAIR segment, written by the server before it hands the segment out. q[i] is written by side i. */
struct svm_pair_hdr {
    struct svm_msgq_desc q[2];
} HS_ALIGNED_LINE;
static_assert(sizeof(struct svm_pair_hdr) == 64, "svm_pair_hdr");

/* ---- Sleep announcements (doorbells are pipes, written only to a side that announced that it sleeps) ---- */

/* Odd: this side sleeps or is about to. It does: seq++ (odd), full fence, check all sources once more, sleep, seq++ (even).
 * A waker does: publish, full fence, read seq; if odd and not the value it rang for last: write one byte to the doorbell and
 * remember the value. So a sleep costs each waker at most one system call. */
struct svm_sleep_line {
    uint32_t seq;
    uint32_t nap;              /* not 0: the sleep ends by itself within milliseconds, so what can wait as long needs no bell */
    uint32_t pad[14];
} HS_ALIGNED_LINE;

/* ---- Offers: connections that a program may accept (SVM_MSG_ACCEPT) ----
 *
 * An offer holds until accept() takes it: until then the server may give the connection to another process that accepts from the same
 * listener. Both do so by changing its word from the offer's number to 0, and who has changed it has the connection; what is told
 * afterwards (SVM_MSG_ACCEPTED, CLOSED) only says so. A program that writes something else there harms what is offered to it. */
enum {
    SVM_OFFERS = 512,             /* words; each server worker has its share of them */
    SVM_OFFER_MARK = 1u << 31,    /* in every number of an offer: no number of a session has it */
};
struct svm_presence_page { /* P segment, written by the client worker */
    struct svm_sleep_line sleep;
    uint32_t accepting HS_ALIGNED_LINE; /* threads that sleep until a connection comes: a hint to whom to offer it */
    uint32_t offer[SVM_OFFERS] HS_ALIGNED_LINE; /* number % SVM_OFFERS; both write, see above */
};
static_assert(sizeof(struct svm_presence_page) <= 4096, "one page");
struct svm_server_page {   /* SRV segment, written by the server */
    struct svm_sleep_line sleep[SVM_MAX_SERVER_WORKERS];
    uint32_t net_generation;   /* changes when addresses or routes change */
    /* Odd: this worker is at enum svm_settle of some slot. SVM_SETTLE_BEGUN while it is even, or after it has changed, is a lie. */
    uint32_t settling[SVM_MAX_SERVER_WORKERS];
};

#endif
