/* svm_fifo_prod.c - producing half of a FIFO: enqueue, reserve and commit, growth, give-back, events */
#include <stdlib.h>
#include "common/clock.h"
#include "svm/svm_fifo_internal.h"

enum {
    GROW_SHIFT = 2,          /* a full ring is followed by one four times as large */
    STREAM_MIN_LOG2 = 12,    /* a first write above half of this starts with a page */
    START_MAX_AGE = 1 << 30, /* bytes after which `start` is renewed, long before serial comparison would turn over */
};

static int fail(struct svm_fifo_prod *f)
{
    f->failed = true;
    return -EPROTO;
}

void svm_fifo_prod_fail(struct svm_fifo_prod *f) { (void)fail(f); }

void svm_fifo_prod_init(struct svm_fifo_prod *f, struct svm_fifo_prod_line *line, const struct svm_fifo_cons_line *peer,
                        const struct svm_region_table *regions, const struct svm_ring_ops *ops, void *ring_ctx,
                        uint32_t max_size)
{
    memset(f, 0, sizeof(*f));
    f->line = line;
    f->peer = peer;
    f->regions = regions;
    f->ring_ops = ops;
    f->ring_ctx = ring_ctx;
    f->max_size = 1u << (max_size > 1u << SVM_RING_MAX_LOG2 ? SVM_RING_MAX_LOG2 : svm_ring_log2_for(max_size));
    f->tail = f->head_seen = f->start = line->tail;
    f->gen = line->gen;
    f->evt_seq = line->evt_seq;
    f->space_want = line->space_want;
}

bool svm_fifo_prod_is_plain(const struct svm_fifo_prod *f, uint32_t max_size)
{
    const struct svm_fifo_prod_line *l = f->line;

    return !f->failed && !f->fin && !f->cur_log2 && !f->old_log2 && !f->ooo && f->head_seen == f->tail && f->start == f->tail &&
           l->tail == f->tail && l->gen == f->gen && l->evt_seq == f->evt_seq && l->space_want == f->space_want && f->max_size == max_size;
}

static void free_old(struct svm_fifo_prod *f)
{
    if (f->old_log2) {
        f->ring_ops->free(f->ring_ctx, f->old_log2, f->old_region, (uint64_t)f->old_off64 << 6);
        f->old_log2 = 0;
    }
}

static void free_current(struct svm_fifo_prod *f)
{
    if (f->cur_log2) {
        f->ring_ops->free(f->ring_ctx, f->cur_log2, f->cur_region, (uint64_t)f->cur_off64 << 6);
        f->cur_log2 = 0;
        f->mask = 0;
        f->data = NULL;
    }
}

void svm_fifo_prod_fini(struct svm_fifo_prod *f)
{
    if (!f->ring_ops) /* never initialised, or a second time */
        return;
    free_old(f);
    free_current(f);
    free(f->ooo);
    f->ooo = NULL;
    f->n_ooo = 0;
    f->ring_ops = NULL;
    f->failed = true;
}

/* Next generation: the current ring as the private half has it, used from `start` on.
 * Only when head has reached the former start: the slot overwritten is that of the previous ring, which nobody reads now. */
static void publish_ring(struct svm_fifo_prod *f, uint32_t start)
{
    struct svm_ring_desc *d = &f->line->ring[(f->gen + 1) & 1];

    f->start = start;
    f->gen++;
    __atomic_store_n(&d->start, start, __ATOMIC_RELAXED);
    __atomic_store_n(&d->offset64, f->cur_off64, __ATOMIC_RELAXED);
    __atomic_store_n((uint32_t *)(void *)&d->region, svm_ring_word(f->cur_region, f->cur_log2), __ATOMIC_RELAXED);
    /* Release: pairs with the acquire of gen in load_rings() (svm_fifo_cons.c). */
    __atomic_store_n(&f->line->gen, f->gen, __ATOMIC_RELEASE);
}

/* Reloads and checks the consumer's head; frees the previous ring once nobody reads it. */
static int load_head(struct svm_fifo_prod *f)
{
    /* Acquire: pairs with the release of head in svm_fifo_drop(): the bytes before it have been copied out. */
    uint32_t head = __atomic_load_n(&f->peer->head, __ATOMIC_ACQUIRE);

    if (hs_unlikely(f->failed || head - f->head_seen > f->tail - f->head_seen))
        return fail(f);
    f->head_seen = head;
    if (f->old_log2 && seq_geq(head, f->start))
        free_old(f);
    /* A ring in use for long: renew its start before `p - start` turns negative. Same ring, so nothing moves. */
    if (hs_unlikely(f->cur_log2 && f->tail - f->start > START_MAX_AGE))
        publish_ring(f, head);
    return 0;
}

/* Free bytes of the current ring, by the head last seen. */
static inline uint32_t ring_room(const struct svm_fifo_prod *f)
{
    uint32_t from = seq_geq(f->head_seen, f->start) ? f->head_seen : f->start;

    return f->mask ? f->mask + 1 - (f->tail - from) : 0;
}

static inline uint32_t limit_room(const struct svm_fifo_prod *f)
{
    return f->max_size - (f->tail - f->head_seen);
}

static inline bool can_grow(const struct svm_fifo_prod *f)
{
    return f->mask + 1 < f->max_size && !f->old_log2 && !f->no_mem;
}

/* Links a new ring of 2^want (smaller ones down to 2^least if memory is short) and goes on there from tail.
 * Bytes out of order move along. The caller has seen that the previous ring is no longer in use. */
static int relink(struct svm_fifo_prod *f, uint8_t want, uint8_t least)
{
    uint16_t region;
    uint64_t offset;
    uint8_t *data;

    for (;; want--) {
        int rc = f->ring_ops->alloc(f->ring_ctx, want, &region, &offset);

        if (rc == 0)
            break;
        if (want <= least) {
            f->no_mem = true;
            return -ENOMEM;
        }
    }
    data = f->regions->r[region].base + offset;
    if (f->n_ooo)
        svm_fifo_ooo_move(f, data, (1u << want) - 1);
    f->old_log2 = f->cur_log2;
    f->old_region = f->cur_region;
    f->old_off64 = f->cur_off64;
    f->cur_log2 = want;
    f->cur_region = (uint8_t)region;
    f->cur_off64 = (uint32_t)(offset >> 6);
    f->data = data;
    f->mask = (1u << want) - 1;
    publish_ring(f, f->tail);
    f->no_mem = false;
    if (f->head_seen == f->tail)
        free_old(f);
    return 0;
}

/* A ring with room for `need` bytes from tail on (need <= limit_room). 0, -ENOMEM, -EAGAIN. */
static int grow_for(struct svm_fifo_prod *f, uint32_t need)
{
    uint32_t beyond = f->n_ooo ? f->ooo[f->n_ooo - 1].end - f->tail : 0;
    uint8_t want, least, max_log2 = (uint8_t)__builtin_ctz(f->max_size);

    if (f->cur_log2 >= max_log2 || f->old_log2)
        return -EAGAIN;
    want = svm_ring_log2_for(hs_max_u32(need, beyond));
    least = SVM_RING_MIN_LOG2;
    if (f->cur_log2) {
        /* The one further ring until the consumer has emptied this one: it must hold all that was promised. */
        if (want < f->floor_log2)
            want = f->floor_log2;
        least = f->cur_log2 + 1;
        want = want > f->cur_log2 + GROW_SHIFT ? want : f->cur_log2 + GROW_SHIFT;
    } else if (need > 1u << (STREAM_MIN_LOG2 - 1) && want < STREAM_MIN_LOG2) {
        want = STREAM_MIN_LOG2;
    } else if (want < STREAM_MIN_LOG2) { /* what follows it may have to be large: another such message shall fit first */
        want = svm_ring_log2_for(2 * hs_max_u32(need, beyond));
    }
    if (beyond > 1u << least) /* bytes out of order must fit */
        least = svm_ring_log2_for(beyond);
    if (want > max_log2)
        want = max_log2;
    return relink(f, want, least < want ? least : want);
}

static int64_t room_slow(struct svm_fifo_prod *f, uint32_t want)
{
    uint32_t limit, room;
    int rc = load_head(f);

    if (rc < 0)
        return rc;
    limit = limit_room(f);
    want = hs_min_u32(want, limit);
    room = ring_room(f);
    if (want > room) {
        rc = grow_for(f, want);
        room = ring_room(f);
        if (rc == -ENOMEM && !f->mask)
            return -ENOMEM;
    }
    return hs_min_u32(want, room);
}

/* How many of `want` bytes can be written at tail now: 0..want, -ENOMEM, -EPROTO. */
static inline int64_t room_for(struct svm_fifo_prod *f, uint32_t want)
{
    if (hs_likely(!f->failed && want <= ring_room(f) && want <= limit_room(f)))
        return want;
    return room_slow(f, want);
}

static inline void publish_tail(struct svm_fifo_prod *f, uint32_t tail)
{
    if (hs_unlikely(f->n_ooo))
        tail = svm_fifo_ooo_absorb(f, tail);
    f->tail = tail;
    /* Release: pairs with the acquire of tail in reload() (svm_fifo_cons.c): bytes and ring descriptor come first. */
    __atomic_store_n(&f->line->tail, tail, __ATOMIC_RELEASE);
}

int64_t svm_fifo_prod_unread(struct svm_fifo_prod *f)
{
    int rc = load_head(f);

    return rc < 0 ? rc : (int64_t)(f->tail - f->head_seen);
}

int64_t svm_fifo_prod_space(struct svm_fifo_prod *f)
{
    int rc = load_head(f);

    if (rc < 0)
        return rc;
    /* A ring that cannot be replaced now (the previous one is still read, or memory is short) is all there is. */
    if (can_grow(f) || !f->mask)
        return limit_room(f);
    return hs_min_u32(limit_room(f), ring_room(f));
}

int64_t svm_fifo_prod_ready(struct svm_fifo_prod *f)
{
    if (hs_unlikely(f->mask && ring_room(f) == 0 && load_head(f) == 0 && ring_room(f) == 0 && can_grow(f) && limit_room(f)))
        (void)grow_for(f, 1); /* without memory the ring is all there is, which the next line tells */
    return svm_fifo_prod_space(f);
}

int64_t svm_fifo_enqueue(struct svm_fifo_prod *f, const void *data, uint32_t len)
{
    int64_t n = room_for(f, len);

    if (hs_likely(n > 0)) {
        svm_ring_write(f->data, f->mask, f->tail, data, (uint32_t)n);
        publish_tail(f, f->tail + (uint32_t)n);
    }
    return n;
}

/* Sum of the lengths, saturated. */
static uint32_t iov_total(const struct iovec *iov, int n_iov)
{
    uint64_t total = 0;

    for (int i = 0; i < n_iov; i++) {
        if (iov[i].iov_len > UINT32_MAX - total)
            return UINT32_MAX;
        total += iov[i].iov_len;
    }
    return (uint32_t)total;
}

/* Copies n bytes out of the pieces to the ring at tail. */
static void write_iov(struct svm_fifo_prod *f, const struct iovec *iov, uint32_t n)
{
    uint32_t pos = f->tail;

    for (; n; iov++) {
        uint32_t part = iov->iov_len < n ? (uint32_t)iov->iov_len : n;

        if (part)
            svm_ring_write(f->data, f->mask, pos, iov->iov_base, part);
        pos += part;
        n -= part;
    }
}

int64_t svm_fifo_enqueue_iov(struct svm_fifo_prod *f, const struct iovec *iov, int n_iov)
{
    int64_t n = room_for(f, iov_total(iov, n_iov));

    if (n > 0) {
        write_iov(f, iov, (uint32_t)n);
        publish_tail(f, f->tail + (uint32_t)n);
    }
    return n;
}

int svm_fifo_enqueue_record(struct svm_fifo_prod *f, const struct iovec *iov, int n_iov)
{
    uint32_t total = iov_total(iov, n_iov);
    int64_t n;

    if (total > f->max_size)
        return -EMSGSIZE; /* could never fit */
    n = room_for(f, total);
    if (n < 0)
        return (int)n;
    if (n < total)
        return -EAGAIN;
    write_iov(f, iov, total);
    publish_tail(f, f->tail + total);
    return 0;
}

int svm_fifo_reserve(struct svm_fifo_prod *f, uint32_t want, struct iovec iov[2])
{
    int64_t n = room_for(f, want);
    uint32_t at, first;

    if (n <= 0)
        return (int)n;
    at = f->tail & f->mask;
    first = hs_min_u32((uint32_t)n, f->mask + 1 - at);
    iov[0] = (struct iovec){ f->data + at, first };
    if (first == n)
        return 1;
    iov[1] = (struct iovec){ f->data, (size_t)n - first };
    return 2;
}

int svm_fifo_commit(struct svm_fifo_prod *f, uint32_t len)
{
    if (f->failed)
        return -EPROTO;
    if (len > ring_room(f) || len > limit_room(f))
        return -EINVAL;
    publish_tail(f, f->tail + len);
    return 0;
}

int64_t svm_fifo_enqueue_at(struct svm_fifo_prod *f, uint32_t offset, const void *data, uint32_t len)
{
    uint32_t start = f->tail, at = f->tail + offset;
    int64_t n;

    if (offset > f->max_size || len > f->max_size)
        return f->failed ? -EPROTO : -ENOBUFS;
    n = room_for(f, offset + len);
    if (n < 0)
        return n == -ENOMEM ? -ENOBUFS : n;
    if (n < offset + len)
        return -ENOBUFS;
    if (len == 0)
        return 0;
    if (offset > 0) {
        int rc = svm_fifo_ooo_prepare(f, at, at + len);

        if (rc < 0)
            return rc;
    }
    svm_ring_write(f->data, f->mask, at, data, len);
    if (offset > 0) {
        svm_fifo_ooo_add(f, at, at + len);
        return 0;
    }
    publish_tail(f, at + len);
    return f->tail - start;
}

int svm_fifo_prod_grow(struct svm_fifo_prod *f, uint32_t at_least)
{
    uint8_t want = svm_ring_log2_for(hs_min_u32(at_least, f->max_size)), least = want;
    uint32_t beyond;
    int rc;

    if (f->failed)
        return -EPROTO;
    if (want <= f->cur_log2)
        return 0;
    rc = load_head(f);
    if (rc < 0)
        return rc;
    if (f->old_log2)
        return -EAGAIN;
    beyond = f->n_ooo ? f->ooo[f->n_ooo - 1].end - f->tail : 0;
    if (beyond > 1u << want)
        want = least = svm_ring_log2_for(beyond);
    return relink(f, want, least);
}

void svm_fifo_prod_give_back(struct svm_fifo_prod *f)
{
    if (f->failed || load_head(f) < 0)
        return;
    if (f->head_seen != f->tail || f->n_ooo || !f->cur_log2)
        return;
    /* Empty: head has reached start, so the previous ring is free already; go on with no ring. */
    free_old(f);
    free_current(f);
    f->cur_region = 0;
    f->cur_off64 = 0;
    f->no_mem = false;
    publish_ring(f, f->tail);
}

static void gain_flags(struct svm_fifo_prod *f, uint32_t bits)
{
    /* Release: pairs with the acquire of flags in svm_fifo_cons_is_fin() and _rst(): tail and error come first. The server may set
     * SVM_FIFO_MOVED at the same moment. */
    __atomic_fetch_or(&f->line->flags, bits, __ATOMIC_RELEASE);
}

void svm_fifo_prod_set_fin(struct svm_fifo_prod *f)
{
    f->fin = true;
    gain_flags(f, SVM_FIFO_FIN);
}

void svm_fifo_prod_set_rst(struct svm_fifo_prod *f, int error)
{
    __atomic_store_n(&f->line->error, error, __ATOMIC_RELAXED);
    gain_flags(f, SVM_FIFO_RST);
}

bool svm_fifo_prod_peer_closed(const struct svm_fifo_prod *f)
{
    /* Acquire: pairs with the release in svm_fifo_cons_set_closed(). */
    return __atomic_load_n(&f->peer->flags, __ATOMIC_ACQUIRE) & SVM_FIFO_RD_CLOSED;
}

static __attribute__((noinline)) void put_stamp(struct svm_fifo_prod *f)
{
    struct svm_fifo_cons_line *own = (struct svm_fifo_cons_line *)(f->line + 1);

    if (own->stamp_tail == f->tail)
        return; /* another event, no byte */
    __atomic_store_n(&own->stamp_ns, clock_wall_ns(), __ATOMIC_RELAXED);
    /* Release: pairs with the acquire in svm_fifo_cons_stamp(). */
    __atomic_store_n(&own->stamp_tail, f->tail, __ATOMIC_RELEASE);
}

bool svm_fifo_prod_event_due(struct svm_fifo_prod *f)
{
    /* Full fence: tail or flags before evt_ack; pairs with the fence in svm_fifo_cons_arm(): one side sees the other. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return svm_fifo_prod_event_is(f);
}

bool svm_fifo_prod_event_is(struct svm_fifo_prod *f)
{
    uint32_t seq;

    if (hs_unlikely(__atomic_load_n(&f->peer->flags, __ATOMIC_RELAXED) & SVM_FIFO_RD_STAMPS) && f->has_stamps)
        put_stamp(f);
    if (__atomic_load_n(&f->peer->evt_ack, __ATOMIC_RELAXED) != f->evt_seq)
        return false;
    seq = f->evt_seq + 1;
    __atomic_store_n(&f->evt_seq, seq, __ATOMIC_RELAXED);
    __atomic_store_n(&f->line->evt_seq, seq, __ATOMIC_RELAXED);
    return true;
}

bool svm_fifo_prod_want_space(struct svm_fifo_prod *f, uint32_t bytes)
{
    int64_t space = svm_fifo_prod_space(f);
    uint32_t wanted = hs_min_u32(bytes, f->max_size);

    if (space < 0 || space >= wanted)
        return true; /* or dead: the next call says so */
    /* The consumer compares with max_size - unread. Where the ring is what limits, translate: it is enough once the
     * previous ring is empty (then we can grow), or once the current ring has that many free bytes. */
    if (f->old_log2)
        wanted = hs_max_u32(wanted, f->max_size - (f->tail - f->start));
    else if (!can_grow(f) && f->mask)
        wanted = hs_min_u32(f->max_size, f->max_size - (f->mask + 1) + hs_min_u32(wanted, f->mask + 1));
    __atomic_store_n(&f->line->space_bytes, wanted, __ATOMIC_RELAXED);
    f->space_want++;
    __atomic_store_n(&f->line->space_want, f->space_want, __ATOMIC_RELEASE);
    /* Full fence: space_want before head; pairs with the fence in svm_fifo_cons_space_due(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    space = svm_fifo_prod_space(f);
    if (space < 0)
        return true;
    return limit_room(f) >= wanted; /* otherwise the consumer's next move of head is after the fence and sees space_want */
}
