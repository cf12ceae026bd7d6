/* tcp_fastopen_client.c - TCP Fast Open, the client's side (RFC 7413): what a program writes first goes out in the SYN
 *
 * A SYN asks for a cookie; the next connection to that host brings it, with data. Which hosts have given one, with which MSS, is kept by
 * both addresses (s4.1.3). Where such SYNs vanish while plain ones arrive - a middlebox drops them - none are sent for a while (s7.1 and
 * s4.1.3, negative responses). A connection that waits for its first bytes has sent nothing and has no timer.
 *
 * Owner:  the cache: tcp_worker.fo_cache, made at first need, freed with the worker. Bounded: FO_SETS times FO_WAYS hosts.
 * Thread: owning worker only; each worker asks for itself.
 * Errors: without memory all connections begin the usual way.
 * Calls:  tcp_connect() -> tcp_fastopen_connect(); tcp_tx() -> tcp_send_syn() -> tcp_fastopen_syn(); SYN,ACK -> tcp_fastopen_answered() */
#include <stdlib.h>
#include "common/siphash.h"
#include "server/tcp/tcp_internal.h"

enum {
    FO_SETS = 256, FO_WAYS = 4,
    FO_COOKIE_MIN = 4, FO_COOKIE_MAX = 16, /* RFC 7413 s4.1.1 */
    FO_LOSSES = 2,                         /* one may be plain bad luck */
    FO_AVOID_S = 60, FO_AVOID_DOUBLINGS = 10,
};

struct fo_host {
    struct ip_addr lcl, rmt; /* the cookie is for our address, too */
    uint32_t used_s;         /* 0 = nobody here */
    uint32_t lost_s;
    uint16_t fib, mss;
    uint8_t cookie_len, losses;
    uint8_t cookie[FO_COOKIE_MAX];
};
struct tcp_fastopen_cache {
    struct fo_host host[FO_SETS][FO_WAYS];
};

static uint32_t now_s(const struct worker *w) { return (uint32_t)(w->now_us / 1000000) + 1; }

static struct fo_host *set_of(const struct worker *w, struct tcp_fastopen_cache *cache, const struct tcp_conn *c)
{
    struct {
        struct ip_addr lcl, rmt;
        uint32_t fib;
        char what[4]; /* no other hash with this key is of such words */
    } in = { c->base.lcl.ip, c->base.rmt.ip, c->base.fib, "fos" };

    static_assert(sizeof(in) == 40, "no padding goes into the hash");
    return cache->host[siphash24(w->secret, &in, sizeof(in)) % FO_SETS];
}

static bool is_host(const struct fo_host *h, const struct tcp_conn *c)
{
    return h->used_s && h->fib == c->base.fib && ip_addr_eq(&h->rmt, &c->base.rmt.ip) && ip_addr_eq(&h->lcl, &c->base.lcl.ip);
}

static struct fo_host *host_find(struct worker *w, const struct tcp_conn *c)
{
    struct tcp_fastopen_cache *cache = tcp_worker_of(w)->fo_cache;
    struct fo_host *set = cache ? set_of(w, cache, c) : NULL;

    for (unsigned i = 0; set && i < FO_WAYS; i++) {
        if (is_host(&set[i], c)) {
            set[i].used_s = now_s(w);
            return &set[i];
        }
    }
    return NULL;
}

/* The same, in the place of whom was not asked for longest. */
static struct fo_host *host_get(struct worker *w, const struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);
    struct fo_host *h = host_find(w, c), *set;

    if (h)
        return h;
    if (!tw->fo_cache)
        tw->fo_cache = calloc(1, sizeof(*tw->fo_cache));
    if (!tw->fo_cache)
        return NULL;
    set = set_of(w, tw->fo_cache, c);
    h = set;
    for (unsigned i = 1; i < FO_WAYS; i++) {
        if (set[i].used_s < h->used_s)
            h = &set[i];
    }
    *h = (struct fo_host){ .lcl = c->base.lcl.ip, .rmt = c->base.rmt.ip, .fib = c->base.fib, .used_s = now_s(w) };
    return h;
}

void tcp_fastopen_fini(struct tcp_worker *tw)
{
    free(tw->fo_cache);
    tw->fo_cache = NULL;
}

static bool is_avoided(const struct worker *w, const struct fo_host *h)
{
    return h->losses >= FO_LOSSES && now_s(w) - h->lost_s < (uint32_t)FO_AVOID_S << hs_min_u32(h->losses - FO_LOSSES, FO_AVOID_DOUBLINGS);
}

bool tcp_fastopen_connect(struct worker *w, struct tcp_conn *c)
{
    uint8_t how = session_connect_how(c->base.session);
    const struct fo_host *h;

    if (!(how & SVM_CONNECT_FASTOPEN) || c->lflags & TCP_LF_AUTH) /* a signature leaves no room for the cookie */
        return false;
    h = host_find(w, c);
    if (h && is_avoided(w, h)) {
        tcp_count(w, TCP_C_fastopen_avoided);
        return false;
    }
    if (!(how & SVM_CONNECT_NO_COOKIE) && !(h && h->cookie_len)) {
        c->open.step = TCP_OPEN_ASKS;
        return false;
    }
    c->open.step = TCP_OPEN_WAITS;
    return true;
}

/* The MSS the host told last, for want of its SYN (s4.1.3), and never more than the path takes. */
static uint32_t data_max(const struct tcp_conn *c, const struct fo_host *h, unsigned opt_len)
{
    bool v4 = ip_addr_is_v4(&c->base.rmt.ip);
    uint32_t hdr = (v4 ? 20 : 40) + (uint32_t)sizeof(struct tcp_hdr);
    uint32_t path = c->path_mtu > hdr ? c->path_mtu - hdr : 0;
    uint32_t peer = h && h->mss ? h->mss : v4 ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
    uint32_t mss = hs_min_u32(peer, path);

    if (c->user_mss)
        mss = hs_min_u32(mss, c->user_mss);
    return mss > opt_len ? mss - opt_len : 0;
}

uint32_t tcp_fastopen_syn(struct worker *w, struct tcp_conn *c, uint8_t opt[TCP_OPT_MAX], uint8_t *opt_len)
{
    const struct fo_host *h = c->open.step == TCP_OPEN_DATA ? host_find(w, c) : NULL;
    uint8_t n = h ? h->cookie_len : 0, *p = opt + *opt_len;
    uint32_t len;

    if (c->open.step != TCP_OPEN_ASKS && c->open.step != TCP_OPEN_DATA)
        return 0;
    if (c->open.step == TCP_OPEN_ASKS || n) {
        unsigned pad = -(2u + n) & 3u;

        if (*opt_len + pad + 2 + n > TCP_OPT_MAX) {
            c->open.step = TCP_OPEN_USUAL;
            return 0;
        }
        memset(p, TCP_OPT_NOP, pad);
        p += pad;
        *p++ = TCP_OPT_FASTOPEN;
        *p++ = (uint8_t)(2 + n);
        if (n)
            memcpy(p, h->cookie, n);
        *opt_len = (uint8_t)(*opt_len + pad + 2 + n);
    }
    if (c->open.step == TCP_OPEN_ASKS)
        return 0;
    if (!n && !(session_connect_how(c->base.session) & SVM_CONNECT_NO_COOKIE)) {
        c->open.step = TCP_OPEN_USUAL; /* forgotten while the connection waited for its bytes */
        return 0;
    }
    tcp_count(w, TCP_C_fastopen_sent);
    len = hs_min_u32(session_tx_avail(w, c->base.session), data_max(c, h, *opt_len));
    c->snd_nxt = c->iss + 1 + len;
    return len;
}

/* s4.1.3: without the option and the data, which something on the path may drop. */
void tcp_fastopen_timeout(struct tcp_conn *c)
{
    if (c->state == TCP_S_SYN_SENT && c->open.step != TCP_OPEN_USUAL)
        c->open.step = TCP_OPEN_LOST;
}

static void learn(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg, bool data_came)
{
    const uint8_t *opt = seg->o.fastopen;
    unsigned n = opt ? opt[1] - 2u : 0;
    bool has_cookie = n >= FO_COOKIE_MIN && n <= FO_COOKIE_MAX && n % 2 == 0;
    bool was_lost = c->open.step == TCP_OPEN_LOST && !has_cookie && !data_came;
    struct fo_host *h = has_cookie || was_lost ? host_get(w, c) : host_find(w, c);

    if (!h)
        return;
    if (has_cookie) {
        memcpy(h->cookie, opt + 2, n);
        h->cookie_len = (uint8_t)n;
        tcp_count(w, TCP_C_fastopen_cookies);
    }
    if (seg->o.has_mss)
        h->mss = seg->o.mss;
    if (was_lost) {
        h->losses += h->losses < UINT8_MAX;
        h->lost_s = now_s(w);
        tcp_count(w, TCP_C_fastopen_lost);
    } else {
        h->losses = 0;
    }
}

void tcp_fastopen_answered(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    uint32_t came = seg->flags & TCP_ACK ? seg->ack - (c->iss + 1) : 0;

    if ((seg->flags & TCP_ACK) && c->open.step != TCP_OPEN_WAITS)
        learn(w, c, seg, came != 0);
    if (came) { /* s4.2.1: perhaps not all of it */
        session_tx_drop(w, c->base.session, came);
        c->flags |= TCP_F_FASTOPEN;
        tcp_count(w, TCP_C_fastopen_taken);
    }
    c->snd_nxt = c->iss + 1 + came; /* the rest was not sent, as far as the peer knows: it goes out with what follows */
}
