/* port_tap.c - a TAP interface of our own: the kernel's side is an ordinary network interface, ours is a descriptor per queue
 *
 *   device tap [ifname=hs0] [netns=NAME]       netns: the kernel's side is made in that namespace (/run/netns/NAME)
 *
 * Super-frames and open checksums go both ways (IFF_VNET_HDR, TUNSETOFFLOAD). The interface lives as long as the port. */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/port/port_vnet.h"

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

struct tap {
    unsigned n_queues;
    int ctl;                     /* a socket in the interface's namespace, to ask for its state */
    char ifname[IFNAMSIZ];
    struct vnet_queue queue[];
};

static unsigned tap_rx_burst(struct port *p, unsigned queue, struct pkt **pkts, unsigned n)
{
    struct vnet_queue *q = &((struct tap *)p->priv)->queue[queue];
    unsigned got = vnet_take_pending(q, pkts, n);

    while (got < n && vnet_slot_prepare(q, 0, p->pools)) {
        ssize_t len = readv(q->fd, q->slot[0].iov, 3);
        if (len < (ssize_t)sizeof(struct virtio_net_hdr))
            break; /* EAGAIN, or the interface was taken down */
        got += vnet_slot_take(q, 0, (uint32_t)(len - (ssize_t)sizeof(struct virtio_net_hdr)), p->pools, pkts + got, n - got);
    }
    return got;
}

static unsigned tap_tx_burst(struct port *p, unsigned queue, struct pkt **pkts, unsigned n)
{
    struct vnet_queue *q = &((struct tap *)p->priv)->queue[queue];
    struct iovec iov[1 + VNET_MAX_PIECES];
    struct virtio_net_hdr h;
    unsigned i, sent = 0, drops = 0;
    uint64_t bytes = 0;

    for (i = 0; i < n; i++) {
        uint32_t len = pkt_len(pkts[i]);
        int n_iov = vnet_tx_iov(pkts[i], &h, iov);
        if (n_iov && writev(q->fd, iov, n_iov) >= 0) {
            sent++;
            bytes += len;
        } else if (n_iov && errno == EAGAIN) {
            break;
        } else {
            drops++; /* EIO: the interface is down */
        }
        pkt_free(pkts[i]);
    }
    vnet_count_tx(q, sent, bytes, drops);
    return i;
}

static int tap_rx_wait_fd(struct port *p, unsigned queue) { return ((struct tap *)p->priv)->queue[queue].fd; }

static void tap_stats(struct port *p, struct port_stats *out)
{
    struct tap *t = p->priv;

    memset(out, 0, sizeof(*out));
    for (unsigned i = 0; i < t->n_queues; i++)
        vnet_add_stats(&t->queue[i], out);
}

static int tap_link_up(struct port *p)
{
    struct tap *t = p->priv;
    struct ifreq ifr = { 0 };

    memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
    return ioctl(t->ctl, SIOCGIFFLAGS, &ifr) == 0 && (ifr.ifr_flags & IFF_UP) != 0;
}

static void tap_close(struct port *p)
{
    struct tap *t = p->priv;

    for (unsigned i = 0; i < t->n_queues; i++) {
        vnet_queue_fini(&t->queue[i]);
        if (t->queue[i].fd >= 0)
            close(t->queue[i].fd);
    }
    if (t->ctl >= 0)
        close(t->ctl);
    free(t);
    p->priv = NULL;
}

static const struct port_ops tap_ops = {
    .kind = "tap",
    .rx_burst = tap_rx_burst,
    .tx_burst = tap_tx_burst,
    .rx_wait_fd = tap_rx_wait_fd,
    .stats = tap_stats,
    .link_up = tap_link_up,
    .close = tap_close,
};

static int tap_queue_open(struct tap *t, struct vnet_queue *q, char *err, size_t err_len)
{
    struct ifreq ifr = { 0 };
    int hdr_size = sizeof(struct virtio_net_hdr);
    unsigned offload = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;

    q->fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (q->fd < 0) {
        port_fail(err, err_len, "cannot open /dev/net/tun: %s", strerror(errno));
        return -errno;
    }
    memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
    ifr.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR | (t->n_queues > 1 ? IFF_MULTI_QUEUE : 0));
    if (ioctl(q->fd, TUNSETIFF, &ifr) < 0) {
        port_fail(err, err_len, "cannot make TAP interface '%s': %s (CAP_NET_ADMIN is needed)", t->ifname, strerror(errno));
        return -errno;
    }
    memcpy(t->ifname, ifr.ifr_name, IFNAMSIZ);
    if (ioctl(q->fd, TUNSETVNETHDRSZ, &hdr_size) < 0) {
        port_fail(err, err_len, "TAP '%s': TUNSETVNETHDRSZ: %s", t->ifname, strerror(errno));
        return -errno;
    }
    /* UDP super-frames came with Linux 6.2; without them the kernel cuts datagrams itself. */
    if (ioctl(q->fd, TUNSETOFFLOAD, offload | TUN_F_USO4 | TUN_F_USO6) < 0 && ioctl(q->fd, TUNSETOFFLOAD, offload) < 0) {
        port_fail(err, err_len, "TAP '%s': TUNSETOFFLOAD: %s", t->ifname, strerror(errno));
        return -errno;
    }
    return 0;
}

/* MTU as wanted, interface up; reads what the kernel's side has. */
static int tap_configure(struct port *p, struct tap *t, const struct port_config *cfg, char *err, size_t err_len)
{
    struct ifreq ifr = { 0 };

    memcpy(ifr.ifr_name, t->ifname, IFNAMSIZ);
    if (cfg->mtu) {
        ifr.ifr_mtu = cfg->mtu;
        if (ioctl(t->ctl, SIOCSIFMTU, &ifr) < 0) {
            port_fail(err, err_len, "TAP '%s': MTU %u: %s", t->ifname, cfg->mtu, strerror(errno));
            return -errno;
        }
    }
    if (ioctl(t->ctl, SIOCGIFMTU, &ifr) < 0)
        goto err_ioctl;
    p->mtu = (uint16_t)ifr.ifr_mtu;
    if (ioctl(t->ctl, SIOCGIFFLAGS, &ifr) < 0)
        goto err_ioctl;
    ifr.ifr_flags |= IFF_UP;
    if (ioctl(t->ctl, SIOCSIFFLAGS, &ifr) < 0)
        goto err_ioctl;
    if (ioctl(t->ctl, SIOCGIFHWADDR, &ifr) < 0)
        goto err_ioctl;
    if (cfg->has_mac)
        memcpy(p->mac, cfg->mac, 6);
    else
        vnet_make_mac(t->ifname, (const uint8_t *)ifr.ifr_hwaddr.sa_data, p->mac);
    return 0;

err_ioctl:
    port_fail(err, err_len, "TAP '%s': %s", t->ifname, strerror(errno));
    return -errno;
}

static int netns_enter(const char *name, int *back, char *err, size_t err_len)
{
    char path[128];

    *back = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof(path), "%s%s", name[0] == '/' ? "" : "/run/netns/", name);
    int fd = *back < 0 ? -1 : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || setns(fd, CLONE_NEWNET) < 0) {
        int ret = -errno;
        port_fail(err, err_len, "cannot enter network namespace '%s': %s", name, strerror(-ret));
        if (fd >= 0)
            close(fd);
        if (*back >= 0)
            close(*back);
        *back = -1;
        return ret;
    }
    close(fd);
    return 0;
}

static int tap_parse(struct tap *t, const char *args, char *netns, size_t netns_len, char *err, size_t err_len)
{
    char key[32], val[108];
    int ret;

    while ((ret = port_option_next(&args, key, sizeof(key), val, sizeof(val))) > 0) {
        if (strcmp(key, "ifname") == 0 && val[0] != '\0' && strlen(val) < IFNAMSIZ) {
            memcpy(t->ifname, val, strlen(val) + 1);
        } else if (strcmp(key, "netns") == 0 && val[0] != '\0' && strlen(val) < netns_len) {
            memcpy(netns, val, strlen(val) + 1);
        } else {
            port_fail(err, err_len, "tap: '%s' is not understood; accepted: ifname=NAME netns=NAME", key);
            return -EINVAL;
        }
    }
    if (ret < 0)
        port_fail(err, err_len, "tap: option too long");
    return ret;
}

int port_tap_open(struct port *p, const struct port_config *cfg, const char *args, char *err, size_t err_len)
{
    unsigned n = cfg->n_queues ? cfg->n_queues : 1;
    char netns[108] = "";
    int back = -1;
    struct tap *t = aligned_alloc(HS_CACHE_LINE, (sizeof(*t) + HS_CACHE_LINE - 1) / HS_CACHE_LINE * HS_CACHE_LINE + n * sizeof(t->queue[0]));

    if (!t) {
        port_fail(err, err_len, "out of memory");
        return -ENOMEM;
    }
    memset(t, 0, sizeof(*t) + n * sizeof(t->queue[0]));
    t->n_queues = n;
    t->ctl = -1;
    for (unsigned i = 0; i < n; i++)
        t->queue[i].fd = -1;
    p->priv = t;
    p->ops = &tap_ops;
    int ret = tap_parse(t, args, netns, sizeof(netns), err, err_len);
    if (ret == 0 && netns[0])
        ret = netns_enter(netns, &back, err, err_len);
    for (unsigned i = 0; ret == 0 && i < n; i++)
        ret = tap_queue_open(t, &t->queue[i], err, err_len);
    if (ret == 0) {
        t->ctl = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        ret = t->ctl < 0 ? -errno : tap_configure(p, t, cfg, err, err_len);
    }
    if (back >= 0) {
        if (setns(back, CLONE_NEWNET) < 0 && ret == 0) {
            ret = -errno;
            port_fail(err, err_len, "cannot return to the network namespace: %s", strerror(errno));
        }
        close(back);
    }
    if (ret < 0) {
        tap_close(p);
        return ret;
    }
    p->n_rx_queues = p->n_tx_queues = n;
    p->offloads = PORT_TX_CSUM | PORT_TX_TSO | PORT_RX_CSUM | PORT_MT_TX | PORT_RX_CALL | PORT_TX_ATTACHED;
    p->tso_max = VNET_TSO_MAX;
    return 0;
}
