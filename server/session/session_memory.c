/* session_memory.c - the FIFOs of a session: in its program's memory, or in the server's own until a program takes it
 *
 * The server's own ("limbo"): connections that are established while nobody accepts. Their bytes move when somebody does. */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "svm/svm_ring_alloc.h"

enum { LIMBO_AREA = 256 << 20, LIMBO_FIFO_MAX = 64 << 10 };

struct limbo_lines {
    struct svm_fifo_prod_line rx_prod, tx_prod;
    struct svm_fifo_cons_line rx_cons, tx_cons;
};
struct session_limbo {
    struct svm_ring_alloc rings;
    struct svm_region_table regions;
};

/* Address space only: a page is used when bytes wait in it. */
static struct session_limbo *limbo_get(struct worker *w)
{
    struct session_worker *sw = w->session;
    struct session_limbo *l = sw->limbo;
    void *area;

    if (l)
        return l;
    l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    area = mmap(NULL, LIMBO_AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (area == MAP_FAILED) {
        free(l);
        return NULL;
    }
    l->regions.r[0] = (struct svm_region){ area, LIMBO_AREA };
    l->regions.n = 1;
    svm_ring_alloc_init(&l->rings);
    if (svm_ring_alloc_add(&l->rings, 0, 0, LIMBO_AREA, -1, false) != 0) {
        munmap(area, LIMBO_AREA);
        free(l);
        return NULL;
    }
    sw->limbo = l;
    return l;
}

void session_limbo_destroy(struct session_limbo *l)
{
    if (!l)
        return;
    svm_ring_alloc_fini(&l->rings);
    munmap(l->regions.r[0].base, LIMBO_AREA);
    free(l);
}

static int limbo_fifos(struct worker *w, struct app_fifos *out)
{
    struct session_limbo *l = limbo_get(w);
    struct limbo_lines *lines = l ? aligned_alloc(HS_CACHE_LINE, sizeof(*lines)) : NULL;

    if (!lines)
        return -ENOMEM;
    memset(lines, 0, sizeof(*lines));
    *out = (struct app_fifos){
        .rx_prod = &lines->rx_prod, .rx_cons = &lines->rx_cons, .tx_prod = &lines->tx_prod, .tx_cons = &lines->tx_cons,
        .rx_regions = &l->regions, .tx_regions = &l->regions, .ring_ops = &svm_ring_alloc_ops, .ring_ctx = &l->rings,
        .rx_max = LIMBO_FIFO_MAX, .tx_max = LIMBO_FIFO_MAX,
    };
    return 0;
}

int session_fifos_make(struct worker *w, struct session *s, struct app_worker *a)
{
    struct app_fifos f;
    int err = a ? a->ops->fifos_alloc(w, a, &f) : limbo_fifos(w, &f);

    if (err != 0)
        return err;
    svm_fifo_prod_init(&s->rx, f.rx_prod, f.rx_cons, f.rx_regions, f.ring_ops, f.ring_ctx, f.rx_max);
    svm_fifo_cons_init(&s->tx, f.tx_cons, f.tx_prod, f.tx_regions, f.tx_max);
    s->slot = f.slot;
    s->mem = a;
    if (a)
        a->n_fifos++;
    s->has_fifos = true;
    return 0;
}

static void memory_drop(struct worker *w, struct app_worker *mem, struct svm_fifo_prod *rx, const struct svm_msg_slot *slot)
{
    struct svm_fifo_prod_line *line = rx->line;

    svm_fifo_prod_fini(rx);
    if (mem) {
        mem->n_fifos--;
        mem->ops->fifos_free(w, mem, slot);
    } else {
        free(hs_container_of(line, struct limbo_lines, rx_prod));
    }
}

void session_fifos_drop(struct worker *w, struct session *s)
{
    if (!s->has_fifos)
        return;
    s->has_fifos = false;
    memory_drop(w, s->mem, &s->rx, &s->slot);
    s->mem = NULL;
}

/* Bytes [from, from + len) of a FIFO that nobody has read yet, out of our own rings. */
static int copy_unread(struct svm_fifo_prod *to, struct svm_fifo_cons *old, uint32_t pos, uint32_t len)
{
    struct iovec iov[4];
    int n = svm_fifo_peek_iov(old, pos, len, iov);

    for (int i = 0; i < n; i++) {
        int64_t rc = svm_fifo_enqueue_at(to, pos - (to->tail), iov[i].iov_base, (uint32_t)iov[i].iov_len);
        if (rc < 0)
            return (int)rc;
        pos += (uint32_t)iov[i].iov_len;
    }
    return n < 0 ? n : 0;
}

/* A session that no program has taken moves to the memory of another one, with what has been received. */
int session_fifos_move(struct worker *w, struct session *s, struct app_worker *to)
{
    struct svm_fifo_prod old = s->rx;
    struct svm_fifo_cons old_tx = s->tx, reader;
    struct svm_fifo_cons_line reader_line;
    struct app_worker *old_mem = s->mem;
    struct svm_msg_slot old_slot = s->slot;
    uint32_t unread;
    int err;

    s->has_fifos = false;
    err = session_fifos_make(w, s, to);
    if (err != 0) {
        s->rx = old;
        s->tx = old_tx;
        s->has_fifos = true;
        return err;
    }
    /* The reader's private half trusts our own line: positions and rings are what we published there. */
    memset(&reader_line, 0, sizeof(reader_line));
    svm_fifo_cons_init(&reader, &reader_line, old.line, old.regions, old.max_size);
    unread = old.tail;
    err = unread ? copy_unread(&s->rx, &reader, 0, unread) : 0;
    if (err == 0 && old.n_ooo) {
        /* What lies beyond the hole: the peer has been told that we have it (RFC 2018 s8), so it must come along. */
        struct svm_fifo_prod_line *line = old.line;
        uint32_t last = old.ooo[old.n_ooo - 1].end;
        line->tail = last; /* nobody reads this FIFO any more but our reader */
        for (unsigned i = 0; i < old.n_ooo && err == 0; i++)
            err = copy_unread(&s->rx, &reader, old.ooo[i].start, old.ooo[i].end - old.ooo[i].start);
    }
    if (s->rx_fin)
        svm_fifo_prod_set_fin(&s->rx);
    memory_drop(w, old_mem, &old, &old_slot);
    if (err != 0) { /* bytes that the peer believes delivered could not be kept */
        s->error = -ENOBUFS;
        svm_fifo_prod_set_rst(&s->rx, -ENOBUFS);
        if (s->conn)
            s->lost_bytes = true;
    }
    return 0;
}
