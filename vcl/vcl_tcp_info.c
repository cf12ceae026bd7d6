/* vcl_tcp_info.c - getsockopt(TCP_INFO): the kernel's struct from what the server tells */
#include "vcl/vcl_internal.h"

#include <linux/tcp.h>
#include <string.h>

enum { LOCAL_MSS = 65483, STATE_ESTABLISHED = 1, STATE_CLOSE = 7, STATE_LISTEN = 10 };

/* A cut-through connection has no segments: a state and plain numbers. */
static void fill_local(struct vcl_socket *s, struct tcp_info *ti)
{
    uint8_t state = vcl_stream_is_over(s) ? VCL_DEAD : vcl_state(s);

    ti->tcpi_state = state == VCL_CONNECTED ? STATE_ESTABLISHED : state == VCL_LISTENING ? STATE_LISTEN : STATE_CLOSE;
    ti->tcpi_snd_mss = ti->tcpi_rcv_mss = ti->tcpi_advmss = LOCAL_MSS;
    ti->tcpi_rto = 200000;
    ti->tcpi_snd_cwnd = s->local ? s->tx.max_size / LOCAL_MSS + 1 : 10;
    ti->tcpi_snd_ssthresh = 0x7fffffff;
    ti->tcpi_pmtu = 65535;
    ti->tcpi_reordering = 3;
}

static bool ask(struct vcl_socket *s, uint8_t attr, void *out, size_t n)
{
    return vcl_attr_ask(s, attr, NULL, 0, out, (uint32_t)n) == 0;
}

static void fill_first(const struct svm_tcp_info *in, struct tcp_info *ti)
{
    ti->tcpi_state = in->state ? in->state : STATE_ESTABLISHED;
    ti->tcpi_ca_state = in->ca_state;
    ti->tcpi_retransmits = in->retransmits;
    ti->tcpi_probes = in->probes;
    ti->tcpi_backoff = in->backoff;
    ti->tcpi_options = in->options;
    ti->tcpi_snd_wscale = in->snd_wscale & 15;
    ti->tcpi_rcv_wscale = in->rcv_wscale & 15;
    ti->tcpi_rto = in->rto_us;
    ti->tcpi_snd_mss = in->snd_mss;
    ti->tcpi_rcv_mss = in->rcv_mss;
    ti->tcpi_rtt = in->rtt_us;
    ti->tcpi_rttvar = in->rttvar_us;
    ti->tcpi_snd_ssthresh = in->snd_ssthresh;
    ti->tcpi_snd_cwnd = in->snd_cwnd;
    ti->tcpi_total_retrans = in->total_retrans;
}

static void fill_second(const struct svm_tcp_info2 *in, struct tcp_info *ti)
{
    ti->tcpi_unacked = in->unacked;
    ti->tcpi_sacked = in->sacked;
    ti->tcpi_lost = in->lost;
    ti->tcpi_retrans = in->retrans;
    ti->tcpi_last_data_sent = in->last_data_sent_ms;
    ti->tcpi_last_ack_recv = in->last_recv_ms;
    ti->tcpi_pmtu = in->pmtu;
    ti->tcpi_advmss = in->advmss;
    ti->tcpi_rcv_ssthresh = ti->tcpi_rcv_space = in->rcv_wnd;
    ti->tcpi_notsent_bytes = in->notsent;
    ti->tcpi_snd_wnd = in->snd_wnd;
}

static void fill_third(const struct svm_tcp_info3 *in, struct tcp_info *ti)
{
    ti->tcpi_bytes_acked = in->bytes_acked;
    ti->tcpi_bytes_received = in->bytes_received;
    ti->tcpi_pacing_rate = ti->tcpi_max_pacing_rate = in->pacing_rate;
    ti->tcpi_min_rtt = in->min_rtt_us ? in->min_rtt_us : ~0u; /* as Linux before the first */
    ti->tcpi_ato = in->ato_us;
    ti->tcpi_reordering = in->reordering;
}

static void fill_fourth(const struct svm_tcp_info4 *in, struct tcp_info *ti)
{
    ti->tcpi_segs_in = in->segs_in;
    ti->tcpi_segs_out = in->segs_out;
    ti->tcpi_data_segs_in = in->data_segs_in;
    ti->tcpi_data_segs_out = in->data_segs_out;
}

static void fill_fifth(const struct svm_tcp_info5 *in, struct tcp_info *ti)
{
    ti->tcpi_bytes_sent = in->bytes_sent;
    ti->tcpi_bytes_retrans = in->bytes_retrans;
    ti->tcpi_delivery_rate = in->delivery_rate;
    ti->tcpi_delivered = in->delivered;
    ti->tcpi_delivered_ce = in->delivered_ce;
    ti->tcpi_dsack_dups = in->dsack_dups;
    ti->tcpi_reord_seen = in->reord_seen;
}

static void fill_sixth(const struct svm_tcp_info6 *in, struct tcp_info *ti)
{
    ti->tcpi_busy_time = in->busy_ms * 1000ull;
    ti->tcpi_rwnd_limited = in->rwnd_limited_ms * 1000ull;
    ti->tcpi_sndbuf_limited = in->sndbuf_limited_ms * 1000ull;
    ti->tcpi_rcv_ooopack = in->rcv_ooopack;
    ti->tcpi_last_data_recv = in->last_data_recv_ms;
    ti->tcpi_delivery_rate_app_limited = in->rate_app_limited & 1;
}

/* What is asked for counts: a short buffer, as of programs with the older struct, costs no further question. */
int vcl_tcp_info(struct vcl_socket *s, void *val, socklen_t *len)
{
    struct tcp_info ti;
    struct svm_tcp_info first;
    struct svm_tcp_info2 second;
    struct svm_tcp_info3 third;
    struct svm_tcp_info4 fourth;
    struct svm_tcp_info5 fifth;
    struct svm_tcp_info6 sixth;

    memset(&ti, 0, sizeof(ti));
    if (s->local || vcl_state(s) != VCL_CONNECTED) {
        fill_local(s, &ti);
    } else {
        ti.tcpi_state = STATE_ESTABLISHED;
        if (ask(s, SVM_ATTR_TCP_INFO, &first, sizeof(first)))
            fill_first(&first, &ti);
        if (*len > offsetof(struct tcp_info, tcpi_unacked) && ask(s, SVM_ATTR_TCP_INFO2, &second, sizeof(second)))
            fill_second(&second, &ti);
        if (*len > offsetof(struct tcp_info, tcpi_unacked) && ask(s, SVM_ATTR_TCP_INFO3, &third, sizeof(third)))
            fill_third(&third, &ti);
        if (*len > offsetof(struct tcp_info, tcpi_segs_out) && ask(s, SVM_ATTR_TCP_INFO4, &fourth, sizeof(fourth)))
            fill_fourth(&fourth, &ti);
        if (*len > offsetof(struct tcp_info, tcpi_last_data_recv) && ask(s, SVM_ATTR_TCP_INFO6, &sixth, sizeof(sixth)))
            fill_sixth(&sixth, &ti);
        if (*len > offsetof(struct tcp_info, tcpi_delivery_rate) && ask(s, SVM_ATTR_TCP_INFO5, &fifth, sizeof(fifth)))
            fill_fifth(&fifth, &ti);
    }
    if (*len > sizeof(ti))
        *len = sizeof(ti);
    memcpy(val, &ti, *len);
    return 0;
}
