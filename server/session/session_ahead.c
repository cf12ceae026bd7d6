/* session_ahead.c - what a burst of messages or a batch of segments is about comes into the cache, all of it at once
 *
 * A session leads to its FIFO halves and its connection, and those to lines that a program on another core has written: one after the
 * other, each would be waited for. Here each step is taken for all of a batch before the next one. Nothing is changed. */
#include "server/session/session_internal.h"

enum { CONN_LINES = 4 };

static inline void fetch(const void *p, size_t len)
{
    for (size_t i = 0; i < len; i += HS_CACHE_LINE)
        __builtin_prefetch((const uint8_t *)p + i);
}

/* Its place, whether it is in use or not. */
static struct session *place_of(const struct session_worker *sw, struct svm_handle h)
{
    uint32_t i = h.index / WORKER_MAX;

    return i / SESSION_CHUNK < sw->n_chunks ? &sw->chunk[i / SESSION_CHUNK][i % SESSION_CHUNK] : NULL;
}

void session_ahead_rx(const struct session *s)
{
    if (s)
        fetch(s, sizeof(*s));
}

void session_ahead_rx_fifos(const struct session *s)
{
    if (s && s->has_fifos)
        fetch(s->fifos, sizeof(*s->fifos));
}

/* To be written: the line that the program has looked at meanwhile. */
void session_ahead_rx_lines(const struct session *s)
{
    const struct session_fifos *f = s && s->has_fifos ? s->fifos : NULL;

    if (!f)
        return;
    __builtin_prefetch(f->rx.line, 1);
    __builtin_prefetch(f->rx.peer);
    __builtin_prefetch(f->tx.line, 1);
    __builtin_prefetch(f->tx.peer);
}

void session_ahead_of(struct worker *w, const struct svm_msg *m, unsigned n)
{
    const struct session_worker *sw = w->session;

    for (unsigned i = 0; i < n; i++)
        session_ahead_rx(m[i].handle.gen ? place_of(sw, m[i].handle) : sw->free);
    for (unsigned i = 0; i < n; i++) {
        const struct session *s = m[i].handle.gen ? place_of(sw, m[i].handle) : NULL;

        if (s && s->state != SESSION_FREE && s->handle.gen == m[i].handle.gen) {
            session_ahead_rx_fifos(s);
            if (s->conn)
                fetch(s->conn, CONN_LINES * HS_CACHE_LINE);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        const struct session *s = m[i].handle.gen ? place_of(sw, m[i].handle) : NULL;

        if (s && s->state != SESSION_FREE && s->handle.gen == m[i].handle.gen)
            session_ahead_rx_lines(s);
    }
}
