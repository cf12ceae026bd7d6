/* fd_table.h - descriptor number -> open file that the library knows (a socket of ours, or an epoll set)
 *
 * A number that is not in the table is the kernel's own and costs two loads. Numbers are always the kernel's: an entry is made
 * after the kernel gave the number and taken away before the number is given back, so "lowest free first" is the kernel's.
 *
 * Owner:  an fd_file is held by each number that leads to it (dup) and by each call that runs on it; the last put releases.
 * Thread: any. Look-up is lock-free: fd_files live in memory that is never unmapped or used for anything else, so a reference
 *         may be tried on a file that was just released; it fails (refs == 0) or is given back when the entry has changed.
 * Memory: process-private; a fork child has its own copy (the vcl sockets in it are shared as vcl.h says).
 * Errors: 0 or -errno. */
#ifndef HOSTSTACK_PRELOAD_FD_TABLE_H
#define HOSTSTACK_PRELOAD_FD_TABLE_H

#include <stdatomic.h>
#include <pthread.h>
#include "common/types.h"

enum fd_kind { FD_NONE, FD_SOCKET, FD_EPOLL };

/* Who serves the socket. Only goes forward: UNDECIDED -> any other; BOTH -> STACK or KERNEL (connect, or server gone). */
enum fd_serve { FD_UNDECIDED, FD_KERNEL, FD_STACK, FD_BOTH };

struct vcl_socket;
struct vcl_set;
struct fd_watch;
struct fd_nest;

/* Who gets signals about a socket, as fcntl(2) was told; the kernel's descriptor has the same. Under preload.async.lock. */
struct fd_async {
    int owner_type, owner;     /* F_OWNER_*, 0 = nobody */
    int signal;                /* F_SETSIG, 0 = SIGIO without more */
    int fd;                    /* si_fd: the number that O_ASYNC was set by */
    bool on;                   /* O_ASYNC; else only of urgent data */
};

struct fd_socket {
    struct vcl_socket *vcl;    /* the stack's side, from socket() or accept() until the release */
    struct fd_watch *watches;  /* epoll entries made in kernel sets while UNDECIDED; under fd_table.lock */
    _Atomic uint8_t serve;     /* enum fd_serve */
    uint8_t proto;             /* enum svm_proto */
    bool is_v6;
    bool is_listener;
    bool is_accepted;
    bool is_copy;              /* its kernel descriptor is a copy of an idle socket (preload_number.c) */
    _Atomic bool has_dups;     /* more than one number has led to it */
    bool is_exported;          /* its kernel descriptor is a pair's end that the server knows (preload_exec.c) */
    bool is_spawn_named;       /* a file action of posix_spawn() has named it */
    _Atomic bool is_read_shut; /* shutdown() of the receiving side */
    bool needs_stack;          /* bound to an address that both should serve, but there is no server */
    bool has_key_of_stack;     /* TCP: a key for its peer that the kernel does not take: it must not serve the socket */
    bool tls_named;            /* transparent TLS: LDP_TLS_SERVER_NAME has been set on it */
    struct fd_async async;     /* preload_async.c */
    _Atomic uint64_t inode;    /* as fstat() has told it, 0 = it has not (preload_stat.c) */
    const char *_Atomic why;   /* static text for HOSTSTACK_REPORT */
};

struct fd_epoll {
    struct vcl_set *_Atomic set;    /* NULL until the first stack socket is added */
    _Atomic unsigned kernel_waiters;/* threads in the kernel's epoll_wait, from the time before the set */
    _Atomic int kick_fd;            /* what gets them out of there, + 1; 0 = none */
    _Atomic bool nested;            /* watched by another set, poll or select */
    _Atomic bool has_nests;         /* other sets have been in it */
    uint32_t nest_id;               /* the last one's; under fd_table.lock, as is: */
    struct fd_nest *nests;          /* the sets in it (preload_nest.c) */
};

struct fd_file {
    _Atomic uint32_t refs;      /* numbers and running calls; 0 = free */
    _Atomic uint32_t generation;/* changes at each reuse */
    uint8_t kind;               /* enum fd_kind */
    int first_fd;               /* the number it was made with, for the report */
    struct fd_file *next_free;
    union {
        struct fd_socket sock;
        struct fd_epoll epoll;
    };
};

enum fd_table_limits {
    FD_PAGE_LOG2 = 10,
    FD_PAGE_SLOTS = 1 << FD_PAGE_LOG2,
    FD_PAGES = 4096,
    FD_TABLE_MAX = FD_PAGES * FD_PAGE_SLOTS, /* numbers beyond it are always the kernel's */
};

struct fd_page {
    struct fd_file *_Atomic file[FD_PAGE_SLOTS];
};

struct fd_table {
    struct fd_page *_Atomic page[FD_PAGES];
    pthread_mutex_t lock;       /* free list, new pages, watches */
    struct fd_file *free_files;
    _Atomic unsigned n_files;
    void (*release)(struct fd_file *f); /* the last reference has gone; the file is freed when it returns */
};

void fd_table_init(struct fd_table *t, void (*release)(struct fd_file *f));
/* A file of the given kind with one reference, everything else zero; NULL without memory. */
struct fd_file *fd_file_new(struct fd_table *t, enum fd_kind kind);
void fd_file_put(struct fd_table *t, struct fd_file *f);
/* For who already holds a reference. */
static inline void fd_file_hold(struct fd_file *f)
{
    atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
}
/* A reference if the file still lives in that generation. */
bool fd_file_try_hold(struct fd_table *t, struct fd_file *f, uint32_t generation);

/* Makes `fd` lead to f and takes over the caller's reference. 0, -ENOMEM, -EMFILE (number beyond the table). */
int fd_table_install(struct fd_table *t, int fd, struct fd_file *f);
/* Makes `fd` the kernel's own; returns the file with the number's reference, or NULL. */
struct fd_file *fd_table_take(struct fd_table *t, int fd);
/* First number >= fd that is in the table, or -1. */
int fd_table_next(struct fd_table *t, unsigned fd);
void fd_table_fork_prepare(struct fd_table *t);
void fd_table_fork_done(struct fd_table *t, bool is_child);

struct fd_file *fd_table_get_slow(struct fd_table *t, struct fd_file *_Atomic *slot);

/* Where the number's file stands, if it has one; NULL: a number of the kernel's. */
static inline struct fd_file *_Atomic *fd_table_slot(struct fd_table *t, int fd)
{
    if ((unsigned)fd >= FD_TABLE_MAX)
        return NULL;
    struct fd_page *p = atomic_load_explicit(&t->page[fd >> FD_PAGE_LOG2], memory_order_acquire);
    if (!p)
        return NULL;
    struct fd_file *_Atomic *slot = &p->file[fd & (FD_PAGE_SLOTS - 1)];
    return hs_likely(!atomic_load_explicit(slot, memory_order_relaxed)) ? NULL : slot;
}

/* The file with a reference for the caller, or NULL: a number of the kernel's. */
static inline struct fd_file *fd_table_get(struct fd_table *t, int fd)
{
    struct fd_file *_Atomic *slot = fd_table_slot(t, fd);
    return hs_likely(!slot) ? NULL : fd_table_get_slow(t, slot);
}

/* Is there an entry at all? Costs no reference. */
static inline bool fd_table_has(struct fd_table *t, int fd)
{
    if ((unsigned)fd >= FD_TABLE_MAX)
        return false;
    struct fd_page *p = atomic_load_explicit(&t->page[fd >> FD_PAGE_LOG2], memory_order_acquire);
    return p && atomic_load_explicit(&p->file[fd & (FD_PAGE_SLOTS - 1)], memory_order_relaxed);
}

#endif
