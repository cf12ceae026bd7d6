/* writer.c - the thread that writes what the workers' rings hold, so that no worker waits for a disk */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/uio.h>
#include <unistd.h>

#include "server/capture/capture_internal.h"

enum { HEADER_MAX = 8192 };

static bool write_all(struct capture *c, const uint8_t *data, size_t len)
{
    while (len > 0) {
        ssize_t n = write(c->fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            __atomic_store_n(&c->error, n < 0 ? errno : EIO, __ATOMIC_RELAXED);
            return false;
        }
        __atomic_fetch_add(&c->bytes, (uint64_t)n, __ATOMIC_RELAXED);
        data += n;
        len -= (size_t)n;
    }
    return true;
}

/* After a failed write the rest of the file makes no sense: rings are emptied into nowhere. */
static bool drain(struct capture *c, struct capture_ring *ring)
{
    uint64_t tail = ring->tail, head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE); /* pairs with the release in pcapng_packet() */
    uint32_t at = tail & (CAPTURE_RING - 1), len = (uint32_t)(head - tail), first = hs_min_u32(len, CAPTURE_RING - at);

    if (len == 0)
        return false;
    if (!__atomic_load_n(&c->error, __ATOMIC_RELAXED) && write_all(c, ring->bytes + at, first))
        write_all(c, ring->bytes, len - first);
    __atomic_store_n(&ring->tail, head, __ATOMIC_RELEASE); /* pairs with the acquire in pcapng_packet() */
    return true;
}

static void *writer_main(void *arg)
{
    struct capture *c = arg;

    for (;;) {
        bool stop = __atomic_load_n(&c->stop, __ATOMIC_ACQUIRE), some = false;
        for (unsigned i = 0; i < c->stack->n_workers; i++)
            some |= drain(c, &c->w[i]->ring);
        if (stop && !some)
            return NULL;
        if (!some) {
            struct pollfd bell = { .fd = c->bell, .events = POLLIN };
            poll(&bell, 1, CAPTURE_POLL_MS);
        }
    }
}

int capture_writer_start(struct capture *c)
{
    uint8_t header[HEADER_MAX];
    sigset_t all, before;
    int rc;

    size_t len = pcapng_header(c->stack, header, sizeof(header));
    c->error = 0;
    c->bytes = 0;
    c->stop = false;
    if (ftruncate(c->fd, 0) != 0 || lseek(c->fd, 0, SEEK_SET) != 0)
        return -errno;
    /* Full disks and size limits are errors of write(), not the end of the server. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = write_all(c, header, len) ? 0 : -c->error;
    c->bell = rc == 0 ? eventfd(0, EFD_CLOEXEC) : -1;
    if (rc == 0 && c->bell < 0)
        rc = -errno;
    if (rc == 0 && (rc = -pthread_create(&c->writer, NULL, writer_main, c)) != 0)
        close(c->bell);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

void capture_writer_stop(struct capture *c)
{
    uint64_t one = 1, packets = 0, missed = 0;
    uint8_t block[128];
    sigset_t all, before;

    __atomic_store_n(&c->stop, true, __ATOMIC_RELEASE);
    ssize_t n = write(c->bell, &one, sizeof(one));
    (void)n; /* it looks anyway, a little later */
    pthread_join(c->writer, NULL);
    for (unsigned i = 0; i < c->stack->n_workers; i++) {
        packets += c->w[i]->packets;
        missed += c->w[i]->missed;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    if (!c->error)
        write_all(c, block, pcapng_statistics(c->stack, packets, missed, block, sizeof(block)));
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(c->bell);
    close(c->fd);
    c->fd = -1;
}
