/* sctp_deliver.c - messages and notifications into the receive FIFO, in the order in which they became due; what does not fit waits */
#include "server/sctp/sctp_internal.h"

#include <errno.h>
#include <stdlib.h>

enum { PIECES = 64, PAD = 8, RING_FLOOR = 256 << 10 };
/* What waits counts with what it takes besides its bytes: a peer may send single ones. */
enum { READY_COST = sizeof(struct sctp_ready) + 16, FRAG_COST = sizeof(struct sctp_frag) };

static const uint8_t zeros[PAD];

static void record_fill(const struct sctp_assoc *a, struct svm_sctp_record *r, const struct svm_sctp_info *info)
{
    memset(r, 0, sizeof(*r));
    r->h.version = 1;
    r->h.hdr_len = sizeof(*r);
    if (a) {
        r->h.lcl_ip = a->base.lcl.ip;
        r->h.lcl_port = a->base.lcl.port;
        r->h.rmt_ip = a->last_from ? a->last_from->ip : a->base.rmt.ip;
        r->h.rmt_port = a->base.rmt.port;
    }
    r->tlv = (struct svm_dgram_tlv){ .type = SVM_TLV_SCTP, .len = sizeof(*info) };
    r->info = *info;
}

/* One record; -ENOBUFS: it does not fit now. */
static int put(struct worker *w, struct session *s, struct svm_sctp_record *r, struct iovec *iov, int n, uint32_t len, bool is_more)
{
    r->h.data_len = len;
    r->h.flags = is_more ? SVM_DGRAM_MORE : 0;
    iov[0] = (struct iovec){ r, sizeof(*r) };
    if (len % PAD)
        iov[n++] = (struct iovec){ (void *)zeros, PAD - len % PAD };
    if (hs_likely(s->has_fifos)) /* what the window promised must fit behind what is unread */
        svm_fifo_prod_set_floor(&s->fifos->rx, hs_min_u32(RING_FLOOR, session_rx_max(s)));
    return session_rx_enqueue_record(w, s, iov, n);
}

static uint32_t record_max(const struct session *s)
{
    return hs_min_u32(SVM_SCTP_RECORD_MAX, session_rx_max(s) / 4);
}

/* As much of the head of the queue as fits; true: it has gone whole. */
static bool flush_one(struct worker *w, struct sctp_ep *ep, struct sctp_ready *r)
{
    struct iovec iov[PIECES + 2];
    uint32_t max = record_max(ep->s);

    if (r->rec.info.flags & SCTP_NOTIFICATION) {
        iov[1] = (struct iovec){ r->note, r->bytes };
        if (put(w, ep->s, &r->rec, iov, 2, r->bytes, false) != 0)
            return false;
        ep->ready_bytes -= r->bytes;
        return true;
    }
    while (r->frags) {
        struct sctp_frag *f = r->frags;
        uint32_t len = 0, skip = r->taken;
        int n = 1;
        for (; f && n < PIECES && len < max; f = f->next) {
            uint32_t take = hs_min_u32(f->len - skip, max - len);
            iov[n++] = (struct iovec){ f->data + skip, take };
            len += take;
            if (take < f->len - skip)
                break;
            skip = 0;
        }
        bool all = !f;
        if (put(w, ep->s, &r->rec, iov, n, len, !all || r->is_more) != 0)
            return false;
        ep->ready_bytes -= len;
        r->bytes -= len;
        while (len) {
            f = r->frags;
            uint32_t left = f->len - r->taken;
            if (len < left) {
                r->taken += len;
                break;
            }
            len -= left;
            r->taken = 0;
            r->frags = f->next;
            ep->ready_bytes -= FRAG_COST;
            free(f);
        }
    }
    return true;
}

static void want_space(struct worker *w, struct sctp_ep *ep)
{
    uint32_t bytes = hs_min_u32(ep->ready->bytes, record_max(ep->s)) + (uint32_t)sizeof(struct svm_sctp_record) + 2 * PAD;

    session_rx_want_space(w, ep->s, bytes);
}

void sctp_deliver_flush(struct worker *w, struct sctp_ep *ep)
{
    if (!ep->s->has_fifos)
        return;
    while (ep->ready) {
        struct sctp_ready *r = ep->ready;
        if (!flush_one(w, ep, r)) {
            want_space(w, ep);
            return;
        }
        ep->ready = r->next;
        if (!ep->ready)
            ep->ready_tail = &ep->ready;
        ep->ready_bytes -= READY_COST;
        free(r);
    }
}

static void ready_add(struct sctp_ep *ep, struct sctp_ready *r)
{
    r->next = NULL;
    *ep->ready_tail = r;
    ep->ready_tail = &r->next;
    ep->ready_bytes += r->bytes + READY_COST;
    for (const struct sctp_frag *f = r->frags; f; f = f->next)
        ep->ready_bytes += FRAG_COST;
}

/* frags (taken over) or data: one message, or with is_more the next part of one. */
void sctp_deliver(struct worker *w, struct sctp_assoc *a, const struct svm_sctp_info *info, struct sctp_frag *frags, const void *data,
                  uint32_t len, bool is_more)
{
    struct sctp_ep *ep = a->ep;
    struct svm_sctp_record rec;
    struct sctp_ready *r;

    ep->has_unread = true;
    record_fill(a, &rec, info);
    if (!frags && !ep->ready && ep->s->has_fifos && len <= record_max(ep->s)) {
        struct iovec iov[3] = { [1] = { (void *)data, len } };
        if (put(w, ep->s, &rec, iov, 2, len, is_more) == 0)
            return;
    }
    if (!frags) {
        frags = malloc(sizeof(*frags) + len);
        if (frags) {
            *frags = (struct sctp_frag){ .len = (uint16_t)len };
            memcpy(frags->data, data, len);
        }
    }
    r = frags ? malloc(sizeof(*r)) : NULL;
    if (!r) { /* acknowledged, and cannot be kept: the association does not go on as if nothing were */
        while (frags) {
            struct sctp_frag *next = frags->next;
            free(frags);
            frags = next;
        }
        a->dead = true;
        return;
    }
    *r = (struct sctp_ready){ .rec = rec, .frags = frags, .bytes = len, .is_more = is_more };
    bool first = !ep->ready;
    ready_add(ep, r);
    if (first)
        sctp_deliver_flush(w, ep);
}

void sctp_deliver_note(struct worker *w, struct sctp_ep *ep, uint32_t assoc_id, const void *note, uint32_t len, const void *data,
                       uint32_t data_len)
{
    struct svm_sctp_info info = { .flags = SCTP_NOTIFICATION, .assoc_id = assoc_id };
    struct sctp_assoc *a = sctp_assoc_by_id(w, assoc_id);
    struct sctp_ready *r;

    if (ep->ready_bytes > 4 * session_rx_max(ep->s) + 2 * SCTP_UNSENT_MAX) /* a program that never reads */
        return;
    r = calloc(1, sizeof(*r) + len + data_len);
    if (!r)
        return;
    record_fill(a, &r->rec, &info);
    r->bytes = len + data_len;
    memcpy(r->note, note, len);
    if (data_len)
        memcpy(r->note + len, data, data_len);
    ready_add(ep, r);
    sctp_deliver_flush(w, ep);
}
