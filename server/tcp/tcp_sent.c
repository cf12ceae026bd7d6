/* tcp_sent.c - the list of runs in flight: added by sending, marked by SACK and loss detection, cut off by ACKs (tcp_sent.h) */
#include <errno.h>
#include <stdlib.h>
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_sent.h"

static struct tcp_run *runs_begin(struct tcp_sent *s) { return s->r + s->first; }
static struct tcp_run *runs_end(struct tcp_sent *s) { return s->r + s->first + s->n; }

/* ---- memory ---- */

static struct tcp_sent *sent_alloc(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct tcp_sent *s = tw->free_sents;

    if (s)
        tw->free_sents = s->next_free;
    else if (!(s = malloc(sizeof(*s)))) /* the pool grows with the connections that have data in flight at one time */
        return NULL;
    tw->n_sents++;
    memset(s, 0, offsetof(struct tcp_sent, inline_r));
    s->r = s->inline_r;
    s->cap = TCP_RUNS_INLINE;
    s->fack = c->snd_una;
    s->first_us = s->delivered_us = (uint32_t)w->now_us;
    s->is_app_limited = true; /* nothing was in flight: the program held it back, not the path */
    s->app_limited = c->delivered;
    c->sent = s;
    return s;
}

void tcp_sent_clear(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct tcp_sent *s = c->sent;

    if (!s)
        return;
    if (s->r != s->inline_r)
        free(s->r);
    s->next_free = tw->free_sents;
    tw->free_sents = s;
    tw->n_sents--;
    c->sent = NULL;
}

void tcp_sent_pool_free(struct tcp_worker *tw)
{
    while (tw->free_sents) {
        struct tcp_sent *s = tw->free_sents;

        tw->free_sents = s->next_free;
        free(s);
    }
}

/* Room for n more runs behind the last one. */
static bool runs_room(struct tcp_sent *s, unsigned n, unsigned max)
{
    struct tcp_run *r;
    unsigned cap = 2u * s->cap;

    if (s->n + n > max)
        return false;
    if (s->first + s->n + n <= s->cap)
        return true;
    if (s->n + n <= s->cap && s->first >= s->cap / 2u) { /* each run is moved at most once for each that was cut off */
        memmove(s->r, runs_begin(s), s->n * sizeof(*r));
        s->first = 0;
        return true;
    }
    r = malloc(cap * sizeof(*r));
    if (!r)
        return false;
    memcpy(r, runs_begin(s), s->n * sizeof(*r));
    if (s->r != s->inline_r)
        free(s->r);
    s->r = r;
    s->first = 0;
    s->cap = (uint16_t)cap;
    return true;
}

/* ---- sending ---- */

/* A run may cover what was sent within 1/64 of a round trip: enough for every use of the time, and it bounds their number. But not
 * across a retransmission: RACK takes all of a run for sent at its beginning, so before that, and lost once that has arrived. */
static bool extends_last(const struct worker *w, const struct tcp_conn *c, uint32_t flags)
{
    struct tcp_sent *s = c->sent;
    const struct tcp_run *last;

    if (!s->n || s->last_is_rtx)
        return false;
    last = runs_end(s) - 1;
    return last->flags == flags && (uint32_t)w->now_us - last->sent_us <= c->srtt_us / 64;
}

int tcp_sent_reserve(struct worker *w, struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;

    if (!s && !(s = sent_alloc(w, c)))
        return -ENOBUFS;
    if (s->first + s->n < s->cap || extends_last(w, c, s->is_app_limited ? TCP_RUN_APP_LIMITED : 0))
        return 0;
    return runs_room(s, 1, TCP_RUNS_MAX) ? 0 : -ENOBUFS;
}

static void run_stamp(const struct worker *w, const struct tcp_conn *c, struct tcp_run *r)
{
    r->sent_us = (uint32_t)w->now_us;
    r->delivered = c->delivered;
    r->delivered_us = c->sent->delivered_us;
    r->first_us = c->sent->first_us;
}

void tcp_sent_add(struct worker *w, struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;
    uint32_t flags = s->is_app_limited ? TCP_RUN_APP_LIMITED : 0;
    struct tcp_run *r;

    if (extends_last(w, c, flags))
        return; /* it ends at snd_nxt, wherever that is */
    s->last_is_rtx = false;
    r = runs_end(s);
    s->n++;
    r->start = c->snd_nxt;
    r->flags = flags;
    run_stamp(w, c, r);
}

/* ---- splitting and joining ---- */

/* Splits r at seq, which lies inside; the second half is r[1] afterwards. NULL: no room, nothing is changed. */
static struct tcp_run *run_split(struct tcp_sent *s, struct tcp_run *r, uint32_t seq, unsigned max)
{
    ptrdiff_t i = r - runs_begin(s);

    if (!runs_room(s, 1, max))
        return NULL;
    r = runs_begin(s) + i;
    memmove(r + 1, r, (size_t)(s->n - i) * sizeof(*r));
    s->n++;
    r[1].start = seq;
    return r;
}

static void run_remove(struct tcp_sent *s, struct tcp_run *r)
{
    memmove(r, r + 1, (size_t)(runs_end(s) - r - 1) * sizeof(*r));
    s->n--;
}

/* The last run that begins at or before seq. */
static struct tcp_run *run_find(struct tcp_sent *s, uint32_t seq)
{
    struct tcp_run *lo = runs_begin(s), *hi = runs_end(s);

    while (hi - lo > 1) {
        struct tcp_run *mid = lo + (hi - lo) / 2;

        if (seq_leq(mid->start, seq))
            lo = mid;
        else
            hi = mid;
    }
    return lo;
}

/* ---- delivery ---- */

/* RFC 8985 s6.2 step 2: of something sent twice, which copy arrived? Sooner than any round trip, or a timestamp from before:
 * the first one. */
static bool is_ambiguous(const struct worker *w, const struct tcp_conn *c, const struct tcp_seg *seg, uint32_t age_us)
{
    if (age_us < c->min_rtt_us)
        return true;
    if (!(c->flags & TCP_F_TS) || !seg->o.has_ts || !seg->o.tsecr)
        return false;
    return seq_lt(seg->o.tsecr + tcp_rtx_lag_ms(c), (uint32_t)((w->now_us - age_us) / 1000) + c->ts_offset);
}

static bool sent_after(uint32_t us1, uint32_t end1, uint32_t us2, uint32_t end2)
{
    return seq_gt(us1, us2) || (us1 == us2 && seq_gt(end1, end2));
}

/* The bytes of r up to end have arrived. */
static void run_delivered(const struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, const struct tcp_run *r,
                          uint32_t end, struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;
    uint32_t age = (uint32_t)w->now_us - r->sent_us;

    if (age == 0)
        age = 1;
    if (!n->has_rate || sent_after(r->sent_us, end, n->rate_sent_us, n->rate_end)) {
        n->has_rate = true;
        n->rate_end = end;
        n->rate_sent_us = r->sent_us;
        n->rate_delivered = r->delivered;
        n->rate_delivered_us = r->delivered_us;
        n->rate_first_us = r->first_us;
        n->rate_app_limited = (r->flags & TCP_RUN_APP_LIMITED) != 0;
        s->first_us = r->sent_us;
    }
    if (r->flags & TCP_RUN_RTX) {
        n->rtx_delivered = true;
        if (is_ambiguous(w, c, seg, age))
            return;
    } else {
        n->rtt_us = age;
        if (seq_leq(end, c->recover) || c->ca_state != TCP_CA_LOSS)
            n->original = true;
        if (seq_lt(end, s->fack)) {
            c->lflags |= TCP_LF_REORDERING;
            n->reordered = true;
        }
    }
    if (seq_gt(end, s->fack))
        s->fack = end;
    if (s->rack_rtt_us == 0 || sent_after(r->sent_us, end, s->rack_us, s->rack_end)) {
        s->rack_us = r->sent_us;
        s->rack_end = end;
        s->rack_rtt_us = age;
    }
}

void tcp_sent_ack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;
    struct tcp_run *r;

    for (r = runs_begin(s); s->n; r++) {
        uint32_t run_end = tcp_run_end(c, r), end = seq_lt(seg->ack, run_end) ? seg->ack : run_end, len = end - r->start;

        if (!seq_gt(end, r->start))
            break;
        if (r->flags & TCP_RUN_SACKED) {
            s->sacked -= len;
        } else {
            if (r->flags & TCP_RUN_LOST)
                s->lost -= len;
            n->delivered += len;
            run_delivered(w, c, seg, r, end, n);
        }
        if (end != run_end) {
            r->start = end;
            break;
        }
        s->first++;
        s->n--;
    }
}

void tcp_sent_sack(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, uint32_t start, uint32_t end,
                   struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;
    struct tcp_run *r = run_find(s, start);

    for (; r < runs_end(s) && seq_lt(r->start, end); r++) {
        uint32_t run_end = tcp_run_end(c, r);

        if ((r->flags & TCP_RUN_SACKED) || seq_leq(run_end, start))
            continue;
        if (seq_lt(r->start, start)) { /* its front stays; the loop meets the rest next */
            if (!(r = run_split(s, r, start, TCP_RUNS_SACK_MAX)))
                break; /* no room: the peer will say it again, or acknowledge it */
            continue;
        }
        if (seq_gt(run_end, end)) {
            if (!(r = run_split(s, r, end, TCP_RUNS_SACK_MAX)))
                break;
            run_end = end;
        }
        n->delivered += run_end - r->start;
        n->sacked += run_end - r->start;
        run_delivered(w, c, seg, r, run_end, n);
        if (r->flags & TCP_RUN_LOST)
            s->lost -= run_end - r->start;
        s->sacked += run_end - r->start;
        r->flags = TCP_RUN_SACKED;
    }
    /* Neighbours that the peer holds become one: nothing more is asked of them. */
    r = run_find(s, start);
    if (r > runs_begin(s))
        r--;
    while (r + 1 < runs_end(s) && seq_leq(r->start, end)) {
        if ((r[0].flags & TCP_RUN_SACKED) && (r[1].flags & TCP_RUN_SACKED))
            run_remove(s, r + 1);
        else
            r++;
    }
}

/* ---- loss ---- */

void tcp_sent_mark_lost(struct tcp_conn *c, struct tcp_run *r)
{
    c->sent->lost += tcp_run_end(c, r) - r->start;
    r->flags |= TCP_RUN_LOST;
}

void tcp_sent_mark_all_lost(struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;

    if (!s)
        return;
    for (struct tcp_run *r = runs_begin(s); r < runs_end(s); r++) {
        if (!(r->flags & (TCP_RUN_SACKED | TCP_RUN_LOST)))
            tcp_sent_mark_lost(c, r);
    }
    s->reno_sacked = 0;
    s->mtu_probe = 0; /* that it is missing says nothing about its size */
    c->flags &= ~TCP_F_RTT_TIMING;
}

void tcp_sent_mark_head_lost(struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;
    struct tcp_run *r = runs_begin(s);
    uint32_t end = c->snd_una + c->mss;

    if (!s->n || (r->flags & (TCP_RUN_SACKED | TCP_RUN_LOST)))
        return;
    if (seq_gt(tcp_run_end(c, r), end)) {
        struct tcp_run *front = run_split(s, r, end, TCP_RUNS_MAX);

        r = front ? front : runs_begin(s); /* no room: all of it, rather than nothing */
    }
    tcp_sent_mark_lost(c, r);
}

void tcp_sent_unmark_lost(struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;

    for (struct tcp_run *r = runs_begin(s); r < runs_end(s); r++)
        r->flags &= ~(uint32_t)TCP_RUN_LOST;
    s->lost = 0;
}

void tcp_sent_forget_sacks(struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;

    for (struct tcp_run *r = runs_begin(s); r < runs_end(s); r++) {
        if (r->flags & TCP_RUN_SACKED)
            r->flags = TCP_RUN_RTX; /* when it was sent is no longer known */
    }
    s->sacked = 0;
}

bool tcp_sent_next_lost(const struct tcp_conn *c, uint32_t *start, uint32_t *end)
{
    struct tcp_sent *s = c->sent;

    for (struct tcp_run *r = runs_begin(s); r < runs_end(s); r++) {
        if (r->flags & TCP_RUN_LOST) {
            *start = r->start;
            *end = tcp_run_end(c, r);
            return true;
        }
    }
    return false;
}

uint32_t tcp_sent_rtx_bytes(const struct tcp_conn *c)
{
    struct tcp_sent *s = c->sent;
    uint32_t bytes = 0;

    for (struct tcp_run *r = s ? runs_begin(s) : NULL; r && r < runs_end(s); r++) {
        if ((r->flags & (TCP_RUN_RTX | TCP_RUN_LOST)) == TCP_RUN_RTX)
            bytes += tcp_run_end(c, r) - r->start;
    }
    return bytes;
}

/* The peer answers every copy and takes none until its program reads, in an hour perhaps: no sample for the round trip (Karn), and
 * none of the stamps may get so old that the clock's low half comes round. */
void tcp_sent_refused(struct worker *w, struct tcp_conn *c)
{
    c->flags &= ~TCP_F_RTT_TIMING;
    for (struct tcp_run *r = runs_begin(c->sent); r < runs_begin(c->sent) + c->sent->n; r++) {
        r->flags |= TCP_RUN_RTX;
        run_stamp(w, c, r);
    }
}

void tcp_sent_resent(struct worker *w, struct tcp_conn *c, uint32_t start, uint32_t len)
{
    struct tcp_sent *s = c->sent;
    struct tcp_run *r = run_find(s, start), *half;

    s->last_is_rtx = true;
    if (seq_lt(r->start, start)) { /* a probe sends the end of a run */
        if (!(half = run_split(s, r, start, TCP_RUNS_MAX)))
            return;
        r = half + 1;
    }
    /* Without room to tell the halves apart all of it counts as sent: what is still missing is found lost once more. */
    if (seq_gt(tcp_run_end(c, r), start + len) && (half = run_split(s, r, start + len, TCP_RUNS_MAX)))
        r = half;
    if (r->flags & TCP_RUN_LOST)
        s->lost -= tcp_run_end(c, r) - r->start;
    r->flags = TCP_RUN_RTX | (s->is_app_limited ? TCP_RUN_APP_LIMITED : 0);
    run_stamp(w, c, r);
    if (r > runs_begin(s) && r[-1].flags == r->flags && r[-1].sent_us == r->sent_us)
        run_remove(s, r);
}
