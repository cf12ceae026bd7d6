/* svm_segment.h - sealed shared-memory segments, their layout, and messages with descriptors on the attach socket
 * Owner:  struct svm_segment owns its mapping and its descriptor.
 * Thread: any, one at a time per object.
 * Memory: the segments are SHARED; a segment's header is copied and checked once at mapping (svm_seg_parse()).
 * Errors: 0 or -errno; -EPROTO = what the other side sent cannot be used.
 *
 * Who maps what:            server                               client
 *   SRV, S                  writes (mapped before the seal)      reads (no writable mapping possible: F_SEAL_FUTURE_WRITE)
 *   C                       reads; zeroes the lines of a slot    writes
 *                           that is free, see svm_slot_clear()
 *   P                       reads                                writes; peers get a read-only descriptor
 *   PAIR                    zeroes free slots                    both sides write */
#ifndef HOSTSTACK_SVM_SEGMENT_H
#define HOSTSTACK_SVM_SEGMENT_H

#include <sys/types.h>
#include "svm/svm_fifo.h"
#include "svm/svm_proto.h"

struct svm_segment {
    uint8_t *base;   /* NULL = not mapped */
    uint64_t size;
    int fd;          /* -1 = closed */
};

/* ---- making (server) ---- */
/* Makes a memfd of `size` (rounded up to pages), zero, mapped writable here, its first `prefault` bytes allocated, sealed
 * SHRINK|GROW|SEAL. future_write: also F_SEAL_FUTURE_WRITE, so that only the mapping made here can ever write (S, SRV). */
int svm_segment_create(struct svm_segment *s, const char *name, uint64_t size, uint64_t prefault, bool future_write);
/* Takes away our own right to write [offset, offset + len): page-aligned (C in the server: all but the slots). */
int svm_segment_set_readonly(struct svm_segment *s, uint64_t offset, uint64_t len);
/* A further descriptor of the same memory that cannot be mapped writable (P for peers). Descriptor or -errno.
 * The receiver cannot reopen it for writing either, unless it has the server's user id or root's rights. */
int svm_segment_reopen_readonly(const struct svm_segment *s);
/* Allocates the pages of a range now, so that touching them later cannot fail. -ENOMEM. */
int svm_segment_reserve(const struct svm_segment *s, uint64_t offset, uint64_t len);

/* ---- mapping (client, or server for what it did not make) ---- */
/* Takes over fd, also when it fails. Refuses what can shrink under us (seals), and a size of 0. */
int svm_segment_map(struct svm_segment *s, int fd, bool writable);
void svm_segment_unmap(struct svm_segment *s); /* also closes fd; a second call does nothing */
void svm_segment_close_fd(struct svm_segment *s); /* keeps the mapping */

/* ---- layout ---- */
/* A bank: S and C have the same offsets. Lines of queue w: to_client is produced in S, to_server in C. */
struct svm_bank_layout {
    /* in */
    uint32_t n_slots;
    uint32_t n_queues;        /* server workers; 0 in banks other than 0 */
    uint32_t queue_log2;      /* messages per queue */
    uint64_t s_ring_size, c_ring_size;
    /* out */
    struct svm_msgq_desc to_client[SVM_MAX_SERVER_WORKERS], to_server[SVM_MAX_SERVER_WORKERS];
    uint64_t slots_off;       /* page-aligned */
    uint64_t ring_off;        /* page-aligned; everything before it is control memory, to be pre-faulted */
    uint64_t s_size, c_size;
};
int svm_bank_layout(struct svm_bank_layout *l);  /* 0 or -EINVAL */
void svm_bank_format(const struct svm_bank_layout *l, uint32_t seg_id, uint8_t *s_base, uint8_t *c_base);

struct svm_pair_layout {
    /* in */
    uint32_t n_slots;
    uint32_t queue_log2;
    uint64_t arena_size;      /* of each side */
    /* out */
    struct svm_msgq_desc q[2];
    uint64_t slots_off;
    uint64_t arena_off[2];
    uint64_t size;
};
int svm_pair_layout(struct svm_pair_layout *l);
void svm_pair_format(const struct svm_pair_layout *l, uint32_t seg_id, uint8_t *base);

/* Zeroes all lines of a free slot before it is used again: server only, nobody else may be using the slot. */
void svm_slot_clear(struct svm_slot_srv *srv, struct svm_slot_cli *cli);
void svm_slot_pair_clear(struct svm_slot_pair *p);

/* ---- reading a header that another process wrote ---- */
struct svm_seg_info {
    uint32_t seg_id, n_slots;
    uint64_t slots_off;
    uint64_t ring_off[2], ring_size[2];
    struct svm_msgq_desc q[2]; /* PAIR: not checked, svm_msgq_*_init() does that */
};
/* kind: SVM_SEG_BANK (S or C; both slots have the same size) or SVM_SEG_PAIR. 0 or -EPROTO; *out is a checked copy. */
int svm_seg_parse(const struct svm_segment *s, enum svm_seg_kind kind, struct svm_seg_info *out);
static inline struct svm_slot_srv *svm_slot_srv_at(const struct svm_segment *s, uint64_t slots_off, uint32_t slot)
{
    return (struct svm_slot_srv *)(void *)(s->base + slots_off) + slot;
}
static inline struct svm_slot_cli *svm_slot_cli_at(const struct svm_segment *s, uint64_t slots_off, uint32_t slot)
{
    return (struct svm_slot_cli *)(void *)(s->base + slots_off) + slot;
}
static inline struct svm_slot_pair *svm_slot_pair_at(const struct svm_segment *s, uint64_t slots_off, uint32_t slot)
{
    return (struct svm_slot_pair *)(void *)(s->base + slots_off) + slot;
}

/* ---- messages with descriptors, SOCK_SEQPACKET ---- */
/* One message with n_fds descriptors (kept by the caller). flags as for sendmsg(2). 0 or -errno. */
int svm_sock_send(int sock, const void *msg, size_t len, const int *fds, int n_fds, int flags);
/* One message: its length, 0 = hang-up, -errno; -EPROTO: it did not fit, or brought more than max_fds descriptors (which are
 * closed). On success the caller owns fds[0..*n_fds). Descriptors are close-on-exec. */
ssize_t svm_sock_recv(int sock, void *buf, size_t cap, int *fds, int max_fds, int *n_fds, int flags);
void svm_sock_close_passed(int fd); /* a descriptor that somebody else chose */
/* With the sender's credentials, where the socket has SO_PASSCRED; else cred stays as it is. */
struct ucred;
ssize_t svm_sock_recv_cred(int sock, void *buf, size_t cap, int *fds, int max_fds, int *n_fds, int flags, struct ucred *cred);

#endif
