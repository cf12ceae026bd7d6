/* svm_fifo_ooo.c - the producer's private list of bytes that came out of order (TCP receive, RFC 9293 s3.10.7.4) */
#include <stdlib.h>
#include "svm/svm_fifo_internal.h"

enum { OOO_FIRST = 16 };

/* Intervals that touch or overlap [start, end) are [*first, *past). */
static void find_touching(const struct svm_fifo_prod *f, uint32_t start, uint32_t end, uint16_t *first, uint16_t *past)
{
    uint16_t i = 0, j = f->n_ooo;

    while (i < j) {
        uint16_t mid = (uint16_t)((i + j) / 2);

        if (seq_lt(f->ooo[mid].end, start))
            i = (uint16_t)(mid + 1);
        else
            j = mid;
    }
    while (j < f->n_ooo && seq_leq(f->ooo[j].start, end))
        j++;
    *first = i;
    *past = j;
}

/* Room for one more. The list doubles whenever it is full, so that its length tells its size. */
static int ooo_room(struct svm_fifo_prod *f)
{
    uint16_t n = f->n_ooo;
    struct svm_ooo *o;

    if (f->ooo && (n < OOO_FIRST || (n & (n - 1)) != 0))
        return 0;
    if (n == SVM_FIFO_MAX_OOO)
        return -ENOBUFS;
    o = realloc(f->ooo, (n < OOO_FIRST ? OOO_FIRST : 2u * n) * sizeof(*o));
    if (!o)
        return -ENOBUFS;
    f->ooo = o;
    return 0;
}

int svm_fifo_ooo_prepare(struct svm_fifo_prod *f, uint32_t start, uint32_t end)
{
    uint16_t first, past;

    find_touching(f, start, end, &first, &past);
    return first == past ? ooo_room(f) : 0;
}

void svm_fifo_ooo_add(struct svm_fifo_prod *f, uint32_t start, uint32_t end)
{
    struct svm_ooo *o = f->ooo;
    uint16_t first, past;

    find_touching(f, start, end, &first, &past);
    if (first == past) {
        memmove(o + first + 1, o + first, (size_t)(f->n_ooo - first) * sizeof(*o));
        f->n_ooo++;
        o[first] = (struct svm_ooo){ start, end };
    } else {
        if (seq_lt(start, o[first].start))
            o[first].start = start;
        o[first].end = seq_gt(end, o[past - 1].end) ? end : o[past - 1].end;
        memmove(o + first + 1, o + past, (size_t)(f->n_ooo - past) * sizeof(*o));
        f->n_ooo -= (uint16_t)(past - first - 1);
    }
    f->ooo_newest = first;
}

uint32_t svm_fifo_ooo_absorb(struct svm_fifo_prod *f, uint32_t tail)
{
    uint16_t gone = 0;

    while (gone < f->n_ooo && seq_leq(f->ooo[gone].start, tail)) {
        if (seq_gt(f->ooo[gone].end, tail))
            tail = f->ooo[gone].end;
        gone++;
    }
    if (gone) {
        f->n_ooo -= gone;
        memmove(f->ooo, f->ooo + gone, f->n_ooo * sizeof(*f->ooo));
        f->ooo_newest = f->ooo_newest > gone ? f->ooo_newest - gone : 0;
    }
    if (!f->n_ooo) { /* holes are rare: an idle connection keeps no list */
        free(f->ooo);
        f->ooo = NULL;
    }
    return tail;
}

void svm_fifo_ooo_move(struct svm_fifo_prod *f, uint8_t *data, uint32_t mask)
{
    for (uint16_t i = 0; i < f->n_ooo; i++) {
        uint32_t pos = f->ooo[i].start, len = f->ooo[i].end - pos;
        uint32_t at = pos & f->mask, first = hs_min_u32(len, f->mask + 1 - at);

        svm_ring_write(data, mask, pos, f->data + at, first);
        if (first < len)
            svm_ring_write(data, mask, pos + first, f->data, len - first);
    }
}
