/* vcl_rest.c - what a former cut-through peer wrote before it handed its end over, and nobody here has read yet
 *
 * It is copied out of that peer's memory, and comes before the bytes of the new one. As long as one process alone holds the session it is
 * in private memory. Before another one can hold it (fork, exec, SCM_RIGHTS) it goes to memory that all of them map (struct svm_rest) and
 * whose descriptor the server keeps: who claims the session asks for it. Each byte is read once: a reader owns what it has moved `head` over.
 *   not in a sandbox (vcl_fork_claim_all()): no descriptor can be made there; the rest stays with this process */
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include "vcl/vcl_internal.h"
#include "vcl/vcl_sys.h"

enum { REST_MAX_FIFOS = 16, OWN_TRIES = 1000 }; /* tries: other holders read as well, each moves on when it has been faster */

static void rest_free(struct vcl_rest *r)
{
    if (r && r->size)
        munmap(r->page, r->size);
    else if (r)
        free(r->page);
    free(r);
}

static struct vcl_rest *rest_new(struct svm_rest *page, uint32_t len, size_t size)
{
    struct vcl_rest *r = aligned_alloc(HS_CACHE_LINE, (sizeof(*r) + 63) & ~(size_t)63);

    if (!r)
        return NULL;
    memset(r, 0, sizeof(*r));
    r->page = page;
    r->len = len;
    r->size = size;
    return r;
}

/* Bytes from there on; a position that cannot be counts as the end. */
static uint32_t rest_left(const struct vcl_rest *r, uint32_t *head)
{
    uint32_t at = __atomic_load_n(&r->page->head, __ATOMIC_ACQUIRE);

    *head = hs_min_u32(at, r->len);
    return r->len - *head;
}

/* True: bytes [head, head + n) are ours, nobody else has had them. */
static bool rest_own(struct vcl_rest *r, uint32_t head, uint32_t n)
{
    return __atomic_compare_exchange_n(&r->page->head, &head, head + n, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* rx shows it. The ring is as large as the bytes, rounded up, and is not read behind their end. */
static void rest_show(struct vcl_socket *s, struct vcl_rest *r)
{
    uint32_t log2 = SVM_RING_MIN_LOG2, head;

    while (1u << log2 < r->len)
        log2++;
    rest_left(r, &head);
    r->regions.r[0] = (struct svm_region){ r->page->bytes, 1u << log2 };
    r->regions.n = 1;
    r->line.tail = r->len;
    r->line.ring[0].log2 = (uint8_t)log2;
    r->cons.head = head;
    s->rest = r;
    svm_fifo_cons_init(&s->rx, &r->cons, &r->line, &r->regions, 1u << log2);
}

static void rest_end(struct vcl_socket *s)
{
    struct vcl_rest *r = s->rest;

    s->rest = NULL;
    if (r->id) { /* told at the next call: the worker lock comes before this one */
        s->rest_told = r->id;
        s->rest_unshare = !s->shared;
        s->rest_read = s->shared = true;
    }
    rest_free(r);
}

/* It comes again with the next FIFOs; NULL: none, or the server keeps it for whoever claims the socket. */
struct vcl_rest *vcl_rest_detach(struct vcl_socket *s)
{
    struct vcl_rest *r = s->rest && !s->rest->id ? s->rest : NULL;

    if (r)
        s->rest = NULL;
    return r;
}

void vcl_rest_drop(struct vcl_socket *s)
{
    rest_free(s->rest);
    rest_free(s->rest_due);
    s->rest = s->rest_due = NULL;
    s->rest_read = false;
}

/* The other way round when rx is ahead: its owner reads in place (SCTP, zero copy). */
void vcl_rest_turn(struct vcl_socket *s)
{
    struct vcl_rest *r = s->rest;
    uint32_t head, left = rest_left(r, &head);

    if ((int32_t)(s->rx.head - head) > 0) {
        rest_own(r, head, s->rx.head - head);
        left = rest_left(r, &head);
    }
    if (left == 0) {
        s->rx = r->next;
        memset(&s->urg, 0, sizeof(s->urg));
        rest_end(s);
    } else if (s->rx.head != head) {
        svm_fifo_drop(&s->rx, head - s->rx.head);
    }
}

static void copy_to(const struct iovec *iov, int n_iov, size_t skip, const uint8_t *from, size_t n)
{
    for (int i = 0; i < n_iov && n; i++) {
        size_t piece;

        if (skip >= iov[i].iov_len) {
            skip -= iov[i].iov_len;
            continue;
        }
        piece = hs_min_u64(iov[i].iov_len - skip, n);
        memcpy((uint8_t *)iov[i].iov_base + skip, from, piece);
        from += piece;
        n -= piece;
        skip = 0;
    }
}

int64_t vcl_rest_take(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t skip, int flags)
{
    size_t want = 0;

    for (int i = 0; i < n_iov; i++)
        want += iov[i].iov_len;
    for (unsigned tries = 0; tries < OWN_TRIES; tries++) {
        uint32_t head, n;

        vcl_rest_turn(s);
        if (!s->rest)
            return 0;
        n = (uint32_t)hs_min_u64(rest_left(s->rest, &head), want - skip);
        if (!(flags & MSG_TRUNC)) /* tcp(7): thrown away, not copied */
            copy_to(iov, n_iov, skip, s->rest->page->bytes + head, n);
        if (n == 0 || flags & MSG_PEEK)
            return n;
        if (!rest_own(s->rest, head, n))
            continue;
        vcl_rest_turn(s);
        return n;
    }
    return -EPROTO;
}

/* What is left of the rest before, then all unread bytes of `from`. rx is the FIFO that comes next. */
int vcl_rest_keep(struct vcl_socket *s, struct svm_fifo_cons *from)
{
    struct vcl_rest *before = s->rest, *r;
    int64_t n = svm_fifo_cons_avail(from);
    uint32_t head = 0, had = before ? rest_left(before, &head) : 0, size = 1u << SVM_RING_MIN_LOG2;
    struct svm_rest *page;

    if (before)
        before->next = s->rx;
    if (n < 0 || had + n > (int64_t)REST_MAX_FIFOS * from->max_size) /* the other end only writes, and changes hands */
        return -EPROTO;
    while (size < had + n)
        size <<= 1;
    page = malloc(sizeof(*page) + size);
    if (!page)
        return -ENOMEM;
    page->head = 0;
    for (unsigned tries = 0; had; tries++) {
        if (tries == OWN_TRIES) {
            free(page);
            return -EPROTO;
        }
        memcpy(page->bytes, before->page->bytes + head, had);
        if (rest_own(before, head, had))
            break;
        had = rest_left(before, &head);
    }
    page->len = had + (uint32_t)n;
    if (n && svm_fifo_peek(from, 0, page->bytes + had, (uint32_t)n) != n) {
        free(page);
        return -EPROTO;
    }
    svm_fifo_drop(from, (uint32_t)n);
    r = page->len ? rest_new(page, page->len, 0) : NULL;
    if (!r) {
        bool none = page->len == 0;

        free(page);
        if (none && before)
            rest_end(s);
        return none ? 0 : -ENOMEM;
    }
    r->next = s->rx;
    rest_free(before); /* the server is told by the number of the new one, or forgets both */
    s->rest_read = false;
    rest_show(s, r);
    return 0;
}

/* ---- for all holders ---- */

/* Sealed memory with the bytes of r from `head` on; its descriptor, or -errno. */
static int page_make(const struct vcl_rest *r, uint32_t head, struct svm_rest **out, size_t *size)
{
    uint32_t log2 = SVM_RING_MIN_LOG2;
    struct svm_rest *page;
    int fd = memfd_create("hoststack-rest", MFD_CLOEXEC | MFD_ALLOW_SEALING), rc;

    if (fd < 0)
        return -errno;
    while (1u << log2 < r->len - head)
        log2++;
    *size = sizeof(*page) + (1u << log2);
    if (ftruncate(fd, (off_t)*size) != 0 || syscall(SYS_fcntl, fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        goto undo;
    page = mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        goto undo;
    page->len = r->len - head;
    memcpy(page->bytes, r->page->bytes + head, page->len);
    *out = page;
    return fd;
undo:
    rc = -errno;
    sys_close(fd);
    return rc;
}

int vcl_rest_share(struct vcl_socket *s)
{
    struct vcl_rest *r = NULL;
    struct svm_rest *page = NULL;
    uint32_t head, left;
    size_t size = 0;
    int fd = -1, rc = 0;

    if (s->w->sandboxed || vcl_state(s) == VCL_ZOMBIE) /* closed: shared with whom it was to be, and the server may know it no more */
        return 0;
    vcl_lock_take(&s->rx_lock);
    if (!s->rest || s->rest->id)
        goto out;
    vcl_rest_turn(s);
    left = s->rest ? rest_left(s->rest, &head) : 0;
    if (left == 0)
        goto out;
    rc = fd = page_make(s->rest, head, &page, &size);
    if (rc < 0)
        goto out;
    r = rest_new(page, left, size);
    rc = r ? vcl_worker_rest_put(s->w, s->handle, fd, &r->id) : -ENOMEM;
    if (rc == 0) {
        r->next = s->rest->next;
        rest_free(s->rest);
        rest_show(s, r);
        goto out;
    }
    munmap(page, size);
    free(r);
out:
    vcl_lock_give(&s->rx_lock);
    if (fd >= 0)
        sys_close(fd);
    if (rc < 0)
        vcl_log(0, "bytes of a former cut-through peer cannot be shared with another process: %s", strerror(-rc));
    return rc < 0 ? rc : 0;
}

/* Another holder made it: nothing in it is believed. */
static int rest_map(int fd, uint32_t id, struct vcl_rest **out)
{
    struct svm_rest *page;
    struct stat st;
    long seals = syscall(SYS_fcntl, fd, F_GET_SEALS);
    uint32_t len, log2 = SVM_RING_MIN_LOG2;

    if (seals < 0 || !(seals & F_SEAL_SHRINK) || fstat(fd, &st) != 0 || st.st_size < (off_t)sizeof(*page) || st.st_size > SVM_REST_MAX)
        return -EPROTO;
    page = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return -errno;
    len = __atomic_load_n(&page->len, __ATOMIC_RELAXED);
    while (log2 < 31 && 1u << log2 < len)
        log2++;
    *out = (size_t)st.st_size - sizeof(*page) >= 1u << log2 ? rest_new(page, len, (size_t)st.st_size) : NULL;
    if (!*out) {
        munmap(page, (size_t)st.st_size);
        return -EPROTO;
    }
    (*out)->id = id;
    return 0;
}

int vcl_rest_fetch(struct vcl_socket *s)
{
    uint32_t id;
    int fd, rc = vcl_worker_rest_get(s->w, s->handle, &fd, &id);

    if (rc || fd < 0)
        return rc;
    rc = rest_map(fd, id, &s->rest_due);
    sys_close(fd);
    return rc;
}

void vcl_rest_install(struct vcl_socket *s)
{
    struct vcl_rest *r = s->rest_due;

    s->rest_due = NULL;
    r->next = s->rx;
    s->rest_read = false;
    rest_show(s, r);
    vcl_rest_turn(s);
}

void vcl_rest_tell(struct vcl_socket *s)
{
    struct svm_msg m = { .type = SVM_MSG_NONE };

    pthread_mutex_lock(&s->w->lock);
    vcl_lock_take(&s->rx_lock);
    if (s->rest_read) {
        m = vcl_socket_msg(s, SVM_MSG_REST_READ);
        m.u.value = s->rest_told;
        s->rest_read = false;
        s->shared = s->shared && !s->rest_unshare;
    }
    vcl_lock_give(&s->rx_lock);
    if (m.type)
        vcl_socket_post(s, &m);
    pthread_mutex_unlock(&s->w->lock);
}

/* What the server keeps comes with the claim. What it could not keep is not to be had, and may not be skipped in silence. */
void vcl_rest_in_child(struct vcl_socket *s)
{
    const struct vcl_rest *r = s->rest ? s->rest : s->rest_due;
    bool missed = r && !r->id && rest_left(r, &(uint32_t){ 0 }) > 0;

    vcl_rest_drop(s);
    if (missed && vcl_state(s) == VCL_CONNECTED) {
        atomic_store(&s->error, -ECONNRESET);
        s->died_connected = true;
        vcl_socket_set_state(s, VCL_DEAD);
    }
}
