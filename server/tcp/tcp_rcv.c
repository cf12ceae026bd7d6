/* tcp_rcv.c - the text and the FIN of an acceptable segment, the window, and when to acknowledge
 * (RFC 9293 s3.10.7.4 seventh and eighth, s3.8.6.2.2, RFC 5681 s4.2) */
#include <errno.h>
#include "server/tcp/tcp_wait.h"

/* ---- acknowledging ---- */

void tcp_rcv_ack_now(struct worker *w, struct tcp_conn *c)
{
    c->flags |= TCP_F_ACK_NOW;
    tcp_rcv_settle_later(w, c);
}

void tcp_rcv_settle_later(struct worker *w, struct tcp_conn *c)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    if (c->flags & TCP_F_ON_ACK_LIST)
        return;
    c->flags |= TCP_F_ON_ACK_LIST;
    c->ack_next = tw->ack_list;
    tw->ack_list = c;
}

void tcp_rcv_ack_later(struct worker *w, struct tcp_conn *c)
{
    if (c->flags & TCP_F_QUICKACK) {
        tcp_rcv_ack_now(w, c);
        return;
    }
    c->flags |= TCP_F_ACK_DELAYED;
    tcp_delack_start(w, c);
}

/* One ACK a connection and batch (MUST-58). What has come to TIME-WAIT without a timer is nobody's by now. */
void tcp_rcv_flush_acks(struct worker *w)
{
    struct tcp_worker *tw = tcp_worker_of(w);

    while (tw->ack_list) {
        struct tcp_conn *c = tw->ack_list;

        tw->ack_list = c->ack_next;
        c->flags &= ~TCP_F_ON_ACK_LIST;
        if (c->flags & TCP_F_ACK_NOW)
            tcp_send_ack(w, c);
        if (c->state == TCP_S_TIME_WAIT && !timer_is_running(&c->t_misc))
            tcp_wait_begin(w, c);
    }
}

/* ---- window ---- */

/* The window to advertise. Its right edge never moves left, and moves right only by a useful amount (RFC 9293 s3.8.6.2.2,
 * MUST-39): a segment or half of the buffer. */
uint32_t tcp_rcv_window(struct worker *w, struct tcp_conn *c)
{
    struct session *s = c->base.session;
    uint32_t old = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0, space, max, step;
    uint32_t limit = (uint32_t)UINT16_MAX << c->rcv_wscale, room;

    if (!s || (c->flags & TCP_F_RCV_FIN && c->rcv_nxt == c->rcv_fin_seq + 1))
        return hs_min_u32(old, limit);
    max = hs_min_u32(session_rx_limit(s), limit);
    step = hs_min_u32(max / 2, c->rcv_mss ? c->rcv_mss : c->adv_mss);
    if (session_rx_is_steady(s, old, step)) /* a short exchange: the program's lines need not come here for that */
        return hs_min_u32(old, limit);
    room = session_rx_room(w, s);
    space = hs_min_u32(session_rx_window(w, s), limit);
    if (c->state == TCP_S_SYN_SENT || c->state == TCP_S_SYN_RCVD)
        space = hs_min_u32(space, UINT16_MAX); /* the SYN's window is not scaled: promise no more than it says */
    else
        space = space >> c->rcv_wscale << c->rcv_wscale; /* what the field can say */
    if (space >= old + step) {
        old = space;
        c->rcv_adv = c->rcv_nxt + space;
    }
    if (old < max / 4 && room < max / 2) { /* the program is behind: hear when it has caught up */
        c->flags |= TCP_F_WANT_SPACE;
        session_rx_want_space(w, s, max / 2);
    }
    return hs_min_u32(old, limit);
}

/* The program has made room. */
void tcp_rx_space(struct worker *w, struct transport_conn *b)
{
    struct tcp_conn *c = tcp_of_base(b);
    uint32_t before;

    if (c->state == TCP_S_IDLE) /* it did not ask: its window is open */
        return;
    before = c->rcv_adv;
    c->flags &= ~TCP_F_WANT_SPACE;
    if (!tcp_can_receive(c))
        return;
    tcp_rcv_window(w, c);
    if (c->rcv_adv != before)
        tcp_send_ack(w, c);
}

/* ---- text ---- */

enum { TCP_MODEST_WINDOW = 64 << 10, TCP_NEAR_US = 1000, TCP_TS_FLOOR_LOG2 = 29 };

/* Dynamic right-sizing: the window is modest at first (session_rx_window()). Half of it in a round trip, read by the program or not, and
 * it may be what holds the peer back: from then on it is all that the FIFO can grow to, or its share (session_share.c). */
static void measure_rate(struct worker *w, struct tcp_conn *c)
{
    uint32_t now_us = (uint32_t)w->now_us, rtt_us = c->srtt_us ? c->srtt_us : c->rto_us;

    if (now_us - c->rcv_mark_us <= rtt_us) {
        if (c->rcv_nxt - c->rcv_mark_seq < TCP_MODEST_WINDOW / 2)
            return;
        session_rx_is_stream(c->base.session);
    }
    session_rx_is_near(c->base.session, (c->min_rtt_us ? c->min_rtt_us : rtt_us) < TCP_NEAR_US);
    c->rcv_mark_seq = c->rcv_nxt;
    c->rcv_mark_us = now_us;
}

/* Every second full segment at least (SHLD-19); super-frames count for what they hold. */
static void ack_in_order(struct worker *w, struct tcp_conn *c, struct pkt *p, uint32_t len)
{
    uint32_t size = (pkt_meta(p)->flags & PKT_GSO) ? pkt_meta(p)->gso_size : len;

    if (size > c->rcv_mss && size <= (uint32_t)c->adv_mss - c->opt_len) /* longer: merged, its pieces are not known */
        c->rcv_mss = (uint16_t)size;
    /* A sender that begins grows its window by our ACKs: delaying them would cost it whole round trips. Once the program answers,
     * its answers carry them. */
    if (c->quick_acks && size >= c->rcv_mss && c->snd_nxt == c->iss + 1) {
        c->quick_acks--;
        tcp_rcv_ack_now(w, c);
        return;
    }
    if (c->rcv_nxt - c->last_ack_sent >= 2u * c->rcv_mss)
        tcp_rcv_ack_now(w, c);
    else
        tcp_rcv_ack_later(w, c);
}

/* c->ts_floor: whoever sends with a timestamp like that or a later one has sent the segment that TS.Recent was taken from. rcv_nxt is less than
 * 2^29 further by now, neither side's window is more than 2^30 (RFC 7323 s2.3): so the segment is of these 2^32 sequence numbers, not of
 * those before. */
static void rcv_nxt_passes(struct tcp_conn *c, uint32_t next)
{
    if (hs_unlikely((c->rcv_nxt ^ next) >> TCP_TS_FLOOR_LOG2)) {
        c->rcvd_wraps += next < c->rcv_nxt;
        c->ts_floor = c->ts_recent;
    }
    c->rcv_nxt = next;
}

/* One piece of a packet at sequence number seq. 0, or -errno if there is no room. */
static int enqueue_piece(struct worker *w, struct tcp_conn *c, uint32_t seq, const uint8_t *data, uint32_t len)
{
    int64_t n;

    if (seq_lt(seq, c->rcv_nxt)) { /* an earlier piece closed a hole and took this with it */
        uint32_t skip = c->rcv_nxt - seq;

        if (skip >= len)
            return 0;
        seq += skip;
        data += skip;
        len -= skip;
    }
    n = session_rx_enqueue(w, c->base.session, seq - c->rcv_nxt, data, len);
    if (n < 0)
        return (int)n;
    rcv_nxt_passes(c, c->rcv_nxt + (uint32_t)n);
    return 0;
}

/* Less room than was promised: the SYN,ACK goes out before the size of the FIFO is known, and memory may be short. Takes what
 * fits; the peer sends the rest again. */
static int enqueue_what_fits(struct worker *w, struct tcp_conn *c, uint32_t seq, const uint8_t *data, uint32_t len)
{
    uint32_t end = c->rcv_nxt + session_rx_space(w, c->base.session);

    tcp_count(w, TCP_C_rx_no_space);
    if (seq_lt(seq, end) && seq_gt(seq + len, end))
        (void)enqueue_piece(w, c, seq, data, end - seq);
    return -ENOBUFS;
}

static int enqueue_packet(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    struct rte_mbuf *m = pkt_mbuf(seg->p);
    uint32_t skip = seg->off, left = seg->len, seq = seg->seq;

    for (; m && left; m = m->next) {
        struct pkt *piece = pkt_of_mbuf(m);
        uint32_t n = pkt_first_len(piece);
        int rc;

        if (skip >= n) {
            skip -= n;
            continue;
        }
        n = hs_min_u32(n - skip, left);
        rc = enqueue_piece(w, c, seq, pkt_data(piece) + skip, n);
        if (rc != 0)
            return enqueue_what_fits(w, c, seq, pkt_data(piece) + skip, n);
        skip = 0;
        seq += n;
        left -= n;
    }
    return 0;
}

/* On this host, in a conversation: the program will most likely close, too, and our FIN acknowledges theirs (RFC 9293 s3.8.6.3). */
static bool answers_soon(const struct tcp_conn *c)
{
    return c->state == TCP_S_ESTABLISHED && (c->flags & TCP_F_LOCAL) && c->snd_nxt != c->iss + 1;
}

/* RFC 9293 s3.10.7.4 eighth: everything up to the FIN has come. */
static void fin_reached(struct worker *w, struct tcp_conn *c)
{
    c->rcv_nxt = c->rcv_fin_seq + 1;
    c->rcvd_wraps += c->rcv_nxt == 0;
    if (answers_soon(c))
        tcp_rcv_ack_later(w, c);
    else
        tcp_rcv_ack_now(w, c);
    if (c->base.session)
        session_rx_fin(w, c->base.session);
    switch (c->state) {
    case TCP_S_ESTABLISHED:
        tcp_set_state(w, c, TCP_S_CLOSE_WAIT);
        break;
    case TCP_S_FIN_WAIT_1: /* our FIN is not acknowledged yet, else it would be FIN-WAIT-2 */
        tcp_set_state(w, c, TCP_S_CLOSING);
        break;
    case TCP_S_FIN_WAIT_2:
        tcp_timewait_enter(w, c);
        break;
    default:
        break;
    }
}

/* Reports a segment that we have already, and cuts off what lies behind the FIN. */
static void rcv_duplicate(struct worker *w, struct tcp_conn *c, uint32_t start, uint32_t end)
{
    tcp_count(w, TCP_C_duplicates);
    c->flags |= TCP_F_DSACK;
    c->dsack_start = start;
    c->dsack_end = end;
    tcp_rcv_ack_now(w, c);
}

/* The segment begins at or after rcv_nxt and ends within the window (trimmed), or holds nothing. */
void tcp_rcv_text(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    bool had_hole, fin = seg->flags & TCP_FIN;
    uint32_t before = c->rcv_nxt, len = seg->len;

    if (!tcp_can_receive(c))
        return;
    if (fin && !(c->flags & TCP_F_RCV_FIN)) {
        c->flags |= TCP_F_RCV_FIN;
        c->rcv_fin_seq = seg->seq + seg->len;
    }
    if ((c->flags & TCP_F_RCV_FIN) && seq_gt(seg->seq + seg->len, c->rcv_fin_seq)) /* nothing follows a FIN */
        seg->len = seq_gt(c->rcv_fin_seq, seg->seq) ? c->rcv_fin_seq - seg->seq : 0;
    if (seg->len && c->base.session) {
        struct session_ooo o;

        had_hole = session_rx_ooo(c->base.session, &o, 1) > 0;
        if (enqueue_packet(w, c, seg) != 0) {
            tcp_rcv_ack_now(w, c);
        } else if (c->rcv_nxt == before) { /* a hole before it: duplicate ACK, one for each segment (RFC 5681 s4.2) */
            tcp_count(w, TCP_C_out_of_order);
            c->n.rcv_ooopack += tcp_segments_of(len, pkt_meta(seg->p)->flags & PKT_GSO ? pkt_meta(seg->p)->gso_size : 0);
            tcp_send_ack(w, c);
        } else if (had_hole) { /* fills a hole: ACK at once, the sender waits for it */
            tcp_rcv_ack_now(w, c);
        } else {
            ack_in_order(w, c, seg->p, len);
        }
        if (c->rcv_adv - c->rcv_nxt <= TCP_MODEST_WINDOW && !(c->flags & TCP_F_RCV_FIN))
            measure_rate(w, c);
        if (hs_unlikely(c->flags & TCP_F_RCV_URG) && session_rx_urgent_came(w, c->base.session))
            c->flags &= ~TCP_F_RCV_URG;
    }
    if ((c->flags & TCP_F_RCV_FIN) && c->rcv_nxt == c->rcv_fin_seq)
        fin_reached(w, c);
    else if (fin && seg->len == 0)
        tcp_send_ack(w, c); /* a FIN beyond a hole: duplicate ACK */
}

/* Trims the segment to the window. True: acceptable (RFC 9293 s3.10.7.4 first, four cases); false: answer and drop. */
bool tcp_rcv_trim(struct worker *w, struct tcp_conn *c, struct tcp_seg *seg)
{
    uint32_t wnd = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0;
    uint32_t seg_len = seg->len + !!(seg->flags & TCP_SYN) + !!(seg->flags & TCP_FIN), end = seg->seq + seg_len;

    seg->had_data = seg->len != 0;
    if (!tcp_seq_acceptable(c->rcv_nxt, wnd, seg->seq, seg_len)) {
        if (seg_len && seq_leq(end, c->rcv_nxt) && seg->len)
            rcv_duplicate(w, c, seg->seq, seg->seq + seg->len);
        /* With a closed window its ACK still counts, if it begins where it should (s3.10.7.4: "special allowance"). So does a FIN without
         * text, as on Linux: it needs no room, and a window that nobody will open again must not keep the peer in LAST-ACK. */
        if (!(wnd == 0 && seg->seq == c->rcv_nxt))
            return false;
        if (seg->len == 0 && !(seg->flags & TCP_SYN))
            return true;
        seg->len = 0;
        seg->flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
        tcp_rcv_ack_now(w, c);
        return true;
    }
    if (seq_lt(seg->seq, c->rcv_nxt)) { /* the front we have */
        uint32_t skip = c->rcv_nxt - seg->seq;

        if (seg->flags & TCP_SYN)
            return true; /* judged by its sequence number, fourth step */
        if (skip > seg->len)
            skip = seg->len;
        if (skip)
            rcv_duplicate(w, c, seg->seq, seg->seq + skip);
        seg->seq += skip;
        seg->off += skip;
        seg->len -= skip;
    }
    if (seq_gt(seg->seq + seg->len, c->rcv_nxt + wnd)) { /* the end is beyond the window, and a FIN with it */
        seg->len = c->rcv_nxt + wnd - seg->seq;
        seg->flags &= (uint8_t)~(TCP_FIN | TCP_PSH);
        tcp_rcv_ack_now(w, c);
    }
    return true;
}
