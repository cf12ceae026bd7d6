/* tcp_options.c - reading and writing TCP options (RFC 9293 s3.2, RFC 7323 s2 and s3, RFC 2018) */
#include <errno.h>
#include "server/tcp/tcp_internal.h"

static inline uint32_t load_be32(const uint8_t *p)
{
    be32 v;
    memcpy(&v, p, sizeof(v));
    return be32_get(v);
}

static inline uint16_t load_be16(const uint8_t *p)
{
    be16 v;
    memcpy(&v, p, sizeof(v));
    return be16_get(v);
}

static inline uint8_t *store_be32(uint8_t *p, uint32_t v)
{
    be32 b = be32_of(v);
    memcpy(p, &b, sizeof(b));
    return p + sizeof(b);
}

/* len is the whole option, at least 2 and within the header. An option that we know with a length that is not its own is
 * an error; what we do not know is skipped by its length (MUST-6, MUST-68). */
static int parse_one(uint8_t kind, const uint8_t *opt, unsigned len, struct tcp_opts *out)
{
    switch (kind) {
    case TCP_OPT_MSS:
        if (len != 4)
            return -EINVAL;
        out->has_mss = true;
        out->mss = load_be16(opt + 2);
        return 0;
    case TCP_OPT_WSCALE:
        if (len != 3)
            return -EINVAL;
        out->has_wscale = true;
        out->wscale = opt[2] > TCP_MAX_WSCALE ? TCP_MAX_WSCALE : opt[2]; /* RFC 7323 s2.3: larger is read as 14 */
        return 0;
    case TCP_OPT_SACK_OK:
        if (len != 2)
            return -EINVAL;
        out->has_sack_ok = true;
        return 0;
    case TCP_OPT_SACK:
        if (len < 10 || (len - 2) % 8 != 0)
            return -EINVAL;
        out->n_sack = 0; /* a second option replaces the first: the array has room for one */
        for (unsigned i = 2; i < len && out->n_sack < TCP_MAX_SACK_BLOCKS; i += 8) {
            out->sack[out->n_sack].start = load_be32(opt + i);
            out->sack[out->n_sack].end = load_be32(opt + i + 4);
            out->n_sack++;
        }
        return 0;
    case TCP_OPT_USER_TIMEOUT: /* RFC 5482 s3.1: granularity bit, then seconds or minutes */
        if (len != 4)
            return -EINVAL;
        out->uto_s = load_be16(opt + 2) & 0x7fffu;
        if (opt[2] & 0x80)
            out->uto_s *= 60;
        out->has_uto = out->uto_s != 0;
        return 0;
    case TCP_OPT_FASTOPEN: /* RFC 7413 s4.1.1: of another length, or not in a SYN, it is ignored */
        if (len == 2 || (len >= 6 && len <= 18 && len % 2 == 0))
            out->fastopen = opt;
        return 0;
    case TCP_OPT_TS:
        if (len != 10)
            return -EINVAL;
        out->has_ts = true;
        out->tsval = load_be32(opt + 2);
        out->tsecr = load_be32(opt + 6);
        return 0;
    case TCP_OPT_MD5:
    case TCP_OPT_AO: /* RFC 5925 s2.2: one signature, of one kind */
        if ((kind == TCP_OPT_MD5 ? len != 18 : len < 4) || out->sig)
            return -EINVAL;
        out->sig = opt;
        return 0;
    default:
        return 0;
    }
}

int tcp_options_parse(const uint8_t *opt, unsigned len, struct tcp_opts *out)
{
    static const uint8_t ts_layout[4] = { TCP_OPT_NOP, TCP_OPT_NOP, TCP_OPT_TS, 10 };

    out->has_mss = out->has_wscale = out->has_sack_ok = out->has_ts = out->has_uto = false;
    out->wscale = out->n_sack = 0;
    out->mss = 0;
    out->tsval = out->tsecr = 0;
    out->sig = out->fastopen = NULL;
    if (len == TCP_OPT_TS_LEN && memcmp(opt, ts_layout, sizeof(ts_layout)) == 0) { /* nearly every segment */
        out->has_ts = true;
        out->tsval = load_be32(opt + 4);
        out->tsecr = load_be32(opt + 8);
        return 0;
    }
    for (unsigned i = 0; i < len;) {
        uint8_t kind = opt[i];
        unsigned olen;

        if (kind == TCP_OPT_EOL)
            return 0;
        if (kind == TCP_OPT_NOP) {
            i++;
            continue;
        }
        if (len - i < 2)
            return -EINVAL;
        olen = opt[i + 1];
        if (olen < 2 || olen > len - i) /* 0 would never end (MUST-7) */
            return -EINVAL;
        if (parse_one(kind, opt + i, olen, out) != 0)
            return -EINVAL;
        i += olen;
    }
    return 0;
}

static uint8_t *put_ts(uint8_t *p, uint32_t tsval, uint32_t tsecr)
{
    *p++ = TCP_OPT_NOP;
    *p++ = TCP_OPT_NOP;
    *p++ = TCP_OPT_TS;
    *p++ = 10;
    p = store_be32(p, tsval);
    return store_be32(p, tsecr);
}

/* RFC 5482 s3.1, s3.2: our timeout, for the peer to wait as long. Minutes where seconds do not fit. */
static uint8_t *put_user_timeout(uint8_t *p, uint32_t ms)
{
    uint32_t s = (ms + 999) / 1000;
    uint16_t v = s < 0x8000 ? (uint16_t)s : (uint16_t)(0x8000u | hs_min_u32((s + 59) / 60, 0x7fff));

    *p++ = TCP_OPT_USER_TIMEOUT;
    *p++ = 4;
    *p++ = (uint8_t)(v >> 8);
    *p++ = (uint8_t)v;
    return p;
}

/* A SYN offers what the configuration allows; a SYN,ACK only what the peer has offered (RFC 7323 s2.2, s3.2; RFC 2018 s2). */
unsigned tcp_options_build_syn(const struct tcp_conn *c, const struct tcp_config *cfg, uint32_t now_ms, uint8_t out[TCP_OPT_MAX])
{
    bool answer = c->state == TCP_S_SYN_RCVD;
    bool sack = answer ? (c->flags & TCP_F_SACK) != 0 : cfg->sack;
    bool ts = answer ? (c->flags & TCP_F_TS) != 0 : cfg->timestamps && tcp_auth_leaves_ts(c, sack);
    bool ws = answer ? (c->flags & TCP_F_WSCALE) != 0 : cfg->wscale;
    uint8_t *p = out;

    *p++ = TCP_OPT_MSS;
    *p++ = 4;
    *p++ = (uint8_t)(c->adv_mss >> 8);
    *p++ = (uint8_t)c->adv_mss;
    if (sack) {
        if (!ts) {
            *p++ = TCP_OPT_NOP;
            *p++ = TCP_OPT_NOP;
        }
        *p++ = TCP_OPT_SACK_OK;
        *p++ = 2;
    }
    if (ts) {
        uint32_t ecr = answer && (c->flags & TCP_F_TS_RECENT) ? c->ts_recent : 0; /* zero without ACK (s3.2) */

        if (sack) { /* SACK_OK takes the place of the two NOPs */
            *p++ = TCP_OPT_TS;
            *p++ = 10;
            p = store_be32(p, now_ms + c->ts_offset);
            p = store_be32(p, ecr);
        } else {
            p = put_ts(p, now_ms + c->ts_offset, ecr);
        }
    }
    if (ws) {
        *p++ = TCP_OPT_NOP;
        *p++ = TCP_OPT_WSCALE;
        *p++ = 3;
        *p++ = c->rcv_wscale;
    }
    if (cfg->user_timeout_option && c->user_timeout_ms && (unsigned)(p - out) + 4 + c->auth_len <= TCP_OPT_MAX)
        p = put_user_timeout(p, c->user_timeout_ms);
    return (unsigned)(p - out);
}

/* SACK blocks, the most recent first (RFC 2018 s4); a duplicate is reported before them (RFC 2883 s4). */
static uint8_t *put_sack(struct tcp_conn *c, uint8_t *p, unsigned room)
{
    struct session_ooo ooo[TCP_MAX_SACK_BLOCKS];
    unsigned max = room < 12 ? 0 : (room - 4) / 8, n = 0, n_ooo;
    uint8_t *len;

    if (max > TCP_MAX_SACK_BLOCKS)
        max = TCP_MAX_SACK_BLOCKS;
    n_ooo = c->base.session && max ? (unsigned)session_rx_ooo(c->base.session, ooo, (int)max) : 0;
    if (max == 0 || (n_ooo == 0 && !(c->flags & TCP_F_DSACK)))
        return p;
    *p++ = TCP_OPT_NOP;
    *p++ = TCP_OPT_NOP;
    *p++ = TCP_OPT_SACK;
    len = p++;
    if (c->flags & TCP_F_DSACK) {
        p = store_be32(p, c->dsack_start);
        p = store_be32(p, c->dsack_end);
        c->flags &= ~TCP_F_DSACK; /* reported once (RFC 2883 s4 rule 1) */
        n++;
    }
    for (unsigned i = 0; i < n_ooo && n < max; i++, n++) {
        p = store_be32(p, c->rcv_nxt + ooo[i].start);
        p = store_be32(p, c->rcv_nxt + ooo[i].end);
    }
    *len = (uint8_t)(2 + 8 * n);
    return p;
}

/* Options of any segment but SYN and RST. Data segments carry no SACK blocks, so that their size does not change. */
unsigned tcp_options_build(struct tcp_conn *c, uint32_t tsval, bool with_sack, uint8_t out[TCP_OPT_MAX])
{
    uint8_t *p = out;
    unsigned room = TCP_OPT_MAX - c->opt_len; /* timestamps and signature have theirs */

    if (c->flags & TCP_F_TS)
        p = put_ts(p, tsval, c->ts_recent);
    if (hs_unlikely(c->flags & TCP_F_TELL_USER_TIMEOUT) && with_sack) { /* has changed (s3.2); once, as SHOULD is enough */
        c->flags &= ~TCP_F_TELL_USER_TIMEOUT;
        p = put_user_timeout(p, c->user_timeout_ms);
        room -= 4;
    }
    if (with_sack && (c->flags & TCP_F_SACK))
        p = put_sack(c, p, room);
    return (unsigned)(p - out);
}
