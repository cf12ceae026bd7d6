/* tls_wait.c - handshakes that would take more memory than they may all together wait until others are done
 *
 * Each counts with the most that the engine says it can take, whatever the peer sends, and what is beside the engine. Records that nobody has
 * looked at are in the FIFO: no more than 64 KiB while the handshake lasts (session_rx_modest()). Those that programs begin have a share of their
 * own, so that a flood from outside does not hold them up. */
#include "server/tls/dtls.h"

void tls_wait_init(struct tls_worker *tw)
{
    for (unsigned i = 0; i < HS_ARRAY_LEN(tw->shakes); i++)
        tw->shakes[i] = (struct tls_shakes){ 0, NULL, &tw->shakes[i].first };
}

static bool has_room(const struct tls_worker *tw, const struct tls_shakes *k, uint32_t bytes)
{
    return k->bytes == 0 || k->bytes + bytes <= tw->w->stack->tls->cfg.handshake_memory;
}

bool tls_wait_has_room(struct tls_worker *tw, bool is_server, uint32_t bytes)
{
    const struct tls_shakes *k = &tw->shakes[is_server];

    return !k->first && has_room(tw, k, bytes);
}

uint32_t tls_wait_bytes(const struct tls_stack *ts, const struct tls_conn *c)
{
    return (uint32_t)sizeof(*c) + ts->engine->handshake_bytes(ts->instance, c->is_server, c->is_dtls, c->profile) + (ts->pool ? TLS_JOB_IN_MAX : 0);
}

static void leave_queue(struct tls_conn *c)
{
    struct tls_shakes *k = &tls_worker_of(c->w)->shakes[c->is_server];

    if (!c->wait_pprev)
        return;
    *c->wait_pprev = c->wait_next;
    if (c->wait_next)
        c->wait_next->wait_pprev = c->wait_pprev;
    else
        k->last = c->wait_pprev;
    c->wait_pprev = NULL;
}

static void enter_queue(struct tls_conn *c)
{
    struct tls_shakes *k = &tls_worker_of(c->w)->shakes[c->is_server];

    c->wait_next = NULL;
    c->wait_pprev = k->last;
    *k->last = c;
    k->last = &c->wait_next;
}

bool tls_wait_enter(struct tls_conn *c)
{
    struct tls_worker *tw = tls_worker_of(c->w);
    struct tls_shakes *k = &tw->shakes[c->is_server];
    uint32_t bytes = tls_wait_bytes(c->w->stack->tls, c);

    if ((k->first && k->first != c) || !has_room(tw, k, bytes)) { /* in the order in which they came */
        if (!c->wait_pprev) {
            tw->count.handshakes_waited++;
            enter_queue(c);
        }
        return false;
    }
    leave_queue(c);
    c->shake_bytes = bytes;
    k->bytes += bytes;
    if (k->first)
        tls_conn_ready(k->first); /* perhaps there is room for it, too */
    return true;
}

void tls_wait_leave(struct tls_conn *c)
{
    struct tls_shakes *k = &tls_worker_of(c->w)->shakes[c->is_server];

    leave_queue(c);
    k->bytes -= c->shake_bytes;
    c->shake_bytes = 0;
    if (k->first)
        tls_conn_ready(k->first);
}
