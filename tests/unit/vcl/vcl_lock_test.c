/* vcl_lock_test.c - the lock of a socket's direction, in a program that has one thread and then several; who reads does not wait for who writes */
#include <criterion/criterion.h>
#include <errno.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "vcl/vcl_internal.h"

enum { ROUNDS = 200000, MANY = 4, RING = 65536 };
#define LIMIT_NS 40000000000ll /* for what happens at once */

static struct vcl_lock lock;
static unsigned plain; /* under the lock */
static atomic_bool entered;

static bool comes(const atomic_uint *word, unsigned value)
{
    int64_t limit = vcl_now_ns() + LIMIT_NS;

    while (atomic_load(word) != value && vcl_now_ns() < limit)
        sched_yield();
    return atomic_load(word) == value;
}

static void *enter(void *arg)
{
    (void)arg;
    errno = EXDEV;
    vcl_lock_take(&lock);
    atomic_store(&entered, true);
    plain++;
    vcl_lock_give(&lock);
    return (void *)(intptr_t)errno;
}

/* Taken by the only thread, given back by one of two: the second one has to wait for it, and must be woken. Before criterion begins, which
 * has threads. */
static struct {
    bool was_alone, is_alone, sleeps, was_in;
    int create, error, error_there;
    unsigned plain, word;
} seen;

static __attribute__((constructor)) void begin_alone(void)
{
    pthread_t t;
    void *error = NULL;

    seen.was_alone = !vcl_threads_share();
    vcl_lock_init(&lock);
    vcl_lock_take(&lock);
    vcl_lock_give(&lock);
    vcl_lock_take(&lock);
    seen.create = pthread_create(&t, NULL, enter, NULL);
    if (seen.create)
        return;
    seen.is_alone = !vcl_threads_share();
    seen.sleeps = comes(&lock.word, VCL_LOCK_AWAITED);
    seen.was_in = atomic_load(&entered);
    plain++;
    errno = EXDEV;
    vcl_lock_give(&lock);
    seen.error = errno;
    pthread_join(t, &error);
    seen.error_there = (int)(intptr_t)error;
    seen.plain = plain;
    seen.word = atomic_load(&lock.word);
}

Test(vcl_lock, a_thread_that_begins_meanwhile_waits)
{
    cr_assert_eq(seen.create, 0);
    cr_assert(seen.was_alone && !seen.is_alone);
    cr_assert(seen.sleeps, "the second thread sleeps for it");
    cr_assert(!seen.was_in);
    cr_assert_eq(seen.error, EXDEV);
    cr_assert_eq(seen.error_there, EXDEV);
    cr_assert_eq(seen.plain, 2);
    cr_assert_eq(seen.word, VCL_LOCK_FREE);
}

static void *count(void *arg)
{
    (void)arg;
    for (int i = 0; i < ROUNDS; i++) {
        vcl_lock_take(&lock);
        plain++;
        vcl_lock_give(&lock);
    }
    return NULL;
}

/* Each begins while those before it are at work. */
Test(vcl_lock, one_at_a_time)
{
    pthread_t t[MANY];

    plain = 0;
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(pthread_create(&t[i], NULL, count, NULL), 0);
    count(NULL);
    for (int i = 0; i < MANY; i++)
        cr_assert_eq(pthread_join(t[i], NULL), 0);
    cr_assert_eq(plain, (MANY + 1) * ROUNDS);
    cr_assert_eq(atomic_load(&lock.word), VCL_LOCK_FREE);
}

/* ---- a connected stream without a server: its FIFOs are memory of this program, and lead back to itself ---- */
static struct {
    _Alignas(64) struct svm_fifo_prod_line prod;
    struct svm_fifo_cons_line cons;
    _Alignas(64) uint8_t ring[RING];
    struct svm_region_table regions;
} loop;

static int ring_alloc(void *ctx, uint8_t log2, uint16_t *region, uint64_t *offset)
{
    (void)ctx;
    *region = 0;
    *offset = 0;
    return log2 <= 12 ? 0 : -ENOMEM;
}
static void ring_free(void *ctx, uint8_t log2, uint16_t region, uint64_t offset) { (void)ctx, (void)log2, (void)region, (void)offset; }
static const struct svm_ring_ops ring_ops = { .alloc = ring_alloc, .free = ring_free };

static struct vcl_worker worker;

static struct vcl_socket *looped(void)
{
    struct vcl_socket *s;

    vcl_worker_init(&worker);
    s = vcl_socket_alloc(&worker, SVM_PROTO_TCP, false);
    cr_assert_not_null(s);
    loop.regions.r[0] = (struct svm_region){ loop.ring, sizeof(loop.ring) };
    loop.regions.n = 1;
    svm_fifo_prod_init(&s->tx, &loop.prod, &loop.cons, &loop.regions, &ring_ops, NULL, 4096);
    svm_fifo_cons_init(&s->rx, &loop.cons, &loop.prod, &loop.regions, 4096);
    loop.prod.evt_seq = s->tx.evt_seq = 1; /* an event is on its way: none is due */
    s->rx_line = s->rx.line;
    s->rx_peer = s->rx.peer;
    s->has_fifos = true;
    atomic_store(&s->nonblock, true);
    atomic_store(&s->state, VCL_CONNECTED);
    return s;
}

enum { NOTHING, WRITTEN, READ, WRONG };
static atomic_uint done;

static void *write_some(void *arg)
{
    struct iovec iov = { "abcd", 4 };

    atomic_store(&done, vcl_stream_send(arg, &iov, 1, 0) == 4 ? WRITTEN : WRONG);
    return NULL;
}

static void *read_some(void *arg)
{
    char b[8];
    struct iovec iov = { b, sizeof(b) };

    atomic_store(&done, vcl_stream_recv(arg, &iov, 1, 0) == 4 && memcmp(b, "abcd", 4) == 0 ? READ : WRONG);
    return NULL;
}

/* One thread is in the middle of a read for as long as another one needs to write, and the other way round. */
Test(vcl_lock, directions_do_not_wait_for_each_other)
{
    struct vcl_socket *s = looped();
    pthread_t t;

    vcl_lock_take(&s->rx_lock);
    cr_assert_eq(pthread_create(&t, NULL, write_some, s), 0);
    cr_assert(comes(&done, WRITTEN), "a writer waits for a reader");
    vcl_lock_give(&s->rx_lock);
    cr_assert_eq(pthread_join(t, NULL), 0);
    vcl_lock_take(&s->tx_lock);
    cr_assert_eq(pthread_create(&t, NULL, read_some, s), 0);
    cr_assert(comes(&done, READ), "a reader waits for a writer");
    vcl_lock_give(&s->tx_lock);
    cr_assert_eq(pthread_join(t, NULL), 0);
}

static struct vcl_pair pair;

static void *hear_of_bytes(void *arg)
{
    struct svm_msg m = { .type = SVM_MSG_DATA, .u.value = 7 };

    vcl_worker_dispatch_pair(arg, &m);
    atomic_store(&done, READ);
    return NULL;
}

/* What a former peer has left is for who has the reader's lock: a reader frees it when it is through. Who tells of what has come for a socket
 * may not look at it, for it may be gone at any moment, nor wait for a reader, for others wait for him then. */
Test(vcl_lock, an_event_waits_for_no_reader_and_looks_at_nothing_of_his)
{
    struct vcl_socket *s = looped(), *slots[] = { s };
    void *gone = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t t;

    cr_assert_neq(gone, MAP_FAILED);
    s->rest = gone;
    s->local = true;
    pair = (struct vcl_pair){ .by_slot = slots, .n_slots = 1 };
    vcl_lock_take(&s->rx_lock);
    cr_assert_eq(pthread_create(&t, NULL, hear_of_bytes, &pair), 0);
    cr_assert(comes(&done, READ), "an event waits for a reader");
    vcl_lock_give(&s->rx_lock);
    cr_assert_eq(pthread_join(t, NULL), 0);
    cr_assert_eq(atomic_load(&s->evt_seq), 7);
}

static void *ask_error(void *arg)
{
    vcl_take_error(arg);
    atomic_store(&done, READ);
    return NULL;
}

/* SO_ERROR looks at the FIFO, whose memory goes when the socket has another one, or none: under a lock. */
Test(vcl_lock, who_asks_for_the_error_waits_for_who_changes_the_fifos)
{
    struct vcl_socket *s = looped();
    pthread_t t;

    vcl_socket_lock(s);
    s->rx_peer = NULL; /* it is about to be another one */
    cr_assert_eq(pthread_create(&t, NULL, ask_error, s), 0);
    cr_assert(comes(&s->rx_lock.word, VCL_LOCK_AWAITED), "who asks does not wait");
    s->rx_peer = s->rx.peer;
    vcl_socket_unlock(s);
    cr_assert(comes(&done, READ));
    cr_assert_eq(pthread_join(t, NULL), 0);
}

/* Readers look at what a former peer has left when there are FIFOs: both go at once. */
Test(vcl_lock, no_rest_without_fifos)
{
    struct vcl_socket *s = looped();

    s->rest = aligned_alloc(HS_CACHE_LINE, (sizeof(*s->rest) + 63) & ~(size_t)63);
    cr_assert_not_null(s->rest);
    memset(s->rest, 0, sizeof(*s->rest));
    s->rest->page = calloc(1, sizeof(*s->rest->page));
    vcl_socket_lock(s);
    vcl_socket_fifos_end(s);
    cr_assert(!s->has_fifos && !s->rest);
    vcl_socket_unlock(s);
}
