/* svm_segment.c - sealed memfds: making, mapping, reserving; their layout and the checked reading of it */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "svm/svm_segment.h"

enum { PAGE = 4096, QUEUE_MIN_LOG2 = 4, QUEUE_MAX_LOG2 = 20, MAX_SLOTS = 1 << 20 };
static const uint64_t MAX_RING_AREA = 1ull << 37; /* svm_ring_desc.offset64 reaches 2^38 */

static uint64_t align_up(uint64_t n, uint64_t to) { return (n + to - 1) & ~(to - 1); }

static void segment_none(struct svm_segment *s)
{
    *s = (struct svm_segment){ .base = NULL, .size = 0, .fd = -1 };
}

int svm_segment_create(struct svm_segment *s, const char *name, uint64_t size, uint64_t prefault, bool future_write)
{
    int seals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL | (future_write ? F_SEAL_FUTURE_WRITE : 0);
    int rc;

    segment_none(s);
    size = align_up(size, PAGE);
    if (!size || prefault > size)
        return -EINVAL;
    s->fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (s->fd < 0)
        return -errno;
    /* 0400: who is handed a read-only descriptor shall not reopen it for writing through /proc. */
    if (fchmod(s->fd, 0400) < 0 || ftruncate(s->fd, (off_t)size) < 0)
        goto undo_fd;
    s->base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, s->fd, 0);
    if (s->base == MAP_FAILED) {
        s->base = NULL;
        goto undo_fd;
    }
    s->size = size;
    rc = prefault ? svm_segment_reserve(s, 0, prefault) : 0;
    if (rc < 0)
        goto undo_all;
    /* FUTURE_WRITE spares the mapping that exists already: ours. */
    if (fcntl(s->fd, F_ADD_SEALS, seals) == 0)
        return 0;
    rc = -errno;
undo_all:
    svm_segment_unmap(s);
    return rc;
undo_fd:
    rc = -errno;
    close(s->fd);
    segment_none(s);
    return rc;
}

int svm_segment_set_readonly(struct svm_segment *s, uint64_t offset, uint64_t len)
{
    if (offset % PAGE || offset > s->size || len > s->size - offset)
        return -EINVAL;
    return len && mprotect(s->base + offset, len, PROT_READ) < 0 ? -errno : 0;
}

int svm_segment_reopen_readonly(const struct svm_segment *s)
{
    char path[32];
    int fd;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", s->fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int svm_segment_reserve(const struct svm_segment *s, uint64_t offset, uint64_t len)
{
    if (offset > s->size || len > s->size - offset)
        return -EINVAL;
    while (fallocate(s->fd, 0, (off_t)offset, (off_t)len) < 0) {
        if (errno != EINTR)
            return errno == ENOSPC ? -ENOMEM : -errno;
    }
    return 0;
}

int svm_segment_map(struct svm_segment *s, int fd, bool writable)
{
    struct stat st;
    int seals, rc = -EPROTO;

    segment_none(s);
    /* Without SHRINK the other side could truncate it and make us fault (SIGBUS). */
    seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || !(seals & F_SEAL_SHRINK))
        goto undo_fd;
    if (fstat(fd, &st) < 0 || st.st_size <= 0)
        goto undo_fd;
    s->base = mmap(NULL, (size_t)st.st_size, PROT_READ | (writable ? PROT_WRITE : 0), MAP_SHARED, fd, 0);
    if (s->base == MAP_FAILED) {
        rc = -errno;
        goto undo_fd;
    }
    s->size = (uint64_t)st.st_size;
    s->fd = fd;
    return 0;
undo_fd:
    close(fd);
    segment_none(s);
    return rc;
}

void svm_segment_close_fd(struct svm_segment *s)
{
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

void svm_segment_unmap(struct svm_segment *s)
{
    if (s->base)
        munmap(s->base, s->size);
    svm_segment_close_fd(s);
    segment_none(s);
}

/* ---------------------------------------------------------------- layout */

static bool sizes_ok(uint32_t n_slots, uint32_t queue_log2, uint64_t ring_a, uint64_t ring_b)
{
    return n_slots && n_slots <= MAX_SLOTS && queue_log2 >= QUEUE_MIN_LOG2 && queue_log2 <= QUEUE_MAX_LOG2 &&
           ring_a <= MAX_RING_AREA && ring_b <= MAX_RING_AREA;
}

int svm_bank_layout(struct svm_bank_layout *l)
{
    uint64_t at = sizeof(struct svm_seg_hdr), entries = (uint64_t)SVM_MSG_SIZE << (l->queue_log2 & 31);

    if (l->n_queues > SVM_MAX_SERVER_WORKERS ||
        !sizes_ok(l->n_slots, l->n_queues ? l->queue_log2 : QUEUE_MIN_LOG2, l->s_ring_size, l->c_ring_size))
        return -EINVAL;
    memset(l->to_client, 0, sizeof(l->to_client));
    memset(l->to_server, 0, sizeof(l->to_server));
    for (uint32_t w = 0; w < l->n_queues; w++) {
        /* The producer's line of one way and the consumer's line of the other have the same place in S as in C. */
        struct svm_msgq_desc d = { .prod_off = at, .cons_off = at + HS_CACHE_LINE, .log2 = l->queue_log2 };

        d.entries_off = at + 2 * HS_CACHE_LINE;
        l->to_client[w] = l->to_server[w] = d;
        at = d.entries_off + entries;
    }
    l->slots_off = align_up(at, PAGE);
    l->ring_off = align_up(l->slots_off + (uint64_t)l->n_slots * sizeof(struct svm_slot_srv), PAGE);
    l->s_ring_size = align_up(l->s_ring_size, PAGE);
    l->c_ring_size = align_up(l->c_ring_size, PAGE);
    l->s_size = l->ring_off + l->s_ring_size;
    l->c_size = l->ring_off + l->c_ring_size;
    return 0;
}

void svm_bank_format(const struct svm_bank_layout *l, uint32_t seg_id, uint8_t *s_base, uint8_t *c_base)
{
    struct svm_seg_hdr h = { .magic = SVM_MAGIC, .abi_version = SVM_ABI_VERSION, .size = l->s_size, .seg_id = seg_id,
                             .n_slots = l->n_slots, .slots_off = l->slots_off, .ring_off = { l->ring_off, 0 },
                             .ring_size = { l->s_ring_size, 0 } };

    memcpy(s_base, &h, sizeof(h));
    h.size = l->c_size;
    h.ring_size[0] = l->c_ring_size;
    memcpy(c_base, &h, sizeof(h));
}

int svm_pair_layout(struct svm_pair_layout *l)
{
    uint64_t at = sizeof(struct svm_seg_hdr) + sizeof(struct svm_pair_hdr);

    if (!sizes_ok(l->n_slots, l->queue_log2, l->arena_size, l->arena_size))
        return -EINVAL;
    for (int i = 0; i < 2; i++) {
        l->q[i] = (struct svm_msgq_desc){ .prod_off = at, .cons_off = at + HS_CACHE_LINE,
                                          .entries_off = at + 2 * HS_CACHE_LINE, .log2 = l->queue_log2 };
        at = l->q[i].entries_off + ((uint64_t)SVM_MSG_SIZE << l->queue_log2);
    }
    l->slots_off = align_up(at, PAGE);
    l->arena_size = align_up(l->arena_size, PAGE);
    l->arena_off[0] = align_up(l->slots_off + (uint64_t)l->n_slots * sizeof(struct svm_slot_pair), PAGE);
    l->arena_off[1] = l->arena_off[0] + l->arena_size;
    l->size = l->arena_off[1] + l->arena_size;
    return 0;
}

void svm_pair_format(const struct svm_pair_layout *l, uint32_t seg_id, uint8_t *base)
{
    struct svm_seg_hdr h = { .magic = SVM_MAGIC, .abi_version = SVM_ABI_VERSION, .size = l->size, .seg_id = seg_id,
                             .n_slots = l->n_slots, .slots_off = l->slots_off,
                             .ring_off = { l->arena_off[0], l->arena_off[1] },
                             .ring_size = { l->arena_size, l->arena_size } };
    struct svm_pair_hdr p = { .q = { l->q[0], l->q[1] } };

    memcpy(base, &h, sizeof(h));
    memcpy(base + sizeof(h), &p, sizeof(p));
}

void svm_slot_clear(struct svm_slot_srv *srv, struct svm_slot_cli *cli)
{
    memset(srv, 0, sizeof(*srv));
    memset(cli, 0, sizeof(*cli));
}

void svm_slot_pair_clear(struct svm_slot_pair *p)
{
    memset(p, 0, sizeof(*p));
}

/* ---------------------------------------------------------------- reading */

static bool range_ok(uint64_t off, uint64_t len, uint64_t size)
{
    return off <= size && len <= size - off;
}

int svm_seg_parse(const struct svm_segment *s, enum svm_seg_kind kind, struct svm_seg_info *out)
{
    const bool is_pair = kind == SVM_SEG_PAIR;
    uint64_t slot_size = is_pair ? sizeof(struct svm_slot_pair) : sizeof(struct svm_slot_srv);
    uint64_t control = sizeof(struct svm_seg_hdr) + (is_pair ? sizeof(struct svm_pair_hdr) : 0);
    struct svm_seg_hdr h;

    memset(out, 0, sizeof(*out));
    if (!s->base || s->size < control)
        return -EPROTO;
    memcpy(&h, s->base, sizeof(h)); /* the one and only look at it */
    __asm__ volatile("" ::: "memory"); /* so that the compiler does not look again */
    if (h.magic != SVM_MAGIC || h.abi_version != SVM_ABI_VERSION || h.size != s->size || !h.n_slots || h.n_slots > MAX_SLOTS)
        return -EPROTO;
    if (h.slots_off % HS_CACHE_LINE || h.slots_off < control || !range_ok(h.slots_off, h.n_slots * slot_size, s->size))
        return -EPROTO;
    for (int i = 0; i < (is_pair ? 2 : 1); i++) {
        /* Rings may not lie over the slots: a ring written there would change counters of other sessions. */
        if (h.ring_off[i] % PAGE || h.ring_off[i] < h.slots_off + h.n_slots * slot_size ||
            !range_ok(h.ring_off[i], h.ring_size[i], s->size))
            return -EPROTO;
        out->ring_off[i] = h.ring_off[i];
        out->ring_size[i] = h.ring_size[i];
    }
    if (is_pair) {
        struct svm_pair_hdr p;

        memcpy(&p, s->base + sizeof(h), sizeof(p));
        __asm__ volatile("" ::: "memory");
        out->q[0] = p.q[0];
        out->q[1] = p.q[1];
    }
    out->seg_id = h.seg_id;
    out->n_slots = h.n_slots;
    out->slots_off = h.slots_off;
    return 0;
}
