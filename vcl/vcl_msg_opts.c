/* vcl_msg_opts.c - options about what recvmsg() tells beside the bytes: time stamps (socket(7), the kernel's timestamping.rst) */
#include <linux/net_tstamp.h>
#include "common/clock.h"
#include "vcl/vcl_internal.h"

#ifndef SOF_TIMESTAMPING_OPT_RX_FILTER
#define SOF_TIMESTAMPING_OPT_RX_FILTER (1 << 17)
#endif

/* Of SO_TIMESTAMPING: times of receiving, in software. What asks for a network card's clock is taken as Linux takes it on one that has none. */
enum {
    STAMPING_TAKEN = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_RX_HARDWARE |
                     SOF_TIMESTAMPING_SYS_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE | SOF_TIMESTAMPING_TX_HARDWARE |
                     SOF_TIMESTAMPING_OPT_CMSG | SOF_TIMESTAMPING_OPT_TSONLY | SOF_TIMESTAMPING_OPT_RX_FILTER,
};

int32_t vcl_rx_stamp_told(const struct vcl_socket *s)
{
    return s->rare_opt->stamp || s->rare_opt->stamping & SOF_TIMESTAMPING_RX_SOFTWARE;
}

int32_t vcl_rx_told(const struct vcl_socket *s)
{
    return (vcl_rx_stamp_told(s) ? SVM_RX_STAMP : 0) | (s->rare_opt->pktinfo || s->rare_opt->pktinfo6 ? SVM_RX_DEVICE : 0) |
           (s->rare_opt->rxq_ovfl ? SVM_RX_DROPS : 0);
}

/* The two transports whose packets and bytes have times. */
static bool has_stamps(const struct vcl_socket *s) { return !s->is_records && !s->sctp; }

void vcl_stamps_want(struct vcl_socket *s)
{
    if (hs_unlikely(vcl_rx_stamp_told(s)) && !s->is_dgram && has_stamps(s) && s->has_fifos)
        svm_fifo_cons_want_stamps(vcl_rx_last(s));
}

int64_t vcl_stream_stamp(struct vcl_socket *s, uint32_t offset)
{
    int64_t ns = 0;

    if (!vcl_rx_stamp_told(s))
        return 0;
    vcl_lock_take(&s->rx_lock);
    if (s->has_fifos)
        ns = svm_fifo_cons_stamp(&s->rx, offset);
    vcl_lock_give(&s->rx_lock);
    return ns ? ns : (int64_t)clock_wall_ns();
}

/* At the end there is one more thing to read: that it is the end. */
int32_t vcl_stream_inq(struct vcl_socket *s)
{
    int64_t n = 0;
    bool is_end = false;

    vcl_lock_take(&s->rx_lock);
    if (s->has_fifos) {
        is_end = svm_fifo_cons_is_fin(vcl_rx_last(s)) || atomic_load_explicit(&s->peer_gone, memory_order_acquire);
        n = vcl_stream_avail(s);
    }
    vcl_lock_give(&s->rx_lock);
    return (int32_t)hs_min_u64(n > 0 ? (uint64_t)n : 0, INT32_MAX - 1) + is_end;
}

/* To who writes what comes: the server, or cut-through the peer. */
static void tell_stamps(struct vcl_socket *s)
{
    if (s->is_dgram) {
        vcl_options_send_int(s, SVM_ATTR_RX_TELL, vcl_rx_told(s));
        return;
    }
    vcl_socket_lock(s);
    vcl_stamps_want(s);
    vcl_socket_unlock(s);
}

static int set_stamp(struct vcl_socket *s, int name, bool on)
{
    struct vcl_rare_opts *o = vcl_options_rare(s);

    if (!o)
        return -ENOBUFS;
    if (on) {
        o->stamp = true;
        o->stamp_ns = name == SO_TIMESTAMPNS || name == SO_TIMESTAMPNS_NEW;
        o->stamp_new = name == SO_TIMESTAMP_NEW || name == SO_TIMESTAMPNS_NEW;
    } else {
        o->stamp = o->stamp_ns = false;
    }
    tell_stamps(s);
    return 0;
}

static int set_stamping(struct vcl_socket *s, int name, uint32_t flags)
{
    struct vcl_rare_opts *o = vcl_options_rare(s);

    if (flags & ~(uint32_t)STAMPING_TAKEN)
        return -EINVAL;
    if (!o)
        return -ENOBUFS;
    o->stamping = flags;
    o->stamp_new = name == SO_TIMESTAMPING_NEW;
    tell_stamps(s);
    return 0;
}

/* Of other transports the rows in vcl_options.c refuse them. */
int vcl_msg_opt_set(struct vcl_socket *s, int level, int name, const void *val, socklen_t len)
{
    int32_t v;

    if (level != SOL_SOCKET || !has_stamps(s))
        return 1;
    switch (name) {
    case SO_TIMESTAMP:
    case SO_TIMESTAMP_NEW:
    case SO_TIMESTAMPNS:
    case SO_TIMESTAMPNS_NEW:
    case SO_TIMESTAMPING:
    case SO_TIMESTAMPING_NEW:
        break;
    default:
        return 1;
    }
    if (len < sizeof(v))
        return -EINVAL;
    memcpy(&v, val, sizeof(v));
    return name == SO_TIMESTAMPING || name == SO_TIMESTAMPING_NEW ? set_stamping(s, name, (uint32_t)v) : set_stamp(s, name, v != 0);
}

int vcl_msg_opt_get(struct vcl_socket *s, int level, int name, void *val, socklen_t *len)
{
    const struct vcl_rare_opts *o = s->rare_opt;
    struct { int32_t v, phc; } out = { 0, 0 }; /* struct so_timestamping */
    socklen_t size = sizeof(out.v);

    if (level != SOL_SOCKET || !has_stamps(s))
        return 1;
    switch (name) {
    case SO_TIMESTAMP:
        out.v = o->stamp && !o->stamp_new && !o->stamp_ns;
        break;
    case SO_TIMESTAMPNS:
        out.v = o->stamp_ns && !o->stamp_new;
        break;
    case SO_TIMESTAMP_NEW:
        out.v = o->stamp && o->stamp_new;
        break;
    case SO_TIMESTAMPNS_NEW:
        out.v = o->stamp_ns && o->stamp_new;
        break;
    case SO_TIMESTAMPING:
    case SO_TIMESTAMPING_NEW:
        size = sizeof(out);
        out.v = name == SO_TIMESTAMPING || o->stamp_new ? (int32_t)o->stamping : 0;
        break;
    default:
        return 1;
    }
    *len = hs_min_u32(*len, size);
    memcpy(val, &out, *len);
    return 0;
}

uint32_t vcl_recv_wants(struct vcl_socket *s)
{
    const struct vcl_rare_opts *o;

    vcl_options_look(s);
    o = s->rare_opt;
    return (o->pktinfo ? VCL_WANTS_PKTINFO : 0) | (o->pktinfo6 ? VCL_WANTS_PKTINFO6 : 0) | (o->recvttl ? VCL_WANTS_TTL : 0) |
           (o->recvtos ? VCL_WANTS_TOS : 0) | (o->recvhops ? VCL_WANTS_HOPS : 0) | (o->recvtclass ? VCL_WANTS_TCLASS : 0) |
           (o->stamp ? VCL_WANTS_STAMP : 0) | (o->stamp_ns ? VCL_WANTS_STAMP_NS : 0) | (o->stamp_new ? VCL_WANTS_STAMP_NEW : 0) |
           (o->gro ? VCL_WANTS_GRO : 0) | (o->inq ? VCL_WANTS_INQ : 0) | (o->rxq_ovfl ? VCL_WANTS_DROPS : 0) |
           (o->recvorig ? VCL_WANTS_ORIGDST : 0) | (o->recvorig6 ? VCL_WANTS_ORIGDST6 : 0) |
           (o->stamping & SOF_TIMESTAMPING_SOFTWARE && o->stamping & SOF_TIMESTAMPING_RX_SOFTWARE ? VCL_WANTS_STAMPING : 0);
}
