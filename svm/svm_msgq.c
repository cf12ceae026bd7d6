/* svm_msgq.c - single-producer single-consumer ring of 64-byte messages, and the announcements of sleep */
#include <errno.h>
#include <string.h>
#include "svm/svm_msgq.h"

enum { MSGQ_MIN_LOG2 = 4, MSGQ_MAX_LOG2 = 20 };

static bool line_ok(uint64_t off, uint64_t len, uint64_t size)
{
    return off % HS_CACHE_LINE == 0 && off <= size && len <= size - off;
}

/* d is a private copy. */
static bool desc_ok(const struct svm_msgq_desc *d, uint64_t prod_size, uint64_t cons_size)
{
    return d->log2 >= MSGQ_MIN_LOG2 && d->log2 <= MSGQ_MAX_LOG2 &&
           line_ok(d->prod_off, sizeof(struct svm_msgq_prod_line), prod_size) &&
           line_ok(d->cons_off, sizeof(struct svm_msgq_cons_line), cons_size) &&
           line_ok(d->entries_off, (uint64_t)SVM_MSG_SIZE << d->log2, prod_size);
}

int svm_msgq_prod_init(struct svm_msgq_prod *q, const struct svm_msgq_desc *d, uint8_t *prod_seg, uint64_t prod_size,
                       const uint8_t *cons_seg, uint64_t cons_size)
{
    struct svm_msgq_desc c = *d;

    memset(q, 0, sizeof(*q));
    q->failed = true;
    if (!desc_ok(&c, prod_size, cons_size))
        return -EPROTO;
    q->line = (void *)(prod_seg + c.prod_off);
    q->peer = (const void *)(cons_seg + c.cons_off);
    q->entries = (void *)(prod_seg + c.entries_off);
    q->mask = (1u << c.log2) - 1;
    q->tail = q->head_seen = q->line->tail;
    q->failed = false;
    return 0;
}

int svm_msgq_cons_init(struct svm_msgq_cons *q, const struct svm_msgq_desc *d, const uint8_t *prod_seg, uint64_t prod_size,
                       uint8_t *cons_seg, uint64_t cons_size)
{
    struct svm_msgq_desc c = *d;

    memset(q, 0, sizeof(*q));
    q->failed = true;
    if (!desc_ok(&c, prod_size, cons_size))
        return -EPROTO;
    q->line = (void *)(cons_seg + c.cons_off);
    q->peer = (const void *)(prod_seg + c.prod_off);
    q->entries = (const void *)(prod_seg + c.entries_off);
    q->mask = (1u << c.log2) - 1;
    q->head = q->tail_seen = q->line->head;
    q->failed = false;
    return 0;
}

static int load_head(struct svm_msgq_prod *q)
{
    uint32_t head;

    if (hs_unlikely(q->failed)) /* also after a failed init: there is no line */
        return -EPROTO;
    /* Acquire: pairs with the release in svm_msgq_take(): the entries before it have been copied. */
    head = __atomic_load_n(&q->peer->head, __ATOMIC_ACQUIRE);
    if (hs_unlikely(head - q->head_seen > q->tail - q->head_seen)) {
        q->failed = true;
        return -EPROTO;
    }
    q->head_seen = head;
    return 0;
}

int svm_msgq_post(struct svm_msgq_prod *q, const struct svm_msg *m)
{
    if (hs_unlikely(q->tail - q->head_seen > q->mask || q->failed)) {
        int rc = load_head(q);

        if (rc < 0)
            return rc;
        if (q->tail - q->head_seen > q->mask)
            return -EAGAIN;
    }
    q->entries[q->tail & q->mask] = *m;
    q->tail++;
    __builtin_prefetch(&q->entries[q->tail & q->mask], 1); /* the taker has read it */
    /* Release: pairs with the acquire of tail in svm_msgq_take() and svm_msgq_is_empty(). */
    __atomic_store_n(&q->line->tail, q->tail, __ATOMIC_RELEASE);
    return 0;
}

uint32_t svm_msgq_free(struct svm_msgq_prod *q)
{
    if (load_head(q) < 0)
        return 0;
    return q->mask + 1 - (q->tail - q->head_seen);
}

bool svm_msgq_is_behind(struct svm_msgq_prod *q, uint32_t n)
{
    if (q->tail - q->head_seen <= n)
        return false;
    return load_head(q) < 0 || q->tail - q->head_seen > n;
}

int svm_msgq_take(struct svm_msgq_cons *q, struct svm_msg *out, int max)
{
    uint32_t n = q->tail_seen - q->head;

    if (hs_unlikely(q->failed))
        return -EPROTO;
    if (n == 0) {
        /* Acquire: pairs with the release in svm_msgq_post(). */
        uint32_t tail = __atomic_load_n(&q->peer->tail, __ATOMIC_ACQUIRE);

        n = tail - q->head;
        if (hs_unlikely(n > q->mask + 1)) {
            q->failed = true;
            return -EPROTO;
        }
        q->tail_seen = tail;
    }
    if (max <= 0 || n == 0)
        return 0;
    n = hs_min_u32(n, (uint32_t)max);
    for (uint32_t i = 0; i < n; i++)
        out[i] = q->entries[(q->head + i) & q->mask];
    q->head += n;
    /* Release: pairs with the acquire in load_head(). */
    __atomic_store_n(&q->line->head, q->head, __ATOMIC_RELEASE);
    return (int)n;
}

bool svm_msgq_is_empty(const struct svm_msgq_cons *q)
{
    /* A dead half is not empty, so that its owner takes, and finds the error. */
    return !q->failed && __atomic_load_n(&q->peer->tail, __ATOMIC_ACQUIRE) == q->head;
}

bool svm_msgq_is_full(const struct svm_msgq_cons *q)
{
    return __atomic_load_n(&q->peer->tail, __ATOMIC_RELAXED) - q->head > q->mask;
}

static void announce(struct svm_sleep_line *own, uint32_t nap)
{
    uint32_t seq = __atomic_load_n(&own->seq, __ATOMIC_RELAXED);

    __atomic_store_n(&own->nap, nap, __ATOMIC_RELAXED);
    __atomic_store_n(&own->seq, (seq | 1) + (seq & 1 ? 2 : 0), __ATOMIC_RELAXED); /* next odd value, whatever stands there */
    /* Full fence: the announcement before the last look at the sources; pairs with the one in svm_sleep_must_ring(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

void svm_sleep_begin(struct svm_sleep_line *own) { announce(own, 0); }
void svm_nap_begin(struct svm_sleep_line *own) { announce(own, 1); }

void svm_sleep_end(struct svm_sleep_line *own)
{
    uint32_t seq = __atomic_load_n(&own->seq, __ATOMIC_RELAXED);

    __atomic_store_n(&own->seq, seq + (seq & 1), __ATOMIC_RELAXED);
}

bool svm_sleep_must_ring(const struct svm_sleep_line *peer, uint32_t *last_rung)
{
    uint32_t seq;

    /* Full fence: what was published before the announcement is read; pairs with the one in svm_sleep_begin(). */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    seq = __atomic_load_n(&peer->seq, __ATOMIC_RELAXED);
    if (!(seq & 1) || seq == *last_rung)
        return false;
    *last_rung = seq;
    return true;
}

bool svm_sleep_must_ring_late(const struct svm_sleep_line *peer, uint32_t *last_rung)
{
    /* As above. Who sees a nap that is over by now is seen by the look that follows the next announcement. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return !__atomic_load_n(&peer->nap, __ATOMIC_RELAXED) && svm_sleep_must_ring(peer, last_rung);
}
