/* port_packet.c - an AF_PACKET socket of our own on an existing interface, such as one end of a veth pair or a network card
 *
 *   device packet iface=veth0
 *
 * Super-frames and open checksums go both ways (PACKET_VNET_HDR). Unless `mac` says otherwise the port has a hardware address of its
 * own, made from the interface's, and the interface is set promiscuous: so the kernel's stack sees our frames as another
 * station's and neither answers, forwards nor refuses them, whatever its settings. Our addresses are not configured there.
 * The kernel takes VLAN tags out of what comes in; a port with VLANs puts them back, so that frames are as on the wire. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/port/port_vnet.h"

enum { PACKET_BUFFER_BYTES = 8 << 20 };

union packet_control {           /* room for the one control message that we ask for */
    struct cmsghdr align;
    char b[CMSG_SPACE(sizeof(struct tpacket_auxdata))];
};

struct packet_queue {
    struct vnet_queue v;
    uint64_t missed;             /* atomic: frames that found the socket full */
    struct mmsghdr msg[VNET_SLOTS];
    union packet_control control[VNET_SLOTS];
};

struct packet {
    unsigned n_queues;
    bool has_vlans;
    char ifname[IFNAMSIZ];
    struct packet_queue queue[];
};

static void take_tag(struct msghdr *msg, struct vnet_slot *slot)
{
    slot->tpid = 0;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        struct tpacket_auxdata aux;
        if (c->cmsg_level != SOL_PACKET || c->cmsg_type != PACKET_AUXDATA)
            continue;
        memcpy(&aux, CMSG_DATA(c), sizeof(aux));
        if (aux.tp_status & TP_STATUS_VLAN_VALID) {
            slot->tpid = (aux.tp_status & TP_STATUS_VLAN_TPID_VALID) ? aux.tp_vlan_tpid : ETH_P_8021Q;
            slot->tci = aux.tp_vlan_tci;
        }
    }
}

static unsigned packet_rx_burst(struct port *p, unsigned queue, struct pkt **pkts, unsigned n)
{
    const struct packet *k = p->priv;
    struct packet_queue *q = &((struct packet *)p->priv)->queue[queue];
    unsigned got = vnet_take_pending(&q->v, pkts, n), want = 0;

    while (want < n - got && want < VNET_SLOTS && vnet_slot_prepare(&q->v, want, p->pools)) {
        q->msg[want].msg_hdr = (struct msghdr){ .msg_iov = q->v.slot[want].iov, .msg_iovlen = 3 };
        if (hs_unlikely(k->has_vlans)) {
            q->msg[want].msg_hdr.msg_control = &q->control[want];
            q->msg[want].msg_hdr.msg_controllen = sizeof(q->control[want]);
        }
        want++;
    }
    if (want == 0)
        return got;
    int ready = recvmmsg(q->v.fd, q->msg, want, MSG_DONTWAIT, NULL);
    for (int i = 0; i < ready; i++) {
        uint32_t len = q->msg[i].msg_len;
        if (len < sizeof(struct virtio_net_hdr) || (q->msg[i].msg_hdr.msg_flags & MSG_TRUNC)) {
            q->v.stats.rx_errors++;
            continue;
        }
        if (hs_unlikely(k->has_vlans))
            take_tag(&q->msg[i].msg_hdr, &q->v.slot[i]);
        got += vnet_slot_take(&q->v, (unsigned)i, len - (uint32_t)sizeof(struct virtio_net_hdr), p->pools, pkts + got, n - got);
    }
    return got;
}

struct tx_batch {
    struct mmsghdr msg[VNET_SLOTS];
    struct virtio_net_hdr hdr[VNET_SLOTS];
    struct iovec iov[VNET_SLOTS][1 + VNET_MAX_PIECES];
};

/* Sends msg[0..n); a frame that the kernel refuses for itself (EINVAL, EMSGSIZE, ENOBUFS) is skipped, a full socket ends it. */
static unsigned send_batch(struct vnet_queue *q, struct tx_batch *b, struct pkt **pkts, unsigned n)
{
    unsigned done = 0, sent = 0, drops = 0;
    uint64_t bytes = 0;

    while (done < n) {
        int ret = sendmmsg(q->fd, b->msg + done, n - done, MSG_DONTWAIT);
        if (ret < 0 && errno == EINTR)
            continue;
        if (ret < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            break;
        unsigned ok = ret < 0 ? 0 : (unsigned)ret;
        for (unsigned i = done; i < done + ok; i++)
            bytes += pkt_len(pkts[i]);
        sent += ok;
        done += ok;
        if (ret <= 0) {
            drops++;
            done++;
        }
    }
    vnet_count_tx(q, sent, bytes, drops);
    return done;
}

static unsigned packet_tx_burst(struct port *p, unsigned queue, struct pkt **pkts, unsigned n)
{
    struct vnet_queue *q = &((struct packet *)p->priv)->queue[queue].v;
    struct tx_batch b;
    unsigned taken = 0;

    while (taken < n) {
        unsigned k = 0;
        while (k < VNET_SLOTS && taken + k < n) {
            int n_iov = vnet_tx_iov(pkts[taken + k], &b.hdr[k], b.iov[k]);
            if (n_iov == 0)
                break;
            b.msg[k].msg_hdr = (struct msghdr){ .msg_iov = b.iov[k], .msg_iovlen = (size_t)n_iov };
            k++;
        }
        if (k == 0) { /* in too many pieces to send */
            vnet_count_tx(q, 0, 0, 1);
            pkt_free(pkts[taken++]);
            continue;
        }
        unsigned done = send_batch(q, &b, pkts + taken, k);
        for (unsigned i = 0; i < done; i++)
            pkt_free(pkts[taken + i]);
        taken += done;
        if (done < k)
            break;
    }
    return taken;
}

static int packet_rx_wait_fd(struct port *p, unsigned queue) { return ((struct packet *)p->priv)->queue[queue].v.fd; }

/* The kernel's count begins anew with each question, and several threads may ask. */
static uint64_t missed(struct packet_queue *q)
{
    struct tpacket_stats st;
    socklen_t len = sizeof(st);
    uint64_t n = getsockopt(q->v.fd, SOL_PACKET, PACKET_STATISTICS, &st, &len) == 0 ? st.tp_drops : 0;

    return __atomic_add_fetch(&q->missed, n, __ATOMIC_RELAXED);
}

static void packet_stats(struct port *p, struct port_stats *out)
{
    struct packet *k = p->priv;

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < k->n_queues; i++) {
        vnet_add_stats(&k->queue[i].v, out);
        out->rx_errors += missed(&k->queue[i]);
    }
}

static int packet_link_up(struct port *p)
{
    struct packet *k = p->priv;
    struct ifreq ifr = { 0 };

    memcpy(ifr.ifr_name, k->ifname, IFNAMSIZ);
    return ioctl(k->queue[0].v.fd, SIOCGIFFLAGS, &ifr) == 0 && (ifr.ifr_flags & IFF_RUNNING) != 0;
}

static void packet_close(struct port *p)
{
    struct packet *k = p->priv;

    for (unsigned i = 0; i < k->n_queues; i++) {
        vnet_queue_fini(&k->queue[i].v);
        if (k->queue[i].v.fd >= 0)
            close(k->queue[i].v.fd);
    }
    free(k);
    p->priv = NULL;
}

static const struct port_ops packet_ops = {
    .kind = "packet",
    .rx_burst = packet_rx_burst,
    .tx_burst = packet_tx_burst,
    .rx_wait_fd = packet_rx_wait_fd,
    .stats = packet_stats,
    .link_up = packet_link_up,
    .close = packet_close,
};

/* Only frames for us or a group, and on a port without VLANs none of a VLAN: the kernel has taken its tag away, it would look like ours.
 * VLAN 0 is a priority and nothing more. */
static int attach_filter(int fd, const uint8_t mac[6], bool has_vlans)
{
    uint32_t refused_vlans = has_vlans ? 0 : 0xfff;
    uint32_t low = (uint32_t)mac[2] << 24 | (uint32_t)mac[3] << 16 | (uint32_t)mac[4] << 8 | mac[5];
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG)),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, refused_vlans, 7, 0),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 4, 0),                    /* group: take */
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 3),
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(mac[0] << 8 | mac[1]), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0x40000),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog prog = { HS_ARRAY_LEN(code), code };

    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog));
}

/* Asks the interface about itself. */
static int query(struct port *p, struct packet *k, int fd, const struct port_config *cfg, bool *promiscuous, char *err, size_t err_len)
{
    struct ifreq ifr = { 0 };

    memcpy(ifr.ifr_name, k->ifname, IFNAMSIZ);
    if (ioctl(fd, SIOCGIFMTU, &ifr) < 0)
        goto err_ioctl;
    int mtu = ifr.ifr_mtu > 65535 ? 65535 : ifr.ifr_mtu;
    if (cfg->mtu > mtu) {
        port_fail(err, err_len, "mtu %u is larger than that of interface '%s' (%d)", cfg->mtu, k->ifname, mtu);
        return -EINVAL;
    }
    p->mtu = cfg->mtu ? cfg->mtu : (uint16_t)mtu;
    if (ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
        goto err_ioctl;
    const uint8_t *own = (const uint8_t *)ifr.ifr_hwaddr.sa_data;
    if (cfg->has_mac)
        memcpy(p->mac, cfg->mac, 6);
    else
        vnet_make_mac(k->ifname, own, p->mac);
    *promiscuous = memcmp(p->mac, own, 6) != 0;
    return 0;

err_ioctl:
    port_fail(err, err_len, "interface '%s': %s", k->ifname, strerror(errno));
    return -errno;
}

static int queue_open(struct port *p, struct packet *k, struct vnet_queue *q, unsigned ifindex, const struct port_config *cfg,
                      char *err, size_t err_len)
{
    struct sockaddr_ll sll = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)ifindex };
    int one = 1, size = PACKET_BUFFER_BYTES;
    bool promiscuous = false;

    /* Protocol 0: nothing comes in before the filter and the binding are there. */
    q->fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (q->fd < 0) {
        port_fail(err, err_len, "AF_PACKET socket: %s (CAP_NET_RAW is needed)", strerror(errno));
        return -errno;
    }
    int ret = query(p, k, q->fd, cfg, &promiscuous, err, err_len);
    if (ret < 0)
        return ret;
    if (setsockopt(q->fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)) < 0 ||
        setsockopt(q->fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) < 0 || attach_filter(q->fd, p->mac, k->has_vlans) < 0 ||
        (k->has_vlans && setsockopt(q->fd, SOL_PACKET, PACKET_AUXDATA, &one, sizeof(one)) < 0))
        goto err_setsockopt;
    /* Large buffers ride out the time between two turns; without CAP_NET_ADMIN the kernel's limit applies. */
    if (setsockopt(q->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(q->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
    if (setsockopt(q->fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
        setsockopt(q->fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    if (promiscuous) {
        struct packet_mreq mr = { .mr_ifindex = (int)ifindex, .mr_type = PACKET_MR_PROMISC };
        if (setsockopt(q->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mr, sizeof(mr)) < 0)
            goto err_setsockopt;
    } else {
        struct packet_mreq mr = { .mr_ifindex = (int)ifindex, .mr_type = PACKET_MR_ALLMULTI }; /* groups of ND */
        if (setsockopt(q->fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &mr, sizeof(mr)) < 0)
            goto err_setsockopt;
    }
    if (bind(q->fd, (struct sockaddr *)&sll, sizeof(sll)) < 0) {
        port_fail(err, err_len, "cannot bind to interface '%s': %s", k->ifname, strerror(errno));
        return -errno;
    }
    return 0;

err_setsockopt:
    port_fail(err, err_len, "interface '%s': packet socket option: %s", k->ifname, strerror(errno));
    return -errno;
}

/* Several queues share the traffic by flow. The kernel picks a free group number for the first. */
static int join_fanout(struct packet *k, unsigned i, unsigned *group, char *err, size_t err_len)
{
    unsigned arg = *group | (PACKET_FANOUT_HASH | (i == 0 ? PACKET_FANOUT_FLAG_UNIQUEID : 0u)) << 16;
    socklen_t len = sizeof(arg);
    int fd = k->queue[i].v.fd;

    if (setsockopt(fd, SOL_PACKET, PACKET_FANOUT, &arg, sizeof(arg)) < 0 ||
        (i == 0 && getsockopt(fd, SOL_PACKET, PACKET_FANOUT, &arg, &len) < 0)) {
        port_fail(err, err_len, "interface '%s': PACKET_FANOUT: %s", k->ifname, strerror(errno));
        return -errno;
    }
    *group = arg & 0xffff;
    return 0;
}

static int packet_parse(struct packet *k, const char *args, char *err, size_t err_len)
{
    char key[32], val[64];
    int ret;

    while ((ret = port_option_next(&args, key, sizeof(key), val, sizeof(val))) > 0) {
        if (strcmp(key, "iface") != 0 || val[0] == '\0' || strlen(val) >= IFNAMSIZ) {
            port_fail(err, err_len, "packet: '%s' is not understood; accepted: iface=NAME", key);
            return -EINVAL;
        }
        memcpy(k->ifname, val, strlen(val) + 1);
    }
    if (ret < 0 || k->ifname[0] == '\0') {
        port_fail(err, err_len, "packet: iface=NAME is missing");
        return -EINVAL;
    }
    return 0;
}

int port_packet_open(struct port *p, const struct port_config *cfg, const char *args, char *err, size_t err_len)
{
    unsigned n = cfg->n_queues ? cfg->n_queues : 1, group = 0;
    size_t head = (sizeof(struct packet) + HS_CACHE_LINE - 1) / HS_CACHE_LINE * HS_CACHE_LINE;
    struct packet *k = aligned_alloc(HS_CACHE_LINE, head + n * sizeof(k->queue[0]));

    if (!k) {
        port_fail(err, err_len, "out of memory");
        return -ENOMEM;
    }
    memset(k, 0, sizeof(*k) + n * sizeof(k->queue[0]));
    k->n_queues = n;
    k->has_vlans = cfg->has_vlans;
    for (unsigned i = 0; i < n; i++)
        k->queue[i].v.fd = -1;
    p->priv = k;
    p->ops = &packet_ops;
    int ret = packet_parse(k, args, err, err_len);
    unsigned ifindex = ret == 0 ? if_nametoindex(k->ifname) : 0;
    if (ret == 0 && ifindex == 0) {
        ret = -ENODEV;
        port_fail(err, err_len, "there is no interface '%s'", k->ifname);
    }
    for (unsigned i = 0; ret == 0 && i < n; i++)
        ret = queue_open(p, k, &k->queue[i].v, ifindex, cfg, err, err_len);
    for (unsigned i = 0; ret == 0 && n > 1 && i < n; i++)
        ret = join_fanout(k, i, &group, err, err_len);
    if (ret < 0) {
        packet_close(p);
        return ret;
    }
    p->n_rx_queues = p->n_tx_queues = n;
    p->offloads = PORT_TX_CSUM | PORT_TX_TSO | PORT_RX_CSUM | PORT_MT_TX | PORT_RX_CALL | PORT_TX_ATTACHED;
    p->tso_max = VNET_TSO_MAX;
    return 0;
}
