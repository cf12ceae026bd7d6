/* tcp_info.c - what TCP_INFO tells of a connection, by Linux's meaning of each field, and what is counted for nothing else */
#include <errno.h>
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_sent.h"

/* ---- counted ---- */

/* By the millisecond clock, as Linux does by its jiffies: spans below its tick count when it ticks within them, which is right on average. */
static void busy_add(uint32_t now_ms, const struct tcp_conn *c, uint32_t *busy, uint32_t *rwnd, uint32_t *sndbuf)
{
    uint32_t *to[] = { [TCP_BUSY_SENDING] = busy, [TCP_BUSY_RWND] = rwnd, [TCP_BUSY_SNDBUF] = sndbuf };

    if (c->busy != TCP_BUSY_NOT)
        *to[c->busy] += now_ms - c->busy_since_ms;
}

void tcp_busy_set(struct worker *w, struct tcp_conn *c, enum tcp_busy busy)
{
    if (hs_likely(c->busy == busy))
        return;
    busy_add(tcp_now_ms(w), c, &c->busy_ms, &c->n.rwnd_ms, &c->n.sndbuf_ms);
    c->busy_since_ms = tcp_now_ms(w);
    c->busy = busy & 15;
}

static uint32_t segments(const struct tcp_conn *c, uint32_t bytes)
{
    return c->mss ? (bytes + c->mss - 1) / c->mss : 0;
}

void tcp_count_delivered_ce(struct tcp_conn *c, uint32_t bytes) { c->n.delivered_ce += segments(c, bytes); }

/* ---- told ---- */

static void fill_first(const struct tcp_conn *c, struct svm_tcp_info *ti)
{
    enum { OPT_TIMESTAMPS = 1, OPT_SACK = 2, OPT_WSCALE = 4, OPT_ECN = 8, OPT_SYN_DATA = 32 }; /* TCPI_OPT_* of Linux */

    *ti = (struct svm_tcp_info){
        .state = c->state == TCP_S_FREE ? TCP_S_CLOSED : c->state,
        .ca_state = c->ca_state,
        .retransmits = c->retransmits,
        .backoff = c->backoff,
        .probes = c->rexmt_mode == TCP_REXMT_PERSIST ? c->retransmits : c->keep_probes,
        .snd_wscale = c->snd_wscale,
        .rcv_wscale = c->rcv_wscale,
        .options = (uint8_t)((c->flags & TCP_F_TS ? OPT_TIMESTAMPS : 0) | (c->flags & TCP_F_SACK ? OPT_SACK : 0) |
                             (c->flags & TCP_F_WSCALE ? OPT_WSCALE : 0) | (c->lflags & TCP_LF_ECN ? OPT_ECN : 0) |
                             (c->flags & TCP_F_FASTOPEN ? OPT_SYN_DATA : 0)),
        .rto_us = c->rto_us,
        .snd_mss = c->mss,
        .rcv_mss = c->rcv_mss,
        .rtt_us = c->srtt_us,
        .rttvar_us = c->rttvar_us,
        .snd_ssthresh = c->mss && c->ssthresh != UINT32_MAX ? c->ssthresh / c->mss : 0x7fffffff, /* segments, as Linux */
        .snd_cwnd = c->mss ? c->cwnd / c->mss : 0,
        .total_retrans = c->total_retrans,
    };
}

static void fill_second(struct worker *w, const struct tcp_conn *c, struct svm_tcp_info2 *ti)
{
    uint32_t now_ms = tcp_now_ms(w), avail = c->base.session ? session_tx_avail(w, c->base.session) : 0;
    uint32_t sent = c->snd_nxt - c->data_una;

    *ti = (struct svm_tcp_info2){
        .unacked = segments(c, c->snd_nxt - c->snd_una),
        .sacked = segments(c, c->sent ? c->sent->sacked + c->sent->reno_sacked : 0),
        .lost = segments(c, c->sent ? c->sent->lost : 0),
        .retrans = segments(c, tcp_sent_rtx_bytes(c)),
        .last_data_sent_ms = now_ms - c->snd_time_ms,
        .last_recv_ms = now_ms - c->rcv_time_ms,
        .pmtu = c->path_mtu,
        .advmss = c->adv_mss,
        .rcv_wnd = seq_gt(c->rcv_adv, c->rcv_nxt) ? c->rcv_adv - c->rcv_nxt : 0,
        .snd_wnd = c->snd_wnd,
        .notsent = avail > sent ? avail - sent : 0,
    };
}

/* Sequence numbers as 64-bit positions from behind the SYN; a FIN is no byte. */
static uint64_t bytes_until(uint32_t seq, uint16_t wraps, uint32_t first, bool fin_counted)
{
    uint64_t n = ((uint64_t)wraps << 32) + seq - first;

    return n - (fin_counted && n);
}

static void fill_third(struct worker *w, const struct tcp_conn *c, struct svm_tcp_info3 *ti)
{
    bool sync = tcp_is_synchronized(c) && c->state != TCP_S_SYN_RCVD;

    *ti = (struct svm_tcp_info3){
        .bytes_acked = sync ? bytes_until(c->snd_una, c->acked_wraps, c->iss + 1, (c->flags & TCP_F_FIN_SENT) &&
                                          c->snd_una == c->fin_seq + 1) : 0,
        .bytes_received = sync ? bytes_until(c->rcv_nxt, c->rcvd_wraps, c->irs + 1, (c->flags & TCP_F_RCV_FIN) &&
                                             c->rcv_nxt == c->rcv_fin_seq + 1) : 0,
        .pacing_rate = c->pace_rate ? (uint64_t)c->pace_rate * TCP_PACE_UNIT : UINT64_MAX,
        .min_rtt_us = c->min_rtt_us,
        .ato_us = tcp_worker_of(w)->cfg.delack_us,
        .reordering = 3,
    };
}

/* Each segment is delivered once, however often it was sent; and so is the SYN. */
static uint32_t delivered(const struct tcp_conn *c)
{
    uint32_t missing = c->snd_nxt - c->snd_una;

    if (c->sent)
        missing -= hs_min_u32(c->sent->sacked + c->sent->reno_sacked, missing);
    return tcp_is_synchronized(c) && c->state != TCP_S_SYN_RCVD ? 1 + c->data_segs_out - c->total_retrans - segments(c, missing) : 0;
}

static void fill_fifth(const struct tcp_conn *c, struct svm_tcp_info5 *ti)
{
    bool sync = tcp_is_synchronized(c) && c->state != TCP_S_SYN_RCVD;
    uint16_t wraps = (uint16_t)(c->acked_wraps + (c->snd_nxt < c->snd_una));

    *ti = (struct svm_tcp_info5){
        .bytes_sent = sync ? bytes_until(c->snd_nxt, wraps, c->iss + 1, (c->flags & TCP_F_FIN_SENT) && c->snd_nxt == c->fin_seq + 1) +
                             c->n.bytes_retrans : 0,
        .bytes_retrans = c->n.bytes_retrans,
        .delivery_rate = (uint64_t)c->rate * TCP_PACE_UNIT,
        .delivered = delivered(c),
        .delivered_ce = c->n.delivered_ce,
        .dsack_dups = c->n.dsack_dups,
        .reord_seen = c->n.reord_seen,
    };
}

static void fill_sixth(struct worker *w, const struct tcp_conn *c, struct svm_tcp_info6 *ti)
{
    uint32_t sending = c->busy_ms, rwnd = c->n.rwnd_ms, sndbuf = c->n.sndbuf_ms;

    busy_add(tcp_now_ms(w), c, &sending, &rwnd, &sndbuf);
    *ti = (struct svm_tcp_info6){
        .busy_ms = sending + rwnd + sndbuf,
        .rwnd_limited_ms = rwnd,
        .sndbuf_limited_ms = sndbuf,
        .rcv_ooopack = c->n.rcv_ooopack,
        .last_data_recv_ms = tcp_now_ms(w) - c->data_time_ms,
        .rate_app_limited = c->rate_app_limited,
    };
}

int tcp_info_get(struct worker *w, const struct tcp_conn *c, uint8_t attr, void *val, uint32_t *len)
{
    union {
        struct svm_tcp_info first;
        struct svm_tcp_info2 second;
        struct svm_tcp_info3 third;
        struct svm_tcp_info4 fourth;
        struct svm_tcp_info5 fifth;
        struct svm_tcp_info6 sixth;
    } ti;
    uint32_t n;

    switch (attr) {
    case SVM_ATTR_TCP_INFO:
        fill_first(c, &ti.first);
        n = sizeof(ti.first);
        break;
    case SVM_ATTR_TCP_INFO2:
        fill_second(w, c, &ti.second);
        n = sizeof(ti.second);
        break;
    case SVM_ATTR_TCP_INFO4:
        ti.fourth = (struct svm_tcp_info4){ c->segs_in, c->segs_out, c->data_segs_in, c->data_segs_out };
        n = sizeof(ti.fourth);
        break;
    case SVM_ATTR_TCP_INFO5:
        fill_fifth(c, &ti.fifth);
        n = sizeof(ti.fifth);
        break;
    case SVM_ATTR_TCP_INFO6:
        fill_sixth(w, c, &ti.sixth);
        n = sizeof(ti.sixth);
        break;
    default:
        fill_third(w, c, &ti.third);
        n = sizeof(ti.third);
        break;
    }
    if (*len < n)
        return -EINVAL;
    memcpy(val, &ti, n);
    *len = n;
    return 0;
}
