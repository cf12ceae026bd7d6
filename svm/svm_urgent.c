/* svm_urgent.c - the urgent mark of a FIFO (svm_urgent.h) */
#include "svm/svm_urgent.h"

static uint64_t word_of(uint32_t pos, uint32_t back, uint32_t run)
{
    return SVM_URGENT_IS_SET | (uint64_t)run << SVM_URGENT_RUN_SHIFT | (uint64_t)back << SVM_URGENT_BACK_SHIFT | pos;
}

/* The mark of before, if its byte is there, is one of the bytes that were urgent. */
static uint64_t word_after(uint64_t old, uint32_t pos, uint32_t tail)
{
    uint32_t last = svm_urgent_pos(old), first = last, run = svm_urgent_run(old);

    if (!old || !seq_lt(last, tail))
        return word_of(pos, 0, 0);
    if (run && run < SVM_URGENT_RUN_MAX && svm_urgent_back(old) == run)
        first = last - svm_urgent_back(old);
    else
        run = 0;
    return pos - first > UINT16_MAX ? word_of(pos, 0, 0) : word_of(pos, pos - first, run + 1);
}

void svm_urgent_set(struct svm_fifo_prod *f, uint32_t offset)
{
    uint32_t pos = f->tail + offset;
    uint64_t old = svm_urgent_own(f);

    if (old && svm_urgent_pos(old) == pos)
        return; /* as said before */
    /* Release: pairs with the load in svm_urgent_get() by way of `tail`, which is released later and acquired first. */
    __atomic_store_n(&f->line->urgent, word_after(old, pos, f->tail), __ATOMIC_RELEASE);
}

bool svm_urgent_due(struct svm_fifo_prod *f)
{
    uint32_t seq = __atomic_load_n(&f->line->urg_seq, __ATOMIC_RELAXED);

    /* Full fence: the mark and the tail before urg_ack; pairs with the one in svm_urgent_taken(): one side sees the other. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (__atomic_load_n(&f->peer->urg_ack, __ATOMIC_RELAXED) != seq)
        return false;
    __atomic_store_n(&f->line->urg_seq, seq + 1, __ATOMIC_RELAXED);
    return true;
}

void svm_urgent_taken(struct svm_fifo_cons *f)
{
    __atomic_store_n(&f->line->urg_ack, __atomic_load_n(&f->peer->urg_seq, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* see svm_urgent_due() */
}

void svm_urgent_move(struct svm_fifo_prod_line *to, const struct svm_fifo_prod_line *from, uint32_t head)
{
    uint64_t word = __atomic_load_n(&from->urgent, __ATOMIC_RELAXED);

    if (word && !seq_lt(svm_urgent_pos(word), head))
        __atomic_store_n(&to->urgent, word_of(svm_urgent_pos(word) - head, 0, 0), __ATOMIC_RELEASE);
}
