/* engine_pipe.h - what an engine of tests reads from and writes to: memory, where it may work in place
 * Owner:  the test. Bytes that were taken make room when all have been.
 * Errors: more than there is room for is not written; engine_pipe_put() asserts. */
#ifndef HOSTSTACK_TESTS_UNIT_TLS_ENGINE_PIPE_H
#define HOSTSTACK_TESTS_UNIT_TLS_ENGINE_PIPE_H

#include <criterion/criterion.h>
#include <string.h>
#include "server/tls/tls_engine.h"
#include "common/types.h"

enum { ENGINE_PIPE = 1 << 17 };

struct engine_pipe {
    uint8_t data[ENGINE_PIPE];
    uint32_t at, len;
};
struct engine_pipes {            /* of the engine; `arg` of its struct tls_io */
    struct engine_pipe in, out;
    bool is_ended;               /* nothing follows what is in `in` */
};

static inline void engine_pipe_put(struct engine_pipe *p, const void *data, uint32_t len)
{
    cr_assert(len <= ENGINE_PIPE - p->len);
    memcpy(p->data + p->len, data, len);
    p->len += len;
}

static inline void engine_pipe_take(struct engine_pipe *p, uint32_t len)
{
    cr_assert(len <= p->len - p->at);
    p->at += len;
    if (p->at == p->len)
        p->at = p->len = 0;
}

static int engine_pipe_read(void *arg, void *buf, size_t len)
{
    struct engine_pipes *io = arg;
    uint32_t n = hs_min_u32((uint32_t)len, io->in.len - io->in.at);

    if (n == 0)
        return io->is_ended ? -1 : 0;
    memcpy(buf, io->in.data + io->in.at, n);
    engine_pipe_take(&io->in, n);
    return (int)n;
}

static int engine_pipe_write(void *arg, const void *buf, size_t len)
{
    struct engine_pipe *p = &((struct engine_pipes *)arg)->out;
    uint32_t n = hs_min_u32((uint32_t)len, ENGINE_PIPE - p->len);

    engine_pipe_put(p, buf, n);
    return (int)n;
}

static int engine_pipe_peek(void *arg, uint32_t len, struct iovec iov[4])
{
    struct engine_pipe *p = &((struct engine_pipes *)arg)->in;

    iov[0] = (struct iovec){ p->data + p->at, hs_min_u32(len, p->len - p->at) };
    return iov[0].iov_len > 0;
}

static void engine_pipe_drop(void *arg, uint32_t len) { engine_pipe_take(&((struct engine_pipes *)arg)->in, len); }
static bool engine_pipe_is_ended(void *arg) { return ((const struct engine_pipes *)arg)->is_ended; }

static int engine_pipe_reserve(void *arg, uint32_t len, struct iovec iov[2])
{
    struct engine_pipe *p = &((struct engine_pipes *)arg)->out;

    iov[0] = (struct iovec){ p->data + p->len, len };
    return len <= ENGINE_PIPE - p->len;
}

static void engine_pipe_commit(void *arg, uint32_t len) { ((struct engine_pipes *)arg)->out.len += len; }

static const struct tls_io_in_place engine_pipe_place = { engine_pipe_peek, engine_pipe_drop, engine_pipe_is_ended, engine_pipe_reserve,
                                                          engine_pipe_commit };

#endif
