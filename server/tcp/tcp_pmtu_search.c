/* tcp_pmtu_search.c - probes of a larger path MTU: when, of what size, and what becomes of them (RFC 4821 s7, RFC 8899 s5) */
#include <errno.h>
#include <jansson.h>
#include "server/ip/pmtu.h"
#include "server/tcp/tcp_pmtu.h"
#include "server/tcp/tcp_trace.h"

enum {
    BEHIND_SEGS = 3,      /* what follows the probe at once tells that it was lost: DupThresh of RFC 8985, for any reordering window */
    VERIFY_SEGS = 8,      /* an interval of verification is one RTO, and so many segments */
    VERIFY_INTERVALS = 3, /* so many of at most five decide: what is lost at once, when a queue overflows, is in one or two */
    VERIFY_LOSS_DIV = 10, /* more than a tenth lost is too much (RFC 4821 s7.8) */
};

/* Of links and tunnels that there are (RFC 4821 s7.3): old serial lines, the least of IPv6, VPNs, VXLAN, GRE, IP in IP, PPPoE, Ethernet,
 * and its large frames. */
static const uint16_t known_sizes[] = { 1006, 1280, 1400, 1420, 1450, 1476, 1480, 1492, 1500, 8950, 9000 };

static uint32_t ip_hdr(const struct tcp_conn *c) { return ip_addr_is_v4(&c->base.rmt.ip) ? 20 : 40; }

/* search_high at its beginning: what the links take, and segments that the peer does. 0 = there is no route now. */
static uint16_t ceiling(struct worker *w, const struct tcp_conn *c)
{
    uint32_t mss = c->peer_mss ? c->peer_mss : ip_hdr(c) == 20 ? TCP_MSS_DEFAULT_V4 : TCP_MSS_DEFAULT_V6;
    struct ip_path path;

    if (ip_path_lookup_by(w, c->base.fib, c->base.dev, &c->base.rmt.ip, &path) != 0)
        return 0;
    if (c->user_mss)
        mss = hs_min_u32(mss, c->user_mss);
    return (uint16_t)hs_min_u32(path.link_mtu, mss + (uint32_t)sizeof(struct tcp_hdr) + ip_hdr(c));
}

/* What was found is remembered for whoever sends there next. */
static void search_over(struct worker *w, struct tcp_conn *c)
{
    uint16_t most = ceiling(w, c);

    c->pmtu_high = 0;
    if (c->path_mtu >= most && most) {
        c->flags &= ~TCP_F_PMTU_LOW;
        c->pmtu_until_ms = 0;
        return;
    }
    tcp_pmtu_hold(w, c, tcp_worker_of(w)->cfg.mtu_interval_us / 1000);
    pmtu_learn(w, c->base.fib, &c->base.rmt.ip, c->path_mtu);
}

/* The whole size first: after an outage, or when a path has got wider, that is all. */
void tcp_pmtu_search(struct worker *w, struct tcp_conn *c)
{
    c->pmtu_high = ceiling(w, c);
    c->mtu_tries = TCP_MTU_TRY_HIGH;
    if (c->pmtu_high && c->pmtu_high <= c->path_mtu)
        search_over(w, c);
}

static uint32_t distance(uint32_t a, uint32_t b) { return a > b ? a - b : b - a; }

/* RFC 4821 s7.3: halves what is left, at a size that exists if one is left. 0 = less than a 64th is left: not worth lost packets. */
static uint16_t next_size(const struct tcp_conn *c)
{
    uint32_t low = c->path_mtu, high = c->pmtu_high, middle = (low + high + 1) / 2, best = 0;

    if (high <= low)
        return 0;
    if (c->mtu_tries == TCP_MTU_TRY_HIGH)
        return (uint16_t)high;
    for (unsigned i = 0; i < HS_ARRAY_LEN(known_sizes); i++) {
        uint32_t size = known_sizes[i];

        if (size > low && size <= high && (!best || distance(size, middle) < distance(best, middle)))
            best = size;
    }
    if (best)
        return (uint16_t)best;
    return high - low < low / 64 ? 0 : (uint16_t)middle;
}

/* RFC 4821 s7.4: one probe at a time, and none while something else is being found out. */
static bool is_calm(const struct tcp_conn *c)
{
    const struct tcp_sent *s = c->sent;

    if (c->ca_state != TCP_CA_OPEN || c->retransmits || !c->srtt_us || c->flags & (TCP_F_FIN_SENT | TCP_F_SND_URG))
        return false;
    return !s || (!s->mtu_probe && !s->has_tlp && !s->lost);
}

/* One segment of len bytes, and a run of its own: its fate must not be mixed with that of its neighbours. */
static int64_t send_probe(struct worker *w, struct tcp_conn *c, uint16_t size, uint16_t len)
{
    uint16_t mss = c->mss;
    uint32_t seq = c->snd_nxt;
    bool sent;

    if (c->sent)
        c->sent->last_is_rtx = true;
    c->mss = len;
    sent = tcp_send_probe_data(w, c);
    c->mss = mss;
    if (!sent)
        return -ENOBUFS;
    c->sent->last_is_rtx = true;
    c->sent->mtu_seq = seq;
    c->sent->mtu_end = seq + len;
    c->sent->mtu_probe = size;
    tcp_count(w, TCP_C_mtu_probes);
    return len;
}

/* Bytes sent; 0 = no probe now; < 0: nothing may be sent now, either for want of buffers, or because the probe is larger than the room
 * that ACKs make for other segments, and nothing would ever be left for it. */
int64_t tcp_pmtu_probe(struct worker *w, struct tcp_conn *c)
{
    uint32_t sent = c->snd_nxt - c->data_una, avail, len, need;
    uint16_t size;

    if (!c->pmtu_high || c->mtu_before || tcp_pmtu_is_held(w, c) || !is_calm(c))
        return 0;
    size = next_size(c);
    if (!size) {
        search_over(w, c);
        return 0;
    }
    len = size - ip_hdr(c) - (uint32_t)sizeof(struct tcp_hdr) - c->opt_len;
    need = len + BEHIND_SEGS * (uint32_t)c->mss;
    avail = session_tx_avail(w, c->base.session);
    if (avail < sent + need || c->snd_wnd < c->snd_nxt - c->snd_una + need || c->cwnd < need)
        return 0;
    if (tcp_pipe(c) + len > c->cwnd) {
        c->flags |= TCP_F_CWND_LIMITED;
        return -EAGAIN;
    }
    return send_probe(w, c, size, (uint16_t)len);
}

/* ---- what becomes of it ---- */

static void verify_interval(const struct worker *w, struct tcp_conn *c)
{
    c->verify_ms = tcp_now_ms(w);
    c->verify_delivered = c->delivered;
    c->verify_again = (uint32_t)c->n.bytes_retrans;
}

static void arrived(struct worker *w, struct tcp_conn *c, uint16_t size)
{
    tcp_count(w, TCP_C_mtu_probes_arrived);
    if (!c->pmtu_high || size <= c->path_mtu) /* the search was over before: something else has told */
        return;
    c->mtu_before = c->path_mtu;
    c->verify_good = c->verify_bad = 0;
    verify_interval(w, c);
    c->path_mtu = size;
    c->mtu_tries = 0;
    tcp_conn_mss_update(c, c->tso_max); /* cwnd counts bytes: no more may be in flight than before (RFC 4821 s7.6.1) */
    tcp_trace(w, c, TCP_TRACE_MTU, size);
}

void tcp_pmtu_unverified(struct worker *w, struct tcp_conn *c)
{
    tcp_count(w, TCP_C_mtu_unverified);
    c->pmtu_high = c->path_mtu - 1;
    c->path_mtu = c->mtu_before;
    c->mtu_before = 0;
    tcp_conn_mss_update(c, c->tso_max);
    tcp_pmtu_hold(w, c, TCP_PMTU_TIMEOUT_MS);
    tcp_trace(w, c, TCP_TRACE_MTU, c->path_mtu);
}

/* RFC 4821 s7.8: where packets take several ways, a probe may have taken the wider one, and others of its size are lost. */
void tcp_pmtu_verify(struct worker *w, struct tcp_conn *c)
{
    uint32_t came = c->delivered - c->verify_delivered, again = (uint32_t)c->n.bytes_retrans - c->verify_again;

    if (tcp_now_ms(w) - c->verify_ms < c->rto_us / 1000 || came + again < VERIFY_SEGS * (uint32_t)c->mss)
        return;
    if (again > (came + again) / VERIFY_LOSS_DIV)
        c->verify_bad++;
    else
        c->verify_good++;
    verify_interval(w, c);
    if (c->verify_bad == VERIFY_INTERVALS) {
        tcp_pmtu_unverified(w, c);
    } else if (c->verify_good == VERIFY_INTERVALS) {
        c->mtu_before = 0;
        pmtu_arrived(w, c->base.fib, &c->base.rmt.ip, c->path_mtu);
        if (next_size(c) == 0)
            search_over(w, c);
    }
}

/* RFC 4821 s7.6.2, with the tries of RFC 8899 s5.3.2. */
static void failed(struct worker *w, struct tcp_conn *c, uint16_t size, uint32_t wait_ms)
{
    tcp_count(w, TCP_C_mtu_probes_lost);
    if (!c->pmtu_high)
        return;
    tcp_pmtu_hold(w, c, wait_ms);
    if (c->mtu_tries == TCP_MTU_TRY_HIGH) {
        c->mtu_tries = 0;
    } else if (c->mtu_tries + 1 < TCP_MTU_MAX_PROBES) {
        c->mtu_tries++;
    } else {
        c->mtu_tries = 0;
        c->pmtu_high = size - 1;
    }
}

/* Bytes of the probe by what is known of them. */
struct fate { uint32_t lost, sacked, resent; };

static struct fate fate_of(const struct tcp_conn *c)
{
    const struct tcp_sent *s = c->sent;
    struct fate f = { 0 };

    for (const struct tcp_run *r = s->r + s->first, *last = r + s->n; r < last && seq_lt(r->start, s->mtu_end); r++) {
        uint32_t from = seq_gt(r->start, s->mtu_seq) ? r->start : s->mtu_seq, to = tcp_run_end(c, r);

        if (seq_gt(to, s->mtu_end)) /* what the peer holds is one run with its neighbours */
            to = s->mtu_end;
        if (!seq_lt(from, to))
            continue;
        if (r->flags & TCP_RUN_SACKED)
            f.sacked += to - from;
        else if (r->flags & TCP_RUN_LOST)
            f.lost += to - from;
        else if (r->flags & TCP_RUN_RTX)
            f.resent += to - from;
    }
    return f;
}

/* After loss detection, with a probe in flight. Lost alone, it is no sign of congestion: *n does not tell of it any more (RFC 4821
 * s7.6.2), and it goes out again at once. Lost with others, it tells nothing (s7.6.4). */
void tcp_pmtu_ack(struct worker *w, struct tcp_conn *c, struct tcp_ack_news *n)
{
    struct tcp_sent *s = c->sent;
    uint32_t left = s->mtu_end - (seq_gt(c->snd_una, s->mtu_seq) ? c->snd_una : s->mtu_seq);
    uint16_t size = s->mtu_probe;
    struct fate f = fate_of(c);

    if (!f.lost && !f.resent && seq_lt(c->snd_una, s->mtu_end) && f.sacked != left)
        return; /* nothing is known yet */
    s->mtu_probe = 0;
    if (f.lost && c->ca_state < TCP_CA_CWR && s->lost == f.lost && n->lost == f.lost) {
        failed(w, c, size, TCP_PMTU_LOST_MS);
        n->lost = 0;
        s->has_tlp = false; /* what it has repaired was this */
    } else if (f.lost || f.resent) { /* resent: by a probe of the tail, which tells nothing of the size */
        tcp_pmtu_hold(w, c, TCP_PMTU_LOST_MS);
    } else {
        arrived(w, c, size);
    }
}

/* RFC 4821 s7.6.3: a failure, but nobody knows of what. */
void tcp_pmtu_probe_timeout(struct worker *w, struct tcp_conn *c)
{
    if (c->sent && c->sent->mtu_probe)
        failed(w, c, c->sent->mtu_probe, TCP_PMTU_TIMEOUT_MS);
}

/* ICMP about a segment that begins at seq, for its size, which is no more than others have. If it is the probe: so large it may be
 * (RFC 4821 s7.6.2, RFC 8899 s4.6.2), and no time is lost. */
void tcp_pmtu_probe_too_big(struct worker *w, struct tcp_conn *c, uint32_t seq, uint32_t mtu)
{
    struct tcp_sent *s = c->sent;

    if (!s || !s->mtu_probe || seq != s->mtu_seq || mtu >= s->mtu_probe || !c->pmtu_high)
        return;
    tcp_count(w, TCP_C_mtu_probes_lost);
    s->mtu_probe = 0;
    c->pmtu_high = (uint16_t)mtu;
    c->mtu_tries = TCP_MTU_TRY_HIGH;
    for (struct tcp_run *r = s->r + s->first, *last = r + s->n; r < last && seq_lt(r->start, s->mtu_end); r++) {
        if (seq_geq(r->start, seq) && !(r->flags & (TCP_RUN_SACKED | TCP_RUN_LOST)))
            tcp_sent_mark_lost(c, r);
    }
    tcp_tx_request(w, c);
}

/* The compact form of a connection knows no size of its own: what others find in the cache must be the same. Nor does it verify: who has
 * sent little since a probe arrived goes on with the whole size, or with what was there before. */
bool tcp_pmtu_is_kept(struct worker *w, const struct tcp_conn *c)
{
    return c->mtu_probing && (pmtu_limit(w, c->base.fib, &c->base.rmt.ip, UINT16_MAX) <= c->path_mtu ||
                              (c->mtu_before && c->path_mtu >= ceiling(w, c)));
}

void tcp_pmtu_show(struct worker *w, const struct tcp_conn *c, struct json_t *obj)
{
    bool searches = c->pmtu_high != 0;

    json_object_set_new(obj, "path_mtu_search", json_string(!c->mtu_probing ? "off" : c->mtu_before ? "verifies" : searches ? "on" :
                                                            c->flags & TCP_F_PMTU_LOW ? "waits" : "done"));
    if (searches) {
        json_object_set_new(obj, "path_mtu_high", json_integer(c->pmtu_high));
        json_object_set_new(obj, "path_mtu_lost", json_integer(c->mtu_tries == TCP_MTU_TRY_HIGH ? 0 : c->mtu_tries));
    }
    if (c->sent && c->sent->mtu_probe)
        json_object_set_new(obj, "path_mtu_probe", json_integer(c->sent->mtu_probe));
    if (c->flags & TCP_F_PMTU_LOW && tcp_pmtu_is_held(w, c))
        json_object_set_new(obj, "path_mtu_next_s", json_integer((c->pmtu_until_ms - tcp_now_ms(w) + 999) / 1000));
}
