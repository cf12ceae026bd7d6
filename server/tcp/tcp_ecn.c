/* tcp_ecn.c - explicit congestion notification (RFC 3168 s6.1): asked for in the SYN, CE echoed, ECE answered once a window */
#include "server/tcp/tcp_cc.h"
#include "server/tcp/tcp_sent.h"

enum { IP_ECN_MASK = 3, IP_ECT0 = 2, IP_CE = 3 };

/* s6.1.1: ECE and CWR in a SYN ask, ECE alone in a SYN,ACK agrees. A SYN that is sent again does not ask any more
 * (s6.1.1.1): something on the path may have dropped it for that. */
uint8_t tcp_ecn_syn_flags(struct worker *w, struct tcp_conn *c)
{
    if (c->state == TCP_S_SYN_RCVD)
        return c->lflags & TCP_LF_ECN ? TCP_ECE : 0;
    if (tcp_worker_of(w)->cfg.ecn != TCP_ECN_ON || (c->flags & TCP_F_SYN_RTX)) {
        c->has_asked_ecn = false;
        return 0;
    }
    c->has_asked_ecn = true;
    return TCP_ECE | TCP_CWR;
}

/* A SYN that asks for more accurate feedback (RFC 9768 s3.1.2) asks for this too; the answer tells it which. */
void tcp_ecn_syn_received(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    uint8_t ecn = seg->flags & (TCP_ECE | TCP_CWR);

    if (!(seg->flags & TCP_SYN))
        return; /* the ACK of a SYN cookie: it cannot say */
    if (seg->flags & TCP_ACK ? c->has_asked_ecn && ecn == TCP_ECE
                             : c->state != TCP_S_SYN_SENT && ecn == (TCP_ECE | TCP_CWR) && tcp_worker_of(w)->cfg.ecn != TCP_ECN_OFF) {
        c->lflags |= TCP_LF_ECN;
        tcp_count(w, TCP_C_ecn_connections);
    }
}

/* s6.1.3: CE is echoed in every ACK until the peer says CWR. */
void tcp_ecn_received(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    if (!seg->had_data)
        return;
    if (seg->flags & TCP_CWR)
        c->lflags &= (uint8_t)~TCP_LF_ECE;
    if ((pkt_meta(seg->p)->tos & IP_ECN_MASK) != IP_CE)
        return;
    tcp_count(w, TCP_C_ecn_ce_in);
    if (c->lflags & TCP_LF_ECE)
        return;
    c->lflags |= TCP_LF_ECE;
    tcp_rcv_ack_now(w, c); /* the sender wants to know soon */
}

/* s6.1.2: like a loss, but nothing is to be sent again; once for a window of data. */
void tcp_ecn_echoed(struct worker *w, struct tcp_conn *c)
{
    if (c->ca_state >= TCP_CA_CWR)
        return;
    tcp_count(w, TCP_C_ecn_reductions);
    tcp_cwr_enter(w, c);
    c->lflags |= TCP_LF_CWR;
}

/* Data that is sent for the first time may be marked; nothing else may (s6.1.4 to s6.1.6). */
uint8_t tcp_ecn_tos(struct tcp_conn *c, bool is_new_data, uint8_t *flags)
{
    if (c->lflags & TCP_LF_ECE)
        *flags |= TCP_ECE;
    if (!is_new_data)
        return 0;
    if (c->lflags & TCP_LF_CWR) {
        *flags |= TCP_CWR;
        c->lflags &= (uint8_t)~TCP_LF_CWR;
    }
    return IP_ECT0;
}
