/* sim_msg.c - SCTP messages and options of a program inside the test */
#include "tests/sim/sim_msg.h"

#include <errno.h>

int sim_msg_send(struct sim_sock *s, const struct svm_sctp_info *info, const void *data, uint32_t len, bool more)
{
    static const uint8_t zeros[8];
    struct svm_sctp_record r;
    struct iovec iov[3] = { { &r, sizeof(r) }, { (void *)data, len }, { (void *)zeros, (8 - len % 8) % 8 } };

    if (!s->mem || s->close_called)
        return -EBADF;
    if (s->is_reset)
        return s->reset_error;
    memset(&r, 0, sizeof(r));
    r.h = (struct svm_dgram_hdr){ .data_len = len, .hdr_len = sizeof(r), .version = 1, .flags = more ? SVM_DGRAM_MORE : 0 };
    r.tlv = (struct svm_dgram_tlv){ .type = SVM_TLV_SCTP, .len = sizeof(r.info) };
    r.info = *info;
    for (;;) {
        int rc = svm_fifo_enqueue_record(&s->tx, iov, 3);
        if (rc == 0 && svm_fifo_prod_event_due(&s->tx))
            session_tx_kick(sim_app_worker_of(s), s->session);
        if (rc != -EAGAIN || !svm_fifo_prod_want_space(&s->tx, (uint32_t)sizeof(r) + len + 8) || s->tx.failed)
            return rc;
    }
}

int64_t sim_msg_recv(struct sim_sock *s, struct svm_sctp_info *info, void *buf, uint32_t len, bool *more)
{
    struct svm_sctp_record r;

    if (!s->mem || s->close_called)
        return -EBADF;
    do {
        int64_t n = svm_fifo_peek(&s->rx, 0, &r, sizeof(r));
        if (n < 0)
            return n;
        if (n == 0) {
            if (svm_fifo_cons_is_fin(&s->rx) && sim_readable(s) == 0)
                return 0;
            if (svm_fifo_cons_rst(&s->rx) && sim_readable(s) == 0)
                return svm_fifo_cons_rst(&s->rx);
            continue;
        }
        if ((size_t)n < sizeof(r) || r.h.hdr_len != sizeof(r) || r.h.version != 1 || r.tlv.type != SVM_TLV_SCTP || r.h.data_len > len)
            return -EPROTO;
        if (r.h.data_len && svm_fifo_peek(&s->rx, r.h.hdr_len, buf, r.h.data_len) != r.h.data_len)
            return -EPROTO;
        int rc = svm_fifo_drop(&s->rx, r.h.hdr_len + ((r.h.data_len + 7) & ~7u));
        if (svm_fifo_cons_space_due(&s->rx))
            session_rx_space_kick(sim_app_worker_of(s), s->session);
        *info = r.info;
        *more = r.h.flags & SVM_DGRAM_MORE;
        return rc < 0 ? rc : (int64_t)r.h.data_len;
    } while (svm_fifo_cons_arm(&s->rx));
    return -EAGAIN;
}

static int put_parts(struct sim_sock *s, uint16_t opt, const uint8_t *val, uint32_t len)
{
    uint32_t off = 0;
    int rc;

    do {
        struct svm_sctp_opt_part p = { .opt = opt, .total = (uint16_t)len, .offset = (uint16_t)off,
                                       .len = (uint16_t)hs_min_u32(sizeof(p.bytes), len - off) };
        memcpy(p.bytes, val + off, p.len);
        rc = session_attr_set(sim_app_worker_of(s), s->session, SVM_ATTR_SCTP, &p, sizeof(p));
        off += p.len;
    } while (rc == 0 && off < len);
    return rc;
}

int sim_msg_option(struct sim_sock *s, bool set, uint16_t opt, void *val, uint32_t *len)
{
    uint32_t off = 0, total, n;
    int rc;

    if (set)
        return put_parts(s, opt, val, *len);
    rc = put_parts(s, opt | SVM_SCTP_OPT_INPUT, val, *len);
    if (rc != 0)
        return rc;
    do {
        struct svm_sctp_opt_part p = { .opt = opt, .total = (uint16_t)*len, .offset = (uint16_t)off };
        n = sizeof(p);
        rc = session_attr_get(sim_app_worker_of(s), s->session, SVM_ATTR_SCTP, &p, &n);
        if (rc != 0)
            return rc;
        total = p.total;
        memcpy((uint8_t *)val + off, p.bytes, p.len);
        off += p.len;
    } while (off < total);
    *len = total;
    return 0;
}
