/* sctp_ecn.c - congestion that routers mark: the receiver echoes it until the sender says that it has heard (RFC 4960 App. A) */
#include "server/sctp/sctp_internal.h"

enum { ECN_LEN = 8 };

/* After a packet with data: was it marked? Its lowest TSN is told of, and the oldest mark that was not answered. */
void sctp_ecn_seen(struct sctp_assoc *a, const struct sctp_in *in)
{
    if (!in->is_ce || !sctp_has(a, SCTP_F_ECN))
        return;
    if (!a->ecn_echo)
        a->ecn_lowest = in->first_tsn;
    a->ecn_echo = true;
    a->sack_now = true;
}

/* With each SACK, until CWR comes; a packet without room for it has a SACK behind it. */
void sctp_ecne_put(struct sctp_assoc *a, struct sctp_out *o)
{
    uint8_t *b = a->ecn_echo ? sctp_out_chunk(o, SCTP_CT_ECNE, 0, ECN_LEN) : NULL;

    if (b)
        sctp_put32(b + 4, a->ecn_lowest);
}

static struct sctp_path *path_of_tsn(const struct sctp_assoc *a, const struct sctp_in *in, uint32_t tsn)
{
    for (const struct sctp_tx *t = a->sent_head; t && seq_leq(t->tsn, tsn); t = t->next)
        if (t->tsn == tsn && t->path)
            return t->path;
    return in->path;
}

void sctp_ecne_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    uint32_t tsn = sctp_get32(c->b + 4);
    struct sctp_path *p;
    uint8_t b[4];

    if (in->has_ecne || seq_geq(tsn, a->next_tsn)) {
        sctp_count(w, SCTP_N_drop_state);
        return;
    }
    in->has_ecne = true;
    p = path_of_tsn(a, in, tsn);
    if (!p->ecn_cut || seq_gt(tsn, p->ecn_tsn)) { /* once a window, as for a loss */
        sctp_path_cc_mark(p);
        p->ecn_cut = true;
        p->ecn_tsn = a->next_tsn - 1;
        sctp_count(w, SCTP_N_ecn_reductions);
    }
    sctp_put32(b, tsn);
    sctp_reply(w, a, in, SCTP_CT_CWR, b, sizeof(b));
}

void sctp_cwr_input(struct worker *w, struct sctp_assoc *a, struct sctp_in *in, const struct sctp_chunk *c)
{
    (void)w;
    (void)in;
    if (a->ecn_echo && seq_geq(sctp_get32(c->b + 4), a->ecn_lowest))
        a->ecn_echo = false;
}
