/* vcl_dgram_size.c - datagrams that are too large for their way: told at once, as sendto() of Linux does (ip(7) IP_MTU_DISCOVER)
 *
 * The server knows the path; its last answer holds for a while, or until an error comes. What every IPv6 link takes is not asked for. */
#include <netinet/in.h>
#include <sys/epoll.h>
#include "vcl/vcl_internal.h"

enum { UDP_HDR = 8, IP4_HDR = 20, IP6_HDR = 40, ALWAYS_FITS = 1280 - IP6_HDR - UDP_HDR };
#define ANSWER_NS 1000000000ll

void vcl_dgram_forget_size(struct vcl_socket *s)
{
    vcl_socket_lock(s);
    if (s->ways)
        s->ways->size.until_ns = 0;
    vcl_socket_unlock(s);
}

/* Largest packet to dst, 0 = not known: then the server cuts or refuses. */
static int32_t mtu_to(struct vcl_socket *s, const struct ip_addr *dst)
{
    struct svm_send_mtu q = { .dst = *dst,
                              .by_interface = s->rare_opt->mtu_discover == IP_PMTUDISC_PROBE || s->rare_opt->mtu_discover == IP_PMTUDISC_INTERFACE };
    int64_t now = vcl_now_ns();
    struct vcl_ways *ways;
    int32_t mtu = 0;

    vcl_socket_lock(s);
    if (s->ways && now < s->ways->size.until_ns && ip_addr_eq(&s->ways->size.dst, dst))
        mtu = s->ways->size.mtu;
    vcl_socket_unlock(s);
    if (mtu || vcl_attr_ask(s, SVM_ATTR_SEND_MTU, &q, sizeof(q), &mtu, sizeof(mtu)) != 0 || mtu <= 0)
        return mtu;
    vcl_socket_lock(s);
    ways = vcl_ways(s);
    if (ways) { /* without, the next one asks again */
        ways->size.dst = *dst;
        ways->size.mtu = mtu;
        ways->size.until_ns = now + ANSWER_NS;
    }
    vcl_socket_unlock(s);
    return mtu;
}

/* ip(7) IP_RECVERR: an error found here has no message and quotes nothing. */
static void queue_local(struct vcl_socket *s, const struct vcl_msg_info *info, const struct ip_addr *dst, int32_t mtu)
{
    bool v4 = ip_addr_is_v4(dst);
    /* For IPv4 Linux knows the port of a connected peer only. */
    be16 port = !v4 && info && info->has_peer ? info->peer.port : s->has_rmt ? s->rmt.port : be16_of(0);
    struct vcl_error e = { .ee = { .ee_errno = EMSGSIZE, .ee_origin = SO_EE_ORIGIN_LOCAL, .ee_info = (uint32_t)mtu },
                           .peer = { *dst, port }, .has_peer = true, .offender = ip_addr_any(v4) };

    if (!(v4 ? s->rare_opt->recverr : s->rare_opt->recverr6))
        return;
    vcl_socket_lock(s);
    (void)vcl_errqueue_put(s, &e, NULL); /* a full queue loses it */
    vcl_socket_unlock(s);
    pthread_mutex_lock(&s->w->lock);
    vcl_set_notify(s, EPOLLERR);
    pthread_mutex_unlock(&s->w->lock);
}

int vcl_dgram_check_size(struct vcl_socket *s, const struct vcl_msg_info *info, size_t len, uint32_t gso)
{
    int mode = s->rare_opt->mtu_discover;
    bool is_bound_by_mtu = gso || mode == IP_PMTUDISC_DO || mode == IP_PMTUDISC_PROBE || mode == IP_PMTUDISC_INTERFACE;
    size_t piece = gso && gso < len ? gso : len;
    const struct ip_addr *dst = info && info->has_peer ? &info->peer.ip : &s->rmt.ip;

    is_bound_by_mtu = is_bound_by_mtu || (hs_unlikely(info && info->has_dontfrag ? info->dontfrag : s->rare_opt->dontfrag) && !ip_addr_is_v4(dst));
    if (hs_unlikely(is_bound_by_mtu && piece > ALWAYS_FITS)) {
        size_t hdrs = UDP_HDR + (ip_addr_is_v4(dst) ? IP4_HDR : IP6_HDR);
        int32_t mtu = ip_addr_is_multicast(dst) ? 0 : mtu_to(s, dst);
        if (mtu && piece + hdrs > (size_t)mtu) {
            if (!gso)
                queue_local(s, info, dst, mtu);
            return -EMSGSIZE;
        }
    }
    if (!gso)
        return 0;
    return len > (size_t)gso * SVM_GSO_SEGMENTS || (ip_addr_is_v4(dst) ? s->rare_opt->no_check : s->rare_opt->no_check6_tx) ? -EINVAL : 0;
}
