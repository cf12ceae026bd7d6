/* tls_keymem.c - chunks of pages, each with a list of its free pieces; a chunk with nothing in use goes back to the system, but for one */
#include "server/tls/tls_keymem.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include "common/map_aligned.h"
#include "common/types.h"

enum { CHUNK = 64 << 10, ALIGN = 64 };

struct piece { struct piece *next; };
struct chunk {                   /* in its first bytes; aligned to CHUNK, so that a piece finds it */
    struct chunk *next, **pprev; /* those that have something free */
    struct piece *free;
    uint32_t n_used;
};
struct tls_keymem {
    pthread_mutex_t lock;
    struct chunk *open;
    size_t size;
    uint32_t n_chunks, n_empty;
};

struct tls_keymem *tls_keymem_new(size_t size)
{
    struct tls_keymem *m = calloc(1, sizeof(*m));

    if (!m)
        return NULL;
    pthread_mutex_init(&m->lock, NULL);
    m->size = (size + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    return m;
}

static void list(struct tls_keymem *m, struct chunk *c)
{
    c->next = m->open;
    c->pprev = &m->open;
    if (c->next)
        c->next->pprev = &c->next;
    m->open = c;
}

static void unlist(struct chunk *c)
{
    *c->pprev = c->next;
    if (c->next)
        c->next->pprev = c->pprev;
}

static struct chunk *chunk_new(struct tls_keymem *m)
{
    uint8_t *p = hs_map_aligned(CHUNK);
    struct chunk *c = (void *)p;

    if (!p)
        return NULL;
    (void)madvise(p, CHUNK, MADV_DONTDUMP);
    (void)mlock(p, CHUNK); /* as with OpenSSL's: beyond the limit keys are where the system puts them */
    for (size_t at = ALIGN; at + m->size <= CHUNK; at += m->size) {
        struct piece *piece = (void *)(p + at);
        piece->next = c->free;
        c->free = piece;
    }
    list(m, c);
    m->n_chunks++;
    m->n_empty++;
    return c;
}

static void chunk_free(struct tls_keymem *m, struct chunk *c)
{
    unlist(c);
    munmap(c, CHUNK);
    m->n_chunks--;
    m->n_empty--;
}

void *tls_keymem_get(struct tls_keymem *m)
{
    struct piece *p = NULL;
    struct chunk *c;

    pthread_mutex_lock(&m->lock);
    c = m->open ? m->open : chunk_new(m);
    if (c) {
        p = c->free;
        c->free = p->next;
        p->next = NULL; /* the rest of it is zero */
        m->n_empty -= c->n_used++ == 0;
        if (!c->free)
            unlist(c);
    }
    pthread_mutex_unlock(&m->lock);
    return p;
}

void tls_keymem_put(struct tls_keymem *m, void *p)
{
    struct chunk *c = (void *)((uintptr_t)p & ~(uintptr_t)(CHUNK - 1));
    struct piece *piece = p;

    if (!p)
        return;
    OPENSSL_cleanse(p, m->size);
    pthread_mutex_lock(&m->lock);
    if (!c->free)
        list(m, c);
    piece->next = c->free;
    c->free = piece;
    if (--c->n_used == 0 && ++m->n_empty > 1)
        chunk_free(m, c);
    pthread_mutex_unlock(&m->lock);
}

void tls_keymem_free(struct tls_keymem *m)
{
    if (!m)
        return;
    while (m->open)
        chunk_free(m, m->open);
    pthread_mutex_destroy(&m->lock);
    free(m);
}

size_t tls_keymem_bytes(const struct tls_keymem *m) { return (size_t)m->n_chunks * CHUNK; }
