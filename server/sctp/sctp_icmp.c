/* sctp_icmp.c - ICMP errors about packets of ours (RFC 9260 s10) */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <linux/errqueue.h>
#include "server/ip/pmtu.h"

enum { ICMP6_PARAM = 4, ICMP6_NEXT_HEADER = 1 };

/* s10 6 to 8: the quoted tag is the peer's; or 0, in an INIT with our own tag in it. */
static bool is_ours(const struct sctp_assoc *a, const uint8_t *l4, unsigned len)
{
    uint32_t tag = sctp_get32(l4 + 4);

    if (tag)
        return tag == a->peer_tag;
    return len >= 20 && l4[12] == SCTP_CT_INIT && sctp_get32(l4 + 16) == a->my_tag;
}

void sctp_icmp_error(struct worker *w, const struct transport_error *e)
{
    struct sctp_path *p = e->l4_len >= 8 ? sctp_find(w, &e->lcl, &e->rmt, e->fib) : NULL;
    struct sctp_assoc *a = p ? p->a : NULL;

    if (!a || !is_ours(a, e->l4, e->l4_len)) {
        sctp_count(w, SCTP_N_icmp_ignored);
        return;
    }
    if (e->err == -ECONNREFUSED && !p->udp_port) { /* 3: who has SCTP answers with an ABORT, never so; in UDP it is as 8 (RFC 6951 s5.6) */
        sctp_count(w, SCTP_N_icmp_ignored);
        return;
    }
    sctp_count(w, SCTP_N_icmp_errors);
    if (e->mtu) { /* s7.3 */
        uint16_t before = p->pmtu;
        pmtu_learn(w, e->fib, &e->rmt.ip, e->mtu);
        sctp_path_mtu_update(w, p);
        if (p->pmtu < before)
            for (struct sctp_tx *t = a->sent_head; t; t = t->next) { /* what was too large goes again at once, cut by IP */
                if (t->state != SCTP_TX_FLIGHT || t->path != p || sctp_chunk_cost(a, t) <= sctp_path_payload(p))
                    continue;
                t->state = SCTP_TX_MARKED;
                a->n_marked++;
                p->flight -= sctp_chunk_cost(a, t);
                a->flight -= t->len;
            }
        sctp_output(w, a);
        return;
    }
    bool no_header = e->origin == SO_EE_ORIGIN_ICMP6 && e->type == ICMP6_PARAM && e->code == ICMP6_NEXT_HEADER;
    if (no_header || e->err == -ENOPROTOOPT || e->err == -EPROTONOSUPPORT || e->err == -ECONNREFUSED) { /* 8: nobody there speaks SCTP: as an ABORT */
        if (sctp_get32(e->l4 + 4) == 0 && a->state != SCTP_S_COOKIE_WAIT) /* about an INIT that was answered elsewhere meanwhile */
            return;
        sctp_gone(w, a, -ECONNREFUSED, a->state < SCTP_S_ESTABLISHED ? SCTP_CANT_STR_ASSOC : SCTP_COMM_LOST, 0);
        return;
    }
    if (e->hard && a->state == SCTP_S_COOKIE_WAIT && a->n_paths == 1) {
        sctp_gone(w, a, e->err, SCTP_CANT_STR_ASSOC, 0);
        return;
    }
    /* 9: unreachable: the address may be marked so; heartbeats decide. */
    if (a->state >= SCTP_S_ESTABLISHED && e->hard && p->state == SCTP_PATH_ACTIVE && a->n_paths > 1 && !p->hb_pending)
        sctp_hb_now(w, p);
}
