/* app_memory.c - slots and ring memory of one client worker, as its sessions need them */
#include "server/app/app_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int app_memory_bank_init(struct app_bank *b, uint32_t n_slots)
{
    static_assert(APP_BANK_SLOTS % APP_SLOT_CHUNK == 0, "whole chunks");

    b->slot_next = malloc(n_slots * sizeof(*b->slot_next));
    if (!b->slot_next)
        return -ENOMEM;
    b->n_slots = n_slots;
    b->high = 0;
    memset(b->free_head, 0, sizeof(b->free_head));
    return 0;
}

/* Memory of the next slots of both parts, so that touching them cannot fault later. */
static int chunk_reserve(struct app_bank *b)
{
    uint64_t off = b->slots_off + (uint64_t)b->high * sizeof(struct svm_slot_srv);
    uint64_t len = APP_SLOT_CHUNK * sizeof(struct svm_slot_srv);
    int err = svm_segment_reserve(&b->s, off, len);

    return err != 0 ? err : svm_segment_reserve(&b->c, off, len);
}

/* Lowest slots first: the pages of the upper ones stay untouched. */
static int slot_take(struct app_bank *b, unsigned worker)
{
    uint32_t slot;

    if (!b->is_mapped)
        return -ENOBUFS;
    if (b->free_head[worker]) {
        slot = b->free_head[worker] - 1;
        b->free_head[worker] = b->slot_next[slot];
    } else if (b->high < b->n_slots) {
        if (b->high % APP_SLOT_CHUNK == 0 && chunk_reserve(b) != 0)
            return -ENOBUFS;
        slot = b->high++;
    } else {
        return -ENOBUFS;
    }
    return (int)slot;
}

static bool rings_are_few(const struct app_client *c) { return c->rings.used_bytes > c->rings.total_bytes - c->rings.total_bytes / 4; }

/* Called with the lock held; with more than 3/4 of all slots or ring memory in use another bank is asked for, ahead of need. */
static void bank_ask(struct app_client *c)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < c->n_banks; i++)
        total += c->bank[i].n_slots;
    if ((c->n_slots_used < total - total / 4 && !rings_are_few(c)) || c->n_banks >= c->as->opt.max_banks ||
        __atomic_exchange_n(&c->bank_requested, true, __ATOMIC_ACQ_REL))
        return;
    c->bank_event.type = APP_EVENT_BANK;
    app_event_post(c->as, &c->bank_event);
}

static void count_rings(struct app_port_client *pc, uint64_t more)
{
    __atomic_store_n(&pc->ring_bytes, pc->ring_bytes + more, __ATOMIC_RELAXED); /* one writer */
}

/* Which of the spares a ring of that size is; NULL: none. */
static struct app_spare_ring *spare_rings(struct app_port_client *pc, uint8_t log2, uint8_t **n, uint32_t *max)
{
    unsigned order = (unsigned)log2 - SVM_RING_MIN_LOG2;

    if (log2 < SVM_RING_MIN_LOG2 || order >= APP_SPARE_ORDERS)
        return NULL;
    *n = &pc->spares.n_rings[order];
    *max = hs_min_u32(APP_SPARES, APP_SPARE_BYTES >> log2);
    return pc->spares.ring[order];
}

static int ring_alloc(void *ctx, uint8_t log2, uint16_t *region, uint64_t *offset)
{
    struct app_port_client *pc = ctx;
    struct app_client *c = pc->client;
    struct app_spare_ring *r;
    uint32_t max;
    uint8_t *n;
    int err = 0;

    r = spare_rings(pc, log2, &n, &max);
    if (r && *n) {
        r += --*n;
        *region = r->region;
        *offset = (uint64_t)r->offset64 << 6;
    } else {
        pthread_spin_lock(&c->lock);
        err = svm_ring_alloc_ops.alloc(&c->rings, log2, region, offset);
        if (hs_unlikely(rings_are_few(c)))
            bank_ask(c);
        pthread_spin_unlock(&c->lock);
    }
    if (err == 0)
        count_rings(pc, 1ull << log2);
    return err;
}

static void ring_free(void *ctx, uint8_t log2, uint16_t region, uint64_t offset)
{
    struct app_port_client *pc = ctx;
    struct app_client *c = pc->client;
    struct app_spare_ring *r;
    uint32_t max;
    uint8_t *n;

    count_rings(pc, 0 - (1ull << log2));
    r = spare_rings(pc, log2, &n, &max);
    if (r && *n < max) {
        r[(*n)++] = (struct app_spare_ring){ (uint32_t)(offset >> 6), region };
        return;
    }
    pthread_spin_lock(&c->lock);
    svm_ring_alloc_ops.free(&c->rings, log2, region, offset);
    pthread_spin_unlock(&c->lock);
}

static const struct svm_ring_ops ring_ops = { .alloc = ring_alloc, .free = ring_free };

static void fifos_of(struct app_port_client *pc, const struct app_bank *b, uint32_t slot, struct app_fifos *out)
{
    struct app_client *c = pc->client;
    struct svm_slot_srv *srv = svm_slot_srv_at(&b->s, b->slots_off, slot);
    struct svm_slot_cli *cli = svm_slot_cli_at(&b->c, b->slots_off, slot);

    *out = (struct app_fifos){
        .rx_prod = &srv->rx,
        .rx_cons = &cli->rx,
        .tx_prod = &cli->tx,
        .tx_cons = &srv->tx,
        .rx_regions = &c->rx_regions,
        .tx_regions = &c->tx_regions,
        .ring_ops = &ring_ops,
        .ring_ctx = pc,
        .rx_max = c->rx_fifo_size,
        .tx_max = c->tx_fifo_size,
        .slot = { .seg_id = b->seg_id, .slot = slot },
    };
}

static struct app_port_client *port_client_of(struct app_worker *a) { return hs_container_of(a, struct app_port_client, aw); }

/* Banks stay as long as the client, and that of a slot in use is known to who uses it. */
static struct app_bank *bank_of(struct app_client *c, uint32_t seg_id)
{
    uint32_t i = 0;

    while (c->bank[i].seg_id != seg_id)
        i++;
    return &c->bank[i];
}

/* The lines of the slot that will be taken next: the program has written to half of them and looked at the others. */
static void slot_ahead(struct app_client *c, const struct svm_msg_slot *slot)
{
    struct app_bank *b = bank_of(c, slot->seg_id);
    const struct svm_slot_srv *srv = svm_slot_srv_at(&b->s, b->slots_off, slot->slot);
    const struct svm_slot_cli *cli = svm_slot_cli_at(&b->c, b->slots_off, slot->slot);

    __builtin_prefetch(&srv->rx, 1);
    __builtin_prefetch(&srv->tx, 1);
    __builtin_prefetch(&cli->tx, 1);
    __builtin_prefetch(&cli->rx, 1);
}

static int slot_find(struct app_port_client *pc, struct svm_msg_slot *out)
{
    struct app_spares *sp = &pc->spares;
    struct app_client *c = pc->client;
    int slot = -ENOBUFS;

    if (sp->n_slots) {
        *out = sp->slot[--sp->n_slots];
        if (sp->n_slots)
            slot_ahead(c, &sp->slot[sp->n_slots - 1]);
        return 0;
    }
    pthread_spin_lock(&c->lock);
    for (uint32_t i = 0; i < c->n_banks && slot < 0; i++) {
        slot = slot_take(&c->bank[i], pc->w->index);
        *out = (struct svm_msg_slot){ .seg_id = c->bank[i].seg_id, .slot = (uint32_t)slot };
    }
    if (slot >= 0)
        c->n_slots_used++;
    bank_ask(c);
    pthread_spin_unlock(&c->lock);
    return slot < 0 ? slot : 0;
}

int app_memory_fifos_alloc(struct worker *w, struct app_worker *a, struct app_fifos *out)
{
    struct app_port_client *pc = port_client_of(a);
    struct svm_msg_slot slot;
    struct app_bank *b;
    int err;

    (void)w;
    if (a->n_sessions > pc->client->as->opt.max_sessions)
        return -ENOBUFS;
    err = slot_find(pc, &slot);
    if (err != 0)
        return err;
    b = bank_of(pc->client, slot.seg_id);
    /* a free slot is ours, in both parts */
    svm_slot_clear(svm_slot_srv_at(&b->s, b->slots_off, slot.slot), svm_slot_cli_at(&b->c, b->slots_off, slot.slot));
    fifos_of(pc, b, slot.slot, out);
    return 0;
}

void app_memory_fifos_at(struct worker *w, struct app_worker *a, const struct svm_msg_slot *slot, struct app_fifos *out)
{
    struct app_port_client *pc = port_client_of(a);

    (void)w;
    fifos_of(pc, bank_of(pc->client, slot->seg_id), slot->slot, out);
}

/* With the lock held. */
static void slot_give(struct app_port_client *pc, const struct svm_msg_slot *slot)
{
    struct app_bank *b = bank_of(pc->client, slot->seg_id);

    b->slot_next[slot->slot] = b->free_head[pc->w->index];
    b->free_head[pc->w->index] = slot->slot + 1;
    pc->client->n_slots_used--;
}

/* The program has no session left: an idle one keeps no memory. */
static void spares_give(struct app_port_client *pc)
{
    struct app_spares *sp = &pc->spares;

    pthread_spin_lock(&pc->client->lock);
    while (sp->n_slots)
        slot_give(pc, &sp->slot[--sp->n_slots]);
    for (unsigned o = 0; o < APP_SPARE_ORDERS; o++) {
        while (sp->n_rings[o]) {
            const struct app_spare_ring *r = &sp->ring[o][--sp->n_rings[o]];
            svm_ring_alloc_ops.free(&pc->client->rings, (uint8_t)(SVM_RING_MIN_LOG2 + o), r->region, (uint64_t)r->offset64 << 6);
        }
    }
    pthread_spin_unlock(&pc->client->lock);
}

void app_memory_fifos_free(struct worker *w, struct app_worker *a, const struct svm_msg_slot *slot)
{
    struct app_port_client *pc = port_client_of(a);

    (void)w;
    if (pc->spares.n_slots == APP_SPARES) {
        pthread_spin_lock(&pc->client->lock);
        slot_give(pc, slot);
        pthread_spin_unlock(&pc->client->lock);
    } else {
        pc->spares.slot[pc->spares.n_slots++] = *slot;
    }
    if (a->n_fifos == 0)
        spares_give(pc);
    app_port_mark(pc);
}
