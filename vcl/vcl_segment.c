/* vcl_segment.c - maps banks and PAIR segments, with every offset checked before it is used; ring memory from them */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "vcl/vcl_internal.h"

int vcl_segment_map(int fd, bool writable, uint64_t min_size, uint8_t **base, uint64_t *size)
{
    struct stat st;
    void *m;

    if (fstat(fd, &st) != 0)
        return -errno;
    if (st.st_size <= 0 || (uint64_t)st.st_size < min_size)
        return -EPROTO;
    m = mmap(NULL, (size_t)st.st_size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
    if (m == MAP_FAILED)
        return -errno;
    madvise(m, (size_t)st.st_size, MADV_DONTFORK); /* a child has its own; what it inherits it claims */
    *base = m;
    *size = (uint64_t)st.st_size;
    return 0;
}

/* A private copy of the header that holds what it promises. */
static int header_check(const uint8_t *base, uint64_t size, uint32_t seg_id, uint64_t slot_size, struct svm_seg_hdr *h)
{
    memcpy(h, base, sizeof(*h));
    if (h->magic != SVM_MAGIC || h->abi_version != SVM_ABI_VERSION || h->size > size || h->seg_id != seg_id)
        return -EPROTO;
    if (h->slots_off % HS_CACHE_LINE || h->slots_off > size || h->n_slots > (size - h->slots_off) / slot_size)
        return -EPROTO;
    for (int i = 0; i < 2; i++)
        if (h->ring_off[i] % HS_CACHE_LINE || h->ring_off[i] > size || h->ring_size[i] > size - h->ring_off[i])
            return -EPROTO;
    return 0;
}

static void bank_enter(struct vcl_life *life, uint32_t index, struct vcl_bank *b)
{
    life->srv_regions.r[index] = (struct svm_region){ b->s_base, b->s_size };
    life->cli_regions.r[index] = (struct svm_region){ b->c_base, b->c_size };
    life->banks[index] = b;
    /* Release: pairs with the acquire of n in ring_check() (svm_fifo_cons.c). */
    if (index >= life->srv_regions.n) {
        __atomic_store_n(&life->srv_regions.n, index + 1, __ATOMIC_RELEASE);
        __atomic_store_n(&life->cli_regions.n, index + 1, __ATOMIC_RELEASE);
        __atomic_store_n(&life->n_banks, index + 1, __ATOMIC_RELEASE);
    }
}

int vcl_segment_add_bank(struct vcl_life *life, uint32_t seg_id, uint32_t index, int s_fd, int c_fd)
{
    struct vcl_bank *b;
    struct svm_seg_hdr sh, ch;
    int rc;

    if (index >= SVM_MAX_BANKS || life->banks[index])
        return -EPROTO;
    b = calloc(1, sizeof(*b));
    if (!b)
        return -ENOMEM;
    b->seg_id = seg_id;
    rc = vcl_segment_map(s_fd, false, sizeof(sh), &b->s_base, &b->s_size);
    if (rc)
        goto free_bank;
    rc = vcl_segment_map(c_fd, true, sizeof(ch), &b->c_base, &b->c_size);
    if (rc)
        goto unmap_s;
    rc = header_check(b->s_base, b->s_size, seg_id, sizeof(struct svm_slot_srv), &sh);
    if (!rc)
        rc = header_check(b->c_base, b->c_size, seg_id, sizeof(struct svm_slot_cli), &ch);
    if (!rc)
        rc = vcl_arena_init(&b->arena, ch.ring_off[0], ch.ring_size[0]);
    if (rc)
        goto unmap_c;
    vcl_arena_keep_small(&b->arena);
    b->s_slots_off = sh.slots_off;
    b->c_slots_off = ch.slots_off;
    b->n_slots = hs_min_u32(sh.n_slots, ch.n_slots);
    bank_enter(life, index, b);
    return 0;

unmap_c:
    munmap(b->c_base, b->c_size);
unmap_s:
    munmap(b->s_base, b->s_size);
free_bank:
    free(b);
    return rc;
}

void vcl_segment_failed_bank(struct vcl_life *life, uint32_t seg_id, uint32_t index)
{
    struct vcl_bank *b = index < SVM_MAX_BANKS && !life->banks[index] ? calloc(1, sizeof(*b)) : NULL;

    if (!b)
        return;
    b->seg_id = seg_id; /* no slot, no memory */
    bank_enter(life, index, b);
}

/* The addresses may be something else's by now. */
void vcl_segment_forget(struct vcl_worker *w)
{
    for (uint32_t i = 0; w->life && i < w->life->n_banks; i++)
        if (w->life->banks[i])
            w->life->banks[i]->s_base = w->life->banks[i]->c_base = NULL;
    vcl_segment_life_free(w->life);
    for (uint32_t i = 0; i < w->n_pairs; i++)
        if (w->pairs[i]) {
            w->pairs[i]->base = NULL;
            w->pairs[i]->peer_page = NULL;
            vcl_segment_pair_free(w->pairs[i]);
            w->pairs[i] = NULL;
        }
    w->n_pairs = 0;
}

void vcl_segment_life_free(struct vcl_life *life)
{
    for (uint32_t i = 0; life && i < life->n_banks; i++) {
        struct vcl_bank *b = life->banks[i];

        if (!b)
            continue;
        if (b->s_base) {
            munmap(b->s_base, b->s_size);
            munmap(b->c_base, b->c_size);
        }
        vcl_arena_fini(&b->arena);
        free(b);
    }
    free(life);
}

int vcl_segment_map_pair(const struct svm_att_segment *m, const int fds[3], struct vcl_pair **out)
{
    struct vcl_pair *p = calloc(1, sizeof(*p));
    struct svm_pair_hdr q;
    struct svm_seg_hdr h;
    uint8_t *page = NULL;
    uint64_t page_size;
    int rc;

    if (!p)
        return -ENOMEM;
    p->peer_bell = (struct vcl_bell){ .fd = -1, .reader = -1 };
    p->side = m->side & 1;
    p->seg_id = m->seg_id;
    p->peer_client_id = m->peer_client_id;
    rc = vcl_segment_map(fds[0], true, sizeof(h) + sizeof(q), &p->base, &p->size);
    if (rc)
        goto undo;
    rc = header_check(p->base, p->size, m->seg_id, sizeof(struct svm_slot_pair), &h);
    if (rc)
        goto undo;
    rc = vcl_segment_map(fds[1], false, sizeof(struct svm_presence_page), &page, &page_size);
    if (rc)
        goto undo;
    p->peer_page = (const void *)page;
    p->slots_off = h.slots_off;
    p->n_slots = h.n_slots;
    memcpy(&q, p->base + sizeof(h), sizeof(q));
    rc = svm_msgq_prod_init(&p->out, &q.q[p->side], p->base, p->size, p->base, p->size);
    if (!rc)
        rc = svm_msgq_cons_init(&p->in, &q.q[1 - p->side], p->base, p->size, p->base, p->size);
    if (!rc)
        rc = vcl_arena_init(&p->arena, h.ring_off[p->side], h.ring_size[p->side]);
    if (rc)
        goto undo;
    vcl_arena_keep_small(&p->arena);
    p->by_slot = calloc(p->n_slots + 1, sizeof(*p->by_slot));
    p->by_slot_self = calloc(p->n_slots + 1, sizeof(*p->by_slot_self));
    rc = -ENOMEM;
    if (!p->by_slot || !p->by_slot_self)
        goto undo;
    p->regions.r[0] = p->regions.r[1] = (struct svm_region){ p->base, p->size };
    p->regions.n = 2;
    rc = vcl_bell_take(&p->peer_bell, fds[2]);
    if (rc)
        goto undo;
    *out = p;
    return 0;

undo:
    vcl_segment_pair_free(p);
    return rc;
}

struct vcl_pair *vcl_segment_failed_pair(const struct svm_att_segment *m)
{
    struct vcl_pair *p = calloc(1, sizeof(*p));

    if (p) {
        p->seg_id = m->seg_id;
        p->peer_client_id = m->peer_client_id;
        p->peer_bell = (struct vcl_bell){ .fd = -1, .reader = -1 };
        p->failed = true;
    }
    return p;
}

void vcl_segment_pair_free(struct vcl_pair *p)
{
    if (p->base)
        munmap(p->base, p->size);
    if (p->peer_page)
        munmap((void *)(uintptr_t)p->peer_page, sizeof(*p->peer_page));
    vcl_arena_fini(&p->arena);
    free(p->by_slot);
    free(p->by_slot_self);
    free(p->kept);
    vcl_bell_drop(&p->peer_bell);
    free(p);
}

/* ---- rings of what this process writes ---- */
static int bank_alloc(void *ctx, uint8_t log2, uint16_t *region, uint64_t *offset)
{
    struct vcl_life *life = ctx;
    uint32_t n = __atomic_load_n(&life->n_banks, __ATOMIC_ACQUIRE);

    for (uint32_t i = 0; i < n; i++)
        if (life->banks[i] && life->banks[i]->c_base && vcl_arena_alloc(&life->banks[i]->arena, log2, offset) == 0) {
            *region = (uint16_t)i;
            return 0;
        }
    return -ENOMEM;
}

static void bank_free(void *ctx, uint8_t log2, uint16_t region, uint64_t offset)
{
    struct vcl_life *life = ctx;

    if (region < life->n_banks && life->banks[region])
        vcl_arena_free(&life->banks[region]->arena, log2, offset);
}

static int pair_alloc(void *ctx, uint8_t log2, uint16_t *region, uint64_t *offset)
{
    struct vcl_pair *p = ctx;

    *region = (uint16_t)p->side;
    return vcl_arena_alloc(&p->arena, log2, offset);
}

static void pair_free(void *ctx, uint8_t log2, uint16_t region, uint64_t offset)
{
    struct vcl_pair *p = ctx;

    if (region == p->side)
        vcl_arena_free(&p->arena, log2, offset);
}

const struct svm_ring_ops vcl_bank_ring_ops = { bank_alloc, bank_free };
const struct svm_ring_ops vcl_pair_ring_ops = { pair_alloc, pair_free };
