/* svm_fifo_cons.c - consuming half of a FIFO: checked copies of tail and ring descriptors, peek, dequeue, arming */
#include "svm/svm_fifo_internal.h"

static int fail(struct svm_fifo_cons *f)
{
    f->regions = NULL;
    f->cur_size = 0;
    return -EPROTO;
}

void svm_fifo_cons_fail(struct svm_fifo_cons *f) { (void)fail(f); }

void svm_fifo_cons_init(struct svm_fifo_cons *f, struct svm_fifo_cons_line *line, const struct svm_fifo_prod_line *peer,
                        const struct svm_region_table *regions, uint32_t max_size)
{
    memset(f, 0, sizeof(*f));
    f->line = line;
    f->peer = peer;
    f->regions = regions;
    f->max_size = max_size;
    f->head = f->tail_seen = line->head;
    f->space_acked = line->space_ack;
    /* An event posted before this half existed tells nothing that the first look does not show. */
    f->evt_taken = __atomic_load_n(&peer->evt_seq, __ATOMIC_RELAXED);
}

bool svm_fifo_cons_is_plain(const struct svm_fifo_cons *f, uint32_t max_size)
{
    const struct svm_fifo_cons_line *l = f->line;

    return !svm_fifo_cons_failed(f) && f->tail_seen == f->head && l->head == f->head && l->space_ack == f->space_acked &&
           l->evt_ack == f->evt_taken && f->max_size == max_size;
}

/* Checks one descriptor, already copied. True with *data, *ring_size set if the ring lies within a mapped region. */
static bool ring_check(const struct svm_region_table *t, uint32_t offset64, uint32_t word, uint8_t **data, uint32_t *ring_size)
{
    uint32_t region = svm_ring_word_region(word), log2 = svm_ring_word_log2(word);
    uint64_t offset = (uint64_t)offset64 << 6, size;

    /* Acquire: pairs with the release of n where a bank is added to the table (its base and size come first). */
    if (region >= SVM_MAX_BANKS || region >= __atomic_load_n(&t->n, __ATOMIC_ACQUIRE) || !t->r[region].base)
        return false;
    if (log2 < SVM_RING_MIN_LOG2 || log2 > SVM_RING_MAX_LOG2)
        return false;
    size = t->r[region].size;
    if (offset > size || size - offset < 1u << log2)
        return false;
    *data = t->r[region].base + offset;
    *ring_size = 1u << log2;
    return true;
}

static bool load_ring(const struct svm_fifo_cons *f, const struct svm_ring_desc *d, uint32_t *start, uint8_t **data, uint32_t *size)
{
    uint32_t offset64 = __atomic_load_n(&d->offset64, __ATOMIC_RELAXED);
    uint32_t word = __atomic_load_n((const uint32_t *)(const void *)&d->region, __ATOMIC_RELAXED);

    *start = __atomic_load_n(&d->start, __ATOMIC_RELAXED);
    return ring_check(f->regions, offset64, word, data, size);
}

uint32_t svm_fifo_cons_ring_size(const struct svm_fifo_cons *f)
{
    uint32_t gen, start, size;
    uint8_t *data;

    if (svm_fifo_cons_failed(f))
        return 0;
    /* Acquire: as in reload(). */
    gen = __atomic_load_n(&f->peer->gen, __ATOMIC_ACQUIRE);
    return load_ring(f, &f->peer->ring[gen & 1], &start, &data, &size) ? size : 0;
}

/* Copies the current descriptor. A bad one is an error only when a byte is needed from it. The producer cannot rewrite it while we
 * see unread bytes, since for that our head would have to reach a start that lies behind them. The previous one is looked at when a
 * byte of its ring is wanted, and checked each time: the producer rewrites it only when no unread byte is there. */
static void load_current(struct svm_fifo_cons *f, uint32_t gen)
{
    f->gen_seen = gen;
    if (!load_ring(f, &f->peer->ring[gen & 1], &f->cur_start, &f->cur_data, &f->cur_size))
        f->cur_size = 0;
}

/* Takes a checked copy of the producer's tail, and of its rings if they changed. */
static int reload(struct svm_fifo_cons *f)
{
    uint32_t tail, gen;

    if (hs_unlikely(svm_fifo_cons_failed(f)))
        return -EPROTO;
    /* Acquire: pairs with the release in publish_tail() (svm_fifo_prod.c). */
    tail = __atomic_load_n(&f->peer->tail, __ATOMIC_ACQUIRE);
    if (hs_unlikely(tail - f->head > f->max_size || tail - f->head < f->tail_seen - f->head))
        return fail(f); /* more than may be unread, or bytes taken back */
    f->tail_seen = tail;
    if (tail != f->head) {
        /* Acquire: pairs with the release of gen in publish_ring(). */
        gen = __atomic_load_n(&f->peer->gen, __ATOMIC_ACQUIRE);
        if (hs_unlikely(gen != f->gen_seen || !f->cur_size))
            load_current(f, gen);
    }
    return 0;
}

/* A ring that is needed failed its check: fatal, unless it may be in a bank that this process has still to map. */
static int ring_missing(struct svm_fifo_cons *f, uint32_t slot)
{
    const struct svm_ring_desc *d = &f->peer->ring[slot & 1];
    uint32_t region = svm_ring_word_region(__atomic_load_n((const uint32_t *)(const void *)&d->region, __ATOMIC_RELAXED));

    f->cur_size = 0; /* look again next time */
    if (f->regions->grows && region < SVM_MAX_BANKS &&
        (region >= __atomic_load_n(&f->regions->n, __ATOMIC_ACQUIRE) || !f->regions->r[region].base))
        return -ENXIO;
    return fail(f);
}

/* Adds the one or two pieces of [pos, pos + len) of one ring. */
static inline int add_pieces(struct iovec *iov, int n, uint8_t *data, uint32_t mask, uint32_t pos, uint32_t len)
{
    uint32_t at = pos & mask, first = hs_min_u32(len, mask + 1 - at);

    iov[n++] = (struct iovec){ data + at, first };
    if (hs_unlikely(first < len))
        iov[n++] = (struct iovec){ data, len - first };
    return n;
}

int64_t svm_fifo_cons_avail(struct svm_fifo_cons *f)
{
    int rc = reload(f);

    return rc < 0 ? rc : (int64_t)(f->tail_seen - f->head);
}

int svm_fifo_peek_iov(struct svm_fifo_cons *f, uint32_t offset, uint32_t len, struct iovec iov[4])
{
    uint32_t avail = f->tail_seen - f->head, pos = f->head + offset;
    int n = 0;

    if (offset >= avail || len > avail - offset || hs_unlikely(!f->cur_size)) {
        int rc = reload(f);

        if (rc < 0)
            return rc;
        avail = f->tail_seen - f->head;
        if (offset >= avail)
            return 0;
        len = hs_min_u32(len, avail - offset);
    }
    if (len == 0)
        return 0;
    if (hs_unlikely(seq_lt(pos, f->cur_start))) {
        uint32_t part = hs_min_u32(len, f->cur_start - pos), start, size;
        uint8_t *data;

        if (!load_ring(f, &f->peer->ring[(f->gen_seen + 1) & 1], &start, &data, &size))
            return ring_missing(f, f->gen_seen + 1);
        if (part > size)
            return fail(f); /* a ring cannot hold more than its size */
        n = add_pieces(iov, n, data, size - 1, pos, part);
        pos += part;
        len -= part;
    }
    if (len) {
        if (hs_unlikely(!f->cur_size))
            return ring_missing(f, f->gen_seen);
        if (hs_unlikely(len > f->cur_size))
            return fail(f);
        n = add_pieces(iov, n, f->cur_data, f->cur_size - 1, pos, len);
    }
    return n;
}

static inline void move_head(struct svm_fifo_cons *f, uint32_t len)
{
    f->head += len;
    /* Release: pairs with the acquire in load_head() (svm_fifo_prod.c): the bytes were copied before they are given up. */
    __atomic_store_n(&f->line->head, f->head, __ATOMIC_RELEASE);
}

int64_t svm_fifo_peek(struct svm_fifo_cons *f, uint32_t offset, void *buf, uint32_t len)
{
    struct iovec iov[4];
    int n = svm_fifo_peek_iov(f, offset, len, iov);
    uint8_t *to = buf;

    for (int i = 0; i < n; i++) {
        memcpy(to, iov[i].iov_base, iov[i].iov_len);
        to += iov[i].iov_len;
    }
    return n < 0 ? n : to - (uint8_t *)buf;
}

int64_t svm_fifo_dequeue(struct svm_fifo_cons *f, void *buf, uint32_t len)
{
    int64_t n = svm_fifo_peek(f, 0, buf, len);

    if (n > 0)
        move_head(f, (uint32_t)n);
    return n;
}

int64_t svm_fifo_dequeue_iov(struct svm_fifo_cons *f, const struct iovec *iov, int n_iov)
{
    uint32_t done = 0;

    for (int i = 0; i < n_iov; i++) {
        uint32_t want = iov[i].iov_len < UINT32_MAX ? (uint32_t)iov[i].iov_len : UINT32_MAX;
        int64_t n = want ? svm_fifo_peek(f, done, iov[i].iov_base, want) : 0;

        if (n < 0)
            return n;
        done += (uint32_t)n;
        if (n < want)
            break;
    }
    if (done)
        move_head(f, done);
    return done;
}

int svm_fifo_drop(struct svm_fifo_cons *f, uint32_t len)
{
    if (hs_unlikely(len > f->tail_seen - f->head || svm_fifo_cons_failed(f))) {
        int rc = reload(f);

        if (rc < 0)
            return rc;
        if (len > f->tail_seen - f->head)
            return fail(f);
    }
    if (len)
        move_head(f, len);
    return 0;
}

static inline uint32_t peer_flags(const struct svm_fifo_cons *f) { return svm_fifo_line_flags(f->peer); }

bool svm_fifo_cons_is_fin(const struct svm_fifo_cons *f)
{
    return peer_flags(f) & SVM_FIFO_FIN;
}

int svm_fifo_line_rst(const struct svm_fifo_prod_line *peer)
{
    int32_t error;

    if (!(svm_fifo_line_flags(peer) & SVM_FIFO_RST))
        return 0;
    error = __atomic_load_n(&peer->error, __ATOMIC_RELAXED);
    return error < 0 && error > -4096 ? error : -ECONNRESET;
}

int svm_fifo_cons_rst(const struct svm_fifo_cons *f) { return svm_fifo_line_rst(f->peer); }

void svm_fifo_cons_set_closed(struct svm_fifo_cons *f)
{
    /* Release: pairs with the acquire in svm_fifo_prod_peer_closed(). */
    __atomic_fetch_or(&f->line->flags, SVM_FIFO_RD_CLOSED, __ATOMIC_RELEASE);
}

void svm_fifo_cons_set_looked(struct svm_fifo_cons *f)
{
    if (hs_unlikely(!(__atomic_load_n(&f->line->flags, __ATOMIC_RELAXED) & SVM_FIFO_RD_LOOKED)))
        __atomic_fetch_or(&f->line->flags, SVM_FIFO_RD_LOOKED, __ATOMIC_RELEASE); /* pairs with the acquire in vcl_claim_look_again() */
}

void svm_fifo_cons_want_stamps(struct svm_fifo_cons *f)
{
    __atomic_fetch_or(&f->line->flags, SVM_FIFO_RD_STAMPS, __ATOMIC_RELAXED);
}

int64_t svm_fifo_cons_stamp(const struct svm_fifo_cons *f, uint32_t offset)
{
    const struct svm_fifo_cons_line *peer = (const void *)(f->peer + 1);
    /* Acquire: pairs with the release in put_stamp() (svm_fifo_prod.c): the time is at least that of these bytes. */
    uint32_t tail = __atomic_load_n(&peer->stamp_tail, __ATOMIC_ACQUIRE);
    uint64_t ns = __atomic_load_n(&peer->stamp_ns, __ATOMIC_RELAXED);

    return (int32_t)(tail - (f->head + offset)) >= 0 && ns <= INT64_MAX ? (int64_t)ns : 0;
}

void svm_fifo_cons_event_taken(struct svm_fifo_cons *f, uint32_t evt_seq)
{
    f->evt_taken = evt_seq;
}

bool svm_fifo_cons_arm(struct svm_fifo_cons *f)
{
    __atomic_store_n(&f->line->evt_ack, f->evt_taken, __ATOMIC_RELAXED);
    /* Full fence: evt_ack before tail and flags; pairs with the fence in svm_fifo_prod_event_due(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (peer_flags(f) & (SVM_FIFO_FIN | SVM_FIFO_RST))
        return true;
    return reload(f) < 0 || f->tail_seen != f->head; /* an error is found by whoever looks */
}

bool svm_fifo_cons_space_due(struct svm_fifo_cons *f)
{
    /* Full fence: head before space_want; pairs with the fence in svm_fifo_prod_want_space(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return svm_fifo_cons_space_is(f);
}

bool svm_fifo_cons_space_is(struct svm_fifo_cons *f)
{
    uint32_t want, unread, bytes;

    /* Acquire: pairs with the release of space_want in svm_fifo_prod_want_space(): space_bytes comes first. */
    want = __atomic_load_n(&f->peer->space_want, __ATOMIC_ACQUIRE);
    if (hs_likely(want == f->space_acked))
        return false;
    bytes = hs_min_u32(__atomic_load_n(&f->peer->space_bytes, __ATOMIC_RELAXED), f->max_size);
    unread = __atomic_load_n(&f->peer->tail, __ATOMIC_RELAXED) - f->head;
    if (unread > f->max_size || f->max_size - unread < bytes)
        return false; /* garbage in tail is found by whoever reads next */
    f->space_acked = want;
    __atomic_store_n(&f->line->space_ack, want, __ATOMIC_RELAXED);
    return true;
}

void svm_fifo_cons_prefetch(const struct svm_fifo_cons *f)
{
    const struct svm_ring_desc *d;
    uint32_t word, region, size, n;
    const struct svm_region_table *t = f->regions;

    if (f->cur_size) {
        __builtin_prefetch(f->cur_data + (f->head & (f->cur_size - 1)));
        return;
    }
    d = &f->peer->ring[__atomic_load_n(&f->peer->gen, __ATOMIC_RELAXED) & 1];
    word = __atomic_load_n((const uint32_t *)(const void *)&d->region, __ATOMIC_RELAXED);
    region = svm_ring_word_region(word);
    size = 1u << (svm_ring_word_log2(word) & 31);
    n = t ? __atomic_load_n(&t->n, __ATOMIC_ACQUIRE) : 0;
    if (region < n && region < SVM_MAX_BANKS) /* whatever the rest says: a prefetch has no effect but on the cache */
        __builtin_prefetch(t->r[region].base + ((uint64_t)__atomic_load_n(&d->offset64, __ATOMIC_RELAXED) << 6) + (f->head & (size - 1)));
}
