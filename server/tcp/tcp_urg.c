/* tcp_urg.c - urgent data: the pointer both ways (RFC 9293 s3.8.5, RFC 6093, MUST-30 to MUST-33, MUST-62)
 *
 * Which byte is urgent stands in the FIFOs (svm/svm_urgent.h), so nothing is kept here but two flags. The pointer is that of the byte after
 * the urgent one, as RFC 6093 s4 settles it and every peer has it. */
#include "server/tcp/tcp_internal.h"

void tcp_urg_input(struct worker *w, struct tcp_conn *c, const struct tcp_seg *seg)
{
    const struct tcp_hdr *h = (const struct tcp_hdr *)(const void *)pkt_data(seg->p); /* seg->seq may be trimmed already */
    uint16_t pointer = be16_get(h->urgent);
    uint32_t up = be32_get(h->seq) + pointer - (pointer != 0);

    if (!tcp_can_receive(c) || !c->base.session || seq_lt(up, c->rcv_nxt))
        return; /* told before */
    if (((c->flags & TCP_F_RCV_FIN) && seq_geq(up, c->rcv_fin_seq)) || ((seg->flags & TCP_FIN) && seq_geq(up, seg->seq + seg->len)))
        return; /* no byte of the stream */
    tcp_count(w, TCP_C_urgent_in);
    session_rx_urgent(w, c->base.session, up - c->rcv_nxt, c->flags & TCP_F_RCV_URG);
    c->flags |= TCP_F_RCV_URG;
}

/* A port that cuts super-frames would repeat the pointer in each segment: none are made until it is over. */
void tcp_urg_begin(struct worker *w, struct tcp_conn *c)
{
    if (c->flags & TCP_F_SND_URG)
        return;
    tcp_count(w, TCP_C_urgent_out);
    c->flags |= TCP_F_SND_URG;
    c->gso_max = c->mss;
}

uint16_t tcp_urg_pointer(struct worker *w, struct tcp_conn *c, uint32_t seq)
{
    uint32_t end, up;

    if (!c->base.session || !session_tx_urgent(c->base.session, &end)) {
        c->flags &= ~TCP_F_SND_URG;
        tcp_conn_path_update(w, c);
        return 0;
    }
    up = c->data_una + end;
    if (!seq_lt(seq, up))
        return 0;
    /* Further away than the field can say: that there is something, as long as this is about the newest data. */
    return up - seq <= UINT16_MAX ? (uint16_t)(up - seq) : seq_gt(seq + UINT16_MAX, c->snd_nxt) ? UINT16_MAX : 0;
}
