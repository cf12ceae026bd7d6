/* session_memory.c - the FIFOs of a session: in its program's memory, or in the server's own until a program takes it
 *
 * The server's own ("limbo"): connections that are established while nobody accepts, or whose user has let go while others hold them.
 * Their bytes move when somebody takes them. */
#include "server/session/session_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include "server/local/local.h"
#include "svm/svm_urgent.h"
#include "svm/svm_ring_alloc.h"

enum { LIMBO_AREA = 256 << 20, LIMBO_FIFO_MAX = 64 << 10, LIMBO_RECORDS_MAX = 256 << 10,
       TX_RING_KEPT = 4 << 10 /* a message for each would cost more */ };

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

static int limbo_fifos(struct worker *w, uint32_t rx_max, struct app_fifos *out)
{
    struct session_limbo *l = limbo_get(w);
    struct limbo_lines *lines = l ? aligned_alloc(HS_CACHE_LINE, sizeof(*lines)) : NULL;

    if (!lines)
        return -ENOMEM;
    memset(lines, 0, sizeof(*lines));
    *out = (struct app_fifos){
        .rx_prod = &lines->rx_prod, .rx_cons = &lines->rx_cons, .tx_prod = &lines->tx_prod, .tx_cons = &lines->tx_cons,
        .rx_regions = &l->regions, .tx_regions = &l->regions, .ring_ops = &svm_ring_alloc_ops, .ring_ctx = &l->rings,
        .rx_max = hs_max_u32(LIMBO_FIFO_MAX, rx_max), .tx_max = LIMBO_FIFO_MAX,
    };
    return 0;
}

static struct session_fifos *fifos_get(struct worker *w)
{
    struct session_worker *sw = w->session;

    return sw->n_spare ? sw->spare[--sw->n_spare] : calloc(1, sizeof(struct session_fifos));
}

void session_fifos_put(struct worker *w, struct session *s)
{
    struct session_worker *sw = w->session;

    if (s->fifos && sw->n_spare < SESSION_SPARE_FIFOS)
        sw->spare[sw->n_spare++] = s->fifos;
    else
        free(s->fifos);
    s->fifos = NULL;
}

static int fifos_make(struct worker *w, struct session *s, struct app_worker *a, uint32_t limbo_max)
{
    struct app_fifos f;
    int err;

    if (!s->fifos)
        s->fifos = fifos_get(w);
    if (!s->fifos)
        return -ENOMEM;
    err = a ? a->ops->fifos_alloc(w, a, &f) : limbo_fifos(w, limbo_max, &f);
    if (err != 0)
        return err;
    svm_fifo_prod_init(&s->fifos->rx, f.rx_prod, f.rx_cons, f.rx_regions, f.ring_ops, f.ring_ctx, f.rx_max);
    svm_fifo_prod_set_stamps(&s->fifos->rx, f.tx_cons);
    svm_fifo_cons_init(&s->fifos->tx, f.tx_cons, f.tx_prod, f.tx_regions, f.tx_max);
    s->slot = f.slot;
    s->mem = a;
    if (a)
        a->n_fifos++;
    s->has_fifos = true;
    return 0;
}

/* ---- idle sessions: what the halves know is in the lines, too, which only the server writes ---- */

static uint32_t promised(const struct session *s, const struct svm_fifo_prod *f)
{
    return seq_gt(s->rx_edge, f->tail) ? s->rx_edge - f->tail : 0;
}

static void halves_of(struct worker *w, struct session *s, struct session_fifos *out)
{
    struct app_fifos f;

    s->mem->ops->fifos_at(w, s->mem, &s->slot, &f);
    svm_fifo_prod_init(&out->rx, f.rx_prod, f.rx_cons, f.rx_regions, f.ring_ops, f.ring_ctx, f.rx_max);
    svm_fifo_cons_init(&out->tx, f.tx_cons, f.tx_prod, f.tx_regions, f.tx_max);
    svm_fifo_prod_set_floor(&out->rx, promised(s, &out->rx));
}

void session_idle(struct worker *w, struct session *s)
{
    struct app_fifos f;

    if (!s->has_fifos || s->state != SESSION_ESTABLISHED || s->on_evt_list || s->on_tx_list || session_tx_rest(s) || !s->mem ||
        !s->mem->ops->fifos_at)
        return;
    svm_fifo_prod_give_back(&s->fifos->rx);
    s->mem->ops->fifos_at(w, s->mem, &s->slot, &f);
    if (!svm_fifo_prod_is_plain(&s->fifos->rx, f.rx_max) || !svm_fifo_cons_is_plain(&s->fifos->tx, f.tx_max))
        return;
    session_share_leave(s);
    session_fifos_put(w, s);
    s->has_fifos = false;
    s->is_asleep = true;
}

void session_rings_idle(struct worker *w, struct session *s)
{
    if (!s->has_fifos)
        return;
    svm_fifo_prod_give_back(&s->fifos->rx);
    if (s->app && s->app->ops->idle && svm_fifo_cons_avail(&s->fifos->tx) == 0 && svm_fifo_cons_ring_size(&s->fifos->tx) > TX_RING_KEPT)
        s->app->ops->idle(w, s->app, s);
}

bool session_wake(struct worker *w, struct session *s)
{
    if (hs_likely(!s->is_asleep))
        return true;
    s->fifos = fifos_get(w);
    if (!s->fifos)
        return false;
    halves_of(w, s, s->fifos);
    s->is_asleep = false;
    s->has_fifos = true;
    return true;
}

/* In a line that only the server writes. */
static struct svm_fifo_cons_line *own_line(struct worker *w, struct session *s)
{
    struct app_fifos f;

    if (!s->is_asleep)
        return s->has_fifos ? s->fifos->tx.line : NULL;
    s->mem->ops->fifos_at(w, s->mem, &s->slot, &f);
    return f.tx_cons;
}

bool session_keep(struct worker *w, struct session *s, const void *bytes)
{
    struct svm_fifo_cons_line *line = own_line(w, s);

    if (line)
        memcpy(line->kept, bytes, sizeof(line->kept));
    return line != NULL;
}

bool session_kept(struct worker *w, struct session *s, void *bytes)
{
    const struct svm_fifo_cons_line *line = own_line(w, s);

    if (line)
        memcpy(bytes, line->kept, sizeof(line->kept));
    return line != NULL;
}
static_assert(SESSION_KEPT == sizeof(((struct svm_fifo_cons_line *)0)->kept), "what the line has room for");

struct session_fifos *session_fifos_look(struct worker *w, struct session *s, struct session_fifos *room)
{
    if (!s->is_asleep)
        return s->has_fifos ? s->fifos : NULL;
    halves_of(w, s, room);
    return room;
}

int session_fifos_make(struct worker *w, struct session *s, struct app_worker *a)
{
    return fifos_make(w, s, a, s->proto == SVM_PROTO_SCTP ? LIMBO_RECORDS_MAX : LIMBO_FIFO_MAX); /* several of the largest records */
}

/* A slot that its program may still look at: it says "moved" there. */
struct session_old {
    struct session_old *next;
    struct app_worker *mem;
    struct svm_msg_slot slot;
};

void session_old_free(struct worker *w, struct session *s, const struct app_worker *a, const struct svm_msg_slot *slot)
{
    local_left_free(w, s, a, slot);
    for (struct session_old **p = s->rare ? &s->rare->old : NULL, *o; p && (o = *p);) {
        if ((a && o->mem != a) || (slot && (o->slot.seg_id != slot->seg_id || o->slot.slot != slot->slot))) {
            p = &o->next;
            continue;
        }
        *p = o->next;
        o->mem->n_fifos--;
        o->mem->ops->fifos_free(w, o->mem, &o->slot);
        free(o);
    }
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
    if (s->is_asleep) { /* no ring, no interval: only the slot */
        s->is_asleep = false;
        s->mem->n_fifos--;
        s->mem->ops->fifos_free(w, s->mem, &s->slot);
        s->mem = NULL;
    }
    if (!s->has_fifos)
        return;
    session_share_leave(s);
    s->has_fifos = false;
    memory_drop(w, s->mem, &s->fifos->rx, &s->slot);
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

/* What has been received and not read, in order and beyond holes. */
static int move_rx(struct session *s, struct svm_fifo_prod *old)
{
    struct svm_fifo_cons reader;
    struct svm_fifo_cons_line reader_line;
    int64_t unread = svm_fifo_prod_unread(old);
    int err;

    if (unread < 0)
        return (int)unread;
    /* The reader's private half trusts our own line: positions and rings are what we published there. */
    memset(&reader_line, 0, sizeof(reader_line));
    reader_line.head = old->head_seen;
    svm_fifo_cons_init(&reader, &reader_line, old->line, old->regions, old->max_size);
    err = unread ? copy_unread(&s->fifos->rx, &reader, 0, (uint32_t)unread) : 0;
    if (err == 0 && old->n_ooo) {
        /* What lies beyond the hole: the peer has been told that we have it (RFC 2018 s8), so it must come along. */
        old->line->tail = old->ooo[old->n_ooo - 1].end; /* nobody reads this FIFO any more but our reader */
        for (unsigned i = 0; i < old->n_ooo && err == 0; i++)
            err = copy_unread(&s->fifos->rx, &reader, old->ooo[i].start - old->head_seen, old->ooo[i].end - old->ooo[i].start);
    }
    svm_urgent_move(s->fifos->rx.line, old->line, old->head_seen);
    s->rx_edge -= old->head_seen; /* positions begin anew */
    s->fifos->rx.floor_log2 = old->floor_log2;
    return err;
}

/* One ring for all that there can be to copy: a FIFO has two at most while the first is unread. */
static int make_room(struct session *s, const struct svm_fifo_prod *old)
{
    uint32_t n = (old->n_ooo ? old->ooo[old->n_ooo - 1].end : old->tail) - old->head_seen;

    return n ? svm_fifo_prod_grow(&s->fifos->rx, n) : 0;
}

/* The former user's rings may be used for something else now, so it is copied. */
int session_tx_keep(struct session *s, struct svm_fifo_cons *old)
{
    int64_t n = svm_fifo_cons_avail(old);
    struct session_rest *before = session_tx_rest(s), *rest;
    uint32_t had = before ? before->len - before->off : 0, at = had;
    struct iovec iov[4];
    int pieces;

    if (n <= 0)
        return (int)n;
    rest = session_rare_get(s) ? malloc(sizeof(*rest) + had + (size_t)n) : NULL;
    if (!rest)
        return -ENOMEM;
    rest->off = 0;
    rest->len = had + (uint32_t)n;
    if (had)
        memcpy(rest->bytes, before->bytes + before->off, had);
    pieces = svm_fifo_peek_iov(old, 0, (uint32_t)n, iov);
    for (int i = 0; i < pieces; i++) {
        memcpy(rest->bytes + at, iov[i].iov_base, iov[i].iov_len);
        at += (uint32_t)iov[i].iov_len;
    }
    if (at != rest->len) {
        free(rest);
        return -EPROTO;
    }
    free(before);
    s->rare->tx_rest = rest;
    return 0;
}

bool session_rest_is_full(struct session *s)
{
    enum { REST_MAX_FIFOS = 4 };
    const struct session_rest *rest = session_tx_rest(s);
    int64_t n = s->has_fifos ? svm_fifo_cons_avail(&s->fifos->tx) : 0;

    return rest && n > 0 && rest->len - rest->off + n > (int64_t)REST_MAX_FIFOS * s->fifos->tx.max_size;
}

static void set_flag(struct svm_fifo_prod_line *line, uint32_t flag)
{
    __atomic_store_n(&line->flags, __atomic_load_n(&line->flags, __ATOMIC_RELAXED) | flag, __ATOMIC_RELEASE);
}

int session_fifos_move(struct worker *w, struct session *s, struct app_worker *to, bool keep_old)
{
    struct svm_fifo_prod old = s->fifos->rx;
    struct svm_fifo_cons old_tx = s->fifos->tx;
    struct app_worker *old_mem = s->mem;
    struct svm_msg_slot old_slot = s->slot;
    struct session_old *o = keep_old && session_rare_get(s) ? malloc(sizeof(*o)) : NULL;
    int err = keep_old && !o ? -ENOMEM : 0;

    session_share_leave(s);
    s->has_fifos = false;
    if (err == 0)
        err = fifos_make(w, s, to, old.max_size);
    if (err == 0 && (err = make_room(s, &old)) != 0)
        memory_drop(w, to, &s->fifos->rx, &s->slot);
    if (err != 0) {
        free(o);
        s->mem = old_mem;
        s->slot = old_slot;
        s->fifos->rx = old;
        s->fifos->tx = old_tx;
        s->has_fifos = true;
        return err;
    }
    if (keep_old) {
        set_flag(old.line, SVM_FIFO_MOVED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST); /* before its program's positions are read; pairs with settled_here() (vcl_claim.c) */
    }
    memcpy(s->fifos->tx.line->kept, old_tx.line->kept, SESSION_KEPT);
    err = move_rx(s, &old);
    if (err == 0)
        err = session_tx_keep(s, &old_tx);
    if (keep_old) {
        __atomic_store_n(&old.line->space_bytes, old.head_seen, __ATOMIC_RELAXED);
        __atomic_store_n(&old_tx.line->head, old_tx.tail_seen, __ATOMIC_RELAXED);
        set_flag(old.line, SVM_FIFO_SETTLED);
    }
    if (svm_fifo_cons_is_fin(&old_tx) && session_is_carried(s))
        s->tx_fin_told = true;
    if (s->rx_fin)
        svm_fifo_prod_set_fin(&s->fifos->rx);
    if (s->error && s->state == SESSION_DEAD)
        svm_fifo_prod_set_rst(&s->fifos->rx, s->error);
    if (keep_old) {
        *o = (struct session_old){ s->rare->old, old_mem, old_slot };
        s->rare->old = o;
        svm_fifo_prod_fini(&old);
    } else {
        memory_drop(w, old_mem, &old, &old_slot);
    }
    if (err != 0) { /* bytes that the peer believes delivered could not be kept */
        s->error = -ENOBUFS;
        svm_fifo_prod_set_rst(&s->fifos->rx, -ENOBUFS);
        if (s->conn)
            s->lost_bytes = true;
    }
    if (s->conn)
        session_tx_schedule(w, s);
    return 0;
}
