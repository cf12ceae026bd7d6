/* vppcom_select.c - native select and poll over session handles */
#include <stdlib.h>
#include "vcl/vcl_internal.h"
#include "vcl/vppcom_internal.h"

enum { ON_STACK = 64, WORD_BITS = 8 * sizeof(unsigned long) };

static const struct timespec *timeout_of(double seconds, struct timespec *ts)
{
    if (seconds < 0)
        return NULL;
    if (seconds > 1e9)
        seconds = 1e9;
    ts->tv_sec = (time_t)seconds;
    ts->tv_nsec = (long)((seconds - (double)ts->tv_sec) * 1e9);
    return ts;
}

int vppcom_poll(vcl_poll_t *vp, uint32_t n_sids, double wait_for_time)
{
    struct vcl_pollfd stack[ON_STACK], *fds = n_sids > ON_STACK ? calloc(n_sids, sizeof(*fds)) : stack;
    struct timespec ts;
    int bad = 0, rc;

    if (!vp && n_sids)
        return VPPCOM_EFAULT;
    if (!fds)
        return VPPCOM_ENOMEM;
    for (uint32_t i = 0; i < n_sids; i++) {
        fds[i] = (struct vcl_pollfd){ .socket = vppcom_socket(vp[i].sid), .fd = -1, .events = vp[i].events };
        bad += !fds[i].socket;
    }
    rc = vcl_poll_wait(fds, n_sids, timeout_of(bad ? 0 : wait_for_time, &ts), NULL);
    for (uint32_t i = 0; rc >= 0 && i < n_sids; i++) {
        vp[i].revents = fds[i].socket ? fds[i].revents : POLLNVAL;
        rc += !fds[i].socket;
    }
    if (fds != stack)
        free(fds);
    return rc;
}

static bool bit_get(const unsigned long *map, unsigned i)
{
    return map && map[i / WORD_BITS] >> (i % WORD_BITS) & 1;
}

static int bit_put(unsigned long *map, unsigned i, bool on)
{
    if (!map)
        return 0;
    map[i / WORD_BITS] = (map[i / WORD_BITS] & ~(1ul << (i % WORD_BITS))) | (unsigned long)on << (i % WORD_BITS);
    return on;
}

/* The session of an index, whichever worker it belongs to. */
static struct vcl_socket *socket_of_index(uint32_t index)
{
    for (uint32_t worker = 0; worker <= vcl_config()->max_workers; worker++) {
        struct vcl_socket *s = vppcom_socket(worker << VPPCOM_INDEX_BITS | index);

        if (s)
            return s;
    }
    return NULL;
}

int vppcom_select(int n_bits, unsigned long *read_map, unsigned long *write_map, unsigned long *except_map, double wait_for_time)
{
    struct vcl_pollfd *fds;
    struct timespec ts;
    unsigned *index, n = 0;
    int rc;

    if (n_bits < 0)
        return VPPCOM_EINVAL;
    fds = calloc((size_t)n_bits + 1, sizeof(*fds));
    index = calloc((size_t)n_bits + 1, sizeof(*index));
    rc = VPPCOM_ENOMEM;
    if (!fds || !index)
        goto out;
    for (unsigned i = 0; i < (unsigned)n_bits; i++) {
        bool r = bit_get(read_map, i), w = bit_get(write_map, i), x = bit_get(except_map, i);

        if (!r && !w && !x)
            continue;
        fds[n] = (struct vcl_pollfd){ .socket = socket_of_index(i), .fd = -1,
                                      .events = (short)((r ? POLLIN | POLLRDHUP : 0) | (w ? POLLOUT : 0) | (x ? POLLPRI : 0)) };
        index[n] = i;
        rc = VPPCOM_EBADFD;
        if (!fds[n++].socket)
            goto out;
    }
    rc = vcl_poll_wait(fds, n, timeout_of(wait_for_time, &ts), NULL);
    if (rc < 0)
        goto out;
    rc = 0;
    for (unsigned k = 0; k < n; k++) {
        short ev = fds[k].revents;

        if (bit_get(read_map, index[k]))
            rc += bit_put(read_map, index[k], ev & (POLLIN | POLLRDHUP | POLLHUP | POLLERR));
        if (bit_get(write_map, index[k]))
            rc += bit_put(write_map, index[k], ev & (POLLOUT | POLLERR));
        if (bit_get(except_map, index[k]))
            rc += bit_put(except_map, index[k], ev & POLLPRI);
    }
out:
    free(fds);
    free(index);
    return rc;
}
