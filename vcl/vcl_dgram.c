/* vcl_dgram.c - datagrams: one record a message in the FIFOs (svm_proto.h), addresses beside it */
#include <sys/epoll.h>
#include "svm/svm_dgram.h"
#include "vcl/vcl_internal.h"

enum { DGRAM_MAX = 65507, IOV_MAX_PIECES = 1024 };

static bool blocks(const struct vcl_socket *s, int flags)
{
    return !(flags & MSG_DONTWAIT) && !atomic_load_explicit(&s->nonblock, memory_order_relaxed);
}

/* Copies len bytes of payload at `at` of the FIFO into the pieces; returns the bytes copied. Socket lock held. */
static int64_t copy_payload(struct vcl_socket *s, uint32_t at, uint32_t len, const struct iovec *iov, int n_iov)
{
    uint32_t done = 0;

    for (int i = 0; i < n_iov && done < len; i++) {
        uint32_t part = (uint32_t)hs_min_u64(iov[i].iov_len, len - done);
        int64_t n = part ? svm_fifo_peek(&s->rx, at + done, iov[i].iov_base, part) : 0;

        if (n < 0)
            return n;
        if ((uint32_t)n != part)
            return -EPROTO;
        done += part;
    }
    return done;
}

int vcl_dgram_peek_header(struct vcl_socket *s, uint32_t at, uint32_t avail, struct svm_dgram_hdr *h)
{
    int64_t n = svm_fifo_peek(&s->rx, at, h, sizeof(*h));

    if (n < 0)
        return (int)n;
    if (n < (int64_t)sizeof(*h) || h->version != 1 || h->hdr_len < sizeof(*h) || h->hdr_len % 8 || h->data_len > VCL_RECORD_MAX ||
        vcl_dgram_record_size(h) > avail - at)
        return -EPROTO;
    return 0;
}

/* TLVs that are not whole are none. */
void vcl_dgram_read_tlvs(struct vcl_socket *s, uint32_t at, const struct svm_dgram_hdr *h, struct vcl_dgram_tlvs *out)
{
    uint8_t b[SVM_DGRAM_TLVS_MAX];
    uint32_t len = hs_min_u32(h->hdr_len - (uint32_t)sizeof(*h), sizeof(b)), i = 0;

    *out = (struct vcl_dgram_tlvs){ 0 };
    if (len == 0 || svm_fifo_peek(&s->rx, at + (uint32_t)sizeof(*h), b, len) != (int64_t)len)
        return;
    while (i + 8 <= len) {
        struct svm_dgram_tlv t;
        memcpy(&t, b + i, sizeof(t));
        uint32_t whole = ((uint32_t)sizeof(t) + t.len + 7) & ~7u;
        const uint8_t *v = b + i + sizeof(t);
        if (t.type == 0 || whole > len - i)
            return;
        if (t.type == SVM_TLV_TOS && t.len == 1) {
            out->tos = *v;
        } else if (t.type == SVM_TLV_TTL && t.len == 1) {
            out->ttl = *v;
            out->has_ttl = true;
        } else if (t.type == SVM_TLV_GSO_SIZE && t.len == sizeof(out->gso_size)) {
            memcpy(&out->gso_size, v, sizeof(out->gso_size));
        } else if (t.type == SVM_TLV_STAMP && t.len == sizeof(out->stamp_ns)) {
            memcpy(&out->stamp_ns, v, sizeof(out->stamp_ns));
        } else if (t.type == SVM_TLV_ERROR && t.len == sizeof(out->error)) {
            memcpy(&out->error, v, sizeof(out->error));
            out->has_error = true;
        } else if (t.type == SVM_TLV_DEVICE && t.len == sizeof(out->device)) {
            memcpy(&out->device, v, sizeof(out->device));
        } else if (t.type == SVM_TLV_DROPS && t.len == sizeof(out->drops)) {
            memcpy(&out->drops, v, sizeof(out->drops));
        }
        i += whole;
    }
}

static void fill_info(struct vcl_socket *s, uint32_t at, const struct svm_dgram_hdr *h, struct vcl_msg_info *info)
{
    struct vcl_dgram_tlvs t;

    vcl_dgram_read_tlvs(s, at, h, &t);
    info->peer = (struct ip_endpoint){ h->rmt_ip, h->rmt_port };
    info->lcl = h->lcl_ip;
    info->has_peer = info->has_lcl = true;
    info->full_len = h->data_len;
    info->tos = t.tos;
    info->ttl = t.ttl;
    info->has_ttl = t.has_ttl;
    info->stamp_ns = t.stamp_ns;
    info->ifindex = t.device.index ? t.device.index : h->ifindex;
    info->drops = t.drops;
    info->own = t.device.own;
    info->gso_size = t.gso_size;
    info->has_gso = t.gso_size != 0;
}

/* One record, or -EAGAIN. Socket lock held. */
int64_t vcl_record_take(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info)
{
    struct svm_dgram_hdr h;
    uint32_t at = 0, skip = 0;
    int64_t avail, n;

    if (!s->has_fifos)
        return -EAGAIN;
    avail = svm_fifo_cons_avail(&s->rx);
    if (hs_unlikely(s->peeks_on) && flags & MSG_PEEK && avail >= 0)
        n = vcl_peek_record(s, (uint32_t)avail, &h, &at, &skip);
    else if (avail <= 0)
        return avail < 0 ? avail : -EAGAIN;
    else
        n = vcl_dgram_peek_header(s, 0, (uint32_t)avail, &h);
    if (n < 0)
        return n;
    if (hs_unlikely(h.flags & SVM_DGRAM_ERROR)) {
        n = vcl_errqueue_settle(s);
        return n < 0 ? n : vcl_record_take(s, iov, n_iov, flags, info);
    }
    n = copy_payload(s, at + h.hdr_len + skip, h.data_len - skip, iov, n_iov);
    if (n < 0)
        return n;
    if (info) {
        fill_info(s, at, &h, info);
        /* Linux: behind an offset also when the rest just fits */
        bool is_cut = skip ? (size_t)n == vcl_iov_len(iov, n_iov) : (uint32_t)n < h.data_len;
        info->flags = is_cut || h.flags & SVM_DGRAM_TRUNC ? MSG_TRUNC : 0;
    }
    if (!(flags & MSG_PEEK)) {
        int rc = svm_fifo_drop(&s->rx, vcl_dgram_record_size(&h));

        if (rc)
            return rc;
    }
    return flags & MSG_TRUNC ? (int64_t)h.data_len : n;
}

ssize_t vcl_dgram_recv(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, struct vcl_msg_info *info)
{
    struct vcl_deadline d = { 0 };
    bool has_deadline = false;

    if (info)
        *info = (struct vcl_msg_info){ 0 };
    for (;;) {
        int64_t n;
        bool space = false;
        int rc;

        rc = hs_unlikely(s->shared) ? vcl_socket_enter_soon(s) : 0;
        if (rc && rc != -EAGAIN)
            return rc;
        vcl_socket_lock(s);
        n = rc ? rc : vcl_record_take(s, iov, n_iov, flags, info);
        if (hs_unlikely(s->shared) && n >= 0 && vcl_claim_settle_rx(s, 1, flags & MSG_PEEK) == 0) {
            vcl_socket_unlock(s); /* another process has been given this one */
            continue;
        }
        if (n >= 0 && !(flags & MSG_PEEK))
            space = svm_fifo_cons_space_due(&s->rx);
        if (n >= 0 && hs_unlikely(s->peeks_on))
            vcl_peek_moved(s, n, flags);
        vcl_socket_unlock(s);
        vcl_socket_event_due(s, false, space);
        if (n >= 0) {
            if (atomic_load_explicit(&s->w->eager, memory_order_relaxed) && vcl_arm_read(s))
                vcl_socket_rearm(s);
            return (ssize_t)n;
        }
        if (n == -ENXIO) {
            pthread_mutex_lock(&s->w->lock);
            vcl_worker_att_input(s->w);
            pthread_mutex_unlock(&s->w->lock);
            continue;
        }
        if (n != -EAGAIN) {
            pthread_mutex_lock(&s->w->lock);
            vcl_socket_fail(s, -EIO);
            pthread_mutex_unlock(&s->w->lock);
            return -EIO;
        }
        rc = atomic_exchange(&s->error, 0);
        if (rc)
            return rc;
        if (!blocks(s, flags))
            return vcl_idle_turn(s);
        if (s->rd_shut) /* in this order, as Linux has it */
            return 0;
        rc = s->has_fifos || s->unclaimed ? 0 : vcl_bind_implicit(s); /* nothing can come before it has a port */
        if (rc)
            return rc;
        if (!has_deadline) {
            d = vcl_deadline_ns(s->opt.rcv_timeout_ns);
            has_deadline = true;
        }
        rc = vcl_wait_socket(s, hs_unlikely(s->peeks_on) && flags & MSG_PEEK ? vcl_ready_beyond : vcl_ready_read, &d);
        if (rc)
            return rc;
    }
}

/* What VCL_SEND_MORE has put off. */
void vcl_dgram_flush(struct vcl_socket *s)
{
    bool data;

    vcl_socket_lock(s);
    data = s->has_fifos && svm_fifo_prod_event_due(&s->tx);
    vcl_socket_unlock(s);
    vcl_socket_event_due(s, data, false);
}

static int put_record(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t len, int flags, uint32_t gso,
                      const struct vcl_msg_info *info)
{
    struct svm_dgram_rec rec;
    static const uint8_t zeros[8];
    struct iovec all[IOV_MAX_PIECES + 2];
    uint32_t pad = (8 - (len & 7)) & 7;
    int32_t device;

    if (!s->has_fifos)
        return s->unclaimed ? -EAGAIN : -ENETDOWN;
    rec.h = (struct svm_dgram_hdr){ .data_len = (uint32_t)len, .hdr_len = sizeof(rec.h), .version = 1 };
    rec.h.lcl_ip = info && info->has_lcl ? info->lcl : ip_addr_any(!s->is_v6);
    rec.h.rmt_ip = ip_addr_any(!s->is_v6);
    if (info && info->has_peer) {
        rec.h.rmt_ip = info->peer.ip;
        rec.h.rmt_port = info->peer.port;
    }
    if (info && info->has_tos)
        svm_dgram_put(&rec, SVM_TLV_TOS, &info->tos, sizeof(info->tos));
    if (info && info->has_ttl)
        svm_dgram_put(&rec, SVM_TLV_TTL, &info->ttl, sizeof(info->ttl));
    if (hs_unlikely(gso && len > gso)) {
        uint16_t size = (uint16_t)gso;
        svm_dgram_put(&rec, SVM_TLV_GSO_SIZE, &size, sizeof(size));
    }
    device = vcl_dgram_device(s, info);
    if (hs_unlikely(device && device != s->rare_opt->device)) {
        struct svm_dgram_device d = { .index = device };
        svm_dgram_put(&rec, SVM_TLV_DEVICE, &d, sizeof(d));
    }
    if (hs_unlikely(flags & MSG_CONFIRM))
        rec.h.flags = SVM_DGRAM_CONFIRM;
    if (hs_unlikely(s->rare_opt->no_check6_tx))
        rec.h.flags |= SVM_DGRAM_NO_CHECK6;
    if (hs_unlikely(s->rare_opt->no_check))
        rec.h.flags |= SVM_DGRAM_NO_CHECK4;
    all[0] = (struct iovec){ &rec, rec.h.hdr_len };
    memcpy(&all[1], iov, (size_t)n_iov * sizeof(*iov));
    all[1 + n_iov] = (struct iovec){ (void *)(uintptr_t)zeros, pad };
    return svm_fifo_enqueue_record(&s->tx, all, n_iov + 2);
}

int vcl_record_put(struct vcl_socket *s, const struct iovec *iov, int n_iov, size_t len, const struct vcl_msg_info *info)
{
    return put_record(s, iov, n_iov, len, 0, 0, info);
}

ssize_t vcl_dgram_send(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info)
{
    bool holds = (flags & MSG_MORE) || s->opt.cork || __atomic_load_n(&s->cork, __ATOMIC_RELAXED);

    return hs_unlikely(holds) && s->proto == SVM_PROTO_UDP ? vcl_cork_send(s, iov, n_iov, flags, info)
                                                           : vcl_dgram_send_now(s, iov, n_iov, flags, info);
}

ssize_t vcl_dgram_send_now(struct vcl_socket *s, const struct iovec *iov, int n_iov, int flags, const struct vcl_msg_info *info)
{
    struct vcl_deadline d = { 0 };
    bool has_deadline = false, knows_way = !(info && info->has_peer);
    size_t len = 0;
    int rc;

    for (int i = 0; i < n_iov; i++)
        len += iov[i].iov_len;
    if (len > DGRAM_MAX || n_iov > IOV_MAX_PIECES)
        return -EMSGSIZE;
    if (!(info && info->has_peer) && !s->has_rmt)
        return -EDESTADDRREQ;
    if (s->wr_shut)
        return -EPIPE;
    if (info && info->has_peer && ip_addr_is_broadcast(&info->peer.ip) && !s->rare_opt->broadcast)
        return -EACCES;
    if (hs_unlikely(info && info->ifindex && s->is_v6 && s->rare_opt->device && s->rare_opt->device != info->ifindex))
        return -EINVAL;
    uint32_t gso = info && info->has_gso ? info->gso_size : (uint32_t)s->rare_opt->gso;
    rc = s->has_fifos || s->unclaimed ? 0 : vcl_bind_implicit(s);
    if (!rc)
        rc = vcl_dgram_check_size(s, info, len, gso);
    if (rc)
        return rc;
    for (;;) {
        bool data = false;

        rc = atomic_exchange(&s->error, 0);
        if (rc)
            return rc;
        rc = hs_unlikely(s->shared) ? vcl_socket_enter_soon(s) : 0;
        if (rc && rc != -EAGAIN)
            return rc;
        vcl_socket_lock(s);
        if (!rc && hs_unlikely(!knows_way && !vcl_dgram_way_is_known(s, info))) {
            vcl_socket_unlock(s);
            rc = vcl_dgram_find_way(s, info);
            if (rc)
                return rc;
            knows_way = true;
            continue;
        }
        if (!rc)
            rc = put_record(s, iov, n_iov, len, flags, gso, info);
        if (hs_unlikely(s->shared) && rc == 0 && vcl_claim_settle_tx(s, 1) == 0) {
            vcl_socket_unlock(s); /* came too late there */
            continue;
        }
        if (rc != 0 || !(flags & VCL_SEND_MORE)) /* before anything is waited for, what was put off is told */
            data = svm_fifo_prod_event_due(&s->tx);
        vcl_socket_unlock(s);
        vcl_socket_event_due(s, data, false);
        if (!rc)
            return (ssize_t)len;
        if (rc == -ENOMEM) {
            rc = vcl_out_of_memory(s);
            if (rc == 0)
                continue;
        }
        if (rc != -EAGAIN)
            return rc == -EPROTO ? -EIO : rc;
        if (!blocks(s, flags)) {
            vcl_want_room(s);
            return vcl_idle_turn(s);
        }
        if (!has_deadline) {
            d = vcl_deadline_ns(s->opt.snd_timeout_ns);
            has_deadline = true;
        }
        rc = vcl_wait_socket(s, vcl_ready_write, &d);
        if (rc)
            return rc;
    }
}
