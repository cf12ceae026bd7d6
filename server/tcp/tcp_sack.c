/* tcp_sack.c - sender-side SACK scoreboard (RFC 2018, RFC 2883, RFC 6675)
 * Owner:  one per tcp_conn while something is SACKed, from the worker's pool.
 * Thread: owning worker only.
 * Memory: process-private.
 * Errors: a block that does not fit or makes no sense is dropped, never the connection.
 * Calls:  tcp_ack_process() -> tcp_sack_update() -> tcp_sack_lost_high(); tcp_tx() -> tcp_sack_next_hole() */
#include <stdlib.h>
#include "server/tcp/tcp_internal.h"

enum { TCP_DUP_THRESH = 3 }; /* RFC 6675 s2 */

static struct tcp_sack *sack_alloc(struct tcp_worker *tw)
{
    struct tcp_sack *sb = tw->free_sacks;

    if (sb)
        tw->free_sacks = sb->next_free;
    else
        sb = malloc(sizeof(*sb)); /* the pool grows with the connections that lose packets at one time */
    if (!sb)
        return NULL;
    tw->n_sacks++;
    sb->bytes = sb->n = 0;
    return sb;
}

void tcp_sack_clear(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    if (!c->sack)
        return;
    c->sack->next_free = tw->free_sacks;
    tw->free_sacks = c->sack;
    tw->n_sacks--;
    c->sack = NULL;
}

void tcp_sack_pool_free(struct tcp_worker *tw)
{
    while (tw->free_sacks) {
        struct tcp_sack *sb = tw->free_sacks;

        tw->free_sacks = sb->next_free;
        free(sb);
    }
}

/* Merges [start, end) into the sorted ranges. */
static void sack_merge(struct tcp_sack *sb, uint32_t start, uint32_t end)
{
    uint32_t i = 0, j;

    while (i < sb->n && seq_lt(sb->r[i].end, start))
        i++;
    if (i == sb->n || seq_gt(sb->r[i].start, end)) { /* touches nothing */
        if (sb->n == TCP_SACK_RANGES)
            return;
        memmove(&sb->r[i + 1], &sb->r[i], (sb->n - i) * sizeof(sb->r[0]));
        sb->r[i] = (struct tcp_sack_range){ start, end };
        sb->n++;
        sb->bytes += end - start;
        return;
    }
    for (j = i; j < sb->n && seq_leq(sb->r[j].start, end); j++) {
        sb->bytes -= sb->r[j].end - sb->r[j].start;
        if (seq_lt(sb->r[j].start, start))
            start = sb->r[j].start;
        if (seq_gt(sb->r[j].end, end))
            end = sb->r[j].end;
    }
    sb->r[i] = (struct tcp_sack_range){ start, end };
    sb->bytes += end - start;
    memmove(&sb->r[i + 1], &sb->r[j], (sb->n - j) * sizeof(sb->r[0]));
    sb->n -= j - i - 1;
}

/* RFC 2883 s4: the first block reports a duplicate if it lies below the ACK or inside of the second. */
static bool is_dsack(const struct tcp_seg *seg)
{
    const struct tcp_sack_range *b = seg->o.sack;

    if (seq_lt(b[0].start, seg->ack))
        return true;
    return seg->o.n_sack > 1 && seq_geq(b[0].start, b[1].start) && seq_leq(b[0].end, b[1].end);
}

bool tcp_sack_update(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    uint32_t before = c->sack ? c->sack->bytes : 0;
    unsigned i = 0;

    if (seg->o.n_sack && is_dsack(seg)) {
        tcp_count(w, TCP_C_spurious_dsack);
        i = 1;
    }
    for (; i < seg->o.n_sack; i++) {
        struct tcp_sack_range b = seg->o.sack[i];

        /* Only what was sent and is not acknowledged: anything else is old or forged. */
        if (!seq_lt(b.start, b.end) || seq_leq(b.start, seg->ack) || seq_leq(b.start, c->snd_una) || seq_gt(b.end, c->snd_nxt))
            continue;
        if (!c->sack && !(c->sack = sack_alloc(tcp_worker_of(w))))
            return false;
        sack_merge(c->sack, b.start, b.end);
    }
    return c->sack && c->sack->bytes > before;
}

void tcp_sack_advance(struct worker *w, struct tcp_conn *c)
{
    struct tcp_sack *sb = c->sack;
    uint32_t i = 0;

    if (!sb)
        return;
    while (i < sb->n && seq_leq(sb->r[i].end, c->snd_una)) {
        sb->bytes -= sb->r[i].end - sb->r[i].start;
        i++;
    }
    if (i) {
        sb->n -= i;
        memmove(sb->r, sb->r + i, sb->n * sizeof(sb->r[0]));
    }
    if (sb->n && seq_lt(sb->r[0].start, c->snd_una)) {
        sb->bytes -= c->snd_una - sb->r[0].start;
        sb->r[0].start = c->snd_una;
    }
    if (sb->n == 0)
        tcp_sack_clear(w, c);
}

/* IsLost (RFC 6675 s4): below the third SACKed range from the top, or with more than two segments SACKed above. */
uint32_t tcp_sack_lost_high(const struct tcp_conn *c)
{
    const struct tcp_sack *sb = c->sack;
    uint32_t bytes = 0, ranges = 0;

    if (!sb)
        return c->snd_una;
    for (uint32_t i = sb->n; i-- > 0;) {
        ranges++;
        bytes += sb->r[i].end - sb->r[i].start;
        if (ranges >= TCP_DUP_THRESH || bytes > (TCP_DUP_THRESH - 1) * (uint32_t)c->mss)
            return sb->r[i].start;
    }
    return c->snd_una;
}

uint32_t tcp_unsacked_below(const struct tcp_conn *c, uint32_t seq)
{
    const struct tcp_sack *sb = c->sack;
    uint32_t n;

    if (!seq_gt(seq, c->snd_una))
        return 0;
    n = seq - c->snd_una;
    for (uint32_t i = 0; sb && i < sb->n && seq_lt(sb->r[i].start, seq); i++)
        n -= (seq_lt(sb->r[i].end, seq) ? sb->r[i].end : seq) - sb->r[i].start;
    return n;
}

bool tcp_sack_next_hole(const struct tcp_conn *c, uint32_t from, uint32_t limit, uint32_t *start, uint32_t *end)
{
    const struct tcp_sack *sb = c->sack;

    *start = seq_gt(from, c->snd_una) ? from : c->snd_una;
    *end = limit;
    for (uint32_t i = 0; sb && i < sb->n; i++) {
        if (seq_leq(sb->r[i].end, *start))
            continue;
        if (seq_leq(sb->r[i].start, *start)) {
            *start = sb->r[i].end;
            continue;
        }
        if (seq_lt(sb->r[i].start, limit))
            *end = sb->r[i].start;
        break;
    }
    return seq_lt(*start, *end);
}
