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
    b->n_used = b->high = 0;
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
    b->n_used++;
    return (int)slot;
}

/* Called with the lock held; with more than 3/4 of all slots in use another bank is asked for, ahead of need. */
static void bank_ask(struct app_client *c)
{
    uint32_t total = 0;

    for (uint32_t i = 0; i < c->n_banks; i++)
        total += c->bank[i].n_slots;
    if (c->n_slots_used < total - total / 4 || c->n_banks >= c->as->opt.max_banks ||
        __atomic_exchange_n(&c->bank_requested, true, __ATOMIC_ACQ_REL))
        return;
    c->bank_event.type = APP_EVENT_BANK;
    app_event_post(c->as, &c->bank_event);
}

static int ring_alloc(void *ctx, uint8_t log2, uint16_t *region, uint64_t *offset)
{
    struct app_client *c = ctx;
    int err;

    pthread_spin_lock(&c->lock);
    err = svm_ring_alloc_ops.alloc(&c->rings, log2, region, offset);
    if (err == 0)
        c->ring_bytes += 1ull << log2;
    pthread_spin_unlock(&c->lock);
    return err;
}

static void ring_free(void *ctx, uint8_t log2, uint16_t region, uint64_t offset)
{
    struct app_client *c = ctx;

    pthread_spin_lock(&c->lock);
    svm_ring_alloc_ops.free(&c->rings, log2, region, offset);
    c->ring_bytes -= 1ull << log2;
    pthread_spin_unlock(&c->lock);
}

static const struct svm_ring_ops ring_ops = { .alloc = ring_alloc, .free = ring_free };

static void fifos_of(struct app_client *c, const struct app_bank *b, uint32_t slot, struct app_fifos *out)
{
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
        .ring_ctx = c,
        .rx_max = c->rx_fifo_size,
        .tx_max = c->tx_fifo_size,
        .slot = { .seg_id = b->seg_id, .slot = slot },
    };
}

int app_memory_fifos_alloc(struct worker *w, struct app_worker *a, struct app_fifos *out)
{
    struct app_client *c = hs_container_of(a, struct app_port_client, aw)->client;
    struct app_bank *b = NULL;
    int slot = -ENOBUFS;

    if (a->n_sessions > c->as->opt.max_sessions)
        return -ENOBUFS;
    pthread_spin_lock(&c->lock);
    for (uint32_t i = 0; i < c->n_banks && slot < 0; i++) {
        b = &c->bank[i];
        slot = slot_take(b, w->index);
    }
    if (slot >= 0)
        c->n_slots_used++;
    bank_ask(c);
    pthread_spin_unlock(&c->lock);
    if (slot < 0)
        return -ENOBUFS;

    struct svm_slot_srv *srv = svm_slot_srv_at(&b->s, b->slots_off, (uint32_t)slot);
    struct svm_slot_cli *cli = svm_slot_cli_at(&b->c, b->slots_off, (uint32_t)slot);
    svm_slot_clear(srv, cli); /* a free slot is ours, in both parts */
    fifos_of(c, b, (uint32_t)slot, out);
    return 0;
}

void app_memory_fifos_at(struct worker *w, struct app_worker *a, const struct svm_msg_slot *slot, struct app_fifos *out)
{
    struct app_client *c = hs_container_of(a, struct app_port_client, aw)->client;
    uint32_t i = 0;

    (void)w;
    while (c->bank[i].seg_id != slot->seg_id) /* there is one: banks stay as long as the client */
        i++;
    fifos_of(c, &c->bank[i], slot->slot, out);
}

void app_memory_fifos_free(struct worker *w, struct app_worker *a, const struct svm_msg_slot *slot)
{
    struct app_client *c = hs_container_of(a, struct app_port_client, aw)->client;

    pthread_spin_lock(&c->lock);
    for (uint32_t i = 0; i < c->n_banks; i++) {
        struct app_bank *b = &c->bank[i];
        if (b->seg_id != slot->seg_id)
            continue;
        b->slot_next[slot->slot] = b->free_head[w->index];
        b->free_head[w->index] = slot->slot + 1;
        b->n_used--;
        c->n_slots_used--;
        break;
    }
    pthread_spin_unlock(&c->lock);
    app_port_mark(hs_container_of(a, struct app_port_client, aw));
}
