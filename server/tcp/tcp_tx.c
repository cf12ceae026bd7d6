/* tcp_tx.c - what to send and when: lost data first, then new data, then the FIN
 * (RFC 9293 s3.8.6, RFC 1122 s4.2.3.4, RFC 5681, RFC 6675 s5) */
#include <errno.h>
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_idle.h"
#include "server/tcp/tcp_sent.h"

enum { TCP_RETRY_US = 10000 }; /* after a lack of buffers */

void tcp_tx_request(struct worker *w, struct tcp_conn *c)
{
    if (c->base.session && tcp_can_send(c))
        session_tx_schedule(w, c->base.session);
}

/* RFC 6298 s5.1. What was armed for a single segment, which may wait for a delayed ACK, becomes a probe when more follows. */
static void rto_ensure(struct worker *w, struct tcp_conn *c)
{
    if (c->rexmt_mode == TCP_REXMT_RTO && c->snd_nxt - c->snd_una > c->mss && c->state != TCP_S_SYN_RCVD &&
        tcp_tlp_wanted(c) && tcp_tlp_timeout_us(c) < c->rto_us)
        c->rexmt_mode = TCP_REXMT_NONE;
    if (c->rexmt_mode != TCP_REXMT_RTO && c->rexmt_mode != TCP_REXMT_TLP && c->rexmt_mode != TCP_REXMT_REO)
        tcp_rexmt_rearm(w, c);
}

static void no_buffers(struct worker *w, struct tcp_conn *c)
{
    if (c->rexmt_mode == TCP_REXMT_NONE)
        tcp_rexmt_start(w, c, TCP_REXMT_CORK, TCP_RETRY_US);
}

/* One piece of what counts as lost. Returns bytes sent, 0 = nothing to do or held back, -errno = no buffers. */
static int64_t send_lost(struct worker *w, struct tcp_conn *c, uint32_t burst)
{
    uint32_t start, end, len, pipe, window_end = c->snd_una + c->snd_wnd;
    bool fin = false;
    int rc;

    if (!c->sent || !c->sent->lost || c->sent->frto == TCP_FRTO_SECOND || !tcp_sent_next_lost(c, &start, &end))
        return 0;
    pipe = tcp_pipe(c);
    if (!(c->flags & TCP_F_RTX_FORCE) && pipe + hs_min_u32(end - start, c->mss) > c->cwnd)
        return 0;
    len = hs_min_u32(hs_min_u32(end - start, c->gso_max), burst);
    if (len > c->mss) { /* as many whole segments as the window has room for */
        uint32_t room = c->cwnd > pipe ? (c->cwnd - pipe) / c->mss * c->mss : 0;

        len = hs_min_u32(len, hs_max_u32(room, c->mss));
    }
    if (seq_gt(start + len, window_end)) { /* the peer has shrunk its window: it would drop the rest (MUST-34) */
        if (!seq_lt(start, window_end))
            return 0;
        len = window_end - start;
    }
    if ((c->flags & TCP_F_FIN_SENT) && seq_gt(start + len, c->fin_seq)) {
        fin = true;
        len = c->fin_seq - start;
    }
    rc = tcp_send_data(w, c, start, len, fin);
    if (rc == -ENOBUFS)
        return rc;
    tcp_count(w, TCP_C_retransmits);
    tcp_count_again(c, len);
    tcp_undo_resent(c, start, len + fin);
    tcp_sent_resent(w, c, start, len + fin);
    c->sent->prr_out += len + fin;
    c->flags &= ~TCP_F_RTX_FORCE;
    if ((c->flags & TCP_F_RTT_TIMING) && seq_gt(c->rtt_seq, start))
        c->flags &= ~TCP_F_RTT_TIMING; /* Karn */
    rto_ensure(w, c);
    return (int64_t)len + fin;
}

/* May a segment smaller than the MSS go out? It ends with the program's last byte, unless the window is small. */
static bool partial_allowed(struct tcp_conn *c, uint32_t len, bool is_last, bool fin_follows)
{
    if (c->flags & (TCP_F_PUSH_PARTIAL | TCP_F_SND_URG)) /* the override timer of (4) ran out; urgent data does not wait */
        return true;
    if (!is_last) /* cut by the window: at least half of the largest ever seen (RFC 9293 s3.8.6.2.1 (3)) */
        return len >= c->snd_max_wnd / 2;
    if (fin_follows)
        return true;
    if (c->flags & TCP_F_CORK)
        return false;
    if (c->flags & TCP_F_NODELAY)
        return true;
    /* Nagle: wait while a partial segment is unacknowledged, not for full ones (Minshall's form, as Linux). */
    return !seq_gt(c->snd_sml, c->snd_una);
}

struct tx_room {
    uint32_t unsent;     /* bytes of the program not yet sent */
    uint32_t wnd, cwnd;  /* bytes that either window lets through */
    bool fin;            /* a FIN follows the last byte and is not sent yet */
};

static void tx_room(struct worker *w, struct tcp_conn *c, struct tx_room *r)
{
    uint32_t avail = session_tx_avail(w, c->base.session), sent = c->snd_nxt - c->data_una, flight = c->snd_nxt - c->snd_una;
    uint32_t pipe = tcp_pipe(c);

    r->fin = (c->flags & (TCP_F_FIN_QUEUED | TCP_F_FIN_SENT)) == TCP_F_FIN_QUEUED;
    r->unsent = c->flags & TCP_F_FIN_SENT || avail < sent ? 0 : avail - sent;
    r->wnd = c->snd_wnd > flight ? c->snd_wnd - flight : 0;
    r->cwnd = c->cwnd > pipe ? c->cwnd - pipe : 0;
}

/* How much of the new data to send as one packet; 0 = wait. */
static uint32_t new_data_len(struct tcp_conn *c, const struct tx_room *r, uint32_t burst)
{
    /* CWR belongs to one segment: a port that cuts super-frames would put it into each. */
    uint32_t len = hs_min_u32(hs_min_u32(r->unsent, r->wnd), hs_unlikely(c->lflags & TCP_LF_CWR) ? c->mss : c->gso_max);

    if (r->cwnd < len) {
        c->flags |= TCP_F_CWND_LIMITED;
        if (r->cwnd < c->mss && r->cwnd < c->cwnd) /* wait for room for a whole segment, unless nothing is on its way */
            return 0;
        len = r->cwnd;
    }
    len = hs_min_u32(len, hs_max_u32(burst, c->mss)); /* never more than there is: less than a segment may be left */
    if (len > c->mss) {
        uint32_t part = len % c->mss;

        if (part && (len < r->unsent || !partial_allowed(c, part, true, r->fin)))
            len -= part;
        return len;
    }
    if (len < c->mss && len && !partial_allowed(c, len, len == r->unsent, r->fin && len == r->unsent))
        return 0;
    return len;
}

static int send_at_nxt(struct worker *w, struct tcp_conn *c, uint32_t len, bool fin)
{
    int rc = tcp_sent_reserve(w, c);

    if (rc == 0)
        rc = tcp_send_data(w, c, c->snd_nxt, len, fin);
    if (rc == -ENOBUFS) {
        if (c->snd_una == c->snd_nxt)
            tcp_sent_clear(w, c);
        return rc;
    }
    tcp_sent_add(w, c);
    c->sent->prr_out += len + fin;
    if (len < c->mss || len % c->mss)
        c->snd_sml = c->snd_nxt + len;
    c->snd_nxt += len;
    if (fin) {
        c->fin_seq = c->snd_nxt++;
        c->flags |= TCP_F_FIN_SENT;
    }
    if (!(c->flags & TCP_F_RTT_TIMING)) {
        c->flags |= TCP_F_RTT_TIMING;
        c->rtt_seq = c->snd_nxt;
        c->rtt_start_us = (uint32_t)w->now_us;
    }
    return 0;
}

/* n bytes were sent of *r: was that all that anybody has seen? Then *r says so. What the program has written since tx_arm() finds
 * (session_io.c). */
static bool is_all_sent(const struct tcp_conn *c, struct tx_room *r, int64_t n)
{
    uint32_t sent = c->snd_nxt - c->data_una - !!(c->flags & TCP_F_FIN_SENT);

    if (n <= 0 || n != (int64_t)r->unsent + r->fin || session_tx_seen(c->base.session) != sent)
        return false;
    r->unsent = 0;
    r->fin = false;
    r->wnd -= hs_min_u32(r->wnd, (uint32_t)n);
    r->cwnd -= hs_min_u32(r->cwnd, (uint32_t)n);
    return true;
}

/* *r: what there was before. */
static int64_t send_new(struct worker *w, struct tcp_conn *c, uint32_t burst, struct tx_room *r)
{
    uint32_t len, urg_end;
    bool fin;

    tx_room(w, c, r);
    if (r->unsent && r->wnd && hs_unlikely(session_tx_urgent(c->base.session, &urg_end)))
        tcp_urg_begin(w, c);
    len = r->unsent ? new_data_len(c, r, burst) : 0;
    fin = r->fin && len == r->unsent && r->wnd > len;
    if (len == 0 && !fin)
        return 0;
    if (send_at_nxt(w, c, len, fin) != 0)
        return -ENOBUFS;
    return (int64_t)len + fin;
}

/* RFC 8985 s7.3: a segment of new data as probe of the tail, though cwnd has no room. False: there is none. */
bool tcp_send_probe_data(struct worker *w, struct tcp_conn *c)
{
    struct tx_room r;
    uint32_t len;

    if (!c->base.session)
        return false;
    tx_room(w, c, &r);
    len = hs_min_u32(r.unsent, c->mss);
    return len && r.wnd >= len && send_at_nxt(w, c, len, false) == 0;
}

/* RFC 5682 s2.1 step 2b promised new data, but Nagle or the window holds it back: retransmission goes on. */
static bool frto_gives_up(struct tcp_conn *c)
{
    if (!c->sent || c->sent->frto != TCP_FRTO_SECOND || c->snd_nxt != c->recover)
        return false;
    c->sent->frto = TCP_FRTO_OFF;
    return true;
}

/* Nothing could be sent and nothing is in flight: a timer must bring the connection on (no ACK will). */
static void tx_blocked(struct worker *w, struct tcp_conn *c, const struct tx_room *r)
{
    uint32_t urg_end;

    if (!r->unsent && !r->fin)
        return;
    if (r->wnd == 0 && !(c->flags & TCP_F_SND_URG) && session_tx_urgent(c->base.session, &urg_end)) {
        tcp_urg_begin(w, c); /* the peer does not read: perhaps it does when it hears of this */
        tcp_send_ack(w, c);
    }
    if (c->rexmt_mode == TCP_REXMT_PERSIST)
        return;
    if (c->snd_nxt != c->snd_una) {
        rto_ensure(w, c);
        return;
    }
    if (c->rexmt_mode != TCP_REXMT_NONE)
        return;
    if (r->wnd < hs_min_u32(r->unsent, c->mss) || r->wnd == 0)
        tcp_rexmt_start(w, c, r->wnd ? TCP_REXMT_CORK : TCP_REXMT_PERSIST, tcp_backoff_us(c, &tcp_worker_of(w)->cfg));
    else
        tcp_rexmt_start(w, c, TCP_REXMT_CORK, tcp_worker_of(w)->cfg.cork_us);
}

/* The program has no more, though the path would take it: until what is in flight now has arrived, rates say what the program did
 * (draft-cheng-iccrg-delivery-rate-estimation-00 s3.4). */
static void note_app_limited(struct tcp_conn *c, const struct tx_room *r)
{
    uint32_t pipe = tcp_pipe(c);

    if (!c->sent || c->sent->lost || pipe >= c->cwnd || r->unsent)
        return;
    c->sent->is_app_limited = true;
    c->sent->app_limited = c->delivered + pipe;
}

/* All has been sent that may be: what holds back the rest, or what the program would write? */
static enum tcp_busy busy_by(struct worker *w, struct tcp_conn *c, const struct tx_room *r)
{
    uint32_t segment = hs_min_u32(r->unsent, c->mss);

    if (!r->unsent && c->snd_una == c->snd_nxt)
        return TCP_BUSY_NOT;
    if (r->wnd < segment && r->cwnd >= segment)
        return TCP_BUSY_RWND;
    if (!r->unsent && r->cwnd >= c->mss && session_tx_is_short(w, c->base.session))
        return TCP_BUSY_SNDBUF;
    return TCP_BUSY_SENDING;
}

/* Without memory: once more in the next turn. */
static enum transport_tx_verdict tx_idle(struct worker *w, struct transport_conn *b, unsigned budget_bytes)
{
    struct tcp_conn *c;

    if (session_tx_avail(w, b->session) == 0)
        return TRANSPORT_TX_DONE;
    c = tcp_idle_wake(w, b);
    return c ? tcp_tx(w, &c->base, budget_bytes) : TRANSPORT_TX_MORE;
}

enum transport_tx_verdict tcp_tx(struct worker *w, struct transport_conn *b, unsigned budget_bytes)
{
    struct tcp_conn *c = tcp_of_base(b);
    int64_t left = (int64_t)budget_bytes, n;
    uint32_t burst;
    struct tx_room room; /* what there is to send after the last look for new data */
    bool is_all = false;

    if (hs_unlikely(c->flags & TCP_F_WANT_SPACE) && b->session)
        tcp_rx_space(w, b); /* the program may have read between our look and our wish */
    if (!b->session || !tcp_can_send(c)) {
        if (c->state == TCP_S_IDLE)
            return tx_idle(w, b, budget_bytes);
        if (hs_unlikely(tcp_fastopen_waits(c)) && b->session && session_tx_avail(w, b->session))
            tcp_start_handshake(w, c);
        return TRANSPORT_TX_DONE;
    }
    if (c->snd_una == c->snd_nxt)
        tcp_cc_after_idle(w, c);
    if (hs_unlikely(c->flags & TCP_F_PMTU_LOW))
        tcp_pmtu_raise(w, c);
    c->flags &= ~TCP_F_CWND_LIMITED;
    c->has_sent_all = false;
    burst = c->pace_rate ? tcp_pace_burst(c) : UINT32_MAX;
    do {
        if (hs_unlikely(c->pace_rate) && tcp_pace_must_wait(w, c)) {
            if (c->sent)
                rto_ensure(w, c);
            if (c->busy == TCP_BUSY_NOT && (c->snd_una != c->snd_nxt || session_tx_avail(w, b->session)))
                tcp_busy_set(w, c, TCP_BUSY_SENDING); /* what waits for its time is under way */
            return TRANSPORT_TX_DONE;
        }
        n = send_lost(w, c, burst);
        if (n == 0 && hs_unlikely(c->flags & TCP_F_PMTU_LOW))
            n = tcp_pmtu_probe(w, c); /* < 0 when it waits for room in cwnd, too */
        if (n == 0) {
            n = send_new(w, c, burst, &room);
            is_all = is_all_sent(c, &room, n);
        }
        if (n == 0 && hs_unlikely(frto_gives_up(c)))
            n = send_lost(w, c, burst);
        if (n < 0) {
            if (c->sent)
                rto_ensure(w, c);
            no_buffers(w, c);
            return TRANSPORT_TX_DONE;
        }
        if (hs_unlikely(c->pace_rate) && n > 0)
            tcp_pace_sent(w, c, (uint32_t)n);
        left -= n;
        /* What is left of the budget cuts no packet: a small one costs nearly what a super-frame does. It is over when it is nearer to what
         * was sent than to that and one more. */
    } while (n > 0 && !is_all && left >= c->gso_max / 2);
    c->flags &= ~TCP_F_PUSH_PARTIAL;
    if (c->sent)
        rto_ensure(w, c);
    if (n > 0 && !is_all) {
        tcp_busy_set(w, c, TCP_BUSY_SENDING);
        return TRANSPORT_TX_MORE;
    }
    c->has_sent_all = !room.unsent && !room.fin;
    tcp_busy_set(w, c, busy_by(w, c, &room));
    note_app_limited(c, &room);
    tx_blocked(w, c, &room);
    return TRANSPORT_TX_DONE;
}
