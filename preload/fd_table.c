/* fd_table.c - the two-level table and the files in it (see fd_table.h for the life-time argument) */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include "preload/fd_table.h"

enum { FD_FILE_CHUNK = 1 << 16 };

void fd_table_init(struct fd_table *t, void (*release)(struct fd_file *f))
{
    pthread_mutex_init(&t->lock, NULL);
    t->release = release;
}

/* From mmap, not malloc: the program's allocator may be any, and may itself be what calls us (reading /proc at start-up). */
static void *fd_table_map(size_t size)
{
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

static void fd_file_refill(struct fd_table *t)
{
    struct fd_file *chunk = fd_table_map(FD_FILE_CHUNK);
    if (!chunk)
        return;
    for (size_t i = FD_FILE_CHUNK / sizeof(*chunk); i-- > 0;) {
        chunk[i].next_free = t->free_files;
        t->free_files = &chunk[i];
    }
}

struct fd_file *fd_file_new(struct fd_table *t, enum fd_kind kind)
{
    pthread_mutex_lock(&t->lock);
    if (!t->free_files)
        fd_file_refill(t);
    struct fd_file *f = t->free_files;
    if (f)
        t->free_files = f->next_free;
    pthread_mutex_unlock(&t->lock);
    if (!f)
        return NULL;
    f->next_free = NULL;
    f->kind = kind;
    memset(&f->sock, 0, sizeof(f->sock));
    atomic_fetch_add_explicit(&f->generation, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&t->n_files, 1, memory_order_relaxed);
    /* Release: who gets a reference sees the fields above. */
    atomic_store_explicit(&f->refs, 1, memory_order_release);
    return f;
}

static __attribute__((noinline)) void fd_file_free(struct fd_table *t, struct fd_file *f)
{
    t->release(f);
    atomic_fetch_sub_explicit(&t->n_files, 1, memory_order_relaxed);
    pthread_mutex_lock(&t->lock);
    f->next_free = t->free_files;
    t->free_files = f;
    pthread_mutex_unlock(&t->lock);
}

/* The only thread counts without an atomic read-modify-write. Who counts is in a call, where signal handlers wait (preload_signal.h). */
void fd_file_put(struct fd_table *t, struct fd_file *f)
{
    uint32_t refs;
    if (hs_likely(__libc_single_threaded)) {
        refs = atomic_load_explicit(&f->refs, memory_order_relaxed);
        atomic_store_explicit(&f->refs, refs - 1, memory_order_relaxed);
    } else {
        refs = atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel);
    }
    if (hs_unlikely(refs == 1))
        fd_file_free(t, f);
}

/* A reference unless the file is free. Safe on any file ever made: its memory stays a fd_file. */
static bool fd_file_hold_unless_free(struct fd_file *f)
{
    uint32_t refs = atomic_load_explicit(&f->refs, memory_order_relaxed);
    do {
        if (refs == 0)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&f->refs, &refs, refs + 1, memory_order_acquire,
                                                    memory_order_relaxed));
    return true;
}

bool fd_file_try_hold(struct fd_table *t, struct fd_file *f, uint32_t generation)
{
    if (!fd_file_hold_unless_free(f))
        return false;
    if (atomic_load_explicit(&f->generation, memory_order_relaxed) == generation)
        return true;
    fd_file_put(t, f);
    return false;
}

static __attribute__((noinline)) struct fd_file *fd_table_get_shared(struct fd_table *t, struct fd_file *_Atomic *slot)
{
    for (;;) {
        struct fd_file *f = atomic_load_explicit(slot, memory_order_acquire);
        if (!f)
            return NULL;
        /* Between the load and the reference the number may have been closed and the file used again elsewhere. If the slot still
         * leads to it, it is the right one: the slot's own reference keeps it alive at that moment. */
        if (!fd_file_hold_unless_free(f))
            continue;
        if (hs_likely(atomic_load_explicit(slot, memory_order_acquire) == f))
            return f;
        fd_file_put(t, f);
    }
}

struct fd_file *fd_table_get_slow(struct fd_table *t, struct fd_file *_Atomic *slot)
{
    struct fd_file *f;
    if (hs_unlikely(!__libc_single_threaded))
        return fd_table_get_shared(t, slot);
    f = atomic_load_explicit(slot, memory_order_relaxed);
    if (hs_likely(f)) /* the slot's reference keeps it */
        atomic_store_explicit(&f->refs, atomic_load_explicit(&f->refs, memory_order_relaxed) + 1, memory_order_relaxed);
    return f;
}

static struct fd_page *fd_table_page(struct fd_table *t, int fd)
{
    struct fd_page *_Atomic *pp = &t->page[fd >> FD_PAGE_LOG2];
    struct fd_page *p = atomic_load_explicit(pp, memory_order_acquire);
    if (p)
        return p;
    pthread_mutex_lock(&t->lock);
    p = atomic_load_explicit(pp, memory_order_relaxed);
    if (!p) {
        p = fd_table_map(sizeof(*p));
        atomic_store_explicit(pp, p, memory_order_release);
    }
    pthread_mutex_unlock(&t->lock);
    return p;
}

int fd_table_install(struct fd_table *t, int fd, struct fd_file *f)
{
    if ((unsigned)fd >= FD_TABLE_MAX)
        return -EMFILE;
    struct fd_page *p = fd_table_page(t, fd);
    if (!p)
        return -ENOMEM;
    /* An old entry is one whose number was closed behind our back (a raw system call). */
    struct fd_file *old = atomic_exchange_explicit(&p->file[fd & (FD_PAGE_SLOTS - 1)], f, memory_order_acq_rel);
    if (old)
        fd_file_put(t, old);
    return 0;
}

struct fd_file *fd_table_take(struct fd_table *t, int fd)
{
    if (!fd_table_has(t, fd))
        return NULL;
    struct fd_page *p = atomic_load_explicit(&t->page[fd >> FD_PAGE_LOG2], memory_order_acquire);
    return atomic_exchange_explicit(&p->file[fd & (FD_PAGE_SLOTS - 1)], NULL, memory_order_acq_rel);
}

int fd_table_next(struct fd_table *t, unsigned fd)
{
    while (fd < FD_TABLE_MAX) {
        struct fd_page *p = atomic_load_explicit(&t->page[fd >> FD_PAGE_LOG2], memory_order_acquire);
        if (!p) {
            fd = (fd | (FD_PAGE_SLOTS - 1)) + 1;
            continue;
        }
        if (atomic_load_explicit(&p->file[fd & (FD_PAGE_SLOTS - 1)], memory_order_relaxed))
            return (int)fd;
        fd++;
    }
    return -1;
}

void fd_table_fork_prepare(struct fd_table *t)
{
    pthread_mutex_lock(&t->lock);
}

void fd_table_fork_done(struct fd_table *t, bool is_child)
{
    if (is_child) /* the lock's owner is a thread of the parent */
        pthread_mutex_init(&t->lock, NULL);
    else
        pthread_mutex_unlock(&t->lock);
}
