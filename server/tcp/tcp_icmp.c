/* tcp_icmp.c - ICMP errors about our segments: path MTU, soft and hard errors (RFC 9293 s3.9.2.2, RFC 5927, RFC 1191, RFC 8201) */
#include <errno.h>
#include "server/tcp/tcp_sent.h"

enum { TCP_MIN_MTU_V4 = 68, TCP_MIN_MTU_V6 = 1280 };

/* A smaller path: what is in flight was dropped for its size, not for congestion: sent again at once, cwnd stays. */
static void packet_too_big(struct worker *w, struct tcp_conn *c, uint32_t seq, uint32_t mtu)
{
    uint32_t floor = ip_addr_is_v4(&c->base.rmt.ip) ? TCP_MIN_MTU_V4 : TCP_MIN_MTU_V6;
    uint16_t mss = c->mss;

    if (mtu < floor)
        return;
    if (mtu >= c->path_mtu) { /* what is larger than that is a probe */
        tcp_pmtu_probe_too_big(w, c, seq, mtu);
        return;
    }
    tcp_count(w, TCP_C_pmtu_lowered);
    tcp_pmtu_lower(w, c, (uint16_t)mtu);
    if (!tcp_can_send(c) || c->mss >= mss || c->snd_una == c->snd_nxt)
        return;
    tcp_sent_mark_all_lost(c);
    c->flags |= TCP_F_RTX_FORCE;
    tcp_tx_request(w, c);
}

void tcp_icmp_error(struct worker *w, const struct transport_error *e)
{
    struct transport_conn *b = session_lookup(w, SVM_PROTO_TCP, &e->lcl, &e->rmt, e->fib);
    struct tcp_conn *c = b ? tcp_of_base(b) : NULL;
    be32 quoted;
    uint32_t seq;

    if (!c || c->state == TCP_S_TIME_WAIT || c->state == TCP_S_IDLE || c->state == TCP_S_WAITING || e->l4_len < 8) {
        tcp_count(w, TCP_C_icmp_ignored);
        return;
    }
    memcpy(&quoted, e->l4 + offsetof(struct tcp_hdr, seq), sizeof(quoted));
    seq = be32_get(quoted);
    if (!seq_geq(seq, c->snd_una) || !seq_lt(seq, c->snd_nxt)) { /* RFC 5927 s4.1: not in flight, so not about us */
        tcp_count(w, TCP_C_icmp_ignored);
        return;
    }
    if (hs_unlikely(c->lflags & TCP_LF_AUTH) && !tcp_auth_believes_icmp(w, c, e->hard, e->mtu)) {
        tcp_count(w, TCP_C_icmp_unsigned);
        return;
    }
    if (e->mtu) {
        packet_too_big(w, c, seq, e->mtu);
        return;
    }
    /* RFC 5927 s5.2: hard errors end an attempt, never a synchronized connection; soft ones are remembered (MUST-56). */
    if (e->hard && (c->state == TCP_S_SYN_SENT || (c->state == TCP_S_SYN_RCVD && !(c->flags & TCP_F_PASSIVE)))) {
        tcp_conn_abort(w, c, e->err, false);
        return;
    }
    c->soft_error = (int16_t)e->err;
    c->has_trouble = true;
    if (b->session && tcp_is_synchronized(c) && c->state != TCP_S_SYN_RCVD)
        session_soft_error(w, b->session, e->err);
}
