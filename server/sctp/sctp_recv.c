/* sctp_recv.c - DATA in: which TSNs have come, SACKs about them (RFC 9260 s6.2), FORWARD TSN (RFC 3758 s3.6) */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { SACK_DELAY_MAX_MS = 500, GAPS_MAX = SCTP_PMTU_MAX / 4 }; /* s6.2: as many as fit in a packet */

/* ---- the map of TSNs above cum_tsn ---- */

static uint32_t map_bits(const struct sctp_assoc *a) { return a->map_words * 64; }
static bool bit_get(const struct sctp_assoc *a, uint32_t tsn)
{
    uint32_t i = tsn & (map_bits(a) - 1);
    return a->map[i / 64] >> (i % 64) & 1;
}
static void bit_put(struct sctp_assoc *a, uint32_t tsn, bool on)
{
    uint32_t i = tsn & (map_bits(a) - 1);
    uint64_t m = 1ull << (i % 64);
    a->map[i / 64] = on ? a->map[i / 64] | m : a->map[i / 64] & ~m;
}

static int map_grow(struct sctp_assoc *a, uint32_t need)
{
    uint32_t words = a->map_words;
    struct sctp_assoc to = *a;

    if (need > SCTP_TSN_WINDOW)
        return -ENOBUFS;
    while (words * 64 < need)
        words *= 2;
    to.map = calloc(words, sizeof(*to.map));
    if (!to.map)
        return -ENOMEM;
    to.map_words = words;
    for (uint32_t t = a->cum_tsn + 1; seq_leq(t, a->high_tsn); t++)
        if (bit_get(a, t))
            bit_put(&to, t, true);
    free(a->map);
    a->map = to.map;
    a->map_words = words;
    return 0;
}

bool sctp_tsn_seen(const struct sctp_assoc *a, uint32_t tsn)
{
    return seq_leq(tsn, a->cum_tsn) || (seq_leq(tsn, a->high_tsn) && bit_get(a, tsn));
}

void sctp_cum_advance(struct sctp_assoc *a)
{
    while (a->n_above && bit_get(a, a->cum_tsn + 1)) {
        a->cum_tsn++;
        bit_put(a, a->cum_tsn, false);
        a->n_above--;
    }
    if (seq_gt(a->cum_tsn, a->high_tsn))
        a->high_tsn = a->cum_tsn;
}

static void tsn_note(struct sctp_assoc *a, uint32_t tsn)
{
    if (seq_gt(tsn, a->high_tsn))
        a->high_tsn = tsn;
    bit_put(a, tsn, true);
    a->n_above++;
    sctp_cum_advance(a);
}

/* ---- window ---- */

uint32_t sctp_rwnd(struct worker *w, struct sctp_assoc *a)
{
    uint32_t space, held;

    if (!a->ep || !a->ep->s->has_fifos)
        return a->ep ? 0 : 65536;
    space = session_rx_space(w, a->ep->s);
    held = a->held + a->ep->ready_bytes;
    space = space > held ? space - held : 0;
    return space < 256 ? 0 : space; /* s6.2.1: no silly windows */
}

/* The program is behind: hear when it has caught up, for the peer will have stopped (s6.2), and only a timer would make it ask. */
void sctp_want_space(struct worker *w, struct sctp_assoc *a)
{
    struct session *s = a->ep ? a->ep->s : NULL;

    if (s && s->has_fifos && !a->ep->ready && session_rx_space(w, s) < session_rx_max(s) / 4)
        session_rx_want_space(w, s, session_rx_max(s) / 2);
}

/* ---- DATA ---- */

static void dup_note(struct worker *w, struct sctp_assoc *a, uint32_t tsn)
{
    sctp_count(w, SCTP_N_dup_data);
    a->n_dup_rx++;
    if (a->n_dups < SCTP_MAX_DUPS)
        a->dup[a->n_dups++] = tsn;
    a->sack_now = true; /* s6.2 */
}

/* Reads the fixed part; 0 or -EPROTO. */
static int piece_of(const struct sctp_chunk *c, struct sctp_piece *d)
{
    bool is_idata = c->type == SCTP_CT_IDATA;
    uint32_t hdr = is_idata ? SCTP_IDATA_HDR : SCTP_DATA_HDR;

    d->tsn = sctp_get32(c->b + 4);
    d->stream = sctp_get16(c->b + 8);
    d->flags = c->flags & 15;
    d->data = c->b + hdr;
    d->len = (uint16_t)(c->len - hdr);
    if (is_idata) {
        d->mid = sctp_get32(c->b + 12);
        d->ppid = 0;
        if (d->flags & SCTP_DATA_B)
            memcpy(&d->ppid, c->b + 16, 4);
        d->fsn = d->flags & SCTP_DATA_B ? 0 : sctp_get32(c->b + 16);
    } else {
        d->mid = sctp_get16(c->b + 10);
        memcpy(&d->ppid, c->b + 12, 4); /* the program's: bytes as they come */
        d->fsn = d->tsn;
    }
    return c->len > hdr ? 0 : -EPROTO;
}

static void bad_stream(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_piece *d)
{
    uint8_t info[4] = { 0 };

    sctp_put16(info, d->stream);
    sctp_count(w, SCTP_N_drop_data_bad);
    tsn_note(a, d->tsn); /* s6.5: acknowledged, not delivered */
    sctp_error_send(w, a, in, SCTP_C_INVALID_STREAM, info, 4);
}

/* May the chunk come in, seen from its TSN and from the window? */
static bool has_room(struct worker *w, struct sctp_assoc *a, const struct sctp_piece *d)
{
    uint32_t ahead = d->tsn - a->cum_tsn, max = a->ep && a->ep->s->has_fifos ? session_rx_max(a->ep->s) : 65536;

    if (ahead > map_bits(a) && map_grow(a, ahead) != 0)
        return false;
    if (a->held <= 2 * max && sctp_rwnd(w, a) > 0)
        return true;
    if (a->held <= 2 * max && d->len <= a->promised && (!a->ep || a->ep->ready_bytes <= max / 2)) /* smaller ones than when it was promised */
        return true;
    /* s6.2: what closes a hole or belongs to what is being put together is taken even so, up to a limit: without it nothing could
     * become readable. */
    return ((ahead == 1 && a->held) || seq_lt(d->tsn, a->high_tsn)) && a->held <= 2 * max + 65536 && (!a->ep || a->ep->ready_bytes <= max);
}

void sctp_data_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    struct sctp_piece d;
    int err = piece_of(c, &d);

    if (c->type == SCTP_CT_DATA && sctp_has(a, SCTP_F_IDATA)) { /* RFC 8260 s2.2.1: one kind an association */
        sctp_count(w, SCTP_N_drop_data_bad);
        sctp_abort(w, a, SCTP_C_PROTOCOL, NULL, 0, -EPROTO);
        return;
    }
    sctp_count(w, SCTP_N_rx_data);
    a->n_rx_data++;
    if (!in->has_data)
        in->first_tsn = d.tsn;
    in->has_data = true;
    a->data_seen = true;
    if (err != 0) { /* s6.2: no user data */
        uint8_t info[4];
        sctp_put32(info, d.tsn);
        sctp_count(w, SCTP_N_drop_data_bad);
        sctp_abort(w, a, SCTP_C_NO_DATA, info, 4, -EPROTO);
        return;
    }
    if (sctp_tsn_seen(a, d.tsn)) {
        dup_note(w, a, d.tsn);
        return;
    }
    if (d.flags & SCTP_DATA_I) /* RFC 7053 s5.2 */
        a->sack_now = true;
    if (a->state == SCTP_S_SHUTDOWN_SENT) /* s9.2: answered at once, with the SHUTDOWN */
        a->sack_now = true;
    if (!has_room(w, a, &d)) {
        sctp_count(w, SCTP_N_drop_data_window);
        a->sack_now = true;
        return;
    }
    sctp_reconf_release(w, a); /* with data under new numbers it shows that it knows */
    bool had_gap = a->n_above > 0;
    if (d.stream >= a->n_in) {
        bad_stream(w, a, in, &d);
        return;
    }
    if (!a->ep || a->ep->is_closing) { /* nobody reads any more: as Linux, taken and forgotten */
        tsn_note(a, d.tsn);
        a->sack_due = true;
        return;
    }
    err = sctp_reasm_add(w, a, &d);
    if (err == -EPROTO) {
        sctp_count(w, SCTP_N_drop_data_bad);
        sctp_abort(w, a, SCTP_C_PROTOCOL, NULL, 0, -EPROTO);
        return;
    }
    if (err != 0) {
        sctp_count(w, SCTP_N_drop_data_window);
        return;
    }
    tsn_note(a, d.tsn);
    a->promised -= hs_min_u32(a->promised, d.len);
    if (had_gap || a->n_above) /* s6.7: at once while something is missing, and when the hole is filled */
        a->sack_now = true;
    sctp_used(w, a);
}

/* After the last chunk of a packet: when to acknowledge (s6.2). */
void sctp_packet_seen(struct worker *w, struct sctp_assoc *a, const struct sctp_in *in)
{
    if (in->path && in->path->state != SCTP_PATH_UNCONFIRMED) /* s5.4: no SACK goes there */
        a->last_from = in->path;
    /* s9.2: it is there, and may have much to send yet. Whatever else comes may come more often than T2 ends: the SHUTDOWN was lost then. */
    if (in->has_data && a->state == SCTP_S_SHUTDOWN_SENT && timer_is_running(&a->t2)) {
        a->errors = 0;
        timer_start(&w->timers, &a->t2, w->now_us + sctp_path_for_data(a)->rto_us);
    }
    if (!in->has_data)
        return;
    sctp_ecn_seen(a, in);
    a->sack_due = true;
    if (!a->first_acked) /* s5.1 */
        a->first_acked = a->sack_now = true;
    if (++a->packets_unacked >= a->cfg.sack_freq || a->cfg.sack_delay == 0)
        a->sack_now = true;
    if (!a->sack_now && !timer_is_running(&a->t_sack))
        timer_start(&w->timers, &a->t_sack, w->now_us + (uint64_t)hs_min_u32(a->cfg.sack_delay, SACK_DELAY_MAX_MS) * SCTP_MS);
}

void sctp_sack_timer_stop(struct worker *w, struct sctp_assoc *a)
{
    timer_stop(&a->t_sack, &w->timers);
    a->sack_now = a->sack_due = false;
    a->packets_unacked = 0;
    a->n_dups = 0;
}

/* The first TSN from t on, up to high_tsn + 1, whose bit is `on`; 64 at a look, for a peer may leave one hole below 65,535 TSNs. */
static uint32_t next_bit(const struct sctp_assoc *a, uint32_t t, bool on)
{
    while (seq_leq(t, a->high_tsn)) {
        uint32_t i = t & (map_bits(a) - 1);
        uint64_t word = (on ? a->map[i / 64] : ~a->map[i / 64]) >> (i % 64);
        if (word) {
            t += (uint32_t)__builtin_ctzll(word);
            break;
        }
        t += 64 - i % 64;
    }
    return seq_gt(t, a->high_tsn) ? a->high_tsn + 1 : t;
}

/* Gap blocks as offsets from cum_tsn; returns how many, up to max. */
static unsigned gaps(const struct sctp_assoc *a, uint16_t (*out)[2], unsigned max)
{
    unsigned n = 0;

    for (uint32_t t = next_bit(a, a->cum_tsn + 1, true); n < max && seq_leq(t, a->high_tsn); n++) {
        uint32_t behind = next_bit(a, t, false);
        out[n][0] = (uint16_t)(t - a->cum_tsn);
        out[n][1] = (uint16_t)(behind - 1 - a->cum_tsn);
        t = next_bit(a, behind, true);
    }
    return n;
}

/* NULL: no room in the packet. What it says is said: timers and duplicates begin anew. */
uint8_t *sctp_sack_put(struct worker *w, struct sctp_assoc *a, struct sctp_out *o)
{
    uint16_t g[GAPS_MAX][2];
    unsigned room = o->max - o->len, n, n_dups = a->n_dups;

    if (room < SCTP_SACK_LEN)
        return NULL;
    n = a->n_above ? gaps(a, g, hs_min_u32(GAPS_MAX, (room - SCTP_SACK_LEN) / 4)) : 0;
    n_dups = hs_min_u32(n_dups, (room - SCTP_SACK_LEN) / 4 - n);
    uint8_t *b = sctp_out_chunk(o, SCTP_CT_SACK, 0, SCTP_SACK_LEN + 4 * (n + n_dups));
    if (!b)
        return NULL;
    a->last_rwnd = sctp_rwnd(w, a);
    a->promised = hs_max_u32(a->promised, a->last_rwnd);
    sctp_want_space(w, a);
    sctp_put32(b + 4, a->cum_tsn);
    sctp_put32(b + 8, a->last_rwnd);
    sctp_put16(b + 12, n);
    sctp_put16(b + 14, n_dups);
    for (unsigned i = 0; i < n; i++) {
        sctp_put16(b + 16 + 4 * i, g[i][0]);
        sctp_put16(b + 18 + 4 * i, g[i][1]);
    }
    for (unsigned i = 0; i < n_dups; i++)
        sctp_put32(b + 16 + 4 * (n + i), a->dup[i]);
    sctp_ecne_put(a, o);
    sctp_sack_timer_stop(w, a);
    sctp_count(w, SCTP_N_tx_sacks);
    a->n_tx_sacks++;
    return b;
}

/* ---- FORWARD TSN ---- */

/* Everything up to `to` has come, or never will. A peer may jump as far as the map is long, again and again: by words. */
static void cum_jump(struct sctp_assoc *a, uint32_t to)
{
    if (seq_geq(to, a->high_tsn)) {
        if (a->n_above)
            memset(a->map, 0, a->map_words * sizeof(*a->map));
        a->n_above = 0;
    }
    for (uint32_t t = a->cum_tsn + 1; a->n_above && seq_leq(t, to);) {
        uint32_t i = t & (map_bits(a) - 1), n = hs_min_u32(64 - i % 64, to - t + 1);
        uint64_t mask = (n == 64 ? ~0ull : (1ull << n) - 1) << (i % 64);
        a->n_above -= (uint32_t)__builtin_popcountll(a->map[i / 64] & mask);
        a->map[i / 64] &= ~mask;
        t += n;
    }
    a->cum_tsn = to;
    if (seq_gt(a->cum_tsn, a->high_tsn))
        a->high_tsn = a->cum_tsn;
    sctp_cum_advance(a);
}

/* RFC 3758 s3.6; with I-DATA, RFC 8260 s2.3.1 */
void sctp_forward_tsn_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    bool idata = c->type == SCTP_CT_IFORWARD_TSN;
    uint32_t to = sctp_get32(c->b + 4), each = idata ? 8 : 4;

    if (!sctp_has(a, SCTP_F_PR) || idata != sctp_has(a, SCTP_F_IDATA)) { /* each kind of data has its own */
        sctp_count(w, SCTP_N_drop_state);
        return;
    }
    if (!in->has_data)
        in->first_tsn = to;
    in->has_data = true;
    a->sack_now = true;
    if (seq_leq(to, a->cum_tsn)) /* RFC 3758 s3.6: old, answered with a SACK */
        return;
    if (to - a->cum_tsn > SCTP_TSN_WINDOW) {
        sctp_count(w, SCTP_N_drop_data_window);
        return;
    }
    cum_jump(a, to);
    sctp_unordered_skip(w, a, to);
    for (uint32_t off = 8; off + each <= c->len; off += each) {
        const uint8_t *b = c->b + off;
        if (idata)
            sctp_reasm_skip(w, a, sctp_get16(b), sctp_get32(b + 4), b[3] & 1);
        else
            sctp_reasm_skip(w, a, sctp_get16(b), sctp_get16(b + 2), false);
    }
    sctp_reasm_resume(w, a);
}
