/* session_share.c - what the receive FIFOs of streams from near peers may promise and hold
 *
 * A window is a promise of room: in the FIFO, and in whatever the bytes pass on their way to it. A peer far away keeps its window on the
 * wire. One that is near, in the same host or network, fills what it is given at once, and all of that waits in the buffers before us:
 * together such windows must not be more than those take, or the peers learn by loss. More would not make them faster either, it would
 * only fill memory that is in no cache. So near streams of a program have equal shares, and never less than the modest window.
 * Shares shrink as streams come: what was promised before stays promised (RFC 9293 s3.8.6), and is used up within a round trip. */
#include "server/session/session_internal.h"

/* What the socket of a packet port takes (port_packet.c). */
enum { NEAR_BYTES = 8 << 20 };

static void share_out(struct app_worker *a)
{
    uint32_t each = a->n_near ? NEAR_BYTES / a->n_near : NEAR_BYTES;

    a->near_share = 1u << RX_STREAM_LOG2;
    while (a->near_share <= each / 2) /* a power of two, as rings are: a share between two sizes would take a ring of the larger one */
        a->near_share *= 2;
}

void session_share_enter(struct session *s)
{
    if (s->rx_shares || !s->rx_near || !s->mem)
        return;
    s->rx_shares = true;
    s->mem->n_near++;
    share_out(s->mem);
}

void session_share_leave(struct session *s)
{
    if (!s->rx_shares)
        return;
    s->rx_shares = false;
    s->mem->n_near--;
    share_out(s->mem);
}

uint32_t session_rx_limit(const struct session *s)
{
    uint32_t max = session_rx_max(s);

    return s->rx_shares ? hs_min_u32(max, s->mem->near_share) : max;
}
